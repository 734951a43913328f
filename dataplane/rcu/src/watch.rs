//! Finding workers that do not report.

use std::time::Duration;

use crate::{
    domain::{Domain, SlotState, Ticket},
    sync::{Ordering, fence, lock},
};

/// A worker that has not reported for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Laggard {
    /// Its [index](crate::Worker::index).
    pub worker: usize,
    /// How long it has owed a report; it may have been stuck a little longer.
    pub lag: Duration,
}

/// The report that one worker owes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    /// The epoch asked for and when, while the worker is online.
    owed: Option<(Ticket, Duration)>,
}

impl Domain {
    /// The online workers that have not reported since an earlier call, with the time since that
    /// call; `now` is any monotonic time.
    ///
    /// Each call asks anew of those that have answered, so that a stuck worker is found also while
    /// nothing is published. Call it at a steady pace, and judge by `lag`: one that is working
    /// shows at most about one interval.
    pub fn laggards(&self, now: Duration) -> Vec<Laggard> {
        let ask = self.shared.advance();
        fence(Ordering::SeqCst);
        let mut watch = lock(self.watch());
        let workers = watch.iter_mut().zip(self.shared.states()).enumerate();
        workers
            .filter_map(|(worker, (watch, state))| {
                let lag = watch.update(state, ask, now)?;
                Some(Laggard { worker, lag })
            })
            .collect()
    }
}

impl Watch {
    /// Takes in what the slot shows; returns the lag of a worker that still owes its report.
    fn update(&mut self, state: SlotState, ask: Ticket, now: Duration) -> Option<Duration> {
        match (state, self.owed) {
            (SlotState::Idle, _) => {
                self.owed = None;
                None
            }
            (SlotState::Passed(epoch), Some((owed, since))) if epoch < owed.epoch() => {
                Some(now.saturating_sub(since))
            }
            (SlotState::Passed(_), _) => {
                self.owed = Some((ask, now));
                None
            }
        }
    }
}
