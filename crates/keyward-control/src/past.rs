//! The configuration around an API as it was at a past moment, read backwards from the audit.
//!
//! What the audit's first entry after the moment says was there before is how an object was; an object without such an
//! entry is as it was. So nothing but the audit has to be kept for it, and decisions about the past are made by the code
//! that decides requests, on a Snapshot of what was.

use std::collections::{BTreeMap, BTreeSet};

use keyward_access::{Snapshot, SnapshotUpdate};
use keyward_model::{
    Account, AccountId, Admits, Api, ApiId, ApiSettings, AppCodePlaces, AppKey, Caller, CallerId, Credential,
    CredentialDigest, CredentialId, Grant, Grantee, Group, GroupId, IdentityClaim, JwkSet, JwtBinding,
    JwtKeys, JwtSettings, OpaqueProof, Operation, Origin, Plaintext, Proof, Revision, Service, ServiceId,
    ServiceKind, ServiceSpec, ServiceTimeouts, SignaturePolicy, StageBinding, StageSet, Timestamp, Validity,
};
use keyward_store::{AuditFilter, AuditRow, Record, RecordId, StoreError};
use serde_json::Value;

use crate::gather::Gather;
use crate::plan::{account_of, describe, describe_credential};

/// Entries that are read at once.
const STRETCH: u32 = 1_000;

/// An object as it was: its account, and what the audit says of it.
struct Was {
    account: Option<AccountId>,
    value: Value,
}

/// Reads backwards to one place in the audit.
pub(crate) struct Past<'g, 'r> {
    gather: &'g mut Gather<'r>,
    /// The last entry of what was.
    seq: u64,
    /// The revision in effect then.
    revision: u64,
}

impl<'g, 'r> Past<'g, 'r> {
    /// At this moment.
    pub(crate) async fn at(gather: &'g mut Gather<'r>, at: Timestamp) -> Result<Self, StoreError> {
        let (seq, revision) = gather.reads.audit_place_at(at).await?;
        Ok(Self { gather, seq, revision })
    }

    /// The account of an API that there was.
    pub(crate) async fn account_of_api(&mut self, id: ApiId) -> Result<Option<AccountId>, StoreError> {
        Ok(self.was([RecordId::Api(id)], BTreeMap::new()).await?.into_values().find_map(|was| was.account))
    }

    /// Everything that decisions about this API rested on, and this caller, as a Snapshot beside `now`.
    pub(crate) async fn around(
        &mut self,
        api: ApiId,
        caller: Option<CallerId>,
        now: &Snapshot,
    ) -> Result<Snapshot, StoreError> {
        let mut rows = Vec::new();
        let grants = self.grants(api).await?;
        let (groups, mut callers) = grantees(&grants);
        let groups = self.groups(groups).await?;
        callers.extend(caller);
        callers.extend(groups.iter().flat_map(|group| group.members.iter().copied()));
        let callers = self.callers(callers).await?;
        let api = self.api(api).await?;
        let accounts =
            api.iter().map(|api| api.account).chain(callers.iter().map(|(caller, _)| caller.account));
        let accounts = self.accounts(accounts.collect()).await?;
        rows.extend(accounts.into_iter().map(SnapshotUpdate::UpsertAccount));
        self.gather.gateways().await?;
        let gateways = self.gather.existing.gateways.iter().map(|(_, gateway)| gateway.clone());
        rows.extend(gateways.map(SnapshotUpdate::UpsertGateway));
        if let Some(api) = api {
            let services = api.stages.values().map(|binding| binding.service).collect();
            rows.extend(self.services(services).await?.into_iter().map(SnapshotUpdate::UpsertService));
            rows.push(SnapshotUpdate::UpsertApi(Box::new(self.where_there_are_gateways(api))));
        }
        let callers = callers.into_iter();
        rows.extend(
            callers.map(|(caller, credentials)| SnapshotUpdate::UpsertCaller { caller, credentials }),
        );
        rows.extend(groups.into_iter().map(SnapshotUpdate::UpsertGroup));
        rows.extend(grants.into_iter().map(SnapshotUpdate::UpsertGrant));
        let revision = Revision { number: self.revision, ..now.revision() };
        let loaded = Snapshot::load(revision, now.digest_key().clone(), rows);
        for problem in loaded.quarantined {
            tracing::warn!(%problem, "left out of what was in effect at a past moment");
        }
        Ok(loaded.snapshot)
    }

    /// A gateway that is no more cannot be asked about.
    fn where_there_are_gateways(&self, api: Api) -> Api {
        let gateways = &self.gather.existing.gateways;
        let there: Vec<_> = api.gateways.iter().copied().filter(|id| gateways.get(id).is_some()).collect();
        Api { gateways: there, ..api }
    }

    async fn grants(&mut self, api: ApiId) -> Result<Vec<Grant>, StoreError> {
        let mut now = BTreeMap::new();
        for found in self.gather.reads.grants_on(api).await? {
            note(&mut now, &Record::Grant(found.object));
        }
        let wanted = api.to_string();
        let gone = self.deleted("grant", |before| text(before, "api") == Some(&wanted)).await?;
        let ids: Vec<RecordId> = now.keys().copied().chain(gone).collect();
        let was = self.was(ids, now).await?;
        Ok(was.iter().filter_map(|(id, was)| grant(id, was)).collect())
    }

    async fn groups(&mut self, ids: BTreeSet<GroupId>) -> Result<Vec<Group>, StoreError> {
        let all: Vec<GroupId> = ids.iter().copied().collect();
        let mut now = BTreeMap::new();
        let mut members = BTreeMap::new();
        for found in self.gather.reads.groups(&all).await? {
            note(&mut now, &Record::Group(found.object));
        }
        for (group, callers) in self.gather.reads.members_of(&all).await? {
            callers.into_iter().for_each(|caller| note(&mut members, &Record::Member(group, caller)));
        }
        let was = self.was(all.into_iter().map(RecordId::Group), now).await?;
        let changed = if ids.is_empty() { Vec::new() } else { self.entries("member", None).await? };
        let touched = changed.iter().filter_map(|row| member(&row.object));
        let touched = touched.filter(|(group, _)| ids.contains(group));
        let touched = touched.map(|(group, caller)| RecordId::Member(group, caller));
        let all: Vec<RecordId> = members.keys().copied().chain(touched).collect();
        let members = self.was(all, members).await?;
        let mut groups: Vec<Group> = was.iter().filter_map(|(id, was)| group(id, was)).collect();
        for group in &mut groups {
            let of_it = members.keys().filter_map(|id| match id {
                RecordId::Member(of, caller) if *of == group.id => Some(*caller),
                _ => None,
            });
            group.members = of_it.collect();
        }
        Ok(groups)
    }

    async fn callers(
        &mut self,
        ids: BTreeSet<CallerId>,
    ) -> Result<Vec<(Caller, Vec<Credential>)>, StoreError> {
        let all: Vec<CallerId> = ids.iter().copied().collect();
        let (mut now, mut proofs) = (BTreeMap::new(), BTreeMap::new());
        for found in self.gather.reads.callers(&all).await? {
            note(&mut now, &Record::Caller(found.object));
        }
        for found in self.gather.reads.credentials_of(&all).await? {
            let row = found.object;
            let was = Was { account: Some(row.account), value: describe_credential(&row) };
            proofs.insert(RecordId::Credential(row.id), was);
        }
        let was = self.was(all.into_iter().map(RecordId::Caller), now).await?;
        let of_them = |before: &Value| parsed(before, "caller").is_some_and(|id: CallerId| ids.contains(&id));
        let gone = if ids.is_empty() { Vec::new() } else { self.deleted("credential", of_them).await? };
        let all: Vec<RecordId> = proofs.keys().copied().chain(gone).collect();
        let proofs = self.was(all, proofs).await?;
        let mut of: BTreeMap<CallerId, Vec<Credential>> = BTreeMap::new();
        for one in proofs.iter().filter_map(|(id, was)| credential(id, was)) {
            of.entry(one.caller).or_default().push(one);
        }
        let with_credentials = |caller: Caller| {
            let credentials = of.remove(&caller.id).unwrap_or_default();
            (caller, credentials)
        };
        Ok(was.iter().filter_map(|(id, was)| caller(id, was)).map(with_credentials).collect())
    }

    async fn api(&mut self, id: ApiId) -> Result<Option<Api>, StoreError> {
        let mut now = BTreeMap::new();
        if let Some(found) = self.gather.reads.api(id).await? {
            note(&mut now, &Record::Api(found.object));
        }
        let was = self.was([RecordId::Api(id)], now).await?;
        Ok(was.iter().find_map(|(id, was)| api(id, was)))
    }

    async fn accounts(&mut self, ids: BTreeSet<AccountId>) -> Result<Vec<Account>, StoreError> {
        let mut now = BTreeMap::new();
        for id in &ids {
            if let Some(found) = self.gather.reads.account(*id).await? {
                note(&mut now, &Record::Account(found.object));
            }
        }
        let was = self.was(ids.into_iter().map(RecordId::Account), now).await?;
        Ok(was.iter().filter_map(|(id, was)| account(id, was)).collect())
    }

    async fn services(&mut self, ids: BTreeSet<ServiceId>) -> Result<Vec<Service>, StoreError> {
        let mut now = BTreeMap::new();
        for id in &ids {
            if let Some(found) = self.gather.reads.service(*id).await? {
                note(&mut now, &Record::Service(found.object));
            }
        }
        let was = self.was(ids.into_iter().map(RecordId::Service), now).await?;
        Ok(was.iter().filter_map(|(id, was)| service(id, was)).collect())
    }

    /// These objects as they were, of which `now` has those that are still there. Those that were not there are left out.
    async fn was(
        &mut self,
        ids: impl IntoIterator<Item = RecordId>,
        mut now: BTreeMap<RecordId, Was>,
    ) -> Result<BTreeMap<RecordId, Was>, StoreError> {
        let ids: BTreeSet<RecordId> = ids.into_iter().collect();
        let objects: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut first = self.gather.reads.first_changes_after(self.seq, &objects).await?;
        let was = ids.into_iter().filter_map(|id| {
            let now = now.remove(&id);
            match first.remove(&id.to_string()) {
                None => Some((id, now?)),
                Some(row) => {
                    let value = before(&row)?;
                    Some((id, Was { account: row.account.and_then(|text| text.parse().ok()), value }))
                }
            }
        });
        Ok(was.collect())
    }

    /// The objects of this noun that were deleted since, if `wanted` says so of what they were.
    async fn deleted(
        &mut self,
        noun: &'static str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Vec<RecordId>, StoreError> {
        let rows = self.entries(noun, Some("deleted")).await?;
        let rows = rows.iter().filter(|row| before(row).is_some_and(|before| wanted(&before)));
        Ok(rows
            .filter_map(|row| match noun {
                "grant" => row.object.parse().ok().map(RecordId::Grant),
                _ => row.object.parse().ok().map(RecordId::Credential),
            })
            .collect())
    }

    /// The entries about this noun since.
    async fn entries(&mut self, noun: &str, touch: Option<&str>) -> Result<Vec<AuditRow>, StoreError> {
        let filter = AuditFilter {
            noun: Some(noun.to_owned()),
            touch: touch.map(ToOwned::to_owned),
            ..AuditFilter::default()
        };
        let (mut rows, mut after) = (Vec::new(), self.seq);
        loop {
            let found = self.gather.reads.audit_page(&filter, Some(after), STRETCH).await?;
            let Some(last) = found.last() else { return Ok(rows) };
            after = last.seq;
            rows.extend(found);
        }
    }
}

fn note(now: &mut BTreeMap<RecordId, Was>, record: &Record) {
    now.insert(record.id(), Was { account: account_of(record), value: describe(record) });
}

fn before(row: &AuditRow) -> Option<Value> {
    let mut detail: Value = serde_json::from_str(&row.detail).ok()?;
    detail.get_mut("before").map(Value::take).filter(|before| !before.is_null())
}

fn grantees(grants: &[Grant]) -> (BTreeSet<GroupId>, BTreeSet<CallerId>) {
    let (mut groups, mut callers) = (BTreeSet::new(), BTreeSet::new());
    for grant in grants {
        match grant.grantee {
            Grantee::Group(group) => drop(groups.insert(group)),
            Grantee::Caller(caller) => drop(callers.insert(caller)),
        }
    }
    (groups, callers)
}

fn member(object: &str) -> Option<(GroupId, CallerId)> {
    let (group, caller) = object.split_once(' ')?;
    Some((group.parse().ok()?, caller.parse().ok()?))
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

fn parsed<T: std::str::FromStr>(value: &Value, name: &str) -> Option<T> {
    text(value, name)?.parse().ok()
}

fn flag(value: &Value, name: &str) -> bool {
    value.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// The texts of a list that can be read; absent where there is no list.
fn list<T>(value: &Value, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    Some(value.get(name)?.as_array()?.iter().filter_map(|item| read(item.as_str()?)).collect())
}

fn operation(text: &str) -> Option<Operation> {
    let (method, path) = text.split_once(' ')?;
    let method = if method == "*" { None } else { Some(method.parse().ok()?) };
    Some(Operation { method, path: path.parse().ok()? })
}

fn account(id: &RecordId, was: &Was) -> Option<Account> {
    let RecordId::Account(id) = *id else { return None };
    Some(Account {
        id,
        name: parsed(&was.value, "name")?,
        description: String::new(),
        enabled: flag(&was.value, "enabled"),
        reveal: false,
        grant_validity_max_s: None,
    })
}

fn service(id: &RecordId, was: &Was) -> Option<Service> {
    let RecordId::Service(id) = *id else { return None };
    let name: keyward_model::Name = parsed(&was.value, "name")?;
    let spec = ServiceSpec {
        account: name.clone(),
        name,
        description: String::new(),
        enabled: flag(&was.value, "enabled"),
        kind: ServiceKind::Http,
        endpoints: Vec::new(),
        timeouts: ServiceTimeouts::default(),
        service_auth: None,
    };
    Some(Service { id, account: was.account?, spec })
}

fn api(id: &RecordId, was: &Was) -> Option<Api> {
    let RecordId::Api(id) = *id else { return None };
    let value = &was.value;
    let stages = value.get("stages")?.as_object()?.iter().filter_map(|(stage, binding)| {
        let binding = StageBinding {
            service: parsed(binding, "service")?,
            path_prefix: parsed(binding, "path_prefix"),
            host: parsed(binding, "host"),
        };
        Some((stage.parse().ok()?, binding))
    });
    let schemes = value.get("signature").and_then(|policy| list(policy, "schemes", |text| text.parse().ok()));
    Some(Api {
        id,
        account: was.account?,
        name: parsed(value, "name")?,
        gateways: list(value, "gateways", |text| text.parse().ok())?,
        stages: stages.collect(),
        settings: ApiSettings {
            kind: parsed(value, "kind")?,
            description: String::new(),
            enabled: flag(value, "enabled"),
            hosts: list(value, "hosts", |text| text.parse().ok())?,
            base_path: parsed(value, "base_path")?,
            strip_base_path: false,
            admits: Admits::of(list(value, "admits", |text| text.parse().ok())?).ok()?,
            operations: list(value, "operations", operation)?,
            signature: SignaturePolicy { schemes: schemes?, ..SignaturePolicy::default() },
            app_code_in: AppCodePlaces { header: true, query: false },
            app_code_requires_tls: false,
            stream_before_digest: false,
            max_staleness_s: None,
            allowed_addresses: Vec::new(),
            system_parameters: Vec::new(),
        },
    })
}

fn caller(id: &RecordId, was: &Was) -> Option<Caller> {
    let RecordId::Caller(id) = *id else { return None };
    Some(Caller {
        id,
        account: was.account?,
        name: parsed(&was.value, "name")?,
        description: String::new(),
        enabled: flag(&was.value, "enabled"),
        tags: BTreeMap::new(),
        extension: None,
        key_sources: Vec::new(),
    })
}

fn group(id: &RecordId, was: &Was) -> Option<Group> {
    let RecordId::Group(id) = *id else { return None };
    Some(Group {
        id,
        account: was.account?,
        name: parsed(&was.value, "name")?,
        description: String::new(),
        enabled: flag(&was.value, "enabled"),
        members: Vec::new(),
    })
}

/// With material that proves nothing: nobody is recognised by it, only its kind, state and end are looked at.
fn credential(id: &RecordId, was: &Was) -> Option<Credential> {
    let RecordId::Credential(id) = *id else { return None };
    let value = &was.value;
    let proof = match text(value, "kind")? {
        "key_pair" => Proof::KeyPair {
            app_key: parsed::<AppKey>(value, "app_key")?,
            app_secret: Plaintext::new(id.to_string()).into(),
            scheme: parsed(value, "scheme")?,
            is_default: flag(value, "is_default"),
        },
        "app_code" => Proof::AppCode(OpaqueProof::Digest(nothing(id))),
        "api_key" => Proof::ApiKey(OpaqueProof::Digest(nothing(id))),
        "jwt" => Proof::Jwt(Box::new(JwtBinding {
            keys: JwtKeys::Own(JwkSet::default()),
            settings: JwtSettings::default(),
            identity_claim: IdentityClaim { name: "id".into(), value: id.to_string().into() },
        })),
        _ => return None,
    };
    Some(Credential {
        id,
        caller: parsed(value, "caller")?,
        enabled: flag(value, "enabled"),
        valid_until: parsed(value, "valid_until"),
        origin: Origin::Generated,
        created: Timestamp::from_millis(0),
        proof,
    })
}

/// A digest that no value has, another one for each credential.
fn nothing(id: CredentialId) -> CredentialDigest {
    let mut digest = [0; 32];
    digest.iter_mut().zip(id.uuid().as_bytes()).for_each(|(to, from)| *to = *from);
    CredentialDigest(digest)
}

fn grant(id: &RecordId, was: &Was) -> Option<Grant> {
    let RecordId::Grant(id) = *id else { return None };
    let value = &was.value;
    let to = text(value, "to")?;
    let grantee = match to.parse::<GroupId>() {
        Ok(group) => Grantee::Group(group),
        Err(_) => Grantee::Caller(to.parse().ok()?),
    };
    let stages = list(value, "stages", |text| text.parse().ok())?;
    Some(Grant {
        id,
        account: was.account?,
        grantee,
        api: parsed(value, "api")?,
        stages: StageSet::of(stages),
        gateways: list(value, "gateways", |text| text.parse().ok()),
        operations: list(value, "operations", operation),
        validity: Validity::new(parsed(value, "valid_from"), parsed(value, "valid_until")).ok()?,
        revoked: parsed(value, "revoked"),
        description: String::new(),
        created: Timestamp::from_millis(0),
    })
}
