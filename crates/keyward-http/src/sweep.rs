//! Deadlines without timers: every connection has one word that says when it is late, and once a second (sooner only
//! if a shorter time limit asks for it) all of them are looked through.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::moment::Moment;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Shortest pause, however short a time limit is.
const PAUSE_MIN: Duration = Duration::from_millis(10);

#[expect(
    deprecated,
    reason = "its successor is unsafe; an `OwnedFd` does stay valid for as long as it is owned"
)]
fn register(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

/// What a connection is told when it is woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signals {
    /// Its deadline has passed.
    pub(crate) expired: bool,
    /// A request has been worked on for a second (or for another one).
    pub(crate) tick: bool,
    /// The server stops.
    pub(crate) stop: bool,
    /// To be ended unless its request is decided.
    pub(crate) cut: bool,
    /// Room is needed.
    pub(crate) shed: bool,
}

/// What the sweeper sees of a connection.
pub(crate) struct Watch {
    place: usize,
    deadline: Cell<Moment>,
    busy_since: Cell<Moment>,
    idle: Cell<bool>,
    signals: Cell<Signals>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    pub(crate) fn take_signals(&self) -> Signals {
        self.signals.take()
    }

    /// Must be called once, from the connection's task.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    fn can_be_shed(&self) -> bool {
        self.idle.get() && !self.signals.get().shed
    }

    fn signal(&self, change: impl FnOnce(&mut Signals)) {
        let mut signals = self.signals.get();
        change(&mut signals);
        self.signals.set(signals);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// All connections of a core.
pub(crate) struct Watches {
    places: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<usize>>,
    next_sweep: Cell<Moment>,
    last_sweep: Cell<Moment>,
    timer: AsyncFd<OwnedFd>,
}

impl Watches {
    /// Must be called within the core's runtime.
    ///
    /// # Errors
    /// If the system gives no timer.
    pub(crate) fn new() -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let watches = Self {
            places: RefCell::default(),
            free: RefCell::default(),
            next_sweep: Cell::new(Moment::default()),
            last_sweep: Cell::new(Moment::default()),
            timer: register(timer)?,
        };
        watches.schedule(Moment::default(), PAUSE);
        Ok(watches)
    }

    pub(crate) fn add(&self) -> Rc<Watch> {
        let mut places = self.places.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or(places.len());
        let watch = Rc::new(Watch {
            place,
            deadline: Cell::new(Moment::NEVER),
            busy_since: Cell::new(Moment::NEVER),
            idle: Cell::new(true),
            signals: Cell::default(),
            waker: RefCell::default(),
        });
        match places.get_mut(place) {
            Some(slot) => *slot = Some(Rc::clone(&watch)),
            None => places.push(Some(Rc::clone(&watch))),
        }
        watch
    }

    pub(crate) fn remove(&self, watch: &Watch) {
        if let Some(slot) = self.places.borrow_mut().get_mut(watch.place) {
            *slot = None;
            self.free.borrow_mut().push(watch.place);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.borrow().len() == self.free.borrow().len()
    }

    /// Notes what a connection waits for.
    pub(crate) fn set(&self, watch: &Watch, deadline: Moment, busy: bool, now: Moment) {
        watch.deadline.set(deadline);
        watch.idle.set(!busy);
        if !busy {
            watch.busy_since.set(Moment::NEVER);
        } else if watch.busy_since.get() == Moment::NEVER {
            watch.busy_since.set(now);
        }
        if deadline < self.next_sweep.get() {
            let earliest = self.last_sweep.get().after(PAUSE_MIN);
            self.schedule(now, deadline.max(earliest).since(now).max(PAUSE_MIN));
        }
    }

    /// Waits until it is time for a look.
    pub(crate) async fn due(&self) {
        let mut expirations = [0u8; 8];
        let Ok(mut guard) = self.timer.readable().await else { return };
        // The number of expirations does not matter, and neither does a failed read: the look is due either way.
        let _ = rustix::io::read(self.timer.get_ref(), &mut expirations);
        guard.clear_ready();
    }

    /// Wakes the connections that are late, and those that have been busy for a while.
    pub(crate) fn sweep(&self, now: Moment) {
        let mut first = Moment::NEVER;
        for watch in self.places.borrow().iter().flatten() {
            let deadline = watch.deadline.get();
            let busy_since = watch.busy_since.get();
            if deadline <= now {
                watch.signal(|signals| signals.expired = true);
            } else {
                first = first.min(deadline);
            }
            if busy_since != Moment::NEVER && now.since(busy_since) >= PAUSE {
                watch.busy_since.set(now);
                watch.signal(|signals| signals.tick = true);
            }
        }
        self.last_sweep.set(now);
        self.schedule(now, first.since(now).clamp(PAUSE_MIN, PAUSE));
    }

    /// Tells all connections that the server stops.
    pub(crate) fn stop(&self) {
        for watch in self.places.borrow().iter().flatten() {
            watch.signal(|signals| signals.stop = true);
        }
    }

    /// Tells all connections whose request is not decided to end.
    pub(crate) fn cut(&self) {
        for watch in self.places.borrow().iter().flatten() {
            watch.signal(|signals| signals.cut = true);
        }
    }

    /// Tells the connections that have been idle longest to make room; returns how many.
    pub(crate) fn shed(&self) -> usize {
        let places = self.places.borrow();
        let mut idle: Vec<&Rc<Watch>> = places.iter().flatten().filter(|watch| watch.can_be_shed()).collect();
        // Some at once, so that a flood does not look through all of them for every new connection.
        let count = (idle.len() / 64).max(1).min(idle.len());
        if count == 0 {
            return 0;
        }
        idle.select_nth_unstable_by_key(count - 1, |watch| watch.deadline.get());
        for watch in idle.iter().take(count) {
            watch.signal(|signals| signals.shed = true);
        }
        count
    }

    fn schedule(&self, now: Moment, pause: Duration) {
        self.next_sweep.set(now.after(pause));
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 1, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(pause.as_secs()).unwrap_or(1),
                tv_nsec: i64::from(pause.subsec_nanos()),
            },
        };
        if let Err(error) = timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &spec) {
            tracing::error!(%error, "the sweeper's timer could not be set");
        }
    }
}
