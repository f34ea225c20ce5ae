//! Signed-in browsers, and the one-time way in of a store without operators. Neither has a revision.

use keyward_model::{CredentialDigest, OperatorId, OperatorTokenId, Timestamp};

use crate::columns::Columns;
use crate::reads::damaged;
use crate::{Reads, StoreError, WriteTx};

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What its cookie is looked up by.
    pub digest: CredentialDigest,
    /// Who is signed in.
    pub operator: OperatorId,
    /// What a write by this session must carry besides the cookie.
    pub csrf: String,
    /// When it began.
    pub created: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen: Timestamp,
    /// First moment in which it no longer holds, whatever happens.
    pub valid_until: Timestamp,
}

/// The one-time way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// What its password is looked up by.
    pub digest: CredentialDigest,
    /// First moment in which it no longer holds.
    pub valid_until: Timestamp,
}

impl Reads<'_> {
    /// The session with this digest.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn session(&mut self, digest: &CredentialDigest) -> Result<Option<Session>, StoreError> {
        let statement = sqlx::query(
            "SELECT operator, csrf, created, last_seen, valid_until FROM operator_sessions WHERE digest = $1",
        );
        let Some(row) = self.optional(statement.bind(digest.0.to_vec())).await? else { return Ok(None) };
        let read = || {
            Ok(Session {
                digest: *digest,
                operator: row.parsed("operator")?,
                csrf: row.text("csrf")?,
                created: row.time("created")?,
                last_seen: row.time("last_seen")?,
                valid_until: row.time("valid_until")?,
            })
        };
        read().map(Some).map_err(|why: String| damaged("session", "", why))
    }

    /// The one-time way in, as long as there is one.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn bootstrap(&mut self) -> Result<Option<Bootstrap>, StoreError> {
        let row = self.optional(sqlx::query("SELECT digest, valid_until FROM bootstrap")).await?;
        Ok(row.and_then(|row| {
            let digest = row.bytes_or_null("digest").ok().flatten()?.try_into().ok()?;
            Some(Bootstrap { digest: CredentialDigest(digest), valid_until: row.time("valid_until").ok()? })
        }))
    }
}

impl WriteTx<'_> {
    /// Keeps a session, and forgets those that have ended.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn put_session(&mut self, session: &Session) -> Result<(), StoreError> {
        let ended = sqlx::query("DELETE FROM operator_sessions WHERE valid_until <= $1");
        self.run(ended.bind(session.created.as_millis())).await?;
        let statement = sqlx::query(
            "INSERT INTO operator_sessions (digest, operator, csrf, created, last_seen, valid_until) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(session.digest.0.to_vec())
        .bind(session.operator.to_string())
        .bind(session.csrf.clone())
        .bind(session.created.as_millis())
        .bind(session.last_seen.as_millis())
        .bind(session.valid_until.as_millis());
        self.run(statement).await?;
        Ok(())
    }

    /// Spends a sign-in through a provider, and forgets those that could not be tried again anyway. False: it was spent before.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn spend_sign_in(
        &mut self,
        digest: &CredentialDigest,
        valid_until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let ended = sqlx::query("DELETE FROM spent_sign_ins WHERE valid_until <= $1");
        self.run(ended.bind(now.as_millis())).await?;
        let statement = sqlx::query(
            "INSERT INTO spent_sign_ins (digest, valid_until) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
        );
        let spent = self.run(statement.bind(digest.0.to_vec()).bind(valid_until.as_millis())).await?;
        Ok(spent == 1)
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn touch_session(
        &mut self,
        digest: &CredentialDigest,
        seen: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query("UPDATE operator_sessions SET last_seen = $2 WHERE digest = $1");
        self.run(statement.bind(digest.0.to_vec()).bind(seen.as_millis())).await?;
        Ok(())
    }

    /// Notes that a token was used.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn touch_operator_token(
        &mut self,
        id: OperatorTokenId,
        used: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query("UPDATE operator_tokens SET last_used = $2 WHERE id = $1");
        self.run(statement.bind(id.to_string()).bind(used.as_millis())).await?;
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delete_session(&mut self, digest: &CredentialDigest) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM operator_sessions WHERE digest = $1");
        self.run(statement.bind(digest.0.to_vec())).await?;
        Ok(())
    }

    /// Ends every session of an operator.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn delete_sessions_of(&mut self, operator: OperatorId) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM operator_sessions WHERE operator = $1");
        self.run(statement.bind(operator.to_string())).await?;
        Ok(())
    }

    /// Replaces the one-time way in; `None` closes it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn put_bootstrap(&mut self, bootstrap: Option<&Bootstrap>) -> Result<(), StoreError> {
        self.run(sqlx::query("DELETE FROM bootstrap")).await?;
        if let Some(bootstrap) = bootstrap {
            let statement =
                sqlx::query("INSERT INTO bootstrap (only_row, digest, valid_until) VALUES (1, $1, $2)");
            let statement = statement.bind(bootstrap.digest.0.to_vec());
            self.run(statement.bind(bootstrap.valid_until.as_millis())).await?;
        }
        Ok(())
    }
}
