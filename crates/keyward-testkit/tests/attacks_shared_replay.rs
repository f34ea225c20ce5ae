//! The attack catalogue, class replay-time, where nodes share their replay memory in a real Redis.

use std::time::Duration;

use keyward_testkit::client::{Answer, Connection};
use keyward_testkit::fixture::{self, A0, B0, HOST};
use keyward_testkit::gateway::{Gateway, Setup, until_async};
use keyward_testkit::postgres::Postgres;
use keyward_testkit::redis::Redis;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;
use tempfile::TempDir;

async fn node(redis: &Redis) -> Gateway {
    // Patient where the machine is busy: what is tested is what is answered.
    node_with(redis, Duration::from_secs(1)).await
}

async fn node_with(redis: &Redis, budget: Duration) -> Gateway {
    let setup = Setup { replay_redis: Some((redis.url(), budget)), ..Setup::default() };
    Gateway::start_with(&fixture::world(), setup).await
}

/// Two nodes on one store and one Redis.
async fn two_nodes(redis: &Redis, keys: &TempDir) -> [Gateway; 2] {
    let database = Postgres::shared().database();
    let setup = Setup {
        store: Some((database.url(), keys.path().join("master.key"))),
        replay_redis: Some((redis.url(), Duration::from_secs(1))),
        ..Setup::default()
    };
    let one = Gateway::start_with(&fixture::world(), setup.clone()).await;
    [one, Gateway::start_with(&fixture::world(), setup).await]
}

fn signed(gateway: &Gateway, pair: (&str, &str), target: &str, nonce: &str, offset_ms: i64) -> Request {
    let signing = Signing::alibaba(pair.0, pair.1).fresh(gateway.now_ms() + offset_ms, nonce);
    Request::get(HOST, target).signed(&signing)
}

fn once(gateway: &Gateway, nonce: &str) -> Request {
    signed(gateway, A0, "/once/x", nonce, 0)
}

/// What becomes of a nonce of its own, until this does.
async fn until_status(gateway: &Gateway, what: &str, wanted: u16) {
    let mut tries = 0;
    let reached = until_async(async || {
        tries += 1;
        let answer = gateway.call(&once(gateway, &format!("nonce-{what}-{tries:08}"))).await;
        (answer.status == wanted).then_some(())
    });
    reached.await.unwrap_or_else(|| panic!("{what}: never {wanted}"));
}

async fn reason(gateway: &Gateway, answer: &Answer) -> String {
    gateway.reason_of(answer).await
}

#[tokio::test]
async fn replay_002_the_same_nonce_passes_once_over_two_nodes() {
    let redis = Redis::start().await;
    let keys = tempfile::tempdir().unwrap();
    let nodes = two_nodes(&redis, &keys).await;
    let bytes = once(&nodes[0], "nonce-of-two-nodes-0001").to_bytes();
    let mut tasks = tokio::task::JoinSet::new();
    for place in 0..200 {
        let (address, bytes) = (nodes[place % 2].address(), bytes.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await.unwrap();
            connection.send(&bytes).await.unwrap();
            connection.answer(false).await.unwrap().status
        });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 401)), "{statuses:?}");
    assert_eq!(nodes.iter().map(|node| node.upstream().hits()).sum::<usize>(), 1);

    // A body that was held, or came with its head, is judged with its request.
    let post = |place: usize, body: &str| {
        let signing = Signing::alibaba(A0.0, A0.1).fresh(nodes[place].now_ms(), "nonce-of-a-body-000001");
        let request = Request::get(HOST, "/once/x").method("POST").header("Content-Type", "application/json");
        request.body(body).signed(&signing)
    };
    let large = format!("\"{}\"", "x".repeat(100_000));
    assert_eq!(nodes[0].call(&post(0, &large)).await.status, 200);
    // Nodes of one store have one service: the one that was described last.
    let whole = |node: &Gateway| node.upstream().last().filter(|request| request.body == large.as_bytes());
    let arrived = || nodes.iter().find_map(whole);
    keyward_testkit::gateway::until(arrived).await.expect("the body, whole");
    let again = nodes[1].call(&post(1, "{}")).await;
    assert_eq!((again.status, reason(&nodes[1], &again).await.as_str()), (401, "nonce_replayed"));
    // Another application may use it.
    let other = signed(&nodes[1], B0, "/once/x", "nonce-of-a-body-000001", 0);
    assert_eq!(nodes[1].call(&other).await.status, 200);
}

#[tokio::test]
async fn a_shared_window_outlives_the_nodes() {
    let redis = Redis::start().await;
    let keys = tempfile::tempdir().unwrap();
    let [one, two] = two_nodes(&redis, &keys).await;
    let request = once(&one, "nonce-that-outlives-0001");
    assert_eq!(one.call(&request).await.status, 200);
    drop(one);
    let two = two.restart().await;
    let again = two.call(&request).await;
    assert_eq!((again.status, reason(&two, &again).await.as_str()), (401, "nonce_replayed"));
    let key = redis.command("KEYS keyward:nonce:app_*").unwrap();
    assert!(key.contains("nonce-that-outlives-0001"), "{key}");
    let kept: i64 = {
        let name = key.lines().find(|line| line.starts_with("keyward:")).unwrap().to_owned();
        redis.command(&format!("PTTL {name}")).unwrap().trim_start_matches(':').trim().parse().unwrap()
    };
    assert!((900_000..=961_000).contains(&kept), "kept for {kept} ms");
}

#[tokio::test]
async fn replay_010_without_redis_who_requires_a_nonce_refuses_and_nobody_else_does() {
    let mut redis = Redis::start().await;
    let gateway = node_with(&redis, Duration::from_millis(50)).await;
    until_status(&gateway, "begin", 200).await;
    for way in ["killed", "frozen", "slow"] {
        match way {
            "killed" => redis.kill(),
            "frozen" => redis.freeze(),
            _ => assert!(redis.command("CLIENT PAUSE 600000 ALL").unwrap().starts_with("+OK")),
        }
        let answer = gateway.call(&once(&gateway, &format!("nonce-while-{way}-0001"))).await;
        assert_eq!(answer.status, 503, "{way}");
        assert_eq!(reason(&gateway, &answer).await, "replay_memory_unavailable", "{way}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{way}");
        // Where a nonce is not required, one that cannot be remembered counts for nothing; and none is as ever.
        let optional = signed(&gateway, A0, "/orders/1", &format!("optional-while-{way}-0001"), 0);
        assert_eq!(gateway.call(&optional).await.status, 200, "{way}");
        let twice = gateway.call(&optional).await;
        assert_eq!(reason(&gateway, &twice).await, "nonce_replayed", "{way}: this node still knows");
        let plain = Request::get(HOST, "/orders/1").signed(&Signing::alibaba(A0.0, A0.1));
        assert_eq!(gateway.call(&plain).await.status, 200, "{way}");
        until_status(&gateway, way, 503).await;
        match way {
            "killed" => redis.run().await,
            "frozen" => redis.thaw(),
            // The pause holds for every command; ending the process is how it ends here.
            _ => {
                redis.kill();
                redis.run().await;
            }
        }
        until_status(&gateway, &format!("after-{way}"), 200).await;
    }
}

#[tokio::test]
async fn replay_010_a_redis_that_forgot_is_not_believed_about_the_time_before() {
    let mut redis = Redis::start().await;
    let keys = tempfile::tempdir().unwrap();
    let nodes = two_nodes(&redis, &keys).await;
    until_status(&nodes[0], "begin", 200).await;
    let request = once(&nodes[0], "nonce-before-the-loss-001");
    assert_eq!(nodes[0].call(&request).await.status, 200);
    for node in &nodes {
        node.advance_ms(5_000);
    }
    for way in ["flushed", "killed"] {
        if way == "flushed" {
            assert!(redis.command("FLUSHALL").unwrap().starts_with("+OK"));
        } else {
            redis.kill();
            redis.run().await;
        }
        // The other node never saw it, and Redis does not know it any more.
        let again = until_async(async || {
            let answer = nodes[1].call(&request).await;
            assert_ne!(answer.status, 200, "{way}: a replay passed");
            (answer.status == 401).then_some(())
        });
        // The first try is remembered by the node itself.
        again.await.unwrap();
        let before = signed(&nodes[1], A0, "/once/x", &format!("another-before-{way}-01"), -5_000);
        let answer = nodes[1].call(&before).await;
        assert_eq!(reason(&nodes[1], &answer).await, "replay_memory_unavailable", "{way}");
        until_status(&nodes[1], &format!("after-{way}"), 200).await;
        for node in &nodes {
            node.advance_ms(5_000);
        }
    }
}

#[tokio::test]
async fn replay_010_a_node_starts_without_redis_and_finds_it_later() {
    let mut redis = Redis::start().await;
    redis.kill();
    let gateway = node_with(&redis, Duration::from_millis(50)).await;
    let answer = gateway.call(&once(&gateway, "nonce-before-redis-0001")).await;
    assert_eq!((answer.status, reason(&gateway, &answer).await.as_str()), (503, "replay_memory_unavailable"));
    redis.run().await;
    until_status(&gateway, "later", 200).await;
}

#[tokio::test]
async fn an_applications_cap_holds_with_a_shared_memory() {
    let redis = Redis::start().await;
    let setup = Setup {
        replay_redis: Some((redis.url(), Duration::from_secs(1))),
        replay_cap: Some(3),
        ..Setup::default()
    };
    let gateway = Gateway::start_with(&fixture::world(), setup).await;
    let mut statuses = Vec::new();
    for number in 0..5 {
        statuses.push(gateway.call(&once(&gateway, &format!("nonce-of-the-cap-{number:04}"))).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 503, 503]);
    let other = signed(&gateway, B0, "/once/x", "nonce-of-another-00001", 0);
    assert_eq!(gateway.call(&other).await.status, 200);
}

#[tokio::test]
async fn a_revocation_while_a_request_waits_is_heeded() {
    let redis = Redis::start().await;
    let gateway = node(&redis).await;
    until_status(&gateway, "begin", 200).await;
    redis.freeze();
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let asked = || async {
        let page = gateway.admin(Request::get("localhost", "/metrics")).await.text();
        let active = page.lines().find_map(|line| line.strip_prefix("keyward_requests_active "));
        active.map(str::to_owned)
    };
    connection.send(&once(&gateway, "nonce-that-waits-000001").to_bytes()).await.unwrap();
    until_async(async || (asked().await.as_deref() == Some("1")).then_some(())).await.expect("it waits");
    gateway.operate("{disable: {application: A}}").await;
    redis.thaw();
    let answer = connection.answer(false).await.unwrap();
    // Word may have come too late on a busy machine; it does not pass either way.
    assert!(matches!(answer.status, 403 | 503), "{}", answer.status);
}
