//! The life of a request, step by step.

mod desk;

use desk::*;
use keyward_access::UsageSource as _;
use keyward_http::{BodyLength, BodyVerdict, Field, Handler, Refused, ResponseHead, Step, UpstreamFailure};
use keyward_model::{Calls, CallsKey, CredentialKind, Day, Timestamp};

#[test]
fn a_permitted_request_goes_to_the_service() {
    let desk = Desk::new(World::default());
    let sent = desk.call(&Ask::get("/orders/1?a=%20&b").field("X-Api-Key", API_KEY)).unwrap();
    assert_eq!(sent.line, "GET /base/orders/1?a=%20&b HTTP/1.1");
    assert_eq!(sent.values("host"), ["127.0.0.1:9000"]);
    assert_eq!(sent.endpoint, "http://127.0.0.1:9000/base");
    let records = desk.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["status"], 200);
    assert_eq!(records[0]["reason"], serde_json::Value::Null);
    assert_eq!(records[0]["caller_name"], "analytics");
    assert_eq!(records[0]["caller"], "con_00000000000000000000000000000006");
    assert_eq!(records[0]["credential"], "crd_00000000000000000000000000000014");
    assert_eq!(records[0]["api"], "api_00000000000000000000000000000004");
    assert_eq!(records[0]["grant"], "grt_0000000000000000000000000000001f");
    assert_eq!(records[0]["stage"], "RELEASE");
    assert_eq!(records[0]["revision"], 1);
    assert_eq!(records[0]["query"], "a=%20&b");
    assert_eq!(records[0]["upstream"], "http://127.0.0.1:9000/base");
    let used = desk.gateway.usage.take();
    let now = Timestamp::from_millis(NOW_MS);
    assert_eq!(used.credentials, [("crd_00000000000000000000000000000014".parse().unwrap(), now)]);
    assert_eq!(used.grants, [("grt_0000000000000000000000000000001f".parse().unwrap(), now)]);
    let key = CallsKey {
        day: Day::of(now),
        caller: Some("con_00000000000000000000000000000006".parse().unwrap()),
        api: Some("api_00000000000000000000000000000004".parse().unwrap()),
        reason: None,
    };
    assert_eq!(used.calls, [(key, Calls { count: 1, last: now })]);
}

#[test]
fn each_step_of_the_ladder_can_refuse() {
    use CredentialKind as K;
    let mut world = World::admitting(&[K::ApiKey]);
    world.api.operations = vec![keyward_model::Operation {
        method: Some("GET".parse().unwrap()),
        path: "/{id}".parse().unwrap(),
    }];
    let desk = Desk::new(world);
    let with_key = |target: &str, key: &str| Ask::get(target).field("X-Api-Key", key);
    let mut post = with_key("/orders/1", API_KEY);
    post.method = "POST".into();
    for (ask, status, reason) in [
        (Ask::get("/elsewhere"), 404, "api_not_found"),
        (Ask::get("/orders//1"), 400, "request_malformed"),
        (post, 405, "method_not_allowed"),
        (Ask::get("/orders/1").field("X-Ca-Stage", "WHAT"), 400, "stage_invalid"),
        (Ask::get("/orders/1"), 401, "credential_missing"),
        (with_key("/orders/1", API_KEY).field("Authorization", "Bearer x"), 400, "credential_ambiguous"),
        (with_key("/orders/1", "nobody-has-this-key"), 401, "credential_unknown"),
        (with_key("/orders/1", OTHER_KEY), 403, "grant_missing"),
    ] {
        let answer = desk.call(&ask).unwrap_err();
        assert_eq!((answer.status, answer.reason()), (status, reason), "{ask:?}");
        assert_eq!(answer.value("x-ca-request-id").map(str::len), Some(36));
        assert_eq!(answer.value("allow"), (status == 405).then_some("GET"));
    }
    let reasons: Vec<_> = desk.records().iter().map(|r| r["reason"].as_str().unwrap().to_owned()).collect();
    assert_eq!(reasons.len(), 8);
    assert_eq!(reasons[7], "grant_missing");
}

#[test]
fn a_record_of_a_refused_query_holds_no_value() {
    let desk = Desk::new(World::default());
    desk.call(&Ask::get("/orders?apikey=nobody-has-this-key&x=1")).unwrap_err();
    desk.call(&Ask::get(&format!("/elsewhere?apikey={API_KEY}"))).unwrap_err();
    desk.call(&Ask::get(&format!("/orders?x=1&apikey={API_KEY}"))).unwrap();
    let queries: Vec<_> = desk.records().iter().map(|r| r["query"].as_str().unwrap().to_owned()).collect();
    assert_eq!(queries, ["apikey=[hidden]&x=[hidden]", "apikey=[hidden]", "x=1"]);
}

#[test]
fn a_nonce_lets_one_request_in() {
    let desk = Desk::new(World::default());
    let ask = Ask::get("/orders/1").signed("nonce-0123456789abcdef");
    desk.call(&ask).unwrap();
    let answer = desk.call(&ask).unwrap_err();
    assert_eq!((answer.status, answer.reason()), (401, "nonce_replayed"));
    assert!(answer.value("x-ca-error-message").unwrap().starts_with("Nonce Used; "));
    let records = desk.records();
    assert_eq!(records[1]["caller_name"], "shop");
    assert_eq!(records[1]["api_name"], "orders");
    assert_eq!(records[1]["stage"], "RELEASE");
}

#[test]
fn a_full_memory_refuses_where_nonces_are_required() {
    let mut world = World::default();
    world.api.signature.require_nonce = true;
    world.api.signature.require_timestamp = true;
    let desk = Desk::new(world);
    for n in 0..3 {
        desk.call(&Ask::get("/orders/1").signed(&format!("nonce-0123456789-{n}"))).unwrap();
    }
    let answer = desk.call(&Ask::get("/orders/1").signed("nonce-one-too-many")).unwrap_err();
    assert_eq!((answer.status, answer.reason()), (503, "replay_memory_unavailable"));
    assert_eq!(answer.value("retry-after"), Some("1"));
}

#[test]
fn a_nonce_is_not_spent_by_a_request_that_does_not_verify() {
    let desk = Desk::new(World::default());
    let good = Ask::get("/orders/1").signed("nonce-0123456789abcdef");
    let mut forged = good.clone();
    forged.target = "/orders/2".into();
    assert_eq!(desk.call(&forged).unwrap_err().status, 401);
    desk.call(&good).unwrap();
}

#[test]
fn a_form_is_held_and_judged_whole() {
    let desk = Desk::new(World::default());
    let form = "application/x-www-form-urlencoded";
    let ask = Ask::post("/orders", form, "a=1&b=2").signed("nonce-0123456789abcdef");
    let mut asked = desk.ask(&ask);
    assert!(matches!(asked.step, Step::Hold { limit: 4_194_304 }), "{:?}", asked.step);
    asked.deliver();
    assert!(!asked.forward().watch_body);
    asked.end().unwrap();
    let mut tampered = Ask::post("/orders", form, "a=1&b=2").signed("nonce-0123456789abcdeg");
    tampered.body = b"a=1&b=3".to_vec();
    let answer = desk.call(&tampered).unwrap_err();
    assert_eq!((answer.status, answer.reason()), (401, "proof_mismatch"));
    assert_eq!(desk.records().len(), 2);
}

#[test]
fn a_small_body_with_a_digest_is_held() {
    let desk = Desk::new(World::default());
    let ask = Ask::post("/orders", "application/json", "{}").signed("nonce-0123456789abcdef");
    let asked = desk.ask(&ask);
    assert!(matches!(asked.step, Step::Hold { limit: 1_048_576 }), "{:?}", asked.step);
    asked.end().unwrap();
    let mut tampered = Ask::post("/orders", "application/json", "{}").signed("nonce-0123456789abcdeg");
    tampered.body = b"[]".to_vec();
    let answer = desk.call(&tampered).unwrap_err();
    assert_eq!((answer.status, answer.reason()), (400, "digest_mismatch"));
}

fn large(nonce: &str) -> Ask {
    let body = "x".repeat(2_000_000);
    Ask::post("/orders", "application/octet-stream", &body).signed(nonce)
}

#[test]
fn a_large_body_with_a_digest_is_refused_with_what_to_set() {
    let desk = Desk::new(World::default());
    let answer = desk.call(&large("nonce-0123456789abcdef")).unwrap_err();
    assert_eq!(answer.status, 413);
    assert!(answer.problem["hint"].as_str().unwrap().contains("stream_before_digest: true"));
    let records = desk.records();
    assert_eq!(records[0]["reason"], "request_malformed");
    assert_eq!(records[0]["api_name"], "orders");
}

#[test]
fn a_chunked_body_that_grows_too_large_is_refused_with_what_to_set() {
    let desk = Desk::new(World::default());
    let mut ask = large("nonce-0123456789abcdef");
    ask.length = BodyLength::Chunked;
    let mut asked = desk.ask(&ask);
    assert!(matches!(asked.step, Step::Hold { limit: 1_048_576 }), "{:?}", asked.step);
    let peer = ask.peer;
    let response = desk.handler.refused(Some(asked.exchange()), Refused::BodyTooLarge, &peer);
    assert_eq!(response.status, 413);
    assert!(String::from_utf8(response.body).unwrap().contains("stream_before_digest: true"));
    desk.handler.finished(asked.exchange.take().unwrap(), &outcome(413));
    let records = desk.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["status"], 413);
}

#[test]
fn where_the_api_says_so_a_large_body_streams_and_its_end_is_withheld() {
    let mut world = World::default();
    world.api.stream_before_digest = true;
    let desk = Desk::new(world);
    for (changed, verdict) in [(false, BodyVerdict::Release), (true, BodyVerdict::Abort)] {
        let nonce = if changed { "nonce-0123456789abcdeg" } else { "nonce-0123456789abcdef" };
        let mut ask = large(nonce);
        if changed {
            *ask.body.last_mut().unwrap() = b'!';
        }
        let mut asked = desk.ask(&ask);
        assert!(asked.forward().watch_body);
        for chunk in ask.body.chunks(65_536) {
            desk.handler.request_chunk(asked.exchange(), chunk);
        }
        assert_eq!(desk.handler.request_end(asked.exchange()), verdict);
        if changed {
            let response = desk.handler.failed(asked.exchange(), UpstreamFailure::Withheld);
            assert_eq!(Answer::of(&response).reason(), "digest_mismatch");
        }
        desk.handler.finished(asked.exchange.take().unwrap(), &outcome(200));
    }
    assert_eq!(desk.records()[1]["reason"], "digest_mismatch");
}

#[test]
fn a_change_between_head_and_body_counts() {
    let desk = Desk::new(World::default());
    let ask =
        Ask::post("/orders", "application/x-www-form-urlencoded", "a=1").signed("nonce-0123456789abcdef");
    let asked = desk.ask(&ask);
    desk.publish(World { grants_revoked: Some(Timestamp::from_millis(NOW_MS)), ..World::default() });
    let answer = asked.end().unwrap_err();
    assert_eq!((answer.status, answer.reason()), (403, "grant_revoked"));
    assert_eq!(desk.records()[0]["revision"], 2);
}

#[test]
fn a_revocation_holds_from_the_next_request_on() {
    let desk = Desk::new(World::default());
    let ask = Ask::get("/orders").field("X-Api-Key", API_KEY);
    desk.call(&ask).unwrap();
    desk.publish(World { grants_revoked: Some(Timestamp::from_millis(NOW_MS)), ..World::default() });
    assert_eq!(desk.call(&ask).unwrap_err().reason(), "grant_revoked");
    desk.publish(World::default());
    desk.call(&ask).unwrap();
}

#[test]
fn a_stream_outlives_its_grant_by_the_grace_and_no_longer() {
    let desk = Desk::new(World::default());
    let mut asked = desk.ask(&Ask::get("/orders").field("X-Api-Key", API_KEY));
    assert!(desk.handler.still_permitted(asked.exchange()));
    desk.publish(World { grants_revoked: Some(Timestamp::from_millis(NOW_MS)), ..World::default() });
    assert!(desk.handler.still_permitted(asked.exchange()), "the grace has only begun");
    desk.hands.pass(29_999);
    assert!(desk.handler.still_permitted(asked.exchange()));
    desk.hands.pass(1);
    assert!(!desk.handler.still_permitted(asked.exchange()));
    desk.handler.finished(asked.exchange.take().unwrap(), &outcome(200));
    assert_eq!(desk.records()[0]["reason"], "grant_revoked");
}

#[test]
fn a_stream_whose_grant_comes_back_goes_on() {
    let desk = Desk::new(World::default());
    let mut asked = desk.ask(&Ask::get("/orders").field("X-Api-Key", API_KEY));
    desk.publish(World { grants_revoked: Some(Timestamp::from_millis(NOW_MS)), ..World::default() });
    assert!(desk.handler.still_permitted(asked.exchange()));
    desk.publish(World::default());
    desk.hands.pass(60_000);
    assert!(desk.handler.still_permitted(asked.exchange()));
    asked.end().unwrap();
}

#[test]
fn every_exchange_has_one_record_however_it_ends() {
    let desk = Desk::new(World::default());
    let peer = Ask::get("/").peer;
    desk.handler.refused(None, Refused::HeadTooLarge, &peer);
    let mut asked = desk.ask(&Ask::get("/orders").field("X-Api-Key", API_KEY));
    desk.handler.failed(asked.exchange(), UpstreamFailure::Late);
    desk.handler.finished(asked.exchange.take().unwrap(), &outcome(504));
    // The client goes away while its body is held.
    let form =
        Ask::post("/orders", "application/x-www-form-urlencoded", "a=1").signed("nonce-0123456789abcdef");
    let mut gone = desk.ask(&form);
    desk.handler.finished(gone.exchange.take().unwrap(), &outcome(0));
    let records = desk.records();
    let told: Vec<_> =
        records.iter().map(|r| (r["status"].as_u64().unwrap(), r["reason"].as_str())).collect();
    assert_eq!(told, [(431, Some("request_malformed")), (504, Some("upstream_unavailable")), (0, None)]);
    assert_eq!(records[0]["client"], "192.0.2.7");
    assert_eq!(records[2]["api_name"], "orders");
}

#[test]
fn an_answer_carries_the_request_id_of_its_record() {
    let desk = Desk::new(World::default());
    let mut asked = desk.ask(&Ask::get("/orders").field("X-Api-Key", API_KEY));
    let fields = [Field { name: "X-Ca-Request-Id", value: b"forged" }, Field { name: "ETag", value: b"x" }];
    let mut out = Vec::new();
    let reply = desk.handler.response_head(
        asked.exchange(),
        &ResponseHead { status: 200, fields: &fields },
        &mut out,
    );
    assert!(matches!(reply, keyward_http::Reply::Pass));
    asked.end().unwrap();
    let id = desk.records()[0]["request_id"].as_str().unwrap().to_owned();
    assert_eq!(String::from_utf8(out).unwrap(), format!("ETag: x\r\nX-Ca-Request-Id: {id}\r\n"));
}

#[test]
fn mistakes_are_looked_for_within_a_budget() {
    let desk = Desk::new(World::default());
    // An `Accept` that some proxy added after signing.
    let wrong =
        |n: usize| Ask::get("/orders/1").signed(&format!("nonce-0123456789-{n:04}")).field("Accept", "*/*");
    let hints: Vec<String> = (0..30)
        .map(|n| desk.call(&wrong(n)).unwrap_err().problem["hint"].as_str().unwrap_or_default().to_owned())
        .collect();
    let told = hints.iter().filter(|hint| hint.contains("Accept")).count();
    assert_eq!(told, 10, "{hints:?}");
}

#[test]
fn metrics_tell_what_was_decided() {
    let desk = Desk::new(World::default());
    desk.call(&Ask::get("/orders").field("X-Api-Key", API_KEY)).unwrap();
    desk.call(&Ask::get("/orders").field("X-Api-Key", OTHER_KEY)).unwrap_err();
    desk.call(&Ask::get("/nowhere")).unwrap_err();
    let page = desk.gateway.metrics_page(&keyward_http::Counters::default());
    for line in [
        "keyward_requests_total{account=\"default\",api=\"orders\",status=\"2xx\"} 1",
        "keyward_requests_total{account=\"default\",api=\"orders\",status=\"4xx\"} 1",
        "keyward_refusals_total{account=\"default\",api=\"orders\",reason=\"grant_missing\"} 1",
        "keyward_refusals_total{account=\"\",api=\"\",reason=\"api_not_found\"} 1",
        "keyward_requests_active 0",
        "keyward_snapshot_revision 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
    }
}
