//! More against signatures, nonces and grants through the live gateway: what somebody may try who has seen a sound
//! request, or holds another key pair.

use keyward_testkit::cases;
use keyward_testkit::client::Connection;
use keyward_testkit::fixture::{A_CODE, A0, A1, B0, C0, HOST, K1};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::signer::{Signing, sign};

fn signing(gateway: &Gateway, nonce: &str) -> Signing {
    Signing::alibaba(A0.0, A0.1).fresh(gateway.now_ms(), nonce)
}

fn sound(gateway: &Gateway, base: &str, nonce: &str) -> Request {
    Request::get(HOST, &format!("{base}?a=1&b=2"))
        .method("POST")
        .header("Accept", "application/json")
        .header("Content-Type", "application/json")
        .header("Date", "Mon, 01 Jun 2026 12:00:00 GMT")
        .header("X-Trace", "one")
        .body(r#"{"amount":1}"#)
        .signed(&Signing { sign_headers: vec!["X-Trace".into()], ..signing(gateway, nonce) })
}

/// Each is refused with 400 or 401.
async fn are_refused(gateway: &Gateway, requests: Vec<(String, Request)>) {
    let messages: Vec<_> = requests.iter().map(|(_, request)| request.to_bytes()).collect();
    for ((answer, _), (what, request)) in cases::refused_all(gateway, messages).await.iter().zip(&requests) {
        assert!(matches!(answer.status, 400 | 401), "{what}: {request:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_seen_request_cannot_be_turned_into_another() {
    let gateway = Gateway::fixture().await;
    for base in ["/orders", "/strict"] {
        let good = sound(&gateway, base, &format!("nonce-of-the-seen-one-{base}"));
        assert_eq!(gateway.call(&good).await.status, 200, "{base}");
    }
    let changes: Vec<(&str, Box<dyn Fn(&mut Request)>)> = vec![
        ("another body", Box::new(|r| r.body = br#"{"amount":9}"#.to_vec())),
        (
            "no body",
            Box::new(|r| {
                r.body.clear();
                r.announce_empty = true
            }),
        ),
        ("a longer body", Box::new(|r| r.body.push(b' '))),
        (
            "another body with its digest",
            Box::new(|r| {
                r.body = b"[]".to_vec();
                r.set("Content-MD5", "11FxOYiYfpMxmANj4kGJzg==");
            }),
        ),
        ("a digest in hexadecimal", Box::new(|r| r.set("Content-MD5", "d751713988987e9331980363e24189ce"))),
        ("an empty digest", Box::new(|r| r.set("Content-MD5", ""))),
        ("no digest", Box::new(|r| r.remove("Content-MD5"))),
        (
            "two digests",
            Box::new(|r| r.headers.push(("Content-MD5".into(), "11FxOYiYfpMxmANj4kGJzg==".into()))),
        ),
        ("a second content type", Box::new(|r| r.headers.push(("Content-Type".into(), "text/xml".into())))),
        ("a second accept", Box::new(|r| r.headers.push(("Accept".into(), "text/xml".into())))),
        (
            "a second date",
            Box::new(|r| r.headers.push(("Date".into(), "Tue, 02 Jun 2026 12:00:00 GMT".into()))),
        ),
        ("a second signed header", Box::new(|r| r.headers.push(("X-Trace".into(), "two".into())))),
        ("another signed header", Box::new(|r| r.set("X-Trace", "two"))),
        ("no signed header", Box::new(|r| r.remove("X-Trace"))),
        ("another path", Box::new(|r| r.target = "/orders/?a=1&b=2".into())),
        ("an escaped path", Box::new(|r| r.target = "/order%73?a=1&b=2".into())),
        ("a parameter more", Box::new(|r| r.target.push_str("&c=3"))),
        ("a parameter less", Box::new(|r| r.target = "/orders?a=1".into())),
        ("another value", Box::new(|r| r.target = "/orders?a=1&b=3".into())),
        ("two joined", Box::new(|r| r.target = "/orders?a=1%26b=2".into())),
        ("another case", Box::new(|r| r.target = "/orders?A=1&b=2".into())),
        ("another method", Box::new(|r| r.method = "GET".into())),
        ("a stage", Box::new(|r| r.set("X-Ca-Stage", "TEST"))),
        ("a stage in the path", Box::new(|r| r.target = "/test/orders?a=1&b=2".into())),
        ("another nonce", Box::new(|r| r.set("X-Ca-Nonce", "nonce-of-another-one-22"))),
        ("two nonces", Box::new(|r| r.headers.push(("X-Ca-Nonce".into(), "nonce-of-another-one-22".into())))),
        ("another timestamp", Box::new(|r| r.set("X-Ca-Timestamp", "1780315200001"))),
        ("another key", Box::new(|r| r.set("X-Ca-Key", B0.0))),
        ("the other pair", Box::new(|r| r.set("X-Ca-Key", A1.0))),
        ("two keys", Box::new(|r| r.headers.push(("X-Ca-Key".into(), B0.0.into())))),
        ("a key in other letters", Box::new(|r| r.set("X-Ca-Key", &A0.0.to_uppercase()))),
        ("two signatures", Box::new(|r| r.headers.push(("X-Ca-Signature".into(), "AAAA".into())))),
        ("no signature", Box::new(|r| r.remove("X-Ca-Signature"))),
        ("an empty signature", Box::new(|r| r.set("X-Ca-Signature", ""))),
        ("a weaker algorithm", Box::new(|r| r.set("X-Ca-Signature-Method", "HmacSHA1"))),
        ("no algorithm", Box::new(|r| r.set("X-Ca-Signature-Method", "none"))),
        ("an unknown algorithm", Box::new(|r| r.set("X-Ca-Signature-Method", "HmacMD5"))),
        (
            "two algorithms",
            Box::new(|r| {
                r.headers.push(("X-Ca-Signature-Method".into(), "HmacSHA256".into()));
                r.headers.push(("X-Ca-Signature-Method".into(), "HmacSHA1".into()));
            }),
        ),
        (
            "a shorter list",
            Box::new(|r| r.set("X-Ca-Signature-Headers", "X-Ca-Key,X-Ca-Nonce,X-Ca-Timestamp")),
        ),
        ("no list", Box::new(|r| r.remove("X-Ca-Signature-Headers"))),
        ("an empty list", Box::new(|r| r.set("X-Ca-Signature-Headers", ""))),
        ("two lists", Box::new(|r| r.headers.push(("X-Ca-Signature-Headers".into(), "X-Ca-Key".into())))),
        (
            "a longer list",
            Box::new(|r| {
                let list = r.value("x-ca-signature-headers").unwrap_or_default();
                r.set("X-Ca-Signature-Headers", &format!("{list},X-More"));
            }),
        ),
        ("a list of a thousand", Box::new(|r| r.set("X-Ca-Signature-Headers", &"X-Ca-Key,".repeat(1000)))),
        ("an AppCode beside it", Box::new(|r| r.set("Authorization", &format!("APPCODE {A_CODE}")))),
        ("an API key beside it", Box::new(|r| r.set("Authorization", &format!("Bearer {K1}")))),
    ];
    for base in ["/orders", "/strict"] {
        let mut requests = Vec::new();
        for (index, (what, change)) in changes.iter().enumerate() {
            // Alibaba's own text cannot tell these two apart: strict refuses what `compatible` must take. And a kind
            // that the API does not admit is ignored.
            let passes = match *what {
                "two joined" => base == "/orders",
                "an AppCode beside it" => true,
                "an API key beside it" => base == "/strict",
                _ => false,
            };
            // With another nonce for each, so that only the change can be the reason.
            let mut request = sound(&gateway, base, &format!("nonce-of-the-change-{index:03}{base}"));
            change(&mut request);
            request.target = request.target.replace("/orders", base).replace("/order%73", "/%73trict");
            if !passes {
                requests.push((format!("{base}: {what}"), request));
            }
        }
        are_refused(&gateway, requests).await;
    }
}

#[tokio::test]
async fn a_secret_signs_for_its_own_key_only() {
    let gateway = Gateway::fixture().await;
    let pairs = [
        (A0.0, B0.1),
        (B0.0, A0.1),
        (A0.0, A1.1),
        (A1.0, A0.1),
        (C0.0, A0.1),
        (A0.0, ""),
        ("", A0.1),
        ("nobody", A0.1),
    ];
    let requests = pairs.iter().enumerate().map(|(index, (key, secret))| {
        let signing =
            Signing::alibaba(key, secret).fresh(gateway.now_ms(), &format!("nonce-of-the-pair-{index:03}"));
        (format!("{key} with another's secret"), Request::get(HOST, "/orders/1").signed(&signing))
    });
    let requests = requests.collect();
    are_refused(&gateway, requests).await;
    // An Alibaba pair does not sign as Tencent's clients do.
    for scheme in ["tencent", "tencent_key_pair"] {
        let signing = Signing { scheme: scheme.into(), ..signing(&gateway, "nonce-of-another-scheme") };
        are_refused(&gateway, vec![(scheme.into(), Request::get(HOST, "/orders/1").signed(&signing))]).await;
    }
    for algorithm in ["HmacSHA1", "HmacSHA384", "HmacSHA512"] {
        let signing = Signing { algorithm: algorithm.into(), ..signing(&gateway, "nonce-of-an-algorithm") };
        let request = Request::get(HOST, "/orders/1").signed(&signing);
        let (answer, reason) = cases::refused(&gateway, &request.to_bytes()).await;
        assert_eq!((answer.status, reason.as_str()), (401, "algorithm_not_admitted"), "{algorithm}");
    }
}

#[tokio::test]
async fn a_forgery_does_not_use_up_a_nonce() {
    let gateway = Gateway::fixture().await;
    let nonce = "nonce-that-was-overheard";
    let request = |secret: &str, path: &str| {
        Request::get(HOST, path).signed(&Signing::alibaba(A0.0, secret).fresh(gateway.now_ms(), nonce))
    };
    for _ in 0..3 {
        let forged = request("not-the-secret-0123456789", "/once/x");
        assert_eq!(cases::refused(&gateway, &forged.to_bytes()).await.1, "proof_mismatch");
    }
    let late = Request::get(HOST, "/once/x")
        .signed(&Signing::alibaba(A0.0, A0.1).fresh(gateway.now_ms() - 901_000, nonce));
    assert_eq!(cases::refused(&gateway, &late.to_bytes()).await.1, "proof_expired");
    assert_eq!(gateway.call(&request(A0.1, "/once/x")).await.status, 200);
    for path in ["/once/x", "/once/y", "/once/x?a=1"] {
        let (answer, reason) = cases::refused(&gateway, &request(A0.1, path).to_bytes()).await;
        assert_eq!((answer.status, reason.as_str()), (401, "nonce_replayed"), "{path}");
    }
    // Another API and another secret of the same application change nothing about it.
    let other =
        Request::get(HOST, "/once/x").signed(&Signing::alibaba(A1.0, A1.1).fresh(gateway.now_ms(), nonce));
    assert_eq!(cases::refused(&gateway, &other.to_bytes()).await.1, "nonce_replayed");
    let upper = Request::get(HOST, "/once/x")
        .signed(&Signing::alibaba(A0.0, A0.1).fresh(gateway.now_ms(), &nonce.to_uppercase()));
    assert_eq!(gateway.call(&upper).await.status, 200, "a nonce in other letters is another one");
}

#[tokio::test]
async fn timestamps_count_to_the_millisecond_and_only_when_signed() {
    let gateway = Gateway::fixture().await;
    for (index, (offset, status)) in [
        (-900_000, 200),
        (-900_001, 401),
        (900_000, 200),
        (900_001, 401),
        (-86_400_000, 401),
        (86_400_000, 401),
    ]
    .into_iter()
    .enumerate()
    {
        let signing = Signing::alibaba(A0.0, A0.1)
            .fresh(gateway.now_ms() + offset, &format!("nonce-of-the-window-{index:03}"));
        let answer = gateway.call(&Request::get(HOST, "/once/x").signed(&signing)).await;
        assert_eq!(answer.status, status, "{offset} ms: {answer:?}");
    }
    // Sent, but not signed: as good as absent.
    for unsigned in ["X-Ca-Timestamp", "X-Ca-Nonce"] {
        let mut signing = Signing::alibaba(A0.0, A0.1);
        let mut request = Request::get(HOST, "/once/x");
        if unsigned == "X-Ca-Nonce" {
            signing.timestamp_ms = Some(gateway.now_ms());
        } else {
            signing.nonce = Some("nonce-of-the-unsigned-1".into());
        }
        sign(&mut request, &signing);
        let value = if unsigned == "X-Ca-Nonce" {
            "nonce-of-the-unsigned-2".to_owned()
        } else {
            gateway.now_ms().to_string()
        };
        request.set(unsigned, &value);
        let (answer, _) = cases::refused(&gateway, &request.to_bytes()).await;
        assert!(matches!(answer.status, 400 | 401), "{unsigned}: {answer:?}");
    }
}

#[tokio::test]
async fn a_chunked_body_is_held_against_its_digest_too() {
    let gateway = Gateway::fixture().await;
    for (body, status) in [(r#"{"amount":1}"#, 200), (r#"{"amount":9}"#, 400)] {
        let request = sound(&gateway, "/orders", &format!("nonce-of-the-chunks-{status}"));
        let mut head = Request { body: vec![], ..request }.header("Transfer-Encoding", "chunked").to_bytes();
        for byte in body.bytes() {
            head.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
        }
        head.extend_from_slice(b"0\r\n\r\n");
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        connection.send(&head).await.unwrap();
        let answer = connection.answer(false).await.unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(gateway.upstream().hits(), 1);
}

#[tokio::test]
async fn a_large_flood_of_strangers_leaves_the_known_ones_alone() {
    let gateway = Gateway::fixture().await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    for number in 0..1_000 {
        let signing = Signing::alibaba(&format!("stranger-{number}"), "some-secret-0123456789")
            .fresh(gateway.now_ms(), &format!("nonce-of-stranger-{number:04}"));
        let answer = connection.call(&Request::get(HOST, "/once/x").signed(&signing)).await.unwrap();
        assert_eq!(answer.status, 401);
    }
    assert_eq!(gateway.node().gateway().replay.len(), 0, "a stranger's nonce was remembered");
    let own = Request::get(HOST, "/once/x").signed(&signing(&gateway, "nonce-of-the-known-one"));
    assert_eq!(gateway.call(&own).await.status, 200);
}

const GROUPED: &str = r#"
version: 1
accounts: [{name: provider}]
gateways: [{name: default}, {name: elsewhere}]
services: [{name: origin, account: provider, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - name: orders
    account: provider
    kind: rest
    hosts: [gw.test]
    base_path: /orders
    gateways: [default, elsewhere]
    admits: [api_key]
    stages: {RELEASE: {service: origin}, TEST: {service: origin}}
consumers:
  - {name: ann, account: provider, api_key: {sources: [bearer], keys: [key-of-ann-0123456789]}}
  - {name: bob, account: provider, api_key: {sources: [bearer], keys: [key-of-bob-0123456789]}}
  - {name: eve, api_key: {sources: [bearer], keys: [key-of-eve-0123456789]}}
groups: [{name: staff, account: provider, members: [ann]}]
grants:
  - {account: provider, to: {group: staff}, api: orders, stages: [RELEASE], gateways: [default], operations: [{method: GET, path: "/{id}"}]}
  - {account: provider, to: {consumer: bob}, api: orders, gateways: [elsewhere]}
  - {account: provider, to: {consumer: eve, account: default}, api: orders, stages: [TEST]}
"#;

#[tokio::test]
async fn a_grant_reaches_exactly_as_far_as_it_says() {
    let gateway = Gateway::start(GROUPED).await;
    let call = |name: &str, method: &str, target: &str| {
        Request::get(HOST, target).method(method).bearer(&format!("key-of-{name}-0123456789"))
    };
    assert_eq!(gateway.call(&call("ann", "GET", "/orders/1")).await.status, 200);
    let denied = [
        (call("ann", "HEAD", "/orders/1"), "operation_not_granted"),
        (call("ann", "OPTIONS", "/orders/1"), "operation_not_granted"),
        (call("ann", "POST", "/orders/1"), "operation_not_granted"),
        (call("ann", "get", "/orders/1"), "operation_not_granted"),
        (call("ann", "GET", "/orders"), "operation_not_granted"),
        (call("ann", "GET", "/orders/1/"), "operation_not_granted"),
        (call("ann", "GET", "/orders/1/2"), "operation_not_granted"),
        (call("ann", "GET", "/orders/1").header("X-Ca-Stage", "TEST"), "grant_other_stage"),
        (call("bob", "GET", "/orders/1"), "grant_other_gateway"),
        (call("eve", "GET", "/orders/1"), "grant_other_stage"),
    ];
    for (request, expected) in denied {
        let (answer, reason) = cases::refused(&gateway, &request.to_bytes()).await;
        assert_eq!((answer.status, reason.as_str()), (403, expected), "{request:?}");
    }
    let eve = call("eve", "GET", "/orders/1").header("X-Ca-Stage", "TEST");
    assert_eq!(gateway.call(&eve).await.status, 200);
    // The provider's own account is switched off: nobody finds its APIs.
    gateway.operate("{disable: {account: provider}}").await;
    let (answer, reason) = cases::refused(&gateway, &eve.to_bytes()).await;
    assert_eq!((answer.status, reason.as_str()), (404, "api_not_found"));
}

#[tokio::test]
async fn who_leaves_a_group_leaves_its_grants() {
    let gateway =
        Gateway::start(&GROUPED.replace("account: provider, ", "").replace("    account: provider\n", ""))
            .await;
    let ann = Request::get(HOST, "/orders/1").bearer("key-of-ann-0123456789");
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    assert_eq!(connection.call(&ann).await.unwrap().status, 200);
    gateway.operate("{remove_member: {group: staff, consumer: ann}}").await;
    assert_eq!(connection.call(&ann).await.unwrap().status, 403);
    gateway.apply("version: 1\ngroups: [{name: staff, members: [ann]}]\n").await.unwrap();
    assert_eq!(connection.call(&ann).await.unwrap().status, 200);
    gateway.operate("{disable: {group: staff}}").await;
    assert_eq!(connection.call(&ann).await.unwrap().status, 403);
}

#[tokio::test]
async fn hmac_029_an_app_code_has_one_spelling_and_stands_once() {
    let gateway = Gateway::fixture().await;
    let get = |target: &str| Request::get(HOST, target);
    let header = |value: &str| get("/codes/1").header("Authorization", value);
    let in_query = format!("/codes/1?AppCode={A_CODE}");
    let requests = [
        header(&format!("AppCode {A_CODE}")),
        header(&format!("APPCODE{A_CODE}")),
        header(&format!("Bearer {A_CODE}")),
        header(&format!("APPCODE {}", A_CODE.to_lowercase())),
        header(&format!("APPCODE {}", &A_CODE[1..])),
        header(&format!("APPCODE {A_CODE}x")),
        header(&format!("APPCODE {A_CODE}, {A_CODE}")),
        header("APPCODE"),
        header("APPCODE "),
        header(&format!("APPCODE {A_CODE}")).header("Authorization", &format!("APPCODE {A_CODE}")),
        get(&in_query).header("Authorization", &format!("APPCODE {A_CODE}")),
        get(&in_query).header("Authorization", "APPCODE other-0123456789"),
        get(&format!("{in_query}&AppCode={A_CODE}")),
        get(&format!("{in_query}&appcode=other")),
        get(&format!("{in_query}&%41ppCode=other")),
        get(&format!("/codes/1?App-Code={A_CODE}")),
        get(&format!("/codes/1?AppCode={}", A_CODE.to_lowercase())),
        get("/codes/1").header("X-Ca-Key", A_CODE),
        get("/codes/1").header("Cookie", &format!("AppCode={A_CODE}")),
        get(&format!("/orders/1?AppCode={A_CODE}")),
        get("/orders/1").header("Authorization", &format!("APPCODE {A_CODE}")),
        get("/codes")
            .method("POST")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("AppCode={A_CODE}")),
    ];
    let messages: Vec<_> = requests.iter().map(Request::to_bytes).collect();
    for ((answer, _), request) in cases::refused_all(&gateway, messages).await.iter().zip(&requests) {
        assert!(matches!(answer.status, 400 | 401), "{request:?}: {answer:?}");
    }
}
