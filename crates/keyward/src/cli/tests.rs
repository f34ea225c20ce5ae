use clap::{CommandFactory as _, Parser as _};

use super::Cli;

fn parses(line: &str) -> bool {
    Cli::try_parse_from(line.split_whitespace()).is_ok()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_commands_of_the_contract_are_understood() {
    for line in [
        "keyward serve --data d --listen 127.0.0.1:0 --admin 127.0.0.1:0 --gateway edge --access-log - --apply a.yaml --apply b.yaml",
        "keyward serve --store postgres://h/d --workers 2 --no-local-token --master-key k --demo",
        "keyward apply -f world.yaml --dry-run --prune --admin http://127.0.0.1:9080",
        "keyward export --output yaml",
        "keyward explain --api orders --stage TEST --operation x --application shop --account a --gateway g --at 2026-01-01T00:00:00Z --output json",
        "keyward explain --api orders --consumer c",
        "keyward explain --api orders --app-key k",
        "keyward who-can --api orders",
        "keyward sign --app shop http://127.0.0.1:8080/orders",
        "keyward sign --app-key k --app-secret s --scheme tencent -X PUT -H A:b -d x http://127.0.0.1:8080/orders",
        "keyward sign --application shop POST http://127.0.0.1:8080/orders -d {}",
        "keyward completion bash",
    ] {
        assert!(parses(line), "{line}: {}", Cli::try_parse_from(line.split_whitespace()).unwrap_err());
    }
}

#[test]
fn every_noun_has_its_verbs() {
    for noun in ["app", "application", "consumer", "api", "service", "group", "account", "gateway"] {
        for rest in ["list", "show x", "create x", "change x --description y", "delete x --dry-run"] {
            assert!(parses(&format!("keyward {noun} {rest}")), "{noun} {rest}");
        }
        let switches = noun != "gateway";
        assert_eq!(parses(&format!("keyward {noun} enable x")), switches, "{noun}");
        assert_eq!(parses(&format!("keyward {noun} disable x")), switches, "{noun}");
    }
    for rest in [
        "app reset x",
        "app key-pair add x --scheme tencent",
        "app key-pair list x",
        "app app-code add x",
        "consumer reset x",
        "consumer api-key add x",
        "consumer jwt show x",
        "consumer jwt set x --jwt",
        "api publish x TEST --service s",
        "api unpublish x TEST",
        "group add-member x app:y",
        "group remove-member x consumer:y",
        "grant list --api x",
        "grant create --to app:shop --api orders --stage RELEASE,TEST",
        "grant change grt_1 --valid-until 2027-01-01T00:00:00Z",
        "grant revoke grt_1",
        "grant delete grt_1",
        "credential show crd_1",
        "credential reset crd_1",
        "credential reveal crd_1",
    ] {
        assert!(parses(&format!("keyward {rest}")), "{rest}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "keyward",
        "keyward serve --listen nowhere",
        "keyward serve --workers 0",
        "keyward apply",
        "keyward explain --application a",
        "keyward explain --api a --application b --consumer c",
        "keyward sign http://127.0.0.1/",
        "keyward sign --app a --app-secret s http://127.0.0.1/",
        "keyward grant create --to shop --api orders",
        "keyward group add-member x y",
        "keyward app list --output xml",
    ] {
        assert!(!parses(line), "{line}");
    }
}

#[test]
fn no_secret_is_a_default_of_the_help() {
    let page = super::reference();
    assert!(page.contains("keyward grant revoke"));
    assert!(!page.contains("KEYWARD_APP_SECRET="), "the value of a secret variable is not shown");
}
