//! The disk with the data folder is full: calls go on, changes and what needs the audit are refused, and all is well again once
//! there is room.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use keyward_testkit::gateway::until_async;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

use crate::served::{Place, Served, call, create, world};

/// A disk that can be full.
trait Disk {
    /// The place on it.
    fn place(&self) -> Place;
    fn fill(&mut self, served: &Served);
    fn free(&mut self);
}

/// A file system of its own, of a few MiB, which a file fills up. Needs the right to mount one.
#[derive(Default)]
struct Small(Option<PathBuf>);

impl Small {
    const MOUNT: &str = r#"mount -t tmpfs -o size=12m,mode=0700 none "$0" && exec "$@""#;

    fn is_possible() -> bool {
        let mut probe = Command::new("unshare");
        probe.args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    }
}

impl Disk for Small {
    fn place(&self) -> Place {
        let place = Place::new();
        std::fs::create_dir(place.data()).unwrap();
        let data = place.data().to_owned().into_os_string();
        let mount = ["unshare", "-Urm", "sh", "-c", Self::MOUNT].map(Into::into);
        place.under(mount.into_iter().chain([data]))
    }

    fn fill(&mut self, served: &Served) {
        let path = served.data.join("filler");
        let mut file = File::create(&path).unwrap();
        for piece in [65_536, 4_096, 1] {
            while file.write_all(&vec![b'x'; piece]).is_ok() {}
        }
        self.0 = Some(path);
    }

    fn free(&mut self) {
        std::fs::remove_file(self.0.take().unwrap()).unwrap();
    }
}

/// strace, which lets the system answer that there is no room to whatever makes files of the store grow.
#[derive(Default)]
struct Answered(Option<Child>);

impl Answered {
    fn is_possible() -> bool {
        let mut probe = Command::new("strace");
        probe.args(["-o", "/dev/null", "true"]).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    }
}

impl Disk for Answered {
    fn place(&self) -> Place {
        Place::new()
    }

    fn fill(&mut self, served: &Served) {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-q", "-o", "/dev/null", "-p", &served.id().to_string()]);
        strace.args(["-e", "inject=pwrite64,write,ftruncate,fallocate:error=ENOSPC"]);
        let copy = std::fs::read_dir(served.data.join("copy")).unwrap().map(|file| file.unwrap().path());
        let files = ["keyward.db", "keyward.db-wal", "keyward.db-shm", "access.log"];
        for file in files.iter().map(|name| served.data.join(name)).chain(copy) {
            strace.arg("-P").arg(file);
        }
        self.0 = Some(strace.stderr(Stdio::null()).spawn().unwrap());
        // From the moment on that every thread has it for its tracer.
        let tasks = format!("/proc/{}/task", served.id());
        let is_traced = |task: PathBuf| {
            let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        };
        while !std::fs::read_dir(&tasks).unwrap().flatten().all(|task| is_traced(task.path())) {
            std::thread::yield_now();
        }
    }

    fn free(&mut self) {
        let mut strace = self.0.take().unwrap();
        let id = rustix::process::Pid::from_child(&strace);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        strace.wait().unwrap();
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(mut strace) = self.0.take() {
            let _ = strace.kill();
            let _ = strace.wait();
        }
    }
}

async fn a_full_disk(disk: &mut impl Disk) {
    let upstream = Upstream::start().await.unwrap();
    let place = disk.place();
    let served = place.start_with(&world(&upstream.url())).await;
    let made = served.create("/v1/applications", r#"{"name": "shop"}"#).await.json();
    let secret = made["minted"][0]["value"].as_str().unwrap().to_owned();
    let reveal = format!("/v1/credentials/{}/reveal", made["credentials"][0]["id"].as_str().unwrap());
    assert_eq!(served.create(&reveal, "").await.json()["value"].as_str(), Some(secret.as_str()));
    let before = served.show("/v1/audit/verify").await["entries"].as_u64().unwrap();

    for round in 0..3 {
        disk.fill(&served);
        let name = format!("new-{round}");
        let body = format!(r#"{{"name": "{name}"}}"#);
        // What was reserved before the disk was full may still take one or two.
        let refused = until_async(async || {
            let made = served.create("/v1/applications", &body).await;
            let taken = made.status == 201;
            if taken {
                served.admin(create(&format!("/v1/applications/{name}"), "").method("DELETE")).await;
            }
            (!taken).then_some(made)
        });
        let refused = refused.await.expect("a refusal");
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (503, Some("disk_full")),
            "{}",
            refused.text()
        );
        for number in 0..20 {
            let keyed =
                create("/v1/applications", &body).header("Idempotency-Key", &format!("{name}-{number}"));
            let shown = create(&reveal, "");
            for request in [create("/v1/applications", &body), keyed, shown] {
                let refused = served.admin(request).await;
                assert_eq!(refused.status, 503, "{}", refused.text());
                let text = refused.text();
                assert!(
                    !text.contains("kw_secret_") && !text.contains(&secret),
                    "no secret without its audit entry"
                );
            }
            assert_eq!(served.call(&call()).await.status, 200, "calls go on");
            let nobody = Request::get("gw.test", "/orders/1").bearer("key-of-nobody-0123456789");
            assert_eq!(served.call(&nobody).await.status, 401);
        }
        // It stays in rotation, and says what is wrong.
        let ready = served.admin(Request::get("localhost", "/readyz")).await;
        assert!(ready.status == 200 && ready.text().contains("not well"), "{}", ready.text());
        let nodes = served.nodes().await;
        assert!(nodes[0]["trouble"].as_str().unwrap().contains("disk is full"), "{nodes:?}");
        assert_eq!(served.metric("keyward_store_takes_changes").await, 0.0);

        disk.free();
        let made = until_async(async || {
            let made = served.create("/v1/applications", &body).await;
            (made.status == 201).then_some(made)
        });
        made.await.expect("changes are taken again, without a restart");
        assert_eq!(served.create(&reveal, "").await.json()["value"].as_str(), Some(secret.as_str()));
        assert_eq!(served.metric("keyward_store_takes_changes").await, 1.0);
        assert_eq!(served.admin(Request::get("localhost", "/readyz")).await.text(), "ok\n");
        assert!(served.nodes().await[0].get("trouble").is_none());
    }
    let after = served.show("/v1/audit/verify").await["entries"].as_u64().unwrap();
    assert!(after >= before + 3 * 3, "the chain holds and has what was done");
    let names: Vec<String> = served
        .all("/v1/applications")
        .await
        .iter()
        .map(|made| made["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 4, "nothing that was refused is there: {names:?}");
}

#[tokio::test]
async fn dur_004_fail_017_calls_go_on_and_nothing_unaudited_happens_on_a_full_disk() {
    let (small, answered) = (Small::is_possible(), Answered::is_possible());
    assert!(small || answered, "neither mounts nor strace (scripts/setup.sh test) are to be had here");
    if small {
        a_full_disk(&mut Small::default()).await;
    }
    if answered {
        a_full_disk(&mut Answered::default()).await;
    }
}
