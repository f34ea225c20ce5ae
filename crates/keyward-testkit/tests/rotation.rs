//! Rotating credentials, and reporting those that leaked.

use keyward_control::{Actor, GrantFilter, ObjectRef};
use keyward_model::{Qualified, Role};
use keyward_testkit::client::Answer;
use keyward_testkit::gateway::Gateway;
use keyward_testkit::operators::Operating;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;
use serde_json::Value;

const WORLD: &str = r#"
version: 1
services: [{name: origin, endpoints: ["${UPSTREAM}"]}]
apis:
  - {name: orders, hosts: [gw.test], base_path: /orders, admits: [app_signature, app_code, api_key], app_code_requires_tls: false, stages: {RELEASE: {service: origin}}}
  - {name: bills, hosts: [gw.test], base_path: /bills, admits: [app_signature, api_key], stages: {RELEASE: {service: origin}}}
applications:
  - {name: shop, key_pairs: [{app_key: shop-1, app_secret: secret-of-shop-0123456789}], app_codes: [code-of-shop-0123456789]}
consumers: [{name: robot, api_key: {sources: [bearer], keys: [key-of-robot-0123456789ab]}}]
grants: [{to: {application: shop}, api: orders}, {to: {consumer: robot}, api: orders}]
"#;

async fn owner(gateway: &Gateway) -> Operating {
    gateway.operator("own", &[(None, Role::Owner)]).await
}

async fn credentials(gateway: &Gateway, who: &Operating, target: &str) -> Vec<Value> {
    let shown = gateway.admin_as(who, "GET", target, "").await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    shown.json()["credentials"].as_array().unwrap().clone()
}

fn id(credentials: &[Value], kind: &str) -> String {
    let found = credentials.iter().find(|credential| credential["kind"] == kind).expect("a credential");
    found["id"].as_str().unwrap().to_owned()
}

async fn with_key(gateway: &Gateway, key: &str) -> u16 {
    gateway.call(&Request::get("gw.test", "/orders/1").bearer(key)).await.status
}

async fn signed(gateway: &Gateway, app_key: &str, secret: &str, nonce: &str) -> u16 {
    let signing = Signing::alibaba(app_key, secret).fresh(gateway.now_ms(), nonce);
    gateway.call(&Request::get("gw.test", "/orders/1").signed(&signing)).await.status
}

fn minted(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 201, "{}", answer.text());
    let minted = &answer.json()["minted"][0];
    let text = |name: &str| minted[name].as_str().unwrap_or_default().to_owned();
    (text("label"), text("value"))
}

#[tokio::test]
async fn a_rotated_api_key_goes_on_for_the_overlap_beside_its_successor() {
    let gateway = Gateway::start(WORLD).await;
    let owner = owner(&gateway).await;
    let old = id(&credentials(&gateway, &owner, "/v1/consumers/robot").await, "api_key");
    let rotate = format!("/v1/credentials/{old}/rotate");
    let rotated = gateway.admin_as(&owner, "POST", &rotate, r#"{"overlap_s": 60}"#).await;
    let (_, new) = minted(&rotated);
    assert_eq!(with_key(&gateway, "key-of-robot-0123456789ab").await, 200);
    assert_eq!(with_key(&gateway, &new).await, 200);
    let both = credentials(&gateway, &owner, "/v1/consumers/robot").await;
    assert_eq!(both.len(), 2);
    assert!(both.iter().all(|credential| credential["lineage"] == old.as_str()), "{both:?}");
    gateway.advance_ms(60_000);
    assert_eq!(with_key(&gateway, "key-of-robot-0123456789ab").await, 401, "the overlap has ended");
    assert_eq!(with_key(&gateway, &new).await, 200);
    let again = gateway.admin_as(&owner, "POST", &rotate, "{}").await;
    assert_eq!((again.status, again.json()["code"].as_str()), (409, Some("credential_ended")));
}

#[tokio::test]
async fn the_successor_of_the_default_pair_is_the_default_one_and_the_old_one_can_go() {
    let gateway = Gateway::start(WORLD).await;
    let owner = owner(&gateway).await;
    let old = id(&credentials(&gateway, &owner, "/v1/applications/shop").await, "key_pair");
    let refused = gateway.admin_as(&owner, "DELETE", &format!("/v1/credentials/{old}"), "").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("default_key_pair")));
    let rotate = format!("/v1/credentials/{old}/rotate");
    let taken = gateway.admin_as(&owner, "POST", &rotate, r#"{"app_key": "SHOP-1"}"#).await;
    assert_eq!(
        (taken.status, taken.json()["code"].as_str()),
        (409, Some("app_key_taken")),
        "{}",
        taken.text()
    );
    let rotated =
        gateway.admin_as(&owner, "POST", &rotate, r#"{"overlap_s": 3600, "app_key": "shop-2"}"#).await;
    let (app_key, secret) = minted(&rotated);
    assert_eq!(app_key, "shop-2");
    assert_eq!(signed(&gateway, "shop-1", "secret-of-shop-0123456789", "nonce-of-the-old-1").await, 200);
    assert_eq!(signed(&gateway, "shop-2", &secret, "nonce-of-the-new-1").await, 200);
    let pairs = credentials(&gateway, &owner, "/v1/applications/shop").await;
    let default: Vec<_> = pairs.iter().filter(|pair| pair["default"] == true).collect();
    assert_eq!(default.len(), 1);
    assert_eq!(default[0]["app_key"], "shop-2");
    let gone = gateway.admin_as(&owner, "DELETE", &format!("/v1/credentials/{old}"), "").await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(signed(&gateway, "shop-1", "secret-of-shop-0123456789", "nonce-of-the-old-2").await, 401);
}

#[tokio::test]
async fn a_dry_rotation_changes_and_shows_nothing() {
    let gateway = Gateway::start(WORLD).await;
    let owner = owner(&gateway).await;
    let old = id(&credentials(&gateway, &owner, "/v1/consumers/robot").await, "api_key");
    let dry =
        gateway.admin_as(&owner, "POST", &format!("/v1/credentials/{old}/rotate?dry_run=true"), "{}").await;
    assert_eq!(dry.status, 201, "{}", dry.text());
    assert!(dry.json().get("minted").is_none(), "{}", dry.text());
    assert_eq!(credentials(&gateway, &owner, "/v1/consumers/robot").await.len(), 1);
    assert_eq!(with_key(&gateway, "key-of-robot-0123456789ab").await, 200);
}

#[tokio::test]
async fn a_reported_leak_proves_nothing_any_more_and_the_answer_does_not_say_whether_it_did() {
    let gateway = Gateway::start(WORLD).await;
    let owner = owner(&gateway).await;
    let viewer = gateway.operator("reporter", &[(Some("default"), Role::Viewer)]).await;
    let leaked = gateway.operator("leaky", &[(None, Role::Admin)]).await;
    let report = async |body: String| {
        let before = gateway.node().control().revision().number;
        let answer = gateway.admin_as(&viewer, "POST", "/v1/leaks", &body).await;
        let heads: Vec<_> = ["content-type", "content-length", "etag"]
            .map(|name| answer.header(name).map(str::to_owned))
            .into();
        (answer.status, answer.text(), heads, gateway.node().control().revision().number - before)
    };
    let nothing = report(r#"{"value": "not a value of anybody"}"#.to_owned()).await;
    assert_eq!((nothing.0, nothing.1.as_str(), nothing.3), (200, "{}", 1));
    for body in [
        r#"{"value": "key-of-robot-0123456789ab"}"#.to_owned(),
        r#"{"value": "code-of-shop-0123456789"}"#.to_owned(),
        r#"{"value": "secret-of-shop-0123456789", "app_key": "shop-1"}"#.to_owned(),
        r#"{"value": "not its secret", "app_key": "shop-1"}"#.to_owned(),
        r#"{"value": "key-of-robot-0123456789ab", "app_key": "no AppKey"}"#.to_owned(),
        format!(r#"{{"value": "{}"}}"#, leaked.token),
    ] {
        assert_eq!(report(body.clone()).await, nothing, "{body}");
    }
    assert_eq!(with_key(&gateway, "key-of-robot-0123456789ab").await, 401);
    assert_eq!(signed(&gateway, "shop-1", "secret-of-shop-0123456789", "nonce-of-the-leak").await, 401);
    assert_eq!(gateway.admin_as(&leaked, "GET", "/v1/session", "").await.status, 401);
    let audit = gateway.admin_as(&owner, "GET", "/v1/audit?action=leak.report&limit=1000", "").await;
    assert!(
        !audit.text().contains("key-of-robot") && !audit.text().contains("secret-of-shop"),
        "{}",
        audit.text()
    );
    let touched =
        audit.json()["items"].as_array().unwrap().iter().filter(|entry| entry["noun"] != "leak").count();
    assert_eq!(touched, 4, "{}", audit.text());
}

#[tokio::test]
async fn many_grants_are_given_together_or_not_at_all() {
    let gateway = Gateway::start(WORLD).await;
    let owner = owner(&gateway).await;
    let count = async || {
        let filter = GrantFilter { limit: Some(1_000), ..GrantFilter::default() };
        gateway.node().control().grants().list(&Actor::LocalToken, filter).await.unwrap().items.len()
    };
    let before = count().await;
    let wrong = r#"{"to": [{"application": "shop"}, {"consumer": "nobody"}], "apis": ["bills"]}"#;
    let refused = gateway.admin_as(&owner, "POST", "/v1/grants/batch", wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("nobody"), "{}", refused.text());
    assert_eq!(count().await, before);
    let right = r#"{"to": [{"application": "shop"}, {"consumer": "robot"}], "apis": ["orders", "bills"], "valid_until": "2026-07-01T00:00:00Z"}"#;
    let given = gateway.admin_as(&owner, "POST", "/v1/grants/batch", right).await;
    assert_eq!(given.status, 200, "{}", given.text());
    assert_eq!(given.json()["grants"].as_array().unwrap().len(), 4);
    assert_eq!(count().await, before + 2, "two existed, and have the new end now");
    let all = given.json()["grants"].as_array().unwrap().clone();
    assert!(all.iter().all(|grant| grant["valid_until"] == "2026-07-01T00:00:00Z"), "{all:?}");
    let many: Vec<String> = (0..101).map(|n| format!(r#"{{"application": "a{n}"}}"#)).collect();
    let many = format!(r#"{{"to": [{}], "apis": ["orders"]}}"#, many.join(","));
    assert_eq!(gateway.admin_as(&owner, "POST", "/v1/grants/batch", &many).await.status, 422);
}

#[tokio::test]
async fn an_application_is_made_with_its_first_grant_or_not_at_all() {
    let gateway = Gateway::start(WORLD).await;
    let owner = owner(&gateway).await;
    let developer = gateway.operator("dev", &[(Some("default"), Role::Developer)]).await;
    let body = r#"{"name": "new", "grants": [{"api": "orders", "stages": ["RELEASE"]}]}"#;
    let refused = gateway.admin_as(&developer, "POST", "/v1/applications", body).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (403, Some("role_lacking")),
        "{}",
        refused.text()
    );
    assert_eq!(
        gateway.admin_as(&owner, "GET", "/v1/applications/new", "").await.status,
        404,
        "nothing of it was kept"
    );
    let unknown = r#"{"name": "new", "grants": [{"api": "no-such"}]}"#;
    assert_eq!(gateway.admin_as(&owner, "POST", "/v1/applications", unknown).await.status, 422);
    assert_eq!(gateway.admin_as(&owner, "GET", "/v1/applications/new", "").await.status, 404);
    let made = gateway.admin_as(&owner, "POST", "/v1/applications", body).await;
    let (app_key, secret) = minted(&made);
    assert_eq!(signed(&gateway, &app_key, &secret, "nonce-of-the-first").await, 200);
}

#[tokio::test]
async fn a_caller_of_another_account_is_found_by_its_exact_id_and_shows_its_name() {
    let gateway = Gateway::start(&format!("{WORLD}accounts: [{{name: theirs}}]\n")).await;
    let foreign = gateway.operator("foreign", &[(Some("theirs"), Role::Admin)]).await;
    let named = Qualified { account: "default".parse().unwrap(), name: "shop".parse().unwrap() };
    let shop = gateway.node().control().applications().get(&Actor::LocalToken, ObjectRef::Named(named)).await;
    let id = shop.unwrap().id;
    let found = gateway.admin_as(&foreign, "GET", &format!("/v1/callers/{id}"), "").await;
    assert_eq!(found.status, 200, "{}", found.text());
    let mut shown = found.json();
    shown.as_object_mut().unwrap().remove("revision");
    assert_eq!(shown, serde_json::json!({"id": id.to_string(), "noun": "application", "name": "shop"}));
    assert_eq!(gateway.admin_as(&foreign, "GET", "/v1/callers/shop", "").await.status, 422);
    assert_eq!(gateway.admin_as(&foreign, "GET", &format!("/v1/applications/{id}"), "").await.status, 404);
}

#[tokio::test]
async fn an_account_bounds_how_long_its_grants_hold() {
    let world = format!("{WORLD}accounts: [{{name: default, grant_validity_max_s: 3600}}]\n");
    let bound = world.replace("grants: [", "ignored: [").replace(
        "ignored: [{to: {application: shop}, api: orders}, {to: {consumer: robot}, api: orders}]\n",
        "",
    );
    let gateway = Gateway::start(&bound).await;
    let owner = owner(&gateway).await;
    let give = async |until: &str| {
        let body = format!(r#"{{"to": {{"application": "shop"}}, "api": "orders"{until}}}"#);
        gateway.admin_as(&owner, "POST", "/v1/grants", &body).await
    };
    for until in ["", r#", "valid_until": "2026-06-01T13:00:01Z""#] {
        let refused = give(until).await;
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (422, Some("validity_too_long")),
            "{}",
            refused.text()
        );
    }
    let given = give(r#", "valid_until": "2026-06-01T13:00:00Z""#).await;
    assert_eq!(given.status, 201, "{}", given.text());
    let grant = given.json()["id"].as_str().unwrap().to_owned();
    assert!(given.json()["granted_by"].as_str().unwrap().starts_with("operator opr_"), "{}", given.text());
    let longer = gateway
        .admin_as(
            &owner,
            "PATCH",
            &format!("/v1/grants/{grant}"),
            r#"{"valid_until": "2026-06-02T00:00:00Z"}"#,
        )
        .await;
    assert_eq!(
        (longer.status, longer.json()["code"].as_str()),
        (422, Some("validity_too_long")),
        "{}",
        longer.text()
    );
}
