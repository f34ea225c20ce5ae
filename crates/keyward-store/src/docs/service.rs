//! A service's document. The value of its authentication is not in it, but sealed beside it.

use keyward_model::{EndpointSpec, HeaderName, ServiceAuth, ServiceKind, ServiceSpec, ServiceTimeouts};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Doc {
    kind: String,
    endpoints: Vec<Endpoint>,
    connect_ms: u32,
    first_byte_ms: u32,
    idle_ms: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_header: Option<String>,
    /// Is the value written with references?
    #[serde(default, skip_serializing_if = "is_false")]
    auth_refers: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Serialize, Deserialize)]
struct Endpoint {
    url: String,
    weight: u32,
}

/// What a service's document holds.
pub(crate) struct ServiceDoc {
    pub(crate) kind: ServiceKind,
    pub(crate) endpoints: Vec<EndpointSpec>,
    pub(crate) timeouts: ServiceTimeouts,
    pub(crate) auth_header: Option<HeaderName>,
    pub(crate) auth_refers: bool,
}

/// `refers`: is the value of its authentication written with references?
pub(crate) fn write(spec: &ServiceSpec, refers: bool) -> String {
    super::write(&Doc {
        kind: match spec.kind {
            ServiceKind::Http => "http".to_owned(),
        },
        endpoints: spec
            .endpoints
            .iter()
            .map(|endpoint| Endpoint { url: endpoint.url.as_str().to_owned(), weight: endpoint.weight })
            .collect(),
        connect_ms: spec.timeouts.connect_ms,
        first_byte_ms: spec.timeouts.first_byte_ms,
        idle_ms: spec.timeouts.idle_ms,
        auth_header: spec.service_auth.as_ref().map(|auth| match auth {
            ServiceAuth::Header { name, .. } => name.to_string(),
        }),
        auth_refers: refers,
    })
}

pub(crate) fn read(text: &str) -> Result<ServiceDoc, String> {
    let doc: Doc = super::read(text)?;
    let endpoints = doc
        .endpoints
        .iter()
        .map(|endpoint| Ok(EndpointSpec { url: super::parse(&endpoint.url)?, weight: endpoint.weight }))
        .collect::<Result<_, String>>()?;
    Ok(ServiceDoc {
        kind: match doc.kind.as_str() {
            "http" => ServiceKind::Http,
            other => return Err(format!("`{other}` is not a kind of service")),
        },
        endpoints,
        timeouts: ServiceTimeouts {
            connect_ms: doc.connect_ms,
            first_byte_ms: doc.first_byte_ms,
            idle_ms: doc.idle_ms,
        },
        auth_refers: doc.auth_refers,
        auth_header: doc.auth_header.as_deref().map(super::parse).transpose()?,
    })
}
