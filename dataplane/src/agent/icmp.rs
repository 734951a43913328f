//! ICMP that the agent makes: answers to echo requests, and errors about packets.

use std::net::{IpAddr, Ipv4Addr};

use packet::decide::Ingress;
use packet::headers::icmpv4::{self, IcmpError, MAX_ERROR_LEN};
use packet::headers::ipv4::{Ipv4Repr, Ipv4View, MIN_HEADER_LEN};
use packet::headers::{checksum, protocol};
use packet::tables::Role;
use packet::{InterfaceId, VrfId};

use crate::shared::Tables;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const ICMP_HEADER_LEN: usize = 8;
const TTL: u8 = 64;

/// Turns an echo request into its reply, in place (RFC 792). False if the packet is anything else.
///
/// Options of the request are not returned: a packet that has any is left to control.
pub(super) fn answer_echo(packet: &mut [u8]) -> bool {
    let Ok(ip) = Ipv4View::parse(packet) else { return false };
    let (src, dst, len) = (ip.src(), ip.dst(), usize::from(ip.total_len()));
    let plain = ip.protocol() == protocol::ICMP && !ip.is_fragment() && !ip.has_options();
    let request = ip.payload().len() >= ICMP_HEADER_LEN && ip.payload()[..2] == [ECHO_REQUEST, 0];
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
    let icmp = &mut packet[MIN_HEADER_LEN..len];
    let sum = u16::from_be_bytes([icmp[2], icmp[3]]);
    let old = u16::from_be_bytes([ECHO_REQUEST, 0]);
    icmp[0] = ECHO_REPLY;
    icmp[2..4].copy_from_slice(&checksum::update(sum, old, 0).to_be_bytes());
    true
}

/// The error packet about `original`; `None` if none may be sent, or none can be for want of an address.
#[must_use]
pub(super) fn error_about(
    original: &[u8],
    error: IcmpError,
    tables: &Tables,
    vrf: VrfId,
    interface: Option<InterfaceId>,
) -> Option<Vec<u8>> {
    let sender = Ipv4View::parse(original).ok()?.src();
    let source = source_towards(tables, vrf, interface, sender)?;
    let mut out = vec![0; MAX_ERROR_LEN];
    let len = icmpv4::build_error(error, original, source, &mut out)?;
    out.truncate(len);
    Some(out)
}

/// Our address that reports about packets of `sender`: of the interface they came in by, else of any inside
/// interface of the routing domain, else of any.
fn source_towards(
    tables: &Tables,
    vrf: VrfId,
    interface: Option<InterfaceId>,
    sender: Ipv4Addr,
) -> Option<Ipv4Addr> {
    let ingress = interface.and_then(|id| tables.interface(id)).filter(|interface| interface.vrf == vrf);
    let inside = tables.interfaces().filter(|i| i.vrf == vrf && i.role == Role::Inside);
    let any = tables.interfaces().filter(|i| i.vrf == vrf);
    let found = ingress.into_iter().chain(inside).chain(any).find_map(|i| i.source_for(IpAddr::V4(sender)));
    match found? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
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
        packet.extend([ECHO_REQUEST, 0, 0, 0, 0x12, 0x34, 0, 1]);
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
