//! A grant's lists: the gateways and operations it is narrowed to.

use keyward_model::{GatewayId, Method, Operation};
use serde::{Deserialize, Serialize};

/// An operation, here and in an API's document.
#[derive(Serialize, Deserialize)]
pub(super) struct OperationDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    path: String,
}

impl From<&Operation> for OperationDoc {
    fn from(operation: &Operation) -> Self {
        Self { method: operation.method.as_ref().map(Method::to_string), path: operation.path.to_string() }
    }
}

impl OperationDoc {
    pub(super) fn read(&self) -> Result<Operation, String> {
        Ok(Operation {
            method: self.method.as_deref().map(super::parse).transpose()?,
            path: super::parse(&self.path)?,
        })
    }
}

pub(crate) fn write_operations(operations: &[Operation]) -> String {
    super::write(&operations.iter().map(OperationDoc::from).collect::<Vec<_>>())
}

pub(crate) fn read_operations(text: &str) -> Result<Vec<Operation>, String> {
    super::read::<Vec<OperationDoc>>(text)?.iter().map(OperationDoc::read).collect()
}

pub(crate) fn write_gateways(gateways: &[GatewayId]) -> String {
    super::write(&super::texts(gateways))
}

pub(crate) fn read_gateways(text: &str) -> Result<Vec<GatewayId>, String> {
    super::parse_all(&super::read::<Vec<String>>(text)?)
}
