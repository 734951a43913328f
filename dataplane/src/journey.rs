//! What workers write down about packets while somebody watches, and for whom.
//!
//! ```text
//!   agent ── lenses ──► workers ── finished journeys that a lens shows ──► agent ──► inspectors
//!     └──── spare journeys and shots ───►┘
//! ```
//!
//! A [`Journey`] is one packet's way through the stages: each notes what it decided. Where a packet ends, and
//! only there, the worker looks whether a [`Lens`] shows it; what none shows is forgotten. A capture is a
//! journey that keeps the packet's bytes as they were at a point ([`Shot`]).
//!
//! Journeys and shots are taken from a bounded stock that exists while somebody watches. A worker that finds
//! it empty, or the way to the agent full, counts a loss and goes on.

mod lens;
mod stock;

pub use lens::{Filter, Lens, Lenses, Photo};
pub use stock::{MAX_JOURNEYS, MAX_SHOTS, SHOT_LEN, Stock};

use arrayvec::ArrayVec;
use packet::decide::{Ingress, Verdict};
use packet::esp::SeqNo;
use packet::flow::Flow;
use packet::{DropReason, InterfaceId, Spi, VrfId};

use crate::shared::{AgentWork, ExceptionKind};

/// Steps that one journey has room for.
pub const MAX_STEPS: usize = 24;
/// Shots of one journey: through two tunnels at every point.
const SHOTS: usize = 6;

/// One packet's way, from where it came in to where it ended. A packet that is cut ends there; its pieces have
/// journeys of their own that begin with its steps.
#[derive(Clone, Debug, Default)]
pub struct Journey {
    /// Unique while the process runs; that of the whole packet for its pieces.
    pub id: u64,
    /// 0 for a whole packet, else which piece of it, from 1.
    pub piece: u16,
    /// In order.
    pub steps: ArrayVec<Noted, MAX_STEPS>,
    /// Steps that found no room.
    pub untold: u16,
    /// In order; a piece has none of the whole packet's.
    pub shots: ArrayVec<Box<Shot>, SHOTS>,
}

impl Journey {
    /// Why the packet was dropped, if it was.
    #[must_use]
    pub fn drop_reason(&self) -> Option<DropReason> {
        match self.steps.last()?.step {
            Step::Dropped(reason) => Some(reason),
            _ => None,
        }
    }

    /// Every SPI that was met on the way, as it stood or will stand in an ESP header.
    pub fn wire_spis(&self) -> impl Iterator<Item = u32> + '_ {
        self.steps.iter().filter_map(|noted| match noted.step {
            Step::Outside(Verdict::Esp { spi }) => Some(spi),
            Step::Sealed { peer_spi, .. } => Some(peer_spi),
            _ => None,
        })
    }

    /// Adds a step, in the last place if there is no other: the end is always told.
    pub(crate) fn note(&mut self, noted: Noted) {
        if self.steps.is_full() {
            self.untold += 1;
            self.steps.pop();
        }
        self.steps.push(noted);
    }
}

/// A step, when and where it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Time of the burst, ticks.
    pub at: u64,
    /// The worker.
    pub worker: u16,
    /// What it did.
    pub step: Step,
}

/// What a stage did with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Came in.
    Received {
        /// Where; `None` if the frame belongs to no interface.
        interface: Option<InterfaceId>,
        /// Of the frame, bytes.
        len: usize,
    },
    /// Came from the agent.
    FromAgent(AgentWork),
    /// Was made of fragments, each of which has a journey of its own that ends with [`Step::Merged`].
    Whole {
        /// How many.
        fragments: usize,
    },
    /// An IP header was read or written: that of the packet as it came, of what was in it, of what is around it.
    Header(Flow),
    /// What came on an outside interface was classified.
    Outside(Verdict),
    /// Came before the keys of its SA, and waits for them.
    Waits {
        /// As it stands in the packet.
        spi: u32,
    },
    /// Is looked at again.
    Again,
    /// A fragment for us waits for the others.
    Collected,
    /// Goes to the worker that owns its SA.
    HandedOver {
        /// That worker.
        to: u16,
    },
    /// Came to the worker that owns its SA.
    TakenOver,
    /// The SA was found, and the sequence number is neither old nor seen.
    Sa {
        /// Ours.
        spi: Spi,
        /// With its inferred high half.
        seq: SeqNo,
    },
    /// Authentic and decrypted.
    Opened {
        /// Ours.
        spi: Spi,
    },
    /// The one decision.
    Decided {
        /// The inner routing domain.
        vrf: VrfId,
        /// How the packet came in.
        ingress: Ingress,
        /// What becomes of it.
        verdict: Verdict,
    },
    /// Encrypted.
    Sealed {
        /// Ours: the name of the pair.
        spi: Spi,
        /// In the ESP header.
        peer_spi: u32,
        /// Issued.
        seq: SeqNo,
        /// Of the outer packet, bytes.
        len: usize,
    },
    /// Ends here: cut in pieces that go on.
    Split {
        /// How many.
        pieces: usize,
    },
    /// Ends here: part of a whole packet that goes on.
    Merged,
    /// Ends here: transmitted.
    Sent {
        /// Where.
        interface: InterfaceId,
        /// Of the frame, bytes.
        len: usize,
    },
    /// Ends here: the agent has it.
    Left(ExceptionKind),
    /// Ends here.
    Dropped(DropReason),
}

/// Where a capture looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Frames of outside interfaces.
    Outside,
    /// Frames of inside interfaces.
    Inside,
    /// IP packets before encryption, and after decryption.
    PreCrypto,
    /// IP packets with ESP in them: after encryption, and before decryption.
    PostCrypto,
}

/// Which way a packet was going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    /// Received, or out of a tunnel.
    In,
    /// To be sent, or into a tunnel.
    Out,
}

/// A packet as it was at one point.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Time of the burst, ticks.
    pub at: u64,
    /// Where.
    pub point: Point,
    /// Which way.
    pub heading: Heading,
    /// The interface of the frame, or that the packet came in by or leaves by; `None` for a packet of ours.
    pub interface: Option<InterfaceId>,
    /// Of the whole packet, bytes.
    pub len: usize,
    /// At most [`SHOT_LEN`] of them; never reallocated.
    pub bytes: Vec<u8>,
}
