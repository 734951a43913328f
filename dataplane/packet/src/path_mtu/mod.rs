//! The path MTU of a tunnel, found by probing: packetization layer path MTU discovery (RFC 8899) with ESP as the
//! packetization layer, and ICMP echo to an address behind the peer as the probe.
//!
//! ```text
//!            heard                        both directions found
//!   Silent ─────────► Searching ───────────────────────────────────► Complete
//!     ▲                 │  ▲  ▲                                         │  │
//!     └── not heard ────┘  │  └── a found size is lost, or told of less ─┘  │
//!                          └────────── it is time to try larger ──────────┘
//! ```
//!
//! *Outbound*: a short echo request, padded inside ESP (RFC 4303 section 2.7) to the size that is asked about, with
//! DF outside. Whatever comes back proves that the size passed, and comes back over any path. A peer that takes no
//! padding gets echo requests of the full size; then what passes in both directions is found.
//!
//! *Inbound*: an echo request in fragments that pass, of a length whose answer makes the size that is asked about.
//! The answer arrives as one ESP packet, in pieces that say how large they may be, or not at all.
//!
//! Call order: [`Prober::handle_answer`] for what arrived, then [`Prober::poll`] until there is nothing to send;
//! then read [`Prober::status`]. Time and the unpredictable nonce are arguments.

mod echo;
mod search;
#[cfg(test)]
mod tests;

pub use echo::{Answer, Echo, answer};
pub use search::{Limit, Sizes};

use std::collections::VecDeque;
use std::time::Duration;

use search::Search;

/// How long an answer may take before the probe counts as lost.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// Between probes of a target that does not answer.
const KNOCK: Duration = Duration::from_secs(2);
/// Probes whose answers are still believed.
const REMEMBERED: usize = 128;

/// A probe to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The sequence number of its echo request.
    pub sequence: u16,
    /// What it asks.
    pub ask: Ask,
}

/// What a probe asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Does the target answer at all? A short echo request.
    Alive,
    /// Does an outer packet of `size` bytes leave?
    Outbound {
        /// Length of the outer packet, bytes.
        size: u16,
        /// By what the packet gets its length.
        filling: Filling,
    },
    /// Does an outer packet of `size` bytes arrive?
    Inbound {
        /// Length of the outer packet, bytes.
        size: u16,
    },
}

/// By what an outbound probe gets its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filling {
    /// Padding of ESP behind the inner packet: the answer is short.
    Padding,
    /// Data of the echo request: the answer is as long.
    Data,
}

/// How an answer arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrived {
    /// The largest outer packet by which it came, or fragment of one, bytes.
    pub largest: u16,
    /// In how many pieces, and whose.
    pub pieces: Pieces,
}

/// Who cut an answer to pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pieces {
    /// Nobody.
    Whole,
    /// Somebody before it was encrypted: the peer, or the host behind it.
    Inner,
    /// A router on the way, or the peer after it was encrypted.
    Outer,
}

/// How far the probing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The target does not answer.
    Silent,
    /// Sizes are being tried.
    Searching,
    /// Both directions are found; what was found is confirmed now and then.
    Complete,
    /// The target answers, but not even the smallest size passes.
    Stuck,
}

/// What passes in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// The largest outer packet that passed, bytes; 0 = not known yet.
    pub size: u16,
    /// Why larger ones do not.
    pub limit: Limit,
}

/// What is known of a tunnel's path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// How far the probing is.
    pub state: State,
    /// From us to the peer.
    pub outbound: Reach,
    /// From the peer to us.
    pub inbound: Reach,
}

/// See the [module](self). One for each tunnel.
#[derive(Debug)]
pub struct Prober {
    sizes: Sizes,
    outbound: Search,
    inbound: Search,
    filling: Filling,
    /// When the target last answered, whatever the size.
    heard: Option<Duration>,
    knocked: Option<Duration>,
    sequence: u16,
    asked: VecDeque<Probe>,
}

impl Prober {
    /// A prober that knows nothing of the path yet.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            outbound: Search::new(sizes),
            inbound: Search::new(sizes),
            filling: Filling::Padding,
            heard: None,
            knocked: None,
            sequence: 0,
            asked: VecDeque::new(),
        }
    }

    /// The sizes it tries.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The next probe to send now, if any; it counts as sent.
    pub fn poll(&mut self, now: Duration) -> Option<Probe> {
        let Some(heard) = self.heard else { return self.knock(now, KNOCK) };
        if self.outbound.is_unheard(now, heard) || self.inbound.is_unheard(now, heard) {
            // What was sent into the silence says nothing about sizes.
            self.outbound.forget_flights();
            self.inbound.forget_flights();
            self.heard = None;
            return self.knock(now, KNOCK);
        }
        self.outbound.judge(now);
        self.inbound.judge(now);
        if self.outbound.awaits(heard) || self.inbound.awaits(heard) {
            // A lost size means something only while the target is known to answer.
            if let Some(probe) = self.knock(now, PATIENCE) {
                return Some(probe);
            }
        }
        if let Some(size) = self.outbound.poll(now) {
            return Some(self.ask(Ask::Outbound { size, filling: self.filling }));
        }
        if self.outbound.is_complete() && self.outbound.reach().size == 0 && self.filling == Filling::Padding
        {
            // The peer takes no padding, perhaps.
            self.filling = Filling::Data;
            self.outbound = Search::new(self.sizes);
            return self.poll(now);
        }
        if !self.outbound.is_complete() {
            return None;
        }
        self.inbound.poll(now).map(|size| self.ask(Ask::Inbound { size }))
    }

    /// The target answered the probe with this sequence number; false if none with it was sent lately.
    pub fn handle_answer(&mut self, sequence: u16, arrived: Arrived, now: Duration) -> bool {
        let Some(probe) = self.asked.iter().find(|probe| probe.sequence == sequence) else { return false };
        self.heard = Some(now);
        match probe.ask {
            Ask::Alive => {}
            Ask::Outbound { size, .. } => self.outbound.passed(size, now),
            Ask::Inbound { size } => match arrived.pieces {
                Pieces::Whole => self.inbound.passed(size, now),
                Pieces::Inner => self.inbound.came_as(size, arrived.largest, Limit::Sender, now),
                Pieces::Outer => self.inbound.came_as(size, arrived.largest, Limit::Fragmented, now),
            },
        }
        true
    }

    /// Somebody on the way said that outer packets above `mtu` bytes do not pass: that is looked into at once.
    pub fn handle_too_big(&mut self, mtu: u16) {
        if self.outbound.reach().size > mtu {
            self.outbound.restart();
        }
    }

    /// What is known.
    #[must_use]
    pub fn status(&self) -> Status {
        let (outbound, inbound) = (self.outbound.reach(), self.inbound.reach());
        let state = if self.heard.is_none() {
            State::Silent
        } else if !self.outbound.is_complete() || !self.inbound.is_complete() {
            State::Searching
        } else if outbound.size == 0 || inbound.size == 0 {
            State::Stuck
        } else {
            State::Complete
        };
        Status { state, outbound, inbound }
    }

    /// A short echo request, unless one was sent within `interval`.
    fn knock(&mut self, now: Duration, interval: Duration) -> Option<Probe> {
        if self.knocked.is_some_and(|at| now.saturating_sub(at) < interval) {
            return None;
        }
        self.knocked = Some(now);
        Some(self.ask(Ask::Alive))
    }

    fn ask(&mut self, ask: Ask) -> Probe {
        self.sequence = self.sequence.wrapping_add(1);
        let probe = Probe { sequence: self.sequence, ask };
        if self.asked.len() == REMEMBERED {
            self.asked.pop_front();
        }
        self.asked.push_back(probe);
        probe
    }
}
