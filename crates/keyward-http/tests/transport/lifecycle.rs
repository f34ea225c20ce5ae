//! Servers start, stop, stay within their bounds, and survive their handlers.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::{Client, Gateway, PATIENCE, Setup, Upstream, wait_until};
use keyward_http::{Limits, Refused};

#[test]
fn a_graceful_stop_finishes_what_is_in_flight() {
    let (answer, answers) = channel::<()>();
    let answers = Mutex::new(answers);
    let upstream = Upstream::raw(move |wire| {
        while let Some(request) = wire.request() {
            answers.lock().unwrap().recv().unwrap();
            wire.send(Upstream::answer(request.line));
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut idle = gateway.connect();
    let mut busy = gateway.connect();
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the request is on its way", || upstream.request_count() == 1);
    wait_until("both are served", || gateway.server.counters().connections_open == 2);
    let server = gateway.server;
    let stopping = std::thread::spawn(move || {
        server.shutdown_blocking(PATIENCE);
        server.counters()
    });
    assert!(idle.is_closed());
    answer.send(()).unwrap();
    let reply = busy.reply();
    assert_eq!((reply.status, reply.field("connection")), (200, Some("close")));
    drop(busy);
    let counters = stopping.join().unwrap();
    assert_eq!((counters.connections_open, counters.requests_open), (0, 0));
}

#[tokio::test]
async fn a_stop_without_grace_cuts_and_still_finishes_every_exchange() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.wait_for_end();
    });
    let gateway = Gateway::before(&upstream);
    let mut clients: Vec<Client> = (0..10).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n"));
    wait_until("all are on their way", || upstream.request_count() == 10);
    gateway.server.shutdown(Duration::ZERO).await;
    assert_eq!(gateway.log.finished(), 10);
    assert!((0..10).all(|number| !gateway.log.outcome(number).1.complete));
    assert!(clients.iter_mut().all(Client::is_closed));
}

#[test]
fn a_panic_ends_its_own_connection_only() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut bystander = gateway.connect();
    assert_eq!(bystander.get("/").status, 200);
    for (number, path) in ["/panic/head", "/panic/answer", "/panic/finished"].into_iter().enumerate() {
        let mut client = gateway.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let expected = if path == "/panic/finished" { 200 } else { 500 };
        assert_eq!(client.reply().status, expected, "{path}");
        assert!(client.is_closed());
        wait_until("the panic is counted", || gateway.server.counters().panics == number as u64 + 1);
        assert_eq!(bystander.get("/").status, 200);
    }
    wait_until("all are finished", || gateway.log.heads() == gateway.log.finished());
    wait_until("all are closed", || gateway.server.counters().connections_open == 1);
}

#[test]
fn a_withdrawn_permission_ends_an_open_stream() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        wire.wait_for_end();
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.chunk().unwrap(), b"x");
    gateway.log.forbidden.store(true, Ordering::SeqCst);
    assert!(client.is_closed(), "no last chunk may follow");
    wait_until("the upstream connection is closed", || gateway.server.counters().upstream_open == 0);
}

#[test]
fn a_client_that_resets_while_it_waits_ends_its_upstream_call() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.wait_for_end();
    });
    let gateway = Gateway::before(&upstream);
    let client = {
        let mut client = gateway.connect();
        client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    };
    wait_until("it is on its way", || upstream.request_count() == 1);
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let (_, outcome) = gateway.log.outcome(0);
    assert_eq!((outcome.status, outcome.complete), (0, false));
}

#[test]
fn a_half_closed_client_can_be_taken_for_gone() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.wait_for_end();
    });
    let limits = Limits { serve_half_closed: false, ..Limits::default() };
    let gateway = Setup { limits, ..Setup::default() }.start(&upstream);
    let mut client = gateway.connect();
    client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    client.close_sending();
    assert!(!gateway.log.outcome(0).1.complete);
}

#[test]
fn connections_are_spread_over_the_cores() {
    let upstream = Upstream::echo();
    let gateway = Setup { workers: 3, ..Setup::default() }.start(&upstream);
    let mut clients: Vec<Client> = (0..9).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(gateway.server.counters().connections_open, 9);
    // Every core has its own pool, so three cores with three idle clients each needed one connection each.
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn idle_connections_make_room_for_new_ones() {
    let upstream = Upstream::echo();
    let limits = Limits { connections: 20, ..Limits::default() };
    let gateway = Setup { limits, ..Setup::default() }.start(&upstream);
    let mut hoard: Vec<Client> = (0..100).map(|_| gateway.connect()).collect();
    for _ in 0..50 {
        assert_eq!(gateway.connect().get("/").status, 200);
    }
    let counters = gateway.server.counters();
    assert!(counters.connections_open <= 30 && counters.connections_shed >= 70, "{counters:?}");
    assert!(hoard.iter_mut().take(50).all(|client| client.is_closed()), "the oldest were closed");
}

#[test]
fn when_nobody_makes_room_new_clients_are_turned_away() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.wait_for_end();
    });
    let limits = Limits { connections: 4, ..Limits::default() };
    let gateway = Setup { limits, ..Setup::default() }.start(&upstream);
    let mut busy = Vec::new();
    wait_until("somebody is turned away", || {
        let mut client = gateway.connect();
        client.try_send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
        busy.push(client);
        gateway.log.last_refused() == Some(Refused::Busy)
    });
    assert!(gateway.server.counters().connections_shed > 0);
}

#[test]
fn many_clients_at_once_each_get_their_own_answers() {
    let upstream = Upstream::answering(|request| Upstream::answer(&request.body));
    let gateway = Setup { workers: 2, ..Setup::default() }.start(&upstream);
    std::thread::scope(|scope| {
        for client_number in 0..16 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.connect();
                for number in 0..200 {
                    let text = format!("{client_number}/{number}/{}", "x".repeat(number * 7));
                    assert_eq!(client.post(&format!("/{client_number}"), text.as_bytes()).text(), text);
                }
            });
        }
    });
    wait_until("all are finished", || gateway.log.finished() == 3200);
    assert_eq!(gateway.server.counters().requests_open, 0);
}
