//! What only a store has that several nodes share.

use std::sync::Arc;

use keyward_model::*;
use keyward_store::*;
use keyward_testkit::postgres::{Database, Postgres};

use crate::world::*;

/// A node's options: a folder of its own, and the master key that it shares with the others.
fn node(root: &std::path::Path, name: &str, database: &Database<'_>) -> StoreOptions {
    StoreOptions {
        data_dir: root.join(name),
        url: Some(Plaintext::new(&*database.url())),
        master_key_file: Some(root.join("shared.key")),
    }
}

#[tokio::test]
async fn nodes_that_start_at_once_on_an_empty_database_make_one_store() {
    let root = tempfile::tempdir().unwrap();
    let key = Folder::new(On::Sqlite);
    key.open().await;
    std::fs::copy(key.path().join("master.key"), root.path().join("shared.key")).unwrap();
    for _ in 0..3 {
        let database = Postgres::shared().database();
        let open = |name| Store::open(node(root.path(), name, &database));
        let (a, b, c, d) = tokio::join!(open("a"), open("b"), open("c"), open("d"));
        let mut ids = std::collections::BTreeSet::new();
        for (n, store) in (1..).zip([a, b, c, d]) {
            let store = store.unwrap();
            ids.insert(store.id());
            assert_eq!(put(&store, &[Record::Account(account(n))]).await, n as u64);
            store.close().await;
        }
        assert_eq!(ids.len(), 1);
    }
}

#[tokio::test]
async fn a_further_node_without_the_master_key_is_told_to_copy_it() {
    let root = tempfile::tempdir().unwrap();
    let database = Postgres::shared().database();
    let _first = Store::open(node(root.path(), "a", &database)).await.unwrap();
    let alone = StoreOptions { master_key_file: None, ..node(root.path(), "b", &database) };
    let error = Store::open(alone.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::MasterKeyMissing(_)), "{error}");
    assert!(error.to_string().contains("copy it from the node"), "{error}");
    assert!(!alone.data_dir.join("master.key").exists());
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_untouched() {
    for on in [On::Sqlite, On::Postgres] {
        let place = Folder::new(on);
        place.open().await.close().await;
        place
            .meddle(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999, 'from the future', TRUE, x'00', 0)",
            )
            .await;
        assert_eq!(Store::open(place.options()).await.unwrap_err(), StoreError::Newer);
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_showing_its_password() {
    let place = Folder::new(On::Sqlite);
    for url in [
        "mysql://u:hunter2@h/d",
        "u:hunter2@h/d",
        "postgres://u:hunter2@h:99999/d",
        "postgres://u:hunter2@[h/d",
    ] {
        let options = StoreOptions { url: Some(Plaintext::new(url)), ..place.options() };
        assert!(!format!("{options:?}").contains("hunter2"));
        let error = Store::open(options).await.unwrap_err();
        assert!(matches!(error, StoreError::Address(_)), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let nobody_there = "postgres://u:hunter2@127.0.0.1:1/d";
    let options = StoreOptions { url: Some(Plaintext::new(nobody_there)), ..place.options() };
    let error = Store::open(options).await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }) && !error.to_string().contains("hunter2"), "{error}");
}

/// Notes settings of the session of every write.
const SPY: &str = "CREATE TABLE spy (name text, value text); CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql \
    AS $$ BEGIN INSERT INTO spy SELECT name, setting FROM pg_settings WHERE name IN ('synchronous_commit', \
    'idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout'); RETURN NEW; END $$; \
    CREATE TRIGGER spy BEFORE UPDATE ON head FOR EACH ROW EXECUTE FUNCTION spy()";

#[tokio::test]
async fn commits_are_synchronous_whatever_the_role_says_and_writes_are_bounded_dur_010() {
    let place = Folder::new(On::Postgres);
    place.open().await.close().await;
    let database = place.database.as_ref().unwrap();
    database.sql(SPY);
    database.sql(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name()));
    let store = place.open().await;
    put(&store, &[Record::Account(account(1))]).await;
    assert_eq!(database.sql("SELECT value FROM spy WHERE name = 'synchronous_commit'"), "on");
    let unbounded = "SELECT count(*) FROM spy WHERE name LIKE '%timeout' AND value::bigint = 0";
    assert_eq!(database.sql(unbounded), "0");
    assert_eq!(database.sql("SELECT count(*) FROM spy"), "4");
}

#[tokio::test]
async fn a_server_that_was_killed_and_came_back_has_everything_acknowledged_and_takes_writes_again() {
    let server = Postgres::start();
    let database = server.database();
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(node(root.path(), "a", &database)).await.unwrap());
    for round in 0..3 {
        let before = put(&store, &[Record::Account(account(100 * round + 1))]).await;
        server.kill();
        let error = store.write().await.map(|_| ()).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(store.reader().await.is_err());
        server.start_again();
        assert_eq!(put(&store, &[Record::Account(account(100 * round + 2))]).await, before + 1);
        let mut reader = store.reader().await.unwrap();
        assert_eq!(reader.reads().verify_audit().await.unwrap().entries, before + 1);
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_says_that_nobody_knows() {
    let place = Folder::new(On::Postgres);
    let store = place.open().await;
    let database = place.database.as_ref().unwrap();
    // The server ends the session in the middle of the commit.
    database.sql(
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM \
         pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER cut AFTER \
         UPDATE ON head DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()",
    );
    let mut tx = store.write().await.unwrap();
    put_in(&mut tx, &[Record::Account(account(1))]).await;
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::OutcomeUnknown(_)), "{error}");
    database.sql("DROP TRIGGER cut ON head");
    assert_eq!(put(&store, &[Record::Account(account(1))]).await, 1, "here it did not hold");
}

#[tokio::test]
async fn a_failed_transaction_is_not_taken_for_a_commit() {
    let place = Folder::new(On::Postgres);
    let store = place.open().await;
    let mut tx = store.write().await.unwrap();
    tx.begin_change(at(1), "tester").await.unwrap();
    tx.put(&Record::Account(account(1))).await.unwrap();
    let twin = Account { name: account(1).name, ..account(2) };
    tx.put(&Record::Account(twin)).await.unwrap_err();
    // Whoever forgets to abandon the change is not told that it holds.
    assert!(tx.commit().await.is_err());
    assert_eq!(put(&store, &[Record::Account(account(1))]).await, 1);
}

#[tokio::test]
async fn a_node_that_finds_another_store_in_its_database_does_not_write_into_it() {
    let place = Folder::new(On::Postgres);
    let store = place.open().await;
    put(&store, &[Record::Account(account(1))]).await;
    let database = place.database.as_ref().unwrap();
    database.sql(
        "UPDATE meta SET value = '00000000-0000-4000-8000-000000000000' WHERE name = 'store'; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> \
         pg_backend_pid()",
    );
    let error = store.write().await.map(|_| ()).unwrap_err();
    assert_eq!(error, StoreError::AnotherStore);
    assert_eq!(database.sql("SELECT revision FROM head"), "1");
}

#[tokio::test]
async fn everything_is_loaded_as_it_was_at_one_moment_while_others_write() {
    let root = tempfile::tempdir().unwrap();
    let database = Postgres::shared().database();
    let writer = Store::open(node(root.path(), "a", &database)).await.unwrap();
    let follower = Store::open(node(root.path(), "b", &database)).await.unwrap();
    let home = account(1);
    put(&writer, &[Record::Account(home.clone())]).await;
    let writing = async {
        for n in 0..60 {
            // Each revision brings one caller and takes the one before away, so at any moment there is one.
            let mut tx = writer.write().await.unwrap();
            tx.begin_change(at(1), "tester").await.unwrap();
            let next = caller(100 + n, &home, CallerKind::Consumer);
            tx.put(&Record::Caller(next.clone())).await.unwrap();
            if n > 0 {
                let before = caller(100 + n - 1, &home, CallerKind::Consumer);
                tx.delete(&RecordId::Caller(before.id)).await.unwrap();
            }
            tx.end_change(Vec::new()).await.unwrap();
            tx.commit().await.unwrap();
        }
    };
    let loading = async {
        let mut revisions = std::collections::BTreeSet::new();
        while revisions.last().is_none_or(|&last| last < 61) {
            let mut callers = Vec::new();
            let revision = follower
                .load_all(3, |record| {
                    if let Ok(Record::Caller(caller)) = record {
                        callers.push(caller.id);
                    }
                })
                .await
                .unwrap();
            let expected = (revision > 1).then(|| {
                CallerId::from_uuid(CallerKind::Consumer, uuid::Uuid::from_u128(98 + u128::from(revision)))
            });
            assert_eq!(callers, expected.into_iter().collect::<Vec<_>>(), "at revision {revision}");
            revisions.insert(revision);
        }
        revisions.len()
    };
    let ((), seen) = tokio::join!(writing, loading);
    assert!(seen > 1, "it was loaded in between");
}

#[tokio::test]
async fn a_text_with_u_0000_is_refused_alike_by_both() {
    for on in [On::Sqlite, On::Postgres] {
        let place = Folder::new(on);
        let store = place.open().await;
        let records = everything(&store);
        put(&store, &records).await;
        let nul = "a\0b".to_owned();
        for record in &records {
            let mut record = record.clone();
            match &mut record {
                Record::Account(account) => account.description = nul.clone(),
                Record::Gateway(gateway) => gateway.spec.description = nul.clone(),
                Record::Secret(secret) => secret.spec.description = nul.clone(),
                Record::Service(service) => service.spec.description = nul.clone(),
                Record::Caller(caller) => caller.extension = Some(nul.clone()),
                Record::Group(group) => group.description = nul.clone(),
                Record::Grant(grant) => grant.description = nul.clone(),
                Record::Module(module) => module.settings.description = nul.clone(),
                Record::Plugin(plugin) => plugin.settings.description = nul.clone(),
                Record::Credential(record) => match &mut record.credential.proof {
                    Proof::Jwt(binding) => binding.identity_claim.value = nul.as_str().into(),
                    _ => continue,
                },
                // Its description stands in a document, where it is escaped.
                Record::Api(_) | Record::Member(..) | Record::OperatorToken(_) => continue,
                Record::Operator(operator) => operator.description = nul.clone(),
            }
            let mut tx = store.write().await.unwrap();
            tx.begin_change(at(1), "tester").await.unwrap();
            assert_eq!(tx.put(&record).await, Err(StoreError::Text), "{on:?}: {}", record.id());
        }
        let filter = CallerFilter { name: Some(nul), ..CallerFilter::default() };
        let mut reader = store.reader().await.unwrap();
        let page = ListPage { limit: 10, ..ListPage::default() };
        let found = reader.reads().list_callers(&filter, &page).await;
        assert!(found.is_ok_and(|found| found.is_empty()), "{on:?}: nothing has such a name");
    }
}
