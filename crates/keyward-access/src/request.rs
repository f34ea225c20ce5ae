//! What of a request a decision reads: one strict view, parsed once by the transport.

use std::net::IpAddr;

/// One field line of a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Name as on the wire; always a valid token.
    pub name: &'a str,
    /// Value without surrounding blanks; no CR, LF or NUL.
    pub value: &'a [u8],
}

/// The head of a request, as every check reads it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Method, as it came.
    pub method: &'a str,
    /// Host: lower case, without port or trailing dot.
    pub host: &'a str,
    /// Path, undecoded, starting with `/`; visible ASCII.
    pub path: &'a str,
    /// Query without `?`, undecoded; visible ASCII.
    pub query: Option<&'a str>,
    /// Field lines in wire order.
    pub fields: &'a [Field<'a>],
    /// The client's address: the socket's peer, or what a trusted proxy says.
    pub client: IpAddr,
    /// Came over TLS (or a trusted proxy says so).
    pub secure: bool,
    /// A body of more than zero bytes was announced, or one of unknown length.
    pub has_body: bool,
}

impl<'a> RequestHead<'a> {
    /// The values of every field of this name (given in lower case), in wire order.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The value of the first field of this name (given in lower case).
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }
}

/// What is known of the body when a decision is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Not read yet. A decision that needs it answers [`Authentication::NeedsBody`](crate::Authentication::NeedsBody).
    Unread,
    /// Complete.
    Whole(&'a [u8]),
    /// Will be streamed to the service while its digest is taken: everything else is judged now, and the digest that
    /// must hold at its end is told in [`Verified::digest`](crate::Verified::digest).
    /// For APIs with `stream_before_digest` alone.
    Streamed,
}
