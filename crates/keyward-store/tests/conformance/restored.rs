//! A PostgreSQL database that a dump was put back into becomes a store of its own, which the nodes of the old one do not follow.

use keyward_model::*;
use keyward_store::*;
use keyward_testkit::postgres::Postgres;

use crate::world::*;

#[tokio::test]
async fn a_database_that_was_put_back_becomes_another_store_and_old_nodes_do_not_follow() {
    let place = Folder::new(On::Postgres);
    let store = place.open().await;
    put(&store, &everything(&store)).await;
    let mark = store.reader().await.unwrap().reads().mark().await.unwrap();
    let key = place.path().join("master.key");
    let options = |folder: &std::path::Path, key: &std::path::Path| StoreOptions {
        data_dir: folder.to_owned(),
        url: place.options().url,
        master_key_file: Some(key.to_owned()),
    };
    let other = Folder::new(On::Sqlite);
    other.open().await.close().await;
    let root = tempfile::tempdir().unwrap();
    let wrong = options(&root.path().join("wrong"), &other.path().join("master.key"));
    let error = restore_database(wrong, true, at(5_000)).await.unwrap_err();
    assert!(matches!(error, BackupError::Store(StoreError::MasterKeyWrong(_))), "{error}");
    let error = restore_database(place.options(), false, at(5_000)).await.unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");

    let fresh = options(&root.path().join("fresh"), &key);
    let error = restore_database(fresh.clone(), false, at(5_000)).await.unwrap_err();
    assert!(matches!(error, BackupError::InUse(1..)), "a store that is open is not cut off unasked: {error}");
    let restored = restore_database(fresh.clone(), true, at(5_000)).await.unwrap();
    assert_eq!((restored.from, restored.from_revision), (store.id(), mark.revision));
    assert_eq!((restored.revision, restored.audit.entries), (1_000_000_000, 2));
    // Whoever has the old one open writes nothing into the new one.
    assert_eq!(store.write().await.unwrap_err(), StoreError::AnotherStore);
    let watched = store.watch().await.unwrap().unwrap().look().await;
    assert_eq!(watched.unwrap_err(), StoreError::AnotherStore);

    std::fs::remove_dir_all(root.path().join("fresh")).unwrap();
    let again = Store::open(fresh).await.unwrap();
    assert_eq!(again.id(), restored.store);
    let (records, bad) = load(&again).await;
    assert_eq!((records.len(), bad), (everything(&again).len(), vec![]), "every secret opens");
    let entry = again.reader().await.unwrap().reads().audit_after(1, 10).await.unwrap().remove(0);
    assert_eq!((entry.action.as_str(), entry.noun.as_str()), ("store.restore", "store"));
    assert!(entry.detail.contains(&store.id().to_string()), "{}", entry.detail);
}

#[tokio::test]
async fn an_empty_database_is_no_backup() {
    let root = tempfile::tempdir().unwrap();
    let key = Folder::new(On::Sqlite);
    key.open().await.close().await;
    let database = Postgres::shared().database();
    let options = StoreOptions {
        data_dir: root.path().join("data"),
        url: Some(Plaintext::new(&*database.url())),
        master_key_file: Some(key.path().join("master.key")),
    };
    let error = restore_database(options, false, at(1)).await.unwrap_err().to_string();
    assert!(error.contains("no store in this database"), "{error}");
}

/// A node's copy says how far the store had come. One that is behind it, an older file put in its place, is not opened as if nothing were.
#[tokio::test]
async fn an_older_file_put_in_place_of_the_store_is_refused() {
    let place = Folder::new(On::Sqlite);
    let store = place.open().await;
    put(&store, &everything(&store)).await;
    store.resume_copy().await.unwrap();
    let bases = || {
        let files = std::fs::read_dir(place.path().join("copy")).unwrap().flatten();
        files.filter(|file| file.file_name().to_string_lossy().starts_with("base-")).count()
    };
    keyward_testkit::gateway::until(|| (bases() == 1).then_some(())).await.expect("a copy");
    let file = place.path().join("older.db");
    backup(&place.path(), &file).await.unwrap();
    put(&store, &[Record::Account(account(77))]).await;
    store.resume_copy().await.unwrap();
    store.close().await;
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(place.path().join(format!("keyward.db{ending}")));
    }
    std::fs::rename(&file, place.path().join("keyward.db")).unwrap();
    let store = place.open().await;
    let error = store.resume_copy().await.unwrap_err();
    assert!(
        matches!(error, StoreError::WentBack { .. }) && error.to_string().contains("keyward restore"),
        "{error}"
    );
}
