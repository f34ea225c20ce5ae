//! Planning secrets, and the references to them.

use std::collections::BTreeSet;

use keyward_model::{
    AccountId, EndpointSpec, Located, Name, Noun, Place, Plaintext, PreviousValue, Secret, SecretId,
    SecretName, SecretSource, SecretSpec, SecretText, ServiceAuth, Timestamp,
};
use keyward_store::{Record, RecordId, Sealing};

use super::words::touched;
use super::{Outcome, Planner, within};
use crate::ErrorKind;

/// Longest name or path of where a value is held, in bytes.
const HELD_MAX: usize = 1_024;

impl Planner<'_> {
    pub(super) fn secret(&mut self, entry: &Located<SecretSpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        let key = format!("{}/{}", spec.account, spec.name);
        if !self.first_of_its_name(Noun::Secret, key, place) {
            return;
        }
        let Some(account) = self.account_named(&spec.account, place, "account") else { return };
        if let Err(error) = spec.name.as_str().parse::<SecretName>() {
            self.invalid("secret_name_malformed", within(place, "name"), error.to_string());
            return;
        }
        let key = (account, spec.name.clone());
        let named = self.existing.secrets.find(&key).copied();
        let found = match self.context.target {
            Some(RecordId::Secret(target)) => Some(target),
            _ => named,
        };
        let before = found.and_then(|id| self.existing.secrets.get(&id)).cloned();
        if !self.stays(Noun::Secret, before.as_ref().map(|before| before.account), account, place) {
            return;
        }
        if before.as_ref().is_some_and(|before| before.spec.name != spec.name) {
            let text = "a secret keeps its name, because references stand by it: make another one";
            self.invalid("secret_renamed", within(place, "name"), text);
            return;
        }
        let taken = named.is_some() && (named != found || self.context.must_create);
        if taken && !self.check_name(Noun::Secret, &spec.name, taken, place) {
            return;
        }
        let Some(id) = found.or_else(|| self.uuid().map(SecretId::from_uuid)) else { return };
        let Some(after) = self.secret_after(spec, before.as_ref(), (id, account), place) else { return };
        let differs = before.as_ref() != Some(&after);
        if differs {
            self.put(
                Record::Secret(Box::new(after.clone())),
                before.clone().map(|b| Record::Secret(Box::new(b))),
            );
            self.existing.secrets.insert(key, id, after, None);
        }
        let record = RecordId::Secret(id);
        let report = touched(Noun::Secret, Some(&spec.account), &spec.name, record);
        self.settle(record, place, report, Outcome::of(before.is_none(), differs));
    }

    /// The secret as it is to be, with its values; `None` is a problem.
    fn secret_after(
        &mut self,
        spec: &SecretSpec,
        before: Option<&Secret>,
        (id, account): (SecretId, AccountId),
        place: &Place,
    ) -> Option<Secret> {
        let now = self.context.now;
        if let Some(until) = spec.valid_until.filter(|&until| until <= now) {
            let text = format!("this secret ended on {until}, so it proves nothing");
            self.warn(Noun::Secret, "already_ended", within(place, "valid_until"), text);
        }
        let stored = before.and_then(|before| before.spec.source.value());
        let source = match &spec.source {
            SecretSource::Held(held) => {
                let text = held.to_string();
                if text.len() > HELD_MAX || text.chars().any(char::is_control) {
                    let text = format!("has at most {HELD_MAX} bytes, and no control characters");
                    self.invalid("held_malformed", within(place, "from"), text);
                    return None;
                }
                if before.is_none_or(|before| before.spec.source != spec.source)
                    && let Err(text) = self.context.actor.may_hold()
                {
                    self.problem(ErrorKind::Forbidden, "secret_from", within(place, "from"), text);
                    return None;
                }
                spec.source.clone()
            }
            SecretSource::Stored(given) => {
                let value = match (given, stored) {
                    (Some(given), _) => given.clone(),
                    (None, Some(stored)) => stored.clone(),
                    (None, None) => {
                        let drawn = self.minter.secret_value();
                        self.drawn(drawn)?
                    }
                };
                SecretSource::Stored(Some(value))
            }
        };
        let is_new = before.is_none_or(|before| before.spec.source != source);
        let (version, rotated) = match before {
            None => (1, now),
            Some(before) if is_new => (before.version.saturating_add(1), now),
            Some(before) => (before.version, before.rotated),
        };
        let previous = self.previous_value(spec, before, is_new, version, place)?;
        let spec = SecretSpec { source, previous, ..spec.clone() };
        Some(Secret { id, account, spec, version, rotated })
    }

    /// What came before, as it is to be kept: as described; else as stored, unless another value takes the place of the current one.
    #[expect(clippy::option_option, reason = "no value before is not the same as one that is wrong")]
    fn previous_value(
        &mut self,
        spec: &SecretSpec,
        before: Option<&Secret>,
        is_new: bool,
        version: u64,
        place: &Place,
    ) -> Option<Option<PreviousValue>> {
        let stored = before.and_then(|before| before.spec.previous.clone());
        let Some(wanted) = &spec.previous else { return Some(stored.filter(|_| !is_new)) };
        if matches!(spec.source, SecretSource::Held(_)) {
            let text = "what is held elsewhere keeps its own history: leave `previous` out";
            self.invalid("previous_of_held", within(place, "previous"), text);
            return None;
        }
        let current = before.and_then(|before| Some((before.version, before.spec.source.value()?.clone())));
        let known: Option<(u64, Plaintext)> = match (&wanted.value, is_new) {
            // A number that is given says which of the values it is; in a file there is none.
            (Some(given), _) if wanted.version > 0 => Some((wanted.version, given.clone())),
            (Some(given), _) => {
                let same = |(version, value): &(u64, Plaintext)| (value == given).then_some(*version);
                let kept = stored.as_ref().and_then(|kept| Some((kept.version, kept.value.clone()?)));
                let version_of = kept
                    .as_ref()
                    .and_then(same)
                    .or_else(|| current.as_ref().filter(|_| is_new).and_then(same));
                Some((version_of.unwrap_or(version.saturating_sub(1)), given.clone()))
            }
            (None, true) => current,
            (None, false) => stored.and_then(|stored| Some((stored.version, stored.value?))),
        };
        let Some((version, value)) = known else {
            let text = "there is no value before this one to keep: give it";
            self.invalid("secret_missing", within(place, "previous.value"), text);
            return None;
        };
        Some(Some(PreviousValue { version, value: Some(value), until: wanted.until }))
    }

    /// May this text stand here: is there every secret that it refers to, and may whoever asks use it? Of those that are
    /// referred to here already (`known`) that is not asked again.
    pub(super) fn check_references(
        &mut self,
        account: AccountId,
        text: &SecretText,
        known: &BTreeSet<&SecretName>,
        place: &Place,
    ) -> Option<()> {
        let mut sound = Some(());
        for name in text.refs() {
            let Some(secret) = self.secret_of(account, name) else {
                if !self.is_secret_described_wrongly(account, name) {
                    let text = format!("there is no secret `{name}` in this account: make it first");
                    self.invalid("secret_unknown", place.clone(), text);
                }
                sound = None;
                continue;
            };
            if !known.contains(name) && !self.may_use(&secret, place) {
                sound = None;
            }
        }
        sound
    }

    /// May whoever asks use these secrets at addresses that change, and may these be sent there?
    pub(super) fn check_destinations(
        &mut self,
        account: AccountId,
        text: &SecretText,
        endpoints: (&[EndpointSpec], Option<&[EndpointSpec]>),
        place: &Place,
    ) {
        let (after, before) = endpoints;
        let moved = |endpoint: &&EndpointSpec| {
            before.is_some_and(|before| !before.iter().any(|other| other.url == endpoint.url))
        };
        let elsewhere = after.iter().any(|endpoint| moved(&endpoint));
        for name in text.refs() {
            let Some(secret) = self.secret_of(account, name) else { continue };
            if elsewhere && !self.may_use(&secret, &within(place, "endpoints")) {
                continue;
            }
            let Some(destinations) = &secret.spec.destinations else { continue };
            for (at, endpoint) in after.iter().enumerate() {
                if !destinations.iter().any(|one| one.allows(&endpoint.url)) {
                    let text = format!(
                        "secret `{name}` may not be sent to `{}`: its destinations do not name it",
                        endpoint.url.as_str()
                    );
                    self.invalid("secret_destination", within(place, &format!("endpoints[{at}]")), text);
                }
            }
        }
    }

    /// What the text comes to now; `None` where a secret is held elsewhere, so that only its nodes know.
    pub(super) fn value_of(&self, account: AccountId, text: &SecretText) -> Option<Plaintext> {
        let secrets: Vec<(SecretName, Secret)> = text
            .refs()
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.secret_of(account, name)?)))
            .collect();
        let value = |name: &SecretName| {
            let (_, secret) = secrets.iter().find(|(other, _)| other == name)?;
            secret.spec.source.value()
        };
        text.resolve(value).ok()
    }

    pub(super) fn secret_of(&self, account: AccountId, name: &SecretName) -> Option<Secret> {
        let id = self.existing.secrets.find(&(account, Name::from(name)))?;
        self.existing.secrets.get(id).cloned()
    }

    pub(super) fn may_use(&mut self, secret: &Secret, place: &Place) -> bool {
        match self.context.actor.may_use(secret) {
            Ok(()) => true,
            Err(text) => {
                self.problem(ErrorKind::Forbidden, "secret_use", place.clone(), text);
                false
            }
        }
    }

    fn is_secret_described_wrongly(&self, account: AccountId, name: &SecretName) -> bool {
        let Some(account) = self.existing.account_name(account) else { return false };
        self.is_described_wrongly(Noun::Secret, account, &Name::from(name))
    }
}

/// The texts with references that a record is written with; `None`: they stay as they are stored.
pub(super) fn texts_written(record: &Record) -> Option<Vec<SecretText>> {
    match record {
        Record::Service(service) => match &service.spec.service_auth {
            None => Some(Vec::new()),
            Some(ServiceAuth::Header { value, .. }) => value.clone().map(|text| vec![text]),
        },
        Record::Credential(record) => match &record.sealing {
            Sealing::Keep => None,
            Sealing::Set(text) => Some(vec![text.clone()]),
            Sealing::DigestOnly => Some(Vec::new()),
        },
        Record::Plugin(plugin) => {
            let texts = plugin.settings.config.secrets(&plugin.settings.kind);
            Some(texts.into_iter().map(|(_, text)| text).collect())
        }
        _ => None,
    }
}

/// First moment in which what a rotation leaves behind no longer holds.
pub(crate) fn overlap_end(now: Timestamp, overlap_s: u64) -> Timestamp {
    now.plus_millis(i64::try_from(overlap_s).unwrap_or(i64::MAX).saturating_mul(1_000))
}
