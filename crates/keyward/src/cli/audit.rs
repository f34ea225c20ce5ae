//! `keyward audit`.

use clap::{Args, Subcommand};
use keyward_api::{AuditCheck, AuditEntry, Call, List, Route};

use super::Outcome;
use super::nouns::pages;
use super::output::{self, print, show};
use super::remote::{Remote, failure};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what was done, oldest first.
    List(ListArgs),
    /// Write what was done as lines of JSON, all that is asked for.
    Export(ExportArgs),
    /// Check that nothing of the audit was changed, removed or put in.
    Verify(VerifyArgs),
}

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only what this actor did, as entries name it: `operator ID`, `local-token`.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only what was done to objects of this account.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only what was done to objects of this noun.
    #[arg(long, value_name = "NOUN")]
    noun: Option<String>,
    /// Only what was done to this object.
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// Only this use case, such as `application.create`.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only with this outcome: created, changed, deleted, revealed or refused.
    #[arg(long, value_name = "OUTCOME")]
    touch: Option<String>,
    /// Only from this moment on.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only before this moment.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Which entries to list, and how many.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    which: Which,
    /// The newest first.
    #[arg(long)]
    newest: bool,
    /// At most this many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// Which entries to write.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    which: Which,
}

/// What to check the audit against.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// How many entries an earlier check found: kept elsewhere, it shows a cut end.
    #[arg(long, value_name = "N", requires = "hash")]
    entries: Option<u64>,
    /// The hash that it found.
    #[arg(long, value_name = "HASH", requires = "entries")]
    hash: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Which {
    fn call(&self, route: Route) -> Call<'static> {
        Call::new(route, [])
            .query("actor", self.actor.as_deref())
            .query("account", self.account.as_deref())
            .query("noun", self.noun.as_deref())
            .query("object", self.object.as_deref())
            .query("action", self.action.as_deref())
            .query("touch", self.touch.as_deref())
            .query("from", self.from.as_deref())
            .query("until", self.until.as_deref())
    }
}

impl AuditCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(list) => list.run().await,
            Self::Export(ExportArgs { which }) => {
                let call = which.call(Route::ExportAudit);
                let lines = which.remote.client()?.send_for_bytes(call).await.map_err(failure)?;
                print(String::from_utf8_lossy(&lines).trim_end())
            }
            Self::Verify(verify) => {
                let call = Call::new(Route::VerifyAudit, [])
                    .query("entries", verify.entries)
                    .query("hash", verify.hash.as_deref());
                let check: AuditCheck = verify.remote.client()?.send(call).await.map_err(failure)?;
                show(verify.remote.output, &check, |check| {
                    format!(
                        "the audit holds: {} entries\nkeep this elsewhere, to see a cut end: --entries {} --hash {}",
                        check.entries, check.entries, check.hash
                    )
                })
            }
        }
    }
}

impl ListArgs {
    async fn run(self) -> Outcome {
        let client = self.which.remote.client()?;
        let call = |after: Option<String>, page: usize| {
            self.which
                .call(Route::ListAudit)
                .query("sort", self.newest.then_some("-created"))
                .query("limit", Some(page))
                .query("after", after)
        };
        let list: List<AuditEntry> = pages(&client, self.limit, call).await?;
        show(self.which.remote.output, &list, |list| table(&list.items))
    }
}

fn table(entries: &[AuditEntry]) -> String {
    let rows = entries.iter().map(|entry| {
        [
            entry.seq.to_string(),
            entry.at.clone(),
            entry.actor.clone(),
            entry.action.clone(),
            entry.touch.clone(),
            format!("{} {}", entry.noun, entry.object),
        ]
    });
    output::table(["seq", "at", "actor", "action", "outcome", "object"], rows)
}
