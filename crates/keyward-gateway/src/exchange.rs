//! What is remembered of one request until it is over.

use std::cell::Cell;
use std::rc::Rc;

use keyward_access::DigestCheck;
use keyward_http::{BodyVerdict, Response};
use keyward_model::{CallerId, DenyReason, PluginId, Timestamp};
use md5::{Digest as _, Md5};

use crate::RequestId;
use crate::outbound::Standing;
use crate::plugin::Run;
use crate::published::PublishedApi;
use crate::record::Line;
use crate::replay::Asked;

/// What is remembered of one request until it is over.
#[derive(Debug)]
pub struct Exchange {
    pub(crate) request_id: RequestId,
    /// When its head was complete.
    pub(crate) began: Timestamp,
    pub(crate) line: Line,
    /// The record's middle part is written.
    pub(crate) is_decided: bool,
    /// Set by whatever ends it badly; a [`Cell`] because a stream's end is found by looking.
    pub(crate) reason: Cell<Option<DenyReason>>,
    pub(crate) api: Option<Rc<PublishedApi>>,
    /// Who was proven to call.
    pub(crate) caller: Option<CallerId>,
    /// There once it was let go.
    pub(crate) standing: Option<Standing>,
    /// When its grant was first seen to have ended, in milliseconds of the monotonic clock.
    pub(crate) ended_ms: Cell<Option<u64>>,
    pub(crate) digest: Option<Box<RunningDigest>>,
    /// What the shared replay memory was asked.
    pub(crate) asked: Option<Box<Asked>>,
    /// Its way through the plugins that are bound to what it calls.
    pub(crate) plugins: Option<Box<Run>>,
    /// The plugin that ended it, or that its permit rests on.
    pub(crate) plugin: Option<PluginId>,
    /// What plugins that admit callers ask for, where it presented nothing that holds.
    pub(crate) challenges: Vec<Box<str>>,
    /// Its nonce was remembered, by itself.
    pub(crate) has_nonce: bool,
    /// It asked for a head only, so that no body follows.
    pub(crate) is_head: bool,
    /// It has waited for a key set.
    pub(crate) has_nudged: bool,
    /// Its body is held only up to the size above which the API would have to let it stream.
    pub(crate) is_held_for_digest: bool,
}

/// The digest of a body that streams, and what it must come to.
#[derive(Debug)]
pub(crate) struct RunningDigest {
    hasher: Md5,
    expected: DigestCheck,
}

impl Exchange {
    pub(crate) fn new(request_id: RequestId, line: Line, began: Timestamp) -> Self {
        Self {
            request_id,
            began,
            line,
            is_decided: false,
            reason: Cell::new(None),
            api: None,
            caller: None,
            standing: None,
            ended_ms: Cell::new(None),
            digest: None,
            asked: None,
            plugins: None,
            plugin: None,
            challenges: Vec::new(),
            has_nonce: false,
            is_head: false,
            has_nudged: false,
            is_held_for_digest: false,
        }
    }

    /// Adds what plugins say in every answer.
    pub(crate) fn add_fields(&self, response: &mut Response) {
        if let Some(run) = &self.plugins {
            response.fields.extend_from_slice(&run.added);
        }
    }
}

impl RunningDigest {
    pub(crate) fn new(expected: DigestCheck) -> Self {
        Self { hasher: Md5::new(), expected }
    }

    pub(crate) fn take(&mut self, chunk: &[u8]) {
        self.hasher.update(chunk);
    }

    /// The body is complete: may its end go?
    pub(crate) fn verdict(self) -> BodyVerdict {
        // The digest was sent by the client itself, so comparing it need not take constant time.
        let digest: [u8; 16] = self.hasher.finalize().into();
        if digest == self.expected.md5 { BodyVerdict::Release } else { BodyVerdict::Abort }
    }
}
