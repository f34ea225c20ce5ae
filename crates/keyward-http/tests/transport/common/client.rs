//! A client that sends exactly the bytes it is given and reads answers strictly.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub struct Client {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what can be sent: the server may have closed already.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub fn close_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.reply()
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> Reply {
        self.send(format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()));
        self.try_send(body);
        self.reply()
    }

    /// The next answer to a request other than HEAD.
    pub fn reply(&mut self) -> Reply {
        let mut reply = self.head();
        match (reply.field("content-length"), reply.field("transfer-encoding")) {
            (Some(_), Some(_)) => panic!("an answer has both content-length and transfer-encoding"),
            (Some(length), None) => reply.body = self.take(length.parse().unwrap()),
            (None, Some("chunked")) => (reply.body, reply.trailers) = self.chunks(),
            (None, Some(other)) => panic!("an answer has the transfer coding {other}"),
            (None, None) if matches!(reply.status, 100..=199 | 204 | 304) => {}
            (None, None) => reply.body = self.read_to_end(),
        }
        reply
    }

    /// The next answer's head.
    pub fn head(&mut self) -> Reply {
        let head = self.until(b"\r\n\r\n");
        let text = String::from_utf8(head).unwrap();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        Reply { status, fields: fields(lines), body: Vec::new(), trailers: Vec::new() }
    }

    fn chunks(&mut self) -> (Vec<u8>, Vec<(String, String)>) {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk() {
            body.extend(chunk);
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return (body, trailers);
            }
            trailers.extend(fields(std::iter::once(line.as_str())));
        }
    }

    /// The next chunk; `None` for the last one (its trailer section is still to be read).
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line(), 16).unwrap();
        if size == 0 {
            return None;
        }
        let chunk = self.take(size);
        assert_eq!(self.take(2), b"\r\n");
        Some(chunk)
    }

    fn line(&mut self) -> String {
        let line = self.until(b"\r\n");
        String::from_utf8(line[..line.len() - 2].to_vec()).unwrap()
    }

    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(self.more(), "the connection ended within {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more(), "the connection ended {} bytes too early", count - self.read.len());
        }
        self.read.drain(..count).collect()
    }

    /// Everything until the connection ends, in whichever way.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.read)
    }

    /// Whether the connection ends without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more()
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0u8; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.read.extend_from_slice(&bytes[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => true,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let split = |line: &'a str| line.split_once(':').unwrap();
    lines.map(split).map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}
