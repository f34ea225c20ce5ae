//! Small worlds, and requests in them.

use keyward_model::OpaqueProof;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use keyward_access::{
    Authentication, Body, Denial, Field, Permit, RequestHead, Snapshot, SnapshotUpdate, Target, authenticate,
    authenticate_remembering, authorize, digest_credential, jwt::TokenMemory, resolve,
};
use keyward_model::*;
use uuid::Uuid;

/// Noon of a day in June, in milliseconds.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_780_315_200_000);

thread_local! {
    /// Goes through all worlds of a test, as a core's goes through all Snapshots.
    static TOKENS: TokenMemory = TokenMemory::new();
}

pub(crate) const DIGEST_KEY: DigestKey = DigestKey([7; 32]);

pub(crate) fn revision(number: u64) -> Revision {
    Revision { store: Uuid::from_u128(1), number }
}

/// Everything that there is, by noun. Ids count up, so what is made first is the oldest.
#[derive(Clone)]
pub(crate) struct World {
    next: u128,
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) gateways: BTreeMap<GatewayId, Gateway>,
    pub(crate) services: BTreeMap<ServiceId, Service>,
    pub(crate) apis: BTreeMap<ApiId, Api>,
    pub(crate) callers: BTreeMap<CallerId, (Caller, Vec<Credential>)>,
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) grants: BTreeMap<GrantId, Grant>,
    pub(crate) plugins: BTreeMap<PluginId, Plugin>,
    pub(crate) modules: BTreeMap<ModuleId, Module>,
    pub(crate) account: AccountId,
    pub(crate) gateway: GatewayId,
    pub(crate) service: ServiceId,
}

impl World {
    /// The account and the gateway `default`, and a service.
    pub(crate) fn new() -> Self {
        let nil = Uuid::nil();
        let mut world = Self {
            next: 1,
            accounts: BTreeMap::new(),
            gateways: BTreeMap::new(),
            services: BTreeMap::new(),
            apis: BTreeMap::new(),
            callers: BTreeMap::new(),
            groups: BTreeMap::new(),
            grants: BTreeMap::new(),
            plugins: BTreeMap::new(),
            modules: BTreeMap::new(),
            account: AccountId::from_uuid(nil),
            gateway: GatewayId::from_uuid(nil),
            service: ServiceId::from_uuid(nil),
        };
        world.account = world.account("default");
        world.gateway = world.gateway("default");
        world.service = world.service(world.account);
        world
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next)
    }

    pub(crate) fn account(&mut self, text: &str) -> AccountId {
        let id = AccountId::from_uuid(self.uuid());
        let account = Account {
            id,
            name: name(text),
            description: String::new(),
            enabled: true,
            reveal: true,
            grant_validity_max_s: None,
        };
        self.accounts.insert(id, account);
        id
    }

    pub(crate) fn gateway(&mut self, text: &str) -> GatewayId {
        let id = GatewayId::from_uuid(self.uuid());
        let spec = GatewaySpec {
            name: name(text),
            description: String::new(),
            trusted_proxies: Vec::new(),
            limits: GatewayLimits::default(),
        };
        self.gateways.insert(id, Gateway { id, spec });
        id
    }

    pub(crate) fn service(&mut self, account: AccountId) -> ServiceId {
        let id = ServiceId::from_uuid(self.uuid());
        let spec = ServiceSpec {
            account: self.accounts[&account].name.clone(),
            name: name(&format!("service {}", self.next)),
            description: String::new(),
            enabled: true,
            kind: ServiceKind::Http,
            endpoints: vec![EndpointSpec { url: "http://127.0.0.1:9000".parse().unwrap(), weight: 1 }],
            timeouts: ServiceTimeouts::default(),
            service_auth: None,
        };
        self.services.insert(id, Service { id, account, spec });
        id
    }

    /// An API of account `default` on host `api.test`, on every stage, that admits these kinds.
    pub(crate) fn api(&mut self, base_path: &str, admits: &[CredentialKind]) -> ApiId {
        let id = ApiId::from_uuid(self.uuid());
        let binding = StageBinding { service: self.service, path_prefix: None, host: None };
        let settings = ApiSettings {
            kind: ApiKind::Rest,
            description: String::new(),
            enabled: true,
            hosts: vec!["api.test".parse().unwrap()],
            base_path: base_path.parse().unwrap(),
            strip_base_path: false,
            admits: Admits::of(admits.iter().copied()).unwrap(),
            operations: Vec::new(),
            signature: SignaturePolicy::default(),
            app_code_in: AppCodePlaces { header: true, query: false },
            app_code_requires_tls: true,
            stream_before_digest: false,
            max_staleness_s: None,
            allowed_addresses: Vec::new(),
            system_parameters: Vec::new(),
        };
        let api = Api {
            id,
            account: self.account,
            name: name(&format!("api {}", self.next)),
            gateways: vec![self.gateway],
            stages: Stage::ALL.into_iter().map(|stage| (stage, binding.clone())).collect(),
            settings,
        };
        self.apis.insert(id, api);
        id
    }

    pub(crate) fn edit(&mut self, api: ApiId, edit: impl FnOnce(&mut Api)) {
        edit(self.apis.get_mut(&api).unwrap());
    }

    pub(crate) fn application(&mut self, account: AccountId) -> CallerId {
        self.caller(CallerKind::Application, account)
    }

    pub(crate) fn consumer(&mut self, account: AccountId) -> CallerId {
        self.caller(CallerKind::Consumer, account)
    }

    fn caller(&mut self, kind: CallerKind, account: AccountId) -> CallerId {
        let id = CallerId::from_uuid(kind, self.uuid());
        let caller = Caller {
            id,
            account,
            name: name(&format!("caller {}", self.next)),
            description: String::new(),
            enabled: true,
            tags: BTreeMap::new(),
            extension: None,
            key_sources: match kind {
                CallerKind::Application => Vec::new(),
                CallerKind::Consumer => vec![KeySource::Bearer],
            },
        };
        self.callers.insert(id, (caller, Vec::new()));
        id
    }

    pub(crate) fn credential(&mut self, caller: CallerId, proof: Proof) -> CredentialId {
        let id = CredentialId::from_uuid(self.uuid());
        let credential = Credential {
            id,
            caller,
            enabled: true,
            valid_until: None,
            origin: Origin::Custom,
            created: NOON,
            proof,
        };
        self.callers.get_mut(&caller).unwrap().1.push(credential);
        id
    }

    pub(crate) fn edit_credential(&mut self, id: CredentialId, edit: impl FnOnce(&mut Credential)) {
        let mut all = self.callers.values_mut().flat_map(|(_, credentials)| credentials);
        edit(all.find(|credential| credential.id == id).unwrap());
    }

    pub(crate) fn key(&mut self, caller: CallerId, value: &str) -> CredentialId {
        self.credential(
            caller,
            Proof::ApiKey(OpaqueProof::Digest(digest_credential(&DIGEST_KEY, value.as_bytes()))),
        )
    }

    pub(crate) fn app_code(&mut self, caller: CallerId, value: &str) -> CredentialId {
        self.credential(
            caller,
            Proof::AppCode(OpaqueProof::Digest(digest_credential(&DIGEST_KEY, value.as_bytes()))),
        )
    }

    pub(crate) fn pair(
        &mut self,
        caller: CallerId,
        app_key: &str,
        secret: &str,
        scheme: SignatureScheme,
    ) -> CredentialId {
        let app_key = app_key.parse().unwrap();
        let is_default = self.callers[&caller].1.is_empty();
        self.credential(
            caller,
            Proof::KeyPair { app_key, app_secret: Plaintext::new(secret).into(), scheme, is_default },
        )
    }

    /// A consumer with an API key of this value, at `Authorization: Bearer`.
    pub(crate) fn keyed(&mut self, value: &str) -> CallerId {
        let caller = self.consumer(self.account);
        self.key(caller, value);
        caller
    }

    pub(crate) fn group(&mut self, members: &[CallerId]) -> GroupId {
        let id = GroupId::from_uuid(self.uuid());
        let group = Group {
            id,
            account: self.account,
            name: name(&format!("group {}", self.next)),
            description: String::new(),
            enabled: true,
            members: members.to_vec(),
        };
        self.groups.insert(id, group);
        id
    }

    pub(crate) fn grant(&mut self, grantee: Grantee, api: ApiId) -> GrantId {
        self.grant_with(grantee, api, |_| {})
    }

    pub(crate) fn grant_with(
        &mut self,
        grantee: Grantee,
        api: ApiId,
        edit: impl FnOnce(&mut Grant),
    ) -> GrantId {
        let id = GrantId::from_uuid(self.uuid());
        let mut grant = Grant {
            id,
            account: self.apis[&api].account,
            grantee,
            api,
            stages: StageSet::ALL,
            gateways: None,
            operations: None,
            validity: Validity::default(),
            revoked: None,
            description: String::new(),
            created: NOON,
        };
        edit(&mut grant);
        self.grants.insert(id, grant);
        id
    }

    /// A module of account `default`, whose code is told apart by its name.
    pub(crate) fn module(&mut self, text: &str) -> ModuleId {
        let id = ModuleId::from_uuid(self.uuid());
        let code = [b"\0asm\x01\0\0\0", text.as_bytes()].concat();
        let settings = ModuleSettings::new(ModuleCode::parse(code).unwrap());
        let module = Module { id, account: self.account, name: name(text), services: Vec::new(), settings };
        self.modules.insert(id, module);
        id
    }

    /// A plugin of account `default`.
    pub(crate) fn plugin(&mut self, kind: &str, on: PluginOn<GatewayId, ApiId>, config: &str) -> PluginId {
        let id = PluginId::from_uuid(self.uuid());
        let kind: PluginKind = kind.parse().unwrap();
        let config = PluginConfig::parse(&kind, config).unwrap();
        let settings = PluginSettings { kind, order: 0, enabled: true, description: String::new(), config };
        self.plugins.insert(id, Plugin { id, account: self.account, on, services: Vec::new(), settings });
        id
    }

    pub(crate) fn updates(&self) -> Vec<SnapshotUpdate> {
        let accounts = self.accounts.values().cloned().map(SnapshotUpdate::UpsertAccount);
        let gateways = self.gateways.values().cloned().map(SnapshotUpdate::UpsertGateway);
        let services = self.services.values().cloned().map(SnapshotUpdate::UpsertService);
        let apis = self.apis.values().cloned().map(|api| SnapshotUpdate::UpsertApi(Box::new(api)));
        let plugins = self.plugins.values().cloned();
        let plugins = plugins.map(|plugin| SnapshotUpdate::UpsertPlugin(Box::new(plugin)));
        let modules = self.modules.values().cloned();
        let modules = modules.map(|module| SnapshotUpdate::UpsertModule(Box::new(module)));
        let callers = self.callers.values().cloned();
        let callers =
            callers.map(|(caller, credentials)| SnapshotUpdate::UpsertCaller { caller, credentials });
        let groups = self.groups.values().cloned().map(SnapshotUpdate::UpsertGroup);
        let grants = self.grants.values().cloned().map(SnapshotUpdate::UpsertGrant);
        accounts
            .chain(gateways)
            .chain(services)
            .chain(apis)
            .chain(callers)
            .chain(groups)
            .chain(grants)
            .chain(plugins)
            .chain(modules)
            .collect()
    }

    /// Everything compiled; nothing may be left out.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let loaded = Snapshot::load(revision(1), DIGEST_KEY, self.updates());
        assert_eq!(loaded.quarantined, []);
        loaded.snapshot
    }

    pub(crate) fn upsert_caller(&self, id: CallerId) -> SnapshotUpdate {
        let (caller, credentials) = self.callers[&id].clone();
        SnapshotUpdate::UpsertCaller { caller, credentials }
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn header(text: &str) -> HeaderName {
    text.parse().unwrap()
}

pub(crate) fn operation(text: &str) -> Operation {
    let (method, path) = text.split_once(' ').unwrap();
    Operation { method: (method != "*").then(|| method.parse().unwrap()), path: path.parse().unwrap() }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    NOON.plus_millis(millis)
}

/// A request, built up.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) client: IpAddr,
    pub(crate) secure: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) now: Timestamp,
    /// When the Snapshot was last known to be the newest; absent: it is.
    pub(crate) confirmed_at: Option<Timestamp>,
}

pub(crate) fn get(target: &str) -> Call {
    call("GET", target)
}

pub(crate) fn call(method: &str, target: &str) -> Call {
    let (path, query) =
        target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.into())));
    Call {
        method: method.into(),
        host: "api.test".into(),
        path: path.into(),
        query,
        headers: Vec::new(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: false,
        body: Vec::new(),
        now: NOON,
        confirmed_at: None,
    }
}

impl Call {
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    pub(crate) fn from(mut self, client: &str) -> Self {
        self.client = client.parse().unwrap();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn bearer(self, value: &str) -> Self {
        self.header("Authorization", &format!("Bearer {value}"))
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    pub(crate) fn confirmed_at(mut self, at: Timestamp) -> Self {
        self.confirmed_at = Some(at);
        self
    }

    /// Hands over the head.
    pub(crate) fn with_head<T>(&self, run: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let fields: Vec<Field<'_>> = self.headers.iter().map(|(name, value)| Field { name, value }).collect();
        run(&RequestHead {
            method: &self.method,
            host: &self.host,
            path: &self.path,
            query: self.query.as_deref(),
            fields: &fields,
            client: self.client,
            secure: self.secure,
            has_body: !self.body.is_empty(),
        })
    }

    /// Resolves it, and hands over the target.
    pub(crate) fn resolve<T>(&self, world: &World, run: impl FnOnce(&Target<'_>) -> T) -> Result<T, Denial> {
        let snapshot = world.snapshot();
        self.with_head(|head| resolve(&snapshot, world.gateway, head).map(|target| run(&target)))
    }

    /// Takes it up the whole ladder.
    pub(crate) fn judge(&self, snapshot: &Snapshot, gateway: GatewayId) -> Result<Permit, Denial> {
        self.with_head(|head| {
            let target = resolve(snapshot, gateway, head)?;
            let fresh = authenticate(snapshot, &target, head, Body::Unread, self.now);
            TOKENS.with(|tokens| {
                let again = authenticate_remembering(snapshot, &target, head, Body::Unread, self.now, tokens);
                assert_eq!(format!("{again:?}"), format!("{fresh:?}"), "what is remembered decides nothing");
            });
            let mut proven = fresh?;
            if matches!(proven, Authentication::NeedsBody(_)) {
                proven = authenticate(snapshot, &target, head, Body::Whole(&self.body), self.now)?;
            }
            authorize(snapshot, &target, &proven, self.confirmed_at.unwrap_or(self.now), self.now)
        })
    }

    /// The grant that permits it (`None` for anyone), or the reason why nothing does.
    pub(crate) fn decide(&self, world: &World) -> Result<Option<GrantId>, DenyReason> {
        self.judge(&world.snapshot(), world.gateway)
            .map(|permit| permit.grant())
            .map_err(|denial| denial.reason)
    }

    /// The reason why it is refused.
    #[track_caller]
    pub(crate) fn refused(&self, world: &World) -> DenyReason {
        self.decide(world).expect_err("it must be refused")
    }

    #[track_caller]
    pub(crate) fn passes(&self, world: &World) -> Option<GrantId> {
        self.decide(world).expect("it must pass")
    }
}
