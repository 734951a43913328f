//! The receiving half of a CHILD_SA.

use super::HOT;
use super::usage::{Lifetime, Usage};
use crate::esp::{EspGeometry, ReplayWindow};
use crate::ids::OwnerTag;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// What control configured; immutable. What each packet needs comes first, and the first bytes of the key.
#[derive(Debug)]
#[repr(C)]
pub struct InboundConfig<K> {
    /// Sizes of the suite.
    pub geometry: EspGeometry,
    /// Extended (64-bit) sequence numbers.
    pub esn: bool,
    /// True if the agent may follow a peer that moved without asking control.
    pub follow_nat: bool,
    /// The expanded key, as the crypto back-end wants it.
    pub key: K,
    /// Whose the SA is.
    pub owner_tag: OwnerTag,
}

/// Configuration and runtime state. Everything mutable is written by the owner worker only.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct InboundSa<K> {
    /// The anti-replay window.
    pub replay: ReplayWindow,
    /// Counters and limits.
    pub usage: Usage,
    owner: AtomicU16,
    /// What control configured.
    pub config: InboundConfig<K>,
    authentication_failures: AtomicU64,
    replays: AtomicU64,
    selector_failures: AtomicU64,
    policed: AtomicU64,
}

// What a packet of a random SA drags into the cache; 40 bytes stand for what it needs of a key handle.
const _: () =
    assert!(offset_of!(InboundSa<[u64; 5]>, config.key) + 40 <= HOT && align_of::<InboundSa<u64>>() == 64);

impl<K> InboundSa<K> {
    /// A fresh SA owned by `worker`.
    #[must_use]
    pub fn new(config: InboundConfig<K>, replay: ReplayWindow, lifetime: Lifetime, worker: u16) -> Self {
        Self {
            config,
            replay,
            usage: Usage::new(lifetime),
            authentication_failures: AtomicU64::new(0),
            replays: AtomicU64::new(0),
            selector_failures: AtomicU64::new(0),
            policed: AtomicU64::new(0),
            owner: AtomicU16::new(worker),
        }
    }

    /// The worker that decides replay and counts.
    #[inline]
    #[must_use]
    pub fn owner(&self) -> u16 {
        self.owner.load(Relaxed)
    }

    /// Moves the SA to another worker; the agent orders it so that the old one has let go.
    pub fn set_owner(&self, worker: u16) {
        self.owner.store(worker, Relaxed);
    }

    /// Counts a packet whose integrity check failed. Owner only.
    #[inline]
    pub fn count_authentication_failure(&self) {
        bump(&self.authentication_failures);
    }

    /// Counts a replayed or too old packet. Owner only.
    #[inline]
    pub fn count_replay(&self) {
        bump(&self.replays);
    }

    /// Counts an inner packet outside the selectors. Owner only.
    #[inline]
    pub fn count_selector_failure(&self) {
        bump(&self.selector_failures);
    }

    /// Counts a packet above the limits of its connection. Owner only.
    #[inline]
    pub fn count_policed(&self) {
        bump(&self.policed);
    }

    /// Packets whose integrity check failed.
    #[must_use]
    pub fn authentication_failures(&self) -> u64 {
        self.authentication_failures.load(Relaxed)
    }

    /// Replayed or too old packets.
    #[must_use]
    pub fn replays(&self) -> u64 {
        self.replays.load(Relaxed)
    }

    /// Inner packets outside the selectors.
    #[must_use]
    pub fn selector_failures(&self) -> u64 {
        self.selector_failures.load(Relaxed)
    }

    /// Packets above the limits of the connection.
    #[must_use]
    pub fn policed(&self) -> u64 {
        self.policed.load(Relaxed)
    }
}

/// A counter with one writer needs no locked instruction.
#[inline]
pub(super) fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}
