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

/// Where in the cache a flow is, if it is there.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Place(u32);

/// The decisions of one worker, a fixed number of them; a collision forgets the older one.
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
    /// Flows that are remembered at most: 2 MiB for each worker.
    const LINES: usize = 1 << 15;

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
        &self.lines[place.0 as usize % Self::LINES]
    }

    /// What was decided about the flow by the tables of version `since`, which is never 0, or newer ones.
    #[inline]
    pub(super) fn lookup(&self, place: Place, key: &FlowKey, since: u64) -> Option<Memory> {
        let line = self.line(place);
        let version = line.stamp >> 1;
        if line.key != *key || version < since {
            return None;
        }
        let what = if line.stamp & FORWARD == 0 {
            Remembered::Seal(u32::try_from(line.what).ok().and_then(Spi::new)?)
        } else {
            Remembered::Forward(Station::from_bits(line.what))
        };
        Some(Memory { what, version })
    }

    /// Remembers what the tables of this version decided.
    pub(super) fn remember(&mut self, key: FlowKey, version: u64, what: Remembered) {
        let place = self.place(&key).0 as usize % Self::LINES;
        let (what, kind) = match what {
            Remembered::Seal(spi) => (u64::from(spi.value()), 0),
            Remembered::Forward(station) => (station.to_bits(), FORWARD),
        };
        self.lines[place] = Line { key, stamp: version << 1 | kind, what };
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
        flows.remember(key(1), 7, seal);
        flows.remember(key(2), 7, forward);
        assert_eq!(lookup(&flows, key(1), 7), memory(seal, 7));
        assert_eq!(lookup(&flows, key(2), 1), memory(forward, 7));
        assert_eq!(lookup(&flows, key(1), 8), None, "the tables changed");
        assert_eq!(lookup(&flows, key(3), 7), None);
        flows.remember(key(1), 8, forward);
        assert_eq!(lookup(&flows, key(1), 8), memory(forward, 8));
        // A place of its own is where to look, not what is found there.
        assert_eq!(flows.lookup(flows.place(&key(2)), &key(1), 7), None);
    }
}
