//! The few names and values of which worlds and requests are made, so that they meet.

use keyward_model::*;
use keyward_testkit::signer;
use uuid::Uuid;

pub(crate) const DIGEST_KEY: DigestKey = DigestKey([9; 32]);

/// Where time begins in these worlds.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_780_315_200_000 + millis)
}

pub(crate) const HOSTS: [&str; 4] = ["x.test", "y.x.test", "z.y.x.test", "other.test"];
pub(crate) const HOST_SETS: [&[&str]; 6] =
    [&["x.test"], &[], &["*.x.test"], &["y.x.test"], &["x.test", "*.x.test"], &["*.y.x.test"]];
pub(crate) const BASES: [&str; 6] = ["/a", "/", "/a/b", "/b", "/test", "/a/x"];
pub(crate) const PREFIXES: [&str; 3] = ["/trial", "/a", "/test"];
pub(crate) const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
pub(crate) const OPERATION_SETS: [&[&str]; 5] = [
    &[],
    &["GET /{id}", "POST /", "GET /admin"],
    &["GET /", "* /{id}", "GET /{id}/x", "GET /admin/{x}"],
    &["GET /{id}", "DELETE /{other}", "POST /admin"],
    &["GET /b", "GET /1"],
];
pub(crate) const GRANTED_SETS: [&[&str]; 4] =
    [&["GET /{id}"], &["* /admin", "GET /"], &["POST /", "GET /1"], &["* /{a}/{b}", "* /{a}"]];
pub(crate) const CLAIM_NAMES: [&str; 2] = ["uid", "sub"];
pub(crate) const CLAIM_VALUES: [&str; 3] = ["ann", "bob", "cat"];
pub(crate) const KEY_SETS: [&str; 2] = ["first", "second"];
pub(crate) const ADMITTED: [&[CredentialKind]; 7] = [
    &[CredentialKind::ApiKey, CredentialKind::Jwt],
    &[CredentialKind::ApiKey],
    &[CredentialKind::ApiKey, CredentialKind::Anyone],
    &[CredentialKind::Jwt],
    &[CredentialKind::Anyone],
    &[CredentialKind::ApiKey, CredentialKind::AppSignature],
    &[CredentialKind::Jwt, CredentialKind::ApiKey, CredentialKind::AppSignature, CredentialKind::Anyone],
];

/// Sources of API keys, by number.
pub(crate) fn sources(number: u8) -> Vec<KeySource> {
    let header = |name: &str| KeySource::Header(name.parse().unwrap());
    match number % 5 {
        0 => vec![KeySource::Bearer],
        1 => vec![KeySource::Bearer, header("x-key")],
        2 => vec![KeySource::Query("key".into())],
        3 => vec![header("x-key"), header("x-other"), KeySource::Query("key".into())],
        _ => vec![header("x-token"), KeySource::Bearer],
    }
}

/// Places of tokens, by number.
pub(crate) fn place(number: u8) -> TokenPlace {
    let header =
        |name: &str, prefix: &str| TokenPlace::Header { name: name.parse().unwrap(), prefix: prefix.into() };
    match number % 6 {
        0 | 1 => TokenPlace::default(),
        2 => header("x-token", "JWT "),
        3 => header("x-token", ""),
        4 => TokenPlace::Query { name: "token".into(), prefix: "".into() },
        _ => TokenPlace::Cookie { name: "jar".into(), prefix: "T ".into() },
    }
}

pub(crate) fn key_set(number: u8) -> JwkSet {
    let kid = KEY_SETS[usize::from(number) % KEY_SETS.len()];
    JwkSet::symmetric(kid, secret(kid).as_bytes()).unwrap().1
}

/// A token that outlives every world.
pub(crate) fn token(kid: &str, claim: &str, value: &str) -> String {
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret(kid));
    let claims = serde_json::json!({"exp": at(0).as_millis() / 1000 + 3600, claim: value});
    signer::token("HS256", Some(kid), &secret, &claims)
}

fn secret(kid: &str) -> String {
    format!("{kid:_>40}")
}

/// The API keys that there may be: each consumer's own, and some that two of them may claim.
pub(crate) fn key_value(number: u8) -> String {
    format!("key-{:02}-0123456789", number % 20)
}

/// An id of this noun: never the same for two generations of a slot, and not in the order of slots.
pub(crate) fn uuid(noun: u8, slot: usize, generation: u32) -> Uuid {
    let mixed = (slot as u128).wrapping_mul(0x9e37_79b9) & 0xffff_ffff;
    Uuid::from_u128(u128::from(noun) << 96 | u128::from(generation) << 40 | mixed << 8 | slot as u128)
}
