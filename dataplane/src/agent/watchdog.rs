//! Workers that do not come round (rule 7): named within a second, and then given up.
//!
//! Silence is counted in checks, not in time: while the whole process stands still, in a debugger or with its virtual
//! machine, there are none. A worker is given up only for what is its own doing: it has spun for half a second of
//! CPU time, or waits in the kernel, where it has no business. One that others keep from its core, or that a debugger
//! holds, is only named.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rcu::Laggard;
use shm::message::WorkerSilent;

use super::environment::Environment;
use super::figures::AgentFigure;
use super::thread::{Activity, ThreadState};
use super::{Agent, AgentError};
use crate::config::StuckWorker;

/// How often every worker is asked.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);
/// Checks in a row without an answer after which a worker is named: less than a second after it got stuck.
const NAMED: u32 = 4;
/// And after which it is given up: a second or a little more.
const GIVEN_UP: u32 = 5;
/// CPU time within which a worker that runs would have come round.
const OWN_TIME: Duration = Duration::from_millis(500);

/// Why a worker does not come round, as far as one can see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// It runs, and does not come to an end.
    Spins,
    /// It waits in the kernel.
    Waits,
    /// It would run, but has hardly had CPU time.
    Starves,
    /// A signal or a debugger stopped it.
    Stopped,
    /// The kernel does not tell.
    Unknown,
}

impl Silence {
    fn of(first: Option<ThreadState>, now: Option<ThreadState>) -> Self {
        let Some((first, now)) = first.zip(now) else { return Self::Unknown };
        match now.activity {
            Activity::Stopped => Self::Stopped,
            Activity::Waits => Self::Waits,
            Activity::Runs if now.cpu.saturating_sub(first.cpu) >= OWN_TIME => Self::Spins,
            Activity::Runs => Self::Starves,
        }
    }

    /// True if it will not come round by itself.
    fn is_final(self) -> bool {
        matches!(self, Self::Spins | Self::Waits | Self::Unknown)
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spins => "it spins",
            Self::Waits => "it waits in the kernel",
            Self::Starves => "it gets no CPU time: give it a core of its own",
            Self::Stopped => "a signal or a debugger stopped it",
            Self::Unknown => "its thread cannot be looked at",
        })
    }
}

/// What a check found that the one before had not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finding {
    Named(usize, Silence),
    GivenUp(usize, Silence),
    Back(usize),
}

/// The workers that owe an answer.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    silent: BTreeMap<usize, Silent>,
}

#[derive(Clone, Copy, Debug)]
struct Silent {
    missed: u32,
    /// At the first check that it missed.
    first: Option<ThreadState>,
    silence: Silence,
    given_up: bool,
}

impl Watchdog {
    /// Call every [`INTERVAL`]; `look` says what the thread of a worker does.
    fn check(&mut self, laggards: &[Laggard], look: impl Fn(usize) -> Option<ThreadState>) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.silent.retain(|worker, silent| {
            let stays = laggards.iter().any(|laggard| laggard.worker == *worker);
            if !stays && silent.missed >= NAMED {
                findings.push(Finding::Back(*worker));
            }
            stays
        });
        for &Laggard { worker, missed } in laggards {
            let now = look(worker);
            let fresh = Silent { missed, first: now, silence: Silence::Unknown, given_up: false };
            let silent = self.silent.entry(worker).or_insert(fresh);
            silent.missed = missed;
            silent.silence = Silence::of(silent.first, now);
            if missed == NAMED {
                findings.push(Finding::Named(worker, silent.silence));
            }
            if missed >= GIVEN_UP && silent.silence.is_final() && !silent.given_up {
                silent.given_up = true;
                findings.push(Finding::GivenUp(worker, silent.silence));
            }
        }
        findings
    }

    /// For how long, at least, a worker has been silent, and why; `None` of one that is not named.
    pub(super) fn silence_of(&self, worker: usize) -> Option<(Duration, Silence)> {
        let silent = self.silent.get(&worker).filter(|silent| silent.missed >= NAMED)?;
        Some((INTERVAL * silent.missed, silent.silence))
    }

    fn named(&self) -> usize {
        self.silent.values().filter(|silent| silent.missed >= NAMED).count()
    }
}

impl<E: Environment> Agent<E> {
    /// Asks every worker for a sign of life.
    pub(super) fn watch_workers(&mut self) -> Result<(), AgentError> {
        let laggards = self.shared.domain.laggards();
        let thread = |worker: usize| {
            let seat = self.shared.mailboxes.get(worker)?.seat.get()?;
            self.environment.thread(seat.thread)
        };
        for finding in self.watchdog.check(&laggards, thread) {
            self.act_on(finding)?;
        }
        let named = u64::try_from(self.watchdog.named()).unwrap_or(u64::MAX);
        self.figures().set(AgentFigure::SilentWorkers, named);
        Ok(())
    }

    fn act_on(&mut self, finding: Finding) -> Result<(), AgentError> {
        let (worker, silent) = match finding {
            Finding::Named(worker, silence) => {
                tracing::error!("worker {worker} does not come round: {silence}");
                (worker, true)
            }
            Finding::Back(worker) => {
                tracing::info!("worker {worker} comes round again");
                (worker, false)
            }
            Finding::GivenUp(worker, silence) if self.stuck_worker == StuckWorker::Abort => {
                return Err(AgentError::WorkerStuck { worker, silence });
            }
            Finding::GivenUp(worker, silence) => {
                tracing::error!("worker {worker} is stuck ({silence}); restart the data plane");
                return Ok(());
            }
        };
        self.control.event(WorkerSilent { worker: u16::try_from(worker).unwrap_or(u16::MAX), silent });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(activity: Activity, cpu_ms: u64) -> Option<ThreadState> {
        Some(ThreadState { activity, cpu: Duration::from_millis(cpu_ms) })
    }

    /// What is found of a worker that misses checks while its thread is seen so, one after the other.
    fn findings(seen: &[Option<ThreadState>]) -> Vec<(u32, Finding)> {
        let mut dog = Watchdog::default();
        let mut all = Vec::new();
        for (missed, seen) in (1..).zip(seen) {
            let found = dog.check(&[Laggard { worker: 3, missed }], |_| *seen);
            all.extend(found.into_iter().map(|finding| (missed, finding)));
        }
        all
    }

    #[test]
    fn one_that_spins_or_waits_is_named_then_given_up_once() {
        let spins: Vec<_> = (0..8).map(|check| state(Activity::Runs, 200 * check)).collect();
        let (named, given_up) = (Finding::Named(3, Silence::Spins), Finding::GivenUp(3, Silence::Spins));
        assert_eq!(findings(&spins), [(4, named), (5, given_up)]);
        let waits = [state(Activity::Waits, 7); 8];
        let (named, given_up) = (Finding::Named(3, Silence::Waits), Finding::GivenUp(3, Silence::Waits));
        assert_eq!(findings(&waits), [(4, named), (5, given_up)]);
        assert_eq!(findings(&[None; 5]).len(), 2, "without knowing more, silence is enough");
    }

    #[test]
    fn one_that_starves_or_is_stopped_is_only_named() {
        let starves: Vec<_> = (0..20).map(|check| state(Activity::Runs, 20 * check)).collect();
        assert_eq!(findings(&starves), [(4, Finding::Named(3, Silence::Starves))]);
        assert_eq!(findings(&[state(Activity::Stopped, 0); 20]), [(4, Finding::Named(3, Silence::Stopped))]);
        let slowly: Vec<_> = (0..20).map(|check| state(Activity::Runs, 50 * check)).collect();
        assert_eq!(
            findings(&slowly)[1],
            (11, Finding::GivenUp(3, Silence::Spins)),
            "half a second of its own"
        );
    }

    #[test]
    fn one_that_comes_back_is_told_of_if_it_was_named() {
        let mut dog = Watchdog::default();
        let mut check = |missed: Option<u32>| {
            let laggards: Vec<_> = missed.map(|missed| Laggard { worker: 0, missed }).into_iter().collect();
            dog.check(&laggards, |_| state(Activity::Stopped, 0))
        };
        assert_eq!((check(Some(1)), check(None)), (vec![], vec![]));
        for missed in 1..4 {
            assert_eq!(check(Some(missed)), []);
        }
        assert_eq!(check(Some(4)), [Finding::Named(0, Silence::Stopped)]);
        assert_eq!(check(None), [Finding::Back(0)]);
        assert_eq!(dog.silence_of(0), None);
    }
}
