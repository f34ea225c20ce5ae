//! The store of one process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use keyward_model::{CredentialDigest, DigestKey};
use sqlx::{AnyConnection, AnyPool, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::copy::LocalCopy;
use crate::error::leaves_doubt;
use crate::lock::FolderLock;
use crate::place::Place;
use crate::seal::Sealer;
use crate::starts::Starts;
use crate::{Mark, StoreError};

/// The store of one process: one writer, several readers.
///
/// Dropping it lets go of the data folder; [`Store::close`] also folds the write-ahead log into the file.
pub struct Store {
    pub(crate) id: Uuid,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) writer: tokio::sync::Mutex<Writer>,
    pub(crate) readers: AnyPool,
    /// The connection for what may be lost.
    pub(crate) loose: tokio::sync::Mutex<Option<PgConnection>>,
    pub(crate) place: Place,
    pub(crate) data_dir: PathBuf,
    /// This node's copy of it.
    pub(crate) copy: Arc<LocalCopy>,
    /// Where the copy stands that it was opened from.
    pub(crate) from_copy: Option<Mark>,
    /// The revision of the copy that it was opened from because loading it failed again and again.
    last_good: Mutex<Option<u64>>,
    refusal: Mutex<Option<String>>,
    /// Did the last write find no room?
    pub(crate) full: AtomicBool,
    /// Last, so that it is let go after the connections.
    lock: Mutex<Option<FolderLock>>,
}

/// The connection that writes.
pub(crate) struct Writer {
    /// Absent after it was lost: the next write makes another.
    pub(crate) connection: Option<AnyConnection>,
    /// Is a transaction open that nobody holds any more?
    pub(crate) left_open: bool,
    /// Did the connection not answer?
    pub(crate) lost: bool,
}

impl Store {
    pub(crate) fn new(
        id: Uuid,
        sealer: Arc<Sealer>,
        connection: Option<AnyConnection>,
        readers: AnyPool,
        place: Place,
        data_dir: &Path,
        lock: FolderLock,
    ) -> Self {
        Self {
            id,
            copy: Arc::new(LocalCopy::new(data_dir, id, Arc::clone(&sealer), place.clone())),
            from_copy: None,
            last_good: Mutex::new(None),
            data_dir: data_dir.to_owned(),
            sealer,
            writer: tokio::sync::Mutex::new(Writer { connection, left_open: false, lost: false }),
            readers,
            loose: tokio::sync::Mutex::default(),
            place,
            refusal: Mutex::new(None),
            full: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        }
    }

    /// The store's id: revisions of two stores are not comparable.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Do other nodes write to it too?
    pub fn is_shared(&self) -> bool {
        self.place.is_shared()
    }

    /// What an API key or AppCode is looked up by.
    pub fn digest(&self, value: &str) -> CredentialDigest {
        self.sealer.digest(value)
    }

    /// The key under which [`Store::digest`] digests.
    pub fn digest_key(&self) -> &DigestKey {
        self.sealer.digest_key()
    }

    /// Are writes taken?
    ///
    /// # Errors
    /// [`StoreError::WritesRefused`] after a write that failed so that what is on disk is in doubt.
    pub fn takes_writes(&self) -> Result<(), StoreError> {
        match &*self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(StoreError::WritesRefused(why.clone())),
            None => Ok(()),
        }
    }

    /// The revision of the local copy that it was opened from, because loading the store failed in the last starts; `None` where it
    /// was not.
    pub fn last_good(&self) -> Option<u64> {
        *self.last_good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything was loaded from the store: this start has not failed.
    pub fn loaded(&self) {
        *self.last_good.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Starts::at(&self.data_dir).succeeded();
    }

    pub(crate) fn set_last_good(&mut self, revision: u64) {
        self.last_good = Mutex::new(Some(revision));
    }

    pub(crate) fn refuse_writes(&self, why: &str) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    /// Did the last write find no room on the disk? Each is tried all the same, and nodes say every few seconds that they are there.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Folds the write-ahead log into the file after the write under way, and lets go of the data folder. No write is taken, and
    /// nothing is read, from here on.
    pub async fn close(&self) {
        self.readers.close().await;
        let mut writer = self.writer.lock().await;
        if let Some(connection) = writer.connection.take() {
            close(connection, self.place.is_shared()).await;
        }
        self.refuse_writes("it is closed");
        match self.last_good() {
            // Whoever ends it in order may have mended it.
            Some(_) => Starts::at(&self.data_dir).try_again(),
            None => Starts::at(&self.data_dir).succeeded(),
        }
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Turns a failed write into an error, and remembers one that leaves the file's state in doubt.
    pub(crate) fn write_failed(&self, error: sqlx::Error) -> StoreError {
        // A connection that is lost says nothing about a server's disk.
        if !self.place.is_shared() && leaves_doubt(&error) {
            let why = error.to_string();
            tracing::error!(error = %why, "the store takes no more writes until it is restarted");
            self.refuse_writes(&why);
            return StoreError::WritesRefused(why);
        }
        let error = StoreError::from(error);
        if matches!(error, StoreError::DiskFull(_)) && !self.full.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "no change is taken until there is room; calls go on");
        }
        error
    }

    /// A write holds, so there is room.
    pub(crate) fn write_held(&self) {
        if self.full.swap(false, Ordering::Relaxed) {
            tracing::info!("there is room on the disk again: changes are taken");
        }
    }
}

async fn close(mut connection: AnyConnection, shared: bool) {
    let folded = match shared {
        true => Ok(()),
        false => connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.map(|_| ()),
    };
    let closed = match folded {
        Ok(()) => connection.close().await,
        failed => failed,
    };
    if let Err(error) = closed {
        tracing::warn!(%error, "the store did not close cleanly; the next start repairs it");
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("id", &self.id).finish_non_exhaustive()
    }
}
