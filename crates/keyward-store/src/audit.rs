//! The audit: who did what, as a chain in which each entry's hash covers the one before it.
//!
//! The hash is an HMAC under a key derived from the master key, so that someone who can write to the database, but does not
//! have the master key, cannot change, remove or insert an entry without it being seen. Cutting the end off, together with
//! the count in `head`, is seen only against a count or hash that was kept elsewhere ([`AuditCheck`] gives both).

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use keyward_model::{AccountId, Timestamp};
use sqlx::any::AnyRow;

use crate::columns::Columns;
use crate::reads::{number, opt_text};
use crate::rows::list::Value;
use crate::rows::{ListPage, Listing, Order, Within};
use crate::{Reads, StoreError, WriteTx};

/// What the `head` row says.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) revision: u64,
    pub(crate) audit_seq: u64,
    pub(crate) audit_hash: Vec<u8>,
}

/// Something that was done, to be kept with the change that did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who.
    pub actor: String,
    /// The use case: `application.create`.
    pub action: &'static str,
    /// What came of it for the object.
    pub touch: Touch,
    /// The object's noun.
    pub noun: &'static str,
    /// The object's id.
    pub object: String,
    /// The account it belongs to.
    pub account: Option<AccountId>,
    /// The object before and after, as JSON without any secret.
    pub detail: String,
}

/// What came of an action for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It was made.
    Created,
    /// It was changed.
    Changed,
    /// It was deleted.
    Deleted,
    /// Its secret was shown.
    Revealed,
    /// Nothing: the actor may not do this.
    Refused,
}

impl Touch {
    /// `created`, `changed`, `deleted`, `revealed` or `refused`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Revealed => "revealed",
            Self::Refused => "refused",
        }
    }
}

/// An entry of the audit, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// The revision it came with; for what changes nothing the one in effect.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// The use case.
    pub action: String,
    /// What came of it: see [`Touch`].
    pub touch: String,
    /// The object's noun.
    pub noun: String,
    /// The object's id.
    pub object: String,
    /// The account it belongs to.
    pub account: Option<String>,
    /// The object before and after, as JSON without any secret.
    pub detail: String,
}

/// Which entries are meant; absent parts do not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only about objects of these accounts.
    pub within: Within,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only about this noun.
    pub noun: Option<String>,
    /// Only about this object.
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
}

/// A chain that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCheck {
    /// How many entries it has.
    pub entries: u64,
    /// The hash of the last one, in hexadecimal. Keep both elsewhere to see a cut.
    pub hash: String,
}

/// A chain that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditBroken {
    /// At this place.
    #[error("the audit does not hold at entry {seq}: {why}")]
    At {
        /// The entry.
        seq: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WriteTx<'_> {
    /// Appends an entry to the chain.
    pub(crate) async fn append_audit(&mut self, at: Timestamp, entry: AuditEntry) -> Result<(), StoreError> {
        let key_version = self.store.sealer.digest_version();
        let row = AuditRow {
            seq: self.head.audit_seq.saturating_add(1),
            revision: self.head.revision,
            at,
            actor: entry.actor,
            action: entry.action.to_owned(),
            touch: entry.touch.as_str().to_owned(),
            noun: entry.noun.to_owned(),
            object: entry.object,
            account: opt_text(entry.account),
            detail: entry.detail,
        };
        let key = self
            .store
            .sealer
            .audit_key(key_version)
            .ok_or_else(|| StoreError::Unavailable("the audit's key is missing".to_owned()))?;
        let hash = chain_hash(&key, &row, &self.head.audit_hash);
        let statement = sqlx::query(
            "INSERT INTO audit (seq, revision, at, actor, action, touch, noun, object, account, detail, \
             key_version, prev_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(number(row.seq))
        .bind(number(row.revision))
        .bind(row.at.as_millis())
        .bind(row.actor)
        .bind(row.action)
        .bind(row.touch)
        .bind(row.noun)
        .bind(row.object)
        .bind(row.account)
        .bind(row.detail)
        .bind(i64::from(key_version))
        .bind(self.head.audit_hash.clone())
        .bind(hash.clone());
        self.run(statement).await?;
        self.head.audit_seq = row.seq;
        self.head.audit_hash = hash;
        Ok(())
    }
}

/// What was done to applications and consumers is noted under `caller`; what was refused, under what was asked for.
fn of_noun(noun: Option<&str>) -> &'static str {
    match noun {
        Some("application") => "(noun = ? OR (noun = 'caller' AND substr(object, 1, 4) = 'app_'))",
        Some("consumer") => "(noun = ? OR (noun = 'caller' AND substr(object, 1, 4) = 'con_'))",
        _ => "noun = ?",
    }
}

impl Reads<'_> {
    /// Entries after this place in the chain, in order.
    ///
    /// # Errors
    /// The store does not answer, or an entry cannot be read.
    pub async fn audit_after(&mut self, seq: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.audit_rows(seq, limit).await?;
        rows.iter().map(|row| read(row).map_err(|why| crate::reads::damaged("audit", "audit", why))).collect()
    }

    /// A page of entries beyond this place in the chain.
    ///
    /// # Errors
    /// The store does not answer, or an entry cannot be read.
    pub async fn audit_page(
        &mut self,
        filter: &AuditFilter,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let beyond = if filter.descending { "seq < ?" } else { "seq > ?" };
        let statement = Listing::new(
            "SELECT seq, revision, at, actor, action, touch, noun, object, account, detail FROM audit",
        )
        .within("account", &filter.within)
        .text("actor = ?", filter.actor.as_deref())
        .text(of_noun(filter.noun.as_deref()), filter.noun.as_deref())
        .text("object = ?", filter.object.as_deref())
        .text("action = ?", filter.action.as_deref())
        .text("touch = ?", filter.touch.as_deref())
        .only("at >= ?", filter.from.map(|at| Value::Number(at.as_millis())))
        .only("at < ?", filter.until.map(|at| Value::Number(at.as_millis())))
        .only(beyond, after.map(|seq| Value::Number(number(seq))))
        .page(
            &ListPage { after: None, limit, order: Order { by_name: false, descending: filter.descending } },
            "seq",
            None,
        );
        let rows = self.all(statement).await?;
        rows.iter().map(|row| read(row).map_err(|why| crate::reads::damaged("audit", "audit", why))).collect()
    }

    /// The last entry that was written by this moment, and the revision it came with; zeros if there was none.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn audit_place_at(&mut self, at: Timestamp) -> Result<(u64, u64), StoreError> {
        let end = self.optional(sqlx::query("SELECT audit_seq AS seq FROM head WHERE only_row = 1")).await?;
        let (mut found, mut low) = ((0, 0), 0);
        let mut high = end.map_or(0, |row| row.number("seq").unwrap_or_default());
        // Entries stand in the order of time, so half of what is left is ruled out by each look.
        while low < high {
            let middle = low.midpoint(high).saturating_add(1).min(high);
            let row = sqlx::query("SELECT revision, at FROM audit WHERE seq = $1").bind(middle);
            let Some(row) = self.optional(row).await? else { break };
            let unreadable = |why| crate::reads::damaged("audit", middle.to_string(), why);
            if row.time("at").map_err(unreadable)? <= at {
                low = middle;
                found = (middle.unsigned_abs(), row.revision().map_err(unreadable)?);
            } else {
                high = middle.saturating_sub(1);
            }
        }
        Ok(found)
    }

    /// Of each of these objects the first entry after this one by which it was made, changed or deleted.
    ///
    /// # Errors
    /// The store does not answer, or an entry cannot be read.
    pub async fn first_changes_after(
        &mut self,
        seq: u64,
        objects: &[String],
    ) -> Result<BTreeMap<String, AuditRow>, StoreError> {
        let select = "SELECT seq, revision, at, actor, action, touch, noun, object, account, detail FROM audit \
                      WHERE seq > CAST($1 AS BIGINT) AND touch IN ('created', 'changed', 'deleted') AND object IN";
        let mut first: BTreeMap<String, AuditRow> = BTreeMap::new();
        for row in self.all_in(select, &[&seq.to_string()], objects).await? {
            let row = read(&row).map_err(|why| crate::reads::damaged("audit", "audit", why))?;
            match first.get(&row.object) {
                Some(earlier) if earlier.seq <= row.seq => {}
                _ => drop(first.insert(row.object.clone(), row)),
            }
        }
        Ok(first)
    }

    /// The hash of this entry, in hexadecimal; none if there is no such entry. Entry 0 is the beginning of every chain.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn audit_hash(&mut self, seq: u64) -> Result<Option<String>, StoreError> {
        if seq == 0 {
            return Ok(Some("0".repeat(64)));
        }
        let row = sqlx::query("SELECT hash FROM audit WHERE seq = $1").bind(number(seq));
        let row = self.optional(row).await?;
        let hash = row.and_then(|row| row.bytes_or_null("hash").ok().flatten());
        Ok(hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Checks the whole chain.
    ///
    /// # Errors
    /// [`AuditBroken::At`] the first entry that does not hold.
    pub async fn verify_audit(&mut self) -> Result<AuditCheck, AuditBroken> {
        let mut expected = 0_u64;
        let mut hash = vec![0_u8; 32];
        loop {
            let rows = self.audit_rows(expected, 1_000).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                expected += 1;
                hash = self.verify_entry(row, expected, &hash)?;
            }
        }
        let head = self.one(sqlx::query("SELECT audit_seq, audit_hash FROM head")).await?;
        let same = head.number("audit_seq") == Ok(number(expected))
            && head.bytes_or_null("audit_hash") == Ok(Some(hash.clone()));
        if !same {
            return Err(AuditBroken::At { seq: expected + 1, why: "entries are missing at the end" });
        }
        Ok(AuditCheck { entries: expected, hash: hash.iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    fn verify_entry(&self, row: &AnyRow, expected: u64, before: &[u8]) -> Result<Vec<u8>, AuditBroken> {
        let broken = |why| AuditBroken::At { seq: expected, why };
        let entry = read(row).map_err(|_| broken("it cannot be read"))?;
        if entry.seq != expected {
            return Err(broken("it is missing"));
        }
        if row.bytes_or_null("prev_hash").ok().flatten().as_deref() != Some(before) {
            return Err(broken("it does not follow from the one before it"));
        }
        let version = row.number("key_version").ok().and_then(|version| u32::try_from(version).ok());
        let key = version
            .and_then(|version| self.sealer.audit_key(version))
            .ok_or_else(|| broken("the master key file lacks the digest key it was hashed with"))?;
        let hash = chain_hash(&key, &entry, before);
        if row.bytes_or_null("hash").ok().flatten().as_ref() != Some(&hash) {
            return Err(broken("it was altered"));
        }
        Ok(hash)
    }

    async fn audit_rows(&mut self, seq: u64, limit: u32) -> Result<Vec<AnyRow>, StoreError> {
        let statement = sqlx::query(
            "SELECT seq, revision, at, actor, action, touch, noun, object, account, detail, key_version, \
             prev_hash, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2",
        );
        self.all(statement.bind(number(seq)).bind(i64::from(limit))).await
    }
}

fn read(row: &AnyRow) -> Result<AuditRow, String> {
    Ok(AuditRow {
        seq: u64::try_from(row.number("seq")?).map_err(|error| error.to_string())?,
        revision: row.revision()?,
        at: row.time("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        touch: row.text("touch")?,
        noun: row.text("noun")?,
        object: row.text("object")?,
        account: row.text_or_null("account")?,
        detail: row.text("detail")?,
    })
}

/// Each part preceded by its length, so that no two entries read the same.
fn chain_hash(key: &hmac::Key, row: &AuditRow, before: &[u8]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(key);
    let mut part = |bytes: &[u8]| {
        context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(bytes);
    };
    part(before);
    part(&row.seq.to_be_bytes());
    part(&row.revision.to_be_bytes());
    part(&row.at.as_millis().to_be_bytes());
    part(&[u8::from(row.account.is_some())]);
    for text in [&row.actor, &row.action, &row.touch, &row.noun, &row.object] {
        part(text.as_bytes());
    }
    part(row.account.as_deref().unwrap_or_default().as_bytes());
    part(row.detail.as_bytes());
    context.sign().as_ref().to_vec()
}
