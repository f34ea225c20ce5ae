//! Answers to writes with an Idempotency-Key: sealed, and kept for a day.

use keyward_model::Timestamp;

use crate::columns::Columns;
use crate::reads::damaged;
use crate::{Reads, StoreError, WriteTx};

/// How long an answer is kept, in milliseconds.
const KEPT_MS: i64 = 86_400_000;

/// An answer that was given.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenAnswer {
    /// The digest of the request that it was given to.
    pub body_digest: Vec<u8>,
    /// The answer.
    pub answer: Vec<u8>,
}

impl std::fmt::Debug for GivenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GivenAnswer").finish_non_exhaustive()
    }
}

impl Reads<'_> {
    /// The answer that was given for this key in this scope, within the last day.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn given_answer(
        &mut self,
        scope: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<GivenAnswer>, StoreError> {
        let statement = sqlx::query(
            "SELECT body_digest, answer FROM idempotency WHERE scope = $1 AND idempotency_key = $2 AND \
             created > $3",
        );
        let statement = statement.bind(scope.to_owned()).bind(key.to_owned());
        let since = now.as_millis().saturating_sub(KEPT_MS);
        let Some(row) = self.optional(statement.bind(since)).await? else { return Ok(None) };
        let read = || {
            let envelope = row.bytes_or_null("answer")?.unwrap_or_default();
            Ok(GivenAnswer {
                body_digest: row.bytes_or_null("body_digest")?.unwrap_or_default(),
                answer: self.sealer.open_answer(scope, key, &envelope).map_err(|error| error.to_string())?,
            })
        };
        read().map(Some).map_err(|why: String| damaged("answer", key, why))
    }
}

impl WriteTx<'_> {
    /// Keeps the answer to the write under way, in its transaction, and forgets those that are older than a day.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn put_answer(
        &mut self,
        scope: &str,
        key: &str,
        given: &GivenAnswer,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let since = now.as_millis().saturating_sub(KEPT_MS);
        self.run(sqlx::query("DELETE FROM idempotency WHERE created <= $1").bind(since)).await?;
        let sealed = self
            .store
            .sealer
            .seal_answer(scope, key, &given.answer)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let statement = sqlx::query(
            "INSERT INTO idempotency (scope, idempotency_key, body_digest, answer, created) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(scope.to_owned())
        .bind(key.to_owned())
        .bind(given.body_digest.clone())
        .bind(sealed)
        .bind(now.as_millis());
        self.run(statement).await?;
        Ok(())
    }
}
