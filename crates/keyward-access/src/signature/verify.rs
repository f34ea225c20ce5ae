//! Judging a presented signature: the ladder of checks, in the order in which reasons are told.

use keyward_model::{CallerId, HmacAlgorithm, SignatureMode, SignaturePolicy, SignatureScheme, Timestamp};

use super::alibaba::AlibabaText;
use super::candidates::{self, Proof, Rule};
use super::diagnosis::{self, Trial};
use super::encoded::{Md5Form, Signature, md5_of};
use super::fields::Known;
use super::mac::{Canonical as _, SigningSecret};
use super::parameters::{PARAMETERS_MAX, Parameters, Style};
use super::presented::{Family, Presented};
use super::tencent::{RequestLines, TencentText};
use super::{refusal, strict};
use crate::{Body, BodyNeed, Denial, DigestCheck, NonceUse, RequestHead};

/// A key pair that somebody has, found by [`Presented::app_key`].
#[derive(Clone, Copy, Debug)]
pub struct KeyPair<'s> {
    /// How it signs.
    pub scheme: SignatureScheme,
    /// What it signs with.
    pub secret: &'s SigningSecret,
}

/// The request that a signature must be of.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'r> {
    /// Its head.
    pub head: &'r RequestHead<'r>,
    /// The path that clients sign: for Tencent's schemes without the prefix that selects a stage.
    pub signed_path: &'r str,
    /// Its body, as far as it is there.
    pub body: Body<'r>,
}

/// What came of judging a signature that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged<'a> {
    /// It holds.
    Held(SignatureProof<'a>),
    /// The body takes part in what was signed: read it whole and ask again. What the head alone can refuse has passed.
    NeedsWholeBody,
}

/// What a signature that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureProof<'a> {
    /// A nonce that must not have been used before; only one that was signed, together with a timestamp.
    pub nonce: Option<&'a str>,
    /// The timestamp that was signed, and lies in the window.
    pub timestamp: Option<Timestamp>,
    /// The digest that a body must have which was not read yet. Nothing may reach the service before it is found right.
    pub digest: Option<DigestCheck>,
    /// By which reading of the vendor's rules it holds.
    pub rule: Rule,
}

impl SignatureProof<'_> {
    /// The nonce's use, to be remembered before the request may pass.
    pub fn nonce_use(&self, caller: CallerId, policy: &SignaturePolicy) -> Option<NonceUse> {
        let (nonce, timestamp) = (self.nonce?, self.timestamp?);
        Some(NonceUse {
            caller,
            nonce: nonce.into(),
            until: timestamp.plus_millis(window_ms(policy) + 1),
            timestamp: Some(timestamp),
            required: policy.require_nonce || policy.mode == SignatureMode::Strict,
        })
    }
}

/// What of the body this verdict needs, if anything.
///
/// Depends on the key pair only where the API admits no other scheme of its family, so that waiting for a body does
/// not tell whose AppKey exists.
pub fn body_need(
    presented: &Presented<'_>,
    scheme: SignatureScheme,
    policy: &SignaturePolicy,
    head: &RequestHead<'_>,
) -> Option<BodyNeed> {
    if !head.has_body {
        return None;
    }
    let whole = match presented.family {
        Family::Alibaba => presented.positional.is_form(),
        Family::Tencent => {
            scheme == SignatureScheme::Tencent || policy.schemes.contains(&SignatureScheme::Tencent)
        }
    };
    match (whole, presented.sent_digest(scheme).is_empty()) {
        (true, _) => Some(BodyNeed::Whole),
        (false, false) => Some(BodyNeed::Digest),
        (false, true) => None,
    }
}

/// Judges a signature, with the key pair of its AppKey or none if nobody has that.
///
/// With `diagnose`, a signature that does not match is tried on some forty texts more, to name the mistake in
/// [`Denial::hint`]; the work is bounded, but worth a limit per caller. It never turns a refusal into a proof.
///
/// # Errors
/// The first check that fails, in the order of [`DenyReason`](keyward_model::DenyReason). An AppKey that nobody has
/// and a signature that does not match differ in [`Denial::reason`] alone.
pub fn verify<'a>(
    presented: &Presented<'a>,
    pair: Option<KeyPair<'_>>,
    policy: &SignaturePolicy,
    request: &SignedRequest<'_>,
    now: Timestamp,
    diagnose: bool,
) -> Result<Judged<'a>, Denial> {
    let family = presented.family;
    let claim = Claim::of(presented, pair, policy);
    strict::check_nonce(presented, policy)?;
    let algorithm = check_algorithm(presented, policy)?;
    if let Some(field) = first_unsigned(presented, policy) {
        return Err(refusal::not_signed(family, field));
    }
    let body = match request.body {
        Body::Whole(body) => Some(body),
        Body::Unread | Body::Streamed if !request.head.has_body => Some([].as_slice()),
        Body::Unread | Body::Streamed => match body_need(presented, claim.scheme, policy, request.head) {
            Some(BodyNeed::Whole) => return Ok(Judged::NeedsWholeBody),
            Some(BodyNeed::Digest) | None => None,
        },
    };
    let parameters = read_parameters(presented, claim.scheme, policy, request, body)?;
    let Some(signature) = &presented.signature else {
        return Err(refusal::no_signature(family, claim.known));
    };
    let proof = Proof { secret: claim.secret, algorithm, signature, known: claim.known };
    let trial = Trial { proof, presented, request, body, parameters: &parameters };
    let rule = search(&trial, claim.scheme, policy.mode, diagnose)?;
    if !policy.schemes.contains(&claim.scheme) {
        return Err(refusal::scheme(family, policy));
    }
    let digest = check_digest(presented, claim.scheme, policy, body)?;
    let timestamp = check_time(presented, policy, now)?;
    let nonce = presented.nonce.filter(|nonce| nonce.signed && timestamp.is_some()).map(|nonce| nonce.value);
    if policy.require_nonce && nonce.is_none() {
        return Err(refusal::nonce_missing(family));
    }
    Ok(Judged::Held(SignatureProof { nonce, timestamp, digest, rule }))
}

/// By which scheme and secret the signature is judged.
#[derive(Clone, Copy)]
struct Claim<'s> {
    scheme: SignatureScheme,
    secret: &'s SigningSecret,
    known: bool,
}

impl<'s> Claim<'s> {
    /// A pair of the other family is as good as none: nothing in the request could have been signed with it.
    fn of(presented: &Presented<'_>, pair: Option<KeyPair<'s>>, policy: &SignaturePolicy) -> Self {
        if let Some(pair) = pair.filter(|pair| Family::of(pair.scheme) == presented.family) {
            return Self { scheme: pair.scheme, secret: pair.secret, known: true };
        }
        let scheme = match presented.family {
            Family::Alibaba => SignatureScheme::Alibaba,
            Family::Tencent if policy.schemes.contains(&SignatureScheme::Tencent) => SignatureScheme::Tencent,
            Family::Tencent => SignatureScheme::TencentKeyPair,
        };
        Self { scheme, secret: SigningSecret::dummy(), known: false }
    }
}

/// Is the family admitted, and the algorithm? A scheme of an admitted family that is not itself admitted is told only
/// after its proof held.
fn check_algorithm(presented: &Presented<'_>, policy: &SignaturePolicy) -> Result<HmacAlgorithm, Denial> {
    if !policy.schemes.iter().any(|scheme| Family::of(*scheme) == presented.family) {
        return Err(refusal::scheme(presented.family, policy));
    }
    presented
        .algorithm()
        .filter(|algorithm| policy.algorithms.contains(algorithm))
        .ok_or_else(|| refusal::algorithm(presented.family, presented.algorithm, policy))
}

/// The first field that must be sent and signed, and is not.
fn first_unsigned(presented: &Presented<'_>, policy: &SignaturePolicy) -> Option<Known> {
    let strict = policy.mode == SignatureMode::Strict;
    let timely = strict || policy.require_timestamp;
    let lacks = |field: Known| !presented.signs(field);
    // An unsigned stage could be changed on the way; RELEASE is what there is without one.
    let stage_matters = presented.stage.is_some_and(|stage| strict || stage != b"RELEASE");
    let needed = match presented.family {
        Family::Alibaba => [
            (stage_matters && lacks(Known::CaStage), Known::CaStage),
            (strict && lacks(Known::CaKey), Known::CaKey),
            (timely && lacks(Known::CaTimestamp), Known::CaTimestamp),
            (strict && lacks(Known::CaNonce), Known::CaNonce),
        ],
        Family::Tencent => [
            (stage_matters && lacks(Known::CaStage), Known::CaStage),
            (lacks(Known::XDate) && lacks(Known::Date), Known::XDate),
            (timely && presented.judged_time(policy).is_none(), Known::XDate),
            (strict && lacks(Known::ApigwNonce), Known::ApigwNonce),
        ],
    };
    needed.into_iter().find(|(missing, _)| *missing).map(|(_, field)| field)
}

/// Splits the parameters that are signed; key pair authentication signs none.
fn read_parameters<'r>(
    presented: &Presented<'_>,
    scheme: SignatureScheme,
    policy: &SignaturePolicy,
    request: &SignedRequest<'r>,
    body: Option<&'r [u8]>,
) -> Result<Parameters<'r>, Denial> {
    if scheme == SignatureScheme::TencentKeyPair {
        return Ok(Parameters::default());
    }
    let form = body.filter(|_| presented.positional.is_form());
    let query = request.head.query.map(str::as_bytes);
    let parameters = Parameters::split(query, form).ok_or_else(|| {
        let hint = format!("a signed request has at most {PARAMETERS_MAX} parameters");
        refusal::malformed(presented.family, "Invalid Request Body", hint)
    })?;
    if policy.mode == SignatureMode::Strict {
        strict::check_parameters(presented, request.head, form, &parameters)?;
    }
    Ok(parameters)
}

/// The reading by which the signature is of the request.
fn search(
    trial: &Trial<'_>,
    scheme: SignatureScheme,
    mode: SignatureMode,
    diagnose: bool,
) -> Result<Rule, Denial> {
    let (proof, parameters) = (trial.proof, trial.parameters);
    let documented = parameters.write(Style::DOCUMENTED);
    if trial.presented.family == Family::Alibaba {
        let base = AlibabaText::of(trial, &documented);
        return candidates::alibaba(proof, &base, parameters, mode).ok_or_else(|| {
            let cause = diagnose.then(|| diagnosis::alibaba(trial, &base)).flatten();
            refusal::mismatch(Family::Alibaba, proof.known, &base, cause)
        });
    }
    let md5 = trial.tencent_digest();
    let base = TencentText::of(trial, scheme, &documented, md5.as_bytes());
    let covered = if md5.is_empty() { &[] } else { trial.body.unwrap_or_default() };
    candidates::tencent(proof, &base, parameters, covered, mode).ok_or_else(|| {
        let cause = diagnose.then(|| diagnosis::tencent(trial, &base)).flatten();
        refusal::mismatch(Family::Tencent, proof.known, &base, cause)
    })
}

impl<'t> AlibabaText<'t> {
    fn of(trial: &Trial<'t>, parameters: &'t [u8]) -> Self {
        Self {
            method: trial.request.head.method,
            positional: trial.presented.positional,
            listed: &trial.presented.listed,
            path: trial.request.signed_path.as_bytes(),
            parameters,
        }
    }
}

impl<'t> TencentText<'t> {
    fn of(trial: &Trial<'t>, scheme: SignatureScheme, parameters: &'t [u8], content_md5: &'t [u8]) -> Self {
        let path = trial.request.signed_path;
        let lines = RequestLines {
            method: trial.request.head.method,
            accept: trial.presented.positional.accept,
            content_type: trial.presented.positional.content_type,
            content_md5,
            path: if path.is_empty() { b"/" } else { path.as_bytes() },
            parameters,
        };
        let request = (scheme == SignatureScheme::Tencent).then_some(lines);
        Self { listed: &trial.presented.listed, request }
    }
}

impl Trial<'_> {
    /// The digest line of application authentication, which the gateway makes from the body: clients need not send it.
    fn tencent_digest(&self) -> String {
        let body = self.body.unwrap_or_default();
        if body.is_empty() || self.presented.positional.is_form() {
            String::new()
        } else {
            Md5Form::HexBase64.write(md5_of(body))
        }
    }
}

/// Is the body the one whose digest was sent, and is it covered where it must be? What is to be checked of a body that was not
/// read yet is given back.
fn check_digest(
    presented: &Presented<'_>,
    scheme: SignatureScheme,
    policy: &SignaturePolicy,
    body: Option<&[u8]>,
) -> Result<Option<DigestCheck>, Denial> {
    let family = presented.family;
    let refuse = |hint| Err(refusal::digest(family, hint));
    let sent = presented.sent_digest(scheme);
    if sent.is_empty() {
        let nothing_to_cover = body.is_some_and(<[u8]>::is_empty) || presented.covers_body(scheme, policy);
        let required = policy.require_body_digest || policy.mode == SignatureMode::Strict;
        return if nothing_to_cover || !required {
            Ok(None)
        } else {
            refuse(
                "this API wants every body covered: send `Content-MD5`, base64 of the 16 bytes of its MD5, and sign it",
            )
        };
    }
    let Some(md5) = read_digest(family, sent) else {
        return refuse(wrong_digest_form(sent));
    };
    match body {
        Some([]) => refuse("`Content-MD5` was sent, but no body arrived"),
        Some(body) if md5_of(body) != md5 => refuse(
            "the body that arrived has another MD5 than `Content-MD5` says: digest the very bytes that are sent",
        ),
        Some(_) => Ok(None),
        None => Ok(Some(DigestCheck { md5 })),
    }
}

fn read_digest(family: Family, sent: &[u8]) -> Option<[u8; 16]> {
    let raw = Md5Form::Raw.read(sent);
    match family {
        Family::Alibaba => raw,
        Family::Tencent => raw.or_else(|| Md5Form::HexBase64.read(sent)),
    }
}

fn wrong_digest_form(sent: &[u8]) -> &'static str {
    if Md5Form::Hex.read(sent).is_some() {
        "`Content-MD5` is hexadecimal: send base64 of the 16 bytes instead"
    } else if Md5Form::HexBase64.read(sent).is_some() {
        "`Content-MD5` is base64 of the hexadecimal digits: send base64 of the 16 bytes instead"
    } else {
        "`Content-MD5` must be base64 of the 16 bytes of the body's MD5"
    }
}

/// The signed time, if it lies in the window. An unsigned one must lie there too, but proves nothing.
fn check_time(
    presented: &Presented<'_>,
    policy: &SignaturePolicy,
    now: Timestamp,
) -> Result<Option<Timestamp>, Denial> {
    let Some(time) = presented.judged_time(policy) else { return Ok(None) };
    let distance_ms = now.as_millis().abs_diff(time.at.as_millis());
    if distance_ms > window_ms(policy).unsigned_abs() {
        return Err(refusal::expired(presented.family, time, now, policy.window_s));
    }
    Ok(time.is_signed().then_some(time.at))
}

fn window_ms(policy: &SignaturePolicy) -> i64 {
    i64::from(policy.window_s) * 1000
}

impl Presented<'_> {
    /// The digest that the signature covers: key pair authentication covers it only where it is listed.
    fn sent_digest(&self, scheme: SignatureScheme) -> &[u8] {
        let covered = scheme != SignatureScheme::TencentKeyPair || self.signs(Known::ContentMd5);
        if covered { self.positional.content_md5 } else { &[] }
    }

    /// Is the body part of the text itself, so that it needs no digest?
    fn covers_body(&self, scheme: SignatureScheme, policy: &SignaturePolicy) -> bool {
        match scheme {
            SignatureScheme::Alibaba => self.positional.is_form() && policy.mode == SignatureMode::Compatible,
            SignatureScheme::Tencent => true,
            SignatureScheme::TencentKeyPair => false,
        }
    }
}

/// The text that the vendor documents for this request, for showing it beside the caller's own.
///
/// # Errors
/// `credential_malformed`, for a request with more parameters than any may have.
pub fn string_to_sign(
    presented: &Presented<'_>,
    scheme: SignatureScheme,
    request: &SignedRequest<'_>,
) -> Result<Vec<u8>, Denial> {
    let body = match request.body {
        Body::Whole(body) => body,
        Body::Unread | Body::Streamed => &[],
    };
    let policy = SignaturePolicy::default();
    let parameters = read_parameters(presented, scheme, &policy, request, Some(body))?;
    let (secret, algorithm, signature) =
        (SigningSecret::dummy(), HmacAlgorithm::Sha256, Signature::from_bytes(&[]));
    let proof = Proof { secret, algorithm, signature: &signature, known: false };
    let trial = Trial { proof, presented, request, body: Some(body), parameters: &parameters };
    let (documented, md5) = (parameters.write(Style::DOCUMENTED), trial.tencent_digest());
    let mut text = Vec::with_capacity(256);
    match presented.family {
        Family::Alibaba => AlibabaText::of(&trial, &documented).write(&mut text),
        Family::Tencent => TencentText::of(&trial, scheme, &documented, md5.as_bytes()).write(&mut text),
    }
    Ok(text)
}
