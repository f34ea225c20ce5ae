//! One core's connections to upstreams: in use and idle, by origin.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::counters::CoreCounters;
use crate::moment::Moment;

/// A connection to the origin with this id. It counts as open until it is given to [`Pools::close`].
pub(crate) struct Upstream {
    pub(crate) stream: TcpStream,
    pub(crate) origin: u64,
}

pub(crate) struct Pools {
    by_origin: RefCell<HashMap<u64, Pool, BuildHasherDefault<IdHasher>>>,
    counters: Arc<CoreCounters>,
}

#[derive(Default)]
struct Pool {
    /// The one used last is at the end and taken first, so that those that are not needed grow old.
    idle: Vec<(TcpStream, Moment)>,
    open: usize,
}

impl Pools {
    pub(crate) fn new(counters: Arc<CoreCounters>) -> Self {
        Self { by_origin: RefCell::default(), counters }
    }

    /// A pooled connection that is silent and open. `context`'s task is woken when something comes on it.
    pub(crate) fn take(&self, origin: u64, context: &mut Context<'_>) -> Option<Upstream> {
        let mut pools = self.by_origin.borrow_mut();
        let pool = pools.get_mut(&origin)?;
        while let Some((stream, _)) = pool.idle.pop() {
            if is_silent(&stream, context) {
                self.counters.upstream_reused.add(1);
                return Some(Upstream { stream, origin });
            }
            self.closed(pool);
        }
        None
    }

    /// Makes room for one more connection; `false` at the bound. An idle one gives way to a fresh one.
    pub(crate) fn reserve(&self, origin: u64, most: usize) -> bool {
        let mut pools = self.by_origin.borrow_mut();
        let pool = pools.entry(origin).or_default();
        if pool.open >= most {
            if pool.idle.is_empty() {
                return false;
            }
            pool.idle.remove(0);
            self.closed(pool);
        }
        pool.open += 1;
        self.counters.upstream_open.add(1);
        true
    }

    /// Gives back what [`Self::reserve`] or [`Self::take`] handed out, closing the connection.
    pub(crate) fn close(&self, origin: u64) {
        if let Some(pool) = self.by_origin.borrow_mut().get_mut(&origin) {
            self.closed(pool);
        }
    }

    /// Keeps a clean connection for the next request, unless `most` are kept already.
    pub(crate) fn keep(&self, upstream: Upstream, most: usize, now: Moment) {
        let mut pools = self.by_origin.borrow_mut();
        let Some(pool) = pools.get_mut(&upstream.origin) else { return };
        if pool.idle.len() < most {
            pool.idle.push((upstream.stream, now));
        } else {
            self.closed(pool);
        }
    }

    /// Drops idle connections that are older than `timeout` or that their upstream has closed.
    pub(crate) fn sweep(&self, timeout: Duration, now: Moment) {
        let mut context = Context::from_waker(Waker::noop());
        self.by_origin.borrow_mut().retain(|_, pool| {
            let before = pool.idle.len();
            pool.idle
                .retain(|(stream, since)| now.since(*since) < timeout && is_silent(stream, &mut context));
            for _ in pool.idle.len()..before {
                self.closed(pool);
            }
            pool.open > 0
        });
    }

    fn closed(&self, pool: &mut Pool) {
        pool.open = pool.open.saturating_sub(1);
        self.counters.upstream_open.sub(1);
    }
}

/// Nothing has come on an idle connection, neither bytes nor its end. Costs no system call if the reactor has heard
/// nothing of it.
fn is_silent(stream: &TcpStream, context: &mut Context<'_>) -> bool {
    if stream.poll_read_ready(context).is_pending() {
        return true;
    }
    let nothing_there = matches!(stream.try_read(&mut [0u8; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    nothing_there && matches!(stream.poll_read_ready(context), Poll::Pending)
}

/// Origin ids are small, distinct numbers: they are their own hash, spread over the upper bits.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
