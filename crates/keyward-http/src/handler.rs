//! The seam between carrying a request (this crate) and deciding about it (the gateway).
//!
//! Every method of [`Handler`] is a plain synchronous function called on the connection's own core:
//! it must not block and must not wait. Order of calls for one request:
//!
//! ```text
//! head ──► Hold ──► body ──┐  (each may answer Pause, and is then asked anew by resume)
//!   │                      ├──► Respond ──────────────────────────────► finished
//!   └──────────────────────┴──► Forward ──► (request_chunk* ──► request_end)
//!                                   └─────► response_head ──► (Hold ──► response_body) ──► finished
//!                                   └─────► failed (nothing answered) ► finished
//! ```
//! What is asked about an answer may be answered with [`Reply::Pause`] as well, and is then asked anew by
//! `response_resume`.
//!
//! `finished` is called exactly once for every `head`, also when the client goes away.
//! A message that could not be parsed never reaches `head`: it goes to `refused`.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::Endpoint;

/// One field line of a head: the name as it came, the value without surrounding blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Field name, spelled as on the wire. Always a valid token.
    pub name: &'a str,
    /// Field value bytes; never contains CR, LF or NUL.
    pub value: &'a [u8],
}

/// How the length of a message body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    None,
    /// `Content-Length`, in bytes.
    Known(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// A request head, parsed once and strictly. Everything downstream reads only this.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method, as it came (a valid token, case kept).
    pub method: &'a str,
    /// Path in origin form, undecoded, starting with `/`. Visible ASCII only.
    pub path: &'a str,
    /// What follows the first `?`, undecoded; `None` without a `?`. Visible ASCII only.
    pub query: Option<&'a str>,
    /// Host, from `Host` or the absolute-form target (which must agree): lower case, without port or trailing dot.
    pub host: &'a str,
    /// `Host` as it came, with port.
    pub authority: &'a str,
    /// All field lines in wire order.
    pub fields: &'a [Field<'a>],
    /// How the body is framed.
    pub body: BodyLength,
    /// HTTP/1.0 (no chunked, close by default).
    pub http10: bool,
}

/// Who is at the other end of the downstream connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Address of the socket's other end. Never taken from a header.
    pub address: SocketAddr,
    /// Our end of the socket.
    pub local: SocketAddr,
    /// The connection came in over TLS.
    pub secure: bool,
}

/// Word from elsewhere. It must come by itself; whoever waits does not wait much longer than 5 seconds, or than it says.
pub struct Word {
    pub(crate) future: Pin<Box<dyn Future<Output = ()>>>,
    pub(crate) longest: Duration,
}

impl Word {
    /// Word that is there once this is ready. It is polled by the task of the connection, on its core.
    pub fn new(future: impl Future<Output = ()> + 'static) -> Self {
        Self { future: Box::pin(future), longest: Duration::from_secs(5) }
    }

    /// The same, which may take so long.
    #[must_use]
    pub fn within(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }
}

impl Future for Word {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.future.as_mut().poll(context)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Word(…)")
    }
}

/// What to do with a request next.
pub enum Step {
    /// Read the whole body, at most `limit` bytes, then call [`Handler::body`]. More is answered with [`Handler::refused`]'s 413.
    Hold {
        /// Largest body to hold, in bytes.
        limit: usize,
    },
    /// Wait until this is ready, then call [`Handler::resume`]. Other connections go on meanwhile.
    Pause(Word),
    /// Answer here; nothing goes upstream.
    Respond(Response),
    /// Carry the request to an endpoint.
    Forward(Forward),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold { limit } => f.debug_struct("Hold").field("limit", limit).finish(),
            Self::Pause(_) => f.write_str("Pause(…)"),
            Self::Respond(response) => f.debug_tuple("Respond").field(response).finish(),
            Self::Forward(forward) => f.debug_tuple("Forward").field(forward).finish(),
        }
    }
}

/// An answer written by the handler.
#[derive(Debug, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Complete field lines, each ending in CRLF. Framing fields (`Content-Length`, `Connection`, `Date`) are added by the transport.
    pub fields: Vec<u8>,
    /// Body bytes. Not sent in answer to HEAD.
    pub body: Vec<u8>,
    /// Close the connection after this answer.
    pub close: bool,
}

/// A request on its way upstream.
///
/// The head that goes with it was written by the handler into the buffer it was given: request line and
/// end-to-end field lines, each ending in CRLF, *without* `Content-Length`, `Transfer-Encoding`, `Connection`
/// and *without* the closing empty line. The transport adds those from the parsed framing.
#[derive(Debug)]
pub struct Forward {
    /// Where to.
    pub endpoint: Arc<Endpoint>,
    /// Another body in place of the one that was held, or of none. A body that was not held cannot be replaced.
    pub body: Option<Vec<u8>>,
    /// Time limits of this exchange.
    pub timeouts: Timeouts,
    /// Call [`Handler::request_chunk`] for every piece of a streamed body, keep back the last piece, and ask
    /// [`Handler::request_end`] before it is let go.
    pub watch_body: bool,
    /// Safe to send again on a fresh connection when a pooled one turns out dead before any answer byte.
    pub idempotent: bool,
}

/// Time limits towards a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To establish a connection.
    pub connect: Duration,
    /// From the request's last byte to the answer's first.
    pub first_byte: Duration,
    /// Between two pieces of a body, either way.
    pub idle: Duration,
}

/// Whether the end of a watched body may go upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyVerdict {
    /// Let the last piece go.
    Release,
    /// Abort the upstream connection, so that the message never becomes complete, and answer with [`Handler::failed`].
    Abort,
}

/// What to do with an upstream's answer next.
#[derive(Debug)]
pub enum Reply {
    /// Pass it on, with the field lines that were written; its body follows as it comes, or as it was held.
    Pass,
    /// The same with this status in place of its own. Both go with a body, or both without.
    PassAs(u16),
    /// Answer this in its place. What it still sends is not waited for.
    Replace(Response),
    /// Read its whole body, at most `limit` bytes, then call [`Handler::response_body`]. More is
    /// [`UpstreamFailure::TooLarge`]. An answer that has no body is held at once.
    Hold {
        /// Largest body to hold, in bytes.
        limit: usize,
    },
    /// Wait until this is ready, then call [`Handler::response_resume`].
    Pause(Word),
}

/// The head of an upstream's answer.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// Status code, 200 to 599.
    pub status: u16,
    /// All field lines in wire order.
    pub fields: &'a [Field<'a>],
}

/// Why an exchange with the upstream gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// Name not resolved, connection refused or not established in time.
    Connect,
    /// No first byte within [`Timeouts::first_byte`].
    Late,
    /// Closed or broken before a complete answer head.
    Closed,
    /// The answer was not acceptable HTTP (framing in doubt, bad head, too many 1xx).
    Malformed,
    /// This core's bound on connections to the endpoint is reached.
    Exhausted,
    /// [`Handler::request_end`] said [`BodyVerdict::Abort`].
    Withheld,
    /// The answer's body was to be held, and is larger than may be held (of one, or of all at once).
    TooLarge,
}

/// Why a message was refused before (or instead of) reaching the handler's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 400: not well-formed, or of ambiguous framing. The text says what.
    Malformed(&'static str),
    /// 431: a head, a field or the number of fields is over its limit.
    HeadTooLarge,
    /// 414: the request target is over its limit.
    TargetTooLong,
    /// 413: the body is over its limit.
    BodyTooLarge,
    /// 408: head or body did not arrive in time.
    TimedOut,
    /// 501: a transfer coding other than `chunked`.
    CodingUnsupported,
    /// 405: TRACE or CONNECT, which are never carried.
    MethodRefused,
    /// 417: an `Expect` other than `100-continue`.
    ExpectationFailed,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    VersionUnsupported,
    /// 503: the node's bound on held bodies or connections is reached.
    Busy,
}

impl Refused {
    /// The status that answers it.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::HeadTooLarge => 431,
            Self::TargetTooLong => 414,
            Self::BodyTooLarge => 413,
            Self::TimedOut => 408,
            Self::CodingUnsupported => 501,
            Self::MethodRefused => 405,
            Self::ExpectationFailed => 417,
            Self::VersionUnsupported => 505,
            Self::Busy => 503,
        }
    }
}

/// How an exchange ended, for the access record.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Status sent to the client; 0 if the client went away before any.
    pub status: u16,
    /// From the head's completion to the last byte (or the end).
    pub duration: Duration,
    /// Body bytes received from the client.
    pub request_bytes: u64,
    /// Body bytes sent to the client.
    pub response_bytes: u64,
    /// The answer was sent completely.
    pub complete: bool,
    /// The request went upstream (at least in part).
    pub forwarded: bool,
}

/// Decides about requests. One value serves one core; it need not be `Send`.
pub trait Handler: 'static {
    /// What the handler remembers of one request until it is finished.
    type Exchange: 'static;

    /// A head is complete. `out` is empty; on [`Step::Forward`] it must hold the head to send.
    fn head(&self, head: &Head<'_>, peer: &Peer, out: &mut Vec<u8>) -> (Self::Exchange, Step);

    /// The body asked for with [`Step::Hold`] is complete (dechunked). May not answer [`Step::Hold`] again.
    fn body(
        &self,
        exchange: &mut Self::Exchange,
        head: &Head<'_>,
        peer: &Peer,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Step;

    /// What [`Step::Pause`] waited for is there (or was too late). `body` is what [`Handler::body`] was given, if that is
    /// what paused. May answer [`Step::Hold`] only if it was not.
    fn resume(
        &self,
        exchange: &mut Self::Exchange,
        head: &Head<'_>,
        peer: &Peer,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Step {
        let _ = (exchange, head, peer, body, out);
        Step::Respond(Response { status: 500, close: true, ..Response::default() })
    }

    /// A piece of a watched body is about to go upstream.
    fn request_chunk(&self, exchange: &mut Self::Exchange, chunk: &[u8]);

    /// A watched body is complete.
    fn request_end(&self, exchange: &mut Self::Exchange) -> BodyVerdict;

    /// An answer head came. Append the end-to-end field lines to send to the client (each ending in CRLF) to `out`,
    /// which already holds the status line; the transport adds framing and `Connection`.
    ///
    /// What was written counts only with [`Reply::Pass`].
    fn response_head(
        &self,
        exchange: &mut Self::Exchange,
        head: &ResponseHead<'_>,
        out: &mut Vec<u8>,
    ) -> Reply;

    /// The answer's body asked for with [`Reply::Hold`] is complete (dechunked). As with [`Handler::response_head`]; may not
    /// answer [`Reply::Hold`] again. A body that is to change goes with the fields and status in [`Reply::Replace`].
    fn response_body(
        &self,
        exchange: &mut Self::Exchange,
        head: &ResponseHead<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Reply {
        let _ = (exchange, head, body, out);
        Reply::Replace(Response { status: 500, close: true, ..Response::default() })
    }

    /// What [`Reply::Pause`] waited for is there (or was too late). `body` is what [`Handler::response_body`] was given, if that
    /// is what paused. May answer [`Reply::Hold`] only if it was not.
    fn response_resume(
        &self,
        exchange: &mut Self::Exchange,
        head: &ResponseHead<'_>,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Reply {
        let _ = (exchange, head, body, out);
        Reply::Replace(Response { status: 500, close: true, ..Response::default() })
    }

    /// The upstream gave no answer; write one.
    fn failed(&self, exchange: &mut Self::Exchange, failure: UpstreamFailure) -> Response;

    /// A message was refused by the transport. `exchange` is there if its head had been accepted.
    fn refused(&self, exchange: Option<&mut Self::Exchange>, refused: Refused, peer: &Peer) -> Response;

    /// May this exchange go on? Asked about once a second for exchanges that are streaming (an ended grant ends them).
    fn still_permitted(&self, exchange: &Self::Exchange) -> bool {
        let _ = exchange;
        true
    }

    /// The exchange is over. Called exactly once for every exchange.
    fn finished(&self, exchange: Self::Exchange, outcome: &Outcome);
}
