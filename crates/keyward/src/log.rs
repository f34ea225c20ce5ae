//! The node's own log: lines to standard error, by a thread of its own.
//!
//! Whoever has something to say never waits for whoever reads it. Where a reader takes nothing, some thousand lines are kept, and what
//! comes after is lost and counted; a later line says how many.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Most lines that wait to be written.
const LINES: usize = 4_096;

/// The longest that the end of the process waits for the last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often a full queue is tried within that time.
const TRIES: u32 = 20;

/// Where lines are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    queue: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Everything before this has been written once the other end closes.
    Flushed(SyncSender<()>),
}

impl Log {
    /// Begins to write what is handed in.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, waiting) = mpsc::sync_channel(LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        std::thread::Builder::new().name("log".into()).spawn(move || run(sink, &waiting, &counted))?;
        Ok(Self { queue, lost })
    }

    /// Waits until everything is written, for a second at most.
    pub(crate) fn flush(&self) {
        let (flushed, wait) = mpsc::sync_channel(1);
        let mut entry = Entry::Flushed(flushed);
        for _ in 0..TRIES {
            match self.queue.try_send(entry) {
                Ok(()) => {
                    // Closed or too late: there is nobody to tell.
                    let _ = wait.recv_timeout(LAST_WORDS);
                    return;
                }
                Err(TrySendError::Full(full)) => {
                    entry = full;
                    std::thread::park_timeout(LAST_WORDS / TRIES);
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

fn run(mut sink: impl Write, waiting: &Receiver<Entry>, lost: &AtomicU64) {
    while let Ok(entry) = waiting.recv() {
        let line = match entry {
            Entry::Line(line) => line,
            Entry::Flushed(flushed) => {
                drop(flushed);
                continue;
            }
        };
        // A standard error that is closed takes nothing, and there is nowhere to say so.
        let _ = sink.write_all(&line);
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(sink, "{missing} lines of this log are missing: its reader was too slow");
        }
    }
}

/// Hands in one line.
#[derive(Debug)]
pub(crate) struct Line<'l>(&'l Log);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Log {
    type Writer = Line<'l>;

    fn make_writer(&'l self) -> Line<'l> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes a line when the test says so, and keeps it.
    struct Slow(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_speaks_does_not_wait_and_what_is_lost_is_counted() {
        let (go_on, wait) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = Log::start(Slow(wait, Arc::clone(&written))).unwrap();
        let said = LINES + 100;
        for number in 0..said {
            log.make_writer().write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        let lost = log.lost.load(Ordering::Relaxed);
        assert!(lost >= 99, "{lost}");
        drop(go_on);
        log.flush();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("line ")).count() as u64;
        assert_eq!(lines + lost, said as u64, "every line was written or counted");
        assert!(text.contains(&format!("{lost} lines of this log are missing")), "{text}");
    }
}
