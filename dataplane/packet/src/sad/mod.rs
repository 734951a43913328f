//! The security association database: an array of slots, each moving through
//!
//! ```text
//!            Reserve              InstallInbound          DeleteInbound            FreeSpi
//!   free ────────────► Reserved ────────────► Installed ──────────────► Lingering ────────► free
//!                         └──────────────────── FreeSpi ──────────────────────────────────────┘
//! ```
//!
//! A CHILD_SA is one slot, named by our inbound SPI; its outbound half lives beside the inbound one. The
//! slot is part of the snapshot; the [`InboundSa`] and [`OutboundSa`] it points to are shared between
//! snapshots and carry what their owner writes per packet.

mod allocator;
mod inbound;
mod outbound;
mod usage;

pub use allocator::SpiAllocator;
pub use inbound::{InboundConfig, InboundSa};
pub use outbound::{OutboundConfig, OutboundSa};
pub use usage::{Charge, Direction, Lifetime, LimitKind, Usage};

use crate::esp::OuterTemplate;
use crate::ids::{SlotBits, Spi, TunnelId};
use crate::persist::PersistentArray;
use crate::selectors::SelectorPair;
use std::sync::Arc;

/// What a packet needs of an [`InboundSa`] or an [`OutboundSa`] lies in so many bytes at its start: three cache lines.
pub const HOT: usize = 192;

/// Where in its life a slot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SaState {
    /// The SPI is promised to a peer; early packets wait for the keys.
    Reserved,
    /// Inbound packets are accepted; outbound ones are sent if the outbound half is active.
    Installed,
    /// Replaced: late inbound packets are still accepted, nothing is sent.
    Lingering,
}

/// One occupied slot: one cache line, wherever its chunk lies.
#[derive(Debug)]
#[repr(align(64))]
pub struct SadEntry<K> {
    /// Our inbound SPI: the name of the pair.
    pub spi: Spi,
    /// The tunnel; meaningless while reserved.
    pub tunnel: TunnelId,
    /// Where in its life it is.
    pub state: SaState,
    /// True if the outbound half may be chosen for traffic.
    pub active: bool,
    /// The largest inner packet that fits the path, bytes; 0 without an outbound half.
    pub inner_mtu: u16,
    /// The TCP MSS to clamp to over IPv4; 20 less over IPv6. 0 without an outbound half.
    pub mss: u16,
    /// As [`Tables::since`](crate::tables::Tables::since), for what names this SA.
    pub since: u64,
    /// The half that receives.
    pub inbound: Option<Arc<InboundSa<K>>>,
    /// The half that sends.
    pub outbound: Option<Arc<OutboundSa<K>>>,
    /// The outer header; replaced when the peer moves. Present once either half is.
    pub template: Option<Arc<OuterTemplate>>,
    /// What the SA carries; empty matches nothing.
    pub selectors: Arc<[SelectorPair]>,
}

// Chunks of slots are arrays: an entry that grows beyond a line slows every lookup.
const _: () = assert!(size_of::<Option<SadEntry<u64>>>() <= 64);

impl<K> Clone for SadEntry<K> {
    fn clone(&self) -> Self {
        Self {
            inbound: self.inbound.clone(),
            outbound: self.outbound.clone(),
            template: self.template.clone(),
            selectors: Arc::clone(&self.selectors),
            ..*self
        }
    }
}

impl<K> SadEntry<K> {
    /// A slot that waits for its keys.
    #[must_use]
    pub fn reserved(spi: Spi) -> Self {
        Self {
            spi,
            tunnel: TunnelId(0),
            state: SaState::Reserved,
            active: false,
            inner_mtu: 0,
            mss: 0,
            since: 0,
            inbound: None,
            outbound: None,
            template: None,
            selectors: Arc::from([]),
        }
    }

    /// The half that sends and the header it stamps, if it may be chosen for traffic.
    #[inline]
    #[must_use]
    pub fn sender(&self) -> Option<Child<'_, K>> {
        if !self.active {
            return None;
        }
        Some(Child { entry: self, sa: self.outbound.as_deref()?, template: self.template.as_deref()? })
    }
}

/// The sending half of a CHILD_SA, ready for one packet.
#[derive(Debug)]
pub struct Child<'t, K> {
    /// The slot: SPI, tunnel, MTU, MSS.
    pub entry: &'t SadEntry<K>,
    /// Key, sequence numbers, counters.
    pub sa: &'t OutboundSa<K>,
    /// Outer header and sizes.
    pub template: &'t OuterTemplate,
}

impl<K> Clone for Child<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Child<'_, K> {}

/// What an inbound SPI leads to.
#[derive(Debug)]
pub enum SpiLookup<'t, K> {
    /// Decrypt with this.
    Sa(&'t SadEntry<K>, &'t InboundSa<K>),
    /// The keys are still on their way: hold the packet for a moment.
    Reserved(&'t SadEntry<K>),
    /// Nobody's, or the slot's previous tenant's.
    Unknown,
}

/// The slots.
#[derive(Debug)]
pub struct Sad<K> {
    bits: SlotBits,
    entries: PersistentArray<SadEntry<K>>,
}

impl<K> Clone for Sad<K> {
    fn clone(&self) -> Self {
        Self { bits: self.bits, entries: self.entries.clone() }
    }
}

impl<K> Sad<K> {
    /// An empty database of `bits.slots()` slots.
    #[must_use]
    pub fn new(bits: SlotBits) -> Self {
        Self { bits, entries: PersistentArray::default() }
    }

    /// How an SPI splits into slot and generation.
    #[must_use]
    pub fn bits(&self) -> SlotBits {
        self.bits
    }

    /// The number of occupied slots.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if no slot is occupied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The slot of `spi`, if this very SPI is its tenant.
    #[inline]
    #[must_use]
    pub fn entry(&self, spi: Spi) -> Option<&SadEntry<K>> {
        self.entries.lookup(spi.slot(self.bits)).filter(|entry| entry.spi == spi)
    }

    /// The slot that an ESP packet with `spi` leads to, whoever its tenant is: to be prefetched, since its line
    /// is not read here. `None` where there can be no tenant.
    #[inline]
    #[must_use]
    pub fn place(&self, spi: u32) -> Option<&Option<SadEntry<K>>> {
        self.entries.place(Spi::new(spi)?.slot(self.bits))
    }

    /// What to do with an ESP packet that carries `spi`.
    #[inline]
    #[must_use]
    pub fn lookup_inbound(&self, spi: u32) -> SpiLookup<'_, K> {
        let Some(entry) = Spi::new(spi).and_then(|spi| self.entry(spi)) else { return SpiLookup::Unknown };
        match &entry.inbound {
            Some(sa) => SpiLookup::Sa(entry, sa),
            None => SpiLookup::Reserved(entry),
        }
    }

    /// The occupied slots in slot order.
    pub fn iter(&self) -> impl Iterator<Item = &SadEntry<K>> {
        self.iter_from(0)
    }

    /// The occupied slots from `slot` on, in slot order; what lies before is not looked at.
    pub fn iter_from(&self, slot: usize) -> impl Iterator<Item = &SadEntry<K>> {
        self.entries.iter_from(slot).map(|(_, entry)| entry)
    }

    pub(crate) fn entry_mut(&mut self, spi: Spi) -> Option<&mut SadEntry<K>> {
        let slot = spi.slot(self.bits);
        self.entry(spi)?;
        self.entries.lookup_mut(slot)
    }

    /// The slot's tenant, whoever it is.
    pub(crate) fn tenant(&self, spi: Spi) -> Option<Spi> {
        self.entries.lookup(spi.slot(self.bits)).map(|entry| entry.spi)
    }

    pub(crate) fn insert(&mut self, entry: SadEntry<K>) {
        self.entries.insert(entry.spi.slot(self.bits), entry);
    }

    pub(crate) fn remove(&mut self, spi: Spi) -> Option<SadEntry<K>> {
        self.entry(spi)?;
        self.entries.remove(spi.slot(self.bits))
    }
}
