//! Secrets: referred to, rotated, taken back, disabled, and never let go while anybody needs them.

use std::sync::Arc;

use keyward_control::{Acting, Actor, ApplyOptions, ErrorKind};
use keyward_model::*;
use uuid::Uuid;

use crate::node::*;

const VALUE: &str = "partner-key-0123456789";
const OTHER: &str = "another-key-9876543210";

/// Secrets, and a service, an application and a consumer that refer to them.
const REFERRING: &str = r#"
secrets:
  - {name: partner_key, value: partner-key-0123456789, description: of the partner}
  - {name: backend, value: backend-value}
  - {name: signing, value: an-app-secret-of-somebody}
services:
  - name: orders
    endpoints: ["http://127.0.0.1:9000"]
    auth: {header: {name: Authorization, value: "Bearer $ref{backend}"}}
apis:
  - {name: orders, kind: rest, hosts: ["api.example.com"], base_path: /orders, admits: [app_signature, api_key], stages: {RELEASE: {service: orders}}}
applications:
  - {name: signer, key_pairs: [{app_key: signer-key, app_secret: "$ref{signing}"}]}
consumers:
  - {name: partner, api_key: {sources: [bearer], keys: ["$ref{partner_key}"]}}
grants:
  - {to: {consumer: partner}, api: orders}
  - {to: {application: signer}, api: orders}
"#;

fn operator(account: AccountId, name: &str, role: Role) -> Actor {
    Actor::Operator(Arc::new(Acting {
        id: OperatorId::from_uuid(Uuid::from_u128(77)),
        name: name.parse().unwrap(),
        roles: vec![RoleIn { account: Some(account), role }],
        token: None,
    }))
}

async fn partner(node: &Node) -> CallerId {
    node.control.consumers().get(&OPERATOR, named("partner")).await.unwrap().id
}

fn plain(text: &str) -> Option<Plaintext> {
    Some(Plaintext::new(text))
}

#[tokio::test]
async fn a_reference_is_as_good_as_its_value_and_the_text_itself_is_nothing() {
    let node = Node::with(REFERRING).await;
    let partner = partner(&node).await;
    assert_eq!(node.holder(VALUE), Some(partner));
    assert_eq!(node.holder("$ref{partner_key}"), None);
    assert_eq!(node.permits_id(partner).await, Ok(()));
    let snapshot = node.control.snapshots().load_full();
    let service = snapshot.services().next().unwrap();
    assert_eq!(service.own_credential().unwrap().unwrap().0.expose_secret(), "Bearer backend-value");

    let shown = node.control.consumers().get(&OPERATOR, named("partner")).await.unwrap();
    let credential = &shown.credentials[0];
    assert_eq!(credential.reference.as_deref(), Some("$ref{partner_key}"));
    assert_eq!(
        (credential.origin, credential.revealable, &credential.trouble),
        (Origin::Reference, false, &None)
    );
    let error = node.control.credentials().reveal(&OPERATOR, credential.id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    let error = node.control.credentials().reset(&OPERATOR, credential.id, None).await.unwrap_err();
    assert_eq!(error.code(), "credential_refers");
}

#[tokio::test]
async fn applying_twice_changes_nothing_and_an_export_reads_back() {
    let node = Node::with(REFERRING).await;
    let before = node.revision();
    let again = node.apply(REFERRING).await.unwrap();
    assert_eq!((words(&again.changed), node.revision()), (Vec::new(), before));
    let exported = node.control.export(&OPERATOR, Vec::new()).await.unwrap();
    let yaml = keyward_api::write_yaml(&exported).unwrap();
    for secret in [VALUE, "backend-value", "an-app-secret-of-somebody"] {
        assert!(!yaml.contains(secret), "{yaml}");
    }
    for reference in ["Bearer $ref{backend}", "$ref{signing}", "$ref{partner_key}"] {
        assert!(yaml.contains(reference), "{reference}: {yaml}");
    }
    let yaml = yaml.replacen("version: 1\n", "", 1);
    let pruned = node.prune(&yaml).await.unwrap();
    assert_eq!(
        (words(&pruned.changed), words(&pruned.removed), node.revision()),
        (Vec::new(), Vec::new(), before)
    );
}

#[tokio::test]
async fn rotating_keeps_the_old_value_for_the_overlap_and_a_rollback_brings_it_back() {
    let node = Node::with(REFERRING).await;
    let (secrets, partner) = (node.control.secrets(), partner(&node).await);
    let rotated = secrets.rotate(&OPERATOR, named("partner_key"), plain(OTHER), 60).await.unwrap().object;
    assert_eq!((rotated.version, rotated.previous.map(|(version, _)| version)), (2, Some(1)));
    let until = node.control_now().plus_millis(60_000);
    assert_eq!(rotated.previous.unwrap().1, until);
    assert_eq!((node.holder(OTHER), node.holder(VALUE)), (Some(partner), Some(partner)));
    let ends = |value: &str| {
        let snapshot = node.control.snapshots().load_full();
        let (_, credential) = snapshot.credential_by_digest(&snapshot.digest(value.as_bytes())).unwrap();
        credential.valid_until()
    };
    assert_eq!((ends(OTHER), ends(VALUE)), (None, Some(until)));

    let sent = || {
        let snapshot = node.control.snapshots().load_full();
        snapshot.services().next().unwrap().own_credential().unwrap().unwrap().0.expose_secret().to_owned()
    };
    secrets.rotate(&OPERATOR, named("backend"), plain("newer"), 60).await.unwrap();
    assert_eq!(sent(), "Bearer newer", "outbound is the current one at once");
    secrets.roll_back(&OPERATOR, named("backend"), 0).await.unwrap();
    assert_eq!(sent(), "Bearer backend-value");
    let gone = secrets.roll_back(&OPERATOR, named("backend"), 0).await.unwrap_err();
    assert_eq!((gone.kind(), gone.code()), (ErrorKind::Conflict, "no_previous_value"));

    let now = secrets.rotate(&OPERATOR, named("partner_key"), None, 0).await.unwrap().object;
    assert_eq!((now.version, now.previous), (3, None));
    assert_eq!((node.holder(OTHER), node.holder(VALUE)), (None, None));
    let (_, generated) = secrets.reveal(&OPERATOR, named("partner_key")).await.unwrap();
    assert_eq!(node.holder(generated.expose_secret()), Some(partner));
}

#[tokio::test]
async fn a_restart_has_the_values_and_their_overlap() {
    let node = Node::with(REFERRING).await;
    node.control.secrets().rotate(&OPERATOR, named("partner_key"), plain(OTHER), 60).await.unwrap();
    let partner = partner(&node).await;
    let node = node.restarted().await;
    assert_eq!((node.holder(OTHER), node.holder(VALUE)), (Some(partner), Some(partner)));
}

#[tokio::test]
async fn an_unknown_or_malformed_reference_is_refused_at_its_place() {
    let node = Node::with(REFERRING).await;
    let refused = node
        .apply(r#"
services: [{name: s, endpoints: ["http://127.0.0.1:9000"], auth: {header: {name: X-Key, value: "a $ref{missing}"}}}]
applications: [{name: a, key_pairs: [{app_key: a, app_secret: "$ref{missing}"}], app_codes: ["$ref{missing}"]}]
consumers: [{name: c, api_key: {keys: ["$ref{missing}"]}, jwt: {jwks: "$ref{missing}"}}]
"#)
        .await
        .unwrap_err();
    assert_eq!(
        problems(&refused),
        [
            ("services[0].auth.header.value".to_owned(), "secret_unknown"),
            ("applications[0].key_pairs[0].app_secret".to_owned(), "secret_unknown"),
            ("applications[0].app_codes[0]".to_owned(), "secret_unknown"),
            ("consumers[0].api_key.keys[0]".to_owned(), "secret_unknown"),
            ("consumers[0].jwt.jwks".to_owned(), "secret_unknown"),
        ]
    );
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn another_accounts_secret_is_not_there_secret_012() {
    let node = Node::with(REFERRING).await;
    let refused = node
        .apply(
            r#"
accounts: [{name: other}]
consumers: [{name: c, account: other, api_key: {keys: ["$ref{partner_key}"]}}]
"#,
        )
        .await
        .unwrap_err();
    assert_eq!(problems(&refused), [("consumers[0].api_key.keys[0]".to_owned(), "secret_unknown")]);
}

#[tokio::test]
async fn a_value_that_a_referrer_cannot_use_is_refused_and_nothing_changes() {
    let node = Node::with(REFERRING).await;
    let before = node.revision();
    let secrets = node.control.secrets();
    for (secret, value) in [("partner_key", "short"), ("signing", "with a blank"), ("backend", "line\nbreak")]
    {
        let refused = secrets.rotate(&OPERATOR, named(secret), plain(value), 60).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Invalid, "secret_unfit"), "{secret}");
        assert!(!refused.to_string().contains(value), "{refused}");
    }
    let refused =
        node.apply(r#"consumers: [{name: c, api_key: {keys: ["x$ref{backend}"]}}]"#).await.unwrap_err();
    assert_eq!(problems(&refused), [("consumers[0].api_key.keys[0]".to_owned(), "secret_unfit")]);
    assert_eq!(node.revision(), before);
    assert_eq!(node.holder(VALUE), Some(partner(&node).await));
}

#[tokio::test]
async fn no_two_credentials_have_one_value_however_they_come_by_it() {
    let node = Node::with(REFERRING).await;
    node.apply(r#"consumers: [{name: plain, api_key: {keys: ["another-key-9876543210"]}}]"#).await.unwrap();
    let refused =
        node.control.secrets().rotate(&OPERATOR, named("partner_key"), plain(OTHER), 60).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let refused =
        node.apply(r#"consumers: [{name: c, api_key: {keys: ["$ref{partner_key}"]}}]"#).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let refused = node
        .apply(r#"consumers: [{name: c, api_key: {keys: ["partner-key-0123456789"]}}]"#)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(node.holder(VALUE), Some(partner(&node).await));
}

#[tokio::test]
async fn disabling_says_what_breaks_and_breaks_it_closed() {
    let node = Node::with(REFERRING).await;
    let partner = partner(&node).await;
    let disabled = node.control.secrets().set_enabled(&OPERATOR, named("partner_key"), false).await.unwrap();
    let codes: Vec<_> = disabled.warnings.iter().map(|warning| (warning.code, warning.noun)).collect();
    assert_eq!(codes, [("reference_breaks", Noun::Consumer)]);
    let shown = node.control.consumers().get(&OPERATOR, named("partner")).await.unwrap();
    assert_eq!(shown.credentials[0].trouble.as_deref(), Some("secret `partner_key`: it is disabled"));
    let snapshot = node.control.snapshots().load_full();
    let (_, credential) = snapshot.credential_by_digest(&snapshot.digest(VALUE.as_bytes())).unwrap();
    assert!(credential.trouble().is_some());

    node.control.secrets().set_enabled(&OPERATOR, named("backend"), false).await.unwrap();
    assert_eq!(node.permits_id(partner).await, Err(DenyReason::SecretUnresolvable));
    let service = node.control.services().get(&OPERATOR, named("orders")).await.unwrap();
    assert_eq!(service.trouble.as_deref(), Some("secret `backend`: it is disabled"));
    node.control.secrets().set_enabled(&OPERATOR, named("backend"), true).await.unwrap();
    assert_eq!(node.permits_id(partner).await, Ok(()));
}

#[tokio::test]
async fn a_secret_that_ended_is_sent_nowhere_from_that_moment() {
    let node = Node::with(REFERRING).await;
    let partner = partner(&node).await;
    let until = node.control_now().plus_millis(10_000);
    let end = move |spec: &mut SecretSpec| {
        spec.valid_until = Some(until);
        Ok(())
    };
    node.control.secrets().change(&OPERATOR, named("backend"), end).await.unwrap();
    assert_eq!(node.permits_id(partner).await, Ok(()));
    node.turn_clock(10_000);
    assert_eq!(node.permits_id(partner).await, Err(DenyReason::SecretUnresolvable));
}

#[tokio::test]
async fn what_is_referred_to_is_listed_and_cannot_go() {
    let node = Node::with(REFERRING).await;
    let secrets = node.control.secrets();
    let references = secrets.references(&OPERATOR, named("backend"), None, None).await.unwrap().items;
    let [service] = &*references else { panic!("{references:?}") };
    assert_eq!(
        (service.noun, &*service.name, &*service.field),
        (Noun::Service, "orders", "auth.header.value")
    );
    let [pair] = &*secrets.references(&OPERATOR, named("signing"), None, None).await.unwrap().items else {
        panic!()
    };
    assert_eq!((pair.noun, &*pair.name, &*pair.field), (Noun::Application, "signer", "key_pairs.app_secret"));
    assert_eq!(secrets.get(&OPERATOR, named("backend")).await.unwrap().references, 1);

    let refused = secrets.delete(&OPERATOR, named("partner_key"), false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    assert_eq!(refused.users().iter().map(|user| &*user.name).collect::<Vec<_>>(), ["partner"]);
    node.control.consumers().delete(&OPERATOR, named("partner"), false).await.unwrap();
    assert_eq!(secrets.get(&OPERATOR, named("partner_key")).await.unwrap().references, 0);
    secrets.delete(&OPERATOR, named("partner_key"), false).await.unwrap();
    assert!(secrets.get(&OPERATOR, named("partner_key")).await.is_err());
}

#[tokio::test]
async fn pruning_lets_a_secret_go_with_the_last_that_refers_to_it_and_not_before() {
    let node = Node::with(REFERRING).await;
    let dry = ApplyOptions { prune: true, dry_run: true };
    let refused = node.apply_with("secrets: [{name: signing}, {name: backend}]", dry).await.unwrap_err();
    assert_eq!(refused.code(), "in_use");
    assert!(refused.to_string().contains("partner"), "{refused}");
    let world = r#"
secrets: [{name: signing}, {name: backend}]
consumers: [{name: partner, api_key: {keys: ["no-reference-any-more"]}}]
"#;
    let pruned = node.prune(world).await.unwrap();
    assert_eq!(words(&pruned.removed), ["secret partner_key"]);
}

#[tokio::test]
async fn only_who_may_use_a_secret_refers_to_it_or_sends_it_elsewhere_secret_014() {
    let node = Node::with(REFERRING).await;
    let account = node.control.accounts().get(&OPERATOR, named("default")).await.unwrap().id;
    let developer = operator(account, "dev", Role::Developer);
    let services = node.control.services();
    let move_to = |url: &'static str| {
        move |spec: &mut ServiceSpec| {
            spec.endpoints = vec![EndpointSpec { url: url.parse().unwrap(), weight: 1 }];
            Ok(())
        }
    };
    let refused =
        services.change(&developer, named("orders"), move_to("http://127.0.0.2:9000")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Forbidden, "secret_use"));
    let describe = |spec: &mut ServiceSpec| {
        spec.description = "changed".to_owned();
        Ok(())
    };
    services.change(&developer, named("orders"), describe).await.unwrap();
    let add = world(r#"consumers: [{name: c, api_key: {keys: ["$ref{signing}"]}}]"#);
    let refused = node.control.apply(&developer, add.clone(), ApplyOptions::default()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Forbidden, "secret_use"));

    let allow = |spec: &mut SecretSpec| {
        spec.use_by = Some([name("dev")].into());
        Ok(())
    };
    node.control.secrets().change(&OPERATOR, named("backend"), allow).await.unwrap();
    services.change(&developer, named("orders"), move_to("http://127.0.0.2:9000")).await.unwrap();
    let admin = operator(account, "admin", Role::Admin);
    let refused =
        services.change(&admin, named("orders"), move_to("http://127.0.0.3:9000")).await.unwrap_err();
    assert_eq!(refused.code(), "secret_use", "who is named takes the place of admins");
    let owner = operator(account, "owner", Role::Owner);
    services.change(&owner, named("orders"), move_to("http://127.0.0.3:9000")).await.unwrap();
}

#[tokio::test]
async fn using_is_not_reading() {
    let node = Node::with(REFERRING).await;
    let account = node.control.accounts().get(&OPERATOR, named("default")).await.unwrap().id;
    let [developer, admin] =
        [("dev", Role::Developer), ("boss", Role::Admin)].map(|(n, role)| operator(account, n, role));
    let secrets = node.control.secrets();
    let allow = |spec: &mut SecretSpec| {
        spec.use_by = Some([name("dev")].into());
        spec.read_by = Some(Default::default());
        Ok(())
    };
    assert!(secrets.reveal(&admin, named("signing")).await.is_ok());
    secrets.change(&OPERATOR, named("signing"), allow).await.unwrap();
    for actor in [&developer, &admin] {
        let refused = secrets.reveal(actor, named("signing")).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Forbidden, "secret_read"));
    }
    let shown = secrets.get(&developer, named("signing")).await.unwrap();
    assert_eq!(shown.spec.source, SecretSource::Stored(None));
}

#[tokio::test]
async fn destinations_bind_a_secret_to_where_it_may_go() {
    let node = Node::with(REFERRING).await;
    let bind = |spec: &mut SecretSpec| {
        spec.destinations = Some(vec!["127.0.0.1:9000".parse().unwrap()]);
        Ok(())
    };
    node.control.secrets().change(&OPERATOR, named("backend"), bind).await.unwrap();
    let moved = |spec: &mut ServiceSpec| {
        spec.endpoints.push(EndpointSpec { url: "http://127.0.0.1:9001".parse().unwrap(), weight: 1 });
        Ok(())
    };
    let refused = node.control.services().change(&OPERATOR, named("orders"), moved).await.unwrap_err();
    assert_eq!(problems(&refused), [("endpoints[1]".to_owned(), "secret_destination")]);
    // Bound to somewhere else, it is sent nowhere.
    let elsewhere = |spec: &mut SecretSpec| {
        spec.destinations = Some(vec!["api.example.com".parse().unwrap()]);
        Ok(())
    };
    node.control.secrets().change(&OPERATOR, named("backend"), elsewhere).await.unwrap();
    assert_eq!(node.permits_id(partner(&node).await).await, Err(DenyReason::SecretUnresolvable));
}

#[tokio::test]
async fn a_secret_keeps_its_name() {
    let node = Node::with(REFERRING).await;
    let rename = |spec: &mut SecretSpec| {
        spec.name = name("renamed");
        Ok(())
    };
    let refused = node.control.secrets().change(&OPERATOR, named("backend"), rename).await.unwrap_err();
    assert_eq!(refused.code(), "secret_renamed");
}

#[tokio::test]
async fn tokens_are_verified_by_the_key_set_or_the_key_that_a_secret_holds() {
    let node = Node::new().await;
    let set = r#"{"keys":[{"kty":"oct","kid":"one","k":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}]}"#;
    let world = format!(
        r#"
secrets: [{{name: set, value: '{set}'}}, {{name: key, value: "an-hs256-key-of-more-than-32-bytes!"}}, {{name: short, value: short}}]
consumers:
  - {{name: one, jwt: {{jwks: "$ref{{set}}"}}}}
  - {{name: two, jwt: {{jwks: "$ref{{key}}"}}}}
"#
    );
    node.apply(&world).await.unwrap();
    for consumer in ["one", "two"] {
        let shown = node.control.consumers().get(&OPERATOR, named(consumer)).await.unwrap();
        assert_eq!((shown.credentials[0].origin, &shown.credentials[0].trouble), (Origin::Reference, &None));
    }
    let refused = node.apply(r#"consumers: [{name: three, jwt: {jwks: "$ref{short}"}}]"#).await.unwrap_err();
    assert_eq!(problems(&refused), [("consumers[0].jwt.jwks".to_owned(), "secret_unfit")]);
    let before = node.revision();
    node.apply(&world).await.unwrap();
    assert_eq!(node.revision(), before);
}

#[tokio::test]
async fn a_caller_with_a_reference_gets_further_credentials() {
    let node = Node::with(REFERRING).await;
    let key = |text: &str| OpaqueSpec {
        value: Some(SecretText::parse(text).unwrap()),
        enabled: true,
        valid_until: None,
    };
    let consumers = node.control.consumers();
    consumers.add_api_key(&OPERATOR, named("partner"), key(OTHER)).await.unwrap();
    consumers.add_api_key(&OPERATOR, named("partner"), key("x$ref{signing}")).await.unwrap();
    assert!(consumers.add_api_key(&OPERATOR, named("partner"), key("$ref{partner_key}")).await.is_err());
    let refused = consumers.add_api_key(&OPERATOR, named("partner"), key("$ref{nobody}")).await.unwrap_err();
    assert_eq!(refused.code(), "secret_unknown");
    let partner = Some(partner(&node).await);
    for value in [VALUE, OTHER, "xan-app-secret-of-somebody"] {
        assert_eq!(node.holder(value), partner, "{value}");
    }
}
