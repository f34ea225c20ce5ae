//! The admin listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::{Admin, router, sealed};

/// Most connections at once: whoever holds them open must not use up what the gateway needs.
const CONNECTIONS_MAX: usize = 256;
/// Longest wait for the head of a request, on a new connection and on one that is kept open.
const HEAD_PAUSE: Duration = Duration::from_secs(15);
/// Pause after the system gave no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running admin server. Dropping it ends it at once; [`AdminServer::shutdown`] lets requests under way end.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl AdminServer {
    /// Serves this listener from a task of the current runtime.
    ///
    /// # Errors
    /// The listener does not tell its address.
    pub fn start(listener: TcpListener, admin: Admin) -> io::Result<Self> {
        Self::start_with(listener, router(admin))
    }

    /// Serves this listener for a node that is sealed: it is alive, not ready, and refuses everything else.
    ///
    /// # Errors
    /// The listener does not tell its address.
    pub fn start_sealed(listener: TcpListener) -> io::Result<Self> {
        Self::start_with(listener, sealed::router())
    }

    fn start_with(listener: TcpListener, router: Router) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, router, stopped));
        Ok(Self { address, stop: Some(stop), task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new requests, lets those under way end for at most `grace`, and ends.
    pub async fn shutdown(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        match tokio::time::timeout(grace, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the admin server's task failed"),
            Err(_) => tracing::warn!("the admin server was ended with requests under way"),
        }
    }
}

/// Serves until it is told to stop (or whoever could tell is gone); then requests under way end.
async fn serve(listener: TcpListener, router: Router, mut stopped: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|(stream, peer)| (permit, stream, peer))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stopped => break,
        };
        match accepted {
            Ok((permit, stream, peer)) => {
                let connection = graceful.watch(connection(stream, peer, &router));
                tokio::spawn(async move {
                    // Whoever hangs up in the middle is told nothing.
                    let _ = connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin server gets no connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

type Served = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, peer: SocketAddr, router: &Router) -> Served {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.clone().layer(Extension(ConnectInfo(peer))));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PAUSE)
        .serve_connection(TokioIo::new(stream), service)
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
