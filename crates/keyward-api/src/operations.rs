//! Operations: what a grant may narrow to.

use keyward_model::Operation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::read::{Item, Shape, parse};

/// One operation: a method and a path below the API's base path.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct OperationName {
    /// The method; absent: every method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::HttpMethod>")]
    pub method: Option<String>,
    /// The path, in which `{name}` stands for one segment.
    #[schemars(with = "form::PathTemplate")]
    pub path: String,
}

const SHAPE: Shape =
    Shape { noun: "an operation", allowed: &["method", "path"], later: &["model", "tool", "skill"] };

pub(crate) fn read(item: &Item<'_>) -> Option<Operation> {
    let fields = item.fields(&SHAPE)?;
    let method = fields.optional("method", parse);
    let path = fields.required("path", parse);
    Some(Operation { method: method?, path: path? })
}

impl From<&Operation> for OperationName {
    fn from(operation: &Operation) -> Self {
        Self { method: operation.method.as_ref().map(ToString::to_string), path: operation.path.to_string() }
    }
}
