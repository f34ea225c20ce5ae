//! The audit: reading it, checking it, and noting what was refused.

use keyward_model::{Action, Name, Timestamp};
use keyward_store::{AuditBroken, AuditEntry, AuditFilter, AuditRow, Touch};
use serde_json::json;

use crate::gather::Gather;
use crate::object::within_reach;
use crate::{Actor, Control, ControlError, ErrorKind, Page, Problem};

/// Most entries of a page, and how many there are unless asked otherwise.
const PAGE_MAX: u32 = 1_000;
const PAGE_USUAL: u32 = 100;

/// Which entries are meant; absent parts do not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only what was done by this actor, as entries name it.
    pub actor: Option<String>,
    /// Only what was done to objects of this account.
    pub account: Option<Name>,
    /// Only what was done to objects of this noun.
    pub noun: Option<String>,
    /// Only what was done to this object.
    pub object: Option<String>,
    /// Only this use case.
    pub action: Option<String>,
    /// Only with this outcome.
    pub touch: Option<String>,
    /// Only from this moment on.
    pub from: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
    /// The newest first.
    pub descending: bool,
    /// What the page before said as its `next`.
    pub after: Option<String>,
    /// Most entries, 1 to 1000; absent: 100.
    pub limit: Option<u32>,
}

/// What the chain is checked against: what an earlier check said, kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditMark {
    /// How many entries there were.
    pub entries: u64,
    /// The hash of the last one.
    pub hash: String,
}

/// A chain that holds.
pub use keyward_store::AuditCheck;

/// What can be done with the audit. Nothing of it can be changed or deleted.
#[derive(Clone, Copy, Debug)]
pub struct Audit<'c> {
    pub(crate) control: &'c Control,
}

impl Audit<'_> {
    /// A page of entries, oldest first unless asked otherwise. Whoever has no role everywhere sees the entries about
    /// objects of its accounts.
    ///
    /// # Errors
    /// An account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, query: AuditQuery) -> Result<Page<AuditRow>, ControlError> {
        actor.may("audit", Action::List)?;
        let limit = query.limit.unwrap_or(PAGE_USUAL);
        if !(1..=PAGE_MAX).contains(&limit) {
            let text = format!("a page has 1 to {PAGE_MAX} entries, not {limit}");
            return Err(Problem::invalid("limit_malformed", "limit", text).into());
        }
        let after = query.after.as_deref().map(|after| {
            after.parse::<u64>().map_err(|_| {
                let text = format!("`{}` is not what a page said as its `next`", after.escape_debug());
                Problem::invalid("after_malformed", "after", text)
            })
        });
        let after = after.transpose()?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let within = within_reach(&mut gather, actor, query.account.as_ref(), "audit").await?;
        let filter = AuditFilter {
            within,
            actor: query.actor,
            noun: query.noun,
            object: query.object,
            action: query.action,
            touch: query.touch,
            from: query.from,
            until: query.until,
            descending: query.descending,
        };
        let mut items = gather.reads.audit_page(&filter, after, limit.saturating_add(1)).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = if items.len() > most {
            items.truncate(most);
            items.last().map(|last| last.seq.to_string())
        } else {
            None
        };
        Ok(Page { items, next })
    }

    /// Checks the whole chain, also against what an earlier check said.
    ///
    /// # Errors
    /// The chain does not hold: at which entry, and why.
    pub async fn verify(&self, actor: &Actor, mark: Option<AuditMark>) -> Result<AuditCheck, ControlError> {
        actor.may("audit", Action::Verify)?;
        let mut reader = self.control.store().reader_at_one_moment().await?;
        let mut reads = reader.reads();
        let broken = |text: String| ControlError::new(ErrorKind::Conflict, "audit_broken", text);
        let check = match reads.verify_audit().await {
            Ok(check) => check,
            Err(AuditBroken::Store(error)) => return Err(error.into()),
            Err(at @ AuditBroken::At { .. }) => return Err(broken(at.to_string())),
        };
        if let Some(mark) = mark {
            let found = reads.audit_hash(mark.entries).await?;
            if found.as_deref() != Some(mark.hash.to_ascii_lowercase().as_str()) {
                return Err(broken(format!(
                    "the audit has another entry {} than it once had, or ends before it: it was cut or replaced",
                    mark.entries
                )));
            }
        }
        Ok(check)
    }

    /// Notes that somebody was refused something that would have changed or shown something.
    ///
    /// # Errors
    /// The store takes no writes.
    pub async fn refused(
        &self,
        actor: &Actor,
        noun: &'static str,
        action: Action,
        object: String,
        why: &str,
    ) -> Result<(), ControlError> {
        let detail = json!({"refused": why, "to": action.as_str()});
        let work = self.control.write(actor, "refused", move |job| {
            Box::pin(async move {
                job.note(AuditEntry {
                    actor: job.actor().to_string(),
                    action: "refused",
                    touch: Touch::Refused,
                    noun,
                    object,
                    account: job.actor().only_account(),
                    detail: detail.to_string(),
                });
                Ok(())
            })
        });
        work.await?;
        Ok(())
    }
}
