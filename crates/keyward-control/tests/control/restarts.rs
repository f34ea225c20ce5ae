//! What was answered is there after a restart; what cannot be read closes only itself.

use keyward_control::{Control, ErrorKind};
use keyward_model::*;

use crate::node::*;

#[tokio::test]
async fn a_restarted_node_decides_as_before() {
    let node = Node::with(SHOP).await;
    let grants = node.control.grants().list(&OPERATOR, Default::default()).await.unwrap().items;
    node.control.grants().revoke(&OPERATOR, grants[0].id).await.unwrap();
    let revision = node.control.revision();
    let node = node.restarted().await;
    assert_eq!(node.control.revision(), revision);
    assert!(node.control.quarantined().is_empty());
    assert_eq!(node.permits(CallerKind::Application, "shop").await, Err(DenyReason::GrantRevoked));
    assert_eq!(node.permits(CallerKind::Consumer, "analytics").await, Ok(()));
    assert!(node.holder("canary-api-key-0002").is_some());
    assert_eq!(node.secret_of("203753385").await, "canary-app-secret-0001");
    assert_eq!(node.apply(SHOP).await.unwrap().created.len(), 1, "only the revoked grant is given anew");
}

#[tokio::test]
async fn a_new_store_has_the_default_account_and_gateway_as_its_first_revision() {
    let node = Node::new().await;
    assert_eq!(node.revision(), 1);
    let node = node.restarted().await;
    assert_eq!(node.revision(), 1);
    assert_eq!(node.control.accounts().list(&OPERATOR, Default::default()).await.unwrap().items.len(), 1);
    assert!(node.control.ready().is_ok());
}

#[tokio::test]
async fn a_folder_in_use_and_a_store_without_its_key_are_told_apart() {
    let node = Node::with(SHOP).await;
    let error = Control::open(node.options()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::StoreUnavailable, "store_locked"));
    node.control.close().await;
    std::fs::remove_file(node.data_dir().join("master.key")).unwrap();
    let error = Control::open(node.options()).await.unwrap_err();
    assert_eq!(error.code(), "master_key_missing");
    assert!(error.to_string().contains("master.key"), "{error}");
}

#[tokio::test]
async fn a_credential_that_cannot_be_read_closes_only_itself_and_can_be_reset() {
    let node = Node::with(SHOP).await;
    node.control.close().await;
    // As a broken disk would leave it: the sealed value of one key pair is cut.
    let file = node.data_dir().join("keyward.db");
    let database = std::fs::read(&file).unwrap();
    let at = database.windows(10).position(|window| window == b"second-key").unwrap();
    let mut broken = database.clone();
    // The AppKey stands in the row before its sealed value, which begins with its format and key version.
    let sealed = broken[at..].windows(5).position(|window| window == [1, 0, 0, 0, 1]).unwrap();
    broken[at + sealed + 20] ^= 0xff;
    std::fs::write(&file, broken).unwrap();

    let control = Control::open(node.options()).await.unwrap();
    assert_eq!(control.quarantined().len(), 1, "{:?}", control.quarantined());
    let snapshot = control.snapshots().load_full();
    assert!(snapshot.app_key(&"second-key".parse().unwrap()).is_none());
    assert!(snapshot.app_key(&"203753385".parse().unwrap()).is_some());
    let id = control.credentials().find_app_key(&OPERATOR, &"second-key".parse().unwrap()).await.unwrap().id;
    assert!(control.credentials().reveal(&OPERATOR, id).await.is_err());
    // The caller can still be changed, and the credential given a new value.
    control.applications().set_enabled(&OPERATOR, named("shop"), false).await.unwrap();
    control.credentials().reset(&OPERATOR, id, None).await.unwrap();
    assert!(control.snapshots().load_full().app_key(&"second-key".parse().unwrap()).is_some());
}
