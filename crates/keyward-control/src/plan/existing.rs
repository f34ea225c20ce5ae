//! What there is, as far as a plan needs it.

use std::collections::{BTreeMap, HashMap};

use keyward_model::{
    Account, AccountId, Api, ApiId, Caller, CallerId, CallerKind, Credential, CredentialDigest, CredentialId,
    Gateway, GatewayId, Grant, GrantId, Grantee, Group, GroupId, IdentityClaim, Module, ModuleId, Name,
    Plugin, PluginId, Secret, SecretId, Service, ServiceId,
};
use keyward_store::{CredentialRow, RecordId};

use crate::User;

/// Objects of one noun by id, and by the key that is unique among them.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, I, T> {
    by_id: BTreeMap<I, T>,
    by_key: HashMap<K, I>,
}

impl<K: std::hash::Hash + Eq, I: Ord + Copy, T> Table<K, I, T> {
    /// The id under this key.
    pub(crate) fn find(&self, key: &K) -> Option<&I> {
        self.by_key.get(key)
    }

    pub(crate) fn get(&self, id: &I) -> Option<&T> {
        self.by_id.get(id)
    }

    /// Puts an object, which had the key `before` if it was here.
    pub(crate) fn insert(&mut self, key: K, id: I, object: T, before: Option<&K>) {
        if let Some(before) = before {
            self.by_key.remove(before);
        }
        self.by_key.insert(key, id);
        self.by_id.insert(id, object);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(id) = self.by_key.remove(key) {
            self.by_id.remove(&id);
        }
    }

    /// All of them, to be changed in what is not part of their keys.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.by_id.values_mut()
    }

    /// All of them, in id order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&I, &T)> {
        self.by_id.iter()
    }
}

impl<K, I, T> Default for Table<K, I, T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), by_key: HashMap::new() }
    }
}

/// A stored credential.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Its row.
    pub(crate) row: CredentialRow,
    /// The same with its secrets opened; `None` where they do not open.
    pub(crate) credential: Option<Credential>,
}

/// Something that refers to a secret.
#[derive(Clone, Debug)]
pub(crate) struct Referrer {
    /// What is written with the reference.
    pub(crate) record: RecordId,
    /// What people know it by.
    pub(crate) user: User,
}

/// What there is, as far as a plan needs it. What is not here does not exist for the plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Existing {
    pub(crate) accounts: Table<Name, AccountId, Account>,
    pub(crate) gateways: Table<Name, GatewayId, Gateway>,
    /// With their values.
    pub(crate) secrets: Table<(AccountId, Name), SecretId, Secret>,
    /// Who refers to them, as it is stored.
    pub(crate) references: BTreeMap<SecretId, Vec<Referrer>>,
    pub(crate) services: Table<(AccountId, Name), ServiceId, Service>,
    pub(crate) modules: Table<(AccountId, Name), ModuleId, Module>,
    pub(crate) apis: Table<(AccountId, Name), ApiId, Api>,
    pub(crate) callers: Table<(AccountId, CallerKind, Name), CallerId, Caller>,
    pub(crate) credentials: BTreeMap<CallerId, Vec<Known>>,
    /// With their members.
    pub(crate) groups: Table<(AccountId, Name), GroupId, Group>,
    pub(crate) grants: BTreeMap<GrantId, Grant>,
    grants_by_grantee: HashMap<Grantee, Vec<GrantId>>,
    pub(crate) plugins: BTreeMap<PluginId, Plugin>,
    /// Who has an AppKey, folded.
    pub(crate) app_keys: HashMap<String, CredentialId>,
    /// Who has a value.
    pub(crate) digests: HashMap<CredentialDigest, CredentialId>,
    /// Who has an identity claim.
    pub(crate) claims: HashMap<(AccountId, IdentityClaim), CredentialId>,
}

impl Existing {
    pub(crate) fn add_account(&mut self, account: Account) {
        self.accounts.insert(account.name.clone(), account.id, account, None);
    }

    pub(crate) fn add_gateway(&mut self, gateway: Gateway) {
        self.gateways.insert(gateway.spec.name.clone(), gateway.id, gateway, None);
    }

    pub(crate) fn add_secret(&mut self, secret: Secret) {
        self.secrets.insert((secret.account, secret.spec.name.clone()), secret.id, secret, None);
    }

    pub(crate) fn add_service(&mut self, service: Service) {
        self.services.insert((service.account, service.spec.name.clone()), service.id, service, None);
    }

    pub(crate) fn add_module(&mut self, module: Module) {
        self.modules.insert((module.account, module.name.clone()), module.id, module, None);
    }

    pub(crate) fn add_api(&mut self, api: Api) {
        self.apis.insert((api.account, api.name.clone()), api.id, api, None);
    }

    pub(crate) fn add_caller(&mut self, caller: Caller) {
        self.callers.insert((caller.account, caller.id.kind(), caller.name.clone()), caller.id, caller, None);
    }

    pub(crate) fn add_group(&mut self, group: Group) {
        self.groups.insert((group.account, group.name.clone()), group.id, group, None);
    }

    pub(crate) fn add_credential(&mut self, known: Known) {
        self.hold(&known.row);
        self.credentials.entry(known.row.caller).or_default().push(known);
    }

    /// Notes what a credential has that no other may have.
    pub(crate) fn hold(&mut self, row: &CredentialRow) {
        if let Some(app_key) = &row.app_key {
            self.app_keys.insert(app_key.folded(), row.id);
        }
        if let Some(digest) = row.digest {
            self.digests.insert(digest, row.id);
        }
        if let Some(claim) = &row.identity_claim {
            self.claims.insert((row.account, claim.clone()), row.id);
        }
    }

    /// A credential goes: others may have what it had.
    pub(crate) fn release(&mut self, row: &CredentialRow) {
        let id = row.id;
        if let Some(app_key) = &row.app_key {
            release(&mut self.app_keys, &app_key.folded(), id);
        }
        if let Some(digest) = &row.digest {
            release(&mut self.digests, digest, id);
        }
        if let Some(claim) = &row.identity_claim {
            release(&mut self.claims, &(row.account, claim.clone()), id);
        }
    }

    pub(crate) fn account_name(&self, id: AccountId) -> Option<&Name> {
        self.accounts.get(&id).map(|account| &account.name)
    }

    /// Adds a grant, or puts it in place of what it was before.
    pub(crate) fn add_grant(&mut self, grant: Grant) {
        let (id, grantee) = (grant.id, grant.grantee);
        if self.grants.insert(id, grant).is_none() {
            self.grants_by_grantee.entry(grantee).or_default().push(id);
        }
    }

    /// Grants go: later steps of the plan do not see them.
    pub(crate) fn forget_grants(&mut self, go: impl Fn(&Grant) -> bool) {
        self.grants.retain(|_, grant| !go(grant));
    }

    /// Grants for this grantee, in the order in which they were added.
    pub(crate) fn grants_for(&self, grantee: Grantee) -> impl Iterator<Item = &Grant> {
        let ids = self.grants_by_grantee.get(&grantee).into_iter().flatten();
        ids.filter_map(|id| self.grants.get(id))
    }
}

fn release<K: std::hash::Hash + Eq>(held: &mut HashMap<K, CredentialId>, key: &K, id: CredentialId) {
    if held.get(key) == Some(&id) {
        held.remove(key);
    }
}
