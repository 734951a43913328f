//! ARP frames for our interfaces (RFC 826, RFC 5227 announcements).

use std::net::Ipv4Addr;

use packet::MacAddr;
use packet::headers::arp::{self, Arp, ArpOperation};
use packet::headers::ethernet::{EtherType, Ethernet, HEADER_LEN, TAGGED_HEADER_LEN};
use packet::tables::Interface;

/// The shortest Ethernet frame without its check sequence, bytes.
const MIN_FRAME_LEN: usize = 60;

/// A frame that asks who has `target`: everybody, or `known` whether it still has it.
#[must_use]
pub(super) fn request(
    interface: &Interface,
    mac: MacAddr,
    sender: Ipv4Addr,
    target: Ipv4Addr,
    known: Option<MacAddr>,
) -> Vec<u8> {
    let arp = Arp {
        operation: ArpOperation::Request,
        sender_mac: mac,
        sender,
        target_mac: MacAddr::default(),
        target,
    };
    frame(interface, mac, known.unwrap_or(MacAddr::BROADCAST), &arp)
}

/// A frame that tells everybody that `address` is ours (RFC 5227 section 2.3).
#[must_use]
pub(super) fn announcement(interface: &Interface, mac: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    request(interface, mac, address, address, None)
}

/// The answer to a request for one of our addresses.
#[must_use]
pub(super) fn reply(interface: &Interface, mac: MacAddr, request: &Arp) -> Vec<u8> {
    let arp = Arp {
        operation: ArpOperation::Reply,
        sender_mac: mac,
        sender: request.target,
        target_mac: request.sender_mac,
        target: request.sender,
    };
    frame(interface, mac, request.sender_mac, &arp)
}

/// What `frame` says; `None` if it is no ARP for IPv4 over Ethernet, or its sender contradicts itself.
#[must_use]
pub(super) fn parse(frame: &[u8]) -> Option<Arp> {
    let (ethernet, at) = Ethernet::parse(frame).ok()?;
    let arp = Arp::parse(frame.get(at..)?).ok()?;
    let sane = ethernet.ethertype == EtherType::Arp
        && !arp.sender_mac.is_multicast()
        && arp.sender_mac != MacAddr::default();
    sane.then_some(arp)
}

fn frame(interface: &Interface, src: MacAddr, dst: MacAddr, arp: &Arp) -> Vec<u8> {
    let ethernet = Ethernet { dst, src, vlan: interface.vlan, ethertype: EtherType::Arp };
    let at = if interface.vlan.is_some() { TAGGED_HEADER_LEN } else { HEADER_LEN };
    let mut frame = vec![0; MIN_FRAME_LEN.max(at + arp::LEN)];
    ethernet.emit(&mut frame);
    frame[at..at + arp::LEN].copy_from_slice(&arp.emit());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::tables::Role;
    use packet::{InterfaceId, PortId, VlanId, VrfId};
    use std::sync::Arc;

    #[test]
    fn frames_carry_the_tag_and_parse_back() {
        let (mac, peer) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let (ours, theirs) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        for vlan in [None, VlanId::new(100)] {
            let interface = Interface {
                id: InterfaceId(1),
                port: PortId(0),
                vlan,
                role: Role::Outside,
                vrf: VrfId(0),
                mtu: 1500,
                addresses: Arc::from([]),
            };
            let asked = request(&interface, peer, theirs, ours, None);
            assert_eq!((asked.len(), &asked[..6]), (60, &[0xff; 6][..]));
            let arp = parse(&asked).unwrap();
            let answer = reply(&interface, mac, &arp);
            assert_eq!(answer[..6], peer.0);
            let answer = parse(&answer).unwrap();
            assert_eq!((answer.sender, answer.sender_mac, answer.target), (ours, mac, theirs));
            let announced = parse(&announcement(&interface, mac, ours)).unwrap();
            assert_eq!((announced.sender, announced.target), (ours, ours));
        }
        assert_eq!(parse(&[0; 60]), None);
    }
}
