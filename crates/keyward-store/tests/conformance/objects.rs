//! Objects come back as they were put, by every way of reading.

use keyward_model::*;
use keyward_store::*;

use crate::world::*;

/// As it comes back: what was to be sealed is sealed.
fn stored(record: &Record) -> Record {
    match record.clone() {
        Record::Credential(record) => {
            Record::Credential(CredentialRecord { sealing: Sealing::Keep, ..record })
        }
        other => other,
    }
}

async fn every_noun_round_trips_one_by_one_and_all_at_once(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    assert_eq!(put(&store, &records).await, 1);

    let mut reader = store.reader().await.unwrap();
    for record in &records {
        let found = reader.reads().record(&record.id()).await.unwrap();
        assert_eq!(found, Some(stored(record)), "{}", record.id());
    }
    let (mut loaded, bad) = load(&store).await;
    assert_eq!(bad, []);
    let mut expected: Vec<Record> = records.iter().map(stored).collect();
    loaded.sort_by_key(Record::id);
    expected.sort_by_key(Record::id);
    assert_eq!(loaded, expected);
}

async fn everything_is_there_after_a_restart(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let id = store.id();
    store.close().await;
    drop(store);

    let store = place.open().await;
    assert_eq!(store.id(), id);
    let (loaded, bad) = load(&store).await;
    assert_eq!((loaded.len(), bad.len()), (records.len(), 0));
    assert_eq!(store.reader().await.unwrap().reads().revision().await.unwrap(), 1);
}

async fn loading_reads_every_row_of_many_ranges_once(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let account = account(1);
    let mut records = vec![Record::Account(account.clone())];
    for n in 0..9_000 {
        records.push(Record::Caller(caller(100 + n, &account, CallerKind::Consumer)));
    }
    put(&store, &records).await;
    let (loaded, bad) = load(&store).await;
    assert_eq!(bad, []);
    let ids: std::collections::BTreeSet<RecordId> = loaded.iter().map(Record::id).collect();
    assert_eq!((ids.len(), loaded.len()), (records.len(), records.len()));
}

async fn a_row_that_cannot_be_believed_is_quarantined_and_the_rest_loads(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    store.close().await;
    drop(store);
    place.meddle("UPDATE callers SET sources = 'nonsense' WHERE id LIKE 'con_%'").await;
    place.meddle("UPDATE apis SET doc = replace(doc, 'orders', '../orders')").await;
    place.meddle("UPDATE credentials SET sealed = x'00' WHERE kind = 'key_pair'").await;
    place.meddle("UPDATE grants SET stages = 255 WHERE revoked IS NULL").await;

    let store = place.open().await;
    let (loaded, bad) = load(&store).await;
    let nouns: Vec<&str> = bad.iter().map(|row| row.noun).collect();
    assert_eq!(nouns, ["api", "caller", "credential", "grant"], "{bad:?}");
    assert_eq!(loaded.len(), records.len() - 4);
    assert!(bad.iter().all(|row| !row.id.is_empty() && !row.why.contains("canary")), "{bad:?}");
}

async fn an_object_keeps_its_age_and_gets_a_new_revision_when_it_changes(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let mut account = account(1);
    put(&store, &[Record::Account(account.clone())]).await;
    account.description = "another".to_owned();
    let mut tx = store.write().await.unwrap();
    tx.begin_change(at(2_000), "test").await.unwrap();
    tx.put(&Record::Account(account.clone())).await.unwrap();
    tx.end_change(Vec::new()).await.unwrap();
    tx.commit().await.unwrap();
    let found = store.reader().await.unwrap().reads().account(account.id).await.unwrap().unwrap();
    assert_eq!(found, Stored { object: account, revision: 2, created: at(1_000), changed: at(2_000) });
}

async fn what_must_be_unique_is_refused_by_the_store_itself(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let Record::Account(account) = &records[0] else { panic!() };
    let other = caller(50, account, CallerKind::Application);
    let consumer = caller(51, account, CallerKind::Consumer);
    let twins = [
        ("the same AppKey in other case", key_pair(60, &other, "203753385", "x")),
        ("an AppCode that is another's API key", app_code(61, &other, &store, API_KEY)),
        ("an API key that is another's AppCode", api_key(62, &consumer, &store, APP_CODE)),
        ("the same identity claim", jwt(63, &consumer, "u1")),
    ];
    put(&store, &[Record::Caller(other), Record::Caller(consumer)]).await;
    for (what, twin) in twins {
        let mut tx = store.write().await.unwrap();
        tx.begin_change(at(1), "test").await.unwrap();
        let error = tx.put(&twin).await.unwrap_err();
        assert!(matches!(error, StoreError::Contradiction(_)), "{what}: {error}");
    }
}

async fn what_is_referred_to_cannot_go(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    for record in &records {
        let unused = matches!(record, Record::Service(service) if service.spec.name.as_str() == "service 16");
        let free = unused
            || matches!(
                record,
                Record::Credential(_)
                    | Record::Member(..)
                    | Record::Grant(_)
                    | Record::Module(_)
                    | Record::Plugin(_)
            );
        let mut tx = store.write().await.unwrap();
        tx.begin_change(at(1), "test").await.unwrap();
        let deleted = tx.delete(&record.id()).await;
        match deleted {
            Ok(()) => assert!(free, "{} went", record.id()),
            Err(error) => {
                assert!(!free && matches!(error, StoreError::Contradiction(_)), "{}: {error}", record.id());
            }
        }
    }
    // From the leaves down everything goes, and nothing is left.
    let mut tx = store.write().await.unwrap();
    tx.begin_change(at(1), "test").await.unwrap();
    for record in records.iter().rev() {
        tx.delete(&record.id()).await.unwrap();
    }
    tx.end_change(Vec::new()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(load(&store).await.0, []);
}

async fn lists_turn_pages_by_age_and_filter_exactly(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let (ours, theirs) = (account(1), account(2));
    let mut records = vec![Record::Account(ours.clone()), Record::Account(theirs.clone())];
    for n in 0..25 {
        records.push(Record::Caller(caller(100 + n, &ours, CallerKind::Application)));
    }
    let odd = Caller { name: name("Web_shop 100"), ..caller(200, &theirs, CallerKind::Application) };
    records.push(Record::Caller(odd.clone()));
    put(&store, &records).await;
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();

    let filter =
        CallerFilter { within: ours.id.into(), kind: Some(CallerKind::Application), ..Default::default() };
    let mut seen = Vec::new();
    let mut page = ListPage::first(10);
    loop {
        let found = reads.list_callers(&filter, &page).await.unwrap();
        let Some(last) = found.last() else { break };
        page.turn_to(Some(last.object.id));
        seen.extend(found.into_iter().map(|caller| caller.object.id));
    }
    assert!(seen.len() == 25 && seen.is_sorted());

    let all = ListPage::first(100);
    for (text, expected) in [("SHOP", 1), ("web_", 1), ("web%", 0), ("caller 1", 25), ("\\", 0), ("b_s", 1)] {
        let filter = CallerFilter { name: Some(text.to_owned()), ..Default::default() };
        assert_eq!(reads.list_callers(&filter, &all).await.unwrap().len(), expected, "{text}");
    }
    for (value, expected) in [("t103", 1), ("t10", 0), ("T103", 0)] {
        let filter = CallerFilter { tag: Some(("team".to_owned(), value.to_owned())), ..Default::default() };
        assert_eq!(reads.list_callers(&filter, &all).await.unwrap().len(), expected, "{value}");
    }
}

/// Every page of a list, three at a time, from both ends.
macro_rules! pages {
    ($reads:ident.$list:ident($filter:expr), $by_name:expr) => {{
        let mut ends = Vec::new();
        for descending in [false, true] {
            let order = Order { by_name: $by_name, descending };
            let (mut seen, mut page) = (Vec::new(), ListPage { after: None, limit: 3, order });
            loop {
                let found = $reads.$list($filter, &page).await.unwrap();
                let Some(last) = found.last() else { break };
                let after = After { name: last.object.called(), id: last.object.id.to_string() };
                page.after = Some(after);
                seen.extend(found.into_iter().map(|found| found.object.id));
                assert!(seen.len() < 1_000, "the list has no end");
            }
            ends.push(seen);
        }
        let (first, mut last) = (ends.remove(0), ends.remove(0));
        last.reverse();
        assert_eq!(first, last, "both ways have the same");
        first
    }};
}

/// What a list is sorted by, if not by age.
trait Called {
    fn called(&self) -> String;
}

impl Called for Caller {
    fn called(&self) -> String {
        self.name.to_string()
    }
}

impl Called for Grant {
    fn called(&self) -> String {
        String::new()
    }
}

async fn lists_of_several_accounts_have_each_row_once_in_order(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let (one, two, third) = (account(1), account(2), account(3));
    let gateway = gateway(4);
    let service = service(5, &one);
    let elsewhere = crate::world::service(8, &third);
    let (api, other_api) = (api(6, &service, &gateway), api(7, &elsewhere, &gateway));
    let mut records = [&one, &two, &third].map(|account| Record::Account(account.clone())).to_vec();
    records.extend([Record::Gateway(gateway.clone()), Record::Service(service), Record::Api(api.clone())]);
    records.push(Record::Service(elsewhere.clone()));
    records.push(Record::Api(other_api.clone()));
    let mut callers = Vec::new();
    for n in 0..21 {
        let owner = [&one, &two, &third][usize::try_from(n % 3).unwrap()];
        callers.push(caller(100 + n, owner, CallerKind::Application));
    }
    records.extend(callers.iter().cloned().map(Record::Caller));
    // The first account grants to callers of all three; the third one to the others' as well.
    for (n, caller) in (0..).zip(&callers) {
        records.push(Record::Grant(grant(500 + n, &api, Grantee::Caller(caller.id))));
        records.push(Record::Grant(grant(700 + n, &other_api, Grantee::Caller(caller.id))));
    }
    put(&store, &records).await;
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let both = Within::Accounts(vec![one.id, two.id]);
    for by_name in [false, true] {
        let filter = CallerFilter {
            within: both.clone(),
            kind: Some(CallerKind::Application),
            ..CallerFilter::default()
        };
        let seen = pages!(reads.list_callers(&filter), by_name);
        let expected: Vec<CallerId> =
            callers.iter().filter(|caller| caller.account != third.id).map(|caller| caller.id).collect();
        assert_eq!(seen, expected, "names are in the order of ids here");
    }
    let none = CallerFilter { within: Within::Accounts(Vec::new()), ..CallerFilter::default() };
    assert_eq!(pages!(reads.list_callers(&none), false), []);

    // An account sees what it gave, and what was given to its callers; nothing of it twice.
    let seen_by = |within: Within| GrantsOf { seen_by: within, revoked: true, ..GrantsOf::at(at(1)) };
    let count = |of: &[GrantId]| of.len();
    let of_one = pages!(reads.list_grants(&seen_by(one.id.into())), false);
    assert_eq!(count(&of_one), 21 + 7);
    let of_two = pages!(reads.list_grants(&seen_by(two.id.into())), false);
    assert_eq!(count(&of_two), 7 + 7);
    let of_third = pages!(reads.list_grants(&seen_by(third.id.into())), false);
    assert_eq!(count(&of_third), 21 + 7);
    let of_both = pages!(reads.list_grants(&seen_by(both.clone())), false);
    assert_eq!(count(&of_both), 21 + 14);
    for seen in [of_one, of_two, of_third, of_both] {
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in order, each once");
    }
}

async fn many_are_found_by_name_id_and_digest_at_once(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let account = account(1);
    let mut records = vec![Record::Account(account.clone())];
    for n in 0..600 {
        let caller = caller(1_000 + n, &account, CallerKind::Consumer);
        records.push(Record::Caller(caller.clone()));
        records.push(api_key(5_000 + n, &caller, &store, &format!("an-api-key-of-{n:06}")));
    }
    put(&store, &records).await;
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let names: Vec<Name> = (0..700).map(|n| name(&format!("caller {}", 1_000 + n))).collect();
    let found = reads.callers_named(account.id, CallerKind::Consumer, &names).await.unwrap();
    assert_eq!(found.len(), 600);
    let ids: Vec<CallerId> = found.iter().map(|caller| caller.object.id).collect();
    assert_eq!(reads.callers(&ids).await.unwrap().len(), 600);
    assert_eq!(reads.credentials_of(&ids).await.unwrap().len(), 600);
    let digest = store.digest("an-api-key-of-000042");
    let found = reads.credential_by_digest(&digest).await.unwrap().unwrap();
    assert_eq!(found.object.caller, CallerId::from_uuid(CallerKind::Consumer, uuid::Uuid::from_u128(1_042)));
}

on_both! {
    every_noun_round_trips_one_by_one_and_all_at_once,
    everything_is_there_after_a_restart,
    loading_reads_every_row_of_many_ranges_once,
    a_row_that_cannot_be_believed_is_quarantined_and_the_rest_loads,
    an_object_keeps_its_age_and_gets_a_new_revision_when_it_changes,
    what_must_be_unique_is_refused_by_the_store_itself,
    what_is_referred_to_cannot_go,
    lists_turn_pages_by_age_and_filter_exactly,
    lists_of_several_accounts_have_each_row_once_in_order,
    many_are_found_by_name_id_and_digest_at_once,
}
