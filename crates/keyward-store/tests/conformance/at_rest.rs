//! What a thief of the data folder without the master key finds: nothing, and nothing to swap.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use keyward_model::*;
use keyward_store::*;

use crate::world::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file of the folder but the master key.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_none_or(|extension| extension != "key"))
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect()
}

fn assert_absent(place: &Folder, secret: &str) {
    let hash = digest(&SHA256, secret.as_bytes());
    let hash = hash.as_ref();
    let base64 = base64::engine::general_purpose::STANDARD;
    let traces = [
        secret.as_bytes().to_vec(),
        secret.as_bytes().iter().rev().copied().collect(),
        base64.encode(secret).into_bytes(),
        hex(secret.as_bytes()).into_bytes(),
        hash.to_vec(),
        hex(hash).into_bytes(),
        base64.encode(hash).into_bytes(),
        // A recognisable part of it, cut where a page or a record might cut.
        secret.as_bytes()[4..14].to_vec(),
    ];
    let mut places = files(&place.path());
    places.extend(
        place.database.as_ref().map(|database| ("the database".to_owned(), database.dump().into_bytes())),
    );
    for (file, bytes) in places {
        for trace in &traces {
            let found = bytes.windows(trace.len()).any(|window| window == trace.as_slice());
            assert!(!found, "a trace of `{secret}` is in {file}");
        }
    }
}

async fn secrets_are_nowhere_in_the_files_key_008(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let jwks = records.iter().find_map(|record| match record {
        Record::Credential(CredentialRecord { sealing: Sealing::Set(text), credential, .. })
            if credential.proof.kind() == "jwt" =>
        {
            Some(text.plain().unwrap().expose_secret().to_owned())
        }
        _ => None,
    });
    let jwks: serde_json::Value = serde_json::from_str(&jwks.unwrap()).unwrap();
    let symmetric = jwks["keys"][0]["k"].as_str().unwrap().to_owned();
    for secret in [API_KEY, APP_SECRET, APP_CODE, SERVICE_SECRET, PLUGIN_KEY, &symmetric] {
        // While the log is not yet folded into the file, and after.
        assert_absent(&place, secret);
    }
    store.close().await;
    for secret in [API_KEY, APP_SECRET, APP_CODE, SERVICE_SECRET, PLUGIN_KEY, &symmetric] {
        assert_absent(&place, secret);
    }
}

async fn files_are_for_their_owner_alone(on: On) {
    use std::os::unix::fs::PermissionsExt;
    let place = Folder::new(on);
    let store = place.open().await;
    put(&store, &everything(&store)).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path()), 0o700);
    for (file, _) in files(&place.path()) {
        if file.contains("keyward.db") {
            assert_eq!(mode(Path::new(&file)), 0o600, "{file}");
        }
    }
    assert_eq!(mode(&place.path().join("master.key")), 0o600);
}

async fn a_sealed_value_in_another_row_does_not_open(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let mut records = everything(&store);
    let Record::Account(account) = &records[0] else { panic!() };
    let other = caller(50, account, CallerKind::Application);
    records.push(Record::Caller(other.clone()));
    records.push(key_pair(60, &other, "other", "another-secret"));
    put(&store, &records).await;
    store.close().await;
    drop(store);
    // The thief knows one secret, and puts it in the place of another.
    place
        .meddle("UPDATE credentials SET sealed = (SELECT sealed FROM credentials WHERE app_key = 'other') WHERE app_key = '203753385'")
        .await;
    let store = place.open().await;
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let row = reads.credential_by_app_key(&"203753385".parse().unwrap()).await.unwrap().unwrap().object;
    assert!(matches!(reads.open(&row), Err(StoreError::Damaged(_))));
    assert!(matches!(reads.reveal(&row), Err(StoreError::Damaged(_))));
}

async fn an_older_value_does_not_open_in_place_of_a_newer_secret_004(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let account = account(1);
    let application = caller(5, &account, CallerKind::Application);
    put(
        &store,
        &[
            Record::Account(account),
            Record::Caller(application.clone()),
            key_pair(10, &application, "k", "the-old-secret"),
        ],
    )
    .await;
    place.meddle("CREATE TABLE loot AS SELECT sealed FROM credentials").await;
    put(&store, &[key_pair(10, &application, "k", "the-new-secret")]).await;
    place.meddle("UPDATE credentials SET sealed = (SELECT sealed FROM loot)").await;
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let row = reads.credential_by_app_key(&"k".parse().unwrap()).await.unwrap().unwrap().object;
    assert!(matches!(reads.open(&row), Err(StoreError::Damaged(_))));
}

async fn a_value_is_revealed_as_it_was_put_until_its_account_says_no(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let digest = store.digest(API_KEY);
    {
        let mut reader = store.reader().await.unwrap();
        let mut reads = reader.reads();
        let row = reads.credential_by_digest(&digest).await.unwrap().unwrap().object;
        assert_eq!(reads.reveal(&row).unwrap(), Some(Plaintext::new(API_KEY)));
    }
    let Record::Account(account) = records[0].clone() else { panic!() };
    put(&store, &[Record::Account(Account { reveal: false, ..account })]).await;
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let row = reads.credential_by_digest(&digest).await.unwrap().unwrap().object;
    assert_eq!(reads.reveal(&row).unwrap(), None, "only the digest is kept");
    let pair = reads.credential_by_app_key(&"203753385".parse().unwrap()).await.unwrap().unwrap().object;
    assert!(reads.open(&pair).is_ok(), "what decisions need is kept");
}

async fn without_its_master_key_a_store_stays_shut_and_untouched(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    put(&store, &everything(&store)).await;
    store.close().await;
    drop(store);
    let key = place.path().join("master.key");
    let saved = std::fs::read(&key).unwrap();
    let content = || match &place.database {
        Some(database) => database.dump().into_bytes(),
        None => std::fs::read(place.path().join("keyward.db")).unwrap(),
    };
    let before = content();

    std::fs::remove_file(&key).unwrap();
    let error = Store::open(place.options()).await.unwrap_err();
    assert!(matches!(error, StoreError::MasterKeyMissing(_)), "{error}");
    assert!(!key.exists(), "no new key is made for a store that has one");

    let elsewhere = Folder::new(on);
    elsewhere.open().await;
    std::fs::copy(elsewhere.path().join("master.key"), &key).unwrap();
    let error = Store::open(place.options()).await.unwrap_err();
    assert!(matches!(error, StoreError::MasterKeyWrong(_)), "{error}");
    assert!(content() == before, "nothing was changed");

    std::fs::write(&key, saved).unwrap();
    assert_eq!(load(&place.open().await).await.1, []);
}

async fn a_master_key_can_be_kept_elsewhere(on: On) {
    let place = Folder::new(on);
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("given.key");
    let options = StoreOptions { master_key_file: Some(file.clone()), ..place.options() };
    let store = Store::open(options.clone()).await.unwrap();
    put(&store, &everything(&store)).await;
    assert!(file.exists() && !place.path().join("master.key").exists());
    store.close().await;
    drop(store);
    assert_eq!(load(&Store::open(options).await.unwrap()).await.1, []);
}

async fn a_new_master_key_version_seals_what_is_new_and_the_old_one_opens_what_is_old(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    put(&store, &[Record::Account(account(1)), Record::Service(service(3, &account(1)))]).await;
    store.close().await;
    drop(store);
    let key = place.path().join("master.key");
    let more = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let text = std::fs::read_to_string(&key).unwrap() + &format!("seal 2 {more}\n");
    std::fs::write(&key, text).unwrap();
    let store = place.open().await;
    put(&store, &[Record::Account(account(2)), Record::Service(service(4, &account(2)))]).await;
    let (loaded, bad) = load(&store).await;
    assert_eq!((loaded.len(), bad.len()), (4, 0));
}

on_both! {
    secrets_are_nowhere_in_the_files_key_008,
    files_are_for_their_owner_alone,
    a_sealed_value_in_another_row_does_not_open,
    an_older_value_does_not_open_in_place_of_a_newer_secret_004,
    a_value_is_revealed_as_it_was_put_until_its_account_says_no,
    without_its_master_key_a_store_stays_shut_and_untouched,
    a_master_key_can_be_kept_elsewhere,
    a_new_master_key_version_seals_what_is_new_and_the_old_one_opens_what_is_old,
}
