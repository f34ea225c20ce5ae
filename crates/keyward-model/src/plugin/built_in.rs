//! The built-in plugins.

use serde_json::Value;

use super::given::Given;
use super::json::{ConfigError, StrictJson};
use super::schema::json_schema;
use super::shape::Shape;
use super::*;

macro_rules! built_ins {
    ($($kind:ident = $name:literal, $phase:ident, $help:literal;)*) => {
        /// The plugins that are a part of Keyward.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum BuiltIn {
            $(#[doc = $help] $kind,)*
        }

        /// What a built-in plugin was told, read.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum BuiltInConfig {
            $(#[doc = $help] $kind(Box<$kind>),)*
        }

        impl BuiltIn {
            /// Every one, in the order of the manual.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The name in world files and in the admin API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What it does, in one sentence.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$kind => $help,)* }
            }

            /// When it acts.
            pub const fn phase(self) -> PluginPhase {
                match self { $(Self::$kind => PluginPhase::$phase,)* }
            }

            /// What its configuration looks like.
            pub const fn shape(self) -> &'static Shape {
                match self { $(Self::$kind => &$kind::SHAPE,)* }
            }

            pub(super) fn read(self, config: &StrictJson) -> Result<BuiltInConfig, ConfigError> {
                self.shape().check("", config.value())?;
                let completed = self.shape().completed(config.value());
                let given = Given(&completed);
                Ok(match self {
                    $(Self::$kind => BuiltInConfig::$kind(Box::new($kind::read(given)?)),)*
                })
            }
        }
    };
}

built_ins! {
    KeyAuth = "key-auth", Authentication, "Admits calls that present one of the keys it is told.";
    JwtAuth = "jwt-auth", Authentication, "Admits calls that present a token signed by one of the keys it is told.";
    HmacAuth = "hmac-auth", Authentication, "Admits calls that are signed with one of the key pairs it is told.";
    BasicAuth = "basic-auth", Authentication, "Admits calls that present one of the names and passwords it is told.";
    ReplayProtection = "replay-protection", Replay, "Refuses calls whose nonce was used before.";
    RateLimit = "rate-limit", Limit, "Bounds how many calls are made in a time, and how many at once.";
    Quota = "quota", Limit, "Bounds how many calls are made in a day, week or month.";
    Cors = "cors", Request, "Lets pages of other origins call, and answers the browser's question beforehand.";
    IpRestriction = "ip-restriction", Request, "Lets calls from some addresses pass, or keeps them out.";
    RequestBlock = "request-block", Request, "Refuses calls whose URL, headers or body hold what it is told.";
    RequestValidation = "request-validation", Request, "Refuses calls that are not as JSON Schemas and bounds say.";
    ExtAuth = "ext-auth", Request, "Asks a service of yours about each call.";
    Transform = "transform", Request, "Changes headers, query and JSON body of requests, headers and JSON body of answers.";
    CustomResponse = "custom-response", Request, "Answers by itself, or in place of answers of some statuses.";
    BackendSignature = "backend-signature", Outbound, "Signs what goes to the service, by the vendor's scheme for backends.";
}

/// When a plugin acts in a call's life. Within a phase: what is bound to the gateway, then to the API, then to the operation;
/// among those by order, then by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginPhase {
    /// Where credentials are judged.
    Authentication,
    /// Where nonces are remembered.
    Replay,
    /// Once the call is permitted: may there be more of them?
    Limit,
    /// Before it goes to the service, and when the answer comes.
    Request,
    /// When everything else that goes to the service is written.
    Outbound,
}

impl BuiltIn {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// The JSON Schema of its configuration.
    pub fn schema(self) -> Value {
        json_schema(self.as_str(), self.help(), self.shape())
    }
}

impl BuiltInConfig {
    /// The names of the services that it calls, with where they stand in the configuration.
    pub fn services(&self) -> Vec<(&'static str, &Name)> {
        match self {
            Self::ExtAuth(config) => vec![("service", &config.service)],
            _ => Vec::new(),
        }
    }
}
