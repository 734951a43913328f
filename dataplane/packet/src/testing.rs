//! Fixtures of the unit tests: a small gateway, and packets.

use crate::esp::{DfPolicy, DscpPolicy, Encap, OuterEndpoints, TransformIds};
use crate::flow::Flow;
use crate::headers::{ipv4::Ipv4Repr, ipv6::Ipv6Repr, protocol};
use crate::ids::{InterfaceId, NextHopId, OwnerTag, PortId, SlotBits, Spi, TunnelId, VrfId};
use crate::prefix::Prefix;
use crate::sad::Lifetime;
use crate::selectors::SelectorPair;
use crate::spd::{Action, Heading, SpdEntry};
use crate::tables::{
    Change, Fragmentation, InstallInbound, InstallOutbound, InterfaceAddress, NextHop, NextHopKind, Role,
    SaParameters, Tables, Tunnel, TunnelGroup,
};
use std::net::{IpAddr, Ipv4Addr};

pub(crate) const OUTER: VrfId = VrfId(0);
pub(crate) const INNER: VrfId = VrfId(1);
pub(crate) const OUTSIDE: InterfaceId = InterfaceId(0);
pub(crate) const INSIDE: InterfaceId = InterfaceId(1);
pub(crate) const TUNNEL: TunnelId = TunnelId(7);
pub(crate) const GROUP: NextHopId = NextHopId(3);
pub(crate) const GCM: TransformIds = TransformIds { encryption: 20, key_bits: 128, integrity: 0 };
pub(crate) const CBC_SHA1: TransformIds = TransformIds { encryption: 12, key_bits: 128, integrity: 2 };

pub(crate) fn ip(s: &str) -> IpAddr {
    s.parse().expect("an address")
}

pub(crate) fn v4(s: &str) -> Ipv4Addr {
    s.parse().expect("an IPv4 address")
}

pub(crate) fn prefix(s: &str) -> Prefix {
    s.parse().expect("a prefix")
}

pub(crate) fn spi(value: u32) -> Spi {
    Spi::new(value).expect("not reserved")
}

pub(crate) fn interface(id: InterfaceId, role: Role, vrf: VrfId) -> Change<u32> {
    Change::PutInterface { id, port: PortId(id.0), vlan: None, role, vrf, mtu: 1500 }
}

pub(crate) fn address(interface: InterfaceId, address: &str, prefix_len: u8) -> Change<u32> {
    Change::PutAddress { interface, address: InterfaceAddress { address: ip(address), prefix_len } }
}

pub(crate) fn tunnel(id: TunnelId) -> Tunnel {
    Tunnel {
        id,
        connection: 1,
        inner_vrf: INNER,
        outer_vrf: OUTER,
        mtu: 0,
        mss: 0,
        df: DfPolicy::Copy,
        dscp: DscpPolicy::Copy,
        fragmentation: Fragmentation::Before,
        probe: None,
        acquire: false,
    }
}

pub(crate) fn group(tunnels: &[TunnelId], active: u16) -> NextHopKind {
    NextHopKind::Tunnels(TunnelGroup { tunnels: tunnels.iter().copied().collect(), active })
}

pub(crate) fn native(remote: &str) -> OuterEndpoints {
    OuterEndpoints {
        vrf: OUTER,
        local: ip("192.0.2.1"),
        remote: ip(remote),
        encap: Encap::Native,
        keepalive_secs: 0,
    }
}

pub(crate) fn parameters(spi: Spi, tunnel: TunnelId, suite: TransformIds) -> SaParameters<u32> {
    SaParameters {
        spi,
        owner: OwnerTag { connection: 1, tunnel: tunnel.0, ike_sa: 9, generation: 1 },
        tunnel,
        suite,
        esn: false,
        key: 0x5eed,
        outer: native("192.0.2.2"),
        lifetime: Lifetime::UNLIMITED,
        worker: 0,
    }
}

pub(crate) fn reserve(spi: Spi) -> Change<u32> {
    Change::Reserve(spi)
}

/// Both halves of an SA between the two inner networks.
pub(crate) fn install(spi: Spi, tunnel: TunnelId, active: bool) -> Vec<Change<u32>> {
    vec![
        reserve(spi),
        Change::InstallInbound(InstallInbound {
            sa: parameters(spi, tunnel, GCM),
            replay_window: 64,
            follow_nat: false,
        }),
        Change::InstallOutbound(InstallOutbound {
            sa: parameters(spi, tunnel, GCM),
            peer_spi: 0xc0de_0001,
            active,
            tfc: 0,
        }),
        Change::AddSelector {
            spi,
            selector: SelectorPair::between(prefix("10.1.0.0/24"), prefix("10.2.0.0/24")),
        },
    ]
}

/// 192.0.2.1 outside, 10.1.0.1/24 inside, 10.2.0.0/24 behind tunnel 7; no SA yet.
pub(crate) fn configuration() -> Vec<Change<u32>> {
    vec![
        interface(OUTSIDE, Role::Outside, OUTER),
        address(OUTSIDE, "192.0.2.1", 24),
        interface(INSIDE, Role::Inside, INNER),
        address(INSIDE, "10.1.0.1", 24),
        Change::PutTunnel(tunnel(TUNNEL)),
        Change::PutNextHop(NextHop { id: GROUP, kind: group(&[TUNNEL], 1) }),
        Change::PutRoute { vrf: INNER, prefix: prefix("10.2.0.0/24"), next_hop: GROUP },
    ]
}

/// An entry about everything between two networks.
pub(crate) fn spd_entry(action: Action, src: &str, dst: &str) -> SpdEntry {
    SpdEntry { action, heading: Heading::Both, selectors: SelectorPair::between(prefix(src), prefix(dst)) }
}

pub(crate) fn apply(tables: &mut Tables<u32>, changes: impl IntoIterator<Item = Change<u32>>) {
    for change in changes {
        let shown = format!("{change:?}");
        tables.apply(change).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }
    tables.commit();
}

/// [`configuration`] with SA 0x10001 installed and active.
pub(crate) fn gateway() -> Tables<u32> {
    let mut tables = Tables::new(SlotBits::DEFAULT);
    apply(&mut tables, configuration().into_iter().chain(install(spi(0x1_0001), TUNNEL, true)));
    tables
}

pub(crate) fn ipv4(src: &str, dst: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let repr = Ipv4Repr {
        tos: 0,
        identification: 1,
        dont_fragment: true,
        ttl: 64,
        protocol,
        src: v4(src),
        dst: v4(dst),
        payload_len: u16::try_from(payload.len()).expect("short"),
    };
    [&repr.emit()[..], payload].concat()
}

pub(crate) fn ipv6(src: &str, dst: &str, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let repr = Ipv6Repr {
        traffic_class: 0,
        next_header,
        hop_limit: 64,
        src: src.parse().expect("an IPv6 address"),
        dst: dst.parse().expect("an IPv6 address"),
        payload_len: u16::try_from(payload.len()).expect("short"),
    };
    [&repr.emit()[..], payload].concat()
}

pub(crate) fn udp(src: &str, dst: &str, ports: (u16, u16), body: &[u8]) -> Vec<u8> {
    let mut datagram = [&[0; 8][..], body].concat();
    assert!(crate::headers::udp::emit(&mut datagram, ip(src), ip(dst), ports.0, ports.1));
    ipv4(src, dst, protocol::UDP, &datagram)
}

pub(crate) fn flow(packet: &[u8]) -> Flow {
    Flow::parse(packet).expect("a valid packet")
}
