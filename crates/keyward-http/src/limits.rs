//! What a server listens on, and every bound it keeps.

use std::net::SocketAddr;
use std::time::Duration;

/// How a [`crate::Server`] is started.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Addresses to listen on; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Cores to serve on, each with a thread, a runtime and pools of its own.
    pub workers: usize,
    /// Bounds; [`crate::ServerHandle::set_limits`] exchanges them later.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { listen: Vec::new(), workers, limits: Limits::default() }
    }
}

/// Every bound the transport keeps. They can be exchanged while running and hold from the next request on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest head, in bytes, in either direction; more is 431 (or a malformed answer).
    pub head_bytes: usize,
    /// Longest request target, in bytes; more is 414.
    pub target_bytes: usize,
    /// Most field lines of a head, at most 256; more is 431.
    pub fields: usize,
    /// Largest request body, in bytes, held or streamed; more is 413.
    pub body_bytes: u64,
    /// For a head to arrive, from its first byte (or from the connection's start).
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Longest pause between two pieces of a request body.
    pub body_idle_timeout: Duration,
    /// Slowest request body, in bytes per second, judged after one `body_idle_timeout`. 0 for no bound.
    pub body_rate_min: u64,
    /// Longest pause in which a client takes nothing of its answer.
    pub write_idle_timeout: Duration,
    /// How long a closing connection is read on, so that its last answer is not lost to a reset.
    pub linger_timeout: Duration,
    /// Client connections of the whole server. At the bound, the ones that have been idle longest make room.
    pub connections: usize,
    /// Bytes of held bodies of the whole server; over it is 503.
    pub held_bytes: usize,
    /// Connections per core to one host and port, in use and idle; over it is [`crate::UpstreamFailure::Exhausted`].
    pub upstream_connections: usize,
    /// Idle connections per core kept for one host and port.
    pub upstream_idle: usize,
    /// How long an unused upstream connection is kept.
    pub upstream_idle_timeout: Duration,
    /// Every answer that begins from now on is its connection's last.
    pub last_answers: bool,
    /// Go on serving a client that has closed its sending side. `false` takes that for a client that went away,
    /// and ends its upstream call within about a second.
    pub serve_half_closed: bool,
}

/// Most field lines that [`Limits::fields`] can allow: they are parsed into an array on the stack.
pub(crate) const FIELDS_MAX: usize = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            target_bytes: 8 * 1024,
            fields: 100,
            body_bytes: 32 * 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(20),
            body_rate_min: 256,
            write_idle_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(5),
            connections: 20_000,
            held_bytes: 256 * 1024 * 1024,
            upstream_connections: 1024,
            upstream_idle: 256,
            upstream_idle_timeout: Duration::from_secs(45),
            last_answers: false,
            serve_half_closed: true,
        }
    }
}
