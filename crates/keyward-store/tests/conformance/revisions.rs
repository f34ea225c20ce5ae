//! Revisions are gap-free in the order of commits, and the change log says what each brought.

use std::sync::Arc;

use keyward_model::*;
use keyward_store::*;

use crate::world::*;

async fn revision(store: &Store) -> u64 {
    store.reader().await.unwrap().reads().revision().await.unwrap()
}

async fn revisions_have_no_gap_under_concurrent_writers(on: On) {
    let place = Folder::new(on);
    let store = Arc::new(place.open().await);
    let writers = (0..8_u128).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut revisions = Vec::new();
            for n in 0..20 {
                let mut tx = store.write().await.unwrap();
                tx.begin_change(at(1), "test").await.unwrap();
                tx.put(&Record::Account(account(1_000 * (writer + 1) + n))).await.unwrap();
                if n % 5 == 4 {
                    tx.abandon_change().await.unwrap();
                } else {
                    revisions.extend(tx.end_change(vec![entry("x")]).await.unwrap());
                }
                if n % 7 == 6 {
                    revisions.truncate(revisions.len() - usize::from(n % 5 != 4));
                } else {
                    tx.commit().await.unwrap();
                }
            }
            revisions
        })
    });
    let mut all = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        let revisions = writer.await.unwrap();
        assert!(revisions.is_sorted(), "each writer sees time go forward");
        all.extend(revisions);
    }
    all.sort_unstable();
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert_eq!(all, expected);
    assert_eq!(revision(&store).await, all.len() as u64);
    let mut reader = store.reader().await.unwrap();
    let changes = reader.reads().changes_since(0, 10_000).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.revision).collect::<Vec<_>>(), expected);
}

async fn a_change_that_fails_leaves_nothing_and_the_others_of_its_transaction_hold(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let mut tx = store.write().await.unwrap();
    assert_eq!(put_in(&mut tx, &[Record::Account(account(1))]).await, 1);
    tx.begin_change(at(1), "test").await.unwrap();
    tx.put(&Record::Account(account(2))).await.unwrap();
    let clash = Account { name: account(1).name, ..account(3) };
    assert!(matches!(tx.put(&Record::Account(clash)).await, Err(StoreError::Contradiction(_))));
    tx.abandon_change().await.unwrap();
    assert_eq!(put_in(&mut tx, &[Record::Account(account(4))]).await, 2);
    tx.commit().await.unwrap();

    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let ids: Vec<AccountId> = reads.accounts().await.unwrap().iter().map(|found| found.object.id).collect();
    assert_eq!(ids, [account(1).id, account(4).id]);
    assert_eq!(reads.changes_since(0, 100).await.unwrap().len(), 2);
    assert_eq!(reads.verify_audit().await.unwrap().entries, 2);
}

async fn a_transaction_that_is_dropped_never_was(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let mut tx = store.write().await.unwrap();
    put_in(&mut tx, &[Record::Account(account(1))]).await;
    drop(tx);
    assert_eq!(put(&store, &[Record::Account(account(1))]).await, 1);
    assert_eq!(revision(&store).await, 1);
}

async fn a_change_without_a_row_has_no_revision_but_its_audit_entry_stays(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let mut tx = store.write().await.unwrap();
    tx.begin_change(at(1), "test").await.unwrap();
    assert_eq!(tx.end_change(vec![entry("shown")]).await.unwrap(), None);
    tx.commit().await.unwrap();
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    assert_eq!(reads.revision().await.unwrap(), 0);
    assert_eq!(reads.audit_after(0, 10).await.unwrap()[0].object, "shown");
}

async fn followers_get_whole_revisions_in_order(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let grant = records.last().unwrap().id();
    let mut tx = store.write().await.unwrap();
    tx.begin_change(at(2), "test").await.unwrap();
    tx.delete(&grant).await.unwrap();
    tx.end_change(Vec::new()).await.unwrap();
    tx.commit().await.unwrap();

    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let first = reads.changes_since(0, 3).await.unwrap();
    let ids: Vec<RecordId> = first.iter().filter_map(|change| change.record).collect();
    assert_eq!(ids, records.iter().map(Record::id).collect::<Vec<_>>(), "the first revision comes whole");
    let second = reads.changes_since(1, 3).await.unwrap();
    let whom = match records.last().unwrap() {
        Record::Grant(grant) => Some(grant.grantee),
        _ => None,
    };
    assert_eq!(second, [Change { revision: 2, record: Some(grant), gone: true, owner: whom }]);
    assert_eq!(reads.changes_since(2, 3).await.unwrap(), []);
}

on_both! {
    revisions_have_no_gap_under_concurrent_writers,
    a_change_that_fails_leaves_nothing_and_the_others_of_its_transaction_hold,
    a_transaction_that_is_dropped_never_was,
    a_change_without_a_row_has_no_revision_but_its_audit_entry_stays,
    followers_get_whole_revisions_in_order,
}
