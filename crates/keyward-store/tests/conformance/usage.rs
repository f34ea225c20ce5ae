//! What is known of use adds up over nodes, never goes backwards, and leaves revisions and audit alone.

use keyward_model::*;
use keyward_store::*;

use crate::world::*;

fn key(day: i64, caller: Option<CallerId>, api: Option<ApiId>, reason: Option<DenyReason>) -> CallsKey {
    CallsKey { day: Day::from_number(day), caller, api, reason }
}

fn calls(count: u64, last: i64) -> Calls {
    Calls { count, last: at(last) }
}

async fn list(store: &Store, of: UsageOf, after: Option<CallsKey>, limit: u32) -> Vec<(CallsKey, Calls)> {
    store.reader().await.unwrap().reads().list_usage(&of, after.as_ref(), limit).await.unwrap()
}

async fn last_uses_go_forward_whatever_order_nodes_tell_them_in(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    let revision = put(&store, &records).await;
    let credentials: Vec<CredentialId> = records
        .iter()
        .filter_map(|record| match record {
            Record::Credential(record) => Some(record.credential.id),
            _ => None,
        })
        .collect();
    let grants: Vec<GrantId> = records
        .iter()
        .filter_map(|record| match record {
            Record::Grant(grant) => Some(grant.id),
            _ => None,
        })
        .collect();
    for used in [50, 70, 60] {
        let batch = UsageBatch {
            credentials: vec![
                (credentials[0], at(used)),
                (CredentialId::from_uuid(uuid::Uuid::nil()), at(used)),
            ],
            grants: vec![(grants[0], at(used + 1))],
            ..UsageBatch::default()
        };
        store.write_usage(batch).await.unwrap();
    }
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    assert_eq!(reads.credential(credentials[0]).await.unwrap().unwrap().object.last_used, Some(at(70)));
    assert_eq!(reads.credential(credentials[1]).await.unwrap().unwrap().object.last_used, None);
    let last_uses = reads.last_uses_of_grants(&grants).await.unwrap();
    assert_eq!(last_uses.into_iter().collect::<Vec<_>>(), [(grants[0], at(71))]);
    assert_eq!(reads.revision().await.unwrap(), revision, "use makes no revision");
    assert_eq!(reads.credential(credentials[0]).await.unwrap().unwrap().revision, revision, "and no ETag");
    assert_eq!(reads.verify_audit().await.unwrap().entries, 1, "and no audit entry");
    drop(reader);

    // A change of the credential keeps what is known of its use.
    let again = records.iter().find(|record| matches!(record, Record::Credential(_))).unwrap().clone();
    put(&store, &[again]).await;
    let mut reader = store.reader().await.unwrap();
    let kept = reader.reads().credential(credentials[0]).await.unwrap().unwrap().object.last_used;
    assert_eq!(kept, Some(at(70)));
}

async fn calls_add_up_and_page_in_order(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let caller = records.iter().find_map(|record| match record {
        Record::Caller(caller) => Some(caller.clone()),
        _ => None,
    });
    let api = records.iter().find_map(|record| match record {
        Record::Api(api) => Some(api.clone()),
        _ => None,
    });
    let (caller, api) = (caller.unwrap(), api.unwrap());
    let stranger = CallerId::from_uuid(CallerKind::Consumer, uuid::Uuid::from_u128(999));
    let nobody = key(1, None, None, Some(DenyReason::ApiNotFound));
    let passed = key(1, Some(caller.id), Some(api.id), None);
    let refused = key(1, Some(caller.id), Some(api.id), Some(DenyReason::GrantMissing));
    let foreign = key(2, Some(stranger), None, None);
    for round in 1..=3 {
        let all = [(foreign, 5), (refused, 1), (passed, 2), (nobody, 7)];
        let calls = all.map(|(key, count)| (key, calls(count, 10 * round))).to_vec();
        store.write_usage(UsageBatch { calls, ..UsageBatch::default() }).await.unwrap();
    }
    let whole = list(&store, UsageOf::default(), None, 100).await;
    let expected =
        [(nobody, calls(21, 30)), (passed, calls(6, 30)), (refused, calls(3, 30)), (foreign, calls(15, 30))];
    assert_eq!(whole, expected);
    let mut paged = Vec::new();
    while let Some(row) = list(&store, UsageOf::default(), paged.last().map(|(key, _)| *key), 1).await.pop() {
        paged.push(row);
    }
    assert_eq!(paged, expected);

    let keys = |rows: Vec<(CallsKey, Calls)>| rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let of = |of: UsageOf| list(&store, of, None, 100);
    assert_eq!(keys(of(UsageOf { caller: Some(caller.id), ..UsageOf::default() }).await), [passed, refused]);
    assert_eq!(keys(of(UsageOf { api: Some(api.id), ..UsageOf::default() }).await), [passed, refused]);
    let seen_by = |account: u128| UsageOf {
        seen_by: AccountId::from_uuid(uuid::Uuid::from_u128(account)).into(),
        ..UsageOf::default()
    };
    assert_eq!(
        keys(of(UsageOf { seen_by: caller.account.into(), ..UsageOf::default() }).await),
        [passed, refused]
    );
    assert_eq!(keys(of(seen_by(998)).await), []);
    let of_account = UsageOf { account: Some(caller.account), ..UsageOf::default() };
    assert_eq!(keys(of(of_account).await), [passed, refused]);
    let day = |number| Some(Day::from_number(number));
    assert_eq!(keys(of(UsageOf { from: day(2), ..UsageOf::default() }).await), [foreign]);
    assert_eq!(keys(of(UsageOf { until: day(2), ..UsageOf::default() }).await), [nobody, passed, refused]);
}

async fn what_could_not_be_written_comes_back_whole(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let calls = (0..2_000).map(|day| (key(day, None, None, None), calls(1, day))).collect();
    let batch = UsageBatch { calls, ..UsageBatch::default() };
    store.close().await;
    let (error, rest) = store.write_usage(batch.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::WritesRefused(_)), "{error}");
    assert_eq!(rest, batch);
    drop(store);
    let store = place.open().await;
    store.write_usage(rest).await.unwrap();
    assert_eq!(list(&store, UsageOf::default(), None, 5_000).await.len(), 2_000);
}

on_both! {
    last_uses_go_forward_whatever_order_nodes_tell_them_in,
    calls_add_up_and_page_in_order,
    what_could_not_be_written_comes_back_whole,
}
