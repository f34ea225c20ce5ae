//! Answers that are written here: the handler's own, refusals and failures; and what follows an answer.

use crate::codec::{push_decimal, push_status_line, reason};
use crate::handler::{BodyLength, Handler, Refused, Response, UpstreamFailure};
use crate::moment::Moment;

use super::work::{Incoming, Work};
use super::{Connection, Phase};

/// Largest rest of a request body that is passed over to keep its connection.
pub(super) const DRAIN_MAX: usize = 64 * 1024;

impl<H: Handler> Connection<H> {
    /// The message is not acceptable: answer that and close.
    pub(super) fn refuse(&mut self, refused: Refused, now: Moment) {
        self.core.counters.refused.add(1);
        if self.work.as_ref().is_some_and(|work| work.status != 0) {
            return self.cut(now);
        }
        self.discard_upstream();
        let work = self.work.get_or_insert_with(|| self.core.take_work());
        let mut response = self.core.handler.refused(work.exchange.as_mut(), refused, &self.peer);
        response.close = true;
        self.answer(response, now);
    }

    /// The upstream gave no (complete) answer: let the handler write one, or cut the one that has begun.
    pub(super) fn fail(&mut self, failure: UpstreamFailure, now: Moment) {
        self.discard_upstream();
        let Some(work) = self.work.as_deref_mut() else { return };
        match work.exchange.as_mut() {
            Some(exchange) if work.status == 0 => {
                let response = self.core.handler.failed(exchange, failure);
                self.answer(response, now);
            }
            _ => self.cut(now),
        }
    }

    /// Writes `response` as the answer to the request in progress.
    pub(super) fn answer(&mut self, response: Response, _now: Moment) {
        let last = self.core.answers_are_last();
        let date = self.core.date_line();
        let Some(work) = self.work.as_deref_mut() else { return };
        work.keep_alive = work.facts.keep_alive && !response.close && !last && work.can_drain();
        work.status = response.status;
        work.framed = true;
        work.reply = Incoming::Done;
        let out = work.to_client.writer();
        push_status_line(out, response.status, reason(response.status));
        out.extend_from_slice(&response.fields);
        out.extend_from_slice(&date);
        let bodiless = matches!(response.status, 100..=199 | 204 | 304);
        if !bodiless {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, response.body.len() as u64);
            out.extend_from_slice(b"\r\n");
        }
        work.end_head();
        if !bodiless && !work.facts.is_head {
            work.answered = response.body.len() as u64;
            work.to_client.append(response.body);
        }
        self.phase = Phase::Answer;
    }

    pub(super) fn run_answer(&mut self, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        if !work.to_client.is_empty() {
            return;
        }
        self.finish(true, now);
        let Some(work) = self.work.as_deref_mut() else { return };
        if work.keep_alive && work.request_complete {
            self.await_next();
        } else if work.keep_alive {
            self.phase = Phase::Drain;
        } else if work.request_complete && !work.facts.keep_alive && self.input_is_empty() {
            self.phase = Phase::Over;
        } else {
            self.linger();
        }
    }

    /// Closes our side and reads on for a while.
    pub(super) fn linger(&mut self) {
        self.throw_input_away();
        if let Some(work) = self.work.take() {
            self.core.give_back(work);
        }
        self.shutdown_wanted = true;
        self.phase = Phase::Linger;
    }

    fn input_is_empty(&self) -> bool {
        self.input.as_ref().is_none_or(|input| input.is_empty())
    }
}

impl<H: Handler> Work<H> {
    /// Whether the rest of the request body is small enough to be passed over. A client that was not told to send
    /// its body may or may not do so: then nobody knows where the next request begins.
    pub(super) fn can_drain(&self) -> bool {
        let small = match self.facts.body {
            BodyLength::None => true,
            BodyLength::Known(length) => length.saturating_sub(self.received) <= DRAIN_MAX as u64,
            BodyLength::Chunked => true,
        };
        self.request_complete || self.continued && small
    }
}
