//! What the host keeps for one instance: the guest's requests, calls and timers. Host functions work on this.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use wasmtime::{Memory, ResourceLimiter, TypedFunc};

use crate::call_out::CallAnswer;
use crate::event::{Answer, Body, Changes, Event, Facts, LocalReply, Phase};
use crate::failure::Failure;
use crate::headers::{HeaderMap, Headers};
use crate::log::{Log, LogLevel};
use crate::queue::Queue;
use crate::running::Common;

/// The root context's id; requests have larger ones.
pub(crate) const ROOT: u32 = 1;

pub(crate) struct State {
    pub(crate) common: Arc<Common>,
    pub(crate) queue: Weak<Queue>,
    /// Which instance of its worker this is.
    pub(crate) generation: u64,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
    /// The guest's allocator runs: it gets no memory from itself.
    pub(crate) allocating: bool,
    pub(crate) streams: HashMap<u32, Stream>,
    /// The context that host functions are about.
    pub(crate) effective: u32,
    /// Requests of which a host function said something that their event waits for.
    pub(crate) touched: Vec<u32>,
    /// Contexts of which the guest said that they are done.
    pub(crate) done: Vec<u32>,
    pub(crate) due: BTreeSet<(Instant, Due)>,
    pub(crate) tick: Option<(Duration, Instant)>,
    pub(crate) calls: HashMap<u32, InFlight>,
    pub(crate) last_call: u32,
    /// The answer that `proxy_on_http_call_response` is about.
    pub(crate) answer: Option<CallAnswer>,
    pub(crate) listens: bool,
    /// The root's `proxy_on_done` was answered with false.
    pub(crate) root_ending: bool,
    pub(crate) log: Log,
    pub(crate) bounds: Bounds,
}

/// What is to be done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The request was paused for too long.
    Pause(u32),
    /// The call has no answer in time.
    Call(u32),
    /// The request was told to end and did not.
    Ending(u32),
}

/// An HTTP call in flight.
pub(crate) struct InFlight {
    /// The context that made it.
    pub(crate) context: u32,
    pub(crate) until: Instant,
}

/// One request and its response.
pub(crate) struct Stream {
    pub(crate) facts: Box<Facts>,
    pub(crate) request: Side,
    pub(crate) response: Side,
    pub(crate) properties: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) progress: Option<Progress>,
    pub(crate) ending: Option<Instant>,
}

/// A message, as it is now.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) headers: Headers,
    pub(crate) trailers: Headers,
    pub(crate) body: Bytes,
    pub(crate) seen: bool,
}

/// An event that was begun and not answered.
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    pub(crate) headers: Part,
    pub(crate) body: Part,
    pub(crate) trailers: Part,
    /// A body comes later.
    pub(crate) follows: bool,
    /// The guest may see the body.
    pub(crate) body_open: bool,
    pub(crate) paused_until: Option<Instant>,
    pub(crate) resumed: bool,
    pub(crate) closed: bool,
    pub(crate) local: Option<LocalReply>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// A part of an event.
#[derive(Clone, Copy, Default)]
pub(crate) struct Part {
    /// The guest is still to be told of it.
    pub(crate) waits: bool,
    /// The guest changed it.
    pub(crate) changed: bool,
}

/// A step of an event: one callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Headers { count: u32, end: bool },
    Body { bytes: u32, end: bool },
    Trailers { count: u32 },
}

impl State {
    pub(crate) fn new(common: Arc<Common>, queue: Weak<Queue>, generation: u64) -> Self {
        let log = Log::new(common.log_level, &common.limits);
        let bounds = Bounds {
            memory_bytes_max: common.limits.memory_bytes_max,
            table_elements_max: common.limits.table_elements_max,
        };
        Self {
            common,
            queue,
            generation,
            memory: None,
            allocate: None,
            allocating: false,
            streams: HashMap::new(),
            effective: ROOT,
            touched: Vec::new(),
            done: Vec::new(),
            due: BTreeSet::new(),
            tick: None,
            calls: HashMap::new(),
            last_call: 0,
            answer: None,
            listens: false,
            root_ending: false,
            log,
            bounds,
        }
    }

    /// Writes a line for the guest.
    pub(crate) fn say(&mut self, level: LogLevel, text: &[u8]) {
        let common = &self.common;
        let left_out = self.log.line(level, text, common);
        if left_out {
            common.counts.lines_left_out.add();
        }
    }

    /// The request that host functions are about; `None` while it is the root.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.streams.get(&self.effective)
    }

    pub(crate) fn stream_mut(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.effective)
    }

    /// Whether a paused request may still be woken by something but its own body.
    pub(crate) fn may_wake(&self, id: u32) -> bool {
        self.tick.is_some() || self.listens || self.calls.values().any(|call| call.context == id)
    }

    /// When there is something to do.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let first = self.due.first().map(|(at, _)| *at);
        let tick = self.tick.map(|(_, at)| at);
        [first, tick].into_iter().flatten().min()
    }
}

impl Stream {
    pub(crate) fn new(facts: Box<Facts>) -> Self {
        Self {
            facts,
            request: Side::default(),
            response: Side::default(),
            properties: Vec::new(),
            progress: None,
            ending: None,
        }
    }

    /// Takes over what the event brought.
    pub(crate) fn begin(&mut self, event: Event, reply: oneshot::Sender<Answer>) {
        let waits = |waits| Part { waits, changed: false };
        let side = if event.phase == Phase::Request { &mut self.request } else { &mut self.response };
        let mut progress = Progress {
            phase: event.phase,
            headers: waits(event.headers.is_some()),
            body: waits(false),
            trailers: waits(event.trailers.is_some()),
            follows: matches!(event.body, Body::Follows),
            body_open: false,
            paused_until: None,
            resumed: false,
            closed: false,
            local: None,
            reply,
        };
        if let Some(headers) = event.headers {
            side.headers = headers;
            side.seen = true;
        }
        if let Some(trailers) = event.trailers {
            side.trailers = trailers;
        }
        if let Body::Whole(body) = event.body {
            side.body = body;
            progress.body.waits = true;
        }
        self.progress = Some(progress);
    }

    pub(crate) fn side(&self, phase: Phase) -> &Side {
        if phase == Phase::Request { &self.request } else { &self.response }
    }

    pub(crate) fn side_mut(&mut self, phase: Phase) -> &mut Side {
        if phase == Phase::Request { &mut self.request } else { &mut self.response }
    }

    /// The next callback of the event, in order; it is then no longer waiting.
    pub(crate) fn next_step(&mut self) -> Option<Step> {
        let progress = self.progress.as_mut()?;
        let side = if progress.phase == Phase::Request { &self.request } else { &self.response };
        if std::mem::take(&mut progress.headers.waits) {
            let end = !progress.body.waits && !progress.trailers.waits && !progress.follows;
            return Some(Step::Headers { count: number(side.headers.len()), end });
        }
        if std::mem::take(&mut progress.body.waits) {
            progress.body_open = true;
            let end = !progress.trailers.waits;
            return Some(Step::Body { bytes: number(side.body.len()), end });
        }
        if std::mem::take(&mut progress.trailers.waits) {
            return Some(Step::Trailers { count: number(side.trailers.len()) });
        }
        None
    }

    /// Ends the event: what was changed goes back.
    pub(crate) fn finish(&mut self) {
        let Some(progress) = self.progress.take() else { return };
        let side = self.side_mut(progress.phase);
        let body = std::mem::take(&mut side.body);
        let changes = Changes {
            headers: progress.headers.changed.then(|| side.headers.clone()),
            body: progress.body.changed.then_some(body),
            trailers: progress.trailers.changed.then(|| side.trailers.clone()),
        };
        // Whoever asked may be gone.
        let _ = progress.reply.send(Answer::Continue(changes));
    }

    /// The header map of that number in the ABI, and whether the guest may change it now.
    pub(crate) fn map(&mut self, map: HeaderMap) -> Option<(&mut Headers, Option<&mut Part>)> {
        let phase = match map {
            HeaderMap::RequestHeaders | HeaderMap::RequestTrailers => Phase::Request,
            HeaderMap::ResponseHeaders | HeaderMap::ResponseTrailers => Phase::Response,
            HeaderMap::LocalReply | HeaderMap::CallOut => return None,
        };
        let head = matches!(map, HeaderMap::RequestHeaders | HeaderMap::ResponseHeaders);
        let side = if phase == Phase::Request { &mut self.request } else { &mut self.response };
        let progress = self.progress.as_mut().filter(|progress| progress.phase == phase);
        Some(if head {
            (&mut side.headers, progress.map(|progress| &mut progress.headers))
        } else {
            (&mut side.trailers, progress.map(|progress| &mut progress.trailers))
        })
    }
}

/// A moment after another, for any bound that an owner may set.
pub(crate) fn later(from: Instant, by: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    from.checked_add(by.min(YEAR)).unwrap_or(from)
}

pub(crate) fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// Refuses memory and tables beyond the bounds, by a trap: a guest that goes on without would only trap elsewhere.
pub(crate) struct Bounds {
    memory_bytes_max: usize,
    table_elements_max: usize,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        within(desired, self.memory_bytes_max)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        within(desired, self.table_elements_max)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        16
    }

    fn memories(&self) -> usize {
        1
    }
}

fn within(desired: usize, max: usize) -> wasmtime::Result<bool> {
    if desired <= max { Ok(true) } else { Err(wasmtime::Error::new(Failure::OutOfMemory)) }
}
