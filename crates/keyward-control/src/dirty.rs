//! What was touched, by a write of this node or by one of another, and what follows for the Snapshot.

use std::collections::{BTreeMap, BTreeSet};

use keyward_access::SnapshotUpdate;
use keyward_model::{
    AccountId, Caller, CallerId, Credential, Grant, GrantId, Grantee, Group, GroupId, SecretId,
};
use keyward_store::{Change, Reads, Record, RecordId, StoreError};

use crate::plan::Owner;

/// What was touched, as the Snapshot counts.
#[derive(Default)]
pub(crate) struct Dirty {
    /// Accounts, gateways, secrets, services, APIs, modules and plugins; and whether they are gone.
    single: BTreeMap<RecordId, bool>,
    /// Callers, also where only a credential of theirs was touched; and whether they are gone.
    callers: BTreeMap<CallerId, bool>,
    /// Groups, also where only a member was touched; and whether they are gone.
    groups: BTreeMap<GroupId, bool>,
    grants: BTreeMap<GrantId, DirtyGrant>,
    /// Was something touched that the Snapshot has no part of? Its revision counts all the same.
    pub(crate) beside: bool,
    /// Was something touched of which the log does not say whose it was?
    unclear: bool,
}

/// A grant as it is now, one to be read, or whom it was for.
enum DirtyGrant {
    There(Box<Grant>),
    ToRead(Grantee),
    Gone(Grantee),
}

/// What follows for the Snapshot.
pub(crate) struct Updates {
    pub(crate) list: Vec<SnapshotUpdate>,
    /// Can it not be said from this alone, so that everything must be read?
    pub(crate) unclear: bool,
    /// Ids of what cannot be believed.
    pub(crate) left_out: Vec<String>,
}

impl Dirty {
    /// This was written.
    pub(crate) fn put(&mut self, record: &Record) {
        match record {
            Record::Grant(grant) => {
                self.grants.insert(grant.id, DirtyGrant::There(Box::new(grant.clone())));
            }
            Record::Credential(record) => {
                self.callers.entry(record.credential.caller).or_insert(false);
            }
            other => self.put_id(&other.id(), None),
        }
    }

    /// This was removed.
    pub(crate) fn delete(&mut self, id: &RecordId, owner: Owner) {
        let owner = match owner {
            Owner::Caller(caller) => Some(Grantee::Caller(caller)),
            Owner::Grantee(grantee) => Some(grantee),
            Owner::Itself => None,
        };
        self.delete_id(id, owner);
    }

    /// This changed, says the log.
    pub(crate) fn change(&mut self, change: &Change) {
        match change.record {
            None => self.beside = true,
            Some(id) if change.gone => self.delete_id(&id, change.owner),
            Some(id) => self.put_id(&id, change.owner),
        }
    }

    /// The accounts that were written, which may be new.
    pub(crate) fn accounts(&self) -> BTreeSet<AccountId> {
        let account = |(id, gone): (&RecordId, &bool)| match id {
            RecordId::Account(id) if !gone => Some(*id),
            _ => None,
        };
        self.single.iter().filter_map(account).collect()
    }

    /// The modules and plugins that were written.
    pub(crate) fn runnable(&self) -> Vec<RecordId> {
        let written = self.single.iter().filter(|(_, gone)| !**gone).map(|(id, _)| *id);
        written.filter(|id| matches!(id, RecordId::Module(_) | RecordId::Plugin(_))).collect()
    }

    /// The secrets that were written.
    pub(crate) fn secrets(&self) -> Vec<SecretId> {
        let secret = |(id, gone): (&RecordId, &bool)| match id {
            RecordId::Secret(id) if !gone => Some(*id),
            _ => None,
        };
        self.single.iter().filter_map(secret).collect()
    }

    fn put_id(&mut self, id: &RecordId, owner: Option<Grantee>) {
        match (*id, owner) {
            (RecordId::Caller(caller), _) => {
                self.callers.insert(caller, false);
            }
            (RecordId::Credential(_), Some(Grantee::Caller(caller))) => {
                self.callers.entry(caller).or_insert(false);
            }
            (RecordId::Group(group), _) => {
                self.groups.insert(group, false);
            }
            (RecordId::Member(group, _), _) => {
                self.groups.entry(group).or_insert(false);
            }
            (RecordId::Grant(grant), Some(grantee)) => {
                self.grants.insert(grant, DirtyGrant::ToRead(grantee));
            }
            (RecordId::Credential(_) | RecordId::Grant(_), _) => self.unclear = true,
            (
                RecordId::Account(_)
                | RecordId::Gateway(_)
                | RecordId::Secret(_)
                | RecordId::Service(_)
                | RecordId::Api(_)
                | RecordId::Module(_)
                | RecordId::Plugin(_),
                _,
            ) => {
                self.single.insert(*id, false);
            }
            // No decision about a request depends on them.
            (RecordId::Operator(_) | RecordId::OperatorToken(_), _) => self.beside = true,
        }
    }

    fn delete_id(&mut self, id: &RecordId, owner: Option<Grantee>) {
        match (*id, owner) {
            (RecordId::Caller(caller), _) => {
                self.callers.insert(caller, true);
            }
            (RecordId::Credential(_), Some(Grantee::Caller(caller))) => {
                self.callers.entry(caller).or_insert(false);
            }
            (RecordId::Group(group), _) => {
                self.groups.insert(group, true);
            }
            (RecordId::Member(group, _), _) => {
                self.groups.entry(group).or_insert(false);
            }
            (RecordId::Grant(grant), Some(grantee)) => {
                self.grants.insert(grant, DirtyGrant::Gone(grantee));
            }
            (RecordId::Credential(_) | RecordId::Grant(_), _) => self.unclear = true,
            (
                RecordId::Account(_)
                | RecordId::Gateway(_)
                | RecordId::Secret(_)
                | RecordId::Service(_)
                | RecordId::Api(_)
                | RecordId::Module(_)
                | RecordId::Plugin(_),
                _,
            ) => {
                self.single.insert(*id, true);
            }
            (RecordId::Operator(_) | RecordId::OperatorToken(_), _) => self.beside = true,
        }
    }

    /// What follows for the Snapshot from what was touched, as it stands in the store now. What cannot be believed, or is not
    /// there any more, is gone for the Snapshot.
    pub(crate) async fn updates(self, reads: &mut Reads<'_>) -> Result<Updates, StoreError> {
        let mut updates = Updates { list: Vec::new(), unclear: self.unclear, left_out: Vec::new() };
        for (id, gone) in self.single {
            updates.single(reads, id, gone).await?;
        }
        updates.callers(reads, self.callers).await?;
        updates.groups(reads, self.groups).await?;
        updates.grants(reads, self.grants).await?;
        Ok(updates)
    }
}

impl Updates {
    async fn single(&mut self, reads: &mut Reads<'_>, id: RecordId, gone: bool) -> Result<(), StoreError> {
        let found = match gone {
            true => None,
            false => self.believed(&id, reads.record(&id).await)?,
        };
        self.list.extend(match (found, id) {
            (Some(Record::Account(account)), _) => Some(SnapshotUpdate::UpsertAccount(account)),
            (Some(Record::Gateway(gateway)), _) => Some(SnapshotUpdate::UpsertGateway(gateway)),
            (Some(Record::Secret(secret)), _) => Some(SnapshotUpdate::UpsertSecret(secret)),
            (Some(Record::Service(service)), _) => Some(SnapshotUpdate::UpsertService(service)),
            (Some(Record::Api(api)), _) => Some(SnapshotUpdate::UpsertApi(Box::new(api))),
            (Some(Record::Module(module)), _) => Some(SnapshotUpdate::UpsertModule(module)),
            (Some(Record::Plugin(plugin)), _) => Some(SnapshotUpdate::UpsertPlugin(plugin)),
            (_, RecordId::Account(id)) => Some(SnapshotUpdate::RemoveAccount(id)),
            (_, RecordId::Gateway(id)) => Some(SnapshotUpdate::RemoveGateway(id)),
            (_, RecordId::Secret(id)) => Some(SnapshotUpdate::RemoveSecret(id)),
            (_, RecordId::Service(id)) => Some(SnapshotUpdate::RemoveService(id)),
            (_, RecordId::Api(id)) => Some(SnapshotUpdate::RemoveApi(id)),
            (_, RecordId::Module(id)) => Some(SnapshotUpdate::RemoveModule(id)),
            (_, RecordId::Plugin(id)) => Some(SnapshotUpdate::RemovePlugin(id)),
            _ => None,
        });
        Ok(())
    }

    fn believed<T>(
        &mut self,
        id: &RecordId,
        found: Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match found {
            Err(StoreError::Damaged(row)) => {
                tracing::error!(%row, "left out of the configuration");
                self.left_out.push(id.to_string());
                Ok(None)
            }
            found => found,
        }
    }

    async fn callers(
        &mut self,
        reads: &mut Reads<'_>,
        touched: BTreeMap<CallerId, bool>,
    ) -> Result<(), StoreError> {
        let there: Vec<CallerId> = touched.iter().filter(|(_, gone)| !**gone).map(|(id, _)| *id).collect();
        let callers = reads.callers(&there).await?;
        let mut credentials: BTreeMap<CallerId, Vec<Credential>> = BTreeMap::new();
        for found in reads.credentials_of(&there).await? {
            let (id, caller) = (RecordId::Credential(found.object.id), found.object.caller);
            if let Some(record) = self.believed(&id, reads.open(&found.object).map(Some))? {
                credentials.entry(caller).or_default().push(record.credential);
            }
        }
        let mut callers: BTreeMap<CallerId, Caller> =
            callers.into_iter().map(|found| (found.object.id, found.object)).collect();
        // Those that are gone come first, for others may take their places.
        let (gone, there): (Vec<_>, Vec<_>) = touched.into_iter().partition(|(_, gone)| *gone);
        for (id, gone) in gone.into_iter().chain(there) {
            let update = match callers.remove(&id).filter(|_| !gone) {
                Some(caller) => SnapshotUpdate::UpsertCaller {
                    caller,
                    credentials: credentials.remove(&id).unwrap_or_default(),
                },
                None => {
                    self.missing(id, gone);
                    SnapshotUpdate::RemoveCaller(id)
                }
            };
            self.list.push(update);
        }
        Ok(())
    }

    async fn groups(
        &mut self,
        reads: &mut Reads<'_>,
        touched: BTreeMap<GroupId, bool>,
    ) -> Result<(), StoreError> {
        let there: Vec<GroupId> = touched.iter().filter(|(_, gone)| !**gone).map(|(id, _)| *id).collect();
        let mut members = reads.members_of(&there).await?;
        let mut groups: BTreeMap<GroupId, Group> =
            reads.groups(&there).await?.into_iter().map(|found| (found.object.id, found.object)).collect();
        for (id, gone) in touched {
            let update = match groups.remove(&id).filter(|_| !gone) {
                Some(group) => {
                    let members = members.remove(&id).unwrap_or_default();
                    SnapshotUpdate::UpsertGroup(Group { members, ..group })
                }
                None => {
                    self.missing(id, gone);
                    SnapshotUpdate::RemoveGroup(id)
                }
            };
            self.list.push(update);
        }
        Ok(())
    }

    async fn grants(
        &mut self,
        reads: &mut Reads<'_>,
        touched: BTreeMap<GrantId, DirtyGrant>,
    ) -> Result<(), StoreError> {
        let to_read =
            |(id, grant): (&GrantId, &DirtyGrant)| matches!(grant, DirtyGrant::ToRead(_)).then_some(*id);
        let ids: Vec<GrantId> = touched.iter().filter_map(to_read).collect();
        let mut found: BTreeMap<GrantId, Grant> =
            reads.grants(&ids).await?.into_iter().map(|found| (found.object.id, found.object)).collect();
        for (id, grant) in touched {
            let update = match grant {
                DirtyGrant::There(grant) => SnapshotUpdate::UpsertGrant(*grant),
                DirtyGrant::ToRead(grantee) => match found.remove(&id) {
                    Some(grant) => SnapshotUpdate::UpsertGrant(grant),
                    None => {
                        self.missing(id, false);
                        SnapshotUpdate::RemoveGrant { id, grantee }
                    }
                },
                DirtyGrant::Gone(grantee) => SnapshotUpdate::RemoveGrant { id, grantee },
            };
            self.list.push(update);
        }
        Ok(())
    }

    /// A list leaves out what cannot be believed.
    fn missing(&mut self, id: impl ToString, gone: bool) {
        if !gone {
            self.left_out.push(id.to_string());
        }
    }
}
