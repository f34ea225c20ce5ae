//! The access review: what somebody should look at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct ReviewItem {
    /// What was found.
    #[schemars(with = "form::Finding")]
    pub finding: String,
    /// The object's noun.
    #[schemars(with = "form::ReviewNoun")]
    pub noun: String,
    /// The object's id.
    #[schemars(with = "form::Id")]
    pub id: String,
    /// The account it belongs to.
    #[schemars(with = "form::Name")]
    pub account: String,
    /// Of a credential: its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::CredentialType>")]
    pub kind: Option<String>,
    /// Id of the caller that it is, belongs to or is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Id>")]
    pub caller: Option<String>,
    /// The caller's name; absent where it is of an account that one does not know of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_name: Option<String>,
    /// Id of the group that a grant is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Id>")]
    pub group: Option<String>,
    /// The group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    /// Id of the API that it is or is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Id>")]
    pub api: Option<String>,
    /// The API's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_name: Option<String>,
    /// When it was made.
    #[schemars(with = "form::Moment")]
    pub created: String,
    /// When it was last used; absent: never, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub last_used: Option<String>,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
}
