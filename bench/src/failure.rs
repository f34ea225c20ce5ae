//! What can end a benchmark early: one sentence for a person, with what to do next where that is known.

use std::fmt;

/// Why the benchmark stopped. There is nothing to match on: a person reads it.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// The answer of everything here that can fail.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure told by `what`: lower case, no full stop.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Says what was being done when a lower layer failed.
pub(crate) trait OrFail<T> {
    /// Turns any error into a [`Failure`] that begins with `doing`.
    fn or_fail(self, doing: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, doing: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{}: {error}", doing())))
    }
}
