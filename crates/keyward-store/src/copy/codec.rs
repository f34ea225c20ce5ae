//! How rows and marks are written as bytes, and read back without believing any length.

use std::sync::Arc;

use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Column, Row, TypeInfo, ValueRef};

use crate::Mark;
use crate::columns::Columns;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row as it stands in the store, secrets sealed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Image {
    names: Arc<[String]>,
    cells: Vec<Cell>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Image(…)")
    }
}

impl Image {
    /// The row, as the `Any` driver gives it.
    pub(crate) fn of_any(row: &AnyRow, names: &Arc<[String]>) -> Result<Self, sqlx::Error> {
        let mut cells = Vec::with_capacity(row.columns().len());
        for (at, column) in row.columns().iter().enumerate() {
            cells.push(match column.type_info().kind() {
                AnyTypeInfoKind::Blob => {
                    row.try_get::<Option<Vec<u8>>, _>(at)?.map_or(Cell::Null, Cell::Bytes)
                }
                AnyTypeInfoKind::Text => row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
                AnyTypeInfoKind::Null => Cell::Null,
                _ => row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Number),
            });
        }
        Ok(Self { names: Arc::clone(names), cells })
    }

    /// The row, as PostgreSQL's own driver gives it.
    pub(crate) fn of_postgres(row: &PgRow, names: &Arc<[String]>) -> Result<Self, sqlx::Error> {
        let mut cells = Vec::with_capacity(row.columns().len());
        for (at, column) in row.columns().iter().enumerate() {
            cells.push(match column.type_info().name() {
                "BYTEA" => row.try_get::<Option<Vec<u8>>, _>(at)?.map_or(Cell::Null, Cell::Bytes),
                "INT8" => row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Number),
                _ => row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
            });
        }
        Ok(Self { names: Arc::clone(names), cells })
    }

    /// The row, as SQLite's own driver gives it.
    pub(crate) fn of_sqlite(row: &SqliteRow, names: &Arc<[String]>) -> Result<Self, sqlx::Error> {
        let mut cells = Vec::with_capacity(row.columns().len());
        for at in 0..row.columns().len() {
            // A column's values have types of their own there.
            let value = row.try_get_raw(at)?;
            let (is_null, kind) = (value.is_null(), value.type_info().name().to_owned());
            cells.push(match kind.as_str() {
                _ if is_null => Cell::Null,
                "BLOB" => Cell::Bytes(row.try_get(at)?),
                "TEXT" => Cell::Text(row.try_get(at)?),
                _ => Cell::Number(row.try_get(at)?),
            });
        }
        Ok(Self { names: Arc::clone(names), cells })
    }

    /// A row of these texts.
    pub(crate) fn of_texts(texts: &[(&str, String)]) -> Self {
        let names = texts.iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { names, cells: texts.iter().map(|(_, text)| Cell::Text(text.clone())).collect() }
    }

    fn cell(&self, column: &str) -> Result<&Cell, String> {
        let at = self.names.iter().position(|name| name == column);
        at.and_then(|at| self.cells.get(at)).ok_or_else(|| wrong(column))
    }
}

/// The names of a row's columns, to be shared by its like.
pub(crate) fn names_of<R: Row>(row: &R) -> Arc<[String]> {
    row.columns().iter().map(|column| column.name().to_owned()).collect()
}

impl Columns for Image {
    fn text(&self, column: &'static str) -> Result<String, String> {
        self.text_or_null(column)?.ok_or_else(|| wrong(column))
    }

    fn text_or_null(&self, column: &'static str) -> Result<Option<String>, String> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text.clone())),
            _ => Err(wrong(column)),
        }
    }

    fn number(&self, column: &'static str) -> Result<i64, String> {
        self.number_or_null(column)?.ok_or_else(|| wrong(column))
    }

    fn number_or_null(&self, column: &'static str) -> Result<Option<i64>, String> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Number(number) => Ok(Some(*number)),
            _ => Err(wrong(column)),
        }
    }

    fn bytes_or_null(&self, column: &'static str) -> Result<Option<Vec<u8>>, String> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes.clone())),
            _ => Err(wrong(column)),
        }
    }
}

fn wrong(column: &str) -> String {
    format!("its `{column}` is missing or of another type")
}

/// Writes bytes.
#[derive(Default)]
pub(crate) struct Encoder(pub(crate) Vec<u8>);

impl Encoder {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn mark(&mut self, mark: &Mark) {
        self.number(mark.revision);
        self.number(mark.audit_seq);
        self.bytes(&mark.audit_hash);
    }

    /// Rows of the same columns.
    pub(crate) fn rows(&mut self, rows: &[Image]) {
        let names = rows.first().map(|row| Arc::clone(&row.names)).unwrap_or_default();
        self.count(names.len());
        names.iter().for_each(|name| self.bytes(name.as_bytes()));
        self.count(rows.len());
        for cell in rows.iter().flat_map(|row| &row.cells) {
            match cell {
                Cell::Null => self.byte(0),
                Cell::Number(number) => {
                    self.byte(1);
                    self.0.extend_from_slice(&number.to_le_bytes());
                }
                Cell::Text(text) => {
                    self.byte(2);
                    self.bytes(text.as_bytes());
                }
                Cell::Bytes(bytes) => {
                    self.byte(3);
                    self.bytes(bytes);
                }
            }
        }
    }
}

/// Reads bytes. What does not add up is the one error.
pub(crate) struct Decoder<'b>(pub(crate) &'b [u8]);

/// Bytes that do not say what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'b> Decoder<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Malformed)?))
    }

    fn signed(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.take(8)?.try_into().map_err(|_| Malformed)?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'b str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// A count of things of which each has a byte at least.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        if count > self.0.len() { Err(Malformed) } else { Ok(count) }
    }

    pub(crate) fn mark(&mut self) -> Result<Mark, Malformed> {
        Ok(Mark { revision: self.number()?, audit_seq: self.number()?, audit_hash: self.bytes()?.to_vec() })
    }

    pub(crate) fn rows(&mut self) -> Result<Vec<Image>, Malformed> {
        let columns = self.count()?;
        let names: Result<Vec<String>, Malformed> =
            (0..columns).map(|_| Ok(self.text()?.to_owned())).collect();
        let names: Arc<[String]> = names?.into();
        let rows = self.count()?;
        (0..rows)
            .map(|_| {
                let cells: Result<Vec<Cell>, Malformed> = (0..columns).map(|_| self.cell()).collect();
                Ok(Image { names: Arc::clone(&names), cells: cells? })
            })
            .collect()
    }

    fn cell(&mut self) -> Result<Cell, Malformed> {
        Ok(match self.byte()? {
            0 => Cell::Null,
            1 => Cell::Number(self.signed()?),
            2 => Cell::Text(self.text()?.to_owned()),
            3 => Cell::Bytes(self.bytes()?.to_vec()),
            _ => return Err(Malformed),
        })
    }
}
