//! Room in a file, mapped into memory: what is stored there is in the kernel's hands at once, without a system call.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::journal::Record;

/// Room for records behind the header of a file.
#[derive(Debug)]
pub(super) struct Room {
    map: MmapRaw,
    /// How many words the header has.
    header: usize,
}

const WORD: usize = 8;
const WORDS: usize = Record::LENGTH / WORD;

impl Room {
    /// Makes room for `records` behind `header` bytes. All of it is on the disk before anything is stored in it: a
    /// disk that is full later cannot stop a store.
    ///
    /// # Errors
    /// The disk is full, or the file system cannot reserve or map room.
    pub(super) fn make(file: &File, header: usize, records: usize) -> io::Result<Self> {
        let length = header + records * Record::LENGTH;
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, length as u64)?;
        Ok(Self { map: MmapOptions::new().len(length).map_raw(file)?, header: header / WORD })
    }

    /// Stores a record at its place; `false` where there is no room for it.
    ///
    /// The last word, which no record leaves zero, is stored last: a record that was interrupted counts as none.
    pub(super) fn store(&self, place: u64, record: Record) -> bool {
        let start =
            usize::try_from(place).ok().and_then(|place| place.checked_mul(WORDS)?.checked_add(self.header));
        let slots = start.and_then(|start| self.words().get(start..start.checked_add(WORDS)?));
        let Some([caller_low, caller_high, hash, until]) = slots else { return false };
        caller_low.store((record.caller as u64).to_le(), Ordering::Relaxed);
        caller_high.store(((record.caller >> 64) as u64).to_le(), Ordering::Relaxed);
        hash.store(record.hash.to_le(), Ordering::Relaxed);
        until.store((record.until_ms as u64).to_le(), Ordering::Release);
        true
    }

    #[expect(
        unsafe_code,
        reason = "decision 0006: a system call for each nonce costs more than its whole check"
    )]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping begins on a page and stays until `self` is dropped, its length is that of the slice, and
        // it is only ever used as atomics, which whoever else has the file mapped may change at any time.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), self.map.len() / WORD) }
    }
}
