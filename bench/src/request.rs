//! The one request that everybody carries, and the one answer that everybody brings back.
//!
//! All subjects get the same bytes; only the header lines of the credential are added.

use std::ops::Range;

/// What the backend accepts as a request line: anything else means that a proxy changed the request.
pub(crate) const REQUEST_LINE: &[u8] = b"GET /orders/items/4711?expand=lines&currency=EUR HTTP/1.1\r\n";

/// The path and parameters as signed: parameters sorted by name.
pub(crate) const SIGNED_PATH: &str = "/orders/items/4711?currency=EUR&expand=lines";

/// The host that clients call; Keyward's API is bound to it.
pub(crate) const HOST: &str = "api.bench.example";

/// The media type that the request asks for, which the signature covers.
pub(crate) const ACCEPT: &str = "application/json";

/// The request without a credential and without the empty line that ends the head.
const HEAD: &str = "GET /orders/items/4711?expand=lines&currency=EUR HTTP/1.1\r\n\
    Host: api.bench.example\r\n\
    User-Agent: shop-backend/3.2.1 (linux; x64) fetch/2.4\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: en-GB,en;q=0.8\r\n\
    Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
    Connection: keep-alive\r\n";

/// The body of the backend's answer.
pub(crate) const BODY: &str = "{\"id\":4711,\"state\":\"shipped\",\"currency\":\"EUR\",\"total\":\"129.90\",\
    \"lines\":[{\"sku\":\"KW-2041\",\"quantity\":2},{\"sku\":\"KW-0077\",\"quantity\":1}]}";

/// The backend's whole answer. Its date stands still: no proxy here looks at it.
pub(crate) fn answer() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nServer: bench-backend\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n\
         Content-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
    .into_bytes()
}

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
}

impl Request {
    /// The request with `credential`, which is empty or whole header lines, each ended by CRLF.
    pub(crate) fn with(credential: &str) -> Self {
        Self { bytes: format!("{HEAD}{credential}\r\n").into_bytes() }
    }

    /// Where the value of header `name` lies, so that it can be replaced by one of the same length.
    pub(crate) fn value_of(&self, name: &str) -> Option<Range<usize>> {
        let field = format!("\r\n{name}: ");
        let start = memchr::memmem::find(&self.bytes, field.as_bytes())? + field.len();
        let length = memchr::memmem::find(self.bytes.get(start..)?, b"\r\n")?;
        Some(start..start + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_request_has_the_size_that_the_table_states() {
        assert_eq!(Request::with("").bytes.len(), 330);
        assert!((100..=200).contains(&BODY.len()), "{} bytes", BODY.len());
    }

    #[test]
    fn the_parts_named_elsewhere_are_the_parts_that_are_sent() {
        let request = Request::with("");
        assert!(request.bytes.starts_with(REQUEST_LINE));
        for (name, value) in [("Host", HOST), ("Accept", ACCEPT)] {
            assert_eq!(&request.bytes[request.value_of(name).unwrap()], value.as_bytes());
        }
        let sent: &str = HEAD.split(' ').nth(1).unwrap();
        let (path, query) = sent.split_once('?').unwrap();
        let mut parameters: Vec<_> = query.split('&').collect();
        parameters.sort_unstable();
        assert_eq!(format!("{path}?{}", parameters.join("&")), SIGNED_PATH);
    }

    #[test]
    fn a_credential_is_all_that_is_added() {
        let plain = Request::with("").bytes;
        let with = Request::with("X-API-Key: abc\r\n");
        let mut expected = plain[..plain.len() - 2].to_vec();
        expected.extend_from_slice(b"X-API-Key: abc\r\n\r\n");
        assert_eq!(with.bytes, expected);
        assert_eq!(&with.bytes[with.value_of("X-API-Key").unwrap()], b"abc");
        assert_eq!(with.value_of("X-Other"), None);
    }

    #[test]
    fn the_body_is_json() {
        serde_json::from_str::<serde_json::Value>(BODY).unwrap();
    }
}
