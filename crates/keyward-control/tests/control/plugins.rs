//! Plugins: bound, matched by what they do and to what, shown without their secrets, and never let go of unseen.

use std::sync::Arc;

use keyward_access::PluginWork;
use keyward_control::{Acting, Actor, ApplyOptions, ErrorKind, ObjectRef, PluginFilter, PluginView};
use keyward_model::*;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use uuid::Uuid;

use crate::node::*;

const KEY: &str = "canary-partner-key-0123456789";
const LITERAL: &str = "canary-literal-key-9876543210";

/// The document's example, a key that is written out beside it, and a limit.
fn guarded() -> String {
    format!(
        r#"
secrets: [{{name: partner_key, value: {KEY}}}]
services:
  - {{name: orders, endpoints: ["http://127.0.0.1:9000"]}}
  - {{name: authz, endpoints: ["http://127.0.0.1:9001"]}}
apis:
  - name: orders
    base_path: /orders
    admits: [api_key]
    operations: [{{method: GET, path: "/{{id}}"}}, {{method: POST, path: /}}]
    stages: {{RELEASE: {{service: orders}}}}
plugins:
  - plugin: key-auth
    on: {{api: orders}}
    config:
      credentials: ["$ref{{partner_key}}", {LITERAL}]
      keys: [apikey, x-api-key]
limits:
  - {{on: {{api: orders, operation: "GET /{{id}}"}}, by: caller, requests: 100, per: 1m, concurrency: 10}}
"#
    )
}

fn operator(account: AccountId, name: &str, role: Role) -> Actor {
    Actor::Operator(Arc::new(Acting {
        id: OperatorId::from_uuid(Uuid::from_u128(78)),
        name: name.parse().unwrap(),
        roles: vec![RoleIn { account: Some(account), role }],
        token: None,
    }))
}

async fn plugins(node: &Node) -> Vec<PluginView> {
    node.control.plugins().list(&OPERATOR, PluginFilter::default()).await.unwrap().items
}

async fn the_one(node: &Node, kind: &str) -> PluginView {
    let mut found: Vec<_> =
        plugins(node).await.into_iter().filter(|view| view.spec.settings.kind.to_string() == kind).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn config(view: &PluginView) -> String {
    view.spec.settings.config.json().to_text()
}

/// The configuration that calls of `orders` meet, as far as the Snapshot has one that works.
fn works(node: &Node, id: PluginId) -> bool {
    let snapshot = node.control.snapshots().load_full();
    let entry = snapshot.plugin(id).unwrap();
    !matches!(entry.work(), PluginWork::Broken(_)) && entry.trouble().is_none()
}

#[tokio::test]
async fn applying_twice_changes_nothing_and_an_export_keeps_what_it_does_not_show() {
    let node = Node::with(&guarded()).await;
    let before = node.revision();
    let again = node.apply(&guarded()).await.unwrap();
    assert_eq!((words(&again.changed), words(&again.created)), (Vec::new(), Vec::new()));
    assert_eq!(node.revision(), before);
    assert!(words(&again.unchanged).contains(&"plugin key-auth on orders".to_owned()), "{again:?}");
    assert!(words(&again.unchanged).contains(&"plugin rate-limit on orders GET /{id}".to_owned()));

    let exported = node.control.export(&OPERATOR, Vec::new()).await.unwrap();
    let yaml = keyward_api::write_yaml(&exported).unwrap();
    assert!(!yaml.contains(LITERAL) && !yaml.contains(KEY), "{yaml}");
    assert!(yaml.contains("$ref{partner_key}") && yaml.contains("$stored{"), "{yaml}");
    let applied = node.prune(&yaml.replacen("version: 1\n", "", 1)).await.unwrap();
    assert_eq!((words(&applied.changed), words(&applied.removed)), (Vec::new(), Vec::new()));
    assert_eq!(node.revision(), before);

    // Elsewhere there is nothing that such a mark could stand for.
    let error = Node::new().await.apply(&yaml.replacen("version: 1\n", "", 1)).await.unwrap_err();
    assert!(
        problems(&error).contains(&("plugins[0].config.credentials[1]".to_owned(), "config_invalid")),
        "{error}"
    );
}

#[tokio::test]
async fn a_plugin_is_shown_with_marks_and_a_mark_that_is_left_out_takes_its_secret_along() {
    let node = Node::with(&guarded()).await;
    let shown = the_one(&node, "key-auth").await;
    assert!(!config(&shown).contains("canary"), "{shown:?}");
    let describe = |spec: &mut PluginSpec| {
        spec.settings.description = "for partners".to_owned();
        Ok(())
    };
    let changed = node.control.plugins().change(&OPERATOR, ObjectRef::Id(shown.id), describe).await.unwrap();
    assert_eq!(config(&changed.object), config(&shown));
    let snapshot = node.control.snapshots().load_full();
    let stored = snapshot.plugin(shown.id).unwrap().plugin().settings.config.json().to_text();
    assert!(stored.contains(LITERAL), "a mark stands for what is stored");

    let only_the_reference = |spec: &mut PluginSpec| {
        let kind = &spec.settings.kind;
        let text = r#"{"credentials":["$ref{partner_key}"],"keys":["apikey"]}"#;
        spec.settings.config = PluginConfig::parse(kind, text).unwrap();
        Ok(())
    };
    node.control.plugins().change(&OPERATOR, ObjectRef::Id(shown.id), only_the_reference).await.unwrap();
    let snapshot = node.control.snapshots().load_full();
    let stored = snapshot.plugin(shown.id).unwrap().plugin().settings.config.json().to_text();
    assert!(!stored.contains(LITERAL), "{stored}");
    let back = move |spec: &mut PluginSpec| {
        spec.settings = shown.spec.settings;
        Ok(())
    };
    let error = node.control.plugins().change(&OPERATOR, ObjectRef::Id(changed.object.id), back).await;
    assert_eq!(problems(&error.unwrap_err()), [("config.credentials[1]".to_owned(), "config_invalid")]);
}

#[tokio::test]
async fn the_secret_lists_it_and_stays_while_it_refers_to_it() {
    let node = Node::with(&guarded()).await;
    let secrets = node.control.secrets();
    let references = secrets.references(&OPERATOR, named("partner_key"), None, None).await.unwrap().items;
    let [one] = &*references else { panic!("{references:?}") };
    let keys = the_one(&node, "key-auth").await;
    assert_eq!(
        (one.noun, &*one.id, &*one.name, &*one.field),
        (Noun::Plugin, &*keys.id.to_string(), "key-auth on orders", "config.credentials[0]")
    );
    let refused = secrets.delete(&OPERATOR, named("partner_key"), false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    let warned = secrets.set_enabled(&OPERATOR, named("partner_key"), false).await.unwrap();
    assert!(warned.warnings.iter().any(|warning| warning.text.contains("key-auth on orders")), "{warned:?}");
    let trouble = the_one(&node, "key-auth").await.trouble.unwrap();
    assert_eq!(trouble, "`credentials[0]`: secret `partner_key`: it is disabled");
    secrets.set_enabled(&OPERATOR, named("partner_key"), true).await.unwrap();
    assert_eq!(the_one(&node, "key-auth").await.trouble, None);

    let refused = secrets.rotate(&OPERATOR, named("partner_key"), Some(Plaintext::new("short")), 0).await;
    assert_eq!(refused.unwrap_err().code(), "secret_unfit");
    node.control.plugins().delete(&OPERATOR, ObjectRef::Id(keys.id), false).await.unwrap();
    assert_eq!(secrets.get(&OPERATOR, named("partner_key")).await.unwrap().references, 0);
    secrets.delete(&OPERATOR, named("partner_key"), false).await.unwrap();
}

#[tokio::test]
async fn pruning_goes_by_what_the_file_names() {
    let node = Node::with(&guarded()).await;
    let applied = node.prune("limits: []").await.unwrap();
    assert_eq!(words(&applied.removed), ["plugin rate-limit on orders GET /{id}"]);
    node.apply("limits: [{on: {api: orders}, concurrency: 3}]").await.unwrap();
    let applied =
        node.prune("plugins: [{plugin: rate-limit, on: {api: orders}, config: {concurrency: 4}}]").await;
    let applied = applied.unwrap();
    assert_eq!(words(&applied.removed), ["plugin key-auth on orders"]);
    assert_eq!(words(&applied.changed), ["plugin rate-limit on orders"], "a limit is a plugin");
    let pruned = node.prune("apis: []\nservices: []").await.unwrap();
    assert!(words(&pruned.removed).contains(&"api orders".to_owned()), "{pruned:?}");
    assert!(plugins(&node).await.is_empty(), "what was bound to it went along");
}

#[tokio::test]
async fn several_of_a_kind_are_matched_in_the_order_of_the_file() {
    let node = Node::with(&guarded()).await;
    let two = |first: u32, second: u32| {
        format!(
            "plugins:\n  - {{plugin: custom-response, on: {{api: orders}}, config: {{status: {first}}}}}\n  - {{plugin: custom-response, on: {{api: orders}}, config: {{status: {second}}}}}\n"
        )
    };
    node.apply(&two(410, 451)).await.unwrap();
    let ids: Vec<_> = plugins(&node).await.iter().skip(2).map(|view| view.id).collect();
    let applied = node.apply(&two(410, 403)).await.unwrap();
    assert_eq!((applied.changed.len(), applied.unchanged.len()), (1, 1));
    let views = plugins(&node).await;
    assert_eq!(views.iter().skip(2).map(|view| view.id).collect::<Vec<_>>(), ids);
    assert_eq!(config(&views[3]), r#"{"status":403}"#);
}

#[tokio::test]
async fn an_api_goes_with_its_plugins_and_says_so_and_a_service_stays_while_one_calls_it() {
    let node = Node::with(&guarded()).await;
    node.apply("plugins: [{plugin: ext-auth, on: {api: orders}, config: {service: authz}}]").await.unwrap();
    let refused = node.control.services().delete(&OPERATOR, named("authz"), true).await.unwrap_err();
    assert_eq!(refused.users().iter().map(|user| &*user.name).collect::<Vec<_>>(), ["ext-auth on orders"]);
    let dry = node.control.apis().delete(&OPERATOR, named("orders"), true).await.unwrap();
    let along: Vec<_> = dry.along.iter().map(|user| (user.noun, user.name.as_str())).collect();
    assert_eq!(
        along,
        [
            (Noun::Plugin, "key-auth on orders"),
            (Noun::Plugin, "rate-limit on orders GET /{id}"),
            (Noun::Plugin, "ext-auth on orders"),
        ]
    );
    let without_it = |spec: &mut ApiSpec| {
        spec.settings.operations.remove(0);
        Ok(())
    };
    let refused = node.control.apis().change(&OPERATOR, named("orders"), without_it).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse, "a limit is bound to that operation: {refused}");
    node.control.apis().delete(&OPERATOR, named("orders"), false).await.unwrap();
    assert!(plugins(&node).await.is_empty());
    node.control.services().delete(&OPERATOR, named("authz"), false).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_told_where_it_stands() {
    let node = Node::with(&guarded()).await;
    node.apply("accounts: [{name: partner}]\nsecrets: [{name: tiny, value: tiny}]").await.unwrap();
    for (entry, path, code) in [
        ("{plugin: cors, on: {api: nobody}, config: {origins: ['*']}}", "on.api", "api_unknown"),
        ("{plugin: cors, on: {gateway: nobody}, config: {origins: ['*']}}", "on.gateway", "gateway_unknown"),
        (
            "{plugin: cors, account: partner, on: {gateway: default}, config: {origins: ['*']}}",
            "on.gateway",
            "plugin_on_gateway",
        ),
        (
            "{plugin: cors, account: partner, on: {api: orders}, config: {origins: ['*']}}",
            "on.api",
            "api_unknown",
        ),
        (
            "{plugin: cors, on: {api: orders, operation: {method: PUT, path: /}}, config: {origins: ['*']}}",
            "on.operation",
            "operation_unknown",
        ),
        (
            "{plugin: ext-auth, on: {api: orders}, config: {service: nobody}}",
            "config.service",
            "service_unknown",
        ),
        (
            "{plugin: key-auth, on: {api: orders}, config: {credentials: ['$ref{nobody}'], keys: [a]}}",
            "config.credentials[0]",
            "secret_unknown",
        ),
        (
            "{plugin: key-auth, on: {api: orders}, config: {credentials: ['$ref{tiny}'], keys: [a]}}",
            "config.credentials[0]",
            "secret_unfit",
        ),
        (
            "{plugin: key-auth, on: {api: orders}, config: {credentials: ['$stored{0123456789abcdef}'], keys: [a]}}",
            "config.credentials[0]",
            "config_invalid",
        ),
        (
            "{plugin: transform, on: {gateway: default}, config: {request: {headers: {set: [{name: x-a, value: '$ref{partner_key}'}]}}}}",
            "config.request.headers.set[0].value",
            "secret_destination",
        ),
    ] {
        let before = node.revision();
        let error = node.apply(&format!("plugins: [{entry}]")).await.unwrap_err();
        assert_eq!(problems(&error), [(format!("plugins[0].{path}"), code)], "{entry}");
        assert_eq!(node.revision(), before);
    }
}

#[tokio::test]
async fn only_who_may_use_a_secret_puts_it_into_a_plugin_or_leads_elsewhere_what_one_sends_secret_014() {
    let node = Node::with(&guarded()).await;
    let account = node.control.accounts().get(&OPERATOR, named("default")).await.unwrap().id;
    let developer = operator(account, "dev", Role::Developer);
    let sends = "plugins: [{plugin: transform, on: {api: orders}, config: {request: {headers: {set: [{name: x-a, value: 'Bearer $ref{partner_key}'}]}}}}]";
    let as_developer =
        async |text: &str| node.control.apply(&developer, world(text), ApplyOptions::default()).await;
    let refused = as_developer(sends).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Forbidden, "secret_use"));
    node.apply(sends).await.unwrap();

    // What the plugin sends goes where the API leads: neither the service's address nor the stage is moved without leave.
    let moved = |spec: &mut ServiceSpec| {
        spec.endpoints = vec![EndpointSpec { url: "http://127.0.0.2:9000".parse().unwrap(), weight: 1 }];
        Ok(())
    };
    let refused = node.control.services().change(&developer, named("orders"), moved).await.unwrap_err();
    assert_eq!(refused.code(), "secret_use");
    let elsewhere = |spec: &mut ApiSpec| {
        spec.stages.get_mut(&Stage::Release).unwrap().service = name("authz");
        Ok(())
    };
    let refused = node.control.apis().change(&developer, named("orders"), elsewhere).await.unwrap_err();
    assert_eq!(refused.code(), "secret_use");
    let described = |spec: &mut ApiSpec| {
        spec.settings.description = "the same place".to_owned();
        Ok(())
    };
    node.control.apis().change(&developer, named("orders"), described).await.unwrap();
    node.control.services().change(&OPERATOR, named("orders"), moved).await.unwrap();
    node.control.apis().change(&OPERATOR, named("orders"), elsewhere).await.unwrap();

    // A secret that says where it may go goes nowhere by a plugin.
    let bind = |spec: &mut SecretSpec| {
        spec.destinations = Some(vec!["127.0.0.1:9000".parse().unwrap()]);
        Ok(())
    };
    node.control.secrets().change(&OPERATOR, named("partner_key"), bind).await.unwrap();
    let error = node.apply(sends).await.unwrap_err();
    assert_eq!(error.code(), "secret_destination");

    // A gateway is everybody's: to bind something to one takes the right to change it.
    let on_gateway =
        "plugins: [{plugin: ip-restriction, on: {gateway: default}, config: {deny: [192.0.2.0/24]}}]";
    let refused = as_developer(on_gateway).await.unwrap_err();
    assert_eq!(problems(&refused), [("plugins[0].on.gateway".to_owned(), "plugin_on_gateway")]);
    node.apply(on_gateway).await.unwrap();
    let bound = the_one(&node, "ip-restriction").await.id;
    let plugins = node.control.plugins();
    for refused in [
        plugins.set_enabled(&developer, ObjectRef::Id(bound), false).await.map(drop),
        plugins.delete(&developer, ObjectRef::Id(bound), false).await.map(drop),
        node.control
            .apply(&developer, world("plugins: []"), ApplyOptions { prune: true, dry_run: false })
            .await
            .map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), "plugin_on_gateway");
    }
    plugins.delete(&OPERATOR, ObjectRef::Id(bound), false).await.unwrap();
}

#[tokio::test]
async fn a_mark_keeps_a_secret_where_it_is_and_takes_it_nowhere_else() {
    let node = Node::with(&guarded()).await;
    let apis = "apis: [{name: mine, base_path: /mine, admits: [jwt], stages: {RELEASE: {service: authz}}}]";
    node.apply(apis).await.unwrap();
    let keys = the_one(&node, "key-auth").await.id;
    let elsewhere = |spec: &mut PluginSpec| {
        spec.on = PluginOn::Api(name("mine"));
        Ok(())
    };
    let refused = node.control.plugins().change(&OPERATOR, ObjectRef::Id(keys), elsewhere).await.unwrap_err();
    assert_eq!(problems(&refused), [("config.credentials[1]".to_owned(), "config_invalid")]);
}

#[tokio::test]
async fn another_accounts_plugins_are_not_there() {
    let node = Node::with(&guarded()).await;
    node.apply("accounts: [{name: partner}]").await.unwrap();
    let partner = node.control.accounts().get(&OPERATOR, named("partner")).await.unwrap().id;
    let theirs = operator(partner, "they", Role::Owner);
    let ours = the_one(&node, "key-auth").await.id;
    let plugins = node.control.plugins();
    assert!(plugins.list(&theirs, PluginFilter::default()).await.unwrap().items.is_empty());
    let nothing = |_: &mut PluginSpec| Ok(());
    for refused in [
        plugins.get(&theirs, ObjectRef::Id(ours)).await.map(drop),
        plugins.change(&theirs, ObjectRef::Id(ours), nothing).await.map(drop),
        plugins.set_enabled(&theirs, ObjectRef::Id(ours), false).await.map(drop),
        plugins.delete(&theirs, ObjectRef::Id(ours), false).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let filter = PluginFilter { api: Some(named("orders")), ..PluginFilter::default() };
    assert_eq!(plugins.list(&theirs, filter).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_restart_finds_them_and_one_that_cannot_be_read_closes_what_it_is_bound_to() {
    let node = Node::with(&guarded()).await;
    let keys = the_one(&node, "key-auth").await.id;
    let node = node.restarted().await;
    assert!(works(&node, keys));
    // The database is altered by hand while the node is down, and so is the node's own copy of it gone.
    node.control.close().await;
    let file = node.data_dir().join("keyward.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut database = options.connect().await.unwrap();
    database.execute("UPDATE plugins SET config = x'00'").await.unwrap();
    database.close().await.unwrap();
    std::fs::remove_file(node.data_dir().join("copy")).ok();
    let node = node.restarted().await;
    assert!(!works(&node, keys));
    let shown = the_one(&node, "key-auth").await;
    assert!(shown.trouble.unwrap().contains("cannot be read"));
    let describe = |spec: &mut PluginSpec| {
        spec.settings.description = "lost".to_owned();
        Ok(())
    };
    let error = node.control.plugins().change(&OPERATOR, ObjectRef::Id(keys), describe).await.unwrap_err();
    assert_eq!(problems(&error), [("config".to_owned(), "config_unreadable")]);
    node.apply(&guarded()).await.unwrap();
    assert!(works(&node, keys), "given anew, it works");
}
