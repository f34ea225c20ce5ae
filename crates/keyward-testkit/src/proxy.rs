//! A network between a node and its database that can be cut and held.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// It arrives.
    Whole,
    /// It waits: nobody is told.
    Held,
    /// Connections are closed, and new ones are closed at once.
    Cut,
}

/// A network between somebody who connects here and a server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: Arc<watch::Sender<Network>>,
}

impl Proxy {
    /// A network to this port on loopback, whole at first.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let network = Arc::new(watch::Sender::new(Network::Whole));
        let told = Arc::clone(&network);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, port, told.subscribe()));
            }
        });
        Ok(Self { address, network })
    }

    /// Where to connect.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it is so.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn carry(near: TcpStream, port: u16, mut network: watch::Receiver<Network>) {
    if network
        .wait_for(|network| *network != Network::Held)
        .await
        .is_ok_and(|network| *network == Network::Cut)
    {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (near, far) = (near.into_split(), far.into_split());
    let mut cut = network.clone();
    tokio::select! {
        _ = pump(near.0, far.1, network.clone()) => {}
        _ = pump(far.0, near.1, network) => {}
        _ = cut.wait_for(|network| *network == Network::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        // What is held arrives later, in order.
        let _ = network.wait_for(|network| *network != Network::Held).await;
        to.write_all(&buffer[..read]).await?;
    }
}
