//! Waiting for word from elsewhere before the handler can go on: nothing is read meanwhile, and other connections of
//! the core go on.

use std::future::Future;
use std::mem;
use std::pin::Pin;

use crate::codec::read_request;
use crate::handler::{Handler, Refused, Response, Step, Word};
use crate::moment::Moment;

use super::hold::ACCEPTED;
use super::work::Work;
use super::{Connection, Phase};

/// What is kept of a request while word is awaited.
pub(super) struct Pause {
    pub(super) word: Word,
    /// What the handler has seen.
    pub(super) seen: Seen,
}

/// What the handler has seen that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A request whose body streams, or that has none.
    Nothing,
    /// A request with a body of so many bytes that the input begins with.
    Input(usize),
    /// A request with the body that was held.
    Held,
    /// An answer's head.
    AnswerHead,
    /// An answer with the body that was held.
    AnswerBody,
}

impl<H: Handler> Connection<H> {
    /// Waits. The request's head must have been kept.
    pub(super) fn pause(&mut self, word: Word, seen: Seen) {
        let Some(work) = self.work.as_deref_mut() else { return };
        work.pause = Some(Pause { word, seen });
        self.waits.upstream_anew();
        self.phase = Phase::Pause;
    }

    /// The word that is awaited, to be polled.
    pub(crate) fn wants_word(&mut self) -> Option<Pin<&mut (dyn Future<Output = ()> + 'static)>> {
        self.work.as_deref_mut()?.pause.as_mut().map(|pause| pause.word.future.as_mut())
    }

    /// The word is there (or is not waited for any longer): the handler goes on.
    pub(crate) fn word_came(&mut self, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        let Some(Pause { seen, .. }) = work.pause.take() else { return };
        if matches!(seen, Seen::AnswerHead | Seen::AnswerBody) {
            self.judge_answer_again(seen == Seen::AnswerBody, now);
            return self.run(now);
        }
        let head_bytes = mem::take(&mut work.held_head);
        let step = self.ask_again(&head_bytes, seen);
        let Some(work) = self.work.as_deref_mut() else { return };
        match step {
            Err(refused) => self.refuse(refused, now),
            Ok(None) => self.refuse(Refused::Malformed("head is not complete"), now),
            Ok(Some(Step::Pause(word))) => {
                work.held_head = head_bytes;
                self.pause(word, seen);
            }
            Ok(Some(step)) => match seen {
                Seen::Nothing => {
                    work.held_head = head_bytes;
                    self.follow(step, now);
                }
                Seen::Input(body_bytes) => self.follow_first(step, Some(body_bytes), now),
                _ => self.follow_held(step, now),
            },
        }
        self.run(now);
    }

    fn ask_again(&mut self, head_bytes: &[u8], seen: Seen) -> Result<Option<Step>, Refused> {
        let Some(work) = self.work.as_deref_mut() else { return Ok(None) };
        let Work { exchange, held, to_upstream, .. } = work;
        let Some(exchange) = exchange.as_mut() else { return Ok(None) };
        let body = match seen {
            Seen::Nothing | Seen::AnswerHead | Seen::AnswerBody => None,
            Seen::Input(count) => {
                self.input.as_ref().and_then(|input| input.filled().get(..count)).or(Some(b""))
            }
            Seen::Held => Some(held.bytes()),
        };
        let out = to_upstream.writer();
        out.clear();
        read_request(head_bytes, &ACCEPTED, |head, _, _| {
            self.core.handler.resume(exchange, head, &self.peer, body, out)
        })
    }

    /// What a handler says about a request whose whole body was held.
    pub(super) fn follow_held(&mut self, step: Step, now: Moment) {
        match step {
            Step::Forward(forward) => {
                let body = self.work.as_deref_mut().map(|work| work.held.take_bytes()).unwrap_or_default();
                self.forward_held(forward, body);
            }
            Step::Respond(response) => self.answer(response, now),
            Step::Pause(word) => self.pause(word, Seen::Held),
            Step::Hold { .. } => {
                // The seam forbids it; waiting for a second body would hang the client.
                tracing::error!("a handler asked twice for the same body");
                self.answer(Response { status: 500, close: true, ..Response::default() }, now);
            }
        }
    }
}
