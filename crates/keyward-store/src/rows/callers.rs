//! Callers: applications and consumers.

use keyward_model::{AccountId, AppKey, Caller, CallerId, CallerKind, Name};

use super::{ListPage, Listing, Within, read_list, stored};
use crate::columns::Columns;
use crate::docs;
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, account, kind, name, description, enabled, tags, extension, sources, revision, \
             created, changed FROM callers ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");

/// Which callers a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerFilter {
    /// Only these accounts'.
    pub within: Within,
    /// Only this kind.
    pub kind: Option<CallerKind>,
    /// Only those whose name has this in it.
    pub name: Option<String>,
    /// Only those with this tag.
    pub tag: Option<(String, String)>,
    /// Only the one with this AppKey (in any case).
    pub app_key: Option<AppKey>,
    /// Only enabled, or only disabled ones.
    pub enabled: Option<bool>,
}

pub(crate) fn read(row: &impl Columns) -> Result<Stored<Caller>, String> {
    let id: CallerId = row.parsed("id")?;
    if row.text("kind")? != id.kind().noun() {
        return Err("its `kind` contradicts its id".to_owned());
    }
    let caller = Caller {
        id,
        account: row.parsed("account")?,
        name: row.parsed("name")?,
        description: row.text("description")?,
        enabled: row.flag("enabled")?,
        tags: docs::caller::read_tags(&row.text("tags")?)?,
        extension: row.text_or_null("extension")?,
        key_sources: docs::caller::read_sources(&row.text("sources")?)?,
    };
    stored(row, caller)
}

impl Reads<'_> {
    /// A page of callers.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_callers(
        &mut self,
        filter: &CallerFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Caller>>, StoreError> {
        let tag = filter.tag.as_ref().map(|(name, value)| docs::caller::tag_needle(name, value));
        // `replace` finds a text exactly, and alike in every dialect, which LIKE and instr do not.
        let statement = Listing::new(select!(""))
            .within("account", &filter.within)
            .text("kind = ?", filter.kind.map(CallerKind::noun))
            .name_has("name", filter.name.as_deref())
            .text("replace(tags, ?, '') <> tags", tag)
            .text(
                "id = (SELECT caller FROM credentials WHERE app_key_folded = ?)",
                filter.app_key.as_ref().map(AppKey::folded),
            )
            .flag("enabled", filter.enabled)
            .page(page, "id", Some("name"));
        Ok(read_list("caller", &self.all(statement).await?, read))
    }

    /// The caller with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn caller(&mut self, id: CallerId) -> Result<Option<Stored<Caller>>, StoreError> {
        Ok(self.callers(&[id]).await?.pop())
    }

    /// The callers with these ids, as far as there are any.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn callers(&mut self, ids: &[CallerId]) -> Result<Vec<Stored<Caller>>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows = self.all_in(select!("WHERE id IN"), &[], &ids).await?;
        Ok(read_list("caller", &rows, read))
    }

    /// The callers of this account and kind with these names, as far as there are any.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn callers_named(
        &mut self,
        account: AccountId,
        kind: CallerKind,
        names: &[Name],
    ) -> Result<Vec<Stored<Caller>>, StoreError> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let first = [&*account.to_string(), kind.noun()];
        let rows =
            self.all_in(select!("WHERE account = $1 AND kind = $2 AND name IN"), &first, &names).await?;
        Ok(read_list("caller", &rows, read))
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_caller(&mut self, caller: &Caller) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "INSERT INTO callers (id, account, kind, name, description, enabled, tags, extension, sources, \
             revision, created, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11) \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, \
             enabled = excluded.enabled, tags = excluded.tags, extension = excluded.extension, \
             sources = excluded.sources, revision = excluded.revision, changed = excluded.changed",
        )
        .bind(caller.id.to_string())
        .bind(caller.account.to_string())
        .bind(caller.id.kind().noun())
        .bind(caller.name.to_string())
        .bind(caller.description.clone())
        .bind(i64::from(caller.enabled))
        .bind(docs::caller::write_tags(&caller.tags))
        .bind(caller.extension.clone())
        .bind(docs::caller::write_sources(&caller.key_sources))
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        Ok(())
    }

    pub(crate) async fn delete_caller(&mut self, id: CallerId) -> Result<(), StoreError> {
        self.run(sqlx::query("DELETE FROM callers WHERE id = $1").bind(id.to_string())).await?;
        Ok(())
    }
}
