//! Planning grants, and finding those that permit the same calls.

use keyward_model::{
    AccountId, Api, GatewayId, Grant, GrantId, GrantSpec, Grantee, GranteeSpec, Located, Noun, Operation,
    Place, StageSet, Timestamp, Validity, ValidityState,
};
use keyward_store::{Record, RecordId};

use super::callers::noun_of;
use super::words::{grant_label, touched};
use super::{Outcome, Planner, within};
use crate::ErrorKind;

/// What a grant is for: two grants that agree in all of it are the same grant to a world file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject {
    grantee: Grantee,
    api: keyward_model::ApiId,
    stages: StageSet,
    gateways: Option<Vec<GatewayId>>,
    operations: Option<Vec<Operation>>,
}

impl Subject {
    fn of(grant: &Grant) -> Self {
        Self {
            grantee: grant.grantee,
            api: grant.api,
            stages: grant.stages,
            gateways: grant.gateways.clone(),
            operations: grant.operations.clone(),
        }
    }
}

impl Planner<'_> {
    pub(super) fn grant(&mut self, entry: &Located<GrantSpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        let Some(account) = self.account_named(&spec.account, place, "account") else { return };
        let grantee = self.grantee(account, spec, place);
        let api = self.granted_api(account, spec, place);
        let (Some(grantee), Some(api)) = (grantee, api) else { return };
        let Some(subject) = self.subject(grantee, &api, spec, place) else { return };
        let found = match self.context.target {
            Some(RecordId::Grant(target)) => Some(target),
            _ => self.same_grant(&subject),
        };
        let label = grant_label(spec);
        let key = format!("{subject:?}");
        if !self.first_of_its_name(Noun::Grant, key, place) {
            return;
        }
        if let Some(found) = found
            && self.context.must_create
        {
            let text = format!("this grant exists already: {found}; change it, or give another");
            self.problem(ErrorKind::Conflict, "grant_exists", place.clone(), text);
            return;
        }
        let Some(id) = found.or_else(|| self.uuid().map(GrantId::from_uuid)) else { return };
        let before = self.existing.grants.get(&id).cloned();
        if before.as_ref().is_none_or(|before| before.validity != spec.validity) {
            self.check_longest(account, spec, place);
        }
        self.check_validity(spec, place);
        let after = Grant {
            id,
            account,
            grantee: subject.grantee,
            api: subject.api,
            stages: subject.stages,
            gateways: subject.gateways,
            operations: subject.operations,
            validity: spec.validity,
            revoked: before.as_ref().and_then(|before| before.revoked),
            description: spec.description.clone(),
            created: before.as_ref().map_or(self.context.now, |before| before.created),
        };
        let differs = before.as_ref() != Some(&after);
        if differs {
            self.put(Record::Grant(after.clone()), before.clone().map(Record::Grant));
            self.existing.add_grant(after);
        }
        let record = RecordId::Grant(id);
        let report = touched(Noun::Grant, Some(&spec.account), label, record);
        self.settle(record, place, report, Outcome::of(before.is_none(), differs));
    }

    /// The stored grant for the same that is not revoked: the lowest id, where there are several.
    fn same_grant(&self, subject: &Subject) -> Option<GrantId> {
        let same = |grant: &&Grant| grant.revoked.is_none() && Subject::of(grant) == *subject;
        self.existing.grants_for(subject.grantee).filter(same).map(|grant| grant.id).min()
    }

    fn grantee(&mut self, account: AccountId, spec: &GrantSpec, place: &Place) -> Option<Grantee> {
        let described = match &spec.to {
            GranteeSpec::Group(name) => Some((Noun::Group, &spec.account, name)),
            GranteeSpec::ById(_) => None,
            GranteeSpec::Named(kind, named) => Some((noun_of(*kind), &named.account, &named.name)),
        };
        let (found, text) = match &spec.to {
            GranteeSpec::Group(name) => (
                self.existing.groups.find(&(account, name.clone())).map(|id| Grantee::Group(*id)),
                format!(
                    "there is no group `{name}` in account `{}`: a grant is for groups of the API's account",
                    spec.account
                ),
            ),
            GranteeSpec::ById(id) => (
                self.existing.callers.get(id).map(|caller| Grantee::Caller(caller.id)),
                format!("there is no {} `{id}`: ids are exact", id.kind().noun()),
            ),
            GranteeSpec::Named(kind, named) => {
                let account = self.account_named(&named.account, place, "to.account")?;
                let key = (account, *kind, named.name.clone());
                (
                    self.existing.callers.find(&key).map(|id| Grantee::Caller(*id)),
                    format!(
                        "there is no {} `{}` in account `{}`: describe it under `{}`, or name another",
                        kind.noun(),
                        named.name,
                        named.account,
                        noun_of(*kind).plural()
                    ),
                )
            }
        };
        let wrongly =
            described.is_some_and(|(noun, account, name)| self.is_described_wrongly(noun, account, name));
        if found.is_none() && !wrongly {
            self.problem(ErrorKind::NotFound, "grantee_unknown", within(place, "to"), text);
        }
        found
    }

    fn granted_api(&mut self, account: AccountId, spec: &GrantSpec, place: &Place) -> Option<Api> {
        let found = self.existing.apis.find(&(account, spec.api.clone()));
        let found = found.and_then(|id| self.existing.apis.get(id)).cloned();
        if found.is_none() && !self.is_described_wrongly(Noun::Api, &spec.account, &spec.api) {
            let text = format!(
                "there is no API `{}` in account `{}`: only an API's own account gives grants on it",
                spec.api, spec.account
            );
            self.problem(ErrorKind::NotFound, "api_unknown", within(place, "api"), text);
        }
        found
    }

    fn subject(&mut self, grantee: Grantee, api: &Api, spec: &GrantSpec, place: &Place) -> Option<Subject> {
        let problems = self.problems.len();
        if spec.stages.bits() == 0 {
            self.invalid("stages_empty", within(place, "stages"), "a grant is for at least one stage");
        }
        let unpublished: Vec<String> = spec
            .stages
            .iter()
            .filter(|stage| !api.stages.contains_key(stage))
            .map(|s| s.to_string())
            .collect();
        if spec.stages != StageSet::ALL && !unpublished.is_empty() {
            let text = format!("the API is not published on {} yet", unpublished.join(", "));
            self.warn(Noun::Grant, "stage_not_published", within(place, "stages"), text);
        }
        let gateways = match &spec.gateways {
            None => None,
            Some(names) => {
                let mut ids = self.gateways_named(names, place)?;
                self.check_published(api, &ids, spec, place);
                ids.sort_unstable();
                ids.dedup();
                Some(ids)
            }
        };
        let operations = spec.operations.as_ref().map(|operations| {
            self.check_operations(api, operations, place);
            let mut operations = operations.clone();
            operations.sort();
            operations.dedup();
            operations
        });
        (self.problems.len() == problems).then_some(Subject {
            grantee,
            api: api.id,
            stages: spec.stages,
            gateways,
            operations,
        })
    }

    /// A grant for a gateway where the API is not published would look as if it permitted something.
    fn check_published(&mut self, api: &Api, gateways: &[GatewayId], spec: &GrantSpec, place: &Place) {
        if gateways.is_empty() {
            let text = "a grant is for at least one gateway; leave `gateways` out for every one";
            self.invalid("gateways_empty", within(place, "gateways"), text);
        }
        let name = |id: &GatewayId| {
            self.existing
                .gateways
                .get(id)
                .map_or_else(|| id.to_string(), |gateway| gateway.spec.name.to_string())
        };
        let missing: Vec<String> =
            gateways.iter().filter(|id| !api.gateways.contains(id)).map(name).collect();
        if !missing.is_empty() {
            let published: Vec<String> = api.gateways.iter().map(name).collect();
            let text = format!(
                "API `{}` is not published to {}, only to [{}]: publish it there first",
                spec.api,
                missing.join(", "),
                published.join(", ")
            );
            self.problem(ErrorKind::Conflict, "gateway_not_published", within(place, "gateways"), text);
        }
    }

    fn check_operations(&mut self, api: &Api, operations: &[Operation], place: &Place) {
        if operations.is_empty() {
            let text = "a grant is for at least one operation; leave `operations` out for all of them";
            self.invalid("operations_empty", within(place, "operations"), text);
        }
        let of_api = &api.settings.operations;
        for (at, operation) in operations.iter().enumerate() {
            if !of_api.is_empty() && !of_api.iter().any(|theirs| is_within(operation, theirs)) {
                let known: Vec<String> = of_api.iter().map(ToString::to_string).collect();
                let text = format!(
                    "`{operation}` is not an operation of API `{}`, nor within one: it has {}",
                    api.name,
                    known.join(", ")
                );
                self.invalid("operation_unknown", within(place, &format!("operations[{at}]")), text);
            }
        }
    }

    /// What was given before its account set a bound stays.
    fn check_longest(&mut self, account: AccountId, spec: &GrantSpec, place: &Place) {
        let max_s = self.existing.accounts.get(&account).and_then(|account| account.grant_validity_max_s);
        if let Some(max_s) = max_s
            && let Err(text) = within_longest(spec.validity, max_s, self.context.now)
        {
            self.invalid("validity_too_long", within(place, "valid_until"), text);
        }
    }

    fn check_validity(&mut self, spec: &GrantSpec, place: &Place) {
        if spec.validity.state_at(self.context.now) == ValidityState::Expired {
            let text = "this grant has ended already, so it permits nothing";
            self.warn(Noun::Grant, "already_ended", within(place, "valid_until"), text);
        }
    }
}

/// Does a validity end soon enough after it begins (or after now, where it has begun)?
///
/// # Errors
/// What to do instead, for people.
pub(crate) fn within_longest(validity: Validity, max_s: u64, now: Timestamp) -> Result<(), String> {
    let from = validity.from.map_or(now, |from| from.max(now));
    let max_ms = i64::try_from(max_s).unwrap_or(i64::MAX).saturating_mul(1_000);
    let latest = Timestamp::from_millis(from.as_millis().saturating_add(max_ms));
    match validity.until {
        Some(until) if until <= latest => Ok(()),
        _ => Err(format!(
            "the account's grants are valid for {max_s} seconds at most: end this one at {latest} or before"
        )),
    }
}

/// Is everything that `ours` matches also matched by `theirs`?
fn is_within(ours: &Operation, theirs: &Operation) -> bool {
    let method = theirs.method.is_none() || ours.method == theirs.method;
    method && ours.path.is_within(&theirs.path)
}

/// Could some call be permitted by both operations?
fn overlap(one: &Operation, other: &Operation) -> bool {
    use keyward_model::Segment::{Literal, Parameter};
    let method = match (&one.method, &other.method) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    let (one, other) = (one.path.segments(), other.path.segments());
    let path = one.len() == other.len()
        && one.iter().zip(other).all(|pair| match pair {
            (Literal(one), Literal(other)) => one == other,
            (Parameter(_), _) | (_, Parameter(_)) => true,
        });
    method && path
}

/// Those of `others` that still permit, now or later, some call that `gone` permitted. The callers are for the one who asks to
/// have narrowed down: `others` are grants for the same caller, or for groups it is in (or the other way round).
pub(crate) fn still_permitting<'g>(
    gone: &Grant,
    others: impl Iterator<Item = &'g Grant>,
    now: Timestamp,
) -> Vec<GrantId> {
    let lists_meet = |one: &Option<Vec<GatewayId>>, other: &Option<Vec<GatewayId>>| match (one, other) {
        (Some(one), Some(other)) => one.iter().any(|gateway| other.contains(gateway)),
        _ => true,
    };
    let operations_meet = |one: &Option<Vec<Operation>>, other: &Option<Vec<Operation>>| match (one, other) {
        (Some(one), Some(other)) => one.iter().any(|ours| other.iter().any(|theirs| overlap(ours, theirs))),
        _ => true,
    };
    let mut ids: Vec<GrantId> = others
        .filter(|other| {
            other.id != gone.id
                && other.api == gone.api
                && other.revoked.is_none()
                && other.validity.state_at(now) != ValidityState::Expired
                && other.stages.bits() & gone.stages.bits() != 0
                && lists_meet(&other.gateways, &gone.gateways)
                && operations_meet(&other.operations, &gone.operations)
        })
        .map(|other| other.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
