//! What a change brought, as rows: an object's rows together, none where it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::any::AnyRow;

use super::codec::{Encoder, Image, names_of};
use crate::columns::Columns;
use crate::rows::{
    accounts, apis, callers, credentials, gateways, grants, groups, modules, plugins, secrets, services,
};
use crate::{Change, Mark, Reads, RecordId, StoreError};

/// What leads a copy from one revision to a later one.
#[derive(Debug)]
pub struct Frame {
    pub(super) from: u64,
    pub(super) mark: Mark,
    pub(super) units: BTreeMap<UnitKey, Unit>,
}

/// An object: its noun and id, as in the change log.
pub(super) type UnitKey = (String, String);

/// Its rows, by table.
pub(super) type Unit = Vec<(String, Image)>;

impl Frame {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.number(self.from);
        encoder.mark(&self.mark);
        encoder.count(self.units.len());
        for ((noun, object), rows) in &self.units {
            encoder.bytes(noun.as_bytes());
            encoder.bytes(object.as_bytes());
            encoder.count(rows.len());
            for (table, row) in rows {
                encoder.bytes(table.as_bytes());
                encoder.rows(std::slice::from_ref(row));
            }
        }
        encoder.0
    }
}

/// Which object a row belongs to.
pub(super) fn key_of(table: &str, row: &impl Columns) -> Result<UnitKey, String> {
    let (noun, object) = match table {
        "accounts" => ("account", row.text("id")?),
        "account_keys" => ("account", row.text("account")?),
        "gateways" => ("gateway", row.text("id")?),
        "secrets" => ("secret", row.text("id")?),
        "services" => ("service", row.text("id")?),
        "apis" => ("api", row.text("id")?),
        "api_gateways" | "api_stages" => ("api", row.text("api")?),
        "callers" => ("caller", row.text("id")?),
        "credentials" => ("credential", row.text("id")?),
        "caller_groups" => ("group", row.text("id")?),
        "group_members" => ("member", format!("{} {}", row.text("group_id")?, row.text("caller")?)),
        "grants" => ("grant", row.text("id")?),
        "modules" => ("module", row.text("id")?),
        "plugins" => ("plugin", row.text("id")?),
        other => return Err(format!("`{other}` is no table of a copy")),
    };
    Ok((noun.to_owned(), object))
}

/// The tables that an object's rows stand in, what reads them, and the column that its id stands in.
fn tables_of(noun: &str) -> &'static [(&'static str, &'static str, &'static str)] {
    match noun {
        "account" => &[("accounts", accounts::ALL, "id"), ("account_keys", accounts::ALL_KEYS, "account")],
        "gateway" => &[("gateways", gateways::ALL, "id")],
        "secret" => &[("secrets", secrets::ALL, "s.id")],
        "service" => &[("services", services::ALL, "s.id")],
        "api" => &[
            ("apis", apis::ALL, "id"),
            ("api_gateways", apis::ALL_GATEWAYS, "api"),
            ("api_stages", apis::ALL_STAGES, "api"),
        ],
        "caller" => &[("callers", callers::ALL, "id")],
        "credential" => &[("credentials", credentials::ALL, "id")],
        "group" => &[("caller_groups", groups::ALL, "id")],
        "grant" => &[("grants", grants::ALL, "id")],
        "module" => &[("modules", modules::ALL, "id")],
        "plugin" => &[("plugins", plugins::ALL, "id")],
        // A membership is its id; operators and tokens are nothing that requests depend on.
        _ => &[],
    }
}

impl Reads<'_> {
    /// What these changes brought, as it is now at this mark: what leads a copy there from `from`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn frame(&mut self, from: u64, mark: &Mark, changes: &[Change]) -> Result<Frame, StoreError> {
        let mut gone: BTreeMap<RecordId, bool> = BTreeMap::new();
        for change in changes {
            gone.extend(change.record.map(|id| (id, change.gone)));
        }
        let mut units: BTreeMap<UnitKey, Unit> = BTreeMap::new();
        let mut wanted: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (id, gone) in &gone {
            let key = (id.noun().to_owned(), id.to_string());
            let unit = units.entry(key).or_default();
            match id {
                RecordId::Member(group, caller) if !gone => {
                    let row =
                        Image::of_texts(&[("group_id", group.to_string()), ("caller", caller.to_string())]);
                    unit.push(("group_members".to_owned(), row));
                }
                _ if !gone => wanted.entry(id.noun()).or_default().push(id.to_string()),
                _ => {}
            }
        }
        // The rows of services and secrets carry their account's name.
        for (noun, table, all) in
            [("service", "services", services::ALL), ("secret", "secrets", secrets::ALL)]
        {
            let Some(accounts) = wanted.get("account").cloned() else { break };
            let renamed = self.rows_in(table, all, "s.account", &accounts).await?;
            let mut ids: BTreeSet<String> = renamed.into_iter().map(|((_, id), _)| id).collect();
            ids.extend(wanted.remove(noun).unwrap_or_default());
            wanted.insert(noun, ids.into_iter().collect());
        }
        for (noun, ids) in wanted {
            for (table, all, column) in tables_of(noun) {
                for (key, row) in self.rows_in(table, all, column, &ids).await? {
                    units.entry(key).or_default().push(((*table).to_owned(), row));
                }
            }
        }
        Ok(Frame { from, mark: mark.clone(), units })
    }

    async fn rows_in(
        &mut self,
        table: &str,
        all: &str,
        column: &str,
        ids: &[String],
    ) -> Result<Vec<(UnitKey, Image)>, StoreError> {
        let rows: Vec<AnyRow> = self.all_in(&format!("{all} WHERE {column} IN"), &[], ids).await?;
        let Some(names) = rows.first().map(names_of) else { return Ok(Vec::new()) };
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let image = Image::of_any(row, &Arc::clone(&names))?;
            let key = key_of(table, &image).map_err(|why| crate::reads::damaged("row", table, why))?;
            found.push((key, image));
        }
        Ok(found)
    }
}
