//! The domain: the epoch, the workers' slots, and the queue of what waits for them.

use std::{any::Any, collections::VecDeque, fmt};

use crossbeam_utils::CachePadded;

use crate::{
    sync::{Arc, AtomicU64, Mutex, Ordering, fence, lock},
    watch::Watch,
    worker::Worker,
};

/// A slot that no worker owns.
const VACANT: u64 = 0;
/// A slot whose worker sleeps or has not started: it holds no reference.
const OFFLINE: u64 = 1;
/// Epochs start above the two marks.
const FIRST_EPOCH: u64 = 2;

/// A group of workers whose quiescent states are awaited together.
///
/// A clone names the same group. Cheap to clone, `Send` and `Sync`.
#[derive(Clone)]
pub struct Domain {
    pub(crate) shared: Arc<Shared>,
}

/// What workers, cells and the publisher have in common.
pub(crate) struct Shared {
    /// Raised by each publication and each probe; read by every worker at each burst.
    epoch: CachePadded<AtomicU64>,
    /// One line per worker, written by it alone once it owns the slot.
    slots: Box<[CachePadded<AtomicU64>]>,
    /// In ticket order, or nearly: publishers may interleave.
    retired: Mutex<VecDeque<Retired>>,
    watch: Mutex<Vec<Watch>>,
}

/// A value that is unlinked but may still be in use.
struct Retired {
    ticket: Ticket,
    _value: Unlinked,
}

/// Owns a boxed value to which workers may still hold `&T`; dropping it frees the value.
///
/// A raw pointer, since moving a `Box` asserts that nobody else reads its content.
pub(crate) struct Unlinked(*mut (dyn Any + Send));

// SAFETY: it owns a `Send` value, which is dropped on whichever thread drops this.
unsafe impl Send for Unlinked {}

impl Unlinked {
    /// Takes over what `Box::into_raw` gave.
    ///
    /// # Safety
    ///
    /// `value` came from `Box::into_raw`, and the caller gives up its ownership.
    pub(crate) unsafe fn from_raw<T: Send + 'static>(value: *mut T) -> Unlinked {
        Unlinked(value)
    }
}

impl Drop for Unlinked {
    fn drop(&mut self) {
        // SAFETY: by `from_raw` the pointer came from `Box::into_raw` and is owned here. It is
        // dropped by `reclaim`, after every worker that could hold a reference has reported, or
        // with the domain, after every worker is gone.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// Names one publication; ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// All slots of the domain are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {slots} worker slots of the domain are taken")]
pub struct RegisterError {
    /// How many workers the domain was made for.
    pub slots: usize,
}

/// What one slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotState {
    /// No worker, or one that sleeps: it holds no reference.
    Idle,
    /// Online, and has passed every epoch up to this one.
    Passed(u64),
}

impl Domain {
    /// A domain for at most `workers` workers at a time; none is registered yet.
    #[must_use]
    pub fn new(workers: usize) -> Domain {
        let slots = (0..workers).map(|_| CachePadded::new(AtomicU64::new(VACANT))).collect();
        Domain {
            shared: Arc::new(Shared {
                epoch: CachePadded::new(AtomicU64::new(FIRST_EPOCH)),
                slots,
                retired: Mutex::new(VecDeque::new()),
                watch: Mutex::new(vec![Watch::default(); workers]),
            }),
        }
    }

    /// Registers a worker, online from this moment.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] when every slot is taken; a dropped [`Worker`] gives its slot back.
    pub fn register(&self) -> Result<Worker, RegisterError> {
        let slots = &self.shared.slots;
        let free = slots.iter().position(|slot| {
            slot.compare_exchange(VACANT, OFFLINE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        let index = free.ok_or(RegisterError { slots: slots.len() })?;
        Ok(Worker::start(Arc::clone(&self.shared), index))
    }

    /// Keeps `value`, already unlinked by the caller, until every online worker has passed this
    /// moment; [`reclaim`](Self::reclaim) then drops it.
    ///
    /// For what hangs beside a published snapshot, such as a packet held for an SA.
    pub fn retire<T: Send + 'static>(&self, value: T) -> Ticket {
        // SAFETY: the pointer comes from `into_raw` and is not used again.
        self.shared.retire(unsafe { Unlinked::from_raw(Box::into_raw(Box::new(value))) })
    }

    /// Drops every retired value that all online workers have passed, and returns how many.
    ///
    /// Values are dropped on the calling thread and outside any lock. Never waits.
    pub fn reclaim(&self) -> usize {
        let passed = self.shared.passed();
        let free: VecDeque<Retired> = {
            let mut retired = lock(&self.shared.retired);
            let (free, keep) = retired.drain(..).partition(|value| value.ticket <= passed);
            *retired = keep;
            free
        };
        free.len()
    }

    /// Whether every online worker has passed `ticket`: none still sees what was published before.
    #[must_use]
    pub fn grace_passed(&self, ticket: Ticket) -> bool {
        ticket <= self.shared.passed()
    }

    /// How many retired values wait for a worker.
    #[must_use]
    pub fn pending(&self) -> usize {
        lock(&self.shared.retired).len()
    }

    /// How many workers are registered and not offline.
    #[must_use]
    pub fn online(&self) -> usize {
        self.shared.states().filter(|state| *state != SlotState::Idle).count()
    }

    pub(crate) fn watch(&self) -> &Mutex<Vec<Watch>> {
        &self.shared.watch
    }
}

impl Shared {
    /// The current epoch; acquires everything published up to it.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Starts a new epoch, which names everything unlinked so far.
    pub(crate) fn advance(&self) -> Ticket {
        Ticket(self.epoch.fetch_add(1, Ordering::AcqRel) + 1)
    }

    pub(crate) fn retire(&self, value: Unlinked) -> Ticket {
        let ticket = self.advance();
        lock(&self.retired).push_back(Retired { ticket, _value: value });
        ticket
    }

    /// The newest ticket that every online worker has passed.
    fn passed(&self) -> Ticket {
        // Without an online worker nobody can hold anything: all that was retired before this
        // point is free, and what is retired after it has a higher ticket.
        let now = self.epoch();
        fence(Ordering::SeqCst);
        let oldest = self.states().fold(now, |oldest, state| match state {
            SlotState::Idle => oldest,
            SlotState::Passed(epoch) => oldest.min(epoch),
        });
        Ticket(oldest)
    }

    /// Every slot in turn. The caller has passed a sequentially consistent fence.
    pub(crate) fn states(&self) -> impl Iterator<Item = SlotState> {
        self.slots.iter().map(|slot| match slot.load(Ordering::Acquire) {
            VACANT | OFFLINE => SlotState::Idle,
            epoch => SlotState::Passed(epoch),
        })
    }

    /// Reports that slot `index` holds nothing older than `epoch`.
    pub(crate) fn report(&self, index: usize, epoch: u64) {
        self.slots[index].store(epoch, Ordering::Release);
    }

    /// Brings slot `index` online; returns the epoch it starts in.
    pub(crate) fn enter(&self, index: usize) -> u64 {
        let epoch = self.epoch();
        self.report(index, epoch);
        fence(Ordering::SeqCst);
        epoch
    }

    /// Takes slot `index` offline: its worker holds nothing.
    pub(crate) fn leave(&self, index: usize) {
        self.slots[index].store(OFFLINE, Ordering::Release);
    }

    /// Gives slot `index` back.
    pub(crate) fn vacate(&self, index: usize) {
        self.slots[index].store(VACANT, Ordering::Release);
    }
}

impl Ticket {
    /// The epoch that must be reached.
    pub(crate) fn epoch(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain")
            .field("slots", &self.shared.slots.len())
            .field("online", &self.online())
            .field("pending", &self.pending())
            .finish()
    }
}
