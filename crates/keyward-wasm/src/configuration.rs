//! A plugin's configuration, with its secrets: handed to the guest, wiped on drop, shown to nobody.

use zeroize::Zeroizing;

/// A line of a secret of several lines is hidden by itself if it is at least this long.
const LINE_MIN: usize = 8;

/// What the guest reads in `proxy_on_configure`, references already resolved, and the secrets among it.
///
/// The bytes are wiped when it is dropped. `Debug` shows their number only.
pub struct Configuration {
    bytes: Zeroizing<Vec<u8>>,
    /// Every form in which a secret might be written into a log, the longest first.
    hidden: Vec<Zeroizing<Vec<u8>>>,
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
        Self { bytes: Zeroizing::new(bytes), hidden }
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

/// As JSON writes it inside a string, and its long lines one by one.
fn forms(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![Zeroizing::new(in_json(secret))];
    if secret.contains(&b'\n') {
        let lines = secret.split(|byte| matches!(byte, b'\n' | b'\r'));
        forms.extend(lines.filter(|line| line.len() >= LINE_MIN).map(|line| Zeroizing::new(line.to_vec())));
    }
    forms
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
    fn debug_shows_no_byte_of_it() {
        let configuration = Configuration::new(b"token=s3cret".to_vec(), [b"s3cret".to_vec()]);
        assert_eq!(format!("{configuration:?}"), "Configuration(12 bytes)");
    }
}
