//! Credentials: added, reset, limited, deleted, shown again.

use keyward_control::{CredentialChange, CredentialView, ErrorKind};
use keyward_model::*;

use crate::node::*;

async fn shop(node: &Node) -> Vec<CredentialView> {
    node.control.applications().get(&OPERATOR, named("shop")).await.unwrap().credentials
}

async fn analytics(node: &Node) -> Vec<CredentialView> {
    node.control.consumers().get(&OPERATOR, named("analytics")).await.unwrap().credentials
}

fn of_kind<'c>(credentials: &'c [CredentialView], kind: &str) -> Vec<&'c CredentialView> {
    credentials.iter().filter(|credential| credential.kind == kind).collect()
}

fn opaque(value: Option<&str>) -> OpaqueSpec {
    OpaqueSpec { value: value.map(|value| Plaintext::new(value).into()), enabled: true, valid_until: None }
}

fn pair(app_key: Option<&str>, secret: Option<&str>) -> KeyPairSpec {
    KeyPairSpec {
        app_key: app_key.map(|text| text.parse().unwrap()),
        app_secret: secret.map(|secret| Plaintext::new(secret).into()),
        scheme: SignatureScheme::Alibaba,
        enabled: true,
        valid_until: None,
    }
}

#[tokio::test]
async fn credentials_are_added_one_by_one_and_the_others_stay() {
    let node = Node::with(SHOP).await;
    let applications = node.control.applications();
    let made = applications.add_key_pair(&OPERATOR, named("shop"), pair(None, None)).await.unwrap();
    let minted = &made.minted[0];
    assert_eq!(minted.credential, made.object.id);
    assert_eq!(minted.label.as_deref(), made.object.app_key.as_ref().map(AppKey::as_str));
    assert!(!made.object.is_default);
    let code = applications.add_app_code(&OPERATOR, named("shop"), opaque(None)).await.unwrap();
    let value = code.minted[0].value.as_ref().unwrap().expose_secret();
    assert!(value.starts_with("kw_code_") && node.holder(value).is_some());
    assert!(code.object.hint.as_ref().unwrap().starts_with("kw_code_…"));

    let consumers = node.control.consumers();
    let key = opaque(Some("a-custom-api-key-1"));
    let made = consumers.add_api_key(&OPERATOR, named("analytics"), key).await.unwrap();
    assert!(made.minted.is_empty() && made.object.origin == Origin::Custom);
    let key = consumers.add_api_key(&OPERATOR, named("analytics"), opaque(None)).await.unwrap();
    assert!(key.minted[0].value.as_ref().unwrap().expose_secret().starts_with("kw_key_"));

    for value in ["canary-app-code-0001", "canary-api-key-0001", "canary-api-key-0002", "a-custom-api-key-1"]
    {
        assert!(node.holder(value).is_some(), "{value}");
    }
    assert_eq!((shop(&node).await.len(), analytics(&node).await.len()), (5, 5));
}

#[tokio::test]
async fn what_cannot_be_added_is_said_at_its_field() {
    let node = Node::with(SHOP).await;
    let before = node.revision();
    let applications = node.control.applications();
    for (spec, expected) in [
        (pair(Some("SECOND-key"), Some("a-new-secret-00001")), ("app_key", "app_key_taken")),
        (pair(Some("second-key"), Some("a-new-secret-00001")), ("app_key", "app_key_taken")),
        (pair(Some("fresh"), Some("with blank")), ("app_secret", "secret_malformed")),
    ] {
        let error = applications.add_key_pair(&OPERATOR, named("shop"), spec).await.unwrap_err();
        assert_eq!((error.path(), error.code()), expected, "{error}");
    }
    for (value, expected) in [
        ("short", ("", "value_malformed")),
        ("canary-api-key-0001", ("", "value_taken")),
        ("canary-app-code-0001", ("value", "value_taken")),
    ] {
        let error =
            applications.add_app_code(&OPERATOR, named("shop"), opaque(Some(value))).await.unwrap_err();
        assert_eq!((error.path(), error.code()), expected, "{value}: {error}");
    }
    assert_eq!(node.revision(), before);
}

#[tokio::test]
async fn a_consumer_without_keys_gets_its_first_one_behind_bearer() {
    let node = Node::with("consumers: [{name: c, jwt: {symmetric: true}}]").await;
    let made = node.control.consumers().add_api_key(&OPERATOR, named("c"), opaque(None)).await.unwrap();
    assert_eq!(made.minted.len(), 1);
    let consumer = node.control.consumers().get(&OPERATOR, named("c")).await.unwrap();
    assert_eq!(consumer.spec.api_key.unwrap().sources, [KeySource::Bearer]);
    assert!(consumer.spec.jwt.is_some());
}

#[tokio::test]
async fn a_reset_keeps_the_id_and_ends_the_old_value() {
    let node = Node::with(SHOP).await;
    let credentials = node.control.credentials();
    let keys = analytics(&node).await;
    let key = of_kind(&keys, "api_key")[0].id;
    let reset = credentials.reset(&OPERATOR, key, None).await.unwrap();
    let value = reset.minted[0].value.as_ref().unwrap().expose_secret();
    assert_eq!((reset.object.id, reset.object.origin), (key, Origin::Generated));
    assert!(node.holder("canary-api-key-0001").is_none() && node.holder(value).is_some());

    let all = shop(&node).await;
    let default = of_kind(&all, "key_pair").into_iter().find(|pair| pair.is_default).unwrap().id;
    let reset =
        credentials.reset(&OPERATOR, default, Some(Plaintext::new("given-secret-000001"))).await.unwrap();
    assert_eq!(reset.object.app_key.unwrap().as_str(), "203753385");
    assert_eq!(node.secret_of("203753385").await, "given-secret-000001");

    let code = of_kind(&all, "app_code")[0].id;
    let taken =
        credentials.reset(&OPERATOR, code, Some(Plaintext::new("canary-api-key-0002"))).await.unwrap_err();
    assert_eq!((taken.kind(), taken.code()), (ErrorKind::Conflict, "value_taken"));

    let jwt = of_kind(&keys, "jwt")[0].id;
    let reset = credentials.reset(&OPERATOR, jwt, None).await.unwrap();
    assert_eq!(reset.minted[0].label.as_deref(), Some("uid=analytics"), "the identity stays");
    let set = reset.minted[0].value.as_ref().unwrap().expose_secret();
    assert!(JwkSet::parse(set).is_ok());
    let error = credentials.reset(&OPERATOR, jwt, Some(Plaintext::new("no key set"))).await.unwrap_err();
    assert_eq!((error.path(), error.code()), ("value", "value_malformed"));
}

#[tokio::test]
async fn a_credential_is_disabled_limited_and_given_another_scheme() {
    let node = Node::with(SHOP).await;
    let credentials = node.control.credentials();
    let pair = credentials.find_app_key(&OPERATOR, &"second-key".parse().unwrap()).await.unwrap();
    let until = Timestamp::from_millis(START + 1_000);
    let change = CredentialChange {
        enabled: Some(false),
        valid_until: Some(Some(until)),
        scheme: Some(SignatureScheme::TencentKeyPair),
    };
    let changed = credentials.change(&OPERATOR, pair.id, change).await.unwrap().object;
    assert_eq!((changed.enabled, changed.valid_until), (false, Some(until)));
    assert_eq!(changed.scheme, Some(SignatureScheme::TencentKeyPair));
    let snapshot = node.control.snapshots().load_full();
    let (_, entry) = snapshot.app_key(&"second-key".parse().unwrap()).unwrap();
    assert_eq!((entry.is_enabled(), entry.valid_until()), (false, Some(until)));
    let change = CredentialChange { valid_until: Some(None), ..CredentialChange::default() };
    assert_eq!(credentials.change(&OPERATOR, pair.id, change).await.unwrap().object.valid_until, None);

    let all = shop(&node).await;
    let change = CredentialChange { scheme: Some(SignatureScheme::Alibaba), ..CredentialChange::default() };
    let code = of_kind(&all, "app_code")[0].id;
    assert_eq!(credentials.change(&OPERATOR, code, change).await.unwrap_err().path(), "scheme");
    assert_eq!(node.secret_of("second-key").await, "canary-app-secret-0002");
}

#[tokio::test]
async fn a_credential_is_deleted_unless_it_is_the_default_pair() {
    let node = Node::with(SHOP).await;
    let credentials = node.control.credentials();
    for credential in shop(&node).await {
        let deleted = credentials.delete(&OPERATOR, credential.id).await;
        match credential.is_default {
            true => assert_eq!(deleted.unwrap_err().code(), "default_key_pair"),
            false => assert!(deleted.is_ok()),
        }
    }
    assert_eq!(shop(&node).await.len(), 1);
    assert!(node.holder("canary-app-code-0001").is_none());
    // The value is free again, for a credential with another id (KEY-014).
    let applications = node.control.applications();
    let again = applications.add_app_code(&OPERATOR, named("shop"), opaque(Some("canary-app-code-0001")));
    assert!(again.await.is_ok());
}

#[tokio::test]
async fn a_value_is_shown_again_only_where_allowed_and_never_without_an_audit_entry() {
    let node = Node::with(SHOP).await;
    let control = &node.control;
    let all = shop(&node).await;
    let code = of_kind(&all, "app_code")[0];
    let before = node.revision();
    let shown = control.credentials().reveal(&OPERATOR, code.id).await.unwrap();
    assert_eq!(shown.value.expose_secret(), "canary-app-code-0001");
    assert_eq!(node.revision(), before, "showing changes nothing");
    assert!(!format!("{shown:?}").contains("canary"), "not even by Debug");

    control
        .accounts()
        .change(&OPERATOR, named("default"), |account| {
            account.reveal = false;
            Ok(())
        })
        .await
        .unwrap();
    let refused = control.credentials().reveal(&OPERATOR, code.id).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Forbidden, "not_revealable"));
    assert!(node.holder("canary-app-code-0001").is_some(), "it still opens the door");
    assert!(shop(&node).await.iter().all(|credential| !credential.revealable));
    // What is new is not kept either, and does not come back when the account allows it again.
    let made = control.applications().add_app_code(&OPERATOR, named("shop"), opaque(None)).await.unwrap();
    control
        .accounts()
        .change(&OPERATOR, named("default"), |account| {
            account.reveal = true;
            Ok(())
        })
        .await
        .unwrap();
    assert!(control.credentials().reveal(&OPERATOR, made.object.id).await.is_err());
    assert_eq!(node.secret_of("203753385").await, "canary-app-secret-0001", "an AppSecret had to be kept");

    node.control.close().await;
    let store = keyward_store::Store::open(keyward_store::StoreOptions {
        data_dir: node.data_dir(),
        url: None,
        master_key_file: None,
    })
    .await
    .unwrap();
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let rows = reads.audit_after(0, 1_000).await.unwrap();
    let reveals: Vec<_> = rows.iter().filter(|row| row.touch == "revealed").collect();
    assert_eq!(reveals.len(), 2);
    assert_eq!((reveals[0].actor.as_str(), &reveals[0].object), ("local-token", &code.id.to_string()));
    assert!(rows.iter().all(|row| !row.detail.contains("canary") && !row.detail.contains("kw_code_")
        || row.detail.contains("kw_code_…")));
    assert!(reads.verify_audit().await.is_ok());
}

#[tokio::test]
async fn a_jwt_is_set_changed_and_kept() {
    let node = Node::with(SHOP).await;
    let consumers = node.control.consumers();
    let id = of_kind(&analytics(&node).await, "jwt")[0].id;
    let spec = |keys| JwtSpec {
        keys,
        settings: JwtSettings { issuer: Some("https://issuer.example".into()), ..JwtSettings::default() },
        identity_claim: None,
        enabled: true,
        valid_until: None,
    };
    let kept = consumers.set_jwt(&OPERATOR, named("analytics"), spec(JwtKeySource::Kept)).await.unwrap();
    assert_eq!((kept.object.id, kept.minted.len()), (id, 0));
    assert_eq!(kept.object.identity_claim.unwrap().value.as_ref(), "analytics");
    let same = consumers.set_jwt(&OPERATOR, named("analytics"), spec(JwtKeySource::Kept)).await.unwrap();
    assert_eq!((same.object.id, same.revision), (id, kept.revision));
    let text = r#"{"keys":[{"kty":"oct","kid":"k1","alg":"HS256","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#;
    let given = JwtKeySource::Given(JwkSet::parse(text).unwrap());
    let given = consumers.set_jwt(&OPERATOR, named("analytics"), spec(given)).await.unwrap();
    assert_eq!((given.object.id, given.object.origin), (id, Origin::Custom));
    let shown = node.control.credentials().reveal(&OPERATOR, id).await.unwrap();
    assert_eq!(JwkSet::parse(shown.value.expose_secret()), JwkSet::parse(text));
}

/// Whoever hands over a whole key pair hands over the power to sign: what verifies is kept, the rest is forgotten.
#[tokio::test]
async fn the_private_half_of_a_given_key_is_not_kept() {
    let node = Node::with(SHOP).await;
    let id = of_kind(&analytics(&node).await, "jwt")[0].id;
    let private = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
    let text = format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"e1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"{private}"}}]}}"#
    );
    let reset = node.control.credentials().reset(&OPERATOR, id, Some(Plaintext::new(text))).await.unwrap();
    assert_eq!(reset.object.id, id);
    let shown = node.control.credentials().reveal(&OPERATOR, id).await.unwrap();
    assert!(shown.value.expose_secret().contains("e1") && !shown.value.expose_secret().contains(private));
}
