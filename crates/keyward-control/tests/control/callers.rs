//! Callers: disabling and enabling, members, and that both take effect with the answer.

use keyward_model::*;

use crate::node::*;

#[tokio::test]
async fn a_disabled_caller_may_call_nothing_and_an_enabled_one_again() {
    let node = Node::with(SHOP).await;
    let shop = node.control.applications();
    shop.set_enabled(&OPERATOR, named("shop"), false).await.unwrap();
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Err(DenyReason::CallerDisabled));
    shop.set_enabled(&OPERATOR, named("shop"), true).await.unwrap();
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Ok(()));
    assert_eq!(node.secret_of("203753385").await, "canary-app-secret-0001", "nothing else changed");
}

#[tokio::test]
async fn a_disabled_account_closes_all_its_callers_partner_009() {
    let node = Node::with(&format!("accounts: [{{name: partner}}]\n{SHOP}")).await;
    let text = "applications: [{name: theirs, account: partner}]\n\
                grants: [{to: {application: theirs, account: partner}, api: orders}]";
    node.apply(text).await.unwrap();
    let theirs = Qualified { account: name("partner"), name: name("theirs") };
    let theirs = node.control.applications().get(&OPERATOR, theirs.into()).await.unwrap().id;
    assert_eq!(node.permits_id(theirs).await, Ok(()));
    node.control.accounts().set_enabled(&OPERATOR, named("partner"), false).await.unwrap();
    assert_eq!(node.permits_id(theirs).await, Err(DenyReason::AccountDisabled));
}

#[tokio::test]
async fn members_are_added_and_removed_with_effect() {
    let node = Node::with(SHOP).await;
    let groups = node.control.groups();
    let member = |kind, text: &str| MemberSpec { kind, name: name(text) };
    let analytics = member(CallerKind::Consumer, "analytics");
    let before = node.revision();
    let same = groups.add_members(&OPERATOR, named("staff"), vec![analytics.clone()]).await.unwrap();
    assert_eq!(same.revision.number, before, "it belonged to it already");

    let removed = groups.remove_members(&OPERATOR, named("staff"), vec![analytics.clone()]).await.unwrap();
    assert!(removed.object.spec.members.is_empty());
    assert_eq!(removed.object.revision, before + 1, "members count for a group's ETag");
    assert_eq!(node.permits(CallerKind::Consumer, "analytics").await, Err(DenyReason::GrantMissing));
    let shop = member(CallerKind::Application, "shop");
    let added = groups.add_members(&OPERATOR, named("staff"), vec![analytics, shop]).await.unwrap();
    assert_eq!(added.object.spec.members.len(), 2);
    assert_eq!(node.permits(CallerKind::Consumer, "analytics").await, Ok(()));

    let nobody = member(CallerKind::Consumer, "nobody");
    let error = groups.add_members(&OPERATOR, named("staff"), vec![nobody]).await.unwrap_err();
    assert_eq!(error.code(), "member_unknown");
}

#[tokio::test]
async fn a_key_that_was_unknown_opens_the_door_once_it_is_made_key_016() {
    let node = Node::with(SHOP).await;
    assert!(node.holder("a-key-that-comes-later").is_none());
    node.apply(
        r#"consumers: [{name: late, api_key: {sources: [bearer], keys: ["a-key-that-comes-later"]}}]"#,
    )
    .await
    .unwrap();
    assert!(node.holder("a-key-that-comes-later").is_some());
}

#[tokio::test]
async fn a_partner_resets_its_secret_and_keeps_its_grants_partner_007() {
    let node = Node::with(&format!("accounts: [{{name: partner}}]\n{SHOP}")).await;
    let text = "applications: [{name: theirs, account: partner}]\n\
                grants: [{to: {application: theirs, account: partner}, api: orders}]";
    node.apply(text).await.unwrap();
    let theirs = Qualified { account: name("partner"), name: name("theirs") };
    let theirs = node.control.applications().get(&OPERATOR, theirs.into()).await.unwrap();
    let app_key = theirs.credentials[0].app_key.as_ref().unwrap().to_string();
    let before = node.secret_of(&app_key).await;
    node.control.credentials().reset(&OPERATOR, theirs.credentials[0].id, None).await.unwrap();
    assert_ne!(node.secret_of(&app_key).await, before);
    assert_eq!(node.permits_id(theirs.id).await, Ok(()));
}
