//! Ethernet addresses that were looked up lately: the same neighbours get most packets.

use std::net::{IpAddr, Ipv4Addr};

use packet::{InterfaceId, MacAddr};

/// The answers of one snapshot of the tables, a fixed number of them; collisions forget the older one.
#[derive(Debug)]
pub(super) struct KnownNeighbours {
    entries: [Entry; Self::SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Of the snapshot; none has 0.
    version: u64,
    interface: InterfaceId,
    address: IpAddr,
    mac: MacAddr,
}

impl KnownNeighbours {
    const SLOTS: usize = 64;

    pub(super) fn new() -> Self {
        let nobody = Entry {
            version: 0,
            interface: InterfaceId(0),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            mac: MacAddr([0; 6]),
        };
        Self { entries: [nobody; Self::SLOTS] }
    }

    /// What was remembered under the same version.
    #[inline]
    pub(super) fn lookup(&self, version: u64, interface: InterfaceId, address: IpAddr) -> Option<MacAddr> {
        let entry = &self.entries[slot(interface, address)];
        let same = entry.version == version && entry.interface == interface && entry.address == address;
        same.then_some(entry.mac)
    }

    /// Remembers a neighbour that is reachable in the snapshot of this version.
    pub(super) fn remember(&mut self, version: u64, interface: InterfaceId, address: IpAddr, mac: MacAddr) {
        self.entries[slot(interface, address)] = Entry { version, interface, address, mac };
    }
}

/// Neighbours of one link differ in their last bits.
#[inline]
fn slot(interface: InterfaceId, address: IpAddr) -> usize {
    let last = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    (usize::from(last) ^ usize::from(interface.0) << 3) % KnownNeighbours::SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_neighbour_of_the_same_snapshot_is_known() {
        let mut known = KnownNeighbours::new();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 65]));
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        assert_eq!(known.lookup(1, InterfaceId(0), IpAddr::from([0, 0, 0, 0])), None);
        known.remember(7, InterfaceId(3), one, mac);
        assert_eq!(known.lookup(7, InterfaceId(3), one), Some(mac));
        assert_eq!(known.lookup(8, InterfaceId(3), one), None, "the tables changed");
        assert_eq!(known.lookup(7, InterfaceId(4), one), None);
        assert_eq!(known.lookup(7, InterfaceId(3), other), None, "it has the same slot");
        known.remember(7, InterfaceId(3), other, MacAddr([2, 0, 0, 0, 0, 2]));
        assert_eq!(known.lookup(7, InterfaceId(3), one), None, "forgotten for the other");
    }
}
