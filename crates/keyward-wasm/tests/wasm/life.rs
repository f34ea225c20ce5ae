//! The life of requests, plugins and workers: pauses, calls, ends, replacement.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keyward_wasm::*;

use crate::guest::{Guest, PLACE};
use crate::run::*;

const GO_ON: &str = "(i32.const 0)";
const PAUSE: &str = "(i32.const 1)";

#[tokio::test]
async fn a_guest_hears_each_part_once_and_in_order() {
    // Each callback appends its letter, its number and whether it is the last to a text at 3000.
    let note = |letter: char, last: &str| {
        format!("(call $note (i32.const {}) (local.get $b) {last}) {GO_ON}", letter as u32)
    };
    let (some, none) = ("(local.get $c)", "(i32.const 0)");
    let guest = Guest::new()
        .with(
            "(global $end (mut i32) (i32.const 3000))
             (func $note (param i32 i32 i32)
               (i32.store8 (global.get $end) (local.get 0))
               (i32.store8 offset=1 (global.get $end) (i32.add (i32.const 48) (local.get 1)))
               (i32.store8 offset=2 (global.get $end) (i32.add (i32.const 48) (local.get 2)))
               (global.set $end (i32.add (global.get $end) (i32.const 3))))",
        )
        .on("request_headers", &note('H', some))
        .on("request_body", &note('B', some))
        .on("request_trailers", &note('T', none))
        .on("response_headers", &note('h', some))
        .on("response_body", &note('b', some))
        .on(
            "response_trailers",
            &format!("(call $tell (i32.const 0) (i32.const 3000) (i32.sub (global.get $end) (i32.const 3000))) {GO_ON}"),
        );
    let plugin = run(&guest);
    let trailers = headers(&[("x-sum", "1")]);
    let heard = |request: Message, response: Message| {
        let exchange = plugin.begin(facts());
        async move {
            let mut exchange = exchange.unwrap();
            changes(exchange.request(request).await);
            let reply = reply(exchange.response(response).await);
            String::from_utf8(reply.body.to_vec()).unwrap()
        }
    };
    let response = || Message { body: Body::Whole("xy".into()), trailers: trailers.clone(), ..ok(&[]) };
    assert_eq!(heard(get(&[]), response()).await, "H41h10b20");
    let request = Message { trailers: trailers.clone(), ..with_body("abc") };
    let all = heard(request, response()).await;
    assert_eq!(all["H41h10b20".len()..], *"H40B30T10h10b20");
    let follows = Message { body: Body::Follows, ..get(&[]) };
    let all = heard(follows, response()).await;
    assert!(all.ends_with("H40h10b20"), "a body that is not shown is announced: {all}");
}

#[tokio::test]
async fn parts_may_come_one_by_one() {
    let mut guest = Guest::new();
    let added = guest.text("!");
    let guest = guest.on(
        "request_body",
        &format!("(drop (call $set_buffer (i32.const 0) (i32.const -1) (i32.const 0) {added})) {GO_ON}"),
    );
    let plugin = run(&guest);
    let mut exchange = plugin.begin(facts()).unwrap();
    changes(exchange.request(Message { body: Body::Follows, ..get(&[]) }).await);
    let body = changes(exchange.request_body("hello".into()).await).body;
    assert_eq!(body.as_deref(), Some(&b"hello!"[..]));
    changes(exchange.request_trailers(headers(&[("x-sum", "1")])).await);
    changes(exchange.response(ok(&[])).await);
    changes(exchange.response_body("x".into()).await);
    changes(exchange.response_trailers(headers(&[("x-sum", "1")])).await);
}

/// Calls a service, pauses, and goes on as `then` says when the answer is there.
fn calling(then: &str) -> Guest {
    let mut guest = Guest::new();
    let service = guest.text("declared");
    let map = guest.map(&[(":method", "POST"), (":path", "/check"), (":authority", "check"), ("x-a", "1")]);
    let (body, trailers) = (guest.text("question"), guest.map(&[("x-t", "2")]));
    guest
        .on(
            "request_headers",
            &format!(
                "(i32.store (i32.const 28) (local.get $a))
                 (if (call $http_call {service} {map} {body} {trailers} (i32.const 60000) (i32.const 24)) (then unreachable))
                 {PAUSE}"
            ),
        )
        .on("request_body", GO_ON)
        .on(
            "http_call_response",
            &format!(
                "(if (i32.ne (local.get $a) (i32.const 1)) (then unreachable))
                 (if (i32.ne (local.get $b) (i32.load (i32.const 24))) (then unreachable))
                 {then}"
            ),
        )
}

const RESUME: &str =
    "(drop (call $effective (i32.load (i32.const 28)))) (drop (call $continue (i32.const 0)))";

fn answered(status: &str, body: &str) -> CallAnswer {
    CallAnswer {
        headers: headers(&[(":status", status)]),
        body: body.to_owned().into(),
        trailers: Headers::new(),
    }
}

#[tokio::test]
async fn a_request_waits_for_the_answer_of_a_call() {
    let services = Arc::new(Services::default());
    let plugin = run_with(&calling(RESUME), Start { call_outs: Arc::clone(&services) as _, ..start() });
    let mut exchange = plugin.begin(facts()).unwrap();
    let mut request = std::pin::pin!(exchange.request(with_body("hello")));
    let done = tokio::select! {
        biased;
        answer = &mut request => panic!("{answer:?}"),
        done = services.next() => done,
    };
    let call = services.calls.lock().unwrap().pop().unwrap().0;
    assert_eq!((call.service.as_str(), call.body.as_ref()), ("declared", &b"question"[..]));
    assert_eq!(call.headers.get(":path"), Some(&b"/check"[..]));
    assert_eq!(call.trailers, headers(&[("x-t", "2")]));
    assert_eq!(call.timeout, Duration::from_secs(60));
    done.answered(answered("200", "yes"));
    changes(request.await);
    assert_eq!(plugin.counts().calls, 1);
}

#[tokio::test]
async fn a_guest_that_waits_for_a_call_is_not_let_go_by_its_body() {
    // Its callback for bodies says to go on; the request must wait for the call all the same.
    let services = Arc::new(Services::default());
    let refuse = "(drop (call $effective (i32.load (i32.const 28)))) (call $tell (i32.const 99) (i32.const 0) (i32.const 0))";
    let plugin = run_with(&calling(refuse), Start { call_outs: Arc::clone(&services) as _, ..start() });
    let mut exchange = plugin.begin(facts()).unwrap();
    let (answer, ()) = tokio::join!(exchange.request(with_body("hello")), async {
        services.next().await.failed();
    });
    assert_eq!(reply(answer).status, 299);
}

#[tokio::test]
async fn an_answer_of_a_call_is_read_while_it_is_told() {
    let read = format!(
        "(if (i32.ne (local.get $c) (i32.const 1)) (then unreachable))
         (if (i32.ne (local.get $d) (i32.const 3)) (then unreachable))
         (if (call $get_status (i32.const 40) {PLACE}) (then unreachable))
         (if (i32.ne (i32.load (i32.const 40)) (i32.const 207)) (then unreachable))
         (if (call $get_map (i32.const 6) {PLACE}) (then unreachable))
         (if (call $get_buffer (i32.const 4) (i32.const 0) (i32.const -1) {PLACE}) (then unreachable))
         (drop (call $effective (i32.load (i32.const 28))))
         (call $tell (i32.const 0) (i32.load (i32.const 16)) (i32.load (i32.const 20)))"
    );
    let services = Arc::new(Services::default());
    let plugin = run_with(&calling(&read), Start { call_outs: Arc::clone(&services) as _, ..start() });
    let (answer, ()) = tokio::join!(answer(&plugin, get(&[])), async {
        services.next().await.answered(answered("207", "yes"));
    });
    assert_eq!(reply(answer).body.as_ref(), b"yes");
}

#[tokio::test]
async fn a_call_that_fails_is_dropped_too_late_or_too_large_has_no_headers() {
    let none = format!("(if (i32.or (local.get $c) (local.get $d)) (then unreachable)) {RESUME}");
    let limits = Limits { call_answer_bytes_max: 10, ..limits() };
    let late = Limits { call_time_max: Duration::from_millis(1), ..limits.clone() };
    type End = fn(CallDone);
    let cases: [(&Limits, End); 4] = [
        (&limits, |done| done.failed()),
        (&limits, |done| drop(done)),
        (&limits, |done| done.answered(answered("200", "far too large"))),
        (&late, |done| std::mem::forget(done)),
    ];
    for (limits, end) in cases {
        let services = Arc::new(Services::default());
        let start = Start { limits: limits.clone(), call_outs: Arc::clone(&services) as _, ..start() };
        let plugin = run_with(&calling(&none), start);
        let (answer, ()) = tokio::join!(answer(&plugin, get(&[])), async { end(services.next().await) });
        changes(answer);
    }
}

#[tokio::test]
async fn a_call_that_ends_after_its_request_harms_nobody() {
    let services = Arc::new(Services::default());
    let unknown = "(if (i32.ne (call $effective (i32.load (i32.const 28))) (i32.const 2)) (then unreachable))
        (if (call $effective (i32.const 1)) (then unreachable))
        (if (i32.ne (call $continue (i32.const 0)) (i32.const 2)) (then unreachable))";
    let plugin = run_with(&calling(unknown), Start { call_outs: Arc::clone(&services) as _, ..start() });
    let mut exchange = plugin.begin(facts()).unwrap();
    let done = tokio::select! {
        biased;
        answer = exchange.request(get(&[])) => panic!("{answer:?}"),
        done = services.next() => done,
    };
    drop(exchange);
    // The end of the request is in the queue before the end of the call.
    done.answered(answered("200", ""));
    let second = plugin.begin(facts()).unwrap();
    drop(second);
    let (refused, ()) = tokio::join!(answer(&plugin, get(&[])), async { drop(services.next().await) });
    assert!(matches!(refused, Answer::Failed(Failure::Trapped(_))), "this one is still there: {refused:?}");
    assert_eq!(plugin.counts().lost, 1);
}

#[tokio::test]
async fn a_call_of_an_instance_that_is_gone_is_told_to_nobody() {
    let services = Arc::new(Services::default());
    let about = "(drop (call $effective (i32.load (i32.const 28))))";
    let answered_is_wrong = format!(
        "(if (local.get $c) (then {about} (call $tell (i32.const 99) (i32.const 0) (i32.const 0))) (else {RESUME}))"
    );
    let guest = calling(&answered_is_wrong).on("response_headers", "unreachable");
    let plugin = run_with(&guest, Start { call_outs: Arc::clone(&services) as _, ..start() });
    let mut waiting = plugin.begin(facts()).unwrap();
    let mut request = std::pin::pin!(waiting.request(get(&[])));
    let old = tokio::select! {
        biased;
        answer = &mut request => panic!("{answer:?}"),
        done = services.next() => done,
    };
    let mut trapping = plugin.begin(facts()).unwrap();
    let trapped = failure(trapping.response(ok(&[])).await);
    assert!(matches!(trapped, Failure::Trapped(_)));
    assert_eq!(failure(request.await), Failure::Gone, "whoever waited on the same instance is answered");
    // The new instance gives its first call the same number.
    let mut second = plugin.begin(facts()).unwrap();
    let mut request = std::pin::pin!(second.request(get(&[])));
    let fresh = tokio::select! {
        biased;
        answer = &mut request => panic!("{answer:?}"),
        done = services.next() => done,
    };
    old.answered(answered("200", ""));
    fresh.failed();
    changes(request.await);
    assert_eq!(plugin.counts().lost, 1);
}

#[tokio::test]
async fn a_request_that_is_paused_for_too_long_is_answered_and_the_instance_lives() {
    let limits = Limits { pause_time_max: Duration::from_millis(1), ..limits() };
    let guest = Guest::new().on("request_headers", PAUSE);
    let plugin = run_with(&guest, Start { limits, ..start() });
    assert_eq!(failure(answer(&plugin, get(&[])).await), Failure::PausedTooLong);
    assert_eq!(failure(answer(&plugin, get(&[])).await), Failure::PausedTooLong);
    assert_eq!((plugin.counts().paused_too_long, plugin.counts().lost), (2, 0));
}

#[tokio::test]
async fn a_guest_that_pauses_at_the_head_decides_at_the_body() {
    let mut guest = Guest::new();
    let (name, value) = (guest.text("x-seen"), guest.text("body"));
    let guest = guest
        .on("request_headers", PAUSE)
        .on("request_body", &format!("(drop (call $replace (i32.const 0) {name} {value})) {GO_ON}"));
    let changes = changes(answer(&run(&guest), with_body("hello")).await);
    assert_eq!(changes.headers.unwrap().get("x-seen"), Some(&b"body"[..]));
}

#[tokio::test]
async fn a_guest_that_resumes_and_pauses_in_one_callback_goes_on() {
    let guest = Guest::new().on("request_headers", &format!("(drop (call $continue (i32.const 0))) {PAUSE}"));
    changes(answer(&run(&guest), get(&[])).await);
}

#[tokio::test]
async fn a_tick_resumes_a_paused_request_or_answers_it() {
    let guest = |then: &str| {
        Guest::new()
            .on("configure", "(drop (call $tick (i32.const 10))) (i32.const 1)")
            .on("request_headers", &format!("(i32.store (i32.const 28) (local.get $a)) {PAUSE}"))
            .on("tick", &format!("(if (i32.eqz (call $effective (i32.load (i32.const 28)))) (then {then}))"))
    };
    changes(answer(&run(&guest("(drop (call $continue (i32.const 0)))")), with_body("a")).await);
    let answering = guest("(call $tell (i32.const 5) (i32.const 0) (i32.const 0))");
    assert_eq!(said(&run(&answering), get(&[])).await.0, 5);
}

#[tokio::test]
async fn responses_are_changed_and_replaced() {
    let mut guest = Guest::new();
    let (name, value) = (guest.text("x-keeper"), guest.text("yes"));
    let (status, code, bad) = (guest.text(":status"), guest.text("418"), guest.text("99"));
    let guest = guest
        .on(
            "response_headers",
            &format!(
                "(if (call $replace (i32.const 2) {name} {value}) (then unreachable))
                 (if (call $replace (i32.const 2) {status} {code}) (then unreachable))
                 (if (i32.ne (call $replace (i32.const 2) {status} {bad}) (i32.const 2)) (then unreachable))
                 (if (i32.ne (call $replace (i32.const 0) {name} {value}) (i32.const 2)) (then unreachable))
                 {GO_ON}"
            ),
        )
        .on("response_body", &format!("(call $tell (i32.const 1) (i32.const 0) (i32.const 0)) {GO_ON}"));
    let plugin = run(&guest);
    let mut exchange = plugin.begin(facts()).unwrap();
    changes(exchange.request(get(&[])).await);
    let changed = changes(exchange.response(ok(&[("via", "x")])).await).headers.unwrap();
    assert_eq!(changed, headers(&[(":status", "418"), ("via", "x"), ("x-keeper", "yes")]));
    let response = Message { body: Body::Whole("a".into()), ..ok(&[]) };
    assert_eq!(reply(exchange.response(response).await).status, 201);
}

/// Counts ends in metrics.
fn counting_ends(done: &str) -> Guest {
    let mut guest = Guest::new();
    let names = ["done", "logged", "deleted"].map(|name| guest.text(name));
    let define: String = (0..3)
        .map(|at| format!("(drop (call $define (i32.const 0) {} (i32.const {})))", names[at], 24 + at * 4))
        .collect();
    let add = |at: u32| format!("(drop (call $increment (i32.load (i32.const {at})) (i64.const 1)))");
    guest
        .on("configure", &format!("{define} (i32.const 1)"))
        .on("request_headers", GO_ON)
        .on("done", &format!("{} {done}", add(24)))
        .on("log", &add(28))
        .on("delete", &add(32))
}

fn ends(plugin: &RunningPlugin) -> [u64; 3] {
    let found = metrics(plugin);
    ["done", "logged", "deleted"].map(|name| match found[name] {
        MetricValue::Counter(count) => count,
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn the_end_of_a_request_is_told() {
    let plugin = run(&counting_ends("(i32.const 1)"));
    changes(answer(&plugin, get(&[])).await);
    until(|| ends(&plugin) == [1, 1, 1]).await;
    drop(plugin.begin(facts()));
    changes(answer(&plugin, get(&[])).await);
    until(|| ends(&plugin) == [2, 2, 2]).await;
}

#[tokio::test]
async fn a_guest_may_end_a_request_later() {
    let later = "(i32.store (i32.const 40) (local.get $a)) (i32.const 0)";
    let guest = counting_ends(later).on("response_headers", GO_ON).on(
        "response_trailers",
        "(if (call $effective (i32.load (i32.const 40))) (then unreachable))
             (if (call $done) (then unreachable))
             (if (call $effective (local.get $a)) (then unreachable))
             (if (i32.ne (call $done) (i32.const 1)) (then unreachable)) (i32.const 0)",
    );
    let plugin = run(&guest);
    changes(answer(&plugin, get(&[])).await);
    until(|| ends(&plugin)[0] == 1).await;
    assert_eq!(ends(&plugin), [1, 0, 0], "it is not done yet");
    let mut other = plugin.begin(facts()).unwrap();
    changes(other.response_trailers(headers(&[("x-a", "1")])).await);
    until(|| ends(&plugin) == [1, 1, 1]).await;
}

#[tokio::test]
async fn a_guest_that_never_ends_is_ended() {
    let limits = Limits { end_time_max: Duration::from_millis(1), ..limits() };
    let watcher = run_with(&Guest::new(), Start { vm_id: "never ends".to_owned(), ..start() });
    let start = Start { vm_id: "never ends".to_owned(), limits, ..start() };
    let plugin = run_with(&counting_ends("(i32.const 0)"), start);
    changes(answer(&plugin, get(&[])).await);
    until(|| ends(&plugin) == [1, 1, 1]).await;
    plugin.stop();
    assert_eq!(ends(&watcher), [2, 1, 2], "the root context is told too, and deleted");
}

#[tokio::test]
async fn only_so_many_requests_wait_for_a_guest_to_end_them() {
    let limits = Limits { streams_max: 1, end_time_max: Duration::from_secs(3600), ..limits() };
    let plugin = run_with(&counting_ends("(i32.const 0)"), Start { limits, ..start() });
    changes(answer(&plugin, get(&[])).await);
    changes(answer(&plugin, get(&[])).await);
    until(|| ends(&plugin) == [2, 1, 1]).await;
}

#[tokio::test]
async fn many_ends_at_once_keep_no_request_out() {
    let limits = Limits { queue_max: 40, ..limits() };
    let plugin = run_with(&counting_ends("(i32.const 1)"), Start { limits, ..start() });
    let mut exchanges: Vec<_> = (0..1000).map(|_| plugin.begin(facts()).unwrap()).collect();
    for exchange in &mut exchanges {
        changes(exchange.request(get(&[])).await);
    }
    drop(exchanges);
    changes(answer(&plugin, get(&[])).await);
    until(|| ends(&plugin) == [1001, 1001, 1001]).await;
    assert_eq!(plugin.counts().refused, 0);
}

#[tokio::test]
async fn a_plugin_that_was_let_go_finishes_its_requests_beside_the_new_one() {
    let services = Arc::new(Services::default());
    let shared = || Start { vm_id: "replaced".to_owned(), call_outs: Arc::clone(&services) as _, ..start() };
    let watcher = run_with(&Guest::new(), shared());
    let old = {
        let mut guest = calling(RESUME);
        let name = guest.text("deleted");
        let add = "(drop (call $increment (i32.load (i32.const 32)) (i64.const 1)))";
        guest = guest
            .on(
                "configure",
                &format!("(drop (call $define (i32.const 0) {name} (i32.const 32))) (i32.const 1)"),
            )
            .on("delete", add);
        run_with(&guest, shared())
    };
    let mut exchange = old.begin(facts()).unwrap();
    let mut request = Box::pin(exchange.request(get(&[])));
    let done = tokio::select! {
        biased;
        answer = &mut request => panic!("{answer:?}"),
        done = services.next() => done,
    };
    let new = run_with(&Guest::new().on("request_headers", GO_ON), shared());
    drop(old);
    changes(answer(&new, get(&[])).await);
    assert_eq!(metrics(&watcher)["deleted"], MetricValue::Counter(0), "the old one is still there");
    done.answered(answered("200", ""));
    changes(request.await);
    drop(exchange);
    until(|| metrics(&watcher)["deleted"] == MetricValue::Counter(2)).await;
}

#[tokio::test]
async fn a_full_queue_is_answered_at_once_and_counted() {
    // The worker is busy with a request that loops until its time is over.
    let guest = Guest::new().on("request_headers", "(loop $again (br $again)) (i32.const 0)");
    let limits = Limits {
        queue_max: 1,
        fuel_per_event: u64::MAX,
        event_time_max: Duration::from_millis(200),
        ..limits()
    };
    let plugin = run_with(&guest, Start { limits, ..start() });
    let answers = at_once(&plugin, 8).await;
    let full = answers.iter().filter(|answer| matches!(answer, Answer::Failed(Failure::QueueFull))).count();
    assert!(full >= 6, "one runs, one waits: {answers:?}");
    assert_eq!(plugin.counts().refused, full as u64);
    assert!(answers.iter().any(|answer| matches!(answer, Answer::Failed(Failure::OutOfTime))));
}

async fn at_once(plugin: &RunningPlugin, count: usize) -> Vec<Answer> {
    let local = tokio::task::LocalSet::new();
    let exchanges: Vec<_> = (0..count).map(|_| plugin.begin(facts()).unwrap()).collect();
    let tasks: Vec<_> = exchanges
        .into_iter()
        .map(|mut exchange| local.spawn_local(async move { exchange.request(get(&[])).await }))
        .collect();
    local
        .run_until(async {
            let mut answers = Vec::new();
            for task in tasks {
                answers.push(task.await.unwrap());
            }
            answers
        })
        .await
}

#[tokio::test]
async fn a_worker_has_so_many_requests_and_no_more() {
    let limits = Limits { streams_max: 2, ..limits() };
    let plugin = run_with(&Guest::new().on("request_headers", GO_ON), Start { limits, ..start() });
    let (first, second) = (plugin.begin(facts()), plugin.begin(facts()));
    assert!(first.is_some() && second.is_some() && plugin.begin(facts()).is_none());
    assert_eq!(plugin.counts().refused, 1);
    drop(second);
    assert!(plugin.begin(facts()).is_some());
}

#[tokio::test]
async fn requests_are_spread_over_workers_and_stay_on_their_own() {
    // Each instance names itself by a random number.
    let guest = Guest::new()
        .on("configure", "(drop (call $random (i32.const 40) (i32.const 8))) (i32.const 1)")
        .on("request_headers", GO_ON)
        .on("response_headers", &format!("(call $tell (i32.const 0) (i32.const 40) (i32.const 8)) {GO_ON}"));
    let plugin = run_with(&guest, Start { workers: 3, ..start() });
    let mut exchanges: Vec<_> = (0..9).map(|_| plugin.begin(facts()).unwrap()).collect();
    let mut seen = BTreeSet::new();
    for exchange in &mut exchanges {
        changes(exchange.request(get(&[])).await);
        let first = reply(exchange.response(ok(&[])).await).body;
        assert_eq!(reply(exchange.response(ok(&[])).await).body, first);
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn an_exchange_that_is_dropped_while_it_waits_ends_for_the_guest() {
    let guest = counting_ends("(i32.const 1)").on("response_headers", PAUSE);
    let plugin = run(&guest);
    let mut exchange = plugin.begin(facts()).unwrap();
    {
        let mut response = std::pin::pin!(exchange.response(ok(&[])));
        assert!(is_pending(response.as_mut()).await);
        until(|| plugin.counts().events == 1).await;
    }
    drop(exchange);
    until(|| ends(&plugin) == [1, 1, 1]).await;
}

async fn is_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn a_guest_may_only_speak_of_contexts_that_are_there() {
    let guest = Guest::new().on(
        "request_headers",
        "(if (i32.ne (call $effective (i32.const 99)) (i32.const 2)) (then unreachable))
         (if (call $effective (i32.const 1)) (then unreachable))
         (if (i32.ne (call $close (i32.const 0)) (i32.const 2)) (then unreachable))
         (if (i32.ne (call $reply (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)) (i32.const 2)) (then unreachable))
         (if (i32.ne (call $done) (i32.const 1)) (then unreachable))
         (if (call $effective (local.get $a)) (then unreachable)) (i32.const 0)",
    );
    changes(answer(&run(&guest), get(&[])).await);
}

#[tokio::test]
async fn a_stopped_plugin_with_many_workers_ends_all_its_threads() {
    let plugin = run_with(&Guest::new().on("request_headers", GO_ON), Start { workers: 4, ..start() });
    for _ in 0..20 {
        changes(answer(&plugin, get(&[])).await);
    }
    plugin.stop();
}

#[tokio::test]
async fn a_response_whose_instance_is_gone_is_told_anew_with_its_request() {
    let mut guest = Guest::new();
    let (bad, team, name) = (guest.text("x-bad"), guest.text("x-team"), guest.text("x-of-request"));
    let guest = guest
        .on(
            "request_headers",
            &format!("(if (i32.eqz (call $get (i32.const 0) {bad} {PLACE})) (then unreachable)) {GO_ON}"),
        )
        .on(
            "response_headers",
            &format!(
                "(if (call $get (i32.const 0) {team} {PLACE}) (then unreachable))
                 (drop (call $add (i32.const 2) {name} (i32.load (i32.const 16)) (i32.load (i32.const 20)))) {GO_ON}"
            ),
        );
    let plugin = run(&guest);
    let mut lost = plugin.begin(facts()).unwrap();
    changes(lost.request(get(&[("x-team", "red")])).await);
    assert!(matches!(failure(answer(&plugin, get(&[("x-bad", "1")])).await), Failure::Trapped(_)));
    assert_eq!(failure(lost.response(ok(&[])).await), Failure::Gone);
    let mut anew = plugin.begin(facts()).unwrap();
    let told = changes(anew.response_anew(get(&[("x-team", "red")]), ok(&[])).await).headers.unwrap();
    assert_eq!(told.get("x-of-request"), Some(&b"red"[..]));
    // What fails at its request fails.
    let mut bad = plugin.begin(facts()).unwrap();
    assert!(matches!(failure(bad.response_anew(get(&[("x-bad", "1")]), ok(&[])).await), Failure::Trapped(_)));
}
