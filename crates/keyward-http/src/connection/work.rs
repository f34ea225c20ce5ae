//! The memory of one exchange. It is taken when a head is complete and given back when its answer is out.

use std::sync::Arc;

use crate::buffer::{Buffer, Output};
use crate::codec::{BodyReader, Facts, HeadEnd, ResponseFraming};
use crate::core::Node;
use crate::handler::{BodyLength, Forward, Handler};
use crate::moment::Moment;

use super::pause::Pause;

/// The connection to the upstream, as far as the machine needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// None, and none is wanted.
    None,
    /// One is wanted; `fresh` if a pooled one has just turned out dead.
    Wanted { fresh: bool },
    /// Being connected.
    Opening,
    /// There.
    Open { reused: bool },
    /// There, but it takes nothing more.
    ReadOnly { reused: bool },
}

impl Link {
    pub(super) fn is_reused(self) -> bool {
        matches!(self, Self::Open { reused: true } | Self::ReadOnly { reused: true })
    }
}

/// Largest body that is kept while it streams, in case its pooled connection turns out dead.
const REPLAY_MAX: u64 = 8 * 1024;

/// How far the upstream's answer is.
#[derive(Clone, Debug)]
pub(super) enum Incoming {
    /// Its head is awaited or arriving.
    Head,
    /// Its body, which passes.
    Body(BodyReader),
    /// Its body, which is held until the handler has judged it.
    Held(BodyReader),
    /// The handler waits for word about it; `whole`: all of it is here.
    Judged {
        /// Nothing more of it is to come.
        whole: bool,
    },
    /// It is complete.
    Done,
}

pub(crate) struct Work<H: Handler> {
    pub(super) exchange: Option<H::Exchange>,
    pub(super) facts: Facts,
    pub(super) started: Moment,

    pub(super) body: BodyReader,
    /// Every byte of the request body was taken from the input (or is on its way through).
    pub(super) request_complete: bool,
    /// `100 Continue` was sent, or was not needed.
    pub(super) continued: bool,
    pub(super) received: u64,
    /// Body bytes passed over after the answer.
    pub(super) drained: usize,
    /// The request's head, kept while its body is held.
    pub(super) held_head: Vec<u8>,
    pub(super) held: Held,
    /// Word is awaited.
    pub(super) pause: Option<Pause>,

    pub(super) forward: Option<Forward>,
    pub(super) link: Link,
    pub(super) forwarded: bool,
    pub(super) to_upstream: Output,
    /// The newest piece of a watched chunked body, which waits for the next one or the verdict.
    pub(super) kept_piece: Vec<u8>,
    /// All of the request is (or, while its small body comes in, will be) in `to_upstream` and can be sent again.
    pub(super) replayable: bool,

    pub(super) answer_input: Option<Buffer>,
    pub(super) answer_end: HeadEnd,
    pub(super) reply: Incoming,
    pub(super) interims: u8,
    pub(super) upstream_keeps_alive: bool,
    /// The answer's head and framing, kept while the handler judges it.
    pub(super) answer_head: Vec<u8>,
    pub(super) answer_framing: Option<ResponseFraming>,
    pub(super) answer_held: Held,
    /// The trailer fields of a held answer that may pass, as they go on the wire.
    pub(super) answer_trailers: Vec<u8>,

    pub(super) to_client: Output,
    pub(super) status: u16,
    pub(super) answered: u64,
    pub(super) keep_alive: bool,
    /// The answer's body goes to the client in chunks.
    pub(super) chunks: bool,
    /// The client can tell the answer's end without the connection's.
    pub(super) framed: bool,
}

const NO_FACTS: Facts = Facts {
    keep_alive: false,
    expects_continue: false,
    http10: false,
    is_head: false,
    usually_has_body: false,
    asks_server: false,
    body: BodyLength::None,
};

impl<H: Handler> Default for Work<H> {
    fn default() -> Self {
        Self {
            exchange: None,
            facts: NO_FACTS,
            started: Moment::default(),
            body: BodyReader::Length(0),
            request_complete: false,
            continued: false,
            received: 0,
            drained: 0,
            held_head: Vec::new(),
            held: Held::default(),
            pause: None,
            forward: None,
            link: Link::None,
            forwarded: false,
            to_upstream: Output::default(),
            kept_piece: Vec::new(),
            replayable: false,
            answer_input: None,
            answer_end: HeadEnd::default(),
            reply: Incoming::Head,
            interims: 0,
            upstream_keeps_alive: false,
            answer_head: Vec::new(),
            answer_framing: None,
            answer_held: Held::default(),
            answer_trailers: Vec::new(),
            to_client: Output::default(),
            status: 0,
            answered: 0,
            keep_alive: false,
            chunks: false,
            framed: false,
        }
    }
}

impl<H: Handler> Work<H> {
    /// As new, but for the memory of its buffers. Hands out the read buffer, if there still is one.
    ///
    /// Field by field, because this happens once per request: what [`Self::begin`] sets is left alone.
    pub(crate) fn reset(&mut self) -> Option<Buffer> {
        self.exchange = None;
        self.facts = NO_FACTS;
        self.request_complete = false;
        self.received = 0;
        self.drained = 0;
        self.held_head.clear();
        self.held.reset();
        self.pause = None;
        self.forward = None;
        self.link = Link::None;
        self.forwarded = false;
        self.kept_piece.clear();
        self.replayable = false;
        self.answer_end = HeadEnd::default();
        self.reply = Incoming::Head;
        self.interims = 0;
        self.answer_head.clear();
        self.answer_framing = None;
        self.answer_held.reset();
        self.answer_trailers.clear();
        self.status = 0;
        self.answered = 0;
        self.chunks = false;
        self.framed = false;
        self.to_upstream.reset();
        self.to_client.reset();
        self.answer_input.take()
    }

    /// Takes up what a head says.
    pub(super) fn begin(&mut self, facts: Facts, now: Moment) {
        self.facts = facts;
        self.started = now;
        self.body = match facts.body {
            BodyLength::None => BodyReader::Length(0),
            BodyLength::Known(length) => BodyReader::Length(length),
            BodyLength::Chunked => BodyReader::chunked(),
        };
        self.request_complete = self.body.is_used_up();
        self.continued = !facts.expects_continue || self.request_complete;
    }

    pub(super) fn opened(&mut self, reused: bool) {
        self.link = Link::Open { reused };
        let small = matches!(self.facts.body, BodyLength::Known(length) if length <= REPLAY_MAX);
        self.replayable = (self.request_complete || small) && self.to_upstream.is_untouched();
        if reused && self.replayable {
            self.to_upstream.keep_for_replay();
        }
    }

    pub(super) fn wants_request_bytes(&self) -> bool {
        !self.request_complete
            && self.to_upstream.is_open()
            && !matches!(self.link, Link::ReadOnly { .. })
            && !matches!(self.reply, Incoming::Done | Incoming::Judged { whole: true })
    }

    pub(super) fn wants_upstream_write(&self) -> bool {
        matches!(self.link, Link::Open { .. }) && !self.to_upstream.is_empty()
    }

    pub(super) fn wants_answer_bytes(&self) -> bool {
        let open = matches!(self.link, Link::Open { .. } | Link::ReadOnly { .. });
        open && match self.reply {
            Incoming::Head => true,
            Incoming::Body(_) => self.to_client.is_open(),
            Incoming::Held(_) => true,
            Incoming::Judged { .. } | Incoming::Done => false,
        }
    }
}

/// A held body and what it takes of the server's budget.
#[derive(Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    pub(super) limit: usize,
    node: Option<Arc<Node>>,
    reserved: usize,
}

impl Held {
    pub(super) fn start(&mut self, limit: usize, node: &Arc<Node>) {
        self.limit = limit;
        self.node = Some(Arc::clone(node));
    }

    /// Appends a piece; `false` if the server's budget is used up.
    pub(super) fn push(&mut self, piece: &[u8], budget: usize) -> bool {
        let fits = self.node.as_ref().is_some_and(|node| node.hold(piece.len(), budget));
        if fits {
            self.reserved += piece.len();
            self.bytes.extend_from_slice(piece);
        }
        fits
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn reset(&mut self) {
        if self.node.is_some() {
            *self = Self::default();
        }
    }

    /// The body, to be sent on. The budget is given back with the exchange.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(node) = self.node.as_ref().filter(|_| self.reserved > 0) {
            node.let_go(self.reserved);
        }
    }
}
