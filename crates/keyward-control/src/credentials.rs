//! Credentials: what can be done with them, whoever's they are.

use keyward_model::{
    Action, AppKey, CallerId, Credential, CredentialId, IdentityClaim, JwkSet, JwtKeys, JwtSettings,
    KeyPairSpec, Noun, OpaqueProof, OpaqueSpec, Origin, Place, Plaintext, Proof, Revision, SecretText,
    SignatureScheme, Timestamp, World, check_app_secret, check_opaque,
};
use keyward_store::{CredentialRecord, CredentialRow, Record, RecordId, Sealing, Stored, Touch};
use serde_json::json;

use crate::gather::Gather;
use crate::job::Job;
use crate::minter::hint;
use crate::object::{self, NO_WARNINGS, Object};
use crate::plan::{Step, describe_credential};
use crate::views::credential_view;
use crate::{
    Actor, Control, ControlError, Created, Deleted, ErrorKind, KeySetHealth, Minted, ObjectRef, Problem,
    Warning, Written,
};

/// A credential without its value, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialView {
    /// Its id; kept when the value is reset.
    pub id: CredentialId,
    /// Whose it is.
    pub caller: CallerId,
    /// `key_pair`, `app_code`, `api_key` or `jwt`.
    pub kind: &'static str,
    /// Of a key pair: names it.
    pub app_key: Option<AppKey>,
    /// Of a key pair: how requests are signed with it.
    pub scheme: Option<SignatureScheme>,
    /// The first pair of an application, which cannot be deleted.
    pub is_default: bool,
    /// Of a generated AppCode or API key: how it begins and ends, such as `kw_key_…x7Qa`.
    pub hint: Option<String>,
    /// What it refers to, as it was written, if its value is a secret's.
    pub reference: Option<String>,
    /// Why it proves nothing now, as this node sees it; absent: what it refers to can be resolved.
    pub trouble: Option<String>,
    /// Of a JWT: the claim by which a token names its consumer.
    pub identity_claim: Option<IdentityClaim>,
    /// Of a JWT: how tokens are read.
    pub jwt: Option<JwtSettings>,
    /// Of a JWT whose key set is fetched: how that is.
    pub key_set: Option<KeySetHealth>,
    /// A disabled credential proves nothing.
    pub enabled: bool,
    /// First moment in which it no longer holds; absent: for ever.
    pub valid_until: Option<Timestamp>,
    /// Where its value came from.
    pub origin: Origin,
    /// Can its value be shown again (the account allows it, and it was kept)?
    pub revealable: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When a request was last proven by it.
    pub last_used: Option<Timestamp>,
    /// The first credential of the line of rotations that it belongs to; absent: it was never rotated.
    pub lineage: Option<CredentialId>,
    /// Its own last revision.
    pub revision: u64,
}

/// What changes about a credential; absent parts stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialChange {
    /// Enables or disables it.
    pub enabled: Option<bool>,
    /// Ends it at this moment, or (`Some(None)`) never.
    pub valid_until: Option<Option<Timestamp>>,
    /// Of a key pair: signs by this scheme from now on.
    pub scheme: Option<SignatureScheme>,
}

/// A credential's value, shown again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revealed {
    /// Which credential.
    pub credential: CredentialView,
    /// The AppSecret, AppCode, API key, or the key set as JSON text.
    pub value: Plaintext,
    /// The revision in effect when it was shown.
    pub revision: Revision,
}

/// What can be done with credentials, whoever's they are.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'c> {
    pub(crate) control: &'c Control,
}

impl Credentials<'_> {
    /// Shows one, without its value.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, id: CredentialId) -> Result<CredentialView, ControlError> {
        actor.may("credential", Action::Show)?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now()).seeing(self.control);
        let found = stored(&mut gather, id).await?;
        view(&mut gather, &found).await
    }

    /// Finds the key pair with this AppKey (compared exactly).
    ///
    /// # Errors
    /// There is none.
    pub async fn find_app_key(
        &self,
        actor: &Actor,
        app_key: &AppKey,
    ) -> Result<CredentialView, ControlError> {
        actor.may("credential", Action::Show)?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now()).seeing(self.control);
        let found = gather.reads.credential_by_app_key(app_key).await?;
        let found = found.filter(|found| found.object.app_key.as_ref() == Some(app_key));
        let found = found.filter(|found| gather.sees(Some(found.object.account)));
        let found = found.ok_or_else(|| ControlError::not_found("AppKey", format!("`{app_key}`")))?;
        view(&mut gather, &found).await
    }

    /// Lists a caller's credentials, oldest first.
    ///
    /// # Errors
    /// The caller does not exist.
    pub async fn list(&self, actor: &Actor, caller: CallerId) -> Result<Vec<CredentialView>, ControlError> {
        actor.may("credential", Action::List)?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now()).seeing(self.control);
        gather.callers(&[caller]).await?;
        let account = gather.existing.callers.get(&caller).map(|caller| caller.account);
        if !account.is_some_and(|account| gather.sees(Some(account))) {
            return Err(ControlError::not_found(caller.kind().noun(), format!("`{caller}`")));
        }
        let mut views = Vec::new();
        for found in gather.reads.credentials_of(&[caller]).await? {
            views.push(view(&mut gather, &found).await?);
        }
        Ok(views)
    }

    /// Enables, disables, or limits one in time.
    ///
    /// # Errors
    /// It does not exist, or has no such part.
    pub async fn change(
        &self,
        actor: &Actor,
        id: CredentialId,
        change: CredentialChange,
    ) -> Result<Written<CredentialView>, ControlError> {
        actor.may("credential", Action::Change)?;
        let work = self.control.write(actor, "credential.change", move |job| {
            Box::pin(async move {
                let mut gather = job.gather();
                let row = stored(&mut gather, id).await?.object;
                let record = gather.reads.open(&row)?;
                let mut credential = record.credential.clone();
                change.make(&mut credential)?;
                if credential != record.credential {
                    put(job, &row, CredentialRecord { credential, ..record }).await?;
                }
                now(job, id).await
            })
        });
        let (object, revision) = work.await?;
        Ok(Written { revision, object, warnings: NO_WARNINGS })
    }

    /// Gives it a new value, generated or the one given (for a JWT: a generated key set, or a key set as JSON text). The id stays,
    /// and a key pair keeps its AppKey. The old value proves nothing once this is answered.
    ///
    /// # Errors
    /// It does not exist, or the value is not allowed.
    pub async fn reset(
        &self,
        actor: &Actor,
        id: CredentialId,
        value: Option<Plaintext>,
    ) -> Result<Created<CredentialView>, ControlError> {
        actor.may("credential", Action::Reset)?;
        let work = self.control.write(actor, "credential.reset", move |job| {
            Box::pin(async move {
                let row = stored(&mut job.gather(), id).await?.object;
                let reset = new_value(job, &row, value).await?;
                let minted = minted(job, &row, &reset).await?;
                let warnings = reset.warning(row.caller);
                put(job, &row, reset.record).await?;
                Ok((now(job, id).await?, minted, warnings))
            })
        });
        let ((object, minted, warnings), revision) = work.await?;
        Ok(Created { revision, object, minted: self.control.kept(minted), warnings })
    }

    /// Deletes it; it proves nothing once this is answered.
    ///
    /// # Errors
    /// It does not exist, or is an application's default key pair.
    pub async fn delete(&self, actor: &Actor, id: CredentialId) -> Result<Deleted, ControlError> {
        actor.may("credential", Action::Delete)?;
        let work = self.control.write(actor, "credential.delete", move |job| {
            Box::pin(async move {
                let row = stored(&mut job.gather(), id).await?.object;
                if row.is_default {
                    let text = "an application's default key pair cannot be deleted: reset it, or disable it";
                    return Err(ControlError::new(ErrorKind::Conflict, "default_key_pair", text));
                }
                job.step(Step::delete_credential(&row)).await
            })
        });
        let ((), revision) = work.await?;
        Ok(Deleted { revision, dry_run: self.control.is_dry_run(), along: Vec::new(), credentials: 0 })
    }

    /// Shows its value again. The audit entry that says so is committed before the value is returned.
    ///
    /// # Errors
    /// It does not exist, its account says `reveal: false`, or only a digest was kept.
    pub async fn reveal(&self, actor: &Actor, id: CredentialId) -> Result<Revealed, ControlError> {
        actor.may("credential", Action::Reveal)?;
        if self.control.is_dry_run() {
            let text = "showing a value cannot be tried: it is shown, and noted, or not";
            return Err(ControlError::new(ErrorKind::Invalid, "not_dry", text));
        }
        let work = self.control.write(actor, "credential.reveal", move |job| {
            Box::pin(async move {
                let asking = job.actor().clone();
                let mut gather = job.gather();
                let found = stored(&mut gather, id).await?;
                asking.may_in(Some(found.object.account), "credential", Action::Reveal)?;
                let credential = view(&mut gather, &found).await?;
                if let Some(remote) = credential.jwt.as_ref().and_then(|jwt| jwt.remote.as_ref()) {
                    let text = format!("there is no value here to show: the keys are fetched from {}", remote.url);
                    return Err(ControlError::new(ErrorKind::Conflict, "key_set_remote", text));
                }
                if !credential.revealable || credential.origin == Origin::Reference {
                    let text = "this value is not shown again: its account says so, or only a digest was kept; reset it to \
                                get a new one";
                    return Err(ControlError::new(ErrorKind::Forbidden, "not_revealable", text));
                }
                let value = gather.reads.reveal(&found.object)?;
                let row = found.object;
                let detail = json!({"before": null, "after": describe_credential(&row)});
                job.audit(Touch::Revealed, &RecordId::Credential(id), Some(row.account), &detail);
                let value = value.ok_or_else(|| ControlError::not_found("value of", format!("`{id}`")))?;
                Ok((credential, value))
            })
        });
        let ((credential, value), revision) = work.await?;
        Ok(Revealed { credential, value, revision })
    }
}

impl CredentialChange {
    fn make(&self, credential: &mut Credential) -> Result<(), ControlError> {
        credential.enabled = self.enabled.unwrap_or(credential.enabled);
        credential.valid_until = self.valid_until.unwrap_or(credential.valid_until);
        match (&mut credential.proof, self.scheme) {
            (_, None) => Ok(()),
            (Proof::KeyPair { scheme, .. }, Some(wanted)) => {
                *scheme = wanted;
                Ok(())
            }
            (_, Some(_)) => {
                let text = "only a key pair has a scheme: leave it out";
                Err(Problem::invalid("no_scheme", "scheme", text).into())
            }
        }
    }
}

/// Adds a credential to a caller by describing it once more, with one more credential. Also sets a consumer's JWT.
pub(crate) async fn add<O>(
    control: &Control,
    actor: &Actor,
    action: &'static str,
    of: ObjectRef<CallerId>,
    add: impl FnOnce(&mut O::Spec) + Send + 'static,
) -> Result<Created<CredentialView>, ControlError>
where
    O: Object<Id = CallerId, Entity = keyward_model::Caller>,
{
    actor.may("credential", Action::Create)?;
    let work = control.write(actor, action, move |job| {
        Box::pin(async move {
            let mut gather = job.gather();
            let found = object::find::<O>(&mut gather, &of).await?;
            let id = found.object.id;
            O::itself(&mut gather, &found.object).await?;
            let mut spec = O::into_spec(O::view(&mut gather, found).await?);
            add(&mut spec);
            let world = O::world(spec);
            gather.world(&world, false).await?;
            own_value(&gather, id, &world)?;
            let existing = gather.existing;
            let plan = job.plan(existing, &world, false, false, Some(RecordId::Caller(id)));
            let mut plan = plan.map_err(|error| error.map_paths(within_credential))?;
            let touched = plan.steps.iter().find_map(credential_of);
            job.execute(&mut plan).await?;
            let touched = match touched {
                Some(id) => id,
                None => only_jwt(job, id).await?,
            };
            Ok((now(job, touched).await?, plan))
        })
    });
    let ((object, plan), revision) = work.await?;
    Ok(Created { revision, object, minted: control.kept(plan.minted), warnings: plan.warnings })
}

/// A value that the caller itself has already would be taken for the credential that has it.
fn own_value(gather: &Gather<'_>, caller: CallerId, world: &World) -> Result<(), ControlError> {
    let codes = world.applications.iter().flat_map(|entry| entry.value.app_codes.iter());
    let keys = world.consumers.iter().flat_map(|entry| entry.value.api_key.iter());
    let keys = keys.flat_map(|api_key| api_key.keys.iter().flatten());
    let values = codes.chain(keys).filter_map(|opaque: &OpaqueSpec| opaque.value.as_ref());
    let pairs = world.applications.iter().flat_map(|entry| entry.value.key_pairs.iter().flatten());
    let known = gather.existing.credentials.get(&caller).map(Vec::as_slice).unwrap_or_default();
    // References are told by the plan if they stand there twice; those that are there already are described again.
    for value in values.filter_map(SecretText::plain) {
        let digest = gather.reads.digest(value);
        if known.iter().any(|known| known.row.digest == Some(digest)) {
            return Err(value_taken("value"));
        }
    }
    let last: Option<&KeyPairSpec> = pairs.last();
    let given = last.and_then(|pair| pair.app_key.as_ref()).map(AppKey::folded);
    let pairs = known.iter().filter_map(|known| known.row.app_key.as_ref()).map(AppKey::folded);
    let is_new = last.is_some_and(|pair| pair.app_secret.is_some());
    if is_new && given.is_some_and(|given| pairs.into_iter().any(|known| known == given)) {
        let text =
            "this application has this AppKey already (case is ignored): choose another, or reset the pair";
        return Err(Problem {
            kind: ErrorKind::Conflict,
            ..Problem::invalid("app_key_taken", "app_key", text)
        }
        .into());
    }
    Ok(())
}

/// The path within the credential, where a plan says `key_pairs[3].app_key`.
fn within_credential(path: &str) -> String {
    let lists = ["key_pairs[", "app_codes[", "api_key.keys["];
    let item = lists.iter().find_map(|list| path.strip_prefix(list)).and_then(|rest| rest.split_once(']'));
    match item {
        Some((_, rest)) => rest.trim_start_matches('.').to_owned(),
        None => path.strip_prefix("jwt.").unwrap_or(path).to_owned(),
    }
}

/// The credential that a step writes.
fn credential_of(step: &Step) -> Option<CredentialId> {
    match step {
        Step::Put { record, .. } => match &**record {
            Record::Credential(record) => Some(record.credential.id),
            _ => None,
        },
        Step::Delete { .. } => None,
    }
}

/// Where nothing changed, a JWT was set that is so already.
async fn only_jwt(job: &mut Job<'_>, caller: CallerId) -> Result<CredentialId, ControlError> {
    let found = job.gather().reads.credentials_of(&[caller]).await?;
    let jwt = found.into_iter().find(|found| found.object.kind == "jwt");
    jwt.map(|found| found.object.id).ok_or_else(|| ControlError::not_found("credential of", caller))
}

pub(crate) async fn stored(
    gather: &mut Gather<'_>,
    id: CredentialId,
) -> Result<Stored<CredentialRow>, ControlError> {
    let found = gather.reads.credential(id).await?;
    let found = found.filter(|found| gather.sees(Some(found.object.account)));
    found.ok_or_else(|| ControlError::not_found("credential", format!("`{id}`")))
}

async fn view(
    gather: &mut Gather<'_>,
    found: &Stored<CredentialRow>,
) -> Result<CredentialView, ControlError> {
    let account = found.object.account;
    gather.account(account).await?;
    let reveal = gather.existing.accounts.get(&account).is_some_and(|account| account.reveal);
    let mut view = credential_view(found, reveal);
    gather.key_set(&mut view).await?;
    gather.trouble_of_credential(&mut view);
    Ok(view)
}

/// Shows it as it is now, within the write.
pub(crate) async fn now(job: &mut Job<'_>, id: CredentialId) -> Result<CredentialView, ControlError> {
    let mut gather = job.gather();
    let found = stored(&mut gather, id).await?;
    view(&mut gather, &found).await
}

pub(crate) async fn put(
    job: &mut Job<'_>,
    row: &CredentialRow,
    record: CredentialRecord,
) -> Result<(), ControlError> {
    let before = Some(describe_credential(row));
    job.step(Step::Put { record: Box::new(Record::Credential(record)), before }).await
}

/// A credential with another value.
pub(crate) struct Reset {
    pub(crate) record: CredentialRecord,
    /// The value, where it was generated.
    generated: Option<Plaintext>,
    weak: bool,
}

impl Reset {
    pub(crate) fn warning(&self, caller: CallerId) -> Vec<Warning> {
        let noun = match caller.kind() {
            keyward_model::CallerKind::Application => Noun::Application,
            keyward_model::CallerKind::Consumer => Noun::Consumer,
        };
        let text = "this value can be guessed: leave it out to have one generated".to_owned();
        let place = Place { path: "value".to_owned(), ..Place::default() };
        let warning = Warning { code: "weak_secret", place, noun, text };
        if self.weak { vec![warning] } else { Vec::new() }
    }
}

pub(crate) async fn new_value(
    job: &mut Job<'_>,
    row: &CredentialRow,
    given: Option<Plaintext>,
) -> Result<Reset, ControlError> {
    if let Some(reference) = row.reference.as_ref().and_then(SecretText::shown) {
        let text =
            format!("its value is `{reference}`: rotate the secret, or give its caller another credential");
        return Err(ControlError::new(ErrorKind::Conflict, "credential_refers", text));
    }
    let malformed = |text: String| Problem::invalid("value_malformed", "value", text);
    let is_given = given.is_some();
    let damaged = |what: &str| ControlError::not_found(what, format!("of credential `{}`", row.id));
    let mut sealing = None;
    let (proof, value) = match row.kind {
        "key_pair" => {
            let secret = match given {
                Some(given) => given,
                None => job.minter.app_secret()?,
            };
            check_app_secret(&secret).map_err(malformed)?;
            let proof = Proof::KeyPair {
                app_key: row.app_key.clone().ok_or_else(|| damaged("AppKey"))?,
                app_secret: secret.clone().into(),
                scheme: row.scheme.ok_or_else(|| damaged("scheme"))?,
                is_default: row.is_default,
            };
            (proof, secret)
        }
        "jwt" if row.jwt.as_ref().is_some_and(|jwt| jwt.remote.is_some()) => {
            let text =
                "the key set is fetched: change it where it is published, or give the consumer another";
            return Err(ControlError::new(ErrorKind::Conflict, "key_set_remote", text));
        }
        "jwt" => {
            let (text, jwks) = match given {
                Some(given) => {
                    let jwks =
                        JwkSet::parse(given.expose_secret()).map_err(|error| malformed(error.to_string()))?;
                    (jwks.to_json(), jwks)
                }
                None => job.minter.key_set()?,
            };
            let binding = keyward_model::JwtBinding {
                keys: JwtKeys::Own(jwks),
                settings: row.jwt.clone().ok_or_else(|| damaged("settings"))?,
                identity_claim: row.identity_claim.clone().ok_or_else(|| damaged("identity claim"))?,
            };
            (Proof::Jwt(Box::new(binding)), text)
        }
        kind => {
            let value = match given {
                Some(given) => given,
                None if kind == "api_key" => job.minter.api_key()?,
                None => job.minter.app_code()?,
            };
            check_opaque(&value).map_err(malformed)?;
            let mut gather = job.gather();
            let digest = gather.reads.digest(&value);
            let holder = gather.reads.credential_by_digest(&digest).await?;
            if holder.is_some_and(|holder| holder.object.id != row.id) {
                return Err(value_taken("value"));
            }
            gather.account(row.account).await?;
            if !gather.existing.accounts.get(&row.account).is_some_and(|account| account.reveal) {
                sealing = Some(Sealing::DigestOnly);
            }
            let digest = OpaqueProof::Digest(digest);
            let proof = if kind == "api_key" { Proof::ApiKey(digest) } else { Proof::AppCode(digest) };
            (proof, value)
        }
    };
    let credential = Credential {
        id: row.id,
        caller: row.caller,
        enabled: row.enabled,
        valid_until: row.valid_until,
        origin: if is_given { Origin::Custom } else { Origin::Generated },
        created: row.created,
        proof,
    };
    let record = CredentialRecord {
        account: row.account,
        credential,
        hint: if is_given { None } else { hint(&value) },
        sealing: sealing.unwrap_or_else(|| Sealing::Set(value.clone().into())),
    };
    let weak = is_given && row.kind != "jwt" && value.is_weak();
    Ok(Reset { record, generated: (!is_given).then_some(value), weak })
}

pub(crate) async fn minted(
    job: &mut Job<'_>,
    row: &CredentialRow,
    reset: &Reset,
) -> Result<Vec<Minted>, ControlError> {
    let Some(value) = &reset.generated else { return Ok(Vec::new()) };
    let mut gather = job.gather();
    gather.callers(&[row.caller]).await?;
    let caller = gather.existing.callers.get(&row.caller);
    let account = gather.existing.account_name(row.account);
    let claim = row.identity_claim.as_ref().map(|claim| format!("{}={}", claim.name, claim.value));
    Ok(caller
        .zip(account)
        .map(|(caller, account)| Minted {
            caller: caller.id,
            account: account.clone(),
            caller_name: caller.name.clone(),
            credential: row.id,
            kind: row.kind,
            label: row.app_key.as_ref().map(ToString::to_string).or(claim),
            value: Some(value.clone()),
        })
        .into_iter()
        .collect())
}

fn value_taken(path: &str) -> ControlError {
    let text =
        "this value belongs to another credential: choose another, or leave it out to have one generated";
    Problem { kind: ErrorKind::Conflict, ..Problem::invalid("value_taken", path, text) }.into()
}
