//! The world file: every field, every default, every family of mistakes with its place.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod plugins;

use keyward_api::{FieldProblem, WorldFile};
use keyward_model::{
    ApiKind, AppCodePlaces, CallerKind, CredentialKind, GranteeSpec, HmacAlgorithm, JwtKeySource, KeySource,
    Noun, ParameterPlace, ServiceAuth, SignatureMode, SignatureScheme, Stage, StageSet, SystemParameterName,
    TokenPlace, World,
};

/// What this version takes of the contract's page, in its words.
const FULL: &str = r#"
version: 1
accounts:
  - name: partner
    description: the others
    enabled: false
    reveal: false
gateways:
  - name: edge
    description: at the edge
    trusted_proxies: [10.0.0.0/8, 2001:db8::/32, 192.0.2.7]
    limits: {head_bytes: 16384, headers: 50, body_bytes: 1048576, header_timeout_ms: 5000}
secrets:
  - name: orders_key
    account: partner
    description: for orders
    enabled: false
    value: a-secret-value
    valid_until: 2027-01-01T00:00:00Z
    previous: {value: the-one-before, until: 2026-12-01T00:00:00Z}
    destinations: [api.example.com, "*.internal:8443"]
    use: [ops, ci]
    read: []
services:
  - name: orders
    kind: http
    enabled: false
    description: where orders are
    endpoints: ["http://127.0.0.1:9000", {url: "http://[::1]:9001/base", weight: 2}]
    timeouts: {connect_ms: 1, first_byte_ms: 2, idle_ms: 3}
    auth: {header: {name: X-Backend-Key, value: "Bearer ${BACKEND}"}}
modules:
  - name: hello
    account: partner
    description: says hello
    enabled: false
    wasm: {file: hello.wasm}
    on_failure: skip
    sees: {request_body: true, response_head: false, response_body: true}
    services: [orders, billing]
    limits: {memory_bytes: 1048576, fuel: 20000, time_ms: 7, body_bytes: 9, workers: 1}
apis:
  - name: orders
    kind: rest
    account: default
    description: orders
    enabled: false
    gateways: [default, edge]
    hosts: ["api.example.com", "*.example.org"]
    base_path: /orders
    strip_base_path: true
    admits: [app_signature, app_code, api_key, jwt]
    operations:
      - {method: GET, path: "/{id}"}
      - {path: /}
    stages:
      RELEASE: {service: orders}
      PRE: {service: orders, host: pre.example.com}
      TEST: {service: orders, path_prefix: /test}
    signature:
      schemes: [alibaba, tencent, tencent_key_pair]
      algorithms: [HmacSHA256, HmacSHA1]
      mode: strict
      window_s: 60
      require_nonce: true
      require_timestamp: true
      require_body_digest: true
    app_code_in: [header, query]
    app_code_requires_tls: false
    stream_before_digest: true
    max_staleness_s: 30
    allowed_addresses: [192.0.2.0/24]
    system_parameters:
      - {name: CaAppId, to: {header: X-App-Id}}
      - {name: CaAppExtendInfo, to: {query: ext}}
applications:
  - name: shop
    account: default
    description: the web shop
    enabled: false
    tags: {team: shop, "cost center": "4711"}
    extension: "tier=gold"
    key_pairs:
      - {app_key: 203753385, app_secret: "s3cr3t$$", scheme: tencent, enabled: false, valid_until: 2027-01-01T00:00:00Z}
      - {}
    app_codes: ["3F2504E04F8911D39A0C0305E82C3301", {value: 4F2504E04F8911D39A0C0305E82C3301, enabled: false, valid_until: 2027-01-01T01:00:00+01:00}]
groups:
  - {name: staff, description: us, enabled: false, members: [{consumer: analytics}, {application: shop}, other]}
consumers:
  - name: analytics
    enabled: false
    description: data science
    tags: {a: b}
    api_key:
      sources: [bearer, {header: x-api-key}, {query: apikey}]
      keys: ["0123456789abcdef", {value: "0123456789abcdeg"}]
    jwt:
      jwks: '{"keys":[{"kty":"oct","kid":"a","alg":"HS256","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}]}'
      issuer: https://issuer.example
      audiences: [orders]
      clock_skew_s: 5
      require_exp: false
      claims_to_headers: [{claim: team, header: X-Team}]
      token: {in: cookie, name: session, prefix: ""}
      forward: true
      identity_claim: {name: sub, value: 11215ac069234abcb8944232b79ae711}
      enabled: false
      valid_until: 2027-01-01T00:00:00Z
grants:
  - to: {application: shop, account: partner}
    account: default
    api: orders
    stages: [RELEASE, PRE]
    gateways: [default]
    operations: [{method: GET, path: "/{id}"}]
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2027-01-01T00:00:00Z
    description: contract 4711
  - {to: {group: staff}, api: orders}
  - {to: {application_id: app_018f0000000070008000000000000abc}, api: orders}
  - {to: {consumer_id: con_018f0000000070008000000000000abc}, api: orders}
  - {to: {consumer: analytics}, api: orders, account: partner}
plugins:
  - {plugin: cors, on: {api: orders}, config: {origins: ['*']}}
"#;

fn environment(name: &str) -> Option<String> {
    (name == "BACKEND").then(|| "b$${X}".to_owned())
}

fn parse(text: &str) -> Result<World, Vec<FieldProblem>> {
    WorldFile::parse(text, &environment).map(|file| file.world)
}

/// The problems of a file, as `LINE:COLUMN PATH MESSAGE`.
fn problems(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("something is wrong with this file");
    problems.iter().map(|p| format!("{}:{} {} {}", p.line, p.column, p.path, p.message)).collect()
}

/// Asserts that this is the file's one problem: its place and path, and what its message holds.
fn one(text: &str, place_and_path: &str, message: &str) {
    let all = problems(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(
        all[0].starts_with(&format!("{place_and_path} ")),
        "{all:?} does not begin with {place_and_path}"
    );
    assert!(all[0].contains(message), "{all:?} does not hold {message}");
}

#[test]
fn a_file_that_is_not_utf_8_is_told_where() {
    let problem = WorldFile::text(b"version: 1\naccounts: [{name: \xe4\xb8\xad\xff}]\n").unwrap_err();
    assert_eq!((problem.line, problem.column), (2, 20));
    assert_eq!(WorldFile::text("version: 1 # 订".as_bytes()), Ok("version: 1 # 订"));
}

#[test]
fn a_number_is_a_text_in_yaml_and_not_in_json() {
    assert!(WorldFile::parse("version: 1\naccounts: [{name: 7}]", &|_| None).is_ok());
    let json = br#"{"version": 1, "accounts": [{"name": 7}]}"#;
    assert!(WorldFile::parse_json(json, &|_| None).is_err());
}

#[test]
fn every_field_of_accounts_gateways_and_services_is_read() {
    let world = parse(FULL).unwrap();
    assert_eq!(world.nouns.len(), Noun::ALL.len());
    let secret = &world.secrets[0].value;
    assert_eq!(
        (secret.account.as_str(), secret.name.as_str(), secret.enabled),
        ("partner", "orders_key", false)
    );
    assert_eq!(secret.source.value().unwrap().expose_secret(), "a-secret-value");
    let previous = secret.previous.as_ref().unwrap();
    assert_eq!(previous.value.as_ref().unwrap().expose_secret(), "the-one-before");
    assert_eq!(previous.until.to_string(), "2026-12-01T00:00:00Z");
    assert_eq!(secret.valid_until.unwrap().to_string(), "2027-01-01T00:00:00Z");
    assert_eq!(secret.destinations.as_ref().map(Vec::len), Some(2));
    assert_eq!(
        (secret.use_by.as_ref().map(|all| all.len()), secret.read_by.as_ref().map(|all| all.len())),
        (Some(2), Some(0))
    );
    let account = &world.accounts[0].value;
    assert_eq!((account.name.as_str(), account.enabled, account.reveal), ("partner", false, false));
    assert_eq!(account.description, "the others");
    let gateway = &world.gateways[0].value;
    let proxies: Vec<String> = gateway.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]);
    let limits = gateway.limits;
    assert_eq!(
        (limits.head_bytes, limits.headers, limits.body_bytes, limits.header_timeout_ms),
        (16_384, 50, 1_048_576, 5_000)
    );
    let service = &world.services[0].value;
    assert!(!service.enabled);
    let endpoints: Vec<_> = service.endpoints.iter().map(|e| (e.url.as_str(), e.weight)).collect();
    assert_eq!(endpoints, [("http://127.0.0.1:9000", 1), ("http://[::1]:9001/base", 2)]);
    let timeouts = service.timeouts;
    assert_eq!((timeouts.connect_ms, timeouts.first_byte_ms, timeouts.idle_ms), (1, 2, 3));
    let Some(ServiceAuth::Header { name, value }) = &service.service_auth else { panic!("no auth") };
    assert_eq!(name.as_str(), "x-backend-key");
    assert_eq!(
        value.as_ref().unwrap().plain().unwrap().expose_secret(),
        "Bearer b$${X}",
        "what a variable brings is not scanned"
    );
}

#[test]
fn every_field_of_an_api_is_read() {
    let world = parse(FULL).unwrap();
    let api = &world.apis[0].value;
    let settings = &api.settings;
    assert_eq!(settings.kind, ApiKind::Rest);
    assert!(!settings.enabled && settings.strip_base_path && settings.stream_before_digest);
    assert_eq!(settings.max_staleness_s, Some(30));
    assert!(!settings.app_code_requires_tls);
    assert_eq!(api.gateways.len(), 2);
    assert_eq!(
        settings.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["api.example.com", "*.example.org"]
    );
    assert_eq!(settings.base_path.as_str(), "/orders");
    assert!(!settings.admits.contains(CredentialKind::Anyone));
    assert_eq!(settings.admits.iter().count(), 4);
    let operations: Vec<_> = settings.operations.iter().map(ToString::to_string).collect();
    assert_eq!(operations, ["GET /{id}", "* /"]);
    assert_eq!(api.stages.len(), 3);
    assert_eq!(api.stages[&Stage::Pre].host.as_ref().unwrap().to_string(), "pre.example.com");
    assert_eq!(api.stages[&Stage::Test].path_prefix.as_ref().unwrap().as_str(), "/test");
    let signature = &settings.signature;
    assert_eq!(signature.schemes, SignatureScheme::ALL);
    assert_eq!(signature.algorithms, [HmacAlgorithm::Sha256, HmacAlgorithm::Sha1]);
    assert_eq!((signature.mode, signature.window_s), (SignatureMode::Strict, 60));
    assert!(signature.require_nonce && signature.require_timestamp && signature.require_body_digest);
    assert_eq!(settings.app_code_in, AppCodePlaces { header: true, query: true });
    assert_eq!(settings.allowed_addresses[0].to_string(), "192.0.2.0/24");
    let parameters: Vec<_> = settings.system_parameters.iter().map(|p| (p.name, &p.place)).collect();
    assert_eq!(parameters[0].0, SystemParameterName::AppId);
    assert_eq!(*parameters[0].1, ParameterPlace::Header("x-app-id".parse().unwrap()));
    assert_eq!(parameters[1].0, SystemParameterName::AppExtInfo, "the vendor's alias is known");
    assert_eq!(*parameters[1].1, ParameterPlace::Query("ext".into()));
}

#[test]
fn every_field_of_callers_and_groups_is_read() {
    let world = parse(FULL).unwrap();
    let app = &world.applications[0].value;
    assert!(!app.enabled);
    assert_eq!(app.tags["cost center"], "4711");
    assert_eq!(app.extension.as_deref(), Some("tier=gold"));
    let pairs = app.key_pairs.as_ref().unwrap();
    assert_eq!(pairs[0].app_key.as_ref().unwrap().as_str(), "203753385", "an unquoted number is a text here");
    assert_eq!(pairs[0].app_secret.as_ref().unwrap().plain().unwrap().expose_secret(), "s3cr3t$");
    assert_eq!((pairs[0].scheme, pairs[0].enabled), (SignatureScheme::Tencent, false));
    assert_eq!((&pairs[1].app_key, &pairs[1].app_secret), (&None, &None));
    assert_eq!(
        (pairs[1].scheme, pairs[1].enabled, pairs[1].valid_until),
        (SignatureScheme::Alibaba, true, None)
    );
    assert_eq!(app.app_codes[1].valid_until, pairs[0].valid_until, "any offset is read");
    assert!(app.app_codes[0].enabled && !app.app_codes[1].enabled);

    let consumer = &world.consumers[0].value;
    let keys = consumer.api_key.as_ref().unwrap();
    let header = KeySource::Header("x-api-key".parse().unwrap());
    assert_eq!(keys.sources, [KeySource::Bearer, header, KeySource::Query("apikey".into())]);
    assert_eq!(keys.keys.as_ref().unwrap().len(), 2);
    let jwt = consumer.jwt.as_ref().unwrap();
    let JwtKeySource::Given(set) = &jwt.keys else { panic!("not given") };
    assert_eq!(set.keys().len(), 1);
    let settings = &jwt.settings;
    assert_eq!(settings.issuer.as_deref(), Some("https://issuer.example"));
    assert_eq!((settings.clock_skew_s, settings.require_exp, settings.forward), (5, false, true));
    assert_eq!(settings.token, TokenPlace::Cookie { name: "session".into(), prefix: "".into() });
    assert_eq!(settings.claims_to_headers[0].header.as_str(), "x-team");
    assert_eq!(jwt.identity_claim.as_ref().unwrap().name.as_ref(), "sub");
    assert!(!jwt.enabled && jwt.valid_until.is_some());

    let kinds: Vec<_> = world.groups[0].value.members.iter().map(|m| (m.kind, m.name.as_str())).collect();
    use CallerKind::{Application, Consumer};
    assert_eq!(kinds, [(Consumer, "analytics"), (Application, "shop"), (Consumer, "other")]);
}

#[test]
fn every_field_of_a_grant_is_read() {
    let world = parse(FULL).unwrap();
    let grants: Vec<_> = world.grants.iter().map(|grant| &grant.value).collect();
    let GranteeSpec::Named(CallerKind::Application, shop) = &grants[0].to else {
        panic!("not an application")
    };
    assert_eq!((shop.account.as_str(), shop.name.as_str()), ("partner", "shop"));
    assert_eq!(grants[0].stages, StageSet::of([Stage::Release, Stage::Pre]));
    assert_eq!(grants[0].gateways.as_ref().unwrap().len(), 1);
    assert_eq!(grants[0].operations.as_ref().unwrap()[0].to_string(), "GET /{id}");
    assert!(grants[0].validity.from.is_some() && grants[0].validity.until.is_some());
    assert_eq!(grants[1].to, GranteeSpec::Group("staff".parse().unwrap()));
    assert_eq!(grants[1].stages, StageSet::ALL, "absent stages are every stage");
    assert_eq!((&grants[1].gateways, &grants[1].operations), (&None, &None));
    assert!(matches!(grants[2].to, GranteeSpec::ById(id) if id.kind() == CallerKind::Application));
    assert!(matches!(grants[3].to, GranteeSpec::ById(id) if id.kind() == CallerKind::Consumer));
    let GranteeSpec::Named(_, analytics) = &grants[4].to else { panic!("not named") };
    assert_eq!(
        analytics.account.as_str(),
        "partner",
        "a grantee is of the grant's account where none is named"
    );
}

#[test]
fn what_is_absent_has_its_default() {
    let world = parse(
        "version: 1\napis: [{name: a, admits: [anyone]}]\nservices: [{name: s, endpoints: [http://h]}]\n\
         gateways: [{name: g}]\naccounts: [{name: x}]\napplications: [{name: p}]\nconsumers: [{name: c, jwt: {}, api_key: {}}]",
    )
    .unwrap();
    let api = &world.apis[0].value;
    assert_eq!(api.account.as_str(), "default");
    assert_eq!(api.gateways.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["default"]);
    let settings = &api.settings;
    assert!(settings.enabled && !settings.strip_base_path && settings.app_code_requires_tls);
    assert_eq!((settings.base_path.to_string().as_str(), settings.hosts.len()), ("/", 0));
    assert_eq!(settings.signature.schemes, [SignatureScheme::Alibaba, SignatureScheme::Tencent]);
    assert_eq!(settings.signature.algorithms, [HmacAlgorithm::Sha256]);
    assert_eq!((settings.signature.mode, settings.signature.window_s), (SignatureMode::Compatible, 900));
    assert_eq!(settings.app_code_in, AppCodePlaces { header: true, query: false });
    let service = &world.services[0].value;
    assert_eq!(
        (service.timeouts.connect_ms, service.timeouts.first_byte_ms, service.timeouts.idle_ms),
        (1_000, 15_000, 60_000)
    );
    let limits = world.gateways[0].value.limits;
    assert_eq!((limits.head_bytes, limits.headers), (32_768, 100));
    assert_eq!((limits.body_bytes, limits.header_timeout_ms), (33_554_432, 10_000));
    assert!(world.accounts[0].value.reveal && world.accounts[0].value.enabled);
    let app = &world.applications[0].value;
    assert_eq!((&app.key_pairs, app.app_codes.len()), (&None, 0));
    let consumer = &world.consumers[0].value;
    let jwt = consumer.jwt.as_ref().unwrap();
    assert_eq!(jwt.settings, keyward_model::JwtSettings::default());
    assert_eq!((&jwt.keys, &jwt.identity_claim), (&JwtKeySource::Kept, &None));
    let keys = consumer.api_key.as_ref().unwrap();
    assert_eq!((keys.sources.as_slice(), &keys.keys), ([KeySource::Bearer].as_slice(), &None));
}

#[test]
fn only_nouns_that_the_file_names_are_named() {
    let world = parse("version: 1\ngrants: []\napis: []").unwrap();
    assert_eq!(world.nouns.into_iter().collect::<Vec<_>>(), [Noun::Api, Noun::Grant]);
    one("version: 1\ngrants:", "2:7 grants", "write [] for none");
}

#[test]
fn a_file_without_a_known_version_is_refused() {
    one("grants: []", "1:1 ", "`version` is missing");
    one("version: 2", "1:10 version", "version `2` is not known");
    one("version: one", "1:10 version", "whole number");
    one("", "1:1 ", "is a mapping of version");
    one("[]", "1:1 ", "is a mapping of version");
}

#[test]
fn a_text_that_is_no_yaml_is_refused_with_its_place() {
    one("version: 1\napis: [", "2:7 ", "unclosed");
    one("version: 1\napis: [}", "2:7 ", "mismatched");
    one("version: 1\n---\nversion: 1", "3:1 ", "one document");
    one("version: 1\napis: *gone", "2:7 ", "");
    one("version: 1\n? [a]\n: b", "2:3 ", "a key must be a text");
    one("version: 1\napis: !secret []", "2:15 ", "`!secret`");
    one(&format!("version: 1\napis: {}{}", "[".repeat(60), "]".repeat(60)), "2:39 ", "nested too deeply");
}

#[test]
fn anchors_are_read_and_bombs_are_not() {
    let world =
        parse("version: 1\nservices: [{name: a, endpoints: &e [http://h]}, {name: b, endpoints: *e}]")
            .unwrap();
    assert_eq!(world.services[1].value.endpoints, world.services[0].value.endpoints);
    let mut bomb = "version: 1\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..8 {
        let below = format!("*a{},", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let all = problems(&bomb);
    assert!(all[0].contains("aliases expand to too much"), "{all:?}");
    one(
        "version: 1\nservices: [{<<: {name: a}, name: b, endpoints: [http://h]}]",
        "2:13 services[0].<<",
        "`<<`",
    );
}

#[test]
fn unknown_and_repeated_keys_are_refused_and_what_is_allowed_is_named() {
    one("version: 1\napi: []", "2:1 api", "allowed are version, accounts");
    one(
        "version: 1\ngroups:\n  - name: a\n    member: []",
        "4:5 groups[0].member",
        "allowed are account, name",
    );
    one("version: 1\nversion: 1", "2:1 version", "given twice");
    one("version: 1\ngroups:\n  - {name: a, name: b}", "3:15 groups[0].name", "given twice");
    one(
        "version: 1\napplications: [{name: a, tags: {x: y, x: z}}]",
        "2:39 applications[0].tags.x",
        "given twice",
    );
    let stages =
        "version: 1\napis: [{name: a, admits: [jwt], stages: {TEST: {service: s}, TEST: {service: s}}}]";
    one(stages, "2:62 apis[0].stages.TEST", "given twice");
}

#[test]
fn every_problem_is_reported_in_the_order_of_the_file() {
    let all = problems(
        "version: 1\napis:\n  - name: a/b\n    admits: []\n    stages: {release: {}}\n    wrong: 1\ngrants:\n  - {api: x, stages: []}\n",
    );
    let places: Vec<_> = all.iter().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(places, ["3:11", "4:13", "5:23", "5:23", "6:5", "8:5", "8:22"], "{all:#?}");
}

#[test]
fn what_comes_with_later_versions_is_refused_by_name() {
    for noun in ["operators", "budgets"] {
        one(&format!("version: 1\n{noun}: []"), &format!("2:1 {noun}"), "is not supported by this version");
    }
    let later = [
        ("gateways: [{name: a, listeners: []}]", "gateways[0].listeners", "`listeners`"),
        ("services: [{name: a, endpoints: [http://h], tls: {}}]", "services[0].tls", "`tls`"),
        (
            "services: [{name: a, endpoints: [http://h], provider: openai}]",
            "services[0].provider",
            "`provider`",
        ),
        ("services: [{name: a, kind: mcp, endpoints: [http://h]}]", "services[0].kind", "`mcp`"),
        ("services: [{name: a, endpoints: [https://h]}]", "services[0].endpoints[0]", "https"),
        (
            "services: [{name: a, endpoints: [http://h], auth: {api_keys: []}}]",
            "services[0].auth.api_keys",
            "`api_keys`",
        ),
        ("apis: [{name: a, kind: model, admits: [jwt]}]", "apis[0].kind", "`model`"),
        ("apis: [{name: a, admits: [jwt], agent: {}}]", "apis[0].agent", "`agent`"),
        (
            "grants: [{to: {group: a}, api: a, operations: [{tool: x, path: /}]}]",
            "grants[0].operations[0].tool",
            "`tool`",
        ),
    ];
    for (line, path, name) in later {
        let all = problems(&format!("version: 1\n{line}"));
        let found = all.iter().find(|problem| problem.contains(&format!(" {path} ")));
        let found = found.unwrap_or_else(|| panic!("{path} is not in {all:?}"));
        assert!(found.contains(name) && found.contains("not supported by this version"), "{found}");
    }
}

#[test]
fn wrong_values_are_refused_where_they_stand() {
    let wrong = [
        ("accounts: [{name: a, enabled: yes}]", "2:31 accounts[0].enabled", "true or false"),
        ("accounts: [{name: a, enabled: 'true'}]", "2:31 accounts[0].enabled", "true or false"),
        ("accounts: [{name: true}]", "2:19 accounts[0].name", "put quotes around"),
        ("accounts: [{name: [a]}]", "2:19 accounts[0].name", "must be a text, this is a list"),
        ("accounts: [{name: ' a'}]", "2:19 accounts[0].name", "is not a name"),
        ("accounts: {name: a}", "2:11 accounts", "must be a list"),
        ("accounts: [a]", "2:12 accounts[0]", "an account is a mapping"),
        (
            "accounts: [{name: a, description: \"\\u0007\"}]",
            "2:35 accounts[0].description",
            "control character",
        ),
        (
            "gateways: [{name: a, trusted_proxies: [10.0.0.1/8]}]",
            "2:40 gateways[0].trusted_proxies[0]",
            "write `10.0.0.0/8`",
        ),
        (
            "gateways: [{name: a, trusted_proxies: [all]}]",
            "2:40 gateways[0].trusted_proxies[0]",
            "is not a network",
        ),
        ("gateways: [{name: a, limits: {headers: 0}}]", "2:40 gateways[0].limits.headers", "from 8 to 1000"),
        ("gateways: [{name: a, limits: {headers: '50'}}]", "2:40 gateways[0].limits.headers", "whole number"),
        ("services: [{name: a, endpoints: []}]", "2:33 services[0].endpoints", "at least one endpoint"),
        ("services: [{name: a}]", "2:12 services[0]", "`endpoints` is missing"),
        (
            "services: [{name: a, endpoints: [h]}]",
            "2:34 services[0].endpoints[0]",
            "write it like http://HOST:PORT",
        ),
        ("services: [{name: a, kind: ftp, endpoints: [http://h]}]", "2:28 services[0].kind", "use http"),
        (
            "services: [{name: a, endpoints: [http://h], auth: {header: {name: Host, value: x}}}]",
            "2:67 services[0].auth.header.name",
            "reserved",
        ),
        ("apis: [{name: a}]", "2:8 apis[0]", "`admits` is missing"),
        ("apis: [{name: a, admits: []}]", "2:26 apis[0].admits", "[anyone]"),
        ("apis: [{name: a, admits: [jwt, jwt]}]", "2:26 apis[0].admits", "twice"),
        ("apis: [{name: a, admits: [basic]}]", "2:27 apis[0].admits[0]", "use app_signature"),
        (
            "apis: [{name: a, admits: [jwt], stages: {DEV: {service: s}}}]",
            "2:47 apis[0].stages.DEV",
            "RELEASE",
        ),
        (
            "apis: [{name: a, admits: [jwt], stages: {TEST: {service: s, path_prefix: /}}}]",
            "2:74 apis[0].stages.TEST.path_prefix",
            "must not be `/`",
        ),
        ("apis: [{name: a, admits: [jwt], base_path: a}]", "2:44 apis[0].base_path", "must start with `/`"),
        ("apis: [{name: a, admits: [jwt], hosts: ['a:80']}]", "2:41 apis[0].hosts[0]", "without port"),
        (
            "apis: [{name: a, admits: [jwt], operations: [{method: get, path: /}]}]",
            "2:55 apis[0].operations[0].method",
            "`GET`",
        ),
        (
            "apis: [{name: a, admits: [jwt], operations: [{method: GET}]}]",
            "2:46 apis[0].operations[0]",
            "`path` is missing",
        ),
        (
            "apis: [{name: a, admits: [jwt], signature: {mode: lax}}]",
            "2:51 apis[0].signature.mode",
            "use compatible, strict",
        ),
        (
            "apis: [{name: a, admits: [jwt], signature: {algorithms: [MD5]}}]",
            "2:58 apis[0].signature.algorithms[0]",
            "HmacSHA256",
        ),
        (
            "apis: [{name: a, admits: [jwt], app_code_in: [cookie]}]",
            "2:47 apis[0].app_code_in[0]",
            "use header, query",
        ),
        (
            "apis: [{name: a, admits: [jwt], system_parameters: [{name: CaAppId, to: {}}]}]",
            "2:73 apis[0].system_parameters[0].to",
            "either a header or a query",
        ),
        (
            "apis: [{name: a, admits: [jwt], system_parameters: [{name: Ca, to: {query: a}}]}]",
            "2:60 apis[0].system_parameters[0].name",
            "CaAppId",
        ),
        (
            "apis: [{name: a, admits: [jwt], system_parameters: [{name: CaAppId, to: {header: X-A}}, {name: CaStage, to: {header: x_a}}]}]",
            "2:52 apis[0].system_parameters",
            "in one place",
        ),
        ("applications: [{name: a, key_pairs: []}]", "2:37 applications[0].key_pairs", "default pair"),
        (
            "applications: [{name: a, key_pairs: [{app_key: 'a b'}]}]",
            "2:48 applications[0].key_pairs[0].app_key",
            "is not an AppKey",
        ),
        (
            "applications: [{name: a, key_pairs: [{scheme: aws}]}]",
            "2:47 applications[0].key_pairs[0].scheme",
            "use alibaba",
        ),
        ("applications: [{name: a, app_codes: [short]}]", "2:38 applications[0].app_codes[0]", "16 to"),
        (
            "applications: [{name: a, key_pairs: [{valid_until: tomorrow}]}]",
            "2:52 applications[0].key_pairs[0].valid_until",
            "like `2026",
        ),
        ("applications: [{name: a, extension: \"a\\nb\"}]", "2:37 applications[0].extension", "one line"),
        (
            "groups: [{name: a, members: [{application: a, consumer: b}]}]",
            "2:30 groups[0].members[0]",
            "either an application or a consumer",
        ),
        ("consumers: [{name: a, api_key: {sources: []}}]", "2:42 consumers[0].api_key.sources", "1 to 3"),
        (
            "consumers: [{name: a, api_key: {sources: [bearer, bearer]}}]",
            "2:42 consumers[0].api_key.sources",
            "twice",
        ),
        (
            "consumers: [{name: a, api_key: {sources: [{header: Cookie}]}}]",
            "2:52 consumers[0].api_key.sources[0].header",
            "reserved",
        ),
        (
            "consumers: [{name: a, api_key: {sources: [cookie]}}]",
            "2:43 consumers[0].api_key.sources[0]",
            "use bearer",
        ),
        ("consumers: [{name: a, jwt: {jwks: '{}'}}]", "2:35 consumers[0].jwt.jwks", ""),
        (
            "consumers: [{name: a, jwt: {token: {in: query}}}]",
            "2:36 consumers[0].jwt.token",
            "`name` is missing",
        ),
        (
            "consumers: [{name: a, jwt: {clock_skew_s: 4000}}]",
            "2:43 consumers[0].jwt.clock_skew_s",
            "0 to 3600",
        ),
        ("grants: [{api: a}]", "2:10 grants[0]", "`to` is missing"),
        ("grants: [{to: {}, api: a}]", "2:15 grants[0].to", "one of application"),
        ("grants: [{to: {group: a, consumer: b}, api: a}]", "2:15 grants[0].to", "one of application"),
        (
            "grants: [{to: {group: a, account: b}, api: a}]",
            "2:35 grants[0].to.account",
            "does not go with `group`",
        ),
        (
            "grants: [{to: {consumer_id: app_018f0000000070008000000000000abc}, api: a}]",
            "2:29 grants[0].to.consumer_id",
            "is not the id of a consumer",
        ),
        (
            "grants: [{to: {group: a}, api: a, gateways: []}]",
            "2:45 grants[0].gateways",
            "leave it out for every gateway",
        ),
        (
            "grants: [{to: {group: a}, api: a, valid_from: 2026-01-01T00:00:00Z, valid_until: 2026-01-01T00:00:00Z}]",
            "2:82 grants[0].valid_until",
            "must lie after",
        ),
    ];
    for (line, place_and_path, message) in wrong {
        one(&format!("version: 1\n{line}"), place_and_path, message);
    }
}

#[test]
fn ipv4_networks_in_ipv6s_clothes_are_ipv4_networks() {
    let world = parse(
        "version: 1\ngateways: [{name: a, trusted_proxies: ['::ffff:192.0.2.7', '::ffff:10.0.0.0/104', '::/64']}]",
    )
    .unwrap();
    let proxies: Vec<String> =
        world.gateways[0].value.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["192.0.2.7/32", "10.0.0.0/8", "::/64"]);
}

#[test]
fn the_environment_is_read_and_what_is_absent_is_an_error() {
    let lookup = |name: &str| match name {
        "COUNT" => Some("3".to_owned()),
        "ON" => Some("true".to_owned()),
        _ => None,
    };
    let text = "version: 1\naccounts: [{name: \"${ON}\", enabled: \"${ON}\"}]";
    let problems = WorldFile::parse(text, &lookup).expect_err("quoted is a text");
    assert_eq!(problems[0].path, "accounts[0].enabled");
    let text = "version: 1\naccounts:\n- name: a${COUNT}\n  enabled: ${ON}\nservices:\n- name: s\n  endpoints: [http://h]\n  timeouts:\n    idle_ms: ${COUNT}";
    let world = WorldFile::parse(text, &lookup).unwrap().world;
    assert_eq!(world.accounts[0].value.name.as_str(), "a3");
    assert_eq!(world.services[0].value.timeouts.idle_ms, 3);
    one("version: 1\naccounts: [{name: 'x${GONE}'}]", "2:19 accounts[0].name", "set GONE");
}

#[test]
fn secrets_are_not_repeated_in_messages() {
    let text = "version: 1\napplications: [{name: a, key_pairs: [{app_secret: \"hush hush\"}], app_codes: [hush-hush]}]\n\
                consumers: [{name: a, api_key: {keys: [\"hush\"]}, jwt: {jwks: hush}}]\n\
                services: [{name: s, endpoints: [http://h], auth: {header: {name: X, value: \"hush\\nhush\"}}}]";
    let all = problems(text);
    assert_eq!(all.len(), 5, "{all:#?}");
    assert!(all.iter().all(|line| !line.contains("hush")), "{all:#?}");
    let file = WorldFile::parse(FULL, &environment).unwrap();
    assert!(!format!("{file:?}").contains("s3cr3t"));
}

#[test]
fn places_are_found_again_by_path() {
    let file = WorldFile::parse(FULL, &environment).unwrap();
    let problem =
        FieldProblem { line: 0, column: 0, path: "grants[1].to.group".into(), message: String::new() };
    let place = file.locate(&problem);
    let line = FULL.lines().nth(place.line as usize - 1).unwrap();
    assert!(line[place.column as usize - 1..].starts_with("staff}"), "{line} {place:?}");
    let deeper = FieldProblem { path: "grants[1].operations[0].path".into(), ..problem };
    assert_eq!(file.locate(&deeper).line, place.line, "the deepest value that is there");
}

#[test]
fn json_is_read_as_well() {
    let text =
        br#"{"version":1,"applications":[{"name":"shop","key_pairs":[{"app_key":"1","scheme":"tencent"}]}]}"#;
    let as_json = WorldFile::parse_json(text, &environment).unwrap().world;
    let as_yaml = parse(std::str::from_utf8(text).unwrap()).unwrap();
    assert_eq!(as_json.applications[0].value, as_yaml.applications[0].value);
    let wrong = WorldFile::parse_json(br#"{"version":1,"x":1,"x":2}"#, &environment).expect_err("unknown");
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    let wrong = WorldFile::parse_json(br#"{"version":1,"#, &environment).expect_err("no JSON");
    assert_eq!((wrong[0].line, wrong[0].column), (1, 13), "{wrong:?}");
}

#[test]
fn references_are_read_where_credentials_belong_and_nowhere_else() {
    let text = r#"
version: 1
secrets: [{name: a_1, value: 'x$$y${V}'}, {name: b, from: {vault: {path: kv/team/b}}}]
services: [{name: s, endpoints: ["http://a"], auth: {header: {name: X-Key, value: 'Bearer $ref{a_1} $$'}}}]
applications: [{name: a, key_pairs: [{app_secret: '$ref{a_1}'}], app_codes: ['${R}0123456789abcdef']}]
consumers: [{name: c, api_key: {keys: ['$ref{a_1}', {value: '$ref{b}'}]}, jwt: {jwks: '$ref{b}'}}]
"#;
    let environment = |name: &str| match name {
        "V" => Some("$ref{b}".to_owned()),
        "R" => Some("$ref{a_1}".to_owned()),
        _ => None,
    };
    let world = WorldFile::parse(text, &environment).unwrap().world;
    let value = world.secrets[0].value.source.value().unwrap();
    assert_eq!(value.expose_secret(), "x$y$ref{b}", "a value is never a reference");
    let code = world.applications[0].value.app_codes[0].value.as_ref().unwrap();
    assert_eq!(
        code.plain().unwrap().expose_secret(),
        "$ref{a_1}0123456789abcdef",
        "nor is what a variable brings"
    );
    let Some(ServiceAuth::Header { value: Some(auth), .. }) = &world.services[0].value.service_auth else {
        panic!()
    };
    assert_eq!(auth.shown().unwrap(), "Bearer $ref{a_1} $$");

    let yaml = keyward_api::write_yaml(&world).unwrap();
    let again = WorldFile::parse(&yaml, &|_| None).unwrap().world;
    assert_eq!(again.services[0].value, world.services[0].value, "{yaml}");
    assert_eq!(again.applications[0].value, world.applications[0].value, "{yaml}");
    assert_eq!(again.consumers[0].value, world.consumers[0].value, "{yaml}");
    assert_eq!(again.secrets[0].value, world.secrets[0].value, "{yaml}");
    let json = keyward_api::write_json(&world).unwrap();
    assert_eq!(
        WorldFile::parse_json(json.as_bytes(), &|_| None).unwrap().world.consumers[0].value,
        world.consumers[0].value
    );

    for (line, path) in [
        ("accounts: [{name: a, description: 'x $ref{y}'}]", "accounts[0].description"),
        ("secrets: [{name: a, value: '$ref{b}'}]", "secrets[0].value"),
        ("secrets: [{name: 'a-b'}]", "secrets[0].name"),
        ("secrets: [{name: a, value: x, from: {env: X}}]", "secrets[0].from"),
        ("secrets: [{name: a, from: {}}]", "secrets[0].from"),
        ("secrets: [{name: a, from: {env: X, file: /y}}]", "secrets[0].from"),
        ("secrets: [{name: a, from: {file: y}}]", "secrets[0].from"),
        ("secrets: [{name: a, from: {vault: {path: kv/../x}}}]", "secrets[0].from.vault.path"),
        ("secrets: [{name: a, destinations: ['http://x']}]", "secrets[0].destinations[0]"),
        ("consumers: [{name: a, api_key: {keys: ['$ref{a-b}']}}]", "consumers[0].api_key.keys[0]"),
    ] {
        let all = problems(&format!("version: 1\n{line}"));
        assert!(all.iter().any(|problem| problem.contains(&format!(" {path} "))), "{line}: {all:?}");
    }
}
