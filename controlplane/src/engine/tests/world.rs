//! The test bed: gateways with a data plane in memory, on one wire with a virtual clock.

use std::collections::BTreeMap;

use api::server::Call;
use api::{Action, ActionReply, ActionRequest, Target};
use gateway::plan::InterfaceIds;
use ike::Time;
use shm::counters::CountersReader;
use shm::journal::JournalEntry;
use shm::message::{
    Change, Command, Committed, Completion, Event, FirstUse, Label, ListEnd, ListKind, ListPort, ListSa,
    OutboundRecord, PortId, PortRecord, RejectCode, Rejected, SaRecord, SaState, SaTotals, Spi, SpiReserved,
    Steering, SteeringPath, TxnId,
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::document::{Loaded, load};
use crate::engine::*;

/// What a data plane would keep and answer.
#[derive(Debug, Default)]
pub(crate) struct Plane {
    pub(crate) epoch: u64,
    pub(crate) next_spi: u32,
    pub(crate) sas: BTreeMap<u32, SaRecord>,
    pub(crate) journal: BTreeMap<u64, Zeroizing<Vec<u8>>>,
    pub(crate) staged: BTreeMap<TxnId, (bool, Vec<Change>)>,
    /// Changes of each full transaction.
    pub(crate) configurations: Vec<Vec<Change>>,
    /// SPIs in the order in which they were deleted.
    pub(crate) deleted: Vec<u32>,
    pub(crate) ports: Vec<&'static str>,
    pub(crate) reject: Option<RejectCode>,
    /// Bitmap of the last group of tunnels.
    pub(crate) active: u16,
}

impl Plane {
    pub(crate) fn new(first_spi: u32) -> Self {
        Self { next_spi: first_spi, ports: vec!["p0", "p1"], ..Self::default() }
    }

    pub(crate) fn entries(&self) -> Vec<JournalEntry> {
        self.journal.iter().map(|(&id, data)| JournalEntry { id, data: data.clone() }).collect()
    }

    pub(crate) fn installed(&self) -> Vec<u32> {
        self.sas.values().filter(|sa| sa.state == SaState::Installed).map(|sa| sa.spi.value()).collect()
    }

    pub(crate) fn answer(&mut self, command: Command) -> Vec<Completion> {
        match command {
            Command::Begin(begin) => {
                self.staged.insert(begin.txn, (begin.full, Vec::new()));
                Vec::new()
            }
            Command::Change(staged) => {
                self.staged.get_mut(&staged.txn).expect("begun").1.push(staged.change);
                Vec::new()
            }
            Command::Commit(commit) => {
                let (full, changes) = self.staged.remove(&commit.txn).expect("begun");
                if let Some(code) = self.reject.take() {
                    return vec![Rejected { txn: commit.txn, index: 0, code }.into()];
                }
                changes.iter().for_each(|change| self.apply(change));
                if full {
                    self.configurations.push(changes);
                }
                vec![Committed { txn: commit.txn }.into()]
            }
            Command::ReserveSpi(reserve) => {
                let spi = self.reserve(reserve.owner);
                vec![SpiReserved { request: reserve.request, spi }.into()]
            }
            Command::ReleaseSpi(release) => {
                self.sas.remove(&release.spi.value());
                Vec::new()
            }
            Command::List(list) => {
                let request = list.request;
                let mut answers: Vec<Completion> = match list.kind {
                    ListKind::Ports => {
                        let port =
                            |(index, name): (u16, &&str)| ListPort { request, port: port(index, name) };
                        (0..).zip(&self.ports).map(port).map(Completion::from).collect()
                    }
                    ListKind::Sas => self
                        .sas
                        .values()
                        .map(|sa| ListSa { request, sa: *sa })
                        .map(Completion::from)
                        .collect(),
                    // What probes found: nothing yet.
                    ListKind::Tunnels => Vec::new(),
                    other => panic!("{other:?}"),
                };
                answers.push(ListEnd { request, next: 0 }.into());
                answers
            }
            Command::Abort(_) | Command::Ping(_) => Vec::new(),
        }
    }

    fn reserve(&mut self, owner: OwnerTag) -> Spi {
        self.next_spi += 1;
        let spi = Spi::new(self.next_spi).expect("an SPI");
        let record = SaRecord {
            spi,
            state: SaState::Reserved,
            owner,
            tunnel: owner.tunnel,
            suite: shm::message::Suite { encryption: 0, key_bits: 0, integrity: 0 },
            esn: false,
            replay_window: 0,
            worker: 0,
            age_ms: 0,
            outer: None,
            outbound: None,
            totals: SaTotals::default(),
        };
        self.sas.insert(spi.value(), record);
        spi
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::InstallInbound(install) => {
                let sa = self.sas.get_mut(&install.spi.value()).expect("reserved");
                assert_eq!(sa.state, SaState::Reserved);
                (sa.state, sa.outer) = (SaState::Installed, Some(install.outer));
            }
            Change::InstallOutbound(install) => {
                let sa = self.sas.get_mut(&install.spi.value()).expect("installed");
                let outer = install.outer;
                sa.outbound =
                    Some(OutboundRecord { peer_spi: install.peer_spi, outer, active: install.active });
            }
            Change::ActivateOutbound(activate) => {
                let outbound = &mut self.sas.get_mut(&activate.spi.value()).expect("installed").outbound;
                outbound.as_mut().expect("outbound").active = true;
            }
            Change::DeleteInbound(delete) => {
                self.sas.remove(&delete.spi.value());
                self.deleted.push(delete.spi.value());
            }
            Change::PutNextHop(next_hop) => {
                if let shm::message::NextHopKind::Tunnels { active, .. } = next_hop.kind {
                    self.active = active;
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn port(id: u16, name: &str) -> PortRecord {
    PortRecord {
        id: PortId(id),
        name: Label::new(name),
        driver: Label::new("net_null"),
        mac: [2, 0, 0, 0, 0, 1],
        link_up: true,
        speed_mbit: 0,
        queues: 1,
        mtu: 1500,
        offloads: 0,
        steering: Steering { path: SteeringPath::OneWorker, rules: 0, refused: 0 },
    }
}

/// A gateway: the engine of its control plane and its data plane.
pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    pub(crate) plane: Plane,
    pub(crate) connected: bool,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) seed: u8,
    /// What the data plane counts, where a test writes it.
    pub(crate) figures: Option<CountersReader>,
}

pub(crate) fn text(side: u8, immediately: bool) -> String {
    let other = 3 - side;
    format!(
        r#"
[[interface]]
name = "wan"
port = "p0"
role = "outside"
addresses = ["192.0.2.{side}/24"]
[[interface]]
name = "lan"
port = "p1"
role = "inside"
addresses = ["10.{side}.0.1/24"]
[vpn-gateway]
name = "gw"
addresses = ["192.0.2.{side}"]
[[customer-gateway]]
name = "peer"
ip = "192.0.2.{other}"
[[connection]]
name = "site"
routing-mode = "flows"
local-networks = ["10.{side}.0.0/24"]
remote-networks = ["10.{other}.0.0/24"]
effective-immediately = {immediately}
profile = "modern"
[[connection.tunnel]]
customer-gateway = "peer"
psk = "sesame"
"#
    )
}

impl Gateway {
    pub(crate) fn new(side: u8, immediately: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder, &text(side, immediately));
        let document = loaded(&folder, &InterfaceIds::default());
        let engine = Engine::new(document, [side; 32], Time::from_secs(1));
        let plane = Plane::new(u32::from(side) << 16);
        Self { engine, plane, connected: false, folder, seed: side, figures: None }
    }

    pub(crate) fn connect(&mut self, now: Time) {
        self.plane.epoch += 1;
        self.connected = true;
        self.engine.connected(Epoch(self.plane.epoch), &self.plane.entries(), now);
    }

    /// `kill -9` of the control plane, and a new one.
    pub(crate) fn restart_control(&mut self, now: Time) {
        let document = loaded(&self.folder, &InterfaceIds::default());
        self.seed += 100;
        self.engine = Engine::new(document, [self.seed; 32], now);
        self.connect(now);
    }

    /// `kill -9` of the data plane, and a new one.
    pub(crate) fn restart_dataplane(&mut self, now: Time) {
        self.engine.disconnected("gone", now);
        self.plane = Plane { epoch: self.plane.epoch, ..Plane::new(self.plane.next_spi + 0x100) };
        self.connect(now);
    }

    pub(crate) fn reload(&mut self, text: &str, now: Time) -> api::ConfigReport {
        write(&self.folder, text);
        let document = loaded(&self.folder, self.engine.interface_ids());
        self.engine.reload(document, now)
    }

    /// Carries commands and answers until both sides are quiet; gives the packets that left.
    pub(crate) fn run(&mut self, now: Time) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        if !self.connected {
            return packets;
        }
        loop {
            while let Some(record) = self.engine.poll_journal() {
                match record {
                    JournalRecord::Put { ike_sa, snapshot } => {
                        drop(self.plane.journal.insert(ike_sa.0, snapshot))
                    }
                    JournalRecord::Remove { ike_sa } => drop(self.plane.journal.remove(&ike_sa.0)),
                }
            }
            while let Some(packet) = self.engine.poll_inject() {
                packets.push(packet.bytes);
            }
            let Some(command) = self.engine.poll_command() else { return packets };
            for completion in self.plane.answer(command) {
                self.engine.handle_completion(completion, now);
            }
        }
    }

    pub(crate) fn act(&mut self, name: &str, action: Action, target: Target, now: Time) -> Answer {
        let (reply, answer) = oneshot::channel();
        let request = ActionRequest { target, tunnel: None, wait_secs: 30 };
        let call = Call::Act { connection: name.to_owned(), action, request, reply };
        self.engine.handle_call(call, None, now);
        answer
    }
}

pub(crate) type Answer = oneshot::Receiver<Result<ActionReply, api::Problem>>;

pub(crate) fn write(folder: &tempfile::TempDir, text: &str) {
    let file = folder.path().join("gw.toml");
    std::fs::write(&file, text).expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).expect("mode set");
}

pub(crate) fn loaded(folder: &tempfile::TempDir, ids: &InterfaceIds) -> Loaded {
    load(&folder.path().join("gw.toml"), ids).unwrap_or_else(|error| panic!("{error}"))
}

/// Two gateways and the time.
pub(crate) struct World {
    pub(crate) gateways: [Gateway; 2],
    pub(crate) now: Time,
}

impl World {
    /// Side 1 negotiates at once, side 2 waits.
    pub(crate) fn new() -> Self {
        let mut world =
            Self { gateways: [Gateway::new(1, true), Gateway::new(2, false)], now: Time::from_secs(1) };
        let now = world.now;
        world.gateways.iter_mut().for_each(|gateway| gateway.connect(now));
        world
    }

    /// Lets `secs` seconds pass, in steps of 100 ms.
    pub(crate) fn pass(&mut self, secs: u64) {
        for _ in 0..secs * 10 {
            self.settle();
            self.now = self.now + std::time::Duration::from_millis(100);
            for gateway in &mut self.gateways {
                if gateway.engine.poll_timeout().is_some_and(|at| at <= self.now) {
                    gateway.figures.iter().for_each(|figures| gateway.engine.hear(figures, self.now));
                    gateway.engine.handle_timeout(self.now);
                }
            }
        }
        self.settle();
    }

    /// Delivers packets until none is on the wire.
    pub(crate) fn settle(&mut self) {
        loop {
            let [a, b] = &mut self.gateways;
            let (from_a, from_b) = (a.run(self.now), b.run(self.now));
            if from_a.is_empty() && from_b.is_empty() {
                return;
            }
            let deliver = |to: &mut Gateway, packets: &[Vec<u8>]| {
                if to.connected {
                    packets.iter().for_each(|packet| to.engine.handle_punt(VrfId(0), packet, self.now));
                }
            };
            deliver(b, &from_a);
            deliver(a, &from_b);
        }
    }

    /// A world in which the tunnel is up; with the SPIs of both sides.
    pub(crate) fn up() -> (Self, [u32; 2]) {
        let mut world = Self::new();
        world.pass(2);
        let spis = world.spis();
        (world, spis)
    }

    /// The only installed SA of each side.
    #[track_caller]
    pub(crate) fn spis(&self) -> [u32; 2] {
        let one = |gateway: &Gateway| match gateway.plane.installed()[..] {
            [spi] => spi,
            ref other => panic!("one SA expected: {other:x?}"),
        };
        [one(&self.gateways[0]), one(&self.gateways[1])]
    }

    /// The data planes see traffic: the responder of a rekey may switch.
    pub(crate) fn traffic(&mut self) {
        for gateway in &mut self.gateways {
            for spi in gateway.plane.installed() {
                let event = Event::FirstUse(FirstUse { spi: Spi::new(spi).expect("an SPI") });
                gateway.engine.handle_event(event, self.now);
            }
        }
    }
}
