//! The order of the runs, and what is kept of each.
//!
//! A rival is always run between two runs of the baseline and compared with their mean, so that a machine that
//! gets slower or faster meanwhile does so for both. Its ratio is the median over the rounds.

use crate::callers::Callers;
use crate::control;
use crate::cpu;
use crate::failure::{Failure, OrFail as _, Outcome};
use crate::load::{Call, Load, Wire};
use crate::progress::Progress;
use crate::proxy::{Programs, Running, Setting};
use crate::subject::{BASELINE, Subject};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) rounds: usize,
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
    pub(crate) core: usize,
}

/// One run, reduced to what the table needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) cpu_s_per_1000: f64,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// The share of its core that the proxy used.
    pub(crate) busy: f64,
}

/// The runs of one subject at one number of connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub(crate) samples: Vec<Sample>,
    /// CPU per request against the baseline, one per round; for the baseline itself, each run against the last.
    pub(crate) ratios: Vec<f64>,
}

/// What a person should know about how the runs went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circumstances {
    /// Share of a core that other processes used, one per run.
    pub(crate) others: Vec<f64>,
    /// Share of the machine's time that the hypervisor kept, one per run.
    pub(crate) stolen: Vec<f64>,
    pub(crate) reconnects: u64,
    /// Connections that proxies opened to the backend while they were measured.
    pub(crate) upstream_connects: u64,
    pub(crate) signed_late: u64,
    /// Requests per second with no proxy between: by connections.
    pub(crate) ceilings: Vec<(usize, f64)>,
    /// Answers and access log lines, by subject.
    pub(crate) logged: HashMap<Subject, (u64, u64)>,
}

/// All that one number of connections needs.
pub(crate) struct Level<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) connections: usize,
    pub(crate) callers: &'a Callers,
    pub(crate) programs: &'a Programs,
    pub(crate) folder: &'a Path,
    pub(crate) wire: &'a mut Wire,
    pub(crate) circumstances: &'a mut Circumstances,
    pub(crate) progress: &'a Progress,
    /// Runs so far, so that successive runs begin with other callers.
    pub(crate) runs: usize,
    /// The highest rate seen so far, in requests per second: how many signatures to prepare.
    pub(crate) fastest: f64,
}

impl Level<'_> {
    /// Starts every proxy afresh, checks it, measures all rounds, and ends them again.
    pub(crate) fn measure(mut self) -> Outcome<HashMap<Subject, Series>> {
        self.measure_ceiling()?;
        let fleet = self.start_fleet()?;
        let baseline = find(&fleet, BASELINE)?;
        let mut all: HashMap<Subject, Series> = HashMap::new();
        for round in 0..self.plan.rounds {
            let mut before = self.run(baseline, round)?;
            keep(&mut all, BASELINE, before, None);
            for subject in rivals(&self.plan.subjects, round) {
                let rival = self.run(find(&fleet, subject)?, round)?;
                let after = self.run(baseline, round)?;
                keep(&mut all, subject, rival, Some(mean(before.cpu_s_per_1000, after.cpu_s_per_1000)));
                keep(&mut all, BASELINE, after, Some(before.cpu_s_per_1000));
                before = after;
            }
        }
        self.stop_fleet(fleet)?;
        Ok(all)
    }

    /// What load generator and backend reach on their core alone: no proxy can be seen to be faster.
    fn measure_ceiling(&mut self) -> Outcome<()> {
        let calls = (0..self.connections).map(|_| Call::fixed(crate::request::Request::with(""))).collect();
        let window = self.plan.window.min(Duration::from_secs(1));
        let load = Load { address: self.wire.backend_address(), calls, warmup: window / 5, window };
        let window = self.wire.run(load, || Ok(()))?;
        let rate = window.requests as f64 / window.elapsed.as_secs_f64();
        self.circumstances.ceilings.push((self.connections, rate));
        Ok(())
    }

    fn start_fleet(&mut self) -> Outcome<Vec<Running>> {
        let mut fleet = Vec::new();
        for subject in &self.plan.subjects {
            self.progress.say(&format!("starting {}", subject.label()));
            let folder = self.folder.join(subject.label().replace('/', "-"));
            fs::create_dir_all(&folder).or_fail(|| format!("creating `{}`", folder.display()))?;
            let setting = Setting {
                programs: self.programs,
                folder,
                backend: self.wire.backend_address(),
                callers: self.callers,
                core: self.plan.core,
            };
            let running = Running::start(*subject, &setting)?;
            let answers = control::check(self.wire, &running, self.callers)?;
            self.circumstances.logged.entry(*subject).or_default().0 += answers;
            fleet.push(running);
        }
        Ok(fleet)
    }

    fn stop_fleet(&mut self, fleet: Vec<Running>) -> Outcome<()> {
        for running in fleet {
            let subject = running.subject;
            let lines = running.stop()?;
            if lines == 0 {
                return Err(Failure::new(format!("{} wrote no access log", subject.label())));
            }
            self.circumstances.logged.entry(subject).or_default().1 += lines;
        }
        Ok(())
    }

    fn run(&mut self, running: &Running, round: usize) -> Outcome<Sample> {
        let label = running.subject.label();
        self.progress.run(&format!("{} connections, round {}, {label}", self.connections, round + 1));
        let calls = self.calls(running)?;
        let load =
            Load { address: running.address, calls, warmup: self.plan.warmup, window: self.plan.window };
        let window = self.wire.run(load, cpu::read).or_fail(|| label.clone())?;
        self.runs += 1;
        self.circumstances.logged.entry(running.subject).or_default().0 += window.answers;
        self.circumstances.reconnects += window.reconnects;
        self.circumstances.upstream_connects += window.upstream_connects;
        self.circumstances.signed_late += window.signed_late;

        let spent = cpu::spent(&window.readings.0, &window.readings.1, running.pid()).or_fail(|| label)?;
        let seconds = window.elapsed.as_secs_f64();
        self.circumstances.others.push(spent.others_s / seconds);
        self.circumstances.stolen.push(spent.stolen_s / seconds);
        let sample = Sample {
            cpu_s_per_1000: spent.proxy_s / window.requests as f64 * 1000.0,
            requests_per_s: window.requests as f64 / seconds,
            p50_us: window.p50.as_secs_f64() * 1e6,
            p99_us: window.p99.as_secs_f64() * 1e6,
            busy: spent.proxy_s / seconds,
        };
        self.fastest = self.fastest.max(sample.requests_per_s);
        Ok(sample)
    }

    /// One caller per connection; signatures for half again as many requests as the fastest run so far made.
    fn calls(&self, running: &Running) -> Outcome<Vec<Call>> {
        let seconds = (self.plan.warmup + self.plan.window).as_secs_f64();
        let each = (self.fastest * seconds * 1.5 / self.connections as f64) as usize + 16;
        let first = self.runs * self.connections;
        let callers = self.callers.granted.iter().cycle().skip(first % self.callers.granted.len());
        callers
            .take(self.connections)
            .map(|caller| {
                let mut call = self.callers.call(running.subject.case, caller)?;
                call.prepare(each)?;
                Ok(call)
            })
            .collect()
    }
}

/// How many runs a plan takes at one number of connections.
pub(crate) fn runs_per_level(plan: &Plan) -> usize {
    plan.rounds * (1 + 2 * rivals(&plan.subjects, 0).len())
}

/// Everybody but the baseline, beginning with another one in each round.
fn rivals(subjects: &[Subject], round: usize) -> Vec<Subject> {
    let mut rivals: Vec<Subject> = subjects.iter().copied().filter(|subject| *subject != BASELINE).collect();
    if !rivals.is_empty() {
        let turn = round % rivals.len();
        rivals.rotate_left(turn);
    }
    rivals
}

fn keep(all: &mut HashMap<Subject, Series>, subject: Subject, sample: Sample, against: Option<f64>) {
    let series = all.entry(subject).or_default();
    series.samples.push(sample);
    series.ratios.extend(against.map(|baseline| sample.cpu_s_per_1000 / baseline));
}

fn find(fleet: &[Running], subject: Subject) -> Outcome<&Running> {
    fleet
        .iter()
        .find(|running| running.subject == subject)
        .ok_or_else(|| Failure::new(format!("{} is not running", subject.label())))
}

fn mean(a: f64, b: f64) -> f64 {
    f64::midpoint(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::{Case, Proxy};

    fn plan(rounds: usize) -> Plan {
        let second = Duration::from_secs(1);
        let subjects = Subject::chosen(&[Proxy::Nginx, Proxy::Envoy], &[Case::Plain, Case::ApiKey]);
        Plan { subjects, rounds, warmup: second, window: second, core: 0 }
    }

    #[test]
    fn each_rival_stands_between_two_runs_of_the_baseline_and_none_is_always_first() {
        let plan = plan(2);
        let first = rivals(&plan.subjects, 0);
        assert_eq!(first.len(), 2);
        assert!(!first.contains(&BASELINE));
        assert_eq!(rivals(&plan.subjects, 1), [first[1], first[0]]);
        assert_eq!(rivals(&plan.subjects, 2), first);
        // baseline, rival, baseline, rival, baseline: five runs a round.
        assert_eq!(runs_per_level(&plan), 10);
    }

    #[test]
    fn a_ratio_is_taken_where_there_is_something_to_compare_with() {
        let sample = Sample { cpu_s_per_1000: 3.0, requests_per_s: 1.0, p50_us: 1.0, p99_us: 1.0, busy: 1.0 };
        let mut all = HashMap::new();
        keep(&mut all, BASELINE, sample, None);
        keep(&mut all, BASELINE, sample, Some(mean(1.0, 3.0)));
        let series = &all[&BASELINE];
        assert_eq!((series.samples.len(), series.ratios.as_slice()), (2, [1.5].as_slice()));
    }
}
