//! Changes to a world, small enough that a failing sequence can be cut down.

use keyward_model::{JwtKeys, OpaqueProof};
use std::collections::{BTreeMap, BTreeSet};

use keyward_access::SnapshotUpdate;
use keyward_model::*;
use keyward_testkit::oracle::Rows;
use proptest::prelude::*;

use crate::requests::digest;
use crate::universe::{
    ADMITTED, BASES, CLAIM_NAMES, CLAIM_VALUES, GRANTED_SETS, HOST_SETS, OPERATION_SETS, PREFIXES, at,
    key_set, key_value, place, sources, uuid,
};

const ACCOUNTS: usize = 3;
const APIS: usize = 6;
const CALLERS: usize = 8;
const GROUPS: usize = 3;
const GRANTS: usize = 24;

/// One change. Numbers choose among what there may be, so that every sequence means something.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Account { slot: usize, disabled: bool },
    Service { slot: usize, disabled: bool },
    Api { slot: usize, shape: [u8; 10] },
    RemoveApi { slot: usize },
    Caller { slot: usize, shape: [u8; 9] },
    RemoveCaller { slot: usize },
    Group { slot: usize, members: u8, shape: u8 },
    RemoveGroup { slot: usize },
    Grant { slot: usize, to: u8, api: usize, shape: [u8; 5] },
    RemoveGrant { slot: usize },
}

impl Arbitrary for Step {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop_oneof![
            1 => (0..ACCOUNTS, prop::bool::weighted(0.2)).prop_map(|(slot, disabled)| Self::Account { slot, disabled }),
            1 => (0..ACCOUNTS, prop::bool::weighted(0.3)).prop_map(|(slot, disabled)| Self::Service { slot, disabled }),
            6 => (0..APIS, any::<[u8; 10]>()).prop_map(|(slot, shape)| Self::Api { slot, shape }),
            1 => (0..APIS).prop_map(|slot| Self::RemoveApi { slot }),
            8 => (0..CALLERS, any::<[u8; 9]>()).prop_map(|(slot, shape)| Self::Caller { slot, shape }),
            1 => (0..CALLERS).prop_map(|slot| Self::RemoveCaller { slot }),
            2 => (0..GROUPS, any::<u8>(), any::<u8>()).prop_map(|(slot, members, shape)| Self::Group { slot, members, shape }),
            1 => (0..GROUPS).prop_map(|slot| Self::RemoveGroup { slot }),
            20 => (0..GRANTS, any::<u8>(), 0..APIS, any::<[u8; 5]>())
                .prop_map(|(slot, to, api, shape)| Self::Grant { slot, to, api, shape }),
            2 => (0..GRANTS).prop_map(|slot| Self::RemoveGrant { slot }),
        ]
        .boxed()
    }
}

/// Rows, and which id each slot has now.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) rows: Rows,
    generation: u32,
    apis: BTreeMap<usize, ApiId>,
    callers: BTreeMap<usize, CallerId>,
    groups: BTreeMap<usize, GroupId>,
    grants: BTreeMap<usize, GrantId>,
    /// Grants and groups that the batch under way has described: what it then takes away, it must say.
    described: (BTreeSet<GrantId>, BTreeSet<GroupId>),
}

impl World {
    /// The accounts, the gateways and a service for each account: these never go.
    pub(crate) fn new() -> Self {
        let mut world = Self {
            rows: Rows::default(),
            generation: 0,
            apis: BTreeMap::new(),
            callers: BTreeMap::new(),
            groups: BTreeMap::new(),
            grants: BTreeMap::new(),
            described: Default::default(),
        };
        for slot in 0..ACCOUNTS {
            world.take(&Step::Account { slot, disabled: false });
            world.take(&Step::Service { slot, disabled: false });
        }
        for slot in 0..2 {
            let id = GatewayId::from_uuid(uuid(2, slot, 0));
            let spec = GatewaySpec {
                name: name(&format!("gateway {slot}")),
                description: String::new(),
                trusted_proxies: Vec::new(),
                limits: GatewayLimits::default(),
            };
            world.rows.gateways.insert(id, Gateway { id, spec });
        }
        world
    }

    /// Everything that there is, as updates.
    pub(crate) fn updates(&self) -> Vec<SnapshotUpdate> {
        let rows = self.rows.clone();
        let callers = rows.callers.into_values();
        let callers =
            callers.map(|(caller, credentials)| SnapshotUpdate::UpsertCaller { caller, credentials });
        // Grants first, and what they refer to last: order does not matter.
        let grants = rows.grants.into_values().map(SnapshotUpdate::UpsertGrant);
        let groups = rows.groups.into_values().map(SnapshotUpdate::UpsertGroup);
        let apis = rows.apis.into_values().map(|api| SnapshotUpdate::UpsertApi(Box::new(api)));
        let services = rows.services.into_values().map(SnapshotUpdate::UpsertService);
        let gateways = rows.gateways.into_values().map(SnapshotUpdate::UpsertGateway);
        let accounts = rows.accounts.into_values().map(SnapshotUpdate::UpsertAccount);
        grants
            .chain(groups)
            .chain(callers)
            .chain(apis)
            .chain(services)
            .chain(gateways)
            .chain(accounts)
            .collect()
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) {
        self.described = Default::default();
    }

    /// Makes a change to the rows, and tells it as updates.
    pub(crate) fn take(&mut self, step: &Step) -> Vec<SnapshotUpdate> {
        self.generation += 1;
        match *step {
            Step::Account { slot, disabled } => self.account(slot, disabled),
            Step::Service { slot, disabled } => self.service(slot, disabled),
            Step::Api { slot, shape } => self.api(slot, shape),
            Step::RemoveApi { slot } => self.remove_api(slot),
            Step::Caller { slot, shape } => self.caller(slot, shape),
            Step::RemoveCaller { slot } => self.remove_caller(slot),
            Step::Group { slot, members, shape } => self.group(slot, members, shape),
            Step::RemoveGroup { slot } => self.remove_group(slot),
            Step::Grant { slot, to, api, shape } => self.grant(slot, to, api, shape),
            Step::RemoveGrant { slot } => self.remove_grant(slot),
        }
    }

    fn account(&mut self, slot: usize, disabled: bool) -> Vec<SnapshotUpdate> {
        let id = account_id(slot);
        let text = if slot == 0 { "default".to_owned() } else { format!("account {slot}") };
        let account = Account {
            id,
            name: name(&text),
            description: String::new(),
            enabled: !disabled,
            reveal: true,
            grant_validity_max_s: None,
        };
        self.rows.accounts.insert(id, account.clone());
        vec![SnapshotUpdate::UpsertAccount(account)]
    }

    fn service(&mut self, slot: usize, disabled: bool) -> Vec<SnapshotUpdate> {
        let id = service_id(slot);
        let spec = ServiceSpec {
            account: name("default"),
            name: name(&format!("service {slot}")),
            description: String::new(),
            enabled: !disabled,
            kind: ServiceKind::Http,
            endpoints: vec![EndpointSpec { url: "http://127.0.0.1:9000".parse().unwrap(), weight: 1 }],
            timeouts: ServiceTimeouts::default(),
            service_auth: None,
        };
        let service = Service { id, account: account_id(slot), spec };
        self.rows.services.insert(id, service.clone());
        vec![SnapshotUpdate::UpsertService(service)]
    }

    fn api(&mut self, slot: usize, shape: [u8; 10]) -> Vec<SnapshotUpdate> {
        let [owner, hosts, base, admits, operations, stages, prefixes, stage_host, gateways, more] = shape;
        let before = self.apis.get(&slot).copied();
        let id = before.unwrap_or_else(|| ApiId::from_uuid(uuid(4, slot, self.generation)));
        let owner = before.map_or(usize::from(owner % 5 == 0), |id| owner_of(self.rows.apis[&id].account));
        let mut bound = BTreeMap::new();
        for (number, stage) in (0..).zip(Stage::ALL) {
            if stage == Stage::Release || stages & (1 << number) != 0 {
                let prefix = prefixes & (1 << number) != 0 && prefixes & 0x80 != 0;
                let host = stage_host % 12 == number;
                bound.insert(
                    stage,
                    StageBinding {
                        service: service_id(owner),
                        path_prefix: prefix
                            .then(|| PREFIXES[usize::from(prefixes >> 3) % 3].parse().unwrap()),
                        host: host.then(|| "y.x.test".parse().unwrap()),
                    },
                );
            }
        }
        let signature = SignaturePolicy {
            schemes: vec![if more & 1 == 0 { SignatureScheme::Alibaba } else { SignatureScheme::Tencent }],
            ..SignaturePolicy::default()
        };
        let hosts =
            if hosts & 0x80 == 0 { HOST_SETS[0] } else { HOST_SETS[usize::from(hosts) % HOST_SETS.len()] };
        let settings = ApiSettings {
            kind: ApiKind::Rest,
            description: String::new(),
            enabled: more % 10 != 0,
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            base_path: BASES[usize::from(base) % BASES.len()].parse().unwrap(),
            strip_base_path: false,
            admits: Admits::of(ADMITTED[usize::from(admits) % ADMITTED.len()].iter().copied()).unwrap(),
            operations: parsed(OPERATION_SETS[usize::from(operations) % OPERATION_SETS.len()]),
            signature,
            app_code_in: AppCodePlaces { header: true, query: false },
            app_code_requires_tls: true,
            stream_before_digest: false,
            max_staleness_s: None,
            allowed_addresses: if more % 9 == 0 { vec!["127.0.0.0/8".parse().unwrap()] } else { Vec::new() },
            system_parameters: Vec::new(),
        };
        let on = |slot| GatewayId::from_uuid(uuid(2, slot, 0));
        let gateways =
            vec![vec![on(0)], vec![on(0), on(1)], vec![on(1)]].swap_remove(usize::from(gateways % 3));
        let api = Api {
            id,
            account: account_id(owner),
            name: name(&format!("api {slot}")),
            gateways,
            stages: bound,
            settings,
        };
        self.apis.insert(slot, id);
        self.rows.apis.insert(id, api.clone());
        vec![SnapshotUpdate::UpsertApi(Box::new(api))]
    }

    fn remove_api(&mut self, slot: usize) -> Vec<SnapshotUpdate> {
        let Some(id) = self.apis.remove(&slot) else { return Vec::new() };
        self.rows.apis.remove(&id);
        let mut updates = self.drop_grants(|grant| grant.api == id);
        updates.push(SnapshotUpdate::RemoveApi(id));
        updates
    }

    fn caller(&mut self, slot: usize, shape: [u8; 9]) -> Vec<SnapshotUpdate> {
        let [enabled, key_sources, keys, key, jwt, key_set_number, claim, token_place, states] = shape;
        let id = *self
            .callers
            .entry(slot)
            .or_insert_with(|| CallerId::from_uuid(CallerKind::Consumer, uuid(5, slot, self.generation)));
        let caller = Caller {
            id,
            account: account_id(slot % ACCOUNTS),
            name: name(&format!("consumer {slot}")),
            description: String::new(),
            enabled: enabled % 8 != 0,
            tags: BTreeMap::new(),
            extension: None,
            key_sources: sources(key_sources),
        };
        // Keys of its own as a rule, and now and then one that another consumer may have.
        let own = u8::try_from(slot).unwrap() * 2;
        let key_count = keys % 4;
        let values = (0..key_count).map(|n| if key % 16 == 0 && n == 2 { 16 + key % 4 } else { own + n % 2 });
        let values: BTreeSet<u8> = values.collect();
        let mut proofs: Vec<Proof> = values
            .into_iter()
            .map(|value| Proof::ApiKey(OpaqueProof::Digest(digest(&key_value(value)))))
            .collect();
        if jwt % 2 == 0 {
            let identity_claim = IdentityClaim {
                name: CLAIM_NAMES[usize::from(claim) % CLAIM_NAMES.len()].into(),
                value: CLAIM_VALUES[usize::from(claim >> 2) % CLAIM_VALUES.len()].into(),
            };
            let settings = JwtSettings { token: place(token_place), ..JwtSettings::default() };
            proofs.push(Proof::Jwt(Box::new(JwtBinding {
                keys: JwtKeys::Own(key_set(key_set_number)),
                settings,
                identity_claim,
            })));
        }
        let credentials = proofs.into_iter().enumerate().map(|(number, proof)| Credential {
            id: CredentialId::from_uuid(uuid(6, slot * 8 + number, 0)),
            caller: id,
            enabled: states % 7 != 0,
            valid_until: (states % 5 == 0).then(|| at(i64::from(states % 3) * 5)),
            origin: Origin::Custom,
            created: at(0),
            proof,
        });
        let credentials: Vec<_> = credentials.collect();
        self.rows.callers.insert(id, (caller.clone(), credentials.clone()));
        vec![SnapshotUpdate::UpsertCaller { caller, credentials }]
    }

    fn remove_caller(&mut self, slot: usize) -> Vec<SnapshotUpdate> {
        let Some(id) = self.callers.remove(&slot) else { return Vec::new() };
        self.rows.callers.remove(&id);
        for group in self.rows.groups.values_mut() {
            group.members.retain(|member| *member != id);
        }
        // Its grants and memberships go along, untold but for those that this batch told otherwise.
        let mut updates = self.drop_grants(|grant| grant.grantee == Grantee::Caller(id));
        updates.retain(|update| self.contradicts(update));
        let told = self.described.1.iter().filter_map(|group| self.rows.groups.get(group));
        updates.extend(told.cloned().map(SnapshotUpdate::UpsertGroup));
        updates.push(SnapshotUpdate::RemoveCaller(id));
        updates
    }

    fn group(&mut self, slot: usize, members: u8, shape: u8) -> Vec<SnapshotUpdate> {
        let before = self.groups.get(&slot).copied();
        let id = before.unwrap_or_else(|| GroupId::from_uuid(uuid(7, slot, self.generation)));
        let owner =
            before.map_or(usize::from(shape.is_multiple_of(4)), |id| owner_of(self.rows.groups[&id].account));
        let chosen = self.callers.iter().filter(|(slot, _)| members & (1 << **slot) != 0).map(|(_, id)| *id);
        // Now and then one of another account's, which is refused.
        let own = |id: &CallerId| shape % 16 == 1 || self.rows.callers[id].0.account == account_id(owner);
        let members = chosen.filter(own).collect();
        let group = Group {
            id,
            account: account_id(owner),
            name: name(&format!("group {slot}")),
            description: String::new(),
            enabled: !shape.is_multiple_of(6),
            members,
        };
        self.groups.insert(slot, id);
        self.rows.groups.insert(id, group.clone());
        self.described.1.insert(id);
        vec![SnapshotUpdate::UpsertGroup(group)]
    }

    fn remove_group(&mut self, slot: usize) -> Vec<SnapshotUpdate> {
        let Some(id) = self.groups.remove(&slot) else { return Vec::new() };
        self.rows.groups.remove(&id);
        let mut updates = self.drop_grants(|grant| grant.grantee == Grantee::Group(id));
        updates.retain(|update| self.contradicts(update));
        updates.push(SnapshotUpdate::RemoveGroup(id));
        updates
    }

    fn grant(&mut self, slot: usize, to: u8, api: usize, shape: [u8; 5]) -> Vec<SnapshotUpdate> {
        let [stages, gateways, operations, validity, revoked] = shape;
        let Some(&api) = self.apis.values().nth(api % self.apis.len().max(1)) else { return Vec::new() };
        let account = self.rows.apis[&api].account;
        let groups: Vec<GroupId> = self
            .rows
            .groups
            .values()
            .filter(|group| group.account == account)
            .map(|group| group.id)
            .collect();
        let callers: Vec<CallerId> = self.callers.values().copied().collect();
        let number = usize::from(to >> 2);
        let grantee = match (to % 4, groups.is_empty(), callers.is_empty()) {
            (0, false, _) => Grantee::Group(groups[number % groups.len()]),
            (_, _, false) => Grantee::Caller(callers[number % callers.len()]),
            _ => return Vec::new(),
        };
        // What a grant is for never changes: another one takes its slot.
        let same = |id: &GrantId| {
            let before = &self.rows.grants[id];
            (before.grantee, before.api) == (grantee, api)
        };
        let mut updates = match self.grants.get(&slot) {
            Some(id) if same(id) => Vec::new(),
            _ => self.remove_grant(slot),
        };
        let id =
            *self.grants.entry(slot).or_insert_with(|| GrantId::from_uuid(uuid(8, slot, self.generation)));
        let bounds = [
            (None, None),
            (Some(0), None),
            (None, Some(10)),
            (Some(1), Some(10)),
            (Some(-5), Some(0)),
            (None, None),
        ];
        let (from, until) = bounds[usize::from(validity) % bounds.len()];
        let on = |slot| GatewayId::from_uuid(uuid(2, slot, 0));
        let grant = Grant {
            id,
            account,
            grantee,
            api,
            stages: StageSet::from_bits(if stages % 3 == 0 { stages >> 2 } else { 7 }),
            gateways: vec![None, Some(vec![on(0)]), None, Some(vec![on(1), on(0)]), Some(vec![on(1)])]
                .swap_remove(usize::from(gateways % 5)),
            operations: (operations % 2 == 0)
                .then(|| parsed(GRANTED_SETS[usize::from(operations >> 1) % GRANTED_SETS.len()])),
            validity: Validity { from: from.map(at), until: until.map(at) },
            revoked: (revoked % 5 == 0).then(|| at(0)),
            description: String::new(),
            created: at(0),
        };
        self.rows.grants.insert(id, grant.clone());
        self.described.0.insert(id);
        updates.push(SnapshotUpdate::UpsertGrant(grant));
        updates
    }

    fn remove_grant(&mut self, slot: usize) -> Vec<SnapshotUpdate> {
        let Some(&id) = self.grants.get(&slot) else { return Vec::new() };
        self.drop_grants(|grant| grant.id == id)
    }

    /// Does this take back what the batch under way described?
    fn contradicts(&self, update: &SnapshotUpdate) -> bool {
        matches!(update, SnapshotUpdate::RemoveGrant { id, .. } if self.described.0.contains(id))
    }

    /// Drops grants, and tells it.
    fn drop_grants(&mut self, which: impl Fn(&Grant) -> bool) -> Vec<SnapshotUpdate> {
        let gone: Vec<Grant> = self.rows.grants.values().filter(|grant| which(grant)).cloned().collect();
        for grant in &gone {
            self.rows.grants.remove(&grant.id);
            self.grants.retain(|_, id| *id != grant.id);
        }
        gone.into_iter()
            .map(|grant| SnapshotUpdate::RemoveGrant { id: grant.id, grantee: grant.grantee })
            .collect()
    }
}

fn account_id(slot: usize) -> AccountId {
    AccountId::from_uuid(uuid(1, slot, 0))
}

fn owner_of(account: AccountId) -> usize {
    (0..ACCOUNTS).find(|slot| account_id(*slot) == account).unwrap()
}

fn service_id(slot: usize) -> ServiceId {
    ServiceId::from_uuid(uuid(3, slot, 0))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn parsed(operations: &[&str]) -> Vec<Operation> {
    let parse = |text: &&str| {
        let (method, path) = text.split_once(' ').unwrap();
        Operation { method: (method != "*").then(|| method.parse().unwrap()), path: path.parse().unwrap() }
    };
    operations.iter().map(parse).collect()
}
