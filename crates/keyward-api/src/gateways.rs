//! Gateways: named groups of nodes.

use keyward_model::{GatewayLimits, GatewaySpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::read::{Item, Shape, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A gateway, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Gateway {
    /// Its name, unique over all gateways.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// Networks (`10.0.0.0/8`) whose forwarded headers are believed.
    #[schemars(default, with = "Vec<form::Network>")]
    pub trusted_proxies: Vec<String>,
    /// What its listeners accept at most.
    #[schemars(default)]
    pub limits: Limits,
}

/// What a gateway's listeners accept at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Limits {
    /// Largest request head, in bytes.
    #[schemars(default = "head_bytes", range(min = 1_024, max = 1_048_576))]
    pub head_bytes: u32,
    /// Most header fields of a request.
    #[schemars(default = "headers", range(min = 8, max = 1_000))]
    pub headers: u16,
    /// Largest request body, in bytes.
    #[schemars(default = "body_bytes", range(min = 0, max = 1_099_511_627_776_u64))]
    pub body_bytes: u64,
    /// Longest time for a head to arrive, in milliseconds.
    #[schemars(default = "header_timeout_ms", range(min = 100, max = 600_000))]
    pub header_timeout_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        (&GatewayLimits::default()).into()
    }
}

fn head_bytes() -> u32 {
    Limits::default().head_bytes
}

fn headers() -> u16 {
    Limits::default().headers
}

fn body_bytes() -> u64 {
    Limits::default().body_bytes
}

fn header_timeout_ms() -> u32 {
    Limits::default().header_timeout_ms
}

const SHAPE: Shape = Shape {
    noun: "a gateway",
    allowed: &["name", "description", "trusted_proxies", "limits"],
    later: &["listeners"],
};

const LIMITS: Shape = Shape {
    noun: "the limits of a gateway",
    allowed: &["head_bytes", "headers", "body_bytes", "header_timeout_ms"],
    later: &[],
};

pub(crate) fn read(item: &Item<'_>) -> Option<GatewaySpec> {
    let fields = item.fields(&SHAPE)?;
    let name = fields.required("name", parse);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let trusted_proxies = fields.or("trusted_proxies", Vec::new(), |item| item.list(text::network));
    let limits = fields.or("limits", GatewayLimits::default(), read_limits);
    Some(GatewaySpec {
        name: name?,
        description: description?,
        trusted_proxies: trusted_proxies?,
        limits: limits?,
    })
}

fn read_limits(item: &Item<'_>) -> Option<GatewayLimits> {
    let fields = item.fields(&LIMITS)?;
    let default = GatewayLimits::default();
    let head_bytes = fields.or("head_bytes", default.head_bytes, |item| item.number(1_024..=1_048_576));
    let headers = fields.or("headers", default.headers, |item| item.number(8..=1_000));
    let body_bytes = fields.or("body_bytes", default.body_bytes, |item| item.number(0..=1 << 40));
    let header_timeout_ms =
        fields.or("header_timeout_ms", default.header_timeout_ms, |item| item.number(100..=600_000));
    Some(GatewayLimits {
        head_bytes: head_bytes?,
        headers: headers?,
        body_bytes: body_bytes?,
        header_timeout_ms: header_timeout_ms?,
    })
}

impl From<&GatewaySpec> for Gateway {
    fn from(spec: &GatewaySpec) -> Self {
        Self {
            name: spec.name.to_string(),
            description: spec.description.clone(),
            trusted_proxies: spec.trusted_proxies.iter().map(ToString::to_string).collect(),
            limits: (&spec.limits).into(),
        }
    }
}

impl From<&GatewayLimits> for Limits {
    fn from(limits: &GatewayLimits) -> Self {
        let &GatewayLimits { head_bytes, headers, body_bytes, header_timeout_ms } = limits;
        Self { head_bytes, headers, body_bytes, header_timeout_ms }
    }
}
