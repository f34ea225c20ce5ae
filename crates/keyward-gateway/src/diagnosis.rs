//! How often a mistake in a signature is looked for: it costs some forty HMACs, so each AppKey has a small budget.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// The budgets of one core.
///
/// AppKeys share a fixed number of buckets, so that inventing AppKeys costs no memory; the hash is keyed, so that
/// nobody can aim at another's bucket.
#[derive(Debug)]
pub(crate) struct DiagnosisBudget {
    key: [u8; 16],
    buckets: Box<[Bucket]>,
    all: Bucket,
}

/// A token bucket. Full when new.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    since_ms: u64,
}

const BUCKETS: usize = 1024;
/// Diagnoses of one AppKey at once, and then one in every so many milliseconds.
const EACH: Rate = Rate { burst: 10, period_ms: 1_000 };
/// Diagnoses of all AppKeys: a share of a core that nobody notices.
const ALL: Rate = Rate { burst: 100, period_ms: 10 };

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    period_ms: u64,
}

impl DiagnosisBudget {
    /// Full budgets. The key must be random.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let full = |rate: Rate| Bucket { left: rate.burst, since_ms: 0 };
        Self { key, buckets: vec![full(EACH); BUCKETS].into(), all: full(ALL) }
    }

    /// May a mistake of this AppKey be looked for now? `now_ms` is monotonic.
    pub(crate) fn spend(&mut self, app_key: &[u8], now_ms: u64) -> bool {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(app_key);
        let place = hasher.finish() as usize % BUCKETS;
        let each = self.buckets.get_mut(place).is_some_and(|bucket| bucket.spend(EACH, now_ms));
        each && self.all.spend(ALL, now_ms)
    }
}

impl Bucket {
    fn spend(&mut self, rate: Rate, now_ms: u64) -> bool {
        let gained = now_ms.saturating_sub(self.since_ms) / rate.period_ms;
        if gained > 0 {
            self.left = u64::from(self.left).saturating_add(gained).min(rate.burst.into()) as u32;
            self.since_ms = now_ms;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_and_comes_back() {
        let mut budget = DiagnosisBudget::new([1; 16]);
        let granted =
            |budget: &mut DiagnosisBudget, key: &[u8], at| (0..50).filter(|_| budget.spend(key, at)).count();
        assert_eq!(granted(&mut budget, b"203753385", 5_000), 10);
        assert_eq!(granted(&mut budget, b"203753385", 5_999), 0);
        assert_eq!(granted(&mut budget, b"another", 5_999), 10, "each has its own");
        assert_eq!(granted(&mut budget, b"203753385", 7_000), 2);
        assert_eq!(granted(&mut budget, b"203753385", 1_000_000), 10, "never more than a burst");
    }

    #[test]
    fn many_app_keys_share_one_bound() {
        let mut budget = DiagnosisBudget::new([1; 16]);
        let granted = (0..10_000u32).filter(|key| budget.spend(&key.to_le_bytes(), 5_000)).count();
        assert_eq!(granted, 100);
    }
}
