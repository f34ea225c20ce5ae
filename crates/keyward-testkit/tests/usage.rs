//! Use is remembered: when a credential and a grant were last used, and calls per day.

use std::time::Duration;

use keyward_testkit::fixture::{self, A0, HOST, K1, KX};
use keyward_testkit::gateway::{Gateway, START, Setup, until_async};
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;
use serde_json::Value;

const DAY_MS: i64 = 86_400_000;

async fn start(every: Duration) -> Gateway {
    let setup = Setup { usage_every: Some(every), ..Setup::default() };
    Gateway::start_with(&fixture::world(), setup).await
}

/// Rows of `/v1/usage` as `day caller api reason calls`.
async fn usage(gateway: &Gateway, query: &str) -> Vec<String> {
    let answer = gateway.admin(Request::get("localhost", &format!("/v1/usage{query}"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list: Value = serde_json::from_str(&answer.text()).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let row = |row: &Value| {
        let [day, caller, api, reason] =
            ["day", "caller_name", "api_name", "reason"].map(|name| text(row, name));
        format!("{day} {caller} {api} {reason} {}", row["calls"])
    };
    list["items"].as_array().unwrap().iter().map(row).collect()
}

async fn one(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.admin(Request::get("localhost", path)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

fn signed(target: &str, now_ms: i64, nonce: &str) -> Request {
    Request::get(HOST, target).signed(&Signing::alibaba(A0.0, A0.1).fresh(now_ms, nonce))
}

#[tokio::test]
async fn calls_are_counted_by_day_caller_api_and_reason() {
    let gateway = start(Duration::from_millis(10)).await;
    for _ in 0..3 {
        assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
    }
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(KX)).await.status, 403);
    assert_eq!(
        gateway.call(&Request::get(HOST, "/orders/1").bearer("nobody-has-this-key-0")).await.status,
        401
    );
    assert_eq!(gateway.call(&Request::get(HOST, "/nowhere")).await.status, 404);
    assert_eq!(gateway.call(&Request::get(HOST, "/public/health")).await.status, 200);
    gateway.advance_ms(DAY_MS);
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
    let expected = [
        "2026-06-01 - - api_not_found 1",
        "2026-06-01 - health - 1",
        "2026-06-01 - orders credential_unknown 1",
        "2026-06-01 K1 orders - 3",
        "2026-06-01 KX orders caller_disabled 1",
        "2026-06-02 K1 orders - 1",
    ];
    let all = until_async(async || {
        let mut rows = usage(&gateway, "").await;
        rows.sort();
        (rows == expected).then_some(())
    });
    if all.await.is_none() {
        panic!("{:?}", usage(&gateway, "").await);
    }
    assert_eq!(usage(&gateway, "?consumer=K1&from=2026-06-02").await, ["2026-06-02 K1 orders - 1"]);
    assert_eq!(usage(&gateway, "?api=health").await, ["2026-06-01 - health - 1"]);
    assert_eq!(usage(&gateway, "?account=partner").await, [""; 0]);
    assert_eq!(usage(&gateway, "?account=default&until=2026-06-02").await.len(), 4);
    assert_eq!(usage(&gateway, "?limit=2").await.len(), 2);
    let wrong = gateway.admin(Request::get("localhost", "/v1/usage?from=yesterday")).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text());

    // 400 days after the first day, that day is the oldest one kept; one day later it is forgotten.
    gateway.advance_ms(399 * DAY_MS);
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
    let latest = until_async(async || (usage(&gateway, "").await.len() == 7).then_some(()));
    assert!(latest.await.is_some(), "{:?}", usage(&gateway, "").await);
    gateway.advance_ms(DAY_MS);
    let left = ["2026-06-02 K1 orders - 1", "2027-07-06 K1 orders - 1"];
    let forgotten = until_async(async || (usage(&gateway, "").await == left).then_some(()));
    assert!(forgotten.await.is_some(), "{:?}", usage(&gateway, "").await);
    let used = one(&gateway, "/v1/grants?consumer=K1&api=orders").await;
    assert!(used["items"][0]["last_used"].is_string(), "the last use is kept for good");
}

#[tokio::test]
async fn an_orderly_stop_forgets_no_use_and_credential_and_grant_show_their_last() {
    // Nothing is written down while it runs.
    let gateway = start(Duration::from_secs(3_600)).await;
    let at = START.plus_millis(5_000);
    gateway.set_time(at);
    let call = signed("/orders/1", gateway.now_ms(), "a-nonce-of-its-own-0001");
    assert_eq!(gateway.call(&call).await.status, 200);
    let gateway = gateway.restart().await;
    let application = one(&gateway, "/v1/applications/A").await;
    let used: Vec<_> = application["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|credential| credential.get("last_used").is_some())
        .collect();
    assert_eq!(used.len(), 1, "only the pair that signed");
    assert_eq!(
        (used[0]["app_key"].as_str(), used[0]["last_used"].as_str()),
        (Some(A0.0), Some(&*at.to_string()))
    );
    let grants = one(&gateway, "/v1/grants?application=A").await;
    let used: Vec<_> =
        grants["items"].as_array().unwrap().iter().filter(|g| g.get("last_used").is_some()).collect();
    assert_eq!(used.len(), 1, "only the grant that permitted");
    assert_eq!(used[0]["description"], "A on orders");
    assert_eq!(used[0]["last_used"], at.to_string());
    let grant = one(&gateway, &format!("/v1/grants/{}", used[0]["id"].as_str().unwrap())).await;
    assert_eq!(grant["last_used"], at.to_string());
    assert_eq!(usage(&gateway, "").await, ["2026-06-01 A orders - 1"]);
    let revision = gateway.node().control().revision();
    assert_eq!(grant["revision"], revision.number, "use makes no revision");
}
