//! Applying changes of configured objects.

use super::change::{Change, ChangeError};
use super::objects::{Interface, InterfaceAddress, NextHop, NextHopKind, RouteTarget, Tunnel};
use super::{MAX_ID, PortInterfaces, Tables, Vrf};
use crate::esp::DscpPolicy;
use crate::ids::{InterfaceId, NextHopId, TunnelId, VrfId};
use crate::policy::{Bypass, PolicyRoute};
use crate::prefix::Prefix;
use std::net::IpAddr;
use std::sync::Arc;

/// IP packets of an interface or tunnel, bytes: RFC 791's datagram every host takes, and a jumbo frame.
const MTU: std::ops::RangeInclusive<u16> = 576..=9216;

impl<K> Tables<K> {
    /// Applies one change to this (unpublished) snapshot. After an error the snapshot is to be dropped.
    ///
    /// What a change names must exist: the order is interfaces, addresses, tunnels, next hops, routes, SAs.
    pub fn apply(&mut self, change: Change<K>) -> Result<(), ChangeError> {
        match change {
            Change::PutInterface { id, port, vlan, role, vrf, mtu } => {
                self.put_interface(Interface { id, port, vlan, role, vrf, mtu, addresses: Arc::from([]) })
            }
            Change::DeleteInterface(id) => self.delete_interface(id),
            Change::PutAddress { interface, address } => self.put_address(interface, address),
            Change::DeleteAddress { interface, address } => self.delete_address(interface, address),
            Change::PutNextHop(next_hop) => self.put_next_hop(next_hop),
            Change::DeleteNextHop(id) => self.delete_next_hop(id),
            Change::PutRoute { vrf, prefix, next_hop } => self.put_route(vrf, prefix, next_hop),
            Change::DeleteRoute { vrf, prefix } => self.delete_route(vrf, prefix),
            Change::PutPolicyRoute { vrf, route } => self.put_policy_route(vrf, route),
            Change::DeletePolicyRoute { vrf, priority, src, dst } => {
                self.delete_policy_route(vrf, priority, src, dst)
            }
            Change::PutBypass { vrf, entry } => self.put_bypass(vrf, entry),
            Change::DeleteBypass { vrf, entry } => self.delete_bypass(vrf, &entry),
            Change::PutTunnel(tunnel) => self.put_tunnel(tunnel),
            Change::DeleteTunnel(id) => self.delete_tunnel(id),
            Change::Reserve { spi, reservation } => self.reserve(spi, reservation),
            Change::InstallInbound(install) => self.install_inbound(install),
            Change::InstallOutbound(install) => self.install_outbound(install),
            Change::AddSelector { spi, selector } => self.add_selector(spi, selector),
            Change::ActivateOutbound(spi) => self.activate_outbound(spi),
            Change::DeleteOutbound(spi) => self.delete_outbound(spi),
            Change::DeleteInbound(spi) => self.delete_inbound(spi),
            Change::FreeSpi(spi) => self.free_spi(spi),
            Change::UpdateOuter { spi, outer } => self.update_outer(spi, outer),
            Change::PutNeighbour { interface, address, neighbour } => {
                self.need_interface(interface)?;
                self.neighbours.insert(interface, address, neighbour);
                Ok(())
            }
            Change::DeleteNeighbour { interface, address } => {
                self.neighbours.remove(interface, address);
                Ok(())
            }
        }
    }

    /// The start of a full transaction: the SAs, their tunnels' children and the neighbours are kept, every
    /// configured object is gone and must be put again.
    #[must_use]
    pub fn begin_full(&self) -> Self {
        Self {
            version: self.version,
            children: self.children.clone(),
            peers: self.peers.clone(),
            sad: self.sad.clone(),
            neighbours: self.neighbours.clone(),
            stale: true,
            ..Self::new(self.sad.bits())
        }
    }

    /// Finishes a transaction: recomputes what depends on several objects (outer headers, MTUs) and gives
    /// the snapshot its version. Call it once, before publishing.
    pub fn commit(&mut self) -> u64 {
        if std::mem::take(&mut self.stale) {
            self.refresh_sas();
            let interfaces = &self.interfaces;
            self.neighbours.retain_interfaces(|id| interfaces.lookup(id.index()).is_some());
        }
        self.version += 1;
        self.version
    }

    fn put_interface(&mut self, mut interface: Interface) -> Result<(), ChangeError> {
        let (id, port) = (interface.id, interface.port);
        in_range("interface mtu", interface.mtu, MTU)?;
        if let Some(other) = self.interface_on(port, interface.vlan).filter(|other| other.id != id) {
            let vlan = interface.vlan.map_or(0, |vlan| vlan.value());
            return Err(ChangeError::VlanTaken { port, vlan, other: other.id });
        }
        if let Some(old) = self.interfaces.lookup(id.index()).cloned() {
            interface.addresses = Arc::clone(&old.addresses);
            if *old == interface {
                return Ok(());
            }
            self.detach(&old);
        }
        for address in interface.addresses.iter() {
            self.check_address(interface.vrf, id, address)?;
        }
        self.attach(interface);
        Ok(())
    }

    fn delete_interface(&mut self, id: InterfaceId) -> Result<(), ChangeError> {
        self.need_interface(id)?;
        let names = |next_hop: &&NextHop| matches!(next_hop.kind, NextHopKind::Interface { interface, .. } if interface == id);
        if let Some(next_hop) = self.next_hops().find(names) {
            return Err(in_use("interface", id.0.into(), "next hop", next_hop.id.0));
        }
        if let Some(old) = self.interfaces.remove(id.index()) {
            self.detach(&old);
        }
        self.neighbours.remove_interface(id);
        Ok(())
    }

    /// Makes an interface known to its port and its addresses to its VRF.
    fn attach(&mut self, interface: Interface) {
        let port = self.ports.entry_or_insert_with(interface.port.index(), PortInterfaces::default);
        match interface.vlan {
            None => port.untagged = Some(interface.id),
            Some(vlan) => {
                let mut tagged: Vec<_> = port.tagged.iter().copied().chain([(vlan, interface.id)]).collect();
                tagged.sort_unstable();
                port.tagged = tagged.into();
            }
        }
        for address in interface.addresses.iter() {
            self.occupy(&interface, address);
        }
        self.interfaces.insert(interface.id.index(), Arc::new(interface));
        self.stale = true;
    }

    /// The inverse of [`Tables::attach`], but for the table of interfaces itself.
    fn detach(&mut self, interface: &Interface) {
        if let Some(port) = self.ports.lookup_mut(interface.port.index()) {
            match interface.vlan {
                None => port.untagged = None,
                Some(_) => {
                    port.tagged = port.tagged.iter().filter(|t| t.1 != interface.id).copied().collect()
                }
            }
        }
        for address in interface.addresses.iter() {
            self.vacate(interface.vrf, address, &[]);
        }
        self.stale = true;
    }

    fn put_address(&mut self, id: InterfaceId, address: InterfaceAddress) -> Result<(), ChangeError> {
        let old = self.need_interface(id)?;
        if old.addresses.contains(&address) {
            return Ok(());
        }
        self.check_address(old.vrf, id, &address)?;
        if old.addresses.iter().any(|a| a.address == address.address) {
            self.delete_address(id, address.address)?; // the prefix length changes
        }
        let mut interface = Interface::clone(&*self.need_interface(id)?);
        interface.addresses = interface.addresses.iter().copied().chain([address]).collect();
        self.occupy(&interface, &address);
        self.interfaces.insert(id.index(), Arc::new(interface));
        self.stale = true;
        Ok(())
    }

    fn delete_address(&mut self, id: InterfaceId, address: IpAddr) -> Result<(), ChangeError> {
        let mut interface = Interface::clone(&*self.need_interface(id)?);
        let (gone, left): (Vec<_>, Vec<_>) = interface.addresses.iter().partition(|a| a.address == address);
        let gone = gone.first().ok_or(ChangeError::AddressMissing { interface: id, address })?;
        self.vacate(interface.vrf, gone, &left);
        interface.addresses = left.into();
        self.interfaces.insert(id.index(), Arc::new(interface));
        self.stale = true;
        Ok(())
    }

    /// Refuses an address that is no host of its subnet, or taken or overlapping in its VRF.
    fn check_address(&self, vrf: VrfId, id: InterfaceId, new: &InterfaceAddress) -> Result<(), ChangeError> {
        let bits = if new.address.is_ipv4() { 32 } else { 128 };
        in_range("prefix_len", new.prefix_len.into(), 1..=bits)?;
        check_host("address", new.address)?;
        let subnet = new.subnet();
        let edge = new.address == subnet.address() || (new.address.is_ipv4() && new.address == subnet.last());
        if edge && u16::from(new.prefix_len) < bits - 1 {
            return Err(ChangeError::NotAHost { field: "address", address: new.address });
        }
        for other in self.interfaces().filter(|other| other.vrf == vrf && other.id != id) {
            for old in other.addresses.iter() {
                if old.address == new.address {
                    return Err(ChangeError::AddressTaken { address: new.address, other: other.id });
                }
                // A host address alone may lie in another interface's subnet: a loopback, a tunnel address.
                let host = u16::from(old.prefix_len.max(new.prefix_len)) == bits;
                if !host && old.subnet().overlaps(&subnet) {
                    let other_subnet = old.subnet();
                    return Err(ChangeError::SubnetOverlap { subnet, other: other.id, other_subnet });
                }
            }
        }
        Ok(())
    }

    fn occupy(&mut self, interface: &Interface, address: &InterfaceAddress) {
        let vrf = self.vrf_mut(interface.vrf);
        vrf.occupy(Prefix::host(address.address), RouteTarget::Local(interface.id));
        let subnet = address.subnet();
        if subnet != Prefix::host(address.address) {
            vrf.occupy(subnet, RouteTarget::Connected(interface.id));
        }
    }

    /// Takes an address out of its VRF; `left` are the others of its interface, which may share the subnet.
    fn vacate(&mut self, vrf: VrfId, address: &InterfaceAddress, left: &[InterfaceAddress]) {
        let tables = self.vrf_mut(vrf);
        tables.vacate(Prefix::host(address.address));
        let subnet = address.subnet();
        let shared = left.iter().any(|a| a.subnet() == subnet) || subnet == Prefix::host(address.address);
        if !shared && matches!(tables.target(subnet), Some(RouteTarget::Connected(_))) {
            tables.vacate(subnet);
        }
        self.prune_vrf(vrf);
    }

    fn put_next_hop(&mut self, next_hop: NextHop) -> Result<(), ChangeError> {
        let id = next_hop.id;
        in_range_u32("next hop id", id.0, 0..=MAX_ID - 1)?;
        match &next_hop.kind {
            NextHopKind::Tunnels(group) => {
                let members = u16::try_from(group.tunnels.len()).unwrap_or(u16::MAX);
                in_range("tunnels of a next hop", members, 1..=16)?;
                let all = u16::MAX >> (16 - members);
                in_range("active bitmap", group.active, 0..=all)?;
                group.tunnels.iter().try_for_each(|tunnel| self.need_tunnel(*tunnel).map(drop))?;
            }
            NextHopKind::Interface { interface, gateway } => {
                self.need_interface(*interface)?;
                gateway.map_or(Ok(()), |gateway| check_host("gateway", gateway))?;
                self.stale = true;
            }
            NextHopKind::Local | NextHopKind::Discard => {}
        }
        self.next_hops.insert(id.index(), next_hop);
        Ok(())
    }

    fn delete_next_hop(&mut self, id: NextHopId) -> Result<(), ChangeError> {
        self.need_next_hop(id)?;
        let uses = self.next_hop_uses.lookup(id.index()).copied().unwrap_or(0);
        if uses != 0 {
            return Err(in_use("next hop", id.0, "routes, as many as", uses));
        }
        self.next_hops.remove(id.index());
        self.next_hop_uses.remove(id.index());
        Ok(())
    }

    fn put_route(&mut self, vrf: VrfId, prefix: Prefix, next_hop: NextHopId) -> Result<(), ChangeError> {
        self.need_next_hop(next_hop)?;
        let old = self.vrf_mut(vrf).put_route(prefix, next_hop);
        self.count_use(next_hop, old);
        self.note_outer_change(vrf);
        Ok(())
    }

    fn delete_route(&mut self, vrf: VrfId, prefix: Prefix) -> Result<(), ChangeError> {
        let missing = ChangeError::RouteMissing { vrf, prefix };
        if self.vrf(vrf).is_none() {
            return Err(missing);
        }
        let old = self.vrf_mut(vrf).delete_route(prefix).ok_or(missing)?;
        self.release_use(old);
        self.prune_vrf(vrf);
        self.note_outer_change(vrf);
        Ok(())
    }

    fn put_policy_route(&mut self, vrf: VrfId, route: PolicyRoute) -> Result<(), ChangeError> {
        same_family("policy route", route.src, route.dst)?;
        self.need_next_hop(route.next_hop)?;
        let old = self.vrf_mut(vrf).policy.insert(route);
        self.count_use(route.next_hop, old.map(|old| old.next_hop));
        Ok(())
    }

    fn delete_policy_route(
        &mut self,
        vrf: VrfId,
        priority: u32,
        src: Prefix,
        dst: Prefix,
    ) -> Result<(), ChangeError> {
        let missing = ChangeError::Missing { object: "policy route with priority", id: priority };
        if self.vrf(vrf).is_none() {
            return Err(missing);
        }
        let old = self.vrf_mut(vrf).policy.remove(priority, src, dst).ok_or(missing)?;
        self.release_use(old.next_hop);
        self.prune_vrf(vrf);
        Ok(())
    }

    fn put_bypass(&mut self, vrf: VrfId, entry: Bypass) -> Result<(), ChangeError> {
        same_family("bypass", entry.src, entry.dst)?;
        self.vrf_mut(vrf).bypass.insert(entry);
        Ok(())
    }

    fn delete_bypass(&mut self, vrf: VrfId, entry: &Bypass) -> Result<(), ChangeError> {
        let there = self.vrf(vrf).is_some_and(|vrf| vrf.bypass.entries().contains(entry));
        if !there {
            return Err(ChangeError::Missing { object: "bypass entry in VRF", id: vrf.0.into() });
        }
        self.vrf_mut(vrf).bypass.remove(entry);
        self.prune_vrf(vrf);
        Ok(())
    }

    fn put_tunnel(&mut self, tunnel: Tunnel) -> Result<(), ChangeError> {
        in_range_u32("tunnel id", tunnel.id.0, 0..=MAX_ID - 1)?;
        if tunnel.mtu != 0 {
            in_range("tunnel mtu", tunnel.mtu, MTU)?;
        }
        if tunnel.mss != 0 {
            in_range("tunnel mss", tunnel.mss, 216..=9176)?;
        }
        if let DscpPolicy::Fixed(dscp) = tunnel.dscp {
            in_range("tunnel dscp", dscp.into(), 0..=63)?;
        }
        self.tunnels.insert(tunnel.id.index(), tunnel);
        self.stale = true;
        Ok(())
    }

    fn delete_tunnel(&mut self, id: TunnelId) -> Result<(), ChangeError> {
        self.need_tunnel(id)?;
        let names = |next_hop: &&NextHop| matches!(&next_hop.kind, NextHopKind::Tunnels(group) if group.tunnels.contains(&id));
        if let Some(next_hop) = self.next_hops().find(names) {
            return Err(in_use("tunnel", id.0, "next hop", next_hop.id.0));
        }
        if let Some(spi) = self.children(id).iter().find(|spi| self.is_installed(**spi)) {
            return Err(in_use("tunnel", id.0, "SPI", spi.value()));
        }
        self.tunnels.remove(id.index());
        Ok(())
    }

    pub(super) fn vrf_mut(&mut self, id: VrfId) -> &mut Vrf {
        Arc::make_mut(self.vrfs.entry_or_insert_with(id.index(), Arc::default))
    }

    fn prune_vrf(&mut self, id: VrfId) {
        if self.vrf(id).is_some_and(Vrf::is_empty) {
            self.vrfs.remove(id.index());
        }
    }

    fn count_use(&mut self, new: NextHopId, old: Option<NextHopId>) {
        *self.next_hop_uses.entry_or_insert_with(new.index(), || 0) += 1;
        if let Some(old) = old {
            self.release_use(old);
        }
    }

    fn release_use(&mut self, old: NextHopId) {
        if let Some(uses) = self.next_hop_uses.lookup_mut(old.index()) {
            *uses = uses.saturating_sub(1);
        }
    }

    /// Routes matter to SAs only in VRFs where some SA has its peer.
    fn note_outer_change(&mut self, vrf: VrfId) {
        self.stale |= self.peers.lookup(vrf.index()).is_some_and(|peers| !peers.is_empty());
    }

    pub(super) fn need_interface(&self, id: InterfaceId) -> Result<Arc<Interface>, ChangeError> {
        let missing = ChangeError::Missing { object: "interface", id: id.0.into() };
        self.interfaces.lookup(id.index()).cloned().ok_or(missing)
    }

    pub(super) fn need_tunnel(&self, id: TunnelId) -> Result<Tunnel, ChangeError> {
        self.tunnel(id).copied().ok_or(ChangeError::Missing { object: "tunnel", id: id.0 })
    }

    fn need_next_hop(&self, id: NextHopId) -> Result<(), ChangeError> {
        self.next_hop(id).map(drop).ok_or(ChangeError::Missing { object: "next hop", id: id.0 })
    }
}

fn in_use(object: &'static str, id: u32, by: &'static str, by_id: u32) -> ChangeError {
    ChangeError::InUse { object, id, by, by_id }
}

pub(super) fn in_range(
    field: &'static str,
    value: u16,
    range: std::ops::RangeInclusive<u16>,
) -> Result<(), ChangeError> {
    in_range_u32(field, value.into(), u32::from(*range.start())..=u32::from(*range.end()))
}

pub(super) fn in_range_u32(
    field: &'static str,
    value: u32,
    range: std::ops::RangeInclusive<u32>,
) -> Result<(), ChangeError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ChangeError::OutOfRange {
        field,
        value: value.into(),
        min: (*range.start()).into(),
        max: (*range.end()).into(),
    })
}

/// Refuses addresses that cannot be one host's.
pub(super) fn check_host(field: &'static str, address: IpAddr) -> Result<(), ChangeError> {
    let broadcast = matches!(address, IpAddr::V4(a) if a.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast {
        return Err(ChangeError::NotAHost { field, address });
    }
    Ok(())
}

fn same_family(field: &'static str, a: Prefix, b: Prefix) -> Result<(), ChangeError> {
    if a.address().is_ipv4() == b.address().is_ipv4() {
        Ok(())
    } else {
        Err(ChangeError::FamilyMismatch { field })
    }
}
