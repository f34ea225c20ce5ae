//! Opening a store, or making one.

use std::borrow::Cow;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use keyward_model::AccountId;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Executor, Row, SqlSafeStr};
use uuid::Uuid;

use crate::columns::Columns;
use crate::lock::FolderLock;
use crate::master_key::MasterKey;
use crate::seal::{SealError, Sealer};
use crate::{Quarantined, Store, StoreError};

/// The steps from an empty SQLite file to the tables of this version. The postgres folder has the same steps.
const SQLITE_STEPS: [(i64, &str, &str); 2] = [
    (1, "first", include_str!("migrations/sqlite/0001_first.sql")),
    (2, "operators and nodes", include_str!("migrations/sqlite/0002_operators_and_nodes.sql")),
];

/// Connections that read beside the one that writes.
const READERS: u32 = 4;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The data folder; made, for this user alone, if it is not there.
    pub data_dir: PathBuf,
    /// The address of a store elsewhere; absent: `keyward.db` in the data folder. This version takes none.
    pub url: Option<String>,
    /// The master key file, made on first start; absent: `master.key` in the data folder.
    pub master_key_file: Option<PathBuf>,
}

impl Store {
    /// Opens the store, or makes it where there is none.
    ///
    /// # Errors
    /// Another process has the folder, the master key is missing or another store's, a newer version made the store, or it cannot
    /// be read. Nothing is changed then.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        if let Some(url) = options.url {
            return Err(StoreError::Address(url));
        }
        make_folder(&options.data_dir)?;
        let lock = FolderLock::take(&options.data_dir)?;
        let file = options.data_dir.join("keyward.db");
        make_file(&file)?;
        let key_file = options.master_key_file.unwrap_or_else(|| options.data_dir.join("master.key"));

        sqlx::any::install_default_drivers();
        let address = address(&file)?;
        let mut writer = connect(&address).await?;
        let identity = read_identity(&mut writer).await?;
        let sealer = match &identity {
            Some(identity) => unlock(&key_file, identity)?,
            None => first_key(&key_file)?,
        };
        prepare(&mut writer).await?;
        migrate(&mut writer).await?;
        let id = match identity {
            Some(identity) => identity.store,
            None => write_identity(&mut writer, &sealer).await?,
        };
        let unreadable = learn_account_keys(&mut writer, &sealer).await?;
        let readers = readers(&address).await?;
        Ok(Self::new(id, sealer, writer, readers, file, unreadable, lock))
    }
}

/// What a store says about itself, kept in `meta`.
struct Identity {
    store: Uuid,
    key_check: Vec<u8>,
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| StoreError::Folder { path: folder.to_owned(), why: error.to_string() })
}

/// An empty file for this user alone: SQLite gives its log and index the same mode.
fn make_file(file: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Folder { path: file.to_owned(), why: error.to_string() };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
        // Its name must survive a power failure as its content does.
        Ok(_) => match file.parent() {
            Some(folder) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
            None => Ok(()),
        },
    }
}

/// The file's address for the `Any` driver: every byte that is not plain is percent-encoded.
fn address(file: &Path) -> Result<AnyConnectOptions, StoreError> {
    use std::fmt::Write;
    let mut text = String::from("sqlite://");
    let absolute = std::path::absolute(file)
        .map_err(|error| StoreError::Folder { path: file.to_owned(), why: error.to_string() })?;
    for byte in absolute.as_os_str().as_encoded_bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"/-._".contains(byte);
        // Writing to a string does not fail.
        let _ = if plain { write!(text, "{}", char::from(*byte)) } else { write!(text, "%{byte:02X}") };
    }
    let options = AnyConnectOptions::from_str(&text)?;
    // Statements hold no values, but they are noise: 20 lines for a change.
    Ok(options.disable_statement_logging())
}

async fn connect(address: &AnyConnectOptions) -> Result<AnyConnection, StoreError> {
    Ok(address.connect().await?)
}

/// What every commit relies on: it is on disk when it returns, and nothing refers to what is not there.
async fn prepare(writer: &mut AnyConnection) -> Result<(), StoreError> {
    for pragma in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA busy_timeout = 5000",
    ] {
        writer.execute(pragma).await?;
    }
    let synchronous: i64 = sqlx::query("PRAGMA synchronous").fetch_one(&mut *writer).await?.try_get(0)?;
    let journal: String = sqlx::query("PRAGMA journal_mode").fetch_one(&mut *writer).await?.try_get(0)?;
    if synchronous != 2 || !journal.eq_ignore_ascii_case("wal") {
        return Err(StoreError::Unavailable(format!(
            "it cannot be made durable here (journal `{journal}`, synchronous {synchronous}): put the data \
             folder on a local file system"
        )));
    }
    Ok(())
}

async fn readers(address: &AnyConnectOptions) -> Result<AnyPool, StoreError> {
    let pool = AnyPoolOptions::new()
        .max_connections(READERS)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("PRAGMA query_only = ON").await?;
                Ok(())
            })
        })
        .connect_with(address.clone())
        .await?;
    Ok(pool)
}

async fn migrate(writer: &mut AnyConnection) -> Result<(), StoreError> {
    let steps = SQLITE_STEPS.map(|(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    match Migrator::with_migrations(steps.into()).run(&mut *writer).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) => Err(StoreError::Newer),
        Err(other) => Err(StoreError::Unavailable(other.to_string())),
    }
}

/// `None` where no store was made in this file yet.
async fn read_identity(connection: &mut AnyConnection) -> Result<Option<Identity>, StoreError> {
    let table = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'meta'";
    if sqlx::query(table).fetch_optional(&mut *connection).await?.is_none() {
        return Ok(None);
    }
    let mut store = None;
    let mut key_check = None;
    for row in sqlx::query("SELECT name, value FROM meta").fetch_all(&mut *connection).await? {
        let (name, value): (String, String) = (row.try_get("name")?, row.try_get("value")?);
        match name.as_str() {
            "store" => store = Uuid::try_parse(&value).ok(),
            "key_check" => key_check = BASE64.decode(&value).ok(),
            _ => {}
        }
    }
    // Both are written in one transaction, so one alone is damage, which no key can be right for.
    match (store, key_check) {
        (None, None) => Ok(None),
        (store, key_check) => {
            Ok(Some(Identity { store: store.unwrap_or_default(), key_check: key_check.unwrap_or_default() }))
        }
    }
}

fn unlock(key_file: &Path, identity: &Identity) -> Result<Sealer, StoreError> {
    let sealer = sealer(key_file, MasterKey::read(key_file)?)?;
    if sealer.holds(&identity.key_check, identity.store) {
        Ok(sealer)
    } else {
        Err(StoreError::MasterKeyWrong(key_file.to_owned()))
    }
}

/// For a new store: the key that is given, else a new one.
fn first_key(key_file: &Path) -> Result<Sealer, StoreError> {
    let master = match MasterKey::read(key_file) {
        Err(StoreError::MasterKeyMissing(_)) => MasterKey::create(key_file)?,
        other => other?,
    };
    sealer(key_file, master)
}

fn sealer(key_file: &Path, master: MasterKey) -> Result<Sealer, StoreError> {
    Sealer::new(master)
        .map_err(|error| StoreError::MasterKeyFile { path: key_file.to_owned(), why: error.to_string() })
}

/// Makes this file a store: from here on it has an id, and belongs to its master key.
async fn write_identity(writer: &mut AnyConnection, sealer: &Sealer) -> Result<Uuid, StoreError> {
    let unavailable = |error: SealError| StoreError::Unavailable(error.to_string());
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| unavailable(SealError::Random))?;
    let store = uuid::Builder::from_random_bytes(bytes).into_uuid();
    let check = BASE64.encode(sealer.key_check(store).map_err(unavailable)?);
    writer.execute("BEGIN IMMEDIATE").await?;
    for (name, value) in [("store", store.to_string()), ("key_check", check)] {
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
            .bind(name)
            .bind(value)
            .execute(&mut *writer)
            .await?;
    }
    sqlx::query("INSERT INTO head (only_row, revision, audit_seq, audit_hash) VALUES (1, 0, 0, $1)")
        .bind(vec![0_u8; 32])
        .execute(&mut *writer)
        .await?;
    writer.execute("COMMIT").await?;
    Ok(store)
}

/// Accounts whose key does not open keep their other objects: only their secrets are unreadable, row by row.
async fn learn_account_keys(
    writer: &mut AnyConnection,
    sealer: &Sealer,
) -> Result<Vec<Quarantined>, StoreError> {
    let mut unreadable = Vec::new();
    let rows = sqlx::query("SELECT account, version, wrapped FROM account_keys").fetch_all(writer).await?;
    for row in rows {
        let learned = (|| {
            let account: AccountId = row.parsed("account")?;
            let version = u32::try_from(row.number("version")?).map_err(|error| error.to_string())?;
            let wrapped = row.bytes_or_null("wrapped")?.unwrap_or_default();
            sealer.learn_account_key(account, version, &wrapped).map_err(|error| error.to_string())
        })();
        if let Err(why) = learned {
            let id = row.text("account").unwrap_or_default();
            unreadable.push(Quarantined { noun: "account_key", id, why });
        }
    }
    Ok(unreadable)
}
