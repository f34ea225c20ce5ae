//! Upstreams that misbehave: the client gets 502 or 504 or a visibly cut answer, and nobody reuses the connection.

use std::time::Duration;

use crate::common::{Gateway, LONG, Setup, Upstream, wait_until};
use keyward_http::{Timeouts, UpstreamFailure};

#[test]
fn answers_in_doubt_are_not_passed_on() {
    let flood = "HTTP/1.1 102 Processing\r\n\r\n".repeat(9) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let many_fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(300));
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(40_000));
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 42 Low\r\n\r\n",
        "HTTP/1.1 600 High\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9\r\n",
        "\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        flood.as_str(),
        many_fields.as_str(),
        large.as_str(),
    ] {
        let sent = answer.to_owned();
        let upstream = Upstream::answering(move |_| sent.clone().into_bytes());
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        let reply = client.get("/");
        assert_eq!(reply.status, 502, "{answer:?}");
        wait_until("the connection is closed", || gateway.server.counters().upstream_open == 0);
        client.get("/");
        assert_eq!(upstream.connections(), 2, "the connection was reused after {answer:?}");
    }
}

#[test]
fn a_broken_body_cuts_the_answer() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nbad trailer\r\n\r\n",
    ] {
        let upstream = Upstream::answering(move |_| answer.to_vec());
        let gateway = Gateway::before(&upstream);
        let all = gateway.send_and_read_to_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let text = String::from_utf8_lossy(&all).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("abc\r\n"), "{text:?}");
        assert!(!gateway.log.outcome(0).1.complete);
    }
}

#[test]
fn an_answer_that_stops_too_early_is_cut() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    });
    let gateway = Gateway::before(&upstream);
    let all = gateway.send_and_read_to_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(all.ends_with(b"\r\n\r\nabc"));
    let (_, outcome) = gateway.log.outcome(0);
    assert_eq!((outcome.status, outcome.response_bytes, outcome.complete), (200, 3, false));
}

#[test]
fn more_than_one_answer_throws_the_connection_away() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            .to_vec()
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for number in 1..4 {
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(upstream.connections(), number);
    }
}

#[test]
fn an_upstream_that_is_not_there_is_told() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gateway = Setup::default().start_towards(&format!("http://{closed}"));
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "Connect");
        assert_eq!(client.post("/", b"hello").text(), "Connect", "the connection goes on");
    }
    assert_eq!(gateway.server.counters().upstream_open, 0);
}

#[test]
fn an_upstream_that_cannot_be_resolved_is_told() {
    let gateway = Setup::default().start_towards("http://does-not-exist.invalid");
    assert_eq!(gateway.connect().get("/").text(), "Connect");
}

#[test]
fn an_upstream_that_says_nothing_is_late() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.wait_for_end();
    });
    let timeouts = Timeouts { first_byte: Duration::from_millis(50), ..LONG };
    let gateway = Setup { timeouts, ..Setup::default() }.start(&upstream);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let reply = client.get("/");
        assert_eq!((reply.status, reply.text()), (504, "Late".to_owned()));
    }
    assert_eq!(gateway.log.last_failed(), Some(UpstreamFailure::Late));
}

#[test]
fn an_answer_that_stalls_is_cut() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        wire.wait_for_end();
    });
    let timeouts = Timeouts { idle: Duration::from_millis(50), ..LONG };
    let gateway = Setup { timeouts, ..Setup::default() }.start(&upstream);
    let all = gateway.send_and_read_to_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(all.ends_with(b"1\r\nx\r\n"), "no last chunk may follow");
}

#[test]
fn an_upstream_that_closes_without_an_answer_is_told() {
    let upstream = Upstream::raw(|wire| drop(wire.request()));
    let gateway = Gateway::before(&upstream);
    assert_eq!(gateway.connect().get("/").text(), "Closed");
    assert_eq!(upstream.request_count(), 1, "a fresh connection is not retried");
}

#[test]
fn an_early_answer_ends_an_upload() {
    let upstream = Upstream::raw(|wire| {
        wire.head();
        wire.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    client.try_send(vec![b'x'; 100_000]);
    let reply = client.reply();
    assert_eq!(
        (reply.status, reply.text(), reply.field("connection")),
        (403, "no".to_owned(), Some("close"))
    );
    client.try_send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    client.close_sending();
    assert!(client.is_closed());
    assert!(!String::from_utf8_lossy(&upstream.all_bytes()).contains("smuggled"));
}

#[test]
fn a_client_that_goes_away_ends_its_exchange() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [&b"1000\r\n"[..], &[b'x'; 4096], b"\r\n"].concat();
        while std::io::Write::write_all(&mut wire.stream, &chunk).is_ok() {}
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    drop(client);
    let (_, outcome) = gateway.log.outcome(0);
    assert!(!outcome.complete && outcome.status == 200);
    wait_until("the upstream connection is closed", || gateway.server.counters().upstream_open == 0);
}
