//! Secrets, their sealed values, and who refers to them.

use keyward_model::{
    AccountId, Name, Plaintext, PreviousValue, Secret, SecretId, SecretSource, SecretSpec, SecretText,
    Timestamp,
};
use sqlx::any::AnyRow;

use super::{ListPage, Listing, ObjectsOf, read_all, read_list, stored};
use crate::columns::Columns;
use crate::docs::{self, secret::SecretDoc};
use crate::reads::{damaged, owner};
use crate::seal::{Position, Sealer};
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.id AS id, s.account AS account, a.name AS account_name, s.name AS name, s.description \
             AS description, s.enabled AS enabled, s.valid_until AS valid_until, s.doc AS doc, s.version AS \
             version, s.value AS value, s.rotated AS rotated, s.previous_version AS previous_version, \
             s.previous AS previous, s.previous_until AS previous_until, s.revision AS revision, s.created AS \
             created, s.changed AS changed FROM secrets s JOIN accounts a ON a.id = s.account ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");

/// When the values of a secret were last used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretUse {
    /// The current one.
    pub current: Option<Timestamp>,
    /// The one before.
    pub previous: Option<Timestamp>,
}

/// Something that refers to a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceRow {
    /// `credential`, `service` or `plugin`.
    pub noun: String,
    /// Its id.
    pub object: String,
    /// The field that the reference stands in.
    pub field: String,
}

pub(crate) fn read(row: &impl Columns, sealer: &Sealer) -> Result<Stored<Secret>, String> {
    let id: SecretId = row.parsed("id")?;
    let account: AccountId = row.parsed("account")?;
    let doc = docs::secret::read(&row.text("doc")?)?;
    let open = |column: &'static str, version: i64| -> Result<Option<Plaintext>, String> {
        let Some(envelope) = row.bytes_or_null(column)? else { return Ok(None) };
        let (owner, id) = (owner(account), id.to_string());
        let opened = sealer.open(account, &position(&owner, &id, version), &envelope);
        opened.map(Some).map_err(|error| format!("its value: {error}"))
    };
    let version = row.number("version")?;
    let source = match doc.held {
        Some(held) => SecretSource::Held(held),
        None => SecretSource::Stored(open("value", version)?),
    };
    let previous = match (row.number_or_null("previous_version")?, row.time_or_null("previous_until")?) {
        (Some(version), Some(until)) => {
            let value = open("previous", version)?;
            Some(PreviousValue {
                version: u64::try_from(version).map_err(|error| error.to_string())?,
                value,
                until,
            })
        }
        _ => None,
    };
    let spec = SecretSpec {
        account: row.parsed("account_name")?,
        name: row.parsed("name")?,
        description: row.text("description")?,
        enabled: row.flag("enabled")?,
        valid_until: row.time_or_null("valid_until")?,
        source,
        previous,
        destinations: doc.destinations,
        use_by: doc.use_by,
        read_by: doc.read_by,
    };
    let version = u64::try_from(version).map_err(|error| error.to_string())?;
    stored(row, Secret { id, account, spec, version, rotated: row.time("rotated")? })
}

/// The version takes part, so that an older value does not open in place of a newer.
fn position<'a>(owner: &'a str, id: &'a str, version: i64) -> Position<'a> {
    Position { owner, kind: "secret", id, field: "value", version }
}

/// A text that was kept, with or without references.
pub(crate) fn read_secret(kept: &Plaintext, refers: bool) -> Result<SecretText, String> {
    match refers {
        true => SecretText::parse(kept.expose_secret()).map_err(|error| error.to_string()),
        false => Ok(kept.clone().into()),
    }
}

/// What is kept of it: itself, or as it is written if it has references.
pub(crate) fn written_secret(text: &SecretText) -> Plaintext {
    text.plain().map_or_else(|| text.written(), Plaintext::clone)
}

/// Whose text refers to secrets.
pub(crate) struct Referrer<'r> {
    pub(crate) noun: &'static str,
    pub(crate) object: &'r str,
    pub(crate) field: &'r str,
    pub(crate) account: AccountId,
}

impl Reads<'_> {
    /// A page of secrets, by account and a part of the name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_secrets(
        &mut self,
        of: &ObjectsOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Secret>>, StoreError> {
        let listing = Listing::new(select!(""))
            .within("s.account", &of.within)
            .name_has("s.name", of.name.as_deref())
            .flag("s.enabled", of.enabled);
        let rows = self.all(listing.page(page, "s.id", Some("s.name"))).await?;
        Ok(read_list("secret", &rows, |row| read(row, self.sealer)))
    }

    /// The secrets of this account with these names.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn secrets_named(
        &mut self,
        account: AccountId,
        names: &[Name],
    ) -> Result<Vec<Stored<Secret>>, StoreError> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let rows = self
            .all_in(select!("WHERE s.account = $1 AND s.name IN"), &[&account.to_string()], &names)
            .await?;
        read_all("secret", &rows, |row| read(row, self.sealer))
    }

    /// The secret with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn secret(&mut self, id: SecretId) -> Result<Option<Stored<Secret>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE s.id = $1")).bind(id.to_string())).await?;
        Ok(read_all("secret", &row, |row| read(row, self.sealer))?.pop())
    }

    /// The secret with this name.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn secret_named(
        &mut self,
        account: AccountId,
        name: &Name,
    ) -> Result<Option<Stored<Secret>>, StoreError> {
        let statement = sqlx::query(select!("WHERE s.account = $1 AND s.name = $2"));
        let row = self.all(statement.bind(account.to_string()).bind(name.to_string())).await?;
        Ok(read_all("secret", &row, |row| read(row, self.sealer))?.pop())
    }

    /// When its values were last used, as far as nodes have told.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn secret_use(&mut self, id: SecretId) -> Result<SecretUse, StoreError> {
        let statement = sqlx::query("SELECT last_used, previous_last_used FROM secrets WHERE id = $1");
        let Some(row) = self.optional(statement.bind(id.to_string())).await? else {
            return Ok(SecretUse::default());
        };
        let read = |row: &AnyRow| {
            Ok(SecretUse {
                current: row.time_or_null("last_used")?,
                previous: row.time_or_null("previous_last_used")?,
            })
        };
        read(&row).map_err(|why| damaged("secret", id.to_string(), why))
    }

    /// How many refer to it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn count_references(&mut self, id: SecretId) -> Result<u64, StoreError> {
        let statement = sqlx::query("SELECT COUNT(*) AS count FROM secret_references WHERE secret = $1");
        let row = self.one(statement.bind(id.to_string())).await?;
        let count = row.number("count").map_err(|why| damaged("secret", id.to_string(), why))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Who refers to it, after this row of the list, in order of noun, id and field.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn references_to(
        &mut self,
        id: SecretId,
        after: Option<&ReferenceRow>,
        limit: u32,
    ) -> Result<Vec<ReferenceRow>, StoreError> {
        let none = ReferenceRow { noun: String::new(), object: String::new(), field: String::new() };
        let after = after.unwrap_or(&none);
        let statement = sqlx::query(
            "SELECT noun, object, field FROM secret_references WHERE secret = $1 AND (noun > $2 OR (noun = $2 AND \
             (object > $3 OR (object = $3 AND field > $4)))) ORDER BY noun, object, field LIMIT $5",
        );
        let statement = statement.bind(id.to_string()).bind(after.noun.clone()).bind(after.object.clone());
        let rows = self.all(statement.bind(after.field.clone()).bind(i64::from(limit))).await?;
        read_all("reference", &rows, |row| {
            Ok(ReferenceRow {
                noun: row.text("noun")?,
                object: row.text("object")?,
                field: row.text("field")?,
            })
        })
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_secret(&mut self, secret: &Secret) -> Result<(), StoreError> {
        let spec = &secret.spec;
        let id = secret.id.to_string();
        let number = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
        let seal = |value: Option<&Plaintext>, version: u64| -> Result<Option<Vec<u8>>, StoreError> {
            let Some(value) = value else { return Ok(None) };
            let owner = owner(secret.account);
            let sealer = &self.store.sealer;
            let sealed = sealer.seal(secret.account, &position(&owner, &id, number(version)), value);
            sealed.map(Some).map_err(|error| StoreError::Unavailable(error.to_string()))
        };
        let (held, value) = match &spec.source {
            SecretSource::Stored(None) => {
                return Err(StoreError::Contradiction(format!("secret `{}` has no value", spec.name)));
            }
            SecretSource::Stored(value) => (None, seal(value.as_ref(), secret.version)?),
            SecretSource::Held(held) => (Some(held.clone()), None),
        };
        let previous = spec.previous.as_ref();
        let previous_value = match previous {
            Some(previous) => seal(previous.value.as_ref(), previous.version)?,
            None => None,
        };
        let doc = SecretDoc {
            held,
            destinations: spec.destinations.clone(),
            use_by: spec.use_by.clone(),
            read_by: spec.read_by.clone(),
        };
        // A value's last use goes with it when another takes its place.
        let statement = sqlx::query(
            "INSERT INTO secrets (id, account, name, description, enabled, valid_until, doc, version, value, rotated, \
             previous_version, previous, previous_until, revision, created, changed) VALUES ($1, $2, $3, $4, $5, $6, \
             $7, $8, $9, $10, $11, $12, $13, $14, $15, $15) ON CONFLICT (id) DO UPDATE SET \
             description = excluded.description, enabled = excluded.enabled, valid_until = excluded.valid_until, \
             doc = excluded.doc, value = excluded.value, rotated = excluded.rotated, \
             previous_last_used = CASE WHEN excluded.previous_version IS NULL THEN NULL WHEN \
             excluded.previous_version = secrets.version THEN secrets.last_used ELSE secrets.previous_last_used END, \
             last_used = CASE WHEN excluded.version = secrets.version THEN secrets.last_used ELSE NULL END, \
             version = excluded.version, previous_version = excluded.previous_version, previous = excluded.previous, \
             previous_until = excluded.previous_until, revision = excluded.revision, changed = excluded.changed",
        )
        .bind(id)
        .bind(secret.account.to_string())
        .bind(spec.name.to_string())
        .bind(spec.description.clone())
        .bind(i64::from(spec.enabled))
        .bind(spec.valid_until.map(Timestamp::as_millis))
        .bind(docs::secret::write(&doc))
        .bind(number(secret.version))
        .bind(value)
        .bind(secret.rotated.as_millis())
        .bind(previous.map(|previous| number(previous.version)))
        .bind(previous_value)
        .bind(previous.map(|previous| previous.until.as_millis()))
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        Ok(())
    }

    pub(crate) async fn delete_secret(&mut self, id: SecretId) -> Result<(), StoreError> {
        self.run(sqlx::query("DELETE FROM secrets WHERE id = $1").bind(id.to_string())).await?;
        Ok(())
    }

    /// Notes to which secrets this field of an object refers; nothing else of the field is kept in mind.
    pub(crate) async fn put_references(
        &mut self,
        referrer: &Referrer<'_>,
        text: Option<&SecretText>,
    ) -> Result<(), StoreError> {
        let statement =
            sqlx::query("DELETE FROM secret_references WHERE object = $1 AND noun = $2 AND field = $3");
        let statement = statement.bind(referrer.object.to_owned()).bind(referrer.noun);
        self.run(statement.bind(referrer.field.to_owned())).await?;
        for name in text.map(SecretText::refs).unwrap_or_default() {
            let statement = sqlx::query(
                "INSERT INTO secret_references (secret, noun, object, field) SELECT id, $1, $2, $3 FROM secrets \
                 WHERE account = $4 AND name = $5",
            );
            let statement = statement.bind(referrer.noun).bind(referrer.object.to_owned());
            let statement = statement.bind(referrer.field.to_owned()).bind(referrer.account.to_string());
            if self.run(statement.bind(name.to_string())).await? == 0 {
                return Err(StoreError::Contradiction(format!("there is no secret `{name}` to refer to")));
            }
        }
        Ok(())
    }

    /// This object refers to no secret any more.
    pub(crate) async fn forget_references(
        &mut self,
        noun: &'static str,
        object: &str,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM secret_references WHERE object = $1 AND noun = $2");
        self.run(statement.bind(object.to_owned()).bind(noun)).await?;
        Ok(())
    }

    /// Notes that these values were last used then, unless they were used later. Has neither revision nor audit.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn put_secret_use(
        &mut self,
        id: SecretId,
        version: u64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        for (column, of) in [("last_used", "version"), ("previous_last_used", "previous_version")] {
            let statement = format!(
                "UPDATE secrets SET {column} = $1 WHERE id = $2 AND {of} = $3 AND ({column} IS NULL OR {column} < $1)"
            );
            let statement =
                sqlx::query(sqlx::AssertSqlSafe(statement)).bind(at.as_millis()).bind(id.to_string());
            self.run(statement.bind(i64::try_from(version).unwrap_or(i64::MAX))).await?;
        }
        Ok(())
    }
}
