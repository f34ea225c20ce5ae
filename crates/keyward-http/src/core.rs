//! What the connections of one core share: the handler, the limits, spare memory, counters, the date.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use crate::buffer::Spares;
use crate::connection::Work;
use crate::counters::CoreCounters;
use crate::date::{DateLine, date_line};
use crate::handler::Handler;
use crate::limits::Limits;

/// Spare working memory kept per core.
const SPARE_WORKS: usize = 256;

/// Shared by the connections of one core.
pub(crate) struct Core<H: Handler> {
    pub(crate) handler: H,
    pub(crate) spares: Spares,
    pub(crate) counters: Arc<CoreCounters>,
    pub(crate) node: Arc<Node>,
    limits: RefCell<Arc<Limits>>,
    works: RefCell<Vec<Box<Work<H>>>>,
    date: Cell<DateLine>,
    stopping: Cell<bool>,
    deaf: Cell<bool>,
}

impl<H: Handler> Core<H> {
    pub(crate) fn new(
        handler: H,
        limits: Arc<Limits>,
        node: Arc<Node>,
        counters: Arc<CoreCounters>,
    ) -> Rc<Self> {
        Rc::new(Self {
            handler,
            spares: Spares::default(),
            counters,
            node,
            limits: RefCell::new(limits),
            works: RefCell::default(),
            date: Cell::new(date_line(SystemTime::UNIX_EPOCH)),
            stopping: Cell::new(false),
            deaf: Cell::new(false),
        })
    }

    pub(crate) fn limits(&self) -> Ref<'_, Limits> {
        Ref::map(self.limits.borrow(), |limits| &**limits)
    }

    pub(crate) fn set_limits(&self, limits: Arc<Limits>) {
        *self.limits.borrow_mut() = limits;
    }

    /// The `Date` line as of the last [`Self::set_time`].
    pub(crate) fn date_line(&self) -> DateLine {
        self.date.get()
    }

    pub(crate) fn set_time(&self, now: SystemTime) {
        self.date.set(date_line(now));
    }

    /// No further request is taken on any connection.
    pub(crate) fn stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    /// Is an answer that begins now its connection's last?
    pub(crate) fn answers_are_last(&self) -> bool {
        self.stopping() || self.limits().last_answers
    }

    /// No further connection is accepted; what waits stays for whoever has the listener too.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.get()
    }

    pub(crate) fn deafen(&self) {
        self.deaf.set(true);
    }

    pub(crate) fn take_work(&self) -> Box<Work<H>> {
        self.works.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&self, mut work: Box<Work<H>>) {
        if let Some(buffer) = work.reset() {
            self.spares.give_back(buffer);
        }
        let mut works = self.works.borrow_mut();
        if works.len() < SPARE_WORKS {
            works.push(work);
        }
    }
}

/// What all cores of a server share.
#[derive(Default)]
pub(crate) struct Node {
    held: AtomicUsize,
}

impl Node {
    /// Takes `bytes` out of the budget for held bodies; `false` if they do not fit `budget`.
    pub(crate) fn hold(&self, bytes: usize, budget: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= budget);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    pub(crate) fn let_go(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}
