//! Planning accounts.

use keyward_model::{Account, AccountId, AccountSpec, Located, Noun};
use keyward_store::{Record, RecordId};

use super::words::touched;
use super::{Outcome, Planner, within};

impl Planner<'_> {
    pub(super) fn account(&mut self, entry: &Located<AccountSpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        if !self.first_of_its_name(Noun::Account, spec.name.to_string(), place) {
            return;
        }
        let found = self.existing.accounts.find(&spec.name).copied();
        if let Some(RecordId::Account(target)) = self.context.target
            && found != Some(target)
        {
            let text = "an account keeps its name, by which all that it owns refers to it";
            self.invalid("account_renamed", within(place, "name"), text);
            return;
        }
        let is_new = found.is_none();
        let may = match found {
            None => self.check_name(Noun::Account, &spec.name, false, place),
            Some(_) if self.context.must_create => self.check_name(Noun::Account, &spec.name, true, place),
            Some(_) => true,
        };
        let id = if may { found.or_else(|| self.uuid().map(AccountId::from_uuid)) } else { None };
        let Some(id) = id else { return };
        let after = Account {
            id,
            name: spec.name.clone(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            reveal: spec.reveal,
            grant_validity_max_s: spec.grant_validity_max_s,
        };
        let before = self.existing.accounts.get(&id).cloned();
        let differs = before.as_ref() != Some(&after);
        if differs {
            self.put(Record::Account(after.clone()), before.map(Record::Account));
            self.existing.add_account(after);
        }
        let record = RecordId::Account(id);
        self.settle(
            record,
            place,
            touched(Noun::Account, None, &spec.name, record),
            Outcome::of(is_new, differs),
        );
    }
}
