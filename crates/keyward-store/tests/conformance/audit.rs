//! The audit chain holds, and does not hold once somebody without the master key altered it.

use keyward_store::*;

use crate::world::*;

async fn verify(place: &Folder) -> Result<AuditCheck, AuditBroken> {
    let store = place.open().await;
    let checked = store.reader().await.unwrap().reads().verify_audit().await;
    store.close().await;
    checked
}

async fn with_entries(on: On, count: u128) -> Folder {
    let place = Folder::new(on);
    let store = place.open().await;
    for n in 1..=count {
        put(&store, &[Record::Account(account(n))]).await;
    }
    store.close().await;
    place
}

async fn an_untouched_chain_holds_and_grows_from_a_hash_that_can_be_kept_elsewhere(on: On) {
    let place = with_entries(on, 3).await;
    let check = verify(&place).await.unwrap();
    assert_eq!((check.entries, check.hash.len()), (3, 64));
    let store = place.open().await;
    put(&store, &[Record::Account(account(9))]).await;
    store.close().await;
    drop(store);
    let later = verify(&place).await.unwrap();
    assert_eq!(later.entries, 4);
    assert_ne!(later.hash, check.hash);
}

async fn an_altered_chain_does_not_hold(on: On) {
    for (sql, seq) in [
        ("UPDATE audit SET actor = 'somebody else' WHERE seq = 2", 2),
        ("UPDATE audit SET detail = '{\"x\":1}' WHERE seq = 3", 3),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", 1),
        ("UPDATE audit SET account = '' WHERE seq = 1", 1),
        ("UPDATE audit SET revision = 9 WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 2; UPDATE audit SET seq = seq - 1 WHERE seq > 2", 2),
        ("DELETE FROM audit WHERE seq = 5", 5),
        ("UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 1) WHERE seq = 3", 3),
        (
            "INSERT INTO audit SELECT 6, revision, at, actor, action, touch, noun, object, account, detail, \
             key_version, hash, hash FROM audit WHERE seq = 5",
            6,
        ),
        ("UPDATE audit SET key_version = 2 WHERE seq = 1", 1),
    ] {
        let place = with_entries(on, 5).await;
        place.meddle(sql).await;
        match verify(&place).await {
            Err(AuditBroken::At { seq: found, .. }) => assert_eq!(found, seq, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

on_both! {
    an_untouched_chain_holds_and_grows_from_a_hash_that_can_be_kept_elsewhere,
    an_altered_chain_does_not_hold,
}
