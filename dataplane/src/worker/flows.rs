//! Remembered decisions: plain packets of one flow meet the same one for as long as the tables are the same.
//!
//! A decision asks policies, routes, next hops and selectors; to remember it costs one cache line, however long
//! those are. What is remembered under one snapshot is forgotten with it, and is compared in full: a hash
//! decides only where to look.

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
    /// Twice the version of the tables, and [`FORWARD`].
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

    /// What was decided about the flow under this version of the tables.
    #[inline]
    pub(super) fn lookup(&self, place: Place, key: &FlowKey, version: u64) -> Option<Remembered> {
        let line = self.line(place);
        if line.key != *key || line.stamp >> 1 != version {
            return None;
        }
        if line.stamp & FORWARD == 0 {
            return u32::try_from(line.what).ok().and_then(Spi::new).map(Remembered::Seal);
        }
        Some(Remembered::Forward(Station::from_bits(line.what)))
    }

    /// Remembers what was decided under this version, which is never 0.
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
    fn only_the_same_flow_under_the_same_tables_is_remembered() {
        let mut flows = FlowCache::new();
        let seal = Remembered::Seal(Spi::new(0xffff_ff01).expect("an SPI"));
        let forward = Remembered::Forward(Station::from_bits(u64::MAX));
        let lookup = |flows: &FlowCache, key, version| flows.lookup(flows.place(&key), &key, version);
        assert_eq!(lookup(&flows, FlowKey::NONE, 1), None, "an empty line is nobody's");
        flows.remember(key(1), 7, seal);
        flows.remember(key(2), 7, forward);
        assert_eq!((lookup(&flows, key(1), 7), lookup(&flows, key(2), 7)), (Some(seal), Some(forward)));
        assert_eq!(lookup(&flows, key(1), 8), None, "the tables changed");
        assert_eq!(lookup(&flows, key(3), 7), None);
        flows.remember(key(1), 8, forward);
        assert_eq!(lookup(&flows, key(1), 8), Some(forward));
        // A place of its own is where to look, not what is found there.
        assert_eq!(flows.lookup(flows.place(&key(2)), &key(1), 7), None);
    }
}
