//! Who refers to a secret is known in the transaction that makes it so; values are bound to their version.

use keyward_model::*;
use keyward_store::*;

use crate::world::*;

fn row(noun: &str, object: impl ToString, field: &str) -> ReferenceRow {
    ReferenceRow { noun: noun.to_owned(), object: object.to_string(), field: field.to_owned() }
}

async fn references(store: &Store, id: SecretId) -> Vec<ReferenceRow> {
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let all = reads.references_to(id, None, 100).await.unwrap();
    assert_eq!(reads.count_references(id).await.unwrap(), all.len() as u64);
    let mut paged = Vec::new();
    while let Some(next) = reads.references_to(id, paged.last(), 1).await.unwrap().pop() {
        paged.push(next);
    }
    assert_eq!(paged, all, "page by page");
    all
}

async fn references_follow_what_is_written(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let find = |noun: &str, n: u128| {
        let is = |record: &&Record| {
            record.id().noun() == noun && record.id().to_string().ends_with(&format!("{n:x}"))
        };
        records.iter().find(is).unwrap().clone()
    };
    let (Record::Secret(first), Record::Secret(second)) = (find("secret", 8), find("secret", 9)) else {
        panic!()
    };
    let (key, service) = (find("credential", 17), find("service", 16));
    let of_key = row("credential", key.id(), "value");
    let of_service = row("service", service.id(), "auth.header.value");
    let of_plugin = row("plugin", find("plugin", 18).id(), "config.credentials[0]");
    assert_eq!(references(&store, first.id).await, [of_key.clone(), of_plugin.clone(), of_service.clone()]);
    assert_eq!(references(&store, second.id).await, std::slice::from_ref(&of_key));

    let Record::Service(mut kept) = service.clone() else { panic!() };
    let Some(ServiceAuth::Header { value, .. }) = &mut kept.spec.service_auth else { panic!() };
    let text = value.take();
    put(&store, &[Record::Service(kept.clone())]).await;
    assert_eq!(
        references(&store, first.id).await,
        [of_key.clone(), of_plugin.clone(), of_service],
        "a value that is kept refers on"
    );
    let found = store.reader().await.unwrap().reads().service(kept.id).await.unwrap().unwrap().object;
    let Some(ServiceAuth::Header { value, .. }) = found.spec.service_auth else { panic!() };
    assert_eq!(value, text);

    kept.spec.service_auth = None;
    put(&store, &[Record::Service(kept)]).await;
    assert_eq!(references(&store, first.id).await, [of_key, of_plugin.clone()]);

    let mut tx = store.write().await.unwrap();
    tx.begin_change(at(2_000), "test").await.unwrap();
    tx.delete(&key.id()).await.unwrap();
    tx.end_change(Vec::new()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(references(&store, first.id).await, [of_plugin]);
}

async fn what_is_referred_to_cannot_go_and_what_is_not_there_cannot_be_referred_to(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let account = account(1);
    let id = secret(8, &account).id;
    let mut tx = store.write().await.unwrap();
    tx.begin_change(at(2_000), "test").await.unwrap();
    let refused = tx.delete(&RecordId::Secret(id)).await;
    assert!(matches!(refused, Err(StoreError::Contradiction(_))), "{refused:?}");
    tx.abandon_change().await.unwrap();
    tx.begin_change(at(2_000), "test").await.unwrap();
    let consumer = caller(6, &account, CallerKind::Consumer);
    let refused = tx.put(&referring_key(18, &consumer, "$ref{nobody}")).await;
    assert!(matches!(refused, Err(StoreError::Contradiction(_))), "{refused:?}");
    tx.abandon_change().await.unwrap();
}

async fn an_older_value_does_not_open_in_place_of_a_newer_secret_004(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    put(&store, &everything(&store)).await;
    let secret = secret(8, &account(1));
    // A thief of old backups puts the value before back as the current one.
    let id = secret.id;
    place.meddle(&format!("UPDATE secrets SET value = previous WHERE id = '{id}'")).await;
    let (_, bad) = load(&store).await;
    assert_eq!(
        bad.iter().map(|row| (row.noun, row.id.clone())).collect::<Vec<_>>(),
        [("secret", id.to_string())]
    );
    assert!(matches!(store.reader().await.unwrap().reads().secret(id).await, Err(StoreError::Damaged(_))));
}

async fn uses_are_kept_by_version_and_move_with_it(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    put(&store, &everything(&store)).await;
    let mut secret = secret(8, &account(1));
    let used = async |expected: SecretUse| {
        let found = store.reader().await.unwrap().reads().secret_use(secret.id).await.unwrap();
        assert_eq!(found, expected);
    };
    let uses = [(3, 50), (2, 40), (3, 45), (1, 99)];
    let secrets = uses.map(|(version, when)| (secret.id, version, at(when))).into();
    store.write_usage(UsageBatch { secrets, ..UsageBatch::default() }).await.unwrap();
    used(SecretUse { current: Some(at(50)), previous: Some(at(40)) }).await;
    secret.version = 4;
    secret.spec.previous =
        Some(PreviousValue { version: 3, value: Some(Plaintext::new(SECRET_VALUE)), until: at(9_000) });
    secret.spec.source = SecretSource::Stored(Some(Plaintext::new("another")));
    put(&store, &[Record::Secret(Box::new(secret.clone()))]).await;
    let found = store.reader().await.unwrap().reads().secret_use(secret.id).await.unwrap();
    assert_eq!(found, SecretUse { current: None, previous: Some(at(50)) });
}

on_both! {
    references_follow_what_is_written,
    what_is_referred_to_cannot_go_and_what_is_not_there_cannot_be_referred_to,
    an_older_value_does_not_open_in_place_of_a_newer_secret_004,
    uses_are_kept_by_version_and_move_with_it,
}
