//! A handler whose paths say what to do, and which writes down what it saw.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use keyward_http::{
    BodyLength, BodyVerdict, Dropped, Endpoint, Field, Forward, Handler, Head, Outcome, Peer, Refused, Reply,
    Response, ResponseHead, Step, Timeouts, UpstreamFailure, Word,
};

/// What the handlers of one server saw.
#[derive(Default)]
pub struct Log {
    pub heads: AtomicUsize,
    pub finished: Mutex<Vec<(String, Outcome)>>,
    pub refused: Mutex<Vec<Refused>>,
    pub failed: Mutex<Vec<UpstreamFailure>>,
    pub watched: Mutex<Vec<u8>>,
    pub forbidden: AtomicBool,
    /// Those who wait for word, and whether it is there.
    pub waiting: Mutex<Vec<Waker>>,
    pub word: AtomicBool,
}

impl Log {
    /// Waits until word is given.
    fn word(self: &Arc<Self>) -> Word {
        let log = Arc::clone(self);
        Word::new(std::future::poll_fn(move |context| {
            if log.word.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            log.waiting.lock().unwrap().push(context.waker().clone());
            Poll::Pending
        }))
    }

    /// Gives word to those who wait for it.
    pub fn give_word(&self) {
        self.word.store(true, Ordering::SeqCst);
        self.waiting.lock().unwrap().drain(..).for_each(Waker::wake);
    }

    pub fn heads(&self) -> usize {
        self.heads.load(Ordering::SeqCst)
    }

    pub fn finished(&self) -> usize {
        self.finished.lock().unwrap().len()
    }

    pub fn outcome(&self, number: usize) -> (String, Outcome) {
        super::wait_until("the exchange is finished", || self.finished() > number);
        self.finished.lock().unwrap()[number].clone()
    }

    pub fn last_refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap().last().copied()
    }

    pub fn last_failed(&self) -> Option<UpstreamFailure> {
        self.failed.lock().unwrap().last().copied()
    }
}

/// - `/hold…`: holds up to 10,000 bytes, then forwards (`/hold/refuse` answers 403 instead)
/// - `/pause…`: waits for word, then forwards; `/hold/pause` the same once the body is there
/// - `/respond…`: answers 401 itself
/// - `/large`: answers with 300,000 bytes itself
/// - `/watch…`: forwards with the body watched; a body with `EVIL` in it is aborted
/// - `/rewrite…`: forwards `new body` in place of no body; `/hold/rewrite` in place of the one held
/// - `/judge…`: holds up to 10,000 bytes of the answer, then passes it; `/judge/turn` turns it round and says 203, `/judge/refuse`
///   answers 403 instead, `/judge/wait` waits for word first, `/judge/as` passes it as 203
/// - `/early…`: the same on the answer's head: `/early/refuse`, `/early/wait`, `/early/as`, `/early/hold` (waits, then holds)
/// - `/panic/head`, `/panic/answer`, `/panic/finished`: panics there
/// - `/careful…`: forwards, not to be repeated
/// - anything else: forwards
pub struct TestHandler {
    pub endpoint: Arc<Endpoint>,
    pub timeouts: Timeouts,
    pub log: Arc<Log>,
}

pub struct Exchange {
    path: String,
    watched: Vec<u8>,
}

impl TestHandler {
    fn forward(&self, head: &Head<'_>, out: &mut Vec<u8>) -> Step {
        out.extend_from_slice(
            format!("{} {}{}", head.method, self.endpoint.base_path(), head.path).as_bytes(),
        );
        if let Some(query) = head.query {
            out.extend_from_slice(format!("?{query}").as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        carry(head.fields, out);
        let rewrites = head.path == "/hold/rewrite"
            || head.path.starts_with("/rewrite") && head.body == BodyLength::None;
        Step::Forward(Forward {
            endpoint: Arc::clone(&self.endpoint),
            body: rewrites.then(|| b"new body".to_vec()),
            timeouts: self.timeouts,
            watch_body: head.path.starts_with("/watch"),
            idempotent: !head.path.starts_with("/careful"),
        })
    }
}

fn judged(status: u16, body: &[u8]) -> Response {
    Response { status, fields: b"X-From: judge\r\n".to_vec(), body: body.to_vec(), close: false }
}

fn carry(fields: &[Field<'_>], out: &mut Vec<u8>) {
    let dropped = Dropped::of(fields);
    for field in fields.iter().filter(|field| !dropped.drops(field.name)) {
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(field.value);
        out.extend_from_slice(b"\r\n");
    }
}

fn answer(status: u16, text: &str) -> Step {
    Step::Respond(Response {
        status,
        fields: b"X-From: handler\r\n".to_vec(),
        body: text.as_bytes().to_vec(),
        close: false,
    })
}

impl Handler for TestHandler {
    type Exchange = Exchange;

    fn head(&self, head: &Head<'_>, _peer: &Peer, out: &mut Vec<u8>) -> (Exchange, Step) {
        assert!(out.is_empty(), "the output must be empty");
        assert!(head.path != "/panic/head", "asked to panic");
        self.log.heads.fetch_add(1, Ordering::SeqCst);
        let step = match head.path {
            path if path.starts_with("/hold") => Step::Hold { limit: 10_000 },
            path if path.starts_with("/pause") => Step::Pause(self.log.word()),
            path if path.starts_with("/respond") => answer(401, "who are you"),
            "/large" => {
                Step::Respond(Response { status: 200, body: super::pattern(300_000), ..Response::default() })
            }
            _ => self.forward(head, out),
        };
        (Exchange { path: head.path.to_owned(), watched: Vec::new() }, step)
    }

    fn body(
        &self,
        exchange: &mut Exchange,
        head: &Head<'_>,
        _: &Peer,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        assert_eq!(exchange.path, head.path, "the head must be the same again");
        assert!(out.is_empty(), "the output must be empty");
        match head.path {
            "/hold/pause" => Step::Pause(self.log.word()),
            "/hold/refuse" => answer(403, &format!("not these {} bytes", body.len())),
            _ => self.forward(head, out),
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
        assert_eq!(exchange.path, head.path, "the head must be the same again");
        assert_eq!(body.is_some(), head.path.starts_with("/hold"), "the body must be the same again");
        self.forward(head, out)
    }

    fn request_chunk(&self, exchange: &mut Exchange, chunk: &[u8]) {
        exchange.watched.extend_from_slice(chunk);
        self.log.watched.lock().unwrap().extend_from_slice(chunk);
    }

    fn request_end(&self, exchange: &mut Exchange) -> BodyVerdict {
        let evil = exchange.watched.windows(4).any(|window| window == b"EVIL");
        if evil { BodyVerdict::Abort } else { BodyVerdict::Release }
    }

    fn response_head(&self, exchange: &mut Exchange, head: &ResponseHead<'_>, out: &mut Vec<u8>) -> Reply {
        assert!(exchange.path != "/panic/answer", "asked to panic");
        out.extend_from_slice(b"X-Via: test\r\n");
        carry(head.fields, out);
        match &*exchange.path {
            "/early/refuse" => Reply::Replace(judged(403, b"not this")),
            "/early/wait" | "/early/hold" => Reply::Pause(self.log.word()),
            "/early/as" => Reply::PassAs(203),
            path if path.starts_with("/judge") => Reply::Hold { limit: 10_000 },
            _ => Reply::Pass,
        }
    }

    fn response_body(
        &self,
        exchange: &mut Exchange,
        head: &ResponseHead<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Reply {
        out.extend_from_slice(b"X-Via: judge\r\n");
        carry(head.fields, out);
        match &*exchange.path {
            "/judge/turn" => Reply::Replace(judged(203, &body.iter().rev().copied().collect::<Vec<u8>>())),
            "/judge/refuse" => Reply::Replace(judged(403, b"not this")),
            "/judge/wait" => Reply::Pause(self.log.word()),
            "/judge/as" => Reply::PassAs(203),
            _ => Reply::Pass,
        }
    }

    fn response_resume(
        &self,
        exchange: &mut Exchange,
        head: &ResponseHead<'_>,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Reply {
        assert_eq!(body.is_some(), exchange.path.starts_with("/judge"), "what was seen before must be there");
        out.extend_from_slice(b"X-Via: word\r\n");
        carry(head.fields, out);
        if exchange.path == "/early/hold" { Reply::Hold { limit: 10_000 } } else { Reply::Pass }
    }

    fn failed(&self, _: &mut Exchange, failure: UpstreamFailure) -> Response {
        self.log.failed.lock().unwrap().push(failure);
        let status = match failure {
            UpstreamFailure::Late => 504,
            UpstreamFailure::Withheld => 400,
            UpstreamFailure::Exhausted => 503,
            _ => 502,
        };
        Response { status, body: format!("{failure:?}").into_bytes(), ..Response::default() }
    }

    fn refused(&self, _: Option<&mut Exchange>, refused: Refused, _peer: &Peer) -> Response {
        self.log.refused.lock().unwrap().push(refused);
        Response {
            status: refused.status(),
            body: format!("{refused:?}").into_bytes(),
            ..Response::default()
        }
    }

    fn still_permitted(&self, _: &Exchange) -> bool {
        !self.log.forbidden.load(Ordering::SeqCst)
    }

    fn finished(&self, exchange: Exchange, outcome: &Outcome) {
        let panics = exchange.path == "/panic/finished";
        self.log.finished.lock().unwrap().push((exchange.path, *outcome));
        assert!(!panics, "asked to panic");
    }
}
