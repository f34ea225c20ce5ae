//! The key sets that tokens are verified by, as every core reads them.

use std::collections::BTreeMap;
use std::fmt;

use arc_swap::ArcSwap;
use keyward_access::jwt::{FetchedKeys, FetchedSet};
use keyward_model::KeySetUrl;

/// What was fetched.
#[derive(Default)]
pub(crate) struct KeySets(ArcSwap<BTreeMap<KeySetUrl, FetchedSet>>);

impl KeySets {
    /// Puts a set in the place of the one there was, unless that is newer.
    pub(crate) fn put(&self, url: &KeySetUrl, set: &FetchedSet) {
        self.0.rcu(|sets| {
            let mut sets = BTreeMap::clone(sets);
            if sets.get(url).is_none_or(|there| there.at <= set.at) {
                sets.insert(url.clone(), set.clone());
            }
            sets
        });
    }

    /// Forgets the sets of other addresses than these.
    pub(crate) fn keep(&self, wanted: impl Fn(&KeySetUrl) -> bool) {
        self.0.rcu(|sets| {
            let mut sets = BTreeMap::clone(sets);
            sets.retain(|url, _| wanted(url));
            sets
        });
    }
}

impl FetchedKeys for KeySets {
    fn get(&self, url: &KeySetUrl) -> Option<FetchedSet> {
        self.0.load().get(url).cloned()
    }
}

impl fmt::Debug for KeySets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.load().keys()).finish()
    }
}
