//! Refusals as clients see them.

use super::*;
use crate::RequestIds;
use keyward_model::{Admits, ApiKind, AppCodePlaces, SignaturePolicy, Timestamp};

fn request_id() -> RequestId {
    RequestIds::of_core([7; 16], 0).next(Timestamp::from_millis(1_763_719_200_000))
}

fn fields(response: &Response) -> Vec<(String, String)> {
    let text = std::str::from_utf8(&response.fields).unwrap();
    let lines = text.strip_suffix("\r\n").unwrap().split("\r\n");
    lines.map(|line| line.split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned())).unwrap()).collect()
}

fn field(response: &Response, name: &str) -> Vec<String> {
    fields(response).into_iter().filter(|(n, _)| n == name).map(|(_, value)| value).collect()
}

fn problem(response: &Response) -> serde_json::Value {
    serde_json::from_slice(&response.body).unwrap()
}

fn denial(dialect: Dialect, reason: DenyReason) -> Denial {
    Denial { dialect, ..Denial::new(reason) }
}

fn api(admits: &[CredentialKind]) -> ApiSettings {
    ApiSettings {
        kind: ApiKind::Rest,
        description: String::new(),
        enabled: true,
        hosts: Vec::new(),
        base_path: "/orders".parse().unwrap(),
        strip_base_path: false,
        admits: Admits::of(admits.iter().copied()).unwrap(),
        operations: Vec::new(),
        signature: SignaturePolicy::default(),
        app_code_in: AppCodePlaces { header: true, query: false },
        app_code_requires_tls: true,
        stream_before_digest: false,
        max_staleness_s: None,
        allowed_addresses: Vec::new(),
        system_parameters: Vec::new(),
    }
}

const DIALECTS: [Dialect; 3] = [Dialect::Plain, Dialect::Alibaba, Dialect::Tencent];

#[test]
fn every_reason_has_its_status_its_words_and_a_request_id() {
    for dialect in DIALECTS {
        for &reason in DenyReason::ALL {
            let response = of_denial(&denial(dialect, reason), &request_id(), &Context::default());
            let told = public_reason(dialect, reason);
            assert_eq!(response.status, told.status(), "{reason}");
            assert_eq!(field(&response, "x-ca-request-id"), [request_id().as_str()], "{reason}");
            assert_eq!(field(&response, "content-type"), ["application/problem+json"]);
            assert_eq!(field(&response, "cache-control"), ["no-store"]);
            let code = &field(&response, "x-ca-error-code")[0];
            assert!(
                code.len() == 6 && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()),
                "{code}"
            );
            assert!(!field(&response, "x-ca-error-message")[0].is_empty(), "{reason}");
            let problem = problem(&response);
            assert_eq!(problem["status"], response.status);
            assert_eq!(problem["reason"], told.code());
            assert_eq!(problem["type"], format!("urn:keyward:reason:{told}"));
            assert_eq!(problem["request_id"], request_id().as_str());
            assert_eq!(problem["message"], field(&response, "x-ca-error-message")[0], "{dialect:?} {reason}");
            for member in ["title", "detail"] {
                assert!(!problem[member].as_str().unwrap().is_empty(), "{reason}: {member}");
            }
            assert_eq!(field(&response, "www-authenticate").is_empty(), response.status != 401, "{reason}");
            assert_eq!(field(&response, "retry-after").is_empty(), !matches!(response.status, 429 | 503));
            assert_eq!(field(&response, "allow").is_empty(), response.status != 405);
        }
    }
}

#[test]
fn unknown_and_mismatch_have_one_face() {
    for dialect in DIALECTS {
        let face = |reason| {
            let mut denial = denial(dialect, reason);
            denial.message = Some("Invalid Signature, Server StringToSign:`GET#/`".into());
            let response = of_denial(&denial, &request_id(), &Context::default());
            (response.status, response.fields, response.body, response.close)
        };
        assert_eq!(face(DenyReason::CredentialUnknown), face(DenyReason::ProofMismatch), "{dialect:?}");
    }
}

#[test]
fn the_vendors_message_goes_out_as_it_is() {
    let text = "Invalid Signature, Server StringToSign:`GET#*/*###Mon#x-ca-key:203753385#/orders?a=1`";
    let mut denial = denial(Dialect::Alibaba, DenyReason::ProofMismatch);
    denial.message = Some(text.replace('#', "\n").into());
    let response = of_denial(&denial, &request_id(), &Context::default());
    assert_eq!(field(&response, "x-ca-error-message"), [text]);
    denial.hint = Some("`Accept` was added on the way".into());
    let response = of_denial(&denial, &request_id(), &Context::default());
    assert_eq!(field(&response, "x-ca-error-message"), [format!("{text}; `Accept` was added on the way")]);
    assert_eq!(problem(&response)["message"], text);
    assert_eq!(problem(&response)["hint"], "`Accept` was added on the way");
}

#[test]
fn no_message_ends_its_field_or_outgrows_it() {
    let mut denial = denial(Dialect::Alibaba, DenyReason::ProofMismatch);
    denial.message = Some(format!("a\r\nX-Evil: 1\u{0}{}", "订".repeat(5_000)).into());
    denial.hint = Some("x\ny".repeat(5_000).into());
    let response = of_denial(&denial, &request_id(), &Context::default());
    let message = &field(&response, "x-ca-error-message")[0];
    assert!(message.starts_with("a?#X-Evil: 1?订"), "{}", &message[..30]);
    assert!(message.len() <= MESSAGE_MAX, "{}", message.len());
    assert!(field(&response, "x-evil").is_empty());
    assert!(response.fields.len() < 8_000);
    assert!(problem(&response)["message"].as_str().unwrap().len() <= MESSAGE_MAX);
}

#[test]
fn a_401_says_what_could_be_presented() {
    use CredentialKind as K;
    let missing = denial(Dialect::Plain, DenyReason::CredentialMissing);
    let challenges = |admits: &[CredentialKind]| {
        let api = api(admits);
        let context = Context { api: Some(&api), ..Context::default() };
        field(&of_denial(&missing, &request_id(), &context), "www-authenticate")
    };
    assert_eq!(challenges(&[K::ApiKey, K::Jwt]), ["Bearer realm=\"keyward\""]);
    assert_eq!(
        challenges(&[K::AppSignature, K::AppCode]),
        ["X-Ca-Signature realm=\"keyward\"", "hmac realm=\"keyward\"", "APPCODE realm=\"keyward\""]
    );
}

#[test]
fn a_405_lists_the_methods() {
    let denial = denial(Dialect::Plain, DenyReason::MethodNotAllowed);
    let context = Context { allow: vec!["DELETE", "GET"], ..Context::default() };
    assert_eq!(field(&of_denial(&denial, &request_id(), &context), "allow"), ["DELETE, GET"]);
}

#[test]
fn what_the_transport_refuses_keeps_its_status() {
    for (refused, status, reason) in [
        (Refused::Malformed("two `Host` fields"), 400, "request_malformed"),
        (Refused::HeadTooLarge, 431, "request_malformed"),
        (Refused::TargetTooLong, 414, "request_malformed"),
        (Refused::BodyTooLarge, 413, "request_malformed"),
        (Refused::TimedOut, 408, "request_malformed"),
        (Refused::CodingUnsupported, 501, "request_malformed"),
        (Refused::MethodRefused, 405, "method_not_allowed"),
        (Refused::ExpectationFailed, 417, "request_malformed"),
        (Refused::VersionUnsupported, 505, "request_malformed"),
        (Refused::Busy, 503, "limit_exceeded"),
    ] {
        let (response, recorded) = of_refused(refused, Some("a hint"), &request_id());
        assert_eq!((response.status, recorded.code()), (status, reason), "{refused:?}");
        assert_eq!(problem(&response)["status"], status);
        assert_eq!(problem(&response)["hint"], "a hint");
        assert_ne!(problem(&response)["title"], "Refused", "{refused:?}");
        assert_eq!(field(&response, "x-ca-request-id").len(), 1);
    }
}

#[test]
fn a_failing_service_is_502_and_a_late_one_504() {
    for (failure, status, reason) in [
        (UpstreamFailure::Connect, 502, DenyReason::UpstreamUnavailable),
        (UpstreamFailure::Closed, 502, DenyReason::UpstreamUnavailable),
        (UpstreamFailure::Malformed, 502, DenyReason::UpstreamUnavailable),
        (UpstreamFailure::Late, 504, DenyReason::UpstreamUnavailable),
        (UpstreamFailure::Exhausted, 503, DenyReason::UpstreamUnavailable),
        (UpstreamFailure::Withheld, 400, DenyReason::DigestMismatch),
    ] {
        let (response, recorded) = of_failure(failure, &request_id());
        assert_eq!((response.status, recorded), (status, reason), "{failure:?}");
        assert_eq!(field(&response, "retry-after").len(), usize::from(status == 503));
    }
}
