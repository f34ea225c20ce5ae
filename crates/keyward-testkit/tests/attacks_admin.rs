//! The attack catalogue through the admin API and world files: what may be written, read and told.

use keyward_control::Actor;
use keyward_testkit::client::Answer;
use keyward_testkit::fixture::{self, B0, C0, HOST, K1};
use keyward_testkit::gateway::{Gateway, Setup};
use keyward_testkit::postgres::Postgres;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;
use serde_json::{Value, json};

async fn get(gateway: &Gateway, target: &str) -> Answer {
    gateway.admin(Request::get("localhost", target)).await
}

async fn send(gateway: &Gateway, method: &str, target: &str, body: &Value) -> Answer {
    let request = Request::get("localhost", target)
        .method(method)
        .header("Content-Type", "application/json")
        .body(body.to_string());
    gateway.admin(request).await
}

fn signed(gateway: &Gateway, pair: (&str, &str), nonce: &str) -> Request {
    Request::get(HOST, "/orders/1").signed(&Signing::alibaba(pair.0, pair.1).fresh(gateway.now_ms(), nonce))
}

#[tokio::test]
async fn jwt_014_an_identity_belongs_to_one_consumer() {
    let gateway = Gateway::fixture().await;
    let revision = gateway.node().control().revision();
    let jwt = json!({"symmetric": true, "identity_claim": {"name": "uid", "value": "j1"}});
    let made = send(&gateway, "POST", "/v1/consumers", &json!({"name": "J5", "jwt": jwt})).await;
    assert_eq!(made.status, 409, "{}", made.text());
    assert!(made.text().contains("identity_claim"), "{}", made.text());
    let world = "version: 1\nconsumers: [{name: J5, jwt: {symmetric: true, identity_claim: {name: uid, value: j1}}}]\n";
    assert!(gateway.apply(world).await.is_err());
    assert_eq!(get(&gateway, "/v1/consumers/J5").await.status, 404, "nothing of it was kept");
    assert_eq!(gateway.node().control().revision(), revision);
    // Nor by an edit.
    let other = json!({"name": "J6", "jwt": {"symmetric": true}});
    assert_eq!(send(&gateway, "POST", "/v1/consumers", &other).await.status, 201);
    let moved = send(&gateway, "PUT", "/v1/consumers/J6/jwt", &jwt).await;
    assert_eq!(moved.status, 409, "{}", moved.text());
    // One claim name with two values, and one value under two names, are two identities.
    for claim in [json!({"name": "uid", "value": "J1"}), json!({"name": "sub", "value": "j1"})] {
        let set = send(
            &gateway,
            "PUT",
            "/v1/consumers/J6/jwt",
            &json!({"symmetric": true, "identity_claim": claim}),
        )
        .await;
        assert_eq!(set.status, 200, "{}", set.text());
    }
}

#[tokio::test]
async fn partner_005_a_provider_sees_of_a_partners_application_its_id_and_name() {
    let gateway = Gateway::fixture().await;
    let listed = get(&gateway, "/v1/grants?api=orders").await;
    assert_eq!(listed.status, 200);
    assert!(listed.text().contains(r#"{"application":"C","account":"partner"}"#), "{}", listed.text());
    let who = get(&gateway, "/v1/who-can?api=orders").await;
    assert_eq!(who.status, 200, "{}", who.text());
    for (answer, name) in [(&listed, "grants"), (&who, "who-can")] {
        let text = answer.text();
        assert!(!text.contains(C0.0) && !text.contains(C0.1), "{name} shows a partner's AppKey: {text}");
    }
    // By its name it is found in its own account alone, whatever one wants with it.
    for (method, target) in [
        ("GET", "/v1/applications/C"),
        ("GET", "/v1/applications/C/key-pairs"),
        ("PATCH", "/v1/applications/C"),
        ("POST", "/v1/applications/C/key-pairs"),
        ("POST", "/v1/applications/C/disable"),
        ("DELETE", "/v1/applications/C"),
        ("GET", "/v1/applications/C?account=stranger"),
    ] {
        let body = if method == "PATCH" { json!({"description": "mine"}) } else { json!({}) };
        let request = Request::get("localhost", target).method(method);
        let request = match method {
            "PATCH" | "POST" => request.header("Content-Type", "application/json").body(body.to_string()),
            _ => request,
        };
        let request = if target.ends_with("disable") { Request { body: vec![], ..request } } else { request };
        let answer = gateway.admin(request).await;
        assert_eq!(answer.status, 404, "{method} {target}: {}", answer.text());
    }
    let exported =
        gateway.node().control().export(&Actor::LocalToken, vec!["default".parse().unwrap()]).await.unwrap();
    assert!(!format!("{exported:?}").contains(C0.0), "an export of one account shows another's AppKey");
    assert_eq!(gateway.call(&signed(&gateway, C0, "nonce-of-partner-005")).await.status, 200);
}

#[tokio::test]
async fn grant_017_there_is_no_grant_for_everything() {
    let gateway = Gateway::fixture().await;
    for wrong in [
        "{to: {application: B}, api: \"*\"}",
        "{to: {application: B}}",
        "{to: {application: \"*\"}, api: orders}",
        "{to: {anyone: true}, api: orders}",
        "{to: {account: partner}, api: orders}",
        "{to: {application: B, account: \"*\"}, api: orders}",
        "{to: {application: B}, api: orders, stages: [\"*\"]}",
        "{to: {application: B}, api: orders, stages: []}",
        "{to: {application: B}, api: orders, gateways: []}",
        "{to: {application: B}, api: orders, operations: []}",
        "{to: {application: B}, api: [orders, once]}",
    ] {
        assert!(gateway.apply(&format!("version: 1\ngrants: [{wrong}]\n")).await.is_err(), "{wrong}");
    }
    assert_eq!(gateway.call(&signed(&gateway, B0, "nonce-of-grant-017-a")).await.status, 403);
}

#[tokio::test]
async fn an_api_that_comes_back_under_its_name_has_no_old_grants() {
    let gateway = Gateway::fixture().await;
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
    gateway.operate("{delete: {api: orders}}").await;
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 404);
    let again = "version: 1\napis: [{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key], stages: {RELEASE: {service: origin}}}]\n";
    gateway.apply(again).await.unwrap();
    let other = "version: 1\nconsumers: [{name: K9, api_key: {sources: [bearer], keys: [kw-test-k9-0123456789abcdefghij]}}]\ngrants: [{to: {consumer: K9}, api: orders}]\n";
    gateway.apply(other).await.unwrap();
    let answer = gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await;
    assert!(matches!(answer.status, 401 | 403), "an old grant came back to life: {answer:?}");
    assert_eq!(
        gateway.call(&Request::get(HOST, "/orders/1").bearer("kw-test-k9-0123456789abcdefghij")).await.status,
        200
    );
}

#[tokio::test]
async fn an_application_that_comes_back_under_its_name_has_no_old_grants() {
    let gateway = Gateway::fixture().await;
    gateway.operate("{delete: {application: C, account: partner}}").await;
    let again = format!(
        "version: 1\napplications: [{{name: C, account: partner, key_pairs: [{{app_key: {}, app_secret: {}, scheme: alibaba}}]}}]\n",
        C0.0, C0.1
    );
    gateway.apply(&again).await.unwrap();
    let answer = gateway.call(&signed(&gateway, C0, "nonce-of-the-come-back")).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(gateway.reason_of(&answer).await, "grant_missing");
}

#[tokio::test]
async fn a_stage_that_is_unpublished_is_not_found() {
    let gateway = Gateway::fixture().await;
    let unpublished =
        gateway.admin(Request::get("localhost", "/v1/apis/orders/stages/RELEASE").method("DELETE")).await;
    assert!(matches!(unpublished.status, 200 | 204), "{}", unpublished.text());
    let answer = gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await;
    assert_eq!((answer.status, gateway.reason_of(&answer).await.as_str()), (404, "api_not_found"));
    let publish =
        send(&gateway, "PUT", "/v1/apis/orders/stages/RELEASE", &json!({"service": "origin"})).await;
    assert!(matches!(publish.status, 200 | 201), "{}", publish.text());
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
}

#[tokio::test]
async fn prop_004_the_last_of_quick_changes_counts() {
    let gateway = Gateway::fixture().await;
    for round in 0..20 {
        let world = format!(
            "version: 1\ngrants: [{{to: {{application: B}}, api: orders, stages: [RELEASE], description: round {round}}}]\n"
        );
        gateway.apply(&world).await.unwrap();
        gateway.operate(&format!("{{revoke: round {round}}}")).await;
        let status =
            gateway.call(&signed(&gateway, B0, &format!("nonce-of-prop-004-{round:02}-a"))).await.status;
        assert_eq!(status, 403, "round {round}");
        gateway.apply(&world.replace("round", "again")).await.unwrap();
        let status =
            gateway.call(&signed(&gateway, B0, &format!("nonce-of-prop-004-{round:02}-b"))).await.status;
        assert_eq!(status, 200, "round {round}");
        gateway.operate(&format!("{{revoke: again {round}}}")).await;
    }
}

#[tokio::test]
async fn admin_012_a_body_is_json_or_nothing() {
    let gateway = Gateway::fixture().await;
    let body = json!({"name": "evil"}).to_string();
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
    ] {
        let mut request = Request::get("localhost", "/v1/applications").method("POST").body(body.clone());
        if let Some(content_type) = content_type {
            request.set("Content-Type", content_type);
        }
        assert_eq!(gateway.admin(request).await.status, 415, "{content_type:?}");
    }
    assert_eq!(get(&gateway, "/v1/applications/evil").await.status, 404);
}

#[tokio::test]
async fn admin_014_other_names_are_not_answered() {
    let gateway = Gateway::fixture().await;
    for host in ["attacker.example", "localhost.attacker.example", "gw.test", "127.0.0.1.nip.io"] {
        let answer = gateway.admin(Request::get(host, "/v1/applications")).await;
        assert!(matches!(answer.status, 403 | 421), "{host}: {}", answer.text());
    }
}

#[tokio::test]
async fn admin_032_lists_are_capped_and_unknown_orders_refused() {
    let gateway = Gateway::fixture().await;
    let capped = get(&gateway, "/v1/grants?limit=1000000000").await;
    assert!(matches!(capped.status, 200 | 422), "{}", capped.text());
    for wrong in ["/v1/applications?sort=app_secret", "/v1/grants?limit=-1", "/v1/grants?expand=all"] {
        assert!(matches!(get(&gateway, wrong).await.status, 400 | 422), "{wrong}");
    }
}

#[tokio::test]
async fn secret_018_a_redirect_is_the_clients_to_follow() {
    use keyward_testkit::gateway::Setup;
    use keyward_testkit::upstream::Upstream;
    let trap = Upstream::start().await.unwrap();
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {}/x\r\nContent-Length: 0\r\n\r\n", trap.url());
    let upstream = Upstream::answering(redirect.into_bytes().leak()).await.unwrap();
    let world = r#"
version: 1
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"], auth: {header: {name: X-Backend-Key, value: backend-key-0123456789}}}]
apis: [{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [anyone], stages: {RELEASE: {service: origin}}}]
"#;
    let gateway = Gateway::start_on(world, Setup::default(), upstream).await;
    let answer = gateway.call(&Request::get(HOST, "/orders/1")).await;
    assert_eq!(answer.status, 302);
    assert_eq!(gateway.upstream().last().unwrap().values("x-backend-key"), ["backend-key-0123456789"]);
    assert!(!format!("{answer:?}").contains("backend-key"));
    assert_eq!(trap.bytes(), b"", "the gateway followed it");
}

#[tokio::test]
async fn audit_006_what_operators_write_stays_within_its_entry() {
    let gateway = Gateway::fixture().await;
    let description = "first\r\n{\"actor\":\"root\"}\u{1b}[31m \",\"actor\":\"root";
    let made =
        send(&gateway, "POST", "/v1/applications", &json!({"name": "odd", "description": description})).await;
    // What is refused is not there; what is taken is one JSON string in answers, and one in the audit.
    if made.status == 201 {
        let text = get(&gateway, "/v1/applications/odd").await.text();
        assert!(text.bytes().all(|byte| byte >= b' ' || byte == b'\n'), "{text:?}");
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["description"], description);
    } else {
        assert_eq!(made.status, 422, "{}", made.text());
    }
    for name in ["a\nb", "a\u{1b}[31m", "a\",\"b", "../x", ""] {
        let refused = send(&gateway, "POST", "/v1/applications", &json!({"name": name})).await;
        assert_eq!(refused.status, 422, "{name:?}: {}", refused.text());
        assert!(!refused.text().contains('\u{1b}'), "{name:?}");
    }
}

/// The audit is a table of the store: whoever cannot write there does nothing and shows nothing.
#[tokio::test]
async fn fail_017_nothing_is_done_or_shown_without_its_audit_entry() {
    let (database, keys) = (Postgres::shared().database(), tempfile::tempdir().unwrap());
    let setup = Setup { store: Some((database.url(), keys.path().join("master.key"))), ..Setup::default() };
    let gateway = Gateway::start_with(&fixture::world(), setup).await;
    let made = send(&gateway, "POST", "/v1/applications", &json!({"name": "kept"})).await.json();
    let secret = made["minted"][0]["value"].as_str().unwrap();
    let credential = format!("/v1/credentials/{}", made["credentials"][0]["id"].as_str().unwrap());
    database.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no audit'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let state = "SELECT revision, audit_seq, (SELECT count(*) FROM callers), (SELECT count(*) FROM credentials), \
                 (SELECT count(*) FROM idempotency) FROM head";
    let before = database.sql(state);
    let writes = [
        ("POST", "/v1/applications".to_owned(), json!({"name": "new"})),
        ("POST", "/v1/consumers".to_owned(), json!({"name": "new", "jwt": {"symmetric": true}})),
        ("PATCH", "/v1/applications/kept".to_owned(), json!({"description": "changed"})),
        ("POST", "/v1/applications/kept/disable".to_owned(), Value::Null),
        ("DELETE", "/v1/applications/kept".to_owned(), Value::Null),
        ("POST", "/v1/applications/kept/key-pairs".to_owned(), json!({})),
        ("POST", format!("{credential}/reveal"), Value::Null),
        ("POST", format!("{credential}/reset"), json!({})),
        ("POST", format!("{credential}/rotate"), json!({"overlap_s": 60})),
    ];
    for (method, target, body) in &writes {
        for key in [None, Some("a-key")] {
            let text = if body.is_null() { String::new() } else { body.to_string() };
            let mut request = keyward_testkit::operators::json(method, target, &text);
            if let Some(key) = key.filter(|_| !target.ends_with("reveal")) {
                request = request.header("Idempotency-Key", key);
            }
            let answer = gateway.admin(request).await;
            assert_eq!(answer.status, 503, "{method} {target}: {}", answer.text());
            let text = answer.text();
            assert!(
                !text.contains(secret) && !text.contains("kw_secret_") && !text.contains("minted"),
                "{text}"
            );
        }
        assert_eq!(database.sql(state), before, "{method} {target}");
        assert_eq!(
            gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status,
            200,
            "calls go on"
        );
    }
    database.sql("DROP TRIGGER refuse ON audit");
    let reveal = keyward_testkit::operators::json("POST", &format!("{credential}/reveal"), "");
    let shown = gateway.admin(reveal).await;
    assert_eq!(shown.json()["value"].as_str(), Some(secret), "{}", shown.text());
    assert_eq!(get(&gateway, "/v1/audit/verify").await.status, 200);
}
