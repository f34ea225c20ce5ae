//! `Idempotency-Key`, `dry_run`, `wait=cluster` and `If-Match`: what every write takes.

use keyward_control::Actor;
use keyward_model::Role;
use keyward_testkit::client::Answer;
use keyward_testkit::gateway::Gateway;
use keyward_testkit::operators::{Operating, json};

const EMPTY: &str = "version: 1\naccounts: [{name: theirs}]\n";

async fn keyed(gateway: &Gateway, who: &Operating, target: &str, key: &str, body: &str) -> Answer {
    let request = json("POST", target, body).bearer(&who.token).header("Idempotency-Key", key);
    gateway.admin_anonymous(&request).await
}

async fn applications(gateway: &Gateway) -> usize {
    let list = gateway.node().control().applications().list(&Actor::LocalToken, Default::default()).await;
    list.unwrap().items.len()
}

#[tokio::test]
async fn a_lost_answer_is_given_again_with_its_secret_and_nothing_is_done_twice() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let body = r#"{"name": "shop"}"#;
    let first = keyed(&gateway, &owner, "/v1/applications", "key-1", body).await;
    assert_eq!(first.status, 201, "{}", first.text());
    assert!(first.json()["minted"][0]["value"].as_str().unwrap().starts_with("kw_secret_"));
    assert!(first.header("idempotency-replayed").is_none());
    let again = keyed(&gateway, &owner, "/v1/applications", "key-1", body).await;
    assert_eq!((again.status, again.text()), (first.status, first.text()));
    for name in ["etag", "location", "keyward-revision", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(applications(&gateway).await, 1);
    // Also after a restart, and for another token of the same operator; a day later it is a new request.
    let gateway = gateway.restart().await;
    let again = keyed(&gateway, &owner, "/v1/applications", "key-1", body).await;
    assert_eq!(again.text(), first.text());
    gateway.advance_ms(86_400_000);
    let later = keyed(&gateway, &owner, "/v1/applications", "key-1", body).await;
    assert_eq!(later.json()["code"], "name_taken", "{}", later.text());
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_operator() {
    let gateway = Gateway::start(EMPTY).await;
    let one = gateway.operator("one", &[(None, Role::Owner)]).await;
    let two = gateway.operator("two", &[(None, Role::Owner)]).await;
    let made = keyed(&gateway, &one, "/v1/applications", "key", r#"{"name": "a"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let other = keyed(&gateway, &one, "/v1/applications", "key", r#"{"name": "b"}"#).await;
    assert_eq!((other.status, other.json()["code"].as_str()), (422, Some("idempotency_key_reused")));
    let dry = keyed(&gateway, &one, "/v1/applications?dry_run=true", "key", r#"{"name": "a"}"#).await;
    assert_eq!(dry.status, 422, "another query is another request: {}", dry.text());
    let elsewhere = keyed(&gateway, &one, "/v1/accounts", "key", r#"{"name": "a"}"#).await;
    assert_eq!(elsewhere.status, 201, "another route has keys of its own: {}", elsewhere.text());
    let theirs = keyed(&gateway, &two, "/v1/applications", "key", r#"{"name": "c"}"#).await;
    assert_eq!(theirs.status, 201, "another operator has keys of its own: {}", theirs.text());
    for key in ["", "with blank", &"x".repeat(256)] {
        let refused = keyed(&gateway, &one, "/v1/applications", key, r#"{"name": "d"}"#).await;
        assert_eq!(refused.status, 422, "{key:?}: {}", refused.text());
    }
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_under_the_same_key() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let grant = r#"{"to": {"group": "staff"}, "api": "orders"}"#;
    assert_eq!(keyed(&gateway, &owner, "/v1/grants", "key", grant).await.status, 422);
    gateway
        .apply("version: 1\nservices: [{name: o, endpoints: [\"${UPSTREAM}\"]}]\napis: [{name: orders, base_path: /o, hosts: [a.test], admits: [api_key], stages: {RELEASE: {service: o}}}]\ngroups: [{name: staff}]\n")
        .await
        .unwrap();
    assert_eq!(keyed(&gateway, &owner, "/v1/grants", "key", grant).await.status, 201);
}

#[tokio::test]
async fn of_the_same_request_many_times_at_once_one_is_done_and_all_get_its_answer() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let body = r#"{"name": "shop"}"#;
    let calls: Vec<_> = (0..16).map(|_| keyed(&gateway, &owner, "/v1/applications", "key", body)).collect();
    let mut answers = Vec::new();
    for call in futures_util::future::join_all(calls).await {
        assert_eq!(call.status, 201, "{}", call.text());
        answers.push(call.text());
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(applications(&gateway).await, 1);
}

#[tokio::test]
async fn an_answer_is_not_given_again_to_whoever_lost_the_right_to_it() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let both = [(Some("default"), Role::Developer), (Some("theirs"), Role::Viewer)];
    let developer = gateway.operator("dev", &both).await;
    let body = r#"{"name": "shop"}"#;
    let made = keyed(&gateway, &developer, "/v1/applications", "key", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let secret = made.json()["minted"][0]["value"].as_str().unwrap().to_owned();
    // A token that was narrowed is the same operator.
    let narrow = r#"{"name": "narrow", "role": "viewer", "accounts": ["theirs"]}"#;
    let narrow = gateway.admin_as(&developer, "POST", "/v1/operators/dev/tokens", narrow).await;
    let narrow = Operating { name: "dev".into(), token: narrow.json()["value"].as_str().unwrap().into() };
    let refused = keyed(&gateway, &narrow, "/v1/applications", "key", body).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("role_lacking")));
    assert!(!refused.text().contains(&secret));
    // So is one whose roles became others.
    let roles = r#"{"roles": [{"role": "viewer", "account": "default"}, {"role": "developer", "account": "theirs"}]}"#;
    assert_eq!(gateway.admin_as(&owner, "PATCH", "/v1/operators/dev", roles).await.status, 200);
    let refused = keyed(&gateway, &developer, "/v1/applications", "key", body).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (409, Some("idempotency_key_done")));
    assert!(!refused.text().contains(&secret), "{}", refused.text());
    assert_eq!(applications(&gateway).await, 1);
}

#[tokio::test]
async fn nothing_is_read_of_a_body_for_whoever_may_not_do_it_anyway() {
    let gateway = Gateway::start(EMPTY).await;
    let viewer = gateway.operator("view", &[(None, Role::Viewer)]).await;
    let head = format!(
        "POST /v1/apply HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nIdempotency-Key: k\r\n\
         Content-Type: application/yaml\r\nContent-Length: 300000000\r\n\r\n",
        viewer.token
    );
    // The answer comes although nothing of the body was sent.
    let mut connection = keyward_testkit::client::Connection::open(gateway.admin_address()).await.unwrap();
    connection.send(head.as_bytes()).await.unwrap();
    let answer = connection.answer(false).await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("role_lacking")));
}

#[tokio::test]
async fn kept_answers_are_sealed() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let made = keyed(&gateway, &owner, "/v1/applications", "key", r#"{"name": "shop"}"#).await;
    let secret = made.json()["minted"][0]["value"].as_str().unwrap().to_owned();
    for (path, bytes) in gateway.data_files() {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{} holds a secret", path.display());
    }
}

#[tokio::test]
async fn admin_026_of_two_who_change_the_same_object_the_second_is_told() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let made = gateway.admin_as(&owner, "POST", "/v1/applications", r#"{"name": "shop"}"#).await;
    let etag = made.header("etag").unwrap().to_owned();
    let change = |text: &str| {
        json("PATCH", "/v1/applications/shop", &format!(r#"{{"description": "{text}"}}"#))
            .bearer(&owner.token)
            .header("If-Match", &etag)
    };
    let (one, two) = (change("one"), change("two"));
    let (one, two) = tokio::join!(gateway.admin_anonymous(&one), gateway.admin_anonymous(&two));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{} {}", one.text(), two.text());
    let kept = gateway.admin_as(&owner, "GET", "/v1/applications/shop", "").await;
    let winner = if one.status == 200 { "one" } else { "two" };
    assert_eq!(kept.json()["description"], winner);
}

#[tokio::test]
async fn a_dry_run_of_any_write_says_what_would_be_and_keeps_nothing() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let before = gateway.node().control().revision();
    for (method, target, body, status) in [
        ("POST", "/v1/accounts?dry_run=true", r#"{"name": "new"}"#, 201),
        ("POST", "/v1/applications?dry_run=true", r#"{"name": "new"}"#, 201),
        ("POST", "/v1/applications?dry_run=true", r#"{"name": ""}"#, 422),
        ("POST", "/v1/operators?dry_run=true", r#"{"name": "new"}"#, 201),
        ("POST", "/v1/operators/own/tokens?dry_run=true", r#"{"name": "new"}"#, 201),
        ("PATCH", "/v1/accounts/theirs?dry_run=true", r#"{"description": "new"}"#, 200),
        ("POST", "/v1/accounts/theirs/disable?dry_run=true", "", 200),
        ("DELETE", "/v1/accounts/theirs?dry_run=true", "", 200),
    ] {
        let answer = gateway.admin_as(&owner, method, target, body).await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        assert!(answer.json().get("minted").is_none(), "{}", answer.text());
        assert!(answer.json().get("value").is_none(), "{}", answer.text());
    }
    assert_eq!(gateway.node().control().revision(), before);
    let theirs = gateway.admin_as(&owner, "GET", "/v1/accounts/theirs", "").await;
    assert_eq!(
        (theirs.json()["enabled"].as_bool(), theirs.json()["description"].as_str()),
        (Some(true), Some(""))
    );
}

#[tokio::test]
async fn a_write_that_waits_for_the_cluster_names_the_nodes_that_have_it() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let made = gateway.admin_as(&owner, "POST", "/v1/applications?wait=cluster", r#"{"name": "shop"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let nodes = gateway.admin_as(&owner, "GET", "/v1/nodes", "").await;
    assert_eq!(nodes.status, 200, "{}", nodes.text());
    let this = &nodes.json()["items"][0];
    assert_eq!((this["this"].as_bool(), this["lag"].as_u64()), (Some(true), Some(0)), "{}", nodes.text());
    assert_eq!(made.json()["cluster"]["applied"][0]["id"], this["id"], "{}", made.text());
    assert_eq!(made.json()["cluster"]["lagging"].as_array().unwrap().len(), 0);
    let id = this["id"].as_str().unwrap();
    let running = gateway.admin_as(&owner, "DELETE", &format!("/v1/nodes/{id}"), "").await;
    assert_eq!(
        (running.status, running.json()["code"].as_str()),
        (409, Some("node_running")),
        "{}",
        running.text()
    );
}
