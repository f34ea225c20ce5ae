//! What comes back from a service: the fields of its answer, less those about its connection and those in our name.

use keyward_http::{Dropped, ResponseHead};
use keyward_model::owned::is_ours_in_answers;

use crate::RequestId;
use crate::refusal::push_request_id;

/// Appends the fields that go to the client. An answer without `X-Ca-Error-Code` is the service's own.
pub(crate) fn push_fields(head: &ResponseHead<'_>, request_id: &RequestId, out: &mut Vec<u8>) {
    let dropped = Dropped::of(head.fields);
    for field in head.fields {
        if !dropped.drops(field.name) && !is_ours_in_answers(field.name) {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        }
    }
    push_request_id(out, request_id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestIds;
    use keyward_http::Field;
    use keyward_model::Timestamp;

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
        ];
        let fields = lines.map(|(name, value)| Field { name, value: value.as_bytes() });
        let id = RequestIds::of_core([1; 16], 0).next(Timestamp::from_millis(0));
        let mut out = Vec::new();
        push_fields(&ResponseHead { status: 200, fields: &fields }, &id, &mut out);
        let expected = format!(
            "Content-Type: text/plain\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Ca-Request-Id: {}\r\n",
            id.as_str()
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
