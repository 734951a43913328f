//! Where a worker's time goes: turn by turn always, and stage by stage in one burst of a few.
//!
//! A turn is timed from its start to the start of the next one, by the one reading of the clock that it takes anyway.
//! A stage costs a reading of its own, some 20 ticks: spread over a full burst that is little, on a burst of one
//! packet it would not be.

use super::counters::{Figure, Row, WorkerCounters};

/// One burst of so many is timed by stage.
const EVERY: u32 = 16;

macro_rules! stages {
    ($($variant:ident = $name:literal, $help:literal;)+) => {
        /// A part of a burst's way, in order.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Stage {
            $(#[doc = $help] $variant,)+
        }

        impl Stage {
            /// Every stage, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As `show runtime` has it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            pub(super) const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

stages! {
    Receive = "receive", "Polling receive queues and the queues of other workers and the agent.";
    Admit = "admit", "Reading headers and deciding about what came in.";
    Open = "open", "Decrypting, checking, and deciding about what came out.";
    Seal = "seal", "Laying out and encrypting.";
    Transmit = "transmit", "Finding neighbours, writing Ethernet headers, filling transmit queues.";
}

/// Times the stages of one burst out of [`EVERY`].
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    bursts: u32,
    runs: bool,
    /// End of the stage before, ticks.
    last: u64,
    /// By stage.
    ticks: [u64; Stage::ALL.len()],
    /// Packets of the bursts that were timed.
    packets: u64,
}

impl Stopwatch {
    /// Begins a burst of `packets` whose turn began at `now`.
    #[inline]
    pub(super) fn start(&mut self, now: u64, packets: usize) {
        self.bursts = self.bursts.wrapping_add(1);
        self.runs = self.bursts.is_multiple_of(EVERY);
        if self.runs {
            self.last = now;
            self.packets += packets as u64;
        }
    }

    /// Ends a stage.
    #[inline]
    pub(super) fn lap(&mut self, stage: Stage) {
        if self.runs {
            let now = dpdk::tsc();
            // A thread that moved to another core may find an earlier time there.
            self.ticks[stage as usize] += now.saturating_sub(self.last);
            self.last = now;
        }
    }

    /// Ends the burst: what was measured so far is on the page.
    #[inline]
    pub(super) fn stop(&mut self, counters: &mut WorkerCounters) {
        if self.runs {
            counters.set(Figure::TimedPackets, self.packets);
            for (place, ticks) in self.ticks.iter().enumerate() {
                counters.set_in(Row::StageTicks, place, *ticks);
            }
        }
    }
}

/// Times turns: the share of idle ones, and how long any took.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Start of the turn before, ticks; none before the first turn.
    last: Option<u64>,
    /// That turn brought packets.
    busy: bool,
    slept: bool,
}

impl Pace {
    /// Begins a turn at `now`: the time since the one before was that one's.
    #[inline]
    pub(super) fn begin(&mut self, now: u64, counters: &mut WorkerCounters) {
        let Some(last) = self.last.replace(now) else { return };
        let ticks = now.saturating_sub(last);
        counters.add(if self.busy { Figure::BusyTicks } else { Figure::IdleTicks }, ticks);
        if !std::mem::take(&mut self.slept) {
            counters.add_in(Row::Gaps, gap_place(ticks), 1);
        }
    }

    /// Ends a turn that brought `packets`.
    #[inline]
    pub(super) fn end(&mut self, packets: usize, counters: &mut WorkerCounters) {
        self.busy = packets > 0;
        if self.busy {
            counters.add(Figure::Bursts, 1);
            counters.add(Figure::Packets, packets as u64);
            counters.add_in(Row::BurstSizes, burst_place(packets), 1);
        } else {
            counters.add(Figure::EmptyPolls, 1);
        }
    }

    /// The worker slept since the last turn: idle, and no gap.
    pub(super) fn slept(&mut self) {
        self.slept = true;
    }
}

/// Places of [`Row::BurstSizes`]: 1, 2, up to 4, up to 8 and so on packets, up to a full burst.
pub const BURST_SIZES: usize = 7;

/// The largest burst that counts in a place of [`Row::BurstSizes`].
#[must_use]
pub const fn burst_limit(place: usize) -> u64 {
    1 << place
}

#[inline]
fn burst_place(packets: usize) -> usize {
    let place = packets.saturating_sub(1).checked_ilog2().map_or(0, |log| log as usize + 1);
    place.min(BURST_SIZES - 1)
}

/// Places of [`Row::Gaps`].
pub const GAPS: usize = 32;
/// The first place takes gaps of fewer than two to the power of this many ticks.
const SHORTEST_GAP: u32 = 6;

/// The ticks that a gap in a place of [`Row::Gaps`] stays below; the last place takes the longer ones, too.
#[must_use]
pub const fn gap_limit(place: usize) -> u64 {
    1 << (SHORTEST_GAP as usize + place)
}

#[inline]
fn gap_place(ticks: u64) -> usize {
    let bits = (u64::BITS - ticks.leading_zeros()).saturating_sub(SHORTEST_GAP) as usize;
    bits.min(GAPS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::BURST;

    #[test]
    fn every_burst_and_every_gap_has_its_place() {
        assert_eq!(burst_limit(BURST_SIZES - 1), BURST as u64);
        for packets in 1..=BURST {
            let place = burst_place(packets);
            assert!(packets as u64 <= burst_limit(place), "{packets}");
            assert!(place == 0 || packets as u64 > burst_limit(place - 1), "{packets}");
        }
        for ticks in [0, 1, 63, 64, 65, 127, 128, 1 << 20, (1 << 36) - 1] {
            let place = gap_place(ticks);
            assert!(ticks < gap_limit(place), "{ticks}");
            assert!(place == 0 || ticks >= gap_limit(place - 1), "{ticks}");
        }
        assert_eq!(gap_place(u64::MAX), GAPS - 1);
    }
}
