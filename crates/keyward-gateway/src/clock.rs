//! The gateway's two clocks, injected so that tests can turn them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use keyward_model::Timestamp;

/// Wall time for what people wrote down, monotonic time for how long something took.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Now, by the wall clock. May jump, either way.
    fn now(&self) -> Timestamp;

    /// Milliseconds since some fixed moment. Never goes back, never jumps.
    fn monotonic_ms(&self) -> u64;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Monotonic time counts from here.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is as wrong as one at 1970: nothing is valid at either.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// From which step of the wall clock on somebody is told, in milliseconds.
const STEP_MIN_MS: u64 = 5_000;

/// Notices that the wall clock was set: between two looks it went another way than monotonic time.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    /// Wall time less monotonic time, when it was last looked at.
    distance_ms: AtomicI64,
    steps: AtomicU64,
}

impl ClockWatch {
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        Self { distance_ms: AtomicI64::new(distance_ms(clock)), steps: AtomicU64::new(0) }
    }

    /// To be called every second or so.
    pub(crate) fn look(&self, clock: &dyn Clock) {
        let distance = distance_ms(clock);
        let step_ms = distance.saturating_sub(self.distance_ms.swap(distance, Ordering::Relaxed));
        if step_ms.unsigned_abs() > STEP_MIN_MS {
            self.steps.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                step_ms,
                "the wall clock was set; signatures, tokens and grants are judged by what it says now"
            );
        }
    }

    /// How often it was set.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

fn distance_ms(clock: &dyn Clock) -> i64 {
    clock.now().as_millis().saturating_sub(i64::try_from(clock.monotonic_ms()).unwrap_or(i64::MAX))
}
