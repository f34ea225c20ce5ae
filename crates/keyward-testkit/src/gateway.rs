//! A whole gateway in process: a node with its own data folder and ports, a recording upstream, and a clock that the
//! test turns.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use keyward::{Node, NodeOptions, RedisOptions};
use keyward_access::Freshness;
use keyward_api::WorldFile;
use keyward_control::{Actor, Applied, ApplyOptions, HeldOptions, OpenIdOptions};
use keyward_gateway::{Clock, SystemClock};
use keyward_model::{Plaintext, Timestamp};
use tempfile::TempDir;

use crate::client::{self, Answer, PATIENCE};
use crate::clock::ManualClock;
use crate::fixture;
use crate::request::Request;
use crate::upstream::Upstream;

/// When tests take place that do not say when: 2026-06-01T12:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_780_315_200_000);

/// A node, its upstream and its clock.
#[derive(Debug)]
pub struct Gateway {
    node: Node,
    upstream: Upstream,
    clock: Arc<ManualClock>,
    data: TempDir,
    options: Setup,
    confirmed: Arc<Confirmed>,
}

/// Says when the Snapshot was last known to be the newest: what the test says, else always.
#[derive(Debug)]
struct Confirmed(AtomicI64);

impl Freshness for Confirmed {
    fn confirmed_at(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// How a gateway is set up.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The machine's clock rather than one that the test turns.
    pub real_clock: bool,
    /// When it starts; absent: [`START`].
    pub at: Option<Timestamp>,
    /// Name of the gateway that the node belongs to; absent: `default`.
    pub gateway: Option<String>,
    /// Most nonces that are remembered per application.
    pub replay_cap: Option<usize>,
    /// Cores to serve on; absent: one.
    pub workers: Option<usize>,
    /// How long streams outlive their right; absent: as by default.
    pub stream_grace: Option<Duration>,
    /// The store that it shares with other nodes, and their master key; absent: SQLite in its own folder.
    pub store: Option<(String, PathBuf)>,
    /// The Redis in which nodes share their replay memory, and how long a request waits for it.
    pub replay_redis: Option<(String, Duration)>,
    /// Hosts that key sets may be fetched from although they are on loopback.
    pub allow_egress: Vec<String>,
    /// The provider through which operators sign in.
    pub open_id: Option<OpenIdOptions>,
    /// How often what was used is written down; absent: as by default.
    pub usage_every: Option<Duration>,
    /// How secrets are fetched whose values are held elsewhere; absent: as by default, and looked at often.
    pub held: Option<HeldOptions>,
}

impl Gateway {
    /// With this world, in which `${UPSTREAM}` is the recording upstream.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(world: &str) -> Self {
        Self::start_with(world, Setup::default()).await
    }

    /// With this world and the machine's clock.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_now(world: &str) -> Self {
        Self::start_with(world, Setup { real_clock: true, ..Setup::default() }).await
    }

    /// With this world and setup.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(world: &str, setup: Setup) -> Self {
        Self::start_on(world, setup, Upstream::start().await.expect("an upstream")).await
    }

    /// With the attack catalogue's fixture.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn fixture() -> Self {
        Self::start(&fixture::world()).await
    }

    /// With the fixture, and this upstream.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn fixture_with(upstream: Upstream) -> Self {
        Self::start_on(&fixture::world(), Setup::default(), upstream).await
    }

    /// With the fixture, and so many nonces per application.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn fixture_with_replay_cap(cap: usize) -> Self {
        Self::start_with(&fixture::world(), Setup { replay_cap: Some(cap), ..Setup::default() }).await
    }

    /// With this world, setup and upstream.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_on(world: &str, setup: Setup, upstream: Upstream) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let file = data.path().join("world.yaml");
        std::fs::write(&file, with_upstream(world, &upstream)).expect("a world file");
        let clock = Arc::new(ManualClock::at(setup.at.unwrap_or(START)));
        let confirmed = Arc::new(Confirmed(AtomicI64::new(i64::MAX)));
        let node = open(&data, &setup, &clock, &confirmed, vec![file]).await;
        Self { node, upstream, clock, data, options: setup, confirmed }
    }

    /// Stops the node and starts it again on the same data.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(self) -> Self {
        let Self { node, upstream, clock, data, options, confirmed } = self;
        node.shutdown(Duration::ZERO).await;
        let node = open(&data, &options, &clock, &confirmed, Vec::new()).await;
        Self { node, upstream, clock, data, options, confirmed }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.node.gateway_addr()
    }

    /// Where its admin server listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.node.admin_addr()
    }

    /// The node itself.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What stands behind it.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What time it is there, in milliseconds.
    pub fn now_ms(&self) -> i64 {
        if self.options.real_clock { SystemClock::new().now() } else { self.clock.now() }.as_millis()
    }

    /// It becomes this moment there.
    pub fn set_time(&self, now: Timestamp) {
        self.clock.set(now);
    }

    /// The wall clock is set to this moment, while no time passes.
    pub fn set_wall_clock(&self, now: Timestamp) {
        self.clock.set_wall(now);
    }

    /// The configuration was last known to be the newest at this moment.
    pub fn confirm(&self, at: Timestamp) {
        self.confirmed.0.store(at.as_millis(), Ordering::SeqCst);
    }

    /// Time passes there.
    pub fn advance_ms(&self, millis: i64) {
        self.clock.advance_ms(millis);
    }

    /// Makes one call on a connection of its own.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn call(&self, request: &Request) -> Answer {
        client::call(self.address(), request).await.expect("an answer")
    }

    /// Applies a world file; `${UPSTREAM}` is the recording upstream.
    ///
    /// # Errors
    /// The problems, as text.
    pub async fn apply(&self, world: &str) -> Result<Applied, String> {
        let text = with_upstream(world, &self.upstream);
        let read = WorldFile::parse(&text, &|_| None)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let applied =
            self.node.control().apply(&Actor::LocalToken, read.world, ApplyOptions::default()).await;
        applied.map_err(|error| error.to_string())
    }

    /// The reason that the access record of this answer names; empty for a permit.
    ///
    /// # Panics
    /// If the record does not come.
    pub async fn reason_of(&self, answer: &Answer) -> String {
        self.record_of(answer).await.get("reason").and_then(|r| r.as_str()).unwrap_or_default().to_owned()
    }

    /// The access record of this answer.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn record_of(&self, answer: &Answer) -> serde_json::Value {
        let id = answer.header("x-ca-request-id").expect("a request id").to_owned();
        let log = self.data.path().join("access.log");
        until(move || {
            let text = std::fs::read_to_string(&log).ok()?;
            let line = text.lines().find(|line| line.contains(&id))?;
            serde_json::from_str(line).ok()
        })
        .await
        .expect("an access record")
    }

    /// Every line of the access log, once `count` of them are written.
    ///
    /// # Panics
    /// If they do not come.
    pub async fn log_lines(&self, count: usize) -> Vec<String> {
        let log = self.data.path().join("access.log");
        let lines = move || {
            let text = std::fs::read_to_string(&log).ok()?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        };
        until(lines).await.expect("access records")
    }

    /// Makes a call of the admin API with the local token.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn admin(&self, request: Request) -> Answer {
        let token = self.node.admin_token().expect("a local token").expose_secret().to_owned();
        client::call(self.admin_address(), &request.bearer(&token)).await.expect("an answer")
    }

    /// Every file of the data folder with its bytes, but for the world file that the test wrote there.
    pub fn data_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.data.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name != "world.yaml") {
                    files.extend(std::fs::read(&path).ok().map(|bytes| (path, bytes)));
                }
            }
        }
        files
    }
}

/// Polls until there is a value, or [`PATIENCE`] ends.
pub async fn until<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while start.elapsed() < PATIENCE {
        if let Some(value) = found() {
            return Some(value);
        }
        ticks.tick().await;
    }
    None
}

/// [`until`] for what has to be asked for.
pub async fn until_async<T>(mut found: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while start.elapsed() < PATIENCE {
        if let Some(value) = found().await {
            return Some(value);
        }
        ticks.tick().await;
    }
    None
}

fn with_upstream(world: &str, upstream: &Upstream) -> String {
    world.replace("${UPSTREAM}", &upstream.url())
}

async fn open(
    data: &TempDir,
    setup: &Setup,
    clock: &Arc<ManualClock>,
    confirmed: &Arc<Confirmed>,
    apply: Vec<PathBuf>,
) -> Node {
    let name = setup.gateway.as_deref().unwrap_or("default").parse().expect("a name");
    let mut options = NodeOptions::new(data.path(), name);
    if !setup.real_clock {
        options.clock = Arc::<ManualClock>::clone(clock);
    }
    if let Some(cap) = setup.replay_cap {
        options.replay.per_application = cap;
    }
    if let Some(grace) = setup.stream_grace {
        options.stream_grace = grace;
    }
    if let Some((url, master_key)) = setup.store.clone() {
        options.store = Some(Plaintext::new(url));
        options.master_key = Some(master_key);
    }
    if let Some((url, budget)) = setup.replay_redis.clone() {
        options.replay_redis = Some(RedisOptions { url, budget });
    }
    options.open_id.clone_from(&setup.open_id);
    options.key_sets.allow_egress.clone_from(&setup.allow_egress);
    options.key_sets.look_every = Duration::from_millis(20);
    if let Some(every) = setup.usage_every {
        options.usage.every = every;
    }
    if let Some(held) = setup.held.clone() {
        options.held = held;
    }
    options.held.look_every = Duration::from_millis(20);
    options.workers = setup.workers.unwrap_or(1);
    options.freshness = Some(Arc::<Confirmed>::clone(confirmed));
    options.apply = apply;
    match Node::start(options).await {
        Ok(node) => node,
        Err(error) => panic!("no node: {error}"),
    }
}
