//! One plugin with one configuration: about to run, running, or failed.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use keyward_access::CustomPlugin;
use keyward_gateway::{CustomExchange, CustomFacts, CustomRunner, CustomWait};
use keyward_model::PluginId;
use keyward_wasm::{Facts, RunningPlugin};
use tokio::sync::watch;

use super::Shared;
use super::exchange::WasmExchange;

/// A start that failed is tried again by the first call after this time: what failed may have been the machine.
const RETRY_AFTER: Duration = Duration::from_secs(10);

pub(super) struct Runner {
    /// Which has the runners.
    shared: Weak<Shared>,
    plugin: Arc<CustomPlugin>,
    state: watch::Sender<State>,
}

#[derive(Clone)]
enum State {
    /// Nobody has begun to start it.
    Idle,
    Starting,
    Running(Arc<RunningPlugin>),
    /// Why, and since when.
    Failed(Arc<str>, Instant),
}

impl Runner {
    pub(super) fn new(shared: &Arc<Shared>, plugin: Arc<CustomPlugin>) -> Arc<Self> {
        let shared = Arc::downgrade(shared);
        Arc::new(Self { shared, plugin, state: watch::Sender::new(State::Idle) })
    }

    pub(super) fn plugin(&self) -> PluginId {
        self.plugin.plugin()
    }

    pub(super) fn custom(&self) -> &CustomPlugin {
        &self.plugin
    }

    pub(super) fn is_starting(&self) -> bool {
        matches!(*self.state.borrow(), State::Idle | State::Starting)
    }

    /// What runs, if it does.
    pub(super) fn running(&self) -> Option<Arc<RunningPlugin>> {
        match &*self.state.borrow() {
            State::Running(running) => Some(Arc::clone(running)),
            _ => None,
        }
    }

    /// Has it started elsewhere, unless it runs, or failed a moment ago.
    pub(super) fn begin_start(&self) {
        // Without them the node is about to end.
        let Some(shared) = self.shared.upgrade() else { return };
        let begins = self.state.send_if_modified(|state| {
            let is_due = match state {
                State::Idle => true,
                State::Failed(_, since) => since.elapsed() >= RETRY_AFTER,
                State::Starting | State::Running(_) => false,
            };
            if is_due {
                *state = State::Starting;
            }
            is_due
        });
        if begins {
            let start = Starting {
                shared: Arc::clone(&shared),
                plugin: Arc::clone(&self.plugin),
                state: self.state.clone(),
            };
            shared.starters.give(Box::new(move || start.run()));
        }
    }
}

/// A start. However it ends, whoever waits hears of it.
struct Starting {
    shared: Arc<Shared>,
    plugin: Arc<CustomPlugin>,
    state: watch::Sender<State>,
}

impl Starting {
    fn run(self) {
        let id = self.plugin.plugin();
        let module = &self.plugin.module().name;
        match self.shared.start_for_calls(&self.plugin) {
            Ok(running) => {
                tracing::info!(plugin = %id, %module, "a custom plugin runs");
                self.state.send_replace(State::Running(Arc::new(running)));
            }
            Err(why) => {
                tracing::error!(plugin = %id, %module, "a custom plugin does not run: {why}");
                self.state.send_replace(State::Failed(why.into(), Instant::now()));
            }
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let why = "its start was broken off";
        self.state.send_if_modified(|state| {
            let is_open = matches!(state, State::Idle | State::Starting);
            if is_open {
                *state = State::Failed(why.into(), Instant::now());
            }
            is_open
        });
    }
}

impl CustomRunner for Runner {
    fn begin(&self, facts: CustomFacts) -> CustomWait<'static, Result<Box<dyn CustomExchange>, String>> {
        self.begin_start();
        let mut state = self.state.subscribe();
        Box::pin(async move {
            let settled =
                state.wait_for(|state| matches!(state, State::Running(_) | State::Failed(..))).await;
            // Nobody can be told by a runner that is gone while it starts: then it was let go.
            let settled = settled.map(|settled| settled.clone()).unwrap_or(State::Idle);
            match settled {
                State::Running(running) => {
                    let exchange = WasmExchange::begin(&running, facts_of(facts));
                    Ok(Box::new(exchange.ok_or("it has too many calls")?) as Box<dyn CustomExchange>)
                }
                State::Failed(why, _) => Err(why.to_string()),
                State::Idle | State::Starting => Err("it was let go before it ran".to_owned()),
            }
        })
    }
}

fn facts_of(facts: CustomFacts) -> Facts {
    Facts {
        request_id: Some(facts.request_id),
        protocol: Some("HTTP/1.1".to_owned()),
        source_address: Some(facts.source.to_string()),
        caller_id: facts.caller_id,
        caller_name: facts.caller_name,
        api: Some(facts.api),
        stage: Some(facts.stage),
        grant: facts.grant,
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.state.borrow() {
            State::Idle => "idle",
            State::Starting => "starting",
            State::Running(_) => "running",
            State::Failed(..) => "failed",
        };
        write!(f, "Runner({}, {state})", self.plugin.plugin())
    }
}
