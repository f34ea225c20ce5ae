//! Groups: who belongs to them, and their grants.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_model::{AccountId, CallerId, Group, GroupId};

use super::callers::Heads;
use super::grants::merge;
use super::staged::{GrantChange, Staged};
use super::{IdMap, Work, foreign, unknown};
use crate::snapshot::entry::{GrantEntry, GroupEntry};
use crate::snapshot::shards::Change;
use crate::snapshot::update::ObjectId;

/// Groups that change.
#[derive(Default)]
pub(super) struct Groups {
    /// `None`, they go.
    pub(super) changed: BTreeMap<GroupId, Option<Arc<GroupEntry>>>,
    /// Who joins (true) or leaves (false) which.
    pub(super) memberships: IdMap<CallerId, Vec<(GroupId, bool)>>,
}

impl Work<'_> {
    /// Reads the groups that are described anew, and takes callers that go out of theirs.
    pub(super) fn stage_groups(&mut self, staged: &Staged, heads: &Heads) -> Groups {
        let mut groups = Groups::default();
        for (&id, group) in &staged.groups {
            let before = self.base.group(id);
            let after = match group {
                Some(group) => {
                    if let Err(problem) = self.check_account(ObjectId::Group(id), group.account) {
                        self.refuse(problem);
                        continue;
                    }
                    let members = self.check_members(group, heads);
                    let grants = before.map_or_else(Arc::default, |before| Arc::clone(&before.grants));
                    Some(entry(id, group.account, group.enabled, members, grants))
                }
                None => None,
            };
            groups.note_memberships(id, members_of(before.map(|b| &**b)), members_of(after.as_deref()));
            groups.changed.insert(id, after);
        }
        self.drop_members(heads, &mut groups);
        groups
    }

    /// Puts groups together with their grants.
    pub(super) fn compile_groups(
        &mut self,
        mut groups: Groups,
        grants: BTreeMap<GroupId, Vec<GrantChange>>,
    ) -> Groups {
        for (id, changes) in grants {
            let current = groups.changed.get(&id).cloned().unwrap_or_else(|| self.base.group(id).cloned());
            let Some(current) = current else { continue };
            let grants = merge(Some(&current.grants), changes);
            let members = Arc::clone(&current.members);
            groups.changed.insert(id, Some(entry(id, current.account, current.enabled, members, grants)));
        }
        let changes = groups.changed.iter().map(|(&id, value)| Change {
            hash: self.base.hashes.uuid(id.uuid()),
            id,
            value: value.clone(),
        });
        self.next.groups = self.base.groups.with(changes.collect());
        groups
    }

    /// The members that will exist and are of the group's account.
    fn check_members(&mut self, group: &Group, heads: &Heads) -> Arc<[CallerId]> {
        let mut members = Vec::with_capacity(group.members.len());
        for &member in &group.members {
            let (object, other) = (ObjectId::Group(group.id), ObjectId::Caller(member));
            match self.account_of(heads, member) {
                Some(account) if account == group.account => members.push(member),
                Some(_) => self.refuse(foreign(object, other)),
                None => self.refuse(unknown(object, other)),
            }
        }
        members.sort_unstable();
        members.dedup();
        members.into()
    }

    fn drop_members(&self, heads: &Heads, groups: &mut Groups) {
        for (id, _) in heads.iter().filter(|(_, head)| head.is_none()) {
            for &group in self.base.caller(*id).iter().flat_map(|caller| caller.groups()) {
                let current =
                    groups.changed.get(&group).cloned().unwrap_or_else(|| self.base.group(group).cloned());
                let Some(current) = current else { continue };
                let members = current.members.iter().copied().filter(|member| member != id).collect();
                let grants = Arc::clone(&current.grants);
                groups
                    .changed
                    .insert(group, Some(entry(group, current.account, current.enabled, members, grants)));
            }
        }
    }
}

impl Groups {
    /// Both in id order.
    fn note_memberships(&mut self, group: GroupId, before: &[CallerId], after: &[CallerId]) {
        let is_in = |members: &[CallerId], member: &CallerId| members.binary_search(member).is_ok();
        for &member in before.iter().filter(|member| !is_in(after, member)) {
            self.memberships.entry(member).or_default().push((group, false));
        }
        for &member in after.iter().filter(|member| !is_in(before, member)) {
            self.memberships.entry(member).or_default().push((group, true));
        }
    }
}

fn members_of(group: Option<&GroupEntry>) -> &[CallerId] {
    group.map_or(&[], GroupEntry::members)
}

fn entry(
    id: GroupId,
    account: AccountId,
    enabled: bool,
    members: Arc<[CallerId]>,
    grants: Arc<[GrantEntry]>,
) -> Arc<GroupEntry> {
    Arc::new(GroupEntry { id, account, enabled, members, grants })
}
