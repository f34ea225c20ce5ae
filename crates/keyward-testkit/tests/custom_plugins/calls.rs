//! Calls that plugins make, shared data, timers and metrics.

use keyward_testkit::gateway::{Gateway, until_async};
use keyward_testkit::upstream::Upstream;

use crate::guest::{Guest, PLACE};
use crate::world::*;

/// Asks a service about each request, and answers with what that says; where it cannot, with what the host says.
fn asking(service: &str, path: &str) -> Vec<u8> {
    let mut guest = Guest::new();
    let pairs = [
        (":method", "POST"),
        (":path", path),
        (":authority", "elsewhere.example"),
        ("x-team", "red"),
        ("x-backend-key", "guessed"),
    ];
    let (service, map, body) = (guest.text(service), guest.map(&pairs), guest.text("question"));
    let call = format!(
        "(i32.store (i32.const 28) (local.get $a))
         (i32.store (i32.const 32) (call $http_call {service} {map} {body} (i32.const 0) (i32.const 0) (i32.const 20000) (i32.const 24)))
         (if (i32.load (i32.const 32)) (then (call $tell (i32.load (i32.const 32)) (i32.const 0) (i32.const 0))))
         {PAUSE}"
    );
    let heard = format!(
        "(drop (call $effective (i32.load (i32.const 28))))
         (if (i32.eqz (local.get $c)) (then (call $tell (i32.const 99) (i32.const 0) (i32.const 0)) (return)))
         (if (call $get_buffer (i32.const 4) (i32.const 0) (i32.const -1) {PLACE}) (then unreachable))
         (call $tell (i32.const 7) (i32.load (i32.const 16)) (i32.load (i32.const 20)))"
    );
    guest.on("request_headers", &call).on("http_call_response", &heard).build()
}

async fn with_teams(customs: &[Custom]) -> (Gateway, Upstream) {
    catch_log();
    let teams = Upstream::answering(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nX-Answer: a\r\nContent-Length: 7\r\n\r\nwelcome",
    );
    let teams = teams.await.unwrap();
    let gateway = Gateway::start(&world(&teams.url())).await;
    bind(&gateway, customs);
    (gateway, teams)
}

#[tokio::test]
async fn a_declared_service_is_called_with_its_own_credential() {
    let (gateway, teams) = with_teams(&[custom(asking("teams", "/red?a=b")).calling(&["teams"])]).await;
    for _ in 0..3 {
        let answer = gateway.call(&get("/orders/1")).await;
        assert_eq!((answer.status, answer.text().as_str()), (207, "welcome"));
    }
    let asked = teams.last().unwrap();
    assert_eq!((asked.line.as_str(), &*asked.body), ("POST /base/red?a=b HTTP/1.1", &b"question"[..]));
    assert_eq!(asked.values("host"), [teams.address().to_string()]);
    assert_eq!((asked.values("x-team"), asked.values("x-backend-key")), (vec!["red"], vec![BACKEND]));
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn a_service_that_was_not_declared_is_not_called() {
    let (gateway, teams) = with_teams(&[custom(asking("teams", "/red"))]).await;
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 202, "a bad argument");
    bind(&gateway, &[custom(asking("orders", "/red")).calling(&["teams"])]);
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 202);
    assert_eq!((teams.hits(), gateway.upstream().hits()), (0, 0));
}

#[tokio::test]
async fn a_call_that_fails_is_told_as_one() {
    // Nobody is there, and nothing leads up from where the service is.
    for (path, teams) in [("/red", None), ("/../admin", Some(()))] {
        let guest = custom(asking("teams", path)).calling(&["teams"]);
        let gateway = match teams {
            None => start(std::slice::from_ref(&guest)).await,
            Some(()) => with_teams(std::slice::from_ref(&guest)).await.0,
        };
        assert_eq!(gateway.call(&get("/orders/1")).await.status, 299, "{path}");
    }
}

#[tokio::test]
async fn shared_data_is_shared_by_all_workers_and_written_by_a_timer() {
    let mut guest = Guest::new();
    let (name, value) = (guest.text("ticked"), guest.text("by the timer"));
    let guest = guest
        .on("configure", "(drop (call $tick (i32.const 10))) (i32.const 1)")
        .on("tick", &format!("(drop (call $set_shared {name} {value} (i32.const 0)))"))
        .asking(&format!("(call $get_shared {name} {PLACE} (i32.const 24))"));
    let workers = |settings: &mut keyward_model::ModuleSettings| settings.limits.workers = 3;
    let gateway = start(&[custom(guest.build()).with(workers)]).await;
    let told = until_async(async || {
        let answer = gateway.call(&get("/orders/1")).await;
        (answer.text() == "by the timer").then_some(())
    });
    told.await.expect("the timer wrote it");
    for _ in 0..6 {
        assert_eq!(gateway.call(&get("/orders/1")).await.text(), "by the timer");
    }
}

#[tokio::test]
async fn two_plugins_share_nothing() {
    let mut writer = Guest::new();
    let (name, value) = (writer.text("n"), writer.text("v"));
    let set = format!("(drop (call $set_shared {name} {value} (i32.const 0))) {GO_ON}");
    let writer = writer.on("request_headers", &set);
    let mut reader = Guest::new();
    let name = reader.text("n");
    let reader = reader.asking(&format!("(call $get_shared {name} {PLACE} (i32.const 24))"));
    let gateway =
        start(&[custom(writer.build()).named("writer"), custom(reader.build()).named("reader")]).await;
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 201, "not found");
}

#[tokio::test]
async fn a_paused_request_is_resumed_by_a_timer() {
    let guest = Guest::new()
        .on("configure", "(drop (call $tick (i32.const 10))) (i32.const 1)")
        .on("request_headers", &format!("(i32.store (i32.const 28) (local.get $a)) {PAUSE}"))
        .on(
            "tick",
            "(if (i32.load (i32.const 28)) (then
               (if (i32.eqz (call $effective (i32.load (i32.const 28)))) (then (drop (call $continue (i32.const 0)))))))",
        );
    let gateway = start(&[custom(guest.build())]).await;
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
}

#[tokio::test]
async fn what_plugins_count_is_on_the_page_of_metrics() {
    let mut guest = Guest::new();
    let (hits, sizes) = (guest.text("hits{\"x\\"), guest.text("sizes"));
    let define = format!(
        "(if (call $define (i32.const 0) {hits} (i32.const 24)) (then unreachable))
         (if (call $define (i32.const 2) {sizes} (i32.const 28)) (then unreachable)) (i32.const 1)"
    );
    let count = format!(
        "(drop (call $increment (i32.load (i32.const 24)) (i64.const 1)))
         (drop (call $record (i32.load (i32.const 28)) (i64.const 20))) {GO_ON}"
    );
    let gateway =
        start(&[custom(guest.on("configure", &define).on("request_headers", &count).build())]).await;
    for _ in 0..3 {
        assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
    }
    let labels = format!("{{account=\"default\",module=\"guest\",plugin=\"{}\"", plugin_id(0));
    let page = metrics_with(&gateway, &format!("keyward_plugin_running{labels}}} 1")).await;
    for line in [
        format!("keyward_plugin_counter_total{labels},metric=\"hits{{\\\"x\\\\\"}} 3"),
        format!("keyward_plugin_histogram_count{labels},metric=\"sizes\"}} 3"),
        format!("keyward_plugin_histogram_sum{labels},metric=\"sizes\"}} 60"),
        format!("keyward_plugin_instances_lost_total{labels}}} 0"),
    ] {
        assert!(page.contains(&line), "{line}\n{page}");
    }
    // The manual lists each of them.
    let manual = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let kinds: Vec<&str> = kinds.collect();
    assert!(kinds.len() > 6, "{kinds:?}");
    for kind in kinds {
        assert!(manual.contains(&format!("`{kind}`")), "docs/operating.md does not list {kind}");
    }
}

#[tokio::test]
async fn a_plugin_defines_only_so_many_metrics() {
    let mut guest = Guest::new();
    let mut define = String::new();
    for number in 0..65 {
        let name = guest.text(format!("m{number}"));
        let expected = if number < 64 { 0 } else { 10 };
        define.push_str(&format!(
            "(if (i32.ne (call $define (i32.const 0) {name} (i32.const 24)) (i32.const {expected})) (then unreachable))\n"
        ));
    }
    let gateway = start(&[custom(guest.on("configure", &format!("{define} (i32.const 1)")).build())]).await;
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
}
