//! Keys that verify tokens, parsed once when a Snapshot is made.

use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use keyward_model::{DenyReason, HmacAlgorithm, Jwk, JwkSet, JwsAlgorithm, KeyMaterial, ParseError};

use super::unverified::{Jws, SIGNATURE_LENGTH_MAX, Unverified};
use crate::Denial;
use crate::signature::SigningSecret;

/// The keys of a [`JwkSet`], ready to verify.
#[derive(Clone)]
pub struct VerifyingKeys {
    pub(super) keys: Box<[VerifyingKey]>,
}

impl VerifyingKeys {
    /// Parses the keys: points must lie on their curve, and an Ed25519 point must not be one of the few of small order,
    /// for which anyone can make signatures.
    ///
    /// # Errors
    /// Says which key is wrong and what to do; never what a key holds.
    pub fn compile(set: &JwkSet) -> Result<Self, ParseError> {
        let keys = set.keys().iter().enumerate().map(|(index, jwk)| {
            let verifier = Verifier::new(jwk).map_err(|wrong| {
                let kid = jwk.kid().map(|kid| format!(" (kid `{}`)", kid.escape_debug())).unwrap_or_default();
                ParseError::new(format!("key {}{kid}: {wrong}", index + 1))
            })?;
            Ok(VerifyingKey { kid: jwk.kid().map(Box::from), algorithm: jwk.algorithm(), verifier })
        });
        Ok(Self { keys: keys.collect::<Result<_, ParseError>>()? })
    }

    /// Does the token's signature hold under the key that it names?
    pub(super) fn check(&self, token: &Unverified<'_>) -> Result<(), Denial> {
        if token.held_under(self) { Ok(()) } else { self.check_jws(&token.jws()) }
    }

    pub(super) fn check_jws(&self, jws: &Jws<'_>) -> Result<(), Denial> {
        let key = self.named_by(jws)?;
        if key.algorithm != jws.algorithm {
            return Err(Denial::new(DenyReason::AlgorithmNotAdmitted));
        }
        let mut buffer = [0; SIGNATURE_LENGTH_MAX];
        match jws.signature(&mut buffer) {
            Some(signature) if key.verifier.holds(jws.signed.as_bytes(), signature) => Ok(()),
            _ => Err(Denial::new(DenyReason::ProofMismatch)),
        }
    }

    /// The key of exactly this `kid`; without `kid`, the only key that fits the algorithm. Never just any key.
    fn named_by(&self, jws: &Jws<'_>) -> Result<&VerifyingKey, Denial> {
        if let Some(kid) = &jws.kid {
            let named = |key: &&VerifyingKey| key.kid.as_deref() == Some(kid);
            return self.keys.iter().find(named).ok_or_else(|| unknown(jws));
        }
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == jws.algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(Denial::new(DenyReason::AlgorithmNotAdmitted)),
            (Some(_), Some(_)) => Err(unknown(jws)),
        }
    }
}

impl fmt::Debug for VerifyingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.kid, key.algorithm))).finish()
    }
}

#[derive(Clone)]
pub(super) struct VerifyingKey {
    kid: Option<Box<str>>,
    pub(super) algorithm: JwsAlgorithm,
    pub(super) verifier: Verifier,
}

/// What a key was worked up to.
#[derive(Clone)]
pub(super) enum Verifier {
    Hmac(HmacAlgorithm, SigningSecret),
    Public(ParsedPublicKey),
}

impl Verifier {
    fn new(jwk: &Jwk) -> Result<Self, ParseError> {
        match (jwk.algorithm(), jwk.material()) {
            (algorithm, KeyMaterial::Oct(key)) => Ok(Self::hmac(algorithm, key.expose_secret())),
            (algorithm, KeyMaterial::Rsa { modulus, exponent }) => rsa(algorithm, modulus, exponent),
            (algorithm, KeyMaterial::Ec { x, y }) => ec(algorithm, x, y),
            (_, KeyMaterial::Ed25519(point)) => ed25519(point),
        }
    }

    fn hmac(algorithm: JwsAlgorithm, key: &[u8]) -> Self {
        let algorithm = match algorithm {
            JwsAlgorithm::Hs384 => HmacAlgorithm::Sha384,
            JwsAlgorithm::Hs512 => HmacAlgorithm::Sha512,
            _ => HmacAlgorithm::Sha256,
        };
        Self::Hmac(algorithm, SigningSecret::from_bytes(key))
    }

    /// Does the signature hold? HMACs are compared in constant time; nothing else here is secret.
    pub(super) fn holds(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(algorithm, key) => key.verifies(*algorithm, signature, signed),
            Self::Public(key) => key.verify_sig(signed, signature).is_ok(),
        }
    }
}

fn rsa(algorithm: JwsAlgorithm, modulus: &[u8], exponent: &[u8]) -> Result<Verifier, ParseError> {
    let parameters: &'static RsaParameters = match algorithm {
        JwsAlgorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        JwsAlgorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        JwsAlgorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        JwsAlgorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        JwsAlgorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        _ => &RSA_PKCS1_2048_8192_SHA256,
    };
    RsaPublicKeyComponents { n: modulus, e: exponent }
        .to_parsed_public_key(parameters)
        .map(Verifier::Public)
        .map_err(|_| ParseError::new("`n` and `e` are not an RSA public key: export the key again"))
}

fn ec(algorithm: JwsAlgorithm, x: &[u8], y: &[u8]) -> Result<Verifier, ParseError> {
    let (curve, parameters): (_, &'static dyn VerificationAlgorithm) = match algorithm {
        JwsAlgorithm::Es384 => ("P-384", &ECDSA_P384_SHA384_FIXED),
        JwsAlgorithm::Es512 => ("P-521", &ECDSA_P521_SHA512_FIXED),
        _ => ("P-256", &ECDSA_P256_SHA256_FIXED),
    };
    // Uncompressed form (SEC 1 section 2.3.3); parsing it checks that the point is on the curve.
    let point = [&[4], x, y].concat();
    ParsedPublicKey::new(parameters, point)
        .map(Verifier::Public)
        .map_err(|_| ParseError::new(format!("`x` and `y` are not a point on {curve}: export the key again")))
}

fn ed25519(point: &[u8; 32]) -> Result<Verifier, ParseError> {
    let encoded = CompressedEdwardsY(*point);
    let sound = encoded
        .decompress()
        // Compressing it again tells encodings that are not canonical.
        .is_some_and(|point| !point.is_small_order() && point.compress() == encoded);
    match ParsedPublicKey::new(&ED25519, point) {
        Ok(key) if sound => Ok(Verifier::Public(key)),
        _ => Err(ParseError::new("`x` is not a public key of Ed25519: export the key again")),
    }
}

/// The refusal of a token whose key nobody has, after the work that an HMAC token with a known key would have cost.
pub(super) fn unknown(jws: &Jws<'_>) -> Denial {
    spend_hmac(jws);
    Denial::new(DenyReason::CredentialUnknown)
}

/// Does what verifying this token would cost if it is HMAC, and nothing otherwise.
fn spend_hmac(jws: &Jws<'_>) {
    let mut buffer = [0; SIGNATURE_LENGTH_MAX];
    let decoy = DECOYS.iter().find(|(algorithm, _)| *algorithm == jws.algorithm);
    if let (Some((_, decoy)), Some(signature)) = (decoy, jws.signature(&mut buffer)) {
        std::hint::black_box(decoy.holds(jws.signed.as_bytes(), signature));
    }
}

/// Keys that stand in for those that nobody has. No token is accepted because of one.
static DECOYS: LazyLock<[(JwsAlgorithm, Verifier); 3]> = LazyLock::new(|| {
    [JwsAlgorithm::Hs256, JwsAlgorithm::Hs384, JwsAlgorithm::Hs512]
        .map(|algorithm| (algorithm, Verifier::hmac(algorithm, &[0; 64])))
});
