//! Loading everything: several connections of the native driver, each with ranges of rows of its own.
//!
//! On PostgreSQL all of them read as it was at one moment; with a file nothing may write meanwhile, and nothing does: a node loads
//! before it takes its first write.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_model::{Api, ApiId};
use tokio::sync::mpsc;

use crate::columns::Columns;
use crate::native::{Native, NativeRow, Source};
use crate::rows::{
    accounts, apis, callers, credentials, gateways, grants, groups, modules, plugins, secrets, services,
};
use crate::seal::Sealer;
use crate::{Quarantined, Record, Store, StoreError};

/// A kind of row: its table, the statement that reads all of it, and how a row of it is read.
pub(crate) struct Table {
    pub(crate) noun: &'static str,
    pub(crate) name: &'static str,
    /// What the table is called in the statement, where it is not alone there.
    pub(crate) alias: &'static str,
    pub(crate) all: &'static str,
    read: fn(&NativeRow, &Sealer) -> Result<Record, String>,
}

/// In order of dependence. APIs stand apart, for their parts stand in other tables.
static TABLES: [Table; 11] = [
    Table {
        noun: "account",
        name: "accounts",
        alias: "",
        all: accounts::ALL,
        read: |row, _| Ok(Record::Account(accounts::read(row)?.object)),
    },
    Table {
        noun: "gateway",
        name: "gateways",
        alias: "",
        all: gateways::ALL,
        read: |row, _| Ok(Record::Gateway(gateways::read(row)?.object)),
    },
    Table {
        noun: "secret",
        name: "secrets",
        alias: "s.",
        all: secrets::ALL,
        read: |row, sealer| Ok(Record::Secret(Box::new(secrets::read(row, sealer)?.object))),
    },
    Table {
        noun: "service",
        name: "services",
        alias: "s.",
        all: services::ALL,
        read: |row, sealer| Ok(Record::Service(services::read(row, sealer)?.object)),
    },
    Table {
        noun: "module",
        name: "modules",
        alias: "",
        all: modules::ALL,
        read: |row, sealer| Ok(Record::Module(Box::new(modules::read(row, sealer)?.object))),
    },
    Table {
        noun: "caller",
        name: "callers",
        alias: "",
        all: callers::ALL,
        read: |row, _| Ok(Record::Caller(callers::read(row)?.object)),
    },
    Table {
        noun: "credential",
        name: "credentials",
        alias: "",
        all: credentials::ALL,
        read: |row, sealer| {
            Ok(Record::Credential(credentials::CredentialRow::read(row)?.object.open(sealer)?))
        },
    },
    Table {
        noun: "group",
        name: "caller_groups",
        alias: "",
        all: groups::ALL,
        read: |row, _| Ok(Record::Group(groups::read(row)?.object)),
    },
    Table {
        noun: "member",
        name: "group_members",
        alias: "",
        all: groups::ALL_MEMBERS,
        read: |row, _| groups::read_member(row).map(|(group, caller)| Record::Member(group, caller)),
    },
    Table {
        noun: "grant",
        name: "grants",
        alias: "",
        all: grants::ALL,
        read: |row, _| Ok(Record::Grant(grants::read(row)?.object)),
    },
    Table {
        noun: "plugin",
        name: "plugins",
        alias: "",
        all: plugins::ALL,
        read: |row, sealer| Ok(Record::Plugin(Box::new(plugins::read(row, sealer)?.object))),
    },
];

/// How many of [`TABLES`] come before the APIs.
const BEFORE_APIS: usize = 5;

type Chunk = Vec<Result<Record, Quarantined>>;

impl Store {
    /// Gives every object to `take`, in order of dependence (accounts, gateways, secrets, services, modules, APIs, callers, credentials, groups,
    /// members, grants, plugins), read by this many connections at once. A row that cannot be believed is given as such.
    /// Returns the revision at which everything was so.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn load_all(
        &self,
        connections: usize,
        mut take: impl FnMut(Result<Record, Quarantined>),
    ) -> Result<u64, StoreError> {
        let (source, mut first) = Source::open(&self.place).await?;
        let revision = first.mark().await?.revision;
        for quarantined in self.learn_account_keys(&mut first).await? {
            take(Err(quarantined));
        }
        let (before, after) = tables();
        for table in before {
            self.load_table(&source, &mut first, table, connections, &mut take).await?;
        }
        let apis = ApiRows {
            apis: first.all(apis::ALL).await?,
            gateways: first.all(apis::ALL_GATEWAYS).await?,
            stages: first.all(apis::ALL_STAGES).await?,
        };
        apis.assemble(&mut take);
        for table in after {
            self.load_table(&source, &mut first, table, connections, &mut take).await?;
        }
        // Until here its transaction is what the other connections share.
        first.close().await;
        Ok(revision)
    }

    /// Accounts whose key does not open keep their other objects: only their secrets are unreadable, row by row.
    async fn learn_account_keys(&self, native: &mut Native) -> Result<Vec<Quarantined>, StoreError> {
        let rows = native.all(accounts::ALL_KEYS).await?;
        Ok(rows.iter().filter_map(|row| accounts::learn_key(row, &self.sealer).err()).collect())
    }

    async fn load_table(
        &self,
        source: &Source,
        first: &mut Native,
        table: &'static Table,
        connections: usize,
        take: &mut impl FnMut(Result<Record, Quarantined>),
    ) -> Result<(), StoreError> {
        let ranges = first.ranges(table).await?;
        let workers = i64::try_from(connections.max(1)).unwrap_or(1).min(ranges);
        let (send, mut receive) = mpsc::channel::<Chunk>(8);
        let mut tasks = Vec::new();
        for worker in 0..workers {
            let (source, sealer, send) = (source.clone(), Arc::clone(&self.sealer), send.clone());
            let ranges = (worker..ranges).step_by(usize::try_from(workers).unwrap_or(1));
            tasks.push(tokio::task::spawn_blocking(move || {
                on_own_runtime(load_ranges(source, table, ranges, sealer, send))
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
}

/// The rows that APIs are put together from.
#[derive(Default)]
struct ApiRows {
    apis: Vec<NativeRow>,
    gateways: Vec<NativeRow>,
    stages: Vec<NativeRow>,
}

impl ApiRows {
    fn assemble(self, take: &mut impl FnMut(Result<Record, Quarantined>)) {
        let mut by_id: BTreeMap<ApiId, Api> = BTreeMap::new();
        for row in self.apis {
            match apis::read(&row) {
                Ok(api) => {
                    by_id.insert(api.object.id, api.object);
                }
                Err(why) => take(Err(quarantined("api", &row, why))),
            }
        }
        let gateways = self.gateways.iter().map(|row| (row, apis::read_gateway(row)));
        let stages = self.stages.iter().map(|row| (row, apis::read_stage(row)));
        for (row, part) in gateways.chain(stages) {
            let id: Option<ApiId> = row.text("api").ok().and_then(|id| id.parse().ok());
            match (part, id) {
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
        by_id.into_values().for_each(|api| take(Ok(Record::Api(api))));
    }
}

/// The tables before the APIs', and those after, in order of dependence.
pub(crate) fn tables() -> (&'static [Table], &'static [Table]) {
    TABLES.split_at(BEFORE_APIS)
}

/// Every table of a local copy, in order of dependence.
pub(crate) fn order() -> impl Iterator<Item = &'static str> {
    let (before, after) = tables();
    let apis = ["apis", "api_gateways", "api_stages"];
    let names = |tables: &'static [Table]| tables.iter().map(|table| table.name);
    ["account_keys"].into_iter().chain(names(before)).chain(apis).chain(names(after))
}

/// Puts objects together from rows that come table by table, in [`order`].
pub(crate) struct Assembly<'s> {
    sealer: &'s Sealer,
    apis: ApiRows,
}

impl<'s> Assembly<'s> {
    pub(crate) fn new(sealer: &'s Sealer) -> Self {
        Self { sealer, apis: ApiRows::default() }
    }

    /// Rows of this table.
    pub(crate) fn add(
        &mut self,
        table: &str,
        rows: Vec<NativeRow>,
        take: &mut impl FnMut(Result<Record, Quarantined>),
    ) {
        match table {
            "account_keys" => {
                rows.iter()
                    .filter_map(|row| accounts::learn_key(row, self.sealer).err())
                    .for_each(|row| take(Err(row)));
            }
            "apis" => self.apis.apis.extend(rows),
            "api_gateways" => self.apis.gateways.extend(rows),
            "api_stages" => self.apis.stages.extend(rows),
            _ => {
                let Some(table) = TABLES.iter().find(|known| known.name == table) else { return };
                for row in &rows {
                    let record = (table.read)(row, self.sealer);
                    take(record.map_err(|why| quarantined(table.noun, row, why)));
                }
            }
        }
    }

    /// There are no more rows of this table.
    pub(crate) fn end(&mut self, table: &str, take: &mut impl FnMut(Result<Record, Quarantined>)) {
        if table == "api_stages" {
            std::mem::take(&mut self.apis).assemble(take);
        }
    }
}

/// Reading and unsealing is work for a core of its own, so it does not run where the caller's tasks run.
pub(crate) fn on_own_runtime(work: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    runtime.block_on(work)
}

async fn load_ranges(
    source: Source,
    table: &'static Table,
    ranges: impl Iterator<Item = i64>,
    sealer: Arc<Sealer>,
    send: mpsc::Sender<Chunk>,
) -> Result<(), StoreError> {
    let mut native = source.connect().await?;
    for range in ranges {
        let rows = native.range(table, range).await?;
        let read = |row| (table.read)(row, &sealer).map_err(|why| quarantined(table.noun, row, why));
        // Whoever takes the records is gone only if it failed, and then says so itself.
        if send.send(rows.iter().map(read).collect()).await.is_err() {
            break;
        }
    }
    native.close().await;
    Ok(())
}

fn quarantined(noun: &'static str, row: &NativeRow, why: String) -> Quarantined {
    Quarantined { noun, id: row.text("id").unwrap_or_default(), why }
}
