//! The native drivers, for what reads much: the same questions to either.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};

use crate::audit::Head;
use crate::columns::Columns;
use crate::copy::{Image, names_of};
use crate::load::Table;
use crate::place::Place;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::{Mark, StoreError};

/// Rows of a file, and pages of a PostgreSQL table, that are read at a stretch.
const ROWS: i64 = 4_096;
const PAGES: i64 = 128;

/// What connections that read at one moment are made from.
#[derive(Clone)]
pub(crate) enum Source {
    Sqlite(Sqlite),
    /// With the name of the moment.
    Postgres(Box<Postgres>, String),
}

/// A connection.
pub(crate) enum Native {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A row.
pub(crate) enum NativeRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
    /// Of a local copy.
    Image(Image),
}

/// These rows as a local copy keeps them: all of the same columns.
pub(crate) fn images(rows: &[NativeRow]) -> Result<Vec<Image>, StoreError> {
    let mut names = None;
    let mut images = Vec::with_capacity(rows.len());
    for row in rows {
        match row {
            NativeRow::Postgres(row) => {
                let names = names.get_or_insert_with(|| names_of(row));
                images.push(Image::of_postgres(row, names)?);
            }
            NativeRow::Sqlite(row) => {
                let names = names.get_or_insert_with(|| names_of(row));
                images.push(Image::of_sqlite(row, names)?);
            }
            NativeRow::Image(image) => images.push(image.clone()),
        }
    }
    Ok(images)
}

impl Source {
    /// The source, and the connection that keeps its moment: it must stay open until the others have begun.
    pub(crate) async fn open(place: &Place) -> Result<(Self, Native), StoreError> {
        match place {
            Place::Sqlite(sqlite) => {
                Ok((Self::Sqlite(sqlite.clone()), Native::Sqlite(sqlite.native().await?)))
            }
            Place::Postgres(postgres) => {
                let mut connection = postgres.native().await?;
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                let row = connection.fetch_one("SELECT pg_export_snapshot()").await?;
                let moment: String = row.try_get(0)?;
                Ok((Self::Postgres(postgres.clone(), moment), Native::Postgres(connection)))
            }
        }
    }

    /// A further connection.
    pub(crate) async fn connect(&self) -> Result<Native, StoreError> {
        match self {
            Self::Sqlite(sqlite) => Ok(Native::Sqlite(sqlite.native().await?)),
            Self::Postgres(postgres, moment) => {
                let mut connection = postgres.native().await?;
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                // The name comes from the server, and has the form 00000003-0000001B-1.
                if moment.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
                    let set = format!("SET TRANSACTION SNAPSHOT '{moment}'");
                    connection.execute(AssertSqlSafe(set)).await?;
                }
                Ok(Native::Postgres(connection))
            }
        }
    }
}

impl Native {
    /// From here on everything is read as it was at one moment, whatever is written meanwhile. (On PostgreSQL it is anyway.)
    pub(crate) async fn begin_reading(&mut self) -> Result<(), StoreError> {
        if let Self::Sqlite(connection) = self {
            connection.execute("BEGIN").await?;
        }
        Ok(())
    }

    /// Every row of a statement without parameters.
    pub(crate) async fn all(&mut self, sql: &'static str) -> Result<Vec<NativeRow>, StoreError> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query(sql).fetch_all(connection).await?;
                rows.into_iter().map(NativeRow::Sqlite).collect()
            }
            Self::Postgres(connection) => {
                let rows = sqlx::query(sql).fetch_all(connection).await?;
                rows.into_iter().map(NativeRow::Postgres).collect()
            }
        })
    }

    /// How many ranges a table has.
    pub(crate) async fn ranges(&mut self, table: &Table) -> Result<i64, StoreError> {
        let (size, stretch) = match self {
            Self::Sqlite(connection) => {
                let sql = format!("SELECT COALESCE(max(rowid), 0) FROM {}", table.name);
                (sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)?, ROWS)
            }
            Self::Postgres(connection) => {
                let sql = format!(
                    "SELECT pg_relation_size('{}') / current_setting('block_size')::bigint",
                    table.name
                );
                (sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)?, PAGES)
            }
        };
        let size: i64 = size;
        Ok((size / stretch).saturating_add(1))
    }

    /// The rows of this range of a table. Rows are found by where they lie: by number in a file, by page in PostgreSQL.
    pub(crate) async fn range(&mut self, table: &Table, range: i64) -> Result<Vec<NativeRow>, StoreError> {
        let Table { all, alias, .. } = table;
        Ok(match self {
            Self::Sqlite(connection) => {
                let sql = format!("{all} WHERE {alias}rowid >= $1 AND {alias}rowid < $2");
                let from = range.saturating_mul(ROWS);
                let rows = sqlx::query(AssertSqlSafe(sql)).bind(from).bind(from.saturating_add(ROWS));
                rows.fetch_all(connection).await?.into_iter().map(NativeRow::Sqlite).collect()
            }
            Self::Postgres(connection) => {
                let from = range.saturating_mul(PAGES);
                let to = from.saturating_add(PAGES);
                let sql =
                    format!("{all} WHERE {alias}ctid >= '({from},0)'::tid AND {alias}ctid < '({to},0)'::tid");
                let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false);
                rows.fetch_all(connection).await?.into_iter().map(NativeRow::Postgres).collect()
            }
        })
    }

    /// Where the store stands.
    pub(crate) async fn mark(&mut self) -> Result<Mark, StoreError> {
        let rows = self.all("SELECT revision, audit_seq, audit_hash FROM head").await?;
        let row = rows.first().ok_or_else(|| StoreError::Unavailable("it has no head row".to_owned()))?;
        Ok(Mark::of(&Head::read(row)?))
    }

    pub(crate) async fn close(self) {
        let closed = match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a connection did not close well");
        }
    }
}

impl Columns for NativeRow {
    fn text(&self, column: &'static str) -> Result<String, String> {
        match self {
            Self::Sqlite(row) => row.text(column),
            Self::Postgres(row) => row.text(column),
            Self::Image(row) => row.text(column),
        }
    }

    fn text_or_null(&self, column: &'static str) -> Result<Option<String>, String> {
        match self {
            Self::Sqlite(row) => row.text_or_null(column),
            Self::Postgres(row) => row.text_or_null(column),
            Self::Image(row) => row.text_or_null(column),
        }
    }

    fn number(&self, column: &'static str) -> Result<i64, String> {
        match self {
            Self::Sqlite(row) => row.number(column),
            Self::Postgres(row) => row.number(column),
            Self::Image(row) => row.number(column),
        }
    }

    fn number_or_null(&self, column: &'static str) -> Result<Option<i64>, String> {
        match self {
            Self::Sqlite(row) => row.number_or_null(column),
            Self::Postgres(row) => row.number_or_null(column),
            Self::Image(row) => row.number_or_null(column),
        }
    }

    fn bytes_or_null(&self, column: &'static str) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Sqlite(row) => row.bytes_or_null(column),
            Self::Postgres(row) => row.bytes_or_null(column),
            Self::Image(row) => row.bytes_or_null(column),
        }
    }
}
