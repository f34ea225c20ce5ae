//! One process of a node takes over from another, as for an upgrade: nobody who calls notices.
//!
//! The running process listens on a socket in its data folder. Whoever connects there gets the sockets that calls arrive at, waits
//! until the other decides nothing any more and has let go of the data folder, and goes on from there. Connections that arrive
//! meanwhile wait in the sockets, which both processes have.

use std::io::{self, BufRead as _, BufReader, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::net::UnixListener;

/// Most sockets that are handed over.
const SOCKETS: usize = 64;

/// The sockets of the process before.
#[derive(Debug)]
pub struct Inherited {
    /// Where calls arrive.
    pub(crate) gateway: Vec<TcpListener>,
    /// Where administrators' requests arrive.
    pub(crate) admin: TcpListener,
}

/// Where a process that wants to take over announces itself.
#[derive(Debug)]
pub(crate) struct Gate {
    listener: UnixListener,
    path: PathBuf,
}

/// A process that wants to take over.
#[derive(Debug)]
pub(crate) struct Heir(UnixStream);

/// The process that is taken over from.
#[derive(Debug)]
pub(crate) struct Predecessor(UnixStream);

fn path_in(data: &Path) -> PathBuf {
    data.join("take-over.sock")
}

impl Gate {
    /// Opens the gate in this data folder, which is this process's own.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let path = path_in(data);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    /// Waits for a process that wants to take over.
    pub(crate) async fn heir(&self) -> io::Result<Heir> {
        let (stream, _) = self.listener.accept().await?;
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(Heir(stream))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Heir {
    /// Gives it the sockets: those of the gateway, then that of the admin server.
    pub(crate) fn give(&self, gateway: &[TcpListener], admin: &TcpListener) -> io::Result<()> {
        let sockets: Vec<BorrowedFd<'_>> =
            gateway.iter().chain([admin]).map(|socket| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        if !along.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::Error::other("there are too many listeners to hand over"));
        }
        rustix::net::sendmsg(&self.0, &[IoSlice::new(b"\n")], &mut along, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Says that it may go on.
    pub(crate) fn go(mut self) -> io::Result<()> {
        writeln!(self.0, "go")
    }
}

/// Asks the process that runs on this data folder to be taken over; `None` where none runs.
///
/// # Errors
/// It does not hand its sockets over.
pub(crate) fn ask(data: &Path) -> io::Result<Option<(Predecessor, Arc<Inherited>)>> {
    let stream = match UnixStream::connect(path_in(data)) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut byte)], &mut along, flags)?;
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(given) = message {
            sockets.extend(given);
        }
    }
    let mut sockets: Vec<TcpListener> = sockets.into_iter().map(TcpListener::from).collect();
    match sockets.pop() {
        Some(admin) if received.bytes == 1 && !sockets.is_empty() => {
            Ok(Some((Predecessor(stream), Arc::new(Inherited { gateway: sockets, admin }))))
        }
        _ => Err(io::Error::other("the running process did not hand its listeners over; see its log")),
    }
}

impl Predecessor {
    /// Waits until it decides nothing any more and has let go of the data folder, or is gone.
    pub(crate) fn wait(self) -> io::Result<()> {
        let mut said = String::new();
        // Whether it says so or ends otherwise: should it live on, the data folder is still locked.
        BufReader::new(self.0).read_line(&mut said).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_go_from_one_to_the_other_and_what_waits_in_them_is_served() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ask(folder.path()).unwrap().is_none(), "nobody runs here");
        let gate = Gate::open(folder.path()).unwrap();
        let path = folder.path().to_owned();
        let asking = tokio::task::spawn_blocking(move || ask(&path));
        let heir = gate.heir().await.unwrap();
        let (gateway, admin) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (address, admin_address) = (gateway.local_addr().unwrap(), admin.local_addr().unwrap());
        heir.give(&[gateway], &admin).unwrap();
        drop(admin);
        let (predecessor, inherited) = asking.await.unwrap().unwrap().unwrap();
        let waits = std::net::TcpStream::connect(address).unwrap();
        heir.go().unwrap();
        predecessor.wait().unwrap();
        assert_eq!(inherited.gateway[0].accept().unwrap().1, waits.local_addr().unwrap());
        assert_eq!(inherited.admin.local_addr().unwrap(), admin_address);
        drop(gate);
        assert!(ask(folder.path()).unwrap().is_none(), "it cleans up after itself");
    }
}
