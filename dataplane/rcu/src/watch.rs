//! Finding workers that do not report.

use crate::{
    domain::{Domain, SlotState, Ticket},
    sync::{Ordering, fence, lock},
};

/// A worker that has not reported for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Laggard {
    /// Its [index](crate::Worker::index).
    pub worker: usize,
    /// How many calls of [`Domain::laggards`] in a row found it without the report asked for by one before.
    pub missed: u32,
}

/// The report that one worker owes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    /// The epoch asked for and the calls since, while the worker is online.
    owed: Option<(Ticket, u32)>,
}

impl Domain {
    /// The online workers that have not reported since an earlier call, with the number of calls since.
    ///
    /// Each call asks anew of those that have answered, so that a stuck worker is found also while
    /// nothing is published. Call it at a steady pace, and judge by `missed`: one that is working shows at
    /// most about one. Calls are counted rather than time, since a clock goes on while a process is stopped.
    pub fn laggards(&self) -> Vec<Laggard> {
        let ask = self.shared.advance();
        fence(Ordering::SeqCst);
        let mut watch = lock(self.watch());
        let workers = watch.iter_mut().zip(self.shared.states()).enumerate();
        workers
            .filter_map(|(worker, (watch, state))| {
                let missed = watch.update(state, ask)?;
                Some(Laggard { worker, missed })
            })
            .collect()
    }
}

impl Watch {
    /// Takes in what the slot shows; returns the calls that a worker has let pass which still owes its report.
    fn update(&mut self, state: SlotState, ask: Ticket) -> Option<u32> {
        match (state, &mut self.owed) {
            (SlotState::Idle, _) => {
                self.owed = None;
                None
            }
            (SlotState::Passed(epoch), Some((owed, missed))) if epoch < owed.epoch() => {
                *missed = missed.saturating_add(1);
                Some(*missed)
            }
            (SlotState::Passed(_), _) => {
                self.owed = Some((ask, 0));
                None
            }
        }
    }
}
