//! The vendor's official npm client calls the gateway unchanged.

use std::path::PathBuf;

use keyward_testkit::gateway::Gateway;
use serde_json::Value;

const WORLD: &str = r#"
version: 1
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - name: echo
    kind: rest
    base_path: /echo
    admits: [app_signature, app_code]
    stages: {RELEASE: {service: origin}, TEST: {service: origin}}
applications:
  - name: npm
    key_pairs: [{app_key: "203753385", app_secret: AppSecretForTests0123456789abcdef, scheme: alibaba}]
    app_codes: [3F2504E04F8911D39A0C0305E82C3301]
grants: [{to: {application: npm}, api: echo}]
"#;

async fn results() -> (Gateway, Value) {
    let gateway = Gateway::start_now(WORLD).await;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients");
    assert!(folder.join("node_modules").is_dir(), "the client is not installed: run `scripts/setup.sh test`");
    let output = tokio::process::Command::new("node")
        .arg("aliyun.js")
        .arg(format!("http://{}", gateway.address()))
        .args(["203753385", "AppSecretForTests0123456789abcdef", "3F2504E04F8911D39A0C0305E82C3301"])
        .current_dir(folder)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let results = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)));
    (gateway, results)
}

#[tokio::test]
async fn the_official_client_calls_unchanged() {
    let (gateway, results) = results().await;
    for name in [
        "get_with_query",
        "get_repeated",
        "get_zero_and_false",
        "get_signed_header",
        "get_encoded_path",
        "post_form",
        "post_json",
        "post_bytes",
        "put_json",
        "put_form",
        "delete",
        "test_stage",
        "app_code",
    ] {
        assert_eq!(results[name]["status"], 200, "{name}: {}", results[name]);
        assert_eq!(results[name]["answer"]["ok"], true, "{name}: {}", results[name]);
    }
    assert_eq!(gateway.upstream().hits(), 13, "every call that passed reached the service, and no other");
    let wrong = &results["wrong_secret"];
    assert_eq!(wrong["status"], 401, "{wrong}");
    let message = wrong["error_message"].as_str().unwrap();
    assert!(
        message.starts_with("Invalid Signature, Server StringToSign:`GET#application/json#"),
        "{message}"
    );
    assert!(message.contains("#/echo/items?a=1&b=2`"), "{message}");
    assert!(
        wrong["request_id"].as_str().is_some_and(|id| id.len() == 36 && id == id.to_uppercase()),
        "{wrong}"
    );
    assert!(wrong["error_code"].as_str().is_some_and(|code| code.len() == 6), "{wrong}");
    let unknown = &results["unknown_key"];
    assert_eq!(unknown["status"], 401, "{unknown}");
    assert!(
        unknown["error_message"].as_str().unwrap().starts_with("Invalid Signature, Server StringToSign:`"),
        "{unknown}"
    );
}
