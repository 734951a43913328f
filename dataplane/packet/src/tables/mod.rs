//! Everything a worker decides with, as one immutable snapshot.
//!
//! The agent clones the current [`Tables`] (a few reference counts), applies the commands of a
//! transaction, calls [`Tables::commit`] and publishes the result with one atomic store. If a command is
//! refused it drops the clone: nothing changed. Workers load the snapshot once per burst.

mod apply;
mod change;
mod hosts;
mod interfaces;
mod objects;
mod peers;
mod policers;
mod routing;
mod sas;
mod since;
mod stale;
mod uses;
mod vrf;

pub use change::{Change, ChangeError, InstallInbound, InstallOutbound, SaParameters};
pub use hosts::MAX_HOST_ADDRESSES;
pub use interfaces::MAX_ADDRESSES;
pub use objects::{
    Fragmentation, Interface, InterfaceAddress, MAX_GROUP, NextHop, NextHopKind, PathMtu, Role, RouteTarget,
    Tunnel, TunnelGroup,
};
pub use policers::MAX_POLICERS;
pub use routing::{MAX_NEXT_HOPS, MAX_POLICY_ROUTES, MAX_ROUTES};
pub use vrf::Vrf;

use crate::drop_reason::DropReason;
use crate::ids::{InterfaceId, NextHopId, PortId, SlotBits, Spi, TunnelId, VlanId, VrfId};
use crate::neighbour::NeighbourTable;
use crate::persist::PersistentArray;
use crate::policer::Policer;
use crate::prefix::Prefix;
use crate::route::PrefixMap;
use crate::sad::{Child, Sad, SadEntry};
use peers::Peers;
use stale::Stale;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use uses::Uses;

/// Identifiers of tunnels and next hops are below this.
pub const MAX_ID: u32 = 1 << 20;

/// The interfaces of one port.
#[derive(Clone, Debug, Default)]
struct PortInterfaces {
    untagged: Option<InterfaceId>,
    /// Sorted by tag.
    tagged: Arc<[(VlanId, InterfaceId)]>,
}

/// One snapshot of all tables. `K` is the crypto back-end's key handle.
#[derive(Debug)]
pub struct Tables<K> {
    version: u64,
    /// The version of the last transaction with which packets of any kind may have begun to go elsewhere.
    since: u64,
    interfaces: PersistentArray<Arc<Interface>>,
    ports: PersistentArray<PortInterfaces>,
    vrfs: PersistentArray<Arc<Vrf>>,
    next_hops: PersistentArray<NextHop>,
    /// How many routes name each next hop.
    next_hop_uses: Uses,
    /// How many next hops name each tunnel.
    tunnel_uses: Uses,
    /// How many next hops name each interface.
    interface_uses: Uses,
    /// Configured routes of all VRFs.
    routes: usize,
    /// Policy routes of all VRFs.
    policy_routes: usize,
    tunnels: PersistentArray<Tunnel>,
    /// The SAs of each tunnel, newest first; kept while the tunnel itself is reconfigured.
    children: PersistentArray<Arc<[Spi]>>,
    peers: Peers,
    /// What the paths to peers were found to take, bytes, per outer VRF; less than the link's.
    path_mtus: PersistentArray<PrefixMap<PathMtu>>,
    sad: Sad<K>,
    /// The limits of connections, by their identifier.
    policers: PersistentArray<Arc<Policer>>,
    /// During a full transaction, those before it: a limit that is put again unchanged keeps its state.
    former_policers: PersistentArray<Arc<Policer>>,
    /// Neighbours of every interface.
    pub neighbours: NeighbourTable,
    stale: Stale,
}

impl<K> Clone for Tables<K> {
    fn clone(&self) -> Self {
        Self {
            version: self.version,
            since: self.since,
            interfaces: self.interfaces.clone(),
            ports: self.ports.clone(),
            vrfs: self.vrfs.clone(),
            next_hops: self.next_hops.clone(),
            next_hop_uses: self.next_hop_uses.clone(),
            tunnel_uses: self.tunnel_uses.clone(),
            interface_uses: self.interface_uses.clone(),
            routes: self.routes,
            policy_routes: self.policy_routes,
            tunnels: self.tunnels.clone(),
            children: self.children.clone(),
            peers: self.peers.clone(),
            path_mtus: self.path_mtus.clone(),
            sad: self.sad.clone(),
            policers: self.policers.clone(),
            former_policers: self.former_policers.clone(),
            neighbours: self.neighbours.clone(),
            stale: self.stale.clone(),
        }
    }
}

/// Where a packet leaves in clear text (or an ESP packet, as it is).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Egress<'t> {
    /// The interface.
    pub interface: &'t Interface,
    /// Whose Ethernet address is needed: the gateway or the destination itself.
    pub neighbour: IpAddr,
}

impl<K> Tables<K> {
    /// Empty tables of version 1 with a SAD of `bits.slots()` slots.
    #[must_use]
    pub fn new(bits: SlotBits) -> Self {
        Self {
            version: 1,
            since: 1,
            interfaces: PersistentArray::default(),
            ports: PersistentArray::default(),
            vrfs: PersistentArray::default(),
            next_hops: PersistentArray::default(),
            next_hop_uses: Uses::default(),
            tunnel_uses: Uses::default(),
            interface_uses: Uses::default(),
            routes: 0,
            policy_routes: 0,
            tunnels: PersistentArray::default(),
            children: PersistentArray::default(),
            peers: Peers::default(),
            path_mtus: PersistentArray::default(),
            sad: Sad::new(bits),
            policers: PersistentArray::default(),
            former_policers: PersistentArray::default(),
            neighbours: NeighbourTable::default(),
            stale: Stale::default(),
        }
    }

    /// Rises with every [`Tables::commit`]; never 0.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The interface that frames of this port and tag belong to.
    #[inline]
    #[must_use]
    pub fn interface_on(&self, port: PortId, vlan: Option<VlanId>) -> Option<&Interface> {
        let port = self.ports.lookup(port.index())?;
        let id = match vlan {
            None => port.untagged?,
            Some(tag) => port.tagged.get(port.tagged.binary_search_by_key(&tag, |t| t.0).ok()?)?.1,
        };
        self.interface(id)
    }

    /// An interface.
    #[inline]
    #[must_use]
    pub fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.interfaces.lookup(id.index()).map(|interface| &**interface)
    }

    /// The interfaces in the order of their identifiers.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.iter().map(|(_, interface)| &**interface)
    }

    /// The routing tables of a VRF.
    #[inline]
    #[must_use]
    pub fn vrf(&self, id: VrfId) -> Option<&Vrf> {
        self.vrfs.lookup(id.index()).map(|vrf| &**vrf)
    }

    /// The VRFs that have any table.
    pub fn vrfs(&self) -> impl Iterator<Item = (VrfId, &Vrf)> {
        self.vrfs.iter().filter_map(|(i, vrf)| Some((VrfId(u16::try_from(i).ok()?), &**vrf)))
    }

    /// A next hop.
    #[inline]
    #[must_use]
    pub fn next_hop(&self, id: NextHopId) -> Option<&NextHop> {
        self.next_hops.lookup(id.index())
    }

    /// The next hops in the order of their identifiers.
    pub fn next_hops(&self) -> impl Iterator<Item = &NextHop> {
        self.next_hops.iter().map(|(_, next_hop)| next_hop)
    }

    /// A tunnel.
    #[inline]
    #[must_use]
    pub fn tunnel(&self, id: TunnelId) -> Option<&Tunnel> {
        self.tunnels.lookup(id.index())
    }

    /// The tunnels in the order of their identifiers.
    pub fn tunnels(&self) -> impl Iterator<Item = &Tunnel> {
        self.tunnels_from(TunnelId(0))
    }

    /// The tunnels from `first` on, in the order of their identifiers; what lies before is not looked at.
    pub fn tunnels_from(&self, first: TunnelId) -> impl Iterator<Item = &Tunnel> {
        self.tunnels.iter_from(first.index()).map(|(_, tunnel)| tunnel)
    }

    /// The SAs of a tunnel, newest first.
    #[inline]
    #[must_use]
    pub fn children(&self, tunnel: TunnelId) -> &[Spi] {
        self.children.lookup(tunnel.index()).map_or(&[], |children| children)
    }

    /// The limits of the connection that a tunnel belongs to; `None` if it has none.
    #[inline]
    #[must_use]
    pub fn policer(&self, tunnel: TunnelId) -> Option<&Policer> {
        if self.policers.is_empty() {
            return None;
        }
        let connection = usize::try_from(self.tunnel(tunnel)?.connection).ok()?;
        self.policers.lookup(connection).map(|policer| &**policer)
    }

    /// The security association database.
    #[inline]
    #[must_use]
    pub fn sad(&self) -> &Sad<K> {
        &self.sad
    }

    /// The sending half of the SA pair `spi`: what an SA's owner looks up again for a packet handed to it.
    #[inline]
    #[must_use]
    pub fn child(&self, spi: Spi) -> Option<Child<'_, K>> {
        self.sad.entry(spi)?.sender()
    }

    /// True if `address` is an interface's in this VRF.
    #[inline]
    #[must_use]
    pub fn is_local(&self, vrf: VrfId, address: IpAddr) -> bool {
        self.vrf(vrf).is_some_and(|vrf| vrf.is_local(address))
    }

    /// True if some SA's peer has this address in this outer VRF.
    #[must_use]
    pub fn is_peer(&self, outer_vrf: VrfId, remote: IpAddr) -> bool {
        self.peers.contains(outer_vrf, remote)
    }

    /// The first SA, in no particular order, whose peer this is and that `wanted` wants.
    pub fn find_sa_of_peer(
        &self,
        outer_vrf: VrfId,
        remote: IpAddr,
        mut wanted: impl FnMut(&SadEntry<K>) -> bool,
    ) -> Option<&SadEntry<K>> {
        let visit = |spi| match self.sad.entry(spi) {
            Some(entry) if wanted(entry) => ControlFlow::Break(entry),
            _ => ControlFlow::Continue(()),
        };
        self.peers.try_for_each_within(outer_vrf, Prefix::host(remote), visit).break_value()
    }

    /// The way of a packet that leaves as it is: ESP to a peer, our own packets. Not for inner packets,
    /// which [`crate::decide`] decides about.
    #[inline]
    pub fn egress(&self, vrf: VrfId, destination: IpAddr) -> Result<Egress<'_>, DropReason> {
        let vrf = self.vrf(vrf).ok_or(DropReason::VrfMissing)?;
        match *vrf.route(destination).ok_or(DropReason::NoRoute)? {
            RouteTarget::Connected(interface) => self.egress_on(interface, destination),
            RouteTarget::Local(_) | RouteTarget::Host => Err(DropReason::NoRoute),
            RouteTarget::NextHop(id) => match self.next_hop(id).ok_or(DropReason::NextHopMissing)?.kind {
                NextHopKind::Interface { interface, gateway } => {
                    self.egress_on(interface, gateway.unwrap_or(destination))
                }
                NextHopKind::Discard => Err(DropReason::RouteDiscard),
                // ESP inside another tunnel is not built: nothing leaves rather than the wrong thing.
                NextHopKind::Tunnels(_) | NextHopKind::Local => Err(DropReason::NoRoute),
            },
        }
    }

    #[inline]
    pub(crate) fn egress_on(
        &self,
        interface: InterfaceId,
        neighbour: IpAddr,
    ) -> Result<Egress<'_>, DropReason> {
        let interface = self.interface(interface).ok_or(DropReason::InterfaceMissing)?;
        Ok(Egress { interface, neighbour })
    }
}

#[cfg(test)]
mod tests;
