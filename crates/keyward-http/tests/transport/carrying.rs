//! Requests and answers of every framing reach the other side whole, in order, and framed by us.

use crate::common::{Gateway, Upstream, chunked, pattern, wait_until};

#[test]
fn requests_share_one_connection_on_both_sides() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for number in 0..20 {
        let reply = client.get(&format!("/orders/{number}?q=a%20b"));
        assert_eq!((reply.status, reply.text()), (200, format!("GET /orders/{number}?q=a%20b HTTP/1.1 0")));
        assert_eq!(reply.field("x-up"), Some("stream"));
        assert_eq!(reply.field("x-via"), Some("test"));
        assert!(reply.field("date").is_some(), "an answer without a date gets one");
        let reply = client.post("/orders", b"hello");
        assert_eq!(reply.text(), "POST /orders HTTP/1.1 5");
    }
    assert_eq!(upstream.connections(), 1);
    let counters = gateway.server.counters();
    assert_eq!((counters.requests, counters.upstream_opened, counters.upstream_reused), (40, 1, 39));
    wait_until("all are finished", || gateway.log.finished() == 40);
    let (_, outcome) = gateway.log.outcome(1);
    assert_eq!((outcome.status, outcome.request_bytes, outcome.response_bytes), (200, 5, 23));
    assert!(outcome.complete && outcome.forwarded);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    let mut all = Vec::new();
    for number in 0..200 {
        match number % 4 {
            0 => all.extend(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()),
            1 => all.extend(
                format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").into_bytes(),
            ),
            2 => all.extend(format!("GET /respond/{number} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()),
            _ => {
                all.extend(
                    format!("POST /{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                        .into_bytes(),
                );
                all.extend(chunked(b"hello world", 4));
            }
        }
    }
    client.send(&all);
    for number in 0..200 {
        let expected = match number % 4 {
            0 => format!("GET /{number} HTTP/1.1 0"),
            1 => format!("POST /{number} HTTP/1.1 3"),
            2 => "who are you".to_owned(),
            _ => format!("POST /{number} HTTP/1.1 11"),
        };
        assert_eq!(client.reply().text(), expected);
    }
}

#[test]
fn bodies_of_every_size_and_framing_arrive_whole() {
    let upstream = Upstream::answering(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
        if request.path() == "/chunked" {
            answer.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            answer.extend(chunked(&request.body, 3000));
        } else {
            answer.extend_from_slice(format!("Content-Length: {}\r\n\r\n", request.body.len()).as_bytes());
            answer.extend_from_slice(&request.body);
        }
        answer
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for size in [0, 1, 100, 4095, 4096, 4097, 16_000, 16_384, 16_385, 70_000, 1_000_000] {
        let body = pattern(size);
        for path in ["/chunked", "/length", "/watch"] {
            assert!(client.post(path, &body).body == body, "{size} bytes with a length to {path}");
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
            let mut bytes = chunked(&body, 7000);
            let last = bytes.split_off(bytes.len() - 1);
            client.send(bytes);
            client.send(last);
            assert!(client.reply().body == body, "{size} bytes in chunks to {path}");
        }
    }
    assert_eq!(upstream.connections(), 1, "every exchange left its connection clean");
}

#[test]
fn request_framing_is_ours() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send(
        "POST /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Once, Host\r\nX-Once: 1\r\nTE: trailers\r\nX-Kept: 2\r\n\
         Upgrade: websocket\r\nKeep-Alive: x\r\nProxy-Authorization: y\r\nTransfer-Encoding: ChUnKeD\r\nTrailer: X\r\n\r\n\
         00003;name=\"v;\\\"\"\r\nabc\r\n0\r\nX: y\r\n\r\n",
    );
    assert_eq!(client.reply().text(), "POST /a HTTP/1.1 3");
    let request = upstream.request(0);
    let names: Vec<String> = request.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names, ["x-kept", "transfer-encoding"], "`Host` was nominated, so this handler dropped it");
    assert!(!String::from_utf8_lossy(&upstream.all_bytes()).contains("name"), "extensions are dropped");
    assert!(!String::from_utf8_lossy(&upstream.all_bytes()).contains("X: y"), "request trailers are dropped");
    client.send("PUT /b HTTP/1.1\r\nHost: a\r\n\r\n");
    client.reply();
    assert_eq!(upstream.request(1).field("content-length"), Some("0"));
    client.get("/c");
    assert_eq!(upstream.request(2).field("content-length"), None);
}

#[test]
fn answers_without_a_body_stay_without_one() {
    let upstream = Upstream::answering(|request| match request.path() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n".to_vec(),
        "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".to_vec(),
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for (method, path, status) in [
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("HEAD", "/x", 200),
        ("HEAD", "/chunked", 200),
        ("HEAD", "/204", 204),
        ("HEAD", "/respond", 401),
        ("GET", "/204", 204),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head();
        assert_eq!(head.status, status, "{method} {path}");
        assert_eq!(
            head.field("content-length").is_some(),
            path == "/304" || path == "/x" || path == "/respond"
        );
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn an_answer_that_ends_with_its_connection_is_chunked_for_the_client() {
    let body = pattern(100_000);
    let sent = body.clone();
    let upstream = Upstream::raw(move |wire| {
        wire.request();
        wire.send("HTTP/1.0 200 OK\r\n\r\n");
        wire.send(&sent);
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for _ in 0..3 {
        let reply = client.get("/");
        assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
        assert!(reply.body == body);
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn answer_trailers_pass_unless_they_steer() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Grpc-Status\r\n\r\n2;x=y\r\nhi\r\n0\r\nGrpc-Status: 0\r\n\
          Set-Cookie: a=b\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
            .to_vec()
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let reply = client.get("/");
        assert_eq!(reply.text(), "hi");
        assert_eq!(reply.trailers, [("Grpc-Status".to_owned(), "0".to_owned())]);
        assert_eq!(reply.field("trailer"), None);
    }
}

#[test]
fn events_are_flushed_as_they_come() {
    let (say, said) = std::sync::mpsc::channel::<&str>();
    let said = std::sync::Mutex::new(said);
    let upstream = Upstream::raw(move |wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Ok(event) = said.lock().unwrap().recv() {
            wire.send(format!("{:x}\r\n{event}\r\n", event.len()));
        }
        wire.send("0\r\n\r\n");
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().status, 200);
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        say.send(event).unwrap();
        assert_eq!(client.chunk().unwrap(), event.as_bytes());
    }
    drop(say);
    assert_eq!(client.chunk(), None);
}

#[test]
fn both_directions_stream_at_the_same_time() {
    let upstream = Upstream::raw(|wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while let Some(line) = wire.until(b"\r\n") {
            let size =
                usize::from_str_radix(std::str::from_utf8(&line[..line.len() - 2]).unwrap(), 16).unwrap();
            let mut chunk = wire.take(size + 2).unwrap();
            let mut answer = line;
            answer.append(&mut chunk);
            wire.send(answer);
        }
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = client.head();
    assert_eq!(head.field("connection"), Some("close"), "an answer before the request's end closes");
    for size in [1, 1000, 5000, 15_000] {
        let piece = pattern(size);
        client.send(format!("{size:x}\r\n"));
        client.send(&piece);
        client.send("\r\n");
        let mut back = Vec::new();
        while back.len() < size {
            back.extend(client.chunk().unwrap());
        }
        assert!(back == piece);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
    assert_eq!(client.take(2), b"\r\n");
    assert!(client.is_closed());
    let (_, outcome) = gateway.log.outcome(0);
    assert_eq!((outcome.request_bytes, outcome.response_bytes, outcome.complete), (21_001, 21_001, true));
}

#[test]
fn http_1_0_clients_get_what_they_can_read() {
    let upstream = Upstream::answering(|request| match request.path() {
        "/chunked" => {
            let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            answer.extend(chunked(b"hello world", 4));
            answer
        }
        _ => Upstream::answer(b"x"),
    });
    let gateway = Gateway::before(&upstream);
    let all =
        gateway.send_and_read_to_end(b"GET /chunked HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    let text = String::from_utf8(all).unwrap();
    assert!(
        text.ends_with("\r\n\r\nhello world") && !text.to_lowercase().contains("transfer-encoding"),
        "{text}"
    );
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.send("GET /length HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.reply().field("connection"), Some("keep-alive"));
    }
    client.send("GET /length HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().field("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn informational_answers_are_not_the_answer() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let reply = client.get("/");
        assert_eq!((reply.status, reply.text()), (200, "ok".to_owned()));
    }
}

#[test]
fn a_client_that_half_closes_is_still_answered() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    client.close_sending();
    assert_eq!(client.reply().text(), "POST /a HTTP/1.1 2");
    assert!(client.is_closed());
}

#[test]
fn options_asterisk_is_answered_here() {
    let upstream = Upstream::echo();
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.reply().status, 204);
    assert_eq!(client.get("/").status, 200);
    assert_eq!((upstream.request_count(), gateway.log.heads()), (1, 1));
}

#[test]
fn back_pressure_holds_a_fast_sender() {
    // The upstream takes nothing until it is told to: the client's bytes must wait in the sockets, not in memory.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::raw(move |wire| {
        wait.lock().unwrap().recv().unwrap();
        let request = wire.request().unwrap();
        wire.send(Upstream::answer(request.body.len().to_string()));
    });
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    let body = pattern(20_000_000);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &body).unwrap());
    wait_until("a connection is made", || upstream.connections() == 1);
    go.send(()).unwrap();
    assert_eq!(client.reply().text(), "20000000");
    sending.join().unwrap();
}

#[test]
fn a_slow_client_gets_a_large_answer_whole() {
    let body = pattern(20_000_000);
    let sent = Upstream::answer(&body);
    let upstream = Upstream::answering(move |_| sent.clone());
    let gateway = Gateway::before(&upstream);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut got = Vec::new();
    client.head();
    while got.len() < body.len() {
        let step = (body.len() - got.len()).min(10_000);
        got.extend(client.take(step));
    }
    assert!(got == body);
    assert_eq!(client.get("/large").body.len(), 300_000);
}
