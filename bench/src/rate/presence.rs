//! Whether a polling thread was there all the time.

use std::time::Duration;

use crate::machine::CpuClock;
use crate::rate::clock;

/// Watches the rounds of a thread that polls; used on that thread.
pub(crate) struct Presence {
    clock: CpuClock,
    /// TSC of the end of the last round.
    last: u64,
    longest: u64,
    busy: u64,
    total: u64,
}

/// What [`Presence`] saw.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Attendance {
    /// Time of all rounds.
    total: Duration,
    /// Time of rounds that brought packets.
    busy: Duration,
    /// The longest round.
    longest: Duration,
    /// Time off the CPU, as the kernel counts it.
    away: Duration,
}

impl Presence {
    pub(crate) fn start() -> Self {
        Self { clock: CpuClock::start(), last: dpdk::tsc(), longest: 0, busy: 0, total: 0 }
    }

    /// A round ended at `now`.
    #[inline]
    pub(crate) fn round(&mut self, packets: usize, now: u64) {
        let took = now - self.last;
        self.last = now;
        self.total += took;
        if packets > 0 {
            self.busy += took;
        }
        self.longest = self.longest.max(took);
    }

    pub(crate) fn finish(&self) -> Attendance {
        Attendance {
            total: clock::duration(self.total),
            busy: clock::duration(self.busy),
            longest: clock::duration(self.longest),
            away: self.clock.away(),
        }
    }
}

impl Attendance {
    pub(crate) fn add(&mut self, other: Self) {
        self.total += other.total;
        self.busy += other.busy;
        self.longest = self.longest.max(other.longest);
        self.away += other.away;
    }

    /// Share of its CPU that the thread got, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        1.0 - (self.away.as_secs_f64() / self.total.as_secs_f64().max(1e-9)).min(1.0)
    }

    /// Share of the time in rounds that brought packets, 0 to 1.
    pub(crate) fn busy(&self) -> f64 {
        self.busy.as_secs_f64() / self.total.as_secs_f64().max(1e-9)
    }

    /// True if the thread was off the CPU for longer than `bearable` in one piece: a round took that long, and most
    /// of it was not spent on the CPU.
    pub(crate) fn was_away(&self, bearable: Duration) -> bool {
        self.longest > bearable && self.away > self.longest / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_round_on_the_cpu_is_no_absence() {
        let ms = Duration::from_millis;
        let seen =
            |longest, away| Attendance { total: ms(40), busy: ms(10), longest: ms(longest), away: ms(away) };
        assert!(seen(5, 4).was_away(ms(1)));
        assert!(!seen(5, 1).was_away(ms(1)), "it worked for all that time");
        assert!(!seen(1, 4).was_away(ms(1)), "many short absences that the queue bears");
        assert!((seen(5, 4).share() - 0.9).abs() < 1e-9);
        assert!((seen(5, 4).busy() - 0.25).abs() < 1e-9);
    }
}
