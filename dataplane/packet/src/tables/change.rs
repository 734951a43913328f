//! The commands of the contract that change tables, and why one is refused.

use super::objects::{InterfaceAddress, NextHop, PathMtu, Role, Tunnel};
use crate::esp::{OuterEndpoints, TransformIds};
use crate::ids::{InterfaceId, NextHopId, OwnerTag, PortId, Spi, TunnelId, VlanId, VrfId};
use crate::neighbour::Neighbour;
use crate::policer::Policer;
use crate::policy::PolicyRoute;
use crate::prefix::Prefix;
use crate::sad::Lifetime;
use crate::selectors::SelectorPair;
use crate::spd::SpdEntry;
use std::net::IpAddr;
use std::sync::Arc;

/// What both halves of a CHILD_SA are installed with.
#[derive(Debug)]
pub struct SaParameters<K> {
    /// Our inbound SPI: the name of the pair.
    pub spi: Spi,
    /// Whose the SA is.
    pub owner: OwnerTag,
    /// The tunnel it belongs to.
    pub tunnel: TunnelId,
    /// The algorithms, for their sizes.
    pub suite: TransformIds,
    /// Extended sequence numbers.
    pub esn: bool,
    /// The expanded key.
    pub key: K,
    /// Where its packets come from and go to.
    pub outer: OuterEndpoints,
    /// Its limits.
    pub lifetime: Lifetime,
    /// The worker that owns it first.
    pub worker: u16,
}

/// The receiving half.
#[derive(Debug)]
pub struct InstallInbound<K> {
    /// Common parameters.
    pub sa: SaParameters<K>,
    /// Size of the anti-replay window, packets: 32..=32768.
    pub replay_window: u32,
    /// The agent may follow a peer that moved.
    pub follow_nat: bool,
}

/// The sending half.
#[derive(Debug)]
pub struct InstallOutbound<K> {
    /// Common parameters; `spi` is our inbound SPI.
    pub sa: SaParameters<K>,
    /// The SPI the peer chose, at least 256.
    pub peer_spi: u32,
    /// True to choose it for traffic at once.
    pub active: bool,
    /// Inner packets are padded to this length, bytes; 0: not at all.
    pub tfc: u16,
}

/// One change of the tables.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of the objects and identifiers they name")]
pub enum Change<K> {
    /// Adds or changes an interface; its addresses stay.
    PutInterface { id: InterfaceId, port: PortId, vlan: Option<VlanId>, role: Role, vrf: VrfId, mtu: u16 },
    /// Removes an interface that no next hop names, with its addresses and neighbours.
    DeleteInterface(InterfaceId),
    /// Gives an interface an address.
    PutAddress { interface: InterfaceId, address: InterfaceAddress },
    /// Takes it away.
    DeleteAddress { interface: InterfaceId, address: IpAddr },
    /// Gives the programs of this machine an address in a VRF: only the address itself is ours.
    PutHostAddress { vrf: VrfId, address: InterfaceAddress },
    /// Takes it away.
    DeleteHostAddress { vrf: VrfId, address: IpAddr },
    /// Adds or changes a next hop.
    PutNextHop(NextHop),
    /// Removes a next hop that no route names.
    DeleteNextHop(NextHopId),
    /// Adds or changes a destination route.
    PutRoute { vrf: VrfId, prefix: Prefix, next_hop: NextHopId },
    /// Removes it.
    DeleteRoute { vrf: VrfId, prefix: Prefix },
    /// Adds or changes a policy route.
    PutPolicyRoute { vrf: VrfId, route: PolicyRoute },
    /// Removes it.
    DeletePolicyRoute { vrf: VrfId, priority: u32, src: Prefix, dst: Prefix },
    /// Puts an entry of the security policy into its place.
    PutSpdEntry { vrf: VrfId, order: u16, entry: SpdEntry },
    /// Removes it.
    DeleteSpdEntry { vrf: VrfId, order: u16 },
    /// Adds or changes a tunnel.
    PutTunnel(Tunnel),
    /// Removes a tunnel that no next hop and no SA names.
    DeleteTunnel(TunnelId),
    /// Limits what the tunnels of a connection carry together.
    PutPolicer { connection: u32, policer: Arc<Policer> },
    /// Lets it carry anything.
    DeletePolicer { connection: u32 },
    /// Promises an SPI that [`crate::sad::SpiAllocator`] allocated.
    Reserve(Spi),
    /// Installs the receiving half of a reserved SPI.
    InstallInbound(InstallInbound<K>),
    /// Installs the sending half of an installed SPI.
    InstallOutbound(InstallOutbound<K>),
    /// Adds traffic selectors to both halves.
    AddSelector { spi: Spi, selector: SelectorPair },
    /// Makes the sending half eligible for traffic.
    ActivateOutbound(Spi),
    /// Removes the sending half.
    DeleteOutbound(Spi),
    /// Removes the sending half and lets the receiving one linger; the agent frees it later.
    DeleteInbound(Spi),
    /// Empties the slot in whatever state it is.
    FreeSpi(Spi),
    /// Changes addresses or encapsulation of both halves.
    UpdateOuter { spi: Spi, outer: OuterEndpoints },
    /// Adds or changes a neighbour (the agent's, not a command of the contract).
    PutNeighbour { interface: InterfaceId, address: IpAddr, neighbour: Neighbour },
    /// Removes it.
    DeleteNeighbour { interface: InterfaceId, address: IpAddr },
    /// Bounds outer packets to a peer by what its path was found to take (the agent's, too).
    PutPathMtu { vrf: VrfId, remote: IpAddr, mtu: PathMtu },
    /// Believes the link's MTU again.
    DeletePathMtu { vrf: VrfId, remote: IpAddr },
}

/// Why a change is refused; the tables it was applied to are to be dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message names its fields")]
pub enum ChangeError {
    #[error("{object} {id} does not exist")]
    Missing { object: &'static str, id: u32 },
    #[error("route {prefix} does not exist in VRF {vrf}")]
    RouteMissing { vrf: VrfId, prefix: Prefix },
    #[error("address {address} does not exist on interface {interface}")]
    AddressMissing { interface: InterfaceId, address: IpAddr },
    #[error("{object} {id} is still named by {by} {by_id}")]
    InUse { object: &'static str, id: u32, by: &'static str, by_id: u32 },
    #[error("{field} {value} is out of range {min}..={max}")]
    OutOfRange { field: &'static str, value: u64, min: u64, max: u64 },
    #[error("port {port} VLAN {vlan} belongs to interface {other} already")]
    VlanTaken { port: PortId, vlan: u16, other: InterfaceId },
    #[error("address {address} is on interface {other} of the same VRF already")]
    AddressTaken { address: IpAddr, other: InterfaceId },
    #[error("address {address} is a host address and an interface's in VRF {vrf}")]
    HostAddressTaken { vrf: VrfId, address: IpAddr },
    #[error("host address {address} does not exist in VRF {vrf}")]
    HostAddressMissing { vrf: VrfId, address: IpAddr },
    #[error("subnet {subnet} overlaps {other_subnet} of interface {other} in the same VRF")]
    SubnetOverlap { subnet: Prefix, other: InterfaceId, other_subnet: Prefix },
    #[error("{field} {address} cannot be a host address")]
    NotAHost { field: &'static str, address: IpAddr },
    #[error("{field} mixes IPv4 and IPv6")]
    FamilyMismatch { field: &'static str },
    #[error("SPI {spi} is {found}, but {needed} is needed")]
    SpiState { spi: Spi, found: &'static str, needed: &'static str },
    #[error("SPI {spi} has no free slot: {tenant} is in it")]
    SlotTaken { spi: Spi, tenant: Spi },
    #[error("SPI {spi}: {field} differs between the two halves")]
    HalvesDiffer { spi: Spi, field: &'static str },
    #[error(transparent)]
    Suite(#[from] crate::esp::layout::SuiteError),
    #[error("{object} are limited to {limit}")]
    TooMany { object: &'static str, limit: usize },
}

impl ChangeError {
    /// A stable number for the contract, 1 and up.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Missing { .. } => 1,
            Self::RouteMissing { .. } => 2,
            Self::AddressMissing { .. } => 3,
            Self::InUse { .. } => 4,
            Self::OutOfRange { .. } => 5,
            Self::VlanTaken { .. } => 6,
            Self::AddressTaken { .. } => 7,
            Self::SubnetOverlap { .. } => 8,
            Self::NotAHost { .. } => 9,
            Self::FamilyMismatch { .. } => 10,
            Self::SpiState { .. } => 11,
            Self::SlotTaken { .. } => 12,
            Self::HalvesDiffer { .. } => 13,
            Self::Suite(_) => 14,
            Self::TooMany { .. } => 15,
            Self::HostAddressTaken { .. } => 16,
            Self::HostAddressMissing { .. } => 17,
        }
    }
}
