//! One file per noun: how its rows are written and read.

pub(crate) mod accounts;
pub(crate) mod answers;
pub(crate) mod apis;
pub(crate) mod callers;
pub(crate) mod credentials;
pub(crate) mod gateways;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod key_sets;
pub(crate) mod list;
pub(crate) mod modules;
pub(crate) mod nodes;
pub(crate) mod operators;
#[cfg(test)]
mod plans;
pub(crate) mod plugins;
pub(crate) mod review;
pub(crate) mod secrets;
pub(crate) mod services;
pub(crate) mod sessions;
pub(crate) mod usage;

pub(crate) use list::Listing;
pub use list::{After, ListPage, ObjectsOf, Order, Within};

use sqlx::any::AnyRow;

use crate::columns::Columns;
use crate::reads::damaged;
use crate::{StoreError, Stored};

/// Wraps what was read of a row with what every row has.
fn stored<T>(row: &impl Columns, object: T) -> Result<Stored<T>, String> {
    Ok(Stored {
        object,
        revision: row.revision()?,
        created: row.time("created")?,
        changed: row.time("changed")?,
    })
}

/// Reads rows of a noun; the first that cannot be believed is the error.
fn read_all<T>(
    noun: &'static str,
    rows: &[AnyRow],
    read: impl Fn(&AnyRow) -> Result<T, String>,
) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|row| read_one(noun, row, &read)).collect()
}

fn read_one<T>(
    noun: &'static str,
    row: &AnyRow,
    read: &impl Fn(&AnyRow) -> Result<T, String>,
) -> Result<T, StoreError> {
    read(row).map_err(|why| damaged(noun, row.text("id").unwrap_or_default(), why))
}

/// Reads rows of a list: one that cannot be believed is left out, and said so in the log.
fn read_list<T>(noun: &'static str, rows: &[AnyRow], read: impl Fn(&AnyRow) -> Result<T, String>) -> Vec<T> {
    rows.iter()
        .filter_map(|row| match read_one(noun, row, &read) {
            Ok(object) => Some(object),
            Err(error) => {
                tracing::warn!(%error, "a row is left out of a list");
                None
            }
        })
        .collect()
}
