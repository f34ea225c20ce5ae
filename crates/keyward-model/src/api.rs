//! APIs: published interfaces.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;

use crate::{
    AccountId, ApiId, BasePath, GatewayId, HeaderName, HostPattern, Name, Operation, ParseError, ServiceId,
    SignatureScheme,
};

/// A published interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its id.
    pub id: ApiId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: Name,
    /// The gateways it is published to.
    pub gateways: Vec<GatewayId>,
    /// What each stage is bound to.
    pub stages: BTreeMap<Stage, StageBinding>,
    /// Everything that does not refer to another object.
    pub settings: ApiSettings,
}

/// What a stage of an API is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageBinding {
    /// The service that answers.
    pub service: ServiceId,
    /// A path prefix before the base path that selects this stage.
    pub path_prefix: Option<BasePath>,
    /// A host that selects this stage.
    pub host: Option<HostPattern>,
}

/// The part of an API that refers to no other object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// What is published.
    pub kind: ApiKind,
    /// For people.
    pub description: String,
    /// A disabled API answers to nothing.
    pub enabled: bool,
    /// The hosts it answers to; empty: any host.
    pub hosts: Vec<HostPattern>,
    /// Where it begins.
    pub base_path: BasePath,
    /// Is the base path removed towards the service?
    pub strip_base_path: bool,
    /// The kinds of credential it admits. Never empty.
    pub admits: Admits,
    /// Its operations; empty: every method and path below the base path.
    pub operations: Vec<Operation>,
    /// How signatures are judged.
    pub signature: SignaturePolicy,
    /// Where AppCodes are looked for.
    pub app_code_in: AppCodePlaces,
    /// Are AppCodes refused over plain HTTP (loopback excepted)?
    pub app_code_requires_tls: bool,
    /// May a digest-covered body above the holding limit stream while it is judged?
    pub stream_before_digest: bool,
    /// The longest time since the configuration was known to be the newest, in seconds; absent: any.
    pub max_staleness_s: Option<u32>,
    /// The addresses callers may come from; empty: any.
    pub allowed_addresses: Vec<IpNet>,
    /// What is handed to the service about the call.
    pub system_parameters: Vec<SystemParameter>,
}

/// The four kinds of API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiKind {
    /// HTTP: methods and paths.
    Rest,
}

impl ApiKind {
    /// Every kind that this version knows.
    pub const ALL: &'static [Self] = &[Self::Rest];

    /// `rest`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
        }
    }
}

impl FromStr for ApiKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or_else(|| {
            ParseError::new(format!("`{}` is not a kind of API that this version knows", text.escape_debug()))
        })
    }
}

/// Environment of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Production; the default.
    Release,
    /// Before production.
    Pre,
    /// For tests.
    Test,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 3] = [Self::Release, Self::Pre, Self::Test];

    /// `RELEASE`, `PRE` or `TEST`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "RELEASE",
            Self::Pre => "PRE",
            Self::Test => "TEST",
        }
    }

    /// The path prefix under which Tencent's gateway serves this stage.
    pub const fn tencent_prefix(self) -> &'static str {
        match self {
            Self::Release => "/release",
            Self::Pre => "/prepub",
            Self::Test => "/test",
        }
    }
}

impl FromStr for Stage {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or_else(|| {
            ParseError::new(format!("`{}` is not a stage: use RELEASE, PRE or TEST", text.escape_debug()))
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StageSet(u8);

impl StageSet {
    /// Every stage.
    pub const ALL: Self = Self(0b111);

    /// The set of these stages.
    pub fn of(stages: impl IntoIterator<Item = Stage>) -> Self {
        Self(stages.into_iter().fold(0, |bits, stage| bits | 1 << stage as u8))
    }

    /// Is this stage among them?
    pub const fn contains(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u8) != 0
    }

    /// The stages, in order.
    pub fn iter(self) -> impl Iterator<Item = Stage> {
        Stage::ALL.into_iter().filter(move |&stage| self.contains(stage))
    }

    /// One bit a stage, RELEASE lowest.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set with these bits; others are ignored.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0b111)
    }
}

/// The kinds of credential that an API can admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialKind {
    /// A signature by an application's key pair.
    AppSignature,
    /// An application's AppCode.
    AppCode,
    /// A consumer's API key.
    ApiKey,
    /// A consumer's JWT.
    Jwt,
    /// Nothing: everybody may call.
    Anyone,
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::AppSignature, Self::AppCode, Self::ApiKey, Self::Jwt, Self::Anyone];

    /// The name in world files and in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppSignature => "app_signature",
            Self::AppCode => "app_code",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::Anyone => "anyone",
        }
    }
}

impl FromStr for CredentialKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            ParseError::new(format!(
                "`{}` cannot be admitted: use app_signature, app_code, api_key, jwt or anyone",
                text.escape_debug()
            ))
        })
    }
}

/// The set of credential kinds that an API admits. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Admits(u8);

impl Admits {
    /// The set of these kinds.
    ///
    /// # Errors
    /// The set must not be empty: who may call must be written out.
    pub fn of(kinds: impl IntoIterator<Item = CredentialKind>) -> Result<Self, ParseError> {
        match kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind as u8) {
            0 => Err(ParseError::new(
                "`admits` must name at least one kind; write [anyone] to let everybody call",
            )),
            bits => Ok(Self(bits)),
        }
    }

    /// Is this kind admitted?
    pub const fn contains(self, kind: CredentialKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Is `anyone` all that is admitted, so that nothing presented is looked at?
    pub const fn is_anyone_alone(self) -> bool {
        self.0 == 1 << CredentialKind::Anyone as u8
    }

    /// The kinds, in order.
    pub fn iter(self) -> impl Iterator<Item = CredentialKind> {
        CredentialKind::ALL.into_iter().filter(move |&kind| self.contains(kind))
    }
}

/// How an API judges signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignaturePolicy {
    /// The schemes admitted.
    pub schemes: Vec<SignatureScheme>,
    /// The algorithms admitted.
    pub algorithms: Vec<HmacAlgorithm>,
    /// How strictly the vendor's rules are read.
    pub mode: SignatureMode,
    /// Largest distance of a timestamp from now, either side, in seconds.
    pub window_s: u32,
    /// Must there be a signed nonce?
    pub require_nonce: bool,
    /// Must there be a signed timestamp?
    pub require_timestamp: bool,
    /// Must a body be covered by the signature?
    pub require_body_digest: bool,
}

impl Default for SignaturePolicy {
    fn default() -> Self {
        Self {
            schemes: vec![SignatureScheme::Alibaba, SignatureScheme::Tencent],
            algorithms: vec![HmacAlgorithm::Sha256],
            mode: SignatureMode::Compatible,
            window_s: 900,
            require_nonce: false,
            require_timestamp: false,
            require_body_digest: false,
        }
    }
}

/// How strictly the vendor's signature rules are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureMode {
    /// What the vendors' clients send verifies.
    Compatible,
    /// Timestamp and nonce required and signed, body digest required, ambiguous parameters refused.
    Strict,
}

/// The HMACs of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HmacAlgorithm {
    /// HMAC with SHA-1. Only where an API lists it.
    Sha1,
    /// HMAC with SHA-256; the default.
    Sha256,
    /// HMAC with SHA-384.
    Sha384,
    /// HMAC with SHA-512.
    Sha512,
}

impl HmacAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name in world files and in `X-Ca-Signature-Method`: `HmacSHA256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "HmacSHA1",
            Self::Sha256 => "HmacSHA256",
            Self::Sha384 => "HmacSHA384",
            Self::Sha512 => "HmacSHA512",
        }
    }

    /// The name in Tencent's `Authorization` header: `hmac-sha256`.
    pub const fn tencent_name(self) -> &'static str {
        match self {
            Self::Sha1 => "hmac-sha1",
            Self::Sha256 => "hmac-sha256",
            Self::Sha384 => "hmac-sha384",
            Self::Sha512 => "hmac-sha512",
        }
    }
}

impl FromStr for HmacAlgorithm {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or_else(|| {
            ParseError::new(format!(
                "`{}` is not an algorithm: use HmacSHA1, HmacSHA256, HmacSHA384 or HmacSHA512",
                text.escape_debug()
            ))
        })
    }
}

/// Where an API looks for AppCodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppCodePlaces {
    /// `Authorization: APPCODE …`.
    pub header: bool,
    /// The query parameter `AppCode` in its vendor's spellings.
    pub query: bool,
}

/// One thing about the call that is handed to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemParameter {
    /// What.
    pub name: SystemParameterName,
    /// Where to.
    pub place: ParameterPlace,
}

/// Where a system parameter is put.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ParameterPlace {
    /// A header field.
    Header(HeaderName),
    /// A query parameter.
    Query(Box<str>),
}

macro_rules! system_parameters {
    ($($(#[$doc:meta])* $name:ident = $text:literal $(| $alias:literal)?;)*) => {
        /// What can be handed to a service about a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SystemParameterName {
            $($(#[$doc])* $name,)*
        }

        impl SystemParameterName {
            /// The vendor's name for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl FromStr for SystemParameterName {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                match text {
                    $($text $(| $alias)? => Ok(Self::$name),)*
                    _ => Err(ParseError::new(format!(
                        "`{}` is not a system parameter: use one of {}",
                        text.escape_debug(),
                        [$($text),*].join(", ")
                    ))),
                }
            }
        }
    };
}

system_parameters! {
    /// The application's id.
    AppId = "CaAppId";
    /// The AppKey that signed.
    AppKey = "CaAppKey";
    /// The application's extension field.
    AppExtInfo = "CaAppExtInfo" | "CaAppExtendInfo";
    /// The stage.
    Stage = "CaStage";
    /// The request id.
    RequestId = "CaRequestId";
    /// The caller's address.
    ClientIp = "CaClientIp";
    /// The host that was called.
    Domain = "CaDomain";
    /// The API's name.
    ApiName = "CaApiName";
    /// `HTTP` or `HTTPS`.
    HttpSchema = "CaHttpSchema";
    /// The caller's user agent.
    ClientUa = "CaClientUa";
    /// When the request was handled (RFC 1123, GMT).
    RequestHandleTime = "CaRequestHandleTime";
}

/// An API as a world file or an operator describes it: objects are referred to by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSpec {
    /// Name of its account.
    pub account: Name,
    /// Its name.
    pub name: Name,
    /// Names of the gateways it is published to.
    pub gateways: Vec<Name>,
    /// What each stage is bound to.
    pub stages: BTreeMap<Stage, StageSpec>,
    /// Everything that does not refer to another object.
    pub settings: ApiSettings,
}

/// A stage as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSpec {
    /// Name of the service, in the API's account.
    pub service: Name,
    /// See [`StageBinding::path_prefix`].
    pub path_prefix: Option<BasePath>,
    /// See [`StageBinding::host`].
    pub host: Option<HostPattern>,
}
