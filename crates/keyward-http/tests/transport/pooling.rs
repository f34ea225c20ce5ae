//! Upstream connections: kept while they are clean, replaced when they are dead, bounded in number.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::{Gateway, Setup, Upstream, wait_until};
use keyward_http::{Limits, UpstreamFailure};

/// Answers the first request of each connection and then closes it as soon as `close` hears of it, or with the next
/// request.
fn closing_after_one() -> Upstream {
    Upstream::raw(|wire| {
        let request = wire.request().unwrap();
        wire.send(Upstream::answer(request.line));
        // The next head arrives, and the connection ends without an answer: as if it had been closed at that moment.
        wire.head();
    })
}

#[test]
fn a_dead_pooled_connection_is_replaced_for_requests_that_may_be_repeated() {
    let upstream = closing_after_one();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for number in 0..5 {
        assert_eq!(client.get(&format!("/{number}")).text(), format!("GET /{number} HTTP/1.1"));
        assert_eq!(client.post(&format!("/{number}"), b"hello").text(), format!("POST /{number} HTTP/1.1"));
    }
    assert_eq!(gateway.server.counters().upstream_retried, 9);
}

#[test]
fn a_request_that_may_not_be_repeated_is_not() {
    let upstream = closing_after_one();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    assert_eq!(client.post("/careful", b"hello").status, 200);
    assert_eq!(client.post("/careful", b"hello").text(), "Closed");
    assert_eq!(gateway.server.counters().upstream_retried, 0);
}

#[test]
fn a_connection_that_was_closed_while_idle_is_not_used() {
    let (close, closing) = channel::<()>();
    let closing = Mutex::new(closing);
    let upstream = Upstream::raw(move |wire| {
        let request = wire.request().unwrap();
        wire.send(Upstream::answer(request.line));
        if wire.number == 0 {
            closing.lock().unwrap().recv().unwrap();
        } else {
            wire.wait_for_end();
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    assert_eq!(client.get("/a").status, 200);
    close.send(()).unwrap();
    wait_until("the pool notices", || gateway.server.counters().upstream_open == 0);
    assert_eq!(client.post("/careful", b"x").status, 200);
    assert_eq!(gateway.server.counters().upstream_retried, 0);
}

#[test]
fn bytes_on_an_idle_connection_throw_it_away() {
    let (say, said) = channel::<()>();
    let said = Mutex::new(said);
    let upstream = Upstream::raw(move |wire| {
        let request = wire.request().unwrap();
        wire.send(Upstream::answer(request.line));
        if wire.number == 0 {
            said.lock().unwrap().recv().unwrap();
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        }
        wire.wait_for_end();
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    assert_eq!(client.get("/a").status, 200);
    say.send(()).unwrap();
    wait_until("the pool notices", || gateway.server.counters().upstream_open == 0);
    assert_eq!(client.get("/b").text(), "GET /b HTTP/1.1");
}

#[test]
fn idle_connections_are_closed_in_time() {
    let upstream = Upstream::echo();
    let limits = Limits { upstream_idle_timeout: Duration::from_millis(1), ..Limits::default() };
    let gateway = Setup { limits, ..Setup::default() }.start(&upstream);
    assert_eq!(gateway.connect().get("/a").status, 200);
    wait_until("the pool is empty", || gateway.server.counters().upstream_open == 0);
}

#[test]
fn connections_to_an_upstream_are_bounded() {
    let (answer, answers) = channel::<()>();
    let answers = Mutex::new(answers);
    let upstream = Upstream::raw(move |wire| {
        while let Some(request) = wire.request() {
            answers.lock().unwrap().recv().unwrap();
            wire.send(Upstream::answer(request.line));
        }
    });
    let limits = Limits { upstream_connections: 2, ..Limits::default() };
    let gateway = Setup { limits, ..Setup::default() }.start(&upstream);
    let mut waiting: Vec<_> = (0..2).map(|_| gateway.connect()).collect();
    waiting.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    wait_until("both are on their way", || upstream.request_count() == 2);
    let mut third = gateway.connect();
    assert_eq!(third.get("/").status, 503);
    assert_eq!(gateway.log.last_failed(), Some(UpstreamFailure::Exhausted));
    answer.send(()).unwrap();
    answer.send(()).unwrap();
    assert!(waiting.iter_mut().all(|client| client.reply().status == 200));
    answer.send(()).unwrap();
    assert_eq!(third.get("/").status, 200, "a connection that is free again is used");
}

#[test]
fn an_upstream_that_closes_after_each_answer_is_not_pooled() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        wire.wait_for_end();
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for _ in 0..3 {
        let reply = client.get("/");
        assert_eq!((reply.text(), reply.field("connection")), ("ok".to_owned(), None));
    }
    assert_eq!((upstream.connections(), gateway.server.counters().upstream_reused), (3, 0));
}
