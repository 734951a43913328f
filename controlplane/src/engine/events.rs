//! Hints of the data plane and events of IKE.

use std::net::SocketAddr;
use std::time::Duration;

use api::Occurrence;
use ike::{ConnectionKey, Flow, Gone, Time};
use shm::message::{Acquire, Event, InvalidSpi};

use super::link::Purpose;
use super::tell;
use super::{Engine, State};
use crate::convert;

/// How long an SA of the control process before us still receives after its replacement is up.
const ORPHAN_LINGER: Duration = Duration::from_secs(10);

impl Engine {
    /// The data plane noticed something.
    pub fn handle_event(&mut self, event: Event, now: Time) {
        match event {
            Event::FirstUse(e) => self.command(ike::Command::FirstUse(e.spi.value()), now),
            Event::SoftLimit(e) => {
                tracing::debug!(spi = %e.spi, limit = ?e.kind, "soft limit");
                self.command(ike::Command::SoftLimit(e.spi.value()), now);
            }
            Event::HardLimit(e) => {
                tracing::warn!(spi = %e.spi, limit = ?e.kind, direction = ?e.direction, "hard limit: the SA stands still");
                self.command(ike::Command::HardLimit(e.spi.value()), now);
            }
            Event::PeerMoved(e) => {
                let remote = SocketAddr::new(e.remote, e.port);
                self.command(ike::Command::PeerMoved { spi: e.spi.value(), remote }, now);
            }
            Event::Acquire(e) => self.acquire(&e, now),
            Event::PortLink(e) => {
                let up = if e.up { "up" } else { "down" };
                let port = self.ports.iter_mut().find(|port| port.id == e.port);
                if let Some(port) = port {
                    port.link_up = e.up;
                    tracing::info!(port = port.name.as_str(), "link is {up}");
                }
            }
            Event::WorkerSilent(e) if e.silent => {
                tracing::error!(worker = e.worker, "a worker of the data plane does not come round");
            }
            Event::WorkerSilent(e) => {
                tracing::info!(worker = e.worker, "the worker of the data plane comes round again");
            }
            Event::PathFound(e) => self.path_found(e),
            Event::InvalidSpi(e) => {
                tracing::info!(src = %e.src, spi = format!("{:08x}", e.spi), "ESP with an SPI that is not ours");
                self.unknown_spi(&e, now);
            }
        }
    }

    /// Passes a command to IKE. Between sessions hints are stale and dropped.
    pub(super) fn command(&mut self, command: ike::Command, now: Time) {
        if self.state == State::Ready {
            self.manager.handle_command(command, now);
            self.settle(now);
        }
    }

    /// The peer may have an SA that we lost: the tunnels with its address ask it.
    fn unknown_spi(&mut self, hint: &InvalidSpi, now: Time) {
        let ends = (hint.vrf.0, hint.dst, hint.src);
        let tunnels = self.document.plan.tunnels.iter();
        let concerned = tunnels.filter(|t| (t.outer_vrf, t.local, t.remote) == ends).map(convert::key);
        let keys: Vec<_> = concerned.filter(|key| !self.held_down.contains(key)).collect();
        for key in keys {
            self.command(ike::Command::UnknownSpi(key), now);
        }
    }

    /// Traffic wants a connection: the tunnel it met with the packet's addresses, its sibling without.
    fn acquire(&mut self, acquire: &Acquire, now: Time) {
        let Some(key) = self.tunnel_key(acquire.tunnel.0) else { return };
        if self.held_down.contains(&key) {
            return;
        }
        let packet = Flow {
            src: acquire.src,
            dst: acquire.dst,
            protocol: acquire.protocol,
            src_port: acquire.src_port,
            dst_port: acquire.dst_port,
        };
        self.command(ike::Command::Acquire { key, packet }, now);
        let tunnels = self.document.plan.tunnels.iter().map(convert::key);
        let siblings: Vec<ConnectionKey> =
            tunnels.filter(|other| other.connection == key.connection && *other != key).collect();
        for sibling in siblings {
            if !self.held_down.contains(&sibling) {
                self.command(ike::Command::Initiate(sibling), now);
            }
        }
    }

    pub(super) fn handle_ike_event(&mut self, event: ike::Event, now: Time) {
        match event {
            ike::Event::IkeEstablished { key, ike_sa, initiator } => {
                self.diagnoses.renewed(key, now);
                tracing::info!(
                    tunnel = self.tunnel_name(key),
                    ike_sa = ike_sa.0,
                    initiator,
                    "IKE SA established"
                );
                self.tell_of(key, Occurrence::IkeSaEstablished { ike_sa: ike_sa.0, initiator });
            }
            ike::Event::IkeRekeyed { key, old, new } => {
                tracing::info!(tunnel = self.tunnel_name(key), old = old.0, new = new.0, "IKE SA rekeyed");
                self.tell_of(key, Occurrence::IkeSaRekeyed { ike_sa: new.0, replaces: old.0 });
            }
            ike::Event::IkeDeleted { key, ike_sa, why } => {
                let tunnel = key.map(|key| self.tunnel_name(key)).unwrap_or_default();
                tracing::info!(tunnel, ike_sa = ike_sa.0, ?why, "IKE SA deleted");
                if let Some(key) = key {
                    let reason = tell::reason(why);
                    self.tell_of(key, Occurrence::IkeSaDeleted { ike_sa: ike_sa.0, reason });
                }
            }
            ike::Event::ChildEstablished { key, spi, replaces, .. } => {
                self.child_up(key, spi, replaces, now);
            }
            ike::Event::ChildDeleted { key, spi, why } => self.child_down(key, spi, why),
            ike::Event::Failed(diagnosis) => {
                if self.diagnoses.may_tell(diagnosis.connection, now) {
                    let tunnel = diagnosis.connection.map(|key| self.tunnel_name(key)).unwrap_or_default();
                    let (code, confidence) = (diagnosis.code, diagnosis.confidence);
                    tracing::warn!(tunnel, ?code, %confidence, %diagnosis, "negotiation failed");
                    self.tell_failure(&diagnosis);
                }
                self.diagnoses.add(diagnosis, now);
            }
            ike::Event::PeerCertificate { key, subject, not_after } => {
                self.peer_showed(key, subject, not_after, now);
            }
            ike::Event::PeerMoved { key, remote } => {
                tracing::info!(tunnel = self.tunnel_name(key), %remote, "the peer moved");
            }
        }
    }

    /// Tells how many failures have no line of their own in the log.
    pub(super) fn tell_untold(&mut self, now: Time) {
        for (key, negotiations) in self.diagnoses.untold(now) {
            let tunnel = key.map(|key| self.tunnel_name(key)).unwrap_or_default();
            tracing::warn!(tunnel, negotiations, "more failed; `show diagnoses` has the last ones");
        }
    }

    fn child_up(&mut self, key: ConnectionKey, spi: ike::Spi, replaces: Option<ike::Spi>, now: Time) {
        let replaces = replaces.map(tell::spi);
        tracing::info!(tunnel = self.tunnel_name(key), spi = tell::spi(spi), ?replaces, "CHILD_SA up");
        self.tell_of(
            key,
            match replaces {
                Some(replaces) => Occurrence::ChildSaRekeyed { spi: tell::spi(spi), replaces },
                None => Occurrence::ChildSaEstablished { spi: tell::spi(spi) },
            },
        );
        self.diagnoses.recovered(key);
        let spis = self.children.entry(key.tunnel).or_default();
        let was_down = spis.is_empty();
        spis.insert(spi);
        self.ledger.came_up(key.tunnel, now);
        if was_down {
            self.tell_of(key, Occurrence::TunnelUp);
            self.steer(key.tunnel);
        }
        self.delete_orphans(key.tunnel, ORPHAN_LINGER);
    }

    fn child_down(&mut self, key: ConnectionKey, spi: ike::Spi, why: Gone) {
        tracing::info!(tunnel = self.tunnel_name(key), spi = tell::spi(spi), ?why, "CHILD_SA gone");
        let reason = tell::reason(why);
        self.tell_of(key, Occurrence::ChildSaDeleted { spi: tell::spi(spi), reason });
        let Some(spis) = self.children.get_mut(&key.tunnel) else { return };
        spis.remove(&spi);
        if spis.is_empty() {
            self.children.remove(&key.tunnel);
            self.ledger.went_down(key.tunnel);
            self.tell_of(key, Occurrence::TunnelDown { reason });
            self.steer(key.tunnel);
        }
    }

    /// Points the groups of a tunnel at one that is up. A group of one needs no pointing.
    fn steer(&mut self, tunnel: u32) {
        if self.state != State::Ready {
            return;
        }
        let up = self.tunnels_up();
        let concerned = |planned: &&gateway::plan::NextHopPlan| match &planned.kind {
            gateway::plan::NextHopKind::Tunnels(tunnels) => tunnels.len() > 1 && tunnels.contains(&tunnel),
            _ => false,
        };
        let groups = convert::tunnel_groups(&self.document.plan.dataplane).filter(concerned);
        let changes: Vec<_> = groups.map(|planned| convert::next_hop(planned, &up).into()).collect();
        if !changes.is_empty() {
            self.link.transact(false, changes, Purpose::Steer);
        }
    }
}
