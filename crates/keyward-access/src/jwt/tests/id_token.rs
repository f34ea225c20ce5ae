//! ID tokens: the one that is sound, and every way in which another is not.

use serde_json::{Value, json};

use super::super::{ExpectedIdToken, IdTokenRefused, verify_id_token};
use super::*;

const EXPECTED: ExpectedIdToken<'_> = ExpectedIdToken {
    issuer: "https://idp.example",
    client_id: "keyward",
    nonce: "n-0S6_WzA2Mj",
    begun: Timestamp::from_millis((NOW_S - 30) * 1_000),
};

/// Claims of a sound token, with these in the place of theirs; null takes one away.
fn claims(changed: Value) -> String {
    let mut claims = json!({
        "iss": "https://idp.example", "aud": "keyward", "sub": "248289761001", "nonce": "n-0S6_WzA2Mj",
        "iat": NOW_S - 5, "exp": NOW_S + 300,
    });
    for (name, value) in changed.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims.to_string()
}

fn verified(token: &str, by: &Signer) -> Result<String, IdTokenRefused> {
    verify_id_token(token, &keys_of(&[by]), &EXPECTED, NOW)
}

#[test]
fn a_sound_one_names_its_subject_whatever_the_key_is_of() {
    for algorithm in JwsAlgorithm::ALL {
        let signer = signer(algorithm);
        let outcome = verified(&signer.token(&claims(json!({}))), signer);
        match algorithm.as_str().starts_with("HS") {
            false => assert_eq!(outcome.as_deref(), Ok("248289761001"), "{algorithm}"),
            // Whoever can verify such a token can make one.
            true => assert_eq!(outcome.unwrap_err().to_string(), "its algorithm is not admitted"),
        }
    }
}

#[test]
fn every_claim_that_decides_is_asked_for() {
    let signer = signer(JwsAlgorithm::Es256);
    let because = |changed: Value| verified(&signer.token(&claims(changed)), signer).unwrap_err().to_string();
    let party = "its `iss` or `aud` is another's";
    for changed in [
        json!({"iss": "https://idp.example/"}),
        json!({"iss": null}),
        json!({"iss": ["https://idp.example"]}),
        json!({"aud": "other"}),
        json!({"aud": ["other"]}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"aud": "Keyward"}),
    ] {
        assert_eq!(because(changed.clone()), party, "{changed}");
    }
    for changed in [
        json!({"aud": ["keyward", "other"]}),
        json!({"aud": ["keyward", "keyward"]}),
        json!({"aud": ["keyward", "other"], "azp": "keyward"}),
        json!({"azp": "other"}),
        json!({"azp": ["keyward"]}),
    ] {
        assert!(because(changed.clone()).contains("somebody else"), "{changed}");
    }
    for changed in [
        json!({"exp": NOW_S - 60}),
        json!({"exp": null}),
        json!({"exp": "2099-01-01"}),
        json!({"iat": NOW_S + 61}),
        json!({"nbf": NOW_S + 61}),
    ] {
        assert!(because(changed.clone()).contains("expired"), "{changed}");
    }
    for changed in [json!({"iat": null}), json!({"iat": NOW_S - 91})] {
        assert!(because(changed.clone()).contains("before this sign-in"), "{changed}");
    }
    for changed in [json!({"nonce": "another"}), json!({"nonce": null}), json!({"nonce": ["n-0S6_WzA2Mj"]})] {
        assert!(because(changed.clone()).contains("`nonce`"), "{changed}");
    }
    for changed in [
        json!({"sub": ""}),
        json!({"sub": null}),
        json!({"sub": 248_289_761_001_i64}),
        json!({"sub": "a\nb"}),
        json!({"sub": "x".repeat(1_025)}),
    ] {
        assert!(because(changed.clone()).contains("`sub`"), "{changed}");
    }
    for sound in [json!({"aud": ["keyward"]}), json!({"azp": "keyward"}), json!({"iat": NOW_S - 90})] {
        assert!(verified(&signer.token(&claims(sound.clone())), signer).is_ok(), "{sound}");
    }
}

#[test]
fn only_the_providers_own_keys_sign() {
    let own = signer(JwsAlgorithm::Rs256);
    let sound = claims(json!({}));
    let because = |token: &str| verified(token, own).unwrap_err();
    let stranger = Signer::generate("strange", JwsAlgorithm::Es256);
    assert!(because(&stranger.token(&sound)).wants_newer_keys());
    let same_kid = Signer::generate("own", JwsAlgorithm::Es256);
    assert_eq!(because(&same_kid.token(&sound)).to_string(), "its algorithm is not admitted");
    for alg in ["none", "None", "NONE", ""] {
        let header = base64(format!(r#"{{"alg":"{alg}","kid":"own"}}"#));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{}.{signature}", base64(&sound));
            assert!(!because(&token).wants_newer_keys(), "{alg}");
        }
    }
    // The public key as the secret of an HMAC.
    let SigningKey::Rsa(pair) = &own.key else { panic!("RSA") };
    for secret in [rsa_der(pair), own.jwk().into_bytes()] {
        let forger =
            Signer { kid: "own".into(), algorithm: JwsAlgorithm::Hs256, key: SigningKey::Hmac(secret) };
        assert_eq!(because(&forger.token(&sound)).to_string(), "its algorithm is not admitted");
    }
    let mut bent = own.token(&sound);
    bent.replace_range(bent.len() - 8..bent.len() - 4, "AAAA");
    assert_eq!(because(&bent).to_string(), "its signature does not hold");
    for text in ["", "a.b.c", "no token", "e30.e30.e30.e30.e30"] {
        assert!(!because(text).wants_newer_keys(), "{text}");
    }
}
