//! Use: when a credential or grant was last used, and calls per day. Written without revision and without audit.
//!
//! Several nodes write here at the same time: moments only go forward, counts add up, and every batch is written in
//! the order of its keys, so that two of them do not wait for each other.

use std::collections::BTreeMap;
use std::str::FromStr;

use keyward_model::{
    AccountId, ApiId, CallerId, Calls, CallsKey, Day, GrantId, ParseError, Timestamp, UsageBatch,
};
use sqlx::any::AnyRow;

use super::list::{Listing, Value};
use super::{ListPage, Within, read_list};
use crate::columns::Columns;
use crate::reads::number;
use crate::{Reads, Store, StoreError, WriteTx};

/// Most rows of one transaction: writes that wait for it do not wait long.
const BATCH_ROWS: usize = 500;

/// The order of a list, and its rows' key.
const ORDER: &str = "day, caller, api, reason";
/// Calls by callers of some accounts, or of their APIs.
const CONCERNS: &str = "(caller IN (SELECT id FROM callers WHERE account IN %) OR api IN (SELECT id FROM apis WHERE account IN %))";

/// Which calls a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageOf {
    /// Only calls by a caller of this account, or of an API of it.
    pub account: Option<AccountId>,
    /// Only this caller's.
    pub caller: Option<CallerId>,
    /// Only of this API.
    pub api: Option<ApiId>,
    /// The first day.
    pub from: Option<Day>,
    /// The first day that is not in the list any more.
    pub until: Option<Day>,
    /// Only what concerns these accounts.
    pub seen_by: Within,
}

impl Store {
    /// Writes down what was used, some hundred rows at a time.
    ///
    /// # Errors
    /// The store does not answer, or takes no writes; what was not written comes back, to be tried again.
    pub async fn write_usage(&self, mut batch: UsageBatch) -> Result<(), (StoreError, UsageBatch)> {
        batch.credentials.sort_unstable();
        batch.grants.sort_unstable();
        batch.secrets.sort_unstable();
        batch.calls.sort_unstable_by_key(|(key, _)| *key);
        while !batch.is_empty() {
            let part = batch.split_off(BATCH_ROWS);
            if let Err(error) = self.write_usage_part(&part).await {
                batch.put_back(part);
                return Err((error, batch));
            }
        }
        Ok(())
    }

    /// Forgets calls of days before this one.
    ///
    /// # Errors
    /// The store does not answer, or takes no writes.
    pub async fn forget_usage_before(&self, day: Day) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.run(sqlx::query("DELETE FROM usage_days WHERE day < $1").bind(day.number())).await?;
        tx.commit().await
    }

    async fn write_usage_part(&self, part: &UsageBatch) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.put_usage(part).await?;
        tx.commit().await
    }
}

impl WriteTx<'_> {
    async fn put_usage(&mut self, batch: &UsageBatch) -> Result<(), StoreError> {
        for (id, at) in &batch.credentials {
            let statement = sqlx::query(
                "UPDATE credentials SET last_used = $1 WHERE id = $2 AND (last_used IS NULL OR last_used < $1)",
            );
            self.run(statement.bind(at.as_millis()).bind(id.to_string())).await?;
        }
        for (id, at) in &batch.grants {
            let statement = sqlx::query(
                "UPDATE grants SET last_used = $1 WHERE id = $2 AND (last_used IS NULL OR last_used < $1)",
            );
            self.run(statement.bind(at.as_millis()).bind(id.to_string())).await?;
        }
        for &(id, version, at) in &batch.secrets {
            self.put_secret_use(id, version, at).await?;
        }
        for (key, calls) in &batch.calls {
            let statement = sqlx::query(
                "INSERT INTO usage_days (day, caller, api, reason, calls, last) VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (day, caller, api, reason) DO UPDATE SET \
                 calls = usage_days.calls + excluded.calls, last = CASE WHEN excluded.last > usage_days.last \
                 THEN excluded.last ELSE usage_days.last END",
            )
            .bind(key.day.number())
            .bind(or_empty(key.caller))
            .bind(or_empty(key.api))
            .bind(or_empty(key.reason))
            .bind(number(calls.count))
            .bind(calls.last.as_millis());
            self.run(statement).await?;
        }
        Ok(())
    }
}

impl Reads<'_> {
    /// Calls per day, caller, API and reason, in that order, after this key; at most `limit` rows.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_usage(
        &mut self,
        of: &UsageOf,
        after: Option<&CallsKey>,
        limit: u32,
    ) -> Result<Vec<(CallsKey, Calls)>, StoreError> {
        let listing = Listing::new("SELECT day, caller, api, reason, calls, last FROM usage_days")
            .text("caller = ?", of.caller)
            .text("api = ?", of.api)
            .only("day >= ?", of.from.map(|day| Value::Number(day.number())))
            .only("day < ?", of.until.map(|day| Value::Number(day.number())))
            .within_so(CONCERNS, &of.account.into())
            .within_so(CONCERNS, &of.seen_by);
        let listing = match after {
            Some(key) => listing.beyond(ORDER, key_values(key)),
            None => listing,
        };
        let statement = listing.page(&ListPage::first(limit), ORDER, None);
        Ok(read_list("usage", &self.all(statement).await?, read))
    }

    /// When these grants were last used; those that never were are not among them.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn last_uses_of_grants(
        &mut self,
        ids: &[GrantId],
    ) -> Result<BTreeMap<GrantId, Timestamp>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows = self
            .all_in("SELECT id, last_used FROM grants WHERE last_used IS NOT NULL AND id IN", &[], &ids)
            .await?;
        let read = |row: &AnyRow| Ok((row.parsed("id")?, row.time("last_used")?));
        Ok(read_list("grant", &rows, read).into_iter().collect())
    }
}

fn read(row: &AnyRow) -> Result<(CallsKey, Calls), String> {
    let key = CallsKey {
        day: Day::from_number(row.number("day")?),
        caller: some(row, "caller")?,
        api: some(row, "api")?,
        reason: some(row, "reason")?,
    };
    let count = u64::try_from(row.number("calls")?).map_err(|_| "its `calls` is negative".to_owned())?;
    Ok((key, Calls { count, last: row.time("last")? }))
}

fn key_values(key: &CallsKey) -> Vec<Value> {
    let texts = [or_empty(key.caller), or_empty(key.api), or_empty(key.reason)];
    let day = Value::Number(key.day.number());
    [day].into_iter().chain(texts.map(Value::Text)).collect()
}

/// Empty text stands for nothing, because a key has no nulls.
fn or_empty<T: ToString>(part: Option<T>) -> String {
    part.map_or_else(String::new, |part| part.to_string())
}

/// The same, read.
fn some<T: FromStr<Err = ParseError>>(row: &AnyRow, column: &'static str) -> Result<Option<T>, String> {
    if row.text(column)?.is_empty() { Ok(None) } else { row.parsed(column).map(Some) }
}
