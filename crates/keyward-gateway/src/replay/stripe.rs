//! What a replay memory holds in memory: hashes of nonces in striped tables, and how many each application has.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// When a nonce may be forgotten: when *both* clocks say so. A wall clock that jumps ahead then forgets nothing,
/// and one that jumps back finds everything that could be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// In seconds of the wall clock.
    pub(super) until_s: u32,
    /// In seconds of the monotonic clock.
    pub(super) keep_s: u32,
}

impl Lifetime {
    fn is_over(self, at: Seconds) -> bool {
        at.wall >= self.until_s && at.monotonic >= self.keep_s
    }
}

/// One moment, by both clocks, in whole seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds {
    pub(super) wall: u32,
    pub(super) monotonic: u32,
}

/// One table of nonces.
#[derive(Debug, Default)]
pub(super) struct Stripe {
    nonces: HashTable<Nonce>,
}

/// 16 bytes, so that a table of ten million takes about 250 MB.
#[derive(Clone, Copy, Debug)]
struct Nonce {
    hash: [u32; 2],
    lifetime: Lifetime,
}

impl Nonce {
    fn new(hash: u64, lifetime: Lifetime) -> Self {
        let [high, low] = [(hash >> 32) as u32, hash as u32];
        Self { hash: [high, low], lifetime }
    }

    fn hash(&self) -> u64 {
        let [high, low] = self.hash;
        u64::from(high) << 32 | u64::from(low)
    }
}

/// What came of trying to remember a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insertion {
    /// It is remembered now.
    New,
    /// It had been forgotten and takes the place of its former self.
    Again,
    /// It is remembered already.
    Present,
    /// There was no room.
    Refused,
}

impl Stripe {
    /// Remembers a nonce, unless it is there already or `room` says no. One step under the stripe's lock.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        lifetime: Lifetime,
        at: Seconds,
        room: impl FnOnce() -> bool,
    ) -> Insertion {
        match self.nonces.entry(hash, |nonce| nonce.hash() == hash, Nonce::hash) {
            Entry::Occupied(mut entry) if entry.get().lifetime.is_over(at) => {
                entry.get_mut().lifetime = lifetime;
                Insertion::Again
            }
            Entry::Occupied(_) => Insertion::Present,
            Entry::Vacant(entry) => {
                if !room() {
                    return Insertion::Refused;
                }
                entry.insert(Nonce::new(hash, lifetime));
                Insertion::New
            }
        }
    }

    /// Forgets what can no longer be used. Returns how many went, and the latest `until_s` among them.
    pub(super) fn sweep(&mut self, at: Seconds) -> (usize, Option<u32>) {
        let (mut gone, mut latest) = (0, None);
        self.nonces.retain(|nonce| {
            let over = nonce.lifetime.is_over(at);
            if over {
                gone += 1;
                latest = latest.max(Some(nonce.lifetime.until_s));
            }
            !over
        });
        if self.nonces.capacity() > 4096 && self.nonces.len() < self.nonces.capacity() / 8 {
            self.nonces.shrink_to(self.nonces.len() * 2, Nonce::hash);
        }
        (gone, latest)
    }
}

/// How many nonces each application has in memory.
#[derive(Debug)]
pub(super) struct Counts {
    stripes: Box<[Mutex<Callers>]>,
}

/// By the application's UUID.
type Callers = HashMap<u128, Vec<Bucket>>;

/// Nonces of one application that may be forgotten in the same [`BUCKET_S`] seconds.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    number: u32,
    count: u32,
}

const BUCKET_S: u32 = 128;
const COUNT_STRIPES: usize = 64;

impl Counts {
    pub(super) fn new() -> Self {
        Self { stripes: (0..COUNT_STRIPES).map(|_| Mutex::default()).collect() }
    }

    /// Counts one more for this application, unless it has `limit` already.
    pub(super) fn add(&self, caller: u128, keep_s: u32, limit: usize, monotonic_s: u32) -> bool {
        // Ids are UUIDv7: their low bits are random.
        let Some(stripe) = self.stripes.get(caller as usize % COUNT_STRIPES) else { return false };
        let mut callers = locked(stripe);
        let buckets = callers.entry(caller).or_default();
        if total(buckets) >= limit {
            drop_spent(buckets, monotonic_s);
            if total(buckets) >= limit {
                return false;
            }
        }
        let number = keep_s / BUCKET_S;
        match buckets.iter_mut().rev().find(|bucket| bucket.number == number) {
            Some(bucket) => bucket.count = bucket.count.saturating_add(1),
            None => buckets.push(Bucket { number, count: 1 }),
        }
        true
    }

    /// Drops the buckets whose time is over.
    pub(super) fn sweep(&self, monotonic_s: u32) {
        for stripe in &self.stripes {
            locked(stripe).retain(|_, buckets| {
                drop_spent(buckets, monotonic_s);
                !buckets.is_empty()
            });
        }
    }
}

fn total(buckets: &[Bucket]) -> usize {
    buckets.iter().map(|bucket| bucket.count as usize).sum()
}

fn drop_spent(buckets: &mut Vec<Bucket>, monotonic_s: u32) {
    buckets.retain(|bucket| bucket.number >= monotonic_s / BUCKET_S);
}

/// A panic while a table is locked leaves it usable: every step on it is complete in itself.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u32, monotonic: u32) -> Seconds {
        Seconds { wall, monotonic }
    }

    const LIFE: Lifetime = Lifetime { until_s: 100, keep_s: 50 };

    #[test]
    fn a_nonce_is_forgotten_only_when_both_clocks_say_so() {
        for (moment, gone) in
            [(at(99, 50), false), (at(100, 49), false), (at(5000, 49), false), (at(100, 50), true)]
        {
            let mut stripe = Stripe::default();
            assert_eq!(stripe.insert(7, LIFE, at(0, 0), || true), Insertion::New);
            assert_eq!(stripe.sweep(moment), (usize::from(gone), gone.then_some(100)), "{moment:?}");
            let again = stripe.insert(7, LIFE, moment, || true);
            assert_eq!(again == Insertion::Present, !gone, "{moment:?}");
        }
    }

    #[test]
    fn a_spent_nonce_that_is_still_in_the_table_can_be_used_again() {
        let mut stripe = Stripe::default();
        stripe.insert(7, LIFE, at(0, 0), || true);
        assert_eq!(stripe.insert(7, LIFE, at(100, 50), || true), Insertion::Again);
        assert_eq!(
            stripe.insert(7, Lifetime { until_s: 200, keep_s: 90 }, at(99, 50), || true),
            Insertion::Present
        );
    }

    #[test]
    fn an_application_is_counted_by_itself_and_its_count_runs_out() {
        let counts = Counts::new();
        assert!(counts.add(1, 10, 2, 0));
        assert!(counts.add(1, 1000, 2, 0));
        assert!(!counts.add(1, 10, 2, 0));
        assert!(counts.add(2, 10, 2, 0));
        counts.sweep(BUCKET_S);
        assert!(counts.add(1, 1000, 2, BUCKET_S), "the first bucket is over");
        assert!(!counts.add(1, 1000, 2, BUCKET_S));
        assert!(counts.add(1, 5000, 2, 2000), "without a sweep too");
    }
}
