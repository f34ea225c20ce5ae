//! Operations: what a grant may narrow to.

use std::fmt;
use std::str::FromStr;

use crate::{ParseError, PathTemplate};

/// An HTTP method: upper-case letters, compared exactly.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(Box<str>);

impl Method {
    /// The method as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Method {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let letters =
            (1..=24).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        if letters {
            Ok(Self(text.into()))
        } else {
            Err(ParseError::new(format!("`{}` is not a method: write it like `GET`", text.escape_debug())))
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One operation of an API of kind rest: a method and a path below the base path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operation {
    /// The method; absent: every method.
    pub method: Option<Method>,
    /// The path below the base path.
    pub path: PathTemplate,
}

impl Operation {
    /// Is a request of this method and path (below the base path, undecoded) this operation?
    pub fn matches(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|ours| ours.as_str() == method) && self.path.matches(path)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Some(method) => write!(f, "{method} {}", self.path),
            None => write!(f, "* {}", self.path),
        }
    }
}
