//! A world: the declarative form of everything that Keyward knows, parsed and checked object by object.

use std::collections::BTreeSet;

use crate::{
    AccountSpec, ApiSpec, ApplicationSpec, ConsumerSpec, GatewaySpec, GrantSpec, GroupSpec, ModuleSpec,
    PluginSpec, SecretSpec, ServiceSpec,
};

/// What a world file says, in file order. Each entry carries where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// The nouns that the file names at all, which is what pruning goes by.
    pub nouns: BTreeSet<Noun>,
    /// Accounts.
    pub accounts: Vec<Located<AccountSpec>>,
    /// Gateways.
    pub gateways: Vec<Located<GatewaySpec>>,
    /// Secrets.
    pub secrets: Vec<Located<SecretSpec>>,
    /// Services.
    pub services: Vec<Located<ServiceSpec>>,
    /// Modules.
    pub modules: Vec<Located<ModuleSpec>>,
    /// APIs.
    pub apis: Vec<Located<ApiSpec>>,
    /// Applications.
    pub applications: Vec<Located<ApplicationSpec>>,
    /// Consumers.
    pub consumers: Vec<Located<ConsumerSpec>>,
    /// Groups.
    pub groups: Vec<Located<GroupSpec>>,
    /// Grants.
    pub grants: Vec<Located<GrantSpec>>,
    /// Plugins.
    pub plugins: Vec<Located<PluginSpec>>,
    /// Plugins `rate-limit`, in the short form that a world file has for them.
    pub limits: Vec<Located<PluginSpec>>,
    /// Does the file name `limits` at all? Where it does not name plugins, pruning goes by that.
    pub names_limits: bool,
}

/// The nouns of the admin plane, in the order in which they depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Noun {
    /// [`Account`](crate::Account)
    Account,
    /// [`Gateway`](crate::Gateway)
    Gateway,
    /// [`Secret`](crate::Secret)
    Secret,
    /// [`Service`](crate::Service)
    Service,
    /// [`Module`](crate::Module)
    Module,
    /// [`Api`](crate::Api)
    Api,
    /// [`Caller`](crate::Caller) that signs
    Application,
    /// [`Caller`](crate::Caller) with API keys or JWT
    Consumer,
    /// [`Group`](crate::Group)
    Group,
    /// [`Grant`](crate::Grant)
    Grant,
    /// [`Plugin`](crate::Plugin)
    Plugin,
}

impl Noun {
    /// Every noun, in order of dependence.
    pub const ALL: [Self; 11] = [
        Self::Account,
        Self::Gateway,
        Self::Secret,
        Self::Service,
        Self::Module,
        Self::Api,
        Self::Application,
        Self::Consumer,
        Self::Group,
        Self::Grant,
        Self::Plugin,
    ];

    /// `application`.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Gateway => "gateway",
            Self::Secret => "secret",
            Self::Service => "service",
            Self::Module => "module",
            Self::Api => "api",
            Self::Application => "application",
            Self::Consumer => "consumer",
            Self::Group => "group",
            Self::Grant => "grant",
            Self::Plugin => "plugin",
        }
    }

    /// `applications`: the key in a world file and the last part of a route.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::Gateway => "gateways",
            Self::Secret => "secrets",
            Self::Service => "services",
            Self::Module => "modules",
            Self::Api => "apis",
            Self::Application => "applications",
            Self::Consumer => "consumers",
            Self::Group => "groups",
            Self::Grant => "grants",
            Self::Plugin => "plugins",
        }
    }
}

/// A value, and where in its document it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// Where it stands.
    pub place: Place,
    /// The value.
    pub value: T,
}

/// Where something stands in a document that a person wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1; 0 where there is none.
    pub line: u32,
    /// Column, from 1; 0 where there is none.
    pub column: u32,
    /// Path within the document, such as `applications[0].key_pairs[1].app_key`.
    pub path: String,
}
