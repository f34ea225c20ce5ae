//! The audit: who did what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// The revision it came with; for what changes nothing the one in effect.
    pub revision: u64,
    /// When.
    #[schemars(with = "form::Moment")]
    pub at: String,
    /// Who: `operator ID`, `operator ID token ID`, `local-token`, or `start` for the node itself.
    pub actor: String,
    /// The use case, such as `application.create`.
    pub action: String,
    /// `created`, `changed`, `deleted`, `revealed` or `refused`.
    #[schemars(with = "form::Touched")]
    pub touch: String,
    /// The object's noun.
    pub noun: String,
    /// The object's id; empty where it is not known.
    pub object: String,
    /// Id of the account it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The object before and after, without any secret, and the request's id.
    pub detail: serde_json::Value,
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct AuditCheck {
    /// How many entries it has.
    pub entries: u64,
    /// The hash of the last one, in hexadecimal. Keep both elsewhere: a cut end is seen against them.
    pub hash: String,
}
