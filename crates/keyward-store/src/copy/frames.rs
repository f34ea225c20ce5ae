//! A file of sealed frames: each is bound to its store, its file and its place in it, so that none can be changed, moved or
//! taken from another file without it being seen. Only cutting frames off the end looks like a crash.
//!
//! `magic (8), version of the digest key (4, little-endian), store id (16)`, then frames: `length (4), nonce (12), sealed, tag`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use uuid::Uuid;

use crate::seal::Sealer;

const MAGIC: &[u8; 8] = b"KWCOPY1\n";
const TAG_LEN: usize = 16;

/// No frame is longer.
const FRAME_MAX: usize = 1 << 30;

/// What a file of frames is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) store: Uuid,
    /// `b` for a base, `j` for a journal.
    pub(crate) kind: u8,
    pub(crate) number: u64,
}

impl FileId {
    fn aad(&self, version: u32, frame: u64) -> Aad<Vec<u8>> {
        let mut bytes = b"keyward local copy v1".to_vec();
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(self.store.as_bytes());
        bytes.push(self.kind);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&frame.to_le_bytes());
        Aad::from(bytes)
    }
}

/// Writes frames.
pub(crate) struct FrameWriter {
    file: BufWriter<File>,
    key: RandomizedNonceKey,
    version: u32,
    id: FileId,
    frames: u64,
    written: u64,
}

impl FrameWriter {
    /// A new file, for this user alone.
    pub(crate) fn create(path: &Path, id: FileId, sealer: &Sealer) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let version = sealer.digest_version();
        let key = sealer.copy_key(version).ok_or_else(|| io::Error::other("the key is missing"))?;
        let mut file = BufWriter::new(file);
        file.write_all(MAGIC)?;
        file.write_all(&version.to_le_bytes())?;
        file.write_all(id.store.as_bytes())?;
        Ok(Self { file, key, version, id, frames: 0, written: 28 })
    }

    /// Appends a frame; it is on disk after [`FrameWriter::sync`].
    pub(crate) fn append(&mut self, mut content: Vec<u8>) -> io::Result<()> {
        let aad = self.id.aad(self.version, self.frames);
        let nonce = self
            .key
            .seal_in_place_append_tag(aad, &mut content)
            .map_err(|_| io::Error::other("the system's random source cannot be read"))?;
        let length = NONCE_LEN + content.len();
        if length > FRAME_MAX {
            return Err(io::Error::other("a frame is too long"));
        }
        self.file.write_all(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes())?;
        self.file.write_all(nonce.as_ref())?;
        self.file.write_all(&content)?;
        self.frames += 1;
        self.written += 4 + u64::try_from(length).unwrap_or(0);
        Ok(())
    }

    /// Everything that was appended is on disk when this returns.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }

    /// How many frames there are.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// How many bytes there are.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}

/// Reads frames.
pub(crate) struct FrameReader {
    file: BufReader<File>,
    left: u64,
    key: RandomizedNonceKey,
    version: u32,
    id: FileId,
    frames: u64,
}

/// Why a frame is not there.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The file ends in the middle of it, or it is the last one and does not open: what a crash leaves behind.
    Torn,
    /// It does not open, and others follow.
    Refused,
    /// The file cannot be read.
    Io(io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Torn,
            _ => Self::Io(error),
        }
    }
}

impl FrameReader {
    /// Opens a file. Whose store it is of is believed once a frame opens.
    pub(crate) fn open(path: &Path, kind: u8, number: u64, sealer: &Sealer) -> Result<Self, FrameError> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 17, file);
        let mut head = [0_u8; 28];
        file.read_exact(&mut head)?;
        let (magic, rest) = head.split_at(8);
        let (version, store) = rest.split_at(4);
        if magic != MAGIC {
            return Err(FrameError::Refused);
        }
        let version = u32::from_le_bytes(version.try_into().map_err(|_| FrameError::Refused)?);
        let store = Uuid::from_slice(store).map_err(|_| FrameError::Refused)?;
        let key = sealer.copy_key(version).ok_or(FrameError::Refused)?;
        let id = FileId { store, kind, number };
        Ok(Self { file, left: length.saturating_sub(28), key, version, id, frames: 0 })
    }

    /// Whose store it is of.
    pub(crate) fn store(&self) -> Uuid {
        self.id.store
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut length = [0_u8; 4];
        self.file.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        self.left = self.left.checked_sub(4).ok_or(FrameError::Torn)?;
        let last = length >= self.left;
        let usual = u64::try_from(NONCE_LEN + TAG_LEN).unwrap_or(0)..=u64::try_from(FRAME_MAX).unwrap_or(0);
        if length > self.left || !usual.contains(&length) {
            return Err(if last { FrameError::Torn } else { FrameError::Refused });
        }
        let mut nonce = [0_u8; NONCE_LEN];
        self.file.read_exact(&mut nonce)?;
        let sealed = usize::try_from(length).unwrap_or(0).saturating_sub(NONCE_LEN);
        let mut content = vec![0_u8; sealed];
        self.file.read_exact(&mut content)?;
        self.left = self.left.saturating_sub(length);
        let aad = self.id.aad(self.version, self.frames);
        let opened = self.key.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut content);
        let Ok(opened) = opened.map(|opened| opened.len()) else {
            return Err(if last { FrameError::Torn } else { FrameError::Refused });
        };
        content.truncate(opened);
        self.frames += 1;
        Ok(Some(content))
    }
}
