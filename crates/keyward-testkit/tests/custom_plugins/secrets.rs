//! Secrets in configurations: resolved for the guest, and found nowhere else.

use base64::Engine as _;
use keyward_testkit::operators::json;

use crate::guest::{Guest, PLACE};
use crate::world::*;

/// Reads its configuration, and then does this with what is at 16 (address) and 20 (length).
fn reading(then: &str) -> Guest {
    let read = format!("(drop (call $get_buffer (i32.const 7) (i32.const 0) (i32.const -1) {PLACE}))");
    Guest::new().on("request_headers", &format!("{read} {then}"))
}

const BYTES: &str = "(i32.load (i32.const 16)) (i32.load (i32.const 20))";

#[tokio::test]
async fn a_secret_is_in_no_answer() {
    let told = r#"{"token": "$ref{team_token}"}"#;
    let reply = reading(&format!("(call $tell (i32.const 0) {BYTES}) {PAUSE}"));
    let gateway = start(&[custom(reply.build()).told(told)]).await;
    let refused = gateway.call(&get("/orders/1")).await;
    assert_eq!(outcome(&gateway, &refused).await, (503, "plugin_failed".into()));
    assert!(!String::from_utf8_lossy(&refused.body).contains(TOKEN));
    // Where it is skipped, the call goes on, without the answer that would have told.
    bind(&gateway, &[custom(reply.build()).told(told).skipped()]);
    assert_eq!(gateway.call(&get("/orders/1")).await.text(), r#"{"ok":true}"#);
    // What is no secret may be told.
    bind(&gateway, &[custom(reply.build()).told(r#"{"token": "public"}"#)]);
    assert_eq!(gateway.call(&get("/orders/1")).await.text(), r#"{"token":"public"}"#);
    // On its way back, in a header.
    let mut guest = Guest::new();
    let name = guest.text("x-token");
    let read = format!("(drop (call $get_buffer (i32.const 7) (i32.const 0) (i32.const -1) {PLACE}))");
    let add = format!("{read} (drop (call $add (i32.const 2) {name} {BYTES})) {GO_ON}");
    bind(&gateway, &[custom(guest.on("response_headers", &add).build()).told(told)]);
    let refused = gateway.call(&get("/orders/1")).await;
    assert_eq!((refused.status, refused.header("x-token")), (503, None));
}

#[tokio::test]
async fn a_secret_is_in_no_log_in_no_encoding() {
    let log_it = reading(&format!("(drop (call $log (i32.const 4) {BYTES})) {GO_ON}"));
    let base64 = base64::engine::general_purpose::STANDARD.encode(format!("user:{TOKEN}"));
    let mut encoded = Guest::new();
    let text = encoded.text(format!("told {base64}"));
    let encoded = encoded.on("request_headers", &format!("(drop (call $log (i32.const 4) {text})) {GO_ON}"));
    let told = r#"{"told-first": "$ref{team_token}"}"#;
    let gateway = start(&[
        custom(log_it.build()).named("plainly").told(told),
        custom(encoded.build()).named("encoded").told(told),
    ])
    .await;
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
    let log = log();
    assert!(log.contains(r#"{"told-first":"***"}"#), "{log}");
    assert!(log.contains("told ") && !log.contains(&base64), "{log}");
    assert!(!log.contains(TOKEN));
    let records = gateway.log_lines(1).await.join("\n");
    assert!(!records.contains(TOKEN));
}

#[tokio::test]
async fn a_secret_without_a_value_closes_with_a_reason_of_its_own_and_is_never_skipped() {
    let gateway = start(&[hello().told(r#"{"allowed": ["red"], "token": "$ref{nothing}"}"#).skipped()]).await;
    let refused = gateway.call(&get("/orders/1").header("X-Team", "red")).await;
    assert_eq!(outcome(&gateway, &refused).await, (503, "plugin_failed".into()));
    assert_eq!(refused.json()["hint"], "a secret of a plugin of this API has no value");
    bind(&gateway, &[hello()]);
    assert_eq!(gateway.call(&get("/orders/1").header("X-Team", "red")).await.status, 200);
    let off = gateway.admin(json("PATCH", "/v1/secrets/team_token", r#"{"enabled": false}"#)).await;
    assert_eq!(off.status, 200, "{}", off.text());
    let refused = gateway.call(&get("/orders/1").header("X-Team", "red")).await;
    assert_eq!(refused.json()["hint"], "a secret of a plugin of this API has no value");
}

#[tokio::test]
async fn the_configuration_cannot_be_read_back() {
    let gateway = start(&[hello()]).await;
    assert_eq!(gateway.call(&get("/orders/1").header("X-Team", "red")).await.status, 200);
    let snapshot = gateway.node().control().snapshots().load_full();
    for shown in [
        format!("{:?}", snapshot.plugin(plugin_id(0)).unwrap()),
        format!("{:?}", gateway.node().gateway()),
        format!("{:?}", gateway.node().module_check()),
        metrics_with(&gateway, "keyward_plugin_running").await,
    ] {
        assert!(!shown.contains(TOKEN), "{shown}");
    }
}
