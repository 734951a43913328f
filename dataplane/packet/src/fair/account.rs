//! To whom a packet is charged, by the few header fields that tell.

use crate::decide::{IKE_PORT, NAT_T_PORT};
use crate::headers::ipv6::FRAGMENT;
use crate::headers::protocol;
use crate::ids::{InterfaceId, NextHopId, TunnelId, VrfId};
use crate::sad::SpiLookup;
use crate::tables::{Interface, Role, RouteTarget, Tables};
use std::net::IpAddr;

/// Offset of the source address and of the first byte after a plain header, bytes.
const V4: (usize, usize) = (12, 20);
const V6: (usize, usize) = (8, 40);

/// Whose share a packet uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Account {
    /// ESP of a tunnel's SA, from the address of its peer.
    Tunnel(TunnelId),
    /// A packet for a tunnel's SA, from another worker.
    ToTunnel(TunnelId),
    /// A packet from behind us, by where it goes.
    Route(VrfId, NextHopId),
    /// IKE from the address of a peer.
    PeerIke(VrfId, IpAddr),
    /// Fragments from the address of a peer.
    PeerFragments(VrfId, IpAddr),
    /// ARP and neighbour discovery.
    Discovery(InterfaceId),
    /// What anybody can send, with its source: all of a class have one share.
    Stranger(Stranger, IpAddr),
}

/// What anybody can send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stranger {
    /// ESP with an unknown SPI, or from another address than its SA's peer: one that moved, or a forger.
    Esp,
    /// IKE.
    Ike,
    /// Fragments.
    Fragment,
    /// From outside: the rest.
    Outside,
    /// From inside: without a route, for us, or for a neighbour in clear.
    Inside,
}

impl Stranger {
    pub(super) const COUNT: usize = Self::Inside as usize + 1;
}

impl Account {
    /// What tells it from others.
    #[inline]
    pub(super) fn identity(&self) -> (u64, Option<IpAddr>) {
        let tag = |kind: u64, value: u32| kind << 56 | u64::from(value);
        match *self {
            Self::Tunnel(id) => (tag(1, id.0), None),
            Self::ToTunnel(id) => (tag(2, id.0), None),
            Self::Route(vrf, id) => (tag(3, id.0) | u64::from(vrf.0) << 32, None),
            Self::PeerIke(vrf, peer) => (tag(4, vrf.0.into()), Some(peer)),
            Self::PeerFragments(vrf, peer) => (tag(5, vrf.0.into()), Some(peer)),
            Self::Discovery(id) => (tag(6, id.0.into()), None),
            Self::Stranger(class, source) => (tag(7, class as u32), Some(source)),
        }
    }

    /// The account of an IP packet that came in on `interface`. Nothing is checked: a packet that is not
    /// sound is charged to someone as well, and dropped when its turn comes.
    #[inline]
    #[must_use]
    pub fn of_packet<K>(tables: &Tables<K>, interface: &Interface, packet: &[u8]) -> Self {
        let Some(glance) = Glance::at(packet) else {
            return Self::stranger(interface.role, IpAddr::V4([0; 4].into()));
        };
        match interface.role {
            Role::Outside => Self::outside(tables, interface, packet, &glance),
            Role::Inside => Self::inside(tables, interface, &glance),
        }
    }

    fn outside<K>(tables: &Tables<K>, interface: &Interface, packet: &[u8], glance: &Glance) -> Self {
        let (vrf, source) = (interface.vrf, glance.src);
        if glance.fragment {
            return match tables.is_peer(vrf, source) {
                true => Self::PeerFragments(vrf, source),
                false => Self::Stranger(Stranger::Fragment, source),
            };
        }
        let word = |at: usize| {
            let bytes = packet.get(glance.payload + at..)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*bytes))
        };
        match glance.protocol {
            protocol::ESP => Self::esp(tables, word(0), source),
            protocol::UDP => match word(0).map(|ports| ports & 0xffff) {
                Some(port) if port == u32::from(IKE_PORT) => Self::ike(tables, vrf, source),
                Some(port) if port == u32::from(NAT_T_PORT) => match word(8) {
                    None | Some(0) => Self::ike(tables, vrf, source),
                    spi => Self::esp(tables, spi, source),
                },
                _ => Self::Stranger(Stranger::Outside, source),
            },
            _ => Self::Stranger(Stranger::Outside, source),
        }
    }

    fn esp<K>(tables: &Tables<K>, spi: Option<u32>, source: IpAddr) -> Self {
        match spi.map(|spi| tables.sad().lookup_inbound(spi)) {
            Some(SpiLookup::Sa(entry, _))
                if entry.template.as_ref().is_some_and(|known| known.endpoints.remote == source) =>
            {
                Self::Tunnel(entry.tunnel)
            }
            _ => Self::Stranger(Stranger::Esp, source),
        }
    }

    fn ike<K>(tables: &Tables<K>, vrf: VrfId, source: IpAddr) -> Self {
        match tables.is_peer(vrf, source) {
            true => Self::PeerIke(vrf, source),
            false => Self::Stranger(Stranger::Ike, source),
        }
    }

    fn inside<K>(tables: &Tables<K>, interface: &Interface, glance: &Glance) -> Self {
        let stranger = Self::Stranger(Stranger::Inside, glance.src);
        let Some(vrf) = tables.vrf(interface.vrf) else { return stranger };
        if let Some(next_hop) = vrf.policy.lookup(glance.src, glance.dst) {
            return Self::Route(interface.vrf, next_hop);
        }
        match vrf.route(glance.dst) {
            Some(RouteTarget::NextHop(id)) => Self::Route(interface.vrf, *id),
            _ => stranger,
        }
    }

    fn stranger(role: Role, source: IpAddr) -> Self {
        let class = match role {
            Role::Outside => Stranger::Outside,
            Role::Inside => Stranger::Inside,
        };
        Self::Stranger(class, source)
    }
}

/// What is seen of a packet at a glance.
struct Glance {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    fragment: bool,
    /// Where the upper-layer header starts, bytes; wrong behind IPv6 extension headers, whose number is the protocol.
    payload: usize,
}

impl Glance {
    #[inline]
    fn at(packet: &[u8]) -> Option<Self> {
        let first = *packet.first()?;
        if first >> 4 == 4 {
            let header = packet.first_chunk::<{ V4.1 }>()?;
            let address = |at: usize| header[at..].first_chunk::<4>().map(|bytes| IpAddr::from(*bytes));
            return Some(Self {
                src: address(V4.0)?,
                dst: address(V4.0 + 4)?,
                protocol: header[9],
                // More fragments, or an offset.
                fragment: u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0,
                payload: usize::from(first & 0x0f) * 4,
            });
        }
        let header = packet.first_chunk::<{ V6.1 }>()?;
        let address = |at: usize| header[at..].first_chunk::<16>().map(|bytes| IpAddr::from(*bytes));
        Some(Self {
            src: address(V6.0)?,
            dst: address(V6.0 + 16)?,
            protocol: header[6],
            fragment: header[6] == FRAGMENT,
            payload: V6.1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{INSIDE, OUTER, OUTSIDE, TUNNEL, gateway, ip, ipv4, ipv6, udp};

    const SPI: u32 = 0x1_0001;

    fn account(interface: InterfaceId, packet: &[u8]) -> Account {
        let tables = gateway();
        Account::of_packet(&tables, tables.interface(interface).expect("it is there"), packet)
    }

    fn esp(spi: u32) -> Vec<u8> {
        [&spi.to_be_bytes()[..], &[0; 36]].concat()
    }

    fn stranger(class: Stranger, source: &str) -> Account {
        Account::Stranger(class, ip(source))
    }

    #[test]
    fn esp_is_its_tunnels_from_the_peer_alone() {
        let (peer, other, us) = ("192.0.2.2", "192.0.2.3", "192.0.2.1");
        let native = |src, spi| account(OUTSIDE, &ipv4(src, us, protocol::ESP, &esp(spi)));
        let in_udp = |src, spi| account(OUTSIDE, &udp(src, us, (4500, 4500), &esp(spi)));
        for arrived in [&native as &dyn Fn(_, _) -> _, &in_udp] {
            assert_eq!(arrived(peer, SPI), Account::Tunnel(TUNNEL));
            assert_eq!(arrived(other, SPI), stranger(Stranger::Esp, other), "a forger that knows the SPI");
            assert_eq!(arrived(peer, SPI + 1), stranger(Stranger::Esp, peer));
        }
    }

    #[test]
    fn ike_and_fragments_of_peers_are_told_from_those_of_strangers() {
        let us = "192.0.2.1";
        let ike = |src, port| account(OUTSIDE, &udp(src, us, (500, port), &[0; 28]));
        for port in [500, 4500] {
            assert_eq!(ike("192.0.2.2", port), Account::PeerIke(OUTER, ip("192.0.2.2")));
            assert_eq!(ike("192.0.2.9", port), stranger(Stranger::Ike, "192.0.2.9"));
        }
        assert_eq!(ike("192.0.2.2", 53), stranger(Stranger::Outside, "192.0.2.2"));
        let fragment = |src| {
            let mut packet = ipv4(src, us, protocol::ESP, &esp(SPI));
            packet[6] = 0x20;
            account(OUTSIDE, &packet)
        };
        assert_eq!(fragment("192.0.2.2"), Account::PeerFragments(OUTER, ip("192.0.2.2")));
        assert_eq!(fragment("192.0.2.9"), stranger(Stranger::Fragment, "192.0.2.9"));
        let v6 = ipv6("2001:db8::9", "2001:db8::1", FRAGMENT, &[0; 16]);
        assert_eq!(account(OUTSIDE, &v6), stranger(Stranger::Fragment, "2001:db8::9"));
    }

    #[test]
    fn packets_from_inside_are_charged_by_their_route() {
        let inside = |dst| account(INSIDE, &ipv4("10.1.0.9", dst, protocol::UDP, &[0; 8]));
        assert!(matches!(inside("10.2.0.9"), Account::Route(..)));
        assert_eq!(inside("10.2.0.9"), inside("10.2.0.10"));
        assert_eq!(inside("10.9.0.1"), stranger(Stranger::Inside, "10.1.0.9"));
    }

    #[test]
    fn any_bytes_have_an_account() {
        let whole = ipv4("192.0.2.2", "192.0.2.1", protocol::ESP, &esp(SPI));
        for len in 0..whole.len() {
            account(OUTSIDE, &whole[..len]);
            account(INSIDE, &whole[..len]);
        }
        assert_eq!(account(OUTSIDE, &[]), stranger(Stranger::Outside, "0.0.0.0"));
    }
}
