//! Key sets that are accepted, and every way in which they are not.

use super::*;

/// RFC 7517 appendix A.1, the RSA key.
const RSA_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
/// The same with its private exponent, RFC 7517 appendix A.2.
const RSA_D: &str = "X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9tv8d_cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8Q";
/// RFC 7515 appendix A.3.
const EC_XY: &str =
    r#""x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
/// RFC 8037 appendix A.2.
const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
/// RFC 7515 appendix A.1.
const OCT_K: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

fn set(keys: &[&str]) -> Result<JwkSet, ParseError> {
    JwkSet::parse(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}

/// The error of a set of this one key.
fn wrong(key: &str) -> String {
    set(&[key]).expect_err(key).to_string()
}

fn rsa(more: &str) -> String {
    format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQAB"{more}}}"#)
}

fn ec(more: &str) -> String {
    format!(r#"{{"kty":"EC","crv":"P-256",{EC_XY}{more}}}"#)
}

fn ed(more: &str) -> String {
    format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{ED_X}"{more}}}"#)
}

fn oct(more: &str) -> String {
    format!(r#"{{"kty":"oct","k":"{OCT_K}"{more}}}"#)
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn algorithms(set: &JwkSet) -> Vec<&'static str> {
    set.keys().iter().map(|key| key.algorithm().as_str()).collect()
}

#[test]
fn each_key_serves_its_own_algorithm_or_that_of_its_kind() {
    let (rsa, ec, ed, oct) = (rsa(""), ec(""), ed(""), oct(""));
    let set = set(&[&rsa, &ec, &ed, &oct]).unwrap();
    assert_eq!(algorithms(&set), ["RS256", "ES256", "EdDSA", "HS256"]);
    assert!(set.holds_secrets());
    for (kind, names) in [
        ("RSA", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].as_slice()),
        ("oct", &["HS256", "HS384", "HS512"]),
        ("EC", &["ES256"]),
        ("OKP", &["EdDSA"]),
    ] {
        for name in JwsAlgorithm::ALL.map(JwsAlgorithm::as_str) {
            let alg = format!(r#","alg":"{name}""#);
            let key = match kind {
                "RSA" => self::rsa(&alg),
                "oct" => self::oct(&alg),
                "EC" => self::ec(&alg),
                _ => self::ed(&alg),
            };
            let outcome = self::set(&[&key]).map(|set| algorithms(&set));
            assert_eq!(outcome.is_ok(), names.contains(&name), "{kind} {name}");
            assert!(outcome.is_err() || outcome == Ok(vec![name]));
        }
    }
}

#[test]
fn jwk_002_symmetric_keys_shorter_than_their_hash_are_refused() {
    for (alg, length_min) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let key = |length| format!(r#"{{"kty":"oct","alg":"{alg}","k":"{}"}}"#, base64(&vec![0xa5; length]));
        assert!(set(&[&key(length_min)]).is_ok());
        for length in [0, 1, length_min - 1] {
            let error = wrong(&key(length));
            assert!(error.contains(&format!("use {length_min} or more")), "{error}");
        }
    }
}

#[test]
fn jwk_004_a_kid_names_one_key() {
    let (first, second) = (rsa(r#","kid":"a""#), ec(r#","kid":"\u0061""#));
    assert!(set(&[&first, &second]).unwrap_err().to_string().contains("two keys have the kid `a`"));
    assert!(set(&[&first, &ec(r#","kid":"A""#)]).is_ok());
    let error = set(&[&first, &rsa("")]).unwrap_err().to_string();
    assert!(error.contains("key 2 has no `kid` and is not the only key for RS256"), "{error}");
}

#[test]
fn jwk_006_kind_and_algorithm_must_fit() {
    assert!(
        wrong(&oct(r#","alg":"RS256""#))
            .contains("`alg` `RS256` does not fit kty `oct`: use HS256, HS384, HS512")
    );
    assert!(wrong(&rsa(r#","alg":"HS256""#)).contains("`alg` `HS256` does not fit kty `RSA`"));
    assert!(wrong(&ec(r#","alg":"ES384""#)).contains("`alg` `ES384` does not fit crv `P-256`: use ES256"));
    assert!(wrong(&ed(r#","alg":"ES256""#)).contains("use EdDSA"));
    for alg in ["none", "RSA-OAEP", "A128KW", "hs256", "HS256 ", "ES256K", ""] {
        let error = wrong(&rsa(&format!(r#","alg":"{alg}""#)));
        assert!(error.contains("`alg` is not a signature algorithm: use HS256"), "{error}");
    }
    assert!(wrong(&rsa(r#","alg":null"#)).contains("`alg` is not a string"));
}

#[test]
fn keys_for_other_purposes_are_refused() {
    assert!(wrong(&rsa(r#","use":"enc""#)).contains("`use` is not `sig`"));
    assert!(set(&[&rsa(r#","use":"sig","key_ops":["sign","verify"]"#)]).is_ok());
    for operations in [r#"["encrypt"]"#, "[]", r#""verify""#, "[1]", r#"["verify","verify"]"#, "null"] {
        let error = wrong(&rsa(&format!(r#","key_ops":{operations}"#)));
        assert!(error.contains("`key_ops` must be an array"), "{error}");
    }
}

#[test]
fn a_member_that_stands_twice_is_refused_in_the_set_and_in_a_key() {
    let key = ec("");
    let twice = format!(r#"{{"keys":[{key}],"keys":[{key}]}}"#);
    assert!(JwkSet::parse(&twice).unwrap_err().to_string().contains("two members of the same name"));
    let twice = format!(r#"{{"keys":[{key}],"k\u0065ys":[{key}]}}"#);
    assert!(JwkSet::parse(&twice).is_err());
    assert!(wrong(&ec(r#","kid":"a","kid":"b""#)).contains("key 1 has two members of the same name"));
    assert!(wrong(&oct(r#","alg":"HS256","alg":"HS512""#)).contains("two members"));
}

#[test]
fn private_members_of_public_keys_are_not_kept() {
    let private = format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQAB","d":"{RSA_D}","kid":"a"}}"#);
    let public = set(&[&rsa(r#","kid":"a""#)]).unwrap();
    let set = set(&[&private]).unwrap();
    assert_eq!(set, public);
    assert!(!set.holds_secrets());
    assert!(
        !set.to_json().expose_secret().contains(RSA_D) && !set.to_json().expose_secret().contains("\"d\"")
    );
}

#[test]
fn certificates_and_addresses_in_a_key_are_ignored() {
    let more =
        r#","x5u":"http://127.0.0.1:1/c","x5c":["AA=="],"x5t":1,"jku":"http://127.0.0.1:1/k","exp":1,"x":{}"#;
    assert_eq!(set(&[&rsa(more)]).unwrap(), set(&[&rsa("")]).unwrap());
}

#[test]
fn rsa_keys_have_a_sound_size_and_exponent() {
    let key = |n: &[u8], e: &[u8]| format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, base64(n), base64(e));
    let modulus = |bytes: usize| [[0xff].as_slice(), &vec![0x5a; bytes - 2], &[0x01]].concat();
    assert!(set(&[&key(&modulus(256), &[1, 0, 1])]).is_ok());
    assert!(set(&[&key(&modulus(1024), &[1, 0, 1])]).is_ok());
    for bytes in [64, 128, 255] {
        assert!(wrong(&key(&modulus(bytes), &[1, 0, 1])).contains("an RSA key has 2048 to 8192"));
    }
    assert!(wrong(&key(&modulus(1025), &[1, 0, 1])).contains("8200 bits"));
    assert!(wrong(&key(&[&[0x7f], &modulus(255)[..]].concat(), &[1, 0, 1])).contains("2047 bits"));
    assert!(wrong(&key(&[&modulus(256)[..255], &[0]].concat(), &[1, 0, 1])).contains("`n` is even"));
    assert!(
        wrong(&key(&[&[0], &modulus(256)[..]].concat(), &[1, 0, 1])).contains("first byte must not be zero")
    );
    for e in [[1].as_slice(), &[2], &[3], &[1, 0, 0], &[255, 255], &[1, 0, 0, 0, 1]] {
        assert!(wrong(&key(&modulus(256), e)).contains("`e` is not a sound exponent"), "{e:?}");
    }
    for e in [[].as_slice(), &[0], &[0, 1, 0, 1]] {
        assert!(wrong(&key(&modulus(256), e)).contains("`e` is not a number"), "{e:?}");
    }
}

#[test]
fn numbers_and_points_are_written_in_the_one_form_there_is() {
    for k in [
        format!("{OCT_K}="),
        format!("{OCT_K}=="),
        format!(" {OCT_K}"),
        OCT_K.replace('-', "+"),
        OCT_K.replace('_', "/"),
        format!("{}x", &OCT_K[..OCT_K.len() - 1]),
        "A".into(),
    ] {
        let error = wrong(&format!(r#"{{"kty":"oct","k":"{k}"}}"#));
        assert!(error.contains("`k` is not base64url"), "{error}");
    }
    let short = base64(&[1; 31]);
    assert!(
        wrong(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{short}","y":"{short}"}}"#))
            .contains("`x` has 31 bytes")
    );
    assert!(wrong(&format!(r#"{{"kty":"EC","crv":"P-384",{EC_XY}}}"#)).contains("for crv `P-384` it has 48"));
    assert!(wrong(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{short}"}}"#)).contains("`x` has 31 bytes"));
}

#[test]
fn other_kinds_and_curves_are_refused() {
    let xy = |crv: &str| format!(r#"{{"kty":"EC","crv":"{crv}",{EC_XY}}}"#);
    for crv in ["secp256k1", "Ed25519", "p-256", ""] {
        assert!(wrong(&xy(crv)).contains("use P-256, P-384 or P-521"), "{crv}");
    }
    for crv in ["X25519", "Ed448", "P-256"] {
        assert!(wrong(&format!(r#"{{"kty":"OKP","crv":"{crv}","x":"{ED_X}"}}"#)).contains("use Ed25519"));
    }
    for kty in ["AKP", "rsa", ""] {
        assert!(wrong(&format!(r#"{{"kty":"{kty}"}}"#)).contains("use oct, RSA, EC or OKP"));
    }
    assert!(wrong("{}").contains("key 1: `kty` is missing"));
    assert!(wrong(r#"{"kty":"oct"}"#).contains("`k` is missing"));
    assert!(wrong(r#"{"kty":"oct","k":7}"#).contains("`k` is not a string"));
}

#[test]
fn what_is_not_a_key_set_is_told_what_one_is() {
    for text in ["", "null", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, &ec(""), "{\"keys\":[}"] {
        let error = JwkSet::parse(text).unwrap_err().to_string();
        assert!(error.contains("write") && error.contains(r#"{"keys":[…]}"#), "{error}");
    }
    assert!(JwkSet::parse(r#"{"keys":[]}"#).unwrap_err().to_string().contains("0 keys: it has 1 to 64"));
    assert!(wrong("7").contains("key 1 is not a JSON object"));
    let many: Vec<_> = (0..65).map(|n| ec(&format!(r#","kid":"{n}""#))).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert!(set(&many).unwrap_err().to_string().contains("65 keys"));
    assert!(set(&many[1..]).is_ok());
    let long = format!(r#"{{"keys":[]{}}}"#, " ".repeat(JwkSet::LENGTH_MAX));
    assert!(JwkSet::parse(&long).unwrap_err().to_string().contains("65536 at most"));
}

#[test]
fn kids_are_bounded_and_printable() {
    let kid = |kid: &str| ec(&format!(r#","kid":"{kid}""#));
    assert!(set(&[&kid(&"k".repeat(256))]).is_ok());
    for bad in ["", &"k".repeat(257), "r1\\u0000", "a\\nb"] {
        assert!(wrong(&kid(bad)).contains("`kid` is not a key id"), "{bad}");
    }
    for bad in ["7", "null", "[\"a\"]"] {
        assert!(wrong(&ec(&format!(r#","kid":{bad}"#))).contains("`kid` is not a string"));
    }
}

#[test]
fn errors_and_debug_never_show_a_key() {
    let key = set(&[&oct("")]).unwrap();
    assert!(!format!("{key:?}").contains("115"), "a key's bytes would be shown as numbers");
    assert!(format!("{key:?}").contains("SymmetricKey(…)"));
    let secret = "c2VjcmV0LXRoYXQtbXVzdC1ub3QtYmUtc2hvd24";
    for broken in [
        format!(r#"{{"kty":"oct","k":"{secret}"}}"#),
        format!(r#"{{"kty":"oct","k":"{secret}*"}}"#),
        format!(r#"{{"kty":"{secret}"}}"#),
        format!(r#"{{"kty":"oct","alg":"{secret}"}}"#),
        format!(r#"{{"kty":"RSA","use":"{secret}"}}"#),
        format!(r#"{{"kty":"RSA","key_ops":["{secret}"]}}"#),
        format!(r#"{{"kty":"EC","crv":"{secret}"}}"#),
        format!(r#"{{"kty":"oct","k":"{secret}","k":"{secret}"}}"#),
        format!(r#"{{"kty":"oct","k":"{secret}"#),
        format!(r#""{secret}""#),
    ] {
        let error = wrong(&broken);
        assert!(!error.contains("c2Vj"), "{error}");
    }
}

#[test]
fn a_symmetric_set_is_made_from_random_bytes_and_reads_back() {
    let (json, set) = JwkSet::symmetric("kw-1", &[7; 32]).unwrap();
    assert_eq!(JwkSet::parse(json.expose_secret()).unwrap(), set);
    assert_eq!(
        json.expose_secret(),
        r#"{"keys":[{"kty":"oct","kid":"kw-1","use":"sig","alg":"HS256","k":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"}]}"#
    );
    assert!(JwkSet::symmetric("kw-1", &[7; 31]).is_err());
    assert!(JwkSet::symmetric("", &[7; 32]).is_err());
}

#[test]
fn a_set_reads_back_from_its_json_and_is_written_without_growing() {
    let keys = [
        rsa(r#","kid":"\"\\ü🔑","alg":"PS512""#),
        ec(r#","kid":"e""#),
        ed(""),
        oct(r#","kid":"o","alg":"HS512""#),
        format!(r#"{{"kty":"EC","crv":"P-521","x":"{0}","y":"{0}"}}"#, base64(&[1; 66])),
        format!(r#"{{"kty":"EC","crv":"P-384","x":"{0}","y":"{0}"}}"#, base64(&[1; 48])),
    ];
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let set = set(&keys).unwrap();
    let json = set.to_json();
    assert_eq!(JwkSet::parse(json.expose_secret()).unwrap(), set);
    let reserved: usize = set.keys().iter().map(Jwk::json_length_max).sum();
    assert!(json.expose_secret().len() <= reserved);
}

#[test]
fn of_a_fetched_set_keys_for_other_purposes_are_left_out() {
    let fetched = |keys: &[&str]| JwkSet::parse_fetched(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")));
    let foreign = [
        rsa(r#","use":"enc","kid":"1""#),
        rsa(r#","alg":"RSA-OAEP","kid":"2""#),
        rsa(r#","key_ops":["encrypt"],"kid":"3""#),
        r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.to_owned(),
        r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#.to_owned(),
        r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.to_owned(),
    ];
    let ours = rsa(r#","kid":"signs""#);
    for other in &foreign {
        let kept = fetched(&[other, &ours]).expect(other);
        assert_eq!(kept.keys().iter().map(Jwk::kid).collect::<Vec<_>>(), [Some("signs")]);
        assert!(fetched(&[other]).unwrap_err().to_string().contains("no key that verifies"));
        assert!(set(&[other, &ours]).is_err(), "one that is given by hand is refused: {other}");
    }
    // What is for signatures and broken is not passed over, nor a key that must not be there.
    for broken in [oct(""), oct(r#","use":"enc""#), r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned()] {
        assert!(fetched(&[&broken, &ours]).is_err(), "{broken}");
    }
}
