//! The claims that decide: who issued a token, for whom, and for how long.

use keyward_model::{DenyReason, JwtSettings, Timestamp};

use super::unverified::{ClaimValue, Unverified};
use crate::Denial;

/// Last second of the year 9999: a later time is a mistake, most often milliseconds.
const SECONDS_MAX: i64 = 253_402_300_799;

/// `iss` and `aud` must be what the settings ask for, compared exactly.
pub(super) fn check_parties(token: &Unverified<'_>, settings: &JwtSettings) -> Result<(), Denial> {
    let mismatch = |hint| Err(Denial::new(DenyReason::ProofMismatch).with_hint(hint));
    if settings.issuer.as_deref().is_some_and(|issuer| token.claim("iss") != Some(issuer)) {
        return mismatch("the token's `iss` is not the issuer that is configured for this consumer");
    }
    if !settings.audiences.is_empty() && !names_audience(token, &settings.audiences) {
        return mismatch(
            "the token's `aud` names none of the audiences that are configured for this consumer",
        );
    }
    Ok(())
}

/// `aud` is a string or an array of strings (RFC 7519 section 4.1.3).
fn names_audience(token: &Unverified<'_>, audiences: &[Box<str>]) -> bool {
    let is_ours = |named: &str| audiences.iter().any(|audience| **audience == *named);
    match token.value("aud") {
        Some(ClaimValue::Text(audience)) => is_ours(audience),
        Some(ClaimValue::Other(written)) => {
            texts(written).is_some_and(|named| named.iter().any(|n| is_ours(n)))
        }
        None => false,
    }
}

/// The strings of an array of strings; `None` for anything else.
pub(super) fn texts(written: &str) -> Option<Vec<String>> {
    if written.starts_with('[') { serde_json::from_str(written).ok() } else { None }
}

/// `exp`, `nbf` and `iat` must allow `now`, give or take the skew. The answer is `exp`.
pub(super) fn check_times(
    token: &Unverified<'_>,
    settings: &JwtSettings,
    now: Timestamp,
) -> Result<Option<Timestamp>, Denial> {
    let skew = i64::from(settings.clock_skew_s) * 1_000;
    let expired = |hint| Err(Denial::new(DenyReason::ProofExpired).with_hint(hint));
    let (Ok(exp), Ok(nbf), Ok(iat)) = (time(token, "exp"), time(token, "nbf"), time(token, "iat")) else {
        return expired("`exp`, `nbf` and `iat` must be numbers: seconds since 1970-01-01T00:00:00Z");
    };
    match exp {
        None if settings.require_exp => return expired("the token has no `exp`: it must end some time"),
        Some(exp) if now >= exp.plus_millis(skew) => return expired("the token's `exp` has passed"),
        _ => {}
    }
    if nbf.is_some_and(|nbf| now < nbf.plus_millis(-skew)) {
        return expired("the token's `nbf` has not come");
    }
    if iat.is_some_and(|iat| now < iat.plus_millis(-skew)) {
        return expired("the token's `iat` lies in the future: compare the clocks");
    }
    Ok(exp)
}

/// The time cannot be used: not a number, or out of range.
pub(super) struct NotATime;

/// A NumericDate (RFC 7519 section 2), to the millisecond below: seconds, perhaps with a fraction, up to the year 9999.
pub(super) fn time(token: &Unverified<'_>, name: &str) -> Result<Option<Timestamp>, NotATime> {
    let written = match token.value(name) {
        None => return Ok(None),
        Some(ClaimValue::Text(_)) => return Err(NotATime),
        Some(ClaimValue::Other(written)) => written,
    };
    if let Ok(seconds) = written.parse::<i64>() {
        let in_range = (0..=SECONDS_MAX).contains(&seconds);
        return if in_range { Ok(Some(Timestamp::from_millis(seconds * 1_000))) } else { Err(NotATime) };
    }
    // Valid JSON that begins like a number is one: Rust would read `inf` and `nan` too, JSON does not know them.
    if !written.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(NotATime);
    }
    let seconds = written.parse::<f64>().map_err(|_| NotATime)?;
    if !(0.0..SECONDS_MAX as f64 + 1.0).contains(&seconds) {
        return Err(NotATime);
    }
    Ok(Some(Timestamp::from_millis((seconds * 1_000.0).floor() as i64)))
}
