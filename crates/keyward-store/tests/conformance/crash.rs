//! Crashes, locks and disks that fail. Helpers are this test binary itself, started again for one test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use keyward_model::Plaintext;
use keyward_store::*;

use crate::world::*;

/// Starts this binary again to run only this (ignored) test, with the place to work on in its environment.
fn helper(test: &str, place: &Folder) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("KEYWARD_TEST_FOLDER", place.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(database) = &place.database {
        command.env("KEYWARD_TEST_STORE", database.url());
    }
    command
}

/// The options that a helper was started with.
fn given() -> StoreOptions {
    let data_dir = std::env::var_os("KEYWARD_TEST_FOLDER").expect("started by another test").into();
    let url = std::env::var("KEYWARD_TEST_STORE").ok().map(|url| Plaintext::new(&*url));
    StoreOptions { data_dir, url, master_key_file: None }
}

/// Lines of a helper, until it ends.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok)
}

#[tokio::test]
#[ignore = "a helper of the other tests here"]
async fn helper_holds_the_folder() {
    let _store = Store::open(given()).await.unwrap();
    println!("open");
    // Until it is killed, or its input ends.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

async fn a_second_process_is_refused_until_the_first_ends_dur_006(on: On) {
    let place = Folder::new(on);
    let mut first = helper("crash::helper_holds_the_folder", &place).stdin(Stdio::piped()).spawn().unwrap();
    assert!(lines(&mut first).any(|line| line.contains("open")));
    let error = Store::open(place.options()).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&first.id().to_string()), "{error}");
    first.kill().unwrap();
    first.wait().unwrap();
    place.open().await;
}

async fn a_second_store_in_the_same_process_is_refused_too(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    assert!(matches!(Store::open(place.options()).await, Err(StoreError::Locked { .. })));
    store.close().await;
    assert!(matches!(store.write().await, Err(StoreError::WritesRefused(_))));
    place.open().await;
}

#[tokio::test]
#[ignore = "a helper of the other tests here"]
async fn helper_writes_until_killed() {
    let store = Store::open(given()).await.unwrap();
    for n in 1.. {
        let account = account(n);
        let revision =
            put(&store, &[Record::Account(account.clone()), Record::Service(service(n, &account))]).await;
        println!("committed {revision}");
    }
}

async fn what_was_acknowledged_survives_kill_9_whole_audit_004(on: On) {
    let place = Folder::new(on);
    // The store is made before, so that every killed helper is killed while it writes.
    place.open().await.close().await;
    let mut acknowledged = 0;
    let rounds = if std::env::var_os("KEYWARD_SOAK").is_some() { 200 } else { 6 };
    for round in 1..=rounds {
        // Each round writes objects of its own, so the accounts of a round are new ones.
        let fresh = Folder::new(on);
        let place = if round == 1 { &place } else { &fresh };
        let mut child = helper("crash::helper_writes_until_killed", place).spawn().unwrap();
        let mut last = 0;
        for line in lines(&mut child) {
            if let Some((_, number)) = line.split_once("committed ") {
                last = number.trim().parse().unwrap();
                if last >= 7 * (round % 30 + 1) {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged += last;
        assert!(last > 0);

        let store = place.open().await;
        let mut reader = store.reader().await.unwrap();
        let mut reads = reader.reads();
        let revision = reads.revision().await.unwrap();
        assert!(revision >= last, "acknowledged {last}, found {revision}");
        let accounts = reads.accounts().await.unwrap().len() as u64;
        let services = reads.services().await.unwrap().len() as u64;
        assert_eq!((accounts, services), (revision, revision), "nothing is there by half");
        assert_eq!(reads.verify_audit().await.unwrap().entries, revision);
        assert_eq!(reads.changes_since(0, 1_000_000).await.unwrap().len() as u64, 2 * revision);
    }
    assert!(acknowledged > 0);
}

#[tokio::test]
#[ignore = "a helper of the other tests here"]
async fn helper_writes_to_a_disk_that_fails() {
    let store = Store::open(given()).await.unwrap();
    let mut last = 0;
    for n in 1.. {
        let mut tx = store.write().await.unwrap();
        let account = account(n);
        let outcome = async {
            tx.begin_change(at(1), "test").await?;
            tx.put(&Record::Account(account)).await?;
            tx.end_change(vec![entry("x")]).await
        }
        .await;
        let outcome = match outcome {
            Ok(revision) => tx.commit().await.map(|()| revision),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(revision) => last = revision.unwrap(),
            Err(error) => {
                println!("refused {last} {error}");
                break;
            }
        }
    }
    // From then on nothing is taken, and it says why; reading goes on.
    let error = store.write().await.unwrap_err();
    assert!(matches!(error, StoreError::WritesRefused(_)), "{error}");
    assert!(store.takes_writes().is_err());
    let read = store.reader().await.unwrap().reads().revision().await.unwrap();
    println!("then {read}");
}

#[tokio::test]
async fn after_an_input_output_error_no_write_is_taken_and_nothing_acknowledged_is_lost() {
    let place = Folder::new(On::Sqlite);
    place.open().await.close().await;
    // No file may grow beyond this many blocks: writes fail with EFBIG, which SQLite reports as an I/O error.
    let helper = helper("crash::helper_writes_to_a_disk_that_fails", &place);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 800; exec \"$@\"", "sh"]);
    shell.arg(helper.get_program()).args(helper.get_args());
    shell.env("KEYWARD_TEST_FOLDER", place.path()).stderr(Stdio::null());
    let output = shell.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let refused = text.lines().find_map(|line| line.split_once("refused ")).unwrap().1;
    let acknowledged: u64 = refused.split(' ').next().unwrap().parse().unwrap();
    assert!(refused.contains("takes no more writes"), "{text}");

    let store = place.open().await;
    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    assert!(acknowledged > 0 && reads.revision().await.unwrap() >= acknowledged);
    assert!(reads.verify_audit().await.is_ok());
}

on_both! {
    a_second_process_is_refused_until_the_first_ends_dur_006,
    a_second_store_in_the_same_process_is_refused_too,
    what_was_acknowledged_survives_kill_9_whole_audit_004,
}
