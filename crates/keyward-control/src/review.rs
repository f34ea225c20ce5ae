//! The access review: rights and credentials that somebody should look at.

use std::fmt;
use std::str::FromStr;

use keyward_model::{
    AccountId, Action, Api, ApiId, Caller, CallerId, CredentialId, CredentialKind, Finding, Grant, GrantId,
    Grantee, GroupId, Name, Timestamp,
};
use keyward_store::{CredentialRow, ListPage, ReviewOf, Stored};

use crate::gather::Gather;
use crate::object::{list_limit, within_reach};
use crate::{Actor, Control, ControlError, Page, Problem};

/// What a review is asked for, and which page of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewQuery {
    /// Only this finding; absent: all, one after another.
    pub finding: Option<Finding>,
    /// Only what belongs to this account.
    pub account: Option<Name>,
    /// After how many days without use something counts as unused; absent: 90.
    pub unused_days: Option<u32>,
    /// What ends within so many days ends soon; absent: 30.
    pub ending_days: Option<u32>,
    /// What [`Page::next`] said; absent: from the start.
    pub after: Option<String>,
    /// Most items in a page, 1 to 1000; absent: 100.
    pub limit: Option<u32>,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub finding: Finding,
    /// The object's noun: `grant`, `credential`, `application`, `consumer` or `api`.
    pub noun: &'static str,
    /// The object's id.
    pub id: String,
    /// Name of the account it belongs to.
    pub account: Name,
    /// The caller that it is, belongs to or is for.
    pub caller: Option<CallerId>,
    /// Its name; absent where it is another account's.
    pub caller_name: Option<Name>,
    /// The group that a grant is for.
    pub group: Option<GroupId>,
    /// Its name.
    pub group_name: Option<Name>,
    /// The API that it is or is about.
    pub api: Option<ApiId>,
    /// Its name.
    pub api_name: Option<Name>,
    /// Of a credential: `key_pair`, `app_code`, `api_key` or `jwt`.
    pub kind: Option<&'static str>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
    /// When it ends.
    pub valid_until: Option<Timestamp>,
}

/// After how many days without use something counts as unused, unless asked otherwise.
const UNUSED_DAYS: u32 = 90;
/// Within how many days something ends soon, unless asked otherwise.
const ENDING_DAYS: u32 = 30;
/// Most days that can be asked for.
const DAYS_MAX: u32 = 3_650;

/// What can be done with the access review.
#[derive(Clone, Copy, Debug)]
pub struct Review<'c> {
    pub(crate) control: &'c Control,
}

impl Review<'_> {
    /// A page of what is found, one finding after another, in id order.
    ///
    /// # Errors
    /// The account does not exist, `after` is not what a page said, or too many days are asked for.
    pub async fn list(&self, actor: &Actor, query: ReviewQuery) -> Result<Page<Found>, ControlError> {
        actor.may("access_review", Action::List)?;
        let most = list_limit(query.limit)?;
        let limit = usize::try_from(most).unwrap_or(usize::MAX);
        let place = query.after.as_deref().filter(|after| !after.is_empty()).map(read_place).transpose()?;
        let mut reader = self.control.store().reader().await?;
        let at = self.control.now();
        let mut gather = Gather::new(reader.reads(), actor, at);
        let within = within_reach(&mut gather, actor, query.account.as_ref(), "access_review").await?;
        let of = ReviewOf {
            within,
            at,
            since: days_from(at, -i64::from(days("unused_days", query.unused_days, UNUSED_DAYS)?)),
            soon: days_from(at, i64::from(days("ending_days", query.ending_days, ENDING_DAYS)?)),
        };
        let first = place.as_ref().map(|(finding, _)| *finding);
        let asked = Finding::ALL.iter().copied().filter(|one| query.finding.is_none_or(|only| only == *one));
        let mut items = Vec::new();
        for finding in asked.filter(|one| first.is_none_or(|first| first <= *one)) {
            let mut page = ListPage::first(most.saturating_add(1));
            page.turn_to(place.as_ref().filter(|(of, _)| *of == finding).map(|(_, id)| id));
            while items.len() <= limit {
                let found = look(&mut gather, finding, &of, &mut page).await?;
                let ended = found.is_none();
                items.extend(found.into_iter().flatten());
                if ended {
                    break;
                }
            }
        }
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| format!("{}.{}", last.finding, last.id));
        Ok(Page { items, next })
    }
}

fn days(name: &'static str, given: Option<u32>, usual: u32) -> Result<u32, ControlError> {
    match given.unwrap_or(usual) {
        days @ 1..=DAYS_MAX => Ok(days),
        other => {
            let text = format!("is 1 to {DAYS_MAX} days, not {other}");
            Err(Problem::invalid("days_malformed", name, text).into())
        }
    }
}

fn days_from(at: Timestamp, days: i64) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_add(days.saturating_mul(86_400_000)))
}

fn read_place(text: &str) -> Result<(Finding, String), ControlError> {
    fn is_id<T: FromStr>(id: &str) -> bool {
        id.parse::<T>().is_ok()
    }
    let read = || {
        let (finding, id) = text.split_once('.')?;
        let finding = finding.parse().ok()?;
        let fits =
            is_id::<GrantId>(id) || is_id::<CredentialId>(id) || is_id::<CallerId>(id) || is_id::<ApiId>(id);
        fits.then(|| (finding, id.to_owned()))
    };
    read().ok_or_else(|| {
        let text = format!("`{}` is not what a page of this list said as its `next`", text.escape_debug());
        Problem::invalid("after_malformed", "after", text).into()
    })
}

/// What the next rows of this finding are; `None` where there are no more.
async fn look(
    gather: &mut Gather<'_>,
    finding: Finding,
    of: &ReviewOf,
    page: &mut ListPage,
) -> Result<Option<Vec<Found>>, ControlError> {
    let reads = &mut gather.reads;
    match finding {
        Finding::GrantUnused => {
            let rows = reads.unused_grants(of, page).await?;
            of_grants(gather, finding, page, rows).await
        }
        Finding::GrantEnding => {
            let rows = reads.ending_grants(of, page).await?;
            of_grants(gather, finding, page, rows).await
        }
        Finding::CredentialNeverUsed => {
            let rows = reads.never_used_credentials(of, page).await?;
            of_credentials(gather, finding, page, rows).await
        }
        Finding::CredentialEnding => {
            let rows = reads.ending_credentials(of, page).await?;
            of_credentials(gather, finding, page, rows).await
        }
        Finding::WeakSecret => {
            let rows = reads.weak_credentials(of, page).await?;
            of_credentials(gather, finding, page, rows).await
        }
        Finding::CallerWithoutGrant => {
            let rows = reads.callers_without_grant(of, page).await?;
            of_callers(gather, finding, page, rows).await
        }
        Finding::ApiWithoutGrant => {
            let rows = reads.apis_without_grant(of, page).await?;
            of_apis(gather, finding, page, rows).await
        }
    }
}

async fn of_grants(
    gather: &mut Gather<'_>,
    finding: Finding,
    page: &mut ListPage,
    rows: Vec<Stored<Grant>>,
) -> Result<Option<Vec<Found>>, ControlError> {
    let ids: Vec<GrantId> = rows.iter().map(|row| row.object.id).collect();
    page.turn_to(ids.last());
    let used = gather.reads.last_uses_of_grants(&ids).await?;
    for row in &rows {
        gather.around_grant(&row.object).await?;
    }
    let found = rows.iter().map(|row| {
        let grant = &row.object;
        let existing = &gather.existing;
        let (caller, group) = match grant.grantee {
            Grantee::Caller(id) => (Some(id), None),
            Grantee::Group(id) => (None, Some(id)),
        };
        Some(Found {
            caller,
            caller_name: caller.and_then(|id| seen_name(gather, id)),
            group,
            group_name: group.and_then(|id| Some(existing.groups.get(&id)?.name.clone())),
            api: Some(grant.api),
            api_name: existing.apis.get(&grant.api).map(|api| api.name.clone()),
            last_used: used.get(&grant.id).copied(),
            valid_until: grant.validity.until,
            ..found(gather, finding, ("grant", &grant.id), grant.account, row.created)?
        })
    });
    Ok((!rows.is_empty()).then(|| found.flatten().collect()))
}

async fn of_credentials(
    gather: &mut Gather<'_>,
    finding: Finding,
    page: &mut ListPage,
    rows: Vec<Stored<CredentialRow>>,
) -> Result<Option<Vec<Found>>, ControlError> {
    page.turn_to(rows.last().map(|row| row.object.id));
    let ids: Vec<CallerId> = rows.iter().map(|row| row.object.caller).collect();
    gather.callers(&ids).await?;
    let found = rows.iter().map(|row| {
        let one = &row.object;
        Some(Found {
            caller: Some(one.caller),
            caller_name: seen_name(gather, one.caller),
            kind: Some(one.kind),
            last_used: one.last_used,
            valid_until: one.valid_until,
            ..found(gather, finding, ("credential", &one.id), one.account, one.created)?
        })
    });
    Ok((!rows.is_empty()).then(|| found.flatten().collect()))
}

async fn of_callers(
    gather: &mut Gather<'_>,
    finding: Finding,
    page: &mut ListPage,
    rows: Vec<Stored<Caller>>,
) -> Result<Option<Vec<Found>>, ControlError> {
    page.turn_to(rows.last().map(|row| row.object.id));
    for row in &rows {
        gather.account(row.object.account).await?;
    }
    let found = rows.iter().map(|row| {
        let caller = &row.object;
        let object: (_, &dyn fmt::Display) = (caller.id.kind().noun(), &caller.id);
        Some(Found {
            caller: Some(caller.id),
            caller_name: Some(caller.name.clone()),
            ..found(gather, finding, object, caller.account, row.created)?
        })
    });
    Ok((!rows.is_empty()).then(|| found.flatten().collect()))
}

/// Those that admit callers: where anyone may call, nobody needs a grant.
async fn of_apis(
    gather: &mut Gather<'_>,
    finding: Finding,
    page: &mut ListPage,
    rows: Vec<Stored<Api>>,
) -> Result<Option<Vec<Found>>, ControlError> {
    page.turn_to(rows.last().map(|row| row.object.id));
    for row in &rows {
        gather.account(row.object.account).await?;
    }
    let admitting = rows.iter().filter(|row| !row.object.settings.admits.contains(CredentialKind::Anyone));
    let found = admitting.map(|row| {
        let api = &row.object;
        Some(Found {
            api: Some(api.id),
            api_name: Some(api.name.clone()),
            ..found(gather, finding, ("api", &api.id), api.account, row.created)?
        })
    });
    Ok((!rows.is_empty()).then(|| found.flatten().collect()))
}

/// The name of a caller, if it is of an account that the actor may know of.
fn seen_name(gather: &Gather<'_>, id: CallerId) -> Option<Name> {
    let caller = gather.existing.callers.get(&id)?;
    gather.sees(Some(caller.account)).then(|| caller.name.clone())
}

fn found(
    gather: &Gather<'_>,
    finding: Finding,
    (noun, id): (&'static str, &dyn fmt::Display),
    account: AccountId,
    created: Timestamp,
) -> Option<Found> {
    Some(Found {
        finding,
        noun,
        id: id.to_string(),
        account: gather.existing.account_name(account)?.clone(),
        caller: None,
        caller_name: None,
        group: None,
        group_name: None,
        api: None,
        api_name: None,
        kind: None,
        created,
        last_used: None,
        valid_until: None,
    })
}
