//! The compiled, read-only form of the configuration, which every decision reads.

mod compile;
mod custom;
mod entry;
mod hashes;
mod modules;
mod plugins;
mod routes;
mod secrets;
mod shards;
mod update;
mod usage;

use std::fmt;
use std::sync::Arc;

use crate::jwt::{FetchedKeys, NothingFetched};

use keyward_model::{
    Account, AccountId, ApiId, AppKey, CallerId, CredentialDigest, DigestKey, Gateway, GatewayId, GroupId,
    HostPattern, Module, Name, PluginId, Revision, SecretId, ServiceId,
};

pub use custom::{CustomConfiguration, CustomDigest, CustomPlugin, ModuleCheck};
pub(crate) use entry::{AccountEntry, JwtEntry, KeyPairEntry, ProofEntry, Scope};
pub use entry::{ApiEntry, CallerEntry, CredentialEntry, GrantEntry, GroupEntry};
pub use hashes::digest_credential;
use hashes::{Digester, Hashes};
use modules::ModuleByName;
pub(crate) use plugins::{Admit, AdmitBy};
pub use plugins::{ApiPlugins, PluginEntry, PluginSet, PluginWork, plugin_takes};
use routes::{HostKey, HostRoutes};
pub(crate) use routes::{Matched, Route};
pub use secrets::{HeldValue, HeldValues, NothingHeld, SecretEntry, ServiceEntry};
use secrets::{SecretById, SecretByName, SecretUsers};
use shards::{Keyed, Shards};
pub use update::{CompileError, ObjectId, Problem, ProblemKind, SnapshotUpdate};
pub(crate) use usage::{ApiUsage, Part, Place, place_parts};

/// The compiled configuration at one [`Revision`]. Immutable; cloning shares everything.
///
/// There is no way to change one: [`Snapshot::apply`] makes another that shares all that did not change.
#[derive(Clone)]
pub struct Snapshot {
    revision: Revision,
    digest_key: Arc<DigestKey>,
    digester: Arc<Digester>,
    hashes: Hashes,
    accounts: Shards<Arc<AccountEntry>>,
    /// In id order: there are few.
    gateways: Arc<[Arc<GatewayEntry>]>,
    secrets: Shards<SecretById>,
    secret_names: Shards<SecretByName>,
    secret_users: Shards<Arc<SecretUsers>>,
    services: Shards<Arc<ServiceEntry>>,
    apis: Shards<Arc<ApiEntry>>,
    modules: Shards<Arc<Module>>,
    module_names: Shards<ModuleByName>,
    plugins: Shards<Arc<PluginEntry>>,
    /// Absent for an API that nothing is bound to.
    bound: Shards<Arc<ApiPlugins>>,
    /// Absent for an API that nobody with places of their own was granted on.
    usage: Shards<Arc<ApiUsage>>,
    hosts: Shards<Arc<HostOwner>>,
    groups: Shards<Arc<GroupEntry>>,
    callers: Shards<Arc<CallerEntry>>,
    /// By AppKey, digest and identity claim: who may have such a credential.
    credentials: Shards<Arc<CallerEntry>>,
    /// No part of the configuration: what was fetched since.
    fetched: Arc<dyn FetchedKeys>,
    /// Neither: what secrets hold whose values are elsewhere.
    held: Arc<dyn HeldValues>,
}

/// A gateway, with the routes of what is published to it.
struct GatewayEntry {
    gateway: Gateway,
    routes: Shards<Arc<HostRoutes>>,
    /// How many of the hosts are wildcards.
    wildcards: usize,
    /// What is bound to it, in order.
    plugins: Arc<[Arc<PluginEntry>]>,
}

/// Whose a host is.
#[derive(Debug)]
struct HostOwner {
    host: HostPattern,
    account: AccountId,
    /// How many APIs answer to it.
    apis: usize,
}

impl Keyed for Arc<HostOwner> {
    type Id = HostPattern;

    fn is(&self, id: &HostPattern) -> bool {
        self.host == *id
    }
}

/// What came of [`Snapshot::load`].
#[derive(Debug)]
pub struct Loaded {
    /// All that compiled.
    pub snapshot: Snapshot,
    /// What did not, and why.
    pub quarantined: Vec<Problem>,
}

impl Snapshot {
    /// A Snapshot of nothing.
    pub fn empty(revision: Revision, digest_key: DigestKey) -> Self {
        let digester = Digester::new(&digest_key);
        Self {
            revision,
            hashes: Hashes::new(&digester),
            digest_key: Arc::new(digest_key),
            digester: Arc::new(digester),
            accounts: Shards::default(),
            gateways: Arc::default(),
            secrets: Shards::default(),
            secret_names: Shards::default(),
            secret_users: Shards::default(),
            services: Shards::default(),
            apis: Shards::default(),
            modules: Shards::default(),
            module_names: Shards::default(),
            plugins: Shards::default(),
            bound: Shards::default(),
            usage: Shards::default(),
            hosts: Shards::default(),
            groups: Shards::default(),
            callers: Shards::default(),
            credentials: Shards::default(),
            fetched: Arc::new(NothingFetched),
            held: Arc::new(NothingHeld),
        }
    }

    /// Compiles rows, in any order, into a fresh Snapshot. Takes time in proportion to the rows.
    ///
    /// A row that does not compile is left out and named in [`Loaded::quarantined`]: one bad row never closes the door
    /// for all. Of two rows in conflict, the older id stays.
    pub fn load(
        revision: Revision,
        digest_key: DigestKey,
        rows: impl IntoIterator<Item = SnapshotUpdate>,
    ) -> Loaded {
        Self::empty(revision, digest_key).filled(rows)
    }

    /// The same as [`Snapshot::load`], on this Snapshot of nothing, with what it looks values up in.
    pub fn filled(self, rows: impl IntoIterator<Item = SnapshotUpdate>) -> Loaded {
        let (snapshot, quarantined) = compile::load(&self, rows);
        Loaded { snapshot, quarantined }
    }

    /// The same, where secrets that are held elsewhere have these values; so do those that follow from it.
    #[must_use]
    pub fn with_held_values(self, held: Arc<dyn HeldValues>) -> Self {
        Self { held, ..self }
    }

    /// The same revision, with what these secrets hold now that are held elsewhere. What cannot be used with a new value is left
    /// without one, and named.
    pub fn with_values_anew(&self, secrets: &[SecretId]) -> Loaded {
        // Of what is in the store, no value is kept that could be compiled again.
        let rows = secrets.iter().filter_map(|id| self.secret(*id)).filter(|entry| entry.held_by().is_some());
        let rows: Vec<_> =
            rows.map(|entry| SnapshotUpdate::UpsertSecret(Box::new(entry.secret.clone()))).collect();
        let (snapshot, quarantined) = compile::load(self, rows);
        Loaded { snapshot, quarantined }
    }

    /// The Snapshot that follows from this one by `updates`, which take effect together (their order counts only
    /// where two are about the same object: the last one wins).
    ///
    /// Costs time in proportion to the updates, not to the Snapshot.
    ///
    /// # Errors
    /// Everything that does not compile: conflicts, and references to what does not exist.
    pub fn apply(&self, revision: Revision, updates: &[SnapshotUpdate]) -> Result<Self, CompileError> {
        compile::apply(self, revision, updates)
    }

    /// The same, where tokens are verified by these fetched key sets; so are those that follow from it.
    #[must_use]
    pub fn with_fetched_keys(self, fetched: Arc<dyn FetchedKeys>) -> Self {
        Self { fetched, ..self }
    }

    /// The key sets that were fetched.
    pub fn fetched_keys(&self) -> &dyn FetchedKeys {
        &*self.fetched
    }

    /// Which version of the configuration this is.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The key under which API keys and AppCodes are digested.
    pub fn digest_key(&self) -> &DigestKey {
        &self.digest_key
    }

    /// What an API key or AppCode of this value is looked up by.
    pub fn digest(&self, value: &[u8]) -> CredentialDigest {
        self.digester.digest(value)
    }
}

/// Looking things up.
impl Snapshot {
    /// An account.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.account_entry(id).map(|entry| &entry.account)
    }

    /// A gateway.
    pub fn gateway(&self, id: GatewayId) -> Option<&Gateway> {
        self.gateway_entry(id).map(|entry| &entry.gateway)
    }

    /// The gateway of this name.
    pub fn gateway_named(&self, name: &Name) -> Option<&Gateway> {
        self.gateways.iter().map(|entry| &entry.gateway).find(|gateway| gateway.spec.name == *name)
    }

    /// A service.
    pub fn service(&self, id: ServiceId) -> Option<&Arc<ServiceEntry>> {
        find(&self.services, self.hashes.uuid(id.uuid()), &id)
    }

    /// Every service, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<ServiceEntry>> {
        self.services.iter()
    }

    /// An API.
    pub fn api(&self, id: ApiId) -> Option<&Arc<ApiEntry>> {
        find(&self.apis, self.hashes.uuid(id.uuid()), &id)
    }

    /// Every API, in no order.
    pub fn apis(&self) -> impl Iterator<Item = &Arc<ApiEntry>> {
        self.apis.iter()
    }

    /// A plugin, in the form that calls need.
    pub fn plugin(&self, id: PluginId) -> Option<&Arc<PluginEntry>> {
        find(&self.plugins, self.hashes.uuid(id.uuid()), &id)
    }

    /// Every plugin, in no order.
    pub fn plugins(&self) -> impl Iterator<Item = &Arc<PluginEntry>> {
        self.plugins.iter()
    }

    /// What is bound to a gateway, in order.
    pub fn gateway_plugins(&self, id: GatewayId) -> &[Arc<PluginEntry>] {
        self.gateway_entry(id).map_or(&[], |entry| &entry.plugins)
    }

    /// A group, with its members and grants.
    pub fn group(&self, id: GroupId) -> Option<&Arc<GroupEntry>> {
        find(&self.groups, self.hashes.uuid(id.uuid()), &id)
    }

    /// A caller, with its credentials and grants.
    pub fn caller(&self, id: CallerId) -> Option<&Arc<CallerEntry>> {
        find(&self.callers, self.hashes.uuid(id.uuid()), &id)
    }

    /// Every caller, in no order.
    pub fn callers(&self) -> impl Iterator<Item = &Arc<CallerEntry>> {
        self.callers.iter()
    }

    /// How many callers there are.
    pub fn caller_count(&self) -> usize {
        self.callers.len()
    }

    /// The caller and the key pair that this AppKey names.
    pub fn app_key(&self, app_key: &AppKey) -> Option<(&CallerEntry, &CredentialEntry)> {
        self.key_pair(app_key.as_str()).map(|(caller, credential, _)| (caller, credential))
    }

    /// The caller and the API key or AppCode of this digest.
    pub fn credential_by_digest(
        &self,
        digest: &CredentialDigest,
    ) -> Option<(&CallerEntry, &CredentialEntry)> {
        self.find_credential(self.hashes.digest(digest), |proof| match proof {
            ProofEntry::AppCode(ours) | ProofEntry::ApiKey(ours) => same_digest(ours, digest).then_some(()),
            _ => None,
        })
        .map(|(caller, credential, ())| (caller, credential))
    }

    /// The same for a text that need not be an AppKey. AppKeys are compared exactly.
    #[inline]
    pub(crate) fn key_pair(&self, app_key: &str) -> Option<(&CallerEntry, &CredentialEntry, &KeyPairEntry)> {
        self.find_credential(self.hashes.app_key(app_key), |proof| match proof {
            ProofEntry::KeyPair(pair) => (pair.app_key.as_str() == app_key).then_some(&**pair),
            _ => None,
        })
    }

    /// The consumer of this account whose tokens carry this claim.
    pub(crate) fn identity(
        &self,
        account: AccountId,
        claim: &str,
        value: &str,
    ) -> Option<(&CallerEntry, &CredentialEntry, &JwtEntry)> {
        let found = self.find_credential(self.hashes.identity(account, claim, value), |proof| match proof {
            ProofEntry::Jwt(jwt) => {
                (*jwt.identity.name == *claim && *jwt.identity.value == *value).then_some(&**jwt)
            }
            _ => None,
        });
        found.filter(|(caller, ..)| caller.account == account)
    }

    pub(crate) fn account_entry(&self, id: AccountId) -> Option<&Arc<AccountEntry>> {
        find(&self.accounts, self.hashes.uuid(id.uuid()), &id)
    }

    pub(crate) fn api_usage(&self, id: ApiId) -> Option<&ApiUsage> {
        find(&self.usage, self.hashes.uuid(id.uuid()), &id).map(|usage| &**usage)
    }

    /// The API that answers to this host and path (decoded) at this gateway: exact host, then the longest wildcard,
    /// then any host, without falling through; then the longest base path.
    pub(crate) fn route(&self, gateway: GatewayId, host: &str, path: &str) -> Option<Matched<'_>> {
        let entry = self.gateway_entry(gateway)?;
        let routes = |mark: u8, name: &str, is: fn(&HostKey, &str) -> bool| {
            let hash = self.hashes.text(mark, name);
            entry.routes.get(hash).find(|routes| is(&routes.host, name))
        };
        let exact = routes(MARK_EXACT, host, HostKey::is_exactly);
        let wildcard = || {
            let dots = host.bytes().enumerate().filter(|(_, byte)| *byte == b'.').map(|(at, _)| at);
            let mut suffixes = dots.filter_map(|at| host.get(at..)).take_while(|_| entry.wildcards > 0);
            suffixes.find_map(|suffix| routes(MARK_WILDCARD, suffix, HostKey::is_wildcard))
        };
        let any = || routes(MARK_ANY, "", HostKey::is_any);
        exact.or_else(wildcard).or_else(any)?.find(path)
    }

    fn gateway_entry(&self, id: GatewayId) -> Option<&GatewayEntry> {
        let at = self.gateways.binary_search_by_key(&id, |entry| entry.gateway.id).ok()?;
        self.gateways.get(at).map(|entry| &**entry)
    }

    #[inline]
    fn find_credential<'s, T>(
        &'s self,
        hash: u64,
        matches: impl Fn(&'s ProofEntry) -> Option<T>,
    ) -> Option<(&'s CallerEntry, &'s CredentialEntry, T)> {
        self.credentials.get(hash).find_map(|caller| {
            caller
                .credentials
                .iter()
                .find_map(|credential| Some((&**caller, credential, matches(&credential.proof)?)))
        })
    }
}

#[inline]
fn find<'m, V: Keyed>(map: &'m Shards<V>, hash: u64, id: &V::Id) -> Option<&'m V> {
    map.get(hash).find(|value| value.is(id))
}

fn same_digest(one: &CredentialDigest, other: &CredentialDigest) -> bool {
    use subtle::ConstantTimeEq as _;
    one.0.ct_eq(&other.0).into()
}

const MARK_EXACT: u8 = 0;
const MARK_WILDCARD: u8 = 1;
const MARK_ANY: u8 = 2;

impl HostKey {
    fn hash(&self, hashes: &Hashes) -> u64 {
        match self {
            Self::Pattern(HostPattern::Exact(host)) => hashes.text(MARK_EXACT, host),
            Self::Pattern(HostPattern::Wildcard(suffix)) => hashes.text(MARK_WILDCARD, suffix),
            Self::Any => hashes.text(MARK_ANY, ""),
        }
    }

    fn is_exactly(&self, name: &str) -> bool {
        matches!(self, Self::Pattern(HostPattern::Exact(host)) if **host == *name)
    }

    fn is_wildcard(&self, suffix: &str) -> bool {
        matches!(self, Self::Pattern(HostPattern::Wildcard(ours)) if **ours == *suffix)
    }

    fn is_any(&self, _: &str) -> bool {
        matches!(self, Self::Any)
    }

    fn is_any_wildcard(&self) -> bool {
        matches!(self, Self::Pattern(HostPattern::Wildcard(_)))
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(host) => write!(f, "host `{host}`"),
            Self::Any => f.write_str("any host"),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(revision {})", self.revision)
    }
}
