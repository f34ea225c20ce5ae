//! A store in a folder of its own, and objects to put into it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keyward_model::*;
use keyward_store::{AuditEntry, CredentialRecord, Record, Sealing, Store, StoreOptions, Touch, WriteTx};
use keyward_testkit::postgres::{Database, Postgres};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const API_KEY: &str = "canary-api-key-0123456789";
pub(crate) const APP_SECRET: &str = "canary-app-secret-0123456789";
pub(crate) const SERVICE_SECRET: &str = "canary-service-secret-0123456789";
pub(crate) const APP_CODE: &str = "canary-app-code-0123456789";

/// What a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// A data folder, gone with the test, and on PostgreSQL a database.
pub(crate) struct Folder {
    root: TempDir,
    pub(crate) database: Option<Database<'static>>,
}

impl Folder {
    pub(crate) fn new(on: On) -> Self {
        let database = (on == On::Postgres).then(|| Postgres::shared().database());
        Self { root: tempfile::tempdir().unwrap(), database }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(crate) fn options(&self) -> StoreOptions {
        let url = self.database.as_ref().map(|database| Plaintext::new(&*database.url()));
        StoreOptions { data_dir: self.path(), url, master_key_file: None }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(self.options()).await.unwrap()
    }

    /// Changes the database behind the store's back, as a thief or a broken disk would.
    pub(crate) async fn meddle(&self, sql: &str) {
        use sqlx::{ConnectOptions, Connection, Executor};
        if let Some(database) = &self.database {
            // Its way of writing bytes.
            database.sql(&sql.replace("x'00'", "'\\x00'"));
            return;
        }
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.path().join("keyward.db"))
            .foreign_keys(false);
        let mut connection = options.connect().await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn entry(object: &str) -> AuditEntry {
    AuditEntry {
        actor: "tester".to_owned(),
        action: "test",
        touch: Touch::Created,
        noun: "account",
        object: object.to_owned(),
        account: None,
        detail: "{}".to_owned(),
    }
}

/// Puts these as one change, with one audit entry; its revision.
pub(crate) async fn put(store: &Store, records: &[Record]) -> u64 {
    let mut tx = store.write().await.unwrap();
    let revision = put_in(&mut tx, records).await;
    tx.commit().await.unwrap();
    revision
}

pub(crate) async fn put_in(tx: &mut WriteTx<'_>, records: &[Record]) -> u64 {
    tx.begin_change(at(1_000), "test").await.unwrap();
    for record in records {
        tx.put(record).await.unwrap();
    }
    tx.end_change(vec![entry("many")]).await.unwrap().unwrap()
}

pub(crate) async fn load(store: &Store) -> (Vec<Record>, Vec<keyward_store::Quarantined>) {
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    store
        .load_all(3, |record| match record {
            Ok(record) => records.push(record),
            Err(row) => bad.push(row),
        })
        .await
        .unwrap();
    (records, bad)
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub(crate) fn account(n: u128) -> Account {
    Account {
        id: AccountId::from_uuid(uuid(n)),
        name: name(&format!("account {n}")),
        description: "an account".to_owned(),
        enabled: true,
        reveal: true,
        grant_validity_max_s: None,
    }
}

pub(crate) fn gateway(n: u128) -> Gateway {
    let spec = GatewaySpec {
        name: name(&format!("gateway {n}")),
        description: String::new(),
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        limits: GatewayLimits { headers: 42, ..GatewayLimits::default() },
    };
    Gateway { id: GatewayId::from_uuid(uuid(n)), spec }
}

pub(crate) const SECRET_VALUE: &str = "canary-secret-value-0123456789";
pub(crate) const PREVIOUS_VALUE: &str = "canary-previous-value-0123456789";

/// A secret with a value before the one that it has.
pub(crate) fn secret(n: u128, account: &Account) -> Secret {
    let spec = SecretSpec {
        account: account.name.clone(),
        name: name(&format!("secret_{n}")),
        description: "a key".to_owned(),
        enabled: true,
        valid_until: Some(at(9_000)),
        source: SecretSource::Stored(Some(Plaintext::new(SECRET_VALUE))),
        previous: Some(PreviousValue {
            version: 2,
            value: Some(Plaintext::new(PREVIOUS_VALUE)),
            until: at(8_000),
        }),
        destinations: Some(vec!["*.example.com:8443".parse().unwrap()]),
        use_by: Some([name("ops")].into()),
        read_by: None,
    };
    Secret { id: SecretId::from_uuid(uuid(n)), account: account.id, spec, version: 3, rotated: at(700) }
}

pub(crate) const PLUGIN_KEY: &str = "canary-plugin-key-0123456789";

pub(crate) fn plugin(
    n: u128,
    account: AccountId,
    on: PluginOn<GatewayId, ApiId>,
    kind: &str,
    config: &str,
) -> Plugin {
    let kind: PluginKind = kind.parse().unwrap();
    let config = PluginConfig::parse(&kind, config).unwrap();
    let settings =
        PluginSettings { kind, order: -3, enabled: n != 20, description: format!("plugin {n}"), config };
    Plugin { id: PluginId::from_uuid(Uuid::from_u128(n)), account, on, services: Vec::new(), settings }
}

/// Code by its looks.
pub(crate) fn code(marker: u8) -> ModuleCode {
    ModuleCode::parse(vec![0, b'a', b's', b'm', 1, 0, 0, 0, marker]).unwrap()
}

pub(crate) fn module(n: u128, account: AccountId, service: &Service) -> Module {
    let settings = ModuleSettings {
        description: format!("module {n}"),
        enabled: false,
        on_failure: OnFailure::Skip,
        sees: ModuleSees { request_body: true, response_head: false, response_body: true },
        limits: ModuleLimits { workers: 3, ..ModuleLimits::default() },
        ..ModuleSettings::new(code(7))
    };
    let services = vec![(service.spec.name.clone(), service.id)];
    Module {
        id: ModuleId::from_uuid(Uuid::from_u128(n)),
        account,
        name: name("one-of-ours"),
        services,
        settings,
    }
}

/// An API key whose value is a secret's.
pub(crate) fn referring_key(n: u128, caller: &Caller, text: &str) -> Record {
    let text = SecretText::parse(text).unwrap();
    let Record::Credential(record) =
        credential(n, caller, Proof::ApiKey(OpaqueProof::Reference(text.clone())), "")
    else {
        unreachable!()
    };
    let credential = Credential { origin: Origin::Reference, ..record.credential };
    Record::Credential(CredentialRecord { credential, sealing: Sealing::Set(text), ..record })
}

pub(crate) fn service(n: u128, account: &Account) -> Service {
    let auth = ServiceAuth::Header {
        name: "x-backend-key".parse().unwrap(),
        value: Some(Plaintext::new(SERVICE_SECRET).into()),
    };
    let spec = ServiceSpec {
        account: account.name.clone(),
        name: name(&format!("service {n}")),
        description: "what answers".to_owned(),
        enabled: true,
        kind: ServiceKind::Http,
        endpoints: vec![EndpointSpec { url: "http://127.0.0.1:9000/a".parse().unwrap(), weight: 3 }],
        timeouts: ServiceTimeouts { connect_ms: 7, ..ServiceTimeouts::default() },
        service_auth: Some(auth),
    };
    Service { id: ServiceId::from_uuid(uuid(n)), account: account.id, spec }
}

pub(crate) fn api(n: u128, service: &Service, gateway: &Gateway) -> Api {
    let binding = StageBinding {
        service: service.id,
        path_prefix: Some("/test".parse().unwrap()),
        host: Some("*.test.example.com".parse().unwrap()),
    };
    let settings = ApiSettings {
        kind: ApiKind::Rest,
        description: "orders".to_owned(),
        enabled: true,
        hosts: vec!["api.example.com".parse().unwrap()],
        base_path: format!("/orders{n}").parse().unwrap(),
        strip_base_path: true,
        admits: Admits::of([CredentialKind::AppSignature, CredentialKind::Jwt]).unwrap(),
        operations: vec![operation()],
        signature: SignaturePolicy {
            mode: SignatureMode::Strict,
            algorithms: HmacAlgorithm::ALL.to_vec(),
            schemes: SignatureScheme::ALL.to_vec(),
            require_nonce: true,
            ..SignaturePolicy::default()
        },
        app_code_in: AppCodePlaces { header: false, query: true },
        app_code_requires_tls: false,
        stream_before_digest: true,
        max_staleness_s: Some(30),
        allowed_addresses: vec!["192.0.2.0/24".parse().unwrap()],
        system_parameters: vec![
            SystemParameter {
                name: SystemParameterName::AppId,
                place: ParameterPlace::Header("x-app-id".parse().unwrap()),
            },
            SystemParameter {
                name: SystemParameterName::Stage,
                place: ParameterPlace::Query("stage".into()),
            },
        ],
    };
    Api {
        id: ApiId::from_uuid(uuid(n)),
        account: service.account,
        name: name(&format!("api {n}")),
        gateways: vec![gateway.id],
        stages: BTreeMap::from([
            (Stage::Test, binding),
            (Stage::Release, StageBinding { service: service.id, path_prefix: None, host: None }),
        ]),
        settings,
    }
}

fn operation() -> Operation {
    Operation { method: Some("GET".parse().unwrap()), path: "/{id}".parse().unwrap() }
}

pub(crate) fn caller(n: u128, account: &Account, kind: CallerKind) -> Caller {
    Caller {
        id: CallerId::from_uuid(kind, uuid(n)),
        account: account.id,
        name: name(&format!("caller {n}")),
        description: "who calls".to_owned(),
        enabled: true,
        tags: BTreeMap::from([("team".to_owned(), format!("t{n}"))]),
        extension: Some("tier=gold".to_owned()),
        key_sources: vec![
            KeySource::Bearer,
            KeySource::Header("x-api-key".parse().unwrap()),
            KeySource::Query("apikey".into()),
        ],
    }
}

fn credential(n: u128, caller: &Caller, proof: Proof, value: &str) -> Record {
    let credential = Credential {
        id: CredentialId::from_uuid(uuid(n)),
        caller: caller.id,
        enabled: true,
        valid_until: Some(at(9_000)),
        origin: Origin::Custom,
        created: at(500),
        proof,
    };
    Record::Credential(CredentialRecord {
        account: caller.account,
        credential,
        hint: None,
        sealing: Sealing::Set(Plaintext::new(value).into()),
    })
}

pub(crate) fn api_key(n: u128, caller: &Caller, store: &Store, value: &str) -> Record {
    credential(n, caller, Proof::ApiKey(OpaqueProof::Digest(store.digest(value))), value)
}

pub(crate) fn app_code(n: u128, caller: &Caller, store: &Store, value: &str) -> Record {
    credential(n, caller, Proof::AppCode(OpaqueProof::Digest(store.digest(value))), value)
}

pub(crate) fn key_pair(n: u128, caller: &Caller, app_key: &str, secret: &str) -> Record {
    let proof = Proof::KeyPair {
        app_key: app_key.parse().unwrap(),
        app_secret: Plaintext::new(secret).into(),
        scheme: SignatureScheme::Tencent,
        is_default: true,
    };
    credential(n, caller, proof, secret)
}

pub(crate) fn jwt(n: u128, caller: &Caller, claim: &str) -> Record {
    let (text, jwks) = JwkSet::symmetric("k1", &[n as u8; 32]).unwrap();
    let settings = JwtSettings {
        issuer: Some("https://issuer.example".into()),
        audiences: vec!["orders".into()],
        claims_to_headers: vec![ClaimToHeader { claim: "team".into(), header: "x-team".parse().unwrap() }],
        token: TokenPlace::Cookie { name: "session".into(), prefix: "".into() },
        ..JwtSettings::default()
    };
    let identity_claim = IdentityClaim { name: "uid".into(), value: claim.into() };
    let proof = Proof::Jwt(Box::new(JwtBinding { keys: JwtKeys::Own(jwks), settings, identity_claim }));
    credential(n, caller, proof, text.expose_secret())
}

pub(crate) fn group(n: u128, account: &Account) -> Group {
    Group {
        id: GroupId::from_uuid(uuid(n)),
        account: account.id,
        name: name(&format!("group {n}")),
        description: String::new(),
        enabled: true,
        members: Vec::new(),
    }
}

pub(crate) fn grant(n: u128, api: &Api, grantee: Grantee) -> Grant {
    Grant {
        id: GrantId::from_uuid(uuid(n)),
        account: api.account,
        grantee,
        api: api.id,
        stages: StageSet::of([Stage::Release, Stage::Test]),
        gateways: Some(api.gateways.clone()),
        operations: Some(vec![operation(), Operation { method: None, path: "/".parse().unwrap() }]),
        validity: Validity::new(Some(at(10)), Some(at(20))).unwrap(),
        revoked: Some(at(15)),
        description: "contract".to_owned(),
        created: at(5),
    }
}

/// One object of every noun, with every field set, in order of dependence.
pub(crate) fn everything(store: &Store) -> Vec<Record> {
    let account = account(1);
    let gateway = gateway(2);
    let service = service(3, &account);
    let api = api(4, &service, &gateway);
    let application = caller(5, &account, CallerKind::Application);
    let consumer = caller(6, &account, CallerKind::Consumer);
    let group = group(7, &account);
    let records = vec![
        key_pair(10, &application, "203753385", APP_SECRET),
        app_code(11, &application, store, APP_CODE),
        api_key(12, &consumer, store, API_KEY),
        jwt(13, &consumer, "u1"),
    ];
    let grants = [
        grant(14, &api, Grantee::Caller(application.id)),
        Grant {
            revoked: None,
            gateways: None,
            operations: None,
            validity: Validity::default(),
            ..grant(15, &api, Grantee::Group(group.id))
        },
    ];
    let held = Secret {
        spec: SecretSpec {
            source: SecretSource::Held(HeldBy::Vault { path: "secret/orders".into(), field: "key".into() }),
            previous: None,
            destinations: None,
            use_by: None,
            ..secret(9, &account).spec
        },
        ..secret(9, &account)
    };
    let mut referring = super::world::service(16, &account);
    let text = SecretText::parse("Bearer $ref{secret_8} $$").unwrap();
    referring.spec.service_auth =
        Some(ServiceAuth::Header { name: "authorization".parse().unwrap(), value: Some(text) });
    let secret = secret(8, &account);
    let calls = vec![(service.spec.name.clone(), service.id)];
    let asked = format!(r#"{{"service":"{}"}}"#, service.spec.name);
    let keys = format!(r#"{{"credentials":["$ref{{secret_8}}","{PLUGIN_KEY}"],"keys":["apikey"]}}"#);
    let operation = api.settings.operations[0].clone();
    let plugins = [
        plugin(18, account.id, PluginOn::Api(api.id), "key-auth", &keys),
        Plugin {
            services: calls,
            ..plugin(19, account.id, PluginOn::Operation(api.id, operation), "ext-auth", &asked)
        },
        plugin(20, account.id, PluginOn::Gateway(gateway.id), "one-of-ours", r#"{"a":[1.5,null,"b"]}"#),
    ];
    let account_id = account.id;
    let mut all = vec![
        Record::Account(account),
        Record::Gateway(gateway),
        Record::Secret(Box::new(secret)),
        Record::Secret(Box::new(held)),
        Record::Service(service.clone()),
        Record::Service(referring),
        Record::Module(Box::new(module(21, account_id, &service))),
        Record::Api(api),
        Record::Caller(application.clone()),
        Record::Caller(consumer.clone()),
    ];
    all.extend(records);
    all.push(referring_key(17, &consumer, "$ref{secret_8}$ref{secret_9}"));
    all.push(Record::Group(group.clone()));
    all.extend([Record::Member(group.id, application.id), Record::Member(group.id, consumer.id)]);
    all.extend(grants.map(Record::Grant));
    all.extend(plugins.map(|plugin| Record::Plugin(Box::new(plugin))));
    all
}
