//! What was used, and how many calls there were: collected per core, fetched in batches by whoever writes it down.
//!
//! Memory is bounded: what there is no room for until the next fetch is counted as lost, and no request waits.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use keyward_access::UsageSource;
use keyward_model::{Calls, CallsKey, CredentialId, GrantId, Timestamp, UsageBatch};

/// What was used since it was last asked. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cores: Mutex<Vec<Arc<CoreUsage>>>,
    /// What could not be written down yet.
    given_back: Mutex<Seen>,
    lost: AtomicU64,
}

/// What one core has seen. The lock is this core's own but for the moment in which it is fetched.
#[derive(Debug, Default)]
pub(crate) struct CoreUsage(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    credentials: HashMap<CredentialId, Timestamp>,
    grants: HashMap<GrantId, Timestamp>,
    calls: HashMap<CallsKey, Calls>,
    /// Uses and calls for which there was no room.
    lost: u64,
}

/// Most entries of each kind that a core keeps between two fetches, and that are kept for another try.
const ENTRIES_MAX: usize = 65_536;

impl Usage {
    /// Uses and calls that are not told to anybody, because there was no room for them.
    pub fn lost(&self) -> u64 {
        let waiting: u64 = locked(&self.shared.cores).iter().map(|core| locked(&core.0).lost).sum();
        waiting.saturating_add(self.shared.lost.load(Ordering::Relaxed))
    }

    pub(crate) fn core(&self) -> Arc<CoreUsage> {
        let core = Arc::new(CoreUsage::default());
        locked(&self.shared.cores).push(Arc::clone(&core));
        core
    }
}

impl UsageSource for Usage {
    fn take(&self) -> UsageBatch {
        let mut all = std::mem::take(&mut *locked(&self.shared.given_back));
        for core in locked(&self.shared.cores).iter() {
            let seen = std::mem::take(&mut *locked(&core.0));
            self.shared.lost.fetch_add(seen.lost, Ordering::Relaxed);
            // Each core has its own bound, so all of them together have one.
            all.take_in(seen, usize::MAX);
        }
        all.into_batch()
    }

    fn give_back(&self, batch: UsageBatch) {
        // When secrets were used is known where they are, not here.
        let UsageBatch { credentials, grants, calls, secrets: _ } = batch;
        let seen = Seen {
            credentials: credentials.into_iter().collect(),
            grants: grants.into_iter().collect(),
            calls: calls.into_iter().collect(),
            lost: 0,
        };
        let mut given_back = locked(&self.shared.given_back);
        given_back.take_in(seen, ENTRIES_MAX);
        self.shared.lost.fetch_add(std::mem::take(&mut given_back.lost), Ordering::Relaxed);
    }
}

impl CoreUsage {
    /// A request passes by this credential and grant.
    pub(crate) fn passed(&self, credential: Option<CredentialId>, grant: Option<GrantId>, at: Timestamp) {
        let seen = &mut *locked(&self.0);
        if let Some(credential) = credential {
            seen.lost += note(&mut seen.credentials, credential, at, later, ENTRIES_MAX);
        }
        if let Some(grant) = grant {
            seen.lost += note(&mut seen.grants, grant, at, later, ENTRIES_MAX);
        }
    }

    /// A call is over.
    pub(crate) fn over(&self, key: CallsKey, at: Timestamp) {
        let seen = &mut *locked(&self.0);
        seen.lost += note(&mut seen.calls, key, Calls { count: 1, last: at }, Calls::add, ENTRIES_MAX);
    }
}

impl Seen {
    fn take_in(&mut self, other: Self, most: usize) {
        for (credential, at) in other.credentials {
            self.lost += note(&mut self.credentials, credential, at, later, most);
        }
        for (grant, at) in other.grants {
            self.lost += note(&mut self.grants, grant, at, later, most);
        }
        for (key, calls) in other.calls {
            self.lost += note(&mut self.calls, key, calls, Calls::add, most).saturating_mul(calls.count);
        }
    }

    fn into_batch(self) -> UsageBatch {
        UsageBatch {
            credentials: self.credentials.into_iter().collect(),
            grants: self.grants.into_iter().collect(),
            secrets: Vec::new(),
            calls: self.calls.into_iter().collect(),
        }
    }
}

/// Joins a value to what there is, or adds it if there is room; says how many were lost.
fn note<K: Hash + Eq, V>(
    map: &mut HashMap<K, V>,
    key: K,
    value: V,
    join: impl FnOnce(&mut V, V),
    most: usize,
) -> u64 {
    if let Some(there) = map.get_mut(&key) {
        join(there, value);
    } else if map.len() < most {
        map.insert(key, value);
    } else {
        return 1;
    }
    0
}

fn later(there: &mut Timestamp, at: Timestamp) {
    *there = at.max(*there);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::Day;
    use uuid::Uuid;

    fn credential(number: u128) -> CredentialId {
        CredentialId::from_uuid(Uuid::from_u128(number))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn key(day: i64) -> CallsKey {
        CallsKey { day: Day::from_number(day), caller: None, api: None, reason: None }
    }

    #[test]
    fn each_credential_and_grant_is_told_once_with_its_last_use() {
        let usage = Usage::default();
        let (one, two) = (usage.core(), usage.core());
        let grant = GrantId::from_uuid(Uuid::from_u128(7));
        one.passed(Some(credential(1)), Some(grant), at(10));
        two.passed(Some(credential(1)), Some(grant), at(30));
        one.passed(Some(credential(1)), None, at(20));
        two.passed(Some(credential(2)), None, at(5));
        let mut taken = usage.take();
        taken.credentials.sort_unstable();
        assert_eq!(taken.credentials, [(credential(1), at(30)), (credential(2), at(5))]);
        assert_eq!(taken.grants, [(grant, at(30))]);
        assert!(usage.take().is_empty());
    }

    #[test]
    fn calls_are_counted_by_day_and_what_comes_back_is_told_again() {
        let usage = Usage::default();
        let (one, two) = (usage.core(), usage.core());
        one.over(key(1), at(10));
        one.over(key(1), at(12));
        two.over(key(1), at(11));
        two.over(key(2), at(20));
        usage.give_back(usage.take());
        one.over(key(2), at(21));
        let mut taken = usage.take().calls;
        taken.sort_unstable_by_key(|(key, _)| *key);
        let calls = |count, last| Calls { count, last: at(last) };
        assert_eq!(taken, [(key(1), calls(3, 12)), (key(2), calls(2, 21))]);
        assert_eq!(usage.lost(), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_as_lost() {
        let usage = Usage::default();
        let core = usage.core();
        let most = i64::try_from(ENTRIES_MAX).unwrap();
        (0..most + 3).for_each(|day| core.over(key(day), at(day)));
        core.over(key(0), at(9));
        assert_eq!(usage.lost(), 3);
        let taken = usage.take();
        assert_eq!(taken.calls.len(), ENTRIES_MAX);
        assert_eq!(usage.lost(), 3);
        usage.give_back(taken);
        let more = (0..2).map(|day| (key(-1 - day), Calls { count: 5, last: at(0) })).collect();
        usage.give_back(UsageBatch { calls: more, ..UsageBatch::default() });
        assert_eq!(usage.lost(), 13);
        assert_eq!(usage.take().calls.len(), ENTRIES_MAX);
    }
}
