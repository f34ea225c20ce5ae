//! A world compiled without a store is the world that the store would hold.

use std::sync::Arc;

use keyward_control::{Minter, SeededRandom, compile_world};
use keyward_model::*;
use keyward_store::Record;

use crate::node::*;

fn compile(text: &str, seed: u64) -> Result<keyward_control::CompiledWorld, keyward_control::ControlError> {
    let mut minter = Minter::new(Arc::new(SeededRandom::new(seed)));
    compile_world(&world(text), &DigestKey([7; 32]), &mut minter, Timestamp::from_millis(START))
}

#[test]
fn the_same_minter_makes_the_same_world() {
    let (one, two, other) = (compile(SHOP, 1).unwrap(), compile(SHOP, 1).unwrap(), compile(SHOP, 2).unwrap());
    assert_eq!(one.records, two.records);
    assert_eq!(one.minted, two.minted);
    assert_ne!(one.records, other.records);
    assert_eq!(one.grants.len(), 2);
    assert!(one.grants.is_sorted(), "in file order, which is the order of age");
}

#[test]
fn its_snapshot_decides() {
    let world = compile(SHOP, 1).unwrap();
    let digest = world.snapshot.digest(b"canary-api-key-0001");
    let (caller, _) = world.snapshot.credential_by_digest(&digest).unwrap();
    assert_eq!(caller.name().as_str(), "analytics");
    assert!(world.snapshot.app_key(&"203753385".parse().unwrap()).is_some());
    assert_eq!(world.snapshot.apis().count(), 1);
    assert!(world.snapshot.gateway_named(&name("default")).is_some());
    let defaults = world.records.iter().take(2).map(Record::id).count();
    assert_eq!(defaults, 2);
}

#[test]
fn a_world_that_does_not_compile_is_refused() {
    let error = compile("grants: [{to: {group: g}, api: a}]", 1).unwrap_err();
    assert_eq!(error.problems().len(), 2);
    let twins = r#"
services: [{name: s, endpoints: ["http://127.0.0.1:9000"]}]
apis:
  - {name: a, kind: rest, base_path: /a, admits: [jwt], stages: {RELEASE: {service: s}}}
  - {name: b, kind: rest, base_path: /a, admits: [jwt], stages: {RELEASE: {service: s}}}
"#;
    assert!(compile(twins, 1).is_err());
}

#[test]
fn the_default_account_and_gateway_can_be_described() {
    let world = compile(
        "accounts: [{name: default, reveal: false}]\ngateways: [{name: default, limits: {headers: 77}}]",
        1,
    );
    let world = world.unwrap();
    assert_eq!(world.records.len(), 2);
    let gateway = world.snapshot.gateway_named(&name("default")).unwrap();
    assert_eq!(gateway.spec.limits.headers, 77);
}
