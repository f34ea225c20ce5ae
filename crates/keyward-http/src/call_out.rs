//! Calls of our own to services, which no client asked for: somebody is to be asked about a request, or told of one.
//!
//! A call is a future that the task of the waiting connection polls, on its own core: it ends with that connection. It
//! has no clock; whoever waits bounds the time ([`crate::Word::within`]).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Endpoint;
use crate::codec::{BodyReader, Piece, ResponseFraming, push_decimal, read_response};
use crate::open::open;

/// Idle connections kept for each origin.
const IDLE_MAX: usize = 8;
/// Calls under way at once on one core.
const CALLS_MAX: usize = 256;
/// Longest head of an answer, in bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Read at once, in bytes.
const PIECE: usize = 8 * 1024;

/// The calls of one core, and the connections that they leave for each other.
#[derive(Clone, Default)]
pub struct CallOuts(Rc<Shared>);

#[derive(Default)]
struct Shared {
    idle: RefCell<HashMap<u64, Vec<TcpStream>>>,
    under_way: Cell<usize>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct CallOut {
    /// Where to.
    pub endpoint: Arc<Endpoint>,
    /// The method.
    pub method: String,
    /// Path and query, below the endpoint's own.
    pub target: String,
    /// Complete field lines, each ending in CRLF; without `Host`, `Content-Length`, `Transfer-Encoding` and `Connection`.
    pub fields: Vec<u8>,
    /// The body; `None`: there is none, and no length is told.
    pub body: Option<Vec<u8>>,
    /// Largest body of the answer, in bytes.
    pub answer_max: usize,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallAnswer {
    /// Status code, 200 to 599.
    pub status: u16,
    /// Names and values in wire order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body, dechunked.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// It could not be connected to.
    Connect,
    /// The connection ended, or broke, before the answer was complete.
    Closed,
    /// The answer is not acceptable HTTP.
    Malformed,
    /// The answer's body is larger than the call allows.
    TooLarge,
    /// As many calls are under way as may be.
    Exhausted,
}

impl std::fmt::Debug for CallOuts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CallOuts({} under way)", self.0.under_way.get())
    }
}

impl CallOuts {
    /// Makes a call.
    ///
    /// A pooled connection that turns out dead before a byte of the answer came is replaced by a fresh one, once.
    ///
    /// # Errors
    /// See [`CallFailure`].
    pub async fn call(&self, call: CallOut) -> Result<CallAnswer, CallFailure> {
        let _under_way = self.0.begin().ok_or(CallFailure::Exhausted)?;
        let origin = call.endpoint.origin();
        let request = call.request();
        if let Some(stream) = self.0.take_idle(origin.id()) {
            match self.exchange(&call, stream, &request).await {
                Err(Broken { failure: CallFailure::Closed, before_answer: true }) => {}
                outcome => return outcome.map_err(|broken| broken.failure),
            }
        }
        let stream = open(Arc::clone(origin)).await.map_err(|_| CallFailure::Connect)?;
        self.exchange(&call, stream, &request).await.map_err(|broken| broken.failure)
    }

    async fn exchange(
        &self,
        call: &CallOut,
        mut stream: TcpStream,
        request: &[u8],
    ) -> Result<CallAnswer, Broken> {
        // An early answer may come though not everything could be sent; reading tells.
        let sent = stream.write_all(request).await.is_ok();
        let mut incoming =
            Incoming { stream: &mut stream, bytes: Vec::with_capacity(PIECE), read_any: false };
        let (mut answer, framing) = incoming.head().await?;
        let bodiless = call.method == "HEAD" || matches!(answer.status, 204 | 304);
        answer.body = incoming.body(framing, bodiless, call.answer_max).await?;
        let is_framed = bodiless || framing.chunked || framing.length.is_some();
        let is_clean = sent && framing.keep_alive && is_framed && incoming.bytes.is_empty();
        if is_clean {
            self.0.keep(call.endpoint.origin().id(), stream);
        }
        Ok(answer)
    }
}

impl CallOut {
    fn request(&self) -> Vec<u8> {
        let body = self.body.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(256 + self.fields.len() + body.len());
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.endpoint.base_path().as_bytes());
        out.extend_from_slice(self.target.as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(self.endpoint.authority().as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.fields);
        if self.body.is_some() {
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(&mut out, body.len() as u64);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
        out
    }
}

impl Shared {
    fn begin(self: &Rc<Self>) -> Option<UnderWay> {
        let count = self.under_way.get();
        (count < CALLS_MAX).then(|| {
            self.under_way.set(count + 1);
            UnderWay(Rc::clone(self))
        })
    }

    /// A connection on which nothing has come, neither bytes nor its end.
    fn take_idle(&self, origin: u64) -> Option<TcpStream> {
        let mut idle = self.idle.borrow_mut();
        let streams = idle.get_mut(&origin)?;
        while let Some(stream) = streams.pop() {
            let nothing = stream.try_read(&mut [0u8; 1]);
            if matches!(nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
        None
    }

    fn keep(&self, origin: u64, stream: TcpStream) {
        let mut idle = self.idle.borrow_mut();
        let streams = idle.entry(origin).or_default();
        if streams.len() < IDLE_MAX {
            streams.push(stream);
        }
    }
}

/// Counts a call for as long as it lasts.
struct UnderWay(Rc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

struct Broken {
    failure: CallFailure,
    before_answer: bool,
}

/// An answer while it comes.
struct Incoming<'s> {
    stream: &'s mut TcpStream,
    bytes: Vec<u8>,
    read_any: bool,
}

impl Incoming<'_> {
    async fn head(&mut self) -> Result<(CallAnswer, ResponseFraming), Broken> {
        loop {
            let read = read_response(&self.bytes, HEAD_MAX, |head, framing, _| {
                let owned = |field: &crate::Field<'_>| (field.name.to_owned(), field.value.to_vec());
                let fields = head.fields.iter().map(owned).collect();
                (CallAnswer { status: head.status, fields, body: Vec::new() }, framing)
            });
            match read {
                Ok(Some(((answer, framing), end))) => {
                    self.bytes.drain(..end);
                    match framing.status {
                        101 => return Err(self.broken(CallFailure::Malformed)),
                        100..=199 => {}
                        _ => return Ok((answer, framing)),
                    }
                }
                Ok(None) if self.bytes.len() <= HEAD_MAX => {
                    if !self.more().await {
                        return Err(self.broken(CallFailure::Closed));
                    }
                }
                Ok(None) | Err(_) => return Err(self.broken(CallFailure::Malformed)),
            }
        }
    }

    async fn body(
        &mut self,
        framing: ResponseFraming,
        bodiless: bool,
        most: usize,
    ) -> Result<Vec<u8>, Broken> {
        let mut reader = match framing {
            _ if bodiless => BodyReader::Length(0),
            ResponseFraming { chunked: true, .. } => BodyReader::chunked(),
            ResponseFraming { length: Some(length), .. } => BodyReader::Length(length),
            _ => BodyReader::UntilClose,
        };
        let mut body = Vec::new();
        while !reader.is_used_up() {
            match reader.next(&self.bytes) {
                Err(_) => return Err(self.broken(CallFailure::Malformed)),
                Ok(Piece::More { skip }) => {
                    self.bytes.drain(..skip);
                    if !self.more().await {
                        return match reader {
                            BodyReader::UntilClose => Ok(body),
                            _ => Err(self.broken(CallFailure::Closed)),
                        };
                    }
                }
                Ok(Piece::Data { skip, data }) => {
                    let piece = self.bytes.get(skip..skip + data).unwrap_or_default();
                    if body.len() + data > most {
                        return Err(self.broken(CallFailure::TooLarge));
                    }
                    body.extend_from_slice(piece);
                    self.bytes.drain(..skip + data);
                }
                Ok(Piece::End { skip, trailers }) => {
                    self.bytes.drain(..skip + trailers);
                    break;
                }
            }
        }
        Ok(body)
    }

    /// Reads on; `false` at the end.
    async fn more(&mut self) -> bool {
        let length = self.bytes.len();
        self.bytes.resize(length + PIECE, 0);
        let space = self.bytes.get_mut(length..).unwrap_or_default();
        let count = self.stream.read(space).await.unwrap_or(0);
        self.bytes.truncate(length + count);
        self.read_any |= count > 0;
        count > 0
    }

    fn broken(&self, failure: CallFailure) -> Broken {
        Broken { failure, before_answer: !self.read_any }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    /// Answers the requests of each connection with these bytes, one after the other, and closes it then.
    fn service(connections: Vec<Vec<&'static str>>) -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = move || {
            let mut seen = Vec::new();
            for answers in connections {
                let (mut stream, _) = listener.accept().unwrap();
                for answer in answers {
                    let mut request = Vec::new();
                    let mut byte = [0u8; 1];
                    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                        request.push(byte[0]);
                    }
                    seen.push(String::from_utf8(request).unwrap());
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
            seen
        };
        (url, thread::spawn(serve))
    }

    fn call(url: &str) -> CallOut {
        CallOut {
            endpoint: Arc::new(Endpoint::parse(url).unwrap()),
            method: "GET".into(),
            target: "/check?a=b".into(),
            fields: b"X-A: b\r\n".to_vec(),
            body: None,
            answer_max: 100,
        }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(future)
    }

    #[test]
    fn one_connection_serves_several_calls() {
        let chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: u\r\n\r\n";
        let (url, service) =
            service(vec![vec![chunked, "HTTP/1.1 403 No\r\nContent-Length: 2\r\nX-Why: z\r\n\r\nno"]]);
        run(async {
            let (calls, call) = (CallOuts::default(), call(&url));
            let answer = calls.call(call.clone()).await.unwrap();
            assert_eq!((answer.status, &*answer.body), (200, &b"ok"[..]));
            let answer = calls.call(call.clone()).await.unwrap();
            assert_eq!((answer.status, &*answer.body), (403, &b"no"[..]));
            assert!(answer.fields.contains(&("X-Why".into(), b"z".to_vec())));
        });
        let seen = service.join().unwrap();
        assert!(seen[0].starts_with("GET /check?a=b HTTP/1.1\r\nHost: 127.0.0.1:"), "{seen:?}");
        assert!(seen[0].ends_with("\r\nX-A: b\r\n\r\n") && seen.len() == 2, "{seen:?}");
    }

    #[test]
    fn a_connection_that_died_in_the_pool_is_replaced() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let (url, service) = service(vec![vec![answer], vec![answer]]);
        run(async {
            let (calls, call) = (CallOuts::default(), call(&url));
            assert_eq!(calls.call(call.clone()).await.unwrap().status, 200);
            assert_eq!(calls.call(call.clone()).await.unwrap().status, 200);
        });
        assert_eq!(service.join().unwrap().len(), 2);
    }

    #[test]
    fn answers_in_doubt_are_failures() {
        for (answer, failure) in [
            ("", CallFailure::Closed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", CallFailure::Closed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", CallFailure::Malformed),
            ("HTTP/1.1 101 Switching\r\n\r\n", CallFailure::Malformed),
            ("SSH-2.0\r\n\r\n", CallFailure::Malformed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", CallFailure::Malformed),
        ] {
            let (url, service) = service(vec![vec![answer]]);
            assert_eq!(run(CallOuts::default().call(call(&url))), Err(failure), "{answer:?}");
            service.join().unwrap();
        }
        let large = "HTTP/1.1 200 OK\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        let (url, service) = service(vec![vec![large]]);
        assert_eq!(run(CallOuts::default().call(call(&url))), Err(CallFailure::TooLarge));
        service.join().unwrap();
    }

    #[test]
    fn nobody_there_is_a_failure() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(
            run(CallOuts::default().call(call(&format!("http://{closed}")))),
            Err(CallFailure::Connect)
        );
    }
}
