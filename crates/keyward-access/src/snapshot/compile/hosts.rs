//! Whose a host is: one account's, over all gateways, and a wildcard covers what is below it.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_model::{AccountId, Api, HostPattern};

use crate::snapshot::routes::HostKey;
use crate::snapshot::shards::{Change, Shards};
use crate::snapshot::update::{ObjectId, Problem, ProblemKind};
use crate::snapshot::{HostOwner, Snapshot};

/// The owners of hosts, as they become by a change.
pub(super) struct HostClaims<'b> {
    base: &'b Snapshot,
    /// Hosts that change: whose, and how many APIs answer to it.
    changed: BTreeMap<HostPattern, (AccountId, usize)>,
}

impl<'b> HostClaims<'b> {
    pub(super) fn new(base: &'b Snapshot) -> Self {
        Self { base, changed: BTreeMap::new() }
    }

    /// One API less answers to it.
    pub(super) fn release(&mut self, host: &HostKey) {
        let HostKey::Pattern(pattern) = host else { return };
        if let Some((account, apis)) = self.of(pattern) {
            self.changed.insert(pattern.clone(), (account, apis.saturating_sub(1)));
        }
    }

    /// One API more answers to it.
    pub(super) fn claim(&mut self, host: &HostKey, api: &Api) -> Result<(), Problem> {
        let HostKey::Pattern(pattern) = host else { return Ok(()) };
        let apis = self.of(pattern).map_or(0, |(_, apis)| apis);
        let taken = match self.of(pattern).filter(|(_, apis)| *apis > 0) {
            Some((account, _)) => account != api.account,
            None => self.overlapping(pattern, api.account),
        };
        self.changed.insert(pattern.clone(), (api.account, apis + 1));
        if !taken {
            return Ok(());
        }
        Err(Problem {
            object: ObjectId::Api(api.id),
            other: None,
            kind: ProblemKind::Conflict,
            // Which host the other account has is nobody else's.
            text: format!("host `{pattern}` is another account's, or overlaps with one: choose another host"),
        })
    }

    pub(super) fn into_shards(self) -> Shards<Arc<HostOwner>> {
        let changes = self.changed.into_iter().map(|(host, (account, apis))| Change {
            hash: HostKey::Pattern(host.clone()).hash(&self.base.hashes),
            id: host.clone(),
            value: (apis > 0).then(|| Arc::new(HostOwner { host, account, apis })),
        });
        self.base.hosts.with(changes.collect())
    }

    fn of(&self, pattern: &HostPattern) -> Option<(AccountId, usize)> {
        if let Some(changed) = self.changed.get(pattern) {
            return Some(*changed);
        }
        let hash = HostKey::Pattern(pattern.clone()).hash(&self.base.hashes);
        let owner = self.base.hosts.get(hash).find(|owner| owner.host == *pattern)?;
        Some((owner.account, owner.apis))
    }

    /// Is there a host of another account that covers this one, or that this one covers?
    fn overlapping(&self, pattern: &HostPattern, account: AccountId) -> bool {
        let is_foreign =
            |other: &HostPattern| self.of(other).is_some_and(|(owner, apis)| apis > 0 && owner != account);
        let (HostPattern::Exact(text) | HostPattern::Wildcard(text)) = pattern;
        let dots = text.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'.').map(|(at, _)| at);
        let mut above = dots.filter_map(|at| Some(HostPattern::Wildcard(text.get(at..)?.into())));
        if above.any(|wildcard| is_foreign(&wildcard)) {
            return true;
        }
        let HostPattern::Wildcard(suffix) = pattern else { return false };
        let mut known = self.base.hosts.iter().map(|owner| &owner.host).chain(self.changed.keys());
        known.any(|host| {
            let (HostPattern::Exact(text) | HostPattern::Wildcard(text)) = host;
            text.ends_with(&**suffix) && text.len() > suffix.len() && is_foreign(host)
        })
    }
}
