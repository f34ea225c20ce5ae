//! The query parameters of lists.

use keyward_control::{ListFilter, Order};

use crate::refusal::Refusal;
use crate::request::Asked;

/// The parameters of every list.
pub(crate) const LIST: &[&str] = &["account", "name", "tag", "app_key", "state", "sort", "after", "limit"];

/// Most items in one page.
const PAGE_MAX: u32 = 1_000;

/// What a list is asked for.
pub(crate) fn filter(asked: &Asked) -> Result<ListFilter, Refusal> {
    asked.only(LIST)?;
    let tag = asked.get("tag").map(|tag| tag.split_once(['=', ':']).ok_or_else(tag_wrong)).transpose()?;
    Ok(ListFilter {
        account: asked.parsed("account")?,
        name_contains: asked.get("name").map(ToOwned::to_owned),
        tag: tag.map(|(name, value)| (name.to_owned(), value.to_owned())),
        app_key: asked.parsed("app_key")?,
        enabled: enabled(asked)?,
        order: order(asked)?,
        after: asked.get("after").map(ToOwned::to_owned),
        limit: limit(asked)?,
    })
}

fn enabled(asked: &Asked) -> Result<Option<bool>, Refusal> {
    match asked.get("state") {
        None => Ok(None),
        Some("enabled") => Ok(Some(true)),
        Some("disabled") => Ok(Some(false)),
        Some(_) => Err(Refusal::parameter("state", "must be enabled or disabled")),
    }
}

/// `sort=name`, `sort=created`; with a `-` before it the last first.
fn order(asked: &Asked) -> Result<Order, Refusal> {
    let text = asked.get("sort").unwrap_or("created");
    let (descending, by) = text.strip_prefix('-').map_or((false, text), |by| (true, by));
    let by_name = match by {
        "name" => true,
        "created" => false,
        _ => return Err(Refusal::parameter("sort", "must be created, -created, name or -name")),
    };
    Ok(Order { by_name, descending })
}

fn tag_wrong() -> Refusal {
    Refusal::parameter("tag", "must be NAME=VALUE")
}

/// A larger page than there is gets the largest there is: pages are walked by `next`, not by counting.
pub(crate) fn limit(asked: &Asked) -> Result<Option<u32>, Refusal> {
    let Some(text) = asked.get("limit") else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(0) | Err(_) => {
            Err(Refusal::parameter("limit", format!("must be a whole number from 1 to {PAGE_MAX}")))
        }
        Ok(number) => Ok(Some(u32::try_from(number).unwrap_or(PAGE_MAX).min(PAGE_MAX))),
    }
}
