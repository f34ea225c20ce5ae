//! Plugins that admit callers, and what is bound to what.

use base64::Engine as _;
use keyward_access::{Basis, PluginWork, SnapshotUpdate};
use keyward_model::CredentialKind::{Anyone, ApiKey, AppSignature, Jwt};
use keyward_model::{DenyReason as R, *};

use crate::tokens::{secret, token};
use crate::world::{Call, NOON, World, at, get, name, operation, revision};

const KEY: &str = "partner-key-0123456789";
const OTHER: &str = "another-key-0123456789";

fn key_auth(extra: &str) -> String {
    format!(r#"{{"credentials":["{KEY}"],"keys":["x-api-key","apikey"]{extra}}}"#)
}

fn world(admits: &[CredentialKind], kind: &str, config: &str) -> (World, ApiId, PluginId) {
    let mut world = World::new();
    let api = world.api("/orders", admits);
    let plugin = world.plugin(kind, PluginOn::Api(api), config);
    (world, api, plugin)
}

/// The plugin that admits it, or why it is refused.
fn admitted(call: &Call, world: &World) -> Result<Option<PluginId>, R> {
    let permit = call.judge(&world.snapshot(), world.gateway).map_err(|denial| denial.reason)?;
    Ok(permit.plugin())
}

#[test]
fn a_key_that_the_plugin_was_told_opens_the_door() {
    let (world, _, plugin) = world(&[ApiKey], "key-auth", &key_auth(""));
    for call in [
        get("/orders").header("X-Api-Key", KEY),
        get("/orders").header("APIKEY", KEY),
        get(&format!("/orders?apikey={KEY}")),
        get(&format!("/orders?api%6bey={KEY}&a=b")),
    ] {
        assert_eq!(admitted(&call, &world), Ok(Some(plugin)));
    }
    let permit = get("/orders").header("x-api-key", KEY).judge(&world.snapshot(), world.gateway).unwrap();
    assert_eq!(permit.basis(), Basis::Plugin(plugin));
    assert_eq!((permit.caller(), permit.credential(), permit.grant()), (None, None, None));
}

#[test]
fn any_other_key_is_refused_with_its_reason() {
    let (world, _, _) = world(&[ApiKey], "key-auth", &key_auth(""));
    for (call, reason) in [
        (get("/orders"), R::CredentialMissing),
        (get("/orders").header("x-api-key", ""), R::CredentialMissing),
        (get("/orders").header("x-api-key", OTHER), R::CredentialUnknown),
        (get("/orders").header("x-api-key", "$ref{partner_key}"), R::CredentialUnknown),
        (get("/orders").bearer(KEY), R::CredentialUnknown),
        (get("/orders").header("x-api-key", KEY).header("apikey", KEY), R::CredentialAmbiguous),
        (get("/orders").header("x-api-key", KEY).header("x-api-key", KEY), R::CredentialAmbiguous),
        (get(&format!("/orders?apikey={KEY}")).header("x-api-key", KEY), R::CredentialAmbiguous),
        (get(&format!("/orders?apikey={KEY}&apikey={OTHER}")), R::CredentialAmbiguous),
        (get("/orders").header("x-api-key", KEY).bearer(OTHER), R::CredentialAmbiguous),
    ] {
        assert_eq!(admitted(&call, &world), Err(reason), "{:?} {:?}", call.headers, call.query);
    }
}

#[test]
fn keys_are_looked_for_only_where_they_may_be() {
    let (world, _, plugin) = world(&[ApiKey], "key-auth", &key_auth(r#","in_query":false"#));
    assert_eq!(admitted(&get(&format!("/orders?apikey={KEY}")), &world), Err(R::CredentialMissing));
    assert_eq!(admitted(&get("/orders?apikey=x").header("apikey", KEY), &world), Ok(Some(plugin)));
}

#[test]
fn a_plugin_that_admits_stands_in_the_place_of_anyone() {
    for admits in [&[Anyone][..], &[Anyone, ApiKey]] {
        let (world, _, plugin) = world(admits, "key-auth", &key_auth(""));
        assert_eq!(admitted(&get("/orders"), &world), Err(R::CredentialMissing));
        assert_eq!(admitted(&get("/orders").header("x-api-key", KEY), &world), Ok(Some(plugin)));
    }
}

#[test]
fn what_is_disabled_or_bound_elsewhere_opens_nothing() {
    let (mut world, _, plugin) = world(&[ApiKey], "key-auth", &key_auth(""));
    world.api("/else", &[ApiKey]);
    let call = get("/else").header("x-api-key", KEY);
    assert_eq!(admitted(&call, &world), Err(R::CredentialMissing), "the plugin is not bound there");
    world.plugins.get_mut(&plugin).unwrap().settings.enabled = false;
    let call = get("/orders").header("x-api-key", KEY);
    assert_eq!(admitted(&call, &world), Err(R::CredentialMissing));
}

#[test]
fn a_consumers_key_opens_the_door_beside_the_plugins() {
    let (mut world, api, plugin) = world(&[ApiKey], "key-auth", &key_auth(""));
    let bob = world.keyed(OTHER);
    world.callers.get_mut(&bob).unwrap().0.key_sources =
        vec![KeySource::Bearer, KeySource::Header("x-api-key".parse().unwrap())];
    let grant = world.grant(Grantee::Caller(bob), api);
    let decide = |call: &Call| call.judge(&world.snapshot(), world.gateway).map(|permit| permit.basis());
    // At a place of both, it is judged by both.
    assert_eq!(decide(&get("/orders").header("x-api-key", OTHER)).unwrap(), Basis::Grant(grant));
    assert_eq!(decide(&get("/orders").header("x-api-key", KEY)).unwrap(), Basis::Plugin(plugin));
    assert_eq!(decide(&get("/orders").bearer(OTHER)).unwrap(), Basis::Grant(grant));
    let both = decide(&get("/orders").bearer(OTHER).header("apikey", KEY));
    assert_eq!(both.unwrap_err().reason, R::CredentialAmbiguous);
    let unknown = decide(&get("/orders").header("x-api-key", "nobody-has-this-key"));
    assert_eq!(unknown.unwrap_err().reason, R::CredentialUnknown);
    let invalid = decide(&get("/orders").bearer("nobody-has-this-key"));
    assert_eq!(invalid.unwrap_err().reason, R::CredentialUnknown);
}

#[test]
fn a_name_and_its_password_open_the_door() {
    let config = r#"{"users":[{"name":"anna","password":"correct:horse"}],"realm":"staff"}"#;
    let (world, _, plugin) = world(&[ApiKey], "basic-auth", config);
    let basic = |text: &str| {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        get("/orders").header("Authorization", &format!("bAsIc {encoded}"))
    };
    assert_eq!(admitted(&basic("anna:correct:horse"), &world), Ok(Some(plugin)));
    for (call, reason) in [
        (basic("anna:correct"), R::CredentialUnknown),
        (basic("bob:correct:horse"), R::CredentialUnknown),
        (basic("anna"), R::CredentialMalformed),
        (get("/orders").header("Authorization", "Basic ???"), R::CredentialMalformed),
        (get("/orders"), R::CredentialMissing),
    ] {
        assert_eq!(admitted(&call, &world), Err(reason), "{:?}", call.headers);
    }
}

#[test]
fn a_token_of_the_plugins_keys_opens_the_door() {
    let (jwks, _) = JwkSet::symmetric("k", &secret("k")).unwrap();
    let jwks = jwks.expose_secret().replace('"', "\\\"");
    let config = format!(r#"{{"jwks":"{jwks}","claims":{{"tenant":"a"}},"audiences":["orders"]}}"#);
    let (world, _, plugin) = world(&[AppSignature], "jwt-auth", &config);
    let with = |key: &str, claims: &str| get("/orders").bearer(&token(key, claims));
    let good = r#""tenant":"a","aud":"orders""#;
    assert_eq!(admitted(&with("k", good), &world), Ok(Some(plugin)));
    assert_eq!(admitted(&with("k", good).at(at(300_000)), &world), Err(R::ProofExpired));
    assert!(admitted(&with("another", good), &world).is_err());
    for wrong in [r#""tenant":"b","aud":"orders""#, r#""tenant":"a","aud":"else""#, r#""aud":"orders""#] {
        assert!(admitted(&with("k", wrong), &world).is_err(), "{wrong}");
    }
    assert_eq!(admitted(&get("/orders"), &world), Err(R::CredentialMissing));
}

#[test]
fn credentials_of_plugins_do_not_go_on() {
    let (mut world, api, _) = world(&[ApiKey], "key-auth", &key_auth(""));
    world.edit(api, |api| api.settings.operations = vec![operation("GET /"), operation("GET /one")]);
    let on = PluginOn::Operation(api, operation("GET /one"));
    world.plugin("key-auth", on, r#"{"credentials":["third-key-0123456789"],"keys":["x-third"]}"#);
    let call = get("/orders");
    call.resolve(&world, |target| {
        let strip = target.strip();
        for name in ["X-API-Key", "apikey", "Authorization", "X-Third"] {
            assert!(strip.header(name), "{name}");
        }
        assert!(!strip.header("Accept"));
        assert_eq!(strip.query("a=1&apikey=x&b").as_deref(), Some("a=1&b"));
    })
    .unwrap();
}

#[test]
fn plugins_act_in_order() {
    let mut world = World::new();
    let api = world.api("/orders", &[Anyone]);
    world.edit(api, |api| api.settings.operations = vec![operation("GET /one"), operation("GET /two")]);
    let config = r#"{"allow":["127.0.0.1"]}"#;
    let one = PluginOn::Operation(api, operation("GET /one"));
    let late = world.plugin("ip-restriction", PluginOn::Api(api), config);
    world.plugins.get_mut(&late).unwrap().settings.order = 5;
    let of_one = world.plugin("ip-restriction", one, config);
    let of_api = world.plugin("ip-restriction", PluginOn::Api(api), config);
    let of_gateway = world.plugin("ip-restriction", PluginOn::Gateway(world.gateway), config);
    let first = world.plugin("ip-restriction", PluginOn::Api(api), config);
    world.plugins.get_mut(&first).unwrap().settings.order = -1;
    let off = world.plugin("ip-restriction", PluginOn::Api(api), config);
    world.plugins.get_mut(&off).unwrap().settings.enabled = false;
    let ids = |path: &str| -> Vec<PluginId> {
        get(path).resolve(&world, |target| target.plugins().iter().map(|e| e.plugin().id).collect()).unwrap()
    };
    assert_eq!(ids("/orders/one"), [of_gateway, first, of_api, late, of_one]);
    assert_eq!(ids("/orders/two"), [of_gateway, first, of_api, late]);
}

#[test]
fn a_change_of_a_plugin_is_seen_by_the_next_call_and_costs_no_route() {
    let (world, _, plugin) = world(&[ApiKey], "key-auth", &key_auth(""));
    let call = get("/orders").header("x-api-key", KEY);
    let snapshot = world.snapshot();
    let permit = call.judge(&snapshot, world.gateway).unwrap();
    assert_eq!(permit.still_holds(&snapshot, NOON), Ok(()));
    let gone = snapshot.apply(revision(2), &[SnapshotUpdate::RemovePlugin(plugin)]).unwrap();
    assert_eq!(call.judge(&gone, world.gateway).unwrap_err().reason, R::CredentialMissing);
    assert_eq!(permit.still_holds(&gone, NOON), Err(R::CredentialNotAdmitted));
    let back = SnapshotUpdate::UpsertPlugin(Box::new(world.plugins[&plugin].clone()));
    let back = gone.apply(revision(3), &[back]).unwrap();
    assert_eq!(permit.still_holds(&back, NOON), Ok(()));
    // The key that opened the door is taken away, another put in its place.
    let mut other = world.plugins[&plugin].clone();
    other.settings.config =
        PluginConfig::parse(&other.settings.kind, &key_auth("").replace(KEY, OTHER)).unwrap();
    let other = back.apply(revision(4), &[SnapshotUpdate::UpsertPlugin(Box::new(other))]).unwrap();
    assert_eq!(permit.still_holds(&other, NOON), Err(R::CredentialUnknown));
    assert_eq!(call.judge(&other, world.gateway).unwrap_err().reason, R::CredentialUnknown);
}

#[test]
fn what_a_plugin_is_bound_to_must_be_there() {
    let (mut world, api, plugin) = world(&[ApiKey], "key-auth", &key_auth(""));
    let snapshot = world.snapshot();
    let problem = |plugin: Plugin| {
        let update = SnapshotUpdate::UpsertPlugin(Box::new(plugin));
        snapshot.apply(revision(2), &[update]).unwrap_err().problems.remove(0).text
    };
    let sound = world.plugins[&plugin].clone();
    let nowhere = ApiId::from_uuid(world.uuid());
    assert!(problem(Plugin { on: PluginOn::Api(nowhere), ..sound.clone() }).contains("does not exist"));
    let undeclared = PluginOn::Operation(api, operation("GET /one"));
    assert!(problem(Plugin { on: undeclared, ..sound.clone() }).contains("operations"));
    let nobody = vec![(name("authz"), ServiceId::from_uuid(world.uuid()))];
    assert!(problem(Plugin { services: nobody, ..sound.clone() }).contains("does not exist"));
    let service = vec![(name("authz"), world.service(world.account))];
    let snapshot = world.snapshot();
    let authz = service[0].1;
    let calls = SnapshotUpdate::UpsertPlugin(Box::new(Plugin { services: service, ..sound }));
    let calls = snapshot.apply(revision(2), &[calls]).unwrap();
    let gone = calls.apply(revision(3), &[SnapshotUpdate::RemoveService(authz)]).unwrap_err();
    assert!(gone.problems[0].text.contains("still needs it"), "{gone}");
}

#[test]
fn grant_015_a_plugin_that_does_not_compile_is_refused_or_closes_what_it_is_bound_to() {
    let (mut world, api, _) = world(&[Anyone, Jwt], "request-block", r#"{"url_patterns":["("]}"#);
    let update = SnapshotUpdate::UpsertPlugin(Box::new(world.plugins.values().next().unwrap().clone()));
    world.plugins.clear();
    let good = world.snapshot();
    let refused = good.apply(revision(2), std::slice::from_ref(&update)).unwrap_err();
    assert!(refused.problems[0].text.contains("pattern"), "{refused}");
    let loaded = keyward_access::Snapshot::load(
        revision(2),
        crate::world::DIGEST_KEY,
        world.updates().into_iter().chain([update]),
    );
    assert_eq!(loaded.quarantined.len(), 1);
    let entry = loaded.snapshot.plugins().next().unwrap();
    assert!(matches!(entry.work(), PluginWork::Broken(_)));
    assert_eq!(entry.plugin().on, PluginOn::Api(api));
    get("/orders").with_head(|head| {
        let target = keyward_access::resolve(&loaded.snapshot, world.gateway, head).unwrap();
        assert_eq!(target.plugins().iter().count(), 1);
    });
}

#[test]
fn a_broken_plugin_that_was_to_admit_admits_nobody() {
    let (mut world, _, plugin) = world(&[Anyone], "key-auth", &key_auth(""));
    let closed = SnapshotUpdate::ClosePlugin(Box::new(world.plugins.remove(&plugin).unwrap()));
    let snapshot = world.snapshot().apply(revision(2), &[closed]).unwrap();
    for call in [get("/orders"), get("/orders").header("x-api-key", KEY)] {
        assert_eq!(call.judge(&snapshot, world.gateway).unwrap_err().reason, R::CredentialMissing);
    }
}

pub(crate) fn stored(world: &mut World, text: &str, value: &str) -> Secret {
    Secret {
        id: SecretId::from_uuid(world.uuid()),
        account: world.account,
        spec: SecretSpec {
            account: name("default"),
            name: name(text),
            description: String::new(),
            enabled: true,
            valid_until: None,
            source: SecretSource::Stored(Some(Plaintext::new(value))),
            previous: None,
            destinations: None,
            use_by: None,
            read_by: None,
        },
        version: 1,
        rotated: NOON,
    }
}

#[test]
fn a_key_by_reference_opens_the_door_as_long_as_the_secret_holds() {
    let config = r#"{"credentials":["$ref{partner_key}"],"keys":["x-api-key"]}"#;
    let (mut world, _, plugin) = world(&[ApiKey], "key-auth", config);
    let first = stored(&mut world, "partner_key", KEY);
    let put = |secret: &Secret| SnapshotUpdate::UpsertSecret(Box::new(secret.clone()));
    let judge = |snapshot: &keyward_access::Snapshot, value: &str| {
        let permit = get("/orders").header("x-api-key", value).judge(snapshot, world.gateway);
        permit.map(|permit| permit.plugin()).map_err(|denial| denial.reason)
    };
    let nothing = world.snapshot();
    for value in [KEY, "$ref{partner_key}"] {
        assert_eq!(judge(&nothing, value), Err(R::SecretUnresolvable), "there is no such secret");
    }
    let there = nothing.apply(revision(2), &[put(&first)]).unwrap();
    assert_eq!(judge(&there, KEY), Ok(Some(plugin)));
    assert_eq!(judge(&there, "$ref{partner_key}"), Err(R::CredentialUnknown));
    // With an overlap both values are accepted, then the new one alone.
    let mut second = first.clone();
    second.version = 2;
    second.spec.source = SecretSource::Stored(Some(Plaintext::new(OTHER)));
    let previous = PreviousValue { version: 1, value: Some(Plaintext::new(KEY)), until: at(1_000) };
    second.spec.previous = Some(previous);
    let rotated = there.apply(revision(3), &[put(&second)]).unwrap();
    assert_eq!((judge(&rotated, KEY), judge(&rotated, OTHER)), (Ok(Some(plugin)), Ok(Some(plugin))));
    let later = get("/orders").header("x-api-key", KEY).at(at(1_000)).judge(&rotated, world.gateway);
    assert_eq!(later.unwrap_err().reason, R::CredentialExpired);
    second.spec.enabled = false;
    let disabled = rotated.apply(revision(4), &[put(&second)]).unwrap();
    assert_eq!(judge(&disabled, OTHER), Err(R::SecretUnresolvable));
    let gone = rotated.apply(revision(4), &[SnapshotUpdate::RemoveSecret(second.id)]).unwrap();
    assert_eq!(judge(&gone, OTHER), Err(R::SecretUnresolvable));
}

#[test]
fn what_is_sent_is_the_current_value_and_only_where_it_may_be() {
    let config = r#"{"request":{"headers":{"set":[{"name":"x-token","value":"Bearer $ref{token}"}]}}}"#;
    let (mut world, _, plugin) = world(&[Anyone], "transform", config);
    let mut token = stored(&mut world, "token", "first");
    let put = |secret: &Secret| SnapshotUpdate::UpsertSecret(Box::new(secret.clone()));
    let kind = PluginKind::BuiltIn(BuiltIn::Transform);
    let text = world.plugins[&plugin].settings.config.secrets(&kind).remove(0).1;
    let value = |snapshot: &keyward_access::Snapshot| {
        let entry = snapshot.plugin(plugin).unwrap();
        entry.value_of(&text, NOON).map(|value| value.expose_secret().to_owned())
    };
    let snapshot = world.snapshot();
    assert_eq!(value(&snapshot), None);
    let snapshot = snapshot.apply(revision(2), &[put(&token)]).unwrap();
    assert_eq!(value(&snapshot).as_deref(), Some("Bearer first"));
    token.spec.source = SecretSource::Stored(Some(Plaintext::new("second")));
    token.spec.previous =
        Some(PreviousValue { version: 1, value: Some(Plaintext::new("first")), until: at(1_000) });
    let snapshot = snapshot.apply(revision(3), &[put(&token)]).unwrap();
    assert_eq!(value(&snapshot).as_deref(), Some("Bearer second"));
    token.spec.destinations = Some(Vec::new());
    let snapshot = snapshot.apply(revision(4), &[put(&token)]).unwrap();
    assert_eq!(value(&snapshot), None, "it says where it may be sent");
    assert!(!format!("{:?}", snapshot.plugin(plugin).unwrap()).contains("second"));
}
