//! The source of an ICMP error about a packet that came out of a tunnel, or that a program here sent.

use std::net::IpAddr;

use packet::VrfId;
use packet::decide::{Ingress, Outcome, decide_inner};
use packet::flow::{Flow, Ports};
use packet::headers::protocol;
use packet::tables::Role;

use crate::shared::Tables;

/// What matters of an error message to the decision: small, and of a type that selectors may name.
const ERROR_LEN: u16 = 56;
const TTL: u8 = 64;
const TIME_EXCEEDED: Ports = Ports { src: 11 << 8, dst: 11 << 8 };

/// Our address from which the answer to `original` goes back through a tunnel: one that the peer's selectors
/// cover. `None` where the packet came another way, or no address of ours will do.
pub(super) fn through_tunnel(
    tables: &Tables,
    vrf: VrfId,
    ingress: Ingress,
    original: &[u8],
) -> Option<IpAddr> {
    let Ingress::Tunnel(_) = ingress else { return None };
    let sender = Flow::parse(original).ok()?.src;
    let of = |role| {
        let there = tables.interfaces().filter(move |i| i.vrf == vrf && i.role == role);
        there.flat_map(|i| i.addresses.iter())
    };
    let hosts = tables.vrf(vrf).map_or(&[][..], |vrf| vrf.hosts());
    let ours = of(Role::Inside).chain(hosts).chain(of(Role::Outside)).map(|own| own.address);
    ours.filter(|own| own.is_ipv4() == sender.is_ipv4()).find(|own| passes(tables, vrf, *own, sender))
}

fn passes(tables: &Tables, vrf: VrfId, src: IpAddr, dst: IpAddr) -> bool {
    let flow = Flow {
        src,
        dst,
        protocol: if src.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 },
        ports: Some(TIME_EXCEEDED),
        traffic_class: 0,
        hop_limit: TTL,
        fragment: false,
        largest_fragment: 0,
        dont_fragment: false,
        header_len: 20,
        len: ERROR_LEN,
    };
    matches!(decide_inner(tables, vrf, &flow, Ingress::Own), Outcome::Encapsulate(_))
}
