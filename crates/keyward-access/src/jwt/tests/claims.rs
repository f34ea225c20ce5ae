//! Who issued a token, for whom, for how long, and what of it reaches the service.

use keyward_model::{ClaimToHeader, DenyReason::*};

use super::*;

const ALGORITHM: JwsAlgorithm = JwsAlgorithm::Hs256;

fn judged(claims: &str, settings: &JwtSettings) -> Result<VerifiedClaims, DenyReason> {
    judge(&signer(ALGORITHM).token(claims), &keys_of(&[signer(ALGORITHM)]), settings)
}

/// The reason for which a token with these times is refused.
fn with_times(times: &str) -> Option<DenyReason> {
    judged(&format!(r#"{{"uid":"j2",{times}}}"#), &JwtSettings::default()).err()
}

#[test]
fn every_algorithm_verifies_its_own_tokens_and_no_other() {
    for algorithm in JwsAlgorithm::ALL {
        let keys = keys_of(&[signer(algorithm)]);
        for other in JwsAlgorithm::ALL {
            let expected = (other != algorithm).then_some(AlgorithmNotAdmitted);
            assert_eq!(reason(&signer(other).token(&j2()), &keys), expected, "{other} by {algorithm}");
        }
    }
}

#[test]
fn a_kid_selects_its_key_and_nothing_else_does() {
    let [a, b] = ["a", "b"].map(|kid| Signer::generate(kid, JwsAlgorithm::Es256));
    let ed = Signer::generate("c", JwsAlgorithm::EdDsa);
    let keys = keys_of(&[&a, &b, &ed]);
    assert_eq!(reason(&a.token(&j2()), &keys), None);
    assert_eq!(reason(&b.token_of(r#"{"alg":"ES256","kid":"a"}"#, &j2()), &keys), Some(ProofMismatch));
    assert_eq!(reason(&a.token_of(r#"{"alg":"ES256","kid":"x"}"#, &j2()), &keys), Some(CredentialUnknown));
    assert_eq!(
        reason(&a.token_of(r#"{"alg":"ES256"}"#, &j2()), &keys),
        Some(CredentialUnknown),
        "two keys fit"
    );
    assert_eq!(reason(&ed.token_of(r#"{"alg":"EdDSA"}"#, &j2()), &keys), None, "one key fits");
    assert_eq!(reason(&a.token_of(r#"{"alg":"ES384"}"#, &j2()), &keys), Some(AlgorithmNotAdmitted));
    let without_kid = compiled(&[a.jwk().replace(r#","kid":"a""#, "")]).unwrap();
    assert_eq!(reason(&a.token_of(r#"{"alg":"ES256"}"#, &j2()), &without_kid), None);
    assert_eq!(reason(&a.token(&j2()), &without_kid), Some(CredentialUnknown));
    let none = VerifyingKeys::compile(&JwkSet::default()).unwrap();
    assert_eq!(reason(&a.token(&j2()), &none), Some(CredentialUnknown));
    assert_eq!(reason(&a.token_of(r#"{"alg":"ES256"}"#, &j2()), &none), Some(AlgorithmNotAdmitted));
}

#[test]
fn times_hold_up_to_the_skew_and_not_a_millisecond_longer() {
    assert_eq!(with_times(&format!(r#""exp":{}"#, NOW_S - 59)), None);
    assert_eq!(with_times(&format!(r#""exp":{}"#, NOW_S - 60)), Some(ProofExpired));
    assert_eq!(with_times(&format!(r#""exp":{}.001"#, NOW_S - 60)), None);
    assert_eq!(with_times(&format!(r#""exp":{}.9999"#, NOW_S - 61)), Some(ProofExpired));
    assert_eq!(with_times(&format!(r#""exp":{},"nbf":{}"#, NOW_S + 9, NOW_S + 60)), None);
    assert_eq!(with_times(&format!(r#""exp":{},"nbf":{}.001"#, NOW_S + 9, NOW_S + 60)), Some(ProofExpired));
    assert_eq!(with_times(&format!(r#""exp":{},"iat":{}"#, NOW_S + 9, NOW_S + 61)), Some(ProofExpired));
    let strict = JwtSettings { clock_skew_s: 0, ..JwtSettings::default() };
    let exp = |at: i64| format!(r#"{{"uid":"j2","exp":{at}}}"#);
    assert_eq!(judged(&exp(NOW_S), &strict), Err(ProofExpired));
    assert_eq!(judged(&exp(NOW_S + 1), &strict).unwrap().expires, Some(NOW.plus_millis(1_000)));
    let endless = JwtSettings { clock_skew_s: u32::MAX, ..JwtSettings::default() };
    assert!(judged(&exp(0), &endless).is_ok());
}

#[test]
fn times_are_numbers_in_a_sane_range() {
    let text = format!("\"{}\"", NOW_S + 300);
    let in_milliseconds = ((NOW_S + 300) * 1_000).to_string();
    let bad = [
        text.as_str(),
        &in_milliseconds,
        "null",
        "true",
        "[1800000000]",
        "{}",
        "\"\"",
        "-1",
        "-0.5",
        "1e400",
        "1e18",
        "253402300800",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999999",
    ];
    for value in bad {
        assert_eq!(with_times(&format!(r#""exp":{value}"#)), Some(ProofExpired), "{value}");
        for name in ["nbf", "iat"] {
            let times = format!(r#""exp":{},"{name}":{value}"#, NOW_S + 300);
            assert_eq!(with_times(&times), Some(ProofExpired), "{name} {value}");
        }
    }
    for good in ["253402300799", "253402300799.5", "1.8e9", "18E8", "1800000000.000000000000000000001"] {
        assert_eq!(with_times(&format!(r#""exp":{good}"#)), None, "{good}");
    }
    for times in [
        "\"exp\":01800000000",
        "\"exp\":+1800000000",
        "\"exp\":NaN",
        "\"exp\":Infinity",
        "\"exp\":0x7fffffff",
    ] {
        assert_eq!(with_times(times), Some(CredentialMalformed), "{times}");
    }
}

#[test]
fn one_audience_must_be_ours() {
    let settings =
        JwtSettings { audiences: vec!["orders".into(), "billing".into()], ..JwtSettings::default() };
    let audience =
        |aud: &str| judged(&format!(r#"{{"uid":"j2","exp":{},"aud":{aud}}}"#, NOW_S + 9), &settings).err();
    for ours in [
        "\"orders\"",
        "\"billing\"",
        "[\"orders\"]",
        "[\"other\",\"billing\"]",
        "\"\\u006frders\"",
        "[\"\\u006frders\"]",
    ] {
        assert_eq!(audience(ours), None, "{ours}");
    }
    for others in [
        "\"Orders\"",
        "\"orders \"",
        "\"orders,billing\"",
        "[]",
        "[[\"orders\"]]",
        "[\"orders\",1]",
        "{\"orders\":1}",
        "null",
        "\"\"",
        "1",
        "[\"order\"]",
    ] {
        assert_eq!(audience(others), Some(ProofMismatch), "{others}");
    }
    assert_eq!(judged(&j2(), &settings), Err(ProofMismatch), "no audience at all");
    assert!(
        judged(&format!(r#"{{"uid":"j2","exp":{},"aud":"x"}}"#, NOW_S + 9), &JwtSettings::default()).is_ok()
    );
}

#[test]
fn reasons_come_in_their_order_and_hints_only_once_the_signature_held() {
    let settings = JwtSettings { issuer: Some("i".into()), ..JwtSettings::default() };
    let expired = signer(ALGORITHM).token(r#"{"uid":"j2","iss":"x","exp":1}"#);
    let denied = |token: &str| {
        let keys = keys_of(&[signer(ALGORITHM)]);
        Unverified::parse(token).and_then(|token| verify(&token, &keys, &settings, NOW)).unwrap_err()
    };
    let denial = denied(&expired);
    assert_eq!(denial.reason, ProofMismatch);
    assert!(denial.hint.unwrap().contains("`iss`"));
    let expired = signer(ALGORITHM).token(r#"{"uid":"j2","iss":"i","exp":1}"#);
    assert!(denied(&expired).hint.unwrap().contains("`exp` has passed"));
    let (signed, _) = expired.rsplit_once('.').unwrap();
    let forged = denied(&format!("{signed}.{}", base64([0; 32])));
    assert_eq!(forged.reason, ProofMismatch, "a forged token does not learn that it would have expired");
    for denial in [forged, denied("a.b.c"), denied("...."), denied(&expired.replace("eyJ", "eyI"))] {
        assert_eq!((denial.hint, denial.message), (None, None));
    }
}

#[test]
fn header_and_payload_are_strict_json_objects() {
    let signer = signer(ALGORITHM);
    let keys = keys_of(&[signer]);
    let header = r#"{"alg":"HS256","kid":"own"}"#;
    let claims = j2();
    for header in [
        "[]",
        "null",
        "\"HS256\"",
        "",
        "{",
        r#"{"alg":"HS256","kid":"own"}{}"#,
        r#"{"alg":"HS256","alg":"HS256","kid":"own"}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256","kid":"own"}"#,
        r#"{"alg":"HS256","kid":"own","kid":"own"}"#,
        r#"{"alg":"HS256","kid":"own","typ":1}"#,
        r#"{"alg":"HS256","kid":"own","cty":[]}"#,
        r#"{"alg":"HS256","kid":"own",}"#,
        "\u{feff}{\"alg\":\"HS256\",\"kid\":\"own\"}",
    ] {
        assert_eq!(reason(&signer.token_of(header, &claims), &keys), Some(CredentialMalformed), "{header}");
    }
    let doubled = format!(r#"{{"uid":"j2","exp":{0},"exp":{0}}}"#, NOW_S + 300);
    let many = format!("{{{}}}", (0..129).map(|n| format!("\"c{n}\":1")).collect::<Vec<_>>().join(","));
    for payload in [
        "",
        "[]",
        "null",
        "j2",
        "\"j2\"",
        "{}x",
        &doubled,
        &many,
        &claims.replace(':', "="),
        &format!("{claims}\0"),
    ] {
        assert_eq!(reason(&signer.token_of(header, payload), &keys), Some(CredentialMalformed), "{payload}");
    }
    let not_text =
        format!("{}.{}.AA", base64(header), base64([b"{\"uid\":\"j2".as_slice(), &[0xff], b"\"}"].concat()));
    assert_eq!(reason(&not_text, &keys), Some(CredentialMalformed));
    let spaced = signer.token_of("{\r\n  \"alg\" : \"HS256\",\t\"kid\":\"own\" }\n", &format!("\n{claims} "));
    assert_eq!(reason(&spaced, &keys), None, "blanks between JSON's own characters mean nothing");
}

#[test]
fn tokens_are_three_parts_and_not_endless() {
    let keys = keys_of(&[signer(ALGORITHM)]);
    let token = signer(ALGORITHM).token(&j2());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    for bad in [
        "",
        ".",
        "..",
        "...",
        "abc",
        "a.b.c",
        signed,
        &format!("{token}.{signature}"),
        &format!(".{token}"),
        &format!("{signed}x.{signature}"),
    ] {
        assert_eq!(reason(bad, &keys), Some(CredentialMalformed), "{bad}");
    }
    assert_eq!(reason(&format!("{signed}."), &keys), Some(ProofMismatch));
    assert_eq!(reason(&format!("{token}{signature}"), &keys), Some(ProofMismatch));
    assert_eq!(reason(&format!("{signed}.{}", "A".repeat(8_000)), &keys), Some(ProofMismatch));
    let padded =
        |length: usize| format!(r#"{{"uid":"j2","exp":{},"p":"{}"}}"#, NOW_S + 9, "p".repeat(length));
    assert_eq!(reason(&signer(ALGORITHM).token(&padded(12_000)), &keys), None);
    assert_eq!(reason(&signer(ALGORITHM).token(&padded(12_300)), &keys), Some(CredentialMalformed));
}

#[test]
fn a_token_is_told_from_an_api_key_by_its_shape() {
    for algorithm in JwsAlgorithm::ALL {
        assert!(looks_like_token(&signer(algorithm).token(&j2())));
    }
    for other in [
        "",
        "kw_live_0123456789",
        "a.b.c",
        "e.b",
        "e..c",
        ".b.c",
        "e.b.",
        "e.b.c.d",
        "e.b.c.",
        "ey J.b.c",
        "eyJ.b.c=",
        "eyJ.b.c+",
        "eyé.b.c",
        "sk-proj-1.2.3",
    ] {
        assert!(!looks_like_token(other), "{other}");
    }
}

fn handed_on(claim: &str) -> Option<String> {
    let settings = JwtSettings {
        claims_to_headers: vec![ClaimToHeader { claim: "c".into(), header: "x-c".parse().unwrap() }],
        ..JwtSettings::default()
    };
    let verified = judged(&format!(r#"{{"uid":"j2","exp":{},"c":{claim}}}"#, NOW_S + 9), &settings).unwrap();
    verified
        .headers
        .into_iter()
        .map(|(name, value)| {
            assert_eq!(name.as_str(), "x-c");
            value
        })
        .next()
}

#[test]
fn claims_reach_the_service_as_they_are_or_not_at_all() {
    for (claim, expected) in [
        ("\"gold\"", "gold"),
        ("\"a b\"", "a b"),
        ("\"a,b\"", "a,b"),
        ("\"\\u0061\\\"\"", "a\""),
        ("7", "7"),
        ("-1.50e+3", "-1.50e+3"),
        ("true", "true"),
        ("false", "false"),
        ("[\"a\",\"b\"]", "a,b"),
        ("[ \"a\" ]", "a"),
    ] {
        assert_eq!(handed_on(claim).as_deref(), Some(expected), "{claim}");
    }
    for claim in [
        "\"\"",
        "\" a\"",
        "\"a \"",
        "\"a\\r\\nX-Admin: 1\"",
        "\"a\\u0000\"",
        "\"a\\tb\"",
        "\"\u{fc}\"",
        "\"a\\u007f\"",
        "null",
        "{}",
        "{\"a\":1}",
        "[]",
        "[1]",
        "[\"a\",1]",
        "[\"a,b\"]",
        "[\"a\",\"\"]",
        "[\"a\",[\"b\"]]",
        "[\"a\\n\"]",
        "[\"\\ud800\"]",
    ] {
        assert_eq!(handed_on(claim), None, "{claim}");
    }
}

#[test]
fn a_header_is_set_once() {
    let to = |claim: &str| ClaimToHeader { claim: claim.into(), header: "x-c".parse().unwrap() };
    let settings =
        JwtSettings { claims_to_headers: vec![to("a"), to("b"), to("c")], ..JwtSettings::default() };
    let verified =
        judged(&format!(r#"{{"uid":"j2","exp":{},"b":"1","c":"2"}}"#, NOW_S + 9), &settings).unwrap();
    assert_eq!(verified.headers, [("x-c".parse().unwrap(), "1".to_owned())]);
}

#[test]
fn debug_shows_neither_token_nor_key() {
    let signer = signer(ALGORITHM);
    let token = signer.token(&j2());
    let shown = format!("{:?} {:?}", Unverified::parse(&token).unwrap(), keys_of(&[signer]));
    assert!(shown.contains("Hs256") && shown.contains("own"), "{shown}");
    for part in token.split('.').chain(["j2"]) {
        assert!(!shown.contains(part), "{shown}");
    }
}
