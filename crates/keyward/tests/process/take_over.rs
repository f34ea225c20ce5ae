//! A new process takes over from the running one, under load: no call fails, streams end by themselves, and what was used up or
//! revoked is so in both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{SystemTime, UNIX_EPOCH};

use keyward_testkit::client::Connection;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;
use keyward_testkit::upstream::Upstream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::served::{KEY, Place, Served, call, create};

const WORLD: &str = r#"
version: 1
services:
  - {name: origin, kind: http, endpoints: ["${UPSTREAM}"]}
  - {name: streams, kind: http, endpoints: ["${STREAMS}"]}
apis:
  - {name: orders, kind: rest, hosts: [gw.test], base_path: /orders, admits: [api_key], stages: {RELEASE: {service: origin}}}
  - {name: signed, kind: rest, hosts: [gw.test], base_path: /signed, admits: [app_signature], signature: {require_nonce: true},
     stages: {RELEASE: {service: origin}}}
  - {name: streams, kind: rest, hosts: [gw.test], base_path: /streams, admits: [api_key], stages: {RELEASE: {service: streams}}}
applications: [{name: shop, key_pairs: [{app_key: shop-key, app_secret: shop-secret-0123456789}]}]
consumers:
  - {name: ann, api_key: {sources: [bearer], keys: [${KEY}]}}
  - {name: bob, api_key: {sources: [bearer], keys: [${BOB}]}}
grants:
  - {to: {consumer: ann}, api: orders}
  - {to: {consumer: bob}, api: orders}
  - {to: {consumer: ann}, api: streams}
  - {to: {application: shop}, api: signed}
"#;

const BOB: &str = "key-of-bob-0123456789-abcdefgh";

/// Answers every request with the beginning of a stream, and with its end once that is told.
async fn streams(mut end: watch::Receiver<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    end.mark_unchanged();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut end = end.clone();
            end.mark_unchanged();
            tokio::spawn(async move {
                let mut read = vec![0; 8_192];
                let _ = stream.read(&mut read).await;
                let begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
                let _ = stream.write_all(begin).await;
                let _ = end.changed().await;
                let _ = stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await;
            });
        }
    });
    address
}

/// Calls without end, each of which must be answered.
#[derive(Default)]
struct Load {
    answered: AtomicUsize,
    revoked: AtomicBool,
    over: AtomicBool,
}

impl Load {
    async fn go_on(self: Arc<Self>, gateway: SocketAddr, key: &'static str) {
        let request = Request::get("gw.test", "/orders/1").bearer(key);
        let mut connection = Connection::open(gateway).await.unwrap();
        while !self.over.load(SeqCst) {
            let revoked = self.revoked.load(SeqCst);
            let answer = connection.call(&request).await.expect("an answer, whoever decides");
            match (key == BOB, revoked) {
                (false, _) => assert_eq!(answer.status, 200, "{}", answer.text()),
                (true, true) => assert_eq!(answer.status, 403, "it was revoked before this was asked"),
                (true, false) => assert!(matches!(answer.status, 200 | 403), "{}", answer.text()),
            }
            self.answered.fetch_add(1, SeqCst);
            if answer.header("connection").is_some_and(|said| said.eq_ignore_ascii_case("close")) {
                connection = Connection::open(gateway).await.expect("a connection, whoever accepts");
            }
        }
    }

    async fn more(&self, calls: usize) {
        let wanted = self.answered.load(SeqCst) + calls;
        while self.answered.load(SeqCst) < wanted {
            tokio::task::yield_now().await;
        }
    }
}

fn signed(nonce: &str) -> Request {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    Request::get("gw.test", "/signed/1")
        .signed(&Signing::alibaba("shop-key", "shop-secret-0123456789").fresh(now, nonce))
}

/// Starts the next process, which takes over from this one.
async fn next(place: &Arc<Place>) -> Served {
    let place = Arc::clone(place);
    // Beside this test, whose clients call meanwhile.
    let started = tokio::task::spawn_blocking(move || place.start());
    started.await.unwrap().unwrap_or_else(|said| panic!("it does not take over: {said}"))
}

#[tokio::test]
async fn fail_011_a_new_process_takes_over_under_load_and_no_call_fails() {
    let upstream = Upstream::start().await.unwrap();
    let (end, ends) = watch::channel(0);
    let streaming = streams(ends).await;
    let place = Arc::new(Place::new().with(["--take-over"]));
    // Where nobody runs it starts as ever.
    let mut served = next(&place).await;
    let world = WORLD.replace("${UPSTREAM}", &upstream.url()).replace("${KEY}", KEY).replace("${BOB}", BOB);
    served.apply(&world.replace("${STREAMS}", &format!("http://{streaming}"))).await;
    let (gateway, admin) = (served.gateway, served.admin);

    let rounds = if std::env::var_os("KEYWARD_SOAK").is_some() { 20 } else { 2 };
    for round in 0..rounds {
        let load = Arc::new(Load::default());
        let mut busy = JoinSet::new();
        for client in 0..12 {
            busy.spawn(Arc::clone(&load).go_on(gateway, if client % 3 == 0 { BOB } else { KEY }));
        }
        load.more(300).await;
        let mut long = Vec::new();
        for _ in 0..3 {
            let mut stream = Connection::open(gateway).await.unwrap();
            stream.send(&Request { target: "/streams/1".into(), ..call() }.to_bytes()).await.unwrap();
            assert_eq!(stream.answer_head().await.unwrap().status, 200);
            long.push(stream);
        }
        let used = signed(&format!("nonce-{round}"));
        assert_eq!(served.call(&used).await.status, 200);

        // While one takes over from the other somebody is disabled, by whichever of them answers.
        let (token, revoking) = (served.token.clone(), Arc::clone(&load));
        busy.spawn(async move {
            revoking.more(200).await;
            let disable = create("/v1/consumers/bob/disable", "").bearer(&token);
            let done = keyward_testkit::client::call(admin, &disable).await.unwrap();
            assert_eq!(done.status, 200, "{}", done.text());
            revoking.revoked.store(true, SeqCst);
        });
        let new = next(&place).await;
        assert_eq!((new.gateway, new.admin), (gateway, admin), "it is where the other was");
        assert_ne!(new.id(), served.id());
        load.more(300).await;
        assert_eq!(new.call(&used).await.status, 401, "a nonce that was used is used");
        assert_eq!(new.call(&signed(&format!("fresh-{round}"))).await.status, 200, "and the memory is whole");

        // Streams that began before end in the process that began them, which ends after them.
        end.send_modify(|count| *count += 1);
        for mut stream in long {
            let rest = String::from_utf8(stream.until_closed().await.unwrap()).unwrap();
            assert!(rest.contains("first") && rest.ends_with("last\r\n0\r\n\r\n"), "{rest:?}");
        }
        let old = std::mem::replace(&mut served, new);
        let ended = tokio::task::spawn_blocking(move || old.ended());
        assert_eq!(ended.await.unwrap(), Some(0));
        while !load.revoked.load(SeqCst) {
            load.more(1).await;
        }
        load.more(300).await;
        load.over.store(true, SeqCst);
        while let Some(ended) = busy.join_next().await {
            ended.unwrap();
        }
        println!("round {round}: {} calls, none failed", load.answered.load(SeqCst));
        assert_eq!(served.create("/v1/consumers/bob/enable", "").await.status, 200);
        assert!(served.show("/v1/audit/verify").await["entries"].as_u64().unwrap() > 0);
    }
    assert_eq!(served.stop(), Some(0));
}
