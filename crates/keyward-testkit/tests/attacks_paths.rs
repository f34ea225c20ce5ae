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
