//! What a polling worker does when nothing comes.

use std::num::NonZeroU64;
use std::thread;
use std::time::Duration;

/// What [`AdaptiveSleep::observe`] advises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Poll again at once.
    Poll,
    /// Nothing came for long: go offline in `rcu`, [`AdaptiveSleep::sleep`], come back online.
    Sleep,
}

/// Spins while packets come and sleeps briefly when they stop, so that workers that share a core with
/// others (or with the peer, on a small machine) do not starve them.
#[derive(Debug, Clone)]
pub struct AdaptiveSleep {
    spins: u32,
    nap: Duration,
    empty: u32,
}

impl AdaptiveSleep {
    /// Empty polls in a row before the first sleep.
    pub const SPINS: u32 = 1000;
    /// How long a sleep is asked to be; the kernel adds a few microseconds.
    pub const NAP: Duration = Duration::from_micros(50);

    /// Call on the worker's own thread: it asks the kernel to wake this thread within a microsecond of
    /// the time asked for (`PR_SET_TIMERSLACK`; the default of 50 µs would double each nap).
    #[must_use]
    pub fn new() -> Self {
        Self::with(Self::SPINS, Self::NAP)
    }

    /// Sleeps for `nap` after `spins` empty polls. See [`AdaptiveSleep::new`].
    #[must_use]
    pub fn with(spins: u32, nap: Duration) -> Self {
        // Refused only where prctl is filtered: then naps are longer, nothing else.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1_000));
        Self { spins, nap, empty: 0 }
    }

    /// Tells how many packets this round of polls brought, over all queues.
    #[inline]
    pub fn observe(&mut self, received: usize) -> Idle {
        if received > 0 {
            self.empty = 0;
            return Idle::Poll;
        }
        if self.empty < self.spins {
            self.empty += 1;
            return Idle::Poll;
        }
        Idle::Sleep
    }

    /// One nap. The next empty round sleeps again; the next packet returns to polling.
    pub fn sleep(&self) {
        thread::sleep(self.nap);
    }
}

impl Default for AdaptiveSleep {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_only_after_the_spins_and_wakes_by_a_packet() {
        let mut idle = AdaptiveSleep::with(2, Duration::ZERO);
        assert_eq!(idle.observe(0), Idle::Poll);
        assert_eq!(idle.observe(0), Idle::Poll);
        assert_eq!(idle.observe(0), Idle::Sleep);
        assert_eq!(idle.observe(0), Idle::Sleep);
        assert_eq!(idle.observe(1), Idle::Poll);
        assert_eq!(idle.observe(0), Idle::Poll);
    }
}
