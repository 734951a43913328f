//! What a piece of work costs: TSC cycles, and core cycles where the processor's counter can be had.

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};

use crate::traffic::float;

/// The counter of this thread's cycles; a virtual machine often has none.
#[derive(Debug)]
pub(crate) struct CoreClock(Option<Counter>);

impl CoreClock {
    pub(crate) fn start() -> Self {
        Self(Builder::new(Hardware::CPU_CYCLES).enabled(true).build().ok())
    }

    /// Cycles in user space so far: no system call counts, this one's included.
    pub(crate) fn now(&mut self) -> Option<u64> {
        self.0.as_mut()?.read().ok()
    }
}

/// Cycles a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) tsc: f64,
    /// None where they cannot be counted.
    pub(crate) core: Option<f64>,
}

impl Cost {
    /// Of each of so many packets that took `tsc` cycles, between two readings of the core's clock.
    pub(crate) fn of(packets: usize, tsc: u64, core: (Option<u64>, Option<u64>)) -> Self {
        let each = |cycles: u64| float(usize::try_from(cycles).unwrap_or(usize::MAX)) / float(packets);
        let core = core.0.zip(core.1).map(|(before, after)| each(after.saturating_sub(before)));
        Self { tsc: each(tsc), core }
    }

    /// Of both pieces of work.
    pub(crate) fn and(self, other: Self) -> Self {
        let core = self.core.zip(other.core).map(|(one, other)| one + other);
        Self { tsc: self.tsc + other.tsc, core }
    }

    /// That below which a tenth of the runs lie: neighbours only ever add.
    pub(crate) fn lowest_tenth(runs: &[Self]) -> Self {
        let tenth = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 10).copied()
        };
        Self {
            tsc: tenth(&mut runs.iter().map(|run| run.tsc).collect()).unwrap_or(f64::NAN),
            core: tenth(&mut runs.iter().filter_map(|run| run.core).collect()),
        }
    }
}
