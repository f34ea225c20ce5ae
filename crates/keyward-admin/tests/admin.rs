//! The admin server over a socket: every route, who is let in, what is refused and how.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::Arc;

use keyward_admin::{Admin, AdminOptions, AdminServer, AdminToken};
use keyward_api::{Access, Body, Form, Route};
use keyward_control::{Control, ControlOptions, SystemClock, SystemRandom};
use reqwest::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use serde_json::{Value, json};

const TOKEN: &str = "kw_admin_0123456789abcdefghijklmnopqrstuv";

const WORLD: &str = r#"
version: 1
accounts: [{name: partner}]
secrets: [{name: backend, value: a-value-of-the-backend}]
services: [{name: origin, endpoints: ["http://127.0.0.1:9000"]}]
apis:
  - {name: orders, base_path: /orders, admits: [app_signature, api_key], stages: {RELEASE: {service: origin}, TEST: {service: origin}}}
applications:
  - {name: shop, key_pairs: [{app_key: shop-key, app_secret: shop-secret-0123456789}], app_codes: ["SHOPCODE0123456789ABCDEF01234567"]}
consumers:
  - {name: ann, api_key: {keys: ["ann-key-0123456789abcdef"]}, jwt: {symmetric: true}}
groups: [{name: staff, members: [ann]}]
grants:
  - {to: {application: shop}, api: orders, stages: [RELEASE]}
  - {to: {group: staff}, api: orders}
modules: [{name: hello, wasm: {base64: AGFzbQEAAAA=}}]
plugins: [{plugin: key-auth, on: {api: orders}, config: {credentials: [a-key-that-is-written-out], keys: [apikey]}}]
"#;

struct Fixture {
    server: AdminServer,
    control: Control,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
    text: String,
}

impl Fixture {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = Control::open(ControlOptions {
            data_dir: folder.path().to_owned(),
            store_url: None,
            master_key_file: None,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            own_listeners: Vec::new(),
        })
        .await
        .unwrap();
        let admin = Admin::new(AdminOptions {
            control: control.clone(),
            token: AdminToken::new(TOKEN),
            hosts: vec!["admin.example.com".to_owned()],
            open_id: None,
            metrics: Arc::new(|| "keyward_up 1\n".to_owned()),
            metrics_open: false,
            clock: Arc::new(SystemClock),
            gateway_ready: Arc::new(|| true),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = AdminServer::start(listener, admin).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server, control, http, _folder: folder }
    }

    /// A fixture in which the world is applied.
    async fn with_world() -> Self {
        let fixture = Self::start().await;
        let applied = fixture.apply(WORLD).await;
        assert_eq!(applied.status, 200, "{}", applied.text);
        fixture
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.server.address());
        self.http.request(method.parse().unwrap(), url)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, body, text }
    }

    async fn call(&self, method: &str, path: &str) -> Answer {
        self.send(self.request(method, path).bearer_auth(TOKEN)).await
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(self.request(method, path).bearer_auth(TOKEN).json(&body)).await
    }

    async fn apply(&self, world: &str) -> Answer {
        let request = self.request("POST", "/v1/apply").bearer_auth(TOKEN);
        self.send(request.header(CONTENT_TYPE, "application/yaml").body(world.to_owned())).await
    }
}

/// A path of this route with parameters that name nothing.
fn path_of(route: Route) -> String {
    let id = match route.about().id {
        Form::Id(prefix) => format!("{prefix}{:032}", 0),
        Form::CallerId => format!("app_{:032}", 0),
        _ => "nothing".to_owned(),
    };
    route.fill([id.as_str(), "RELEASE", "nothing"]).replace("/members/RELEASE/", "/members/consumers/")
}

/// Routes that operators may call.
fn for_operators() -> impl Iterator<Item = Route> {
    Route::ALL.iter().copied().filter(|route| route.about().access == Access::Operator)
}

/// Does this route read a JSON body?
fn takes_json(route: Route) -> bool {
    matches!(route.about().body, Body::Json(..) | Body::Change(..))
}

fn assert_problem(answer: &Answer, status: u16, code: &str, about: &str) {
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (status, Some(code)),
        "{about}: {}",
        answer.text
    );
    assert_eq!(answer.headers[CONTENT_TYPE], "application/problem+json", "{about}");
    assert_eq!(answer.body["status"], status, "{about}");
    assert_eq!(answer.body["type"], format!("urn:keyward:problem:{code}"), "{about}");
}

#[tokio::test]
async fn nothing_is_answered_without_the_token() {
    let fixture = Fixture::with_world().await;
    let bogus =
        ["", "Bearer", "Bearer ", "Basic a2V5OndhcmQ=", "Bearer kw_admin_wrong", &format!("Bearer {TOKEN}x")]
            .map(ToOwned::to_owned);
    for route in for_operators() {
        let (method, path) = (route.method().as_str(), path_of(route));
        let answer = fixture.send(fixture.request(method, &path)).await;
        assert_problem(&answer, 401, "operator_unknown", &path);
        assert!(answer.headers.contains_key(WWW_AUTHENTICATE));
        assert_eq!(answer.body.get("revision"), None);
        for value in &bogus {
            let request = fixture.request(method, &path).header("authorization", value);
            assert_problem(&fixture.send(request).await, 401, "operator_unknown", &path);
        }
    }
    for path in ["/metrics", "/v1/nothing", "/", "/v1/apis/orders?access_token=x"] {
        assert_problem(&fixture.send(fixture.request("GET", path)).await, 401, "operator_unknown", path);
    }
    let twice = fixture.request("GET", "/v1/apis").bearer_auth(TOKEN).bearer_auth(TOKEN);
    assert_problem(&fixture.send(twice).await, 401, "operator_unknown", "two tokens");
    let token_in_url = fixture.request("GET", &format!("/v1/apis?token={TOKEN}"));
    assert_problem(&fixture.send(token_in_url).await, 401, "operator_unknown", "a token in the URL");
}

#[tokio::test]
async fn liveness_and_readiness_are_open_and_metrics_are_not() {
    let fixture = Fixture::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(fixture.send(fixture.request("GET", path)).await.status, 200, "{path}");
    }
    let metrics = fixture.call("GET", "/metrics").await;
    assert_eq!((metrics.status, metrics.text.as_str()), (200, "keyward_up 1\n"));
}

#[tokio::test]
async fn the_contract_is_written_as_a_document_and_as_a_page() {
    let fixture = Fixture::start().await;
    let document = fixture.call("GET", "/openapi.json").await;
    assert_eq!((document.status, &document.body), (200, &keyward_api::openapi()));
    assert_eq!(document.headers[CONTENT_TYPE], "application/json");
    let page = fixture.call("GET", "/docs").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers[CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"), "{policy}");
    assert!(page.text.contains("/v1/applications/{id}/key-pairs"));
}

#[tokio::test]
async fn null_takes_a_tag_or_a_stage_away() {
    let fixture = Fixture::with_world().await;
    let tags = |value: Value| fixture.json("PATCH", "/v1/applications/shop", json!({"tags": value}));
    assert_eq!(tags(json!({"a": "1", "b": "2"})).await.body["tags"], json!({"a": "1", "b": "2"}));
    assert_eq!(tags(json!({"a": null, "c": null})).await.body["tags"], json!({"b": "2"}));
    let stages = fixture.json("PATCH", "/v1/apis/orders", json!({"stages": {"TEST": null}})).await;
    assert_eq!(stages.body["stages"], json!({"RELEASE": {"service": "origin"}}), "{}", stages.text);
    let unknown = fixture.json("PATCH", "/v1/apis/orders", json!({"stages": {"DEV": null}})).await;
    assert_problem(&unknown, 422, "invalid", "no stage");
}

#[tokio::test]
async fn open_routes_are_open_for_their_methods_and_tell_others_so() {
    let fixture = Fixture::start().await;
    for route in Route::ALL.iter().filter(|route| route.about().access == Access::Open) {
        let answer = fixture.send(fixture.request("TRACE", route.path())).await;
        assert_problem(&answer, 405, "method_not_allowed", route.path());
        assert!(answer.headers.contains_key(ALLOW));
    }
    assert_eq!(fixture.send(fixture.request("HEAD", "/healthz")).await.status, 200);
    let read = fixture.send(fixture.request("GET", "/v1/session")).await;
    assert_problem(&read, 401, "operator_unknown", "the other method of an open path");
}

#[tokio::test]
async fn only_names_of_the_admin_server_are_answered() {
    let fixture = Fixture::start().await;
    let port = fixture.server.address().port();
    for host in
        [format!("localhost:{port}"), "127.0.0.1".into(), "[::1]:9080".into(), "admin.example.com".into()]
    {
        let request = fixture.request("GET", "/v1/accounts").bearer_auth(TOKEN).header(HOST, &host);
        assert_eq!(fixture.send(request).await.status, 200, "{host}");
    }
    for host in
        ["attacker.example", "localhost.attacker.example", "127.0.0.1.nip.io", "admin.example.com.evil"]
    {
        for path in ["/v1/accounts", "/healthz", "/metrics"] {
            let request = fixture.request("GET", path).bearer_auth(TOKEN).header(HOST, host);
            assert_problem(&fixture.send(request).await, 421, "host_not_allowed", host);
        }
    }
}

#[tokio::test]
async fn wrong_methods_are_refused_with_those_that_there_are() {
    let fixture = Fixture::start().await;
    for &route in Route::ALL {
        let path = path_of(route);
        let answer = fixture.call("OPTIONS", &path).await;
        assert_problem(&answer, 405, "method_not_allowed", &path);
        let allowed = answer.headers[ALLOW].to_str().unwrap();
        assert!(allowed.split(", ").any(|method| method == route.method().as_str()), "{path}: {allowed}");
        let overridden =
            fixture.request("GET", &path).bearer_auth(TOKEN).header("x-http-method-override", "DELETE");
        let _ = fixture.send(overridden).await;
    }
    assert_problem(&fixture.call("POST", "/healthz").await, 405, "method_not_allowed", "healthz");
    let unknown = fixture.call("GET", "/v1/nothing").await;
    assert_problem(&unknown, 404, "route_unknown", "no route");
    assert_eq!(
        unknown.body["revision"],
        fixture.control.revision().number,
        "a problem rests on a revision too"
    );
    assert_problem(&fixture.call("GET", "/v1/apis/%FF").await, 400, "path_malformed", "no UTF-8");
}

#[tokio::test]
async fn unknown_parameters_are_refused_everywhere() {
    let fixture = Fixture::start().await;
    for route in for_operators().filter(|route| *route != Route::Metrics) {
        let path = format!("{}?colour=red", path_of(route));
        let answer = match takes_json(route) || route == Route::Apply {
            true if route == Route::Apply => {
                let request = fixture.request("POST", &path).bearer_auth(TOKEN);
                fixture.send(request.header(CONTENT_TYPE, "application/yaml").body("version: 1")).await
            }
            true => {
                let least = least(route);
                fixture.json(route.method().as_str(), &path, least).await
            }
            false => fixture.call(route.method().as_str(), &path).await,
        };
        assert_problem(&answer, 422, "parameter_invalid", &path);
        assert_eq!(answer.body["problems"][0]["path"], "colour", "{path}");
    }
    let twice = fixture.call("GET", "/v1/apis?account=default&account=partner").await;
    assert_problem(&twice, 422, "parameter_invalid", "twice");
    for (path, name) in [
        ("/v1/apis?limit=none", "limit"),
        ("/v1/apis?limit=0", "limit"),
        ("/v1/applications?tag=x", "tag"),
        ("/v1/apis/a%2Fb", "id"),
        ("/v1/apis/a?account=%20", "account"),
        ("/v1/apis/a/stages/DEV", "stage"),
        ("/v1/grants/shop", "id"),
        ("/v1/explain", "api"),
        ("/v1/explain?api=orders&stage=dev", "stage"),
        ("/v1/explain?api=orders&at=now", "at"),
        ("/v1/explain?api=orders&operation=GET", "operation"),
        ("/v1/explain?api=orders&application=a&consumer=b", "application"),
        ("/v1/credentials", "app_key"),
    ] {
        let method = if path.contains("/stages/") { "DELETE" } else { "GET" };
        let answer = fixture.call(method, path).await;
        assert_problem(&answer, 422, "parameter_invalid", path);
        assert_eq!(answer.body["problems"][0]["path"], name, "{path}");
    }
}

/// A body that this route reads.
fn least(route: Route) -> Value {
    match route.about().body {
        Body::Json(_, example) | Body::Change(_, example) => serde_json::from_str(example).unwrap(),
        Body::None | Body::World => json!({}),
    }
}

#[tokio::test]
async fn bodies_are_read_strictly_everywhere() {
    let fixture = Fixture::with_world().await;
    for &route in Route::ALL.iter().filter(|route| takes_json(**route)) {
        let (method, path) = (route.method().as_str(), existing(&fixture, route).await);
        let mut unknown = least(route);
        unknown["colour"] = "red".into();
        let answer = fixture.json(method, &path, unknown).await;
        assert_problem(&answer, 422, "invalid", &path);
        assert!(answer.text.contains("colour"), "{path}: {}", answer.text);
        assert_problem(&fixture.json(method, &path, json!([])).await, 422, "invalid", &path);
        let send = |media: Option<&'static str>, body: &'static str| {
            let request = fixture.request(method, &path).bearer_auth(TOKEN).body(body);
            fixture.send(match media {
                Some(media) => request.header(CONTENT_TYPE, media),
                None => request,
            })
        };
        for media in
            [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data")]
        {
            assert_problem(&send(media, "{}").await, 415, "media_type_unsupported", &path);
        }
        for text in ["", "{", "{\"name\":", "\u{feff}{}", "{}{}", "name: a"] {
            assert_problem(&send(Some("application/json"), text).await, 400, "body_malformed", &path);
        }
    }
}

/// A path of this route with parameters that name something of the world, so that the body decides.
async fn existing(fixture: &Fixture, route: Route) -> String {
    let named = match route.noun() {
        "account" => "partner",
        "gateway" => "default",
        "secret" => "backend",
        "service" => "origin",
        "api" | "stage" => "orders",
        "application" | "key_pair" | "app_code" => "shop",
        "consumer" | "api_key" | "jwt" => "ann",
        "group" | "member" => "staff",
        "credential" => {
            return route.fill([fixture.call("GET", "/v1/credentials?app_key=shop-key").await.body["items"]
                [0]["id"]
                .as_str()
                .unwrap()]);
        }
        "module" => "hello",
        "plugin" if route != Route::CreatePlugin && route != Route::ListPlugins => {
            return route
                .fill([fixture.call("GET", "/v1/plugins").await.body["items"][0]["id"].as_str().unwrap()]);
        }
        "grant" => {
            return route
                .fill([fixture.call("GET", "/v1/grants").await.body["items"][0]["id"].as_str().unwrap()]);
        }
        "operator" | "operator_token" => {
            let alice = json!({"name": "alice", "roles": [{"role": "owner"}]});
            let _ = fixture.json("POST", "/v1/operators", alice).await;
            "alice"
        }
        "session" | "leak" | "plugin" => return route.path().to_owned(),
        "node" => return path_of(route),
        other => panic!("{other} is new"),
    };
    route.fill([named, "RELEASE", "ann"]).replace("/members/RELEASE/", "/members/consumers/")
}

#[tokio::test]
async fn what_is_not_there_is_not_found_on_any_route() {
    let fixture = Fixture::with_world().await;
    let before = fixture.control.revision();
    for route in for_operators().filter(|route| route.segments().next().is_some()) {
        let path = path_of(route);
        let path = if route == Route::RenounceGrant { format!("{path}?application=shop") } else { path };
        let request = fixture.request(route.method().as_str(), &path).bearer_auth(TOKEN);
        let request = if takes_json(route) { request.json(&least(route)) } else { request };
        assert_problem(&fixture.send(request).await, 404, "not_found", &path);
    }
    assert_eq!(fixture.control.revision(), before);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let fixture = Fixture::start().await;
    let description = "x".repeat(2 << 20);
    let answer = fixture.json("POST", "/v1/accounts", json!({"name": "a", "description": description})).await;
    assert_problem(&answer, 413, "body_too_large", "2 MiB");
}

#[tokio::test]
async fn objects_are_made_listed_shown_changed_and_deleted() {
    let fixture = Fixture::with_world().await;
    let cases = [
        ("accounts", json!({"name": "new"})),
        ("gateways", json!({"name": "new", "trusted_proxies": ["10.0.0.0/8"]})),
        ("secrets", json!({"name": "new"})),
        ("modules", json!({"name": "new", "wasm": {"base64": "AGFzbQEAAAA="}})),
        ("services", json!({"name": "new", "endpoints": ["http://127.0.0.1:9001"]})),
        (
            "apis",
            json!({"name": "new", "base_path": "/new", "admits": ["anyone"], "stages": {"RELEASE": {"service": "origin"}}}),
        ),
        ("applications", json!({"name": "new", "tags": {"team": "a"}})),
        ("consumers", json!({"name": "new", "api_key": {}})),
        ("groups", json!({"name": "new", "members": [{"application": "shop"}]})),
    ];
    for (nouns, body) in cases {
        let made = fixture.json("POST", &format!("/v1/{nouns}"), body).await;
        assert_eq!(made.status, 201, "{nouns}: {}", made.text);
        let id = made.body["id"].as_str().unwrap();
        assert_eq!(made.headers["location"], format!("/v1/{nouns}/{id}"));
        let revision = made.body["revision"].as_u64().unwrap();
        for path in [format!("/v1/{nouns}/new"), format!("/v1/{nouns}/{id}")] {
            let shown = fixture.call("GET", &path).await;
            assert_eq!(shown.status, 200, "{path}: {}", shown.text);
            assert_eq!((&shown.body["id"], &shown.body["name"]), (&json!(id), &json!("new")));
            assert!(shown.body["revision"].as_u64().unwrap() >= revision, "{path}");
            assert_eq!(shown.headers["keyward-revision"], shown.body["revision"].to_string().as_str());
            assert_eq!(
                shown.headers["etag"],
                format!("\"{}\"", shown.body["etag"].as_str().unwrap()).as_str()
            );
            assert_eq!(shown.headers[CACHE_CONTROL], "no-store");
        }
        let list = fixture.call("GET", &format!("/v1/{nouns}?name=NEW")).await;
        assert_eq!(list.body["items"].as_array().unwrap().len(), 1, "{nouns}: {}", list.text);
        let path = format!("/v1/{nouns}/new");
        let changed = fixture.json("PATCH", &path, json!({"description": "it is new"})).await;
        assert_eq!(changed.status, 200, "{nouns}: {}", changed.text);
        assert_eq!(changed.body["description"], "it is new");
        assert!(changed.body["revision"].as_u64().unwrap() > revision);
        let taken = fixture.json("POST", &format!("/v1/{nouns}"), without_nones(&changed.body)).await;
        assert_eq!(taken.status, 409, "{nouns}: {}", taken.text);
        let dry = fixture.call("DELETE", &format!("{path}?dry_run=true")).await;
        assert_eq!((dry.status, &dry.body["dry_run"]), (200, &json!(true)), "{nouns}: {}", dry.text);
        assert_eq!(fixture.call("GET", &path).await.status, 200, "{nouns}: a dry run deletes nothing");
        let gone = fixture.call("DELETE", &path).await;
        assert_eq!((gone.status, &gone.body["dry_run"]), (200, &json!(false)), "{nouns}: {}", gone.text);
        assert_eq!(fixture.call("GET", &path).await.status, 404, "{nouns}");
    }
}

/// What can be sent again of what was shown.
fn without_nones(shown: &Value) -> Value {
    let mut body = shown.clone();
    for name in [
        "id",
        "etag",
        "created",
        "changed",
        "status",
        "trouble",
        "revision",
        "credentials",
        "minted",
        "warnings",
        "state",
        "nobody_authorized",
    ] {
        body.as_object_mut().unwrap().remove(name);
    }
    if body.get("key_pairs").is_some() {
        body.as_object_mut().unwrap().remove("key_pairs");
    }
    body
}

#[tokio::test]
async fn enabling_and_disabling_take_effect() {
    let fixture = Fixture::with_world().await;
    for path in [
        "accounts/partner",
        "services/origin",
        "apis/orders",
        "applications/shop",
        "consumers/ann",
        "groups/staff",
    ] {
        for (verb, enabled) in [("disable", false), ("enable", true)] {
            let answer = fixture.call("POST", &format!("/v1/{path}/{verb}")).await;
            assert_eq!(
                (answer.status, &answer.body["enabled"]),
                (200, &json!(enabled)),
                "{path}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn a_change_for_another_state_is_refused() {
    let fixture = Fixture::with_world().await;
    let shown = fixture.call("GET", "/v1/apis/orders").await;
    let etag = shown.headers["etag"].clone();
    let change = |etag: reqwest::header::HeaderValue, text: &str| {
        let request = fixture.request("PATCH", "/v1/apis/orders").bearer_auth(TOKEN).header("if-match", etag);
        fixture.send(request.json(&json!({"description": text})))
    };
    assert_eq!(change(etag.clone(), "first").await.status, 200);
    assert_problem(&change(etag, "second").await, 412, "changed_meanwhile", "an old ETag");
    assert_eq!(fixture.call("GET", "/v1/apis/orders").await.body["description"], "first");
    let stale = fixture.request("DELETE", "/v1/apis/orders").bearer_auth(TOKEN).header("if-match", "\"1\"");
    assert_problem(&fixture.send(stale).await, 412, "changed_meanwhile", "a stale deletion");
    for wrong in ["1", "W/\"1\"", "\"1\", \"2\"", "\"a\"", "\"\""] {
        let request =
            fixture.request("DELETE", "/v1/apis/orders").bearer_auth(TOKEN).header("if-match", wrong);
        assert_problem(&fixture.send(request).await, 422, "parameter_invalid", wrong);
    }
    let any = fixture.request("PATCH", "/v1/apis/orders").bearer_auth(TOKEN).header("if-match", "*");
    assert_eq!(fixture.send(any.json(&json!({"description": "third"}))).await.status, 200);
}

#[tokio::test]
async fn every_route_that_honours_if_match_does_and_every_other_write_refuses_it() {
    let fixture = Fixture::with_world().await;
    for route in for_operators().filter(|route| route.is_write() && *route != Route::Apply) {
        let path = existing(&fixture, route).await;
        let path = if route == Route::RenounceGrant { format!("{path}?application=shop") } else { path };
        let request = fixture
            .request(route.method().as_str(), &path)
            .bearer_auth(TOKEN)
            .header("if-match", "\"999999\"");
        let request = if takes_json(route) { request.json(&least(route)) } else { request };
        let answer = fixture.send(request).await;
        match route.about().if_match {
            true => assert_problem(&answer, 412, "changed_meanwhile", &path),
            false => assert_problem(&answer, 422, "parameter_invalid", &path),
        }
    }
}

#[tokio::test]
async fn credentials_are_added_reset_revealed_and_deleted() {
    let fixture = Fixture::with_world().await;
    for (path, kind) in [
        ("/v1/applications/shop/key-pairs", "key_pair"),
        ("/v1/applications/shop/app-codes", "app_code"),
        ("/v1/consumers/ann/api-keys", "api_key"),
    ] {
        let added = fixture.json("POST", path, json!({})).await;
        assert_eq!((added.status, &added.body["kind"]), (201, &json!(kind)), "{path}: {}", added.text);
        let first = added.body["minted"][0]["value"].as_str().unwrap().to_owned();
        let credential = format!("/v1/credentials/{}", added.body["id"].as_str().unwrap());
        assert_eq!(added.headers["location"], credential);
        let shown = fixture.call("GET", &credential).await;
        assert_eq!(shown.status, 200);
        assert!(!shown.text.contains(&first), "a value is shown once");
        let list = fixture.call("GET", path).await;
        assert!(list.body["items"].as_array().unwrap().iter().all(|item| item["kind"] == kind));
        assert!(!list.text.contains(&first));

        let revealed = fixture.call("POST", &format!("{credential}/reveal")).await;
        assert_eq!(revealed.body["value"], first.as_str(), "{path}: {}", revealed.text);
        assert_eq!(revealed.headers[CACHE_CONTROL], "no-store");
        let reset = fixture.json("POST", &format!("{credential}/reset"), json!({})).await;
        let second = reset.body["minted"][0]["value"].as_str().unwrap();
        assert_ne!(second, first);
        let custom = fixture
            .json("POST", &format!("{credential}/reset"), json!({"value": "custom-value-0123456789"}))
            .await;
        assert_eq!(custom.status, 200, "{}", custom.text);
        assert!(!custom.text.contains("custom-value"), "a value that was given is not shown");

        let off = fixture.call("POST", &format!("{credential}/disable")).await;
        assert_eq!(off.body["enabled"], false);
        let until = json!({"valid_until": "2099-01-01T00:00:00Z", "enabled": true});
        let changed = fixture.json("PATCH", &credential, until).await;
        assert_eq!(
            (&changed.body["valid_until"], &changed.body["enabled"]),
            (&json!("2099-01-01T00:00:00Z"), &json!(true))
        );
        let changed = fixture.json("PATCH", &credential, json!({"valid_until": null})).await;
        assert_eq!(changed.body.get("valid_until"), None, "{}", changed.text);
        assert_eq!(fixture.call("DELETE", &credential).await.status, 200);
        assert_eq!(fixture.call("GET", &credential).await.status, 404);
    }
}

#[tokio::test]
async fn the_default_pair_stays() {
    let fixture = Fixture::with_world().await;
    let found = fixture.call("GET", "/v1/credentials?app_key=shop-key").await;
    let pair = &found.body["items"][0];
    assert_eq!((&pair["default"], &pair["app_key"]), (&json!(true), &json!("shop-key")), "{}", found.text);
    let gone = fixture.call("DELETE", &format!("/v1/credentials/{}", pair["id"].as_str().unwrap())).await;
    assert_eq!(gone.status, 409, "{}", gone.text);
}

#[tokio::test]
async fn a_consumers_jwt_is_shown_and_set() {
    let fixture = Fixture::with_world().await;
    let shown = fixture.call("GET", "/v1/consumers/ann/jwt").await;
    assert_eq!(
        (&shown.body["kind"], &shown.body["identity_claim"]["name"]),
        (&json!("jwt"), &json!("uid")),
        "{}",
        shown.text
    );
    let set = fixture.json("PUT", "/v1/consumers/ann/jwt", json!({"issuer": "https://me.example"})).await;
    assert_eq!(
        (&set.body["id"], &set.body["jwt"]["issuer"]),
        (&shown.body["id"], &json!("https://me.example")),
        "{}",
        set.text
    );
    let made = fixture.json("POST", "/v1/consumers", json!({"name": "bob", "api_key": {}})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_problem(&fixture.call("GET", "/v1/consumers/bob/jwt").await, 404, "jwt_unknown", "bob");
}

#[tokio::test]
async fn stages_and_members_come_and_go() {
    let fixture = Fixture::with_world().await;
    let published = fixture
        .json("PUT", "/v1/apis/orders/stages/PRE", json!({"service": "origin", "path_prefix": "/pre"}))
        .await;
    assert_eq!(published.body["stages"]["PRE"]["path_prefix"], "/pre", "{}", published.text);
    let unpublished = fixture.call("DELETE", "/v1/apis/orders/stages/PRE").await;
    assert_eq!(unpublished.body["stages"].get("PRE"), None, "{}", unpublished.text);
    let unknown = fixture.json("PUT", "/v1/apis/orders/stages/PRE", json!({"service": "gone"})).await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);

    let joined = fixture.json("POST", "/v1/groups/staff/members", json!({"application": "shop"})).await;
    assert_eq!(joined.body["members"].as_array().unwrap().len(), 2, "{}", joined.text);
    let left = fixture.call("DELETE", "/v1/groups/staff/members/consumers/ann").await;
    assert_eq!(left.body["members"], json!([{"application": "shop"}]), "{}", left.text);
}

#[tokio::test]
async fn grants_are_given_changed_and_revoked() {
    let fixture = Fixture::with_world().await;
    let given = fixture
        .json("POST", "/v1/grants", json!({"to": {"consumer": "ann"}, "api": "orders", "stages": ["TEST"]}))
        .await;
    assert_eq!((given.status, &given.body["state"]), (201, &json!("in_effect")), "{}", given.text);
    let path = format!("/v1/grants/{}", given.body["id"].as_str().unwrap());
    let list = fixture.call("GET", "/v1/grants?api=orders&consumer=ann").await;
    assert_eq!(list.body["items"].as_array().unwrap().len(), 2, "her own, and her group's: {}", list.text);
    let until = json!({"valid_until": "2099-01-01T00:00:00Z"});
    assert_eq!(fixture.json("PATCH", &path, until).await.body["valid_until"], "2099-01-01T00:00:00Z");
    let other = fixture.json("PATCH", &path, json!({"stages": ["RELEASE"]})).await;
    assert_problem(&other, 422, "grant_fixed", "another grant");
    let revoked = fixture.call("POST", &format!("{path}/revoke")).await;
    assert_eq!(revoked.body["grant"]["state"], "revoked", "{}", revoked.text);
    assert_eq!(
        revoked.body["still_permitting"].as_array().unwrap().len(),
        1,
        "her group's: {}",
        revoked.text
    );
    assert_eq!(
        fixture.call("GET", "/v1/grants?consumer=ann").await.body["items"].as_array().unwrap().len(),
        1
    );
    assert_eq!(
        fixture.call("GET", "/v1/grants?consumer=ann&revoked=true").await.body["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn lists_are_walked_page_by_page() {
    let fixture = Fixture::start().await;
    let names: Vec<String> = (0..7).map(|n| format!("{{name: a{n}}}")).collect();
    assert_eq!(fixture.apply(&format!("version: 1\napplications: [{}]", names.join(","))).await.status, 200);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let list = fixture.call("GET", &format!("/v1/applications?limit=3{after}")).await;
        let items = list.body["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = list.body["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, ["a0", "a1", "a2", "a3", "a4", "a5", "a6"]);
    for limit in ["1001", "1000000000", "0", "-1", "%2B5", "1e2", ""] {
        let refused = fixture.call("GET", &format!("/v1/applications?limit={limit}")).await;
        assert_problem(&refused, 422, "parameter_invalid", limit);
        assert!(refused.text.contains("from 1 to 1000"), "{}", refused.text);
    }
    assert_eq!(fixture.call("GET", "/v1/applications?after=nonsense").await.status, 422);
}

#[tokio::test]
async fn names_are_looked_up_in_their_account() {
    let fixture = Fixture::with_world().await;
    let made = fixture.json("POST", "/v1/applications", json!({"name": "till", "account": "partner"})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(fixture.call("GET", "/v1/applications/till").await.status, 404);
    assert_eq!(fixture.call("GET", "/v1/applications/till?account=partner").await.status, 200);
    let by_id = format!("/v1/applications/{}", made.body["id"].as_str().unwrap());
    assert_eq!(fixture.call("GET", &by_id).await.body["account"], "partner");
    assert_eq!(
        fixture.call("GET", "/v1/applications?account=partner").await.body["items"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn what_is_used_cannot_go() {
    let fixture = Fixture::with_world().await;
    let refused = fixture.call("DELETE", "/v1/services/origin").await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(
        (&refused.body["users"][0]["noun"], &refused.body["users"][0]["name"]),
        (&json!("api"), &json!("orders"))
    );
}

#[tokio::test]
async fn a_world_is_applied_and_exported() {
    let fixture = Fixture::with_world().await;
    let again = fixture.apply(WORLD).await;
    assert_eq!((&again.body["created"], &again.body["changed"]), (&json!([]), &json!([])), "{}", again.text);
    let exported = fixture.call("GET", "/v1/export").await;
    assert_eq!(exported.headers[CONTENT_TYPE], "application/yaml");
    for secret in ["shop-secret", "SHOPCODE", "ann-key", "a-key-that-is-written-out"] {
        assert!(!exported.text.contains(secret), "{secret} is in the export");
    }
    let applied = fixture.apply(&exported.text).await;
    assert_eq!(applied.status, 200, "{}\n{}", applied.text, exported.text);
    for list in ["created", "changed", "removed", "minted"] {
        assert_eq!(applied.body[list], json!([]), "{list}: {}\n{}", applied.text, exported.text);
    }
    let dry = fixture.request("POST", "/v1/apply?dry_run=true&prune=true").bearer_auth(TOKEN);
    let dry = fixture.send(dry.json(&json!({"version": 1, "groups": [], "grants": []}))).await;
    assert_eq!((dry.status, &dry.body["dry_run"]), (200, &json!(true)), "{}", dry.text);
    assert_eq!(fixture.call("GET", "/v1/groups/staff").await.status, 200);
}

#[tokio::test]
async fn a_wrong_world_changes_nothing_and_says_where() {
    let fixture = Fixture::with_world().await;
    let before = fixture.control.revision();
    let wrong = fixture
        .apply("version: 1\naccounts: [{name: new}]\ngrants:\n- to: {application: gone}\n  api: orders\n")
        .await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    assert_eq!(
        wrong.body["problems"][0]["path"].as_str().map(|path| path.starts_with("grants[0]")),
        Some(true),
        "{}",
        wrong.text
    );
    let unread = fixture.apply("version: 1\naccounts: [{name: new, colour: red}]\nbudgets: []").await;
    assert_problem(&unread, 422, "invalid", "two mistakes");
    assert_eq!(unread.body["problems"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&unread.body["problems"][0]["line"], &unread.body["problems"][0]["column"]),
        (&json!(2), &json!(24))
    );
    let environment = fixture.apply("version: 1\naccounts: [{name: '${HOME}'}]").await;
    assert_problem(&environment, 422, "invalid", "the node's environment is not the caller's");
    assert_eq!(fixture.control.revision(), before);
    let request = fixture.request("POST", "/v1/apply").bearer_auth(TOKEN).header(CONTENT_TYPE, "text/plain");
    assert_problem(
        &fixture.send(request.body("version: 1")).await,
        415,
        "media_type_unsupported",
        "text/plain",
    );
}

#[tokio::test]
async fn decisions_are_explained() {
    let fixture = Fixture::with_world().await;
    let allowed = fixture.call("GET", "/v1/explain?api=orders&application=shop").await;
    assert_eq!(
        (&allowed.body["decision"], &allowed.body["reason"]),
        (&json!("allow"), &json!("granted")),
        "{}",
        allowed.text
    );
    let denied = fixture.call("GET", "/v1/explain?api=orders&app_key=shop-key&stage=TEST").await;
    assert_eq!(
        (&denied.body["decision"], &denied.body["reason"]),
        (&json!("deny"), &json!("grant_other_stage")),
        "{}",
        denied.text
    );
    assert_eq!(denied.body["near_misses"].as_array().unwrap().len(), 1);
    let who = fixture.call("GET", "/v1/who-can?api=orders").await;
    let names: Vec<_> =
        who.body["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), &who.body["anyone"]), (2, &json!(false)), "{}", who.text);
    let open = json!({"name": "open", "base_path": "/open", "admits": ["anyone"], "stages": {"RELEASE": {"service": "origin"}}});
    assert_eq!(fixture.json("POST", "/v1/apis", open).await.status, 201);
    let who = fixture.call("GET", "/v1/who-can?api=open").await;
    assert_eq!((&who.body["anyone"], &who.body["items"]), (&json!(true), &json!([])), "{}", who.text);
    let elsewhere = fixture.call("GET", "/v1/who-can?api=open&stage=TEST").await;
    assert_eq!(elsewhere.body["anyone"], json!(false), "{}", elsewhere.text);
    assert_eq!(fixture.call("GET", "/v1/explain?api=gone&application=shop").await.status, 404);
}
