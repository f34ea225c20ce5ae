//! Those whom plugins admit: keys, names with passwords, tokens and signatures that a plugin was told.
//!
//! It is the core's own search and judgement, by the plugin's own credentials. Where the API admits other credentials as
//! well, one is enough, and two are one too many; what stands at a place of both is judged by both.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_model::{CredentialKind, DenyReason};
use smallvec::SmallVec;

use super::collect::{Collected, Slot};
use super::{Call, query, signed, verified};
use crate::jwt::{self, Unverified};
use crate::signature::Presented;
use crate::snapshot::{Admit, AdmitBy, JwtEntry, Part, PluginEntry, ProofEntry};
use crate::{Authentication, CredentialEntry, Denial, Verified};

/// A plugin that admits callers.
#[derive(Clone, Copy)]
struct Door<'a> {
    entry: &'a Arc<PluginEntry>,
    admit: &'a Admit,
}

/// What was presented at a place of plugins.
struct Found<'a> {
    part: Part,
    name: Cow<'a, str>,
    value: Cow<'a, [u8]>,
    /// Whose place it is.
    doors: SmallVec<[Door<'a>; 2]>,
}

/// What came of showing something to the plugins whose place it stands at: `None`, none of them knows it.
type Outcome<'a> = Option<Result<Authentication<'a>, Denial>>;

/// Judges a call of an API to which a plugin admits callers.
pub(super) fn judge<'a>(call: &Call<'_, 'a>) -> Result<Authentication<'a>, Denial> {
    let refuse = |reason| Err(call.refuse_plainly(reason));
    let doors: SmallVec<[Door<'a>; 2]> =
        call.target.plugins().admits().map(|(entry, admit)| Door { entry, admit }).collect();
    let found = find(call, &doors);
    let signature = find_signature(call, &doors);
    let core = Collected::from(call.target, call.head);
    let elsewhere = match (&core, found.first()) {
        (Collected::Nothing | Collected::Foreign, _) => false,
        (Collected::Signature(_), None) => signature.is_none(),
        (Collected::Opaque(slot), Some(one)) => !one.is(slot),
        _ => true,
    };
    let presented = found.len() + usize::from(signature.is_some()) + usize::from(elsewhere);
    let outcome = match (presented, found.first(), signature) {
        (2.., ..) => return refuse(DenyReason::CredentialAmbiguous),
        (_, Some(found), _) => show(call, found),
        (_, None, Some(presented)) => {
            show_signature(call, &doors, &presented.map_err(|denial| call.place(denial))?)
        }
        (_, None, None) => None,
    };
    match (outcome, core) {
        (Some(Ok(authentication)), _) => Ok(authentication),
        (_, core @ (Collected::Opaque(_) | Collected::AppCode(_) | Collected::Signature(_))) => {
            super::judge_collected(call, core)
        }
        (Some(refused), _) => refused,
        (None, Collected::Several) => refuse(DenyReason::CredentialAmbiguous),
        (None, _) if presented > 0 => refuse(unknown(&doors)),
        (None, Collected::Foreign) => refuse(DenyReason::CredentialNotAdmitted),
        (None, _) => refuse(DenyReason::CredentialMissing),
    }
}

/// Nobody has what was presented; where nobody can have anything, that is another matter.
fn unknown(doors: &[Door<'_>]) -> DenyReason {
    if doors.iter().all(|door| door.admit.is_without_credentials()) {
        DenyReason::SecretUnresolvable
    } else {
        DenyReason::CredentialUnknown
    }
}

/// Everything that stands at a place of a plugin and could be a credential there.
fn find<'a>(call: &Call<'_, 'a>, doors: &[Door<'a>]) -> SmallVec<[Found<'a>; 2]> {
    let mut all = SmallVec::new();
    let mut note = |part, name: Cow<'a, str>, value: Cow<'a, [u8]>| {
        // Nothing is written there: nothing is presented.
        if value.is_empty() {
            return;
        }
        let fits = |door: &&Door<'a>| door.admit.takes(part, &name, &value);
        let doors: SmallVec<[Door<'a>; 2]> = doors.iter().filter(fits).copied().collect();
        if !doors.is_empty() {
            all.push(Found { part, name, value, doors });
        }
    };
    for field in call.head.fields {
        note(Part::Header, Cow::Borrowed(field.name), Cow::Borrowed(field.value));
        if field.name.eq_ignore_ascii_case("cookie") {
            for pair in field.value.split(|byte| *byte == b';') {
                let mut parts = pair.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
                let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                if let Ok(name) = std::str::from_utf8(name) {
                    note(Part::Cookie, Cow::Borrowed(name), Cow::Borrowed(value));
                }
            }
        }
    }
    for (name, value) in call.head.query.into_iter().flat_map(query::pairs) {
        note(Part::Query, query::decode_name(name), query::decode(value));
    }
    all
}

fn find_signature<'a>(call: &Call<'_, 'a>, doors: &[Door<'a>]) -> Option<Result<Presented<'a>, Denial>> {
    let signed = |door: &Door<'_>| matches!(door.admit.by, AdmitBy::Pairs);
    doors.iter().any(signed).then(|| Presented::find(call.head)).flatten()
}

impl Found<'_> {
    /// Is it what the core found, too?
    fn is(&self, slot: &Slot<'_>) -> bool {
        slot.is_at(self.part, &self.name, &self.value)
    }
}

impl Admit {
    /// Could this be a credential here?
    fn takes(&self, part: Part, name: &str, value: &[u8]) -> bool {
        let is_place = || {
            self.places.iter().any(|(other, place)| match part {
                Part::Header => *other == part && place.eq_ignore_ascii_case(name),
                Part::Query | Part::Cookie => *other == part && **place == *name,
            })
        };
        match &self.by {
            AdmitBy::Keys => is_place(),
            AdmitBy::Users => is_place() && basic(value).is_some(),
            AdmitBy::Tokens { .. } => is_place() && self.token_in(part, name, value).is_some(),
            AdmitBy::Pairs => false,
        }
    }

    fn token_in<'v>(&self, part: Part, name: &str, value: &'v [u8]) -> Option<&'v [u8]> {
        let jwt = self.caller.credentials.iter().find_map(jwt_of)?;
        super::collect::token_at(&jwt.settings.token, part, name, value)
    }
}

fn jwt_of(credential: &CredentialEntry) -> Option<&JwtEntry> {
    match &credential.proof {
        ProofEntry::Jwt(jwt) => Some(jwt),
        _ => None,
    }
}

/// What follows `Basic`.
fn basic(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    scheme.eq_ignore_ascii_case(b"basic ").then(|| rest.trim_ascii())
}

/// Shows what stands at a place to the plugins whose place it is.
fn show<'a>(call: &Call<'_, 'a>, found: &Found<'a>) -> Outcome<'a> {
    let mut refused: Option<Denial> = None;
    for door in &found.doors {
        let outcome = match &door.admit.by {
            AdmitBy::Keys => door.by_value(call, &found.value),
            AdmitBy::Users => door.by_password(call, &found.value),
            AdmitBy::Tokens { claims } => door.by_token(call, found, claims),
            AdmitBy::Pairs => continue,
        };
        match outcome {
            Ok(verified) => return Some(Ok(Authentication::Verified(Box::new(verified)))),
            Err(denial) if refused.as_ref().is_none_or(|before| before.reason < denial.reason) => {
                refused = Some(denial);
            }
            Err(_) => {}
        }
    }
    refused.map(Err)
}

impl<'a> Door<'a> {
    fn admitted(self, credential: &'a CredentialEntry) -> Verified<'a> {
        Verified { plugin: Some(self.entry), ..verified(&self.admit.caller, credential) }
    }

    fn by_value(self, call: &Call<'_, 'a>, value: &[u8]) -> Result<Verified<'a>, Denial> {
        match self.admit.by_digest(&call.snapshot.digest(value)) {
            Some(credential) => Ok(self.admitted(credential)),
            None => Err(call.refuse_plainly(unknown(&[self]))),
        }
    }

    fn by_password(self, call: &Call<'_, 'a>, value: &[u8]) -> Result<Verified<'a>, Denial> {
        let pair = basic(value).and_then(|text| STANDARD.decode(text).ok());
        let pair = pair.filter(|pair| pair.contains(&b':'));
        let pair = pair.ok_or_else(|| {
            call.refuse_plainly(DenyReason::CredentialMalformed)
                .with_hint("send `Authorization: Basic` with the base64 form of NAME:PASSWORD")
        })?;
        self.by_value(call, &pair)
    }

    fn by_token(
        self,
        call: &Call<'_, 'a>,
        found: &Found<'a>,
        claims: &[(Box<str>, Box<str>)],
    ) -> Result<Verified<'a>, Denial> {
        let text = self.admit.token_in(found.part, &found.name, &found.value).unwrap_or_default();
        let text =
            std::str::from_utf8(text).map_err(|_| call.refuse_plainly(DenyReason::CredentialMalformed))?;
        let token = Unverified::parse(text).map_err(|denial| call.place(denial))?;
        let mut refused = call.refuse_plainly(unknown(&[self]));
        for credential in &*self.admit.caller.credentials {
            let Some((jwt, keys)) = jwt_of(credential).and_then(|jwt| Some((jwt, jwt.keys.as_ref()?))) else {
                continue;
            };
            match jwt::verify(&token, keys, &jwt.settings, call.now) {
                Ok(held) => {
                    let fits = claims.iter().all(|(name, value)| token.claim(name) == Some(value));
                    if !fits {
                        let refused = call.refuse_plainly(DenyReason::CredentialUnknown);
                        return Err(refused.with_hint("a claim of the token is not what is asked for"));
                    }
                    let place = self.admit.places.first().map(|(part, name)| (*part, &**name));
                    return Ok(Verified {
                        claims: held.headers,
                        forward_credential: jwt.settings.forward,
                        place,
                        ..self.admitted(credential)
                    });
                }
                Err(denial) => refused = call.place(denial),
            }
        }
        Err(refused)
    }
}

/// Shows a signature to the plugin that has its AppKey.
fn show_signature<'a>(call: &Call<'_, 'a>, doors: &[Door<'a>], presented: &Presented<'a>) -> Outcome<'a> {
    let mut last = None;
    for door in doors.iter().filter(|door| matches!(door.admit.by, AdmitBy::Pairs)) {
        for (credential, pair) in door.admit.by_app_key(presented.app_key()) {
            let found = Some((&door.admit.caller, credential, pair));
            let judged = signed::judge_by(call, presented, found).map(|judged| match judged {
                Authentication::Verified(held) => {
                    Authentication::Verified(Box::new(Verified { plugin: Some(door.entry), ..*held }))
                }
                other => other,
            });
            match judged {
                Ok(held) => return Some(Ok(held)),
                Err(denial) => last = Some(Err(denial)),
            }
        }
    }
    let admits = call.target.api.api.settings.admits.contains(CredentialKind::AppSignature);
    // Where nobody else may have this AppKey, finding out costs as much as a mismatch does.
    last.or_else(|| (!admits).then(|| signed::judge_by(call, presented, None)))
}
