//! What waits for one worker: events of requests, and what became of calls. Bounded where requests begin.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::call_out::CallAnswer;
use crate::event::{Answer, Event, Facts};

/// So many items wait before they wake the worker, though none of them is urgent.
const QUIET_ITEMS_MAX: usize = 32;

#[derive(Debug)]
pub(crate) enum Item {
    /// An event of a request; `begin` with the first one.
    Event { stream: u32, begin: Option<Box<Facts>>, event: Box<Event>, reply: oneshot::Sender<Answer> },
    /// Nobody will tell more of this request.
    End(u32),
    /// A call has ended; without an answer it failed.
    Called { call: u32, generation: u64, answer: Option<CallAnswer> },
    /// There is an item in a shared queue.
    QueueReady(u32),
    /// Nobody will tell anything any more.
    Stop,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    /// How many events wait, for those who choose a worker. What is no event keeps no request out.
    events: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Item>,
    waiting: bool,
    closed: bool,
}

impl Queue {
    /// Adds an item and wakes the worker if it sleeps. A closed queue gives the item back.
    pub(crate) fn push(&self, item: Item) -> Result<(), Item> {
        let (asleep, _) = self.add(item)?;
        if asleep {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Adds an item that the worker need not hear of at once: it looks now and then while it has requests. Many of them wake it.
    pub(crate) fn push_quietly(&self, item: Item) -> Result<(), Item> {
        let (asleep, count) = self.add(item)?;
        if asleep && count >= QUIET_ITEMS_MAX {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Whether the worker sleeps, and how many items wait.
    fn add(&self, item: Item) -> Result<(bool, usize), Item> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(item);
        }
        self.events.fetch_add(is_event(&item), Ordering::Relaxed);
        inner.items.push_back(item);
        Ok((inner.waiting, inner.items.len()))
    }

    /// The next item; `None` if there is none until `deadline`. Without a deadline it waits.
    pub(crate) fn pop_until(&self, deadline: Option<Instant>) -> Option<Item> {
        let mut inner = self.lock();
        loop {
            if let Some(item) = inner.items.pop_front() {
                self.events.fetch_sub(is_event(&item), Ordering::Relaxed);
                return Some(item);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            inner.waiting = true;
            inner = match left {
                Some(left) => self.wake.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
            inner.waiting = false;
        }
    }

    /// How many events wait.
    pub(crate) fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// Takes nothing more, and drops what waits: whoever awaits an answer of it hears that there is none.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        let items = std::mem::take(&mut inner.items);
        self.events.store(0, Ordering::Relaxed);
        // Dropping an item may push another one.
        drop(inner);
        drop(items);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_event(item: &Item) -> usize {
    usize::from(matches!(item, Item::Event { .. }))
}
