//! Pruning: what the world does not name goes, among the nouns and accounts that it does name.
//!
//! Accounts themselves are never pruned (one that is not named is not looked at), nor is the gateway `default`.

use std::collections::BTreeSet;

use keyward_model::{
    AccountId, BuiltIn, CredentialDigest, Grant, Grantee, Name, Noun, Place, Plugin, PluginKind, PluginOn,
    SecretText, World,
};
use keyward_store::{Record, RecordId};

use super::callers::noun_of;
use super::words::{grant_label, plugin_label, touched};
use super::{Planner, Referrer, Step, describe, may_bind_to_gateways, removal};
use crate::views::{grant_spec, plugin_spec};
use crate::{ErrorKind, Touched, User};

/// The accounts that a world names: those it describes, and those that its entries belong to. A world of empty lists
/// alone names `default`, as entries do that name no account.
pub(crate) fn accounts_named(world: &World) -> BTreeSet<Name> {
    let mut names: BTreeSet<Name> = world.accounts.iter().map(|entry| entry.value.name.clone()).collect();
    names.extend(world.secrets.iter().map(|entry| entry.value.account.clone()));
    names.extend(world.services.iter().map(|entry| entry.value.account.clone()));
    names.extend(world.modules.iter().map(|entry| entry.value.account.clone()));
    names.extend(world.apis.iter().map(|entry| entry.value.account.clone()));
    names.extend(world.applications.iter().map(|entry| entry.value.account.clone()));
    names.extend(world.consumers.iter().map(|entry| entry.value.account.clone()));
    names.extend(world.groups.iter().map(|entry| entry.value.account.clone()));
    names.extend(world.grants.iter().map(|entry| entry.value.account.clone()));
    names.extend(world.plugins.iter().chain(&world.limits).map(|entry| entry.value.account.clone()));
    let owned = world.nouns.iter().any(|noun| !matches!(noun, Noun::Account | Noun::Gateway));
    if names.is_empty() && (owned || world.names_limits) {
        names.extend("default".parse::<Name>());
    }
    names
}

fn refer_to(texts: &[SecretText], name: &Name) -> bool {
    texts.iter().flat_map(SecretText::refs).any(|other| other.as_str() == name.as_str())
}

impl Planner<'_> {
    /// Callers go before the others are finished, so that these may take their credentials' values.
    pub(super) fn prune_callers(&mut self, world: &World) {
        let scope = self.scope(world);
        let unnamed: Vec<_> = self
            .existing
            .callers
            .iter()
            .filter(|(id, caller)| {
                let noun = noun_of(id.kind());
                world.nouns.contains(&noun)
                    && scope.contains(&caller.account)
                    && !self.is_named(noun, caller.account, &caller.name)
            })
            .map(|(id, caller)| (*id, caller.clone()))
            .collect();
        for (id, caller) in unnamed {
            for known in self.existing.credentials.get(&id).cloned().unwrap_or_default() {
                self.existing.release(&known.row);
            }
            let report = self.report(noun_of(id.kind()), caller.account, &caller.name, RecordId::Caller(id));
            self.prune(RecordId::Caller(id), report);
            self.existing.callers.remove(&(caller.account, id.kind(), caller.name));
            self.existing.forget_grants(|grant| grant.grantee == Grantee::Caller(id));
            self.existing.groups.values_mut().for_each(|group| group.members.retain(|member| *member != id));
        }
    }

    /// The rest goes last, when it is known what is still used.
    pub(super) fn prune_rest(&mut self, world: &World) {
        let scope = self.scope(world);
        if world.nouns.contains(&Noun::Grant) {
            self.prune_grants(&scope);
        }
        if world.nouns.contains(&Noun::Plugin) {
            self.prune_plugins(&scope, |_| true);
        } else if world.names_limits {
            self.prune_plugins(&scope, |plugin| {
                plugin.settings.kind == PluginKind::BuiltIn(BuiltIn::RateLimit)
            });
        }
        if world.nouns.contains(&Noun::Group) {
            self.prune_groups(&scope);
        }
        if world.nouns.contains(&Noun::Api) {
            self.prune_apis(&scope);
        }
        if world.nouns.contains(&Noun::Module) {
            self.prune_modules(&scope);
        }
        if world.nouns.contains(&Noun::Service) {
            self.prune_services(&scope);
        }
        if world.nouns.contains(&Noun::Secret) {
            self.prune_secrets(&scope);
        }
        if world.nouns.contains(&Noun::Gateway) {
            self.prune_gateways();
        }
    }

    fn scope(&self, world: &World) -> BTreeSet<AccountId> {
        accounts_named(world).iter().filter_map(|name| self.existing.accounts.find(name).copied()).collect()
    }

    fn is_named(&self, noun: Noun, account: AccountId, name: &Name) -> bool {
        let account = self.existing.account_name(account);
        account.is_some_and(|account| self.seen.contains_key(&(noun, format!("{account}/{name}"))))
    }

    fn report(&self, noun: Noun, account: AccountId, name: &Name, id: RecordId) -> Touched {
        touched(noun, self.existing.account_name(account), name, id)
    }

    /// Removes an object; if something that stays uses it, that is a problem.
    fn prune(&mut self, id: RecordId, report: Touched) -> bool {
        match removal(&self.existing, id) {
            Ok(removal) => {
                self.plan.steps.extend(removal.steps);
                self.plan.removed.push(report);
                true
            }
            Err(users) => {
                let users: Vec<String> = users.iter().map(User::to_string).collect();
                let text = format!(
                    "{} `{}` is not in the file, but cannot be removed: it is in use by {}",
                    report.noun.singular(),
                    report.name,
                    users.join(", ")
                );
                self.problem(ErrorKind::Conflict, "in_use", Place::default(), text);
                false
            }
        }
    }

    /// Grants are revoked, not deleted.
    fn prune_grants(&mut self, scope: &BTreeSet<AccountId>) {
        let named: BTreeSet<RecordId> = self.plan.objects.iter().map(|(id, _)| *id).collect();
        let unnamed: Vec<Grant> = self
            .existing
            .grants
            .values()
            .filter(|grant| {
                grant.revoked.is_none()
                    && scope.contains(&grant.account)
                    && !named.contains(&RecordId::Grant(grant.id))
            })
            .cloned()
            .collect();
        for grant in unnamed {
            let label = grant_spec(&self.existing, &grant)
                .map_or_else(|| grant.id.to_string(), |spec| grant_label(&spec));
            let account = self.existing.account_name(grant.account);
            let report = touched(Noun::Grant, account, label, RecordId::Grant(grant.id));
            let after = Grant { revoked: Some(self.context.now), ..grant.clone() };
            let before = Some(describe(&Record::Grant(grant)));
            let record = Box::new(Record::Grant(after.clone()));
            self.plan.steps.push(Step::Put { record, before });
            self.plan.removed.push(report);
            self.existing.add_grant(after);
        }
    }

    fn prune_plugins(&mut self, scope: &BTreeSet<AccountId>, counts: impl Fn(&Plugin) -> bool) {
        let named: BTreeSet<RecordId> = self.plan.objects.iter().map(|(id, _)| *id).collect();
        let unnamed: Vec<Plugin> = self
            .existing
            .plugins
            .values()
            .filter(|plugin| {
                scope.contains(&plugin.account)
                    && counts(plugin)
                    && !named.contains(&RecordId::Plugin(plugin.id))
            })
            .cloned()
            .collect();
        for plugin in unnamed {
            let label = plugin_spec(&self.existing, &plugin, &|_| CredentialDigest([0; 32]))
                .map_or_else(|| plugin.id.to_string(), |spec| plugin_label(&spec));
            if let (PluginOn::Gateway(_), Err(text)) = (&plugin.on, may_bind_to_gateways(self.context.actor))
            {
                let text = format!("plugin `{label}` is not in the file, but cannot be removed: {text}");
                self.problem(ErrorKind::Forbidden, "plugin_on_gateway", Place::default(), text);
                continue;
            }
            let account = self.existing.account_name(plugin.account);
            let id = RecordId::Plugin(plugin.id);
            self.plan.removed.push(touched(Noun::Plugin, account, label, id));
            self.existing.plugins.remove(&plugin.id);
            self.plan.steps.push(Step::delete(&Record::Plugin(Box::new(plugin))));
        }
    }

    fn prune_groups(&mut self, scope: &BTreeSet<AccountId>) {
        let unnamed: Vec<_> = self
            .existing
            .groups
            .iter()
            .filter(|(_, group)| {
                scope.contains(&group.account) && !self.is_named(Noun::Group, group.account, &group.name)
            })
            .map(|(id, group)| (RecordId::Group(*id), group.account, group.name.clone()))
            .collect();
        for (id, account, name) in unnamed {
            let report = self.report(Noun::Group, account, &name, id);
            if self.prune(id, report) {
                self.existing.groups.remove(&(account, name));
            }
        }
    }

    fn prune_apis(&mut self, scope: &BTreeSet<AccountId>) {
        let unnamed: Vec<_> = self
            .existing
            .apis
            .iter()
            .filter(|(_, api)| {
                scope.contains(&api.account) && !self.is_named(Noun::Api, api.account, &api.name)
            })
            .map(|(id, api)| (*id, api.account, api.name.clone()))
            .collect();
        for (id, account, name) in unnamed {
            let report = self.report(Noun::Api, account, &name, RecordId::Api(id));
            // What was to be written of its grants and plugins goes with it.
            let grants = self.existing.grants.values().filter(|grant| grant.api == id);
            let plugins = self.existing.plugins.values().filter(|plugin| plugin.on.api() == Some(&id));
            let of_it: BTreeSet<RecordId> = grants
                .map(|grant| RecordId::Grant(grant.id))
                .chain(plugins.map(|plugin| RecordId::Plugin(plugin.id)))
                .collect();
            self.plan.steps.retain(|step| match step {
                Step::Put { record, .. } => !of_it.contains(&record.id()),
                Step::Delete { .. } => true,
            });
            self.prune(RecordId::Api(id), report);
            self.existing.apis.remove(&(account, name));
            self.existing.forget_grants(|grant| grant.api == id);
            self.existing.plugins.retain(|_, plugin| plugin.on.api() != Some(&id));
        }
    }

    fn prune_modules(&mut self, scope: &BTreeSet<AccountId>) {
        let unnamed: Vec<_> = self
            .existing
            .modules
            .iter()
            .filter(|(_, module)| {
                scope.contains(&module.account) && !self.is_named(Noun::Module, module.account, &module.name)
            })
            .map(|(id, module)| (RecordId::Module(*id), module.account, module.name.clone()))
            .collect();
        for (id, account, name) in unnamed {
            let report = self.report(Noun::Module, account, &name, id);
            if self.prune(id, report) {
                self.existing.modules.remove(&(account, name));
            }
        }
    }

    fn prune_services(&mut self, scope: &BTreeSet<AccountId>) {
        let unnamed: Vec<_> = self
            .existing
            .services
            .iter()
            .filter(|(_, service)| {
                scope.contains(&service.account)
                    && !self.is_named(Noun::Service, service.account, &service.spec.name)
            })
            .map(|(id, service)| (RecordId::Service(*id), service.account, service.spec.name.clone()))
            .collect();
        for (id, account, name) in unnamed {
            let report = self.report(Noun::Service, account, &name, id);
            self.prune(id, report);
        }
    }

    /// What refers to a secret now may not do so after this world, or be gone.
    fn prune_secrets(&mut self, scope: &BTreeSet<AccountId>) {
        let unnamed: Vec<_> = self
            .existing
            .secrets
            .iter()
            .filter(|(_, secret)| {
                scope.contains(&secret.account)
                    && !self.is_named(Noun::Secret, secret.account, &secret.spec.name)
            })
            .map(|(id, secret)| (*id, secret.account, secret.spec.name.clone()))
            .collect();
        for (id, account, name) in unnamed {
            let mut referrers = self.existing.references.remove(&id).unwrap_or_default();
            referrers.retain(|referrer| !self.lets_go_of(referrer, &name));
            self.existing.references.insert(id, referrers);
            let report = self.report(Noun::Secret, account, &name, RecordId::Secret(id));
            self.prune(RecordId::Secret(id), report);
        }
    }

    /// Does the plan delete this, or write it without a reference to that name?
    fn lets_go_of(&self, referrer: &Referrer, name: &Name) -> bool {
        self.plan.steps.iter().any(|step| match step {
            Step::Delete { id, .. } => *id == referrer.record,
            Step::Put { record, .. } => {
                record.id() == referrer.record
                    && super::secrets::texts_written(record).is_some_and(|texts| !refer_to(&texts, name))
            }
        })
    }

    fn prune_gateways(&mut self) {
        let unnamed: Vec<_> = self
            .existing
            .gateways
            .iter()
            .map(|(id, gateway)| (RecordId::Gateway(*id), gateway.spec.name.clone()))
            .filter(|(_, name)| {
                name.as_str() != crate::DEFAULT && !self.seen.contains_key(&(Noun::Gateway, name.to_string()))
            })
            .collect();
        for (id, name) in unnamed {
            let report = touched(Noun::Gateway, None, &name, id);
            self.prune(id, report);
        }
    }
}
