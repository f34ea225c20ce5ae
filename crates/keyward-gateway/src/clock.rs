//! The gateway's two clocks, injected so that tests can turn them.

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
