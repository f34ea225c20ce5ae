//! Plugins: what is done to calls besides deciding about them.
//!
//! A plugin is bound to a gateway, an API or an operation of one. What a built-in may be told is written down once, as
//! a [`Shape`]: its JSON Schema and the strict reader both come from that.

mod backend_signature;
mod basic_auth;
mod built_in;
mod config;
mod cors;
mod counting;
mod custom_response;
mod ext_auth;
mod given;
mod hmac_auth;
mod ip_restriction;
mod json;
mod jwt_auth;
mod key_auth;
mod quota;
mod rate_limit;
mod replay_protection;
mod request_block;
mod request_validation;
mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod transform;

use std::fmt;
use std::str::FromStr;

pub use backend_signature::BackendSignature;
pub use basic_auth::{BasicAuth, BasicUser};
pub use built_in::{BuiltIn, BuiltInConfig, PluginPhase};
pub use config::{Digest, PluginConfig};
pub use cors::{Cors, CorsOrigin, NameList};
pub use counting::{CountBy, Counting, WhenAway};
pub use custom_response::CustomResponse;
pub use ext_auth::ExtAuth;
pub use hmac_auth::{HmacAuth, HmacKeyPair};
pub use ip_restriction::IpRestriction;
pub use json::{ConfigError, StrictJson};
pub use jwt_auth::JwtAuth;
pub use key_auth::KeyAuth;
pub use quota::{Quota, QuotaPeriod, QuotaZone};
pub use rate_limit::{RateLimit, RequestRate};
pub use replay_protection::ReplayProtection;
pub use request_block::RequestBlock;
pub use request_validation::RequestValidation;
pub use schema::json_schema;
pub use shape::{Format, Member, Need, Shape};
pub use transform::{
    BodyChange, BodyField, Mapping, NamedValue, PartChange, Rename, RequestChange, ResponseChange, Transform,
    ValuePlace,
};

use crate::{AccountId, ApiId, GatewayId, Name, Operation, ParseError, PluginId, ServiceId};

/// Something that is done to the calls of what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its id.
    pub id: PluginId,
    /// Whose it is.
    pub account: AccountId,
    /// What it is bound to.
    pub on: PluginOn<GatewayId, ApiId>,
    /// The services that its configuration names.
    pub services: Vec<(Name, ServiceId)>,
    /// Everything that refers to no other object.
    pub settings: PluginSettings,
}

/// A plugin as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSpec {
    /// Name of its account.
    pub account: Name,
    /// What it is bound to, by name. The API is one of the same account.
    pub on: PluginOn<Name, Name>,
    /// Everything that refers to no other object.
    pub settings: PluginSettings,
}

/// The part of a plugin that refers to no other object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    /// What it does.
    pub kind: PluginKind,
    /// Lower ones go first among those that are bound to the same; of equal ones, the older.
    pub order: i32,
    /// A disabled plugin does nothing; one that authenticates opens nothing.
    pub enabled: bool,
    /// For people.
    pub description: String,
    /// How it does it.
    pub config: PluginConfig,
}

/// What a plugin is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginOn<G, A> {
    /// Every call at this gateway. Only account `default` binds such plugins: calls of all accounts pass there.
    Gateway(G),
    /// Every call of this API.
    Api(A),
    /// The calls of one of its operations, as the API declares it.
    Operation(A, Operation),
}

impl<G, A> PluginOn<G, A> {
    /// The API, unless it is bound to a gateway.
    pub fn api(&self) -> Option<&A> {
        match self {
            Self::Gateway(_) => None,
            Self::Api(api) | Self::Operation(api, _) => Some(api),
        }
    }
}

/// What a plugin does: one of the built-in ones, or a custom one by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// A part of Keyward.
    BuiltIn(BuiltIn),
    /// WebAssembly that was uploaded under this name.
    Custom(Name),
}

impl FromStr for PluginKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match BuiltIn::named(text) {
            Some(kind) => Ok(Self::BuiltIn(kind)),
            None => text.parse().map(Self::Custom),
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(kind) => f.write_str(kind.as_str()),
            Self::Custom(name) => write!(f, "{name}"),
        }
    }
}

/// The status of a refusal, of those that say "not you" or "not so".
const fn refusal_status(default: &'static str) -> Member {
    Member {
        name: "status",
        shape: Shape::Whole { least: 400, most: 499 },
        need: Need::Default(default),
        help: "The status of a refusal.",
    }
}

/// Largest body that is held for a plugin, in bytes.
const fn held_body(help: &'static str) -> Member {
    Member {
        name: "body_bytes",
        shape: Shape::Whole { least: 1, most: 32 * 1024 * 1024 },
        need: Need::Default("1048576"),
        help,
    }
}
