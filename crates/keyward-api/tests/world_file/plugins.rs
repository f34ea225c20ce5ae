//! Plugins, limits and modules in a world file.

use keyward_api::WorldFile;
use keyward_model::*;

use super::{FULL, environment, one, parse, problems};

const PLUGINS: &str = r#"
version: 1
plugins:
  - plugin: key-auth
    on: {api: orders}
    config: {credentials: ["$ref{partner_key}", '1234567890123456$$x', 1234567890123456], keys: [apikey, x-api-key]}
  - plugin: request-block
    account: partner
    on: {api: orders, operation: {method: GET, path: "/{id}"}}
    order: -7
    enabled: false
    description: for now
    config: {url_patterns: ["^/admin$", "a$$b"], message: 'no ${WHY}', status: 404}
  - {plugin: replay-protection, on: {api: orders, operation: POST /}}
  - plugin: our-own
    on: {gateway: default}
    config: {greeting: "hello ${WHY}", ratio: 1.5, off: false, many: [1, "2", 3x, null], key: '$ref{partner_key}', price: 5$$}
limits:
  - {on: {api: orders}, by: caller, requests: 100, per: 1m, concurrency: 10}
  - {on: {api: orders}, by: {header: X-Tenant}, concurrency: 1, account: partner, enabled: false, order: 3, description: few}
"#;

fn plugins() -> World {
    let environment = |name: &str| (name == "WHY").then(|| "$ref{x}".to_owned());
    WorldFile::parse(PLUGINS, &environment).unwrap().world
}

#[test]
fn every_field_of_a_module_is_read_and_its_file_where_it_stands() {
    let mut file = WorldFile::parse(FULL, &environment).unwrap();
    let module = file.world.modules[0].value.clone();
    assert_eq!((module.account.as_str(), module.name.as_str(), module.enabled), ("partner", "hello", false));
    assert_eq!((&*module.description, module.on_failure), ("says hello", OnFailure::Skip));
    assert_eq!(module.sees, ModuleSees { request_body: true, response_head: false, response_body: true });
    assert_eq!(module.services.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["orders", "billing"]);
    let limits =
        ModuleLimits { memory_bytes: 1_048_576, fuel: 20_000, time_ms: 7, body_bytes: 9, workers: 1 };
    assert_eq!(module.limits, limits);
    assert_eq!(module.wasm, ModuleSource::File("hello.wasm".into()));

    for (held, message) in
        [(Err("it is not there".to_owned()), "not there"), (Ok(b"MZ".to_vec()), ".wasm file")]
    {
        let problems = file.clone().read_files(&|_| held.clone()).unwrap_err();
        let [problem] = &*problems else { panic!("{problems:?}") };
        assert_eq!(problem.path, "modules[0].wasm.file");
        assert!(problem.line > 1 && problem.message.contains(message), "{problem:?}");
    }
    let code = b"\0asm\x01\0\0\0";
    file.read_files(&|name| if name == "hello.wasm" { Ok(code.to_vec()) } else { Err(name.to_owned()) })
        .unwrap();
    let ModuleSource::Code(read) = &file.world.modules[0].value.wasm else { panic!() };
    assert_eq!(read.bytes(), code);
    let json = keyward_api::write_json(&file.world).unwrap();
    let again = WorldFile::parse_json(json.as_bytes(), &|_| None).unwrap().world;
    assert_eq!(again.modules[0].value, file.world.modules[0].value, "a file travels with the world");
    let yaml = keyward_api::write_yaml(&parse("version: 1\nmodules: [{name: a}]").unwrap()).unwrap();
    assert_eq!(yaml, "version: 1\nmodules:\n- name: a\n", "what is as by default is left out");

    for (line, path, message) in [
        ("modules: [{name: cors}]", "modules[0].name", "built-in plugin"),
        ("modules: [{name: a, wasm: {}}]", "modules[0].wasm", "one of file, base64 and sha256"),
        (
            "modules: [{name: a, wasm: {file: b, sha256: c}}]",
            "modules[0].wasm",
            "one of file, base64 and sha256",
        ),
        ("modules: [{name: a, wasm: {base64: '%'}}]", "modules[0].wasm.base64", "is not base64"),
        ("modules: [{name: a, wasm: {base64: TVo=}}]", "modules[0].wasm.base64", ".wasm file"),
        ("modules: [{name: a, wasm: {sha256: AB}}]", "modules[0].wasm.sha256", "64 lower-case"),
        ("modules: [{name: a, on_failure: ignore}]", "modules[0].on_failure", "refuse or skip"),
        ("modules: [{name: a, limits: {workers: 9}}]", "modules[0].limits.workers", "1 to 8"),
        ("modules: [{name: a, services: [b, b]}]", "modules[0].services", "named twice"),
    ] {
        one(
            &format!("version: 1\n{line}"),
            &problems(&format!("version: 1\n{line}"))[0].split(' ').take(2).collect::<Vec<_>>().join(" "),
            message,
        );
        assert!(problems(&format!("version: 1\n{line}"))[0].contains(&format!(" {path} ")), "{line}");
    }
}

#[test]
fn every_field_of_plugins_and_limits_is_read() {
    let world = plugins();
    assert!(world.nouns.contains(&Noun::Plugin) && world.names_limits);
    let plugin = |at: usize| &world.plugins[at].value;
    let config = |at: usize| world.plugins[at].value.settings.config.json().to_text();
    let keys = &plugin(0).settings;
    assert_eq!(plugin(0).on, PluginOn::Api("orders".parse().unwrap()));
    assert_eq!((keys.order, keys.enabled, &*keys.description), (0, true, ""));
    let secrets = keys.config.secrets(&keys.kind);
    let shown: Vec<_> = secrets.iter().map(|(path, text)| (&**path, text.shown())).collect();
    assert_eq!(shown[0], ("credentials[0]", Some("$ref{partner_key}".to_owned())));
    assert_eq!(secrets[1].1.plain().unwrap().expose_secret(), "1234567890123456$x");
    assert_eq!(
        secrets[2].1.plain().unwrap().expose_secret(),
        "1234567890123456",
        "a number is a text in YAML"
    );

    let block = plugin(1);
    assert_eq!(block.account.as_str(), "partner");
    let operation = Operation { method: Some("GET".parse().unwrap()), path: "/{id}".parse().unwrap() };
    assert_eq!(block.on, PluginOn::Operation("orders".parse().unwrap(), operation));
    assert_eq!((block.settings.order, block.settings.enabled), (-7, false));
    assert_eq!(block.settings.description, "for now");
    assert_eq!(config(1), r#"{"message":"no $ref{x}","status":404,"url_patterns":["^/admin$","a$b"]}"#);
    let operation = Operation { method: Some("POST".parse().unwrap()), path: "/".parse().unwrap() };
    assert_eq!(plugin(2).on, PluginOn::Operation("orders".parse().unwrap(), operation));
    assert_eq!(config(2), "{}");

    assert_eq!(plugin(3).on, PluginOn::Gateway("default".parse().unwrap()));
    assert_eq!(plugin(3).settings.kind, PluginKind::Custom("our-own".parse().unwrap()));
    let many = r#""many":[1,"2","3x",null]"#;
    assert!(config(3).contains(many) && config(3).contains(r#""ratio":1.5"#), "{}", config(3));
    let ours = plugin(3).settings.config.secrets(&plugin(3).settings.kind);
    assert_eq!(ours.len(), 1, "what a variable brings is no reference: {ours:?}");

    let limit = |at: usize| &world.limits[at].value;
    let kind = PluginKind::BuiltIn(BuiltIn::RateLimit);
    assert_eq!((&limit(0).settings.kind, &limit(0).on), (&kind, &PluginOn::Api("orders".parse().unwrap())));
    let text = limit(0).settings.config.json().to_text();
    assert_eq!(text, r#"{"by":"caller","concurrency":10,"per":"1m","requests":100}"#);
    assert_eq!((limit(1).settings.order, limit(1).settings.enabled), (3, false));
    let text = limit(1).settings.config.json().to_text();
    assert_eq!(text, r#"{"by":{"header":"X-Tenant"},"concurrency":1}"#);
}

#[test]
fn plugins_and_limits_are_written_as_they_read_back() {
    let world = plugins();
    for text in [keyward_api::write_yaml(&world).unwrap(), keyward_api::write_json(&world).unwrap()] {
        let again =
            WorldFile::parse(&text, &|_| None).unwrap_or_else(|error| panic!("{error:?}: {text}")).world;
        let values = |world: &World| {
            let all = world.plugins.iter().chain(&world.limits);
            all.map(|entry| entry.value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(values(&again), values(&world), "{text}");
        assert!(again.names_limits);
    }
}

#[test]
fn what_is_wrong_with_a_plugin_is_told_where_it_stands() {
    for (line, path, message) in [
        ("plugins: [{on: {api: a}}]", "plugins[0]", "`plugin` is missing"),
        ("plugins: [{plugin: cors}]", "plugins[0]", "`on` is missing"),
        ("plugins: [{plugin: cors, on: {}}]", "plugins[0].on", "one of gateway and api"),
        ("plugins: [{plugin: cors, on: {api: a, gateway: b}}]", "plugins[0].on", "one of gateway and api"),
        (
            "plugins: [{plugin: a, on: {gateway: b, operation: GET /}}]",
            "plugins[0].on.operation",
            "goes with `api`",
        ),
        ("plugins: [{plugin: a, on: {api: b, operation: GET}}]", "plugins[0].on.operation", "GET /path"),
        ("plugins: [{plugin: a, on: {api: b}, order: x}]", "plugins[0].order", "whole number"),
        ("plugins: [{plugin: a, on: {api: b}, order: 1000001}]", "plugins[0].order", "whole number"),
        ("plugins: [{plugin: cors, on: {api: a}}]", "plugins[0].config.origins", "is missing"),
        (
            "plugins: [{plugin: cors, on: {api: a}, config: {origin: x}}]",
            "plugins[0].config.origin",
            "not known",
        ),
        (
            "plugins: [{plugin: cors, on: {api: a}, config: {origins: [x]}}]",
            "plugins[0].config.origins[0]",
            "origin",
        ),
        ("plugins: [{plugin: cors, on: {api: a}, config: 7}]", "plugins[0].config", "object"),
        (
            "plugins: [{plugin: cors, on: {api: a}, config: {origins: ['*'], max_age_s: '1'}}]",
            "plugins[0].config.max_age_s",
            "whole number",
        ),
        (
            "plugins: [{plugin: request-block, on: {api: a}, config: {urls: ['$ref{x}']}}]",
            "plugins[0].config.urls[0]",
            "no credential belongs here",
        ),
        (
            "plugins: [{plugin: key-auth, on: {api: a}, config: {credentials: ['$ref{a-b}'], keys: [k]}}]",
            "plugins[0].config.credentials[0]",
            "name of a secret",
        ),
        (
            "plugins: [{plugin: our-own, on: {api: a}, config: {x: {y: ['$ref{a']}}}]",
            "plugins[0].config.x.y[0]",
            "not closed",
        ),
        (
            "plugins: [{plugin: our-own, on: {api: a}, config: {x: '${NONE}'}}]",
            "plugins[0].config.x",
            "set NONE",
        ),
        ("limits: [{on: {api: a}}]", "limits[0].requests", "`requests` and `per`"),
        ("limits: [{on: {api: a}, requests: 1, per: 1x}]", "limits[0].per", "like 10s"),
        ("limits: [{on: {api: a}, config: {}}]", "limits[0].config", "is not a field of a limit"),
    ] {
        let all = problems(&format!("version: 1\n{line}"));
        let found = all.iter().find(|problem| problem.contains(&format!(" {path} ")));
        assert!(found.is_some_and(|found| found.contains(message)), "{line}: {all:?}");
    }
    one("version: 1\nlimits:", "2:7 limits", "write [] for none");
}
