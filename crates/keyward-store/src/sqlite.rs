//! The store in a file of the data folder.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Executor, Row, SqliteConnection};

use crate::StoreError;

/// Connections that read beside the one that writes.
const READERS: u32 = 4;

/// The steps from an empty file to the tables of this version. The postgres folder has the same steps.
pub(crate) const STEPS: [(i64, &str, &str); 4] = [
    (1, "first", include_str!("migrations/sqlite/0001_first.sql")),
    (2, "operators and nodes", include_str!("migrations/sqlite/0002_operators_and_nodes.sql")),
    (3, "secrets", include_str!("migrations/sqlite/0003_secrets.sql")),
    (4, "plugins", include_str!("migrations/sqlite/0004_plugins.sql")),
];

/// A database file.
#[derive(Clone, Debug)]
pub(crate) struct Sqlite {
    file: PathBuf,
    address: AnyConnectOptions,
}

impl Sqlite {
    /// The file, made for this user alone if it is not there: SQLite gives its log and index the same mode.
    pub(crate) fn at(file: PathBuf) -> Result<Self, StoreError> {
        make_file(&file)?;
        let address = address(&file)?;
        Ok(Self { file, address })
    }

    pub(crate) async fn connect(&self) -> Result<AnyConnection, StoreError> {
        Ok(self.address.connect().await?)
    }

    /// A connection of the native driver that reads.
    pub(crate) async fn native(&self) -> Result<SqliteConnection, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(&self.file)
            .row_buffer_size(1_024)
            .pragma("query_only", "ON")
            .disable_statement_logging();
        Ok(options.connect().await?)
    }

    pub(crate) fn readers(&self) -> AnyPool {
        AnyPoolOptions::new()
            .max_connections(READERS)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute("PRAGMA query_only = ON").await?;
                    Ok(())
                })
            })
            .connect_lazy_with(self.address.clone())
    }
}

/// What every commit relies on: it is on disk when it returns, and nothing refers to what is not there.
pub(crate) async fn prepare(writer: &mut AnyConnection) -> Result<(), StoreError> {
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
