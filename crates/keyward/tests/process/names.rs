//! The resolver of names does not answer any more.

use std::process::{Command, Stdio};

use keyward_testkit::gateway::until_async;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

use crate::served::{Place, call, world};

/// Gives the process files of its own in place of the system's: `$0/hosts` and `$0/resolv.conf`.
const RESOLVER: &str =
    r#"mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@""#;

/// Nobody has this address (RFC 5737): what is sent there is never answered.
const NOBODY: &str = "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n";

fn can_mount() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// The resolver answers as long as this says so, then not any more.
enum Resolver {
    /// By files of the process's own.
    Files,
    /// By strace, which lets the system deny them.
    Denied(Option<std::process::Child>),
}

impl Resolver {
    fn place(&self) -> (Place, &'static str) {
        let place = Place::new();
        match self {
            Self::Denied(_) => (place, "localhost"),
            Self::Files => {
                place.write("hosts", "127.0.0.1 localhost origin.test\n");
                place.write("resolv.conf", NOBODY);
                let folder = place.file("");
                let mount = ["unshare", "-Urm", "sh", "-c", RESOLVER].map(Into::into);
                (place.under(mount.into_iter().chain([folder.into_os_string()])), "origin.test")
            }
        }
    }

    fn drop_out(&mut self, place: &Place, process: i32) {
        match self {
            Self::Files => {
                place.write("hosts", "");
            }
            Self::Denied(strace) => {
                let mut command = Command::new("strace");
                command.args(["-f", "-q", "-o", "/dev/null", "-P", "/etc/hosts", "-P", "/etc/resolv.conf"]);
                command.args(["-e", "inject=openat:error=ENOENT", "-p", &process.to_string()]);
                *strace = Some(command.stderr(Stdio::null()).spawn().unwrap());
            }
        }
    }

    fn come_back(&mut self, place: &Place) {
        match self {
            Self::Files => {
                place.write("hosts", "127.0.0.1 localhost origin.test late.test\n");
            }
            Self::Denied(strace) => {
                let mut strace = strace.take().unwrap();
                let id = rustix::process::Pid::from_child(&strace);
                rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
                strace.wait().unwrap();
            }
        }
    }
}

#[tokio::test]
async fn fail_015_known_addresses_go_on_being_used_and_rights_are_what_they_were() {
    // Each call needs a connection of its own, and so the address.
    let upstream = Upstream::answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 11\r\n\r\n{\"ok\":true}",
    );
    let upstream = upstream.await.unwrap();
    let mut resolver = if can_mount() { Resolver::Files } else { Resolver::Denied(None) };
    let (place, name) = resolver.place();
    let served = place.start_with(&world(&format!("http://{name}:{}", upstream.address().port()))).await;
    assert_eq!(served.call(&call()).await.status, 200);
    assert_eq!(served.metric("keyward_lookup_failures_total").await, 0.0);

    resolver.drop_out(&place, served.id());
    let wrong = Request::get("gw.test", "/orders/1").bearer("key-of-nobody-0123456789");
    let mut answered = 0;
    let failed = until_async(async || {
        assert_eq!(served.call(&call()).await.status, 200, "its address is known");
        assert_eq!(served.call(&wrong).await.status, 401);
        answered += 1;
        (served.metric("keyward_lookup_failures_total").await >= 2.0).then_some(())
    });
    failed.await.expect("what is known grows old, and is asked for in vain");
    // What is new is decided as ever; only a name that was never known leads nowhere.
    let late = format!(
        "version: 1\nservices: [{{name: late, kind: http, endpoints: [\"http://late.test:{}\"]}}]\n\
         apis: [{{name: other, kind: rest, hosts: [gw.test], base_path: /other, admits: [api_key], stages: {{RELEASE: \
         {{service: late}}}}}}]\nconsumers: [{{name: bob, api_key: {{sources: [bearer], keys: \
         [key-of-bob-0123456789-abcdefgh]}}}}]\ngrants: [{{to: {{consumer: bob}}, api: orders}}]\n",
        upstream.address().port()
    );
    served.apply(&late).await;
    let bob = |path: &str| Request::get("gw.test", path).bearer("key-of-bob-0123456789-abcdefgh");
    assert_eq!(served.call(&bob("/orders/1")).await.status, 200);
    assert_eq!(served.call(&bob("/other/1")).await.status, 403, "rights are judged before names");
    served.apply("version: 1\ngrants: [{to: {consumer: ann}, api: other}]\n").await;
    let unknown = Request { target: "/other/1".into(), ..call() };
    assert!(matches!(served.call(&unknown).await.status, 502..=504));
    served.create("/v1/consumers/bob/disable", "").await;
    assert_eq!(served.call(&bob("/orders/1")).await.status, 403);
    assert_eq!(served.call(&call()).await.status, 200);

    resolver.come_back(&place);
    if matches!(resolver, Resolver::Files) {
        let found = until_async(async || (served.call(&unknown).await.status == 200).then_some(()));
        found.await.expect("names are looked up again");
    }
    assert!(answered > 0 && upstream.hits() > answered);
}
