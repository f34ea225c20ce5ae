//! `kill -9` in the middle of writes, again and again.

use std::time::{Duration, Instant};

use keyward_testkit::postgres::Postgres;
use keyward_testkit::upstream::Upstream;

use crate::served::{Place, call, world};
use crate::writers::{Found, Writers};

/// Kills a node so often while clients write to it: what was acknowledged is there, whole, and so is the audit.
async fn kill_and_look(place: Place) {
    let rounds = if std::env::var_os("KEYWARD_SOAK").is_some() { 200 } else { 8 };
    let upstream = Upstream::start().await.unwrap();
    let mut served = place.start_with(&world(&upstream.url())).await;
    let (mut acknowledged, mut unanswered, mut held) = (0, 0, 0);
    for round in 0..rounds {
        let writers = Writers::begin(&served, round, 4).await;
        // At other moments each time.
        writers.more(1 + round * 7 % 23).await;
        let writing = Instant::now();
        while writing.elapsed() < Duration::from_micros(round as u64 * 613 % 9_000) {
            tokio::task::yield_now().await;
        }
        served.kill();
        writers.end().await;
        served = place.start().unwrap_or_else(|said| panic!("it does not start again: {said}"));
        let found = Found::on(&served).await;
        let known = writers.acknowledged();
        for name in known.keys() {
            assert!(found.applications.contains_key(name), "{name} was acknowledged and is lost");
        }
        let prefix = format!("r{round}w");
        let there = found.applications.keys().filter(|name| name.starts_with(&prefix)).count();
        assert!(there <= known.len() + 4, "each client waits for one answer at most");
        acknowledged += known.len();
        (unanswered, held) = (unanswered + 4, held + there - known.len());
        found.is_whole(&served).await;
        // And the configuration in effect is the one that is stored: the last secret opens, and calls pass.
        let (name, secret) = known.iter().next_back().unwrap();
        let id = &found.applications[name][0];
        let shown = served.create(&format!("/v1/credentials/{id}/reveal"), "").await;
        assert_eq!(shown.json()["value"].as_str(), Some(secret.as_str()));
        assert_eq!(served.call(&call()).await.status, 200);
    }
    println!(
        "{rounds} kills: {acknowledged} acknowledged writes, 0 lost; of {unanswered} unanswered ones {held} held, 0 by half"
    );
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_killed_node_on_sqlite() {
    kill_and_look(Place::new()).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_killed_node_on_postgresql() {
    let database = Postgres::shared().database();
    kill_and_look(Place::new().with(["--store", &database.url()])).await;
}
