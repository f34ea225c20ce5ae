//! Grants: what they refer to, and their packed lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_model::{AccountId, CallerId, Grantee, GroupId};

use super::callers::Heads;
use super::groups::Groups;
use super::staged::{GrantChange, Staged};
use super::{IdMap, Work, foreign, unknown};
use crate::snapshot::entry::GrantEntry;
use crate::snapshot::update::{ObjectId, Problem};

/// Grants that change, of callers and of groups.
type Checked = (IdMap<CallerId, Vec<GrantChange>>, BTreeMap<GroupId, Vec<GrantChange>>);

impl Work<'_> {
    /// Leaves out grants that refer to what will not exist, and removals of what went with its grantee.
    pub(super) fn check_grants(&mut self, staged: &mut Staged, heads: &Heads, groups: &Groups) -> Checked {
        let (mut of_callers, mut of_groups): Checked = Default::default();
        for (grantee, mut changes) in std::mem::take(&mut staged.grants) {
            let account = match grantee {
                Grantee::Caller(id) => self.account_of(heads, id),
                Grantee::Group(id) => match groups.changed.get(&id) {
                    Some(group) => group.as_ref().map(|group| group.account),
                    None => self.base.group(id).map(|group| group.account),
                },
            };
            keep_last(&mut changes);
            changes.retain(|change| match self.check_grant(change, grantee, account) {
                Ok(()) => account.is_some(),
                Err(problem) => {
                    self.refuse(problem);
                    false
                }
            });
            match grantee {
                Grantee::Caller(id) => drop(of_callers.insert(id, changes)),
                Grantee::Group(id) => drop(of_groups.insert(id, changes)),
            }
        }
        (of_callers, of_groups)
    }

    fn check_grant(
        &self,
        change: &GrantChange,
        grantee: Grantee,
        grantee_account: Option<AccountId>,
    ) -> Result<(), Problem> {
        let Some((account, grant)) = &change.given else { return Ok(()) };
        let object = ObjectId::Grant(grant.id);
        match self.next.api(grant.api) {
            None => return Err(unknown(object, ObjectId::Api(grant.api))),
            Some(entry) if entry.api.account != *account => {
                return Err(foreign(object, ObjectId::Api(grant.api)));
            }
            Some(_) => {}
        }
        let other = match grantee {
            Grantee::Caller(id) => ObjectId::Caller(id),
            Grantee::Group(id) => ObjectId::Group(id),
        };
        let Some(grantee_account) = grantee_account else { return Err(unknown(object, other)) };
        if matches!(grantee, Grantee::Group(_)) && grantee_account != *account {
            return Err(foreign(object, other));
        }
        let gateways = grant.scope.as_ref().and_then(|scope| scope.gateways.as_deref()).unwrap_or_default();
        match gateways.iter().find(|id| self.next.gateway(**id).is_none()) {
            Some(&gateway) => Err(unknown(object, ObjectId::Gateway(gateway))),
            None => Ok(()),
        }
    }
}

/// Of several changes to one grant the last one holds. In id order afterwards.
fn keep_last(changes: &mut Vec<GrantChange>) {
    changes.reverse();
    changes.sort_by_key(|change| change.id);
    changes.dedup_by_key(|change| change.id);
}

/// The grants after these changes (in id order, one for each grant), by API and then by id.
pub(super) fn merge(before: Option<&Arc<[GrantEntry]>>, changes: Vec<GrantChange>) -> Arc<[GrantEntry]> {
    if changes.is_empty() {
        return before.map(Arc::clone).unwrap_or_default();
    }
    let is_changed = |grant: &GrantEntry| changes.binary_search_by_key(&grant.id, |change| change.id).is_ok();
    let kept = before.map_or(&[][..], |before| before).iter().filter(|grant| !is_changed(grant)).cloned();
    let mut after: Vec<GrantEntry> = kept.collect();
    after.reserve_exact(changes.len());
    after.extend(changes.into_iter().filter_map(|change| Some(change.given?.1)));
    after.sort_by_key(|grant| (grant.api, grant.id));
    after.into()
}
