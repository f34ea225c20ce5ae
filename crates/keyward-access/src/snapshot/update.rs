//! What changes a Snapshot, and what would not compile.

use std::fmt;

use keyward_model::{
    Account, AccountId, Api, ApiId, Caller, CallerId, Credential, CredentialId, Gateway, GatewayId, Grant,
    GrantId, Grantee, Group, GroupId, Module, ModuleId, Plugin, PluginId, Secret, SecretId, Service,
    ServiceId,
};

/// One changed row. `Upsert…` carries the whole object as it is from now on.
#[derive(Clone, Debug)]
pub enum SnapshotUpdate {
    /// An account is as given.
    UpsertAccount(Account),
    /// An account is gone. Nothing may be left that it owns.
    RemoveAccount(AccountId),
    /// A gateway is as given.
    UpsertGateway(Gateway),
    /// A gateway is gone. No API may be left that is published to it.
    RemoveGateway(GatewayId),
    /// A secret is as given, with its values if they are in the store.
    UpsertSecret(Box<Secret>),
    /// A secret is gone. What still refers to it cannot be resolved any more.
    RemoveSecret(SecretId),
    /// A service is as given.
    UpsertService(Service),
    /// A service is gone. No API may be left that is bound to it.
    RemoveService(ServiceId),
    /// An API is as given.
    UpsertApi(Box<Api>),
    /// An API is gone. Send the removal of its grants along: those left behind permit nothing (ids are never
    /// reused), but stay in memory until the next load.
    RemoveApi(ApiId),
    /// A module is as given. What it calls must be there. The plugins that run it are compiled anew.
    UpsertModule(Box<Module>),
    /// A module is gone. No plugin may be left that runs it.
    RemoveModule(ModuleId),
    /// A plugin is as given. What it is bound to must be there.
    UpsertPlugin(Box<Plugin>),
    /// A plugin is as given, but cannot do what it is for: what it is bound to is closed.
    ClosePlugin(Box<Plugin>),
    /// A plugin is gone.
    RemovePlugin(PluginId),
    /// A caller is as given and has these credentials, all of them; its grants and groups stay.
    UpsertCaller {
        /// The caller.
        caller: Caller,
        /// Every credential it has, in any order.
        credentials: Vec<Credential>,
    },
    /// A caller is gone, and with it its credentials, its grants and its memberships.
    RemoveCaller(CallerId),
    /// A group is as given; its grants stay.
    UpsertGroup(Group),
    /// A group is gone, and with it its grants.
    RemoveGroup(GroupId),
    /// A grant is as given. What it is for (its grantee and API) never changes.
    UpsertGrant(Grant),
    /// A grant's row is gone (a revoked grant is not: it is upserted with `revoked` set).
    RemoveGrant {
        /// Which.
        id: GrantId,
        /// Whom it was for.
        grantee: Grantee,
    },
}

/// Names an object of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectId {
    /// An account.
    Account(AccountId),
    /// A gateway.
    Gateway(GatewayId),
    /// A secret.
    Secret(SecretId),
    /// A service.
    Service(ServiceId),
    /// An API.
    Api(ApiId),
    /// An application or consumer.
    Caller(CallerId),
    /// A credential of a caller.
    Credential(CallerId, CredentialId),
    /// A group.
    Group(GroupId),
    /// A grant.
    Grant(GrantId),
    /// A plugin.
    Plugin(PluginId),
    /// A module.
    Module(ModuleId),
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "{id}"),
            Self::Gateway(id) => write!(f, "{id}"),
            Self::Secret(id) => write!(f, "{id}"),
            Self::Service(id) => write!(f, "{id}"),
            Self::Api(id) => write!(f, "{id}"),
            Self::Caller(id) => write!(f, "{id}"),
            Self::Credential(_, id) => write!(f, "{id}"),
            Self::Group(id) => write!(f, "{id}"),
            Self::Grant(id) => write!(f, "{id}"),
            Self::Plugin(id) => write!(f, "{id}"),
            Self::Module(id) => write!(f, "{id}"),
        }
    }
}

/// One thing that does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What does not compile.
    pub object: ObjectId,
    /// What it is in conflict with, or what it refers to in vain.
    pub other: Option<ObjectId>,
    /// Is it a conflict with another object (409), or wrong by itself (422)?
    pub kind: ProblemKind,
    /// What is wrong and what to do. Never holds a secret.
    pub text: String,
}

/// How a [`Problem`] is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// Another object has what this one claims.
    Conflict,
    /// It refers to what does not exist (or is another account's).
    UnknownReference,
    /// It is still referred to.
    InUse,
    /// It is wrong by itself.
    Invalid,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.text)
    }
}

/// Why updates do not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the change does not compile: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct CompileError {
    /// Everything that is wrong, never empty.
    pub problems: Vec<Problem>,
}
