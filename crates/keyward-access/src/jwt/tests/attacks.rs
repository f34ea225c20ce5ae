//! The catalogue of attacks on tokens and key sets, each case by its id, as far as it is decided here.
//!
//! The world is the catalogue's: consumer `j2` has an RS256 key `r1`; `j1` HS256, `j3` ES256 `e1`, `j4` EdDSA `d1`.

use std::sync::LazyLock;

use keyward_model::DenyReason::{self, *};

use super::*;

static J1: LazyLock<Signer> = LazyLock::new(|| Signer::generate("h1", JwsAlgorithm::Hs256));
static J2: LazyLock<Signer> = LazyLock::new(|| Signer::generate("r1", JwsAlgorithm::Rs256));
static J3: LazyLock<Signer> = LazyLock::new(|| Signer::generate("e1", JwsAlgorithm::Es256));
static J4: LazyLock<Signer> = LazyLock::new(|| Signer::generate("d1", JwsAlgorithm::EdDsa));

fn j2_keys() -> VerifyingKeys {
    keys_of(&[&J2])
}

fn hs256(header: &str, payload: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", base64(header), base64(payload));
    format!("{signed}.{}", base64(hmac_of("HS256", secret, signed.as_bytes())))
}

/// Each of these tokens must be refused by `j2`'s keys for this reason.
fn refused(tokens: impl IntoIterator<Item = String>, expected: DenyReason) {
    let keys = j2_keys();
    for token in tokens {
        assert_eq!(reason(&token, &keys), Some(expected), "{token}");
    }
}

#[test]
fn the_world_itself_works() {
    assert_eq!(reason(&J2.token(&j2()), &j2_keys()), None);
    assert_eq!(reason(&J4.token(&j2()), &keys_of(&[&J4])), None);
}

#[test]
fn jwt_002_public_key_as_hmac_secret() {
    let header = r#"{"alg":"HS256","kid":"r1"}"#;
    let (modulus, _) = rsa_components(&RSA);
    let secrets = [rsa_der(&RSA), J2.jwk().into_bytes(), modulus, RSA.public_key().as_ref().to_vec()];
    refused(secrets.iter().map(|secret| hs256(header, &j2(), secret)), AlgorithmNotAdmitted);
    let without_kid = secrets.iter().map(|secret| hs256(r#"{"alg":"HS256"}"#, &j2(), secret));
    refused(without_kid, AlgorithmNotAdmitted);
}

#[test]
fn jwt_004_alg_of_another_type_or_unknown() {
    let long = format!("\"{}\"", "HS256".repeat(60));
    let algs = [
        "null",
        "256",
        "[\"RS256\"]",
        "{\"RS256\":1}",
        "\"\"",
        &long,
        "\"none\"",
        "\"NoNe\"",
        "\"rs256\"",
        "true",
    ];
    let headers =
        algs.iter().map(|alg| format!(r#"{{"alg":{alg},"kid":"r1"}}"#)).chain([r#"{"kid":"r1"}"#.into()]);
    refused(headers.clone().map(|header| J2.token_of(&header, &j2())), AlgorithmNotAdmitted);
    refused(headers.map(|header| format!("{}.{}.", base64(header), base64(j2()))), AlgorithmNotAdmitted);
}

#[test]
fn jwt_006_empty_hmac_key() {
    let token = |secret| hs256(r#"{"alg":"HS256","kid":"h1"}"#, &j2(), secret);
    let keys = keys_of(&[&J1]);
    assert_eq!(reason(&token(&[]), &keys), Some(ProofMismatch));
    assert_eq!(reason(&token(&[0]), &keys), Some(ProofMismatch));
    assert_eq!(reason(&J1.token(&j2()), &keys), None);
    assert!(set_of(&[r#"{"kty":"oct","kid":"h1","k":""}"#.into()]).is_err());
}

#[test]
fn jwt_008_addresses_in_the_header_are_never_read() {
    let attacker = Signer::generate("r1", JwsAlgorithm::Es256);
    let header = |alg| {
        format!(
            r#"{{"alg":"{alg}","kid":"r1","jku":"http://127.0.0.1:1/jwks","x5u":"http://127.0.0.1:1/x","jwk":{}}}"#,
            attacker.jwk()
        )
    };
    refused([attacker.token_of(&header("ES256"), &j2())], AlgorithmNotAdmitted);
    refused([attacker.token_of(&header("RS256"), &j2())], ProofMismatch);
    // A sound token with such members stays sound: they mean nothing.
    assert_eq!(reason(&J2.token_of(&header("RS256"), &j2()), &j2_keys()), None);
}

#[test]
fn jwt_010_kid_is_compared_exactly_and_used_for_nothing_else() {
    let kids = ["../../dev/null", "x' UNION SELECT 1--", "r1\\u0000", "r1 ", "R1", "", &"r".repeat(4096)];
    let header = |alg, kid: &str| format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
    refused(kids.iter().map(|kid| hs256(&header("HS256", kid), &j2(), b"")), CredentialUnknown);
    refused(kids.iter().map(|kid| J2.token_of(&header("RS256", kid), &j2())), CredentialUnknown);
    refused([J2.token_of(&header("RS256", &"r".repeat(65_536)), &j2())], CredentialMalformed);
    let other_types = ["1", "null", "[\"r1\"]", "{}", "\"\\ud800\""];
    let header = |kid: &&str| format!(r#"{{"alg":"RS256","kid":{kid}}}"#);
    refused(other_types.iter().map(|kid| J2.token_of(&header(kid), &j2())), CredentialMalformed);
}

#[test]
fn jwt_012_key_of_another_consumer() {
    refused([J3.token(&j2())], CredentialUnknown);
    refused([J3.token_of(r#"{"alg":"ES256","kid":"r1"}"#, &j2())], AlgorithmNotAdmitted);
    refused([J3.token_of(r#"{"alg":"ES256"}"#, &j2())], AlgorithmNotAdmitted);
    let other = Signer { kid: "h1".into(), ..Signer::generate("h1", JwsAlgorithm::Hs256) };
    assert_eq!(reason(&other.token(&j2()), &keys_of(&[&J1])), Some(ProofMismatch));
}

#[test]
fn jwt_016_unencoded_payload() {
    for more in [
        r#""b64":false"#,
        r#""b64":false,"crit":["b64"]"#,
        r#""b64":true"#,
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
    ] {
        let header = format!(r#"{{"alg":"RS256","kid":"r1",{more}}}"#);
        let claims = j2();
        let signed = format!("{}.{claims}", base64(&header));
        let signature = base64(J2.sign_as("RS256", signed.as_bytes()));
        refused([format!("{}.{}.{signature}", base64(&header), base64(&claims))], AlgorithmNotAdmitted);
        refused([J2.token_of(&header, &claims)], AlgorithmNotAdmitted);
        refused([format!("{}.{claims}.{signature}", base64(&header))], CredentialMalformed);
    }
}

#[test]
fn jwt_018_encrypted_tokens_are_not_read() {
    let header =
        base64(r#"{"alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256","p2c":2147483648,"p2s":"AAAA"}"#);
    refused(
        [format!("{header}.AAAA.AAAA.AAAA.AAAA"), format!("{header}...."), "....".into()],
        AlgorithmNotAdmitted,
    );
    refused([format!("{header}.{}.AAAA", base64(j2()))], AlgorithmNotAdmitted);
    assert!(!looks_like_token(&format!("{header}.AAAA.AAAA.AAAA.AAAA")));
}

#[test]
fn jwt_020_json_serialisation() {
    let token = J2.token(&j2());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let flat = format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#);
    let general = format!(
        r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
    );
    for text in [flat, general] {
        assert!(!looks_like_token(&text));
        refused(
            [text.clone(), base64(&text), format!("{}.{}.{}", base64(&text), payload, signature)]
                .into_iter()
                .take(2),
            CredentialMalformed,
        );
    }
}

#[test]
fn jwt_022_identity_claim_of_another_type_or_spelling() {
    let values = [
        "112",
        "[\"j2\"]",
        "{\"$ne\":1}",
        "null",
        "true",
        "\"J2\"",
        "\"j2 \"",
        "\" j2\"",
        "\"j2\\u0000\"",
        "\"\u{ff4a}\u{ff12}\"",
        "\"\"",
        "\"j2\\u200b\"",
    ];
    let claims = |value: &str| format!(r#"{{"uid":{value},"exp":{}}}"#, NOW_S + 300);
    refused(values.iter().map(|value| J2.token(&claims(value))), CredentialUnknown);
    assert_eq!(reason(&J2.token(&claims("\"\\u006a2\"")), &j2_keys()), None, "an escape is not another text");
    refused([J2.token(&claims("\"j2\\ud800\""))], CredentialMalformed);
    refused([J2.token(&format!(r#"{{"uid":"j1","uid":"j2","exp":{}}}"#, NOW_S + 300))], CredentialMalformed);
    refused(
        [J2.token(&format!(r#"{{"uid":"j1","\u0075id":"j2","exp":{}}}"#, NOW_S + 300))],
        CredentialMalformed,
    );
}

#[test]
fn jwt_024_no_exp() {
    let token = J2.token(r#"{"uid":"j2"}"#);
    refused([token.clone()], ProofExpired);
    let opted_out = JwtSettings { require_exp: false, ..JwtSettings::default() };
    assert_eq!(judge(&token, &j2_keys(), &opted_out).unwrap().expires, None);
}

#[test]
fn jwt_026_not_yet_valid() {
    let claims = |name: &str, at: i64| format!(r#"{{"uid":"j2","exp":{},"{name}":{at}}}"#, NOW_S + 300);
    for name in ["nbf", "iat"] {
        refused(
            [J2.token(&claims(name, NOW_S + 61)), J2.token(&claims(name, NOW_S + 100_000))],
            ProofExpired,
        );
        assert_eq!(reason(&J2.token(&claims(name, NOW_S + 60)), &j2_keys()), None);
    }
}

#[test]
fn jwt_028_issuer_is_compared_exactly() {
    let settings = JwtSettings { issuer: Some("https://idp.example".into()), ..JwtSettings::default() };
    let judged = |issuer: &str| {
        let claims = format!(r#"{{"uid":"j2","exp":{},"iss":{issuer}}}"#, NOW_S + 300);
        judge(&J2.token(&claims), &j2_keys(), &settings).err()
    };
    assert_eq!(judged("\"https://idp.example\""), None);
    let others = [
        "\"https://idp.example.evil\"",
        "\"https://idp.example/\"",
        "\"https://idp.exampl\"",
        "\"xhttps://idp.example\"",
        "\"https://IDP.example\"",
        "[\"https://idp.example\"]",
        "null",
        "\"\"",
        "7",
    ];
    for issuer in others {
        assert_eq!(judged(issuer), Some(ProofMismatch), "{issuer}");
    }
    assert_eq!(judge(&J2.token(&j2()), &j2_keys(), &settings).err(), Some(ProofMismatch), "no issuer at all");
}

#[test]
fn jwt_030_another_algorithm_of_the_same_key() {
    let rs256 = keys_of(&[&J2]);
    let ps256 = Signer { kid: "r1".into(), algorithm: JwsAlgorithm::Ps256, key: SigningKey::Rsa(&RSA) };
    let rs512 = Signer { kid: "r1".into(), algorithm: JwsAlgorithm::Rs512, key: SigningKey::Rsa(&RSA) };
    for token in [ps256.token(&j2()), rs512.token(&j2())] {
        assert_eq!(reason(&token, &rs256), Some(AlgorithmNotAdmitted));
    }
    assert_eq!(reason(&J2.token(&j2()), &keys_of(&[&ps256])), Some(AlgorithmNotAdmitted));
    // The header says the key's algorithm, the signature is of the other one.
    let header = r#"{"alg":"RS256","kid":"r1"}"#;
    let signed = format!("{}.{}", base64(header), base64(j2()));
    for algorithm in ["PS256", "RS384", "RS512"] {
        let signature = base64(J2.sign_as(algorithm, signed.as_bytes()));
        assert_eq!(reason(&format!("{signed}.{signature}"), &rs256), Some(ProofMismatch), "{algorithm}");
    }
}

#[test]
fn jwt_032_eddsa_signatures_have_one_form() {
    let keys = keys_of(&[&J4]);
    let token = J4.token(&j2());
    assert_eq!(reason(&token, &keys), None);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = unbase64(signature);
    let with = |signature: &[u8]| format!("{signed}.{}", base64(signature));
    for length in [0, 32, 63] {
        assert_eq!(reason(&with(&signature[..length]), &keys), Some(ProofMismatch), "{length} bytes");
    }
    assert_eq!(reason(&with(&[&signature[..], &[0]].concat()), &keys), Some(ProofMismatch));
    add_group_order(&mut signature[32..]);
    assert_eq!(reason(&with(&signature), &keys), Some(ProofMismatch), "S plus the group's order");
    assert_eq!(reason(&with(&[0; 64]), &keys), Some(ProofMismatch));
}

/// Adds the order of Ed25519's group, 2²⁵² + 27742317777372353535851937790883648493, little-endian.
fn add_group_order(scalar: &mut [u8]) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (digit, order) in scalar.iter_mut().zip(ORDER) {
        let sum = u16::from(*digit) + u16::from(order) + carry;
        *digit = sum as u8;
        carry = sum >> 8;
    }
}

#[test]
fn jwt_034_a_token_has_one_encoding() {
    let token = J2.token(&j2());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    for bad in other_encodings(signature) {
        refused([format!("{header}.{payload}.{bad}")], ProofMismatch);
    }
    for bad in other_encodings(payload) {
        refused([format!("{header}.{bad}.{signature}")], CredentialMalformed);
    }
    for bad in other_encodings(header) {
        refused([format!("{bad}.{payload}.{signature}")], CredentialMalformed);
    }
}

/// Texts that a lenient decoder reads as the same bytes, or as nearly the same.
fn other_encodings(part: &str) -> Vec<String> {
    let mut all = vec![
        format!("{part}="),
        format!("{part}=="),
        format!("{part} "),
        format!(" {part}"),
        format!("{part}\n"),
        format!("{}\t{}", &part[..9], &part[9..]),
        format!("{part}A"),
        format!("{}+{}", &part[..4], &part[5..]),
        format!("{}/{}", &part[..4], &part[5..]),
        format!("{part}%3D"),
    ];
    if let Some(bits) = unused_bits_set(part) {
        all.push(bits);
    }
    all
}

/// The same bytes with the unused bits of the last character set, if it has any.
fn unused_bits_set(part: &str) -> Option<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (part.len() % 4 > 1).then(|| {
        let value = ALPHABET.iter().position(|c| *c == part.as_bytes()[part.len() - 1]).unwrap();
        format!("{}{}", &part[..part.len() - 1], ALPHABET[value | 1] as char)
    })
}

#[test]
fn jwt_034_signatures_with_unused_bits() {
    // 256 and 64 bytes leave four bits of the last character unused; 32 leave two.
    for signer in [&*J1, &*J2, &*J3, &*J4] {
        let keys = keys_of(&[signer]);
        let token = signer.token(&j2());
        assert_eq!(reason(&token, &keys), None);
        assert_eq!(reason(&unused_bits_set(&token).unwrap(), &keys), Some(ProofMismatch));
    }
}

#[test]
fn jwt_038_tokens_with_the_same_beginning_are_judged_apart() {
    let keys = j2_keys();
    let long = format!(r#"{{"uid":"j2","exp":{},"pad":"{}","role":"#, NOW_S + 300, "x".repeat(400));
    let (valid, other) = (J2.token(&format!("{long}\"a\"}}")), J2.token(&format!("{long}\"b\"}}")));
    assert_eq!(valid[..256], other[..256]);
    let forged = format!("{}.{}", other.rsplit_once('.').unwrap().0, valid.rsplit_once('.').unwrap().1);
    for _ in 0..3 {
        assert_eq!(reason(&valid, &keys), None);
        assert_eq!(reason(&forged, &keys), Some(ProofMismatch));
    }
}

#[test]
fn jwt_040_rotation() {
    let r2 = Signer::generate("r2", JwsAlgorithm::Es256);
    let (old, new) = (J2.token(&j2()), r2.token(&j2()));
    let judged = |signers: &[&Signer]| [&old, &new].map(|token| reason(token, &keys_of(signers)));
    assert_eq!(judged(&[&J2]), [None, Some(CredentialUnknown)]);
    assert_eq!(judged(&[&J2, &r2]), [None, None]);
    assert_eq!(judged(&[&r2]), [Some(CredentialUnknown), None]);
}
