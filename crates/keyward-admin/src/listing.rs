//! The query parameters of lists.

use keyward_control::{ListFilter, ObjectRef, Order};
use keyward_model::GatewayId;

use crate::refusal::Refusal;
use crate::request::Asked;

/// What a list is asked for.
pub(crate) fn filter(asked: &Asked) -> Result<ListFilter, Refusal> {
    let tag = asked.get("tag").and_then(|tag| tag.split_once(['=', ':']));
    Ok(ListFilter {
        account: asked.parsed("account")?,
        name_contains: asked.get("name").map(ToOwned::to_owned),
        tag: tag.map(|(name, value)| (name.to_owned(), value.to_owned())),
        app_key: asked.parsed("app_key")?,
        api_kind: asked.parsed("kind")?,
        gateway: asked.get("gateway").map(|text| gateway(asked, text)).transpose()?,
        enabled: asked.get("state").map(|state| state == "enabled"),
        order: order(asked),
        after: asked.get("after").map(ToOwned::to_owned),
        limit: limit(asked),
    })
}

fn gateway(asked: &Asked, text: &str) -> Result<ObjectRef<GatewayId>, Refusal> {
    ObjectRef::parse(text, &asked.account()?).map_err(|error| Refusal::parameter("gateway", error))
}

/// `name`, `created`; with a `-` before it the last first.
fn order(asked: &Asked) -> Order {
    let text = asked.get("sort").unwrap_or("created");
    let (descending, by) = text.strip_prefix('-').map_or((false, text), |by| (true, by));
    Order { by_name: by == "name", descending }
}

/// Most items of the page. Its form is checked before.
pub(crate) fn limit(asked: &Asked) -> Option<u32> {
    asked.get("limit").and_then(|text| text.parse().ok())
}
