//! Which credentials were used, and when last: collected per core, fetched in batches by whoever writes it down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use keyward_model::{CallerId, CredentialId, Timestamp};

/// What was used since it was last asked. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    cores: Arc<Mutex<Vec<Arc<CoreUsage>>>>,
}

/// The last use of one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// Which credential.
    pub credential: CredentialId,
    /// Whose.
    pub caller: CallerId,
    /// When last.
    pub at: Timestamp,
}

/// What one core has seen.
#[derive(Debug, Default)]
pub(crate) struct CoreUsage(Mutex<HashMap<CredentialId, (CallerId, Timestamp)>>);

/// Most credentials that a core keeps between two fetches; the uses of others go unrecorded until the next.
const CREDENTIALS_MAX: usize = 65_536;

impl Usage {
    /// Everything since the last call, each credential once. To be called every few seconds.
    pub fn take(&self) -> Vec<LastUse> {
        let mut latest: HashMap<CredentialId, (CallerId, Timestamp)> = HashMap::new();
        for core in locked(&self.cores).iter() {
            let seen = std::mem::take(&mut *locked(&core.0));
            for (credential, (caller, at)) in seen {
                let entry = latest.entry(credential).or_insert((caller, at));
                entry.1 = entry.1.max(at);
            }
        }
        latest.into_iter().map(|(credential, (caller, at))| LastUse { credential, caller, at }).collect()
    }

    pub(crate) fn core(&self) -> Arc<CoreUsage> {
        let core = Arc::new(CoreUsage::default());
        locked(&self.cores).push(Arc::clone(&core));
        core
    }
}

impl CoreUsage {
    /// A credential was used. The lock is this core's own but for the moment in which it is fetched.
    pub(crate) fn note(&self, credential: CredentialId, caller: CallerId, at: Timestamp) {
        let mut seen = locked(&self.0);
        if let Some(entry) = seen.get_mut(&credential) {
            entry.1 = at;
        } else if seen.len() < CREDENTIALS_MAX {
            seen.insert(credential, (caller, at));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::CallerKind;
    use uuid::Uuid;

    #[test]
    fn each_credential_is_told_once_with_its_last_use() {
        let usage = Usage::default();
        let (one, two) = (usage.core(), usage.core());
        let credential = |n| CredentialId::from_uuid(Uuid::from_u128(n));
        let caller = CallerId::from_uuid(CallerKind::Consumer, Uuid::from_u128(9));
        let at = Timestamp::from_millis;
        one.note(credential(1), caller, at(10));
        two.note(credential(1), caller, at(30));
        one.note(credential(1), caller, at(20));
        two.note(credential(2), caller, at(5));
        let mut taken = usage.take();
        taken.sort_by_key(|last| last.credential);
        assert_eq!(taken.iter().map(|last| last.at).collect::<Vec<_>>(), [at(30), at(5)]);
        assert!(usage.take().is_empty());
    }
}
