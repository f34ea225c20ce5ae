//! A node keeps its contract: schemathesis reads `/openapi.json` and calls every route with what the contract allows
//! and with what it does not.
//!
//! `make test` runs it briefly, with a fixed seed; `make fuzz-api` runs it long (KEYWARD_FUZZ_API examples a route).

use std::path::PathBuf;
use std::process::Stdio;

use keyward_testkit::gateway::{Gateway, Setup};
use keyward_testkit::request::Request;

/// Where `scripts/setup.sh test` puts it.
const TOOL: &str = "../../target/schemathesis/bin/schemathesis";

/// One object of each noun, so that there is something to find.
const WORLD: &str = r#"
version: 1
accounts: [{name: partner}]
gateways: [{name: edge}]
services: [{name: orders, endpoints: ["${UPSTREAM}"]}]
apis:
  - {name: orders, base_path: /orders, admits: [app_signature, api_key], stages: {RELEASE: {service: orders}, TEST: {service: orders}}}
applications:
  - {name: shop, key_pairs: [{app_key: "203753385"}], app_codes: ["SHOPCODE0123456789ABCDEF01234567"]}
consumers:
  - {name: analytics, api_key: {keys: ["analytics-key-0123456789"]}, jwt: {symmetric: true}}
groups: [{name: staff, members: [analytics]}]
grants:
  - {to: {application: shop}, api: orders, stages: [RELEASE]}
  - {to: {group: staff}, api: orders}
"#;

#[tokio::test]
async fn admin_022_random_calls_find_no_server_error_and_no_breach_of_the_contract() {
    let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(TOOL);
    assert!(tool.exists(), "{} is missing; run `scripts/setup.sh test`", tool.display());
    let gateway = Gateway::start_with(WORLD, Setup { real_clock: true, ..Setup::default() }).await;
    let token = gateway.node().admin_token().expect("a local token").expose_secret().to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let document = gateway.admin(Request::get("localhost", "/openapi.json")).await;
    assert_eq!(document.status, 200, "{}", document.text());
    std::fs::write(folder.path().join("openapi.json"), &document.body).expect("a file");
    let examples = std::env::var("KEYWARD_FUZZ_API").unwrap_or_else(|_| "6".to_owned());
    let config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/schemathesis.toml");
    let run = tokio::process::Command::new(&tool)
        .arg("--config-file")
        .arg(config)
        .arg("run")
        .args(["openapi.json", "--url", &format!("http://{}", gateway.admin_address())])
        .args(["--max-examples", &examples, "--seed", "20260131"])
        .env("KEYWARD_ADMIN_TOKEN", token)
        .env("NO_COLOR", "1")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("schemathesis runs");
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}\n{complained}");
    assert!(said.contains("generated") && !said.contains(" 0 generated"), "nothing was tried:\n{said}");
    gateway.node().control().ready().expect("the store still takes changes");
}
