//! The replay memory's files: one record for every nonce, written before the request goes on.
//!
//! A record is in the kernel's hands when [`Journal::append`] returns, so that a killed process forgets nothing.
//! It is not forced to the disk: after a crash of the machine the memory counts as lost (told by the boot id), and
//! what follows from that is in [`ReplayMemory`](super::ReplayMemory).
//!
//! ```text
//! NNNNNNNNNN.nonces   header (64 bytes), then records of 32 bytes: caller, hash of the nonce, until; zeros where
//!                     there is room for more
//! clean               there since an orderly stop that forced everything to the disk
//! ```

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use super::room::Room;

/// One nonce, as it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The application's UUID.
    pub(super) caller: u128,
    /// Keyed hash of application and nonce.
    pub(super) hash: u64,
    /// When the request can no longer be used, in UTC milliseconds.
    pub(super) until_ms: i64,
}

impl Record {
    /// Bytes of one record.
    pub(super) const LENGTH: usize = 32;

    fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (caller, rest) = bytes.split_at_mut(16);
        let (hash, until) = rest.split_at_mut(8);
        caller.copy_from_slice(&self.caller.to_le_bytes());
        hash.copy_from_slice(&self.hash.to_le_bytes());
        until.copy_from_slice(&self.until_ms.to_le_bytes());
        bytes
    }

    /// `None` for reserved room: no request lasts until 1970.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (caller, rest) = bytes.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (until, _) = rest.split_first_chunk()?;
        let until_ms = i64::from_le_bytes(*until);
        (until_ms != 0).then(|| Self {
            caller: u128::from_le_bytes(*caller),
            hash: u64::from_le_bytes(*hash),
            until_ms,
        })
    }
}

/// What the files of earlier runs say.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The key under which nonces were hashed; `None` if there is no file.
    pub(super) key: Option<[u8; 16]>,
    /// Every record found.
    pub(super) records: Vec<Record>,
    /// Nonces that last no longer than this were forgotten on purpose, in UTC milliseconds.
    pub(super) forgotten_until_ms: i64,
    /// Nothing is missing, as far as can be told.
    pub(super) whole: bool,
}

/// The open files.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    boot: [u8; 16],
    current: ArcSwapOption<Segment>,
    closed: Mutex<Closed>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: File,
    opened_s: u32,
    until_max_ms: AtomicI64,
    /// Records written, or being written.
    used: AtomicU64,
    /// `None` where no room could be made: then each record makes the file grow.
    room: Option<Room>,
}

#[derive(Debug, Default)]
struct Closed {
    next_number: u64,
    segments: VecDeque<ClosedSegment>,
    /// Nothing is written any more.
    ended: bool,
}

#[derive(Debug)]
struct ClosedSegment {
    path: PathBuf,
    until_max_ms: i64,
    /// Also keep it until here, in seconds of the monotonic clock.
    keep_s: u32,
}

/// How long one file takes records, in seconds.
const SEGMENT_S: u32 = 300;
const HEADER_LENGTH: usize = 64;
/// A file has room for so many records (4 MiB), and is followed by the next one when half of it is used. Those that come
/// before that is done, and find no room, make the file grow.
pub(super) const ROOM: usize = 128 * 1024;
const MAGIC: [u8; 8] = *b"KWNONCE1";
const CLEAN: &str = "clean";

impl Journal {
    /// Reads what is there. New files are made by [`Journal::tend`].
    ///
    /// # Errors
    /// The folder cannot be made or listed. A file that cannot be read is not an error: the memory is then not whole.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Recovered)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let boot = boot_id();
        let clean = fs::remove_file(folder.join(CLEAN)).is_ok();
        let mut found =
            Recovered { key: None, records: Vec::new(), forgotten_until_ms: i64::MIN, whole: true };
        let mut closed = Closed::default();
        for (number, path) in listed(folder)? {
            let gap = closed.next_number != 0 && number != closed.next_number;
            let until_max_ms = found.take_in(&path, boot, clean);
            found.whole &= !gap && until_max_ms.is_some();
            closed.next_number = number + 1;
            let until_max_ms = until_max_ms.unwrap_or(i64::MIN);
            closed.segments.push_back(ClosedSegment { path, until_max_ms, keep_s: 0 });
        }
        found.whole &= !closed.segments.is_empty();
        let current = ArcSwapOption::empty();
        Ok((Self { folder: folder.to_owned(), boot, current, closed: Mutex::new(closed) }, found))
    }

    /// Writes a record down.
    ///
    /// # Errors
    /// It is not written (no file is open, or the disk is full); later records go to a new file.
    pub(super) fn append(&self, record: Record) -> io::Result<()> {
        let current = self.current.load();
        let Some(segment) = current.as_ref() else {
            return Err(io::Error::other("no journal file is open"));
        };
        // Raised before the record is there: a file never looks shorter-lived than what it holds.
        if record.until_ms > segment.until_max_ms.load(Ordering::Relaxed) {
            segment.until_max_ms.fetch_max(record.until_ms, Ordering::Relaxed);
        }
        let place = segment.used.fetch_add(1, Ordering::Relaxed);
        if segment.room.as_ref().is_some_and(|room| room.store(place, record)) {
            return Ok(());
        }
        segment.file.write_all_at(&record.to_bytes(), offset_of(place)).inspect_err(|_| {
            // The file stays until the next start finds it spent.
            self.current.compare_and_swap(&current, None);
        })
    }

    /// Opens a new file where it is time, and deletes those that hold nothing that could still be used.
    ///
    /// # Errors
    /// No new file could be opened; [`Journal::append`] fails until a later call succeeds.
    pub(super) fn tend(&self, key: &[u8; 16], at: Moment, forgotten_until_ms: i64) -> io::Result<()> {
        let due = match self.current.load().as_deref() {
            Some(segment) => {
                let is_half_used = segment.used.load(Ordering::Relaxed) >= ROOM as u64 / 2;
                is_half_used || at.monotonic_s.saturating_sub(segment.opened_s) >= SEGMENT_S
            }
            None => true,
        };
        let mut closed = self.closed();
        if closed.ended {
            return Ok(());
        }
        if due {
            let fresh = self.fresh(closed.next_number, key, at, forgotten_until_ms)?;
            closed.next_number += 1;
            if let Some(old) = self.current.swap(Some(Arc::new(fresh))) {
                closed.segments.push_back(ClosedSegment::of(&old, at));
                old.file.sync_data()?;
            }
        }
        // Oldest first and none before its elders, so that a missing number always means a loss.
        while closed.segments.front().is_some_and(|segment| segment.is_spent(at) && deleted(&segment.path)) {
            closed.segments.pop_front();
        }
        Ok(())
    }

    /// An orderly stop: everything is forced to the disk, and marked so. Nothing is written after it, and so no nonce
    /// passes that would have to be.
    ///
    /// # Errors
    /// The disk refused; the next start will then treat the memory as after a crash.
    pub(super) fn close(&self) -> io::Result<()> {
        self.closed().ended = true;
        if let Some(segment) = self.current.swap(None) {
            segment.file.sync_all()?;
        }
        File::create(self.folder.join(CLEAN))?.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// The file is gone, as after a write that failed.
    #[cfg(test)]
    pub(super) fn lose_file(&self) {
        self.current.store(None);
    }

    fn fresh(&self, number: u64, key: &[u8; 16], at: Moment, forgotten_until_ms: i64) -> io::Result<Segment> {
        let path = self.folder.join(format!("{number:010}{SUFFIX}"));
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let mut header = Vec::with_capacity(HEADER_LENGTH);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(key);
        header.extend_from_slice(&self.boot);
        header.extend_from_slice(&at.wall_ms.to_le_bytes());
        header.extend_from_slice(&forgotten_until_ms.to_le_bytes());
        header.extend_from_slice(&number.to_le_bytes());
        if let Err(error) = file.write_all(&header) {
            // A file without a header would make the next start believe that something was lost.
            deleted(&path);
            return Err(error);
        }
        let room = Room::make(&file, HEADER_LENGTH, ROOM);
        let room =
            room.inspect_err(|error| tracing::debug!(%error, "there is no room in a replay file")).ok();
        let (until_max_ms, used) = (AtomicI64::new(i64::MIN), AtomicU64::new(0));
        Ok(Segment { path, file, opened_s: at.monotonic_s, until_max_ms, used, room })
    }

    fn closed(&self) -> MutexGuard<'_, Closed> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a record stands, in bytes.
const fn offset_of(place: u64) -> u64 {
    HEADER_LENGTH as u64 + place * Record::LENGTH as u64
}

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// UTC milliseconds.
    pub(super) wall_ms: i64,
    /// Seconds of the monotonic clock.
    pub(super) monotonic_s: u32,
}

impl ClosedSegment {
    fn of(segment: &Segment, at: Moment) -> Self {
        let until_max_ms = segment.until_max_ms.load(Ordering::Relaxed);
        let left_s = until_max_ms.saturating_sub(at.wall_ms).max(0) / 1000 + 1;
        let keep_s = at.monotonic_s.saturating_add(u32::try_from(left_s).unwrap_or(u32::MAX));
        Self { path: segment.path.clone(), until_max_ms, keep_s }
    }

    fn is_spent(&self, at: Moment) -> bool {
        self.until_max_ms <= at.wall_ms && self.keep_s <= at.monotonic_s
    }
}

impl Recovered {
    /// Takes in one file; `None` if it cannot be believed whole.
    fn take_in(&mut self, path: &Path, boot: [u8; 16], clean: bool) -> Option<i64> {
        let mut bytes = Vec::new();
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).ok()?;
        let (header, records) = bytes.split_at_checked(HEADER_LENGTH)?;
        let header = Header::read(header)?;
        // The newest key counts: nonces hashed under another cannot be recognised.
        let same_key = self.key.replace(header.key).is_none_or(|key| key == header.key);
        if !same_key {
            self.records.clear();
        }
        self.forgotten_until_ms = self.forgotten_until_ms.max(header.forgotten_until_ms);
        let before = self.records.len();
        self.records.extend(records.chunks_exact(Record::LENGTH).filter_map(Record::from_bytes));
        let until_max = self.records.iter().skip(before).map(|record| record.until_ms).max();
        let kept_by_kernel = header.boot == boot && boot != [0; 16];
        let whole = same_key && (clean || kept_by_kernel) && records.len().is_multiple_of(Record::LENGTH);
        whole.then_some(until_max.unwrap_or(i64::MIN))
    }
}

struct Header {
    key: [u8; 16],
    boot: [u8; 16],
    forgotten_until_ms: i64,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (key, rest) = rest.split_first_chunk()?;
        let (boot, rest) = rest.split_first_chunk()?;
        let (_created, rest) = rest.split_first_chunk::<8>()?;
        let (forgotten, _number) = rest.split_first_chunk()?;
        Some(Self { key: *key, boot: *boot, forgotten_until_ms: i64::from_le_bytes(*forgotten) })
    }
}

const SUFFIX: &str = ".nonces";

/// The files, oldest first.
fn listed(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(number) = number.and_then(|digits| digits.parse::<u64>().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn deleted(path: &Path) -> bool {
    match fs::remove_file(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a spent replay file cannot be deleted");
            false
        }
    }
}

/// Which start of the machine this is; zeros where it does not say.
fn boot_id() -> [u8; 16] {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| uuid::Uuid::try_parse(text.trim()).ok())
        .map_or([0; 16], uuid::Uuid::into_bytes)
}
