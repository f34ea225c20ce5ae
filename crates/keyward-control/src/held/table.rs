//! What is held elsewhere, as this node knows it: where Snapshots look values up when they are compiled.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyward_access::{HeldValue, HeldValues};
use keyward_model::{HeldBy, Plaintext, Timestamp};
use tokio::sync::{Notify, watch};

/// Values by the place where they are held. A place that a Snapshot asks for, and nobody knows yet, is fetched from then on.
#[derive(Default)]
pub(crate) struct HeldTable {
    places: Mutex<BTreeMap<HeldBy, Place>>,
    /// A place was asked for that is new.
    asked: Notify,
    /// Moves when places were tried for the first time.
    tried: watch::Sender<u64>,
    /// Does somebody fetch?
    kept: AtomicBool,
}

#[derive(Default)]
struct Place {
    value: HeldValue,
    /// Was it tried to fetch it, and what came of it put in effect?
    tried: bool,
}

/// What became of a value that was put into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is what it was.
    Same,
    /// Snapshots have to look again.
    Changed,
}

impl HeldTable {
    /// Waits until a new place is asked for.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Every place, and whether it was tried.
    pub(crate) fn places(&self) -> Vec<(HeldBy, bool)> {
        self.locked().iter().map(|(by, place)| (by.clone(), place.tried)).collect()
    }

    /// These are asked for too.
    pub(crate) fn want<'p>(&self, places: impl Iterator<Item = &'p HeldBy>) {
        let mut known = self.locked();
        for by in places {
            if !known.contains_key(by) {
                known.insert(by.clone(), Place::default());
            }
        }
    }

    /// Forgets the places that nobody asks for any more.
    pub(crate) fn keep(&self, wanted: impl Fn(&HeldBy) -> bool) {
        self.locked().retain(|by, _| wanted(by));
    }

    /// What is held at a place now, or why nothing is. The value before it goes on proving who calls until `until`.
    pub(crate) fn put(&self, by: &HeldBy, found: Result<Plaintext, String>, until: Option<Timestamp>) -> Put {
        let mut places = self.locked();
        let Some(Place { value, .. }) = places.get_mut(by) else { return Put::Same };
        match found {
            Ok(found) if value.current.as_ref() == Some(&found) => return Put::Same,
            Ok(found) => {
                value.previous = value.current.take().zip(until);
                value.current = Some(found);
                value.trouble = None;
            }
            Err(why) if value.current.is_none() && value.trouble.as_ref() == Some(&why) => return Put::Same,
            Err(why) => *value = HeldValue { trouble: Some(why), ..HeldValue::default() },
        }
        Put::Changed
    }

    /// Lets go of values before, whose time is over.
    pub(crate) fn end_overlaps(&self, now: Timestamp) {
        for place in self.locked().values_mut() {
            place.value.previous.take_if(|(_, until)| *until <= now);
        }
    }

    /// What there is at these places is in effect.
    pub(crate) fn note_tried(&self, places: &[HeldBy]) {
        let mut known = self.locked();
        places.iter().for_each(|by| {
            known.entry(by.clone()).and_modify(|place| place.tried = true);
        });
        drop(known);
        self.tried.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Somebody fetches, from now on or no more.
    pub(crate) fn note_kept(&self, kept: bool) {
        self.kept.store(kept, Ordering::Release);
        self.tried.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Waits until every place was tried, but not for longer than this.
    pub(crate) async fn settled(&self, longest: Duration) {
        let mut tried = self.tried.subscribe();
        let all = tried.wait_for(|_| self.is_settled());
        // What is not there in time is refused until it comes.
        let _ = tokio::time::timeout(longest, all).await;
    }

    fn is_settled(&self) -> bool {
        !self.kept.load(Ordering::Acquire) || self.locked().values().all(|place| place.tried)
    }

    /// How many places there are, and how many of them have no value.
    pub(crate) fn count(&self) -> (usize, usize) {
        let places = self.locked();
        (places.len(), places.values().filter(|place| place.value.current.is_none()).count())
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<HeldBy, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldValues for HeldTable {
    fn get(&self, held: &HeldBy) -> HeldValue {
        let mut places = self.locked();
        match places.get(held) {
            Some(place) => place.value.clone(),
            None => {
                places.insert(held.clone(), Place::default());
                drop(places);
                self.asked.notify_one();
                HeldValue::default()
            }
        }
    }
}

impl fmt::Debug for HeldTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.locked().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> HeldBy {
        HeldBy::Env(name.into())
    }

    fn value(text: &str) -> Result<Plaintext, String> {
        Ok(Plaintext::new(text))
    }

    #[test]
    fn a_place_that_a_snapshot_asks_for_is_wanted_from_then_on() {
        let table = HeldTable::default();
        let HeldValue { current, previous, trouble } = table.get(&env("A"));
        assert!(current.is_none() && previous.is_none() && trouble.is_none());
        assert_eq!(table.places(), [(env("A"), false)]);
        table.note_tried(&[env("A"), env("B")]);
        assert_eq!(table.places(), [(env("A"), true)], "what nobody asks for is not made by being tried");
        assert_eq!(table.put(&env("B"), value("x"), None), Put::Same);
    }

    #[test]
    fn trouble_takes_every_value_away_and_a_new_value_keeps_the_one_before_for_its_overlap() {
        let table = HeldTable::default();
        let (a, until) = (env("A"), Timestamp::from_millis(9));
        table.get(&a);
        assert_eq!(table.put(&a, value("one"), Some(until)), Put::Changed);
        assert_eq!(table.put(&a, value("one"), Some(until)), Put::Same);
        assert!(table.get(&a).previous.is_none(), "there was none before");
        assert_eq!(table.put(&a, value("two"), Some(until)), Put::Changed);
        assert_eq!(table.get(&a).previous.map(|(value, until)| (value.expose_secret().to_owned(), until)), {
            Some(("one".to_owned(), until))
        });
        table.end_overlaps(Timestamp::from_millis(8));
        assert!(table.get(&a).previous.is_some());
        table.end_overlaps(until);
        assert!(table.get(&a).previous.is_none());
        assert_eq!(table.put(&a, value("three"), Some(until)), Put::Changed);
        assert_eq!(table.put(&a, Err("gone".to_owned()), Some(until)), Put::Changed);
        let held = table.get(&a);
        assert!(held.current.is_none() && held.previous.is_none());
        assert_eq!(held.trouble.as_deref(), Some("gone"));
        assert_eq!(table.put(&a, Err("gone".to_owned()), None), Put::Same);
        assert_eq!(table.count(), (1, 1));
    }

    #[test]
    fn a_table_shows_no_value() {
        let table = HeldTable::default();
        table.get(&env("A"));
        table.put(&env("A"), value("canary-value"), None);
        assert!(!format!("{table:?}").contains("canary"), "{table:?}");
    }
}
