//! Two managers on a virtual clock, joined by a seeded network, each with a data plane that obeys.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ike::wire::TrafficSelector;
use ike::wire::iana::{EncrId, IntegId, KeId, PrfId};
use ike::*;

pub const A: usize = 0;
pub const B: usize = 1;
pub const KEY: ConnectionKey = ConnectionKey { connection: 1, tunnel: 7 };

pub fn ts(text: &str) -> TrafficSelector {
    let (addr, len) = text.split_once('/').expect("a network");
    TrafficSelector::from_network(addr.parse().expect("an address"), len.parse().expect("a length"))
        .expect("valid")
}

/// `aes128-sha1-modp1024`, the requirement's default.
pub fn ike_default() -> IkeProposal {
    IkeProposal {
        encryption: EncrId::AES_CBC,
        key_bits: 128,
        integrity: IntegId::HMAC_SHA1_96,
        prf: PrfId::HMAC_SHA1,
        group: KeId::MODP_1024,
    }
}

/// Quick to compute, for tests that are not about algorithms.
pub fn ike_quick() -> IkeProposal {
    IkeProposal {
        encryption: EncrId::AES_GCM_16,
        key_bits: 128,
        integrity: IntegId::NONE,
        prf: PrfId::HMAC_SHA2_256,
        group: KeId::CURVE25519,
    }
}

pub fn esp_quick() -> EspProposal {
    EspProposal {
        encryption: EncrId::AES_GCM_16,
        key_bits: 128,
        integrity: IntegId::NONE,
        group: Some(KeId::CURVE25519),
        esn: false,
    }
}

pub fn addr(side: usize) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, if side == A { 1 } else { 2 }).into()
}

pub fn connection(side: usize) -> Connection {
    let psk = Psk::new(&b"test-psk-0123456789"[..]);
    let nets = ["10.1.0.0/24", "10.2.0.0/24"];
    let child = ChildConfig::new(esp_quick(), [side, 1 - side].map(|side| ts(nets[side])));
    Connection {
        start: if side == A { Start::Immediate } else { Start::Respond },
        ..Connection::by_psk(KEY, "t", [side, 1 - side].map(addr), psk, ike_quick(), child)
    }
}

/// What the network does to each datagram, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Network {
    pub loss: u64,
    pub duplication: u64,
    /// Datagrams that take up to a second longer.
    pub delay: u64,
    /// A NAT in front of A: B sees this address and these ports plus one.
    pub nat: Option<IpAddr>,
    /// The longest datagram that arrives; of longer ones nobody hears.
    pub longest: Option<usize>,
}

/// A CHILD_SA in a data plane.
#[derive(Debug, Clone)]
pub struct Installed {
    pub sa: InstallChild,
    pub active: bool,
    pub order: u64,
}

#[derive(Debug)]
pub struct Gateway {
    pub manager: IkeManager,
    pub connection: Connection,
    pub journal: BTreeMap<IkeSaId, Vec<u8>>,
    pub children: BTreeMap<Spi, Installed>,
    pub reserved: Vec<Spi>,
    pub events: Vec<Event>,
    pub sent: u64,
    spi: Spi,
    /// Delays the data plane's answers.
    pub held: Option<Vec<SaReply>>,
    /// Carry on in a new process from the journal after every step.
    pub restart_always: bool,
    restarts: u8,
}

pub struct World {
    pub now: Time,
    pub sides: [Gateway; 2],
    pub network: Network,
    flying: BTreeMap<(Time, u64), (usize, Datagram)>,
    order: u64,
    random: u64,
    /// Every datagram as it left, with its sender.
    pub trace: Vec<(usize, Datagram)>,
}

pub fn side(side: usize, connection: Connection) -> Gateway {
    let mut manager =
        IkeManager::new(Config::default(), [u8::try_from(side).expect("small") + 1; 32], Time::default());
    manager.set_connection(connection.clone(), Time::default());
    Gateway {
        manager,
        connection,
        journal: BTreeMap::new(),
        children: BTreeMap::new(),
        reserved: Vec::new(),
        events: Vec::new(),
        sent: 0,
        spi: 0x1000_0000 * Spi::try_from(side + 1).expect("small"),
        held: None,
        restart_always: false,
        restarts: 0,
    }
}

impl Gateway {
    /// Dies, and comes back from its journal in a new process.
    pub fn restart(&mut self, now: Time) {
        self.restarts = self.restarts.wrapping_add(1);
        let mut manager = IkeManager::new(Config::default(), [self.restarts ^ 0x5a; 32], now);
        manager.set_connection(self.connection.clone(), now);
        for snapshot in self.journal.values() {
            manager.restore(snapshot, now).expect("a snapshot of our own");
        }
        self.reserved.retain(|spi| manager.spis().any(|known| known == *spi));
        self.manager = manager;
    }

    fn execute(&mut self, command: SaCommand, order: u64) -> Option<SaReply> {
        match command {
            SaCommand::ReserveSpi { request, .. } => {
                self.spi += 1;
                self.reserved.push(self.spi);
                Some(SaReply::SpiReserved { request, spi: self.spi })
            }
            SaCommand::ReleaseSpi { spi } => {
                self.reserved.retain(|s| *s != spi);
                None
            }
            SaCommand::InstallChild(sa) => {
                let (request, active) = (sa.request, sa.active);
                self.reserved.retain(|s| *s != sa.spi);
                self.children.entry(sa.spi).or_insert(Installed { sa: *sa, active, order });
                Some(SaReply::Installed { request })
            }
            SaCommand::ActivateOutbound { spi } => {
                self.children.get_mut(&spi).expect("an installed child").active = true;
                None
            }
            SaCommand::DeleteChild { spi, .. } => {
                self.children.remove(&spi);
                None
            }
            SaCommand::UpdateOuter { spi, outer } => {
                self.children.get_mut(&spi).expect("an installed child").sa.outer = outer;
                None
            }
        }
    }

    pub fn ike_sas(&self) -> Vec<IkeSaStatus> {
        self.manager.ike_sas().collect()
    }

    /// The one IKE SA.
    pub fn ike_sa(&self) -> IkeSaStatus {
        let sas = self.ike_sas();
        assert_eq!(sas.len(), 1, "{sas:#?}");
        sas.into_iter().next().expect("one")
    }

    /// The one child.
    pub fn child(&self) -> &Installed {
        assert_eq!(self.children.len(), 1, "{:#?}", self.children);
        self.children.values().next().expect("one")
    }

    pub fn failures(&self) -> Vec<&Diagnosis> {
        let failed = |e: &'_ Event| matches!(e, Event::Failed(_));
        self.events
            .iter()
            .filter(|e| failed(e))
            .filter_map(|e| if let Event::Failed(d) = e { Some(d) } else { None })
            .collect()
    }

    /// The child traffic would leave on.
    pub fn outbound(&self) -> Option<&Installed> {
        self.children.values().filter(|c| c.active).max_by_key(|c| c.order)
    }
}

impl World {
    pub fn new(a: Connection, b: Connection) -> Self {
        Self::seeded(a, b, 1, Network::default())
    }

    pub fn seeded(a: Connection, b: Connection, seed: u64, network: Network) -> Self {
        let sides = [side(A, a), side(B, b)];
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self {
            now: Time::default(),
            sides,
            network,
            flying: BTreeMap::new(),
            order: 0,
            random,
            trace: Vec::new(),
        }
    }

    fn percent(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % 100
    }

    pub fn command(&mut self, side: usize, command: Command) {
        self.sides[side].manager.handle_command(command, self.now);
        self.drain(side);
    }

    /// Takes out everything a manager wants done, in the documented order, until there is no more.
    pub fn drain(&mut self, at: usize) {
        loop {
            let before = (self.order, self.sides[at].events.len());
            let side = &mut self.sides[at];
            while let Some(record) = side.manager.poll_journal() {
                match record {
                    JournalRecord::Put { ike_sa, snapshot } => {
                        side.journal.insert(ike_sa, snapshot.to_vec());
                    }
                    JournalRecord::Remove { ike_sa } => {
                        side.journal.remove(&ike_sa);
                    }
                }
            }
            let mut replies = VecDeque::new();
            while let Some(command) = side.manager.poll_sa_command() {
                self.order += 1;
                replies.extend(side.execute(command, self.order));
            }
            while let Some(datagram) = self.sides[at].manager.poll_transmit() {
                self.sides[at].sent += 1;
                self.launch(at, datagram);
            }
            let side = &mut self.sides[at];
            side.events.extend(std::iter::from_fn(|| side.manager.poll_event()));
            let acted = (self.order, side.events.len()) != before;
            if acted && std::mem::take(&mut side.restart_always) {
                // Answers are lost with the process: the new one asks again, and dies once more after them.
                for _ in 0..2 {
                    self.sides[at].restart(self.now);
                    self.drain(at);
                }
                self.sides[at].restart_always = true;
                return;
            }
            if let Some(held) = &mut side.held {
                held.extend(replies.drain(..));
            }
            if replies.is_empty() {
                return;
            }
            replies.into_iter().for_each(|reply| side.manager.handle_sa_reply(reply, self.now));
        }
    }

    pub fn release_held(&mut self, at: usize) {
        for reply in self.sides[at].held.take().unwrap_or_default() {
            self.sides[at].manager.handle_sa_reply(reply, self.now);
        }
        self.drain(at);
    }

    fn launch(&mut self, from: usize, datagram: Datagram) {
        self.trace.push((from, datagram.clone()));
        let fits = self.network.longest.is_none_or(|longest| datagram.payload.len() <= longest);
        let copies = match self.percent() {
            _ if !fits => 0,
            p if p < self.network.loss => 0,
            p if p < self.network.loss + self.network.duplication => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let late = if self.percent() < self.network.delay { self.percent() * 10 } else { 0 };
            self.order += 1;
            let arrival = self.now + Duration::from_millis(10 + late);
            self.flying.insert((arrival, self.order), (1 - from, self.cross(from, &datagram)));
        }
    }

    /// The datagram as the other side sees it.
    fn cross(&self, from: usize, datagram: &Datagram) -> Datagram {
        let (mut local, mut remote) = (datagram.remote, datagram.local);
        if let Some(outside) = self.network.nat {
            if from == A {
                remote = SocketAddr::new(outside, remote.port() + 1);
            } else {
                local = SocketAddr::new(addr(A), local.port() - 1);
            }
        }
        Datagram { vrf: datagram.vrf, local, remote, payload: datagram.payload.clone() }
    }

    /// Until nothing happens any more, or `for_secs` have passed.
    pub fn run(&mut self, for_secs: u64) {
        self.run_for(Duration::from_secs(for_secs));
    }

    /// The same, to the millisecond.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        self.drain(A);
        self.drain(B);
        loop {
            let timers = self.sides.iter().filter_map(|s| s.manager.poll_timeout());
            let arrivals = self.flying.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.chain(arrivals).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            while let Some(first) = self.flying.first_entry().filter(|e| e.key().0 <= self.now) {
                let (to, datagram) = first.remove();
                self.sides[to].manager.handle_message(datagram, self.now);
                self.drain(to);
            }
            for at in [A, B] {
                if self.sides[at].manager.poll_timeout().is_some_and(|due| due <= self.now) {
                    self.sides[at].manager.handle_timeout(self.now);
                    self.drain(at);
                }
            }
        }
        self.now = end;
    }

    /// Both sides have one IKE SA and one child, with each other's keys, and can send.
    pub fn assert_up(&self) {
        let [a, b] = &self.sides;
        assert_eq!(a.ike_sa().initiator_spi, b.ike_sa().initiator_spi);
        assert_eq!(a.ike_sa().state, IkeState::Established);
        assert_eq!(b.ike_sa().state, IkeState::Established);
        let (ca, cb) = (a.child(), b.child());
        assert_eq!((ca.sa.spi, ca.sa.peer_spi), (cb.sa.peer_spi, cb.sa.spi));
        assert_eq!((&ca.sa.inbound, &ca.sa.outbound), (&cb.sa.outbound, &cb.sa.inbound));
        assert_eq!((&ca.sa.local_ts, &ca.sa.remote_ts), (&cb.sa.remote_ts, &cb.sa.local_ts));
        assert!(ca.active && cb.active);
        assert!(a.reserved.is_empty() && b.reserved.is_empty(), "{:?} {:?}", a.reserved, b.reserved);
        let listed = a.ike_sa().children;
        assert_eq!(
            listed.iter().map(|c| (c.spi, c.state)).collect::<Vec<_>>(),
            [(ca.sa.spi, ChildState::Installed)]
        );
    }
}

/// A world whose tunnel has just come up.
pub fn up() -> World {
    let mut world = World::new(connection(A), connection(B));
    world.run(2);
    world.assert_up();
    world
}

/// The inbound SPI of the only child of a side.
pub fn spi(world: &World, side: usize) -> Spi {
    world.sides[side].child().sa.spi
}
