//! The clock, the gateways, and everything in flight.

mod observe;
mod watch;

use ike::{Command, Connection, ConnectionKey, Datagram, SaReply, Time};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::audit::Audit;
use crate::data_plane::EspPacket;
use crate::network::Network;
use crate::{Gateway, Invariant, Link, Random, Side, Tally, Topology, Tunnel};
use observe::{describe, describe_command};

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
/// Between packets of the traffic that flows both ways, where a test does not say.
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
    /// Between packets of the traffic.
    pub traffic_pause: Duration,
    /// Print what happens: `SIM_TRACE=1 cargo test -p sim NAME -- --nocapture`.
    pub trace: bool,
    gateways: Vec<Gateway>,
    tunnels: Vec<Tunnel>,
    network: Network,
    /// Every datagram so far, with who it is for, as it would arrive.
    wire: Vec<(Side, Datagram)>,
    /// By time, then by order of sending.
    arrivals: BTreeMap<(Time, u64), (Side, Arrival)>,
    /// Control processes that will die with only so much of their next output done.
    dying: BTreeMap<Side, usize>,
    traffic_at: Option<Time>,
    steps: u64,
    scheduled: u64,
    random: Random,
    audit: Audit,
    tally: Tally,
}

impl World {
    /// All gateways configured; nothing has happened yet.
    pub fn new(topology: impl Into<Topology>, link: Link, seed: u64) -> Self {
        let now = Time::from_secs(1_000);
        let mut random = Random::new(seed);
        let Topology { config, gateways, tunnels, behind_nat } = topology.into();
        let mut network = Network::default();
        for (at, connections) in gateways.iter().enumerate() {
            for connection in connections {
                network.add(Side(at), connection.local, behind_nat.contains(&Side(at)));
            }
        }
        let gateway =
            |connections: Vec<Connection>| Gateway::new(config.clone(), connections, random.seed(), now);
        let gateways: Vec<_> = gateways.into_iter().map(gateway).collect();
        let mut world = Self {
            now,
            link,
            lost_packets: 0,
            delivered_packets: 0,
            traffic_pause: TRAFFIC_PAUSE,
            trace: std::env::var_os("SIM_TRACE").is_some(),
            gateways,
            tunnels,
            network,
            wire: Vec::new(),
            arrivals: BTreeMap::new(),
            dying: BTreeMap::new(),
            traffic_at: None,
            steps: 0,
            scheduled: 0,
            random,
            audit: Audit::default(),
            tally: Tally::default(),
        };
        world.sides().for_each(|side| world.flush(side));
        world
    }

    /// All gateways.
    pub fn sides(&self) -> impl Iterator<Item = Side> + use<> {
        (0..self.gateways.len()).map(Side)
    }

    /// One end.
    pub fn gateway(&self, side: Side) -> &Gateway {
        &self.gateways[side.0]
    }

    /// All tunnels.
    pub fn tunnels(&self) -> &[Tunnel] {
        &self.tunnels
    }

    /// How many things have happened.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Every datagram that was sent so far, with who it is for, as it would arrive.
    pub fn wire(&self) -> &[(Side, Datagram)] {
        &self.wire
    }

    /// The NAT in front of a gateway, if there is one, gives everything new ports.
    pub fn rebind_nat(&mut self, side: Side) {
        self.note(side, || "NAT rebinds".into());
        self.network.rebind(side);
    }

    /// Nothing gets to or from this gateway any more, or again everything does.
    pub fn cut_off(&mut self, side: Side, cut: bool) {
        self.note(side, || if cut { "cut off".into() } else { "connected".into() });
        if cut {
            self.network.cut_off.insert(side);
        } else {
            self.network.cut_off.remove(&side);
        }
    }

    /// The sequence numbers of every SA from now on end here; 0: not in a run.
    pub fn set_sequence_space(&mut self, packets: u64) {
        self.gateways.iter_mut().for_each(|g| g.data_plane.sequence_space = packets);
    }

    /// From now on a packet leaves each end of each tunnel every 100 ms; the network delays but never loses it.
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
        self.gateways[side.0].manager.handle_command(command, self.now);
        self.flush(side);
    }

    /// A side's document changed.
    pub fn configure(&mut self, side: Side, connection: Connection) {
        self.gateways[side.0].configure(connection, self.now);
        self.flush(side);
    }

    /// A connection is configured otherwise from now on.
    pub fn reconfigure(&mut self, side: Side, key: ConnectionKey, change: impl FnOnce(&mut Connection)) {
        self.note(side, || format!("another configuration of {key}"));
        self.gateways[side.0].reconfigure(key, change, self.now);
        self.flush(side);
    }

    /// The control process of one end dies and another takes over from its journal.
    pub fn restart(&mut self, side: Side) {
        self.note(side, || "restart".into());
        let seed = self.random.seed();
        self.gateways[side.0].restart(seed, self.now);
        self.flush(side);
    }

    /// The control process of one end dies the next time it has something to say, when only `done` of its
    /// commands and datagrams are out; another takes over from its journal.
    pub fn restart_amid(&mut self, side: Side, done: usize) {
        self.note(side, || format!("will die after {done} outputs"));
        self.dying.insert(side, done);
    }

    /// The same as `restart`, with an empty journal.
    pub fn restart_without_journal(&mut self, side: Side) {
        self.note(side, || "restart without journal".into());
        let seed = self.random.seed();
        self.gateways[side.0].restart_without_journal(seed, self.now);
        self.flush(side);
    }

    /// One end loses all its state, without a word to the other.
    pub fn crash(&mut self, side: Side) {
        self.note(side, || "power cut".into());
        let seed = self.random.seed();
        self.gateways[side.0].crash(seed, self.now);
        self.flush(side);
    }

    /// The data plane of one end loses its SAs; its control process notices.
    pub fn lose_data_plane(&mut self, side: Side) {
        let gateway = &mut self.gateways[side.0];
        gateway.data_plane.lose_everything();
        gateway.session += 1;
        self.command(side, Command::DataPlaneRestarted);
    }

    /// A datagram from somebody else.
    pub fn inject(&mut self, side: Side, datagram: Datagram) {
        self.gateways[side.0].manager.handle_message(datagram, self.now);
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
        for side in self.sides() {
            let manager = &mut self.gateways[side.0].manager;
            if manager.poll_timeout().is_some_and(|at| at <= self.now) {
                manager.handle_timeout(self.now);
                let advanced = manager.poll_timeout().is_none_or(|at| at > self.now);
                self.tally
                    .check(Invariant::TimersAdvance, advanced, || format!("{side:?} at {:?}", self.now));
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
        let gateway = &mut self.gateways[side.0];
        match arrival {
            Arrival::Ike(datagram) => gateway.manager.handle_message(datagram, self.now),
            Arrival::Reply(reply, session) if session == gateway.session => {
                gateway.manager.handle_sa_reply(reply, self.now);
            }
            Arrival::Reply(..) => {}
            Arrival::Esp(packet) => return self.receive(side, &packet),
        }
        self.flush(side);
    }

    fn receive(&mut self, side: Side, packet: &EspPacket) {
        let Some(news) = self.gateways[side.0].data_plane.receive(packet, self.now) else {
            self.lost_packets += 1;
            self.note(side, || format!("<- ESP that nothing opens: {packet:x?}"));
            let from = packet.sender();
            let is_of = |tunnel: &Tunnel, at: usize| tunnel.ends[at] == side && tunnel.keys[1 - at] == from;
            let tunnels = self.tunnels.iter().flat_map(|t| [(t, 0), (t, 1)]);
            let known = tunnels.filter(|(t, at)| is_of(t, *at)).map(|(t, at)| t.keys[at]).next();
            if let Some(key) = known.filter(|key| self.gateways[side.0].knows_address(*key)) {
                self.command(side, Command::UnknownSpi(key));
            }
            return;
        };
        self.delivered_packets += 1;
        for command in news {
            if let Command::HardLimit(_) = command {
                self.delivered_packets -= 1;
                self.lost_packets += 1;
            }
            self.command(side, command);
        }
    }

    fn send_traffic(&mut self) {
        self.traffic_at = Some(self.now + self.traffic_pause);
        for Tunnel { ends, keys } in self.tunnels.clone() {
            for at in [0, 1] {
                let (packet, news) = self.gateways[ends[at].0].data_plane.send(keys[at]);
                match packet {
                    Some(packet) => self.carry(ends[at], packet),
                    None => {
                        self.lost_packets += 1;
                        self.note(ends[at], || "no SA to send with".into());
                    }
                }
                if let Some(command) = news {
                    self.command(ends[at], command);
                }
            }
        }
    }

    /// A packet leaves for the address its SA names.
    fn carry(&mut self, from: Side, mut packet: EspPacket) {
        let there = std::net::SocketAddr::new(packet.to, 0);
        let (source, destination) = packet.udp.unwrap_or((there, there));
        let Some((side, source, destination)) = self.network.route(from, source, destination) else {
            self.lost_packets += 1;
            return;
        };
        if packet.udp.is_some() {
            packet.udp = Some((source, destination));
        }
        let delay = self.random.between(self.link.least_delay, self.link.most_delay);
        if self.network.connects(from, side) {
            self.schedule(delay, side, Arrival::Esp(Box::new(packet)));
        }
    }

    /// Does everything one end has to say.
    fn flush(&mut self, side: Side) {
        let mut output = self.gateways[side.0].drain(self.now);
        let amount = output.commands.len() + output.datagrams.len();
        let dies = self.dying.get(&side).copied().filter(|_| amount > 0);
        if let Some(done) = dies {
            output.commands.truncate(done);
            output.datagrams.truncate(done.saturating_sub(output.commands.len()));
        }
        let session = self.gateways[side.0].session;
        for command in output.commands {
            self.note(side, || describe_command(&command));
            let gateway = &mut self.gateways[side.0];
            if let Some(reply) = gateway.data_plane.execute(command, &mut self.random, self.now) {
                self.schedule(DATA_PLANE_DELAY, side, Arrival::Reply(reply, session));
            }
        }
        output.datagrams.into_iter().for_each(|sent| self.send(side, sent));
        if dies.is_some() {
            self.dying.remove(&side);
            self.restart(side);
        }
    }

    fn send(&mut self, from: Side, sent: Datagram) {
        self.note(from, || format!("-> {}", describe(&sent)));
        self.audit.sent(from, &sent);
        let Some((side, remote, local)) = self.network.route(from, sent.local, sent.remote) else { return };
        let arriving = Datagram { local, remote, ..sent };
        self.wire.push((side, arriving.clone()));
        for delay in self.link.deliveries(&mut self.random) {
            let mut arriving = arriving.clone();
            if self.random.chance(self.link.corrupt) {
                let at = self.random.below(arriving.payload.len() as u64);
                let at = usize::try_from(at).expect("a length");
                arriving.payload[at] ^= 1 << self.random.below(8);
            }
            if self.network.connects(from, side) {
                self.schedule(delay, side, Arrival::Ike(arriving));
            }
        }
    }

    fn schedule(&mut self, delay: Duration, side: Side, arrival: Arrival) {
        self.scheduled += 1;
        self.arrivals.insert((self.now + delay, self.scheduled), (side, arrival));
    }
}
