//! Secrets: what they hold now, who refers to them, and what a text with references comes to.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use keyward_model::{
    AccountId, CallerId, HeldBy, Plaintext, PluginId, Secret, SecretId, SecretName, SecretSource, SecretText,
    Service, ServiceAuth, ServiceId, Timestamp, is_header_value,
};

use super::entry::END_OF_TIME;
use super::shards::Keyed;
use super::{ObjectId, Snapshot};

/// Secrets whose values are held elsewhere: no part of the configuration, but what all Snapshots of a node look at when
/// they are compiled. Must not block.
pub trait HeldValues: fmt::Debug + Send + Sync + 'static {
    /// What there is to be found there, as far as this node knows. By the place, not by the secret: one that is described anew
    /// never has the value of where it was before.
    fn get(&self, held: &HeldBy) -> HeldValue;
}

/// What a secret that is held elsewhere holds.
#[derive(Clone, Debug, Default)]
pub struct HeldValue {
    /// The value, or why there is none: lower case, no full stop, without the value.
    pub current: Option<Plaintext>,
    /// The value before, and until when it proves who calls.
    pub previous: Option<(Plaintext, Timestamp)>,
    /// Why there is no current value.
    pub trouble: Option<String>,
}

/// Where nothing is held elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingHeld;

impl HeldValues for NothingHeld {
    fn get(&self, _: &HeldBy) -> HeldValue {
        HeldValue {
            trouble: Some("this node does not fetch values from elsewhere".to_owned()),
            ..HeldValue::default()
        }
    }
}

/// A secret, with what it holds now.
#[derive(Debug)]
pub struct SecretEntry {
    pub(crate) secret: Secret,
    current: Result<Plaintext, String>,
    previous: Option<(Plaintext, Timestamp)>,
    uses: [Arc<ValueUse>; 2],
}

/// When a value of a secret was last used. Shared by the Snapshots that have this value; no decision looks at it.
#[derive(Debug)]
pub(crate) struct ValueUse {
    version: u64,
    /// Milliseconds, as far as they were noted and as far as they were told; 0: never.
    last: AtomicI64,
    told: AtomicI64,
}

/// Uses within so many milliseconds are one.
const USE_GRAIN_MS: i64 = 1_000;

impl ValueUse {
    fn new(version: u64) -> Arc<Self> {
        Arc::new(Self { version, last: AtomicI64::new(0), told: AtomicI64::new(0) })
    }

    pub(crate) fn note(&self, now: Timestamp) {
        let now = now.as_millis();
        if now.saturating_sub(self.last.load(Ordering::Relaxed)) >= USE_GRAIN_MS {
            self.last.store(now, Ordering::Relaxed);
        }
    }

    /// When it was last used, if that was not told yet.
    fn take(&self) -> Option<Timestamp> {
        let last = self.last.load(Ordering::Relaxed);
        (self.told.swap(last, Ordering::Relaxed) != last).then(|| Timestamp::from_millis(last))
    }
}

impl SecretEntry {
    pub(crate) fn new(mut secret: Secret, held: &dyn HeldValues, before: Option<&Self>) -> Self {
        let known = |version: u64| {
            let uses = before.into_iter().flat_map(|before| &before.uses);
            uses.into_iter()
                .find(|one| one.version == version)
                .map_or_else(|| ValueUse::new(version), Arc::clone)
        };
        let earlier = secret.spec.previous.as_ref().map_or(0, |previous| previous.version);
        let uses = [known(secret.version), known(earlier)];
        let (current, previous) = match &mut secret.spec.source {
            SecretSource::Stored(value) => {
                let current = value.take().ok_or_else(|| "its value cannot be read".to_owned());
                let previous = secret.spec.previous.as_mut();
                (current, previous.and_then(|previous| Some((previous.value.take()?, previous.until))))
            }
            SecretSource::Held(by) => {
                let HeldValue { current, previous, trouble } = held.get(by);
                let why = || trouble.unwrap_or_else(|| "it was not fetched yet".to_owned());
                (current.ok_or_else(why), previous)
            }
        };
        Self { secret, current, previous, uses }
    }

    /// Its id.
    pub fn id(&self) -> SecretId {
        self.secret.id
    }

    /// Whose it is.
    pub fn account(&self) -> AccountId {
        self.secret.account
    }

    /// Which of its values is the current one.
    pub fn version(&self) -> u64 {
        self.secret.version
    }

    /// Who holds its value, if it is not in the store.
    pub fn held_by(&self) -> Option<&HeldBy> {
        match &self.secret.spec.source {
            SecretSource::Held(by) => Some(by),
            SecretSource::Stored(_) => None,
        }
    }

    /// Why nothing can be resolved by it; absent: it can.
    pub fn trouble(&self) -> Option<&str> {
        match &self.current {
            Ok(_) if !self.secret.spec.enabled => Some("it is disabled"),
            Ok(_) => None,
            Err(why) => Some(why),
        }
    }

    fn until(&self) -> Timestamp {
        self.secret.spec.valid_until.unwrap_or(END_OF_TIME)
    }
}

macro_rules! keyed_secrets {
    ($($wrapper:ident, $id:ty, |$entry:ident, $other:ident| $is:expr;)*) => {
        $(
            #[derive(Clone)]
            pub(super) struct $wrapper(pub(super) Arc<SecretEntry>);

            impl Keyed for $wrapper {
                type Id = $id;

                fn is(&self, $other: &$id) -> bool {
                    let $entry = &self.0.secret;
                    $is
                }
            }
        )*
    };
}

keyed_secrets! {
    SecretById, SecretId, |entry, id| entry.id == *id;
    SecretByName, (AccountId, SecretName), |entry, key| entry.account == key.0 && entry.spec.name.as_str() == key.1.as_str();
}

/// Who refers to a secret of this name, whether or not there is one.
#[derive(Clone, Debug)]
pub(crate) struct SecretUsers {
    pub(super) key: (AccountId, SecretName),
    pub(super) callers: BTreeSet<CallerId>,
    pub(super) services: BTreeSet<ServiceId>,
    pub(super) plugins: BTreeSet<PluginId>,
}

impl Keyed for Arc<SecretUsers> {
    type Id = (AccountId, SecretName);

    fn is(&self, id: &Self::Id) -> bool {
        self.key == *id
    }
}

/// One value that a text with references may have.
#[derive(Debug)]
pub(crate) struct Alternative {
    pub(crate) value: Plaintext,
    /// Of which values it is made.
    pub(crate) uses: Box<[Arc<ValueUse>]>,
    /// First moment in which it no longer holds.
    pub(crate) until: Timestamp,
}

/// Why a reference is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Lower case, no full stop, never with a value.
    pub(crate) text: String,
    /// Is there a value, of a form that cannot be used?
    pub(crate) unfit: bool,
}

impl Trouble {
    pub(crate) fn away(text: impl Into<String>) -> Self {
        Self { text: text.into(), unfit: false }
    }

    pub(crate) fn unfit(why: impl std::fmt::Display) -> Self {
        Self { text: format!("its value cannot be used: {why}"), unfit: true }
    }
}

/// What a text with references comes to.
pub(crate) struct Resolved {
    /// The current one first; empty where there is none. At most two for each secret that is referred to.
    pub(crate) values: Vec<Alternative>,
    /// Why none of them holds.
    pub(crate) trouble: Option<Trouble>,
}

impl Snapshot {
    /// A secret by its id.
    pub fn secret(&self, id: SecretId) -> Option<&Arc<SecretEntry>> {
        let hash = self.hashes.uuid(id.uuid());
        self.secrets.get(hash).find(|secret| secret.is(&id)).map(|secret| &secret.0)
    }

    /// Every secret, in no order.
    pub fn secrets(&self) -> impl Iterator<Item = &Arc<SecretEntry>> {
        self.secrets.iter().map(|secret| &secret.0)
    }

    pub(super) fn secret_named(&self, account: AccountId, name: &SecretName) -> Option<&Arc<SecretEntry>> {
        let hash = self.hashes.secret(account, name.as_str());
        let key = (account, name.clone());
        self.secret_names.get(hash).find(|secret| secret.is(&key)).map(|secret| &secret.0)
    }

    /// What refers to this secret and cannot use the value that it has, each with its reason.
    pub fn unfit_for(&self, id: SecretId) -> Vec<(ObjectId, &str)> {
        let name = |secret: &Arc<SecretEntry>| secret.secret.spec.name.as_str().parse().ok();
        let key = self.secret(id).and_then(|secret| Some((secret.account(), name(secret)?)));
        let Some(users) = key.and_then(|key| self.users_of(&key)) else { return Vec::new() };
        let mut unfit = Vec::new();
        for caller in users.callers.iter().filter_map(|id| self.caller(*id)) {
            let troubles = caller.credentials().iter().filter_map(|credential| {
                let why = credential.referred.as_ref()?.trouble.as_ref().filter(|trouble| trouble.unfit)?;
                Some((ObjectId::Credential(caller.id(), credential.id()), &*why.text))
            });
            unfit.extend(troubles);
        }
        for service in users.services.iter().filter_map(|id| self.service(*id)) {
            if let Some(Err(why)) = &service.own
                && why.unfit
            {
                unfit.push((ObjectId::Service(service.id), &*why.text));
            }
        }
        for plugin in users.plugins.iter().filter_map(|id| self.plugin(*id)) {
            unfit.extend(plugin.unfit().map(|why| (ObjectId::Plugin(plugin.plugin().id), why)));
        }
        unfit
    }

    /// When values of secrets were last used, as far as that was not taken before.
    pub fn take_secret_uses(&self) -> Vec<(SecretId, u64, Timestamp)> {
        let uses = self.secrets().flat_map(|secret| secret.uses.iter().map(|one| (secret.id(), one)));
        uses.filter_map(|(id, one)| Some((id, one.version, one.take()?))).collect()
    }

    /// Those that were taken could not be written down: they are taken again.
    pub fn give_back_secret_uses(&self, uses: &[(SecretId, u64, Timestamp)]) {
        for (id, version, _) in uses {
            let uses = self.secret(*id).into_iter().flat_map(|secret| &secret.uses);
            uses.filter(|one| one.version == *version).for_each(|one| one.told.store(0, Ordering::Relaxed));
        }
    }

    /// Every value that this text of this account may have. Secrets stand for themselves: what they hold is not read again.
    pub(crate) fn resolve_secrets(&self, account: AccountId, text: &SecretText) -> Resolved {
        let mut trouble = None;
        let mut entries = Vec::new();
        for name in text.refs() {
            match self.secret_named(account, name) {
                Some(entry) => {
                    let of = |why| Trouble::away(format!("secret `{name}`: {why}"));
                    trouble = trouble.or_else(|| entry.trouble().map(of));
                    entries.push((name, entry));
                }
                None => {
                    trouble = trouble.or_else(|| Some(Trouble::away(format!("there is no secret `{name}`"))))
                }
            }
        }
        let mut values = Vec::new();
        for choice in 0..(1_usize << entries.len().min(SecretText::REFS_MAX)) {
            let mut until = END_OF_TIME;
            let chosen = |name: &SecretName| {
                let at = entries.iter().position(|(other, _)| *other == name)?;
                let (_, entry) = entries.get(at)?;
                match choice >> at & 1 {
                    0 => entry.current.as_ref().ok(),
                    _ => entry.previous.as_ref().map(|(value, _)| value),
                }
            };
            let Ok(value) = text.resolve(chosen) else { continue };
            let mut uses = Vec::with_capacity(entries.len());
            for (at, (_, entry)) in entries.iter().enumerate() {
                let [current, earlier] = &entry.uses;
                uses.push(Arc::clone(if choice >> at & 1 == 0 { current } else { earlier }));
                until = until.min(entry.until());
                if let (1, Some((_, end))) = (choice >> at & 1, &entry.previous) {
                    until = until.min(*end);
                }
            }
            values.push(Alternative { value, uses: uses.into(), until });
        }
        Resolved { values, trouble }
    }
}

/// A service, with the credential of ours that it is called with.
#[derive(Debug)]
pub struct ServiceEntry {
    service: Service,
    own: Option<Result<Alternative, Trouble>>,
}

impl std::ops::Deref for ServiceEntry {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl ServiceEntry {
    pub(crate) fn new(service: Service, secrets: &Snapshot) -> Self {
        let own = service.spec.service_auth.as_ref().map(|ServiceAuth::Header { value, .. }| match value {
            Some(text) => own_value(&service, text, secrets),
            None => Err(Trouble::away("the value of its authentication cannot be read")),
        });
        Self { service, own }
    }

    /// The value of our credential and the first moment in which it no longer holds; `None` where the service wants none.
    ///
    /// # Errors
    /// Why it cannot be resolved.
    pub fn own_credential(&self) -> Option<Result<(&Plaintext, Timestamp), &str>> {
        self.own.as_ref().map(|own| match own {
            Ok(own) => Ok((&own.value, own.until)),
            Err(why) => Err(&*why.text),
        })
    }

    /// Its credential is sent now.
    pub fn note_use(&self, now: Timestamp) {
        if let Some(Ok(own)) = &self.own {
            own.uses.iter().for_each(|one| one.note(now));
        }
    }

    /// Why it cannot be called; absent: it can, as far as our credential goes.
    pub fn trouble(&self) -> Option<&str> {
        self.own.as_ref().and_then(|own| own.as_ref().err()).map(|trouble| &*trouble.text)
    }

    /// Can we prove ourselves to it now?
    pub(crate) fn can_be_called(&self, now: Timestamp) -> bool {
        match &self.own {
            None => true,
            Some(Ok(own)) => now < own.until,
            Some(Err(_)) => false,
        }
    }
}

/// The current value of every secret in it, if they may be sent to where the service is.
fn own_value(service: &Service, text: &SecretText, secrets: &Snapshot) -> Result<Alternative, Trouble> {
    for entry in text.refs().into_iter().filter_map(|name| secrets.secret_named(service.account, name)) {
        let Some(destinations) = &entry.secret.spec.destinations else { continue };
        let endpoints = &service.spec.endpoints;
        if let Some(elsewhere) =
            endpoints.iter().find(|to| !destinations.iter().any(|one| one.allows(&to.url)))
        {
            let (name, url) = (&entry.secret.spec.name, elsewhere.url.as_str());
            return Err(Trouble::away(format!("secret `{name}` may not be sent to `{url}`")));
        }
    }
    let Resolved { mut values, trouble } = secrets.resolve_secrets(service.account, text);
    match trouble {
        Some(why) => Err(why),
        None if values.is_empty() => Err(Trouble::away("its value cannot be resolved")),
        None => {
            let current = values.swap_remove(0);
            // What a file or a vault holds often ends in a line break, which is not sent.
            let sent = Plaintext::new(current.value.expose_secret().trim());
            match is_header_value(&sent) {
                true => Ok(current),
                false => Err(Trouble::unfit("a header takes visible ASCII, without blanks at its ends")),
            }
        }
    }
}
