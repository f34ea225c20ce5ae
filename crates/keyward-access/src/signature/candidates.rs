//! The texts that a signature may be of: the documented one, and those that vendors' own clients need.
//!
//! Every further text is one that some released client signs, tried only where the request gives it cause. What is tried never
//! depends on the secret, so that an unknown AppKey costs the same work.

use std::fmt;

use keyward_model::{HmacAlgorithm, SignatureMode};

use super::alibaba::AlibabaText;
use super::encoded::{Md5Form, Signature, md5_of};
use super::mac::{Canonical, SigningSecret};
use super::parameters::{Empty, Encoding, Parameters, PathEscapes, Pick, Source, Style, decode_path};
use super::tencent::{RequestLines, TencentText};

/// Beyond this many bytes of parameters only the documented text is tried: each further one is hashed whole.
const EXTRA_PARAMETERS_MAX: usize = 1 << 20;

/// The reading by which a signature held. Displayed as `documented`, or as the names of what was read otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    path: &'static str,
    parameters: &'static str,
    content_md5: &'static str,
}

impl Rule {
    /// What the vendor documents.
    pub const DOCUMENTED: Self = Self { path: "", parameters: "", content_md5: "" };
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::DOCUMENTED {
            return f.write_str("documented");
        }
        f.write_str("compat")?;
        [self.path, self.parameters, self.content_md5]
            .into_iter()
            .filter(|part| !part.is_empty())
            .try_for_each(|part| write!(f, " {part}"))
    }
}

/// A signature, and the secret that would have made it.
#[derive(Clone, Copy)]
pub(super) struct Proof<'t> {
    pub(super) secret: &'t SigningSecret,
    pub(super) algorithm: HmacAlgorithm,
    pub(super) signature: &'t Signature,
    /// Does somebody have the secret? If not, the work is done, and nothing fits: the stand-in is no secret.
    pub(super) known: bool,
}

impl Proof<'_> {
    pub(super) fn fits(&self, text: &(impl Canonical + ?Sized)) -> bool {
        self.secret.matches(self.algorithm, self.signature, text) && self.known
    }
}

/// The reading by which the signature is of this request, whose documented text is `base`. At most eight HMACs.
pub(super) fn alibaba(
    proof: Proof<'_>,
    base: &AlibabaText<'_>,
    parameters: &Parameters<'_>,
    mode: SignatureMode,
) -> Option<Rule> {
    if proof.fits(base) {
        return Some(Rule::DOCUMENTED);
    }
    let escapes = match mode {
        SignatureMode::Compatible => PathEscapes::Meaningless,
        SignatureMode::Strict => PathEscapes::Needed,
    };
    let decoded = decode_path(base.path, escapes);
    let paths = [Some(("", base.path)), decoded.as_deref().map(|path| ("path:decoded", path))];
    for (name, style) in alibaba_styles(parameters, mode).into_iter().flatten() {
        let written = parameters.write(style);
        for (path_name, path) in paths.into_iter().flatten() {
            let rule = Rule { path: path_name, parameters: name, ..Rule::DOCUMENTED };
            if rule != Rule::DOCUMENTED && proof.fits(&AlibabaText { path, parameters: &written, ..*base }) {
                return Some(rule);
            }
        }
    }
    None
}

/// The documented style, and those of clients that join repeated values or sign the query as it is sent.
fn alibaba_styles(parameters: &Parameters<'_>, mode: SignatureMode) -> [Option<(&'static str, Style)>; 4] {
    let documented = Style::DOCUMENTED;
    let extra = mode == SignatureMode::Compatible && parameters.bytes() <= EXTRA_PARAMETERS_MAX;
    let raw = extra && parameters.has_escapes(Source::Query);
    let joined = extra && parameters.has_repeated_names();
    let raw_style = Style { encoding: Encoding::QueryAsSent, ..documented };
    [
        Some(("", documented)),
        joined.then_some(("multi:comma", Style { pick: Pick::Joined, ..documented })),
        raw.then_some(("params:raw", raw_style)),
        (raw && joined).then_some(("params:raw multi:comma", Style { pick: Pick::Joined, ..raw_style })),
    ]
}

/// The reading by which the signature is of this request. At most eight HMACs.
///
/// `base` is the text with the documented parameters and digest; `body` is what Content-MD5 covers: empty for forms.
pub(super) fn tencent(
    proof: Proof<'_>,
    base: &TencentText<'_>,
    parameters: &Parameters<'_>,
    body: &[u8],
    mode: SignatureMode,
) -> Option<Rule> {
    if proof.fits(base) {
        return Some(Rule::DOCUMENTED);
    }
    let request = base.request?;
    let raw_md5 = (!body.is_empty()).then(|| Md5Form::Raw.write(md5_of(body)));
    let digests =
        [Some(("", request.content_md5)), raw_md5.as_deref().map(|md5| ("md5:raw", md5.as_bytes()))];
    for (name, written) in tencent_parameters(&request, parameters, mode) {
        for (md5_name, content_md5) in digests.into_iter().flatten() {
            let rule = Rule { parameters: name, content_md5: md5_name, ..Rule::DOCUMENTED };
            let lines = RequestLines { parameters: &written, content_md5, ..request };
            if rule != Rule::DOCUMENTED && proof.fits(&TencentText { request: Some(lines), ..*base }) {
                return Some(rule);
            }
        }
    }
    None
}

/// The documented parameters, and those of the vendor's samples that agree on plain requests only.
fn tencent_parameters(
    request: &RequestLines<'_>,
    parameters: &Parameters<'_>,
    mode: SignatureMode,
) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![("", request.parameters.to_vec())];
    let differs = || {
        parameters.has_escapes(Source::Query)
            || parameters.has_escapes(Source::Form)
            || parameters.has_empty_values()
            || parameters.has_repeated_names()
    };
    let small = parameters.bytes() <= EXTRA_PARAMETERS_MAX;
    if mode == SignatureMode::Compatible && !parameters.is_empty() && small && differs() {
        let last =
            Style { encoding: Encoding::AsSent, pick: Pick::Last, empty: Empty::Equals, ..Style::DOCUMENTED };
        all.push(("params:raw-pieces", parameters.write_pieces()));
        all.push(("params:raw-last-eq", parameters.write(last)));
        let joined = Style { pick: Pick::Joined, ..Style::DOCUMENTED };
        all.push(("params:decoded-comma", parameters.write(joined)));
    }
    all
}
