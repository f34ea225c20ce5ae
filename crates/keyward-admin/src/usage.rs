//! Use: calls per day.

use axum::extract::State;
use axum::response::Response;
use keyward_api::Usage;
use keyward_control::{ObjectRef, UsageFilter, UsageView};
use keyward_model::Name;

use crate::Admin;
use crate::answer::page;
use crate::grants;
use crate::listing;
use crate::refusal::Refusal;
use crate::request::Asked;

/// Lists calls per day, the oldest day first.
pub(crate) async fn list(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let account = asked.account()?;
    let api = asked.get("api").map(|text| ObjectRef::parse(text, &account));
    let caller = match grants::caller(&admin, &asked, &account).await? {
        Some(ObjectRef::Id(id)) => Some(id),
        _ => None,
    };
    let named = asked.get("api").is_some() || caller.is_some();
    let filter = UsageFilter {
        // Beside an API or a caller, the account says whose they are.
        account: if named { None } else { asked.parsed::<Name>("account")? },
        caller,
        api: api.transpose().map_err(|error| Refusal::parameter("api", error))?,
        from: asked.parsed("from")?,
        until: asked.parsed("until")?,
        after: asked.get("after").map(ToOwned::to_owned),
        limit: listing::limit(&asked),
    };
    let revision = asked.control(&admin).revision();
    let usage = asked.control(&admin).usage().list(&asked.actor, filter).await?;
    Ok(page(revision, usage, shown))
}

fn shown(view: UsageView) -> Usage {
    let (caller_account, caller_name) =
        view.caller_name.map(|named| (named.account.to_string(), named.name.to_string())).unzip();
    let (api_account, api_name) =
        view.api_name.map(|named| (named.account.to_string(), named.name.to_string())).unzip();
    Usage {
        day: view.day.to_string(),
        caller: view.caller.map(|id| id.to_string()),
        caller_account,
        caller_name,
        api: view.api.map(|id| id.to_string()),
        api_account,
        api_name,
        reason: view.reason.map(|reason| reason.code().to_owned()),
        calls: view.calls,
        last: view.last.to_string(),
    }
}
