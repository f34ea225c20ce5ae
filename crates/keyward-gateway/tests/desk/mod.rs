//! A gateway's handler without a transport: requests go in as heads, and steps come out.

#![allow(dead_code, reason = "each test file uses a part of it")]

use keyward_model::OpaqueProof;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use keyward_access::signature::{DigestChoice, SignRequest, SigningSecret, sign};
use keyward_access::{Field as AccessField, Snapshot, SnapshotUpdate, digest_credential};
use keyward_gateway::{
    AccessLog, Clock, Exchange, Gateway, GatewayHandler, History, ReplayMemory, ReplayOptions,
};
use keyward_http::{BodyLength, Field, Forward, Handler, Head, Outcome, Peer, Response, Step};
use keyward_model::*;
use uuid::Uuid;

/// 2025-11-21T10:00:00Z.
pub(crate) const NOW_MS: i64 = 1_763_719_200_000;
pub(crate) const API_KEY: &str = "kw-test-api-key-0123456789";
pub(crate) const OTHER_KEY: &str = "kw-test-other-key-0123456789";
pub(crate) const APP_KEY: &str = "203753385";
pub(crate) const APP_SECRET: &str = "secret-0123456789abcdef0123456789";
const DIGEST_KEY: DigestKey = DigestKey([9; 32]);

/// A clock that the test turns.
#[derive(Debug)]
pub(crate) struct Hands {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl Hands {
    pub(crate) fn pass(&self, ms: u64) {
        self.wall_ms.fetch_add(ms as i64, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::SeqCst)
    }
}

/// A handler, with what it decides by.
pub(crate) struct Desk {
    pub handler: GatewayHandler,
    pub gateway: Gateway,
    pub hands: Arc<Hands>,
    log_path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new(world: World) -> Self {
        Self::running(world, None)
    }

    /// With somebody who runs custom plugins.
    pub(crate) fn running(world: World, custom: Option<Arc<dyn keyward_gateway::CustomPlugins>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hands = Arc::new(Hands { wall_ms: AtomicI64::new(NOW_MS), monotonic_ms: AtomicU64::new(1_000) });
        let options = ReplayOptions { capacity: 1_000, per_application: 3 };
        let replay =
            ReplayMemory::open(&folder.path().join("replay"), options, History::None, hands.clone()).unwrap();
        let published = Arc::new(ArcSwap::from_pointee(world.snapshot(1)));
        let mut gateway = Gateway::new(world.gateway, published, hands.clone(), replay).unwrap();
        gateway.custom = custom;
        let log_path = folder.path().join("access.log");
        gateway.log = Some(AccessLog::to_file(&log_path).unwrap());
        Self { handler: gateway.handler(), gateway, hands, log_path, _folder: folder }
    }

    /// Another configuration takes effect.
    pub(crate) fn publish(&self, world: World) {
        let number = self.gateway.published.load().revision().number + 1;
        self.gateway.published.store(Arc::new(world.snapshot(number)));
    }

    /// Every record so far; nothing is recorded afterwards.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        self.gateway.log.as_ref().unwrap().close();
        let text = std::fs::read_to_string(&self.log_path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn ask(&self, request: &Ask) -> Asked<'_> {
        let mut out = Vec::new();
        let (exchange, step) = request.with_head(|head| self.handler.head(head, &request.peer, &mut out));
        Asked { desk: self, request: request.clone(), exchange: Some(exchange), step, out }
    }

    /// Asks, ends the exchange, and tells the answer or what went to the service.
    pub(crate) fn call(&self, request: &Ask) -> Result<Sent, Answer> {
        self.ask(request).end()
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub method: String,
    pub target: String,
    pub host: String,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub length: BodyLength,
    pub peer: Peer,
}

impl Ask {
    pub(crate) fn get(target: &str) -> Self {
        Self {
            method: "GET".into(),
            target: target.into(),
            host: "gw.test".into(),
            fields: vec![("Host".into(), b"gw.test:8080".to_vec())],
            body: Vec::new(),
            length: BodyLength::None,
            peer: Peer {
                address: "192.0.2.7:40000".parse::<SocketAddr>().unwrap(),
                local: "192.0.2.1:8080".parse().unwrap(),
                secure: false,
            },
        }
    }

    pub(crate) fn post(target: &str, content_type: &str, body: &str) -> Self {
        let mut ask = Self { method: "POST".into(), body: body.into(), ..Self::get(target) };
        ask.length = BodyLength::Known(body.len() as u64);
        ask.field("Content-Type", content_type)
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.as_bytes().to_vec()));
        self
    }

    pub(crate) fn from(mut self, address: &str) -> Self {
        self.peer.address = SocketAddr::new(address.parse().unwrap(), 40_000);
        self
    }

    pub(crate) fn signed(self, nonce: &str) -> Self {
        self.signed_at(nonce, NOW_MS)
    }

    pub(crate) fn signed_at(mut self, nonce: &str, at_ms: i64) -> Self {
        let (path, query) = split(&self.target);
        let fields: Vec<_> = self.fields.iter().map(|(name, value)| AccessField { name, value }).collect();
        let secret = SigningSecret::new(&Plaintext::new(APP_SECRET));
        let signed = sign(&SignRequest {
            scheme: SignatureScheme::Alibaba,
            algorithm: HmacAlgorithm::Sha256,
            method: &self.method,
            path,
            query,
            headers: &fields,
            sign_headers: &[],
            body: &self.body,
            app_key: APP_KEY,
            secret: &secret,
            timestamp: Some(Timestamp::from_millis(at_ms)),
            nonce: Some(nonce),
            stage: None,
            digest: DigestChoice::NotForms,
        })
        .unwrap();
        self.fields
            .extend(signed.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())));
        self
    }

    fn with_head<R>(&self, then: impl FnOnce(&Head<'_>) -> R) -> R {
        let (path, query) = split(&self.target);
        let fields: Vec<_> = self.fields.iter().map(|(name, value)| Field { name, value }).collect();
        then(&Head {
            method: &self.method,
            path,
            query,
            host: &self.host,
            authority: "gw.test:8080",
            fields: &fields,
            body: self.length,
            http10: false,
        })
    }
}

fn split(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

/// A request that was asked about.
pub(crate) struct Asked<'d> {
    desk: &'d Desk,
    request: Ask,
    pub exchange: Option<Exchange>,
    pub step: Step,
    out: Vec<u8>,
}

impl Asked<'_> {
    /// The body that was asked for has come.
    pub(crate) fn deliver(&mut self) {
        let exchange = self.exchange.as_mut().unwrap();
        let (desk, request) = (self.desk, &self.request);
        self.out.clear();
        let step = request
            .with_head(|head| desk.handler.body(exchange, head, &request.peer, &request.body, &mut self.out));
        self.step = step;
    }

    /// The word that was awaited has come, or is too late.
    pub(crate) fn resume(&mut self) {
        let exchange = self.exchange.as_mut().unwrap();
        let (desk, request) = (self.desk, &self.request);
        self.out.clear();
        let step =
            request.with_head(|head| desk.handler.resume(exchange, head, &request.peer, None, &mut self.out));
        self.step = step;
    }

    pub(crate) fn forward(&self) -> &Forward {
        match &self.step {
            Step::Forward(forward) => forward,
            other => panic!("it was not let go: {other:?}"),
        }
    }

    pub(crate) fn exchange(&mut self) -> &mut Exchange {
        self.exchange.as_mut().unwrap()
    }

    /// Ends the exchange, holding and delivering the body where that was asked for.
    pub(crate) fn end(mut self) -> Result<Sent, Answer> {
        if matches!(self.step, Step::Hold { .. }) {
            self.deliver();
        }
        let exchange = self.exchange.take().unwrap();
        let result = match self.step {
            Step::Hold { .. } => panic!("the body was asked for twice"),
            Step::Pause(_) => panic!("nobody is asked elsewhere here"),
            Step::Respond(response) => Err(Answer::of(&response)),
            Step::Forward(ref forward) => {
                let endpoint = forward.endpoint.to_string();
                let body = forward.body.clone();
                Ok(Sent { body, ..Sent::of(std::str::from_utf8(&self.out).unwrap(), endpoint) })
            }
        };
        let status = result.as_ref().map_or_else(|answer| answer.status, |_| 200);
        self.desk.handler.finished(exchange, &outcome(status));
        result
    }
}

pub(crate) fn outcome(status: u16) -> Outcome {
    Outcome {
        status,
        duration: Duration::from_micros(100),
        request_bytes: 0,
        response_bytes: 0,
        complete: true,
        forwarded: status == 200,
    }
}

/// What went to the service.
#[derive(Debug)]
pub(crate) struct Sent {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub endpoint: String,
    /// The body in place of the one that came.
    pub body: Option<Vec<u8>>,
}

impl Sent {
    fn of(text: &str, endpoint: String) -> Self {
        let mut lines = text.strip_suffix("\r\n").unwrap().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        Self { line, fields: lines.map(name_and_value).collect(), endpoint, body: None }
    }

    /// The values of every field of this name, in any case.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    /// The body, if it is JSON.
    pub problem: serde_json::Value,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(response: &Response) -> Self {
        let text = std::str::from_utf8(&response.fields).unwrap();
        Self {
            status: response.status,
            fields: text.strip_suffix("\r\n").unwrap().split("\r\n").map(name_and_value).collect(),
            problem: serde_json::from_slice(&response.body).unwrap_or_default(),
            body: response.body.clone(),
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn reason(&self) -> &str {
        self.problem["reason"].as_str().unwrap()
    }
}

fn name_and_value(line: &str) -> (String, String) {
    line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()
}

/// One account, one service, one API, one application, two consumers, and grants for all but the last.
#[derive(Clone)]
pub(crate) struct World {
    pub gateway: GatewayId,
    pub api: ApiSettings,
    pub endpoints: Vec<(&'static str, u32)>,
    pub service_auth: Option<ServiceAuth>,
    pub trusted_proxies: Vec<IpNet>,
    pub body_bytes: u64,
    pub shop_name: &'static str,
    pub extension: Option<String>,
    pub grants_revoked: Option<Timestamp>,
    pub key_sources: Vec<KeySource>,
    pub jwt: Option<JwtBinding>,
    /// Kinds and configurations, bound to the API, the oldest first.
    pub plugins: Vec<(&'static str, String)>,
    /// What the modules of custom ones are set up with.
    pub module: ModuleSettings,
}

impl Default for World {
    fn default() -> Self {
        Self {
            gateway: GatewayId::from_uuid(Uuid::from_u128(1)),
            api: ApiSettings {
                kind: ApiKind::Rest,
                description: String::new(),
                enabled: true,
                hosts: Vec::new(),
                base_path: "/orders".parse().unwrap(),
                strip_base_path: false,
                admits: Admits::of([CredentialKind::AppSignature, CredentialKind::ApiKey]).unwrap(),
                operations: Vec::new(),
                signature: SignaturePolicy::default(),
                app_code_in: AppCodePlaces { header: true, query: true },
                app_code_requires_tls: true,
                stream_before_digest: false,
                max_staleness_s: None,
                allowed_addresses: Vec::new(),
                system_parameters: Vec::new(),
            },
            endpoints: vec![("http://127.0.0.1:9000/base", 1)],
            service_auth: None,
            trusted_proxies: Vec::new(),
            body_bytes: 4 * 1024 * 1024,
            shop_name: "shop",
            extension: None,
            grants_revoked: None,
            key_sources: vec![
                KeySource::Bearer,
                KeySource::Header("x-api-key".parse().unwrap()),
                KeySource::Query("apikey".into()),
            ],
            jwt: None,
            plugins: Vec::new(),
            module: ModuleSettings::new(ModuleCode::parse(&b"\0asm\x01\0\0\0"[..]).unwrap()),
        }
    }
}

impl World {
    /// An API that anyone may call, with these plugins.
    pub(crate) fn with_plugins(plugins: &[(&'static str, &str)]) -> Self {
        let plugins = plugins.iter().map(|(kind, config)| (*kind, (*config).to_owned())).collect();
        Self { plugins, ..Self::admitting(&[CredentialKind::Anyone]) }
    }

    pub(crate) fn admitting(kinds: &[CredentialKind]) -> Self {
        let mut world = Self::default();
        world.api.admits = Admits::of(kinds.iter().copied()).unwrap();
        world
    }

    fn snapshot(&self, number: u64) -> Snapshot {
        let revision = Revision { store: Uuid::from_u128(42), number };
        let loaded = Snapshot::load(revision, DIGEST_KEY, self.rows());
        assert!(loaded.quarantined.is_empty(), "{:?}", loaded.quarantined);
        loaded.snapshot
    }

    fn rows(&self) -> Vec<SnapshotUpdate> {
        let account = AccountId::from_uuid(Uuid::from_u128(2));
        let service = ServiceId::from_uuid(Uuid::from_u128(3));
        let api = ApiId::from_uuid(Uuid::from_u128(4));
        let shop = CallerId::from_uuid(CallerKind::Application, Uuid::from_u128(5));
        let analytics = CallerId::from_uuid(CallerKind::Consumer, Uuid::from_u128(6));
        let other = CallerId::from_uuid(CallerKind::Consumer, Uuid::from_u128(7));
        let mut rows = vec![
            SnapshotUpdate::UpsertAccount(Account {
                id: account,
                name: "default".parse().unwrap(),
                description: String::new(),
                enabled: true,
                reveal: true,
                grant_validity_max_s: None,
            }),
            SnapshotUpdate::UpsertGateway(self.gateway_row()),
            SnapshotUpdate::UpsertService(self.service_row(service, account)),
            SnapshotUpdate::UpsertApi(Box::new(self.api_row(api, account, service))),
            self.caller_row(shop, account, self.shop_name, vec![key_pair(shop)]),
            self.caller_row(analytics, account, "analytics", self.analytics_credentials(analytics)),
            self.caller_row(other, account, "other", vec![api_key(other, 21, OTHER_KEY)]),
        ];
        for (number, caller) in [(30, shop), (31, analytics)] {
            rows.push(SnapshotUpdate::UpsertGrant(Grant {
                id: GrantId::from_uuid(Uuid::from_u128(number)),
                account,
                grantee: Grantee::Caller(caller),
                api,
                stages: StageSet::ALL,
                gateways: None,
                operations: None,
                validity: Validity::default(),
                revoked: self.grants_revoked,
                description: String::new(),
                created: Timestamp::from_millis(0),
            }));
        }
        for (number, (kind, config)) in (40..).zip(&self.plugins) {
            let kind: PluginKind = kind.parse().unwrap();
            let config = PluginConfig::parse(&kind, config).unwrap();
            if let PluginKind::Custom(name) = &kind {
                let id = ModuleId::from_uuid(Uuid::from_u128(number));
                let (name, settings) = (name.clone(), self.module.clone());
                let module = Module { id, account, name, services: Vec::new(), settings };
                rows.push(SnapshotUpdate::UpsertModule(Box::new(module)));
            }
            rows.push(SnapshotUpdate::UpsertPlugin(Box::new(Plugin {
                id: PluginId::from_uuid(Uuid::from_u128(number)),
                account,
                on: PluginOn::Api(api),
                services: vec![("orders".parse().unwrap(), service)],
                settings: PluginSettings {
                    kind,
                    order: 0,
                    enabled: true,
                    description: String::new(),
                    config,
                },
            })));
        }
        rows
    }

    fn gateway_row(&self) -> keyward_model::Gateway {
        keyward_model::Gateway {
            id: self.gateway,
            spec: GatewaySpec {
                name: "default".parse().unwrap(),
                description: String::new(),
                trusted_proxies: self.trusted_proxies.clone(),
                limits: GatewayLimits { body_bytes: self.body_bytes, ..GatewayLimits::default() },
            },
        }
    }

    fn service_row(&self, id: ServiceId, account: AccountId) -> Service {
        let endpoints = self
            .endpoints
            .iter()
            .map(|(url, weight)| EndpointSpec { url: url.parse().unwrap(), weight: *weight })
            .collect();
        Service {
            id,
            account,
            spec: ServiceSpec {
                account: "default".parse().unwrap(),
                name: "orders".parse().unwrap(),
                description: String::new(),
                enabled: true,
                kind: ServiceKind::Http,
                endpoints,
                timeouts: ServiceTimeouts::default(),
                service_auth: self.service_auth.clone(),
            },
        }
    }

    fn api_row(&self, id: ApiId, account: AccountId, service: ServiceId) -> Api {
        let binding = StageBinding { service, path_prefix: None, host: None };
        let test = StageBinding { path_prefix: Some("/test".parse().unwrap()), ..binding.clone() };
        Api {
            id,
            account,
            name: "orders".parse().unwrap(),
            gateways: vec![self.gateway],
            stages: [(Stage::Release, binding), (Stage::Test, test)].into(),
            settings: self.api.clone(),
        }
    }

    fn caller_row(
        &self,
        id: CallerId,
        account: AccountId,
        name: &str,
        credentials: Vec<Credential>,
    ) -> SnapshotUpdate {
        let is_consumer = id.kind() == CallerKind::Consumer;
        let caller = Caller {
            id,
            account,
            name: name.parse().unwrap(),
            description: String::new(),
            enabled: true,
            tags: Default::default(),
            extension: self.extension.clone().filter(|_| !is_consumer),
            key_sources: if is_consumer { self.key_sources.clone() } else { Vec::new() },
        };
        SnapshotUpdate::UpsertCaller { caller, credentials }
    }

    fn analytics_credentials(&self, caller: CallerId) -> Vec<Credential> {
        let mut credentials = vec![api_key(caller, 20, API_KEY)];
        if let Some(binding) = &self.jwt {
            credentials.push(credential(caller, 22, Proof::Jwt(Box::new(binding.clone()))));
        }
        credentials
    }
}

fn credential(caller: CallerId, number: u128, proof: Proof) -> Credential {
    Credential {
        id: CredentialId::from_uuid(Uuid::from_u128(number)),
        caller,
        enabled: true,
        valid_until: None,
        origin: Origin::Custom,
        created: Timestamp::from_millis(0),
        proof,
    }
}

fn api_key(caller: CallerId, number: u128, value: &str) -> Credential {
    let digest = digest_credential(&DIGEST_KEY, value.as_bytes());
    credential(caller, number, Proof::ApiKey(OpaqueProof::Digest(digest)))
}

fn key_pair(caller: CallerId) -> Credential {
    let proof = Proof::KeyPair {
        app_key: APP_KEY.parse().unwrap(),
        app_secret: Plaintext::new(APP_SECRET).into(),
        scheme: SignatureScheme::Alibaba,
        is_default: true,
    };
    credential(caller, 10, proof)
}
