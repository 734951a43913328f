//! A registered reader.

use std::fmt;

use crate::domain::Shared;
use crate::sync::Arc;

/// A worker's membership in a [`Domain`](crate::Domain).
///
/// Loaded references borrow it, so that none outlives the next quiescent point. Dropping it
/// deregisters the worker, also when its thread panics.
pub struct Worker {
    shared: Arc<Shared>,
    index: usize,
    /// What the slot shows; spares the store while the epoch stands still.
    reported: u64,
}

impl Worker {
    /// Brings the claimed slot `index` online.
    pub(crate) fn start(shared: Arc<Shared>, index: usize) -> Worker {
        let reported = shared.enter(index);
        Worker { shared, index, reported }
    }

    /// The slot of this worker, 0 to the domain's size - 1; unique while it is registered.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Declares that nothing loaded before this call is in use any more.
    ///
    /// Called between bursts. Costs one load when nothing was published.
    #[inline]
    pub fn quiescent(&mut self) {
        let epoch = self.shared.epoch();
        if epoch != self.reported {
            self.reported = epoch;
            self.shared.report(self.index, epoch);
        }
    }

    /// Runs `sleep` offline: until it returns, nobody waits for this worker.
    ///
    /// Back online the worker must load its values anew, as after [`quiescent`](Self::quiescent).
    pub fn offline<R>(&mut self, sleep: impl FnOnce() -> R) -> R {
        /// Comes back online also when `sleep` unwinds.
        struct Wake<'a>(&'a mut Worker);
        impl Drop for Wake<'_> {
            fn drop(&mut self) {
                self.0.reported = self.0.shared.enter(self.0.index);
            }
        }
        self.shared.leave(self.index);
        let _wake = Wake(self);
        sleep()
    }

    /// Whether this worker belongs to the domain behind `shared`.
    #[inline]
    pub(crate) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.vacate(self.index);
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).field("reported", &self.reported).finish()
    }
}
