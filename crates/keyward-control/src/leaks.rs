//! Values that leaked: whoever has one can have it ended by presenting it, and learns nothing else.

use keyward_model::{Action, AppKey, Name, Plaintext, Proof, SecretName};
use keyward_store::{AuditEntry, CredentialRecord, CredentialRow, Record, Touch};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::job::Job;
use crate::plan::{Step, describe_credential};
use crate::{Actor, ControlError, Credentials};

impl Credentials<'_> {
    /// Takes a value that leaked; if it is some caller's (or an operator's token) it proves nothing any more. Neither the answer
    /// nor the revision says whether it was.
    ///
    /// # Errors
    /// The store takes no writes.
    pub async fn report_leak(
        &self,
        actor: &Actor,
        value: Plaintext,
        app_key: Option<AppKey>,
    ) -> Result<(), ControlError> {
        actor.may("leak", Action::Report)?;
        let work = self.control.write(actor, "leak.report", move |job| {
            Box::pin(async move {
                end_credential(job, &value, app_key.as_ref()).await?;
                end_operator_token(job, &value).await?;
                // Whoever watches the revision sees one more either way.
                job.touch_nothing();
                job.note(AuditEntry {
                    actor: job.actor().to_string(),
                    action: "leak.report",
                    touch: Touch::Changed,
                    noun: "leak",
                    object: "reported".to_owned(),
                    account: None,
                    detail: json!({"before": null, "after": {"leak": "reported"}}).to_string(),
                });
                Ok(())
            })
        });
        work.await?;
        Ok(())
    }
}

async fn end_credential(
    job: &mut Job<'_>,
    value: &Plaintext,
    app_key: Option<&AppKey>,
) -> Result<(), ControlError> {
    let snapshot = job.snapshot();
    let mut gather = job.gather();
    let digest = gather.reads.digest(value);
    let by_digest = match gather.reads.credential_by_digest(&digest).await? {
        Some(found) => Some(found.object),
        // Of one that refers to a secret, the digest is known where the secret is resolved.
        None => match snapshot.credential_by_digest(&digest) {
            Some((_, credential)) => {
                gather.reads.credential(credential.id()).await?.map(|found| found.object)
            }
            None => None,
        },
    };
    let found = match (by_digest, app_key) {
        (Some(found), _) => Some(found),
        (None, Some(app_key)) => {
            let pair = gather.reads.credential_by_app_key(app_key).await?.map(|found| found.object);
            match pair {
                Some(pair) if is_secret_of(job, &pair, value).await? => Some(pair),
                _ => None,
            }
        }
        (None, None) => None,
    };
    let Some(row) = found.filter(|row| row.enabled) else { return Ok(()) };
    let record = job.gather().reads.open(&row)?;
    let mut credential = record.credential.clone();
    credential.enabled = false;
    let before = Some(describe_credential(&row));
    let record = Box::new(Record::Credential(CredentialRecord { credential, ..record }));
    job.unchecked_step(Step::Put { record, before }).await
}

async fn is_secret_of(
    job: &mut Job<'_>,
    pair: &CredentialRow,
    value: &Plaintext,
) -> Result<bool, ControlError> {
    let mut gather = job.gather();
    let opened = gather.reads.open(pair).map(|record| record.credential.proof);
    let Ok(Proof::KeyPair { app_secret: text, .. }) = opened else { return Ok(false) };
    let names: Vec<Name> = text.refs().into_iter().map(Name::from).collect();
    gather.secrets_named(pair.account, &names).await?;
    let secret = |name: &SecretName| {
        let id = gather.existing.secrets.find(&(pair.account, Name::from(name)))?;
        gather.existing.secrets.get(id)?.spec.source.value()
    };
    let Ok(app_secret) = text.resolve(secret) else { return Ok(false) };
    Ok(app_secret.expose_secret().as_bytes().ct_eq(value.expose_secret().as_bytes()).into())
}

async fn end_operator_token(job: &mut Job<'_>, value: &Plaintext) -> Result<(), ControlError> {
    let mut gather = job.gather();
    let digest = gather.reads.digest(value);
    let Some(token) = gather.reads.operator_token_by_digest(&digest).await? else { return Ok(()) };
    let record = Record::OperatorToken(Box::new(token.object));
    job.unchecked_step(Step::delete(&record)).await
}
