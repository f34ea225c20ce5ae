//! `rate-limit`: so many calls in a time, so many at once.
//!
//! Calls are counted in two windows, this one and the one before, of which as much counts as still lies within the time:
//! a sliding window that takes two numbers. Each node counts by itself. The table is bounded: where it is full of counts
//! that are still needed, whoever comes new is counted together with all others who do, by the same plugin. So nobody
//! can make it forget, or grow, by coming from many addresses.

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use keyward_model::{CountBy, DenyReason, PluginId, RateLimit, RequestRate};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::draft::push_field;
use super::quota::Quotas;
use super::{Act, Call, Refusal, Verdict, Who};

/// Stripes, each with a lock of its own that is held for one look-up.
const STRIPES: usize = 64;
/// Most counts in one stripe.
const STRIPE_MAX: usize = 16 * 1024;
/// Counts that are looked at for one that is no longer needed, where a stripe is full.
const LOOKED_AT: usize = 32;

/// What is counted, of all plugins on all cores.
#[derive(Debug)]
pub(crate) struct LimitTable {
    stripes: Box<[Mutex<HashMap<u128, Count>>]>,
    seed: [u64; 2],
    stripe_max: usize,
    quotas: Quotas,
}

/// What was counted of one value.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Number of the window.
    window: u64,
    now: u32,
    before: u32,
    /// Calls under way.
    open: u32,
    /// First moment, by the monotonic clock, in which nothing of this counts any more.
    until_ms: u64,
}

/// What came of counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    admitted: bool,
    remaining: u32,
    /// Until there is room again, in milliseconds.
    wait_ms: u64,
}

impl LimitTable {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        Self::with(seed, STRIPE_MAX)
    }

    fn with(seed: [u8; 16], stripe_max: usize) -> Self {
        let (first, second) = seed.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let stripes = (0..STRIPES).map(|_| Mutex::default()).collect();
        let quotas = Quotas::new(seed);
        Self { stripes, seed: [number(first), number(second)], stripe_max, quotas }
    }

    /// The same with what quotas counted before.
    pub(crate) fn with_quotas(seed: [u8; 16], quotas: Quotas) -> Self {
        Self { quotas, ..Self::new(seed) }
    }

    /// What quotas count.
    pub(crate) fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// What a value is counted under. Nobody outside can make two of them collide.
    fn key(&self, plugin: PluginId, mark: u8, value: &[u8]) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.seed[0], self.seed[1]);
        hasher.write(plugin.uuid().as_bytes());
        hasher.write_u8(mark);
        hasher.write(value);
        hasher.finish128().as_u128()
    }

    /// The count of this value, or of all that there is no room for; and under which key it is.
    fn with_count<T>(
        &self,
        (key, others): (u128, u128),
        now_ms: u64,
        then: impl FnOnce(&mut Count, u128) -> T,
    ) -> T {
        let Some(stripe) = self.stripe(key) else { return then(&mut Count::default(), key) };
        let mut counts = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= self.stripe_max && !counts.contains_key(&key) {
            let idle = |count: &Count| count.open == 0 && count.until_ms <= now_ms;
            let over = counts.iter().take(LOOKED_AT).find(|(_, count)| idle(count)).map(|(key, _)| *key);
            match over {
                Some(over) => {
                    counts.remove(&over);
                }
                None => return then(counts.entry(others).or_default(), others),
            }
        }
        then(counts.entry(key).or_default(), key)
    }

    fn stripe(&self, key: u128) -> Option<&Mutex<HashMap<u128, Count>>> {
        self.stripes.get(key as usize % STRIPES)
    }

    /// A call under way is over. `place` is the stripe that it was counted in, `key` the count.
    fn close(&self, place: u128, key: u128) {
        if let Some(stripe) = self.stripe(place)
            && let Some(count) = stripe.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&key)
        {
            count.open = count.open.saturating_sub(1);
        }
    }
}

impl Count {
    /// Counts one call, if there is room for it.
    fn take(&mut self, rate: RequestRate, now_ms: u64) -> Counted {
        let per_ms = u64::from(rate.per_s) * 1_000;
        let (window, into) = (now_ms / per_ms, now_ms % per_ms);
        match window.saturating_sub(self.window) {
            0 => {}
            1 => (self.before, self.now) = (self.now, 0),
            _ => (self.before, self.now) = (0, 0),
        }
        self.window = window;
        let most = u64::from(rate.requests);
        // Of the window before, what still lies within the time.
        let left = u64::from(self.before) * (per_ms - into) / per_ms;
        let used = u64::from(self.now) + left;
        if used < most {
            self.now += 1;
            self.until_ms = (window + 2) * per_ms;
            let remaining = u32::try_from(most - used - 1).unwrap_or(u32::MAX);
            return Counted { admitted: true, remaining, wait_ms: per_ms - into };
        }
        Counted { admitted: false, remaining: 0, wait_ms: self.wait_ms(most, per_ms, into) }
    }

    /// Until one more fits.
    fn wait_ms(&self, most: u64, per_ms: u64, into: u64) -> u64 {
        let next = per_ms - into;
        let (now, before) = (u64::from(self.now), u64::from(self.before));
        if now < most {
            // `before` must have shrunk to less than what is left beside `now`: its share is a whole number, rounded down.
            let room = most - now;
            let share_ms = (room * per_ms).saturating_sub(1) / before.max(1);
            return (next.saturating_sub(share_ms)).max(1);
        }
        // In the next window this one is the one before.
        let share_ms = (most * per_ms).saturating_sub(1) / now.max(1);
        next + per_ms.saturating_sub(share_ms)
    }
}

#[derive(Debug)]
pub(super) struct RateLimitAct(pub(super) RateLimit);

/// A call that is counted as under way for as long as this is kept.
#[derive(Debug)]
struct Open {
    table: Arc<LimitTable>,
    place: u128,
    key: u128,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.table.close(self.place, self.key);
    }
}

impl Act for RateLimitAct {
    fn request(&self, call: &mut Call<'_>) -> Verdict {
        let place = key_of(&self.0.by, call);
        let others = call.limits.key(call.plugin, 0, b"");
        let now_ms = call.monotonic_ms;
        let (counted, opened) = call.limits.with_count((place, others), now_ms, |count, key| {
            if self.0.concurrency.is_some_and(|most| count.open >= most) {
                return (None, None);
            }
            let counted = self.0.rate.map(|rate| count.take(rate, now_ms));
            let admitted = counted.is_none_or(|counted| counted.admitted);
            if admitted && self.0.concurrency.is_some() {
                count.open += 1;
                return (counted, Some(key));
            }
            (counted, None)
        });
        if let Some(key) = opened {
            *call.state = Some(Box::new(Open { table: Arc::clone(call.limits), place, key }));
        }
        match (counted, opened, self.0.concurrency) {
            (None, None, Some(_)) => refuse("as many calls are under way as may be", 1),
            (Some(counted), ..) => {
                self.tell(call, counted);
                match counted.admitted {
                    true => Verdict::Pass,
                    false => refuse("as many calls were made as may be", counted.wait_ms.div_ceil(1_000)),
                }
            }
            _ => Verdict::Pass,
        }
    }
}

impl RateLimitAct {
    /// Says how many calls are left. Where several limits do, the first one is told.
    fn tell(&self, call: &mut Call<'_>, counted: Counted) {
        let Some(rate) = self.0.rate.filter(|_| self.0.headers) else { return };
        if call.owned.contains(&"ratelimit-") {
            return;
        }
        // What a service says about limits of its own must not be taken for ours.
        call.owned.extend(["ratelimit-", "ratelimit", "x-ratelimit-"]);
        for (name, value) in [
            ("RateLimit-Limit", u64::from(rate.requests)),
            ("RateLimit-Remaining", u64::from(counted.remaining)),
            ("RateLimit-Reset", counted.wait_ms.div_ceil(1_000)),
        ] {
            push_field(call.added, name, value.to_string().as_bytes());
        }
    }
}

fn refuse(hint: &'static str, retry_after_s: u64) -> Verdict {
    let refusal = Refusal::new(DenyReason::LimitExceeded);
    let retry_after_s = Some(retry_after_s.max(1));
    Verdict::Refuse(Box::new(Refusal { hint: Some(hint.into()), retry_after_s, ..refusal }))
}

fn key_of(by: &CountBy, call: &Call<'_>) -> u128 {
    counted_by(by, call, |mark, value| call.limits.key(call.plugin, mark, value))
}

/// The key of what a call is counted by.
pub(super) fn counted_by(by: &CountBy, call: &Call<'_>, key: impl Fn(u8, &[u8]) -> u128) -> u128 {
    match by {
        CountBy::Caller => match call.who {
            Who::Anyone => key(1, b""),
            Who::Caller(id) => key(2, id.uuid().as_bytes()),
            Who::Admitted(plugin) => key(3, plugin.uuid().as_bytes()),
        },
        CountBy::Api => key(4, call.api.uuid().as_bytes()),
        CountBy::Address => match call.client.to_canonical() {
            IpAddr::V4(address) => key(5, &address.octets()),
            // One subscriber has a whole /64.
            IpAddr::V6(address) => key(6, address.octets().get(..8).unwrap_or_default()),
        },
        CountBy::Header(name) => {
            let mut fields = call.head.fields.iter();
            let field = fields.find(|field| field.name.eq_ignore_ascii_case(name.as_str()));
            field.map_or_else(|| key(7, b""), |field| key(8, field.value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: RequestRate = RequestRate { requests: 10, per_s: 60 };

    #[test]
    fn no_more_than_so_many_pass_in_any_time() {
        let (mut count, mut passed) = (Count::default(), Vec::new());
        // Somebody who always asks as soon as it may.
        let mut now = 1_000_007;
        for _ in 0..200 {
            let counted = count.take(RATE, now);
            if counted.admitted {
                passed.push(now);
                now += 1;
            } else {
                assert!(counted.wait_ms >= 1 && counted.wait_ms <= 120_000, "{counted:?}");
                now += counted.wait_ms;
            }
        }
        assert!(passed.len() > 50);
        for (at, start) in passed.iter().enumerate() {
            let within = passed[at..].iter().take_while(|time| **time < start + 60_000).count();
            // What counts of the window before is a share of it, not the very calls.
            assert!(within < 2 * 10, "{within} within a minute of {start}");
        }
        let minutes = (passed[passed.len() - 1] - passed[0]).div_ceil(60_000) + 1;
        assert!(passed.len() as u64 <= 10 * (minutes + 1), "{} in {minutes} minutes", passed.len());
    }

    #[test]
    fn whoever_waits_as_long_as_is_said_passes() {
        for start in [0, 1, 29_999, 59_999] {
            let mut count = Count::default();
            let mut now = start;
            for _ in 0..50 {
                let counted = count.take(RATE, now);
                if !counted.admitted {
                    now += counted.wait_ms;
                    assert!(count.take(RATE, now).admitted, "at {now}: {count:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_left_is_told_and_comes_back() {
        let mut count = Count::default();
        let left: Vec<u32> = (0..10).map(|_| count.take(RATE, 0).remaining).collect();
        assert_eq!(left, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
        assert!(!count.take(RATE, 0).admitted);
        assert!(count.take(RATE, 120_000).admitted);
        assert_eq!(count.take(RATE, 120_000).remaining, 8);
    }

    #[test]
    fn a_full_table_counts_newcomers_together_and_forgets_nobody() {
        let table = LimitTable::with([7; 16], 4);
        let plugin = PluginId::from_uuid(uuid::Uuid::from_u128(1));
        let others = table.key(plugin, 0, b"");
        let take = |value: u64, now| {
            let key = table.key(plugin, 5, &value.to_be_bytes());
            table.with_count((key, others), now, |count, _| count.take(RATE, now).admitted)
        };
        let known: Vec<u64> = (0..200).collect();
        for value in &known {
            take(*value, 0);
        }
        let counts = || table.stripes.iter().map(|stripe| stripe.lock().unwrap().len()).sum::<usize>();
        assert!(counts() <= STRIPES * 5, "{}", counts());
        // Whoever is new is one of many, and their count is used up.
        let admitted = (1_000..10_000).filter(|value| take(*value, 0)).count();
        assert!(admitted <= STRIPES * (4 * 10 + 10), "{admitted}");
        assert!(counts() <= STRIPES * 5);
        // Once nothing of it counts any more, there is room again.
        assert!((20_000..20_020).all(|value| take(value, 1_000_000)));
    }
}
