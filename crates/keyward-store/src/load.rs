//! Loading everything: several connections of the native driver, each with ranges of rows of its own.
//!
//! Nothing may write meanwhile; a node loads before it takes its first write.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use keyward_model::{Api, ApiId};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::sync::mpsc;

use crate::columns::Columns;
use crate::rows::{accounts, apis, callers, credentials, gateways, grants, groups, services};
use crate::seal::Sealer;
use crate::{Quarantined, Record, Store, StoreError};

/// Rows that a connection reads at a stretch, and that go to the taker at once.
const RANGE_ROWS: i64 = 4_096;

/// A kind of row: its table, the statement that reads a range of it, and how a row of it is read.
struct Table {
    noun: &'static str,
    max: &'static str,
    range: &'static str,
    read: fn(&SqliteRow, &Sealer) -> Result<Record, String>,
}

/// In order of dependence. APIs stand apart, for their parts stand in other tables.
const TABLES: [Table; 8] = [
    Table {
        noun: "account",
        max: "SELECT max(rowid) FROM accounts",
        range: accounts::RANGE,
        read: |row, _| Ok(Record::Account(accounts::read(row)?.object)),
    },
    Table {
        noun: "gateway",
        max: "SELECT max(rowid) FROM gateways",
        range: gateways::RANGE,
        read: |row, _| Ok(Record::Gateway(gateways::read(row)?.object)),
    },
    Table {
        noun: "service",
        max: "SELECT max(rowid) FROM services",
        range: services::RANGE,
        read: |row, sealer| Ok(Record::Service(services::read(row, sealer)?.object)),
    },
    Table {
        noun: "caller",
        max: "SELECT max(rowid) FROM callers",
        range: callers::RANGE,
        read: |row, _| Ok(Record::Caller(callers::read(row)?.object)),
    },
    Table {
        noun: "credential",
        max: "SELECT max(rowid) FROM credentials",
        range: credentials::RANGE,
        read: |row, sealer| {
            Ok(Record::Credential(credentials::CredentialRow::read(row)?.object.open(sealer)?))
        },
    },
    Table {
        noun: "group",
        max: "SELECT max(rowid) FROM caller_groups",
        range: groups::RANGE,
        read: |row, _| Ok(Record::Group(groups::read(row)?.object)),
    },
    Table {
        noun: "member",
        max: "SELECT max(rowid) FROM group_members",
        range: groups::MEMBERS_RANGE,
        read: |row, _| groups::read_member(row).map(|(group, caller)| Record::Member(group, caller)),
    },
    Table {
        noun: "grant",
        max: "SELECT max(rowid) FROM grants",
        range: grants::RANGE,
        read: |row, _| Ok(Record::Grant(grants::read(row)?.object)),
    },
];

/// How many of [`TABLES`] come before the APIs.
const BEFORE_APIS: usize = 3;

type Chunk = Vec<Result<Record, Quarantined>>;

impl Store {
    /// Gives every object to `take`, in order of dependence (accounts, gateways, services, APIs, callers, credentials, groups,
    /// members, grants), read by this many connections at once. A row that cannot be believed is given as such.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn load_all(
        &self,
        connections: usize,
        mut take: impl FnMut(Result<Record, Quarantined>),
    ) -> Result<(), StoreError> {
        for quarantined in &self.unreadable_accounts {
            take(Err(quarantined.clone()));
        }
        let (before, after) = TABLES.split_at(BEFORE_APIS);
        for table in before {
            self.load_table(table, connections, &mut take).await?;
        }
        self.load_apis(&mut take).await?;
        for table in after {
            self.load_table(table, connections, &mut take).await?;
        }
        Ok(())
    }

    async fn load_table(
        &self,
        table: &'static Table,
        connections: usize,
        take: &mut impl FnMut(Result<Record, Quarantined>),
    ) -> Result<(), StoreError> {
        let rows = self.max_rowid(table.max).await?;
        let ranges = (rows / RANGE_ROWS).saturating_add(1);
        let workers = i64::try_from(connections.max(1)).unwrap_or(1).min(ranges);
        let (send, mut receive) = mpsc::channel::<Chunk>(8);
        let mut tasks = Vec::new();
        for worker in 0..workers {
            let (file, sealer, send) = (self.file.clone(), Arc::clone(&self.sealer), send.clone());
            let ranges = (worker..ranges).step_by(usize::try_from(workers).unwrap_or(1));
            tasks.push(tokio::task::spawn_blocking(move || {
                on_own_runtime(load_ranges(file, table, ranges, sealer, send))
            }));
        }
        drop(send);
        while let Some(chunk) = receive.recv().await {
            chunk.into_iter().for_each(&mut *take);
        }
        for task in tasks {
            task.await.map_err(|error| StoreError::Unavailable(error.to_string()))??;
        }
        Ok(())
    }

    async fn max_rowid(&self, sql: &'static str) -> Result<i64, StoreError> {
        let mut connection = native(self.file.clone()).await?;
        let row = sqlx::query(sql).fetch_one(&mut connection).await?;
        let max = row.try_get::<Option<i64>, _>(0)?.unwrap_or(0);
        connection.close().await?;
        Ok(max)
    }

    async fn load_apis(&self, take: &mut impl FnMut(Result<Record, Quarantined>)) -> Result<(), StoreError> {
        let mut connection = native(self.file.clone()).await?;
        let rows = sqlx::query(apis::RANGE).bind(0).bind(i64::MAX).fetch_all(&mut connection).await?;
        let mut by_id: BTreeMap<ApiId, Api> = BTreeMap::new();
        for row in rows {
            match apis::read(&row) {
                Ok(api) => {
                    by_id.insert(api.object.id, api.object);
                }
                Err(why) => take(Err(quarantined("api", &row, why))),
            }
        }
        let [gateways, stages] = apis::PARTS;
        let parts: [(_, fn(&SqliteRow) -> Result<apis::Part, String>); 2] =
            [(gateways, |row| apis::read_gateway(row)), (stages, |row| apis::read_stage(row))];
        for (sql, read) in parts {
            for row in sqlx::query(sql).fetch_all(&mut connection).await? {
                let id: Option<ApiId> = row.text("api").ok().and_then(|id| id.parse().ok());
                match (read(&row), id) {
                    (Ok(part), Some(id)) => {
                        if let Some(api) = by_id.get_mut(&id) {
                            part.add_to(api);
                        }
                    }
                    (Err(why), id) => {
                        // An API with a stage that cannot be read must not look as if it had none.
                        let text = id.map(|id| id.to_string()).unwrap_or_default();
                        by_id.retain(|known, _| Some(*known) != id);
                        take(Err(Quarantined { noun: "api", id: text, why }));
                    }
                    (Ok(_), None) => {}
                }
            }
        }
        connection.close().await?;
        by_id.into_values().for_each(|api| take(Ok(Record::Api(api))));
        Ok(())
    }
}

/// Reading and unsealing is work for a core of its own, so it does not run where the caller's tasks run.
fn on_own_runtime(work: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    runtime.block_on(work)
}

async fn load_ranges(
    file: PathBuf,
    table: &'static Table,
    ranges: impl Iterator<Item = i64>,
    sealer: Arc<Sealer>,
    send: mpsc::Sender<Chunk>,
) -> Result<(), StoreError> {
    let mut connection = native(file).await?;
    for range in ranges {
        let from = range.saturating_mul(RANGE_ROWS);
        let rows = sqlx::query(table.range).bind(from).bind(from.saturating_add(RANGE_ROWS));
        let rows = rows.fetch_all(&mut connection).await?;
        let read = |row| (table.read)(row, &sealer).map_err(|why| quarantined(table.noun, row, why));
        // Whoever takes the records is gone only if it failed, and then says so itself.
        if send.send(rows.iter().map(read).collect()).await.is_err() {
            break;
        }
    }
    Ok(connection.close().await?)
}

async fn native(file: PathBuf) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .row_buffer_size(1_024)
        .pragma("query_only", "ON")
        .disable_statement_logging();
    Ok(options.connect().await?)
}

fn quarantined(noun: &'static str, row: &SqliteRow, why: String) -> Quarantined {
    Quarantined { noun, id: row.text("id").unwrap_or_default(), why }
}
