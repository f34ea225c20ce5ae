//! A consumer's JWT: where its keys come from, how tokens are read.

use keyward_model::{
    ClaimToHeader, IdentityClaimSpec, JwkSet, JwtKeySource, JwtSettings, JwtSpec, KeySetUrl, TokenPlace,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::credentials::{self, moment};
use crate::forms as form;
use crate::read::{Fields, Item, Shape, flag, parse};
use crate::text;

/// A consumer's JWT, as a world file and the admin API describe it.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Jwt {
    /// A key set (RFC 7517) as JSON text; left out where secrets are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::KeySet>")]
    pub jwks: Option<String>,
    /// Is a key set of the consumer's own, with one HS256 key, generated?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symmetric: Option<bool>,
    /// Where the key set is fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteKeys>,
    /// What `iss` must be; absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Word>")]
    pub issuer: Option<String>,
    /// One of these must be in `aud`; empty: anything.
    #[schemars(default, with = "Vec<form::Word>")]
    pub audiences: Vec<String>,
    /// Tolerance on times, in seconds.
    #[schemars(default = "minute", range(max = 3_600))]
    pub clock_skew_s: u32,
    /// Must there be an `exp`?
    #[schemars(default = "form::yes")]
    pub require_exp: bool,
    /// Claims handed to the service.
    #[schemars(default)]
    pub claims_to_headers: Vec<ClaimHeader>,
    /// Where tokens stand.
    #[schemars(default = "bearer")]
    pub token: Token,
    /// Is the token forwarded to the service?
    #[schemars(default)]
    pub forward: bool,
    /// The claim by which a token names this consumer; absent: `uid` with a random value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_claim: Option<IdentityClaim>,
    /// A disabled one proves nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// First moment in which it no longer holds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
}

/// A key set may hold symmetric keys, so it is not shown.
impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jwt")
            .field("issuer", &self.issuer)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// A key set that is fetched.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct RemoteKeys {
    /// From where: `https://…` or `http://…`.
    #[schemars(with = "form::KeySetUrl")]
    pub url: String,
    /// How often, in seconds, where the answer does not say how long it holds.
    #[schemars(default = "refresh_s", range(min = 30, max = 86_400))]
    pub refresh_s: u32,
    /// How long it is believed after it was last fetched, in seconds.
    #[schemars(default = "keep_s", range(min = 60, max = 2_592_000))]
    pub keep_s: u32,
}

fn refresh_s() -> u32 {
    keyward_model::RemoteKeys::REFRESH_S
}

fn keep_s() -> u32 {
    keyward_model::RemoteKeys::KEEP_S
}

/// A claim that is handed to the service.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct ClaimHeader {
    /// The claim's name.
    #[schemars(with = "form::Word")]
    pub claim: String,
    /// The header field it goes to.
    #[schemars(with = "form::HeaderName")]
    pub header: String,
}

/// Where tokens stand.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Token {
    /// `header`, `query` or `cookie`.
    #[serde(rename = "in")]
    #[schemars(default = "header", with = "form::TokenPlace")]
    pub place: String,
    /// Name of the field, parameter or cookie.
    #[schemars(default = "authorization", with = "form::HeaderName")]
    pub name: String,
    /// What precedes the token.
    #[schemars(default = "prefix", with = "form::Prefix")]
    pub prefix: String,
}

/// The claim by which a token names its consumer.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct IdentityClaim {
    /// The claim's name.
    #[schemars(default = "uid", with = "form::Word")]
    pub name: String,
    /// Its exact value; absent: random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Word>")]
    pub value: Option<String>,
}

fn minute() -> u32 {
    JwtSettings::default().clock_skew_s
}

fn bearer() -> Token {
    (&TokenPlace::default()).into()
}

fn header() -> String {
    bearer().place
}

fn authorization() -> String {
    bearer().name
}

fn prefix() -> String {
    bearer().prefix
}

fn uid() -> String {
    IDENTITY_CLAIM.to_owned()
}

const SHAPE: Shape = Shape {
    noun: "the jwt of a consumer",
    allowed: &[
        "jwks",
        "remote",
        "symmetric",
        "issuer",
        "audiences",
        "clock_skew_s",
        "require_exp",
        "claims_to_headers",
        "token",
        "forward",
        "identity_claim",
        "enabled",
        "valid_until",
    ],
    later: &[],
};

const REMOTE: Shape =
    Shape { noun: "a key set that is fetched", allowed: &["url", "refresh_s", "keep_s"], later: &[] };

const CLAIM: Shape = Shape { noun: "a claim to hand on", allowed: &["claim", "header"], later: &[] };

const TOKEN: Shape = Shape { noun: "the place of tokens", allowed: &["in", "name", "prefix"], later: &[] };

const IDENTITY: Shape = Shape { noun: "the identity claim", allowed: &["name", "value"], later: &[] };

/// The claim that names the consumer where none is chosen.
const IDENTITY_CLAIM: &str = "uid";

pub(crate) fn read(item: &Item<'_>) -> Option<JwtSpec> {
    let fields = item.fields(&SHAPE)?;
    let remote = fields.optional("remote", read_remote);
    let keys = read_keys(&fields);
    let settings = read_settings(&fields);
    let identity_claim = fields.optional("identity_claim", read_identity);
    let enabled = fields.or("enabled", true, flag);
    let valid_until = text::until(&fields);
    Some(JwtSpec {
        keys: keys?,
        settings: JwtSettings { remote: remote?, ..settings? },
        identity_claim: identity_claim?,
        enabled: enabled?,
        valid_until: valid_until?,
    })
}

/// Neither a key set nor `symmetric` keeps the stored keys: an export leaves them out.
fn read_keys(fields: &Fields<'_>) -> Option<JwtKeySource> {
    let jwks = fields.optional("jwks", read_jwks);
    let symmetric = fields.or("symmetric", false, flag);
    match (jwks?, symmetric?) {
        (Some(_), _) | (_, true) if fields.has("remote") => {
            fields.wrong("remote", "`remote` does not go with `jwks` or `symmetric`; leave one out")
        }
        _ if fields.has("remote") => Some(JwtKeySource::Remote),
        (Some(_), true) => fields.wrong("symmetric", "`symmetric` does not go with `jwks`; leave one out"),
        (Some(given), false) => Some(given),
        (None, true) => Some(JwtKeySource::Symmetric),
        (None, false) => Some(JwtKeySource::Kept),
    }
}

fn read_remote(item: &Item<'_>) -> Option<keyward_model::RemoteKeys> {
    let fields = item.fields(&REMOTE)?;
    let url = fields.required("url", parse::<KeySetUrl>);
    let refresh_s = fields.or("refresh_s", refresh_s(), |item| item.number(30..=86_400));
    let keep_s = fields.or("keep_s", keep_s(), |item| item.number(60..=2_592_000));
    Some(keyward_model::RemoteKeys { url: url?, refresh_s: refresh_s?, keep_s: keep_s? })
}

fn read_jwks(item: &Item<'_>) -> Option<JwtKeySource> {
    let text = item.secret_text()?;
    match text.plain().map(|plain| JwkSet::parse(plain.expose_secret())) {
        None => Some(JwtKeySource::Reference(text)),
        Some(Ok(set)) => Some(JwtKeySource::Given(set)),
        Some(Err(error)) => item.wrong(error),
    }
}

fn read_settings(fields: &Fields<'_>) -> Option<JwtSettings> {
    let default = JwtSettings::default();
    let issuer = fields.optional("issuer", text::word);
    let audiences = fields.or("audiences", default.audiences, |item| item.list(text::word));
    let clock_skew_s = fields.or("clock_skew_s", default.clock_skew_s, |item| item.number(0..=3_600));
    let require_exp = fields.or("require_exp", default.require_exp, flag);
    let claims_to_headers =
        fields.or("claims_to_headers", default.claims_to_headers, |item| item.list(read_claim));
    let token = fields.or("token", default.token, read_token);
    let forward = fields.or("forward", default.forward, flag);
    Some(JwtSettings {
        issuer: issuer?,
        audiences: audiences?,
        clock_skew_s: clock_skew_s?,
        require_exp: require_exp?,
        claims_to_headers: claims_to_headers?,
        token: token?,
        forward: forward?,
        remote: None,
    })
}

fn read_claim(item: &Item<'_>) -> Option<ClaimToHeader> {
    let fields = item.fields(&CLAIM)?;
    let claim = fields.required("claim", text::word);
    let header = fields.required("header", text::free_header);
    Some(ClaimToHeader { claim: claim?, header: header? })
}

#[derive(Clone, Copy)]
enum In {
    Header,
    Query,
    Cookie,
}

/// A header is `Authorization: Bearer …` as far as nothing else is said; a parameter and a cookie must be named.
fn read_token(item: &Item<'_>) -> Option<TokenPlace> {
    let fields = item.fields(&TOKEN)?;
    let place = fields.or("in", In::Header, |item| {
        item.choice(&[("header", In::Header), ("query", In::Query), ("cookie", In::Cookie)], &[])
    })?;
    let prefix = fields.optional("prefix", read_prefix);
    match place {
        In::Header => {
            let TokenPlace::Header { name, prefix: bearer } = TokenPlace::default() else { return None };
            let name = fields.or("name", name, text::free_header);
            Some(TokenPlace::Header { name: name?, prefix: prefix?.unwrap_or(bearer) })
        }
        In::Query => {
            let name = fields.required("name", text::parameter_name);
            Some(TokenPlace::Query { name: name?, prefix: prefix?.unwrap_or_default() })
        }
        In::Cookie => {
            let name = fields.required("name", text::parameter_name);
            Some(TokenPlace::Cookie { name: name?, prefix: prefix?.unwrap_or_default() })
        }
    }
}

fn read_prefix(item: &Item<'_>) -> Option<Box<str>> {
    let prefix = item.text()?;
    if prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return item.wrong("a prefix has at most 64 visible ASCII characters and blanks");
    }
    Some(prefix.into())
}

fn read_identity(item: &Item<'_>) -> Option<IdentityClaimSpec> {
    let fields = item.fields(&IDENTITY)?;
    let name = fields.or("name", IDENTITY_CLAIM.into(), text::word);
    let value = fields.optional("value", text::word);
    Some(IdentityClaimSpec { name: name?, value: value? })
}

impl From<&JwtSpec> for Jwt {
    fn from(spec: &JwtSpec) -> Self {
        let settings = &spec.settings;
        let (jwks, symmetric) = match &spec.keys {
            JwtKeySource::Symmetric => (None, Some(true)),
            JwtKeySource::Given(set) => (Some(credentials::written(&set.to_json().into())), None),
            JwtKeySource::Reference(text) => (Some(credentials::written(text)), None),
            JwtKeySource::Remote | JwtKeySource::Kept => (None, None),
        };
        Self {
            jwks,
            symmetric,
            remote: settings.remote.as_ref().map(RemoteKeys::from),
            issuer: settings.issuer.as_deref().map(ToOwned::to_owned),
            audiences: settings.audiences.iter().map(ToString::to_string).collect(),
            clock_skew_s: settings.clock_skew_s,
            require_exp: settings.require_exp,
            claims_to_headers: settings.claims_to_headers.iter().map(ClaimHeader::from).collect(),
            token: (&settings.token).into(),
            forward: settings.forward,
            identity_claim: spec.identity_claim.as_ref().map(|claim| IdentityClaim {
                name: claim.name.to_string(),
                value: claim.value.as_deref().map(ToOwned::to_owned),
            }),
            enabled: spec.enabled,
            valid_until: moment(spec.valid_until),
        }
    }
}

impl From<&keyward_model::RemoteKeys> for RemoteKeys {
    fn from(remote: &keyward_model::RemoteKeys) -> Self {
        Self { url: remote.url.to_string(), refresh_s: remote.refresh_s, keep_s: remote.keep_s }
    }
}

impl From<&TokenPlace> for Token {
    fn from(place: &TokenPlace) -> Self {
        let (place, name, prefix) = match place {
            TokenPlace::Header { name, prefix } => ("header", name.to_string(), prefix),
            TokenPlace::Query { name, prefix } => ("query", name.to_string(), prefix),
            TokenPlace::Cookie { name, prefix } => ("cookie", name.to_string(), prefix),
        };
        Self { place: place.to_owned(), name, prefix: prefix.to_string() }
    }
}

impl From<&JwtSettings> for crate::JwtSettings {
    fn from(settings: &JwtSettings) -> Self {
        Self {
            issuer: settings.issuer.as_deref().map(ToOwned::to_owned),
            audiences: settings.audiences.iter().map(ToString::to_string).collect(),
            clock_skew_s: settings.clock_skew_s,
            require_exp: settings.require_exp,
            claims_to_headers: settings.claims_to_headers.iter().map(ClaimHeader::from).collect(),
            token: (&settings.token).into(),
            forward: settings.forward,
            remote: settings.remote.as_ref().map(RemoteKeys::from),
        }
    }
}

impl From<&ClaimToHeader> for ClaimHeader {
    fn from(spec: &ClaimToHeader) -> Self {
        Self { claim: spec.claim.to_string(), header: spec.header.to_string() }
    }
}
