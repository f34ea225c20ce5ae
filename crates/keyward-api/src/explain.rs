//! What would be decided, and who may call: questions and answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;

/// What would be decided, and why.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Explanation {
    /// `allow` or `deny`.
    #[schemars(with = "form::Decision")]
    pub decision: String,
    /// For a denial its reason code; else `granted`, or `anyone` where the API admits anyone.
    pub reason: String,
    /// The grant that an allowance rests on, or that came nearest.
    #[schemars(with = "Option<form::Id>")]
    pub grant: Option<String>,
    /// The grants that do not permit it, those that come nearest first.
    pub near_misses: Vec<NearMiss>,
}

/// A grant that does not permit what was asked.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct NearMiss {
    /// The grant.
    #[schemars(with = "form::Id")]
    pub grant: String,
    /// Why it does not: a reason code.
    pub reason: String,
    /// The same in words.
    pub detail: String,
}

/// Who would be permitted.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct WhoCan {
    /// The revision that the answer rests on.
    pub revision: u64,
    /// Is everybody who presents nothing? So it is where the API admits anyone.
    pub anyone: bool,
    /// The callers that a grant permits it.
    pub items: Vec<Permitted>,
}

/// A caller that would be permitted, and the grant it rests on.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Permitted {
    /// `application` or `consumer`.
    #[schemars(with = "form::CallerNoun")]
    pub noun: String,
    /// Its account; absent where it is one that one does not know of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Name>")]
    pub account: Option<String>,
    /// Its name.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// Its id.
    #[schemars(with = "form::Id")]
    pub id: String,
    /// The grant.
    #[schemars(with = "form::Id")]
    pub grant: String,
}
