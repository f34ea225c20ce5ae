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
            Some((account, _)) => (account != api.account).then(|| pattern.clone()),
            None => self.overlapping(pattern, api.account),
        };
        self.changed.insert(pattern.clone(), (api.account, apis + 1));
        taken.map_or(Ok(()), |taken| {
            Err(Problem {
                object: ObjectId::Api(api.id),
                other: None,
                kind: ProblemKind::Conflict,
                text: format!(
                    "host `{pattern}` belongs to another account, which has `{taken}`: choose another host"
                ),
            })
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

    /// A host of another account that covers this one, or that this one covers.
    fn overlapping(&self, pattern: &HostPattern, account: AccountId) -> Option<HostPattern> {
        let is_foreign =
            |other: &HostPattern| self.of(other).is_some_and(|(owner, apis)| apis > 0 && owner != account);
        let (HostPattern::Exact(text) | HostPattern::Wildcard(text)) = pattern;
        let dots = text.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'.').map(|(at, _)| at);
        let above = dots.filter_map(|at| Some(HostPattern::Wildcard(text.get(at..)?.into())));
        let mut above = above.filter(|wildcard| is_foreign(wildcard));
        if let Some(wildcard) = above.next() {
            return Some(wildcard);
        }
        let HostPattern::Wildcard(suffix) = pattern else { return None };
        let known = self.base.hosts.iter().map(|owner| &owner.host).chain(self.changed.keys());
        let mut below = known.filter(|host| {
            let (HostPattern::Exact(text) | HostPattern::Wildcard(text)) = host;
            text.ends_with(&**suffix) && text.len() > suffix.len() && is_foreign(host)
        });
        below.next().cloned()
    }
}
