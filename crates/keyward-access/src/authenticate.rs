//! Who a request is proven to come from.

mod collect;
mod plugin;
pub(crate) mod query;
mod signed;
mod token;

use keyward_model::{CredentialKind, DenyReason, Timestamp};

use self::collect::{AppCode, Collected, Slot};
pub(crate) use self::collect::{is_app_code_name, may_hold_app_code};
use crate::jwt::TokenMemory;
use crate::snapshot::ProofEntry;
use crate::{
    Authentication, Body, CallerEntry, CredentialEntry, Denial, Dialect, RequestHead, Snapshot, Target,
    Verified,
};

/// Judges what a request presents.
///
/// Everything presented at a place and of a kind that the API admits is collected first; more than one is refused.
/// Answers [`Authentication::NeedsBody`] where the verdict needs a body that is [`Body::Unread`]; what the head alone can
/// refuse was refused by then.
///
/// # Errors
/// `credential_missing` to `nonce_missing`, in the order of the list.
pub fn authenticate<'a>(
    snapshot: &'a Snapshot,
    target: &Target<'a>,
    head: &RequestHead<'a>,
    body: Body<'_>,
    now: Timestamp,
) -> Result<Authentication<'a>, Denial> {
    judge(&Call { snapshot, target, head, body, now, tokens: None, diagnose: false })
}

/// The same, sparing work on tokens that are remembered, and remembering those that held.
///
/// # Errors
/// Those of [`authenticate`].
pub fn authenticate_remembering<'a>(
    snapshot: &'a Snapshot,
    target: &Target<'a>,
    head: &RequestHead<'a>,
    body: Body<'_>,
    now: Timestamp,
    tokens: &TokenMemory,
) -> Result<Authentication<'a>, Denial> {
    judge(&Call { snapshot, target, head, body, now, tokens: Some(tokens), diagnose: false })
}

/// Looks for the mistake in a signature that was refused, and names it in [`Denial::hint`].
///
/// Tries some thirty texts, none of which opens the door: to be asked only after [`authenticate`] refused with
/// `proof_mismatch` or `credential_unknown`, of the same request, and not too often (each try costs an HMAC).
/// What is named rests on an HMAC that matched, which only the holder of the secret can bring about.
pub fn diagnose<'a>(
    snapshot: &'a Snapshot,
    target: &Target<'a>,
    head: &RequestHead<'a>,
    body: Body<'_>,
    refused: Denial,
    now: Timestamp,
) -> Denial {
    let again = judge(&Call { snapshot, target, head, body, now, tokens: None, diagnose: true });
    again.err().filter(|denial| denial.reason == refused.reason).unwrap_or(refused)
}

/// One request, and when it is judged.
struct Call<'c, 'a> {
    snapshot: &'a Snapshot,
    target: &'c Target<'a>,
    head: &'c RequestHead<'a>,
    body: Body<'c>,
    now: Timestamp,
    tokens: Option<&'c TokenMemory>,
    diagnose: bool,
}

fn judge<'a>(call: &Call<'_, 'a>) -> Result<Authentication<'a>, Denial> {
    let admits = call.target.api.api.settings.admits;
    if call.target.plugins().is_guarded() {
        return plugin::judge(call);
    }
    if admits.is_anyone_alone() {
        return Ok(Authentication::Absent);
    }
    let refuse = |reason| Err(call.target.refuse(reason));
    match Collected::from(call.target, call.head) {
        Collected::Nothing if admits.contains(CredentialKind::Anyone) => Ok(Authentication::Absent),
        Collected::Nothing => refuse(DenyReason::CredentialMissing),
        Collected::Foreign => refuse(DenyReason::CredentialNotAdmitted),
        Collected::Several => refuse(DenyReason::CredentialAmbiguous),
        collected => judge_collected(call, collected),
    }
}

/// Judges the one thing that was presented.
fn judge_collected<'a>(call: &Call<'_, 'a>, collected: Collected<'a>) -> Result<Authentication<'a>, Denial> {
    let verified = match collected {
        Collected::Signature(presented) => {
            return signed::judge(call, &presented.map_err(|denial| call.place(*denial))?);
        }
        Collected::AppCode(code) => judge_app_code(call, &code)?,
        Collected::Opaque(slot) => judge_opaque(call, &slot)?,
        Collected::Nothing | Collected::Foreign | Collected::Several => {
            return Err(call.refuse_plainly(DenyReason::CredentialMissing));
        }
    };
    Ok(Authentication::Verified(Box::new(verified)))
}

impl Call<'_, '_> {
    /// A refusal, with what was asked for.
    fn place(&self, denial: Denial) -> Denial {
        Denial { target: Some((self.target.api.api.id, self.target.stage)), ..denial }
    }

    fn refuse_plainly(&self, reason: DenyReason) -> Denial {
        self.place(Denial::new(reason))
    }
}

/// An AppCode is its own proof, which is why it does not travel in the clear.
fn judge_app_code<'a>(call: &Call<'_, 'a>, code: &AppCode<'a>) -> Result<Verified<'a>, Denial> {
    let refuse = |reason| Denial { dialect: Dialect::Alibaba, ..call.refuse_plainly(reason) };
    let safe = call.head.secure || call.head.client.to_canonical().is_loopback();
    if call.target.api.api.settings.app_code_requires_tls && !safe {
        let hint = "this API takes AppCodes over HTTPS only: call it so, or allow plain HTTP by `app_code_requires_tls: false`";
        return Err(refuse(DenyReason::CredentialNotAdmitted).with_hint(hint));
    }
    let found = call.snapshot.credential_by_digest(&call.snapshot.digest(&code.value));
    match found.filter(|(_, credential)| matches!(credential.proof, ProofEntry::AppCode(_))) {
        Some((caller, credential)) => Ok(verified(caller, credential)),
        None => Err(refuse(DenyReason::CredentialUnknown)),
    }
}

/// A value that may be an API key or a token: one credential, whichever it is.
fn judge_opaque<'a>(call: &Call<'_, 'a>, slot: &Slot<'a>) -> Result<Verified<'a>, Denial> {
    let admits = call.target.api.api.settings.admits;
    let keys = admits.contains(CredentialKind::ApiKey);
    if keys && let Some(outcome) = find_key(call, slot) {
        return outcome;
    }
    if admits.contains(CredentialKind::Jwt)
        && let Some(outcome) = token::judge(call, slot, !keys)
    {
        return outcome;
    }
    Err(call.refuse_plainly(DenyReason::CredentialUnknown))
}

/// The API key that stands here, refused if its consumer keeps no keys here; `None` where nobody has such a key.
fn find_key<'a>(call: &Call<'_, 'a>, slot: &Slot<'a>) -> Option<Result<Verified<'a>, Denial>> {
    slot.keys(call.target.usage).find_map(|(source, text)| {
        let (caller, credential) = call.snapshot.credential_by_digest(&call.snapshot.digest(text))?;
        if !matches!(credential.proof, ProofEntry::ApiKey(_)) {
            return None;
        }
        if !caller.key_sources().iter().any(|declared| source.is(declared)) {
            return Some(Err(call.refuse_plainly(DenyReason::CredentialUnknown)));
        }
        Some(Ok(verified(caller, credential)))
    })
}

/// What is known of a caller whose credential proves it by being presented.
fn verified<'a>(caller: &'a CallerEntry, credential: &'a CredentialEntry) -> Verified<'a> {
    Verified {
        caller,
        credential,
        plugin: None,
        scheme: None,
        nonce: None,
        claims: Vec::new(),
        forward_credential: false,
        digest: None,
        place: None,
    }
}
