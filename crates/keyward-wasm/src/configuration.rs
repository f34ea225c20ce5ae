//! A plugin's configuration, with its secrets: handed to the guest, wiped on drop, shown to nobody.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Secrets that are shorter, and lines of them, stand in anything: these are not looked for in encodings, nor in answers.
const LONG_MIN: usize = 8;

/// What the guest reads in `proxy_on_configure`, references already resolved, and the secrets among it.
///
/// The bytes are wiped when it is dropped. `Debug` shows their number only.
pub struct Configuration {
    bytes: Zeroizing<Vec<u8>>,
    /// Every form in which a secret might be written into a log, the longest first.
    hidden: Vec<Zeroizing<Vec<u8>>>,
    /// Those of them that do not stand in anything by chance.
    long: Vec<Zeroizing<Vec<u8>>>,
}

impl Configuration {
    /// `secrets` are the resolved values that `bytes` holds; they never appear in a log.
    pub fn new(bytes: Vec<u8>, secrets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut hidden = Vec::new();
        for secret in secrets {
            let secret = Zeroizing::new(secret);
            hidden.extend(forms(&secret));
            hidden.push(secret);
        }
        hidden.retain(|form| !form.is_empty());
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        hidden.dedup();
        let long = hidden.iter().filter(|form| form.len() >= LONG_MIN).cloned().collect();
        Self { bytes: Zeroizing::new(bytes), hidden, long }
    }

    /// The way out, for the guest alone.
    pub(crate) fn expose_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Replaces every secret in `text` by `***`.
    pub(crate) fn hide(&self, text: &mut Vec<u8>) {
        for form in &self.hidden {
            if memchr::memmem::find(text, form).is_some() {
                *text = replaced(text, form);
            }
        }
    }

    /// Length of the longest form of a secret.
    pub(crate) fn longest(&self) -> usize {
        self.hidden.first().map_or(0, |form| form.len())
    }

    /// Whether `text` holds a secret that is not in anything by chance.
    pub(crate) fn is_shown_by(&self, text: &[u8]) -> bool {
        self.long.iter().any(|form| memchr::memmem::find(text, form).is_some())
    }

    /// Whether `text` holds a secret.
    pub(crate) fn is_told_by(&self, text: &[u8]) -> bool {
        self.hidden.iter().any(|form| memchr::memmem::find(text, form).is_some())
    }
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Configuration({} bytes)", self.bytes.len())
    }
}

/// As JSON writes it inside a string; where it is long, its long lines one by one, and in the encodings that texts are put in.
fn forms(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![Zeroizing::new(in_json(secret))];
    if secret.len() < LONG_MIN {
        return forms;
    }
    forms.extend(encoded(secret));
    if secret.contains(&b'\n') {
        let lines = secret.split(|byte| matches!(byte, b'\n' | b'\r'));
        for line in lines.filter(|line| line.len() >= LONG_MIN) {
            forms.push(Zeroizing::new(line.to_vec()));
            forms.extend(encoded(line));
        }
    }
    forms
}

/// In base64, in hexadecimal digits, and percent-encoded.
fn encoded(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let digits = |upper: bool, byte: &u8| match upper {
        true => format!("{byte:02X}"),
        false => format!("{byte:02x}"),
    };
    let mut forms: Vec<String> =
        [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|engine| engine.encode(secret)).into();
    // Within something longer, by where it stands there.
    for before in 0..3 {
        forms.extend([STANDARD_NO_PAD, URL_SAFE_NO_PAD].map(|engine| within_base64(&engine, secret, before)));
    }
    for upper in [false, true] {
        forms.push(secret.iter().map(|byte| digits(upper, byte)).collect());
        forms.push(secret.iter().map(|byte| format!("%{}", digits(upper, byte))).collect());
        for plain in [&b"-_.~"[..], b"-_.!~*'()", b"*-._ ", b"-_.~/"] {
            forms.push(percent(secret, plain, |byte| digits(upper, byte)));
        }
    }
    forms.into_iter().map(|form| Zeroizing::new(form.into_bytes())).collect()
}

/// The characters of base64 that are the secret's alone, where `before` bytes stand before it.
fn within_base64(engine: &impl base64::Engine, secret: &[u8], before: usize) -> String {
    let padded = Zeroizing::new([[0; 3].get(..before).unwrap_or_default(), secret].concat());
    let text = Zeroizing::new(engine.encode(&padded));
    let (first, end) = ((before * 8).div_ceil(6), (before + secret.len()) * 8 / 6);
    text.get(first..end).unwrap_or_default().to_owned()
}

/// As in addresses and forms; a blank that is `plain` is written as `+`.
fn percent(secret: &[u8], plain: &[u8], digits: impl Fn(&u8) -> String) -> String {
    let piece = |byte: &u8| match byte {
        b' ' if plain.contains(byte) => "+".to_owned(),
        _ if byte.is_ascii_alphanumeric() || plain.contains(byte) => char::from(*byte).to_string(),
        _ => format!("%{}", digits(byte)),
    };
    secret.iter().map(piece).collect()
}

fn in_json(secret: &[u8]) -> Vec<u8> {
    // Reserved in full, so that no half-written copy is left behind by growing.
    let mut text = Vec::with_capacity(secret.len() * 6);
    for byte in secret {
        match byte {
            b'"' => text.extend(b"\\\""),
            b'\\' => text.extend(b"\\\\"),
            b'\n' => text.extend(b"\\n"),
            b'\r' => text.extend(b"\\r"),
            b'\t' => text.extend(b"\\t"),
            0x08 => text.extend(b"\\b"),
            0x0c => text.extend(b"\\f"),
            0..0x20 => text.extend(format!("\\u{byte:04x}").bytes()),
            _ => text.push(*byte),
        }
    }
    text
}

fn replaced(text: &[u8], form: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = around(rest, form) {
        clean.extend_from_slice(before);
        clean.extend_from_slice(b"***");
        rest = after;
    }
    clean.extend_from_slice(rest);
    clean
}

fn around<'t>(text: &'t [u8], form: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memchr::memmem::find(text, form)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(form.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(secrets: &[&str], text: &str) -> String {
        let configuration = Configuration::new(Vec::new(), secrets.iter().map(|s| s.as_bytes().to_vec()));
        let mut text = text.as_bytes().to_vec();
        configuration.hide(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_secret_is_hidden_wherever_it_stands() {
        assert_eq!(hidden(&["s3cret"], "a=s3cret;b=s3crets3cret"), "a=***;b=******");
        assert_eq!(hidden(&[], "a=s3cret"), "a=s3cret");
        assert_eq!(hidden(&[""], "a=s3cret"), "a=s3cret", "an empty secret hides nothing");
    }

    #[test]
    fn the_longer_of_two_that_overlap_goes_first() {
        assert_eq!(hidden(&["abc", "abcdef"], "xabcdefx abc"), "x***x ***");
    }

    #[test]
    fn a_secret_is_hidden_as_json_writes_it_too() {
        assert_eq!(hidden(&["a\"b\\c\n\u{1}"], r#"{"t":"a\"b\\c\n\u0001"}"#), r#"{"t":"***"}"#);
    }

    #[test]
    fn each_long_line_of_a_secret_of_several_lines_is_hidden() {
        assert_eq!(hidden(&["-----BEGIN-----\nMIIBsecretline\n"], "read MIIBsecretline now"), "read *** now");
    }

    #[test]
    fn a_long_secret_is_hidden_in_its_encodings_too() {
        use base64::Engine as _;
        let secret = "s3cret+of ä/team";
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut texts = vec![
            "s3cret%2Bof%20%C3%A4%2Fteam".to_owned(),
            "s3cret%2bof%20%c3%a4%2fteam".to_owned(),
            "s3cret%2Bof+%C3%A4%2Fteam".to_owned(),
            "s3cret%2Bof%20%C3%A4/team".to_owned(),
            hex.to_uppercase(),
            hex,
        ];
        for before in ["", "a", "ab", "user:"] {
            for after in ["", "z", "zz"] {
                let text = format!("{before}{secret}{after}");
                texts.extend([STANDARD, URL_SAFE_NO_PAD].map(|engine| engine.encode(&text)));
            }
        }
        for text in texts {
            let line = hidden(&[secret], &format!("<{text}>"));
            // At most what the bytes beside it share with it is left.
            assert!(line.contains("***") && line.len() <= 18, "{text}: {line}");
            let configuration = Configuration::new(Vec::new(), [secret.as_bytes().to_vec()]);
            assert!(configuration.is_shown_by(text.as_bytes()), "{text}");
        }
        assert_eq!(hidden(&["abc"], "616263 YWJj abc"), "616263 YWJj ***", "a short one is in anything");
        let short = Configuration::new(Vec::new(), [b"abc".to_vec()]);
        assert!(!short.is_shown_by(b"abcdef") && short.is_told_by(b"abcdef"));
    }

    #[test]
    fn debug_shows_no_byte_of_it() {
        let configuration = Configuration::new(b"token=s3cret".to_vec(), [b"s3cret".to_vec()]);
        assert_eq!(format!("{configuration:?}"), "Configuration(12 bytes)");
    }
}
