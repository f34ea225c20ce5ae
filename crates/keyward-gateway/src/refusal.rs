//! Refusals: the one place of the data plane that knows statuses, and the words in which each door says no.
//!
//! An error has two faces. Inside, in the access record, stands the exact reason. Outside stands what the caller may
//! know: where the exact reason would tell whether a credential exists, one face covers both ([`public_reason`]).

mod vendor;

use std::borrow::Cow;

use keyward_access::{Denial, Dialect};
use keyward_http::{Refused, Response, UpstreamFailure};
use keyward_model::{ApiSettings, CredentialKind, DenyReason, SignatureScheme};

use crate::RequestId;
use crate::plugin::Refusal;
use crate::text::{push_json, push_number};
use vendor::{Words, words};

/// Longest `X-Ca-Error-Message`, in bytes: clients bound their heads at 8 kB and more.
const MESSAGE_MAX: usize = 6 * 1024;

/// What a refusal says besides its reason.
#[derive(Debug, Default)]
pub(crate) struct Context<'a> {
    /// The API that was resolved: what it admits is what a caller can be asked for.
    pub(crate) api: Option<&'a ApiSettings>,
    /// What plugins that admit callers ask for.
    pub(crate) challenges: Vec<&'a str>,
    /// Methods that the path has, for `Allow`.
    pub(crate) allow: Vec<&'a str>,
}

/// The answer to a denial.
pub(crate) fn of_denial(denial: &Denial, request_id: &RequestId, context: &Context<'_>) -> Response {
    let reason = public_reason(denial.dialect, denial.reason);
    let words = words(denial.dialect, reason);
    let answer = Answer {
        status: reason.status(),
        reason,
        words,
        message: denial.message.as_deref().map_or(words.text.into(), one_line),
        hint: denial.hint.as_deref(),
        detail: detail(reason),
    };
    let mut response = answer.response(request_id);
    match reason.status() {
        401 => push_challenges(&mut response.fields, context),
        405 => push_allow(&mut response.fields, &context.allow),
        _ => {}
    }
    response
}

/// The answer where a plugin ends a call.
pub(crate) fn of_plugin(refused: &Refusal, dialect: Dialect, request_id: &RequestId) -> Response {
    let words = words(dialect, refused.reason);
    let answer = Answer {
        status: refused.status.unwrap_or(refused.reason.status()),
        reason: refused.reason,
        words,
        message: words.text.into(),
        hint: refused.hint.as_deref(),
        detail: detail(refused.reason),
    };
    let mut response = answer.response_after(request_id, refused.retry_after_s.unwrap_or(1));
    response.fields.extend_from_slice(&refused.fields);
    response
}

/// The answer to a message that the transport refused, and the reason that is recorded.
pub(crate) fn of_refused(
    refused: Refused,
    hint: Option<&str>,
    request_id: &RequestId,
) -> (Response, DenyReason) {
    let reason = match refused {
        Refused::Busy => DenyReason::LimitExceeded,
        Refused::MethodRefused => DenyReason::MethodNotAllowed,
        _ => DenyReason::RequestMalformed,
    };
    let words = match refused {
        Refused::BodyTooLarge => Words { code: "I413RL", text: "Invalid Request Body" },
        Refused::TargetTooLong => Words { code: "I413UL", text: "Invalid Url" },
        Refused::MethodRefused => words(Dialect::Plain, reason),
        Refused::Busy => Words { code: "D503BB", text: "Service Unavailable" },
        _ => Words { code: "I400HD", text: "Invalid Header" },
    };
    let detail = refused_detail(refused);
    let answer = Answer { status: refused.status(), reason, words, message: words.text.into(), hint, detail };
    let mut response = answer.response(request_id);
    if refused == Refused::MethodRefused {
        push_allow(&mut response.fields, &[]);
    }
    (response, reason)
}

/// The answer where a service gave none, and the reason that is recorded.
pub(crate) fn of_failure(failure: UpstreamFailure, request_id: &RequestId) -> (Response, DenyReason) {
    use UpstreamFailure as F;
    let reason = match failure {
        F::Withheld => DenyReason::DigestMismatch,
        _ => DenyReason::UpstreamUnavailable,
    };
    let (status, code, detail) = match failure {
        F::Withheld => (reason.status(), None, detail(reason)),
        F::Late => (504, Some("D504TO"), "The service did not answer in time."),
        F::Exhausted => (503, Some("D503BB"), "As many calls to the service are under way as may be."),
        F::Connect => (502, None, "The service cannot be reached."),
        F::Closed => (502, None, "The service ended the connection without an answer."),
        F::TooLarge => (502, None, "The service's answer is larger than may be held here."),
        F::Malformed => (502, None, "The service's answer is not acceptable HTTP."),
    };
    let mut words = words(Dialect::Alibaba, reason);
    words.code = code.unwrap_or(words.code);
    let answer = Answer { status, reason, words, message: words.text.into(), hint: None, detail };
    (answer.response(request_id), reason)
}

/// The reason that is told outside.
///
/// Whether an AppKey, API key or token belongs to anybody must not be told to those who cannot prove it:
/// "nobody has this credential" and "the proof does not match" have one face.
pub(crate) fn public_reason(dialect: Dialect, reason: DenyReason) -> DenyReason {
    match (reason, dialect) {
        (DenyReason::CredentialUnknown | DenyReason::ProofMismatch, Dialect::Plain) => {
            DenyReason::CredentialUnknown
        }
        (DenyReason::CredentialUnknown | DenyReason::ProofMismatch, _) => DenyReason::ProofMismatch,
        (reason, _) => reason,
    }
}

/// A refusal, ready to be written.
struct Answer<'a> {
    status: u16,
    reason: DenyReason,
    words: Words,
    message: Cow<'a, str>,
    hint: Option<&'a str>,
    detail: &'static str,
}

impl Answer<'_> {
    fn response(&self, request_id: &RequestId) -> Response {
        self.response_after(request_id, 1)
    }

    /// The same, where it is worth trying again after so many seconds, if at all.
    fn response_after(&self, request_id: &RequestId, retry_after_s: u64) -> Response {
        Response {
            status: self.status,
            fields: self.fields(request_id, retry_after_s),
            body: self.problem(request_id),
            close: false,
        }
    }

    fn fields(&self, request_id: &RequestId, retry_after_s: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.message.len().min(MESSAGE_MAX));
        out.extend_from_slice(b"Content-Type: application/problem+json\r\nCache-Control: no-store\r\n");
        push_request_id(&mut out, request_id);
        out.extend_from_slice(b"X-Ca-Error-Code: ");
        out.extend_from_slice(self.words.code.as_bytes());
        out.extend_from_slice(b"\r\nX-Ca-Error-Message: ");
        let start = out.len();
        push_message(&mut out, &self.message, MESSAGE_MAX);
        if let Some(hint) = self.hint {
            let left = MESSAGE_MAX.saturating_sub(out.len() - start);
            push_message(&mut out, "; ", left);
            push_message(&mut out, hint, left.saturating_sub(2));
        }
        out.extend_from_slice(b"\r\n");
        if matches!(self.status, 429 | 503) {
            out.extend_from_slice(b"Retry-After: ");
            push_number(&mut out, retry_after_s);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// RFC 9457, with `reason`, `request_id`, `hint`, and `message`, which Tencent's clients read.
    fn problem(&self, request_id: &RequestId) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.message.len());
        out.extend_from_slice(b"{\"type\":\"urn:keyward:reason:");
        out.extend_from_slice(self.reason.code().as_bytes());
        out.extend_from_slice(b"\",\"title\":");
        push_json(&mut out, title(self.status));
        out.extend_from_slice(b",\"status\":");
        push_number(&mut out, self.status.into());
        out.extend_from_slice(b",\"detail\":");
        push_json(&mut out, self.detail);
        out.extend_from_slice(b",\"reason\":");
        push_json(&mut out, self.reason.code());
        if let Some(hint) = self.hint {
            out.extend_from_slice(b",\"hint\":");
            push_json(&mut out, hint);
        }
        out.extend_from_slice(b",\"message\":");
        push_json(&mut out, cut(&self.message, MESSAGE_MAX));
        out.extend_from_slice(b",\"request_id\":");
        push_json(&mut out, request_id.as_str());
        out.extend_from_slice(b"}\n");
        out
    }
}

/// Appends the request id, which stands on every answer.
pub(crate) fn push_request_id(out: &mut Vec<u8>, request_id: &RequestId) {
    out.extend_from_slice(b"X-Ca-Request-Id: ");
    out.extend_from_slice(request_id.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One challenge for every kind of credential that would be looked at.
fn push_challenges(out: &mut Vec<u8>, context: &Context<'_>) {
    for challenge in &context.challenges {
        out.extend_from_slice(b"WWW-Authenticate: ");
        out.extend_from_slice(challenge.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let mut challenge = |scheme: &str| {
        out.extend_from_slice(b"WWW-Authenticate: ");
        out.extend_from_slice(scheme.as_bytes());
        out.extend_from_slice(b" realm=\"keyward\"\r\n");
    };
    let Some(api) = context.api else { return challenge("Bearer") };
    if api.admits.contains(CredentialKind::AppSignature) {
        let schemes = &api.signature.schemes;
        if schemes.contains(&SignatureScheme::Alibaba) {
            challenge("X-Ca-Signature");
        }
        if schemes.iter().any(|scheme| *scheme != SignatureScheme::Alibaba) {
            challenge("hmac");
        }
    }
    if api.admits.contains(CredentialKind::AppCode) {
        challenge("APPCODE");
    }
    if api.admits.contains(CredentialKind::ApiKey) || api.admits.contains(CredentialKind::Jwt) {
        challenge("Bearer");
    }
}

fn push_allow(out: &mut Vec<u8>, methods: &[&str]) {
    out.extend_from_slice(b"Allow: ");
    for (place, method) in methods.iter().enumerate() {
        if place > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(method.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a text as part of a field value: nothing that could end the field, at most `room` bytes.
///
/// UTF-8 goes as it is, as the vendor's own gateway does: its clients sign and print such texts.
fn push_message(out: &mut Vec<u8>, text: &str, room: usize) {
    let safe = |byte: u8| match byte {
        b'\n' => b'#',
        0..=0x1f | 0x7f => b'?',
        other => other,
    };
    out.extend(cut(text, room).bytes().map(safe));
}

/// Vendors write line feeds of the string to sign as `#`.
fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { Cow::Owned(text.replace('\n', "#")) } else { Cow::Borrowed(text) }
}

/// The longest beginning of at most `room` bytes that ends between characters.
fn cut(text: &str, room: usize) -> &str {
    text.get(..text.floor_char_boundary(room)).unwrap_or(text)
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}

/// What the reason means, told outside: the two that have one face have one meaning.
fn detail(reason: DenyReason) -> &'static str {
    match reason {
        DenyReason::CredentialUnknown | DenyReason::ProofMismatch => {
            "The credential is unknown, or its proof does not match."
        }
        reason => reason.meaning().trim(),
    }
}

fn refused_detail(refused: Refused) -> &'static str {
    match refused {
        Refused::Malformed(what) => what,
        Refused::HeadTooLarge => "The request's head is larger than this gateway accepts.",
        Refused::TargetTooLong => "The request's target is longer than this gateway accepts.",
        Refused::BodyTooLarge => "The request's body is larger than is accepted here.",
        Refused::TimedOut => "The request did not arrive in time.",
        Refused::CodingUnsupported => "No transfer coding but `chunked` is understood.",
        Refused::MethodRefused => "TRACE and CONNECT are never carried.",
        Refused::ExpectationFailed => "No expectation but `100-continue` is understood.",
        Refused::VersionUnsupported => "Only HTTP/1.0 and HTTP/1.1 are understood here.",
        Refused::Busy => "This gateway has as much to do as it may.",
    }
}

#[cfg(test)]
mod tests;
