//! A control over a store of its own, with a clock that tests turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use keyward_access::{Basis, Question};
use keyward_api::WorldFile;
use keyward_control::{
    Actor, Applied, ApplyOptions, Clock, Control, ControlError, ControlOptions, ObjectRef, Revealed,
    SystemRandom, Touched,
};
use keyward_model::*;
use tempfile::TempDir;

pub(crate) const OPERATOR: Actor = Actor::LocalToken;
/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600_000;

pub(crate) struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct Node {
    folder: TempDir,
    clock: Arc<ManualClock>,
    pub(crate) control: Control,
}

impl Node {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock(AtomicI64::new(START)));
        let control = Control::open(options(&folder, &clock)).await.unwrap();
        Self { folder, clock, control }
    }

    /// A node to which this world was applied.
    pub(crate) async fn with(world: &str) -> Self {
        let node = Self::new().await;
        node.apply(world).await.unwrap();
        node
    }

    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn options(&self) -> ControlOptions {
        options(&self.folder, &self.clock)
    }

    pub(crate) fn turn_clock(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn control_now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn restarted(self) -> Self {
        self.control.close().await;
        let control = Control::open(self.options()).await.unwrap();
        Self { control, ..self }
    }

    pub(crate) async fn apply(&self, text: &str) -> Result<Applied, ControlError> {
        self.apply_with(text, ApplyOptions::default()).await
    }

    pub(crate) async fn prune(&self, text: &str) -> Result<Applied, ControlError> {
        self.apply_with(text, ApplyOptions { prune: true, dry_run: false }).await
    }

    pub(crate) async fn apply_with(
        &self,
        text: &str,
        options: ApplyOptions,
    ) -> Result<Applied, ControlError> {
        self.control.apply(&OPERATOR, world(text), options).await
    }

    pub(crate) fn revision(&self) -> u64 {
        self.control.revision().number
    }

    /// May this caller of `default` call `orders` (RELEASE, gateway `default`) now?
    pub(crate) async fn permits(&self, kind: CallerKind, caller: &str) -> Result<(), DenyReason> {
        let caller = match kind {
            CallerKind::Application => {
                self.control.applications().get(&OPERATOR, named(caller)).await.unwrap().id
            }
            CallerKind::Consumer => self.control.consumers().get(&OPERATOR, named(caller)).await.unwrap().id,
        };
        self.permits_id(caller).await
    }

    pub(crate) async fn permits_id(&self, caller: CallerId) -> Result<(), DenyReason> {
        let api = self.control.apis().get(&OPERATOR, named("orders")).await.unwrap().id;
        let gateway = self.control.gateways().get(&OPERATOR, named("default")).await.unwrap().id;
        let question = Question {
            gateway,
            api,
            stage: Stage::Release,
            operation: None,
            caller: Some(caller),
            credential: None,
            at: self.clock.now(),
            staleness_ms: 0,
        };
        let snapshot = self.control.snapshots().load_full();
        match keyward_access::explain(&snapshot, &question).decision {
            Ok(Basis::Grant(_)) => Ok(()),
            Ok(Basis::Anyone | Basis::Plugin(_)) => panic!("nothing here admits anyone"),
            Err(reason) => Err(reason),
        }
    }

    /// Whose credential is this value, as a request would find it?
    pub(crate) fn holder(&self, value: &str) -> Option<CallerId> {
        let snapshot = self.control.snapshots().load_full();
        let digest = snapshot.digest(value.as_bytes());
        snapshot.credential_by_digest(&digest).map(|(caller, _)| caller.id())
    }

    pub(crate) async fn secret_of(&self, app_key: &str) -> String {
        let app_key = app_key.parse().unwrap();
        let pair = self.control.credentials().find_app_key(&OPERATOR, &app_key).await.unwrap();
        let Revealed { value, .. } = self.control.credentials().reveal(&OPERATOR, pair.id).await.unwrap();
        value.expose_secret().to_owned()
    }
}

fn options(folder: &TempDir, clock: &Arc<ManualClock>) -> ControlOptions {
    ControlOptions {
        data_dir: folder.path().join("data"),
        store_url: None,
        master_key_file: None,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        random: Arc::new(SystemRandom),
        own_listeners: vec!["0.0.0.0:8080".parse().unwrap()],
    }
}

pub(crate) fn world(text: &str) -> World {
    let text = format!("version: 1\n{text}");
    WorldFile::parse(&text, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}")).world
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// An object of the account `default`.
pub(crate) fn named<I>(text: &str) -> ObjectRef<I> {
    ObjectRef::Named(Qualified { account: name("default"), name: name(text) })
}

/// `created application shop` and so on, in one line each.
pub(crate) fn words(touched: &[Touched]) -> Vec<String> {
    touched.iter().map(|touched| format!("{} {}", touched.noun.singular(), touched.name)).collect()
}

/// Path and code of each problem.
pub(crate) fn problems(error: &ControlError) -> Vec<(String, &'static str)> {
    error.problems().iter().map(|problem| (problem.place.path.clone(), problem.code)).collect()
}

/// A service, an API that admits everything but anyone, an application, a consumer, and a grant for each.
pub(crate) const SHOP: &str = r#"
services:
  - {name: orders, endpoints: ["http://127.0.0.1:9000"], auth: {header: {name: X-Backend-Key, value: canary-backend-secret}}}
apis:
  - name: orders
    kind: rest
    hosts: ["api.example.com"]
    base_path: /orders
    admits: [app_signature, app_code, api_key, jwt]
    operations: [{method: GET, path: "/{id}"}, {method: POST, path: /}]
    stages:
      RELEASE: {service: orders}
      TEST: {service: orders, path_prefix: /test}
applications:
  - name: shop
    tags: {team: shop}
    key_pairs:
      - {app_key: "203753385", app_secret: canary-app-secret-0001, scheme: alibaba}
      - {app_key: second-key, app_secret: canary-app-secret-0002, scheme: tencent}
    app_codes: ["canary-app-code-0001"]
consumers:
  - name: analytics
    api_key: {sources: [bearer, {header: x-api-key}], keys: ["canary-api-key-0001", "canary-api-key-0002"]}
    jwt: {symmetric: true, identity_claim: {name: uid, value: analytics}}
groups:
  - {name: staff, members: [{consumer: analytics}]}
grants:
  - {to: {application: shop}, api: orders, stages: [RELEASE], description: contract 4711}
  - {to: {group: staff}, api: orders}
"#;
