//! A store that cannot be loaded does not keep a node down for ever.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use keyward_testkit::gateway::until;
use keyward_testkit::postgres::Postgres;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

use crate::served::{KEY, Place, Served, call, world};

const REVOKED: &str = "key-of-eve-0123456789-abcdefgh";

/// A node that has revoked something, and has a copy of all that.
async fn with_history(place: &Place) -> Served {
    let upstream = Upstream::start().await.unwrap();
    let served = place.start_with(&world(&upstream.url())).await;
    let eve = format!(
        "version: 1\nconsumers: [{{name: eve, api_key: {{sources: [bearer], keys: [{REVOKED}]}}}}]\n\
         grants: [{{to: {{consumer: eve}}, api: orders, description: eve}}]\n"
    );
    served.apply(&eve).await;
    assert_eq!(served.call(&revoked()).await.status, 200);
    let copy = place.data().join("copy");
    let base = || {
        let mut files = std::fs::read_dir(&copy).into_iter().flatten().flatten();
        files.any(|file| file.file_name().to_string_lossy().starts_with("base-")).then_some(())
    };
    until(base).await.expect("a local copy");
    // After the base: it is the journal that must not be forgotten.
    let grants = served.all("/v1/grants").await;
    let grant = grants.iter().find(|grant| grant["description"] == "eve").unwrap()["id"].as_str().unwrap();
    let answer = served.create(&format!("/v1/grants/{grant}/revoke"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(served.call(&revoked()).await.status, 403);
    served
}

fn revoked() -> Request {
    Request::get("gw.test", "/orders/1").bearer(REVOKED)
}

/// Three starts fail; the fourth serves what was in effect, and raises the alarm.
async fn starts_from_its_copy(place: &Place) -> Served {
    for attempt in 1..=3 {
        let said = place.start().expect_err("the store cannot be loaded");
        assert!(said.contains("keyward: "), "attempt {attempt}: {said}");
    }
    let served = place.start().unwrap_or_else(|said| panic!("it stays down: {said}"));
    assert!(place.said().contains("the last starts failed"), "{}", place.said());
    // The service is another process's, gone with its test double: what counts is who is let through to it.
    assert_ne!(served.call(&call()).await.status, 403, "{KEY} is granted");
    assert_eq!(served.call(&revoked()).await.status, 403, "a revocation is not forgotten");
    assert_eq!(served.metric("keyward_on_last_good_copy").await, 1.0);
    let ready = served.admin(Request::get("localhost", "/readyz")).await;
    assert!(ready.text().contains("not well") || ready.status == 503, "{}", ready.text());
    served
}

#[tokio::test]
async fn fail_009_a_database_that_cannot_be_loaded_is_mended_through_a_node_that_runs_on_its_copy() {
    let database = Postgres::shared().database();
    let place = Place::new().with(["--store", &database.url()]);
    assert_eq!(with_history(&place).await.stop(), Some(0));
    database.sql("ALTER TABLE grants RENAME COLUMN stages TO hidden");
    let served = starts_from_its_copy(&place).await;
    let nodes = served.nodes().await;
    assert!(nodes[0]["trouble"].as_str().unwrap().contains("local copy"), "{nodes:?}");
    // Changes that do not touch what is broken are taken, and hold.
    let made = served.create("/v1/consumers", r#"{"name": "new"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    // Killed, it starts from its copy again; stopped in order, it tries the store once more.
    served.kill();
    let served = place.start().unwrap_or_else(|said| panic!("it stays down: {said}"));
    assert_eq!(served.call(&revoked()).await.status, 403);
    assert_eq!(served.show("/v1/consumers/new").await["name"], "new");
    assert_eq!(served.stop(), Some(0));
    assert!(place.start().is_err(), "it is not mended yet");
    let served = place.start().unwrap_or_else(|said| panic!("it stays down: {said}"));
    database.sql("ALTER TABLE grants RENAME COLUMN hidden TO stages");
    assert_eq!(served.stop(), Some(0));
    let served = place.start().unwrap();
    assert_eq!(served.metric("keyward_on_last_good_copy").await, 0.0);
    assert_eq!(served.call(&revoked()).await.status, 403);
    assert!(served.nodes().await[0].get("trouble").is_none());
}

#[tokio::test]
async fn fail_009_a_damaged_file_does_not_keep_a_node_down() {
    let place = Place::new();
    assert_eq!(with_history(&place).await.stop(), Some(0));
    // The first page, which says what there is, stays; nothing behind it can be believed.
    let file = OpenOptions::new().write(true).open(place.data().join("keyward.db")).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&vec![0x5a; usize::try_from(length - 4096).unwrap()], 4096).unwrap();
    let served = starts_from_its_copy(&place).await;
    let refused = served.create("/v1/consumers", r#"{"name": "new"}"#).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
}
