//! Rotation: a credential gets a successor beside it, and an end.

use keyward_model::{Action, AppKey, CredentialId, Plaintext, Timestamp};
use keyward_store::{CredentialRecord, CredentialRow, Record};

use crate::credentials::{minted, new_value, now, put, stored};
use crate::job::Job;
use crate::plan::Step;
use crate::{Actor, ControlError, Created, CredentialView, Credentials, ErrorKind, Problem};

/// Longest overlap, in seconds: a year.
const OVERLAP_MAX_S: u64 = 366 * 86_400;

/// How a credential is rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// How long the old one goes on, in seconds; 0: it ends at once.
    pub overlap_s: u64,
    /// The new AppSecret, AppCode or API key; absent: generated.
    pub value: Option<Plaintext>,
    /// The new AppKey of a key pair; absent: generated.
    pub app_key: Option<AppKey>,
}

impl Credentials<'_> {
    /// Gives it a successor beside it: a new value (and, for a key pair, a new AppKey), generated or given. The old one goes on
    /// for the overlap, and ends then. Both show the first of their line. The successor of a default key pair is the default one.
    ///
    /// # Errors
    /// It does not exist, has ended, is a JWT (whose key set holds several keys by itself), or what is given is not allowed.
    pub async fn rotate(
        &self,
        actor: &Actor,
        id: CredentialId,
        rotation: Rotation,
    ) -> Result<Created<CredentialView>, ControlError> {
        actor.may("credential", Action::Rotate)?;
        if rotation.overlap_s > OVERLAP_MAX_S {
            let text = format!("an overlap lasts 0 to {OVERLAP_MAX_S} seconds");
            return Err(Problem::invalid("overlap_malformed", "overlap_s", text).into());
        }
        let work = self.control.write(actor, "credential.rotate", move |job| {
            Box::pin(async move {
                let row = stored(&mut job.gather(), id).await?.object;
                let next = next_row(job, &row, rotation.app_key).await?;
                let reset = new_value(job, &next, rotation.value).await?;
                let minted = minted(job, &next, &reset).await?;
                let warnings = reset.warning(row.caller);
                retire(job, &row, end(&row, rotation.overlap_s, job.now())).await?;
                let record = Box::new(Record::Credential(reset.record));
                job.step(Step::Put { record, before: None }).await?;
                job.tx().put_lineage(row.lineage.unwrap_or(row.id), [row.id, next.id]).await?;
                Ok((now(job, next.id).await?, minted, warnings))
            })
        });
        let ((object, minted, warnings), revision) = work.await?;
        Ok(Created { revision, object, minted: self.control.kept(minted), warnings })
    }
}

/// The successor, but for its value.
async fn next_row(
    job: &mut Job<'_>,
    row: &CredentialRow,
    app_key: Option<AppKey>,
) -> Result<CredentialRow, ControlError> {
    let conflict = |code, text: &str| Err(ControlError::new(ErrorKind::Conflict, code, text));
    if row.kind == "jwt" {
        let text = "a key set holds several keys: set it with the new key beside the old one, and later without that";
        return conflict("jwt_not_rotated", text);
    }
    let at = job.now();
    if row.valid_until.is_some_and(|until| until <= at) {
        return conflict("credential_ended", "it has ended already: add another one instead");
    }
    let id = CredentialId::from_uuid(job.minter_uuid()?);
    let app_key = match (row.kind, app_key) {
        ("key_pair", Some(given)) => {
            if job.gather().reads.credential_by_app_key(&given).await?.is_some() {
                let text = "this AppKey belongs to another key pair (case is ignored): choose another";
                let problem = Problem::invalid("app_key_taken", "app_key", text);
                return Err(Problem { kind: ErrorKind::Conflict, ..problem }.into());
            }
            Some(given)
        }
        ("key_pair", None) => Some(job.minter.app_key()?.parse().map_err(|error| {
            ControlError::new(ErrorKind::StoreUnavailable, "random_failed", format!("{error}"))
        })?),
        (_, None) => None,
        (_, Some(_)) => {
            let text = "only a key pair has an AppKey: leave it out";
            return Err(Problem::invalid("no_app_key", "app_key", text).into());
        }
    };
    let mut next = row.clone();
    (next.id, next.app_key, next.enabled, next.valid_until, next.created) = (id, app_key, true, None, at);
    Ok(next)
}

/// When the old one ends: after the overlap, or earlier if it would have ended anyway.
fn end(row: &CredentialRow, overlap_s: u64, now: Timestamp) -> Timestamp {
    let overlap_ms = i64::try_from(overlap_s).unwrap_or(i64::MAX).saturating_mul(1_000);
    let after = Timestamp::from_millis(now.as_millis().saturating_add(overlap_ms));
    row.valid_until.map_or(after, |until| until.min(after))
}

/// Gives the old one its end, and takes the mark of the default pair from it.
async fn retire(job: &mut Job<'_>, row: &CredentialRow, until: Timestamp) -> Result<(), ControlError> {
    let record = job.gather().reads.open(row)?;
    let mut credential = record.credential.clone();
    credential.valid_until = Some(until);
    if let keyward_model::Proof::KeyPair { is_default, .. } = &mut credential.proof {
        *is_default = false;
    }
    put(job, row, CredentialRecord { credential, ..record }).await
}
