//! Signing as callers do it.

use keyward_access::Field;
use keyward_access::signature::{DigestChoice, SignRequest, Signed, SigningSecret, sign};
use keyward_model::{HmacAlgorithm, ParseError, Plaintext, SignatureScheme, Timestamp};

use crate::call::{APP_KEY, NOW, SECRET};

fn signed(change: impl FnOnce(&mut SignRequest<'_>)) -> Result<Signed, ParseError> {
    let secret = SigningSecret::new(&Plaintext::new(SECRET));
    let headers = [Field { name: "Accept", value: b"application/json" }];
    let mut request = SignRequest {
        scheme: SignatureScheme::Alibaba,
        algorithm: HmacAlgorithm::Sha256,
        method: "HEAD",
        path: "/a",
        query: Some("b=1"),
        headers: &headers,
        sign_headers: &[],
        body: b"",
        app_key: APP_KEY,
        secret: &secret,
        timestamp: Some(NOW),
        nonce: Some("0b6e0c6e-7d1c-4a11-9d1b-000000000113"),
        stage: None,
        digest: DigestChoice::NotForms,
    };
    change(&mut request);
    sign(&request)
}

fn value(signed: &Signed, name: &str) -> String {
    signed.headers.iter().find(|(other, _)| *other == name).unwrap().1.clone()
}

/// The vector `spec/head` of `spec/signature-vectors.json`.
#[test]
fn what_is_signed_is_the_vectors_signature() {
    let signed = signed(|_| ()).unwrap();
    assert_eq!(signed.signature, "+VpKCwnTssN3+W2SCt+GnYNkccdv66j1cCUgRR8NdSM=");
    assert_eq!(value(&signed, "X-Ca-Signature"), signed.signature);
    assert_eq!(value(&signed, "X-Ca-Signature-Headers"), "X-Ca-Key,X-Ca-Timestamp,X-Ca-Nonce");
    assert!(signed.string_to_sign.starts_with(b"HEAD\napplication/json\n\n\n\nX-Ca-Key:203753385\n"));
}

/// The vector `app_get_plain` of Tencent's application authentication, but for its names.
#[test]
fn tencents_text_is_the_documented_one() {
    let at: Timestamp = "2018-03-19T12:08:40Z".parse().unwrap();
    let secret = SigningSecret::new(&Plaintext::new("TencentAppSecret000000000000000000000001"));
    let headers = [
        Field { name: "Accept", value: b"application/json" },
        Field { name: "Content-Type", value: b"application/json" },
    ];
    let signed = sign(&SignRequest {
        scheme: SignatureScheme::Tencent,
        algorithm: HmacAlgorithm::Sha1,
        method: "GET",
        path: "/echo/data",
        query: None,
        headers: &headers,
        sign_headers: &[],
        body: b"",
        app_key: "APIDTest0000000000000000000000000000key1",
        secret: &secret,
        timestamp: Some(at),
        nonce: None,
        stage: None,
        digest: DigestChoice::NotForms,
    });
    assert_eq!(
        value(&signed.unwrap(), "Authorization"),
        "hmac id=\"APIDTest0000000000000000000000000000key1\", algorithm=\"hmac-sha1\", headers=\"x-date\", \
         signature=\"KNRbiOlIUbO264MMWN7Da6aqFXs=\""
    );
}

#[test]
fn what_cannot_be_signed_is_said() {
    let told = |change: &dyn Fn(&mut SignRequest<'_>)| signed(change).unwrap_err().to_string();
    assert!(
        told(&|request| request.sign_headers = &["X-Gone"]).contains("`X-Gone` is to be signed but is not")
    );
    assert!(told(&|request| request.sign_headers = &["X Gone"]).contains("must be header names"));
    assert!(told(&|request| request.sign_headers = &["X-Ca-Key"]).contains("must name each header once"));
    assert!(told(&|request| request.timestamp = Some(Timestamp::from_millis(17))).contains("13 digits"));
    assert!(told(&|request| request.nonce = Some("")).contains("`X-Ca-Nonce` must be"));
    assert!(told(&|request| request.app_key = "").contains("AppKey"));
}
