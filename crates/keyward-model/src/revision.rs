//! The version of a store's configuration.

use std::fmt;

use uuid::Uuid;

/// Version of the configuration: the store it belongs to, and a gap-free number in commit order.
///
/// Revisions of two stores are not comparable: a restored backup is another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision {
    /// The store that counted.
    pub store: Uuid,
    /// How many changes that store had committed.
    pub number: u64,
}

impl Revision {
    /// Does this one come after `other`, in the same store?
    pub fn is_after(&self, other: &Self) -> bool {
        self.store == other.store && self.number > other.number
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)
    }
}
