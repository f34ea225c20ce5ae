//! Where access records go: each core fills a lane of its own, and one thread empties all lanes ten times a second.
//!
//! A core never waits for the disk. A lane that is full loses records, and counts them. Nor does the end of the process wait for
//! a reader that takes nothing: what is not written within [`LAST_WORDS`] is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

/// The access log. Cheap to clone; the last one dropped, or [`AccessLog::close`], writes what is left.
#[derive(Clone, Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
}

/// One core's end of the log.
#[derive(Debug)]
pub struct Lane {
    buffer: Mutex<Vec<u8>>,
    writer: Thread,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    lanes: Mutex<Vec<Arc<Lane>>>,
    ending: AtomicBool,
    reopening: AtomicBool,
    written: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    thread: Thread,
    /// Closes when the thread ends.
    ended: Mutex<Option<Receiver<()>>>,
}

/// The longest that a record stays in memory.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that the end waits for what is left to be written.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// A lane asks to be emptied from here on, in bytes.
const ASK_BYTES: usize = 256 * 1024;
/// A lane takes no more than this, in bytes.
const FULL_BYTES: usize = 8 * 1024 * 1024;

/// Where the lines go.
enum Sink {
    File { path: PathBuf, file: File },
    Stream(Box<dyn Write + Send>),
}

impl AccessLog {
    /// Appends to a file, which is made (mode 0640) if it is not there.
    ///
    /// # Errors
    /// The file cannot be opened, or the system gives no thread.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        Self::start(Sink::File { path: path.to_owned(), file })
    }

    /// Writes to a stream.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn to_stream(stream: impl Write + Send + 'static) -> io::Result<Self> {
        Self::start(Sink::Stream(Box::new(stream)))
    }

    /// A new lane, for one core.
    pub fn lane(&self) -> Arc<Lane> {
        let lane = Arc::new(Lane {
            buffer: Mutex::default(),
            writer: self.writer.thread.clone(),
            lost: AtomicU64::new(0),
        });
        locked(&self.shared.lanes).push(Arc::clone(&lane));
        lane
    }

    /// Opens the file anew before the next write, for a log that was moved away.
    pub fn reopen(&self) {
        self.shared.reopening.store(true, Ordering::Release);
        self.writer.thread.unpark();
    }

    /// Records that were lost, because the disk was slower than the requests or refused.
    pub fn lost(&self) -> u64 {
        let lanes = locked(&self.shared.lanes);
        let in_lanes: u64 = lanes.iter().map(|lane| lane.lost.load(Ordering::Relaxed)).sum();
        self.shared.lost.load(Ordering::Relaxed) + in_lanes
    }

    /// Bytes written.
    pub fn written_bytes(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Writes what is left and ends the thread. Records that come later are lost.
    pub fn close(&self) {
        self.writer.end();
    }

    fn start(mut sink: Sink) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            lanes: Mutex::default(),
            ending: AtomicBool::new(false),
            reopening: AtomicBool::new(false),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let within = Arc::clone(&shared);
        let (ending, ended) = mpsc::channel();
        let run = move || {
            within.run(&mut sink);
            drop(ending);
        };
        let thread = thread::Builder::new().name("access-log".into()).spawn(run)?.thread().clone();
        let writer = Writer { shared: Arc::clone(&shared), thread, ended: Mutex::new(Some(ended)) };
        Ok(Self { shared, writer: Arc::new(writer) })
    }
}

impl Lane {
    /// Takes over one record. Never waits: the lock is taken by this core, and ten times a second by the writer for
    /// as long as two pointers need to be swapped.
    pub(crate) fn push(&self, record: &[u8]) {
        let mut buffer = locked(&self.buffer);
        let before = buffer.len();
        if before + record.len() > FULL_BYTES {
            // Only this core writes the count.
            self.lost.store(self.lost.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            return;
        }
        buffer.extend_from_slice(record);
        let asks = before < ASK_BYTES && buffer.len() >= ASK_BYTES;
        drop(buffer);
        if asks {
            self.writer.unpark();
        }
    }
}

impl Shared {
    fn run(&self, sink: &mut Sink) {
        let mut spare = Vec::with_capacity(ASK_BYTES * 2);
        loop {
            let ending = self.ending.load(Ordering::Acquire);
            if self.reopening.swap(false, Ordering::AcqRel) {
                sink.reopen();
            }
            self.empty_lanes(sink, &mut spare);
            if ending {
                return;
            }
            thread::park_timeout(PAUSE);
        }
    }

    fn empty_lanes(&self, sink: &mut Sink, spare: &mut Vec<u8>) {
        let lanes = locked(&self.lanes).clone();
        for lane in &lanes {
            std::mem::swap(&mut *locked(&lane.buffer), spare);
            if !spare.is_empty() {
                self.write(sink, spare);
                spare.clear();
            }
        }
        drop(lanes);
        // A lane whose core is gone (nobody else holds it) goes once it is empty; its losses are kept.
        locked(&self.lanes).retain(|lane| {
            let needed = Arc::strong_count(lane) > 1 || !locked(&lane.buffer).is_empty();
            if !needed {
                self.lost.fetch_add(lane.lost.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            needed
        });
    }

    fn write(&self, sink: &mut Sink, records: &[u8]) {
        match sink.write(records) {
            Ok(()) => {
                self.written.fetch_add(records.len() as u64, Ordering::Relaxed);
            }
            Err(error) => {
                let lost = records.iter().filter(|&&byte| byte == b'\n').count();
                self.lost.fetch_add(lost as u64, Ordering::Relaxed);
                tracing::error!(%error, lost, "the access log cannot be written");
            }
        }
    }
}

impl Writer {
    fn end(&self) {
        self.shared.ending.store(true, Ordering::Release);
        self.thread.unpark();
        let Some(ended) = locked(&self.ended).take() else { return };
        if ended.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("nobody takes the last access records: they are lost");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.write_all(bytes),
            Self::Stream(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// A file that cannot be opened anew leaves the old one in use: better a moved log than none.
    fn reopen(&mut self) {
        if let Self::File { path, file } = self {
            match open(path) {
                Ok(fresh) => *file = fresh,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "the access log cannot be opened anew");
                }
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_of_every_lane_arrives_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::to_file(&path).unwrap();
        let cores: Vec<_> = (0..4)
            .map(|core| {
                let lane = log.lane();
                thread::spawn(move || (0..5000).for_each(|n| lane.push(format!("{core} {n}\n").as_bytes())))
            })
            .collect();
        cores.into_iter().for_each(|core| core.join().unwrap());
        log.close();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: std::collections::BTreeSet<&str> = text.lines().collect();
        assert_eq!((text.lines().count(), lines.len()), (20_000, 20_000));
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn a_log_that_was_moved_away_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::to_file(&path).unwrap();
        let lane = log.lane();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        log.reopen();
        lane.push(b"after\n");
        log.close();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Ends when the test lets go of the other end.
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let log = AccessLog::to_stream(Stuck(wait)).unwrap();
        let lane = log.lane();
        let record = vec![b'x'; 1024 * 1024];
        for _ in 0..40 {
            lane.push(&record);
        }
        assert!(log.lost() >= 40 - 2 * 8, "{}", log.lost());
        drop(release);
        log.close();
    }

    #[test]
    fn a_refusing_disk_is_counted_by_records() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let log = AccessLog::to_stream(Full).unwrap();
        let lane = log.lane();
        lane.push(b"a\nb\n");
        log.close();
        assert_eq!(log.lost(), 2);
    }
}
