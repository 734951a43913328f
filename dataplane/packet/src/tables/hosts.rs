//! Changes of host addresses: those of the programs of this machine, by a TUN device per VRF.

use super::Tables;
use super::change::ChangeError;
use super::interfaces::check_own;
use super::objects::{InterfaceAddress, RouteTarget};
use crate::ids::VrfId;
use crate::prefix::Prefix;
use std::net::IpAddr;

/// The most host addresses of a gateway, over all VRFs: each may cost a device.
pub const MAX_HOST_ADDRESSES: usize = 1024;

impl<K> Tables<K> {
    pub(super) fn put_host_address(
        &mut self,
        vrf: VrfId,
        address: InterfaceAddress,
    ) -> Result<(), ChangeError> {
        check_own(&address)?;
        match self.vrf(vrf).and_then(|vrf| vrf.target(Prefix::host(address.address))) {
            Some(RouteTarget::Local(_)) => {
                return Err(ChangeError::HostAddressTaken { vrf, address: address.address });
            }
            // The prefix length may change.
            Some(RouteTarget::Host) => self.delete_host_address(vrf, address.address)?,
            Some(RouteTarget::NextHop(_) | RouteTarget::Connected(_)) | None => {}
        }
        if self.vrfs().map(|(_, vrf)| vrf.hosts().len()).sum::<usize>() >= MAX_HOST_ADDRESSES {
            return Err(ChangeError::TooMany { object: "host addresses", limit: MAX_HOST_ADDRESSES });
        }
        self.vrf_mut(vrf).put_host(address);
        self.note_way(vrf, Prefix::host(address.address));
        Ok(())
    }

    pub(super) fn delete_host_address(&mut self, vrf: VrfId, address: IpAddr) -> Result<(), ChangeError> {
        let there = self.vrf(vrf).is_some_and(|vrf| vrf.is_host(address));
        if !there || !self.vrf_mut(vrf).delete_host(address) {
            return Err(ChangeError::HostAddressMissing { vrf, address });
        }
        self.prune_vrf(vrf);
        self.note_way(vrf, Prefix::host(address));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{InterfaceId, PortId, SlotBits};
    use crate::tables::{Change, Role};

    const VRF: VrfId = VrfId(7);
    const PORT: InterfaceId = InterfaceId(1);

    fn tables() -> Tables<()> {
        let mut tables = Tables::new(SlotBits::new(8).unwrap());
        let (id, port) = (PORT, PortId(0));
        let put = Change::PutInterface { id, port, vlan: None, role: Role::Inside, vrf: VRF, mtu: 1500 };
        tables.apply(put).unwrap();
        tables
    }

    fn own(address: &str, prefix_len: u8) -> InterfaceAddress {
        InterfaceAddress { address: address.parse().unwrap(), prefix_len }
    }

    #[test]
    fn only_the_address_itself_is_ours() {
        let mut tables = tables();
        let address = own("169.254.10.1", 30);
        tables.apply(Change::PutHostAddress { vrf: VRF, address }).unwrap();
        let vrf = tables.vrf(VRF).unwrap();
        assert!(vrf.is_host(address.address) && vrf.is_ours(address.address));
        assert!(!vrf.is_local(address.address), "nothing is answered in clear from it");
        assert_eq!(vrf.route("169.254.10.2".parse().unwrap()), None);
        tables.apply(Change::PutHostAddress { vrf: VRF, address: own("169.254.10.1", 32) }).unwrap();
        assert_eq!(tables.vrf(VRF).unwrap().hosts(), [own("169.254.10.1", 32)]);
        let delete = |address| Change::DeleteHostAddress { vrf: VRF, address };
        tables.apply(delete(address.address)).unwrap();
        assert!(tables.vrf(VRF).is_none());
        assert!(tables.apply(delete(address.address)).is_err());
    }

    #[test]
    fn a_full_transaction_starts_without_them() {
        let mut tables = tables();
        tables.apply(Change::PutHostAddress { vrf: VRF, address: own("169.254.10.1", 30) }).unwrap();
        assert!(tables.begin_full().vrf(VRF).is_none());
    }

    #[test]
    fn an_address_is_an_interfaces_or_a_hosts() {
        let mut tables = tables();
        let address = own("10.1.0.1", 24);
        tables.apply(Change::PutAddress { interface: PORT, address }).unwrap();
        let refused = tables.apply(Change::PutHostAddress { vrf: VRF, address });
        assert!(matches!(refused, Err(ChangeError::HostAddressTaken { .. })));
        tables.apply(Change::PutHostAddress { vrf: VRF, address: own("10.1.0.9", 32) }).unwrap();
        let refused = tables.apply(Change::PutAddress { interface: PORT, address: own("10.1.0.9", 24) });
        assert!(matches!(refused, Err(ChangeError::HostAddressTaken { .. })));
        let edge = tables.apply(Change::PutHostAddress { vrf: VRF, address: own("10.9.0.0", 24) });
        assert!(matches!(edge, Err(ChangeError::NotAHost { .. })));
    }
}
