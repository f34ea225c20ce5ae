//! Plugins at the gateway's desk: what they let pass, change and refuse.

mod desk;

use desk::{API_KEY, Answer, Ask, Desk, Sent, World};
use keyward_http::{Field, Handler, Reply, ResponseHead};
use keyward_model::CredentialKind::{Anyone, ApiKey, AppSignature};

const KEY: &str = "partner-key-0123456789";

fn call(plugins: &[(&'static str, &str)], ask: &Ask) -> Result<Sent, Answer> {
    Desk::new(World::with_plugins(plugins)).call(ask)
}

#[test]
fn a_key_of_a_plugin_opens_the_door_and_goes_no_further() {
    let config = format!(r#"{{"credentials":["{KEY}"],"keys":["apikey","x-api-key"],"realm":"partners"}}"#);
    let desk =
        Desk::new(World { plugins: vec![("key-auth", config)], ..World::admitting(&[AppSignature, ApiKey]) });
    let sent = desk.call(&Ask::get("/orders/1?a=b").field("X-API-Key", KEY)).unwrap();
    assert_eq!(sent.line, "GET /base/orders/1?a=b HTTP/1.1");
    assert!(sent.values("x-api-key").is_empty());
    assert_eq!(sent.values("x-keyward-caller-id"), ["plg_00000000000000000000000000000028"]);
    assert_eq!(sent.values("x-keyward-caller-name"), ["key-auth"]);
    assert_eq!(sent.values("x-keyward-account"), ["default"]);
    let sent = desk.call(&Ask::get(&format!("/orders/1?apikey={KEY}"))).unwrap();
    assert_eq!(sent.line, "GET /base/orders/1 HTTP/1.1");
    let refused = desk.call(&Ask::get("/orders/1").field("X-API-Key", "nobody-has-this-key")).unwrap_err();
    assert_eq!((refused.status, refused.reason()), (401, "credential_unknown"));
    let challenges: Vec<&str> =
        refused.fields.iter().filter(|(n, _)| n == "WWW-Authenticate").map(|(_, v)| v.as_str()).collect();
    assert!(challenges.contains(&"Key realm=\"partners\""), "{challenges:?}");
    assert!(desk.call(&Ask::get("/orders/1").field("Authorization", &format!("Bearer {API_KEY}"))).is_ok());
    let records = desk.records();
    assert_eq!(records[0]["plugin"], "plg_00000000000000000000000000000028");
    assert_eq!(
        (&records[0]["caller"], &records[0]["grant"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert_eq!(
        (records[2]["reason"].as_str(), records[3]["plugin"].as_str()),
        (Some("credential_unknown"), None)
    );
    let text = serde_json::to_string(&records).unwrap();
    assert!(!text.contains(KEY) && !text.contains("nobody-has-this-key"), "{text}");
}

#[test]
fn addresses_are_let_in_or_kept_out() {
    let config = r#"{"allow":["192.0.2.0/24"],"deny":["192.0.2.9"],"status":404}"#;
    let desk = Desk::new(World::with_plugins(&[("ip-restriction", config)]));
    assert!(desk.call(&Ask::get("/orders")).is_ok());
    for address in ["192.0.2.9", "198.51.100.1", "::ffff:192.0.2.9", "2001:db8::1"] {
        let refused = desk.call(&Ask::get("/orders").from(address)).unwrap_err();
        assert_eq!((refused.status, refused.reason()), (404, "plugin_refused"), "{address}");
    }
    let records = desk.records();
    assert_eq!(records[1]["plugin"], "plg_00000000000000000000000000000028");
    assert_eq!(
        (&records[1]["reason"], &records[0]["plugin"]),
        (&"plugin_refused".into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_trusted_proxy_says_whose_address_counts() {
    let config = r#"{"allow":["203.0.113.5"]}"#;
    let mut world = World::with_plugins(&[("ip-restriction", config)]);
    let ask = Ask::get("/orders").field("X-Forwarded-For", "203.0.113.5");
    assert_eq!(Desk::new(world.clone()).call(&ask).unwrap_err().status, 403);
    world.trusted_proxies = vec!["192.0.2.7/32".parse().unwrap()];
    assert!(Desk::new(world).call(&ask).is_ok());
}

#[test]
fn what_is_blocked_is_refused_wherever_it_stands() {
    let config = r#"{"urls":["swagger"],"headers":["user-agent: curl"],"bodies":["hack"],"case_sensitive":false,"message":"not here"}"#;
    let plugins = [("request-block", config)];
    for ask in [
        Ask::get("/orders/SWAGGER.html"),
        Ask::get("/orders?p=%73wagger"),
        Ask::get("/orders").field("User-Agent", "curl/8.5"),
        Ask::post("/orders", "text/plain", "let us Hack this"),
    ] {
        let refused = call(&plugins, &ask).unwrap_err();
        assert_eq!((refused.status, refused.reason()), (403, "plugin_refused"), "{ask:?}");
        assert_eq!(refused.problem["hint"], "not here");
    }
    assert!(call(&plugins, &Ask::get("/orders").field("User-Agent", "firefox")).is_ok());
    assert!(call(&plugins, &Ask::post("/orders", "text/plain", "all is well")).is_ok());
}

#[test]
fn a_call_must_be_as_its_schemas_say() {
    let config = r#"{"body":{"type":"object","required":["name"]},"query":{"required":["page"]},
        "content_types":["application/json"],"body_bytes":64}"#;
    let plugins = [("request-validation", config)];
    let json = "application/json; charset=utf-8";
    assert!(call(&plugins, &Ask::post("/orders?page=1", json, r#"{"name":"a"}"#)).is_ok());
    for (ask, status, hint) in [
        (Ask::post("/orders?page=1", json, r#"{"nam":"a"}"#), 400, "required"),
        (Ask::post("/orders?page=1", json, r#"{"name":1,"name":2}"#), 400, "body"),
        (Ask::post("/orders?page=1", json, "nothing"), 400, "not JSON"),
        (Ask::post("/orders", json, r#"{"name":"a"}"#), 400, "query"),
        (Ask::post("/orders?page=1", "text/plain", r#"{"name":"a"}"#), 400, "content type"),
        (Ask::post("/orders?page=1", json, &format!(r#"{{"name":"{}"}}"#, "x".repeat(64))), 413, "larger"),
    ] {
        let refused = call(&plugins, &ask).unwrap_err();
        assert_eq!((refused.status, refused.reason()), (status, "plugin_refused"), "{ask:?}");
        assert!(refused.problem["hint"].as_str().unwrap().contains(hint), "{:?}", refused.problem);
    }
}

#[test]
fn an_answer_of_ones_own_needs_no_service() {
    let config = r#"{"status":202,"headers":[{"name":"Content-Type","value":"application/json"}],"body":"{\"late\":true}"}"#;
    let answer = call(&[("custom-response", config)], &Ask::get("/orders")).unwrap_err();
    assert_eq!((answer.status, &*answer.body), (202, &br#"{"late":true}"#[..]));
    assert_eq!(answer.value("content-type"), Some("application/json"));
    assert!(answer.value("x-ca-request-id").is_some());
}

#[test]
fn requests_are_changed_on_their_way() {
    let config = r#"{"request":{
        "map":[{"from":{"in":"header","name":"x-user"},"to":{"in":"query","name":"user"}},
               {"from":{"in":"query","name":"tenant"},"to":{"in":"header","name":"x-tenant"}}],
        "headers":{"remove":["x-a"],"rename":[{"from":"x-b","to":"x-c"}],"set":[{"name":"x-d","value":"new"}],
                   "add":[{"name":"x-e","value":"2"}]},
        "query":{"remove":["drop"],"rename":[{"from":"old","to":"n w"}],"set":[{"name":"s","value":"a&b"}],
                 "add":[{"name":"s","value":"c"}]}}}"#;
    let ask = Ask::get("/orders?drop=1&old=%31&s=x&tenant=t%20t&%64rop=2")
        .field("X-A", "1")
        .field("X-B", "1")
        .field("X-C", "gone")
        .field("X-D", "old")
        .field("X-E", "1")
        .field("X-User", "a/b");
    let sent = call(&[("transform", config)], &ask).unwrap();
    assert_eq!(sent.line, "GET /base/orders?n%20w=%31&tenant=t%20t&user=a%2Fb&s=a%26b&s=c HTTP/1.1");
    assert!(sent.values("x-a").is_empty() && sent.values("x-b").is_empty());
    assert_eq!((sent.values("x-c"), sent.values("x-d")), (vec!["1"], vec!["new"]));
    assert_eq!((sent.values("x-e"), sent.values("x-tenant")), (vec!["1", "2"], vec!["t t"]));
    assert_eq!(sent.values("host"), ["127.0.0.1:9000"]);
}

#[test]
fn json_bodies_are_changed_on_their_way() {
    let config = r#"{"request":{"body":{"remove":["/secret"],"rename":[{"from":"/a","to":"/b/c"}],
        "set":[{"pointer":"/d","value":[1]}]},
        "map":[{"from":{"in":"header","name":"x-user"},"to":{"in":"body","name":"/user"}}]}}"#;
    let plugins = [("transform", config)];
    let ask = Ask::post("/orders", "application/json", r#"{"secret":1,"a":2}"#)
        .field("X-User", "anna")
        .field("Content-MD5", "of the body that came");
    let sent = call(&plugins, &ask).unwrap();
    let body: serde_json::Value = serde_json::from_slice(sent.body.as_ref().unwrap()).unwrap();
    assert_eq!(body, serde_json::json!({"b": {"c": 2}, "d": [1], "user": "anna"}));
    assert!(sent.values("content-md5").is_empty());
    let refused = call(&plugins, &Ask::post("/orders", "text/plain", "nothing")).unwrap_err();
    assert_eq!((refused.status, refused.reason()), (400, "plugin_refused"));
}

#[test]
fn what_is_keywards_to_say_no_plugin_says() {
    // A field that only this API owns is not known where the plugin is written.
    let config = r#"{"request":{"headers":{"set":[{"name":"x-app-id","value":"forged"}]}}}"#;
    let mut world = World::with_plugins(&[("transform", config)]);
    world.api.system_parameters = vec![keyward_model::SystemParameter {
        name: keyward_model::SystemParameterName::Stage,
        place: keyward_model::ParameterPlace::Header("x-app-id".parse().unwrap()),
    }];
    let sent = Desk::new(world).call(&Ask::get("/orders")).unwrap();
    assert_eq!(sent.values("x-app-id"), ["RELEASE"]);
}

/// What becomes of an answer: what goes to the client, and what was said to the transport.
fn answered(
    plugins: &[(&'static str, &str)],
    status: u16,
    fields: &[(&str, &str)],
    body: &[u8],
) -> (Reply, String) {
    let desk = Desk::new(World::with_plugins(plugins));
    let mut asked = desk.ask(&Ask::get("/orders"));
    asked.forward();
    let fields: Vec<_> = fields.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
    let head = ResponseHead { status, fields: &fields };
    let mut out = Vec::new();
    let mut reply = desk.handler.response_head(asked.exchange(), &head, &mut out);
    if matches!(reply, Reply::Hold { .. }) {
        out.clear();
        reply = desk.handler.response_body(asked.exchange(), &head, body, &mut out);
    }
    asked.end().unwrap();
    (reply, String::from_utf8(out).unwrap())
}

#[test]
fn answers_of_some_statuses_are_replaced() {
    let config = r#"{"body":"later","enable_on_status":[500,502],"headers":[{"name":"X-A","value":"b"}]}"#;
    let (reply, _) = answered(&[("custom-response", config)], 502, &[("X-Internal", "stack")], b"trace");
    match reply {
        Reply::Replace(response) => {
            assert_eq!((response.status, &*response.body), (502, &b"later"[..]));
            let fields = String::from_utf8(response.fields).unwrap();
            assert!(
                fields.starts_with("X-A: b\r\nX-Ca-Request-Id: ") && !fields.contains("stack"),
                "{fields}"
            );
        }
        other => panic!("{other:?}"),
    }
    let (reply, fields) = answered(&[("custom-response", config)], 200, &[("X-Internal", "x")], b"");
    assert!(
        matches!(reply, Reply::Pass) && fields.starts_with("X-Internal: x\r\nX-Ca-Request-Id: "),
        "{fields}"
    );
}

#[test]
fn answers_are_changed_on_their_way_back() {
    let config = r#"{"response":{"headers":{"remove":["server"],"set":[{"name":"x-a","value":"b"}]},"body":{"remove":["/internal"]}}}"#;
    let fields =
        [("Server", "old/1.0"), ("ETag", "\"1\""), ("Date", "now"), ("Content-Type", "application/json")];
    let (reply, _) = answered(&[("transform", config)], 200, &fields, br#"{"internal":1,"a":2}"#);
    match reply {
        Reply::Replace(response) => {
            assert_eq!((response.status, &*response.body), (200, &br#"{"a":2}"#[..]));
            let fields = String::from_utf8(response.fields).unwrap();
            assert!(fields.starts_with("Content-Type: application/json\r\nx-a: b\r\n"), "{fields}");
        }
        other => panic!("{other:?}"),
    }
    let (reply, _) = answered(&[("transform", config)], 200, &[], b"not JSON");
    assert!(matches!(reply, Reply::Replace(response) if response.status == 503));
    let headers = r#"{"response":{"headers":{"remove":["server"]}}}"#;
    let (reply, fields) = answered(&[("transform", headers)], 200, &fields, b"");
    assert!(matches!(reply, Reply::Pass), "a body that nobody changes streams");
    assert!(fields.starts_with("ETag: \"1\"\r\nDate: now\r\n"), "{fields}");
}

#[test]
fn so_many_calls_pass_and_no_more() {
    let config = r#"{"by":"address","requests":2,"per":"1m"}"#;
    let desk = Desk::new(World::with_plugins(&[("rate-limit", config)]));
    let ask = Ask::get("/orders");
    assert!(desk.call(&ask).is_ok() && desk.call(&ask).is_ok());
    let refused = desk.call(&ask).unwrap_err();
    assert_eq!((refused.status, refused.reason()), (429, "limit_exceeded"));
    assert_eq!(
        (refused.value("RateLimit-Limit"), refused.value("RateLimit-Remaining")),
        (Some("2"), Some("0"))
    );
    let wait: u64 = refused.value("Retry-After").unwrap().parse().unwrap();
    assert!((1..=120).contains(&wait), "{wait}");
    assert!(desk.call(&ask.clone().from("192.0.2.8")).is_ok(), "another address has a count of its own");
    desk.hands.pass(wait * 1_000);
    assert!(desk.call(&ask).is_ok());
}

#[test]
fn hdr_021_what_a_service_says_about_limits_is_not_taken_for_ours() {
    let config = r#"{"by":"api","requests":10,"per":"1h"}"#;
    let theirs = [("X-RateLimit-Remaining", "999999"), ("RateLimit-Limit", "7"), ("Set-Cookie", "a=b")];
    let (reply, fields) = answered(&[("rate-limit", config)], 200, &theirs, b"");
    assert!(matches!(reply, Reply::Pass));
    assert!(
        fields.starts_with("Set-Cookie: a=b\r\nRateLimit-Limit: 10\r\nRateLimit-Remaining: 9\r\n"),
        "{fields}"
    );
    assert!(!fields.contains("999999"));
}

#[test]
fn so_many_calls_are_under_way_and_no_more() {
    let desk = Desk::new(World::with_plugins(&[("rate-limit", r#"{"by":"api","concurrency":2}"#)]));
    let ask = Ask::get("/orders");
    let (first, _second) = (desk.ask(&ask), desk.ask(&ask));
    let refused = desk.call(&ask).unwrap_err();
    assert_eq!((refused.status, refused.reason()), (429, "limit_exceeded"));
    first.end().unwrap();
    assert!(desk.call(&ask).is_ok());
    assert!(desk.call(&ask).is_ok(), "a call that is over makes room");
}

#[test]
fn a_limit_counts_callers_that_were_proven() {
    let mut world = World::admitting(&[ApiKey, Anyone]);
    world.plugins = vec![("rate-limit", r#"{"by":"caller","requests":1,"per":"1h"}"#.into())];
    let desk = Desk::new(world);
    let known = Ask::get("/orders").field("X-Api-Key", API_KEY);
    assert!(desk.call(&known).is_ok() && desk.call(&Ask::get("/orders")).is_ok());
    assert_eq!(desk.call(&known).unwrap_err().status, 429);
    assert_eq!(desk.call(&Ask::get("/orders")).unwrap_err().status, 429);
}

#[test]
fn pages_of_other_origins_are_answered_beforehand() {
    let config = r#"{"origins":["https://app.example"],"methods":["PUT"],"credentials":true}"#;
    let mut world = World::admitting(&[ApiKey]);
    world.plugins = vec![("cors", config.into())];
    world.api.operations = vec![keyward_model::Operation {
        method: Some("PUT".parse().unwrap()),
        path: "/{id}".parse().unwrap(),
    }];
    let desk = Desk::new(world);
    let asking = |origin: &str, method: &str| Ask {
        method: "OPTIONS".into(),
        ..Ask::get("/orders/1").field("Origin", origin).field("Access-Control-Request-Method", method)
    };
    let answer = desk.call(&asking("https://app.example", "PUT")).unwrap_err();
    assert_eq!(answer.status, 204, "nobody is asked who they are");
    assert_eq!(answer.value("access-control-allow-origin"), Some("https://app.example"));
    let answer = desk.call(&asking("https://evil.example", "PUT")).unwrap_err();
    assert_eq!((answer.status, answer.value("access-control-allow-origin")), (204, None));
    // A question about what there is not is no question beforehand.
    assert_eq!(desk.call(&asking("https://app.example", "DELETE")).unwrap_err().status, 405);
    let put = Ask { method: "PUT".into(), ..Ask::get("/orders/1").field("Origin", "https://app.example") };
    assert_eq!(desk.call(&put).unwrap_err().reason(), "credential_missing");
    let mut asked = desk.ask(&put.field("X-Api-Key", API_KEY));
    let fields = [Field { name: "Access-Control-Allow-Origin", value: b"*" }];
    let mut out = Vec::new();
    desk.handler.response_head(asked.exchange(), &ResponseHead { status: 200, fields: &fields }, &mut out);
    asked.end().unwrap();
    let fields = String::from_utf8(out).unwrap();
    assert!(
        fields.contains("Access-Control-Allow-Origin: https://app.example\r\n") && !fields.contains('*'),
        "{fields}"
    );
    assert!(fields.contains("Vary: Origin\r\n"));
}

#[test]
fn a_nonce_is_good_for_one_call() {
    let desk = Desk::new(World::with_plugins(&[("replay-protection", "{}")]));
    let with = |nonce: &str| Ask::get("/orders").field("X-ApiGw-Nonce", nonce);
    assert!(desk.call(&with("0123456789abcdef-1")).is_ok());
    let replayed = desk.call(&with("0123456789abcdef-1")).unwrap_err();
    assert_eq!((replayed.status, replayed.reason()), (401, "nonce_replayed"));
    assert_eq!(desk.call(&Ask::get("/orders")).unwrap_err().reason(), "nonce_missing");
    assert_eq!(desk.call(&with("short")).unwrap_err().reason(), "nonce_missing");
    assert!(desk.call(&with("0123456789abcdef-2")).is_ok());
}

#[test]
fn a_nonce_survives_the_wait_for_a_body() {
    let plugins = [("replay-protection", "{}"), ("request-block", r#"{"bodies":["hack"]}"#)];
    let desk = Desk::new(World::with_plugins(&plugins));
    let ask = Ask::post("/orders", "text/plain", "fine").field("X-ApiGw-Nonce", "0123456789abcdef-1");
    assert!(desk.call(&ask).is_ok(), "judged again with its body, it is the same call");
    assert_eq!(desk.call(&ask).unwrap_err().reason(), "nonce_replayed");
}

#[test]
fn a_limit_counts_a_call_once_though_it_waits_for_its_body() {
    let limit = r#"{"by":"api","requests":2,"per":"1h"}"#;
    let plugins = [("rate-limit", limit), ("request-block", r#"{"bodies":["hack"]}"#)];
    let desk = Desk::new(World::with_plugins(&plugins));
    let ask = Ask::post("/orders", "text/plain", "fine");
    assert!(desk.call(&ask).is_ok() && desk.call(&ask).is_ok());
    assert_eq!(desk.call(&ask).unwrap_err().status, 429);
}

#[test]
fn a_custom_plugin_that_nobody_runs_closes_the_door() {
    let refused = call(&[("my-filter", "{}")], &Ask::get("/orders")).unwrap_err();
    assert_eq!((refused.status, refused.reason()), (503, "plugin_failed"));
}

#[test]
fn a_change_of_a_plugin_is_seen_by_the_next_call() {
    let desk = Desk::new(World::with_plugins(&[("ip-restriction", r#"{"deny":["192.0.2.7"]}"#)]));
    assert_eq!(desk.call(&Ask::get("/orders")).unwrap_err().status, 403);
    desk.publish(World::with_plugins(&[]));
    assert!(desk.call(&Ask::get("/orders")).is_ok());
    desk.publish(World::with_plugins(&[("ip-restriction", r#"{"deny":["192.0.2.7"],"status":418}"#)]));
    assert_eq!(desk.call(&Ask::get("/orders")).unwrap_err().status, 418);
}
