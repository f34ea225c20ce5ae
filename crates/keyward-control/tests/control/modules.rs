//! Modules: tried before they are kept, kept by their digest, and not let go of while a plugin runs them.

use std::sync::{Arc, Mutex};

use keyward_access::{CustomPlugin, ModuleCheck, PluginWork};
use keyward_control::{Acting, Actor, ErrorKind, PluginFilter};
use keyward_model::*;
use uuid::Uuid;

use crate::node::*;

/// WebAssembly by its looks, told apart by a byte: `AGFzbQEAAAA` and that.
fn code(marker: u8) -> ModuleCode {
    ModuleCode::parse(vec![0, b'a', b's', b'm', 1, 0, 0, 0, marker]).unwrap()
}

fn spec(marker: u8) -> ModuleSpec {
    ModuleSpec {
        account: name("default"),
        name: name("hello"),
        services: vec![name("orders")],
        wasm: ModuleSource::Code(code(marker)),
        description: String::new(),
        enabled: true,
        on_failure: OnFailure::Refuse,
        sees: ModuleSees::default(),
        limits: ModuleLimits::default(),
    }
}

const ORDERS: &str = r#"
secrets: [{name: greeting, value: canary-greeting-0123456789}]
services: [{name: orders, endpoints: ["http://127.0.0.1:9000"]}]
apis: [{name: orders, base_path: /orders, admits: [anyone], stages: {RELEASE: {service: orders}}}]
"#;

const HELLO: &str = "plugins: [{plugin: hello, on: {api: orders}, config: {greeting: 'Hi $ref{greeting}'}}]";

/// Refuses code with the byte 13, and configurations that say `no`.
#[derive(Debug, Default)]
struct Picky {
    tried: Mutex<Vec<String>>,
}

impl ModuleCheck for Picky {
    fn check_module(&self, module: &Module) -> Result<(), String> {
        self.tried.lock().unwrap().push(format!("module {}", module.settings.wasm.bytes()[8]));
        if module.settings.wasm.bytes()[8] == 13 {
            Err("it imports what nobody has".to_owned())
        } else {
            Ok(())
        }
    }

    fn check_plugin(&self, plugin: &CustomPlugin) -> Result<(), String> {
        let told = plugin.configuration_at_any_time().unwrap();
        let text = String::from_utf8(told.expose_json().to_vec()).unwrap();
        self.tried.lock().unwrap().push(format!("plugin {text}"));
        if text.contains("no") { Err("it says no".to_owned()) } else { Ok(()) }
    }
}

async fn node() -> (Node, Arc<Picky>) {
    let node = Node::with(ORDERS).await;
    let picky = Arc::new(Picky::default());
    node.control.try_modules_by(picky.clone());
    (node, picky)
}

#[tokio::test]
async fn code_is_tried_before_it_is_kept_and_so_is_what_a_plugin_of_it_is_told() {
    let (node, picky) = node().await;
    let before = node.revision();
    let refused = node.control.modules().create(&OPERATOR, spec(13)).await.unwrap_err();
    assert_eq!(problems(&refused), [("wasm".to_owned(), "module_unusable")]);
    assert!(refused.to_string().contains("imports what nobody has"), "{refused}");
    assert_eq!(node.revision(), before);
    node.control.modules().create(&OPERATOR, spec(1)).await.unwrap();
    let refused =
        node.apply("plugins: [{plugin: hello, on: {api: orders}, config: {say: no}}]").await.unwrap_err();
    assert_eq!(problems(&refused), [("plugins[0].config".to_owned(), "module_unusable")]);
    node.apply(HELLO).await.unwrap();
    let tried = picky.tried.lock().unwrap().clone();
    assert_eq!(tried.last().unwrap(), r#"plugin {"greeting":"Hi canary-greeting-0123456789"}"#);

    // Other code takes its place only if it can.
    let other = |marker| {
        move |spec: &mut ModuleSpec| {
            spec.wasm = ModuleSource::Code(code(marker));
            Ok(())
        }
    };
    let refused = node.control.modules().change(&OPERATOR, named("hello"), other(13)).await.unwrap_err();
    assert_eq!(problems(&refused), [("wasm".to_owned(), "module_unusable")]);
    let snapshot = node.control.snapshots().load_full();
    assert_eq!(snapshot.modules().next().unwrap().settings.wasm, code(1));
    node.control.modules().change(&OPERATOR, named("hello"), other(2)).await.unwrap();
    let snapshot = node.control.snapshots().load_full();
    let runs = snapshot.plugins().next().unwrap();
    let PluginWork::Custom(runs) = runs.work() else { panic!("{runs:?}") };
    assert_eq!(runs.module().settings.wasm, code(2), "the plugin runs what is there now");
}

#[tokio::test]
async fn it_is_shown_and_exported_by_its_digest_which_keeps_it() {
    let (node, _) = node().await;
    node.control.modules().create(&OPERATOR, spec(1)).await.unwrap();
    let shown = node.control.modules().get(&OPERATOR, named("hello")).await.unwrap();
    assert_eq!(shown.spec.wasm, ModuleSource::Stored(code(1).sha256().into()));
    let exported = node.control.export(&OPERATOR, Vec::new()).await.unwrap();
    let yaml = keyward_api::write_yaml(&exported).unwrap().replacen("version: 1\n", "", 1);
    assert!(yaml.contains(code(1).sha256()), "{yaml}");
    let before = node.revision();
    let applied = node.prune(&yaml).await.unwrap();
    assert_eq!((words(&applied.changed), words(&applied.removed), node.revision()), (vec![], vec![], before));
    let error = Node::with(ORDERS).await.apply(&yaml).await.unwrap_err();
    assert_eq!(problems(&error), [("modules[0].wasm".to_owned(), "module_missing")]);
    let described = |spec: &mut ModuleSpec| {
        spec.description = "says hello".to_owned();
        Ok(())
    };
    node.control.modules().change(&OPERATOR, named("hello"), described).await.unwrap();
    let snapshot = node.control.snapshots().load_full();
    assert_eq!(snapshot.modules().next().unwrap().settings.wasm, code(1));
    let node = node.restarted().await;
    let snapshot = node.control.snapshots().load_full();
    assert_eq!(snapshot.modules().next().unwrap().settings.wasm, code(1));
}

#[tokio::test]
async fn a_module_stays_while_a_plugin_runs_it_and_a_service_while_a_module_may_call_it() {
    let (node, _) = node().await;
    let missing = node.apply(HELLO).await.unwrap_err();
    assert_eq!(problems(&missing), [("plugins[0].plugin".to_owned(), "module_unknown")]);
    node.control.modules().create(&OPERATOR, spec(1)).await.unwrap();
    node.apply(HELLO).await.unwrap();
    let users = |error: keyward_control::ControlError| {
        assert_eq!(error.kind(), ErrorKind::InUse);
        error.users().iter().map(|user| user.name.clone()).collect::<Vec<_>>()
    };
    let refused = node.control.modules().delete(&OPERATOR, named("hello"), false).await.unwrap_err();
    assert_eq!(users(refused), ["hello on orders"]);
    assert_eq!(node.prune("modules: []").await.unwrap_err().code(), "in_use");
    let references =
        node.control.secrets().references(&OPERATOR, named("greeting"), None, None).await.unwrap();
    assert_eq!((references.items[0].noun, &*references.items[0].field), (Noun::Plugin, "config.greeting"));
    let refused = node.control.services().delete(&OPERATOR, named("orders"), false).await.unwrap_err();
    assert_eq!(users(refused), ["orders", "hello"]);
    let pruned = node.prune("modules: []\nplugins: []").await.unwrap();
    assert_eq!(words(&pruned.removed), ["plugin hello on orders", "module hello"]);
    assert!(node.control.plugins().list(&OPERATOR, PluginFilter::default()).await.unwrap().items.is_empty());
    let renamed = |spec: &mut ModuleSpec| {
        spec.name = name("bye");
        Ok(())
    };
    node.control.modules().create(&OPERATOR, spec(1)).await.unwrap();
    let refused = node.control.modules().change(&OPERATOR, named("hello"), renamed).await.unwrap_err();
    assert_eq!(refused.code(), "module_renamed");
}

#[tokio::test]
async fn only_owners_upload_code_admin_030() {
    let (node, picky) = node().await;
    let account = node.control.accounts().get(&OPERATOR, named("default")).await.unwrap().id;
    for role in [Role::Admin, Role::Developer, Role::Auditor, Role::Viewer] {
        let actor = Actor::Operator(Arc::new(Acting {
            id: OperatorId::from_uuid(Uuid::from_u128(79)),
            name: name("somebody"),
            roles: vec![RoleIn { account: Some(account), role }],
            token: None,
        }));
        let refused = node.control.modules().create(&actor, spec(1)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{role:?}");
        let world = World { modules: vec![located(spec(1))], ..World::default() };
        let refused = node.control.apply(&actor, world, Default::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forbidden, "{role:?}");
    }
    assert!(picky.tried.lock().unwrap().is_empty(), "what nobody may upload is not compiled either");
    let owner = Actor::Operator(Arc::new(Acting {
        id: OperatorId::from_uuid(Uuid::from_u128(79)),
        name: name("owner"),
        roles: vec![RoleIn { account: Some(account), role: Role::Owner }],
        token: None,
    }));
    node.control.modules().create(&owner, spec(1)).await.unwrap();
}

fn located<T>(value: T) -> Located<T> {
    Located { place: Place { path: "modules[0]".to_owned(), ..Place::default() }, value }
}
