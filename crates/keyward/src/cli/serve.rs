//! `keyward serve`: runs a node until it is told to end.

use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use keyward_control::{KeySetOptions, OpenIdOptions, UsageOptions};
use keyward_model::{AdminUrl, Issuer, Name, Plaintext};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::fields::read_text;
use super::held::Held;
use super::output::complain;
use super::remote::ADMIN_DEFAULT;
use super::{Failure, Outcome};
use crate::demo::Demo;
use crate::log::Log;
use crate::memory::{self, Memory};
use crate::node::STREAM_GRACE;
use crate::take_over::{self, Gate, Heir};
use crate::{AccessLogTo, Inherited, Node, NodeError, NodeOptions, RedisOptions};

/// Run a node of a gateway.
///
/// When gateway and admin server both answer, one line is printed on standard output:
/// `ready gateway=http://HOST:PORT admin=http://HOST:PORT`. Everything else goes to standard error
/// (`KEYWARD_LOG` says how much, such as `debug` or `keyward_gateway=trace`). SIGTERM and SIGINT let requests under
/// way end; a second one ends at once. SIGHUP opens the access log anew. A world file of `--apply` that is wrong stops
/// the start with exit code 2. A node whose store does not open for want of the right master key file starts sealed: `/readyz` says
/// so, and as soon as the file is there the node goes on and prints its line.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Data folder; made if it is not there.
    #[arg(long, env = "KEYWARD_DATA", value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Where the gateway listens; port 0 picks one. May be given several times.
    #[arg(long, value_name = "ADDR", value_parser = address, default_value = "127.0.0.1:8080")]
    listen: Vec<SocketAddr>,
    /// Where the admin server listens; port 0 picks one.
    #[arg(long, value_name = "ADDR", value_parser = address, default_value = ADMIN_DEFAULT)]
    admin: SocketAddr,
    /// The gateway that this node belongs to.
    #[arg(long, value_name = "NAME", default_value = "default")]
    gateway: Name,
    /// The PostgreSQL database that several nodes share (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`); absent: the store is in
    /// the data folder. Given as `KEYWARD_STORE`, its password is not seen in the list of processes.
    #[arg(long, env = "KEYWARD_STORE", hide_env_values = true, value_name = "URL", value_parser = secret)]
    store: Option<Plaintext>,
    /// What this node is called in the list of nodes; absent: the machine's name.
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The master key file, the same on every node of a store; absent: `master.key` in the data folder, made on first start.
    #[arg(long, value_name = "FILE")]
    master_key: Option<PathBuf>,
    /// Where access records go; `-` for standard error; absent: `access.log` in the data folder.
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Apply this world file before reporting ready. May be given several times.
    #[arg(long, value_name = "FILE")]
    apply: Vec<PathBuf>,
    /// Cores to serve on; absent: all there are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// The memory that the node may take, in MiB; absent: what its control group says, if anything. What callers can make it keep
    /// (connections, held bodies, nonces) is bounded accordingly; the configuration comes on top.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(128..=1_048_576))]
    memory_mib: Option<u64>,
    /// Keep no local token: without operators nobody can administer the node then.
    #[arg(long)]
    no_local_token: bool,
    /// A name under which the admin server may be called, besides `localhost` and its addresses.
    #[arg(long, value_name = "NAME")]
    admin_host: Vec<String>,
    /// Answer `/metrics` without a token to everybody who reaches the admin address.
    #[arg(long)]
    open_metrics: bool,
    /// Longest time for requests under way to end, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_s: u64,
    /// How long an open stream outlives a revocation or the end of its grant, in seconds; 0 ends it at once.
    #[arg(long, value_name = "SECONDS", default_value_t = STREAM_GRACE.as_secs())]
    stream_grace_s: u64,
    /// Share the replay memory with other nodes in this Redis: redis://HOST:PORT or rediss://HOST:PORT. With a password
    /// in it, better set the variable: other users can read arguments.
    #[arg(long, env = "KEYWARD_REPLAY_REDIS", value_name = "URL", hide_env_values = true)]
    replay_redis: Option<String>,
    /// Longest time that a request waits for that Redis, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    replay_redis_budget_ms: u64,
    /// The OpenID provider through which operators may sign in: its issuer, exactly as its tokens say it.
    #[arg(long, env = "KEYWARD_OIDC_ISSUER", value_name = "URL", requires_all = ["oidc_client_id", "admin_url"])]
    oidc_issuer: Option<Issuer>,
    /// What Keyward is called at that provider.
    #[arg(long, env = "KEYWARD_OIDC_CLIENT_ID", value_name = "ID", value_parser = client_id, requires = "oidc_issuer")]
    oidc_client_id: Option<String>,
    /// File with the secret by which Keyward proves itself there; absent: `KEYWARD_OIDC_CLIENT_SECRET` holds it, or there is none.
    #[arg(long, env = "KEYWARD_OIDC_CLIENT_SECRET_FILE", value_name = "FILE", requires = "oidc_issuer")]
    oidc_client_secret_file: Option<PathBuf>,
    /// Where browsers reach the admin server, like https://keyward.example.com: the provider sends them back there, to
    /// `/sign-in/oidc/return`. Its host counts as `--admin-host`.
    #[arg(long, env = "KEYWARD_ADMIN_URL", value_name = "URL")]
    admin_url: Option<AdminUrl>,
    /// Fetch key sets, and what an OpenID provider says, from this host also where it is on this machine or in a private network. May be given several times.
    #[arg(long, value_name = "HOST")]
    allow_egress: Vec<String>,
    #[command(flatten)]
    held: Held,
    /// How often what was used is written down, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = UsageOptions::default().every.as_secs(), value_parser = clap::value_parser!(u64).range(1..=3600))]
    usage_every_s: u64,
    /// How long calls per day are kept, in days.
    #[arg(long, value_name = "DAYS", default_value_t = UsageOptions::default().keep_days, value_parser = clap::value_parser!(u16).range(1..=3650))]
    usage_keep_days: u16,
    /// Take over from the process that runs on this data folder, without a call failing: its sockets are used, whatever --listen and
    /// --admin say. Where none runs, start as ever.
    #[arg(long)]
    take_over: bool,
    /// Start with a demo world (an echo service included) and print commands to try.
    #[arg(long)]
    demo: bool,
}

/// `HOST:PORT`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("`{text}` is not HOST:PORT, like 127.0.0.1:8080");
    text.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(wrong)
}

#[expect(clippy::unnecessary_wraps, reason = "what the command line calls")]
pub(crate) fn secret(text: &str) -> Result<Plaintext, std::convert::Infallible> {
    Ok(Plaintext::new(text))
}

/// The variable that holds the secret at the OpenID provider where no file is named: never an argument, which others can read.
const CLIENT_SECRET: &str = "KEYWARD_OIDC_CLIENT_SECRET";

/// Visible ASCII, as the standard has it.
fn client_id(text: &str) -> Result<String, String> {
    let sound = (1..=512).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if sound { Ok(text.to_owned()) } else { Err("it has 1 to 512 characters of ASCII".to_owned()) }
}

impl Serve {
    pub(crate) async fn run(self) -> Outcome {
        let log = log_to_standard_error();
        let outcome = self.serve().await;
        log.iter().for_each(Log::flush);
        outcome
    }

    async fn serve(self) -> Outcome {
        // Whatever this process makes is its owner's alone.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        leave_no_dump();
        let mut signals = Signals::new()?;
        let drain = Duration::from_secs(self.drain_s);
        let (with_demo, takes_over) = (self.demo, self.take_over);
        let mut options = self.options()?;
        let data = options.data.clone();
        let demo = if with_demo { Some(Demo::start().await?) } else { None };
        if takes_over {
            options.inherited = take_over_from(&data).await?;
        }
        let node = tokio::select! {
            node = Node::start_when_unsealed(options) => node.map_err(refused)?,
            () = signals.end() => return Ok(()),
        };
        if let Some(demo) = &demo {
            demo.show(&node).await?;
        }
        tell_bootstrap(&node);
        let gate =
            Gate::open(&data).inspect_err(|error| tracing::warn!(%error, "no other process can take over"));
        ready(&node)?;
        if let Some(heir) = until_told(&node, &mut signals, gate.ok()).await {
            tracing::info!("another process takes over");
            return tokio::select! {
                () = node.hand_over(heir, drain) => Ok(()),
                () = signals.end() => Err(Failure::new("ended at once, while another process took over")),
            };
        }
        tracing::info!("ending: requests under way may end");
        tokio::select! {
            () = node.shutdown(drain) => Ok(()),
            () = signals.end() => Err(Failure::new("ended at once, on a second signal")),
        }
    }

    fn options(self) -> Result<NodeOptions, Failure> {
        let open_id = self.open_id()?;
        let mut held = self.held.options()?;
        held.rules.forbidden.extend(self.oidc_client_secret_file.clone());
        let access_log = match self.access_log {
            None => AccessLogTo::DataDir,
            Some(path) if path.as_os_str() == "-" => AccessLogTo::StandardError,
            Some(path) => AccessLogTo::File(path),
        };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.map_or_else(cores, usize::from);
        let memory = self.memory_mib.map(|mib| mib << 20).or_else(memory::of_control_group);
        Ok(NodeOptions {
            open_id,
            listen: self.listen,
            admin: self.admin,
            store: self.store,
            name: self.node_name,
            master_key: self.master_key,
            access_log,
            apply: self.apply,
            workers,
            memory: memory.map(|bytes| Memory::of(bytes, workers)),
            local_token: !self.no_local_token,
            admin_hosts: self.admin_host,
            metrics_open: self.open_metrics,
            stream_grace: Duration::from_secs(self.stream_grace_s),
            replay_redis: self
                .replay_redis
                .filter(|url| !url.is_empty())
                .map(|url| RedisOptions { url, budget: Duration::from_millis(self.replay_redis_budget_ms) }),
            key_sets: KeySetOptions { allow_egress: self.allow_egress, ..KeySetOptions::default() },
            held,
            usage: UsageOptions {
                every: Duration::from_secs(self.usage_every_s),
                keep_days: self.usage_keep_days,
            },
            ..NodeOptions::new(self.data, self.gateway)
        })
    }

    fn open_id(&self) -> Result<Option<OpenIdOptions>, Failure> {
        let (Some(issuer), Some(client_id), Some(admin_url)) =
            (self.oidc_issuer.clone(), self.oidc_client_id.clone(), self.admin_url.clone())
        else {
            return Ok(None);
        };
        let secret = match &self.oidc_client_secret_file {
            Some(file) => Some(read_text(file)?),
            None => std::env::var(CLIENT_SECRET).ok(),
        };
        let secret = secret.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        Ok(Some(OpenIdOptions {
            issuer,
            client_id,
            client_secret: secret.filter(|text| !text.is_empty()).map(Plaintext::new),
            admin_url,
            allow_egress: self.allow_egress.clone(),
        }))
    }
}

/// What is in this process's memory is secret: no core dump is written of it, and no other process of its user reads it.
fn leave_no_dump() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let kept =
        setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = kept {
        tracing::warn!(%error, "a crash may leave a core dump, which holds secrets");
    }
}

/// Asks the process that runs on this data folder for its sockets, and waits until it has let go of the folder.
async fn take_over_from(data: &Path) -> Result<Option<Arc<Inherited>>, Failure> {
    let data = data.to_owned();
    let asked = tokio::task::spawn_blocking(move || -> io::Result<_> {
        let Some((predecessor, inherited)) = take_over::ask(&data)? else { return Ok(None) };
        predecessor.wait()?;
        Ok(Some(inherited))
    });
    asked.await.map_err(io::Error::other).and_then(|asked| asked).map_err(|error| {
        Failure::new(format!(
            "the running process cannot be taken over from: {error}; stop it, then start this one"
        ))
    })
}

/// Waits until the node is to end; for another process, if that is why.
async fn until_told(node: &Node, signals: &mut Signals, gate: Option<Gate>) -> Option<Heir> {
    loop {
        let heir = async {
            match &gate {
                Some(gate) => gate.heir().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = signals.next() => match told {
                Told::Reopen => node.reopen_access_log(),
                Told::End => return None,
            },
            heir = heir => match heir.and_then(|heir| node.give_sockets(&heir).map(|()| heir)) {
                Ok(heir) => return Some(heir),
                Err(error) => tracing::error!(%error, "another process wanted to take over, and could not"),
            },
        }
    }
}

/// A bad world file is told from everything else by the exit code.
fn refused(error: NodeError) -> Failure {
    match error {
        NodeError::World { .. } => Failure::usage(error),
        other => Failure::new(other),
    }
}

/// How the first operator is made, on standard error: whoever reads it owns everything.
fn tell_bootstrap(node: &Node) {
    if let Some(password) = node.bootstrap_password() {
        complain(&format!(
            "no operator exists yet: within an hour, open http://{}/sign-in#first and enter this one-time password: {}",
            node.admin_addr(),
            password.expose_secret()
        ));
    }
}

/// The one line on standard output.
fn ready(node: &Node) -> Outcome {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready gateway=http://{} admin=http://{}", node.gateway_addr(), node.admin_addr())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::new(format!("standard output cannot be written: {error}")))
}

/// What a signal says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    End,
    Reopen,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("signals cannot be listened to: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal.
    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reopen,
        }
    }

    /// Waits for a signal to end.
    async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}

/// Nobody who says something waits for whoever reads it.
fn log_to_standard_error() -> Option<Log> {
    let wanted = std::env::var("KEYWARD_LOG").ok().filter(|text| !text.is_empty());
    let filter = wanted.as_deref().unwrap_or("info").parse::<EnvFilter>().unwrap_or_else(|error| {
        complain(&format!("KEYWARD_LOG is not understood ({error}), so `info` holds; write it like `debug`"));
        EnvFilter::new("info")
    });
    let log = Log::start(std::io::stderr()).inspect_err(|error| {
        complain(&format!("there is no log, for the system gives no thread for it: {error}"))
    });
    let log = log.ok()?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.clone());
    let lines = lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    if lines.try_init().is_err() {
        complain("the log could not be set up a second time");
    }
    Some(log)
}
