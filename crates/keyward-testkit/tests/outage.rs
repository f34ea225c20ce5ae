//! The database goes away, for one node or for all: nobody who may call is refused, nobody who may not passes, and when it is
//! back all nodes come to the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use keyward_control::{Actor, ErrorKind};
use keyward_testkit::client::Connection;
use keyward_testkit::cluster::Cluster;
use keyward_testkit::gateway::until;
use keyward_testkit::operate::operate;
use keyward_testkit::postgres::Postgres;
use keyward_testkit::proxy::{Network, Proxy};
use keyward_testkit::request::Request;
use tokio::task::JoinSet;

const NODES: usize = 3;

fn key(name: &str) -> String {
    format!("key-of-{name}-0123456789-abcdefgh")
}

fn world(names: &[&str]) -> String {
    let mut world = String::from(
        "version: 1\nservices: [{name: origin, kind: http, endpoints: [\"${UPSTREAM}\"]}]\n\
         apis: [{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key], stages: \
         {RELEASE: {service: origin}}}]\nconsumers:\n",
    );
    for name in names {
        world.push_str(&format!(
            "  - {{name: {name}, api_key: {{sources: [bearer], keys: [{}]}}}}\n",
            key(name)
        ));
    }
    world.push_str("grants:\n");
    for name in names {
        world.push_str(&format!("  - {{to: {{consumer: {name}}}, api: orders, description: {name}}}\n"));
    }
    world
}

fn call(name: &str) -> Request {
    Request::get("gw.test", "/orders/1").bearer(&key(name))
}

/// Calls without end, as somebody who may and as somebody who may not any more.
#[derive(Default)]
struct Load {
    calls: AtomicUsize,
    refused: AtomicUsize,
    passed: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    async fn begin(cluster: &Cluster, nodes: &[usize]) -> (Arc<Self>, JoinSet<()>) {
        let (load, mut busy) = (Arc::new(Self::default()), JoinSet::new());
        for &at in nodes {
            for _ in 0..4 {
                let connection = Connection::open(cluster.address(at)).await.unwrap();
                busy.spawn(Arc::clone(&load).go_on(connection));
            }
        }
        (load, busy)
    }

    async fn go_on(self: Arc<Self>, mut connection: Connection) {
        while !self.over.load(SeqCst) {
            let granted = connection.call(&call("granted")).await.unwrap().status;
            self.refused.fetch_add(usize::from(granted != 200), SeqCst);
            let revoked = connection.call(&call("revoked")).await.unwrap().status;
            self.passed.fetch_add(usize::from(revoked != 403), SeqCst);
            self.calls.fetch_add(2, SeqCst);
        }
    }

    /// Waits until so many more calls were answered.
    async fn more(&self, calls: usize) {
        let until = self.calls.load(SeqCst) + calls;
        while self.calls.load(SeqCst) < until {
            tokio::task::yield_now().await;
        }
    }

    /// Goes on for 60 seconds, which soak runs do once.
    async fn for_a_minute(&self) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_secs(60) {
            self.more(100).await;
        }
    }

    async fn end(&self, mut busy: JoinSet<()>) {
        self.over.store(true, SeqCst);
        while let Some(ended) = busy.join_next().await {
            ended.unwrap();
        }
        let calls = self.calls.load(SeqCst);
        assert_eq!(self.refused.load(SeqCst), 0, "of {calls} calls, some of who may were refused");
        assert_eq!(self.passed.load(SeqCst), 0, "of {calls} calls, some of who may not passed");
    }
}

fn some_world() -> keyward_model::World {
    keyward_api::WorldFile::parse("version: 1\naccounts: [{name: new}]\n", &|_| None).unwrap().world
}

#[tokio::test]
async fn nobody_is_refused_and_nobody_passes_while_the_database_is_killed_fail_001_fail_003() {
    let rounds = if std::env::var_os("KEYWARD_SOAK").is_some() { 20 } else { 2 };
    let server = Postgres::start();
    let database = server.database();
    let mut cluster =
        Cluster::start(NODES, &database.url(), &world(&["granted", "revoked", "later", "last"])).await;
    let revision = operate(cluster.control(0), "{revoke: revoked}").await;
    assert_eq!(cluster.wait(0, revision).await.lagging, []);
    for at in 0..NODES {
        cluster.copied(at).await;
    }
    let (load, busy) = Load::begin(&cluster, &[0, 1]).await;
    for round in 0..rounds {
        load.more(200).await;
        server.kill();
        for at in 0..2 {
            let refused = cluster
                .control(at)
                .apply(&Actor::LocalToken, some_world(), Default::default())
                .await
                .unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::StoreUnavailable, "{refused}");
            let ready = cluster.admin(at, Request::get("localhost", "/readyz")).await;
            assert_eq!(ready.status, 200, "requests are not turned away");
        }
        load.more(500).await;
        if rounds > 2 && round == 0 {
            load.for_a_minute().await;
        }
        // A node that starts meanwhile serves from its local copy.
        cluster.stop(2).await;
        cluster.start_again(2).await.unwrap();
        assert!(cluster.control(2).started_from_copy());
        assert_eq!(cluster.call(2, &call("granted")).await.status, 200);
        assert_eq!(cluster.call(2, &call("revoked")).await.status, 403);
        let refused =
            cluster.control(2).apply(&Actor::LocalToken, some_world(), Default::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StoreUnavailable, "{refused}");
        load.more(500).await;
        server.start_again();
        if round == 0 {
            // Before the nodes are back, and without a word to them: the log tells it all the same.
            database.sql(
                "BEGIN; UPDATE grants SET revoked = 1 WHERE description = 'later'; UPDATE head SET revision = revision \
                 + 1; INSERT INTO change_log (revision, place, noun, object, gone, owner) SELECT h.revision, 0, \
                 'grant', g.id, 0, g.caller FROM head h, grants g WHERE g.description = 'later'; COMMIT",
            );
        }
        let revision: u64 = database.sql("SELECT revision FROM head").parse().unwrap();
        for at in 0..NODES {
            let control = cluster.control(at).clone();
            until(|| (control.revision().number >= revision).then_some(())).await.expect("it catches up");
            assert_eq!(cluster.call(at, &call("later")).await.status, 403);
        }
    }
    let revision = operate(cluster.control(2), "{revoke: last}").await;
    let waited = cluster.wait(2, revision).await;
    assert_eq!((waited.applied.len(), waited.lagging.len()), (NODES, 0), "{waited:?}");
    for at in 0..NODES {
        assert_eq!(cluster.call(at, &call("last")).await.status, 403);
    }
    load.end(busy).await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_serves_its_last_good_state_and_says_how_old_it_is_fail_005() {
    let database = Postgres::shared().database();
    let proxy = Proxy::to(Postgres::shared().port()).await.unwrap();
    let urls = vec![database.url(), database.url(), database.url_at(proxy.port())];
    let cluster = Cluster::start_at(urls, &world(&["granted", "revoked", "later"])).await;
    let revision = operate(cluster.control(0), "{revoke: revoked}").await;
    assert_eq!(cluster.wait(0, revision).await.lagging, []);
    let (load, busy) = Load::begin(&cluster, &[0, 1, 2]).await;
    for network in [Network::Held, Network::Cut] {
        proxy.set(network);
        let far = cluster.control(2).freshness();
        // The others go on, and know of each other what they cannot know of it.
        let world = format!("version: 1\nconsumers: [{{name: new{network:?}}}]\n");
        let revision = cluster.apply(1, &world).await.revision;
        let control = cluster.control(0).clone();
        until(|| (control.revision() == revision).then_some(())).await.expect("node 0 has it");
        let before = far.confirmed_at();
        let near = cluster.control(0).freshness();
        let old = near.confirmed_at();
        until(|| (near.confirmed_at() > old).then_some(())).await.expect("time passes");
        assert!(far.confirmed_at() <= before, "it does not know that it has everything");
        assert!(cluster.control(2).revision().number < revision.number);
        load.more(300).await;
        proxy.set(Network::Whole);
        cluster.converge(1).await;
        until(|| (far.confirmed_at() > before).then_some(())).await.expect("it knows again");
    }
    let revision = operate(cluster.control(2), "{revoke: later}").await;
    assert_eq!(cluster.wait(2, revision).await.lagging, []);
    load.end(busy).await;
}

#[tokio::test]
async fn a_node_without_copy_and_database_does_not_start_and_says_why() {
    let server = Postgres::start();
    let database = server.database();
    let mut cluster = Cluster::start(2, &database.url(), &world(&["granted"])).await;
    cluster.copied(1).await;
    cluster.stop(1).await;
    std::fs::remove_dir_all(cluster.folder(1).join("copy")).unwrap();
    server.kill();
    let error = cluster.start_again(1).await.unwrap_err().to_string();
    assert!(error.contains("the store is away") && error.contains("local copy"), "{error}");
    server.start_again();
    cluster.start_again(1).await.unwrap();
    assert!(!cluster.control(1).started_from_copy());
    assert_eq!(cluster.call(1, &call("granted")).await.status, 200);
}
