//! The decision scenarios of `spec/decisions`, on a Snapshot compiled in memory, on one loaded from each store,
//! and through the live gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keyward_access::Snapshot;
use keyward_control::{Actor, ApplyOptions, Control, ControlOptions, SystemRandom};
use keyward_model::{DenyReason, GatewayId, GrantId, Plaintext, Timestamp};
use keyward_testkit::client::{Answer, Connection};
use keyward_testkit::clock::ManualClock;
use keyward_testkit::gateway::{Gateway, Setup};
use keyward_testkit::judge::{Circumstances, Judgement, Nonces, judge};
use keyward_testkit::operate;
use keyward_testkit::postgres::Postgres;
use keyward_testkit::pure::PureWorld;
use keyward_testkit::request::Request;
use keyward_testkit::scenario::{BeforeStep, Scenario, ScenarioFile};

/// An upstream that nobody calls.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Everything that came out otherwise, so that one run tells all.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, file: &str, scenario: &Scenario, found: &str, grant: Option<&str>) {
        if found != scenario.expect {
            self.0.push(format!("{file}: {}: expected {}, found {found}", scenario.name, scenario.expect));
        } else if scenario.grant.is_some() && scenario.grant.as_deref() != grant {
            self.0.push(format!(
                "{file}: {}: expected the grant {:?}, found {grant:?}",
                scenario.name, scenario.grant
            ));
        }
    }

    fn none(self) {
        assert!(self.0.is_empty(), "{} scenarios differ:\n{}", self.0.len(), self.0.join("\n"));
    }
}

fn closes_replay_memory(scenario: &Scenario) -> bool {
    scenario.before.iter().any(|step| matches!(step, BeforeStep::CloseReplayMemory(true)))
}

/// When the configuration of a scenario was last known to be the newest.
fn confirmed_at(scenario: &Scenario, at: Timestamp) -> Timestamp {
    let ago = scenario.before.iter().find_map(|step| match step {
        BeforeStep::ConfirmedAgo(seconds) => Some(*seconds),
        _ => None,
    });
    ago.map_or(at, |seconds| at.plus_millis(-seconds * 1000))
}

/// The request of a scenario, where `${STORE}` is the store's id.
fn request(scenario: &Scenario, at: Timestamp, store: uuid::Uuid) -> Request {
    let mut request = scenario.build(at);
    for (_, value) in &mut request.headers {
        *value = value.replace("${STORE}", &store.to_string());
    }
    request
}

/// Judges a scenario's request on this Snapshot, the second time where it is made twice.
fn judged(snapshot: &Snapshot, gateway: GatewayId, scenario: &Scenario, at: Timestamp) -> Judgement {
    let nonces = &Nonces::new(closes_replay_memory(scenario));
    let request = request(scenario, at, snapshot.revision().store);
    let confirmed_at = confirmed_at(scenario, at);
    let by = Circumstances { from: scenario.request.from, now: at, confirmed_at, nonces };
    let first = judge(snapshot, gateway, &request, &by);
    if scenario.twice { judge(snapshot, gateway, &request, &by) } else { first }
}

fn words(judgement: &Judgement) -> (String, Option<GrantId>) {
    match judgement {
        Judgement::Allow(grant) => ("allow".into(), *grant),
        Judgement::Deny(reason, grant) => (reason.code().into(), *grant),
    }
}

#[test]
fn there_are_scenarios_for_every_reason_that_this_version_has() {
    let files = ScenarioFile::all().unwrap();
    let all: Vec<&Scenario> = files.iter().flat_map(|(_, file)| &file.scenarios).collect();
    assert!(all.len() >= 80, "only {} scenarios", all.len());
    for (file, scenarios) in &files {
        let names: BTreeSet<_> = scenarios.scenarios.iter().map(|scenario| &scenario.name).collect();
        assert_eq!(names.len(), scenarios.scenarios.len(), "{file}: a name twice");
    }
    let expected: BTreeSet<&str> = all.iter().map(|scenario| scenario.expect.as_str()).collect();
    // These need plugins and secret references, which world files cannot name yet.
    let later = [
        DenyReason::LimitExceeded,
        DenyReason::PluginRefused,
        DenyReason::PluginFailed,
        DenyReason::SecretUnresolvable,
    ];
    for reason in DenyReason::ALL.iter().filter(|reason| !later.contains(reason)) {
        assert!(expected.contains(reason.code()), "no scenario expects {reason}");
    }
}

#[test]
fn pure() {
    let mut differences = Differences::default();
    for (name, file) in ScenarioFile::all().unwrap() {
        for scenario in &file.scenarios {
            let at = scenario.time(&file).unwrap();
            let mut world = PureWorld::compile(&file.world.replace("${UPSTREAM}", NOWHERE), at).unwrap();
            scenario.before.iter().for_each(|step| world.take(step, at).unwrap());
            let gateway = world.gateway(scenario.gateway.as_deref().unwrap_or("default")).unwrap();
            let snapshot = world.snapshot();
            let (found, grant) = words(&judged(&snapshot, gateway, scenario, at));
            differences.compare(&name, scenario, &found, grant.and_then(|id| world.description(id)));
        }
    }
    differences.none();
}

async fn open(folder: &std::path::Path, store: Option<&str>, clock: &Arc<ManualClock>) -> Control {
    struct Wall(Arc<ManualClock>);
    impl keyward_control::Clock for Wall {
        fn now(&self) -> keyward_model::Timestamp {
            keyward_gateway::Clock::now(&*self.0)
        }
    }
    let options = ControlOptions {
        data_dir: folder.to_owned(),
        store_url: store.map(Plaintext::new),
        master_key_file: None,
        clock: Arc::new(Wall(Arc::clone(clock))),
        random: Arc::new(SystemRandom),
        own_listeners: Vec::new(),
    };
    Control::open(options).await.unwrap()
}

#[tokio::test]
async fn through_sqlite() {
    through_the_store(|| None).await;
}

#[tokio::test]
async fn through_postgresql() {
    through_the_store(|| Some(Postgres::shared().database().url())).await;
}

async fn through_the_store(database: fn() -> Option<String>) {
    let mut differences = Differences::default();
    for (name, file) in ScenarioFile::all().unwrap() {
        let text = file.world.replace("${UPSTREAM}", NOWHERE);
        let world = keyward_api::WorldFile::parse(&text, &|_| None).unwrap().world;
        // One store for all that only ask; one of its own for each that changes something first.
        let (asking, changing): (Vec<_>, Vec<_>) =
            file.scenarios.iter().partition(|scenario| scenario.before.is_empty());
        let mut batches = vec![asking];
        batches.extend(changing.into_iter().map(|scenario| vec![scenario]));
        for batch in batches {
            let Some(first) = batch.first() else { continue };
            let clock = Arc::new(ManualClock::at(first.time(&file).unwrap()));
            let folder = tempfile::tempdir().unwrap();
            let store = database();
            let control = open(folder.path(), store.as_deref(), &clock).await;
            control.apply(&Actor::LocalToken, world.clone(), ApplyOptions::default()).await.unwrap();
            for step in batch.iter().flat_map(|scenario| &scenario.before) {
                operate::take(&control, step).await;
            }
            control.close().await;
            let control = open(folder.path(), store.as_deref(), &clock).await;
            let snapshot = control.snapshots().load_full();
            for scenario in batch {
                let at = scenario.time(&file).unwrap();
                let gateway_name = scenario.gateway.as_deref().unwrap_or("default").parse().unwrap();
                let gateway = snapshot.gateway_named(&gateway_name).unwrap().id;
                let (found, grant) = words(&judged(&snapshot, gateway, scenario, at));
                let description = match grant {
                    Some(id) => {
                        Some(control.grants().get(&Actor::LocalToken, id).await.unwrap().spec.description)
                    }
                    None => None,
                };
                differences.compare(&name, scenario, &found, description.as_deref());
            }
            control.close().await;
        }
    }
    differences.none();
}

async fn call(gateway: &Gateway, scenario: &Scenario, request: &keyward_testkit::request::Request) -> Answer {
    let from = scenario.request.from.unwrap_or_else(|| "127.0.0.1".parse().unwrap());
    Connection::open_from(from, gateway.address()).await.unwrap().call(request).await.unwrap()
}

#[tokio::test]
async fn through_the_live_gateway() {
    let mut differences = Differences::default();
    let mut statuses = BTreeMap::new();
    for (name, file) in ScenarioFile::all().unwrap() {
        let mut nodes: BTreeMap<String, Gateway> = BTreeMap::new();
        for scenario in &file.scenarios {
            let at = scenario.time(&file).unwrap();
            let gateway_name = scenario.gateway.clone().unwrap_or_else(|| "default".into());
            let setup = Setup { at: Some(at), gateway: Some(gateway_name.clone()), ..Setup::default() };
            let own;
            let gateway = if scenario.before.is_empty() {
                if !nodes.contains_key(&gateway_name) {
                    nodes.insert(gateway_name.clone(), Gateway::start_with(&file.world, setup).await);
                }
                &nodes[&gateway_name]
            } else {
                own = Gateway::start_with(&file.world, setup).await;
                for step in &scenario.before {
                    own.take(step).await;
                }
                &own
            };
            gateway.set_time(at);
            let request = request(scenario, at, gateway.node().control().revision().store);
            let before = gateway.upstream().hits();
            let mut answer = call(gateway, scenario, &request).await;
            if scenario.twice {
                answer = call(gateway, scenario, &request).await;
            }
            let record = gateway.record_of(&answer).await;
            let found = record["reason"].as_str().unwrap_or("allow").to_owned();
            let grant = match record["grant"].as_str().and_then(|id| id.parse::<GrantId>().ok()) {
                Some(id) => Some(
                    gateway
                        .node()
                        .control()
                        .grants()
                        .get(&Actor::LocalToken, id)
                        .await
                        .unwrap()
                        .spec
                        .description,
                ),
                None => None,
            };
            differences.compare(&name, scenario, &found, grant.as_deref());
            let passed = gateway.upstream().hits() - before;
            let wanted = usize::from(scenario.expect == "allow") + usize::from(scenario.twice);
            if passed != wanted {
                differences
                    .0
                    .push(format!("{name}: {}: {passed} requests reached the service", scenario.name));
            }
            let status = found.parse::<DenyReason>().map_or(200, DenyReason::status);
            if answer.status != status {
                differences
                    .0
                    .push(format!("{name}: {}: answered {} for {found}", scenario.name, answer.status));
            }
            *statuses.entry(answer.status).or_insert(0) += 1;
        }
    }
    differences.none();
    assert!(statuses.len() >= 6, "{statuses:?}");
}
