//! Accepting connections: one core listens and hands each new connection to the core that serves fewest.
//!
//! A listener per core (`SO_REUSEPORT`) would let the kernel spread connections by hash, which leaves few or long-lived
//! connections on one core, and it drops what waits in a queue whose core goes away. One listener has neither problem,
//! and handing over costs one wake per connection, not per request. With one core there is no hand-over at all.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::net::{TcpListener, TcpStream};

use crate::connection::Connection;
use crate::handler::{Handler, Peer};
use crate::moment::Moment;
use crate::worker::{Command, Worker};

/// Connections accepted in one go, before others have their turn.
const BATCH: usize = 64;

/// Accepts connections until the server stops; then takes what still waits, and ends.
pub(crate) async fn accept_all<H: Handler>(worker: Rc<Worker<H>>, listener: StdListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener could not be registered"),
    };
    while !worker.core.stopping() && !worker.core.is_deaf() {
        tokio::select! {
            accepted = listener.accept() => {
                let pause = take(&worker, accepted).or_else(|| accept_waiting(&worker, &listener, BATCH));
                match pause {
                    Some(Pause::UntilRoom) => worker.room.notified().await,
                    Some(Pause::Turn) | None => tokio::task::yield_now().await,
                }
            }
            () = worker.room.notified() => {}
        }
    }
    if !worker.core.is_deaf() {
        accept_waiting(&worker, &listener, usize::MAX);
    }
}

/// Why accepting has to pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// Connections that were told to make room must have their turn.
    Turn,
    /// The system has nothing left to accept with.
    UntilRoom,
}

/// Accepts what waits, at most `most`.
fn accept_waiting<H: Handler>(worker: &Rc<Worker<H>>, listener: &TcpListener, most: usize) -> Option<Pause> {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..most {
        let Poll::Ready(accepted) = listener.poll_accept(&mut context) else { return None };
        if let Some(pause) = take(worker, accepted) {
            return Some(pause);
        }
    }
    None
}

/// Places an accepted connection.
fn take<H: Handler>(worker: &Rc<Worker<H>>, accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<Pause> {
    match accepted {
        Ok((stream, address)) => {
            // Either fails only if the client is gone already.
            if let Ok(local) = stream.local_addr()
                && stream.set_nodelay(true).is_ok()
            {
                return place(worker, stream, Peer { address, local, secure: false });
            }
            None
        }
        Err(error) if is_out_of_resources(&error) => {
            tracing::warn!(%error, "no connection can be accepted: idle ones make room");
            shed(worker);
            Some(Pause::UntilRoom)
        }
        // This one connection failed before it was ours.
        Err(_) => None,
    }
}

fn is_out_of_resources(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

/// Gives the connection to the core that serves fewest.
///
/// At the bound, the connections that have been idle longest are told to make room. They need a moment for that, so a
/// few more than the bound may come in; when nobody makes room, new ones are turned away.
fn place<H: Handler>(worker: &Rc<Worker<H>>, stream: TcpStream, peer: Peer) -> Option<Pause> {
    let most = worker.core.limits().connections;
    let open: usize = worker.stations.iter().map(|station| station.load.get()).sum();
    let pause = (open >= most).then(|| {
        shed(worker);
        Pause::Turn
    });
    if open >= most + (most / 16).max(8) {
        turn_away(worker, stream, peer);
    } else if let Some((place, station)) =
        worker.stations.iter().enumerate().min_by_key(|(_, station)| station.load.get())
    {
        station.load.more();
        hand_over(worker, stream, peer, place);
    }
    pause
}

fn hand_over<H: Handler>(worker: &Rc<Worker<H>>, stream: TcpStream, peer: Peer, place: usize) {
    if place == worker.place {
        return worker.serve(stream, peer);
    }
    let Some(station) = worker.stations.get(place) else { return };
    let taken = stream.into_std().map(|stream| station.commands.send(Command::Serve(stream, peer)).is_ok());
    if !taken.unwrap_or(false) {
        tracing::warn!("a core has ended: its new connection is dropped");
        station.load.less();
    }
}

fn shed<H: Handler>(worker: &Rc<Worker<H>>) {
    let most = worker.stations.iter().enumerate().max_by_key(|(_, station)| station.load.get());
    match most {
        Some((place, station)) if place != worker.place => {
            // A core that has ended has no connections to close.
            let _ = station.commands.send(Command::Shed);
        }
        _ => drop(worker.watches.shed()),
    }
}

/// Answers 503 without taking the connection on.
fn turn_away<H: Handler>(worker: &Rc<Worker<H>>, stream: TcpStream, peer: Peer) {
    worker.core.counters.connections_shed.add(1);
    let mut connection = Connection::new(Rc::clone(&worker.core), peer);
    connection.turn_away(Moment::default());
    let (slices, used) = connection.write_slices();
    // Best effort: there is no room to wait for the client to take it.
    if let Ok(mut stream) = stream.into_std() {
        let _ = io::Write::write_vectored(&mut stream, slices.get(..used).unwrap_or_default());
    }
}
