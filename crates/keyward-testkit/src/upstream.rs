//! An upstream double: a raw recorder that answers, counts, and keeps the exact bytes it received.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An upstream that records.
#[derive(Clone, Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    hits: AtomicUsize,
    messages: Mutex<Vec<Vec<u8>>>,
    bytes: Mutex<Vec<u8>>,
}

impl Seen {
    fn keep(&self, message: Vec<u8>) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() < 10_000 {
            messages.push(message);
        }
        drop(messages);
        self.hits.fetch_add(1, Ordering::SeqCst);
    }

    fn keep_bytes(&self, piece: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() < 16 << 20 {
            bytes.extend_from_slice(piece);
        }
    }
}

/// A request as the upstream saw it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The request line.
    pub line: String,
    /// Field lines in order.
    pub headers: Vec<(String, String)>,
    /// Body, as framed on the wire.
    pub body: Vec<u8>,
}

impl Received {
    /// Every value of this field.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

impl Upstream {
    /// Starts one that answers every request with 200 and a small JSON body.
    ///
    /// # Errors
    /// Those of listening.
    pub async fn start() -> io::Result<Self> {
        Self::answering(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}",
        )
        .await
    }

    /// Starts one that answers every complete request with these bytes, then goes on reading.
    ///
    /// # Errors
    /// Those of listening.
    pub async fn answering(answer: &'static [u8]) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let ours = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&ours), answer));
            }
        });
        Ok(Self { address, seen })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many complete requests came.
    pub fn hits(&self) -> usize {
        self.seen.hits.load(Ordering::SeqCst)
    }

    /// The last complete request.
    pub fn last(&self) -> Option<Received> {
        let messages = self.seen.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.last().map(|message| parse(message))
    }

    /// Every complete request, up to 10,000.
    pub fn received(&self) -> Vec<Received> {
        let messages = self.seen.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().map(|message| parse(message)).collect()
    }

    /// Every byte that came, on all connections, complete requests or not.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Seen>, answer: &'static [u8]) {
    let _ = stream.set_nodelay(true);
    let mut read = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        match message_length(&read) {
            Some(length) => {
                seen.keep(read.drain(..length).collect());
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
            None => match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    let piece = buffer.get(..length).unwrap_or_default();
                    read.extend_from_slice(piece);
                    seen.keep_bytes(piece);
                }
            },
        }
    }
}

/// The length of the first message in `bytes`, if it is complete.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let received = parse(bytes.get(..head_end)?);
    if received.values("transfer-encoding").iter().any(|coding| coding.contains("chunked")) {
        let rest = bytes.get(head_end..)?;
        let end = if rest.starts_with(b"0\r\n\r\n") {
            5
        } else {
            rest.windows(7).position(|w| w == b"\r\n0\r\n\r\n")? + 7
        };
        return Some(head_end + end);
    }
    let length = received.values("content-length").first().and_then(|l| l.parse::<usize>().ok()).unwrap_or(0);
    (bytes.len() >= head_end + length).then_some(head_end + length)
}

fn parse(message: &[u8]) -> Received {
    let head_end =
        message.windows(4).position(|window| window == b"\r\n\r\n").map_or(message.len(), |at| at + 4);
    let (head, body) = message.split_at(head_end);
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Received { line, headers, body: body.to_vec() }
}
