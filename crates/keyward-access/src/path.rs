//! The strict reading of a request's path.
//!
//! A path is decided on in one form: every escape decoded once. What a service might read as another path than the
//! one decided on (by decoding twice, by folding slashes or dots, by cutting parameters) is refused, never repaired,
//! and what is sent on is what came, byte for byte.

use std::borrow::Cow;

/// A path that can be read in one way only.
#[derive(Clone, Debug)]
pub(crate) struct RequestPath<'a> {
    /// As it came.
    raw: &'a str,
    /// Decoded. Has as many slashes as `raw`: an escape never stands for one.
    decoded: Cow<'a, str>,
    /// There is nothing in it that anybody could read in two ways.
    plain: bool,
}

impl<'a> RequestPath<'a> {
    /// Reads a path, or finds it ambiguous.
    pub(crate) fn parse(raw: &'a str) -> Option<Self> {
        if is_plain(raw) {
            return Some(Self { raw, decoded: Cow::Borrowed(raw), plain: true });
        }
        let decoded = if raw.contains('%') { Cow::Owned(decode(raw)?) } else { Cow::Borrowed(raw) };
        let visible = raw.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let sound = visible && raw.starts_with('/') && is_unambiguous(&decoded) && !hides_more(&decoded);
        sound.then_some(Self { raw, decoded, plain: false })
    }

    /// As it came.
    pub(crate) fn raw(&self) -> &'a str {
        self.raw
    }

    /// What checks compare.
    pub(crate) fn decoded(&self) -> &str {
        &self.decoded
    }

    /// Other paths that a service might read in it: its segments without their `;` parameters, its escapes decoded
    /// again. Empty for nearly every path.
    pub(crate) fn other_readings(&self) -> Vec<String> {
        let mut readings = Vec::new();
        if self.plain {
            return readings;
        }
        let mut level = Cow::Borrowed(&*self.decoded);
        loop {
            if level.contains(';') {
                readings.push(without_parameters(&level));
            }
            match decode_leniently(&level) {
                Again::Text(next) if readings.len() <= 2 * REPEATED_ESCAPES_MAX => {
                    readings.push(next.clone());
                    level = Cow::Owned(next);
                }
                _ => return readings,
            }
        }
    }

    /// What follows the first `segments` segments, as it came: empty, or from a slash on.
    pub(crate) fn raw_after(&self, segments: usize) -> &'a str {
        after(self.raw, segments)
    }

    /// What follows the first `segments` segments, decoded.
    pub(crate) fn decoded_after(&self, segments: usize) -> &str {
        after(&self.decoded, segments)
    }
}

/// What follows the first `segments` segments of `path`.
fn after(path: &str, segments: usize) -> &str {
    let mut slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
    let end = slashes.nth(segments).unwrap_or(path.len());
    path.get(end..).unwrap_or_default()
}

/// Is there nothing in it that anybody could read in two ways? Nearly every path is like this; the others are looked at
/// more closely.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.starts_with('/')
        && path.bytes().all(|byte| {
            let starts_segment = before == b'/';
            before = byte;
            byte.is_ascii_graphic()
                && !matches!(byte, b'%' | b';' | b'#' | b'\\')
                && !(starts_segment && matches!(byte, b'.' | b'/'))
        })
}

/// The texts between slashes: one more than there are slashes.
#[derive(Clone, Debug)]
pub(crate) struct Segments<'p>(Option<&'p str>);

impl<'p> Segments<'p> {
    /// Of a path: what follows its first slash, divided.
    pub(crate) fn of(path: &'p str) -> Self {
        Self(path.strip_prefix('/'))
    }

    /// Of a path below a base path: none for the base path itself, with or without a slash behind it.
    pub(crate) fn below(path: &'p str) -> Self {
        Self(path.strip_prefix('/').filter(|rest| !rest.is_empty()))
    }
}

impl<'p> Iterator for Segments<'p> {
    type Item = &'p str;

    #[inline]
    fn next(&mut self) -> Option<&'p str> {
        let rest = self.0?;
        let divided = rest.bytes().position(|byte| byte == b'/').and_then(|at| rest.split_at_checked(at));
        let (segment, rest) = divided.map_or((rest, None), |(segment, rest)| (segment, rest.get(1..)));
        self.0 = rest;
        Some(segment)
    }
}

/// Decodes every escape once.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    let decoded = String::from_utf8(bytes).ok()?;
    let escaped_slash =
        decoded.bytes().filter(|b| *b == b'/').count() != text.bytes().filter(|b| *b == b'/').count();
    (!escaped_slash).then_some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn without_parameters(path: &str) -> String {
    let names = path.split('/').map(|segment| segment.split_once(';').map_or(segment, |(name, _)| name));
    names.collect::<Vec<_>>().join("/")
}

/// No segment that a reader could skip or step back over, nothing that another reader takes for a slash or an end.
fn is_unambiguous(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        // Path parameters are cut before the segment is looked at: services do so too.
        let name = segment.split_once(';').map_or(segment, |(name, _)| name);
        let last_and_empty = segment.is_empty() && segments.peek().is_none();
        if matches!(name, "." | "..") || (name.is_empty() && !last_and_empty) {
            return false;
        }
    }
    !path.chars().any(|c| c == '\\' || c.is_control())
}

/// How often an escape may be escaped again. More is refused: each level is another pass over the path.
const REPEATED_ESCAPES_MAX: usize = 4;

/// Would a service that decodes again (and again) read another path?
fn hides_more(decoded: &str) -> bool {
    let mut level = Cow::Borrowed(decoded);
    for _ in 0..REPEATED_ESCAPES_MAX {
        if !level.contains('%') {
            return false;
        }
        let next = match decode_leniently(&level) {
            Again::Same => return false,
            Again::Dangerous => return true,
            Again::Text(text) => text,
        };
        if !is_unambiguous(&next) {
            return true;
        }
        level = Cow::Owned(next);
    }
    true
}

enum Again {
    /// There is no escape in it.
    Same,
    /// A slash appears, or what is not UTF-8.
    Dangerous,
    Text(String),
}

/// Decodes what are escapes and leaves other percent signs as they are.
fn decode_leniently(text: &str) -> Again {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let mut found = false;
    while let [first, after @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        found |= escape.is_some();
        if escape == Some(b'/') {
            return Again::Dangerous;
        }
        bytes.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { rest.get(3..).unwrap_or_default() } else { after };
    }
    match String::from_utf8(bytes) {
        Ok(_) if !found => Again::Same,
        Ok(text) => Again::Text(text),
        Err(_) => Again::Dangerous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in [
            "",
            "orders",
            "*",
            "//",
            "//orders",
            "/orders//1",
            "/./a",
            "/a/.",
            "/a/..",
            "/a/../b",
            "/%2e%2e/a",
            "/a/%2E",
            "/a/.%2e/b",
            "/a/%252e%252e/b",
            "/a/%252e",
            "/a/%25252e%25252e/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%252fb",
            "/a%5cb",
            "/a\\b",
            "/a%255cb",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/a/.;/b",
            "/a/;/b",
            "/a/;x=1",
            "/a/..%3b/b",
            "/a/%2e%2e%3bx/b",
            "/a%00",
            "/a%2500",
            "/a%0ab",
            "/a%7f",
            "/a%c2%80",
            "/a%4",
            "/a%",
            "/a%zz",
            "/a%c0%af",
            "/a%ff",
            "/a%25c0%25af",
            "/a%2525252525252541",
            "/a#b",
            "/a b",
            "/a\u{e9}",
            "/a/..%5cb",
            "/a/..%255cb",
        ] {
            assert!(RequestPath::parse(path).is_none(), "{path}");
        }
    }

    #[test]
    fn other_paths_pass_as_they_came() {
        for (path, decoded) in [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/a/b.c", "/a/b.c"),
            ("/a/...", "/a/..."),
            ("/a/b;v=1/c", "/a/b;v=1/c"),
            ("/%E4%B8%AD%E6%96%87/a%20b", "/中文/a b"),
            ("/100%25", "/100%"),
            ("/100%25/x", "/100%/x"),
            ("/a%2541", "/a%41"),
            ("/x%3Acancel", "/x:cancel"),
            ("/a%2eb", "/a.b"),
            ("/~!$&'()*+,=:@", "/~!$&'()*+,=:@"),
        ] {
            let read = RequestPath::parse(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((read.raw(), read.decoded()), (path, decoded));
        }
    }

    #[test]
    fn other_readings_are_told() {
        for (path, readings) in [
            ("/a/b", &[][..]),
            ("/a%20b/100%25", &[]),
            ("/a/b;v=1/c;", &["/a/b/c"]),
            ("/a/%3bb;c", &[]),
            ("/a%2541", &["/aA"]),
            ("/a%2541;x%253by", &["/a%41", "/aA;x;y", "/aA"]),
        ] {
            let read = RequestPath::parse(path).map(|path| path.other_readings());
            assert_eq!(read.unwrap_or_default(), readings, "{path}");
        }
    }

    #[test]
    fn both_forms_are_cut_at_the_same_segment() {
        let path = RequestPath::parse("/a%41/b%20c/d").unwrap();
        assert_eq!([0, 1, 2, 3, 4].map(|n| path.raw_after(n)), ["/a%41/b%20c/d", "/b%20c/d", "/d", "", ""]);
        assert_eq!([0, 1, 2, 3, 4].map(|n| path.decoded_after(n)), ["/aA/b c/d", "/b c/d", "/d", "", ""]);
    }
}
