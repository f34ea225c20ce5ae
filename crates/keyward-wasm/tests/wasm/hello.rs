//! The sample plugin in Rust, as its author would build it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use keyward_wasm::*;

use crate::run::*;

/// Built once; quick when it is there already.
fn hello() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| std::fs::read(build("plugins/hello-keyward", "hello_keyward.wasm")).unwrap())
}

/// Builds the package in this folder as its author would, and tells where the module is.
pub(crate) fn build(folder: &str, module: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/plugins");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--release", "--target", "wasm32-wasip1", "--manifest-path"])
        .arg(root.join(folder).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "`scripts/setup.sh test` installs what it needs: {said}");
    target.join("wasm32-wasip1/release").join(module)
}

fn configured(configuration: &str, secrets: &[&str]) -> Start {
    let secrets = secrets.iter().map(|secret| secret.as_bytes().to_vec());
    Start { configuration: Configuration::new(configuration.as_bytes().to_vec(), secrets), ..start() }
}

fn running(start: Start) -> RunningPlugin {
    host().load(hello(), &start.limits).unwrap().start(start).unwrap()
}

const CONFIGURATION: &str = r#"{"allowed": ["red"], "token": "t0ken-of-red"}"#;

#[tokio::test]
async fn an_allowed_team_goes_on_with_the_token_and_comes_back_with_a_header() {
    let plugin = running(configured(CONFIGURATION, &["t0ken-of-red"]));
    let mut exchange = plugin.begin(facts()).unwrap();
    let sent = changes(exchange.request(get(&[("x-team", "red")])).await).headers.unwrap();
    assert_eq!(sent.get("x-team-token"), Some(&b"t0ken-of-red"[..]));
    assert_eq!(sent.get(":path"), Some(&b"/a?b=c"[..]));
    let back = changes(exchange.response(ok(&[])).await).headers.unwrap();
    assert_eq!(back.get("x-hello"), Some(&b"keyward"[..]));
}

#[tokio::test]
async fn another_team_is_answered_with_403() {
    let plugin = running(configured(CONFIGURATION, &["t0ken-of-red"]));
    for request in [get(&[("x-team", "blue")]), get(&[("x-team", "RED")]), get(&[])] {
        let reply = reply(answer(&plugin, request).await);
        assert_eq!(reply.status, 403);
        assert_eq!(reply.headers, headers(&[("content-type", "application/problem+json")]));
        assert!(reply.body.starts_with(b"{\"title\""));
    }
    assert_eq!(plugin.counts().lost, 0);
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_and_the_log_says_why_without_the_secret() {
    catch_log();
    for (name, configuration, said) in [
        ("hello-wrong-1", r#"{"allowed": ["red"], "tokens": "t0ken-of-red"}"#, "unknown field `tokens`"),
        ("hello-wrong-2", r#"{"allowed": "t0ken-of-red", "token": ""}"#, r#"invalid type: string "***""#),
    ] {
        let start = Start { name: name.to_owned(), ..configured(configuration, &["t0ken-of-red"]) };
        let refused = host().load(hello(), &start.limits).unwrap().start(start).unwrap_err();
        assert!(matches!(refused, StartError::Failed(Failure::Refused)), "{refused}");
        let log = log_of(name);
        assert!(log.contains(said), "{log}");
        assert!(!log.contains("t0ken-of-red"), "{log}");
    }
}

#[tokio::test]
async fn what_it_panics_with_is_in_the_log_and_the_instance_is_replaced() {
    catch_log();
    // A header that is not UTF-8 makes the SDK panic where a text is asked for.
    let start = Start { name: "hello-panic".to_owned(), ..configured(CONFIGURATION, &["t0ken-of-red"]) };
    let plugin = running(start);
    let mut request = get(&[]);
    request.headers.push("x-team", b"\xff\xfe");
    assert!(matches!(failure(answer(&plugin, request).await), Failure::Trapped(_)));
    let log = log_of("hello-panic");
    assert!(log.contains("panicked at") && log.contains("an instance is thrown away"), "{log}");
    changes(answer(&plugin, get(&[("x-team", "red")])).await);
    assert_eq!(plugin.counts().instances, 2);
}

#[tokio::test]
async fn a_header_that_the_host_owns_stops_the_request() {
    let rules = |_: HeaderMap, name: &str| name != "x-team-token";
    let start = Start { rules: std::sync::Arc::new(rules), ..configured(CONFIGURATION, &["t0ken-of-red"]) };
    let plugin = running(start);
    assert!(matches!(failure(answer(&plugin, get(&[("x-team", "red")])).await), Failure::Trapped(_)));
}

#[tokio::test]
async fn ten_thousand_requests_on_two_workers_leave_nothing_behind() {
    let limits = Limits { memory_bytes_max: 2 << 20, ..limits() };
    let plugin = running(Start { workers: 2, limits, ..configured(CONFIGURATION, &["t0ken-of-red"]) });
    for _ in 0..10_000 {
        let mut exchange = plugin.begin(facts()).unwrap();
        changes(exchange.request(get(&[("x-team", "red")])).await);
        changes(exchange.response(ok(&[])).await);
    }
    assert_eq!((plugin.counts().events, plugin.counts().lost), (20_000, 0));
}
