//! Modules that change, and the plugins that are compiled anew because they run them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward_model::{AccountId, Module, ModuleId, Name, PluginKind, ServiceId};

use super::staged::Staged;
use super::{Work, foreign, in_use, invalid, unknown};
use crate::snapshot::PluginEntry;
use crate::snapshot::modules::ModuleByName;
use crate::snapshot::shards::Change;
use crate::snapshot::update::{ObjectId, Problem, ProblemKind};

/// By what plugins refer to a module.
pub(super) type ModuleKey = (AccountId, Name);

/// What is to become of each name.
type ByName = BTreeMap<ModuleKey, Option<Arc<Module>>>;

impl Work<'_> {
    /// Takes over modules that change; returns by which names they were, or are, known.
    pub(super) fn compile_modules(&mut self, staged: &Staged) -> BTreeSet<ModuleKey> {
        let mut by_id = Vec::new();
        let mut by_name = ByName::new();
        for before in staged.modules.keys().filter_map(|id| self.base.module(*id)) {
            by_name.insert(key_of(before), None);
        }
        for (&id, module) in &staged.modules {
            let module = match module.as_ref() {
                Some(module) => match self.check_module(module, &by_name) {
                    Ok(()) => Some(Arc::new(module.clone())),
                    Err(problem) => {
                        self.refuse(problem);
                        // It stays as it was.
                        if let Some(before) = self.base.module(id) {
                            by_name.insert(key_of(before), Some(Arc::clone(before)));
                        }
                        continue;
                    }
                },
                None => {
                    self.check_unrun(staged, id);
                    None
                }
            };
            if let Some(module) = &module {
                by_name.insert(key_of(module), Some(Arc::clone(module)));
            }
            by_id.push(Change { hash: self.base.hashes.uuid(id.uuid()), id, value: module });
        }
        // Whoever runs one that goes is in its way, which was told above.
        let goes = |key: &ModuleKey| {
            let before = self.base.module_named(key.0, &key.1);
            before.is_some_and(|before| matches!(staged.modules.get(&before.id), Some(None)))
        };
        let known = by_name.iter().filter(|(key, module)| module.is_some() || !goes(key));
        let keys = known.map(|(key, _)| key.clone()).collect();
        self.next.modules = self.base.modules.with(by_id);
        let names = by_name.into_iter().map(|(key, module)| Change {
            hash: self.base.hashes.module(key.0, key.1.as_str()),
            id: key,
            value: module.map(ModuleByName),
        });
        self.next.module_names = self.base.module_names.with(names.collect());
        keys
    }

    fn check_module(&self, module: &Module, by_name: &ByName) -> Result<(), Problem> {
        let object = ObjectId::Module(module.id);
        self.check_account(object, module.account)?;
        Module::check_name(&module.name).map_err(|error| invalid(object, error.to_string()))?;
        let taken = match by_name.get(&key_of(module)) {
            Some(staged) => staged.as_ref(),
            None => self.base.module_named(module.account, &module.name),
        };
        if let Some(other) = taken.filter(|other| other.id != module.id) {
            let text = format!("there is a module `{}` already: choose another name", module.name);
            let other = Some(ObjectId::Module(other.id));
            return Err(Problem { object, other, kind: ProblemKind::Conflict, text });
        }
        let services = module.services.iter().map(|(name, _)| name);
        Module::check_services(services).map_err(|error| invalid(object, error.to_string()))?;
        module.settings.limits.check().map_err(|error| invalid(object, error.to_string()))?;
        for (_, id) in &module.services {
            match self.next.service(*id) {
                None => return Err(unknown(object, ObjectId::Service(*id))),
                Some(service) if service.account != module.account => {
                    return Err(foreign(object, ObjectId::Service(*id)));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// No plugin that stays as it is runs a module that goes.
    fn check_unrun(&mut self, staged: &Staged, id: ModuleId) {
        let Some(module) = self.base.module(id) else { return };
        let users =
            self.base.plugins().filter(|entry| key_of_plugin(entry).as_ref() == Some(&key_of(module)));
        let users = users.map(|entry| entry.plugin.id).filter(|user| !staged.plugins.contains_key(user));
        let problems: Vec<_> =
            users.map(|user| in_use(ObjectId::Module(id), ObjectId::Plugin(user))).collect();
        self.problems.extend(problems);
    }

    /// Stages the plugins that run modules that change. One that was broken is tried again, without ado.
    pub(super) fn stage_runners(&self, staged: &mut Staged, modules: &BTreeSet<ModuleKey>) {
        if modules.is_empty() {
            return;
        }
        let runs = |entry: &&Arc<PluginEntry>| key_of_plugin(entry).is_some_and(|key| modules.contains(&key));
        for entry in self.base.plugins().filter(runs) {
            let plugin = &entry.plugin;
            if staged.plugins.contains_key(&plugin.id) {
                continue;
            }
            let is_sound = !entry.is_broken() || self.work_up(staged, plugin).is_ok();
            staged.plugins.insert(plugin.id, Some((plugin.clone(), is_sound)));
        }
    }

    /// No module calls a service that went.
    pub(super) fn check_unasked(&mut self, service: ServiceId) {
        let calls = |module: &&Arc<Module>| module.services.iter().any(|(_, id)| *id == service);
        let users = self.next.modules().filter(calls).map(|module| ObjectId::Module(module.id));
        let problems: Vec<_> = users.map(|user| in_use(ObjectId::Service(service), user)).collect();
        self.problems.extend(problems);
    }
}

fn key_of(module: &Module) -> ModuleKey {
    (module.account, module.name.clone())
}

fn key_of_plugin(entry: &PluginEntry) -> Option<ModuleKey> {
    match &entry.plugin.settings.kind {
        PluginKind::Custom(name) => Some((entry.plugin.account, name.clone())),
        PluginKind::BuiltIn(_) => None,
    }
}
