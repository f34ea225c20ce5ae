//! Nodes: what each says of itself, which revision it has applied, and when it was last heard of.

use keyward_model::Timestamp;
use sqlx::{AssertSqlSafe, Executor};

use super::read_list;
use crate::columns::Columns;
use crate::place::Place;
use crate::postgres::{ANSWER, APPLIED, within};
use crate::reads::number;
use crate::{Reads, Store, StoreError, WriteTx};

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Its id, which it keeps in its data folder.
    pub id: String,
    /// For people.
    pub name: String,
    /// The gateway that it belongs to.
    pub gateway: String,
    /// The version that it runs.
    pub version: String,
    /// Where its admin server listens.
    pub admin: String,
    /// When it started.
    pub started: Timestamp,
    /// The revision that it has applied.
    pub revision: u64,
    /// What is not well with it; empty: nothing.
    pub trouble: String,
}

/// A node, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// What it last said.
    pub state: NodeState,
    /// When it said so.
    pub last_seen: Timestamp,
    /// How long ago that is, in milliseconds, by the store's own clock.
    pub silent_ms: i64,
}

fn read(row: &impl Columns) -> Result<NodeRow, String> {
    let last_seen = row.number("last_seen")?;
    Ok(NodeRow {
        state: NodeState {
            id: row.text("id")?,
            name: row.text("name")?,
            gateway: row.text("gateway")?,
            version: row.text("version")?,
            admin: row.text("admin")?,
            started: row.time("started")?,
            revision: row.revision()?,
            trouble: row.text("trouble")?,
        },
        last_seen: Timestamp::from_millis(last_seen),
        silent_ms: row.number("now")?.saturating_sub(last_seen).max(0),
    })
}

impl Reads<'_> {
    /// Every node, by name.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn nodes(&mut self) -> Result<Vec<NodeRow>, StoreError> {
        // Literal text only.
        let sql = format!(
            "SELECT id, name, gateway, version, admin, started, last_seen, revision, trouble, {} AS now FROM nodes ORDER \
             BY name, id",
            self.place.now()
        );
        let rows = self.all(sqlx::query(AssertSqlSafe(sql))).await?;
        Ok(read_list("node", &rows, read))
    }
}

impl Store {
    /// Keeps what a node says of itself, and tells those who wait for it. It may be lost with the database's machine, for the node
    /// says it again soon.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn put_node(&self, node: &NodeState) -> Result<(), StoreError> {
        // Literal text only.
        let sql = format!(
            "INSERT INTO nodes (id, name, gateway, version, admin, started, last_seen, revision, trouble) VALUES ($1, \
             $2, $3, $4, $5, $6, {}, $7, $8) ON CONFLICT (id) DO UPDATE SET name = excluded.name, gateway = \
             excluded.gateway, version = excluded.version, admin = excluded.admin, started = excluded.started, \
             last_seen = excluded.last_seen, revision = excluded.revision, trouble = excluded.trouble",
            self.place.now()
        );
        macro_rules! bound {
            () => {
                sqlx::query(AssertSqlSafe(sql))
                    .bind(node.id.clone())
                    .bind(node.name.clone())
                    .bind(node.gateway.clone())
                    .bind(node.version.clone())
                    .bind(node.admin.clone())
                    .bind(node.started.as_millis())
                    .bind(number(node.revision))
                    .bind(node.trouble.clone())
            };
        }
        match &self.place {
            Place::Sqlite(_) => {
                let mut tx = self.write().await?;
                tx.run(bound!()).await?;
                tx.commit().await
            }
            Place::Postgres(place) => {
                let mut kept = self.loose.lock().await;
                // Taken, so that a connection that fails, or is left in the middle, is not used again.
                let mut connection = match kept.take() {
                    Some(connection) => connection,
                    None => place.connect_loosely().await?,
                };
                within(ANSWER, bound!().execute(&mut connection)).await?;
                let tell = format!("NOTIFY {APPLIED}");
                within(ANSWER, connection.execute(AssertSqlSafe(tell))).await?;
                *kept = Some(connection);
                Ok(())
            }
        }
    }

    /// Forgets a node that ended in order.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn remove_node(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.forget_node(id).await?;
        tx.commit().await
    }
}

impl WriteTx<'_> {
    /// Forgets a node; was there such a one?
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn forget_node(&mut self, id: &str) -> Result<bool, StoreError> {
        let statement = sqlx::query("DELETE FROM nodes WHERE id = $1").bind(id.to_owned());
        Ok(self.run(statement).await? > 0)
    }
}
