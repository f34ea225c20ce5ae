//! Several nodes over one PostgreSQL: what one changes holds on all, and what is wrong with the store closes no door.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use keyward_control::{Actor, ErrorKind};
use keyward_testkit::client::Connection;
use keyward_testkit::cluster::Cluster;
use keyward_testkit::gateway::until;
use keyward_testkit::operate::operate;
use keyward_testkit::postgres::Postgres;
use keyward_testkit::request::Request;

const NODES: usize = 3;

fn key(n: usize) -> String {
    format!("victim-key-{n:08}-abcdefgh")
}

fn world(consumers: usize) -> String {
    let mut world = String::from(
        "version: 1\nservices: [{name: origin, kind: http, endpoints: [\"${UPSTREAM}\"]}]\n\
         apis: [{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key], stages: \
         {RELEASE: {service: origin}}}]\nconsumers:\n",
    );
    for n in 0..consumers {
        world.push_str(&format!("  - {{name: v{n}, api_key: {{sources: [bearer], keys: [{}]}}}}\n", key(n)));
    }
    world.push_str("grants:\n");
    for n in 0..consumers {
        world.push_str(&format!("  - {{to: {{consumer: v{n}}}, api: orders, description: g{n}}}\n"));
    }
    world
}

fn call(n: usize) -> Request {
    Request::get("gw.test", "/orders/1").bearer(&key(n))
}

async fn statuses(cluster: &Cluster, request: &Request) -> Vec<u16> {
    let mut statuses = Vec::new();
    for at in 0..cluster.len() {
        statuses.push(cluster.call(at, request).await.status);
    }
    statuses
}

/// What the busy connections and the operator share.
#[derive(Default)]
struct Shared {
    current: AtomicUsize,
    answered: AtomicUsize,
    passed: AtomicUsize,
    late: AtomicUsize,
    calls: AtomicUsize,
    over: AtomicBool,
}

async fn call_on(shared: Arc<Shared>, mut connection: Connection) {
    while !shared.over.load(SeqCst) {
        let victim = shared.current.load(SeqCst);
        let answered = shared.answered.load(SeqCst);
        let answer = connection.call(&call(victim)).await.unwrap();
        shared.calls.fetch_add(1, SeqCst);
        if answer.status == 200 {
            shared.passed.fetch_add(1, SeqCst);
            if answered > victim {
                shared.late.fetch_add(1, SeqCst);
            }
        } else {
            assert!(matches!(answer.status, 401 | 403), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn what_all_nodes_have_applied_passes_nowhere_any_more_prop_002() {
    let victims = if std::env::var_os("KEYWARD_SOAK").is_some() { 10_000 } else { 60 };
    let database = Postgres::shared().database();
    let cluster = Cluster::start(NODES, &database.url(), &world(victims)).await;
    let shared = Arc::new(Shared::default());
    let mut busy = tokio::task::JoinSet::new();
    for at in 0..NODES {
        for _ in 0..8 {
            busy.spawn(call_on(Arc::clone(&shared), Connection::open(cluster.address(at)).await.unwrap()));
        }
    }
    for victim in 0..victims {
        shared.passed.store(0, SeqCst);
        shared.current.store(victim, SeqCst);
        while shared.passed.load(SeqCst) < NODES {
            tokio::task::yield_now().await;
        }
        // Revoked on one node after the other.
        let at = victim % NODES;
        let step = match victim / NODES % 3 {
            0 => format!("{{revoke: g{victim}}}"),
            1 => format!("{{disable_credential: {{consumer: v{victim}, kind: api_key, index: 0}}}}"),
            _ => format!("{{disable: {{consumer: v{victim}}}}}"),
        };
        let revision = operate(cluster.control(at), &step).await;
        let waited = cluster.wait(at, revision).await;
        assert_eq!((waited.applied.len(), waited.lagging.len()), (NODES, 0), "{waited:?}");
        shared.answered.store(victim + 1, SeqCst);
        let before = shared.calls.load(SeqCst);
        while shared.calls.load(SeqCst) < before + 8 * NODES {
            tokio::task::yield_now().await;
        }
    }
    shared.over.store(true, SeqCst);
    while let Some(ended) = busy.join_next().await {
        ended.unwrap();
    }
    let calls = shared.calls.load(SeqCst);
    assert_eq!(shared.late.load(SeqCst), 0, "of {calls} calls, some that began after the answer passed");
}

#[tokio::test]
async fn everything_about_a_change_reaches_the_other_nodes() {
    let database = Postgres::shared().database();
    let cluster = Cluster::start(NODES, &database.url(), &world(2)).await;
    // A new account, whose key the other nodes have not, with a sealed secret of a service, callers, a group and a grant on it.
    let more = "version: 1\naccounts: [{name: acme}]\nservices: [{account: acme, name: back, kind: http, endpoints: \
                [\"${UPSTREAM}\"], auth: {header: {name: x-back, value: s3cret-of-the-service}}}]\napis: [{account: \
                acme, name: things, kind: rest, hosts: [acme.test], base_path: /, admits: [api_key], stages: \
                {RELEASE: {service: back}}}]\nconsumers: [{account: acme, name: ann, api_key: {sources: [bearer], \
                keys: [acme-key-0123456789-abcdefgh]}}]\ngroups: [{account: acme, name: all, members: [{consumer: \
                ann}]}]\ngrants: [{account: acme, to: {group: all}, api: things}]\n";
    let revision = cluster.apply(1, more).await.revision;
    assert_eq!(cluster.wait(1, revision).await.lagging, []);
    let ann = Request::get("acme.test", "/1").bearer("acme-key-0123456789-abcdefgh");
    assert_eq!(statuses(&cluster, &ann).await, [200; NODES]);
    let last = cluster.upstream().last().unwrap();
    assert_eq!(
        last.values("x-back"),
        ["s3cret-of-the-service"],
        "the other nodes can open what was sealed there"
    );

    // She leaves the group; then everything of hers goes, and a new consumer takes her key.
    let leave = "version: 1\ngroups: [{account: acme, name: all, members: []}]\n";
    let revision = cluster.apply(2, leave).await.revision;
    assert_eq!(cluster.wait(2, revision).await.lagging, []);
    assert_eq!(statuses(&cluster, &ann).await, [403; NODES]);
    let ann_id = keyward_control::ObjectRef::Named(keyward_model::Qualified {
        account: "acme".parse().unwrap(),
        name: "ann".parse().unwrap(),
    });
    let gone = cluster.control(0).consumers().delete(&Actor::LocalToken, ann_id, false).await.unwrap();
    assert_eq!(cluster.wait(0, gone.revision).await.lagging, []);
    assert_eq!(statuses(&cluster, &ann).await, [401; NODES]);
    let again = "version: 1\nconsumers: [{account: acme, name: bob, api_key: {sources: [bearer], keys: \
                 [acme-key-0123456789-abcdefgh]}}]\ngrants: [{account: acme, to: {consumer: bob}, api: things}]\n";
    let revision = cluster.apply(0, again).await.revision;
    assert_eq!(cluster.wait(0, revision).await.lagging, []);
    assert_eq!(statuses(&cluster, &ann).await, [200; NODES]);
}

#[tokio::test]
async fn a_conflict_with_what_another_node_just_wrote_is_seen() {
    let database = Postgres::shared().database();
    let cluster = Cluster::start(2, &database.url(), &world(1)).await;
    let api = |name: &str| {
        let text = format!(
            "version: 1\napis: [{{name: {name}, kind: rest, hosts: [new.test], base_path: /new, admits: [api_key], \
             stages: {{RELEASE: {{service: origin}}}}}}]\n"
        );
        keyward_api::WorldFile::parse(&text, &|_| None).unwrap().world
    };
    for round in 0..10 {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let options = keyward_control::ApplyOptions::default;
        let (first, second) = tokio::join!(
            cluster.control(0).apply(&Actor::LocalToken, api(&a), options()),
            cluster.control(1).apply(&Actor::LocalToken, api(&b), options()),
        );
        let kept = first.is_ok();
        assert!(kept != second.is_ok(), "one of the two has the place: {first:?} {second:?}");
        let lost = if kept { second.unwrap_err() } else { first.unwrap_err() };
        assert_eq!(lost.kind(), ErrorKind::Conflict, "{lost}");
        let winner = keyward_control::ObjectRef::Named(keyward_model::Qualified {
            account: "default".parse().unwrap(),
            name: if kept { a } else { b }.parse().unwrap(),
        });
        cluster.control(round % 2).apis().delete(&Actor::LocalToken, winner, false).await.unwrap();
    }
}

/// Tells the change log what was done by SQL alone, as a revision of its own, and wakes nobody.
fn logged(sql: &str, noun: &str, object: &str, owner: &str) -> String {
    format!(
        "BEGIN; {sql}; UPDATE head SET revision = revision + 1; INSERT INTO change_log (revision, place, noun, \
         object, gone, owner) SELECT h.revision, 0, '{noun}', {object}, 0, {owner} FROM head h; COMMIT"
    )
}

#[tokio::test]
async fn a_change_that_nobody_told_of_is_found_all_the_same() {
    let database = Postgres::shared().database();
    let cluster = Cluster::start(NODES, &database.url(), &world(2)).await;
    let grant = "(SELECT id FROM grants WHERE description = 'g0')";
    let whom = "(SELECT caller FROM grants WHERE description = 'g0')";
    database.sql(&logged("UPDATE grants SET revoked = 1 WHERE description = 'g0'", "grant", grant, whom));
    for at in 0..NODES {
        let mut connection = Connection::open(cluster.address(at)).await.unwrap();
        while connection.call(&call(0)).await.unwrap().status == 200 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(statuses(&cluster, &call(1)).await, [200; NODES]);
}

#[tokio::test]
async fn a_bad_row_is_left_out_and_the_others_go_on_fail_007() {
    let database = Postgres::shared().database();
    let mut cluster = Cluster::start(NODES, &database.url(), &world(4)).await;
    let bad = [
        ("UPDATE grants SET stages = 255 WHERE description = 'g0'", "grant", "description = 'g0'", "grants"),
        ("UPDATE callers SET sources = 'nonsense' WHERE name = 'v1'", "caller", "name = 'v1'", "callers"),
        (
            "UPDATE credentials SET kind = 'unheard-of' WHERE caller = (SELECT id FROM callers WHERE name = 'v2')",
            "credential",
            "caller = (SELECT id FROM callers WHERE name = 'v2')",
            "credentials",
        ),
    ];
    for (sql, noun, which, table) in &bad {
        let object = format!("(SELECT id FROM {table} WHERE {which})");
        let owner = match *noun {
            "caller" => "NULL".to_owned(),
            _ => format!("(SELECT caller FROM {table} WHERE {which})"),
        };
        database.sql(&logged(sql, noun, &object, &owner));
    }
    // A noun of a newer version, and a row that no reference of it exists for.
    database.sql(&logged("SELECT 1", "teapot", "'pot_1'", "NULL"));
    let good = operate(cluster.control(1), "{revoke: g3}").await;
    assert_eq!(cluster.wait(1, good).await.lagging, []);
    for (victim, expected) in [(0, 403), (1, 401), (2, 401), (3, 403)] {
        assert_eq!(statuses(&cluster, &call(victim)).await, [expected; NODES], "{victim}");
    }
    // No crash loop: a restart comes to the same.
    cluster.stop(2).await;
    cluster.start_again(2).await.unwrap();
    // The three, and the grant of the one that is left out.
    assert_eq!(cluster.control(2).quarantined().len(), 4, "{:?}", cluster.control(2).quarantined());
    for (victim, expected) in [(0, 403), (1, 401), (2, 401), (3, 403)] {
        assert_eq!(cluster.call(2, &call(victim)).await.status, expected, "{victim}");
    }
    let mended = "version: 1\ngrants: [{to: {consumer: v3}, api: orders, description: again}]\n";
    let revision = cluster.apply(0, mended).await.revision;
    assert_eq!(cluster.wait(0, revision).await.lagging, []);
    assert_eq!(statuses(&cluster, &call(3)).await, [200; NODES]);

    // What is mended comes back with everything that hung on it, by SQL or by a use case.
    let caller = "(SELECT id FROM callers WHERE name = 'v1')";
    database.sql(&logged(
        "UPDATE callers SET sources = (SELECT sources FROM callers WHERE name = 'v0') WHERE name = 'v1'",
        "caller",
        caller,
        "NULL",
    ));
    let revision = operate(cluster.control(0), "{disable: {consumer: v3}}").await;
    assert_eq!(cluster.wait(0, revision).await.lagging, []);
    assert_eq!(statuses(&cluster, &call(1)).await, [200; NODES]);
}

#[tokio::test]
async fn a_log_that_does_not_reach_back_makes_nodes_read_everything() {
    let database = Postgres::shared().database();
    let cluster = Cluster::start(NODES, &database.url(), &world(2)).await;
    database.sql(
        "BEGIN; UPDATE grants SET revoked = 1 WHERE description = 'g0'; UPDATE head SET revision = revision + 7; \
         DELETE FROM change_log; COMMIT",
    );
    let revision = operate(cluster.control(0), "{revoke: g1}").await;
    assert_eq!(cluster.wait(0, revision).await.lagging, []);
    assert_eq!(statuses(&cluster, &call(0)).await, [403; NODES]);
    assert_eq!(statuses(&cluster, &call(1)).await, [403; NODES]);
}

#[tokio::test]
async fn a_store_that_went_back_is_not_followed_cache_006() {
    let database = Postgres::shared().database();
    let mut cluster = Cluster::start(2, &database.url(), &world(2)).await;
    database
        .sql("CREATE TABLE backup AS SELECT * FROM head; CREATE TABLE old_grants AS SELECT * FROM grants");
    let revision = operate(cluster.control(0), "{revoke: g0}").await;
    assert_eq!(cluster.wait(0, revision).await.lagging, []);
    // Somebody puts yesterday's state back, in which the grant still held.
    let restore = "BEGIN; CREATE TABLE newer AS SELECT * FROM head; UPDATE head SET (revision, audit_seq, audit_hash) \
                   = (SELECT revision, audit_seq, audit_hash FROM backup); UPDATE grants SET revoked = NULL; COMMIT";
    database.sql(restore);
    for at in 0..2 {
        let control = cluster.control(at).clone();
        until(|| control.ready().is_err().then_some(())).await.expect("it says that the store went back");
        let ready = cluster.admin(at, Request::get("localhost", "/readyz")).await;
        assert_eq!(ready.status, 503, "{ready:?}");
        // Nobody writes on top of it, and what was revoked stays so.
        let error = cluster.control(at).grants().list(&Actor::LocalToken, Default::default()).await;
        assert!(error.is_ok(), "reading goes on");
        let world =
            keyward_api::WorldFile::parse("version: 1\naccounts: [{name: new}]\n", &|_| None).unwrap().world;
        let refused =
            cluster.control(at).apply(&Actor::LocalToken, world, Default::default()).await.unwrap_err();
        assert_eq!(refused.code(), "store_went_back");
        assert_eq!(cluster.call(at, &call(0)).await.status, 403);
        assert_eq!(cluster.call(at, &call(1)).await.status, 200);
    }
    // A revision that is high enough does not help if the way there is another one.
    database
        .sql("UPDATE head SET revision = revision + 100, audit_seq = audit_seq + 100, audit_hash = '\\x00'");
    database.sql("UPDATE audit SET hash = '\\x01' WHERE seq = (SELECT audit_seq FROM newer)");
    let control = cluster.control(1).clone();
    let read = control.revision();
    let world =
        keyward_api::WorldFile::parse("version: 1\naccounts: [{name: new}]\n", &|_| None).unwrap().world;
    assert_eq!(
        control.apply(&Actor::LocalToken, world, Default::default()).await.unwrap_err().code(),
        "store_went_back"
    );
    assert_eq!(control.revision(), read);
    // Another store in the same place is not followed either.
    database.sql("UPDATE meta SET value = '00000000-0000-4000-8000-000000000000' WHERE name = 'store'");
    let other = || (control.ready().unwrap_err().code() == "another_store").then_some(());
    until(other).await.expect("it says that it is another store");
    assert_eq!(cluster.call(1, &call(0)).await.status, 403);
    cluster.stop(0).await;
}

#[tokio::test]
async fn nodes_are_listed_until_they_are_stopped_in_order_or_forgotten() {
    let database = Postgres::shared().database();
    let mut cluster = Cluster::start(NODES, &database.url(), &world(1)).await;
    let names = async |cluster: &Cluster| {
        let nodes = cluster.control(0).nodes().list(&Actor::LocalToken).await.unwrap();
        nodes.into_iter().map(|node| node.name).collect::<Vec<_>>()
    };
    cluster.wait(0, cluster.control(0).revision()).await;
    let all = cluster.control(0).nodes().list(&Actor::LocalToken).await.unwrap();
    assert_eq!(all.iter().map(|node| &*node.name).collect::<Vec<_>>(), ["n0", "n1", "n2"]);
    assert_eq!(all.iter().filter(|node| node.this).count(), 1);
    for (at, node) in all.iter().enumerate() {
        assert_eq!(node.admin, format!("http://{}", cluster.node(at).admin_addr()));
        assert_eq!((&*node.gateway, node.lag), ("default", 0));
        assert!(node.id.starts_with("node_") && node.last_seen >= node.started, "{node:?}");
    }
    let id = cluster.control(1).node_id().to_owned();
    cluster.stop(1).await;
    assert_eq!(names(&cluster).await, ["n0", "n2"]);
    cluster.start_again(1).await.unwrap();
    assert_eq!(cluster.control(1).node_id(), id, "it is the same node as before");

    // One that was killed long ago: listed, not waited for, forgotten when told.
    database.sql(
        "INSERT INTO nodes VALUES ('node_dead', 'dead', 'default', '0', '', 0, (extract(epoch FROM now()) * \
         1000)::bigint - 60000, 1)",
    );
    let revision = operate(cluster.control(0), "{revoke: g0}").await;
    let waited = cluster.wait(0, revision).await;
    assert_eq!(waited.applied.len(), NODES, "{waited:?}");
    assert_eq!(waited.lagging.len(), 1);
    assert_eq!((&*waited.lagging[0].node.name, waited.lagging[0].revision), ("dead", 1));
    assert!(waited.lagging[0].reason.contains("not heard of"), "{waited:?}");
    let nodes = cluster.control(0).nodes();
    let running = nodes.forget(&Actor::LocalToken, &id).await.unwrap_err();
    assert_eq!((running.kind(), running.code()), (ErrorKind::Conflict, "node_running"));
    nodes.forget(&Actor::LocalToken, "node_dead").await.unwrap();
    let unknown = nodes.forget(&Actor::LocalToken, "node_dead").await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert_eq!(names(&cluster).await, ["n0", "n1", "n2"]);
    assert_eq!(database.sql("SELECT count(*) FROM audit WHERE action = 'node.forget'"), "1");
}

#[tokio::test]
async fn a_node_knows_until_when_it_knew_everything() {
    let server = Postgres::start();
    let database = server.database();
    let cluster = Cluster::start(2, &database.url(), &world(1)).await;
    let freshness = cluster.control(1).freshness();
    let first = freshness.confirmed_at();
    until(|| (freshness.confirmed_at() > first).then_some(()))
        .await
        .expect("it is confirmed again and again");
    server.kill();
    // Whatever was under way has ended once writing is refused.
    let world =
        || keyward_api::WorldFile::parse("version: 1\naccounts: [{name: new}]\n", &|_| None).unwrap().world;
    let refused =
        cluster.control(1).apply(&Actor::LocalToken, world(), Default::default()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::StoreUnavailable, "store_unavailable"));
    let stale = freshness.confirmed_at();
    assert_eq!(statuses(&cluster, &call(0)).await, [200; 2], "requests go on");
    assert_eq!(freshness.confirmed_at(), stale);
    assert!(cluster.control(1).ready().is_ok(), "and are not turned away");
    server.start_again();
    until(|| (freshness.confirmed_at() > stale).then_some(())).await.expect("it is confirmed again");
    assert!(cluster.control(1).apply(&Actor::LocalToken, world(), Default::default()).await.is_ok());
    cluster.converge(1).await;
    tokio::time::timeout(Duration::from_secs(60), cluster.wait(1, cluster.control(1).revision()))
        .await
        .unwrap();
}
