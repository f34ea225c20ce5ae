//! Updates, sorted by what they are about; of several about one object, the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward_model::{
    Account, AccountId, Api, ApiId, Caller, CallerId, Credential, Gateway, GatewayId, Grant, GrantId,
    Grantee, Group, GroupId, Module, ModuleId, Plugin, PluginId, Secret, SecretId, Service, ServiceId,
    StageSet, Timestamp,
};

use super::IdMap;
use crate::operations::GrantedOperation;
use crate::snapshot::entry::{BEGINNING_OF_TIME, END_OF_TIME, GrantEntry, Scope};
use crate::snapshot::update::SnapshotUpdate;

/// What is to become of each object: `None`, it goes.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) accounts: BTreeMap<AccountId, Option<Account>>,
    pub(super) gateways: BTreeMap<GatewayId, Option<Gateway>>,
    pub(super) secrets: BTreeMap<SecretId, Option<Secret>>,
    pub(super) services: BTreeMap<ServiceId, Option<Service>>,
    pub(super) apis: BTreeMap<ApiId, Option<Api>>,
    pub(super) modules: BTreeMap<ModuleId, Option<Module>>,
    /// With whether it can do what it is for.
    pub(super) plugins: BTreeMap<PluginId, Option<(Plugin, bool)>>,
    pub(super) callers: IdMap<CallerId, Option<(Caller, Vec<Credential>)>>,
    pub(super) groups: BTreeMap<GroupId, Option<Group>>,
    pub(super) grants: IdMap<Grantee, Vec<GrantChange>>,
    scopes: BTreeSet<Arc<Scope>>,
}

/// What is to become of a grant.
pub(super) struct GrantChange {
    pub(super) id: GrantId,
    /// The account that gave it, and the grant itself; `None`: it goes.
    pub(super) given: Option<(AccountId, GrantEntry)>,
}

impl Staged {
    pub(super) fn put(&mut self, update: SnapshotUpdate) {
        match update {
            SnapshotUpdate::UpsertAccount(account) => {
                self.accounts.insert(account.id, Some(account));
            }
            SnapshotUpdate::RemoveAccount(id) => {
                self.accounts.insert(id, None);
            }
            SnapshotUpdate::UpsertGateway(gateway) => {
                self.gateways.insert(gateway.id, Some(gateway));
            }
            SnapshotUpdate::RemoveGateway(id) => {
                self.gateways.insert(id, None);
            }
            SnapshotUpdate::UpsertSecret(secret) => {
                self.secrets.insert(secret.id, Some(*secret));
            }
            SnapshotUpdate::RemoveSecret(id) => {
                self.secrets.insert(id, None);
            }
            SnapshotUpdate::UpsertService(service) => {
                self.services.insert(service.id, Some(service));
            }
            SnapshotUpdate::RemoveService(id) => {
                self.services.insert(id, None);
            }
            SnapshotUpdate::UpsertApi(api) => {
                self.apis.insert(api.id, Some(*api));
            }
            SnapshotUpdate::RemoveApi(id) => {
                self.apis.insert(id, None);
            }
            SnapshotUpdate::UpsertModule(module) => {
                self.modules.insert(module.id, Some(*module));
            }
            SnapshotUpdate::RemoveModule(id) => {
                self.modules.insert(id, None);
            }
            SnapshotUpdate::UpsertPlugin(plugin) => {
                self.plugins.insert(plugin.id, Some((*plugin, true)));
            }
            SnapshotUpdate::ClosePlugin(plugin) => {
                self.plugins.insert(plugin.id, Some((*plugin, false)));
            }
            SnapshotUpdate::RemovePlugin(id) => {
                self.plugins.insert(id, None);
            }
            SnapshotUpdate::UpsertCaller { caller, credentials } => {
                self.callers.insert(caller.id, Some((caller, credentials)));
            }
            SnapshotUpdate::RemoveCaller(id) => {
                self.callers.insert(id, None);
            }
            SnapshotUpdate::UpsertGroup(group) => {
                self.groups.insert(group.id, Some(group));
            }
            SnapshotUpdate::RemoveGroup(id) => {
                self.groups.insert(id, None);
            }
            SnapshotUpdate::UpsertGrant(grant) => self.put_grant(&grant),
            SnapshotUpdate::RemoveGrant { id, grantee } => {
                self.grants.entry(grantee).or_default().push(GrantChange { id, given: None });
            }
        }
    }

    fn put_grant(&mut self, grant: &Grant) {
        let scope = Scope::of(grant).map(|scope| self.share(scope));
        let bound = |at: Option<Timestamp>, none| at.unwrap_or(none);
        let entry = GrantEntry {
            id: grant.id,
            api: grant.api,
            from: bound(grant.validity.from, BEGINNING_OF_TIME),
            until: bound(grant.validity.until, END_OF_TIME),
            scope,
            stages: StageSet::from_bits(grant.stages.bits()),
            revoked: grant.revoked.is_some(),
        };
        let change = GrantChange { id: grant.id, given: Some((grant.account, entry)) };
        self.grants.entry(grant.grantee).or_default().push(change);
    }

    fn share(&mut self, scope: Scope) -> Arc<Scope> {
        if let Some(shared) = self.scopes.get(&scope) {
            return Arc::clone(shared);
        }
        let shared = Arc::new(scope);
        self.scopes.insert(Arc::clone(&shared));
        shared
    }
}

impl Scope {
    fn of(grant: &Grant) -> Option<Self> {
        if grant.gateways.is_none() && grant.operations.is_none() {
            return None;
        }
        let gateways = grant.gateways.as_ref().map(|ids| ids.iter().copied().collect::<BTreeSet<_>>());
        let operations =
            grant.operations.as_ref().map(|ones| ones.iter().map(GrantedOperation::new).collect());
        Some(Self { gateways: gateways.map(|ids| ids.into_iter().collect()), operations })
    }
}
