//! What the tests of tokens share: keys of every algorithm, and a signer that makes any token, sound or not.

mod attacks;
mod claims;
mod id_token;
mod keys;
mod memory;
mod oracle;
mod properties;
mod standards;
mod wycheproof;

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{encoding::AsDer, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::{DenyReason, JwkSet, JwsAlgorithm, JwtSettings, ParseError, Timestamp};

use super::unverified::{Jws, Parts, decoded};
use super::{Unverified, VerifiedClaims, VerifyingKeys, looks_like_token, verify};

/// The moment in which every test takes place: 2026-01-31T12:00:00Z.
const NOW_S: i64 = 1_769_860_800;
const NOW: Timestamp = Timestamp::from_millis(NOW_S * 1_000);

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unbase64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A key with its private half.
enum SigningKey {
    Hmac(Vec<u8>),
    Rsa(&'static RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Makes tokens as somebody with this key would.
struct Signer {
    kid: String,
    algorithm: JwsAlgorithm,
    key: SigningKey,
}

static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

/// One signer for each of the 13 algorithms.
static SIGNERS: LazyLock<Vec<Signer>> = LazyLock::new(|| {
    JwsAlgorithm::ALL.into_iter().map(|algorithm| Signer::generate("own", algorithm)).collect()
});

fn signer(algorithm: JwsAlgorithm) -> &'static Signer {
    SIGNERS.iter().find(|signer| signer.algorithm == algorithm).unwrap()
}

impl Signer {
    fn generate(kid: &str, algorithm: JwsAlgorithm) -> Self {
        let ec = |curve| SigningKey::Ec(EcdsaKeyPair::generate(curve).unwrap());
        let key = match algorithm.as_str() {
            "HS256" | "HS384" | "HS512" => {
                let mut key = vec![0; 64];
                aws_lc_rs::rand::fill(&mut key).unwrap();
                SigningKey::Hmac(key)
            }
            "ES256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "ES512" => ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
            "EdDSA" => SigningKey::Ed(Ed25519KeyPair::generate().unwrap()),
            _ => SigningKey::Rsa(&RSA),
        };
        Self { kid: kid.into(), algorithm, key }
    }

    fn jwk(&self) -> String {
        let material = match &self.key {
            SigningKey::Hmac(key) => format!(r#""kty":"oct","k":"{}""#, base64(key)),
            SigningKey::Rsa(pair) => {
                let (n, e) = rsa_components(pair);
                format!(r#""kty":"RSA","n":"{}","e":"{}""#, base64(n), base64(e))
            }
            SigningKey::Ec(pair) => {
                let (crv, length) = match self.algorithm {
                    JwsAlgorithm::Es256 => ("P-256", 32),
                    JwsAlgorithm::Es384 => ("P-384", 48),
                    _ => ("P-521", 66),
                };
                let (x, y) = pair.public_key().as_ref()[1..].split_at(length);
                format!(r#""kty":"EC","crv":"{crv}","x":"{}","y":"{}""#, base64(x), base64(y))
            }
            SigningKey::Ed(pair) => {
                format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, base64(pair.public_key()))
            }
        };
        format!(r#"{{{material},"alg":"{}","kid":"{}"}}"#, self.algorithm, self.kid)
    }

    /// The signature of these bytes, with this algorithm if the key can.
    fn sign_as(&self, algorithm: &str, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            SigningKey::Hmac(key) => hmac_of(algorithm, key, signed),
            SigningKey::Ec(pair) => pair.sign(&random, signed).unwrap().as_ref().to_vec(),
            SigningKey::Ed(pair) => pair.sign(signed).as_ref().to_vec(),
            SigningKey::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, signed, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A token of exactly this header and payload, signed soundly.
    fn token_of(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(payload));
        let signature = self.sign_as(self.algorithm.as_str(), signed.as_bytes());
        format!("{signed}.{}", base64(signature))
    }

    /// A sound token of these claims.
    fn token(&self, payload: &str) -> String {
        self.token_of(&format!(r#"{{"alg":"{}","typ":"JWT","kid":"{}"}}"#, self.algorithm, self.kid), payload)
    }
}

fn hmac_of(algorithm: &str, key: &[u8], signed: &[u8]) -> Vec<u8> {
    let hash = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(hash, key), signed).as_ref().to_vec()
}

/// Modulus and exponent, from the two numbers of the PKCS#1 form.
fn rsa_components(pair: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
    let der = pair.public_key().as_ref();
    let modulus = &der[der.len() - 5 - pair.public_modulus_len()..der.len() - 5];
    assert_eq!(der[der.len() - 5..], [2, 3, 1, 0, 1], "the exponent is 65537");
    (modulus.to_vec(), vec![1, 0, 1])
}

/// The public key as SubjectPublicKeyInfo in DER.
fn rsa_der(pair: &RsaKeyPair) -> Vec<u8> {
    let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

fn set_of(jwks: &[String]) -> Result<JwkSet, ParseError> {
    JwkSet::parse(&format!(r#"{{"keys":[{}]}}"#, jwks.join(",")))
}

fn compiled(jwks: &[String]) -> Result<VerifyingKeys, ParseError> {
    VerifyingKeys::compile(&set_of(jwks)?)
}

fn keys_of(signers: &[&Signer]) -> VerifyingKeys {
    compiled(&signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()).unwrap()
}

/// Claims of `j2`, valid for five minutes.
fn j2() -> String {
    format!(r#"{{"uid":"j2","exp":{}}}"#, NOW_S + 300)
}

/// The whole way of a token: read, claimed to be `j2`'s, verified.
fn judge(token: &str, keys: &VerifyingKeys, settings: &JwtSettings) -> Result<VerifiedClaims, DenyReason> {
    let token = Unverified::parse(token).map_err(|denial| denial.reason)?;
    if token.claim("uid") != Some("j2") {
        return Err(super::refuse_unknown(&token).reason);
    }
    verify(&token, keys, settings, NOW).map_err(|denial| denial.reason)
}

/// The reason for which the token is refused, with settings as they are by default.
fn reason(token: &str, keys: &VerifyingKeys) -> Option<DenyReason> {
    judge(token, keys, &JwtSettings::default()).err()
}

/// Does the signature hold, whatever the payload is?
fn signature_holds(token: &str, keys: &VerifyingKeys) -> bool {
    let parts = Parts::split(token).and_then(|parts| decoded(parts.payload).map(|_| parts));
    parts.and_then(Jws::read).and_then(|jws| keys.check_jws(&jws)).is_ok()
}
