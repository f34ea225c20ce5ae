//! Key sets that are fetched from a real server: rotation, outages, and the attack catalogue's classes jwt, jwks-config
//! and ssrf as far as they are about fetching.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use keyward_testkit::client::Connection;
use keyward_testkit::gateway::{Gateway, Setup, until_async};
use keyward_testkit::key_server::{KeyAnswer, KeyServer, SigningKey};
use keyward_testkit::request::Request;
use serde_json::{Value, json};

const HOST: &str = "gw.test";

fn world(url: &str, more: &str) -> String {
    format!(
        "version: 1\nservices: [{{name: origin, kind: http, endpoints: [\"${{UPSTREAM}}\"]}}]\n\
         apis: [{{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [jwt], stages: {{RELEASE: {{service: origin}}}}}}]\n\
         consumers: [{{name: robot, jwt: {{remote: {{url: \"{url}\"{more}}}, identity_claim: {{name: uid, value: robot}}}}}}]\n\
         grants: [{{to: {{consumer: robot}}, api: orders}}]\n"
    )
}

async fn start(server: &KeyServer) -> Gateway {
    start_with(&world(&server.url("localhost"), "")).await
}

async fn start_with(world: &str) -> Gateway {
    let setup = Setup { allow_egress: vec!["localhost".into()], ..Setup::default() };
    Gateway::start_with(world, setup).await
}

fn claims(gateway: &Gateway) -> Value {
    json!({"uid": "robot", "exp": gateway.now_ms() / 1000 + 86_400 * 30})
}

fn call(gateway: &Gateway, key: &SigningKey) -> Request {
    Request::get(HOST, "/orders/1").bearer(&key.token(&claims(gateway)))
}

/// Status and reason of a call by this key.
async fn outcome(gateway: &Gateway, key: &SigningKey) -> (u16, String) {
    let answer = gateway.call(&call(gateway, key)).await;
    (answer.status, gateway.reason_of(&answer).await)
}

async fn health(gateway: &Gateway) -> Value {
    let answer = gateway.admin(Request::get("localhost", "/v1/consumers/robot")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let consumer: Value = serde_json::from_str(&answer.text()).unwrap();
    consumer["credentials"][0]["key_set"].clone()
}

/// Waits until the key set's health says this.
async fn until_error(gateway: &Gateway, what: &str) {
    let found = until_async(async || {
        let health = health(gateway).await;
        health["error"].as_str().is_some_and(|error| error.contains(what)).then_some(health)
    });
    match found.await {
        Some(health) => assert_eq!(health["healthy"], false, "{health}"),
        None => panic!("`{what}` is not told: {}", health(gateway).await),
    }
}

#[tokio::test]
async fn the_first_token_waits_for_the_keys_and_passes() {
    let (server, key) = (KeyServer::start().await, SigningKey::new("r1"));
    server.publishes(&[&key]);
    let gateway = start(&server).await;
    assert_eq!(outcome(&gateway, &key).await, (200, String::new()));
    let stranger = SigningKey::new("r1");
    assert_eq!(outcome(&gateway, &stranger).await, (401, "proof_mismatch".into()));
    until_async(async || (health(&gateway).await["healthy"] == true).then_some(())).await.unwrap();
}

#[tokio::test]
async fn jwt_040_no_token_of_a_listed_key_is_refused_while_keys_rotate() {
    let server = KeyServer::start().await;
    let keys: Vec<SigningKey> = (0..12).map(|number| SigningKey::new(&format!("r{number}"))).collect();
    server.publishes(&[&keys[0]]);
    let gateway = Arc::new(start(&server).await);
    let tokens: Arc<Vec<Vec<u8>>> = Arc::new(keys.iter().map(|key| call(&gateway, key).to_bytes()).collect());
    let (current, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (tokens, current, over) = (Arc::clone(&tokens), Arc::clone(&current), Arc::clone(&over));
        let address = gateway.address();
        clients.spawn(async move {
            let mut connection = Connection::open(address).await.unwrap();
            let (mut calls, mut refused) = (0, Vec::new());
            while !over.load(SeqCst) {
                let key = current.load(SeqCst);
                connection.send(&tokens[key]).await.unwrap();
                let status = connection.answer(false).await.unwrap().status;
                calls += 1;
                if status != 200 {
                    refused.push((key, status));
                }
            }
            (calls, refused)
        });
    }
    for next in 1..keys.len() {
        // The new key is listed beside the old one before anybody signs with it; the old one goes a rotation later.
        server.publishes(&[&keys[next], &keys[next - 1]]);
        gateway.advance_ms(11_000);
        current.store(next, SeqCst);
        let removed = next.checked_sub(2);
        let settled = until_async(async || {
            let hits = gateway.upstream().hits();
            let passes = outcome(&gateway, &keys[next]).await.0 == 200;
            let gone = match removed {
                Some(removed) => {
                    outcome(&gateway, &keys[removed]).await == (401, "credential_unknown".into())
                }
                None => true,
            };
            (passes && gone && gateway.upstream().hits() > hits + 20).then_some(())
        });
        settled.await.unwrap_or_else(|| panic!("rotation {next} did not settle"));
    }
    over.store(true, SeqCst);
    let results = clients.join_all().await;
    let refused: Vec<_> = results.iter().flat_map(|(_, refused)| refused).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(results.iter().all(|(calls, _)| *calls > 20), "everybody called");
}

#[tokio::test]
async fn unknown_keys_cause_a_fetch_in_ten_seconds_at_most() {
    let (server, key) = (KeyServer::start().await, SigningKey::new("r1"));
    server.publishes(&[&key]);
    let gateway = start(&server).await;
    assert_eq!(outcome(&gateway, &key).await.0, 200);
    gateway.advance_ms(11_000);
    let before = server.hits();
    for number in 0..50 {
        let unknown = SigningKey::new(&format!("junk-{number}"));
        assert_eq!(outcome(&gateway, &unknown).await, (401, "credential_unknown".into()));
    }
    assert_eq!(server.hits(), before + 1, "one fetch for all of them");
    assert_eq!(outcome(&gateway, &key).await.0, 200);
    gateway.advance_ms(11_000);
    let unknown = SigningKey::new("later");
    assert_eq!(outcome(&gateway, &unknown).await.0, 401);
    assert_eq!(server.hits(), before + 2);
    // Tokens that are nobody's cause none.
    gateway.advance_ms(11_000);
    let stranger =
        SigningKey::new("r9").token(&json!({"uid": "nobody", "exp": gateway.now_ms() / 1000 + 60}));
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(&stranger)).await.status, 401);
    assert_eq!(server.hits(), before + 2);
}

#[tokio::test]
async fn a_set_is_fetched_on_a_timer_that_the_answer_can_shorten() {
    let (server, key) = (KeyServer::start().await, SigningKey::new("r1"));
    let document = json!({"keys": [key.jwk()]}).to_string();
    server.answers(KeyAnswer::Document(document, Some("max-age=1")));
    let gateway = start(&server).await;
    let hits = |wanted: usize| {
        let server = &server;
        async move { until_async(async || (server.hits() >= wanted).then_some(())).await.unwrap() }
    };
    hits(1).await;
    // A minute is the shortest.
    gateway.advance_ms(61_000);
    hits(2).await;
    server.publishes(&[&key]);
    gateway.advance_ms(61_000);
    hits(3).await;
    gateway.advance_ms(301_000);
    hits(4).await;
}

#[tokio::test]
async fn the_last_good_set_is_believed_for_its_time_and_no_longer() {
    let (server, key) = (KeyServer::start().await, SigningKey::new("r1"));
    server.publishes(&[&key]);
    let gateway = start_with(&world(&server.url("localhost"), ", keep_s: 3600")).await;
    assert_eq!(outcome(&gateway, &key).await.0, 200);
    server.answers(KeyAnswer::Broken);
    gateway.advance_ms(3_500_000);
    until_error(&gateway, "it answers 503").await;
    assert_eq!(outcome(&gateway, &key).await.0, 200);
    // A restart changes nothing: the set is in the store.
    let gateway = gateway.restart().await;
    assert_eq!(outcome(&gateway, &key).await.0, 200);
    gateway.advance_ms(3_600_000 - 3_500_000 + 1);
    assert_eq!(outcome(&gateway, &key).await, (503, "secret_unresolvable".into()));
    server.publishes(&[&key]);
    gateway.advance_ms(31_000);
    until_async(async || (outcome(&gateway, &key).await.0 == 200).then_some(())).await.expect("it recovers");
    until_async(async || (health(&gateway).await["healthy"] == true).then_some(())).await.unwrap();
}

#[tokio::test]
async fn jwk_002_004_006_008_a_fetched_set_is_judged_as_a_given_one() {
    let (server, good) = (KeyServer::start().await, SigningKey::new("good"));
    server.publishes(&[&good]);
    let gateway = start(&server).await;
    assert_eq!(outcome(&gateway, &good).await.0, 200);
    let off_curve =
        json!({"kty": "EC", "crv": "P-256", "kid": "bad", "x": "A".repeat(43), "y": "A".repeat(43)});
    let oct = |bytes: usize, alg: &str| json!({"kty": "oct", "alg": alg, "kid": "o", "k": "A".repeat(bytes)});
    let duplicate = [SigningKey::new("twice").jwk(), SigningKey::new("twice").jwk()];
    for (bad, what) in [
        (json!([oct(20, "HS256")]), "HS256"),
        (json!([oct(86, "HS256")]), "symmetric key"),
        (json!(duplicate), "twice"),
        (json!([oct(86, "RS256")]), "RS256"),
        (json!([off_curve]), "P-256"),
        (json!([]), "0 keys"),
    ] {
        server.answers(KeyAnswer::Document(json!({"keys": bad}).to_string(), None));
        gateway.advance_ms(301_000);
        until_error(&gateway, what).await;
        assert_eq!(outcome(&gateway, &good).await.0, 200, "what was good stays: {what}");
    }
    for (answer, what) in [
        (KeyAnswer::Huge(262_145), "more than 262144 bytes"),
        (KeyAnswer::Document("<html>".into(), None), "key set"),
        (KeyAnswer::Silent, "in time"),
    ] {
        server.answers(answer);
        gateway.advance_ms(301_000);
        until_error(&gateway, what).await;
        assert_eq!(outcome(&gateway, &good).await.0, 200, "what was good stays: {what}");
    }
}

#[tokio::test]
async fn private_members_of_fetched_keys_are_kept_nowhere() {
    let (server, key) = (KeyServer::start().await, SigningKey::new("r1"));
    let mut jwk = key.jwk();
    jwk["d"] = json!("canary-private-member-0123456789abcdefghijkl");
    server.answers(KeyAnswer::Document(json!({"keys": [jwk]}).to_string(), None));
    let gateway = start(&server).await;
    assert_eq!(outcome(&gateway, &key).await.0, 200);
    until_async(async || (health(&gateway).await["healthy"] == true).then_some(())).await.unwrap();
    for (path, bytes) in gateway.data_files() {
        let found = bytes.windows(21).any(|window| window == b"canary-private-member");
        assert!(!found, "{}", path.display());
    }
}

#[tokio::test]
async fn ssrf_004_key_sets_are_not_fetched_from_addresses_that_nobody_allowed() {
    let (server, key) = (KeyServer::start().await, SigningKey::new("r1"));
    server.publishes(&[&key]);
    // The name leads to loopback; the address itself is there too, in several spellings.
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let world = world(&server.url(host), "");
        let gateway = Gateway::start_with(&world, Setup::default()).await;
        assert_eq!(outcome(&gateway, &key).await, (503, "secret_unresolvable".into()), "{host}");
        until_error(&gateway, "not at a public address").await;
    }
    assert_eq!(server.hits(), 0);
    // A redirect leads nowhere, wherever it points.
    let other = KeyServer::start().await;
    other.publishes(&[&key]);
    server.answers(KeyAnswer::Redirect(other.url("localhost")));
    let gateway = start(&server).await;
    assert_eq!(outcome(&gateway, &key).await, (503, "secret_unresolvable".into()));
    until_error(&gateway, "it answers 302").await;
    assert_eq!(other.hits(), 0);
}

#[tokio::test]
async fn two_consumers_with_one_address_cause_one_fetch() {
    let (server, key) = (KeyServer::start().await, SigningKey::new("r1"));
    server.publishes(&[&key]);
    let url = server.url("localhost");
    let both = world(&url, "").replace(
        "consumers: [",
        &format!("consumers: [{{name: other, jwt: {{remote: {{url: \"{url}\"}}, identity_claim: {{name: uid, value: other}}}}}}, "),
    );
    let gateway = start_with(&both).await;
    assert_eq!(outcome(&gateway, &key).await.0, 200);
    assert_eq!(server.hits(), 1);
    // Who no longer names it leaves nothing behind, and an export says where it comes from.
    let export = gateway.admin(Request::get("localhost", "/v1/export")).await.text();
    assert!(export.contains(&url), "{export}");
}
