//! How the length of a body is told: `Content-Length` and `Transfer-Encoding`, read strictly.

use super::Fault;
use super::fields::{is_token, list, trim};

/// A `Content-Length` value: digits only, no leading zero, no list, no sign, not over 64 bits.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, Fault> {
    const FAULT: Fault = "content-length is not a plain decimal number";
    if value.is_empty() || value.len() > 20 || (value.len() > 1 && value.first() == Some(&b'0')) {
        return Err(FAULT);
    }
    value.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(FAULT);
        }
        number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit))).ok_or(FAULT)
    })
}

/// What a `Transfer-Encoding` value asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Exactly `chunked`.
    Chunked,
    /// Well-formed and ending in `chunked`, but with a coding before it that is not understood.
    Unsupported,
    /// Anything else.
    Malformed,
}

/// Reads the value of the only `Transfer-Encoding` field.
pub(crate) fn transfer_coding(value: &[u8]) -> Coding {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Coding::Chunked;
    }
    let well_formed = value.split(|b| *b == b',').all(|coding| is_token(trim(coding)));
    let last_is_chunked = list(value).last().is_some_and(is_chunked);
    if well_formed && last_is_chunked && list(value).filter(|c| is_chunked(c)).count() == 1 {
        Coding::Unsupported
    } else {
        Coding::Malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_is_digits_and_nothing_else() {
        for (value, expected) in [
            (&b"0"[..], Some(0)),
            (b"5", Some(5)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"99999999999999999999999999", None),
            (b"05", None),
            (b"00", None),
            (b"+5", None),
            (b"-5", None),
            (b"0x5", None),
            (b"5;", None),
            (b"5, 5", None),
            (b"5 5", None),
            (b"1_0", None),
            (b"5e0", None),
            (b"5.0", None),
            (b"", None),
            (b"\xd9\xa5", None),
        ] {
            assert_eq!(content_length(value).ok(), expected, "{:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn only_chunked_alone_is_understood() {
        for (value, expected) in [
            (&b"chunked"[..], Coding::Chunked),
            (b"CHUNKED", Coding::Chunked),
            (b"gzip, chunked", Coding::Unsupported),
            (b"identity, chunked", Coding::Unsupported),
            (b"chunked, gzip", Coding::Malformed),
            (b"gzip", Coding::Malformed),
            (b"identity", Coding::Malformed),
            (b"chunked, chunked", Coding::Malformed),
            (b",chunked", Coding::Malformed),
            (b"chunked,", Coding::Malformed),
            (b"\"chunked\"", Coding::Malformed),
            (b"chunked;q=1", Coding::Malformed),
            (b"\xa0chunked", Coding::Malformed),
            (b"\x0bchunked", Coding::Malformed),
            (b"x chunked", Coding::Malformed),
            (b"", Coding::Malformed),
        ] {
            assert_eq!(transfer_coding(value), expected, "{:?}", String::from_utf8_lossy(value));
        }
    }
}
