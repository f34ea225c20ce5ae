//! Callers: their heads, and all that hangs on them.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyward_model::{AccountId, Caller, CallerId, Credential, GroupId, KEY_SOURCES_MAX, KeySource, Name};

use super::credentials::{Workshop, hashes_of};
use super::grants::merge;
use super::groups::Groups;
use super::secrets::Concerned;
use super::staged::{GrantChange, Staged};
use super::{IdMap, Work, invalid};
use crate::snapshot::entry::{CallerEntry, CredentialEntry, Extras};
use crate::snapshot::shards::Change;
use crate::snapshot::update::{ObjectId, Problem};

/// Callers that are described anew: `None`, they go.
pub(super) type Heads = IdMap<CallerId, Option<Head>>;

/// A caller without what hangs on it.
pub(super) struct Head {
    pub(super) account: AccountId,
    enabled: bool,
    name: Name,
    extension: Option<Box<str>>,
    key_sources: Box<[KeySource]>,
    /// In id order.
    pub(super) credentials: Vec<CredentialEntry>,
}

/// A caller before and after.
pub(super) struct ChangedCaller {
    pub(super) before: Option<Arc<CallerEntry>>,
    pub(super) after: Option<Arc<CallerEntry>>,
}

impl Work<'_> {
    /// Reads the callers that are described anew, and leaves out what is wrong.
    pub(super) fn read_callers(&mut self, staged: &mut Staged, concerned: &Concerned) -> Heads {
        let mut workshop = Workshop::default();
        let mut heads = Heads::default();
        let mut callers: Vec<_> = std::mem::take(&mut staged.callers).into_iter().collect();
        callers.sort_by_key(|(id, _)| *id);
        for (id, described) in callers {
            let Some((caller, credentials)) = described else {
                heads.insert(id, None);
                continue;
            };
            match self.check_caller(&caller) {
                Ok(()) => {
                    heads.insert(id, Some(self.read_caller(&mut workshop, caller, credentials)));
                }
                Err(problem) => self.refuse(problem),
            }
        }
        for &id in &concerned.callers {
            if let (false, Some(before)) = (heads.contains_key(&id), self.base.caller(id).cloned()) {
                heads.insert(id, Some(self.read_again(&mut workshop, &before)));
            }
        }
        self.check_claims(&mut heads);
        heads
    }

    /// Whose a caller will be, if it will exist.
    pub(super) fn account_of(&self, heads: &Heads, caller: CallerId) -> Option<AccountId> {
        match heads.get(&caller) {
            Some(head) => head.as_ref().map(|head| head.account),
            None => self.base.caller(caller).map(|caller| caller.account),
        }
    }

    /// Puts callers together: what is described anew, groups as they become, grants as they change.
    pub(super) fn compile_callers(
        &mut self,
        mut heads: Heads,
        groups: &Groups,
        mut grants: IdMap<CallerId, Vec<GrantChange>>,
    ) -> Vec<ChangedCaller> {
        let mut shared = BTreeSet::new();
        let concerned = heads.keys().chain(groups.memberships.keys()).chain(grants.keys());
        let mut concerned: Vec<CallerId> = concerned.copied().collect();
        concerned.sort_unstable();
        concerned.dedup();
        let changed = concerned.into_iter().map(|id| {
            let before = self.base.caller(id).cloned();
            let parts = Parts {
                head: heads.remove(&id),
                memberships: groups.memberships.get(&id).map_or(&[], Vec::as_slice),
                grants: grants.remove(&id).unwrap_or_default(),
            };
            let after = parts.put_together(id, before.as_deref(), &mut shared).map(Arc::new);
            ChangedCaller { before, after }
        });
        let changed: Vec<ChangedCaller> = changed.filter(|caller| caller.id().is_some()).collect();
        self.next.callers = self.base.callers.with(self.caller_changes(&changed));
        self.next.credentials = self.base.credentials.with(self.credential_changes(&changed));
        changed
    }

    fn check_caller(&self, caller: &Caller) -> Result<(), Problem> {
        let object = ObjectId::Caller(caller.id);
        self.check_account(object, caller.account)?;
        if caller.key_sources.len() > KEY_SOURCES_MAX {
            let text = format!("it has {} key sources: at most {KEY_SOURCES_MAX}", caller.key_sources.len());
            return Err(invalid(object, text));
        }
        let reserved = |source: &&KeySource| matches!(source, KeySource::Header(name) if name.is_reserved());
        match caller.key_sources.iter().find(reserved) {
            Some(KeySource::Header(name)) => {
                Err(invalid(object, format!("`{name}` is a reserved header: keep API keys in another")))
            }
            _ => Ok(()),
        }
    }

    fn read_caller(&mut self, workshop: &mut Workshop, caller: Caller, credentials: Vec<Credential>) -> Head {
        let mut read = Vec::with_capacity(credentials.len());
        for credential in credentials {
            match workshop.work_up(&self.next, (caller.id, caller.account), credential) {
                Ok(credential) => read.extend(credential),
                Err(problem) => self.refuse(problem),
            }
        }
        read.sort_by_key(|credential| credential.id);
        Head {
            account: caller.account,
            enabled: caller.enabled,
            name: caller.name,
            extension: caller.extension.map(Into::into),
            key_sources: caller.key_sources.into(),
            credentials: read,
        }
    }

    /// A caller as it was, with what its references come to now.
    fn read_again(&mut self, workshop: &mut Workshop, before: &CallerEntry) -> Head {
        let mut read: Vec<CredentialEntry> = Vec::with_capacity(before.credentials.len());
        for credential in &*before.credentials {
            let Some(referred) = &credential.referred else {
                read.push(credential.clone());
                continue;
            };
            // Its other entries follow from the same source.
            if read.last().is_some_and(|last| last.id == credential.id) {
                continue;
            }
            match workshop.work_up(
                &self.next,
                (before.id, before.account),
                Credential::clone(&referred.source),
            ) {
                Ok(credential) => read.extend(credential),
                Err(problem) => self.refuse(problem),
            }
        }
        Head {
            account: before.account,
            enabled: before.enabled,
            name: before.name.clone(),
            extension: before.extras.extension.clone(),
            key_sources: before.extras.key_sources.clone(),
            credentials: read,
        }
    }

    fn caller_changes(&self, changed: &[ChangedCaller]) -> Vec<Change<Arc<CallerEntry>>> {
        let ids = changed.iter().filter_map(|caller| Some((caller.id()?, caller)));
        let changes = ids.map(|(id, caller)| Change {
            hash: self.base.hashes.uuid(id.uuid()),
            id,
            value: caller.after.clone(),
        });
        changes.collect()
    }

    /// Every look-up of a changed caller leads to what it has become.
    fn credential_changes(&self, changed: &[ChangedCaller]) -> Vec<Change<Arc<CallerEntry>>> {
        let mut changes = Vec::with_capacity(changed.len());
        for caller in changed {
            let Some(id) = caller.id() else { continue };
            let of = |entry: &Option<Arc<CallerEntry>>| {
                entry.as_ref().map(|entry| hashes_of(&self.base.hashes, entry)).unwrap_or_default()
            };
            let (before, after) = (of(&caller.before), of(&caller.after));
            changes.extend(before.difference(&after).map(|&hash| Change { hash, id, value: None }));
            changes.extend(after.into_iter().map(|hash| Change { hash, id, value: caller.after.clone() }));
        }
        changes
    }
}

impl ChangedCaller {
    pub(super) fn id(&self) -> Option<CallerId> {
        self.after.as_ref().or(self.before.as_ref()).map(|entry| entry.id)
    }
}

/// What a caller is put together from.
struct Parts<'p> {
    /// Absent: as before.
    head: Option<Option<Head>>,
    memberships: &'p [(GroupId, bool)],
    grants: Vec<GrantChange>,
}

impl Parts<'_> {
    fn put_together(
        self,
        id: CallerId,
        before: Option<&CallerEntry>,
        shared: &mut BTreeSet<Arc<Extras>>,
    ) -> Option<CallerEntry> {
        let grants = merge(before.map(|before| &before.grants), self.grants);
        let mut groups: BTreeSet<GroupId> =
            before.iter().flat_map(|before| before.groups()).copied().collect();
        for (group, joins) in self.memberships {
            if *joins {
                groups.insert(*group)
            } else {
                groups.remove(group)
            };
        }
        let groups = groups.into_iter().collect();
        match self.head {
            Some(head) => {
                let head = head?;
                let extras = Extras { extension: head.extension, key_sources: head.key_sources, groups };
                Some(CallerEntry {
                    id,
                    account: head.account,
                    enabled: head.enabled,
                    name: head.name,
                    extras: share(extras, shared),
                    credentials: head.credentials.into(),
                    grants,
                })
            }
            None => {
                let before = before?;
                let extras = if *before.groups() == *groups {
                    Arc::clone(&before.extras)
                } else {
                    share(Extras { groups, ..Extras::clone(&before.extras) }, shared)
                };
                Some(CallerEntry {
                    id,
                    account: before.account,
                    enabled: before.enabled,
                    name: before.name.clone(),
                    extras,
                    credentials: Arc::clone(&before.credentials),
                    grants,
                })
            }
        }
    }
}

fn share(extras: Extras, shared: &mut BTreeSet<Arc<Extras>>) -> Arc<Extras> {
    if let Some(known) = shared.get(&extras) {
        return Arc::clone(known);
    }
    let new = Arc::new(extras);
    // What is one caller's own need not be kept for others.
    if new.extension.is_none() {
        shared.insert(Arc::clone(&new));
    }
    new
}
