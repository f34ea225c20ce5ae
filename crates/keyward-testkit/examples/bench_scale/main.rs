//! `make bench-scale`: what the admin plane costs with a million applications in the store: pages of a list from its beginning to
//! its end, look-ups, a write, the start of a node. On SQLite and on PostgreSQL, through the admin API of a real node.
//!
//! usage: bench_scale [APPLICATIONS] [--store sqlite|postgres|both] [--output table|json]

mod measure;
mod seed;

use std::time::Instant;

use keyward::{AccessLogTo, Node, NodeOptions};
use keyward_model::Plaintext;
use keyward_testkit::postgres::Postgres;
use serde_json::{Value, json};
use tempfile::TempDir;

use measure::{Figures, resident_mib, seconds};

/// What is asked for.
struct Wanted {
    applications: usize,
    stores: Vec<Kind>,
    as_json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

fn wanted() -> Wanted {
    let mut wanted =
        Wanted { applications: 1_000_000, stores: vec![Kind::Sqlite, Kind::Postgres], as_json: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = if word.starts_with("--") { words.next().unwrap_or_default() } else { String::new() };
        match (word.as_str(), value.as_str()) {
            ("--store", "sqlite") => wanted.stores = vec![Kind::Sqlite],
            ("--store", "postgres") => wanted.stores = vec![Kind::Postgres],
            ("--store", "both") | ("--output", "table") => {}
            ("--output", "json") => wanted.as_json = true,
            (number, "") if number.parse::<usize>().is_ok_and(|number| number >= 1_000) => {
                wanted.applications = number.parse().expect("a number");
            }
            (word, value) => {
                eprintln!(
                    "`{word} {value}` is not understood; usage: bench_scale [APPLICATIONS] [--store sqlite|postgres|both] [--output table|json], 1000 applications or more"
                );
                std::process::exit(2);
            }
        }
    }
    wanted
}

/// A store, and the node on it. One data folder; on PostgreSQL a database beside it.
struct Place<'p> {
    folder: TempDir,
    database: Option<keyward_testkit::postgres::Database<'p>>,
}

impl Place<'_> {
    async fn start(&self) -> Node {
        let mut options = NodeOptions::new(self.folder.path(), "default".parse().expect("a name"));
        options.store = self.database.as_ref().map(|database| Plaintext::new(database.url()));
        options.access_log = AccessLogTo::Nowhere;
        Node::start(options).await.expect("a node")
    }

    /// What the store takes on disk, in MiB.
    fn on_disk_mib(&self) -> f64 {
        let bytes: u64 = match &self.database {
            Some(database) => {
                database.sql("SELECT pg_database_size(current_database())").parse().expect("a size")
            }
            None => std::fs::metadata(self.folder.path().join("keyward.db")).expect("a file").len(),
        };
        bytes as f64 / 1_048_576.0
    }
}

async fn bench(kind: Kind, applications: usize) -> Value {
    let server = (kind == Kind::Postgres).then(Postgres::start);
    let place = Place {
        folder: tempfile::tempdir().expect("a folder"),
        database: server.as_ref().map(Postgres::database),
    };
    let name = if kind == Kind::Sqlite { "sqlite" } else { "postgresql" };
    let mut figures = Figures::new(name, applications);

    // Written while there is next to nothing, for comparison; it also makes the account and its key.
    let node = place.start().await;
    figures.writes("empty", &node).await;
    node.shutdown(std::time::Duration::ZERO).await;

    let began = Instant::now();
    let seeded = seed::seed(place.folder.path(), place.database.as_ref(), applications).await;
    figures.set("seed_s", seconds(began));
    if let Some(database) = &place.database {
        // As autovacuum does by itself where it is not switched off, as it is here.
        database.sql("VACUUM ANALYZE");
    }
    figures.set("store_mib", place.on_disk_mib());

    let before = resident_mib();
    let began = Instant::now();
    let node = place.start().await;
    figures.set("start_s", seconds(began));
    figures.set("node_mib", resident_mib() - before);
    figures.reads(&node, &seeded).await;
    figures.writes("full", &node).await;
    let began = Instant::now();
    node.shutdown(std::time::Duration::ZERO).await;
    figures.set("stop_s", seconds(began));
    figures.done()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let wanted = wanted();
    let mut all = Vec::new();
    for &kind in &wanted.stores {
        let figures = bench(kind, wanted.applications).await;
        if !wanted.as_json {
            measure::print(&figures);
        }
        all.push(figures);
    }
    let text = format!("{:#}\n", json!(all));
    if wanted.as_json {
        print!("{text}");
    }
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/bench-scale.json");
    std::fs::write(target, text).expect("target/bench-scale.json");
}
