//! How far the benchmark is, on standard error: a bar for a terminal, a line per step otherwise.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _, stderr};

/// Drawn between runs only: a thread of its own would take part in what is measured.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar of `runs` steps.
    pub(crate) fn new(runs: usize) -> Self {
        if !stderr().is_terminal() {
            return Self { bar: None };
        }
        let bar = ProgressBar::with_draw_target(Some(runs as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len}  {elapsed} (left {eta})  {msg}")
        {
            bar.set_style(style);
        }
        Self { bar: Some(bar) }
    }

    /// Says what is being done besides the runs.
    pub(crate) fn say(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            // Progress that cannot be written is no reason to stop measuring.
            None => drop(writeln!(stderr(), "{what}")),
        }
    }

    /// Begins the next run.
    pub(crate) fn run(&self, what: &str) {
        self.say(what);
        if let Some(bar) = &self.bar {
            bar.inc(1);
            bar.tick();
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
