//! Grants: what can be done with them.

use keyward_model::{
    AccountId, Action, ApiId, CallerId, CallerKind, Grant, GrantId, GrantSpec, Grantee, GroupId, Located,
    Name, Noun, Place, Timestamp, Validity, ValidityState, World,
};
use keyward_store::{After, GrantState, GrantsOf, Order, Record, RecordId, Stored};

use crate::apis::ApiObject;
use crate::applications::ApplicationObject;
use crate::consumers::ConsumerObject;
use crate::gather::Gather;
use crate::groups::GroupObject;
use crate::job::Job;
use crate::object::{self, NO_WARNINGS, Object as _, cut, list_page};
use crate::plan::{Step, alone, describe, still_permitting, within_longest};
use crate::{Actor, Control, ControlError, ErrorKind, ObjectRef, Page, Problem, Warning, Written};

/// A grant, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantView {
    /// Its id.
    pub id: GrantId,
    /// The API's account, which gave it.
    pub account: AccountId,
    /// The API.
    pub api: ApiId,
    /// Who may call.
    pub grantee: Grantee,
    /// Who gave it, as the audit names actors; empty where that was before this was kept.
    pub granted_by: String,
    /// As it would stand in a world file.
    pub spec: GrantSpec,
    /// Where the moment of asking lies in its validity.
    pub state: ValidityState,
    /// When it was revoked. Revoked is final.
    pub revoked: Option<Timestamp>,
    /// When a request last passed by it.
    pub last_used: Option<Timestamp>,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was given.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
}

/// Which grants a list has, and which page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// Only those on this API.
    pub api: Option<ObjectRef<ApiId>>,
    /// Only those for this caller itself, or for a group it is in. By name only where one kind of caller has it.
    pub caller: Option<ObjectRef<CallerId>>,
    /// Only those for this group itself.
    pub group: Option<ObjectRef<GroupId>>,
    /// Only those that this account gave.
    pub account: Option<Name>,
    /// Only those in this state now.
    pub state: Option<GrantState>,
    /// Also those that were revoked.
    pub revoked: bool,
    /// What [`Page::next`] said; absent: from the start.
    pub after: Option<String>,
    /// Most items in a page, 1 to 1000; absent: 100.
    pub limit: Option<u32>,
}

/// The answer to a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The grant, revoked.
    pub grant: GrantView,
    /// Grants that still permit some of the same calls, now or later: for the same caller or a group it is in, on the same API,
    /// with a stage, gateway and operation in common. At most 100; a warning says how many more there are.
    pub still_permitting: Vec<GrantView>,
}

/// Most grants that are given at once.
const MANY_MAX: usize = 100;

/// Most grants that the answer to a revocation names.
const STILL_PERMITTING_MAX: usize = 100;

/// What can be done with grants.
#[derive(Clone, Copy, Debug)]
pub struct Grants<'c> {
    pub(crate) control: &'c Control,
}

impl Grants<'_> {
    /// Gives one. The same grant (same grantee, API, stages, gateways and operations) that is not revoked is a conflict.
    ///
    /// # Errors
    /// What it names does not exist, the API is not published where it should hold, or an operation is not the API's.
    pub async fn create(&self, actor: &Actor, spec: GrantSpec) -> Result<Written<GrantView>, ControlError> {
        actor.may("grant", Action::Create)?;
        let work = self.control.write(actor, "grant.create", move |job| {
            Box::pin(async move {
                let world = World { grants: vec![alone(spec)], ..World::default() };
                let mut gather = job.gather();
                gather.world(&world, false).await?;
                let existing = gather.existing;
                let mut plan = job.plan(existing, &world, false, true, None)?;
                let id = plan.objects.iter().find_map(|(id, _)| match id {
                    RecordId::Grant(id) => Some(*id),
                    _ => None,
                });
                job.execute(&mut plan).await?;
                let id = id.ok_or_else(|| ControlError::not_found("grant", "any more"))?;
                Ok((now(job, id).await?, plan.warnings))
            })
        });
        let ((object, warnings), revision) = work.await?;
        Ok(Written { revision, object, warnings })
    }

    /// Gives many at once: all of them or none. One that exists already (same grantee, API, stages, gateways and operations) gets
    /// this validity and description.
    ///
    /// # Errors
    /// As [`Grants::create`], with the place of each that is wrong; more than 100 at once.
    pub async fn create_many(
        &self,
        actor: &Actor,
        specs: Vec<GrantSpec>,
    ) -> Result<Written<Vec<GrantView>>, ControlError> {
        actor.may("grant", Action::Create)?;
        if !(1..=MANY_MAX).contains(&specs.len()) {
            let text = format!("1 to {MANY_MAX} grants are given at once, not {}", specs.len());
            return Err(Problem::invalid("grants_count", "", text).into());
        }
        let work = self.control.write(actor, "grant.create", move |job| {
            Box::pin(async move {
                let grants = specs.into_iter().enumerate().map(|(at, spec)| placed(at, spec));
                let world = World { grants: grants.collect(), ..World::default() };
                let mut gather = job.gather();
                gather.world(&world, false).await?;
                let existing = gather.existing;
                let mut plan = job.plan(existing, &world, false, false, None)?;
                job.execute(&mut plan).await?;
                let mut views = Vec::with_capacity(plan.objects.len());
                for (id, _) in &plan.objects {
                    if let RecordId::Grant(id) = id {
                        views.push(now(job, *id).await?);
                    }
                }
                Ok((views, plan.warnings))
            })
        });
        let ((object, warnings), revision) = work.await?;
        Ok(Written { revision, object, warnings })
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, id: GrantId) -> Result<GrantView, ControlError> {
        actor.may("grant", Action::Show)?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let found = stored(&mut gather, id).await?;
        view(&mut gather, &found, self.control.now()).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// What the filter names does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: GrantFilter) -> Result<Page<GrantView>, ControlError> {
        actor.may("grant", Action::List)?;
        let page = list_page::<GrantId>(filter.after.as_deref(), filter.limit, Order::default())?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let mut of = GrantsOf {
            revoked: filter.revoked,
            state: filter.state,
            seen_by: gather.seen_accounts(),
            ..GrantsOf::at(self.control.now())
        };
        if let Some(name) = &filter.account {
            let account = gather.account_named(name).await?;
            let unknown = || ControlError::not_found("account", format!("`{name}`"));
            of.account = Some(account.ok_or_else(unknown)?.id);
        }
        if let Some(group) = &filter.group {
            of.group = Some(object::find::<GroupObject>(&mut gather, group).await?.object.id);
        }
        if let Some(api) = &filter.api {
            of.api = Some(object::find::<ApiObject>(&mut gather, api).await?.object.id);
        }
        if let Some(caller) = &filter.caller {
            of.caller = Some(caller_id(&mut gather, caller).await?);
        }
        let mut found = gather.reads.list_grants(&of, &page).await?;
        let next = cut(&mut found, &page, |grant| After { name: String::new(), id: grant.id.to_string() });
        let items = views(&mut gather, &found, self.control.now()).await?;
        Ok(Page { items, next })
    }

    /// Changes validity or description.
    ///
    /// # Errors
    /// It does not exist, or is revoked.
    pub async fn change(
        &self,
        actor: &Actor,
        id: GrantId,
        validity: Option<Validity>,
        description: Option<String>,
    ) -> Result<Written<GrantView>, ControlError> {
        actor.may("grant", Action::Change)?;
        let work = self.control.write(actor, "grant.change", move |job| {
            Box::pin(async move {
                let before = stored(&mut job.gather(), id).await?.object;
                if before.revoked.is_some() {
                    let text = "a revoked grant stays as it is: give another one";
                    return Err(ControlError::new(ErrorKind::Conflict, "grant_revoked", text));
                }
                let mut after = before.clone();
                after.validity = validity.unwrap_or(after.validity);
                if after.validity != before.validity {
                    check_longest(job, &after).await?;
                }
                after.description = description.unwrap_or(after.description);
                put(job, before, after).await?;
                now(job, id).await
            })
        });
        let (object, revision) = work.await?;
        Ok(Written { revision, object, warnings: NO_WARNINGS })
    }

    /// Revokes it. Once this is answered, no request that starts later passes by it. Revoking twice changes nothing.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn revoke(&self, actor: &Actor, id: GrantId) -> Result<Written<Revoked>, ControlError> {
        self.end(actor, "grant.revoke", id, None).await
    }

    /// Gives up a grant that another account gave to this caller: the same as a revocation, by the caller's account.
    ///
    /// # Errors
    /// There is no such grant for this caller itself.
    pub async fn renounce(
        &self,
        actor: &Actor,
        caller: ObjectRef<CallerId>,
        id: GrantId,
    ) -> Result<Written<Revoked>, ControlError> {
        self.end(actor, "grant.renounce", id, Some(caller)).await
    }

    async fn end(
        &self,
        actor: &Actor,
        action: &'static str,
        id: GrantId,
        of: Option<ObjectRef<CallerId>>,
    ) -> Result<Written<Revoked>, ControlError> {
        actor.may("grant", Action::Revoke)?;
        let work = self.control.write(actor, action, move |job| {
            Box::pin(async move {
                let asking = job.actor().clone();
                let mut gather = job.gather();
                let before = stored(&mut gather, id).await?.object;
                // A grant is its giver's to end, or the caller's own account's.
                let mut account = before.account;
                if let Some(of) = of {
                    let caller = caller_id(&mut gather, &of).await?;
                    if before.grantee != Grantee::Caller(caller) {
                        return Err(ControlError::not_found("grant", format!("`{id}` for {of}")));
                    }
                    gather.callers(&[caller]).await?;
                    account = gather.existing.callers.get(&caller).map_or(account, |caller| caller.account);
                }
                asking.may_in(Some(account), "grant", Action::Revoke)?;
                let revoked = before.revoked.or(Some(job.now()));
                let after = Grant { revoked, ..before.clone() };
                if let Some(step) = change(before, after) {
                    job.unchecked_step(step).await?;
                }
                now(job, id).await
            })
        });
        let (grant, revision) = work.await?;
        // Asked for after the revocation is in effect: it must neither wait for this nor fail with it.
        let (still_permitting, warnings) = match self.still_permitting(actor, id).await {
            Ok((views, 0)) => (views, NO_WARNINGS),
            Ok((views, more)) => {
                let text = format!("{more} more grants permit some of the same calls: list the API's grants");
                (views, warning("more_still_permitting", text))
            }
            Err(error) => {
                let text = format!(
                    "it is revoked, but what else permits the same calls cannot be told now: {error}"
                );
                (Vec::new(), warning("still_permitting_unknown", text))
            }
        };
        Ok(Written { revision, object: Revoked { grant, still_permitting }, warnings })
    }

    /// The first of them, and how many more there are.
    async fn still_permitting(
        &self,
        actor: &Actor,
        id: GrantId,
    ) -> Result<(Vec<GrantView>, usize), ControlError> {
        let now = self.control.now();
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let gone = stored(&mut gather, id).await?.object;
        let callers = match gone.grantee {
            Grantee::Caller(caller) => vec![caller],
            Grantee::Group(group) => {
                gather.reads.members_of(&[group]).await?.remove(&group).unwrap_or_default()
            }
        };
        let mut groups: Vec<_> =
            gather.reads.memberships_of(&callers).await?.into_iter().map(|(group, _)| group).collect();
        if let Grantee::Group(group) = gone.grantee {
            groups.push(group);
        }
        groups.sort_unstable();
        groups.dedup();
        let mut others = gather.reads.grants_for_callers(&callers).await?;
        others.extend(gather.reads.grants_for_groups(&groups).await?);
        let ids = still_permitting(&gone, others.iter().map(|grant| &grant.object), now);
        others.retain(|grant| ids.binary_search(&grant.object.id).is_ok());
        others.sort_by_key(|grant| grant.object.id);
        others.dedup_by_key(|grant| grant.object.id);
        let more = others.len().saturating_sub(STILL_PERMITTING_MAX);
        others.truncate(STILL_PERMITTING_MAX);
        Ok((views(&mut gather, &others, now).await?, more))
    }
}

/// A grant of several, at its place among them.
fn placed(at: usize, spec: GrantSpec) -> Located<GrantSpec> {
    Located { place: Place { path: format!("[{at}]"), ..Place::default() }, value: spec }
}

fn warning(code: &'static str, text: String) -> Vec<Warning> {
    vec![Warning { code, place: Place::default(), noun: Noun::Grant, text }]
}

async fn put(job: &mut Job<'_>, before: Grant, after: Grant) -> Result<(), ControlError> {
    match change(before, after) {
        Some(step) => job.step(step).await,
        None => Ok(()),
    }
}

/// What has to be done, if anything.
fn change(before: Grant, after: Grant) -> Option<Step> {
    let differs = before != after;
    let before = Some(describe(&Record::Grant(before)));
    differs.then(|| Step::Put { record: Box::new(Record::Grant(after)), before })
}

/// Grants end as soon as their account says.
async fn check_longest(job: &mut Job<'_>, grant: &Grant) -> Result<(), ControlError> {
    let now = job.now();
    let account = job.gather().reads.account(grant.account).await?;
    let max_s = account.and_then(|account| account.object.grant_validity_max_s);
    let checked = max_s.map_or(Ok(()), |max_s| within_longest(grant.validity, max_s, now));
    checked.map_err(|text| Problem::invalid("validity_too_long", "valid_until", text).into())
}

async fn stored(gather: &mut Gather<'_>, id: GrantId) -> Result<Stored<Grant>, ControlError> {
    let mut found = gather.reads.grant(id).await?;
    if let Some(grant) = found.as_ref().map(|found| &found.object)
        && !gather.sees(Some(grant.account))
    {
        // The other side of a grant to another account: its caller's account sees it as well.
        let caller = match grant.grantee {
            Grantee::Caller(caller) => gather.reads.caller(caller).await?,
            Grantee::Group(_) => None,
        };
        found = found.filter(|_| caller.is_some_and(|caller| gather.sees(Some(caller.object.account))));
    }
    found.ok_or_else(|| ControlError::not_found("grant", format!("`{id}`")))
}

/// Shows it as it is now, within the write.
async fn now(job: &mut Job<'_>, id: GrantId) -> Result<GrantView, ControlError> {
    let at = job.now();
    let mut gather = job.gather();
    let found = stored(&mut gather, id).await?;
    view(&mut gather, &found, at).await
}

async fn views(
    gather: &mut Gather<'_>,
    found: &[Stored<Grant>],
    now: Timestamp,
) -> Result<Vec<GrantView>, ControlError> {
    let mut views = Vec::with_capacity(found.len());
    let ids: Vec<GrantId> = found.iter().map(|grant| grant.object.id).collect();
    let last_uses = gather.reads.last_uses_of_grants(&ids).await?;
    for grant in found {
        let last_used = last_uses.get(&grant.object.id).copied();
        let view = view_unused(gather, grant, now).await;
        views.extend(object::believed(view)?.map(|view| GrantView { last_used, ..view }));
    }
    Ok(views)
}

async fn view(
    gather: &mut Gather<'_>,
    found: &Stored<Grant>,
    now: Timestamp,
) -> Result<GrantView, ControlError> {
    let id = found.object.id;
    let last_used = gather.reads.last_uses_of_grants(&[id]).await?.remove(&id);
    Ok(GrantView { last_used, ..view_unused(gather, found, now).await? })
}

/// All but its last use.
async fn view_unused(
    gather: &mut Gather<'_>,
    found: &Stored<Grant>,
    now: Timestamp,
) -> Result<GrantView, ControlError> {
    let grant = &found.object;
    gather.around_grant(grant).await?;
    let granted_by = gather.reads.granted_by(grant.id).await?;
    let spec = gather.grant_spec(grant).ok_or_else(|| {
        let text = format!("the grant `{}` names something that is missing from the store", grant.id);
        ControlError::new(ErrorKind::StoreUnavailable, "row_damaged", text)
    })?;
    Ok(GrantView {
        id: grant.id,
        account: grant.account,
        api: grant.api,
        grantee: grant.grantee,
        granted_by,
        spec,
        state: grant.validity.state_at(now),
        revoked: grant.revoked,
        last_used: None,
        revision: found.revision,
        created: found.created,
        changed: found.changed,
    })
}

/// The caller that is meant. A name that both an application and a consumer have is not enough.
async fn caller_id(gather: &mut Gather<'_>, of: &ObjectRef<CallerId>) -> Result<CallerId, ControlError> {
    let named = match of {
        ObjectRef::Id(id) | ObjectRef::IdIn(id, _) => {
            let found = match id.kind() {
                CallerKind::Application => object::find::<ApplicationObject>(gather, of).await,
                CallerKind::Consumer => object::find::<ConsumerObject>(gather, of).await,
            };
            return found.map(|found| found.object.id);
        }
        ObjectRef::Named(named) => named,
    };
    let application = ApplicationObject::by_name(gather, named).await?;
    let consumer = ConsumerObject::by_name(gather, named).await?;
    match (application, consumer) {
        (Some(one), None) | (None, Some(one)) => Ok(one.object.id),
        (Some(_), Some(_)) => {
            let text = format!("both an application and a consumer are called {of}: name one by its id");
            Err(ControlError::new(ErrorKind::Conflict, "name_ambiguous", text))
        }
        (None, None) => Err(ControlError::not_found(
            &format!("{} or {}", CallerKind::Application.noun(), Noun::Consumer.singular()),
            of,
        )),
    }
}
