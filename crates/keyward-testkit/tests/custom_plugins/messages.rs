//! What plugins see of requests and answers, and what they may change.

use keyward_testkit::client::Connection;
use keyward_wasm::pairs;

use crate::guest::{Guest, PLACE};
use crate::world::*;

#[tokio::test]
async fn the_sample_lets_in_whom_its_configuration_names() {
    let gateway = start(&[hello()]).await;
    let answer = gateway.call(&get("/orders/1?a=b").header("X-Team", "red")).await;
    assert_eq!((answer.status, answer.header("x-hello")), (200, Some("keyward")), "{}", answer.text());
    let last = gateway.upstream().last().unwrap();
    assert_eq!(last.line, "GET /orders/1?a=b HTTP/1.1");
    assert_eq!((last.values("x-team-token"), last.values("x-team")), (vec![TOKEN], vec!["red"]));
    assert_eq!(last.values("host"), [gateway.upstream().address().to_string()]);
    let refused = gateway.call(&get("/orders/1").header("X-Team", "blue")).await;
    assert_eq!((refused.status, refused.header("content-type")), (403, Some("application/problem+json")));
    assert_eq!(refused.json()["title"], "this team may not call here");
    let record = gateway.record_of(&refused).await;
    assert_eq!(record["plugin"], plugin_id(0).to_string());
    assert_eq!(gateway.upstream().hits(), 1);
    assert_eq!(gateway.call(&get("/plain/1")).await.status, 200, "nothing is bound there");
}

/// Answers with everything that it sees of the head.
fn mirror() -> Guest {
    Guest::new().asking(&format!("(call $get_map (i32.const 0) {PLACE})"))
}

#[tokio::test]
async fn a_plugin_sees_what_goes_on_and_no_credential() {
    let gateway = start(&[custom(mirror().build()).on("keyed")]).await;
    let request = get("/keyed/1?apikey=&a=b")
        .bearer(API_KEY)
        .header("X-Mine", "c")
        .header("X-Keyward-Caller-Id", "forged")
        .header("X-Forwarded-For", "6.6.6.6")
        .header("Connection", "keep-alive");
    let answer = gateway.call(&request).await;
    let seen = pairs::decode(&answer.body).unwrap();
    let value =
        |name: &str| seen.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| *value);
    assert_eq!((value(":method"), value(":authority")), (Some(&b"GET"[..]), Some(HOST.as_bytes())));
    assert_eq!(value(":path"), Some(&b"/keyed/1?apikey=&a=b"[..]));
    assert_eq!((value(":scheme"), value("x-mine")), (Some(&b"http"[..]), Some(&b"c"[..])));
    for name in ["authorization", "host", "x-keyward-caller-id", "x-forwarded-for", "connection"] {
        assert_eq!(value(name), None, "{name}");
    }
    assert!(!answer.text().contains(API_KEY));
}

#[tokio::test]
async fn a_plugin_knows_who_calls_what() {
    let mut guest = Guest::new();
    let texts =
        [["keyward", "caller", "name"].join("\0"), ["keyward", "api"].join("\0"), "plugin_name".into()];
    for (text, expected) in texts.iter().zip(["robot", "keyed", "guest"]) {
        let name = guest.text(text);
        let asking = std::mem::take(&mut guest).asking(&format!("(call $get_property {name} {PLACE})"));
        let gateway = start(&[custom(asking.build()).on("keyed")]).await;
        assert_eq!(gateway.call(&get("/keyed/1").bearer(API_KEY)).await.text(), expected);
    }
}

#[tokio::test]
async fn the_query_may_change_and_the_path_may_not() {
    for (path, status) in
        [("/orders/1?c=d", 200), ("/orders/1", 200), ("/orders/2?a=b", 503), ("/admin", 503)]
    {
        let mut guest = Guest::new();
        let (name, value) = (guest.text(":path"), guest.text(path));
        let change = format!("(drop (call $replace (i32.const 0) {name} {value})) {GO_ON}");
        let gateway = start(&[custom(guest.on("request_headers", &change).build())]).await;
        let answer = gateway.call(&get("/orders/1?a=b")).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 200 {
            assert_eq!(gateway.upstream().last().unwrap().line, format!("GET {path} HTTP/1.1"));
        } else {
            assert_eq!(gateway.reason_of(&answer).await, "plugin_failed");
        }
    }
}

#[tokio::test]
async fn what_is_keywards_to_say_cannot_be_set() {
    for name in
        ["host", "x-keyward-caller-id", "content-length", "transfer-encoding", "x-forwarded-for", ":method"]
    {
        let mut guest = Guest::new();
        let (text, value) = (guest.text(name), guest.text("forged"));
        // The answer is the status of the host: 2, a bad argument.
        let guest = guest.asking(&format!("(call $replace (i32.const 0) {text} {value})"));
        let gateway = start(&[custom(guest.build())]).await;
        assert_eq!(gateway.call(&get("/orders/1")).await.status, 202, "{name}");
    }
}

/// Adds to the request's body, and replaces the answer's.
fn bodies() -> Guest {
    let mut guest = Guest::new();
    let (added, instead) = (guest.text("+guest"), guest.text("instead"));
    guest
        .on("request_headers", PAUSE)
        .on(
            "request_body",
            &format!("(drop (call $set_buffer (i32.const 0) (local.get $b) (i32.const 0) {added})) {GO_ON}"),
        )
        .on("response_headers", PAUSE)
        .on(
            "response_body",
            &format!(
                "(drop (call $set_buffer (i32.const 1) (i32.const 0) (i32.const 1000) {instead})) {GO_ON}"
            ),
        )
}

#[tokio::test]
async fn bodies_are_seen_and_changed_both_ways() {
    let gateway = start_answered(
        b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n",
        &[custom(bodies().build()).seeing_bodies()],
    )
    .await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    for _ in 0..2 {
        let request = get("/orders").method("POST").header("Content-MD5", "of the one that came").body("abc");
        let answer = connection.call(&request).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "instead"));
        assert_eq!((answer.header("content-length"), answer.header("etag")), (Some("7"), None));
    }
    let last = gateway.upstream().last().unwrap();
    assert_eq!(String::from_utf8(last.body).unwrap(), "abc+guest");
    assert_eq!(
        last.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).count(),
        1
    );
}

#[tokio::test]
async fn a_body_over_the_bound_is_refused() {
    let small = custom(bodies().build()).seeing_bodies().with(|settings| settings.limits.body_bytes = 8);
    let gateway = start(&[small]).await;
    let answer = gateway.call(&get("/orders").method("POST").body("nine byte")).await;
    assert_eq!(answer.status, 413);
    assert_eq!(gateway.upstream().hits(), 0);
    // Written bodies have the same bound, here through a guest that does not look whether it could: what came goes on.
    let answer = gateway.call(&get("/orders").method("POST").body("eight by")).await;
    assert_eq!(answer.status, 502, "the service's answer is larger than the plugin looks at");
    assert_eq!(gateway.upstream().last().unwrap().body, b"eight by");
}

#[tokio::test]
async fn what_a_module_does_not_see_streams_by() {
    // It would change bodies, but is not asked about them.
    let gateway =
        start(&[custom(Guest::new().on("request_body", PAUSE).on("response_body", PAUSE).build())]).await;
    let answer = gateway.call(&get("/orders").method("POST").body("abc")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"ok":true}"#));
    assert_eq!(gateway.upstream().last().unwrap().body, b"abc");
}

#[tokio::test]
async fn answers_change_their_status_and_keep_every_cookie() {
    let mut guest = Guest::new();
    let (status, code) = (guest.text(":status"), guest.text("418"));
    let (name, value) = (guest.text("x-guest"), guest.text("yes"));
    let (server, owned) = (guest.text("server"), guest.text("x-ca-request-id"));
    let change = format!(
        "(if (call $replace (i32.const 2) {status} {code}) (then unreachable))
         (if (call $add (i32.const 2) {name} {value}) (then unreachable))
         (if (call $remove (i32.const 2) {server}) (then unreachable))
         (if (i32.ne (call $add (i32.const 2) {owned} {value}) (i32.const 2)) (then unreachable)) {GO_ON}"
    );
    let gateway = start_answered(
        b"HTTP/1.1 200 OK\r\nServer: old\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nok",
        &[custom(guest.on("response_headers", &change).build())],
    )
    .await;
    let answer = gateway.call(&get("/orders/1")).await;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-guest")), (418, "ok", Some("yes")));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).count(), 2);
    assert_eq!(answer.header("server"), None);
    let head = gateway.call(&get("/orders/1").method("HEAD")).await;
    assert_eq!(head.status, 418);
}

#[tokio::test]
async fn several_plugins_are_asked_in_order_and_back_again() {
    let marking = |text: &str| {
        let mut guest = Guest::new();
        let (name, value) = (guest.text("x-way"), guest.text(text));
        let add = |map: u32| format!("(drop (call $add (i32.const {map}) {name} {value})) {GO_ON}");
        let (there, back) = (add(0), add(2));
        custom(guest.on("request_headers", &there).on("response_headers", &back).build())
    };
    let gateway = start(&[marking("first").named("first"), marking("second").named("second")]).await;
    let answer = gateway.call(&get("/orders/1")).await;
    let back: Vec<_> =
        answer.headers.iter().filter(|(name, _)| name == "x-way").map(|(_, v)| v.as_str()).collect();
    assert_eq!(gateway.upstream().last().unwrap().values("x-way"), ["first", "second"]);
    assert_eq!(back, ["second", "first"]);
}

#[tokio::test]
async fn a_plugin_of_a_gateway_sees_the_calls_of_every_api() {
    let gateway = start(&[hello().on(EVERYWHERE)]).await;
    for target in ["/orders/1", "/plain/1"] {
        let answer = gateway.call(&get(target).header("X-Team", "red")).await;
        assert_eq!((answer.status, answer.header("x-hello")), (200, Some("keyward")), "{target}");
        assert_eq!(gateway.call(&get(target)).await.status, 403, "{target}");
    }
}
