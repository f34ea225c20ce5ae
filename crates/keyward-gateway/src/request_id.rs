//! Request ids: UUIDv7, upper case, made without a system call.

use std::cell::Cell;
use std::fmt;
use std::hash::Hasher;

use keyward_model::Timestamp;
use siphasher::sip128::{Hasher128, SipHasher13};
use uuid::Uuid;

/// Names one request in every answer, header and record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; RequestId::LENGTH]);

impl RequestId {
    /// Characters of an id: 32 hexadecimal digits and four dashes.
    pub const LENGTH: usize = 36;

    /// The id as it is written: a UUID in upper case, as the vendors' clients expect.
    pub fn as_str(&self) -> &str {
        // Only `RequestIds` makes one, in ASCII; an empty id would still be safe to send.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl RequestId {
    /// The same as bytes.
    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes the request ids of one core.
///
/// The random bits are a keyed hash of the core's number and a counter. Under a key from the system's generator,
/// distinct inputs give bits that cannot be told from random ones, so the ids of other cores and nodes neither
/// collide nor can be guessed.
#[derive(Debug)]
pub struct RequestIds {
    key: [u8; 16],
    core: u64,
    counter: Cell<u64>,
}

impl RequestIds {
    /// The ids of a core under this key, which must be random; no two cores under one key have the same number.
    pub fn of_core(key: [u8; 16], core: u64) -> Self {
        Self { key, core, counter: Cell::new(0) }
    }

    /// The next id.
    pub fn next(&self, now: Timestamp) -> RequestId {
        let count = self.counter.get();
        self.counter.set(count.wrapping_add(1));
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u64(self.core);
        hasher.write_u64(count);
        let random = hasher.finish128().as_u128();
        let millis = u128::from(now.as_millis().max(0).unsigned_abs() & 0xffff_ffff_ffff);
        const VERSION_7: u128 = 0x7 << 76;
        const VARIANT: u128 = 0b10 << 62;
        const RANDOM: u128 = (0xfff << 64) | ((1 << 62) - 1);
        let uuid = Uuid::from_u128((millis << 80) | VERSION_7 | VARIANT | (random & RANDOM));
        let mut text = [0; RequestId::LENGTH];
        uuid.hyphenated().encode_upper(&mut text);
        RequestId(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_version_7_in_upper_case_and_distinct() {
        let ids = RequestIds::of_core([3; 16], 0);
        let now = Timestamp::from_millis(1_763_719_200_000);
        let made: HashSet<String> = (0..10_000).map(|_| ids.next(now).as_str().to_owned()).collect();
        assert_eq!(made.len(), 10_000);
        for id in made {
            assert_eq!(id, id.to_uppercase());
            let uuid = uuid::Uuid::parse_str(&id).unwrap();
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(uuid.as_u128() >> 80, 1_763_719_200_000);
        }
    }

    #[test]
    fn another_seed_or_core_gives_other_ids() {
        let now = Timestamp::from_millis(1);
        let one = RequestIds::of_core([1; 16], 0).next(now);
        assert_ne!(one, RequestIds::of_core([2; 16], 0).next(now));
        assert_ne!(one, RequestIds::of_core([1; 16], 1).next(now));
    }
}
