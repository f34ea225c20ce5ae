//! A gateway with modules and plugins that are put into its Snapshot, as the admin API will put them.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use keyward_access::SnapshotUpdate;
use keyward_model::*;
use keyward_testkit::client::Answer;
use keyward_testkit::gateway::{Gateway, Setup, until_async};
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;
use uuid::Uuid;

pub(crate) const HOST: &str = "api.test";
pub(crate) const API_KEY: &str = "api-key-canary-0123456789";
pub(crate) const TOKEN: &str = "team-token-canary-0001";
pub(crate) const BACKEND: &str = "backend-canary-0123456789";

/// What guests answer a request with that they pause, or let go.
pub(crate) const PAUSE: &str = "(i32.const 1)";
pub(crate) const GO_ON: &str = "(i32.const 0)";

/// Bound to the gateway.
pub(crate) const EVERYWHERE: &str = "*";

/// Two APIs on one service, one of which anyone may call and one for a consumer; a service to call out to.
pub(crate) fn world(teams: &str) -> String {
    format!(
        r#"
version: 1
services:
  - {{name: orders, endpoints: ["${{UPSTREAM}}"]}}
  - {{name: teams, endpoints: ["{teams}/base"], auth: {{header: {{name: X-Backend-Key, value: "{BACKEND}"}}}}}}
apis:
  - {{name: orders, hosts: ["{HOST}"], base_path: /orders, admits: [anyone], stages: {{RELEASE: {{service: orders}}}}}}
  - {{name: plain, hosts: ["{HOST}"], base_path: /plain, admits: [anyone], stages: {{RELEASE: {{service: orders}}}}}}
  - {{name: keyed, hosts: ["{HOST}"], base_path: /keyed, admits: [api_key], stages: {{RELEASE: {{service: orders}}}}}}
secrets:
  - {{name: team_token, value: "{TOKEN}"}}
consumers:
  - {{name: robot, api_key: {{sources: [bearer], keys: ["{API_KEY}"]}}}}
grants:
  - {{to: {{consumer: robot}}, api: keyed}}
"#
    )
}

/// A module, and a plugin that runs it.
#[derive(Clone)]
pub(crate) struct Custom {
    name: &'static str,
    on: &'static str,
    config: String,
    services: Vec<&'static str>,
    settings: ModuleSettings,
}

/// This code as module `guest`, bound to the API `orders`.
pub(crate) fn custom(wasm: Vec<u8>) -> Custom {
    // Whatever the machine is busy with, a guest that does what it should is in time.
    let mut settings = ModuleSettings::new(ModuleCode::parse(wasm).unwrap());
    settings.limits.time_ms = 10_000;
    Custom { name: "guest", on: "orders", config: "{}".to_owned(), services: Vec::new(), settings }
}

/// The sample, with its token from a secret.
pub(crate) fn hello() -> Custom {
    let config = r#"{"allowed": ["red"], "token": "$ref{team_token}"}"#;
    custom(hello_wasm().to_vec()).named("hello").told(config)
}

impl Custom {
    pub(crate) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(crate) fn on(self, on: &'static str) -> Self {
        Self { on, ..self }
    }

    pub(crate) fn told(self, config: &str) -> Self {
        Self { config: config.to_owned(), ..self }
    }

    pub(crate) fn calling(self, services: &[&'static str]) -> Self {
        Self { services: services.to_vec(), ..self }
    }

    pub(crate) fn with(mut self, edit: impl FnOnce(&mut ModuleSettings)) -> Self {
        edit(&mut self.settings);
        self
    }

    pub(crate) fn seeing_bodies(self) -> Self {
        self.with(|settings| {
            settings.sees = ModuleSees { request_body: true, response_head: true, response_body: true };
        })
    }

    pub(crate) fn skipped(self) -> Self {
        self.with(|settings| settings.on_failure = OnFailure::Skip)
    }
}

/// The id of the plugin that is bound at this place of the list.
pub(crate) fn plugin_id(number: usize) -> PluginId {
    PluginId::from_uuid(Uuid::from_u128(number as u128 + 1))
}

/// Binds them, in this order. Whoever is at the same place before is changed.
pub(crate) fn bind(gateway: &Gateway, customs: &[Custom]) {
    let snapshots = gateway.node().control().snapshots();
    let snapshot = snapshots.load_full();
    let mut updates = Vec::new();
    for (number, custom) in customs.iter().enumerate() {
        let on = if custom.on == EVERYWHERE { "orders" } else { custom.on };
        let api = snapshot.apis().find(|entry| entry.api().name.as_str() == on).unwrap().api();
        let services = snapshot.services().filter(|one| custom.services.contains(&one.spec.name.as_str()));
        let services = services.map(|service| (service.spec.name.clone(), service.id)).collect();
        let name: Name = custom.name.parse().unwrap();
        let module = Module {
            id: ModuleId::from_uuid(Uuid::from_u128(number as u128 + 1)),
            account: api.account,
            name: name.clone(),
            services,
            settings: custom.settings.clone(),
        };
        updates.push(SnapshotUpdate::UpsertModule(Box::new(module)));
        let kind = PluginKind::Custom(name);
        let config = PluginConfig::parse(&kind, &custom.config).unwrap();
        let order = i32::try_from(number).unwrap();
        let settings = PluginSettings { kind, order, enabled: true, description: String::new(), config };
        updates.push(SnapshotUpdate::UpsertPlugin(Box::new(Plugin {
            id: plugin_id(number),
            account: api.account,
            on: match custom.on {
                EVERYWHERE => {
                    PluginOn::Gateway(snapshot.gateway_named(&"default".parse().unwrap()).unwrap().id)
                }
                _ => PluginOn::Api(api.id),
            },
            services: Vec::new(),
            settings,
        })));
    }
    snapshots.store(snapshot.apply(snapshot.revision(), &updates).unwrap().into());
}

pub(crate) async fn start(customs: &[Custom]) -> Gateway {
    catch_log();
    let gateway = Gateway::start(&world("http://127.0.0.1:1")).await;
    bind(&gateway, customs);
    gateway
}

/// The same, where the service answers so.
pub(crate) async fn start_answered(answer: &'static [u8], customs: &[Custom]) -> Gateway {
    catch_log();
    let upstream = Upstream::answering(answer).await.unwrap();
    let gateway = Gateway::start_on(&world("http://127.0.0.1:1"), Setup::default(), upstream).await;
    bind(&gateway, customs);
    gateway
}

pub(crate) fn get(target: &str) -> Request {
    Request::get(HOST, target)
}

pub(crate) async fn outcome(gateway: &Gateway, answer: &Answer) -> (u16, String) {
    (answer.status, gateway.reason_of(answer).await)
}

/// The lines of `/metrics` that are about custom plugins, once one of them begins so.
pub(crate) async fn metrics_with(gateway: &Gateway, line: &str) -> String {
    let found = until_async(async || {
        let page = gateway.admin(Request::get("localhost", "/metrics")).await.text();
        let lines: String =
            page.lines().filter(|line| line.contains("keyward_plugin_")).collect::<Vec<_>>().join("\n");
        lines.lines().any(|one| one.starts_with(line)).then_some(lines)
    });
    found.await.unwrap_or_else(|| panic!("no line `{line}`"))
}

/// Built once; quick when it is there already.
pub(crate) fn hello_wasm() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--locked",
                "--quiet",
                "--release",
                "--target",
                "wasm32-wasip1",
                "--manifest-path",
            ])
            .arg(root.join("plugins/hello-keyward/Cargo.toml"))
            .arg("--target-dir")
            .arg(root.join("target/plugins"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "`make plugins` builds it: {said}");
        std::fs::read(root.join("target/plugins/wasm32-wasip1/release/hello_keyward.wasm")).unwrap()
    })
}

static LINES: OnceLock<Mutex<String>> = OnceLock::new();

/// From now on everything that this process logs is kept.
pub(crate) fn catch_log() {
    LINES.get_or_init(|| {
        let lines = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG);
        lines.with_ansi(false).with_writer(|| Sink).init();
        Mutex::default()
    });
}

/// Everything that was logged so far.
pub(crate) fn log() -> String {
    LINES.get().unwrap().lock().unwrap().clone()
}

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(lines) = LINES.get() {
            lines.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
