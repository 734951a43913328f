//! Where everything is in the memfd of a session.
//!
//! ```text
//! 0        header: magic, version, epoch, length, fence
//! 4096     commands      control → data plane     may hold keys: locked, wiped by its consumer
//!          completions   data plane → control
//!          events        data plane → control
//!          punt × 4      data plane → control
//!          inject        control → data plane
//! ```

use crate::message::{Command, Completion, Event, Message, PACKET_SLOT_LEN, PuntClass};

/// Raised with every change of a layout, a message or a meaning. Both sides must have the same.
pub const CONTRACT_VERSION: u32 = 9;

/// "ESPLCTRT", the first word of a session's memory.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"ESPLCTRT");

pub(crate) const HEADER_MAGIC: usize = 0;
pub(crate) const HEADER_VERSION: usize = 8;
pub(crate) const HEADER_EPOCH: usize = 16;
pub(crate) const HEADER_LEN: usize = 24;
/// 0 while the session lives; see [`Fence`].
pub(crate) const HEADER_FENCE: usize = 32;

/// Bytes of the header page.
const PAGE: usize = 4096;
/// Indices of a ring take a cache line each.
const LINE: usize = 64;

/// Why a session's memory is dead, as its header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    Open = 0,
    /// A newer session took over.
    Replaced = 1,
    /// The data plane ended it.
    Closed = 2,
}

/// The rings of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RingName {
    Commands,
    Completions,
    Events,
    Punt(PuntClass),
    Inject,
}

impl std::fmt::Display for RingName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Commands => "commands",
            Self::Completions => "completions",
            Self::Events => "events",
            Self::Punt(PuntClass::IkeKnown) => "punt ike-known",
            Self::Punt(PuntClass::IkeNew) => "punt ike-new",
            Self::Punt(PuntClass::Icmp) => "punt icmp",
            Self::Punt(PuntClass::Local) => "punt local",
            Self::Inject => "inject",
        })
    }
}

/// One ring: the producer's index, the consumer's index, then the slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingLayout {
    /// Of the producer's index, in bytes from the start of the memory.
    pub(crate) offset: usize,
    /// Bytes, a multiple of 8.
    pub(crate) slot_len: usize,
    /// A power of two.
    pub(crate) slots: u64,
}

impl RingLayout {
    pub(crate) const fn tail(&self) -> usize {
        self.offset
    }

    pub(crate) const fn head(&self) -> usize {
        self.offset + LINE
    }

    /// The slot of index `index`, which counts without end.
    pub(crate) fn slot(&self, index: u64) -> usize {
        let place = usize::try_from(index & (self.slots - 1)).unwrap_or(0);
        self.offset + 2 * LINE + place * self.slot_len
    }

    pub(crate) const fn end(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "a constant of at most a few thousand slots")]
        let slots = self.slots as usize;
        (self.offset + 2 * LINE + slots * self.slot_len).next_multiple_of(LINE)
    }

    pub(crate) const fn len(&self) -> usize {
        self.end() - self.offset
    }
}

const fn ring(offset: usize, slot_len: usize, slots: u64) -> RingLayout {
    assert!(slot_len.is_multiple_of(8) && slots.is_power_of_two());
    RingLayout { offset, slot_len, slots }
}

/// The commands ring ends on a page of its own, so that locking it locks no packets.
pub(crate) const COMMANDS: RingLayout = ring(PAGE, Command::SLOT_LEN, 1024);
pub(crate) const COMPLETIONS: RingLayout =
    ring(COMMANDS.end().next_multiple_of(PAGE), Completion::SLOT_LEN, 2048);
pub(crate) const EVENTS: RingLayout = ring(COMPLETIONS.end(), Event::SLOT_LEN, 1024);
/// In the order of [`PuntClass::index`].
pub(crate) const PUNTS: [RingLayout; 4] = {
    let known = ring(EVENTS.end(), PACKET_SLOT_LEN, 256);
    let new = ring(known.end(), PACKET_SLOT_LEN, 128);
    let icmp = ring(new.end(), PACKET_SLOT_LEN, 64);
    let local = ring(icmp.end(), PACKET_SLOT_LEN, 64);
    [known, new, icmp, local]
};
pub(crate) const INJECT: RingLayout = ring(PUNTS[3].end(), PACKET_SLOT_LEN, 256);

/// Bytes of a session's memory.
pub const REGION_LEN: usize = INJECT.end().next_multiple_of(PAGE);

const _: () = assert!(PuntClass::ALL.len() == PUNTS.len());
const _: () = assert!(COMMANDS.offset.is_multiple_of(PAGE) && COMPLETIONS.offset.is_multiple_of(PAGE));
const _: () = assert!(REGION_LEN < 16 << 20);
