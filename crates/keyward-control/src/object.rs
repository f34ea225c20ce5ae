//! What can be done with every noun alike: each says how it is found, shown, described and removed.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::{
    AccountId, Action, Caller, CallerKind, GrantSpec, Located, Name, Noun, Place, Qualified, World,
};
use keyward_store::{After, CallerFilter, ListPage, ObjectsOf, Order, RecordId, Stored, Within};

use crate::gather::Gather;
use crate::job::Job;
use crate::plan::Plan;
use crate::{
    Actor, Control, ControlError, Created, Deleted, ErrorKind, ListFilter, ObjectRef, Page, Problem, Warning,
    Written,
};

/// Most items of a page, and how many there are unless asked otherwise.
const PAGE_MAX: u32 = 1_000;
const PAGE_USUAL: u32 = 100;

/// A noun that can be created, shown, listed, changed and deleted.
pub(crate) trait Object: Sized + Send + 'static {
    /// Which noun.
    const NOUN: Noun;
    /// Actions as the audit names them: create, get, list, change, delete.
    const ACTIONS: [&'static str; 5];
    type Id: Copy + Display + FromStr + Send + Sync + 'static;
    type Entity: Send + Sync + 'static;
    type Spec: Send + Sync + 'static;
    type View: Send + 'static;

    fn record_id(entity: &Self::Entity) -> RecordId;
    /// Whose it is; absent: it belongs to no account.
    fn account(entity: &Self::Entity) -> Option<AccountId>;
    /// What people know it by.
    fn name(entity: &Self::Entity) -> String;
    fn into_spec(view: Self::View) -> Self::Spec;
    /// A world of this one entry.
    fn world(spec: Self::Spec) -> World;

    fn by_id(
        gather: &mut Gather<'_>,
        id: Self::Id,
    ) -> impl Future<Output = Result<Option<Stored<Self::Entity>>, ControlError>> + Send;

    fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> impl Future<Output = Result<Option<Stored<Self::Entity>>, ControlError>> + Send;

    /// How it is shown, with names in place of ids.
    fn view(
        gather: &mut Gather<'_>,
        found: Stored<Self::Entity>,
    ) -> impl Future<Output = Result<Self::View, ControlError>> + Send;

    /// Gathers what a plan must know of the object itself.
    fn itself(
        gather: &mut Gather<'_>,
        entity: &Self::Entity,
    ) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// Gathers everything that concerns its removal. An error if it may never go.
    fn around(
        gather: &mut Gather<'_>,
        entity: &Self::Entity,
    ) -> impl Future<Output = Result<(), ControlError>> + Send;

    fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> impl Future<Output = Result<Vec<Stored<Self::Entity>>, ControlError>> + Send;
}

pub(crate) async fn find<O: Object>(
    gather: &mut Gather<'_>,
    of: &ObjectRef<O::Id>,
) -> Result<Stored<O::Entity>, ControlError> {
    let found = match of {
        ObjectRef::Id(id) => O::by_id(gather, *id).await?,
        ObjectRef::IdIn(id, account) => {
            let account = gather.account_named(account).await?.map(|account| account.id);
            O::by_id(gather, *id).await?.filter(|found| O::account(&found.object) == account)
        }
        ObjectRef::Named(named) => O::by_name(gather, named).await?,
    };
    // What is another account's is not there.
    let found = found.filter(|found| gather.sees(O::account(&found.object)));
    found.ok_or_else(|| ControlError::not_found(O::NOUN.singular(), of))
}

pub(crate) async fn get<O: Object>(
    control: &Control,
    actor: &Actor,
    of: &ObjectRef<O::Id>,
) -> Result<O::View, ControlError> {
    actor.may(O::NOUN.singular(), Action::Show)?;
    let mut reader = control.store().reader().await?;
    let mut gather = Gather::new(reader.reads(), actor, control.now()).seeing(control);
    let found = find::<O>(&mut gather, of).await?;
    O::view(&mut gather, found).await
}

pub(crate) async fn list<O: Object>(
    control: &Control,
    actor: &Actor,
    filter: &ListFilter,
) -> Result<Page<O::View>, ControlError> {
    actor.may(O::NOUN.singular(), Action::List)?;
    let page = list_page::<O::Id>(filter.after.as_deref(), filter.limit, filter.order)?;
    let mut reader = control.store().reader().await?;
    let mut gather = Gather::new(reader.reads(), actor, control.now()).seeing(control);
    let mut found = O::page(&mut gather, filter, &page).await?;
    let next = cut(&mut found, &page, |entity| After {
        name: O::name(entity),
        id: O::record_id(entity).to_string(),
    });
    let mut items = Vec::with_capacity(found.len());
    for entity in found {
        items.extend(believed(O::view(&mut gather, entity).await)?);
    }
    Ok(Page { items, next })
}

/// Asks for one more than the page has, to know whether there is a next one.
pub(crate) fn list_page<I: FromStr>(
    after: Option<&str>,
    limit: Option<u32>,
    order: Order,
) -> Result<ListPage, ControlError> {
    let malformed = |after: &str| {
        let text = format!("`{}` is not what a page of this list said as its `next`", after.escape_debug());
        Problem::invalid("after_malformed", "after", text)
    };
    let after = after.filter(|after| !after.is_empty());
    let after = after.map(|text| read_after::<I>(text, order).ok_or_else(|| malformed(text))).transpose()?;
    Ok(ListPage { after, limit: list_limit(limit)?.saturating_add(1), order })
}

/// How many items a page has.
pub(crate) fn list_limit(limit: Option<u32>) -> Result<u32, ControlError> {
    let limit = limit.unwrap_or(PAGE_USUAL);
    if !(1..=PAGE_MAX).contains(&limit) {
        let text = format!("a page has 1 to {PAGE_MAX} items, not {limit}");
        return Err(Problem::invalid("limit_malformed", "limit", text).into());
    }
    Ok(limit)
}

/// Takes away the one more; the id after which the next page begins.
pub(crate) fn cut<T>(
    found: &mut Vec<Stored<T>>,
    page: &ListPage,
    after: impl Fn(&T) -> After,
) -> Option<String> {
    let limit = usize::try_from(page.limit.saturating_sub(1)).unwrap_or(usize::MAX);
    if found.len() <= limit {
        return None;
    }
    found.truncate(limit);
    found.last().map(|last| write_after(&after(&last.object), page.order))
}

/// Where a page ends: the last id; sorted by name, the name as well.
fn write_after(after: &After, order: Order) -> String {
    match order.by_name {
        false => after.id.clone(),
        true => format!("{}.{}", after.id, URL_SAFE_NO_PAD.encode(&after.name)),
    }
}

fn read_after<I: FromStr>(text: &str, order: Order) -> Option<After> {
    let (id, name) = match (order.by_name, text.split_once('.')) {
        (false, None) => (text, String::new()),
        (true, Some((id, name))) => {
            let name = URL_SAFE_NO_PAD.decode(name).ok().and_then(|name| String::from_utf8(name).ok())?;
            (id, name.parse::<Name>().ok()?.to_string())
        }
        _ => return None,
    };
    id.parse::<I>().ok()?;
    Some(After { name, id: id.to_owned() })
}

pub(crate) async fn create<O: Object>(
    control: &Control,
    actor: &Actor,
    spec: O::Spec,
) -> Result<Created<O::View>, ControlError> {
    create_granted::<O>(control, actor, spec, Vec::new()).await
}

/// Makes one together with its first grants: all of it or nothing.
pub(crate) async fn create_granted<O: Object>(
    control: &Control,
    actor: &Actor,
    spec: O::Spec,
    grants: Vec<GrantSpec>,
) -> Result<Created<O::View>, ControlError> {
    let [action, ..] = O::ACTIONS;
    actor.may(O::NOUN.singular(), Action::Create)?;
    let work = control.write(actor, action, move |job| {
        Box::pin(async move {
            let mut world = O::world(spec);
            world.grants.extend(grants.into_iter().enumerate().map(|(at, grant)| {
                let path = format!("grants[{at}]");
                Located { place: Place { path, ..Place::default() }, value: grant }
            }));
            let mut gather = job.gather();
            gather.world(&world, false).await?;
            let existing = gather.existing;
            let mut plan = job.plan(existing, &world, false, true, None)?;
            job.execute(&mut plan).await?;
            let view = planned::<O>(job, &plan).await?;
            Ok((view, plan))
        })
    });
    let ((object, plan), revision) = work.await?;
    Ok(Created { revision, object, minted: control.kept(plan.minted), warnings: plan.warnings })
}

pub(crate) async fn change<O: Object>(
    control: &Control,
    actor: &Actor,
    of: ObjectRef<O::Id>,
    edit: impl FnOnce(&mut O::Spec) -> Result<(), Problem> + Send + 'static,
) -> Result<Created<O::View>, ControlError> {
    let [_, _, _, action, _] = O::ACTIONS;
    actor.may(O::NOUN.singular(), Action::Change)?;
    let work = control.write(actor, action, move |job| {
        Box::pin(async move {
            let mut gather = job.gather();
            let found = find::<O>(&mut gather, &of).await?;
            let target = O::record_id(&found.object);
            O::itself(&mut gather, &found.object).await?;
            let mut spec = O::into_spec(O::view(&mut gather, found).await?);
            edit(&mut spec)?;
            let world = O::world(spec);
            gather.world(&world, false).await?;
            let existing = gather.existing;
            let mut plan = job.plan(existing, &world, false, false, Some(target))?;
            job.execute(&mut plan).await?;
            let view = planned::<O>(job, &plan).await?;
            Ok((view, plan))
        })
    });
    let ((object, plan), revision) = work.await?;
    Ok(Created { revision, object, minted: control.kept(plan.minted), warnings: plan.warnings })
}

/// Shows the one object that a plan was about, as it is now.
async fn planned<O: Object>(job: &mut Job<'_>, plan: &Plan) -> Result<O::View, ControlError> {
    let id = plan.objects.first().and_then(|(id, _)| id.to_string().parse().ok());
    let id: O::Id = id.ok_or_else(|| ControlError::not_found(O::NOUN.singular(), "any more"))?;
    let mut gather = job.gather();
    let found = find::<O>(&mut gather, &ObjectRef::Id(id)).await?;
    O::view(&mut gather, found).await
}

pub(crate) async fn delete<O: Object>(
    control: &Control,
    actor: &Actor,
    of: ObjectRef<O::Id>,
    dry_run: bool,
) -> Result<Deleted, ControlError> {
    let [.., action] = O::ACTIONS;
    actor.may(O::NOUN.singular(), Action::Delete)?;
    let actor_may = actor.clone();
    let dry_run = dry_run || control.is_dry_run();
    let work = control.write(actor, action, move |job| {
        Box::pin(async move {
            let mut gather = job.gather();
            let found = find::<O>(&mut gather, &of).await?;
            let id = O::record_id(&found.object);
            actor_may.may_in(O::account(&found.object), O::NOUN.singular(), Action::Delete)?;
            O::itself(&mut gather, &found.object).await?;
            O::around(&mut gather, &found.object).await?;
            let label = format!("{} `{}`", O::NOUN.singular(), O::name(&found.object));
            let existing = gather.existing;
            job.remove(&existing, id, label, dry_run).await
        })
    });
    let (removal, revision) = work.await?;
    Ok(Deleted { revision, dry_run, along: removal.along, credentials: removal.credentials })
}

impl<T> Created<T> {
    /// For nouns of which nothing is ever generated.
    pub(crate) fn written(self) -> Written<T> {
        Written { revision: self.revision, object: self.object, warnings: self.warnings }
    }
}

/// The accounts that a list is narrowed to: the one that is named, else all that the actor sees.
pub(crate) async fn within(gather: &mut Gather<'_>, filter: &ListFilter) -> Result<Within, ControlError> {
    let Some(name) = &filter.account else { return Ok(gather.seen_accounts()) };
    let account = gather.account_named(name).await?;
    let account = account.ok_or_else(|| ControlError::not_found("account", format!("`{name}`")))?;
    Ok(account.id.into())
}

/// The accounts that a list is narrowed to of what not every role may see: the one that is named, else all in which
/// the actor's role is one that may.
pub(crate) async fn within_reach(
    gather: &mut Gather<'_>,
    actor: &Actor,
    account: Option<&Name>,
    noun: &str,
) -> Result<Within, ControlError> {
    let Some(name) = account else {
        return Ok(actor.reach(noun, Action::List).into());
    };
    let account = gather.account_named(name).await?;
    let account = account.ok_or_else(|| ControlError::not_found("account", format!("`{name}`")))?;
    actor.may_in(Some(account.id), noun, Action::List)?;
    Ok(account.id.into())
}

/// The objects that a list is narrowed to.
pub(crate) async fn objects_of(
    gather: &mut Gather<'_>,
    filter: &ListFilter,
) -> Result<ObjectsOf, ControlError> {
    let within = within(gather, filter).await?;
    Ok(ObjectsOf { within, name: filter.name_contains.clone(), enabled: filter.enabled })
}

pub(crate) async fn caller_named(
    gather: &mut Gather<'_>,
    kind: CallerKind,
    named: &Qualified,
) -> Result<Option<Stored<Caller>>, ControlError> {
    match gather.account_named(&named.account).await? {
        Some(account) => {
            let names = std::slice::from_ref(&named.name);
            Ok(gather.reads.callers_named(account.id, kind, names).await?.pop())
        }
        None => Ok(None),
    }
}

pub(crate) async fn callers_page(
    gather: &mut Gather<'_>,
    kind: CallerKind,
    filter: &ListFilter,
    page: &ListPage,
) -> Result<Vec<Stored<Caller>>, ControlError> {
    let filter = CallerFilter {
        within: within(gather, filter).await?,
        kind: Some(kind),
        name: filter.name_contains.clone(),
        tag: filter.tag.clone(),
        app_key: filter.app_key.clone(),
        enabled: filter.enabled,
    };
    Ok(gather.reads.list_callers(&filter, page).await?)
}

/// The error about what exists from the start and stays.
pub(crate) fn default_stays(noun: Noun) -> ControlError {
    ControlError::new(
        ErrorKind::Conflict,
        "default_stays",
        format!("the {} `{}` cannot be deleted", noun.singular(), crate::DEFAULT),
    )
}

/// One of a list: what cannot be shown, because it names what is missing or cannot be believed, is left out, and the log says so.
pub(crate) fn believed<T>(shown: Result<T, ControlError>) -> Result<Option<T>, ControlError> {
    match shown {
        Err(error) if error.code() == DAMAGED => {
            tracing::error!(%error, "left out of a list");
            Ok(None)
        }
        shown => shown.map(Some),
    }
}

/// The code of what cannot be believed.
const DAMAGED: &str = "row_damaged";

/// The error about an object that names what is not there any more, which the store does not allow.
pub(crate) fn incomplete(noun: Noun, name: &Name) -> ControlError {
    ControlError::new(
        ErrorKind::StoreUnavailable,
        "row_damaged",
        format!("the {} `{name}` names something that is missing from the store", noun.singular()),
    )
}

/// Warnings of a write that plans nothing.
pub(crate) const NO_WARNINGS: Vec<Warning> = Vec::new();
