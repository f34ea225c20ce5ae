//! Modules, and the plugins that run them.

use std::sync::Arc;

use keyward_access::{CustomPlugin, PluginWork, ProblemKind, Snapshot, SnapshotUpdate};
use keyward_model::CredentialKind::Anyone;
use keyward_model::*;

use crate::plugins::stored;
use crate::world::{NOON, World, at, name, revision};

fn world(config: &str) -> (World, ModuleId, PluginId) {
    let mut world = World::new();
    let api = world.api("/orders", &[Anyone]);
    let module = world.module("hello");
    let plugin = world.plugin("hello", PluginOn::Api(api), config);
    (world, module, plugin)
}

fn put(module: &Module) -> SnapshotUpdate {
    SnapshotUpdate::UpsertModule(Box::new(module.clone()))
}

fn put_secret(secret: &Secret) -> SnapshotUpdate {
    SnapshotUpdate::UpsertSecret(Box::new(secret.clone()))
}

fn custom(snapshot: &Snapshot, plugin: PluginId) -> Arc<CustomPlugin> {
    match snapshot.plugin(plugin).unwrap().work() {
        PluginWork::Custom(custom) => Arc::clone(custom),
        other => panic!("{other:?}"),
    }
}

fn told(plugin: &CustomPlugin) -> Result<String, String> {
    let configuration = plugin.configuration(NOON)?;
    Ok(String::from_utf8(configuration.expose_json().to_vec()).unwrap())
}

#[test]
fn a_plugin_runs_the_module_that_it_names() {
    let (world, module, plugin) = world(r#"{"b": [1, 2.5, null, "x"], "a": {"price": "$$5", "n": true}}"#);
    let snapshot = world.snapshot();
    assert_eq!(snapshot.module_named(world.account, &name("hello")).unwrap().id, module);
    let custom = custom(&snapshot, plugin);
    assert_eq!((custom.plugin(), custom.account(), custom.module().id), (plugin, world.account, module));
    assert_eq!(told(&custom).unwrap(), r#"{"a":{"n":true,"price":"$5"},"b":[1,2.5,null,"x"]}"#);
}

#[test]
fn a_plugin_that_names_no_module_is_refused_or_closes_what_it_is_bound_to() {
    let (mut world, module, plugin) = world("{}");
    let module = world.modules.remove(&module).unwrap();
    let update = SnapshotUpdate::UpsertPlugin(Box::new(world.plugins[&plugin].clone()));
    let mut empty = world.clone();
    empty.plugins.clear();
    let without = empty.snapshot();
    let refused = without.apply(revision(2), std::slice::from_ref(&update)).unwrap_err();
    assert_eq!(refused.problems[0].text, "there is no built-in plugin and no module `hello`");
    assert_eq!(refused.problems[0].kind, ProblemKind::UnknownReference);
    let loaded = Snapshot::load(revision(1), crate::world::DIGEST_KEY, world.updates());
    assert_eq!(loaded.quarantined.len(), 1);
    assert!(matches!(loaded.snapshot.plugin(plugin).unwrap().work(), PluginWork::Broken(_)));
    // One of the same name that is another account's is none.
    let other = world.account("other");
    let accounts = SnapshotUpdate::UpsertAccount(world.accounts[&other].clone());
    let theirs = Module { account: other, ..module.clone() };
    let loaded = loaded.snapshot.apply(revision(2), &[accounts, put(&theirs)]).unwrap();
    assert!(matches!(loaded.plugin(plugin).unwrap().work(), PluginWork::Broken(_)));
    // Once it is there, the plugin does what it is for.
    let ours = Module { id: ModuleId::from_uuid(world.uuid()), ..module };
    let mended = loaded.apply(revision(3), &[put(&ours)]).unwrap();
    assert_eq!(told(&custom(&mended, plugin)).unwrap(), "{}");
}

#[test]
fn a_module_that_changes_compiles_its_plugins_anew_and_no_others() {
    let (mut world, module, plugin) = world("{}");
    let api = *world.apis.keys().next().unwrap();
    world.module("else");
    let other = world.plugin("else", PluginOn::Api(api), "{}");
    let before = world.snapshot();
    let mut changed = world.modules[&module].clone();
    changed.settings.wasm = ModuleCode::parse(&b"\0asm\x01\0\0\0new"[..]).unwrap();
    let after = before.apply(revision(2), &[put(&changed)]).unwrap();
    assert_ne!(custom(&before, plugin).digest(), custom(&after, plugin).digest());
    assert_eq!(custom(&after, plugin).module().settings.wasm, changed.settings.wasm);
    assert!(Arc::ptr_eq(before.plugin(other).unwrap(), after.plugin(other).unwrap()));
    // Calls of the API find it there.
    let bound = after.api(api).unwrap();
    assert!(!Arc::ptr_eq(before.api(api).unwrap(), bound));
    // What is looked at call by call needs no instance anew.
    changed.settings.on_failure = OnFailure::Skip;
    let skipping = after.apply(revision(3), &[put(&changed)]).unwrap();
    assert_eq!(custom(&after, plugin).digest(), custom(&skipping, plugin).digest());
    assert_eq!(custom(&skipping, plugin).module().settings.on_failure, OnFailure::Skip);
    changed.settings.limits.fuel += 1;
    let slower = skipping.apply(revision(4), &[put(&changed)]).unwrap();
    assert_ne!(custom(&skipping, plugin).digest(), custom(&slower, plugin).digest());
}

#[test]
fn what_is_in_use_stays() {
    let (mut world, module, plugin) = world("{}");
    world.modules.get_mut(&module).unwrap().services = vec![(name("authz"), world.service)];
    let snapshot = world.snapshot();
    let texts = |update: &[SnapshotUpdate]| {
        let problems = snapshot.apply(revision(2), update).unwrap_err().problems;
        problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("; ")
    };
    let remove = SnapshotUpdate::RemoveModule(module);
    assert_eq!(
        texts(std::slice::from_ref(&remove)),
        format!("{module}: `{plugin}` still needs it: remove or change that first")
    );
    let service = texts(&[SnapshotUpdate::RemoveService(world.service)]);
    assert!(service.contains(&format!("`{module}` still needs it")), "{service}");
    let renamed = Module { name: name("hallo"), ..world.modules[&module].clone() };
    assert!(texts(&[put(&renamed)]).contains("no module `hello`"));
    let both = snapshot.apply(revision(2), &[remove, SnapshotUpdate::RemovePlugin(plugin)]).unwrap();
    assert!(both.module(module).is_none() && both.module_named(world.account, &name("hello")).is_none());
    let account = texts(&[SnapshotUpdate::RemoveAccount(world.account)]);
    assert!(account.contains(&format!("`{module}` still needs it")), "{account}");
}

#[test]
fn a_module_that_is_wrong_by_itself_is_refused() {
    let (mut world, module, _) = world("{}");
    let snapshot = world.snapshot();
    let sound = world.modules[&module].clone();
    let other = world.account("other");
    let theirs = world.service(other);
    let snapshot = snapshot
        .apply(
            revision(2),
            &[
                SnapshotUpdate::UpsertAccount(world.accounts[&other].clone()),
                SnapshotUpdate::UpsertService(world.services[&theirs].clone()),
            ],
        )
        .unwrap();
    let fresh = ModuleId::from_uuid(world.uuid());
    let nowhere = ServiceId::from_uuid(world.uuid());
    let mut unbounded = sound.clone();
    unbounded.settings.limits.workers = 1000;
    for (wrong, why) in [
        (Module { id: fresh, ..sound.clone() }, "choose another name"),
        (Module { name: name("cors"), ..sound.clone() }, "built-in"),
        (Module { services: vec![(name("a"), theirs)], ..sound.clone() }, "another account"),
        (Module { services: vec![(name("a"), nowhere)], ..sound.clone() }, "does not exist"),
        (unbounded, "`workers`"),
    ] {
        let refused = snapshot.apply(revision(3), &[put(&wrong)]).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn secrets_are_resolved_wherever_they_stand_and_followed() {
    let config = r#"{"token":"Bearer $ref{token}","more":[{"same":"$ref{token}"}]}"#;
    let (mut world, _, plugin) = world(config);
    let nothing = world.snapshot();
    assert_eq!(told(&custom(&nothing, plugin)), Err("there is no secret `token`".to_owned()));
    let mut token = stored(&mut world, "token", "first \"value\"");
    let there = nothing.apply(revision(2), &[put_secret(&token)]).unwrap();
    let first = custom(&there, plugin);
    let json: serde_json::Value = serde_json::from_str(&told(&first).unwrap()).unwrap();
    assert_eq!(
        json,
        serde_json::json!({"token": "Bearer first \"value\"", "more": [{"same": "first \"value\""}]})
    );
    let secrets = first.configuration(NOON).unwrap().expose_secrets();
    assert_eq!(secrets.iter().map(Plaintext::expose_secret).collect::<Vec<_>>(), ["first \"value\""]);
    token.version = 2;
    token.spec.source = SecretSource::Stored(Some(Plaintext::new("second-value")));
    let previous = PreviousValue { version: 1, value: Some(Plaintext::new("first-value")), until: at(1_000) };
    token.spec.previous = Some(previous);
    let rotated = there.apply(revision(3), &[put_secret(&token)]).unwrap();
    let second = custom(&rotated, plugin);
    assert_ne!(first.digest(), second.digest());
    assert!(told(&second).unwrap().contains("second-value"));
    let hidden = second.configuration(NOON).unwrap().expose_secrets().len();
    assert_eq!(hidden, 2, "the one on its way out is not to be told either");
    for shown in [format!("{second:?}"), format!("{:?}", rotated.plugin(plugin).unwrap())] {
        assert!(!shown.contains("-value") && !shown.contains("first"), "{shown}");
    }
    // The same value again is the same plugin.
    token.spec.description = "for people".into();
    let same = rotated.apply(revision(4), &[put_secret(&token)]).unwrap();
    assert_eq!(custom(&same, plugin).digest(), second.digest());
}

#[test]
fn a_secret_that_is_not_to_be_had_closes_with_its_reason() {
    let (mut world, _, plugin) = world(r#"{"token":"$ref{token}"}"#);
    let mut token = stored(&mut world, "token", "s3cret-value");
    token.spec.valid_until = Some(at(60_000));
    let snapshot = world.snapshot().apply(revision(2), &[put_secret(&token)]).unwrap();
    let ours = custom(&snapshot, plugin);
    assert!(ours.configuration(at(59_999)).is_ok());
    assert!(ours.configuration(at(60_000)).unwrap_err().contains("no longer valid"));
    token.spec.destinations = Some(Vec::new());
    let elsewhere = snapshot.apply(revision(3), &[put_secret(&token)]).unwrap();
    assert!(told(&custom(&elsewhere, plugin)).unwrap_err().contains("some services only"));
    token.spec.destinations = None;
    token.spec.enabled = false;
    let disabled = elsewhere.apply(revision(4), &[put_secret(&token)]).unwrap();
    assert_eq!(told(&custom(&disabled, plugin)), Err("secret `token`: it is disabled".to_owned()));
    // Its use is noted, as that of any other.
    ours.configuration(NOON).unwrap().note_use(NOON);
    assert_eq!(snapshot.take_secret_uses(), [(token.id, 1, NOON)]);
}
