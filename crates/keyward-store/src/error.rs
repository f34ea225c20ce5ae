//! What can go wrong with the store, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data folder.
    #[error(
        "the data folder `{}` is in use by another process{holder}: stop that process, or give this one a \
         folder of its own", .folder.display()
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// ` (process 4711)` where it is known, else empty.
        holder: String,
    },
    /// The store has secrets, but there is no master key file.
    #[error(
        "the master key file `{}` is missing, and without it the secrets of this store cannot be read: put \
         the file back, or, on a further node, copy it from the node that made the store (nothing was changed)",
        .0.display()
    )]
    MasterKeyMissing(PathBuf),
    /// The master key file is another store's.
    #[error(
        "the master key file `{}` does not belong to this store: put back the file that this store was made \
         with; on a further node, copy it from the node that made the store (nothing was changed)", .0.display()
    )]
    MasterKeyWrong(PathBuf),
    /// The master key file cannot be used.
    #[error("the master key file `{}` cannot be used: {why}", .path.display())]
    MasterKeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The data folder cannot be used.
    #[error("the data folder `{}` cannot be used: {why}", .path.display())]
    Folder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A newer version made the store.
    #[error("the store was made by a newer version of keyward: start that version (nothing was changed)")]
    Newer,
    /// The store's address is not one that this version can use. It is not repeated: there may be a password in it.
    #[error(
        "the address of the store is not understood: {0}; write postgres://USER:PASSWORD@HOST:PORT/DATABASE, \
         or leave --store out to keep the store in the data folder"
    )]
    Address(&'static str),
    /// The database is now another store than the one that this process opened.
    #[error(
        "the database is now another store than the one that this node follows: put the right one back, or \
         empty the node's data folder (but for its master key) and start it anew"
    )]
    AnotherStore,
    /// The store is older than what this process has read from it, or its history is another one.
    #[error(
        "the store went back: this node knows it at revision {known}, and its history no longer leads from there \
         to {found}; was an older copy put back? (`keyward restore` makes a backup, or a database that a \
         dump was put back into, a store of its own)"
    )]
    WentBack {
        /// The revision that this process knows.
        known: u64,
        /// The revision that the store is at.
        found: u64,
    },
    /// The database does not let this node in.
    #[error("the database does not let this node in ({0}): check the address, the role and the password")]
    NotLetIn(String),
    /// The database is away, and there is no local copy to start from.
    #[error(
        "the store is away ({away}), and this node cannot start without it: its local copy cannot be used ({copy})"
    )]
    Away {
        /// What was tried.
        away: String,
        /// What is with the copy.
        copy: String,
    },
    /// The local copy cannot be used.
    #[error("the local copy of the store cannot be used: {0}")]
    Copy(String),
    /// A text holds a character that PostgreSQL cannot keep.
    #[error("a text must not hold the character U+0000")]
    Text,
    /// The connection was lost while a write was being committed: it may hold or not.
    #[error(
        "the store was lost in the middle of a commit ({0}): the change may hold or not; look before you \
         try again"
    )]
    OutcomeUnknown(String),
    /// Something that must be unique is there already, or something that is referred to is not there (or would go).
    #[error("the store refused the change because it contradicts another object: {0}")]
    Contradiction(String),
    /// A write failed in a way after which the file's state is in doubt, so that no more are taken.
    #[error(
        "the store takes no more writes, because an earlier one failed ({0}): check the disk, then restart"
    )]
    WritesRefused(String),
    /// There is no room on the store's disk.
    #[error(
        "the store's disk is full ({0}), so nothing was changed: make room on it; changes are taken again as soon \
         as there is"
    )]
    DiskFull(String),
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// A row cannot be read.
    #[error("{0}")]
    Damaged(Quarantined),
}

/// A row that cannot be believed: it is left out, named, and never fatal for the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The noun, as in the change log: `credential`.
    pub noun: &'static str,
    /// The row's id.
    pub id: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored {} `{}` is damaged and left out: {}", self.noun, self.id, self.why)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(db) if db.is_unique_violation() || db.is_foreign_key_violation() => {
                Self::Contradiction(db.message().to_owned())
            }
            // What PostgreSQL says of U+0000.
            Some(db) if db.code().is_some_and(|code| code == "22021") => Self::Text,
            Some(db) if is_full(db) => Self::DiskFull(db.message().to_owned()),
            _ => match &error {
                sqlx::Error::Configuration(inner) if inner.is::<Self>() => Self::AnotherStore,
                _ => Self::Unavailable(error.to_string()),
            },
        }
    }
}

/// Does this say that there is no room? SQLite's FULL, and IOERR_SHMSIZE for its shared index; PostgreSQL's `disk_full`.
fn is_full(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().is_some_and(|code| matches!(&*code, "13" | "4874" | "53100"))
}

/// After a failure of this kind what is on disk is in doubt: the write may or may not have reached it.
///
/// SQLite's primary codes IOERR, CORRUPT and NOTADB. A full disk (FULL, and IOERR_SHMSIZE for its shared index) is
/// not among them: SQLite rolls back, and writes work again once there is space.
pub(crate) fn leaves_doubt(error: &sqlx::Error) -> bool {
    const IOERR: u32 = 10;
    const IOERR_SHMSIZE: u32 = 10 | (19 << 8);
    const CORRUPT: u32 = 11;
    const NOTADB: u32 = 26;
    match error {
        sqlx::Error::Database(db) => {
            let code = db.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
            code != IOERR_SHMSIZE && matches!(code & 0xff, IOERR | CORRUPT | NOTADB)
        }
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}
