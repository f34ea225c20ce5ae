//! A module's document: what it may use, see and call. Its code is sealed beside it.

use keyward_model::{ModuleLimits, ModuleSees, Name, OnFailure, ServiceId};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Doc {
    on_failure: String,
    request_body: bool,
    response_head: bool,
    response_body: bool,
    memory_bytes: u64,
    fuel: u64,
    time_ms: u32,
    body_bytes: u32,
    workers: u16,
    services: Vec<(String, String)>,
}

/// What a module's document holds.
pub(crate) struct ModuleDoc {
    pub(crate) on_failure: OnFailure,
    pub(crate) sees: ModuleSees,
    pub(crate) limits: ModuleLimits,
    pub(crate) services: Vec<(Name, ServiceId)>,
}

pub(crate) fn write(doc: &ModuleDoc) -> String {
    let ModuleSees { request_body, response_head, response_body } = doc.sees;
    let ModuleLimits { memory_bytes, fuel, time_ms, body_bytes, workers } = doc.limits;
    super::write(&Doc {
        on_failure: doc.on_failure.to_string(),
        request_body,
        response_head,
        response_body,
        memory_bytes,
        fuel,
        time_ms,
        body_bytes,
        workers,
        services: doc.services.iter().map(|(name, id)| (name.to_string(), id.to_string())).collect(),
    })
}

pub(crate) fn read(text: &str) -> Result<ModuleDoc, String> {
    let doc: Doc = super::read(text)?;
    let Doc { request_body, response_head, response_body, .. } = doc;
    let Doc { memory_bytes, fuel, time_ms, body_bytes, workers, .. } = doc;
    let services = doc.services.iter().map(|(name, id)| Ok((super::parse(name)?, super::parse(id)?)));
    Ok(ModuleDoc {
        on_failure: super::parse(&doc.on_failure)?,
        sees: ModuleSees { request_body, response_head, response_body },
        limits: ModuleLimits { memory_bytes, fuel, time_ms, body_bytes, workers },
        services: services.collect::<Result<_, String>>()?,
    })
}
