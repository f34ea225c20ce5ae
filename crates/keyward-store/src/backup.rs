//! Backups of a store in a file, and what makes a store out of one again.
//!
//! A backup is one file: the store as it was at one moment, taken while a node writes. The master key is not in it. What is restored is
//! another store than the one that was backed up: it has an id of its own, and its revisions begin beyond all that the old one can
//! have reached, so that nothing that is remembered of the old one's later history (an ETag, a revision, a session) fits it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use keyward_model::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use uuid::Uuid;

use crate::lock::FolderLock;
use crate::place::Place;
use crate::reads::number;
use crate::{AuditBroken, AuditCheck, AuditEntry, Store, StoreError, StoreOptions, Touch};

/// What a restored store's revisions begin at a multiple of.
const REVISIONS: u64 = 1_000_000_000;

/// What a restored store is called until it is whole.
const UNFINISHED: &str = "keyward.db.restoring";

/// What may lie in a folder that a backup is restored into.
const UNHARMED: [&str; 3] = ["master.key", "keyward.lock", "lost+found"];

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The store's id.
    pub store: Uuid,
    /// The store's revision at the moment of the backup.
    pub revision: u64,
    /// How many entries its audit has, and the last one's hash.
    pub audit: AuditCheck,
}

/// What a restored store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The id that it had.
    pub from: Uuid,
    /// The revision that it had.
    pub from_revision: u64,
    /// The id that it has.
    pub store: Uuid,
    /// The revision that it has.
    pub revision: u64,
    /// Its audit, which holds.
    pub audit: AuditCheck,
}

/// Why there is no backup, or nothing restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// There is no store in this folder.
    #[error(
        "there is no store in `{}`: name the node's data folder with --data; a store in PostgreSQL is backed up \
         with pg_dump", .0.display()
    )]
    NoStore(PathBuf),
    /// The file that should be made is there.
    #[error("`{}` exists, and is not written over: name another file", .0.display())]
    Exists(PathBuf),
    /// The folder that should be restored into holds something.
    #[error(
        "`{}` is not empty (`{found}` is in it), and nothing there is written over: name a new folder with --data, \
         or move away what is there; only `master.key` may lie there", .folder.display()
    )]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// What lies there.
        found: String,
    },
    /// The file is no backup.
    #[error("`{}` cannot be restored: {why}", .file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody has connections to the database that should become another store.
    #[error(
        "{0} others are connected to this database, so it is not made another store, which would end the nodes that \
         serve from it: restore the dump into a database of its own; if this is one, close what else is connected, or \
         cut it off with --force"
    )]
    InUse(i64),
    /// A file or folder cannot be read or written.
    #[error("`{}` cannot be used: {why}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Its audit does not hold.
    #[error("{0}: what was backed up was altered, so it is not restored")]
    Audit(AuditBroken),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Turns what the system said about this path into an error.
fn at(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    |error| BackupError::Io { path: path.to_owned(), why: error.to_string() }
}

/// Copies the store in this data folder into a new file, as it is at one moment, whether or not a node writes to it meanwhile.
///
/// # Errors
/// There is no store, the file exists, or it cannot be written; no file is left then.
pub async fn backup(data_dir: &Path, file: &Path) -> Result<Backup, BackupError> {
    let source = data_dir.join("keyward.db");
    if !source.exists() {
        return Err(BackupError::NoStore(data_dir.to_owned()));
    }
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let unfinished = with_ending(file, ".unfinished");
    let made = match copy_at_one_moment(&source, &unfinished).await {
        Ok(()) => finish(&unfinished, file).await,
        Err(error) => Err(error),
    };
    if made.is_err() {
        // It is of no use; where even this fails its name says so.
        let _ = fs::remove_file(&unfinished);
    }
    made
}

async fn copy_at_one_moment(source: &Path, unfinished: &Path) -> Result<(), BackupError> {
    // SQLite writes into an empty file, which is its owner's alone.
    let _ = fs::remove_file(unfinished);
    let mut new = OpenOptions::new();
    new.write(true).create_new(true).mode(0o600).open(unfinished).map_err(at(unfinished))?;
    let absolute = std::path::absolute(unfinished).map_err(at(unfinished))?;
    let text = absolute.to_str().ok_or_else(|| at(unfinished)(io::Error::other("its name is not UTF-8")))?;
    let mut connection = connect(source).await?;
    sqlx::query("VACUUM INTO $1").bind(text).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Gives a backup its name, once it is on the disk; what it holds.
async fn finish(unfinished: &Path, file: &Path) -> Result<Backup, BackupError> {
    let mut connection = connect(unfinished).await?;
    let row = sqlx::query(
        "SELECT h.revision, h.audit_seq, h.audit_hash, m.value FROM head h JOIN meta m ON m.name = 'store'",
    );
    let row = row.fetch_one(&mut connection).await?;
    let count = |at: usize| row.try_get::<i64, _>(at).map(|count| u64::try_from(count).unwrap_or(0));
    let hash: Vec<u8> = row.try_get(2)?;
    let backup = Backup {
        store: Uuid::try_parse(row.try_get(3)?).unwrap_or_default(),
        revision: count(0)?,
        audit: AuditCheck {
            entries: count(1)?,
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        },
    };
    connection.close().await?;
    File::open(unfinished).and_then(|file| file.sync_all()).map_err(at(unfinished))?;
    fs::rename(unfinished, file).map_err(at(file))?;
    sync_folder_of(file)?;
    Ok(backup)
}

async fn connect(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .disable_statement_logging()
        .connect()
        .await
}

/// Makes a store in this data folder out of a backup; the folder must be empty, but for a master key. The file stays as it is.
///
/// # Errors
/// The folder is not empty, the file is no sound backup, its audit does not hold, or the master key is another one. There is no store
/// in the folder then.
pub async fn restore(file: &Path, options: StoreOptions, now: Timestamp) -> Result<Restored, BackupError> {
    let folder = &options.data_dir;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
    must_be_empty(folder)?;
    let lock = FolderLock::take(folder)?;
    // What an earlier attempt left in the middle.
    for ending in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(folder.join(format!("{UNFINISHED}{ending}")));
    }
    let unfinished = folder.join(UNFINISHED);
    let restored = restore_as(file, &unfinished, &options, lock, now).await;
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
    };
    // A name that is taken meanwhile is not taken over.
    fs::hard_link(&unfinished, folder.join("keyward.db")).map_err(at(folder))?;
    fs::remove_file(&unfinished).map_err(at(&unfinished))?;
    sync_folder_of(&unfinished)?;
    Ok(restored)
}

/// Makes a PostgreSQL database, into which a dump was just put back, another store than the one that was dumped. The data folder must
/// be empty, but for a master key: what a node keeps there would be of the old one.
///
/// # Errors
/// There is no store in the database, its audit does not hold, or the master key is another one. Others are connected to it,
/// unless `in_use` says that this is known: nodes that serve from it are cut off.
pub async fn restore_database(
    options: StoreOptions,
    in_use: bool,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let folder = options.data_dir.clone();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(at(&folder))?;
    must_be_empty(&folder)?;
    let key_file = options.key_file();
    if !key_file.exists() {
        return Err(StoreError::MasterKeyMissing(key_file).into());
    }
    let others = others_connected(&options).await?;
    if others > 0 && !in_use {
        return Err(BackupError::InUse(others));
    }
    let store = Store::open(options).await?;
    let revision = store.reader().await?.reads().revision().await;
    let restored = match revision {
        Ok(0) => Err(StoreError::Unavailable("there was no store in this database".to_owned()).into()),
        Ok(_) => store.become_another(now).await,
        Err(error) => Err(error.into()),
    };
    store.close().await;
    restored
}

/// How many are connected to the database besides this.
async fn others_connected(options: &StoreOptions) -> Result<i64, BackupError> {
    let place = Place::at(options.url.as_ref(), &options.data_dir)?;
    if !place.is_shared() {
        return Ok(0);
    }
    let mut connection = place.connect_alone().await?;
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND backend_type = 'client backend'",
    );
    let others = count.fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(others)
}

async fn restore_as(
    file: &Path,
    unfinished: &Path,
    options: &StoreOptions,
    lock: FolderLock,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    copy(file, unfinished)?;
    must_be_sound(file, unfinished).await?;
    let place = Place::in_file(unfinished.to_owned())?;
    let key_file = options.key_file();
    if !key_file.exists() {
        return Err(StoreError::MasterKeyMissing(key_file).into());
    }
    let store = Store::open_at(place, &options.data_dir, &key_file, lock).await?;
    let restored = store.become_another(now).await;
    store.close().await;
    restored
}

fn must_be_empty(folder: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let name = entry.map_err(at(folder))?.file_name().to_string_lossy().into_owned();
        if !UNHARMED.contains(&name.as_str()) && !name.starts_with(UNFINISHED) {
            return Err(BackupError::NotEmpty { folder: folder.to_owned(), found: name });
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let mut source = File::open(from).map_err(at(from))?;
    let mut new = OpenOptions::new();
    let mut target = new.write(true).create_new(true).mode(0o600).open(to).map_err(at(to))?;
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(at(to))
}

/// Is this copy of the file a whole database with a store in it?
async fn must_be_sound(file: &Path, copy: &Path) -> Result<(), BackupError> {
    let unusable = |why: String| BackupError::Unusable { file: file.to_owned(), why };
    let look = async {
        let mut connection = connect(copy).await?;
        let row = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut connection).await?;
        let stores = sqlx::query("SELECT count(*) FROM meta WHERE name IN ('store', 'key_check')");
        let stores: i64 = stores.fetch_one(&mut connection).await?.try_get(0)?;
        connection.close().await?;
        Ok::<(String, bool), sqlx::Error>((row.try_get(0)?, stores == 2))
    };
    match look.await {
        Ok((said, true)) if said == "ok" => Ok(()),
        Ok((said, true)) => Err(unusable(format!("it is damaged ({said})"))),
        Ok((_, false)) => Err(unusable("there is no store in it".to_owned())),
        Err(error) => Err(unusable(format!("it is no backup ({error})"))),
    }
}

impl Store {
    /// Makes this store, which was put back from a backup, another one: with a new id, revisions beyond those that the old one can
    /// have reached, and without sessions or nodes. It must be closed then: what is known of it is known of the old one.
    ///
    /// # Errors
    /// [`BackupError::Audit`] where its audit does not hold, or the store does not answer. Nothing is changed then.
    async fn become_another(&self, now: Timestamp) -> Result<Restored, BackupError> {
        let checked = self.reader().await?.reads().verify_audit().await;
        checked.map_err(|broken| match broken {
            AuditBroken::Store(error) => BackupError::Store(error),
            broken => BackupError::Audit(broken),
        })?;
        let store = crate::open::new_id()?;
        let check = BASE64.encode(self.sealer.key_check(store).map_err(crate::open::unavailable)?);
        let mut tx = self.write().await?;
        let from_revision = tx.revision();
        let revision = (from_revision / REVISIONS).saturating_add(1).saturating_mul(REVISIONS);
        tx.begin_change(now, ACTOR).await?;
        for (name, value) in [("store", store.to_string()), ("key_check", check)] {
            let meta = sqlx::query("UPDATE meta SET value = $1 WHERE name = $2").bind(value).bind(name);
            tx.run(meta).await?;
        }
        // Who signed out since must not be signed in again, and nobody waits for the nodes of then.
        for forget in ["DELETE FROM operator_sessions", "DELETE FROM bootstrap", "DELETE FROM nodes"] {
            tx.run(sqlx::query(forget)).await?;
        }
        tx.head.revision = revision;
        tx.end_change(vec![AuditEntry {
            actor: ACTOR.to_owned(),
            action: "store.restore",
            touch: Touch::Changed,
            noun: "store",
            object: store.to_string(),
            account: None,
            detail: format!(
                r#"{{"before":{{"store":"{}","revision":{}}},"after":{{"store":"{store}","revision":{}}}}}"#,
                self.id,
                number(from_revision),
                number(revision),
            ),
        }])
        .await?;
        tx.commit().await?;
        let audit = self.reader().await?.reads().verify_audit().await.map_err(BackupError::Audit)?;
        Ok(Restored { from: self.id, from_revision, store, revision, audit })
    }
}

/// Who restores, as the audit names it.
const ACTOR: &str = "restore";

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The name of a file must survive a power failure as its content does.
fn sync_folder_of(file: &Path) -> Result<(), BackupError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}
