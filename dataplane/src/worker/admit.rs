//! First stage: where each packet of a burst starts, and what is decided about it at once.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use packet::decide::{Ingress, Outside, classify_outside};
use packet::flow::Flow;
use packet::plain::Origin;
use packet::spd::{Action, Policy};
use packet::tables::{Egress, Interface, Role};
use packet::unfinished;
use packet::{DropReason, InterfaceId, PortId, VrfId};

use super::buffer::Buffer;
use super::burst::{Arrival, BURST, Burst, Incoming, Inner, Onward, Past, Sending, Way};
use super::counters::Figure;
use super::parse::{Parsed, parse};
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::journey::{Heading, Step};
use crate::shared::{AgentWork, ExceptionKind, FromAgent, Handoff, HandoffWork, PortFacts, Tables};

/// How many packets ahead the headers are fetched.
const AHEAD: usize = 4;

impl<B: Buffer> Pipeline<B> {
    /// Sorts a burst into the arrays of the next stages.
    pub(super) fn admit_all<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        arrivals: &mut ArrayVec<Arrival<B>, BURST>,
        tx: &mut impl Transmit<B>,
    ) {
        for arrival in arrivals.iter().take(AHEAD) {
            arrival.prefetch();
        }
        // From the back, so that what comes later can still be looked at.
        arrivals.reverse();
        while let Some(arrival) = arrivals.pop() {
            if let Some(ahead) = arrivals.len().checked_sub(AHEAD) {
                arrivals[ahead].prefetch();
            }
            match arrival {
                Arrival::Frame { port, frame } => self.admit_frame(tables, burst, port, frame, tx),
                Arrival::Handoff(handoff) => self.admit_handoff(tables, burst, handoff, tx),
                Arrival::Agent(from_agent) => self.admit_from_agent(tables, burst, from_agent, tx),
                Arrival::Early(early) => {
                    self.scribe.note(&early.packet, || Step::Again);
                    let (from, past) = (early.interface, Past { deadline: early.deadline, largest: 0 });
                    self.admit_outer(tables, burst, early.packet, from, past, tx);
                }
            }
        }
    }

    #[inline]
    fn admit_frame<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        port: PortId,
        mut frame: B,
        tx: &mut impl Transmit<B>,
    ) {
        let len = frame.len();
        if !frame.make_contiguous() {
            self.counters.rx(None, len);
            self.scribe.begin(&mut frame, || Step::Received { interface: None, len });
            return self.drop(frame, None, DropReason::FrameChained);
        }
        let PortFacts { mac, offloads, .. } = self.shared.ports[port.index()];
        let (interface, parsed) = parse(tables, port, mac, frame.data(), frame.ipv4_checksum());
        let from = interface.map(|i| i.id);
        let len = frame.len();
        self.counters.rx(from, len);
        self.scribe.begin(&mut frame, || Step::Received { interface: from, len });
        if let Some(interface) = interface {
            self.scribe.shoot_frame(&frame, Heading::In, interface);
        }
        let (interface, parsed) = match (interface, parsed) {
            (Some(interface), Ok(parsed)) => (interface, parsed),
            (_, Err(reason)) => return self.drop(frame, from, reason),
            (None, Ok(_)) => return self.drop(frame, None, DropReason::VlanUnknown),
        };
        match parsed {
            Parsed::Arp => self.leave(frame, from, interface.vrf, ExceptionKind::Arp),
            Parsed::Ndp => self.leave(frame, from, interface.vrf, ExceptionKind::Ndp),
            Parsed::LinkLocalEcho => self.leave(frame, from, interface.vrf, ExceptionKind::LinkLocalEcho),
            Parsed::Ip { offset, flow } => {
                // What follows the packet in the frame is padding of the link.
                match frame.keep(offset..offset + usize::from(flow.len)) {
                    Ok(()) if offloads.completes_checksums || frame.is_checksum_unfinished() => {
                        unfinished::complete(frame.data_mut(), &flow);
                        self.admit_packet(tables, burst, frame, interface, flow, tx);
                    }
                    Ok(()) => self.admit_packet(tables, burst, frame, interface, flow, tx),
                    Err(_) => self.drop(frame, from, DropReason::FrameTruncated),
                }
            }
        }
    }

    #[inline]
    fn admit_packet<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        packet: B,
        interface: &'t Interface,
        flow: Flow,
        tx: &mut impl Transmit<B>,
    ) {
        self.scribe.note(&packet, || Step::Header(flow));
        match interface.role {
            Role::Outside => {
                let past = Past { deadline: self.early.deadline(self.now), largest: 0 };
                self.admit_outside(tables, burst, packet, interface, flow, past, tx);
            }
            Role::Inside => {
                let (from, vrf) = (Some(interface.id), interface.vrf);
                let inner = Inner { packet, from, vrf, ingress: Ingress::Inside, flow };
                self.decide(tables, &mut burst.onward, inner, Some(Origin::inside(vrf)), tx);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what is known of a packet, and where it may go")]
    fn admit_outside<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        packet: B,
        interface: &'t Interface,
        flow: Flow,
        past: Past,
        tx: &mut impl Transmit<B>,
    ) {
        let (from, vrf) = (Some(interface.id), interface.vrf);
        let outside = classify_outside(tables, interface, packet.data(), &flow);
        self.scribe.note(&packet, || Step::Outside((&outside).into()));
        match outside {
            Outside::Esp { packet: esp, udp_port } => {
                let outer = (&flow).into();
                let incoming = Incoming { packet, interface, outer, udp_port, esp, past };
                self.find_sa(tables, &mut burst.opening, incoming);
            }
            Outside::Ike { standing } => self.leave(packet, from, vrf, ExceptionKind::Ike { standing }),
            Outside::Fragment => self.reassemble_outer(tables, burst, packet, interface, flow, tx),
            Outside::Icmp => self.leave(packet, from, vrf, ExceptionKind::Icmp),
            Outside::Bypass(outcome) => {
                let inner = Inner { packet, from, vrf, ingress: Ingress::Outside, flow };
                self.follow(tables, &mut burst.onward, inner, outcome, tx);
            }
            Outside::Drop(reason) => self.drop(packet, from, reason),
        }
    }

    /// An outer packet whose interface is known by its identifier only: everything is looked up again.
    pub(super) fn admit_outer<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        packet: B,
        from: InterfaceId,
        past: Past,
        tx: &mut impl Transmit<B>,
    ) {
        match (tables.interface(from), Flow::parse(packet.data())) {
            (Some(interface), Ok(flow)) => {
                self.admit_outside(tables, burst, packet, interface, flow, past, tx);
            }
            (None, _) => self.drop(packet, Some(from), DropReason::InterfaceMissing),
            (_, Err(reason)) => self.drop(packet, Some(from), reason),
        }
    }

    fn admit_handoff<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        handoff: Handoff<B>,
        tx: &mut impl Transmit<B>,
    ) {
        self.counters.add(Figure::TakenOver, 1);
        let Handoff { mut packet, interface: from, work, journey } = handoff;
        self.scribe.attach(&mut packet, journey);
        self.scribe.note(&packet, || Step::TakenOver);
        match (work, from) {
            (HandoffWork::Seal { spi, vrf, ingress }, _) => {
                let flow = match Flow::parse(packet.data()) {
                    Ok(flow) => flow,
                    Err(reason) => return self.drop(packet, from, reason),
                };
                let inner = Inner { packet, from, vrf, ingress, flow };
                match tables.child(spi) {
                    Some(child) => self.encapsulate(tables, &mut burst.onward, inner, child, tx),
                    // Rekeyed or deleted since: the decision may have another answer now.
                    None => self.decide(tables, &mut burst.onward, inner, None, tx),
                }
            }
            (HandoffWork::Open { largest }, Some(from)) => {
                let past = Past { deadline: self.early.deadline(self.now), largest };
                self.admit_outer(tables, burst, packet, from, past, tx);
            }
            (HandoffWork::Open { .. }, None) => self.drop(packet, None, DropReason::InterfaceMissing),
            (HandoffWork::Probe { spi }, _) => self.admit_probe(tables, &mut burst.onward, packet, spi, tx),
        }
    }

    fn admit_from_agent<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        from_agent: FromAgent<B>,
        tx: &mut impl Transmit<B>,
    ) {
        self.counters.add(Figure::FromAgent, 1);
        let FromAgent { mut packet, work } = from_agent;
        self.scribe.begin(&mut packet, || Step::FromAgent(work));
        if !matches!(work, AgentWork::Frame { .. }) {
            self.scribe.note_header(&packet);
        }
        let onward = &mut burst.onward;
        let way = match work {
            AgentWork::Frame { interface } => {
                tables.interface(interface).map(Way::Frame).ok_or(DropReason::InterfaceMissing)
            }
            AgentWork::Neighbour { interface, neighbour } => {
                waited_way(tables, interface, neighbour, packet.data())
            }
            AgentWork::Probe { spi } => return self.admit_probe(tables, onward, packet, spi, tx),
            AgentWork::Own { vrf } => return self.send_own(tables, onward, packet, vrf, tx),
            AgentWork::Forward { vrf } => match Flow::parse(packet.data()) {
                Ok(flow) => {
                    let inner = Inner { packet, from: None, vrf, ingress: Ingress::Own, flow };
                    return self.decide(tables, onward, inner, None, tx);
                }
                Err(reason) => Err(reason),
            },
        };
        match way {
            Ok(way) => {
                self.push_sending(tables, &mut onward.sending, Sending { packet, from: None, way }, tx)
            }
            Err(reason) => self.drop(packet, None, reason),
        }
    }

    /// Sends a packet of our own in clear, in fragments where the link takes no more: large IKE messages.
    fn send_own<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        packet: B,
        vrf: VrfId,
        tx: &mut impl Transmit<B>,
    ) {
        let (flow, egress) = match own_way(tables, vrf, packet.data()) {
            Ok(way) => way,
            Err(reason) => return self.drop(packet, None, reason),
        };
        let sending = Sending { packet, from: None, way: Way::Via(egress, None) };
        let mtu = egress.interface.mtu;
        if flow.len <= mtu {
            self.push_sending(tables, &mut onward.sending, sending, tx);
        } else if flow.dst.is_ipv4() && flow.dont_fragment {
            self.drop(sending.packet, None, DropReason::NeedsFragmentation);
        } else {
            self.send_in_pieces(tables, &mut onward.sending, sending, mtu, tx);
        }
    }
}

/// The way of a packet of our own that goes in clear; only our own addresses may be its source.
fn own_way<'t>(tables: &'t Tables, vrf: VrfId, packet: &[u8]) -> Result<(Flow, Egress<'t>), DropReason> {
    let flow = Flow::parse(packet)?;
    if !tables.is_local(vrf, flow.src) {
        return Err(DropReason::MartianSource);
    }
    Ok((flow, tables.egress(vrf, flow.dst)?))
}

/// The way of a packet that waited for its neighbour. The interface may have become an outside one since it was decided about:
/// that emits only what is ours (ESP, IKE, ICMP) and what a bypass entry names.
fn waited_way<'t>(
    tables: &'t Tables,
    interface: InterfaceId,
    neighbour: IpAddr,
    packet: &[u8],
) -> Result<Way<'t>, DropReason> {
    let interface = tables.interface(interface).ok_or(DropReason::InterfaceMissing)?;
    if interface.role == Role::Outside {
        let flow = Flow::parse(packet)?;
        let vrf = tables.vrf(interface.vrf).ok_or(DropReason::VrfMissing)?;
        if !vrf.is_local(flow.src) && vrf.spd.lookup(&flow) != Policy::Is(Action::Bypass) {
            return Err(DropReason::CleartextRefused);
        }
    }
    Ok(Way::Via(Egress { interface, neighbour }, None))
}

impl<B: Buffer> Arrival<B> {
    /// Asks the cache for what the first stage reads.
    #[inline]
    pub(super) fn prefetch(&self) {
        match self {
            Self::Frame { frame, .. } => frame.prefetch_data(),
            Self::Handoff(handoff) => handoff.packet.prefetch_data(),
            Self::Agent(_) | Self::Early(_) => {}
        }
    }
}
