//! Every host function: what it does, and what it answers.

use std::sync::Arc;

use keyward_wasm::*;

use crate::guest::{Guest, PLACE};
use crate::run::*;

const OK: u16 = 0;
const NOT_FOUND: u16 = 1;
const BAD_ARGUMENT: u16 = 2;
const EMPTY: u16 = 7;
const CAS_MISMATCH: u16 = 8;
const UNIMPLEMENTED: u16 = 12;

/// Asks one thing of a request; `{0}`, `{1}`… are texts.
async fn ask(texts: &[&str], question: &str) -> (u16, Vec<u8>) {
    let mut guest = Guest::new();
    let mut question = question.replace("PLACE", PLACE);
    for (index, text) in texts.iter().enumerate() {
        question = question.replace(&format!("{{{index}}}"), &guest.text(text));
    }
    asked(guest, &question).await
}

fn fine(bytes: impl AsRef<[u8]>) -> (u16, Vec<u8>) {
    (OK, bytes.as_ref().to_vec())
}

#[tokio::test]
async fn a_header_is_read_in_any_case_and_the_first_counts() {
    let read = "(call $get (i32.const 0) {0} PLACE)";
    assert_eq!(ask(&["X-Team"], read).await, fine("red"));
    assert_eq!(ask(&[":path"], read).await, fine("/a?b=c"));
    assert_eq!(ask(&["x-none"], read).await, (NOT_FOUND, vec![]));
    assert_eq!(ask(&["no name"], read).await, (NOT_FOUND, vec![]));
}

#[tokio::test]
async fn whole_maps_are_read() {
    let (said, bytes) = ask(&[], "(call $get_map (i32.const 0) PLACE)").await;
    assert_eq!(said, OK);
    let pairs = pairs::decode(&bytes).unwrap();
    let expected: [(&[u8], &[u8]); 6] = [
        (b":method", b"GET"),
        (b":path", b"/a?b=c"),
        (b":authority", b"shop.example"),
        (b":scheme", b"https"),
        (b"x-team", b"red"),
        (b"x-team", b"blue"),
    ];
    assert_eq!(pairs, expected);
    let size = "(call $map_size (i32.const 0) (i32.const 20))";
    let (said, sized) = ask(&[], size).await;
    assert_eq!((said, sized.len()), (OK, bytes.len()), "the size is that of the bytes");
}

#[tokio::test]
async fn maps_that_are_not_there_are_empty_and_unknown_ones_are_refused() {
    for map in 1..=7 {
        let read = format!("(call $get_map (i32.const {map}) PLACE)");
        assert_eq!(ask(&[], &read).await, (OK, vec![]), "map {map}");
        let read = format!("(call $get (i32.const {map}) {{0}} PLACE)");
        assert_eq!(ask(&["x-team"], &read).await, (NOT_FOUND, vec![]), "map {map}");
    }
    for map in [8, -1] {
        let read = format!("(call $get_map (i32.const {map}) PLACE)");
        assert_eq!(ask(&[], &read).await, (BAD_ARGUMENT, vec![]), "map {map}");
    }
}

/// What the guest makes of the request's headers.
async fn changed(texts: &[&str], change: &str) -> Vec<(String, String)> {
    let mut guest = Guest::new();
    let mut change = change.to_owned();
    for (index, text) in texts.iter().enumerate() {
        change = change.replace(&format!("{{{index}}}"), &guest.text(text));
    }
    let guest = guest.on("request_headers", &format!("{change} (i32.const 0)"));
    let request = get(&[("x-team", "red"), ("accept", "*/*"), ("x-team", "blue")]);
    let changes = changes(answer(&run(&guest), request).await);
    assert!(changes.body.is_none() && changes.trailers.is_none());
    let headers = changes.headers.expect("something was changed");
    headers
        .iter()
        .filter(|(name, _)| !name.starts_with(':') || change.contains("$replace"))
        .map(|(name, value)| (name.to_owned(), String::from_utf8(value.to_vec()).unwrap()))
        .collect()
}

fn list(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn headers_are_added_replaced_and_removed() {
    let added = changed(&["X-New", " a b\t"], "(drop (call $add (i32.const 0) {0} {1}))").await;
    let expected = [("x-team", "red"), ("accept", "*/*"), ("x-team", "blue"), ("x-new", "a b")];
    assert_eq!(added, list(&expected));
    let removed = changed(&["X-TEAM"], "(drop (call $remove (i32.const 0) {0}))").await;
    assert_eq!(removed, list(&[("accept", "*/*")]));
    let replaced = changed(&["x-team", "green"], "(drop (call $replace (i32.const 0) {0} {1}))").await;
    assert_eq!(replaced[4..], list(&[("x-team", "green"), ("accept", "*/*")]));
    let fresh = changed(&["x-new", ""], "(drop (call $replace (i32.const 0) {0} {1}))").await;
    assert_eq!(fresh.last().unwrap(), &("x-new".to_owned(), String::new()));
    let path = changed(&[":path", "/new"], "(drop (call $replace (i32.const 0) {0} {1}))").await;
    assert_eq!(path[1], (":path".to_owned(), "/new".to_owned()));
}

#[tokio::test]
async fn a_whole_map_is_set_and_pseudo_headers_that_are_left_out_stay() {
    let mut guest = Guest::new();
    let map = guest.map(&[("X-Only", "1"), (":method", "PUT")]);
    let guest =
        guest.on("request_headers", &format!("(drop (call $set_map (i32.const 0) {map})) (i32.const 0)"));
    let changes = changes(answer(&run(&guest), get(&[("x-team", "red")])).await);
    let expected = headers(&[
        (":path", "/a?b=c"),
        (":authority", "shop.example"),
        (":scheme", "https"),
        ("x-only", "1"),
        (":method", "PUT"),
    ]);
    assert_eq!(changes.headers, Some(expected));
}

#[tokio::test]
async fn what_was_not_changed_is_not_sent_back() {
    let guest = Guest::new().on("request_headers", "(i32.const 0)");
    let changes = changes(answer(&run(&guest), with_body("abc")).await);
    assert!(changes.headers.is_none() && changes.body.is_none() && changes.trailers.is_none());
}

/// What the guest makes of the body `hello`, in the body's callback.
async fn body_after(change: &str) -> (u16, Option<String>) {
    let mut guest = Guest::new();
    let change = change.replace("{0}", &guest.text("XY"));
    let guest = guest.on(
        "request_body",
        &format!("(if {change} (then (call $tell {change} (i32.const 0) (i32.const 0)))) (i32.const 0)"),
    );
    match answer(&run(&guest), with_body("hello")).await {
        Answer::Continue(changes) => (0, changes.body.map(|body| String::from_utf8(body.to_vec()).unwrap())),
        Answer::Reply(reply) => (reply.status - 200, None),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_body_is_replaced_prepended_appended_and_injected() {
    let cases = [
        (0, 5, "XY"),
        (0, -1, "XY"),
        (0, 0, "XYhello"),
        (5, 0, "helloXY"),
        (-1, 0, "helloXY"),
        (1, 3, "hXYo"),
        (2, 0, "heXYllo"),
        (4, 100, "hellXY"),
    ];
    for (start, size, expected) in cases {
        let change = format!("(call $set_buffer (i32.const 0) (i32.const {start}) (i32.const {size}) {{0}})");
        assert_eq!(body_after(&change).await, (0, Some(expected.to_owned())), "{start}, {size}");
    }
}

#[tokio::test]
async fn only_the_body_that_is_there_can_be_changed() {
    for (buffer, said) in [(1, NOT_FOUND), (2, NOT_FOUND), (4, NOT_FOUND), (7, NOT_FOUND), (9, BAD_ARGUMENT)]
    {
        let change = format!("(call $set_buffer (i32.const {buffer}) (i32.const 0) (i32.const 0) {{0}})");
        assert_eq!(body_after(&change).await, (said, None), "buffer {buffer}");
    }
    let early = "(call $set_buffer (i32.const 0) (i32.const 0) (i32.const 0) {0})";
    assert_eq!(ask(&["XY"], early).await, (NOT_FOUND, vec![]), "not before its own callback");
}

#[tokio::test]
async fn buffers_are_read_in_part() {
    let read = |start: i32, max: i32| {
        let question =
            format!("(call $get_buffer (i32.const 0) (i32.const {start}) (i32.const {max}) {PLACE})");
        let guest = Guest::new().on(
            "request_body",
            &format!(
                "(call $tell {question} (i32.load (i32.const 16)) (i32.load (i32.const 20))) (i32.const 0)"
            ),
        );
        async move { said(&run(&guest), with_body("hello")).await }
    };
    assert_eq!(read(0, -1).await, fine("hello"));
    assert_eq!(read(1, 3).await, fine("ell"));
    assert_eq!(read(4, 100).await, fine("o"));
    assert_eq!(read(5, 1).await, fine(""));
    assert_eq!(read(0, 0).await, fine(""));
    assert_eq!(read(6, 0).await.0, BAD_ARGUMENT);
    assert_eq!(read(-1, -1).await.0, BAD_ARGUMENT);
}

#[tokio::test]
async fn configurations_are_read_and_have_a_size() {
    let read =
        |buffer: u32| format!("(call $get_buffer (i32.const {buffer}) (i32.const 0) (i32.const -1) PLACE)");
    assert_eq!(ask(&[], &read(7)).await, fine("{}"));
    assert_eq!(ask(&[], &read(6)).await, fine("vm"));
    assert_eq!(ask(&[], &read(8)).await.0, NOT_FOUND);
    assert_eq!(ask(&[], &read(9)).await.0, BAD_ARGUMENT);
    let size = "(call $buffer_status (i32.const 7) (i32.const 20) (i32.const 24))";
    assert_eq!(ask(&[], size).await.1.len(), 2);
}

#[tokio::test]
async fn a_guest_hears_the_sizes_of_its_configurations_and_may_refuse() {
    let guest = |said: &str| {
        Guest::new()
            .on("vm_start", "(if (i32.ne (local.get $b) (i32.const 2)) (then unreachable)) (i32.const 1)")
            .on("configure", said)
    };
    run(&guest("(if (i32.ne (local.get $b) (i32.const 2)) (then unreachable)) (i32.const 1)")).stop();
    let start = start();
    let refused = host().load(&guest("(i32.const 0)").build(), &start.limits).unwrap().start(start);
    assert!(matches!(refused.unwrap_err(), StartError::Failed(Failure::Refused)));
}

#[tokio::test]
async fn facts_about_the_request_are_properties() {
    let cases = [
        ("request\0path", "/a?b=c"),
        ("request\0path\0", "/a?b=c"),
        ("request\0url_path", "/a"),
        ("request\0query", "b=c"),
        ("request\0method", "GET"),
        ("request\0host", "shop.example"),
        ("request\0scheme", "https"),
        ("request\0id", "req-1"),
        ("request\0protocol", "HTTP/1.1"),
        ("request\0headers\0x-team", "red"),
        ("source\0address", "192.0.2.7:4711"),
        ("source\0port", "\x67\x12\0\0\0\0\0\0"),
        ("plugin_root_id", "root"),
        ("keyward\0caller\0id", "app_1"),
        ("keyward\0caller\0name", "billing"),
        ("keyward\0api", "orders"),
        ("keyward\0stage", "RELEASE"),
    ];
    for (path, value) in cases {
        assert_eq!(ask(&[path], "(call $get_property {0} PLACE)").await, fine(value), "{path:?}");
    }
    for path in
        ["keyward\0grant", "response\0code", "nothing", "", "request", "keyward", "request\0headers\0none"]
    {
        assert_eq!(ask(&[path], "(call $get_property {0} PLACE)").await, (NOT_FOUND, vec![]), "{path:?}");
    }
}

#[tokio::test]
async fn properties_are_set_within_a_request_but_not_those_of_the_host() {
    let both = |name: &'static str| async move {
        let mut guest = Guest::new();
        let (name, one, two) = (guest.text(name), guest.text("1"), guest.text("two"));
        let guest = guest.with(&format!(
            "(func $both (result i32)
               (drop (call $set_property {name} {one})) (drop (call $set_property {name} {two}))
               (call $get_property {name} {PLACE}))"
        ));
        asked(guest, "(call $both)").await
    };
    assert_eq!(both("mine\0deep").await, fine("two"));
    let set = "(call $set_property {0} {1})";
    for path in
        ["request\0path", "keyward\0caller\0id", "plugin_name", "response\0code", "source\0address", ""]
    {
        assert_eq!(ask(&[path, "x"], set).await.0, BAD_ARGUMENT, "{path:?}");
    }
}

#[tokio::test]
async fn a_local_reply_has_status_headers_body_and_why() {
    let mut guest = Guest::new();
    let (why, body) = (guest.text("no\nteam"), guest.text("sorry"));
    let map = guest.map(&[("X-Why", "team")]);
    let guest = guest.on(
        "request_headers",
        &format!("(drop (call $reply (i32.const 403) {why} {body} {map} (i32.const 7))) (i32.const 0)"),
    );
    let reply = reply(answer(&run(&guest), get(&[])).await);
    assert_eq!((reply.status, reply.grpc_status), (403, Some(7)));
    assert_eq!((reply.details.as_str(), reply.body.as_ref()), ("no\\nteam", &b"sorry"[..]));
    assert_eq!(reply.headers, headers(&[("x-why", "team")]));
}

#[tokio::test]
async fn a_local_reply_that_is_none_is_refused() {
    let none = "(i32.const 0) (i32.const 0)";
    for (status, grpc) in [(0, -1), (100, -1), (199, -1), (600, -1), (70_000, -1), (200, 17)] {
        let question = format!("(call $reply (i32.const {status}) {none} {none} {none} (i32.const {grpc}))");
        assert_eq!(ask(&[], &question).await.0, BAD_ARGUMENT, "{status}, {grpc}");
    }
}

#[tokio::test]
async fn the_first_of_two_local_replies_counts() {
    let guest = Guest::new().on(
        "request_headers",
        "(call $tell (i32.const 3) (i32.const 0) (i32.const 0)) (call $tell (i32.const 4) (i32.const 0) (i32.const 0)) (i32.const 0)",
    );
    assert_eq!(said(&run(&guest), get(&[])).await.0, 3);
}

#[tokio::test]
async fn a_stream_is_closed() {
    let guest = Guest::new().on("request_headers", "(drop (call $close (i32.const 0))) (i32.const 1)");
    assert!(matches!(answer(&run(&guest), get(&[])).await, Answer::Close));
    for (kind, expected) in [(2, UNIMPLEMENTED), (3, UNIMPLEMENTED), (4, BAD_ARGUMENT)] {
        assert_eq!(ask(&[], &format!("(call $close (i32.const {kind}))")).await.0, expected);
        assert_eq!(ask(&[], &format!("(call $continue (i32.const {kind}))")).await.0, expected);
    }
}

#[tokio::test]
async fn shared_data_is_compared_and_set() {
    // Sets, reads the number, sets with it, sets with the old one again.
    let mut guest = Guest::new();
    let (name, one, two) = (guest.text("n"), guest.text("1"), guest.text("2"));
    let read = format!("(call $get_shared {name} {PLACE} (i32.const 24))");
    let guest = guest.with(&format!(
        "(func $all (result i32)
           (if (i32.ne {read} (i32.const 1)) (then unreachable))
           (if (i32.ne (call $set_shared {name} {one} (i32.const 9)) (i32.const 8)) (then unreachable))
           (if (call $set_shared {name} {one} (i32.const 0)) (then unreachable))
           (if {read} (then unreachable))
           (if (call $set_shared {name} {two} (i32.load (i32.const 24))) (then unreachable))
           (call $set_shared {name} {one} (i32.load (i32.const 24))))"
    ));
    let plugin = run(&guest.with(&format!(
        "(func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32)
           (local $said i32)
           (local.set $said (call $all)) (drop {read})
           (call $tell (local.get $said) (i32.load (i32.const 16)) (i32.load (i32.const 20))) (i32.const 0))"
    )));
    assert_eq!(said(&plugin, get(&[])).await, (CAS_MISMATCH, b"2".to_vec()));
}

#[tokio::test]
async fn shared_data_is_removed_by_a_null_pointer_and_shared_by_all_with_one_vm_id() {
    let mut guest = Guest::new();
    let (name, value) = (guest.text("n"), guest.text("v"));
    let set = guest.on(
        "request_headers",
        &format!("(drop (call $set_shared {name} {value} (i32.const 0))) (i32.const 0)"),
    );
    let mut reader = Guest::new();
    let name = reader.text("n");
    let reader = reader.asking(&format!("(call $get_shared {name} {PLACE} (i32.const 24))"));
    let mut remover = Guest::new();
    let name = remover.text("n");
    let remover = remover.on(
        "request_headers",
        &format!("(drop (call $set_shared {name} (i32.const 0) (i32.const 0) (i32.const 0))) (i32.const 0)"),
    );
    let shared = || Start { vm_id: "shared data".to_owned(), ..start() };
    let (set, read, remove) =
        (run_with(&set, shared()), run_with(&reader, shared()), run_with(&remover, shared()));
    assert_eq!(said(&read, get(&[])).await.0, NOT_FOUND);
    answer(&set, get(&[])).await;
    assert_eq!(said(&read, get(&[])).await, fine("v"));
    assert_eq!(said(&run(&reader), get(&[])).await.0, NOT_FOUND, "another vm_id, other data");
    answer(&remove, get(&[])).await;
    assert_eq!(said(&read, get(&[])).await.0, NOT_FOUND);
}

#[tokio::test]
async fn shared_queues_hand_items_over_and_tell_whoever_listens() {
    let mut listener = Guest::new();
    let (queue, metric) = (listener.text("jobs"), listener.text("heard"));
    let listener = listener
        .on(
            "configure",
            &format!(
                "(if (call $register_queue {queue} (i32.const 24)) (then unreachable))
                 (if (call $define (i32.const 0) {metric} (i32.const 28)) (then unreachable)) (i32.const 1)"
            ),
        )
        .on(
            "queue_ready",
            &format!(
                "(if (i32.ne (local.get $b) (i32.load (i32.const 24))) (then unreachable))
                 (if (call $dequeue (local.get $b) {PLACE}) (then unreachable))
                 (drop (call $increment (i32.load (i32.const 28)) (i64.extend_i32_u (i32.load (i32.const 20)))))"
            ),
        );
    let mut sender = Guest::new();
    let (queue, item, other) = (sender.text("jobs"), sender.text("abc"), sender.text("other"));
    let none = "(i32.const 0) (i32.const 0)";
    let sender = sender.asking(&format!(
        "(i32.add (call $resolve_queue {none} {queue} (i32.const 24))
           (i32.add (call $enqueue (i32.load (i32.const 24)) {item})
             (i32.add (i32.mul (i32.const 10) (call $resolve_queue {other} {queue} (i32.const 28)))
               (i32.mul (i32.const 100) (call $enqueue (i32.const 99) {item})))))"
    ));
    let shared = || Start { vm_id: "shared queues".to_owned(), ..start() };
    let listener = run_with(&listener, shared());
    let sender = run_with(&sender, shared());
    for _ in 0..3 {
        assert_eq!(said(&sender, get(&[])).await.0, 110, "resolved and sent; others' queues are not there");
    }
    until(|| metrics(&listener).get("heard") == Some(&MetricValue::Counter(9))).await;
    assert_eq!(listener.counts().lost, 0);
}

#[tokio::test]
async fn an_empty_queue_and_an_unknown_one_say_so() {
    let queue = "(drop (call $register_queue {0} (i32.const 24)))";
    let mut guest = Guest::new();
    let queue = queue.replace("{0}", &guest.text("q"));
    let guest = guest.on("configure", &format!("{queue} (i32.const 1)"));
    let plugin = run(&guest.asking(&format!("(call $dequeue (i32.load (i32.const 24)) {PLACE})")));
    assert_eq!(said(&plugin, get(&[])).await.0, EMPTY);
    assert_eq!(ask(&[], "(call $dequeue (i32.const 0) PLACE)").await.0, NOT_FOUND);
    assert_eq!(
        ask(&["q"], "(call $resolve_queue (i32.const 0) (i32.const 0) {0} (i32.const 20))").await.0,
        NOT_FOUND
    );
}

#[tokio::test]
async fn metrics_are_defined_changed_read_and_listed() {
    let mut guest = Guest::new();
    let names = ["hits", "level", "sizes"].map(|name| guest.text(name));
    let [hits, level, sizes] = names;
    let number = |at: u32| format!("(i32.load (i32.const {at}))");
    let guest = guest
        .on(
            "configure",
            &format!(
                "(drop (call $define (i32.const 0) {hits} (i32.const 24)))
                 (drop (call $define (i32.const 1) {level} (i32.const 28)))
                 (drop (call $define (i32.const 2) {sizes} (i32.const 32))) (i32.const 1)"
            ),
        )
        .on(
            "request_headers",
            &format!(
                "(if (call $increment {h} (i64.const 2)) (then unreachable))
                 (if (i32.ne (call $increment {h} (i64.const -1)) (i32.const 2)) (then unreachable))
                 (if (call $record {l} (i64.const 10)) (then unreachable))
                 (if (call $increment {l} (i64.const -3)) (then unreachable))
                 (if (call $record {s} (i64.const 40)) (then unreachable))
                 (if (i32.ne (call $increment {s} (i64.const 1)) (i32.const 2)) (then unreachable))
                 (if (i32.ne (call $record (i32.const 77) (i64.const 1)) (i32.const 1)) (then unreachable))
                 (if (i32.ne (call $define (i32.const 3) {hits} (i32.const 36)) (i32.const 2)) (then unreachable))
                 (if (i32.ne (call $define (i32.const 1) {hits} (i32.const 36)) (i32.const 2)) (then unreachable))
                 (if (call $get_metric {l} (i32.const 40)) (then unreachable))
                 (if (i64.ne (i64.load (i32.const 40)) (i64.const 7)) (then unreachable)) (i32.const 0)",
                h = number(24),
                l = number(28),
                s = number(32)
            ),
        );
    let plugin = run(&guest);
    changes(answer(&plugin, get(&[])).await);
    changes(answer(&plugin, get(&[])).await);
    let found = metrics(&plugin);
    assert_eq!(found["hits"], MetricValue::Counter(4));
    assert_eq!(found["level"], MetricValue::Gauge(7));
    assert_eq!(found["sizes"], MetricValue::Histogram { count: 2, sum: 80 });
}

#[tokio::test]
async fn a_metric_that_holds_a_secret_or_is_not_printable_is_refused() {
    let define = |name: &str| {
        let mut guest = Guest::new();
        let name = guest.text(name);
        let configuration = Configuration::new(b"{}".to_vec(), [b"s3cret".to_vec()]);
        let plugin = run_with(
            &guest.asking(&format!("(call $define (i32.const 0) {name} (i32.const 24))")),
            Start { configuration, ..start() },
        );
        async move { said(&plugin, get(&[])).await.0 }
    };
    assert_eq!(define("hits").await, OK);
    for name in ["s3cret_hits", "a b", "a\nb", "", "ä", &"x".repeat(129)] {
        assert_eq!(define(name).await, BAD_ARGUMENT, "{name:?}");
    }
}

#[tokio::test]
async fn grpc_and_foreign_functions_are_not_there() {
    let zeros = |count: usize| "(i32.const 0) ".repeat(count);
    for (name, parameters) in
        [("grpc_call", 12), ("grpc_stream", 9), ("grpc_send", 4), ("grpc_cancel", 1), ("grpc_close", 1)]
    {
        assert_eq!(
            ask(&[], &format!("(call ${name} {})", zeros(parameters))).await.0,
            UNIMPLEMENTED,
            "{name}"
        );
    }
    assert_eq!(ask(&[], &format!("(call $foreign {})", zeros(6))).await.0, NOT_FOUND);
}

#[tokio::test]
async fn the_log_level_and_the_time_are_told() {
    let plugin = run_with(
        &Guest::new().asking("(call $get_log_level (i32.const 20))"),
        Start { log_level: LogLevel::Error, ..start() },
    );
    assert_eq!(said(&plugin, get(&[])).await.1.len(), 4, "the level of errors is 4");
    let guest = Guest::new().on(
        "request_headers",
        "(if (call $time (i32.const 1000)) (then unreachable))
         (if (i64.lt_u (i64.load (i32.const 1000)) (i64.const 1700000000000000000)) (then unreachable))
         (if (call $clock (i32.const 0) (i64.const 0) (i32.const 1008)) (then unreachable))
         (if (i64.lt_u (i64.load (i32.const 1008)) (i64.load (i32.const 1000))) (then unreachable))
         (if (call $clock (i32.const 1) (i64.const 0) (i32.const 1008)) (then unreachable))
         (if (i32.ne (call $clock (i32.const 7) (i64.const 0) (i32.const 1008)) (i32.const 58)) (then unreachable))
         (i32.const 0)",
    );
    changes(answer(&run(&guest), get(&[])).await);
}

#[tokio::test]
async fn wasi_gives_random_bytes_and_nothing_else() {
    let guest = Guest::new().on(
        "request_headers",
        "(if (call $random (i32.const 2048) (i32.const 16)) (then unreachable))
         (if (i64.eqz (i64.load (i32.const 2048))) (then unreachable))
         (if (i32.ne (call $random (i32.const 2048) (i32.const 100000)) (i32.const 28)) (then unreachable))
         (if (call $environ_sizes (i32.const 2048) (i32.const 2052)) (then unreachable))
         (if (i64.ne (i64.load (i32.const 2048)) (i64.const 0)) (then unreachable))
         (if (call $args_sizes (i32.const 2048) (i32.const 2052)) (then unreachable))
         (if (i32.ne (call $prestat (i32.const 3) (i32.const 2048)) (i32.const 8)) (then unreachable))
         (if (i32.ne (call $fd_read (i32.const 0) (i32.const 2048) (i32.const 1) (i32.const 2060)) (i32.const 8)) (then unreachable))
         (if (i32.ne (call $fd_write (i32.const 3) (i32.const 2048) (i32.const 0) (i32.const 2060)) (i32.const 8)) (then unreachable))
         (if (i32.ne (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
               (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)) (i32.const 8)) (then unreachable))
         (if (call $fdstat (i32.const 1) (i32.const 2048)) (then unreachable))
         (if (i32.ne (i32.load8_u (i32.const 2048)) (i32.const 2)) (then unreachable))
         (i32.const 0)",
    );
    changes(answer(&run(&guest), get(&[])).await);
}

#[tokio::test]
async fn what_a_guest_says_is_logged_without_its_secrets() {
    catch_log();
    let mut guest = Guest::new();
    let (line, written) = (guest.text("has s3cret\u{1b}[2J"), guest.text("out s3cret"));
    let newline = guest.text(" end\n");
    let guest = guest.on(
        "request_headers",
        &format!(
            "(if (call $log (i32.const 3) {line}) (then unreachable))
             (if (i32.ne (call $log (i32.const 6) {line}) (i32.const 2)) (then unreachable))
             (call $iovec {written})
             (if (call $fd_write (i32.const 2) (i32.const 2048) (i32.const 1) (i32.const 2060)) (then unreachable))
             (if (i32.ne (i32.load (i32.const 2060)) (i32.const 10)) (then unreachable))
             (call $iovec {newline})
             (if (call $fd_write (i32.const 2) (i32.const 2048) (i32.const 1) (i32.const 2060)) (then unreachable))
             (i32.const 0)"
        ),
    );
    let guest = guest.with(
        "(func $iovec (param i32 i32) (i32.store (i32.const 2048) (local.get 0)) (i32.store (i32.const 2052) (local.get 1)))",
    );
    let configuration = Configuration::new(b"{}".to_vec(), [b"s3cret".to_vec()]);
    let start = Start { name: "talkative".to_owned(), configuration, ..start() };
    let plugin = run_with(&guest, start);
    changes(answer(&plugin, get(&[])).await);
    let log = log_of("talkative");
    assert!(log.contains("WARN plugin: has ***\\u{1b}[2J plugin=\"talkative\""), "{log}");
    assert!(log.contains("ERROR plugin: out *** end plugin=\"talkative\""), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[tokio::test]
async fn lines_below_the_level_and_too_many_lines_are_left_out() {
    catch_log();
    let mut guest = Guest::new();
    let (quiet, loud) = (guest.text("quiet"), guest.text("loud"));
    let guest = guest.on(
        "request_headers",
        &format!(
            "(local $i i32) (drop (call $log (i32.const 2) {quiet}))
             (loop $again (drop (call $log (i32.const 4) {loud}))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $again (i32.lt_u (local.get $i) (i32.const 50)))) (i32.const 0)"
        ),
    );
    let limits = Limits { logs_per_second: 3, ..limits() };
    let start = Start { name: "flooding".to_owned(), limits, log_level: LogLevel::Warn, ..start() };
    let plugin = run_with(&guest, start);
    changes(answer(&plugin, get(&[])).await);
    let log = log_of("flooding");
    assert!(!log.contains("quiet"), "{log}");
    let written = log.matches("loud").count() as u64;
    assert!((3..50).contains(&written), "{written} lines");
    assert_eq!(written + plugin.counts().lines_left_out, 50);
}

#[tokio::test]
async fn a_call_is_made_to_a_declared_service_only() {
    let call = |service: &str, pairs: &[(&str, &str)]| {
        let mut guest = Guest::new();
        let (service, map) = (guest.text(service), guest.map(pairs));
        let none = "(i32.const 0) (i32.const 0)";
        let guest = guest.asking(&format!(
            "(call $http_call {service} {map} {none} {none} (i32.const 1000) (i32.const 24))"
        ));
        let plugin = run_with(&guest, Start { call_outs: Arc::new(Services::default()), ..start() });
        async move { said(&plugin, get(&[])).await.0 }
    };
    let head = [(":method", "GET"), (":path", "/"), (":authority", "a")];
    assert_eq!(call("declared", &head).await, OK);
    assert_eq!(call("elsewhere", &head).await, BAD_ARGUMENT);
    assert_eq!(call("busy", &head).await, 10);
    assert_eq!(call("", &head).await, BAD_ARGUMENT);
    assert_eq!(call("declared", &head[..2]).await, BAD_ARGUMENT, "without an authority");
    let owned = [&head[..], &[("x-keyward-caller-id", "root")]].concat();
    assert_eq!(call("declared", &owned).await, BAD_ARGUMENT, "a header that is not the guest's");
    let split = [&head[..], &[("x", "a\r\nb: c")]].concat();
    assert_eq!(call("declared", &split).await, BAD_ARGUMENT);
}
