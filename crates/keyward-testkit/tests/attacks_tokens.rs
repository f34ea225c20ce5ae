//! The attack catalogue, class jwt, through the live gateway. (What a token is refused for is tried with more inputs in
//! keyward-access.)

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use keyward_testkit::cases;
use keyward_testkit::client::Connection;
use keyward_testkit::fixture::{self, HOST, J1_SECRET, K1, K2, K3};
use keyward_testkit::gateway::{Gateway, START};
use keyward_testkit::request::Request;
use keyward_testkit::signer::{TokenKey, hmac_token, token};

static J2: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::generate("RS256", "r1"));
static J3: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::generate("ES256", "e1"));
static J4: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::generate("EdDSA", "d1"));

const NOW_S: i64 = START.as_millis() / 1000;

/// The fixture with J2 to J4, J5, whose tokens stand in the query, J6, who expects issuer and audience, and J7, whose
/// tokens stand in a cookie.
fn world() -> String {
    let more = format!(
        "  - {{name: J2, jwt: {{jwks: '{{\"keys\":[{}]}}', identity_claim: {{name: uid, value: j2}}}}}}\n\
         \x20 - {{name: J3, jwt: {{jwks: '{{\"keys\":[{}]}}', identity_claim: {{name: uid, value: j3}}}}}}\n\
         \x20 - {{name: J4, jwt: {{jwks: '{{\"keys\":[{}]}}', identity_claim: {{name: uid, value: j4}}}}}}\n\
         \x20 - {{name: J5, jwt: {{jwks: '{{\"keys\":[{}]}}', token: {{in: query, name: token, prefix: \"\"}}, identity_claim: {{name: uid, value: j5}}}}}}\n\
         \x20 - {{name: J6, jwt: {{jwks: '{{\"keys\":[{}]}}', issuer: \"https://idp.example\", audiences: [orders], identity_claim: {{name: uid, value: j6}}}}}}\n\
         \x20 - {{name: J7, jwt: {{jwks: '{{\"keys\":[{}]}}', token: {{in: cookie, name: session, prefix: \"\"}}, identity_claim: {{name: uid, value: j7}}}}}}\n",
        J2.jwk(),
        J3.jwk(),
        J4.jwk(),
        J2.jwk(),
        J2.jwk(),
        J2.jwk()
    );
    let grants: String = (2..=7)
        .map(|n| format!("  - {{to: {{consumer: J{n}}}, api: orders, description: J{n} on orders}}\n"))
        .collect();
    fixture::WORLD.replace("${MORE_CONSUMERS}", &more).replace("${MORE_GRANTS}", &grants)
}

fn claims(uid: &str) -> String {
    format!(r#"{{"uid":"{uid}","exp":{}}}"#, NOW_S + 300)
}

fn with(token: &str) -> Request {
    Request::get(HOST, "/orders/1").bearer(token)
}

/// Each of these is refused, with one of these statuses.
async fn are_refused(gateway: &Gateway, tokens: impl IntoIterator<Item = String>) {
    let tokens: Vec<String> = tokens.into_iter().collect();
    let messages: Vec<_> = tokens.iter().map(|token| with(token).to_bytes()).collect();
    for (token, (answer, reason)) in tokens.iter().zip(cases::refused_all(gateway, messages).await) {
        assert!(matches!(answer.status, 400 | 401), "{token}: {answer:?}");
        assert!(token.len() < 9 || !answer.text().contains(token), "{token}: the answer repeats it");
        assert_ne!(reason, "credential_missing", "{token}");
    }
}

#[tokio::test]
async fn tokens_of_every_kind_of_key_open_the_door_for_their_own_consumer() {
    let gateway = Gateway::start(&world()).await;
    for (key, uid, name) in [(&J2, "j2", "J2"), (&J3, "j3", "J3"), (&J4, "j4", "J4")] {
        let answer = gateway.call(&with(&key.token(&claims(uid)))).await;
        assert_eq!(answer.status, 200, "{uid}: {answer:?}");
        let last = gateway.upstream().last().unwrap();
        assert_eq!(last.values("x-keyward-caller-name"), [name]);
        assert!(last.values("authorization").is_empty(), "the token goes no further");
    }
}

#[tokio::test]
async fn jwt_036_a_token_in_two_places() {
    let gateway = Gateway::start(&world()).await;
    let (j2, j5) = (J2.token(&claims("j2")), J2.token(&claims("j5")));
    let only_query = Request::get(HOST, &format!("/orders/1?a=1&token={j5}&b=2"));
    assert_eq!(gateway.call(&only_query).await.status, 200);
    let last = gateway.upstream().last().unwrap();
    assert_eq!(last.values("x-keyward-caller-name"), ["J5"]);
    assert_eq!(last.line, "GET /orders/1?a=1&b=2 HTTP/1.1", "the token goes no further");
    for line in gateway.log_lines(1).await {
        assert!(!line.contains(&j5), "{line}");
    }
    let both = [
        (format!("/orders/1?token={j5}"), j2.clone()),
        (format!("/orders/1?token={j2}"), j2.clone()),
        (format!("/orders/1?token={j5}"), j5.clone()),
        ("/orders/1?token=".to_owned(), j2.clone()),
        ("/orders/1?token=x".to_owned(), j2.clone()),
        (format!("/orders/1?token={j5}"), "not-a-token".to_owned()),
        (format!("/orders/1?token={j5}"), K1.to_owned()),
    ];
    for (target, bearer) in both {
        let request = Request::get(HOST, &target).bearer(&bearer);
        let (answer, reason) = cases::refused(&gateway, &request.to_bytes()).await;
        assert_eq!((answer.status, reason.as_str()), (400, "credential_ambiguous"), "{target}");
    }
    // Each at the other's place: a token counts only where its own consumer has it.
    are_refused(&gateway, [j5.clone()]).await;
    for target in [format!("/orders/1?token={j2}"), format!("/orders/1?token={j5}&token={j5}")] {
        let (answer, _) = cases::refused(&gateway, &Request::get(HOST, &target).to_bytes()).await;
        assert!(matches!(answer.status, 400 | 401), "{target}: {answer:?}");
    }
    let three = Request::get(HOST, &format!("/orders/1?token={j5}"))
        .header("Cookie", &format!("session={}", J2.token(&claims("j7"))));
    assert_eq!(cases::refused(&gateway, &three.to_bytes()).await.1, "credential_ambiguous");
    let key_beside = Request::get(HOST, &format!("/orders/1?apikey={K3}&token={j5}"));
    assert_eq!(cases::refused(&gateway, &key_beside.to_bytes()).await.1, "credential_ambiguous");
    let key_in_header = with(&j2).header("X-Api-Key", K2);
    assert_eq!(cases::refused(&gateway, &key_in_header.to_bytes()).await.1, "credential_ambiguous");
}

#[tokio::test]
async fn a_token_where_nobody_looks_for_one_proves_nothing_and_is_not_logged() {
    let gateway = Gateway::start(&world()).await;
    let (j2, j3) = (J2.token(&claims("j2")), J3.token(&claims("j3")));
    for name in ["access_token", "id_token", "jwt", "x", "Token"] {
        let target = format!("/orders/1?a=1&{name}={j3}");
        let alone = Request::get(HOST, &target);
        assert_eq!(cases::refused(&gateway, &alone.to_bytes()).await.1, "credential_missing", "{name}");
        let answer = gateway.call(&alone.bearer(&j2)).await;
        assert_eq!(answer.status, 200, "{name}");
        let last = gateway.upstream().last().unwrap();
        assert_eq!(last.values("x-keyward-caller-name"), ["J2"], "{name}");
        let record = gateway.record_of(&answer).await;
        assert_eq!(record["query"], format!("a=[hidden]&{name}=[hidden]"), "{record}");
    }
}

#[tokio::test]
async fn a_token_in_a_cookie_is_taken_out_of_it() {
    let gateway = Gateway::start(&world()).await;
    let j7 = J2.token(&claims("j7"));
    let request = Request::get(HOST, "/orders/1").header("Cookie", &format!("a=1; session={j7}; b=2"));
    assert_eq!(gateway.call(&request).await.status, 200);
    assert_eq!(gateway.upstream().last().unwrap().values("cookie"), ["a=1; b=2"]);
    for cookie in [
        format!("session={j7}; session={j7}"),
        format!("session=x; session={j7}"),
        format!("Session={j7}"),
        format!("session=\"{j7}\""),
        format!("session={j7}x"),
        format!("sessio%6e={j7}"),
    ] {
        let request = Request::get(HOST, "/orders/1").header("Cookie", &cookie);
        let (answer, _) = cases::refused(&gateway, &request.to_bytes()).await;
        assert!(matches!(answer.status, 400 | 401), "{cookie}: {answer:?}");
    }
    let twice = Request::get(HOST, "/orders/1")
        .header("Cookie", &format!("session={j7}"))
        .header("Cookie", "session=other");
    assert_eq!(cases::refused(&gateway, &twice.to_bytes()).await.1, "credential_ambiguous");
}

#[tokio::test]
async fn unsigned_tokens_and_public_keys_as_secrets() {
    let gateway = Gateway::start(&world()).await;
    let payload = claims("j2");
    let mut tokens = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", " none", "none\\u0000", ""] {
        for kid in ["", r#","kid":"r1""#] {
            let header = format!(r#"{{"alg":"{alg}"{kid}}}"#);
            let unsigned =
                format!("{}.{}.", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&payload));
            tokens.extend([
                unsigned.trim_end_matches('.').to_owned(),
                format!("{unsigned}AA"),
                J2.token_of(&header, &payload),
                unsigned,
            ]);
        }
    }
    let jwk = J2.jwk();
    let modulus = jwk.split("\"n\":\"").nth(1).unwrap().split('"').next().unwrap();
    let secrets = [
        jwk.clone().into_bytes(),
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        vec![],
    ];
    for secret in secrets {
        for header in [r#"{"alg":"HS256","kid":"r1"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"RS256","kid":"r1"}"#]
        {
            tokens.push(hmac_token(header, &payload, &secret));
        }
    }
    are_refused(&gateway, tokens).await;
}

#[tokio::test]
async fn keys_that_a_token_brings_along_prove_nothing_and_nothing_is_fetched() {
    let trap = keyward_testkit::upstream::Upstream::start().await.unwrap();
    let gateway = Gateway::start(&world()).await;
    let own = TokenKey::generate("RS256", "r1");
    let more = [
        format!(r#""jwk":{}"#, own.jwk()),
        format!(r#""jku":"{}/jwks""#, trap.url()),
        format!(r#""x5u":"{}/cert""#, trap.url()),
        format!(r#""x5c":["{}"]"#, STANDARD.encode(b"no certificate")),
        format!(r#""kid":"{}/r1""#, trap.url()),
        r#""kid":"../../../../dev/null""#.to_owned(),
        r#""kid":"r1' OR '1'='1""#.to_owned(),
        r#""kid":["r1"]"#.to_owned(),
        r#""kid":null"#.to_owned(),
    ];
    let tokens = more.iter().flat_map(|more| {
        let kid = if more.contains("kid") && !more.contains("jwk") { "" } else { r#","kid":"r1""# };
        let header = format!(r#"{{"alg":"RS256"{kid},{more}}}"#);
        [
            own.token_of(&header, &claims("j2")),
            hmac_token(&header.replace("RS256", "HS256"), &claims("j2"), b""),
        ]
    });
    are_refused(&gateway, tokens.collect::<Vec<_>>()).await;
    assert_eq!(trap.bytes(), b"", "a token caused a fetch");
}

#[tokio::test]
async fn signatures_of_another_form() {
    let gateway = Gateway::start(&world()).await;
    let es = J3.token(&claims("j3"));
    let (signed, signature) = es.rsplit_once('.').unwrap();
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let der = |r: &[u8], s: &[u8]| {
        let int = |bytes: &[u8]| {
            let pad = usize::from(bytes[0] & 0x80 != 0);
            [&[2, (bytes.len() + pad) as u8][..], &vec![0; pad], bytes].concat()
        };
        let inner = [int(r), int(s)].concat();
        [&[0x30, inner.len() as u8][..], &inner].concat()
    };
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let forged: Vec<Vec<u8>> = vec![
        vec![0; 64],
        [&[0; 32][..], &raw[32..]].concat(),
        [&raw[..32], &[0; 32]].concat(),
        [order, order].concat(),
        [&order[..], &raw[32..]].concat(),
        [0xff; 64].to_vec(),
        der(&raw[..32], &raw[32..]),
        raw[..63].to_vec(),
        [&raw[..], &[0]].concat(),
        [&[0; 1][..], &raw[..32], &[0; 1], &raw[32..]].concat(),
        [&raw[32..], &raw[..32]].concat(),
        vec![],
    ];
    are_refused(&gateway, forged.iter().map(|bytes| format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))))
        .await;
    let ed = J4.token(&claims("j4"));
    let (ed_signed, _) = ed.rsplit_once('.').unwrap();
    for bytes in [vec![0; 64], vec![0xff; 64], vec![0; 63], vec![1; 65]] {
        are_refused(&gateway, [format!("{ed_signed}.{}", URL_SAFE_NO_PAD.encode(bytes))]).await;
    }
    let rs = J2.token(&claims("j2"));
    let (rs_signed, _) = rs.rsplit_once('.').unwrap();
    for bytes in [vec![0; 256], vec![1; 256], vec![0xff; 256], vec![0; 255], vec![0; 257], vec![0]] {
        are_refused(&gateway, [format!("{rs_signed}.{}", URL_SAFE_NO_PAD.encode(bytes))]).await;
    }
    assert_eq!(gateway.call(&with(&es)).await.status, 200, "what it was made from is sound");
}

#[tokio::test]
async fn a_token_has_one_spelling_on_the_wire() {
    let gateway = Gateway::start(&world()).await;
    let good = J2.token(&claims("j2"));
    let parts: Vec<&str> = good.split('.').collect();
    let standard = |part: &str| STANDARD_NO_PAD.encode(URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut tokens = vec![
        format!("{good}="),
        format!("{good}=="),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{}", parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        "..".into(),
        format!("\"{good}\""),
        format!("{good},{good}"),
        format!("{good} {good}"),
        format!("{good}%3D"),
        good.to_uppercase(),
        good.replace('.', "%2E"),
        STANDARD.encode(&good),
        format!("{}.AAAA.AAAA.AAAA.AAAA", parts[0]),
        format!("{}={}{}={}{}", parts[0], '.', parts[1], '.', parts[2]),
    ];
    for (index, part) in parts.iter().enumerate() {
        let other = standard(part);
        if other != *part {
            let mut parts: Vec<&str> = parts.clone();
            parts[index] = &other;
            tokens.push(parts.join("."));
        }
    }
    // The last character of 256 bytes leaves four bits unused.
    let last = good.chars().last().unwrap();
    let other = char::from(last as u8 + 1);
    tokens.push(format!("{}{other}", &good[..good.len() - 1]));
    are_refused(&gateway, tokens).await;
    for value in [
        format!("Bearer{good}"),
        format!("Bearer: {good}"),
        format!("JWT {good}"),
        format!("Basic {good}"),
        good.clone(),
    ] {
        let request = Request::get(HOST, "/orders/1").header("Authorization", &value);
        assert_eq!(cases::refused(&gateway, &request.to_bytes()).await.0.status, 401, "{value}");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = Request::get(HOST, "/orders/1").header("Authorization", &format!("{scheme} {good}"));
        assert_eq!(gateway.call(&request).await.status, 200);
    }
    let twice = with(&good).bearer(&good);
    assert_eq!(cases::refused(&gateway, &twice.to_bytes()).await.0.status, 400);
}

#[tokio::test]
async fn headers_and_claims_of_doubtful_meaning() {
    let gateway = Gateway::start(&world()).await;
    let header = |more: &str| format!(r#"{{"alg":"RS256","kid":"r1"{more}}}"#);
    let headers = [
        r#","crit":["exp"]"#,
        r#","crit":[]"#,
        r#","crit":["b64"],"b64":false"#,
        r#","b64":false"#,
        r#","alg":"RS256""#,
        r#","alg":"none""#,
        r#","kid":"r1""#,
        r#","\u0061lg":"none""#,
    ];
    are_refused(&gateway, headers.map(|more| J2.token_of(&header(more), &claims("j2")))).await;
    let odd_headers =
        ["", "[]", "null", "{}", "{\"alg\":\"RS256\"", "{'alg':'RS256'}", "\u{feff}{\"alg\":\"RS256\"}"];
    are_refused(&gateway, odd_headers.map(|header| J2.token_of(header, &claims("j2")))).await;
    let later = NOW_S + 300;
    let payloads = [
        String::new(),
        "{}".into(),
        "[]".into(),
        "null".into(),
        format!(r#"{{"uid":"j2","exp":"{later}"}}"#),
        format!(r#"{{"uid":"j2","exp":[{later}]}}"#),
        r#"{"uid":"j2","exp":null}"#.into(),
        r#"{"uid":"j2","exp":true}"#.into(),
        r#"{"uid":"j2","exp":1e300}"#.into(),
        r#"{"uid":"j2","exp":1e400}"#.into(),
        r#"{"uid":"j2","exp":-1}"#.into(),
        r#"{"uid":"j2","exp":9223372036854775808}"#.into(),
        r#"{"uid":"j2","exp":18446744073709551617}"#.into(),
        r#"{"uid":"j2","exp":99999999999999999999999999}"#.into(),
        format!(r#"{{"uid":"j2","exp":{}}}"#, NOW_S - 60),
        format!(r#"{{"uid":"j2","exp":{}}}"#, later * 1000),
        r#"{"uid":"j2"}"#.into(),
        format!(r#"{{"uid":"j2","exp":1,"exp":{later}}}"#),
        format!(r#"{{"uid":"j2","exp":{later},"nbf":{}}}"#, NOW_S + 61),
        format!(r#"{{"uid":"j2","exp":{later},"nbf":"0"}}"#),
        format!(r#"{{"uid":"j2","exp":{later},"iat":{}}}"#, NOW_S + 61),
        format!(r#"{{"uid":"j2","exp":{later},"iat":{{}}}}"#),
        format!(r#"{{"uid":"j3","uid":"j2","exp":{later}}}"#),
        format!(r#"{{"uid":"J2","exp":{later}}}"#),
        format!(r#"{{"uid":"j2 ","exp":{later}}}"#),
        format!(r#"{{"uid":["j2"],"exp":{later}}}"#),
        format!(r#"{{"UID":"j2","exp":{later}}}"#),
        format!(r#"{{"sub":"j2","exp":{later}}}"#),
        format!(r#"{{"uid":"j2","exp":{later}}}{{}}"#),
        format!(r#"{{"uid":"j2","exp":{later},}}"#),
        claims("j3"),
        claims("j5"),
        J2.token(&claims("j2")),
    ];
    are_refused(&gateway, payloads.map(|payload| J2.token(&payload))).await;
    are_refused(
        &gateway,
        [format!("{}x", J2.token(&format!(r#"{{"uid":"j2","pad":"{}"}}"#, "x".repeat(15_000))))],
    )
    .await;
    let (answer, _) = cases::refused(
        &gateway,
        &with(&J2.token(&format!(r#"{{"uid":"j2","pad":"{}"}}"#, "x".repeat(100_000)))).to_bytes(),
    )
    .await;
    assert_eq!(answer.status, 431);
    for sound in [
        format!(r#"{{"uid":"j2","exp":{later}.5}}"#),
        format!(r#"{{"uid":"j2","exp":{}}}"#, NOW_S - 59),
        format!(r#" {{ "exp" : {later} , "uid" : "j2" }} "#),
        format!(r#"{{"uid":"j2","exp":{later},"deep":{}1{}}}"#, "[".repeat(3_500), "]".repeat(3_500)),
    ] {
        let answer = gateway.call(&with(&J2.token(&sound))).await;
        assert_eq!(answer.status, 200, "{sound}: {answer:?}");
    }
}

#[tokio::test]
async fn issuer_and_audience_are_compared_as_they_stand() {
    let gateway = Gateway::start(&world()).await;
    let of = |iss: &str, aud: &str| {
        J2.token(&format!(r#"{{"uid":"j6","exp":{},"iss":{iss},"aud":{aud}}}"#, NOW_S + 300))
    };
    let iss = "\"https://idp.example\"";
    for aud in ["\"orders\"", "[\"orders\"]", "[\"other\",\"orders\"]"] {
        assert_eq!(gateway.call(&with(&of(iss, aud))).await.status, 200, "{aud}");
    }
    let auds = [
        "\"Orders\"",
        "\"orders \"",
        "\"other,orders\"",
        "[]",
        "null",
        "{}",
        "1",
        "[[\"orders\"]]",
        "\"order\"",
    ];
    are_refused(&gateway, auds.map(|aud| of(iss, aud))).await;
    let issuers = [
        "\"https://idp.example/\"",
        "\"https://idp.example.evil\"",
        "[\"https://idp.example\"]",
        "null",
        "\"\"",
    ];
    are_refused(&gateway, issuers.map(|iss| of(iss, "\"orders\""))).await;
    are_refused(&gateway, [J2.token(&claims("j6"))]).await;
}

#[tokio::test]
async fn jwt_012_one_consumers_key_does_not_speak_for_another() {
    let gateway = Gateway::start(&world()).await;
    let own_kid = |alg: &str, kid: &str| format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
    let tokens = vec![
        J3.token(&claims("j2")),
        J3.token_of(&own_kid("ES256", "r1"), &claims("j2")),
        J3.token_of(r#"{"alg":"ES256"}"#, &claims("j2")),
        J4.token(&claims("j3")),
        J4.token_of(&own_kid("EdDSA", "e1"), &claims("j3")),
        token("HS256", Some("h1"), J1_SECRET, &serde_json::json!({"uid": "j2", "exp": NOW_S + 300})),
        J2.token(&claims("j1")),
    ];
    are_refused(&gateway, tokens).await;
}

#[tokio::test]
async fn jwt_040_a_key_that_was_taken_away_opens_nothing_from_the_answer_on() {
    let gateway = Gateway::start(&world()).await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let mut keys = vec![TokenKey::generate("ES256", "k0")];
    for round in 1..=20 {
        keys.push(TokenKey::generate("ES256", &format!("k{round}")));
        let (old, new) = (&keys[round - 1], &keys[round]);
        for (set, old_holds) in [(format!("{},{}", old.jwk(), new.jwk()), round > 1), (new.jwk(), false)] {
            let world = format!(
                "version: 1\nconsumers: [{{name: J3, jwt: {{jwks: '{{\"keys\":[{set}]}}', identity_claim: {{name: uid, value: j3}}}}}}]\n"
            );
            gateway.apply(&world).await.unwrap();
            let overlap = set.contains(&old.jwk());
            assert!(overlap || !old_holds);
            let statuses = [
                connection.call(&with(&old.token(&claims("j3")))).await.unwrap().status,
                connection.call(&with(&new.token(&claims("j3")))).await.unwrap().status,
            ];
            assert_eq!(statuses, [if overlap { 200 } else { 401 }, 200], "round {round}");
        }
    }
    gateway.operate("{disable: {consumer: J3}}").await;
    let (answer, reason) = cases::refused(&gateway, &with(&keys[20].token(&claims("j3"))).to_bytes()).await;
    assert_eq!((answer.status, reason.as_str()), (403, "caller_disabled"));
}

#[tokio::test]
async fn jwt_038_a_token_that_held_before_is_judged_again() {
    let gateway = Gateway::start(&world()).await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let long = format!(r#"{{"uid":"j2","exp":{},"pad":"{}","role":"#, NOW_S + 300, "x".repeat(400));
    let (valid, other) = (J2.token(&format!("{long}\"a\"}}")), J2.token(&format!("{long}\"b\"}}")));
    assert_eq!(valid[..256], other[..256]);
    let forged = format!("{}.{}", other.rsplit_once('.').unwrap().0, valid.rsplit_once('.').unwrap().1);
    for _ in 0..3 {
        assert_eq!(connection.call(&with(&valid)).await.unwrap().status, 200);
        assert_eq!(connection.call(&with(&forged)).await.unwrap().status, 401, "half of it was remembered");
    }
    // Time goes on, and back.
    gateway.advance_ms(360_000);
    assert_eq!(cases::refused(&gateway, &with(&valid).to_bytes()).await.1, "proof_expired");
    gateway.advance_ms(-360_000);
    assert_eq!(connection.call(&with(&valid)).await.unwrap().status, 200);
    // Elsewhere it opens nothing, whatever is remembered of it.
    let elsewhere = Request::get(HOST, "/walled/x").bearer(&valid);
    let (answer, _) = cases::refused(&gateway, &elsewhere.to_bytes()).await;
    assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    let in_query = Request::get(HOST, &format!("/orders/1?token={valid}"));
    assert_eq!(cases::refused(&gateway, &in_query.to_bytes()).await.0.status, 401);
}

#[tokio::test]
async fn what_ends_a_consumers_rights_ends_those_of_its_remembered_tokens() {
    let changed = |settings: &str| {
        format!(
            "version: 1\nconsumers: [{{name: J2, jwt: {{jwks: '{{\"keys\":[{}]}}', identity_claim: {{name: uid, value: j2}}{settings}}}}}]\n",
            J2.jwk()
        )
    };
    let apply = |text: String| ("apply", text);
    let steps = [
        apply(changed(", issuer: \"https://idp.example\"")),
        apply(changed(", audiences: [orders]")),
        apply(changed(", enabled: false")),
        apply(changed(", token: {in: header, name: X-Token, prefix: \"\"}")),
        apply(changed("").replace("value: j2", "value: j9")),
        apply(changed("").replace(&J2.jwk(), &TokenKey::generate("RS256", "r1").jwk())),
        ("operate", "{disable: {consumer: J2}}".into()),
        ("operate", "{delete: {consumer: J2}}".into()),
        ("operate", "{revoke: J2 on orders}".into()),
        ("operate", "{disable_credential: {consumer: J2, kind: jwt, index: 0}}".into()),
    ];
    let token = J2.token(&claims("j2"));
    for (way, text) in steps {
        let gateway = Gateway::start(&world()).await;
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(connection.call(&with(&token)).await.unwrap().status, 200);
        }
        match way {
            "apply" => drop(gateway.apply(&text).await.unwrap()),
            _ => gateway.operate(&text).await,
        }
        let answer = connection.call(&with(&token)).await.unwrap();
        assert!(matches!(answer.status, 401 | 403), "{text}: {answer:?}");
        assert_eq!(gateway.upstream().hits(), 3, "{text}");
    }
}
