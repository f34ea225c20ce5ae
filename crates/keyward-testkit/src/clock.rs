//! A clock that a test turns.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use keyward_gateway::Clock;
use keyward_model::Timestamp;

/// A clock that stands still until it is turned.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    /// It is this moment.
    pub fn at(now: Timestamp) -> Self {
        Self { now_ms: AtomicI64::new(now.as_millis()), monotonic_ms: AtomicU64::new(1_000) }
    }

    /// It becomes this moment. Monotonic time does not go back, but goes on where wall time does.
    pub fn set(&self, now: Timestamp) {
        let before = self.now_ms.swap(now.as_millis(), Ordering::SeqCst);
        let forward = u64::try_from(now.as_millis().saturating_sub(before)).unwrap_or(0);
        self.monotonic_ms.fetch_add(forward, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn set_wall(&self, now: Timestamp) {
        self.now_ms.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Some milliseconds pass (or, negative, the wall clock is set back).
    pub fn advance_ms(&self, millis: i64) {
        self.set(self.now().plus_millis(millis));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::SeqCst)
    }
}
