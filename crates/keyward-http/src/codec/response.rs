//! One answer head of an upstream, parsed as strictly as a request.

use crate::handler::{Field, ResponseHead};
use crate::limits::FIELDS_MAX;

use super::Fault;
use super::fields::{FieldSpace, ends_in_crlf, list, signature, trim};
use super::framing::{Coding, content_length, transfer_coding};

const FEW: usize = 32;

/// What an answer head says about the body that follows, if one follows, and about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseFraming {
    /// Status code, 100 to 599.
    pub(crate) status: u16,
    /// `Content-Length`.
    pub(crate) length: Option<u64>,
    /// `Transfer-Encoding: chunked`.
    pub(crate) chunked: bool,
    /// The upstream goes on with this connection.
    pub(crate) keep_alive: bool,
    /// There is a `Date` field.
    pub(crate) dated: bool,
}

/// Parses the answer head that `bytes` starts with, of at most `head_max` bytes, and hands it, its framing and its
/// reason phrase to `then`. Returns its length as well, or `None` if it is not complete yet.
///
/// # Errors
/// Why the answer is not acceptable.
pub(crate) fn read_response<R>(
    bytes: &[u8],
    head_max: usize,
    then: impl FnOnce(&ResponseHead<'_>, ResponseFraming, &str) -> R,
) -> Result<Option<(R, usize)>, Fault> {
    match attempt::<FEW, _, _>(bytes, head_max, then) {
        Attempt::Done(result) => result,
        Attempt::MoreFields(then) => match attempt::<FIELDS_MAX, _, _>(bytes, head_max, then) {
            Attempt::Done(result) => result,
            Attempt::MoreFields(_) => Err("too many fields"),
        },
    }
}

enum Attempt<R, F> {
    Done(Result<Option<(R, usize)>, Fault>),
    MoreFields(F),
}

fn attempt<const N: usize, R, F>(bytes: &[u8], head_max: usize, then: F) -> Attempt<R, F>
where
    F: FnOnce(&ResponseHead<'_>, ResponseFraming, &str) -> R,
{
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Attempt::Done(Err("an empty line where a status line belongs"));
    }
    let mut space = FieldSpace::<N>::new();
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let end = match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut space.raw) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Attempt::Done(Ok(None)),
        Err(httparse::Error::TooManyHeaders) => return Attempt::MoreFields(then),
        Err(_) => return Attempt::Done(Err("answer head is not well-formed")),
    };
    if end > head_max || !ends_in_crlf(bytes, end, parsed.headers) {
        return Attempt::Done(Err("answer head is too long, or a line of it does not end in CRLF"));
    }
    let mut lines = Lines { keep_alive: parsed.version == Some(1), ..Lines::default() };
    for raw in parsed.headers.iter() {
        let field = Field { name: raw.name, value: trim(raw.value) };
        if let Err(fault) = lines.note(&field) {
            return Attempt::Done(Err(fault));
        }
        space.fields.push(field);
    }
    let framing = match lines.framing(parsed.code.unwrap_or_default(), parsed.version == Some(0)) {
        Ok(framing) => framing,
        Err(fault) => return Attempt::Done(Err(fault)),
    };
    let head = ResponseHead { status: framing.status, fields: &space.fields };
    let result = then(&head, framing, parsed.reason.unwrap_or_default());
    Attempt::Done(Ok(Some((result, end))))
}

#[derive(Default)]
struct Lines {
    length: Option<u64>,
    coding: Option<Coding>,
    keep_alive: bool,
    dated: bool,
}

impl Lines {
    #[inline]
    fn note(&mut self, field: &Field<'_>) -> Result<(), Fault> {
        match signature(field.name) {
            (4, b'd') if field.name.eq_ignore_ascii_case("date") => self.dated = true,
            (10, b'c') if field.name.eq_ignore_ascii_case("connection") => {
                for option in list(field.value) {
                    if option.eq_ignore_ascii_case(b"close") {
                        self.keep_alive = false;
                    }
                }
            }
            (14, b'c')
                if field.name.eq_ignore_ascii_case("content-length")
                    && self.length.replace(content_length(field.value)?).is_some() =>
            {
                return Err("more than one content-length field");
            }
            (17, b't')
                if field.name.eq_ignore_ascii_case("transfer-encoding")
                    && self.coding.replace(transfer_coding(field.value)).is_some() =>
            {
                return Err("more than one transfer-encoding field");
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, status: u16, http10: bool) -> Result<ResponseFraming, Fault> {
        if !(100..=599).contains(&status) {
            return Err("status is not from 100 to 599");
        }
        let chunked = match self.coding {
            None => false,
            Some(_) if http10 => return Err("transfer-encoding in HTTP/1.0"),
            Some(_) if self.length.is_some() => return Err("both transfer-encoding and content-length"),
            Some(Coding::Chunked) => true,
            Some(Coding::Unsupported | Coding::Malformed) => {
                return Err("transfer-encoding is not exactly `chunked`");
            }
        };
        let Self { length, keep_alive, dated, .. } = *self;
        Ok(ResponseFraming { status, length, chunked, keep_alive, dated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(head: &str) -> Result<ResponseFraming, Fault> {
        let read = read_response(head.as_bytes(), 10_000, |_, framing, _| framing);
        read.map(|read| read.expect("the head is complete").0)
    }

    #[test]
    fn reads_status_reason_and_framing() {
        let head = b"HTTP/1.1 404 Not here\r\nContent-Length: 3\r\nX: y \r\n\r\n";
        read_response(head, 10_000, |head, framing, reason| {
            assert_eq!((head.status, reason), (404, "Not here"));
            assert_eq!(
                framing,
                ResponseFraming {
                    status: 404,
                    length: Some(3),
                    chunked: false,
                    keep_alive: true,
                    dated: false
                }
            );
            assert_eq!(head.fields[1], Field { name: "X", value: b"y" });
        })
        .unwrap();
        assert!(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().chunked);
        assert!(!framing("HTTP/1.1 200 OK\r\nConnection: x, close\r\n\r\n").unwrap().keep_alive);
        assert!(!framing("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n").unwrap().keep_alive);
        assert_eq!(framing("HTTP/1.1 200\r\n\r\n").map(|f| f.status), Ok(200));
    }

    #[test]
    fn refuses_answers_in_doubt() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 99 Low\r\n\r\n",
            "HTTP/1.1 099 Low\r\n\r\n",
            "HTTP/1.1 600 High\r\n\r\n",
            "HTTP/1.1 2000 Long\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n",
            "HTTP/1.1 200 OK\nX: y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\r\n\n",
            "HTTP/1.1 200\n\n",
        ] {
            assert!(framing(head).is_err(), "{head:?}");
        }
    }
}
