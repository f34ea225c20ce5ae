//! Hosts, base paths and path templates: what a request is matched against.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// A host that an API answers to: `api.example.com`, or `*.example.com` for every name below.
///
/// Kept in lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host alone.
    Exact(Box<str>),
    /// Every host that ends in this suffix, which starts with a dot.
    Wildcard(Box<str>),
}

impl FromStr for HostPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            ParseError::new(format!(
                "`{}` is not a host: write `api.example.com`, an IP address, or `*.example.com`, without port",
                text.escape_debug()
            ))
        };
        let lower = text.to_ascii_lowercase();
        let (wildcard, host) = match lower.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, lower.as_str()),
        };
        let host_is_ip = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        let host_ok = host.len() <= 253 && host.split('.').all(label_ok);
        match (wildcard, host_is_ip || host_ok) {
            (true, true) if !host_is_ip => Ok(Self::Wildcard(format!(".{host}").into())),
            (false, true) => Ok(Self::Exact(host.into())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// The part of the path that an API begins at: empty for the root, else `/a` or `/a/b`, without a trailing slash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BasePath(Box<str>);

impl BasePath {
    /// The base path; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows this base path in `path`, if it lies on or below it on a path boundary.
    ///
    /// The rest is empty or starts with `/`.
    pub fn strip<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for BasePath {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        if !text.starts_with('/') {
            return Err(ParseError::new(format!(
                "`{}` is not a path: it must start with `/`",
                text.escape_debug()
            )));
        }
        for segment in trimmed.split('/').skip(1) {
            literal_segment(segment, text)?;
        }
        Ok(Self(trimmed.into()))
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl fmt::Debug for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// A path below an API's base path, in which `{name}` stands for exactly one segment.
///
/// `/` is the base path itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathTemplate {
    segments: Box<[Segment]>,
}

/// One segment of a [`PathTemplate`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// These characters.
    Literal(Box<str>),
    /// Any one segment that is not empty. The name is for people.
    Parameter(Box<str>),
}

impl PathTemplate {
    /// The segments; none for `/`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Does `path` (empty or starting with `/`, undecoded) have this form?
    pub fn matches(&self, path: &str) -> bool {
        let path = if path.is_empty() { "/" } else { path };
        if self.segments.is_empty() {
            return path == "/";
        }
        let mut given = path.split('/').skip(1);
        let all = self.segments.iter().all(|segment| match (segment, given.next()) {
            (Segment::Literal(literal), Some(text)) => **literal == *text,
            (Segment::Parameter(_), Some(text)) => !text.is_empty(),
            (_, None) => false,
        });
        all && given.next().is_none()
    }

    /// Is this one, wherever both match, at least as narrow as `other`: a literal where `other` has one?
    ///
    /// Names of parameters do not count.
    pub fn is_within(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(other.segments.iter()).all(|(ours, theirs)| match (ours, theirs) {
                (_, Segment::Parameter(_)) => true,
                (Segment::Literal(ours), Segment::Literal(theirs)) => ours == theirs,
                (Segment::Parameter(_), Segment::Literal(_)) => false,
            })
    }
}

impl FromStr for PathTemplate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if !text.starts_with('/') {
            return Err(ParseError::new(format!(
                "`{}` is not a path template: it must start with `/`",
                text.escape_debug()
            )));
        }
        if text == "/" {
            return Ok(Self { segments: Box::default() });
        }
        let segments =
            text.split('/').skip(1).map(|segment| parse_segment(segment, text)).collect::<Result<_, _>>()?;
        Ok(Self { segments })
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(literal) => write!(f, "/{literal}"),
            Segment::Parameter(name) => write!(f, "/{{{name}}}"),
        })
    }
}

impl fmt::Debug for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

fn parse_segment(segment: &str, whole: &str) -> Result<Segment, ParseError> {
    match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name)
            if !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) =>
        {
            Ok(Segment::Parameter(name.into()))
        }
        Some(name) => Err(ParseError::new(format!(
            "`{{{}}}` in `{}` is not a parameter: its name has letters, digits, `_` and `-`",
            name.escape_debug(),
            whole.escape_debug()
        ))),
        None => literal_segment(segment, whole).map(|()| Segment::Literal(segment.into())),
    }
}

/// Literals are compared undecoded, so they may hold only what needs no escape in a path.
fn literal_segment(segment: &str, whole: &str) -> Result<(), ParseError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@%".contains(&b);
    if segment.contains('%') && !is_reachable(segment) {
        return Err(ParseError::new(format!(
            "`{}` in `{}` is not a path segment: no request reaches it, for an escape is two hexadecimal digits, is UTF-8 \
             and never stands for a slash, a backslash, a control character, `.` or `..`",
            segment.escape_debug(),
            whole.escape_debug()
        )));
    }
    if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(plain) {
        return Err(ParseError::new(format!(
            "`{}` in `{}` is not a path segment: it must not be empty, `.` or `..`, and other characters than \
             letters, digits and -._~!$&'()*+,=:@ must be percent-encoded",
            segment.escape_debug(),
            whole.escape_debug()
        )));
    }
    Ok(())
}

/// Can a request name it? One whose escapes could be read in two ways is refused before any path is compared.
fn is_reachable(segment: &str) -> bool {
    let hex = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
    };
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => match (hex(rest.next()), hex(rest.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return false,
            },
            other => other,
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).is_ok_and(|text| {
        text != "." && text != ".." && !text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> PathTemplate {
        text.parse().unwrap()
    }

    #[test]
    fn a_base_path_ends_on_a_boundary() {
        let base: BasePath = "/orders/".parse().unwrap();
        assert_eq!(base.strip("/orders"), Some(""));
        assert_eq!(base.strip("/orders/1"), Some("/1"));
        assert_eq!(base.strip("/ordersx"), None);
        let root: BasePath = "/".parse().unwrap();
        assert_eq!(root.strip("/a"), Some("/a"));
        assert_eq!(root.to_string(), "/");
        assert!("orders".parse::<BasePath>().is_err());
        assert!("/a//b".parse::<BasePath>().is_err());
        for unreachable in ["/a%2fb", "/a%2Fb", "/%2e%2E", "/a%", "/a%4", "/a%zz", "/a%5c", "/a%00", "/a%ff"]
        {
            assert!(unreachable.parse::<BasePath>().is_err(), "{unreachable}");
            assert!(unreachable.parse::<PathTemplate>().is_err(), "{unreachable}");
        }
        for reachable in ["/%E4%B8%AD", "/a%20b", "/100%25"] {
            assert!(reachable.parse::<BasePath>().is_ok(), "{reachable}");
        }
    }

    #[test]
    fn a_template_matches_whole_segments() {
        assert!(template("/{id}").matches("/1"));
        assert!(!template("/{id}").matches("/"));
        assert!(!template("/{id}").matches("/1/2"));
        assert!(!template("/{id}").matches("/1/"));
        assert!(template("/").matches(""));
        assert!(template("/").matches("/"));
        assert!(template("/a/{x}/c").matches("/a/b/c"));
        assert!(!template("/a/{x}/c").matches("/a//c"));
    }

    #[test]
    fn narrowness_goes_by_literals() {
        assert!(template("/42").is_within(&template("/{id}")));
        assert!(template("/{a}").is_within(&template("/{b}")));
        assert!(!template("/{id}").is_within(&template("/admin")));
    }

    #[test]
    fn hosts_are_lower_case_and_without_port() {
        assert_eq!(
            "API.Example.com".parse::<HostPattern>().unwrap(),
            HostPattern::Exact("api.example.com".into())
        );
        assert_eq!(
            "*.example.com".parse::<HostPattern>().unwrap(),
            HostPattern::Wildcard(".example.com".into())
        );
        for bad in ["", "a:80", "a..b", "*", "a/b", "*.[::1]", "a."] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }
}
