//! The admin listener.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Admin, router};

/// A running admin server. Dropping it ends it at once; [`AdminServer::shutdown`] lets requests under way end.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

impl AdminServer {
    /// Serves this listener from a task of the current runtime.
    ///
    /// # Errors
    /// The listener does not tell its address.
    pub fn start(listener: TcpListener, admin: Admin) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = axum::serve(listener, router(admin).into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async {
                // A dropped sender ends the server as well.
                let _ = stopped.await;
            });
        let task = tokio::spawn(serve.into_future());
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
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the admin server ended with an error"),
            Ok(Err(error)) => tracing::error!(%error, "the admin server's task failed"),
            Err(_) => tracing::warn!("the admin server was ended with requests under way"),
        }
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
