//! Credentials: stored proof material of a caller.

use std::fmt;
use std::str::FromStr;

use crate::{
    AppKey, CallerId, CredentialDigest, CredentialId, HeaderName, JwkSet, Name, ParseError, RemoteKeys,
    SecretText, Timestamp,
};

/// Stored proof material of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id; kept when the value is reset.
    pub id: CredentialId,
    /// Whose it is.
    pub caller: CallerId,
    /// A disabled credential proves nothing.
    pub enabled: bool,
    /// First moment in which it no longer holds; absent: for ever.
    pub valid_until: Option<Timestamp>,
    /// Where its value came from.
    pub origin: Origin,
    /// When it was made.
    pub created: Timestamp,
    /// The material itself.
    pub proof: Proof,
}

/// Where a credential's value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Keyward made it.
    Generated,
    /// It was given.
    Custom,
    /// It is a reference to a secret.
    Reference,
}

impl Origin {
    /// `generated`, `custom` or `reference`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Custom => "custom",
            Self::Reference => "reference",
        }
    }
}

/// The material of a credential, in the form that a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Signs requests.
    KeyPair {
        /// Names the pair.
        app_key: AppKey,
        /// Makes the signature.
        app_secret: SecretText,
        /// How requests are signed with it.
        scheme: SignatureScheme,
        /// The first pair of an application; it cannot be deleted.
        is_default: bool,
    },
    /// Presented as it is, in `Authorization: APPCODE …` or in the query.
    AppCode(OpaqueProof),
    /// Presented as it is, at one of the consumer's sources.
    ApiKey(OpaqueProof),
    /// Signs tokens.
    Jwt(Box<JwtBinding>),
}

/// What proves that an API key or AppCode is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpaqueProof {
    /// Its digest, by which it is looked up.
    Digest(CredentialDigest),
    /// What it resolves to has the value; the digest is made of that.
    Reference(SecretText),
}

impl Proof {
    /// The reference that it rests on, if it is one.
    pub fn reference(&self) -> Option<&SecretText> {
        match self {
            Self::KeyPair { app_secret, .. } => Some(app_secret).filter(|text| !text.is_plain()),
            Self::AppCode(OpaqueProof::Reference(text)) | Self::ApiKey(OpaqueProof::Reference(text)) => {
                Some(text)
            }
            Self::AppCode(_) | Self::ApiKey(_) => None,
            Self::Jwt(binding) => match &binding.keys {
                JwtKeys::Reference(text) => Some(text),
                JwtKeys::Own(_) => None,
            },
        }
    }

    /// `key_pair`, `app_code`, `api_key` or `jwt`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::KeyPair { .. } => "key_pair",
            Self::AppCode(_) => "app_code",
            Self::ApiKey(_) => "api_key",
            Self::Jwt(_) => "jwt",
        }
    }
}

/// How requests are signed with a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignatureScheme {
    /// Alibaba Cloud API Gateway's digest authentication (`X-Ca-*`).
    Alibaba,
    /// Tencent Cloud API Gateway's application authentication (`Authorization: hmac …`).
    Tencent,
    /// Tencent Cloud API Gateway's key pair authentication: only header lines are signed.
    TencentKeyPair,
}

impl SignatureScheme {
    /// Every scheme.
    pub const ALL: [Self; 3] = [Self::Alibaba, Self::Tencent, Self::TencentKeyPair];

    /// The name in world files and in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alibaba => "alibaba",
            Self::Tencent => "tencent",
            Self::TencentKeyPair => "tencent_key_pair",
        }
    }
}

impl FromStr for SignatureScheme {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == text).ok_or_else(|| {
            ParseError::new(format!(
                "`{}` is not a signature scheme: use alibaba, tencent or tencent_key_pair",
                text.escape_debug()
            ))
        })
    }
}

impl fmt::Display for SignatureScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a consumer's API keys may stand in a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeySource {
    /// `Authorization: Bearer …`, the prefix in any case.
    Bearer,
    /// The whole value of this header field.
    Header(HeaderName),
    /// This query parameter, compared exactly.
    Query(Box<str>),
}

/// How a consumer's tokens are verified, and how one is told to be this consumer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtBinding {
    /// The keys.
    pub keys: JwtKeys,
    /// What everything else follows.
    pub settings: JwtSettings,
    /// The claim by which a token names this consumer.
    pub identity_claim: IdentityClaim,
}

/// The keys that verify a consumer's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// Its own; none where they are fetched ([`JwtSettings::remote`]).
    Own(JwkSet),
    /// What this resolves to: a key set as JSON text ([`JwkSet::of_secret`]).
    Reference(SecretText),
}

/// A claim by which a token names its consumer. Unique per account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityClaim {
    /// The claim's name.
    pub name: Box<str>,
    /// Its exact value, a JSON string.
    pub value: Box<str>,
}

/// How tokens are read and what they must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// What `iss` must be; absent: anything.
    pub issuer: Option<Box<str>>,
    /// One of these must be in `aud`; empty: anything.
    pub audiences: Vec<Box<str>>,
    /// Tolerance on times, in seconds.
    pub clock_skew_s: u32,
    /// Must there be an `exp`?
    pub require_exp: bool,
    /// Claims handed to the service.
    pub claims_to_headers: Vec<ClaimToHeader>,
    /// Where tokens stand.
    pub token: TokenPlace,
    /// Is the token forwarded to the service?
    pub forward: bool,
    /// Where the keys are fetched from; absent: they are stored.
    pub remote: Option<RemoteKeys>,
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            issuer: None,
            audiences: Vec::new(),
            clock_skew_s: 60,
            require_exp: true,
            claims_to_headers: Vec::new(),
            token: TokenPlace::default(),
            forward: false,
            remote: None,
        }
    }
}

/// A claim that is handed to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimToHeader {
    /// The claim's name.
    pub claim: Box<str>,
    /// The header field it goes to.
    pub header: HeaderName,
}

/// Where a consumer's tokens stand in a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenPlace {
    /// In this header field, after this prefix (`Bearer ` in any case, others exactly).
    Header {
        /// The field's name.
        name: HeaderName,
        /// What precedes the token.
        prefix: Box<str>,
    },
    /// In this query parameter, after this prefix.
    Query {
        /// The parameter's name.
        name: Box<str>,
        /// What precedes the token.
        prefix: Box<str>,
    },
    /// In this cookie, after this prefix.
    Cookie {
        /// The cookie's name.
        name: Box<str>,
        /// What precedes the token.
        prefix: Box<str>,
    },
}

impl Default for TokenPlace {
    /// `Authorization: Bearer …`.
    fn default() -> Self {
        "authorization".parse().map_or_else(
            |_| Self::Cookie { name: "authorization".into(), prefix: "".into() },
            |name| Self::Header { name, prefix: "Bearer ".into() },
        )
    }
}

/// A key pair as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPairSpec {
    /// Absent: generated.
    pub app_key: Option<AppKey>,
    /// Absent: generated for a new pair, kept for an existing one.
    pub app_secret: Option<SecretText>,
    /// How requests are signed with it.
    pub scheme: SignatureScheme,
    /// See [`Credential::enabled`].
    pub enabled: bool,
    /// See [`Credential::valid_until`].
    pub valid_until: Option<Timestamp>,
}

/// An API key or AppCode as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueSpec {
    /// Absent: generated (and, where described again without a value, kept).
    pub value: Option<SecretText>,
    /// See [`Credential::enabled`].
    pub enabled: bool,
    /// See [`Credential::valid_until`].
    pub valid_until: Option<Timestamp>,
}

/// A consumer's JWT as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSpec {
    /// Where the keys come from.
    pub keys: JwtKeySource,
    /// How tokens are read and what they must say.
    pub settings: JwtSettings,
    /// The claim's name and value; absent: `uid` with a random value (kept once made).
    pub identity_claim: Option<IdentityClaimSpec>,
    /// See [`Credential::enabled`].
    pub enabled: bool,
    /// See [`Credential::valid_until`].
    pub valid_until: Option<Timestamp>,
}

/// An identity claim as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityClaimSpec {
    /// The claim's name.
    pub name: Box<str>,
    /// Absent: random.
    pub value: Option<Box<str>>,
}

/// Where the keys that verify a consumer's tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeySource {
    /// A key set of the consumer's own, with one HS256 key, is generated (and kept once made).
    Symmetric,
    /// This key set (RFC 7517), checked. What it was written as is not kept: it may hold private keys.
    Given(JwkSet),
    /// What this resolves to.
    Reference(SecretText),
    /// It is fetched from the address in [`JwtSettings::remote`].
    Remote,
    /// Keep the stored one: the description leaves secret values out.
    Kept,
}

/// Names an object in another account, or in one's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Qualified {
    /// The account's name.
    pub account: Name,
    /// The object's name.
    pub name: Name,
}
