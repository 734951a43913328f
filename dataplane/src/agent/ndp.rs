//! Neighbour discovery frames for our interfaces (RFC 4861): what [`super::arp`] is for IPv4.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use packet::decide::own_addresses;
use packet::flow::Flow;
use packet::headers::ethernet::{EtherType, Ethernet, HEADER_LEN, TAGGED_HEADER_LEN};
use packet::headers::ndp::{ALL_NODES, Ndp, NdpKind, group_mac, link_local, solicited_node};
use packet::tables::Interface;
use packet::{InterfaceId, MacAddr};

use super::environment::Environment;
use super::figures::AgentFigure;
use super::{Agent, icmp};
use crate::shared::AgentWork;
use crate::worker::buffer::Buffer;

impl<E: Environment> Agent<E> {
    pub(super) fn handle_ndp(&mut self, frame: &[u8], interface: Option<InterfaceId>, now: Duration) {
        self.figures().add(AgentFigure::Consumed, 1);
        let Some((id, heard)) = interface.zip(parse(frame)) else { return };
        let Some((interface, mac)) = self.interface_and_mac(id) else { return };
        let ours = |address: Ipv6Addr| own_addresses(interface, mac).any(|own| own == address);
        let Ndp { src, target, kind, link_layer, .. } = heard.ndp;
        let solicitation = kind == NdpKind::Solicitation;
        let (target_is_ours, neighbour) = (ours(target), if solicitation { src } else { target });
        if ours(src) || (!solicitation && target_is_ours) {
            return self.complain(id, neighbour, heard.mac, now);
        }
        let on_link = is_on_link(interface, neighbour) && !neighbour.is_unspecified();
        if solicitation && target_is_ours {
            let frame = answer(interface, mac, &heard);
            if self.send(&frame, AgentWork::Frame { interface: id }) {
                self.figures().add(AgentFigure::NdpReplies, 1);
            }
        }
        let known = self.tables.neighbours.lookup(id, IpAddr::V6(neighbour)).map(|known| known.mac);
        let believed = match kind {
            // Only who names its address and asks for us is made a neighbour (RFC 4861 section 7.2.3).
            NdpKind::Solicitation => target_is_ours && link_layer.is_some(),
            // Nobody is replaced by one that does not insist (RFC 4861 section 7.2.5).
            NdpKind::Advertisement { overrides, .. } => {
                overrides || known.is_none_or(|known| known == MacAddr::default() || known == heard.mac)
            }
        };
        if on_link && believed {
            let mut actions = Vec::new();
            let key = (id, IpAddr::V6(neighbour));
            self.neighbours.confirm(key, heard.mac, solicitation, now, |action| actions.push(action));
            self.perform(actions, now);
        }
    }

    /// Answers an echo request to our link-local address, to the station on this link that asked.
    pub(super) fn answer_link_local(
        &mut self,
        mut frame: E::Packet,
        interface: Option<InterfaceId>,
        now: Duration,
    ) {
        self.figures().add(AgentFigure::Consumed, 1);
        let Some(id) = interface else { return };
        let Some((interface, mac)) = self.interface_and_mac(id) else { return };
        let Ok((asked, at)) = Ethernet::parse(frame.data()) else { return };
        let Ok(flow) = Flow::parse(&frame.data()[at..]) else { return };
        let beside_us = matches!(flow.src, IpAddr::V6(src) if is_on_link(interface, src));
        if beside_us && !asked.src.is_multicast() && icmp::answer_echo(&mut frame.data_mut()[at..]) {
            Ethernet { dst: asked.src, src: mac, ..asked }.emit(frame.data_mut());
            self.send_echo_reply(frame, AgentWork::Frame { interface: id }, now);
        }
    }

    fn complain(&mut self, id: InterfaceId, address: Ipv6Addr, mac: MacAddr, now: Duration) {
        if self.complaints.take(now) {
            tracing::warn!(%address, %mac, interface = id.0, "address is used twice");
        }
    }
}

/// A frame that asks who has `target`: everybody who might, or `known` whether it still has it.
#[must_use]
pub(super) fn solicitation(
    interface: &Interface,
    mac: MacAddr,
    target: Ipv6Addr,
    known: Option<MacAddr>,
) -> Option<Vec<u8>> {
    let src = source_for(interface, mac, target)?;
    let dst = if known.is_some() { target } else { solicited_node(target) };
    let ndp = Ndp { src, dst, kind: NdpKind::Solicitation, target, link_layer: Some(mac) };
    Some(frame(interface, mac, known.unwrap_or_else(|| group_mac(dst)), &ndp))
}

/// A frame that tells everybody that `address` is ours (RFC 4861 section 7.2.6).
#[must_use]
pub(super) fn announcement(interface: &Interface, mac: MacAddr, address: Ipv6Addr) -> Vec<u8> {
    advertisement(interface, mac, address, None)
}

/// The answer to a solicitation of one of our addresses; to everybody if its sender has no address yet
/// (RFC 4861 section 7.2.4).
#[must_use]
pub(super) fn answer(interface: &Interface, mac: MacAddr, heard: &Heard) -> Vec<u8> {
    let Ndp { src, target, .. } = heard.ndp;
    let asker = (!src.is_unspecified()).then_some((src, heard.mac));
    advertisement(interface, mac, target, asker)
}

fn advertisement(
    interface: &Interface,
    mac: MacAddr,
    address: Ipv6Addr,
    asker: Option<(Ipv6Addr, MacAddr)>,
) -> Vec<u8> {
    let kind = NdpKind::Advertisement { router: true, solicited: asker.is_some(), overrides: true };
    let (dst, to) = asker.unwrap_or((ALL_NODES, group_mac(ALL_NODES)));
    frame(interface, mac, to, &Ndp { src: address, dst, kind, target: address, link_layer: Some(mac) })
}

/// A message as it came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Heard {
    /// What it says.
    pub(super) ndp: Ndp,
    /// The Ethernet address it is about: the option's, else that of the frame.
    pub(super) mac: MacAddr,
}

/// What `frame` says; `None` if it is no message of RFC 4861, or names no single station.
#[must_use]
pub(super) fn parse(frame: &[u8]) -> Option<Heard> {
    let (ethernet, at) = Ethernet::parse(frame).ok()?;
    let ndp = Ndp::parse(frame.get(at..)?)?;
    let mac = ndp.link_layer.unwrap_or(ethernet.src);
    let sane = ethernet.ethertype == EtherType::Ipv6 && !mac.is_multicast() && mac != MacAddr::default();
    sane.then_some(Heard { ndp, mac })
}

/// Our address that asks for `target`: of the same scope, so that it can answer.
#[must_use]
pub(super) fn source_for(interface: &Interface, mac: MacAddr, target: Ipv6Addr) -> Option<Ipv6Addr> {
    if target.is_unicast_link_local() {
        return own_addresses(interface, mac).find(|ours| *ours == link_local(mac));
    }
    match interface.source_for(IpAddr::V6(target))? {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}

/// True if `address` may be a neighbour's: link-local, or of a subnet of ours here.
#[must_use]
pub(super) fn is_on_link(interface: &Interface, address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
        || interface.addresses.iter().any(|a| a.subnet().contains(IpAddr::V6(address)))
}

fn frame(interface: &Interface, src: MacAddr, dst: MacAddr, ndp: &Ndp) -> Vec<u8> {
    let ethernet = Ethernet { dst, src, vlan: interface.vlan, ethertype: EtherType::Ipv6 };
    let at = if interface.vlan.is_some() { TAGGED_HEADER_LEN } else { HEADER_LEN };
    let mut frame = vec![0; at];
    ethernet.emit(&mut frame);
    frame.extend(ndp.emit());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::tables::{InterfaceAddress, Role};
    use packet::{PortId, VlanId, VrfId};
    use std::sync::Arc;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    fn interface(vlan: Option<VlanId>, address: &str) -> Interface {
        let address = InterfaceAddress { address: address.parse().unwrap(), prefix_len: 64 };
        Interface {
            id: InterfaceId(1),
            port: PortId(0),
            vlan,
            role: Role::Outside,
            vrf: VrfId(0),
            mtu: 1500,
            addresses: Arc::from([address]),
        }
    }

    #[test]
    fn frames_carry_the_tag_and_are_answered() {
        let ours: Ipv6Addr = "2001:db8::1".parse().unwrap();
        for vlan in [None, VlanId::new(100)] {
            let (here, there) = (interface(vlan, "2001:db8::1"), interface(vlan, "2001:db8::2"));
            let asked = solicitation(&there, PEER_MAC, ours, None).unwrap();
            assert_eq!(asked[..6], [0x33, 0x33, 0xff, 0, 0, 1]);
            let heard = parse(&asked).unwrap();
            assert_eq!((heard.mac, heard.ndp.target), (PEER_MAC, ours));
            let answered = answer(&here, MAC, &heard);
            assert_eq!(answered[..6], PEER_MAC.0);
            let heard = parse(&answered).unwrap();
            let kind = NdpKind::Advertisement { router: true, solicited: true, overrides: true };
            assert_eq!((heard.mac, heard.ndp.target, heard.ndp.kind), (MAC, ours, kind));
            let probe = solicitation(&here, MAC, heard.ndp.dst, Some(PEER_MAC)).unwrap();
            assert_eq!((&probe[..6], parse(&probe).unwrap().ndp.src), (&PEER_MAC.0[..], ours));
        }
        assert_eq!(parse(&[0; 90]), None);
    }

    #[test]
    fn a_link_local_router_is_asked_from_our_link_local_address() {
        let interface = interface(None, "2001:db8::1");
        let asked = solicitation(&interface, MAC, "fe80::9".parse().unwrap(), None).unwrap();
        assert_eq!(parse(&asked).unwrap().ndp.src, link_local(MAC));
    }
}
