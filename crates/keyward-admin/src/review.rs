//! The access review.

use axum::extract::State;
use axum::response::Response;
use keyward_api::ReviewItem;
use keyward_control::{Found, ReviewQuery};

use crate::Admin;
use crate::answer::page;
use crate::listing;
use crate::refusal::Refusal;
use crate::request::Asked;

/// Lists what somebody should look at.
pub(crate) async fn list(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let days = |name| asked.get(name).and_then(|text| text.parse().ok());
    let query = ReviewQuery {
        finding: asked.parsed("finding")?,
        account: asked.parsed("account")?,
        unused_days: days("unused_days"),
        ending_days: days("ending_days"),
        after: asked.get("after").map(ToOwned::to_owned),
        limit: listing::limit(&asked),
    };
    let control = asked.control(&admin);
    let revision = control.revision();
    let found = control.review().list(&asked.actor, query).await?;
    Ok(page(revision, found, shown))
}

fn shown(found: Found) -> ReviewItem {
    fn text<T: ToString>(part: Option<T>) -> Option<String> {
        part.map(|part| part.to_string())
    }
    ReviewItem {
        finding: found.finding.to_string(),
        noun: found.noun.to_owned(),
        id: found.id,
        account: found.account.to_string(),
        kind: text(found.kind),
        caller: text(found.caller),
        caller_name: text(found.caller_name),
        group: text(found.group),
        group_name: text(found.group_name),
        api: text(found.api),
        api_name: text(found.api_name),
        created: found.created.to_string(),
        last_used: text(found.last_used),
        valid_until: text(found.valid_until),
    }
}
