//! Watching a store that several nodes share: told when something changed, and looking all the same.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::place::Place;
use crate::postgres::{ANSWER, APPLIED, CHANGED, Postgres, within};
use crate::{Store, StoreError};

/// A connection that is told of changes.
pub struct Watch {
    listener: PgListener,
    /// Kept, for the listener's connection is one of it.
    _pool: PgPool,
    store: Uuid,
}

/// What a look at the store found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The store's revision.
    pub revision: u64,
    /// May a node have applied a revision since the last look?
    pub applied: bool,
}

impl Store {
    /// Begins to watch the store; `None` where no other process writes to it.
    ///
    /// # Errors
    /// The store does not answer, or is another one.
    pub async fn watch(&self) -> Result<Option<Watch>, StoreError> {
        match &self.place {
            Place::Sqlite(_) => Ok(None),
            Place::Postgres(place) => Ok(Some(Watch::begin(place, self.id).await?)),
        }
    }
}

impl Watch {
    async fn begin(place: &Postgres, store: Uuid) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(2));
        let pool = pool.connect_lazy_with(place.native_options());
        let mut listener = PgListener::connect_with(&pool).await?;
        within(ANSWER, listener.listen_all([CHANGED, APPLIED])).await?;
        Ok(Self { listener, _pool: pool, store })
    }

    /// Looks at once.
    ///
    /// # Errors
    /// The store does not answer, or is another one now. The watch is of no further use then.
    pub async fn look(&mut self) -> Result<Look, StoreError> {
        let mut applied = false;
        while let Some(told) = self.listener.next_buffered() {
            applied |= told.channel() == APPLIED;
        }
        let look = "SELECT m.value, h.revision FROM head h JOIN meta m ON m.name = 'store'";
        let row = within(ANSWER, sqlx::query(look).fetch_one(&mut self.listener)).await?;
        let (found, revision): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        if found != self.store.to_string() {
            return Err(StoreError::AnotherStore);
        }
        Ok(Look { revision: u64::try_from(revision).unwrap_or(0), applied })
    }

    /// Waits until something is told, or this long at most; was something told about nodes?
    ///
    /// # Errors
    /// The connection was lost. The watch is of no further use then.
    pub async fn told(&mut self, at_most: Duration) -> Result<bool, StoreError> {
        match tokio::time::timeout(at_most, self.listener.try_recv()).await {
            Err(_) => Ok(false),
            Ok(Ok(Some(told))) => Ok(told.channel() == APPLIED),
            Ok(Ok(None)) => Err(crate::reads::gone()),
            Ok(Err(error)) => Err(error.into()),
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch(…)")
    }
}
