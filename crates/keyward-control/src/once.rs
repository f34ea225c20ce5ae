//! Writes that are done once, however often they are asked for (`Idempotency-Key`).
//!
//! The answer is kept in the write's own transaction, so the writer lets the asker write it before it commits: it hands out what came
//! of the work, waits for the answer's bytes, keeps them, commits, and only then says that the answer may be sent.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyward_store::GivenAnswer;
use tokio::sync::oneshot;

use crate::{Actor, Control, ControlError, ErrorKind};

/// How long the writer waits for an answer to be written: it takes microseconds, unless the asker is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A write that is to be done once.
#[derive(Clone)]
pub struct Once {
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) digest: Vec<u8>,
    hands: Arc<Hands>,
}

/// What writer and asker hand each other.
struct Hands {
    written: (Mutex<Option<oneshot::Sender<Vec<u8>>>>, Mutex<Option<oneshot::Receiver<Vec<u8>>>>),
    held: (
        Mutex<Option<oneshot::Sender<Result<(), ControlError>>>>,
        Mutex<Option<oneshot::Receiver<Result<(), ControlError>>>>,
    ),
}

/// What is known of a key.
pub enum Before {
    /// Nothing: it is to be done.
    Nothing,
    /// It was done, with this answer, which may hold secrets.
    Answered(Vec<u8>),
}

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Answered(_) => "Answered(…)",
        })
    }
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Once {
    /// A write by this actor on this route under this key; `request` is everything that must be the same the next time.
    pub fn new(actor: &Actor, route: &str, key: &str, request: &[u8]) -> Self {
        // Another token of the same operator is the same operator.
        let who = match actor.operator() {
            Some(acting) => acting.id.to_string(),
            None => actor.to_string(),
        };
        let (write, written) = oneshot::channel();
        let (hold, held) = oneshot::channel();
        let hands = Hands {
            written: (Mutex::new(Some(write)), Mutex::new(Some(written))),
            held: (Mutex::new(Some(hold)), Mutex::new(Some(held))),
        };
        Self {
            scope: format!("{who} {route}"),
            key: key.to_owned(),
            digest: aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, request).as_ref().to_vec(),
            hands: Arc::new(hands),
        }
    }

    /// Asker: does the writer wait for the answer, because something was done?
    pub fn is_awaited(&self) -> bool {
        self.hands.written.1.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Asker: hands the answer over and waits until it holds.
    ///
    /// # Errors
    /// The write did not hold after all: this is the answer.
    pub async fn answered(&self, answer: Vec<u8>) -> Result<(), ControlError> {
        let lost = || {
            let text = "the write was interrupted: look whether it was done before you try again";
            ControlError::new(ErrorKind::StoreUnavailable, "outcome_unknown", text)
        };
        let send = take(&self.hands.written.0).ok_or_else(lost)?;
        let held = take(&self.hands.held.1).ok_or_else(lost)?;
        // The writer that is gone says so below.
        let _ = send.send(answer);
        held.await.map_err(|_| lost())?
    }

    /// Writer: waits for the answer, if it has not been asked for by an earlier write of the same request.
    pub(crate) fn await_answer(&self) -> Option<impl Future<Output = Option<Vec<u8>>> + Send + use<>> {
        let written = take(&self.hands.written.1)?;
        Some(async move { tokio::time::timeout(PATIENCE, written).await.ok().and_then(Result::ok) })
    }

    /// Writer: says whether it holds.
    pub(crate) fn holds(&self, outcome: Result<(), ControlError>) {
        if let Some(hold) = take(&self.hands.held.0) {
            let _ = hold.send(outcome);
        }
    }

    pub(crate) fn given(&self, answer: Vec<u8>) -> GivenAnswer {
        GivenAnswer { body_digest: self.digest.clone(), answer }
    }
}

impl Control {
    /// What came of this write before, if it was asked for.
    ///
    /// # Errors
    /// The key was used for something else, or the store does not answer.
    pub async fn before(&self, once: &Once) -> Result<Before, ControlError> {
        let mut reader = self.store().reader().await?;
        let given = reader.reads().given_answer(&once.scope, &once.key, self.now()).await?;
        match given {
            None => Ok(Before::Nothing),
            Some(given) if given.body_digest == once.digest => Ok(Before::Answered(given.answer)),
            Some(_) => {
                let text = "this Idempotency-Key was used for another request: use a new one for each";
                Err(ControlError::new(ErrorKind::Invalid, "idempotency_key_reused", text))
            }
        }
    }
}

/// The write was done meanwhile, by the same request sent twice.
pub(crate) fn done_meanwhile() -> ControlError {
    let text = "the same request is done already: its answer is kept";
    ControlError::new(ErrorKind::Conflict, DONE_MEANWHILE, text)
}

/// The code of a write that was done meanwhile under the same key.
pub const DONE_MEANWHILE: &str = "idempotency_key_done";

impl PartialEq for Once {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.hands, &other.hands)
    }
}

impl Eq for Once {}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("scope", &self.scope).finish_non_exhaustive()
    }
}
