//! Tokens for the demo's consumer, made by its own key set as any issuer would.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::{Plaintext, Timestamp};
use serde::Deserialize;

/// A key set with one symmetric key, as Keyward generates it.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: Option<String>,
    k: String,
}

/// A token (HS256) by the first key of this set that has this claim and lives so long. `None` if there is no such key.
pub(crate) fn mint(
    key_set: &Plaintext,
    claim: (&str, &str),
    now: Timestamp,
    lifetime: Duration,
) -> Option<String> {
    let set: KeySet = serde_json::from_str(key_set.expose_secret()).ok()?;
    let key = set.keys.first()?;
    let secret = URL_SAFE_NO_PAD.decode(&key.k).ok()?;
    let now_s = now.as_millis().div_euclid(1000);
    let until_s = now_s.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
    let mut head = serde_json::json!({ "alg": "HS256", "typ": "JWT" });
    if let (Some(head), Some(kid)) = (head.as_object_mut(), &key.kid) {
        head.insert("kid".to_owned(), kid.as_str().into());
    }
    let mut claims = serde_json::json!({ "iat": now_s, "exp": until_s });
    claims.as_object_mut()?.insert(claim.0.to_owned(), claim.1.into());
    let signed = format!("{}.{}", encode(&head), encode(&claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let proof = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(proof)))
}

fn encode(value: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_key_and_its_claim() {
        let (key_set, _) = keyward_model::JwkSet::symmetric("k1", &[7; 32]).unwrap();
        let now = Timestamp::from_millis(1_000_000);
        let token = mint(&key_set, ("uid", "ann"), now, Duration::from_secs(60)).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(parts.len(), 3);
        assert_eq!(json(parts[0])["kid"], "k1");
        assert_eq!(json(parts[1]), serde_json::json!({ "uid": "ann", "iat": 1000, "exp": 1060 }));
        assert!(mint(&Plaintext::new("{\"keys\":[]}"), ("uid", "ann"), now, Duration::ZERO).is_none());
    }
}
