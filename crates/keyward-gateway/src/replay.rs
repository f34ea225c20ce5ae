//! The replay memory: no nonce passes twice.
//!
//! What is remembered is a keyed hash of (application, nonce), until the request's own timestamp would refuse it.
//! Nothing is ever evicted: where there is no room, an API that requires nonces refuses (`replay_memory_unavailable`).
//! One application cannot fill it for all, because each has a limit of its own.
//!
//! Every nonce is written to a file before its request goes on, so a killed process forgets none. Where the files
//! are missing, damaged or older than the machine's start, the memory was lost: then APIs that require a nonce
//! refuse timestamps from before this start. The memory is this node's own; several nodes can share another one, which
//! is asked after it ([`SharedReplay`]).

mod journal;
mod room;
mod shared;
mod stripe;

use std::hash::Hasher;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyward_access::NonceUse;
use keyward_model::{CallerId, Timestamp};
use siphasher::sip::SipHasher13;

use crate::Clock;
use crate::clock::ClockWatch;
use journal::{Journal, Moment, Record, Recovered};
pub(crate) use shared::{Asked, ask, until_dropped};
pub use shared::{SharedAnswer, SharedReplay, SharedReply};
use stripe::{Counts, Insertion, Lifetime, Seconds, Stripe, locked};

/// Remembers which nonces were used. Shared by all cores.
#[derive(Debug)]
pub struct ReplayMemory {
    key: [u8; 16],
    options: ReplayOptions,
    stripes: Box<[Mutex<Stripe>]>,
    counts: Counts,
    live: AtomicUsize,
    journal: Journal,
    /// Whole seconds of the monotonic clock, a second old at most.
    monotonic_s: AtomicU32,
    /// Nonces of requests that last no longer than this may have been forgotten.
    forgotten_until_ms: AtomicI64,
    /// The memory of what came before this was lost.
    lost_before: Option<Timestamp>,
    clock: Arc<dyn Clock>,
    /// Whoever tends this memory looks at the clock every second anyway.
    clock_watch: ClockWatch,
    next_sweep: AtomicUsize,
    /// When everything was last swept for want of room.
    cleared_s: AtomicU32,
    tally: ReplayTally,
}

/// How much a replay memory holds.
#[derive(Clone, Copy, Debug)]
pub struct ReplayOptions {
    /// Most nonces of all applications. A nonce takes about 20 bytes.
    pub capacity: usize,
    /// Most nonces of one application.
    pub per_application: usize,
}

impl Default for ReplayOptions {
    /// 14,000,000 nonces (just before the tables would double) in about 290 MB, 4,000,000 for one application.
    fn default() -> Self {
        Self { capacity: 14_000_000, per_application: 4_000_000 }
    }
}

/// Whether an empty folder means that something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// The data folder is new: no request was ever accepted from it.
    None,
    /// There was a run before this one.
    Expected,
}

/// What became of a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// Not seen before; it is remembered now.
    Fresh,
    /// Used before.
    Replayed,
    /// It cannot be remembered, and the API does not require it: it counts for nothing.
    Unheeded,
    /// It cannot be remembered, so it is not believed.
    Unavailable(Unavailable),
}

/// Why a nonce cannot be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The memory is full.
    Full,
    /// This application has as many nonces as it may.
    ApplicationFull,
    /// The memory of the time of this request was lost.
    Lost,
    /// The file cannot be written.
    Unwritable,
    /// The memory that nodes share did not answer in time.
    Unreachable,
}

impl Unavailable {
    /// What to do about it.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Full => "this node remembers as many nonces as it may: try again in a minute",
            Self::ApplicationFull => "this application has used as many nonces as it may for now: slow down",
            Self::Lost => "the memory of the time of this request was lost: sign anew",
            Self::Unreachable => {
                "the replay memory that nodes share does not answer: sign anew and try again"
            }
            Self::Unwritable => "nonces cannot be written down now: try again later",
        }
    }
}

/// Counts for the metrics page.
#[derive(Debug, Default)]
pub struct ReplayTally {
    /// Nonces that were new.
    pub fresh: AtomicU64,
    /// Nonces that were refused as used.
    pub replayed: AtomicU64,
    /// Nonces that could not be remembered.
    pub unavailable: AtomicU64,
}

impl ReplayTally {
    /// Counts what a shared memory said.
    pub(crate) fn count(&self, answer: SharedAnswer) {
        let count = match answer {
            SharedAnswer::Fresh => &self.fresh,
            SharedAnswer::Replayed => &self.replayed,
            SharedAnswer::Unavailable(_) => &self.unavailable,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// A power of two, so that choosing one is a mask.
const STRIPES: usize = 256;
/// Every stripe is looked through once in this many seconds.
const SWEEP_S: usize = 64;
/// The monotonic seconds read by requests are up to this old.
const TENDING_SLACK_S: u32 = 2;

impl ReplayMemory {
    /// Opens the memory kept in `folder`, reading what earlier runs wrote.
    ///
    /// # Errors
    /// The folder cannot be made, listed or written to, or the system gives no random bytes.
    pub fn open(
        folder: &Path,
        options: ReplayOptions,
        history: History,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Arc<Self>> {
        let (journal, found) = Journal::open(folder)?;
        let now = clock.now();
        let lost = !found.whole && (history == History::Expected || found.key.is_some());
        let memory = Self {
            key: match found.key {
                Some(key) => key,
                None => crate::random_seed()?,
            },
            options,
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            counts: Counts::new(),
            live: AtomicUsize::new(0),
            journal,
            monotonic_s: AtomicU32::new(monotonic_seconds(&*clock)),
            forgotten_until_ms: AtomicI64::new(found.forgotten_until_ms),
            lost_before: lost.then_some(now),
            clock_watch: ClockWatch::new(&*clock),
            clock,
            next_sweep: AtomicUsize::new(0),
            cleared_s: AtomicU32::new(0),
            tally: ReplayTally::default(),
        };
        memory.take_in(found, now);
        memory.tend()?;
        if lost {
            tracing::warn!(
                folder = %folder.display(),
                "the replay memory was lost: APIs that require a nonce refuse timestamps from before this start"
            );
        }
        Ok(Arc::new(memory))
    }

    /// Remembers a nonce, if it was not used before. To be asked only after the proof held.
    ///
    /// Of any number of requests with the same nonce at the same time exactly one is [`Remembered::Fresh`].
    pub fn remember(&self, nonce: &NonceUse, now: Timestamp) -> Remembered {
        let outcome = self.try_remember(nonce, now);
        let (count, outcome) = match outcome {
            Ok(true) => (&self.tally.fresh, Remembered::Fresh),
            Ok(false) => (&self.tally.replayed, Remembered::Replayed),
            Err(_) if !nonce.required => (&self.tally.unavailable, Remembered::Unheeded),
            Err(why) => (&self.tally.unavailable, Remembered::Unavailable(why)),
        };
        count.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// How many nonces are remembered now.
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Is no nonce remembered?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been counted since the start.
    pub fn tally(&self) -> &ReplayTally {
        &self.tally
    }

    /// The memory of requests before this moment was lost.
    pub fn lost_before(&self) -> Option<Timestamp> {
        self.lost_before
    }

    /// One round of housekeeping, to be called about once a second: forgets what is spent, and opens and deletes files.
    ///
    /// # Errors
    /// No file could be opened; nonces cannot be remembered until a later call succeeds.
    pub fn tend(&self) -> std::io::Result<()> {
        let now = self.clock.now();
        self.clock_watch.look(&*self.clock);
        let monotonic_s = self.refresh();
        let at = Seconds { wall: seconds_down(now), monotonic: monotonic_s };
        for _ in 0..STRIPES / SWEEP_S {
            let turn = self.next_sweep.fetch_add(1, Ordering::Relaxed);
            self.sweep_stripe(turn % STRIPES, at);
            if turn.is_multiple_of(STRIPES) {
                self.counts.sweep(monotonic_s);
            }
        }
        let forgotten = self.forgotten_until_ms.load(Ordering::Relaxed);
        self.journal.tend(&self.key, Moment { wall_ms: now.as_millis(), monotonic_s }, forgotten)
    }

    /// How often the wall clock was set by more than 5 seconds, as far as [`Self::tend`] has seen.
    pub fn clock_steps(&self) -> u64 {
        self.clock_watch.steps()
    }

    /// An orderly stop: everything is forced to the disk. Nothing is remembered after it.
    ///
    /// # Errors
    /// The disk refused; the next start will count the memory as lost.
    pub fn close(&self) -> std::io::Result<()> {
        self.journal.close()
    }

    /// Starts the thread that calls [`ReplayMemory::tend`]. It ends when the memory is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn keep_tended(self: &Arc<Self>) -> std::io::Result<()> {
        let memory = Arc::downgrade(self);
        let tending = move || {
            while let Some(memory) = memory.upgrade() {
                if let Err(error) = memory.tend() {
                    tracing::error!(%error, "the replay memory cannot open a file; nonces cannot be remembered");
                }
                drop(memory);
                std::thread::sleep(Duration::from_secs(1));
            }
        };
        std::thread::Builder::new().name("replay-memory".into()).spawn(tending).map(drop)
    }

    fn try_remember(&self, nonce: &NonceUse, now: Timestamp) -> Result<bool, Unavailable> {
        self.check_lost(nonce, now)?;
        let hash = self.hash(nonce.caller, &nonce.nonce);
        let inserted = match self.insert(hash, nonce, now) {
            Err(_) => {
                self.make_room(now);
                self.insert(hash, nonce, now)?
            }
            Ok(inserted) => inserted,
        };
        if inserted {
            // Written after it is in the table: of two copies the second is refused while the first is being written.
            let caller = nonce.caller.uuid().as_u128();
            let record = Record { caller, hash, until_ms: nonce.until.as_millis() };
            self.journal.append(record).map_err(|_| Unavailable::Unwritable)?;
        }
        Ok(inserted)
    }

    fn insert(&self, hash: u64, nonce: &NonceUse, now: Timestamp) -> Result<bool, Unavailable> {
        let monotonic = self.monotonic_s.load(Ordering::Relaxed);
        let at = Seconds { wall: seconds_down(now), monotonic };
        let lifetime = lifetime(nonce.until, now, at);
        let mut why = Unavailable::Full;
        let room = || {
            if self.live.load(Ordering::Relaxed) >= self.options.capacity {
                return false;
            }
            why = Unavailable::ApplicationFull;
            let caller = nonce.caller.uuid().as_u128();
            self.counts.add(caller, lifetime.keep_s, self.options.per_application, monotonic)
        };
        let stripe = self.stripes.get(stripe_of(hash)).ok_or(Unavailable::Full)?;
        match locked(stripe).insert(hash, lifetime, at, room) {
            Insertion::Present => return Ok(false),
            Insertion::Refused => return Err(why),
            Insertion::New => {
                self.live.fetch_add(1, Ordering::Relaxed);
            }
            Insertion::Again => {}
        }
        Ok(true)
    }

    /// Looks at the clock again and, where the tables are full, forgets what is spent everywhere: at most once a second.
    fn make_room(&self, now: Timestamp) {
        let monotonic = self.refresh();
        let full = self.live.load(Ordering::Relaxed) >= self.options.capacity;
        if full && self.cleared_s.swap(monotonic, Ordering::Relaxed) != monotonic {
            let at = Seconds { wall: seconds_down(now), monotonic };
            (0..STRIPES).for_each(|number| self.sweep_stripe(number, at));
        }
    }

    fn refresh(&self) -> u32 {
        let monotonic_s = monotonic_seconds(&*self.clock);
        self.monotonic_s.store(monotonic_s, Ordering::Relaxed);
        monotonic_s
    }

    /// What was forgotten must not be believed: a lost memory, or a wall clock that went back behind what was dropped.
    fn check_lost(&self, nonce: &NonceUse, now: Timestamp) -> Result<(), Unavailable> {
        let before_start = self.lost_before.is_some_and(|start| match nonce.timestamp {
            Some(timestamp) => timestamp < start,
            None => now < start.plus_millis(nonce.until.as_millis().saturating_sub(now.as_millis())),
        });
        let forgotten = nonce.until.as_millis() <= self.forgotten_until_ms.load(Ordering::Relaxed);
        if before_start || forgotten { Err(Unavailable::Lost) } else { Ok(()) }
    }

    fn hash(&self, caller: CallerId, nonce: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(caller.uuid().as_bytes());
        hasher.write(nonce.as_bytes());
        hasher.finish()
    }

    fn sweep_stripe(&self, number: usize, at: Seconds) {
        let Some(stripe) = self.stripes.get(number) else { return };
        let (gone, latest) = locked(stripe).sweep(at);
        self.live.fetch_sub(gone, Ordering::Relaxed);
        if let Some(until_s) = latest {
            self.forgotten_until_ms.fetch_max(i64::from(until_s) * 1000, Ordering::Relaxed);
        }
    }

    fn take_in(&self, found: Recovered, now: Timestamp) {
        let at = Seconds { wall: seconds_down(now), monotonic: self.monotonic_s.load(Ordering::Relaxed) };
        for record in found.records {
            let until = Timestamp::from_millis(record.until_ms);
            if until <= now {
                self.forgotten_until_ms.fetch_max(record.until_ms, Ordering::Relaxed);
                continue;
            }
            let lifetime = lifetime(until, now, at);
            let Some(stripe) = self.stripes.get(stripe_of(record.hash)) else { continue };
            // What was accepted before counts towards the limits, but is not subject to them.
            if locked(stripe).insert(record.hash, lifetime, at, || true) == Insertion::New {
                self.live.fetch_add(1, Ordering::Relaxed);
                self.counts.add(record.caller, lifetime.keep_s, usize::MAX, at.monotonic);
            }
        }
    }
}

/// How long a nonce is kept: as long as its request could pass by the clock as it is now, rounded up.
fn lifetime(until: Timestamp, now: Timestamp, at: Seconds) -> Lifetime {
    let left_ms = until.as_millis().saturating_sub(now.as_millis()).max(0);
    let left_s = u32::try_from(left_ms / 1000 + 1).unwrap_or(u32::MAX);
    Lifetime {
        until_s: seconds_down(until).saturating_add(1),
        keep_s: at.monotonic.saturating_add(left_s).saturating_add(TENDING_SLACK_S),
    }
}

fn stripe_of(hash: u64) -> usize {
    // The tables use the lowest and the highest bits.
    (hash >> 32) as usize & (STRIPES - 1)
}

fn seconds_down(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis().max(0) / 1000).unwrap_or(u32::MAX)
}

fn monotonic_seconds(clock: &dyn Clock) -> u32 {
    u32::try_from(clock.monotonic_ms() / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
