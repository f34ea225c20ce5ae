//! Signing requests as callers do: for `keyward sign`, and for tests.

use std::net::{IpAddr, Ipv4Addr};

use keyward_model::{HmacAlgorithm, ParseError, SignatureScheme, Stage, Timestamp};

use super::date::write_http_date;
use super::encoded::{Md5Form, md5_of};
use super::mac::SigningSecret;
use super::presented::{Family, Presented};
use super::verify::{SignedRequest, string_to_sign};
use crate::{Body, Denial, Field, RequestHead};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A request to be signed, and with what.
#[derive(Clone, Copy, Debug)]
pub struct SignRequest<'a> {
    /// By which rules.
    pub scheme: SignatureScheme,
    /// With which HMAC.
    pub algorithm: HmacAlgorithm,
    /// Method, in upper case.
    pub method: &'a str,
    /// Path as it will be sent; for Tencent's schemes without the prefix that selects a stage.
    pub path: &'a str,
    /// Query as it will be sent, without `?`.
    pub query: Option<&'a str>,
    /// The header fields that will be sent anyway: `Accept`, `Content-Type`, `Date` and any to be signed.
    pub headers: &'a [Field<'a>],
    /// The names of further fields to be signed; each must be among `headers`.
    pub sign_headers: &'a [&'a str],
    /// The whole body.
    pub body: &'a [u8],
    /// AppKey, ApiAppKey or SecretId.
    pub app_key: &'a str,
    /// Its secret.
    pub secret: &'a SigningSecret,
    /// The time to send; Tencent's schemes have it in whole seconds, and need one here or a `Date` field.
    pub timestamp: Option<Timestamp>,
    /// The nonce to send; fresh for every request.
    pub nonce: Option<&'a str>,
    /// The stage to name in `X-Ca-Stage`; absent: none is named.
    pub stage: Option<Stage>,
    /// Which bodies get a `Content-MD5`.
    pub digest: DigestChoice,
}

/// Which bodies get a `Content-MD5`. An empty one never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestChoice {
    /// All but forms, as the vendors' clients do it.
    NotForms,
    /// Forms too, as `mode: strict` wants it of Alibaba's scheme.
    Always,
    /// None. Alibaba's scheme does not cover the body then.
    Never,
}

/// What makes a request a signed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Header fields to add to those that were given.
    pub headers: Vec<(&'static str, String)>,
    /// The text that was signed.
    pub string_to_sign: Vec<u8>,
    /// The signature, in base64.
    pub signature: String,
}

/// Signs a request by the vendor's documented rules.
///
/// # Errors
/// Says which field is to be signed but not there, or what else cannot be signed.
pub fn sign(request: &SignRequest<'_>) -> Result<Signed, ParseError> {
    let mut added = digest_field(request);
    let mut listed = Vec::new();
    let fresh = match Family::of(request.scheme) {
        Family::Alibaba => alibaba_fields(request),
        Family::Tencent => tencent_fields(request),
    };
    for (name, value) in fresh.into_iter().chain(stage_field(request)) {
        listed.push(name.to_owned());
        added.push((name, value));
    }
    listed.extend(request.sign_headers.iter().map(|name| (*name).to_owned()));
    let covers_digest = request.scheme == SignatureScheme::TencentKeyPair && !request.body.is_empty();
    if covers_digest && added.iter().any(|(name, _)| *name == "Content-MD5") {
        listed.push("Content-MD5".into());
    }
    let text = text_to_sign(request, &added, &listed)?;
    let signature = STANDARD.encode(request.secret.sign(request.algorithm, &text));
    added.extend(proof_fields(request, &listed, &signature));
    Ok(Signed { headers: added, string_to_sign: text, signature })
}

fn digest_field(request: &SignRequest<'_>) -> Vec<(&'static str, String)> {
    let content_type = field(request.headers, "content-type").unwrap_or_default();
    let positional = super::presented::Positional { content_type, ..Default::default() };
    let wanted = match request.digest {
        DigestChoice::NotForms => !positional.is_form(),
        DigestChoice::Always => true,
        DigestChoice::Never => false,
    };
    let form = match request.scheme {
        // The gateway makes this digest from the body itself, and so do not all clients send it.
        SignatureScheme::Tencent => Md5Form::HexBase64,
        SignatureScheme::Alibaba | SignatureScheme::TencentKeyPair => Md5Form::Raw,
    };
    let given = field(request.headers, "content-md5").is_some();
    if wanted && !given && !request.body.is_empty() {
        vec![("Content-MD5", form.write(md5_of(request.body)))]
    } else {
        Vec::new()
    }
}

fn alibaba_fields(request: &SignRequest<'_>) -> Vec<(&'static str, String)> {
    let mut fields = vec![("X-Ca-Key", request.app_key.to_owned())];
    if request.algorithm != HmacAlgorithm::Sha256 {
        fields.push(("X-Ca-Signature-Method", request.algorithm.as_str().to_owned()));
    }
    fields.extend(request.timestamp.map(|at| ("X-Ca-Timestamp", at.as_millis().to_string())));
    fields.extend(request.nonce.map(|nonce| ("X-Ca-Nonce", nonce.to_owned())));
    fields
}

fn tencent_fields(request: &SignRequest<'_>) -> Vec<(&'static str, String)> {
    let date = request.timestamp.map(|at| ("X-Date", write_http_date(at)));
    let nonce = request.nonce.map(|nonce| ("X-Apigw-Nonce", nonce.to_owned()));
    date.into_iter().chain(nonce).collect()
}

fn stage_field(request: &SignRequest<'_>) -> Option<(&'static str, String)> {
    request.stage.map(|stage| ("X-Ca-Stage", stage.as_str().to_owned()))
}

/// The fields that carry the proof, with this signature.
fn proof_fields(
    request: &SignRequest<'_>,
    listed: &[String],
    signature: &str,
) -> Vec<(&'static str, String)> {
    match Family::of(request.scheme) {
        Family::Alibaba => {
            vec![("X-Ca-Signature-Headers", listed.join(",")), ("X-Ca-Signature", signature.to_owned())]
        }
        Family::Tencent => {
            let names = listed.join(" ").to_ascii_lowercase();
            let (id, algorithm) = (request.app_key, request.algorithm.tencent_name());
            let value = format!(
                r#"hmac id="{id}", algorithm="{algorithm}", headers="{names}", signature="{signature}""#
            );
            vec![("Authorization", value)]
        }
    }
}

/// Reads the request as the gateway will, so that what is signed is what will be verified.
fn text_to_sign(
    request: &SignRequest<'_>,
    added: &[(&'static str, String)],
    listed: &[String],
) -> Result<Vec<u8>, ParseError> {
    let wrong = |denial: Denial| ParseError::new(denial.hint.unwrap_or_default());
    let proof = proof_fields(request, listed, "-");
    let own = added.iter().chain(&proof).map(|(name, value)| Field { name, value: value.as_bytes() });
    let fields: Vec<_> = request.headers.iter().copied().chain(own).collect();
    let head = RequestHead {
        method: request.method,
        host: "",
        path: request.path,
        query: request.query,
        fields: &fields,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: true,
        has_body: !request.body.is_empty(),
    };
    let nothing = || ParseError::new("there is nothing to sign with: an AppKey is needed");
    let presented = Presented::find(&head).ok_or_else(nothing)?.map_err(wrong)?;
    if let Some(missing) = presented.listed.iter().find(|listed| listed.value.is_none()) {
        return Err(ParseError::new(format!(
            "`{}` is to be signed but is not among the headers: add it, or do not sign it",
            missing.name.escape_debug()
        )));
    }
    let signed = SignedRequest { head: &head, signed_path: request.path, body: Body::Whole(request.body) };
    string_to_sign(&presented, request.scheme, &signed).map_err(wrong)
}

fn field<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}
