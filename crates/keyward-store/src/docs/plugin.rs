//! A plugin's lists: the operation it is bound to, and the services that its configuration names.

use keyward_model::{Name, Operation, ServiceId};

use super::grant::OperationDoc;

pub(crate) fn write_operation(operation: &Operation) -> String {
    super::write(&OperationDoc::from(operation))
}

pub(crate) fn read_operation(text: &str) -> Result<Operation, String> {
    super::read::<OperationDoc>(text)?.read()
}

pub(crate) fn write_services(services: &[(Name, ServiceId)]) -> String {
    super::write(&services.iter().map(|(name, id)| (name.to_string(), id.to_string())).collect::<Vec<_>>())
}

pub(crate) fn read_services(text: &str) -> Result<Vec<(Name, ServiceId)>, String> {
    let services = super::read::<Vec<(String, String)>>(text)?;
    services.iter().map(|(name, id)| Ok((super::parse(name)?, super::parse(id)?))).collect()
}
