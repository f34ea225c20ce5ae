//! Starting, steering and stopping a server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};

use crate::core::Node;
use crate::counters::{CoreCounters, Counters};
use crate::handler::Handler;
use crate::limits::{Limits, ServerConfig};
use crate::worker::{Command, Load, Plan, Station, run};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Serves HTTP/1.1 on some addresses with one handler per core.
pub struct Server;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `listen` is empty, or `workers` is 0.
    #[error("a server needs at least one address to listen on and one worker")]
    Nothing,
    /// An address could not be listened on.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A worker could not be started.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}

impl Server {
    /// Binds the addresses and starts the workers. `make_handler` is called once on each worker's thread, with the
    /// worker's number. When this returns, connections are accepted.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start<H: Handler>(
        config: ServerConfig,
        make_handler: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> Result<ServerHandle, StartError> {
        let sockets = config.listen.iter().map(|address| listen(*address)).collect::<Result<Vec<_>, _>>()?;
        Self::start_on(sockets, config, make_handler)
    }

    /// The same on sockets that listen already, whatever addresses the configuration names: those of another process, whose
    /// [`ServerHandle::listeners`] they are.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start_on<H: Handler>(
        sockets: Vec<TcpListener>,
        config: ServerConfig,
        make_handler: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> Result<ServerHandle, StartError> {
        if sockets.is_empty() || config.workers == 0 {
            return Err(StartError::Nothing);
        }
        let again = sockets.iter().map(TcpListener::try_clone).collect::<Result<Vec<_>, _>>();
        let local_addrs = sockets
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<Vec<_>, _>>()
            .map_err(StartError::Worker)?;
        let (stations, receivers): (Vec<_>, Vec<_>) = (0..config.workers).map(|_| station()).unzip();
        let (alive, ended) = watch::channel(config.workers);
        let mut handle = ServerHandle {
            stations: stations.into(),
            local_addrs,
            sockets: Mutex::new(again.map_err(StartError::Worker)?),
            limits: Mutex::new(config.limits.clone()),
            ended,
            threads: Mutex::default(),
        };
        let crew = Crew {
            make_handler: Arc::new(make_handler),
            limits: Arc::new(config.limits),
            node: Arc::default(),
            alive: Arc::new(alive),
        };
        let mut sockets = Some(sockets);
        for (place, commands) in receivers.into_iter().enumerate() {
            let listeners = sockets.take().unwrap_or_default();
            let thread = crew.start(&handle, place, commands, listeners).map_err(StartError::Worker)?;
            handle.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(handle)
    }
}

/// What all worker threads are started with.
struct Crew<F> {
    make_handler: Arc<F>,
    limits: Arc<Limits>,
    node: Arc<Node>,
    alive: Arc<watch::Sender<usize>>,
}

impl<F> Crew<F> {
    fn start<H>(
        &self,
        handle: &ServerHandle,
        place: usize,
        commands: mpsc::UnboundedReceiver<Command>,
        listeners: Vec<TcpListener>,
    ) -> io::Result<JoinHandle<()>>
    where
        H: Handler,
        F: Fn(usize) -> H + Send + Sync + 'static,
    {
        let plan = Plan {
            place,
            stations: Arc::clone(&handle.stations),
            commands,
            limits: Arc::clone(&self.limits),
            node: Arc::clone(&self.node),
            listeners,
        };
        let make_handler = Arc::clone(&self.make_handler);
        let alive = Alive(Arc::clone(&self.alive));
        let (ready, started) = std_mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(format!("http-{place}")).spawn(move || {
            let _alive = alive;
            // Nobody listens any more only if starting was given up on.
            run(plan, || make_handler(place), |result| drop(ready.send(result)));
        })?;
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the worker ended while it started")))?;
        Ok(thread)
    }
}

/// Counts a worker thread out when it ends, however it ends.
struct Alive(Arc<watch::Sender<usize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|alive| *alive = alive.saturating_sub(1));
    }
}

fn station() -> (Station, mpsc::UnboundedReceiver<Command>) {
    let (commands, receiver) = mpsc::unbounded_channel();
    (Station { commands, load: Load::default(), counters: Arc::<CoreCounters>::default() }, receiver)
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bind = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bind().map_err(|source| StartError::Listen { address, source })
}

/// A running server. Dropping it ends the server at once; [`ServerHandle::shutdown`] ends it gracefully.
pub struct ServerHandle {
    stations: Arc<[Station]>,
    local_addrs: Vec<SocketAddr>,
    /// The listening sockets once more, to be given to another process. They listen as long as anybody has them.
    sockets: Mutex<Vec<TcpListener>>,
    limits: Mutex<Limits>,
    ended: watch::Receiver<usize>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl ServerHandle {
    /// The addresses that are listened on, in the order of the configuration, with the ports that were taken.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// The limits that hold now.
    pub fn limits(&self) -> Limits {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Exchanges the limits. Open connections stay; the new limits hold for what they do next.
    pub fn set_limits(&self, limits: Limits) {
        let mut kept = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone_from(&limits);
        let limits = Arc::new(limits);
        for station in self.stations.iter() {
            // A core that has ended needs no limits.
            let _ = station.commands.send(Command::Limits(Arc::clone(&limits)));
        }
    }

    /// What was counted so far, over all cores.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        self.stations.iter().for_each(|station| sum.add_core(&station.counters));
        sum
    }

    /// The listening sockets, for a process that takes over.
    ///
    /// # Errors
    /// The system has no room for more files, or the server is ending.
    pub fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        match sockets.is_empty() {
            true => Err(io::Error::other("the server is ending")),
            false => sockets.iter().map(TcpListener::try_clone).collect(),
        }
    }

    /// Accepts no further connection. Those that wait do so until another process that has the listeners accepts them.
    pub fn deafen(&self) {
        self.tell(|| Command::Deaf);
    }

    /// Ends connections whose request is not decided.
    pub fn cut_undecided(&self) {
        self.tell(|| Command::Cut);
    }

    /// Begins what [`Self::shutdown`] does, and does not wait for its end.
    pub fn begin_shutdown(&self, grace: Duration) {
        self.stop(grace);
    }

    /// Ends the server gracefully: it stops accepting, closes idle connections, finishes requests in flight (their
    /// answers say `Connection: close`), and cuts what is left after `grace`. Returns when all workers have ended.
    pub async fn shutdown(&self, grace: Duration) {
        self.stop(grace);
        // An error means that the last worker, and with it the sender, is gone: that is what was waited for.
        let _ = self.ended.clone().wait_for(|alive| *alive == 0).await;
    }

    /// [`Self::shutdown`] for a thread that may block.
    pub fn shutdown_blocking(&self, grace: Duration) {
        self.stop(grace);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
    }

    fn stop(&self, grace: Duration) {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.tell(|| Command::Stop(grace));
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for station in self.stations.iter() {
            // A core that has ended needs to be told nothing.
            let _ = station.commands.send(command());
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.shutdown_blocking(Duration::ZERO);
    }
}
