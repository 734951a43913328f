//! Remembered decisions: plain packets of one flow meet the same one for as long as nothing changes that it is about.
//!
//! A decision asks policies, routes, next hops and selectors; to remember it costs one cache line, however long
//! those are. What is remembered is compared in full (a hash decides only where to look), and beside it is the version
//! of the tables that decided: they tell since when they would decide in the same way ([`Tables::since`],
//! [`SadEntry::since`]).
//!
//! [`Tables::since`]: packet::tables::Tables::since
//! [`SadEntry::since`]: packet::sad::SadEntry::since

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use packet::plain::FlowKey;
use packet::{Spi, Station};

/// What becomes of the packets of a flow that fit the MTU and do not expire here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Remembered {
    /// They are sealed with the sending half of this SA.
    Seal(Spi),
    /// They leave in clear to this station.
    Forward(Station),
}

/// A decision, and when it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Memory {
    pub(super) what: Remembered,
    /// Of the tables that decided.
    pub(super) version: u64,
}

/// Where in the cache a flow is first looked for.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Place(u32);

/// The decisions of one worker, a fixed number of them. A flow that finds its place taken goes to another line of
/// the same set; in a full set it takes the place of the one that is there.
#[derive(Debug)]
pub(super) struct FlowCache {
    lines: Box<[Line]>,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    key: FlowKey,
    /// Twice the version of the tables that decided, and [`FORWARD`].
    stamp: u64,
    /// The SPI, or the station.
    what: u64,
}

const _: () = assert!(size_of::<Line>() == 64);

/// In a stamp: the line says where packets leave in clear.
const FORWARD: u64 = 1;

impl FlowCache {
    /// Flows that are remembered at most: 4 MiB for each worker.
    const LINES: usize = 1 << 16;
    /// Lines of a set. Of 10,000 flows in use at once 7 in 100 are not in their place, and 3 in 1,000 share a set
    /// that is too small for them.
    const WAYS: usize = 4;

    pub(super) fn new() -> Self {
        let empty = Line { key: FlowKey::NONE, stamp: 0, what: 0 };
        Self { lines: vec![empty; Self::LINES].into_boxed_slice(), seed: RandomState::new().hash_one(0) }
    }

    /// Where to look for a flow. Asks the cache for it: look a few packets later.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    pub(super) fn place(&self, key: &FlowKey) -> Place {
        let place = Place(key.hash(self.seed) as u32);
        dpdk::prefetch(self.line(place));
        place
    }

    #[inline(always)]
    fn line(&self, place: Place) -> &Line {
        &self.lines[index(place)]
    }

    /// What was decided about the flow by the tables of version `since`, which is never 0, or newer ones.
    #[inline]
    pub(super) fn lookup(&self, place: Place, key: &FlowKey, since: u64) -> Option<Memory> {
        let line = self.line(place);
        if line.is_of(key, since) {
            return line.memory();
        }
        self.lookup_beside(place, key, since)
    }

    /// The same, in the other lines of the set.
    #[inline(never)]
    fn lookup_beside(&self, place: Place, key: &FlowKey, since: u64) -> Option<Memory> {
        self.lines[set(place)].iter().find(|line| line.is_of(key, since))?.memory()
    }

    /// Remembers a decision; what is older than `since` may be forgotten for it.
    pub(super) fn remember(&mut self, key: FlowKey, memory: Memory, since: u64) {
        self.remember_at(self.place(&key), key, memory, since);
    }

    fn remember_at(&mut self, place: Place, key: FlowKey, memory: Memory, since: u64) {
        let Memory { what, version } = memory;
        let (what, kind) = match what {
            Remembered::Seal(spi) => (u64::from(spi.value()), 0),
            Remembered::Forward(station) => (station.to_bits(), FORWARD),
        };
        let line = self.room(place, &key, since);
        self.lines[line] = Line { key, stamp: version << 1 | kind, what };
    }

    /// The line for a flow: its own if it has one, else its place if that is free, else a free one beside it, else
    /// its place. What is older than `since` is free.
    fn room(&self, place: Place, key: &FlowKey, since: u64) -> usize {
        let own = set(place).find(|line| self.lines[*line].key == *key);
        let free = |line: &usize| self.lines[*line].version() < since;
        let first = index(place);
        own.or_else(|| std::iter::once(first).chain(set(place)).find(free)).unwrap_or(first)
    }
}

/// The line of a place.
#[inline(always)]
fn index(place: Place) -> usize {
    place.0 as usize % FlowCache::LINES
}

/// The lines of its set.
#[inline]
fn set(place: Place) -> Range<usize> {
    let first = index(place) / FlowCache::WAYS * FlowCache::WAYS;
    first..first + FlowCache::WAYS
}

impl Line {
    /// Of the tables that decided.
    #[inline]
    fn version(&self) -> u64 {
        self.stamp >> 1
    }

    #[inline]
    fn is_of(&self, key: &FlowKey, since: u64) -> bool {
        self.key == *key && self.version() >= since
    }

    #[inline]
    fn memory(&self) -> Option<Memory> {
        let what = if self.stamp & FORWARD == 0 {
            Remembered::Seal(u32::try_from(self.what).ok().and_then(Spi::new)?)
        } else {
            Remembered::Forward(Station::from_bits(self.what))
        };
        Some(Memory { what, version: self.version() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::VrfId;
    use packet::flow::Flow;
    use packet::plain::Origin;

    fn key(last: u8) -> FlowKey {
        let mut packet = [0; 28];
        packet[..20]
            .copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, last]);
        let flow = Flow::parse_received(&packet, Some(true)).expect("a packet");
        FlowKey::of(&flow, Origin::inside(VrfId(1))).expect("plain")
    }

    #[test]
    fn only_the_same_flow_is_remembered_and_only_by_tables_that_are_new_enough() {
        let mut flows = FlowCache::new();
        let seal = Remembered::Seal(Spi::new(0xffff_ff01).expect("an SPI"));
        let forward = Remembered::Forward(Station::from_bits(u64::MAX));
        let lookup = |flows: &FlowCache, key, since| flows.lookup(flows.place(&key), &key, since);
        let memory = |what, version| Some(Memory { what, version });
        assert_eq!(lookup(&flows, FlowKey::NONE, 1), None, "an empty line is nobody's");
        flows.remember(key(1), Memory { what: seal, version: 7 }, 1);
        flows.remember(key(2), Memory { what: forward, version: 7 }, 1);
        assert_eq!(lookup(&flows, key(1), 7), memory(seal, 7));
        assert_eq!(lookup(&flows, key(2), 1), memory(forward, 7));
        assert_eq!(lookup(&flows, key(1), 8), None, "the tables changed");
        assert_eq!(lookup(&flows, key(3), 7), None);
        flows.remember(key(1), Memory { what: forward, version: 8 }, 8);
        assert_eq!(lookup(&flows, key(1), 8), memory(forward, 8));
        // A place of its own is where to look, not what is found there.
        assert_eq!(flows.lookup(flows.place(&key(2)), &key(1), 7), None);
    }

    #[test]
    fn flows_that_share_a_place_are_remembered_side_by_side_as_far_as_their_set_goes() {
        let mut flows = FlowCache::new();
        let place = flows.place(&key(0));
        let seal = |n: u8, version| Memory {
            what: Remembered::Seal(Spi::new(0x1000 + u32::from(n)).expect("an SPI")),
            version,
        };
        for n in 0..5 {
            flows.remember_at(place, key(n), seal(n, 7), 7);
        }
        let found = |flows: &FlowCache| -> Vec<(u8, u64)> {
            let found = |n| Some((n, flows.lookup(place, &key(n), 1)?.version));
            (0..5).filter_map(found).collect()
        };
        assert_eq!(found(&flows), [(1, 7), (2, 7), (3, 7), (4, 7)], "the fifth took the place of the first");
        flows.remember_at(place, key(2), seal(2, 8), 7);
        assert_eq!(found(&flows), [(1, 7), (2, 8), (3, 7), (4, 7)], "a flow has one line");
        flows.remember_at(place, key(0), seal(0, 9), 8);
        assert_eq!(found(&flows), [(0, 9), (1, 7), (2, 8), (3, 7)], "the outdated are forgotten first");
        flows.remember_at(place, key(5), seal(5, 9), 8);
        assert_eq!(found(&flows), [(0, 9), (2, 8), (3, 7)], "beside the place too");
    }
}
