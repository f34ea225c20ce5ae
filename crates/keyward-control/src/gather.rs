//! Gathers from the store what a plan or a view needs, and no more: work in proportion to what is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward_access::Snapshot;
use keyward_model::{
    Account, AccountId, Api, ApiId, CallerId, CallerKind, GatewayId, Grant, GrantSpec, Grantee, GranteeSpec,
    Group, GroupId, JwtKeySource, JwtSpec, Name, Plaintext, Plugin, PluginId, PluginKind, PluginOn,
    PluginSpec, RoleIn, SecretId, SecretText, ServiceAuth, ServiceId, Timestamp, World,
};
use keyward_store::{
    CredentialRow, GrantsOf, KeySetState, ListPage, ObjectsOf, PluginsOf, Reads, StoreError, Stored, Within,
};

use crate::actor::Seen;
use crate::plan::{Existing, Known};
use crate::views::{grant_spec, plugin_spec};
use crate::{Actor, Control, ControlError, CredentialView, KeySetHealth};

/// Gathers objects into an [`Existing`]. What was gathered is not read again.
pub(crate) struct Gather<'r> {
    pub(crate) reads: Reads<'r>,
    pub(crate) existing: Existing,
    /// The moment at which things are looked at.
    pub(crate) now: Timestamp,
    seen: Seen,
    /// Where references are seen to hold or not; absent where what is shown is not in effect yet.
    snapshot: Option<Arc<Snapshot>>,
}

/// Rows of a page while everything of an account is read.
const PAGE: u32 = 1_000;

impl<'r> Gather<'r> {
    /// For this actor, for whom accounts that are not its own are not there by name.
    pub(crate) fn new(reads: Reads<'r>, actor: &Actor, now: Timestamp) -> Self {
        Self { reads, existing: Existing::default(), now, seen: actor.seen(), snapshot: None }
    }

    /// The same, showing what of it cannot be resolved now.
    pub(crate) fn seeing(self, control: &Control) -> Self {
        Self { snapshot: Some(control.snapshots().load_full()), ..self }
    }

    /// Why a credential proves nothing now, as far as the secrets go that it refers to.
    pub(crate) fn trouble_of_credential(&self, view: &mut CredentialView) {
        let caller = self.snapshot.as_ref().and_then(|snapshot| snapshot.caller(view.caller));
        let credential = caller.and_then(|caller| caller.credential(view.id));
        view.trouble = credential.and_then(|credential| credential.trouble()).map(str::to_owned);
    }

    /// Why a service cannot be called now, as far as the secrets go that it refers to.
    pub(crate) fn trouble_of_service(&self, id: ServiceId) -> Option<String> {
        let service = self.snapshot.as_ref()?.service(id)?;
        service.trouble().map(str::to_owned)
    }

    /// Why a plugin cannot do what it is for now.
    pub(crate) fn trouble_of_plugin(&self, id: PluginId) -> Option<String> {
        self.snapshot.as_ref()?.plugin(id)?.trouble().map(str::to_owned)
    }

    /// Why a secret holds nothing now.
    pub(crate) fn trouble_of_secret(&self, id: SecretId) -> Option<String> {
        self.snapshot.as_ref()?.secret(id)?.trouble().map(str::to_owned)
    }

    /// May the actor know of this account's objects? What belongs to no account is there for all.
    pub(crate) fn sees(&self, account: Option<AccountId>) -> bool {
        account.is_none_or(|account| self.seen.has(account))
    }

    /// A grant as it would stand in a world file. A caller of an account that is not the actor's is named by id only.
    pub(crate) fn grant_spec(&self, grant: &Grant) -> Option<GrantSpec> {
        let mut spec = grant_spec(&self.existing, grant)?;
        if let Grantee::Caller(id) = grant.grantee {
            let account = self.existing.callers.get(&id).map(|caller| caller.account);
            if !self.sees(account) {
                spec.to = GranteeSpec::ById(id);
            }
        }
        Some(spec)
    }

    /// Does the actor know that this role is held: it is in one of its accounts, or the actor's reach everywhere?
    pub(crate) fn sees_role(&self, role: &RoleIn) -> bool {
        match role.account {
            Some(account) => self.sees(Some(account)),
            None => self.sees_everything(),
        }
    }

    pub(crate) fn sees_everything(&self) -> bool {
        self.seen == Seen::Everything
    }

    /// The accounts whose objects a list without an account has.
    pub(crate) fn seen_accounts(&self) -> Within {
        self.seen.clone().into()
    }

    /// Says how a fetched key set is.
    pub(crate) async fn key_set(&mut self, view: &mut CredentialView) -> Result<(), StoreError> {
        let Some(remote) = view.jwt.as_ref().and_then(|jwt| jwt.remote.as_ref()) else { return Ok(()) };
        let KeySetState { fetched, failed } = self.reads.key_set_state(&remote.url).await?;
        let healthy = fetched.is_some() && failed.is_none();
        view.key_set = Some(KeySetHealth { healthy, fetched, failed });
        Ok(())
    }

    pub(crate) async fn account(&mut self, id: AccountId) -> Result<(), StoreError> {
        if self.existing.accounts.get(&id).is_none()
            && let Some(found) = self.reads.account(id).await?
        {
            self.existing.add_account(found.object);
        }
        Ok(())
    }

    pub(crate) async fn account_named(&mut self, name: &Name) -> Result<Option<Account>, StoreError> {
        if self.existing.accounts.find(name).is_none()
            && let Some(found) = self.reads.account_named(name).await?
            && self.sees(Some(found.object.id))
        {
            self.existing.add_account(found.object);
        }
        let id = self.existing.accounts.find(name);
        let account = id.and_then(|id| self.existing.accounts.get(id));
        Ok(account.filter(|account| self.sees(Some(account.id))).cloned())
    }

    /// Every gateway: there are few, and most objects name some.
    pub(crate) async fn gateways(&mut self) -> Result<(), StoreError> {
        if self.existing.gateways.iter().next().is_none() {
            for found in self.reads.gateways().await? {
                self.existing.add_gateway(found.object);
            }
        }
        Ok(())
    }

    pub(crate) async fn service(&mut self, id: ServiceId) -> Result<(), StoreError> {
        if self.existing.services.get(&id).is_none()
            && let Some(found) = self.reads.service(id).await?
        {
            self.existing.add_service(found.object);
        }
        Ok(())
    }

    async fn service_named(&mut self, account: AccountId, name: &Name) -> Result<(), StoreError> {
        if self.existing.services.find(&(account, name.clone())).is_none()
            && let Some(found) = self.reads.service_named(account, name).await?
        {
            self.existing.add_service(found.object);
        }
        Ok(())
    }

    /// An API, with the services it is bound to.
    pub(crate) async fn api(&mut self, id: ApiId) -> Result<(), StoreError> {
        if self.existing.apis.get(&id).is_none()
            && let Some(found) = self.reads.api(id).await?
        {
            self.add_api(found.object).await?;
        }
        Ok(())
    }

    async fn api_named(&mut self, account: AccountId, name: &Name) -> Result<(), StoreError> {
        if self.existing.apis.find(&(account, name.clone())).is_none()
            && let Some(found) = self.reads.api_named(account, name).await?
        {
            self.add_api(found.object).await?;
        }
        Ok(())
    }

    pub(crate) async fn add_api(&mut self, api: Api) -> Result<(), StoreError> {
        self.account(api.account).await?;
        for binding in api.stages.values() {
            self.service(binding.service).await?;
        }
        self.existing.add_api(api);
        Ok(())
    }

    async fn module_named(&mut self, account: AccountId, name: &Name) -> Result<(), StoreError> {
        if self.existing.modules.find(&(account, name.clone())).is_none()
            && let Some(found) = self.reads.module_named(account, name).await?
        {
            self.existing.add_module(found.object);
        }
        Ok(())
    }

    /// The modules that the world describes, or whose names its plugins are of.
    async fn modules_of(&mut self, world: &World) -> Result<(), StoreError> {
        let described = world.modules.iter().map(|entry| (&entry.value.account, &entry.value.name));
        let run = world.plugins.iter().filter_map(|entry| match &entry.value.settings.kind {
            PluginKind::Custom(name) => Some((&entry.value.account, name)),
            PluginKind::BuiltIn(_) => None,
        });
        for (account, name) in described.chain(run) {
            if let Some(account) = self.account_named(account).await? {
                self.module_named(account.id, name).await?;
            }
        }
        Ok(())
    }

    /// What a plugin names, for showing it.
    pub(crate) async fn around_plugin(&mut self, plugin: &Plugin) -> Result<(), StoreError> {
        self.account(plugin.account).await?;
        match plugin.on.api() {
            Some(api) => self.api(*api).await,
            None => self.gateways().await,
        }
    }

    /// A plugin as it would stand in a world file, with marks for the secrets that are written out in it.
    pub(crate) fn plugin_spec(&self, plugin: &Plugin) -> Option<PluginSpec> {
        plugin_spec(&self.existing, plugin, &|plain| self.reads.digest(plain))
    }

    pub(crate) async fn add_plugins(&mut self, found: Vec<Stored<Plugin>>) -> Result<(), StoreError> {
        for found in found {
            self.around_plugin(&found.object).await?;
            self.existing.plugins.insert(found.object.id, found.object);
        }
        Ok(())
    }

    /// The plugins that the world's entries may stand for, and those that send secrets to where its services and APIs lead.
    async fn plugins_of(&mut self, world: &World) -> Result<(), StoreError> {
        let mut apis: BTreeSet<ApiId> = BTreeSet::new();
        let mut gateways: BTreeSet<GatewayId> = BTreeSet::new();
        let find = |existing: &Existing, account: &Name, name: &Name| {
            let account = *existing.accounts.find(account)?;
            existing.apis.find(&(account, name.clone())).copied()
        };
        for entry in world.plugins.iter().chain(&world.limits) {
            let spec = &entry.value;
            match (&spec.on, spec.on.api()) {
                (PluginOn::Gateway(name), _) => gateways.extend(self.existing.gateways.find(name)),
                (_, api) => {
                    apis.extend(api.and_then(|api| find(&self.existing, &spec.account, api)));
                }
            }
        }
        for entry in &world.apis {
            apis.extend(find(&self.existing, &entry.value.account, &entry.value.name));
        }
        // One that is renamed is known by its id alone.
        if !world.apis.is_empty() {
            apis.extend(self.existing.apis.iter().map(|(id, _)| *id));
        }
        if !world.services.is_empty() {
            let services: Vec<ServiceId> = self.existing.services.iter().map(|(id, _)| *id).collect();
            for service in services {
                for found in self.reads.apis_on_service(service).await? {
                    apis.insert(found.object.id);
                    self.add_api(found.object).await?;
                }
            }
        }
        let apis: Vec<ApiId> = apis.into_iter().collect();
        let gateways: Vec<GatewayId> = gateways.into_iter().collect();
        let found = self.reads.plugins_on_apis(&apis).await?;
        self.add_plugins(found).await?;
        let found = self.reads.plugins_on_gateways(&gateways).await?;
        self.add_plugins(found).await
    }

    /// Callers, with their accounts.
    pub(crate) async fn callers(&mut self, ids: &[CallerId]) -> Result<(), StoreError> {
        let missing: Vec<CallerId> =
            ids.iter().copied().filter(|id| self.existing.callers.get(id).is_none()).collect();
        for found in self.reads.callers(&missing).await? {
            self.account(found.object.account).await?;
            self.existing.add_caller(found.object);
        }
        Ok(())
    }

    async fn callers_named(
        &mut self,
        account: AccountId,
        kind: CallerKind,
        names: &[Name],
    ) -> Result<(), StoreError> {
        for found in self.reads.callers_named(account, kind, names).await? {
            self.existing.add_caller(found.object);
        }
        Ok(())
    }

    /// The credentials of these callers, their secrets opened as far as they open.
    pub(crate) async fn credentials(&mut self, callers: &[CallerId]) -> Result<(), StoreError> {
        let missing: Vec<CallerId> =
            callers.iter().copied().filter(|id| !self.existing.credentials.contains_key(id)).collect();
        for found in self.reads.credentials_of(&missing).await? {
            let known = self.known(found);
            self.existing.add_credential(known);
        }
        Ok(())
    }

    fn known(&self, found: Stored<CredentialRow>) -> Known {
        let row = found.object;
        let credential = match self.reads.open(&row) {
            Ok(record) => Some(record.credential),
            Err(error) => {
                tracing::warn!(%error, "a credential cannot be read");
                None
            }
        };
        Known { row, credential }
    }

    /// Groups by id, with their members; the members' own objects are not gathered.
    pub(crate) async fn groups(&mut self, ids: &[GroupId]) -> Result<(), StoreError> {
        let missing: Vec<GroupId> =
            ids.iter().copied().filter(|id| self.existing.groups.get(id).is_none()).collect();
        let found = self.reads.groups(&missing).await?;
        self.add_groups(found).await
    }

    pub(crate) async fn add_groups(&mut self, found: Vec<Stored<Group>>) -> Result<(), StoreError> {
        let ids: Vec<GroupId> = found.iter().map(|group| group.object.id).collect();
        let mut members = self.reads.members_of(&ids).await?;
        for found in found {
            let group = found.object;
            self.account(group.account).await?;
            let members = members.remove(&group.id).unwrap_or_default();
            self.existing.add_group(Group { members, ..group });
        }
        Ok(())
    }

    pub(crate) fn add_grants(&mut self, found: Vec<Stored<Grant>>) {
        found.into_iter().for_each(|grant| self.existing.add_grant(grant.object));
    }

    /// What a grant names, for showing it.
    pub(crate) async fn around_grant(&mut self, grant: &Grant) -> Result<(), StoreError> {
        self.account(grant.account).await?;
        self.api(grant.api).await?;
        if grant.gateways.is_some() {
            self.gateways().await?;
        }
        match grant.grantee {
            Grantee::Caller(caller) => self.callers(&[caller]).await,
            Grantee::Group(group) => self.groups(&[group]).await,
        }
    }

    /// Everything that concerns a caller's removal: its credentials, grants and memberships.
    pub(crate) async fn around_callers(&mut self, ids: &[CallerId]) -> Result<(), StoreError> {
        self.callers(ids).await?;
        self.credentials(ids).await?;
        let grants = self.reads.grants_for_callers(ids).await?;
        self.add_grants(grants);
        let groups: BTreeSet<GroupId> =
            self.reads.memberships_of(ids).await?.into_iter().map(|(group, _)| group).collect();
        self.groups(&groups.into_iter().collect::<Vec<_>>()).await
    }

    /// Everything that concerns a gateway's removal: the APIs published to it and the grants that name it.
    pub(crate) async fn around_gateway(&mut self, id: GatewayId) -> Result<(), StoreError> {
        self.gateways().await?;
        for api in self.reads.apis_on_gateway(id).await? {
            self.add_api(api.object).await?;
        }
        let grants = self.reads.grants_naming(id).await?;
        self.add_grants(grants);
        let plugins = self.reads.plugins_on_gateways(&[id]).await?;
        self.add_plugins(plugins).await
    }

    /// What a plan for this world needs.
    pub(crate) async fn world(&mut self, world: &World, prune: bool) -> Result<(), ControlError> {
        for name in crate::plan::accounts_named(world) {
            self.account_named(&name).await?;
        }
        self.gateways().await?;
        self.services_and_apis(world).await?;
        self.modules_of(world).await?;
        self.plugins_of(world).await?;
        self.secrets_of(world).await?;
        self.callers_of(world).await?;
        self.groups_of(world).await?;
        self.grants_of(world).await?;
        self.holders(world).await?;
        if prune {
            self.everything_of(world).await?;
        }
        Ok(())
    }

    /// The secrets that the world describes or refers to, and those that its services refer to already.
    async fn secrets_of(&mut self, world: &World) -> Result<(), StoreError> {
        let mut names: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
        let mut add = |account: &Name, text: &SecretText| {
            let refs = text.refs().into_iter().map(Name::from);
            names.entry(account.clone()).or_default().extend(refs);
        };
        for entry in &world.services {
            let spec = &entry.value;
            let account = self.existing.accounts.find(&spec.account).copied();
            let key = account.map(|account| (account, spec.name.clone()));
            let stored = key.and_then(|key| self.existing.services.find(&key));
            // One that is renamed is known by its id alone.
            let stored = stored.and_then(|id| self.existing.services.get(id)).into_iter();
            let known = stored.chain(self.existing.services.iter().map(|(_, service)| service));
            for auth in
                known.filter_map(|service| service.spec.service_auth.as_ref()).chain(&spec.service_auth)
            {
                let ServiceAuth::Header { value, .. } = auth;
                value.iter().for_each(|text| add(&spec.account, text));
            }
        }
        for entry in &world.applications {
            let spec = &entry.value;
            let secrets = spec.key_pairs.iter().flatten().filter_map(|pair| pair.app_secret.as_ref());
            let codes = spec.app_codes.iter().filter_map(|code| code.value.as_ref());
            secrets.chain(codes).for_each(|text| add(&spec.account, text));
        }
        for entry in &world.consumers {
            let spec = &entry.value;
            let keys = spec.api_key.iter().flat_map(|api_key| api_key.keys.iter().flatten());
            keys.filter_map(|key| key.value.as_ref()).for_each(|text| add(&spec.account, text));
            if let Some(JwtKeySource::Reference(text)) = spec.jwt.as_ref().map(|jwt| &jwt.keys) {
                add(&spec.account, text);
            }
        }
        for entry in world.plugins.iter().chain(&world.limits) {
            let settings = &entry.value.settings;
            let texts = settings.config.secrets(&settings.kind);
            texts.iter().for_each(|(_, text)| add(&entry.value.account, text));
        }
        // What is sent through plugins may be led elsewhere.
        for plugin in self.existing.plugins.values() {
            let Some(account) = self.existing.account_name(plugin.account) else { continue };
            let texts = plugin.settings.config.secrets(&plugin.settings.kind);
            texts.iter().for_each(|(_, text)| add(account, text));
        }
        for entry in &world.secrets {
            names.entry(entry.value.account.clone()).or_default().insert(entry.value.name.clone());
        }
        for (account, names) in names {
            if let Some(account) = self.account_named(&account).await? {
                let names: Vec<Name> = names.into_iter().collect();
                self.secrets_named(account.id, &names).await?;
            }
        }
        Ok(())
    }

    /// The secrets of this account with these names, as far as there are any.
    pub(crate) async fn secrets_named(
        &mut self,
        account: AccountId,
        names: &[Name],
    ) -> Result<(), StoreError> {
        let missing = |name: &&Name| self.existing.secrets.find(&(account, (*name).clone())).is_none();
        let missing: Vec<Name> = names.iter().filter(missing).cloned().collect();
        for found in self.reads.secrets_named(account, &missing).await? {
            self.existing.add_secret(found.object);
        }
        Ok(())
    }

    async fn services_and_apis(&mut self, world: &World) -> Result<(), StoreError> {
        let mut services: BTreeSet<(&Name, &Name)> =
            world.services.iter().map(|entry| (&entry.value.account, &entry.value.name)).collect();
        let mut apis: BTreeSet<(&Name, &Name)> =
            world.grants.iter().map(|entry| (&entry.value.account, &entry.value.api)).collect();
        for entry in world.plugins.iter().chain(&world.limits) {
            let spec = &entry.value;
            apis.extend(spec.on.api().map(|api| (&spec.account, api)));
        }
        let called: Vec<(Name, Name)> =
            world.plugins.iter().flat_map(|entry| called_by(&entry.value)).collect();
        services.extend(called.iter().map(|(account, name)| (account, name)));
        for entry in &world.modules {
            services.extend(entry.value.services.iter().map(|name| (&entry.value.account, name)));
        }
        for entry in &world.apis {
            let spec = &entry.value;
            apis.insert((&spec.account, &spec.name));
            services.extend(spec.stages.values().map(|stage| (&spec.account, &stage.service)));
        }
        for (account, name) in services {
            if let Some(account) = self.account_named(account).await? {
                self.service_named(account.id, name).await?;
            }
        }
        for (account, name) in apis {
            if let Some(account) = self.account_named(account).await? {
                self.api_named(account.id, name).await?;
            }
        }
        Ok(())
    }

    /// The callers that the world describes, with their credentials, and those that it names as members or grantees.
    async fn callers_of(&mut self, world: &World) -> Result<(), StoreError> {
        let mut names: BTreeMap<(Name, CallerKind), BTreeSet<Name>> = BTreeMap::new();
        let mut add = |account: &Name, kind, name: &Name| {
            names.entry((account.clone(), kind)).or_default().insert(name.clone());
        };
        for entry in &world.applications {
            add(&entry.value.account, CallerKind::Application, &entry.value.name);
        }
        for entry in &world.consumers {
            add(&entry.value.account, CallerKind::Consumer, &entry.value.name);
        }
        for entry in &world.groups {
            entry
                .value
                .members
                .iter()
                .for_each(|member| add(&entry.value.account, member.kind, &member.name));
        }
        let mut by_id = Vec::new();
        for entry in &world.grants {
            match &entry.value.to {
                GranteeSpec::Named(kind, named) => add(&named.account, *kind, &named.name),
                GranteeSpec::ById(id) => by_id.push(*id),
                GranteeSpec::Group(_) => {}
            }
        }
        for ((account, kind), names) in names {
            if let Some(account) = self.account_named(&account).await? {
                let names: Vec<Name> = names.into_iter().collect();
                self.callers_named(account.id, kind, &names).await?;
            }
        }
        self.callers(&by_id).await?;
        let described = self.described(world);
        self.credentials(&described).await
    }

    /// Stored callers that the world describes.
    fn described(&self, world: &World) -> Vec<CallerId> {
        let applications =
            world.applications.iter().map(|e| (&e.value.account, CallerKind::Application, &e.value.name));
        let consumers =
            world.consumers.iter().map(|e| (&e.value.account, CallerKind::Consumer, &e.value.name));
        let find = |(account, kind, name): (&Name, CallerKind, &Name)| {
            let account = *self.existing.accounts.find(account)?;
            self.existing.callers.find(&(account, kind, name.clone())).copied()
        };
        applications.chain(consumers).filter_map(find).collect()
    }

    async fn groups_of(&mut self, world: &World) -> Result<(), StoreError> {
        let mut names: BTreeMap<&Name, BTreeSet<Name>> = BTreeMap::new();
        for entry in &world.groups {
            names.entry(&entry.value.account).or_default().insert(entry.value.name.clone());
        }
        for entry in &world.grants {
            if let GranteeSpec::Group(name) = &entry.value.to {
                names.entry(&entry.value.account).or_default().insert(name.clone());
            }
        }
        for (account, names) in names {
            if let Some(account) = self.account_named(account).await? {
                let names: Vec<Name> = names.into_iter().collect();
                let found = self.reads.groups_named(account.id, &names).await?;
                self.add_groups(found).await?;
            }
        }
        Ok(())
    }

    /// The grants of every grantee that a grant of the world names.
    async fn grants_of(&mut self, world: &World) -> Result<(), StoreError> {
        let mut callers = BTreeSet::new();
        let mut groups = BTreeSet::new();
        for entry in &world.grants {
            let spec = &entry.value;
            match &spec.to {
                GranteeSpec::ById(id) => {
                    callers.insert(*id);
                }
                GranteeSpec::Named(kind, named) => {
                    let account = self.existing.accounts.find(&named.account).copied();
                    let key = account.map(|account| (account, *kind, named.name.clone()));
                    callers.extend(key.and_then(|key| self.existing.callers.find(&key)).copied());
                }
                GranteeSpec::Group(name) => {
                    let account = self.existing.accounts.find(&spec.account).copied();
                    let key = account.map(|account| (account, name.clone()));
                    groups.extend(key.and_then(|key| self.existing.groups.find(&key)).copied());
                }
            }
        }
        let for_callers = self.reads.grants_for_callers(&callers.into_iter().collect::<Vec<_>>()).await?;
        let for_groups = self.reads.grants_for_groups(&groups.into_iter().collect::<Vec<_>>()).await?;
        self.add_grants(for_callers);
        self.add_grants(for_groups);
        Ok(())
    }

    /// Who has the AppKeys, values and identity claims that the world gives.
    async fn holders(&mut self, world: &World) -> Result<(), StoreError> {
        for entry in &world.applications {
            let spec = &entry.value;
            for app_key in spec.key_pairs.iter().flatten().filter_map(|pair| pair.app_key.as_ref()) {
                if let Some(found) = self.reads.credential_by_app_key(app_key).await? {
                    self.existing.hold(&found.object);
                }
            }
            for value in spec.app_codes.iter().filter_map(|code| code.value.as_ref()?.plain()) {
                self.holder_of(value).await?;
            }
        }
        for entry in &world.consumers {
            let spec = &entry.value;
            let keys = spec.api_key.iter().flat_map(|api_key| api_key.keys.iter().flatten());
            for value in keys.filter_map(|key| key.value.as_ref()?.plain()) {
                self.holder_of(value).await?;
            }
            let account = self.existing.accounts.find(&spec.account).copied();
            if let (Some(jwt), Some(account)) = (&spec.jwt, account) {
                self.claim_holder(account, jwt).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn holder_of(&mut self, value: &Plaintext) -> Result<(), StoreError> {
        let digest = self.reads.digest(value);
        if let Some(found) = self.reads.credential_by_digest(&digest).await? {
            self.existing.hold(&found.object);
        }
        Ok(())
    }

    async fn claim_holder(&mut self, account: AccountId, jwt: &JwtSpec) -> Result<(), StoreError> {
        let given = jwt.identity_claim.as_ref();
        let given = given.and_then(|claim| claim.value.clone().map(|value| (claim.name.clone(), value)));
        if let Some((name, value)) = given {
            let claim = keyward_model::IdentityClaim { name, value };
            if let Some(found) = self.reads.credential_by_claim(account, &claim).await? {
                self.existing.hold(&found.object);
            }
        }
        Ok(())
    }

    /// Everything in the accounts that the world names, and whatever refers to it from elsewhere: for pruning.
    async fn everything_of(&mut self, world: &World) -> Result<(), ControlError> {
        for found in self.reads.services().await? {
            self.existing.add_service(found.object);
        }
        for found in self.reads.apis().await? {
            self.add_api(found.object).await?;
        }
        for name in crate::plan::accounts_named(world) {
            if let Some(account) = self.account_named(&name).await? {
                self.all_of(account.id).await?;
            }
        }
        let gateways: Vec<GatewayId> = self.existing.gateways.iter().map(|(id, _)| *id).collect();
        for gateway in gateways {
            let grants = self.reads.grants_naming(gateway).await?;
            self.add_grants(grants);
        }
        Ok(())
    }

    /// Callers, groups, grants and plugins of an account.
    pub(crate) async fn all_of(&mut self, account: AccountId) -> Result<(), ControlError> {
        self.account(account).await?;
        let mut page = ListPage::first(PAGE);
        loop {
            let found = self.reads.list_secrets(&ObjectsOf::within(account), &page).await?;
            let Some(last) = found.last() else { break };
            page.turn_to(Some(last.object.id));
            for secret in found {
                self.referrers(secret.object.id).await?;
                self.existing.add_secret(secret.object);
            }
        }
        let filter = keyward_store::CallerFilter { within: account.into(), ..Default::default() };
        let mut page = ListPage::first(PAGE);
        loop {
            let found = self.reads.list_callers(&filter, &page).await?;
            let Some(last) = found.last() else { break };
            page.turn_to(Some(last.object.id));
            let ids: Vec<CallerId> = found.iter().map(|caller| caller.object.id).collect();
            self.around_callers(&ids).await?;
        }
        page.after = None;
        loop {
            let found = self.reads.list_groups(&ObjectsOf::within(account), &page).await?;
            let Some(last) = found.last() else { break };
            page.turn_to(Some(last.object.id));
            let ids: Vec<GroupId> = found.iter().map(|group| group.object.id).collect();
            let missing = found.into_iter().filter(|g| self.existing.groups.get(&g.object.id).is_none());
            let missing = missing.collect();
            self.add_groups(missing).await?;
            let grants = self.reads.grants_for_groups(&ids).await?;
            self.add_grants(grants);
        }
        page.after = None;
        let of =
            GrantsOf { account: Some(account), revoked: true, ..GrantsOf::at(Timestamp::from_millis(0)) };
        loop {
            let found = self.reads.list_grants(&of, &page).await?;
            let Some(last) = found.last() else { break };
            page.turn_to(Some(last.object.id));
            for grant in &found {
                self.around_grant(&grant.object).await?;
            }
            self.add_grants(found);
        }
        page.after = None;
        loop {
            let found = self.reads.list_plugins(&PluginsOf::within(account), &page).await?;
            let Some(last) = found.last() else { break };
            page.turn_to(Some(last.object.id));
            self.add_plugins(found).await?;
        }
        page.after = None;
        loop {
            let found = self.reads.list_modules(&ObjectsOf::within(account), &page).await?;
            let Some(last) = found.last() else { break };
            page.turn_to(Some(last.object.id));
            found.into_iter().for_each(|module| self.existing.add_module(module.object));
        }
        Ok(())
    }
}

/// The services that a plugin's configuration names, with its account.
fn called_by(spec: &PluginSpec) -> Vec<(Name, Name)> {
    let PluginKind::BuiltIn(kind) = &spec.settings.kind else { return Vec::new() };
    let Ok(config) = spec.settings.config.read(*kind) else { return Vec::new() };
    config.services().into_iter().map(|(_, name)| (spec.account.clone(), name.clone())).collect()
}
