//! Tokens seen before: clients send one token again and again.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::unverified::Reading;
use super::{Unverified, VerifyingKeys};

/// Remembers what cannot change about a token: what its text says, and that its signature held under a key set.
///
/// It is no memory of verdicts. Whose the token is, its times, `iss` and `aud`, the consumer, its credential and its
/// grants are judged at every request. A key set that is changed is another one, under which nothing held yet, so a key
/// that was removed verifies nothing from then on.
///
/// One for each core: it is not shared, and holds at most [`Self::TOKENS`] tokens of up to 2 KiB each.
pub struct TokenMemory {
    sets: RefCell<Box<[Set]>>,
}

/// Tokens that compete for a place; the one used last stands first.
type Set = [Option<Entry>; WAYS];

const WAYS: usize = 2;
const SETS: usize = 1024;
/// Longer tokens are read and verified at every request.
const LENGTH_MAX: usize = 2_048;

struct Entry {
    text: Box<str>,
    reading: Rc<Reading>,
    keys: Arc<VerifyingKeys>,
}

impl TokenMemory {
    /// Most tokens that are remembered.
    pub const TOKENS: usize = WAYS * SETS;

    /// An empty one.
    pub fn new() -> Self {
        Self { sets: RefCell::new((0..SETS).map(|_| Set::default()).collect()) }
    }

    /// The token of this text, if its signature held before.
    pub(crate) fn find<'t>(&self, text: &'t str) -> Option<Unverified<'t>> {
        let mut sets = self.sets.borrow_mut();
        let set = sets.get_mut(place_of(text))?;
        let way = set.iter().position(|entry| entry.as_ref().is_some_and(|entry| entry.is(text)))?;
        set.swap(0, way);
        let entry = set.first()?.as_ref()?;
        Some(Unverified::remembered(text, Rc::clone(&entry.reading), Arc::clone(&entry.keys)))
    }

    /// The signature of this token held under these keys.
    pub(crate) fn remember(&self, token: &Unverified<'_>, keys: &Arc<VerifyingKeys>) {
        if token.text().len() > LENGTH_MAX || token.held_under(keys) {
            return;
        }
        let mut sets = self.sets.borrow_mut();
        let Some(set) = sets.get_mut(place_of(token.text())) else { return };
        // The same token under other keys takes the place of itself.
        let same = set.iter().position(|entry| entry.as_ref().is_some_and(|entry| entry.is(token.text())));
        set.swap(0, same.unwrap_or(WAYS - 1));
        if let Some(first) = set.first_mut() {
            *first = Some(Entry {
                text: token.text().into(),
                reading: Rc::clone(token.reading()),
                keys: Arc::clone(keys),
            });
        }
    }
}

impl Default for TokenMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TokenMemory {
    /// None of the tokens: they may be valid.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenMemory(…)")
    }
}

impl Entry {
    /// Takes as long wherever the first difference is: whoever asks may be guessing a token that is valid.
    fn is(&self, text: &str) -> bool {
        let pairs = self.text.bytes().zip(text.bytes());
        let difference = pairs.fold(0, |difference, (ours, theirs)| difference | (ours ^ theirs));
        self.text.len() == text.len() && std::hint::black_box(difference) == 0
    }
}

/// The end of a signature is as good as random. Only who can make signatures can choose it, and would gain nothing but
/// that tokens of the same place are verified anew.
fn place_of(text: &str) -> usize {
    let end = text.as_bytes().last_chunk::<8>().map_or(0, |end| u64::from_le_bytes(*end));
    (end.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SETS
}
