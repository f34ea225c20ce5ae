//! `quota`: so many calls in a day, week or month of the calendar.
//!
//! Each node counts by itself. What was counted outlives the process: whoever runs it writes [`Quotas::pages`] to a file
//! now and then, and begins with [`Quotas::read`]. The book is bounded as the table of limits is: where it is full of counts
//! that still hold, whoever comes new is counted together with all others who do, by the same plugin.

use std::hash::Hasher as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use keyward_model::{DenyReason, PluginId, Quota, Timestamp};
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128 as _, SipHasher13 as SipHasher128};

use super::rate_limit::counted_by;
use super::{Act, Call, Refusal, Verdict};

/// Stripes, each with a lock of its own that is held for one look-up.
const STRIPES: usize = 16;
/// Most counts in one stripe.
const STRIPE_MAX: usize = 64 * 1024;
/// Counts that are looked at for one that no longer holds, where a stripe is full.
const LOOKED_AT: usize = 32;

/// What the file begins with.
const MAGIC: &[u8] = b"keyward quotas 1\n";
/// Bytes of one count: key, end of its period, calls.
const ENTRY: usize = 16 + 8 + 8;

/// What quotas have counted on this node.
#[derive(Debug)]
pub(crate) struct Quotas {
    stripes: Box<[Mutex<HashMap<u128, Used>>]>,
    seed: [u8; 16],
    changed: AtomicBool,
    stripe_max: usize,
}

/// What was counted of one value in the period that ends then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    until_ms: i64,
    calls: u64,
}

impl Quotas {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Self::with(seed, STRIPE_MAX)
    }

    fn with(seed: [u8; 16], stripe_max: usize) -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        Self { stripes, seed, changed: AtomicBool::new(false), stripe_max }
    }

    /// What [`Quotas::pages`] wrote; `None` where it is not whole.
    pub(crate) fn read(pages: &[u8]) -> Option<Self> {
        let rest = pages.strip_prefix(MAGIC)?;
        let (rest, sum) = rest.split_last_chunk::<8>()?;
        let (seed, entries) = rest.split_first_chunk::<16>()?;
        let quotas = Self::new(*seed);
        if quotas.sum(entries) != u64::from_be_bytes(*sum) || entries.len() % ENTRY != 0 {
            return None;
        }
        for entry in entries.chunks_exact(ENTRY) {
            let (key, entry) = entry.split_first_chunk::<16>()?;
            let (until, entry) = entry.split_first_chunk::<8>()?;
            let (calls, _) = entry.split_first_chunk::<8>()?;
            let used = Used { until_ms: i64::from_be_bytes(*until), calls: u64::from_be_bytes(*calls) };
            let key = u128::from_be_bytes(*key);
            if let Some(stripe) = quotas.stripe(key) {
                stripe.lock().unwrap_or_else(PoisonError::into_inner).insert(key, used);
            }
        }
        Some(quotas)
    }

    /// Everything that was counted and still holds, if anything was counted since this was asked last.
    pub(crate) fn pages(&self, now: Timestamp) -> Option<Vec<u8>> {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut pages = [MAGIC, &self.seed].concat();
        let start = pages.len();
        for stripe in &self.stripes {
            let counts = stripe.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, used) in counts.iter().filter(|(_, used)| used.until_ms > now.as_millis()) {
                pages.extend(key.to_be_bytes());
                pages.extend(used.until_ms.to_be_bytes());
                pages.extend(used.calls.to_be_bytes());
            }
        }
        let sum = self.sum(pages.get(start..).unwrap_or_default());
        pages.extend(sum.to_be_bytes());
        Some(pages)
    }

    /// They could not be written: they are to be written again.
    pub(crate) fn not_written(&self) {
        self.changed.store(true, Ordering::Release);
    }

    fn sum(&self, entries: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write(entries);
        hasher.finish()
    }

    /// What a value is counted under. Nobody outside can make two of them collide.
    fn key(&self, plugin: PluginId, mark: u8, value: &[u8]) -> u128 {
        let mut hasher = SipHasher128::new_with_key(&self.seed);
        hasher.write(plugin.uuid().as_bytes());
        hasher.write_u8(mark);
        hasher.write(value);
        hasher.finish128().as_u128()
    }

    fn stripe(&self, key: u128) -> Option<&Mutex<HashMap<u128, Used>>> {
        self.stripes.get(key as usize % STRIPES)
    }

    /// Counts one call, if there is one left until `until_ms`.
    fn take(&self, (key, others): (u128, u128), most: u64, now_ms: i64, until_ms: i64) -> bool {
        let Some(stripe) = self.stripe(key) else { return false };
        let mut counts = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = key;
        if counts.len() >= self.stripe_max && !counts.contains_key(&key) {
            let over =
                counts.iter().take(LOOKED_AT).find(|(_, used)| used.until_ms <= now_ms).map(|(key, _)| *key);
            match over {
                Some(over) => drop(counts.remove(&over)),
                None => key = others,
            }
        }
        let used = counts.entry(key).or_insert(Used { until_ms, calls: 0 });
        if used.until_ms != until_ms {
            // Another period; or the same one, which another time zone ends at another moment.
            *used = Used { until_ms, calls: if used.until_ms <= now_ms { 0 } else { used.calls } };
        }
        let admitted = used.calls < most;
        if admitted {
            used.calls += 1;
            self.changed.store(true, Ordering::Release);
        }
        admitted
    }
}

#[derive(Debug)]
pub(super) struct QuotaAct(pub(super) Quota);

impl Act for QuotaAct {
    fn request(&self, call: &mut Call<'_>) -> Verdict {
        let quotas = call.limits.quotas();
        let Some(until) = self.0.period.end(call.now, self.0.zone) else {
            return Verdict::Refuse(Refusal::failed("the calendar ends here"));
        };
        let key = counted_by(&self.0.by, call, |mark, value| quotas.key(call.plugin, mark, value));
        let others = quotas.key(call.plugin, 0, b"");
        let (now_ms, until_ms) = (call.now.as_millis(), until.as_millis());
        if quotas.take((key, others), self.0.requests, now_ms, until_ms) {
            return Verdict::Pass;
        }
        let wait_ms = u64::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(0);
        Verdict::Refuse(Box::new(Refusal {
            hint: Some("as many calls were made in this period as may be".into()),
            retry_after_s: Some(wait_ms.div_ceil(1_000).max(1)),
            ..Refusal::new(DenyReason::LimitExceeded)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin() -> PluginId {
        PluginId::from_uuid(uuid::Uuid::from_u128(1))
    }

    fn take(quotas: &Quotas, value: &[u8], now_ms: i64) -> bool {
        let key = (quotas.key(plugin(), 5, value), quotas.key(plugin(), 0, b""));
        let until_ms = (now_ms / 1_000 + 1) * 1_000;
        quotas.take(key, 3, now_ms, until_ms)
    }

    #[test]
    fn so_many_pass_in_a_period_and_as_many_in_the_next() {
        let quotas = Quotas::new([1; 16]);
        for start in [0, 1_000, 7_000] {
            let passed: Vec<bool> = (0..5).map(|at| take(&quotas, b"a", start + at)).collect();
            assert_eq!(passed, [true, true, true, false, false]);
            assert!(take(&quotas, b"b", start), "others have a count of their own");
        }
    }

    #[test]
    fn what_was_counted_outlives_the_process_and_half_a_file_does_not() {
        let quotas = Quotas::new([2; 16]);
        assert_eq!(quotas.pages(Timestamp::from_millis(0)), None, "nothing was counted");
        assert!(take(&quotas, b"a", 10) && take(&quotas, b"a", 11));
        take(&quotas, b"old", -5_000);
        let pages = quotas.pages(Timestamp::from_millis(20)).unwrap();
        assert_eq!(quotas.pages(Timestamp::from_millis(20)), None, "nothing since");
        quotas.not_written();
        assert_eq!(quotas.pages(Timestamp::from_millis(20)).as_ref(), Some(&pages));
        let read = Quotas::read(&pages).unwrap();
        assert!(take(&read, b"a", 30) && !take(&read, b"a", 31));
        assert_eq!(pages.len(), MAGIC.len() + 16 + ENTRY + 8, "what no longer holds is left out");
        for at in 0..pages.len() {
            let mut wrong = pages.clone();
            wrong[at] ^= 1;
            assert!(Quotas::read(&wrong).is_none(), "byte {at}");
            assert!(Quotas::read(&pages[..at]).is_none(), "{at} bytes");
        }
    }

    #[test]
    fn a_full_book_counts_newcomers_together_and_forgets_nobody() {
        let quotas = Quotas::with([3; 16], 4);
        for value in 0..200_u64 {
            take(&quotas, &value.to_be_bytes(), 0);
        }
        let admitted = (1_000..5_000_u64).filter(|value| take(&quotas, &value.to_be_bytes(), 1)).count();
        assert!(admitted <= STRIPES * 3, "{admitted}");
        assert!(
            (9_000..9_010_u64).all(|value| take(&quotas, &value.to_be_bytes(), 5_000)),
            "there is room again"
        );
    }
}
