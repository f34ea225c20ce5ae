//! Plugins through the live gateway: bound over the admin API, in effect with its answer.

use keyward_testkit::client::{Answer, Connection};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::operators::json;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

const HOST: &str = "api.test";
const KEY: &str = "partner-key-0123456789";

fn world(admits: &str, authz: &str) -> String {
    format!(
        r#"
version: 1
services:
  - {{name: orders, endpoints: ["${{UPSTREAM}}"]}}
  - {{name: authz, endpoints: ["{authz}"]}}
apis:
  - {{name: orders, hosts: ["{HOST}"], base_path: /orders, admits: [{admits}], stages: {{RELEASE: {{service: orders}}}}}}
secrets:
  - {{name: partner_key, value: "{KEY}"}}
"#
    )
}

/// Binds plugins to the API `orders`, in this order; their ids.
async fn bind(gateway: &Gateway, plugins: &[(&str, &str)]) -> Vec<String> {
    let mut ids = Vec::new();
    for (order, (kind, config)) in plugins.iter().enumerate() {
        let body = format!(
            r#"{{"plugin": "{kind}", "on": {{"api": "orders"}}, "order": {order}, "config": {config}}}"#
        );
        let answer = gateway.admin(json("POST", "/v1/plugins", &body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    ids
}

async fn start(admits: &str, plugins: &[(&str, &str)]) -> Gateway {
    let gateway = Gateway::start(&world(admits, "http://127.0.0.1:1")).await;
    bind(&gateway, plugins).await;
    gateway
}

fn get(target: &str) -> Request {
    Request::get(HOST, target)
}

#[tokio::test]
async fn the_documents_example_works() {
    let config = r#"{"credentials":["$ref{partner_key}"],"keys":["apikey","x-api-key"]}"#;
    let gateway = start("app_signature, app_code, api_key, jwt", &[("key-auth", config)]).await;
    for request in [
        get("/orders/1").header("apikey", KEY),
        get("/orders/1").header("X-Api-Key", KEY),
        get(&format!("/orders/1?apikey={KEY}")),
    ] {
        assert_eq!(gateway.call(&request).await.status, 200);
        let last = gateway.upstream().last().unwrap();
        assert!(last.values("apikey").is_empty() && last.values("x-api-key").is_empty());
        assert_eq!(last.values("x-keyward-caller-name"), ["key-auth"]);
    }
    for (request, reason) in [
        (get("/orders/1"), "credential_missing"),
        (get("/orders/1").header("apikey", "$ref{partner_key}"), "credential_unknown"),
        (get("/orders/1").header("apikey", KEY).header("x-api-key", KEY), "credential_ambiguous"),
    ] {
        let answer = gateway.call(&request).await;
        assert_eq!(gateway.reason_of(&answer).await, reason);
    }
    assert!(!String::from_utf8_lossy(&gateway.upstream().bytes()).contains(KEY));
    let log = gateway.log_lines(6).await.join("\n");
    assert!(!log.contains(KEY), "{log}");
}

#[tokio::test]
async fn an_answer_is_held_changed_and_framed_anew() {
    let upstream = Upstream::answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
          9\r\n{\"a\":1,\"s\r\n8\r\necret\":2\r\n1\r\n}\r\n0\r\n\r\n",
    )
    .await
    .unwrap();
    let gateway =
        Gateway::start_on(&world("anyone", "http://127.0.0.1:1"), Default::default(), upstream).await;
    bind(&gateway, &[("transform", r#"{"response":{"body":{"remove":["/secret"]}}}"#)]).await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    for _ in 0..2 {
        let answer = connection.call(&get("/orders/1").header("Accept-Encoding", "gzip")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"a":1}"#));
        assert_eq!(answer.header("content-length"), Some("7"));
    }
    assert!(gateway.upstream().last().unwrap().values("accept-encoding").is_empty());
}

#[tokio::test]
async fn an_answer_of_some_status_is_replaced() {
    let upstream =
        Upstream::answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\nX-Trace: y\r\n\r\ntrace").await;
    let gateway =
        Gateway::start_on(&world("anyone", "http://127.0.0.1:1"), Default::default(), upstream.unwrap())
            .await;
    bind(&gateway, &[("custom-response", r#"{"status":503,"body":"later","enable_on_status":[500]}"#)]).await;
    let answer = gateway.call(&get("/orders/1")).await;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-trace")), (503, "later", None));
}

#[tokio::test]
async fn a_body_is_replaced_on_its_way_to_the_service() {
    let config = r#"{"request":{"body":{"set":[{"pointer":"/by","value":"keyward"}]}}}"#;
    let gateway = start("anyone", &[("transform", config)]).await;
    let request = get("/orders").method("POST").header("Content-Type", "application/json").body(r#"{"a":1}"#);
    assert_eq!(gateway.call(&request).await.status, 200);
    let last = gateway.upstream().last().unwrap();
    assert_eq!(last.values("content-length"), ["22"]);
    let bytes = String::from_utf8(gateway.upstream().bytes()).unwrap();
    assert!(bytes.ends_with(r#"{"a":1,"by":"keyward"}"#), "{bytes}");
}

async fn asking(authz: &'static [u8], config: &str) -> (Gateway, Upstream) {
    let service = Upstream::answering(authz).await.unwrap();
    let gateway = Gateway::start(&world("anyone", &service.url())).await;
    bind(&gateway, &[("ext-auth", config)]).await;
    (gateway, service)
}

async fn reason(gateway: &Gateway, answer: &Answer) -> (u16, String) {
    (answer.status, gateway.reason_of(answer).await)
}

#[tokio::test]
async fn a_service_is_asked_about_each_call() {
    let yes = b"HTTP/1.1 200 OK\r\nX-Tenant: a\r\nX-Other: b\r\nContent-Length: 2\r\n\r\nok";
    let config =
        r#"{"service":"authz","path":"/check","headers":["cookie"],"headers_to_service":["x-tenant"]}"#;
    let (gateway, service) = asking(yes, config).await;
    let request =
        get("/orders/1?a=b").header("Cookie", "s=1").header("X-Tenant", "forged").header("X-Mine", "c");
    assert_eq!(gateway.call(&request).await.status, 200);
    let asked = service.last().unwrap();
    assert_eq!((asked.values("cookie"), asked.values("x-mine")), (vec!["s=1"], vec![]));
    assert_eq!(
        (asked.values("x-forwarded-method"), asked.values("x-forwarded-uri")),
        (vec!["GET"], vec!["/orders/1?a=b"])
    );
    let last = gateway.upstream().last().unwrap();
    assert_eq!((last.values("x-tenant"), last.values("x-other")), (vec!["a"], vec![]));
}

#[tokio::test]
async fn what_the_service_refuses_is_refused() {
    let no = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Session\r\nX-Secret: s\r\nContent-Length: 0\r\n\r\n";
    let config = r#"{"service":"authz","headers_to_client":["www-authenticate"],"status":401}"#;
    let (gateway, _service) = asking(no, config).await;
    let answer = gateway.call(&get("/orders/1")).await;
    assert_eq!(reason(&gateway, &answer).await, (401, "plugin_refused".into()));
    assert_eq!((answer.header("www-authenticate"), answer.header("x-secret")), (Some("Session"), None));
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn without_an_answer_the_door_stays_closed_unless_it_was_told_otherwise() {
    for (config, status) in
        [(r#"{"service":"authz"}"#, 503), (r#"{"service":"authz","failure_mode_allow":true}"#, 200)]
    {
        let gateway = start("anyone", &[("ext-auth", config)]).await;
        let answer = gateway.call(&get("/orders/1")).await;
        assert_eq!(answer.status, status, "{config}");
        if status == 503 {
            assert_eq!(gateway.reason_of(&answer).await, "plugin_failed");
            assert_eq!(gateway.upstream().hits(), 0);
        }
    }
}

#[tokio::test]
async fn the_record_names_the_plugin_that_refused() {
    let plugins =
        [("ip-restriction", r#"{"allow":["127.0.0.0/8"]}"#), ("request-block", r#"{"urls":["evil"]}"#)];
    let gateway = Gateway::start(&world("anyone", "http://127.0.0.1:1")).await;
    let ids = bind(&gateway, &plugins).await;
    let answer = gateway.call(&get("/orders/evil")).await;
    let record = gateway.record_of(&answer).await;
    assert_eq!(record["plugin"], ids[1].as_str());
    assert_eq!((&record["reason"], &record["status"]), (&"plugin_refused".into(), &403.into()));
}

#[tokio::test]
async fn what_goes_to_the_service_is_signed_as_the_vendor_does() {
    let config = r#"{"key":"DemoKey1","secret":"DemoSecret1","headers":["HeaderKey1","HeaderKey2"]}"#;
    let gateway = start("anyone", &[("backend-signature", config)]).await;
    let request = get("/orders?QueryKey1=QueryValue1&QueryKey2=QueryValue2")
        .method("POST")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("HeaderKey1", "HeaderValue1")
        .header("X-Ca-Proxy-Signature", "forged")
        .body("FormKey1=FormValue1&FormKey2=FormValue2");
    assert_eq!(gateway.call(&request).await.status, 200);
    let last = gateway.upstream().last().unwrap();
    assert_eq!(last.values("x-ca-proxy-signature-headers"), ["HeaderKey1"]);
    assert_eq!(last.values("x-ca-proxy-signature-secret-key"), ["DemoKey1"]);
    let text = "POST\n\nheaderkey1:HeaderValue1\n/orders?FormKey1=FormValue1&FormKey2=FormValue2&QueryKey1=QueryValue1&QueryKey2=QueryValue2";
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(b"DemoSecret1").unwrap();
    hmac::Mac::update(&mut mac, text.as_bytes());
    use base64::Engine as _;
    let expected = base64::engine::general_purpose::STANDARD.encode(hmac::Mac::finalize(mac).into_bytes());
    assert_eq!(last.values("x-ca-proxy-signature"), [expected.as_str()]);
}

#[tokio::test]
async fn a_stream_stays_a_stream_beside_plugins_that_do_not_read_it() {
    let config = r#"{"by":"api","requests":10,"per":"1m"}"#;
    let gateway = start("anyone", &[("rate-limit", config), ("cors", r#"{"origins":["*"]}"#)]).await;
    let answer = gateway.call(&get("/orders/1").header("Origin", "https://a.example")).await;
    assert_eq!(answer.header("ratelimit-remaining"), Some("9"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn a_quota_counts_by_the_calendar_and_a_restart_gives_nobody_their_calls_back() {
    let gateway = start("anyone", &[("quota", r#"{"by":"address","requests":3,"per":"month"}"#)]).await;
    for _ in 0..3 {
        assert_eq!(gateway.call(&get("/orders/1")).await.status, 200);
    }
    let answer = gateway.call(&get("/orders/1")).await;
    assert_eq!((answer.status, gateway.reason_of(&answer).await), (429, "limit_exceeded".to_owned()));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31 * 86_400).contains(&wait), "{wait}");
    let gateway = gateway.restart().await;
    assert_eq!(gateway.call(&get("/orders/1")).await.status, 429);
    let shared = r#"{"plugin": "quota", "on": {"api": "orders"}, "config": {"requests": 1, "per": "day", "shared": true}}"#;
    let refused = gateway.admin(json("POST", "/v1/plugins", shared)).await;
    assert!(
        refused.status == 422 && refused.text().contains("not supported by this version"),
        "{}",
        refused.text()
    );
}
