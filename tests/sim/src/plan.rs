//! What happens in a run, drawn from its seed.

use ike::wire::iana::KeId;
use ike::{Config, Connection, Identity, IkeProposal, Start};
use std::fmt;
use std::time::Duration;

use crate::{Link, Random, Scenario, Side, Topology};

/// What may happen in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    /// Rekeys from both ends and restarts with the journal, on a network that delays and repeats: no packet
    /// may be lost at any moment.
    Gentle,
    /// The same on a network that loses IKE messages too, with peers that are patient: nor here.
    Lossy,
    /// Everything: the tunnels come back once it is over.
    Rough,
}

impl Temper {
    /// Where messages are lost a rekey may take minutes: so many times as much is left behind a soft limit.
    fn ample(self) -> u64 {
        if self == Self::Lossy { 5 } else { 1 }
    }
}

/// What is wanted of one end of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    RekeyChild,
    RekeyIke,
    SoftLimit,
    DeleteChild,
    DeleteIke,
    Down,
    /// Down, and up again at once.
    Reset,
    Initiate,
    /// A change that takes effect at once.
    Retune,
    /// A change that needs new SAs.
    Reconfigure,
}

/// Something that is done to the world.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// At the end `end` (0 or 1) of a tunnel.
    Wish {
        tunnel: usize,
        end: usize,
        wish: Wish,
    },
    /// The control process is replaced.
    Restart(Side),
    /// It is replaced amid its next output, when so much of it is out.
    RestartAmid(Side, usize),
    RestartWithoutJournal(Side),
    PowerCut(Side),
    LoseDataPlane(Side),
    Rebind(Side),
    CutOff(Side),
    Connect(Side),
    Link(Link),
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub temper: Temper,
    pub topology: Topology,
    pub link: Link,
    /// Between packets.
    pub traffic_pause: Duration,
    /// Of every SA; 0: more than the run uses.
    pub sequence_space: u64,
    /// What happens, counted from when the tunnels are up, or from the beginning of a rough run.
    pub actions: Vec<(Duration, Action)>,
    /// How long it goes on undisturbed afterwards.
    pub calm: Duration,
    /// Within which every tunnel is back after the last disturbance.
    pub bound: Duration,
}

impl Plan {
    /// The run of a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x05ee_d0fa_91a4);
        let temper = match random.below(10) {
            0..3 => Temper::Gentle,
            3..5 => Temper::Lossy,
            _ => Temper::Rough,
        };
        let spokes = *random.pick(&[1, 1, 1, 1, 2, 2, 3, 6]);
        let mut config = Config::default();
        if temper == Temper::Lossy {
            config.retransmit.tries = 40;
        }
        let mut spokes: Vec<_> = (0..spokes).map(|at| spoke(at, temper, &mut random)).collect();
        reauthenticate(&mut spokes, seed);
        let topology = Topology::star(config, spokes);
        let link = link(temper, &mut random);
        let sequence_space = if random.chance(20) { temper.ample() * (420 + random.below(200)) } else { 0 };
        let mut plan = Self {
            temper,
            link,
            traffic_pause: Duration::from_millis(200 + random.below(800)),
            sequence_space,
            actions: Vec::new(),
            calm: Duration::from_secs(20 + random.below(60)),
            bound: bound(&topology),
            topology,
        };
        plan.draw_actions(&mut random);
        plan
    }

    fn draw_actions(&mut self, random: &mut Random) {
        let mut at = Duration::ZERO;
        for _ in 0..3 + random.below(8) {
            // Some come close upon each other, so that exchanges collide; some when all is quiet.
            let most = *random.pick(&[200, 2_000, 20_000, 60_000]);
            at += Duration::from_millis(random.below(most));
            if self.temper == Temper::Rough && random.chance(60) {
                self.draw_fault(at, random);
            } else {
                self.draw_wishes(at, random);
            }
        }
        self.actions.sort_by_key(|(at, _)| *at);
    }

    /// Up to four wishes about one tunnel, within the time that exchanges need.
    fn draw_wishes(&mut self, at: Duration, random: &mut Random) {
        use Wish::{
            DeleteChild, DeleteIke, Down, Initiate, Reconfigure, RekeyChild, RekeyIke, Reset, Retune,
        };
        let tunnel = random.index(self.topology.tunnels.len());
        let gentle = [RekeyChild, RekeyChild, RekeyIke, RekeyIke, Wish::SoftLimit, Retune];
        let rough = [DeleteChild, DeleteIke, Down, Reset, Initiate, Reconfigure];
        for _ in 0..1 + random.below(4) {
            let wishes = if self.temper == Temper::Rough && random.chance(40) { &rough } else { &gentle };
            let wish = *random.pick(wishes);
            let at = at + Duration::from_millis(random.below(*random.clone().pick(&[1, 20, 60, 400])));
            let end = random.index(2);
            self.actions.push((at, Action::Wish { tunnel, end, wish }));
            if random.chance(20) {
                let side = self.topology.tunnels[tunnel].ends[random.index(2)];
                self.actions.push((at, Action::RestartAmid(side, random.index(4))));
            }
        }
    }

    fn draw_fault(&mut self, at: Duration, random: &mut Random) {
        let side = Side(random.index(self.topology.gateways.len()));
        let action = match random.below(9) {
            0 => Action::Restart(side),
            1 => Action::RestartAmid(side, random.index(4)),
            2 => Action::RestartWithoutJournal(side),
            3 => Action::PowerCut(side),
            4 => Action::LoseDataPlane(side),
            5 | 6 => Action::Rebind(side),
            7 => Action::Link(link(Temper::Rough, random)),
            _ => {
                let end = at + Duration::from_millis(random.below(*random.clone().pick(&[2_000, 90_000])));
                self.actions.push((end, Action::Connect(side)));
                Action::CutOff(side)
            }
        };
        self.actions.push((at, action));
    }
}

/// A tunnel between the hub (the scenario's A) and a spoke.
fn spoke(at: u8, temper: Temper, random: &mut Random) -> Scenario {
    let mut scenario = match random.below(20) {
        0 => Scenario::classic(),
        1 | 2 => Scenario::modern().both(|c| c.child.proposals[0].group = None),
        3 => Scenario::modern().both(two_groups),
        _ => Scenario::modern(),
    }
    .numbered(at);
    if random.chance(5) {
        // The guess at the first group is wrong, here or in rekeys.
        scenario.connections[random.index(2)].ike_proposals.reverse();
    }
    let [hub, spoke] = &mut scenario.connections;
    (hub.start, spoke.start) = *random.pick(&[
        (Start::Respond, Start::Immediate),
        (Start::Immediate, Start::Respond),
        (Start::Immediate, Start::Immediate),
    ]);
    let patient = temper == Temper::Lossy;
    for connection in &mut scenario.connections {
        let dpd = 10 + random.below(50);
        connection.dpd_timeout = (!patient).then(|| Duration::from_secs(dpd));
        let child = if patient { 300 } else { 60 };
        connection.child.lifetime = Some(Duration::from_secs(child + random.below(600)));
        connection.ike_lifetime = Some(Duration::from_secs(2 * child + random.below(900)));
        if random.chance(30) {
            let soft = 20 + random.below(200);
            let hard = temper.ample() * (soft * 10 + 200);
            let limits = &mut connection.child.limits;
            match random.below(2) {
                0 => (limits.soft_packets, limits.hard_packets) = (soft, hard),
                _ => (limits.soft_bytes, limits.hard_bytes) = (soft * 100, hard * 100),
            }
        }
    }
    if random.chance(25) { scenario.spoke_behind_nat() } else { scenario }
}

/// In some runs one end of each tunnel wants a new proof now and then, or begins without a child. Drawn apart from everything else, so that the other
/// runs of a seed stay what they are.
fn reauthenticate(spokes: &mut [Scenario], seed: u64) {
    let mut random = Random::new(seed ^ 0x7ea_0417);
    if !random.chance(10) {
        return;
    }
    for scenario in spokes {
        let end = &mut scenario.connections[random.index(2)];
        end.reauth = Some(Duration::from_secs(40 + random.below(300)));
        end.childless = random.chance(50);
    }
}

/// A second acceptable group for everything.
fn two_groups(connection: &mut Connection) {
    let first = connection.ike_proposals[0];
    connection.ike_proposals.push(IkeProposal { group: KeId::ECP_256, ..first });
}

fn link(temper: Temper, random: &mut Random) -> Link {
    let percent = |random: &mut Random, most: u64| u8::try_from(random.below(most)).expect("a percentage");
    let least = random.below(50);
    let most = least + random.below(*random.clone().pick(&[1, 100, 3_000]));
    Link {
        loss: if temper == Temper::Gentle { 0 } else { percent(random, 40) },
        duplicate: percent(random, 40),
        corrupt: if temper == Temper::Rough && random.chance(20) { percent(random, 20) } else { 0 },
        least_delay: Duration::from_millis(least),
        most_delay: Duration::from_millis(most),
    }
}

/// How long a tunnel may be without a usable SA once the network and both ends are well: the longest of
/// everything that may have to happen one after the other. An end finds out that its peer lost the SA (the
/// DPD deadline), gives up an exchange that nobody answers (all repetitions), twice because the other end may
/// have to do so too, and waits out the longest pause between attempts, twice because attempts of both ends may
/// cross and end each other once.
fn bound(topology: &Topology) -> Duration {
    let connections = topology.gateways.iter().flatten();
    let dpd = connections.filter_map(|c| c.dpd_timeout).max().unwrap_or_default();
    let Config { retransmit, retry, .. } = &topology.config;
    let growth = f64::from(retransmit.growth_percent) / 100.0;
    let mut pause = retransmit.first;
    let mut give_up = pause;
    for _ in 0..retransmit.tries {
        pause = pause.mul_f64(growth).min(retransmit.max);
        give_up += pause;
    }
    let give_up = give_up.mul_f64(1.0 + f64::from(retransmit.jitter_percent) / 100.0);
    dpd + 2 * give_up + 2 * retry.1.mul_f64(1.25)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, {} tunnels, {:?}", self.temper, self.topology.tunnels.len(), self.link)?;
        for connection in self.topology.gateways.iter().flatten() {
            let Connection { name, start, dpd_timeout, ike_lifetime, child, .. } = connection;
            writeln!(
                f,
                "{name}: {start:?}, dpd {dpd_timeout:?}, lifetimes {ike_lifetime:?} {:?}",
                child.lifetime
            )?;
        }
        self.actions.iter().try_for_each(|(at, action)| writeln!(f, "{:10.3} {action:?}", at.as_secs_f64()))
    }
}

impl Scenario {
    /// The same between the hub, 192.0.2.1, and the spoke of a number, with names of its own.
    fn numbered(mut self, at: u8) -> Self {
        let spoke = std::net::Ipv4Addr::new(192, 0, 2, 2 + at).into();
        let [hub, end] = &mut self.connections;
        (hub.remote, hub.remote_id) = (Some(spoke), Identity::Address(spoke));
        (end.local, end.local_id) = (spoke, Identity::Address(spoke));
        (hub.key.connection, hub.key.tunnel) = (u32::from(at) + 1, u32::from(at) + 1);
        hub.name = format!("hub-{at}");
        end.name = format!("spoke-{at}");
        self
    }

    /// The spoke is behind a NAT, which the hub does not know the address of.
    fn spoke_behind_nat(mut self) -> Self {
        let [hub, end] = &mut self.connections;
        let names = [format!("hub.{}.example", hub.name), format!("{}.example", end.name)];
        let [ours, theirs] = names.map(Identity::Fqdn);
        (hub.local_id, hub.remote_id, hub.remote) = (ours.clone(), theirs.clone(), None);
        (end.local_id, end.remote_id) = (theirs, ours);
        (hub.start, end.start) = (Start::Respond, Start::Immediate);
        self.nat = Some(Side::B);
        self
    }
}
