//! The figures: a table with its notes for people, an array for `target/bench.json`.

use crate::failure::{Failure, Outcome};
use crate::measure::{Circumstances, Plan, Series};
use crate::request::{BODY, Request};
use crate::subject::{BASELINE, Case, Proxy, Subject};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

/// Above this share of a core used by others, or kept by the hypervisor, the notes warn.
const QUIET_MAX: f64 = 0.03;

/// One line of the benchmark, in the form of `bench.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) proxy: Proxy,
    pub(crate) case: Case,
    pub(crate) connections: usize,
    /// CPU seconds of the proxy's process tree per 1,000 requests.
    pub(crate) cpu_s_per_1000: f64,
    /// CPU per request against nginx's plain proxy: the median of the paired runs.
    pub(crate) ratio_to_nginx: f64,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    #[serde(skip)]
    pub(crate) spread: (f64, f64),
    #[serde(skip)]
    pub(crate) busy: f64,
}

impl Row {
    /// Medians over the runs of `series`.
    pub(crate) fn new(subject: Subject, connections: usize, series: &Series) -> Outcome<Self> {
        let over = |value: fn(&crate::measure::Sample) -> f64| {
            median(series.samples.iter().map(value).collect())
                .ok_or_else(|| Failure::new(format!("{} was never run", subject.label())))
        };
        let ratio = if subject == BASELINE { Some(1.0) } else { median(series.ratios.clone()) };
        let lowest = series.ratios.iter().copied().reduce(f64::min).unwrap_or(1.0);
        let highest = series.ratios.iter().copied().reduce(f64::max).unwrap_or(1.0);
        Ok(Self {
            proxy: subject.proxy,
            case: subject.case,
            connections,
            cpu_s_per_1000: rounded(over(|sample| sample.cpu_s_per_1000)?, 6),
            ratio_to_nginx: rounded(ratio.ok_or_else(|| Failure::new("a rival was never compared"))?, 4),
            requests_per_s: rounded(over(|sample| sample.requests_per_s)?, 1),
            p50_us: rounded(over(|sample| sample.p50_us)?, 1),
            p99_us: rounded(over(|sample| sample.p99_us)?, 1),
            spread: (lowest, highest),
            busy: over(|sample| sample.busy)?,
        })
    }

    fn subject(&self) -> Subject {
        Subject { proxy: self.proxy, case: self.case }
    }

    /// The bar and whether it held; empty where there is none.
    fn verdict(&self) -> String {
        match self.subject().bar() {
            Some(bar) if self.ratio_to_nginx <= bar => format!("{bar:.2} held"),
            Some(bar) => format!("{bar:.2} MISSED"),
            None => String::new(),
        }
    }
}

/// The rows as the array that others read.
pub(crate) fn json(rows: &[Row]) -> Outcome<String> {
    serde_json::to_string_pretty(rows)
        .map(|text| text + "\n")
        .map_err(|error| Failure::new(format!("writing the figures as JSON: {error}")))
}

/// The rows as a table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "conns",
        "proxy",
        "case",
        "CPU s/1000",
        "× nginx",
        "lowest–highest",
        "req/s",
        "p50 µs",
        "p99 µs",
        "core",
        "bar",
    ]);
    for row in rows {
        table.add_row([
            row.connections.to_string(),
            row.proxy.name().to_owned(),
            row.case.name().to_owned(),
            format!("{:.5}", row.cpu_s_per_1000),
            format!("{:.2}", row.ratio_to_nginx),
            format!("{:.2}–{:.2}", row.spread.0, row.spread.1),
            format!("{:.0}", row.requests_per_s),
            format!("{:.0}", row.p50_us),
            format!("{:.0}", row.p99_us),
            format!("{:.0} %", row.busy * 100.0),
            row.verdict(),
        ]);
    }
    for column in table.column_iter_mut() {
        if !matches!(column.index, 1 | 2 | 10) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// What the reader of the table must know, and what went otherwise than it should.
pub(crate) fn notes(plan: &Plan, callers: usize, circumstances: &Circumstances) -> String {
    let mut lines = vec![
        format!(
            "rounds: {}, of {:.1} s runs (warm-up {:.1} s); × nginx is the median over the rounds of CPU per request against the mean of the nginx plain runs before and after. \
             In nginx's own row, lowest–highest is each run against the one before: the noise.",
            plan.rounds,
            plan.window.as_secs_f64(),
            plan.warmup.as_secs_f64()
        ),
        format!(
            "requests of {} bytes plus the credential, answers of {} bytes of JSON, {callers} callers, every answer compared with the backend's; forged, missing and ungranted credentials were refused before.",
            Request::with("").bytes.len(),
            BODY.len()
        ),
        "every proxy has one core and writes its access log to a file: nginx `combined` with buffer=64k flush=1s, Envoy its default format flushed each second, Keyward its JSON lines."
            .to_owned(),
    ];
    for (connections, rate) in &circumstances.ceilings {
        lines.push(format!(
            "{connections} connections: load generator and backend alone reach {rate:.0} req/s on their core; near that, req/s and latency are theirs, CPU per request is still the proxy's."
        ));
    }
    lines.extend(surprises(circumstances));
    lines.iter().map(|line| format!("- {line}\n")).collect()
}

fn surprises(circumstances: &Circumstances) -> Vec<String> {
    let mut lines = Vec::new();
    for (who, shares) in
        [("other processes used", &circumstances.others), ("the hypervisor kept", &circumstances.stolen)]
    {
        let highest = shares.iter().copied().fold(0.0, f64::max);
        let middle = median(shares.clone()).unwrap_or(0.0);
        let share =
            format!("{who} {:.1} % of a core (median; at most {:.1} %)", middle * 100.0, highest * 100.0);
        if middle > QUIET_MAX {
            lines.push(format!("WARNING: the machine was not quiet: {share}"));
        } else {
            lines.push(share);
        }
    }
    if circumstances.reconnects > 0 {
        lines.push(format!(
            "WARNING: {} connections were closed by a proxy and opened again",
            circumstances.reconnects
        ));
    }
    if circumstances.upstream_connects > 0 {
        lines.push(format!(
            "{} connections were opened to the backend within measured windows",
            circumstances.upstream_connects
        ));
    }
    if circumstances.signed_late > 0 {
        lines.push(format!(
            "{} requests were signed within a run: the prepared ones were used up",
            circumstances.signed_late
        ));
    }
    let mut logged: Vec<_> = circumstances.logged.iter().collect();
    logged.sort_by_key(|(subject, _)| subject.label());
    for (subject, (answers, written)) in logged {
        if written < answers {
            lines.push(format!("WARNING: {} logged {written} of {answers} requests", subject.label()));
        }
    }
    lines
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;
    use serde_json::json;

    fn series(costs: &[f64], ratios: &[f64]) -> Series {
        let sample = |cost: &f64| Sample {
            cpu_s_per_1000: *cost,
            requests_per_s: 40_000.0,
            p50_us: 700.04,
            p99_us: 900.0,
            busy: 0.99,
        };
        Series { samples: costs.iter().map(sample).collect(), ratios: ratios.to_vec() }
    }

    const KEYWARD_PLAIN: Subject = Subject { proxy: Proxy::Keyward, case: Case::Plain };

    #[test]
    fn medians_are_not_swayed_by_one_bad_run() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 90.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 90.0]), Some(3.0));
    }

    #[test]
    fn a_row_has_exactly_the_fields_of_the_contract() {
        let row = Row::new(KEYWARD_PLAIN, 32, &series(&[0.014, 0.5, 0.015], &[0.74, 0.76, 0.75])).unwrap();
        let expected = json!([{
            "proxy": "keyward", "case": "plain", "connections": 32, "cpu_s_per_1000": 0.015,
            "ratio_to_nginx": 0.75, "requests_per_s": 40000.0, "p50_us": 700.0, "p99_us": 900.0
        }]);
        let written: serde_json::Value = serde_json::from_str(&json(&[row]).unwrap()).unwrap();
        assert_eq!(written, expected);
    }

    #[test]
    fn the_table_says_whether_a_bar_held() {
        let held = Row::new(KEYWARD_PLAIN, 32, &series(&[0.015], &[0.80])).unwrap();
        let missed = Row::new(KEYWARD_PLAIN, 256, &series(&[0.015], &[0.81])).unwrap();
        let nginx = Row::new(BASELINE, 32, &series(&[0.02], &[1.01])).unwrap();
        let text = table(&[nginx, held, missed]);
        assert!(text.contains("0.80 held") && text.contains("0.80 MISSED"), "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("nginx") && line.contains("plain")).count(), 1);
    }

    #[test]
    fn the_baseline_is_one_and_shows_its_noise() {
        let row = Row::new(BASELINE, 32, &series(&[0.02, 0.021], &[0.98, 1.03])).unwrap();
        assert_eq!((row.ratio_to_nginx, row.spread), (1.0, (0.98, 1.03)));
    }

    #[test]
    fn lost_log_lines_and_a_busy_machine_are_told() {
        let mut circumstances = Circumstances { others: vec![0.2], ..Circumstances::default() };
        circumstances.logged.insert(KEYWARD_PLAIN, (10, 9));
        circumstances.reconnects = 1;
        let told = surprises(&circumstances).join("\n");
        for part in ["not quiet", "logged 9 of 10", "1 connections were closed"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
