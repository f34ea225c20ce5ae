//! One keep-alive connection of the load generator, and how its answers are judged.

use super::Call;
use crate::failure::{Failure, OrFail as _, Outcome};
use crate::request::BODY;
use memchr::memmem;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// Ends a head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A connection with at most one request in flight.
pub(super) struct Client {
    address: SocketAddr,
    stream: TcpStream,
    call: Call,
    /// The beginning of an answer whose rest has not come yet; empty for nearly every answer.
    partial: Vec<u8>,
    sent_at: Instant,
    /// Answers on this connection since it was opened.
    answers: u64,
}

/// What reading brought.
pub(super) enum Progress {
    /// The answer is not whole yet.
    Waiting,
    /// The backend's 200 came, whole and unchanged.
    Answered,
    /// The proxy closed a connection that had served before, without a byte of an answer.
    Closed,
}

impl Client {
    pub(super) fn connect(address: SocketAddr, call: Call) -> Outcome<Self> {
        let stream = open(address)?;
        Ok(Self { address, stream, call, partial: Vec::new(), sent_at: Instant::now(), answers: 0 })
    }

    pub(super) fn reconnect(&mut self) -> Outcome<()> {
        self.stream = open(self.address)?;
        self.answers = 0;
        Ok(())
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn sent_at(&self) -> Instant {
        self.sent_at
    }

    pub(super) fn signed_late(&self) -> u64 {
        self.call.signed_late()
    }

    /// Sends the next request. A closed connection is not noticed here but by the read that follows.
    pub(super) fn send(&mut self, now: Instant) -> Outcome<()> {
        let request = self.call.next()?;
        self.sent_at = now;
        match self.stream.write(request) {
            Ok(count) if count == request.len() => Ok(()),
            Ok(_) => Err(Failure::new("a request did not fit into an empty socket buffer")),
            Err(error) if is_close(error.kind()) => Ok(()),
            Err(error) => Err(Failure::new(format!("sending a request: {error}"))),
        }
    }

    /// Takes what has come; fails if it is not what the backend answers.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Outcome<Progress> {
        let count = match self.stream.read(scratch) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
            Err(error) if is_close(error.kind()) => 0,
            Err(error) => return Err(Failure::new(format!("reading an answer: {error}"))),
        };
        if count == 0 {
            return self.closed();
        }
        let fresh = scratch.get(..count).unwrap_or_default();
        let verdict = if self.partial.is_empty() {
            judge(fresh)
        } else {
            self.partial.extend_from_slice(fresh);
            judge(&self.partial)
        };
        match verdict? {
            true => {
                self.partial.clear();
                self.answers += 1;
                Ok(Progress::Answered)
            }
            false => {
                if self.partial.is_empty() {
                    self.partial.extend_from_slice(fresh);
                }
                Ok(Progress::Waiting)
            }
        }
    }

    fn closed(&self) -> Outcome<Progress> {
        if !self.partial.is_empty() {
            let seen = excerpt(&self.partial);
            return Err(Failure::new(format!("the connection closed within an answer: {seen}")));
        }
        if self.answers == 0 {
            return Err(Failure::new("the proxy closed a fresh connection without an answer"));
        }
        Ok(Progress::Closed)
    }
}

fn open(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = super::connect(address)?;
    stream.set_nonblocking(true).or_fail(|| "making a socket non-blocking".into())?;
    Ok(stream)
}

fn is_close(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// Whether `seen` is the backend's whole answer (true) or its beginning (false); anything else fails.
fn judge(seen: &[u8]) -> Outcome<bool> {
    let wrong = |what: &str| Failure::new(format!("{what}: {}", excerpt(seen)));
    let Some(head_length) = memmem::find(seen, HEAD_END).map(|at| at + HEAD_END.len()) else {
        return Ok(false);
    };
    let (head, body) = seen.split_at(head_length);
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(wrong("an answer is not a 200"));
    }
    if content_length(head) != Some(BODY.len()) {
        return Err(wrong("an answer has not the content length of the backend's"));
    }
    if body.len() < BODY.len() {
        return Ok(false);
    }
    if body != BODY.as_bytes() {
        return Err(wrong("an answer has not the body of the backend's"));
    }
    Ok(true)
}

/// The value of Content-Length in a head.
fn content_length(head: &[u8]) -> Option<usize> {
    /// The end of the field's name as every proxy here writes it; what stands before may differ in case.
    const NAME_END: &[u8] = b"ontent-";
    memmem::find_iter(head, NAME_END).find_map(|at| {
        let value = head.get(at + NAME_END.len()..)?;
        let (name, value) = value.split_at_checked(8)?;
        if !name.eq_ignore_ascii_case(b"length: ") {
            return None;
        }
        let digits = value.split(|byte| *byte == b'\r').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

/// Status and body of the answer in `seen`, once it is whole: by its length, its last chunk, or the connection's end.
pub(super) fn whole_answer(seen: &[u8], ended: bool) -> Option<(u16, Vec<u8>)> {
    let head_length = memmem::find(seen, HEAD_END)? + HEAD_END.len();
    let (head, body) = seen.split_at(head_length);
    let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
    let whole = match content_length(head) {
        Some(length) => body.len() >= length,
        None => ended || body.ends_with(b"0\r\n\r\n"),
    };
    whole.then(|| (status, body.to_vec()))
}

/// The first line of an answer, for a message: nothing that could hold a credential.
pub(super) fn excerpt(seen: &[u8]) -> String {
    let line = seen.split(|byte| *byte == b'\r').next().unwrap_or_default();
    format!("`{}` and {} bytes in all", String::from_utf8_lossy(line), seen.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::answer;

    #[test]
    fn an_answer_counts_only_when_whole_and_unchanged() {
        let whole = answer();
        for cut in 0..whole.len() {
            assert!(!judge(&whole[..cut]).unwrap(), "cut at {cut}");
        }
        assert!(judge(&whole).unwrap());
        let text = String::from_utf8(whole).unwrap();
        assert!(judge(text.replace("Content-Length", "content-length").as_bytes()).unwrap());
        for (from, to) in [
            ("200 OK", "204 No Content"),
            ("HTTP/1.1 200", "HTTP/1.0 200"),
            ("shipped", "skipped"),
            ("Content-Length: 1", "Content-Length: 2"),
            ("Content-Length", "X-Length"),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(judge(text.replace(from, to).as_bytes()).is_err(), "{from} -> {to}");
        }
        assert!(judge(format!("{text}x").as_bytes()).is_err(), "bytes after the answer");
    }

    #[test]
    fn a_refusal_is_read_whole() {
        let sized = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno";
        assert_eq!(whole_answer(sized, false), Some((401, b"no".to_vec())));
        assert_eq!(whole_answer(&sized[..sized.len() - 1], false), None);
        let unsized_answer = b"HTTP/1.1 403 Forbidden\r\n\r\nno";
        assert_eq!(whole_answer(unsized_answer, false), None);
        assert_eq!(whole_answer(unsized_answer, true), Some((403, b"no".to_vec())));
    }
}
