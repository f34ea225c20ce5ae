//! The replay memory as its promises go: once only, across threads, restarts and clocks; bounded; failing closed.

use std::sync::atomic::AtomicI64;

use keyward_model::CallerKind;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

const START_MS: i64 = 1_763_719_200_000;
const WINDOW_MS: i64 = 900_000;

/// Two clocks that the test turns, together or each by itself.
#[derive(Debug)]
struct Hands {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl Hands {
    fn new() -> Arc<Self> {
        Arc::new(Self { wall_ms: AtomicI64::new(START_MS), monotonic_ms: AtomicU64::new(5_000) })
    }

    fn pass(&self, ms: i64) {
        self.jump(ms);
        self.monotonic_ms.fetch_add(ms.unsigned_abs(), Ordering::SeqCst);
    }

    fn jump(&self, ms: i64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::SeqCst)
    }
}

struct Desk {
    folder: TempDir,
    hands: Arc<Hands>,
    memory: Arc<ReplayMemory>,
    options: ReplayOptions,
}

impl Desk {
    fn new() -> Self {
        Self::with(ReplayOptions::default())
    }

    fn with(options: ReplayOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hands = Hands::new();
        let memory = ReplayMemory::open(folder.path(), options, History::None, hands.clone()).unwrap();
        Self { folder, hands, memory, options }
    }

    /// As after kill -9: nothing of the old one is closed, and another opens the folder.
    fn restart(&mut self) {
        self.memory =
            ReplayMemory::open(self.folder.path(), self.options, History::Expected, self.hands.clone())
                .unwrap();
    }

    fn offer(&self, nonce: &NonceUse) -> Remembered {
        self.memory.remember(nonce, self.hands.now())
    }

    /// A nonce of a request signed now, plus this.
    fn nonce(&self, caller: u128, nonce: &str, ahead_ms: i64) -> NonceUse {
        let timestamp = self.hands.now().plus_millis(ahead_ms);
        NonceUse {
            caller: CallerId::from_uuid(CallerKind::Application, Uuid::from_u128(caller)),
            nonce: nonce.into(),
            until: timestamp.plus_millis(WINDOW_MS),
            timestamp: Some(timestamp),
            required: true,
        }
    }

    fn sweep_everything(&self) {
        (0..SWEEP_S).for_each(|_| self.memory.tend().unwrap());
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }
}

#[test]
fn a_nonce_passes_once_per_application() {
    let desk = Desk::new();
    let first = desk.nonce(1, "nonce-0123456789", 0);
    assert_eq!(desk.offer(&first), Remembered::Fresh);
    assert_eq!(desk.offer(&first), Remembered::Replayed);
    assert_eq!(desk.offer(&desk.nonce(1, "nonce-0123456789", 5)), Remembered::Replayed, "signed anew");
    assert_eq!(desk.offer(&desk.nonce(2, "nonce-0123456789", 0)), Remembered::Fresh, "another's");
    assert_eq!(desk.offer(&desk.nonce(1, "nonce-0123456788", 0)), Remembered::Fresh);
    assert_eq!(desk.memory.len(), 3);
}

#[test]
fn of_a_thousand_copies_at_once_exactly_one_passes() {
    let desk = Desk::new();
    for round in 0..20 {
        let nonce = desk.nonce(1, &format!("nonce-of-round-{round}"), 0);
        let gate = std::sync::Barrier::new(8);
        let fresh: usize = std::thread::scope(|scope| {
            let copies = || {
                gate.wait();
                (0..125).filter(|_| desk.offer(&nonce) == Remembered::Fresh).count()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(copies)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(fresh, 1);
    }
}

#[test]
fn a_nonce_is_remembered_for_as_long_as_its_timestamp_holds() {
    let desk = Desk::new();
    let ahead = desk.nonce(1, "nonce-0123456789", WINDOW_MS);
    assert_eq!(desk.offer(&ahead), Remembered::Fresh);
    for _ in 0..2 * WINDOW_MS / 60_000 {
        desk.sweep_everything();
        assert_eq!(desk.offer(&ahead), Remembered::Replayed);
        desk.hands.pass(60_000);
    }
    desk.hands.pass(60_000);
    desk.sweep_everything();
    assert!(desk.memory.is_empty(), "what is spent is forgotten");
}

#[test]
fn nothing_is_forgotten_by_a_killed_process() {
    let mut desk = Desk::new();
    let nonces: Vec<_> = (0..1000).map(|n| desk.nonce(n % 7, &format!("nonce-{n:010}"), 0)).collect();
    assert!(nonces.iter().all(|nonce| desk.offer(nonce) == Remembered::Fresh));
    for _ in 0..3 {
        desk.hands.pass(60_000);
        desk.restart();
        assert_eq!(desk.memory.lost_before(), None);
        assert_eq!(desk.memory.len(), 1000);
        assert!(nonces.iter().all(|nonce| desk.offer(nonce) == Remembered::Replayed));
    }
    assert_eq!(desk.offer(&desk.nonce(1, "nonce-after-start", -30_000)), Remembered::Fresh);
}

#[test]
fn limits_hold_across_a_restart() {
    let mut desk = Desk::with(ReplayOptions { capacity: 100, per_application: 3 });
    for n in 0..3 {
        assert_eq!(desk.offer(&desk.nonce(1, &format!("nonce-{n:010}"), 0)), Remembered::Fresh);
    }
    desk.restart();
    let more = desk.nonce(1, "nonce-one-too-many", 0);
    assert_eq!(desk.offer(&more), Remembered::Unavailable(Unavailable::ApplicationFull));
}

#[test]
fn where_the_memory_was_lost_older_timestamps_are_refused() {
    type Loss = fn(&Desk);
    let losses: [(&str, Loss); 4] = [
        ("deleted", |desk| desk.files().iter().for_each(|path| std::fs::remove_file(path).unwrap())),
        ("cut off", |desk| {
            let file = std::fs::OpenOptions::new().write(true).open(&desk.files()[0]).unwrap();
            file.set_len(70).unwrap();
        }),
        ("another boot", |desk| patch(&desk.files()[0], 24, 0x5a)),
        ("not ours", |desk| patch(&desk.files()[0], 0, b'x')),
    ];
    for (what, lose) in losses {
        let mut desk = Desk::new();
        let used = desk.nonce(1, "nonce-0123456789", 0);
        assert_eq!(desk.offer(&used), Remembered::Fresh);
        lose(&desk);
        desk.hands.pass(10);
        desk.restart();
        assert!(desk.memory.lost_before().is_some(), "{what}");
        assert_eq!(desk.offer(&used), Remembered::Unavailable(Unavailable::Lost), "{what}");
        let optional = NonceUse { required: false, ..used };
        assert_eq!(desk.offer(&optional), Remembered::Unheeded, "{what}: it is not required");
        assert_eq!(desk.offer(&desk.nonce(1, "nonce-of-later-on", 0)), Remembered::Fresh, "{what}");
    }
}

#[test]
fn an_orderly_stop_keeps_the_memory_across_a_boot() {
    let mut desk = Desk::new();
    let used = desk.nonce(1, "nonce-0123456789", 0);
    assert_eq!(desk.offer(&used), Remembered::Fresh);
    desk.memory.close().unwrap();
    let file = desk.files().into_iter().find(|path| path.extension().is_some()).unwrap();
    patch(&file, 24, 0x5a);
    desk.hands.pass(10);
    desk.restart();
    assert_eq!(desk.memory.lost_before(), None);
    assert_eq!(desk.offer(&used), Remembered::Replayed);
}

#[test]
fn a_new_data_folder_has_lost_nothing() {
    let desk = Desk::new();
    assert_eq!(desk.memory.lost_before(), None);
    assert_eq!(desk.offer(&desk.nonce(1, "nonce-0123456789", -60_000)), Remembered::Fresh);
}

#[test]
fn a_full_memory_refuses_and_forgets_nothing() {
    let desk = Desk::with(ReplayOptions { capacity: 10, per_application: 6 });
    let nonces: Vec<_> = (0..6).map(|n| desk.nonce(1, &format!("nonce-{n:010}"), 0)).collect();
    assert!(nonces.iter().all(|nonce| desk.offer(nonce) == Remembered::Fresh));
    let seventh = desk.nonce(1, "nonce-number-seven", 0);
    assert_eq!(desk.offer(&seventh), Remembered::Unavailable(Unavailable::ApplicationFull));
    let others: Vec<_> = (0..4).map(|n| desk.nonce(2, &format!("nonce-{n:010}"), 0)).collect();
    assert!(others.iter().all(|nonce| desk.offer(nonce) == Remembered::Fresh), "one closed it for another");
    let third = desk.nonce(3, "nonce-of-the-third", 0);
    assert_eq!(desk.offer(&third), Remembered::Unavailable(Unavailable::Full));
    assert!(nonces.iter().chain(&others).all(|nonce| desk.offer(nonce) == Remembered::Replayed));
    desk.hands.pass(3 * WINDOW_MS);
    assert_eq!(desk.offer(&desk.nonce(1, "nonce-much-later-1", 0)), Remembered::Fresh, "room comes back");
    assert_eq!(desk.offer(&desk.nonce(3, "nonce-much-later-3", 0)), Remembered::Fresh);
}

#[test]
fn a_clock_that_jumps_ahead_and_back_forgets_nothing() {
    let desk = Desk::new();
    let used = desk.nonce(1, "nonce-0123456789", 0);
    assert_eq!(desk.offer(&used), Remembered::Fresh);
    desk.hands.jump(3_600_000);
    desk.sweep_everything();
    desk.hands.jump(-3_600_000);
    desk.sweep_everything();
    assert_eq!(desk.offer(&used), Remembered::Replayed);
    assert_eq!(
        desk.offer(&desk.nonce(1, "nonce-0123456788", 0)),
        Remembered::Fresh,
        "and valid callers pass"
    );
}

#[test]
fn what_was_forgotten_in_time_is_not_believed_when_the_clock_goes_back() {
    let mut desk = Desk::new();
    let used = desk.nonce(1, "nonce-0123456789", 0);
    assert_eq!(desk.offer(&used), Remembered::Fresh);
    desk.hands.pass(2 * WINDOW_MS);
    desk.sweep_everything();
    assert!(desk.memory.is_empty());
    desk.hands.jump(-2 * WINDOW_MS);
    assert_eq!(desk.offer(&used), Remembered::Unavailable(Unavailable::Lost));
    desk.restart();
    assert_ne!(desk.offer(&used), Remembered::Fresh, "after a restart neither");
}

#[test]
fn files_are_rotated_and_spent_ones_deleted() {
    let desk = Desk::new();
    for n in 0..12 {
        assert_eq!(desk.offer(&desk.nonce(1, &format!("nonce-{n:010}"), 0)), Remembered::Fresh);
        desk.hands.pass(301_000);
        desk.memory.tend().unwrap();
        assert!(desk.files().len() <= 6, "{:?}", desk.files());
    }
    assert!(!desk.files()[0].ends_with("0000000000.nonces"));
}

#[test]
fn a_file_that_cannot_be_written_closes_the_door_until_another_can() {
    let desk = Desk::new();
    let aside = desk.folder.path().with_extension("aside");
    desk.memory.journal.lose_file();
    let closed = desk.nonce(1, "nonce-while-closed", 0);
    assert_eq!(desk.offer(&closed), Remembered::Unavailable(Unavailable::Unwritable));
    let optional = NonceUse { required: false, ..desk.nonce(1, "nonce-not-required", 0) };
    assert_eq!(desk.offer(&optional), Remembered::Unheeded);
    std::fs::rename(desk.folder.path(), &aside).unwrap();
    assert!(desk.memory.tend().is_err());
    std::fs::rename(&aside, desk.folder.path()).unwrap();
    desk.memory.tend().unwrap();
    assert_eq!(desk.offer(&desk.nonce(1, "nonce-after-repair", 0)), Remembered::Fresh);
}

#[test]
fn what_was_closed_in_order_stays_closed() {
    let desk = Desk::new();
    desk.memory.close().unwrap();
    let files = desk.files();
    desk.memory.tend().unwrap();
    assert_eq!(desk.files(), files, "tending opened it again");
    let late = desk.nonce(1, "nonce-after-the-end", 0);
    assert_eq!(desk.offer(&late), Remembered::Unavailable(Unavailable::Unwritable));
}

fn patch(path: &Path, at: u64, byte: u8) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[byte], at).unwrap();
}

#[test]
fn what_finds_no_room_in_the_file_is_written_behind_it() {
    let mut desk = Desk::new();
    let count = super::journal::ROOM + 1000;
    let nonces: Vec<_> = (0..count).map(|n| desk.nonce(1, &format!("nonce-{n:012}"), 0)).collect();
    assert!(nonces.iter().all(|nonce| desk.offer(nonce) == Remembered::Fresh));
    desk.restart();
    assert_eq!((desk.memory.lost_before(), desk.memory.len()), (None, count));
    assert!(nonces.iter().all(|nonce| desk.offer(nonce) == Remembered::Replayed));
}
