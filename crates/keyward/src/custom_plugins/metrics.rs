//! What plugins count, and what their host counts about them. Names that plugins choose are values of a label, never names of their own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use keyward_access::Snapshot;
use keyward_model::PluginId;
use keyward_wasm::{Counts, MetricValue};

use super::runner::Runner;

/// Names, kinds and meanings of what the host counts.
const OF_HOST: [(&str, &str, &str, fn(&Counts) -> u64); 6] = [
    ("events_total", "counter", "Messages that reached a custom plugin.", |counts| counts.events),
    ("refused_total", "counter", "Messages that a custom plugin had no room for.", |counts| counts.refused),
    ("instances_lost_total", "counter", "Instances that trapped or took too much.", |counts| counts.lost),
    ("paused_too_long_total", "counter", "Calls that were paused for too long.", |counts| {
        counts.paused_too_long
    }),
    ("calls_total", "counter", "Calls that custom plugins made to services.", |counts| counts.calls),
    ("log_lines_left_out_total", "counter", "Lines of custom plugins that were not logged.", |counts| {
        counts.lines_left_out
    }),
];

pub(super) fn page(runners: &[Arc<Runner>], snapshot: &Snapshot) -> String {
    if runners.is_empty() {
        return String::new();
    }
    // Of one plugin the runner that the configuration wants now; what another one counted is in what they share.
    let mut current: BTreeMap<PluginId, &Arc<Runner>> = BTreeMap::new();
    for runner in runners {
        let wanted = snapshot.plugin(runner.plugin()).is_some_and(|entry| {
            matches!(entry.work(), keyward_access::PluginWork::Custom(custom) if custom.digest() == runner.custom().digest())
        });
        if wanted || !current.contains_key(&runner.plugin()) {
            current.insert(runner.plugin(), runner);
        }
    }
    let labelled: Vec<(String, &Arc<Runner>)> =
        current.into_values().map(|runner| (labels(runner, snapshot), runner)).collect();
    let mut page = String::new();
    family(&mut page, "running", "gauge", "1 while a custom plugin runs.");
    for (labels, runner) in &labelled {
        line(&mut page, "running", labels, None, u64::from(runner.running().is_some()));
    }
    for (name, kind, help, value) in OF_HOST {
        family(&mut page, name, kind, help);
        for (labels, runner) in &labelled {
            if let Some(running) = runner.running() {
                line(&mut page, name, labels, None, value(&running.counts()));
            }
        }
    }
    of_plugins(&mut page, &labelled);
    page
}

/// What plugins defined themselves.
fn of_plugins(page: &mut String, labelled: &[(String, &Arc<Runner>)]) {
    let metrics: Vec<_> = labelled
        .iter()
        .filter_map(|(labels, runner)| Some((labels, runner.running()?.metrics())))
        .flat_map(|(labels, metrics)| metrics.into_iter().map(move |metric| (labels, metric)))
        .collect();
    family(page, "counter_total", "counter", "Counters that custom plugins define.");
    for (labels, metric) in &metrics {
        if let MetricValue::Counter(value) = metric.value {
            line(page, "counter_total", labels, Some(&metric.name), value);
        }
    }
    family(page, "gauge", "gauge", "Gauges that custom plugins define.");
    for (labels, metric) in &metrics {
        if let MetricValue::Gauge(value) = metric.value {
            line(page, "gauge", labels, Some(&metric.name), value);
        }
    }
    family(
        page,
        "histogram",
        "summary",
        "Histograms that custom plugins define: how many values, and their sum.",
    );
    for (labels, metric) in &metrics {
        if let MetricValue::Histogram { count, sum } = metric.value {
            line(page, "histogram_count", labels, Some(&metric.name), count);
            line(page, "histogram_sum", labels, Some(&metric.name), sum);
        }
    }
}

fn labels(runner: &Runner, snapshot: &Snapshot) -> String {
    let custom = runner.custom();
    let account = snapshot.account(custom.account()).map_or("", |account| account.name.as_str());
    format!(
        "account=\"{}\",module=\"{}\",plugin=\"{}\"",
        escaped(account),
        escaped(custom.module().name.as_str()),
        custom.plugin()
    )
}

// Writing to a text never fails.

fn family(page: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(page, "# HELP keyward_plugin_{name} {help}\n# TYPE keyward_plugin_{name} {kind}");
}

fn line(page: &mut String, name: &str, labels: &str, metric: Option<&str>, value: u64) {
    let metric = metric.map(|metric| format!(",metric=\"{}\"", escaped(metric))).unwrap_or_default();
    let _ = writeln!(page, "keyward_plugin_{name}{{{labels}{metric}}} {value}");
}

/// As a label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
