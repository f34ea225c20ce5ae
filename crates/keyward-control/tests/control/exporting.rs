//! What is exported reads back as what is there.

use keyward_model::*;

use crate::node::*;

#[tokio::test]
async fn applying_an_export_changes_nothing() {
    let node = Node::with(SHOP).await;
    node.apply(
        r#"
accounts: [{name: partner, description: theirs}]
gateways: [{name: edge, trusted_proxies: [10.0.0.0/8]}]
applications:
  - {name: theirs, account: partner, enabled: false, extension: "tier=gold", description: d}
consumers:
  - name: tokens
    tags: {a: b}
    jwt:
      jwks: '{"keys":[{"kty":"oct","kid":"k1","alg":"HS256","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}'
      issuer: https://issuer.example
      audiences: [orders]
      claims_to_headers: [{claim: team, header: X-Team}]
      token: {in: cookie, name: session, prefix: ""}
      identity_claim: {name: sub, value: tokens}
      valid_until: 2027-01-01T00:00:00Z
grants:
  - {to: {application: theirs, account: partner}, api: orders, stages: [RELEASE, TEST], gateways: [default],
     operations: [{method: GET, path: "/{id}"}], valid_from: 2026-01-01T00:00:00Z, valid_until: 2027-01-01T00:00:00Z}
"#,
    )
    .await
    .unwrap();
    let before = node.revision();
    let exported = node.control.export(&OPERATOR, Vec::new()).await.unwrap();
    let text = keyward_api::write_yaml(&exported).unwrap();
    assert!(!text.contains("canary") && !text.contains("MDEyMzQ1"), "{text}");
    let read = keyward_api::WorldFile::parse(&text, &|_| None);
    let read = read.unwrap_or_else(|problems| panic!("{problems:?}\n{text}")).world;
    let options = keyward_control::ApplyOptions { prune: true, dry_run: false };
    let applied = node.control.apply(&OPERATOR, read, options).await.unwrap();
    assert_eq!(words(&applied.created), Vec::<String>::new(), "{text}");
    assert_eq!(words(&applied.changed), Vec::<String>::new(), "{text}");
    assert_eq!(words(&applied.removed), Vec::<String>::new(), "{text}");
    assert_eq!(applied.revision.number, before);
}

/// Keys that only verify are part of what is described, so an export is enough to describe it anew elsewhere.
#[tokio::test]
async fn public_keys_are_exported_and_apply_to_a_fresh_node() {
    let node = Node::with(
        r#"
consumers:
  - name: tokens
    jwt:
      jwks: '{"keys":[{"kty":"EC","crv":"P-256","kid":"e1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}'
      identity_claim: {name: sub, value: tokens}
"#,
    )
    .await;
    let exported = node.control.export(&OPERATOR, Vec::new()).await.unwrap();
    let text = keyward_api::write_yaml(&exported).unwrap();
    assert!(text.contains("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"), "{text}");
    for target in [&node, &Node::with("").await] {
        let read = keyward_api::WorldFile::parse(&text, &|_| None).unwrap().world;
        target.control.apply(&OPERATOR, read, keyward_control::ApplyOptions::default()).await.unwrap();
        let again = target.control.export(&OPERATOR, Vec::new()).await.unwrap();
        assert_eq!(keyward_api::write_yaml(&again).unwrap(), text);
    }
}

#[tokio::test]
async fn one_account_can_be_exported_and_a_wrong_one_is_named() {
    let node =
        Node::with("accounts: [{name: partner}]\napplications: [{name: a}, {name: b, account: partner}]")
            .await;
    let exported = node.control.export(&OPERATOR, vec![name("partner")]).await.unwrap();
    let names: Vec<&str> = exported.applications.iter().map(|entry| entry.value.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    assert_eq!(exported.accounts.len(), 1);
    assert!(exported.nouns.contains(&Noun::Application) && !exported.nouns.contains(&Noun::Api));
    let error = node.control.export(&OPERATOR, vec![name("nobody")]).await.unwrap_err();
    assert_eq!(error.kind().status(), 404);
}
