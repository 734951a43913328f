//! Timers as data: one slot per reason.

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// Why an IKE SA wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Our request was not answered: send it again.
    Retransmit,
    /// The data plane did not answer a command.
    DataPlane,
    /// The peer did not authenticate in time.
    HalfOpen,
    /// Nothing was heard for a while: probe.
    Probe,
    /// Nothing was heard for too long: the peer is dead.
    Dead,
    /// Replace the IKE SA.
    Rekey,
    /// Prove and have proven who is there, on a new IKE SA.
    Reauth,
    /// The IKE SA's lifetime ends.
    Expire,
}

impl Timer {
    pub(crate) const ALL: [Self; 8] = [
        Self::Retransmit,
        Self::DataPlane,
        Self::HalfOpen,
        Self::Probe,
        Self::Dead,
        Self::Rekey,
        Self::Reauth,
        Self::Expire,
    ];
}

/// The timer table of one IKE SA.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Timers {
    at: [Option<Time>; Timer::ALL.len()],
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.at[timer as usize] = Some(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    pub(crate) fn at(&self, timer: Timer) -> Option<Time> {
        self.at[timer as usize]
    }

    /// The earliest deadline, and why.
    pub(crate) fn next(&self) -> Option<(Time, Timer)> {
        Timer::ALL.into_iter().filter_map(|timer| Some((self.at(timer)?, timer))).min()
    }

    /// Takes out the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = self.next()?;
        (at <= now).then(|| {
            self.stop(timer);
            timer
        })
    }
}
