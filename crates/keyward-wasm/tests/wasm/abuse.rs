//! Guests that mean harm, or are broken: they get a status or are thrown away, and nobody else is harmed.

use std::sync::Arc;
use std::time::Duration;

use keyward_wasm::*;
use proptest::prelude::*;

use crate::guest::{Guest, PLACE};
use crate::run::*;

const BAD_ARGUMENT: u16 = 2;
const INVALID_MEMORY: u16 = 6;
const INTERNAL: u16 = 10;

fn guest_that(body: &str) -> Guest {
    Guest::new().on("request_headers", &format!("{body} (i32.const 0)"))
}

async fn fails_with(body: &str, limits: Limits) -> Failure {
    let plugin = run_with(&guest_that(body), Start { limits, ..start() });
    let failure = failure(answer(&plugin, get(&[])).await);
    assert_eq!((plugin.counts().lost, plugin.last_failure()), (1, Some(failure.clone())));
    failure
}

#[tokio::test]
async fn addresses_and_lengths_out_of_range_are_refused_by_every_function() {
    // `{out}` is an address and a length that leave memory, `{at}` an address out of it.
    let fine = "(i32.const 1024) (i32.const 1)";
    let calls = [
        "(call $log (i32.const 2) {out})",
        "(call $get_log_level {at})",
        "(call $time {at})",
        "(call $get (i32.const 0) {out} {place})",
        "(call $get_map (i32.const 0) {at} (i32.const 20))",
        "(call $get_map (i32.const 0) (i32.const 16) {at})",
        "(call $map_size (i32.const 0) {at})",
        "(call $set_map (i32.const 0) {out})",
        "(call $add (i32.const 0) {out} {fine})",
        "(call $add (i32.const 0) {fine} {out})",
        "(call $replace (i32.const 0) {fine} {out})",
        "(call $remove (i32.const 0) {out})",
        "(call $get_buffer (i32.const 7) (i32.const 0) (i32.const 9) {at} (i32.const 20))",
        "(call $get_buffer (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 16) {at})",
        "(call $buffer_status (i32.const 7) {at} (i32.const 20))",
        "(call $buffer_status (i32.const 7) (i32.const 20) {at})",
        "(call $set_buffer (i32.const 0) (i32.const 0) (i32.const 0) {out})",
        "(call $get_property {out} {place})",
        "(call $set_property {fine} {out})",
        "(call $set_property {out} {fine})",
        "(call $reply (i32.const 200) {out} {fine} (i32.const 0) (i32.const 0) (i32.const -1))",
        "(call $reply (i32.const 200) {fine} {out} (i32.const 0) (i32.const 0) (i32.const -1))",
        "(call $reply (i32.const 200) {fine} {fine} {out} (i32.const -1))",
        "(call $http_call {out} {fine} {fine} {fine} (i32.const 1) (i32.const 24))",
        "(call $http_call {fine} {out} {fine} {fine} (i32.const 1) (i32.const 24))",
        "(call $http_call {fine} {fine} {fine} {fine} (i32.const 1) {at})",
        "(call $get_status {at} (i32.const 16) (i32.const 20))",
        "(call $get_shared {out} {place} (i32.const 24))",
        "(call $set_shared {out} {fine} (i32.const 0))",
        "(call $set_shared {fine} {out} (i32.const 0))",
        "(call $register_queue {out} (i32.const 24))",
        "(call $register_queue {fine} {at})",
        "(call $resolve_queue {out} {fine} (i32.const 24))",
        "(call $enqueue (i32.const 1) {out})",
        "(call $define (i32.const 0) {out} (i32.const 24))",
    ];
    let out = [
        "(i32.const 131072) (i32.const 1)",
        "(i32.const 131071) (i32.const 2)",
        "(i32.const -1) (i32.const -1)",
        "(i32.const 16) (i32.const -1)",
        "(i32.const -1) (i32.const 0)",
    ];
    // The module has two pages; the allocator is not asked before the places are known to be good.
    for out in out {
        let mut body = String::new();
        for (index, call) in calls.iter().enumerate() {
            let call = call.replace("{out}", out).replace("{at}", "(i32.const 131070)");
            let call = call.replace("{fine}", fine).replace("{place}", PLACE);
            body.push_str(&format!(
                "(if (i32.ne {call} (i32.const 6)) (then (call $tell (i32.const 99) (i32.const 0) (i32.const {index}))))\n"
            ));
        }
        let plugin = run_with(&guest_that(&body), Start { log_level: LogLevel::Critical, ..start() });
        match answer(&plugin, get(&[])).await {
            Answer::Continue(_) => {}
            Answer::Reply(reply) => panic!("{out}: {}", calls[reply.body.len()]),
            other => panic!("{out}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn wasi_refuses_what_is_out_of_memory() {
    let body = "(i32.store (i32.const 2048) (i32.const 131071)) (i32.store (i32.const 2052) (i32.const 2))
        (if (i32.ne (call $fd_write (i32.const 1) (i32.const 2048) (i32.const 1) (i32.const 2060)) (i32.const 21)) (then unreachable))
        (if (i32.ne (call $fd_write (i32.const 1) (i32.const 131070) (i32.const 1) (i32.const 2060)) (i32.const 21)) (then unreachable))
        (if (i32.ne (call $fd_write (i32.const 1) (i32.const 2048) (i32.const -1) (i32.const 2060)) (i32.const 28)) (then unreachable))
        (if (i32.ne (call $random (i32.const 131071) (i32.const 2)) (i32.const 21)) (then unreachable))
        (if (i32.ne (call $clock (i32.const 0) (i64.const 0) (i32.const 131070)) (i32.const 21)) (then unreachable))
        (if (i32.ne (call $environ_sizes (i32.const -1) (i32.const 0)) (i32.const 21)) (then unreachable))";
    changes(answer(&run(&guest_that(body)), get(&[])).await);
}

#[tokio::test]
async fn an_endless_loop_ends_when_its_fuel_does() {
    let limits = Limits { fuel_per_event: 100_000, ..limits() };
    assert_eq!(fails_with("(loop $again (br $again))", limits).await, Failure::OutOfFuel);
}

#[tokio::test]
async fn an_endless_loop_ends_when_its_time_does() {
    let limits = Limits { fuel_per_event: u64::MAX, event_time_max: Duration::from_millis(20), ..limits() };
    assert_eq!(fails_with("(loop $again (br $again))", limits).await, Failure::OutOfTime);
}

#[tokio::test]
async fn a_loop_of_host_calls_ends_when_its_time_does() {
    let limits = Limits { fuel_per_event: u64::MAX, event_time_max: Duration::from_millis(20), ..limits() };
    let body = "(loop $again (drop (call $get_map (i32.const 0) (i32.const 16) (i32.const 20))) (global.set $next (i32.const 65536)) (br $again))";
    assert_eq!(fails_with(body, limits).await, Failure::OutOfTime);
}

#[tokio::test]
async fn a_memory_bomb_is_stopped() {
    let body = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";
    assert_eq!(fails_with(body, limits()).await, Failure::OutOfMemory);
    let body = "(drop (memory.grow (i32.const 65000)))";
    assert_eq!(fails_with(body, limits()).await, Failure::OutOfMemory);
}

#[tokio::test]
async fn a_table_bomb_is_stopped() {
    let guest =
        guest_that("(drop (table.grow $t (ref.null func) (i32.const 1000000)))").with("(table $t 1 funcref)");
    assert_eq!(failure(answer(&run(&guest), get(&[])).await), Failure::OutOfMemory);
}

#[tokio::test]
async fn endless_recursion_is_stopped() {
    let guest = guest_that("(call $deeper)").with("(func $deeper (call $deeper))");
    assert_eq!(failure(answer(&run(&guest), get(&[])).await), Failure::StackOverflow);
}

#[tokio::test]
async fn an_allocator_that_calls_the_host_again_gets_nothing() {
    // Its allocator asks for a header, which needs the allocator.
    let module = format!(
        r#"(module
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 1024) ":path")
        (func (export "proxy_abi_version_0_2_0"))
        (global $inner (mut i32) (i32.const 0))
        (func $path (result i32) (call $get (i32.const 0) (i32.const 1024) (i32.const 5) {PLACE}))
        (func (export "malloc") (param i32) (result i32) (global.set $inner (call $path)) (i32.const 4096))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (drop (call $path))
          (drop (call $reply (i32.add (i32.const 200) (global.get $inner)) (i32.const 0) (i32.const 0)
            (i32.load (i32.const 16)) (i32.load (i32.const 20)) (i32.const 0) (i32.const 0) (i32.const -1)))
          (i32.const 0)))"#
    );
    let start = start();
    let plugin = host().load(&wat::parse_str(module).unwrap(), &start.limits).unwrap().start(start).unwrap();
    assert_eq!(said(&plugin, get(&[])).await, (INTERNAL, b"/a?b=c".to_vec()));
}

#[tokio::test]
async fn an_allocator_that_is_absent_fails_or_lies_harms_nobody() {
    for (allocator, expected) in [
        ("", INTERNAL),
        (r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))"#, INTERNAL),
        (r#"(func (export "malloc") (param i32) (result i32) (i32.const 65535))"#, INVALID_MEMORY),
        (r#"(func (export "malloc") (param i32) (result i32) (i32.const -1))"#, INVALID_MEMORY),
    ] {
        let module = format!(
            r#"(module
            (import "env" "proxy_get_header_map_pairs" (func $get (param i32 i32 i32) (result i32)))
            (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0")) {allocator}
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
              (drop (call $reply (i32.add (i32.const 200) (call $get (i32.const 0) {PLACE})) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
              (i32.const 0)))"#
        );
        let start = start();
        let plugin =
            host().load(&wat::parse_str(module).unwrap(), &start.limits).unwrap().start(start).unwrap();
        assert_eq!(said(&plugin, get(&[])).await.0, expected, "{allocator}");
    }
    let guest = r#"(module (import "env" "proxy_get_header_map_pairs" (func $get (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0"))
        (func (export "malloc") (param i32) (result i32) unreachable)
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (call $get (i32.const 0) (i32.const 16) (i32.const 20))))"#;
    let start = start();
    let plugin = host().load(&wat::parse_str(guest).unwrap(), &start.limits).unwrap().start(start).unwrap();
    assert!(matches!(failure(answer(&plugin, get(&[])).await), Failure::Trapped(_)));
}

#[tokio::test]
async fn a_trap_in_any_callback_throws_the_instance_away_and_the_next_request_gets_a_new_one() {
    for event in [
        "context_create",
        "request_headers",
        "request_body",
        "request_trailers",
        "response_headers",
        "response_body",
        "response_trailers",
    ] {
        // The root context is created too: it must live.
        let body = "(if (i32.ge_u (local.get $a) (i32.const 2)) (then (call $bad)))";
        let result = if event == "context_create" { "" } else { "(i32.const 0)" };
        let guest = Guest::new().on(event, &format!("{body} {result}")).with("(func $bad unreachable)");
        let plugin = run(&guest);
        for round in 1..=2 {
            let mut exchange = plugin.begin(facts()).unwrap();
            let trailers = headers(&[("x-sum", "1")]);
            let request = Message { trailers: trailers.clone(), ..with_body("a") };
            let first = exchange.request(request).await;
            let answer = if event.starts_with("response") {
                changes(first);
                exchange.response(Message { trailers, body: Body::Whole("b".into()), ..ok(&[]) }).await
            } else {
                first
            };
            assert!(
                matches!(failure(answer), Failure::Trapped(why) if why.contains("unreachable")),
                "{event}"
            );
            assert_eq!((plugin.counts().lost, plugin.counts().instances), (round, round), "{event}");
        }
    }
}

#[tokio::test]
async fn a_trap_when_a_request_ends_costs_the_instance_and_nobody_else() {
    for event in ["done", "log", "delete"] {
        let result = if event == "done" { "(i32.const 1)" } else { "" };
        let guest = Guest::new()
            .on(event, &format!("(if (i32.ge_u (local.get $a) (i32.const 2)) (then unreachable)) {result}"))
            .on("request_headers", "(i32.const 0)");
        let plugin = run(&guest);
        changes(answer(&plugin, get(&[])).await);
        until(|| plugin.counts().lost == 1).await;
        changes(answer(&plugin, get(&[])).await);
    }
}

#[tokio::test]
async fn a_trap_at_the_start_is_told() {
    for guest in [
        Guest::new().with("(func $bad unreachable) (start $bad)"),
        Guest::new().with("(func (export \"_initialize\") unreachable)"),
        Guest::new().with("(func (export \"_start\") unreachable)"),
        Guest::new().with("(func (export \"_initialize\")) (func (export \"main\") (param i32 i32) (result i32) unreachable)"),
        Guest::new().on("context_create", "unreachable"),
        Guest::new().on("vm_start", "unreachable"),
        Guest::new().on("configure", "unreachable"),
    ] {
        let start = start();
        let refused = host().load(&guest.build(), &start.limits).unwrap().start(start).unwrap_err();
        assert!(matches!(refused, StartError::Failed(Failure::Trapped(_))), "{refused}");
    }
    let limits = Limits { fuel_at_start: 10_000, ..limits() };
    let guest = Guest::new().on("configure", "(loop $again (br $again)) (i32.const 1)");
    let refused =
        host().load(&guest.build(), &limits).unwrap().start(Start { limits, ..start() }).unwrap_err();
    assert!(matches!(refused, StartError::Failed(Failure::OutOfFuel)), "{refused}");
}

#[tokio::test]
async fn a_guest_that_exits_is_thrown_away() {
    assert_eq!(fails_with("(call $exit (i32.const 3))", limits()).await, Failure::Exited(3));
}

#[tokio::test]
async fn a_guest_that_always_traps_at_its_start_is_not_started_over_and_over() {
    // The first start is fine, and says so in shared data; every other one traps.
    let mut guest = Guest::new();
    let name = guest.text("started");
    let guest = guest
        .on(
            "configure",
            &format!(
                "(if (i32.eqz (call $get_shared {name} {PLACE} (i32.const 24))) (then unreachable))
                 (drop (call $set_shared {name} {name} (i32.const 0))) (i32.const 1)"
            ),
        )
        .on("request_headers", "unreachable");
    let limits = Limits { restart_wait: Duration::from_secs(3600), ..limits() };
    let plugin = run_with(&guest, Start { limits, ..start() });
    assert!(matches!(failure(answer(&plugin, get(&[])).await), Failure::Trapped(_)));
    assert!(
        matches!(failure(answer(&plugin, get(&[])).await), Failure::Trapped(_)),
        "it could not be started"
    );
    for _ in 0..100 {
        assert_eq!(failure(answer(&plugin, get(&[])).await), Failure::BackingOff);
    }
    assert_eq!(plugin.counts().instances, 2);
    assert!(matches!(plugin.last_failure(), Some(Failure::Trapped(_))));
}

#[tokio::test]
async fn instances_are_made_anew_so_often_and_no_more() {
    let limits = Limits { restarts_per_second: 0, ..limits() };
    let plugin = run_with(&guest_that("unreachable"), Start { limits, ..start() });
    assert!(matches!(failure(answer(&plugin, get(&[])).await), Failure::Trapped(_)));
    assert_eq!(failure(answer(&plugin, get(&[])).await), Failure::BackingOff);
}

#[tokio::test]
async fn one_plugin_that_traps_does_not_harm_another() {
    let bad = run(&guest_that("unreachable"));
    let good = run(&guest_that(""));
    for _ in 0..20 {
        assert!(matches!(failure(answer(&bad, get(&[])).await), Failure::Trapped(_)));
        changes(answer(&good, get(&[])).await);
    }
    assert_eq!((good.counts().lost, good.counts().instances), (0, 1));
}

/// What the host answers to setting a header of the request.
async fn set(name: &str, value: &[u8]) -> u16 {
    let mut guest = Guest::new();
    let (name, value) = (guest.text(name), guest.text(value));
    let map = format!("(i32.const 0) {name} {value}");
    let guest = guest.with(&format!(
        "(func $both (result i32) (local $said i32) (local.set $said (call $replace {map}))
           (if (i32.ne (local.get $said) (call $add {map})) (then unreachable)) (local.get $said))"
    ));
    asked(guest, "(call $both)").await.0
}

#[tokio::test]
async fn headers_that_would_split_a_message_are_refused() {
    for value in [&b"a\r\nx: y"[..], b"a\nb", b"a\rb", b"a\0b", b"\x01", b"\x7f"] {
        assert_eq!(set("x-new", value).await, BAD_ARGUMENT, "{value:?}");
    }
    for name in ["", ":", "a b", "a\r\nb", "a\0", "a:b", "ä", "x\n", ":new", "::path"] {
        assert_eq!(set(name, b"a").await, BAD_ARGUMENT, "{name:?}");
    }
    assert_eq!(set("x-new", b"a\tb \xff").await, 0);
}

#[tokio::test]
async fn pseudo_headers_keep_their_form() {
    let replace = |name: &str, value: &str| {
        let mut guest = Guest::new();
        let (name, value) = (guest.text(name), guest.text(value));
        let guest =
            guest.with(&format!("(func $set (result i32) (call $replace (i32.const 0) {name} {value}))"));
        async move { asked(guest, "(call $set)").await.0 }
    };
    for (name, value) in
        [(":path", "/x?y=%20"), (":method", "PATCH"), (":authority", "[::1]:80"), (":scheme", "http")]
    {
        assert_eq!(replace(name, value).await, 0, "{name} {value}");
    }
    for (name, value) in [
        (":path", "x"),
        (":path", "/a b"),
        (":path", "/a#b"),
        (":path", "http://else.where/"),
        (":method", "GET /"),
        (":method", ""),
        (":authority", "a/b"),
        (":authority", "user@host"),
        (":authority", ""),
        (":scheme", "ftp"),
        (":status", "200"),
    ] {
        assert_eq!(replace(name, value).await, BAD_ARGUMENT, "{name} {value}");
    }
    let mut guest = Guest::new();
    let path = guest.text(":path");
    let remove = format!("(call $remove (i32.const 0) {path})");
    assert_eq!(asked(guest, &remove).await.0, BAD_ARGUMENT);
}

#[tokio::test]
async fn headers_of_the_host_stay_as_they_are() {
    assert_eq!(set("X-Keyward-Caller-Id", b"root").await, BAD_ARGUMENT);
    let ours = [("x-keyward-caller-id", "app_1"), ("x-team", "red")];
    for (pairs, said) in [
        (&[("x-keyward-caller-id", "app_1"), ("x-mine", "1")][..], 0),
        (&[("x-keyward-caller-id", "root")], BAD_ARGUMENT),
        (&[("x-keyward-caller-id", "app_1"), ("x-keyward-caller-id", "root")], BAD_ARGUMENT),
        (&[("x-mine", "1")], BAD_ARGUMENT),
        (&[], BAD_ARGUMENT),
    ] {
        let mut guest = Guest::new();
        let map = guest.map(pairs);
        let guest = guest.asking(&format!("(call $set_map (i32.const 0) {map})"));
        assert_eq!(crate::run::said(&run(&guest), get(&ours)).await.0, said, "{pairs:?}");
    }
    let mut guest = Guest::new();
    let name = guest.text("x-keyward-caller-id");
    let guest = guest.asking(&format!("(call $remove (i32.const 0) {name})"));
    assert_eq!(crate::run::said(&run(&guest), get(&ours)).await.0, BAD_ARGUMENT);
    assert_eq!(crate::run::said(&run(&guest), get(&[])).await.0, 0, "there is nothing to remove");
    let mut guest = Guest::new();
    let map = guest.map(&[("x-keyward-caller-id", "root")]);
    let none = "(i32.const 0) (i32.const 0)";
    let reply = format!("(call $reply (i32.const 200) {none} {none} {map} (i32.const -1))");
    assert_eq!(asked(guest, &reply).await.0, BAD_ARGUMENT, "nor in an answer of its own");
}

#[tokio::test]
async fn malformed_and_huge_header_maps_are_refused() {
    let set = |bytes: &[u8]| {
        let mut guest = Guest::new();
        let map = guest.text(bytes);
        let guest = guest.asking(&format!("(call $set_map (i32.const 0) {map})"));
        async move { said(&run(&guest), get(&[])).await.0 }
    };
    for bytes in
        [&b"\0\0"[..], b"\xff\xff\xff\xff", b"\x01\0\0\0\x01\0\0\0\xff\xff\xff\xffa\0", b"\x01\0\0\0xxxxxxxx"]
    {
        assert_eq!(set(bytes).await, BAD_ARGUMENT, "{bytes:?}");
    }
    let many = (0..300).map(|_| (&b"x-a"[..], &b"1"[..])).collect::<Vec<_>>();
    assert_eq!(set(&pairs::encode(many.iter().copied())).await, BAD_ARGUMENT);
    assert_eq!(set(&pairs::encode(many.iter().take(100).copied())).await, 0);
    let twice = [(&b":path"[..], &b"/a"[..]), (b":path", b"/b")];
    assert_eq!(set(&pairs::encode(twice.iter().copied())).await, BAD_ARGUMENT);
}

#[tokio::test]
async fn headers_cannot_be_added_without_end() {
    let mut guest = Guest::new();
    let (name, value) = (guest.text("x-a"), guest.text("1".repeat(1000)));
    let guest = guest.on(
        "request_headers",
        &format!(
            "(local $count i32) (local $said i32)
             (loop $again (local.set $said (call $add (i32.const 0) {name} {value}))
               (local.set $count (i32.add (local.get $count) (i32.const 1)))
               (br_if $again (i32.eqz (local.get $said))))
             (call $tell (local.get $said) (i32.const 0) (local.get $count)) (i32.const 0)"
        ),
    );
    let (said, count) = said(&run(&guest), get(&[])).await;
    assert_eq!(said, BAD_ARGUMENT);
    assert_eq!(count.len(), 66, "65 of them are 64 KiB");
}

#[tokio::test]
async fn a_body_cannot_grow_without_end() {
    let guest = Guest::new().on(
        "request_body",
        "(local $said i32)
         (loop $again (local.set $said (call $set_buffer (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0) (i32.const 131072)))
           (br_if $again (i32.eqz (local.get $said))))
         (call $tell (local.get $said) (i32.const 0) (i32.const 0)) (i32.const 0)",
    );
    assert_eq!(said(&run(&guest), with_body("a")).await.0, BAD_ARGUMENT);
}

#[tokio::test]
async fn shared_data_of_a_million_names_is_bounded() {
    let guest = Guest::new().on(
        "request_headers",
        "(local $i i32) (local $kept i32)
         (loop $again (i32.store (i32.const 2048) (local.get $i))
           (if (i32.eqz (call $set_shared (i32.const 2048) (i32.const 4) (i32.const 2048) (i32.const 4) (i32.const 0)))
             (then (local.set $kept (i32.add (local.get $kept) (i32.const 1)))))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $i) (i32.const 1000000))))
         (i32.store (i32.const 16) (local.get $kept))
         (call $tell (i32.const 0) (i32.const 16) (i32.const 4)) (i32.const 0)",
    );
    let (_, kept) = said(&run(&guest), get(&[])).await;
    assert_eq!(u32::from_le_bytes(kept.try_into().unwrap()), 10_000);
}

#[tokio::test]
async fn shared_bytes_queues_items_metrics_and_properties_are_bounded() {
    let limits = Limits {
        shared_bytes_max: 100,
        queues_max: 2,
        queue_items_max: 2,
        metrics_max: 2,
        properties_max: 2,
        ..limits()
    };
    // Each is tried with three names of one letter; the third is refused.
    for (call, sent) in [
        (
            "(call $set_shared (local.get 0) (i32.const 1) (i32.const 1024) (i32.const 40) (i32.const 0))",
            INTERNAL,
        ),
        ("(call $register_queue (local.get 0) (i32.const 1) (i32.const 24))", INTERNAL),
        ("(call $enqueue (i32.const 1) (local.get 0) (i32.const 1))", INTERNAL),
        ("(call $define (i32.const 0) (local.get 0) (i32.const 1) (i32.const 24))", INTERNAL),
        ("(call $set_property (local.get 0) (i32.const 1) (local.get 0) (i32.const 1))", INTERNAL),
    ] {
        let mut guest = Guest::new();
        let _ = guest.text("abcdefghijklmnopqrstuvwxyzabcdefghijklmnop");
        let register = if call.contains("enqueue") {
            "(drop (call $register_queue (i32.const 1024) (i32.const 1) (i32.const 24)))"
        } else {
            ""
        };
        let guest = guest.with(&format!(
            "(func $try (param i32) (result i32) {call})
             (func $three (result i32) {register} (if (call $try (i32.const 1024)) (then unreachable))
               (if (call $try (i32.const 1025)) (then unreachable)) (call $try (i32.const 1026)))"
        ));
        let plugin = run_with(&guest.asking("(call $three)"), Start { limits: limits.clone(), ..start() });
        assert_eq!(said(&plugin, get(&[])).await.0, sent, "{call}");
    }
}

#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let mut guest = Guest::new();
    let service = guest.text("declared");
    let map = guest.map(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
    let none = "(i32.const 0) (i32.const 0)";
    let guest = guest
        .asking(&format!("(call $http_call {service} {map} {none} {none} (i32.const 60000) (i32.const 24))"));
    let limits = Limits { calls_max: 3, ..limits() };
    let services = Arc::new(Services::default());
    let plugin = run_with(&guest, Start { limits, call_outs: Arc::clone(&services) as _, ..start() });
    for _ in 0..3 {
        assert_eq!(said(&plugin, get(&[])).await.0, 0);
    }
    assert_eq!(said(&plugin, get(&[])).await.0, INTERNAL);
    services.next().await.failed();
    assert_eq!(said(&plugin, get(&[])).await.0, 0, "one has ended");
}

#[tokio::test]
async fn a_tick_of_nothing_is_none_and_a_short_one_is_longer() {
    let mut guest = Guest::new();
    let name = guest.text("ticks");
    let guest = guest
        .on(
            "configure",
            &format!(
                "(drop (call $define (i32.const 0) {name} (i32.const 24)))
                 (if (call $tick (i32.const 1)) (then unreachable)) (i32.const 1)"
            ),
        )
        .on(
            "tick",
            "(if (i32.ne (local.get $a) (i32.const 1)) (then unreachable))
             (drop (call $increment (i32.load (i32.const 24)) (i64.const 1)))
             (if (call $tick (i32.const 0)) (then unreachable))",
        )
        .on("request_headers", "(i32.const 0)");
    let plugin = run(&guest);
    until(|| metrics(&plugin).get("ticks") == Some(&MetricValue::Counter(1))).await;
    changes(answer(&plugin, get(&[])).await);
    assert_eq!(metrics(&plugin)["ticks"], MetricValue::Counter(1), "zero is no timer");
    let limits = Limits { tick_min: Duration::from_secs(3600), ..limits() };
    let plugin = run_with(&guest, Start { limits, ..start() });
    changes(answer(&plugin, get(&[])).await);
    assert_eq!(metrics(&plugin)["ticks"], MetricValue::Counter(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// A guest that calls every function with random numbers never harms the host: it is answered or thrown away.
    #[test]
    fn random_arguments_to_every_function_harm_nobody(
        numbers in prop::collection::vec(prop_oneof![any::<i32>(), 0..200_000i32, 0..9i32], 400)
    ) {
        let mut numbers = numbers.into_iter().cycle();
        let mut body = String::new();
        for (name, parameters) in crate::guest::narrow_imports() {
            let arguments: String = (0..parameters)
                .map(|_| format!("(i32.const {}) ", numbers.next().unwrap()))
                .collect();
            body.push_str(&format!("(drop (call ${name} {arguments}))\n"));
        }
        let guest = guest_that(&body);
        let plugin = run_with(&guest, Start { log_level: LogLevel::Critical, ..start() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(answer(&plugin, with_body("abc")));
        prop_assert!(!matches!(answer, Answer::Failed(Failure::QueueFull | Failure::BackingOff)));
    }
}
