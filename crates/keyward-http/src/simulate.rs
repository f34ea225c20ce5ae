//! A whole exchange without sockets: a connection's state machine between a scripted client and a scripted upstream,
//! with every operation moving as many bytes as a stream of choices says. Property tests and fuzzers drive it; what
//! must hold whatever happens is asserted here.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::{Connection, Progress, Spent};
use crate::core::{Core, Node};
use crate::handler::{
    BodyLength, BodyVerdict, Field, Forward, Handler, Head, Outcome, Peer, Refused, Reply, Response,
    ResponseHead, Step, Timeouts, UpstreamFailure, Word,
};
use crate::limits::Limits;
use crate::moment::Moment;
use crate::{Dropped, Endpoint};

/// Decides how far every operation gets. When it is used up, everything goes as far as it can.
#[derive(Clone, Debug)]
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// From 1 to `most`.
    fn count(&mut self, most: usize) -> usize {
        match self.byte() {
            Some(byte) if byte < 128 => usize::from(byte % 16 + 1).min(most),
            Some(byte) => (usize::from(byte) * 64).min(most),
            None => most,
        }
    }

    /// Rarely yes.
    fn rarely(&mut self) -> bool {
        self.byte().is_some_and(|byte| byte > 250)
    }
}

/// What the handler saw; shared with the simulation.
#[derive(Default)]
struct Seen {
    heads: Cell<usize>,
    finished: Cell<usize>,
}

/// The path decides: `/h…` holds, `/r…` responds, `/w…` watches (and aborts a body with `!` in it),
/// `/p…` pauses, `/hp…` holds and pauses, else forwards; with `N` in it what was held goes backwards, and where nothing was
/// held there is a body of its own. Of the answer: `B` holds it, and `R` then turns it round; `P` pauses on its head, `Q` once it
/// is held; `X` replaces it; `S` gives it another status.
struct SimulatedHandler {
    endpoint: Arc<Endpoint>,
    seen: Rc<Seen>,
}

struct Exchange {
    path: String,
    holds: bool,
    evil: bool,
}

impl SimulatedHandler {
    fn forward(&self, head: &Head<'_>, held: Option<&[u8]>, out: &mut Vec<u8>) -> Step {
        for part in [head.method, " ", head.path, "?", head.query.unwrap_or_default(), " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        push_fields(head.fields, out);
        let new = head.path.contains('N') && (held.is_some() || head.body == BodyLength::None);
        Step::Forward(Forward {
            endpoint: Arc::clone(&self.endpoint),
            body: new.then(|| reversed(held.unwrap_or(b"wen"))),
            timeouts: TIMEOUTS,
            watch_body: head.path.starts_with("/w"),
            idempotent: head.method == "GET",
        })
    }
}

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(1),
    first_byte: Duration::from_secs(2),
    idle: Duration::from_secs(3),
};

fn push_fields(fields: &[Field<'_>], out: &mut Vec<u8>) {
    let dropped = Dropped::of(fields);
    for field in fields.iter().filter(|field| !dropped.drops(field.name)) {
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value);
        out.extend_from_slice(b"\r\n");
    }
}

impl Exchange {
    fn judge_head(&self) -> Reply {
        match &*self.path {
            path if path.contains('B') => Reply::Hold { limit: 40_000 },
            path if path.contains('X') => Reply::Replace(answer(418, b"another")),
            path if path.contains('S') => Reply::PassAs(299),
            _ => Reply::Pass,
        }
    }

    fn judge_body(&self, body: &[u8]) -> Reply {
        match &*self.path {
            path if path.contains('X') => Reply::Replace(answer(418, b"another")),
            path if path.contains('R') => Reply::Replace(answer(200, &reversed(body))),
            path if path.contains('S') => Reply::PassAs(299),
            _ => Reply::Pass,
        }
    }
}

fn reversed(body: &[u8]) -> Vec<u8> {
    body.iter().rev().copied().collect()
}

fn never() -> Word {
    Word::new(std::future::pending())
}

fn answer(status: u16, body: &[u8]) -> Response {
    Response { status, body: body.to_vec(), ..Response::default() }
}

impl Handler for SimulatedHandler {
    type Exchange = Exchange;

    fn head(&self, head: &Head<'_>, _: &Peer, out: &mut Vec<u8>) -> (Exchange, Step) {
        assert!(out.is_empty(), "the output is not empty");
        self.seen.heads.set(self.seen.heads.get() + 1);
        let holds = head.path.starts_with("/h");
        let step = match head.path {
            _ if holds => Step::Hold { limit: 40_000 },
            path if path.starts_with("/p") => Step::Pause(never()),
            path if path.starts_with("/r") => Step::Respond(answer(401, b"who")),
            _ => self.forward(head, None, out),
        };
        (Exchange { path: head.path.to_owned(), holds, evil: false }, step)
    }

    fn body(
        &self,
        exchange: &mut Exchange,
        head: &Head<'_>,
        _: &Peer,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        assert!(exchange.holds && out.is_empty(), "a body that nobody asked for");
        if head.path.starts_with("/hp") {
            return Step::Pause(never());
        }
        if body.contains(&b'!') {
            Step::Respond(answer(403, b"evil"))
        } else {
            self.forward(head, Some(body), out)
        }
    }

    fn resume(
        &self,
        exchange: &mut Exchange,
        head: &Head<'_>,
        _: &Peer,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Step {
        assert!(out.is_empty() && exchange.holds == body.is_some(), "another body than was seen");
        match body {
            Some(body) if body.contains(&b'!') => Step::Respond(answer(403, b"evil")),
            body => self.forward(head, body, out),
        }
    }

    fn request_chunk(&self, exchange: &mut Exchange, chunk: &[u8]) {
        exchange.evil |= chunk.contains(&b'!');
    }

    fn request_end(&self, exchange: &mut Exchange) -> BodyVerdict {
        if exchange.evil { BodyVerdict::Abort } else { BodyVerdict::Release }
    }

    fn response_head(&self, exchange: &mut Exchange, head: &ResponseHead<'_>, out: &mut Vec<u8>) -> Reply {
        push_fields(head.fields, out);
        if exchange.path.contains('P') { Reply::Pause(never()) } else { exchange.judge_head() }
    }

    fn response_body(
        &self,
        exchange: &mut Exchange,
        head: &ResponseHead<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Reply {
        assert!(exchange.path.contains('B'), "a body that nobody asked for");
        push_fields(head.fields, out);
        if exchange.path.contains('Q') { Reply::Pause(never()) } else { exchange.judge_body(body) }
    }

    fn response_resume(
        &self,
        exchange: &mut Exchange,
        head: &ResponseHead<'_>,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Reply {
        push_fields(head.fields, out);
        match body {
            Some(body) => exchange.judge_body(body),
            None => exchange.judge_head(),
        }
    }

    fn failed(&self, _: &mut Exchange, failure: UpstreamFailure) -> Response {
        answer(if failure == UpstreamFailure::Late { 504 } else { 502 }, b"failed")
    }

    fn refused(&self, _: Option<&mut Exchange>, refused: Refused, _: &Peer) -> Response {
        answer(refused.status(), b"refused")
    }

    fn finished(&self, _: Exchange, _: &Outcome) {
        self.seen.finished.set(self.seen.finished.get() + 1);
    }
}

/// How the upstream answers.
#[derive(Clone, Copy)]
pub(crate) enum UpstreamScript<'a> {
    /// Properly, in a way that the request's path asks for (`c` in it: chunked; `e`: until close; else a length),
    /// with the request's body as the answer's.
    Proper,
    /// With these bytes to every connection, whatever is asked.
    Bytes(&'a [u8]),
}

/// One simulated upstream connection.
#[derive(Default)]
struct Wire {
    received: Vec<u8>,
    /// How much of it is answered: whole requests.
    answered: usize,
    looked_at: usize,
    to_send: Vec<u8>,
    sent: usize,
    closes: bool,
}

/// What came out of a simulation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Result {
    /// Everything the client received.
    pub(crate) to_client: Vec<u8>,
    /// Every complete request that reached an upstream, in order: its request line and body.
    pub(crate) requests: Vec<(Vec<u8>, Vec<u8>)>,
}

struct Simulation<'a> {
    connection: Connection<SimulatedHandler>,
    client: &'a [u8],
    script: UpstreamScript<'a>,
    choices: Choices<'a>,
    now: Moment,
    wire: Option<Wire>,
    pooled: Vec<Wire>,
    result: RefCell<Result>,
    opening: bool,
    client_half_closes: bool,
}

/// Runs one connection to its end and checks what must always hold.
pub(crate) fn simulate(client: &[u8], script: UpstreamScript<'_>, choices: Choices<'_>) -> Result {
    let seen = Rc::new(Seen::default());
    let Ok(endpoint) = Endpoint::parse("http://upstream.test") else { return Result::default() };
    let handler = SimulatedHandler { endpoint: Arc::new(endpoint), seen: Rc::clone(&seen) };
    let limits = Limits { body_bytes: 100_000, held_bytes: 60_000, ..Limits::default() };
    let node = Arc::new(Node::default());
    let core = Core::new(handler, Arc::new(limits), Arc::clone(&node), Arc::default());
    let address = ([127, 0, 0, 1], 1).into();
    let mut choices = choices;
    let client_half_closes = choices.byte().is_none_or(|byte| byte < 200);
    let mut simulation = Simulation {
        connection: Connection::new(Rc::clone(&core), Peer { address, local: address, secure: false }),
        client,
        script,
        choices,
        now: Moment::default(),
        wire: None,
        pooled: Vec::new(),
        result: RefCell::default(),
        opening: false,
        client_half_closes,
    };
    simulation.run();
    let result = simulation.result.take();
    drop(simulation);
    assert_eq!(seen.heads.get(), seen.finished.get(), "every exchange is finished exactly once");
    assert_eq!(core.counters.requests_open.get(), 0);
    assert_eq!(node.held(), 0, "held bytes are given back");
    result
}

impl Simulation<'_> {
    fn run(&mut self) {
        // Every turn moves at least a byte or time itself, and time ends every wait.
        for _ in 0..2_000_000 {
            if self.connection.over().is_some() {
                self.settle_wire();
                return self.close_wire();
            }
            let mut progress = Progress::default();
            while self.step(&mut progress) {
                if self.choices.rarely() {
                    break;
                }
            }
            self.settle_wire();
            self.connection.settle(progress, self.now);
            if !(progress.read || progress.written || progress.upstream) {
                self.let_time_pass();
            }
        }
        assert!(self.connection.over().is_some(), "the connection never ends");
    }

    fn let_time_pass(&mut self) {
        let deadline = self.connection.deadline();
        assert!(deadline != Moment::NEVER || self.connection.over().is_some(), "nothing is awaited");
        if deadline > self.now {
            self.now = deadline;
        }
        self.connection.tick(self.now);
        self.connection.expired(self.now);
    }

    /// One round of operations, in the driver's order; `true` if something moved.
    fn step(&mut self, progress: &mut Progress) -> bool {
        self.settle_wire();
        let mut moved = self.listen();
        moved |= self.connect();
        moved |= self.write_upstream(progress);
        moved |= self.read_upstream(progress);
        self.settle_wire();
        moved |= self.write(progress);
        moved |= self.read(progress);
        moved && self.connection.over().is_none()
    }

    /// Word comes, or is waited for until it is too late.
    fn listen(&mut self) -> bool {
        let comes = self.connection.wants_word().is_some() && !self.choices.rarely();
        if comes {
            self.connection.word_came(self.now);
        }
        comes
    }

    fn connect(&mut self) -> bool {
        if let Some((_, fresh)) = self.connection.wants_upstream() {
            assert!(self.wire.is_none(), "a second upstream connection is wanted");
            if let Some(pooled) = self.pooled.pop().filter(|_| !fresh) {
                self.wire = Some(pooled);
                self.connection.upstream_opened(true, self.now);
                return true;
            }
            self.opening = true;
            self.connection.upstream_opening();
            if self.choices.rarely() {
                return false;
            }
        }
        if !std::mem::take(&mut self.opening) {
            return false;
        }
        if self.choices.rarely() {
            self.connection.upstream_unavailable(UpstreamFailure::Connect, self.now);
        } else {
            self.wire = Some(Wire::default());
            self.connection.upstream_opened(false, self.now);
        }
        true
    }

    fn write_upstream(&mut self, progress: &mut Progress) -> bool {
        if !self.connection.wants_upstream_write() || self.choices.rarely() {
            return false;
        }
        let Some(wire) = &mut self.wire else { return false };
        if self.choices.rarely() {
            self.connection.upstream_write_failed();
            return true;
        }
        let (slices, used) = self.connection.upstream_slices();
        let count = self.choices.count(length_of(&slices, used));
        push_some(&mut wire.received, &slices, count);
        progress.upstream = true;
        self.connection.upstream_written(count, self.now);
        true
    }

    fn read_upstream(&mut self, progress: &mut Progress) -> bool {
        if !self.connection.wants_upstream_read() || self.choices.rarely() {
            return false;
        }
        let Some(wire) = &mut self.wire else { return false };
        wire.answer(self.script);
        let ready = wire.to_send.get(wire.sent..).unwrap_or_default();
        if ready.is_empty() {
            if wire.closes || self.choices.rarely() {
                let clean = !self.choices.rarely();
                self.connection.upstream_closed(clean, self.now);
                return true;
            }
            self.connection.upstream_space();
            self.connection.upstream_read_nothing();
            return false;
        }
        let space = self.connection.upstream_space();
        assert!(!space.is_empty(), "there is no room to read into");
        let count = self.choices.count(ready.len().min(space.len()));
        space.iter_mut().zip(ready).take(count).for_each(|(to, from)| *to = *from);
        wire.sent += count;
        progress.upstream = true;
        self.connection.upstream_read(count, self.now);
        true
    }

    fn write(&mut self, progress: &mut Progress) -> bool {
        self.connection.take_shutdown();
        if !self.connection.wants_write() || self.choices.rarely() {
            return false;
        }
        let (slices, used) = self.connection.write_slices();
        let count = self.choices.count(length_of(&slices, used));
        push_some(&mut self.result.borrow_mut().to_client, &slices, count);
        progress.written = true;
        self.connection.written(count, self.now);
        true
    }

    fn read(&mut self, progress: &mut Progress) -> bool {
        if !self.connection.wants_read() || self.choices.rarely() {
            return false;
        }
        if self.client.is_empty() {
            if self.client_half_closes {
                self.connection.read_closed(self.now);
                return true;
            }
            self.connection.read_space();
            self.connection.read_nothing();
            return false;
        }
        let space = self.connection.read_space();
        assert!(!space.is_empty(), "there is no room to read into");
        let count = self.choices.count(self.client.len().min(space.len()));
        let (now, later) = self.client.split_at_checked(count).unwrap_or_default();
        space.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
        self.client = later;
        progress.read = true;
        self.connection.read(count, self.now);
        true
    }

    fn settle_wire(&mut self) {
        match self.connection.take_spent() {
            Some(Spent::Reuse) => {
                if let Some(wire) = self.wire.take() {
                    wire.assert_clean(self.script);
                    self.pooled.push(wire);
                }
            }
            Some(Spent::Discard) => {
                self.opening = false;
                if let Some(wire) = self.wire.take() {
                    self.note_requests(&wire);
                }
            }
            None => {}
        }
    }

    fn close_wire(&mut self) {
        let wires: Vec<Wire> = self.pooled.drain(..).chain(self.wire.take()).collect();
        wires.iter().for_each(|wire| self.note_requests(wire));
    }

    fn note_requests(&self, wire: &Wire) {
        let (requests, _) = read_requests(&wire.received);
        self.result.borrow_mut().requests.extend(requests);
    }
}

impl Wire {
    /// Answers the requests that are complete and not answered yet.
    fn answer(&mut self, script: UpstreamScript<'_>) {
        let UpstreamScript::Bytes(bytes) = script else { return self.answer_properly() };
        if !self.closes {
            self.to_send.extend_from_slice(bytes);
            self.closes = true;
        }
    }

    fn answer_properly(&mut self) {
        if std::mem::replace(&mut self.looked_at, self.received.len()) == self.received.len() {
            return;
        }
        let fresh = self.received.get(self.answered..).unwrap_or_default();
        let (requests, rest) = read_requests(fresh);
        self.answered = self.received.len() - rest;
        for (line, body) in requests {
            let has = |byte| line.contains(byte);
            let out = &mut self.to_send;
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: now\r\n");
            if line.starts_with(b"HEAD") {
                out.extend_from_slice(b"Content-Length: 3\r\n\r\n");
            } else if has(&b'c') {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.chunks(5000) {
                    out.extend_from_slice(format!("{:X};a=b\r\n", chunk.len()).as_bytes());
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\nT: u\r\n\r\n");
            } else if has(&b'e') {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(&body);
                self.closes = true;
                return;
            } else {
                out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                out.extend_from_slice(&body);
            }
        }
    }

    /// A connection that goes back to the pool has nothing half-done on it.
    fn assert_clean(&self, script: UpstreamScript<'_>) {
        let (_, rest) = read_requests(&self.received);
        assert!(rest == 0, "a connection with half a request on it went back to the pool");
        if matches!(script, UpstreamScript::Proper) {
            let all_answered = self.answered == self.received.len() && self.sent == self.to_send.len();
            assert!(all_answered, "an answer was left over");
        }
    }
}

/// Reads the requests that `bytes` consists of, as simply as can be: the complete ones, and how many bytes of an
/// incomplete one follow. Anything that is not a well-formed request is a failure of the gateway.
fn read_requests(bytes: &[u8]) -> (Vec<(Vec<u8>, Vec<u8>)>, usize) {
    let mut requests = Vec::new();
    let mut rest = bytes;
    while let Some((head, after)) = split_at(rest, b"\r\n\r\n") {
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "a bare LF in {text:?}");
        let value = |name: &str| {
            let values: Vec<&str> = text.split("\r\n").filter_map(|line| line.strip_prefix(name)).collect();
            assert!(values.len() < 2, "{name} twice in {text:?}");
            values.first().map(|value| value.trim().to_owned())
        };
        let (length, coding) = (value("content-length:"), value("transfer-encoding:"));
        assert!(length.is_none() || coding.is_none(), "two framings in {text:?}");
        let body = match (length, coding) {
            (Some(length), _) => {
                let length: usize = length.parse().unwrap_or(usize::MAX);
                after.split_at_checked(length).map(|(body, after)| (body.to_vec(), after))
            }
            (None, Some(coding)) => {
                assert_eq!(coding, "chunked");
                read_chunks(after)
            }
            (None, None) => Some((Vec::new(), after)),
        };
        let Some((body, after)) = body else { break };
        let line = split_at(head, b"\r\n").map_or(head, |(line, _)| line);
        requests.push((line.to_vec(), body));
        rest = after;
    }
    (requests, rest.len())
}

/// Decodes chunks that carry neither extensions nor trailers: what the gateway writes.
fn read_chunks(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut body, mut rest) = (Vec::new(), bytes);
    loop {
        let (line, after) = split_at(rest, b"\r\n")?;
        let size = std::str::from_utf8(line).ok().and_then(|line| usize::from_str_radix(line, 16).ok());
        assert!(size.is_some(), "a chunk size line reads {:?}", String::from_utf8_lossy(line));
        let (data, after) = after.split_at_checked(size?)?;
        let (end, after) = after.split_at_checked(2)?;
        assert_eq!(end, b"\r\n");
        body.extend_from_slice(data);
        rest = after;
        if size == Some(0) {
            return Some((body, rest));
        }
    }
}

fn length_of(slices: &[IoSlice<'_>], used: usize) -> usize {
    let length = slices.iter().take(used).map(|slice| slice.len()).sum();
    assert!(length > 0, "an empty write is wanted");
    length
}

fn push_some(to: &mut Vec<u8>, slices: &[IoSlice<'_>], mut count: usize) {
    for slice in slices {
        let part = slice.get(..count.min(slice.len())).unwrap_or_default();
        to.extend_from_slice(part);
        count -= part.len();
    }
}

fn split_at<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(bytes, separator)?;
    Some((bytes.get(..at)?, bytes.get(at + separator.len()..)?))
}
