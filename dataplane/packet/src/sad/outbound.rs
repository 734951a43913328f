//! The sending half of a CHILD_SA.

use super::HOT;
use super::inbound::bump;
use super::usage::{Lifetime, Usage};
use crate::esp::{EspGeometry, SequenceCounter};
use crate::ids::{OwnerTag, Station};
use std::mem::offset_of;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// What control configured; immutable. What each packet needs comes first, and the first bytes of the key.
#[derive(Debug)]
#[repr(C)]
pub struct OutboundConfig<K> {
    /// The SPI the peer chose.
    pub peer_spi: u32,
    /// Inner packets are padded to this length, as far as the MTU goes; 0: not at all (RFC 4303 section 2.7).
    pub tfc: u16,
    /// Extended (64-bit) sequence numbers.
    pub esn: bool,
    /// Sizes of the suite.
    pub geometry: EspGeometry,
    /// The expanded key, as the crypto back-end wants it.
    pub key: K,
    /// Whose the SA is.
    pub owner_tag: OwnerTag,
}

/// Configuration and runtime state. Everything mutable is written by the owner worker only.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct OutboundSa<K> {
    /// Sequence numbers.
    pub sequence: SequenceCounter,
    station_version: AtomicU64,
    station: AtomicU64,
    /// Counters and limits.
    pub usage: Usage,
    owner: AtomicU16,
    /// What control configured.
    pub config: OutboundConfig<K>,
    policed: AtomicU64,
}

// What a packet of a random SA drags into the cache; 40 bytes stand for what it needs of a key handle.
const _: () =
    assert!(offset_of!(OutboundSa<[u64; 5]>, config.key) + 40 <= HOT && align_of::<OutboundSa<u64>>() == 64);

impl<K> OutboundSa<K> {
    /// A fresh SA owned by `worker`.
    #[must_use]
    pub fn new(config: OutboundConfig<K>, lifetime: Lifetime, worker: u16) -> Self {
        Self {
            sequence: SequenceCounter::new(config.esn),
            config,
            station_version: AtomicU64::new(0),
            station: AtomicU64::new(0),
            usage: Usage::new(lifetime),
            policed: AtomicU64::new(0),
            owner: AtomicU16::new(worker),
        }
    }

    /// The worker that issues sequence numbers and transmits.
    #[inline]
    #[must_use]
    pub fn owner(&self) -> u16 {
        self.owner.load(Relaxed)
    }

    /// Moves the SA to another worker; the agent orders it so that the old one has let go.
    pub fn set_owner(&self, worker: u16) {
        self.owner.store(worker, Relaxed);
    }

    /// Counts a packet above the limits of its connection. Owner only.
    #[inline]
    pub fn count_policed(&self) {
        bump(&self.policed);
    }

    /// Packets above the limits of the connection.
    #[must_use]
    pub fn policed(&self) -> u64 {
        self.policed.load(Relaxed)
    }

    /// What [`OutboundSa::remember_station`] stored under snapshot version `since` or a newer one: saves the outer
    /// route and neighbour lookups. Owner only.
    #[inline]
    #[must_use]
    pub fn remembered_station(&self, since: u64) -> Option<Station> {
        if self.station_version.load(Relaxed) < since {
            return None;
        }
        Some(Station::from_bits(self.station.load(Relaxed)))
    }

    /// Remembers whom packets are sent to by snapshot `version`. Owner only.
    #[inline]
    pub fn remember_station(&self, version: u64, station: Station) {
        self.station.store(station.to_bits(), Relaxed);
        self.station_version.store(version, Relaxed);
    }
}
