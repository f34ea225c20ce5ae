//! What quotas have counted on this node, in a file: so that a restart gives nobody their calls back.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_gateway::Gateway;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A process that is killed forgets what was counted since it was last written.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// Writes the file now and then. Stopped, it writes it once more.
pub(crate) struct QuotaKeeper {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Has the gateway go on from what the file says. One that is not whole is told, put aside, and quotas begin anew.
pub(crate) fn resume(gateway: &mut Gateway, file: &Path) -> io::Result<()> {
    match fs::read(file) {
        Ok(pages) if gateway.resume_quotas(&pages) => Ok(()),
        Ok(_) => {
            let aside = file.with_extension("damaged");
            tracing::error!(file = %file.display(), aside = %aside.display(), "what quotas counted cannot be read: they begin anew");
            fs::rename(file, aside)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

impl QuotaKeeper {
    pub(crate) fn start(gateway: Gateway, file: PathBuf) -> Self {
        let (end, mut ends) = oneshot::channel();
        let task = tokio::spawn(async move {
            loop {
                let ended = tokio::time::timeout(WRITE_EVERY, &mut ends).await.is_ok();
                let (gateway, file) = (gateway.clone(), file.clone());
                if let Err(error) = tokio::task::spawn_blocking(move || keep(&gateway, &file)).await {
                    tracing::error!(%error, "what quotas counted was not written");
                }
                if ended {
                    return;
                }
            }
        });
        Self { end, task }
    }

    pub(crate) async fn stop(self) {
        drop(self.end);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "what quotas counted was not written");
        }
    }
}

fn keep(gateway: &Gateway, file: &Path) {
    let Some(pages) = gateway.quota_pages() else { return };
    if let Err(error) = write(file, &pages) {
        gateway.quotas_not_kept();
        tracing::error!(%error, file = %file.display(), "what quotas counted cannot be written");
    }
}

/// Under another name first, so that a crash leaves the file before.
fn write(file: &Path, pages: &[u8]) -> io::Result<()> {
    let unfinished = file.with_extension("new");
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    new.write_all(pages)?;
    new.sync_all()?;
    fs::rename(&unfinished, file)
}
