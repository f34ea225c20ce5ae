//! A whole server in process, with a raw client in front of it and a raw upstream behind it.

mod client;
mod handler;
mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward_http::{Endpoint, Limits, Server, ServerConfig, ServerHandle, Timeouts};

pub use client::Client;
pub use handler::{Log, TestHandler};
pub use upstream::Upstream;

/// Longest time any wait of a test takes before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Limits that no test runs into by accident.
pub const LONG: Timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, idle: PATIENCE };

/// A running server and what its handlers saw.
pub struct Gateway {
    pub server: ServerHandle,
    pub log: Arc<Log>,
}

/// How to start one.
pub struct Setup {
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub workers: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: Limits::default(), timeouts: LONG, workers: 1 }
    }
}

impl Setup {
    pub fn start(self, upstream: &Upstream) -> Gateway {
        self.start_towards(&upstream.url())
    }

    pub fn start_towards(self, url: &str) -> Gateway {
        let endpoint = Arc::new(Endpoint::parse(url).unwrap());
        let log = Arc::new(Log::default());
        let config = ServerConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            workers: self.workers,
            limits: self.limits,
        };
        let (timeouts, handler_log) = (self.timeouts, Arc::clone(&log));
        let server = Server::start(config, move |_| TestHandler {
            endpoint: Arc::clone(&endpoint),
            timeouts,
            log: Arc::clone(&handler_log),
        })
        .unwrap();
        Gateway { server, log }
    }
}

impl Gateway {
    pub fn before(upstream: &Upstream) -> Self {
        Setup::default().start(upstream)
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.server.local_addrs()[0])
    }

    /// Sends `bytes` on a connection of its own and returns everything that comes back until it is closed.
    pub fn send_and_read_to_end(&self, bytes: &[u8]) -> Vec<u8> {
        let mut client = self.connect();
        client.send(bytes);
        client.read_to_end()
    }
}

/// Polls `condition` until it holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come true");
        std::thread::yield_now();
    }
}

/// `length` bytes that differ from place to place.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// `body` in chunks of `size` bytes.
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
