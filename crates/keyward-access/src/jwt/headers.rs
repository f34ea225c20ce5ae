//! Claims that are handed to the service as header fields.

use keyward_model::{ClaimToHeader, HeaderName};

use super::claims::texts;
use super::unverified::{ClaimValue, Unverified};

/// The fields to set, no name twice: of two claims for one field the first that has a value stands.
pub(super) fn from_claims(token: &Unverified<'_>, wanted: &[ClaimToHeader]) -> Vec<(HeaderName, String)> {
    let mut headers: Vec<(HeaderName, String)> = Vec::new();
    for ClaimToHeader { claim, header } in wanted {
        let value = token.value(claim).and_then(header_value);
        if let Some(value) = value.filter(|_| headers.iter().all(|(name, _)| name != header)) {
            headers.push((header.clone(), value));
        }
    }
    headers
}

/// The claim as a header value that arrives as it is; `None` where there is no such value.
fn header_value(claim: ClaimValue<'_>) -> Option<String> {
    match claim {
        ClaimValue::Text(text) => is_safe(text).then(|| text.to_owned()),
        ClaimValue::Other(written) => match written.bytes().next()? {
            b'-' | b'0'..=b'9' | b't' | b'f' => Some(written.to_owned()),
            b'[' => joined(&texts(written)?),
            _ => None,
        },
    }
}

/// A `,` within an element would make two of it.
fn joined(elements: &[String]) -> Option<String> {
    let safe =
        !elements.is_empty() && elements.iter().all(|element| is_safe(element) && !element.contains(','));
    safe.then(|| elements.join(","))
}

/// Visible ASCII, with blanks inside only: what every recipient reads alike.
fn is_safe(text: &str) -> bool {
    let is_visible = |b: u8| b.is_ascii_graphic();
    text.bytes().all(|b| is_visible(b) || b == b' ')
        && text.bytes().next().is_some_and(is_visible)
        && text.bytes().next_back().is_some_and(is_visible)
}
