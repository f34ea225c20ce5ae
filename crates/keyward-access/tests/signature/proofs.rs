//! What a proof says, and what it must say: time, nonce, digest, and the bodies that are waited for.

use keyward_access::signature::{
    DigestChoice, Judged, KeyPair, Presented, SignedRequest, SigningSecret, body_need, verify,
};
use keyward_access::{Body, BodyNeed};
use keyward_model::{
    CallerId, CallerKind, DenyReason, HmacAlgorithm, Plaintext, SignaturePolicy, SignatureScheme,
};

use crate::call::{Call, FORM, NONCE, NOW, SECRET, Setting, Signer};

const JSON: &str = "application/json";

fn get() -> Call {
    Call::new("GET", "/a?k=v").header("Accept", JSON)
}

fn tencent() -> Signer {
    Signer::of(SignatureScheme::Tencent)
}

#[test]
fn the_window_is_closed_at_both_ends() {
    for scheme in SignatureScheme::ALL {
        // Whole seconds, for HTTP dates.
        let now = NOW.plus_millis(-(NOW.as_millis() % 1000));
        let signer = Signer { timestamp: Some(now), ..Signer::of(scheme) };
        let call = get().signed_with(&signer);
        for (offset_ms, holds) in [(-900_000, true), (900_000, true), (-900_001, false), (900_001, false)] {
            let setting = Setting { now: now.plus_millis(offset_ms), ..Setting::of(scheme) };
            match setting.judge(&call).unwrap() {
                Ok(_) => assert!(holds, "{scheme} {offset_ms}"),
                Err(denial) => {
                    assert!(!holds, "{scheme} {offset_ms}");
                    assert_eq!(denial.reason, DenyReason::ProofExpired);
                    let hint = denial.hint.unwrap();
                    let side = if offset_ms > 0 { "901 s behind" } else { "901 s ahead of" };
                    assert!(hint.contains(side), "{hint}");
                    assert!(hint.contains(&setting.now.to_string()), "{hint}");
                }
            }
        }
    }
    let late = Setting { now: NOW.plus_millis(3_600_000), ..Setting::alibaba() };
    let denial = late.refuses(&get().signed());
    assert_eq!(denial.message.as_deref(), Some("Timestamp Expired"));
    assert_eq!(
        denial.hint.unwrap(),
        "`X-Ca-Timestamp` is 3600 s behind this server, whose time is 2018-05-09T14:30:29.832Z (1525876229832 ms): at \
         most 900 s are allowed, so set the clock or sign anew"
    );
    let narrow = Setting { now: NOW.plus_millis(61_000), ..Setting::alibaba() };
    let narrow = Setting { policy: SignaturePolicy { window_s: 60, ..narrow.policy.clone() }, ..narrow };
    assert_eq!(narrow.refuses(&get().signed()).reason, DenyReason::ProofExpired);
}

/// Tencent's gateway does not judge a signed `Date`; it counts only where a timestamp is required.
#[test]
fn a_signed_date_is_judged_where_a_timestamp_is_required() {
    let signer = Signer {
        timestamp: None,
        nonce: None,
        sign_headers: vec!["Date".into()],
        ..Signer::of(SignatureScheme::TencentKeyPair)
    };
    let call = get().header("Date", "Mon, 19 Mar 2018 12:08:40 GMT").signed_with(&signer);
    let mut setting = Setting::of(SignatureScheme::TencentKeyPair);
    assert_eq!(setting.holds(&call).timestamp, None);
    setting.policy.require_timestamp = true;
    assert_eq!(setting.refuses(&call).reason, DenyReason::ProofExpired);
    setting.now = "2018-03-19T12:10:00Z".parse().unwrap();
    assert!(setting.holds(&call).timestamp.is_some());
    let odd = get().header("Date", "yesterday").signed_with(&signer);
    assert_eq!(setting.refuses(&odd).reason, DenyReason::RequiredHeaderNotSigned);
    // Without any date there is nothing that Tencent's clients would not send.
    let none = get()
        .header("Date", "Mon, 19 Mar 2018 12:08:40 GMT")
        .signed_with(&Signer { sign_headers: vec!["Accept".into()], ..signer });
    let denial = setting.refuses(&none);
    assert_eq!(denial.reason, DenyReason::RequiredHeaderNotSigned);
    assert_eq!(
        denial.message.as_deref(),
        Some("HMAC signature cannot be verified, a valid x-date header is required for HMAC Authentication.")
    );
}

#[test]
fn a_nonce_counts_when_it_and_the_timestamp_are_signed() {
    let mut setting = Setting::alibaba();
    let full = get().signed();
    assert_eq!(setting.holds(&full).nonce.as_deref(), Some(NONCE));
    let no_time = get().signed_with(&Signer { timestamp: None, ..Signer::default() });
    assert_eq!(setting.holds(&no_time).nonce, None);
    let unsigned =
        get().signed_with(&Signer { nonce: None, ..Signer::default() }).header("X-Ca-Nonce", NONCE);
    assert_eq!(setting.holds(&unsigned).nonce, None);
    let unsigned_time = get()
        .signed_with(&Signer { timestamp: None, ..Signer::default() })
        .header("X-Ca-Timestamp", NOW.as_millis().to_string());
    assert_eq!(setting.holds(&unsigned_time).timestamp, None);
    let none = get().signed_with(&Signer { nonce: None, ..Signer::default() });
    setting.policy.require_nonce = true;
    setting.holds(&full);
    for call in [no_time, unsigned, unsigned_time, none] {
        assert_eq!(setting.refuses(&call).reason, DenyReason::NonceMissing);
    }
    // An unsigned timestamp proves nothing, but one out of the window is refused all the same.
    let stale = get().signed_with(&Signer { timestamp: None, nonce: None, ..Signer::default() });
    let stale = stale.header("X-Ca-Timestamp", "1400000000000");
    assert_eq!(Setting::alibaba().refuses(&stale).reason, DenyReason::ProofExpired);
    let apigw = get().signed_with(&Signer { timestamp: Some(NOW), ..tencent() });
    assert_eq!(Setting::of(SignatureScheme::Tencent).holds(&apigw).nonce.as_deref(), Some(NONCE));
}

#[test]
fn a_nonce_is_kept_as_long_as_its_timestamp_holds() {
    let caller = CallerId::from_uuid(CallerKind::Application, uuid::Uuid::nil());
    let setting = Setting::alibaba();
    let call = get().signed();
    call.with_head(|head| {
        let presented = Presented::find(head).unwrap().unwrap();
        let secret = SigningSecret::new(&Plaintext::new(SECRET));
        let pair = KeyPair { scheme: SignatureScheme::Alibaba, secret: &secret };
        let request = SignedRequest { head, signed_path: "/a", body: Body::Unread };
        let judged = verify(&presented, Some(pair), &setting.policy, &request, NOW, false);
        let Judged::Held(proof) = judged.unwrap() else { panic!() };
        let used = proof.nonce_use(caller, &setting.policy).unwrap();
        assert_eq!((used.caller, &*used.nonce, used.timestamp), (caller, NONCE, Some(NOW)));
        // At the last moment of the window it is still needed; a millisecond later it is not.
        assert_eq!(used.until, NOW.plus_millis(900_001));
        assert!(!used.required);
    });
}

#[test]
fn a_digest_is_checked_whatever_the_method() {
    let setting = Setting::alibaba();
    for method in ["POST", "GET", "PUT", "DELETE", "PATCH"] {
        let good = Call::new(method, "/a").body(JSON, r#"{"v":1}"#).signed();
        let open = setting.judge_with(&good, Body::Streamed).unwrap().unwrap().unwrap();
        assert_eq!(open.digest.unwrap().md5[..2], [0xa1, 0x91]);
        assert_eq!(setting.holds(&good).digest, None);
        for body in ["{\"v\":2}", "", "{\"v\":1} "] {
            let changed = Call { body: body.into(), ..good.clone() };
            let denial = setting.refuses(&changed);
            assert_eq!(denial.reason, DenyReason::DigestMismatch, "{method} {body}");
            assert_eq!(denial.message.as_deref(), Some("Invalid Content-MD5"));
        }
    }
    let form = Signer { digest: DigestChoice::Always, ..Signer::default() };
    setting.holds(&Call::new("POST", "/a").body(FORM, "a=1").signed_with(&form));
    // The form of the digest that other vendors want is named.
    for (value, hint) in [
        ("YTE5MTQ3NWFlMmJmN2RiOWM3ZTMyMGY3ZGE0NTViYmI=", "base64 of the hexadecimal digits"),
        ("a191475ae2bf7db9c7e320f7da455bbb", "is hexadecimal"),
        ("oZFHWuK/fbnH4yD32kVbuw", "must be base64"),
    ] {
        let call = Call::new("POST", "/a").header("Content-MD5", value).body(JSON, r#"{"v":1}"#).signed();
        let denial = setting.refuses(&call);
        assert_eq!(denial.reason, DenyReason::DigestMismatch, "{value}");
        assert!(denial.hint.as_ref().unwrap().contains(hint), "{denial:?}");
    }
}

/// A bad signature is refused before the body is read; `judge` compares both ways, this shows that the first one is enough.
#[test]
fn a_bad_signature_needs_no_body() {
    let mut call = Call::new("POST", "/a").body(JSON, "{}").signed();
    call.target("/b");
    let denial = Setting::alibaba().judge_with(&call, Body::Unread).unwrap().unwrap_err();
    assert_eq!(denial.reason, DenyReason::ProofMismatch);
    // What takes part in the text has to be read, but not for what the head alone refuses.
    let form = Call::new("POST", "/a").body(FORM, "a=1").signed();
    assert!(matches!(Setting::alibaba().judge_with(&form, Body::Unread), Some(Ok(None))));
    let mut sha512 = Setting::alibaba();
    sha512.policy.algorithms = vec![HmacAlgorithm::Sha512];
    let denial = sha512.judge_with(&form, Body::Unread).unwrap().unwrap_err();
    assert_eq!(denial.reason, DenyReason::AlgorithmNotAdmitted);
}

#[test]
fn which_bodies_are_needed() {
    use SignatureScheme::{Alibaba, Tencent, TencentKeyPair};
    let listed = Signer {
        digest: DigestChoice::Never,
        sign_headers: vec!["X-A".into()],
        ..Signer::of(TencentKeyPair)
    };
    let bare = |content_type: &str| Call::new("POST", "/a").header("X-A", "1").body(content_type, "a=1");
    let undigested = Signer { digest: DigestChoice::Never, ..Signer::default() };
    let only = |schemes: &[SignatureScheme]| SignaturePolicy {
        schemes: schemes.to_vec(),
        ..SignaturePolicy::default()
    };
    for (call, scheme, policy, need) in [
        (bare(FORM).signed(), Alibaba, only(&[Alibaba]), Some(BodyNeed::Whole)),
        (
            bare("Application/X-WWW-Form-Urlencoded;x").signed(),
            Alibaba,
            only(&[Alibaba]),
            Some(BodyNeed::Whole),
        ),
        (bare(JSON).signed(), Alibaba, only(&[Alibaba]), Some(BodyNeed::Digest)),
        (bare(JSON).signed_with(&undigested), Alibaba, only(&[Alibaba]), None),
        (get().signed(), Alibaba, only(&[Alibaba]), None),
        (bare(JSON).signed_with(&tencent()), Tencent, only(&[Tencent]), Some(BodyNeed::Whole)),
        (get().signed_with(&tencent()), Tencent, only(&[Tencent]), None),
        (bare(JSON).signed_with(&listed), TencentKeyPair, only(&[TencentKeyPair]), None),
        (
            bare(JSON).signed_with(&Signer::of(TencentKeyPair)),
            TencentKeyPair,
            only(&[TencentKeyPair]),
            Some(BodyNeed::Digest),
        ),
        // Where both are admitted, waiting must not tell which of them an id is of.
        (
            bare(JSON).signed_with(&listed),
            TencentKeyPair,
            only(&[Tencent, TencentKeyPair]),
            Some(BodyNeed::Whole),
        ),
    ] {
        let got =
            call.with_head(|head| body_need(&Presented::find(head).unwrap().unwrap(), scheme, &policy, head));
        assert_eq!(got, need, "{scheme} {call:?}");
    }
}

/// Key pair authentication covers a body only by a listed digest.
#[test]
fn a_key_pair_signs_header_lines_alone() {
    let scheme = SignatureScheme::TencentKeyPair;
    let call = Call::new("POST", "/a").body(JSON, "{}").signed_with(&Signer::of(scheme));
    let mut setting = Setting::of(scheme);
    setting.policy.require_body_digest = true;
    setting.holds(&call);
    assert_eq!(setting.refuses(&Call { body: b"[]".to_vec(), ..call }).reason, DenyReason::DigestMismatch);
    let without = Call::new("POST", "/a")
        .body(JSON, "{}")
        .signed_with(&Signer { digest: DigestChoice::Never, ..Signer::of(scheme) });
    assert_eq!(setting.refuses(&without).reason, DenyReason::DigestMismatch);
    Setting::of(scheme).holds(&without);
}

/// The stage's prefix is no part of what Tencent's clients sign.
#[test]
fn the_signed_path_may_differ_from_the_path() {
    let mut call = Call::new("GET", "/release/echo?a=1");
    call.signed_path = Some("/echo".into());
    let call = call.signed_with(&tencent());
    Setting::of(SignatureScheme::Tencent).holds(&call);
    let mut root = Call::new("GET", "/release");
    root.signed_path = Some("/".into());
    let mut root = root.signed_with(&tencent());
    root.signed_path = Some(String::new());
    Setting::of(SignatureScheme::Tencent).holds(&root);
}
