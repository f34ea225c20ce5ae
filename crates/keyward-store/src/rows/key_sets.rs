//! Key sets that were fetched: written without revision and without audit, so that restarts and other nodes have them.

use std::collections::BTreeMap;

use keyward_model::{KeySetUrl, RemoteKeys, Timestamp};
use sqlx::any::AnyRow;

use super::read_list;
use crate::columns::Columns;
use crate::reads::damaged;
use crate::{Reads, Store, StoreError};

/// A key set as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedDocument {
    /// From where.
    pub url: KeySetUrl,
    /// What was there: JSON.
    pub document: String,
    /// When.
    pub fetched: Timestamp,
}

/// That fetching a key set failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetFailure {
    /// From where.
    pub url: KeySetUrl,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

/// When a key set was last fetched, and when and why that last failed if it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySetState {
    /// When it was last fetched.
    pub fetched: Option<Timestamp>,
    /// Of the last attempt, if it failed.
    pub failed: Option<(Timestamp, String)>,
}

impl Store {
    /// Keeps what was fetched, unless what is kept is newer.
    ///
    /// # Errors
    /// The store does not answer, or takes no writes.
    pub async fn write_key_set(&self, set: &FetchedDocument) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let statement = sqlx::query(
            "INSERT INTO fetched_key_sets (url, document, fetched) VALUES ($1, $2, $3) ON CONFLICT (url) DO UPDATE \
             SET document = excluded.document, fetched = excluded.fetched, failed = NULL, error = NULL \
             WHERE fetched_key_sets.fetched IS NULL OR fetched_key_sets.fetched < excluded.fetched",
        );
        let statement =
            statement.bind(set.url.to_string()).bind(set.document.clone()).bind(set.fetched.as_millis());
        tx.run(statement).await?;
        tx.commit().await
    }

    /// Notes that it could not be fetched; what was fetched before stays.
    ///
    /// # Errors
    /// The store does not answer, or takes no writes.
    pub async fn write_key_set_failure(&self, failure: &KeySetFailure) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let statement = sqlx::query(
            "INSERT INTO fetched_key_sets (url, failed, error) VALUES ($1, $2, $3) ON CONFLICT (url) DO UPDATE \
             SET failed = excluded.failed, error = excluded.error \
             WHERE fetched_key_sets.fetched IS NULL OR fetched_key_sets.fetched < excluded.failed",
        );
        let statement =
            statement.bind(failure.url.to_string()).bind(failure.at.as_millis()).bind(failure.why.clone());
        tx.run(statement).await?;
        tx.commit().await
    }

    /// Forgets what was fetched from addresses that no consumer names any more.
    ///
    /// # Errors
    /// The store does not answer, or takes no writes.
    pub async fn forget_key_sets(&self) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.run(sqlx::query(
            "DELETE FROM fetched_key_sets WHERE url NOT IN \
             (SELECT jwks_url FROM credentials WHERE jwks_url IS NOT NULL)",
        ))
        .await?;
        tx.commit().await
    }
}

impl Reads<'_> {
    /// The addresses that consumers' key sets are fetched from, each once, and how often, in seconds.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn key_set_urls(&mut self) -> Result<BTreeMap<KeySetUrl, u32>, StoreError> {
        let statement = sqlx::query(
            "SELECT jwks_url, MIN(jwks_refresh_s) AS refresh_s FROM credentials WHERE jwks_url IS NOT NULL \
             GROUP BY jwks_url",
        );
        let rows = self.all(statement).await?;
        let read = |row: &AnyRow| {
            let refresh_s = row.number_or_null("refresh_s")?.and_then(|seconds| u32::try_from(seconds).ok());
            Ok((row.parsed("jwks_url")?, refresh_s.unwrap_or(RemoteKeys::REFRESH_S)))
        };
        Ok(read_list("key set", &rows, read).into_iter().collect())
    }

    /// What was fetched, by this node or another.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn key_sets(&mut self) -> Result<Vec<FetchedDocument>, StoreError> {
        let rows = self
            .all(sqlx::query("SELECT url, document, fetched FROM fetched_key_sets WHERE fetched IS NOT NULL"))
            .await?;
        Ok(read_list("key set", &rows, |row: &AnyRow| {
            Ok(FetchedDocument {
                url: row.parsed("url")?,
                document: row.text("document")?,
                fetched: row.time("fetched")?,
            })
        }))
    }

    /// How the key set of this address is.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn key_set_state(&mut self, url: &KeySetUrl) -> Result<KeySetState, StoreError> {
        let statement = sqlx::query("SELECT fetched, failed, error FROM fetched_key_sets WHERE url = $1");
        let Some(row) = self.optional(statement.bind(url.to_string())).await? else {
            return Ok(KeySetState::default());
        };
        let read = || {
            let error = row.text_or_null("error")?.unwrap_or_default();
            Ok(KeySetState {
                fetched: row.time_or_null("fetched")?,
                failed: row.time_or_null("failed")?.map(|at| (at, error)),
            })
        };
        read().map_err(|why: String| damaged("key set", url, why))
    }
}
