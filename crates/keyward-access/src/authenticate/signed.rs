//! Signatures of applications.

use keyward_model::DenyReason;

use super::{Call, verified};
use crate::signature::{Family, Judged, KeyPair, Presented, SignedRequest, verify};
use crate::snapshot::{KeyPairEntry, ProofEntry};
use crate::{Authentication, Body, BodyNeed, CallerEntry, CredentialEntry, Denial, Dialect, Verified};

/// Judges a signature by the key pair that its AppKey names, or by one that nobody has.
pub(super) fn judge<'a>(
    call: &Call<'_, 'a>,
    presented: &Presented<'a>,
) -> Result<Authentication<'a>, Denial> {
    let found = call.snapshot.key_pair(presented.app_key());
    let judged = judge_by(call, presented, found);
    match (judged, found) {
        // The value before this one may be what it was signed with.
        (Err(denial), Some((caller, credential, _))) if denial.reason == DenyReason::ProofMismatch => {
            let mut others = key_pairs_of(caller, credential);
            others.find_map(|other| judge_by(call, presented, Some(other)).ok()).ok_or(denial)
        }
        (judged, _) => judged,
    }
}

/// A key pair, and whose it is.
type Found<'a> = (&'a CallerEntry, &'a CredentialEntry, &'a KeyPairEntry);

/// The other values that the AppSecret of this credential may have.
fn key_pairs_of<'a>(
    caller: &'a CallerEntry,
    credential: &'a CredentialEntry,
) -> impl Iterator<Item = Found<'a>> {
    let entries = caller.credentials().iter().filter(move |other| other.id() == credential.id());
    entries.filter(move |other| !std::ptr::eq(*other, credential)).filter_map(move |other| {
        match &other.proof {
            ProofEntry::KeyPair(pair) => Some((caller, other, &**pair)),
            _ => None,
        }
    })
}

/// Judges a signature by this key pair, or by one that nobody has.
pub(super) fn judge_by<'a>(
    call: &Call<'_, 'a>,
    presented: &Presented<'a>,
    found: Option<Found<'a>>,
) -> Result<Authentication<'a>, Denial> {
    check_sent(call, presented)?;
    let policy = &call.target.api.api.settings.signature;
    if let Some((caller, credential, _)) = found.filter(|(_, credential, _)| credential.has_no_value()) {
        let refused = call.refuse_plainly(DenyReason::SecretUnresolvable);
        let (caller, credential) = (Some(caller.id), Some(credential.id));
        let dialect = presented.family().dialect();
        return Err(Denial { caller, credential, dialect, ..refused });
    }
    let pair = found.map(|(_, _, pair)| KeyPair { scheme: pair.scheme, secret: &pair.secret });
    let request = SignedRequest {
        head: call.head,
        signed_path: call.target.path_signed_by(presented.family() == Family::Tencent),
        body: call.body,
    };
    let judged = verify(presented, pair, policy, &request, call.now, call.diagnose)
        .map_err(|denial| call.place(denial))?;
    let proof = match judged {
        Judged::Held(proof) => proof,
        Judged::NeedsWholeBody => return Ok(Authentication::NeedsBody(BodyNeed::Whole)),
    };
    if proof.digest.is_some() && matches!(call.body, Body::Unread) {
        return Ok(Authentication::NeedsBody(BodyNeed::Digest));
    }
    let Some((caller, credential, pair)) = found else {
        // Nothing verifies without a key pair; were it otherwise, it would be nobody's.
        return Err(call.refuse_plainly(DenyReason::CredentialUnknown));
    };
    Ok(Authentication::Verified(Box::new(Verified {
        scheme: Some(pair.scheme),
        nonce: proof.nonce_use(caller.id, policy),
        digest: proof.digest,
        ..verified(caller, credential)
    })))
}

/// An AppKey alone is half a credential, whoever's it is: there is nothing to judge.
fn check_sent(call: &Call<'_, '_>, presented: &Presented<'_>) -> Result<(), Denial> {
    if presented.family() != Family::Alibaba || call.head.value("x-ca-signature").is_some() {
        return Ok(());
    }
    let refused = call.refuse_plainly(DenyReason::CredentialMalformed);
    let refused = Denial { dialect: Dialect::Alibaba, message: Some("Empty Signature".into()), ..refused };
    Err(refused.with_hint("send the signature in `X-Ca-Signature` beside `X-Ca-Key`"))
}
