//! The clock that ends what runs too long: one thread that moves the engine's epoch while any guest runs, and sleeps else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, park, park_timeout};
use std::time::Duration;

use wasmtime::Engine;

/// Length of an epoch.
const EPOCH: Duration = Duration::from_millis(10);
/// Epochs without a running guest after which the thread sleeps until one runs.
const IDLE_EPOCHS: u32 = 100;

pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    engine: Engine,
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// A guest runs as long as this lives.
pub(crate) struct Running<'t>(&'t Shared);

impl Ticker {
    pub(crate) fn start(engine: Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            engine,
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("wasm-epochs".to_owned()).spawn(move || its.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        // Either the thread sees that a guest runs before it sleeps, or this sees that it sleeps.
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(&self.shared)
    }

    /// Epochs until `time` is over for certain.
    pub(crate) fn epochs(time: Duration) -> u64 {
        let epochs = time.as_millis().div_ceil(EPOCH.as_millis()).saturating_add(1);
        u64::try_from(epochs).unwrap_or(u64::MAX >> 1).min(u64::MAX >> 1)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.wake();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn run(&self) {
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            park_timeout(EPOCH);
            self.engine.increment_epoch();
            idle = if self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            if idle >= IDLE_EPOCHS {
                idle = 0;
                self.sleep();
            }
        }
    }

    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
            park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}
