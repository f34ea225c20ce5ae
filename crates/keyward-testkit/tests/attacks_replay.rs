//! The attack catalogue, class replay-time, through the live gateway.

use std::collections::BTreeMap;

use keyward_model::Timestamp;
use keyward_testkit::client::Connection;
use keyward_testkit::fixture::{A0, A1, B0, HOST};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;

const WINDOW_MS: i64 = 900_000;

fn once(gateway: &Gateway, pair: (&str, &str), nonce: &str, offset_ms: i64) -> Request {
    Request::get(HOST, "/once/x")
        .signed(&Signing::alibaba(pair.0, pair.1).fresh(gateway.now_ms() + offset_ms, nonce))
}

#[tokio::test]
async fn replay_002_a_thousand_copies_at_once_and_one_passes() {
    let gateway = Gateway::fixture().await;
    let bytes = once(&gateway, A0, "nonce-of-replay-002", 0).to_bytes();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (address, bytes) = (gateway.address(), bytes.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await.unwrap();
            let mut passed = 0;
            for _ in 0..16 {
                connection.send(&bytes).await.unwrap();
                passed += usize::from(connection.answer(false).await.unwrap().status == 200);
            }
            passed
        });
    }
    let passed: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(passed, 1);
    assert_eq!(gateway.upstream().hits(), 1);
}

#[tokio::test]
async fn replay_004_a_nonce_belongs_to_its_application() {
    let gateway = Gateway::fixture().await;
    let nonce = "nonce-of-replay-004";
    assert_eq!(gateway.call(&once(&gateway, A0, nonce, 0)).await.status, 200);
    assert_eq!(
        gateway.call(&once(&gateway, B0, nonce, 0)).await.status,
        200,
        "another application may use it"
    );
    assert_eq!(
        gateway.call(&once(&gateway, A1, nonce, 0)).await.status,
        401,
        "another pair of the same may not"
    );
}

#[tokio::test]
async fn replay_006_a_nonce_is_remembered_as_long_as_its_timestamp_holds() {
    let gateway = Gateway::fixture().await;
    let ahead = once(&gateway, A0, "nonce-of-replay-006", WINDOW_MS);
    assert_eq!(gateway.call(&ahead).await.status, 200, "a timestamp at the window's far edge");
    for _ in 0..31 {
        gateway.advance_ms(60_000);
        assert_eq!(gateway.call(&ahead).await.status, 401);
    }
    assert_eq!(gateway.upstream().hits(), 1);
}

#[tokio::test]
async fn replay_008_a_full_memory_refuses_and_forgets_nothing() {
    let gateway = Gateway::fixture_with_replay_cap(8).await;
    let first = once(&gateway, A0, "nonce-of-replay-008-0", 0);
    assert_eq!(gateway.call(&first).await.status, 200);
    let mut statuses = BTreeMap::new();
    for index in 1..20 {
        let answer = gateway.call(&once(&gateway, A0, &format!("nonce-of-replay-008-{index}"), 0)).await;
        *statuses.entry(answer.status).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(200, 7), (503, 12)]));
    assert_ne!(gateway.call(&first).await.status, 200, "a nonce was evicted");
    assert_eq!(
        gateway.call(&once(&gateway, B0, "nonce-of-replay-008-b", 0)).await.status,
        200,
        "one application closed the door for another"
    );
    gateway.advance_ms(3 * WINDOW_MS);
    assert_eq!(
        gateway.call(&once(&gateway, A0, "nonce-of-replay-008-late", 0)).await.status,
        200,
        "old buckets were not dropped"
    );
}

#[tokio::test]
async fn replay_012_timestamps_have_one_form() {
    let gateway = Gateway::fixture().await;
    let now = gateway.now_ms().to_string();
    let seconds = (gateway.now_ms() / 1000).to_string();
    let odd = [
        seconds.clone(),
        format!("{now}000"),
        format!("{now}.0"),
        format!("+{now}"),
        format!("-{now}"),
        format!("0x{now}"),
        String::new(),
        "1".repeat(30),
        "\u{661}\u{667}\u{669}".into(),
        format!("{seconds} 000"),
        format!("{now},{now}"),
    ];
    for (index, timestamp) in odd.iter().enumerate() {
        let mut request = Request::get(HOST, "/once/x").header("X-Ca-Timestamp", timestamp);
        let signing = Signing {
            sign_headers: vec!["X-Ca-Timestamp".into()],
            nonce: Some(format!("nonce-of-replay-012-{index}")),
            ..Signing::alibaba(A0.0, A0.1)
        };
        keyward_testkit::signer::sign(&mut request, &signing);
        let answer = gateway.call(&request).await;
        assert!(matches!(answer.status, 400 | 401), "{timestamp:?}: {answer:?}");
    }
    let twice = once(&gateway, A0, "nonce-of-replay-012-two", 0).header("X-Ca-Timestamp", &now);
    assert_eq!(gateway.call(&twice).await.status, 400);
    assert_eq!(gateway.upstream().hits(), 0);
    let blanks = once(&gateway, A0, "nonce-of-replay-012-ok", 0);
    assert_eq!(gateway.call(&blanks).await.status, 200);
}

#[tokio::test]
async fn replay_014_nonces_have_a_length() {
    let gateway = Gateway::start(
        &keyward_testkit::fixture::WORLD
            .replace("signature: {mode: strict}", "signature: {mode: strict, require_body_digest: false}")
            .replace("${MORE_CONSUMERS}", "")
            .replace("${MORE_GRANTS}", ""),
    )
    .await;
    for nonce in ["", "x", &"n".repeat(15), &"n".repeat(129), &"n".repeat(20_000)] {
        let request = Request::get(HOST, "/strict")
            .signed(&Signing::alibaba(A0.0, A0.1).fresh(gateway.now_ms(), nonce));
        let answer = gateway.call(&request).await;
        assert!(matches!(answer.status, 400 | 401 | 431), "{}: {answer:?}", nonce.len());
    }
    assert_eq!(gateway.upstream().hits(), 0);
    for nonce in ["n".repeat(16), "n".repeat(128)] {
        let request = Request::get(HOST, "/strict")
            .signed(&Signing::alibaba(A0.0, A0.1).fresh(gateway.now_ms(), &nonce));
        assert_eq!(gateway.call(&request).await.status, 200, "{}", nonce.len());
    }
}

#[tokio::test]
async fn replay_016_a_clock_that_jumps_tells_and_forgets_nothing() {
    let gateway = Gateway::fixture().await;
    let used = once(&gateway, A0, "nonce-of-replay-016", 0);
    assert_eq!(gateway.call(&used).await.status, 200);
    gateway.advance_ms(3_600_000);
    let late = gateway.call(&once(&gateway, A0, "nonce-of-replay-016-b", -3_600_000)).await;
    assert_eq!(late.status, 401);
    assert!(late.text().contains("3600"), "the difference is told: {}", late.text());
    gateway.advance_ms(-3_600_000);
    assert_eq!(gateway.call(&used).await.status, 401, "the jump made a nonce forgotten");
}

#[tokio::test]
async fn replay_018_a_request_cut_short_has_not_used_its_nonce() {
    let gateway = Gateway::fixture().await;
    let request = Request::get(HOST, "/once/x")
        .method("POST")
        .header("Content-Type", "application/json")
        .body(r#"{"amount":1}"#);
    let bytes = request
        .signed(&Signing::alibaba(A0.0, A0.1).fresh(gateway.now_ms(), "nonce-of-replay-018"))
        .to_bytes();
    let mut cut = Connection::open(gateway.address()).await.unwrap();
    cut.send(&bytes[..bytes.len() - 4]).await.unwrap();
    cut.half_close().await.unwrap();
    let _ = cut.until_closed().await;
    assert_eq!(gateway.upstream().hits(), 0);
    let mut whole = Connection::open(gateway.address()).await.unwrap();
    whole.send(&bytes).await.unwrap();
    assert_eq!(whole.answer(false).await.unwrap().status, 200);
    whole.send(&bytes).await.unwrap();
    assert_eq!(whole.answer(false).await.unwrap().status, 401);
}

#[tokio::test]
async fn nonces_survive_a_restart() {
    let gateway = Gateway::fixture().await;
    let used = once(&gateway, A0, "nonce-of-the-restart", 0);
    assert_eq!(gateway.call(&used).await.status, 200);
    let gateway = gateway.restart().await;
    assert_eq!(gateway.call(&used).await.status, 401, "a restart made a nonce forgotten");
    assert_eq!(gateway.call(&once(&gateway, A0, "nonce-after-restart", 0)).await.status, 200);
    assert!(Timestamp::from_millis(gateway.now_ms()) > Timestamp::from_millis(0));
}
