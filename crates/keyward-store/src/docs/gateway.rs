//! A gateway's document.

use keyward_model::{GatewayLimits, IpNet};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Doc {
    trusted_proxies: Vec<String>,
    head_bytes: u32,
    headers: u16,
    body_bytes: u64,
    header_timeout_ms: u32,
}

pub(crate) fn write(trusted_proxies: &[IpNet], limits: &GatewayLimits) -> String {
    super::write(&Doc {
        trusted_proxies: super::texts(trusted_proxies),
        head_bytes: limits.head_bytes,
        headers: limits.headers,
        body_bytes: limits.body_bytes,
        header_timeout_ms: limits.header_timeout_ms,
    })
}

pub(crate) fn read(text: &str) -> Result<(Vec<IpNet>, GatewayLimits), String> {
    let doc: Doc = super::read(text)?;
    let limits = GatewayLimits {
        head_bytes: doc.head_bytes,
        headers: doc.headers,
        body_bytes: doc.body_bytes,
        header_timeout_ms: doc.header_timeout_ms,
    };
    Ok((super::networks(&doc.trusted_proxies)?, limits))
}
