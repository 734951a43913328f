//! How many objects name each object: what is named cannot go.

use crate::persist::PersistentArray;

/// Counts by identifier.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses(PersistentArray<u32>);

impl Uses {
    /// How many name the object.
    pub(super) fn of(&self, index: usize) -> u32 {
        self.0.lookup(index).copied().unwrap_or(0)
    }

    /// One more names it.
    pub(super) fn add(&mut self, index: usize) {
        *self.0.entry_or_insert_with(index, || 0) += 1;
    }

    /// One fewer names it.
    pub(super) fn release(&mut self, index: usize) {
        match self.0.lookup_mut(index) {
            Some(uses) if *uses > 1 => *uses -= 1,
            _ => drop(self.0.remove(index)),
        }
    }
}
