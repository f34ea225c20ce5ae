//! Texts in which secrets are referred to: `Bearer $ref{name}`. Parsed once; a reference is never mistaken for plain text again.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::{ParseError, Plaintext};

/// The name of a secret: 1 to 64 of `A-Z a-z 0-9 _`. It never changes, because references stand by it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(Box<str>);

impl SecretName {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(ParseError::new(format!(
                "`{}` is not the name of a secret: it has 1 to {} of the characters A-Z a-z 0-9 _",
                text.chars().take(2 * Self::LENGTH_MAX).collect::<String>().escape_debug(),
                Self::LENGTH_MAX
            )))
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// A text that is secret, written out or with references to secrets in it.
///
/// In writing, `$ref{name}` is a reference and `$$` a dollar sign, so that `$$ref{x}` is the plain text `$ref{x}`.
/// `Debug` shows the references only.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Plain(Plaintext),
    Ref(SecretName),
}

impl Part {
    fn name(&self) -> Option<&SecretName> {
        match self {
            Self::Ref(name) => Some(name),
            Self::Plain(_) => None,
        }
    }
}

impl SecretText {
    /// Most different secrets that one text may refer to.
    pub const REFS_MAX: usize = 4;

    /// Reads what [`SecretText::written`] writes.
    ///
    /// # Errors
    /// A `$ref` that is not of the form `$ref{name}`, or too many of them.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, after) = rest.split_at(at);
            plain.push_str(before);
            if let Some(later) = after.strip_prefix("$$") {
                plain.push('$');
                rest = later;
            } else if let Some(later) = after.strip_prefix("$ref{") {
                let Some((name, later)) = later.split_once('}') else {
                    return Err(ParseError::new(
                        "a reference is not closed: write `$ref{name}`, or `$$ref{` for the plain text",
                    ));
                };
                if !plain.is_empty() {
                    parts.push(Part::Plain(Plaintext::new(std::mem::take(&mut plain))));
                }
                parts.push(Part::Ref(name.parse()?));
                rest = later;
            } else {
                plain.push('$');
                rest = after.get(1..).unwrap_or_default();
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Plain(Plaintext::new(plain)));
        }
        let text = Self { parts };
        if text.refs().len() > Self::REFS_MAX {
            return Err(ParseError::new(format!(
                "a text refers to at most {} secrets: put what belongs together into one",
                Self::REFS_MAX
            )));
        }
        Ok(text)
    }

    /// The secrets that it refers to, each once, by name.
    pub fn refs(&self) -> BTreeSet<&SecretName> {
        self.parts.iter().filter_map(Part::name).collect()
    }

    /// Does it refer to no secret?
    pub fn is_plain(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Ref(_)))
    }

    /// The text itself, if it refers to no secret.
    pub fn plain(&self) -> Option<&Plaintext> {
        match &*self.parts {
            [Part::Plain(plain)] => Some(plain),
            _ => None,
        }
    }

    /// The text with every reference replaced by what `value` says; the first name for which it says nothing is the error.
    ///
    /// # Errors
    /// See above. What a secret holds is taken as it is: a `$ref{…}` in it is plain text.
    pub fn resolve<'v>(
        &self,
        value: impl Fn(&SecretName) -> Option<&'v Plaintext>,
    ) -> Result<Plaintext, SecretName> {
        let mut resolved = zeroize::Zeroizing::new(String::new());
        for part in &self.parts {
            let piece = match part {
                Part::Plain(plain) => plain,
                Part::Ref(name) => value(name).ok_or_else(|| name.clone())?,
            };
            append(&mut resolved, piece.expose_secret());
        }
        Ok(Plaintext::new(std::mem::take(&mut *resolved)))
    }

    /// The text as it is written. Must not reach a log or a response unless it refers to a secret
    /// (what stands beside a reference is no secret, says the manual).
    pub fn written(&self) -> Plaintext {
        let mut written = zeroize::Zeroizing::new(String::new());
        for part in &self.parts {
            match part {
                Part::Plain(plain) => append(&mut written, &plain.expose_secret().replace('$', "$$")),
                Part::Ref(name) => append(&mut written, &format!("$ref{{{name}}}")),
            }
        }
        Plaintext::new(std::mem::take(&mut *written))
    }

    /// The text as it is written, if it refers to a secret: then it may be shown.
    pub fn shown(&self) -> Option<String> {
        (!self.is_plain()).then(|| self.written().expose_secret().to_owned())
    }
}

/// Appends without leaving a copy of what is there already behind in memory.
fn append(text: &mut zeroize::Zeroizing<String>, piece: &str) {
    if text.capacity() - text.len() < piece.len() {
        let mut larger = zeroize::Zeroizing::new(String::with_capacity((text.len() + piece.len()) * 2));
        larger.push_str(text);
        std::mem::swap(text, &mut larger);
    }
    text.push_str(piece);
}

impl From<Plaintext> for SecretText {
    fn from(plain: Plaintext) -> Self {
        Self { parts: vec![Part::Plain(plain)] }
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretText").field("refs", &self.refs()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refs(text: &str) -> Vec<String> {
        SecretText::parse(text).unwrap().refs().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_reference_is_found_where_it_stands() {
        assert_eq!(refs("$ref{a}"), ["a"]);
        assert_eq!(refs("Bearer $ref{b} and $ref{a}$ref{b}"), ["a", "b"]);
        for plain in ["", "a", "$", "$$ref{a}", "$re{a}", "$REF{a}", "${a}", "ref{a}", "$ ref{a}"] {
            assert!(refs(plain).is_empty(), "{plain}");
        }
        assert_eq!(SecretText::parse("$$ref{a}").unwrap().plain().unwrap().expose_secret(), "$ref{a}");
    }

    #[test]
    fn what_only_looks_like_a_reference_is_refused() {
        for wrong in [
            "$ref{",
            "$ref{}",
            "$ref{a",
            "$ref{$ref{a}}",
            "$ref{../T2/x}",
            "$ref{T2:x}",
            "$ref{a b}",
            "$ref{ä}",
            "$ref{a}$ref{b}$ref{c}$ref{d}$ref{e}",
            &format!("$ref{{{}}}", "a".repeat(65)),
        ] {
            assert!(SecretText::parse(wrong).is_err(), "{wrong}");
        }
        assert!(SecretText::parse(&"$ref{a}".repeat(100)).is_ok());
    }

    #[test]
    fn resolving_takes_a_value_as_it_is() {
        let (a, b) = (Plaintext::new("$ref{b}$$"), Plaintext::new("B"));
        let value = |name: &SecretName| match name.as_str() {
            "a" => Some(&a),
            "b" => Some(&b),
            _ => None,
        };
        let text = SecretText::parse("x$ref{a}y$$$ref{b}").unwrap();
        assert_eq!(text.resolve(value).unwrap().expose_secret(), "x$ref{b}$$y$B");
        let unknown = SecretText::parse("$ref{a}$ref{c}").unwrap().resolve(value);
        assert_eq!(unknown.unwrap_err().as_str(), "c");
    }

    #[test]
    fn neither_debug_nor_what_is_shown_has_a_plain_secret() {
        let plain = SecretText::from(Plaintext::new("hunter2-hunter2"));
        assert!(!format!("{plain:?}").contains("hunter2"));
        assert_eq!(plain.shown(), None);
        assert_eq!(SecretText::parse("Bearer $ref{a}").unwrap().shown().unwrap(), "Bearer $ref{a}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in r"(\$|\{|\}|ref|[a-z_]|\$ref\{[a-c]\}| ){0,12}") {
            if let Ok(parsed) = SecretText::parse(&text) {
                let written = parsed.written();
                prop_assert_eq!(&SecretText::parse(written.expose_secret()).unwrap(), &parsed);
            }
        }

        #[test]
        fn plain_text_stays_plain(text in any::<String>()) {
            let plain = SecretText::from(Plaintext::new(text.clone()));
            let back = SecretText::parse(plain.written().expose_secret()).unwrap();
            prop_assert_eq!(back.plain().unwrap().expose_secret(), text);
        }
    }
}
