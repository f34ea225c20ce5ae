//! What the store keeps, as one kind of thing: for writing, following and loading.

use std::fmt;
use std::str::FromStr;

use keyward_model::{
    Account, AccountId, Api, ApiId, Caller, CallerId, Credential, CredentialId, Gateway, GatewayId, Grant,
    GrantId, Grantee, Group, GroupId, Module, ModuleId, Operator, OperatorId, OperatorToken, OperatorTokenId,
    ParseError, Plugin, PluginId, Proof, Secret, SecretId, SecretText, Service, ServiceId, Timestamp,
};

/// An object of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An account.
    Account(Account),
    /// A gateway.
    Gateway(Gateway),
    /// A secret, with its values.
    Secret(Box<Secret>),
    /// A service. Written without a value in its authentication, it keeps the sealed one.
    Service(Service),
    /// An API with its stages.
    Api(Api),
    /// An application or a consumer.
    Caller(Caller),
    /// A credential.
    Credential(CredentialRecord),
    /// A group. Its members are records of their own; `members` is empty when loaded and not written.
    Group(Group),
    /// That this caller is in this group.
    Member(GroupId, CallerId),
    /// A grant.
    Grant(Grant),
    /// A module.
    Module(Box<Module>),
    /// A plugin.
    Plugin(Box<Plugin>),
    /// An operator.
    Operator(Box<Operator>),
    /// An operator's token.
    OperatorToken(Box<OperatorToken>),
}

/// A credential, and what is to become of its sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRecord {
    /// Its caller's account, whose key seals it.
    pub account: AccountId,
    /// What a decision needs of it.
    pub credential: Credential,
    /// How a generated value begins and ends, for people.
    pub hint: Option<String>,
    /// What is to become of its sealed value. [`Sealing::Keep`] when loaded.
    pub sealing: Sealing,
}

/// What is to become of a credential's sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// It stays.
    Keep,
    /// This replaces it: the AppSecret, AppCode, API key, or the key set as JSON text; or references to it.
    Set(SecretText),
    /// Only the digest is kept.
    DigestOnly,
}

/// Which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordId {
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
    /// An application or a consumer.
    Caller(CallerId),
    /// A credential.
    Credential(CredentialId),
    /// A group.
    Group(GroupId),
    /// That this caller is in this group.
    Member(GroupId, CallerId),
    /// A grant.
    Grant(GrantId),
    /// A module.
    Module(ModuleId),
    /// A plugin.
    Plugin(PluginId),
    /// An operator.
    Operator(OperatorId),
    /// An operator's token.
    OperatorToken(OperatorTokenId),
}

impl Record {
    /// Which one it is.
    pub fn id(&self) -> RecordId {
        match self {
            Self::Account(account) => RecordId::Account(account.id),
            Self::Gateway(gateway) => RecordId::Gateway(gateway.id),
            Self::Secret(secret) => RecordId::Secret(secret.id),
            Self::Service(service) => RecordId::Service(service.id),
            Self::Api(api) => RecordId::Api(api.id),
            Self::Caller(caller) => RecordId::Caller(caller.id),
            Self::Credential(record) => RecordId::Credential(record.credential.id),
            Self::Group(group) => RecordId::Group(group.id),
            Self::Member(group, caller) => RecordId::Member(*group, *caller),
            Self::Grant(grant) => RecordId::Grant(grant.id),
            Self::Module(module) => RecordId::Module(module.id),
            Self::Plugin(plugin) => RecordId::Plugin(plugin.id),
            Self::Operator(operator) => RecordId::Operator(operator.id),
            Self::OperatorToken(token) => RecordId::OperatorToken(token.id),
        }
    }
}

impl Record {
    /// Whose a credential is, or whom a grant is for.
    pub(crate) fn owner(&self) -> Option<Grantee> {
        match self {
            Self::Credential(record) => Some(Grantee::Caller(record.credential.caller)),
            Self::Grant(grant) => Some(grant.grantee),
            _ => None,
        }
    }

    /// Does a text of it hold U+0000, which PostgreSQL cannot keep? Names cannot, and what stands in a document is escaped.
    pub(crate) fn holds_nul(&self) -> bool {
        let texts: [&str; 2] = match self {
            Self::Account(account) => [&account.description, ""],
            Self::Gateway(gateway) => [&gateway.spec.description, ""],
            Self::Secret(secret) => [&secret.spec.description, ""],
            Self::Service(service) => [&service.spec.description, ""],
            Self::Caller(caller) => [&caller.description, caller.extension.as_deref().unwrap_or_default()],
            Self::Group(group) => [&group.description, ""],
            Self::Grant(grant) => [&grant.description, ""],
            Self::Module(module) => [&module.settings.description, ""],
            Self::Plugin(plugin) => [&plugin.settings.description, ""],
            Self::Credential(record) => match &record.credential.proof {
                Proof::Jwt(binding) => [&binding.identity_claim.name, &binding.identity_claim.value],
                _ => [record.hint.as_deref().unwrap_or_default(), ""],
            },
            Self::Operator(operator) => [&operator.description, ""],
            Self::Api(_) | Self::Member(..) | Self::OperatorToken(_) => ["", ""],
        };
        texts.iter().any(|text| text.contains('\0'))
    }
}

impl RecordId {
    /// The noun, as in the change log and the audit: `caller` for both kinds.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Gateway(_) => "gateway",
            Self::Secret(_) => "secret",
            Self::Service(_) => "service",
            Self::Api(_) => "api",
            Self::Caller(_) => "caller",
            Self::Credential(_) => "credential",
            Self::Group(_) => "group",
            Self::Member(..) => "member",
            Self::Grant(_) => "grant",
            Self::Module(_) => "module",
            Self::Plugin(_) => "plugin",
            Self::Operator(_) => "operator",
            Self::OperatorToken(_) => "operator_token",
        }
    }

    /// Reads what [`RecordId::noun`] and [`RecordId`]'s `Display` wrote.
    pub(crate) fn parse(noun: &str, object: &str) -> Result<Self, String> {
        fn id<T: FromStr<Err = ParseError>>(text: &str) -> Result<T, String> {
            text.parse().map_err(|error: ParseError| error.to_string())
        }
        Ok(match noun {
            "account" => Self::Account(id(object)?),
            "gateway" => Self::Gateway(id(object)?),
            "secret" => Self::Secret(id(object)?),
            "service" => Self::Service(id(object)?),
            "api" => Self::Api(id(object)?),
            "caller" => Self::Caller(id(object)?),
            "credential" => Self::Credential(id(object)?),
            "group" => Self::Group(id(object)?),
            "grant" => Self::Grant(id(object)?),
            "module" => Self::Module(id(object)?),
            "plugin" => Self::Plugin(id(object)?),
            "operator" => Self::Operator(id(object)?),
            "operator_token" => Self::OperatorToken(id(object)?),
            "member" => {
                let (group, caller) =
                    object.split_once(' ').ok_or_else(|| format!("`{object}` is not a membership"))?;
                Self::Member(id(group)?, id(caller)?)
            }
            other => return Err(format!("`{other}` is not a noun of this version")),
        })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => id.fmt(f),
            Self::Gateway(id) => id.fmt(f),
            Self::Secret(id) => id.fmt(f),
            Self::Service(id) => id.fmt(f),
            Self::Api(id) => id.fmt(f),
            Self::Caller(id) => id.fmt(f),
            Self::Credential(id) => id.fmt(f),
            Self::Group(id) => id.fmt(f),
            Self::Member(group, caller) => write!(f, "{group} {caller}"),
            Self::Grant(id) => id.fmt(f),
            Self::Module(id) => id.fmt(f),
            Self::Plugin(id) => id.fmt(f),
            Self::Operator(id) => id.fmt(f),
            Self::OperatorToken(id) => id.fmt(f),
        }
    }
}

/// An object with what the store knows about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The object.
    pub object: T,
    /// Its own last revision.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
}

impl<T> Stored<T> {
    /// The same about another form of the object.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Stored<U> {
        Stored {
            object: form(self.object),
            revision: self.revision,
            created: self.created,
            changed: self.changed,
        }
    }
}

/// One entry of the change log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision that brought it.
    pub revision: u64,
    /// What changed. Absent for what this version does not know, which no decision of it depends on.
    pub record: Option<RecordId>,
    /// Is it gone?
    pub gone: bool,
    /// Whose a credential is, or whom a grant is for.
    pub owner: Option<Grantee>,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_record_id_reads_back() {
        let uuid = Uuid::from_u128(5);
        let caller = CallerId::from_uuid(keyward_model::CallerKind::Consumer, uuid);
        let group = GroupId::from_uuid(uuid);
        for id in [
            RecordId::Account(AccountId::from_uuid(uuid)),
            RecordId::Gateway(GatewayId::from_uuid(uuid)),
            RecordId::Secret(SecretId::from_uuid(uuid)),
            RecordId::Service(ServiceId::from_uuid(uuid)),
            RecordId::Api(ApiId::from_uuid(uuid)),
            RecordId::Caller(caller),
            RecordId::Credential(CredentialId::from_uuid(uuid)),
            RecordId::Group(group),
            RecordId::Member(group, caller),
            RecordId::Grant(GrantId::from_uuid(uuid)),
            RecordId::Module(ModuleId::from_uuid(uuid)),
            RecordId::Plugin(PluginId::from_uuid(uuid)),
            RecordId::Operator(OperatorId::from_uuid(uuid)),
            RecordId::OperatorToken(OperatorTokenId::from_uuid(uuid)),
        ] {
            assert_eq!(RecordId::parse(id.noun(), &id.to_string()), Ok(id));
        }
        assert!(RecordId::parse("operator", "x").is_err());
        assert!(RecordId::parse("plugin", "x").is_err());
    }
}
