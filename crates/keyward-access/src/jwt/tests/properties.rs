//! What must hold of any token: nothing but the token itself is accepted, and nothing makes the reader stumble.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Algorithms with every way of verifying, so that a run stays short.
const ALGORITHMS: [JwsAlgorithm; 5] =
    [JwsAlgorithm::Hs256, JwsAlgorithm::Hs512, JwsAlgorithm::Es256, JwsAlgorithm::EdDsa, JwsAlgorithm::Rs256];

/// A small change to a text: at `place`, of this kind, with this byte.
#[derive(Clone, Debug)]
struct Change {
    place: prop::sample::Index,
    kind: u8,
    byte: char,
}

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![
        prop::char::range('!', '~'),
        prop::sample::select(vec!['.', '=', '-', '_', ' ', '\n', '\0', 'é'])
    ];
    (any::<prop::sample::Index>(), 0..6_u8, byte).prop_map(|(place, kind, byte)| Change { place, kind, byte })
}

impl Change {
    fn apply(&self, text: &str) -> String {
        let characters: Vec<char> = text.chars().collect();
        let at = self.place.index(characters.len());
        let (before, after) = characters.split_at(at);
        let whole = |parts: &[&[char]]| parts.concat().into_iter().collect();
        match self.kind {
            0 => whole(&[before, &[self.byte], &after[1..]]),
            1 => whole(&[before, &[self.byte], after]),
            2 => whole(&[before, &after[1..]]),
            3 => whole(&[before]),
            4 => whole(&[before, &after[..1], after]),
            _ => whole(&[after, before]),
        }
    }
}

proptest! {
    #[test]
    fn a_changed_token_is_never_accepted(
        algorithm in prop::sample::select(ALGORITHMS.as_slice()),
        changes in prop::collection::vec(change(), 1..4),
    ) {
        let token = signer(algorithm).token(&j2());
        let changed = changes.iter().fold(token.clone(), |text, change| if text.is_empty() { text } else { change.apply(&text) });
        let accepted = reason(&changed, &keys_of(&[signer(algorithm)])).is_none();
        prop_assert!(!accepted || changed == token, "{} for {}", changed, token);
    }

    #[test]
    fn a_token_with_changed_bytes_is_never_accepted(
        algorithm in prop::sample::select(ALGORITHMS.as_slice()),
        part in 0..3_usize,
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let token = signer(algorithm).token(&j2());
        let mut parts: Vec<Vec<u8>> = token.split('.').map(unbase64).collect();
        let at = place.index(parts[part].len());
        parts[part][at] ^= 1 << bit;
        let changed = parts.iter().map(base64).collect::<Vec<_>>().join(".");
        prop_assert!(reason(&changed, &keys_of(&[signer(algorithm)])).is_some(), "{}", changed);
    }

    #[test]
    fn no_text_makes_the_reader_stumble(text in "\\PC{0,200}", ascii in "[A-Za-z0-9._=-]{0,200}") {
        for text in [text, ascii] {
            let looks = looks_like_token(&text);
            let read = Unverified::parse(&text).is_ok();
            prop_assert!(!read || looks, "{}", text);
        }
    }

    #[test]
    fn no_header_or_payload_makes_the_reader_stumble(header in ".{0,120}", changes in prop::collection::vec(change(), 0..6)) {
        let signer = signer(JwsAlgorithm::Hs256);
        let keys = keys_of(&[signer]);
        let settings = JwtSettings { issuer: Some("i".into()), audiences: vec!["a".into()], ..JwtSettings::default() };
        let claims = r#"{"uid":"j2","iss":"i","aud":["a","b"],"exp":1769860900,"nbf":1.5e3,"x":{"y":[null,"\u00e9\n"]}}"#;
        let changed = changes.iter().fold(claims.to_owned(), |text, change| if text.is_empty() { text } else { change.apply(&text) });
        for token in [signer.token_of(&header, claims), signer.token(&changed), signer.token_of(&changed, &header)] {
            let _ = judge(&token, &keys, &settings);
        }
    }

    #[test]
    fn claims_are_what_another_reader_finds(
        claims in prop::collection::btree_map("\\PC{0,12}", prop_oneof![
            "\\PC{0,12}".prop_map(serde_json::Value::from),
            any::<i32>().prop_map(serde_json::Value::from),
            Just(serde_json::json!({"a": ["b", null]})),
        ], 0..12),
        escaped in any::<bool>(),
    ) {
        let mut json = serde_json::to_string(&claims).unwrap();
        if escaped {
            json = json.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect();
        }
        let token = signer(JwsAlgorithm::Hs256).token(&json);
        let token = Unverified::parse(&token).unwrap();
        let texts: BTreeMap<_, _> = claims.iter().map(|(name, value)| (name, value.as_str())).collect();
        for (name, text) in texts {
            prop_assert_eq!(token.claim(name), text);
        }
        prop_assert_eq!(token.claim("no such claim"), None);
    }

    #[test]
    fn no_key_set_makes_the_reader_stumble(changes in prop::collection::vec(change(), 0..6)) {
        let jwks: Vec<_> = ALGORITHMS.iter().map(|algorithm| signer(*algorithm).jwk().replace("own", algorithm.as_str())).collect();
        let set = format!(r#"{{"keys":[{}]}}"#, jwks.join(","));
        let changed = changes.iter().fold(set, |text, change| if text.is_empty() { text } else { change.apply(&text) });
        if let Ok(set) = JwkSet::parse(&changed) {
            prop_assert_eq!(&JwkSet::parse(set.to_json().expose_secret()).unwrap(), &set);
            let _ = VerifyingKeys::compile(&set);
        }
    }
}

fn escape(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}
