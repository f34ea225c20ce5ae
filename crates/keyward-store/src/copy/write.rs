//! Writing a base: every row as it is at one moment, on a thread of its own.

use std::fs;
use std::io;

use super::codec::Encoder;
use super::frames::{FileId, FrameWriter};
use super::{LocalCopy, numbered, sync_folder};
use crate::native::{Native, Source};
use crate::rows::{accounts, apis};
use crate::{StoreError, load};

/// Kinds of frames of a base.
pub(super) const AT: u8 = 1;
pub(super) const ROWS: u8 = 2;
pub(super) const END: u8 = 3;

fn failed(error: io::Error) -> StoreError {
    StoreError::Unavailable(format!("the data folder's `copy`: {error}"))
}

impl LocalCopy {
    /// Writes a new base, and removes what it replaces.
    pub(super) async fn write_base(&self) -> Result<(), StoreError> {
        numbered(&self.folder).map_err(failed)?;
        // From here on every change is in the new journal; the base is of now or later.
        let number = self.begin_journal().map_err(failed)?;
        let unfinished = self.folder.join("unfinished");
        let id = FileId { store: self.store, kind: b'b', number };
        let mut writer = FrameWriter::create(&unfinished, id, &self.sealer).map_err(failed)?;
        self.write_rows(&mut writer).await?;
        let mut end = Encoder::default();
        end.byte(END);
        end.number(writer.frames());
        writer.append(end.0).and_then(|()| writer.sync()).map_err(failed)?;
        fs::rename(&unfinished, self.path('b', number)).map_err(failed)?;
        sync_folder(&self.folder).map_err(failed)?;
        let mut files = self.files();
        // If the journal was given up meanwhile the base alone may lead to too old a state.
        if files.journal.is_none() || files.number != number {
            drop(files);
            return self.remove().map_err(failed);
        }
        (files.has_base, files.base_bytes) = (true, writer.written());
        for (_, older, path) in numbered(&self.folder).map_err(failed)? {
            if older < number {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn write_rows(&self, writer: &mut FrameWriter) -> Result<(), StoreError> {
        let (_source, mut native) = Source::open(&self.place).await?;
        native.begin_reading().await?;
        let mut at = Encoder::default();
        at.byte(AT);
        at.mark(&native.mark().await?);
        writer.append(at.0).map_err(failed)?;
        keep_all(writer, &mut native, "account_keys", accounts::ALL_KEYS).await?;
        let (before, after) = load::tables();
        for table in before {
            keep_ranges(writer, &mut native, table).await?;
        }
        for (table, all) in
            [("apis", apis::ALL), ("api_gateways", apis::ALL_GATEWAYS), ("api_stages", apis::ALL_STAGES)]
        {
            keep_all(writer, &mut native, table, all).await?;
        }
        for table in after {
            keep_ranges(writer, &mut native, table).await?;
        }
        native.close().await;
        Ok(())
    }
}

async fn keep_ranges(
    writer: &mut FrameWriter,
    native: &mut Native,
    table: &load::Table,
) -> Result<(), StoreError> {
    for range in 0..native.ranges(table).await? {
        let rows = native.range(table, range).await?;
        keep(writer, table.name, &rows)?;
    }
    Ok(())
}

async fn keep_all(
    writer: &mut FrameWriter,
    native: &mut Native,
    table: &str,
    all: &'static str,
) -> Result<(), StoreError> {
    let rows = native.all(all).await?;
    keep(writer, table, &rows)
}

fn keep(writer: &mut FrameWriter, table: &str, rows: &[crate::native::NativeRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut frame = Encoder::default();
    frame.byte(ROWS);
    frame.bytes(table.as_bytes());
    frame.rows(&crate::native::images(rows)?);
    writer.append(frame.0).map_err(failed)
}
