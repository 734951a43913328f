//! A worker's counters, in the page that everybody may read.

use packet::{DropReason, InterfaceId};
use shm::counters::{CountersSpec, CountersWriter, InterfaceCounters, Text, WorkerFigures};

use super::stopwatch::{BURST_SIZES, GAPS, Stage, burst_limit, gap_limit};

macro_rules! figures {
    ($($variant:ident = $name:literal, $help:literal;)+) => {
        /// What a worker counts beside the traffic of interfaces.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Figure {
            $(#[doc = $help] $variant,)+
        }

        impl Figure {
            /// Every figure in the order of its index.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the counters page.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

figures! {
    ToAgent = "to_agent", "Packets left to the agent: ARP, IKE, ICMP and packets for us, packets that wait for a neighbour.";
    FromAgent = "from_agent", "Packets that the agent gave to be sent or forwarded.";
    HandedOver = "handed_over", "Packets given to the worker that owns their SA.";
    TakenOver = "taken_over", "Packets taken from other workers.";
    Held = "held", "Early packets that wait for the keys of their SA now.";
    Fragments = "fragments", "Additional packets made by fragmenting large ones.";
    Merged = "merged", "Fragments that became part of a packet made of several, less those packets.";
    FragmentsHeld = "fragments_held", "Fragments for us, or for SAs that name ports, that wait for the rest of their packets now.";
    NoticesLost = "notices_lost", "Hints to the agent lost because their queue was full.";
    Bursts = "bursts", "Rounds of polling that brought packets.";
    Packets = "burst_packets", "Packets that those brought, from wherever.";
    EmptyPolls = "empty_polls", "Rounds of polling that brought nothing.";
    Overloaded = "overloaded", "Rounds in which more came than could be handled or held.";
    Sleeps = "sleeps", "Times the worker slept for want of packets.";
    BusyTicks = "busy_ticks", "Ticks of the processor's clock (TSC) in rounds that brought packets.";
    IdleTicks = "idle_ticks", "Ticks in rounds that brought nothing, and asleep.";
    TimedPackets = "timed_packets", "Packets of the bursts of which each stage was timed: one of a few.";
}

/// Figures of one kind that stand in a row on the page, behind those of [`Figure`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    /// Ticks of each [`Stage`], of the packets of [`Figure::TimedPackets`].
    StageTicks,
    /// Bursts by their size, up to [`burst_limit`] packets each.
    BurstSizes,
    /// Rounds by the time they took, below [`gap_limit`] ticks each.
    Gaps,
}

impl Row {
    const ALL: [Self; 3] = [Self::StageTicks, Self::BurstSizes, Self::Gaps];

    /// How many figures it has.
    #[must_use]
    pub const fn places(self) -> usize {
        match self {
            Self::StageTicks => Stage::ALL.len(),
            Self::BurstSizes => BURST_SIZES,
            Self::Gaps => GAPS,
        }
    }

    /// The index of its figure `place` among the figures of a worker.
    #[must_use]
    pub const fn index(self, place: usize) -> usize {
        let first = match self {
            Self::StageTicks => Figure::ALL.len(),
            Self::BurstSizes => Self::StageTicks.index(Self::StageTicks.places()),
            Self::Gaps => Self::BurstSizes.index(Self::BurstSizes.places()),
        };
        first + place
    }

    fn text(self, place: usize) -> Text {
        match self {
            Self::StageTicks => {
                let stage = Stage::ALL[place];
                Text::new(format!("ticks_{}", stage.name()), stage.help())
            }
            Self::BurstSizes => {
                let limit = burst_limit(place);
                let help = format!("Bursts of up to {limit} packets, and more than the figure before has.");
                Text::new(format!("bursts_up_to_{limit}"), help)
            }
            Self::Gaps => {
                let bits = gap_limit(place).ilog2();
                let help = "Rounds that took less than two to the power of so many ticks; the last has all the longer ones.";
                Text::new(format!("gaps_below_2_to_{bits}"), help)
            }
        }
    }
}

/// The texts of all figures of a worker.
fn texts() -> Vec<Text> {
    let single = Figure::ALL.iter().map(|f| Text::new(f.name(), f.help()));
    let rows = Row::ALL.into_iter().flat_map(|row| (0..row.places()).map(move |place| row.text(place)));
    single.chain(rows).collect()
}

/// What the counters page of this process holds: a line per worker and one for the agent.
#[must_use]
pub fn spec(workers: usize, interfaces: usize, sa_slots: usize, figures: Vec<Text>) -> CountersSpec {
    CountersSpec {
        workers: workers + 1,
        interfaces,
        sa_slots,
        reasons: DropReason::ALL.iter().map(|r| Text::new(r.name(), r.help())).collect(),
        figures,
        worker_figures: texts(),
    }
}

/// The slot of an interface on a page with `slots` of them; slot 0 stands for "no interface" and takes
/// identifiers beyond the page.
#[inline]
#[must_use]
pub fn slot_of(interface: Option<InterfaceId>, slots: usize) -> usize {
    let slot = interface.map_or(0, |id| id.index() + 1);
    if slot < slots { slot } else { 0 }
}

/// The counters of one worker; nobody else writes them.
#[derive(Debug)]
pub struct WorkerCounters {
    interfaces: Vec<InterfaceCounters>,
    figures: WorkerFigures,
    /// Traffic of one interface that is not on the page yet: runs of packets are written once.
    run: Run,
}

#[derive(Debug, Default)]
struct Run {
    slot: usize,
    packets: u64,
    bytes: u64,
}

impl WorkerCounters {
    /// The counters of `worker` on a page of `interfaces` interface slots.
    #[must_use]
    pub fn new(page: &CountersWriter, worker: usize, interfaces: usize) -> Self {
        Self {
            interfaces: (0..interfaces).map(|slot| page.interface(worker, slot)).collect(),
            figures: page.worker(worker),
            run: Run::default(),
        }
    }

    /// Counts a received packet of `bytes`.
    #[inline(always)]
    pub fn rx(&mut self, interface: Option<InterfaceId>, bytes: usize) {
        let slot = self.slot(interface);
        if slot != self.run.slot {
            self.flush();
            self.run.slot = slot;
        }
        self.run.packets += 1;
        self.run.bytes += bytes as u64;
    }

    /// Writes what [`WorkerCounters::rx`] has gathered; call it at the end of a burst.
    #[inline]
    pub fn flush(&mut self) {
        if self.run.packets != 0 {
            self.interfaces[self.run.slot].add_rx(self.run.packets, self.run.bytes);
            self.run.packets = 0;
            self.run.bytes = 0;
        }
    }

    /// Counts sent packets.
    #[inline]
    pub fn tx(&mut self, interface: Option<InterfaceId>, packets: u64, bytes: u64) {
        self.interfaces[self.slot(interface)].add_tx(packets, bytes);
    }

    /// Counts a packet that came in on `interface` and is dropped.
    #[inline]
    pub fn drop(&mut self, interface: Option<InterfaceId>, reason: DropReason) {
        self.interfaces[self.slot(interface)].add_drops(reason.index(), 1);
    }

    /// Adds to a figure.
    #[inline]
    pub fn add(&mut self, figure: Figure, amount: u64) {
        self.figures.add(figure as usize, amount);
    }

    /// Sets a figure.
    #[inline]
    pub fn set(&mut self, figure: Figure, value: u64) {
        self.figures.set(figure as usize, value);
    }

    /// Adds to the figure in a place of a row.
    #[inline]
    pub fn add_in(&mut self, row: Row, place: usize, amount: u64) {
        self.figures.add(row.index(place), amount);
    }

    /// Sets the figure in a place of a row.
    #[inline]
    pub fn set_in(&mut self, row: Row, place: usize, value: u64) {
        self.figures.set(row.index(place), value);
    }

    #[inline]
    fn slot(&self, interface: Option<InterfaceId>) -> usize {
        slot_of(interface, self.interfaces.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_beyond_the_page_share_slot_zero() {
        assert_eq!(slot_of(None, 8), 0);
        assert_eq!(slot_of(Some(InterfaceId(0)), 8), 1);
        assert_eq!(slot_of(Some(InterfaceId(6)), 8), 7);
        assert_eq!(slot_of(Some(InterfaceId(7)), 8), 0);
        assert_eq!(slot_of(Some(InterfaceId(u16::MAX)), 8), 0);
    }
}
