//! Gateways: named groups of nodes.

use ipnet::IpNet;

use crate::{GatewayId, Name};

/// A named group of nodes that an API is published to and a grant is effective for. `default` exists from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its id.
    pub id: GatewayId,
    /// How it is set up.
    pub spec: GatewaySpec,
}

/// A gateway as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySpec {
    /// Its name, unique over all gateways.
    pub name: Name,
    /// For people.
    pub description: String,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What its listeners accept at most.
    pub limits: GatewayLimits,
}

/// What a gateway's listeners accept at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Largest request head, in bytes.
    pub head_bytes: u32,
    /// Most header fields of a request.
    pub headers: u16,
    /// Largest request body, in bytes.
    pub body_bytes: u64,
    /// Longest time for a head to arrive, in milliseconds.
    pub header_timeout_ms: u32,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self { head_bytes: 32_768, headers: 100, body_bytes: 33_554_432, header_timeout_ms: 10_000 }
    }
}
