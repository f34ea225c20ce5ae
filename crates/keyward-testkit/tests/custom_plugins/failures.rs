//! Plugins that fail: the call is refused, or goes on where their owner said so, and nobody else is harmed.

use std::time::{Duration, Instant};

use keyward_model::ModuleSettings;
use keyward_testkit::client::Connection;

use crate::guest::{Guest, PLACE};
use crate::world::*;

/// Does this where a request says `X-Bad`, on its way there or back.
fn bad(event: &str, body: &str) -> Vec<u8> {
    let mut guest = Guest::new();
    let name = guest.text("x-bad");
    let body = format!("(if (i32.eqz (call $get (i32.const 0) {name} {PLACE})) (then {body})) {GO_ON}");
    guest.on(event, &body).build()
}

fn is_bad(target: &str) -> keyward_testkit::request::Request {
    get(target).header("X-Bad", "yes")
}

const LOOP: &str = "(loop $again (br $again))";

#[tokio::test]
async fn a_trap_refuses_the_request_and_harms_no_other() {
    for event in ["request_headers", "response_headers"] {
        let gateway = start(&[custom(bad(event, "unreachable"))]).await;
        for _ in 0..3 {
            let refused = gateway.call(&is_bad("/orders/1")).await;
            assert_eq!(outcome(&gateway, &refused).await, (503, "plugin_failed".into()), "{event}");
            assert_eq!(refused.json()["hint"], "a plugin of this API failed");
            assert_eq!(gateway.call(&get("/orders/1")).await.status, 200, "another instance is there");
        }
        let record = gateway.record_of(&gateway.call(&is_bad("/orders/1")).await).await;
        assert_eq!(record["plugin"], plugin_id(0).to_string());
    }
    assert!(log().contains("an instance is thrown away: the plugin trapped"), "{}", log());
    assert!(log().contains("plugin=\"guest\" account=\"default\""), "{}", log());
}

#[tokio::test]
async fn a_trap_harms_no_other_call_of_the_same_plugin() {
    // One instance, on which many calls wait for the service when it goes.
    let mut guest = Guest::new();
    let (name, mark, value) = (guest.text("x-bad"), guest.text("x-mark"), guest.text("yes"));
    let guest = guest
        .on(
            "request_headers",
            &format!("(if (i32.eqz (call $get (i32.const 0) {name} {PLACE})) (then unreachable)) {GO_ON}"),
        )
        .on("response_headers", &format!("(drop (call $add (i32.const 2) {mark} {value})) {GO_ON}"));
    let gateway = start(&[custom(guest.build()).with(|settings| settings.limits.workers = 1)]).await;
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
    let address = gateway.address();
    let calls = |request: keyward_testkit::request::Request| async move {
        let mut connection = Connection::open(address).await.unwrap();
        let mut statuses = Vec::new();
        for _ in 0..60 {
            let answer = connection.call(&request).await.unwrap();
            statuses.push((answer.status, answer.header("x-mark").is_some()));
        }
        statuses
    };
    let fine: Vec<_> = (0..16).map(|_| tokio::spawn(calls(get("/orders/1")))).collect();
    let bad: Vec<_> = (0..8).map(|_| tokio::spawn(calls(is_bad("/orders/1")))).collect();
    for one in fine {
        let wrong: Vec<_> = one.await.unwrap().into_iter().filter(|status| *status != (200, true)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    for one in bad {
        assert!(one.await.unwrap().iter().all(|status| *status == (503, false)));
    }
}

#[tokio::test]
async fn what_its_owner_said_is_skipped_goes_on() {
    for event in ["request_headers", "response_headers"] {
        let gateway = start(&[custom(bad(event, "unreachable")).skipped()]).await;
        let answer = gateway.call(&is_bad("/orders/1")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"ok":true}"#), "{event}");
        assert_eq!(gateway.upstream().hits(), 1);
    }
}

#[tokio::test]
async fn every_bound_ends_what_exceeds_it() {
    let cases: [(&str, &str, fn(&mut ModuleSettings)); 4] = [
        (LOOP, "ran out of fuel", |settings| settings.limits.fuel = 1_000_000),
        (LOOP, "ran out of time", |settings| {
            (settings.limits.fuel, settings.limits.time_ms) = (100_000_000_000, 100);
        }),
        ("(drop (memory.grow (i32.const 1000)))", "more memory than it may have", |settings| {
            settings.limits.memory_bytes = 1 << 20;
        }),
        ("(call $deeper)", "stack overflowed", |_| {}),
    ];
    for (body, why, edit) in cases {
        let mut guest = Guest::new().with("(func $deeper (call $deeper))");
        let name = guest.text("x-bad");
        let body = format!("(if (i32.eqz (call $get (i32.const 0) {name} {PLACE})) (then {body})) {GO_ON}");
        let gateway = start(&[custom(guest.on("request_headers", &body).build()).with(edit)]).await;
        assert_eq!(gateway.call(&get("/orders/1")).await.status, 200, "{why}: it runs");
        let began = Instant::now();
        let refused = gateway.call(&is_bad("/orders/1")).await;
        assert_eq!(outcome(&gateway, &refused).await, (503, "plugin_failed".into()), "{why}");
        assert!(began.elapsed() < Duration::from_secs(10), "{why}: {:?}", began.elapsed());
        assert_eq!(gateway.call(&get("/orders/1")).await.status, 200, "{why}: another instance is there");
        assert!(log().contains(why), "{why}");
        metrics_with(
            &gateway,
            &format!(
                "keyward_plugin_instances_lost_total{{account=\"default\",module=\"guest\",plugin=\"{}\"}} 1",
                plugin_id(0)
            ),
        )
        .await;
    }
}

#[tokio::test]
async fn others_go_on_beside_a_plugin_that_loops() {
    let slow = custom(bad("request_headers", LOOP)).named("slow").with(|settings| {
        (settings.limits.fuel, settings.limits.time_ms, settings.limits.workers) =
            (100_000_000_000, 2_000, 1);
    });
    let gateway = start(&[slow, hello().on("plain")]).await;
    let ready = gateway.call(&get("/plain/1").header("X-Team", "red")).await;
    assert_eq!(ready.status, 200);
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
    let mut looping = Connection::open(gateway.address()).await.unwrap();
    looping.send(&is_bad("/orders/1").to_bytes()).await.unwrap();
    let began = Instant::now();
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    for _ in 0..100 {
        let answer = connection.call(&get("/plain/1").header("X-Team", "red")).await.unwrap();
        assert_eq!((answer.status, answer.header("x-hello")), (200, Some("keyward")));
    }
    assert!(began.elapsed() < Duration::from_millis(1_900), "{:?} on the same core", began.elapsed());
    assert_eq!(looping.answer(false).await.unwrap().status, 503);
}

#[tokio::test]
async fn a_plugin_that_does_not_start_closes_or_is_skipped() {
    let wrong = hello().told(r#"{"allowed": "red"}"#);
    let gateway = start(std::slice::from_ref(&wrong)).await;
    let refused = gateway.call(&get("/orders/1").header("X-Team", "red")).await;
    assert_eq!(outcome(&gateway, &refused).await, (503, "plugin_failed".into()));
    assert!(
        log().contains("a custom plugin does not run: the plugin refused its configuration"),
        "{}",
        log()
    );
    bind(&gateway, &[wrong.skipped()]);
    let answer = gateway.call(&get("/orders/1")).await;
    assert_eq!((answer.status, answer.header("x-hello")), (200, None));
    bind(&gateway, &[hello()]);
    assert_eq!(gateway.call(&get("/orders/1").header("X-Team", "red")).await.status, 200, "it is mended");
    // What is no module that can run here.
    let nothing = custom(b"\0asm\x01\0\0\0".to_vec());
    bind(&gateway, &[nothing.clone().named("hello")]);
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 503);
    bind(&gateway, &[nothing.named("hello").skipped()]);
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
}

#[tokio::test]
async fn a_disabled_module_closes_what_its_plugins_are_bound_to() {
    let gateway = start(&[hello().skipped().with(|settings| settings.enabled = false)]).await;
    let refused = gateway.call(&get("/orders/1").header("X-Team", "red")).await;
    assert_eq!(outcome(&gateway, &refused).await, (503, "plugin_failed".into()));
    assert!(refused.text().contains("disabled"), "{}", refused.text());
}

#[tokio::test]
async fn a_guest_that_ends_a_call_ends_it() {
    let gateway = start(&[custom(bad("request_headers", "(drop (call $close (i32.const 0)))"))]).await;
    let refused = gateway.call(&is_bad("/orders/1")).await;
    assert_eq!(outcome(&gateway, &refused).await, (403, "plugin_refused".into()));
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn modules_are_tried_before_they_take_effect() {
    let gateway = start(&[hello()]).await;
    let check = gateway.node().module_check();
    let snapshot = gateway.node().control().snapshots().load_full();
    let entry = snapshot.plugin(plugin_id(0)).unwrap();
    let keyward_access::PluginWork::Custom(plugin) = entry.work() else { panic!("{entry:?}") };
    let (plugin, module) = (plugin.clone(), plugin.module().clone());
    let tried = tokio::task::spawn_blocking(move || {
        assert_eq!(check.check_module(&module), Ok(()));
        assert_eq!(check.check_plugin(&plugin), Ok(()));
        check
    });
    let check = tried.await.unwrap();
    for (wasm, config, why) in [
        (hello_wasm().to_vec(), r#"{"allowed": 1}"#, "the plugin refused its configuration"),
        (Guest::new().on("configure", LOOP_AND_GO_ON).build(), "{}", "the plugin ran out of"),
        (wat::parse_str("(module)").unwrap(), "{}", "proxy_abi_version_0_2_1"),
    ] {
        bind(&gateway, &[custom(wasm).named("hello").told(config)]);
        let snapshot = gateway.node().control().snapshots().load_full();
        let entry = snapshot.plugin(plugin_id(0)).unwrap();
        let keyward_access::PluginWork::Custom(plugin) = entry.work() else { panic!("{entry:?}") };
        let (plugin, check) = (plugin.clone(), check.clone());
        let tried = tokio::task::spawn_blocking(move || check.check_plugin(&plugin)).await.unwrap();
        assert!(tried.as_ref().unwrap_err().contains(why), "{tried:?}");
    }
}

const LOOP_AND_GO_ON: &str = "(loop $again (br $again)) (i32.const 1)";
