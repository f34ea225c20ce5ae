//! What the admin API answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::jwt::{ClaimHeader, IdentityClaim, RemoteKeys, Token};
use crate::secrets::SecretStatus;

/// An object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[schemars(rename = "Stored{T}")]
pub struct Stored<T> {
    /// Its id.
    #[schemars(with = "form::Id")]
    pub id: String,
    /// Its own last revision, for `If-Match`.
    #[schemars(with = "form::Etag")]
    pub etag: String,
    /// When it was made.
    #[schemars(with = "form::Moment")]
    pub created: String,
    /// When it was last changed.
    #[schemars(with = "form::Moment")]
    pub changed: String,
    /// Its description; secret values are left out.
    #[serde(flatten)]
    pub description: T,
    /// Of an application or a consumer: its credentials, oldest first, without their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// Of a grant: `not_yet`, `in_effect`, `expired` or `revoked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::GrantState>")]
    pub state: Option<String>,
    /// Of a grant: who gave it, as the audit names actors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_by: Option<String>,
    /// Of an API: does it admit callers, while no grant authorizes any of them, now or later?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nobody_authorized: Option<bool>,
    /// Of an operator: can it sign in by password?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_password: Option<bool>,
    /// Of a secret: how it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<SecretStatus>,
    /// Of a secret, a service or a plugin: why it cannot be used now, as this node sees it; absent: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Of a grant: when it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub revoked: Option<String>,
    /// Of a grant: when a request last passed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub last_used: Option<String>,
}

/// A credential without its value.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Credential {
    /// Its id; kept when the value is reset.
    #[schemars(with = "form::Id")]
    pub id: String,
    /// Its own last revision.
    #[schemars(with = "form::Etag")]
    pub etag: String,
    /// Whose it is.
    #[schemars(with = "form::Id")]
    pub caller: String,
    /// `key_pair`, `app_code`, `api_key` or `jwt`.
    #[schemars(with = "form::CredentialType")]
    pub kind: String,
    /// Of a key pair: names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::AppKey>")]
    pub app_key: Option<String>,
    /// Of a key pair: how requests are signed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Scheme>")]
    pub scheme: Option<String>,
    /// The first pair of an application, which cannot be deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// How a generated value begins and ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What it refers to, as it was written, if its value is a secret's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Why it proves nothing now, as this node sees it: what it refers to cannot be resolved. Absent: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Of a JWT: the claim by which a token names its consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_claim: Option<IdentityClaim>,
    /// Of a JWT: how tokens are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtSettings>,
    /// Of a JWT whose key set is fetched: how that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_set: Option<KeySetHealth>,
    /// A disabled credential proves nothing.
    pub enabled: bool,
    /// First moment in which it no longer holds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
    /// `generated`, `custom` or `reference`.
    #[schemars(with = "form::Origin")]
    pub origin: String,
    /// Can its value be shown again?
    pub revealable: bool,
    /// When it was made.
    #[schemars(with = "form::Moment")]
    pub created: String,
    /// The first credential of the line of rotations that it belongs to; absent: it was never rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Id>")]
    pub lineage: Option<String>,
    /// When a request was last proven by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub last_used: Option<String>,
}

/// How tokens are read and what they must say.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct JwtSettings {
    /// What `iss` must be; absent: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Word>")]
    pub issuer: Option<String>,
    /// One of these must be in `aud`; empty: anything.
    #[schemars(with = "Vec<form::Word>")]
    pub audiences: Vec<String>,
    /// Tolerance on times, in seconds.
    pub clock_skew_s: u32,
    /// Must there be an `exp`?
    pub require_exp: bool,
    /// Claims handed to the service.
    pub claims_to_headers: Vec<ClaimHeader>,
    /// Where tokens stand.
    pub token: Token,
    /// Is the token forwarded to the service?
    pub forward: bool,
    /// Where the key set is fetched from; absent: it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteKeys>,
}

/// How a fetched key set is, as the node sees it that answers.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct KeySetHealth {
    /// Is there a set that is believed, and did the last attempt work?
    pub healthy: bool,
    /// When it was last fetched; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub fetched: Option<String>,
    /// When fetching it last failed, if that was the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub failed: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[schemars(rename = "{T}Answer")]
pub struct Answer<T> {
    /// The revision that the answer rests on; of a write: from which it holds.
    pub revision: u64,
    /// The object.
    #[serde(flatten)]
    pub object: T,
    /// Values that were generated: shown this once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub minted: Vec<Minted>,
    /// What is allowed but unwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// With `wait=cluster`: who has applied it, and who has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<crate::Cluster>,
}

/// A part of a list, in order of age.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[schemars(rename = "{T}List")]
pub struct List<T> {
    /// The revision that the answer rests on.
    pub revision: u64,
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins (`?after=`); absent: this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A credential value that was generated: shown this once.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Minted {
    /// Whose it is.
    #[schemars(with = "form::Id")]
    pub caller: String,
    /// The caller's account.
    #[schemars(with = "form::Name")]
    pub account: String,
    /// The caller's name.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// The credential.
    #[schemars(with = "form::Id")]
    pub credential: String,
    /// `key_pair`, `app_code`, `api_key` or `jwt`.
    #[schemars(with = "form::CredentialType")]
    pub kind: String,
    /// For a key pair its AppKey; for a JWT `claim=value` of the identity claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The AppSecret, AppCode, API key or key set; absent where only the label was generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl std::fmt::Debug for Minted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minted")
            .field("credential", &self.credential)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A credential's value, shown again.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Revealed {
    /// Which credential.
    pub credential: Credential,
    /// The AppSecret, AppCode, API key, or the key set as JSON text.
    pub value: String,
}

impl std::fmt::Debug for Revealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revealed").field("credential", &self.credential).finish_non_exhaustive()
    }
}

/// Something that is allowed but unwise.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Warning {
    /// Stable, for programs: `weak_secret`.
    pub code: String,
    /// Where in the document.
    pub path: String,
    /// For people.
    pub message: String,
}

/// An object that is spoken of.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Mention {
    /// `application`, `grant`, ….
    pub noun: String,
    /// Its account; absent for accounts and gateways, and where it goes without saying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its name; for a grant `GRANTEE -> API`.
    pub name: String,
    /// Its id.
    #[schemars(with = "form::Id")]
    pub id: String,
}

/// The answer to a deletion.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Deleted {
    /// The revision from which it is gone; for a dry run the current one.
    pub revision: u64,
    /// Was it only counted?
    pub dry_run: bool,
    /// What went (or would go) along.
    pub along: Vec<Mention>,
    /// How many credentials went along.
    pub credentials: u64,
    /// With `wait=cluster`: who has applied it, and who has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<crate::Cluster>,
}

/// The answer to a revocation.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Revoked {
    /// The grant, revoked.
    pub grant: Stored<crate::Grant>,
    /// Grants that still permit some of the same calls.
    pub still_permitting: Vec<Stored<crate::Grant>>,
}

/// What applying a world did (or, dry, would do).
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Applied {
    /// The revision from which it holds.
    pub revision: u64,
    /// Was it only said?
    pub dry_run: bool,
    /// Made.
    pub created: Vec<Mention>,
    /// Changed.
    pub changed: Vec<Mention>,
    /// Already so.
    pub unchanged: Vec<Mention>,
    /// Removed (grants: revoked), by pruning.
    pub removed: Vec<Mention>,
    /// Values that were generated: shown this once.
    pub minted: Vec<Minted>,
    /// What is allowed but unwise.
    pub warnings: Vec<Warning>,
    /// With `wait=cluster`: who has applied it, and who has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<crate::Cluster>,
}
