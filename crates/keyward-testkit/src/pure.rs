//! A world without a store: compiled in memory, with what operators do after it.

use keyward_access::{Snapshot, SnapshotUpdate};
use keyward_api::WorldFile;
use keyward_control::{Minter, SeededRandom, compile_world};
use keyward_model::{Caller, CallerKind, DigestKey, GatewayId, Name, Revision, Timestamp};
use keyward_store::Record;

use crate::scenario::{BeforeStep, CredentialSpec, MemberSpec, ObjectSpec};

/// A world's objects in memory.
#[derive(Debug)]
pub struct PureWorld {
    records: Vec<Record>,
}

impl PureWorld {
    /// Compiles a world file.
    ///
    /// # Errors
    /// The problems, as text.
    pub fn compile(world: &str, now: Timestamp) -> Result<Self, String> {
        let read = WorldFile::parse(world, &|_| None)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        let mut minter = Minter::new(std::sync::Arc::new(SeededRandom::new(7)));
        let compiled =
            compile_world(&read.world, &digest_key(), &mut minter, now).map_err(|error| error.to_string())?;
        Ok(Self { records: compiled.records })
    }

    /// What an operator does.
    ///
    /// # Errors
    /// There is no such object.
    pub fn take(&mut self, step: &BeforeStep, now: Timestamp) -> Result<(), String> {
        let done = match step {
            BeforeStep::Revoke(description) => self.revoke(description, now),
            BeforeStep::Disable(object) => self.disable(object),
            BeforeStep::Delete(object) => self.delete(object),
            BeforeStep::DisableCredential(spec) => self.disable_credential(spec),
            BeforeStep::RemoveMember(member) => self.remove_member(member),
            BeforeStep::CloseReplayMemory(_) | BeforeStep::ConfirmedAgo(_) => Some(()),
        };
        done.ok_or_else(|| format!("nothing there to do {step:?} with"))
    }

    /// The Snapshot of what there is now.
    pub fn snapshot(&self) -> Snapshot {
        let revision = Revision { store: uuid::Uuid::nil(), number: 1 };
        let loaded = Snapshot::load(revision, digest_key(), self.updates());
        assert!(loaded.quarantined.is_empty(), "{:?}", loaded.quarantined);
        loaded.snapshot
    }

    /// The gateway of this name.
    pub fn gateway(&self, name: &str) -> Option<GatewayId> {
        self.records.iter().find_map(|record| match record {
            Record::Gateway(gateway) if gateway.spec.name.as_str() == name => Some(gateway.id),
            _ => None,
        })
    }

    /// The description of a grant.
    pub fn description(&self, id: keyward_model::GrantId) -> Option<&str> {
        self.records.iter().find_map(|record| match record {
            Record::Grant(grant) if grant.id == id => Some(grant.description.as_str()),
            _ => None,
        })
    }

    fn updates(&self) -> Vec<SnapshotUpdate> {
        self.records.iter().filter_map(|record| self.update(record)).collect()
    }

    fn update(&self, record: &Record) -> Option<SnapshotUpdate> {
        Some(match record.clone() {
            Record::Account(account) => SnapshotUpdate::UpsertAccount(account),
            Record::Gateway(gateway) => SnapshotUpdate::UpsertGateway(gateway),
            Record::Secret(secret) => SnapshotUpdate::UpsertSecret(secret),
            Record::Service(service) => SnapshotUpdate::UpsertService(service),
            Record::Api(api) => SnapshotUpdate::UpsertApi(Box::new(api)),
            Record::Caller(caller) => {
                let ours = self.records.iter().filter_map(|record| match record {
                    Record::Credential(found) if found.credential.caller == caller.id => {
                        Some(found.credential.clone())
                    }
                    _ => None,
                });
                SnapshotUpdate::UpsertCaller { credentials: ours.collect(), caller }
            }
            Record::Group(mut group) => {
                group.members = self
                    .records
                    .iter()
                    .filter_map(|record| match record {
                        Record::Member(of, member) if *of == group.id => Some(*member),
                        _ => None,
                    })
                    .collect();
                group.members.sort();
                SnapshotUpdate::UpsertGroup(group)
            }
            Record::Grant(grant) => SnapshotUpdate::UpsertGrant(grant),
            Record::Module(module) => SnapshotUpdate::UpsertModule(module),
            Record::Plugin(plugin) => SnapshotUpdate::UpsertPlugin(plugin),
            // No decision depends on them.
            Record::Operator(_) | Record::OperatorToken(_) => return None,
            Record::Credential(_) | Record::Member(..) => return None,
        })
    }

    fn revoke(&mut self, description: &str, now: Timestamp) -> Option<()> {
        self.records.iter_mut().find_map(|record| match record {
            Record::Grant(grant) if grant.description == description => {
                grant.revoked = Some(now);
                Some(())
            }
            _ => None,
        })
    }

    fn account_id(&self, name: Option<&str>) -> Option<keyward_model::AccountId> {
        let name = name.unwrap_or("default");
        self.records.iter().find_map(|record| match record {
            Record::Account(account) if account.name.as_str() == name => Some(account.id),
            _ => None,
        })
    }

    fn disable(&mut self, object: &ObjectSpec) -> Option<()> {
        let account = self.account_id(object.account.as_deref())?;
        let is = |wanted: &Option<String>, name: &Name| wanted.as_deref() == Some(name.as_str());
        let whole_account =
            *object == ObjectSpec { account: object.account.clone(), ..ObjectSpec::default() };
        let enabled = self.records.iter_mut().find_map(|record| match record {
            Record::Account(found) if whole_account && found.id == account => Some(&mut found.enabled),
            Record::Caller(found) if found.account == account && is(object.of(found), &found.name) => {
                Some(&mut found.enabled)
            }
            Record::Api(found) if found.account == account && is(&object.api, &found.name) => {
                Some(&mut found.settings.enabled)
            }
            Record::Service(found) if found.account == account && is(&object.service, &found.spec.name) => {
                Some(&mut found.spec.enabled)
            }
            Record::Group(found) if found.account == account && is(&object.group, &found.name) => {
                Some(&mut found.enabled)
            }
            _ => None,
        })?;
        *enabled = false;
        Some(())
    }

    fn delete(&mut self, object: &ObjectSpec) -> Option<()> {
        let account = self.account_id(object.account.as_deref())?;
        let id = self.records.iter().find_map(|record| match record {
            Record::Caller(found)
                if found.account == account && object.of(found).as_deref() == Some(found.name.as_str()) =>
            {
                Some(found.id)
            }
            _ => None,
        })?;
        self.records.retain(|record| match record {
            Record::Caller(caller) => caller.id != id,
            Record::Credential(found) => found.credential.caller != id,
            Record::Member(_, member) => *member != id,
            Record::Grant(grant) => grant.grantee != keyward_model::Grantee::Caller(id),
            _ => true,
        });
        Some(())
    }

    fn disable_credential(&mut self, spec: &CredentialSpec) -> Option<()> {
        let object = ObjectSpec {
            application: spec.application.clone(),
            consumer: spec.consumer.clone(),
            ..ObjectSpec::default()
        };
        let caller = self.records.iter().find_map(|record| match record {
            Record::Caller(found) if object.of(found).as_deref() == Some(found.name.as_str()) => {
                Some(found.id)
            }
            _ => None,
        })?;
        let found = self.records.iter_mut().filter_map(|record| match record {
            Record::Credential(found)
                if found.credential.caller == caller && found.credential.proof.kind() == spec.kind =>
            {
                Some(found)
            }
            _ => None,
        });
        found.into_iter().nth(spec.index)?.credential.enabled = false;
        Some(())
    }

    fn remove_member(&mut self, spec: &MemberSpec) -> Option<()> {
        let member = self.records.iter().find_map(|record| match record {
            Record::Caller(found)
                if found.id.kind() == CallerKind::Consumer && found.name.as_str() == spec.consumer =>
            {
                Some(found.id)
            }
            _ => None,
        })?;
        let before = self.records.len();
        self.records.retain(|record| !matches!(record, Record::Member(_, found) if *found == member));
        (self.records.len() < before).then_some(())
    }
}

impl ObjectSpec {
    /// The name that is asked for among callers of this one's kind.
    fn of(&self, caller: &Caller) -> &Option<String> {
        match caller.id.kind() {
            CallerKind::Application => &self.application,
            CallerKind::Consumer => &self.consumer,
        }
    }
}

fn digest_key() -> DigestKey {
    DigestKey([7; 32])
}
