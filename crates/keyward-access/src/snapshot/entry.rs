//! What a Snapshot holds: the configuration's objects, packed for decisions.

use std::fmt;
use std::sync::Arc;

use keyward_model::{
    Account, AccountId, Api, ApiId, AppKey, CallerId, Credential, CredentialDigest, CredentialId,
    CredentialKind, GatewayId, GrantId, GroupId, IdentityClaim, JwtSettings, KeySource, Name,
    SignatureScheme, StageSet, Timestamp, Validity,
};

use super::plugins::ApiPlugins;
use super::secrets::{Trouble, ValueUse};
use super::shards::Keyed;
use crate::jwt::VerifyingKeys;
use crate::operations::{GrantedOperation, OperationTree};
use crate::signature::SigningSecret;

/// An account, with what its tokens can be told apart by.
#[derive(Debug)]
pub(crate) struct AccountEntry {
    pub(crate) account: Account,
    /// How many callers it has.
    pub(crate) callers: usize,
    /// The names of its consumers' identity claims, and how many consumers each names.
    pub(crate) claim_names: Vec<(Box<str>, usize)>,
}

/// An API, with what follows from it.
#[derive(Debug)]
pub struct ApiEntry {
    pub(crate) api: Api,
    pub(crate) operations: OperationTree,
    /// What is bound to it; absent: nothing.
    pub(crate) plugins: Option<Arc<ApiPlugins>>,
}

impl ApiEntry {
    pub(crate) fn new(api: Api, plugins: Option<Arc<ApiPlugins>>) -> Self {
        let operations = OperationTree::new(&api.settings.operations);
        Self { api, operations, plugins }
    }

    /// The API itself.
    pub fn api(&self) -> &Api {
        &self.api
    }
}

/// A caller, with its credentials, groups and grants.
#[derive(Debug)]
pub struct CallerEntry {
    pub(crate) id: CallerId,
    pub(crate) account: AccountId,
    pub(crate) enabled: bool,
    pub(crate) name: Name,
    pub(crate) extras: Arc<Extras>,
    pub(crate) credentials: Arc<[CredentialEntry]>,
    pub(crate) grants: Arc<[GrantEntry]>,
}

/// What few callers have, or many have the same: shared between those.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extras {
    pub(crate) extension: Option<Box<str>>,
    pub(crate) key_sources: Box<[KeySource]>,
    /// In id order.
    pub(crate) groups: Box<[GroupId]>,
}

impl CallerEntry {
    /// Its id, which tells the kind.
    pub fn id(&self) -> CallerId {
        self.id
    }

    /// Whose it is.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// A disabled caller may call nothing.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Handed to the service as `CaAppExtInfo` where an API declares it.
    pub fn extension(&self) -> Option<&str> {
        self.extras.extension.as_deref()
    }

    /// Where its API keys may stand.
    pub fn key_sources(&self) -> &[KeySource] {
        &self.extras.key_sources
    }

    /// Its credentials, in id order.
    pub fn credentials(&self) -> &[CredentialEntry] {
        &self.credentials
    }

    /// The groups it is a member of, in id order.
    pub fn groups(&self) -> &[GroupId] {
        &self.extras.groups
    }

    /// Its own grants, by API and then by id; not those of its groups.
    pub fn grants(&self) -> &[GrantEntry] {
        &self.grants
    }

    /// Its own grants on this API, in id order.
    pub(crate) fn grants_on(&self, api: ApiId) -> &[GrantEntry] {
        grants_on(&self.grants, api)
    }

    /// Its credential of this id.
    pub fn credential(&self, id: CredentialId) -> Option<&CredentialEntry> {
        self.credentials.iter().find(|credential| credential.id == id)
    }
}

impl Keyed for Arc<CallerEntry> {
    type Id = CallerId;

    fn is(&self, id: &CallerId) -> bool {
        self.id == *id
    }
}

/// A credential, in the form that a decision needs.
#[derive(Clone, Debug)]
pub struct CredentialEntry {
    pub(crate) id: CredentialId,
    pub(crate) enabled: bool,
    /// The end of time, where it is valid for ever.
    pub(crate) until: Timestamp,
    pub(crate) proof: ProofEntry,
    /// Where it rests on a reference. Such a credential has an entry for each value that it may have.
    pub(crate) referred: Option<Arc<Referred>>,
}

/// A credential that rests on references to secrets.
#[derive(Debug)]
pub(crate) struct Referred {
    /// As it was given, to be worked up again when a secret changes.
    pub(crate) source: Arc<Credential>,
    /// Why it proves nothing now.
    pub(crate) trouble: Option<Trouble>,
    /// Is there a value to compare with? Of a disabled secret there is.
    pub(crate) has_value: bool,
    /// Of which values of secrets this entry is made.
    pub(crate) uses: Box<[Arc<ValueUse>]>,
}

/// The material of a credential.
#[derive(Clone, Debug)]
pub(crate) enum ProofEntry {
    KeyPair(Box<KeyPairEntry>),
    AppCode(CredentialDigest),
    ApiKey(CredentialDigest),
    Jwt(Box<JwtEntry>),
    /// It cannot be resolved: nothing that is presented is it.
    Nothing(CredentialKind),
}

/// A key pair that verifies signatures.
#[derive(Clone, Debug)]
pub(crate) struct KeyPairEntry {
    pub(crate) app_key: AppKey,
    pub(crate) secret: SigningSecret,
    pub(crate) scheme: SignatureScheme,
}

/// What verifies a consumer's tokens.
#[derive(Clone)]
pub(crate) struct JwtEntry {
    /// Absent: they are fetched from where the settings say.
    pub(crate) keys: Option<Arc<VerifyingKeys>>,
    pub(crate) settings: JwtSettings,
    pub(crate) identity: IdentityClaim,
}

impl fmt::Debug for JwtEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtEntry").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl CredentialEntry {
    /// Its id.
    pub fn id(&self) -> CredentialId {
        self.id
    }

    /// The kind of credential that an API must admit for it to open the door.
    pub fn kind(&self) -> CredentialKind {
        match self.proof {
            ProofEntry::KeyPair(_) => CredentialKind::AppSignature,
            ProofEntry::AppCode(_) => CredentialKind::AppCode,
            ProofEntry::ApiKey(_) => CredentialKind::ApiKey,
            ProofEntry::Jwt(_) => CredentialKind::Jwt,
            ProofEntry::Nothing(kind) => kind,
        }
    }

    /// The AppKey, if it is a key pair.
    pub fn app_key(&self) -> Option<&AppKey> {
        match &self.proof {
            ProofEntry::KeyPair(pair) => Some(&pair.app_key),
            _ => None,
        }
    }

    /// How requests are signed with it, if it is a key pair.
    pub fn scheme(&self) -> Option<SignatureScheme> {
        match &self.proof {
            ProofEntry::KeyPair(pair) => Some(pair.scheme),
            _ => None,
        }
    }

    /// A disabled credential proves nothing.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Why it proves nothing: a secret that it rests on cannot be resolved. Absent: it does.
    pub fn trouble(&self) -> Option<&str> {
        self.referred.as_ref()?.trouble.as_ref().map(|trouble| &*trouble.text)
    }

    /// A request was proven by it now.
    pub fn note_use(&self, now: Timestamp) {
        if let Some(referred) = &self.referred {
            referred.uses.iter().for_each(|one| one.note(now));
        }
    }

    /// Can nothing that is presented be compared with it?
    pub(crate) fn has_no_value(&self) -> bool {
        self.referred.as_ref().is_some_and(|referred| !referred.has_value)
    }

    /// First moment in which it no longer holds; absent: for ever.
    pub fn valid_until(&self) -> Option<Timestamp> {
        (self.until != END_OF_TIME).then_some(self.until)
    }
}

pub(crate) const BEGINNING_OF_TIME: Timestamp = Timestamp::from_millis(i64::MIN);
pub(crate) const END_OF_TIME: Timestamp = Timestamp::from_millis(i64::MAX);

/// A grant, packed into 64 bytes.
#[derive(Clone, Debug)]
pub struct GrantEntry {
    pub(crate) id: GrantId,
    pub(crate) api: ApiId,
    /// The beginning of time, where there is no lower bound.
    pub(crate) from: Timestamp,
    /// The end of time, where there is no upper bound.
    pub(crate) until: Timestamp,
    pub(crate) scope: Option<Arc<Scope>>,
    pub(crate) stages: StageSet,
    pub(crate) revoked: bool,
}

/// What a grant narrows to. Many grants narrow to the same: it is shared between those.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope {
    /// In id order; `None`: every gateway.
    pub(crate) gateways: Option<Box<[GatewayId]>>,
    /// `None`: every operation.
    pub(crate) operations: Option<Box<[GrantedOperation]>>,
}

impl GrantEntry {
    /// Its id.
    pub fn id(&self) -> GrantId {
        self.id
    }

    /// What may be called.
    pub fn api(&self) -> ApiId {
        self.api
    }

    /// On which stages.
    pub fn stages(&self) -> StageSet {
        self.stages
    }

    /// When.
    pub fn validity(&self) -> Validity {
        let bound = |at, none| (at != none).then_some(at);
        Validity { from: bound(self.from, BEGINNING_OF_TIME), until: bound(self.until, END_OF_TIME) }
    }

    /// Was it revoked?
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }

    pub(crate) fn is_for_gateway(&self, gateway: GatewayId) -> bool {
        let gateways = self.scope.as_ref().and_then(|scope| scope.gateways.as_ref());
        gateways.is_none_or(|gateways| gateways.contains(&gateway))
    }

    pub(crate) fn operations(&self) -> Option<&[GrantedOperation]> {
        self.scope.as_ref()?.operations.as_deref()
    }
}

/// Of grants sorted by API: those on this one.
pub(crate) fn grants_on(grants: &[GrantEntry], api: ApiId) -> &[GrantEntry] {
    let first = grants.partition_point(|grant| grant.api < api);
    let rest = grants.get(first..).unwrap_or_default();
    rest.get(..rest.partition_point(|grant| grant.api == api)).unwrap_or_default()
}

/// A group, with its members and grants.
#[derive(Debug)]
pub struct GroupEntry {
    pub(crate) id: GroupId,
    pub(crate) account: AccountId,
    pub(crate) enabled: bool,
    pub(crate) members: Arc<[CallerId]>,
    pub(crate) grants: Arc<[GrantEntry]>,
}

impl GroupEntry {
    /// Its id.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Whose it is.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The grants of a disabled group permit nothing.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Who belongs to it, in id order.
    pub fn members(&self) -> &[CallerId] {
        &self.members
    }

    /// Its grants, by API and then by id.
    pub fn grants(&self) -> &[GrantEntry] {
        &self.grants
    }

    pub(crate) fn grants_on(&self, api: ApiId) -> &[GrantEntry] {
        grants_on(&self.grants, api)
    }
}

macro_rules! keyed_by_id {
    ($($entry:ty, $id:ty, |$value:ident| $of:expr;)*) => {
        $(impl Keyed for Arc<$entry> {
            type Id = $id;

            fn is(&self, id: &$id) -> bool {
                let $value = self;
                $of == *id
            }
        })*
    };
}

keyed_by_id! {
    AccountEntry, AccountId, |entry| entry.account.id;
    ApiEntry, ApiId, |entry| entry.api.id;
    GroupEntry, GroupId, |entry| entry.id;
    super::plugins::PluginEntry, keyward_model::PluginId, |entry| entry.plugin.id;
    ApiPlugins, ApiId, |plugins| plugins.api;
    super::ServiceEntry, keyward_model::ServiceId, |service| service.id;
}
