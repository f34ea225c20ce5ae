//! One client connection as a state machine: bytes and events in, bytes and wishes out. It knows no socket, no clock
//! and no runtime; whoever drives it reads, writes and connects as its `wants_…` say, and tells it what happened.
//!
//! ```text
//!            ┌────────────────────────────────────────────────────────────┐
//!            ▼                                                            │
//! Phase::Head ──► Hold ──► Carry ──► Answer ──► (Drain) ──────────────────┘
//!      │            └────────┴──────────▲  └──► Linger ──► Over
//!      └────────────────────────────────┘
//! ```
//! From `Head` and from `Hold` it may come to `Pause`, and goes on from there as it would have gone on before. An answer
//! that the handler judges is judged within `Carry`: the request may still be on its way.
//! A connection that waits for a request holds no buffer and no working memory.

mod answer;
mod head;
mod hold;
mod judge;
mod pause;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod wait;
mod work;

use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::codec::HeadEnd;
use crate::core::Core;
use crate::handler::{Handler, Outcome, Peer, UpstreamFailure};
use crate::moment::Moment;
use crate::{Endpoint, Refused};

pub(crate) use wait::Progress;
use wait::Waits;
pub(crate) use work::Work;
use work::{Incoming, Link};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A request head is awaited or arriving.
    Head,
    /// The handler wants the whole body first.
    Hold,
    /// The handler waits for word from elsewhere.
    Pause,
    /// The request goes to an upstream and its answer comes back, both possibly at once.
    Carry,
    /// The answer is complete and on its way to the client.
    Answer,
    /// The answer is out; the rest of a small request body is passed over.
    Drain,
    /// Our side is closed; what still comes is thrown away, so that the last answer is not lost to a reset.
    Linger,
    /// Nothing more will happen.
    Over,
}

/// What became of an upstream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// Clean: the next request may use it.
    Reuse,
    /// In doubt: close it.
    Discard,
}

/// How the client's socket is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// In the usual way.
    Plain,
    /// With a reset: the answer was cut where only the connection's end marks its own.
    Reset,
}

pub(crate) struct Connection<H: Handler> {
    core: Rc<Core<H>>,
    peer: Peer,
    phase: Phase,
    /// Bytes from the client that are not used yet.
    input: Option<Buffer>,
    head_end: HeadEnd,
    /// One empty line before a request line was passed over.
    blank_skipped: bool,
    /// A request was served before the one awaited now.
    served: bool,
    shutdown_wanted: bool,
    close: Close,
    spent: Option<Spent>,
    waits: Waits,
    /// Memory of the exchange in progress.
    work: Option<Box<Work<H>>>,
}

/// What the driver asks: which operations would move the connection on now.
impl<H: Handler> Connection<H> {
    pub(crate) fn new(core: Rc<Core<H>>, peer: Peer) -> Self {
        Self {
            core,
            peer,
            phase: Phase::Head,
            input: None,
            head_end: HeadEnd::default(),
            blank_skipped: false,
            served: false,
            shutdown_wanted: false,
            close: Close::Plain,
            spent: None,
            waits: Waits::default(),
            work: None,
        }
    }

    /// Nothing more will happen; close the socket like this.
    pub(crate) fn over(&self) -> Option<Close> {
        (self.phase == Phase::Over).then_some(self.close)
    }

    pub(crate) fn wants_read(&self) -> bool {
        match self.phase {
            Phase::Head | Phase::Hold | Phase::Drain | Phase::Linger => true,
            Phase::Carry => self.work.as_ref().is_some_and(|work| work.wants_request_bytes()),
            Phase::Pause | Phase::Answer | Phase::Over => false,
        }
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.work.as_ref().is_some_and(|work| !work.to_client.is_empty())
    }

    /// The upstream to connect to, and whether only a fresh connection will do.
    pub(crate) fn wants_upstream(&self) -> Option<(&Arc<Endpoint>, bool)> {
        match self.work.as_deref() {
            Some(Work { link: Link::Wanted { fresh }, forward: Some(forward), .. }) => {
                Some((&forward.endpoint, *fresh))
            }
            _ => None,
        }
    }

    pub(crate) fn wants_upstream_read(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.wants_answer_bytes())
    }

    pub(crate) fn wants_upstream_write(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.wants_upstream_write())
    }

    /// Asked for once: close our sending side now.
    pub(crate) fn take_shutdown(&mut self) -> bool {
        std::mem::take(&mut self.shutdown_wanted)
    }

    /// What to do with the upstream connection that is no longer needed.
    pub(crate) fn take_spent(&mut self) -> Option<Spent> {
        self.spent.take()
    }

    /// Waiting for a request of which no byte has come.
    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Head && self.input.is_none()
    }

    /// A request is being worked on.
    pub(crate) fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// When [`Self::expired`] has to be called, unless something happens before.
    pub(crate) fn deadline(&self) -> Moment {
        self.waits.first()
    }
}

/// The client's side.
impl<H: Handler> Connection<H> {
    /// Room to read into. [`Self::read_nothing`] or [`Self::read`] must follow.
    pub(crate) fn read_space(&mut self) -> &mut [u8] {
        let input = self.input.get_or_insert_with(|| self.core.spares.take());
        if input.is_full() {
            input.grow_to(self.core.limits().head_bytes + 1);
        }
        input.space()
    }

    /// Nothing was there to read.
    pub(crate) fn read_nothing(&mut self) {
        self.release_empty_input();
    }

    pub(crate) fn read(&mut self, count: usize, now: Moment) {
        if let Some(input) = &mut self.input {
            input.filled_by(count);
        }
        self.run(now);
    }

    /// The client has closed its sending side.
    pub(crate) fn read_closed(&mut self, now: Moment) {
        match self.phase {
            Phase::Head | Phase::Drain | Phase::Linger => self.phase = Phase::Over,
            Phase::Hold | Phase::Carry => self.refuse(Refused::Malformed("the body ends too early"), now),
            Phase::Pause | Phase::Answer | Phase::Over => {}
        }
    }

    /// The client's connection is broken.
    pub(crate) fn broken(&mut self, now: Moment) {
        self.cut(now);
    }

    /// All there is to write, if it lies in one piece.
    pub(crate) fn write_piece(&self) -> Option<&[u8]> {
        self.work.as_deref().and_then(|work| work.to_client.only_written())
    }

    pub(crate) fn write_slices(&self) -> ([IoSlice<'_>; 4], usize) {
        match self.work.as_deref() {
            Some(work) => work.to_client.slices(work.answer_input.as_ref()),
            None => ([IoSlice::new(b""); 4], 0),
        }
    }

    pub(crate) fn written(&mut self, count: usize, now: Moment) {
        if let Some(work) = self.work.as_deref_mut() {
            work.to_client.sent(count, work.answer_input.as_mut());
        }
        self.run(now);
    }
}

/// The upstream's side.
impl<H: Handler> Connection<H> {
    /// A connection is there; `reused` if it was pooled.
    pub(crate) fn upstream_opened(&mut self, reused: bool, now: Moment) {
        if let Some(work) = self.work.as_deref_mut() {
            work.opened(reused);
            self.run(now);
        }
    }

    /// Connecting has begun and takes its time.
    pub(crate) fn upstream_opening(&mut self) {
        if let Some(work) = self.work.as_deref_mut() {
            work.link = Link::Opening;
        }
    }

    pub(crate) fn upstream_unavailable(&mut self, failure: UpstreamFailure, now: Moment) {
        if let Some(work) = self.work.as_deref_mut() {
            work.link = Link::None;
        }
        self.fail(failure, now);
    }

    /// All there is to write, if it lies in one piece.
    pub(crate) fn upstream_piece(&self) -> Option<&[u8]> {
        self.work.as_deref().and_then(|work| work.to_upstream.only_written())
    }

    pub(crate) fn upstream_slices(&self) -> ([IoSlice<'_>; 4], usize) {
        match self.work.as_deref() {
            Some(work) => work.to_upstream.slices(self.input.as_ref()),
            None => ([IoSlice::new(b""); 4], 0),
        }
    }

    pub(crate) fn upstream_written(&mut self, count: usize, now: Moment) {
        if let Some(work) = self.work.as_deref_mut() {
            work.to_upstream.sent(count, self.input.as_mut());
            work.forwarded = true;
            if work.request_complete {
                return;
            }
        }
        self.run(now);
    }

    /// Nothing more can be sent upstream; an answer may still come.
    pub(crate) fn upstream_write_failed(&mut self) {
        if let Some(work) = self.work.as_deref_mut() {
            work.link = Link::ReadOnly { reused: work.link.is_reused() };
        }
    }

    pub(crate) fn upstream_space(&mut self) -> &mut [u8] {
        let Some(work) = self.work.as_deref_mut() else { return &mut [] };
        let input = work.answer_input.get_or_insert_with(|| self.core.spares.take());
        if input.is_full() {
            input.grow_to(self.core.limits().head_bytes + 1);
        }
        input.space()
    }

    /// Nothing was there to read.
    pub(crate) fn upstream_read_nothing(&mut self) {
        self.release_empty_answer_input();
    }

    pub(crate) fn upstream_read(&mut self, count: usize, now: Moment) {
        if let Some(input) = self.work.as_deref_mut().and_then(|work| work.answer_input.as_mut()) {
            input.filled_by(count);
        }
        self.run(now);
    }

    /// The upstream closed its sending side (`clean`), or its connection broke.
    pub(crate) fn upstream_closed(&mut self, clean: bool, now: Moment) {
        self.answer_ended(clean, now);
        self.run(now);
    }
}

/// Time and the server's own wishes.
impl<H: Handler> Connection<H> {
    /// To be called when nothing more can be done for now, with what was done since the last call.
    pub(crate) fn settle(&mut self, progress: Progress, now: Moment) {
        self.release_empty_input();
        self.release_empty_answer_input();
        self.update_waits(progress, now);
    }

    /// About once a second while a request is worked on: ends a stream whose permission has ended.
    pub(crate) fn tick(&mut self, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        let streaming = self.phase == Phase::Carry && (work.status != 0 || !work.request_complete)
            || self.phase == Phase::Answer;
        let Some(exchange) = work.exchange.as_ref().filter(|_| streaming) else { return };
        if !self.core.handler.still_permitted(exchange) {
            self.fail(UpstreamFailure::Withheld, now);
        }
    }

    /// The server stops: an idle connection ends, a busy one ends with its answer.
    pub(crate) fn stop(&mut self) {
        if self.is_idle() {
            self.phase = Phase::Over;
        }
    }

    /// Room is needed for a new client: ends the connection if it is idle.
    pub(crate) fn shed(&mut self) -> bool {
        let idle = self.phase == Phase::Head && self.work.is_none();
        if idle {
            self.phase = Phase::Over;
        }
        idle
    }

    /// Is its next request one that the handler has not decided?
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self.phase, Phase::Head | Phase::Hold | Phase::Pause)
    }

    /// Ends the connection unless its request is decided.
    pub(crate) fn cut_undecided(&mut self) {
        if self.is_undecided() {
            self.phase = Phase::Over;
        }
    }

    /// There is no room for this client: only an answer that says so is written.
    pub(crate) fn turn_away(&mut self, now: Moment) {
        self.refuse(Refused::Busy, now);
    }

    /// An answer to the current request has begun.
    pub(crate) fn has_answered(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.status != 0)
    }

    /// Moves on as far as the bytes at hand allow.
    fn run(&mut self, now: Moment) {
        loop {
            let before = self.phase;
            match before {
                Phase::Head => self.run_head(now),
                Phase::Hold => self.run_hold(now),
                Phase::Carry => self.run_carry(now),
                Phase::Answer => self.run_answer(now),
                Phase::Drain => self.run_drain(),
                Phase::Linger => self.throw_input_away(),
                Phase::Pause | Phase::Over => {}
            }
            if self.phase == before {
                return;
            }
        }
    }

    fn run_carry(&mut self, now: Moment) {
        self.pump_request(now);
        if self.phase == Phase::Carry {
            self.pump_answer(now);
        }
    }

    /// Ends the connection where it stands; what the client has of an answer stays incomplete.
    fn cut(&mut self, now: Moment) {
        self.discard_upstream();
        if let Some(work) = self.work.as_deref() {
            let until_close = matches!(work.reply, Incoming::Body(_)) && !work.framed;
            self.close = if until_close { Close::Reset } else { Close::Plain };
        }
        self.finish(false, now);
        self.phase = Phase::Over;
    }

    fn discard_upstream(&mut self) {
        if let Some(work) = self.work.as_deref_mut() {
            if !matches!(work.link, Link::None | Link::Wanted { .. }) {
                self.spent = Some(Spent::Discard);
            }
            work.link = Link::None;
            // Bytes that were passing through were taken from the body already: the input must not show them again.
            let passing = work.to_upstream.abandon();
            self.consume(passing);
        }
    }

    /// Tells the handler that the exchange is over, if one is open.
    fn finish(&mut self, complete: bool, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        let Some(exchange) = work.exchange.take() else { return };
        let outcome = Outcome {
            status: work.status,
            duration: now.since(work.started),
            request_bytes: work.received,
            response_bytes: work.answered,
            complete,
            forwarded: work.forwarded,
        };
        self.core.counters.requests_open.sub(1);
        self.core.handler.finished(exchange, &outcome);
    }

    fn release_empty_input(&mut self) {
        if let Some(input) = self.input.take_if(|input| input.is_empty()) {
            self.core.spares.give_back(input);
        }
    }

    fn release_empty_answer_input(&mut self) {
        let Some(work) = self.work.as_deref_mut() else { return };
        if let Some(input) = work.answer_input.take_if(|input| input.is_empty()) {
            self.core.spares.give_back(input);
        }
    }

    fn throw_input_away(&mut self) {
        if let Some(input) = &mut self.input {
            input.consume(input.len());
        }
    }
}

impl<H: Handler> Drop for Connection<H> {
    /// An exchange is finished also when its connection is dropped in the middle of it.
    fn drop(&mut self) {
        let last = self.waits.seen();
        self.finish(false, last);
        if let Some(work) = self.work.take() {
            self.core.give_back(work);
        }
        if let Some(input) = self.input.take() {
            self.core.spares.give_back(input);
        }
    }
}
