//! The oracle: the rules once more, as a linear scan over rows. Slow, plain, and sharing no code with the Snapshot but
//! the nouns; where the two disagree, one of them is wrong.

use keyward_model::OpaqueProof;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use keyward_model::*;

/// Everything that there is, as rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Accounts.
    pub accounts: BTreeMap<AccountId, Account>,
    /// Gateways.
    pub gateways: BTreeMap<GatewayId, Gateway>,
    /// Services.
    pub services: BTreeMap<ServiceId, Service>,
    /// APIs.
    pub apis: BTreeMap<ApiId, Api>,
    /// Callers, with their credentials.
    pub callers: BTreeMap<CallerId, (Caller, Vec<Credential>)>,
    /// Groups.
    pub groups: BTreeMap<GroupId, Group>,
    /// Grants.
    pub grants: BTreeMap<GrantId, Grant>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// At which gateway.
    pub gateway: GatewayId,
    /// Host, as it is looked up.
    pub host: String,
    /// Method.
    pub method: String,
    /// Path, undecoded.
    pub path: String,
    /// Values of `X-Ca-Stage`.
    pub stages: Vec<String>,
    /// From where.
    pub client: IpAddr,
    /// What it carries in fields, parameters and cookies.
    pub shown: Vec<Shown>,
    /// When.
    pub now: Timestamp,
}

/// A value that a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Where.
    pub part: Part,
    /// Under which name; headers in lower case.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A header field.
    Header,
    /// A query parameter.
    Query,
    /// A cookie.
    Cookie,
}

/// What the one who made the requests knows of the values in them.
pub struct Truth<'t> {
    /// The digest under which an API key or AppCode is stored.
    pub digest: &'t dyn Fn(&str) -> CredentialDigest,
    /// Tokens: the key set that signed each, and its claims. All are in time.
    pub tokens: &'t BTreeMap<String, (JwkSet, BTreeMap<String, String>)>,
}

/// The grant that permits it (none for anyone), or the reason of the denial and the grant that it names.
pub type Verdict = Result<Option<GrantId>, (DenyReason, Option<GrantId>)>;

/// Decides a request by reading every row.
pub fn decide(rows: &Rows, truth: &Truth<'_>, asked: &Asked) -> Verdict {
    let deny = |reason| Err((reason, None));
    let path = match decoded(&asked.path) {
        Some(path) if !path.contains("//") && !path.split('/').any(|part| part == "." || part == "..") => {
            path
        }
        _ => return deny(DenyReason::RequestMalformed),
    };
    let Some((api, bound, rest)) = route(rows, asked, &path) else { return deny(DenyReason::ApiNotFound) };
    let open = api.settings.enabled && rows.accounts[&api.account].enabled;
    let near = &api.settings.allowed_addresses;
    if !open || !(near.is_empty() || near.iter().any(|net| net.contains(&asked.client))) {
        return deny(DenyReason::ApiNotFound);
    }
    let named: BTreeSet<Option<Stage>> =
        bound.into_iter().map(Some).chain(asked.stages.iter().map(|text| text.parse().ok())).collect();
    let stage = match named.len() {
        0 => Some(Stage::Release),
        1 => named.into_iter().next().flatten(),
        _ => None,
    };
    if stage.is_some_and(|stage| !api.stages.contains_key(&stage)) {
        return deny(DenyReason::ApiNotFound);
    }
    let operations = &api.settings.operations;
    let template = narrowest(operations, &rest);
    if !operations.is_empty() {
        let Some(template) = &template else { return deny(DenyReason::ApiNotFound) };
        let same = |other: &Operation| other.path.is_within(template) && template.is_within(&other.path);
        if !operations.iter().any(|operation| same(operation) && operation.matches(&asked.method, &rest)) {
            return deny(DenyReason::MethodNotAllowed);
        }
    }
    let alike = |other: &String| {
        route(rows, asked, other).is_some_and(|(found, _, below)| {
            let depth = |text: &str| text.matches('/').count();
            found.id == api.id && depth(&below) == depth(&rest) && narrowest(operations, &below) == template
        })
    };
    if !other_readings(&path).iter().all(alike) {
        return deny(DenyReason::RequestMalformed);
    }
    let Some(stage) = stage else { return deny(DenyReason::StageInvalid) };
    let service = &rows.services[&api.stages[&stage].service];
    let unavailable = !service.spec.enabled;
    let Some((caller, credential)) = prove(rows, truth, api, asked).map_err(|reason| (reason, None))? else {
        return if unavailable { deny(DenyReason::UpstreamUnavailable) } else { Ok(None) };
    };
    if !credential.enabled {
        return deny(DenyReason::CredentialDisabled);
    } else if credential.valid_until.is_some_and(|until| asked.now >= until) {
        return deny(DenyReason::CredentialExpired);
    } else if !caller.enabled {
        return deny(DenyReason::CallerDisabled);
    } else if !rows.accounts[&caller.account].enabled {
        return deny(DenyReason::AccountDisabled);
    }
    let covers = |operation: &Operation| {
        operation.matches(&asked.method, &rest)
            && template.as_ref().is_none_or(|t| operation.path.is_within(t))
    };
    let mut furthest = (DenyReason::GrantMissing, None);
    for grant in
        rows.grants.values().filter(|grant| grant.api == api.id && is_of(rows, grant, caller.id, true))
    {
        let state = grant.validity.state_at(asked.now);
        let reason = if grant.gateways.as_ref().is_some_and(|ids| !ids.contains(&asked.gateway)) {
            DenyReason::GrantOtherGateway
        } else if !grant.stages.contains(stage) {
            DenyReason::GrantOtherStage
        } else if grant.revoked.is_some() {
            DenyReason::GrantRevoked
        } else if state == ValidityState::NotYet {
            DenyReason::GrantNotYetValid
        } else if state == ValidityState::Expired {
            DenyReason::GrantExpired
        } else if grant.operations.as_ref().is_some_and(|all| !all.iter().any(covers)) {
            DenyReason::OperationNotGranted
        } else if unavailable {
            return Err((DenyReason::UpstreamUnavailable, Some(grant.id)));
        } else {
            return Ok(Some(grant.id));
        };
        if reason > furthest.0 {
            furthest = (reason, Some(grant.id));
        }
    }
    Err(furthest)
}

/// The API, the stages bound to host and prefix, and the path below the base path.
fn route<'r>(rows: &'r Rows, asked: &Asked, path: &str) -> Option<(&'r Api, BTreeSet<Stage>, String)> {
    // How well a host pattern fits: exactly, as the longest wildcard, or because any does.
    let fit = |host: Option<&HostPattern>| match host {
        None => Some(0),
        Some(HostPattern::Exact(exact)) => (**exact == *asked.host).then_some(usize::MAX),
        Some(HostPattern::Wildcard(suffix)) => asked.host.ends_with(&**suffix).then_some(suffix.len()),
    };
    let mut found: Vec<(usize, usize, bool, &Api, BTreeSet<Stage>, String)> = Vec::new();
    let mut best_fit = None;
    for api in rows.apis.values().filter(|api| api.gateways.contains(&asked.gateway)) {
        let hosts = api.settings.hosts.iter().map(|host| (Some(host), None));
        let any = api.settings.hosts.is_empty().then_some((None, None));
        let of_stages = api
            .stages
            .iter()
            .filter_map(|(stage, binding)| Some((Some(binding.host.as_ref()?), Some(*stage))));
        let mut fits: BTreeMap<usize, Option<Stage>> = BTreeMap::new();
        for (host, stage) in hosts.chain(any).chain(of_stages) {
            if let Some(fit) = fit(host) {
                let bound = fits.entry(fit).or_default();
                *bound = stage.or(*bound);
            }
        }
        best_fit = best_fit.max(fits.keys().copied().max());
        for (fit, by_host) in fits {
            for (prefix, by_prefix, written) in prefixes(api) {
                let Some(below) = strip(&prefix, path) else { continue };
                let Some(rest) = strip(&api.settings.base_path.to_string(), below) else { continue };
                let bound = by_host.into_iter().chain(by_prefix).collect();
                found.push((fit, path.len() - rest.len(), written, api, bound, rest.to_owned()));
            }
        }
    }
    let best = found.into_iter().filter(|(fit, ..)| Some(*fit) == best_fit);
    let best = best.max_by_key(|(_, length, written, ..)| (*length, *written))?;
    Some((best.3, best.4, best.5))
}

/// What may stand before an API's base path, the stage that it selects, and whether someone wrote it down.
fn prefixes(api: &Api) -> Vec<(String, Option<Stage>, bool)> {
    let settings = &api.settings;
    let tencent = settings.admits.contains(CredentialKind::AppSignature)
        && settings.signature.schemes.iter().any(|scheme| *scheme != SignatureScheme::Alibaba);
    let mut all = vec![("/".to_owned(), None, true)];
    for stage in Stage::ALL {
        match api.stages.get(&stage).and_then(|binding| binding.path_prefix.as_ref()) {
            Some(prefix) => all.push((prefix.to_string(), Some(stage), true)),
            None if tencent => all.push((stage.tencent_prefix().into(), Some(stage), false)),
            None => {}
        }
    }
    all
}

fn strip<'p>(base: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(base.trim_end_matches('/')).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Of the paths that match, the one that has a literal first, from the left.
fn narrowest(operations: &[Operation], rest: &str) -> Option<PathTemplate> {
    let matching = operations.iter().map(|operation| &operation.path).filter(|path| path.matches(rest));
    let parameters = |path: &PathTemplate| -> Vec<bool> {
        path.segments().iter().map(|segment| matches!(segment, Segment::Parameter(_))).collect()
    };
    matching.min_by_key(|path| parameters(path)).cloned()
}

fn is_of(rows: &Rows, grant: &Grant, caller: CallerId, enabled_only: bool) -> bool {
    match grant.grantee {
        Grantee::Caller(id) => id == caller,
        Grantee::Group(id) => {
            let group = &rows.groups[&id];
            group.members.contains(&caller) && (group.enabled || !enabled_only)
        }
    }
}

/// Who is proven to call; `None` for anyone.
fn prove<'r>(
    rows: &'r Rows,
    truth: &Truth<'_>,
    api: &Api,
    asked: &Asked,
) -> Result<Option<(&'r Caller, &'r Credential)>, DenyReason> {
    let admits = |kind| api.settings.admits.contains(kind);
    if api.settings.admits.is_anyone_alone() {
        return Ok(None);
    }
    let granted = |id| rows.grants.values().any(|grant| grant.api == api.id && is_of(rows, grant, id, false));
    let mut keys: Vec<(KeySource, &Caller, &Credential)> = Vec::new();
    let mut tokens: Vec<(&JwtBinding, bool, &Caller, &Credential)> = Vec::new();
    for (caller, credentials) in rows.callers.values() {
        for credential in credentials {
            match &credential.proof {
                Proof::ApiKey(_) if granted(caller.id) => {
                    keys.extend(caller.key_sources.iter().map(|source| (source.clone(), caller, credential)));
                }
                Proof::Jwt(binding) => tokens.push((binding, granted(caller.id), caller, credential)),
                _ => {}
            }
        }
    }
    let mut shown: Vec<&Shown> = Vec::new();
    let mut ignored = false;
    for one in &asked.shown {
        let bearer = (one.part, one.name.as_str()) == (Part::Header, "authorization")
            && after_bearer(&one.value).is_some();
        let key = bearer || keys.iter().any(|(source, ..)| is_source(source, one));
        let token = bearer
            || tokens
                .iter()
                .any(|(jwt, granted, ..)| *granted && at_place(&jwt.settings.token, one).is_some());
        if admits(CredentialKind::ApiKey) && key || admits(CredentialKind::Jwt) && token {
            shown.push(one);
        } else {
            ignored |= key || token || (one.part == Part::Header && one.name == "authorization");
        }
    }
    let authorizations =
        asked.shown.iter().filter(|one| one.part == Part::Header && one.name == "authorization");
    if authorizations.count() > 1 {
        return Err(DenyReason::CredentialAmbiguous);
    }
    let one = match (shown.as_slice(), ignored) {
        ([one], _) => *one,
        ([], true) => return Err(DenyReason::CredentialNotAdmitted),
        ([], false) if admits(CredentialKind::Anyone) => return Ok(None),
        ([], false) => return Err(DenyReason::CredentialMissing),
        _ => return Err(DenyReason::CredentialAmbiguous),
    };
    if admits(CredentialKind::ApiKey)
        && let Some((caller, credential, declared)) =
            by_key(rows, truth, one, keys.iter().any(|(source, ..)| is_source(source, one)))
    {
        return if declared { Ok(Some((caller, credential))) } else { Err(DenyReason::CredentialUnknown) };
    }
    if !admits(CredentialKind::Jwt) {
        return Err(DenyReason::CredentialUnknown);
    }
    // What is read here: behind Bearer, and where granted consumers keep their tokens.
    let places = tokens.iter().filter(|(_, granted, ..)| *granted).map(|(jwt, ..)| &jwt.settings.token);
    let default = TokenPlace::default();
    let texts: BTreeSet<&str> = places.chain([&default]).filter_map(|place| at_place(place, one)).collect();
    let mut verified: BTreeMap<CallerId, (&Caller, &Credential)> = BTreeMap::new();
    for (jwt, granted, caller, credential) in tokens {
        let Some(text) = at_place(&jwt.settings.token, one).filter(|text| texts.contains(text)) else {
            continue;
        };
        let Some((signed_by, claims)) = truth.tokens.get(text) else { continue };
        let claim = &jwt.identity_claim;
        let named = claims.get(&*claim.name).is_some_and(|value| **value == *claim.value);
        if named && (granted || caller.account == api.account) && JwtKeys::Own(signed_by.clone()) == jwt.keys
        {
            verified.insert(caller.id, (caller, credential));
        }
    }
    let readable = texts.iter().any(|text| truth.tokens.contains_key(*text));
    match verified.len() {
        0 if !readable && !admits(CredentialKind::ApiKey) => Err(DenyReason::CredentialMalformed),
        0 => Err(DenyReason::CredentialUnknown),
        1 => Ok(verified.into_values().next()),
        _ => Err(DenyReason::CredentialAmbiguous),
    }
}

/// Whose key this is, behind Bearer or in whole where keys stand so, and whether its consumer keeps keys there.
fn by_key<'r>(
    rows: &'r Rows,
    truth: &Truth<'_>,
    one: &Shown,
    in_whole: bool,
) -> Option<(&'r Caller, &'r Credential, bool)> {
    let bearer =
        after_bearer(&one.value).filter(|_| (one.part, &*one.name) == (Part::Header, "authorization"));
    let texts =
        bearer.map(|text| (true, text)).into_iter().chain(in_whole.then_some((false, one.value.as_str())));
    texts.into_iter().find_map(|(bearer, text)| {
        let digest = (truth.digest)(text);
        let owner =
            |proof: &Proof| matches!(proof, Proof::ApiKey(OpaqueProof::Digest(ours)) if *ours == digest);
        rows.callers.values().find_map(|(caller, credentials)| {
            let credential = credentials.iter().find(|credential| owner(&credential.proof))?;
            let at = |source: &KeySource| {
                if bearer { *source == KeySource::Bearer } else { is_source(source, one) }
            };
            Some((caller, credential, caller.key_sources.iter().any(at)))
        })
    })
}

fn is_source(source: &KeySource, one: &Shown) -> bool {
    match source {
        KeySource::Bearer => {
            one.part == Part::Header && one.name == "authorization" && after_bearer(&one.value).is_some()
        }
        KeySource::Header(name) => one.part == Part::Header && *name.as_str() == one.name,
        KeySource::Query(name) => one.part == Part::Query && **name == one.name,
    }
}

fn at_place<'v>(place: &TokenPlace, one: &'v Shown) -> Option<&'v str> {
    let (part, name, prefix) = match place {
        TokenPlace::Header { name, prefix } => (Part::Header, name.as_str(), prefix),
        TokenPlace::Query { name, prefix } => (Part::Query, &**name, prefix),
        TokenPlace::Cookie { name, prefix } => (Part::Cookie, &**name, prefix),
    };
    let text =
        if **prefix == *"Bearer " { after_bearer(&one.value) } else { one.value.strip_prefix(&**prefix) };
    text.filter(|_| part == one.part && name == one.name)
}

fn after_bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim_start())
}

/// What a service reads that cuts `;` parameters, decodes once more, or does both.
fn other_readings(path: &str) -> Vec<String> {
    let cut = |path: &str| {
        let names: Vec<_> =
            path.split('/').map(|part| part.split(';').next().unwrap_or_default().to_owned()).collect();
        names.join("/")
    };
    let again = decoded(path).unwrap_or_else(|| path.to_owned());
    vec![cut(path), cut(&again), again]
}

fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut parts = path.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part.get(2..)?.bytes());
    }
    String::from_utf8(bytes).ok()
}
