//! Backups that are taken while clients write, and what becomes of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

use crate::served::{Place, call, create, fail, keyward, succeed, world};
use crate::writers::{Found, Writers};

#[tokio::test]
async fn dur_008_a_backup_during_writes_is_of_one_moment_and_its_audit_holds() {
    let upstream = Upstream::start().await.unwrap();
    let place = Place::new();
    let served = place.start_with(&world(&upstream.url())).await;
    let old = served.admin(Request::get("localhost", "/v1/apis/orders")).await;
    let writers = Writers::begin(&served, 0, 4).await;
    for round in 0..4 {
        writers.more(25).await;
        let before = writers.acknowledged();
        let file = place.file(&format!("backup-{round}.db"));
        let (data, to) = (place.data().to_owned(), file.clone());
        // Beside this test, whose clients write meanwhile.
        let told = tokio::task::spawn_blocking(move || {
            succeed(keyward().args(["backup", "--output", "json", "--data"]).arg(data).arg(to))
        });
        let told: serde_json::Value = serde_json::from_str(&told.await.unwrap()).unwrap();
        writers.more(5).await;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let restored = Place::new();
        fs::create_dir(restored.data()).unwrap();
        fs::copy(place.data().join("master.key"), restored.data().join("master.key")).unwrap();
        succeed(keyward().args(["restore", "--data"]).arg(restored.data()).arg(&file));
        let again = restored.start().unwrap();
        let found = Found::on(&again).await;
        assert!(
            before.keys().all(|name| found.applications.contains_key(name)),
            "acknowledged before it began"
        );
        // Of each writer, who writes one after the other, everything up to some point.
        for writer in 0..4 {
            let prefix = format!("r0w{writer}n");
            let count = found.applications.keys().filter(|name| name.starts_with(&prefix)).count();
            let all = (0..count).all(|number| found.applications.contains_key(&format!("{prefix}{number}")));
            assert!(all, "something is missing before something later");
        }
        // The restoring itself is the one entry that came after.
        assert_eq!(found.is_whole(&again).await, told["audit"]["entries"].as_u64().unwrap() + 1);
        // Secrets open, and whoever could call can.
        let (name, secret) = before.iter().next_back().unwrap();
        let id = &found.applications[name][0];
        let shown = again.create(&format!("/v1/credentials/{id}/reveal"), "").await;
        assert_eq!(shown.json()["value"].as_str(), Some(secret.as_str()), "{}", shown.text());
        assert_eq!(again.call(&call()).await.status, 200);
        // It is another store, whose revisions are none that the old one can have had; what did not change kept its ETag.
        let new = again.admin(Request::get("localhost", "/v1/apis/orders")).await;
        assert_ne!(new.header("keyward-store"), old.header("keyward-store"));
        assert_eq!(new.header("etag"), old.header("etag"));
        assert!(new.json()["revision"].as_u64().is_none_or(|revision| revision >= 1_000_000_000));
        let made = again.create("/v1/applications", r#"{"name": "new"}"#).await;
        assert_eq!(made.header("keyward-revision"), Some("1000000001"), "{}", made.text());
        assert_eq!(again.nodes().await.len(), 1, "nobody waits for the nodes of then");
        assert_eq!(again.stop(), Some(0));
    }
    served.kill();
    writers.end().await;
}

#[tokio::test]
async fn what_was_answered_once_is_answered_again_by_a_restored_store_and_an_old_etag_fits_nothing_new() {
    let place = Place::new();
    let served = place.start_with("version: 1\napplications: [{name: shop}]\n").await;
    let keyed = |name: &str| {
        create("/v1/applications", &format!(r#"{{"name": "{name}"}}"#)).header("Idempotency-Key", name)
    };
    let kept = served.admin(keyed("kept")).await;
    let file = place.file("backup.db");
    succeed(keyward().args(["backup", "--data"]).arg(place.data()).arg(&file));
    let change = |etag: &str, text: &str| {
        let body = format!(r#"{{"description": "{text}"}}"#);
        create("/v1/applications/shop", &body).method("PATCH").header("If-Match", etag)
    };
    let lost = served.admin(change("*", "lost")).await;
    let lost_etag = lost.header("etag").unwrap().to_owned();
    assert_eq!(served.admin(keyed("lost")).await.status, 201);
    // The node may also be down, or killed.
    served.kill();
    let offline = place.file("offline.db");
    succeed(keyward().args(["backup", "--data"]).arg(place.data()).arg(&offline));

    let key = place.data().join("master.key");
    let restored = Place::new().with(["--master-key".into(), key.clone().into_os_string()]);
    succeed(
        keyward().args(["restore", "--data"]).arg(restored.data()).arg("--master-key").arg(&key).arg(&file),
    );
    let again = restored.start().unwrap();
    let replayed = again.admin(keyed("kept")).await;
    assert_eq!((replayed.status, replayed.text()), (201, kept.text()), "its answer was in the backup");
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    let done = again.admin(keyed("lost")).await;
    assert_eq!(
        (done.status, done.header("idempotency-replayed")),
        (201, None),
        "what was lost is done again"
    );
    // As many changes as it takes for the old numbers to come again, if they did.
    for number in 0..5 {
        assert_eq!(again.admin(change("*", &number.to_string())).await.status, 200);
        let refused = again.admin(change(&lost_etag, "by mistake")).await;
        assert_eq!(refused.status, 412, "{}", refused.text());
    }
    let later = Place::new().with(["--master-key".into(), key.clone().into_os_string()]);
    succeed(
        keyward().args(["restore", "--data"]).arg(later.data()).arg("--master-key").arg(&key).arg(&offline),
    );
    let later = later.start().unwrap();
    assert_eq!(later.show("/v1/applications/shop").await["description"], "lost");
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let served = place.start().unwrap();
    let file = place.file("backup.db");
    let backup = |to: &std::path::Path| {
        let mut command = keyward();
        command.args(["backup", "--data"]).arg(place.data()).arg(to);
        command
    };
    succeed(&mut backup(&file));
    let (code, said) = fail(&mut backup(&file));
    assert!(code == Some(2) && said.contains("exists"), "{said}");
    let (_, said) = fail(&mut backup(&place.file("no/such/folder/backup.db")));
    assert!(said.contains("cannot be used"), "{said}");
    let (code, said) = fail(backup(&place.file("pg.db")).env("KEYWARD_STORE", "postgres://u:hunter2@h/d"));
    assert!(code == Some(2) && said.contains("pg_dump") && !said.contains("hunter2"), "{said}");
    let (code, said) = fail(keyward().args(["backup", "--data", "/nonexistent"]).arg(place.file("none.db")));
    assert!(code == Some(2) && said.contains("there is no store"), "{said}");

    let key = place.data().join("master.key");
    let restore = |data: &std::path::Path, key: &std::path::Path, file: &std::path::Path| {
        let mut command = keyward();
        command.args(["restore", "--data"]).arg(data).arg("--master-key").arg(key).arg(file);
        command
    };
    let (code, said) = fail(&mut restore(place.data(), &key, &file));
    assert!(code == Some(2) && said.contains("is not empty"), "{said}");
    drop(served);
    let (code, said) = fail(&mut restore(place.data(), &key, &file));
    assert!(code == Some(2) && said.contains("is not empty"), "{said}");

    let other = Place::new();
    drop(other.start().unwrap());
    let bytes = fs::read(&file).unwrap();
    let at = bytes.windows(12).position(|window| window == b"store.create").unwrap();
    let mut altered = bytes.clone();
    altered[at] = b'S';
    let altered = (place.file("altered.db"), altered);
    let cut = (place.file("cut.db"), bytes[..bytes.len() / 2].to_vec());
    let text = (place.file("text.db"), b"version: 1\n".repeat(1000));
    for (file, bytes) in [&altered, &cut, &text] {
        fs::write(file, bytes).unwrap();
    }
    let missing = place.file("missing.key");
    for (key, file, says) in [
        (&other.data().join("master.key"), &file, "does not belong to this store"),
        (&missing, &file, "is missing"),
        (&key, &altered.0, "the audit does not hold"),
        (&key, &cut.0, "cannot be restored"),
        (&key, &text.0, "cannot be restored"),
        (&key, &place.file("gone.db"), "cannot be used"),
    ] {
        let target = Place::new();
        let (_, said) = fail(&mut restore(target.data(), key, file));
        assert!(said.contains(says), "{says}: {said}");
        assert!(!target.data().join("keyward.db").exists(), "{says}: there is no store then");
        // The folder can be used as soon as it is right.
        succeed(&mut restore(target.data(), &place.data().join("master.key"), &place.file("backup.db")));
    }
    assert_eq!(fs::read(&file).unwrap(), bytes, "a backup stays as it is");
}
