//! What a request asks for: API, stage, operation.

use std::net::IpAddr;
use std::sync::Arc;

use keyward_model::{Api, CredentialKind, DenyReason, GatewayId, IpNet, Operation, SignatureScheme, Stage};

use crate::operations::{Found, Template};
use crate::path::RequestPath;
use crate::snapshot::{ApiUsage, Matched, Route};
use crate::{ApiEntry, Demand, Denial, Dialect, PluginSet, RequestHead, ServiceEntry, Snapshot, Strip};

/// What a request asks for. Borrows the Snapshot and the head.
#[derive(Debug)]
pub struct Target<'a> {
    /// The API.
    pub api: &'a Arc<ApiEntry>,
    /// The stage.
    pub stage: Stage,
    /// The operation, where the API declares any.
    pub operation: Option<&'a Operation>,
    /// The service that the stage is bound to.
    pub service: &'a Arc<ServiceEntry>,
    pub(crate) gateway: GatewayId,
    pub(crate) method: &'a str,
    pub(crate) template: Option<&'a Template>,
    pub(crate) usage: Option<&'a ApiUsage>,
    plugins: PluginSet<'a>,
    /// How new the configuration must be.
    pub(crate) demand: Demand,
    path: RequestPath<'a>,
    /// How many segments the stage's prefix has.
    prefix_segments: usize,
    /// How many segments prefix and base path have together.
    base_segments: usize,
}

impl<'a> Target<'a> {
    /// The path towards the service: as it came, without the stage's prefix, and without the base path where the API
    /// strips it. Starts with `/`.
    pub fn service_path(&self) -> &'a str {
        let strips = self.api.api.settings.strip_base_path;
        or_root(self.path.raw_after(if strips { self.base_segments } else { self.prefix_segments }))
    }

    /// The path that a client of this scheme signs: as it came; Tencent's clients leave the stage's prefix out.
    pub fn signed_path(&self, scheme: SignatureScheme) -> &'a str {
        self.path_signed_by(scheme != SignatureScheme::Alibaba)
    }

    pub(crate) fn path_signed_by(&self, tencent: bool) -> &'a str {
        if tencent { or_root(self.path.raw_after(self.prefix_segments)) } else { self.path.raw() }
    }

    /// The path below the base path, decoded: what operations are compared with.
    pub fn operation_path(&self) -> &str {
        self.path.decoded_after(self.base_segments)
    }

    /// The gateway that was asked.
    pub fn gateway(&self) -> GatewayId {
        self.gateway
    }

    /// How new the configuration must be that judges the request.
    pub fn demand(&self) -> Demand {
        self.demand
    }

    /// What must not go on to the service, because it is (or could be) a caller's credential.
    pub fn strip(&self) -> Strip<'a> {
        Strip::new(self.api, self.usage, self.plugins)
    }

    /// The plugins that act on the call.
    pub fn plugins(&self) -> PluginSet<'a> {
        self.plugins
    }

    /// A refusal of this target, in the words of the vendor whose clients the API is for.
    pub(crate) fn refuse(&self, reason: DenyReason) -> Denial {
        refuse(self.api, Some(self.stage), reason)
    }
}

/// Finds what a request asks for.
///
/// An API that does not answer to the client's address (`allowed_addresses`) is not found: see `docs/decisions/0003`.
///
/// # Errors
/// `request_malformed`, `api_not_found`, `method_not_allowed` or `stage_invalid`.
pub fn resolve<'a>(
    snapshot: &'a Snapshot,
    gateway: GatewayId,
    head: &RequestHead<'a>,
) -> Result<Target<'a>, Denial> {
    let path = RequestPath::parse(head.path).ok_or_else(ambiguous_path)?;
    let demand = Demand::of(head)?;
    let Some(Matched { route, segments }) = snapshot.route(gateway, head.host, path.decoded()) else {
        return Err(Denial::new(DenyReason::ApiNotFound));
    };
    let entry = &route.api;
    let api = &entry.api;
    let refuse = |stage, reason| refuse(entry, stage, reason);
    if !answers(snapshot, api, head.client) {
        return Err(refuse(None, DenyReason::ApiNotFound));
    }
    let asked = [route.by_host, route.by_prefix];
    let stage = stage_of(head, asked);
    // Where the stage itself is invalid, what else is wrong comes first: the order of the list.
    let known_stage = stage.unwrap_or(Stage::Release);
    let service = api.stages.get(&known_stage).and_then(|binding| snapshot.service(binding.service));
    if stage.is_some() && service.is_none() {
        return Err(refuse(stage, DenyReason::ApiNotFound));
    }
    let (operation, template) = if api.settings.operations.is_empty() {
        (None, None)
    } else {
        match entry.operations.find(head.method, path.decoded_after(segments)) {
            Found::Operation(index, template) => (api.settings.operations.get(index), Some(template)),
            Found::OtherMethod => return Err(refuse(stage, DenyReason::MethodNotAllowed)),
            Found::Nothing => return Err(refuse(stage, DenyReason::ApiNotFound)),
        }
    };
    let same = |reading: &String| reads_alike(snapshot, gateway, head, reading, (route, segments, template));
    if !path.other_readings().iter().all(same) {
        return Err(refuse(stage, DenyReason::RequestMalformed).with_hint(AMBIGUOUS_PATH));
    }
    let (Some(stage), Some(service)) = (stage, service) else {
        return Err(refuse(None, DenyReason::StageInvalid).with_hint(
            "name one stage, RELEASE, PRE or TEST: `X-Ca-Stage`, the host and the path's prefix must agree",
        ));
    };
    Ok(Target {
        api: entry,
        stage,
        operation,
        service,
        gateway,
        method: head.method,
        template,
        usage: snapshot.api_usage(api.id),
        plugins: PluginSet::new(
            snapshot.gateway_plugins(gateway),
            entry.plugins.as_deref(),
            operation,
            api.account,
        ),
        demand,
        path,
        prefix_segments: route.prefix_segments,
        base_segments: segments,
    })
}

const AMBIGUOUS_PATH: &str = "the path can be read in two ways: leave out empty and dot segments, escaped slashes, \
    backslashes and control characters, and `;` or `%25` where the path without them is another one";

fn ambiguous_path() -> Denial {
    Denial::new(DenyReason::RequestMalformed).with_hint(AMBIGUOUS_PATH)
}

/// Does another reading of the path lead to the same API and operation? (`/admin;x` is `/admin` to some services: it
/// must not pass as the `/{id}` beside it.)
fn reads_alike(
    snapshot: &Snapshot,
    gateway: GatewayId,
    head: &RequestHead<'_>,
    reading: &str,
    (route, segments, template): (&Route, usize, Option<&Template>),
) -> bool {
    let Some(other) = snapshot.route(gateway, head.host, reading) else { return false };
    let api = &other.route.api;
    if api.api.id != route.api.api.id || other.segments != segments {
        return false;
    }
    let Some(template) = template else { return true };
    let below: String = reading.split('/').skip(segments + 1).flat_map(|segment| ["/", segment]).collect();
    matches!(api.operations.find(head.method, &below), Found::Operation(_, found) if found == template)
}

/// Does this API answer to anything, and to this address?
fn answers(snapshot: &Snapshot, api: &Api, client: IpAddr) -> bool {
    let allowed = &api.settings.allowed_addresses;
    let client = client.to_canonical();
    api.settings.enabled
        && snapshot.account(api.account).is_some_and(|account| account.enabled)
        && (allowed.is_empty() || allowed.iter().any(|net: &IpNet| net.contains(&client)))
}

/// The stage that host, prefix and header agree on; `None` where they differ or one is none.
fn stage_of(head: &RequestHead<'_>, bound: [Option<Stage>; 2]) -> Option<Stage> {
    let mut agreed = None;
    let mut agree = |stage: Stage| *agreed.get_or_insert(stage) == stage;
    for stage in bound.into_iter().flatten() {
        if !agree(stage) {
            return None;
        }
    }
    for value in head.values("x-ca-stage") {
        let named = std::str::from_utf8(value).ok().and_then(|name| name.parse().ok());
        if !named.is_some_and(&mut agree) {
            return None;
        }
    }
    Some(agreed.unwrap_or(Stage::Release))
}

fn refuse(entry: &ApiEntry, stage: Option<Stage>, reason: DenyReason) -> Denial {
    let target = Some((entry.api.id, stage.unwrap_or(Stage::Release)));
    Denial { dialect: dialect_of(&entry.api), target, ..Denial::new(reason) }
}

/// The vendor whose clients an API is for, as far as that can be told before anything was presented.
pub(crate) fn dialect_of(api: &Api) -> Dialect {
    let admits = api.settings.admits;
    let schemes = &api.settings.signature.schemes;
    let signed = admits.contains(CredentialKind::AppSignature);
    if admits.contains(CredentialKind::AppCode) || signed && schemes.contains(&SignatureScheme::Alibaba) {
        Dialect::Alibaba
    } else if signed {
        Dialect::Tencent
    } else {
        Dialect::Plain
    }
}

fn or_root(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}
