//! The attack catalogue on every route of the admin API: what breaks parsers, stores and importers.

use keyward_api::{Access, Body, Form, Route};
use keyward_testkit::client::{Answer, Connection};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

/// What would leave a parser, a store or a file system by its own way.
const HOSTILE: &[&str] = &[
    "' OR '1'='1",
    "\"; DROP TABLE callers; --",
    "x' UNION SELECT value FROM credentials --",
    "%' ESCAPE '",
    "\\",
    "$1",
    "\u{0}",
    "\u{1b}[2J",
    "../../../../etc/passwd",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "<script>alert(1)</script>",
    "a\r\nSet-Cookie: x=y",
    "\u{202e}\u{feff}",
    "-1",
    "9223372036854775808",
    "NaN",
    "",
];

fn operators() -> impl Iterator<Item = Route> {
    Route::ALL.iter().copied().filter(|route| route.about().access == Access::Operator)
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Its path with segments that have the right form and name nothing.
fn path(route: Route) -> String {
    let segments: Vec<String> = route
        .segments()
        .map(|segment| match segment.form {
            Form::Id(prefix) => format!("{prefix}{:032}", 0),
            Form::CallerId => format!("app_{:032}", 0),
            Form::Stage => "RELEASE".to_owned(),
            Form::Choice(words) => words[0].to_owned(),
            _ => "nothing".to_owned(),
        })
        .collect();
    route.fill(segments.iter().map(String::as_str))
}

fn request(route: Route, target: &str) -> Request {
    Request::get("localhost", target).method(route.method().as_str())
}

/// What the contract lets this route answer with.
fn may_answer(route: Route, status: u16) -> bool {
    status == route.about().answer.status() || route.problems().contains(&status)
}

fn is_clean(route: Route, about: &str, answer: &Answer) {
    let text = answer.text();
    assert!(answer.status < 500, "{route:?} {about:?}: {text}");
    assert!(may_answer(route, answer.status), "{route:?} {about:?}: {} {text}", answer.status);
    if answer.status >= 400 {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{route:?} {about:?}");
        assert_eq!(answer.json()["status"], answer.status, "{route:?} {about:?}: {text}");
    }
    for inside in ["panicked", "backtrace", "sqlx", "sqlite", "SQLITE", "postgres", "syntax error", ".rs:"] {
        assert!(!text.contains(inside), "{route:?} {about:?} tells `{inside}`: {text}");
    }
    for (name, _) in &answer.headers {
        assert!(!name.eq_ignore_ascii_case("set-cookie"), "{route:?} {about:?}");
    }
}

#[tokio::test]
async fn admin_022_hostile_ids_and_parameters_break_nothing() {
    let gateway = Gateway::fixture().await;
    for route in operators().filter(|route| *route != Route::Metrics) {
        for hostile in HOSTILE {
            for segment in route.segments() {
                let spoilt = path(route).replacen(&whole(route, segment.name), &encoded(hostile), 1);
                is_clean(route, hostile, &gateway.admin(with_body(route, &spoilt)).await);
            }
            for parameter in route.query() {
                let spoilt = format!("{}?{}={}", path(route), parameter.name, encoded(hostile));
                is_clean(route, hostile, &gateway.admin(with_body(route, &spoilt)).await);
            }
            let spoilt = format!("{}?{}=1", path(route), encoded(hostile));
            is_clean(route, hostile, &gateway.admin(with_body(route, &spoilt)).await);
        }
    }
    let alive = gateway.admin(Request::get("localhost", "/v1/applications")).await;
    assert_eq!(alive.status, 200, "{}", alive.text());
}

/// The text of this segment in [`path`].
fn whole(route: Route, name: &str) -> String {
    let place = route.path().split('/').position(|part| part == format!("{{{name}}}")).unwrap();
    path(route).split('/').nth(place).unwrap().to_owned()
}

/// A request with the example of the contract as its body.
fn with_body(route: Route, target: &str) -> Request {
    let request = request(route, target);
    match route.about().body {
        Body::None => request,
        Body::World => request.header("Content-Type", "application/yaml").body("version: 1"),
        Body::Json(_, example) | Body::Change(_, example) => {
            request.header("Content-Type", "application/json").body(example)
        }
    }
}

#[tokio::test]
async fn admin_022_malformed_and_wrongly_typed_bodies_break_nothing() {
    let gateway = Gateway::fixture().await;
    let deep = "[".repeat(100_000);
    let nested = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    let bodies: Vec<Vec<u8>> = [
        "",
        "{",
        "[]",
        "null",
        "true",
        "1",
        "1e999",
        "-0",
        "\"text\"",
        "{}{}",
        "{\"name\":}",
        "{\"name\": null}",
        "{\"name\": 1}",
        "{\"name\": [[]]}",
        "{\"name\": {\"name\": \"a\"}}",
        "{\"name\": \"a\", \"name\": \"b\"}",
        "{\"\\u0000\": 1}",
        "{\"name\": \"\\ud800\"}",
        "{\"__proto__\": {\"admin\": true}}",
        "NaN",
        "{'name': 'a'}",
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
        deep.as_str(),
        nested.as_str(),
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([b"\xff\xfe{}".to_vec(), b"{\"name\": \"\xff\"}".to_vec()])
    .collect();
    for route in operators().filter(|route| !matches!(route.about().body, Body::None)) {
        for media in route.about().body.media() {
            for body in &bodies {
                let mut sent = request(route, &path(route)).header("Content-Type", media).body(body.clone());
                sent.announce_empty = true;
                let about = String::from_utf8_lossy(body).chars().take(60).collect::<String>();
                let answer = gateway.admin(sent).await;
                is_clean(route, &about, &answer);
                assert!(answer.status >= 400, "{route:?} takes {about:?}: {}", answer.text());
            }
        }
        // Every field of the example, with every wrong type.
        let (Body::Json(_, example) | Body::Change(_, example)) = route.about().body else { continue };
        let example: serde_json::Value = serde_json::from_str(example).unwrap();
        for field in example.as_object().into_iter().flatten().map(|(name, _)| name) {
            for wrong in [
                serde_json::json!(1.5),
                serde_json::json!(-1),
                serde_json::json!([[null]]),
                serde_json::json!({"a": {}}),
            ] {
                let mut spoilt = example.clone();
                spoilt[field] = wrong;
                let sent = request(route, &path(route))
                    .header("Content-Type", "application/json")
                    .body(spoilt.to_string());
                is_clean(route, &spoilt.to_string(), &gateway.admin(sent).await);
            }
        }
    }
}

#[tokio::test]
async fn admin_022_a_body_of_ten_megabytes_is_refused_before_it_is_here() {
    let gateway = Gateway::fixture().await;
    let token = gateway.node().admin_token().unwrap().expose_secret().to_owned();
    let part = vec![b' '; 2 << 20];
    for route in operators().filter(|route| matches!(route.about().body, Body::Json(..) | Body::Change(..))) {
        let media = route.about().body.media()[0];
        let head = request(route, &path(route))
            .bearer(&token)
            .header("Content-Type", media)
            .header("Content-Length", "10485760");
        let mut connection = Connection::open(gateway.admin_address()).await.unwrap();
        connection.send(&head.to_bytes()).await.unwrap();
        // It may have answered and gone before all of this is sent.
        let _ = connection.send(&part).await;
        let answer = connection.answer(false).await.unwrap();
        assert_eq!(answer.status, 413, "{route:?}: {}", answer.text());
        is_clean(route, "10 MB", &answer);
    }
}

async fn apply(gateway: &Gateway, media: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request =
        Request::get("localhost", "/v1/apply").method("POST").header("Content-Type", media).body(body);
    gateway.admin(request).await
}

#[tokio::test]
async fn admin_024_import_bombs_are_refused_and_nothing_is_read_or_fetched() {
    let gateway = Gateway::fixture().await;
    let trap = Upstream::start().await.unwrap();
    let before = gateway.node().control().revision();
    let soak = std::env::var_os("KEYWARD_SOAK").is_some();
    let (routes, megabytes) = if soak { (1_000_000, 50) } else { (50_000, 2) };

    let laughs: String = (1..12)
        .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(",")))
        .collect();
    let anchors = format!("version: 1\na0: &a0 lol\n{laughs}");
    let merged = "version: 1\napplications:\n- &a {name: a}\n- <<: *a\n".to_owned();
    let same: String = (0..routes).map(|_| "- {name: a, admits: [anyone]}\n").collect();
    let many = format!("version: 1\napis:\n{same}");
    let paths: String = (0..megabytes << 14)
        .map(|n| format!("\"/path{n:07}\":{{\"get\":{{\"operationId\":\"get{n:07}\"}}}},"))
        .collect();
    let foreign = format!("{{\"openapi\":\"3.1.0\",\"paths\":{{{paths}\"/\":{{}}}}}}");
    let url = trap.url();
    let texts = [
        ("application/yaml", anchors),
        ("application/yaml", merged),
        ("application/yaml", many),
        ("application/json", foreign),
        ("application/yaml", "version: 1\n$ref: file:///etc/passwd\n".to_owned()),
        ("application/yaml", format!("version: 1\n$ref: {url}/world.yaml\n")),
        ("application/yaml", format!("version: 1\napplications: {{$ref: '{url}/applications'}}\n")),
        (
            "application/yaml",
            format!(
                "version: 1\napplications: [{{name: a, key_pairs: [{{app_secret: '$ref{{{url}}}'}}]}}]\n"
            ),
        ),
        (
            "application/yaml",
            "version: 1\napplications: [{name: a, app_codes: ['${HOME}000000000000000']}]\n".to_owned(),
        ),
        (
            "application/yaml",
            "version: 1\nservices: [{name: a, endpoints: ['file:///etc/passwd']}]\n".to_owned(),
        ),
        ("application/yaml", "version: 1\naccounts: !include /etc/passwd\n".to_owned()),
        ("application/yaml", "version: 1\naccounts: !!python/object/apply:os.system [id]\n".to_owned()),
        ("application/json", format!("{{\"version\": 1, \"accounts\": [{{\"$ref\": \"{url}/a\"}}]}}")),
    ];
    for (media, text) in texts {
        let about: String = text.chars().take(120).collect();
        let answer = apply(&gateway, media, text).await;
        assert!(matches!(answer.status, 400 | 413 | 422), "{about}: {}", answer.status);
        assert!(answer.body.len() < 1 << 20, "{about}: an answer of {} bytes", answer.body.len());
        assert!(!answer.text().contains("root:"), "{about}: a file was read");
        is_clean(Route::Apply, &about, &answer);
    }
    let zip = b"PK\x03\x04\x14\x00\x08\x00\x08\x00world.yaml".to_vec();
    assert_eq!(apply(&gateway, "application/zip", zip.clone()).await.status, 415);
    assert!(matches!(apply(&gateway, "application/yaml", zip).await.status, 400 | 422));
    assert_eq!(gateway.node().control().revision(), before, "nothing was changed");
    // An address of key sets may be named; a private one is not called.
    let jwks = format!("version: 1\nconsumers: [{{name: a, jwt: {{remote: {{url: '{url}/jwks'}}}}}}]\n");
    assert_eq!(apply(&gateway, "application/yaml", jwks).await.status, 200);
    assert_eq!(trap.bytes(), b"", "something was fetched");
}
