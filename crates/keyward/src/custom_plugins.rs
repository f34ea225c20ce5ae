//! Custom plugins: the gateway's seam on one side, the host of WebAssembly on the other. Only here do they meet.
//!
//! ```text
//!   a core ── running(plugin) ──▶ runner of this digest ──▶ starters (a few threads): compile once per module, start
//!                                      │
//!   a core ── begin, request ──▶ awaits the start ──▶ a worker's thread of the plugin ──▶ the core's task is woken
//! ```
//!
//! A runner is known by the digest of code, limits and configuration. Where one of these changes there is another runner, and whoever
//! has the one before keeps it: nothing that runs is changed. Nobody on a core compiles, starts or stops anything.

mod calls;
mod exchange;
mod metrics;
mod runner;
mod starters;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use keyward_access::{CustomDigest, CustomPlugin, ModuleCheck, PluginWork, Snapshot};
use keyward_gateway::{Clock, CustomHead, CustomPlugins, CustomRunner};
use keyward_model::{GatewayId, Module, ModuleCode, Plaintext, PluginOn};
use keyward_wasm::{
    CallOuts, Configuration, HeaderMap, HeaderRules, Host, Limits, LogLevel, NoCallOuts, Plugin,
    RunningPlugin, Start,
};

use calls::CallThread;
use runner::Runner;
use starters::Starters;

/// How often it is looked whether there is another Snapshot.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A compiled module that nobody runs is kept for so long: what was checked is often used next.
const KEEP_COMPILED: Duration = Duration::from_secs(60);

/// Instances of one worker that may be made anew in a second: whoever makes a plugin trap is not to keep others out.
const RESTARTS_PER_S: u32 = 2_000;

/// Metrics that one plugin may define.
const METRICS_MAX: usize = 64;

/// The custom plugins of a node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct WasmPlugins(Arc<Shared>);

struct Shared {
    /// What this node serves; nothing before it is told.
    gateway: OnceLock<GatewayId>,
    published: Arc<ArcSwap<Snapshot>>,
    clock: Arc<dyn Clock>,
    /// There once it is needed: most nodes have no custom plugin.
    host: OnceLock<Result<Host, String>>,
    calls: OnceLock<io::Result<CallThread>>,
    starters: Arc<Starters>,
    compiled: Mutex<HashMap<CodeKey, Compiled>>,
    runners: Mutex<HashMap<CustomDigest, Arc<Runner>>>,
}

/// What a module is compiled for: its digest, and the memory that it may have.
type CodeKey = (String, u64);

/// A module, compiled by whoever comes first.
#[derive(Clone)]
struct Compiled {
    plugin: Arc<OnceLock<Result<Plugin, String>>>,
    used: Instant,
}

impl WasmPlugins {
    pub(crate) fn new(published: Arc<ArcSwap<Snapshot>>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            gateway: OnceLock::new(),
            published,
            clock,
            host: OnceLock::new(),
            calls: OnceLock::new(),
            starters: Arc::default(),
            compiled: Mutex::default(),
            runners: Mutex::default(),
        }))
    }

    /// This node serves this gateway: what is bound to its APIs is started.
    pub(crate) fn serve(&self, gateway: GatewayId) {
        // A node serves one gateway as long as it runs.
        let _ = self.0.gateway.set(gateway);
    }

    /// Starts what becomes part of the configuration, before a call asks for it, and lets go of what is no part any more.
    pub(crate) async fn follow(self) {
        let mut seen: Option<Arc<Snapshot>> = None;
        // A core that has not seen a change yet may ask for what was let go.
        let (mut kept, mut settled) = (0, true);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let snapshot = self.0.published.load_full();
            let changed = !settled || self.0.runners().len() != kept;
            if changed || seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &snapshot)) {
                settled = self.0.keep(&snapshot);
                kept = self.0.runners().len();
                seen = Some(snapshot);
            }
        }
    }

    /// Lets go of everything. What has calls under way ends with them.
    pub(crate) fn stop(&self) {
        self.0.runners().clear();
    }

    /// What plugins and their host counted, as lines of a Prometheus page.
    pub(crate) fn metrics_page(&self) -> String {
        let runners: Vec<_> = self.0.runners().values().cloned().collect();
        metrics::page(&runners, &self.0.published.load())
    }
}

impl fmt::Debug for WasmPlugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WasmPlugins({} running)", self.0.runners().len())
    }
}

impl CustomPlugins for WasmPlugins {
    fn running(&self, plugin: &Arc<CustomPlugin>) -> Arc<dyn CustomRunner> {
        self.0.runner(plugin)
    }
}

impl ModuleCheck for WasmPlugins {
    fn check_module(&self, module: &Module) -> Result<(), String> {
        self.0.compiled(module).map(drop)
    }

    fn check_plugin(&self, plugin: &CustomPlugin) -> Result<(), String> {
        let tried =
            Tried { vm_id: format!("check/{}", plugin.plugin()), workers: 1, calls: Arc::new(NoCallOuts) };
        let running = self.0.start(plugin, tried)?;
        running.stop();
        Ok(())
    }
}

/// In what a start differs from another one of the same plugin.
struct Tried {
    vm_id: String,
    workers: usize,
    calls: Arc<dyn CallOuts>,
}

impl Shared {
    fn runners(&self) -> MutexGuard<'_, HashMap<CustomDigest, Arc<Runner>>> {
        self.runners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runner of this digest, which begins to start if there was none.
    fn runner(self: &Arc<Self>, plugin: &Arc<CustomPlugin>) -> Arc<Runner> {
        let mut runners = self.runners();
        if let Some(runner) = runners.get(&plugin.digest()) {
            return Arc::clone(runner);
        }
        let runner = Runner::new(self, Arc::clone(plugin));
        runners.insert(plugin.digest(), Arc::clone(&runner));
        drop(runners);
        runner.begin_start();
        runner
    }

    /// Starts what this Snapshot has, and lets go of what it no longer has, once what is in its place runs: what plugins share would
    /// be forgotten in between. Tells whether nothing is left to be let go later.
    fn keep(self: &Arc<Self>, snapshot: &Snapshot) -> bool {
        let mut wanted = HashSet::new();
        for entry in snapshot.plugins().filter(|entry| entry.plugin().settings.enabled) {
            let PluginWork::Custom(plugin) = entry.work() else { continue };
            if !plugin.module().settings.enabled || plugin.configuration(self.clock.now()).is_err() {
                continue;
            }
            wanted.insert(plugin.digest());
            if self.serves(&entry.plugin().on, snapshot) {
                self.runner(plugin);
            }
        }
        let mut gone = Vec::new();
        let settled = {
            let mut runners = self.runners();
            let starting: HashSet<_> = runners
                .values()
                .filter(|runner| runner.is_starting())
                .map(|runner| runner.plugin())
                .collect();
            runners.retain(|digest, runner| {
                let stays = wanted.contains(digest) || starting.contains(&runner.plugin());
                if !stays {
                    gone.push(Arc::clone(runner));
                }
                stays
            });
            runners.keys().all(|digest| wanted.contains(digest))
        };
        // Not while others wait for the lock.
        drop(gone);
        self.tidy_compiled(snapshot);
        settled
    }

    /// Is it bound to something that this node's gateway serves?
    fn serves(&self, on: &PluginOn<GatewayId, keyward_model::ApiId>, snapshot: &Snapshot) -> bool {
        match on {
            PluginOn::Gateway(id) => self.gateway.get() == Some(id),
            PluginOn::Api(id) | PluginOn::Operation(id, _) => snapshot.api(*id).is_some_and(|entry| {
                self.gateway.get().is_some_and(|gateway| entry.api().gateways.contains(gateway))
            }),
        }
    }

    /// The module, compiled: once, however many ask. Takes up to seconds.
    fn compiled(&self, module: &Module) -> Result<Plugin, String> {
        let host = self.host.get_or_init(|| Host::new().map_err(|error| error.to_string()));
        let host = host.as_ref().map_err(Clone::clone)?;
        let code = &module.settings.wasm;
        let key = (code.sha256().to_owned(), module.settings.limits.memory_bytes);
        let compiled = {
            let mut all = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
            let compiled =
                all.entry(key).or_insert_with(|| Compiled { plugin: Arc::default(), used: Instant::now() });
            compiled.used = Instant::now();
            compiled.clone()
        };
        let plugin = compiled
            .plugin
            .get_or_init(|| host.load(code.bytes(), &limits_of(module)).map_err(|error| error.to_string()));
        plugin.clone()
    }

    fn tidy_compiled(&self, snapshot: &Snapshot) {
        let known: HashSet<&str> = snapshot.modules().map(|module| module.settings.wasm.sha256()).collect();
        let mut all = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(code, _), compiled| {
            known.contains(code.as_str()) || compiled.used.elapsed() < KEEP_COMPILED
        });
    }

    /// Starts the plugin as it serves calls. Takes up to seconds.
    fn start_for_calls(&self, plugin: &CustomPlugin) -> Result<RunningPlugin, String> {
        let calls = self.calls.get_or_init(|| CallThread::start(&self.published, &self.clock));
        let calls = calls.as_ref().map_err(|error| format!("no thread for its calls: {error}"))?;
        let how = Tried {
            // What plugins share is shared by one plugin with itself.
            vm_id: format!("{}/{}", plugin.account(), plugin.plugin()),
            workers: plugin.module().settings.limits.workers.into(),
            calls: calls.for_plugin(plugin),
        };
        self.start(plugin, how)
    }

    fn start(&self, plugin: &CustomPlugin, how: Tried) -> Result<RunningPlugin, String> {
        let module = plugin.module();
        let compiled = self.compiled(module)?;
        let told = plugin.configuration_at_any_time().map_err(str::to_owned)?;
        let secrets = told.expose_secrets().iter().map(Plaintext::expose_secret);
        let configuration =
            Configuration::new(told.expose_json().to_vec(), secrets.map(|secret| secret.as_bytes().to_vec()));
        let account = self.published.load().account(plugin.account()).map(|account| account.name.to_string());
        let started = compiled.start(Start {
            name: module.name.to_string(),
            account: account.unwrap_or_else(|| plugin.account().to_string()),
            root_id: module.name.to_string(),
            vm_id: how.vm_id,
            configuration,
            vm_configuration: Configuration::new(Vec::new(), []),
            workers: how.workers,
            limits: limits_of(module),
            rules: Arc::new(Rules),
            call_outs: how.calls,
            log_level: log_level(),
        });
        started.map_err(|error| error.to_string())
    }
}

/// What the module's owner allows, the rest as the host has it.
fn limits_of(module: &Module) -> Limits {
    let set = module.settings.limits;
    let rest = Limits::default();
    let time = Duration::from_millis(set.time_ms.into());
    Limits {
        module_bytes_max: ModuleCode::LENGTH_MAX,
        memory_bytes_max: usize::try_from(set.memory_bytes).unwrap_or(usize::MAX),
        fuel_per_event: set.fuel,
        fuel_at_start: rest.fuel_at_start.max(set.fuel),
        event_time_max: time,
        start_time_max: rest.start_time_max.max(time),
        body_bytes_max: usize::try_from(set.body_bytes).unwrap_or(usize::MAX),
        metrics_max: METRICS_MAX,
        restarts_per_second: RESTARTS_PER_S,
        ..rest
    }
}

/// What the node's log would leave out anyway, the guest need not write.
fn log_level() -> LogLevel {
    if tracing::enabled!(target: "plugin", tracing::Level::TRACE) {
        LogLevel::Trace
    } else if tracing::enabled!(target: "plugin", tracing::Level::DEBUG) {
        LogLevel::Debug
    } else {
        LogLevel::Info
    }
}

/// The gateway says which fields a plugin may set. Trailers are not carried, so nobody sets any.
struct Rules;

impl HeaderRules for Rules {
    fn may_set(&self, map: HeaderMap, name: &str) -> bool {
        match map {
            HeaderMap::RequestHeaders => CustomHead::Request.may_set(name),
            HeaderMap::ResponseHeaders | HeaderMap::LocalReply => CustomHead::Answer.may_set(name),
            HeaderMap::CallOut => CustomHead::CallOut.may_set(name),
            HeaderMap::RequestTrailers | HeaderMap::ResponseTrailers => false,
        }
    }
}
