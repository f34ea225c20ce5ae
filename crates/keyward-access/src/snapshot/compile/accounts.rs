//! Accounts, with what is counted of their callers.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_model::AccountId;

use super::callers::ChangedCaller;
use super::staged::Staged;
use super::{Work, in_use, invalid};
use crate::snapshot::entry::{AccountEntry, CallerEntry, ProofEntry};
use crate::snapshot::shards::Change;
use crate::snapshot::update::{ObjectId, Problem};
use crate::snapshot::usage::change_counted;

impl Work<'_> {
    /// Notes which accounts there will be.
    pub(super) fn take_accounts(&mut self, staged: &Staged) {
        let names =
            staged.accounts.iter().map(|(&id, account)| (id, account.as_ref().map(|a| a.name.clone())));
        self.accounts = names.collect();
    }

    /// Compiles the accounts that change, or whose callers do.
    pub(super) fn compile_accounts(&mut self, staged: Staged, changed: &[ChangedCaller]) {
        let mut counts: BTreeMap<AccountId, Counts> = BTreeMap::new();
        for caller in changed {
            let sides = [(caller.before.as_deref(), -1), (caller.after.as_deref(), 1)];
            for (entry, by) in sides.into_iter().filter_map(|(entry, by)| Some((entry?, by))) {
                counts.entry(entry.account).or_default().add(entry, by);
            }
        }
        let mut accounts = staged.accounts;
        for &id in counts.keys() {
            accounts.entry(id).or_insert_with(|| self.base.account(id).cloned());
        }
        let mut changes = Vec::new();
        for (id, account) in accounts {
            let before = self.base.account_entry(id);
            let mut callers = before.map_or(0, |entry| entry.callers);
            let mut claim_names = before.map(|entry| entry.claim_names.clone()).unwrap_or_default();
            if let Some(counts) = counts.get(&id) {
                callers = callers.saturating_add_signed(counts.callers);
                counts.add_to(&mut claim_names);
            }
            let value = match account {
                Some(account) => Some(Arc::new(AccountEntry { account, callers, claim_names })),
                None => {
                    self.check_unused(id, callers);
                    None
                }
            };
            changes.push(Change { hash: self.base.hashes.uuid(id.uuid()), id, value });
        }
        self.next.accounts = self.base.accounts.with(changes);
    }

    fn check_unused(&mut self, id: AccountId, callers: usize) {
        let object = ObjectId::Account(id);
        let mut problems: Vec<Problem> = Vec::new();
        if callers > 0 {
            problems.push(invalid(object, format!("it still has {callers} callers: remove those first")));
        }
        let secrets = self.next.secrets().filter(|secret| secret.account() == id);
        problems.extend(secrets.map(|secret| in_use(object, ObjectId::Secret(secret.id()))));
        let services = self.next.services().filter(|service| service.account == id);
        problems.extend(services.map(|service| in_use(object, ObjectId::Service(service.id))));
        let apis = self.next.apis().filter(|entry| entry.api.account == id);
        problems.extend(apis.map(|entry| in_use(object, ObjectId::Api(entry.api.id))));
        let modules = self.next.modules().filter(|module| module.account == id);
        problems.extend(modules.map(|module| in_use(object, ObjectId::Module(module.id))));
        let groups = self.next.groups.iter().filter(|group| group.account == id);
        problems.extend(groups.map(|group| in_use(object, ObjectId::Group(group.id))));
        self.problems.extend(problems);
    }
}

/// How much the counts of an account change.
#[derive(Default)]
struct Counts {
    callers: isize,
    claim_names: BTreeMap<Box<str>, isize>,
}

impl Counts {
    fn add(&mut self, caller: &CallerEntry, by: isize) {
        self.callers += by;
        for credential in &*caller.credentials {
            if let ProofEntry::Jwt(jwt) = &credential.proof {
                *self.claim_names.entry(jwt.identity.name.clone()).or_default() += by;
            }
        }
    }

    fn add_to(&self, names: &mut Vec<(Box<str>, usize)>) {
        for (name, &by) in self.claim_names.iter().filter(|(_, by)| **by != 0) {
            let at = names.iter().position(|(other, _)| other == name).unwrap_or(names.len());
            change_counted(names, at, || (name.clone(), 0), |(_, count)| count, by);
        }
    }
}
