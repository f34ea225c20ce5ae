//! The store in a PostgreSQL, shared by several nodes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use keyward_model::Plaintext;

use crate::StoreError;

/// Connections that read beside the one that writes.
const READERS: u32 = 8;

/// Longest wait for a connection, so that a request of an administrator is answered soon while the database is away.
const CONNECT: Duration = Duration::from_secs(2);

/// Longest wait for another node's first start or migration.
const PREPARE: Duration = Duration::from_secs(120);

/// Longest wait for the answer to a statement. The server ends statements and idle transactions earlier than this by itself
/// (see [`SESSION`]), so this one speaks of a server that cannot be reached.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);

/// Sessions are bounded by the server, so that a node that stops in the middle of a write holds the others up for some seconds only.
const SESSION: &str = "SET client_encoding = 'UTF8'; SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
                       SET idle_in_transaction_session_timeout = '10s'; SET standard_conforming_strings = on";

/// Whoever makes or migrates a store holds this lock: `keyward` in ASCII.
const PREPARING: &str = "SELECT pg_advisory_lock(30229394876363364)";

/// What nodes are woken by when there is a new revision.
pub(crate) const CHANGED: &str = "keyward";

/// What nodes are woken by when one has applied a revision.
pub(crate) const APPLIED: &str = "keyward_applied";

/// The steps from an empty database to the tables of this version. The sqlite folder has the same steps.
pub(crate) const STEPS: [(i64, &str, &str); 4] = [
    (1, "first", include_str!("migrations/postgres/0001_first.sql")),
    (2, "operators and nodes", include_str!("migrations/postgres/0002_operators_and_nodes.sql")),
    (3, "secrets", include_str!("migrations/postgres/0003_secrets.sql")),
    (4, "plugins", include_str!("migrations/postgres/0004_plugins.sql")),
];

/// A database of a PostgreSQL server.
#[derive(Clone)]
pub(crate) struct Postgres {
    any: AnyConnectOptions,
    native: PgConnectOptions,
}

impl Postgres {
    /// The database at this address, which nobody is asked about yet.
    ///
    /// # Errors
    /// [`StoreError::Address`], which does not repeat the address: there may be a password in it.
    pub(crate) fn at(url: &Plaintext) -> Result<Self, StoreError> {
        let url = url.expose_secret();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(StoreError::Address("it does not begin with `postgres://`"));
        }
        let wrong = |_| StoreError::Address("it cannot be read as an address");
        let any = AnyConnectOptions::from_str(url).map_err(wrong)?.disable_statement_logging();
        let native = PgConnectOptions::from_str(url).map_err(wrong)?.disable_statement_logging();
        Ok(Self { any, native: native.application_name("keyward") })
    }

    /// A connection for making or migrating the store, alone among all nodes until it is closed.
    pub(crate) async fn connect_alone(&self) -> Result<AnyConnection, StoreError> {
        let connected = within(CONNECT, self.any.connect()).await;
        let mut connection = connected.map_err(|error| match error.as_database_error() {
            Some(said) if is_refusal(said) => StoreError::NotLetIn(said.message().to_owned()),
            _ => error.into(),
        })?;
        within(PREPARE, connection.execute(PREPARING)).await?;
        Ok(connection)
    }

    /// A connection for writes to this store, and no other.
    pub(crate) async fn connect_writer(&self, store: Uuid) -> Result<AnyConnection, StoreError> {
        let mut connection = self.connect().await?;
        within(ANSWER, connection.execute(SESSION)).await?;
        durable(&mut connection).await?;
        match within(ANSWER, same_store(&mut connection, store)).await? {
            true => Ok(connection),
            false => Err(StoreError::AnotherStore),
        }
    }

    async fn connect(&self) -> Result<AnyConnection, StoreError> {
        Ok(within(CONNECT, self.any.connect()).await?)
    }

    /// A connection of the native driver.
    pub(crate) async fn native(&self) -> Result<PgConnection, StoreError> {
        Ok(within(CONNECT, self.native.connect()).await?)
    }

    /// How a connection of the native driver is made.
    pub(crate) fn native_options(&self) -> PgConnectOptions {
        self.native.clone()
    }

    /// A connection for what may be lost: what a node says of itself.
    pub(crate) async fn connect_loosely(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.native().await?;
        within(ANSWER, connection.execute(SESSION)).await?;
        within(ANSWER, connection.execute("SET synchronous_commit = off")).await?;
        Ok(connection)
    }

    /// Connections that read this store, and no other. None is made before it is wanted.
    pub(crate) fn readers(&self, store: Uuid) -> AnyPool {
        AnyPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(CONNECT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(SESSION).await?;
                    connection.execute("SET default_transaction_read_only = on").await?;
                    match same_store(connection, store).await? {
                        true => Ok(()),
                        false => Err(sqlx::Error::Configuration(Box::new(StoreError::AnotherStore))),
                    }
                })
            })
            .connect_lazy_with(self.any.clone())
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres(…)")
    }
}

/// What every commit relies on: it is on the server's disk when it returns. A role or database may have been set up otherwise.
async fn durable(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let mut found = String::new();
    for _ in 0..2 {
        let row = within(ANSWER, connection.fetch_one("SHOW synchronous_commit")).await?;
        found = row.try_get(0)?;
        // `remote_apply` waits for standbys too, and was somebody's choice.
        if matches!(found.as_str(), "on" | "remote_apply") {
            return Ok(());
        }
        within(ANSWER, connection.execute("SET synchronous_commit = on")).await?;
    }
    Err(StoreError::Unavailable(format!(
        "its commits cannot be made durable (synchronous_commit is `{found}` and stays so)"
    )))
}

async fn same_store(connection: &mut AnyConnection, store: Uuid) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'store'").fetch_optional(connection).await?;
    let value: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(value.is_some_and(|value| value == store.to_string()))
}

/// Is it about who asks, or for what, rather than about whether the server runs?
fn is_refusal(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code.starts_with("28") || code.starts_with("3D"))
}

/// Lets other nodes make or migrate the store.
pub(crate) async fn release(connection: AnyConnection) {
    // The lock goes with the connection, whether or not it closes well.
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection did not close well");
    }
}

/// The outcome of `work`, or the error that it took longer than this.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let why = format!("no answer within {} s", limit.as_secs());
            Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why)))
        }
    }
}

/// Commits, and wakes the nodes if there is a new revision. One round trip; nothing is committed if its transaction failed earlier.
pub(crate) async fn commit(connection: &mut AnyConnection, new: Option<u64>) -> Result<(), StoreError> {
    let sql = match new {
        // Literal text and a number.
        Some(revision) => format!("NOTIFY {CHANGED}, '{revision}'; COMMIT"),
        // A transaction that failed answers COMMIT with a rollback, but refuses everything else.
        None => "SELECT 1; COMMIT".to_owned(),
    };
    let committed = within(ANSWER, connection.execute(AssertSqlSafe(sql))).await;
    committed.map(|_| ()).map_err(|error| match certainly_undone(&error) {
        true => StoreError::from(error),
        false => StoreError::OutcomeUnknown(error.to_string()),
    })
}

/// Does this failure of a commit say that nothing was committed? One that the server itself gives as the reason for refusing does; one
/// of the connection, or of a server that is ending, does not.
fn certainly_undone(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| {
        ["22", "23", "25", "40", "42", "53", "55"].iter().any(|class| code.starts_with(class))
    })
}
