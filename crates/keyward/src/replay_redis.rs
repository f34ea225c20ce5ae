//! The replay memory that nodes share, in Redis: on a thread of its own, behind a bounded queue.
//!
//! A nonce is one key, `keyward:nonce:APPLICATION:NONCE`, set only if it is not there and kept a minute longer than its
//! request could pass, because nodes' clocks differ. `keyward:nonce:since` says from when on this memory is whole: where
//! it is gone, Redis has lost what it knew, and requests that were signed before it was set again are not believed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use keyward_access::NonceUse;
use keyward_gateway::{Clock, SharedAnswer, SharedReplay, SharedReply, Unavailable};
use keyward_model::Timestamp;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How the shared memory is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// `redis://…` or `rediss://…`. May hold a password, so it is in no log and in no `Debug`.
    pub url: String,
    /// Longest time that a request waits for an answer.
    pub budget: Duration,
}

impl RedisOptions {
    /// This address, with a budget of 50 ms.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), budget: Duration::from_millis(50) }
    }
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// The way to the thread that asks Redis.
#[derive(Debug)]
pub(crate) struct RedisReplay {
    asks: mpsc::Sender<Ask>,
}

struct Ask {
    nonce: NonceUse,
    now: Timestamp,
    reply: SharedReply,
}

/// How Redis is reached now.
#[derive(Clone)]
enum Link {
    /// Nobody knows yet: it is waited for.
    Opening,
    Up(MultiplexedConnection),
    /// It does not answer: nobody waits for it.
    Down,
}

/// What is needed to ask.
struct Shared {
    clock: Arc<dyn Clock>,
    budget: Duration,
    under_way: AtomicUsize,
    /// The connection turned out to be broken.
    broken: tokio::sync::Notify,
    /// Said since it last worked.
    told: AtomicBool,
}

/// Most questions that wait to be asked, and that are under way.
const ASKS_MAX: usize = 4_096;
/// Beyond this a connection, or an answer to a ping, is not to be expected any more.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause between two attempts to connect, and between two pings.
const RETRY: Duration = Duration::from_millis(200);
/// How far nodes' clocks may differ: so much longer is a nonce kept.
const CLOCKS_DIFFER_MS: i64 = 60_000;
/// From when on the memory is whole, in milliseconds.
const SINCE: &str = "keyward:nonce:since";

impl RedisReplay {
    /// Starts the thread. Redis need not be there yet.
    ///
    /// # Errors
    /// The address is not one, or the system gives no thread.
    pub(crate) fn start(options: &RedisOptions, clock: Arc<dyn Clock>) -> io::Result<Arc<Self>> {
        // Both would do; with two linked in, neither is chosen by itself. An error means that one is chosen already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::open(options.url.as_str()).map_err(|_| wrong_address())?;
        let shared = Arc::new(Shared {
            clock,
            budget: options.budget,
            under_way: AtomicUsize::new(0),
            broken: tokio::sync::Notify::new(),
            told: AtomicBool::new(false),
        });
        let (asks, waiting) = mpsc::channel(ASKS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || runtime.block_on(run(client, shared, waiting));
        std::thread::Builder::new().name("replay-redis".into()).spawn(run)?;
        Ok(Arc::new(Self { asks }))
    }
}

fn wrong_address() -> io::Error {
    let text = "the address of the shared replay memory is not one; write it like redis://HOST:6379 or rediss://HOST:6379";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl SharedReplay for RedisReplay {
    fn ask(&self, nonce: NonceUse, now: Timestamp, reply: SharedReply) {
        // Where the queue is full the reply is dropped, which says that nobody knows.
        drop(self.asks.try_send(Ask { nonce, now, reply }));
    }
}

/// Asks what is to be asked, until nobody can ask any more.
async fn run(client: Client, shared: Arc<Shared>, mut waiting: mpsc::Receiver<Ask>) {
    let (up, link) = watch::channel(Link::Opening);
    let linking = tokio::spawn(keep_linked(client, Arc::clone(&shared), up));
    while let Some(ask) = waiting.recv().await {
        if shared.under_way.load(Ordering::Relaxed) >= ASKS_MAX {
            continue;
        }
        shared.under_way.fetch_add(1, Ordering::Relaxed);
        let (shared, link) = (Arc::clone(&shared), link.clone());
        tokio::spawn(async move {
            let answer = timeout(shared.budget, asked(&shared, link, &ask.nonce, ask.now)).await;
            shared.under_way.fetch_sub(1, Ordering::Relaxed);
            ask.reply.answer(answer.unwrap_or(UNREACHABLE));
        });
    }
    linking.abort();
}

const UNREACHABLE: SharedAnswer = SharedAnswer::Unavailable(Unavailable::Unreachable);

async fn asked(
    shared: &Shared,
    mut link: watch::Receiver<Link>,
    nonce: &NonceUse,
    now: Timestamp,
) -> SharedAnswer {
    let known = link.wait_for(|link| !matches!(link, Link::Opening)).await.map(|link| link.clone());
    let Ok(Link::Up(mut connection)) = known else { return UNREACHABLE };
    match remember(&mut connection, nonce, now).await {
        Ok((set, Some(since))) => believed(set, since, nonce, now),
        Ok((_, None)) => {
            tracing::error!(
                "Redis has lost the replay memory; requests that were signed before now are not believed"
            );
            // Whoever is first sets it; an error shows with the next question.
            let _ = begin(&mut connection, &*shared.clock).await;
            SharedAnswer::Unavailable(Unavailable::Lost)
        }
        Err(error) => {
            shared.failed(&error);
            UNREACHABLE
        }
    }
}

/// What was set counts only if the memory of the request's own time is whole.
fn believed(set: bool, since: Timestamp, nonce: &NonceUse, now: Timestamp) -> SharedAnswer {
    let lost = match nonce.timestamp {
        Some(timestamp) => timestamp < since,
        None => now < since.plus_millis(left_ms(nonce, now)),
    };
    match (set, lost) {
        (false, _) => SharedAnswer::Replayed,
        (true, true) => SharedAnswer::Unavailable(Unavailable::Lost),
        (true, false) => SharedAnswer::Fresh,
    }
}

fn left_ms(nonce: &NonceUse, now: Timestamp) -> i64 {
    nonce.until.as_millis().saturating_sub(now.as_millis()).max(0)
}

/// Sets the nonce if it is not there; and from when on the memory is whole, if it is at all.
async fn remember(
    connection: &mut MultiplexedConnection,
    nonce: &NonceUse,
    now: Timestamp,
) -> Result<(bool, Option<Timestamp>), RedisError> {
    let key = format!("keyward:nonce:{}:{}", nonce.caller, nonce.nonce);
    let keep_ms = left_ms(nonce, now).saturating_add(CLOCKS_DIFFER_MS);
    let mut pipe = redis::pipe();
    pipe.cmd("SET").arg(key).arg(1).arg("NX").arg("PX").arg(keep_ms).cmd("GET").arg(SINCE);
    let (set, since): (Option<String>, Option<i64>) = pipe.query_async(connection).await?;
    Ok((set.is_some(), since.map(Timestamp::from_millis)))
}

/// From now on the memory is whole, unless it was already.
async fn begin(connection: &mut MultiplexedConnection, clock: &dyn Clock) -> Result<(), RedisError> {
    let now = clock.now().as_millis();
    redis::cmd("SET").arg(SINCE).arg(now).arg("NX").query_async::<Option<String>>(connection).await.map(drop)
}

impl Shared {
    fn failed(&self, error: &RedisError) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the shared replay memory does not answer; APIs that require a nonce refuse");
        }
        self.broken.notify_one();
    }
}

/// Keeps a connection that answers; without one, says so.
async fn keep_linked(client: Client, shared: Arc<Shared>, link: watch::Sender<Link>) {
    loop {
        match connect(&client, &shared).await {
            Ok(connection) => {
                tracing::info!("the shared replay memory answers");
                shared.told.store(false, Ordering::Relaxed);
                link.send_replace(Link::Up(connection.clone()));
                until_broken(connection, &shared).await;
            }
            Err(error) => shared.failed(&error),
        }
        link.send_replace(Link::Down);
        tokio::time::sleep(RETRY).await;
    }
}

async fn connect(client: &Client, shared: &Shared) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_concurrency_limit(ASKS_MAX);
    let connecting = async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        begin(&mut connection, &*shared.clock).await?;
        Ok(connection)
    };
    timeout(PATIENCE, connecting).await.unwrap_or_else(|_| Err(late()))
}

/// A server that is stopped keeps its connections open: only an answer shows that it is there.
async fn until_broken(mut connection: MultiplexedConnection, shared: &Shared) {
    loop {
        let _ = timeout(RETRY, shared.broken.notified()).await;
        let ping = redis::cmd("PING");
        let pong = timeout(PATIENCE, ping.query_async::<String>(&mut connection)).await;
        if let Err(error) = pong.unwrap_or_else(|_| Err(late())) {
            return shared.failed(&error);
        }
    }
}

fn late() -> RedisError {
    RedisError::from(io::Error::from(io::ErrorKind::TimedOut))
}
