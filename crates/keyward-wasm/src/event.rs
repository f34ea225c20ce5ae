//! What is told to a plugin, and what it answers.

use std::fmt;

use bytes::Bytes;

use crate::failure::Failure;
use crate::headers::Headers;

/// A request or a response, as far as the plugin is to see it.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The head, pseudo headers among it.
    pub headers: Headers,
    /// The body.
    pub body: Body,
    /// What follows the body; empty if nothing does.
    pub trailers: Headers,
}

/// A message's body. `Debug` shows its length only.
#[derive(Clone, Default)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// There is one that is not shown now: it is given later, or never.
    Follows,
    /// All of it.
    Whole(Bytes),
}

/// What a plugin made of an event.
#[derive(Debug)]
pub enum Answer {
    /// The message goes on, with what was changed.
    Continue(Changes),
    /// The plugin answers itself.
    Reply(LocalReply),
    /// The plugin wants the exchange ended without an answer.
    Close,
    /// There is no answer of the plugin.
    Failed(Failure),
}

/// What a plugin changed. `None` is as it was.
///
/// Where parts come one by one, a plugin may change the head in the event of the body as well: whoever has sent the head on
/// already cannot follow. Giving head and body in one [`Message`] avoids that.
#[derive(Default)]
pub struct Changes {
    /// The whole head.
    pub headers: Option<Headers>,
    /// The whole body.
    pub body: Option<Bytes>,
    /// The whole trailers.
    pub trailers: Option<Headers>,
}

/// An answer that a plugin gives itself.
pub struct LocalReply {
    /// 200 to 599.
    pub status: u16,
    /// Why, for logs: short, printable, without secrets.
    pub details: String,
    /// The head, without pseudo headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// The status of a gRPC answer, 0 to 16.
    pub grpc_status: Option<u32>,
}

/// What a plugin may ask about a request besides its headers (`proxy_get_property`). What is `None` does not exist.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `request.id`
    pub request_id: Option<String>,
    /// `request.protocol`, such as `HTTP/1.1`
    pub protocol: Option<String>,
    /// `source.address`, with port
    pub source_address: Option<String>,
    /// `keyward.caller.id`
    pub caller_id: Option<String>,
    /// `keyward.caller.name`
    pub caller_name: Option<String>,
    /// `keyward.api`
    pub api: Option<String>,
    /// `keyward.stage`
    pub stage: Option<String>,
    /// `keyward.grant`
    pub grant: Option<String>,
}

// Bodies may hold anything: they are not shown.

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Follows => f.write_str("Follows"),
            Self::Whole(body) => write!(f, "Whole({} bytes)", body.len()),
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("trailers", &self.trailers)
            .finish()
    }
}

impl fmt::Debug for LocalReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalReply")
            .field("status", &self.status)
            .field("details", &self.details)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .field("grpc_status", &self.grpc_status)
            .finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Request,
    Response,
}

/// What one message to a worker holds: parts of a request or response that follow each other.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) phase: Phase,
    pub(crate) headers: Option<Headers>,
    pub(crate) body: Body,
    pub(crate) trailers: Option<Headers>,
}

impl Event {
    pub(crate) fn message(phase: Phase, message: Message) -> Self {
        let trailers = (!message.trailers.is_empty()).then_some(message.trailers);
        Self { phase, headers: Some(message.headers), body: message.body, trailers }
    }

    pub(crate) fn body(phase: Phase, body: Bytes) -> Self {
        Self { phase, headers: None, body: Body::Whole(body), trailers: None }
    }

    pub(crate) fn trailers(phase: Phase, trailers: Headers) -> Self {
        Self { phase, headers: None, body: Body::None, trailers: Some(trailers) }
    }
}
