//! What is remembered of tokens, and what is not.

use std::sync::Arc;

use super::*;
use crate::jwt::TokenMemory;

/// The token's way through a memory: found there or read, judged, and remembered if it held.
fn judge_remembering(
    memory: &TokenMemory,
    text: &str,
    keys: &Arc<VerifyingKeys>,
    now: Timestamp,
) -> Result<(), DenyReason> {
    let token = match memory.find(text) {
        Some(token) => token,
        None => Unverified::parse(text).map_err(|denial| denial.reason)?,
    };
    verify(&token, keys, &JwtSettings::default(), now).map_err(|denial| denial.reason)?;
    memory.remember(&token, keys);
    Ok(())
}

#[test]
fn a_token_that_held_is_known_under_its_keys_and_says_the_same() {
    for algorithm in JwsAlgorithm::ALL {
        let memory = TokenMemory::new();
        let keys = Arc::new(keys_of(&[signer(algorithm)]));
        let text = signer(algorithm).token(&j2());
        assert!(memory.find(&text).is_none());
        assert_eq!(judge_remembering(&memory, &text, &keys, NOW), Ok(()));
        let found = memory.find(&text).unwrap();
        assert!(found.held_under(&keys));
        assert_eq!((found.claim("uid"), found.algorithm()), (Some("j2"), algorithm));
        assert_eq!(judge_remembering(&memory, &text, &keys, NOW), Ok(()));
    }
}

#[test]
fn times_are_judged_anew() {
    let (memory, signer) = (TokenMemory::new(), signer(JwsAlgorithm::Es256));
    let (keys, text) = (Arc::new(keys_of(&[signer])), signer.token(&j2()));
    assert_eq!(judge_remembering(&memory, &text, &keys, NOW), Ok(()));
    let late = NOW.plus_millis(360_000);
    assert_eq!(judge_remembering(&memory, &text, &keys, late), Err(DenyReason::ProofExpired));
}

#[test]
fn another_key_set_has_to_verify_it_itself() {
    for algorithm in [JwsAlgorithm::Hs256, JwsAlgorithm::Es256] {
        let (memory, old) = (TokenMemory::new(), Signer::generate("k", algorithm));
        let (keys, text) = (Arc::new(keys_of(&[&old])), old.token(&j2()));
        assert_eq!(judge_remembering(&memory, &text, &keys, NOW), Ok(()));
        // The same keys in another set: known again only once they verified it.
        let same = Arc::new(keys_of(&[&old]));
        assert!(!memory.find(&text).unwrap().held_under(&same));
        assert_eq!(judge_remembering(&memory, &text, &same, NOW), Ok(()));
        assert!(memory.find(&text).unwrap().held_under(&same));
        // Another key of the same name.
        let other = Arc::new(keys_of(&[&Signer::generate("k", algorithm)]));
        assert_eq!(judge_remembering(&memory, &text, &other, NOW), Err(DenyReason::ProofMismatch));
        assert!(!memory.find(&text).unwrap().held_under(&other));
    }
}

#[test]
fn no_other_text_is_taken_for_a_remembered_one() {
    let (memory, signer) = (TokenMemory::new(), signer(JwsAlgorithm::Hs256));
    let (keys, text) = (Arc::new(keys_of(&[signer])), signer.token(&j2()));
    assert_eq!(judge_remembering(&memory, &text, &keys, NOW), Ok(()));
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        assert!(memory.find(&other).is_none());
        assert!(judge_remembering(&memory, &other, &keys, NOW).is_err());
    }
    for other in [&text[1..], &text[..text.len() - 1], &format!("{text}A"), ""] {
        assert!(memory.find(other).is_none());
    }
}

#[test]
fn it_is_bounded_and_forgets_what_was_not_used() {
    let (memory, signer) = (TokenMemory::new(), signer(JwsAlgorithm::Hs256));
    let keys = Arc::new(keys_of(&[signer]));
    let token = |n: usize| signer.token(&format!(r#"{{"uid":"j2","n":{n},"exp":{}}}"#, NOW_S + 300));
    let texts: Vec<_> = (0..3 * TokenMemory::TOKENS).map(token).collect();
    for text in &texts {
        assert_eq!(judge_remembering(&memory, text, &keys, NOW), Ok(()));
    }
    let known = texts.iter().filter(|text| memory.find(text).is_some()).count();
    assert!((TokenMemory::TOKENS / 2..=TokenMemory::TOKENS).contains(&known), "{known}");
    let long = signer.token(&format!(r#"{{"uid":"j2","x":"{}","exp":{}}}"#, "x".repeat(2_048), NOW_S + 300));
    assert_eq!(judge_remembering(&memory, &long, &keys, NOW), Ok(()));
    assert!(memory.find(&long).is_none());
}
