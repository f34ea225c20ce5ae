//! Plugins that change, and the APIs and gateways that they are bound to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward_model::{Api, ApiId, GatewayId, Plugin, PluginId, PluginKind, PluginOn, ServiceId};

use super::secrets::Concerned;
use super::staged::Staged;
use super::{Manner, Work, foreign, in_use, invalid, unknown};
use crate::snapshot::GatewayEntry;
use crate::snapshot::entry::ApiEntry;
use crate::snapshot::plugins::{ApiPlugins, PluginEntry, in_order};
use crate::snapshot::shards::Change;
use crate::snapshot::update::{ObjectId, Problem, ProblemKind};

/// Its account's operators alone bind plugins to a gateway.
const DEFAULT_ACCOUNT: &str = "default";

impl Work<'_> {
    /// Works up plugins that change. The APIs that they are bound to are compiled anew with them.
    /// So are those whose secrets change. Tells which they are.
    pub(super) fn compile_plugins(&mut self, staged: &mut Staged, concerned: &Concerned) -> Vec<PluginId> {
        for id in &concerned.plugins {
            if let (false, Some(before)) = (staged.plugins.contains_key(id), self.base.plugin(*id)) {
                staged.plugins.insert(*id, Some((before.plugin.clone(), !before.is_broken())));
            }
        }
        if staged.plugins.is_empty() {
            return Vec::new();
        }
        let mut entries: BTreeMap<PluginId, Option<Arc<PluginEntry>>> = BTreeMap::new();
        for (&id, plugin) in &staged.plugins {
            let Some((plugin, is_sound)) = plugin else {
                entries.insert(id, None);
                continue;
            };
            if !is_sound {
                let broken = PluginEntry::broken(plugin.clone(), "it does not compile");
                entries.insert(id, Some(Arc::new(broken)));
                continue;
            }
            match self.work_up(staged, plugin) {
                Ok(entry) => {
                    entries.insert(id, Some(Arc::new(entry)));
                }
                Err(problem) => {
                    // What is left out must not leave open what it should have closed.
                    if self.manner == Manner::WhatIsSound && problem.other.is_none() {
                        let broken = PluginEntry::broken(plugin.clone(), &problem.text);
                        entries.insert(id, Some(Arc::new(broken)));
                    }
                    self.refuse(problem);
                }
            }
        }
        self.bind_to_apis(staged, &entries);
        self.bind_to_gateways(&entries);
        let ids = entries.keys().copied().collect();
        let changes = entries.into_iter().map(|(id, value)| Change {
            hash: self.base.hashes.uuid(id.uuid()),
            id,
            value,
        });
        self.next.plugins = self.base.plugins.with(changes.collect());
        ids
    }

    pub(super) fn work_up(&self, staged: &Staged, plugin: &Plugin) -> Result<PluginEntry, Problem> {
        let object = ObjectId::Plugin(plugin.id);
        self.check_account(object, plugin.account)?;
        match &plugin.on {
            PluginOn::Gateway(id) => {
                self.next.gateway(*id).ok_or_else(|| unknown(object, ObjectId::Gateway(*id)))?;
                let is_default =
                    self.account_name(plugin.account).is_some_and(|name| name.as_str() == DEFAULT_ACCOUNT);
                if !is_default {
                    let text = "calls of all accounts pass a gateway: only plugins of account `default` are bound to one";
                    return Err(invalid(object, text));
                }
            }
            PluginOn::Api(id) | PluginOn::Operation(id, _) => {
                let api = self.api_as_it_becomes(staged, *id);
                let api = api.ok_or_else(|| unknown(object, ObjectId::Api(*id)))?;
                if api.account != plugin.account {
                    return Err(foreign(object, ObjectId::Api(*id)));
                }
                if let PluginOn::Operation(_, operation) = &plugin.on
                    && !api.settings.operations.contains(operation)
                {
                    let text = format!(
                        "`{operation}` is not among the operations of the API: add it there, or bind the plugin to one that is"
                    );
                    return Err(invalid(object, text));
                }
            }
        }
        for (_, id) in &plugin.services {
            match self.next.service(*id) {
                None => return Err(unknown(object, ObjectId::Service(*id))),
                Some(service) if service.account != plugin.account => {
                    return Err(foreign(object, ObjectId::Service(*id)));
                }
                Some(_) => {}
            }
        }
        if let PluginKind::Custom(name) = &plugin.settings.kind
            && self.next.module_named(plugin.account, name).is_none()
        {
            let text = format!("there is no built-in plugin and no module `{name}`");
            return Err(Problem { object, other: None, kind: ProblemKind::UnknownReference, text });
        }
        PluginEntry::new(plugin.clone(), &self.next).map_err(|text| invalid(object, text))
    }

    fn api_as_it_becomes<'s>(&'s self, staged: &'s Staged, id: ApiId) -> Option<&'s Api> {
        match staged.apis.get(&id) {
            Some(api) => api.as_ref(),
            None => self.base.api(id).map(|entry| &entry.api),
        }
    }

    /// Puts together what is bound to each API that a changed plugin is, or was, bound to.
    fn bind_to_apis(&mut self, staged: &mut Staged, entries: &BTreeMap<PluginId, Option<Arc<PluginEntry>>>) {
        let api_of = |entry: &Arc<PluginEntry>| entry.plugin.on.api().copied();
        let before = entries.keys().filter_map(|id| self.base.plugin(*id)).filter_map(api_of);
        let after = entries.values().flatten().filter_map(api_of);
        let concerned: BTreeSet<ApiId> = before.chain(after).collect();
        let mut changes = Vec::with_capacity(concerned.len());
        for id in concerned {
            let kept = self.base.bound_to(id).into_iter().flat_map(|bound| &bound.all);
            let kept = kept.filter(|entry| !entries.contains_key(&entry.plugin.id)).cloned();
            let new = entries.values().flatten().filter(|entry| api_of(entry) == Some(id)).cloned();
            let all: Vec<_> = kept.chain(new).collect();
            let value = (!all.is_empty()).then(|| Arc::new(ApiPlugins::new(id, all)));
            changes.push(Change { hash: self.base.hashes.uuid(id.uuid()), id, value });
            // Its entry names what is bound to it.
            if let (false, Some(api)) = (staged.apis.contains_key(&id), self.base.api(id)) {
                staged.apis.insert(id, Some(api.api.clone()));
            }
        }
        self.next.bound = self.base.bound.with(changes);
    }

    fn bind_to_gateways(&mut self, entries: &BTreeMap<PluginId, Option<Arc<PluginEntry>>>) {
        let gateway_of = |entry: &Arc<PluginEntry>| match entry.plugin.on {
            PluginOn::Gateway(id) => Some(id),
            _ => None,
        };
        let before = entries.keys().filter_map(|id| self.base.plugin(*id)).filter_map(gateway_of);
        let after = entries.values().flatten().filter_map(gateway_of);
        let concerned: BTreeSet<GatewayId> = before.chain(after).collect();
        if concerned.is_empty() {
            return;
        }
        let mut gateways = self.next.gateways.to_vec();
        for entry in gateways.iter_mut().filter(|entry| concerned.contains(&entry.gateway.id)) {
            let id = entry.gateway.id;
            let others = self.base.plugins().filter(|one| gateway_of(one) == Some(id));
            let others = others.filter(|one| !entries.contains_key(&one.plugin.id)).cloned();
            let new = entries.values().flatten().filter(|one| gateway_of(one) == Some(id)).cloned();
            let enabled = others.chain(new).filter(|one| one.plugin.settings.enabled);
            *entry = Arc::new(GatewayEntry {
                gateway: entry.gateway.clone(),
                routes: entry.routes.clone(),
                wildcards: entry.wildcards,
                plugins: in_order(enabled.collect()),
            });
        }
        self.next.gateways = gateways.into();
    }

    /// An API with what is bound to it.
    pub(super) fn entry_of(&self, api: Api) -> ApiEntry {
        let bound = self.next.bound_to(api.id).cloned();
        ApiEntry::new(api, bound)
    }

    /// No plugin calls a service that went.
    pub(super) fn check_uncalled(&mut self, service: ServiceId) {
        let calls = |entry: &&Arc<PluginEntry>| entry.plugin.services.iter().any(|(_, id)| *id == service);
        let users = self.next.plugins().filter(calls).map(|entry| ObjectId::Plugin(entry.plugin.id));
        let problems: Vec<_> = users.map(|user| in_use(ObjectId::Service(service), user)).collect();
        self.problems.extend(problems);
    }

    /// What plugins are bound to is still there: their APIs, and the operations as they are declared.
    pub(super) fn check_bound(&mut self, staged: &Staged) {
        let bound = staged.apis.keys().filter_map(|id| self.next.bound_to(*id));
        let mut problems = Vec::new();
        for entry in bound.flat_map(|bound| &bound.all) {
            let PluginOn::Operation(id, operation) = &entry.plugin.on else { continue };
            let Some(api) = self.next.api(*id) else { continue };
            if !api.api.settings.operations.contains(operation) {
                let user = ObjectId::Plugin(entry.plugin.id);
                let text = format!("plugin `{user}` is bound to `{operation}`: remove or change that first");
                problems.push(Problem { text, ..in_use(ObjectId::Api(*id), user) });
            }
        }
        self.problems.extend(problems);
    }
}
