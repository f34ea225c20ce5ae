//! Secrets whose values are held elsewhere: a real OpenBao, files and the environment. What changes there takes effect here; what is
//! gone there opens nothing here.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyward_control::{HeldOptions, VaultLogin, VaultOptions};
use keyward_model::Role;
use keyward_testkit::client;
use keyward_testkit::gateway::{Gateway, Setup, until_async};
use keyward_testkit::openbao::OpenBao;
use keyward_testkit::operators::Operating;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;
use serde_json::json;

/// `${IN}` and `${OUT}` say where the value of a consumer's API key, and of what the service is called with, is held.
const WORLD: &str = r#"
version: 1
secrets:
  - {name: inbound, from: ${IN}}
  - {name: outbound, from: ${OUT}}
services:
  - {name: plain, endpoints: ["${UPSTREAM}"]}
  - {name: origin, endpoints: ["${UPSTREAM}"], auth: {header: {name: Authorization, value: "Bearer $ref{outbound}"}}}
apis:
  - {name: in, hosts: [gw.test], base_path: /in, admits: [api_key, app_signature], stages: {RELEASE: {service: plain}}}
  - {name: out, hosts: [gw.test], base_path: /out, admits: [anyone], stages: {RELEASE: {service: origin}}}
applications: [{name: signer, key_pairs: [{app_key: signer-key, app_secret: "$ref{inbound}"}]}]
consumers: [{name: robot, api_key: {sources: [bearer], keys: ["$ref{inbound}"]}}]
grants: [{to: {consumer: robot}, api: in}, {to: {application: signer}, api: in}]
"#;

const FIRST: &str = "canary-first-0123456789abcdef";
const SECOND: &str = "canary-second-0123456789abcdef";
const SENT: &str = "canary-sent-0123456789abcdef";
const SENT_NEXT: &str = "canary-sent-next-0123456789abcdef";
/// How often the vault is read in these tests.
const OFTEN: Duration = Duration::from_millis(100);
/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(3600);

fn vault(path: &str, field: &str) -> String {
    format!("{{vault: {{path: {path}, field: {field}}}}}")
}

fn world(inbound: &str, outbound: &str) -> String {
    WORLD.replace("${IN}", inbound).replace("${OUT}", outbound)
}

async fn start(inbound: &str, outbound: &str, held: HeldOptions) -> Gateway {
    let setup = Setup { real_clock: true, held: Some(held), ..Setup::default() };
    Gateway::start_with(&world(inbound, outbound), setup).await
}

async fn with_vault(options: VaultOptions) -> Gateway {
    let held = HeldOptions { vault: Some(options), ..HeldOptions::default() };
    start(&vault("secret/callers", "robot"), &vault("secret/services", "origin"), held).await
}

/// An OpenBao that holds the first values.
async fn bao() -> OpenBao {
    let bao = OpenBao::start().await;
    bao.put("callers", json!({"robot": FIRST})).await;
    bao.put("services", json!({"origin": SENT})).await;
    bao
}

fn root(bao: &OpenBao) -> VaultLogin {
    VaultLogin::TokenFile(bao.token_file())
}

async fn with_key(gateway: &Gateway, key: &str) -> u16 {
    gateway.call(&Request::get("gw.test", "/in/1").bearer(key)).await.status
}

/// The status of a call that the service is called for, and what it was called with.
async fn outbound(gateway: &Gateway) -> (u16, Option<String>) {
    let answer = gateway.call(&Request::get("gw.test", "/out/1")).await;
    let sent =
        gateway.upstream().last().and_then(|seen| Some((*seen.values("authorization").first()?).to_owned()));
    (answer.status, sent.filter(|_| answer.status == 200))
}

async fn until_key(gateway: &Gateway, key: &str, status: u16) {
    let seen = until_async(async || (with_key(gateway, key).await == status).then_some(())).await;
    assert!(seen.is_some(), "{key} never comes to {status}");
}

async fn until_out(gateway: &Gateway, status: u16) {
    let seen = until_async(async || (outbound(gateway).await.0 == status).then_some(())).await;
    assert!(seen.is_some(), "a call never comes to {status}");
}

async fn trouble(gateway: &Gateway, secret: &str) -> Option<String> {
    let shown = gateway.admin(Request::get("localhost", &format!("/v1/secrets/{secret}"))).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    shown.json()["trouble"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn values_in_the_vault_prove_callers_and_go_to_services_and_a_rotation_there_is_picked_up() {
    let bao = bao().await;
    let gateway = with_vault(bao.options(root(&bao), OFTEN, LONG)).await;
    assert_eq!(with_key(&gateway, FIRST).await, 200, "what a world file names is there once the node is");
    assert_eq!(outbound(&gateway).await, (200, Some(format!("Bearer {SENT}"))));
    let signed = async |secret: &str, nonce: &str| {
        let signing = Signing::alibaba("signer-key", secret).fresh(gateway.now_ms(), nonce);
        gateway.call(&Request::get("gw.test", "/in/1").signed(&signing)).await.status
    };
    assert_eq!(signed(FIRST, "nonce-of-the-first-1").await, 200);
    assert_eq!(with_key(&gateway, SECOND).await, 401);
    bao.put("callers", json!({"robot": SECOND})).await;
    until_key(&gateway, SECOND, 200).await;
    assert_eq!(with_key(&gateway, FIRST).await, 401, "no overlap unless asked for");
    assert_eq!(signed(SECOND, "nonce-of-the-second-1").await, 200);
    assert_eq!(signed(FIRST, "nonce-of-the-first-2").await, 401);
    bao.put("services", json!({"origin": SENT_NEXT})).await;
    let next = format!("Bearer {SENT_NEXT}");
    let sent = until_async(async || (outbound(&gateway).await.1.as_ref() == Some(&next)).then_some(())).await;
    assert!(sent.is_some());
    for literal in ["$ref{inbound}", "Bearer $ref{inbound}"] {
        assert_eq!(with_key(&gateway, literal).await, 401, "{literal}");
    }
}

#[tokio::test]
async fn an_overlap_lets_the_value_before_a_change_go_on_proving_who_calls() {
    let bao = bao().await;
    let options = bao.options(root(&bao), OFTEN, LONG);
    let held =
        HeldOptions { vault: Some(options), overlap: Duration::from_secs(60), ..HeldOptions::default() };
    let places = (vault("secret/callers", "robot"), vault("secret/services", "origin"));
    let setup = Setup { held: Some(held), ..Setup::default() };
    let gateway = Gateway::start_with(&world(&places.0, &places.1), setup).await;
    bao.put("callers", json!({"robot": SECOND})).await;
    until_key(&gateway, SECOND, 200).await;
    assert_eq!(with_key(&gateway, FIRST).await, 200);
    gateway.advance_ms(60_000);
    assert_eq!(with_key(&gateway, FIRST).await, 401);
    assert_eq!(with_key(&gateway, SECOND).await, 200);
}

#[tokio::test]
async fn what_is_deleted_in_the_vault_is_refused_and_comes_back_with_it() {
    let bao = bao().await;
    let gateway = with_vault(bao.options(root(&bao), OFTEN, LONG)).await;
    bao.delete("services").await;
    bao.delete("callers").await;
    until_out(&gateway, 503).await;
    until_key(&gateway, FIRST, 401).await;
    let refused = gateway.call(&Request::get("gw.test", "/out/1")).await;
    assert_eq!(gateway.reason_of(&refused).await, "secret_unresolvable");
    let why = trouble(&gateway, "outbound").await.expect("trouble");
    assert!(why.contains("nothing at this path"), "{why}");
    // A field that is no more is no other than a path that is not.
    bao.put("services", json!({"another": SENT})).await;
    let field =
        until_async(async || trouble(&gateway, "outbound").await.filter(|why| why.contains("no such field")));
    assert!(field.await.is_some());
    assert_eq!(outbound(&gateway).await.0, 503);
    bao.put("services", json!({"origin": SENT})).await;
    until_out(&gateway, 200).await;
    assert_eq!(trouble(&gateway, "outbound").await, None);
}

/// Calls by everything that is held elsewhere until it is told to end; every status that was seen.
fn load(gateway: &Gateway, ending: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<Vec<u16>>> {
    let calls = [Request::get("gw.test", "/in/1").bearer(FIRST), Request::get("gw.test", "/out/1")];
    let callers = calls.into_iter().cycle().take(16).map(|request| {
        let (to, ending) = (gateway.address(), Arc::clone(ending));
        tokio::spawn(async move {
            let mut seen = Vec::new();
            let mut connection = client::Connection::open(to).await.expect("a connection");
            while !ending.load(Ordering::SeqCst) {
                seen.push(connection.call(&request).await.expect("an answer").status);
            }
            seen
        })
    });
    callers.collect()
}

#[tokio::test]
async fn a_vault_that_is_killed_and_comes_back_under_load_is_not_noticed_within_the_time_that_values_are_kept()
 {
    let mut bao = bao().await;
    let login = bao.app_role("1h", "2h").await;
    let gateway = with_vault(bao.options(login, OFTEN, LONG)).await;
    let ending = Arc::new(AtomicBool::new(false));
    let callers = load(&gateway, &ending);
    for _ in 0..3 {
        bao.kill();
        let failed = until_async(async || (reads(&gateway, "failed").await > 0).then_some(())).await;
        assert!(failed.is_some(), "it is noticed that the vault is away");
        bao.run().await;
    }
    bao.put("callers", json!({"robot": FIRST, "other": SECOND})).await;
    ending.store(true, Ordering::SeqCst);
    for caller in callers {
        let seen = caller.await.expect("calls");
        assert!(seen.len() > 1 && seen.iter().all(|status| *status == 200), "{seen:?}");
    }
    // And what changes afterwards is picked up.
    bao.put("callers", json!({"robot": SECOND})).await;
    until_key(&gateway, SECOND, 200).await;
}

#[tokio::test]
async fn a_vault_that_stays_away_ends_what_it_held_once_the_time_is_over_and_gives_it_back() {
    let mut bao = bao().await;
    let gateway = with_vault(bao.options(root(&bao), OFTEN, Duration::from_millis(800))).await;
    assert_eq!(outbound(&gateway).await.0, 200);
    bao.kill();
    until_out(&gateway, 503).await;
    until_key(&gateway, FIRST, 401).await;
    let why = trouble(&gateway, "outbound").await.expect("trouble");
    assert!(why.contains("the vault is away"), "{why}");
    let refused = gateway.call(&Request::get("gw.test", "/out/1")).await;
    assert_eq!(gateway.reason_of(&refused).await, "secret_unresolvable");
    assert!(!refused.text().contains("$ref"), "{}", refused.text());
    let hits = gateway.upstream().hits();
    assert_eq!(outbound(&gateway).await.0, 503);
    assert_eq!(gateway.upstream().hits(), hits, "nothing goes upstream without its credential");
    bao.run().await;
    until_out(&gateway, 200).await;
    until_key(&gateway, FIRST, 200).await;
}

/// What `/metrics` counts of reads of the vault.
async fn reads(gateway: &Gateway, outcome: &str) -> u64 {
    let page = gateway.admin(Request::get("localhost", "/metrics")).await.text();
    let name = format!("keyward_held_reads_total{{from=\"vault\",outcome=\"{outcome}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).expect("a counter").parse().expect("a number")
}

#[tokio::test]
async fn tokens_that_end_or_are_revoked_are_replaced_by_logging_in_anew() {
    let bao = bao().await;
    // They end after two seconds, and cannot be renewed beyond three.
    let login = bao.app_role("2s", "3s").await;
    let gateway = with_vault(bao.options(login, OFTEN, LONG)).await;
    let next = |number: u32| format!("canary-number-{number}-0123456789");
    // Each change needs a token that holds: one after another for longer than any of them does.
    let begun = std::time::Instant::now();
    let mut number = 0;
    while begun.elapsed() < Duration::from_secs(7) {
        number += 1;
        bao.put("callers", json!({"robot": next(number)})).await;
        until_key(&gateway, &next(number), 200).await;
    }
    bao.revoke_app_role_tokens().await;
    bao.put("callers", json!({"robot": SECOND})).await;
    until_key(&gateway, SECOND, 200).await;
}

#[tokio::test]
async fn a_token_file_is_read_again_when_its_token_is_not_accepted() {
    let bao = bao().await;
    let file = bao.file("given-token", "not-a-token");
    let gateway = with_vault(bao.options(VaultLogin::TokenFile(file.clone()), OFTEN, LONG)).await;
    assert_eq!(outbound(&gateway).await.0, 503);
    fs::copy(bao.token_file(), file).expect("a token");
    until_out(&gateway, 200).await;
}

#[tokio::test]
async fn files_are_watched_and_one_that_is_gone_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    for (folder, value) in [(&one, FIRST), (&two, SECOND)] {
        fs::create_dir(folder).expect("a folder");
        fs::write(folder.join("key"), format!("{value}\n")).expect("a file");
    }
    // As Kubernetes shows secrets: a link to a folder that is swapped as a whole.
    let current = folder.path().join("..data");
    symlink(&one, &current).expect("a link");
    let place = |name: &str| format!("{{file: '{}'}}", folder.path().join(name).display());
    let gateway = start(&place("..data/key"), &place("sent"), HeldOptions::default()).await;
    assert_eq!(with_key(&gateway, FIRST).await, 200);
    assert_eq!(outbound(&gateway).await.0, 503, "there is no such file yet");
    assert_eq!(trouble(&gateway, "outbound").await.as_deref(), Some("there is no such file"));
    fs::write(folder.path().join("sent"), SENT).expect("a file");
    until_out(&gateway, 200).await;
    symlink(&two, folder.path().join("..new")).expect("a link");
    fs::rename(folder.path().join("..new"), &current).expect("a swap");
    until_key(&gateway, SECOND, 200).await;
    assert_eq!(with_key(&gateway, FIRST).await, 401);
    fs::remove_file(folder.path().join("sent")).expect("it is gone");
    until_out(&gateway, 503).await;
    fs::write(folder.path().join("sent"), SENT_NEXT).expect("a file");
    until_out(&gateway, 200).await;
    assert_eq!(outbound(&gateway).await.1, Some(format!("Bearer {SENT_NEXT}")));
}

#[tokio::test]
async fn variables_are_read_from_the_node_s_environment_but_not_keyward_s_own() {
    let environment = |name: &str| match name {
        "ROBOT" => Some(FIRST.to_owned()),
        "KEYWARD_STORE" => Some(SENT.to_owned()),
        _ => None,
    };
    let held = HeldOptions { environment, ..HeldOptions::default() };
    let gateway = start("{env: ROBOT}", "{env: KEYWARD_STORE}", held).await;
    assert_eq!(with_key(&gateway, FIRST).await, 200);
    assert_eq!(outbound(&gateway).await.0, 503);
    let why = trouble(&gateway, "outbound").await.expect("trouble");
    assert!(why.contains("Keyward's own"), "{why}");
}

#[tokio::test]
async fn a_write_that_names_a_place_is_answered_once_its_value_is_in_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| {
        let file = folder.path().join(name);
        fs::write(&file, format!("canary-of-{name}-0123456789")).expect("a file");
        file.display().to_string()
    };
    let gateway = start(&format!("{{file: '{}'}}", place("a")), "{env: NONE}", HeldOptions::default()).await;
    for number in 0..20 {
        let name = format!("n{number}");
        let body = json!({"from": {"file": place(&name)}}).to_string();
        let changed = Request::get("localhost", "/v1/secrets/inbound").method("PATCH");
        let changed = gateway.admin(changed.header("Content-Type", "application/json").body(body)).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        assert_eq!(with_key(&gateway, &format!("canary-of-{name}-0123456789")).await, 200);
        assert_eq!(
            with_key(&gateway, "canary-of-a-0123456789").await,
            401,
            "where it was before counts no more"
        );
    }
}

#[tokio::test]
async fn only_operators_of_all_accounts_say_that_a_value_is_held_elsewhere() {
    let gateway = start("{env: NONE}", "{env: NONE}", HeldOptions::default()).await;
    let own = async |who: &Operating, name: &str| {
        let body = json!({"name": name, "from": {"file": "/etc/hostname"}}).to_string();
        gateway.admin_as(who, "POST", "/v1/secrets", &body).await
    };
    let here = gateway.operator("here", &[(Some("default"), Role::Owner)]).await;
    let everywhere = gateway.operator("everywhere", &[(None, Role::Owner)]).await;
    let refused = own(&here, "mine").await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (403, Some("secret_from")),
        "{}",
        refused.text()
    );
    assert_eq!(own(&everywhere, "ours").await.status, 201);
    // What it says of one that is held elsewhere stays within its reach otherwise.
    let described = gateway.admin_as(&here, "PATCH", "/v1/secrets/ours", r#"{"description": "x"}"#).await;
    assert_eq!(described.status, 200, "{}", described.text());
    let moved =
        gateway.admin_as(&here, "PATCH", "/v1/secrets/ours", r#"{"from": {"file": "/etc/passwd"}}"#).await;
    assert_eq!(moved.status, 403, "{}", moved.text());
}

#[tokio::test]
async fn files_of_the_node_are_none_that_hold_values() {
    let gateway = start("{env: NONE}", "{env: NONE}", HeldOptions::default()).await;
    for name in ["master.key", "admin-token"] {
        let file = gateway.node().data().join(name);
        assert!(file.exists(), "{name}");
        let body = json!({"from": {"env": null, "file": file}}).to_string();
        let changed = Request::get("localhost", "/v1/secrets/outbound").method("PATCH");
        let changed = gateway.admin(changed.header("Content-Type", "application/json").body(body)).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        assert_eq!(outbound(&gateway).await.0, 503);
        let why = trouble(&gateway, "outbound").await.expect("trouble");
        assert!(why.contains("none that may hold a value"), "{why}");
    }
}

#[tokio::test]
async fn values_that_are_held_elsewhere_are_in_no_file_log_or_answer_of_the_node() {
    let bao = bao().await;
    let gateway = with_vault(bao.options(root(&bao), OFTEN, LONG)).await;
    assert_eq!(with_key(&gateway, FIRST).await, 200);
    assert_eq!(outbound(&gateway).await.0, 200);
    for target in [
        "/v1/secrets",
        "/v1/secrets/inbound",
        "/v1/secrets/outbound",
        "/v1/services/origin",
        "/metrics",
        "/v1/audit",
    ] {
        let shown = gateway.admin(Request::get("localhost", target)).await;
        assert_eq!(shown.status, 200, "{target}");
        assert!(!shown.text().contains("canary"), "{target}: {}", shown.text());
    }
    let reveal = Request::get("localhost", "/v1/secrets/outbound/reveal").method("POST");
    let revealed = gateway.admin(reveal).await;
    assert_eq!(revealed.status, 409, "{}", revealed.text());
    for (path, bytes) in gateway.data_files() {
        for canary in [FIRST, SENT] {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_node_that_starts_again_has_what_is_held_elsewhere_when_it_listens() {
    let bao = bao().await;
    let gateway = with_vault(bao.options(root(&bao), LONG, LONG)).await;
    let gateway = gateway.restart().await;
    assert_eq!(with_key(&gateway, FIRST).await, 200);
    assert_eq!(outbound(&gateway).await, (200, Some(format!("Bearer {SENT}"))));
}

#[tokio::test]
async fn a_value_that_another_caller_has_proves_neither_the_newer_one_nor_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, own) = (folder.path().join("key"), "canary-own-0123456789abcdef");
    fs::write(&file, FIRST).expect("a file");
    let gateway =
        start(&format!("{{file: '{}'}}", file.display()), "{env: NONE}", HeldOptions::default()).await;
    let other = format!(
        "version: 1\nconsumers: [{{name: older, api_key: {{sources: [bearer], keys: [{own}]}}}}]\n\
         grants: [{{to: {{consumer: older}}, api: in}}]\n"
    );
    gateway.apply(&other).await.expect("another consumer");
    fs::write(&file, own).expect("a file");
    until_key(&gateway, FIRST, 401).await;
    fs::write(&file, SECOND).expect("a file");
    until_key(&gateway, SECOND, 200).await;
    assert_eq!(with_key(&gateway, own).await, 200, "whose it was at first keeps it or has it again");
}
