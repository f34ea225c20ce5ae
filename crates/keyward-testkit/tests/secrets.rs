//! Secrets on a live node: rotation under load, what is refused when one cannot be had, and where none ever shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use keyward_testkit::client::Connection;
use keyward_testkit::gateway::Gateway;
use keyward_testkit::operators::json;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;

const CONNECTIONS: usize = 64;

fn rotations() -> usize {
    if std::env::var_os("KEYWARD_SOAK").is_some() { 1_000 } else { 100 }
}

/// An API whose callers and service rest on secrets.
fn world() -> String {
    format!(
        r#"version: 1
secrets:
  - {{name: inbound, value: "{}"}}
  - {{name: outbound, value: "{}"}}
  - {{name: signing, value: "{}"}}
services:
  - {{name: origin, endpoints: ["${{UPSTREAM}}"], auth: {{header: {{name: X-Backend-Key, value: "v1 $ref{{outbound}} end"}}}}}}
apis:
  - {{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key, app_signature], stages: {{RELEASE: {{service: origin}}}}}}
consumers:
  - {{name: partner, api_key: {{sources: [bearer], keys: ["$ref{{inbound}}"]}}}}
applications:
  - {{name: signer, key_pairs: [{{app_key: signer-key, app_secret: "$ref{{signing}}"}}]}}
grants:
  - {{to: {{consumer: partner}}, api: orders}}
  - {{to: {{application: signer}}, api: orders}}
"#,
        inbound(0),
        outbound(0),
        signing(0)
    )
}

fn inbound(round: usize) -> String {
    format!("inbound-canary-{round:05}-abcdefgh")
}

fn outbound(round: usize) -> String {
    format!("outbound-canary-{round:05}-abcdefgh")
}

fn signing(round: usize) -> String {
    format!("signing-canary-{round:05}-abcdefgh")
}

async fn rotate(gateway: &Gateway, name: &str, value: &str, overlap_s: u64) {
    let body = format!(r#"{{"value": "{value}", "overlap_s": {overlap_s}}}"#);
    let answer = gateway.admin(json("POST", &format!("/v1/secrets/{name}/rotate"), &body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// What the busy connections and the operator share.
#[derive(Default)]
struct Shared {
    /// So many rotations were answered.
    answered: AtomicUsize,
    /// Values before this one are over: their overlap has ended.
    ended: AtomicUsize,
    calls: AtomicUsize,
    refused: AtomicUsize,
    late: AtomicUsize,
    over: AtomicBool,
}

/// Calls by turns with the newest value, with the one before, and with one that ended.
async fn call_on(shared: Arc<Shared>, mut connection: Connection) {
    let mut turn = 0_usize;
    while !shared.over.load(SeqCst) {
        turn += 1;
        let (answered, ended) = (shared.answered.load(SeqCst), shared.ended.load(SeqCst));
        let value = match turn % 3 {
            0 => answered,
            1 => answered.saturating_sub(1),
            _ => ended.saturating_sub(1),
        };
        let holds_before = value >= ended;
        let request = Request::get("gw.test", "/orders/1").bearer(&inbound(value));
        let request = request.header("x-expect", &answered.to_string());
        let answer = connection.call(&request).await.unwrap();
        shared.calls.fetch_add(1, SeqCst);
        // Only what held when the call began and when it was over had to pass.
        let holds_after = value >= shared.ended.load(SeqCst);
        match (holds_before && holds_after, answer.status) {
            (true, 200) | (false, 401) => {}
            (true, _) => drop(shared.refused.fetch_add(1, SeqCst)),
            // It ended before it began.
            (false, 200) if !holds_before => drop(shared.late.fetch_add(1, SeqCst)),
            (false, _) => {}
        }
    }
}

async fn others_have_called(shared: &Shared) {
    let before = shared.calls.load(SeqCst);
    while shared.calls.load(SeqCst) < before + CONNECTIONS * 3 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn key_020_secret_016_rotations_under_load_refuse_nobody_and_let_nobody_in_afterwards() {
    let gateway = Gateway::start(&world()).await;
    let shared = Arc::new(Shared::default());
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        busy.spawn(call_on(Arc::clone(&shared), Connection::open(gateway.address()).await.unwrap()));
    }
    for round in 1..=rotations() {
        rotate(&gateway, "inbound", &inbound(round), 60).await;
        rotate(&gateway, "outbound", &outbound(round), 60).await;
        shared.answered.store(round, SeqCst);
        others_have_called(&shared).await;
        // The overlap ends.
        gateway.advance_ms(61_000);
        shared.ended.store(round, SeqCst);
        others_have_called(&shared).await;
    }
    shared.over.store(true, SeqCst);
    while let Some(ended) = busy.join_next().await {
        ended.unwrap();
    }
    let calls = shared.calls.load(SeqCst);
    assert!(calls > rotations() * CONNECTIONS, "the connections were not busy: {calls} calls");
    assert_eq!(shared.late.load(SeqCst), 0, "of {calls} calls, some passed by a value that had ended");
    assert_eq!(shared.refused.load(SeqCst), 0, "of {calls} calls, some were refused though their value held");

    let bytes = gateway.upstream().bytes();
    let mut seen = 0;
    for head in String::from_utf8_lossy(&bytes).split("\r\n\r\n").filter(|head| head.contains("x-expect")) {
        let field = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
            line.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
        };
        let (Some(sent), Some(expected)) = (field("x-backend-key"), field("x-expect")) else { continue };
        let expected: usize = expected.parse().unwrap();
        let whole = [expected, expected + 1].map(|round| format!("v1 {} end", outbound(round)));
        assert!(whole.contains(&sent), "after {expected} rotations the service was sent `{sent}`");
        seen += 1;
    }
    assert!(seen > rotations(), "the service saw {seen} calls");
}

#[tokio::test]
async fn a_signature_by_the_value_before_holds_for_the_overlap() {
    let gateway = Gateway::start(&world()).await;
    let mut nonce = 0;
    let mut call = async |round: usize| {
        nonce += 1;
        let nonce = format!("nonce-of-rotation-{nonce:04}");
        let signing = Signing::alibaba("signer-key", &signing(round)).fresh(gateway.now_ms(), &nonce);
        gateway.call(&Request::get("gw.test", "/orders/1").signed(&signing)).await.status
    };
    assert_eq!(call(0).await, 200);
    rotate(&gateway, "signing", &signing(1), 60).await;
    assert_eq!((call(0).await, call(1).await, call(2).await), (200, 200, 401));
    gateway.advance_ms(61_000);
    assert_eq!(call(1).await, 200);
    assert_ne!(call(0).await, 200);
}

#[tokio::test]
async fn what_cannot_be_resolved_is_refused_with_its_reason_and_sends_nothing() {
    let gateway = Gateway::start(&world()).await;
    let request = Request::get("gw.test", "/orders/1").bearer(&inbound(0));
    assert_eq!(gateway.call(&request).await.status, 200);
    let literal = Request::get("gw.test", "/orders/1").bearer("$ref{inbound}");
    let refused = gateway.call(&literal).await;
    assert_eq!((refused.status, &*gateway.reason_of(&refused).await), (401, "credential_unknown"));
    for name in ["inbound", "outbound"] {
        let hits = gateway.upstream().hits();
        let disabled = gateway.admin(json("POST", &format!("/v1/secrets/{name}/disable"), "")).await;
        assert_eq!(disabled.status, 200);
        assert!(disabled.text().contains("reference_breaks"), "{}", disabled.text());
        let refused = gateway.call(&request).await;
        assert_eq!(
            (refused.status, &*gateway.reason_of(&refused).await),
            (503, "secret_unresolvable"),
            "{name}"
        );
        assert_eq!(gateway.upstream().hits(), hits, "nothing was sent");
        gateway.admin(json("POST", &format!("/v1/secrets/{name}/enable"), "")).await;
        assert_eq!(gateway.call(&request).await.status, 200, "{name}");
    }
    let dry = gateway.admin(json("POST", "/v1/secrets/inbound/disable?dry_run=true", "")).await;
    assert!(dry.text().contains("consumer `partner` refers to it"), "{}", dry.text());
    assert_eq!(gateway.call(&request).await.status, 200, "a dry run breaks nothing");
}

#[tokio::test]
async fn uses_are_told_by_version() {
    let gateway = Gateway::start(&world()).await;
    assert_eq!(gateway.call(&Request::get("gw.test", "/orders/1").bearer(&inbound(0))).await.status, 200);
    let status = async |name: &str| {
        let shown = gateway.admin(json("GET", &format!("/v1/secrets/{name}"), "")).await;
        let shown: serde_json::Value = serde_json::from_str(&shown.text()).unwrap();
        shown["status"].clone()
    };
    for name in ["inbound", "outbound"] {
        let used =
            keyward_testkit::gateway::until_async(async || status(name).await.get("last_used").map(|_| ()));
        assert!(used.await.is_some(), "{name}: {}", status(name).await);
    }
    rotate(&gateway, "inbound", &inbound(1), 60).await;
    let rotated = status("inbound").await;
    assert_eq!((&rotated["version"], &rotated["previous_version"]), (&2.into(), &1.into()));
    assert!(rotated.get("last_used").is_none() && rotated.get("previous_last_used").is_some(), "{rotated}");
    assert_eq!(rotated["references"], 1);
}

/// A value shows in what asks for it by name, and nowhere else: not in answers, exports, logs, figures, the audit or on the disk.
#[tokio::test]
async fn secret_002_a_value_shows_nowhere_but_where_it_is_revealed() {
    let gateway = Gateway::start(&world()).await;
    let canaries = ["inbound-canary", "outbound-canary", "signing-canary"];
    let mut texts: Vec<(String, String)> = Vec::new();
    let calls = [
        Request::get("gw.test", "/orders/1").bearer(&inbound(0)),
        Request::get("gw.test", "/orders/1").bearer("wrong"),
    ];
    for call in &calls {
        let answer = gateway.call(call).await;
        texts.push(("an answer".to_owned(), answer.text()));
    }
    rotate(&gateway, "inbound", &inbound(1), 60).await;
    rotate(&gateway, "signing", &signing(1), 60).await;
    let wrong = [
        json("POST", "/v1/secrets/outbound/rotate", r#"{"value": "outbound-canary\nwith a break"}"#),
        json(
            "POST",
            "/v1/secrets/inbound/rotate",
            r#"{"value": "inbound-canary", "overlap_s": 99999999999}"#,
        ),
        json("POST", "/v1/secrets", r#"{"name": "a b", "value": "signing-canary"}"#),
        json("POST", "/v1/secrets", r#"{"name": "ab", "value": "signing-canary", "from": {"env": "A"}}"#),
        json("PATCH", "/v1/secrets/inbound", r#"{"value": ["inbound-canary"]}"#),
    ];
    for request in wrong {
        let answer = gateway.admin(request).await;
        assert!((400..500).contains(&answer.status), "{}", answer.text());
        texts.push(("a refusal".to_owned(), answer.text()));
    }
    for path in [
        "/v1/secrets",
        "/v1/secrets/inbound",
        "/v1/secrets/inbound/references",
        "/v1/consumers",
        "/v1/applications",
        "/v1/services",
        "/v1/audit",
        "/v1/audit/export",
        "/v1/export",
        "/v1/access-review",
        "/metrics",
        "/v1/explain?api=orders&consumer=partner",
    ] {
        let answer = gateway.admin(json("GET", path, "")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        texts.push((path.to_owned(), answer.text()));
    }
    texts.extend(gateway.log_lines(2).await.into_iter().map(|line| ("the access log".to_owned(), line)));
    for (path, bytes) in gateway.data_files() {
        texts.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    let mut looked = 0;
    for (place, text) in &texts {
        looked += 1;
        for canary in canaries {
            assert!(!text.contains(canary), "{place} shows {canary}: {text}");
        }
    }
    assert!(looked > 20, "{looked} places");
    let revealed = gateway.admin(json("POST", "/v1/secrets/inbound/reveal", "")).await;
    assert!(revealed.text().contains(&inbound(1)), "{}", revealed.text());
    assert_eq!(revealed.header("cache-control"), Some("no-store"));
    let audit = gateway.admin(json("GET", "/v1/audit?action=secret.reveal", "")).await.text();
    assert!(audit.contains("secret.reveal") && !audit.contains("inbound-canary"), "{audit}");
}

#[tokio::test]
async fn secret_012_references_are_exact_names_of_the_same_account_and_nothing_else() {
    let gateway = Gateway::start(&world()).await;
    let many = "$ref{inbound}".repeat(50_000);
    for wrong in [
        "$ref{missing}",
        "$ref{}",
        "$ref{inbound",
        "$ref{$ref{inbound}}",
        "$ref{../partner/inbound}",
        "$ref{partner:inbound}",
        "a $ref{missing} z",
        &many,
    ] {
        let body = serde_json::json!({"name": "c", "api_key": {"keys": [wrong]}}).to_string();
        let answer = gateway.admin(json("POST", "/v1/consumers", &body)).await;
        assert_eq!(answer.status, 422, "{:.60}: {:.300}", wrong, answer.text());
        assert!(answer.text().contains("api_key.keys[0]"), "{:.300}", answer.text());
    }
    // In other letters it is plain text, and as such a value.
    let body =
        serde_json::json!({"name": "c", "api_key": {"keys": ["$REF{inbound}-0123456789"]}}).to_string();
    assert_eq!(gateway.admin(json("POST", "/v1/consumers", &body)).await.status, 201);
    // Where no credential belongs, there is no reference.
    for body in [
        r#"{"name": "$ref{inbound}"}"#,
        r#"{"name": "d", "api_key": {"sources": [{"header": "$ref{inbound}"}]}}"#,
    ] {
        assert_eq!(gateway.admin(json("POST", "/v1/consumers", body)).await.status, 422, "{body}");
    }
}

#[tokio::test]
async fn secret_020_a_leaked_value_that_is_referred_to_proves_nothing_any_more() {
    let gateway = Gateway::start(&world()).await;
    let request = Request::get("gw.test", "/orders/1").bearer(&inbound(0));
    assert_eq!(gateway.call(&request).await.status, 200);
    let body = serde_json::json!({"value": inbound(0)}).to_string();
    let told = gateway.admin(json("POST", "/v1/leaks", &body)).await;
    let other = gateway.admin(json("POST", "/v1/leaks", r#"{"value": "nobody-has-this-value"}"#)).await;
    assert_eq!((told.status, other.status), (200, 200), "the answer does not say whether it was one");
    let refused = gateway.call(&request).await;
    assert_eq!((refused.status, &*gateway.reason_of(&refused).await), (401, "credential_disabled"));
}

/// A value that no name and no field has.
const CANARY: &str = "canary-4d9f0b6a7c21e853-canary";

/// What `Debug` prints of a form of the API that was read from this.
fn printed<T: serde::de::DeserializeOwned + std::fmt::Debug>(form: serde_json::Value) -> String {
    let text = form.to_string();
    let form: T = serde_json::from_value(form).unwrap_or_else(|error| panic!("{text}: {error}"));
    format!("{form:?} {form:#?}")
}

#[test]
fn secret_010_nothing_that_holds_a_secret_prints_it() {
    use keyward_api as api;
    use keyward_model as model;
    use serde_json::json;
    let plain = || model::Plaintext::new(CANARY);
    let bytes: [u8; 32] =
        CANARY.as_bytes().iter().copied().chain([0, 0]).collect::<Vec<_>>().try_into().unwrap();
    let (whole, keys) = model::JwkSet::symmetric("kid", &bytes).unwrap();
    let login = keyward_control::OpenIdOptions {
        issuer: "https://id.example.com".parse().unwrap(),
        client_id: "keyward".to_owned(),
        client_secret: Some(plain()),
        admin_url: "https://keyward.example.com".parse().unwrap(),
        allow_egress: Vec::new(),
    };
    let mut node = keyward::NodeOptions::new("data", "default".parse().unwrap());
    node.store = Some(model::Plaintext::new(format!("postgres://u:{CANARY}@h/d")));
    let store =
        keyward_store::StoreOptions { data_dir: "data".into(), url: Some(plain()), master_key_file: None };
    let given = keyward_store::GivenAnswer { body_digest: Vec::new(), answer: bytes.to_vec() };
    let printed = [
        format!("{:?} {:?}", plain(), model::SecretText::from(plain())),
        format!("{:?} {:?}", model::CredentialDigest(bytes), model::DigestKey(bytes)),
        format!("{:?} {keys:?} {whole:?}", model::PasswordHash::new(CANARY)),
        format!("{login:?} {node:?} {store:?} {given:?}"),
        format!("{:?}", keyward::RedisOptions::new(format!("redis://:{CANARY}@h"))),
        printed::<api::Secret>(json!({"account": "a", "name": "x", "enabled": true, "value": CANARY})),
        printed::<api::SecretRotation>(json!({"value": CANARY})),
        printed::<api::RevealedSecret>(json!({"name": "x", "version": 1, "value": CANARY})),
        printed::<api::KeyPair>(
            json!({"app_key": "k", "scheme": "alibaba", "enabled": true, "app_secret": CANARY}),
        ),
        printed::<api::Opaque>(json!({"enabled": true, "value": CANARY})),
        printed::<api::CredentialReset>(json!({"value": CANARY})),
        printed::<api::CredentialRotation>(json!({"value": CANARY})),
        printed::<api::Leak>(json!({"value": CANARY})),
        printed::<api::SignIn>(json!({"name": "x", "password": CANARY})),
        printed::<api::BootstrapAnswer>(
            json!({"one_time_password": CANARY, "name": "x", "password": CANARY}),
        ),
        printed::<api::PasswordChange>(json!({"old_password": CANARY, "password": CANARY})),
        printed::<api::Operator>(json!({"name": "x", "enabled": true, "roles": [], "password": CANARY})),
    ];
    // As bytes are printed, and as they stand in a key set.
    let encoded = whole.expose_secret().split('"').max_by_key(|part| part.len()).unwrap().to_owned();
    assert!(encoded.len() > 40, "{encoded}");
    let list = format!("{:?}", &bytes[..4]);
    let list = list.trim_end_matches(']');
    for text in printed.iter().chain([&format!("{:?}", world_with_canaries())]) {
        assert!(!text.contains(CANARY) && !text.contains(list) && !text.contains(&encoded), "{text}");
    }
}

/// Everything in a world file that is a secret.
fn world_with_canaries() -> keyward_model::World {
    let text = format!(
        r#"version: 1
secrets: [{{name: s, value: "{CANARY}"}}]
services: [{{name: o, endpoints: ["http://h.test"], auth: {{header: {{name: X-Key, value: "{CANARY}"}}}}}}]
applications: [{{name: a, key_pairs: [{{app_key: k, app_secret: "{CANARY}"}}], app_codes: ["{CANARY}-code"]}}]
consumers: [{{name: c, api_key: {{keys: ["{CANARY}-key"]}}}}]
"#
    );
    keyward_api::WorldFile::parse(&text, &|_: &str| None).unwrap().world
}
