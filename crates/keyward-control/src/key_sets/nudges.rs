//! Who waits for a key set to be fetched anew.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyward_access::jwt::KeySetNudge;
use keyward_model::{KeySetUrl, Timestamp};
use tokio::sync::Notify;

use crate::Clock;

/// What was asked by the data plane, and who waits for it.
pub(super) struct Nudges {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    asked: BTreeMap<KeySetUrl, Asked>,
    closed: bool,
}

struct Asked {
    at: Timestamp,
    /// Not fetched yet since.
    open: bool,
    waiting: Vec<Box<dyn Send>>,
}

/// The same address is fetched because of tokens once in so many milliseconds.
const PAUSE_MS: i64 = 10_000;
/// Most requests that wait for the same address.
const WAITING_MAX: usize = 1_024;
/// Most addresses that are asked about.
const ADDRESSES_MAX: usize = 4_096;

impl Nudges {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), wake: Notify::new() }
    }

    /// Waits until somebody asks.
    pub(super) async fn asked(&self) {
        self.wake.notified().await;
    }

    /// The addresses that are asked about and were not fetched since.
    pub(super) fn wanted(&self) -> Vec<KeySetUrl> {
        let state = self.locked();
        state.asked.iter().filter(|(_, asked)| asked.open).map(|(url, _)| url.clone()).collect()
    }

    /// This address was fetched, or could not be.
    pub(super) fn finished(&self, url: &KeySetUrl) {
        let waiting = self.locked().asked.get_mut(url).map(|asked| {
            asked.open = false;
            std::mem::take(&mut asked.waiting)
        });
        drop(waiting);
    }

    /// Nobody will be answered any more.
    pub(super) fn close(&self) {
        let mut state = self.locked();
        state.closed = true;
        let asked = std::mem::take(&mut state.asked);
        drop(state);
        drop(asked);
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// A clock that was set back does not close the way.
    fn is_recent(&self, now: Timestamp) -> bool {
        (0..PAUSE_MS).contains(&now.as_millis().saturating_sub(self.at.as_millis()))
    }
}

impl State {
    /// Makes room for one more address, if those whose pause is over leave some.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.asked.len() >= ADDRESSES_MAX {
            self.asked.retain(|_, asked| asked.open || asked.is_recent(now));
        }
        self.asked.len() < ADDRESSES_MAX
    }
}

impl KeySetNudge for Nudges {
    fn nudge(&self, url: &KeySetUrl, done: Box<dyn Send>) -> bool {
        let now = self.clock.now();
        let mut state = self.locked();
        if state.closed {
            return false;
        }
        if let Some(asked) = state.asked.get_mut(url) {
            if asked.open {
                let joins = asked.waiting.len() < WAITING_MAX;
                if joins {
                    asked.waiting.push(done);
                }
                return joins;
            }
            if asked.is_recent(now) {
                return false;
            }
        } else if !state.has_room(now) {
            return false;
        }
        state.asked.insert(url.clone(), Asked { at: now, open: true, waiting: vec![done] });
        drop(state);
        self.wake.notify_one();
        true
    }
}

impl fmt::Debug for Nudges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nudges(…)")
    }
}
