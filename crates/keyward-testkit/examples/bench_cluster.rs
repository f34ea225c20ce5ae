//! `make bench-cluster`: how long after a revocation's answer a call still begins that passes, on each of three nodes over one
//! PostgreSQL, all of them under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use keyward_testkit::client::Connection;
use keyward_testkit::cluster::Cluster;
use keyward_testkit::operate::operate;
use keyward_testkit::postgres::Postgres;
use keyward_testkit::request::Request;
use tokio::task::JoinSet;

const NODES: usize = 3;
const CONNECTIONS: usize = 8;

fn key(n: usize) -> String {
    format!("victim-key-{n:08}-abcdefgh")
}

fn world(victims: usize) -> String {
    let mut world = String::from(
        "version: 1\nservices: [{name: origin, kind: http, endpoints: [\"${UPSTREAM}\"]}]\n\
         apis: [{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key], stages: \
         {RELEASE: {service: origin}}}]\nconsumers:\n",
    );
    for n in 0..victims {
        world.push_str(&format!("  - {{name: v{n}, api_key: {{sources: [bearer], keys: [{}]}}}}\n", key(n)));
    }
    world.push_str("grants:\n");
    for n in 0..victims {
        world.push_str(&format!("  - {{to: {{consumer: v{n}}}, api: orders, description: g{n}}}\n"));
    }
    world
}

/// What the calls of one node have come to.
#[derive(Default)]
struct Seen {
    /// When the last call began that passed, in nanoseconds since the start.
    last_pass: AtomicU64,
    passed: AtomicUsize,
    refused: AtomicUsize,
    calls: AtomicUsize,
}

struct Shared {
    start: Instant,
    victim: AtomicUsize,
    over: AtomicBool,
    nodes: [Seen; NODES],
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

async fn call_on(shared: Arc<Shared>, node: usize, mut connection: Connection) {
    let seen = &shared.nodes[node];
    while !shared.over.load(SeqCst) {
        let victim = shared.victim.load(SeqCst);
        let began = shared.now();
        let request = Request::get("gw.test", "/orders/1").bearer(&key(victim));
        let status = connection.call(&request).await.expect("an answer").status;
        seen.calls.fetch_add(1, SeqCst);
        if shared.victim.load(SeqCst) != victim {
            continue;
        }
        if status == 200 {
            seen.last_pass.fetch_max(began, SeqCst);
            seen.passed.fetch_add(1, SeqCst);
            seen.refused.store(0, SeqCst);
        } else {
            seen.refused.fetch_add(1, SeqCst);
        }
    }
}

fn milliseconds(sorted: &[u64], part: f64) -> f64 {
    let at = ((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len()) - 1;
    sorted[at] as f64 / 1e6
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let victims = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(500);
    let server = Postgres::start();
    let database = server.database();
    let cluster = Cluster::start(NODES, &database.url(), &world(victims)).await;
    let shared = Arc::new(Shared {
        start: Instant::now(),
        victim: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        nodes: Default::default(),
    });
    let mut busy = JoinSet::new();
    for node in 0..NODES {
        for _ in 0..CONNECTIONS {
            let connection = Connection::open(cluster.address(node)).await.expect("a connection");
            busy.spawn(call_on(Arc::clone(&shared), node, connection));
        }
    }
    let mut late: [Vec<u64>; NODES] = Default::default();
    let mut answers = Vec::new();
    for victim in 0..victims {
        for seen in &shared.nodes {
            seen.passed.store(0, SeqCst);
        }
        shared.victim.store(victim, SeqCst);
        while shared.nodes.iter().any(|seen| seen.passed.load(SeqCst) < CONNECTIONS) {
            tokio::task::yield_now().await;
        }
        let asked = shared.now();
        operate(cluster.control(victim % NODES), &format!("{{revoke: g{victim}}}")).await;
        let answered = shared.now();
        answers.push(answered - asked);
        // Every connection of every node was refused since it last passed.
        shared.nodes.iter().for_each(|seen| seen.refused.store(0, SeqCst));
        while shared.nodes.iter().any(|seen| seen.refused.load(SeqCst) < 2 * CONNECTIONS) {
            tokio::task::yield_now().await;
        }
        for (node, seen) in shared.nodes.iter().enumerate() {
            late[node].push(seen.last_pass.load(SeqCst).saturating_sub(answered));
        }
    }
    let seconds = shared.start.elapsed().as_secs_f64();
    shared.over.store(true, SeqCst);
    while busy.join_next().await.is_some() {}
    let calls: usize = shared.nodes.iter().map(|seen| seen.calls.load(SeqCst)).sum();
    println!(
        "{victims} revocations on {NODES} nodes, {:.0} calls per second meanwhile",
        calls as f64 / seconds
    );
    println!("milliseconds               p50      p99      max");
    answers.sort_unstable();
    let row = |name: String, sorted: &[u64]| {
        let figures = [0.5, 0.99, 1.0].map(|part| format!("{:8.2}", milliseconds(sorted, part)));
        println!("{name:<22} {}", figures.join(" "));
    };
    row("until the answer".to_owned(), &answers);
    for (node, late) in late.iter_mut().enumerate() {
        late.sort_unstable();
        row(format!("last pass on node {node}"), late);
    }
}
