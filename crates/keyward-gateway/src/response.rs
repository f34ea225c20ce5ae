//! What comes back from a service: the fields of its answer, less those about its connection and those in our name.

use keyward_http::{Dropped, ResponseHead};
use keyward_model::owned::is_ours_in_answers;

use crate::plugin::is_owned;

/// Appends the fields that go to the client. An answer without `X-Ca-Error-Code` is the service's own.
/// `owned` are beginnings of further names that only Keyward may set in this answer.
pub(crate) fn push_fields(head: &ResponseHead<'_>, owned: &[&'static str], out: &mut Vec<u8>) {
    let dropped = Dropped::of(head.fields);
    for field in head.fields {
        let ours = is_ours_in_answers(field.name) || !owned.is_empty() && is_owned(field.name, owned);
        if !dropped.drops(field.name) && !ours {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_http::Field;

    #[test]
    fn what_is_ours_or_of_the_connection_ends_here() {
        let lines = [
            ("Content-Type", "text/plain"),
            ("Content-Length", "2"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Keep-Alive", "timeout=5"),
            ("X-Ca-Request-Id", "forged"),
            ("x_ca_error_code", "I400HD"),
            ("X-Ca-Error-Message", "no"),
            ("X-Keyward-Account", "evil"),
            ("Set-Cookie", "a=b"),
            ("Set-Cookie", "c=d"),
            ("X-RateLimit-Remaining", "999999"),
        ];
        let fields = lines.map(|(name, value)| Field { name, value: value.as_bytes() });
        let mut out = Vec::new();
        push_fields(&ResponseHead { status: 200, fields: &fields }, &["x-ratelimit-"], &mut out);
        let expected = "Content-Type: text/plain\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
