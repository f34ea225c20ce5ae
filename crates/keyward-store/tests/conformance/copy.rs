//! A node's local copy leads to what the node has applied, to nothing else, and gives nothing away.

use std::path::{Path, PathBuf};

use keyward_model::*;
use keyward_store::*;
use keyward_testkit::gateway::until;
use keyward_testkit::postgres::{Database, Postgres};
use tempfile::TempDir;

use crate::world::*;

/// A store with a copy, and what it held at each revision.
struct Copied {
    root: TempDir,
    _database: Option<Database<'static>>,
    store: Store,
    states: Vec<(u64, Vec<Record>)>,
}

fn bases(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder.join("copy")).into_iter().flatten().flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with("base-")).count()
}

impl Copied {
    async fn new(on: On) -> Self {
        let root = tempfile::tempdir().unwrap();
        let database = (on == On::Postgres).then(|| Postgres::shared().database());
        let options = StoreOptions {
            data_dir: root.path().join("data"),
            url: database.as_ref().map(|database| Plaintext::new(&*database.url())),
            master_key_file: None,
        };
        let store = Store::open(options).await.unwrap();
        put(&store, &everything(&store)).await;
        store.resume_copy().await.unwrap();
        let data = root.path().join("data");
        until(|| (bases(&data) == 1).then_some(())).await.expect("a base");
        let mut copied = Self { root, _database: database, store, states: Vec::new() };
        copied.note().await;
        copied
    }

    async fn note(&mut self) {
        let (mut records, bad) = load(&self.store).await;
        assert_eq!(bad, []);
        records.sort_by_key(Record::id);
        let revision = self.store.reader().await.unwrap().reads().revision().await.unwrap();
        self.states.push((revision, records));
    }

    /// Makes a change as a node does: its frame is on disk before it is reported.
    async fn change(&mut self, puts: &[Record], deletes: &[RecordId]) {
        let mut tx = self.store.write().await.unwrap();
        let from = tx.revision();
        tx.begin_change(at(2_000), "tester").await.unwrap();
        for record in puts {
            tx.put(record).await.unwrap();
        }
        for id in deletes {
            tx.delete(id).await.unwrap();
        }
        tx.end_change(Vec::new()).await.unwrap();
        let mark = tx.mark();
        let mut reads = tx.reads();
        let changes = reads.changes_up_to(from, mark.revision, 1_000).await.unwrap().unwrap();
        let frame = reads.frame(from, &mark, &changes).await.unwrap();
        tx.commit().await.unwrap();
        self.store.copy().append(frame).await;
        self.note().await;
    }

    /// The data folder as a thief or a restart finds it.
    fn elsewhere(&self) -> (TempDir, StoreOptions) {
        let there = tempfile::tempdir().unwrap();
        let (from, to) = (self.root.path().join("data"), there.path().join("data"));
        std::fs::create_dir_all(to.join("copy")).unwrap();
        std::fs::copy(from.join("master.key"), to.join("master.key")).unwrap();
        for file in std::fs::read_dir(from.join("copy")).unwrap() {
            let path = file.unwrap().path();
            std::fs::copy(&path, to.join("copy").join(path.file_name().unwrap())).unwrap();
        }
        // Nobody listens there.
        let url = Some(Plaintext::new("postgres://keyward@127.0.0.1:1/none"));
        (there, StoreOptions { data_dir: to, url, master_key_file: None })
    }

    /// Is it what the store held at some revision?
    fn is_state(&self, revision: u64, records: &[Record]) -> bool {
        self.states.iter().any(|(at, state)| *at == revision && state == records)
    }
}

async fn load_copy(options: StoreOptions) -> Result<(u64, Vec<Record>), StoreError> {
    let store = Store::open(options).await?;
    let mut records = Vec::new();
    let mark = store.load_copy(|record| records.push(record.unwrap())).await?;
    assert_eq!(store.opened_from_copy(), Some(&mark));
    records.sort_by_key(Record::id);
    Ok((mark.revision, records))
}

async fn with_history(on: On) -> Copied {
    let mut copied = Copied::new(on).await;
    let (_, records) = copied.states[0].clone();
    let Some(Record::Account(account)) = records.iter().find(|r| matches!(r, Record::Account(_))) else {
        panic!()
    };
    let renamed = Account { name: name("renamed"), ..account.clone() };
    let fresh = crate::world::account(70);
    let consumer = caller(71, &fresh, CallerKind::Consumer);
    copied.change(&[Record::Account(renamed)], &[]).await;
    copied
        .change(
            &[
                Record::Account(fresh.clone()),
                Record::Service(service(72, &fresh)),
                Record::Caller(consumer.clone()),
            ],
            &[],
        )
        .await;
    let member = records.iter().find(|r| matches!(r, Record::Member(..))).unwrap().id();
    let grants: Vec<RecordId> =
        records.iter().filter(|r| matches!(r, Record::Grant(_))).map(Record::id).collect();
    copied.change(&[], &[member, grants[0]]).await;
    copied.change(&[], &[RecordId::Caller(consumer.id)]).await;
    copied.change(&[Record::Caller(caller(75, &fresh, CallerKind::Consumer))], &[grants[1]]).await;
    copied
}

async fn a_copy_gives_what_the_store_held_and_says_at_which_revision(on: On) {
    let copied = with_history(on).await;
    let (_there, options) = copied.elsewhere();
    let (revision, records) = load_copy(options).await.unwrap();
    let (newest, state) = copied.states.last().unwrap();
    assert_eq!((revision, &records), (*newest, state));
}

async fn a_copy_is_brought_forward_by_what_was_written_while_the_node_was_off(on: On) {
    let mut copied = with_history(on).await;
    let account = crate::world::account(80);
    // Written by another node: no frame of it is here.
    put(&copied.store, &[Record::Account(account.clone())]).await;
    copied.note().await;
    copied.store.resume_copy().await.unwrap();
    let (_there, options) = copied.elsewhere();
    let (revision, records) = load_copy(options).await.unwrap();
    assert!(copied.is_state(revision, &records) && revision == copied.states.last().unwrap().0);
    copied.change(&[Record::Service(service(81, &account))], &[]).await;
    let (_there, options) = copied.elsewhere();
    let (revision, records) = load_copy(options).await.unwrap();
    assert!(copied.is_state(revision, &records) && revision == copied.states.last().unwrap().0);
}

async fn a_copy_that_was_cut_short_leads_to_an_earlier_revision_or_is_refused(on: On) {
    let copied = with_history(on).await;
    let (there, options) = copied.elsewhere();
    let mut reached = std::collections::BTreeSet::new();
    for file in files(&there) {
        let whole = std::fs::read(&file).unwrap();
        let step = (whole.len() / 60).max(1);
        for length in (0..whole.len()).step_by(step) {
            std::fs::write(&file, &whole[..length]).unwrap();
            match load_copy(options.clone()).await {
                Ok((revision, records)) => {
                    assert!(file.to_string_lossy().contains("journal"), "half a base is none");
                    assert!(copied.is_state(revision, &records), "{length} bytes");
                    reached.insert(revision);
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::Away { .. } | StoreError::Copy(_)), "{error}")
                }
            }
        }
        std::fs::write(&file, &whole).unwrap();
    }
    assert!(reached.len() > 2, "{reached:?}");
}

async fn a_copy_that_was_altered_is_refused_or_as_if_cut_short(on: On) {
    let copied = with_history(on).await;
    let (there, options) = copied.elsewhere();
    let mut refused = 0;
    for file in files(&there) {
        let whole = std::fs::read(&file).unwrap();
        let step = (whole.len() / 80).max(1);
        for place in (0..whole.len()).step_by(step) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x40;
            std::fs::write(&file, &bytes).unwrap();
            match load_copy(options.clone()).await {
                Ok((revision, records)) => assert!(copied.is_state(revision, &records), "byte {place}"),
                Err(_) => refused += 1,
            }
        }
        std::fs::write(&file, &whole).unwrap();
    }
    assert!(refused > 100, "{refused}");
    assert!(load_copy(options).await.is_ok(), "untouched it is believed");
}

async fn frames_cannot_be_taken_out_or_put_elsewhere(on: On) {
    let copied = with_history(on).await;
    let (there, options) = copied.elsewhere();
    let journal = files(&there).into_iter().find(|file| file.to_string_lossy().contains("journal")).unwrap();
    let whole = std::fs::read(&journal).unwrap();
    let mut frames = Vec::new();
    let mut at = 28;
    while at < whole.len() {
        let length = u32::from_le_bytes(whole[at..at + 4].try_into().unwrap()) as usize + 4;
        frames.push(whole[at..at + length].to_vec());
        at += length;
    }
    assert!(frames.len() >= 4);
    // Without the one that took the grant away; with two of them in each other's place.
    for order in [vec![0, 1, 3, 4], vec![0, 2, 1, 3, 4], vec![1, 2, 3, 4]] {
        let bytes: Vec<u8> =
            whole[..28].iter().copied().chain(order.iter().flat_map(|&n| frames[n].clone())).collect();
        std::fs::write(&journal, bytes).unwrap();
        assert!(load_copy(options.clone()).await.is_err(), "{order:?}");
    }
}

async fn a_copy_of_another_key_is_refused_and_holds_no_secret_in_the_clear(on: On) {
    let copied = with_history(on).await;
    let (there, options) = copied.elsewhere();
    for file in files(&there) {
        let bytes = std::fs::read(&file).unwrap();
        for text in [APP_SECRET, API_KEY, SERVICE_SECRET, APP_CODE, "renamed", "203753385"] {
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
        }
        use std::os::unix::fs::PermissionsExt;
        let kept = copied.root.path().join("data/copy").join(file.file_name().unwrap());
        assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o077, 0);
    }
    let other = Folder::new(On::Sqlite);
    other.open().await;
    std::fs::copy(other.path().join("master.key"), options.data_dir.join("master.key")).unwrap();
    let error = load_copy(options).await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
}

#[tokio::test]
async fn without_a_copy_a_node_says_that_it_needs_its_store() {
    let root = tempfile::tempdir().unwrap();
    let database = Postgres::shared().database();
    let options = |url: String| StoreOptions {
        data_dir: root.path().to_owned(),
        url: Some(Plaintext::new(&*url)),
        master_key_file: None,
    };
    let error = Store::open(options(database.url_at(1))).await.unwrap_err();
    assert!(matches!(error, StoreError::Away { .. }), "{error}");
    assert!(!root.path().join("master.key").exists(), "no key is made for a store that was not seen");
    Store::open(options(database.url())).await.unwrap().close().await;
    let error = Store::open(options(database.url_at(1))).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Away { .. }) && error.to_string().contains("there is none"),
        "{error}"
    );
}

fn files(there: &TempDir) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(there.path().join("data/copy")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

on_both! {
    a_copy_gives_what_the_store_held_and_says_at_which_revision,
    a_copy_is_brought_forward_by_what_was_written_while_the_node_was_off,
    a_copy_that_was_cut_short_leads_to_an_earlier_revision_or_is_refused,
    a_copy_that_was_altered_is_refused_or_as_if_cut_short,
    frames_cannot_be_taken_out_or_put_elsewhere,
    a_copy_of_another_key_is_refused_and_holds_no_secret_in_the_clear,
}
