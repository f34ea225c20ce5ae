//! Nodes, and who of them has applied a write.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;

/// A node that follows the store.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Node {
    /// Its id, kept in its data folder.
    pub id: String,
    /// For people.
    pub name: String,
    /// The gateway that it belongs to.
    pub gateway: String,
    /// The version that it runs.
    pub version: String,
    /// Where its admin server listens.
    pub admin: String,
    /// When it started.
    #[schemars(with = "form::Moment")]
    pub started: String,
    /// When it was last heard of.
    #[schemars(with = "form::Moment")]
    pub last_seen: String,
    /// The revision in effect there.
    pub revision: u64,
    /// How many revisions it is behind the store.
    pub lag: u64,
    /// What is not well with it, although it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Is it the one that answers?
    pub this: bool,
}

/// Who has applied a write, and who has not.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Cluster {
    /// Those that have.
    pub applied: Vec<NodeName>,
    /// Those that have not, or are not known to.
    pub lagging: Vec<LaggingNode>,
}

/// Names a node.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct NodeName {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A node that has not applied a write.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct LaggingNode {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The revision that it has applied, as far as is known.
    pub revision: u64,
    /// Why it was not waited for any longer.
    pub reason: String,
}
