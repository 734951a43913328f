//! Two gateways that face each other: the head seals, and what it seals the branches open.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, Result};
use crypto::{Backend, Key, KeyMaterial, KeyMemory, Suite};
use esplanade_dataplane::shared::Tables;
use packet::esp::{DfPolicy, DscpPolicy, Encap, OuterEndpoints, TransformIds};
use packet::ids::SlotBits;
use packet::neighbour::{Neighbour, NeighbourState};
use packet::sad::Lifetime;
use packet::selectors::SelectorPair;
use packet::tables::{
    Change, Fragmentation, InstallInbound, InstallOutbound, InterfaceAddress, NextHop, NextHopKind, Role,
    SaParameters, Tunnel, TunnelGroup,
};
use packet::{InterfaceId, MacAddr, NextHopId, OwnerTag, PortId, Prefix, Spi, TunnelId, VrfId};

/// Ports of the outside and of the inside interface.
pub(crate) const WAN: PortId = PortId(0);
pub(crate) const LAN: PortId = PortId(1);
/// Ethernet addresses of our two ports and of the neighbours behind them.
pub(crate) const OUR_MAC: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 0x10]), MacAddr([2, 0, 0, 0, 0, 0x11])];
pub(crate) const NEIGHBOUR_MAC: [MacAddr; 2] =
    [MacAddr([2, 0, 0, 0, 0, 0x20]), MacAddr([2, 0, 0, 0, 0, 0x21])];

const WAN_IF: InterfaceId = InterfaceId(1);
const LAN_IF: InterfaceId = InterfaceId(2);
const OUTER: VrfId = VrfId(0);
const INNER: VrfId = VrfId(1);
const REPLAY_WINDOW: u32 = 1024;
/// The most SAs: one network of 256 addresses each, out of 10.64.0.0/10.
pub(crate) const MAX_SAS: usize = 1 << 14;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It has one network behind it, and seals for each branch with another SA.
    Head,
    /// Behind it are the networks of all SAs.
    Branches,
}

impl Side {
    pub(crate) fn outside(self) -> Ipv4Addr {
        match self {
            Self::Head => Ipv4Addr::new(192, 0, 2, 1),
            Self::Branches => Ipv4Addr::new(192, 0, 2, 2),
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Head => Self::Branches,
            Self::Branches => Self::Head,
        }
    }
}

/// The host behind the head.
pub(crate) const HEAD_HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// The host behind the tunnel of an SA.
pub(crate) fn branch_host(sa: usize) -> Ipv4Addr {
    let network = u16::try_from(sa).unwrap_or(u16::MAX).to_be_bytes();
    Ipv4Addr::new(10, 64 | network[0], network[1], 1)
}

/// What the SAs are made with.
pub(crate) struct SaSpec<'a> {
    pub(crate) suite: Suite,
    /// How many, each in a tunnel with a route of its own.
    pub(crate) count: usize,
    /// The owner of each is its number modulo this.
    pub(crate) workers: u16,
    pub(crate) engine: &'a dyn Backend,
    pub(crate) memory: &'a KeyMemory,
}

/// The tables of one side with all its SAs.
pub(crate) fn tables(side: Side, spec: &SaSpec<'_>) -> Result<Tables> {
    let mut tables = without_sas(side, spec)?;
    for sa in 0..spec.count {
        install(&mut tables, side, sa, spec)?;
    }
    tables.commit();
    Ok(tables)
}

/// The tables of one side with a tunnel for each SA to come.
pub(crate) fn without_sas(side: Side, spec: &SaSpec<'_>) -> Result<Tables> {
    let mut tables = Tables::new(SlotBits::DEFAULT);
    for change in network(side) {
        tables.apply(change)?;
    }
    for sa in 0..spec.count {
        for change in tunnel(side, sa) {
            tables.apply(change)?;
        }
    }
    tables.commit();
    Ok(tables)
}

/// Removes every SA and installs it anew: sequence numbers and replay windows start afresh.
pub(crate) fn renew(tables: &mut Tables, side: Side, spec: &SaSpec<'_>) -> Result<()> {
    for sa in 0..spec.count {
        replace(tables, side, sa, spec)?;
    }
    tables.commit();
    Ok(())
}

/// Removes an SA and installs it anew, with keys expanded anew.
pub(crate) fn replace(tables: &mut Tables, side: Side, sa: usize, spec: &SaSpec<'_>) -> Result<()> {
    tables.apply(Change::FreeSpi(spi(side, sa)?))?;
    install(tables, side, sa, spec)
}

fn network(side: Side) -> Vec<Change<Key>> {
    let interface = |id, port, role, vrf| Change::PutInterface { id, port, vlan: None, role, vrf, mtu: 9000 };
    let address = |interface, ip: Ipv4Addr, prefix_len| Change::PutAddress {
        interface,
        address: InterfaceAddress { address: IpAddr::V4(ip), prefix_len },
    };
    let neighbour = |interface, ip: Ipv4Addr, mac| Change::PutNeighbour {
        interface,
        address: IpAddr::V4(ip),
        neighbour: Neighbour { state: NeighbourState::Reachable, mac },
    };
    let (inside, host) = match side {
        Side::Head => (Ipv4Addr::new(10, 1, 0, 254), HEAD_HOST),
        Side::Branches => (Ipv4Addr::new(10, 2, 0, 254), Ipv4Addr::new(10, 2, 0, 1)),
    };
    let mut changes = vec![
        interface(WAN_IF, WAN, Role::Outside, OUTER),
        interface(LAN_IF, LAN, Role::Inside, INNER),
        address(WAN_IF, side.outside(), 24),
        address(LAN_IF, inside, 24),
        neighbour(WAN_IF, side.other().outside(), NEIGHBOUR_MAC[0]),
        neighbour(LAN_IF, host, NEIGHBOUR_MAC[1]),
    ];
    if side == Side::Branches {
        let router = NextHopId(1);
        let kind = NextHopKind::Interface { interface: LAN_IF, gateway: Some(IpAddr::V4(host)) };
        changes.push(Change::PutNextHop(NextHop { id: router, kind }));
        changes.push(Change::PutRoute { vrf: INNER, prefix: every_branch(), next_hop: router });
    }
    changes
}

fn every_branch() -> Prefix {
    prefix(Ipv4Addr::new(10, 64, 0, 0), 10)
}

fn prefix(address: Ipv4Addr, len: u8) -> Prefix {
    Prefix::new(IpAddr::V4(address), len).expect("the bits beyond the length are zero")
}

fn number(sa: usize) -> u32 {
    u32::try_from(sa).unwrap_or(u32::MAX)
}

/// The tunnel of an SA, and the way into it.
fn tunnel(side: Side, sa: usize) -> Vec<Change<Key>> {
    let id = TunnelId(number(sa) + 1);
    let tunnel = Tunnel {
        id,
        connection: number(sa) + 1,
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
    let mut changes = vec![Change::PutTunnel(tunnel)];
    if side == Side::Head {
        let next_hop = NextHopId(number(sa) + 2);
        let group = TunnelGroup { tunnels: [id].into_iter().collect(), active: 1 };
        changes.push(Change::PutNextHop(NextHop { id: next_hop, kind: NextHopKind::Tunnels(group) }));
        changes.push(Change::PutRoute { vrf: INNER, prefix: branch_network(sa), next_hop });
    }
    changes
}

fn branch_network(sa: usize) -> Prefix {
    let [a, b, c, _] = branch_host(sa).octets();
    prefix(Ipv4Addr::new(a, b, c, 0), 24)
}

/// Our inbound SPI of an SA: the slot in the low bits, the side in the high ones.
pub(crate) fn spi(side: Side, sa: usize) -> Result<Spi> {
    let side = match side {
        Side::Head => 0x1000_0000,
        Side::Branches => 0x2000_0000,
    };
    Spi::new(side | number(sa)).context("an SPI")
}

pub(crate) fn install(tables: &mut Tables, side: Side, sa: usize, spec: &SaSpec<'_>) -> Result<()> {
    let ours = spi(side, sa)?;
    let selector = match side {
        Side::Head => SelectorPair::between(prefix(Ipv4Addr::new(10, 1, 0, 0), 24), branch_network(sa)),
        Side::Branches => SelectorPair::between(branch_network(sa), prefix(Ipv4Addr::new(10, 1, 0, 0), 24)),
    };
    tables.apply(Change::Reserve(ours))?;
    tables.apply(Change::InstallInbound(InstallInbound {
        sa: parameters(side, sa, side.other(), spec)?,
        replay_window: REPLAY_WINDOW,
        follow_nat: false,
    }))?;
    tables.apply(Change::InstallOutbound(InstallOutbound {
        sa: parameters(side, sa, side, spec)?,
        peer_spi: spi(side.other(), sa)?.value(),
        active: true,
        tfc: 0,
    }))?;
    tables.apply(Change::AddSelector { spi: ours, selector })?;
    Ok(())
}

/// Encryption and authentication key of what `sender` seals.
pub(crate) fn keys(sa: usize, sender: Side, suite: Suite) -> (Vec<u8>, Vec<u8>) {
    let seed = number(sa).wrapping_mul(0x9e37_79b1) ^ u32::from(sender == Side::Head);
    let bytes = |len: usize, salt: u32| -> Vec<u8> {
        (1..).map(|i: u32| (seed ^ salt).wrapping_mul(i).to_be_bytes()[1]).take(len).collect()
    };
    (bytes(suite.encryption_key_len(), 0x55aa), bytes(suite.authentication_key_len(), 0xaa55))
}

/// Half of an SA at `side`; `sender` seals with the same key.
fn parameters(side: Side, sa: usize, sender: Side, spec: &SaSpec<'_>) -> Result<SaParameters<Key>> {
    let (encryption, authentication) = keys(sa, sender, spec.suite);
    let material = KeyMaterial { encryption: &encryption, authentication: &authentication };
    let (transform, key_bits) = spec.suite.cipher().transform();
    let integrity = spec.suite.integrity().map_or(0, crypto::Integrity::transform);
    Ok(SaParameters {
        spi: spi(side, sa)?,
        owner: OwnerTag::default(),
        tunnel: TunnelId(number(sa) + 1),
        suite: TransformIds { encryption: transform, key_bits, integrity },
        esn: false,
        key: spec.engine.expand(spec.suite, &material, spec.memory)?,
        outer: OuterEndpoints {
            vrf: OUTER,
            local: IpAddr::V4(side.outside()),
            remote: IpAddr::V4(side.other().outside()),
            encap: Encap::Native,
            keepalive_secs: 0,
        },
        lifetime: Lifetime::UNLIMITED,
        worker: u16::try_from(sa % usize::from(spec.workers.max(1)))?,
    })
}

/// Keys in huge pages, as the data plane has them.
pub(crate) fn key_memory(sas: usize) -> Result<KeyMemory> {
    Ok(key_arena(sas)?)
}

/// The same, to be asked how much of it is used.
pub(crate) fn key_arena(sas: usize) -> Result<Arc<rcu::Arena>> {
    let bytes = (4 * sas.max(64)) * 4096;
    Ok(Arc::new(rcu::Arena::new(bytes).context("key memory")?))
}
