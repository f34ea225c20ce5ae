//! JSON Web Key Sets (RFC 7517), parsed strictly.
//!
//! There are no private keys in this module: private members of asymmetric keys are never read. There are no
//! addresses either: `jku`, `x5u` and certificates in a key are ignored, nothing is fetched because of them.

mod algorithm;
mod read;
mod roca;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use algorithm::JwsAlgorithm;

use crate::{ParseError, Plaintext};

/// The keys that verify a consumer's tokens. The default set has no key and verifies nothing.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
}

impl JwkSet {
    /// Longest key set, in bytes of JSON.
    pub const LENGTH_MAX: usize = 65_536;
    /// Longest key set that is fetched, in bytes of JSON: certificates make them long.
    pub const FETCHED_LENGTH_MAX: usize = 262_144;
    /// Most keys in one set.
    pub const KEYS_MAX: usize = 64;
    /// Longest `kid`, in bytes.
    pub const KID_LENGTH_MAX: usize = 256;

    /// Reads a key set (RFC 7517): `{"keys":[…]}` with one key or more.
    ///
    /// Each key serves exactly one algorithm: its `alg`, or the one that its `kty` and `crv` call for (RS256 for RSA,
    /// HS256 for oct). A `kid` names one key; a key without `kid` must be the only one of its algorithm, for nothing
    /// could tell it from the others. Whether points lie on their curves is checked where keys are compiled.
    ///
    /// # Errors
    /// Says which key is wrong, why, and what is allowed; never what a key holds.
    pub fn parse(json: &str) -> Result<Self, ParseError> {
        let keys = read::keys(json, Self::LENGTH_MAX, read::Foreign::Refused)?;
        reject_ambiguous(&keys)?;
        Ok(Self { keys })
    }

    /// Reads a key set that was fetched: as [`JwkSet::parse`], but for its length, and public keys alone: what anyone
    /// can fetch must not be enough to make tokens. Keys for encryption, and kinds that are not known, are left out.
    ///
    /// # Errors
    /// As [`JwkSet::parse`].
    pub fn parse_fetched(json: &str) -> Result<Self, ParseError> {
        let keys = read::keys(json, Self::FETCHED_LENGTH_MAX, read::Foreign::LeftOut)?;
        reject_ambiguous(&keys)?;
        let set = Self { keys };
        if set.holds_secrets() {
            return Err(ParseError::new(
                "it holds a symmetric key, which nobody may fetch: publish public keys",
            ));
        }
        Ok(set)
    }

    /// A key set of one HS256 key, and its JSON to hand to its owner. `key` comes from a random source, 32 bytes or more.
    ///
    /// # Errors
    /// The key is too short, or `kid` is not a key id.
    pub fn symmetric(kid: &str, key: &[u8]) -> Result<(Plaintext, Self), ParseError> {
        read::check_kid(kid)?;
        let key = SymmetricKey::new(key.to_vec(), JwsAlgorithm::Hs256)?;
        let jwk =
            Jwk { kid: Some(kid.into()), algorithm: JwsAlgorithm::Hs256, material: KeyMaterial::Oct(key) };
        let set = Self { keys: vec![jwk] };
        Ok((set.to_json(), set))
    }

    /// What a secret holds that tokens are verified by: a key set as JSON text, or else the text of one HS256 key.
    ///
    /// # Errors
    /// Neither; says what would be right.
    pub fn of_secret(value: &Plaintext) -> Result<Self, ParseError> {
        let text = value.expose_secret();
        if text.trim_ascii_start().starts_with('{') {
            return Self::parse(text);
        }
        let key = SymmetricKey::new(text.as_bytes().to_vec(), JwsAlgorithm::Hs256)?;
        let jwk = Jwk { kid: None, algorithm: JwsAlgorithm::Hs256, material: KeyMaterial::Oct(key) };
        Ok(Self { keys: vec![jwk] })
    }

    /// The keys, in the order in which they were given.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// Is there a symmetric key, so that whoever reads the set can make tokens?
    pub fn holds_secrets(&self) -> bool {
        self.keys.iter().any(|key| matches!(key.material, KeyMaterial::Oct(_)))
    }

    /// The set as JSON that [`JwkSet::parse`] reads back as the same set: what to store and to export in place of the
    /// text that was given, which may hold private keys.
    pub fn to_json(&self) -> Plaintext {
        // All of it is reserved at once: a text that grows leaves copies of the keys behind.
        let mut json = String::with_capacity(16 + self.keys.iter().map(Jwk::json_length_max).sum::<usize>());
        json.push_str("{\"keys\":[");
        for (index, key) in self.keys.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            key.write_json(&mut json);
        }
        json.push_str("]}");
        Plaintext::new(json)
    }
}

fn reject_ambiguous(keys: &[Jwk]) -> Result<(), ParseError> {
    for (index, key) in keys.iter().enumerate() {
        let mut others = keys.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
        match &key.kid {
            Some(kid) if others.any(|other| other.kid.as_ref() == Some(kid)) => {
                return Err(ParseError::new(format!(
                    "two keys have the kid `{}`: give each key a kid of its own",
                    read::shown(kid)
                )));
            }
            None if others.any(|other| other.algorithm == key.algorithm) => {
                return Err(ParseError::new(format!(
                    "key {} has no `kid` and is not the only key for {}: give each key a kid of its own",
                    index + 1,
                    key.algorithm
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// One key: public, or symmetric. Serves exactly one algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    kid: Option<Box<str>>,
    algorithm: JwsAlgorithm,
    material: KeyMaterial,
}

impl Jwk {
    /// What tokens call it by. Compared exactly.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm that it serves.
    pub fn algorithm(&self) -> JwsAlgorithm {
        self.algorithm
    }

    /// What verifies. Its kind fits the algorithm.
    pub fn material(&self) -> &KeyMaterial {
        &self.material
    }

    /// An upper bound on what [`Jwk::write_json`] writes: fixed text, the kid with every byte escaped, and base64.
    fn json_length_max(&self) -> usize {
        let material = match &self.material {
            KeyMaterial::Oct(key) => key.expose_secret().len(),
            KeyMaterial::Rsa { modulus, exponent } => modulus.len() + exponent.len(),
            KeyMaterial::Ec { x, y } => x.len() + y.len(),
            KeyMaterial::Ed25519(x) => x.len(),
        };
        128 + 6 * self.kid.as_ref().map_or(0, |kid| kid.len()) + 2 * material
    }

    fn write_json(&self, json: &mut String) {
        json.push_str("{\"kty\":\"");
        json.push_str(self.material.kty());
        json.push('"');
        if let Some(crv) = self.curve() {
            push_member(json, "crv", crv);
        }
        if let Some(kid) = &self.kid {
            json.push_str(",\"kid\":");
            json.push_str(&serde_json::Value::from(&**kid).to_string());
        }
        push_member(json, "use", "sig");
        push_member(json, "alg", self.algorithm.as_str());
        match &self.material {
            KeyMaterial::Oct(key) => push_base64(json, "k", key.expose_secret()),
            KeyMaterial::Rsa { modulus, exponent } => {
                push_base64(json, "n", modulus);
                push_base64(json, "e", exponent);
            }
            KeyMaterial::Ec { x, y } => {
                push_base64(json, "x", x);
                push_base64(json, "y", y);
            }
            KeyMaterial::Ed25519(x) => push_base64(json, "x", x),
        }
        json.push('}');
    }

    fn curve(&self) -> Option<&'static str> {
        match self.algorithm {
            JwsAlgorithm::Es256 => Some("P-256"),
            JwsAlgorithm::Es384 => Some("P-384"),
            JwsAlgorithm::Es512 => Some("P-521"),
            JwsAlgorithm::EdDsa => Some("Ed25519"),
            _ => None,
        }
    }
}

fn push_member(json: &mut String, name: &str, value: &str) {
    json.push_str(",\"");
    json.push_str(name);
    json.push_str("\":\"");
    json.push_str(value);
    json.push('"');
}

fn push_base64(json: &mut String, name: &str, bytes: &[u8]) {
    json.push_str(",\"");
    json.push_str(name);
    json.push_str("\":\"");
    URL_SAFE_NO_PAD.encode_string(bytes, json);
    json.push('"');
}

/// What verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// `kty` oct: whoever has it can verify and sign.
    Oct(SymmetricKey),
    /// `kty` RSA: big-endian, without leading zeros; 2048 to 8192 bits, exponent odd and 65537 to 2³²-1.
    Rsa {
        /// `n`
        modulus: Box<[u8]>,
        /// `e`
        exponent: Box<[u8]>,
    },
    /// `kty` EC: big-endian, as long as the curve's field: 32, 48 or 66 bytes. The algorithm tells the curve.
    Ec {
        /// `x`
        x: Box<[u8]>,
        /// `y`
        y: Box<[u8]>,
    },
    /// `kty` OKP, `crv` Ed25519: the encoded point.
    Ed25519([u8; 32]),
}

impl KeyMaterial {
    /// The name of its kind in a key.
    const fn kty(&self) -> &'static str {
        match self {
            Self::Oct(_) => "oct",
            Self::Rsa { .. } => "RSA",
            Self::Ec { .. } => "EC",
            Self::Ed25519(_) => "OKP",
        }
    }
}

/// The bytes of a symmetric key. Wiped when dropped; never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SymmetricKey(Vec<u8>);

impl SymmetricKey {
    fn new(bytes: Vec<u8>, algorithm: JwsAlgorithm) -> Result<Self, ParseError> {
        let key = Self(bytes);
        let length_min = match algorithm {
            JwsAlgorithm::Hs384 => 48,
            JwsAlgorithm::Hs512 => 64,
            _ => 32,
        };
        if key.0.len() < length_min {
            return Err(ParseError::new(format!(
                "`k` has {} bytes, too few for {algorithm}: use {length_min} or more from a random source",
                key.0.len()
            )));
        }
        Ok(key)
    }

    /// The key itself. Must not reach a log, an error or a response that was not asked to reveal it.
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey(…)")
    }
}

#[cfg(test)]
mod tests;
