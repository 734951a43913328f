//! Changes of next hops, routes, policy routes, policy entries and tunnels.

use super::apply::{MTU, at_most, check_host, in_range, in_range_u32, in_use, same_family};
use super::change::ChangeError;
use super::objects::{NextHop, NextHopKind, Tunnel};
use super::{MAX_ID, Tables, Vrf};
use crate::esp::DscpPolicy;
use crate::ids::{NextHopId, TunnelId, VrfId};
use crate::policy::PolicyRoute;
use crate::prefix::Prefix;
use crate::selectors::SelectorPair;
use crate::spd::{MAX_ENTRIES, SpdEntry};
use std::sync::Arc;

/// The most next hops of a gateway: two of each connection that may have a policer.
pub const MAX_NEXT_HOPS: usize = 1 << 15;
/// The most routes of a gateway, over all VRFs and of both families.
pub const MAX_ROUTES: usize = 1 << 21;
/// The most policy routes of a gateway, over all VRFs; a packet is compared with those of its VRF one by one.
pub const MAX_POLICY_ROUTES: usize = 1 << 14;

impl<K> Tables<K> {
    pub(super) fn put_next_hop(&mut self, next_hop: NextHop) -> Result<(), ChangeError> {
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
            }
            NextHopKind::Local | NextHopKind::Discard => {}
        }
        self.add_uses(&next_hop.kind);
        let link = self.link_of(&next_hop.kind);
        if let Some(old) = self.next_hops.insert(id.index(), next_hop) {
            self.release_uses(&old.kind);
            if self.next_hop_uses.of(id.index()) != 0 && self.link_of(&old.kind) != link {
                self.note_link();
            }
        }
        at_most("next hops", self.next_hops.len(), MAX_NEXT_HOPS)
    }

    pub(super) fn delete_next_hop(&mut self, id: NextHopId) -> Result<(), ChangeError> {
        self.need_next_hop(id)?;
        let uses = self.next_hop_uses.of(id.index());
        if uses != 0 {
            return Err(in_use("next hop", id.0, "routes, as many as", uses));
        }
        if let Some(old) = self.next_hops.remove(id.index()) {
            self.release_uses(&old.kind);
        }
        Ok(())
    }

    pub(super) fn put_route(
        &mut self,
        vrf: VrfId,
        prefix: Prefix,
        next_hop: NextHopId,
    ) -> Result<(), ChangeError> {
        self.need_next_hop(next_hop)?;
        let old = self.vrf_mut(vrf).put_route(prefix, next_hop);
        self.count_use(next_hop, old);
        self.note_way(vrf, prefix);
        self.routes += usize::from(old.is_none());
        at_most("routes", self.routes, MAX_ROUTES)
    }

    pub(super) fn delete_route(&mut self, vrf: VrfId, prefix: Prefix) -> Result<(), ChangeError> {
        let missing = ChangeError::RouteMissing { vrf, prefix };
        if self.vrf(vrf).is_none() {
            return Err(missing);
        }
        let old = self.vrf_mut(vrf).delete_route(prefix).ok_or(missing)?;
        self.next_hop_uses.release(old.index());
        self.routes = self.routes.saturating_sub(1);
        self.prune_vrf(vrf);
        self.note_way(vrf, prefix);
        Ok(())
    }

    pub(super) fn put_policy_route(&mut self, vrf: VrfId, route: PolicyRoute) -> Result<(), ChangeError> {
        same_family("policy route", route.src, route.dst)?;
        self.need_next_hop(route.next_hop)?;
        let old = self.vrf_mut(vrf).policy.insert(route);
        self.count_use(route.next_hop, old.map(|old| old.next_hop));
        self.policy_routes += usize::from(old.is_none());
        at_most("policy routes", self.policy_routes, MAX_POLICY_ROUTES)
    }

    pub(super) fn delete_policy_route(
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
        self.next_hop_uses.release(old.next_hop.index());
        self.policy_routes = self.policy_routes.saturating_sub(1);
        self.prune_vrf(vrf);
        Ok(())
    }

    pub(super) fn put_spd_entry(
        &mut self,
        vrf: VrfId,
        order: u16,
        entry: SpdEntry,
    ) -> Result<(), ChangeError> {
        in_range("policy order", order, 0..=MAX_ENTRIES - 1)?;
        let SelectorPair { local, remote } = entry.selectors;
        if local.addresses.start().is_ipv4() != remote.addresses.start().is_ipv4() {
            return Err(ChangeError::FamilyMismatch { field: "policy" });
        }
        self.vrf_mut(vrf).spd.put(order, entry);
        Ok(())
    }

    pub(super) fn delete_spd_entry(&mut self, vrf: VrfId, order: u16) -> Result<(), ChangeError> {
        let missing = ChangeError::Missing { object: "policy entry in VRF", id: vrf.0.into() };
        let there = self.vrf(vrf).is_some_and(|vrf| vrf.spd.entries().iter().any(|(o, _)| *o == order));
        if !there {
            return Err(missing);
        }
        self.vrf_mut(vrf).spd.remove(order);
        self.prune_vrf(vrf);
        Ok(())
    }

    pub(super) fn put_tunnel(&mut self, tunnel: Tunnel) -> Result<(), ChangeError> {
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
        let old = self.tunnels.insert(tunnel.id.index(), tunnel);
        self.note_tunnel(old, &tunnel);
        Ok(())
    }

    pub(super) fn delete_tunnel(&mut self, id: TunnelId) -> Result<(), ChangeError> {
        self.need_tunnel(id)?;
        let names = |next_hop: &&NextHop| matches!(&next_hop.kind, NextHopKind::Tunnels(group) if group.tunnels.contains(&id));
        if self.tunnel_uses.of(id.index()) != 0
            && let Some(next_hop) = self.next_hops().find(names)
        {
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

    pub(super) fn prune_vrf(&mut self, id: VrfId) {
        if self.vrf(id).is_some_and(Vrf::is_empty) {
            self.vrfs.remove(id.index());
        }
    }

    fn count_use(&mut self, new: NextHopId, old: Option<NextHopId>) {
        self.next_hop_uses.add(new.index());
        if let Some(old) = old {
            self.next_hop_uses.release(old.index());
        }
    }

    /// Counts what a next hop names.
    fn add_uses(&mut self, kind: &NextHopKind) {
        match kind {
            NextHopKind::Tunnels(group) => {
                group.tunnels.iter().for_each(|id| self.tunnel_uses.add(id.index()))
            }
            NextHopKind::Interface { interface, .. } => self.interface_uses.add(interface.index()),
            NextHopKind::Local | NextHopKind::Discard => {}
        }
    }

    /// The inverse of [`Tables::add_uses`].
    fn release_uses(&mut self, kind: &NextHopKind) {
        match kind {
            NextHopKind::Tunnels(group) => {
                group.tunnels.iter().for_each(|id| self.tunnel_uses.release(id.index()))
            }
            NextHopKind::Interface { interface, .. } => self.interface_uses.release(interface.index()),
            NextHopKind::Local | NextHopKind::Discard => {}
        }
    }
}
