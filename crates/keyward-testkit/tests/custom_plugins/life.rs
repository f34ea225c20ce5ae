//! Hot replacement: modules and secrets change while calls go on, and none of them is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use keyward_testkit::client::Connection;
use keyward_testkit::gateway::{Gateway, Setup, until};
use keyward_testkit::operators::json;
use keyward_testkit::request::Request;

use crate::guest::Guest;
use crate::world::*;

const CONNECTIONS: usize = 64;

/// Marks requests with its number, after the sample's token was set.
fn marking(number: usize) -> Custom {
    let mut guest = Guest::new();
    let (name, value) = (guest.text("x-number"), guest.text(number.to_string()));
    let set = format!("(drop (call $replace (i32.const 0) {name} {value})) {GO_ON}");
    custom(guest.on("request_headers", &set).build()).named("marking")
}

fn token(round: usize) -> String {
    format!("team-token-canary-{round:04}")
}

async fn rotate(gateway: &Gateway, round: usize) {
    let body = format!(r#"{{"value": "{}", "overlap_s": 0}}"#, token(round));
    let answer = gateway.admin(json("POST", "/v1/secrets/team_token/rotate", &body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Calls until it is told to stop; counts what was answered, and what was not as it should be.
async fn busy(gateway: std::net::SocketAddr, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut connection = Connection::open(gateway).await.unwrap();
    while !stop.load(SeqCst) {
        match connection.call(&get("/orders/1").header("X-Team", "red")).await {
            Ok(answer) if answer.status == 200 && answer.header("x-hello") == Some("keyward") => {
                done.fetch_add(1, SeqCst);
            }
            Ok(answer) => wrong.push(format!("{}: {}", answer.status, answer.text())),
            Err(error) => {
                wrong.push(error.to_string());
                connection = Connection::open(gateway).await.unwrap();
            }
        }
    }
    wrong
}

#[tokio::test]
async fn nothing_is_dropped_while_modules_and_secrets_are_replaced() {
    catch_log();
    let setup = Setup { workers: Some(2), ..Setup::default() };
    let gateway = Gateway::start_with(&world("http://127.0.0.1:1"), setup).await;
    bind(&gateway, &[hello(), marking(0)]);
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(busy(gateway.address(), Arc::clone(&stop), Arc::clone(&done))))
        .collect();
    for round in 2..12 {
        let before = done.load(SeqCst);
        until(|| (done.load(SeqCst) > before + CONNECTIONS).then_some(())).await.expect("calls go on");
        match round % 2 {
            0 => rotate(&gateway, round).await,
            _ => bind(&gateway, &[hello(), marking(round)]),
        }
        // What is answered is used: the next call has the value of now.
        let answer = gateway.call(&get("/orders/probe").header("X-Team", "red")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let received = gateway.upstream().received();
        let probe = received.iter().rev().find(|one| one.line.contains("/orders/probe")).unwrap();
        assert_eq!(probe.values("x-team-token"), [token(round - round % 2)]);
        if round % 2 == 1 {
            assert_eq!(probe.values("x-number"), [round.to_string()]);
        }
    }
    stop.store(true, SeqCst);
    let mut wrong = Vec::new();
    for caller in callers {
        wrong.extend(caller.await.unwrap());
    }
    assert_eq!(wrong, Vec::<String>::new(), "of {} calls", done.load(SeqCst));
    assert!(done.load(SeqCst) > 10 * CONNECTIONS);
    for round in 1..12 {
        assert!(!log().contains(&token(round)), "{}", token(round));
    }
}

/// Says in the log when its root ends.
fn dying(number: usize) -> Custom {
    let mut guest = Guest::new();
    let text = guest.text(format!("root of dying {number} ends"));
    let say =
        format!("(if (i32.eq (local.get $a) (i32.const 1)) (then (drop (call $log (i32.const 4) {text}))))");
    custom(guest.on("request_headers", GO_ON).on("delete", &say).build()).named("dying")
}

#[tokio::test]
async fn what_is_replaced_or_removed_is_let_go() {
    let gateway = start(&[dying(0)]).await;
    for number in 1..4 {
        assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
        bind(&gateway, &[dying(number)]);
        assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
        let ended = format!("root of dying {} ends", number - 1);
        until(|| log().contains(&ended).then_some(())).await.expect(&ended);
        assert!(!log().contains(&format!("root of dying {number} ends")));
    }
    let snapshots = gateway.node().control().snapshots();
    let snapshot = snapshots.load_full();
    let gone = [keyward_access::SnapshotUpdate::RemovePlugin(plugin_id(0))];
    snapshots.store(snapshot.apply(snapshot.revision(), &gone).unwrap().into());
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 200, "nothing is bound any more");
    until(|| log().contains("root of dying 3 ends").then_some(())).await.expect("the last one ends");
    let page = gateway.admin(Request::get("localhost", "/metrics")).await;
    assert!(page.status == 200 && !page.text().contains("keyward_plugin_"), "{}", page.text());
}
