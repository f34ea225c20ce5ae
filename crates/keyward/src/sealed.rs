//! A node that has no key to its store yet: it says so on its admin address, and waits for the master key file.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use keyward_admin::AdminServer;
use keyward_control::ControlError;

use crate::node::{NodeError, NodeOptions, listen_for_admin, system};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long administrators' requests may go on once the file is there.
const GRACE: Duration = Duration::from_secs(1);

/// A sealed node's admin server.
pub(crate) struct Sealed {
    server: AdminServer,
    socket: std::net::TcpListener,
}

impl Sealed {
    pub(crate) async fn start(options: &NodeOptions) -> Result<Self, NodeError> {
        let (listener, socket) = listen_for_admin(options)
            .await
            .map_err(|source| NodeError::AdminListen { address: options.admin, source })?;
        let server =
            AdminServer::start_sealed(listener).map_err(system("the admin server does not start"))?;
        Ok(Self { server, socket })
    }

    /// Says in the log what is wrong.
    pub(crate) fn tell(&self, error: &ControlError) {
        tracing::error!(%error, admin = %self.server.address(), "sealed: the node waits for its master key file");
    }

    /// Lets the answers under way end, and gives the socket on: who connects meanwhile is answered later.
    pub(crate) async fn end(self) -> std::net::TcpListener {
        self.server.shutdown(GRACE).await;
        self.socket
    }
}

/// What a look at a file tells without reading it. Another content, owner or mode is another look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen(Option<[i128; 7]>);

impl Seen {
    pub(crate) fn at(file: &Path) -> Self {
        let look = |file: std::fs::Metadata| {
            let (device, inode, length) = (file.dev().into(), file.ino().into(), file.len().into());
            let changed = i128::from(file.ctime()) * 1_000_000_000 + i128::from(file.ctime_nsec());
            [device, inode, length, changed, file.mode().into(), file.uid().into(), file.gid().into()]
        };
        Self(std::fs::metadata(file).ok().map(look))
    }

    /// Waits until a look at the file tells something else.
    pub(crate) async fn changed(&self, file: &Path) {
        while Self::at(file) == *self {
            tokio::time::sleep(LOOK).await;
        }
    }
}
