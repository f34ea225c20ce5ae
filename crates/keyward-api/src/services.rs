//! Services: the upstreams.

use keyward_model::{
    EndpointSpec, HeaderName, SecretText, ServiceAuth, ServiceKind, ServiceSpec, ServiceTimeouts,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::credentials;
use crate::forms as form;
use crate::read::{Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A service, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Service {
    /// Its account.
    #[schemars(default = "text::default_account", with = "form::Name")]
    pub account: String,
    /// Its name, unique in the account.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// A disabled service answers nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// What it speaks: `http`.
    #[schemars(default = "http", with = "form::ServiceKind")]
    pub kind: String,
    /// Where it is.
    #[schemars(with = "form::Many<form::Either<form::EndpointUrl, Endpoint>, { usize::MAX }>")]
    pub endpoints: Vec<Endpoint>,
    /// Time limits towards it.
    #[schemars(default)]
    pub timeouts: Timeouts,
    /// How Keyward proves itself to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Endpoint {
    /// `http://HOST[:PORT][/PATH]`.
    #[schemars(with = "form::EndpointUrl")]
    pub url: String,
    /// Its share of the requests, relative to its siblings.
    #[schemars(default = "one", range(max = 1_000_000))]
    pub weight: u32,
}

/// Time limits towards a service, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Timeouts {
    /// To establish a connection.
    #[schemars(default = "connect_ms", range(min = 1, max = 86_400_000))]
    pub connect_ms: u32,
    /// From the request's last byte to the answer's first.
    #[schemars(default = "first_byte_ms", range(min = 1, max = 86_400_000))]
    pub first_byte_ms: u32,
    /// Between two pieces of a body.
    #[schemars(default = "idle_ms", range(min = 1, max = 86_400_000))]
    pub idle_ms: u32,
}

/// How Keyward proves itself to a service.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Auth {
    /// A header field that is set on every request.
    pub header: AuthHeader,
}

/// A header field that is set on every request.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct AuthHeader {
    /// Its name.
    #[schemars(with = "form::HeaderName")]
    pub name: String,
    /// Its value; left out where secrets are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::HeaderSecret>")]
    pub value: Option<String>,
}

impl std::fmt::Debug for AuthHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let ServiceTimeouts { connect_ms, first_byte_ms, idle_ms } = ServiceTimeouts::default();
        Self { connect_ms, first_byte_ms, idle_ms }
    }
}

fn http() -> String {
    "http".to_owned()
}

fn one() -> u32 {
    1
}

fn connect_ms() -> u32 {
    Timeouts::default().connect_ms
}

fn first_byte_ms() -> u32 {
    Timeouts::default().first_byte_ms
}

fn idle_ms() -> u32 {
    Timeouts::default().idle_ms
}

const SHAPE: Shape = Shape {
    noun: "a service",
    allowed: &["account", "name", "description", "enabled", "kind", "endpoints", "timeouts", "auth"],
    later: &["tls", "provider"],
};

const ENDPOINT: Shape = Shape { noun: "an endpoint", allowed: &["url", "weight"], later: &[] };

const TIMEOUTS: Shape = Shape {
    noun: "the timeouts of a service",
    allowed: &["connect_ms", "first_byte_ms", "idle_ms"],
    later: &[],
};

const AUTH: Shape = Shape { noun: "the auth of a service", allowed: &["header"], later: &["api_keys"] };

const HEADER: Shape = Shape { noun: "a header", allowed: &["name", "value"], later: &[] };

pub(crate) fn read(item: &Item<'_>) -> Option<ServiceSpec> {
    let fields = item.fields(&SHAPE)?;
    let account = text::account(&fields);
    let name = fields.required("name", parse);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let kind = fields.or("kind", ServiceKind::Http, |item| {
        item.choice(&[("http", ServiceKind::Http)], &["ai", "agent", "mcp"])
    });
    let endpoints = fields.required("endpoints", read_endpoints);
    let timeouts = fields.or("timeouts", ServiceTimeouts::default(), read_timeouts);
    let service_auth = fields.optional("auth", read_auth);
    Some(ServiceSpec {
        account: account?,
        name: name?,
        description: description?,
        enabled: enabled?,
        kind: kind?,
        endpoints: endpoints?,
        timeouts: timeouts?,
        service_auth: service_auth?,
    })
}

fn read_endpoints(item: &Item<'_>) -> Option<Vec<EndpointSpec>> {
    let endpoints = item.list(read_endpoint)?;
    if endpoints.is_empty() {
        return item.wrong("must name at least one endpoint, like http://127.0.0.1:9000");
    }
    Some(endpoints)
}

/// A URL, or a mapping with its weight.
fn read_endpoint(item: &Item<'_>) -> Option<EndpointSpec> {
    if item.is_text() {
        return Some(EndpointSpec { url: parse(item)?, weight: 1 });
    }
    let fields = item.fields(&ENDPOINT)?;
    let url = fields.required("url", parse);
    let weight = fields.or("weight", 1, |item| item.number(0..=1_000_000));
    Some(EndpointSpec { url: url?, weight: weight? })
}

fn read_timeouts(item: &Item<'_>) -> Option<ServiceTimeouts> {
    let fields = item.fields(&TIMEOUTS)?;
    let default = ServiceTimeouts::default();
    let millis = |item: &Item<'_>| item.number(1..=86_400_000);
    let connect_ms = fields.or("connect_ms", default.connect_ms, millis);
    let first_byte_ms = fields.or("first_byte_ms", default.first_byte_ms, millis);
    let idle_ms = fields.or("idle_ms", default.idle_ms, millis);
    Some(ServiceTimeouts { connect_ms: connect_ms?, first_byte_ms: first_byte_ms?, idle_ms: idle_ms? })
}

fn read_auth(item: &Item<'_>) -> Option<ServiceAuth> {
    item.fields(&AUTH)?.required("header", |item| {
        let fields = item.fields(&HEADER)?;
        let name = fields.required("name", service_header);
        let value = fields.optional("value", header_secret);
        Some(ServiceAuth::Header { name: name?, value: value? })
    })
}

/// `Authorization` is as good a place as any other, a field that the transport owns is not.
fn service_header(item: &Item<'_>) -> Option<HeaderName> {
    text::free_header(item)
}

/// Of one with references, only what stands beside them can be looked at here.
fn header_secret(item: &Item<'_>) -> Option<SecretText> {
    let value = item.secret_text()?;
    let written = value.written();
    let text = value.plain().unwrap_or(&written).expose_secret();
    if text.is_empty() || text.len() > 8_192 || !text::is_one_line(text) || !text.is_ascii() {
        return item
            .wrong("a header's value has 1 to 8192 visible ASCII characters, with blanks only within");
    }
    Some(value)
}

impl From<&ServiceSpec> for Service {
    fn from(spec: &ServiceSpec) -> Self {
        let ServiceTimeouts { connect_ms, first_byte_ms, idle_ms } = spec.timeouts;
        let endpoint =
            |spec: &EndpointSpec| Endpoint { url: spec.url.as_str().to_owned(), weight: spec.weight };
        Self {
            account: spec.account.to_string(),
            name: spec.name.to_string(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            kind: match spec.kind {
                ServiceKind::Http => "http".to_owned(),
            },
            endpoints: spec.endpoints.iter().map(endpoint).collect(),
            timeouts: Timeouts { connect_ms, first_byte_ms, idle_ms },
            auth: spec.service_auth.as_ref().map(|ServiceAuth::Header { name, value }| Auth {
                header: AuthHeader {
                    name: name.to_string(),
                    value: value.as_ref().map(credentials::written),
                },
            }),
        }
    }
}
