//! Reading: the same inside a write and beside it.

use keyward_model::{AccountId, CredentialDigest, Grantee, ParseError, Plaintext};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor, Row};

use crate::place::Place;
use crate::seal::Sealer;
use crate::{Change, Quarantined, Record, RecordId, Store, StoreError};

pub(crate) type Statement<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

/// What can be read, row by row. One file per noun holds the rest of its methods.
pub struct Reads<'c> {
    /// Absent where it was lost.
    pub(crate) connection: Option<&'c mut AnyConnection>,
    /// Set when the connection does not answer: it is not used again then.
    pub(crate) lost: &'c mut bool,
    pub(crate) place: &'c Place,
    pub(crate) sealer: &'c Sealer,
}

/// A connection that reads.
pub struct Reader<'s> {
    connection: PoolConnection<Any>,
    store: &'s Store,
    /// Has it a transaction? It does not go back to the others then.
    apart: bool,
    lost: bool,
}

impl Reader<'_> {
    /// Ends reading at one moment, so that the connection can be used again. (Dropped without, it is closed.)
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        let place = &self.store.place;
        place.answer(self.connection.execute("COMMIT")).await?;
        self.apart = self.lost;
        Ok(())
    }

    /// What can be read through it.
    pub fn reads(&mut self) -> Reads<'_> {
        Reads {
            connection: Some(&mut self.connection),
            lost: &mut self.lost,
            place: &self.store.place,
            sealer: &self.store.sealer,
        }
    }
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader(…)")
    }
}

impl std::fmt::Debug for Reads<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reads(…)")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if self.apart || self.lost {
            self.connection.close_on_drop();
        }
    }
}

impl Store {
    /// The same, but everything is read as it was at one moment, whatever is written meanwhile.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn reader_at_one_moment(&self) -> Result<Reader<'_>, StoreError> {
        let mut reader = self.reader().await?;
        reader.apart = true;
        self.place.answer(reader.connection.execute(self.place.begin_reading())).await?;
        Ok(reader)
    }

    /// A connection that reads what is committed; waits while all are in use.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn reader(&self) -> Result<Reader<'_>, StoreError> {
        Ok(Reader { connection: self.readers.acquire().await?, store: self, apart: false, lost: false })
    }
}

impl Reads<'_> {
    /// The number of the last revision.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn revision(&mut self) -> Result<u64, StoreError> {
        let row = self.one(sqlx::query("SELECT revision FROM head")).await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0))
    }

    /// What changed after this revision, in order; at most about `limit` entries, and whole revisions only.
    ///
    /// # Errors
    /// The store does not answer, or a newer version wrote the log.
    pub async fn changes_since(&mut self, revision: u64, limit: u32) -> Result<Vec<Change>, StoreError> {
        // The last revision within the limit, or the next one whole if it alone is longer.
        let rows = self
            .all(
                sqlx::query(
                    "SELECT revision, noun, object, gone, owner FROM change_log WHERE revision > $1 AND revision <= \
                     COALESCE((SELECT revision FROM change_log WHERE revision > $1 ORDER BY revision, place \
                     LIMIT 1 OFFSET $2), 9223372036854775807) ORDER BY revision, place",
                )
                .bind(number(revision))
                .bind(i64::from(limit)),
            )
            .await?;
        rows.iter().map(change).collect()
    }

    /// What changed after `from`, up to `to`; `None` where the log does not reach back that far, or has more than `most` entries.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn changes_up_to(
        &mut self,
        from: u64,
        to: u64,
        most: usize,
    ) -> Result<Option<Vec<Change>>, StoreError> {
        let mut changes: Vec<Change> = Vec::new();
        let mut at = from;
        while at < to {
            let stretch = self.changes_since(at, 4_096).await?;
            let follows = stretch.first().is_some_and(|change| change.revision == at.saturating_add(1));
            if !follows || changes.len() + stretch.len() > most {
                return Ok(None);
            }
            at = stretch.last().map_or(at, |change| change.revision);
            changes.extend(stretch);
        }
        Ok(Some(changes))
    }

    /// The object with this id, as it is now.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if its row cannot be believed.
    pub async fn record(&mut self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        Ok(match *id {
            RecordId::Account(id) => self.account(id).await?.map(|found| Record::Account(found.object)),
            RecordId::Gateway(id) => self.gateway(id).await?.map(|found| Record::Gateway(found.object)),
            RecordId::Secret(id) => {
                self.secret(id).await?.map(|found| Record::Secret(Box::new(found.object)))
            }
            RecordId::Service(id) => self.service(id).await?.map(|found| Record::Service(found.object)),
            RecordId::Api(id) => self.api(id).await?.map(|found| Record::Api(found.object)),
            RecordId::Caller(id) => self.caller(id).await?.map(|found| Record::Caller(found.object)),
            RecordId::Credential(id) => match self.credential(id).await? {
                Some(found) => Some(Record::Credential(self.open(&found.object)?)),
                None => None,
            },
            RecordId::Group(id) => self.group(id).await?.map(|found| Record::Group(found.object)),
            RecordId::Member(group, caller) => {
                self.is_member(group, caller).await?.then_some(Record::Member(group, caller))
            }
            RecordId::Grant(id) => self.grant(id).await?.map(|found| Record::Grant(found.object)),
            RecordId::Module(id) => {
                self.module(id).await?.map(|found| Record::Module(Box::new(found.object)))
            }
            RecordId::Plugin(id) => {
                self.plugin(id).await?.map(|found| Record::Plugin(Box::new(found.object)))
            }
            RecordId::Operator(id) => {
                self.operator(id).await?.map(|found| Record::Operator(Box::new(found.object)))
            }
            RecordId::OperatorToken(id) => {
                self.operator_token(id).await?.map(|found| Record::OperatorToken(Box::new(found.object)))
            }
        })
    }

    /// What an API key or AppCode is looked up by.
    pub fn digest(&self, value: &Plaintext) -> CredentialDigest {
        self.sealer.digest(value.expose_secret())
    }

    pub(crate) async fn all(&mut self, statement: Statement<'_>) -> Result<Vec<AnyRow>, StoreError> {
        let connection = self.connection.as_deref_mut().ok_or_else(gone)?;
        let answer = self.place.answer(statement.fetch_all(connection)).await;
        self.noted(answer)
    }

    pub(crate) async fn one(&mut self, statement: Statement<'_>) -> Result<AnyRow, StoreError> {
        let connection = self.connection.as_deref_mut().ok_or_else(gone)?;
        let answer = self.place.answer(statement.fetch_one(connection)).await;
        self.noted(answer)
    }

    pub(crate) async fn optional(&mut self, statement: Statement<'_>) -> Result<Option<AnyRow>, StoreError> {
        let connection = self.connection.as_deref_mut().ok_or_else(gone)?;
        let answer = self.place.answer(statement.fetch_optional(connection)).await;
        self.noted(answer)
    }

    fn noted<T>(&mut self, answer: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        if let Err(error) = &answer {
            *self.lost |= error.as_database_error().is_none();
        }
        Ok(answer?)
    }

    /// The rows of `SELECT … WHERE column IN (values)`, where `select` ends in `column IN`, some hundred values at a time.
    ///
    /// `first` are the statement's other parameters, which come first ($1, …).
    pub(crate) async fn all_in(
        &mut self,
        select: &str,
        first: &[&str],
        values: &[String],
    ) -> Result<Vec<AnyRow>, StoreError> {
        let mut rows = Vec::new();
        for part in values.chunks(IN_MAX) {
            // A few sizes only, the rest filled up with the last value: so statements stay prepared.
            let size = [1, 16, IN_MAX].into_iter().find(|&size| part.len() <= size).unwrap_or(IN_MAX);
            let places: Vec<String> =
                (first.len() + 1..=first.len() + size).map(|place| format!("${place}")).collect();
            // Literal text and place numbers: nothing in it comes from outside.
            let sql = format!("{select} ({})", places.join(", "));
            let mut statement: Statement<'_> = sqlx::query(AssertSqlSafe(sql));
            for value in first {
                statement = statement.bind((*value).to_owned());
            }
            for at in 0..size {
                let value = part.get(at).or(part.last()).cloned().unwrap_or_default();
                statement = statement.bind(value);
            }
            rows.extend(self.all(statement).await?);
        }
        Ok(rows)
    }
}

/// The error of a connection that was lost earlier.
pub(crate) fn gone() -> StoreError {
    StoreError::Unavailable("the connection was lost".to_owned())
}

/// Most values of one statement's `IN` list.
const IN_MAX: usize = 256;

/// A revision, count or version as the database has it.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The error about a row that cannot be believed.
pub(crate) fn damaged(noun: &'static str, id: impl ToString, why: String) -> StoreError {
    StoreError::Damaged(Quarantined { noun, id: id.to_string(), why })
}

pub(crate) fn opt_text<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn change(row: &AnyRow) -> Result<Change, StoreError> {
    use crate::columns::Columns;
    let read = || {
        Ok(Change {
            revision: row.revision()?,
            // A newer version may have nouns of which this one knows nothing.
            record: RecordId::parse(&row.text("noun")?, &row.text("object")?).ok(),
            gone: row.flag("gone")?,
            owner: owner_of(row)?,
        })
    };
    read().map_err(|why: String| damaged("change", "change_log", why))
}

fn owner_of(row: &AnyRow) -> Result<Option<Grantee>, String> {
    use crate::columns::Columns;
    let Some(text) = row.text_or_null("owner")? else { return Ok(None) };
    let group = || text.parse().map(Grantee::Group);
    let owner = text.parse().map(Grantee::Caller).or_else(|_| group());
    owner.map(Some).map_err(|error: ParseError| error.to_string())
}

/// The account that an object's secrets are sealed for.
pub(crate) fn owner(account: AccountId) -> String {
    account.to_string()
}
