//! What goes along with an object, and what must not be left behind without it.

use keyward_model::{
    AccountId, ApiId, CallerId, CredentialDigest, GatewayId, Grant, Grantee, GroupId, ModuleId, Noun, Plugin,
    PluginId, PluginKind, PluginOn, SecretId, ServiceId,
};
use keyward_store::{Record, RecordId};

use super::callers::noun_of;
use super::words::plugin_label;
use super::{Existing, Owner, Step, account_of, describe};
use crate::User;
use crate::views::plugin_spec;

/// What has to be done to remove an object.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    pub(crate) steps: Vec<Step>,
    /// What goes along, in order of dependence; credentials and memberships are not counted here.
    pub(crate) along: Vec<User>,
    pub(crate) credentials: u64,
}

/// Plans the removal of an object, of which `existing` has everything that concerns it.
///
/// # Errors
/// Who uses it, so that it cannot go.
pub(crate) fn removal(existing: &Existing, id: RecordId) -> Result<Removal, Vec<User>> {
    match id {
        RecordId::Account(id) => account(existing, id),
        RecordId::Gateway(id) => gateway(existing, id),
        RecordId::Secret(id) => secret(existing, id),
        RecordId::Service(id) => service(existing, id),
        RecordId::Api(id) => Ok(api(existing, id)),
        RecordId::Caller(id) => Ok(caller(existing, id)),
        RecordId::Group(id) => group(existing, id),
        RecordId::Module(id) => module(existing, id),
        RecordId::Plugin(id) => Ok(plugin(existing, id)),
        RecordId::Credential(_)
        | RecordId::Member(..)
        | RecordId::Grant(_)
        | RecordId::Operator(_)
        | RecordId::OperatorToken(_) => Ok(Removal::default()),
    }
}

impl Removal {
    fn record(&mut self, record: Record) {
        self.steps.push(Step::delete(&record));
    }

    fn grants<'g>(&mut self, existing: &Existing, grants: impl Iterator<Item = &'g Grant>) {
        for grant in grants {
            self.along.push(grant_user(existing, grant));
            self.record(Record::Grant(grant.clone()));
        }
    }
}

impl Step {
    pub(crate) fn delete(record: &Record) -> Self {
        let owner = match record {
            Record::Grant(grant) => Owner::Grantee(grant.grantee),
            Record::Credential(record) => Owner::Caller(record.credential.caller),
            _ => Owner::Itself,
        };
        Self::Delete { id: record.id(), owner, account: account_of(record), before: describe(record) }
    }
}

fn account(existing: &Existing, id: AccountId) -> Result<Removal, Vec<User>> {
    let mut users: Vec<User> = Vec::new();
    let secrets = existing.secrets.iter().filter(|(_, secret)| secret.account == id);
    users.extend(secrets.map(|(id, secret)| user(Noun::Secret, id, &secret.spec.name)));
    let services = existing.services.iter().filter(|(_, service)| service.account == id);
    users.extend(services.map(|(id, service)| user(Noun::Service, id, &service.spec.name)));
    let apis = existing.apis.iter().filter(|(_, api)| api.account == id);
    users.extend(apis.map(|(id, api)| user(Noun::Api, id, &api.name)));
    let callers = existing.callers.iter().filter(|(_, caller)| caller.account == id);
    users.extend(callers.map(|(id, caller)| user(noun_of(id.kind()), id, &caller.name)));
    let groups = existing.groups.iter().filter(|(_, group)| group.account == id);
    users.extend(groups.map(|(id, group)| user(Noun::Group, id, &group.name)));
    let plugins = existing.plugins.values().filter(|plugin| plugin.account == id);
    users.extend(plugins.map(|plugin| plugin_user(existing, plugin)));
    let modules = existing.modules.iter().filter(|(_, module)| module.account == id);
    users.extend(modules.map(|(id, module)| user(Noun::Module, id, &module.name)));
    unused(users, existing.accounts.get(&id).cloned().map(Record::Account))
}

fn gateway(existing: &Existing, id: GatewayId) -> Result<Removal, Vec<User>> {
    let apis = existing.apis.iter().filter(|(_, api)| api.gateways.contains(&id));
    let mut users: Vec<User> = apis.map(|(id, api)| user(Noun::Api, id, &api.name)).collect();
    let names_it = |grant: &&Grant| grant.gateways.as_ref().is_some_and(|gateways| gateways.contains(&id));
    let (revoked, active): (Vec<&Grant>, Vec<&Grant>) =
        existing.grants.values().filter(names_it).partition(|grant| grant.revoked.is_some());
    users.extend(active.into_iter().map(|grant| grant_user(existing, grant)));
    let bound = existing.plugins.values().filter(|plugin| plugin.on == PluginOn::Gateway(id));
    users.extend(bound.map(|plugin| plugin_user(existing, plugin)));
    let mut removal = unused(users, existing.gateways.get(&id).cloned().map(Record::Gateway))?;
    removal.grants(existing, revoked.into_iter());
    Ok(removal)
}

fn secret(existing: &Existing, id: SecretId) -> Result<Removal, Vec<User>> {
    let referrers = existing.references.get(&id).map(Vec::as_slice).unwrap_or_default();
    let users = referrers.iter().map(|referrer| referrer.user.clone()).collect();
    unused(users, existing.secrets.get(&id).cloned().map(|secret| Record::Secret(Box::new(secret))))
}

fn service(existing: &Existing, id: ServiceId) -> Result<Removal, Vec<User>> {
    let bound = |api: &keyward_model::Api| api.stages.values().any(|binding| binding.service == id);
    let apis = existing.apis.iter().filter(|(_, api)| bound(api));
    let mut users: Vec<User> = apis.map(|(id, api)| user(Noun::Api, id, &api.name)).collect();
    let calling =
        existing.plugins.values().filter(|plugin| plugin.services.iter().any(|(_, other)| *other == id));
    users.extend(calling.map(|plugin| plugin_user(existing, plugin)));
    let modules =
        existing.modules.iter().filter(|(_, module)| module.services.iter().any(|(_, other)| *other == id));
    users.extend(modules.map(|(id, module)| user(Noun::Module, id, &module.name)));
    unused(users, existing.services.get(&id).cloned().map(Record::Service))
}

fn group(existing: &Existing, id: GroupId) -> Result<Removal, Vec<User>> {
    let (revoked, active): (Vec<&Grant>, Vec<&Grant>) =
        existing.grants_for(Grantee::Group(id)).partition(|grant| grant.revoked.is_some());
    if !active.is_empty() {
        return Err(active.into_iter().map(|grant| grant_user(existing, grant)).collect());
    }
    let mut removal = Removal::default();
    removal.grants(existing, revoked.into_iter());
    if let Some(group) = existing.groups.get(&id) {
        let members = group.members.iter().map(|member| Step::delete_member(group.account, id, *member));
        removal.steps.extend(members);
        removal.record(Record::Group(group.clone()));
    }
    Ok(removal)
}

fn api(existing: &Existing, id: ApiId) -> Removal {
    let mut removal = Removal::default();
    removal.grants(existing, existing.grants.values().filter(|grant| grant.api == id));
    for plugin in existing.plugins.values().filter(|plugin| plugin.on.api() == Some(&id)) {
        removal.along.push(plugin_user(existing, plugin));
        removal.record(Record::Plugin(Box::new(plugin.clone())));
    }
    if let Some(api) = existing.apis.get(&id) {
        removal.record(Record::Api(api.clone()));
    }
    removal
}

fn caller(existing: &Existing, id: CallerId) -> Removal {
    let mut removal = Removal::default();
    let known = existing.credentials.get(&id).map(Vec::as_slice).unwrap_or_default();
    removal.credentials = u64::try_from(known.len()).unwrap_or(u64::MAX);
    removal.steps.extend(known.iter().map(|known| Step::delete_credential(&known.row)));
    removal.grants(existing, existing.grants_for(Grantee::Caller(id)));
    let groups = existing.groups.iter().filter(|(_, group)| group.members.contains(&id));
    removal.steps.extend(groups.map(|(group_id, group)| Step::delete_member(group.account, *group_id, id)));
    if let Some(caller) = existing.callers.get(&id) {
        removal.record(Record::Caller(caller.clone()));
    }
    removal
}

fn module(existing: &Existing, id: ModuleId) -> Result<Removal, Vec<User>> {
    let Some(module) = existing.modules.get(&id) else { return Ok(Removal::default()) };
    let kind = PluginKind::Custom(module.name.clone());
    let running = |plugin: &&Plugin| plugin.account == module.account && plugin.settings.kind == kind;
    let users = existing.plugins.values().filter(running).map(|plugin| plugin_user(existing, plugin));
    unused(users.collect(), Some(Record::Module(Box::new(module.clone()))))
}

fn plugin(existing: &Existing, id: PluginId) -> Removal {
    let mut removal = Removal::default();
    if let Some(plugin) = existing.plugins.get(&id) {
        removal.record(Record::Plugin(Box::new(plugin.clone())));
    }
    removal
}

fn unused(users: Vec<User>, record: Option<Record>) -> Result<Removal, Vec<User>> {
    if !users.is_empty() {
        return Err(users);
    }
    let mut removal = Removal::default();
    if let Some(record) = record {
        removal.record(record);
    }
    Ok(removal)
}

fn user(noun: Noun, id: &impl ToString, name: &impl ToString) -> User {
    User { noun, id: id.to_string(), name: name.to_string() }
}

/// A plugin is known by what it does, and to what.
fn plugin_user(existing: &Existing, plugin: &Plugin) -> User {
    let name = plugin_spec(existing, plugin, &|_| CredentialDigest([0; 32]))
        .map_or_else(|| plugin.settings.kind.to_string(), |spec| plugin_label(&spec));
    user(Noun::Plugin, &plugin.id, &name)
}

/// A grant is known by its description, and without one by whom it is for and on what.
fn grant_user(existing: &Existing, grant: &Grant) -> User {
    if !grant.description.is_empty() {
        return user(Noun::Grant, &grant.id, &grant.description);
    }
    let grantee = match grant.grantee {
        Grantee::Caller(id) => existing.callers.get(&id).map(|caller| caller.name.to_string()),
        Grantee::Group(id) => existing.groups.get(&id).map(|group| group.name.to_string()),
    };
    let grantee = grantee.unwrap_or_else(|| match grant.grantee {
        Grantee::Caller(id) => id.to_string(),
        Grantee::Group(id) => id.to_string(),
    });
    let api = existing.apis.get(&grant.api).map_or_else(|| grant.api.to_string(), |api| api.name.to_string());
    user(Noun::Grant, &grant.id, &format!("{grantee} -> {api}"))
}
