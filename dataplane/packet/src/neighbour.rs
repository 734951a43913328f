//! Neighbours as workers see them: (interface, address) to Ethernet address. The agent resolves and ages.

use crate::ids::{InterfaceId, MacAddr};
use crate::persist::PersistentArray;
use crate::prefix::Prefix;
use crate::route::PrefixMap;
use std::net::IpAddr;

/// What is known of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NeighbourState {
    /// Asked for, not answered yet: packets go to the agent's hold queue.
    Incomplete,
    /// Its address is known; sending is allowed. The agent probes it when it grows old.
    Reachable,
    /// It did not answer: packets are dropped until the agent tries again.
    Failed,
}

/// One neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Whether `mac` may be used.
    pub state: NeighbourState,
    /// Its Ethernet address; meaningful when reachable.
    pub mac: MacAddr,
}

/// The neighbours of all interfaces.
#[derive(Clone, Debug, Default)]
pub struct NeighbourTable {
    interfaces: PersistentArray<PrefixMap<Neighbour>>,
}

impl NeighbourTable {
    /// The neighbour with `address` on `interface`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, interface: InterfaceId, address: IpAddr) -> Option<&Neighbour> {
        self.interfaces.lookup(interface.index())?.lookup(address)
    }

    /// The Ethernet address of a neighbour that packets can be sent to.
    #[inline]
    #[must_use]
    pub fn reachable(&self, interface: InterfaceId, address: IpAddr) -> Option<MacAddr> {
        let known = self.lookup(interface, address)?;
        (known.state == NeighbourState::Reachable).then_some(known.mac)
    }

    /// Adds or replaces a neighbour.
    pub fn insert(
        &mut self,
        interface: InterfaceId,
        address: IpAddr,
        neighbour: Neighbour,
    ) -> Option<Neighbour> {
        let table = self.interfaces.entry_or_insert_with(interface.index(), PrefixMap::default);
        table.insert(Prefix::host(address), neighbour)
    }

    /// Removes a neighbour.
    pub fn remove(&mut self, interface: InterfaceId, address: IpAddr) -> Option<Neighbour> {
        self.interfaces.lookup_mut(interface.index())?.remove(Prefix::host(address))
    }

    /// Removes every neighbour of an interface.
    pub fn remove_interface(&mut self, interface: InterfaceId) {
        self.interfaces.remove(interface.index());
    }

    /// Removes the neighbours of interfaces for which `keep` is false.
    pub fn retain_interfaces(&mut self, keep: impl Fn(InterfaceId) -> bool) {
        let id = |index: usize| u16::try_from(index).map(InterfaceId);
        let gone: Vec<_> =
            self.interfaces.iter().filter_map(|(i, _)| id(i).ok().filter(|id| !keep(*id))).collect();
        for interface in gone {
            self.remove_interface(interface);
        }
    }

    /// Visits every neighbour.
    pub fn for_each(&self, mut visit: impl FnMut(InterfaceId, IpAddr, &Neighbour)) {
        for (index, table) in self.interfaces.iter() {
            let Ok(interface) = u16::try_from(index) else { continue };
            table.for_each(|prefix, neighbour| visit(InterfaceId(interface), prefix.address(), neighbour));
        }
    }
}
