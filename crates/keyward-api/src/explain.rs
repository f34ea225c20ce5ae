//! What would be decided, and who may call: questions and answers.

use serde::{Deserialize, Serialize};

/// The query parameters of [`Route::Explain`](crate::Route::Explain).
pub const EXPLAIN_PARAMETERS: &[&str] = &[
    "api",
    "api_account",
    "stage",
    "operation",
    "application",
    "consumer",
    "app_key",
    "account",
    "gateway",
    "at",
];

/// The query parameters of [`Route::WhoCan`](crate::Route::WhoCan).
pub const WHO_CAN_PARAMETERS: &[&str] = &["api", "stage", "operation", "account", "gateway", "at"];

/// What would be decided, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// `allow` or `deny`.
    pub decision: String,
    /// For a denial its reason code; else `granted`, or `anyone` where the API admits anyone.
    pub reason: String,
    /// The grant that an allowance rests on, or that came nearest.
    pub grant: Option<String>,
    /// The grants that do not permit it, those that come nearest first.
    pub near_misses: Vec<NearMiss>,
}

/// A grant that does not permit what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMiss {
    /// The grant.
    pub grant: String,
    /// Why it does not: a reason code.
    pub reason: String,
    /// The same in words.
    pub detail: String,
}

/// Who would be permitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoCan {
    /// The revision that the answer rests on.
    pub revision: u64,
    /// Is everybody who presents nothing? So it is where the API admits anyone.
    pub anyone: bool,
    /// The callers that a grant permits it.
    pub items: Vec<Permitted>,
}

/// A caller that would be permitted, and the grant it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permitted {
    /// `application` or `consumer`.
    pub noun: String,
    /// Its account.
    pub account: String,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The grant.
    pub grant: String,
}
