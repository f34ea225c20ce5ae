//! The request's body on its way upstream.

use crate::buffer::COPY_MAX;
use crate::codec::{Piece, push_chunk_size, read_trailers};
use crate::handler::{BodyLength, BodyVerdict, Handler, Refused, UpstreamFailure};
use crate::moment::Moment;

use super::work::Work;
use super::{Connection, Phase};

impl<H: Handler> Connection<H> {
    /// Moves body bytes on as long as there are some and the upstream's side has room.
    pub(super) fn pump_request(&mut self, now: Moment) {
        while let (Some(work), Some(input)) = (self.work.as_deref_mut(), self.input.as_mut()) {
            if !work.wants_request_bytes() {
                return;
            }
            match work.body.next(input.filled()) {
                Err(fault) => return self.refuse(Refused::Malformed(fault), now),
                Ok(Piece::More { skip }) => {
                    input.consume(skip);
                    return;
                }
                Ok(Piece::Data { skip, data }) => {
                    input.consume(skip);
                    if !self.pump_piece(data, now) {
                        return;
                    }
                }
                Ok(Piece::End { skip, trailers }) => {
                    input.consume(skip);
                    return self.end_chunked(trailers, now);
                }
            }
        }
    }

    /// Sends on the `data` body bytes that the input starts with; `false` if that ended the request.
    fn pump_piece(&mut self, data: usize, now: Moment) -> bool {
        let (Some(work), Some(input)) = (self.work.as_deref_mut(), self.input.as_mut()) else { return false };
        work.received += data as u64;
        if work.received > self.core.limits().body_bytes {
            self.refuse(Refused::BodyTooLarge, now);
            return false;
        }
        let piece = input.filled().get(..data).unwrap_or_default();
        let watched = work.forward.as_ref().is_some_and(|forward| forward.watch_body);
        if watched && let Some(exchange) = work.exchange.as_mut() {
            self.core.handler.request_chunk(exchange, piece);
        }
        let chunked = work.facts.body == BodyLength::Chunked;
        if work.body.is_used_up() {
            work.request_complete = true;
            // Before the last piece goes: its receiver must not get a complete message if the verdict is against it.
            if watched && !self.end_watched_body(now) {
                return false;
            }
        }
        let (Some(work), Some(input)) = (self.work.as_deref_mut(), self.input.as_mut()) else { return false };
        if watched && chunked {
            let piece = input.filled().get(..data).unwrap_or_default();
            work.send_kept_piece();
            work.kept_piece.extend_from_slice(piece);
            input.consume(data);
            return true;
        }
        if chunked {
            push_chunk_size(work.to_upstream.writer(), data);
        }
        let after: &[u8] = if chunked { b"\r\n" } else { b"" };
        if data <= COPY_MAX || work.replayable {
            let piece = input.filled().get(..data).unwrap_or_default();
            let out = work.to_upstream.writer();
            out.extend_from_slice(piece);
            out.extend_from_slice(after);
            input.consume(data);
        } else {
            work.to_upstream.pass_through(data, after);
        }
        true
    }

    /// The last chunk came. Request trailers are checked and dropped: nothing they say was judged.
    fn end_chunked(&mut self, trailers: usize, now: Moment) {
        let (Some(work), Some(input)) = (self.work.as_deref_mut(), self.input.as_mut()) else { return };
        let section = input.filled().get(..trailers).unwrap_or_default();
        if trailers > 0
            && let Err(fault) = read_trailers(section, |_| {})
        {
            return self.refuse(Refused::Malformed(fault), now);
        }
        input.consume(trailers);
        work.request_complete = true;
        let watched = work.forward.as_ref().is_some_and(|forward| forward.watch_body);
        if watched && !self.end_watched_body(now) {
            return;
        }
        if let Some(work) = self.work.as_deref_mut() {
            work.send_kept_piece();
            work.to_upstream.writer().extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Asks for the verdict on a watched body; `false` if it may not go.
    pub(super) fn end_watched_body(&mut self, now: Moment) -> bool {
        let Some(exchange) = self.work.as_deref_mut().and_then(|work| work.exchange.as_mut()) else {
            return false;
        };
        match self.core.handler.request_end(exchange) {
            BodyVerdict::Release => true,
            BodyVerdict::Abort => {
                self.fail(UpstreamFailure::Withheld, now);
                false
            }
        }
    }

    /// Passes over what is left of a small body after its answer, so that the connection can go on.
    pub(super) fn run_drain(&mut self) {
        while let (Some(work), Some(input)) = (self.work.as_deref_mut(), self.input.as_mut()) {
            match work.body.next(input.filled()) {
                Err(_) => return self.linger(),
                Ok(Piece::More { skip }) => {
                    input.consume(skip);
                    return;
                }
                Ok(Piece::Data { skip, data }) => {
                    input.consume(skip + data);
                    work.drained += data;
                    if work.drained > super::answer::DRAIN_MAX {
                        return self.linger();
                    }
                }
                Ok(Piece::End { skip, trailers }) => {
                    input.consume(skip);
                    let section = input.filled().get(..trailers).unwrap_or_default();
                    if trailers > 0 && read_trailers(section, |_| {}).is_err() {
                        return self.linger();
                    }
                    input.consume(trailers);
                    return self.await_next();
                }
            }
        }
    }

    /// The exchange is over and the connection goes on.
    pub(super) fn await_next(&mut self) {
        if let Some(work) = self.work.take() {
            self.core.give_back(work);
        }
        self.phase = if self.core.stopping() { Phase::Over } else { Phase::Head };
    }
}

impl<H: Handler> Work<H> {
    fn send_kept_piece(&mut self) {
        if !self.kept_piece.is_empty() {
            let out = self.to_upstream.writer();
            push_chunk_size(out, self.kept_piece.len());
            out.extend_from_slice(&self.kept_piece);
            out.extend_from_slice(b"\r\n");
            self.kept_piece.clear();
        }
    }
}
