//! The attack catalogue, classes about headers: nobody chooses an identity, an address or a route by a header.

use keyward_testkit::cases;
use keyward_testkit::client::{Answer, Connection};
use keyward_testkit::fixture::{HOST, K1, K2, K3};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

async fn send(gateway: &Gateway, id: &str, from: &str) -> Answer {
    let raw =
        cases::raw(id, &[("HOST", HOST), ("K1.key", K1), ("A.id", "app_00000000000000000000000000000001")])
            .unwrap();
    let mut connection = Connection::open_from(from.parse().unwrap(), gateway.address()).await.unwrap();
    connection.send(&raw).await.unwrap();
    connection.answer(false).await.unwrap()
}

#[tokio::test]
async fn hdr_001_identity_headers_of_the_client_are_gone() {
    let gateway = Gateway::fixture().await;
    assert_eq!(send(&gateway, "HDR-001", "127.0.0.1").await.status, 200);
    let last = gateway.upstream().last().unwrap();
    for name in ["x-consumer-id", "x-ca-app-id", "caappextinfo", "x-mse-consumer", "authorization"] {
        assert!(last.values(name).is_empty(), "{name} reached the service");
    }
    assert_eq!(last.values("x-keyward-caller-name"), ["K1"]);
    assert_eq!(last.values("x-keyward-account"), ["default"]);
    assert_eq!(last.values("x-keyward-caller-id").len(), 1);
}

#[tokio::test]
async fn hdr_001_aliases_and_repetitions_are_gone_too() {
    let gateway = Gateway::fixture().await;
    let request = Request::get(HOST, "/orders/1")
        .bearer(K1)
        .header("X_Keyward_Caller_Id", "evil")
        .header("x.keyward.account", "evil")
        .header("X-KEYWARD-CALLER-NAME", "evil")
        .header("X-Keyward-Caller-Name", "evil")
        .header("X_Consumer_Username", "evil")
        .header("X-SSL-Client-Verify", "evil");
    assert_eq!(gateway.call(&request).await.status, 200);
    let last = gateway.upstream().last().unwrap();
    assert!(last.headers.iter().all(|(_, value)| value != "evil"), "{last:?}");
    assert_eq!(last.values("x-keyward-caller-name"), ["K1"]);
}

#[tokio::test]
async fn hdr_003_connection_cannot_remove_what_the_gateway_adds() {
    let gateway = Gateway::fixture().await;
    assert_eq!(send(&gateway, "HDR-003", "127.0.0.1").await.status, 200);
    let last = gateway.upstream().last().unwrap();
    assert_eq!(last.values("x-keyward-caller-name"), ["K1"]);
    assert_eq!(last.values("x-forwarded-for"), ["127.0.0.1"]);
    let request = Request::get(HOST, "/orders/1")
        .bearer(K1)
        .header("Connection", "X-Keyward-Caller-Name, X-Trace")
        .header("X-Trace", "hop");
    assert_eq!(gateway.call(&request).await.status, 200);
    let last = gateway.upstream().last().unwrap();
    assert_eq!(last.values("x-keyward-caller-name"), ["K1"]);
    assert!(last.values("x-trace").is_empty(), "a field that Connection nominates ends here");
}

/// The wall lets 127.0.0.1 in; the request comes from 127.0.0.2 and says otherwise.
async fn cannot_pretend(name: &str, value: &str) {
    let gateway = Gateway::fixture().await;
    let plain = Request::get(HOST, "/walled/x").bearer(K1);
    let inside = gateway.call(&plain).await;
    assert_eq!(inside.status, 200, "from inside it must pass: {inside:?}");
    let mut connection =
        Connection::open_from("127.0.0.2".parse().unwrap(), gateway.address()).await.unwrap();
    let without = connection.call(&plain).await.unwrap();
    let with = connection.call(&plain.clone().header(name, value)).await.unwrap();
    assert_eq!(without.status, 404);
    assert_eq!(with.status, without.status, "{name} changed the decision");
    assert_eq!(gateway.upstream().hits(), 1);
    let mut other = Connection::open_from("127.0.0.2".parse().unwrap(), gateway.address()).await.unwrap();
    let passing = Request::get(HOST, "/orders/1").bearer(K1).header(name, value);
    assert_eq!(other.call(&passing).await.unwrap().status, 200);
    let last = gateway.upstream().last().unwrap();
    assert_eq!(
        last.values("x-forwarded-for"),
        ["127.0.0.2"],
        "forwarded headers are rebuilt from the socket"
    );
    assert!(last.values(name).iter().all(|seen| *seen != value), "{name}: {value} went on to the service");
}

macro_rules! pretending {
    ($($test:ident = $name:literal: $value:literal;)*) => {
        $(#[tokio::test]
        async fn $test() {
            cannot_pretend($name, $value).await;
        })*
    };
}

pretending! {
    hdr_005_x_forwarded_for = "X-Forwarded-For": "127.0.0.1";
    hdr_007_forwarded = "Forwarded": "for=127.0.0.1;host=admin;proto=https";
    hdr_009_x_forwarded_uri = "X-Forwarded-Uri": "/public/health";
    hdr_011_x_forwarded_proto = "X-Forwarded-Proto": "https";
    hdr_013_x_rewrite_url = "X-Rewrite-URL": "/public/health";
    hdr_015_x_middleware_subrequest = "X-Middleware-Subrequest": "1";
    a_real_ip_header = "X-Real-IP": "127.0.0.1";
    an_original_url_header = "X-Original-URL": "/public/health";
    an_original_method_header = "X-Original-Method": "DELETE";
    an_override_of_microsofts = "X-HTTP-Method": "DELETE";
    an_override_by_its_short_name = "X-Method-Override": "DELETE";
    a_forwarded_method_header = "X-Forwarded-Method": "DELETE";
    a_forwarded_host_header = "X-Forwarded-Host": "localhost";
    a_forwarded_prefix_header = "X-Forwarded-Prefix": "/public";
    a_forwarded_port_header = "X-Forwarded-Port": "443";
    a_forwarded_server_header = "X-Forwarded-Server": "127.0.0.1";
    a_forwarded_address_in_another_spelling = "X_Forwarded_For": "127.0.0.1";
    a_client_ip_header = "X-Client-IP": "127.0.0.1";
    a_plain_client_ip_header = "Client-IP": "127.0.0.1";
    a_true_client_ip_header = "True-Client-IP": "127.0.0.1";
    a_cluster_client_ip_header = "X-Cluster-Client-IP": "127.0.0.1";
    a_cdn_header = "CF-Connecting-IP": "127.0.0.1";
    an_envoy_header = "X-Envoy-External-Address": "127.0.0.1";
    an_envoy_path_header = "X-Envoy-Original-Path": "/public/health";
    a_rewritten_path_header = "X-Rewrite-Path": "/public/health";
    a_host_header = "X-Host": "localhost";
    a_header_that_becomes_http_proxy = "Proxy": "http://127.0.0.1:1";
    a_certificate_header = "X-SSL-Client-DN": "CN=admin";
    a_method_override_header = "X-HTTP-Method-Override": "DELETE";
}

#[tokio::test]
async fn hdr_017_behind_a_trusted_proxy_the_rightmost_untrusted_hop_counts() {
    let world = r#"
version: 1
gateways: [{name: default, trusted_proxies: [127.0.0.1/32]}]
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - {name: walled, kind: rest, hosts: [gw.test], base_path: /, admits: [anyone], allowed_addresses: [203.0.113.9/32], stages: {RELEASE: {service: origin}}}
"#;
    let gateway = Gateway::start(world).await;
    let through = Request::get(HOST, "/x")
        .header("X-Forwarded-For", "127.0.0.1, 203.0.113.9")
        .header("X-Forwarded-For", "127.0.0.1");
    assert_eq!(gateway.call(&through).await.status, 200);
    let forged = Request::get(HOST, "/x").header("X-Forwarded-For", "203.0.113.9, 198.51.100.1");
    assert_eq!(gateway.call(&forged).await.status, 404, "a part that the client wrote won");
    let malformed = Request::get(HOST, "/x").header("X-Forwarded-For", "203.0.113.9, what");
    assert!(matches!(gateway.call(&malformed).await.status, 400 | 404));
    let many = Request::get(HOST, "/x").header("X-Forwarded-For", &["203.0.113.9"; 40].join(", "));
    assert!(matches!(gateway.call(&many).await.status, 400 | 404));
    let mut untrusted = Connection::open_from("127.0.0.2".parse().unwrap(), gateway.address()).await.unwrap();
    assert_eq!(untrusted.call(&through).await.unwrap().status, 404);
}

#[tokio::test]
async fn hdr_019_two_authorization_lines() {
    let gateway = Gateway::fixture().await;
    let answer = send(&gateway, "HDR-019", "127.0.0.1").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn hdr_021_hop_by_hop_and_owned_fields_of_an_answer_end_here() {
    let upstream = Upstream::answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
          X-Ca-Error-Code: I400HD\r\nX-Ca-Error-Message: no\r\nX-Ca-Request-Id: forged\r\nX-Keyward-Account: evil\r\n\
          Set-Cookie: a=b\r\nX-Own: stays\r\n\r\nok",
    )
    .await
    .unwrap();
    let gateway = Gateway::fixture_with(upstream).await;
    let answer = gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await;
    assert_eq!(answer.status, 200);
    for name in ["keep-alive", "x-hop", "x-ca-error-code", "x-ca-error-message", "x-keyward-account"] {
        assert_eq!(answer.header(name), None, "{name} came through");
    }
    assert_ne!(answer.header("x-ca-request-id"), Some("forged"));
    assert_eq!(
        answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-ca-request-id")).count(),
        1
    );
    assert_eq!(answer.header("set-cookie"), Some("a=b"));
    assert_eq!(answer.header("x-own"), Some("stays"));
}

#[tokio::test]
async fn key_010_the_credential_ends_here_and_nothing_else_of_the_query_changes() {
    let gateway = Gateway::fixture().await;
    let calls = [
        (Request::get(HOST, "/orders/1?a=%20&b=+c&&d").bearer(K1), "GET /orders/1?a=%20&b=+c&&d HTTP/1.1"),
        (Request::get(HOST, "/orders/1?x=1").header("X-Api-Key", K2), "GET /orders/1?x=1 HTTP/1.1"),
        (Request::get(HOST, &format!("/orders/1?a=%2F&apikey={K3}&b=2")), "GET /orders/1?a=%2F&b=2 HTTP/1.1"),
        (Request::get(HOST, &format!("/orders/1?apikey={K3}")), "GET /orders/1 HTTP/1.1"),
    ];
    for (request, line) in calls {
        assert_eq!(gateway.call(&request).await.status, 200, "{request:?}");
        let last = gateway.upstream().last().unwrap();
        assert_eq!(last.line, line);
        assert!(last.values("authorization").is_empty() && last.values("x-api-key").is_empty());
        let all = format!("{last:?}");
        assert!([K1, K2, K3].iter().all(|key| !all.contains(key)), "{all}");
    }
}

#[tokio::test]
async fn connection_takes_nothing_away_that_decides() {
    let gateway = Gateway::fixture().await;
    for nominated in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        "Cookie",
        "X-Forwarded-For, X-Real-IP, Forwarded",
        "X-Ca-Stage",
        ",,",
        "",
    ] {
        let request = Request::get(HOST, "/orders")
            .method("POST")
            .bearer(K1)
            .header("Connection", nominated)
            .header("Cookie", "a=b")
            .body("AAAAA");
        assert_eq!(gateway.call(&request).await.status, 200, "{nominated}");
        let last = gateway.upstream().last().unwrap();
        assert_eq!(
            (last.values("content-length"), last.body.as_slice()),
            (vec!["5"], &b"AAAAA"[..]),
            "{nominated}"
        );
        assert_eq!(last.values("x-keyward-caller-name"), ["K1"], "{nominated}");
        assert_eq!(last.values("x-forwarded-for"), ["127.0.0.1"], "{nominated}");
        assert_eq!(last.values("host").len(), 1, "{nominated}");
    }
    // A stage that is named hop by hop is still named.
    let staged = Request::get(HOST, "/orders/1")
        .bearer(K1)
        .header("Connection", "X-Ca-Stage")
        .header("X-Ca-Stage", "TEST");
    let (answer, reason) = cases::refused(&gateway, &staged.to_bytes()).await;
    assert_eq!((answer.status, reason.as_str()), (403, "grant_other_stage"));
}

#[tokio::test]
async fn h2_008_an_upgrade_is_not_handed_on() {
    let gateway = Gateway::fixture().await;
    for (protocol, more) in
        [("h2c", "HTTP2-Settings"), ("websocket", "Sec-WebSocket-Key"), ("TLS/1.0, h2c", "X")]
    {
        let request = Request::get(HOST, "/orders/1")
            .bearer(K1)
            .header("Connection", &format!("Upgrade, {more}"))
            .header("Upgrade", protocol)
            .header(more, "AAMAAABkAAQAAP__");
        let answer = gateway.call(&request).await;
        assert_ne!(answer.status, 101, "{protocol}");
        let last = gateway.upstream().last().unwrap();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(last.values(name).is_empty(), "{protocol}: {name} went on: {last:?}");
        }
    }
}

#[tokio::test]
async fn key_006_credentials_side_by_side_and_in_doubtful_places() {
    let gateway = Gateway::fixture().await;
    let get = |target: &str| Request::get(HOST, target);
    let ambiguous = [
        get("/orders/1").header("X-Api-Key", K2).header("x-api-key", K2),
        get("/orders/1").header("X-Api-Key", "bad").header("X-Api-Key", K2),
        get("/orders/1").bearer(K1).header("X-Api-Key", K1),
        get("/orders/1").bearer(K1).header("X-Api-Key", ""),
        get("/orders/1").bearer(K1).header("X-Api-Key", "wrong"),
        get("/orders/1?apikey=").bearer(K1),
        get("/orders/1?apikey").bearer(K1),
        get("/orders/1?api%6bey=x").bearer(K1),
        get(&format!("/orders/1?apikey={K3}&apikey={K3}")),
        get(&format!("/orders/1?apikey={K3}&apikey=x")),
        get(&format!("/orders/1?apikey=&apikey={K3}")),
        get(&format!("/orders/1?apikey={K3}&api%6Bey=z")),
        get("/orders/1").bearer(K1).bearer(K1),
        get("/orders/1").header("Authorization", "Basic eDp5").bearer(K1),
    ];
    for (answer, reason) in cases::refused_all(&gateway, ambiguous.iter().map(Request::to_bytes)).await {
        assert_eq!((answer.status, reason.as_str()), (400, "credential_ambiguous"), "{answer:?}");
    }
    let refused = [
        get("/orders/1").header("Authorization", &format!("Bearer\t{K1}")),
        get("/orders/1").header("Authorization", K1),
        get("/orders/1").header("Authorization", &format!("Basic {K1}")),
        get("/orders/1").header("Authorization", &format!("Bearer{K1}")),
        get("/orders/1").bearer(&format!("Bearer {K1}")),
        get("/orders/1").bearer(&K1.to_uppercase()),
        get("/orders/1").bearer(&format!("\"{K1}\"")),
        get("/orders/1").bearer(&format!("{K1};")),
        get("/orders/1").bearer(&format!("{K1} x")),
        get("/orders/1").bearer(&"a".repeat(20_000)),
        get("/orders/1").bearer(K2),
        get("/orders/1").bearer(K3),
        get("/orders/1").header("X-Api-Key", K1),
        get("/orders/1").header("X-Api-Key", K3),
        get("/orders/1").header("X-Api-Key", &format!("Bearer {K2}")),
        get("/orders/1").header("X_Api_Key", K2),
        get("/orders/1").header("Proxy-Authorization", &format!("Bearer {K1}")),
        get("/orders/1").header("Cookie", &format!("apikey={K3}; x-api-key={K2}")),
        get(&format!("/orders/1?x-api-key={K2}")),
        get(&format!("/orders/1?APIKEY={K3}")),
        get(&format!("/orders/1?apikey[]={K3}")),
        get(&format!("/orders/1?apikey={K3}%00")),
        get(&format!("/orders/1?apikey={K3}+")),
        get(&format!("/orders/1?apikey=%20{K3}")),
        get(&format!("/orders/1?apikey={K1}")),
        get(&format!("/orders/1?a=1;apikey={K3}")),
        get(&format!("/orders/1?%00apikey={K3}")),
        get(&format!("/orders/1?apikey={K3}%zz")),
        get(&format!("/orders/1?apikey=={K3}")),
    ];
    for (answer, _) in cases::refused_all(&gateway, refused.iter().map(Request::to_bytes)).await {
        assert!(matches!(answer.status, 400 | 401 | 404 | 431), "{answer:?}");
    }
}
