//! Secrets: written once, referred to as `$ref{name}`.

use std::collections::BTreeSet;

use keyward_model::{
    Destination, HeldBy, Name, Plaintext, PreviousValue, SecretName, SecretSource, SecretSpec, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::credentials::moment;
use crate::forms as form;
use crate::read::{Fields, Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A secret, as a world file and the admin API describe it.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Secret {
    /// Its account.
    #[schemars(default = "text::default_account", with = "form::Name")]
    pub account: String,
    /// Its name, unique in the account; it stays.
    #[schemars(with = "form::SecretName")]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// A disabled secret proves nothing, and is sent nowhere.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// Its value; absent, and without `from`: generated, or kept. Never shown here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::SecretValue>")]
    pub value: Option<String>,
    /// Who holds the value, if it is not kept here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<HeldFrom>,
    /// First moment in which it no longer holds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
    /// The value before this one, which still proves who calls until then; absent: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Where it may be sent: hosts, `*.` and a host, each also with a port. Absent: to the services that refer to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<form::DestinationHost>>")]
    pub destinations: Option<Vec<String>>,
    /// Operators who, besides owners, may refer to it; absent: owners and admins.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<form::Name>>")]
    pub use_by: Option<Vec<String>>,
    /// Operators who, besides owners, may read it; absent: owners and admins.
    #[serde(default, rename = "read", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<form::Name>>")]
    pub read_by: Option<Vec<String>>,
}

/// Who holds the value of a secret: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct HeldFrom {
    /// An environment variable of each node's process, as it was at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::VariableName>")]
    pub env: Option<String>,
    /// A file of each node, which is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Word>")]
    pub file: Option<String>,
    /// A field of a secret in the Vault-compatible server that the nodes are set up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultField>,
}

/// A field of a secret in a Vault-compatible server (KV version 2).
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct VaultField {
    /// Mount and path, such as `secret/orders`.
    #[schemars(with = "form::Word")]
    pub path: String,
    /// The field within.
    #[schemars(default = "value_field", with = "form::Word")]
    pub field: String,
}

/// The value of a secret before the current one.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Previous {
    /// The value; absent: the stored one. Never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::SecretValue>")]
    pub value: Option<String>,
    /// First moment in which it no longer proves anything.
    #[schemars(with = "form::Moment")]
    pub until: String,
}

/// How a secret gets another value.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretRotation {
    /// The new value, taken literally; absent: generated.
    pub value: Option<String>,
    /// How long the old one goes on proving who calls, in seconds; absent: a week; 0: it ends at once.
    #[schemars(range(max = 31_622_400))]
    pub overlap_s: u64,
}

/// How a secret goes back to the value before.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretRollback {
    /// How long the value that is taken back goes on proving who calls, in seconds; absent: a week; 0: it ends at once.
    #[schemars(range(max = 31_622_400))]
    pub overlap_s: u64,
}

/// How a secret stands, beside its description.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct SecretStatus {
    /// Counts its values, from 1.
    pub version: u64,
    /// When the current value came.
    #[schemars(with = "form::Moment")]
    pub rotated: String,
    /// How many refer to it.
    pub references: u64,
    /// When the current value was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub last_used: Option<String>,
    /// The version before, while it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<u64>,
    /// First moment in which the version before no longer proves anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub previous_until: Option<String>,
    /// When the version before was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub previous_last_used: Option<String>,
}

/// The value of a secret, shown.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct RevealedSecret {
    /// Which secret.
    pub name: String,
    /// Which of its values.
    pub version: u64,
    /// The value.
    pub value: String,
}

impl std::fmt::Debug for RevealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RevealedSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Something that refers to a secret.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Reference {
    /// `application`, `consumer`, `service` or `plugin`.
    #[schemars(with = "form::ReferrerNoun")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The field that the reference stands in.
    pub field: String,
    /// Its id: of a credential that of its caller.
    #[schemars(with = "form::Id")]
    pub id: String,
    /// Of a credential: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Id>")]
    pub credential: Option<String>,
    /// Where it is shown.
    pub link: String,
}

impl Default for SecretRotation {
    fn default() -> Self {
        Self { value: None, overlap_s: 604_800 }
    }
}

impl Default for SecretRollback {
    fn default() -> Self {
        Self { overlap_s: 604_800 }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("account", &self.account)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Previous {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Previous").field("until", &self.until).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SecretRotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretRotation").field("overlap_s", &self.overlap_s).finish_non_exhaustive()
    }
}

/// Longest value, in bytes: a certificate with its chain and key fits.
const VALUE_MAX: usize = 65_536;

const SHAPE: Shape = Shape {
    noun: "a secret",
    allowed: &[
        "account",
        "name",
        "description",
        "enabled",
        "value",
        "from",
        "valid_until",
        "previous",
        "destinations",
        "use",
        "read",
    ],
    later: &[],
};

const FROM: Shape = Shape { noun: "the source of a secret", allowed: &["env", "file", "vault"], later: &[] };
const VAULT: Shape = Shape { noun: "a place in a vault", allowed: &["path", "field"], later: &[] };
const PREVIOUS: Shape = Shape { noun: "the value before", allowed: &["value", "until"], later: &[] };

fn value_field() -> String {
    "value".to_owned()
}

pub(crate) fn read(item: &Item<'_>) -> Option<SecretSpec> {
    let fields = item.fields(&SHAPE)?;
    let account = text::account(&fields);
    let name = fields.required("name", parse::<SecretName>);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let source = read_source(&fields);
    let valid_until = text::until(&fields);
    let previous = fields.optional("previous", read_previous);
    let destinations = fields.optional("destinations", |item| item.list(parse::<Destination>));
    let use_by = fields.optional("use", read_names);
    let read_by = fields.optional("read", read_names);
    Some(SecretSpec {
        account: account?,
        name: Name::from(&name?),
        description: description?,
        enabled: enabled?,
        valid_until: valid_until?,
        source: source?,
        previous: previous?,
        destinations: destinations?,
        use_by: use_by?,
        read_by: read_by?,
    })
}

fn read_source(fields: &Fields<'_>) -> Option<SecretSource> {
    let value = fields.optional("value", read_value);
    let from = fields.optional("from", read_from);
    match (value?, from?) {
        (Some(_), Some(_)) => fields.wrong("from", "`from` does not go with `value`; leave one out"),
        (value, None) => Some(SecretSource::Stored(value)),
        (None, Some(held)) => Some(SecretSource::Held(held)),
    }
}

fn read_value(item: &Item<'_>) -> Option<Plaintext> {
    let value = item.secret()?;
    if !is_secret_value(&value) {
        return item.wrong(format_args!("a value has 1 to {VALUE_MAX} bytes, and not U+0000"));
    }
    Some(value)
}

/// Can a secret have this value?
pub fn is_secret_value(value: &Plaintext) -> bool {
    let text = value.expose_secret();
    !text.is_empty() && text.len() <= VALUE_MAX && !text.contains('\0')
}

fn read_from(item: &Item<'_>) -> Option<HeldBy> {
    let fields = item.fields(&FROM)?;
    let env = fields.optional("env", read_variable)?;
    let file = fields.optional("file", text::word)?;
    let vault = fields.optional("vault", |item| {
        let fields = item.fields(&VAULT)?;
        let path = fields.required("path", read_vault_path);
        let field = fields.or("field", value_field().into(), text::word);
        Some(HeldBy::Vault { path: path?, field: field? })
    })?;
    match (env, file, vault) {
        (Some(name), None, None) => Some(HeldBy::Env(name)),
        (None, Some(path), None) if path.starts_with('/') => Some(HeldBy::File(path)),
        (None, Some(_), None) => item.wrong("a file is named by its whole path, which begins with `/`"),
        (None, None, Some(vault)) => Some(vault),
        _ => item.wrong("must be {env: NAME}, {file: PATH} or {vault: {path: PATH, field: FIELD}}"),
    }
}

fn read_variable(item: &Item<'_>) -> Option<Box<str>> {
    let text = item.text()?;
    let named = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if named && text.len() <= 256 {
        return Some(text.into());
    }
    item.wrong(format_args!("`{}` is not the name of a variable", text.escape_debug()))
}

/// `MOUNT/PATH`, of which no part leads elsewhere.
fn read_vault_path(item: &Item<'_>) -> Option<Box<str>> {
    let text = text::word(item)?;
    let fits = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    if text.split('/').count() >= 2 && text.split('/').all(fits) {
        return Some(text);
    }
    item.wrong("is a mount and a path within, like secret/orders, of letters, digits, `-`, `_` and `.`")
}

fn read_previous(item: &Item<'_>) -> Option<PreviousValue> {
    let fields = item.fields(&PREVIOUS)?;
    let value = fields.optional("value", read_value);
    let until = fields.required("until", parse::<Timestamp>);
    Some(PreviousValue { version: 0, value: value?, until: until? })
}

fn read_names(item: &Item<'_>) -> Option<BTreeSet<Name>> {
    item.list(parse::<Name>).map(|names| names.into_iter().collect())
}

impl From<&SecretSpec> for Secret {
    fn from(spec: &SecretSpec) -> Self {
        let exposed = |value: &Plaintext| value.expose_secret().to_owned();
        let names = |names: &BTreeSet<Name>| names.iter().map(ToString::to_string).collect();
        Self {
            account: spec.account.to_string(),
            name: spec.name.to_string(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            value: spec.source.value().map(exposed),
            from: match &spec.source {
                SecretSource::Stored(_) => None,
                SecretSource::Held(held) => Some(held.into()),
            },
            valid_until: moment(spec.valid_until),
            previous: spec.previous.as_ref().map(|previous| Previous {
                value: previous.value.as_ref().map(exposed),
                until: previous.until.to_string(),
            }),
            destinations: spec.destinations.as_ref().map(|all| all.iter().map(ToString::to_string).collect()),
            use_by: spec.use_by.as_ref().map(names),
            read_by: spec.read_by.as_ref().map(names),
        }
    }
}

impl From<&HeldBy> for HeldFrom {
    fn from(held: &HeldBy) -> Self {
        match held {
            HeldBy::Env(name) => Self { env: Some(name.to_string()), ..Self::default() },
            HeldBy::File(path) => Self { file: Some(path.to_string()), ..Self::default() },
            HeldBy::Vault { path, field } => {
                let vault = VaultField { path: path.to_string(), field: field.to_string() };
                Self { vault: Some(vault), ..Self::default() }
            }
        }
    }
}
