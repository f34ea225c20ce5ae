//! Secrets that change, and what is compiled anew because it refers to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward_model::{AccountId, CallerId, PluginId, SecretName, Service, ServiceAuth, ServiceId};

use super::Work;
use super::callers::ChangedCaller;
use super::staged::Staged;
use crate::snapshot::entry::CallerEntry;
use crate::snapshot::secrets::{SecretById, SecretByName, SecretEntry, SecretUsers};
use crate::snapshot::shards::{Change, Keyed as _};
use crate::snapshot::update::ObjectId;
use crate::snapshot::{PluginEntry, Snapshot};

type SecretKey = (AccountId, SecretName);

/// Who refers to secrets that change.
#[derive(Default)]
pub(super) struct Concerned {
    pub(super) callers: BTreeSet<CallerId>,
    pub(super) services: BTreeSet<ServiceId>,
    pub(super) plugins: BTreeSet<PluginId>,
}

impl Work<'_> {
    /// Takes over secrets that change; returns who refers to them, before the change.
    pub(super) fn compile_secrets(&mut self, staged: &Staged) -> Concerned {
        let mut by_id = Vec::new();
        let mut by_name: BTreeMap<SecretKey, Option<Arc<SecretEntry>>> = BTreeMap::new();
        for (&id, secret) in &staged.secrets {
            let before = self.base.secret(id);
            let key_before = before.and_then(|before| key_of(before));
            let entry = match secret
                .as_ref()
                .map(|secret| self.check_account(ObjectId::Secret(id), secret.account))
            {
                Some(Err(problem)) => {
                    self.refuse(problem);
                    continue;
                }
                _ => secret.clone().map(|secret| {
                    Arc::new(SecretEntry::new(secret, &*self.base.held, before.map(|before| &**before)))
                }),
            };
            if let Some(key) = key_before {
                by_name.entry(key).or_default();
            }
            if let Some((entry, key)) = entry.as_ref().and_then(|entry| Some((entry, key_of(entry)?))) {
                by_name.insert(key, Some(Arc::clone(entry)));
            }
            by_id.push(Change { hash: self.base.hashes.uuid(id.uuid()), id, value: entry.map(SecretById) });
        }
        let mut concerned = Concerned::default();
        for key in by_name.keys() {
            if let Some(users) = self.base.users_of(key) {
                concerned.callers.extend(&users.callers);
                concerned.services.extend(&users.services);
                concerned.plugins.extend(&users.plugins);
            }
        }
        self.next.secrets = self.base.secrets.with(by_id);
        let names = by_name.into_iter().map(|(key, entry)| Change {
            hash: self.base.hashes.secret(key.0, key.1.as_str()),
            id: key,
            value: entry.map(SecretByName),
        });
        self.next.secret_names = self.base.secret_names.with(names.collect());
        concerned
    }

    /// Brings up to date who refers to which secret.
    pub(super) fn count_references(
        &mut self,
        callers: &[ChangedCaller],
        services: &[ServiceId],
        plugins: &[PluginId],
    ) {
        let mut users: BTreeMap<SecretKey, SecretUsers> = BTreeMap::new();
        for caller in callers {
            let Some(id) = caller.id() else { continue };
            let (before, after) =
                (keys_of_caller(caller.before.as_deref()), keys_of_caller(caller.after.as_deref()));
            self.base.count_moves(&mut users, &before, &after, id, |users| &mut users.callers);
        }
        for &id in services {
            let keys = |snapshot: &Snapshot| {
                snapshot.service(id).map(|service| keys_of_service(service)).unwrap_or_default()
            };
            let (before, after) = (keys(self.base), keys(&self.next));
            self.base.count_moves(&mut users, &before, &after, id, |users| &mut users.services);
        }
        for &id in plugins {
            let keys = |snapshot: &Snapshot| {
                snapshot.plugin(id).map(|plugin| keys_of_plugin(plugin)).unwrap_or_default()
            };
            let (before, after) = (keys(self.base), keys(&self.next));
            self.base.count_moves(&mut users, &before, &after, id, |users| &mut users.plugins);
        }
        let changes = users.into_iter().map(|(key, users)| Change {
            hash: self.base.hashes.secret(key.0, key.1.as_str()),
            id: key,
            value: users.is_any().then(|| Arc::new(users)),
        });
        self.next.secret_users = self.base.secret_users.with(changes.collect());
    }
}

impl Snapshot {
    pub(in crate::snapshot) fn users_of(&self, key: &SecretKey) -> Option<&Arc<SecretUsers>> {
        self.secret_users.get(self.hashes.secret(key.0, key.1.as_str())).find(|users| users.is(key))
    }

    /// Takes a user off the secrets that it no longer refers to, and counts it at those that it refers to newly.
    fn count_moves<I: Ord + Copy>(
        &self,
        users: &mut BTreeMap<SecretKey, SecretUsers>,
        before: &BTreeSet<SecretKey>,
        after: &BTreeSet<SecretKey>,
        id: I,
        set: impl Fn(&mut SecretUsers) -> &mut BTreeSet<I>,
    ) {
        for key in before.difference(after) {
            set(self.users_among(users, key)).remove(&id);
        }
        for key in after.difference(before) {
            set(self.users_among(users, key)).insert(id);
        }
    }

    fn users_among<'u>(
        &self,
        users: &'u mut BTreeMap<SecretKey, SecretUsers>,
        key: &SecretKey,
    ) -> &'u mut SecretUsers {
        users.entry(key.clone()).or_insert_with(|| match self.users_of(key) {
            Some(known) => SecretUsers::clone(known),
            None => SecretUsers {
                key: key.clone(),
                callers: BTreeSet::new(),
                services: BTreeSet::new(),
                plugins: BTreeSet::new(),
            },
        })
    }
}

fn key_of(entry: &SecretEntry) -> Option<SecretKey> {
    Some((entry.account(), entry.secret.spec.name.as_str().parse().ok()?))
}

fn keys_of_caller(caller: Option<&CallerEntry>) -> BTreeSet<SecretKey> {
    let credentials =
        caller.into_iter().flat_map(|caller| caller.credentials().iter().map(|one| (caller.account, one)));
    let referred =
        credentials.filter_map(|(account, credential)| Some((account, credential.referred.as_ref()?)));
    let texts =
        referred.filter_map(|(account, referred)| Some((account, referred.source.proof.reference()?)));
    texts
        .flat_map(|(account, text)| text.refs().into_iter().map(move |name| (account, name.clone())))
        .collect()
}

fn keys_of_service(service: &Service) -> BTreeSet<SecretKey> {
    let Some(ServiceAuth::Header { value: Some(text), .. }) = &service.spec.service_auth else {
        return BTreeSet::new();
    };
    text.refs().into_iter().map(|name| (service.account, name.clone())).collect()
}

fn keys_of_plugin(entry: &PluginEntry) -> BTreeSet<SecretKey> {
    let (account, settings) = (entry.plugin.account, &entry.plugin.settings);
    let texts = settings.config.secrets(&settings.kind);
    let names = texts.iter().flat_map(|(_, text)| text.refs());
    names.map(|name| (account, name.clone())).collect()
}

impl SecretUsers {
    fn is_any(&self) -> bool {
        !(self.callers.is_empty() && self.services.is_empty() && self.plugins.is_empty())
    }
}
