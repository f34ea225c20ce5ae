//! `spec/signature-vectors.json`: each vector in its own world, with the clock at its own time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_access::signature::Presented;
use keyward_model::{DenyReason, SignatureScheme, Timestamp};
use serde_json::Value;

use crate::call::{Call, NOW, Setting};

/// The gateway's own signature towards services, which this version does not make yet.
const LATER: &str = "alibaba-backend";
/// AppCodes are no signatures: here it is only checked that they are not taken for one.
const APP_CODE: &str = "alibaba-appcode";

/// These vectors' `string_to_sign` was made with the digest line empty though there is a body; ours has its digest.
const OTHER_TEXT: [&str; 1] = ["neg/sent_md5_not_of_body"];

struct Vector {
    name: String,
    call: Call,
    setting: Setting,
    accept: bool,
    rule: String,
    text: Vec<u8>,
}

fn all() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/signature-vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn signatures() -> Vec<Vector> {
    let of_a_signature = |vector: &Value| ![LATER, APP_CODE].contains(&vector["vendor"].as_str().unwrap());
    all().iter().filter(|vector| of_a_signature(vector)).map(read).collect()
}

fn read(vector: &Value) -> Vector {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let scheme = match vector["vendor"].as_str().unwrap() {
        "alibaba" => SignatureScheme::Alibaba,
        "tencent" => SignatureScheme::Tencent,
        "tencent-keypair" => SignatureScheme::TencentKeyPair,
        other => panic!("{other}"),
    };
    let call = read_call(&vector["request"]);
    let mut setting = Setting::of(scheme);
    setting.pairs = vec![(text(&vector["app_key"]), scheme, text(&vector["app_secret"]))];
    setting.now = time_of(&call);
    Vector {
        name: format!("{} {}", text(&vector["vendor"]), text(&vector["name"])),
        call,
        setting,
        accept: vector["expect"] == "accept",
        rule: text(&vector["rule"]),
        text: text(&vector["string_to_sign"]).into_bytes(),
    }
}

fn read_call(request: &Value) -> Call {
    let mut call =
        Call::new(request["method"].as_str().unwrap(), request["path_and_query"].as_str().unwrap());
    for header in request["headers"].as_array().unwrap() {
        // Strings are latin-1 views of the bytes.
        let bytes: Vec<u8> =
            header[1].as_str().unwrap().chars().map(|character| u8::try_from(character).unwrap()).collect();
        call = call.header(header[0].as_str().unwrap(), bytes);
    }
    call.body = STANDARD.decode(request["body_base64"].as_str().unwrap()).unwrap();
    call
}

/// The time that the vector itself names.
fn time_of(call: &Call) -> Timestamp {
    let named = |name: &str| call.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if named("x-ca-timestamp") {
        Timestamp::from_millis(call.value("x-ca-timestamp").parse().unwrap())
    } else if named("x-date") || named("date") {
        "2018-03-19T12:08:40Z".parse().unwrap()
    } else {
        NOW
    }
}

#[test]
fn every_inbound_vector_is_decided_as_it_expects() {
    let vectors = signatures();
    assert_eq!(vectors.len(), 109, "116 vectors, less the backend's one and six AppCodes");
    for vector in vectors {
        let decided = vector.setting.judge(&vector.call);
        let name = &vector.name;
        match (vector.accept, decided) {
            (true, Some(Ok(held))) => assert_eq!(held.rule.to_string(), vector.rule, "{name}"),
            (false, Some(Err(denial))) => {
                let (reason, message) = expected_refusal(&vector.rule);
                assert_eq!(denial.reason, reason, "{name}: {denial:?}");
                assert!(denial.message.as_ref().unwrap().starts_with(message), "{name}: {denial:?}");
            }
            (false, None) => assert!(name.ends_with("neg/no_authorization"), "{name}"),
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
}

fn expected_refusal(rule: &str) -> (DenyReason, &'static str) {
    match rule {
        "Invalid Signature" => (DenyReason::ProofMismatch, "Invalid Signature, Server StringToSign:`"),
        "Invalid Content-MD5" => (DenyReason::DigestMismatch, "Invalid Content-MD5"),
        "Empty Signature" => (DenyReason::ProofMismatch, "Empty Signature"),
        "HMAC signature does not match" => (DenyReason::ProofMismatch, "HMAC signature does not match."),
        // Its id is nobody's in the vector's own world.
        "HMAC apikey is invalid for API." => {
            (DenyReason::CredentialUnknown, "HMAC signature does not match.")
        }
        other => panic!("{other}"),
    }
}

#[test]
fn every_documented_text_is_the_vectors_text() {
    let (mut compared, mut others) = (0, Vec::new());
    for vector in signatures() {
        // A vector that needs another reading gives the text of that reading.
        let documented = vector.rule == "documented" || !vector.accept;
        if documented && !vector.text.is_empty() {
            if vector.setting.text(&vector.call) == vector.text {
                compared += 1;
            } else {
                others.push(vector.name.trim_start_matches("tencent ").to_owned());
            }
        }
    }
    assert_eq!(others, OTHER_TEXT);
    assert_eq!(compared, 98);
}

#[test]
fn no_vector_is_accepted_with_another_secret_or_an_unknown_key() {
    for vector in signatures().into_iter().filter(|vector| vector.accept) {
        let mut wrong = vector.setting.clone();
        wrong.pairs[0].2.push('x');
        let mut unknown = vector.setting.clone();
        unknown.pairs.clear();
        let (wrong, unknown) = (wrong.refuses(&vector.call), unknown.refuses(&vector.call));
        assert_eq!(wrong.reason, DenyReason::ProofMismatch, "{}", vector.name);
        assert_eq!(unknown.reason, DenyReason::CredentialUnknown, "{}", vector.name);
        assert_eq!((wrong.message, wrong.hint), (unknown.message, unknown.hint), "{}", vector.name);
    }
}

#[test]
fn no_vector_is_accepted_a_second_after_its_window() {
    for vector in signatures().into_iter().filter(|vector| vector.accept) {
        let mut late = vector.setting.clone();
        late.now = late.now.plus_millis(901_000);
        let timed = vector.call.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("x-ca-timestamp") || name.eq_ignore_ascii_case("x-date")
        });
        let decided = late.judge(&vector.call).unwrap();
        match (timed, decided) {
            (true, Err(denial)) => assert_eq!(denial.reason, DenyReason::ProofExpired, "{}", vector.name),
            (false, Ok(_)) => {}
            (_, other) => panic!("{}: {other:?}", vector.name),
        }
    }
}

#[test]
fn app_codes_are_not_taken_for_signatures() {
    let app_codes: Vec<_> = all().into_iter().filter(|vector| vector["vendor"] == APP_CODE).collect();
    assert_eq!(app_codes.len(), 6);
    for vector in app_codes {
        assert!(read_call(&vector["request"]).with_head(|head| Presented::find(head).is_none()));
    }
}
