//! From the store to the first Snapshot.

use std::collections::BTreeMap;

use keyward_access::{Snapshot, SnapshotUpdate};
use keyward_model::{
    Account, AccountId, Caller, CallerId, Credential, Gateway, GatewayId, GatewayLimits, GatewaySpec, Group,
    GroupId, Name, ParseError, Timestamp,
};
use keyward_store::{AuditEntry, Quarantined, Record, Store, StoreError, Touch};
use serde_json::json;

use crate::follow::{self, LeftOut};
use crate::plan::{account_of, describe};
use crate::shared::Shared;
use crate::{Actor, ControlError, ErrorKind, Minter};

/// Connections that read a large store at once.
const CONNECTIONS: usize = 4;

/// The first Snapshot, and what could not be part of it.
pub(crate) struct FirstSnapshot {
    pub(crate) snapshot: Snapshot,
    pub(crate) quarantined: Vec<String>,
    pub(crate) left_out: LeftOut,
}

/// The account and the gateway that exist from the start.
pub(crate) fn defaults(minter: &mut Minter, now: Timestamp) -> Result<[Record; 2], ControlError> {
    let name: Name = crate::DEFAULT.parse().map_err(|error: ParseError| {
        ControlError::new(ErrorKind::Invalid, "name_malformed", error.to_string())
    })?;
    let account = Account {
        id: AccountId::from_uuid(minter.uuid(now)?),
        name: name.clone(),
        description: String::new(),
        enabled: true,
        reveal: true,
        grant_validity_max_s: None,
    };
    let spec = GatewaySpec {
        name,
        description: String::new(),
        trusted_proxies: Vec::new(),
        limits: GatewayLimits::default(),
    };
    let gateway = Gateway { id: GatewayId::from_uuid(minter.uuid(now)?), spec };
    Ok([Record::Account(account), Record::Gateway(gateway)])
}

/// Writes them, as the first revision of a new store.
pub(crate) async fn seed(store: &Store, minter: &mut Minter, now: Timestamp) -> Result<(), ControlError> {
    if store.reader().await?.reads().revision().await? > 0 {
        return Ok(());
    }
    let records = defaults(minter, now)?;
    let mut tx = store.write().await?;
    if tx.revision() > 0 {
        // Another node was first.
        return Ok(());
    }
    tx.begin_change(now, &Actor::Start.to_string()).await?;
    let mut audit = Vec::new();
    for record in &records {
        tx.put(record).await?;
        audit.push(AuditEntry {
            actor: Actor::Start.to_string(),
            action: "store.create",
            touch: Touch::Created,
            noun: record.id().noun(),
            object: record.id().to_string(),
            account: account_of(record),
            detail: json!({"before": null, "after": describe(record)}).to_string(),
        });
    }
    tx.end_change(audit).await?;
    Ok(tx.commit().await?)
}

/// Loads everything. What cannot be believed, or does not compile, is left out, and named.
pub(crate) async fn snapshot(store: &Store, shared: &Shared) -> Result<FirstSnapshot, StoreError> {
    let mut loading = Loading::default();
    let revision = store.load_all(CONNECTIONS, |record| loading.add(record)).await?;
    crate::key_sets::load(store, &shared.fetched).await;
    Ok(loading.compile(shared, revision))
}

/// The same from the local copy, the store being away.
pub(crate) async fn snapshot_of_copy(store: &Store, shared: &Shared) -> Result<FirstSnapshot, StoreError> {
    let mut loading = Loading::default();
    let mark = store.load_copy(|record| loading.add(record)).await?;
    Ok(loading.compile(shared, mark.revision))
}

#[derive(Default)]
struct Loading {
    rows: Rows,
    quarantined: Vec<String>,
    left_out: LeftOut,
}

impl Loading {
    fn add(&mut self, record: Result<Record, Quarantined>) {
        match record {
            Ok(record) => self.rows.add(record),
            Err(row) => {
                self.quarantined.push(row.to_string());
                self.left_out.insert(row.id);
            }
        }
    }

    fn compile(self, shared: &Shared, revision: u64) -> FirstSnapshot {
        let Self { rows, mut quarantined, mut left_out } = self;
        let empty = Snapshot::empty(shared.revision(revision), shared.digest_key.clone());
        let loaded = empty.with_held_values(shared.held.clone()).filled(rows.into_updates());
        quarantined.extend(loaded.quarantined.iter().map(ToString::to_string));
        left_out.extend(loaded.quarantined.iter().map(|problem| follow::whole(problem.object).to_string()));
        for what in &quarantined {
            tracing::warn!(what, "left out of the configuration");
        }
        let snapshot = loaded.snapshot.with_fetched_keys(shared.fetched.clone());
        FirstSnapshot { snapshot, quarantined, left_out }
    }
}

/// Records, put together to what a Snapshot is loaded from.
#[derive(Default)]
pub(crate) struct Rows {
    updates: Vec<SnapshotUpdate>,
    callers: BTreeMap<CallerId, (Caller, Vec<Credential>)>,
    groups: BTreeMap<GroupId, Group>,
}

impl Rows {
    /// Adds a record; callers come before their credentials, groups before their members.
    pub(crate) fn add(&mut self, record: Record) {
        match record {
            Record::Account(account) => self.updates.push(SnapshotUpdate::UpsertAccount(account)),
            Record::Gateway(gateway) => self.updates.push(SnapshotUpdate::UpsertGateway(gateway)),
            Record::Secret(secret) => self.updates.push(SnapshotUpdate::UpsertSecret(secret)),
            Record::Service(service) => self.updates.push(SnapshotUpdate::UpsertService(service)),
            Record::Api(api) => self.updates.push(SnapshotUpdate::UpsertApi(Box::new(api))),
            Record::Grant(grant) => self.updates.push(SnapshotUpdate::UpsertGrant(grant)),
            Record::Module(module) => self.updates.push(SnapshotUpdate::UpsertModule(module)),
            Record::Plugin(plugin) => self.updates.push(SnapshotUpdate::UpsertPlugin(plugin)),
            Record::Operator(_) | Record::OperatorToken(_) => {}
            Record::Caller(caller) => {
                self.callers.insert(caller.id, (caller, Vec::new()));
            }
            Record::Credential(record) => {
                // Without its caller, whose row cannot be believed, it proves nothing.
                if let Some((_, credentials)) = self.callers.get_mut(&record.credential.caller) {
                    credentials.push(record.credential);
                }
            }
            Record::Group(group) => {
                self.groups.insert(group.id, group);
            }
            Record::Member(group, caller) => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.members.push(caller);
                }
            }
        }
    }

    pub(crate) fn into_updates(self) -> impl Iterator<Item = SnapshotUpdate> {
        let callers = self
            .callers
            .into_values()
            .map(|(caller, credentials)| SnapshotUpdate::UpsertCaller { caller, credentials });
        let groups = self.groups.into_values().map(|mut group| {
            group.members.sort_unstable();
            SnapshotUpdate::UpsertGroup(group)
        });
        self.updates.into_iter().chain(callers).chain(groups)
    }
}
