//! Key pairs, AppCodes and API keys.

use keyward_model::{KeyPairSpec, OpaqueSpec, SecretText, SignatureScheme, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::read::{Item, Shape, flag, parse};
use crate::text;

/// A key pair, as a world file and the admin API describe it.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct KeyPair {
    /// Names the pair; absent: generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::AppKey>")]
    pub app_key: Option<String>,
    /// Makes the signature; absent: generated for a new pair, kept for an existing one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::AppSecret>")]
    pub app_secret: Option<String>,
    /// `alibaba`, `tencent` or `tencent_key_pair`.
    #[schemars(default = "alibaba", with = "form::Scheme")]
    pub scheme: String,
    /// A disabled pair proves nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// First moment in which it no longer holds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
}

/// An AppCode or API key, as a world file and the admin API describe it.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Opaque {
    /// Absent: generated, or kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::OpaqueValue>")]
    pub value: Option<String>,
    /// A disabled one proves nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// First moment in which it no longer holds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
}

/// An AppCode or API key as it may be written: the value alone, or a mapping.
pub(crate) type GivenOpaque = form::Either<form::OpaqueValue, Opaque>;

/// What of a credential can be changed; absent parts stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialChange {
    /// A disabled credential proves nothing.
    pub enabled: Option<bool>,
    /// First moment in which it no longer holds; `null`: for ever.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<Option<String>>,
    /// Of a key pair: how requests are signed with it.
    #[schemars(with = "Option<form::Scheme>")]
    pub scheme: Option<String>,
}

/// The new value of a credential.
#[derive(Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialReset {
    /// The AppSecret, AppCode or API key, taken literally, or the key set as JSON text; absent: generated.
    pub value: Option<String>,
}

/// How a credential gets a successor.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialRotation {
    /// How long the old one goes on, in seconds; absent: a week; 0: it ends at once.
    #[schemars(range(max = 31_622_400))]
    pub overlap_s: u64,
    /// The new AppSecret, AppCode or API key, taken literally; absent: generated.
    pub value: Option<String>,
    /// The new AppKey of a key pair; absent: generated.
    #[schemars(with = "Option<form::AppKey>")]
    pub app_key: Option<String>,
}

/// A value that leaked.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// The API key, AppCode, AppSecret or operator token. Any text is taken: a refusal would tell something about it.
    pub value: String,
    /// Of an AppSecret: the AppKey it goes with.
    #[serde(default)]
    pub app_key: Option<String>,
}

impl Default for CredentialRotation {
    fn default() -> Self {
        Self { overlap_s: 604_800, value: None, app_key: None }
    }
}

impl std::fmt::Debug for CredentialRotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialRotation").field("overlap_s", &self.overlap_s).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Leak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leak").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CredentialReset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialReset").finish_non_exhaustive()
    }
}

/// Tells a field that is `null` from one that is absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn alibaba() -> String {
    SignatureScheme::Alibaba.to_string()
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair")
            .field("app_key", &self.app_key)
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opaque").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

const KEY_PAIR: Shape = Shape {
    noun: "a key pair",
    allowed: &["app_key", "app_secret", "scheme", "enabled", "valid_until"],
    later: &[],
};

const OPAQUE: Shape =
    Shape { noun: "a credential", allowed: &["value", "enabled", "valid_until"], later: &[] };

pub(crate) fn read_key_pair(item: &Item<'_>) -> Option<KeyPairSpec> {
    let fields = item.fields(&KEY_PAIR)?;
    let app_key = fields.optional("app_key", parse);
    let app_secret = fields.optional("app_secret", text::app_secret);
    let scheme = fields.or("scheme", SignatureScheme::Alibaba, parse);
    let enabled = fields.or("enabled", true, flag);
    let valid_until = text::until(&fields);
    Some(KeyPairSpec {
        app_key: app_key?,
        app_secret: app_secret?,
        scheme: scheme?,
        enabled: enabled?,
        valid_until: valid_until?,
    })
}

/// The value alone, or a mapping.
pub(crate) fn read_opaque(item: &Item<'_>) -> Option<OpaqueSpec> {
    if item.is_text() {
        return Some(OpaqueSpec { value: Some(text::opaque_value(item)?), enabled: true, valid_until: None });
    }
    let fields = item.fields(&OPAQUE)?;
    let value = fields.optional("value", text::opaque_value);
    let enabled = fields.or("enabled", true, flag);
    let valid_until = text::until(&fields);
    Some(OpaqueSpec { value: value?, enabled: enabled?, valid_until: valid_until? })
}

impl From<&KeyPairSpec> for KeyPair {
    fn from(spec: &KeyPairSpec) -> Self {
        Self {
            app_key: spec.app_key.as_ref().map(ToString::to_string),
            app_secret: spec.app_secret.as_ref().map(written),
            scheme: spec.scheme.to_string(),
            enabled: spec.enabled,
            valid_until: moment(spec.valid_until),
        }
    }
}

impl From<&OpaqueSpec> for Opaque {
    fn from(spec: &OpaqueSpec) -> Self {
        Self {
            value: spec.value.as_ref().map(written),
            enabled: spec.enabled,
            valid_until: moment(spec.valid_until),
        }
    }
}

/// As it is read again: with `$$` for a dollar sign, and references as such.
pub(crate) fn written(value: &SecretText) -> String {
    value.written().expose_secret().to_owned()
}

/// RFC 3339, UTC.
pub(crate) fn moment(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
