//! From rows to a Snapshot, and from a Snapshot to the next.
//!
//! There is one way for both: updates are staged, checked against what will be, and what they concern is compiled anew.
//! A load is the same on a Snapshot of nothing, but leaves out what is wrong instead of refusing everything.

mod accounts;
mod apis;
mod callers;
mod credentials;
mod grants;
mod groups;
mod hosts;
mod modules;
mod plugins;
mod secrets;
mod staged;
mod usage;

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use keyward_model::{AccountId, Name, Revision};
use siphasher::sip::SipHasher13;

use self::staged::Staged;
use super::Snapshot;
use super::update::{CompileError, ObjectId, Problem, ProblemKind, SnapshotUpdate};

/// A map that is the same in every process: this crate has no randomness. Its keys are not chosen by requests.
type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<SipHasher13>>;

/// Compiles updates, or tells everything that is wrong with them.
pub(super) fn apply(
    base: &Snapshot,
    revision: Revision,
    updates: &[SnapshotUpdate],
) -> Result<Snapshot, CompileError> {
    let (mut next, problems) = compile(base, updates.iter().cloned(), Manner::AllOrNothing);
    if problems.is_empty() {
        next.revision = revision;
        Ok(next)
    } else {
        Err(CompileError { problems })
    }
}

/// Compiles rows, and tells what was left out.
pub(super) fn load(
    base: &Snapshot,
    rows: impl IntoIterator<Item = SnapshotUpdate>,
) -> (Snapshot, Vec<Problem>) {
    compile(base, rows, Manner::WhatIsSound)
}

/// What becomes of the rest where something is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It does not matter: everything is refused.
    AllOrNothing,
    /// It is compiled.
    WhatIsSound,
}

fn compile(
    base: &Snapshot,
    updates: impl IntoIterator<Item = SnapshotUpdate>,
    manner: Manner,
) -> (Snapshot, Vec<Problem>) {
    let mut staged = Staged::default();
    updates.into_iter().for_each(|update| staged.put(update));
    let mut work =
        Work { base, next: base.clone(), manner, problems: Vec::new(), accounts: IdMap::default() };
    work.take_accounts(&staged);
    work.compile_gateways(&staged);
    let concerned = work.compile_secrets(&staged);
    let services = work.compile_services(&staged, &concerned);
    let modules = work.compile_modules(&staged);
    work.stage_runners(&mut staged, &modules);
    let plugins = work.compile_plugins(&mut staged, &concerned);
    work.compile_apis(&staged);
    work.check_removals(&staged);
    work.check_bound(&staged);
    let callers = work.read_callers(&mut staged, &concerned);
    let groups = work.stage_groups(&staged, &callers);
    let (grants_of_callers, grants_of_groups) = work.check_grants(&mut staged, &callers, &groups);
    let groups = work.compile_groups(groups, grants_of_groups);
    let changed = work.compile_callers(callers, &groups, grants_of_callers);
    work.count_references(&changed, &services, &plugins);
    work.count_usage(&staged, &changed, &groups);
    work.compile_accounts(staged, &changed);
    (work.next, work.problems)
}

/// A compilation under way.
struct Work<'b> {
    base: &'b Snapshot,
    next: Snapshot,
    manner: Manner,
    problems: Vec<Problem>,
    /// Accounts that change: their names, or that they go.
    accounts: IdMap<AccountId, Option<Name>>,
}

impl Work<'_> {
    fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The name of an account, if it will exist.
    fn account_name(&self, id: AccountId) -> Option<&Name> {
        match self.accounts.get(&id) {
            Some(staged) => staged.as_ref(),
            None => self.base.account(id).map(|account| &account.name),
        }
    }

    fn check_account(&self, object: ObjectId, id: AccountId) -> Result<(), Problem> {
        match self.account_name(id) {
            Some(_) => Ok(()),
            None => Err(unknown(object, ObjectId::Account(id))),
        }
    }
}

/// `object` refers to what does not exist.
fn unknown(object: ObjectId, other: ObjectId) -> Problem {
    let text = format!("`{other}` does not exist: name one that does");
    Problem { object, other: Some(other), kind: ProblemKind::UnknownReference, text }
}

/// `object` refers to what is another account's.
fn foreign(object: ObjectId, other: ObjectId) -> Problem {
    let text = format!("`{other}` belongs to another account: name one of the same account");
    Problem { object, other: Some(other), kind: ProblemKind::UnknownReference, text }
}

/// `object` is still referred to.
fn in_use(object: ObjectId, other: ObjectId) -> Problem {
    let text = format!("`{other}` still needs it: remove or change that first");
    Problem { object, other: Some(other), kind: ProblemKind::InUse, text }
}

fn invalid(object: ObjectId, text: impl Into<String>) -> Problem {
    Problem { object, other: None, kind: ProblemKind::Invalid, text: text.into() }
}
