//! The attack catalogue, class app-signature, through the live gateway. (What can be decided purely is also tried,
//! with more inputs, in keyward-access.)

use keyward_testkit::client::{Connection, call};
use keyward_testkit::fixture::{A_CODE, A0, A1, HOST, J1_SECRET, K1};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;

/// A complete strict request: POST with JSON, everything signed.
fn strict(gateway: &Gateway, nonce: &str) -> Request {
    Request::get(HOST, "/strict?b=2&a=1")
        .method("POST")
        .header("Accept", "application/json")
        .header("Content-Type", "application/json")
        .header("Date", "Mon, 01 Jun 2026 12:00:00 GMT")
        .body(r#"{"amount":1}"#)
        .signed(&Signing { stage: Some("TEST".into()), ..signing(gateway, nonce) })
}

fn signing(gateway: &Gateway, nonce: &str) -> Signing {
    Signing::alibaba(A0.0, A0.1).fresh(gateway.now_ms(), nonce)
}

#[tokio::test]
async fn hmac_001_one_bit_anywhere_closes_the_door() {
    let gateway = Gateway::fixture().await;
    let good = strict(&gateway, "nonce-of-hmac-001-good");
    assert_eq!(gateway.call(&good).await.status, 200);
    let sample = strict(&gateway, "nonce-of-hmac-001-flip");
    let raw = sample.to_bytes();
    let head = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let host = raw.windows(6).position(|w| w == b"Host: ").unwrap();
    let host_end = host + raw[host..].iter().position(|&b| b == b'\n').unwrap();
    let version = raw.windows(6).position(|w| w == b" HTTP/").unwrap();
    let before = gateway.upstream().hits();
    for at in 0..raw.len() {
        // Version, host and framing are not signed; flips there are other requests, not forgeries.
        let framing = (version..=host_end).contains(&at)
            || String::from_utf8_lossy(&raw[..head])
                .rfind("Content-Length")
                .is_some_and(|start| (start..head + 4).contains(&at));
        if framing {
            continue;
        }
        let mut flipped = raw.clone();
        flipped[at] ^= 1 << (at % 7);
        if flipped[at].eq_ignore_ascii_case(&raw[at]) && at < head {
            // The case of a field's name is no part of its meaning, unless the list spells it.
            continue;
        }
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        connection.send(&flipped).await.unwrap();
        connection.half_close().await.unwrap();
        if let Ok(answer) = connection.answer(false).await {
            assert!(
                answer.status >= 400,
                "byte {at} of {:?} was let through",
                String::from_utf8_lossy(&flipped)
            );
        }
    }
    assert_eq!(gateway.upstream().hits(), before, "a changed request reached the service");
}

#[tokio::test]
async fn hmac_003_strict_wants_a_body_digest() {
    let gateway = Gateway::fixture().await;
    let request =
        Request::get(HOST, "/strict").method("POST").header("Content-Type", "application/json").body("{}");
    let request = request.signed(&Signing { no_digest: true, ..signing(&gateway, "nonce-of-hmac-003-1") });
    let answer = gateway.call(&request).await;
    assert!(matches!(answer.status, 400 | 401), "{answer:?}");
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn hmac_005_a_large_body_whose_digest_fails_never_becomes_complete() {
    let gateway = Gateway::start(&WORLD_STREAMING.replace("{{KEYS}}", "")).await;
    let body = vec![b'x'; 3 << 20];
    let mut request = Request::get(HOST, "/stream")
        .method("POST")
        .header("Content-Type", "application/octet-stream")
        .body(body);
    request = request.signed(&signing(&gateway, "nonce-of-hmac-005-1"));
    assert_eq!(gateway.call(&request).await.status, 200, "the body as it was signed must pass");
    let mut changed = Request::get(HOST, "/stream")
        .method("POST")
        .header("Content-Type", "application/octet-stream")
        .body(vec![b'x'; 3 << 20]);
    changed = changed.signed(&signing(&gateway, "nonce-of-hmac-005-2"));
    if let Some(last) = changed.body.last_mut() {
        *last = b'y';
    }
    let hits = gateway.upstream().hits();
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let answer = connection.call(&changed).await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status == 400), "{answer:?}");
    assert_eq!(gateway.upstream().hits(), hits, "the service saw a complete message");
}

#[tokio::test]
async fn a_large_body_is_refused_with_the_setting_to_change_where_it_may_not_stream() {
    let gateway = Gateway::fixture().await;
    let request = Request::get(HOST, "/orders")
        .method("POST")
        .header("Content-Type", "application/octet-stream")
        .body(vec![b'x'; 2 << 20]);
    let answer = gateway.call(&request.signed(&signing(&gateway, "nonce-of-large-1234"))).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.text().contains("stream_before_digest"), "{}", answer.text());
    assert_eq!(gateway.upstream().hits(), 0);
}

const WORLD_STREAMING: &str = r#"
version: 1
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - {name: stream, kind: rest, hosts: [gw.test], base_path: /stream, admits: [app_signature], stream_before_digest: true, stages: {RELEASE: {service: origin}}}
applications:
  - {name: A, key_pairs: [{app_key: app-a-k0, app_secret: secret-of-a-k0-0123456789abcdef, scheme: alibaba}]}
grants: [{to: {application: A}, api: stream}]
"#;

#[tokio::test]
async fn hmac_007_strict_wants_timestamp_nonce_and_key_signed() {
    let gateway = Gateway::fixture().await;
    for (index, dropped) in ["X-Ca-Timestamp", "X-Ca-Nonce", "X-Ca-Key", "X-Ca-Stage"].iter().enumerate() {
        let nonce = format!("nonce-of-hmac-007-{index}");
        let full = Signing { stage: Some("TEST".into()), ..signing(&gateway, &nonce) };
        let mut request = Request::get(HOST, "/strict").signed(&full);
        resign_without(&mut request, dropped, A0.1);
        let answer = gateway.call(&request).await;
        assert_eq!(answer.status, 401, "{dropped}: {answer:?}");
        assert_eq!(gateway.reason_of(&answer).await, "required_header_not_signed", "{dropped}");
    }
    assert_eq!(gateway.upstream().hits(), 0);
}

/// Takes a name off the list and signs again, correctly.
fn resign_without(request: &mut Request, dropped: &str, secret: &str) {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit, Mac};
    let list: Vec<String> = request
        .value("x-ca-signature-headers")
        .unwrap()
        .split(',')
        .filter(|name| *name != dropped)
        .map(str::to_owned)
        .collect();
    let mut text = format!("{}\n\n\n\n\n", request.method);
    for name in &list {
        text.push_str(&format!("{name}:{}\n", request.value(name).unwrap()));
    }
    text.push_str(&request.target);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    request.set("X-Ca-Signature-Headers", &list.join(","));
    request.set(
        "X-Ca-Signature",
        &base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes()),
    );
}

#[tokio::test]
async fn hmac_009_a_signed_header_twice() {
    let gateway = Gateway::fixture().await;
    let request = Request::get(HOST, "/orders/1").signed(&signing(&gateway, "nonce-of-hmac-009-a"));
    let answer = gateway.call(&request.header("X-Ca-Nonce", "nonce-of-hmac-009-b")).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn hmac_011_strict_refuses_separators_within_values() {
    let gateway = Gateway::fixture().await;
    for (signed, sent) in [
        ("/strict?a=1%26b%3D2", "/strict?a=1&b=2"),
        ("/strict?a=1&b=2", "/strict?a=1%26b%3D2"),
        ("/strict?a=1%26b%3D2", "/strict?a=1%26b%3D2"),
    ] {
        let nonce = format!("nonce-of-hmac-011-{}", signed.len() * 100 + sent.len());
        let mut request = Request::get(HOST, signed).signed(&signing(&gateway, &nonce));
        request.target = sent.into();
        let answer = gateway.call(&request).await;
        if sent.contains("%26") {
            assert!(matches!(answer.status, 400 | 401), "{signed} -> {sent}: {answer:?}");
        }
    }
    // What was signed with a separator inside a value must not pass as two parameters, nor the reverse.
    let mut request =
        Request::get(HOST, "/strict?a=1%26b%3D2").signed(&signing(&gateway, "nonce-of-hmac-011-final"));
    let inside = gateway.call(&request).await;
    assert!(matches!(inside.status, 400 | 401), "{inside:?}");
    request.target = "/strict?a=1%26b=2".into();
    assert!(gateway.call(&request).await.status >= 400);
}

#[tokio::test]
async fn hmac_013_the_order_of_repeated_parameters_counts() {
    let gateway = Gateway::fixture().await;
    let mut request =
        Request::get(HOST, "/orders/1?a=1&a=2").signed(&signing(&gateway, "nonce-of-hmac-013-1"));
    request.target = "/orders/1?a=2&a=1".into();
    assert_eq!(gateway.call(&request).await.status, 401);
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn hmac_015_a_parameter_does_not_move_between_form_and_query() {
    let gateway = Gateway::fixture().await;
    let form = Request::get(HOST, "/strict")
        .method("POST")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("a=1");
    let mut moved = form.signed(&signing(&gateway, "nonce-of-hmac-015-1"));
    moved.target = "/strict?a=1".into();
    moved.body.clear();
    moved.announce_empty = true;
    let answer = gateway.call(&moved).await;
    assert!(matches!(answer.status, 400 | 401), "{answer:?}");
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn hmac_017_the_content_type_is_signed() {
    let gateway = Gateway::fixture().await;
    let form = || {
        Request::get(HOST, "/orders")
            .method("POST")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("a=1")
    };
    for (index, other) in [
        "application/json",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "APPLICATION/X-WWW-FORM-URLENCODED",
        "multipart/form-data; boundary=x",
    ]
    .iter()
    .enumerate()
    {
        let mut request = form().signed(&signing(&gateway, &format!("nonce-of-hmac-017-{index}")));
        request.set("Content-Type", other);
        let answer = gateway.call(&request).await;
        assert_eq!(answer.status, 401, "{other}: {answer:?}");
    }
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn hmac_019_the_method_is_signed_and_not_overridden() {
    let gateway = Gateway::fixture().await;
    for method in ["HEAD", "get"] {
        let mut request = Request::get(HOST, "/orders/1")
            .signed(&signing(&gateway, &format!("nonce-of-hmac-019-{method}")));
        request.method = method.into();
        let answer = gateway.call(&request).await;
        assert!(matches!(answer.status, 400 | 401 | 405), "{method}: {answer:?}");
    }
    assert_eq!(gateway.upstream().hits(), 0);
    let request = Request::get(HOST, "/orders/1")
        .header("X-HTTP-Method-Override", "DELETE")
        .signed(&signing(&gateway, "nonce-of-hmac-019-override"));
    assert_eq!(gateway.call(&request).await.status, 200);
    let last = gateway.upstream().last().unwrap();
    assert_eq!(last.line, "GET /orders/1 HTTP/1.1");
    assert!(last.values("x-http-method-override").is_empty(), "the override went on to the service");
}

#[tokio::test]
async fn hmac_021_a_stage_cannot_be_switched() {
    let gateway = Gateway::fixture().await;
    let mut request = Request::get(HOST, "/orders/1")
        .signed(&Signing { stage: Some("TEST".into()), ..signing(&gateway, "nonce-of-hmac-021-1") });
    request.set("X-Ca-Stage", "RELEASE");
    assert_eq!(gateway.call(&request).await.status, 401);
    request.remove("X-Ca-Stage");
    assert_eq!(gateway.call(&request).await.status, 401);
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn hmac_023_a_signature_has_one_spelling() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let gateway = Gateway::fixture().await;
    let mut request = Request::get(HOST, "/orders/1").signed(&signing(&gateway, "nonce-of-hmac-023-1"));
    let good = request.value("x-ca-signature").unwrap();
    let bytes = STANDARD.decode(&good).unwrap();
    let mut spellings: Vec<String> = (0..32).map(|length| STANDARD.encode(&bytes[..length])).collect();
    spellings.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    spellings.push(STANDARD.encode([bytes.as_slice(), b"x"].concat()));
    spellings.push(good.trim_end_matches('=').to_owned());
    spellings.push(format!("{good}="));
    spellings.push(good.replacen(char::is_alphanumeric, " ", 1));
    let url_safe = URL_SAFE.encode(&bytes);
    if url_safe != good {
        spellings.push(url_safe);
    }
    let last = good.trim_end_matches('=').chars().last().unwrap();
    let other = char::from(last as u8 + 1);
    spellings.push(format!("{}{other}=", &good[..good.len() - 2]));
    for spelling in spellings {
        request.set("X-Ca-Signature", &spelling);
        let answer = gateway.call(&request).await;
        assert!(matches!(answer.status, 400 | 401), "{spelling}: {answer:?}");
    }
    assert_eq!(gateway.upstream().hits(), 0);
    request.set("X-Ca-Signature", &good);
    assert_eq!(gateway.call(&request).await.status, 200, "the one right spelling must pass");
}

#[tokio::test]
async fn hmac_025_disabled_deleted_and_reset_hold_from_the_next_request_on() {
    let steps = [
        "{disable: {application: A}}",
        "{disable_credential: {application: A, kind: key_pair, index: 0}}",
        "{delete: {application: A}}",
    ];
    for (index, step) in steps.iter().enumerate() {
        let gateway = Gateway::fixture().await;
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        let signed = |nonce: &str| Request::get(HOST, "/orders/1").signed(&signing(&gateway, nonce));
        assert_eq!(
            connection.call(&signed(&format!("nonce-of-hmac-025-a{index}"))).await.unwrap().status,
            200
        );
        gateway.operate(step).await;
        let answer = connection.call(&signed(&format!("nonce-of-hmac-025-b{index}"))).await.unwrap();
        assert!(matches!(answer.status, 401 | 403), "{step}: {answer:?}");
        assert_eq!(gateway.upstream().hits(), 1);
    }
    let gateway = Gateway::fixture().await;
    let second = |nonce: &str, secret: &str| {
        Request::get(HOST, "/orders/1").signed(&Signing::alibaba(A1.0, secret).fresh(gateway.now_ms(), nonce))
    };
    assert_eq!(gateway.call(&second("nonce-of-hmac-025-c", A1.1)).await.status, 200);
    let fresh = gateway.reset_key_pair("A", A1.0).await;
    assert_eq!(
        gateway.call(&second("nonce-of-hmac-025-d", A1.1)).await.status,
        401,
        "the old secret still opens"
    );
    assert_eq!(
        gateway.call(&second("nonce-of-hmac-025-e", &fresh)).await.status,
        200,
        "the new secret does not open"
    );
}

#[tokio::test]
async fn hmac_027_app_keys_that_look_alike_are_refused() {
    let gateway = Gateway::fixture().await;
    for lookalike in ["APP-A-K0", "\u{ff41}pp-a-k0", "app-a-k0\u{200b}", " app-a-k0"] {
        let world = format!(
            "version: 1\napplications:\n  - {{name: lookalike, key_pairs: [{{app_key: \"{lookalike}\", app_secret: \"some-secret-0123456789\", scheme: alibaba}}]}}\n"
        );
        assert!(gateway.apply(&world).await.is_err(), "{lookalike:?} was taken");
    }
}

#[tokio::test]
async fn hmac_029_an_app_code_opens_only_where_it_is_admitted() {
    let gateway = Gateway::fixture().await;
    let code =
        |target: &str| Request::get(HOST, target).header("Authorization", &format!("APPCODE {A_CODE}"));
    assert_eq!(gateway.call(&code("/orders/1")).await.status, 401);
    assert_eq!(gateway.upstream().hits(), 0);
    assert_eq!(
        gateway.call(&code("/codes/1")).await.status,
        200,
        "from loopback, where it is admitted, it opens"
    );
    let by_query = Request::get(HOST, &format!("/codes/1?a=1&AppCode={A_CODE}"));
    assert_eq!(gateway.call(&by_query).await.status, 200);
    assert_eq!(gateway.upstream().last().unwrap().line, "GET /codes/1?a=1 HTTP/1.1");
}

#[tokio::test]
async fn hmac_031_signature_fields_in_the_query_are_nothing() {
    let gateway = Gateway::fixture().await;
    let signed = Request::get(HOST, "/orders/1").signed(&signing(&gateway, "nonce-of-hmac-031-1"));
    let query: Vec<String> = signed
        .headers
        .iter()
        .map(|(name, value)| {
            format!("{}={}", name.to_lowercase(), value.replace('+', "%2B").replace('=', "%3D"))
        })
        .collect();
    let answer = gateway.call(&Request::get(HOST, &format!("/orders/1?{}", query.join("&")))).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn unknown_and_wrong_look_the_same() {
    let gateway = Gateway::fixture().await;
    let mut faces = Vec::new();
    for (key, secret) in
        [("app-a-k0", "not-the-secret-0123456789"), ("app-z-k0", "not-the-secret-0123456789")]
    {
        let request = Request::get(HOST, "/orders/1?a=1")
            .header("Accept", "*/*")
            .signed(&Signing::alibaba(key, secret).fresh(gateway.now_ms(), "nonce-of-faces-12345"));
        let answer = gateway.call(&request).await;
        let id = answer.header("x-ca-request-id").unwrap().to_owned();
        let face = format!("{} {:?} {}", answer.status, answer.headers, answer.text());
        faces.push(face.replace(&id, "ID").replace(&id.to_lowercase(), "ID").replace(key, "KEY"));
    }
    assert_eq!(faces[0], faces[1]);
}

#[tokio::test]
async fn two_kinds_at_once_are_ambiguous_whoever_holds_them() {
    let gateway = Gateway::fixture().await;
    let token = keyward_testkit::signer::token(
        "HS256",
        Some("h1"),
        J1_SECRET,
        &serde_json::json!({"uid": "j1", "exp": gateway.now_ms() / 1000 + 300}),
    );
    for request in
        [Request::get(HOST, "/orders/1").bearer(K1), Request::get(HOST, "/orders/1").bearer(&token)]
    {
        assert_eq!(call(gateway.address(), &request).await.unwrap().status, 200);
        let both = request.signed(&signing(&gateway, "nonce-of-both-123456"));
        assert_eq!(gateway.call(&both).await.status, 400);
    }
}
