//! A core's own clock.

use std::time::{Duration, Instant};

/// A point in time: nanoseconds since the core started. One word, so that it fits a `Cell` that the sweeper reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Later than everything.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    #[cfg(test)]
    pub(crate) fn from_start(elapsed: Duration) -> Self {
        Self(nanos(elapsed))
    }

    /// `pause` later; `NEVER` if that is beyond counting.
    pub(crate) fn after(self, pause: Duration) -> Self {
        Self(self.0.saturating_add(nanos(pause)))
    }

    /// How long ago `earlier` was; zero if it was not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Tells a core what time it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Moment {
        let elapsed = self.start.elapsed();
        // Read twice per request: 64 bits are enough for 584 years, and cheaper than `as_nanos`.
        Moment(elapsed.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(elapsed.subsec_nanos())))
    }
}
