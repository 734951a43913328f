//! The configured objects.

use crate::esp::{DfPolicy, DscpPolicy};
use crate::flow::Flow;
use crate::ids::{InterfaceId, NextHopId, PortId, TunnelId, VlanId, VrfId};
use crate::prefix::Prefix;
use arrayvec::ArrayVec;
use std::net::IpAddr;
use std::sync::Arc;

/// What an interface is trusted with (rule 2 of the design).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Towards the peers: emits only ESP, IKE, neighbour discovery, our own ICMP and what a bypass entry names.
    Outside,
    /// Towards the protected networks.
    Inside,
}

/// An address of ours and the length of its subnet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of the connected prefix; 32 or 128 for none.
    pub prefix_len: u8,
}

impl InterfaceAddress {
    /// The connected prefix; checked when the address was put.
    #[must_use]
    pub fn subnet(&self) -> Prefix {
        Prefix::containing(self.address, self.prefix_len).unwrap_or_else(|_| Prefix::host(self.address))
    }
}

/// A logical interface: one (port, VLAN).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its identifier.
    pub id: InterfaceId,
    /// The device port.
    pub port: PortId,
    /// The VLAN tag; `None` for untagged frames.
    pub vlan: Option<VlanId>,
    /// What it is trusted with.
    pub role: Role,
    /// The routing domain.
    pub vrf: VrfId,
    /// The largest IP packet, bytes: 576..=9216.
    pub mtu: u16,
    /// Our addresses on it.
    pub addresses: Arc<[InterfaceAddress]>,
}

impl Interface {
    /// True if `address` is one of ours on it.
    #[inline]
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|ours| ours.address == address)
    }

    /// Our address in the subnet of `neighbour`, else the first of its family: the source of ARP and ICMP.
    #[must_use]
    pub fn source_for(&self, neighbour: IpAddr) -> Option<IpAddr> {
        let same_family = |a: &&InterfaceAddress| a.address.is_ipv4() == neighbour.is_ipv4();
        let near = self.addresses.iter().find(|a| a.subnet().contains(neighbour));
        near.or_else(|| self.addresses.iter().find(same_family)).map(|a| a.address)
    }
}

/// The most tunnels a next hop spreads over.
pub const MAX_GROUP: usize = 16;

/// Tunnels that share the traffic of a next hop.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TunnelGroup {
    /// The members.
    pub tunnels: ArrayVec<TunnelId, MAX_GROUP>,
    /// Bit i set: member i is used. A failover is a change of this word.
    pub active: u16,
}

impl TunnelGroup {
    /// The active member for a flow; `None` if none is active.
    #[inline]
    #[must_use]
    pub fn choose(&self, flow: &Flow) -> Option<TunnelId> {
        let active = self.active & self.mask();
        match active.count_ones() {
            0 => None,
            1 => self.tunnels.get(active.trailing_zeros() as usize).copied(),
            members => {
                let nth = (u64::from(flow.hash()) * u64::from(members)) >> 32;
                let bit = (0..nth).fold(active, |bits, _| bits & bits.wrapping_sub(1)).trailing_zeros();
                self.tunnels.get(bit as usize).copied()
            }
        }
    }

    #[inline]
    fn mask(&self) -> u16 {
        u16::MAX.checked_shr(16 - u32::try_from(self.tunnels.len()).unwrap_or(16)).unwrap_or(0)
    }
}

/// What a next hop is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NextHopKind {
    /// Encapsulate: one tunnel, or several by flow hash.
    Tunnels(TunnelGroup),
    /// Out of an interface.
    Interface {
        /// The interface.
        interface: InterfaceId,
        /// The router there; `None` if destinations are connected.
        gateway: Option<IpAddr>,
    },
    /// To ourselves.
    Local,
    /// Drop on purpose.
    Discard,
}

/// A next hop that routes name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// Its identifier.
    pub id: NextHopId,
    /// What it is.
    pub kind: NextHopKind,
}

/// Where packets that do not fit a tunnel are fragmented, if they may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fragmentation {
    /// Before encryption: every fragment is an ESP packet of its own, and the receiver needs to put nothing together.
    #[default]
    Before,
    /// After encryption: the peer puts the ESP packet together.
    After,
}

/// A tunnel of a connection, as the data plane needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tunnel {
    /// Its identifier.
    pub id: TunnelId,
    /// The connection it belongs to.
    pub connection: u32,
    /// Where decapsulated packets are routed.
    pub inner_vrf: VrfId,
    /// Where ESP packets are routed.
    pub outer_vrf: VrfId,
    /// The largest inner packet, bytes; 0 = as the path allows.
    pub mtu: u16,
    /// The TCP MSS to clamp to; 0 = as the MTU allows.
    pub mss: u16,
    /// The outer DF bit.
    pub df: DfPolicy,
    /// Where packets that do not fit are fragmented.
    pub fragmentation: Fragmentation,
    /// The outer DSCP.
    pub dscp: DscpPolicy,
    /// Ask for an SA when a packet needs one.
    pub acquire: bool,
    /// The address behind the peer that path MTU probes ask, if any.
    pub probe: Option<IpAddr>,
}

/// What passes between us and a peer, bytes of the outer packet; `u16::MAX` = as much as the link takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathMtu {
    /// From us to the peer.
    pub outbound: u16,
    /// From the peer to us.
    pub inbound: u16,
}

impl PathMtu {
    /// Nothing is known of the path.
    pub const UNKNOWN: Self = Self { outbound: u16::MAX, inbound: u16::MAX };
}

/// Where a prefix in a VRF leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteTarget {
    /// A configured route.
    NextHop(NextHopId),
    /// The subnet of an interface address.
    Connected(InterfaceId),
    /// An interface address itself.
    Local(InterfaceId),
    /// A host address: for the programs of this machine, by the VRF's TUN device.
    Host,
}
