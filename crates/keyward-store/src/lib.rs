//! Keyward's store: SQLite and PostgreSQL, by the same SQL.
//!
//! A write is one transaction ([`WriteTx`]) of any number of changes; each change is rows, an entry per row in the change log,
//! audit entries and the next revision, and fails or holds as a whole. Secrets are sealed before they reach a statement.
//!
//! There is no decision here and no Snapshot: the control crate compiles what it loads from here.

mod audit;
mod backup;
mod columns;
mod copy;
mod docs;
mod error;
mod load;
mod lock;
mod mark;
mod master_key;
mod native;
mod open;
mod place;
mod postgres;
mod reads;
mod record;
mod rows;
mod seal;
mod sqlite;
mod starts;
mod store;
mod tx;
mod watch;

pub use audit::{AuditBroken, AuditCheck, AuditEntry, AuditFilter, AuditRow, Touch};
pub use backup::{Backup, BackupError, Restored, backup, restore, restore_database};
pub use copy::{Frame, LocalCopy};
pub use error::{Quarantined, StoreError};
pub use mark::Mark;
pub use open::StoreOptions;
pub use reads::{Reader, Reads};
pub use record::{Change, CredentialRecord, Record, RecordId, Sealing, Stored};
pub use rows::answers::GivenAnswer;
pub use rows::apis::ApisOf;
pub use rows::callers::CallerFilter;
pub use rows::credentials::CredentialRow;
pub use rows::grants::{GrantState, GrantsOf};
pub use rows::key_sets::{FetchedDocument, KeySetFailure, KeySetState};
pub use rows::nodes::{NodeRow, NodeState};
pub use rows::plugins::PluginsOf;
pub use rows::review::ReviewOf;
pub use rows::secrets::{ReferenceRow, SecretUse};
pub use rows::sessions::{Bootstrap, Session};
pub use rows::usage::UsageOf;
pub use rows::{After, ListPage, ObjectsOf, Order, Within};
pub use store::Store;
pub use tx::WriteTx;
pub use watch::{Look, Watch};
