//! From desired state to what each side is told: data plane objects and tunnels for IKE.
//!
//! # Identifiers
//! The data plane and the owner tags of SAs know numbers, not names. Connections, tunnels and next hops get the
//! FNV-1a hash of their key (`"tokyo"`, `"tokyo/1"`, ...) folded to 20 bits, so that a number depends on nothing but the name and
//! a restarted control process recognises its own SAs. A collision is resolved by hashing again, in the order of
//! the sorted keys. Interfaces are numbered from 1 in the order of the document because the data plane indexes
//! small tables by them; [`InterfaceIds`] keeps the numbers over a reload.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{
    Desired, Dpd, Encapsulation, HostAddress, Identity, Ike, Ipsec, Policer, Policy, Proofs, Role, Vrf,
};

mod build;
pub mod id;
#[cfg(test)]
mod tests;

pub use id::InterfaceIds;

/// Everything control tells the data plane and IKE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub dataplane: DataplanePlan,
    pub tunnels: Vec<TunnelPlan>,
    /// The place of each number in `tunnels`.
    by_id: BTreeMap<u32, usize>,
    /// To pass to the next [`plan`].
    pub interface_ids: InterfaceIds,
}

impl Plan {
    /// The tunnel of this number.
    #[must_use]
    pub fn tunnel(&self, id: u32) -> Option<&TunnelPlan> {
        self.tunnels.get(*self.by_id.get(&id)?)
    }
}

/// Configuration objects of the data plane, in an order in which each refers only to earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataplanePlan {
    pub interfaces: Vec<InterfacePlan>,
    pub addresses: Vec<AddressPlan>,
    pub host_addresses: Vec<HostAddress>,
    pub tunnels: Vec<DataplaneTunnel>,
    pub policers: Vec<PolicerPlan>,
    pub next_hops: Vec<NextHopPlan>,
    /// Candidates: `routing` picks one per prefix.
    pub routes: Vec<RoutePlan>,
    pub policy_routes: Vec<PolicyRoutePlan>,
    /// In the order in which they are tried.
    pub policies: Vec<Policy>,
}

/// An interface; the port is still a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfacePlan {
    pub id: u16,
    pub name: String,
    pub port: String,
    pub vlan: u16,
    pub role: Role,
    pub vrf: Vrf,
    pub mtu: u16,
}

/// An own address with the prefix of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPlan {
    pub interface: u16,
    pub address: IpNet,
}

/// The encapsulation of one tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataplaneTunnel {
    pub id: u32,
    pub connection: u32,
    pub inner_vrf: Vrf,
    pub outer_vrf: Vrf,
    pub encapsulation: Encapsulation,
    /// The address behind the peer that probes of the path MTU ask.
    pub probe: Option<IpAddr>,
}

/// The limits of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicerPlan {
    pub connection: u32,
    pub policer: Policer,
}

/// Where routes lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHopPlan {
    pub id: u32,
    pub kind: NextHopKind,
}

/// As in the contract, with own types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextHopKind {
    /// Tunnels of a connection, the primary first.
    Tunnels(Vec<u32>),
    Interface {
        interface: u16,
        gateway: Option<IpAddr>,
    },
    Discard,
}

/// Where a route comes from; decides between equal prefixes (RT-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteSource {
    /// The network of an own address, the data plane's own entry; the peer's address inside a tunnel.
    System,
    /// `[[route]]`.
    Static,
}

/// A candidate for the table of a VRF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutePlan {
    pub vrf: Vrf,
    pub prefix: IpNet,
    pub source: RouteSource,
    /// `None` for networks of own addresses, which the data plane makes from the addresses.
    pub next_hop: Option<u32>,
}

/// A policy route; the smallest priority wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyRoutePlan {
    pub vrf: Vrf,
    pub priority: u32,
    pub src: IpNet,
    pub dst: IpNet,
    pub next_hop: u32,
}

/// What IKE needs to know of one tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelPlan {
    /// The number in owner tags and `Acquire` events.
    pub id: u32,
    /// The number of its connection in owner tags.
    pub connection_id: u32,
    pub connection: String,
    /// From 1: 1 is the primary.
    pub index: u8,
    pub outer_vrf: Vrf,
    pub inner_vrf: Vrf,
    pub local: IpAddr,
    pub remote: IpAddr,
    pub local_id: Identity,
    pub remote_id: Identity,
    pub auth: Proofs,
    pub ike: Ike,
    pub ipsec: Ipsec,
    pub local_networks: Vec<IpNet>,
    pub remote_networks: Vec<IpNet>,
    pub dpd: Option<Dpd>,
    pub nat_traversal: bool,
    /// As in [`crate::model::Tunnel`].
    pub fragments: Option<u16>,
    /// Negotiate at once rather than with the first packet.
    pub initiate: bool,
}

impl TunnelPlan {
    /// The tunnel's name: that of its connection, `/`, and its index.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.connection, self.index)
    }
}

/// Plans `desired`. `previous` holds the interface numbers of the plan that is in force, if any.
#[must_use]
pub fn plan(desired: &Desired, previous: &InterfaceIds) -> Plan {
    build::build(desired, previous)
}
