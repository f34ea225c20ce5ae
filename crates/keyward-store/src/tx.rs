//! Writing: one transaction, any number of changes, each of which holds or fails as a whole.

use std::sync::atomic::Ordering;

use sqlx::any::AnyRow;
use sqlx::error::DatabaseError;
use sqlx::{AnyConnection, Executor};
use tokio::sync::MutexGuard;

use keyward_model::{Grantee, OperatorTokenId, Timestamp};
use uuid::Uuid;

use crate::audit::{AuditEntry, Head};
use crate::columns::Columns;
use crate::place::Place;
use crate::postgres::{self, ANSWER, Postgres, within};
use crate::reads::{Statement, gone, number};
use crate::store::Writer;
use crate::{Mark, Reads, Record, RecordId, Store, StoreError};

/// A write under way. Nothing of it is seen by others, or survives, before [`WriteTx::commit`] returned; dropped, it is undone.
pub struct WriteTx<'s> {
    pub(crate) store: &'s Store,
    writer: MutexGuard<'s, Writer>,
    pub(crate) head: Head,
    head_at_start: u64,
    change: Option<OpenChange>,
    /// The connection, once everything is committed.
    done: Option<AnyConnection>,
}

/// A change under way within the transaction.
struct OpenChange {
    at: Timestamp,
    actor: String,
    head_before: Head,
    records: Vec<Logged>,
}

/// What is written to the change log.
struct Logged {
    id: RecordId,
    gone: bool,
    owner: Option<Grantee>,
}

impl Store {
    /// Begins a write; waits for the one under way, also on other nodes. What is read within it is the newest there is, and stays so.
    ///
    /// # Errors
    /// The store takes no writes, or does not answer.
    pub async fn write(&self) -> Result<WriteTx<'_>, StoreError> {
        self.takes_writes()?;
        let mut writer = self.writer.lock().await;
        let head = match &self.place {
            Place::Sqlite(_) => self.begin_alone(&mut writer).await?,
            Place::Postgres(postgres) => self.begin_among_others(postgres, &mut writer).await?,
        };
        Ok(WriteTx { store: self, writer, head_at_start: head.revision, head, change: None, done: None })
    }

    async fn begin_alone(&self, writer: &mut Writer) -> Result<Head, StoreError> {
        let left_open = std::mem::replace(&mut writer.left_open, true);
        let connection = writer.connection.as_mut().ok_or_else(gone)?;
        if left_open {
            // Whoever began it was dropped. SQLite may have undone it by itself, so the outcome says nothing.
            let _ = connection.execute("ROLLBACK").await;
        }
        connection.execute("BEGIN IMMEDIATE").await.map_err(|error| self.write_failed(error))?;
        Head::read(&sqlx::query(HEAD).fetch_one(connection).await?)
    }

    /// The connection may have been lost since the last write, which is no reason to refuse this one.
    async fn begin_among_others(&self, place: &Postgres, writer: &mut Writer) -> Result<Head, StoreError> {
        if let Some(mut connection) = writer.connection.take() {
            match lock_head(&mut connection).await {
                Ok(row) => {
                    // A dump may have been put back under a node that runs.
                    if row.text("store").ok().is_none_or(|store| store != self.id.to_string()) {
                        return Err(StoreError::AnotherStore);
                    }
                    writer.connection = Some(connection);
                    return Head::read(&row);
                }
                Err(error) if error.as_database_error().is_some_and(|error| !is_ending(error)) => {
                    return Err(error.into());
                }
                Err(error) => tracing::info!(%error, "the connection that writes was lost"),
            }
        }
        let mut connection = place.connect_writer(self.id).await?;
        let row = lock_head(&mut connection).await?;
        writer.connection = Some(connection);
        Head::read(&row)
    }
}

const HEAD: &str = "SELECT revision, audit_seq, audit_hash FROM head";

/// Begins a transaction on PostgreSQL that has the head row: no other node writes until it ends (decision 0007).
async fn lock_head(connection: &mut AnyConnection) -> Result<AnyRow, sqlx::Error> {
    within(ANSWER, connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")).await?;
    let head = sqlx::query(
        "SELECT revision, audit_seq, audit_hash, (SELECT value FROM meta WHERE name = 'store') AS store FROM head \
         FOR UPDATE",
    );
    within(ANSWER, head.fetch_one(connection)).await
}

/// Is this the server's last word on a connection?
fn is_ending(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08") || code == "25P03")
}

impl Drop for WriteTx<'_> {
    fn drop(&mut self) {
        if self.store.place.is_shared() {
            // The server undoes what was not committed once the connection is gone, and lets go of the head row.
            self.writer.connection = self.done.take();
        }
    }
}

impl WriteTx<'_> {
    /// What can be read, with what this transaction wrote so far.
    pub fn reads(&mut self) -> Reads<'_> {
        let writer = &mut *self.writer;
        Reads {
            connection: writer.connection.as_mut(),
            lost: &mut writer.lost,
            place: &self.store.place,
            sealer: &self.store.sealer,
        }
    }

    /// The number of the last revision, with what this transaction wrote so far.
    pub fn revision(&self) -> u64 {
        self.head.revision
    }

    /// Where the store stands, with what this transaction wrote so far.
    pub fn mark(&self) -> Mark {
        Mark::of(&self.head)
    }

    /// Begins a change by this actor, as the audit names it. [`WriteTx::abandon_change`] undoes what follows, and only that.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn begin_change(&mut self, at: Timestamp, actor: &str) -> Result<(), StoreError> {
        self.execute("SAVEPOINT change").await?;
        self.change = Some(OpenChange {
            at,
            actor: actor.to_owned(),
            head_before: self.head.clone(),
            records: Vec::new(),
        });
        Ok(())
    }

    /// Writes an object, new or changed, within the change.
    ///
    /// # Errors
    /// It contradicts another object, or the store does not answer. The change must be abandoned then.
    pub async fn put(&mut self, record: &Record) -> Result<(), StoreError> {
        if record.holds_nul() {
            return Err(StoreError::Text);
        }
        match record {
            Record::Account(account) => self.put_account(account).await?,
            Record::Gateway(gateway) => self.put_gateway(gateway).await?,
            Record::Secret(secret) => self.put_secret(secret).await?,
            Record::Service(service) => self.put_service(service).await?,
            Record::Api(api) => self.put_api(api).await?,
            Record::Caller(caller) => self.put_caller(caller).await?,
            Record::Credential(record) => self.put_credential(record).await?,
            Record::Group(group) => self.put_group(group).await?,
            Record::Member(group, caller) => self.put_member(*group, *caller).await?,
            Record::Grant(grant) => self.put_grant(grant).await?,
            Record::Module(module) => self.put_module(module).await?,
            Record::Plugin(plugin) => self.put_plugin(plugin).await?,
            Record::Operator(operator) => self.put_operator(operator).await?,
            Record::OperatorToken(token) => self.put_operator_token(token).await?,
        }
        self.note(Logged { id: record.id(), gone: false, owner: record.owner() });
        Ok(())
    }

    /// Removes an object within the change. Nothing may refer to it any more.
    ///
    /// # Errors
    /// Something still refers to it, or the store does not answer. The change must be abandoned then.
    pub async fn delete(&mut self, id: &RecordId) -> Result<(), StoreError> {
        let mut owner = None;
        match *id {
            RecordId::Account(id) => self.delete_account(id).await?,
            RecordId::Gateway(id) => self.delete_gateway(id).await?,
            RecordId::Secret(id) => self.delete_secret(id).await?,
            RecordId::Service(id) => self.delete_service(id).await?,
            RecordId::Api(id) => self.delete_api(id).await?,
            RecordId::Caller(id) => self.delete_caller(id).await?,
            RecordId::Credential(id) => owner = self.delete_credential(id).await?,
            RecordId::Group(id) => self.delete_group(id).await?,
            RecordId::Member(group, caller) => self.delete_member(group, caller).await?,
            RecordId::Grant(id) => owner = self.delete_grant(id).await?,
            RecordId::Module(id) => self.delete_module(id).await?,
            RecordId::Plugin(id) => self.delete_plugin(id).await?,
            RecordId::Operator(id) => self.delete_operator(id).await?,
            RecordId::OperatorToken(id) => self.delete_operator_token(id).await?,
        }
        self.note(Logged { id: *id, gone: true, owner });
        Ok(())
    }

    /// Gives the change a revision even if nothing is put or deleted.
    pub fn count_revision(&mut self) {
        if let Some(change) = &mut self.change {
            // Those who follow need an entry; one about a token that never was concerns no decision.
            let id = RecordId::OperatorToken(OperatorTokenId::from_uuid(Uuid::nil()));
            change.records.push(Logged { id, gone: true, owner: None });
        }
    }

    /// Ends the change: its entries in the change log and in the audit, and its revision, which is returned.
    /// Where nothing was put or deleted there is no revision (`None`), but the audit entries are kept.
    ///
    /// # Errors
    /// The store does not answer. The change must be abandoned then.
    pub async fn end_change(&mut self, audit: Vec<AuditEntry>) -> Result<Option<u64>, StoreError> {
        let (at, records) = match &mut self.change {
            Some(change) => (change.at, std::mem::take(&mut change.records)),
            None => return Ok(None),
        };
        let changed = !records.is_empty();
        if changed {
            self.head.revision = self.head.revision.saturating_add(1);
            self.log(&records).await?;
        }
        for entry in audit {
            self.append_audit(at, entry).await?;
        }
        let (revision, seq, hash) =
            (number(self.head.revision), number(self.head.audit_seq), self.head.audit_hash.clone());
        let head = sqlx::query("UPDATE head SET revision = $1, audit_seq = $2, audit_hash = $3");
        self.run(head.bind(revision).bind(seq).bind(hash)).await?;
        self.execute("RELEASE SAVEPOINT change").await?;
        self.change = None;
        Ok(changed.then_some(self.head.revision))
    }

    /// Undoes everything since [`WriteTx::begin_change`]; earlier changes of this transaction stay.
    ///
    /// # Errors
    /// The store does not answer; the whole transaction is lost then.
    pub async fn abandon_change(&mut self) -> Result<(), StoreError> {
        if let Some(change) = self.change.take() {
            self.head = change.head_before;
            self.execute("ROLLBACK TO SAVEPOINT change").await?;
            self.execute("RELEASE SAVEPOINT change").await?;
        }
        Ok(())
    }

    /// Makes it so. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// Nothing of the transaction holds, except where [`StoreError::OutcomeUnknown`] says that nobody knows; after an input/output
    /// error of a file the store takes no more writes.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        match self.store.place {
            Place::Sqlite(_) => self.commit_alone().await,
            Place::Postgres(_) => self.commit_among_others().await,
        }
    }

    async fn commit_alone(&mut self) -> Result<(), StoreError> {
        // A statement of this transaction may have been the one that failed so.
        let committed = match self.store.takes_writes() {
            Ok(()) => self.execute("COMMIT").await,
            Err(error) => Err(error),
        };
        if committed.is_err()
            && let Some(connection) = &mut self.writer.connection
        {
            // Readers need not wait for the next write to undo it.
            let _ = connection.execute("ROLLBACK").await;
        }
        self.writer.left_open = false;
        if committed.is_ok() {
            self.store.write_held();
        }
        committed
    }

    async fn commit_among_others(&mut self) -> Result<(), StoreError> {
        // Taken, so that it is closed if this fails or is dropped.
        let mut connection = self.writer.connection.take().ok_or_else(gone)?;
        let new = (self.head.revision > self.head_at_start).then_some(self.head.revision);
        postgres::commit(&mut connection, new).await.inspect_err(|error| {
            self.store.full.fetch_or(matches!(error, StoreError::DiskFull(_)), Ordering::Relaxed);
        })?;
        self.store.write_held();
        self.done = Some(connection);
        Ok(())
    }

    /// The revision that the change under way will have.
    pub(crate) fn next_revision(&self) -> i64 {
        number(self.head.revision.saturating_add(1))
    }

    /// When the change under way is made, as the database has it.
    pub(crate) fn at(&self) -> i64 {
        self.change.as_ref().map_or(0, |change| change.at.as_millis())
    }

    /// Who makes the change under way.
    pub(crate) fn actor(&self) -> &str {
        self.change.as_ref().map_or("", |change| &change.actor)
    }

    pub(crate) async fn run(&mut self, statement: Statement<'_>) -> Result<u64, StoreError> {
        let connection = self.writer.connection.as_mut().ok_or_else(gone)?;
        let done = self.store.place.answer(statement.execute(connection)).await;
        Ok(done.map_err(|error| self.store.write_failed(error))?.rows_affected())
    }

    pub(crate) async fn row(&mut self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        let connection = self.writer.connection.as_mut().ok_or_else(gone)?;
        let row = self.store.place.answer(statement.fetch_optional(connection)).await;
        row.map_err(|error| self.store.write_failed(error))
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let connection = self.writer.connection.as_mut().ok_or_else(gone)?;
        let done = self.store.place.answer(connection.execute(sql)).await;
        done.map(|_| ()).map_err(|error| self.store.write_failed(error))
    }

    fn note(&mut self, logged: Logged) {
        if let Some(change) = &mut self.change {
            change.records.push(logged);
        }
    }

    async fn log(&mut self, records: &[Logged]) -> Result<(), StoreError> {
        let revision = number(self.head.revision);
        for (place, logged) in (0_i64..).zip(records) {
            let entry = sqlx::query(
                "INSERT INTO change_log (revision, place, noun, object, gone, owner) VALUES ($1, $2, $3, $4, \
                 $5, $6)",
            );
            let entry = entry.bind(revision).bind(place).bind(logged.id.noun()).bind(logged.id.to_string());
            let owner = logged.owner.map(|owner| match owner {
                Grantee::Caller(id) => id.to_string(),
                Grantee::Group(id) => id.to_string(),
            });
            self.run(entry.bind(i64::from(logged.gone)).bind(owner)).await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for WriteTx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteTx").field("revision", &self.head.revision).finish_non_exhaustive()
    }
}

impl Head {
    pub(crate) fn read(row: &impl Columns) -> Result<Self, StoreError> {
        let read = || {
            Ok(Self {
                revision: row.revision()?,
                audit_seq: u64::try_from(row.number("audit_seq")?).map_err(|error| error.to_string())?,
                audit_hash: row.bytes_or_null("audit_hash")?.unwrap_or_default(),
            })
        };
        read().map_err(|why: String| crate::reads::damaged("head", "head", why))
    }
}
