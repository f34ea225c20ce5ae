//! Every part of the Rust SDK for plugins, against the host.

use std::sync::Arc;

use keyward_wasm::*;

use crate::hello::build;
use crate::run::*;

fn tour() -> Vec<u8> {
    std::fs::read(build("crates/keyward-wasm/tests/tour", "tour.wasm")).unwrap()
}

fn running(start: Start) -> RunningPlugin {
    host().load(&tour(), &start.limits).unwrap().start(start).unwrap()
}

fn at(path: &str) -> Message {
    let head =
        [(":method", "POST"), (":path", path), (":authority", "a"), (":scheme", "http"), ("x-gone", "1")];
    Message { headers: headers(&head), ..Message::default() }
}

/// What the guest told in `x-told`.
async fn told(plugin: &RunningPlugin, path: &str) -> String {
    let headers = changes(answer(plugin, at(path)).await).headers.unwrap();
    String::from_utf8(headers.get("x-told").unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn what_the_sdk_does_comes_out_as_its_author_means_it() {
    let plugin = running(start());
    assert_eq!(told(&plugin, "/shared").await, "true true true true");
    assert_eq!(told(&plugin, "/clocks").await, "true 2");
    assert_eq!(told(&plugin, "/properties").await, "/properties app_1 none kept");
    let changed = changes(answer(&plugin, at("/headers")).await).headers.unwrap();
    let more: Vec<_> = changed.iter().filter(|(name, _)| name.starts_with("x-")).collect();
    assert_eq!(more, [("x-more", &b"1"[..]), ("x-more", b"2"), ("x-told", b"gone")]);
    assert_eq!(told(&plugin, "/queue").await, "sent");
    until(|| metrics(&plugin)["heard"] == MetricValue::Gauge(7)).await;
    until(|| metrics(&plugin)["ticks"] == MetricValue::Counter(1)).await;
    assert!(matches!(answer(&plugin, at("/reset")).await, Answer::Close));
    assert_eq!(plugin.counts().lost, 0);
}

#[tokio::test]
async fn the_sdk_changes_bodies_and_trailers() {
    let plugin = running(start());
    let mut exchange = plugin.begin(facts()).unwrap();
    let trailers = headers(&[("x-sum", "4")]);
    let body = || Body::Whole("Hello".into());
    let request = Message { body: body(), trailers: trailers.clone(), ..at("/") };
    let changed = changes(exchange.request(request).await);
    assert_eq!(changed.body.as_deref(), Some(&b">HELLO<"[..]));
    assert_eq!(changed.trailers, Some(headers(&[("x-sum", "44")])));
    let response = Message { body: body(), trailers, ..ok(&[("content-length", "5")]) };
    let changed = changes(exchange.response(response).await);
    assert_eq!(changed.headers, Some(headers(&[(":status", "200"), ("x-count", "2 false")])));
    assert_eq!(changed.body.as_deref(), Some(&b"olleH"[..]));
    assert_eq!(changed.trailers, Some(headers(&[("x-sum", "4"), ("x-added", "1")])));
}

#[tokio::test]
async fn the_sdk_hears_the_answers_of_its_calls() {
    let services = Arc::new(Services::default());
    let plugin = running(Start { call_outs: Arc::clone(&services) as _, ..start() });
    let (first, ()) = tokio::join!(told(&plugin, "/call"), async {
        services.next().await.answered(CallAnswer {
            headers: headers(&[(":status", "201"), ("x-a", "1")]),
            body: "yes".into(),
            trailers: headers(&[("x-sum", "4")]),
        });
    });
    assert_eq!(first, "2 201 yes 1 4");
    let (second, ()) = tokio::join!(told(&plugin, "/call"), async { services.next().await.failed() });
    assert_eq!(second, "0   0", "a call that failed");
    let mut exchange = plugin.begin(facts()).unwrap();
    let late = tokio::select! {
        biased;
        answer = exchange.request(at("/call")) => panic!("{answer:?}"),
        done = services.next() => done,
    };
    drop(exchange);
    late.answered(CallAnswer::default());
    assert_eq!(
        told(&plugin, "/clocks").await,
        "true 2",
        "an answer after the end of its request harms nobody"
    );
    assert_eq!(plugin.counts().lost, 0);
}

#[tokio::test]
async fn a_guest_that_listens_to_a_queue_is_not_let_go_by_its_body() {
    let limits = Limits { pause_time_max: std::time::Duration::from_millis(1), ..limits() };
    let plugin = running(Start { limits, ..start() });
    until(|| metrics(&plugin)["ticks"] == MetricValue::Counter(1)).await;
    let request = Message { body: Body::Whole("x".into()), ..at("/body-decides") };
    assert_eq!(failure(answer(&plugin, request).await), Failure::PausedTooLong);
}

#[tokio::test]
async fn output_and_the_sdks_log_are_in_the_log() {
    catch_log();
    let plugin = running(Start { name: "touring".to_owned(), ..start() });
    changes(answer(&plugin, at("/output")).await);
    let log = log_of("touring");
    for line in ["INFO plugin: to output", "ERROR plugin: to error 2", "DEBUG plugin: to the log"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    until(|| log_of("touring").contains("INFO plugin: ended /output")).await;
}
