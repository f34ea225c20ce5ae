//! What is signed verifies, what is changed does not, and what is no request at all panics nowhere.

use keyward_access::Body;
use keyward_access::signature::DigestChoice;
use keyward_model::{HmacAlgorithm, SignatureScheme, Stage};
use proptest::prelude::*;

use crate::call::{Call, FORM, NOW, Setting, Signer};

fn scheme() -> impl Strategy<Value = SignatureScheme> {
    proptest::sample::select(SignatureScheme::ALL.to_vec())
}

fn algorithm() -> impl Strategy<Value = HmacAlgorithm> {
    proptest::sample::select(HmacAlgorithm::ALL.to_vec())
}

/// Queries and forms with everything that is odd about them, already encoded.
fn parameters() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        "([a-cA-C_]|%E4%B8%AD|%20|\\+){0,3}(=([a-z0-9]|%26|%3D|%0A|%C3%A9|\\+|=|,){0,4})?",
        0..6,
    )
    .prop_map(|pieces| pieces.join("&"))
}

fn call() -> impl Strategy<Value = Call> {
    let method = proptest::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]);
    let path = "(/([a-zA-Z0-9._~-]|%E4%B8%AD|%20|%2F|%25|@|;|:){0,5}){1,4}";
    let body = prop_oneof![
        Just(None),
        parameters().prop_map(|form| Some((format!("{FORM}; charset=UTF-8"), form.into_bytes()))),
        proptest::collection::vec(any::<u8>(), 0..80)
            .prop_map(|body| Some(("application/octet-stream".to_owned(), body))),
    ];
    let accept = proptest::option::of(proptest::sample::select(vec!["*/*", "application/json", ""]));
    let query = proptest::option::of(parameters());
    (method, path, query, body, accept, "[ -~é]{0,12}").prop_map(
        |(method, path, query, body, accept, trace)| {
            let mut call = Call::new(method, &path).header("X-Trace", trace.trim());
            call.query = query;
            if let Some((content_type, body)) = body {
                call = call.body(&content_type, body);
            }
            if let Some(accept) = accept {
                call = call.header("Accept", accept);
            }
            call
        },
    )
}

fn signer() -> impl Strategy<Value = Signer> {
    let stage = proptest::option::of(proptest::sample::select(Stage::ALL.to_vec()));
    let digest = proptest::sample::select(vec![DigestChoice::NotForms, DigestChoice::Always]);
    let nonce = proptest::option::of("[!-~]{1,128}");
    (scheme(), algorithm(), stage, digest, nonce, -900_000..=900_000_i64, "[!-~]{1,140}").prop_map(
        |(scheme, algorithm, stage, digest, nonce, offset, secret)| Signer {
            scheme,
            algorithm,
            app_key: crate::call::APP_KEY.into(),
            secret,
            // Whole seconds, which is all that an HTTP date can say.
            timestamp: Some(NOW.plus_millis(offset / 1000 * 1000 - NOW.as_millis() % 1000)),
            nonce,
            stage,
            sign_headers: vec!["x-Trace".into()],
            digest,
        },
    )
}

fn setting_for(signer: &Signer) -> Setting {
    let mut setting = Setting::of(signer.scheme);
    setting.pairs[0].2.clone_from(&signer.secret);
    setting.now = NOW.plus_millis(-(NOW.as_millis() % 1000));
    setting
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_holds(call in call(), signer in signer()) {
        let signed = call.signed_with(&signer);
        let held = setting_for(&signer).holds(&signed);
        prop_assert_eq!(held.nonce, signer.nonce);
        prop_assert_eq!(held.timestamp, signer.timestamp);
        prop_assert_eq!(held.rule.to_string(), "documented");
    }

    /// Another secret, path, method, signed header or body makes it fail.
    #[test]
    fn what_is_changed_does_not(call in call(), signer in signer(), change in 0..6_u8) {
        let mut changed = call.signed_with(&signer);
        let mut setting = setting_for(&signer);
        match change {
            0 => setting.pairs[0].2.push('!'),
            1 => changed.path.push('x'),
            2 => changed.method = "TRACE".into(),
            3 => {
                let value = changed.value("x-trace") + "x";
                changed.set("X-Trace", value);
            }
            4 => changed.body.extend(b"&zz9=1"),
            _ => {
                let query = changed.query.take().unwrap_or_default();
                changed.query = Some(format!("zz9=1&{query}"));
            }
        }
        // Key pair authentication signs header lines only (and a digest, where one is sent).
        let unsigned = signer.scheme == SignatureScheme::TencentKeyPair
            && (matches!(change, 1 | 2 | 5) || change == 4 && changed.body == b"&zz9=1");
        if unsigned {
            return Ok(());
        }
        // A body added to a bodyless request is nothing that Alibaba's text covers, unless the policy asks for a digest.
        setting.policy.require_body_digest = true;
        // Without a `Content-Type`, or with another, bytes of a body are not parameters.
        prop_assert!(!setting.accepts(&changed), "{:?}", changed);
    }

    /// Bytes where a signature should be are refused or ignored; nothing panics, nothing passes.
    #[test]
    fn no_bytes_panic(
        fields in proptest::collection::vec((0..16_usize, proptest::collection::vec(any::<u8>(), 0..60)), 0..12),
        target in "/[!-~]{0,40}",
        body in proptest::collection::vec(any::<u8>(), 0..60),
        strict in any::<bool>(),
        scheme in scheme(),
    ) {
        let names = [
            "x-ca-key", "X-Ca-Signature", "x-ca-signature-headers", "x-ca-signature-method", "x-ca-timestamp",
            "x-ca-nonce", "x-ca-stage", "X-Ca-Other", "Authorization", "x-date", "Date", "x-apigw-nonce", "Accept",
            "Content-Type", "Content-MD5", "X-Other",
        ];
        let mut call = Call::new("POST", &target);
        for (name, value) in fields {
            call = call.header(names[name], value);
        }
        call.body = body;
        never_passes(&call, scheme, strict)?;
        // The same, with something well-formed around it.
        if !call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            let inner: Vec<u8> = call.headers.iter().flat_map(|(_, value)| value.clone()).collect();
            let text = String::from_utf8_lossy(&inner).into_owned();
            call.set("Authorization", format!("hmac id=\"a\", headers=\"{text}\", signature={text}, {text}"));
            call.set("X-Date", "Wed, 09 May 2018 13:30:29 GMT");
            never_passes(&call, scheme, strict)?;
        }
    }
}

fn never_passes(call: &Call, scheme: SignatureScheme, strict: bool) -> Result<(), TestCaseError> {
    let setting = if strict { Setting::of(scheme).strict() } else { Setting::of(scheme) };
    for body in [Body::Unread, Body::Streamed, Body::Whole(&call.body)] {
        let passed = matches!(setting.judge_with(call, body), Some(Ok(Some(_))));
        prop_assert!(!passed, "{:?}", call);
    }
    Ok(())
}
