//! Requests, each made from one number.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use keyward_model::{
    Api, CallerId, CredentialDigest, GatewayId, Grant, Grantee, HostPattern, JwkSet, JwtKeys, KeySource,
    OpaqueProof, Proof, Segment, TokenPlace,
};
use keyward_testkit::oracle::{Asked, Part, Rows, Shown, Truth};

use crate::universe::{
    CLAIM_NAMES, CLAIM_VALUES, DIGEST_KEY, HOSTS, KEY_SETS, METHODS, at, key_set, key_value, token, uuid,
};

/// The values that requests carry, and what is true of them.
pub(crate) struct Values {
    tokens: BTreeMap<String, (JwkSet, BTreeMap<String, String>)>,
    digests: BTreeMap<String, CredentialDigest>,
}

impl Values {
    pub(crate) fn new() -> Self {
        let mut tokens = BTreeMap::new();
        for (number, kid) in (0..).zip(KEY_SETS) {
            for claim in CLAIM_NAMES {
                for value in CLAIM_VALUES {
                    let claims = BTreeMap::from([(claim.to_owned(), value.to_owned())]);
                    tokens.insert(token(kid, claim, value), (key_set(number), claims));
                }
            }
        }
        let digests = (0..20).map(|number| (key_value(number), digest(&key_value(number)))).collect();
        Self { tokens, digests }
    }

    pub(crate) fn truth(&self) -> Truth<'_> {
        Truth { digest: &|text| digest_of(&DIGESTS, text), tokens: &self.tokens }
    }
}

/// Digests are asked for over and over: each is worked out once.
static DIGESTS: std::sync::Mutex<BTreeMap<String, CredentialDigest>> = std::sync::Mutex::new(BTreeMap::new());

fn digest_of(known: &std::sync::Mutex<BTreeMap<String, CredentialDigest>>, text: &str) -> CredentialDigest {
    let mut known = known.lock().unwrap();
    *known.entry(text.to_owned()).or_insert_with(|| digest(text))
}

pub(crate) fn digest(text: &str) -> CredentialDigest {
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(&DIGEST_KEY.0).unwrap();
    mac.update(text.as_bytes());
    CredentialDigest(mac.finalize().into_bytes().into())
}

/// A source of numbers that follow from the first.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_of<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// The request of this number: mostly at an API that there is, by someone who may have been granted on it.
pub(crate) fn request(number: u64, values: &Values, rows: &Rows) -> Asked {
    let mut numbers = Numbers(number);
    let n = &mut numbers;
    let api = rows.apis.values().nth(n.below(rows.apis.len().max(1))).filter(|_| !n.once_in(10));
    let prefix =
        if n.once_in(6) { n.one_of(&["/release", "/test", "/prepub", "/trial", "/a", "/tes"]) } else { "" };
    let base = match api {
        Some(api) => api.settings.base_path.as_str().replacen(
            'a',
            if n.once_in(9) { n.one_of(&["%61", "%61", "%2561", "a;v"]) } else { "a" },
            1,
        ),
        None => n.one_of(&["", "/a", "/a/b", "/b", "/ab", "/test"]).to_owned(),
    };
    let (method, rest) = operation(n, api);
    let mut path = format!("{prefix}{base}{rest}");
    if n.once_in(60) {
        path.push_str(n.one_of(&["//", "/../a", "/./b", "/%2e%2E"]));
    }
    let stage = |n: &mut Numbers| n.one_of(&["RELEASE", "TEST", "TEST", "PRE", "test"]).to_owned();
    let stages = match n.below(24) {
        0..20 => vec![],
        20..23 => vec![stage(n)],
        _ => vec![stage(n), stage(n)],
    };
    let shown = match n.below(20) {
        0 => vec![],
        1 => vec![shown(n, values), granted_ones(n, values, rows, api)],
        2..5 => vec![shown(n, values)],
        _ => vec![granted_ones(n, values, rows, api)],
    };
    let gateway = api.and_then(|api| api.gateways.first()).filter(|_| !n.once_in(6)).copied();
    Asked {
        gateway: gateway.unwrap_or_else(|| GatewayId::from_uuid(uuid(2, n.below(2), 0))),
        host: host(n, api),
        method,
        path: if path.is_empty() { "/".into() } else { path },
        stages,
        client: if n.once_in(8) { [10, 0, 0, 1].into() } else { [127, 0, 0, 1].into() },
        shown,
        now: at([-1, 0, 0, 1, 2, 9, 10, 1000][n.below(8)]),
    }
}

/// Mostly an operation that the API declares.
fn operation(n: &mut Numbers, api: Option<&Api>) -> (String, String) {
    let declared = api.map_or(&[][..], |api| &api.settings.operations);
    if declared.is_empty() || n.once_in(3) {
        let rest = n.one_of(&[
            "",
            "/",
            "/1",
            "/1",
            "/x",
            "/1/2",
            "/admin",
            "/%61dmin",
            "/admin/x",
            "/1/x",
            "/1/",
            "/1;v",
            "/admin;v",
            "/%2561dmin",
            "/1/x%253bv",
            "/x;v/2;v",
        ]);
        let method = if n.once_in(2) { "GET" } else { n.one_of(&METHODS) };
        return (method.into(), rest.into());
    }
    let declared = &declared[n.below(declared.len())];
    let method = declared.method.as_ref().map_or("DELETE", |method| method.as_str());
    let segment = |segment: &Segment| match segment {
        Segment::Literal(literal) => format!("/{literal}"),
        Segment::Parameter(_) => "/1".into(),
    };
    (method.into(), declared.path.segments().iter().map(segment).collect())
}

fn host(n: &mut Numbers, api: Option<&Api>) -> String {
    let exact = api.into_iter().flat_map(|api| &api.settings.hosts).find_map(|host| match host {
        HostPattern::Exact(host) => Some(host.to_string()),
        HostPattern::Wildcard(_) => None,
    });
    exact.filter(|_| !n.once_in(6)).unwrap_or_else(|| n.one_of(&HOSTS).into())
}

/// What someone who was granted on the API would show (or anyone, where nobody was), at the right place.
fn granted_ones(n: &mut Numbers, values: &Values, rows: &Rows, api: Option<&Api>) -> Shown {
    let on_api = |grant: &&Grant| api.is_some_and(|api| api.id == grant.api);
    let callers: Vec<CallerId> = rows
        .grants
        .values()
        .filter(on_api)
        .flat_map(|grant| match grant.grantee {
            Grantee::Caller(id) => vec![id],
            Grantee::Group(id) => rows.groups[&id].members.clone(),
        })
        .collect();
    let any = n.once_in(8) || callers.is_empty();
    let id = if any {
        rows.callers.keys().nth(n.below(rows.callers.len().max(1)))
    } else {
        callers.get(n.below(callers.len()))
    };
    let Some((caller, credentials)) = id.and_then(|id| rows.callers.get(id)) else { return shown(n, values) };
    let Some(credential) = credentials.get(n.below(credentials.len().max(1))) else {
        return shown(n, values);
    };
    match &credential.proof {
        Proof::ApiKey(OpaqueProof::Digest(digest)) => {
            let value =
                values.digests.iter().find(|(_, ours)| *ours == digest).map_or("", |(value, _)| value);
            match &caller.key_sources[n.below(caller.key_sources.len())] {
                KeySource::Bearer => at_place(Part::Header, "authorization", "Bearer ", value),
                KeySource::Header(name) => at_place(Part::Header, name.as_str(), "", value),
                KeySource::Query(name) => at_place(Part::Query, name, "", value),
            }
        }
        Proof::Jwt(jwt) => {
            let names = |claims: &BTreeMap<String, String>| {
                claims
                    .get(&*jwt.identity_claim.name)
                    .is_some_and(|value| **value == *jwt.identity_claim.value)
            };
            let own = values
                .tokens
                .iter()
                .find(|(_, (set, claims))| JwtKeys::Own(set.clone()) == jwt.keys && names(claims));
            let token = own.map_or("", |(token, _)| token);
            match &jwt.settings.token {
                TokenPlace::Header { name, prefix } => at_place(Part::Header, name.as_str(), prefix, token),
                TokenPlace::Query { name, prefix } => at_place(Part::Query, name, prefix, token),
                TokenPlace::Cookie { name, prefix } => at_place(Part::Cookie, name, prefix, token),
            }
        }
        Proof::KeyPair { .. } | Proof::AppCode(_) | Proof::ApiKey(_) => shown(n, values),
    }
}

fn at_place(part: Part, name: &str, prefix: &str, value: &str) -> Shown {
    Shown { part, name: name.into(), value: format!("{prefix}{value}") }
}

/// A key or a token, somewhere.
fn shown(n: &mut Numbers, values: &Values) -> Shown {
    let value = if n.once_in(3) {
        let at = n.below(values.tokens.len());
        values.tokens.keys().nth(at).unwrap().clone()
    } else if n.once_in(12) {
        "nobody-0123456789".into()
    } else {
        let at = n.below(values.digests.len());
        values.digests.keys().nth(at).unwrap().clone()
    };
    let (part, name, prefix) = match n.below(14) {
        0..6 => (Part::Header, "authorization", "Bearer "),
        6 => (Part::Header, "authorization", "bEARER   "),
        7 => (Part::Header, "authorization", "Other "),
        8 => (Part::Header, "x-key", ""),
        9 => (Part::Header, "x-token", "JWT "),
        10 => (Part::Header, "x-token", ""),
        11 => (Part::Query, "key", ""),
        12 => (Part::Query, "token", ""),
        _ => (Part::Cookie, "jar", "T "),
    };
    at_place(part, name, prefix, &value)
}
