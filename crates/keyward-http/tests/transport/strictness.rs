//! What could be read in two ways is refused and the connection closed; nothing of it reaches the upstream.

use crate::common::{Gateway, Setup, Upstream, wait_until};
use keyward_http::{Limits, Refused};

/// Messages that end with their own status and a closed connection, with a request behind them that must not be
/// read.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn assert_refused(cases: &[(&str, u16)]) {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    for (message, status) in cases {
        let answer = gateway.send_and_read_to_end(format!("{message}{SMUGGLED}").as_bytes());
        let answer = String::from_utf8_lossy(&answer);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{message:?}: {answer}");
        let answers = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).count();
        assert_eq!(answers, 1, "{message:?}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{message:?}: {answer}");
    }
    let reached = String::from_utf8_lossy(&upstream.all_bytes()).into_owned();
    assert!(reached.is_empty(), "{reached}");
    assert_eq!(gateway.server.counters().panics, 0);
}

#[test]
fn ambiguous_lengths_are_refused() {
    let lengths = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5;",
        "Content-Length: 1_0",
        "Content-Length: 5e0",
        "Content-Length: 05",
        "Content-Length: 99999999999999999999999999",
        "Content-Length: ",
        "Content-Length\t: 5",
        "Content-Length : 5",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \u{a0}chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\r\n chunked",
    ];
    let messages: Vec<String> = lengths
        .iter()
        .map(|length| format!("POST / HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n0\r\n\r\n"))
        .collect();
    let cases: Vec<(&str, u16)> = messages.iter().map(|message| (message.as_str(), 400)).collect();
    assert_refused(&cases);
}

#[test]
fn codings_that_are_not_spoken_are_told_apart() {
    assert_refused(&[
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ]);
}

#[test]
fn malformed_chunks_are_refused_and_their_upstream_connection_is_not_reused() {
    for body in [
        "+1\r\nZ\r\n0\r\n\r\n",
        "1_0\r\nZ\r\n0\r\n\r\n",
        "0x1\r\nZ\r\n0\r\n\r\n",
        "\r\nZ\r\n0\r\n\r\n",
        "1;\nZ\r\n0\r\n\r\n",
        "1\rX\nZ\r\n0\r\n\r\n",
        "1\r\nZ\n0\r\n\r\n",
        "1\nZ\r\n0\r\n\r\n",
        "1\r\nZZ\r\n0\r\n\r\n",
        "1\r\nZ0\r\n\r\n",
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA b\r\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "1 ;a\r\nZ\r\n0\r\n\r\n",
        "ffffffffffffffffffff\r\nZ\r\n0\r\n\r\n",
    ] {
        let upstream = Upstream::echo();
        let gateway = Gateway::before(&upstream);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = gateway.send_and_read_to_end(format!("{head}{body}{SMUGGLED}").as_bytes());
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{body:?}: {answer}");
        wait_until("the upstream connection is closed", || gateway.server.counters().upstream_open == 0);
        assert_eq!(upstream.request_count(), 0, "{body:?} became a complete message");
        assert!(!String::from_utf8_lossy(&upstream.all_bytes()).contains("smuggled"));
    }
}

#[test]
fn malformed_lines_and_fields_are_refused() {
    assert_refused(&[
        ("POST / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(y): 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX y: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\t\r\nHost: a\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.9\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nAAAAA", 405),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\n\r\n", 417),
    ]);
}

#[test]
fn ambiguous_hosts_and_targets_are_refused() {
    assert_refused(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET http://other.example/internal HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ]);
}

#[test]
fn every_split_of_a_head_is_read_alike() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let message = "\r\nPOST http://a/x?y HTTP/1.1\r\nHost: A\r\nContent-Length: 2\r\n\r\nhi";
    let mut client = gateway.connect();
    for at in 1..message.len() {
        client.send(&message[..at]);
        client.send(&message[at..]);
        assert_eq!(client.reply().text(), "POST /x?y HTTP/1.1 2");
    }
    for byte in message.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.reply().text(), "POST /x?y HTTP/1.1 2");
}

#[test]
fn large_heads_are_refused_without_reading_them_whole() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
    let long_field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(65_536));
    let long_total =
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", format!("X: {}\r\n", "y".repeat(2000)).repeat(64));
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(65_536));
    let bit_too_long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(8192));
    for (message, status) in
        [(many, 431), (long_field, 431), (long_total, 431), (long_target, 414), (bit_too_long, 414)]
    {
        let mut client = gateway.connect();
        client.try_send(&message);
        let reply = client.reply();
        assert_eq!(reply.status, status);
        assert!(client.is_closed());
    }
    let large =
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", format!("X: {}\r\n", "y".repeat(7900)).repeat(4));
    let mut client = gateway.connect();
    client.send(&large);
    assert_eq!(client.reply().status, 200, "a head of {} bytes is within the limit", large.len());
    let full = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(99));
    client.send(&full);
    assert_eq!(client.reply().status, 200, "100 fields are within the limit");
}

#[test]
fn large_bodies_are_refused() {
    let upstream = Upstream::echo();
    let gateway = Setup { limits: Limits { body_bytes: 1000, ..Limits::default() }, ..Setup::default() }
        .start(&upstream);
    let mut client = gateway.connect();
    assert_eq!(client.post("/", &[b'x'; 1000]).status, 200);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(client.reply().status, 413);
    assert!(client.is_closed());
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.try_send(crate::common::chunked(&[b'x'; 1001], 100));
    assert_eq!(client.reply().status, 413);
    assert!(client.is_closed());
    assert_eq!(gateway.log.last_refused(), Some(Refused::BodyTooLarge));
    // Whether a part of it was on its way upstream depends on how it arrived: it never becomes complete.
    assert_eq!(gateway.connect().get("/after").status, 200);
    assert_eq!(upstream.request_count(), 2);
}

#[test]
fn limits_are_exchanged_without_cutting_connections() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    assert_eq!(client.post("/", &[b'x'; 2000]).status, 200);
    gateway.server.set_limits(Limits { body_bytes: 1000, ..Limits::default() });
    // The new limits travel by message: another connection tells when they have arrived.
    wait_until("the new limits hold", || gateway.connect().post("/", &[b'x'; 2000]).status == 413);
    assert_eq!(client.post("/", &[b'x'; 1000]).status, 200, "an open connection goes on");
    assert_eq!(client.post("/", &[b'x'; 2000]).status, 413, "and keeps the new limits");
    assert_eq!(gateway.server.limits().body_bytes, 1000);
}
