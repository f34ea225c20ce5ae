//! Runs guests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use keyward_wasm::*;

use crate::guest::Guest;

/// One engine for all tests of the process, as in a node.
pub(crate) fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new().unwrap())
}

/// Limits that no slow machine runs into by itself.
pub(crate) fn limits() -> Limits {
    Limits {
        event_time_max: Duration::from_secs(60),
        start_time_max: Duration::from_secs(60),
        pause_time_max: Duration::from_secs(60),
        call_time_max: Duration::from_secs(60),
        logs_per_second: 10_000,
        ..Limits::default()
    }
}

/// A start with a name, and so a `vm_id`, of its own.
pub(crate) fn start() -> Start {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("p{}.", NUMBER.fetch_add(1, Ordering::Relaxed));
    Start {
        account: "default".to_owned(),
        root_id: "root".to_owned(),
        vm_id: name.clone(),
        name,
        configuration: Configuration::new(b"{}".to_vec(), []),
        vm_configuration: Configuration::new(b"vm".to_vec(), []),
        workers: 1,
        limits: limits(),
        rules: Arc::new(|_: HeaderMap, name: &str| !name.starts_with("x-keyward-")),
        call_outs: Arc::new(NoCallOuts),
        log_level: LogLevel::Trace,
    }
}

pub(crate) fn run_with(guest: &Guest, start: Start) -> RunningPlugin {
    host().load(&guest.build(), &start.limits).unwrap().start(start).unwrap()
}

pub(crate) fn run(guest: &Guest) -> RunningPlugin {
    run_with(guest, start())
}

pub(crate) fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().copied().collect()
}

/// `GET /a?b=c` of `shop.example`, with what is given besides.
pub(crate) fn get(more: &[(&str, &str)]) -> Message {
    let head =
        [(":method", "GET"), (":path", "/a?b=c"), (":authority", "shop.example"), (":scheme", "https")];
    Message { headers: headers(&[&head, more].concat()), ..Message::default() }
}

/// The same with a body.
pub(crate) fn with_body(body: &str) -> Message {
    Message { body: Body::Whole(body.to_owned().into()), ..get(&[]) }
}

pub(crate) fn ok(more: &[(&str, &str)]) -> Message {
    Message { headers: headers(&[&[(":status", "200")], more].concat()), ..Message::default() }
}

pub(crate) fn facts() -> Facts {
    let some = |text: &str| Some(text.to_owned());
    Facts {
        request_id: some("req-1"),
        protocol: some("HTTP/1.1"),
        source_address: some("192.0.2.7:4711"),
        caller_id: some("app_1"),
        caller_name: some("billing"),
        api: some("orders"),
        stage: some("RELEASE"),
        grant: None,
    }
}

/// The answer to one request of its own.
pub(crate) async fn answer(plugin: &RunningPlugin, request: Message) -> Answer {
    plugin.begin(facts()).unwrap().request(request).await
}

pub(crate) fn changes(answer: Answer) -> Changes {
    match answer {
        Answer::Continue(changes) => changes,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn reply(answer: Answer) -> LocalReply {
    match answer {
        Answer::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn failure(answer: Answer) -> Failure {
    match answer {
        Answer::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// What a host function said to the guest's question, and the bytes that it gave.
pub(crate) async fn said(plugin: &RunningPlugin, request: Message) -> (u16, Vec<u8>) {
    let reply = reply(answer(plugin, request).await);
    (reply.status - 200, reply.body.to_vec())
}

/// As `said`, of a guest that asks once.
pub(crate) async fn asked(guest: Guest, question: &str) -> (u16, Vec<u8>) {
    said(&run(&guest.asking(question)), get(&[("x-team", "red"), ("x-team", "blue")])).await
}

/// Waits for something that happens on another thread.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never came to be");
        tokio::task::yield_now().await;
    }
}

/// Services that record calls, and are answered when the test says so.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) calls: Mutex<Vec<(CallOut, Option<CallDone>)>>,
}

impl CallOuts for Services {
    fn call(&self, call: CallOut, done: CallDone) -> Result<(), CallRefused> {
        match call.service.as_str() {
            "declared" => {
                self.calls.lock().unwrap().push((call, Some(done)));
                Ok(())
            }
            "busy" => Err(CallRefused::Busy),
            _ => Err(CallRefused::UnknownService),
        }
    }
}

impl Services {
    pub(crate) async fn next(&self) -> CallDone {
        until(|| self.calls.lock().unwrap().iter().any(|(_, done)| done.is_some())).await;
        self.calls.lock().unwrap().iter_mut().find_map(|(_, done)| done.take()).unwrap()
    }
}

/// Everything that was logged in this process, by plugin name.
pub(crate) fn log_of(name: &str) -> String {
    let lines = LINES.get().expect("`catch_log` comes first").lock().unwrap();
    lines.iter().filter(|line| line.contains(name)).cloned().collect()
}

static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

/// From now on everything that is logged is kept.
pub(crate) fn catch_log() {
    LINES.get_or_init(|| {
        let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        lines.with_writer(|| Sink).init();
        Mutex::default()
    });
}

struct Sink;

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(lines) = LINES.get() {
            lines.lock().unwrap().push(String::from_utf8_lossy(bytes).into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Metrics by name.
pub(crate) fn metrics(plugin: &RunningPlugin) -> HashMap<String, MetricValue> {
    plugin.metrics().into_iter().map(|metric| (metric.name, metric.value)).collect()
}
