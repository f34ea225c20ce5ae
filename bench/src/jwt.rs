//! Tokens and key sets for the JWT cases, made once before anything is measured.

use crate::failure::{Failure, OrFail as _, Outcome};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use aws_lc_rs::{hmac, rand::SecureRandom as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who issues the tokens; the world file names it too.
pub(crate) const ISSUER: &str = "https://issuer.bench.example";

/// Whom the tokens are for; the world file names it too.
pub(crate) const AUDIENCE: &str = "orders";

/// How long a token holds, in seconds: longer than any run.
const LIFETIME_S: u64 = 24 * 3600;

/// Issues tokens with one key, as an identity provider does for all its users.
pub(crate) struct Issuer {
    key: SigningKey,
    jwks: String,
}

enum SigningKey {
    Hs256(Box<hmac::Key>),
    Es256(EcdsaKeyPair),
}

impl Issuer {
    /// An issuer with a new 256-bit secret.
    pub(crate) fn hs256() -> Outcome<Self> {
        let mut secret = [0u8; 32];
        SystemRandom::new().fill(&mut secret).or_fail(|| "making an HS256 secret".into())?;
        let k = URL_SAFE_NO_PAD.encode(secret);
        let jwks =
            json!({"keys": [{"kty": "oct", "kid": "bench-HS256", "alg": "HS256", "use": "sig", "k": k}]});
        let key = SigningKey::Hs256(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &secret)));
        Ok(Self { key, jwks: jwks.to_string() })
    }

    /// An issuer with a new P-256 key; its key set holds the public half.
    pub(crate) fn es256() -> Outcome<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .or_fail(|| "making an ES256 key".into())?;
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(Failure::new("the ES256 public key is not an uncompressed P-256 point"));
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "bench-ES256", "alg": "ES256", "use": "sig", "x": x, "y": y});
        Ok(Self { key: SigningKey::Es256(pair), jwks: json!({ "keys": [key] }).to_string() })
    }

    /// The key set as the world file takes it: JSON in one line, without single quotes.
    pub(crate) fn jwks(&self) -> &str {
        &self.jwks
    }

    /// A token that names its holder in the claim `uid`.
    pub(crate) fn token(&self, uid: &str) -> Outcome<String> {
        let algorithm = match self.key {
            SigningKey::Hs256(_) => "HS256",
            SigningKey::Es256(_) => "ES256",
        };
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": format!("bench-{algorithm}")});
        let claims =
            json!({"iss": ISSUER, "aud": AUDIENCE, "uid": uid, "iat": now_s, "exp": now_s + LIFETIME_S});
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?)))
    }

    fn sign(&self, message: &[u8]) -> Outcome<Vec<u8>> {
        match &self.key {
            SigningKey::Hs256(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            SigningKey::Es256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                Ok(signature.or_fail(|| "signing an ES256 token".into())?.as_ref().to_vec())
            }
        }
    }
}

fn encode(part: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;

    fn parts(token: &str) -> (String, Value, Value, Vec<u8>) {
        let pieces: Vec<&str> = token.split('.').collect();
        let decode = |piece: &str| URL_SAFE_NO_PAD.decode(piece).unwrap();
        let read = |piece: &str| serde_json::from_slice(&decode(piece)).unwrap();
        (format!("{}.{}", pieces[0], pieces[1]), read(pieces[0]), read(pieces[1]), decode(pieces[2]))
    }

    fn field(jwks: &str, name: &str) -> Vec<u8> {
        let set: Value = serde_json::from_str(jwks).unwrap();
        URL_SAFE_NO_PAD.decode(set["keys"][0][name].as_str().unwrap()).unwrap()
    }

    #[test]
    fn an_hs256_token_verifies_with_the_secret_in_its_key_set() {
        let issuer = Issuer::hs256().unwrap();
        let (signed, header, claims, signature) = parts(&issuer.token("u1").unwrap());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &field(issuer.jwks(), "k"));
        hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
        assert_eq!((header["alg"].as_str(), claims["uid"].as_str()), (Some("HS256"), Some("u1")));
        assert!(claims["exp"].as_u64() > claims["iat"].as_u64());
    }

    #[test]
    fn an_es256_token_verifies_with_the_point_in_its_key_set() {
        let issuer = Issuer::es256().unwrap();
        let (signed, header, _, signature) = parts(&issuer.token("u1").unwrap());
        let mut point = vec![4];
        point.extend(field(issuer.jwks(), "x"));
        point.extend(field(issuer.jwks(), "y"));
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        public.verify(signed.as_bytes(), &signature).unwrap();
        assert_eq!(header["kid"], "bench-ES256");
        assert!(!issuer.jwks().contains('\''));
    }
}
