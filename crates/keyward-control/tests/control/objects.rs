//! One object at a time: create, show, list, change, delete.

use keyward_control::{ErrorKind, ListFilter, ObjectRef, Problem};
use keyward_model::*;

use crate::node::*;

fn service(text: &str) -> ServiceSpec {
    world(&format!("services: [{text}]")).services.remove(0).value
}

#[tokio::test]
async fn a_service_is_made_shown_renamed_and_deleted() {
    let node = Node::new().await;
    let services = node.control.services();
    let spec = service(
        r#"{name: s, endpoints: ["http://127.0.0.1:9000"], auth: {header: {name: X-Key, value: a-backend-secret}}}"#,
    );
    let made = services.create(&OPERATOR, spec.clone()).await.unwrap();
    assert_eq!((made.object.revision, made.revision.number), (2, 2));
    let Some(ServiceAuth::Header { value, .. }) = &made.object.spec.service_auth else { panic!() };
    assert_eq!(*value, None, "secret values are not shown");
    let error = services.create(&OPERATOR, spec).await.unwrap_err();
    assert_eq!((error.kind(), error.code(), error.path()), (ErrorKind::Conflict, "name_taken", "name"));

    node.turn_clock(5_000);
    let of = ObjectRef::Id(made.object.id);
    let rename = |spec: &mut ServiceSpec| {
        spec.name = name("renamed");
        Ok(())
    };
    let changed = services.change(&OPERATOR, of, rename).await.unwrap();
    assert_eq!(changed.object.changed.as_millis(), START + 5_000);
    assert_eq!(changed.object.created.as_millis(), START);
    assert!(services.get(&OPERATOR, named("s")).await.is_err());
    let snapshot = node.control.snapshots().load_full();
    let Some(ServiceAuth::Header { value: Some(value), .. }) =
        &snapshot.service(made.object.id).unwrap().spec.service_auth
    else {
        panic!()
    };
    assert_eq!(value.plain().unwrap().expose_secret(), "a-backend-secret", "left out means kept");

    services.delete(&OPERATOR, named("renamed"), false).await.unwrap();
    assert!(services.get(&OPERATOR, ObjectRef::Id(made.object.id)).await.is_err());
}

#[tokio::test]
async fn an_edit_that_changes_nothing_has_no_revision_and_one_that_refuses_nothing_at_all() {
    let node = Node::with(SHOP).await;
    let before = node.revision();
    let same = node.control.apis().change(&OPERATOR, named("orders"), |_| Ok(())).await.unwrap();
    assert_eq!(same.revision.number, before);
    let refuse = |spec: &mut ApiSpec| {
        spec.settings.description = "changed".to_owned();
        Err(Problem::invalid("no", "settings", "not now"))
    };
    let error = node.control.apis().change(&OPERATOR, named("orders"), refuse).await.unwrap_err();
    assert_eq!((error.code(), node.revision()), ("no", before));
}

#[tokio::test]
async fn objects_stay_in_their_account_and_accounts_keep_their_names() {
    let node = Node::with(&format!("accounts: [{{name: partner}}]\n{SHOP}")).await;
    let moved = |spec: &mut ApiSpec| {
        spec.account = name("partner");
        Ok(())
    };
    let error = node.control.apis().change(&OPERATOR, named("orders"), moved).await.unwrap_err();
    assert!(problems(&error).contains(&("account".to_owned(), "account_changed")), "{error}");
    let renamed = |spec: &mut AccountSpec| {
        spec.name = name("other");
        Ok(())
    };
    let error = node.control.accounts().change(&OPERATOR, named("partner"), renamed).await.unwrap_err();
    assert_eq!(error.code(), "account_renamed");
}

#[tokio::test]
async fn what_is_used_cannot_go_and_says_by_whom() {
    let node =
        Node::with(&format!("gateways: [{{name: edge}}]\naccounts: [{{name: partner}}]\n{SHOP}")).await;
    node.apply(
        r#"
applications: [{name: theirs, account: partner}]
apis:
  - {name: bills, kind: rest, gateways: [edge], base_path: /bills, admits: [jwt], stages: {RELEASE: {service: orders}}}
grants: [{to: {group: staff}, api: bills, gateways: [edge], description: why}]
"#,
    )
    .await
    .unwrap();
    let users = |error: keyward_control::ControlError| {
        assert_eq!((error.kind(), error.kind().status()), (ErrorKind::InUse, 409));
        error.users().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let control = &node.control;
    let error = control.services().delete(&OPERATOR, named("orders"), false).await.unwrap_err();
    assert_eq!(users(error), ["api `orders`", "api `bills`"]);
    let error = control.gateways().delete(&OPERATOR, named("edge"), false).await.unwrap_err();
    assert_eq!(users(error), ["api `bills`", "grant `why`"]);
    let error = control.groups().delete(&OPERATOR, named("staff"), false).await.unwrap_err();
    assert_eq!(users(error).len(), 2);
    let error = control.accounts().delete(&OPERATOR, named("partner"), false).await.unwrap_err();
    assert_eq!(users(error), ["application `theirs`"]);
    for error in [
        control.accounts().delete(&OPERATOR, named("default"), false).await.unwrap_err(),
        control.gateways().delete(&OPERATOR, named("default"), false).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), "default_stays");
    }
}

#[tokio::test]
async fn a_caller_takes_along_what_it_owns_after_it_was_counted() {
    let node = Node::with(SHOP).await;
    let control = &node.control;
    let before = node.revision();
    let dry = control.applications().delete(&OPERATOR, named("shop"), true).await.unwrap();
    assert_eq!((dry.credentials, dry.along.len(), dry.revision.number), (3, 1, before));
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Ok(()));
    let done = control.applications().delete(&OPERATOR, named("shop"), false).await.unwrap();
    assert_eq!((done.credentials, &done.along), (3, &dry.along));
    assert!(node.holder("canary-app-code-0001").is_none());
    assert!(control.grants().list(&OPERATOR, Default::default()).await.unwrap().items.len() == 1);

    let consumer = control.consumers().get(&OPERATOR, named("analytics")).await.unwrap().id;
    control.consumers().delete(&OPERATOR, ObjectRef::Id(consumer), false).await.unwrap();
    let snapshot = control.snapshots().load_full();
    assert!(snapshot.caller(consumer).is_none());
    let staff = control.groups().get(&OPERATOR, named("staff")).await.unwrap();
    assert!(staff.spec.members.is_empty() && snapshot.group(staff.id).unwrap().members().is_empty());

    let deleted = control.apis().delete(&OPERATOR, named("orders"), false).await.unwrap();
    assert_eq!(deleted.along.len(), 1, "the grant of the group went along");
    control.services().delete(&OPERATOR, named("orders"), false).await.unwrap();
    control.groups().delete(&OPERATOR, named("staff"), false).await.unwrap();
    let node = node.restarted().await;
    assert!(node.control.quarantined().is_empty());
}

#[tokio::test]
async fn an_id_of_the_other_kind_is_not_found_grant_009() {
    let node = Node::with(SHOP).await;
    let shop = node.control.applications().get(&OPERATOR, named("shop")).await.unwrap().id;
    assert_eq!(
        node.control.consumers().get(&OPERATOR, ObjectRef::Id(shop)).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let key: Result<ObjectRef<CallerId>, _> = ObjectRef::parse("203753385", &name("default"));
    assert!(node.control.applications().get(&OPERATOR, key.unwrap()).await.is_err(), "an AppKey is no id");
}

#[tokio::test]
async fn lists_turn_pages_and_filter() {
    let node = Node::new().await;
    let entries: Vec<String> =
        (0..12).map(|n| format!("{{name: app-{n:02}, tags: {{n: \"{n}\"}}}}")).collect();
    node.apply(&format!("applications: [{}]", entries.join(", "))).await.unwrap();
    let applications = node.control.applications();
    let mut seen = Vec::new();
    let mut filter = ListFilter { limit: Some(5), ..ListFilter::default() };
    loop {
        let page = applications.list(&OPERATOR, filter.clone()).await.unwrap();
        seen.extend(page.items.iter().map(|view| view.spec.name.to_string()));
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    let expected: Vec<String> = (0..12).map(|n| format!("app-{n:02}")).collect();
    assert_eq!(seen, expected);
    let tag = ListFilter { tag: Some(("n".to_owned(), "1".to_owned())), ..ListFilter::default() };
    assert_eq!(applications.list(&OPERATOR, tag).await.unwrap().items.len(), 1);
    let part = ListFilter { name_contains: Some("APP-1".to_owned()), ..ListFilter::default() };
    assert_eq!(applications.list(&OPERATOR, part).await.unwrap().items.len(), 2);
    for (filter, path) in [
        (ListFilter { after: Some("nonsense".to_owned()), ..ListFilter::default() }, "after"),
        (ListFilter { limit: Some(0), ..ListFilter::default() }, "limit"),
        (ListFilter { limit: Some(1_001), ..ListFilter::default() }, "limit"),
    ] {
        let error = applications.list(&OPERATOR, filter).await.unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Invalid, path));
    }
    let nowhere = ListFilter { account: Some(name("nobody")), ..ListFilter::default() };
    assert_eq!(applications.list(&OPERATOR, nowhere).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn lists_are_narrowed_to_a_state_a_kind_and_a_gateway() {
    let node = Node::with(
        r#"
accounts: [{name: off, enabled: false}]
gateways: [{name: edge}]
services:
  - {name: up, endpoints: ["http://127.0.0.1:9000"]}
  - {name: down, enabled: false, endpoints: ["http://127.0.0.1:9000"], description: 'says "enabled":true'}
apis:
  - {name: on, base_path: /on, admits: [api_key], stages: {RELEASE: {service: up}}}
  - {name: off, enabled: false, base_path: /off, admits: [api_key], gateways: [edge], description: 'says "enabled":true', stages: {RELEASE: {service: up}}}
groups: [{name: in}, {name: out, enabled: false}]
"#,
    )
    .await;
    let control = &node.control;
    for (enabled, services, apis, groups, accounts) in
        [(true, "up", "on", "in", "default"), (false, "down", "off", "out", "off")]
    {
        let filter = ListFilter { enabled: Some(enabled), ..ListFilter::default() };
        let found = control.services().list(&OPERATOR, filter.clone()).await.unwrap().items;
        assert_eq!(found.iter().map(|view| view.spec.name.as_str()).collect::<Vec<_>>(), [services]);
        let found = control.apis().list(&OPERATOR, filter.clone()).await.unwrap().items;
        assert_eq!(found.iter().map(|view| view.spec.name.as_str()).collect::<Vec<_>>(), [apis]);
        let found = control.groups().list(&OPERATOR, filter.clone()).await.unwrap().items;
        assert_eq!(found.iter().map(|view| view.spec.name.as_str()).collect::<Vec<_>>(), [groups]);
        let found = control.accounts().list(&OPERATOR, filter.clone()).await.unwrap().items;
        assert_eq!(found.iter().map(|view| view.spec.name.as_str()).collect::<Vec<_>>(), [accounts]);
    }
    for (gateway, expected) in [("default", "on"), ("edge", "off")] {
        let filter = ListFilter {
            gateway: Some(named(gateway)),
            api_kind: Some(ApiKind::Rest),
            ..ListFilter::default()
        };
        let found = control.apis().list(&OPERATOR, filter).await.unwrap().items;
        assert_eq!(found.iter().map(|view| view.spec.name.as_str()).collect::<Vec<_>>(), [expected]);
    }
    let nowhere = ListFilter { gateway: Some(named("nowhere")), ..ListFilter::default() };
    assert_eq!(control.apis().list(&OPERATOR, nowhere).await.unwrap_err().kind(), ErrorKind::NotFound);
}
