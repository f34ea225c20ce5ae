//! Judges a request on a Snapshot, with no socket: the ladder of the gateway's `request.rs` in its pure form.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use keyward_access::{
    Authentication, Body, Denial, Field, RequestHead, Snapshot, authenticate, authorize, resolve,
};
use keyward_model::{CallerId, DenyReason, GatewayId, GrantId, Timestamp};

use crate::request::Request;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may pass, by this grant (none where the API admits anyone).
    Allow(Option<GrantId>),
    /// It may not, for this reason; the grant that was named.
    Deny(DenyReason, Option<GrantId>),
}

/// A replay memory that forgets nothing and lives as long as the test.
#[derive(Debug, Default)]
pub struct Nonces {
    seen: Mutex<HashSet<(CallerId, Box<str>)>>,
    /// Nothing can be remembered.
    closed: bool,
}

/// What a judgement is made by, besides the Snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'c> {
    /// From where the request comes; absent: 127.0.0.1.
    pub from: Option<IpAddr>,
    /// When.
    pub now: Timestamp,
    /// When the Snapshot was last known to be the newest.
    pub confirmed_at: Timestamp,
    /// What nonces were used.
    pub nonces: &'c Nonces,
}

impl Nonces {
    /// An empty memory; `closed`: one that can remember nothing.
    pub fn new(closed: bool) -> Self {
        Self { closed, ..Self::default() }
    }
}

/// Judges this request at this gateway.
pub fn judge(
    snapshot: &Snapshot,
    gateway: GatewayId,
    request: &Request,
    by: &Circumstances<'_>,
) -> Judgement {
    let host = request.host.to_ascii_lowercase();
    let (path, query) =
        request.target.split_once('?').map_or((request.target.as_str(), None), |(p, q)| (p, Some(q)));
    let mut fields = vec![Field { name: "Host", value: request.host.as_bytes() }];
    let length = request.body.len().to_string();
    fields.extend(request.headers.iter().map(|(name, value)| Field { name, value: value.trim().as_bytes() }));
    if !request.body.is_empty() || request.announce_empty {
        fields.push(Field { name: "Content-Length", value: length.as_bytes() });
    }
    let head = RequestHead {
        method: &request.method,
        host: &host,
        path,
        query,
        fields: &fields,
        client: by.from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        secure: false,
        has_body: !request.body.is_empty(),
    };
    match ladder(snapshot, gateway, &head, &request.body, by) {
        Ok(grant) => Judgement::Allow(grant),
        Err(denial) => Judgement::Deny(denial.reason, denial.grant),
    }
}

fn ladder(
    snapshot: &Snapshot,
    gateway: GatewayId,
    head: &RequestHead<'_>,
    body: &[u8],
    by: &Circumstances<'_>,
) -> Result<Option<GrantId>, Denial> {
    let Circumstances { now, nonces, .. } = *by;
    let target = resolve(snapshot, gateway, head)?;
    let mut authentication = authenticate(snapshot, &target, head, Body::Unread, now)?;
    if matches!(authentication, Authentication::NeedsBody(_)) {
        authentication = authenticate(snapshot, &target, head, Body::Whole(body), now)?;
    }
    if let Authentication::Verified(verified) = &authentication
        && let Some(nonce) = &verified.nonce
    {
        if nonces.closed && nonce.required {
            return Err(Denial::new(DenyReason::ReplayMemoryUnavailable));
        }
        let mut seen = nonces.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !nonces.closed && !seen.insert((nonce.caller, nonce.nonce.clone())) {
            return Err(Denial::new(DenyReason::NonceReplayed));
        }
    }
    let permit = authorize(snapshot, &target, &authentication, by.confirmed_at, now)?;
    if !target.service.spec.enabled {
        return Err(Denial::new(DenyReason::UpstreamUnavailable));
    }
    Ok(permit.grant())
}
