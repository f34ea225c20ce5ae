//! Use: calls per day.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;

/// Calls of one day by one caller to one API that came out alike.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Usage {
    /// The day (UTC) on which they began: `2026-01-31`.
    #[schemars(with = "form::Day")]
    pub day: String,
    /// Id of the one who was proven to call; absent where nobody was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Id>")]
    pub caller: Option<String>,
    /// Account of the caller, while there is such a caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_account: Option<String>,
    /// Name of the caller, while there is such a caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_name: Option<String>,
    /// Id of the API; absent where none was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Id>")]
    pub api: Option<String>,
    /// Account of the API, while there is such an API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_account: Option<String>,
    /// Name of the API, while there is such an API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_name: Option<String>,
    /// Why they were refused, or ended badly: a reason code; absent where they passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many.
    pub calls: u64,
    /// When the last one began.
    #[schemars(with = "form::Moment")]
    pub last: String,
}
