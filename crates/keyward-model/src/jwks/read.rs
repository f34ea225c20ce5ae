//! Reading the keys of a set: every rule about one key.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::roca;
use super::{Jwk, JwkSet, JwsAlgorithm, KeyMaterial, SymmetricKey};
use crate::{JsonObject, JsonValue, ParseError};

/// Most members of a key set, and of a key: what is defined has less than half as many.
const MEMBERS_MAX: usize = 64;

/// What becomes of keys that are not for signatures, or of a kind that is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// They are refused: whoever gave them meant something by it.
    Refused,
    /// They are left out (RFC 7517, section 5): a provider publishes them for others.
    LeftOut,
}

/// The keys of the set, each sound in itself.
pub(super) fn keys(json: &str, length_max: usize, foreign: Foreign) -> Result<Vec<Jwk>, ParseError> {
    if json.len() > length_max {
        return error(format!("the key set has {} bytes: it may have {} at most", json.len(), length_max));
    }
    let set = JsonObject::parse(json, MEMBERS_MAX)
        .map_err(|fault| ParseError::new(format!("the key set {fault}; write it as {{\"keys\":[…]}}")))?;
    let Some(keys) = set.get("keys") else {
        return error(
            "the key set has no `keys`: write it as {\"keys\":[…]}, also when there is one key only",
        );
    };
    let Some(keys) = keys.elements() else {
        return error("`keys` is not an array: write the key set as {\"keys\":[…]}");
    };
    if keys.is_empty() || keys.len() > JwkSet::KEYS_MAX {
        return error(format!("the key set has {} keys: it has 1 to {}", keys.len(), JwkSet::KEYS_MAX));
    }
    let read = keys.into_iter().enumerate();
    let read: Vec<Jwk> = read
        .filter_map(|(index, value)| numbered_key(index + 1, value, foreign).transpose())
        .collect::<Result<_, ParseError>>()?;
    match read.is_empty() {
        true => error("the key set has no key that verifies signatures"),
        false => Ok(read),
    }
}

/// One key, unless it is left out; what is wrong with it is told with its number and kid.
fn numbered_key(number: usize, value: JsonValue<'_>, foreign: Foreign) -> Result<Option<Jwk>, ParseError> {
    let members = JsonObject::parse(value.as_written(), MEMBERS_MAX)
        .map_err(|fault| ParseError::new(format!("key {number} {fault}")))?;
    if foreign == Foreign::LeftOut && is_foreign(&members) {
        return Ok(None);
    }
    key(&members).map(Some).map_err(|wrong| {
        let kid = members.get("kid").and_then(JsonValue::as_str);
        let kid = kid.map(|kid| format!(" (kid `{}`)", shown(&kid))).unwrap_or_default();
        ParseError::new(format!("key {number}{kid}: {wrong}"))
    })
}

/// Is it for something other than signatures, or of a kind, curve or algorithm that is not known? A symmetric key never is:
/// that it is there at all is a mistake.
fn is_foreign(members: &JsonObject<'_>) -> bool {
    let said = |name: &str| members.get(name).and_then(JsonValue::as_str);
    let other = |name: &str, known: &[&str]| said(name).is_some_and(|text| !known.contains(&&*text));
    let operations = members.get("key_ops").and_then(JsonValue::elements);
    if said("kty").is_some_and(|kty| kty == "oct") {
        return false;
    }
    other("kty", &["RSA", "EC", "OKP"])
        || other("use", &["sig"])
        || other("crv", &["P-256", "P-384", "P-521", "Ed25519"])
        || said("alg").is_some_and(|alg| alg.parse::<JwsAlgorithm>().is_err())
        || operations
            .is_some_and(|all| !all.iter().any(|one| one.as_str().is_some_and(|name| name == "verify")))
}

fn key(members: &JsonObject<'_>) -> Result<Jwk, ParseError> {
    let kid = optional_text(members, "kid")?;
    if let Some(kid) = &kid {
        check_kid(kid)?;
    }
    check_purpose(members)?;
    let named = match optional_text(members, "alg")? {
        Some(text) => {
            Some(text.parse::<JwsAlgorithm>().map_err(|e| ParseError::new(format!("`alg` is {e}")))?)
        }
        None => None,
    };
    let (algorithm, material) = match &*text(members, "kty")? {
        "oct" => oct(members, named)?,
        "RSA" => rsa(members, named)?,
        "EC" => ec(members, named)?,
        "OKP" => okp(members, named)?,
        _ => return error("`kty` is not a kind of key: use oct, RSA, EC or OKP"),
    };
    Ok(Jwk { kid: kid.map(|kid| kid.into()), algorithm, material })
}

pub(super) fn check_kid(kid: &str) -> Result<(), ParseError> {
    if kid.is_empty() || kid.len() > JwkSet::KID_LENGTH_MAX || kid.chars().any(char::is_control) {
        return error(format!(
            "`kid` is not a key id: it has 1 to {} bytes and no control characters",
            JwkSet::KID_LENGTH_MAX
        ));
    }
    Ok(())
}

/// The key must be meant for verifying signatures, if it says what it is meant for.
fn check_purpose(members: &JsonObject<'_>) -> Result<(), ParseError> {
    if optional_text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return error("`use` is not `sig`: leave out keys that are not for signatures");
    }
    let Some(operations) = members.get("key_ops") else {
        return Ok(());
    };
    let operations = operations.elements().unwrap_or_default();
    let names: Vec<_> = operations.iter().filter_map(|operation| operation.as_str()).collect();
    let distinct =
        names.iter().enumerate().all(|(index, name)| !names.iter().skip(index + 1).any(|n| n == name));
    if names.len() != operations.len() || !distinct || !names.iter().any(|name| name == "verify") {
        return error("`key_ops` must be an array of different names with `verify` among them");
    }
    Ok(())
}

fn oct(
    members: &JsonObject<'_>,
    named: Option<JwsAlgorithm>,
) -> Result<(JwsAlgorithm, KeyMaterial), ParseError> {
    use JwsAlgorithm::{Hs256, Hs384, Hs512};
    let algorithm = fitting(named, "kty `oct`", &[Hs256, Hs384, Hs512])?;
    let key = SymmetricKey::new(bytes(members, "k")?, algorithm)?;
    Ok((algorithm, KeyMaterial::Oct(key)))
}

fn rsa(
    members: &JsonObject<'_>,
    named: Option<JwsAlgorithm>,
) -> Result<(JwsAlgorithm, KeyMaterial), ParseError> {
    use JwsAlgorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let algorithm = fitting(named, "kty `RSA`", &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512])?;
    let (modulus, exponent) = (positive(members, "n")?, positive(members, "e")?);
    let bits = bit_length(&modulus);
    if !(2048..=8192).contains(&bits) {
        return error(format!("`n` has {bits} bits: an RSA key has 2048 to 8192"));
    }
    if roca::bears_the_mark(&modulus) {
        return error(
            "`n` was made by a chip whose keys can be broken (CVE-2017-15361): make a new key elsewhere",
        );
    }
    if !is_odd(&modulus) {
        return error("`n` is even: it is not the modulus of an RSA key");
    }
    if !is_odd(&exponent) || !(17..=32).contains(&bit_length(&exponent)) {
        return error(
            "`e` is not a sound exponent: use 65537 (`AQAB`), or an odd number from there to 4294967295",
        );
    }
    Ok((algorithm, KeyMaterial::Rsa { modulus: modulus.into(), exponent: exponent.into() }))
}

fn ec(
    members: &JsonObject<'_>,
    named: Option<JwsAlgorithm>,
) -> Result<(JwsAlgorithm, KeyMaterial), ParseError> {
    let (curve, algorithm, length) = match &*text(members, "crv")? {
        "P-256" => ("crv `P-256`", JwsAlgorithm::Es256, 32),
        "P-384" => ("crv `P-384`", JwsAlgorithm::Es384, 48),
        "P-521" => ("crv `P-521`", JwsAlgorithm::Es512, 66),
        _ => return error("`crv` is not a curve for kty `EC`: use P-256, P-384 or P-521"),
    };
    let algorithm = fitting(named, curve, &[algorithm])?;
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    for (name, coordinate) in [("x", &x), ("y", &y)] {
        if coordinate.len() != length {
            return error(format!("`{name}` has {} bytes: for {curve} it has {length}", coordinate.len()));
        }
    }
    Ok((algorithm, KeyMaterial::Ec { x: x.into(), y: y.into() }))
}

fn okp(
    members: &JsonObject<'_>,
    named: Option<JwsAlgorithm>,
) -> Result<(JwsAlgorithm, KeyMaterial), ParseError> {
    if text(members, "crv")? != "Ed25519" {
        return error("`crv` is not a curve for kty `OKP`: use Ed25519");
    }
    let algorithm = fitting(named, "crv `Ed25519`", &[JwsAlgorithm::EdDsa])?;
    let x = bytes(members, "x")?;
    match <[u8; 32]>::try_from(x.as_slice()) {
        Ok(point) => Ok((algorithm, KeyMaterial::Ed25519(point))),
        Err(_) => error(format!("`x` has {} bytes: for crv `Ed25519` it has 32", x.len())),
    }
}

/// The algorithm that the key names, if it is among those that fit; the first that fits, if it names none.
fn fitting(
    named: Option<JwsAlgorithm>,
    what: &str,
    fit: &[JwsAlgorithm],
) -> Result<JwsAlgorithm, ParseError> {
    match (named, fit.first()) {
        (Some(named), _) if fit.contains(&named) => Ok(named),
        (None, Some(default)) => Ok(*default),
        (named, _) => {
            let names: Vec<_> = fit.iter().map(|algorithm| algorithm.as_str()).collect();
            let named = named.map_or("none", JwsAlgorithm::as_str);
            error(format!("`alg` `{named}` does not fit {what}: use {}", names.join(", ")))
        }
    }
}

fn text<'a>(members: &JsonObject<'a>, name: &str) -> Result<Cow<'a, str>, ParseError> {
    match optional_text(members, name)? {
        Some(text) => Ok(text),
        None => error(format!("`{name}` is missing")),
    }
}

fn optional_text<'a>(members: &JsonObject<'a>, name: &str) -> Result<Option<Cow<'a, str>>, ParseError> {
    match members.get(name).map(JsonValue::as_str) {
        None => Ok(None),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => error(format!("`{name}` is not a string")),
    }
}

fn bytes(members: &JsonObject<'_>, name: &str) -> Result<Vec<u8>, ParseError> {
    URL_SAFE_NO_PAD.decode(&*text(members, name)?).map_err(|_| {
        ParseError::new(format!(
            "`{name}` is not base64url: use A-Z a-z 0-9 - _, no padding, no unused bits set"
        ))
    })
}

/// A number without leading zeros (RFC 7518 section 6.3.1).
fn positive(members: &JsonObject<'_>, name: &str) -> Result<Vec<u8>, ParseError> {
    let bytes = bytes(members, name)?;
    match bytes.first() {
        Some(first) if *first != 0 => Ok(bytes),
        _ => error(format!("`{name}` is not a number: its first byte must not be zero")),
    }
}

fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}

/// A kid as an error may show it: escaped, and not longer than a line.
pub(super) fn shown(kid: &str) -> String {
    kid.chars().take(64).flat_map(char::escape_debug).collect()
}

fn error<T>(text: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError::new(text))
}
