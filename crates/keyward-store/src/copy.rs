//! A node's copy of its store: what the node needs to start while the store is away, or cannot be loaded.
//!
//! In the data folder's `copy/`: a base (every row at some revision) and journals (what each later change brought), numbered. A base
//! goes with the journals of its number and above. Rows stand there as in the store, secrets sealed as they are there, and the
//! whole is sealed once more ([`frames`]). What is on disk leads, in any order of crashes, to a revision that this node has applied; a
//! copy that would lead to an older one than what was reported as applied is removed.

mod codec;
mod frames;
mod read;
mod unit;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

pub(crate) use codec::{Image, names_of};
pub(crate) use read::Found;
pub use unit::Frame;

use crate::place::Place;
use crate::seal::Sealer;
use crate::{Mark, Store, StoreError};
use frames::{FileId, FrameWriter};

/// A journal that has grown beyond this, and beyond half of its base, is folded into a new base.
const JOURNAL_MIN: u64 = 16 << 20;

/// How long it takes until a base that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Most entries of the log that a copy is brought forward by.
const FAR: usize = 200_000;

/// A node's copy of its store.
pub struct LocalCopy {
    folder: PathBuf,
    store: Uuid,
    sealer: Arc<Sealer>,
    place: Place,
    files: Mutex<Files>,
}

/// What is there.
#[derive(Default)]
struct Files {
    /// The highest number in use.
    number: u64,
    journal: Option<FrameWriter>,
    has_base: bool,
    base_bytes: u64,
    writing_base: bool,
    tried: Option<Instant>,
}

impl LocalCopy {
    pub(crate) fn new(data_dir: &Path, store: Uuid, sealer: Arc<Sealer>, place: Place) -> Self {
        Self { folder: folder(data_dir), store, sealer, place, files: Mutex::default() }
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a frame. It is on disk when this returns.
    ///
    /// If it cannot be kept the copy is removed, for it would lead to a state that is older than what this node has applied.
    pub async fn append(self: &Arc<Self>, frame: Frame) {
        let copy = Arc::clone(self);
        let appended = tokio::task::spawn_blocking(move || copy.append_now(frame)).await;
        match appended.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => self.write_base_if_due(),
            Err(error) => self.give_up(&error),
        }
    }

    fn append_now(&self, frame: Frame) -> io::Result<()> {
        let mut files = self.files();
        // Without a journal there is no copy to be kept; one begins with the next base.
        let Some(journal) = &mut files.journal else { return Ok(()) };
        journal.append(frame.into_bytes())?;
        journal.sync()
    }

    /// Forgets the copy: it does not lead to what this node has applied.
    pub async fn restart(self: &Arc<Self>) {
        let copy = Arc::clone(self);
        let removed = tokio::task::spawn_blocking(move || copy.remove()).await;
        if let Err(error) = removed.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::error!(%error, "an old local copy could not be removed");
        }
        self.write_base_if_due();
    }

    fn give_up(&self, error: &io::Error) {
        tracing::error!(%error, "the local copy could not be kept and is removed: this node does not start without its store now");
        if let Err(error) = self.remove() {
            tracing::error!(%error, "the local copy could not be removed: do not start this node while its store is away");
        }
    }

    /// Removes every file, bases first, for nothing is read without one.
    fn remove(&self) -> io::Result<()> {
        let mut files = self.files();
        files.journal = None;
        files.has_base = false;
        let mut found = numbered(&self.folder)?;
        files.number = found.iter().map(|(_, number, _)| *number).max().unwrap_or(0).max(files.number);
        found.sort();
        for (_, _, path) in found {
            fs::remove_file(path)?;
        }
        sync_folder(&self.folder)
    }

    /// Begins a new journal; frames go there from here on.
    fn begin_journal(&self) -> io::Result<u64> {
        let mut files = self.files();
        let number = files.number + 1;
        let id = FileId { store: self.store, kind: b'j', number };
        let mut journal = FrameWriter::create(&self.path('j', number), id, &self.sealer)?;
        journal.sync()?;
        sync_folder(&self.folder)?;
        files.number = number;
        files.journal = Some(journal);
        Ok(number)
    }

    fn write_base_if_due(self: &Arc<Self>) {
        let mut files = self.files();
        let grown = files.journal.as_ref().map_or(0, FrameWriter::written);
        let due = !files.has_base || grown > JOURNAL_MIN.max(files.base_bytes / 2);
        let patient = files.tried.is_none_or(|tried| tried.elapsed() > AGAIN);
        if !due || files.writing_base || !patient {
            return;
        }
        files.writing_base = true;
        files.tried = Some(Instant::now());
        drop(files);
        let copy = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let outcome = crate::load::on_own_runtime(copy.write_base());
            copy.files().writing_base = false;
            match outcome {
                Ok(()) => {
                    copy.files().tried = None;
                    // It may have been of no use by the time it was written.
                    copy.write_base_if_due();
                }
                Err(error) => tracing::warn!(%error, "the local copy could not be written"),
            }
        });
    }

    fn path(&self, kind: char, number: u64) -> PathBuf {
        self.folder.join(format!("{}-{number:06}", if kind == 'b' { "base" } else { "journal" }))
    }
}

impl std::fmt::Debug for LocalCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalCopy(…)")
    }
}

impl Store {
    /// This node's copy of the store.
    pub fn copy(&self) -> &Arc<LocalCopy> {
        &self.copy
    }

    /// Brings the copy of an earlier run forward to where the store is, or begins a new one.
    ///
    /// # Errors
    /// The store does not answer, or went back behind what this node has applied. (A copy that cannot be used is replaced.)
    pub async fn resume_copy(&self) -> Result<(), StoreError> {
        let copy = self.copy();
        let reading = Arc::clone(copy);
        let position = tokio::task::spawn_blocking(move || reading.position()).await;
        let frame = match position.map_err(|error| StoreError::Unavailable(error.to_string()))? {
            Ok(Some(mark)) => self.frame_since(&mark).await?,
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "an old local copy is of no use and is replaced");
                None
            }
        };
        let Some(frame) = frame else {
            copy.restart().await;
            return Ok(());
        };
        let beginning = Arc::clone(copy);
        let begun = tokio::task::spawn_blocking(move || beginning.begin_journal().map(|_| ())).await;
        match begun.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => copy.append(frame).await,
            Err(error) => copy.give_up(&error),
        }
        Ok(())
    }

    /// Goes on with the copy that the store was opened from.
    ///
    /// # Errors
    /// The copy cannot be used.
    pub async fn go_on_with_copy(&self) -> Result<(), StoreError> {
        let copy = Arc::clone(self.copy());
        let going_on = move || -> Result<(), String> {
            copy.position().map_err(|error| error.to_string())?;
            copy.begin_journal().map(|_| ()).map_err(|error| error.to_string())
        };
        let gone_on = tokio::task::spawn_blocking(going_on).await;
        gone_on.unwrap_or_else(|error| Err(error.to_string())).map_err(StoreError::Copy)
    }

    /// What leads from this mark to where the store is; `None` where nothing does.
    async fn frame_since(&self, from: &Mark) -> Result<Option<Frame>, StoreError> {
        let mut reader = self.reader_at_one_moment().await?;
        let mut reads = reader.reads();
        let mark = reads.continues(from).await?;
        let changes = reads.changes_up_to(from.revision, mark.revision, FAR).await?;
        let frame = match changes {
            Some(changes) => Some(reads.frame(from.revision, &mark, &changes).await?),
            None => None,
        };
        reader.finish().await?;
        Ok(frame)
    }
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("copy")
}

/// The files of a copy: kind (`base` before `journal`), number, path.
fn numbered(folder: &Path) -> io::Result<Vec<(String, u64, PathBuf)>> {
    match fs::create_dir_all(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
        if let Some((kind @ ("base" | "journal"), number)) = name
            && let Ok(number) = number.parse()
        {
            found.push((kind.to_owned(), number, path));
        }
    }
    Ok(found)
}

/// Names of files must survive a power failure as their content does.
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}
