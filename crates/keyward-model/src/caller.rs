//! Callers: who a request is proven to come from.

use std::collections::BTreeMap;

use crate::{AccountId, CallerId, JwtSpec, KeyPairSpec, KeySource, Name, OpaqueSpec};

/// Who a request is proven to come from: an application or a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its id, which tells the kind.
    pub id: CallerId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, unique in the account among its kind.
    pub name: Name,
    /// For people.
    pub description: String,
    /// A disabled caller may call nothing.
    pub enabled: bool,
    /// For people and filters.
    pub tags: BTreeMap<String, String>,
    /// Handed to the service as `CaAppExtInfo` where an API declares it. Applications only.
    pub extension: Option<String>,
    /// Where its API keys may stand, one to three. Consumers with API keys only.
    pub key_sources: Vec<KeySource>,
}

/// Most places at which one consumer's keys may stand.
pub const KEY_SOURCES_MAX: usize = 3;

/// An application as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSpec {
    /// Name of its account.
    pub account: Name,
    /// Its name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// See [`Caller::enabled`].
    pub enabled: bool,
    /// See [`Caller::tags`].
    pub tags: BTreeMap<String, String>,
    /// See [`Caller::extension`].
    pub extension: Option<String>,
    /// The first is the default pair; absent (`None`): one is generated, stored ones are kept.
    pub key_pairs: Option<Vec<KeyPairSpec>>,
    /// Its AppCodes; absent: none (stored ones go).
    pub app_codes: Vec<OpaqueSpec>,
}

/// A consumer as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Name of its account.
    pub account: Name,
    /// Its name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// See [`Caller::enabled`].
    pub enabled: bool,
    /// See [`Caller::tags`].
    pub tags: BTreeMap<String, String>,
    /// Its API keys; absent: it has none.
    pub api_key: Option<ApiKeySpec>,
    /// Its JWT; absent: it has none.
    pub jwt: Option<JwtSpec>,
}

/// A consumer's API keys as a world file or an operator describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeySpec {
    /// Where they may stand, one to three.
    pub sources: Vec<KeySource>,
    /// Absent (`None`): one is generated, stored ones are kept.
    pub keys: Option<Vec<OpaqueSpec>>,
}
