//! Grants: given, listed, changed, revoked, renounced.

use keyward_control::{ErrorKind, GrantFilter, GrantView};
use keyward_model::*;

use crate::node::*;

fn spec(text: &str) -> GrantSpec {
    world(&format!("grants: [{text}]")).grants.remove(0).value
}

async fn all(node: &Node) -> Vec<GrantView> {
    node.control
        .grants()
        .list(&OPERATOR, GrantFilter { revoked: true, ..GrantFilter::default() })
        .await
        .unwrap()
        .items
}

#[tokio::test]
async fn a_grant_is_given_once_changed_and_revoked_for_good() {
    let node = Node::with(SHOP).await;
    let grants = node.control.grants();
    let wanted = spec("{to: {consumer: analytics}, api: orders, stages: [TEST]}");
    let given = grants.create(&OPERATOR, wanted.clone()).await.unwrap().object;
    assert_eq!((given.state, given.revoked), (ValidityState::InEffect, None));
    let twice = grants.create(&OPERATOR, wanted.clone()).await.unwrap_err();
    assert_eq!((twice.kind(), twice.code()), (ErrorKind::Conflict, "grant_exists"));

    let later = Validity::new(Some(Timestamp::from_millis(START + 1_000)), None).unwrap();
    let changed =
        grants.change(&OPERATOR, given.id, Some(later), Some("later".to_owned())).await.unwrap().object;
    assert_eq!((changed.state, changed.spec.description.as_str()), (ValidityState::NotYet, "later"));
    node.turn_clock(1_000);
    assert_eq!(grants.get(&OPERATOR, given.id).await.unwrap().state, ValidityState::InEffect);

    let revoked = grants.revoke(&OPERATOR, given.id).await.unwrap();
    let again = grants.revoke(&OPERATOR, given.id).await.unwrap();
    assert_eq!(
        (again.revision, again.object.grant.revoked),
        (revoked.revision, revoked.object.grant.revoked)
    );
    let error = grants.change(&OPERATOR, given.id, None, Some("x".to_owned())).await.unwrap_err();
    assert_eq!(error.code(), "grant_revoked");
    assert_ne!(grants.create(&OPERATOR, wanted).await.unwrap().object.id, given.id, "ids are never reused");
}

#[tokio::test]
async fn a_revocation_is_in_effect_when_it_is_answered() {
    let node = Node::with(SHOP).await;
    let grant = all(&node).await[0].clone();
    for _ in 0..20 {
        assert_eq!(node.permits(CallerKind::Application, "shop").await, Ok(()));
        let grant = node.control.grants().list(&OPERATOR, GrantFilter::default()).await.unwrap().items;
        let grant = grant.iter().find(|grant| matches!(grant.spec.to, GranteeSpec::Named(..))).unwrap();
        let revoked = node.control.grants().revoke(&OPERATOR, grant.id).await.unwrap();
        assert_eq!(node.control.revision(), revoked.revision, "published before the answer");
        assert_eq!(node.permits(CallerKind::Application, "shop").await, Err(DenyReason::GrantRevoked));
        node.control.grants().create(&OPERATOR, grant.spec.clone()).await.unwrap();
    }
    assert!(all(&node).await.len() == 22 && all(&node).await[0].id == grant.id);
}

#[tokio::test]
async fn a_revocation_names_what_still_permits_the_same_call() {
    let node = Node::with(SHOP).await;
    let grants = node.control.grants();
    let give = async |text: &str| grants.create(&OPERATOR, spec(text)).await.unwrap().object.id;
    let get =
        give("{to: {consumer: analytics}, api: orders, operations: [{method: GET, path: \"/{id}\"}]}").await;
    let one = give("{to: {consumer: analytics}, api: orders, operations: [{method: GET, path: /42}]}").await;
    let post = give("{to: {consumer: analytics}, api: orders, operations: [{method: POST, path: /}]}").await;
    let test = give("{to: {consumer: analytics}, api: orders, stages: [TEST]}").await;
    let other =
        give("{to: {application: shop}, api: orders, operations: [{method: GET, path: \"/{id}\"}]}").await;
    let staff =
        all(&node).await.into_iter().find(|grant| matches!(grant.spec.to, GranteeSpec::Group(_))).unwrap();

    let revoked = grants.revoke(&OPERATOR, get).await.unwrap().object;
    let ids = |views: &[GrantView]| views.iter().map(|view| view.id).collect::<Vec<_>>();
    assert_eq!(ids(&revoked.still_permitting), [staff.id, one, test]);
    // Revoking the group's grant names what its members have of their own.
    let revoked = grants.revoke(&OPERATOR, staff.id).await.unwrap().object;
    assert_eq!(ids(&revoked.still_permitting), [one, post, test]);
    let revoked = grants.revoke(&OPERATOR, other).await.unwrap().object;
    assert_eq!(revoked.still_permitting.len(), 1, "the contract of the shop itself");
}

#[tokio::test]
async fn lists_are_by_api_and_by_caller_its_groups_included() {
    let node = Node::with(SHOP).await;
    let grants = node.control.grants();
    let by = |caller: &str| GrantFilter { caller: Some(named(caller)), ..GrantFilter::default() };
    let shop = grants.list(&OPERATOR, by("shop")).await.unwrap().items;
    assert_eq!(
        shop.iter().map(|grant| grant.spec.description.as_str()).collect::<Vec<_>>(),
        ["contract 4711"]
    );
    let analytics = grants.list(&OPERATOR, by("analytics")).await.unwrap().items;
    assert!(matches!(analytics[0].spec.to, GranteeSpec::Group(_)));
    let api = GrantFilter { api: Some(named("orders")), limit: Some(1), ..GrantFilter::default() };
    let page = grants.list(&OPERATOR, api.clone()).await.unwrap();
    let next = grants.list(&OPERATOR, GrantFilter { after: page.next.clone(), ..api }).await.unwrap();
    assert_eq!((page.items.len(), next.items.len(), next.next), (1, 1, None));
    assert_eq!(grants.list(&OPERATOR, by("nobody")).await.unwrap_err().kind(), ErrorKind::NotFound);

    node.apply("consumers: [{name: shop, api_key: {sources: [bearer]}}]").await.unwrap();
    assert_eq!(grants.list(&OPERATOR, by("shop")).await.unwrap_err().code(), "name_ambiguous");
}

#[tokio::test]
async fn the_callers_account_may_renounce_its_own_grants_only() {
    let node = Node::with(SHOP).await;
    let grants = node.control.grants();
    let found = all(&node).await;
    let shops = found.iter().find(|grant| matches!(grant.spec.to, GranteeSpec::Named(..))).unwrap().id;
    let error = grants.renounce(&OPERATOR, named("analytics"), shops).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let renounced = grants.renounce(&OPERATOR, named("shop"), shops).await.unwrap();
    assert!(renounced.object.grant.revoked.is_some());
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Err(DenyReason::GrantRevoked));
}

#[tokio::test]
async fn only_the_apis_account_gives_grants_partner_003() {
    let node = Node::with(&format!("accounts: [{{name: partner}}]\n{SHOP}")).await;
    node.apply("applications: [{name: theirs, account: partner}]").await.unwrap();
    let own = spec("{to: {application: theirs, account: partner}, api: orders, account: partner}");
    let error = node.control.grants().create(&OPERATOR, own).await.unwrap_err();
    assert_eq!((error.kind(), error.path(), error.code()), (ErrorKind::NotFound, "api", "api_unknown"));
}
