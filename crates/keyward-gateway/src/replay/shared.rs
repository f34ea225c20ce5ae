//! The replay memory that several nodes share: asked after this node's own, and only about nonces that are new to it.
//!
//! Deciding does not wait, so the request does: it is set aside until the answer came, and judged anew then.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use keyward_access::NonceUse;
use keyward_http::Word;
use keyward_model::Timestamp;

use super::Unavailable;

/// A replay memory elsewhere.
pub trait SharedReplay: std::fmt::Debug + Send + Sync + 'static {
    /// Asks whether a nonce is new, and has it remembered. Must not block, and must see to it that `reply` is answered
    /// (or dropped, which says that nobody knows) within the time that a request may be kept waiting.
    fn ask(&self, nonce: NonceUse, now: Timestamp, reply: SharedReply);
}

/// What a shared replay memory says about a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedAnswer {
    /// Not seen before by any node; it is remembered now.
    Fresh,
    /// Used before.
    Replayed,
    /// It cannot be told.
    Unavailable(Unavailable),
}

/// Where the answer goes. It wakes whoever waits for it.
#[derive(Debug)]
pub struct SharedReply(Arc<Slot>);

/// A question that was asked, kept with its request.
#[derive(Debug)]
pub(crate) struct Asked {
    nonce: NonceUse,
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    answer: Option<SharedAnswer>,
    waiting: Option<Waker>,
}

impl SharedReply {
    /// Answers. Only the first answer counts.
    pub fn answer(self, answer: SharedAnswer) {
        self.0.answer(answer);
    }
}

impl Drop for SharedReply {
    fn drop(&mut self) {
        self.0.answer(SharedAnswer::Unavailable(Unavailable::Unreachable));
    }
}

impl Slot {
    fn answer(&self, answer: SharedAnswer) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.answer.get_or_insert(answer);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// Asks, and hands out what the request waits for.
pub(crate) fn ask(memory: &dyn SharedReplay, nonce: &NonceUse, now: Timestamp) -> (Asked, Word) {
    let slot = Arc::new(Slot::default());
    memory.ask(nonce.clone(), now, SharedReply(Arc::clone(&slot)));
    (Asked { nonce: nonce.clone(), slot: Arc::clone(&slot) }, Word::new(Awaited(slot)))
}

/// What a request waits for until this is dropped.
pub(crate) fn until_dropped() -> (Box<dyn Send>, Word) {
    let slot = Arc::new(Slot::default());
    (Box::new(SharedReply(Arc::clone(&slot))), Word::new(Awaited(slot)))
}

impl Asked {
    /// What was answered about this nonce: no answer, or one about another nonce, says nothing.
    pub(crate) fn answer_about(&self, nonce: &NonceUse) -> SharedAnswer {
        let unknown = SharedAnswer::Unavailable(Unavailable::Unreachable);
        if (self.nonce.caller, &self.nonce.nonce) != (nonce.caller, &nonce.nonce) {
            return unknown;
        }
        self.slot.0.lock().unwrap_or_else(PoisonError::into_inner).answer.unwrap_or(unknown)
    }
}

/// Ready once the answer is there.
struct Awaited(Arc<Slot>);

impl Future for Awaited {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.answer.is_some() {
            return Poll::Ready(());
        }
        state.waiting = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::{CallerId, CallerKind};
    use uuid::Uuid;

    /// Keeps what it was asked, and answers when told.
    #[derive(Debug, Default)]
    struct Desk(Mutex<Vec<SharedReply>>);

    impl SharedReplay for Desk {
        fn ask(&self, _: NonceUse, _: Timestamp, reply: SharedReply) {
            self.0.lock().unwrap().push(reply);
        }
    }

    fn nonce(text: &str) -> NonceUse {
        NonceUse {
            caller: CallerId::from_uuid(CallerKind::Application, Uuid::from_u128(1)),
            nonce: text.into(),
            until: Timestamp::from_millis(1_000),
            timestamp: None,
            required: true,
        }
    }

    fn poll(word: &mut Word) -> Poll<()> {
        Pin::new(word).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_answer_is_about_the_nonce_that_was_asked() {
        let desk = Desk::default();
        let (asked, mut word) = ask(&desk, &nonce("a"), Timestamp::from_millis(0));
        assert_eq!(poll(&mut word), Poll::Pending);
        let unknown = SharedAnswer::Unavailable(Unavailable::Unreachable);
        assert_eq!(asked.answer_about(&nonce("a")), unknown, "no answer is no permit");
        desk.0.lock().unwrap().pop().unwrap().answer(SharedAnswer::Fresh);
        assert_eq!(poll(&mut word), Poll::Ready(()));
        assert_eq!(asked.answer_about(&nonce("a")), SharedAnswer::Fresh);
        assert_eq!(asked.answer_about(&nonce("b")), unknown);
    }

    #[test]
    fn who_forgets_a_question_has_said_that_nobody_knows() {
        let desk = Desk::default();
        let (asked, mut word) = ask(&desk, &nonce("a"), Timestamp::from_millis(0));
        desk.0.lock().unwrap().clear();
        assert_eq!(poll(&mut word), Poll::Ready(()));
        assert_eq!(asked.answer_about(&nonce("a")), SharedAnswer::Unavailable(Unavailable::Unreachable));
    }
}
