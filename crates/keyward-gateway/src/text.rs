//! Small writers for bytes that go onto a wire or into a log, without allocation.

use std::io::Write;
use std::net::IpAddr;

use uuid::Uuid;

/// Appends a number in decimal.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut rest = number;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(DIGITS_MAX - used..).unwrap_or_default());
}

/// Appends an id as the model writes it: the prefix, then 32 lower-case digits.
pub(crate) fn push_id(out: &mut Vec<u8>, prefix: &str, uuid: Uuid) {
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(uuid.simple().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

/// An address as text, made once and used several times; IPv6 without brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressText {
    text: [u8; Self::LENGTH_MAX],
    length: u8,
}

impl AddressText {
    /// The longest is an IPv6 address with an IPv4 address at its end.
    const LENGTH_MAX: usize = 45;

    /// The text of this address.
    pub(crate) fn of(address: IpAddr) -> Self {
        let mut made = Self { text: [0; Self::LENGTH_MAX], length: 0 };
        match address {
            IpAddr::V4(v4) => {
                for (place, octet) in v4.octets().into_iter().enumerate() {
                    if place > 0 {
                        made.push(b'.');
                    }
                    made.push_octet(octet);
                }
            }
            IpAddr::V6(v6) => {
                let room = made.text.len();
                let mut rest = made.text.as_mut_slice();
                // The longest text fits.
                let _ = write!(rest, "{v6}");
                made.length = (room - rest.len()) as u8;
            }
        }
        made
    }

    /// As bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.get(..usize::from(self.length)).unwrap_or_default()
    }

    fn push_octet(&mut self, octet: u8) {
        if octet >= 100 {
            self.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            self.push(b'0' + octet / 10 % 10);
        }
        self.push(b'0' + octet % 10);
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.text.get_mut(usize::from(self.length)) {
            *slot = byte;
            self.length += 1;
        }
    }
}

/// Appends a JSON string with its quotes. Control characters are escaped, so no text can start a line of its own.
pub(crate) fn push_json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_json_within(out, text);
    out.push(b'"');
}

/// Appends a JSON string whose text needs no escape: ids, names (which hold letters, digits and `_-.: `), words of ours.
pub(crate) fn push_json_plain(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends a piece of a JSON string, escaped, without quotes.
pub(crate) fn push_json_within(out: &mut Vec<u8>, text: &str) {
    // Looked at as a whole, without a way out, so that the compiler takes sixteen bytes at a time.
    let needs_escape = text.bytes().fold(false, |needs, byte| needs | must_be_escaped(byte));
    if needs_escape {
        text.bytes().for_each(|byte| push_json_byte(out, byte));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

const fn must_be_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\') | (byte == 0x7f)
}

fn push_json_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ if must_be_escaped(byte) => {
            out.extend_from_slice(b"\\u00");
            let digits =
                [byte >> 4, byte & 0xf].map(|digit| HEX.get(usize::from(digit)).copied().unwrap_or(b'0'));
            out.extend_from_slice(&digits);
        }
        _ => out.push(byte),
    }
}

/// Appends a text as a header field value.
///
/// A field value can be anything visible in ASCII with blanks inside. Everything else, and `%` itself, is
/// percent-encoded from its UTF-8 bytes, so that the text comes back exactly by percent-decoding, and no text can
/// end its field. (Names of callers hold no `%`, so a name in ASCII goes as it is.)
pub(crate) fn push_header_value(out: &mut Vec<u8>, text: &str) {
    let last = text.len().wrapping_sub(1);
    for (place, byte) in text.bytes().enumerate() {
        let at_an_end = place == 0 || place == last;
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            0x21..=0x7e => out.push(byte),
            b' ' if !at_an_end => out.push(byte),
            _ => push_percent(out, byte),
        }
    }
}

/// Appends bytes as a name or value in a query: unreserved characters as they are, the rest percent-encoded.
pub(crate) fn push_query_value(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte),
            _ => push_percent(out, byte),
        }
    }
}

fn push_percent(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digits = [byte >> 4, byte & 0xf].map(|digit| HEX.get(usize::from(digit)).copied().unwrap_or(b'0'));
    out.push(b'%');
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 12_345, u64::MAX] {
            assert_eq!(written(|out| push_number(out, number)), number.to_string());
        }
    }

    #[test]
    fn addresses_are_written_as_std_writes_them() {
        for address in [
            "0.0.0.0",
            "127.0.0.1",
            "10.20.99.100",
            "255.255.255.255",
            "::1",
            "2001:db8::8",
            "::ffff:255.255.255.255",
            "1111:2222:3333:4444:5555:6666:7777:8888",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(AddressText::of(address).as_bytes(), address.to_string().as_bytes());
        }
    }

    #[test]
    fn json_strings_come_back_and_stay_on_one_line() {
        for text in ["", "plain", "a\"b\\c", "\r\n{\"status\":200}", "\u{1b}[31m", "\u{0}\u{7f}", "订单 é"]
        {
            let json = written(|out| push_json(out, text));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
            assert!(!json.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{json}");
        }
    }

    #[test]
    fn header_values_are_safe_and_decode_to_what_they_were() {
        for (text, expected) in [
            ("web shop", "web shop"),
            ("tier=gold;x", "tier=gold;x"),
            (" a ", "%20a%20"),
            ("50%", "50%25"),
            ("a\r\nX-Keyward-Account: b", "a%0D%0AX-Keyward-Account: b"),
            ("订", "%E8%AE%A2"),
            ("", ""),
        ] {
            assert_eq!(written(|out| push_header_value(out, text)), expected);
        }
    }
}
