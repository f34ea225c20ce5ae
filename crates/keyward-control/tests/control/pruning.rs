//! Pruning: what goes, what stays, and what cannot go.

use keyward_model::*;

use crate::node::*;

#[tokio::test]
async fn what_the_file_does_not_name_goes_among_the_nouns_it_names() {
    let node = Node::with(SHOP).await;
    let applied = node.prune("consumers: [{name: newcomer, api_key: {sources: [bearer]}}]").await.unwrap();
    assert_eq!(words(&applied.removed), ["consumer analytics"]);
    assert!(node.holder("canary-api-key-0001").is_none());
    // Nouns that the file does not name stay, and so do grants for a group that lost a member.
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Ok(()));
    let staff = node.control.groups().get(&OPERATOR, named("staff")).await.unwrap();
    assert!(staff.spec.members.is_empty());
}

#[tokio::test]
async fn a_world_of_empty_lists_is_about_the_default_account() {
    let node = Node::with(SHOP).await;
    let applied = node.prune("consumers: []").await.unwrap();
    assert_eq!(words(&applied.removed), ["consumer analytics"]);
    let applied = node.prune("accounts: [{name: default}]\nconsumers: []").await.unwrap();
    assert!(applied.removed.is_empty(), "none is left");
}

#[tokio::test]
async fn grants_are_revoked_and_their_rows_kept() {
    let node = Node::with(SHOP).await;
    let applied = node.prune("grants: [{to: {group: staff}, api: orders}]").await.unwrap();
    assert_eq!(words(&applied.removed), ["grant application shop -> orders"]);
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Err(DenyReason::GrantRevoked));
    let filter = keyward_control::GrantFilter { revoked: true, ..Default::default() };
    let all = node.control.grants().list(&OPERATOR, filter).await.unwrap().items;
    assert_eq!(all.iter().filter(|grant| grant.revoked.is_some()).count(), 1);
}

#[tokio::test]
async fn other_accounts_are_not_looked_at_and_none_is_ever_removed() {
    let node = Node::with(
        r#"
accounts: [{name: partner}, {name: third}]
applications: [{name: ours}, {name: theirs, account: partner}, {name: of-third, account: third}]
"#,
    )
    .await;
    let applied = node.prune("accounts: [{name: partner}]\napplications: [{name: ours}]").await.unwrap();
    assert_eq!(
        words(&applied.removed),
        ["application theirs"],
        "partner and default are named, third is not"
    );
    let accounts = node.control.accounts().list(&OPERATOR, Default::default()).await.unwrap().items;
    assert_eq!(accounts.len(), 3);
}

#[tokio::test]
async fn what_is_still_used_cannot_be_pruned_and_nothing_changes() {
    let node = Node::with(SHOP).await;
    let before = node.revision();
    let error =
        node.prune(r#"services: [{name: another, endpoints: ["http://127.0.0.1:9001"]}]"#).await.unwrap_err();
    assert_eq!(error.code(), "in_use");
    assert!(error.to_string().contains("api `orders`"), "{error}");
    let error = node.prune("groups: [{name: others, members: []}]").await.unwrap_err();
    assert_eq!(error.code(), "in_use", "{error}");
    assert_eq!(node.revision(), before);
}

#[tokio::test]
async fn a_whole_account_can_be_replaced_at_once() {
    let node = Node::with(SHOP).await;
    let applied = node
        .prune(
            r#"
services: [{name: bills, endpoints: ["http://127.0.0.1:9000"]}]
apis:
  - {name: bills, kind: rest, hosts: ["api.example.com"], base_path: /orders, admits: [api_key], stages: {RELEASE: {service: bills}}}
applications: [{name: other}]
consumers:
  - {name: heir, api_key: {sources: [bearer], keys: ["canary-api-key-0001"]}}
groups: [{name: new, members: [{consumer: heir}]}]
grants: [{to: {group: new}, api: bills}]
"#,
        )
        .await
        .unwrap();
    let mut removed = words(&applied.removed);
    removed.sort();
    assert_eq!(
        removed,
        [
            "api orders",
            "application shop",
            "consumer analytics",
            "grant group staff -> orders",
            "group staff",
            "service orders"
        ]
    );
    let heir = node.control.consumers().get(&OPERATOR, named("heir")).await.unwrap().id;
    assert_eq!(node.holder("canary-api-key-0001"), Some(heir), "values and routes may be taken over");
    let node = node.restarted().await;
    assert!(node.control.quarantined().is_empty(), "{:?}", node.control.quarantined());
}

#[tokio::test]
async fn the_default_gateway_stays() {
    let node = Node::with("gateways: [{name: edge}, {name: old}]").await;
    let applied = node.prune("gateways: [{name: edge}]").await.unwrap();
    assert_eq!(words(&applied.removed), ["gateway old"]);
    assert!(node.control.gateways().get(&OPERATOR, named("default")).await.is_ok());
}
