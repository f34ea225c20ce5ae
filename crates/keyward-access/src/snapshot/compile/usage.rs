//! Counting what granted callers make APIs look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_model::{ApiId, GroupId};

use super::callers::ChangedCaller;
use super::groups::Groups;
use super::staged::Staged;
use super::{IdMap, Work};
use crate::snapshot::Snapshot;
use crate::snapshot::entry::{CallerEntry, GrantEntry};
use crate::snapshot::shards::Change;
use crate::snapshot::usage::{ApiUsage, Feature};

/// By how much the count of each feature changes on each API.
#[derive(Default)]
struct Deltas {
    features: IdMap<Feature, usize>,
    counts: IdMap<(ApiId, usize), isize>,
}

impl Work<'_> {
    /// Brings the union of every concerned API up to date.
    pub(super) fn count_usage(&mut self, staged: &Staged, changed: &[ChangedCaller], groups: &Groups) {
        let mut deltas = Deltas::default();
        for caller in changed {
            deltas.add_caller(self.base, caller.before.as_deref(), -1);
            deltas.add_caller(&self.next, caller.after.as_deref(), 1);
        }
        for &id in groups.changed.keys() {
            self.add_unchanged_members(id, changed, &mut deltas);
        }
        let mut counts = deltas.by_api();
        for (&id, _) in staged.apis.iter().filter(|(_, api)| api.is_none()) {
            counts.entry(id).or_default();
        }
        let changes = counts.into_iter().map(|(id, counts)| self.api_change(id, counts));
        self.next.usage = self.base.usage.with(changes.collect());
    }

    /// Members that stay what they are, while the grants of their group change.
    fn add_unchanged_members(&self, group: GroupId, changed: &[ChangedCaller], deltas: &mut Deltas) {
        let (before, after) = (self.base.group(group), self.next.group(group));
        let (Some(before), Some(after)) = (before, after) else { return };
        if Arc::ptr_eq(&before.grants, &after.grants) {
            return;
        }
        let is_changed = |id| changed.binary_search_by_key(&Some(id), ChangedCaller::id).is_ok();
        for &member in after.members.iter().filter(|id| !is_changed(**id)) {
            let Some(caller) = self.next.caller(member) else { continue };
            let features = deltas.features_of(caller);
            deltas.add_grants(&features, &before.grants, -1);
            deltas.add_grants(&features, &after.grants, 1);
        }
    }

    fn api_change(&self, id: ApiId, counts: Vec<(Feature, isize)>) -> Change<Arc<ApiUsage>> {
        let hash = self.base.hashes.uuid(id.uuid());
        let Some(api) = self.next.api(id) else { return Change { hash, id, value: None } };
        let mut usage = self.base.api_usage(id).cloned().unwrap_or_default();
        usage.api = Some(id);
        for (feature, count) in &counts {
            // Consumers of the API's own account are candidates without a grant.
            if !matches!(feature, Feature::Identity(account, _) if *account == api.api.account) {
                usage.add(feature, *count);
            }
        }
        Change { hash, id, value: Some(Arc::new(usage)) }
    }
}

impl Deltas {
    fn add_caller(&mut self, snapshot: &Snapshot, caller: Option<&CallerEntry>, by: isize) {
        let Some(caller) = caller else { return };
        let features = self.features_of(caller);
        if features.is_empty() {
            return;
        }
        self.add_grants(&features, &caller.grants, by);
        for group in caller.groups().iter().filter_map(|id| snapshot.group(*id)) {
            self.add_grants(&features, &group.grants, by);
        }
    }

    fn add_grants(&mut self, features: &[usize], grants: &[GrantEntry], by: isize) {
        for grant in grants {
            for &feature in features {
                *self.counts.entry((grant.api, feature)).or_default() += by;
            }
        }
    }

    /// Features are texts: each is kept once, and counted by its number.
    fn features_of(&mut self, caller: &CallerEntry) -> Vec<usize> {
        let features = Feature::of(caller).into_iter().map(|feature| {
            let next = self.features.len();
            *self.features.entry(feature).or_insert(next)
        });
        features.collect()
    }

    fn by_api(self) -> BTreeMap<ApiId, Vec<(Feature, isize)>> {
        let names: BTreeMap<usize, Feature> =
            self.features.into_iter().map(|(name, number)| (number, name)).collect();
        let mut apis: BTreeMap<ApiId, Vec<(Feature, isize)>> = BTreeMap::new();
        for ((api, feature), count) in self.counts.into_iter().filter(|(_, count)| *count != 0) {
            if let Some(feature) = names.get(&feature) {
                apis.entry(api).or_default().push((feature.clone(), count));
            }
        }
        apis
    }
}
