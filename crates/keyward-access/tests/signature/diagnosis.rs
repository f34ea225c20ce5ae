//! A mismatch names its cause, to the holder of the secret alone.

use keyward_access::signature::DigestChoice;
use keyward_model::{DenyReason, HmacAlgorithm, SignatureScheme};

use crate::call::{Call, FORM, SECRET, Setting, Signer};

const JSON: &str = "application/json";

/// Signs one call, sends another with its proof, and gives the hint.
fn told(scheme: SignatureScheme, signed: Call, sent: Call) -> String {
    told_with(&Signer { digest: DigestChoice::Never, ..Signer::of(scheme) }, signed, sent)
}

fn told_with(signer: &Signer, signed: Call, mut sent: Call) -> String {
    let scheme = signer.scheme;
    let given = signed.headers.len();
    let signed = signed.signed_with(signer);
    for (name, value) in &signed.headers[given..] {
        sent.set(name, value);
    }
    let denial = Setting::of(scheme).refuses(&sent);
    assert_eq!(denial.reason, DenyReason::ProofMismatch, "{denial:?}");
    assert_nothing_for_others(scheme, &sent, denial.hint.as_deref().unwrap());
    denial.hint.unwrap().into_owned()
}

/// Who has not the secret gets the same words, whatever it sends; and it is told nothing where diagnosis is off.
fn assert_nothing_for_others(scheme: SignatureScheme, sent: &Call, hint: &str) {
    let mut others = Setting::of(scheme);
    others.pairs[0].2 = "another".into();
    let mut nobody = others.clone();
    nobody.pairs.clear();
    let (wrong, unknown) = (others.refuses(sent).hint, nobody.refuses(sent).hint);
    assert_eq!(wrong, unknown);
    assert_ne!(wrong.as_deref(), Some(hint));
    let off = Setting { diagnose: false, ..Setting::of(scheme) };
    assert_ne!(off.refuses(sent).hint.as_deref(), Some(hint));
}

fn get(target: &str) -> Call {
    Call::new("GET", target)
}

fn post(content_type: &str, body: &str) -> Call {
    Call::new("POST", "/a").body(content_type, body)
}

#[test]
fn a_field_that_was_changed_on_the_way() {
    for scheme in [SignatureScheme::Alibaba, SignatureScheme::Tencent] {
        for (signed, sent, field) in [
            (get("/a"), get("/a").header("Accept", "*/*"), "Accept"),
            (get("/a").header("Accept", "*/*"), get("/a"), "Accept"),
            (get("/a").header("Accept", JSON), get("/a").header("Accept", "text/html"), "Accept"),
            (post(JSON, "{}"), post("application/json; charset=utf-8", "{}"), "Content-Type"),
            (post("application/json; charset=UTF-8", "{}"), post(JSON, "{}"), "Content-Type"),
            (
                post("application/json;charset=UTF-8", "{}"),
                post("application/json; charset=utf-8", "{}"),
                "Content-Type",
            ),
            (get("/a"), get("/a").header("Content-Type", "text/plain"), "Content-Type"),
            (
                post(FORM, "a=1"),
                post("application/x-www-form-urlencoded; charset=UTF-8", "a=1"),
                "Content-Type",
            ),
        ] {
            let hint = told(scheme, signed, sent);
            assert!(
                hint.starts_with(&format!("the signature is right for another `{field}`: ")),
                "{scheme}: {hint}"
            );
        }
    }
    let hint =
        told(SignatureScheme::Alibaba, get("/a"), get("/a").header("Date", "Wed, 09 May 2018 13:30:29 GMT"));
    assert!(hint.contains("another `Date`: none was signed, `Wed, 09 May"), "{hint}");
}

#[test]
fn parameters_that_were_signed_otherwise() {
    // What a client signs wrongly, written as the request of which it would be right.
    for (signed, sent, cause) in [
        ("/a?k=%2520", "/a?k=%20", "percent-encoded"),
        ("/a?b=2%26a=1", "/a?b=2&a=1", "unsorted"),
        ("/a?a%3D%26b=1", "/a?a=&b=1", "`name=`"),
        ("/a?a=1%26a%3D2", "/a?a=1&a=2", "every value"),
        ("/a?a=2", "/a?a=1&a=2", "the last value"),
        ("/a", "/a?a=1&b=2", "were not signed"),
    ] {
        for scheme in [SignatureScheme::Alibaba, SignatureScheme::Tencent] {
            let call = get(signed).signed_with(&Signer::of(scheme));
            let mut changed = call.clone();
            changed.target(sent);
            match Setting::of(scheme).judge(&changed).unwrap() {
                // One of the readings that clients need: see the vectors.
                Ok(held) => assert_ne!(held.rule.to_string(), "documented", "{scheme} {sent}"),
                Err(denial) => {
                    let hint = denial.hint.unwrap();
                    assert!(hint.contains(cause), "{scheme} {sent}: {hint}");
                }
            }
        }
    }
    let scheme = SignatureScheme::Alibaba;
    let form = |query: &str, body: &str| Call::new("POST", query).body(FORM, body);
    for (signed, sent, cause) in [
        (form("/a?q=1", ""), form("/a?q=1", "a=1"), "the form's parameters were not signed"),
        (form("/a", "a=1"), form("/a?q=1", "a=1"), "the query's parameters were not signed"),
        (form("/a?k=query", ""), form("/a?k=query", "k=form"), "the form's"),
        (form("/a", "a=%2520"), form("/a", "a=%20"), "percent-encoded"),
        (form("/a", "b=2%26a=1"), form("/a", "b=2&a=1"), "unsorted"),
    ] {
        let hint = told(scheme, signed, sent);
        assert!(hint.contains(cause), "{hint}");
    }
    // A body that is no form, signed as one.
    let mut as_form = Call::new("POST", "/a?a=1")
        .header("Content-Type", JSON)
        .signed_with(&Signer { digest: DigestChoice::Never, ..Signer::default() });
    as_form.target("/a");
    as_form.body = b"a=1".to_vec();
    let denial =
        Setting::alibaba().judge_with(&as_form, keyward_access::Body::Whole(b"a=1")).unwrap().unwrap_err();
    assert!(denial.hint.unwrap().contains("signed as a form"));
}

#[test]
fn digests_in_another_form() {
    let body = r#"{"v":1}"#;
    for (value, cause) in [
        ("YTE5MTQ3NWFlMmJmN2RiOWM3ZTMyMGY3ZGE0NTViYmI=", "base64 of hexadecimal digits"),
        ("a191475ae2bf7db9c7e320f7da455bbb", "in hexadecimal"),
    ] {
        let signer = Signer { digest: DigestChoice::Never, ..Signer::default() };
        let mut call = post(JSON, body).header("Content-MD5", value).signed_with(&signer);
        call.set("Content-MD5", "oZFHWuK/fbnH4yD32kVbuw==");
        let whole = keyward_access::Body::Whole(&call.body);
        let denial = Setting::alibaba().judge_with(&call, whole).unwrap().unwrap_err();
        assert!(denial.hint.as_ref().unwrap().contains(cause), "{denial:?}");
    }
    let hint = told(
        SignatureScheme::Alibaba,
        post(JSON, body),
        post(JSON, body).header("Content-MD5", "oZFHWuK/fbnH4yD32kVbuw=="),
    );
    assert!(hint.contains("without Content-MD5"), "{hint}");
    // Tencent's gateway covers the body whether or not a digest is sent: an empty line is a body that was not signed.
    let mut call = Call::new("POST", "/a")
        .header("Content-Type", JSON)
        .signed_with(&Signer::of(SignatureScheme::Tencent));
    call.body = body.into();
    let denial = Setting::of(SignatureScheme::Tencent).refuses(&call);
    assert!(denial.hint.as_ref().unwrap().contains("the body was not signed"), "{denial:?}");
}

#[test]
fn paths_that_were_signed_otherwise() {
    let scheme = SignatureScheme::Tencent;
    let prefixed = |signed: &str| {
        let mut call = get("/release/echo?a=1");
        call.signed_path = Some(signed.into());
        call
    };
    let hint = told(scheme, prefixed("/release/echo"), prefixed("/echo"));
    assert!(hint.contains("with the prefix that selects the stage"), "{hint}");
    let hint = told(SignatureScheme::Alibaba, prefixed("/echo"), prefixed("/release/echo"));
    assert!(hint.contains("without its first segment"), "{hint}");
    let testing = |signed: &str| {
        let mut call = get("/testing/x");
        call.signed_path = Some(signed.into());
        call
    };
    assert!(told(scheme, testing("/x"), testing("/testing/x")).contains("without its first segment"));
    assert!(told(scheme, get("/a/"), get("/a")).contains("a slash at its end counts"));
    assert!(told(SignatureScheme::Alibaba, get("/a/b"), get("/a%2Fb")).contains("signed decoded"));
}

#[test]
fn secrets_and_texts_with_a_blank_too_many() {
    for scheme in SignatureScheme::ALL {
        for secret in
            [format!("{SECRET}\n"), format!("{SECRET} "), format!(" {SECRET}"), format!("{SECRET}\r\n")]
        {
            let hint = told_with(&Signer { secret, ..Signer::of(scheme) }, get("/a"), get("/a"));
            assert!(hint.contains("trim the secret"), "{scheme}: {hint}");
        }
    }
    let mut stored = Setting::alibaba();
    stored.pairs[0].2 = format!("{SECRET} ");
    assert!(stored.refuses(&get("/a").signed()).hint.unwrap().contains("trim the secret"));
    let ended = told(SignatureScheme::Alibaba, get("/a?k=v%0A"), get("/a?k=v"));
    assert!(ended.contains("ends in a new line"), "{ended}");
}

#[test]
fn the_other_scheme_of_the_family() {
    for (held, signed, cause) in [
        (
            SignatureScheme::Tencent,
            SignatureScheme::TencentKeyPair,
            "this id is of application authentication",
        ),
        (SignatureScheme::TencentKeyPair, SignatureScheme::Tencent, "this id is of key pair authentication"),
    ] {
        let call = get("/a?b=2&a=1").header("Accept", JSON).signed_with(&Signer::of(signed));
        let hint = Setting::of(held).refuses(&call).hint.unwrap();
        assert!(hint.contains(cause), "{hint}");
    }
}

#[test]
fn blocks_that_were_signed_otherwise() {
    let mut lower = get("/a").signed();
    let names = lower.value("x-ca-signature-headers");
    lower.set("X-Ca-Signature-Headers", names.to_lowercase());
    let text = Setting::alibaba().text(&lower);
    lower.set("X-Ca-Signature-Headers", names);
    lower.set("X-Ca-Signature", signature(&text));
    let hint = Setting::alibaba().refuses(&lower).hint.unwrap();
    assert!(hint.contains("header names in lower case"), "{hint}");
    let mut none = get("/a").signed();
    none.set("X-Ca-Signature", signature(b"GET\n\n\n\n\n/a"));
    let hint = Setting::alibaba().refuses(&none).hint.unwrap();
    assert!(hint.contains("without any signed header"), "{hint}");
}

fn signature(text: &[u8]) -> String {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(text);
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

/// What the request alone shows is told of any AppKey, for nobody learns by it whether there is one.
#[test]
fn what_the_request_shows() {
    let signer = Signer { sign_headers: vec!["X-Trace".into()], ..Signer::default() };
    let mut stripped = get("/a").header("X-Trace", "abc").signed_with(&signer);
    stripped.remove("X-Trace");
    let mut hex = get("/a").signed();
    hex.set("X-Ca-Signature", "ab".repeat(32));
    let mut short = get("/a").signed();
    let sha1 = get("/a").signed_with(&Signer { algorithm: HmacAlgorithm::Sha1, ..Signer::default() });
    short.set("X-Ca-Signature", sha1.value("x-ca-signature"));
    for (call, cause) in [
        (stripped, "`X-Trace` is named in `X-Ca-Signature-Headers` but did not arrive"),
        (hex, "padded standard base64, not in hexadecimal"),
        (short, "the length of HmacSHA1, but HmacSHA256 was named"),
    ] {
        let known = Setting::alibaba().refuses(&call).hint.unwrap();
        let unknown = Setting { pairs: Vec::new(), ..Setting::alibaba() }.refuses(&call).hint.unwrap();
        assert!(known.contains(cause), "{known}");
        assert_eq!(known, unknown);
    }
}

/// When the texts agree, the secret is wrong: that much can be said without knowing it.
#[test]
fn otherwise_the_secret_is_to_be_doubted() {
    let call = get("/a").signed_with(&Signer { secret: "wrong".into(), ..Signer::default() });
    let hint = Setting::alibaba().refuses(&call).hint.unwrap();
    assert_eq!(
        hint,
        "if your client signed this very text, then its AppSecret is not the one of this AppKey"
    );
}

/// A long text is not diagnosed, for each trial would hash it whole.
#[test]
fn long_texts_are_not_diagnosed() {
    let long = format!("/a?k={}", "x".repeat(1 << 16));
    let hint = told_or_not(get(&long), get(&long).header("Accept", "*/*"));
    assert!(hint.contains("if your client signed this very text"), "{hint}");
}

fn told_or_not(signed: Call, sent: Call) -> String {
    let signed = signed.signed();
    let mut sent = sent;
    for (name, value) in &signed.headers {
        sent.set(name, value);
    }
    Setting::alibaba().refuses(&sent).hint.unwrap().into_owned()
}
