//! Lists in pages.

use keyward_model::{ApiKind, AppKey, GatewayId, Name};
pub use keyward_store::Order;

use crate::ObjectRef;

/// Which objects a list has, and which page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only this account's; absent: every account's.
    pub account: Option<Name>,
    /// Only those whose name has this in it, in any case (ASCII).
    pub name_contains: Option<String>,
    /// Only callers with this tag.
    pub tag: Option<(String, String)>,
    /// Only the caller with this AppKey.
    pub app_key: Option<AppKey>,
    /// Only APIs of this kind.
    pub api_kind: Option<ApiKind>,
    /// Only APIs published to this gateway.
    pub gateway: Option<ObjectRef<GatewayId>>,
    /// Only enabled, or only disabled ones.
    pub enabled: Option<bool>,
    /// In which order; the same for every page.
    pub order: Order,
    /// What [`Page::next`] said; absent: from the start.
    pub after: Option<String>,
    /// Most items in a page, 1 to 1000; absent: 100.
    pub limit: Option<u32>,
}

/// A part of a list, in order of age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; absent: this was the last.
    pub next: Option<String>,
}
