//! The attack catalogue: clocks that jump, and rights that end while an answer is still streaming.

use std::time::Duration;

use keyward_model::Timestamp;
use keyward_testkit::cases;
use keyward_testkit::client::Connection;
use keyward_testkit::fixture::{self, B0, HOST, J1_SECRET, K1};
use keyward_testkit::gateway::{Gateway, START, Setup, until};
use keyward_testkit::request::Request;
use keyward_testkit::signer::{Signing, token};
use keyward_testkit::upstream::Upstream;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// An upstream whose answers begin and never end, behind the fixture.
async fn streaming(stream_grace: Option<Duration>) -> Gateway {
    const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n";
    let upstream = Upstream::answering(ENDLESS).await.unwrap();
    Gateway::start_on(&fixture::world(), Setup { stream_grace, ..Setup::default() }, upstream).await
}

/// The connection on which K1's stream runs, and the request's id.
async fn open_stream(gateway: &Gateway, request: &Request) -> (Connection, keyward_testkit::client::Answer) {
    let mut stream = Connection::open(gateway.address()).await.unwrap();
    stream.send(&request.to_bytes()).await.unwrap();
    let head = stream.answer_head().await.unwrap();
    assert_eq!(head.status, 200);
    (stream, head)
}

#[tokio::test]
async fn grant_005_without_grace_a_revocation_ends_an_open_stream() {
    for (step, reason) in [
        ("{revoke: K1 on orders}", "grant_revoked"),
        ("{disable: {consumer: K1}}", "caller_disabled"),
        ("{disable_credential: {consumer: K1, kind: api_key, index: 0}}", "credential_disabled"),
    ] {
        let gateway = streaming(Some(Duration::ZERO)).await;
        let (mut stream, head) = open_stream(&gateway, &Request::get(HOST, "/orders/1").bearer(K1)).await;
        gateway.operate(step).await;
        let rest = stream.until_closed().await.unwrap();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{step}: the answer looks complete");
        let record = gateway.record_of(&head).await;
        assert_eq!((record["reason"].as_str(), record["complete"].as_bool()), (Some(reason), Some(false)));
    }
}

#[tokio::test]
async fn grant_005_a_stream_ends_once_the_grace_is_over() {
    let gateway = streaming(None).await;
    let (mut stream, head) = open_stream(&gateway, &Request::get(HOST, "/orders/1").bearer(K1)).await;
    gateway.operate("{revoke: K1 on orders}").await;
    let closed = tokio::spawn(async move { stream.until_closed().await });
    let ended = until(|| {
        gateway.advance_ms(30_000);
        closed.is_finished().then_some(())
    });
    ended.await.unwrap();
    closed.await.unwrap().unwrap();
    assert_eq!(gateway.record_of(&head).await["reason"], "grant_revoked");
}

#[tokio::test]
async fn grant_005_a_grant_that_expires_ends_an_open_stream() {
    let gateway = streaming(Some(Duration::ZERO)).await;
    let until = Timestamp::from_millis(gateway.now_ms() + 10_000);
    let world = format!(
        "version: 1\ngrants: [{{to: {{application: B}}, api: orders, stages: [RELEASE], valid_until: \"{until}\"}}]\n"
    );
    gateway.apply(&world).await.unwrap();
    let signed = Request::get(HOST, "/orders/1")
        .signed(&Signing::alibaba(B0.0, B0.1).fresh(gateway.now_ms(), "nonce-of-grant-005"));
    let (mut stream, head) = open_stream(&gateway, &signed).await;
    gateway.advance_ms(10_000);
    stream.until_closed().await.unwrap();
    assert_eq!(gateway.record_of(&head).await["reason"], "grant_expired");
}

/// Moments that a clock can be set to: beside the start, and where counters of seconds turn over.
fn moments() -> Vec<Timestamp> {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    vec![
        Timestamp::from_millis(START.as_millis() - DAY_MS),
        Timestamp::from_millis(START.as_millis() + DAY_MS),
        Timestamp::from_millis(0),
        Timestamp::from_millis(1),
        at("2016-12-31T23:59:59.999Z"),
        at("2017-01-01T00:00:00Z"),
        at("2038-01-19T03:14:07.999Z"),
        at("2038-01-19T03:14:08Z"),
        at("2106-02-07T06:28:16Z"),
        at("9999-12-30T00:00:00Z"),
    ]
}

#[tokio::test]
async fn clock_001_decisions_follow_the_wall_clock_wherever_it_is_set() {
    let gateway = Gateway::fixture().await;
    let start = START.as_millis();
    let at = |ms: i64| Timestamp::from_millis(start + ms);
    let world = format!(
        "version: 1\ngrants: [{{to: {{application: B}}, api: orders, valid_from: \"{}\", valid_until: \"{}\"}}]\n",
        at(-HOUR_MS),
        at(HOUR_MS)
    );
    gateway.apply(&world).await.unwrap();
    let j1 = token(
        "HS256",
        Some("h1"),
        J1_SECRET,
        &serde_json::json!({"uid": "j1", "nbf": start / 1000 - 60, "exp": start / 1000 + 300}),
    );
    let by_token = Request::get(HOST, "/orders/1").bearer(&j1);
    let signed_then = Request::get(HOST, "/orders/1")
        .signed(&Signing::alibaba(B0.0, B0.1).fresh(start, "nonce-of-clock-001-then"));
    let unlimited = Request::get(HOST, "/orders/1").bearer(K1);
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    for (number, moment) in moments().into_iter().enumerate() {
        gateway.set_wall_clock(moment);
        let answer = connection.call(&unlimited).await.unwrap();
        assert_eq!(answer.status, 200, "{moment}: a right without bounds: {answer:?}");
        let time = gateway.record_of(&answer).await["time"].as_str().unwrap().parse::<Timestamp>().unwrap();
        assert_eq!(time, moment, "the record tells the wall clock");
        for late in [&by_token, &signed_then] {
            let (answer, reason) = cases::refused(&gateway, &late.to_bytes()).await;
            assert_eq!((answer.status, reason.as_str()), (401, "proof_expired"), "{moment}: {late:?}");
        }
        // Signed by a client whose clock is as wrong: then the grant's own bounds decide.
        let signing = Signing::alibaba(B0.0, B0.1)
            .fresh(moment.as_millis(), &format!("nonce-of-clock-001-{number:02}"));
        let signed_now = Request::get(HOST, "/orders/1").signed(&signing);
        let expected = match moment.as_millis() {
            // A timestamp has thirteen digits.
            ms if !(1_000_000_000_000..10_000_000_000_000).contains(&ms) => "credential_malformed",
            ms if ms < START.as_millis() => "grant_not_yet_valid",
            _ => "grant_expired",
        };
        let (_, reason) = cases::refused(&gateway, &signed_now.to_bytes()).await;
        assert_eq!(reason, expected, "{moment}");
    }
    gateway.set_wall_clock(START);
    assert_eq!(connection.call(&by_token).await.unwrap().status, 200, "set right, all is as before");
    assert_eq!(connection.call(&signed_then).await.unwrap().status, 200);
}

#[tokio::test]
async fn clock_001_a_jump_ends_no_stream_and_delays_no_revocation() {
    let gateway = streaming(Some(Duration::ZERO)).await;
    let (mut stream, head) = open_stream(&gateway, &Request::get(HOST, "/orders/1").bearer(K1)).await;
    for moment in moments() {
        gateway.set_wall_clock(moment);
        let (other, _) = open_stream(&gateway, &Request::get(HOST, "/orders/1").bearer(K1)).await;
        drop(other);
    }
    gateway.set_wall_clock(Timestamp::from_millis(START.as_millis() - DAY_MS));
    gateway.operate("{revoke: K1 on orders}").await;
    stream.until_closed().await.unwrap();
    assert_eq!(
        gateway.record_of(&head).await["reason"],
        "grant_revoked",
        "nothing but the revocation ended it"
    );
}

#[tokio::test]
async fn clock_001_somebody_is_told_that_the_clock_was_set() {
    let gateway = Gateway::fixture().await;
    let steps = || gateway.node().gateway().replay.clock_steps();
    assert_eq!(steps(), 0);
    gateway.advance_ms(DAY_MS);
    gateway.set_wall_clock(Timestamp::from_millis(gateway.now_ms() - DAY_MS));
    until(|| (steps() > 0).then_some(())).await.expect("an alarm");
    let page = gateway.admin(Request::get("localhost", "/metrics")).await.text();
    assert!(page.contains("keyward_clock_steps_total 1\n"), "{page}");
}

#[tokio::test]
async fn clock_003_a_validity_with_an_offset_is_the_same_moment() {
    let gateway = Gateway::fixture().await;
    // 2026-06-01T12:00:00Z is START; written from places east and west of it.
    let world = "version: 1\ngrants: [{to: {application: B}, api: orders, valid_from: \"2026-06-01T14:00:01+02:00\", valid_until: \"2026-06-01T05:00:02-07:00\"}]\n";
    gateway.apply(world).await.unwrap();
    let mut seen = Vec::new();
    for (index, advance) in [0, 999, 1, 999, 1].iter().enumerate() {
        gateway.advance_ms(*advance);
        let signing =
            Signing::alibaba(B0.0, B0.1).fresh(gateway.now_ms(), &format!("nonce-of-clock-003-{index}"));
        seen.push(gateway.call(&Request::get(HOST, "/orders/1").signed(&signing)).await.status);
    }
    assert_eq!(seen, [403, 403, 200, 200, 403]);
}
