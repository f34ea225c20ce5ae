//! Bytes in base64, read strictly: one text for each value, and no other.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// A signature as it was presented. Empty where it could not be decoded: then it matches nothing.
#[derive(Clone, Copy)]
pub(super) struct Signature {
    bytes: [u8; Self::LENGTH_MAX],
    length: usize,
}

impl Signature {
    /// Longest HMAC, that of SHA-512.
    const LENGTH_MAX: usize = 64;

    /// Standard alphabet, padded, no blanks, no stray bits in the last character; and not hexadecimal, which can look like it.
    pub(super) fn decode(text: &[u8]) -> Self {
        if text.iter().all(u8::is_ascii_hexdigit) {
            return Self::from_bytes(&[]);
        }
        // Three bytes to four characters: 88 characters are at most 66 bytes.
        let mut bytes = [0; Self::LENGTH_MAX + 2];
        match STANDARD.decode_slice(text, &mut bytes) {
            Ok(length) => Self::from_bytes(bytes.get(..length).unwrap_or_default()),
            Err(_) => Self::from_bytes(&[]),
        }
    }

    /// These bytes; none at all if they are too many.
    pub(super) fn from_bytes(given: &[u8]) -> Self {
        let mut bytes = [0; Self::LENGTH_MAX];
        let given = if given.len() > Self::LENGTH_MAX { &[] } else { given };
        bytes.iter_mut().zip(given).for_each(|(to, from)| *to = *from);
        Self { bytes, length: given.len() }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

/// The MD5 of a body. Both vendors prescribe it for `Content-MD5`; it is no security of its own, for the signature
/// covers it, but who can sign can also make two bodies with one MD5.
pub(super) fn md5_of(body: &[u8]) -> [u8; 16] {
    Md5::digest(body).into()
}

/// The form of a `Content-MD5` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Md5Form {
    /// Base64 of the 16 bytes: RFC 1864, and Alibaba's form.
    Raw,
    /// Base64 of the 32 hexadecimal digits: Tencent's form.
    HexBase64,
    /// The 32 hexadecimal digits themselves: nobody's form, and a frequent mistake.
    Hex,
}

impl Md5Form {
    pub(super) fn write(self, md5: [u8; 16]) -> String {
        match self {
            Self::Raw => STANDARD.encode(md5),
            Self::HexBase64 => STANDARD.encode(hex(md5)),
            Self::Hex => hex(md5),
        }
    }

    /// The MD5 that stands in this form.
    pub(super) fn read(self, text: &[u8]) -> Option<[u8; 16]> {
        match self {
            Self::Raw => STANDARD.decode(text).ok()?.try_into().ok(),
            Self::HexBase64 => {
                let digits = STANDARD.decode(text).ok()?;
                let lower_case = !digits.iter().any(u8::is_ascii_uppercase);
                from_hex(&digits).filter(|_| lower_case)
            }
            Self::Hex => from_hex(text),
        }
    }
}

fn hex(md5: [u8; 16]) -> String {
    use std::fmt::Write as _;
    md5.iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &[u8]) -> Option<[u8; 16]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != 16 || !rest.is_empty() {
        return None;
    }
    let mut md5 = [0; 16];
    for (byte, [high, low]) in md5.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(md5)
}

/// The value of a hexadecimal digit.
pub(super) fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_has_one_spelling() {
        let bytes: Vec<u8> = (100..132).collect();
        let text = STANDARD.encode(&bytes);
        assert_eq!(Signature::decode(text.as_bytes()).as_bytes(), bytes);
        let unpadded = text.trim_end_matches('=');
        let mut stray = unpadded.to_owned();
        let last = stray.pop().unwrap();
        stray.push(char::from(last as u8 + 1));
        let wrong = [
            String::new(),
            unpadded.to_owned(),
            format!("{stray}="),
            format!("{text}="),
            format!(" {text}"),
            format!("{text}\n"),
            text.replace('+', "-").replace('/', "_") + "_",
            hex([7; 16]) + &hex([8; 16]) + "00",
            "A".repeat(5000),
        ];
        for wrong in wrong {
            assert_ne!(Signature::decode(wrong.as_bytes()).as_bytes(), bytes, "{wrong}");
        }
    }

    #[test]
    fn each_form_of_an_md5_reads_back() {
        let md5 = md5_of(b"{\"v\":1}");
        assert_eq!(Md5Form::Raw.write(md5), "oZFHWuK/fbnH4yD32kVbuw==");
        for form in [Md5Form::Raw, Md5Form::HexBase64, Md5Form::Hex] {
            assert_eq!(form.read(form.write(md5).as_bytes()), Some(md5));
            assert_eq!(form.read(b"not one"), None);
        }
    }
}
