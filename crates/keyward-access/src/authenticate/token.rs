//! Tokens: whose they say to be, and whether they are.

use std::sync::Arc;

use keyward_model::DenyReason;

use super::collect::Slot;
use super::{Call, verified};
use crate::jwt::{self, Unverified, VerifyingKeys};
use crate::snapshot::{JwtEntry, ProofEntry};
use crate::{CallerEntry, CredentialEntry, Denial, Verified};

/// Most consumers whose keys are asked about one token. There is one, but for partners who chose the same claim.
const CANDIDATES_MAX: usize = 8;

/// The one whose token stands here, or why it is nobody's; `None` where nothing here has a token's shape.
///
/// Where no API keys are admitted, what stands here can only be a token, and is read as one whatever its shape.
pub(super) fn judge<'a>(
    call: &Call<'_, 'a>,
    slot: &Slot<'a>,
    nothing_else: bool,
) -> Option<Result<Verified<'a>, Denial>> {
    let texts = || slot.tokens(call.target.usage);
    let tokens = texts().filter_map(|text| read(call, std::str::from_utf8(text).ok()?));
    let outcome = tokens.map(|token| judge_token(call, slot, &token?)).reduce(better);
    // What has no token's shape in any reading is told what is wrong with it.
    outcome.or_else(|| {
        let text = texts().next().filter(|_| nothing_else)?;
        Some(std::str::from_utf8(text).map_or_else(
            |_| Err(call.refuse_plainly(DenyReason::CredentialMalformed)),
            |text| judge_token(call, slot, &parse(call, text)?),
        ))
    })
}

/// The one that opens the door, else the one that came further.
fn better<'a>(
    one: Result<Verified<'a>, Denial>,
    other: Result<Verified<'a>, Denial>,
) -> Result<Verified<'a>, Denial> {
    match (&one, &other) {
        (Ok(_), _) => one,
        (Err(_), Ok(_)) => other,
        (Err(first), Err(second)) => {
            if second.reason > first.reason {
                other
            } else {
                one
            }
        }
    }
}

/// A consumer that a token says to be of.
type Candidate<'a> = (&'a CallerEntry, &'a CredentialEntry, &'a JwtEntry);

/// The token that stands here; `None` where it has no token's shape.
fn read<'t>(call: &Call<'_, '_>, text: &'t str) -> Option<Result<Unverified<'t>, Denial>> {
    let remembered = call.tokens.and_then(|tokens| tokens.find(text)).map(Ok);
    remembered.or_else(|| jwt::looks_like_token(text).then(|| parse(call, text)))
}

fn parse<'t>(call: &Call<'_, '_>, text: &'t str) -> Result<Unverified<'t>, Denial> {
    Unverified::parse(text).map_err(|denial| call.place(denial))
}

fn judge_token<'a>(
    call: &Call<'_, 'a>,
    slot: &Slot<'a>,
    token: &Unverified<'_>,
) -> Result<Verified<'a>, Denial> {
    let mut found: Option<Verified<'a>> = None;
    let mut refused: Option<Denial> = None;
    let here =
        |(_, _, jwt): &Candidate<'a>| slot.token_at(&jwt.settings.token) == Some(token.text().as_bytes());
    for (caller, credential, jwt) in candidates(call, token).filter(here).take(CANDIDATES_MAX) {
        let verified_by = keys_of(call, jwt).ok_or_else(|| Denial::new(DenyReason::SecretUnresolvable));
        let outcome = verified_by
            .and_then(|keys| jwt::verify(token, &keys, &jwt.settings, call.now).map(|claims| (claims, keys)));
        match outcome {
            Ok(_) if found.as_ref().is_some_and(|other| other.caller.id != caller.id) => {
                return Err(call.refuse_plainly(DenyReason::CredentialAmbiguous));
            }
            Ok((claims, keys)) => {
                if let Some(tokens) = call.tokens {
                    tokens.remember(token, &keys);
                }
                found = Some(Verified {
                    claims: claims.headers,
                    forward_credential: jwt.settings.forward,
                    place: Some(slot.declared_at(call.target.usage)),
                    ..verified(caller, credential)
                });
            }
            Err(denial) if refused.as_ref().is_none_or(|before| before.reason < denial.reason) => {
                refused = Some(outdated(denial, jwt));
            }
            Err(_) => {}
        }
    }
    found.ok_or_else(|| call.place(refused.unwrap_or_else(|| jwt::refuse_unknown(token))))
}

/// The keys to verify by: the consumer's own, or those that were fetched, as long as they are to be believed.
fn keys_of(call: &Call<'_, '_>, jwt: &JwtEntry) -> Option<Arc<VerifyingKeys>> {
    if let Some(own) = &jwt.keys {
        return Some(Arc::clone(own));
    }
    let remote = jwt.settings.remote.as_ref()?;
    let set = call.snapshot.fetched_keys().get(&remote.url)?;
    let age_ms = call.now.as_millis().saturating_sub(set.at.as_millis());
    (age_ms <= i64::from(remote.keep_s).saturating_mul(1000)).then_some(set.keys)
}

/// Says of which fetched set a newer one might know more.
fn outdated(denial: Denial, jwt: &JwtEntry) -> Denial {
    let might = matches!(denial.reason, DenyReason::SecretUnresolvable | DenyReason::CredentialUnknown);
    let remote = jwt.settings.remote.as_ref().filter(|_| might);
    Denial { key_set: remote.map(|remote| Box::new(remote.url.clone())), ..denial }
}

/// The consumers that the token's claims name: of the API's account, and of others if they were granted on the API.
fn candidates<'c, 'a: 'c>(
    call: &'c Call<'_, 'a>,
    token: &'c Unverified<'_>,
) -> impl Iterator<Item = Candidate<'a>> + use<'c, 'a> {
    let snapshot = call.snapshot;
    let api = &call.target.api.api;
    let named = move |account, name: &str| {
        let (caller, credential, _) = snapshot.identity(account, name, token.claim(name)?)?;
        Some(entries_of(caller, credential))
    };
    let own_names = snapshot.account_entry(api.account).into_iter().flat_map(|account| &account.claim_names);
    let own = own_names.filter_map(move |(name, _)| named(api.account, name)).flatten();
    let partners = call.target.usage.into_iter().flat_map(|usage| usage.identities());
    let partners = partners.filter_map(move |(account, name)| named(account, name)).flatten();
    own.chain(partners.filter(move |(caller, ..)| has_grant(call, caller)))
}

/// The credential with each key set that it may have.
fn entries_of<'a>(
    caller: &'a CallerEntry,
    credential: &'a CredentialEntry,
) -> impl Iterator<Item = Candidate<'a>> {
    let entries = caller.credentials().iter().filter(move |other| other.id() == credential.id());
    entries.filter_map(move |entry| match &entry.proof {
        ProofEntry::Jwt(jwt) => Some((caller, entry, &**jwt)),
        _ => None,
    })
}

/// Was the caller ever granted on the API, by itself or in a group?
fn has_grant(call: &Call<'_, '_>, caller: &CallerEntry) -> bool {
    let api = call.target.api.api.id;
    let mut groups = caller.groups().iter().filter_map(|id| call.snapshot.group(*id));
    !caller.grants_on(api).is_empty() || groups.any(|group| !group.grants_on(api).is_empty())
}
