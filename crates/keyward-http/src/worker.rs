//! One core: a thread, a current-thread runtime, the connections it serves.

use std::io;
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, mpsc};

use crate::accept::accept_all;
use crate::core::{Core, Node};
use crate::counters::CoreCounters;
use crate::driver::Driver;
use crate::handler::{Handler, Peer};
use crate::limits::Limits;
use crate::moment::{Clock, Moment};
use crate::pool::Pools;
use crate::sweep::{Watch, Watches};

/// Tasks run between two looks at the sockets. Under load one `epoll_wait` then serves many connections.
const EVENT_INTERVAL: u32 = 1024;

/// What a core is told from outside.
pub(crate) enum Command {
    /// Serve this connection.
    Serve(StdStream, Peer),
    /// Close the connections that have been idle longest.
    Shed,
    /// Keep these limits from now on.
    Limits(Arc<Limits>),
    /// Accept no further connection, and leave those that wait to whoever has the listeners too.
    Deaf,
    /// End connections whose request is not decided.
    Cut,
    /// End: at once where idle, after their answers where busy, at the latest after this time.
    Stop(Duration),
}

/// What other threads may know and do about a core.
pub(crate) struct Station {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// Connections it serves or is about to.
    pub(crate) load: Load,
    pub(crate) counters: Arc<CoreCounters>,
}

/// A number of connections, on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Load(AtomicUsize);

impl Load {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn less(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the tasks of a core share.
pub(crate) struct Worker<H: Handler> {
    pub(crate) core: Rc<Core<H>>,
    pub(crate) pools: Pools,
    pub(crate) watches: Watches,
    pub(crate) stations: Arc<[Station]>,
    pub(crate) place: usize,
    /// Told after every sweep and when a connection ends: waiting for room may be over.
    pub(crate) room: Notify,
    clock: Clock,
}

impl<H: Handler> Worker<H> {
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn station(&self) -> Option<&Station> {
        self.stations.get(self.place)
    }

    /// Serves a connection on this core.
    pub(crate) fn serve(self: &Rc<Self>, stream: TcpStream, peer: Peer) {
        self.core.counters.connections_accepted.add(1);
        self.core.counters.connections_open.add(1);
        tokio::task::spawn_local(Driver::new(Rc::clone(self), stream, peer));
    }

    /// Serves a connection that another core has accepted.
    fn take_over(self: &Rc<Self>, stream: StdStream, peer: Peer) {
        match TcpStream::from_std(stream) {
            Ok(stream) => self.serve(stream, peer),
            Err(error) => {
                tracing::warn!(%error, "an accepted connection could not be registered");
                self.less_load();
            }
        }
    }

    pub(crate) fn connection_closed(&self, watch: &Watch) {
        self.watches.remove(watch);
        self.core.counters.connections_open.sub(1);
        self.less_load();
        if self.core.stopping() {
            self.room.notify_waiters();
        }
    }

    fn less_load(&self) {
        if let Some(station) = self.station() {
            station.load.less();
        }
    }
}

/// What a core's thread starts with.
pub(crate) struct Plan {
    pub(crate) place: usize,
    pub(crate) stations: Arc<[Station]>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) node: Arc<Node>,
    /// Listeners are served by one core, which hands connections on.
    pub(crate) listeners: Vec<StdListener>,
}

/// Runs a core until it is told to stop. `ready` hears whether it could start.
pub(crate) fn run<H: Handler>(
    plan: Plan,
    make_handler: impl FnOnce() -> H,
    ready: impl FnOnce(io::Result<()>),
) {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .event_interval(EVENT_INTERVAL)
        .max_io_events_per_tick(EVENT_INTERVAL as usize)
        .build_local(LocalOptions::default());
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => return ready(Err(error)),
    };
    runtime.block_on(async {
        match start(plan, make_handler) {
            Ok((worker, commands, listeners)) => {
                ready(Ok(()));
                serve(&worker, commands, listeners).await;
            }
            Err(error) => ready(Err(error)),
        }
    });
}

type Started<H> = (Rc<Worker<H>>, mpsc::UnboundedReceiver<Command>, Vec<StdListener>);

fn start<H: Handler>(plan: Plan, make_handler: impl FnOnce() -> H) -> io::Result<Started<H>> {
    let Plan { place, stations, commands, limits, node, listeners } = plan;
    let counters = stations.get(place).map(|station| Arc::clone(&station.counters)).unwrap_or_default();
    let core = Core::new(make_handler(), limits, node, Arc::clone(&counters));
    core.set_time(SystemTime::now());
    let worker = Rc::new(Worker {
        core,
        pools: Pools::new(counters),
        watches: Watches::new()?,
        stations,
        place,
        room: Notify::new(),
        clock: Clock::start(),
    });
    Ok((worker, commands, listeners))
}

async fn serve<H: Handler>(
    worker: &Rc<Worker<H>>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    listeners: Vec<StdListener>,
) {
    let accepting: Vec<_> =
        listeners.into_iter().map(|l| tokio::task::spawn_local(accept_all(Rc::clone(worker), l))).collect();
    let mut stop_at = None;
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Serve(stream, peer)) => worker.take_over(stream, peer),
                Some(Command::Shed) => drop(worker.watches.shed()),
                Some(Command::Limits(limits)) => worker.core.set_limits(limits),
                Some(Command::Deaf) => {
                    worker.core.deafen();
                    worker.room.notify_waiters();
                }
                Some(Command::Cut) => worker.watches.cut(),
                Some(Command::Stop(grace)) => {
                    stop(worker);
                    stop_at = Some(worker.now().after(grace));
                }
                // Whoever could stop this server is gone.
                None => stop_at = Some(worker.now()),
            },
            () = worker.watches.due() => sweep(worker),
            () = worker.room.notified(), if stop_at.is_some() => {}
        }
        if stop_at.is_some_and(|at| worker.watches.is_empty() || worker.now() >= at) {
            break;
        }
    }
    accepting.iter().for_each(|task| task.abort());
}

fn stop<H: Handler>(worker: &Rc<Worker<H>>) {
    worker.core.stop();
    worker.watches.stop();
    worker.room.notify_waiters();
}

fn sweep<H: Handler>(worker: &Rc<Worker<H>>) {
    let now = worker.now();
    worker.core.set_time(SystemTime::now());
    worker.watches.sweep(now);
    let timeout = worker.core.limits().upstream_idle_timeout;
    worker.pools.sweep(timeout, now);
    worker.room.notify_waiters();
}
