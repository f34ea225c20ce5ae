//! What has to be done so that things are as a world says: a pure function of what there is and what is wanted.
//!
//! Every problem is collected with its place; nothing is done unless there is none. Creating or changing one object is a world of
//! one entry, so there is one set of rules for every way in.

mod accounts;
mod apis;
mod applications;
mod callers;
mod consumers;
mod credentials;
mod describe;
mod existing;
mod gateways;
mod grants;
mod groups;
mod modules;
mod plugins;
mod prune;
mod removal;
mod secrets;
mod services;
mod words;

use std::collections::HashMap;
use std::net::SocketAddr;

use keyward_model::{AccountId, CallerId, DigestKey, Grantee, Located, Name, Noun, Place, Timestamp, World};
use keyward_store::{Record, RecordId};
use serde_json::Value;
use uuid::Uuid;

use crate::{Actor, ErrorKind, Minted, Minter, Problem, Touched, Warning};

use callers::{Want, What};
pub(crate) use describe::{account_of, describe, describe_credential};
pub(crate) use existing::{Existing, Known, Referrer};
pub(crate) use grants::{still_permitting, within_longest};
pub(crate) use plugins::may_bind_to_gateways;
pub(crate) use prune::accounts_named;
pub(crate) use removal::{Removal, removal};
pub(crate) use secrets::overlap_end;
use words::looks_like_an_id;
pub(crate) use words::plugin_label;

/// What a plan depends on besides the objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanContext<'c> {
    pub(crate) now: Timestamp,
    pub(crate) actor: &'c Actor,
    pub(crate) digest_key: &'c DigestKey,
    /// Refused as endpoints.
    pub(crate) own_listeners: &'c [SocketAddr],
    /// Remove what the world does not name.
    pub(crate) prune: bool,
    /// What the world names must not exist yet.
    pub(crate) must_create: bool,
    /// The world's one entry is about this object, whatever it is called.
    pub(crate) target: Option<RecordId>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write this object, which was so before (without secrets, for the audit).
    Put { record: Box<Record>, before: Option<Value> },
    /// Delete this object, which was so.
    Delete { id: RecordId, owner: Owner, account: Option<AccountId>, before: Value },
}

/// Whose an object is that goes, as far as the Snapshot must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A credential of this caller.
    Caller(CallerId),
    /// A grant for this grantee.
    Grantee(Grantee),
    /// Anything else: its id says it all.
    Itself,
}

/// What has to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) created: Vec<Touched>,
    pub(crate) changed: Vec<Touched>,
    pub(crate) unchanged: Vec<Touched>,
    pub(crate) removed: Vec<Touched>,
    pub(crate) minted: Vec<Minted>,
    pub(crate) warnings: Vec<Warning>,
    /// The objects of the world's entries, noun by noun in file order, and where they stand.
    pub(crate) objects: Vec<(RecordId, Place)>,
}

/// Plans what makes everything as `world` says.
///
/// # Errors
/// Everything that is wrong, in the order of the document; without one, in the order of dependence of the nouns.
pub(crate) fn plan(
    existing: Existing,
    world: &World,
    context: &PlanContext<'_>,
    minter: &mut Minter,
) -> Result<Plan, Vec<Problem>> {
    let mut planner = Planner {
        existing,
        context,
        minter,
        plan: Plan::default(),
        problems: Vec::new(),
        seen: HashMap::new(),
    };
    world.accounts.iter().for_each(|entry| planner.account(entry));
    world.gateways.iter().for_each(|entry| planner.gateway(entry));
    world.secrets.iter().for_each(|entry| planner.secret(entry));
    world.services.iter().for_each(|entry| planner.service(entry));
    world.modules.iter().for_each(|entry| planner.module(entry));
    world.apis.iter().for_each(|entry| planner.api(entry));
    planner.callers(world);
    world.groups.iter().for_each(|entry| planner.group(entry));
    world.grants.iter().for_each(|entry| planner.grant(entry));
    world.plugins.iter().chain(&world.limits).for_each(|entry| planner.plugin(entry));
    if context.prune {
        planner.prune_rest(world);
    }
    if planner.problems.is_empty() {
        planner.plan.steps.sort_by_key(Step::rank);
        Ok(planner.plan)
    } else {
        // As a reader meets them; those of one entry in the order in which they were found.
        planner.problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
        Err(planner.problems)
    }
}

impl Step {
    /// Credentials go first, so that what is written may take their values; then what is written, in order of dependence;
    /// then the rest goes, those that refer to others before those.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Put { record, .. } => match **record {
                Record::Account(_) => 1,
                Record::Gateway(_) => 2,
                Record::Secret(_) => 3,
                Record::Service(_) => 4,
                Record::Api(_) | Record::Module(_) => 5,
                Record::Caller(_) => 6,
                Record::Credential(_) => 7,
                Record::Group(_) => 8,
                Record::Member(..) => 9,
                Record::Grant(_) | Record::Plugin(_) | Record::Operator(_) | Record::OperatorToken(_) => 10,
            },
            Self::Delete { id, .. } => match id {
                RecordId::Credential(_) => 0,
                RecordId::Grant(_)
                | RecordId::Plugin(_)
                | RecordId::Operator(_)
                | RecordId::OperatorToken(_) => 11,
                RecordId::Member(..) => 12,
                RecordId::Caller(_) => 13,
                RecordId::Group(_) => 14,
                RecordId::Api(_) | RecordId::Module(_) => 15,
                RecordId::Service(_) => 16,
                RecordId::Secret(_) => 17,
                RecordId::Gateway(_) => 18,
                RecordId::Account(_) => 19,
            },
        }
    }
}

/// A plan in the making. `existing` is kept as it will be, so that later entries find earlier ones.
struct Planner<'p> {
    existing: Existing,
    context: &'p PlanContext<'p>,
    minter: &'p mut Minter,
    plan: Plan,
    problems: Vec<Problem>,
    /// What the world has named so far, to find what it names twice.
    seen: HashMap<(Noun, String), Place>,
}

/// What came of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Created,
    Changed,
    Unchanged,
}

impl Outcome {
    fn of(is_new: bool, differs: bool) -> Self {
        match (is_new, differs) {
            (true, _) => Self::Created,
            (false, true) => Self::Changed,
            (false, false) => Self::Unchanged,
        }
    }
}

impl Planner<'_> {
    fn problem(&mut self, kind: ErrorKind, code: &'static str, place: Place, text: impl Into<String>) {
        self.problems.push(Problem::new(kind, code, place, text));
    }

    fn invalid(&mut self, code: &'static str, place: Place, text: impl Into<String>) {
        self.problem(ErrorKind::Invalid, code, place, text);
    }

    fn warn(&mut self, noun: Noun, code: &'static str, place: Place, text: impl Into<String>) {
        self.plan.warnings.push(Warning { code, place, noun, text: text.into() });
    }

    /// A new UUID; without one the entry cannot be planned, and the problem says why.
    fn uuid(&mut self) -> Option<Uuid> {
        let drawn = self.minter.uuid(self.context.now);
        self.drawn(drawn)
    }

    fn drawn<T>(&mut self, drawn: Result<T, crate::RandomFailed>) -> Option<T> {
        match drawn {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(
                    ErrorKind::StoreUnavailable,
                    "random_failed",
                    Place::default(),
                    error.to_string(),
                );
                None
            }
        }
    }

    /// The account of this name, which stands at `field` of the entry.
    fn account_named(&mut self, name: &Name, place: &Place, field: &str) -> Option<AccountId> {
        let found = self.existing.accounts.find(name).copied();
        if found.is_none() {
            let text = format!("there is no account `{name}`: describe it under `accounts`, or name another");
            self.problem(ErrorKind::NotFound, "account_unknown", within(place, field), text);
        }
        found
    }

    /// Is this the first entry of this name? If not, that is a problem.
    fn first_of_its_name(&mut self, noun: Noun, key: String, place: &Place) -> bool {
        let key = (noun, key);
        let Some(first) = self.seen.get(&key) else {
            self.seen.insert(key, place.clone());
            return true;
        };
        let text = format!("this {} stands here twice; first at `{}`", noun.singular(), first.path);
        self.invalid("duplicate", place.clone(), text);
        false
    }

    /// Does the file describe it, with a mistake that is told at its own place? Then it is not missing.
    fn is_described_wrongly(&self, noun: Noun, account: &Name, name: &Name) -> bool {
        !self.problems.is_empty() && self.seen.contains_key(&(noun, format!("{account}/{name}")))
    }

    /// May what is new have this name, or what exists take it?
    fn check_name(&mut self, noun: Noun, name: &Name, taken: bool, place: &Place) -> bool {
        if taken {
            let text = format!("the {} `{name}` exists already: choose another name", noun.singular());
            self.problem(ErrorKind::Conflict, "name_taken", within(place, "name"), text);
            return false;
        }
        if looks_like_an_id(name.as_str()) {
            let text = format!("`{name}` has the form of an id, and so cannot be a name");
            self.invalid("name_like_id", within(place, "name"), text);
            return false;
        }
        true
    }

    /// Objects never move to another account: who may do what with them follows from it.
    fn stays(&mut self, noun: Noun, before: Option<AccountId>, now: AccountId, place: &Place) -> bool {
        let stays = before.is_none_or(|before| before == now);
        if !stays {
            let text = format!("this {} stays in its account: make another one there", noun.singular());
            self.invalid("account_changed", within(place, "account"), text);
        }
        stays
    }

    fn put(&mut self, record: Record, before: Option<Record>) {
        let before = before.as_ref().map(describe);
        self.plan.steps.push(Step::Put { record: Box::new(record), before });
    }

    fn settle(&mut self, id: RecordId, place: &Place, touched: Touched, outcome: Outcome) {
        self.plan.objects.push((id, place.clone()));
        match outcome {
            Outcome::Created => self.plan.created.push(touched),
            Outcome::Changed => self.plan.changed.push(touched),
            Outcome::Unchanged => self.plan.unchanged.push(touched),
        }
    }
}

/// The place of a field within an entry. A spec that stands alone has an empty path.
fn within(place: &Place, field: &str) -> Place {
    let path = match (place.path.as_str(), field) {
        (path, "") => path.to_owned(),
        ("", field) => field.to_owned(),
        (path, field) => format!("{path}.{field}"),
    };
    Place { line: place.line, column: place.column, path }
}

/// Wraps a spec that stands in no document.
pub(crate) fn alone<T>(value: T) -> Located<T> {
    Located { place: Place::default(), value }
}
