//! What is counted about requests, in Prometheus's text form.
//!
//! Every core has counters of its own, which it alone writes: plain loads and stores, no contended line.
//! Labels are bounded: APIs that exist, classes of statuses, reasons from the one list.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyward_http::{Counters, Outcome, UpstreamFailure};
use keyward_model::{ApiId, DenyReason};

use crate::{AccessLog, ReplayMemory, ReplayTally, Usage};

/// Everything that the gateway counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    cores: Arc<Mutex<Vec<Arc<CoreCounters>>>>,
}

/// A counter that one core writes and anybody reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        // Not a read-modify-write: there is one writer.
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one core counts.
#[derive(Debug, Default)]
pub(crate) struct CoreCounters {
    pub(crate) started: Counter,
    finished: Counter,
    request_bytes: Counter,
    response_bytes: Counter,
    cut_short: Counter,
    durations: Durations,
    failures: [Counter; FAILURES.len()],
    elsewhere: ApiCounters,
    apis: Mutex<BTreeMap<ApiId, Arc<ApiCounters>>>,
}

/// What one core counts about one API (or about requests that reached none).
#[derive(Debug)]
pub(crate) struct ApiCounters {
    labels: String,
    /// By class of status: none, 1xx to 5xx.
    classes: [Counter; 6],
    /// By place in [`DenyReason::ALL`].
    reasons: [Counter; DenyReason::ALL.len()],
}

impl Default for ApiCounters {
    fn default() -> Self {
        let reasons = std::array::from_fn(|_| Counter::default());
        Self { labels: String::new(), classes: Default::default(), reasons }
    }
}

#[derive(Debug, Default)]
struct Durations {
    buckets: [Counter; BUCKETS_US.len() + 1],
    sum_us: Counter,
}

/// Upper bounds of the duration buckets, in microseconds.
const BUCKETS_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 60_000_000,
];

const FAILURES: [(UpstreamFailure, &str); 7] = [
    (UpstreamFailure::Connect, "connect"),
    (UpstreamFailure::Late, "late"),
    (UpstreamFailure::Closed, "closed"),
    (UpstreamFailure::Malformed, "malformed"),
    (UpstreamFailure::Exhausted, "exhausted"),
    (UpstreamFailure::Withheld, "withheld"),
    (UpstreamFailure::TooLarge, "too_large"),
];

impl Metrics {
    /// The counters of a new core.
    pub(crate) fn core(&self) -> Arc<CoreCounters> {
        let core = Arc::new(CoreCounters::default());
        locked(&self.cores).push(Arc::clone(&core));
        core
    }

    /// Everything as text (exposition format 0.0.4).
    pub(crate) fn render(
        &self,
        revision: u64,
        (replay, shared): (&ReplayMemory, &ReplayTally),
        usage: &Usage,
        log: Option<&AccessLog>,
        transport: &Counters,
    ) -> String {
        let cores = locked(&self.cores).clone();
        let mut page = Page::default();
        render_requests(&mut page, &cores);
        render_durations(&mut page, &cores);
        render_failures(&mut page, &cores);
        render_replay(&mut page, replay, shared);
        render_clock(&mut page, replay);
        render_transport(&mut page, transport);
        page.one("keyward_snapshot_revision", "gauge", "Revision of the configuration in use.", revision);
        let lost = "Uses and calls that are missing from what is stored of use.";
        page.one("keyward_usage_lost_total", "counter", lost, usage.lost());
        if let Some(log) = log {
            let lost = "Access records that were lost.";
            page.one("keyward_access_records_lost_total", "counter", lost, log.lost());
            let written = "Bytes written to the access log.";
            page.one("keyward_access_log_bytes_total", "counter", written, log.written_bytes());
        }
        page.text
    }
}

impl CoreCounters {
    /// The counters of an API, made when it is first seen.
    pub(crate) fn api(&self, id: ApiId, account: &str, name: &str) -> Arc<ApiCounters> {
        let labels = format!("account=\"{account}\",api=\"{name}\"");
        let mut apis = locked(&self.apis);
        match apis.get(&id) {
            Some(counters) if counters.labels == labels => Arc::clone(counters),
            _ => {
                let counters = Arc::new(ApiCounters { labels, ..ApiCounters::default() });
                apis.insert(id, Arc::clone(&counters));
                counters
            }
        }
    }

    /// Forgets APIs that are no more.
    pub(crate) fn keep_apis(&self, exists: impl Fn(ApiId) -> bool) {
        locked(&self.apis).retain(|&id, _| exists(id));
    }

    /// A request is over.
    pub(crate) fn finished(&self, api: Option<&ApiCounters>, outcome: &Outcome, reason: Option<DenyReason>) {
        self.finished.add(1);
        self.request_bytes.add(outcome.request_bytes);
        self.response_bytes.add(outcome.response_bytes);
        if !outcome.complete {
            self.cut_short.add(1);
        }
        self.durations.add(outcome.duration);
        api.unwrap_or(&self.elsewhere).add(outcome.status, reason);
    }

    /// A message was refused before it became a request.
    pub(crate) fn refused(&self, status: u16, reason: DenyReason) {
        self.elsewhere.add(status, Some(reason));
    }

    /// A service gave no answer.
    pub(crate) fn failed(&self, failure: UpstreamFailure) {
        for (counter, (listed, _)) in self.failures.iter().zip(FAILURES) {
            if listed == failure {
                counter.add(1);
            }
        }
    }
}

impl ApiCounters {
    fn add(&self, status: u16, reason: Option<DenyReason>) {
        let class = self.classes.get(usize::from(status / 100)).or(self.classes.first());
        if let Some(class) = class {
            class.add(1);
        }
        if let Some(counter) = reason.and_then(|reason| self.reasons.get(reason as usize)) {
            counter.add(1);
        }
    }
}

impl Durations {
    fn add(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.add(us);
        let place = BUCKETS_US.iter().position(|&bound| us <= bound).unwrap_or(BUCKETS_US.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.add(1);
        }
    }
}

/// A page of metrics in the making.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            labels => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }
}

fn render_requests(page: &mut Page, cores: &[Arc<CoreCounters>]) {
    let mut classes: BTreeMap<(String, usize), u64> = BTreeMap::new();
    let mut reasons: BTreeMap<(String, &str), u64> = BTreeMap::new();
    let mut add = |counters: &ApiCounters, labels: &str| {
        let counted = |counter: &Counter| Some(counter.get()).filter(|&count| count > 0);
        for (class, counter) in counters.classes.iter().enumerate() {
            if let Some(count) = counted(counter) {
                *classes.entry((labels.to_owned(), class)).or_default() += count;
            }
        }
        for (reason, counter) in DenyReason::ALL.iter().zip(&counters.reasons) {
            if let Some(count) = counted(counter) {
                *reasons.entry((labels.to_owned(), reason.code())).or_default() += count;
            }
        }
    };
    for core in cores {
        add(&core.elsewhere, "account=\"\",api=\"\"");
        locked(&core.apis).values().for_each(|counters| add(counters, &counters.labels));
    }
    page.head("keyward_requests_total", "counter", "Requests that are over, by API and class of status.");
    for ((labels, class), count) in classes {
        let class = if class == 0 { "none".to_owned() } else { format!("{class}xx") };
        page.line("keyward_requests_total", &format!("{labels},status=\"{class}\""), count);
    }
    page.head("keyward_refusals_total", "counter", "Requests that were refused, by API and reason.");
    for ((labels, reason), count) in reasons {
        page.line("keyward_refusals_total", &format!("{labels},reason=\"{reason}\""), count);
    }
    let sum = |of: fn(&CoreCounters) -> &Counter| cores.iter().map(|core| of(core).get()).sum::<u64>();
    let active = sum(|core| &core.started).saturating_sub(sum(|core| &core.finished));
    page.one("keyward_requests_active", "gauge", "Requests that are under way.", active);
    let bytes = "Bytes of request bodies received.";
    page.one("keyward_request_body_bytes_total", "counter", bytes, sum(|core| &core.request_bytes));
    let bytes = "Bytes of answer bodies sent.";
    page.one("keyward_response_body_bytes_total", "counter", bytes, sum(|core| &core.response_bytes));
    let cut = "Requests whose answer was not sent completely.";
    page.one("keyward_requests_cut_short_total", "counter", cut, sum(|core| &core.cut_short));
}

fn render_durations(page: &mut Page, cores: &[Arc<CoreCounters>]) {
    const NAME: &str = "keyward_request_duration_seconds";
    page.head(NAME, "histogram", "From a request's complete head to the last byte of its answer.");
    let count_at = |place: usize| {
        cores.iter().filter_map(|core| core.durations.buckets.get(place)).map(Counter::get).sum::<u64>()
    };
    let mut so_far = 0;
    for (place, bound) in BUCKETS_US.into_iter().enumerate() {
        so_far += count_at(place);
        page.line(&format!("{NAME}_bucket"), &format!("le=\"{}\"", bound as f64 / 1e6), so_far);
    }
    so_far += count_at(BUCKETS_US.len());
    let sum_us: u64 = cores.iter().map(|core| core.durations.sum_us.get()).sum();
    page.line(&format!("{NAME}_bucket"), "le=\"+Inf\"", so_far);
    page.line(&format!("{NAME}_sum"), "", sum_us as f64 / 1e6);
    page.line(&format!("{NAME}_count"), "", so_far);
}

fn render_failures(page: &mut Page, cores: &[Arc<CoreCounters>]) {
    const NAME: &str = "keyward_upstream_failures_total";
    page.head(NAME, "counter", "Exchanges with services that gave no answer, by cause.");
    for (place, (_, cause)) in FAILURES.iter().enumerate() {
        let count: u64 = cores.iter().filter_map(|core| core.failures.get(place)).map(Counter::get).sum();
        page.line(NAME, &format!("cause=\"{cause}\""), count);
    }
}

fn render_replay(page: &mut Page, replay: &ReplayMemory, shared: &ReplayTally) {
    let remembered = "Nonces that are remembered.";
    page.one("keyward_replay_nonces", "gauge", remembered, replay.len() as u64);
    let checks = "Nonces that were looked up, by what became of them.";
    render_tally(page, "keyward_replay_checks_total", checks, replay.tally());
    let checks = "Nonces that the shared replay memory was asked about, by what became of them.";
    render_tally(page, "keyward_replay_shared_checks_total", checks, shared);
}

fn render_tally(page: &mut Page, name: &str, help: &str, tally: &ReplayTally) {
    page.head(name, "counter", help);
    for (result, count) in
        [("fresh", &tally.fresh), ("replayed", &tally.replayed), ("unavailable", &tally.unavailable)]
    {
        page.line(name, &format!("result=\"{result}\""), count.load(Ordering::Relaxed));
    }
}

fn render_clock(page: &mut Page, replay: &ReplayMemory) {
    let steps = "How often the wall clock was set by more than 5 seconds.";
    page.one("keyward_clock_steps_total", "counter", steps, replay.clock_steps());
}

fn render_transport(page: &mut Page, counters: &Counters) {
    let lookups = "Lookups of services' names that failed.";
    page.one("keyward_lookup_failures_total", "counter", lookups, keyward_http::failed_lookups());
    for (name, kind, help, count) in [
        ("connections_total", "counter", "Client connections accepted.", counters.connections_accepted),
        ("connections", "gauge", "Client connections open.", counters.connections_open),
        (
            "connections_shed_total",
            "counter",
            "Client connections closed or turned away for want of room.",
            counters.connections_shed,
        ),
        ("timeouts_total", "counter", "Connections ended because something was late.", counters.timed_out),
        (
            "upstream_connections_total",
            "counter",
            "Connections opened to services.",
            counters.upstream_opened,
        ),
        ("upstream_connections", "gauge", "Connections to services open.", counters.upstream_open),
        (
            "upstream_connect_failures_total",
            "counter",
            "Attempts to connect to a service that failed.",
            counters.upstream_failed,
        ),
        (
            "upstream_reuses_total",
            "counter",
            "Requests that found a pooled connection.",
            counters.upstream_reused,
        ),
        (
            "upstream_retries_total",
            "counter",
            "Requests sent again because their pooled connection was dead.",
            counters.upstream_retried,
        ),
        (
            "upstream_discards_total",
            "counter",
            "Connections to services thrown away because of what came on them.",
            counters.upstream_discarded,
        ),
        ("panics_total", "counter", "Panics that were caught; each denied a request.", counters.panics),
    ] {
        page.one(&format!("keyward_{name}"), kind, help, count);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{History, ReplayOptions, SystemClock};
    use uuid::Uuid;

    fn outcome(status: u16, micros: u64) -> Outcome {
        Outcome {
            status,
            duration: Duration::from_micros(micros),
            request_bytes: 10,
            response_bytes: 20,
            complete: status != 0,
            forwarded: true,
        }
    }

    #[test]
    fn cores_are_summed_and_labels_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let replay =
            ReplayMemory::open(folder.path(), ReplayOptions::default(), History::None, clock).unwrap();
        let metrics = Metrics::default();
        let id = ApiId::from_uuid(Uuid::from_u128(1));
        for core in [metrics.core(), metrics.core()] {
            let api = core.api(id, "default", "orders");
            core.started.add(4);
            core.finished(Some(&api), &outcome(200, 300), None);
            core.finished(Some(&api), &outcome(403, 300), Some(DenyReason::GrantMissing));
            core.finished(None, &outcome(0, 70_000_000), None);
            core.refused(431, DenyReason::RequestMalformed);
            core.failed(UpstreamFailure::Late);
        }
        let page = metrics.render(
            7,
            (&replay, &ReplayTally::default()),
            &Usage::default(),
            None,
            &Counters::default(),
        );
        for line in [
            "keyward_requests_total{account=\"default\",api=\"orders\",status=\"2xx\"} 2",
            "keyward_requests_total{account=\"default\",api=\"orders\",status=\"4xx\"} 2",
            "keyward_requests_total{account=\"\",api=\"\",status=\"none\"} 2",
            "keyward_requests_total{account=\"\",api=\"\",status=\"4xx\"} 2",
            "keyward_refusals_total{account=\"default\",api=\"orders\",reason=\"grant_missing\"} 2",
            "keyward_refusals_total{account=\"\",api=\"\",reason=\"request_malformed\"} 2",
            "keyward_requests_active 2",
            "keyward_request_body_bytes_total 60",
            "keyward_requests_cut_short_total 2",
            "keyward_request_duration_seconds_bucket{le=\"0.00025\"} 0",
            "keyward_request_duration_seconds_bucket{le=\"0.0005\"} 4",
            "keyward_request_duration_seconds_bucket{le=\"+Inf\"} 6",
            "keyward_request_duration_seconds_count 6",
            "keyward_upstream_failures_total{cause=\"late\"} 2",
            "keyward_replay_nonces 0",
            "keyward_snapshot_revision 7",
            "keyward_connections 0",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
        assert!(page.lines().all(|line| line.starts_with('#') || line.rsplit_once(' ').is_some()));
    }

    #[test]
    fn an_api_that_is_no_more_is_forgotten() {
        let core = CoreCounters::default();
        let id = ApiId::from_uuid(Uuid::from_u128(1));
        let first = core.api(id, "default", "orders");
        assert!(Arc::ptr_eq(&first, &core.api(id, "default", "orders")));
        assert!(!Arc::ptr_eq(&first, &core.api(id, "default", "renamed")));
        core.keep_apis(|_| false);
        assert!(locked(&core.apis).is_empty());
    }
}
