//! ID tokens, by which an OpenID provider says who signed in (OpenID Connect Core 1.0, sections 2 and 3.1.3.7).

use std::fmt;

use keyward_model::{DenyReason, JwsAlgorithm, JwtSettings, Timestamp};

use super::VerifyingKeys;
use super::claims::{check_parties, check_times, texts, time};
use super::unverified::{ClaimValue, Unverified};

/// What an ID token must say to be the answer to one sign-in.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedIdToken<'e> {
    /// The provider, exactly.
    pub issuer: &'e str,
    /// Who we are at the provider: the one audience.
    pub client_id: &'e str,
    /// What was sent along with this sign-in.
    pub nonce: &'e str,
    /// When this sign-in began: an older token is an answer to another one.
    pub begun: Timestamp,
}

/// Why an ID token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdTokenRefused {
    reason: DenyReason,
    text: &'static str,
}

impl IdTokenRefused {
    /// Is it signed by a key that is not among these? Newer ones may have it.
    pub fn wants_newer_keys(&self) -> bool {
        self.reason == DenyReason::CredentialUnknown
    }
}

impl fmt::Display for IdTokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Longest subject, in bytes. (The standard says 255.)
const SUBJECT_MAX: usize = 1_024;
/// Tolerance on times, in seconds.
const SKEW_S: u32 = 60;

/// Verifies an ID token, and gives its subject.
///
/// # Errors
/// What does not hold, the signature first.
pub fn verify_id_token(
    text: &str,
    keys: &VerifyingKeys,
    expected: &ExpectedIdToken<'_>,
    now: Timestamp,
) -> Result<String, IdTokenRefused> {
    let token = Unverified::parse(text).map_err(|denial| unread(denial.reason))?;
    check_signature(&token, keys)?;
    let settings = JwtSettings {
        issuer: Some(expected.issuer.into()),
        audiences: vec![expected.client_id.into()],
        clock_skew_s: SKEW_S,
        ..JwtSettings::default()
    };
    let party = |_| refused(DenyReason::ProofMismatch, "its `iss` or `aud` is another's");
    check_parties(&token, &settings).map_err(party)?;
    check_audience(&token, expected.client_id)?;
    let times = |_| refused(DenyReason::ProofExpired, "it has expired, or its times are not sound");
    check_times(&token, &settings, now).map_err(times)?;
    check_age(&token, expected.begun)?;
    if token.claim("nonce") != Some(expected.nonce) {
        return Err(refused(DenyReason::ProofMismatch, "its `nonce` is not the one of this sign-in"));
    }
    let subject = token.claim("sub").filter(|subject| is_subject(subject));
    subject
        .map(str::to_owned)
        .ok_or_else(|| refused(DenyReason::ProofMismatch, "its `sub` does not name a subject"))
}

fn refused(reason: DenyReason, text: &'static str) -> IdTokenRefused {
    IdTokenRefused { reason, text }
}

fn unread(reason: DenyReason) -> IdTokenRefused {
    match reason {
        DenyReason::AlgorithmNotAdmitted => refused(reason, "its algorithm is not admitted"),
        reason => refused(reason, "it is not a token in compact form"),
    }
}

/// The provider's own keys, and never a key that both sides share: whoever knows that could be the provider.
fn check_signature(token: &Unverified<'_>, keys: &VerifyingKeys) -> Result<(), IdTokenRefused> {
    use JwsAlgorithm::{Hs256, Hs384, Hs512};
    if matches!(token.algorithm(), Hs256 | Hs384 | Hs512) {
        return Err(unread(DenyReason::AlgorithmNotAdmitted));
    }
    keys.check(token).map_err(|denial| match denial.reason {
        DenyReason::CredentialUnknown => {
            refused(DenyReason::CredentialUnknown, "it is signed by a key that the provider does not publish")
        }
        DenyReason::AlgorithmNotAdmitted => unread(DenyReason::AlgorithmNotAdmitted),
        reason => refused(reason, "its signature does not hold"),
    })
}

/// It is for us and nobody else, and handed out to us.
fn check_audience(token: &Unverified<'_>, client_id: &str) -> Result<(), IdTokenRefused> {
    let alone = match token.value("aud") {
        Some(ClaimValue::Text(_)) => true,
        Some(ClaimValue::Other(written)) => texts(written).is_some_and(|all| all.len() == 1),
        None => false,
    };
    let ours = token.value("azp").is_none() || token.claim("azp") == Some(client_id);
    match alone && ours {
        true => Ok(()),
        false => Err(refused(DenyReason::ProofMismatch, "its `aud` or `azp` names somebody else, too")),
    }
}

/// It was made for this sign-in, so it is no older.
fn check_age(token: &Unverified<'_>, begun: Timestamp) -> Result<(), IdTokenRefused> {
    match time(token, "iat") {
        Ok(Some(made)) if made.plus_millis(i64::from(SKEW_S) * 1_000) >= begun => Ok(()),
        _ => Err(refused(DenyReason::ProofExpired, "its `iat` lies before this sign-in, or is missing")),
    }
}

fn is_subject(text: &str) -> bool {
    !text.is_empty() && text.len() <= SUBJECT_MAX && !text.chars().any(char::is_control)
}
