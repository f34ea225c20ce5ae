//! An independent verifier must agree: the crate `jsonwebtoken`, for what it knows (all algorithms but ES512).

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use proptest::prelude::*;

use super::*;

fn known_to_both() -> Vec<JwsAlgorithm> {
    JwsAlgorithm::ALL.into_iter().filter(|algorithm| *algorithm != JwsAlgorithm::Es512).collect()
}

/// Does the oracle accept this token by this key? It cannot be given a clock, so times are not compared.
fn oracle_accepts(token: &str, key: &Signer, settings: &JwtSettings) -> bool {
    let algorithm: Algorithm = key.algorithm.as_str().parse().unwrap();
    let jwk: Jwk = serde_json::from_str(&key.jwk()).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    if let Some(issuer) = &settings.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".into());
    }
    if !settings.audiences.is_empty() {
        validation.validate_aud = true;
        validation.set_audience(&settings.audiences);
        validation.required_spec_claims.insert("aud".into());
    }
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).is_ok()
}

fn claim() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#""iss":"i""#,
        r#""iss":"j""#,
        r#""aud":"a""#,
        r#""aud":["a","b"]"#,
        r#""aud":["c"]"#,
        r#""aud":[]"#,
        r#""iss":"i","aud":"b""#,
        r#""iss":"i","aud":["c","b"]"#,
        r#""x":1"#,
        r#""iss":null"#,
        r#""aud":7"#,
    ])
}

proptest! {
    #[test]
    fn the_oracle_agrees(
        signing in prop::sample::select(known_to_both()),
        verifying in prop::sample::select(known_to_both()),
        same in prop::bool::weighted(0.8),
        claim in claim(),
        with_issuer in any::<bool>(),
        with_audiences in any::<bool>(),
        flipped in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let verifying = signer(if same { signing } else { verifying });
        let mut token = signer(signing).token(&format!(r#"{{"uid":"j2",{claim}}}"#)).into_bytes();
        if let Some(place) = flipped {
            let at = place.index(token.len());
            token[at] = if token[at] == b'A' { b'B' } else { b'A' };
        }
        let token = String::from_utf8(token).unwrap();
        let settings = JwtSettings {
            issuer: with_issuer.then(|| "i".into()),
            audiences: if with_audiences { vec!["a".into(), "b".into()] } else { Vec::new() },
            require_exp: false,
            ..JwtSettings::default()
        };
        let ours = Unverified::parse(&token)
            .and_then(|read| verify(&read, &keys_of(&[verifying]), &settings, NOW))
            .is_ok();
        prop_assert_eq!(ours, oracle_accepts(&token, verifying, &settings), "{} by {}", token, verifying.algorithm);
    }
}

#[test]
fn tokens_that_the_oracle_makes_are_accepted() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let SigningKey::Hmac(secret) = &signer(JwsAlgorithm::Hs384).key else { unreachable!() };
    let header = Header { kid: Some("own".into()), ..Header::new(Algorithm::HS384) };
    let claims = serde_json::json!({"uid": "j2", "exp": NOW_S + 300, "iat": NOW_S, "nbf": NOW_S});
    let token = encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
    assert_eq!(reason(&token, &keys_of(&[signer(JwsAlgorithm::Hs384)])), None);
}
