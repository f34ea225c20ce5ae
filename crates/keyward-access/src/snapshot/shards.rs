//! A persistent map of 4,096 shards: the spine of a Snapshot.
//!
//! A change copies the shards that it concerns, the branch of 64 shards that each is on, and the spine of 64
//! branches; everything else is shared with the map before. Reading takes three steps and no lock.

use std::sync::Arc;

/// Bits of a hash that choose the branch, and then the shard on it.
const LEVEL_BITS: u32 = 6;
const LEVEL: usize = 1 << LEVEL_BITS;

/// What a map's values are told apart by where their hashes are equal.
pub(crate) trait Keyed {
    type Id: PartialEq;

    fn is(&self, id: &Self::Id) -> bool;
}

/// What becomes of one value. At most one change per hash and id.
pub(crate) struct Change<V: Keyed> {
    pub(crate) hash: u64,
    pub(crate) id: V::Id,
    /// `None`: it goes.
    pub(crate) value: Option<V>,
}

/// Values in order of their hash.
type Shard<V> = Arc<[(u64, V)]>;
type Branch<V> = [Option<Shard<V>>; LEVEL];
type Spine<V> = [Option<Arc<Branch<V>>>; LEVEL];

/// A map from 64-bit hashes to values, shared between the versions of a Snapshot.
pub(crate) struct Shards<V> {
    spine: Arc<Spine<V>>,
    len: usize,
}

impl<V> Shards<V> {
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The values of this hash: nearly always one or none.
    #[inline]
    pub(crate) fn get(&self, hash: u64) -> impl Iterator<Item = &V> {
        let shard = self.shard(hash).map_or(&[][..], |shard| shard);
        let first = position(shard, hash);
        let rest = shard.get(first..).unwrap_or_default();
        rest.iter().take_while(move |(other, _)| *other == hash).map(|(_, value)| value)
    }

    /// Every value, in order of hash.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &V> {
        let branches = self.spine.iter().flatten();
        let shards = branches.flat_map(|branch| branch.iter().flatten());
        shards.flat_map(|shard| shard.iter().map(|(_, value)| value))
    }

    #[inline]
    fn shard(&self, hash: u64) -> Option<&[(u64, V)]> {
        let (branch, shard) = levels(hash);
        self.spine.get(branch)?.as_ref()?.get(shard)?.as_deref()
    }
}

impl<V: Keyed + Clone> Shards<V> {
    /// The map that follows from this one by these changes. Copies the shards concerned and nothing else.
    pub(crate) fn with(&self, mut changes: Vec<Change<V>>) -> Self {
        changes.sort_by_key(|change| change.hash);
        let mut next = self.clone();
        let mut rest = changes.as_mut_slice();
        while let Some(first) = rest.first() {
            let place = levels(first.hash);
            let count = rest.partition_point(|change| levels(change.hash) == place);
            let (of_shard, after) = rest.split_at_mut(count);
            next.change_shard(place, of_shard);
            rest = after;
        }
        next
    }

    fn change_shard(&mut self, (branch, shard): (usize, usize), changes: &mut [Change<V>]) {
        let Some(branch) = Arc::make_mut(&mut self.spine).get_mut(branch) else { return };
        let branch = Arc::make_mut(branch.get_or_insert_with(|| Arc::new([const { None }; LEVEL])));
        let Some(place) = branch.get_mut(shard) else { return };
        let before = place.as_deref().unwrap_or_default();
        let mut after: Vec<(u64, V)> = Vec::with_capacity(before.len() + changes.len());
        after.extend(before.iter().filter(|(hash, value)| !is_changed(*hash, value, changes)).cloned());
        after.extend(changes.iter_mut().filter_map(|change| Some((change.hash, change.value.take()?))));
        // Two runs that are each in order: merged in linear time.
        after.sort_by_key(|(hash, _)| *hash);
        self.len = self.len - before.len() + after.len();
        *place = (!after.is_empty()).then(|| after.into());
    }
}

fn is_changed<V: Keyed>(hash: u64, value: &V, changes: &[Change<V>]) -> bool {
    let first = changes.partition_point(|change| change.hash < hash);
    let same = changes.iter().skip(first).take_while(|change| change.hash == hash);
    same.into_iter().any(|change| value.is(&change.id))
}

impl<V> Clone for Shards<V> {
    fn clone(&self) -> Self {
        Self { spine: Arc::clone(&self.spine), len: self.len }
    }
}

impl<V> Default for Shards<V> {
    fn default() -> Self {
        Self { spine: Arc::new([const { None }; LEVEL]), len: 0 }
    }
}

/// The branch, and the shard on it.
#[inline]
fn levels(hash: u64) -> (usize, usize) {
    let branch = hash >> (u64::BITS - LEVEL_BITS);
    let shard = (hash >> (u64::BITS - 2 * LEVEL_BITS)) & (LEVEL as u64 - 1);
    (branch as usize, shard as usize)
}

/// Where the values of this hash begin. Hashes are spread evenly, so the place can be foretold to within a few
/// entries: one or two cache lines are read where halving would read a line per step.
#[inline]
fn position<V>(shard: &[(u64, V)], hash: u64) -> usize {
    let within = u128::from(hash << (2 * LEVEL_BITS));
    let mut at = ((within * shard.len() as u128) >> u64::BITS) as usize;
    while at > 0 && shard.get(at - 1).is_some_and(|(other, _)| *other >= hash) {
        at -= 1;
    }
    while shard.get(at).is_some_and(|(other, _)| *other < hash) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Value(u8, u32);

    impl Keyed for Value {
        type Id = u8;

        fn is(&self, id: &u8) -> bool {
            self.0 == *id
        }
    }

    /// Few hashes, so that they collide, at both ends and in the middle of the range.
    fn hash() -> impl Strategy<Value = u64> {
        prop_oneof![0..4_u64, (u64::MAX - 3)..=u64::MAX, Just(1 << 52), Just((1 << 52) - 1), any::<u64>()]
    }

    proptest! {
        #[test]
        fn a_map_behaves_as_a_map(batches in prop::collection::vec(
            prop::collection::btree_map((hash(), 0..3_u8), prop::option::of(any::<u32>()), 0..12), 0..12))
        {
            let mut shards = Shards::default();
            let mut model: BTreeMap<(u64, u8), u32> = BTreeMap::new();
            for batch in batches {
                let before = (shards.clone(), model.clone());
                let changes = batch.iter().map(|(&(hash, id), value)| Change { hash, id, value: value.map(|v| Value(id, v)) });
                shards = shards.with(changes.collect());
                for (key, value) in batch {
                    match value {
                        Some(value) => model.insert(key, value),
                        None => model.remove(&key),
                    };
                }
                agree(&shards, &model);
                agree(&before.0, &before.1);
            }
        }
    }

    fn agree(shards: &Shards<Value>, model: &BTreeMap<(u64, u8), u32>) {
        assert_eq!(shards.len(), model.len());
        assert_eq!(shards.iter().count(), model.len());
        for (&(hash, id), &value) in model {
            let found: Vec<_> = shards.get(hash).filter(|found| found.is(&id)).collect();
            assert_eq!(found, [&Value(id, value)]);
        }
        assert_eq!(shards.get(77).count(), model.range((77, 0)..(78, 0)).count());
    }
}
