//! Changes of interfaces and their addresses.

use super::apply::{MTU, at_most, check_host, in_range, in_use};
use super::change::ChangeError;
use super::objects::{Interface, InterfaceAddress, NextHop, NextHopKind, RouteTarget};
use super::{PortInterfaces, Tables};
use crate::ids::{InterfaceId, VrfId};
use crate::prefix::Prefix;
use std::net::IpAddr;
use std::sync::Arc;

/// The most addresses of a gateway's interfaces, over all VRFs.
pub const MAX_ADDRESSES: usize = 1 << 14;

impl<K> Tables<K> {
    pub(super) fn put_interface(&mut self, mut interface: Interface) -> Result<(), ChangeError> {
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
            if old.mtu != interface.mtu {
                self.note_link();
            }
        }
        for address in interface.addresses.iter() {
            self.check_address(interface.vrf, id, address)?;
        }
        self.attach(interface);
        Ok(())
    }

    pub(super) fn delete_interface(&mut self, id: InterfaceId) -> Result<(), ChangeError> {
        self.need_interface(id)?;
        let names = |next_hop: &&NextHop| matches!(next_hop.kind, NextHopKind::Interface { interface, .. } if interface == id);
        if self.interface_uses.of(id.index()) != 0
            && let Some(next_hop) = self.next_hops().find(names)
        {
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
    }

    pub(super) fn put_address(
        &mut self,
        id: InterfaceId,
        address: InterfaceAddress,
    ) -> Result<(), ChangeError> {
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
        let addresses = self.interfaces().map(|interface| interface.addresses.len()).sum();
        at_most("addresses of interfaces", addresses, MAX_ADDRESSES)
    }

    pub(super) fn delete_address(&mut self, id: InterfaceId, address: IpAddr) -> Result<(), ChangeError> {
        let mut interface = Interface::clone(&*self.need_interface(id)?);
        let (gone, left): (Vec<_>, Vec<_>) = interface.addresses.iter().partition(|a| a.address == address);
        let gone = gone.first().ok_or(ChangeError::AddressMissing { interface: id, address })?;
        self.vacate(interface.vrf, gone, &left);
        interface.addresses = left.into();
        self.interfaces.insert(id.index(), Arc::new(interface));
        Ok(())
    }

    /// Refuses an address that is no host of its subnet, or taken or overlapping in its VRF.
    fn check_address(&self, vrf: VrfId, id: InterfaceId, new: &InterfaceAddress) -> Result<(), ChangeError> {
        let bits = if new.address.is_ipv4() { 32 } else { 128 };
        check_own(new)?;
        if self.vrf(vrf).is_some_and(|vrf| vrf.is_host(new.address)) {
            return Err(ChangeError::HostAddressTaken { vrf, address: new.address });
        }
        let subnet = new.subnet();
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
        self.note_way(interface.vrf, subnet);
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
        self.note_way(vrf, subnet);
    }
}

/// Refuses an own address that is no host of its subnet.
pub(super) fn check_own(new: &InterfaceAddress) -> Result<(), ChangeError> {
    let bits = if new.address.is_ipv4() { 32 } else { 128 };
    in_range("prefix_len", new.prefix_len.into(), 1..=bits)?;
    check_host("address", new.address)?;
    let subnet = new.subnet();
    let edge = new.address == subnet.address() || (new.address.is_ipv4() && new.address == subnet.last());
    if edge && u16::from(new.prefix_len) < bits - 1 {
        return Err(ChangeError::NotAHost { field: "address", address: new.address });
    }
    Ok(())
}
