//! `keyward backup` and `keyward restore`.

use std::path::PathBuf;

use clap::Args;
use keyward_control::{Clock as _, SystemClock};
use keyward_model::Plaintext;
use keyward_store::{BackupError, Restored, StoreOptions, backup, restore, restore_database};
use serde_json::json;

use super::output::{self, Format, complain};
use super::serve::secret;
use super::{Failure, Outcome};

/// Copy the store of a data folder into a file, while a node runs on it or not.
///
/// The file holds the store as it was at one moment, secrets sealed: without the master key, which is not in it, it is of no use. Keep
/// that key apart from it. A store in PostgreSQL is backed up with `pg_dump`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file that is made; it must not exist.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The node's data folder.
    #[arg(long, env = "KEYWARD_DATA", value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The store that nodes share, if they do: it is not in the data folder.
    #[arg(long, env = "KEYWARD_STORE", hide_env_values = true, value_name = "URL", value_parser = secret)]
    store: Option<Plaintext>,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
}

/// Make a store out of a backup, in an empty data folder.
///
/// Its audit is verified. It becomes another store than the one that was backed up: with an id of its own, and revisions that
/// begin beyond the old one's. Everybody is signed out of it. What was revoked, disabled or changed since the backup is again as it
/// was then.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup. It stays as it is.
    #[arg(value_name = "FILE", required_unless_present = "store", conflicts_with = "store")]
    file: Option<PathBuf>,
    /// The data folder; made if it is not there. Nothing may lie in it but `master.key`.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The master key file that the store was made with; absent: `master.key` in the data folder. It is not copied.
    #[arg(long, value_name = "FILE")]
    master_key: Option<PathBuf>,
    /// Instead of a file: the PostgreSQL database that a dump was just restored into, which thereby becomes another store.
    #[arg(long, value_name = "URL", value_parser = secret)]
    store: Option<Plaintext>,
    /// Make it another store although others are connected to the database. Nodes that serve from it are cut off.
    #[arg(long, requires = "store")]
    force: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
}

impl Backup {
    pub(crate) async fn run(self) -> Outcome {
        if self.store.is_some() {
            return Err(Failure::usage(
                "the store is in PostgreSQL: back it up with `pg_dump --format=custom --file=FILE DATABASE`, and keep \
                 the master key apart from it",
            ));
        }
        let made = backup(&self.data, &self.file).await.map_err(failure)?;
        let value = json!({
            "file": self.file, "store": made.store.to_string(), "revision": made.revision,
            "audit": {"entries": made.audit.entries, "hash": made.audit.hash},
        });
        output::show(self.output, &value, |_| {
            format!(
                "backed up to {}: store {}, revision {}, {} audit entries (the last one's hash: {})\n\
                 the master key is not in it, and nobody can restore it without: keep a copy of it apart from this \
                 file (it is `master.key` in the data folder, unless `serve` was given another with --master-key)",
                self.file.display(),
                made.store,
                made.revision,
                made.audit.entries,
                made.audit.hash,
            )
        })
    }
}

impl Restore {
    pub(crate) async fn run(self) -> Outcome {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let options = StoreOptions {
            data_dir: self.data.clone(),
            url: self.store.clone(),
            master_key_file: self.master_key.clone(),
        };
        let now = SystemClock.now();
        let restored = match &self.file {
            Some(file) => restore(file, options, now).await,
            None => restore_database(options, self.force, now).await,
        };
        let restored = restored.map_err(failure)?;
        let value = json!({
            "store": restored.store.to_string(), "revision": restored.revision,
            "from": {"store": restored.from.to_string(), "revision": restored.from_revision},
            "audit": {"entries": restored.audit.entries, "hash": restored.audit.hash},
        });
        output::show(self.output, &value, |_| self.told(&restored))?;
        complain(
            "what was revoked, disabled or changed since the backup is again as it was then: look through it before you serve",
        );
        Ok(())
    }

    fn told(&self, restored: &Restored) -> String {
        let key = self.master_key.as_ref().map(|key| format!(" --master-key {}", key.display()));
        let store = if self.store.is_some() { " --store URL" } else { "" };
        format!(
            "restored: store {} at revision {}, which was {} at {}; its audit holds, {} entries\n\
             start it with: keyward serve --data {}{store}{}",
            restored.store,
            restored.revision,
            restored.from,
            restored.from_revision,
            restored.audit.entries,
            self.data.display(),
            key.unwrap_or_default(),
        )
    }
}

/// What is wrong with what was given is told from the rest by the exit code.
fn failure(error: BackupError) -> Failure {
    match error {
        BackupError::NoStore(_)
        | BackupError::Exists(_)
        | BackupError::NotEmpty { .. }
        | BackupError::InUse(_)
        | BackupError::Unusable { .. } => Failure::usage(error),
        other => Failure::new(other),
    }
}
