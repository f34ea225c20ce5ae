//! Planning plugins. What a built-in takes is checked by its kind; whether it compiles, where it is compiled.

use std::collections::BTreeSet;

use keyward_model::{
    AccountId, Api, ApiId, ConfigError, GatewayId, Located, Name, Noun, Place, Plaintext, Plugin,
    PluginConfig, PluginId, PluginKind, PluginOn, PluginPhase, PluginSpec, SecretName, SecretText, ServiceId,
};
use keyward_store::{Record, RecordId};

use super::words::{plugin_label, touched};
use super::{Outcome, Planner, within};
use crate::{Actor, ErrorKind};

impl Planner<'_> {
    pub(super) fn plugin(&mut self, entry: &Located<PluginSpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        let Some(account) = self.account_named(&spec.account, place, "account") else { return };
        let Some(on) = self.plugin_on(account, spec, place) else { return };
        if !self.check_kind(account, spec, place) {
            return;
        }
        let found = match self.context.target {
            Some(RecordId::Plugin(target)) => Some(target),
            _ if self.context.must_create => None,
            _ => self.same_plugin(account, &spec.settings.kind, &on),
        };
        let before = found.and_then(|id| self.existing.plugins.get(&id)).cloned();
        if !self.stays(Noun::Plugin, before.as_ref().map(|before| before.account), account, place) {
            return;
        }
        if before.as_ref().is_some_and(|before| before.settings.kind != spec.settings.kind) {
            let text = "a plugin stays what it is: make another one, and delete this one";
            self.invalid("plugin_changed", within(place, "plugin"), text);
            return;
        }
        let Some(config) = self.plugin_config(account, spec, before.as_ref(), &on, place) else { return };
        let Some(services) = self.plugin_services(account, spec, &config, place) else { return };
        let Some(id) = found.or_else(|| self.uuid().map(PluginId::from_uuid)) else { return };
        let settings = keyward_model::PluginSettings { config, ..spec.settings.clone() };
        let after = Plugin { id, account, on, services, settings };
        let differs = before.as_ref() != Some(&after);
        if differs {
            let record = |plugin: &Plugin| Record::Plugin(Box::new(plugin.clone()));
            self.put(record(&after), before.as_ref().map(record));
            self.existing.plugins.insert(id, after);
        }
        let record = RecordId::Plugin(id);
        let report = touched(Noun::Plugin, Some(&spec.account), plugin_label(spec), record);
        self.settle(record, place, report, Outcome::of(before.is_none(), differs));
    }

    /// Is there a module for what is not built in?
    fn check_kind(&mut self, account: AccountId, spec: &PluginSpec, place: &Place) -> bool {
        let PluginKind::Custom(name) = &spec.settings.kind else { return true };
        let known = self.existing.modules.find(&(account, name.clone())).is_some();
        if !known && !self.is_described_wrongly(Noun::Module, &spec.account, name) {
            let text = format!(
                "there is no built-in plugin `{name}`, and no module of that name in account `{}`: see `keyward plugin kinds`, \
                 or upload it first",
                spec.account
            );
            self.problem(ErrorKind::NotFound, "module_unknown", within(place, "plugin"), text);
        }
        known
    }

    /// The oldest stored one of the same kind that is bound to the same, and that no entry before stood for.
    fn same_plugin(
        &self,
        account: AccountId,
        kind: &PluginKind,
        on: &PluginOn<GatewayId, ApiId>,
    ) -> Option<PluginId> {
        let stood_for: BTreeSet<RecordId> = self.plan.objects.iter().map(|(id, _)| *id).collect();
        let same = |plugin: &&Plugin| {
            plugin.account == account
                && plugin.settings.kind == *kind
                && plugin.on == *on
                && !stood_for.contains(&RecordId::Plugin(plugin.id))
        };
        self.existing.plugins.values().find(same).map(|plugin| plugin.id)
    }

    fn plugin_on(
        &mut self,
        account: AccountId,
        spec: &PluginSpec,
        place: &Place,
    ) -> Option<PluginOn<GatewayId, ApiId>> {
        match &spec.on {
            PluginOn::Gateway(name) => {
                let Some(id) = self.existing.gateways.find(name).copied() else {
                    let text = format!(
                        "there is no gateway `{name}`: describe it under `gateways`, or name another"
                    );
                    self.problem(ErrorKind::NotFound, "gateway_unknown", within(place, "on.gateway"), text);
                    return None;
                };
                if spec.account.as_str() != crate::DEFAULT {
                    let text = "calls of all accounts pass a gateway, so only plugins of account `default` are bound to one: \
                                bind it to an API";
                    self.invalid("plugin_on_gateway", within(place, "on.gateway"), text);
                    return None;
                }
                if let Err(text) = may_bind_to_gateways(self.context.actor) {
                    let place = within(place, "on.gateway");
                    self.problem(ErrorKind::Forbidden, "plugin_on_gateway", place, text);
                    return None;
                }
                Some(PluginOn::Gateway(id))
            }
            PluginOn::Api(name) => Some(PluginOn::Api(self.bound_api(account, spec, name, place)?.id)),
            PluginOn::Operation(name, operation) => {
                let api = self.bound_api(account, spec, name, place)?;
                let known = &api.settings.operations;
                if !known.contains(operation) {
                    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                    let has = match known.is_empty() {
                        true => "declares none: bind it to the API, or add the operation there".to_owned(),
                        false => format!("has {}", known.join(", ")),
                    };
                    let text = format!("`{operation}` is not among the operations of API `{name}`: it {has}");
                    self.invalid("operation_unknown", within(place, "on.operation"), text);
                    return None;
                }
                Some(PluginOn::Operation(api.id, operation.clone()))
            }
        }
    }

    fn bound_api(
        &mut self,
        account: AccountId,
        spec: &PluginSpec,
        name: &Name,
        place: &Place,
    ) -> Option<Api> {
        let found = self.existing.apis.find(&(account, name.clone()));
        let found = found.and_then(|id| self.existing.apis.get(id)).cloned();
        if found.is_none() && !self.is_described_wrongly(Noun::Api, &spec.account, name) {
            let text = format!(
                "there is no API `{name}` in account `{}`: a plugin is of its API's account",
                spec.account
            );
            self.problem(ErrorKind::NotFound, "api_unknown", within(place, "on.api"), text);
        }
        found
    }

    /// The configuration as it is to be stored: with stored secrets in the places of what stands for them.
    fn plugin_config(
        &mut self,
        account: AccountId,
        spec: &PluginSpec,
        before: Option<&Plugin>,
        on: &PluginOn<GatewayId, ApiId>,
        place: &Place,
    ) -> Option<PluginConfig> {
        let kind = &spec.settings.kind;
        // Bound to something else, it would lead elsewhere what nobody may read.
        let siblings = self
            .existing
            .plugins
            .values()
            .filter(|other| other.account == account && other.settings.kind == *kind && other.on == *on);
        let stored: Vec<&PluginConfig> = siblings.map(|other| &other.settings.config).collect();
        let key = self.context.digest_key;
        let digest =
            |plain: &Plaintext| keyward_access::digest_credential(key, plain.expose_secret().as_bytes());
        let restored = spec.settings.config.restored(kind, &stored, &digest);
        let config = match restored {
            Ok(config) if config.is_unreadable() => {
                let text = "the stored configuration cannot be read, so it cannot be kept: give it anew";
                self.invalid("config_unreadable", within(place, "config"), text);
                return None;
            }
            Ok(config) => config,
            Err(error) => {
                self.config_problem(&error, place);
                return None;
            }
        };
        let texts = config.secrets(kind);
        let before = before.map(|before| before.settings.config.secrets(kind)).unwrap_or_default();
        let known: BTreeSet<&SecretName> = before.iter().flat_map(|(_, text)| text.refs()).collect();
        let mut sound = Some(());
        for (path, text) in &texts {
            let place = within(place, &format!("config.{path}"));
            if self.check_references(account, text, &known, &place).is_none()
                || self.check_carried(account, kind, on, text, &place).is_none()
            {
                sound = None;
                continue;
            }
            let value = self.value_of(account, text).filter(|_| !text.is_plain());
            if let Some(Err(why)) = value.map(|value| keyward_access::plugin_takes(kind, &value)) {
                let text = format!("what it refers to cannot be used here: {why}");
                self.invalid("secret_unfit", place, text);
                sound = None;
            }
        }
        sound.map(|()| config)
    }

    fn config_problem(&mut self, error: &ConfigError, place: &Place) {
        let field = match error.path.as_str() {
            "" => "config".to_owned(),
            path => format!("config.{path}"),
        };
        self.invalid("config_invalid", within(place, &field), error.text.clone());
    }

    /// May what this text refers to be sent on by a plugin of this kind, bound to this?
    fn check_carried(
        &mut self,
        account: AccountId,
        kind: &PluginKind,
        on: &PluginOn<GatewayId, ApiId>,
        text: &SecretText,
        place: &Place,
    ) -> Option<()> {
        if text.is_plain() || !sends_secrets(kind) {
            return Some(());
        }
        if matches!(on, PluginOn::Gateway(_)) {
            let text = "what is bound to a gateway would send the secret to the services of every account: bind it to an API";
            self.invalid("secret_destination", place.clone(), text);
            return None;
        }
        for name in text.refs() {
            let Some(secret) = self.secret_of(account, name) else { continue };
            if secret.spec.destinations.is_some() {
                let text = format!(
                    "secret `{name}` says where it may be sent, which only the authentication of a service holds to: refer to it there"
                );
                self.invalid("secret_destination", place.clone(), text);
                return None;
            }
        }
        Some(())
    }

    /// The services that the configuration names.
    fn plugin_services(
        &mut self,
        account: AccountId,
        spec: &PluginSpec,
        config: &PluginConfig,
        place: &Place,
    ) -> Option<Vec<(Name, ServiceId)>> {
        let PluginKind::BuiltIn(kind) = &spec.settings.kind else { return Some(Vec::new()) };
        let read = match config.read(*kind) {
            Ok(read) => read,
            Err(error) => {
                self.config_problem(&error, place);
                return None;
            }
        };
        let mut services = Vec::new();
        for (field, name) in read.services() {
            match self.existing.services.find(&(account, name.clone())) {
                Some(id) => services.push((name.clone(), *id)),
                None => {
                    if !self.is_described_wrongly(Noun::Service, &spec.account, name) {
                        let text = format!(
                            "there is no service `{name}` in account `{}`: describe it under `services`, or name another",
                            spec.account
                        );
                        let place = within(place, &format!("config.{field}"));
                        self.problem(ErrorKind::NotFound, "service_unknown", place, text);
                    }
                    return None;
                }
            }
        }
        Some(services)
    }

    /// May whoever asks send elsewhere what the plugins of this API send to its services? That takes the right to use
    /// the secrets that they refer to.
    pub(super) fn check_plugins_of(&mut self, api: ApiId, place: &Place) {
        let sending = self
            .existing
            .plugins
            .values()
            .filter(|plugin| plugin.on.api() == Some(&api) && sends_secrets(&plugin.settings.kind));
        let mut names: BTreeSet<(AccountId, SecretName)> = BTreeSet::new();
        for plugin in sending {
            let texts = plugin.settings.config.secrets(&plugin.settings.kind);
            let refs = texts.iter().flat_map(|(_, text)| text.refs());
            names.extend(refs.map(|name| (plugin.account, name.clone())));
        }
        for (account, name) in names {
            if let Some(secret) = self.secret_of(account, &name) {
                self.may_use(&secret, place);
            }
        }
    }
}

/// What is bound to a gateway concerns everybody whose calls pass there: it takes the right to change gateways.
///
/// # Errors
/// Why not.
pub(crate) fn may_bind_to_gateways(actor: &Actor) -> Result<(), String> {
    let may = actor.may_in(None, "gateway", keyward_model::Action::Change);
    may.map_err(|error| format!("what is bound to a gateway concerns all accounts: {error}"))
}

/// Does a plugin of this kind send on what its configuration refers to?
fn sends_secrets(kind: &PluginKind) -> bool {
    match kind {
        PluginKind::BuiltIn(kind) => kind.phase() == PluginPhase::Request,
        PluginKind::Custom(_) => true,
    }
}
