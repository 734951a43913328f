//! The express lane: plain packets whose flow was decided about before, and ESP for us.
//!
//! It changes what a packet costs, not what becomes of it: everything that it is not sure of it leaves to
//! [`admit`](super::admit), untouched, and while somebody watches packets it takes none. Its passes are short
//! loops over the whole burst; each asks the cache for what the next one reads.

use std::ops::Range;

use arrayvec::ArrayVec;
use packet::decide::{Ingress, Outcome, esp_for_us, never_sends};
use packet::esp::decap::EspPacket;
use packet::flow::Flow;
use packet::headers::ethernet::{EtherType, Ethernet};
use packet::headers::protocol;
use packet::plain::{Facts, FlowKey, Origin, Plain};
use packet::sad::{self, Child, SpiLookup};
use packet::tables::{Interface, Role};
use packet::{DropReason, InterfaceId, PortId, Spi, Station, VlanId, unfinished};

use super::buffer::Buffer;
use super::burst::{Arrival, BURST, Burst, Departure, Incoming, Onward, Outer, Past, Pieces};
use super::flows::{Memory, Place, Remembered};
use super::outbound::{Laying, clamp_segment};
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::shared::{HandoffWork, PortFacts, Tables};

/// What is known of a plain packet from an inside interface.
struct Card<'t> {
    port: PortId,
    interface: &'t Interface,
    /// Offset of the IP header.
    at: u16,
    plain: Plain,
    place: Place,
    remembered: Option<Memory>,
    express: Option<Express<'t>>,
}

/// Plain packets from inside, and beside them what is known of them.
struct Cards<'t, B> {
    frames: ArrayVec<B, BURST>,
    cards: ArrayVec<Card<'t>, BURST>,
}

/// A plain packet on its way out in clear.
pub(super) struct Ready<'p, B> {
    pub(super) packet: B,
    /// Where in the buffer's data the packet lies.
    pub(super) part: Range<usize>,
    /// Where it came in.
    pub(super) from: InterfaceId,
    /// The TCP MSS over IPv4 to clamp to; 0 for none.
    pub(super) mss: u16,
    /// Where it goes.
    pub(super) station: Station,
    pub(super) plain: &'p Plain,
}

/// The interface of the frame before, most often that of the next one.
type Seen<'t> = Option<(PortId, Option<VlanId>, &'t Interface)>;

impl<B: Buffer> Pipeline<B> {
    /// Takes what it can of `arrivals`: ESP to be opened, inner packets to be sealed or sent.
    #[inline(never)]
    pub(super) fn express<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        arrivals: &mut ArrayVec<Arrival<B>, BURST>,
        tx: &mut impl Transmit<B>,
    ) {
        if self.scribe.is_awake() {
            return;
        }
        arrivals.iter().for_each(Arrival::prefetch);
        let mut cards = Cards { frames: ArrayVec::new(), cards: ArrayVec::new() };
        let mut incoming = ArrayVec::<Incoming<'t, B>, BURST>::new();
        let mut rest = ArrayVec::<Arrival<B>, BURST>::new();
        let mut seen = None;
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Frame { port, frame } => {
                    if let Some(frame) = self.sort(tables, port, frame, &mut seen, &mut cards, &mut incoming)
                    {
                        rest.push(Arrival::Frame { port, frame });
                    }
                }
                other => rest.push(other),
            }
        }
        self.open_express(tables, burst, &mut incoming);
        self.seal_express(tables, burst, &mut cards, &mut rest, tx);
        arrivals.extend(rest.drain(..));
    }

    /// Reads the headers of a frame; returns it if it is not for the express lane.
    #[inline]
    fn sort<'t>(
        &mut self,
        tables: &'t Tables,
        port: PortId,
        mut frame: B,
        seen: &mut Seen<'t>,
        cards: &mut Cards<'t, B>,
        incoming: &mut ArrayVec<Incoming<'t, B>, BURST>,
    ) -> Option<B> {
        let PortFacts { mac, offloads, .. } = &self.shared.ports[port.index()];
        if !frame.make_contiguous() {
            return Some(frame);
        }
        if frame.data().first_chunk() != Some(&mac.0) {
            return Some(frame);
        }
        let Ok((ethernet, at)) = Ethernet::parse(frame.data()) else { return Some(frame) };
        // What the frame announces is what it holds.
        match (ethernet.ethertype, frame.data().get(at).map(|first| first >> 4)) {
            (EtherType::Ipv4, Some(4)) | (EtherType::Ipv6, Some(6)) => {}
            _ => return Some(frame),
        }
        let Some(interface) = interface_of(tables, port, ethernet.vlan, seen) else { return Some(frame) };
        let checksum = frame.ipv4_checksum();
        if offloads.completes_checksums || frame.is_checksum_unfinished() {
            complete(&mut frame.data_mut()[at..], checksum);
        }
        let len = frame.len();
        let bytes = &frame.data()[at..];
        match interface.role {
            Role::Inside => {
                let Some(plain) = Plain::read(bytes, checksum, Origin::inside(interface.vrf)) else {
                    return Some(frame);
                };
                let place = self.flows.place(&plain.key);
                #[expect(clippy::cast_possible_truncation, reason = "an Ethernet header")]
                let at = at as u16;
                cards.frames.push(frame);
                cards.cards.push(Card { port, interface, at, plain, place, remembered: None, express: None });
            }
            Role::Outside => {
                let Some((facts, esp, udp_port)) = read_esp(interface, bytes, checksum) else {
                    return Some(frame);
                };
                if frame.keep(at..at + usize::from(facts.len())).is_err() {
                    return Some(frame);
                }
                self.counters.rx(Some(interface.id), len);
                tables.sad().place(esp.spi).inspect(|place| dpdk::prefetch(*place));
                let outer = Outer { traffic_class: facts.traffic_class(), len: facts.len() };
                let past = Past { deadline: self.early.deadline(self.now), largest: 0 };
                incoming.push(Incoming { packet: frame, interface, outer, udp_port, esp, past });
            }
        }
        None
    }

    /// Leads ESP packets to their SAs.
    #[inline(never)]
    fn open_express<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        incoming: &mut ArrayVec<Incoming<'t, B>, BURST>,
    ) {
        let mut found = ArrayVec::<_, BURST>::new();
        for incoming in &*incoming {
            let sa = match found.last() {
                Some(SpiLookup::Sa(entry, sa)) if entry.spi.value() == incoming.esp.spi => {
                    SpiLookup::Sa(entry, sa)
                }
                _ => look_up(tables, incoming.esp.spi),
            };
            found.push(sa);
        }
        for (incoming, found) in incoming.drain(..).zip(found.drain(..)) {
            self.lead(found, &mut burst.opening, incoming);
        }
    }

    /// Follows what is remembered about packets from inside; what is not joins the rest.
    #[inline(never)]
    fn seal_express<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        cards: &mut Cards<'t, B>,
        rest: &mut ArrayVec<Arrival<B>, BURST>,
        tx: &mut impl Transmit<B>,
    ) {
        let Cards { frames, cards } = cards;
        let mut before = None;
        for card in &mut *cards {
            card.remembered = self.flows.lookup(card.place, &card.plain.key, tables.since());
            if let Some(Memory { what: Remembered::Seal(spi), .. }) = card.remembered
                && before.replace(spi) != Some(spi)
            {
                tables.sad().place(spi.value()).inspect(|place| dpdk::prefetch(*place));
            }
        }
        let mut before = None;
        for card in &mut *cards {
            card.express = self.way_of(tables, &mut burst.onward, card.remembered, &card.plain);
            if let Some(Express::Seal(child)) = card.express
                && before.replace(child.entry.spi) != Some(child.entry.spi)
            {
                dpdk::prefetch_start(child.sa, sad::HOT);
                dpdk::prefetch_start(child.template, 1);
            }
        }
        for (frame, card) in frames.drain(..).zip(&*cards) {
            match card.express {
                Some(Express::Seal(child)) => match child.sa.owner() {
                    owner if owner == self.index => self.seal_card(tables, burst, frame, card, child, tx),
                    owner => self.give_card(owner, frame, card, child.entry.spi),
                },
                Some(Express::Forward(station)) => {
                    self.counters.rx(Some(card.interface.id), frame.len());
                    let start = usize::from(card.at);
                    let part = start..start + usize::from(card.plain.facts.len());
                    let (from, plain) = (card.interface.id, &card.plain);
                    let ready = Ready { packet: frame, part, from, mss: 0, station, plain };
                    self.forward_plain(tables, &mut burst.onward, ready, tx);
                }
                None => rest.push(Arrival::Frame { port: card.port, frame }),
            }
        }
    }

    /// Hands a packet over to the owner of its SA.
    fn give_card(&mut self, owner: u16, mut packet: B, card: &Card<'_>, spi: Spi) {
        let Card { interface, at, plain, .. } = card;
        self.counters.rx(Some(interface.id), packet.len());
        let start = usize::from(*at);
        if packet.keep(start..start + usize::from(plain.facts.len())).is_err() {
            return self.drop(packet, Some(interface.id), DropReason::NoRoom);
        }
        let work = HandoffWork::Seal { spi, vrf: interface.vrf, ingress: Ingress::Inside };
        self.hand_over(owner, packet, Some(interface.id), work);
    }

    #[inline]
    fn seal_card<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        mut packet: B,
        card: &Card<'t>,
        child: Child<'t, crypto::Key>,
        tx: &mut impl Transmit<B>,
    ) {
        let Card { interface, at, plain, .. } = card;
        self.counters.rx(Some(interface.id), packet.len());
        let from = Some(interface.id);
        // What follows the packet in the frame is padding of the link.
        touch_up(&mut packet.data_mut()[usize::from(*at)..], plain, child.entry.mss);
        let inner = plain.facts.into();
        let laying = Laying { packet, at: *at, from, child, inner, pieces: Pieces::Policy };
        self.lay_out(tables, &mut burst.onward, laying, tx);
    }

    /// The station that a decapsulated packet goes to in clear, if that is remembered and it can go there as it is.
    #[inline]
    pub(super) fn station_for<'t>(
        &self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        remembered: Option<Memory>,
        plain: &Plain,
    ) -> Option<Station> {
        match self.way_of(tables, onward, remembered, plain)? {
            Express::Forward(station) if !self.scribe.is_awake() => Some(station),
            Express::Forward(_) | Express::Seal(_) => None,
        }
    }

    /// What is remembered, if it can be followed for this packet.
    #[inline(always)]
    fn way_of<'t>(
        &self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        remembered: Option<Memory>,
        plain: &Plain,
    ) -> Option<Express<'t>> {
        let Plain { facts, .. } = plain;
        if facts.hop_limit() <= 1 {
            return None;
        }
        let Memory { what, version } = remembered?;
        match what {
            Remembered::Seal(spi) => {
                let child = onward.child(tables, spi)?;
                let fits = facts.len() <= child.entry.inner_mtu;
                (fits && version >= child.entry.since).then_some(Express::Seal(child))
            }
            Remembered::Forward(station) => {
                let departure = onward.departure(tables, &self.shared.ports, station, facts.is_v4())?;
                (facts.len() <= departure.interface.mtu).then_some(Express::Forward(station))
            }
        }
    }

    /// Sends a plain packet in clear.
    #[inline(always)]
    pub(super) fn forward_plain<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        ready: Ready<'_, B>,
        tx: &mut impl Transmit<B>,
    ) {
        let Ready { mut packet, part, from, mss, station, plain } = ready;
        let departure = onward.departure(tables, &self.shared.ports, station, plain.facts.is_v4());
        let Some(Departure { interface, header, .. }) = departure else {
            return self.drop(packet, Some(from), DropReason::PortDown);
        };
        let before = header.header_len();
        if packet.frame(part, before, 0).is_err() || !header.emit(packet.data_mut()) {
            return self.drop(packet, Some(from), DropReason::NoRoom);
        }
        touch_up(&mut packet.data_mut()[before..], plain, mss);
        self.enqueue(packet, Some(from), interface, tx);
    }

    /// Remembers what was decided about a flow, where the next packet of it can do without asking.
    #[inline]
    pub(super) fn remember(
        &mut self,
        tables: &Tables,
        flow: &Flow,
        origin: Origin,
        outcome: &Outcome<'_, crypto::Key>,
    ) {
        let what = match outcome {
            Outcome::Encapsulate(child) => Remembered::Seal(child.entry.spi),
            Outcome::Forward(egress) => {
                let id = egress.interface.id;
                match tables.neighbours.reachable(id, egress.neighbour) {
                    Some(mac) => Remembered::Forward(Station::new(id, mac)),
                    None => return,
                }
            }
            _ => return,
        };
        if let Some(key) = FlowKey::of(flow, origin) {
            self.flows.remember(key, Memory { what, version: tables.version() }, tables.since());
        }
    }
}

/// A remembered way.
#[derive(Clone, Copy)]
enum Express<'t> {
    Seal(Child<'t, crypto::Key>),
    Forward(Station),
}

/// The ESP packet in a plain packet to an address of the interface, and its outer UDP source port if it has one.
#[inline(always)]
fn read_esp(
    interface: &Interface,
    bytes: &[u8],
    checksum: Option<bool>,
) -> Option<(Facts, EspPacket, Option<u16>)> {
    let facts = Facts::read(bytes, checksum)?;
    let (src, dst) = facts.addresses(bytes)?;
    if never_sends(src) || !interface.has(dst) {
        return None;
    }
    let (esp, udp_port) = esp_for_us(bytes, facts)?;
    Some((facts, esp, udp_port))
}

/// Finds an SA, and asks the cache for what its packets need.
#[inline]
fn look_up(tables: &Tables, spi: u32) -> SpiLookup<'_, crypto::Key> {
    let found = tables.sad().lookup_inbound(spi);
    if let SpiLookup::Sa(entry, sa) = &found {
        dpdk::prefetch_start(*sa, sad::HOT);
        entry.template.as_deref().inspect(|template| dpdk::prefetch_start(*template, 1));
    }
    found
}

#[inline]
fn interface_of<'t>(
    tables: &'t Tables,
    port: PortId,
    vlan: Option<VlanId>,
    seen: &mut Seen<'t>,
) -> Option<&'t Interface> {
    match *seen {
        Some((same_port, same_vlan, interface)) if same_port == port && same_vlan == vlan => Some(interface),
        _ => {
            let interface = tables.interface_on(port, vlan)?;
            *seen = Some((port, vlan, interface));
            Some(interface)
        }
    }
}

/// Finishes a checksum that the sender left to a device; without effect on one that is finished.
#[cold]
fn complete(packet: &mut [u8], ipv4_checksum: Option<bool>) {
    if let Ok(flow) = Flow::parse_received(packet, ipv4_checksum) {
        unfinished::complete(packet, &flow);
    }
}

/// What each router on the way changes in a packet.
#[inline]
fn touch_up(packet: &mut [u8], plain: &Plain, mss: u16) {
    packet::headers::decrement_hop_limit(packet);
    if plain.facts.protocol() == protocol::TCP {
        clamp_segment(packet, plain.facts.header_len(), plain.facts.is_v4(), mss);
    }
}
