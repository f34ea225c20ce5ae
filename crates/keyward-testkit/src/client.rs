//! A raw client: sends the bytes it is given, and reads answers strictly.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One connection to a gateway.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Field lines in order.
    pub headers: Vec<(String, String)>,
    /// Body, dechunked.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Connection {
    /// Connects from any loopback address.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn open(to: SocketAddr) -> io::Result<Self> {
        Self::open_from(IpAddr::V4(Ipv4Addr::LOCALHOST), to).await
    }

    /// Connects from this address.
    ///
    /// # Errors
    /// Those of binding and connecting.
    pub async fn open_from(from: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Those of writing.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// Those of shutting down.
    pub async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads one answer. `to_head`: it answers a HEAD request, so it has no body.
    ///
    /// # Errors
    /// `UnexpectedEof` where the connection ends before the answer does, `TimedOut` after [`PATIENCE`].
    pub async fn answer(&mut self, to_head: bool) -> io::Result<Answer> {
        tokio::time::timeout(PATIENCE, self.answer_within(to_head))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer"))?
    }

    /// Reads the head of an answer; its body stays to be read by [`Self::until_closed`].
    ///
    /// # Errors
    /// As of [`Self::answer`].
    pub async fn answer_head(&mut self) -> io::Result<Answer> {
        let head = async {
            let end = self.read_until(b"\r\n\r\n").await?;
            let head: Vec<u8> = self.read.drain(..end).collect();
            parse_head(&head)
        };
        tokio::time::timeout(PATIENCE, head)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer"))?
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// Those of [`Self::send`] and [`Self::answer`].
    pub async fn call(&mut self, request: &crate::request::Request) -> io::Result<Answer> {
        self.send(&request.to_bytes()).await?;
        self.answer(request.method == "HEAD").await
    }

    /// Waits until the other side has closed; what came before that is returned.
    ///
    /// # Errors
    /// `TimedOut` after [`PATIENCE`].
    pub async fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        let all = async {
            while self.fill().await? > 0 {}
            Ok(std::mem::take(&mut self.read))
        };
        tokio::time::timeout(PATIENCE, all)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the connection was not closed"))?
    }

    async fn answer_within(&mut self, to_head: bool) -> io::Result<Answer> {
        loop {
            let end = self.read_until(b"\r\n\r\n").await?;
            let head: Vec<u8> = self.read.drain(..end).collect();
            let mut answer = parse_head(&head)?;
            if answer.status < 200 {
                continue;
            }
            if !to_head && answer.status != 204 && answer.status != 304 {
                answer.body = self.body(&answer).await?;
            }
            return Ok(answer);
        }
    }

    async fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if answer.header("transfer-encoding").is_some() {
            return self.chunked().await;
        }
        match answer.header("content-length").map(str::parse::<usize>) {
            Some(Ok(length)) => self.exactly(length).await,
            Some(Err(_)) => Err(io::Error::new(io::ErrorKind::InvalidData, "bad Content-Length")),
            None => {
                while self.fill().await? > 0 {}
                Ok(std::mem::take(&mut self.read))
            }
        }
    }

    async fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = self.read_until(b"\r\n").await?;
            let line: Vec<u8> = self.read.drain(..end).collect();
            let digits = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(digits.trim_end(), 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "bad chunk size"))?;
            if size == 0 {
                loop {
                    let end = self.read_until(b"\r\n").await?;
                    let trailer: Vec<u8> = self.read.drain(..end).collect();
                    if trailer == b"\r\n" {
                        return Ok(body);
                    }
                }
            }
            body.extend(self.exactly(size).await?);
            if self.exactly(2).await? != b"\r\n" {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "bad chunk end"));
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            self.fill_or_end().await?;
        }
        Ok(self.read.drain(..length).collect())
    }

    async fn read_until(&mut self, mark: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|window| window == mark) {
                return Ok(at + mark.len());
            }
            self.fill_or_end().await?;
        }
    }

    async fn fill_or_end(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("closed after {:?}", String::from_utf8_lossy(&self.read)),
            )),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16_384];
        let length = match self.stream.read(&mut buffer).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            other => other?,
        };
        self.read.extend(buffer.iter().take(length));
        Ok(length)
    }
}

fn parse_head(head: &[u8]) -> io::Result<Answer> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    // Headers may carry UTF-8 (error messages do); tests read them as such.
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut answer = Answer { status: status.ok_or_else(|| wrong("no status line"))?, ..Answer::default() };
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("a field line without a colon"))?;
        answer.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(answer)
}

/// Opens a connection, makes one call, and gives the answer.
///
/// # Errors
/// Those of [`Connection`].
pub async fn call(to: SocketAddr, request: &crate::request::Request) -> io::Result<Answer> {
    Connection::open(to).await?.call(request).await
}
