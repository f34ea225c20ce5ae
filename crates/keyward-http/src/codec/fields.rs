//! Field lines: the stack space they are parsed into, and which of them belong to one connection only.

use std::mem::MaybeUninit;

use smallvec::SmallVec;

use crate::handler::Field;

/// Whether a field speaks about one connection (or its framing) and therefore is never carried on.
///
/// These are `Connection`, `Keep-Alive`, `Proxy-Connection`, `Proxy-Authenticate`, `Proxy-Authorization`, `TE`,
/// `Trailer`, `Transfer-Encoding`, `Upgrade` and `HTTP2-Settings`. Names are compared without case.
#[inline]
pub fn is_hop_by_hop(name: &str) -> bool {
    let candidate = match signature(name) {
        (2, b't') => "te",
        (7, b't') => "trailer",
        (7, b'u') => "upgrade",
        (10, b'c') => "connection",
        (10, b'k') => "keep-alive",
        (14, b'h') => "http2-settings",
        (16, b'p') => "proxy-connection",
        (17, b't') => "transfer-encoding",
        (18, b'p') => "proxy-authenticate",
        (19, b'p') => "proxy-authorization",
        _ => return false,
    };
    name.eq_ignore_ascii_case(candidate)
}

/// Length and first letter (in lower case) of a name: enough to tell most names from a given one.
#[inline]
pub(crate) fn signature(name: &str) -> (usize, u8) {
    (name.len(), name.as_bytes().first().map_or(0, |first| first | 0x20))
}

/// Decides which fields of one head are not carried on: the hop-by-hop ones, those that `Connection` nominates,
/// and those that the transport writes itself (`Content-Length`, `Expect`).
///
/// ```
/// use keyward_http::{Dropped, Field};
/// let fields = [Field { name: "Connection", value: b"close, X-Once" }, Field { name: "X-Once", value: b"1" }];
/// let dropped = Dropped::of(&fields);
/// assert!(dropped.drops("x-once") && dropped.drops("TE") && !dropped.drops("Accept"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dropped<'a> {
    fields: &'a [Field<'a>],
    nominates: bool,
}

impl<'a> Dropped<'a> {
    /// Looks once for `Connection` fields that nominate more than `close` and `keep-alive`.
    pub fn of(fields: &'a [Field<'a>]) -> Self {
        let mut nominates = false;
        for field in fields {
            if signature(field.name) == (10, b'c') && field.name.eq_ignore_ascii_case("connection") {
                nominates |= !field.value.eq_ignore_ascii_case(b"keep-alive")
                    && !field.value.eq_ignore_ascii_case(b"close");
            }
        }
        Self { fields, nominates }
    }

    /// Whether the field called `name` is not carried on.
    #[inline]
    pub fn drops(&self, name: &str) -> bool {
        is_hop_by_hop(name) || is_framing(name) || self.nominates && self.nominated(name)
    }

    /// Whether a `Connection` field of this head names `name`.
    pub fn nominated(&self, name: &str) -> bool {
        connection_values(self.fields).flat_map(list).any(|n| n.eq_ignore_ascii_case(name.as_bytes()))
    }
}

#[inline]
fn is_framing(name: &str) -> bool {
    match signature(name) {
        (6, b'e') => name.eq_ignore_ascii_case("expect"),
        (14, b'c') => name.eq_ignore_ascii_case("content-length"),
        _ => false,
    }
}

fn connection_values<'a>(fields: &'a [Field<'a>]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(|field| signature(field.name) == (10, b'c') && field.name.eq_ignore_ascii_case("connection"))
        .map(|field| field.value)
}

/// The elements of a comma-separated list, without blanks around them. Empty elements are passed over.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(trim).filter(|element| !element.is_empty())
}

/// Without the blanks and tabs at both ends.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = value.split_first() {
        value = rest;
    }
    while let Some((b' ' | b'\t', rest)) = value.split_last() {
        value = rest;
    }
    value
}

/// A token as RFC 9110 defines it.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether a trailer field of an answer may reach the client: none that frames, routes, authenticates or sets state.
pub(crate) fn trailer_may_pass(name: &str) -> bool {
    const REFUSED: [&str; 18] = [
        "age",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "expect",
        "expires",
        "host",
        "location",
        "retry-after",
        "set-cookie",
        "strict-transport-security",
        "vary",
        "warning",
        "www-authenticate",
    ];
    !is_hop_by_hop(name) && !REFUSED.iter().any(|refused| name.eq_ignore_ascii_case(refused))
}

/// Whether every line of the head that `bytes` starts with ends in CRLF: the parser takes a bare LF as well. `end` is
/// where the head ends, and `headers` are what the parser found in it.
#[inline]
pub(crate) fn ends_in_crlf(bytes: &[u8], end: usize, headers: &[httparse::Header<'_>]) -> bool {
    let start = bytes.as_ptr().addr();
    let after_crlf = |at: usize| at.checked_sub(2).and_then(|before| bytes.get(before..at)) == Some(b"\r\n");
    // Every line but the first is a field or the empty line: each of them must follow a CRLF.
    after_crlf(end)
        && after_crlf(end.saturating_sub(2))
        && headers.iter().all(|header| after_crlf(header.name.as_ptr().addr().wrapping_sub(start)))
}

/// Room on the stack for the field lines of one head.
pub(crate) struct FieldSpace<'b, const N: usize> {
    pub(crate) raw: [MaybeUninit<httparse::Header<'b>>; N],
    pub(crate) fields: SmallVec<[Field<'b>; N]>,
}

impl<const N: usize> FieldSpace<'_, N> {
    pub(crate) fn new() -> Self {
        Self { raw: [const { MaybeUninit::uninit() }; N], fields: SmallVec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_names_are_dropped_whatever_the_case_and_place() {
        let fields = [
            Field { name: "Connection", value: b"close , x-a,,X-B" },
            Field { name: "connection", value: b"Content-Length" },
        ];
        let dropped = Dropped::of(&fields);
        for name in ["X-A", "x-b", "Content-Length", "close", "Keep-Alive", "Expect", "TE", "trailer"] {
            assert!(dropped.drops(name), "{name}");
        }
        for name in ["X-C", "Accept", "Host", "X-A-B"] {
            assert!(!dropped.drops(name), "{name}");
        }
    }

    #[test]
    fn a_plain_keep_alive_nominates_nothing() {
        let fields = [Field { name: "Connection", value: b"Keep-Alive" }];
        assert!(!Dropped::of(&fields).nominates);
    }

    #[test]
    fn trailers_that_steer_a_client_do_not_pass() {
        for name in ["Set-Cookie", "Content-Length", "Transfer-Encoding", "Connection", "HOST"] {
            assert!(!trailer_may_pass(name), "{name}");
        }
        assert!(trailer_may_pass("grpc-status") && trailer_may_pass("Server-Timing"));
    }
}
