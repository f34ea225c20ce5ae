//! HTTP calls that a plugin makes: to services that were declared for it, through whoever knows how to call them.

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;

use crate::headers::Headers;
use crate::queue::{Item, Queue};

/// Makes HTTP calls for plugins.
pub trait CallOuts: Send + Sync {
    /// Begins a call and answers at once. How it ends is told through `done`, from any thread.
    ///
    /// # Errors
    /// [`CallRefused`]: the call was not begun; `done` may be dropped.
    fn call(&self, call: CallOut, done: CallDone) -> Result<(), CallRefused>;
}

/// There is nothing to call.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCallOuts;

impl CallOuts for NoCallOuts {
    fn call(&self, _call: CallOut, _done: CallDone) -> Result<(), CallRefused> {
        Err(CallRefused::UnknownService)
    }
}

/// One HTTP call.
pub struct CallOut {
    /// The name of a declared service.
    pub service: String,
    /// `:method`, `:path`, `:authority` and others, all checked.
    pub headers: Headers,
    /// The body; empty if there is none.
    pub body: Bytes,
    /// What follows the body.
    pub trailers: Headers,
    /// After this the plugin is told that the call failed, whether or not it goes on.
    pub timeout: Duration,
    /// A longer answer is not given to the plugin.
    pub answer_bytes_max: usize,
}

/// Why a call was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRefused {
    /// No service of that name was declared for the plugin.
    UnknownService,
    /// It cannot be made now.
    Busy,
}

/// What a service answered.
#[derive(Default)]
pub struct CallAnswer {
    /// The head, with `:status`.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// What followed the body.
    pub trailers: Headers,
}

// Bodies may hold anything: they are not shown.

impl fmt::Debug for CallOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOut")
            .field("service", &self.service)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CallAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallAnswer")
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl CallAnswer {
    pub(crate) fn bytes(&self) -> usize {
        self.headers.bytes() + self.body.len() + self.trailers.bytes()
    }
}

/// Tells the plugin how its call ended. Dropped without a word, the call failed.
#[derive(Debug)]
pub struct CallDone {
    queue: Weak<Queue>,
    call: u32,
    generation: u64,
    told: bool,
}

impl CallDone {
    pub(crate) fn new(queue: Weak<Queue>, call: u32, generation: u64) -> Self {
        Self { queue, call, generation, told: false }
    }

    /// The service answered.
    pub fn answered(mut self, answer: CallAnswer) {
        self.tell(Some(answer));
    }

    /// There is no answer.
    pub fn failed(mut self) {
        self.tell(None);
    }

    fn tell(&mut self, answer: Option<CallAnswer>) {
        if !std::mem::replace(&mut self.told, true)
            && let Some(queue) = self.queue.upgrade()
        {
            // The worker may have ended meanwhile: then nobody waits.
            let _ = queue.push(Item::Called { call: self.call, generation: self.generation, answer });
        }
    }
}

impl Drop for CallDone {
    fn drop(&mut self) {
        self.tell(None);
    }
}
