//! The state as the API shows it.

use std::time::Duration;

use api::{
    ChildMode, ChildSa, Counters, DataplaneState, DataplaneStatus, Diagnosis, DropCounter, IkeSa,
    InterfaceCounters, InterfaceDrops, Neighbour, Offload, Party, Port, Proposal, SaCounters, Status,
    SteeringPath, Traffic, Version,
};
use gateway::plan::TunnelPlan;
use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId};
use ike::{ChildSaStatus, ChildState, Code, ConnectionKey, IkeSaStatus, IkeState, Time};
use shm::counters::{CountersReader, InterfaceDescription, Text};
use shm::message as contract;
use shm::message::{NeighbourRecord, NeighbourState, PortRecord, SaTotals, Spi, offload, rule};

use super::diagnoses::Failure;
use super::expiry::{Holder, InUse};
use super::hearing::slot;
use super::{Engine, State};

impl Engine {
    pub(super) fn view_version(&self) -> Version {
        Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            contract: shm::CONTRACT_VERSION,
            dataplane: None,
        }
    }

    pub(super) fn view_status(&self, now: Time) -> Status {
        let sas = self.manager.ike_sas();
        let (ike_sas, child_sas) =
            sas.fold((0, 0), |(ikes, children), sa| (ikes + 1, children + sa.children.len()));
        Status {
            uptime_secs: now.since(self.started).as_secs(),
            pid: std::process::id(),
            config_file: self.document.file.display().to_string(),
            dataplane: DataplaneStatus {
                state: match self.state {
                    State::Away => DataplaneState::Away,
                    State::Syncing => DataplaneState::Syncing,
                    State::Ready => DataplaneState::Ready,
                },
                socket: self.document.desired.control.dataplane_socket.display().to_string(),
                epoch: if self.state == State::Away { 0 } else { self.epoch.0 },
                last_error: self.last_error.clone(),
            },
            ike_sas,
            child_sas,
            adopted_sas: self.adopted,
            restored_ike_sas: self.restored,
        }
    }

    pub(super) fn view_certificates(&self, now: Time) -> Vec<api::Certificate> {
        let view = |certificate: InUse| api::Certificate {
            valid_secs: self.seconds_left(certificate.not_after, now),
            until: ike::pki::date(certificate.not_after),
            subject: certificate.subject,
            holder: match certificate.holder {
                Holder::Us => api::CertificateHolder::Us,
                Holder::Authority => api::CertificateHolder::Authority,
                Holder::Peer => api::CertificateHolder::Peer,
            },
            tunnels: certificate.tunnels,
        };
        self.certificates_in_use().into_iter().map(view).collect()
    }

    pub(super) fn view_sas(&self, figures: Option<&CountersReader>, now: Time) -> Vec<IkeSa> {
        self.manager.ike_sas().map(|sa| self.ike_sa(&sa, figures, now)).collect()
    }

    fn plan_of(&self, key: Option<ConnectionKey>) -> Option<&TunnelPlan> {
        self.document.plan.tunnel(key?.tunnel)
    }

    fn ike_sa(&self, sa: &IkeSaStatus, figures: Option<&CountersReader>, now: Time) -> IkeSa {
        let plan = self.plan_of(sa.key);
        let name = plan.map_or_else(|| "(unnamed)".to_owned(), |plan| plan.connection.clone());
        let spi = |spi: u64| format!("{spi:016x}");
        let left = |at: Option<Time>| at.map(|at| at.since(now).as_secs());
        let (initiator, responder) = (spi(ike_spi(sa.initiator_spi)), spi(ike_spi(sa.responder_spi)));
        let (ours, theirs) = if sa.initiator { (initiator, responder) } else { (responder, initiator) };
        IkeSa {
            tunnel: plan.map_or(0, |plan| plan.index),
            unique_id: sa.id.0,
            version: 2,
            state: match sa.state {
                IkeState::Connecting => api::IkeState::Connecting,
                IkeState::Established => api::IkeState::Established,
                IkeState::Rekeyed => api::IkeState::Rekeying,
                IkeState::Deleting => api::IkeState::Deleting,
            },
            initiator: sa.initiator,
            local: Party { id: sa.local_id.clone(), host: sa.local.ip(), port: sa.local.port(), spi: ours },
            remote: Party {
                id: sa.remote_id.clone(),
                host: sa.remote.ip(),
                port: sa.remote.port(),
                spi: theirs,
            },
            proposal: sa.suite.map(|suite| ike_proposal(&suite)),
            nat_local: sa.nat.0,
            nat_remote: sa.nat.1,
            established_secs: sa.established.map(|at| now.since(at).as_secs()),
            rekey_secs: left(sa.rekey_at),
            reauth_secs: left(sa.reauth_at),
            expires_secs: left(sa.expires_at),
            children: sa.children.iter().map(|child| self.child_sa(&name, child, figures, now)).collect(),
            path: sa.key.and_then(|key| self.path(key.tunnel)),
            name,
        }
    }

    fn child_sa(
        &self,
        name: &str,
        child: &ChildSaStatus,
        figures: Option<&CountersReader>,
        now: Time,
    ) -> ChildSa {
        let totals = figures.and_then(|figures| totals(figures, child.spi)).unwrap_or_default();
        let selectors = |list: &[TrafficSelector]| list.iter().map(ToString::to_string).collect();
        let idle_secs = (totals.idle_ms != u64::MAX).then_some(totals.idle_ms / 1000);
        ChildSa {
            name: name.to_owned(),
            unique_id: child.spi.into(),
            state: match child.state {
                ChildState::Installing => api::ChildState::Installing,
                ChildState::Installed => api::ChildState::Installed,
                ChildState::Rekeying | ChildState::Rekeyed => api::ChildState::Rekeying,
                ChildState::Deleting => api::ChildState::Deleting,
            },
            mode: ChildMode::Tunnel,
            protocol: "ESP".to_owned(),
            encap: child.udp_encap,
            spi_in: format!("{:08x}", child.spi),
            spi_out: format!("{:08x}", child.peer_spi),
            proposal: Proposal {
                encryption: encryption(EncrId(child.suite.encryption)),
                key_bits: child.suite.key_bits,
                integrity: integrity(IntegId(child.suite.integrity)),
                prf: String::new(),
                dh_group: String::new(),
                esn: child.esn,
            },
            installed_secs: now.since(child.installed).as_secs(),
            rekey_secs: child.rekey_at.map(|at| at.since(now).as_secs()),
            expires_secs: child.expires_at.map(|at| at.since(now).as_secs()),
            inbound: Traffic {
                packets: totals.in_packets,
                bytes: totals.in_bytes,
                policed: totals.in_policed,
                idle_secs: idle_secs.filter(|_| totals.in_packets > 0),
            },
            outbound: Traffic {
                packets: totals.out_packets,
                bytes: totals.out_bytes,
                policed: totals.out_policed,
                idle_secs: idle_secs.filter(|_| totals.out_packets > 0),
            },
            local_ts: selectors(&child.local_ts),
            remote_ts: selectors(&child.remote_ts),
        }
    }

    pub(super) fn view_diagnosis(&self, failure: &Failure, now: Time) -> Diagnosis {
        let d = &failure.diagnosis;
        let plan = self.plan_of(d.connection);
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let side = if d.side == ike::Side::Local { "local" } else { "remote" };
        Diagnosis {
            id: failure.id,
            connection: plan.map(|p| p.connection.clone()).unwrap_or_default(),
            tunnel: plan.map_or(0, |p| p.index),
            remote: plan.map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |p| p.remote),
            age_secs: now.since(failure.at).as_secs(),
            count: failure.count,
            code: format!("{:?}", d.code),
            rfc: d.rfc.clone(),
            side: side.to_owned(),
            confidence: d.confidence.to_string(),
            message: happened(d).to_owned(),
            parameter: some(&d.parameter),
            ours: some(&d.ours),
            theirs: some(&d.theirs),
            fix_here: some(&d.fix_here),
            fix_there: some(&d.fix_there),
        }
    }

    pub(super) fn view_counters(&self, figures: &CountersReader) -> Counters {
        let mut counters = Counters { drops: self.view_errors(figures), ..Counters::default() };
        for slot in 0..figures.interface_slots() {
            let totals = figures.interface_totals(slot);
            let dropped = totals.drops.iter().sum();
            counters.received += totals.rx_packets;
            counters.dropped += dropped;
            let Some(description) = figures.interface(slot) else { continue };
            counters.interfaces.push(InterfaceCounters {
                id: description.id.0,
                name: self.interface_name(&description),
                rx_packets: totals.rx_packets,
                rx_bytes: totals.rx_bytes,
                tx_packets: totals.tx_packets,
                tx_bytes: totals.tx_bytes,
                dropped,
            });
        }
        // What workers sent, less what the agent made and what fragmentation added.
        let sent: u64 = counters.interfaces.iter().map(|interface| interface.tx_packets).sum();
        let made = worker_figure(figures, "from_agent").saturating_sub(figure(figures, "neighbour_released"));
        counters.forwarded = sent.saturating_sub(made + worker_figure(figures, "fragments"));
        let delivered = [
            "agent_consumed",
            "host_delivered",
            "punted_ike_known",
            "punted_ike_new",
            "punted_icmp",
            "punted_local",
        ];
        counters.delivered = delivered.into_iter().map(|name| figure(figures, name)).sum();
        counters.sas = figures.sas().map(|(spi, totals)| self.sa_counters(spi, &totals)).collect();
        counters
    }

    fn sa_counters(&self, spi: Spi, totals: &SaTotals) -> SaCounters {
        let plan = self.installed.get(&spi).and_then(|owner| self.document.plan.tunnel(owner.tunnel.0));
        SaCounters {
            spi: spi.to_string(),
            connection: plan.map(|t| t.connection.clone()).unwrap_or_default(),
            in_packets: totals.in_packets,
            in_bytes: totals.in_bytes,
            out_packets: totals.out_packets,
            out_bytes: totals.out_bytes,
            auth_failures: totals.auth_failures,
            in_policed: totals.in_policed,
            out_policed: totals.out_policed,
            replays: totals.replays,
        }
    }

    /// Every drop reason, also those that never happened.
    pub(super) fn view_errors(&self, figures: &CountersReader) -> Vec<DropCounter> {
        let none = |text: &Text| DropCounter {
            name: text.name.clone(),
            count: 0,
            help: text.help.clone(),
            interfaces: Vec::new(),
        };
        let mut reasons: Vec<_> = figures.reasons().iter().map(none).collect();
        for slot in 0..figures.interface_slots() {
            let name = figures.interface(slot).map(|d| self.interface_name(&d)).unwrap_or_default();
            for (reason, count) in reasons.iter_mut().zip(figures.interface_totals(slot).drops) {
                if count > 0 {
                    reason.count += count;
                    reason.interfaces.push(InterfaceDrops { interface: name.clone(), count });
                }
            }
        }
        reasons
    }

    /// As the document calls it, else as the data plane does.
    fn interface_name(&self, description: &InterfaceDescription) -> String {
        let mut planned = self.document.plan.dataplane.interfaces.iter();
        let planned = planned.find(|planned| planned.id == description.id.0);
        planned.map_or_else(|| description.name.as_str().to_owned(), |planned| planned.name.clone())
    }

    pub(super) fn view_ports(&self, ports: &[PortRecord]) -> Vec<Port> {
        let port = |p: &PortRecord| Port {
            id: p.id.0,
            name: p.name.as_str().to_owned(),
            driver: p.driver.as_str().to_owned(),
            mac: mac(p.mac),
            up: p.link_up,
            speed_mbit: p.speed_mbit,
            mtu: p.mtu,
            queues: p.queues,
            offloads: view_offloads(p.offloads),
            steering: view_path(p.steering.path),
            steering_notes: steering_notes(&p.steering),
        };
        ports.iter().map(port).collect()
    }

    pub(super) fn view_neighbours(&self, neighbours: &[NeighbourRecord]) -> Vec<Neighbour> {
        let neighbour = |n: &NeighbourRecord| {
            let interfaces = &self.document.plan.dataplane.interfaces;
            let interface = interfaces.iter().find(|planned| planned.id == n.interface.0);
            Neighbour {
                vrf: interface.map_or(0, |planned| planned.vrf),
                interface: interface.map_or_else(|| n.interface.to_string(), |planned| planned.name.clone()),
                ip: n.ip,
                mac: (n.mac != [0; 6]).then(|| mac(n.mac)),
                state: match n.state {
                    NeighbourState::Incomplete => api::NeighbourState::Incomplete,
                    NeighbourState::Reachable => api::NeighbourState::Reachable,
                    NeighbourState::Stale => api::NeighbourState::Stale,
                    NeighbourState::Probe => api::NeighbourState::Probe,
                    NeighbourState::Failed => api::NeighbourState::Failed,
                },
                age_secs: Duration::from_millis(n.age_ms.into()).as_secs(),
            }
        };
        neighbours.iter().map(neighbour).collect()
    }
}

/// The counters of an SA.
pub(super) fn totals(figures: &CountersReader, spi: u32) -> Option<SaTotals> {
    let (found, totals) = figures.sa(slot(figures, spi)?)?;
    (found.value() == spi).then_some(totals)
}

/// A figure of the data plane; 0 where it keeps none of that name.
fn figure(figures: &CountersReader, name: &str) -> u64 {
    let index = figures.figures().iter().position(|text| text.name == name);
    index.map_or(0, |index| figures.figure(index))
}

/// The sum over all workers of a figure they keep under `name`; 0 where they do not.
fn worker_figure(figures: &CountersReader, name: &str) -> u64 {
    let Some(index) = figures.worker_figures().iter().position(|text| text.name == name) else { return 0 };
    (0..figures.workers()).map(|worker| figures.worker_figure(worker, index)).sum()
}

fn ike_spi(spi: ike::wire::IkeSpi) -> u64 {
    spi.0
}

fn ike_proposal(suite: &ike::IkeProposal) -> Proposal {
    // "MODP-1024 (group 2)" is known as MODP_1024.
    let group = suite.group.to_string();
    let group = group.split(' ').next().unwrap_or_default().replace('-', "_").to_uppercase();
    Proposal {
        encryption: encryption(suite.encryption),
        key_bits: suite.key_bits,
        integrity: integrity(suite.integrity),
        prf: suite.prf.to_string(),
        dh_group: group,
        esn: false,
    }
}

fn encryption(id: EncrId) -> String {
    id.to_string().trim_start_matches("ENCR_").to_owned()
}

/// Empty with an AEAD.
fn integrity(id: IntegId) -> String {
    if id == IntegId::NONE { String::new() } else { id.to_string().trim_start_matches("AUTH_").to_owned() }
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn view_path(path: contract::SteeringPath) -> SteeringPath {
    match path {
        contract::SteeringPath::OneWorker => SteeringPath::OneWorker,
        contract::SteeringPath::HandOver => SteeringPath::HandOver,
        contract::SteeringPath::Elsewhere => SteeringPath::Elsewhere,
        contract::SteeringPath::AddressHash => SteeringPath::AddressHash,
        contract::SteeringPath::InnerHash => SteeringPath::InnerHash,
        contract::SteeringPath::SpiHash => SteeringPath::SpiHash,
        contract::SteeringPath::SpiRules => SteeringPath::SpiRules,
    }
}

/// The rules of a port with several workers, and why each better path is not taken.
fn steering_notes(steering: &contract::Steering) -> Vec<String> {
    let rules = [
        (rule::ESP_V4, "ESP over IPv4"),
        (rule::ESP_V6, "ESP over IPv6"),
        (rule::UDP_V4, "ESP in UDP over IPv4"),
        (rule::UDP_V6, "ESP in UDP over IPv6"),
    ];
    let rules = rules.into_iter().filter(|(bit, _)| steering.rules & bit != 0);
    let mut notes: Vec<String> = rules.map(|(_, what)| format!("rules for {what}")).collect();
    if steering.path == contract::SteeringPath::OneWorker {
        return notes;
    }
    let better = contract::SteeringPath::ALL.iter().rev().take_while(|better| **better > steering.path);
    let of_devices = better.filter(|better| **better > contract::SteeringPath::Elsewhere);
    let (refused, none): (Vec<_>, Vec<_>) =
        of_devices.partition(|better| steering.refused & 1 << **better as u8 != 0);
    let names = |paths: Vec<&contract::SteeringPath>| {
        paths.into_iter().map(|path| view_path(*path).name()).collect::<Vec<_>>().join(", ")
    };
    if !refused.is_empty() {
        notes.push(format!("refused, the data plane's log says why: {}", names(refused)));
    }
    if !none.is_empty() {
        notes.push(format!("the driver has no {}", names(none)));
    }
    notes
}

fn view_offloads(bits: u8) -> Vec<Offload> {
    let known = [
        (offload::RSS, Offload::Rss),
        (offload::IPV4_CHECKSUM, Offload::Ipv4Checksum),
        (offload::COMPLETES_CHECKSUMS, Offload::CompletesChecksums),
    ];
    known.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, offload)| offload).collect()
}

/// What happened, in a sentence.
fn happened(diagnosis: &ike::Diagnosis) -> &'static str {
    match (diagnosis.code, diagnosis.side) {
        (Code::NatTMismatch, _) => "the tunnel comes up, but packets may not pass",
        (Code::NoResponse | Code::Phase1NegotiationTimeout | Code::Phase2NegotiationTimeout, _) => {
            "the peer is silent"
        }
        (Code::DpdTimeout, _) => "the peer fell silent",
        (Code::ReceiveDeleteNotify, _) => "the peer deleted what was up",
        (Code::DataPlaneFailed, _) => "our own data plane failed",
        (_, ike::Side::Local) => "we refused what the peer sent",
        (_, ike::Side::Remote) => "the peer refused what we sent",
    }
}
