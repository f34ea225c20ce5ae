//! A node that may take 256 MiB, and callers who make it keep as much as they can.

use std::path::PathBuf;
use std::time::Instant;

use keyward_testkit::client::Connection;
use keyward_testkit::gateway::until_async;
use keyward_testkit::upstream::Upstream;
use tokio::task::JoinSet;

use crate::served::{KEY, Place, Served, call, create};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 256 * MIB;

/// A control group of this test's own that ends whoever takes more, where one can be made.
struct Group(PathBuf);

impl Group {
    fn make() -> Option<Self> {
        let name = format!("keyward-test-{}", std::process::id());
        for (root, file) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let group = Self(PathBuf::from(root).join(&name));
            let made = std::fs::create_dir(&group.0).is_ok()
                && std::fs::write(group.0.join(file), LIMIT.to_string()).is_ok();
            // Without swap, where that can be said.
            let _ = std::fs::write(group.0.join("memory.swap.max"), "0");
            if made {
                return Some(group);
            }
        }
        None
    }

    /// The program that joins it before it becomes the one that follows.
    fn runner(&self) -> [std::ffi::OsString; 4] {
        let join = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        ["sh".into(), "-c".into(), join.into(), self.0.clone().into_os_string()]
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The most memory that the process ever had, as the system tells it.
fn most(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

const WORLD: &str = r#"
version: 1
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - {name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key], stages: {RELEASE: {service: origin}}}
  - {name: forms, kind: rest, hosts: [gw.test], base_path: /forms, admits: [app_signature], stages: {RELEASE: {service: origin}}}
applications: [{name: shop, key_pairs: [{app_key: shop-key, app_secret: shop-secret-0123456789}]}]
consumers: [{name: ann, api_key: {sources: [bearer], keys: [${KEY}]}}]
grants: [{to: {consumer: ann}, api: orders}, {to: {application: shop}, api: forms}]
"#;

/// What an attacker sends and never ends, by kind.
fn attack(kind: usize) -> Vec<u8> {
    let head = "Host: gw.test\r\nX-Ca-Key: shop-key\r\nX-Ca-Signature: AAAA\r\nX-Ca-Signature-Headers: \r\n";
    let fields =
        |count: usize| (0..count).map(|n| format!("X-{n}: {}\r\n", "h".repeat(480))).collect::<String>();
    match kind % 4 {
        // A head that is nearly as large as it may be.
        0 => format!("GET /orders/1 HTTP/1.1\r\n{head}{}", fields(62)).into_bytes(),
        // A form, which is held back until its last byte is there.
        1 => {
            let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000000\r\n\r\na=";
            let mut bytes = format!("POST /forms/1 HTTP/1.1\r\n{head}{form}").into_bytes();
            bytes.extend_from_slice(&vec![b'f'; 999_000]);
            bytes
        }
        // Both.
        2 => {
            let form = "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\na=";
            let mut bytes = format!("POST /forms/1 HTTP/1.1\r\n{head}{}{form}", fields(60)).into_bytes();
            bytes.extend_from_slice(&vec![b'f'; 999_000]);
            bytes
        }
        // A granted request whose answer is not taken.
        _ => {
            let one =
                format!("GET /orders/1 HTTP/1.1\r\nHost: gw.test\r\nAuthorization: Bearer {KEY}\r\n\r\n");
            one.repeat(2_000).into_bytes()
        }
    }
}

#[tokio::test]
async fn fail_013_a_node_sheds_load_before_it_takes_more_memory_than_it_may() {
    let upstream = Upstream::start().await.unwrap();
    let group = Group::make();
    println!("a control group of its own: {}", group.is_some());
    let place = match &group {
        Some(group) => Place::new().under(group.runner()),
        None => Place::new().with(["--memory-mib", "256"]),
    };
    let world = WORLD.replace("${UPSTREAM}", &upstream.url()).replace("${KEY}", KEY);
    let served = place.start_with(&world).await;
    let quiet = most(&served);
    let mut good = Connection::open(served.gateway).await.unwrap();
    assert_eq!(good.call(&call()).await.unwrap().status, 200);

    // In waves, for whoever is turned away comes again.
    let waves = if std::env::var_os("KEYWARD_SOAK").is_some() { 40 } else { 4 };
    for wave in 0..waves {
        let mut attackers = JoinSet::new();
        for number in 0..800 {
            let to = served.gateway;
            attackers.spawn(async move {
                let mut connection = Connection::open(to).await.ok()?;
                // It may be turned away in the middle.
                let attack = attack(number + wave);
                let sending = connection.send(&attack);
                let _ = tokio::time::timeout(std::time::Duration::from_secs(5), sending).await;
                Some(connection)
            });
            if number % 20 == 0 {
                assert_eq!(good.call(&call()).await.unwrap().status, 200, "who is being served goes on");
            }
        }
        let held = attackers.join_all().await;
        assert_eq!(good.call(&call()).await.unwrap().status, 200);
        assert!(held.len() == 800);
    }
    assert!(served.metric("keyward_connections_shed_total").await > 0.0, "there were more than fit");
    let answer = until_async(async || {
        let answer = Connection::open(served.gateway).await.ok()?.call(&call()).await.ok()?;
        (answer.status == 200).then_some(())
    });
    answer.await.expect("newcomers are served again once the attack is over");
    let peak = most(&served);
    println!("most memory: {} MiB before, {} MiB under attack", quiet / MIB, peak / MIB);
    assert!(peak < LIMIT, "{} MiB", peak / MIB);

    // Whoever is ended all the same is back with everything that was acknowledged.
    let made = served.create("/v1/consumers", r#"{"name": "late"}"#).await;
    assert_eq!(made.status, 201);
    let disabled = served.admin(create("/v1/consumers/ann/disable", "")).await;
    assert_eq!(disabled.status, 200);
    served.kill();
    let killed = Instant::now();
    let served = place.start().unwrap();
    println!("serving again after {:?}", killed.elapsed());
    assert_eq!(served.call(&call()).await.status, 403, "with its state");
    assert_eq!(served.show("/v1/consumers/late").await["name"], "late");
    drop(served);
}
