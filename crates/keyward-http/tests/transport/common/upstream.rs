//! An upstream that writes down every byte it gets, and answers as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as the upstream read it.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

/// Listens until the process ends; every connection has a thread.
pub struct Upstream {
    pub address: SocketAddr,
    /// The bytes of every connection so far.
    pub bytes: Arc<Mutex<Vec<Vec<u8>>>>,
    pub requests: Arc<Mutex<Vec<Request>>>,
}

/// One of its connections.
pub struct Wire {
    pub stream: TcpStream,
    pub number: usize,
    bytes: Arc<Mutex<Vec<Vec<u8>>>>,
    requests: Arc<Mutex<Vec<Request>>>,
    read: Vec<u8>,
}

impl Upstream {
    /// Handles every connection with `serve`.
    pub fn raw(serve: impl Fn(&mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (bytes, requests) =
            (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<Mutex<Vec<Request>>>::default());
        let (all_bytes, all_requests) = (Arc::clone(&bytes), Arc::clone(&requests));
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                all_bytes.lock().unwrap().push(Vec::new());
                let (bytes, requests) = (Arc::clone(&all_bytes), Arc::clone(&all_requests));
                let serve = Arc::clone(&serve);
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    stream.set_nodelay(true).unwrap();
                    serve(&mut Wire { stream, number, bytes, requests, read: Vec::new() });
                });
            }
        });
        Self { address, bytes, requests }
    }

    /// Answers every request with what `answer` returns, as long as the connection lasts.
    pub fn answering(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::raw(move |wire| {
            while let Some(request) = wire.request() {
                wire.send(answer(&request));
            }
        })
    }

    /// Answers 200 with `<request line> <body length>` as the body.
    pub fn echo() -> Self {
        Self::answering(|request| Self::answer(format!("{} {}", request.line, request.body.len())))
    }

    /// A complete 200 with this body.
    pub fn answer(body: impl AsRef<[u8]>) -> Vec<u8> {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Up: stream\r\n\r\n", body.len());
        let mut answer = head.into_bytes();
        answer.extend_from_slice(body);
        answer
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn request_count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub fn request(&self, number: usize) -> Request {
        self.requests.lock().unwrap()[number].clone()
    }

    /// Everything that came on any connection.
    pub fn all_bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().concat()
    }

    pub fn connections(&self) -> usize {
        self.bytes.lock().unwrap().len()
    }
}

impl Wire {
    /// Sends; the gateway may be gone already.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Reads one request strictly; `None` when the connection ends (also within one).
    pub fn request(&mut self) -> Option<Request> {
        let (line, fields) = self.head()?;
        let mut request = Request { line, fields, body: Vec::new() };
        request.body = match (request.field("content-length"), request.field("transfer-encoding")) {
            (Some(_), Some(_)) => panic!("a request has both content-length and transfer-encoding"),
            (Some(length), None) => self.take(length.parse().unwrap())?,
            (None, Some("chunked")) => self.chunks()?,
            (None, Some(other)) => panic!("a request has the transfer coding {other}"),
            (None, None) => Vec::new(),
        };
        self.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Reads a request's head.
    pub fn head(&mut self) -> Option<(String, Vec<(String, String)>)> {
        let head = String::from_utf8(self.until(b"\r\n\r\n")?).unwrap();
        assert_eq!(head.matches('\n').count(), head.matches("\r\n").count(), "a bare LF in {head:?}");
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let split = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        };
        Some((line, lines.map(split).collect()))
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            let size =
                usize::from_str_radix(std::str::from_utf8(&line[..line.len() - 2]).unwrap(), 16).unwrap();
            body.extend(self.take(size)?);
            assert_eq!(self.take(2)?, b"\r\n");
            if size == 0 {
                return Some(body);
            }
        }
    }

    pub fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            self.more()?;
        }
    }

    pub fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            self.more()?;
        }
        Some(self.read.drain(..count).collect())
    }

    /// Waits for the connection's end.
    pub fn wait_for_end(&mut self) {
        while self.more().is_some() {}
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = [0u8; 64 * 1024];
        let count = self.stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
        self.read.extend_from_slice(&bytes[..count]);
        self.bytes.lock().unwrap()[self.number].extend_from_slice(&bytes[..count]);
        Some(())
    }
}
