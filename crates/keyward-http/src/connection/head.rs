//! From the first byte of a request to the handler's first step.

use crate::codec::{Facts, HeadLimits, push_decimal, read_request};
use crate::handler::{BodyLength, Forward, Handler, Refused, Response, Step};
use crate::moment::Moment;

use super::pause::Seen;
use super::work::{Link, Work};
use super::{Connection, Phase};

/// What a request line holds beside its target.
const LINE_SLACK: usize = 64;

/// What came of handing a head to the handler.
enum Begun<E> {
    /// `OPTIONS *`, which is answered here.
    AsksServer(Facts),
    /// The handler's first step, and how many body bytes it has seen already.
    Step { facts: Facts, exchange: E, step: Step, taken: Option<usize> },
}

impl<H: Handler> Connection<H> {
    pub(super) fn run_head(&mut self, now: Moment) {
        let Some(input) = &mut self.input else { return };
        if !self.blank_skipped && input.filled().starts_with(b"\r\n") {
            // A client may end its last body with one CRLF too many (RFC 9112, section 2.2). One, not more.
            input.consume(2);
            self.blank_skipped = true;
        }
        if input.is_empty() || !self.blank_skipped && input.filled() == b"\r" {
            return;
        }
        // Nearly every head arrives in one piece: then it is parsed at once, and only what is incomplete is looked
        // through for its end as it grows.
        if self.head_end.is_fresh() && self.begin(now) {
            return;
        }
        let Some(input) = &self.input else { return };
        match self.head_end.find(input.filled()) {
            Err(fault) => self.refuse(Refused::Malformed(fault), now),
            Ok(None) => self.check_unfinished_head(now),
            Ok(Some(_)) => {
                self.begin(now);
            }
        }
    }

    fn check_unfinished_head(&mut self, now: Moment) {
        let length = self.input.as_ref().map_or(0, |input| input.len());
        let limits = self.core.limits();
        let (head_bytes, line_bytes) = (limits.head_bytes, limits.target_bytes + LINE_SLACK);
        drop(limits);
        if self.head_end.in_first_line() && length > line_bytes.min(head_bytes) {
            self.refuse(Refused::TargetTooLong, now);
        } else if length > head_bytes {
            self.refuse(Refused::HeadTooLarge, now);
        }
    }

    /// Hands the head to the handler, and with it the body if that is here and wanted; `false` if the head is not
    /// complete.
    fn begin(&mut self, now: Moment) -> bool {
        let mut work = self.core.take_work();
        let bytes = self.input.as_ref().map(|input| input.filled()).unwrap_or_default();
        let limits = HeadLimits::from(&*self.core.limits());
        let begun = read_request(bytes, &limits, |head, facts, rest| {
            let facts = *facts;
            let end = bytes.len() - rest.len();
            if facts.asks_server {
                return (end, Begun::AsksServer(facts));
            }
            let handler = &self.core.handler;
            let out = work.to_upstream.writer();
            let (mut exchange, mut step) = handler.head(head, &self.peer, out);
            let mut taken = None;
            if let Step::Hold { limit } = step
                && let Some(body) = whole_body(facts.body, rest, limit)
            {
                out.clear();
                step = handler.body(&mut exchange, head, &self.peer, body, out);
                taken = Some(body.len());
            }
            if taken.is_none() && matches!(step, Step::Hold { .. }) || matches!(step, Step::Pause(_)) {
                work.held_head.extend_from_slice(bytes.get(..end).unwrap_or_default());
            }
            (end, Begun::Step { facts, exchange, step, taken })
        });
        match begun {
            Ok(None) => {
                self.core.give_back(work);
                return false;
            }
            Ok(Some((end, begun))) => self.enter(begun, work, end, now),
            Err(refused) => {
                self.work = Some(work);
                self.refuse(refused, now);
            }
        }
        true
    }

    fn enter(&mut self, begun: Begun<H::Exchange>, mut work: Box<Work<H>>, end: usize, now: Moment) {
        self.head_end = Default::default();
        self.blank_skipped = false;
        self.served = true;
        self.waits.restart();
        match begun {
            Begun::AsksServer(facts) => {
                work.begin(facts, now);
                self.work = Some(work);
                self.consume(end);
                self.answer(Response { status: 204, ..Response::default() }, now);
            }
            Begun::Step { facts, exchange, step, taken } => {
                self.core.counters.requests.add(1);
                self.core.counters.requests_open.add(1);
                work.begin(facts, now);
                work.exchange = Some(exchange);
                self.work = Some(work);
                self.consume(end);
                self.follow_first(step, taken, now);
            }
        }
    }

    /// What a handler says that has seen so many body bytes, which the input begins with.
    pub(super) fn follow_first(&mut self, step: Step, taken: Option<usize>, now: Moment) {
        let Some(body_bytes) = taken else { return self.follow(step, now) };
        if let Step::Pause(word) = step {
            return self.pause(word, Seen::Input(body_bytes));
        }
        if let Some(work) = self.work.as_deref_mut() {
            work.request_complete = true;
            work.continued = true;
            work.received = body_bytes as u64;
        }
        if let Step::Forward(forward) = step {
            let body = self.input.as_ref().and_then(|input| input.filled().get(..body_bytes));
            let body = body.map(<[u8]>::to_vec).unwrap_or_default();
            self.consume(body_bytes);
            self.forward_held(forward, body);
        } else {
            self.consume(body_bytes);
            self.follow(step, now);
        }
    }

    pub(super) fn follow(&mut self, step: Step, now: Moment) {
        match step {
            Step::Hold { limit } => self.hold(limit, now),
            Step::Pause(word) => self.pause(word, Seen::Nothing),
            Step::Respond(response) => self.answer(response, now),
            Step::Forward(forward) => self.forward(forward, now),
        }
    }

    /// Sends the request on; its body, if it has one, follows as it comes.
    fn forward(&mut self, forward: Forward, now: Moment) {
        let Some(work) = self.work.as_deref_mut() else { return };
        if forward.body.is_some() {
            if work.request_complete {
                return self.forward_held(forward, Vec::new());
            }
            // The seam forbids it: what the client sends would follow as another request.
            tracing::error!("a handler replaced a body that was not held");
            return self.answer(Response { status: 500, close: true, ..Response::default() }, now);
        }
        let head = work.to_upstream.writer();
        match work.facts.body {
            BodyLength::None if work.facts.usually_has_body => {
                head.extend_from_slice(b"Content-Length: 0\r\n\r\n")
            }
            BodyLength::None => head.extend_from_slice(b"\r\n"),
            BodyLength::Known(length) => push_length(head, length),
            BodyLength::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        }
        let watched_and_empty = forward.watch_body && work.request_complete;
        work.forward = Some(forward);
        work.link = Link::Wanted { fresh: false };
        self.phase = Phase::Carry;
        if watched_and_empty {
            self.end_watched_body(now);
        }
        self.send_continue();
    }

    /// Sends a request on whose body was held, or is replaced.
    pub(super) fn forward_held(&mut self, mut forward: Forward, held: Vec<u8>) {
        let Some(work) = self.work.as_deref_mut() else { return };
        let body = forward.body.take().unwrap_or(held);
        let head = work.to_upstream.writer();
        if work.facts.body == BodyLength::None && !work.facts.usually_has_body && body.is_empty() {
            head.extend_from_slice(b"\r\n");
        } else {
            push_length(head, body.len() as u64);
        }
        work.to_upstream.append(body);
        work.forward = Some(forward);
        work.link = Link::Wanted { fresh: false };
        self.phase = Phase::Carry;
    }

    /// Lets a client that waits for it send its body.
    pub(super) fn send_continue(&mut self) {
        let body_has_begun = self.input.as_ref().is_some_and(|input| !input.is_empty());
        let Some(work) = self.work.as_deref_mut().filter(|work| !work.continued) else { return };
        work.continued = true;
        if !body_has_begun {
            work.to_client.writer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    pub(super) fn consume(&mut self, count: usize) {
        if let Some(input) = &mut self.input {
            input.consume(count);
        }
    }
}

fn push_length(head: &mut Vec<u8>, length: u64) {
    head.extend_from_slice(b"Content-Length: ");
    push_decimal(head, length);
    head.extend_from_slice(b"\r\n\r\n");
}

/// The body, if all of it is in `rest` and within `limit`.
fn whole_body(body: BodyLength, rest: &[u8], limit: usize) -> Option<&[u8]> {
    match body {
        BodyLength::None => Some(b""),
        BodyLength::Known(length) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= limit)?;
            rest.get(..length)
        }
        BodyLength::Chunked => None,
    }
}
