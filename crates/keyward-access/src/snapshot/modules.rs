//! Modules: WebAssembly that custom plugins run.

use std::sync::Arc;

use keyward_model::{AccountId, Module, ModuleId, Name};

use super::Snapshot;
use super::shards::Keyed;

impl Keyed for Arc<Module> {
    type Id = ModuleId;

    fn is(&self, id: &ModuleId) -> bool {
        self.id == *id
    }
}

/// The same, found by account and name.
#[derive(Clone)]
pub(super) struct ModuleByName(pub(super) Arc<Module>);

impl Keyed for ModuleByName {
    type Id = (AccountId, Name);

    fn is(&self, (account, name): &(AccountId, Name)) -> bool {
        self.0.account == *account && self.0.name == *name
    }
}

impl Snapshot {
    /// A module by its id.
    pub fn module(&self, id: ModuleId) -> Option<&Arc<Module>> {
        super::find(&self.modules, self.hashes.uuid(id.uuid()), &id)
    }

    /// The module of this account that has this name.
    pub fn module_named(&self, account: AccountId, name: &Name) -> Option<&Arc<Module>> {
        let hash = self.hashes.module(account, name.as_str());
        let found = super::find(&self.module_names, hash, &(account, name.clone()));
        found.map(|module| &module.0)
    }

    /// Every module, in no order.
    pub fn modules(&self) -> impl Iterator<Item = &Arc<Module>> {
        self.modules.iter()
    }
}
