//! Tables of a gateway with an outside and an inside interface, and SAs with fixed keys.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use crypto::{Key, KeyMaterial, Suite};
use esplanade_dataplane::shared::Tables;
use packet::esp::{DfPolicy, DscpPolicy, Encap, OuterEndpoints, TransformIds};
use packet::ids::SlotBits;
use packet::neighbour::{Neighbour, NeighbourState};
use packet::sad::Lifetime;
use packet::selectors::SelectorPair;
use packet::spd::{Action, Heading, SpdEntry};
use packet::tables::{
    Change, Fragmentation, InstallInbound, InstallOutbound, InterfaceAddress, NextHop, NextHopKind, Role,
    SaParameters, Tunnel, TunnelGroup,
};
use packet::{InterfaceId, MacAddr, NextHopId, OwnerTag, PortId, Prefix, Spi, TunnelId, VrfId};

use super::frames::{HOST_MAC, PEER_MAC};
use super::{LAN, WAN};

pub const OUTER: VrfId = VrfId(0);
pub const INNER: VrfId = VrfId(1);
pub const WAN_IF: InterfaceId = InterfaceId(1);
pub const LAN_IF: InterfaceId = InterfaceId(2);
pub const TUNNEL: TunnelId = TunnelId(1);
pub const INTO_TUNNEL: NextHopId = NextHopId(1);

/// The portable engine; its self-test runs once.
pub fn engine() -> Arc<dyn crypto::Backend> {
    static ENGINE: LazyLock<Arc<dyn crypto::Backend>> = LazyLock::new(|| {
        crypto::select(crypto::Preference::Portable).expect("portable works everywhere").backend
    });
    Arc::clone(&ENGINE)
}

/// The portable engine, and ipsec-mb where it was built in.
pub fn engines() -> Vec<Arc<dyn crypto::Backend>> {
    let fast = crypto::select(crypto::Preference::IpsecMb).map(|selection| selection.backend);
    std::iter::once(engine()).chain(fast).collect()
}

pub fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

/// An entry of the security policy about everything between two networks.
pub fn spd_entry(action: Action, src: Prefix, dst: Prefix) -> SpdEntry {
    SpdEntry { action, heading: Heading::Both, selectors: SelectorPair::between(src, dst) }
}

pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// One of two gateways that face each other; `FORTH` goes from the first to the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Side {
    pub outside: &'static str,
    pub inside: &'static str,
    pub network: &'static str,
    pub peer: &'static str,
    pub peer_network: &'static str,
    pub host: &'static str,
}

pub const FIRST: Side = Side {
    outside: "192.0.2.1",
    inside: "10.1.0.254",
    network: "10.1.0.0/24",
    peer: "192.0.2.2",
    peer_network: "10.2.0.0/24",
    host: "10.1.0.1",
};

pub const SECOND: Side = Side {
    outside: "192.0.2.2",
    inside: "10.2.0.254",
    network: "10.2.0.0/24",
    peer: "192.0.2.1",
    peer_network: "10.1.0.0/24",
    host: "10.2.0.1",
};

/// The same gateways with IPv6 outside, inside or both: pairs like [`FIRST`] and [`SECOND`].
pub const V6_OVER_V4: (Side, Side) = (inside_v6(FIRST), inside_v6(SECOND));
pub const V4_OVER_V6: (Side, Side) = (outside_v6(FIRST), outside_v6(SECOND));
pub const V6_OVER_V6: (Side, Side) = (inside_v6(outside_v6(FIRST)), inside_v6(outside_v6(SECOND)));

const fn outside_v6(side: Side) -> Side {
    let (outside, peer) = match side.outside.as_bytes() {
        [.., b'1'] => ("2001:db8::1", "2001:db8::2"),
        _ => ("2001:db8::2", "2001:db8::1"),
    };
    Side { outside, peer, ..side }
}

const fn inside_v6(side: Side) -> Side {
    let (first, second) = ("2001:db8:1::/64", "2001:db8:2::/64");
    match side.host.as_bytes() {
        [_, _, _, b'1', ..] => Side {
            inside: "2001:db8:1::fe",
            network: first,
            peer_network: second,
            host: "2001:db8:1::1",
            ..side
        },
        _ => Side {
            inside: "2001:db8:2::fe",
            network: second,
            peer_network: first,
            host: "2001:db8:2::1",
            ..side
        },
    }
}

/// Interfaces, routes, neighbours and the tunnel of a side; no SA.
pub fn tables(side: Side, tunnel: impl FnOnce(&mut Tunnel)) -> Tables {
    let mut tables = Tables::new(SlotBits::DEFAULT);
    for change in changes(side, tunnel) {
        tables.apply(change).expect("the setup is valid");
    }
    tables.commit();
    tables
}

fn changes(side: Side, configure: impl FnOnce(&mut Tunnel)) -> Vec<Change<Key>> {
    let interface = |id, port, role, vrf| Change::PutInterface { id, port, vlan: None, role, vrf, mtu: 1500 };
    let ours = |interface, ip| Change::PutAddress {
        interface,
        address: InterfaceAddress {
            address: address(ip),
            prefix_len: if address(ip).is_ipv4() { 24 } else { 64 },
        },
    };
    let neighbour = |interface, ip, mac: MacAddr| Change::PutNeighbour {
        interface,
        address: address(ip),
        neighbour: Neighbour { state: NeighbourState::Reachable, mac },
    };
    let mut tunnel = Tunnel {
        id: TUNNEL,
        connection: 1,
        inner_vrf: INNER,
        outer_vrf: OUTER,
        mtu: 0,
        mss: 0,
        df: DfPolicy::Copy,
        dscp: DscpPolicy::Copy,
        acquire: false,
        probe: None,
        fragmentation: Fragmentation::Before,
    };
    configure(&mut tunnel);
    let group = TunnelGroup { tunnels: [TUNNEL].into_iter().collect(), active: 1 };
    vec![
        interface(WAN_IF, WAN, Role::Outside, OUTER),
        interface(LAN_IF, LAN, Role::Inside, INNER),
        ours(WAN_IF, side.outside),
        ours(LAN_IF, side.inside),
        neighbour(WAN_IF, side.peer, PEER_MAC),
        neighbour(LAN_IF, side.host, HOST_MAC),
        Change::PutTunnel(tunnel),
        Change::PutNextHop(NextHop { id: INTO_TUNNEL, kind: NextHopKind::Tunnels(group) }),
        Change::PutRoute { vrf: INNER, prefix: prefix(side.peer_network), next_hop: INTO_TUNNEL },
    ]
}

/// One CHILD_SA, as both halves of one side are installed.
#[derive(Clone, Debug)]
pub struct ChildSa {
    pub side: Side,
    pub suite: Suite,
    pub esn: bool,
    pub udp: bool,
    pub ours: u32,
    pub theirs: u32,
    /// Encryption and authentication key of each direction.
    pub inbound_keys: (Vec<u8>, Vec<u8>),
    pub outbound_keys: (Vec<u8>, Vec<u8>),
    pub worker: u16,
    pub tunnel: TunnelId,
    pub replay_window: u32,
    pub lifetime: Lifetime,
    pub active: bool,
    /// In place of everything between the networks of the side.
    pub selector: Option<SelectorPair>,
    /// Length to which inner packets are padded.
    pub tfc: u16,
}

impl ChildSa {
    /// A CHILD_SA with keys made of `seed`; the other side's is `.mirrored()`.
    pub fn new(suite: Suite) -> Self {
        let keys = |seed: u8| {
            let bytes = |len: usize, seed: u8| {
                (0..len).zip(0u8..).map(|(_, i)| seed.wrapping_add(i.wrapping_mul(7))).collect()
            };
            (bytes(suite.encryption_key_len(), seed), bytes(suite.authentication_key_len(), seed ^ 0x5a))
        };
        Self {
            side: FIRST,
            suite,
            esn: false,
            udp: false,
            ours: 0x1000_0100,
            theirs: 0x2000_0200,
            inbound_keys: keys(11),
            outbound_keys: keys(83),
            worker: 0,
            tunnel: TUNNEL,
            replay_window: 1024,
            lifetime: Lifetime::UNLIMITED,
            active: true,
            selector: None,
            tfc: 0,
        }
    }

    pub fn mirrored(&self) -> Self {
        let pairs = [(FIRST, SECOND), V6_OVER_V4, V4_OVER_V6, V6_OVER_V6];
        let partner = |(a, b): (Side, Side)| match self.side {
            side if side == a => Some(b),
            side if side == b => Some(a),
            _ => None,
        };
        let side = pairs.into_iter().find_map(partner).expect("one of the sides above");
        let (inbound_keys, outbound_keys) = (self.outbound_keys.clone(), self.inbound_keys.clone());
        let selector = self.selector.map(|pair| SelectorPair { local: pair.remote, remote: pair.local });
        let (ours, theirs) = (self.theirs, self.ours);
        Self { side, ours, theirs, inbound_keys, outbound_keys, selector, ..self.clone() }
    }

    pub fn spi(&self) -> Spi {
        Spi::new(self.ours).expect("not reserved")
    }

    pub fn reserve(&self, tables: &mut Tables) {
        tables.apply(Change::Reserve(self.spi())).expect("a free slot");
        tables.commit();
    }

    /// Reserves and installs both halves with the networks of the side as selectors.
    pub fn install(&self, tables: &mut Tables, engine: &dyn crypto::Backend) {
        self.reserve(tables);
        self.install_reserved(tables, engine);
    }

    pub fn install_reserved(&self, tables: &mut Tables, engine: &dyn crypto::Backend) {
        let inbound = InstallInbound {
            sa: self.parameters(&self.inbound_keys, engine),
            replay_window: self.replay_window,
            follow_nat: false,
        };
        let outbound = InstallOutbound {
            sa: self.parameters(&self.outbound_keys, engine),
            peer_spi: self.theirs,
            active: self.active,
            tfc: self.tfc,
        };
        let networks = SelectorPair::between(prefix(self.side.network), prefix(self.side.peer_network));
        let selector = self.selector.unwrap_or(networks);
        for change in [
            Change::InstallInbound(inbound),
            Change::InstallOutbound(outbound),
            Change::AddSelector { spi: self.spi(), selector },
        ] {
            tables.apply(change).expect("the SA is valid");
        }
        tables.commit();
    }

    fn parameters(&self, keys: &(Vec<u8>, Vec<u8>), engine: &dyn crypto::Backend) -> SaParameters<Key> {
        let material = KeyMaterial { encryption: &keys.0, authentication: &keys.1 };
        let (encryption, key_bits) = self.suite.cipher().transform();
        let integrity = self.suite.integrity().map_or(0, crypto::Integrity::transform);
        let encap = if self.udp { Encap::Udp { local_port: 4500, remote_port: 4500 } } else { Encap::Native };
        SaParameters {
            spi: self.spi(),
            owner: OwnerTag::default(),
            tunnel: self.tunnel,
            suite: TransformIds { encryption, key_bits, integrity },
            esn: self.esn,
            key: engine.expand(self.suite, &material, &crypto::heap()).expect("keys of the right length"),
            outer: OuterEndpoints {
                vrf: OUTER,
                local: address(self.side.outside),
                remote: address(self.side.peer),
                encap,
                keepalive_secs: 0,
            },
            lifetime: self.lifetime,
            worker: self.worker,
        }
    }
}

/// Port facts for tables made here: interface to port.
pub fn port_of(interface: InterfaceId) -> PortId {
    if interface == WAN_IF { WAN } else { LAN }
}
