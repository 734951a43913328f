//! What an SA has carried, and its limits.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// Which way an SA half works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The half that receives.
    Inbound,
    /// The half that sends.
    Outbound,
}

/// Which limit was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitKind {
    /// Bytes of inner packets.
    Bytes,
    /// Packets.
    Packets,
}

/// Limits of one SA; `u64::MAX` where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// A rekey is due.
    pub soft_bytes: u64,
    /// A rekey is due.
    pub soft_packets: u64,
    /// Nothing more is carried.
    pub hard_bytes: u64,
    /// Nothing more is carried.
    pub hard_packets: u64,
}

impl Lifetime {
    /// No limits.
    pub const UNLIMITED: Self =
        Self { soft_bytes: u64::MAX, soft_packets: u64::MAX, hard_bytes: u64::MAX, hard_packets: u64::MAX };
}

impl Default for Lifetime {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// What charging a packet led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charge {
    /// Within the limits.
    Within,
    /// Counted; the soft limit was reached just now: tell control, once.
    SoftLimit(LimitKind),
    /// Not counted and not to be carried; `first` is true once: tell control then.
    HardLimit {
        /// Which limit.
        kind: LimitKind,
        /// True for the first packet refused.
        first: bool,
    },
}

const SOFT_REPORTED: u8 = 1;
const HARD_REPORTED: u8 = 2;
const USED: u8 = 4;

/// Counters of one SA: written by its owner, read by anyone.
#[derive(Debug)]
pub struct Usage {
    packets: AtomicU64,
    bytes: AtomicU64,
    last_use: AtomicU64,
    flags: AtomicU8,
    lifetime: Lifetime,
}

impl Usage {
    /// Nothing carried yet.
    #[must_use]
    pub fn new(lifetime: Lifetime) -> Self {
        Self {
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            last_use: AtomicU64::new(0),
            flags: AtomicU8::new(0),
            lifetime,
        }
    }

    /// Counts one packet of `bytes` at time `now` (any unit the caller keeps to). Owner only.
    #[inline]
    pub fn charge(&self, bytes: u16, now: u64) -> Charge {
        let packets = self.packets.load(Relaxed) + 1;
        let bytes = self.bytes.load(Relaxed) + u64::from(bytes);
        if packets > self.lifetime.hard_packets || bytes > self.lifetime.hard_bytes {
            return self.refuse(packets);
        }
        self.packets.store(packets, Relaxed);
        self.bytes.store(bytes, Relaxed);
        self.last_use.store(now, Relaxed);
        if packets >= self.lifetime.soft_packets || bytes >= self.lifetime.soft_bytes {
            return self.report_soft(packets);
        }
        Charge::Within
    }

    #[cold]
    fn refuse(&self, packets: u64) -> Charge {
        let kind = if packets > self.lifetime.hard_packets { LimitKind::Packets } else { LimitKind::Bytes };
        Charge::HardLimit { kind, first: self.raise(HARD_REPORTED) }
    }

    #[cold]
    fn report_soft(&self, packets: u64) -> Charge {
        let kind = if packets >= self.lifetime.soft_packets { LimitKind::Packets } else { LimitKind::Bytes };
        if self.raise(SOFT_REPORTED) { Charge::SoftLimit(kind) } else { Charge::Within }
    }

    /// True exactly once: for the first authenticated packet of an inbound SA. Owner only.
    #[inline]
    pub fn first_use(&self) -> bool {
        self.flags.load(Relaxed) & USED == 0 && self.raise(USED)
    }

    fn raise(&self, flag: u8) -> bool {
        let flags = self.flags.load(Relaxed);
        self.flags.store(flags | flag, Relaxed);
        flags & flag == 0
    }

    /// Packets carried.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }

    /// Bytes of inner packets carried.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// When the last packet passed, in the unit given to [`Usage::charge`]; 0 if none did.
    #[must_use]
    pub fn last_use(&self) -> u64 {
        self.last_use.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_each_limit_once_and_stops_at_the_hard_one() {
        let usage = Usage::new(Lifetime { soft_packets: 2, hard_packets: 3, ..Lifetime::UNLIMITED });
        let hard = |first| Charge::HardLimit { kind: LimitKind::Packets, first };
        let charges: Vec<_> = (0..5).map(|now| usage.charge(100, now)).collect();
        assert_eq!(
            charges,
            [Charge::Within, Charge::SoftLimit(LimitKind::Packets), Charge::Within, hard(true), hard(false)]
        );
        assert_eq!((usage.packets(), usage.bytes(), usage.last_use()), (3, 300, 2));
    }

    #[test]
    fn byte_limits_count_the_packet_at_hand() {
        let usage = Usage::new(Lifetime { soft_bytes: 100, hard_bytes: 150, ..Lifetime::UNLIMITED });
        assert_eq!(usage.charge(100, 1), Charge::SoftLimit(LimitKind::Bytes));
        assert_eq!(usage.charge(51, 1), Charge::HardLimit { kind: LimitKind::Bytes, first: true });
        assert_eq!(usage.charge(50, 1), Charge::Within);
    }

    #[test]
    fn first_use_is_told_once() {
        let usage = Usage::new(Lifetime::UNLIMITED);
        assert!(usage.first_use() && !usage.first_use());
    }
}
