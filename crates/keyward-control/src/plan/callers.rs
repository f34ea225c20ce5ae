//! Planning callers in two halves: first for all of them what stays and what goes, then what is new or changed. So a value may
//! move from one caller to another within one world, in whatever order the two stand.

use keyward_model::{
    AccountId, Caller, CallerId, CallerKind, CredentialDigest, JwtKeySource, JwtSpec, KeyPairSpec, Name,
    Noun, OpaqueSpec, Place, SecretText, SignatureScheme, World,
};
use keyward_store::{CredentialRow, Record, RecordId};

use super::words::touched;
use super::{Known, Outcome, Planner, Step};
use crate::ErrorKind;

/// A caller in the making.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) noun: Noun,
    pub(super) account_name: Name,
    pub(super) place: Place,
    pub(super) before: Option<Caller>,
    pub(super) after: Caller,
    /// Stored credentials about which nothing is said.
    pub(super) untouched: Vec<Known>,
    /// Stored credentials, with what is wanted of them.
    pub(super) kept: Vec<(Want, Known)>,
    /// Credentials to be made.
    pub(super) fresh: Vec<Want>,
    /// Stored credentials to be deleted.
    pub(super) dropped: Vec<Known>,
}

impl Draft {
    pub(super) fn new(
        noun: Noun,
        account_name: Name,
        place: &Place,
        before: Option<Caller>,
        after: Caller,
    ) -> Self {
        Self {
            noun,
            account_name,
            place: place.clone(),
            before,
            after,
            untouched: Vec::new(),
            kept: Vec::new(),
            fresh: Vec::new(),
            dropped: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, want: Want, known: Option<Known>) {
        match known {
            Some(known) => self.kept.push((want, known)),
            None => self.fresh.push(want),
        }
    }
}

/// What is wanted of a credential, and where that stands.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) place: Place,
    pub(crate) what: What,
}

/// What is wanted of a credential.
#[derive(Clone, Debug)]
pub(crate) enum What {
    KeyPair { spec: KeyPairSpec, is_default: bool },
    AppCode(OpaqueSpec),
    ApiKey(OpaqueSpec),
    Jwt(Box<JwtSpec>),
}

impl Want {
    pub(crate) fn key_pair(spec: &KeyPairSpec, is_default: bool, place: Place) -> Self {
        Self { place, what: What::KeyPair { spec: spec.clone(), is_default } }
    }

    pub(crate) fn app_code(spec: &OpaqueSpec, place: Place) -> Self {
        Self { place, what: What::AppCode(spec.clone()) }
    }

    pub(crate) fn api_key(spec: &OpaqueSpec, place: Place) -> Self {
        Self { place, what: What::ApiKey(spec.clone()) }
    }

    pub(crate) fn jwt(spec: &JwtSpec, place: Place) -> Self {
        Self { place, what: What::Jwt(Box::new(spec.clone())) }
    }

    /// What an application without a word about key pairs gets.
    pub(super) fn generated_key_pair(place: Place) -> Self {
        let spec = KeyPairSpec {
            app_key: None,
            app_secret: None,
            scheme: SignatureScheme::Alibaba,
            enabled: true,
            valid_until: None,
        };
        Self::key_pair(&spec, true, place)
    }

    /// What a consumer with places for keys, but without a word about keys, gets.
    pub(super) fn generated_api_key(place: Place) -> Self {
        Self::api_key(&OpaqueSpec { value: None, enabled: true, valid_until: None }, place)
    }

    /// Does the stored identity claim go, because another one is given?
    fn replaces_claim_of(&self, known: &Known) -> bool {
        let What::Jwt(spec) = &self.what else { return false };
        let given = spec.identity_claim.as_ref();
        given.zip(known.row.identity_claim.as_ref()).is_some_and(|(given, stored)| {
            given.name != stored.name || given.value.as_ref().is_some_and(|value| *value != stored.value)
        })
    }

    /// Is this stored credential already as wanted, as far as its row tells, and no new value given?
    pub(super) fn leaves(&self, row: &CredentialRow) -> bool {
        let state = |enabled, valid_until| row.enabled == enabled && row.valid_until == valid_until;
        match &self.what {
            What::KeyPair { spec, is_default } => {
                spec.app_secret.is_none()
                    && row.scheme == Some(spec.scheme)
                    && row.is_default == *is_default
                    && state(spec.enabled, spec.valid_until)
            }
            What::AppCode(spec) | What::ApiKey(spec) => state(spec.enabled, spec.valid_until),
            What::Jwt(spec) => {
                !matches!(spec.keys, JwtKeySource::Given(..) | JwtKeySource::Reference(..))
                    && row.jwt.as_ref() == Some(&spec.settings)
                    && state(spec.enabled, spec.valid_until)
            }
        }
    }

    /// The value of an AppCode or API key, where one is given.
    fn opaque_value(&self) -> Option<&SecretText> {
        match &self.what {
            What::AppCode(spec) | What::ApiKey(spec) => spec.value.as_ref(),
            What::KeyPair { .. } | What::Jwt(_) => None,
        }
    }
}

impl Planner<'_> {
    pub(super) fn callers(&mut self, world: &World) {
        let mut drafts = Vec::with_capacity(world.applications.len() + world.consumers.len());
        drafts.extend(world.applications.iter().filter_map(|entry| self.draft_application(entry)));
        drafts.extend(world.consumers.iter().filter_map(|entry| self.draft_consumer(entry)));
        for draft in &drafts {
            draft.dropped.iter().for_each(|known| self.existing.release(&known.row));
            let claims = draft.kept.iter().filter(|(want, known)| want.replaces_claim_of(known));
            claims.for_each(|(_, known)| self.existing.release(&known.row));
        }
        if self.context.prune {
            self.prune_callers(world);
        }
        drafts.into_iter().for_each(|draft| self.finish_caller(draft));
    }

    /// The id and the stored form of the caller that an entry is about; `None` is a problem.
    pub(super) fn caller_of(
        &mut self,
        kind: CallerKind,
        account: &Name,
        name: &Name,
        place: &Place,
    ) -> Option<(CallerId, Option<Caller>)> {
        let noun = noun_of(kind);
        if !self.first_of_its_name(noun, format!("{account}/{name}"), place) {
            return None;
        }
        let account: AccountId = self.account_named(account, place, "account")?;
        let named = self.existing.callers.find(&(account, kind, name.clone())).copied();
        let found = match self.context.target {
            Some(RecordId::Caller(target)) => Some(target),
            _ => named,
        };
        let before = found.and_then(|id| self.existing.callers.get(&id)).cloned();
        if !self.stays(noun, before.as_ref().map(|before| before.account), account, place) {
            return None;
        }
        let taken = named.is_some() && (named != found || self.context.must_create);
        let renamed = before.as_ref().is_none_or(|before| before.name != *name);
        if (taken || renamed) && !self.check_name(noun, name, taken, place) {
            return None;
        }
        let id = found.or_else(|| self.uuid().map(|uuid| CallerId::from_uuid(kind, uuid)))?;
        Some((id, before))
    }

    /// Matches AppCodes or API keys: by value; those without one, in order, with what is left; the rest goes.
    pub(super) fn match_opaque(&mut self, wanted: Vec<Want>, mut stored: Vec<Known>, draft: &mut Draft) {
        let mut seen: Vec<(Option<CredentialDigest>, Option<SecretText>)> = Vec::with_capacity(wanted.len());
        let mut kept: Vec<Option<Known>> = Vec::with_capacity(wanted.len());
        for want in &wanted {
            let given = want.opaque_value();
            let digest = given.and_then(SecretText::plain).map(|value| self.digest(value));
            let reference = given.filter(|text| !text.is_plain()).cloned();
            let repeated =
                (digest.is_some() || reference.is_some()) && seen.contains(&(digest, reference.clone()));
            if repeated {
                let text = "this value stands here twice: leave one out";
                self.problem(ErrorKind::Invalid, "duplicate", want.place.clone(), text);
            }
            let same = |known: &Known| match &reference {
                Some(text) => known.row.reference.as_ref() == Some(text),
                None => digest.is_some() && known.row.digest == digest,
            };
            kept.push(stored.iter().position(same).map(|at| stored.remove(at)));
            seen.push((digest, reference));
        }
        for (want, slot) in wanted.iter().zip(&mut kept) {
            if want.opaque_value().is_none() && !stored.is_empty() {
                *slot = Some(stored.remove(0));
            }
        }
        for (want, known) in wanted.into_iter().zip(kept) {
            draft.add(want, known);
        }
        draft.dropped.extend(stored);
    }

    /// Second half: everything that is to be written.
    fn finish_caller(&mut self, draft: Draft) {
        let Draft { noun, account_name, place, before, after, kept, fresh, dropped, .. } = draft;
        let id = after.id;
        let steps_before = self.plan.steps.len();
        if before.as_ref() != Some(&after) {
            self.put(Record::Caller(after.clone()), before.clone().map(Record::Caller));
            let key = (after.account, id.kind(), after.name.clone());
            let before_key = before.as_ref().map(|before| (before.account, id.kind(), before.name.clone()));
            self.existing.callers.insert(key, id, after.clone(), before_key.as_ref());
        }
        for known in &dropped {
            self.plan.steps.push(Step::delete_credential(&known.row));
        }
        for (want, known) in kept {
            self.change_credential(&want, &known, &after, &account_name, noun);
        }
        for want in fresh {
            self.make_credential(&want, &after, &account_name, noun);
        }
        let differs = self.plan.steps.len() > steps_before;
        let record = RecordId::Caller(id);
        let report = touched(noun, Some(&account_name), &after.name, record);
        self.settle(record, &place, report, Outcome::of(before.is_none(), differs));
    }
}

/// The noun of this kind of caller.
pub(super) fn noun_of(kind: CallerKind) -> Noun {
    match kind {
        CallerKind::Application => Noun::Application,
        CallerKind::Consumer => Noun::Consumer,
    }
}
