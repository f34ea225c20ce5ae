//! What can be chosen on the command line; the defaults are those of the published figures.

use crate::failure::{Failure, OrFail as _, Outcome};
use crate::measure::Plan;
use crate::subject::{Case, Proxy, Subject};
use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::time::Duration;

/// Files that this process has open besides sockets.
const OTHER_FILES: u64 = 64;

/// Compares the CPU that proxies need per request: nginx, Envoy and Keyward on one core each.
#[derive(Clone, Debug, Parser)]
#[command(name = "keyward-bench")]
pub(crate) struct Options {
    /// Length of each run, in seconds.
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Load before each run that is not counted, in seconds.
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// How often each proxy is run in a pair with nginx's plain proxy.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    pub(crate) pairs: usize,
    /// Numbers of keep-alive connections.
    #[arg(long, value_delimiter = ',', default_value = "32,256", value_parser = at_least_one)]
    pub(crate) connections: Vec<usize>,
    /// How many callers have credentials; each connection belongs to one of them.
    #[arg(long, default_value_t = 256, value_parser = at_least_one)]
    pub(crate) callers: usize,
    /// Which proxies to measure; nginx's plain proxy always is.
    #[arg(long, value_delimiter = ',', default_value = "nginx,envoy,keyward")]
    pub(crate) proxies: Vec<Proxy>,
    /// Which cases to measure.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "plain,api_key,jwt_hs256,jwt_es256,alibaba_signature,key_auth,key_auth_ref,wasm_noop"
    )]
    pub(crate) cases: Vec<Case>,
    /// What standard output gets; bench.json is written either way.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// A Keyward binary to measure instead of building one in the release profile.
    #[arg(long, value_name = "FILE")]
    pub(crate) keyward: Option<PathBuf>,
    /// Where scripts/install-peers.sh puts the peers.
    #[arg(long, value_name = "FOLDER", default_value = "target/peers")]
    pub(crate) peers: PathBuf,
    /// Where bench.json and the work folder go.
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    pub(crate) target: PathBuf,
    /// The core of the proxy under measurement.
    #[arg(long, default_value_t = 0)]
    pub(crate) proxy_core: usize,
    /// The core of load generator and backend.
    #[arg(long, default_value_t = 1)]
    pub(crate) load_core: usize,
    /// Keep configurations and access logs after a run.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The form of the figures on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

impl Options {
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            subjects: Subject::chosen(&self.proxies, &self.cases),
            rounds: self.pairs,
            warmup: self.warmup,
            window: self.seconds,
            core: self.proxy_core,
        }
    }

    pub(crate) fn most_connections(&self) -> usize {
        self.connections.iter().copied().max().unwrap_or(1)
    }
}

/// Lets this process, and the proxies that inherit the limit, have `sockets` open.
pub(crate) fn raise_open_files(sockets: usize) -> Outcome<()> {
    let needed = sockets as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return Err(Failure::new(format!(
            "{needed} open files are needed: raise the hard limit of `ulimit -n`"
        )));
    }
    if limit.current.is_some_and(|current| current < needed) {
        let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).or_fail(|| "raising the limit of open files".into())?;
    }
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a number of seconds above 0, up to 600");
    let value: f64 = text.parse().map_err(|_| wrong())?;
    if !(value > 0.0 && value <= 600.0) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(value))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(value) if (1..=100_000).contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is not a number from 1 to 100,000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_defaults_are_the_figures_that_the_issue_asks_for() {
        Options::command().debug_assert();
        let options = Options::parse_from(["bench"]);
        assert_eq!(options.connections, [32, 256]);
        assert_eq!(options.plan().subjects.len(), 12);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for wrong in ["0", "-1", "x", "nan", "601"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for wrong in ["0", "-1", "x", "100001"] {
            assert!(at_least_one(wrong).is_err(), "{wrong}");
        }
    }
}
