//! `make bench`: nginx, Envoy and Keyward side by side, one core each, in one run.
//!
//! What is measured, how, and what it does not say is in `bench/README.md`.

mod alibaba;
mod callers;
mod control;
mod cpu;
mod failure;
mod jwt;
mod load;
mod measure;
mod options;
mod progress;
mod proxy;
mod report;
mod request;
mod subject;
mod world;

use callers::Callers;
use clap::Parser as _;
use failure::{OrFail as _, Outcome};
use load::Wire;
use measure::{Circumstances, Level, Plan};
use options::{Options, Output};
use progress::Progress;
use report::Row;
use std::fs;
use std::io::{Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match bench(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With standard error gone, the exit code still tells.
            let _ = writeln!(stderr(), "bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The benchmark from the first look at the machine to the written figures.
fn bench(options: &Options) -> Outcome<()> {
    cpu::require_cores([options.proxy_core, options.load_core])?;
    let plan = options.plan();
    let programs = proxy::Programs::find(&plan.subjects, &options.peers, options.keyward.clone())?;
    // Cargo may use all cores; from here on, this process keeps to its own.
    cpu::bind_to(options.load_core)?;
    options::raise_open_files(options.most_connections() * (plan.subjects.len() + 1))?;

    let folder = work_folder(&options.target)?;
    let callers = Callers::new(options.callers)?;
    let mut wire = Wire::new()?;
    let mut circumstances = Circumstances::default();
    let progress = Progress::new(measure::runs_per_level(&plan) * options.connections.len());
    let mut rows = Vec::new();
    for &connections in &options.connections {
        let level = Level {
            plan: &plan,
            connections,
            callers: &callers,
            programs: &programs,
            folder: &folder.join(connections.to_string()),
            wire: &mut wire,
            circumstances: &mut circumstances,
            progress: &progress,
            runs: 0,
            fastest: 0.0,
        };
        rows.extend(measured_rows(level, &plan, connections)?);
    }
    progress.finish();
    tell(options, &plan, &rows, &circumstances)?;
    clear(&folder, options.keep)
}

fn measured_rows(level: Level<'_>, plan: &Plan, connections: usize) -> Outcome<Vec<Row>> {
    let mut all = level.measure()?;
    plan.subjects
        .iter()
        .map(|subject| Row::new(*subject, connections, &all.remove(subject).unwrap_or_default()))
        .collect()
}

/// Prints the figures and writes `bench.json`. No figure makes the run fail: a bar is judged by its reader.
fn tell(options: &Options, plan: &Plan, rows: &[Row], circumstances: &Circumstances) -> Outcome<()> {
    let json = report::json(rows)?;
    let notes = report::notes(plan, options.callers, circumstances);
    let file = options.target.join("bench.json");
    fs::create_dir_all(&options.target).or_fail(|| format!("creating `{}`", options.target.display()))?;
    fs::write(&file, &json).or_fail(|| format!("writing `{}`", file.display()))?;
    let printing = || "printing the figures".to_owned();
    match options.output {
        Output::Json => {
            stdout().write_all(json.as_bytes()).or_fail(printing)?;
            stderr().write_all(notes.as_bytes()).or_fail(printing)
        }
        Output::Table => {
            writeln!(stdout(), "{}\n{notes}\nthe same figures: {}", report::table(rows), file.display())
                .or_fail(printing)
        }
    }
}

/// An empty folder for configurations and access logs; what an earlier run left there goes.
fn work_folder(target: &Path) -> Outcome<PathBuf> {
    let making = || "making the work folder".to_owned();
    let folder = std::path::absolute(target.join("bench-run")).or_fail(making)?;
    if folder.exists() {
        fs::remove_dir_all(&folder).or_fail(making)?;
    }
    fs::create_dir_all(&folder).or_fail(making)?;
    Ok(folder)
}

/// Removes the work folder; after a failed run it stays, to be looked at.
fn clear(folder: &Path, keep: bool) -> Outcome<()> {
    if keep {
        return Ok(());
    }
    fs::remove_dir_all(folder).or_fail(|| format!("removing `{}`", folder.display()))
}
