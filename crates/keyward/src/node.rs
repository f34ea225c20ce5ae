//! A node: store, use cases, data plane and admin server, wired together. The only place where they meet.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyward_access::{Freshness, ModuleCheck};
use keyward_admin::{Admin, AdminOptions, AdminServer, AdminToken};
use keyward_api::{FieldProblem, WorldFile};
use keyward_control::{
    Actor, ApplyOptions, Control, ControlError, ControlOptions, HeldCounts, HeldKeeper, HeldOptions,
    KeySetKeeper, KeySetOptions, Minter, NodeInfo, OpenId, OpenIdOptions, Random, SystemRandom, UsageKeeper,
    UsageOptions, VaultLogin,
};
use keyward_gateway::{
    AccessLog, Clock, Gateway, History, ReplayMemory, ReplayOptions, SystemClock, transport_limits,
};
use keyward_http::{Limits, Server, ServerConfig, ServerHandle, StartError};
use keyward_model::{Name, Plaintext};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::custom_plugins::WasmPlugins;
use crate::data_dir::DataDir;
use crate::memory::Memory;
use crate::quotas::QuotaKeeper;
use crate::replay_redis::{RedisOptions, RedisReplay};
use crate::sealed::{Sealed, Seen};
use crate::take_over::{Heir, Inherited};

/// How a node is set up.
pub struct NodeOptions {
    /// Its data folder; made if it is not there.
    pub data: PathBuf,
    /// Where the gateway listens; port 0 picks one.
    pub listen: Vec<SocketAddr>,
    /// Where the admin server listens; port 0 picks one.
    pub admin: SocketAddr,
    /// The sockets of the process that this one takes over from, in place of `listen` and `admin`.
    pub inherited: Option<Arc<Inherited>>,
    /// A socket that listens at `admin` already.
    pub(crate) admin_socket: Option<std::net::TcpListener>,
    /// The gateway that the node belongs to.
    pub gateway: Name,
    /// A store elsewhere (`postgres://…`); absent: SQLite in the data folder.
    pub store: Option<Plaintext>,
    /// What the node is called in the list of nodes; absent: as the machine is.
    pub name: Option<String>,
    /// The master key file; absent: in the data folder, made on first start.
    pub master_key: Option<PathBuf>,
    /// Where access records go.
    pub access_log: AccessLogTo,
    /// World files that are applied before the node is ready.
    pub apply: Vec<PathBuf>,
    /// Looks up the variables of those files.
    pub environment: fn(&str) -> Option<String>,
    /// Cores to serve on.
    pub workers: usize,
    /// The memory that it may take; absent: as much as the limits allow.
    pub memory: Option<Memory>,
    /// Is there a local token? Without one and without operators nobody can administer the node.
    pub local_token: bool,
    /// Names under which the admin server may be called, besides `localhost` and addresses.
    pub admin_hosts: Vec<String>,
    /// Is `/metrics` answered without a token?
    pub metrics_open: bool,
    /// The provider through which operators may sign in; absent: by passwords alone.
    pub open_id: Option<OpenIdOptions>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from.
    pub random: Arc<dyn Random>,
    /// How many nonces are remembered.
    pub replay: ReplayOptions,
    /// The replay memory that nodes share; absent: this node is on its own.
    pub replay_redis: Option<RedisOptions>,
    /// How long an open stream outlives the right that it rests on.
    pub stream_grace: Duration,
    /// How fresh the Snapshot is; absent: as the store says.
    pub freshness: Option<Arc<dyn Freshness>>,
    /// How key sets are fetched.
    pub key_sets: KeySetOptions,
    /// How secrets are fetched whose values are held elsewhere.
    pub held: HeldOptions,
    /// How use is written down.
    pub usage: UsageOptions,
}

/// How long an open stream outlives the right that it rests on, unless told.
pub(crate) const STREAM_GRACE: Duration = Duration::from_secs(30);

/// How long administrators' requests may go on once the gateway has drained.
const ADMIN_GRACE: Duration = Duration::from_secs(5);

/// For how long connections are used for one more answer before another process takes over: two idle for so long are closed.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// For how long connections that were just accepted may take to say what they want.
const NEWCOMERS: Duration = Duration::from_secs(1);

/// For how long requests that are on their way may take to be complete.
const UNDECIDED: Duration = Duration::from_secs(5);

/// How long a start waits for values that are held elsewhere; what is not there by then is refused until it is.
const HELD_AT_START: Duration = Duration::from_secs(5);

/// Where access records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTo {
    /// Nowhere.
    Nowhere,
    /// To `access.log` in the data folder.
    DataDir,
    /// To this file.
    File(PathBuf),
    /// To standard error.
    StandardError,
}

impl NodeOptions {
    /// A node with this data folder: free loopback ports, the gateway `default`, one core, the machine's clock.
    pub fn new(data: impl Into<PathBuf>, gateway: Name) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data: data.into(),
            listen: vec![loopback],
            admin: loopback,
            inherited: None,
            admin_socket: None,
            gateway,
            store: None,
            name: None,
            master_key: None,
            access_log: AccessLogTo::DataDir,
            apply: Vec::new(),
            environment: |name| std::env::var(name).ok(),
            workers: 1,
            memory: None,
            local_token: true,
            admin_hosts: Vec::new(),
            metrics_open: false,
            open_id: None,
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            replay: ReplayOptions::default(),
            replay_redis: None,
            stream_grace: STREAM_GRACE,
            freshness: None,
            key_sets: KeySetOptions::default(),
            held: HeldOptions::default(),
            usage: UsageOptions::default(),
        }
    }
}

impl fmt::Debug for NodeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOptions")
            .field("data", &self.data)
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data folder cannot be used.
    #[error("the data folder `{path}` cannot be used: {source}; name another with --data")]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The use cases refused.
    #[error("{0}")]
    Control(#[from] ControlError),
    /// A world file is wrong. Nothing of it was applied.
    #[error("{}", listed(.file, .problems))]
    World {
        /// The file.
        file: PathBuf,
        /// Everything that is wrong with it.
        problems: Vec<FieldProblem>,
    },
    /// The gateway that the node should belong to is not known.
    #[error("there is no gateway `{0}`; name another with --gateway, or apply a world file that has it")]
    Gateway(Name),
    /// The gateway's listeners did not start.
    #[error("the gateway does not start: {0}; choose another address with --listen")]
    Listen(StartError),
    /// The admin listener did not start.
    #[error("the admin server cannot listen on `{address}`: {source}; choose another address with --admin")]
    AdminListen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file or thread that the node needs is not to be had.
    #[error("{what}: {source}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn listed(file: &Path, problems: &[FieldProblem]) -> String {
    let file = file.display();
    let line = |problem: &FieldProblem| {
        // Where there is no line, only the name stands before the message.
        let blank = if problem.line > 0 { "" } else { " " };
        format!("{file}:{blank}{problem}")
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Turns an error of the system into one that says what was wanted.
pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> NodeError {
    move |source| NodeError::System { what, source }
}

/// A running node.
pub struct Node {
    data: DataDir,
    control: Control,
    token: Option<Plaintext>,
    bootstrap: Option<Plaintext>,
    server: Arc<ServerHandle>,
    admin: AdminServer,
    /// Once more, to be given to another process. It listens as long as anybody has it.
    admin_socket: std::net::TcpListener,
    gateway: Gateway,
    serving: Arc<AtomicBool>,
    following: Following,
    plugins: WasmPlugins,
    following_plugins: Following,
    quotas: QuotaKeeper,
    usage: UsageKeeper,
    key_sets: KeySetKeeper,
    held: HeldKeeper,
}

impl Node {
    /// Starts a node: when this returns, gateway and admin server answer.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn start(options: NodeOptions) -> Result<Self, NodeError> {
        let (data, used) = open_data(&options)?;
        let control = open_control(&options, &data).await?;
        Self::start_opened(options, &data, used, control).await
    }

    /// The same, but a node whose store does not open with its master key file (or without one) waits for the right one: meanwhile it
    /// answers on its admin address that it is sealed. The store is not touched, and not asked again before the file is another.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn start_when_unsealed(mut options: NodeOptions) -> Result<Self, NodeError> {
        let (data, used) = open_data(&options)?;
        let mut sealed: Option<Sealed> = None;
        let control = loop {
            let seen = Seen::at(&key_file(&options, &data));
            match open_control(&options, &data).await {
                Ok(control) => break control,
                Err(error) if error.is_sealed() => {
                    let sealed = match &mut sealed {
                        Some(sealed) => sealed,
                        none => none.insert(Sealed::start(&options).await?),
                    };
                    sealed.tell(&error);
                    seen.changed(&key_file(&options, &data)).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        if let Some(sealed) = sealed {
            tracing::info!("the master key is there: the node goes on");
            options.admin_socket = Some(sealed.end().await);
        }
        Self::start_opened(options, &data, used, control).await
    }

    async fn start_opened(
        options: NodeOptions,
        data: &DataDir,
        used: bool,
        control: Control,
    ) -> Result<Self, NodeError> {
        for problem in control.quarantined() {
            tracing::error!(%problem, "something in the store cannot be read and is left out");
        }
        match Self::start_on(&options, data, used, control.clone()).await {
            Ok(node) => Ok(node),
            Err(error) => {
                control.close().await;
                Err(error)
            }
        }
    }

    async fn start_on(
        options: &NodeOptions,
        data: &DataDir,
        used: bool,
        control: Control,
    ) -> Result<Self, NodeError> {
        let token = local_token(options, data)?;
        let (listener, admin_socket) = listen_for_admin(options)
            .await
            .map_err(|source| NodeError::AdminListen { address: options.admin, source })?;
        let admin_address = listener.local_addr().map_err(system("the admin listener has no address"))?;
        control.add_own_listeners(&[admin_address]);
        let held = HeldKeeper::start(control.clone(), held(options)).map_err(|what| NodeError::System {
            what: "the vault cannot be used",
            source: io::Error::other(what),
        })?;
        held.settled(HELD_AT_START).await;
        let plugins = WasmPlugins::new(control.snapshots(), Arc::clone(&options.clock));
        control.try_modules_by(Arc::new(plugins.clone()));
        for file in &options.apply {
            if control.started_from_copy() {
                tracing::warn!(file = %file.display(), "not applied: this node starts from its local copy");
                continue;
            }
            apply(&control, file, options.environment).await?;
        }
        let mut gateway = open_gateway(options, data, used, &control).await?;
        let key_sets = KeySetKeeper::start(control.clone(), options.key_sets.clone()).map_err(|what| {
            NodeError::System { what: "key sets cannot be fetched", source: io::Error::other(what) }
        })?;
        gateway.key_sets = Some(key_sets.nudge());
        plugins.serve(gateway.id);
        let quotas = QuotaKeeper::start(gateway.clone(), data.file("quotas"));
        gateway.custom = Some(Arc::new(plugins.clone()));
        let following_plugins = Following(tokio::spawn(plugins.clone().follow()));
        let server = serve(options, &gateway)?;
        control.add_own_listeners(server.local_addrs());
        let serving = Arc::new(AtomicBool::new(true));
        let admin = Admin::new(AdminOptions {
            control: control.clone(),
            token: token.as_ref().and_then(|token| AdminToken::new(token.expose_secret())),
            hosts: admin_hosts(options),
            open_id: open_id(options, &control)?,
            metrics: metrics(&gateway, &server, &control, &plugins, held.counts()),
            metrics_open: options.metrics_open,
            clock: Arc::new(ControlClock(Arc::clone(&options.clock))),
            gateway_ready: {
                let serving = Arc::clone(&serving);
                Arc::new(move || serving.load(Ordering::Acquire))
            },
        });
        let admin = AdminServer::start(listener, admin).map_err(system("the admin server does not start"))?;
        tracing::info!(
            gateway = %options.gateway,
            revision = control.revision().number,
            workers = options.workers,
            "listening"
        );
        // A store that takes no writes now has no way in for a first operator either; the next start tries again.
        let bootstrap = control.sessions().open_bootstrap().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the way in for a first operator could not be opened");
            None
        });
        control.join(node_info(options, admin.address())).await;
        let following =
            Following(tokio::spawn(follow_limits(gateway.clone(), Arc::clone(&server), options.memory)));
        let source = Arc::new(gateway.usage.clone());
        let usage = UsageKeeper::start(control.clone(), source, options.usage);
        Ok(Self {
            data: data.clone(),
            control,
            token,
            bootstrap,
            server,
            admin,
            admin_socket,
            gateway,
            serving,
            following,
            plugins,
            following_plugins,
            quotas,
            usage,
            key_sets,
            held,
        })
    }

    /// Where the gateway listens: the first of its addresses.
    pub fn gateway_addr(&self) -> SocketAddr {
        self.server.local_addrs().first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Every address that the gateway listens on.
    pub fn gateway_addrs(&self) -> &[SocketAddr] {
        self.server.local_addrs()
    }

    /// Where the admin server listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The use cases, on this node's store.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The data plane's shared parts.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Tries modules and custom plugins before they take effect.
    pub fn module_check(&self) -> Arc<dyn ModuleCheck> {
        Arc::new(self.plugins.clone())
    }

    /// The local token, if there is one.
    pub fn admin_token(&self) -> Option<&Plaintext> {
        self.token.as_ref()
    }

    /// The one-time password for the first operator, where there is none yet.
    pub fn bootstrap_password(&self) -> Option<&Plaintext> {
        self.bootstrap.as_ref()
    }

    /// Opens the access log anew, after it was moved away.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.gateway.log {
            log.reopen();
        }
    }

    /// Stops: takes no new connections, lets requests under way end for at most `grace`, then closes the store.
    pub async fn shutdown(self, grace: Duration) {
        self.serving.store(false, Ordering::Release);
        self.server.shutdown(grace).await;
        self.following.0.abort();
        let (_, gateway) = self.let_go().await;
        if let Some(log) = &gateway.log {
            log.close();
        }
    }

    /// Ends everything but the server of calls and the access log, and lets go of the data folder.
    async fn let_go(self) -> (Arc<ServerHandle>, Gateway) {
        self.usage.stop().await;
        self.key_sets.stop().await;
        self.held.stop().await;
        self.following_plugins.0.abort();
        self.plugins.stop();
        drop(self.admin_socket);
        self.admin.shutdown(ADMIN_GRACE).await;
        self.quotas.stop().await;
        if let Err(error) = self.gateway.replay.close() {
            tracing::error!(%error, "the replay memory could not be written; APIs that require a nonce will refuse old timestamps");
        }
        self.control.close().await;
        (self.server, self.gateway)
    }

    /// Gives the sockets to a process that wants to take over.
    ///
    /// # Errors
    /// They could not be given. The node goes on.
    pub(crate) fn give_sockets(&self, heir: &Heir) -> io::Result<()> {
        heir.give(&self.server.listeners()?, &self.admin_socket)
    }

    /// Ends in favour of a process that has the sockets. It may go on once nothing is decided here any more; answers that have begun
    /// end here, for at most `grace`.
    ///
    /// A change that is answered by the other process so holds for every request that is decided after it. What is answered here
    /// still are streams, which outlive their right by no more than `stream_grace` elsewhere either.
    pub(crate) async fn hand_over(self, heir: Heir, grace: Duration) {
        let grace = grace.min(self.gateway.stream_grace);
        self.following.0.abort();
        // Connections that are in use come to their last answer, and are made anew by their clients.
        let limits = Limits { last_answers: true, ..self.server.limits() };
        self.server.set_limits(limits);
        tokio::time::sleep(LAST_ANSWERS).await;
        // From here on new connections wait for the other process; those that have come had time to say what they want.
        self.server.deafen();
        tokio::time::sleep(NEWCOMERS).await;
        self.server.begin_shutdown(grace);
        if tokio::time::timeout(UNDECIDED, all_decided(&self.server)).await.is_err() {
            tracing::warn!(
                "requests that were not complete in time are cut off for the process that takes over"
            );
            self.server.cut_undecided();
            all_decided(&self.server).await;
        }
        let (server, gateway) = self.let_go().await;
        if let Err(error) = heir.go() {
            tracing::error!(%error, "the process that should take over is gone");
        }
        tracing::info!("handed over: answers that have begun may end");
        server.shutdown(grace).await;
        if let Some(log) = &gateway.log {
            log.close();
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("gateway", &self.gateway_addr())
            .field("admin", &self.admin_addr())
            .finish_non_exhaustive()
    }
}

/// The gateway's clock, as the use cases read it.
struct ControlClock(Arc<dyn Clock>);

impl keyward_control::Clock for ControlClock {
    fn now(&self) -> keyward_model::Timestamp {
        self.0.now()
    }
}

/// The admin server's listener, and its socket once more.
pub(crate) async fn listen_for_admin(
    options: &NodeOptions,
) -> io::Result<(TcpListener, std::net::TcpListener)> {
    let socket = match (&options.admin_socket, &options.inherited) {
        (Some(socket), _) => socket.try_clone()?,
        (None, Some(inherited)) => inherited.admin.try_clone()?,
        (None, None) => TcpListener::bind(options.admin).await?.into_std()?,
    };
    Ok((TcpListener::from_std(socket.try_clone()?)?, socket))
}

/// Waits until no connection has a request that may still be decided.
async fn all_decided(server: &ServerHandle) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while server.counters().undecided > 0 {
        ticks.tick().await;
    }
}

/// What the node says of itself.
fn node_info(options: &NodeOptions, admin: SocketAddr) -> NodeInfo {
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    NodeInfo {
        name: options.name.clone().unwrap_or_else(machine),
        gateway: options.gateway.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        admin: format!("http://{admin}"),
    }
}

fn open_data(options: &NodeOptions) -> Result<(DataDir, bool), NodeError> {
    DataDir::open(&options.data).map_err(|source| NodeError::Data { path: options.data.clone(), source })
}

async fn open_control(options: &NodeOptions, data: &DataDir) -> Result<Control, ControlError> {
    Control::open(ControlOptions {
        data_dir: data.path().to_owned(),
        store_url: options.store.clone(),
        master_key_file: options.master_key.clone(),
        clock: Arc::new(ControlClock(Arc::clone(&options.clock))),
        random: Arc::clone(&options.random),
        own_listeners: known(options),
    })
    .await
}

/// Where the master key is.
fn key_file(options: &NodeOptions, data: &DataDir) -> PathBuf {
    options.master_key.clone().unwrap_or_else(|| data.file("master.key"))
}

/// The listeners whose ports are known before they listen.
fn known(options: &NodeOptions) -> Vec<SocketAddr> {
    options.listen.iter().chain([&options.admin]).copied().filter(|address| address.port() != 0).collect()
}

/// Names under which the admin server may be called: among them the one that browsers come back to.
fn admin_hosts(options: &NodeOptions) -> Vec<String> {
    let own = options.open_id.as_ref().map(|open_id| open_id.admin_url.host().to_owned());
    options.admin_hosts.iter().cloned().chain(own).collect()
}

fn open_id(options: &NodeOptions, control: &Control) -> Result<Option<OpenId>, NodeError> {
    let made = options.open_id.clone().map(|open_id| OpenId::new(control.clone(), open_id)).transpose();
    made.map_err(|what| NodeError::System {
        what: "operators cannot sign in through a provider",
        source: io::Error::other(what),
    })
}

/// The token in the data folder, made on first start.
fn local_token(options: &NodeOptions, data: &DataDir) -> Result<Option<Plaintext>, NodeError> {
    if !options.local_token {
        return Ok(None);
    }
    let wrong = system("the admin token cannot be kept in the data folder");
    let stored = data.admin_token().map_err(system("the admin token cannot be read"))?;
    match stored.filter(|token| token.expose_secret().len() >= AdminToken::LENGTH_MIN) {
        Some(token) => Ok(Some(token)),
        None => {
            let token = Minter::new(Arc::clone(&options.random)).admin_token().map_err(|error| {
                NodeError::System { what: "no admin token", source: io::Error::other(error) }
            })?;
            data.write_admin_token(&token).map_err(wrong)?;
            Ok(Some(token))
        }
    }
}

/// Applies a world file of the command line.
async fn apply(
    control: &Control,
    file: &Path,
    environment: fn(&str) -> Option<String>,
) -> Result<(), NodeError> {
    let wrong = |problems| NodeError::World { file: file.to_owned(), problems };
    let text = std::fs::read_to_string(file).map_err(|error| {
        let message = format!("the file cannot be read: {error}");
        wrong(vec![FieldProblem { line: 0, column: 0, path: String::new(), message }])
    })?;
    let mut read = WorldFile::parse(&text, &environment).map_err(wrong)?;
    read.read_files(&|name| crate::cli::file_beside(file, name)).map_err(wrong)?;
    let world = std::mem::take(&mut read.world);
    let applied = control.apply(&Actor::Start, world, ApplyOptions::default()).await.map_err(|error| {
        let problems = error.problems().iter().map(|problem| FieldProblem {
            line: problem.place.line,
            column: problem.place.column,
            path: problem.place.path.clone(),
            message: problem.text.clone(),
        });
        wrong(problems.map(|problem| read.locate(&problem)).collect())
    })?;
    for warning in &applied.warnings {
        tracing::warn!(file = %file.display(), path = %warning.place.path, "{}", warning.text);
    }
    tracing::info!(
        file = %file.display(),
        revision = applied.revision.number,
        created = applied.created.len(),
        changed = applied.changed.len(),
        "applied"
    );
    Ok(())
}

/// How values are fetched that are held elsewhere: never from what is the node's own.
fn held(options: &NodeOptions) -> HeldOptions {
    let mut held = options.held.clone();
    let proof = held.vault.as_ref().map(|vault| match &vault.login {
        VaultLogin::TokenFile(file) | VaultLogin::AppRole { secret_id_file: file, .. } => file.clone(),
    });
    held.rules.forbidden.push(options.data.clone());
    held.rules.forbidden.extend(options.master_key.iter().cloned().chain(proof));
    held
}

/// The data plane's shared parts.
async fn open_gateway(
    options: &NodeOptions,
    data: &DataDir,
    used: bool,
    control: &Control,
) -> Result<Gateway, NodeError> {
    let id = control.snapshots().load().gateway_named(&options.gateway).map(|gateway| gateway.id);
    let id = id.ok_or_else(|| NodeError::Gateway(options.gateway.clone()))?;
    let history = if used { History::Expected } else { History::None };
    let nonces = options.memory.map_or(options.replay, |memory| memory.narrow_nonces(options.replay));
    let replay = ReplayMemory::open(&data.file("replay"), nonces, history, Arc::clone(&options.clock))
        .map_err(system("the replay memory cannot be opened"))?;
    replay.keep_tended().map_err(system("the replay memory's thread does not start"))?;
    let mut gateway = Gateway::new(id, control.snapshots(), Arc::clone(&options.clock), replay)
        .map_err(system("the gateway does not start"))?;
    if let Some(redis) = &options.replay_redis {
        let shared = RedisReplay::start(redis, Arc::clone(&options.clock));
        gateway.shared_replay = Some(shared.map_err(system("the shared replay memory cannot be used"))?);
    }
    crate::quotas::resume(&mut gateway, &data.file("quotas"))
        .map_err(system("what quotas counted cannot be read"))?;
    gateway.stream_grace = options.stream_grace;
    gateway.freshness = options.freshness.clone().unwrap_or_else(|| control.freshness());
    gateway.log = access_log(options, data).map_err(system("the access log cannot be opened"))?;
    Ok(gateway)
}

fn access_log(options: &NodeOptions, data: &DataDir) -> io::Result<Option<AccessLog>> {
    match &options.access_log {
        AccessLogTo::Nowhere => Ok(None),
        AccessLogTo::DataDir => AccessLog::to_file(&data.file("access.log")).map(Some),
        AccessLogTo::File(path) => AccessLog::to_file(path).map(Some),
        AccessLogTo::StandardError => AccessLog::to_stream(io::stderr()).map(Some),
    }
}

/// Starts the listeners, with one handler per core.
fn serve(options: &NodeOptions, gateway: &Gateway) -> Result<Arc<ServerHandle>, NodeError> {
    let config = ServerConfig {
        listen: options.listen.clone(),
        workers: options.workers.max(1),
        limits: limits(gateway, options.memory),
    };
    let gateway = gateway.clone();
    let make_handler = move |_| gateway.handler();
    let started = match &options.inherited {
        None => Server::start(config, make_handler),
        Some(inherited) => {
            let sockets: io::Result<Vec<_>> =
                inherited.gateway.iter().map(|socket| socket.try_clone()).collect();
            let sockets = sockets.map_err(system("the sockets of the process before cannot be used"))?;
            Server::start_on(sockets, config, make_handler)
        }
    };
    started.map(Arc::new).map_err(NodeError::Listen)
}

/// What the gateway's own limits are, as the transport keeps them.
fn limits(gateway: &Gateway, memory: Option<Memory>) -> Limits {
    let snapshot = gateway.published.load();
    let found = snapshot.gateway(gateway.id);
    let limits =
        found.map_or_else(Limits::default, |found| transport_limits(&found.spec.limits, Limits::default()));
    match memory {
        Some(memory) => memory.narrow(limits),
        None => limits,
    }
}

/// A task that follows the configuration. It ends with the node.
struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Hands changes of the gateway's limits on to the transport.
async fn follow_limits(gateway: Gateway, server: Arc<ServerHandle>, memory: Option<Memory>) {
    let mut in_force = limits(&gateway, memory);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let wanted = limits(&gateway, memory);
        if wanted != in_force {
            server.set_limits(wanted.clone());
            in_force = wanted;
        }
    }
}

fn metrics(
    gateway: &Gateway,
    server: &Arc<ServerHandle>,
    control: &Control,
    plugins: &WasmPlugins,
    held: Arc<dyn Fn() -> HeldCounts + Send + Sync>,
) -> Arc<dyn Fn() -> String + Send + Sync> {
    let (gateway, server, control) = (gateway.clone(), Arc::clone(server), control.clone());
    let plugins = plugins.clone();
    Arc::new(move || {
        gateway.metrics_page(&server.counters())
            + &store_metrics(&control)
            + &held_metrics(held())
            + &plugins.metrics_page()
    })
}

/// How values are that are held elsewhere. No place is named: there may be many.
fn held_metrics(counts: HeldCounts) -> String {
    let HeldCounts { files, vault, places, oldest } = counts;
    let reads = [
        ("file", "ok", files.0),
        ("file", "failed", files.1),
        ("vault", "ok", vault.0),
        ("vault", "failed", vault.1),
    ]
    .map(|(from, outcome, count)| {
        format!("keyward_held_reads_total{{from=\"{from}\",outcome=\"{outcome}\"}} {count}\n")
    });
    format!(
        "# HELP keyward_held_reads_total Values of secrets that were read from where they are held.\n\
         # TYPE keyward_held_reads_total counter\n{}\
         # HELP keyward_held_places Places outside the store that values are taken from.\n\
         # TYPE keyward_held_places gauge\nkeyward_held_places {}\n\
         # HELP keyward_held_places_in_trouble Those of them that have no value now.\n\
         # TYPE keyward_held_places_in_trouble gauge\nkeyward_held_places_in_trouble {}\n\
         # HELP keyward_held_oldest_seconds Age of the value that was read from the vault longest ago.\n\
         # TYPE keyward_held_oldest_seconds gauge\nkeyward_held_oldest_seconds {:.3}\n",
        reads.concat(),
        places.0,
        places.1,
        oldest.as_secs_f64(),
    )
}

/// How this node stands to its store.
fn store_metrics(control: &Control) -> String {
    let gauges = [
        ("keyward_store_takes_changes", "1 while the store takes changes.", control.takes_changes()),
        (
            "keyward_on_last_good_copy",
            "1 while the node runs on its local copy because it could not load the store.",
            control.last_good().is_some(),
        ),
    ];
    let page = |(name, help, holds)| {
        format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {}\n", u8::from(holds))
    };
    gauges.into_iter().map(page).collect()
}
