//! Starts that did not come to their end, counted so that a node does not fail for ever at what it cannot load.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// After so many failed starts in a row a node starts from its local copy.
pub(crate) const PATIENCE: u64 = 3;

/// Counts starts of a data folder: a byte in a file for each that has not loaded its store.
#[derive(Debug)]
pub(crate) struct Starts(PathBuf);

impl Starts {
    pub(crate) fn at(data_dir: &Path) -> Self {
        Self(data_dir.join("failed-starts"))
    }

    /// How many starts have failed since the last one that did not.
    pub(crate) fn failed(&self) -> u64 {
        fs::metadata(&self.0).map_or(0, |file| file.len())
    }

    /// This start counts as failed until [`Starts::succeeded`], also if the process is killed.
    pub(crate) fn begin(&self) {
        let mut new = OpenOptions::new();
        let counted =
            new.append(true).create(true).mode(0o600).open(&self.0).and_then(|mut file| file.write_all(b"."));
        if let Err(error) = counted {
            tracing::warn!(%error, "this start is not counted, should it fail");
        }
    }

    /// The store was loaded.
    pub(crate) fn succeeded(&self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "failed starts could not be forgotten");
        }
    }

    /// The start begun last does not count: it was refused for a reason that loading does not get to.
    pub(crate) fn refused(&self) {
        self.set(self.failed().saturating_sub(1));
    }

    /// The next start tries to load the store again, once.
    pub(crate) fn try_again(&self) {
        self.set(PATIENCE - 1);
    }

    fn set(&self, count: u64) {
        let set = OpenOptions::new().write(true).open(&self.0).and_then(|file| file.set_len(count));
        if let Err(error) = set {
            tracing::warn!(%error, "the count of failed starts could not be kept");
        }
    }
}

/// Is this a word about what was given, or about who else is there, rather than a failure to load?
pub(crate) fn is_refusal(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Locked { .. }
            | StoreError::MasterKeyMissing(_)
            | StoreError::MasterKeyWrong(_)
            | StoreError::MasterKeyFile { .. }
            | StoreError::Folder { .. }
            | StoreError::Newer
            | StoreError::Address(_)
            | StoreError::NotLetIn(_)
            | StoreError::Away { .. }
            | StoreError::DiskFull(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_count_as_failed_until_they_succeeded() {
        let folder = tempfile::tempdir().unwrap();
        let starts = Starts::at(folder.path());
        assert_eq!(starts.failed(), 0);
        starts.begin();
        starts.begin();
        assert_eq!(starts.failed(), 2);
        starts.refused();
        assert_eq!(starts.failed(), 1);
        starts.succeeded();
        starts.succeeded();
        assert_eq!(starts.failed(), 0);
        (0..5).for_each(|_| starts.begin());
        starts.try_again();
        assert_eq!(starts.failed(), PATIENCE - 1);
    }
}
