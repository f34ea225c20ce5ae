//! The load generator: a closed loop of N keep-alive connections, one request in flight on each.
//!
//! One thread and one epoll drive the connections and the backend alike. So the load core spends its time in the
//! kernel's TCP and not in switching between two programs, and the proxy is the one that runs out of core first.

mod backend;
mod call;
mod client;

pub(crate) use call::Call;

use crate::failure::{Failure, OrFail as _, Outcome};
use backend::Backend;
use client::{Client, Progress};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::event::{Timespec, epoll::EventFlags};
use rustix::fd::OwnedFd;
use std::io::{ErrorKind, Read as _, Write as _};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long answers may stay out after the last request.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// How long a single call outside a run may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);

/// The most events taken from the kernel at once: all connections of both sides.
const EVENTS_MAX: usize = 1024;

/// One run to be driven.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// One call per connection.
    pub(crate) calls: Vec<Call>,
    /// How long the load runs before the window opens.
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
}

/// What was seen between the two readings of the meter.
#[derive(Debug)]
pub(crate) struct Window<T> {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    /// The meter at the window's start and end.
    pub(crate) readings: (T, T),
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Answers in the whole run, warm-up and drain included.
    pub(crate) answers: u64,
    /// Client connections that the proxy closed and that were opened again, in the whole run.
    pub(crate) reconnects: u64,
    /// Connections that the proxy opened to the backend within the window.
    pub(crate) upstream_connects: u64,
    /// Signatures that had to be made within the run because the prepared ones had been used up.
    pub(crate) signed_late: u64,
}

/// An answer to a single call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the backend saw the call.
    pub(crate) reached_backend: bool,
}

/// Load generator and backend, driven by the thread that calls.
pub(crate) struct Wire {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    backend: Backend,
    clients: Vec<Client>,
    scratch: Box<[u8]>,
    latencies_ns: Vec<u32>,
    answers: u64,
    reconnects: u64,
    in_flight: usize,
    /// Whether an answer is followed by the next request.
    sending: bool,
}

impl Wire {
    /// Opens the backend on a free port of the loopback interface.
    pub(crate) fn new() -> Outcome<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).or_fail(|| "creating an epoll".into())?;
        let backend = Backend::listen(&epoll)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            backend,
            clients: Vec::new(),
            scratch: vec![0; 16 * 1024].into_boxed_slice(),
            latencies_ns: Vec::with_capacity(1 << 20),
            answers: 0,
            reconnects: 0,
            in_flight: 0,
            sending: false,
        })
    }

    /// Where the backend listens.
    pub(crate) fn backend_address(&self) -> SocketAddr {
        self.backend.address()
    }

    /// Drives one run. `meter` is read when the window opens and when it closes, under load.
    ///
    /// Fails at the first answer that is not the backend's 200, and where answers and the requests that reached
    /// the backend do not add up.
    pub(crate) fn run<T>(&mut self, load: Load, mut meter: impl FnMut() -> Outcome<T>) -> Outcome<Window<T>> {
        let connections = load.calls.len() as u64;
        (self.answers, self.reconnects, self.in_flight) = (0, 0, 0);
        let served_before = self.backend.served;
        self.open(load.address, load.calls)?;
        self.drive(load.warmup)?;

        let (first, opened) = (meter()?, Instant::now());
        let (answers_before, connects_before) = (self.answers, self.backend.accepted);
        self.latencies_ns.clear();
        self.drive(load.window)?;
        let (requests, elapsed) = (self.answers - answers_before, opened.elapsed());
        let upstream_connects = self.backend.accepted - connects_before;
        let (p50, p99) = self.percentiles()?;
        let last = meter()?;

        let signed_late = self.drain()?;
        self.check_sums(served_before, upstream_connects, connections)?;
        let (answers, reconnects) = (self.answers, self.reconnects);
        let readings = (first, last);
        Ok(Window {
            requests,
            elapsed,
            readings,
            p50,
            p99,
            answers,
            reconnects,
            upstream_connects,
            signed_late,
        })
    }

    /// Makes one call on a connection of its own and tells whether the backend saw it.
    pub(crate) fn ask(&mut self, address: SocketAddr, request: &[u8]) -> Outcome<Reply> {
        let served_before = self.backend.served;
        let mut stream = connect(address)?;
        stream.write_all(request).or_fail(|| format!("calling {address}"))?;
        stream.set_nonblocking(true).or_fail(|| "making a socket non-blocking".into())?;
        let (mut seen, deadline) = (Vec::new(), Instant::now() + ASK_LIMIT);
        loop {
            self.step(Duration::from_millis(1))?;
            let ended = match stream.read(&mut self.scratch) {
                Ok(count) => {
                    seen.extend(self.scratch.iter().take(count));
                    count == 0
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Err(error) => return Err(Failure::new(format!("reading from {address}: {error}"))),
            };
            if let Some((status, body)) = client::whole_answer(&seen, ended) {
                let reached_backend = self.backend.served > served_before;
                return Ok(Reply { status, body, reached_backend });
            }
            if ended || Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "{address} gave no whole answer: {}",
                    client::excerpt(&seen)
                )));
            }
        }
    }

    fn open(&mut self, address: SocketAddr, calls: Vec<Call>) -> Outcome<()> {
        self.clients.clear();
        for (index, call) in calls.into_iter().enumerate() {
            let client = Client::connect(address, call)?;
            self.watch(&client, index)?;
            self.clients.push(client);
        }
        self.sending = true;
        let now = Instant::now();
        for client in &mut self.clients {
            client.send(now)?;
            self.in_flight += 1;
        }
        Ok(())
    }

    fn watch(&self, client: &Client, index: usize) -> Outcome<()> {
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, client.stream(), data, EventFlags::IN)
            .or_fail(|| "watching a client socket".into())
    }

    fn drive(&mut self, duration: Duration) -> Outcome<()> {
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.step(left)?;
        }
    }

    /// Waits for the answers that are still out and closes the connections; tells how many signatures came late.
    fn drain(&mut self) -> Outcome<u64> {
        self.sending = false;
        let end = Instant::now() + DRAIN_LIMIT;
        while self.in_flight > 0 {
            if Instant::now() > end {
                return Err(Failure::new(format!("{} answers never came", self.in_flight)));
            }
            self.step(Duration::from_millis(20))?;
        }
        Ok(mem::take(&mut self.clients).iter().map(Client::signed_late).sum())
    }

    fn step(&mut self, wait: Duration) -> Outcome<()> {
        let mut events = mem::take(&mut self.events);
        events.clear();
        let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::new(format!("waiting for sockets: {error}"))),
        }
        for event in &events {
            let data = event.data.u64();
            if Backend::owns(data) {
                self.backend.ready(&self.epoll, data, &mut self.scratch)?;
            } else {
                self.client_ready(data)?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn client_ready(&mut self, data: u64) -> Outcome<()> {
        let Some(client) = usize::try_from(data).ok().and_then(|index| self.clients.get_mut(index)) else {
            return Ok(());
        };
        match client.read(&mut self.scratch)? {
            Progress::Waiting => Ok(()),
            Progress::Answered => {
                let now = Instant::now();
                let latency = now.saturating_duration_since(client.sent_at());
                self.latencies_ns.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
                self.answers += 1;
                if self.sending {
                    return client.send(now);
                }
                self.in_flight -= 1;
                Ok(())
            }
            Progress::Closed => self.reopen(data),
        }
    }

    /// Opens a kept-alive connection again that the proxy closed between two requests, and repeats the request.
    fn reopen(&mut self, data: u64) -> Outcome<()> {
        let index = usize::try_from(data).or_fail(|| "numbering a client".into())?;
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        client.reconnect()?;
        client.send(Instant::now())?;
        self.reconnects += 1;
        let Some(client) = self.clients.get(index) else { return Ok(()) };
        self.watch(client, index)
    }

    fn percentiles(&mut self) -> Outcome<(Duration, Duration)> {
        let count = self.latencies_ns.len();
        let mut at = |share: f64| {
            let rank = ((count as f64 * share).ceil() as usize).saturating_sub(1);
            (rank < count).then(|| {
                let (_, value, _) = self.latencies_ns.select_nth_unstable(rank);
                Duration::from_nanos(u64::from(*value))
            })
        };
        at(0.50).zip(at(0.99)).ok_or_else(|| Failure::new("not one answer came within the window"))
    }

    /// Every answer stands for one request that the backend served, and connections to the backend were kept.
    fn check_sums(&self, served_before: u64, upstream_connects: u64, connections: u64) -> Outcome<()> {
        let served = self.backend.served - served_before;
        if served < self.answers || served > self.answers + self.reconnects {
            let answers = self.answers;
            return Err(Failure::new(format!("{answers} answers, but the backend served {served} requests")));
        }
        if upstream_connects > connections {
            return Err(Failure::new(format!(
                "the proxy opened {upstream_connects} connections to the backend within the window: it does not keep them alive"
            )));
        }
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address).or_fail(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true).or_fail(|| "setting TCP_NODELAY".into())?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{BODY, Request};

    fn load(address: SocketAddr, calls: Vec<Call>) -> Load {
        Load { address, calls, warmup: Duration::from_millis(5), window: Duration::from_millis(50) }
    }

    #[test]
    fn every_answer_is_one_request_served() {
        let mut wire = Wire::new().unwrap();
        let address = wire.backend_address();
        let calls = (0..8).map(|_| Call::fixed(Request::with(""))).collect();
        let mut readings = 0..;
        let window = wire.run(load(address, calls), || Ok(readings.next())).unwrap();
        assert!(window.requests > 0 && window.answers >= window.requests);
        assert_eq!((window.reconnects, window.upstream_connects), (0, 0));
        assert_eq!(window.readings, (Some(0), Some(1)));
        assert!(window.p50 <= window.p99);
        assert_eq!(window.answers, wire.backend.served);
    }

    #[test]
    fn a_run_that_is_answered_with_anything_else_fails() {
        let mut wire = Wire::new().unwrap();
        let address = wire.backend_address();
        let other = Request { bytes: b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n".to_vec() };
        let failure = wire.run(load(address, vec![Call::fixed(other)]), || Ok(())).unwrap_err();
        assert!(failure.to_string().contains("500"), "{failure}");
    }

    #[test]
    fn a_single_call_tells_whether_the_backend_saw_it() {
        let mut wire = Wire::new().unwrap();
        let address = wire.backend_address();
        let reply = wire.ask(address, &Request::with("").bytes).unwrap();
        assert_eq!(reply, Reply { status: 200, body: BODY.into(), reached_backend: true });
    }
}
