//! The attack catalogue: what costs memory, what grows, what is written into logs, and changes under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use keyward_testkit::cases;
use keyward_testkit::client::Connection;
use keyward_testkit::fixture::{HOST, K1};
use keyward_testkit::gateway::{Gateway, Setup};
use keyward_testkit::request::Request;

fn is_soak() -> bool {
    std::env::var_os("KEYWARD_SOAK").is_some()
}

#[tokio::test]
async fn dos_002_who_may_not_call_is_answered_before_a_body_is_read() {
    let gateway = Gateway::fixture().await;
    for framing in ["Content-Length: 30000000", "Transfer-Encoding: chunked"] {
        let mut connections = Vec::new();
        // None of them sends its body, all of them are answered.
        for _ in 0..64 {
            let mut connection = Connection::open(gateway.address()).await.unwrap();
            let head = format!(
                "POST /orders HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer kw-test-nobody-0123456789\r\n{framing}\r\n\r\n"
            );
            connection.send(head.as_bytes()).await.unwrap();
            assert_eq!(connection.answer(false).await.unwrap().status, 401, "{framing}");
            connections.push(connection);
        }
        assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
    }
    assert_eq!(gateway.upstream().hits(), 2, "only the good ones reached the service");
}

#[tokio::test]
async fn dos_006_heads_have_bounds() {
    let gateway = Gateway::fixture().await;
    let start = format!("GET /orders/1 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {K1}\r\n");
    let many = (0..101).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let wide = format!("X-Wide: {}\r\n", "w".repeat(64 * 1024));
    let total = (0..80).map(|number| format!("X-{number}: {}\r\n", "t".repeat(1600))).collect::<String>();
    for (fields, name) in [(many, "101 fields"), (wide, "one of 64 KiB"), (total, "128 KiB together")] {
        let (answer, reason) = cases::refused(&gateway, format!("{start}{fields}\r\n").as_bytes()).await;
        assert_eq!((answer.status, reason.as_str()), (431, "request_malformed"), "{name}");
    }
    let long = format!("GET /orders/{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "u".repeat(64 * 1024));
    assert_eq!(cases::refused(&gateway, long.as_bytes()).await.0.status, 414);
    // Without an end, too: what is over the bound is refused, not waited for.
    for endless in [format!("GET /{}", "u".repeat(70_000)), format!("{start}X: {}", "w".repeat(140_000))] {
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        let _ = connection.send(endless.as_bytes()).await;
        let answer = connection.answer(false).await.unwrap();
        assert!(matches!(answer.status, 414 | 431), "{answer:?}");
    }
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 200);
}

#[tokio::test]
async fn dos_010_what_callers_choose_is_no_label() {
    let gateway = Gateway::fixture().await;
    let page = async || {
        let answer = gateway.admin(Request::get("localhost", "/metrics")).await;
        assert_eq!(answer.status, 200);
        answer.text()
    };
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let rounds = if is_soak() { 100_000 } else { 1_500 };
    let mut series = BTreeSet::new();
    for number in 0..rounds {
        let requests = [
            Request::get(HOST, &format!("/orders/o{number}")).bearer(K1),
            Request::get(HOST, &format!("/none/{number}")),
            Request::get(&format!("h{number}.test"), "/orders/1"),
            Request::get(HOST, "/orders/1").bearer(&format!("kw-test-nobody-{number:010}")),
            Request::get(HOST, "/orders/1").method(&format!("M{number}")).header(&format!("X-{number}"), "1"),
        ];
        for request in &requests {
            connection.call(request).await.unwrap();
        }
        if number == 2 {
            series = page().await.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
        }
    }
    let text = page().await;
    let later: BTreeSet<String> =
        text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
    assert_eq!(later.difference(&series).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(!text.contains("h7.test") && !text.contains("nobody") && !text.contains("/orders"), "{text}");
}

#[tokio::test]
async fn audit_006_what_callers_send_stays_within_its_log_line() {
    let gateway = Gateway::fixture().await;
    let odd = [
        "/orders/%0d%0a%7b%22reason%22:null%7d",
        "/orders/a\"b",
        "/orders/\\",
        "/orders/1?x=\",\"reason\":\"none\"}",
        "/orders/1?a\"b=1&c\\=2",
        "/orders/%1b%5b31mred",
        "/orders/<script>",
        "/none/\"},{\"request_id\":\"0\"",
    ];
    let mut asked = 0;
    for target in odd {
        let _ = gateway.call(&Request::get(HOST, target).header("User-Agent", "a\" \\ {\"b\": 1}")).await;
        asked += 1;
    }
    for raw in [
        format!("GET /orders/1 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: x\n{{\"reason\":null}}\r\n\r\n"),
        format!("GET /orders/1 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: \u{1b}[31m\r\n\r\n"),
        "GET /orders/1 HTTP/1.1\r\nHost: a\"b\r\n\r\n".into(),
        format!("G\"T /orders/1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET /orders/1\n{{\"a\":1}} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
    ] {
        cases::refused(&gateway, raw.as_bytes()).await;
        asked += 1;
    }
    let lines = gateway.log_lines(asked).await;
    assert_eq!(lines.len(), asked, "{lines:#?}");
    for line in &lines {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(record["request_id"].is_string() && record["status"].is_number(), "{line}");
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        assert!(record["reason"].is_string(), "nothing of this was let in: {line}");
    }
}

const TWO_SIDES: &str = r#"
version: 1
services:
  - {name: even, kind: http, endpoints: ["${UPSTREAM}/even"]}
  - {name: odd, kind: http, endpoints: ["${UPSTREAM}/odd"]}
apis: [{name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key], stages: {RELEASE: {service: ${SIDE}}}}]
consumers:
  - {name: even, enabled: ${EVEN}, api_key: {sources: [bearer], keys: [key-of-even-0123456789]}}
  - {name: odd, enabled: ${ODD}, api_key: {sources: [bearer], keys: [key-of-odd-0123456789]}}
grants:
  - {to: {consumer: even}, api: orders}
  - {to: {consumer: odd}, api: orders}
"#;

fn side(number: usize) -> String {
    let even = number.is_multiple_of(2);
    TWO_SIDES
        .replace("${SIDE}", if even { "even" } else { "odd" })
        .replace("${EVEN}", &even.to_string())
        .replace("${ODD}", &(!even).to_string())
}

/// Route and right change together, again and again: who is let in goes to the service of the same revision.
#[tokio::test]
async fn grant_023_no_request_sees_two_revisions() {
    let gateway =
        Arc::new(Gateway::start_with(&side(0), Setup { workers: Some(2), ..Setup::default() }).await);
    let over = Arc::new(AtomicBool::new(false));
    let passed = Arc::new(AtomicUsize::new(0));
    let mut busy = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let (gateway, over, passed) = (Arc::clone(&gateway), Arc::clone(&over), Arc::clone(&passed));
        let key = if caller % 2 == 0 { "key-of-even-0123456789" } else { "key-of-odd-0123456789" };
        busy.spawn(async move {
            let mut connection = Connection::open(gateway.address()).await.unwrap();
            let request = Request::get(HOST, "/orders/1").bearer(key);
            while !over.load(SeqCst) {
                match connection.call(&request).await.unwrap().status {
                    200 => passed.fetch_add(1, SeqCst),
                    status => {
                        assert_eq!(status, 403);
                        0
                    }
                };
            }
        });
    }
    let changes = if is_soak() { 5_000 } else { 300 };
    let first = gateway.node().control().revision().number;
    for number in 1..=changes {
        let before = passed.load(SeqCst);
        gateway.apply(&side(number)).await.unwrap();
        while passed.load(SeqCst) == before {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(gateway.node().control().revision().number, first + changes as u64);
    over.store(true, SeqCst);
    while let Some(ended) = busy.join_next().await {
        ended.unwrap();
    }
    let mut sides = [0_usize; 2];
    for received in gateway.upstream().received() {
        let name = received.values("x-keyward-caller-name")[0];
        assert!(
            received.line.starts_with(&format!("GET /{name}/orders/1 ")),
            "a mix: {name}: {}",
            received.line
        );
        sides[usize::from(name == "odd")] += 1;
    }
    assert!(sides.iter().all(|side| *side > 0), "{sides:?}");
    let mut revisions = BTreeSet::new();
    for line in gateway.log_lines(passed.load(SeqCst)).await {
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (revision, name) =
            (record["revision"].as_u64().unwrap(), record["caller_name"].as_str().unwrap());
        let current = if (revision - first).is_multiple_of(2) { "even" } else { "odd" };
        let is_let_in = record["reason"].is_null();
        assert_eq!(is_let_in, name == current, "judged by another revision than it names: {line}");
        assert!(!is_let_in || record["upstream"].as_str().unwrap().ends_with(current), "{line}");
        revisions.insert(revision);
    }
    assert!(revisions.len() > changes / 2, "few revisions were seen: {}", revisions.len());
}

/// 16,000 names, each compared with ninety fields: small to send, dear to read.
#[tokio::test]
async fn a_long_connection_list_is_refused() {
    let gateway = Gateway::fixture().await;
    let fields = (0..90).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    let head = format!(
        "GET /orders/1 HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {K1}\r\n{fields}Connection: {}\r\n\r\n",
        "a,".repeat(14_000)
    );
    assert_eq!(cases::refused(&gateway, head.as_bytes()).await.0.status, 400);
}
