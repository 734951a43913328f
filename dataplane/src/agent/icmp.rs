//! ICMP that the agent makes: answers to echo requests, and errors about packets.

use std::net::{IpAddr, Ipv4Addr};

use packet::decide::Ingress;
use packet::flow::Flow;
use packet::headers::icmpv4::{self, IcmpError};
use packet::headers::icmpv6::{self, ICMP_HEADER_LEN};
use packet::headers::ipv4::{Ipv4Repr, Ipv4View, MIN_HEADER_LEN};
use packet::headers::ipv6::{self, Ipv6Repr, Ipv6View};
use packet::headers::{checksum, protocol};
use packet::tables::{InterfaceAddress, Role};
use packet::{InterfaceId, VrfId};

use crate::shared::Tables;

const TTL: u8 = 64;
/// The source of ICMPv4 errors of a node without an address (RFC 7600 section 6).
const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// Turns an echo request into its reply, in place (RFC 792, RFC 4443 section 4). False if the packet is
/// anything else.
///
/// Options of the request are not returned: a packet that has any is left to control.
pub(super) fn answer_echo(packet: &mut [u8]) -> bool {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => answer_v4(packet),
        Some(6) => answer_v6(packet),
        _ => false,
    }
}

fn answer_v6(packet: &mut [u8]) -> bool {
    let Ok(ip) = Ipv6View::parse(packet) else { return false };
    let (src, dst, len) = (ip.src(), ip.dst(), usize::from(ip.total_len()));
    let Ok(upper) = ip.upper_layer() else { return false };
    let message = ip.after(upper.offset);
    let plain = upper.protocol == protocol::ICMPV6 && usize::from(upper.offset) == ipv6::HEADER_LEN;
    let request = message.len() >= ICMP_HEADER_LEN && message[..2] == [icmpv6::ECHO_REQUEST, 0];
    if !plain || !request || !icmpv6::is_intact(message, src, dst) {
        return false;
    }
    let repr = Ipv6Repr {
        traffic_class: ip.traffic_class(),
        next_header: protocol::ICMPV6,
        hop_limit: TTL,
        src: dst,
        dst: src,
        payload_len: u16::try_from(len - ipv6::HEADER_LEN).unwrap_or(u16::MAX),
    };
    packet[..ipv6::HEADER_LEN].copy_from_slice(&repr.emit());
    // Exchanging the addresses leaves the sum as it was.
    turn_into_reply(&mut packet[ipv6::HEADER_LEN..], icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY);
    true
}

fn answer_v4(packet: &mut [u8]) -> bool {
    let Ok(ip) = Ipv4View::parse(packet) else { return false };
    let (src, dst, len) = (ip.src(), ip.dst(), usize::from(ip.total_len()));
    let plain = ip.protocol() == protocol::ICMP && !ip.is_fragment() && !ip.has_options();
    let request = ip.payload().len() >= ICMP_HEADER_LEN && ip.payload()[..2] == [icmpv4::ECHO_REQUEST, 0];
    if !plain || !request || len > packet.len() || checksum::checksum(&packet[MIN_HEADER_LEN..len]) != 0 {
        return false;
    }
    let repr = Ipv4Repr {
        tos: packet[1],
        identification: 0,
        dont_fragment: false,
        ttl: TTL,
        protocol: protocol::ICMP,
        src: dst,
        dst: src,
        payload_len: u16::try_from(len - MIN_HEADER_LEN).unwrap_or(u16::MAX),
    };
    packet[..MIN_HEADER_LEN].copy_from_slice(&repr.emit());
    turn_into_reply(&mut packet[MIN_HEADER_LEN..len], icmpv4::ECHO_REQUEST, icmpv4::ECHO_REPLY);
    true
}

/// Changes the type of a message of code 0, and its checksum accordingly.
fn turn_into_reply(icmp: &mut [u8], request: u8, reply: u8) {
    let sum = u16::from_be_bytes([icmp[2], icmp[3]]);
    let (old, new) = (u16::from_be_bytes([request, 0]), u16::from_be_bytes([reply, 0]));
    icmp[0] = reply;
    icmp[2..4].copy_from_slice(&checksum::update(sum, old, new).to_be_bytes());
}

/// The error packet about `original`; `None` if none may be sent, or none can be for want of an address.
#[must_use]
pub(super) fn error_about(
    original: &[u8],
    error: IcmpError,
    tables: &Tables,
    vrf: VrfId,
    interface: Option<InterfaceId>,
    preferred: Option<IpAddr>,
) -> Option<Vec<u8>> {
    let sender = Flow::parse(original).ok()?.src;
    let mut out = vec![0; icmpv4::MAX_ERROR_LEN.max(icmpv6::MAX_ERROR_LEN)];
    let len = match preferred.or_else(|| source_towards(tables, vrf, interface, sender))? {
        IpAddr::V4(source) => icmpv4::build_error(error, original, source, &mut out)?,
        IpAddr::V6(source) => icmpv6::build_error(error, original, source, &mut out)?,
    };
    out.truncate(len);
    Some(out)
}

/// Our address, of the same family, that reports about packets of `sender`: of the interface they came in by, else
/// of any inside interface of the routing domain, else of any, else a host address.
fn source_towards(
    tables: &Tables,
    vrf: VrfId,
    interface: Option<InterfaceId>,
    sender: IpAddr,
) -> Option<IpAddr> {
    let ingress = interface.and_then(|id| tables.interface(id)).filter(|interface| interface.vrf == vrf);
    let inside = tables.interfaces().filter(|i| i.vrf == vrf && i.role == Role::Inside);
    let any = tables.interfaces().filter(|i| i.vrf == vrf);
    let of_interface = ingress.into_iter().chain(inside).chain(any).find_map(|i| i.source_for(sender));
    of_interface.or_else(|| host_towards(tables.vrf(vrf)?.hosts(), sender))
}

/// The source where no interface has one. The kernel takes no IPv4 packet from an address of its own, as all host
/// addresses are: to a program the source is the address that is nobody's.
fn host_towards(hosts: &[InterfaceAddress], sender: IpAddr) -> Option<IpAddr> {
    let hosts = || hosts.iter().map(|host| host.address).filter(|host| host.is_ipv4() == sender.is_ipv4());
    let to_program = sender.is_ipv4() && hosts().any(|host| host == sender);
    if to_program { Some(DUMMY.into()) } else { hosts().next() }
}

/// Whether answers to what came in this way are forwarded by the one decision; what came to an outside
/// interface is answered in clear from there.
#[must_use]
pub(super) fn answers_by_decision(ingress: Ingress) -> bool {
    match ingress {
        Ingress::Inside | Ingress::Tunnel(_) | Ingress::Own => true,
        Ingress::Outside => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo_request(payload: &[u8]) -> Vec<u8> {
        let repr = Ipv4Repr {
            tos: 0,
            identification: 7,
            dont_fragment: true,
            ttl: 3,
            protocol: protocol::ICMP,
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(192, 0, 2, 2),
            payload_len: u16::try_from(8 + payload.len()).unwrap(),
        };
        let mut packet = repr.emit().to_vec();
        packet.extend([icmpv4::ECHO_REQUEST, 0, 0, 0, 0x12, 0x34, 0, 1]);
        packet.extend(payload);
        let sum = checksum::checksum(&packet[20..]);
        packet[22..24].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    #[test]
    fn an_echo_request_becomes_its_reply() {
        for payload in [&b""[..], b"odd", b"some payload"] {
            let mut packet = echo_request(payload);
            assert!(answer_echo(&mut packet));
            let reply = Ipv4View::parse(&packet).unwrap();
            assert!(reply.verify_checksum().is_ok());
            assert_eq!(reply.src(), Ipv4Addr::new(192, 0, 2, 2));
            assert_eq!(reply.dst(), Ipv4Addr::new(192, 0, 2, 1));
            assert_eq!(reply.ttl(), TTL);
            assert_eq!(&reply.payload()[4..8], [0x12, 0x34, 0, 1]);
            assert_eq!(&reply.payload()[8..], payload);
            assert_eq!(checksum::checksum(reply.payload()), 0);
            assert!(!answer_echo(&mut packet), "a reply is not answered");
        }
    }

    #[test]
    fn an_ipv6_echo_request_becomes_its_reply() {
        let mut packet = echo_request_v6(b"odd");
        assert!(answer_echo(&mut packet));
        let reply = Ipv6View::parse(&packet).unwrap();
        assert_eq!((reply.src().to_string(), reply.hop_limit()), ("2001:db8::2".to_owned(), TTL));
        assert!(icmpv6::is_intact(&packet[40..], reply.src(), reply.dst()));
        assert_eq!((packet[40], &packet[44..]), (129, &b"\x12\x34\0\x01odd"[..]));
        assert!(!answer_echo(&mut packet), "a reply is not answered");
        let mut broken = echo_request_v6(b"odd");
        broken[50] ^= 1;
        assert!(!answer_echo(&mut broken));
    }

    fn echo_request_v6(payload: &[u8]) -> Vec<u8> {
        let (src, dst) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let len = u16::try_from(8 + payload.len()).unwrap();
        let repr = Ipv6Repr {
            traffic_class: 0,
            next_header: protocol::ICMPV6,
            hop_limit: 3,
            src,
            dst,
            payload_len: len,
        };
        let mut packet = repr.emit().to_vec();
        packet.extend([icmpv6::ECHO_REQUEST, 0, 0, 0, 0x12, 0x34, 0, 1]);
        packet.extend(payload);
        let pseudo = checksum::pseudo_header(src.into(), dst.into(), protocol::ICMPV6, len);
        let sum = !checksum::fold(pseudo + checksum::sum(&packet[40..]));
        packet[42..44].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    #[test]
    fn anything_else_is_left_alone() {
        let mut broken = echo_request(b"x");
        broken[24] ^= 1;
        let mut short = echo_request(b"")[..27].to_vec();
        short[2..4].copy_from_slice(&27u16.to_be_bytes());
        let mut fragment = echo_request(b"x");
        fragment[6] = 0x20;
        for packet in [broken, short, fragment] {
            let before = packet.clone();
            let mut packet = packet;
            assert!(!answer_echo(&mut packet));
            assert_eq!(packet, before);
        }
    }
}
