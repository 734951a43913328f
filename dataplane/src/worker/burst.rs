//! The fixed arrays that a burst walks through.

use arrayvec::ArrayVec;
use crypto::Key;
use packet::decide::Ingress;
use packet::esp::decap::EspPacket;
use packet::esp::{EspSpans, SeqNo};
use packet::flow::Flow;
use packet::headers::ethernet::{EtherType, Ethernet, Stamp};
use packet::sad::{Child, InboundSa, SadEntry};
use packet::tables::{Egress, Interface};
use packet::{InterfaceId, PortId, Spi, Station, VrfId};

use super::early::EarlyPacket;
use crate::shared::{FromAgent, Handoff, PortFacts, Tables};

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

/// An outer IP header, as far as decryption needs it; its addresses are read where they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outer {
    pub(super) traffic_class: u8,
    /// Of the whole packet, bytes.
    pub(super) len: u16,
}

impl From<&Flow> for Outer {
    fn from(flow: &Flow) -> Self {
        Self { traffic_class: flow.traffic_class, len: flow.len }
    }
}

/// What is known of an ESP packet on its way through decryption.
#[derive(Debug)]
pub(super) struct Opening<'t> {
    pub(super) interface: &'t Interface,
    pub(super) outer: Outer,
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
    pub(super) outer: Outer,
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

/// A packet on its way through encryption: everything is written but the ciphertext.
#[derive(Debug)]
pub(super) struct Sealing<'t, B> {
    /// Starts at the Ethernet header where the egress is known, else at the outer IP header.
    pub(super) packet: B,
    pub(super) child: Child<'t, Key>,
    /// The interface whose Ethernet header is written.
    pub(super) egress: Option<&'t Interface>,
    pub(super) from: Option<InterfaceId>,
    pub(super) pieces: Pieces,
    pub(super) seq: SeqNo,
    /// Offset of the outer IP header.
    pub(super) outer: u16,
    /// Offset of the ESP header, which with what follows is the cryptography's.
    pub(super) esp: u16,
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
    /// The interface; the frame is complete.
    Frame(&'t Interface),
}

impl Way<'_> {
    /// Where the packet leaves.
    pub(super) fn interface(&self) -> InterfaceId {
        match self {
            Self::Via(egress, _) => egress.interface.id,
            Self::Frame(interface) => interface.id,
        }
    }
}

/// What decisions lead to.
#[derive(Debug)]
pub(super) struct Onward<'t, B> {
    pub(super) sealing: ArrayVec<Sealing<'t, B>, BURST>,
    pub(super) sending: ArrayVec<Sending<'t, B>, BURST>,
    /// How the packet before left, most often that of the next one.
    departure: Option<Departure<'t>>,
    /// The SA of the packet before, likewise.
    child: Option<Child<'t, Key>>,
}

impl<'t, B> Onward<'t, B> {
    /// How packets leave to a station, if its interface and port are there.
    #[inline]
    pub(super) fn departure(
        &mut self,
        tables: &'t Tables,
        ports: &[PortFacts],
        station: Station,
        is_v4: bool,
    ) -> Option<&Departure<'t>> {
        let same = self.departure.as_ref().is_some_and(|d| d.station == station && d.is_v4 == is_v4);
        if !same {
            self.departure = Departure::new(tables, ports, station, is_v4);
        }
        self.departure.as_ref()
    }

    /// The sending half of the SA pair `spi`.
    #[inline]
    pub(super) fn child(&mut self, tables: &'t Tables, spi: Spi) -> Option<Child<'t, Key>> {
        match self.child {
            Some(same) if same.entry.spi == spi => Some(same),
            _ => {
                self.child = tables.child(spi);
                self.child
            }
        }
    }
}

/// How packets leave to a station.
#[derive(Debug)]
pub(super) struct Departure<'t> {
    station: Station,
    is_v4: bool,
    pub(super) interface: &'t Interface,
    pub(super) header: Stamp,
}

impl<'t> Departure<'t> {
    #[cold]
    fn new(tables: &'t Tables, ports: &[PortFacts], station: Station, is_v4: bool) -> Option<Self> {
        let interface = tables.interface(station.interface())?;
        let src = ports.get(interface.port.index())?.mac;
        let ethertype = EtherType::of_ip(is_v4);
        let header = Ethernet { dst: station.mac(), src, vlan: interface.vlan, ethertype };
        Some(Self { station, is_v4, interface, header: header.into() })
    }
}

/// ESP packets, each of which starts at the outer IP header, and beside them what is known of them: that stays where
/// it is while the packets go on.
#[derive(Debug)]
pub(super) struct Openings<'t, B> {
    pub(super) packets: ArrayVec<B, BURST>,
    pub(super) cards: ArrayVec<Opening<'t>, BURST>,
}

/// All arrays of one burst.
#[derive(Debug)]
pub(super) struct Burst<'t, B> {
    pub(super) opening: Openings<'t, B>,
    pub(super) onward: Onward<'t, B>,
}

impl<B> Burst<'_, B> {
    pub(super) fn new() -> Self {
        Self {
            opening: Openings { packets: ArrayVec::new(), cards: ArrayVec::new() },
            onward: Onward {
                sealing: ArrayVec::new(),
                sending: ArrayVec::new(),
                departure: None,
                child: None,
            },
        }
    }
}
