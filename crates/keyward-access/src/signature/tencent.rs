//! Tencent Cloud API Gateway's two schemes: `Authorization: hmac …`, and the texts that it signs.

use keyward_model::HmacAlgorithm;

use super::alibaba::write_target;
use super::date::read_http_date;
use super::encoded::Signature;
use super::fields::{Fields, Known, KnownSet};
use super::mac::{Canonical, Sink};
use super::presented::{
    Family, ListError, Listed, Nonce, Positional, Presented, SignedFields, Time, TimeSource, read_listed,
    read_nonce, visible,
};
use super::refusal::{self, shown};
use crate::Denial;

const SCHEME: &[u8] = b"hmac";
/// Fields that these schemes read, and which therefore may come only once.
const ONCE: KnownSet = KnownSet::of(&[
    Known::Authorization,
    Known::Accept,
    Known::ContentMd5,
    Known::ContentType,
    Known::Date,
    Known::XDate,
    Known::ApigwNonce,
    Known::CaStage,
]);

/// Is this `Authorization` value of these schemes?
pub(super) fn is_hmac(value: &[u8]) -> bool {
    let (scheme, rest) = value.split_at(value.len().min(SCHEME.len()));
    scheme.eq_ignore_ascii_case(SCHEME) && matches!(rest.first(), None | Some(b' ' | b'\t'))
}

/// Reads what a request with `Authorization: hmac …` presents.
pub(super) fn read<'a>(fields: &Fields<'a>) -> Result<Presented<'a>, Denial> {
    if let Some(known) = fields.repeated.first_common(ONCE) {
        return Err(repeated(known.name()));
    }
    let authorization = fields.value(Known::Authorization).unwrap_or_default();
    let parameters = Authorization::read(authorization).ok_or_else(|| {
        let hint = r#"write `hmac id="…", algorithm="hmac-sha256", headers="x-date", signature="…"`"#;
        refusal::malformed(Family::Tencent, "HMAC authorization format error.", hint)
    })?;
    let (listed, signed) = read_list(fields, parameters.headers.unwrap_or_default())?;
    let app_key = parameters.id.and_then(|id| visible(id.as_bytes())).ok_or_else(|| {
        refusal::malformed(Family::Tencent, "HMAC id or signature missing.", "name the key in `id`")
    })?;
    let nonce = fields.value(Known::ApigwNonce).map(|text| {
        let value = read_nonce(text).ok_or_else(wrong_nonce)?;
        Ok(Nonce { value, signed: signed.contains(Known::ApigwNonce) })
    });
    Ok(Presented {
        family: Family::Tencent,
        app_key,
        algorithm: read_algorithm(parameters.algorithm),
        signature: parameters
            .signature
            .filter(|text| !text.is_empty())
            .map(|text| Signature::decode(text.as_bytes())),
        positional: Positional {
            accept: fields.value(Known::Accept).unwrap_or_default(),
            content_md5: fields.value(Known::ContentMd5).unwrap_or_default(),
            content_type: fields.value(Known::ContentType).unwrap_or_default(),
            date: &[],
        },
        time: read_time(fields, signed)?,
        nonce: nonce.transpose()?,
        stage: fields.value(Known::CaStage),
        listed,
        signed,
    })
}

/// The parameters of `Authorization: hmac …`, by name and in any order; values quoted or not.
#[derive(Default)]
struct Authorization<'a> {
    id: Option<&'a str>,
    algorithm: Option<&'a str>,
    headers: Option<&'a str>,
    signature: Option<&'a str>,
}

impl<'a> Authorization<'a> {
    /// `None` if it is not of the form, names one of the four twice, or names anything else.
    fn read(value: &'a [u8]) -> Option<Self> {
        let mut rest = std::str::from_utf8(value.get(SCHEME.len()..)?).ok()?;
        let mut read = Self::default();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Some(read);
            }
            let (name, after) = rest.split_once('=')?;
            let (value, after) = split_value(after.trim_start_matches([' ', '\t']))?;
            let slot = match name.trim_end_matches([' ', '\t']) {
                "id" => &mut read.id,
                "algorithm" => &mut read.algorithm,
                "headers" => &mut read.headers,
                "signature" => &mut read.signature,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
            rest = after;
        }
    }
}

/// A quoted value (nothing in one of ours needs an escape) or a bare one; what follows must be a comma, or nothing.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let (value, after) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_at(text.find([',', ' ', '\t']).unwrap_or(text.len())),
    };
    let after = after.trim_start_matches([' ', '\t']);
    let ends = after.is_empty() || after.starts_with(',');
    (ends && !value.contains('\\')).then_some((value, after))
}

fn read_algorithm(name: Option<&str>) -> Result<HmacAlgorithm, &[u8]> {
    let Some(name) = name else { return Ok(HmacAlgorithm::Sha1) };
    let of_name = |algorithm: &HmacAlgorithm| algorithm.tencent_name() == name;
    HmacAlgorithm::ALL.into_iter().find(of_name).ok_or(name.as_bytes())
}

/// Names separated by blanks, signed in this order.
fn read_list<'a>(fields: &Fields<'a>, list: &'a str) -> Result<SignedFields<'a>, Denial> {
    let wrong = |hint: &'static str| {
        refusal::malformed(Family::Tencent, "HMAC authorization headers is invalidate.", hint)
    };
    let names = list.split([' ', '\t']).filter(|name| !name.is_empty());
    let (listed, signed) = read_listed(fields, names, KnownSet::default()).map_err(|error| match error {
        ListError::NotAName => wrong("`headers` must be header names, separated by blanks"),
        ListError::TooMany => wrong("`headers` must name each header once, and at most 64"),
        ListError::Repeated(name) => repeated(name),
    })?;
    if signed.contains(Known::Authorization) {
        return Err(wrong("`authorization` cannot sign itself: leave it out of `headers`"));
    }
    Ok((listed, signed))
}

fn read_time(fields: &Fields<'_>, signed: KnownSet) -> Result<Option<Time>, Denial> {
    if signed.contains(Known::XDate) {
        let at = read_http_date(fields.value(Known::XDate).unwrap_or_default()).ok_or_else(|| {
            let message = "HMAC signature cannot be verified, a valid x-date header is required for HMAC Authentication.";
            let hint = "`X-Date` must have the form `Mon, 19 Mar 2018 12:08:40 GMT`";
            refusal::malformed(Family::Tencent, message, hint)
        })?;
        return Ok(Some(Time { at, source: TimeSource::XDate }));
    }
    // A signed `Date` is not judged unless a timestamp is required, so one that cannot be read is as good as none.
    let date = signed
        .contains(Known::Date)
        .then(|| read_http_date(fields.value(Known::Date).unwrap_or_default()))
        .flatten();
    Ok(date.map(|at| Time { at, source: TimeSource::Date }))
}

fn repeated(name: &str) -> Denial {
    refusal::malformed(
        Family::Tencent,
        "HMAC do not support multiple HTTP header.",
        format!(
            "`{}` came more than once, so it cannot be told which one was signed",
            shown(name.as_bytes())
        ),
    )
}

fn wrong_nonce() -> Denial {
    let hint = "`X-Apigw-Nonce` must be 16 to 128 visible ASCII characters, such as a fresh UUID";
    refusal::malformed(Family::Tencent, "HMAC authorization headers is invalidate.", hint)
}

/// The text that is signed. A candidate or a diagnosis is a small change of it.
#[derive(Clone, Copy)]
pub(super) struct TencentText<'t> {
    pub(super) listed: &'t [Listed<'t>],
    /// Absent for key pair authentication, which signs the header lines alone.
    pub(super) request: Option<RequestLines<'t>>,
}

/// What application authentication signs besides the header lines.
#[derive(Clone, Copy)]
pub(super) struct RequestLines<'t> {
    pub(super) method: &'t str,
    pub(super) accept: &'t [u8],
    pub(super) content_type: &'t [u8],
    pub(super) content_md5: &'t [u8],
    pub(super) path: &'t [u8],
    /// Joined, without `?`.
    pub(super) parameters: &'t [u8],
}

impl Canonical for TencentText<'_> {
    fn write(&self, to: &mut impl Sink) {
        for (at, listed) in self.listed.iter().enumerate() {
            if at > 0 {
                to.put_byte(b'\n');
            }
            put_lower_case(listed.name, to);
            to.put(b": ");
            to.put(listed.value.unwrap_or_default());
        }
        if let Some(request) = &self.request {
            for line in [request.method.as_bytes(), request.accept, request.content_type, request.content_md5]
            {
                to.put_byte(b'\n');
                to.put(line);
            }
            to.put_byte(b'\n');
            write_target(request.path, request.parameters, to);
        }
    }
}

fn put_lower_case(name: &str, to: &mut impl Sink) {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.bytes().for_each(|byte| to.put_byte(byte.to_ascii_lowercase()));
    } else {
        to.put(name.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_is_read_by_name() {
        let read = |text: &'static str| Authorization::read(text.as_bytes());
        for text in [
            r#"hmac id="k", algorithm="hmac-sha1", headers="x-date source", signature="c2ln""#,
            r#"Hmac  signature="c2ln",headers="x-date source" ,id="k",algorithm="hmac-sha1""#,
            r#"HMAC id = k , algorithm=hmac-sha1, headers="x-date source", signature=c2ln"#,
        ] {
            let read = read(text).unwrap();
            assert_eq!(
                (read.id, read.algorithm, read.headers, read.signature),
                (Some("k"), Some("hmac-sha1"), Some("x-date source"), Some("c2ln")),
                "{text}"
            );
        }
        for text in [
            r#"hmac id="k", id="l""#,
            r#"hmac id="k", other="l""#,
            r#"hmac id="k" signature="s""#,
            r#"hmac id="k"#,
            r#"hmac id="k\", x""#,
            "hmac id",
            r#"hmac i d="k""#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_scheme_is_a_word_of_its_own() {
        for yes in ["hmac id=1", "HMAC\tid=1", "Hmac"] {
            assert!(is_hmac(yes.as_bytes()), "{yes}");
        }
        for no in ["", "hma", "hmac-sha1 id=1", "HMACid=1", "Bearer hmac"] {
            assert!(!is_hmac(no.as_bytes()), "{no}");
        }
    }
}
