//! The backend: reads one request line, answers with the same bytes each time, and counts.
//!
//! It is ours rather than nginx so that it costs little on the core that it shares with the load generator, lives in
//! the same event loop, and knows how many requests reached it: an answer that did not come from here is found out.

use crate::failure::{OrFail as _, Outcome};
use crate::request::{REQUEST_LINE, answer};
use memchr::memmem;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Marks event data as the backend's; the rest is the slot of a connection.
const OURS: u64 = 1 << 63;

/// Event data of the listening socket.
const LISTENER: u64 = u64::MAX;

/// Connections that may wait to be accepted: more than any proxy opens at once here.
const BACKLOG: i32 = 4096;

/// Answers a request that is not the one that was sent.
const NOT_OURS: &[u8] = b"HTTP/1.1 500 Not The Request That Was Sent\r\nContent-Length: 0\r\n\r\n";

pub(super) struct Backend {
    listener: TcpListener,
    address: SocketAddr,
    connections: Vec<Option<Connection>>,
    answer: Vec<u8>,
    /// Requests answered with 200 so far.
    pub(super) served: u64,
    /// Connections accepted so far.
    pub(super) accepted: u64,
}

struct Connection {
    stream: TcpStream,
    /// The beginning of a request whose rest has not come yet.
    partial: Vec<u8>,
}

impl Backend {
    pub(super) fn listen(epoll: &OwnedFd) -> Outcome<Self> {
        let opening = || "opening the backend".to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).or_fail(opening)?;
        rustix::net::listen(&listener, BACKLOG).or_fail(opening)?;
        listener.set_nonblocking(true).or_fail(opening)?;
        epoll::add(epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).or_fail(opening)?;
        let address = listener.local_addr().or_fail(opening)?;
        Ok(Self { listener, address, connections: Vec::new(), answer: answer(), served: 0, accepted: 0 })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether an event belongs to the backend.
    pub(super) fn owns(data: u64) -> bool {
        data & OURS != 0
    }

    /// Handles an event of the listener or of a connection.
    pub(super) fn ready(&mut self, epoll: &OwnedFd, data: u64, scratch: &mut [u8]) -> Outcome<()> {
        if data == LISTENER {
            return self.accept(epoll);
        }
        let slot = usize::try_from(data & !OURS).or_fail(|| "numbering a connection".into())?;
        let Some(place) = self.connections.get_mut(slot) else { return Ok(()) };
        let Some(connection) = place.as_mut() else { return Ok(()) };
        match connection.serve(&self.answer, scratch) {
            Ok(served) => self.served += served,
            // A proxy that closes an idle connection is within its rights; dropping the socket ends the watch.
            Err(Closed) => *place = None,
        }
        Ok(())
    }

    fn accept(&mut self, epoll: &OwnedFd) -> Outcome<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).or_fail(|| "accepting at the backend".into()),
            };
            let preparing = || "preparing a backend connection".to_owned();
            stream.set_nonblocking(true).or_fail(preparing)?;
            stream.set_nodelay(true).or_fail(preparing)?;
            let free = self.connections.iter().position(Option::is_none);
            let slot = free.unwrap_or(self.connections.len());
            let data = EventData::new_u64(OURS | slot as u64);
            epoll::add(epoll, &stream, data, EventFlags::IN).or_fail(preparing)?;
            let connection = Some(Connection { stream, partial: Vec::new() });
            match self.connections.get_mut(slot) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
            self.accepted += 1;
        }
    }
}

/// The peer closed the connection, or broke it.
struct Closed;

impl Connection {
    /// Answers every whole request that has come; tells how many of them were served.
    fn serve(&mut self, answer: &[u8], scratch: &mut [u8]) -> Result<u64, Closed> {
        let count = match self.stream.read(scratch) {
            Ok(0) => return Err(Closed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(Closed),
        };
        let fresh = scratch.get(..count).unwrap_or_default();
        if self.partial.is_empty() && head_end(fresh) == Some(fresh.len()) {
            return self.reply(fresh.starts_with(REQUEST_LINE), answer);
        }
        self.partial.extend_from_slice(fresh);
        let mut served = 0;
        while let Some(end) = head_end(&self.partial) {
            let ours = self.partial.starts_with(REQUEST_LINE);
            served += self.reply(ours, answer)?;
            self.partial.drain(..end);
        }
        Ok(served)
    }

    fn reply(&mut self, ours: bool, answer: &[u8]) -> Result<u64, Closed> {
        let bytes = if ours { answer } else { NOT_OURS };
        match self.stream.write(bytes) {
            Ok(count) if count == bytes.len() => Ok(u64::from(ours)),
            _ => Err(Closed),
        }
    }
}

/// The length of the first head in `seen`, its end included. The requests here have no body.
fn head_end(seen: &[u8]) -> Option<usize> {
    memmem::find(seen, b"\r\n\r\n").map(|at| at + 4)
}
