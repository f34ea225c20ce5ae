//! Answers that the handler judges before they pass, and bodies that it replaces.

use std::sync::atomic::Ordering;

use crate::common::{Gateway, Setup, Upstream, chunked, pattern, wait_until};
use keyward_http::{Limits, UpstreamFailure};

/// Answers with the request's body.
fn mirror() -> Upstream {
    Upstream::answering(|request| Upstream::answer(&request.body))
}

fn mirror_chunked() -> Upstream {
    Upstream::answering(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        answer.extend(chunked(&request.body, 700));
        answer
    })
}

#[test]
fn a_body_that_was_held_is_replaced_on_its_way() {
    let upstream = mirror();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for body in [&b""[..], b"old", &pattern(9_000)] {
        assert_eq!(client.post("/hold/rewrite", body).text(), "new body");
    }
    client.send("POST /hold/rewrite HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(chunked(b"old chunks", 3));
    assert_eq!(client.reply().text(), "new body");
    client.send("GET /rewrite HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().text(), "new body");
    assert_eq!(upstream.connections(), 1);
    for number in 0..5 {
        assert_eq!(upstream.request(number).field("content-length"), Some("8"));
    }
}

#[test]
fn an_answer_is_held_and_passes_or_is_changed() {
    for upstream in [mirror(), mirror_chunked()] {
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        for size in [0, 3, 9_999] {
            let body = pattern(size);
            let reply = client.post("/judge", &body);
            assert_eq!((reply.status, reply.field("x-via"), &reply.body), (200, Some("judge"), &body));
            let turned: Vec<u8> = body.iter().rev().copied().collect();
            let reply = client.post("/judge/turn", &body);
            assert_eq!((reply.status, reply.field("x-from"), &reply.body), (203, Some("judge"), &turned));
            assert_eq!(client.post("/judge/as", &body).status, 203);
            assert_eq!(client.post("/judge/refuse", &body).text(), "not this");
        }
        assert_eq!(upstream.connections(), 1, "held answers leave their connection to the next");
    }
}

#[test]
fn an_answer_is_judged_by_its_head() {
    for upstream in [mirror(), mirror_chunked()] {
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        let body = pattern(50_000);
        let reply = client.post("/early/as", &body);
        assert_eq!((reply.status, &reply.body), (203, &body));
        let reply = client.post("/early/refuse", &body);
        assert_eq!((reply.status, reply.text().as_str()), (403, "not this"));
        assert_eq!(client.post("/early/refuse", b"").status, 403);
        assert_eq!(client.post("/", &body).body, body);
    }
}

#[test]
fn a_small_answer_that_is_replaced_leaves_its_connection() {
    let upstream = mirror();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_eq!(client.post("/early/refuse", b"small").status, 403);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_answer_waits_for_word() {
    for path in ["/early/wait", "/early/hold", "/judge/wait"] {
        for upstream in [mirror(), mirror_chunked()] {
            let gateway = Gateway::before(&upstream);
            let mut client = gateway.connect();
            let body = pattern(if path.starts_with("/judge") { 5_000 } else { 9_000 });
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
            client.send(&body);
            wait_until("it waits", || !gateway.log.waiting.lock().unwrap().is_empty());
            assert_eq!(gateway.connect().get("/").status, 200, "others go on");
            gateway.log.give_word();
            let reply = client.reply();
            let via = if path == "/early/hold" { "judge" } else { "word" };
            assert_eq!((reply.status, reply.field("x-via"), &reply.body), (200, Some(via), &body), "{path}");
            gateway.log.word.store(false, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_client_that_leaves_while_its_answer_waits_frees_everything() {
    let upstream = mirror();
    let gateway =
        Setup { limits: Limits { serve_half_closed: false, ..Limits::default() }, ..Setup::default() }
            .start(&upstream);
    let mut client = gateway.connect();
    client.send("GET /early/wait HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("it waits", || !gateway.log.waiting.lock().unwrap().is_empty());
    drop(client);
    assert!(!gateway.log.outcome(0).1.complete);
    wait_until("the connection is closed", || gateway.server.counters().upstream_open == 0);
}

#[test]
fn an_answer_that_is_too_large_to_hold_is_a_failure() {
    for upstream in [mirror(), mirror_chunked()] {
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        let reply = client.post("/judge", &pattern(10_001));
        assert_eq!((reply.status, reply.text().as_str()), (502, "TooLarge"));
        assert_eq!(gateway.log.last_failed(), Some(UpstreamFailure::TooLarge));
        assert_eq!(client.post("/judge", &pattern(10_000)).status, 200);
    }
}

#[test]
fn an_answer_without_a_body_is_held_at_once() {
    for head in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"] {
        let upstream = Upstream::answering(move |_| head.as_bytes().to_vec());
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        for path in ["/judge", "/early/refuse", "/judge/refuse", "/judge"] {
            let reply = client.get(path);
            let expected = if path.ends_with("refuse") { 403 } else { head[9..12].parse().unwrap() };
            assert_eq!(reply.status, expected, "{path}");
        }
        assert_eq!(upstream.connections(), 1);
    }
}

#[test]
fn an_answer_to_head_keeps_its_length() {
    let upstream = Upstream::answering(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_vec());
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for path in ["/judge", "/early/as", "/"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let reply = client.head();
        assert_eq!(reply.field("content-length"), Some("7"), "{path}");
    }
}

#[test]
fn trailers_of_a_held_answer_pass() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n".to_vec()
    });
    let gateway = Gateway::before(&upstream);
    let all = gateway.send_and_read_to_end(b"GET /judge HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8(all).unwrap();
    assert!(text.contains("\r\nTransfer-Encoding: chunked\r\n"), "{text:?}");
    assert!(text.ends_with("\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"), "{text:?}");
}

#[test]
fn an_answer_that_breaks_off_while_it_is_held_is_a_failure() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    });
    let gateway = Gateway::before(&upstream);
    let reply = gateway.connect().get("/judge");
    assert_eq!((reply.status, gateway.log.last_failed()), (502, Some(UpstreamFailure::Closed)));
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    let gateway = Gateway::before(&upstream);
    assert_eq!(gateway.connect().get("/judge").text(), "until the end");
}

#[test]
fn an_early_answer_is_judged_while_the_request_is_still_coming() {
    let upstream = Upstream::raw(|wire| {
        wire.head();
        wire.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
        wire.wait_for_end();
    });
    for path in ["/judge", "/judge/turn", "/early/as", "/early/refuse"] {
        let gateway = Gateway::before(&upstream);
        let mut client = gateway.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"));
        client.send(pattern(1_000));
        let status = client.reply().status;
        assert_eq!(status, if matches!(path, "/judge" | "/early/refuse") { 403 } else { 203 }, "{path}");
    }
}

#[test]
fn a_stream_that_nobody_judges_stays_a_stream() {
    let upstream = Upstream::raw(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        wire.send("3\r\none\r\n");
        // The rest comes once the client has seen the first.
        wire.request();
        wire.send("3\r\ntwo\r\n0\r\n\r\n");
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("GET /early/as HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 203);
    assert_eq!(client.chunk(), Some(b"one".to_vec()));
}
