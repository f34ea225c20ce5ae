//! Bodies that the verdict needs: held, watched, waited for with `100 Continue`, or passed over.

use std::time::Duration;

use crate::common::{Gateway, Setup, Upstream, chunked, pattern, wait_until};
use keyward_http::{Limits, Refused, UpstreamFailure};

#[test]
fn held_bodies_go_on_with_a_length() {
    let upstream = Upstream::answering(|request| Upstream::answer(&request.body));
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for size in [0, 1, 100, 4096, 4097, 10_000] {
        let body = pattern(size);
        assert!(client.post("/hold", &body).body == body);
        client.send("POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for byte in chunked(&body, 999).chunks(700) {
            client.send(byte);
        }
        assert!(client.reply().body == body);
    }
    assert_eq!(client.get("/hold").body, b"");
    let requests = upstream.requests.lock().unwrap().clone();
    assert!(requests.iter().all(|request| request.field("transfer-encoding").is_none()));
    assert_eq!(requests.last().unwrap().field("content-length"), None);
}

#[test]
fn nothing_reaches_the_upstream_before_a_held_body_is_judged() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("POST /hold/refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    client.send("lo");
    assert_eq!(client.reply().text(), "not these 5 bytes");
    assert_eq!(client.post("/hold/refuse", b"hello").text(), "not these 5 bytes");
    assert_eq!((upstream.connections(), gateway.server.counters().upstream_opened), (0, 0));
}

#[test]
fn a_held_body_over_its_limit_is_refused() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10001\r\n\r\n");
    assert_eq!(client.reply().status, 413);
    let mut client = gateway.connect();
    client.send("POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.try_send(chunked(&[b'x'; 10_001], 100));
    assert_eq!(client.reply().status, 413);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn held_bodies_share_one_budget_and_give_it_back() {
    let upstream = Upstream::echo();
    let limits = Limits { held_bytes: 1000, ..Limits::default() };
    let gateway = Setup { limits, workers: 2, ..Setup::default() }.start(&upstream);
    let mut first = gateway.connect();
    first.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    first.send([b'x'; 900]);
    wait_until("the first body takes its share", || {
        let mut second = gateway.connect();
        second.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n");
        second.send([b'x'; 150]);
        second.close_sending();
        second.reply().status == 503
    });
    assert_eq!(gateway.log.last_refused(), Some(Refused::Busy));
    first.send([b'x'; 100]);
    assert_eq!(first.reply().status, 200);
    wait_until("the budget is free again", || {
        let mut third = gateway.connect();
        third.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n");
        third.send([b'x'; 500]);
        third.try_send([b'x'; 499]);
        third.reply().status == 200
    });
}

#[test]
fn a_watched_body_is_released_only_by_its_verdict() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    let good = pattern(100_000);
    assert_eq!(client.post("/watch", &good).text(), "POST /watch HTTP/1.1 100000");
    client.send("POST /watch HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(chunked(&good, 6000));
    assert_eq!(client.reply().text(), "POST /watch HTTP/1.1 100000");
    assert!(*gateway.log.watched.lock().unwrap() == [&good[..], &good[..]].concat());
    assert_eq!(client.post("/watch", b"").text(), "POST /watch HTTP/1.1 0");
    let mut evil = pattern(100_000);
    evil[99_990..99_994].copy_from_slice(b"EVIL");
    for framed in [false, true] {
        let mut client = gateway.connect();
        if framed {
            client.send("POST /watch HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            client.send(chunked(&evil, 6000));
        } else {
            client.send("POST /watch HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
            client.send(&evil);
        }
        assert_eq!(client.reply().text(), "Withheld");
        assert_eq!(gateway.log.last_failed(), Some(UpstreamFailure::Withheld));
    }
    wait_until("no connection is left half used", || gateway.server.counters().upstream_open <= 1);
    assert_eq!(upstream.request_count(), 3, "an aborted message became complete");
    assert!(!upstream.all_bytes().windows(4).any(|window| window == b"EVIL"), "the last piece is kept back");
}

#[test]
fn continue_is_said_when_the_body_is_wanted() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for path in ["/hold", "/forward", "/watch"] {
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
        ));
        assert_eq!(client.head().status, 100, "{path}");
        client.send("hello");
        assert_eq!(client.reply().text(), format!("POST {path} HTTP/1.1 5"));
    }
    client.send("POST /eager HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.reply().status, 200, "a body that is already here needs no word");
    client.send("GET /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    assert!(upstream.requests.lock().unwrap().iter().all(|request| request.field("expect").is_none()));
}

#[test]
fn a_final_answer_instead_of_continue_closes() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("POST /respond HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("connection")), (401, Some("close")));
    client.try_send("GET /internal/users HTTP/1.1\r\nX: y\r\n\r\n");
    client.close_sending();
    assert!(client.is_closed());
    assert_eq!((upstream.request_count(), gateway.log.heads()), (0, 1));
}

#[test]
fn small_bodies_are_passed_over_after_an_early_answer() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    let hidden = "GET /internal/users HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..3 {
        client.send(format!("POST /respond HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", hidden.len()));
        client.send(hidden);
        let reply = client.reply();
        assert_eq!(
            (reply.status, reply.field("connection"), reply.field("x-from")),
            (401, None, Some("handler"))
        );
        client.send("POST /respond HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(chunked(hidden.as_bytes(), 5));
        assert_eq!(client.reply().status, 401);
    }
    assert_eq!(client.get("/after").status, 200);
    assert_eq!((upstream.request_count(), gateway.log.heads()), (1, 7));
}

#[test]
fn large_bodies_close_after_an_early_answer() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("POST /respond HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("connection")), (401, Some("close")));
    let mut client = gateway.connect();
    client.send("POST /respond HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.reply().field("connection"), None);
    client.try_send(chunked(&[b'x'; 100_000], 1000));
    client.try_send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    client.close_sending();
    assert!(client.is_closed());
    assert_eq!(upstream.request_count(), 0);
}

#[test]
fn slow_heads_and_bodies_run_into_their_time_limits() {
    let upstream = Upstream::echo();
    let short = Duration::from_millis(50);
    let limits =
        Limits { header_timeout: short, body_idle_timeout: short, idle_timeout: short, ..Limits::default() };
    let gateway = Setup { limits, ..Setup::default() }.start(&upstream);
    for message in [
        "GET / HTTP/1.1\r\nHost",
        "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
    ] {
        let answer = gateway.send_and_read_to_end(message.as_bytes());
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{message:?}: {}", String::from_utf8_lossy(&answer));
        assert_eq!(gateway.log.last_refused(), Some(Refused::TimedOut));
    }
    assert!(gateway.send_and_read_to_end(b"").is_empty(), "who says nothing is told nothing");
    let mut client = gateway.connect();
    assert_eq!(client.get("/").status, 200);
    assert!(client.is_closed(), "an idle connection is closed");
    assert_eq!(upstream.request_count(), 1);
}

#[test]
fn a_body_that_drips_in_too_slowly_is_refused() {
    let upstream = Upstream::echo();
    let limits = Limits {
        body_idle_timeout: Duration::from_millis(100),
        body_rate_min: 1_000_000,
        ..Limits::default()
    };
    let gateway = Setup { limits, ..Setup::default() }.start(&upstream);
    let mut client = gateway.connect();
    client.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
    // Every byte comes well before the pause between two is too long.
    let mut sender = client.stream.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        let ticks = std::sync::mpsc::channel::<()>();
        while std::io::Write::write_all(&mut sender, b"x").is_ok() {
            let _ = ticks.1.recv_timeout(Duration::from_millis(5));
        }
    });
    assert_eq!(client.reply().status, 408);
    drop(client);
    drop(gateway);
    dripping.join().unwrap();
}

#[test]
fn a_request_that_waits_for_word_lets_others_go_on() {
    let upstream = Upstream::answering(|request| Upstream::answer(&request.body));
    let gateway = Gateway::before(&upstream);
    let large = pattern(9_000);
    let mut paused: Vec<_> = ["/pause", "/hold/pause"]
        .into_iter()
        .flat_map(|path| [(path, b"".to_vec()), (path, b"small".to_vec()), (path, large.clone())])
        .map(|(path, body)| {
            let mut client = gateway.connect();
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
            client.send(&body);
            (client, body)
        })
        .collect();
    let log = &gateway.log;
    wait_until("all of them wait", || log.waiting.lock().unwrap().len() == paused.len());
    let mut other = gateway.connect();
    assert_eq!(other.post("/other", b"goes on").body, b"goes on");
    assert_eq!(upstream.requests.lock().unwrap().len(), 1, "nothing goes on before word came");
    log.give_word();
    for (client, body) in &mut paused {
        assert!(client.reply().body == *body);
        assert!(client.post("/next", b"on the same connection").body == b"on the same connection");
    }
}

#[test]
fn a_client_that_goes_away_while_word_is_awaited_is_finished() {
    let upstream = Upstream::echo();
    let limits = Limits { serve_half_closed: false, ..Limits::default() };
    let gateway = Setup { limits, ..Setup::default() }.start(&upstream);
    let mut client = gateway.connect();
    client.send("GET /pause HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("it waits", || !gateway.log.waiting.lock().unwrap().is_empty());
    drop(client);
    let (path, outcome) = gateway.log.outcome(0);
    assert_eq!((path.as_str(), outcome.status, outcome.forwarded), ("/pause", 0, false));
    assert_eq!(upstream.connections(), 0);
}
