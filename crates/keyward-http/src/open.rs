//! Connecting to an origin.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;

use crate::endpoint::Origin;
use crate::resolve::Lookup;

/// Spreads connections over an origin's addresses.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// Connects to one of the origin's addresses, trying each once. The caller bounds the time.
///
/// # Errors
/// If the name has no address, or the last attempt's error.
pub(crate) async fn open(origin: Arc<Origin>) -> io::Result<TcpStream> {
    let addresses = match origin.addresses() {
        Lookup::Known(addresses) => Some(addresses),
        Lookup::Wait(receiver) => receiver.await.ok().flatten(),
        Lookup::Failed => None,
    };
    let addresses =
        addresses.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let first = if addresses.len() > 1 { TURN.fetch_add(1, Ordering::Relaxed) % addresses.len() } else { 0 };
    let (before, from) = addresses.split_at_checked(first).unwrap_or((&[], &addresses));
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in from.iter().chain(before) {
        match connect(*address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    origin.unreachable(&addresses);
    Err(last)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
