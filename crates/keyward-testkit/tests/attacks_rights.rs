//! The attack catalogue, classes api-key, authorization, cross-account and auth-cache, through the live gateway.

use keyward_testkit::client::Connection;
use keyward_testkit::fixture::{A0, B0, C0, D0, HOST, K1, K2, K3, KX};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;

fn signed(gateway: &Gateway, pair: (&str, &str), target: &str, nonce: &str) -> Request {
    Request::get(HOST, target).signed(&Signing::alibaba(pair.0, pair.1).fresh(gateway.now_ms(), nonce))
}

async fn is_refused(gateway: &Gateway, request: &Request, status: u16, reason: &str) {
    let before = gateway.upstream().hits();
    let answer = gateway.call(request).await;
    assert_eq!(answer.status, status, "{request:?}: {answer:?}");
    assert_eq!(gateway.reason_of(&answer).await, reason, "{request:?}");
    assert_eq!(gateway.upstream().hits(), before);
}

#[tokio::test]
async fn key_002_patterns_are_no_keys() {
    let gateway = Gateway::fixture().await;
    for pattern in ["' OR 1=1--", "%", "*", "_", ".", "kw-test-%", ".*", "kw-test-k1-*"] {
        is_refused(&gateway, &Request::get(HOST, "/orders/1").bearer(pattern), 401, "credential_unknown")
            .await;
    }
}

#[tokio::test]
async fn key_004_parts_of_keys_are_no_keys() {
    let gateway = Gateway::fixture().await;
    for length in 8..K1.len() {
        is_refused(
            &gateway,
            &Request::get(HOST, "/orders/1").bearer(&K1[..length]),
            401,
            "credential_unknown",
        )
        .await;
    }
    for longer in [format!("{K1}x"), format!("{K1},{K2}"), format!("{K1}%00")] {
        is_refused(&gateway, &Request::get(HOST, "/orders/1").bearer(&longer), 401, "credential_unknown")
            .await;
    }
}

#[tokio::test]
async fn key_006_two_keys_at_once_in_any_order() {
    let gateway = Gateway::fixture().await;
    let one = Request::get(HOST, "/orders/1").bearer(K1).header("x-api-key", K2);
    let other = Request::get(HOST, "/orders/1").header("x-api-key", K2).bearer(K1);
    let third = Request::get(HOST, &format!("/orders/1?apikey={K3}")).bearer(K1);
    for request in [one, other, third] {
        is_refused(&gateway, &request, 400, "credential_ambiguous").await;
    }
}

#[tokio::test]
async fn key_008_no_key_lies_readable_on_the_disk() {
    use sha2::Digest;
    let gateway = Gateway::fixture().await;
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
    let plain_digest = sha2::Sha256::digest(K1);
    let hex: String = plain_digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let needles: [&[u8]; 6] = [
        K1.as_bytes(),
        K3.as_bytes(),
        A0.1.as_bytes(),
        hex.as_bytes(),
        &plain_digest,
        keyward_testkit::fixture::A_CODE.as_bytes(),
    ];
    let mut files = 0;
    for (path, bytes) in gateway.data_files() {
        files += 1;
        for needle in needles {
            assert!(
                !bytes.windows(needle.len()).any(|window| window == needle),
                "{} holds {:?}",
                path.display(),
                String::from_utf8_lossy(needle)
            );
        }
    }
    assert!(files >= 3, "the store, its log and the master key were looked at");
}

#[tokio::test]
async fn key_012_a_disabled_consumer() {
    let gateway = Gateway::fixture().await;
    is_refused(&gateway, &Request::get(HOST, "/orders/1").bearer(KX), 403, "caller_disabled").await;
}

#[tokio::test]
async fn key_014_a_key_that_comes_back_has_no_old_rights() {
    let gateway = Gateway::fixture().await;
    gateway.operate("{delete: {consumer: K1}}").await;
    is_refused(&gateway, &Request::get(HOST, "/orders/1").bearer(K1), 401, "credential_unknown").await;
    gateway
        .apply(&format!(
            "version: 1\nconsumers: [{{name: K9, api_key: {{sources: [bearer], keys: [{K1}]}}}}]\n"
        ))
        .await
        .unwrap();
    is_refused(&gateway, &Request::get(HOST, "/orders/1").bearer(K1), 403, "grant_missing").await;
}

#[tokio::test]
async fn key_016_cache_002_a_refusal_is_not_remembered() {
    let gateway = Gateway::fixture().await;
    let key = "kw-test-late-0123456789abcdefgh";
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let request = Request::get(HOST, "/orders/1").bearer(key);
    for _ in 0..1000 {
        assert_eq!(connection.call(&request).await.unwrap().status, 401);
    }
    gateway
        .apply(&format!(
            "version: 1\nconsumers: [{{name: late, api_key: {{sources: [bearer], keys: [{key}]}}}}]\n"
        ))
        .await
        .unwrap();
    assert_eq!(connection.call(&request).await.unwrap().status, 403, "the key is known at once");
    gateway.apply("version: 1\ngrants: [{to: {consumer: late}, api: orders}]\n").await.unwrap();
    assert_eq!(connection.call(&request).await.unwrap().status, 200, "the grant holds at once");
}

#[tokio::test]
async fn key_018_bytes_that_are_no_text() {
    let gateway = Gateway::fixture().await;
    for byte in (0..0x20).chain(0x7f..=0xff) {
        let mut raw =
            format!("GET /orders/1 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {K1}").into_bytes();
        raw.push(byte);
        raw.extend_from_slice(b"z\r\n\r\n");
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        connection.send(&raw).await.unwrap();
        connection.half_close().await.unwrap();
        let answer = connection.answer(false).await.unwrap();
        assert!(matches!(answer.status, 400 | 401), "{byte:#x}: {answer:?}");
    }
    assert_eq!(gateway.upstream().hits(), 0);
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
}

#[tokio::test]
async fn grant_001_no_grant() {
    let gateway = Gateway::fixture().await;
    is_refused(&gateway, &signed(&gateway, B0, "/orders/1", "nonce-of-grant-001"), 403, "grant_missing")
        .await;
}

#[tokio::test]
async fn grant_003_validity_is_half_open_by_the_servers_clock() {
    let gateway = Gateway::fixture().await;
    let start = gateway.now_ms();
    let at = |ms: i64| keyward_model::Timestamp::from_millis(start + ms);
    let world = format!(
        "version: 1\ngrants: [{{to: {{application: B}}, api: orders, valid_from: \"{}\", valid_until: \"{}\"}}]\n",
        at(1_000),
        at(2_000)
    );
    gateway.apply(&world).await.unwrap();
    let mut seen = Vec::new();
    for (index, advance) in [999, 1, 999, 1].iter().enumerate() {
        gateway.advance_ms(*advance);
        seen.push(
            gateway
                .call(&signed(&gateway, B0, "/orders/1", &format!("nonce-of-grant-003-{index}")))
                .await
                .status,
        );
    }
    assert_eq!(seen, [403, 200, 200, 403]);
}

#[tokio::test]
async fn grant_009_ids_are_not_names_and_have_one_spelling() {
    let gateway = Gateway::fixture().await;
    for odd in ["app-a-k0", "1", "01", "APP_018F0000000070008000000000000ABC"] {
        let world = format!("version: 1\ngrants: [{{to: {{application_id: \"{odd}\"}}, api: orders}}]\n");
        assert!(gateway.apply(&world).await.is_err(), "{odd} was taken for an id");
    }
}

#[tokio::test]
async fn grant_011_methods_are_compared_exactly() {
    let gateway = Gateway::fixture().await;
    for method in ["get", "GETX", "delete", "GE T", "G\u{0}T"] {
        let raw =
            format!("{method} /orders/1 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {K1}\r\n\r\n");
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        connection.send(raw.as_bytes()).await.unwrap();
        connection.half_close().await.unwrap();
        let answer = connection.answer(false).await.unwrap();
        assert!(matches!(answer.status, 400 | 405), "{method:?}: {answer:?}");
    }
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn grant_013_an_upgrade_is_judged_first() {
    let gateway = Gateway::fixture().await;
    let upgrade = Request::get(HOST, "/orders/1")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13");
    is_refused(&gateway, &upgrade, 401, "credential_missing").await;
}

#[tokio::test]
async fn grant_015_what_cannot_be_understood_is_not_published() {
    let gateway = Gateway::fixture().await;
    for wrong in [
        "version: 1\napis: [{name: x, kind: rest, base_path: /x, admits: [magic], stages: {RELEASE: {service: origin}}}]\n",
        "version: 1\napis: [{name: x, kind: rest, base_path: /x, stages: {RELEASE: {service: origin}}}]\n",
        "version: 1\napis: [{name: x, kind: rest, base_path: /x, admits: [], stages: {RELEASE: {service: origin}}}]\n",
        "version: 1\napis: [{name: x, kind: rest, base_path: /x, admits: [anyone], stages: {RELEASE: {service: missing}}}]\n",
        "version: 1\nplugins: [{plugin: key-auth, on: {api: orders}}]\n",
        "version: 1\nconsumers: [{name: x, api_key: {sources: [bearer], keys: [\"$ref{missing}\"]}}]\n",
    ] {
        assert!(gateway.apply(wrong).await.is_err(), "{wrong}");
    }
    assert_eq!(
        gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status,
        200,
        "the last good state serves on"
    );
}

#[tokio::test]
async fn grant_019_a_wrong_optional_credential_is_not_nobody() {
    let gateway = Gateway::fixture().await;
    is_refused(
        &gateway,
        &Request::get(HOST, "/optional").bearer("kw-test-wrong-0123456789"),
        401,
        "credential_unknown",
    )
    .await;
    let anonymous = Request::get(HOST, "/optional").header("X-Keyward-Caller-Name", "K1");
    assert_eq!(gateway.call(&anonymous).await.status, 200);
    let last = gateway.upstream().last().unwrap();
    assert!(
        last.values("x-keyward-caller-name").is_empty() && last.values("x-keyward-caller-id").is_empty(),
        "{last:?}"
    );
}

#[tokio::test]
async fn partner_001_a_partner_calls_what_it_was_granted_and_no_more() {
    let gateway = Gateway::fixture().await;
    assert_eq!(gateway.call(&signed(&gateway, C0, "/orders/1", "nonce-of-partner-001-a")).await.status, 200);
    assert_eq!(gateway.upstream().last().unwrap().values("x-keyward-account"), ["partner"]);
    is_refused(
        &gateway,
        &signed(&gateway, C0, "/internal/users", "nonce-of-partner-001-b"),
        403,
        "grant_missing",
    )
    .await;
    is_refused(&gateway, &signed(&gateway, D0, "/orders/1", "nonce-of-partner-001-c"), 403, "grant_missing")
        .await;
}

#[tokio::test]
async fn partner_003_only_the_apis_account_grants() {
    let gateway = Gateway::fixture().await;
    let world = "version: 1\ngrants: [{account: partner, to: {application: C}, api: orders}]\n";
    assert!(gateway.apply(world).await.is_err(), "a partner granted itself another account's API");
}

#[tokio::test]
async fn partner_007_a_partner_rotates_its_secret() {
    let gateway = Gateway::fixture().await;
    let fresh = gateway.reset_key_pair_of("partner", "C", C0.0).await;
    is_refused(&gateway, &signed(&gateway, C0, "/orders/1", "nonce-of-partner-007-a"), 401, "proof_mismatch")
        .await;
    assert_eq!(
        gateway.call(&signed(&gateway, (C0.0, &fresh), "/orders/1", "nonce-of-partner-007-b")).await.status,
        200
    );
}

#[tokio::test]
async fn partner_009_a_partner_that_its_owner_disabled() {
    for (step, reason) in [
        ("{disable: {account: partner}}", "account_disabled"),
        ("{disable: {application: C, account: partner}}", "caller_disabled"),
    ] {
        let gateway = Gateway::fixture().await;
        gateway.operate(step).await;
        is_refused(&gateway, &signed(&gateway, C0, "/orders/1", "nonce-of-partner-009"), 403, reason).await;
    }
}

#[tokio::test]
async fn partner_011_a_validity_that_ends_before_it_begins() {
    let gateway = Gateway::fixture().await;
    for (from, until) in [
        ("2027-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("soon", "later"),
    ] {
        let world = format!(
            "version: 1\ngrants: [{{to: {{application: C, account: partner}}, api: orders, valid_from: \"{from}\", valid_until: \"{until}\"}}]\n"
        );
        assert!(gateway.apply(&world).await.is_err(), "{from} to {until}");
    }
}

#[tokio::test]
async fn cache_004_the_same_path_on_two_hosts_is_two_things() {
    let world = r#"
version: 1
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - {name: one, kind: rest, hosts: [one.test], base_path: /x, admits: [api_key], stages: {RELEASE: {service: origin}}}
  - {name: two, kind: rest, hosts: [two.test], base_path: /x, admits: [api_key], stages: {RELEASE: {service: origin}}}
consumers: [{name: ann, api_key: {sources: [bearer], keys: [ann-key-0123456789abcdef]}}]
grants: [{to: {consumer: ann}, api: one}]
"#;
    let gateway = Gateway::start(world).await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    for _ in 0..3 {
        let statuses = [
            connection
                .call(&Request::get("one.test", "/x").bearer("ann-key-0123456789abcdef"))
                .await
                .unwrap()
                .status,
            connection
                .call(&Request::get("two.test", "/x").bearer("ann-key-0123456789abcdef"))
                .await
                .unwrap()
                .status,
        ];
        assert_eq!(statuses, [200, 403]);
    }
}

#[tokio::test]
async fn ssrf_002_a_header_does_not_choose_the_service() {
    let gateway = Gateway::fixture().await;
    let trap = keyward_testkit::upstream::Upstream::start().await.unwrap();
    for name in
        ["X-Upstream-Host", "Mcp-Init-Host", "X-Target-Url", "X-Envoy-Original-Dst-Host", "X-Forwarded-Host"]
    {
        let request = Request::get(HOST, "/orders/1").bearer(K1).header(name, &trap.address().to_string());
        assert_eq!(gateway.call(&request).await.status, 200, "{name}");
    }
    assert_eq!(trap.bytes(), b"");
}

#[tokio::test]
async fn ssrf_006_a_failure_tells_nothing_about_the_service() {
    let world = "version: 1\nservices: [{name: gone, kind: http, endpoints: [\"http://127.0.0.1:1\"]}]\napis: [{name: gone, kind: rest, hosts: [gw.test], base_path: /, admits: [anyone], stages: {RELEASE: {service: gone}}}]\n";
    let gateway = Gateway::start(world).await;
    let answer = gateway.call(&Request::get(HOST, "/x")).await;
    assert_eq!(answer.status, 502);
    let all = format!("{:?} {}", answer.headers, answer.text());
    assert!(!all.contains("127.0.0.1:1") && !all.to_lowercase().contains("refused"), "{all}");
}

#[tokio::test]
async fn admin_004_the_admin_plane_is_not_behind_the_gateway() {
    let gateway = Gateway::fixture().await;
    for target in ["/admin", "/v1/applications", "/apisix/admin", "/metrics", "/healthz"] {
        assert_eq!(gateway.call(&Request::get(HOST, target)).await.status, 404, "{target}");
    }
    let own = format!(
        "version: 1\nservices: [{{name: self, kind: http, endpoints: [\"http://{}\"]}}]\n",
        gateway.admin_address()
    );
    assert!(gateway.apply(&own).await.is_err(), "the node's own admin listener was taken as an endpoint");
}
