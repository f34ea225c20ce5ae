//! The attack catalogue, class path-confusion: one path is decided on, and its bytes are the ones that are sent.

use keyward_testkit::cases;
use keyward_testkit::client::Connection;
use keyward_testkit::fixture::{HOST, K1};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;

/// K1 has no right to /internal, however it is spelled.
async fn never_gets_through(id: &str, statuses: &[u16]) {
    let gateway = Gateway::fixture().await;
    let raw = cases::raw(id, &[("HOST", HOST), ("K1.key", K1)]).unwrap();
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.send(&raw).await.unwrap();
    let answer = connection.answer(false).await.unwrap();
    assert!(statuses.contains(&answer.status), "{id}: {answer:?}");
    assert_eq!(gateway.upstream().hits(), 0, "{id}: {:?}", gateway.upstream().last());
}

macro_rules! never {
    ($($name:ident = $id:literal: $($status:literal)|+;)*) => {
        $(#[tokio::test]
        async fn $name() {
            never_gets_through($id, &[$($status),+]).await;
        })*
    };
}

never! {
    path_001_double_slash = "PATH-001": 400;
    path_003_encoded_slash = "PATH-003": 400;
    path_005_twice_encoded_dots = "PATH-005": 400;
    path_007_encoded_backslash = "PATH-007": 400;
    path_009_dots_with_parameter = "PATH-009": 400;
    path_011_dot_segment = "PATH-011": 400;
    path_013_other_case = "PATH-013": 404;
    path_015_nul = "PATH-015": 400;
    path_017_allowed_path_in_query = "PATH-017": 401;
    path_019_encoded_climb_from_a_public_path = "PATH-019": 400;
    path_021_overlong_utf8 = "PATH-021": 400;
    path_023_encoded_dot_in_prefix = "PATH-023": 400 | 404;
    path_025_absolute_form_of_another_host = "PATH-025": 400;
    path_027_asterisk_form = "PATH-027": 400;
}

#[tokio::test]
async fn path_025_an_absolute_form_that_agrees_is_served_in_origin_form() {
    let gateway = Gateway::fixture().await;
    let request = Request::get(HOST, "http://gw.test/orders/1").bearer(K1);
    assert_eq!(gateway.call(&request).await.status, 200);
    assert_eq!(gateway.upstream().last().unwrap().line, "GET /orders/1 HTTP/1.1");
}

#[tokio::test]
async fn path_027_options_asterisk_is_answered_here() {
    let gateway = Gateway::fixture().await;
    let answer = gateway.call(&Request::get(HOST, "*").method("OPTIONS")).await;
    assert!(matches!(answer.status, 200 | 204 | 404), "{answer:?}");
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn path_029_spellings_of_a_host_reach_the_same_tenant_or_nobody() {
    let gateway = Gateway::start(
        r#"
version: 1
accounts: [{name: t2}]
services:
  - {name: one, kind: http, endpoints: ["${UPSTREAM}/one"]}
  - {name: two, account: t2, kind: http, endpoints: ["${UPSTREAM}/two"]}
  - {name: any, kind: http, endpoints: ["${UPSTREAM}/any"]}
apis:
  - {name: one, kind: rest, hosts: [api.t1.example], base_path: /, admits: [anyone], stages: {RELEASE: {service: one}}}
  - {name: two, account: t2, kind: rest, hosts: [api.t2.example], base_path: /, admits: [anyone], stages: {RELEASE: {service: two}}}
  - {name: any, kind: rest, base_path: /, admits: [anyone], stages: {RELEASE: {service: any}}}
"#,
    )
    .await;
    for (host, line) in [
        ("API.T1.EXAMPLE", Some("GET /one/x HTTP/1.1")),
        ("api.t1.example.", Some("GET /one/x HTTP/1.1")),
        ("api.t1.example:80", Some("GET /one/x HTTP/1.1")),
        ("x@api.t1.example", None),
        ("api.t1.example, api.t2.example", None),
        ("api.t1.example:99999", None),
        ("", None),
    ] {
        let before = gateway.upstream().hits();
        let answer = gateway.call(&Request::get(host, "/x")).await;
        match line {
            Some(line) => {
                assert_eq!(answer.status, 200, "{host}: {answer:?}");
                assert_eq!(gateway.upstream().last().unwrap().line, line, "{host}");
            }
            None => {
                assert_eq!(answer.status, 400, "{host}: {answer:?}");
                assert_eq!(gateway.upstream().hits(), before, "{host} fell through to another API");
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_passes_reaches_the_service_byte_for_byte() {
    let gateway = Gateway::fixture().await;
    for target in [
        "/orders/a%20b",
        "/orders/%E4%B8%AD",
        "/orders/a+b",
        "/orders/1?x=%2e%2e%2f&y=a+b&&z",
        "/orders/1?",
        "/orders?a;b",
    ] {
        assert_eq!(gateway.call(&Request::get(HOST, target).bearer(K1)).await.status, 200, "{target}");
        assert_eq!(gateway.upstream().last().unwrap().line, format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn paths_that_two_readers_read_differently() {
    let gateway = Gateway::fixture().await;
    let ambiguous = [
        "/orders/1/../../internal/users",
        "/orders/%2e%2e/internal/users",
        "/orders/%2E%2E%2Finternal",
        "/orders%2f..%2finternal",
        "/orders/..\\internal",
        "/orders\\..\\internal",
        "/orders/%5c..%5cinternal",
        "/orders/;/../internal",
        "/orders/1%0d%0aX:%20y",
        "/orders/1%09",
        "/orders/%u002e%u002e/internal",
        "/orders/%ed%a0%80",
        "/orders/%f8%80%80%80%80",
        "/orders/%c0%ae%c0%ae/internal",
        "/orders/%e0%80%ae",
        "/orders/1%23/../internal",
        "/orders/1%3f/../internal",
        "/orders/.",
        "/orders/..",
        "/orders/1/.",
        "/orders/%",
        "/orders/%1",
        "/orders/%gg",
        "/public/health/../../internal",
        "/public/health;/../internal",
        "/public/health/..;/internal",
        "/public/%2e%2e/internal",
        "/orders/a%25252fb",
        "/orders/a%255cb",
        "//gw.test/internal",
        "http://gw.test//internal",
        "/orders//1",
        "/orders/%00",
        "/orders/%2500",
        "/./orders/1",
        "/%2e/orders/1",
        "/orders/1%7f",
        "/orders/1#x",
        "/orders/1|\u{e9}",
    ];
    let messages = ambiguous.iter().map(|target| Request::get(HOST, target).bearer(K1).to_bytes());
    for ((answer, reason), target) in cases::refused_all(&gateway, messages).await.iter().zip(ambiguous) {
        assert_eq!((answer.status, reason.as_str()), (400, "request_malformed"), "{target}");
    }
    let elsewhere = [
        ("/INTERNAL/users", 404),
        ("/Internal", 404),
        ("/internal.", 404),
        ("/internal%20", 404),
        ("/orders;x/1", 404),
        ("/orders/1/", 404),
        ("/public/health/", 404),
        ("/public/health;x", 404),
        ("/public/health.json", 404),
        ("/public/HEALTH", 404),
        ("/public", 404),
        ("/%69nternal/users", 401),
        ("/internal/", 401),
        ("/internal?/public/health", 401),
        ("/internal/users;a=/public/health", 401),
        ("/test/orders/1", 403),
        ("/test/test/orders/1", 404),
        ("/ordersx/1", 404),
        ("/order", 404),
        ("/", 404),
        ("http://gw.test", 404),
        ("http://gw.test/internal", 401),
    ];
    let messages = elsewhere.iter().map(|(target, _)| Request::get(HOST, target).bearer(K1).to_bytes());
    for ((answer, _), (target, status)) in cases::refused_all(&gateway, messages).await.iter().zip(elsewhere)
    {
        assert_eq!(answer.status, status, "{target}");
    }
}

/// A catch-all beside what is closed, and a parameter beside a literal: what a service reads as the closed one must not
/// pass as the open one.
#[tokio::test]
async fn path_009_parameters_and_second_escapes_do_not_choose_another_operation() {
    let world = r#"
version: 1
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - {name: open, kind: rest, hosts: [gw.test], base_path: /, admits: [anyone], stages: {RELEASE: {service: origin}}}
  - {name: closed, kind: rest, hosts: [gw.test], base_path: /internal, admits: [api_key], stages: {RELEASE: {service: origin}}}
  - name: users
    kind: rest
    hosts: [gw.test]
    base_path: /users
    admits: [api_key]
    operations: [{method: GET, path: "/{id}"}, {method: GET, path: /admin}, {method: GET, path: "/{id}/keys"}]
    stages: {RELEASE: {service: origin}}
consumers: [{name: ann, api_key: {sources: [bearer], keys: [key-of-ann-0123456789]}}]
grants: [{to: {consumer: ann}, api: users, operations: [{method: GET, path: "/{id}"}]}]
"#;
    let gateway = Gateway::start(world).await;
    let ann = |target: &str| Request::get(HOST, target).bearer("key-of-ann-0123456789");
    for target in [
        "/users/1",
        "/users/1;v=2",
        "/users/a%2541",
        "/users/administrator;x",
        "/other;x/y;z",
        "/other/%2541",
    ] {
        assert_eq!(gateway.call(&ann(target)).await.status, 200, "{target}");
        assert_eq!(gateway.upstream().last().unwrap().line, format!("GET {target} HTTP/1.1"));
    }
    let (answer, reason) = cases::refused(&gateway, &ann("/users/admin").to_bytes()).await;
    assert_eq!((answer.status, reason.as_str()), (403, "operation_not_granted"));
    for target in [
        "/internal;x/users",
        "/internal;/users",
        "/internal;v=1",
        "/%2569nternal/users",
        "/%252569nternal",
        "/users/admin;x",
        "/users/admin;",
        "/users/%2561dmin",
        "/users/admin%253bx",
        "/users/%2561dmin;x",
        "/users;x/admin",
        "/users;x/1",
        "/x;/y;",
        "/%2575sers/1",
    ] {
        let answer = gateway.call(&ann(target)).await;
        if target == "/x;/y;" {
            assert_eq!(answer.status, 200, "nothing else is read there");
            continue;
        }
        let reason = gateway.reason_of(&answer).await;
        assert_eq!((answer.status, reason.as_str()), (400, "request_malformed"), "{target}");
    }
}

#[tokio::test]
async fn path_029_no_other_spelling_of_a_host_opens_a_door() {
    let gateway = Gateway::fixture().await;
    let refused = [
        "gw.test..",
        "gw.test:",
        "gw.test:65536",
        "gw.test:8o",
        "gw.test:-1",
        "gw.test:+80",
        "gw.test/x",
        "gw.test\\x",
        "gw.test?x",
        "gw.test#",
        "user@gw.test",
        "user:pw@gw.test",
        "gw.test,evil",
        "gw.test evil",
        ".",
        "*.test",
        "*",
        "[::1",
        "[::1%25lo]",
        "gw.test%00",
        "%67w.test",
        "..gw.test",
        "gw..test",
        "evil;gw.test",
        "http://gw.test",
        "gw.test\u{e9}",
    ];
    let messages = refused.iter().map(|host| Request::get(host, "/orders/1").bearer(K1).to_bytes());
    for ((answer, reason), host) in cases::refused_all(&gateway, messages).await.iter().zip(refused) {
        assert_eq!((answer.status, reason.as_str()), (400, "request_malformed"), "{host}");
    }
    let unknown = ["gw_test", "127.0.0.1", "[::1]", "xn--gw.test", "gw.test.evil", "evilgw.test", "-gw.test"];
    let messages = unknown.iter().map(|host| Request::get(host, "/orders/1").bearer(K1).to_bytes());
    for ((answer, reason), host) in cases::refused_all(&gateway, messages).await.iter().zip(unknown) {
        assert_eq!((answer.status, reason.as_str()), (404, "api_not_found"), "{host}");
    }
}
