//! Why a signature does not match: the usual mistakes, tried one by one.
//!
//! A mistake is named only if the signature is right for the text that it makes, which none but the holder of the secret can
//! bring about; or if the request alone shows it. Nothing here can turn a refusal into a proof: there is no way
//! back from a sentence.

use std::borrow::Cow;

use keyward_model::HmacAlgorithm;

use super::alibaba::AlibabaText;
use super::candidates::Proof;
use super::encoded::Md5Form;
use super::mac::{Canonical, SigningSecret, Sink};
use super::mistakes::{
    changed, other_accepts, other_content_types, other_digests, wrong_parameters, wrong_paths,
};
use super::parameters::{Parameters, Style};
use super::presented::{Family, Listed, Positional, Presented};
use super::refusal::shown;
use super::tencent::{RequestLines, TencentText};
use super::verify::SignedRequest;

/// Most HMACs of one diagnosis.
const TRIALS_MAX: usize = 48;
/// Longer texts are not diagnosed: each trial hashes one whole.
const TEXT_MAX: usize = 1 << 16;

/// What to tell the caller.
pub(super) type Cause = Cow<'static, str>;

/// A signature, and everything that it may be of.
#[derive(Clone, Copy)]
pub(super) struct Trial<'t> {
    pub(super) proof: Proof<'t>,
    pub(super) presented: &'t Presented<'t>,
    pub(super) request: &'t SignedRequest<'t>,
    /// Absent where it was not read.
    pub(super) body: Option<&'t [u8]>,
    pub(super) parameters: &'t Parameters<'t>,
}

/// The mistake by which the signature is not of `base`, if it is a known one.
pub(super) fn alibaba(trial: &Trial<'_>, base: &AlibabaText<'_>) -> Option<Cause> {
    let mut trials = Trials::of(trial, base);
    trials
        .positional(trial, base)
        .or_else(|| trials.block(base))
        .or_else(|| {
            let tries = wrong_parameters(trial);
            trials
                .first(tries.iter().map(|(text, cause)| (AlibabaText { parameters: text, ..*base }, *cause)))
        })
        .or_else(|| {
            let tries = wrong_paths(trial, base.path);
            trials.first(tries.iter().map(|(path, cause)| (AlibabaText { path, ..*base }, *cause)))
        })
        .or_else(|| trials.secret(base))
        .or_else(|| seen_in_the_request(trial.presented, trial.proof.algorithm))
}

/// The mistake by which the signature is not of `base`, if it is a known one.
pub(super) fn tencent(trial: &Trial<'_>, base: &TencentText<'_>) -> Option<Cause> {
    let mut trials = Trials::of(trial, base);
    trials
        .request_lines(trial, base)
        .or_else(|| trials.secret(base))
        .or_else(|| seen_in_the_request(trial.presented, trial.proof.algorithm))
}

/// The HMACs that are left to try.
struct Trials<'t> {
    proof: Proof<'t>,
    left: usize,
}

impl<'t> Trials<'t> {
    fn of(trial: &Trial<'t>, base: &impl Canonical) -> Self {
        let mut length = Length(0);
        base.write(&mut length);
        let body = trial.body.map_or(0, <[u8]>::len);
        let left = if length.0.saturating_add(body) > TEXT_MAX { 0 } else { TRIALS_MAX };
        Self { proof: trial.proof, left }
    }

    fn fits(&mut self, proof: Proof<'_>, text: &impl Canonical) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        proof.fits(text)
    }

    /// The cause that goes with the first text that the signature is of.
    fn first<T: Canonical, C: Into<Cause>>(
        &mut self,
        tries: impl IntoIterator<Item = (T, C)>,
    ) -> Option<Cause> {
        let proof = self.proof;
        tries.into_iter().find(|(text, _)| self.fits(proof, text)).map(|(_, cause)| cause.into())
    }

    /// A field with a place of its own that was added, removed or rewritten after signing, or digested otherwise.
    fn positional(&mut self, trial: &Trial<'_>, base: &AlibabaText<'_>) -> Option<Cause> {
        let arrived = base.positional;
        let text = |positional| AlibabaText { positional, ..*base };
        let accepts = other_accepts(arrived.accept);
        let types = other_content_types(arrived.content_type);
        let digests =
            other_digests(trial, arrived.content_md5, &[Md5Form::Raw, Md5Form::HexBase64, Md5Form::Hex]);
        let accept = accepts.into_iter().map(|accept| {
            (text(Positional { accept, ..arrived }), changed("Accept", accept, arrived.accept))
        });
        let content_type = types.iter().map(|content_type| {
            let cause = changed("Content-Type", content_type, arrived.content_type);
            (text(Positional { content_type, ..arrived }), cause)
        });
        let content_md5 = digests.iter().map(|(content_md5, cause)| {
            (text(Positional { content_md5: content_md5.as_bytes(), ..arrived }), Cow::Borrowed(*cause))
        });
        let date = (!arrived.date.is_empty())
            .then(|| (text(Positional { date: &[], ..arrived }), changed("Date", &[], arrived.date)));
        self.first(accept.chain(content_type).chain(content_md5).chain(date))
    }

    /// A block of headers that was left out, or whose names were respelled.
    fn block(&mut self, base: &AlibabaText<'_>) -> Option<Cause> {
        let lower: Vec<_> = base.listed.iter().map(|listed| listed.name.to_ascii_lowercase()).collect();
        let mut respelled: Vec<_> = lower
            .iter()
            .zip(base.listed)
            .map(|(name, listed)| Listed { name: name.as_str(), value: listed.value })
            .collect();
        respelled.sort_unstable_by(|one, other| one.name.cmp(other.name));
        let respelled_cause = "the signature is right for header names in lower case: sign them as `X-Ca-Signature-Headers` spells them, \
                               or spell them in lower case there";
        let none_cause = "the signature is right without any signed header: sign those that `X-Ca-Signature-Headers` names, or drop it";
        let is_respelled = lower.iter().zip(base.listed).any(|(name, listed)| name != listed.name);
        let tries = [
            (is_respelled, AlibabaText { listed: &respelled, ..*base }, respelled_cause),
            (!base.listed.is_empty(), AlibabaText { listed: &[], ..*base }, none_cause),
        ];
        self.first(tries.into_iter().filter(|(apt, ..)| *apt).map(|(_, text, cause)| (text, cause)))
    }

    /// What application authentication signs besides the header lines, made otherwise; or the other Tencent scheme's text.
    fn request_lines(&mut self, trial: &Trial<'_>, base: &TencentText<'_>) -> Option<Cause> {
        let Some(arrived) = base.request else { return self.whole_request(trial, base) };
        let text = |request| TencentText { request: Some(request), ..*base };
        let accepts = other_accepts(arrived.accept);
        let types = other_content_types(arrived.content_type);
        let digests = other_digests(trial, arrived.content_md5, &[Md5Form::Hex]);
        let parameters = wrong_parameters(trial);
        let paths = wrong_paths(trial, arrived.path);
        let accept = accepts.into_iter().map(|accept| {
            (text(RequestLines { accept, ..arrived }), changed("Accept", accept, arrived.accept))
        });
        let content_type = types.iter().map(|content_type| {
            let cause = changed("Content-Type", content_type, arrived.content_type);
            (text(RequestLines { content_type, ..arrived }), cause)
        });
        let content_md5 = digests.iter().map(|(content_md5, cause)| {
            (text(RequestLines { content_md5: content_md5.as_bytes(), ..arrived }), Cow::Borrowed(*cause))
        });
        let parameters = parameters
            .iter()
            .map(|(parameters, cause)| (text(RequestLines { parameters, ..arrived }), Cow::Borrowed(*cause)));
        let path =
            paths.iter().map(|(path, cause)| (text(RequestLines { path, ..arrived }), Cow::Borrowed(*cause)));
        let swapped =
            RequestLines { content_type: arrived.content_md5, content_md5: arrived.content_type, ..arrived };
        let lines_alone = TencentText { request: None, ..*base };
        let schemes = [
            (
                text(swapped),
                Cow::Borrowed(
                    "the signature is right with Content-MD5 before Content-Type: sign Content-Type first",
                ),
            ),
            (
                lines_alone,
                Cow::Borrowed(
                    "the signature is of the header lines alone, which is key pair authentication: this id is of application \
                     authentication, so sign method, Accept, Content-Type, Content-MD5 and path as well",
                ),
            ),
        ];
        self.first(accept.chain(content_type).chain(content_md5).chain(parameters).chain(path).chain(schemes))
    }

    fn whole_request(&mut self, trial: &Trial<'_>, base: &TencentText<'_>) -> Option<Cause> {
        let query = trial.request.head.query.map(str::as_bytes);
        let parameters = Parameters::split(query, None)?.write(Style::DOCUMENTED);
        let request = RequestLines {
            method: trial.request.head.method,
            accept: trial.presented.positional.accept,
            content_type: trial.presented.positional.content_type,
            content_md5: &[],
            path: trial.request.signed_path.as_bytes(),
            parameters: &parameters,
        };
        let cause = "the signature is of the whole request, which is application authentication: this id is of key pair \
                     authentication, so sign the header lines alone";
        self.first([(TencentText { request: Some(request), ..*base }, cause)])
    }

    /// A secret with a blank too many, or a text with one.
    fn secret(&mut self, base: &impl Canonical) -> Option<Cause> {
        let ended = self.first([(
            Ended(base),
            "the signature is right for a text that ends in a new line: the last line must have none",
        )]);
        if ended.is_some() {
            return ended;
        }
        let secret = self.proof.secret.expose_bytes();
        let spoiled = [("", "\n"), ("", "\r\n"), ("", " "), (" ", ""), ("", "\t")];
        let spoiled = spoiled.map(|(before, after)| [before.as_bytes(), secret, after.as_bytes()].concat());
        let trimmed = secret.trim_ascii().to_vec();
        let mut others = spoiled.into_iter().chain((trimmed != secret).then_some(trimmed));
        let fits = others.any(|mut other| {
            let secret = SigningSecret::from_bytes(&other);
            zeroize::Zeroize::zeroize(&mut other);
            let proof = Proof { secret: &secret, ..self.proof };
            self.fits(proof, base)
        });
        fits.then_some(Cow::Borrowed(
            "the signature was made with the AppSecret and a blank or new line beside it: trim the secret",
        ))
    }
}

/// What can be said without any secret, and so of any AppKey.
fn seen_in_the_request(presented: &Presented<'_>, algorithm: HmacAlgorithm) -> Option<Cause> {
    if let Some(missing) = presented.listed.iter().find(|listed| listed.value.is_none()) {
        let list = match presented.family {
            Family::Alibaba => "X-Ca-Signature-Headers",
            Family::Tencent => "headers",
        };
        return Some(Cow::Owned(format!(
            "`{}` is named in `{list}` but did not arrive: something on the way removed it, or it was not sent",
            shown(missing.name.as_bytes())
        )));
    }
    let length = presented.signature.map_or(0, |signature| signature.as_bytes().len());
    let of_length = HmacAlgorithm::ALL.into_iter().find(|other| digest_length(*other) == length);
    match of_length {
        Some(other) if other == algorithm => None,
        Some(other) => Some(Cow::Owned(format!(
            "the signature has the length of {}, but {} was named (it is the default where none is)",
            other.as_str(),
            algorithm.as_str()
        ))),
        None => Some(Cow::Owned(format!(
            "the signature must be the {} bytes of {} in padded standard base64, not in hexadecimal or base64url",
            digest_length(algorithm),
            algorithm.as_str()
        ))),
    }
}

fn digest_length(algorithm: HmacAlgorithm) -> usize {
    match algorithm {
        HmacAlgorithm::Sha1 => 20,
        HmacAlgorithm::Sha256 => 32,
        HmacAlgorithm::Sha384 => 48,
        HmacAlgorithm::Sha512 => 64,
    }
}

/// A text with a new line at its end.
struct Ended<'t, T>(&'t T);

impl<T: Canonical> Canonical for Ended<'_, T> {
    fn write(&self, to: &mut impl Sink) {
        self.0.write(to);
        to.put(b"\n");
    }
}

struct Length(usize);

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}
