//! Reading a copy: where it leads to, and every object as it is there.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::codec::{Decoder, Image, Malformed};
use super::frames::{FrameError, FrameReader};
use super::unit::{Unit, UnitKey, key_of};
use super::write::{AT, END, ROWS};
use super::{LocalCopy, folder, numbered};
use crate::load::{self, Assembly};
use crate::native::NativeRow;
use crate::seal::Sealer;
use crate::{Mark, Quarantined, Record, Store, StoreError};

/// Why a copy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("{0} was altered, or is not this node's")]
    Altered(String),
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, String),
}

/// A copy that is there.
pub(crate) struct Found {
    base: PathBuf,
    number: u64,
    pub(crate) store: Uuid,
    pub(crate) mark: Mark,
    /// What journals say of objects: it goes before what the base says.
    units: HashMap<UnitKey, Unit>,
}

impl LocalCopy {
    /// Where the copy leads to; `None` where there is none.
    pub(super) fn position(&self) -> Result<Option<Mark>, CopyError> {
        let found = Found::look(&self.folder, &self.sealer)?;
        let mut files = self.files();
        let numbers = numbered(&self.folder).unwrap_or_default();
        files.number = numbers.iter().map(|(_, number, _)| *number).max().unwrap_or(0);
        let Some(found) = found else { return Ok(None) };
        if found.store != self.store {
            return Err(CopyError::Altered("it belongs to another store, or".to_owned()));
        }
        files.has_base = true;
        files.base_bytes = std::fs::metadata(&found.base).map(|data| data.len()).unwrap_or(0);
        Ok(Some(found.mark))
    }
}

impl Found {
    /// The copy in this data folder, if there is one.
    pub(crate) fn at(data_dir: &Path, sealer: &Sealer) -> Result<Option<Self>, CopyError> {
        Self::look(&folder(data_dir), sealer)
    }

    fn look(folder: &Path, sealer: &Sealer) -> Result<Option<Self>, CopyError> {
        let mut files = numbered(folder)
            .map_err(|error| CopyError::Unreadable(folder.display().to_string(), error.to_string()))?;
        files.sort();
        let base = files.iter().rfind(|(kind, ..)| kind == "base").cloned();
        let Some((_, number, base)) = base else { return Ok(None) };
        let mut reader = open(&base, b'b', number, sealer)?;
        let at = next(&mut reader, &base, End::Missing)?.ok_or_else(|| altered(&base))?;
        let mark = decode(&base, &at, |bytes| match bytes.byte()? {
            AT => bytes.mark(),
            _ => Err(Malformed),
        })?;
        let mut found = Self { base, number, store: reader.store(), mark, units: HashMap::new() };
        for (_, number, journal) in files.iter().filter(|(kind, at, _)| kind == "journal" && *at >= number) {
            found.read_journal(journal, *number, sealer)?;
        }
        Ok(Some(found))
    }

    fn read_journal(&mut self, path: &Path, number: u64, sealer: &Sealer) -> Result<(), CopyError> {
        let mut reader = match FrameReader::open(path, b'j', number, sealer) {
            // It was just being made.
            Err(FrameError::Torn) => return Ok(()),
            reader => reader.map_err(|error| refused(path, error))?,
        };
        if reader.store() != self.store {
            return Err(altered(path));
        }
        while let Some(frame) = next(&mut reader, path, End::Torn)? {
            let (from, mark, units) = decode(path, &frame, read_frame)?;
            if mark.revision <= self.mark.revision {
                continue;
            }
            if from > self.mark.revision {
                return Err(altered(path));
            }
            self.mark = mark;
            self.units.extend(units);
        }
        Ok(())
    }

    /// Gives every object to `take`, as [`Store::load_all`] does.
    pub(crate) fn load(
        mut self,
        sealer: &Sealer,
        mut take: impl FnMut(Result<Record, Quarantined>),
    ) -> Result<Mark, CopyError> {
        let mut later: BTreeMap<String, Vec<NativeRow>> = BTreeMap::new();
        let mut changed = std::collections::HashSet::new();
        for (key, rows) in std::mem::take(&mut self.units) {
            changed.insert(key);
            for (table, row) in rows {
                later.entry(table).or_default().push(NativeRow::Image(row));
            }
        }
        let mut base = Base::open(&self.base, self.number, sealer)?;
        let mut assembly = Assembly::new(sealer);
        for table in load::order() {
            while let Some(rows) = base.rows_of(table)? {
                let rows = rows
                    .into_iter()
                    .filter(|row| key_of(table, row).map_or(true, |key| !changed.contains(&key)));
                assembly.add(table, rows.map(NativeRow::Image).collect(), &mut take);
            }
            assembly.add(table, later.remove(table).unwrap_or_default(), &mut take);
            assembly.end(table, &mut take);
        }
        base.end()?;
        Ok(self.mark)
    }
}

/// A base that is read from its beginning to its end.
struct Base<'p> {
    path: &'p Path,
    reader: FrameReader,
    frames: u64,
    /// A frame of a later table, or the end.
    ahead: Option<Vec<u8>>,
}

impl<'p> Base<'p> {
    fn open(path: &'p Path, number: u64, sealer: &Sealer) -> Result<Self, CopyError> {
        let mut reader = open(path, b'b', number, sealer)?;
        next(&mut reader, path, End::Missing)?;
        let ahead = next(&mut reader, path, End::Missing)?;
        Ok(Self { path, reader, frames: 1, ahead })
    }

    /// The next rows, if they are this table's.
    fn rows_of(&mut self, table: &str) -> Result<Option<Vec<Image>>, CopyError> {
        let Some(frame) = &self.ahead else { return Err(altered(self.path)) };
        let rows = decode(self.path, frame, |bytes| match bytes.byte()? {
            ROWS if bytes.text()? == table => bytes.rows().map(Some),
            ROWS | END => {
                bytes.0 = &[];
                Ok(None)
            }
            _ => Err(Malformed),
        })?;
        if rows.is_some() {
            self.frames += 1;
            self.ahead = next(&mut self.reader, self.path, End::Missing)?;
        }
        Ok(rows)
    }

    /// Everything must have been read, up to the frame that says how many there are.
    fn end(self) -> Result<(), CopyError> {
        let frame = self.ahead.ok_or_else(|| altered(self.path))?;
        let frames = decode(self.path, &frame, |bytes| match bytes.byte()? {
            END => bytes.number(),
            _ => Err(Malformed),
        })?;
        if frames == self.frames { Ok(()) } else { Err(altered(self.path)) }
    }
}

fn read_frame(bytes: &mut Decoder<'_>) -> Result<(u64, Mark, HashMap<UnitKey, Unit>), Malformed> {
    let (from, mark) = (bytes.number()?, bytes.mark()?);
    let mut units = HashMap::new();
    for _ in 0..bytes.count()? {
        let key = (bytes.text()?.to_owned(), bytes.text()?.to_owned());
        let rows: Result<Unit, Malformed> = (0..bytes.count()?)
            .map(|_| {
                let table = bytes.text()?.to_owned();
                let row = bytes.rows()?.pop().ok_or(Malformed)?;
                Ok((table, row))
            })
            .collect();
        units.insert(key, rows?);
    }
    Ok((from, mark, units))
}

/// What the end of a file in the middle of a frame means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// A crash: what was being written was not yet reported.
    Torn,
    /// It was whole when it got its name.
    Missing,
}

fn open(path: &Path, kind: u8, number: u64, sealer: &Sealer) -> Result<FrameReader, CopyError> {
    FrameReader::open(path, kind, number, sealer).map_err(|error| refused(path, error))
}

fn next(reader: &mut FrameReader, path: &Path, end: End) -> Result<Option<Vec<u8>>, CopyError> {
    match reader.next() {
        Err(FrameError::Torn) if end == End::Torn => Ok(None),
        frame => frame.map_err(|error| refused(path, error)),
    }
}

fn decode<T>(
    path: &Path,
    frame: &[u8],
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, Malformed>,
) -> Result<T, CopyError> {
    let mut decoder = Decoder(frame);
    let read = read(&mut decoder).map_err(|_| altered(path))?;
    if decoder.0.is_empty() { Ok(read) } else { Err(altered(path)) }
}

fn altered(path: &Path) -> CopyError {
    CopyError::Altered(path.display().to_string())
}

fn refused(path: &Path, error: FrameError) -> CopyError {
    match error {
        FrameError::Torn | FrameError::Refused => altered(path),
        FrameError::Io(error) => CopyError::Unreadable(path.display().to_string(), error.to_string()),
    }
}

impl Store {
    /// Where the local copy stands that this store was opened from, its database being away; `None` where it was not.
    pub fn opened_from_copy(&self) -> Option<&Mark> {
        self.from_copy.as_ref()
    }

    /// Gives every object of the local copy to `take`, as [`Store::load_all`] does. Returns where the copy stands.
    ///
    /// # Errors
    /// The copy cannot be used.
    pub async fn load_copy(
        &self,
        mut take: impl FnMut(Result<Record, Quarantined>),
    ) -> Result<Mark, StoreError> {
        let unusable = |error: CopyError| StoreError::Copy(error.to_string());
        let found = Found::at(&self.data_dir, &self.sealer).map_err(unusable)?;
        let found = found.ok_or_else(|| StoreError::Copy("there is none".to_owned()))?;
        found.load(&self.sealer, &mut take).map_err(unusable)
    }
}
