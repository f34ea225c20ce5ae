//! Applying a world: what it makes, that twice changes nothing, and what absent fields mean.

use keyward_control::ApplyOptions;
use keyward_model::*;

use crate::node::*;

#[tokio::test]
async fn a_world_is_made_in_one_revision_and_decides_at_once() {
    let node = Node::new().await;
    let before = node.revision();
    let applied = node.apply(SHOP).await.unwrap();
    assert_eq!(applied.revision.number, before + 1);
    assert_eq!(
        words(&applied.created),
        [
            "service orders",
            "api orders",
            "application shop",
            "consumer analytics",
            "group staff",
            "grant application shop -> orders",
            "grant group staff -> orders",
        ]
    );
    assert!(applied.changed.is_empty() && applied.unchanged.is_empty() && applied.removed.is_empty());
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Ok(()));
    assert_eq!(node.permits(CallerKind::Consumer, "analytics").await, Ok(()));
    assert!(node.holder("canary-api-key-0001").is_some() && node.holder("canary-app-code-0001").is_some());
    // Only the key set was generated.
    let minted: Vec<_> = applied.minted.iter().map(|minted| (minted.kind, minted.label.as_deref())).collect();
    assert_eq!(minted, [("jwt", Some("uid=analytics"))]);
}

#[tokio::test]
async fn applying_twice_changes_nothing() {
    let node = Node::with(SHOP).await;
    let before = node.revision();
    let again = node.apply(SHOP).await.unwrap();
    assert_eq!(again.revision.number, before);
    assert_eq!((again.created.len(), again.changed.len(), again.unchanged.len()), (0, 0, 7));
    assert!(again.minted.is_empty());
    let pruned = node.prune(SHOP).await.unwrap();
    assert_eq!((pruned.revision.number, pruned.removed.len()), (before, 0));
}

#[tokio::test]
async fn what_is_generated_is_shown_once_and_kept() {
    let text = r#"
applications: [{name: a}]
consumers:
  - {name: c, api_key: {sources: [bearer]}, jwt: {symmetric: true}}
"#;
    let node = Node::new().await;
    let applied = node.apply(text).await.unwrap();
    let kinds: Vec<_> = applied.minted.iter().map(|minted| minted.kind).collect();
    assert_eq!(kinds, ["key_pair", "api_key", "jwt"]);
    for minted in &applied.minted {
        let value = minted.value.as_ref().unwrap().expose_secret();
        let generated = keyward_control::looks_generated(value) || minted.kind == "jwt";
        assert!(generated, "{}", minted.kind);
    }
    let key = applied.minted[1].value.as_ref().unwrap().expose_secret().to_owned();
    let uid = applied.minted[2].label.clone().unwrap();
    assert!(uid.starts_with("uid=") && uid.len() == 4 + 32, "{uid}");
    let again = node.apply(text).await.unwrap();
    assert!(again.minted.is_empty() && again.unchanged.len() == 2);
    assert!(node.holder(&key).is_some());
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let node = Node::new().await;
    let before = node.revision();
    let dry = ApplyOptions { dry_run: true, prune: false };
    let would = node.apply_with(SHOP, dry).await.unwrap();
    assert_eq!((would.created.len(), would.revision.number), (7, before));
    assert!(would.minted.is_empty());
    assert_eq!(node.revision(), before);
    assert!(node.control.apis().get(&OPERATOR, named("orders")).await.is_err());
    // A dry run also says what would be refused only when it is compiled.
    node.apply(SHOP).await.unwrap();
    let twin =
        SHOP.split("applications:").next().unwrap().replace("name: orders\n    kind", "name: twin\n    kind");
    let error = node.apply_with(&twin, dry).await.unwrap_err();
    assert_eq!(error.kind().status(), 409, "{error}");
}

#[tokio::test]
async fn absent_secrets_stay_and_other_absent_fields_become_their_default() {
    let node = Node::with(SHOP).await;
    let applied = node
        .apply(
            r#"
services:
  - {name: orders, endpoints: ["http://127.0.0.1:9000"], auth: {header: {name: X-Backend-Key}}}
applications:
  - name: shop
    key_pairs: [{app_key: "203753385", scheme: alibaba}, {app_key: second-key, scheme: tencent}]
    app_codes: [{enabled: true}]
consumers:
  - name: analytics
    api_key: {sources: [bearer, {header: x-api-key}]}
    jwt: {symmetric: true}
"#,
        )
        .await
        .unwrap();
    // Only the tags were not a secret.
    assert_eq!(words(&applied.changed), ["application shop"]);
    let shop = node.control.applications().get(&OPERATOR, named("shop")).await.unwrap();
    assert!(shop.spec.tags.is_empty());
    assert_eq!(node.secret_of("203753385").await, "canary-app-secret-0001");
    assert_eq!(node.secret_of("second-key").await, "canary-app-secret-0002");
    for value in ["canary-app-code-0001", "canary-api-key-0001", "canary-api-key-0002"] {
        assert!(node.holder(value).is_some(), "{value}");
    }
    let service = node.control.snapshots().load_full();
    let service = service.services().next().unwrap();
    let Some(ServiceAuth::Header { value: Some(value), .. }) = &service.spec.service_auth else { panic!() };
    assert_eq!(value.plain().unwrap().expose_secret(), "canary-backend-secret");
}

#[tokio::test]
async fn lists_of_credentials_say_all_there_is() {
    let node = Node::with(SHOP).await;
    node.apply(
        r#"
applications:
  - {name: shop, key_pairs: [{app_key: "203753385", scheme: alibaba}]}
consumers:
  - {name: analytics, api_key: {sources: [bearer], keys: ["canary-api-key-0002", "canary-api-key-0003"]}}
"#,
    )
    .await
    .unwrap();
    for gone in ["canary-app-code-0001", "canary-api-key-0001"] {
        assert!(node.holder(gone).is_none(), "{gone}");
    }
    for there in ["canary-api-key-0002", "canary-api-key-0003"] {
        assert!(node.holder(there).is_some(), "{there}");
    }
    let snapshot = node.control.snapshots().load_full();
    assert!(snapshot.app_key(&"second-key".parse().unwrap()).is_none());
    assert!(snapshot.app_key(&"203753385".parse().unwrap()).is_some());
    let analytics = node.control.consumers().get(&OPERATOR, named("analytics")).await.unwrap();
    assert!(analytics.spec.jwt.is_none());
}

#[tokio::test]
async fn a_default_key_pair_is_never_lost_to_a_file() {
    let node = Node::with(SHOP).await;
    let applied = node
        .apply(
            r#"
applications:
  - {name: shop, key_pairs: [{app_key: third-key, app_secret: a-third-secret-0003, scheme: alibaba}]}
"#,
        )
        .await
        .unwrap();
    assert_eq!(applied.warnings[0].code, "default_key_pair_kept");
    let snapshot = node.control.snapshots().load_full();
    let found = |key: &str| snapshot.app_key(&key.parse().unwrap()).is_some();
    assert!(found("203753385") && found("third-key") && !found("second-key"));
    let shop = node.control.applications().get(&OPERATOR, named("shop")).await.unwrap();
    let default = shop.credentials.iter().find(|credential| credential.is_default).unwrap();
    assert_eq!(default.app_key.as_ref().unwrap().as_str(), "203753385");
}

#[tokio::test]
async fn the_first_key_pair_of_a_file_becomes_the_default() {
    let node = Node::with(SHOP).await;
    node.apply(
        r#"
applications:
  - name: shop
    key_pairs: [{app_key: second-key, scheme: tencent}, {app_key: "203753385", scheme: alibaba}]
    tags: {team: shop}
    app_codes: [{enabled: true}]
"#,
    )
    .await
    .unwrap();
    let shop = node.control.applications().get(&OPERATOR, named("shop")).await.unwrap();
    let defaults: Vec<_> = shop.credentials.iter().filter(|credential| credential.is_default).collect();
    assert_eq!(defaults.len(), 1);
    assert_eq!(defaults[0].app_key.as_ref().unwrap().as_str(), "second-key");
}

#[tokio::test]
async fn a_value_may_move_from_one_caller_to_another_within_one_world() {
    let node = Node::with(
        r#"
consumers:
  - {name: a, api_key: {sources: [bearer], keys: ["the-value-of-key-1"]}}
  - {name: b, api_key: {sources: [bearer], keys: ["the-value-of-key-2"]}}
"#,
    )
    .await;
    let before = node.holder("the-value-of-key-1");
    node.apply(
        r#"
consumers:
  - {name: a, api_key: {sources: [bearer], keys: ["the-value-of-key-2"]}}
  - {name: b, api_key: {sources: [bearer], keys: ["the-value-of-key-1"]}}
"#,
    )
    .await
    .unwrap();
    assert_ne!(node.holder("the-value-of-key-1"), before);
    assert_eq!(node.holder("the-value-of-key-2"), before);
}

#[tokio::test]
async fn partner_grants_by_name_and_by_exact_id() {
    let node = Node::with(
        r#"
accounts: [{name: partner}]
services: [{name: orders, endpoints: ["http://127.0.0.1:9000"]}]
apis:
  - {name: orders, kind: rest, base_path: /orders, admits: [app_signature], stages: {RELEASE: {service: orders}}}
applications: [{name: theirs, account: partner}]
grants: [{to: {application: theirs, account: partner}, api: orders}]
"#,
    )
    .await;
    let theirs = Qualified { account: name("partner"), name: name("theirs") };
    let theirs = node.control.applications().get(&OPERATOR, theirs.into()).await.unwrap().id;
    let by_id = format!("grants: [{{to: {{application_id: {theirs}}}, api: orders}}]");
    let again = node.apply(&by_id).await.unwrap();
    assert_eq!(again.unchanged.len(), 1, "it is the same grant");
    let wrong = by_id.replace(&theirs.to_string()[30..], "000000");
    let error = node.apply(&wrong).await.unwrap_err();
    assert_eq!(problems(&error), [("grants[0].to".to_owned(), "grantee_unknown")]);
}

#[tokio::test]
async fn a_revoked_grant_in_a_file_is_given_anew() {
    let node = Node::with(SHOP).await;
    let grants = node.control.grants().list(&OPERATOR, Default::default()).await.unwrap().items;
    node.control.grants().revoke(&OPERATOR, grants[0].id).await.unwrap();
    assert!(node.permits(CallerKind::Application, "shop").await.is_err());
    let applied = node.apply(SHOP).await.unwrap();
    assert_eq!(words(&applied.created), ["grant application shop -> orders"]);
    assert_ne!(applied.created[0].id, grants[0].id.to_string());
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Ok(()));
}

#[tokio::test]
async fn members_come_and_go_with_the_file() {
    let node = Node::with(SHOP).await;
    node.apply("groups: [{name: staff, members: [{application: shop}]}]").await.unwrap();
    assert_eq!(node.permits(CallerKind::Consumer, "analytics").await, Err(DenyReason::GrantMissing));
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Ok(()));
}
