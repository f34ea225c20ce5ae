//! A node without the key to its store, and what of its memory is left behind.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use keyward_testkit::client;
use keyward_testkit::gateway::until;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

use crate::served::{Place, call, create, world};

/// Where a node that just started sealed answers: it says so in its log, for the `n`th time.
async fn sealed_at(place: &Place, n: usize) -> SocketAddr {
    let told = || {
        let said = place.said();
        let line = said.lines().filter(|line| line.contains("sealed: the node waits")).nth(n)?;
        line.split("admin=").nth(1)?.split(' ').next()?.parse().ok()
    };
    until(told).await.unwrap_or_else(|| panic!("it is not sealed: {}", place.said()))
}

/// What lies in the store's files.
fn stored(place: &Place) -> Vec<(String, Vec<u8>)> {
    let file = |name: &str| place.data().join(name);
    ["keyward.db", "keyward.db-wal"]
        .into_iter()
        .filter(|name| file(name).exists())
        .map(|name| (name.to_owned(), fs::read(file(name)).unwrap()))
        .collect()
}

#[tokio::test]
async fn without_its_master_key_a_node_is_sealed_until_the_file_is_there() {
    let upstream = Upstream::start().await.unwrap();
    let place = Place::new();
    let served = place.start_with(&world(&upstream.url())).await;
    let made = served.create("/v1/applications", r#"{"name": "shop"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(served.stop(), Some(0));
    let (key, aside, other) = (place.data().join("master.key"), place.file("aside"), place.file("other"));
    fs::rename(&key, &aside).unwrap();
    let another = Place::new();
    drop(another.start().unwrap());
    fs::copy(another.data().join("master.key"), &other).unwrap();
    let before = stored(&place);

    let starting = place.spawn();
    let admin = sealed_at(&place, 0).await;
    assert_sealed(admin).await;
    assert_eq!(
        place.said().matches(" listening ").count(),
        1,
        "by the first start alone: its gateway is not opened"
    );
    // Another store's file, one that everybody may read, and one that is none: all the same.
    put(&other, &key, 0o600);
    assert_eq!(sealed_at(&place, 1).await, admin);
    assert_sealed(admin).await;
    put(&aside, &key, 0o644);
    assert_eq!(sealed_at(&place, 2).await, admin);
    fs::write(place.file("nonsense"), "seal 1 hunter2\n").unwrap();
    put(&place.file("nonsense"), &key, 0o600);
    assert_eq!(sealed_at(&place, 3).await, admin);
    assert_sealed(admin).await;
    for says in ["is missing", "does not belong to this store", "chmod 600", "must be base64"] {
        assert!(place.said().contains(says), "{says}: {}", place.said());
    }
    assert!(!place.said().contains("hunter2"), "what is in the file is not told");
    assert_eq!(stored(&place), before, "the store was not touched");

    put(&aside, &key, 0o600);
    let again = place.until_ready(starting).unwrap();
    assert_eq!(again.admin, admin, "its address is the one that it had");
    assert_eq!(again.admin(Request::get("localhost", "/readyz")).await.status, 200);
    assert_eq!(again.call(&call()).await.status, 200);
    assert_eq!(again.show("/v1/applications/shop").await["name"], "shop", "nothing is lost");
    assert_eq!(again.stop(), Some(0));
}

/// Puts a copy there, as a whole.
fn put(from: &Path, to: &Path, mode: u32) {
    let partial = to.with_extension("partial");
    fs::copy(from, &partial).unwrap();
    fs::set_permissions(&partial, fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(&partial, to).unwrap();
}

async fn assert_sealed(admin: SocketAddr) {
    let get = |path| Request::get("localhost", path);
    assert_eq!(client::call(admin, &get("/healthz")).await.unwrap().status, 200);
    let ready = client::call(admin, &get("/readyz")).await.unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.text().starts_with("sealed: ") && ready.text().contains("put the right file back"));
    for request in [get("/v1/apis"), get("/metrics"), create("/v1/applications", r#"{"name": "x"}"#)] {
        let refused = client::call(admin, &request).await.unwrap();
        assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("sealed")));
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    }
}

#[tokio::test]
async fn a_sealed_node_ends_when_it_is_told() {
    let place = Place::new();
    assert_eq!(place.start().unwrap().stop(), Some(0));
    fs::remove_file(place.data().join("master.key")).unwrap();
    let mut starting = place.spawn();
    sealed_at(&place, 0).await;
    let told = Command::new("kill").arg(starting.id().to_string()).status().unwrap();
    assert!(told.success());
    assert_eq!(starting.wait().unwrap().code(), Some(0));
    assert!(!place.data().join("master.key").exists(), "no other key was made");
}

#[test]
fn secret_010_a_node_leaves_no_core_dump_and_lets_no_process_of_its_user_read_its_memory() {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let (place, own) = match rustix::process::getuid().is_root() {
        // What root may read says nothing: so the node is another user's.
        true => (Place::new().under(nobody), 65_534),
        false => (Place::new(), rustix::process::getuid().as_raw()),
    };
    fs::set_permissions(place.file(""), fs::Permissions::from_mode(0o777)).unwrap();
    let served = place.start().unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", served.id()));
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let status = fs::read_to_string(process.join("status")).unwrap();
    let user = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
    assert_eq!(user.split_whitespace().nth(1), Some(own.to_string().as_str()));
    // The system gives the files of a process that may not be dumped to root.
    assert_eq!(fs::metadata(process.join("status")).unwrap().uid(), 0);
    assert_eq!(served.stop(), Some(0));
}
