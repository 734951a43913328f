//! The clock, both gateways, and everything in flight.

use ike::wire::Header;
use ike::{
    ChildSaStatus, ChildState, Command, Connection, Datagram, Event, IkeSaStatus, IkeState, SaCommand,
    SaReply, Spi, Time,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::audit::Audit;
use crate::data_plane::EspPacket;
use crate::nat::Nat;
use crate::{Gateway, Link, Random, Scenario};

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first connection of the scenario.
    A,
    /// The second.
    B,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other end.
    pub fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Something that will arrive.
#[derive(Debug)]
enum Arrival {
    Ike(Datagram),
    Esp(Box<EspPacket>),
    /// From the data plane, in a session with the process that asked.
    Reply(SaReply, u32),
}

/// How long the data plane takes to answer.
const DATA_PLANE_DELAY: Duration = Duration::from_millis(3);
/// Between packets of the traffic that flows both ways.
const TRAFFIC_PAUSE: Duration = Duration::from_millis(100);
/// More steps than any test needs: a run that does not end fails.
const MAX_STEPS: u64 = 2_000_000;

/// The simulation.
#[derive(Debug)]
pub struct World {
    /// Virtual time.
    pub now: Time,
    /// The network.
    pub link: Link,
    /// Packets sent while no SA could send them, or that no SA at the other end opened.
    pub lost_packets: u64,
    /// Packets that arrived.
    pub delivered_packets: u64,
    gateways: [Gateway; 2],
    nat: Option<Nat>,
    /// Every datagram so far, with who it is for, as it would arrive.
    wire: Vec<(Side, Datagram)>,
    /// By time, then by order of sending.
    arrivals: BTreeMap<(Time, u64), (Side, Arrival)>,
    traffic_at: Option<Time>,
    steps: u64,
    scheduled: u64,
    random: Random,
    audit: Audit,
    /// Print what happens: `SIM_TRACE=1 cargo test -p sim NAME -- --nocapture`.
    trace: bool,
}

impl World {
    /// Both ends configured; nothing has happened yet.
    pub fn new(scenario: Scenario, link: Link, seed: u64) -> Self {
        let now = Time::from_secs(1_000);
        let mut random = Random::new(seed);
        let Scenario { config, connections, .. } = scenario;
        let gateways =
            connections.map(|connection| Gateway::new(config.clone(), connection, random.seed(), now));
        let mut world = Self {
            now,
            link,
            lost_packets: 0,
            delivered_packets: 0,
            gateways,
            nat: scenario.nat.map(Nat::new),
            wire: Vec::new(),
            arrivals: BTreeMap::new(),
            traffic_at: None,
            steps: 0,
            scheduled: 0,
            random,
            audit: Audit::default(),
            trace: std::env::var_os("SIM_TRACE").is_some(),
        };
        Side::BOTH.into_iter().for_each(|side| world.flush(side));
        world
    }

    /// One end.
    pub fn gateway(&self, side: Side) -> &Gateway {
        &self.gateways[side as usize]
    }

    /// How many things have happened.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Every datagram that was sent so far, with who it is for, as it would arrive.
    pub fn wire(&self) -> &[(Side, Datagram)] {
        &self.wire
    }

    /// The NAT, if there is one, gives everything new ports.
    pub fn rebind_nat(&mut self) {
        if let Some(nat) = &mut self.nat {
            nat.rebind();
        }
    }

    /// From now on a packet leaves each side every 100 ms; the network delays but never loses it.
    pub fn start_traffic(&mut self) {
        self.traffic_at = Some(self.now);
    }

    /// No more packets.
    pub fn stop_traffic(&mut self) {
        self.traffic_at = None;
    }

    /// Somebody wants something of one end.
    pub fn command(&mut self, side: Side, command: Command) {
        self.note(side, || format!("{command:x?}"));
        self.gateways[side as usize].manager.handle_command(command, self.now);
        self.flush(side);
    }

    /// A side's document changed.
    pub fn configure(&mut self, side: Side, connection: Connection) {
        self.gateways[side as usize].configure(connection, self.now);
        self.flush(side);
    }

    /// The control process of one end dies and another takes over from its journal.
    pub fn restart(&mut self, side: Side) {
        self.note(side, || "restart".into());
        let seed = self.random.seed();
        self.gateways[side as usize].restart(seed, self.now);
        self.flush(side);
    }

    /// One end loses all its state, without a word to the other.
    pub fn crash(&mut self, side: Side) {
        let seed = self.random.seed();
        self.gateways[side as usize].crash(seed, self.now);
        self.flush(side);
    }

    /// The data plane of one end loses its SAs; its control process notices.
    pub fn lose_data_plane(&mut self, side: Side) {
        let gateway = &mut self.gateways[side as usize];
        gateway.data_plane.lose_everything();
        gateway.session += 1;
        self.command(side, Command::DataPlaneRestarted);
    }

    /// A datagram from somebody else.
    pub fn inject(&mut self, side: Side, datagram: Datagram) {
        self.gateways[side as usize].manager.handle_message(datagram, self.now);
        self.flush(side);
    }

    /// The next thing happens; false when nothing is left to happen before `limit`.
    pub fn step(&mut self, limit: Time) -> bool {
        let Some(next) = self.next_time().filter(|next| *next <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.steps += 1;
        assert!(self.steps < MAX_STEPS, "the simulation does not come to rest");
        self.now = self.now.max(next);
        if let Some(entry) = self.arrivals.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (side, arrival) = entry.remove();
            self.arrive(side, arrival);
        } else if self.traffic_at.is_some_and(|at| at <= self.now) {
            self.send_traffic();
        } else {
            self.time_out();
        }
        true
    }

    /// Runs until `done`, at most for `limit`; tells whether it came to that.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                return done(self);
            }
        }
    }

    /// Runs for a time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn next_time(&self) -> Option<Time> {
        let arrival = self.arrivals.first_key_value().map(|((at, _), _)| *at);
        let timeouts = self.gateways.iter().filter_map(|gateway| gateway.manager.poll_timeout());
        arrival.into_iter().chain(self.traffic_at).chain(timeouts).min()
    }

    fn time_out(&mut self) {
        for side in Side::BOTH {
            let manager = &mut self.gateways[side as usize].manager;
            if manager.poll_timeout().is_some_and(|at| at <= self.now) {
                manager.handle_timeout(self.now);
                let next = manager.poll_timeout();
                assert!(next.is_none_or(|at| at > self.now), "a timer that was handled is due again");
                self.flush(side);
            }
        }
    }

    fn note(&self, side: Side, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:10.3} #{} {side:?} {}", self.now.0.as_secs_f64(), self.steps, what());
        }
    }

    fn arrive(&mut self, side: Side, arrival: Arrival) {
        match &arrival {
            Arrival::Ike(datagram) => self.note(side, || format!("<- {}", describe(datagram))),
            Arrival::Reply(reply, _) => self.note(side, || format!("{reply:x?}")),
            Arrival::Esp(_) => {}
        }
        let gateway = &mut self.gateways[side as usize];
        match arrival {
            Arrival::Ike(datagram) => gateway.manager.handle_message(datagram, self.now),
            Arrival::Reply(reply, session) if session == gateway.session => {
                gateway.manager.handle_sa_reply(reply, self.now);
            }
            Arrival::Reply(..) => {}
            Arrival::Esp(packet) => match gateway.data_plane.receive(&packet, self.now) {
                Some(opened) => {
                    self.delivered_packets += 1;
                    let spi = opened.spi;
                    if opened.first {
                        gateway.manager.handle_command(Command::FirstUse(spi), self.now);
                    }
                    if let Some(remote) = opened.moved {
                        gateway.manager.handle_command(Command::PeerMoved { spi, remote }, self.now);
                    }
                }
                None => self.lost_packets += 1,
            },
        }
        self.flush(side);
    }

    fn send_traffic(&mut self) {
        self.traffic_at = Some(self.now + TRAFFIC_PAUSE);
        for side in Side::BOTH {
            match self.gateways[side as usize].data_plane.send() {
                Some(mut packet) => {
                    if let Some((source, destination)) = packet.udp {
                        let Some(path) = self.translate(side, source, destination) else {
                            self.lost_packets += 1;
                            continue;
                        };
                        packet.udp = Some(path);
                    }
                    let delay = self.random.between(self.link.least_delay, self.link.most_delay);
                    self.schedule(delay, side.peer(), Arrival::Esp(Box::new(packet)));
                }
                None => self.lost_packets += 1,
            }
        }
    }

    /// Does everything one end has to say.
    fn flush(&mut self, side: Side) {
        let gateway = &mut self.gateways[side as usize];
        let session = gateway.session;
        let output = gateway.drain();
        for command in output.commands {
            self.note(side, || describe_command(&command));
            let gateway = &mut self.gateways[side as usize];
            if let Some(reply) = gateway.data_plane.execute(command, &mut self.random, self.now) {
                self.schedule(DATA_PLANE_DELAY, side, Arrival::Reply(reply, session));
            }
        }
        for sent in output.datagrams {
            self.note(side, || format!("-> {}", describe(&sent)));
            self.audit.sent(side as usize, &sent);
            let Some((source, destination)) = self.translate(side, sent.local, sent.remote) else { continue };
            let arriving = Datagram { local: destination, remote: source, ..sent };
            self.wire.push((side.peer(), arriving.clone()));
            for delay in self.link.deliveries(&mut self.random) {
                let mut arriving = arriving.clone();
                if self.random.chance(self.link.corrupt) {
                    let at = self.random.below(arriving.payload.len() as u64);
                    let at = usize::try_from(at).expect("a length");
                    arriving.payload[at] ^= 1 << self.random.below(8);
                }
                self.schedule(delay, side.peer(), Arrival::Ike(arriving));
            }
        }
    }

    /// Source and destination as the other end sees them; `None` if they lead nowhere.
    fn translate(
        &mut self,
        from: Side,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Option<(SocketAddr, SocketAddr)> {
        match &mut self.nat {
            Some(nat) if nat.inside == from => Some((nat.outbound(source), destination)),
            Some(nat) => Some((source, nat.inbound(destination)?)),
            None => Some((source, destination)),
        }
    }

    fn schedule(&mut self, delay: Duration, side: Side, arrival: Arrival) {
        self.scheduled += 1;
        self.arrivals.insert((self.now + delay, self.scheduled), (side, arrival));
    }

    /// Both ends' only IKE SA, if each has exactly one, established, and they are the same.
    pub fn ike_pair(&self) -> Option<[IkeSaStatus; 2]> {
        let [a, b] = Side::BOTH.map(|side| self.gateway(side).ike_sas());
        let ([a], [b]) = (&a[..], &b[..]) else { return None };
        let established = a.state == IkeState::Established && b.state == IkeState::Established;
        let same = (a.initiator_spi, a.responder_spi) == (b.initiator_spi, b.responder_spi);
        (established && same && a.initiator != b.initiator).then(|| [a.clone(), b.clone()])
    }

    /// Both ends' children in the same order, if they mirror each other, are installed and send.
    pub fn child_pairs(&self) -> Option<Vec<[ChildSaStatus; 2]>> {
        let [a, b] = self.ike_pair()?;
        let pair = |ours: ChildSaStatus| {
            let theirs = b.children.iter().find(|c| c.spi == ours.peer_spi && c.peer_spi == ours.spi)?;
            let ready = |child: &ChildSaStatus| child.active && child.state == ChildState::Installed;
            (ready(&ours) && ready(theirs)).then(|| [ours, theirs.clone()])
        };
        let pairs: Option<Vec<_>> = a.children.into_iter().map(pair).collect();
        pairs.filter(|pairs| pairs.len() == b.children.len())
    }

    /// Whether both ends have one IKE SA, `children` CHILD_SAs, and nothing left over anywhere.
    pub fn is_settled(&self, children: usize) -> bool {
        let Some(pairs) = self.child_pairs() else { return false };
        let clean = Side::BOTH.into_iter().enumerate().all(|(at, side)| {
            let data_plane = &self.gateway(side).data_plane;
            let spis: Vec<Spi> = data_plane.live().into_keys().collect();
            let mut known: Vec<Spi> = pairs.iter().map(|pair| pair[at].spi).collect();
            known.sort_unstable();
            spis == known && data_plane.reserved().is_empty() && self.gateway(side).journaled() == 1
        });
        clean && pairs.len() == children
    }

    /// Runs until [`World::is_settled`] with one child; the run fails after `limit`.
    pub fn settle(&mut self, limit: Duration) {
        if !self.run_until(limit, |world| world.is_settled(1)) {
            panic!("not settled after {limit:?}:\n{}", self.report());
        }
    }

    /// What there is at both ends, for a failing test.
    pub fn report(&self) -> String {
        let side = |side: Side| {
            let gateway = self.gateway(side);
            let live: Vec<Spi> = gateway.data_plane.live().into_keys().collect();
            format!(
                "{side:?}: {:#?}\nlive {live:08x?} reserved {:08x?} journal {} {:?}\n{:#?}\n",
                gateway.ike_sas(),
                gateway.data_plane.reserved(),
                gateway.journaled(),
                gateway.manager.counters(),
                gateway.events,
            )
        };
        format!("at {:?}, step {}\n{}{}", self.now, self.steps, side(Side::A), side(Side::B))
    }

    /// Events of one end that `select` picks.
    pub fn count_events(&self, side: Side, select: impl Fn(&Event) -> bool) -> usize {
        self.gateway(side).events.iter().filter(|event| select(event)).count()
    }
}

fn describe(datagram: &Datagram) -> String {
    let Ok((header, _)) = Header::decode(&datagram.payload) else { return "?".into() };
    let kind = if header.flags.response { "response" } else { "request" };
    let Header { exchange, message_id, initiator_spi, .. } = header;
    format!("{exchange} {kind} {message_id} of {initiator_spi}, {} bytes", datagram.payload.len())
}

fn describe_command(command: &SaCommand) -> String {
    match command {
        SaCommand::InstallChild(child) => format!(
            "InstallChild {:08x} peer {:08x} active {} replaces {:08x?}",
            child.spi, child.peer_spi, child.active, child.replaces
        ),
        other => format!("{other:x?}"),
    }
}
