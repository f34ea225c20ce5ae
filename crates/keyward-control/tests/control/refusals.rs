//! What is refused, with the place, the reason, and nothing changed.

use keyward_control::{ApplyOptions, ErrorKind};
use keyward_model::*;

use crate::node::*;

/// Applies this after the shop; expects exactly these problems, and that nothing changed.
async fn refused(text: &str, expected: &[(&str, &str)]) {
    let node = Node::with(SHOP).await;
    let before = node.revision();
    let error = node.apply(text).await.expect_err(text);
    let expected: Vec<_> = expected.iter().map(|(path, code)| ((*path).to_owned(), *code)).collect();
    let found: Vec<_> = problems(&error);
    assert_eq!(found, expected, "{text}\n{error}");
    assert_eq!(node.revision(), before);
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn a_value_belongs_to_one_caller() {
    refused(
        r#"
applications:
  - {name: other, key_pairs: [{app_key: SECOND-KEY, app_secret: another-secret-0001, scheme: alibaba}]}
  - {name: third, app_codes: ["canary-api-key-0001"]}
consumers:
  - {name: twin, api_key: {sources: [bearer], keys: ["canary-app-code-0001", "a-fresh-key-000001"]}}
  - {name: again, api_key: {sources: [bearer], keys: ["a-fresh-key-000001"]}}
  - {name: claim, jwt: {symmetric: true, identity_claim: {name: uid, value: analytics}}}
"#,
        &[
            ("applications[0].key_pairs[0].app_key", "app_key_taken"),
            ("applications[1].app_codes[0]", "value_taken"),
            ("consumers[0].api_key.keys[0]", "value_taken"),
            ("consumers[1].api_key.keys[0]", "value_taken"),
            ("consumers[2].jwt.identity_claim", "identity_claim_taken"),
        ],
    )
    .await;
}

/// Applies a world that no file could say, because the file's reader refuses it: edits come this way too.
async fn refused_world(world: World, expected: &[(&str, &str)]) {
    let node = Node::new().await;
    let error = node.control.apply(&OPERATOR, world, ApplyOptions::default()).await.unwrap_err();
    let expected: Vec<_> = expected.iter().map(|(path, code)| ((*path).to_owned(), *code)).collect();
    assert_eq!(problems(&error), expected, "{error}");
    assert_eq!(node.revision(), 1);
}

fn opaque(value: &str) -> OpaqueSpec {
    OpaqueSpec { value: Some(Plaintext::new(value).into()), enabled: true, valid_until: None }
}

#[tokio::test]
async fn values_have_their_form() {
    let mut wrong = world(
        r#"
applications:
  - name: a
    key_pairs: [{app_key: k1, app_secret: placeholder, scheme: alibaba}]
consumers:
  - {name: c, api_key: {sources: [bearer]}}
"#,
    );
    let application = &mut wrong.applications[0].value;
    application.extension = Some("höher".to_owned());
    application.key_pairs.as_mut().unwrap()[0].app_secret = Some(Plaintext::new("with a blank").into());
    application.app_codes =
        vec![opaque("short"), opaque("twice-the-same-code"), opaque("twice-the-same-code")];
    wrong.consumers[0].value.api_key.as_mut().unwrap().keys = Some(vec![opaque("only-15-letters")]);
    refused_world(
        wrong,
        &[
            ("applications[0].extension", "extension_malformed"),
            ("applications[0].app_codes[2]", "duplicate"),
            ("applications[0].key_pairs[0].app_secret", "secret_malformed"),
            ("applications[0].app_codes[0]", "value_malformed"),
            ("applications[0].app_codes[2]", "value_taken"),
            ("consumers[0].api_key.keys[0]", "value_malformed"),
        ],
    )
    .await;
}

#[tokio::test]
async fn places_that_belong_to_others_cannot_hold_keys_or_carry_claims() {
    let mut wrong = world(
        r#"
services:
  - {name: s, endpoints: ["http://127.0.0.1:9000"], auth: {header: {name: X-Key, value: some-value}}}
consumers:
  - name: c
    api_key: {sources: [bearer]}
    jwt: {symmetric: true}
"#,
    );
    let header = |text: &str| text.parse::<HeaderName>().unwrap();
    wrong.services[0].value.service_auth =
        Some(ServiceAuth::Header { name: header("Host"), value: Some(Plaintext::new("some-value").into()) });
    let consumer = &mut wrong.consumers[0].value;
    consumer.api_key.as_mut().unwrap().sources = vec![
        KeySource::Header(header("X-Keyward-Account")),
        KeySource::Header(header("content-type")),
        KeySource::Query("a b".into()),
        KeySource::Bearer,
    ];
    let claims = ["Authorization", "x-ca-key", "X_Keyward_Account", "X-Ok"];
    consumer.jwt.as_mut().unwrap().settings.claims_to_headers =
        claims.map(|text| ClaimToHeader { claim: "a".into(), header: header(text) }).into();
    refused_world(
        wrong,
        &[
            ("services[0].auth.header.name", "header_reserved"),
            ("consumers[0].api_key.sources", "sources_count"),
            ("consumers[0].api_key.sources[0]", "header_reserved"),
            ("consumers[0].api_key.sources[1]", "header_reserved"),
            ("consumers[0].api_key.sources[2]", "parameter_malformed"),
            ("consumers[0].jwt.claims_to_headers[0]", "header_reserved"),
            ("consumers[0].jwt.claims_to_headers[1]", "header_reserved"),
            ("consumers[0].jwt.claims_to_headers[2]", "header_reserved"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_named_must_exist() {
    refused(
        r#"
apis:
  - {name: a, kind: rest, gateways: [nowhere], base_path: /a, admits: [jwt], stages: {RELEASE: {service: nothing}}}
applications: [{name: x, account: nobody}]
groups: [{name: g, members: [{consumer: nobody}, {application: shop}]}]
grants:
  - {to: {application: nobody}, api: orders}
  - {to: {application: shop}, api: nothing}
  - {to: {group: nobody}, api: orders}
"#,
        &[
            ("apis[0].gateways[0]", "gateway_unknown"),
            ("apis[0].stages.RELEASE.service", "service_unknown"),
            ("applications[0].account", "account_unknown"),
            ("groups[0].members[0]", "member_unknown"),
            ("grants[0].to", "grantee_unknown"),
            ("grants[1].api", "api_unknown"),
            ("grants[2].to", "grantee_unknown"),
        ],
    )
    .await;
}

#[tokio::test]
async fn members_and_groups_do_not_cross_accounts() {
    refused(
        r#"
accounts: [{name: partner}]
applications: [{name: theirs, account: partner}]
groups: [{name: g, account: partner, members: [{application: shop}]}]
grants: [{to: {group: staff}, api: orders, account: partner}]
"#,
        &[
            ("groups[0].members[0]", "member_unknown"),
            ("grants[0].to", "grantee_unknown"),
            ("grants[0].api", "api_unknown"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_grant_is_for_what_the_api_has_where_it_is_published() {
    refused(
        r#"
gateways: [{name: edge}]
grants:
  - {to: {application: shop}, api: orders, gateways: [default, edge]}
  - {to: {application: shop}, api: orders, operations: [{method: GET, path: "/{id}"}, {method: DELETE, path: "/{id}"}]}
  - {to: {application: shop}, api: orders, operations: [{path: "/{id}"}]}
"#,
        &[
            ("grants[0].gateways", "gateway_not_published"),
            ("grants[1].operations[1]", "operation_unknown"),
            ("grants[2].operations[0]", "operation_unknown"),
        ],
    )
    .await;
    // Narrower than one of the API's is allowed.
    let node = Node::with(SHOP).await;
    let text = "grants: [{to: {application: shop}, api: orders, operations: [{method: GET, path: /42}]}]";
    assert_eq!(node.apply(text).await.unwrap().created.len(), 1);
}

#[tokio::test]
async fn the_nodes_own_listeners_are_no_endpoints() {
    refused(
        r#"
services:
  - {name: loop, endpoints: ["http://127.0.0.1:9000", "http://localhost:8080", "http://[::1]:8080/x"]}
"#,
        &[
            ("services[0].endpoints[1]", "endpoint_own_listener"),
            ("services[0].endpoints[2]", "endpoint_own_listener"),
        ],
    )
    .await;
    let node = Node::new().await;
    node.control.add_own_listeners(&["127.0.0.1:4711".parse().unwrap()]);
    let text = r#"services: [{name: loop, endpoints: ["http://127.0.0.1:4711"]}]"#;
    assert_eq!(node.apply(text).await.unwrap_err().code(), "endpoint_own_listener");
}

#[tokio::test]
async fn names_that_look_like_ids_and_doubled_entries_are_refused_grant_009() {
    refused(
        r#"
applications:
  - {name: app_018f0000000070008000000000000abc}
  - {name: twin}
  - {name: twin}
"#,
        &[("applications[0].name", "name_like_id"), ("applications[2]", "duplicate")],
    )
    .await;
    refused(
        r#"
services: [{name: loose, endpoints: ["http://127.0.0.1:9"], auth: {header: {name: x-key}}}]
apis:
  - {name: loose, base_path: /loose, admits: [api_key], stages: {RELEASE: {service: loose}}}
consumers: [{name: keyless, jwt: {}}]
groups: [{name: half, members: [keyless]}]
grants:
  - {to: {consumer: keyless}, api: loose}
  - {to: {group: half}, api: loose}
  - {to: {consumer: nobody}, api: loose}
"#,
        &[
            ("services[0].auth.header.value", "secret_missing"),
            ("consumers[0].jwt.jwks", "secret_missing"),
            ("grants[2].to", "grantee_unknown"),
        ],
    )
    .await;
    let thrice = "applications: [{name: twin}, {name: twin}, {name: twin}]";
    let error = Node::new().await.apply(thrice).await.unwrap_err().to_string();
    assert_eq!(error.matches("first at `applications[0]`").count(), 2, "{error}");
}

#[tokio::test]
async fn two_apis_that_answer_to_the_same_requests_are_refused_at_their_place() {
    let node = Node::with(SHOP).await;
    let before = node.revision();
    let error = node
        .apply(
            r#"
apis:
  - {name: twin, kind: rest, hosts: ["API.example.com"], base_path: /orders/, admits: [jwt], stages: {RELEASE: {service: orders}}}
"#,
        )
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Conflict, "apis[0]"), "{error}");
    assert_eq!(node.revision(), before);
    assert!(node.control.apis().get(&OPERATOR, named("twin")).await.is_err());
}

#[tokio::test]
async fn a_world_that_names_what_is_not_there_is_wrong_itself() {
    let node = Node::new().await;
    let error = node.apply("grants: [{to: {group: g}, api: a}]").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.problems().len(), 2, "{error}");
    let place = &error.problems()[0].place;
    assert_eq!((place.line, place.path.as_str()), (2, "grants[0].to"));
}

#[tokio::test]
async fn weak_secrets_are_taken_with_a_warning() {
    let node = Node::new().await;
    let applied = node
        .apply(
            r#"
applications:
  - {name: a, key_pairs: [{app_key: k, app_secret: weak, scheme: tencent, valid_until: 2020-01-01T00:00:00Z}]}
"#,
        )
        .await
        .unwrap();
    let codes: Vec<_> =
        applied.warnings.iter().map(|warning| (warning.code, warning.place.path.as_str())).collect();
    assert_eq!(
        codes,
        [
            ("weak_secret", "applications[0].key_pairs[0].app_secret"),
            ("already_ended", "applications[0].key_pairs[0].valid_until")
        ]
    );
}

#[tokio::test]
async fn a_star_that_other_gateways_take_for_any_path_is_taken_with_a_warning() {
    let node = Node::new().await;
    let operations = "operations: [{path: /}, {path: '/a/*'}, {path: '/a*'}]";
    let stages = "stages: {RELEASE: {service: s}}";
    let world = format!(
        "services: [{{name: s, endpoints: ['http://127.0.0.1:9']}}]\napis: [{{name: a, base_path: /a, admits: [jwt], {stages}, {operations}}}]"
    );
    let applied = node.apply(&world).await.unwrap();
    let warned: Vec<_> =
        applied.warnings.iter().map(|warning| (warning.code, warning.place.path.as_str())).collect();
    assert_eq!(warned, [("star_is_literal", "apis[0].operations[1].path")]);
}

#[tokio::test]
async fn a_point_that_is_not_on_its_curve_is_refused_before_it_is_kept_jwk_008() {
    let node = Node::new().await;
    let off = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
    let keys = format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k","x":"{off}","y":"{off}"}}]}}"#);
    let error =
        node.apply(&format!("consumers:\n  - {{name: c, jwt: {{jwks: '{keys}'}}}}")).await.unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Invalid, "consumers[0]"), "{error}");
    assert_eq!(node.revision(), 1);
    assert!(node.control.consumers().get(&OPERATOR, named("c")).await.is_err());
}
