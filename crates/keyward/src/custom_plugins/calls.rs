//! The calls that plugins make, on a thread of their own.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use keyward_access::{CustomPlugin, Snapshot};
use keyward_gateway::{Clock, PluginCall, PluginCalls};
use keyward_model::{PluginId, ServiceId};
use keyward_wasm::{CallAnswer, CallDone, CallOut, CallOuts, CallRefused, Headers};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::LocalSet;

/// Calls that wait to be begun; one more is refused.
const WAITING_MAX: usize = 4_096;

/// How often what is no more is forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// The thread. It ends once nobody can give it a call any more.
pub(super) struct CallThread(Sender<Job>);

struct Job {
    call: PluginCall,
    timeout: Duration,
    done: CallDone,
}

impl CallThread {
    pub(super) fn start(published: &Arc<ArcSwap<Snapshot>>, clock: &Arc<dyn Clock>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let (published, clock) = (Arc::clone(published), Arc::clone(clock));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        std::thread::Builder::new().name("plugin-calls".into()).spawn(move || {
            let calls = Rc::new(PluginCalls::new(published, clock));
            LocalSet::new().block_on(&runtime, run(calls, receiver));
        })?;
        Ok(Self(sender))
    }

    /// What this plugin makes its calls by: to the services that were declared for its module.
    pub(super) fn for_plugin(&self, plugin: &CustomPlugin) -> Arc<dyn CallOuts> {
        let services = plugin.module().services.iter();
        Arc::new(Declared {
            plugin: plugin.plugin(),
            services: services.map(|(name, id)| (name.to_string(), *id)).collect(),
            calls: self.0.clone(),
        })
    }
}

async fn run(calls: Rc<PluginCalls>, mut jobs: Receiver<Job>) {
    let mut tidy = tokio::time::interval(TIDY_EVERY);
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => drop(tokio::task::spawn_local(make(Rc::clone(&calls), job))),
                None => return,
            },
            _ = tidy.tick() => calls.tidy(),
        }
    }
}

async fn make(calls: Rc<PluginCalls>, Job { call, timeout, done }: Job) {
    let (plugin, service) = (call.plugin, call.service);
    let outcome = tokio::time::timeout(timeout, calls.call(call)).await;
    match outcome.unwrap_or(Err("the service gives no answer in time")) {
        Ok(answer) => {
            let mut headers = Headers::new();
            headers.push(":status", answer.status.to_string().as_bytes());
            answer.fields.iter().for_each(|(name, value)| headers.push(name, value));
            done.answered(CallAnswer { headers, body: answer.body.into(), trailers: Headers::new() });
        }
        Err(why) => {
            tracing::debug!(target: "plugin", %plugin, %service, "a call of a plugin failed: {why}");
            done.failed();
        }
    }
}

/// The services that were declared for one plugin.
struct Declared {
    plugin: PluginId,
    services: Vec<(String, ServiceId)>,
    calls: Sender<Job>,
}

impl CallOuts for Declared {
    fn call(&self, call: CallOut, done: CallDone) -> Result<(), CallRefused> {
        let declared = self.services.iter().find(|(name, _)| *name == call.service);
        let (_, service) = declared.ok_or(CallRefused::UnknownService)?;
        let fields = call.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let made = PluginCall {
            plugin: self.plugin,
            service: *service,
            fields,
            body: call.body.into(),
            answer_max: call.answer_bytes_max,
        };
        let job = Job { call: made, timeout: call.timeout, done };
        self.calls.try_send(job).map_err(|_| CallRefused::Busy)
    }
}
