//! Changes of security associations.

use super::Tables;
use super::apply::{MTU, check_host, in_range, in_range_u32};
use super::change::{ChangeError, InstallInbound, InstallOutbound, SaParameters};
use super::objects::PathMtu;
use crate::esp::{Encap, EspGeometry, OuterEndpoints, OuterTemplate, ReplayWindow};
use crate::ids::{Spi, TunnelId, VrfId};
use crate::prefix::Prefix;
use crate::route::PrefixMap;
use crate::sad::{InboundConfig, InboundSa, OutboundConfig, OutboundSa, SaState, SadEntry};
use crate::selectors::SelectorPair;
use std::net::IpAddr;
use std::sync::Arc;

/// The most selector pairs of one SA: each packet may be compared with all.
const MAX_SELECTORS: usize = 256;
/// The path MTU where there is no route to the peer yet, bytes.
const DEFAULT_PATH_MTU: u16 = 1500;
/// IPv4 and TCP headers without options, bytes.
const TCP_IPV4_HEADERS: u16 = 40;

impl<K> Tables<K> {
    pub(super) fn reserve(&mut self, spi: Spi) -> Result<(), ChangeError> {
        if let Some(tenant) = self.sad.tenant(spi) {
            return Err(ChangeError::SlotTaken { spi, tenant });
        }
        self.sad.insert(SadEntry::reserved(spi));
        Ok(())
    }

    pub(super) fn install_inbound(&mut self, install: InstallInbound<K>) -> Result<(), ChangeError> {
        let InstallInbound { sa, replay_window, follow_nat } = install;
        let entry = self.need_state(sa.spi, SaState::Reserved)?;
        let geometry = self.check_parameters(&sa)?;
        let replay = ReplayWindow::new(replay_window).ok_or(ChangeError::OutOfRange {
            field: "replay_window",
            value: replay_window.into(),
            min: ReplayWindow::MIN.into(),
            max: ReplayWindow::MAX.into(),
        })?;
        let mut entry = entry.clone();
        let (spi, tunnel, outer) = (sa.spi, sa.tunnel, sa.outer);
        let config = InboundConfig { key: sa.key, geometry, esn: sa.esn, follow_nat, owner_tag: sa.owner };
        entry.state = SaState::Installed;
        entry.tunnel = tunnel;
        entry.inbound = Some(Arc::new(InboundSa::new(config, replay, sa.lifetime, sa.worker)));
        entry.template = Some(self.template(tunnel, outer, geometry)?);
        self.sad.insert(entry);
        self.put_child_first(tunnel, spi);
        self.peers.insert(outer.vrf, outer.remote, spi);
        self.note_sa(spi);
        Ok(())
    }

    pub(super) fn install_outbound(&mut self, install: InstallOutbound<K>) -> Result<(), ChangeError> {
        let InstallOutbound { sa, peer_spi, active, tfc } = install;
        let spi = sa.spi;
        let entry = self.need_state(spi, SaState::Installed)?;
        if entry.outbound.is_some() {
            return Err(ChangeError::SpiState { spi, found: "installed outbound", needed: "inbound only" });
        }
        let geometry = self.check_parameters(&sa)?;
        in_range_u32("peer_spi", peer_spi, Spi::MIN..=u32::MAX)?;
        let inbound = entry.inbound.as_deref().map(|sa| &sa.config);
        let differ = |field| Err(ChangeError::HalvesDiffer { spi, field });
        match inbound {
            Some(config) if config.geometry != geometry => return differ("suite"),
            Some(config) if config.esn != sa.esn => return differ("esn"),
            _ if entry.tunnel != sa.tunnel => return differ("tunnel"),
            _ => {}
        }
        let tunnel = sa.tunnel;
        self.update_outer(spi, sa.outer)?;
        let config =
            OutboundConfig { key: sa.key, geometry, esn: sa.esn, peer_spi, tfc, owner_tag: sa.owner };
        let outbound = Arc::new(OutboundSa::new(config, sa.lifetime, sa.worker));
        let entry = self.entry_mut(spi)?;
        entry.outbound = Some(outbound);
        entry.active = active;
        self.put_child_first(tunnel, spi);
        self.note_sender(spi);
        self.refresh_sa(spi);
        Ok(())
    }

    pub(super) fn add_selector(&mut self, spi: Spi, selector: SelectorPair) -> Result<(), ChangeError> {
        let entry = self.need_state(spi, SaState::Installed)?;
        if selector.local.addresses.start().is_ipv4() != selector.remote.addresses.start().is_ipv4() {
            return Err(ChangeError::FamilyMismatch { field: "selector" });
        }
        if entry.selectors.contains(&selector) {
            return Ok(());
        }
        if entry.selectors.len() >= MAX_SELECTORS {
            return Err(ChangeError::TooMany { object: "selectors of an SA", limit: MAX_SELECTORS });
        }
        let selectors = entry.selectors.iter().copied().chain([selector]).collect();
        self.entry_mut(spi)?.selectors = selectors;
        self.note_sender(spi);
        Ok(())
    }

    pub(super) fn activate_outbound(&mut self, spi: Spi) -> Result<(), ChangeError> {
        let entry = self.entry_mut(spi)?;
        if entry.outbound.is_none() {
            return Err(ChangeError::SpiState {
                spi,
                found: state_name(entry.state),
                needed: "installed outbound",
            });
        }
        entry.active = true;
        self.note_sender(spi);
        Ok(())
    }

    pub(super) fn delete_outbound(&mut self, spi: Spi) -> Result<(), ChangeError> {
        let entry = self.entry_mut(spi)?;
        entry.active = false;
        entry.outbound = None;
        entry.inner_mtu = 0;
        entry.mss = 0;
        Ok(())
    }

    pub(super) fn delete_inbound(&mut self, spi: Spi) -> Result<(), ChangeError> {
        self.need_state(spi, SaState::Installed)?;
        self.delete_outbound(spi)?;
        self.entry_mut(spi)?.state = SaState::Lingering;
        Ok(())
    }

    pub(super) fn free_spi(&mut self, spi: Spi) -> Result<(), ChangeError> {
        let entry = self.sad.remove(spi).ok_or(missing(spi))?;
        if let Some(template) = entry.template {
            self.forget_child(entry.tunnel, spi);
            self.peers.remove(template.endpoints.vrf, template.endpoints.remote, spi);
        }
        Ok(())
    }

    pub(super) fn update_outer(&mut self, spi: Spi, outer: OuterEndpoints) -> Result<(), ChangeError> {
        check_endpoints(&outer)?;
        let entry = self.entry_mut(spi)?;
        let needed = ChangeError::SpiState { spi, found: "reserved", needed: "installed" };
        let old = entry.template.as_ref().ok_or(needed)?;
        let before = old.endpoints;
        if before == outer {
            return Ok(());
        }
        let vrf = before.vrf.0;
        in_range("outer vrf", outer.vrf.0, vrf..=vrf)?;
        let template = old.with_endpoints(outer).ok_or(ChangeError::FamilyMismatch { field: "outer" })?;
        entry.template = Some(Arc::new(template));
        self.peers.remove(before.vrf, before.remote, spi);
        self.peers.insert(outer.vrf, outer.remote, spi);
        self.note_sa(spi);
        self.refresh_sa(spi);
        Ok(())
    }

    /// Works out the outer header and the sizes of an SA again, if its tunnel is there.
    pub(super) fn refresh_sa(&mut self, spi: Spi) {
        let Some(entry) = self.sad.entry(spi) else { return };
        let (Some(template), Some(tunnel)) = (&entry.template, self.tunnel(entry.tunnel)) else { return };
        let OuterTemplate { endpoints, layout, .. } = **template;
        let Some(fresh) = OuterTemplate::new(endpoints, layout.geometry, tunnel.df, tunnel.dscp) else {
            return;
        };
        let (mut inner_mtu, mut mss) = (0, 0);
        if entry.outbound.is_some() {
            let path = self.path_mtu(&endpoints);
            let bound = if tunnel.mtu == 0 { u16::MAX } else { tunnel.mtu };
            inner_mtu = layout.inner_mtu(path.outbound).min(bound);
            // Segments of both directions are to fit.
            let both_ways = layout.inner_mtu(path.inbound).min(inner_mtu);
            mss = if tunnel.mss == 0 { both_ways.saturating_sub(TCP_IPV4_HEADERS) } else { tunnel.mss };
        }
        let same_header = **template == fresh;
        if same_header && (entry.inner_mtu, entry.mss) == (inner_mtu, mss) {
            return;
        }
        if let Some(entry) = self.sad.entry_mut(spi) {
            (entry.inner_mtu, entry.mss) = (inner_mtu, mss);
            if !same_header {
                entry.template = Some(Arc::new(fresh));
            }
        }
    }

    /// The largest outer packets from and to a peer: the link's MTU, or less where the path was found to take less.
    #[must_use]
    pub fn path_mtu(&self, outer: &OuterEndpoints) -> PathMtu {
        let link = self.link_mtu(outer);
        let found = self.path_mtus.lookup(outer.vrf.index()).and_then(|found| found.lookup(outer.remote));
        let PathMtu { outbound, inbound } = found.copied().unwrap_or(PathMtu::UNKNOWN);
        PathMtu { outbound: outbound.min(link), inbound: inbound.min(link) }
    }

    /// The MTU of the link by which packets to a peer leave, bytes.
    #[must_use]
    pub fn link_mtu(&self, outer: &OuterEndpoints) -> u16 {
        self.egress(outer.vrf, outer.remote).map_or(DEFAULT_PATH_MTU, |egress| egress.interface.mtu)
    }

    pub(super) fn put_path_mtu(
        &mut self,
        vrf: VrfId,
        remote: IpAddr,
        mtu: PathMtu,
    ) -> Result<(), ChangeError> {
        for (field, mtu) in [("path mtu", mtu.outbound), ("inbound path mtu", mtu.inbound)] {
            if mtu != u16::MAX {
                in_range(field, mtu, MTU)?;
            }
        }
        let found = self.path_mtus.entry_or_insert_with(vrf.index(), PrefixMap::default);
        if found.insert(Prefix::host(remote), mtu) != Some(mtu) {
            self.note_way(vrf, Prefix::host(remote));
        }
        Ok(())
    }

    pub(super) fn delete_path_mtu(&mut self, vrf: VrfId, remote: IpAddr) {
        let Some(found) = self.path_mtus.lookup_mut(vrf.index()) else { return };
        if found.remove(Prefix::host(remote)).is_some() {
            self.note_way(vrf, Prefix::host(remote));
        }
    }

    fn template(
        &self,
        tunnel: TunnelId,
        outer: OuterEndpoints,
        geometry: EspGeometry,
    ) -> Result<Arc<OuterTemplate>, ChangeError> {
        let tunnel = self.need_tunnel(tunnel)?;
        OuterTemplate::new(outer, geometry, tunnel.df, tunnel.dscp)
            .map(Arc::new)
            .ok_or(ChangeError::FamilyMismatch { field: "outer" })
    }

    fn check_parameters(&self, sa: &SaParameters<K>) -> Result<EspGeometry, ChangeError> {
        let tunnel = self.need_tunnel(sa.tunnel)?;
        in_range("outer vrf", sa.outer.vrf.0, tunnel.outer_vrf.0..=tunnel.outer_vrf.0)?;
        check_endpoints(&sa.outer)?;
        Ok(EspGeometry::new(sa.suite)?)
    }

    pub(super) fn is_installed(&self, spi: Spi) -> bool {
        self.sad.entry(spi).is_some_and(|entry| entry.state == SaState::Installed)
    }

    fn need_state(&self, spi: Spi, needed: SaState) -> Result<&SadEntry<K>, ChangeError> {
        let entry = self.sad.entry(spi).ok_or(missing(spi))?;
        if entry.state != needed {
            let (found, needed) = (state_name(entry.state), state_name(needed));
            return Err(ChangeError::SpiState { spi, found, needed });
        }
        Ok(entry)
    }

    fn entry_mut(&mut self, spi: Spi) -> Result<&mut SadEntry<K>, ChangeError> {
        self.sad.entry_mut(spi).ok_or(missing(spi))
    }

    /// The newest SA of a tunnel is tried first.
    fn put_child_first(&mut self, tunnel: TunnelId, spi: Spi) {
        let children = self.children.entry_or_insert_with(tunnel.index(), || Arc::from([]));
        *children =
            std::iter::once(spi).chain(children.iter().copied().filter(|child| *child != spi)).collect();
    }

    fn forget_child(&mut self, tunnel: TunnelId, spi: Spi) {
        let Some(children) = self.children.lookup_mut(tunnel.index()) else { return };
        *children = children.iter().copied().filter(|child| *child != spi).collect();
        if children.is_empty() {
            self.children.remove(tunnel.index());
        }
    }
}

fn missing(spi: Spi) -> ChangeError {
    ChangeError::Missing { object: "SPI", id: spi.value() }
}

fn state_name(state: SaState) -> &'static str {
    match state {
        SaState::Reserved => "reserved",
        SaState::Installed => "installed",
        SaState::Lingering => "lingering",
    }
}

fn check_endpoints(outer: &OuterEndpoints) -> Result<(), ChangeError> {
    check_host("outer local", outer.local)?;
    check_host("outer remote", outer.remote)?;
    if outer.local.is_ipv4() != outer.remote.is_ipv4() {
        return Err(ChangeError::FamilyMismatch { field: "outer" });
    }
    if let Encap::Udp { local_port, remote_port } = outer.encap {
        in_range("outer local port", local_port, 1..=u16::MAX)?;
        in_range("outer remote port", remote_port, 1..=u16::MAX)?;
    }
    Ok(())
}
