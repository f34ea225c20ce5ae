//! Where the rows of a store are. Statements are the same everywhere; what is not the same stands in `sqlite` and `postgres`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_model::Plaintext;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, SqlSafeStr};
use uuid::Uuid;

use crate::StoreError;
use crate::postgres::{self, Postgres, within};
use crate::sqlite::{self, Sqlite};

/// Where the rows are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Place {
    /// The place with this address; without one the file in this folder.
    pub(crate) fn at(url: Option<&Plaintext>, folder: &Path) -> Result<Self, StoreError> {
        match url {
            None => Self::in_file(folder.join("keyward.db")),
            Some(url) => {
                sqlx::any::install_default_drivers();
                Ok(Self::Postgres(Box::new(Postgres::at(url)?)))
            }
        }
    }

    /// The place in this file.
    pub(crate) fn in_file(file: PathBuf) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        Ok(Self::Sqlite(Sqlite::at(file)?))
    }

    /// Do other nodes write here too?
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// A connection for making or migrating the store, which nobody else does meanwhile.
    pub(crate) async fn connect_alone(&self) -> Result<AnyConnection, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.connect().await,
            Self::Postgres(postgres) => postgres.connect_alone().await,
        }
    }

    /// A connection for writes to this store, from one that was for making it.
    pub(crate) async fn connect_writer(
        &self,
        alone: AnyConnection,
        store: Uuid,
    ) -> Result<AnyConnection, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(alone),
            Self::Postgres(place) => {
                postgres::release(alone).await;
                place.connect_writer(store).await
            }
        }
    }

    /// Connections that read this store. None is made before it is wanted.
    pub(crate) fn readers(&self, store: Uuid) -> AnyPool {
        match self {
            Self::Sqlite(sqlite) => sqlite.readers(),
            Self::Postgres(postgres) => postgres.readers(store),
        }
    }

    /// Finds a row if there is a table `meta`.
    pub(crate) fn has_meta(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'meta'",
            Self::Postgres(_) => {
                "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'meta'"
            }
        }
    }

    /// What every commit relies on.
    pub(crate) async fn prepare(&self, writer: &mut AnyConnection) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => sqlite::prepare(writer).await,
            // Each connection that writes sees to it, for they come and go.
            Self::Postgres(_) => Ok(()),
        }
    }

    /// The time as whoever has the rows tells it, in milliseconds: nodes' clocks may differ.
    pub(crate) fn now(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres(_) => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// Begins a transaction in which everything is read as it was at one moment.
    pub(crate) fn begin_reading(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "BEGIN",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Makes the tables as this version has them.
    pub(crate) async fn migrate(&self, writer: &mut AnyConnection) -> Result<(), StoreError> {
        let steps = match self {
            Self::Sqlite(_) => sqlite::STEPS,
            Self::Postgres(_) => postgres::STEPS,
        };
        let steps = steps.map(|(version, name, sql)| {
            let (name, sql) = (Cow::Borrowed(name), sql.into_sql_str());
            Migration::new(version, name, MigrationType::Simple, sql, false)
        });
        match Migrator::with_migrations(steps.into()).run(&mut *writer).await {
            Ok(()) => Ok(()),
            Err(MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) => Err(StoreError::Newer),
            Err(other) => Err(StoreError::Unavailable(other.to_string())),
        }
    }

    /// The outcome of a statement, which is not waited for endlessly where there is a network between.
    pub(crate) async fn answer<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match self.longest_answer() {
            None => statement.await,
            Some(limit) => within(limit, statement).await,
        }
    }

    fn longest_answer(&self) -> Option<Duration> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_) => Some(postgres::ANSWER),
        }
    }
}
