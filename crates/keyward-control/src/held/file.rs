//! Values in files: looked at again and again, and believed once they stand still.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyward_model::Plaintext;
use zeroize::Zeroizing;

use super::VALUE_MAX;

/// For how long the last good value holds while a file is empty or still being written.
const WRITING: Duration = Duration::from_secs(5);
/// How often a file is read again after it was believed: two changes within one tick of the file system's clock look the same.
const READ_AGAIN: u8 = 2;
/// Opens without waiting for whoever should write to a pipe. (`O_NONBLOCK`.)
const NO_WAITING: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Which files may hold values.
#[derive(Clone, Debug, Default)]
pub struct HeldRules {
    /// Folders that files must be in; none: anywhere that is not forbidden.
    pub folders: Vec<PathBuf>,
    /// Files and folders of the node's own.
    pub forbidden: Vec<PathBuf>,
}

/// Where the system shows processes and devices as if they were files.
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

impl HeldRules {
    /// May this file hold a value? It is its real path.
    fn check(&self, path: &Path) -> Result<(), String> {
        let within = |folder: &Path| path.starts_with(folder.canonicalize().as_deref().unwrap_or(folder));
        if SYSTEM.iter().any(|folder| within(Path::new(folder)))
            || self.forbidden.iter().any(|own| within(own))
        {
            return Err("it is none that may hold a value".to_owned());
        }
        match self.folders.is_empty() || self.folders.iter().any(|folder| within(folder)) {
            true => Ok(()),
            false => Err("it is in no folder that this node was allowed by --held-files".to_owned()),
        }
    }
}

/// A file that is watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What it looked like when it was believed.
    believed: Option<Stamp>,
    /// What it looked like last.
    seen: Option<Stamp>,
    /// Since when it has not stood still, or was empty.
    unsteady: Option<Instant>,
    read_again: u8,
}

/// By what it is seen that a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

enum Found {
    /// As it was when it was believed.
    Same,
    Value(Stamp, Plaintext),
    /// What a file looks like that is being written.
    Half(String),
    Wrong(String),
}

impl Watched {
    /// Looks at the file; `None` where what was found before still holds.
    pub(super) fn look(
        &mut self,
        path: &str,
        rules: &HeldRules,
        now: Instant,
    ) -> Option<Result<Plaintext, String>> {
        let known = self.believed.filter(|_| self.read_again == 0);
        self.read_again = self.read_again.saturating_sub(1);
        match find(Path::new(path), rules, known.as_ref()) {
            Ok(Found::Same) => {
                self.unsteady = None;
                None
            }
            Ok(Found::Value(stamp, value)) => {
                let steady = self.believed == Some(stamp) || self.seen.replace(stamp) == Some(stamp);
                if self.believed.is_some() && !steady && !self.is_overdue(now) {
                    return None;
                }
                if self.believed != Some(stamp) {
                    *self = Self { believed: Some(stamp), read_again: READ_AGAIN, ..Self::default() };
                }
                Some(Ok(value))
            }
            Ok(Found::Half(_)) if self.believed.is_some() && !self.is_overdue(now) => None,
            Ok(Found::Half(why) | Found::Wrong(why)) | Err(why) => {
                *self = Self::default();
                Some(Err(why))
            }
        }
    }

    fn is_overdue(&mut self, now: Instant) -> bool {
        let since = *self.unsteady.get_or_insert(now);
        now.saturating_duration_since(since) >= WRITING
    }
}

fn find(path: &Path, rules: &HeldRules, known: Option<&Stamp>) -> Result<Found, String> {
    if !path.is_absolute() {
        return Ok(Found::Wrong("its path does not begin with `/`".to_owned()));
    }
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "it may not be read by the node".to_owned(),
        _ => format!("it cannot be read: {error}"),
    };
    let opened = File::options().read(true).custom_flags(NO_WAITING).open(path);
    let mut file = opened.map_err(wrong)?;
    let about = file.metadata().map_err(wrong)?;
    if !about.is_file() {
        return Ok(Found::Wrong("it is no file that has content".to_owned()));
    }
    let stamp = Stamp {
        file: (about.dev(), about.ino()),
        size: about.size(),
        modified: (about.mtime(), about.mtime_nsec()),
        changed: (about.ctime(), about.ctime_nsec()),
    };
    // What was opened counts, whatever the path leads to by now.
    let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    rules.check(&real.or_else(|_| path.canonicalize()).map_err(wrong)?)?;
    if known == Some(&stamp) {
        return Ok(Found::Same);
    }
    // One byte more than there may be, and one for the line break's two.
    let mut content = Zeroizing::new(Vec::with_capacity(VALUE_MAX + 3));
    let longest = u64::try_from(VALUE_MAX + 3).unwrap_or(u64::MAX);
    file.by_ref().take(longest).read_to_end(&mut content).map_err(wrong)?;
    Ok(read(stamp, &content))
}

fn read(stamp: Stamp, content: &[u8]) -> Found {
    let value = content.strip_suffix(b"\n").unwrap_or(content);
    let value = value.strip_suffix(b"\r").filter(|_| value.len() < content.len()).unwrap_or(value);
    if value.len() > VALUE_MAX {
        return Found::Wrong(format!("it has more than {VALUE_MAX} bytes"));
    }
    match std::str::from_utf8(value) {
        Ok("") => Found::Half("it is empty".to_owned()),
        Ok(value) => Found::Value(stamp, Plaintext::new(value)),
        Err(_) => Found::Half("it is not UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A file that is looked at twice, as what changes is.
    struct Desk {
        folder: tempfile::TempDir,
        rules: HeldRules,
        watched: Watched,
        now: Instant,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { folder, rules: HeldRules::default(), watched: Watched::default(), now: Instant::now() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) {
            fs::write(self.path(name), content).unwrap();
        }

        fn once(&mut self, name: &str) -> Option<Result<String, String>> {
            let path = self.path(name);
            let found = self.watched.look(path.to_str().unwrap(), &self.rules, self.now)?;
            Some(found.map(|value| value.expose_secret().to_owned()))
        }

        /// What two looks come to, the later counting.
        fn look(&mut self, name: &str) -> Option<Result<String, String>> {
            let first = self.once(name);
            self.once(name).or(first)
        }
    }

    fn value(text: &str) -> Option<Result<String, String>> {
        Some(Ok(text.to_owned()))
    }

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_the_value() {
        for (content, expected) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), (" a b \n", " a b ")]
        {
            let mut desk = Desk::new();
            desk.write("f", content);
            assert_eq!(desk.look("f"), value(expected), "{content:?}");
        }
    }

    #[test]
    fn what_is_no_value_is_said_without_showing_it() {
        let mut desk = Desk::new();
        let why = |found: Option<Result<String, String>>| found.unwrap().unwrap_err();
        assert_eq!(why(desk.look("nothing")), "there is no such file");
        desk.write("empty", "\n");
        assert_eq!(why(desk.look("empty")), "it is empty");
        desk.write("binary", b"canary\xff");
        assert_eq!(why(desk.look("binary")), "it is not UTF-8");
        desk.write("long", "x".repeat(VALUE_MAX + 1));
        assert!(why(desk.look("long")).contains("more than"));
        desk.write("longest", "x".repeat(VALUE_MAX) + "\r\n");
        assert!(desk.look("longest").unwrap().is_ok());
        fs::create_dir(desk.path("folder")).unwrap();
        assert_eq!(why(desk.look("folder")), "it is no file that has content");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            desk.path("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(why(desk.look("pipe")), "it is no file that has content");
        let relative = desk.watched.look("relative", &desk.rules, desk.now);
        assert!(relative.unwrap().unwrap_err().contains("begin with"));
    }

    #[test]
    fn a_change_is_believed_once_it_stands_still_and_a_symlink_swap_is_one() {
        let mut desk = Desk::new();
        fs::create_dir_all(desk.path("one")).unwrap();
        fs::create_dir_all(desk.path("two")).unwrap();
        desk.write("one/key", "first");
        desk.write("two/key", "other");
        symlink(desk.path("one"), desk.path("..data")).unwrap();
        symlink("..data/key", desk.path("key")).unwrap();
        assert_eq!(desk.look("key"), value("first"));
        symlink(desk.path("two"), desk.path("..new")).unwrap();
        fs::rename(desk.path("..new"), desk.path("..data")).unwrap();
        assert_eq!(desk.once("key"), None, "it may still be written");
        assert_eq!(desk.once("key"), value("other"));
        for _ in 0..READ_AGAIN {
            desk.once("key");
        }
        assert_eq!(desk.once("key"), None, "it was told");
        fs::remove_file(desk.path("two/key")).unwrap();
        assert!(desk.once("key").unwrap().is_err(), "a file that is gone is gone at once");
        desk.write("two/key", "back");
        assert_eq!(desk.once("key"), value("back"), "there is no last good value to keep");
    }

    #[test]
    fn an_empty_file_keeps_the_last_good_value_for_a_while() {
        let mut desk = Desk::new();
        desk.write("f", "good");
        assert_eq!(desk.look("f"), value("good"));
        desk.write("f", "");
        assert_eq!(desk.look("f"), None);
        desk.now += WRITING - Duration::from_millis(1);
        assert_eq!(desk.look("f"), None);
        desk.now += Duration::from_millis(1);
        assert!(desk.look("f").unwrap().is_err());
        desk.write("f", "again");
        assert_eq!(desk.look("f"), value("again"));
        // One that never stands still is believed in the end.
        desk.write("f", "1");
        assert_eq!(desk.once("f"), None);
        desk.now += WRITING;
        desk.write("f", "22");
        assert_eq!(desk.once("f"), value("22"));
    }

    #[test]
    fn files_of_the_node_and_of_the_system_hold_no_values() {
        let mut desk = Desk::new();
        desk.write("master.key", "canary");
        symlink(desk.path("master.key"), desk.path("link")).unwrap();
        desk.rules.forbidden = vec![desk.path("master.key")];
        for name in ["master.key", "link"] {
            assert!(desk.look(name).unwrap().unwrap_err().contains("none that may"), "{name}");
        }
        let environ = desk.watched.look("/proc/self/environ", &desk.rules, desk.now);
        assert!(environ.unwrap().is_err());
        fs::create_dir(desk.path("allowed")).unwrap();
        desk.write("allowed/f", "value");
        desk.write("f", "value");
        symlink(desk.path("f"), desk.path("allowed/link")).unwrap();
        desk.rules = HeldRules { folders: vec![desk.path("allowed")], forbidden: Vec::new() };
        assert_eq!(desk.look("allowed/f"), value("value"));
        for name in ["f", "allowed/link"] {
            assert!(desk.look(name).unwrap().unwrap_err().contains("--held-files"), "{name}");
        }
    }
}
