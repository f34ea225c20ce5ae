//! The attack catalogue, class app-signature, as far as it can be decided purely; and attacks on the candidates.

use keyward_access::signature::DigestChoice;
use keyward_model::{DenyReason, HmacAlgorithm, SignatureScheme, Stage};

use crate::call::{Call, FORM, NONCE, Setting, Signer};

const JSON: &str = "application/json";

/// App A, POST, JSON, everything signed: the precondition of the class.
fn precondition() -> Call {
    Call::new("POST", "/orders?b=2&a=1")
        .header("Accept", JSON)
        .header("Date", "Wed, 09 May 2018 13:30:29 GMT")
        .body(JSON, r#"{"amount":1}"#)
}

fn complete(scheme: SignatureScheme) -> Signer {
    Signer { stage: Some(Stage::Test), ..Signer::of(scheme) }
}

/// Every bit of everything that is signed: 0 accepts.
#[test]
fn hmac_001_one_bit_anywhere() {
    for scheme in [SignatureScheme::Alibaba, SignatureScheme::Tencent] {
        for setting in [Setting::of(scheme), Setting::of(scheme).strict()] {
            for algorithm in HmacAlgorithm::ALL {
                let signer = Signer { algorithm, ..complete(scheme) };
                let good = precondition().header("X-Trace", "abc");
                let signer = Signer { sign_headers: vec!["X-Trace".into()], ..signer };
                let good = good.signed_with(&signer);
                setting.holds(&good);
                let tried = flip_everything(&setting, &good);
                assert!(tried > 2500, "{tried}");
            }
        }
    }
}

/// Flips each bit on its own and says how many there were.
fn flip_everything(setting: &Setting, good: &Call) -> usize {
    let mut tried = 0;
    let mut refuse = |changed: &Call| {
        tried += 1;
        assert!(!setting.accepts(changed), "{changed:?}");
    };
    for at in 0..good.method.len() * 8 {
        refuse(&Call { method: flipped_text(&good.method, at), ..good.clone() });
    }
    for at in 8..good.path.len() * 8 {
        refuse(&Call { path: flipped_text(&good.path, at), ..good.clone() });
    }
    let query = good.query.clone().unwrap();
    for at in 0..query.len() * 8 {
        refuse(&Call { query: Some(flipped_text(&query, at)), ..good.clone() });
    }
    for at in 0..good.body.len() * 8 {
        refuse(&Call { body: flipped(&good.body, at), ..good.clone() });
    }
    for field in 0..good.headers.len() {
        let (name, value) = good.headers[field].clone();
        // Alibaba's `Date` has a place of its own; Tencent's is signed only if listed.
        let alibaba = setting.pairs[0].1 == SignatureScheme::Alibaba;
        if name == "Date" && !alibaba {
            continue;
        }
        for at in 0..value.len() * 8 {
            let mut changed = good.clone();
            changed.headers[field].1 = flipped(&value, at);
            if !(name == "Authorization" && spelled_otherwise(&value, &changed.headers[field].1)) {
                refuse(&changed);
            }
        }
        for at in 0..name.len() * 8 {
            let other = flipped_text(&name, at);
            // The case of a field's name means nothing. Tencent's clients need not send Content-MD5.
            if !other.eq_ignore_ascii_case(&name) && (alibaba || name != "Content-MD5") {
                let mut changed = good.clone();
                changed.headers[field].0 = other;
                refuse(&changed);
            }
        }
    }
    tried
}

/// Differ two `Authorization` values only in the case of what has none: the word `hmac`, and the names of header fields?
fn spelled_otherwise(one: &[u8], other: &[u8]) -> bool {
    let folded = |value: &[u8]| {
        let mut text = String::from_utf8_lossy(value).into_owned();
        let list = text
            .find("headers=")
            .map(|start| start + "headers=".len()..text.find("signature=").unwrap_or(start));
        for range in [Some(0..4), list].into_iter().flatten() {
            if let Some(part) = text.get_mut(range) {
                part.make_ascii_lowercase();
            }
        }
        text
    };
    folded(one) == folded(other)
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

/// A byte outside of ASCII becomes a character outside of it.
fn flipped_text(text: &str, bit: usize) -> String {
    flipped(text.as_bytes(), bit).into_iter().map(char::from).collect()
}

#[test]
fn hmac_003_a_body_without_a_digest() {
    let signer = Signer { digest: DigestChoice::Never, ..complete(SignatureScheme::Alibaba) };
    let call = precondition().signed_with(&signer);
    assert_eq!(Setting::alibaba().strict().refuses(&call).reason, DenyReason::DigestMismatch);
    let mut required = Setting::alibaba();
    required.policy.require_body_digest = true;
    assert_eq!(required.refuses(&call).reason, DenyReason::DigestMismatch);
    Setting::alibaba().holds(&call);
}

#[test]
fn hmac_007_a_header_that_must_be_signed() {
    let full = precondition().signed_with(&complete(SignatureScheme::Alibaba));
    for dropped in ["X-Ca-Timestamp", "X-Ca-Nonce", "X-Ca-Key", "X-Ca-Stage"] {
        let mut call = full.clone();
        let list = call.value("x-ca-signature-headers").replace(dropped, "").replace(",,", ",");
        call.set("X-Ca-Signature-Headers", list);
        let call = resigned(call);
        let denial = Setting::alibaba().strict().refuses(&call);
        assert_eq!(denial.reason, DenyReason::RequiredHeaderNotSigned, "{dropped}");
        assert!(denial.hint.unwrap().contains(dropped), "{dropped}");
    }
    // Compatible mode wants the stage signed alone, and only where it selects another than RELEASE.
    for (stage, refused) in [(Stage::Test, true), (Stage::Pre, true), (Stage::Release, false)] {
        let call = precondition().signed().header("X-Ca-Stage", stage.as_str());
        assert_eq!(!Setting::alibaba().accepts(&call), refused, "{stage}");
        assert!(!Setting::alibaba().strict().accepts(&call), "{stage}");
    }
}

/// Signs a call again as its fields are.
fn resigned(mut call: Call) -> Call {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit, Mac};
    let text = Setting::alibaba().text(&call);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(crate::call::SECRET.as_bytes()).unwrap();
    mac.update(&text);
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    call.set("X-Ca-Signature", signature);
    call
}

#[test]
fn hmac_009_a_signed_header_twice() {
    for scheme in [SignatureScheme::Alibaba, SignatureScheme::Tencent] {
        let signer = Signer { sign_headers: vec!["X-Trace".into()], ..complete(scheme) };
        let good = precondition().header("X-Trace", "abc").signed_with(&signer);
        for (name, value) in good.headers.clone() {
            for again in [value.clone(), b"other".to_vec()] {
                let denial = Setting::of(scheme).refuses(&good.clone().header(&name.to_uppercase(), again));
                assert_eq!(denial.reason, DenyReason::CredentialMalformed, "{name}");
            }
        }
    }
    let unknown = precondition().signed().header("X-Ca-New", "1").header("x-ca-new", "2");
    assert_eq!(Setting::alibaba().refuses(&unknown).reason, DenyReason::CredentialMalformed);
    let message = Setting::of(SignatureScheme::Tencent)
        .refuses(&precondition().signed_with(&complete(SignatureScheme::Tencent)).header("X-Date", "x"))
        .message;
    assert_eq!(message.as_deref(), Some("HMAC do not support multiple HTTP header."));
}

#[test]
fn hmac_011_separators_inside_values() {
    let strict = Setting::alibaba().strict();
    for target in ["/orders?a=1%26b%3D2", "/orders?a=1%26b=2", "/orders?a%3D1=2", "/orders?a=1%0Ab"] {
        let denial = strict.refuses(&Call::new("GET", target).signed());
        assert_eq!(denial.reason, DenyReason::CredentialMalformed, "{target}");
        Setting::alibaba().holds(&Call::new("GET", target).signed());
    }
    let mut reverse = Call::new("GET", "/orders?a=1&b=2").signed();
    strict.holds(&reverse);
    reverse.target("/orders?a=1%26b%3D2");
    assert!(!strict.accepts(&reverse));
}

#[test]
fn hmac_013_the_order_of_repeated_parameters() {
    let mut call = Call::new("GET", "/orders?a=1&a=2").signed();
    Setting::alibaba().holds(&call);
    call.target("/orders?a=2&a=1");
    assert!(!Setting::alibaba().accepts(&call));
    // Tencent's own samples sign the first value or the last, and vectors want both: strict mode refuses them.
    let mut call = Call::new("GET", "/orders?a=1&a=2").signed_with(&Signer::of(SignatureScheme::Tencent));
    call.target("/orders?a=2&a=1");
    assert!(Setting::of(SignatureScheme::Tencent).accepts(&call));
    assert!(!Setting::of(SignatureScheme::Tencent).strict().accepts(&call));
}

#[test]
fn hmac_015_a_parameter_between_form_and_query() {
    for scheme in [SignatureScheme::Alibaba, SignatureScheme::Tencent] {
        let strict = Setting::of(scheme).strict();
        for digest in [DigestChoice::NotForms, DigestChoice::Always] {
            let signer = Signer { digest, ..Signer::of(scheme) };
            let form = || Call::new("POST", "/orders").body(FORM, "a=1");
            let mut to_query = form().signed_with(&signer);
            to_query.body.clear();
            to_query.target("/orders?a=1");
            assert!(!strict.accepts(&to_query), "{scheme}");
            let mut query = Call::new("POST", "/orders?a=1").body(FORM, "");
            query = query.signed_with(&signer);
            assert!(
                !strict.accepts(&query),
                "{scheme}: what is ambiguous is refused, not only what was changed"
            );
        }
        let whole = Signer { digest: DigestChoice::Always, ..Signer::of(scheme) };
        strict.holds(&Call::new("POST", "/orders").body(FORM, "a=1&b=2").signed_with(&whole));
    }
    // Alibaba's digest covers the form, so parameters may stand in both; and the reverse does not pass without it.
    let strict = Setting::alibaba().strict();
    let whole = Signer { digest: DigestChoice::Always, ..Signer::default() };
    strict.holds(&Call::new("POST", "/orders?q=1").body(FORM, "a=1").signed_with(&whole));
    let mut to_form = Call::new("POST", "/orders?a=1").body(FORM, "").signed();
    to_form.body = b"a=1".to_vec();
    to_form.target("/orders");
    assert_eq!(strict.refuses(&to_form).reason, DenyReason::DigestMismatch);
}

#[test]
fn hmac_017_another_content_type() {
    let form = || Call::new("POST", "/orders").body(FORM, "a=1").signed();
    let others =
        [JSON, "application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-URLEncoded", ""];
    for other in others {
        let mut call = form();
        call.set("Content-Type", other);
        assert_eq!(Setting::alibaba().refuses(&call).reason, DenyReason::ProofMismatch, "{other}");
    }
    let mut call = form();
    call.remove("Content-Type");
    assert_eq!(Setting::alibaba().refuses(&call).reason, DenyReason::ProofMismatch);
}

#[test]
fn hmac_019_another_method() {
    for method in ["HEAD", "get", "DELETE", "Get", "GET "] {
        let mut call = Call::new("GET", "/orders").signed();
        call.method = method.into();
        assert_eq!(Setting::alibaba().refuses(&call).reason, DenyReason::ProofMismatch, "{method}");
    }
}

#[test]
fn hmac_021_another_stage() {
    let call = precondition().signed_with(&complete(SignatureScheme::Alibaba));
    for other in ["RELEASE", "PRE", "test", ""] {
        let mut changed = call.clone();
        changed.set("X-Ca-Stage", other);
        assert!(!Setting::alibaba().accepts(&changed), "{other}");
    }
    let mut removed = call;
    removed.remove("X-Ca-Stage");
    assert!(!Setting::alibaba().accepts(&removed));
}

#[test]
fn hmac_023_another_spelling_of_the_signature() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
    let good = Call::new("GET", "/orders").signed();
    let bytes = STANDARD.decode(good.value("x-ca-signature")).unwrap();
    let mut others: Vec<String> = (1..32).map(|length| STANDARD.encode(&bytes[..length])).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut last = STANDARD_NO_PAD.encode(&bytes).into_bytes();
    *last.last_mut().unwrap() += 1;
    let non_canonical = String::from_utf8(last).unwrap() + "=";
    let longer = STANDARD.encode([bytes.as_slice(), &[0]].concat());
    let blank = good.value("x-ca-signature").replacen('A', " A", 1) + " ";
    others.extend([hex.to_uppercase(), hex, non_canonical, longer, blank, STANDARD_NO_PAD.encode(&bytes)]);
    others.push(STANDARD.encode(b"x").repeat(20_000));
    if URL_SAFE.encode(&bytes) != good.value("x-ca-signature") {
        others.push(URL_SAFE.encode(&bytes));
    }
    for other in others {
        let mut call = good.clone();
        call.set("X-Ca-Signature", &other);
        assert_eq!(Setting::alibaba().refuses(&call).reason, DenyReason::ProofMismatch, "{other}");
    }
    let mut empty = good.clone();
    empty.set("X-Ca-Signature", "");
    let mut absent = good;
    absent.remove("X-Ca-Signature");
    for call in [empty, absent] {
        let denial = Setting::alibaba().refuses(&call);
        assert_eq!(denial.reason, DenyReason::ProofMismatch);
        assert_eq!(denial.message.as_deref(), Some("Empty Signature"));
    }
}

#[test]
fn hmac_031_fields_in_the_query_are_nothing() {
    let call =
        Call::new("GET", "/orders?x-ca-key=203753385&x-ca-signature=AAAA&x-ca-timestamp=1525872629832");
    assert!(Setting::alibaba().judge(&call).is_none());
}

/// A decoded path is a candidate only where no escape in it means anything.
#[test]
fn a_signature_does_not_cover_another_path() {
    for (signed, sent) in [
        ("/a?x=1", "/a%3Fx=1"),
        ("/a/b", "/a%2Fb"),
        ("/a/b", "/a%2fb"),
        ("/a/../b", "/a/%2e%2e/b"),
        ("/a/./b", "/a/%2E/b"),
        ("/a%2Fb", "/a%252Fb"),
        ("/a;b", "/a%3Bb"),
        ("/a\\b", "/a%5Cb"),
        ("/ab", "/a%62"),
        ("/a&b=1", "/a%26b%3D1"),
        ("/a%3Fx=1", "/a?x=1"),
        ("/a%2Fb", "/a/b"),
        ("/a/b", "/a//b"),
        ("/a/b", "/a/b/"),
    ] {
        for scheme in [SignatureScheme::Alibaba, SignatureScheme::Tencent] {
            let mut call = Call::new("GET", signed).signed_with(&Signer::of(scheme));
            Setting::of(scheme).holds(&call);
            call.target(sent);
            assert!(!Setting::of(scheme).accepts(&call), "{scheme}: {signed} -> {sent}");
        }
    }
}

/// What the vendors' text cannot tell apart in compatible mode: written down here, so that a change is noticed.
#[test]
fn what_compatible_mode_cannot_tell_apart() {
    for (signed, sent) in [
        ("/a?k=a%26z%3D1", "/a?k=a&z=1"),
        ("/a?k=1&k=2", "/a?k=1&k=3"),
        ("/a?k", "/a?k="),
        ("/a?k=%e5", "/a?k=%E5"),
        ("/a?k=1", "/a?k=1&=unsigned"),
    ] {
        let mut call = Call::new("GET", signed).signed();
        call.target(sent);
        assert!(Setting::alibaba().accepts(&call), "{signed} -> {sent}");
    }
}

/// Headers and parameters cannot be shifted into each other.
#[test]
fn lines_of_the_text_cannot_be_shifted() {
    let call = precondition()
        .header("X-Trace", "abc")
        .signed_with(&Signer { sign_headers: vec!["X-Trace".into()], ..complete(SignatureScheme::Alibaba) });
    for list in
        ["", "X-Trace:abc\nX-Ca-Key", "X-Trace ,X Ca-Key", "/orders", "X-Trace:abc", "X-Trace,x-trace"]
    {
        let mut changed = call.clone();
        changed.set("X-Ca-Signature-Headers", list);
        assert!(!Setting::alibaba().accepts(&changed), "{list}");
    }
    // An unlisted header moved into a place of its own, and the reverse.
    let mut moved = Call::new("GET", "/a").header("Accept", "x").signed();
    moved.remove("Accept");
    moved.set("Content-Type", "x");
    assert!(!Setting::alibaba().accepts(&moved));
}

/// One vendor's signature, or one scheme's, is nothing under the other's rules.
#[test]
fn schemes_do_not_mix() {
    for signed in SignatureScheme::ALL {
        for held in SignatureScheme::ALL {
            let call = precondition().signed_with(&Signer::of(signed));
            let setting = Setting::of(held);
            assert_eq!(setting.accepts(&call), signed == held, "{signed} under {held}");
        }
    }
    let tencent = precondition().signed_with(&Signer::of(SignatureScheme::Tencent));
    let both = precondition().signed().header("Authorization", tencent.value("authorization"));
    assert_eq!(Setting::alibaba().refuses(&both).reason, DenyReason::CredentialAmbiguous);
}

/// The stand-in for unknown AppKeys is in the source: whoever signs with it gains and learns nothing.
#[test]
fn the_stand_in_secret_opens_and_tells_nothing() {
    let stand_in = "nobody has this AppKey, and nobody may";
    for target in ["/a", "/a?k=1&k=2&e=%20"] {
        let signer = Signer { app_key: "unknown".into(), secret: stand_in.into(), ..Signer::default() };
        let mut call = Call::new("GET", target).signed_with(&signer);
        let unknown = Setting::alibaba().refuses(&call);
        assert_eq!(unknown.reason, DenyReason::CredentialUnknown);
        // Not even a diagnosis fits, which would say that the AppKey is unknown.
        call.set("Accept", "*/*");
        let other = Setting::alibaba().refuses(&call);
        assert_eq!(other.hint, unknown.hint);
    }
}

#[test]
fn replay_012_timestamps_have_one_form() {
    let odd = [
        "1525872629",
        "1525872629832000",
        "1525872629.832",
        "+1525872629832",
        "-1525872629832",
        "0x16345785d8a",
        "",
        "111111111111111111111111111111",
        "١٥٢٥٨٧٢٦٢٩٨٣٢",
        "1525872629 832",
        "1525872629832,1525872629832",
    ];
    for odd in odd {
        let mut call = Call::new("GET", "/a").signed();
        call.set("X-Ca-Timestamp", odd);
        let denial = Setting::alibaba().refuses(&call);
        assert_eq!(denial.reason, DenyReason::CredentialMalformed, "{odd}");
        assert_eq!(denial.message.as_deref(), Some("Invalid Timestamp"));
    }
}

#[test]
fn replay_014_nonces_have_a_length() {
    for (length, compatible, strict) in [
        (0, false, false),
        (1, true, false),
        (15, true, false),
        (16, true, true),
        (128, true, true),
        (129, false, false),
        (65_536, false, false),
    ] {
        let call = Call::new("GET", "/a").header("X-Ca-Nonce", "n".repeat(length));
        let signer = Signer { nonce: None, sign_headers: vec!["X-Ca-Nonce".into()], ..Signer::default() };
        let names = call.signed_with_lenient(&signer);
        assert_eq!(Setting::alibaba().accepts(&names), compatible, "{length}");
        assert_eq!(Setting::alibaba().strict().accepts(&names), strict, "{length}");
    }
    assert_eq!(NONCE.len(), 36);
}

trait Lenient {
    fn signed_with_lenient(self, signer: &Signer) -> Call;
}

impl Lenient for Call {
    /// Signs as another client would, which does not read its own nonce first.
    fn signed_with_lenient(mut self, signer: &Signer) -> Call {
        let value = self.value("x-ca-nonce");
        self.set("X-Ca-Nonce", NONCE);
        let text_signed = self.clone().signed_with(signer);
        let mut call = text_signed;
        call.set("X-Ca-Nonce", &value);
        if (1..=128).contains(&value.len()) { resigned(call) } else { call }
    }
}
