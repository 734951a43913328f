//! Probes of each tunnel's path MTU: which tunnel, with which SA, from which address; what is done with what they find.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use packet::esp::EspLayout;
use packet::flow::Flow;
use packet::path_mtu::{self, Answer, Arrived, Ask, Echo, Limit, Probe, Prober, Sizes, State, Status};
use packet::sad::Child;
use packet::tables::{PathMtu, Role, Tunnel};
use packet::{Spi, TunnelId, VrfId};
use shm::message as contract;
use shm::message::{PathFound, PathLimit, PathRecord, PathState};

use super::environment::Environment;
use super::figures::AgentFigure;
use super::path_mtu::Peer;
use super::{Agent, TokenBucket};
use crate::shared::{AgentWork, Tables};

/// Between looks at what is to be sent.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);
/// Probes per second over all tunnels; one that has none left waits, and what it has found stays.
const RATE: u32 = 500;
const BURST: u32 = 100;

/// The tunnels that are probed.
#[derive(Debug)]
pub(super) struct Probing {
    tunnels: BTreeMap<TunnelId, Probed>,
    budget: TokenBucket,
    /// The version of the tables that `tunnels` is made of.
    reviewed: u64,
}

#[derive(Debug)]
struct Probed {
    way: Way,
    echo: Echo,
    prober: Prober,
    /// A router said why larger packets do not pass.
    told: bool,
    /// What the tables are to go by, once the outbound search was complete.
    bound: Option<PathMtu>,
    /// As control knows it.
    record: PathRecord,
    /// As the log has it.
    logged: PathRecord,
}

/// By which SA probes go, and from where to where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Way {
    spi: Spi,
    peer: Peer,
    layout: EspLayout,
    source: IpAddr,
    target: IpAddr,
    sizes: Sizes,
}

impl Way {
    /// True if what was found by the other way holds for this one.
    fn is_like(&self, other: &Self) -> bool {
        Self { spi: other.spi, ..*self } == *other
    }
}

impl Probing {
    pub(super) fn new(now: Duration) -> Self {
        Self { tunnels: BTreeMap::new(), budget: TokenBucket::new(RATE, BURST, now), reviewed: 0 }
    }

    /// What is known of a tunnel's path.
    pub(super) fn record(&self, tunnel: &Tunnel) -> PathRecord {
        match (tunnel.probe, self.tunnels.get(&tunnel.id)) {
            (None, _) => unprobed(PathState::Off),
            (Some(_), None) => unprobed(PathState::Waiting),
            (Some(_), Some(probed)) => probed.record,
        }
    }
}

impl<E: Environment> Agent<E> {
    /// Sends the probes that are due.
    pub(super) fn run_probes(&mut self, now: Duration) {
        let mut tunnels = std::mem::take(&mut self.probing.tunnels);
        let mut bounds = BTreeMap::<Peer, PathMtu>::new();
        for (id, probed) in &mut tunnels {
            while self.probing.budget.take(now) {
                let Some(probe) = probed.prober.poll(now) else { break };
                self.send_probe(probed, probe);
            }
            self.take_findings(*id, probed);
            // Tunnels with the same peer share its path.
            if let Some(bound) = probed.bound {
                bounds
                    .entry(probed.way.peer)
                    .and_modify(|other| *other = smaller(*other, bound))
                    .or_insert(bound);
            }
        }
        self.probing.tunnels = tunnels;
        for (peer, bound) in bounds {
            self.put_probed_mtu(peer, Some(bound));
        }
    }

    /// Begins and ends probing as tunnels, SAs and links come and go.
    pub(super) fn review_probes(&mut self) {
        if std::mem::replace(&mut self.probing.reviewed, self.tables.version()) == self.tables.version() {
            return;
        }
        let mut old = std::mem::take(&mut self.probing.tunnels);
        let tunnels: Vec<_> =
            self.tables.tunnels().filter_map(|tunnel| Some((*tunnel, tunnel.probe?))).collect();
        let own = if tunnels.is_empty() { OwnAddresses::default() } else { OwnAddresses::of(&self.tables) };
        for (tunnel, target) in tunnels {
            let Some(way) = self.way(&tunnel, target, &own) else { continue };
            let probed = match old.remove(&tunnel.id) {
                Some(probed) if probed.way.is_like(&way) => Probed { way, ..probed },
                // Another SA, link or address: everything may be different.
                _ => self.begin(way),
            };
            self.probing.tunnels.insert(tunnel.id, probed);
        }
        let probed_still: BTreeSet<Peer> = match old.is_empty() {
            true => BTreeSet::new(),
            false => self.probing.tunnels.values().map(|probed| probed.way.peer).collect(),
        };
        for (id, ended) in old {
            if !probed_still.contains(&ended.way.peer) {
                self.put_probed_mtu(ended.way.peer, None);
            }
            let state = self.tables.tunnel(id).map_or(PathState::Off, |t| self.probing.record(t).state);
            self.tell_path(id, unprobed(state));
        }
    }

    fn begin(&mut self, way: Way) -> Probed {
        let [a, b, c] = std::array::from_fn(|_| self.environment.random());
        let nonce = u64::from(a) << 32 | u64::from(b);
        let [x, y, ..] = c.to_be_bytes();
        let identifier = u16::from_be_bytes([x, y]);
        let echo = Echo { source: way.source, target: way.target, identifier, nonce };
        let record = unprobed(PathState::Waiting);
        Probed { way, echo, prober: Prober::new(way.sizes), told: false, bound: None, record, logged: record }
    }

    /// The newest SA of the tunnel that carries echo requests from an address of ours to the target.
    fn way(&self, tunnel: &Tunnel, target: IpAddr, own: &OwnAddresses) -> Option<Way> {
        let sources = own.towards(&self.tables, tunnel.inner_vrf, target);
        let children = self.tables.children(tunnel.id).iter().filter_map(|spi| self.tables.child(*spi));
        let (child, source) = children
            .flat_map(|child| sources.iter().map(move |own| (child, *own)))
            .find(|(child, source)| carries(child, *source, target))?;
        let Child { entry, template, .. } = child;
        let endpoints = &template.endpoints;
        let mtu = self.tables.link_mtu(endpoints);
        let sizes = Sizes::new(&template.layout, endpoints.local.is_ipv4(), mtu);
        let peer = (endpoints.vrf, endpoints.remote);
        Some(Way { spi: entry.spi, peer, layout: template.layout, source, target, sizes })
    }

    fn send_probe(&mut self, probed: &Probed, probe: Probe) {
        let Probed { way, echo, prober, .. } = probed;
        let inner = |outer: u16| usize::from(way.layout.inner_mtu(outer));
        let packets = match probe.ask {
            Ask::Alive => echo.request(probe.sequence, 0).map(|packet| vec![packet]),
            Ask::Outbound { size, filling } => {
                let len = if filling == path_mtu::Filling::Data { inner(size) } else { 0 };
                echo.request(probe.sequence, len).map(|mut packet| {
                    packet.resize(inner(size).max(packet.len()), 0);
                    vec![packet]
                })
            }
            Ask::Inbound { size } => {
                let passes = prober.status().outbound.size.max(way.sizes.least());
                echo.fragments(probe.sequence, inner(size), inner(passes))
            }
        };
        for packet in packets.unwrap_or_default() {
            if self.send(&packet, AgentWork::Probe { spi: way.spi }) {
                self.figures().add(AgentFigure::PathProbes, 1);
            }
        }
    }

    /// The target of a tunnel's probes answered somebody.
    pub(super) fn take_echo_answer(
        &mut self,
        tunnel: TunnelId,
        answer: &Answer,
        arrived: Arrived,
        now: Duration,
    ) {
        let Some(probed) = self.probing.tunnels.get_mut(&tunnel) else { return };
        if probed.echo.is_answered_by(answer) {
            probed.prober.handle_answer(answer.sequence, arrived, now);
        }
    }

    /// True if the packet answers a probe: no program waits for it.
    pub(super) fn is_probe_answer(&self, packet: &[u8]) -> bool {
        if self.probing.tunnels.is_empty() {
            return false;
        }
        let answer = Flow::parse(packet).ok().and_then(|flow| path_mtu::answer(packet, &flow));
        let of =
            |answer: Answer| self.probing.tunnels.values().any(|probed| probed.echo.is_answered_by(&answer));
        answer.is_some_and(of)
    }

    /// A router on the way to a peer said that packets above `mtu` bytes do not pass.
    pub(super) fn probe_after_too_big(&mut self, peer: Peer, mtu: u16) {
        for probed in self.probing.tunnels.values_mut().filter(|probed| probed.way.peer == peer) {
            probed.told = true;
            probed.prober.handle_too_big(mtu);
        }
    }

    /// Puts what is new to use, and tells control.
    fn take_findings(&mut self, id: TunnelId, probed: &mut Probed) {
        let status = probed.prober.status();
        let complete = status.state == State::Complete;
        probed.told |= self.path_mtus.was_told(probed.way.peer);
        let record = record_of(&status, probed.told);
        if status.outbound.size != 0 {
            probed.bound = Some(bound(&status));
        }
        if record == probed.record {
            return;
        }
        probed.record = record;
        if complete {
            let before = std::mem::replace(&mut probed.logged, record);
            log_path(id, &before, &record, probed.way.peer);
            probed.told &= record.outbound.limit == PathLimit::Router;
        }
        self.tell_path(id, record);
    }

    fn tell_path(&mut self, tunnel: TunnelId, path: PathRecord) {
        self.control.event(PathFound { tunnel: contract::TunnelId(tunnel.0), path });
    }
}

/// Addresses of interfaces by VRF: those of inside ones, then those of outside ones.
#[derive(Debug, Default)]
struct OwnAddresses(BTreeMap<VrfId, [Vec<IpAddr>; 2]>);

impl OwnAddresses {
    fn of(tables: &Tables) -> Self {
        let mut own = BTreeMap::<_, [Vec<IpAddr>; 2]>::new();
        for interface in tables.interfaces() {
            let [inside, outside] = own.entry(interface.vrf).or_default();
            let of_role = if interface.role == Role::Inside { inside } else { outside };
            of_role.extend(interface.addresses.iter().map(|own| own.address));
        }
        Self(own)
    }

    /// Those that may be the source of what is for `target`: host addresses first, which are meant for tunnels.
    fn towards(&self, tables: &Tables, vrf: VrfId, target: IpAddr) -> Vec<IpAddr> {
        let hosts = tables.vrf(vrf).map_or(&[][..], |vrf| vrf.hosts());
        let of_interfaces = self.0.get(&vrf).into_iter().flatten().flatten();
        let all = hosts.iter().map(|own| own.address).chain(of_interfaces.copied());
        all.filter(|own| own.is_ipv4() == target.is_ipv4()).collect()
    }
}

/// True if the SA's selectors cover an echo request, and so its fragments.
fn carries(child: &Child<'_, crypto::Key>, source: IpAddr, target: IpAddr) -> bool {
    let echo = Echo { source, target, identifier: 0, nonce: 0 };
    let request = echo.request(0, 0).and_then(|packet| Flow::parse(&packet).ok());
    request.is_some_and(|flow| child.entry.selectors.iter().any(|pair| pair.matches_outbound(&flow)))
}

/// What the tables are to go by. What the peer sends for reasons of its own says nothing about the path.
fn bound(status: &Status) -> PathMtu {
    let by = |reach: path_mtu::Reach| match reach.limit {
        Limit::Link | Limit::Sender => u16::MAX,
        Limit::Vanish | Limit::Fragmented => reach.size,
    };
    PathMtu { outbound: by(status.outbound), inbound: by(status.inbound) }
}

fn smaller(a: PathMtu, b: PathMtu) -> PathMtu {
    PathMtu { outbound: a.outbound.min(b.outbound), inbound: a.inbound.min(b.inbound) }
}

fn unprobed(state: PathState) -> PathRecord {
    let nothing = contract::Reach { size: 0, limit: PathLimit::Link };
    PathRecord { state, outbound: nothing, inbound: nothing }
}

fn record_of(status: &Status, told: bool) -> PathRecord {
    let reach = |reach: path_mtu::Reach, told: bool| contract::Reach {
        size: reach.size,
        limit: match reach.limit {
            Limit::Link => PathLimit::Link,
            Limit::Vanish if told => PathLimit::Router,
            Limit::Vanish => PathLimit::BlackHole,
            Limit::Fragmented => PathLimit::Fragmented,
            Limit::Sender => PathLimit::Sender,
        },
    };
    let state = match status.state {
        State::Silent => PathState::Silent,
        State::Searching => PathState::Searching,
        State::Complete => PathState::Complete,
        State::Stuck => PathState::Stuck,
    };
    PathRecord { state, outbound: reach(status.outbound, told), inbound: reach(status.inbound, false) }
}

/// Says what is new of a path; a black hole once.
fn log_path(tunnel: TunnelId, before: &PathRecord, now: &PathRecord, (vrf, remote): Peer) {
    for (direction, before, now) in
        [("outbound", before.outbound, now.outbound), ("inbound", before.inbound, now.inbound)]
    {
        if before == now {
            continue;
        }
        let (tunnel, vrf, mtu) = (tunnel.0, vrf.0, now.size);
        if now.limit == PathLimit::BlackHole {
            tracing::warn!(tunnel, %remote, vrf, direction, mtu, "black hole: larger packets vanish, and no ICMP says so");
        } else {
            tracing::info!(tunnel, %remote, vrf, direction, mtu, limit = ?now.limit, "path MTU");
        }
    }
}
