//! Plugins: bound to what there is, sealed as a whole, and never forgotten because they cannot be read.

use keyward_model::*;
use keyward_store::*;

use crate::world::*;

fn of_plugins(records: &[Record]) -> Vec<Plugin> {
    let plugin = |record: &Record| match record {
        Record::Plugin(plugin) => Some((**plugin).clone()),
        _ => None,
    };
    records.iter().filter_map(plugin).collect()
}

async fn listed(store: &Store, of: PluginsOf) -> Vec<PluginId> {
    let mut reader = store.reader().await.unwrap();
    let found = reader.reads().list_plugins(&of, &ListPage::first(10)).await.unwrap();
    found.into_iter().map(|found| found.object.id).collect()
}

async fn lists_are_narrowed_by_what_they_are_bound_to_and_what_they_do(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let plugins = of_plugins(&records);
    let [keys, asks, ours] = &*plugins else { panic!("{plugins:?}") };
    assert_eq!(listed(&store, PluginsOf::default()).await, [keys.id, asks.id, ours.id]);
    let api = keys.on.api().copied();
    assert_eq!(listed(&store, PluginsOf { api, ..PluginsOf::default() }).await, [keys.id, asks.id]);
    let PluginOn::Gateway(gateway) = ours.on else { panic!() };
    let of = PluginsOf { gateway: Some(gateway), ..PluginsOf::default() };
    assert_eq!(listed(&store, of).await, [ours.id]);
    let kind = Some(keys.settings.kind.clone());
    assert_eq!(listed(&store, PluginsOf { kind, ..PluginsOf::default() }).await, [keys.id]);
    let of = PluginsOf { enabled: Some(false), ..PluginsOf::default() };
    assert_eq!(listed(&store, of).await, [ours.id]);
    let nobody = PluginsOf::within(AccountId::from_uuid(uuid::Uuid::from_u128(99)));
    assert_eq!(listed(&store, nobody).await, []);

    let mut reader = store.reader().await.unwrap();
    let mut reads = reader.reads();
    let ids = |found: Vec<Stored<Plugin>>| found.into_iter().map(|one| one.object.id).collect::<Vec<_>>();
    assert_eq!(ids(reads.plugins_on_apis(&[api.unwrap()]).await.unwrap()), [keys.id, asks.id]);
    assert_eq!(ids(reads.plugins_on_gateways(&[gateway]).await.unwrap()), [ours.id]);
    let (_, called) = asks.services[0];
    assert_eq!(ids(reads.plugins_calling(called).await.unwrap()), [asks.id]);
    let another = ServiceId::from_uuid(uuid::Uuid::from_u128(99));
    assert_eq!(ids(reads.plugins_calling(another).await.unwrap()), []);
}

async fn what_it_refers_to_follows_its_configuration(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let mut keys = of_plugins(&records).remove(0);
    let secret = secret(8, &account(1)).id;
    let fields = async || {
        let mut reader = store.reader().await.unwrap();
        let rows = reader.reads().references_to(secret, None, 100).await.unwrap();
        rows.into_iter().filter(|row| row.noun == "plugin").map(|row| row.field).collect::<Vec<_>>()
    };
    assert_eq!(fields().await, ["config.credentials[0]"]);
    let config = r#"{"credentials":["0123456789abcdef","$ref{secret_8}"],"keys":["apikey"]}"#;
    keys.settings.config = PluginConfig::parse(&keys.settings.kind, config).unwrap();
    put(&store, &[Record::Plugin(Box::new(keys.clone()))]).await;
    assert_eq!(fields().await, ["config.credentials[1]"]);

    let mut tx = store.write().await.unwrap();
    tx.begin_change(at(2_000), "test").await.unwrap();
    let refused = tx.delete(&RecordId::Secret(secret)).await;
    assert!(matches!(refused, Err(StoreError::Contradiction(_))), "{refused:?}");
    tx.abandon_change().await.unwrap();
    tx.begin_change(at(2_000), "test").await.unwrap();
    let config = r#"{"credentials":["$ref{nobody}"],"keys":["apikey"]}"#;
    let mut unknown = keys.clone();
    unknown.settings.config = PluginConfig::parse(&keys.settings.kind, config).unwrap();
    let refused = tx.put(&Record::Plugin(Box::new(unknown))).await;
    assert!(matches!(refused, Err(StoreError::Contradiction(_))), "{refused:?}");
    tx.abandon_change().await.unwrap();
    tx.begin_change(at(2_000), "test").await.unwrap();
    tx.delete(&RecordId::Plugin(keys.id)).await.unwrap();
    tx.end_change(Vec::new()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(fields().await, [] as [&str; 0]);
}

async fn a_configuration_that_cannot_be_read_leaves_the_plugin_where_it_is_bound(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let keys = of_plugins(&records).remove(0);
    // A thief of old backups puts an older configuration back, whose keys were taken away.
    place
        .meddle(&format!("UPDATE plugins SET config_version = config_version + 1 WHERE id = '{}'", keys.id))
        .await;
    let (loaded, bad) = load(&store).await;
    assert_eq!(bad.len(), 0, "{bad:?}");
    let found = of_plugins(&loaded).into_iter().find(|plugin| plugin.id == keys.id).unwrap();
    assert!(found.settings.config.is_unreadable());
    assert_eq!((found.on, found.settings.enabled), (keys.on, true));
}

async fn code_is_not_put_in_the_place_of_other_code(on: On) {
    let place = Folder::new(on);
    let store = place.open().await;
    let records = everything(&store);
    put(&store, &records).await;
    let is_module = |record: &&Record| matches!(record, Record::Module(_));
    let Some(Record::Module(before)) = records.iter().find(is_module).cloned() else { panic!() };
    let found = store.reader().await.unwrap().reads().module(before.id).await.unwrap().unwrap();
    assert_eq!(found.object.settings.wasm.bytes(), code(7).bytes());
    let (_, service) = before.services[0].clone();
    let calling = store.reader().await.unwrap().reads().modules_calling(service).await.unwrap();
    assert_eq!(calling.len(), 1);

    let mut other = (*before).clone();
    other.settings.wasm = code(8);
    put(&store, &[Record::Module(Box::new(other))]).await;
    place.meddle("UPDATE modules SET wasm_version = wasm_version - 1").await;
    let (loaded, bad) = load(&store).await;
    assert_eq!(
        bad.iter().map(|row| (row.noun, row.id.clone())).collect::<Vec<_>>(),
        [("module", before.id.to_string())]
    );
    assert!(!loaded.iter().any(|record| is_module(&record)), "code that cannot be believed does not run");
}

on_both! {
    code_is_not_put_in_the_place_of_other_code,
    lists_are_narrowed_by_what_they_are_bound_to_and_what_they_do,
    what_it_refers_to_follows_its_configuration,
    a_configuration_that_cannot_be_read_leaves_the_plugin_where_it_is_bound,
}
