//! Planning credentials: what is new, what changes, and that nothing belongs to two.

use keyward_model::owned;
use keyward_model::{
    AccountId, AppKey, Caller, Credential, CredentialDigest, CredentialId, HeaderName, IdentityClaim,
    IdentityClaimSpec, JwkSet, JwtBinding, JwtKeySource, JwtKeys, JwtSettings, JwtSpec, KeyPairSpec, Name,
    Noun, OpaqueProof, OpaqueSpec, Origin, Place, Plaintext, Proof, SecretText, Timestamp, TokenPlace,
    check_app_secret, check_opaque,
};
use keyward_store::{CredentialRecord, CredentialRow, Record, RecordId, Sealing};

use super::describe::describe_credential;
use super::{Known, Owner, Planner, Step, Want, What, within};
use crate::minter::hint;
use crate::{ErrorKind, Minted};

/// Largest tolerance on the times of a token: a day.
const CLOCK_SKEW_MAX_S: u32 = 86_400;
/// Longest name or value of an identity claim, in bytes.
const CLAIM_MAX: usize = 256;

impl Step {
    pub(crate) fn delete_credential(row: &CredentialRow) -> Self {
        Self::Delete {
            id: RecordId::Credential(row.id),
            owner: Owner::Caller(row.caller),
            account: Some(row.account),
            before: describe_credential(row),
        }
    }
}

/// What came of a want: the proof, where it comes from, what is sealed, and what is shown once.
struct Made {
    proof: Proof,
    origin: Origin,
    sealing: Sealing,
    hint: Option<String>,
    /// Label and value of what was generated.
    minted: Option<(Option<String>, Option<Plaintext>)>,
}

impl Planner<'_> {
    pub(super) fn digest(&self, value: &Plaintext) -> CredentialDigest {
        keyward_access::digest_credential(self.context.digest_key, value.expose_secret().as_bytes())
    }

    /// A credential that is not there yet.
    pub(super) fn make_credential(&mut self, want: &Want, caller: &Caller, account: &Name, noun: Noun) {
        let Some(id) = self.uuid().map(CredentialId::from_uuid) else { return };
        let made = match &want.what {
            What::KeyPair { spec, is_default } => {
                let pair = Pair { spec, is_default: *is_default, known: None, account: caller.account };
                self.key_pair(&pair, id, want, noun)
            }
            What::AppCode(spec) => self.opaque(spec, false, caller, id, want, noun),
            What::ApiKey(spec) => self.opaque(spec, true, caller, id, want, noun),
            What::Jwt(spec) => self.jwt(spec, None, caller, id, want),
        };
        let Some(made) = made else { return };
        self.report_minted(&made, id, caller, account);
        let (enabled, valid_until) = self.state_of(want, noun);
        let credential = Credential {
            id,
            caller: caller.id,
            enabled,
            valid_until,
            origin: made.origin,
            created: self.context.now,
            proof: made.proof,
        };
        let record =
            CredentialRecord { account: caller.account, credential, hint: made.hint, sealing: made.sealing };
        self.put(Record::Credential(record), None);
    }

    /// A stored credential, of which something may change.
    pub(super) fn change_credential(
        &mut self,
        want: &Want,
        known: &Known,
        caller: &Caller,
        account: &Name,
        noun: Noun,
    ) {
        let id = known.row.id;
        if known.credential.is_none() && want.leaves(&known.row) {
            // It does not open, and stays shut; that must not keep its caller from being changed.
            return;
        }
        let made = match &want.what {
            What::KeyPair { spec, is_default } => {
                let pair =
                    Pair { spec, is_default: *is_default, known: Some(known), account: caller.account };
                self.key_pair(&pair, id, want, noun)
            }
            What::AppCode(spec) | What::ApiKey(spec) => self.kept_opaque(spec, known, caller),
            What::Jwt(spec) => self.jwt(spec, Some(known), caller, id, want),
        };
        let Some(made) = made else { return };
        self.report_minted(&made, id, caller, account);
        let (enabled, valid_until) = self.state_of(want, noun);
        let credential = Credential {
            id,
            caller: caller.id,
            enabled,
            valid_until,
            origin: made.origin,
            created: known.row.created,
            proof: made.proof,
        };
        if known.credential.as_ref() == Some(&credential) && made.sealing == Sealing::Keep {
            return;
        }
        let record = CredentialRecord {
            account: caller.account,
            credential,
            hint: made.hint.or_else(|| known.row.hint.clone()),
            sealing: made.sealing,
        };
        let before = Some(describe_credential(&known.row));
        self.plan.steps.push(Step::Put { record: Box::new(Record::Credential(record)), before });
    }

    fn report_minted(&mut self, made: &Made, id: CredentialId, caller: &Caller, account: &Name) {
        if let Some((label, value)) = &made.minted {
            self.plan.minted.push(Minted {
                caller: caller.id,
                account: account.clone(),
                caller_name: caller.name.clone(),
                credential: id,
                kind: made.proof.kind(),
                label: label.clone(),
                value: value.clone(),
            });
        }
    }

    /// Is it enabled, and until when?
    fn state_of(&mut self, want: &Want, noun: Noun) -> (bool, Option<Timestamp>) {
        let (enabled, valid_until) = match &want.what {
            What::KeyPair { spec, .. } => (spec.enabled, spec.valid_until),
            What::AppCode(spec) | What::ApiKey(spec) => (spec.enabled, spec.valid_until),
            What::Jwt(spec) => (spec.enabled, spec.valid_until),
        };
        if let Some(until) = valid_until.filter(|&until| until <= self.context.now) {
            let text = format!("this credential ended on {until}, so it proves nothing");
            self.warn(noun, "already_ended", within(&want.place, "valid_until"), text);
        }
        (enabled, valid_until)
    }

    fn key_pair(&mut self, pair: &Pair<'_>, id: CredentialId, want: &Want, noun: Noun) -> Option<Made> {
        let &Pair { spec, is_default, known, account } = pair;
        let app_key: AppKey = match (&spec.app_key, known.and_then(|known| known.row.app_key.clone())) {
            (Some(given), _) => given.clone(),
            (None, Some(stored)) => stored,
            (None, None) => {
                let drawn = self.minter.app_key();
                self.drawn(drawn)?.parse().ok()?
            }
        };
        if !self.claim_app_key(&app_key, id, &want.place) {
            return None;
        }
        let stored =
            known.and_then(|known| known.credential.as_ref()).and_then(|credential| {
                match &credential.proof {
                    Proof::KeyPair { app_secret, .. } => Some(app_secret),
                    _ => None,
                }
            });
        let pair = |app_secret: SecretText| Proof::KeyPair {
            app_key: app_key.clone(),
            app_secret,
            scheme: spec.scheme,
            is_default,
        };
        match (&spec.app_secret, stored, known) {
            (Some(given), Some(stored), Some(known)) if given == stored => {
                Some(kept(pair(stored.clone()), known))
            }
            (Some(given), ..) => {
                self.check_given_secret(given, stored, account, want, noun)?;
                let minted = spec.app_key.is_none() && known.is_none();
                Some(Made {
                    proof: pair(given.clone()),
                    origin: origin_of(given),
                    sealing: Sealing::Set(given.clone()),
                    hint: None,
                    minted: minted.then(|| (Some(app_key.to_string()), None)),
                })
            }
            (None, Some(stored), Some(known)) => Some(kept(pair(stored.clone()), known)),
            (None, None, Some(_)) => {
                self.unreadable(&want.place, "app_secret");
                None
            }
            (None, _, None) => {
                let drawn = self.minter.app_secret();
                let secret = self.drawn(drawn)?;
                let text = SecretText::from(secret.clone());
                Some(Made {
                    proof: pair(text.clone()),
                    origin: Origin::Generated,
                    hint: hint(&secret),
                    sealing: Sealing::Set(text),
                    minted: Some((Some(app_key.to_string()), Some(secret))),
                })
            }
        }
    }

    fn check_given_secret(
        &mut self,
        given: &SecretText,
        stored: Option<&SecretText>,
        account: AccountId,
        want: &Want,
        noun: Noun,
    ) -> Option<()> {
        let place = within(&want.place, "app_secret");
        let Some(secret) = given.plain() else {
            return self.check_reference(given, stored, account, &place, check_app_secret);
        };
        if let Err(text) = check_app_secret(secret) {
            self.invalid("secret_malformed", place, text);
            return None;
        }
        if secret.is_weak() {
            let text = "this AppSecret can be guessed: leave it out to have one generated";
            self.warn(noun, "weak_secret", place, text);
        }
        Some(())
    }

    /// A new API key or AppCode.
    fn opaque(
        &mut self,
        spec: &OpaqueSpec,
        is_api_key: bool,
        caller: &Caller,
        id: CredentialId,
        want: &Want,
        noun: Noun,
    ) -> Option<Made> {
        let given = match &spec.value {
            Some(text) if !text.is_plain() => return self.opaque_reference(text, is_api_key, caller, want),
            given => given.as_ref().and_then(SecretText::plain),
        };
        let (value, origin) = match given {
            Some(given) => {
                if let Err(text) = check_opaque(given) {
                    self.invalid("value_malformed", want.place.clone(), text);
                    return None;
                }
                if given.is_weak() {
                    let text = "this value can be guessed: leave it out to have one generated";
                    self.warn(noun, "weak_secret", want.place.clone(), text);
                }
                (given.clone(), Origin::Custom)
            }
            None => {
                let drawn = if is_api_key { self.minter.api_key() } else { self.minter.app_code() };
                (self.drawn(drawn)?, Origin::Generated)
            }
        };
        let digest = self.digest(&value);
        if !self.claim_digest(digest, id, &want.place) {
            return None;
        }
        let keeps_value = self.existing.accounts.get(&caller.account).is_some_and(|account| account.reveal);
        let generated = origin == Origin::Generated;
        Some(Made {
            proof: opaque_proof(is_api_key, OpaqueProof::Digest(digest)),
            origin,
            hint: if generated { hint(&value) } else { None },
            sealing: if keeps_value { Sealing::Set(value.clone().into()) } else { Sealing::DigestOnly },
            minted: generated.then(|| (None, Some(value))),
        })
    }

    /// A new API key or AppCode whose value is a secret's.
    fn opaque_reference(
        &mut self,
        text: &SecretText,
        is_api_key: bool,
        caller: &Caller,
        want: &Want,
    ) -> Option<Made> {
        self.check_reference(text, None, caller.account, &want.place, check_opaque)?;
        Some(Made {
            proof: opaque_proof(is_api_key, OpaqueProof::Reference(text.clone())),
            origin: Origin::Reference,
            hint: None,
            sealing: Sealing::Set(text.clone()),
            minted: None,
        })
    }

    /// May this reference stand here, and would what it comes to now do?
    fn check_reference(
        &mut self,
        text: &SecretText,
        stored: Option<&SecretText>,
        account: AccountId,
        place: &Place,
        fits: impl Fn(&Plaintext) -> Result<(), String>,
    ) -> Option<()> {
        let known = stored.map(SecretText::refs).unwrap_or_default();
        self.check_references(account, text, &known, place)?;
        let Some(value) = self.value_of(account, text) else { return Some(()) };
        match fits(&value) {
            Ok(()) => Some(()),
            Err(why) => {
                let text = format!("what it refers to cannot be used here: {why}");
                self.invalid("secret_unfit", place.clone(), text);
                None
            }
        }
    }

    /// A stored API key or AppCode: its value is what it was.
    fn kept_opaque(&mut self, spec: &OpaqueSpec, known: &Known, caller: &Caller) -> Option<Made> {
        let proof = match (known.row.digest, &known.row.reference) {
            (Some(digest), _) => OpaqueProof::Digest(digest),
            (None, Some(text)) => OpaqueProof::Reference(text.clone()),
            (None, None) => return None,
        };
        let refers = matches!(proof, OpaqueProof::Reference(_));
        let proof = opaque_proof(known.row.kind == "api_key", proof);
        let keeps_value = self.existing.accounts.get(&caller.account).is_some_and(|account| account.reveal);
        let mut made = kept(proof, known);
        if let (Some(value), true, false) = (&spec.value, keeps_value && !refers, known.row.is_sealed()) {
            // The account shows values again since this one was stored.
            made.sealing = Sealing::Set(value.clone());
        }
        Some(made)
    }

    fn jwt(
        &mut self,
        spec: &JwtSpec,
        known: Option<&Known>,
        caller: &Caller,
        id: CredentialId,
        want: &Want,
    ) -> Option<Made> {
        self.check_jwt(&spec.settings, &want.place);
        let stored =
            known.and_then(|known| known.credential.as_ref()).and_then(|credential| {
                match &credential.proof {
                    Proof::Jwt(binding) => Some((&**binding, credential.origin)),
                    _ => None,
                }
            });
        let claim_stored = known.and_then(|known| known.row.identity_claim.as_ref());
        let (identity_claim, claim_minted) =
            self.identity(spec.identity_claim.as_ref(), claim_stored, &want.place)?;
        let stored = stored.filter(|(binding, _)| binding.settings.remote.is_none());
        let was_remote =
            known.is_some_and(|known| known.row.jwt.as_ref().is_some_and(|jwt| jwt.remote.is_some()));
        let (keys, origin, sealing, value) = match (&spec.keys, stored) {
            (JwtKeySource::Remote, _) => {
                let sealing = if was_remote { Sealing::Keep } else { Sealing::DigestOnly };
                (JwtKeys::Own(JwkSet::default()), Origin::Reference, sealing, None)
            }
            (JwtKeySource::Given(set), Some((binding, origin)))
                if JwtKeys::Own(set.clone()) == binding.keys =>
            {
                (binding.keys.clone(), origin, Sealing::Keep, None)
            }
            (JwtKeySource::Given(set), _) => {
                (JwtKeys::Own(set.clone()), Origin::Custom, Sealing::Set(set.to_json().into()), None)
            }
            (JwtKeySource::Reference(text), Some((binding, origin)))
                if binding.keys == JwtKeys::Reference(text.clone()) =>
            {
                (binding.keys.clone(), origin, Sealing::Keep, None)
            }
            (JwtKeySource::Reference(text), _) => {
                let place = within(&want.place, "jwks");
                let fits = |value: &Plaintext| {
                    JwkSet::of_secret(value).map(|_| ()).map_err(|error| error.to_string())
                };
                self.check_reference(text, None, caller.account, &place, fits)?;
                (JwtKeys::Reference(text.clone()), Origin::Reference, Sealing::Set(text.clone()), None)
            }
            (JwtKeySource::Symmetric, Some((binding, Origin::Generated)))
            | (JwtKeySource::Kept, Some((binding, Origin::Generated))) => {
                (binding.keys.clone(), Origin::Generated, Sealing::Keep, None)
            }
            (JwtKeySource::Kept, Some((binding, origin))) => {
                (binding.keys.clone(), origin, Sealing::Keep, None)
            }
            (JwtKeySource::Symmetric, _) => self.new_key_set()?,
            (JwtKeySource::Kept, None) => {
                if known.is_some() && !was_remote {
                    self.unreadable(&want.place, "jwks");
                } else {
                    let text =
                        "there is no stored key set to keep: give `jwks`, `remote`, or `symmetric: true`";
                    self.invalid("secret_missing", within(&want.place, "jwks"), text);
                }
                return None;
            }
        };
        if !self.claim_identity(caller, &identity_claim, id, &want.place) {
            return None;
        }
        let label = format!("{}={}", identity_claim.name, identity_claim.value);
        let minted = claim_minted || value.is_some();
        Some(Made {
            proof: Proof::Jwt(Box::new(JwtBinding { keys, settings: spec.settings.clone(), identity_claim })),
            origin,
            sealing,
            hint: None,
            minted: minted.then_some((Some(label), value)),
        })
    }

    fn new_key_set(&mut self) -> Option<(JwtKeys, Origin, Sealing, Option<Plaintext>)> {
        let drawn = self.minter.key_set();
        let (text, set) = self.drawn(drawn)?;
        Some((JwtKeys::Own(set), Origin::Generated, Sealing::Set(text.clone().into()), Some(text)))
    }

    /// The claim that names the consumer: the one given, the stored one, or a new one; and whether it is new.
    fn identity(
        &mut self,
        spec: Option<&IdentityClaimSpec>,
        stored: Option<&IdentityClaim>,
        place: &Place,
    ) -> Option<(IdentityClaim, bool)> {
        let name = spec.map_or("uid", |spec| &*spec.name);
        let kept = stored.filter(|stored| spec.is_none_or(|spec| spec.name == stored.name));
        let (claim, is_new) = match (spec.and_then(|spec| spec.value.as_deref()), kept) {
            (Some(value), _) => (IdentityClaim { name: name.into(), value: value.into() }, false),
            (None, Some(kept)) => (kept.clone(), false),
            (None, None) => {
                let drawn = self.minter.identity();
                (IdentityClaim { name: name.into(), value: self.drawn(drawn)?.into() }, true)
            }
        };
        let fits = |text: &str| (1..=CLAIM_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if !fits(&claim.name) || !fits(&claim.value) {
            let text = format!(
                "name and value of an identity claim have 1 to {CLAIM_MAX} bytes, and no control character"
            );
            self.invalid("identity_claim_malformed", within(place, "identity_claim"), text);
            return None;
        }
        Some((claim, is_new))
    }

    fn check_jwt(&mut self, settings: &JwtSettings, place: &Place) {
        if settings.clock_skew_s > CLOCK_SKEW_MAX_S {
            let text = format!("at most {CLOCK_SKEW_MAX_S} seconds, which is a day");
            self.invalid("clock_skew", within(place, "clock_skew_s"), text);
        }
        let mut taken: Vec<&HeaderName> = Vec::new();
        for (at, claim) in settings.claims_to_headers.iter().enumerate() {
            let here = within(place, &format!("claims_to_headers[{at}]"));
            if is_owned(&claim.header) {
                let text = format!(
                    "the header `{}` belongs to the transport or to keyward, and cannot carry a claim: use another",
                    claim.header
                );
                self.invalid("header_reserved", here, text);
            } else if claim.claim.is_empty() {
                self.invalid("claim_missing", here, "the claim's name is empty");
            } else if taken.contains(&&claim.header) {
                self.invalid("duplicate", here, "this header carries another claim already");
            } else {
                taken.push(&claim.header);
            }
        }
        match &settings.token {
            TokenPlace::Header { name, .. } if name.is_reserved() => {
                let text =
                    format!("the header `{name}` cannot hold a token: use another, such as authorization");
                self.invalid("header_reserved", within(place, "token.name"), text);
            }
            TokenPlace::Query { name, .. } | TokenPlace::Cookie { name, .. }
                if name.is_empty()
                    || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)) =>
            {
                let text =
                    format!("`{}` cannot hold a token: use letters, digits and - . _ ~", name.escape_debug());
                self.invalid("token_place_malformed", within(place, "token.name"), text);
            }
            _ => {}
        }
    }

    fn unreadable(&mut self, place: &Place, field: &str) {
        let text = "the stored value cannot be read any more: give a new one";
        self.problem(ErrorKind::Conflict, "secret_unreadable", within(place, field), text);
    }

    fn claim_app_key(&mut self, app_key: &AppKey, id: CredentialId, place: &Place) -> bool {
        let holder = *self.existing.app_keys.entry(app_key.folded()).or_insert(id);
        if holder != id {
            let text = format!("the AppKey `{app_key}` is taken (case is ignored): choose another");
            self.problem(ErrorKind::Conflict, "app_key_taken", within(place, "app_key"), text);
        }
        holder == id
    }

    /// Says nothing about whose it is: who may ask here need not know the other.
    fn claim_digest(&mut self, digest: CredentialDigest, id: CredentialId, place: &Place) -> bool {
        let holder = *self.existing.digests.entry(digest).or_insert(id);
        if holder != id {
            let text = "this value belongs to another credential: choose another, or leave it out to have one generated";
            self.problem(ErrorKind::Conflict, "value_taken", place.clone(), text);
        }
        holder == id
    }

    fn claim_identity(
        &mut self,
        caller: &Caller,
        claim: &IdentityClaim,
        id: CredentialId,
        place: &Place,
    ) -> bool {
        let key = (caller.account, claim.clone());
        let holder = *self.existing.claims.entry(key).or_insert(id);
        if holder != id {
            let text = format!(
                "tokens with `{}` = `{}` belong to another consumer of this account: choose another value",
                claim.name, claim.value
            );
            self.problem(ErrorKind::Conflict, "identity_claim_taken", within(place, "identity_claim"), text);
        }
        holder == id
    }
}

/// A key pair that is wanted, and what there is of it.
struct Pair<'w> {
    spec: &'w KeyPairSpec,
    is_default: bool,
    known: Option<&'w Known>,
    account: AccountId,
}

/// Where a value comes from that was given.
fn origin_of(given: &SecretText) -> Origin {
    if given.is_plain() { Origin::Custom } else { Origin::Reference }
}

fn opaque_proof(is_api_key: bool, proof: OpaqueProof) -> Proof {
    if is_api_key { Proof::ApiKey(proof) } else { Proof::AppCode(proof) }
}

/// Nothing but what surrounds the value may change.
fn kept(proof: Proof, known: &Known) -> Made {
    Made {
        proof,
        origin: known.row.origin,
        sealing: Sealing::Keep,
        hint: known.row.hint.clone(),
        minted: None,
    }
}

/// Headers by which services learn who calls, from where or what, or that the transport needs: never taken from a token.
fn is_owned(name: &HeaderName) -> bool {
    let same_letters = owned::folded(name.as_str());
    let aliased = same_letters.parse::<HeaderName>().is_ok_and(|alias| alias.is_reserved());
    name.is_reserved()
        || aliased
        || owned::is_owned(name.as_str())
        || &*same_letters == "authorization"
        || same_letters.starts_with("x-mse-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_carry_identity_are_owned_in_every_alias() {
        for owned in [
            "X-Keyward-Caller-Id",
            "x_keyward_caller_id",
            "x.ca.key",
            "Authorization",
            "Host",
            "X-Consumer-Name",
            "CaAppId",
            "True-Client-IP",
            "x_original.url",
            "X-HTTP-Method-Override",
        ] {
            assert!(is_owned(&owned.parse().unwrap()), "{owned}");
        }
        assert!(!is_owned(&"x-team".parse().unwrap()));
    }

    #[test]
    fn custom_values_are_long_visible_and_judged() {
        let value = |text: &str| Plaintext::new(text);
        assert!(check_opaque(&value("0123456789abcdef")).is_ok());
        for bad in ["0123456789abcde", "0123456789abcde f", "0123456789abcdeü", "", "0123456789abcdef\n"] {
            assert!(check_opaque(&value(bad)).is_err(), "{bad:?}");
        }
        assert!(check_app_secret(&value("x")).is_ok());
        assert!(check_app_secret(&value(&"x".repeat(257))).is_err());
    }
}
