//! Names and other short texts, parsed once.

use std::fmt;
use std::str::FromStr;

/// What is wrong with a text that should have been parsed, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

impl ParseError {
    /// An error with this text: lower case, no full stop, the offending value in backticks.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// The name of an object: 1 to 128 characters, letters and digits of any script and `_ - . :` within, unique per account and noun.
///
/// Blanks are allowed inside, never at the ends; control characters never.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&crate::SecretName> for Name {
    /// Every name of a secret is one.
    fn from(name: &crate::SecretName) -> Self {
        Self(name.as_str().into())
    }
}

impl FromStr for Name {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let length = text.chars().count();
        if length == 0 || length > Self::LENGTH_MAX {
            return Err(ParseError::new(format!(
                "a name has 1 to {} characters, this one has {length}",
                Self::LENGTH_MAX
            )));
        }
        if text.trim() != text {
            return Err(ParseError::new(format!(
                "`{text}` is not a name: it must not start or end with a blank"
            )));
        }
        match text.chars().find(|&c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | ' '))) {
            Some(other) => Err(ParseError::new(format!(
                "`{}` is not a name: `{}` is not allowed; use letters, digits, `_`, `-`, `.`, `:` and blanks within",
                text.escape_debug(),
                other.escape_debug()
            ))),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// An AppKey: `[A-Za-z0-9_-]{1,128}`, unique over all accounts also when case is ignored, compared exactly.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppKey(Box<str>);

impl AppKey {
    /// The AppKey as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which AppKeys must be unique.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for AppKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(ParseError::new(format!(
                "`{}` is not an AppKey: it has 1 to 128 of the characters A-Z a-z 0-9 _ -",
                text.escape_debug()
            )))
        }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// The name of an HTTP header field: a token, kept in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is this the name of a field that the transport or the gateway owns, so that no one may take it
    /// as the place of a credential or of a parameter?
    pub fn is_reserved(&self) -> bool {
        const RESERVED: [&str; 11] = [
            "host",
            "cookie",
            "connection",
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authorization",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ];
        let name = self.as_str();
        RESERVED.contains(&name)
            || ["content-", "x-keyward-", "x-forwarded-"].iter().any(|owned| name.starts_with(owned))
            || matches!(name, "forwarded" | "expect" | "date" | "x-real-ip" | "set-cookie")
    }
}

impl FromStr for HeaderName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let token = (1..=256).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        if token {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(ParseError::new(format!(
                "`{}` is not a header name: use letters, digits and `-`",
                text.escape_debug()
            )))
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_clean() {
        for good in ["orders", "web shop", "订单", "a.b-c_d:e", &"x".repeat(128)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", " a", "a ", "a\nb", "a/b", "a\u{200b}b", &"x".repeat(129)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn app_keys_have_a_narrow_alphabet() {
        for good in ["203753385", "a-B_9"] {
            assert!(good.parse::<AppKey>().is_ok(), "{good}");
        }
        for bad in ["", "a b", " a", "a\u{200b}", "ａ", "a,b", &"x".repeat(129)] {
            assert!(bad.parse::<AppKey>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn header_names_are_lower_case_and_reserved_ones_known() {
        let name: HeaderName = "X-Api-Key".parse().unwrap();
        assert_eq!(name.as_str(), "x-api-key");
        assert!(!name.is_reserved());
        for reserved in ["Host", "Content-Type", "Cookie", "Transfer-Encoding", "X-Keyward-Account"] {
            assert!(reserved.parse::<HeaderName>().unwrap().is_reserved(), "{reserved}");
        }
        assert!("x y".parse::<HeaderName>().is_err());
    }
}
