//! Requests and answers while plugins change them.

use keyward_http::{Dropped, ResponseHead};
use keyward_model::owned::is_ours_in_answers;

/// A request on its way to the service, less what never goes there: credentials, fields of the connection, fields that
/// are Keyward's.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// Names as they came, and values.
    pub(crate) fields: Vec<(Box<str>, Vec<u8>)>,
    /// Undecoded, without `?`.
    pub(crate) query: Option<String>,
    /// Another body in place of the one that came.
    pub(crate) body: Option<Vec<u8>>,
}

/// An answer on its way to the client.
#[derive(Debug, Default)]
pub(crate) struct AnswerDraft {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(Box<str>, Vec<u8>)>,
    /// The body, once it is here.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) body_changed: bool,
}

impl AnswerDraft {
    /// The answer as it came, less what is not passed on.
    pub(crate) fn of(head: &ResponseHead<'_>, owned: &[&'static str]) -> Self {
        let dropped = Dropped::of(head.fields);
        let passes = |name: &str| !dropped.drops(name) && !is_ours_in_answers(name) && !is_owned(name, owned);
        let fields = head.fields.iter().filter(|field| passes(field.name));
        Self {
            status: head.status,
            fields: fields.map(|field| (field.name.into(), field.value.to_vec())).collect(),
            body: None,
            body_changed: false,
        }
    }

    /// Appends its field lines; `dated`: also its own `Date`.
    pub(crate) fn push_fields(&self, out: &mut Vec<u8>, dated: bool) {
        for (name, value) in &self.fields {
            if dated || !name.eq_ignore_ascii_case("date") {
                push_field(out, name, value);
            }
        }
    }
}

/// Does the name begin like one that only Keyward may set in this answer?
pub(crate) fn is_owned(name: &str, owned: &[&'static str]) -> bool {
    let starts = |start: &&str| {
        name.as_bytes().get(..start.len()).is_some_and(|first| first.eq_ignore_ascii_case(start.as_bytes()))
    };
    owned.iter().any(starts)
}

pub(crate) fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Changes of header fields, in whose names case does not count.
pub(crate) fn remove(fields: &mut Vec<(Box<str>, Vec<u8>)>, name: &str) {
    fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
}

/// Puts one field in the place of all of this name.
pub(crate) fn set(fields: &mut Vec<(Box<str>, Vec<u8>)>, name: &str, value: Vec<u8>) {
    remove(fields, name);
    fields.push((name.into(), value));
}

/// The value of the first field of this name.
pub(crate) fn value<'f>(fields: &'f [(Box<str>, Vec<u8>)], name: &str) -> Option<&'f [u8]> {
    fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
}
