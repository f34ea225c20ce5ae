//! Where a node stands in the store's history, and whether the store has gone on from there.

use crate::audit::Head;
use crate::columns::Columns;
use crate::reads::number;
use crate::{Reads, StoreError};

/// A place in the store's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The revision.
    pub revision: u64,
    pub(crate) audit_seq: u64,
    pub(crate) audit_hash: Vec<u8>,
}

impl Mark {
    pub(crate) fn of(head: &Head) -> Self {
        let Head { revision, audit_seq, audit_hash } = head.clone();
        Self { revision, audit_seq, audit_hash }
    }
}

impl Reads<'_> {
    /// Where the store stands.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn mark(&mut self) -> Result<Mark, StoreError> {
        let row = self.one(sqlx::query("SELECT revision, audit_seq, audit_hash FROM head")).await?;
        Ok(Mark::of(&Head::read(&row)?))
    }

    /// Has the store gone on from this mark? Where it stands now.
    ///
    /// # Errors
    /// [`StoreError::WentBack`] if it stands before it, or came to where it is by another way, as an older copy put back would.
    pub async fn continues(&mut self, mark: &Mark) -> Result<Mark, StoreError> {
        let now = self.mark().await?;
        let went_back = StoreError::WentBack { known: mark.revision, found: now.revision };
        if now.revision < mark.revision || now.audit_seq < mark.audit_seq {
            return Err(went_back);
        }
        if mark.audit_seq > 0 {
            let entry = sqlx::query("SELECT hash FROM audit WHERE seq = $1").bind(number(mark.audit_seq));
            let hash = self.optional(entry).await?.and_then(|row| row.bytes_or_null("hash").ok().flatten());
            // An entry that is gone says nothing: it may have been moved elsewhere.
            if hash.is_some_and(|hash| hash != mark.audit_hash) {
                return Err(went_back);
            }
        }
        Ok(now)
    }
}
