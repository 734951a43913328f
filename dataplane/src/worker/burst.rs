//! The fixed arrays that a burst walks through.

use arrayvec::ArrayVec;
use crypto::Key;
use packet::decide::Ingress;
use packet::esp::decap::EspPacket;
use packet::esp::{EspSpans, SeqNo};
use packet::flow::Flow;
use packet::sad::{Child, InboundSa, SadEntry};
use packet::tables::{Egress, Interface};
use packet::{DropReason, InterfaceId, MacAddr, PortId, VrfId};

use super::early::EarlyPacket;
use crate::shared::{FromAgent, Handoff};

/// Packets in one burst.
pub const BURST: usize = 64;

/// A packet at the start of its journey.
#[derive(Debug)]
pub enum Arrival<B> {
    /// From a receive queue.
    Frame {
        /// The port.
        port: PortId,
        /// From the Ethernet header on.
        frame: B,
    },
    /// From another worker.
    Handoff(Handoff<B>),
    /// From the agent.
    Agent(FromAgent<B>),
    /// From the hold of early packets, for another look.
    Early(EarlyPacket<B>),
}

/// An ESP packet on its way through decryption.
#[derive(Debug)]
pub(super) struct Opening<'t, B> {
    /// Starts at the outer IP header.
    pub(super) packet: B,
    pub(super) interface: &'t Interface,
    /// The outer header.
    pub(super) outer: Flow,
    /// The outer UDP source port.
    pub(super) udp_port: Option<u16>,
    /// As in [`Past`].
    pub(super) largest: u16,
    pub(super) entry: &'t SadEntry<Key>,
    pub(super) sa: &'t InboundSa<Key>,
    pub(super) seq: SeqNo,
    pub(super) spans: EspSpans,
}

/// An ESP packet for us, before its SA is known.
#[derive(Debug)]
pub(super) struct Incoming<'t, B> {
    /// Starts at the outer IP header.
    pub(super) packet: B,
    pub(super) interface: &'t Interface,
    /// The outer header.
    pub(super) outer: Flow,
    /// The outer UDP source port.
    pub(super) udp_port: Option<u16>,
    pub(super) esp: EspPacket,
    pub(super) past: Past,
}

/// What became of an outer packet before its stage began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    /// When to stop waiting for keys.
    pub(super) deadline: u64,
    /// The largest fragment that it was made of, bytes; 0 if it came in one piece.
    pub(super) largest: u16,
}

/// An inner packet that the one decision is about.
#[derive(Debug)]
pub(super) struct Inner<B> {
    /// Starts at its IP header.
    pub(super) packet: B,
    /// For the counters: where it came in.
    pub(super) from: Option<InterfaceId>,
    pub(super) vrf: VrfId,
    pub(super) ingress: Ingress,
    pub(super) flow: Flow,
}

/// In how many pieces a sealed packet may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    /// As the policy of the tunnel's DF bit says.
    Policy,
    /// In one or not at all: a probe.
    One,
    /// In several: it exceeds the SA's MTU and was to be sealed whole.
    Many,
}

/// An inner packet on its way through encryption.
#[derive(Debug)]
pub(super) struct Sealing<'t, B> {
    /// Starts at the inner IP header; after the layout at the outer one.
    pub(super) packet: B,
    pub(super) from: Option<InterfaceId>,
    pub(super) ingress: Ingress,
    pub(super) flow: Flow,
    pub(super) child: Child<'t, Key>,
    pub(super) pieces: Pieces,
    pub(super) seq: SeqNo,
    pub(super) spans: EspSpans,
    /// Why it cannot be sealed.
    pub(super) laid_out: Result<(), DropReason>,
}

/// An IP packet on its way out.
#[derive(Debug)]
pub(super) struct Sending<'t, B> {
    pub(super) packet: B,
    pub(super) from: Option<InterfaceId>,
    pub(super) way: Way<'t>,
}

/// How far the way of a packet is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'t> {
    /// The interface and whose address to look up; and how the packet came in, if it is not our own.
    Via(Egress<'t>, Option<Ingress>),
    /// The interface and the Ethernet address.
    To(&'t Interface, MacAddr),
    /// The interface; the frame is complete.
    Frame(&'t Interface),
}

impl Way<'_> {
    /// Where the packet leaves.
    pub(super) fn interface(&self) -> InterfaceId {
        match self {
            Self::Via(egress, _) => egress.interface.id,
            Self::To(interface, _) | Self::Frame(interface) => interface.id,
        }
    }
}

/// What decisions lead to.
#[derive(Debug)]
pub(super) struct Onward<'t, B> {
    pub(super) sealing: ArrayVec<Sealing<'t, B>, BURST>,
    pub(super) sending: ArrayVec<Sending<'t, B>, BURST>,
}

/// All arrays of one burst.
#[derive(Debug)]
pub(super) struct Burst<'t, B> {
    pub(super) opening: ArrayVec<Opening<'t, B>, BURST>,
    pub(super) onward: Onward<'t, B>,
}

impl<B> Burst<'_, B> {
    pub(super) fn new() -> Self {
        Self {
            opening: ArrayVec::new(),
            onward: Onward { sealing: ArrayVec::new(), sending: ArrayVec::new() },
        }
    }
}
