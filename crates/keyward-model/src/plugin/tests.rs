//! Reader and JSON Schema agree, on good configurations and on what becomes of them when one thing in them changes.

use serde_json::{Value, json};

use super::*;

fn jwks() -> String {
    r#"{"keys":[{"kty":"oct","kid":"a","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}]}"#.into()
}

/// Configurations that every reader accepts; of every kind one that says everything.
fn good() -> Vec<(BuiltIn, Value)> {
    use BuiltIn as B;
    let document = json!({"credentials": ["$ref{partner_key}"], "keys": ["apikey", "x-api-key"]});
    vec![
        (B::KeyAuth, document),
        (
            B::KeyAuth,
            json!({"credentials": ["0123456789abcdef", "pre$ref{a}"], "keys": ["X-Api-Key"], "in_header": false,
                "in_query": true, "realm": "partners"}),
        ),
        (
            B::JwtAuth,
            json!({"jwks": jwks(), "claims": {"tenant": "a"}, "issuer": "https://i", "audiences": ["orders"],
                "clock_skew_s": 5, "require_exp": false, "forward": true,
                "claims_to_headers": [{"claim": "sub", "header": "X-Sub"}],
                "token": {"in": "cookie", "name": "session", "prefix": ""}}),
        ),
        (B::JwtAuth, json!({"jwks": "$ref{key_set}"})),
        (
            B::HmacAuth,
            json!({"key_pairs": [{"app_key": "203753385", "app_secret": "s3cret", "scheme": "tencent"},
                {"app_key": "b", "app_secret": "$ref{b}"}]}),
        ),
        (
            B::BasicAuth,
            json!({"users": [{"name": "anna", "password": "correct horse"}, {"name": "bo", "password": "$ref{bo}"}],
                "realm": "staff"}),
        ),
        (B::ReplayProtection, json!({"header": "x-nonce", "ttl_s": 60, "required": false})),
        (B::ReplayProtection, json!({})),
        (
            B::RateLimit,
            json!({"by": {"header": "x-tenant"}, "requests": 100, "per": "1m", "concurrency": 10}),
        ),
        (B::RateLimit, json!({"concurrency": 1, "shared": true, "when_away": "refuse", "headers": false})),
        (
            B::Quota,
            json!({"by": "address", "requests": 5, "per": "month", "time_zone": "+05:30", "shared": true}),
        ),
        (
            B::Cors,
            json!({"origins": ["https://app.example.com", "https://*.example.org:8443"], "methods": ["GET"],
                "headers": ["content-type"], "expose_headers": ["x-total"], "credentials": true, "max_age_s": 1}),
        ),
        (B::Cors, json!({"origins": ["*"]})),
        (
            B::IpRestriction,
            json!({"allow": ["10.0.0.0/8", "2001:db8::1"], "deny": ["10.0.0.7"], "status": 404}),
        ),
        (
            B::RequestBlock,
            json!({"urls": ["swagger"], "exact_urls": ["/a?b=c"], "url_patterns": ["^/x/[0-9]+$"],
                "headers": ["curl"], "header_patterns": ["^x-evil:"], "bodies": ["hack"], "body_patterns": ["a+"],
                "case_sensitive": false, "body_bytes": 1024, "status": 400, "message": "no"}),
        ),
        (
            B::RequestValidation,
            json!({"body": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}, "headers": true,
                "query": {"required": ["page"]}, "content_types": ["application/json"], "body_bytes": 10}),
        ),
        (
            B::ExtAuth,
            json!({"service": "authz", "method": "same", "path": "/check", "headers": ["cookie"], "body_bytes": 100,
                "timeout_ms": 50, "allow_statuses": [200, 204], "headers_to_service": ["x-tenant"],
                "headers_to_client": ["www-authenticate"], "failure_mode_allow": true, "status": 401}),
        ),
        (
            B::Transform,
            json!({
                "request": {
                    "headers": {"remove": ["x-a"], "rename": [{"from": "x-b", "to": "x-c"}],
                        "set": [{"name": "x-d", "value": "Bearer $ref{d}"}], "add": [{"name": "x-e", "value": "1"}]},
                    "query": {"remove": ["q r"], "set": [{"name": "s", "value": "t"}]},
                    "body": {"remove": ["/a/b"], "rename": [{"from": "/c", "to": "/d~1e"}],
                        "set": [{"pointer": "/f", "value": {"g": null}}]},
                    "map": [{"from": {"in": "header", "name": "x-h"}, "to": {"in": "body", "name": "/h"}}],
                },
                "response": {"headers": {"remove": ["server"]}, "body": {"remove": ["/internal"]}},
                "body_bytes": 4096,
            }),
        ),
        (
            B::CustomResponse,
            json!({"status": 503, "headers": [{"name": "content-type", "value": "text/plain"}], "body": "later",
                "enable_on_status": [500, 502]}),
        ),
        (B::CustomResponse, json!({})),
        (
            B::BackendSignature,
            json!({"key": "DemoKey1", "secret": "$ref{backend}", "headers": ["HeaderKey1"], "body_bytes": 10}),
        ),
    ]
}

fn read(kind: BuiltIn, config: &Value) -> Result<PluginConfig, ConfigError> {
    PluginConfig::parse(&PluginKind::BuiltIn(kind), &config.to_string())
}

/// Every value that differs from `config` in one thing.
fn variants(config: &Value) -> Vec<Value> {
    let others = [
        Value::Null,
        json!(true),
        json!(""),
        json!("x"),
        json!("*"),
        json!("~"),
        json!("a\u{0}b"),
        json!("x".repeat(70_000)),
        json!(-1),
        json!(0),
        json!(1.0),
        json!(1.5),
        json!(450),
        json!(1e15),
        json!([]),
        json!([null]),
        json!(["x", "y"]),
        json!({}),
        json!({"x": "y"}),
    ];
    let mut all: Vec<Value> = others.to_vec();
    match config {
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert("no_such_member".into(), json!(1));
            all.push(Value::Object(more));
            for (name, value) in members {
                let mut less = members.clone();
                less.remove(name);
                all.push(Value::Object(less));
                for variant in variants(value) {
                    let mut other = members.clone();
                    other.insert(name.clone(), variant);
                    all.push(Value::Object(other));
                }
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                for variant in variants(value) {
                    let mut other = values.clone();
                    other[at] = variant;
                    all.push(Value::Array(other));
                }
            }
            let first = values.first().cloned().unwrap_or(Value::Null);
            all.push(Value::Array(vec![first; 1_001]));
        }
        _ => {}
    }
    all
}

#[test]
fn what_each_plugin_may_be_told_is_read() {
    for (kind, config) in good() {
        let read = read(kind, &config).unwrap_or_else(|error| panic!("{}: {error}", kind.as_str()));
        assert!(read.read(kind).is_ok());
    }
    let seen: std::collections::BTreeSet<_> = good().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(seen.len(), BuiltIn::ALL.len(), "every kind has an example");
}

#[test]
fn reader_and_schema_accept_the_same() {
    let mut compared = (0, 0);
    for (kind, config) in good() {
        let schema = jsonschema::validator_for(&kind.schema()).unwrap();
        for config in variants(&config).into_iter().chain([config]) {
            let read = read(kind, &config);
            let shown: String = config.to_string().chars().take(300).collect();
            match &read {
                Ok(_) => {
                    compared.0 += 1;
                    assert!(schema.is_valid(&config), "{}: the schema refuses {shown}", kind.as_str());
                }
                Err(error) if error.in_schema => {
                    compared.1 += 1;
                    assert!(
                        !schema.is_valid(&config),
                        "{}: only the reader refuses {shown}: {error}",
                        kind.as_str()
                    );
                }
                Err(_) => {}
            }
        }
    }
    assert!(compared.0 > 100 && compared.1 > 1_000, "{compared:?}");
}

#[test]
fn errors_carry_the_path_and_no_secret() {
    for (kind, config, path) in [
        (BuiltIn::KeyAuth, r#"{"credentials":["hunter2hunter2hunter2",7],"keys":["a"]}"#, "credentials[1]"),
        (BuiltIn::KeyAuth, r#"{"credentials":["hunter2"],"keys":["a"]}"#, "credentials[0]"),
        (
            BuiltIn::KeyAuth,
            r#"{"credentials":["hunter2hunter2hunter2","hunter2hunter2hunter2"],"keys":["a"]}"#,
            "credentials[1]",
        ),
        (BuiltIn::KeyAuth, r#"{"credentials":["hunter2hunter2hunter2"],"keys":["Host"]}"#, "keys[0]"),
        (
            BuiltIn::KeyAuth,
            r#"{"credentials":["hunter2hunter2hunter2"],"keys":["a"],"in_header":false,"in_query":false}"#,
            "in_query",
        ),
        (BuiltIn::KeyAuth, r#"{"keys":["a"],"keys":["b"],"credentials":["hunter2hunter2hunter2"]}"#, "keys"),
        (BuiltIn::BasicAuth, r#"{"users":[{"name":"a","password":"hunter2"}]}"#, "users[0].password"),
        (BuiltIn::JwtAuth, r#"{"jwks":"{\"keys\":[{\"kty\":\"oct\",\"k\":\"aHVudGVyMg\"}]}"}"#, "jwks"),
        (
            BuiltIn::HmacAuth,
            r#"{"key_pairs":[{"app_key":"a","app_secret":"hunter2\n"}]}"#,
            "key_pairs[0].app_secret",
        ),
        (
            BuiltIn::Transform,
            r#"{"request":{"headers":{"set":[{"name":"X-Keyward-Account","value":"hunter2"}]}}}"#,
            "request.headers.set[0]",
        ),
        (
            BuiltIn::Transform,
            r#"{"request":{"headers":{"set":[{"name":"a","value":"hunter2\r\nb: c"}]}}}"#,
            "request.headers.set[0].value",
        ),
        (BuiltIn::KeyAuth, r#"{"credentials":["$ref{hunter2"],"keys":["a"]}"#, "credentials[0]"),
        (BuiltIn::CustomResponse, r#"{"body":"$ref{hunter2}"}"#, "body"),
        (
            BuiltIn::Transform,
            r#"{"response":{"headers":{"add":[{"name":"a","value":"$ref{hunter2}"}]}}}"#,
            "response.headers.add[0].value",
        ),
        (BuiltIn::Cors, r#"{"origins":["*"],"credentials":true}"#, "credentials"),
        (BuiltIn::RateLimit, r#"{"requests":1}"#, "per"),
        (
            BuiltIn::RequestValidation,
            r##"{"body":{"items":{"$ref":"https://evil.example/schema"}}}"##,
            "body.items.$ref",
        ),
    ] {
        let error = PluginConfig::parse(&PluginKind::BuiltIn(kind), config).unwrap_err();
        assert_eq!(error.path, path, "{config}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn secrets_are_known_by_their_path() {
    let config = r#"{"users":[{"name":"a","password":"correct horse"},{"name":"b","password":"$ref{b}"}]}"#;
    let kind = PluginKind::BuiltIn(BuiltIn::BasicAuth);
    let secrets = PluginConfig::parse(&kind, config).unwrap().secrets(&kind);
    let paths: Vec<(&str, bool)> =
        secrets.iter().map(|(path, secret)| (&**path, !secret.is_plain())).collect();
    assert_eq!(paths, [("users[0].password", false), ("users[1].password", true)]);
    let custom = PluginKind::Custom("mine".parse().unwrap());
    let config = r#"{"a":["x",{"b":"Bearer $ref{c}"}],"d":1}"#;
    let secrets = PluginConfig::parse(&custom, config).unwrap().secrets(&custom);
    assert_eq!(secrets.iter().map(|(path, _)| &**path).collect::<Vec<_>>(), ["a[1].b"]);
}

#[test]
fn schemas_mark_secrets() {
    let schema = BuiltIn::KeyAuth.schema();
    assert_eq!(schema["properties"]["credentials"]["items"]["secret"], json!(true));
    assert_eq!(schema["properties"]["credentials"]["items"]["writeOnly"], json!(true));
    assert_eq!(schema["title"], json!("key-auth"));
    for kind in BuiltIn::ALL {
        assert!(jsonschema::meta::is_valid(&kind.schema()), "{}", kind.as_str());
    }
}

#[test]
fn a_configuration_is_not_shown_by_debug() {
    let config = r#"{"users":[{"name":"a","password":"correct horse"}]}"#;
    let config = PluginConfig::parse(&PluginKind::BuiltIn(BuiltIn::BasicAuth), config).unwrap();
    assert!(!format!("{config:?} {:?}", config.read(BuiltIn::BasicAuth)).contains("horse"));
}

#[test]
fn kinds_are_known_by_their_names() {
    for kind in BuiltIn::ALL {
        assert_eq!(kind.as_str().parse::<PluginKind>().unwrap(), PluginKind::BuiltIn(*kind));
    }
    assert!(matches!("my-filter".parse(), Ok(PluginKind::Custom(_))));
    assert!("a/b".parse::<PluginKind>().is_err());
}
