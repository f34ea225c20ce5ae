//! Key sets that are fetched from elsewhere.

use std::fmt;
use std::sync::Arc;

use keyward_model::{KeySetUrl, Timestamp};

use super::VerifyingKeys;

/// The key sets that are fetched for consumers, by address: no part of the configuration, but what all Snapshots of a
/// node look at. Asked about while a request is judged, so it must not block.
pub trait FetchedKeys: fmt::Debug + Send + Sync + 'static {
    /// The set of this address, if it was ever fetched.
    fn get(&self, url: &KeySetUrl) -> Option<FetchedSet>;
}

/// One key set, and when it was last as it is.
#[derive(Clone, Debug)]
pub struct FetchedSet {
    /// The keys.
    pub keys: Arc<VerifyingKeys>,
    /// When they were last fetched.
    pub at: Timestamp,
}

/// Where nothing is fetched.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingFetched;

impl FetchedKeys for NothingFetched {
    fn get(&self, _: &KeySetUrl) -> Option<FetchedSet> {
        None
    }
}

/// Whoever fetches key sets, asked because one may be out of date.
pub trait KeySetNudge: fmt::Debug + Send + Sync + 'static {
    /// A token names a key that this set does not have, or there is no set to believe. Must not block.
    ///
    /// True: the set is fetched now, and `done` is dropped once that is over. False: it was fetched just now.
    fn nudge(&self, url: &KeySetUrl, done: Box<dyn Send>) -> bool;
}
