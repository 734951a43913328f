//! One published value.

use std::{fmt, marker::PhantomData};

use crate::{
    domain::{Domain, Shared, Ticket, Unlinked},
    sync::{Arc, AtomicPtr, Ordering},
    worker::Worker,
};

/// A pointer to one immutable value, replaced as a whole.
///
/// Readers never write; see the [crate documentation](crate) for the protocol.
pub struct RcuCell<T> {
    /// From `Box::into_raw`; never null. The cell owns what it points to.
    current: AtomicPtr<T>,
    shared: Arc<Shared>,
    _owns: PhantomData<T>,
}

// SAFETY: the cell hands out `&T` on any thread (`T: Sync`) and drops a `T` on the thread that
// publishes or reclaims (`T: Send`); the pointer itself is only touched atomically.
unsafe impl<T: Send + Sync> Send for RcuCell<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Send + Sync> Sync for RcuCell<T> {}

impl<T: Send + Sync + 'static> RcuCell<T> {
    /// A cell that shows `value` to the workers of `domain`.
    #[must_use]
    pub fn new(domain: &Domain, value: T) -> RcuCell<T> {
        RcuCell {
            current: AtomicPtr::new(Box::into_raw(Box::new(value))),
            shared: Arc::clone(&domain.shared),
            _owns: PhantomData,
        }
    }

    /// The current value, valid until the worker's next quiescent point. Take it once per burst:
    /// a second load may see a newer value.
    ///
    /// # Panics
    ///
    /// When `worker` is registered in another domain.
    #[inline]
    #[must_use]
    pub fn load<'a>(&'a self, worker: &'a Worker) -> &'a T {
        assert!(worker.is_of(&self.shared), "the worker belongs to another domain");
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: `current` came from `Box::into_raw` and is not null. It is freed either by
        // `Drop`, which the borrow of `self` excludes, or by `Domain::reclaim` once this worker has
        // reported an epoch after its unlinking or gone offline, which takes `&mut Worker` and so
        // is excluded by the borrow of `worker`.
        unsafe { &*current }
    }

    /// Shows `value` from now on and queues the old one. One store; never waits.
    ///
    /// Every worker sees `value` once [`Domain::grace_passed`] is true of the ticket.
    pub fn publish(&self, value: T) -> Ticket {
        let new = Box::into_raw(Box::new(value));
        let old = self.current.swap(new, Ordering::AcqRel);
        // SAFETY: `old` came from `Box::into_raw`, and the swap gave its ownership to this call.
        self.shared.retire(unsafe { Unlinked::from_raw(old) })
    }
}

impl<T> Drop for RcuCell<T> {
    fn drop(&mut self) {
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: `current` came from `Box::into_raw` and is owned by the cell. Loaded references
        // borrow the cell, so that none exists now.
        drop(unsafe { Box::from_raw(current) });
    }
}

impl<T> fmt::Debug for RcuCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RcuCell").finish_non_exhaustive()
    }
}
