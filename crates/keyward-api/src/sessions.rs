//! Signing in and out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::operators::RoleHeld;

/// What signing in takes.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The operator's name.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// The operator's password.
    #[schemars(with = "form::AnyPassword")]
    pub password: String,
}

/// What makes the first operator, who owns everything.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapAnswer {
    /// The one-time password that the node printed when it started.
    #[schemars(with = "form::AnyPassword")]
    pub one_time_password: String,
    /// The operator's name.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// The password that it will have.
    #[schemars(with = "form::Password")]
    pub password: String,
}

/// A new password for oneself.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The one so far.
    #[schemars(with = "form::AnyPassword")]
    pub old_password: String,
    /// The new one. Whoever is signed in so far is signed out.
    #[schemars(with = "form::Password")]
    pub password: String,
}

/// Who is calling, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct WhoAmI {
    /// `operator`, or `local_token` for the holder of the node's local token.
    #[schemars(with = "form::ActorKind")]
    pub kind: String,
    /// The operator's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Id>")]
    pub id: Option<String>,
    /// The operator's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Name>")]
    pub name: Option<String>,
    /// What it may do where, as it holds for this call.
    pub roles: Vec<RoleHeld>,
    /// Of a session: what its writes carry in `X-Keyward-Csrf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
    /// Of a session: when it ends at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
}

/// Nothing more to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Done {
    /// With `wait=cluster`: who has applied it, and who has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<crate::Cluster>,
}

macro_rules! hidden {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

hidden!(SignIn BootstrapAnswer PasswordChange);
