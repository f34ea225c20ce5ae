//! The threads on which plugins are compiled and started: a few, made when there is something to do, gone when there is not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most of them: one plugin whose start takes long must not hold up the others, and compiling must leave time for calls.
const THREADS_MAX: usize = 4;

/// Work, done or dropped.
pub(super) type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Starters(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
}

impl Starters {
    /// Has it done soon. Where there is no thread for it, it is dropped.
    pub(super) fn give(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        state.waiting.push_back(job);
        if state.threads >= THREADS_MAX {
            return;
        }
        state.threads += 1;
        drop(state);
        let starters = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("plugin-start".into()).spawn(move || starters.work());
        if let Err(error) = spawned {
            tracing::error!(%error, "there is no thread to start a plugin on");
            let dropped = {
                let mut state = self.lock();
                state.threads -= 1;
                if state.threads == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() }
            };
            drop(dropped);
        }
    }

    fn work(&self) {
        loop {
            let job = {
                let mut state = self.lock();
                match state.waiting.pop_front() {
                    Some(job) => job,
                    None => {
                        state.threads -= 1;
                        return;
                    }
                }
            };
            // Whatever a compiler may do with what somebody uploaded, this thread goes on; the job's owner hears of its end.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_job_is_done_though_one_panics() {
        let starters = Arc::new(Starters::default());
        let (done, told) = mpsc::channel();
        for number in 0..40 {
            let done = done.clone();
            starters.give(Box::new(move || {
                assert!(number % 7 != 3, "as some do");
                done.send(number).unwrap();
            }));
        }
        drop(done);
        let mut numbers: Vec<i32> = told.iter().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..40).filter(|number| number % 7 != 3).collect::<Vec<_>>());
    }
}
