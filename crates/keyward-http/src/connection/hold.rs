//! Holding a body back until the handler has judged it.

use std::mem;

use crate::codec::{HeadLimits, Piece, read_request, read_trailers};
use crate::handler::{BodyLength, Handler, Refused, Step};
use crate::limits::FIELDS_MAX;
use crate::moment::Moment;

use super::{Connection, Phase};

/// A head that was accepted once is read again without bounds.
pub(super) const ACCEPTED: HeadLimits =
    HeadLimits { head_bytes: usize::MAX, target_bytes: usize::MAX, fields: FIELDS_MAX, body_bytes: u64::MAX };

impl<H: Handler> Connection<H> {
    /// Starts to hold a body of at most `limit` bytes.
    pub(super) fn hold(&mut self, limit: usize, now: Moment) {
        let limit = usize::try_from(self.core.limits().body_bytes).map_or(limit, |most| limit.min(most));
        let Some(work) = self.work.as_deref_mut() else { return };
        if matches!(work.facts.body, BodyLength::Known(length) if length > limit as u64) {
            return self.refuse(Refused::BodyTooLarge, now);
        }
        work.held.start(limit, &self.core.node);
        self.phase = Phase::Hold;
        if work.request_complete {
            // There is none: nothing will come that could end it.
            return self.judge_held(now);
        }
        self.send_continue();
    }

    pub(super) fn run_hold(&mut self, now: Moment) {
        let budget = self.core.limits().held_bytes;
        while let (Some(work), Some(input)) = (self.work.as_deref_mut(), self.input.as_mut()) {
            match work.body.next(input.filled()) {
                Err(fault) => return self.refuse(Refused::Malformed(fault), now),
                Ok(Piece::More { skip }) => {
                    input.consume(skip);
                    return;
                }
                Ok(Piece::Data { skip, data }) => {
                    input.consume(skip);
                    let piece = input.filled().get(..data).unwrap_or_default();
                    work.received += data as u64;
                    if work.held.bytes().len() + data > work.held.limit {
                        return self.refuse(Refused::BodyTooLarge, now);
                    }
                    if !work.held.push(piece, budget) {
                        return self.refuse(Refused::Busy, now);
                    }
                    input.consume(data);
                    if work.body.is_used_up() {
                        return self.judge_held(now);
                    }
                }
                Ok(Piece::End { skip, trailers }) => {
                    input.consume(skip);
                    let section = input.filled().get(..trailers).unwrap_or_default();
                    if trailers > 0
                        && let Err(fault) = read_trailers(section, |_| {})
                    {
                        return self.refuse(Refused::Malformed(fault), now);
                    }
                    input.consume(trailers);
                    return self.judge_held(now);
                }
            }
        }
    }

    fn judge_held(&mut self, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        work.request_complete = true;
        let head_bytes = mem::take(&mut work.held_head);
        let Some(exchange) = work.exchange.as_mut() else { return };
        let out = work.to_upstream.writer();
        out.clear();
        let step = read_request(&head_bytes, &ACCEPTED, |head, _, _| {
            self.core.handler.body(exchange, head, &self.peer, work.held.bytes(), out)
        });
        match step {
            Err(refused) => self.refuse(refused, now),
            Ok(None) => self.refuse(Refused::Malformed("head is not complete"), now),
            Ok(Some(step)) => {
                if matches!(step, Step::Pause(_)) {
                    work.held_head = head_bytes;
                }
                self.follow_held(step, now);
            }
        }
    }
}
