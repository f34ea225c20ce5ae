//! Many applications, written by the store's own write path: revisions, change log and sealed secrets as ever, but thousands of
//! them in one transaction, and one audit entry for each thousand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use keyward_control::{Minter, SystemRandom};
use keyward_model::{
    AccountId, Caller, CallerId, CallerKind, Credential, CredentialId, Origin, Plaintext, Proof,
    SignatureScheme, Timestamp,
};
use keyward_store::{AuditEntry, CredentialRecord, Record, Sealing, Store, StoreOptions, Touch};
use keyward_testkit::postgres::Database;

/// Applications in one change, and in one transaction.
const CHANGE: usize = 1_000;
const TRANSACTION: usize = 50_000;

/// What was made.
pub(crate) struct Seeded {
    pub(crate) applications: usize,
    /// Some applications' ids by their number.
    pub(crate) ids: BTreeMap<usize, String>,
}

pub(crate) fn app_key(number: usize) -> String {
    format!("scale-key-{number:08}")
}

/// Names that are in no order of age.
pub(crate) fn name(number: usize) -> String {
    format!("app-{:08x}-{number:08}", (number as u32).wrapping_mul(2_654_435_761))
}

/// Which applications' ids are kept.
fn is_kept(number: usize, applications: usize) -> bool {
    number.is_multiple_of((applications / 100).max(1))
}

/// Fills the store, which no node has now.
pub(crate) async fn seed(folder: &Path, database: Option<&Database<'_>>, applications: usize) -> Seeded {
    let store = Store::open(StoreOptions {
        data_dir: folder.to_owned(),
        url: database.map(|database| Plaintext::new(database.url())),
        master_key_file: None,
    });
    let store = store.await.expect("a store");
    let name = "default".parse().expect("a name");
    let account = store.reader().await.expect("a reader").reads().account_named(&name).await;
    let account = account.expect("an answer").expect("the account").object.id;
    let mut minter = Minter::new(Arc::new(SystemRandom));
    let bar = ProgressBar::new(applications as u64);
    let style = "{bar:32} {human_pos}/{human_len} applications written  {elapsed} (left {eta})";
    bar.set_style(ProgressStyle::with_template(style).expect("a template"));
    let mut seeded = Seeded { applications, ids: BTreeMap::new() };
    let mut number = 0;
    while number < applications {
        let mut tx = store.write().await.expect("a write");
        let end = applications.min(number + TRANSACTION);
        while number < end {
            let at = now();
            tx.begin_change(at, "start").await.expect("a change");
            let last = end.min(number + CHANGE);
            for number in number..last {
                let id = CallerId::from_uuid(CallerKind::Application, minter.uuid(at).expect("random bytes"));
                if is_kept(number, applications) {
                    seeded.ids.insert(number, id.to_string());
                }
                let credential = CredentialId::from_uuid(minter.uuid(at).expect("random bytes"));
                for record in records(account, id, credential, number, at) {
                    tx.put(&record).await.expect("a row");
                }
            }
            number = last;
            tx.end_change(vec![entry(account, number)]).await.expect("the change's end");
            bar.set_position(number as u64);
        }
        tx.commit().await.expect("a commit");
    }
    bar.finish_and_clear();
    store.close().await;
    seeded
}

fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock");
    Timestamp::from_millis(i64::try_from(since.as_millis()).expect("a time"))
}

fn records(
    account: AccountId,
    id: CallerId,
    credential: CredentialId,
    number: usize,
    at: Timestamp,
) -> [Record; 2] {
    let secret = Plaintext::new(format!("AppSecretOfScale{number:016}"));
    let caller = Caller {
        id,
        account,
        name: name(number).parse().expect("a name"),
        description: String::new(),
        // Every hundred-thousandth is disabled, and another one has a tag.
        enabled: number % 100_000 != 77,
        tags: if number % 100_000 == 99 { [("team".into(), "rare".into())].into() } else { BTreeMap::new() },
        extension: None,
        key_sources: Vec::new(),
    };
    let credential = Credential {
        id: credential,
        caller: id,
        enabled: true,
        valid_until: None,
        origin: Origin::Custom,
        created: at,
        proof: Proof::KeyPair {
            app_key: app_key(number).parse().expect("an AppKey"),
            app_secret: secret.clone().into(),
            scheme: SignatureScheme::Alibaba,
            is_default: true,
        },
    };
    let credential =
        CredentialRecord { account, credential, hint: None, sealing: Sealing::Set(secret.into()) };
    [Record::Caller(caller), Record::Credential(credential)]
}

fn entry(account: AccountId, number: usize) -> AuditEntry {
    AuditEntry {
        actor: "start".to_owned(),
        action: "scale.seed",
        touch: Touch::Created,
        noun: "caller",
        object: number.to_string(),
        account: Some(account),
        detail: "{}".to_owned(),
    }
}
