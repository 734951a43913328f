//! Applying changes: what each change goes to, the frame of a transaction, and the checks they share.

use super::Tables;
use super::change::{Change, ChangeError};
use super::objects::{Interface, Tunnel};
use super::stale::Stale;
use crate::ids::{InterfaceId, NextHopId, TunnelId};
use crate::persist::PersistentArray;
use crate::prefix::Prefix;
use std::net::IpAddr;
use std::sync::Arc;

/// IP packets of an interface or tunnel, bytes: RFC 791's datagram every host takes, and a jumbo frame.
pub(super) const MTU: std::ops::RangeInclusive<u16> = 576..=9216;

impl<K> Tables<K> {
    /// Applies one change to this (unpublished) snapshot. After an error the snapshot is to be dropped.
    ///
    /// What a change names must exist: the order is interfaces, addresses, tunnels, next hops, routes, SAs.
    pub fn apply(&mut self, change: Change<K>) -> Result<(), ChangeError> {
        self.note_change(&change);
        match change {
            Change::PutInterface { id, port, vlan, role, vrf, mtu } => {
                self.put_interface(Interface { id, port, vlan, role, vrf, mtu, addresses: Arc::from([]) })
            }
            Change::DeleteInterface(id) => self.delete_interface(id),
            Change::PutAddress { interface, address } => self.put_address(interface, address),
            Change::DeleteAddress { interface, address } => self.delete_address(interface, address),
            Change::PutHostAddress { vrf, address } => self.put_host_address(vrf, address),
            Change::DeleteHostAddress { vrf, address } => self.delete_host_address(vrf, address),
            Change::PutNextHop(next_hop) => self.put_next_hop(next_hop),
            Change::DeleteNextHop(id) => self.delete_next_hop(id),
            Change::PutRoute { vrf, prefix, next_hop } => self.put_route(vrf, prefix, next_hop),
            Change::DeleteRoute { vrf, prefix } => self.delete_route(vrf, prefix),
            Change::PutPolicyRoute { vrf, route } => self.put_policy_route(vrf, route),
            Change::DeletePolicyRoute { vrf, priority, src, dst } => {
                self.delete_policy_route(vrf, priority, src, dst)
            }
            Change::PutSpdEntry { vrf, order, entry } => self.put_spd_entry(vrf, order, entry),
            Change::DeleteSpdEntry { vrf, order } => self.delete_spd_entry(vrf, order),
            Change::PutTunnel(tunnel) => self.put_tunnel(tunnel),
            Change::DeleteTunnel(id) => self.delete_tunnel(id),
            Change::PutPolicer { connection, policer } => self.put_policer(connection, policer),
            Change::DeletePolicer { connection } => self.delete_policer(connection),
            Change::Reserve(spi) => self.reserve(spi),
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
                self.change_neighbour(interface, address, Some(neighbour));
                Ok(())
            }
            Change::DeleteNeighbour { interface, address } => {
                self.change_neighbour(interface, address, None);
                Ok(())
            }
            Change::PutPathMtu { vrf, remote, mtu } => self.put_path_mtu(vrf, remote, mtu),
            Change::DeletePathMtu { vrf, remote } => {
                self.delete_path_mtu(vrf, remote);
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
            since: self.next_version(),
            children: self.children.clone(),
            peers: self.peers.clone(),
            path_mtus: self.path_mtus.clone(),
            sad: self.sad.clone(),
            former_policers: self.policers.clone(),
            neighbours: self.neighbours.clone(),
            stale: Stale::every(),
            ..Self::new(self.sad.bits())
        }
    }

    /// Finishes a transaction: recomputes what depends on several objects (outer headers, MTUs) and gives
    /// the snapshot its version. Call it once, before publishing.
    pub fn commit(&mut self) -> u64 {
        self.refresh_stale();
        self.former_policers = PersistentArray::default();
        self.version = self.next_version();
        self.version
    }

    pub(super) fn need_interface(&self, id: InterfaceId) -> Result<Arc<Interface>, ChangeError> {
        let missing = ChangeError::Missing { object: "interface", id: id.0.into() };
        self.interfaces.lookup(id.index()).cloned().ok_or(missing)
    }

    pub(super) fn need_tunnel(&self, id: TunnelId) -> Result<Tunnel, ChangeError> {
        self.tunnel(id).copied().ok_or(ChangeError::Missing { object: "tunnel", id: id.0 })
    }

    pub(super) fn need_next_hop(&self, id: NextHopId) -> Result<(), ChangeError> {
        self.next_hop(id).map(drop).ok_or(ChangeError::Missing { object: "next hop", id: id.0 })
    }
}

pub(super) fn in_use(object: &'static str, id: u32, by: &'static str, by_id: u32) -> ChangeError {
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

/// Refuses an object that is one too many; `count` includes it.
pub(super) fn at_most(object: &'static str, count: usize, limit: usize) -> Result<(), ChangeError> {
    if count <= limit { Ok(()) } else { Err(ChangeError::TooMany { object, limit }) }
}

/// Refuses addresses that cannot be one host's.
pub(super) fn check_host(field: &'static str, address: IpAddr) -> Result<(), ChangeError> {
    let broadcast = matches!(address, IpAddr::V4(a) if a.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast {
        return Err(ChangeError::NotAHost { field, address });
    }
    Ok(())
}

pub(super) fn same_family(field: &'static str, a: Prefix, b: Prefix) -> Result<(), ChangeError> {
    if a.address().is_ipv4() == b.address().is_ipv4() {
        Ok(())
    } else {
        Err(ChangeError::FamilyMismatch { field })
    }
}
