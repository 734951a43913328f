//! Packets that workers leave to the agent, and the neighbours.

use std::net::IpAddr;
use std::time::Duration;

use packet::decide::{IkeStanding, Ingress};
use packet::esp::Encap;
use packet::flow::Flow;
use packet::headers::arp::{Arp, ArpOperation};
use packet::headers::icmpv4::IcmpError;
use packet::headers::protocol;
use packet::neighbour::{Neighbour, NeighbourState};
use packet::tables::{Change, Interface};
use packet::{DropReason, InterfaceId, MacAddr, VrfId};
use shm::message as contract;
use shm::message::{Punt, PuntClass};

use super::control::Delivery;
use super::environment::Environment;
use super::figures::AgentFigure;
use super::neighbours::{Action, Key};
use super::{Agent, arp, hints, icmp, icmp_source, ndp};
use crate::shared::{AgentWork, Exception, ExceptionKind, FromAgent, Notice};
use crate::worker::buffer::Buffer;

/// Exceptions, and notices, of each worker in one turn.
const BURST: usize = 128;
/// In a punt descriptor: it came in by no interface.
const NO_INTERFACE: u16 = u16::MAX;

/// A packet that waits for a neighbour.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held<B> {
    pub(super) packet: B,
    /// A drop is counted there.
    from: Origin,
    /// How it came in, if it is not our own.
    ingress: Option<Ingress>,
}

impl<E: Environment> Agent<E> {
    pub(super) fn take_exceptions(&mut self, now: Duration) -> usize {
        let mut count = 0;
        for worker in 0..self.shared.mailboxes.len() {
            for _ in 0..BURST {
                let Some(exception) = self.shared.mailboxes[worker].exceptions.pop() else { break };
                self.handle(exception, now);
                count += 1;
            }
        }
        count
    }

    fn handle(&mut self, exception: Exception<E::Packet>, now: Duration) {
        let Exception { packet, interface, vrf, kind } = exception;
        let from = Origin { interface, vrf };
        match kind {
            ExceptionKind::Arp => self.handle_arp(packet.data(), interface, now),
            ExceptionKind::Ndp => self.handle_ndp(packet.data(), interface, now),
            ExceptionKind::LinkLocalEcho => self.answer_link_local(packet, interface, now),
            ExceptionKind::Ike { standing: IkeStanding::Claimed } if !self.punts.take_claimed(now) => {
                self.counters.drop(interface, DropReason::PuntFull);
            }
            ExceptionKind::Ike { standing: IkeStanding::New } => {
                self.punt(PuntClass::IkeNew, from, &packet, now);
            }
            ExceptionKind::Ike { .. } => self.punt(PuntClass::IkeKnown, from, &packet, now),
            ExceptionKind::Icmp if self.learn_path_mtu(vrf, packet.data(), now) => {
                self.figures().add(AgentFigure::Consumed, 1);
            }
            ExceptionKind::Icmp => {
                self.answer_or_punt(PuntClass::Icmp, from, packet, AgentWork::Own { vrf }, now);
            }
            ExceptionKind::Local { .. } if self.is_probe_answer(packet.data()) => {
                self.figures().add(AgentFigure::Consumed, 1);
            }
            ExceptionKind::Local { .. } if self.is_for_host(vrf, packet.data()) => {
                self.deliver_to_host(vrf, interface, packet.data());
            }
            ExceptionKind::Local { ingress } => self.answer_local(from, packet, ingress, now),
            ExceptionKind::Neighbour { egress, neighbour, ingress } => {
                self.resolve((egress, neighbour), Held { packet, from, ingress }, now);
            }
            ExceptionKind::TooBig { mtu, ingress } => {
                self.report(IcmpError::FragmentationNeeded { mtu }, from, ingress, packet.data(), now);
            }
            ExceptionKind::Unreachable { reason, ingress } => {
                self.report(unreachable(reason), from, ingress, packet.data(), now);
            }
            ExceptionKind::TimeExceeded { ingress } => {
                self.report(IcmpError::TimeExceeded, from, ingress, packet.data(), now);
            }
            ExceptionKind::ReassemblyTimeExceeded { ingress } => {
                self.report(IcmpError::ReassemblyTimeExceeded, from, ingress, packet.data(), now);
            }
        }
    }

    fn punt(&mut self, class: PuntClass, from: Origin, packet: &E::Packet, now: Duration) {
        let delivery = if self.punts.take(class, now) {
            let punt = Punt {
                vrf: contract::VrfId(from.vrf.0),
                interface: contract::InterfaceId(from.interface.map_or(NO_INTERFACE, |id| id.0)),
                class,
            };
            self.control.punt(&punt, packet.data())
        } else {
            Delivery::NotTaken
        };
        match delivery {
            Delivery::Delivered => self.figures().add(punted(class), 1),
            Delivery::NotTaken => self.counters.drop(from.interface, DropReason::PuntFull),
            Delivery::Oversize => self.counters.drop(from.interface, DropReason::PuntOversize),
        }
    }

    /// ICMP for an inside address of ours; nothing serves anything else there, and the sender is told so
    /// (RFC 1122 section 3.2.2.1, RFC 4443 section 3.1): that ends a traceroute to us.
    fn answer_local(&mut self, from: Origin, packet: E::Packet, ingress: Ingress, now: Duration) {
        let protocol = Flow::parse(packet.data()).map(|flow| flow.protocol);
        let error = match protocol {
            Ok(protocol::ICMP | protocol::ICMPV6) | Err(_) => {
                let answer = answer_to(ingress, from.vrf);
                return self.answer_or_punt(PuntClass::Local, from, packet, answer, now);
            }
            Ok(protocol::UDP | protocol::TCP) => IcmpError::PortUnreachable,
            Ok(_) => IcmpError::ProtocolUnreachable,
        };
        self.counters.drop(from.interface, DropReason::LocalUnserved);
        self.report(error, from, ingress, packet.data(), now);
    }

    /// Answers an echo request here; everything else is control's.
    fn answer_or_punt(
        &mut self,
        class: PuntClass,
        from: Origin,
        mut packet: E::Packet,
        answer: AgentWork,
        now: Duration,
    ) {
        if !icmp::answer_echo(packet.data_mut()) {
            return self.punt(class, from, &packet, now);
        }
        self.figures().add(AgentFigure::Consumed, 1);
        self.send_echo_reply(packet, answer, now);
    }

    pub(super) fn send_echo_reply(&mut self, packet: E::Packet, work: AgentWork, now: Duration) {
        if self.icmp.take(now) {
            self.figures().add(AgentFigure::EchoReplies, 1);
            self.outgoing.push(FromAgent { packet, work });
        } else {
            self.figures().add(AgentFigure::IcmpSuppressed, 1);
        }
    }

    /// Tells the sender of a packet, which was counted as dropped, why.
    fn report(&mut self, error: IcmpError, from: Origin, ingress: Ingress, original: &[u8], now: Duration) {
        let source = icmp_source::through_tunnel(&self.tables, from.vrf, ingress, original);
        let message = icmp::error_about(original, error, &self.tables, from.vrf, from.interface, source);
        let Some(message) = message else { return };
        if !self.icmp.take(now) {
            self.figures().add(AgentFigure::IcmpSuppressed, 1);
        } else if self.send(&message, answer_to(ingress, from.vrf)) {
            self.figures().add(AgentFigure::IcmpErrors, 1);
        }
    }

    fn handle_arp(&mut self, frame: &[u8], interface: Option<InterfaceId>, now: Duration) {
        self.figures().add(AgentFigure::Consumed, 1);
        let Some((id, arp)) = interface.zip(arp::parse(frame)) else { return };
        let Some(interface) = self.tables.interface(id) else { return };
        let is_ours = |ip: IpAddr| interface.addresses.iter().any(|a| a.address == ip);
        let (sender, target) = (IpAddr::V4(arp.sender), IpAddr::V4(arp.target));
        if is_ours(sender) {
            if !self.complaints.take(now) {
                return;
            }
            tracing::warn!(address = %sender, mac = %arp.sender_mac, interface = id.0, "address is used twice");
            return;
        }
        let for_us = is_ours(target);
        let on_link = interface.addresses.iter().any(|a| a.subnet().contains(sender));
        if for_us && arp.operation == ArpOperation::Request {
            self.reply_arp(id, &arp);
        }
        if on_link && !arp.sender.is_unspecified() {
            let create = for_us && arp.operation == ArpOperation::Request;
            let mut actions = Vec::new();
            self.neighbours.confirm((id, sender), arp.sender_mac, create, now, |a| actions.push(a));
            self.perform(actions, now);
        }
    }

    fn reply_arp(&mut self, id: InterfaceId, request: &Arp) {
        let Some((interface, mac)) = self.interface_and_mac(id) else { return };
        let frame = arp::reply(interface, mac, request);
        if self.send(&frame, AgentWork::Frame { interface: id }) {
            self.figures().add(AgentFigure::ArpReplies, 1);
        }
    }

    fn resolve(&mut self, key: Key, held: Held<E::Packet>, now: Duration) {
        let (id, address) = key;
        // Nothing can be asked without an address of the same family.
        let askable = |interface: &Interface| interface.source_for(address).is_some();
        if !self.tables.interface(id).is_some_and(askable) {
            return self.give_up(&held, now);
        }
        let mut actions = Vec::new();
        self.neighbours.want(key, held, now, |action| actions.push(action));
        self.perform(actions, now);
    }

    /// Drops a packet whose neighbour does not answer, and tells its sender (RFC 1812 section 5.2.7.1, RFC 4443
    /// section 3.1), unless that is beyond an outside interface or one of ours.
    fn give_up(&mut self, held: &Held<E::Packet>, now: Duration) {
        self.counters.drop(held.from.interface, DropReason::NeighbourFailed);
        if let Some(ingress @ (Ingress::Inside | Ingress::Tunnel(_))) = held.ingress {
            self.report(IcmpError::HostUnreachable, held.from, ingress, held.packet.data(), now);
        }
    }

    /// Does what the neighbour cache asks for.
    pub(super) fn perform(&mut self, actions: Vec<Action<Held<E::Packet>>>, now: Duration) {
        for action in actions {
            match action {
                Action::Request { key, mac } => self.request_neighbour(key, mac),
                Action::Publish { key, mac } => self.put_neighbour(key, NeighbourState::Reachable, mac),
                Action::PublishFailed { key } => {
                    self.put_neighbour(key, NeighbourState::Failed, MacAddr::default());
                }
                Action::Withdraw { key: (interface, address) } => {
                    // Gone with its interface already, perhaps.
                    let _ = self.change(Change::DeleteNeighbour { interface, address });
                }
                Action::Release { key: (interface, neighbour), packet } => {
                    self.figures().add(AgentFigure::Released, 1);
                    let work = AgentWork::Neighbour { interface, neighbour };
                    self.outgoing.push(FromAgent { packet: packet.packet, work });
                }
                Action::Unreachable { packet, .. } => self.give_up(&packet, now),
                Action::NoRoom { packet, .. } => {
                    self.counters.drop(packet.from.interface, DropReason::NeighbourPending);
                }
            }
        }
    }

    fn request_neighbour(&mut self, (id, address): Key, known: Option<MacAddr>) {
        let Some((interface, mac)) = self.interface_and_mac(id) else { return };
        let (frame, figure) = match (address, interface.source_for(address)) {
            (IpAddr::V4(target), Some(IpAddr::V4(source))) => {
                (Some(arp::request(interface, mac, source, target, known)), AgentFigure::ArpRequests)
            }
            (IpAddr::V6(target), _) => {
                (ndp::solicitation(interface, mac, target, known), AgentFigure::NdpRequests)
            }
            (IpAddr::V4(_), _) => return,
        };
        if frame.is_some_and(|frame| self.send(&frame, AgentWork::Frame { interface: id })) {
            self.figures().add(figure, 1);
        }
    }

    fn put_neighbour(&mut self, (interface, address): Key, state: NeighbourState, mac: MacAddr) {
        let neighbour = Neighbour { state, mac };
        if let Err(error) = self.change(Change::PutNeighbour { interface, address, neighbour }) {
            tracing::debug!(%error, "neighbour of an interface that is gone");
        }
    }

    /// Tells the neighbours of every address that is new, and forgets those that are gone.
    pub(super) fn announce_addresses(&mut self) {
        let addresses = |interface: &Interface| {
            interface.addresses.iter().map(|a| (interface.id, a.address)).collect::<Vec<_>>()
        };
        let now: std::collections::BTreeSet<_> = self.tables.interfaces().flat_map(addresses).collect();
        let before = std::mem::take(&mut self.announced);
        for &(id, address) in now.difference(&before) {
            let Some((interface, mac)) = self.interface_and_mac(id) else { continue };
            let (frame, figure) = match address {
                IpAddr::V4(address) => (arp::announcement(interface, mac, address), AgentFigure::ArpRequests),
                IpAddr::V6(address) => (ndp::announcement(interface, mac, address), AgentFigure::NdpRequests),
            };
            if self.send(&frame, AgentWork::Frame { interface: id }) {
                self.figures().add(figure, 1);
            }
        }
        self.announced = now;
    }

    /// Forgets neighbours whose interface is gone or is another one now.
    pub(super) fn forget_neighbours(&mut self, moved: &[InterfaceId]) {
        let tables = &self.tables;
        let stays = |id: InterfaceId| tables.interface(id).is_some() && !moved.contains(&id);
        let mut actions = Vec::new();
        self.neighbours.retain(|(id, _)| stays(*id), |action| actions.push(action));
        self.perform(actions, self.environment.now());
    }

    pub(super) fn interface_and_mac(&self, id: InterfaceId) -> Option<(&Interface, MacAddr)> {
        let interface = self.tables.interface(id)?;
        Some((interface, self.shared.port(interface.port)?.mac))
    }

    pub(super) fn take_notices(&mut self, now: Duration) -> usize {
        let mut count = 0;
        for worker in 0..self.shared.mailboxes.len() {
            for _ in 0..BURST {
                let Some(notice) = self.shared.mailboxes[worker].notices.pop() else { break };
                count += 1;
                if let Notice::EchoAnswer { tunnel, answer, arrived } = &notice {
                    self.take_echo_answer(*tunnel, answer, *arrived, now);
                    continue;
                }
                if !self.hints.admit(&notice, now) {
                    self.figures().add(AgentFigure::EventsSuppressed, 1);
                    continue;
                }
                let followed = self.follow(&notice);
                if let Some(event) = hints::event(notice, followed) {
                    self.control.event(event);
                }
            }
        }
        count
    }

    /// Follows a peer that moved, where control allowed it when it installed the SA.
    fn follow(&mut self, notice: &Notice) -> bool {
        let Notice::PeerMoved { spi, remote, port } = *notice else { return false };
        let Some(entry) = self.tables.sad().entry(spi) else { return false };
        let allowed = entry.inbound.as_ref().is_some_and(|sa| sa.config.follow_nat);
        let Some(template) = entry.template.as_ref().filter(|_| allowed) else { return false };
        let mut outer = template.endpoints;
        outer.remote = remote;
        match &mut outer.encap {
            Encap::Udp { remote_port, .. } if port != 0 => *remote_port = port,
            Encap::Native if port == 0 => {}
            // From native to UDP or back: that is negotiated.
            Encap::Udp { .. } | Encap::Native => return false,
        }
        match self.change(Change::UpdateOuter { spi, outer }) {
            Ok(()) => {
                self.steer(spi);
                true
            }
            Err(error) => {
                tracing::warn!(%spi, %remote, port, %error, "peer moved, but cannot be followed");
                false
            }
        }
    }
}

/// Where a packet came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Origin {
    interface: Option<InterfaceId>,
    vrf: VrfId,
}

/// How the answer to what came in this way is sent.
fn answer_to(ingress: Ingress, vrf: VrfId) -> AgentWork {
    if icmp::answers_by_decision(ingress) { AgentWork::Forward { vrf } } else { AgentWork::Own { vrf } }
}

/// What a sender is told of a packet for which there was no way: a policy of ours, or a route, tunnel or
/// neighbour that may come back.
fn unreachable(reason: DropReason) -> IcmpError {
    match reason {
        DropReason::NoMatchingSelector | DropReason::CleartextRefused => {
            IcmpError::AdministrativelyProhibited
        }
        DropReason::TunnelDown | DropReason::NoActiveTunnel | DropReason::NeighbourFailed => {
            IcmpError::HostUnreachable
        }
        _ => IcmpError::NetUnreachable,
    }
}

fn punted(class: PuntClass) -> AgentFigure {
    match class {
        PuntClass::IkeKnown => AgentFigure::PuntedIkeKnown,
        PuntClass::IkeNew => AgentFigure::PuntedIkeNew,
        PuntClass::Icmp => AgentFigure::PuntedIcmp,
        PuntClass::Local => AgentFigure::PuntedLocal,
    }
}
