//! One request head: parsed once, strictly, into an array on the stack.

use memchr::memchr;

use crate::handler::{BodyLength, Field, Head, Refused};
use crate::limits::{FIELDS_MAX, Limits};

use super::fields::{FieldSpace, ends_in_crlf, is_token, list, signature, trim};
use super::framing::{Coding, content_length, transfer_coding};
use super::host::{Authority, HostScratch};

/// The field lines of nearly every request; more of them take a second attempt with more room.
const FEW: usize = 32;

/// The bounds that a head is parsed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) head_bytes: usize,
    pub(crate) target_bytes: usize,
    pub(crate) fields: usize,
    pub(crate) body_bytes: u64,
}

impl From<&Limits> for HeadLimits {
    fn from(limits: &Limits) -> Self {
        let Limits { head_bytes, target_bytes, fields, body_bytes, .. } = *limits;
        Self { head_bytes, target_bytes, fields: fields.min(FIELDS_MAX), body_bytes }
    }
}

/// What a head says about its connection, beside what [`Head`] tells the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The client wants to go on using the connection.
    pub(crate) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// HTTP/1.0.
    pub(crate) http10: bool,
    /// The answer has no body, whatever it says.
    pub(crate) is_head: bool,
    /// POST, PUT or PATCH: a missing body is told as `Content-Length: 0`.
    pub(crate) usually_has_body: bool,
    /// `OPTIONS *`: it asks the server itself and is answered here.
    pub(crate) asks_server: bool,
    /// How the body is framed.
    pub(crate) body: BodyLength,
}

/// Parses the head that `bytes` starts with and hands it to `then`, together with what follows it. `None` if it is not
/// complete yet.
///
/// # Errors
/// What the message has to be refused with.
pub(crate) fn read_request<R>(
    bytes: &[u8],
    limits: &HeadLimits,
    then: impl FnOnce(&Head<'_>, &Facts, &[u8]) -> R,
) -> Result<Option<R>, Refused> {
    match attempt::<FEW, _, _>(bytes, limits, then) {
        Attempt::Done(result) => result,
        Attempt::MoreFields(then) => match attempt::<FIELDS_MAX, _, _>(bytes, limits, then) {
            Attempt::Done(result) => result,
            Attempt::MoreFields(_) => Err(Refused::HeadTooLarge),
        },
    }
}

enum Attempt<R, F> {
    Done(Result<Option<R>, Refused>),
    MoreFields(F),
}

fn attempt<const N: usize, R, F>(bytes: &[u8], limits: &HeadLimits, then: F) -> Attempt<R, F>
where
    F: FnOnce(&Head<'_>, &Facts, &[u8]) -> R,
{
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        // The parser would pass over any number of them.
        return Attempt::Done(Err(Refused::Malformed("an empty line where a request line belongs")));
    }
    let mut space = FieldSpace::<N>::new();
    let mut parsed = httparse::Request::new(&mut []);
    let end = match parsed.parse_with_uninit_headers(bytes, &mut space.raw) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Attempt::Done(Ok(None)),
        Err(httparse::Error::TooManyHeaders) => return Attempt::MoreFields(then),
        Err(error) => return Attempt::Done(Err(refuse_unparsed(bytes, error))),
    };
    if !ends_in_crlf(bytes, end, parsed.headers) {
        return Attempt::Done(Err(Refused::Malformed("a line does not end in CRLF")));
    }
    if parsed.headers.len() > limits.fields || end > limits.head_bytes {
        return Attempt::Done(Err(Refused::HeadTooLarge));
    }
    let mut lines = Lines::default();
    for raw in parsed.headers.iter() {
        let field = Field { name: raw.name, value: trim(raw.value) };
        if let Err(refused) = lines.note(&field) {
            return Attempt::Done(Err(refused));
        }
        space.fields.push(field);
    }
    let line = RequestLine {
        method: parsed.method.unwrap_or_default(),
        target: parsed.path.unwrap_or_default(),
        http10: parsed.version == Some(0),
    };
    let rest = bytes.get(end..).unwrap_or_default();
    Attempt::Done(judge(&line, &lines, &space.fields, limits, |head, facts| Some(then(head, facts, rest))))
}

fn refuse_unparsed(bytes: &[u8], error: httparse::Error) -> Refused {
    match error {
        httparse::Error::HeaderName => Refused::Malformed("a field name is not a token"),
        httparse::Error::HeaderValue => Refused::Malformed("a field value holds a control character"),
        httparse::Error::NewLine => Refused::Malformed("a line does not end in CRLF"),
        httparse::Error::Version if has_other_version(bytes) => Refused::VersionUnsupported,
        httparse::Error::Version => Refused::Malformed("the version is not HTTP/1.1 or HTTP/1.0"),
        _ => Refused::Malformed("the request line is not method, target and version"),
    }
}

/// Whether the request line ends in a well-formed version that is not spoken here.
fn has_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
        && line.iter().filter(|b| **b == b' ').count() == 2
}

struct RequestLine<'b> {
    method: &'b str,
    target: &'b str,
    http10: bool,
}

/// The field lines that steer the transport, gathered while all of them are copied.
#[derive(Default)]
struct Lines<'b> {
    host: Option<&'b [u8]>,
    content_length: Option<u64>,
    coding: Option<Coding>,
    expects_continue: bool,
    close: bool,
    keep_alive: bool,
    /// How many names `connection` holds.
    options: usize,
}

/// Most names that `connection` may hold: every field of the head is compared with each of them.
const CONNECTION_OPTIONS_MAX: usize = 64;

impl<'b> Lines<'b> {
    #[inline]
    fn note(&mut self, field: &Field<'b>) -> Result<(), Refused> {
        // Length and first letter tell nearly all other names apart at once.
        match signature(field.name) {
            (4, b'h')
                if field.name.eq_ignore_ascii_case("host") && self.host.replace(field.value).is_some() =>
            {
                return Err(Refused::Malformed("more than one host field"));
            }
            (6, b'e') if field.name.eq_ignore_ascii_case("expect") => {
                if !field.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refused::ExpectationFailed);
                }
                self.expects_continue = true;
            }
            (10, b'c') if field.name.eq_ignore_ascii_case("connection") => {
                self.note_connection(field.value)?
            }
            (14, b'c') if field.name.eq_ignore_ascii_case("content-length") => {
                let length = content_length(field.value).map_err(Refused::Malformed)?;
                if self.content_length.replace(length).is_some() {
                    return Err(Refused::Malformed("more than one content-length field"));
                }
            }
            (17, b't')
                if field.name.eq_ignore_ascii_case("transfer-encoding")
                    && self.coding.replace(transfer_coding(field.value)).is_some() =>
            {
                return Err(Refused::Malformed("more than one transfer-encoding field"));
            }
            (14, b'c') if is_spelled_like(field.name, "content-length") => {
                return Err(Refused::Malformed("content-length is spelled in another way"));
            }
            (17, b't') if is_spelled_like(field.name, "transfer-encoding") => {
                return Err(Refused::Malformed("transfer-encoding is spelled in another way"));
            }
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), Refused> {
        for option in list(value) {
            self.options += 1;
            if self.options > CONNECTION_OPTIONS_MAX {
                return Err(Refused::Malformed("connection names too many fields"));
            }
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if !is_token(option) {
                return Err(Refused::Malformed("connection holds something that is not a token"));
            }
        }
        Ok(())
    }

    fn body(&self, http10: bool, limits: &HeadLimits) -> Result<BodyLength, Refused> {
        match (self.coding, self.content_length) {
            (None, None) => Ok(BodyLength::None),
            (None, Some(length)) if length > limits.body_bytes => Err(Refused::BodyTooLarge),
            (None, Some(length)) => Ok(BodyLength::Known(length)),
            (Some(_), Some(_)) => Err(Refused::Malformed("both transfer-encoding and content-length")),
            (Some(_), None) if http10 => Err(Refused::Malformed("transfer-encoding in HTTP/1.0")),
            (Some(Coding::Chunked), None) => Ok(BodyLength::Chunked),
            (Some(Coding::Unsupported), None) => Err(Refused::CodingUnsupported),
            (Some(Coding::Malformed), None) => {
                Err(Refused::Malformed("transfer-encoding is not exactly `chunked`"))
            }
        }
    }
}

/// Is it this name only to a server that takes `_` and `.` for `-`? About framing nobody may be of two minds.
fn is_spelled_like(name: &str, framing: &str) -> bool {
    if name.eq_ignore_ascii_case(framing) {
        return false;
    }
    let folded = name.bytes().map(|byte| if matches!(byte, b'_' | b'.') { b'-' } else { byte });
    folded.map(|byte| byte.to_ascii_lowercase()).eq(framing.bytes())
}

fn judge<R>(
    line: &RequestLine<'_>,
    lines: &Lines<'_>,
    fields: &[Field<'_>],
    limits: &HeadLimits,
    then: impl FnOnce(&Head<'_>, &Facts) -> R,
) -> Result<R, Refused> {
    if line.target.len() > limits.target_bytes {
        return Err(Refused::TargetTooLong);
    }
    let body = lines.body(line.http10, limits)?;
    if matches!(line.method, "TRACE" | "CONNECT") {
        return Err(Refused::MethodRefused);
    }
    let raw_host = lines.host.ok_or(Refused::Malformed("no host field"))?;
    let raw_host = std::str::from_utf8(raw_host).map_err(|_| Refused::Malformed("host is not ASCII"))?;
    let authority = Authority::parse(raw_host).map_err(Refused::Malformed)?;
    let target = Target::parse(line, &authority).map_err(Refused::Malformed)?;
    let mut scratch = HostScratch::new();
    let head = Head {
        method: line.method,
        path: target.path,
        query: target.query,
        host: authority.lower(&mut scratch),
        authority: raw_host,
        fields,
        body,
        http10: line.http10,
    };
    let facts = Facts {
        keep_alive: !lines.close && (!line.http10 || lines.keep_alive),
        expects_continue: lines.expects_continue && !line.http10,
        http10: line.http10,
        is_head: line.method == "HEAD",
        usually_has_body: matches!(line.method, "POST" | "PUT" | "PATCH"),
        asks_server: target.path == "*",
        body,
    };
    Ok(then(&head, &facts))
}

struct Target<'b> {
    path: &'b str,
    query: Option<&'b str>,
}

impl<'b> Target<'b> {
    fn parse(line: &RequestLine<'b>, host: &Authority<'_>) -> Result<Self, &'static str> {
        // The parser has refused blanks and control characters. `#` never belongs into a target, and what follows it
        // would be read differently by different servers.
        if !line.target.is_ascii() || memchr(b'#', line.target.as_bytes()).is_some() {
            return Err("the target holds a fragment or a byte beyond ASCII");
        }
        if line.target.starts_with('/') {
            return Ok(Self::split(line.target));
        }
        if line.target == "*" {
            let fine = line.method == "OPTIONS";
            return if fine {
                Ok(Self { path: "*", query: None })
            } else {
                Err("`*` is a target of OPTIONS only")
            };
        }
        Self::parse_absolute(line.target, host)
    }

    fn split(target: &'b str) -> Self {
        let mark = memchr(b'?', target.as_bytes()).unwrap_or(target.len());
        let (path, query) = target.split_at_checked(mark).unwrap_or((target, ""));
        Self { path, query: query.strip_prefix('?') }
    }

    fn parse_absolute(target: &'b str, host: &Authority<'_>) -> Result<Self, &'static str> {
        const FAULT: &str = "the target is neither a path nor an http URL";
        let (scheme, rest) = target.split_once("://").ok_or(FAULT)?;
        let default_port = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => 80,
            _ if scheme.eq_ignore_ascii_case("https") => 443,
            _ => return Err(FAULT),
        };
        let (authority, path) =
            rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).ok_or(FAULT)?;
        if !Authority::parse(authority)?.agrees(host, default_port) {
            return Err("the target's authority differs from host");
        }
        match path.as_bytes().first() {
            Some(b'/') => Ok(Self::split(path)),
            _ => Ok(Self { path: "/", query: path.strip_prefix('?') }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits =
        HeadLimits { head_bytes: 10_000, target_bytes: 100, fields: 100, body_bytes: 1000 };

    fn read<R>(head: &[u8], then: impl FnOnce(&Head<'_>, &Facts) -> R) -> Result<R, Refused> {
        let read = read_request(head, &LIMITS, |head, facts, rest| {
            assert!(rest.is_empty());
            then(head, facts)
        });
        read.map(|read| read.expect("the head is complete"))
    }

    fn facts(head: &str) -> Result<Facts, Refused> {
        read(head.as_bytes(), |_, facts| *facts)
    }

    fn shown(head: &str) -> Result<String, Refused> {
        read(head.as_bytes(), |h, _| {
            format!("{} {} {:?} {} {} {}", h.method, h.path, h.query, h.host, h.authority, h.fields.len())
        })
    }

    #[test]
    fn reads_targets_in_both_forms() {
        for (head, expected) in [
            (
                "GET /a/b?c=d?e HTTP/1.1\r\nHost: A.Example.:80\r\n\r\n",
                "GET /a/b Some(\"c=d?e\") a.example A.Example.:80 1",
            ),
            ("GET http://h/p?q HTTP/1.1\r\nHost: H:80\r\n\r\n", "GET /p Some(\"q\") h H:80 1"),
            ("GET HTTP://h?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET / Some(\"q\") h h 1"),
            ("GET http://h HTTP/1.1\r\nHost: h\r\nA:\r\n\r\n", "GET / None h h 2"),
            ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * None h h 1"),
        ] {
            assert_eq!(shown(head).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn refuses_targets_that_are_not_one_thing() {
        for target in [
            "*",
            "a",
            "http:/h/",
            "ftp://h/",
            "http://other/",
            "http://u@h/",
            "http://h:81/",
            "http:///x",
            "/a#b",
            "/é",
            "https://h:80/",
            "",
            "h:80",
            "?a",
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert!(matches!(facts(&head), Err(Refused::Malformed(_))), "{target}");
        }
    }

    #[test]
    fn refuses_what_is_not_one_well_formed_head() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX(y): x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX y: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            "GET / http/1.1\r\nHost: a\r\n\r\n",
            "GET /\r\nHost: a\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: \"close\"\r\n\r\n",
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "Connection: x\r\n".repeat(65)),
            &format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", "a,".repeat(65)),
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX:\ny: z\r\n\r\n",
        ] {
            assert!(matches!(facts(head), Err(Refused::Malformed(_))), "{head:?}: {:?}", facts(head));
        }
    }

    #[test]
    fn framing_is_one_thing_or_refused() {
        let framing = |version: &str, fields: &str| {
            facts(&format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n")).map(|f| f.body)
        };
        assert_eq!(framing("1.1", ""), Ok(BodyLength::None));
        assert_eq!(framing("1.1", "Content-Length: 5\r\n"), Ok(BodyLength::Known(5)));
        assert_eq!(framing("1.0", "Content-Length: 0\r\n"), Ok(BodyLength::Known(0)));
        assert_eq!(framing("1.1", "Transfer-Encoding: Chunked\r\n"), Ok(BodyLength::Chunked));
        assert_eq!(framing("1.1", "Content-Length: 1001\r\n"), Err(Refused::BodyTooLarge));
        assert_eq!(framing("1.1", "Transfer-Encoding: gzip, chunked\r\n"), Err(Refused::CodingUnsupported));
        for (version, fields) in [
            ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
            ("1.1", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
            ("1.1", "Content-Length: 4\r\nContent-Length: 4\r\n"),
            ("1.1", "Content-Length: 4, 4\r\n"),
            ("1.1", "Content-Length:\r\n"),
            ("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            ("1.1", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
            ("1.1", "Transfer-Encoding: identity\r\n"),
            ("1.1", "Transfer-Encoding:\r\n"),
            ("1.0", "Transfer-Encoding: chunked\r\n"),
            ("1.1", "Content-Length: 4\r\nTransfer_Encoding: chunked\r\n"),
            ("1.1", "Transfer-Encoding: chunked\r\ncontent_length: 4\r\n"),
            ("1.1", "Content.Length: 4\r\n"),
        ] {
            assert!(matches!(framing(version, fields), Err(Refused::Malformed(_))), "{fields:?}");
        }
    }

    #[test]
    fn methods_versions_and_sizes_have_their_own_refusals() {
        assert_eq!(facts("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Refused::MethodRefused));
        assert_eq!(facts("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"), Err(Refused::MethodRefused));
        assert_eq!(facts("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Err(Refused::VersionUnsupported));
        assert_eq!(facts("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), Err(Refused::VersionUnsupported));
        assert_eq!(facts("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"), Err(Refused::ExpectationFailed));
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100));
        assert_eq!(facts(&long), Err(Refused::TargetTooLong));
        for (count, fits) in [(31, true), (32, true), (99, true), (100, false), (300, false)] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count));
            let expected = if fits { Ok(count + 1) } else { Err(Refused::HeadTooLarge) };
            assert_eq!(read(head.as_bytes(), |h, _| h.fields.len()), expected);
        }
    }

    #[test]
    fn connection_and_version_decide_about_keep_alive() {
        for (version, connection, expected) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
            assert_eq!(facts(&head).map(|f| f.keep_alive), Ok(expected), "{head:?}");
        }
    }

    #[test]
    fn values_lose_only_the_blanks_around_them() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: \t a b \t\r\nY:\xff\r\nZ:  \r\n\r\n";
        let values: Vec<Vec<u8>> =
            read(head, |h, _| h.fields.iter().map(|f| f.value.to_vec()).collect()).unwrap();
        assert_eq!(values, [&b"a"[..], b"a b", b"\xff", b""]);
    }
}
