//! Operators, and the tokens that act for them.

use keyward_model::{Identity, Issuer, Name, OperatorSpec, OperatorTokenSpec, Plaintext, Role, RoleSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::credentials::moment;
use crate::forms as form;
use crate::read::{Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// Longest subject, in characters.
const SUBJECT_MAX: usize = 1_024;

/// An operator, as the admin API describes it.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Operator {
    /// Its name, unique over all operators.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// A disabled operator may do nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// Its new password; never shown. Absent: the one it has, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Password>")]
    pub password: Option<String>,
    /// What it may do where, at most one role per account.
    #[serde(default)]
    #[schemars(default)]
    pub roles: Vec<RoleHeld>,
    /// Who it is at OpenID providers.
    #[serde(default)]
    #[schemars(default)]
    pub identities: Vec<OpenIdentity>,
}

/// A role, and where it holds.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct RoleHeld {
    /// The role.
    #[schemars(with = "form::RoleName")]
    pub role: String,
    /// In this account; absent: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Name>")]
    pub account: Option<String>,
}

/// Who an operator is at an OpenID provider.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct OpenIdentity {
    /// The provider's issuer address, exactly as its tokens say it.
    #[schemars(with = "form::IssuerUrl")]
    pub issuer: String,
    /// The subject there.
    #[schemars(with = "form::Word")]
    pub subject: String,
}

/// A token that acts for an operator, as it is asked for and shown.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct OperatorToken {
    /// For people.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// At most this role; absent: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::RoleName>")]
    pub role: Option<String>,
    /// Only these accounts; absent: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<form::Name>>")]
    pub accounts: Option<Vec<String>>,
    /// First moment in which it no longer holds, at most 366 days from now; absent: in 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
}

/// A token as it is kept, and where it was just made its value.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct StoredToken {
    /// Its id.
    #[schemars(with = "form::Id")]
    pub id: String,
    /// Its own last revision.
    #[schemars(with = "form::Etag")]
    pub etag: String,
    /// For whom it acts.
    #[schemars(with = "form::Id")]
    pub operator: String,
    /// What was asked for.
    #[serde(flatten)]
    pub description: OperatorToken,
    /// How it begins and ends.
    pub hint: String,
    /// When it was made.
    #[schemars(with = "form::Moment")]
    pub created: String,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub last_used: Option<String>,
    /// The token itself: shown this once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredToken").field("id", &self.id).field("hint", &self.hint).finish_non_exhaustive()
    }
}

const OPERATOR: Shape = Shape {
    noun: "an operator",
    allowed: &["name", "description", "enabled", "password", "roles", "identities"],
    later: &[],
};
const ROLE: Shape = Shape { noun: "a role", allowed: &["role", "account"], later: &[] };
const IDENTITY: Shape = Shape { noun: "an identity", allowed: &["issuer", "subject"], later: &[] };
const TOKEN: Shape =
    Shape { noun: "a token", allowed: &["name", "role", "accounts", "valid_until"], later: &[] };

pub(crate) fn read(item: &Item<'_>) -> Option<OperatorSpec> {
    let fields = item.fields(&OPERATOR)?;
    let name = fields.required("name", parse);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let password = fields.optional("password", |item| item.text().map(Plaintext::new));
    let roles = fields.or("roles", Vec::new(), |item| item.list(read_role));
    let identities = fields.or("identities", Vec::new(), |item| item.list(read_identity));
    Some(OperatorSpec {
        name: name?,
        description: description?,
        enabled: enabled?,
        password: password?,
        roles: roles?,
        identities: identities?,
    })
}

fn read_role(item: &Item<'_>) -> Option<RoleSpec> {
    let fields = item.fields(&ROLE)?;
    let role = fields.required("role", parse::<Role>);
    let account = fields.optional("account", parse::<Name>);
    Some(RoleSpec { role: role?, account: account? })
}

fn read_identity(item: &Item<'_>) -> Option<Identity> {
    let fields = item.fields(&IDENTITY)?;
    let word = |item: &Item<'_>| {
        let word = item.prose(SUBJECT_MAX)?;
        if word.is_empty() { item.wrong("must not be empty") } else { Some(word) }
    };
    let issuer = fields.required("issuer", parse::<Issuer>);
    let subject = fields.required("subject", word);
    Some(Identity { issuer: issuer?.to_string(), subject: subject? })
}

pub(crate) fn read_token(item: &Item<'_>) -> Option<OperatorTokenSpec> {
    let fields = item.fields(&TOKEN)?;
    let name = fields.required("name", parse);
    let role = fields.optional("role", parse::<Role>);
    let accounts = fields.optional("accounts", |item| item.list(parse::<Name>));
    let valid_until = text::until(&fields);
    Some(OperatorTokenSpec { name: name?, role: role?, accounts: accounts?, valid_until: valid_until? })
}

impl From<&OperatorSpec> for Operator {
    fn from(spec: &OperatorSpec) -> Self {
        Self {
            name: spec.name.to_string(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            password: spec.password.as_ref().map(|password| password.expose_secret().to_owned()),
            roles: spec.roles.iter().map(RoleHeld::from).collect(),
            identities: spec
                .identities
                .iter()
                .map(|identity| OpenIdentity {
                    issuer: identity.issuer.clone(),
                    subject: identity.subject.clone(),
                })
                .collect(),
        }
    }
}

impl From<&RoleSpec> for RoleHeld {
    fn from(spec: &RoleSpec) -> Self {
        Self { role: spec.role.to_string(), account: spec.account.as_ref().map(ToString::to_string) }
    }
}

impl From<&OperatorTokenSpec> for OperatorToken {
    fn from(spec: &OperatorTokenSpec) -> Self {
        Self {
            name: spec.name.to_string(),
            role: spec.role.map(|role| role.to_string()),
            accounts: spec.accounts.as_ref().map(|names| names.iter().map(ToString::to_string).collect()),
            valid_until: moment(spec.valid_until),
        }
    }
}
