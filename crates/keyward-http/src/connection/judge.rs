//! Answers that the handler judges before they pass: held with their body, put off, or replaced.

use std::mem;

use crate::codec::{
    Piece, ResponseFraming, push_chunk_size, push_decimal, push_status_line, read_response, reason,
};
use crate::handler::{Handler, Reply, Response, UpstreamFailure};
use crate::moment::Moment;

use super::pause::{Pause, Seen};
use super::reply::{passing_trailers, reader_of};
use super::work::{Incoming, Work};
use super::{Connection, Phase};

impl<H: Handler> Connection<H> {
    /// What the handler says about an answer of which the head was read. What it wrote for the client begins at
    /// `start`. `true` if there may be more to do.
    pub(super) fn follow_reply(
        &mut self,
        reply: Reply,
        framing: ResponseFraming,
        start: usize,
        now: Moment,
    ) -> bool {
        let Some(work) = self.work.as_deref_mut() else { return false };
        work.upstream_keeps_alive = framing.keep_alive;
        work.answer_framing = Some(framing);
        if !matches!(reply, Reply::Pass | Reply::PassAs(_)) {
            work.to_client.writer().truncate(start);
        }
        match reply {
            Reply::Pass => self.begin_answer(framing),
            Reply::PassAs(status) => {
                set_status(work.to_client.writer(), start, status);
                self.begin_answer(ResponseFraming { status, ..framing });
            }
            Reply::Replace(response) => {
                self.pass_over_answer(framing);
                self.answer(response, now);
            }
            Reply::Hold { limit } => return self.hold_answer(framing, limit, now),
            Reply::Pause(word) => {
                work.reply = Incoming::Judged { whole: false };
                work.pause = Some(Pause { word, seen: Seen::AnswerHead });
                self.waits.upstream_anew();
            }
        }
        true
    }

    /// An answer is not needed. Where all of it is here, its connection is not lost with it.
    fn pass_over_answer(&mut self, framing: ResponseFraming) {
        let Some(work) = self.work.as_deref_mut() else { return };
        let bodiless = work.is_bodiless(framing.status);
        if let (Some(input), Some(length)) = (work.answer_input.as_mut(), framing.length)
            && !bodiless
            && input.len() as u64 == length
        {
            input.consume(input.len());
            return self.release_upstream();
        }
        if bodiless || framing.length == Some(0) { self.release_upstream() } else { self.discard_upstream() }
    }

    fn hold_answer(&mut self, framing: ResponseFraming, limit: usize, now: Moment) -> bool {
        let Some(work) = self.work.as_deref_mut() else { return false };
        let bodiless = work.is_bodiless(framing.status);
        if !bodiless && framing.length.is_some_and(|length| length > limit as u64) {
            self.fail(UpstreamFailure::TooLarge, now);
            return false;
        }
        work.answer_held.start(limit, &self.core.node);
        work.reply = Incoming::Held(reader_of(framing, bodiless));
        true
    }

    /// `true` if something moved and there may be more to do.
    pub(super) fn hold_answer_body(&mut self, now: Moment) -> bool {
        let budget = self.core.limits().held_bytes;
        let Some(work) = self.work.as_deref_mut() else { return false };
        let Incoming::Held(reader) = &mut work.reply else { return false };
        if reader.is_used_up() {
            return self.judge_held_answer(now);
        }
        let Some(input) = work.answer_input.as_mut() else { return false };
        match reader.next(input.filled()) {
            Err(_) => self.answer_is_malformed(now),
            Ok(Piece::More { skip }) => {
                input.consume(skip);
                false
            }
            Ok(Piece::Data { skip, data }) => {
                input.consume(skip);
                let piece = input.filled().get(..data).unwrap_or_default();
                let fits = work.answer_held.bytes().len() + data <= work.answer_held.limit
                    && work.answer_held.push(piece, budget);
                input.consume(data);
                if !fits {
                    self.fail(UpstreamFailure::TooLarge, now);
                }
                fits
            }
            Ok(Piece::End { skip, trailers }) => {
                input.consume(skip);
                let section = input.filled().get(..trailers).unwrap_or_default();
                let Some(passing) = passing_trailers(section) else { return self.answer_is_malformed(now) };
                input.consume(trailers);
                work.answer_trailers = passing;
                self.judge_held_answer(now)
            }
        }
    }

    /// All of a held answer is here.
    pub(super) fn judge_held_answer(&mut self, now: Moment) -> bool {
        self.release_upstream();
        let Some(work) = self.work.as_deref_mut() else { return false };
        work.reply = Incoming::Judged { whole: true };
        let (start, reply) = self.ask_about_answer(true, true);
        self.follow_whole(reply, start, now);
        false
    }

    /// Word came about an answer that waited for it.
    pub(super) fn judge_answer_again(&mut self, whole: bool, now: Moment) {
        let (start, reply) = self.ask_about_answer(whole, false);
        if whole {
            return self.follow_whole(reply, start, now);
        }
        let framing = self.work.as_deref().and_then(|work| work.answer_framing);
        if let Some(framing) = framing {
            self.follow_reply(reply, framing, start, now);
        }
    }

    /// Asks about the answer whose head was kept. Tells also where begins what was written for the client.
    fn ask_about_answer(&mut self, whole: bool, first: bool) -> (usize, Reply) {
        let broken = (0, Reply::Replace(Response { status: 500, close: true, ..Response::default() }));
        let Some(work) = self.work.as_deref_mut() else { return broken };
        let head_bytes = mem::take(&mut work.answer_head);
        let Work { exchange, answer_held, to_client, .. } = work;
        let Some(exchange) = exchange.as_mut() else { return broken };
        let out = to_client.writer();
        let start = out.len();
        let handler = &self.core.handler;
        let body = whole.then(|| answer_held.bytes());
        // A head that was accepted once is read again without bounds.
        let read = read_response(&head_bytes, usize::MAX, |head, framing, reason| {
            push_status_line(out, framing.status, reason);
            match body {
                Some(body) if first => handler.response_body(exchange, head, body, out),
                body => handler.response_resume(exchange, head, body, out),
            }
        });
        work.answer_head = head_bytes;
        match read {
            Ok(Some((reply, _))) => (start, reply),
            _ => broken,
        }
    }

    /// What the handler says about an answer of which all is here.
    fn follow_whole(&mut self, reply: Reply, start: usize, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        if !matches!(reply, Reply::Pass | Reply::PassAs(_)) {
            work.to_client.writer().truncate(start);
        }
        match reply {
            Reply::Pass => self.write_held_answer(),
            Reply::PassAs(status) => {
                set_status(work.to_client.writer(), start, status);
                if let Some(framing) = &mut work.answer_framing {
                    framing.status = status;
                }
                self.write_held_answer();
            }
            Reply::Replace(response) => self.answer(response, now),
            Reply::Pause(word) => {
                work.reply = Incoming::Judged { whole: true };
                work.pause = Some(Pause { word, seen: Seen::AnswerBody });
                self.waits.upstream_anew();
            }
            Reply::Hold { .. } => {
                // The seam forbids it; waiting for a second body would hang the client.
                tracing::error!("a handler asked twice for the body of an answer");
                self.answer(Response { status: 500, close: true, ..Response::default() }, now);
            }
        }
    }

    /// The answer passes as it is: its fields are written, and all of its body is here.
    fn write_held_answer(&mut self) {
        let last = self.core.answers_are_last();
        let date = self.core.date_line();
        let Some(work) = self.work.as_deref_mut() else { return };
        let Some(framing) = work.answer_framing else { return };
        let body = work.answer_held.take_bytes();
        let trailers = mem::take(&mut work.answer_trailers);
        let bodiless = work.is_bodiless(framing.status);
        work.status = framing.status;
        work.framed = true;
        work.keep_alive = work.facts.keep_alive && !last && work.can_drain();
        let chunks = !trailers.is_empty() && !work.facts.http10;
        let out = work.to_client.writer();
        if !framing.dated {
            out.extend_from_slice(&date);
        }
        let length = if bodiless { framing.length } else { Some(body.len() as u64) };
        let told_in_chunks = framing.chunked && framing.status != 204 && !work.facts.http10;
        let in_chunks = if bodiless { told_in_chunks } else { chunks };
        if in_chunks {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if let Some(length) = length.filter(|_| !matches!(framing.status, 204)) {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        work.end_head();
        work.reply = Incoming::Done;
        self.phase = Phase::Answer;
        if bodiless {
            return;
        }
        work.answered = body.len() as u64;
        if !chunks {
            return work.to_client.append(body);
        }
        let out = work.to_client.writer();
        if !body.is_empty() {
            push_chunk_size(out, body.len());
            out.extend_from_slice(&body);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n");
        out.extend_from_slice(&trailers);
        out.extend_from_slice(b"\r\n");
    }
}

impl<H: Handler> Work<H> {
    /// Does no body follow an answer of this status to this request?
    fn is_bodiless(&self, status: u16) -> bool {
        self.facts.is_head || matches!(status, 204 | 304)
    }
}

/// Puts another status line in place of the one that begins at `start`.
fn set_status(out: &mut Vec<u8>, start: usize, status: u16) {
    let line = out.get(start..).and_then(|rest| memchr::memchr(b'\n', rest));
    let Some(end) = line.map(|length| start + length + 1) else { return };
    let mut other = Vec::with_capacity(64);
    push_status_line(&mut other, status, reason(status));
    out.splice(start..end, other);
}
