//! A plugin that runs: its workers, and the requests that it sees.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::call_out::CallOuts;
use crate::configuration::Configuration;
use crate::event::{Answer, Event, Facts, Message, Phase};
use crate::failure::Failure;
use crate::headers::{HeaderRules, Headers};
use crate::host::{HostShared, WORKER_STACK};
use crate::limits::Limits;
use crate::log::LogLevel;
use crate::metrics::Metric;
use crate::plugin::{Callbacks, Plugin};
use crate::queue::{Item, Queue};
use crate::shared::Room;
use crate::state::ROOT;
use crate::worker::Worker;

/// How a plugin is to run.
pub struct Start {
    /// Its name, in logs and as the property `plugin_name`.
    pub name: String,
    /// Whose it is, in logs.
    pub account: String,
    /// The property `plugin_root_id`: tells guests that hold several plugins which one to be.
    pub root_id: String,
    /// Plugins with the same one share data, queues and metrics on this node: nobody else's may be the same.
    pub vm_id: String,
    /// What `proxy_on_configure` is given.
    pub configuration: Configuration,
    /// What `proxy_on_vm_start` is given.
    pub vm_configuration: Configuration,
    /// How many threads, each with an instance of its own. At least one.
    pub workers: usize,
    /// What it may use.
    pub limits: Limits,
    /// Which headers it may set.
    pub rules: Arc<dyn HeaderRules>,
    /// Who makes its HTTP calls, to services that were declared for it.
    pub call_outs: Arc<dyn CallOuts>,
    /// What matters less is not logged.
    pub log_level: LogLevel,
}

/// Why a plugin does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It did not get through its start.
    #[error(transparent)]
    Failed(Failure),
    /// There can be no more threads.
    #[error("no thread for the plugin: {0}")]
    NoThread(std::io::Error),
}

/// What all workers of a running plugin share.
pub(crate) struct Common {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) root_id: String,
    pub(crate) vm_id: String,
    pub(crate) configuration: Configuration,
    pub(crate) vm_configuration: Configuration,
    pub(crate) limits: Limits,
    pub(crate) rules: Arc<dyn HeaderRules>,
    pub(crate) call_outs: Arc<dyn CallOuts>,
    pub(crate) log_level: LogLevel,
    pub(crate) room: Arc<Room>,
    pub(crate) counts: Counters,
    pub(crate) began: Instant,
    pub(crate) last_failure: Mutex<Option<Failure>>,
    pub(crate) host: Arc<HostShared>,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) events: Counter,
    pub(crate) refused: Counter,
    pub(crate) lost: Counter,
    pub(crate) instances: Counter,
    pub(crate) paused_too_long: Counter,
    pub(crate) calls: Counter,
    pub(crate) lines_left_out: Counter,
}

/// What a running plugin did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that reached a guest.
    pub events: u64,
    /// Events that were answered at once because too many waited.
    pub refused: u64,
    /// Instances that were thrown away.
    pub lost: u64,
    /// Instances that were made.
    pub instances: u64,
    /// Requests that were paused for too long.
    pub paused_too_long: u64,
    /// HTTP calls that were begun.
    pub calls: u64,
    /// Lines that were left out of the log because there were too many.
    pub lines_left_out: u64,
}

/// A plugin that runs. Dropping it lets it go: its workers finish the requests that they have, and end.
pub struct RunningPlugin {
    workers: Vec<Arc<WorkerHandle>>,
    common: Arc<Common>,
    callbacks: Callbacks,
    turn: AtomicUsize,
}

pub(crate) struct WorkerHandle {
    queue: Arc<Queue>,
    /// The running plugin, and every exchange that was begun here.
    users: AtomicUsize,
    last_stream: AtomicU32,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One request and its response, as one worker of a plugin sees them. Dropping it ends them for the plugin.
pub struct Exchange {
    worker: Arc<WorkerHandle>,
    common: Arc<Common>,
    stream: u32,
    facts: Option<Box<Facts>>,
}

impl RunningPlugin {
    pub(crate) fn start(plugin: &Plugin, start: Start) -> Result<Self, StartError> {
        let common = Arc::new(Common {
            room: plugin.host.room(&start.vm_id),
            name: start.name,
            account: start.account,
            root_id: start.root_id,
            vm_id: start.vm_id,
            configuration: start.configuration,
            vm_configuration: start.vm_configuration,
            limits: start.limits,
            rules: start.rules,
            call_outs: start.call_outs,
            log_level: start.log_level,
            counts: Counters::default(),
            began: Instant::now(),
            last_failure: Mutex::new(None),
            host: Arc::clone(&plugin.host),
        });
        // Workers that are ready end again, should another one fail: nobody uses them then.
        let mut running = Self {
            workers: Vec::new(),
            common: Arc::clone(&common),
            callbacks: plugin.callbacks(),
            turn: AtomicUsize::new(0),
        };
        let (ready, told) = mpsc::channel();
        for _ in 0..start.workers.max(1) {
            let worker = WorkerHandle::spawn(plugin, &common, ready.clone()).map_err(StartError::NoThread)?;
            running.workers.push(Arc::new(worker));
        }
        drop(ready);
        for _ in 0..running.workers.len() {
            // A worker that says nothing has died.
            told.recv().unwrap_or(Err(Failure::Gone)).map_err(StartError::Failed)?;
        }
        Ok(running)
    }

    /// Which events it wants to hear of.
    pub fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    /// Chooses a worker for a request. The plugin hears of it with the first event.
    ///
    /// `None` if every worker has as many requests as it may have.
    pub fn begin(&self, facts: Facts) -> Option<Exchange> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.workers.len();
        let in_turn = (0..count).filter_map(|step| self.workers.get(turn.wrapping_add(step) % count));
        let worker =
            in_turn.min_by_key(|worker| (worker.queue.events(), worker.users.load(Ordering::Relaxed)))?;
        if worker.users.load(Ordering::Relaxed) > self.common.limits.streams_max {
            self.common.counts.refused.add();
            return None;
        }
        worker.users.fetch_add(1, Ordering::Relaxed);
        Some(Exchange {
            worker: Arc::clone(worker),
            common: Arc::clone(&self.common),
            stream: worker.next_stream(),
            facts: Some(Box::new(facts)),
        })
    }

    /// Every metric that plugins with its `vm_id` defined.
    pub fn metrics(&self) -> Vec<Metric> {
        self.common.room.metrics.list()
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        let counts = &self.common.counts;
        Counts {
            events: counts.events.get(),
            refused: counts.refused.get(),
            lost: counts.lost.get(),
            instances: counts.instances.get(),
            paused_too_long: counts.paused_too_long.get(),
            calls: counts.calls.get(),
            lines_left_out: counts.lines_left_out.get(),
        }
    }

    /// Why an instance was thrown away or could not be made, if that was the last that happened to one.
    pub fn last_failure(&self) -> Option<Failure> {
        self.common.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets it go and waits until its workers have ended: not for a loop that serves requests.
    pub fn stop(self) {
        let threads: Vec<_> = self.workers.iter().filter_map(|worker| worker.take_thread()).collect();
        drop(self);
        for thread in threads {
            // A worker that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl Drop for RunningPlugin {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.leave();
        }
    }
}

impl std::fmt::Debug for RunningPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningPlugin")
            .field("name", &self.common.name)
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

impl WorkerHandle {
    fn spawn(
        plugin: &Plugin,
        common: &Arc<Common>,
        ready: mpsc::Sender<Result<(), Failure>>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let worker = Worker::new(plugin.instances.clone(), Arc::clone(common), Arc::clone(&queue));
        let thread = std::thread::Builder::new()
            .name(plugin.host.thread_name())
            .stack_size(WORKER_STACK)
            .spawn(move || worker.run(&ready))?;
        Ok(Self {
            queue,
            users: AtomicUsize::new(1),
            last_stream: AtomicU32::new(ROOT),
            thread: Mutex::new(Some(thread)),
        })
    }

    fn next_stream(&self) -> u32 {
        loop {
            let id = self.last_stream.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if id > ROOT {
                return id;
            }
        }
    }

    /// The last one that leaves tells the worker to end.
    fn leave(&self) {
        if self.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            // A worker that has ended already needs no telling.
            let _ = self.queue.push(Item::Stop);
        }
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Exchange {
    /// The request's head, and its body and trailers as far as they are known and wanted.
    pub async fn request(&mut self, request: Message) -> Answer {
        self.tell(Event::message(Phase::Request, request)).await
    }

    /// The request's body, where it was said to follow.
    pub async fn request_body(&mut self, body: Bytes) -> Answer {
        self.tell(Event::body(Phase::Request, body)).await
    }

    /// What follows the request's body.
    pub async fn request_trailers(&mut self, trailers: Headers) -> Answer {
        self.tell(Event::trailers(Phase::Request, trailers)).await
    }

    /// The response's head, and its body and trailers as far as they are known and wanted.
    pub async fn response(&mut self, response: Message) -> Answer {
        self.tell(Event::message(Phase::Response, response)).await
    }

    /// The response of a request whose instance is gone ([`Failure::Gone`]), on an exchange that was begun for it: the request is told
    /// first, so that the plugin knows it, and what it says about that is not heeded. Nothing of others comes in between.
    pub async fn response_anew(&mut self, request: Message, response: Message) -> Answer {
        let told = self.send(Event::message(Phase::Request, request));
        let answer = self.send(Event::message(Phase::Response, response));
        let (told, answer) = match (told, answer) {
            (Ok(told), Ok(answer)) => (told, answer),
            (Err(why), _) | (_, Err(why)) => return Answer::Failed(why),
        };
        match told.await {
            Ok(Answer::Failed(why)) => Answer::Failed(why),
            // A request that is paused is not waited for.
            _ => answer.await.unwrap_or(Answer::Failed(Failure::Gone)),
        }
    }

    /// The response's body, where it was said to follow.
    pub async fn response_body(&mut self, body: Bytes) -> Answer {
        self.tell(Event::body(Phase::Response, body)).await
    }

    /// What follows the response's body.
    pub async fn response_trailers(&mut self, trailers: Headers) -> Answer {
        self.tell(Event::trailers(Phase::Response, trailers)).await
    }

    /// Whether a secret of the configuration stands in these bytes, or one of its usual encodings does. Short secrets are left out: they
    /// stand in anything.
    pub fn is_told_by(&self, bytes: &[u8]) -> bool {
        self.common.configuration.is_shown_by(bytes)
    }

    async fn tell(&mut self, event: Event) -> Answer {
        match self.send(event) {
            Ok(answer) => answer.await.unwrap_or(Answer::Failed(Failure::Gone)),
            Err(why) => Answer::Failed(why),
        }
    }

    fn send(&mut self, event: Event) -> Result<oneshot::Receiver<Answer>, Failure> {
        if self.facts.is_some() && self.worker.queue.events() >= self.common.limits.queue_max {
            self.common.counts.refused.add();
            return Err(Failure::QueueFull);
        }
        let (reply, answer) = oneshot::channel();
        let begin = self.facts.take();
        let item = Item::Event { stream: self.stream, begin, event: Box::new(event), reply };
        self.worker.queue.push(item).map_err(|_| Failure::Gone)?;
        Ok(answer)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.facts.is_none() {
            // A worker that has ended has ended its requests too.
            let _ = self.worker.queue.push_quietly(Item::End(self.stream));
        }
        self.worker.leave();
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("stream", &self.stream).finish_non_exhaustive()
    }
}
