//! The upstream's answer on its way to the client.

use crate::buffer::COPY_MAX;
use crate::codec::{
    BodyReader, HeadEnd, Piece, ResponseFraming, push_chunk_size, push_decimal, push_status_line,
    read_response, read_trailers, trailer_may_pass,
};
use crate::handler::{Handler, Reply, UpstreamFailure};
use crate::moment::Moment;

use super::work::{Incoming, Link, Work};
use super::{Connection, Phase, Spent};

/// Most informational answers before the final one.
const INTERIMS_MAX: u8 = 8;

impl<H: Handler> Connection<H> {
    /// Moves answer bytes on as long as there are some and the client's side has room.
    pub(super) fn pump_answer(&mut self, now: Moment) {
        loop {
            let Some(work) = self.work.as_deref_mut() else { return };
            let moved = match work.reply {
                Incoming::Head => self.read_answer_head(now),
                Incoming::Body(_) => self.move_answer_body(now),
                Incoming::Held(_) => self.hold_answer_body(now),
                Incoming::Judged { .. } | Incoming::Done => false,
            };
            if !moved {
                return;
            }
        }
    }

    /// `true` if an answer head was read and there may be more to do.
    fn read_answer_head(&mut self, now: Moment) -> bool {
        let Some(work) = self.work.as_deref_mut() else { return false };
        let Some(input) = work.answer_input.as_mut().filter(|input| !input.is_empty()) else { return false };
        let bytes = input.filled();
        let head_max = self.core.limits().head_bytes;
        // As with requests: what is complete is parsed at once, what is not is looked through for its end as it grows.
        if !work.answer_end.is_fresh() && awaits_head(&mut work.answer_end, bytes, head_max) {
            return false;
        }
        let Some(exchange) = work.exchange.as_mut() else { return false };
        let out = work.to_client.writer();
        let start = out.len();
        let read = read_response(bytes, head_max, |head, framing, reason| {
            if framing.status < 200 {
                return (framing, Reply::Pass);
            }
            push_status_line(out, framing.status, reason);
            (framing, self.core.handler.response_head(exchange, head, out))
        });
        match read {
            Ok(None) if awaits_head(&mut work.answer_end, bytes, head_max) => false,
            Ok(None) | Err(_) => self.answer_is_malformed(now),
            Ok(Some(((framing, Reply::Pass), end))) if framing.status >= 200 => {
                input.consume(end);
                self.begin_answer(framing);
                true
            }
            Ok(Some(((framing, reply), end))) if framing.status >= 200 => {
                work.answer_head.extend_from_slice(bytes.get(..end).unwrap_or_default());
                input.consume(end);
                self.follow_reply(reply, framing, start, now)
            }
            Ok(Some(((framing, _), end))) => {
                input.consume(end);
                work.answer_end = HeadEnd::default();
                // Interim answers are ours to give: the client's `100` was sent when its request was let on, and
                // nothing was asked to be upgraded.
                work.interims += 1;
                let unasked = framing.status == 101 || work.interims > INTERIMS_MAX;
                if unasked { self.answer_is_malformed(now) } else { true }
            }
        }
    }

    pub(super) fn answer_is_malformed(&mut self, now: Moment) -> bool {
        self.fail(UpstreamFailure::Malformed, now);
        false
    }

    /// Closes the answer's head with our framing, and gets ready for its body.
    pub(super) fn begin_answer(&mut self, framing: ResponseFraming) {
        let last = self.core.answers_are_last();
        let date = self.core.date_line();
        let Some(work) = self.work.as_deref_mut() else { return };
        work.status = framing.status;
        work.upstream_keeps_alive = framing.keep_alive;
        let bodiless = work.facts.is_head || matches!(framing.status, 204 | 304);
        let unknown_length = framing.length.is_none();
        work.chunks = unknown_length && !bodiless && !work.facts.http10;
        work.framed = bodiless || !unknown_length || work.chunks;
        work.keep_alive = work.facts.keep_alive && work.framed && work.request_complete && !last;
        let out = work.to_client.writer();
        if !framing.dated {
            // RFC 9110, section 6.6.1: who forwards an answer without a date adds one.
            out.extend_from_slice(&date);
        }
        match framing.length {
            Some(length) if framing.status != 204 => {
                out.extend_from_slice(b"Content-Length: ");
                push_decimal(out, length);
                out.extend_from_slice(b"\r\n");
            }
            None if work.chunks
                || bodiless && framing.chunked && framing.status != 204 && !work.facts.http10 =>
            {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
            _ => {}
        }
        work.end_head();
        work.reply = Incoming::Body(reader_of(framing, bodiless));
    }

    /// `true` if something moved and there may be more to do.
    fn move_answer_body(&mut self, now: Moment) -> bool {
        let Some(work) = self.work.as_deref_mut() else { return false };
        let Incoming::Body(reader) = &mut work.reply else { return false };
        if !work.to_client.is_open() {
            return false;
        }
        if reader.is_used_up() {
            self.end_answer(b"");
            return false;
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
                work.move_answer_piece(data);
                true
            }
            Ok(Piece::End { skip, trailers }) => {
                input.consume(skip);
                let section = input.filled().get(..trailers).unwrap_or_default();
                let Some(passing) = passing_trailers(section) else { return self.answer_is_malformed(now) };
                input.consume(trailers);
                self.end_answer(&passing);
                false
            }
        }
    }

    /// The answer is complete: the upstream connection is free, and the client gets the end.
    fn end_answer(&mut self, trailers: &[u8]) {
        let Some(work) = self.work.as_deref_mut() else { return };
        if work.chunks {
            let out = work.to_client.writer();
            out.extend_from_slice(b"0\r\n");
            out.extend_from_slice(trailers);
            out.extend_from_slice(b"\r\n");
        }
        work.reply = Incoming::Done;
        self.phase = Phase::Answer;
        self.release_upstream();
    }

    /// The answer is complete: its connection serves the next request, if nothing is in doubt about it.
    pub(super) fn release_upstream(&mut self) {
        let Some(work) = self.work.as_deref_mut() else { return };
        let clean = work.upstream_keeps_alive
            && work.request_complete
            && work.all_sent()
            && work.answer_input.as_ref().is_none_or(|input| input.is_empty())
            && matches!(work.link, Link::Open { .. });
        if clean {
            work.link = Link::None;
            self.spent = Some(Spent::Reuse);
        } else {
            self.discard_upstream();
        }
    }

    /// The upstream's sending side ended.
    pub(super) fn answer_ended(&mut self, clean: bool, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        if self.phase != Phase::Carry {
            return;
        }
        match &work.reply {
            Incoming::Done | Incoming::Judged { .. } => {}
            Incoming::Head => self.answer_never_began(now),
            Incoming::Body(BodyReader::UntilClose) if clean => {
                work.upstream_keeps_alive = false;
                self.end_answer(b"");
            }
            Incoming::Held(BodyReader::UntilClose) if clean => {
                work.upstream_keeps_alive = false;
                self.judge_held_answer(now);
            }
            Incoming::Body(_) | Incoming::Held(_) => self.fail(UpstreamFailure::Closed, now),
        }
    }

    /// A pooled connection may have been closed by its upstream just before it was used: then, and only then, the
    /// request is sent once more on a fresh one, if it can be and may be.
    fn answer_never_began(&mut self, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        let nothing_came =
            work.interims == 0 && work.answer_input.as_ref().is_none_or(|input| input.is_empty());
        let idempotent = work.forward.as_ref().is_some_and(|forward| forward.idempotent);
        let may_repeat = idempotent || work.to_upstream.is_untouched();
        if !(work.link.is_reused() && work.replayable && nothing_came && may_repeat) {
            return self.fail(UpstreamFailure::Closed, now);
        }
        self.core.counters.upstream_retried.add(1);
        self.spent = Some(Spent::Discard);
        work.to_upstream.rewind();
        work.link = Link::Wanted { fresh: true };
    }
}

impl<H: Handler> Work<H> {
    /// Writes `Connection` and the empty line.
    pub(super) fn end_head(&mut self) {
        let out = self.to_client.writer();
        if !self.keep_alive {
            out.extend_from_slice(b"Connection: close\r\n\r\n");
        } else if self.facts.http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n\r\n");
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }

    fn move_answer_piece(&mut self, data: usize) {
        let Some(input) = self.answer_input.as_mut() else { return };
        self.answered += data as u64;
        if self.chunks {
            push_chunk_size(self.to_client.writer(), data);
        }
        let after: &[u8] = if self.chunks { b"\r\n" } else { b"" };
        if data <= COPY_MAX {
            let piece = input.filled().get(..data).unwrap_or_default();
            let out = self.to_client.writer();
            out.extend_from_slice(piece);
            out.extend_from_slice(after);
            input.consume(data);
        } else {
            self.to_client.pass_through(data, after);
        }
    }

    /// Nothing of the request is left to send.
    fn all_sent(&self) -> bool {
        self.to_upstream.is_empty()
    }
}

/// What reads the body that follows such a head.
pub(super) fn reader_of(framing: ResponseFraming, bodiless: bool) -> BodyReader {
    match framing {
        _ if bodiless => BodyReader::Length(0),
        ResponseFraming { chunked: true, .. } => BodyReader::chunked(),
        ResponseFraming { length: Some(length), .. } => BodyReader::Length(length),
        _ => BodyReader::UntilClose,
    }
}

/// Whether `bytes` can still become an answer head. Who speaks another protocol is not waited for.
fn awaits_head(end: &mut HeadEnd, bytes: &[u8], head_max: usize) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(START.len());
    bytes.get(..known) == START.get(..known) && bytes.len() <= head_max && matches!(end.find(bytes), Ok(None))
}

/// The trailer fields that may reach the client, as they go on the wire; `None` if they are not well-formed.
pub(super) fn passing_trailers(section: &[u8]) -> Option<Vec<u8>> {
    let mut passing = Vec::new();
    if section.len() > 2 {
        let read = read_trailers(section, |field| {
            if trailer_may_pass(field.name) {
                passing.extend_from_slice(field.name.as_bytes());
                passing.extend_from_slice(b": ");
                passing.extend_from_slice(field.value);
                passing.extend_from_slice(b"\r\n");
            }
        });
        read.ok()?;
    }
    Some(passing)
}
