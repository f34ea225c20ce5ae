//! What fuzzers and property tests throw bytes at. Not part of the interface.

use crate::codec::{BodyReader, HeadEnd, HeadLimits, Piece, read_request, read_response};
use crate::handler::Field;
use crate::limits::Limits;
use crate::simulate::{Choices, UpstreamScript, simulate};

/// A request head that is accepted holds nothing that another parser could read differently.
pub fn request_head(bytes: &[u8]) {
    let limits = HeadLimits::from(&Limits::default());
    let accepted = read_request(bytes, &limits, |head, _, rest| {
        assert!(head.method.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(head.path == "*" || head.path.starts_with('/'));
        let target = head.path.bytes().chain(head.query.unwrap_or_default().bytes());
        assert!(target.clone().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
        assert!(!head.host.is_empty() && !head.host.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(!head.host.bytes().any(|byte| matches!(byte, b'@' | b',' | b' ' | b'/')));
        check_fields(head.fields);
        let count = |name: &str| head.fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name)).count();
        assert_eq!(count("host"), 1);
        assert!(count("content-length") + count("transfer-encoding") <= 1);
        check_lines(bytes, bytes.len() - rest.len());
    });
    if matches!(accepted, Ok(None)) {
        assert!(
            !matches!(HeadEnd::default().find(bytes), Ok(Some(_))),
            "a complete head was taken for a part of one"
        );
    }
}

/// The same for an answer head.
pub fn response_head(bytes: &[u8]) {
    let accepted = read_response(bytes, usize::MAX, |head, framing, reason| {
        assert!((100..=599).contains(&framing.status));
        assert!(!(framing.chunked && framing.length.is_some()));
        assert!(!reason.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        check_fields(head.fields);
    });
    match accepted {
        Ok(Some(((), end))) => check_lines(bytes, end),
        Ok(None) => assert!(!matches!(HeadEnd::default().find(bytes), Ok(Some(_)))),
        Err(_) => {}
    }
}

fn check_fields(fields: &[Field<'_>]) {
    for field in fields {
        assert!(!field.name.is_empty() && field.name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
        assert!(field.value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)));
        assert!(!field.value.starts_with(b" ") && !field.value.ends_with(b" "));
    }
}

fn check_lines(bytes: &[u8], end: usize) {
    assert_eq!(HeadEnd::default().find(bytes), Ok(Some(end)), "both ways of finding the end agree");
    let head = bytes.get(..end).unwrap_or_default();
    let pairs = head.windows(2).filter(|pair| *pair == b"\r\n").count();
    assert_eq!(head.iter().filter(|byte| **byte == b'\r').count(), pairs, "a bare CR was accepted");
    assert_eq!(head.iter().filter(|byte| **byte == b'\n').count(), pairs, "a bare LF was accepted");
}

/// A chunked body reads the same in whatever pieces it comes, and as a simple decoder reads it. The first byte says
/// how large the pieces are.
pub fn chunked_body(bytes: &[u8]) {
    let Some((step, bytes)) = bytes.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(whole, decode(bytes, usize::from(*step).max(1)));
    if let Some(decoded) = &whole {
        assert_eq!(Some(&decoded.0), decode_simply(bytes).as_ref());
    }
}

/// Body and bytes left over; `None` if malformed or incomplete.
fn decode(bytes: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
    let (mut reader, mut body, mut at, mut seen) = (BodyReader::chunked(), Vec::new(), 0, 0);
    loop {
        let input = bytes.get(at..seen).unwrap_or_default();
        match reader.next(input).ok()? {
            Piece::More { .. } if seen == bytes.len() => return None,
            Piece::More { skip } => {
                at += skip;
                seen = (seen + step).min(bytes.len());
            }
            Piece::Data { skip, data } => {
                body.extend_from_slice(input.get(skip..skip + data).unwrap_or_default());
                at += skip + data;
            }
            Piece::End { skip, trailers } => return Some((body, bytes.len() - at - skip - trailers)),
        }
    }
}

/// Chunks by the book, without any strictness.
fn decode_simply(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(bytes, b"\r\n")?;
        let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let data = bytes.get(end + 2..end + 2 + size)?;
        body.extend_from_slice(data);
        bytes = bytes.get(end + 2 + size + 2..)?;
    }
}

/// A connection between two sides that say anything at all. The first two bytes are lengths: of the choices that
/// follow, and of the upstream's words (in units of 16); the rest is the client's.
pub fn connection(bytes: &[u8]) {
    let Some((lengths, rest)) = bytes.split_first_chunk::<2>() else { return };
    let [choices, upstream] = lengths.map(usize::from);
    let (choices, rest) = rest.split_at_checked(choices).unwrap_or((rest, b""));
    let (upstream, client) = rest.split_at_checked(upstream * 16).unwrap_or((b"", rest));
    let script = if upstream.is_empty() { UpstreamScript::Proper } else { UpstreamScript::Bytes(upstream) };
    simulate(client, script, Choices(choices));
}
