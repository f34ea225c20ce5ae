//! Planning groups and their members.

use keyward_model::{AccountId, CallerId, Group, GroupId, GroupSpec, Located, Noun, Place};
use keyward_store::{Record, RecordId};
use serde_json::json;

use super::callers::noun_of;
use super::words::touched;
use super::{Outcome, Owner, Planner, Step, within};
use crate::ErrorKind;

impl Planner<'_> {
    pub(super) fn group(&mut self, entry: &Located<GroupSpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        if !self.first_of_its_name(Noun::Group, format!("{}/{}", spec.account, spec.name), place) {
            return;
        }
        let Some(account) = self.account_named(&spec.account, place, "account") else { return };
        let key = (account, spec.name.clone());
        let named = self.existing.groups.find(&key).copied();
        let found = match self.context.target {
            Some(RecordId::Group(target)) => Some(target),
            _ => named,
        };
        let before = found.and_then(|id| self.existing.groups.get(&id)).cloned();
        if !self.stays(Noun::Group, before.as_ref().map(|before| before.account), account, place) {
            return;
        }
        let taken = named.is_some() && (named != found || self.context.must_create);
        let renamed = before.as_ref().is_none_or(|before| before.name != spec.name);
        if (taken || renamed) && !self.check_name(Noun::Group, &spec.name, taken, place) {
            return;
        }
        let Some(members) = self.members(account, spec, place) else { return };
        let Some(id) = found.or_else(|| self.uuid().map(GroupId::from_uuid)) else { return };
        let after = Group {
            id,
            account,
            name: spec.name.clone(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            members,
        };
        let differs = before.as_ref() != Some(&after);
        self.put_group(&after, before.as_ref());
        let before_key = before.as_ref().map(|before| (account, before.name.clone()));
        self.existing.groups.insert(key, id, after, before_key.as_ref());
        let record = RecordId::Group(id);
        let report = touched(Noun::Group, Some(&spec.account), &spec.name, record);
        self.settle(record, place, report, Outcome::of(before.is_none(), differs));
    }

    /// Who belongs to it, in id order; `None` if one does not exist in the group's account, which is a problem.
    fn members(&mut self, account: AccountId, spec: &GroupSpec, place: &Place) -> Option<Vec<CallerId>> {
        let mut members = Vec::with_capacity(spec.members.len());
        let mut all_known = true;
        for (at, member) in spec.members.iter().enumerate() {
            match self.existing.callers.find(&(account, member.kind, member.name.clone())) {
                Some(id) => members.push(*id),
                None if self.is_described_wrongly(noun_of(member.kind), &spec.account, &member.name) => {
                    all_known = false;
                }
                None => {
                    all_known = false;
                    let noun = noun_of(member.kind).singular();
                    let text = format!(
                        "there is no {noun} `{}` in account `{}`: members belong to the group's own account",
                        member.name, spec.account
                    );
                    let place = within(place, &format!("members[{at}]"));
                    self.problem(ErrorKind::NotFound, "member_unknown", place, text);
                }
            }
        }
        members.sort_unstable();
        members.dedup();
        all_known.then_some(members)
    }

    /// Writes what differs: the group itself, and each membership for itself.
    fn put_group(&mut self, after: &Group, before: Option<&Group>) {
        let row = |group: &Group| Group { members: Vec::new(), ..group.clone() };
        if before.map(row) != Some(row(after)) {
            self.put(Record::Group(row(after)), before.map(row).map(Record::Group));
        }
        let stays = |group: Option<&Group>, member: &CallerId| {
            group.is_some_and(|group| group.members.binary_search(member).is_ok())
        };
        for member in after.members.iter().filter(|member| !stays(before, member)) {
            self.put(Record::Member(after.id, *member), None);
        }
        let gone = before.map(|before| before.members.as_slice()).unwrap_or_default();
        for member in gone.iter().filter(|member| !stays(Some(after), member)) {
            self.plan.steps.push(Step::delete_member(after.account, after.id, *member));
        }
    }
}

impl Step {
    pub(crate) fn delete_member(account: AccountId, group: GroupId, caller: CallerId) -> Self {
        Self::Delete {
            id: RecordId::Member(group, caller),
            owner: Owner::Itself,
            account: Some(account),
            before: json!({"group": group.to_string(), "caller": caller.to_string()}),
        }
    }
}
