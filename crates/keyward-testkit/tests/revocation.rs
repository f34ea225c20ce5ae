//! A revocation is a fact: after its answer, no request that starts later passes, on connections that are open and busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use keyward_testkit::client::Connection;
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;

const CONNECTIONS: usize = 64;

/// One of the things that end a caller's rights.
const WAYS: [&str; 3] = ["grant", "credential", "caller"];

fn rounds() -> usize {
    if std::env::var_os("KEYWARD_SOAK").is_some() { 10_000 } else { 1_000 }
}

fn world(victims: usize) -> String {
    let mut world = String::from(
        "version: 1\nservices: [{name: origin, kind: http, endpoints: [\"${UPSTREAM}\"]}]\n\
         apis: [{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key, app_signature], stages: {RELEASE: {service: origin}}}]\n",
    );
    let consumers: String = (0..victims)
        .map(|i| format!("  - {{name: v{i}, api_key: {{sources: [bearer], keys: [{}]}}}}\n", key(i)))
        .collect();
    let grants: String = (0..victims)
        .map(|i| format!("  - {{to: {{consumer: v{i}}}, api: orders, description: g{i}}}\n"))
        .collect();
    world.push_str(&format!("consumers:\n{consumers}grants:\n{grants}"));
    world
}

fn key(victim: usize) -> String {
    format!("victim-key-{victim:08}-abcdefgh")
}

/// What the busy connections and the operator share.
#[derive(Default)]
struct Shared {
    /// The victim that everybody calls as.
    current: AtomicUsize,
    /// So many victims' revocations have been answered.
    answered: AtomicUsize,
    /// Calls of the current victim that passed.
    passed: AtomicUsize,
    /// Calls that began after the answer, and passed.
    late: AtomicUsize,
    calls: AtomicUsize,
    over: AtomicBool,
}

async fn call_on(shared: Arc<Shared>, mut connection: Connection) {
    while !shared.over.load(SeqCst) {
        let victim = shared.current.load(SeqCst);
        let answered = shared.answered.load(SeqCst);
        let answer =
            connection.call(&Request::get("gw.test", "/orders/1").bearer(&key(victim))).await.unwrap();
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
async fn no_request_that_starts_after_the_answer_passes() {
    let victims = rounds();
    let gateway = Gateway::start(&world(victims)).await;
    let shared = Arc::new(Shared::default());
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        busy.spawn(call_on(Arc::clone(&shared), Connection::open(gateway.address()).await.unwrap()));
    }
    for victim in 0..victims {
        shared.passed.store(0, SeqCst);
        shared.current.store(victim, SeqCst);
        // The revocation comes while this victim's calls pass.
        while shared.passed.load(SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        match WAYS[victim % WAYS.len()] {
            "grant" => gateway.operate(&format!("{{revoke: g{victim}}}")).await,
            "credential" => {
                gateway
                    .operate(&format!(
                        "{{disable_credential: {{consumer: v{victim}, kind: api_key, index: 0}}}}"
                    ))
                    .await
            }
            _ => gateway.operate(&format!("{{disable: {{consumer: v{victim}}}}}")).await,
        }
        shared.answered.store(victim + 1, SeqCst);
        let before = shared.calls.load(SeqCst);
        while shared.calls.load(SeqCst) < before + CONNECTIONS {
            tokio::task::yield_now().await;
        }
    }
    shared.over.store(true, SeqCst);
    while let Some(ended) = busy.join_next().await {
        ended.unwrap();
    }
    let calls = shared.calls.load(SeqCst);
    assert!(calls > victims * CONNECTIONS, "the connections were not busy: {calls} calls");
    assert_eq!(shared.late.load(SeqCst), 0, "of {calls} calls, some that began after the answer passed");
}

#[tokio::test]
async fn a_grant_that_comes_back_holds_at_once() {
    let gateway = Gateway::fixture().await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let (key, secret) = keyward_testkit::fixture::B0;
    let mut statuses = Vec::new();
    for round in 0..6 {
        let signing =
            Signing::alibaba(key, secret).fresh(gateway.now_ms(), &format!("nonce-of-round-{round:04}"));
        let request = Request::get("gw.test", "/orders/1").signed(&signing);
        statuses.push(connection.call(&request).await.unwrap().status);
        if round % 2 == 0 {
            let world = format!(
                "version: 1\ngrants: [{{to: {{application: B}}, api: orders, description: round {round}}}]\n"
            );
            gateway.apply(&world).await.unwrap();
        } else {
            gateway.operate(&format!("{{revoke: round {}}}", round - 1)).await;
        }
    }
    assert_eq!(statuses, [403, 200, 403, 200, 403, 200]);
}
