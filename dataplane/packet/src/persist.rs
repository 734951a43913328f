//! A persistent array: the container of every table that is indexed by an identifier.
//!
//! Cloning is one reference count; a change copies the path to one chunk, and only where that path is
//! still shared with another snapshot. Reading is three dependent loads, of which tables of the usual sizes
//! have the first two in the nearest caches, and touches no reference count.

use std::fmt;
use std::sync::Arc;

/// Slots per chunk: what a first change after a clone copies.
const CHUNK: usize = 8;
/// Chunks per branch: their pointers are copied with it.
const BRANCH: usize = 128;

type Chunk<T> = [Option<T>; CHUNK];
type Branch<T> = [Option<Arc<Chunk<T>>>; BRANCH];

/// A sparse array of `T` indexed by small integers, with structure shared between clones.
pub struct PersistentArray<T> {
    branches: Arc<[Option<Arc<Branch<T>>>]>,
    len: usize,
}

impl<T> Clone for PersistentArray<T> {
    fn clone(&self) -> Self {
        Self { branches: Arc::clone(&self.branches), len: self.len }
    }
}

impl<T> Default for PersistentArray<T> {
    fn default() -> Self {
        Self { branches: Arc::from([]), len: 0 }
    }
}

impl<T> PersistentArray<T> {
    /// The number of occupied slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no slot is occupied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value at `index`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, index: usize) -> Option<&T> {
        self.place(index)?.as_ref()
    }

    /// Where the value at `index` would be; the place itself is not read, so that it can be prefetched.
    #[inline]
    #[must_use]
    pub fn place(&self, index: usize) -> Option<&Option<T>> {
        let branch = self.branches.get(index / CHUNK / BRANCH)?.as_ref()?;
        Some(&branch[index / CHUNK % BRANCH].as_ref()?[index % CHUNK])
    }

    /// The occupied slots in the order of their index.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.iter_from(0)
    }

    /// The occupied slots from `start` on, in the order of their index; what lies before is not looked at.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = (usize, &T)> {
        let first = start / CHUNK / BRANCH;
        let branches = self.branches.iter().enumerate().skip(first);
        let chunks = branches.filter_map(|(i, branch)| Some((i * BRANCH, branch.as_deref()?))).flat_map(
            move |(base, branch)| {
                let skipped = (start / CHUNK).saturating_sub(base);
                branch
                    .iter()
                    .enumerate()
                    .skip(skipped)
                    .filter_map(move |(i, c)| Some((base + i, c.as_deref()?)))
            },
        );
        let slots = chunks.flat_map(|(i, chunk)| {
            chunk.iter().enumerate().filter_map(move |(j, slot)| Some((i * CHUNK + j, slot.as_ref()?)))
        });
        slots.skip_while(move |(index, _)| *index < start)
    }
}

impl<T: Clone> PersistentArray<T> {
    /// The value at `index` for changing; copies the path if it is shared.
    pub fn lookup_mut(&mut self, index: usize) -> Option<&mut T> {
        self.lookup(index)?; // do not copy a path to nothing
        self.slot_mut(index).as_mut()
    }

    /// Puts `value` at `index` and returns what was there. Grows to `index`: the caller bounds it.
    pub fn insert(&mut self, index: usize, value: T) -> Option<T> {
        let old = self.slot_mut(index).replace(value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Empties the slot at `index` and returns what was there.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        self.lookup(index)?;
        let old = self.slot_mut(index).take();
        self.len -= usize::from(old.is_some());
        old
    }

    /// The value at `index`, put there by `make` if the slot was empty.
    pub fn entry_or_insert_with(&mut self, index: usize, make: impl FnOnce() -> T) -> &mut T {
        self.len += usize::from(self.lookup(index).is_none());
        self.slot_mut(index).get_or_insert_with(make)
    }

    fn slot_mut(&mut self, index: usize) -> &mut Option<T> {
        let at = index / CHUNK / BRANCH;
        if self.branches.len() <= at {
            let old = self.branches.iter().cloned();
            self.branches = old.chain(std::iter::repeat_n(None, at + 1 - self.branches.len())).collect();
        }
        let branch =
            Arc::make_mut(&mut self.branches)[at].get_or_insert_with(|| Arc::new([const { None }; BRANCH]));
        let chunk = Arc::make_mut(branch)[index / CHUNK % BRANCH]
            .get_or_insert_with(|| Arc::new([const { None }; CHUNK]));
        &mut Arc::make_mut(chunk)[index % CHUNK]
    }
}

impl<T: fmt::Debug> fmt::Debug for PersistentArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// In one chunk, one branch, or three.
    fn index() -> impl Strategy<Value = usize> {
        prop_oneof![0..10usize, 0..500usize, 0..2 * CHUNK * BRANCH + 9]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_like_a_map_and_leaves_clones_alone(
            before in prop::collection::vec((index(), any::<Option<u8>>()), 0..40),
            after in prop::collection::vec((index(), any::<Option<u8>>()), 0..40),
            starts in prop::collection::vec(index(), 10),
        ) {
            let mut array = PersistentArray::default();
            let mut model = BTreeMap::new();
            let step = |array: &mut PersistentArray<u8>, model: &mut BTreeMap<usize, u8>, (i, v): (usize, Option<u8>)| {
                match v {
                    Some(v) => assert_eq!(array.insert(i, v), model.insert(i, v)),
                    None => assert_eq!(array.remove(i), model.remove(&i)),
                }
            };
            for op in before { step(&mut array, &mut model, op); }
            let (snapshot, old) = (array.clone(), model.clone());
            for op in after { step(&mut array, &mut model, op); }
            for (array, model) in [(&snapshot, &old), (&array, &model)] {
                prop_assert_eq!(array.len(), model.len());
                prop_assert!(array.iter().map(|(i, v)| (i, *v)).eq(model.iter().map(|(i, v)| (*i, *v))));
                prop_assert!((0..2200).all(|i| array.lookup(i) == model.get(&i)));
                prop_assert!((0..2200).all(|i| array.place(i).and_then(Option::as_ref) == model.get(&i)));
                for start in &starts {
                    let (from, there) = (array.iter_from(*start), model.range(start..));
                    prop_assert!(from.map(|(i, v)| (i, *v)).eq(there.map(|(i, v)| (*i, *v))));
                }
            }
        }
    }
}
