//! Key sets and the shared replay memory are reached over TLS, by certificates that the machine trusts alone.

use keyward_testkit::gateway::until_async;
use keyward_testkit::key_server::{KeyServer, SigningKey};
use keyward_testkit::redis::Redis;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;
use keyward_testkit::tls::TlsFront;
use keyward_testkit::upstream::Upstream;
use serde_json::json;

use crate::served::{Place, Served};

/// One API for whoever has a token, and one that takes a nonce once.
fn world(upstream: &str, keys: u16) -> String {
    format!(
        "version: 1\nservices: [{{name: origin, kind: http, endpoints: [\"{upstream}\"]}}]\n\
         apis:\n\
         \x20 - {{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [jwt], stages: {{RELEASE: {{service: origin}}}}}}\n\
         \x20 - {{name: once, kind: rest, hosts: [gw.test], base_path: /once, admits: [app_signature], signature: \
         {{require_nonce: true}}, stages: {{RELEASE: {{service: origin}}}}}}\n\
         applications: [{{name: shop, key_pairs: [{{app_key: shop-key, app_secret: secret-of-the-shop}}]}}]\n\
         consumers: [{{name: robot, jwt: {{remote: {{url: \"https://localhost:{keys}/jwks\"}}, identity_claim: {{name: uid, value: robot}}}}}}]\n\
         grants: [{{to: {{consumer: robot}}, api: orders}}, {{to: {{application: shop}}, api: once}}]\n"
    )
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A node that trusts these certificates, and those of the machine where there are none.
fn node(certificates: &[&TlsFront], redis: u16) -> Place {
    let redis = format!("rediss://localhost:{redis}");
    let place = Place::new()
        .with(["--allow-egress", "localhost", "--replay-redis", &redis])
        .with(["--replay-redis-budget-ms", "1000"]);
    match certificates {
        [] => place,
        several => {
            let text: String = several.iter().map(|front| front.certificate()).collect();
            let file = place.write("trusted.pem", &text);
            place.under(["env".to_owned(), format!("SSL_CERT_FILE={}", file.display())])
        }
    }
}

async fn with_token(served: &Served, key: &SigningKey) -> u16 {
    let token = key.token(&json!({"uid": "robot", "exp": now_ms() / 1000 + 3_600}));
    served.call(&Request::get("gw.test", "/orders/1").bearer(&token)).await.status
}

async fn with_nonce(served: &Served, nonce: &str) -> u16 {
    let signing = Signing::alibaba("shop-key", "secret-of-the-shop").fresh(now_ms(), nonce);
    served.call(&Request::get("gw.test", "/once/1").signed(&signing)).await.status
}

#[tokio::test]
async fn what_is_fetched_and_shared_goes_over_tls_to_those_who_are_trusted() {
    let (upstream, keys, key) =
        (Upstream::start().await.unwrap(), KeyServer::start().await, SigningKey::new("r1"));
    keys.publishes(&[&key]);
    let redis = Redis::start().await;
    let (keys_front, redis_front) =
        (TlsFront::before(keys.port()).await, TlsFront::before(redis.port()).await);
    let world = world(&upstream.url(), keys_front.port());

    let place = node(&[&keys_front, &redis_front], redis_front.port());
    let served = place.start_with(&world).await;
    let passes = until_async(async || (with_token(&served, &key).await == 200).then_some(()));
    passes.await.unwrap_or_else(|| panic!("{}", place.said()));
    assert_eq!(with_token(&served, &SigningKey::new("r1")).await, 401, "another key of the same name");
    let mut tried = 0;
    let taken = until_async(async || {
        tried += 1;
        (with_nonce(&served, &format!("a-nonce-of-its-own-{tried:04}")).await == 200).then_some(())
    });
    taken.await.unwrap_or_else(|| panic!("{}", place.said()));
    assert_eq!(with_nonce(&served, &format!("a-nonce-of-its-own-{tried:04}")).await, 401, "it was taken");
    drop(served);

    // The same where the certificates are not trusted: nothing is fetched, and no nonce passes.
    let place = node(&[], redis_front.port());
    let served = place.start_with(&world).await;
    let told = until_async(async || {
        let robot = served.show("/v1/consumers/robot").await;
        let error = robot["credentials"][0]["key_set"]["error"].as_str().map(ToOwned::to_owned);
        error.filter(|error| error.contains("certificate"))
    });
    assert!(told.await.is_some(), "{}", served.show("/v1/consumers/robot").await);
    assert_eq!(with_token(&served, &key).await, 503, "there are no keys");
    assert_eq!(with_nonce(&served, "a-nonce-of-another-0001").await, 503);
}
