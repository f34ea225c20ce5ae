//! Written worlds read back as they were: an export applies to no change.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use keyward_api::{Described, WorldFile, write_json, write_yaml};
use keyward_model::{
    AccountSpec, ApplicationSpec, ConsumerSpec, GatewaySpec, GrantSpec, GroupSpec, JwtKeySource, Place,
    ServiceSpec, World,
};
use proptest::prelude::*;

fn nothing(_: &str) -> Option<String> {
    None
}

/// The world without places, which a written file does not share with the one it came from.
fn placeless(mut world: World) -> World {
    fn clear<T>(entries: &mut [keyward_model::Located<T>]) {
        entries.iter_mut().for_each(|entry| entry.place = Place::default());
    }
    clear(&mut world.accounts);
    clear(&mut world.gateways);
    clear(&mut world.services);
    clear(&mut world.apis);
    clear(&mut world.applications);
    clear(&mut world.consumers);
    clear(&mut world.groups);
    clear(&mut world.grants);
    world
}

/// A text in JSON, in which dollars and everything that YAML could misread are likely.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "(\\$|\\{|\\}|ref|NAME){0,6}",
        Just("yes".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("0x1F".to_owned()),
        Just("1e3".to_owned()),
        Just("- a: b #c".to_owned()),
        Just("line\nline\n".to_owned()),
        Just(" blanks ".to_owned()),
        Just("订单 ü".to_owned()),
    ]
}

/// JSON for a text that a world file reads as this text.
fn quoted(text: &str) -> String {
    serde_json::to_string(&text.replace('$', "$$")).unwrap()
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_.:-]{0,6}"
}

fn moment() -> impl Strategy<Value = String> {
    (2000..2100_u32, 1..=12_u32, 1..=28_u32)
        .prop_map(|(year, month, day)| format!("{year}-{month:02}-{day:02}T00:00:00Z"))
}

/// A member of a JSON object, or nothing.
fn maybe(name: &'static str, value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    proptest::option::of(value)
        .prop_map(move |value| value.map_or_else(String::new, |value| format!(",\"{name}\":{value}")))
}

fn flag() -> impl Strategy<Value = String> {
    any::<bool>().prop_map(|flag| flag.to_string())
}

fn list(item: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(item, 0..=most).prop_map(|items| format!("[{}]", items.join(",")))
}

fn some(item: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(item, 1..=most).prop_map(|items| format!("[{}]", items.join(",")))
}

fn string(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    text.prop_map(|text| quoted(&text))
}

fn secret() -> impl Strategy<Value = String> {
    string("[!-~]{16,24}")
}

fn described(least: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (least, name(), maybe("description", string(text())), maybe("account", string(name()))).prop_map(
        |(least, name, description, account)| {
            format!("{{\"name\":{}{account}{description}{least}}}", quoted(&name))
        },
    )
}

fn service() -> impl Strategy<Value = String> {
    let endpoint = prop_oneof![
        Just("\"http://a\"".to_owned()),
        (0..9_u32).prop_map(|weight| format!("{{\"url\":\"http://[::1]:90/a$$b\",\"weight\":{weight}}}"))
    ];
    let auth = maybe(
        "auth",
        string("[!-~]{1,9}")
            .prop_map(|value| format!("{{\"header\":{{\"name\":\"X-A\",\"value\":{value}}}}}")),
    );
    let timeouts = maybe("timeouts", (1..9_u32).prop_map(|idle| format!("{{\"idle_ms\":{idle}}}")));
    described((some(endpoint, 3), auth, timeouts, maybe("enabled", flag())).prop_map(
        |(endpoints, auth, timeouts, enabled)| format!(",\"endpoints\":{endpoints}{auth}{timeouts}{enabled}"),
    ))
}

fn api() -> impl Strategy<Value = String> {
    let admits = prop_oneof![Just("[\"anyone\"]".to_owned()), Just("[\"jwt\",\"api_key\"]".to_owned())];
    let stages = prop_oneof![
        Just("{}".to_owned()),
        Just("{\"PRE\":{\"service\":\"s\",\"host\":\"h\"}}".to_owned()),
        Just(
            "{\"RELEASE\":{\"service\":\"s\"},\"TEST\":{\"service\":\"t\",\"path_prefix\":\"/t\"}}"
                .to_owned()
        )
    ];
    let signature =
        (maybe("window_s", (1..999_u32).prop_map(|s| s.to_string())), maybe("require_nonce", flag()))
            .prop_map(|(window, nonce)| format!("{{\"mode\":\"strict\"{window}{nonce}}}"));
    let operation = prop_oneof![
        Just("{\"path\":\"/\"}".to_owned()),
        Just("{\"method\":\"GET\",\"path\":\"/{id}/$$x\"}".to_owned())
    ];
    let parameters = [
        "{\"name\":\"CaAppId\",\"to\":{\"header\":\"X-A\"}}",
        "{\"name\":\"CaStage\",\"to\":{\"query\":\"s\"}}",
    ];
    let parameters = proptest::sample::subsequence(parameters.to_vec(), 0..=2)
        .prop_map(|parameters| format!("[{}]", parameters.join(",")));
    let first = (
        admits,
        maybe("stages", stages),
        maybe("signature", signature),
        maybe("operations", list(operation, 2)),
        maybe("system_parameters", parameters),
        maybe("gateways", list(string(name()), 2)),
    )
        .prop_map(|(admits, b, c, d, e, f)| format!(",\"admits\":{admits}{b}{c}{d}{e}{f}"));
    let second = (
        maybe("hosts", list(Just("\"*.a.b\"".to_owned()), 1)),
        maybe("base_path", Just("\"/a/b\"".to_owned())),
        maybe("strip_base_path", flag()),
        maybe("app_code_in", list(Just("\"query\"".to_owned()), 1)),
        maybe("app_code_requires_tls", flag()),
        maybe("allowed_addresses", list(Just("\"10.0.0.0/8\"".to_owned()), 1)),
    )
        .prop_map(|(a, b, c, d, e, f)| format!("{a}{b}{c}{d}{e}{f}"));
    described((first, second).prop_map(|(first, second)| first + &second))
}

fn application() -> impl Strategy<Value = String> {
    let pair = (
        maybe("app_secret", secret()),
        maybe("enabled", flag()),
        maybe("valid_until", string(moment())),
        name(),
    )
        .prop_map(|(secret, enabled, until, key)| {
            format!(
                "{{\"app_key\":\"{}\",\"scheme\":\"tencent\"{secret}{enabled}{until}}}",
                key.replace(['.', ':'], "_")
            )
        });
    let rest = (
        maybe("key_pairs", some(pair, 2)),
        maybe("app_codes", list(opaque(), 2)),
        maybe("tags", string(text()).prop_map(|value| format!("{{\"a b\":{value}}}"))),
        maybe("extension", string("([!-~]{1,5}|a\\$b)")),
    );
    described(rest.prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}")))
}

fn opaque() -> impl Strategy<Value = String> {
    prop_oneof![
        secret(),
        (maybe("value", secret()), flag())
            .prop_map(|(value, enabled)| format!("{{\"enabled\":{enabled}{value}}}"))
    ]
}

fn consumer() -> impl Strategy<Value = String> {
    let source = prop_oneof![
        Just("\"bearer\"".to_owned()),
        Just("{\"header\":\"X-K\"}".to_owned()),
        Just("{\"query\":\"k\"}".to_owned())
    ];
    let api_key = (
        maybe("sources", source.prop_map(|source| format!("[{source}]"))),
        maybe("keys", list(opaque(), 2)),
        maybe_nothing(),
    )
        .prop_map(|(sources, keys, _)| format!("{{{}}}", format!("{sources}{keys}").trim_start_matches(',')));
    let token = prop_oneof![
        Just("{}".to_owned()),
        Just("{\"name\":\"X-T\",\"prefix\":\"\"}".to_owned()),
        Just("{\"in\":\"query\",\"name\":\"t\"}".to_owned())
    ];
    let jwt = (
        maybe("issuer", string("[!-~]{1,9}")),
        maybe("symmetric", flag()),
        maybe("token", token),
        maybe("clock_skew_s", (0..99_u32).prop_map(|s| s.to_string())),
        maybe("identity_claim", string("[!-~]{1,9}").prop_map(|value| format!("{{\"value\":{value}}}"))),
    )
        .prop_map(|(a, b, c, d, e)| format!("{{{}}}", format!("{a}{b}{c}{d}{e}").trim_start_matches(',')));
    described((maybe("api_key", api_key), maybe("jwt", jwt)).prop_map(|(a, b)| a + &b))
}

fn maybe_nothing() -> impl Strategy<Value = ()> {
    Just(())
}

fn grant() -> impl Strategy<Value = String> {
    let to = prop_oneof![
        name().prop_map(|name| format!("{{\"group\":\"{name}\"}}")),
        (name(), name())
            .prop_map(|(name, account)| format!("{{\"consumer\":\"{name}\",\"account\":\"{account}\"}}")),
        name().prop_map(|name| format!("{{\"application\":\"{name}\"}}")),
        Just("{\"application_id\":\"app_018f0000000070008000000000000abc\"}".to_owned())
    ];
    let rest = (
        maybe("stages", some(Just("\"PRE\"".to_owned()), 1)),
        maybe("gateways", some(string(name()), 2)),
        maybe("operations", some(Just("{\"method\":\"GET\",\"path\":\"/\"}".to_owned()), 1)),
        maybe("valid_from", string(moment())),
        maybe("description", string(text())),
        maybe("account", string(name())),
    );
    (to, name(), rest).prop_map(|(to, api, (a, b, c, d, e, f))| {
        format!("{{\"to\":{to},\"api\":\"{api}\"{a}{b}{c}{d}{e}{f}}}")
    })
}

fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        name().prop_map(|name| format!("\"{name}\"")),
        name().prop_map(|name| format!("{{\"application\":\"{name}\"}}"))
    ]
}

fn named(least: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (least, name()).prop_map(|(least, name)| format!("{{\"name\":\"{name}\"{least}}}"))
}

fn world() -> impl Strategy<Value = String> {
    let limits = (8..99_u32).prop_map(|headers| format!("{{\"headers\":{headers}}}"));
    let first = (
        maybe("accounts", list(named(maybe("reveal", flag())), 2)),
        maybe("gateways", list(named(maybe("limits", limits)), 2)),
        maybe("services", list(service(), 2)),
        maybe("apis", list(api(), 2)),
    );
    let second = (
        maybe("applications", list(application(), 2)),
        maybe("consumers", list(consumer(), 2)),
        maybe("groups", list(described(maybe("members", list(member(), 2))), 2)),
        maybe("grants", list(grant(), 2)),
    );
    (first, second)
        .prop_map(|((a, b, c, d), (e, f, g, h))| format!("{{\"version\":1{a}{b}{c}{d}{e}{f}{g}{h}}}"))
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_the_same_world(text in world()) {
        let world = WorldFile::parse(&text, &nothing).map_err(|p| TestCaseError::fail(format!("{p:#?}\n{text}")))?.world;
        let yaml = write_yaml(&world).unwrap();
        let again = WorldFile::parse(&yaml, &nothing).map_err(|p| TestCaseError::fail(format!("{p:#?}\n{yaml}")))?.world;
        prop_assert_eq!(placeless(again), placeless(world.clone()), "{}", yaml);
        let json = write_json(&world).unwrap();
        let again = WorldFile::parse_json(json.as_bytes(), &nothing).unwrap().world;
        prop_assert_eq!(placeless(again), placeless(world), "{}", json);
    }

    #[test]
    fn a_patch_of_nothing_changes_nothing(text in world()) {
        let world = WorldFile::parse(&text, &nothing).unwrap().world;
        fn unchanged<T: Described + PartialEq + std::fmt::Debug>(spec: &T) {
            assert_eq!(&spec.patched(b"{}").unwrap(), spec);
        }
        world.accounts.iter().for_each(|spec| unchanged::<AccountSpec>(&spec.value));
        world.gateways.iter().for_each(|spec| unchanged::<GatewaySpec>(&spec.value));
        world.groups.iter().for_each(|spec| unchanged::<GroupSpec>(&spec.value));
        world.grants.iter().for_each(|spec| unchanged::<GrantSpec>(&spec.value));
        world.apis.iter().for_each(|spec| unchanged(&spec.value));
        world.services.iter().for_each(|spec| {
            unchanged(&ServiceSpec { service_auth: None, ..spec.value.clone() });
        });
        world.applications.iter().for_each(|spec| {
            unchanged(&ApplicationSpec { key_pairs: None, app_codes: Vec::new(), ..spec.value.clone() });
        });
        world.consumers.iter().for_each(|spec| {
            let mut spec = spec.value.clone();
            if let Some(jwt) = &mut spec.jwt { jwt.keys = JwtKeySource::Kept }
            unchanged(&ConsumerSpec { api_key: None, ..spec });
        });
    }
}

#[test]
fn a_written_file_says_no_more_than_it_must() {
    let text = "version: 1\nservices:\n- name: orders\n  endpoints:\n  - http://127.0.0.1:9000\napis:\n- name: orders\n  base_path: /orders\n  admits: [api_key]\n  signature: {window_s: 60}\n  stages:\n    RELEASE: {service: orders}\napplications:\n- name: shop\n  key_pairs:\n  - app_key: '1'\nconsumers:\n- name: a\n  jwt: {symmetric: true, issuer: me}\ngrants:\n- to: {application: shop}\n  api: orders\n";
    let world = WorldFile::parse(text, &nothing).unwrap().world;
    let written = write_yaml(&world).unwrap();
    let expected = "version: 1\nservices:\n- name: orders\n  endpoints:\n  - http://127.0.0.1:9000\napis:\n- name: orders\n  base_path: /orders\n  admits:\n  - api_key\n  stages:\n    RELEASE:\n      service: orders\n  signature:\n    window_s: 60\napplications:\n- name: shop\n  key_pairs:\n  - app_key: \"1\"\nconsumers:\n- name: a\n  jwt:\n    symmetric: true\n    issuer: me\ngrants:\n- to:\n    application: shop\n  api: orders\n";
    assert_eq!(written, expected, "{written}");
}

#[test]
fn a_patch_changes_only_what_it_names() {
    let api = |json: &str| keyward_model::ApiSpec::from_json(json.as_bytes()).unwrap();
    let before = api(
        r#"{"name":"a","admits":["jwt"],"description":"x","signature":{"window_s":60,"require_nonce":true}}"#,
    );
    let after = before.patched(br#"{"signature":{"window_s":30},"description":null}"#).unwrap();
    assert_eq!(
        after,
        api(r#"{"name":"a","admits":["jwt"],"signature":{"window_s":30,"require_nonce":true}}"#)
    );
    for (wrong, path) in [
        (r#"{"colour":null}"#, "colour"),
        (r#"{"admits":null}"#, ""),
        (r#"{"name":"b","name":"c"}"#, "name"),
        (r#"{"signature":{"mode":"strict","mode":"compatible"}}"#, "signature.mode"),
        (r#"{"signature":{"window_s":"30"}}"#, "signature.window_s"),
        (r#"{"enabled":"true"}"#, "enabled"),
        (r#"{"description":5}"#, "description"),
        ("[]", ""),
        ("{", ""),
    ] {
        let problems = before.patched(wrong.as_bytes()).expect_err(wrong);
        assert_eq!(problems[0].path, path, "{wrong} {problems:?}");
    }
}
