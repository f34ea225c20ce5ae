//! Names to addresses, off the loop: a few threads ask the system's resolver, cores read what is known.
//!
//! An answer is used at once for [`FRESH_S`] seconds; after that it is still used, while a new one is asked for.
//! When the resolver fails, the last good addresses are kept.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Addresses of one origin, in the resolver's order.
pub(crate) type Addresses = Arc<[SocketAddr]>;

/// How long an answer is used without asking again.
const FRESH_S: u64 = 10;
/// How long a failure is remembered, so that a dead name is not asked for with every request.
const FAILED_S: u64 = 1;
/// Lookups that may wait for a thread; there is at most one per origin.
const QUEUE: usize = 4096;
/// Threads that ask. The system's resolver blocks, and one dead name must not hold up the others.
const THREADS: usize = 4;

/// Lookups of this process that failed.
static FAILED: AtomicU64 = AtomicU64::new(0);

/// How many lookups of names have failed in this process.
pub fn failed_lookups() -> u64 {
    FAILED.load(Ordering::Relaxed)
}

/// What is known of a name now.
pub(crate) enum Lookup {
    /// Use these.
    Known(Addresses),
    /// Nothing is known yet; `None` arrives if the lookup fails.
    Wait(oneshot::Receiver<Option<Addresses>>),
    /// The last lookup failed a moment ago, and there never was a good one.
    Failed,
}

/// The addresses of one origin.
pub(crate) enum Names {
    Fixed(Addresses),
    Looked(Arc<Name>),
}

impl Names {
    pub(crate) fn fixed(address: SocketAddr) -> Self {
        Self::Fixed(Arc::new([address]))
    }

    pub(crate) fn of(host: String, port: u16) -> Self {
        Self::Looked(Name::new(host, port, system_lookup))
    }

    pub(crate) fn addresses(&self) -> Lookup {
        match self {
            Self::Fixed(addresses) => Lookup::Known(Arc::clone(addresses)),
            Self::Looked(name) => Name::addresses(name, Instant::now()),
        }
    }

    /// None of `tried` answered: ask again with the next use, if that is still what is known.
    pub(crate) fn doubt(&self, tried: &Addresses) {
        if let Self::Looked(name) = self {
            let mut known = name.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.addresses.as_ref().is_some_and(|a| Arc::ptr_eq(a, tried)) {
                known.fresh_until = None;
            }
        }
    }
}

type Ask = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

fn system_lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

pub(crate) struct Name {
    host: String,
    port: u16,
    ask: Ask,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    addresses: Option<Addresses>,
    fresh_until: Option<Instant>,
    failed_until: Option<Instant>,
    /// Did the last lookup fail?
    failing: bool,
    asked: bool,
    waiting: Vec<oneshot::Sender<Option<Addresses>>>,
}

impl Name {
    fn new(host: String, port: u16, ask: Ask) -> Arc<Self> {
        Arc::new(Self { host, port, ask, known: Mutex::default() })
    }

    fn addresses(name: &Arc<Self>, now: Instant) -> Lookup {
        let mut known = name.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = known.fresh_until.is_some_and(|until| now < until);
        let failed = known.failed_until.is_some_and(|until| now < until);
        if !fresh && !failed && !known.asked {
            known.asked = RESOLVER.submit(name);
        }
        if let Some(addresses) = &known.addresses {
            return Lookup::Known(Arc::clone(addresses));
        }
        if !known.asked {
            return Lookup::Failed;
        }
        let (sender, receiver) = oneshot::channel();
        known.waiting.retain(|waiting| !waiting.is_closed());
        known.waiting.push(sender);
        Lookup::Wait(receiver)
    }

    /// Asks the resolver; runs on a resolver thread.
    fn refresh(&self) {
        let answer = (self.ask)(&self.host, self.port);
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.asked = false;
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                known.addresses = Some(unchanged_or(known.addresses.take(), addresses));
                known.fresh_until = Some(now + Duration::from_secs(FRESH_S));
                known.failed_until = None;
            }
            Ok(_) | Err(_) => {
                known.failed_until = Some(now + Duration::from_secs(FAILED_S));
                FAILED.fetch_add(1, Ordering::Relaxed);
                // Once, not with every attempt of an outage.
                if !known.failing {
                    tracing::warn!(
                        host = self.host,
                        kept = known.addresses.is_some(),
                        "a name cannot be looked up"
                    );
                }
            }
        }
        known.failing = known.failed_until.is_some();
        let addresses = known.addresses.clone();
        for waiting in known.waiting.drain(..) {
            // A receiver that is gone has given up waiting, which is its right.
            let _ = waiting.send(addresses.clone());
        }
    }
}

fn unchanged_or(old: Option<Addresses>, new: Vec<SocketAddr>) -> Addresses {
    old.filter(|old| old.as_ref() == new.as_slice()).unwrap_or_else(|| new.into())
}

/// The threads that ask, and the names they have yet to ask for.
struct Resolver {
    queue: Mutex<VecDeque<Weak<Name>>>,
    arrived: Condvar,
}

static RESOLVER: LazyLock<&'static Resolver> = LazyLock::new(|| {
    let resolver: &'static Resolver =
        Box::leak(Box::new(Resolver { queue: Mutex::default(), arrived: Condvar::new() }));
    for number in 0..THREADS {
        let started =
            std::thread::Builder::new().name(format!("resolve-{number}")).spawn(move || resolver.run());
        if let Err(error) = started {
            tracing::error!(%error, "a resolver thread could not be started");
        }
    }
    resolver
});

impl Resolver {
    /// Whether the name was taken up. A full queue refuses, and the caller asks again with its next request.
    fn submit(&self, name: &Arc<Name>) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= QUEUE {
            return false;
        }
        queue.push_back(Arc::downgrade(name));
        self.arrived.notify_one();
        true
    }

    fn run(&self) {
        loop {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let next = loop {
                match queue.pop_front() {
                    Some(next) => break next,
                    None => queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(queue);
            if let Some(name) = next.upgrade() {
                name.refresh();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn wait(lookup: Lookup) -> Option<Addresses> {
        match lookup {
            Lookup::Known(addresses) => Some(addresses),
            Lookup::Wait(receiver) => receiver.blocking_recv().unwrap(),
            Lookup::Failed => None,
        }
    }

    #[test]
    fn first_use_waits_and_later_ones_do_not() {
        let name = Name::new("localhost".into(), 80, |_, port| Ok(vec![([127, 0, 0, 1], port).into()]));
        let first = wait(Name::addresses(&name, Instant::now())).unwrap();
        assert_eq!(first.as_ref(), &[([127, 0, 0, 1], 80).into()]);
        assert!(matches!(Name::addresses(&name, Instant::now()), Lookup::Known(_)));
    }

    #[test]
    fn last_good_addresses_outlive_a_failing_resolver() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let name = Name::new("once".into(), 80, |_, port| match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![([127, 0, 0, 1], port).into()]),
            _ => Err(io::ErrorKind::TimedOut.into()),
        });
        let first = wait(Name::addresses(&name, Instant::now())).unwrap();
        name.refresh();
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
        let later = Instant::now() + Duration::from_secs(3600);
        let Lookup::Known(kept) = Name::addresses(&name, later) else { panic!("addresses were lost") };
        assert_eq!(kept, first);
    }

    #[test]
    fn a_dead_name_is_not_asked_for_with_every_request() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let name = Name::new("dead".into(), 80, |_, _| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::NotFound.into())
        });
        let now = Instant::now();
        assert!(wait(Name::addresses(&name, now)).is_none());
        for _ in 0..100 {
            assert!(matches!(Name::addresses(&name, now), Lookup::Failed));
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn doubted_addresses_are_asked_for_again() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let name = Name::new("moved".into(), 80, |_, port| {
            let last = u8::try_from(ASKED.fetch_add(1, Ordering::SeqCst)).unwrap();
            Ok(vec![([127, 0, 0, last], port).into()])
        });
        let names = Names::Looked(name);
        let first = wait(names.addresses()).unwrap();
        names.doubt(&first);
        assert!(matches!(names.addresses(), Lookup::Known(still) if still == first));
        let Names::Looked(name) = &names else { unreachable!() };
        while name.known.lock().unwrap().asked {
            std::thread::yield_now();
        }
        assert_ne!(wait(names.addresses()).unwrap(), first);
    }
}
