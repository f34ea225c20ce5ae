//! The one writer: many at once, each whole, in order, and in effect when answered.

use std::sync::Arc;

use keyward_control::ErrorKind;
use keyward_model::*;

use crate::node::*;

#[tokio::test]
async fn many_writers_get_revisions_without_gaps_and_see_their_own_writes() {
    let node = Arc::new(Node::new().await);
    let first = node.revision();
    let writers = (0..50).map(|n| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let spec = world(&format!("applications: [{{name: app-{n}}}]")).applications.remove(0).value;
            let made = node.control.applications().create(&OPERATOR, spec).await.unwrap();
            let app_key = made.object.credentials[0].app_key.clone().unwrap();
            let snapshot = node.control.snapshots().load_full();
            assert!(snapshot.revision().number >= made.revision.number);
            assert!(snapshot.app_key(&app_key).is_some());
            assert_eq!(made.object.revision, made.revision.number);
            made.revision.number
        })
    });
    let mut revisions = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        revisions.push(writer.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (first + 1..=first + 50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refused_write_does_not_disturb_those_beside_it() {
    let node = Arc::new(Node::new().await);
    let writers = (0..30).map(|n| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            // Every third one wants a name that is taken by then, or takes it.
            let text = if n % 3 == 0 { "same".to_owned() } else { format!("app-{n}") };
            let spec = world(&format!("applications: [{{name: {text}}}]")).applications.remove(0).value;
            node.control.applications().create(&OPERATOR, spec).await.map(|made| made.revision.number)
        })
    });
    let mut outcomes = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        outcomes.push(writer.await.unwrap());
    }
    let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(refused.len(), 9);
    assert!(refused.iter().all(|error| error.code() == "name_taken"));
    let mut revisions: Vec<u64> =
        outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().copied()).collect();
    revisions.sort_unstable();
    assert!(revisions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{revisions:?}");
}

#[tokio::test]
async fn a_write_holds_also_when_whoever_asked_is_gone() {
    let node = Node::new().await;
    let spec = world("applications: [{name: orphan}]").applications.remove(0).value;
    let control = node.control.clone();
    let asked = tokio::spawn(async move { control.applications().create(&OPERATOR, spec).await });
    // The write is queued with the first turn of the task, and the task dropped with its answer outstanding.
    tokio::task::yield_now().await;
    asked.abort();
    let _ = asked.await;
    // Writes are served in order: when this one is answered, that one was done.
    node.apply("applications: [{name: later}]").await.unwrap();
    assert!(node.control.applications().get(&OPERATOR, named("orphan")).await.is_ok());
}

#[tokio::test]
async fn after_closing_nothing_is_written_and_decisions_go_on() {
    let node = Node::with(SHOP).await;
    node.control.close().await;
    let error = node.apply("applications: [{name: late}]").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::StoreUnavailable, "writer_stopped"));
    assert_eq!(node.control.ready().unwrap_err().kind(), ErrorKind::StoreUnavailable);
    assert!(node.holder("canary-api-key-0001").is_some());
}

#[tokio::test]
async fn a_change_leaves_the_snapshot_before_it_as_it_was() {
    let node = Node::with(SHOP).await;
    let before = node.control.snapshots().load_full();
    node.control.consumers().delete(&OPERATOR, named("analytics"), false).await.unwrap();
    let digest = before.digest(b"canary-api-key-0001");
    assert!(before.credential_by_digest(&digest).is_some(), "a request under way reads one configuration");
    assert!(node.holder("canary-api-key-0001").is_none());
    let _: &Name = before.gateway_named(&name("default")).map(|gateway| &gateway.spec.name).unwrap();
}
