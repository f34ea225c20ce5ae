//! Alibaba Cloud API Gateway's digest authentication: `X-Ca-*` fields, and the text that they sign.

use keyward_model::HmacAlgorithm;

use super::date::read_millis;
use super::encoded::Signature;
use super::fields::{Fields, Known, KnownSet};
use super::mac::{Canonical, Sink};
use super::presented::{
    Family, ListError, Listed, Nonce, Positional, Presented, SignedFields, Time, TimeSource, read_listed,
    read_nonce, visible,
};
use super::refusal::{self, shown};
use crate::Denial;

/// Fields that have a place of their own in the text, or none: in the list they are passed over.
const NEVER_LISTED: KnownSet = KnownSet::of(&[
    Known::Accept,
    Known::ContentMd5,
    Known::ContentType,
    Known::Date,
    Known::CaSignature,
    Known::CaSignatureHeaders,
]);
/// Known fields that may come only once.
const ONCE: KnownSet = KnownSet::of(&[
    Known::Accept,
    Known::ContentMd5,
    Known::ContentType,
    Known::Date,
    Known::CaKey,
    Known::CaSignature,
    Known::CaSignatureMethod,
    Known::CaSignatureHeaders,
    Known::CaTimestamp,
    Known::CaNonce,
    Known::CaStage,
]);

/// Reads what a request with `X-Ca-*` fields presents.
pub(super) fn read<'a>(fields: &Fields<'a>) -> Result<Presented<'a>, Denial> {
    refuse_repeated(fields)?;
    let app_key = fields.value(Known::CaKey).and_then(visible).ok_or_else(|| {
        refusal::malformed(Family::Alibaba, "Invalid AppKey", "send the AppKey in `X-Ca-Key`")
    })?;
    let signature = fields.value(Known::CaSignature).filter(|text| !text.is_empty()).map(Signature::decode);
    let (listed, signed) = read_block(fields)?;
    let time =
        fields.value(Known::CaTimestamp).map(|text| read_time(text, signed.contains(Known::CaTimestamp)));
    let nonce = fields.value(Known::CaNonce).map(|text| {
        let value = read_nonce(text).ok_or_else(wrong_nonce)?;
        Ok(Nonce { value, signed: signed.contains(Known::CaNonce) })
    });
    Ok(Presented {
        family: Family::Alibaba,
        app_key,
        algorithm: read_algorithm(fields.value(Known::CaSignatureMethod)),
        signature,
        positional: Positional {
            accept: fields.value(Known::Accept).unwrap_or_default(),
            content_md5: fields.value(Known::ContentMd5).unwrap_or_default(),
            content_type: fields.value(Known::ContentType).unwrap_or_default(),
            date: fields.value(Known::Date).unwrap_or_default(),
        },
        time: time.transpose()?,
        nonce: nonce.transpose()?,
        stage: fields.value(Known::CaStage),
        listed,
        signed,
    })
}

/// Spelled as the vendor has it, case and all; absent means the default.
fn read_algorithm(name: Option<&[u8]>) -> Result<HmacAlgorithm, &[u8]> {
    let Some(name) = name else { return Ok(HmacAlgorithm::Sha256) };
    HmacAlgorithm::ALL.into_iter().find(|algorithm| algorithm.as_str().as_bytes() == name).ok_or(name)
}

fn refuse_repeated(fields: &Fields<'_>) -> Result<(), Denial> {
    let known = fields.repeated.first_common(ONCE).map(Known::name);
    match known.or_else(|| fields.repeated_other_ca()) {
        None => Ok(()),
        Some(name) => Err(repeated(name)),
    }
}

fn repeated(name: &str) -> Denial {
    refusal::malformed(
        Family::Alibaba,
        "Invalid Header",
        format!(
            "`{}` came more than once, so it cannot be told which one was signed",
            shown(name.as_bytes())
        ),
    )
}

fn read_block<'a>(fields: &Fields<'a>) -> Result<SignedFields<'a>, Denial> {
    let wrong = |hint: &'static str| refusal::malformed(Family::Alibaba, "Invalid Header", hint);
    let list = fields.value(Known::CaSignatureHeaders).unwrap_or_default();
    let list = std::str::from_utf8(list)
        .map_err(|_| wrong("`X-Ca-Signature-Headers` must be header names, separated by commas"))?;
    let names = separated(list).map(str::trim_ascii).filter(|name| !name.is_empty());
    let (mut listed, signed) = read_listed(fields, names, NEVER_LISTED).map_err(|error| match error {
        ListError::NotAName => wrong("`X-Ca-Signature-Headers` must be header names, separated by commas"),
        ListError::TooMany => wrong("`X-Ca-Signature-Headers` must name each header once, and at most 64"),
        ListError::Repeated(name) => repeated(name),
    })?;
    // Clients list the names in any order, and sign them by the bytes of their own spelling.
    listed.sort_unstable_by(|one, other| one.name.as_bytes().cmp(other.name.as_bytes()));
    Ok((listed, signed))
}

/// What stands between commas.
fn separated(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let whole = rest?;
        let comma = whole.bytes().position(|byte| byte == b',');
        let (item, after) = match comma.and_then(|at| whole.split_at_checked(at)) {
            Some((item, after)) => (item, after.get(1..)),
            None => (whole, None),
        };
        rest = after;
        Some(item)
    })
}

fn read_time(text: &[u8], signed: bool) -> Result<Time, Denial> {
    let source = TimeSource::CaTimestamp { signed };
    read_millis(text).map(|at| Time { at, source }).ok_or_else(|| {
        let hint = "`X-Ca-Timestamp` must be milliseconds since 1970 in 13 digits, such as `1767225600000`";
        refusal::malformed(Family::Alibaba, "Invalid Timestamp", hint)
    })
}

fn wrong_nonce() -> Denial {
    let hint = "`X-Ca-Nonce` must be 16 to 128 visible ASCII characters, such as a fresh UUID";
    refusal::malformed(Family::Alibaba, "Invalid X-Ca-Nonce", hint)
}

/// The text that is signed. A candidate or a diagnosis is a small change of it.
#[derive(Clone, Copy)]
pub(super) struct AlibabaText<'t> {
    pub(super) method: &'t str,
    pub(super) positional: Positional<'t>,
    pub(super) listed: &'t [Listed<'t>],
    pub(super) path: &'t [u8],
    /// Joined, without `?`.
    pub(super) parameters: &'t [u8],
}

impl Canonical for AlibabaText<'_> {
    fn write(&self, to: &mut impl Sink) {
        let Positional { accept, content_md5, content_type, date } = self.positional;
        for line in [self.method.as_bytes(), accept, content_md5, content_type, date] {
            to.put(line);
            to.put_byte(b'\n');
        }
        for listed in self.listed {
            to.put(listed.name.as_bytes());
            to.put_byte(b':');
            to.put(listed.value.unwrap_or_default());
            to.put_byte(b'\n');
        }
        write_target(self.path, self.parameters, to);
    }
}

/// The path, and the parameters if there are any.
pub(super) fn write_target(path: &[u8], parameters: &[u8], to: &mut impl Sink) {
    to.put(path);
    if !parameters.is_empty() {
        to.put_byte(b'?');
        to.put(parameters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_separated_by_commas() {
        for list in ["", ",", "a", "a,b", ",a,,b,", "a , b"] {
            assert!(separated(list).eq(list.split(',')), "{list}");
        }
    }
}
