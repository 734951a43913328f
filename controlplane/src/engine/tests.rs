//! Two engines, each with a data plane in memory, on one wire with a virtual clock.

use std::collections::BTreeMap;

use api::server::Call;
use api::{Action, ActionReply, ActionRequest, Target};
use ike::Time;
use shm::journal::JournalEntry;
use shm::message::{
    Acquire, Change, Command, Committed, Completion, Event, FirstUse, Label, ListEnd, ListKind, ListPort,
    ListSa, OutboundRecord, PortId, PortRecord, RejectCode, Rejected, SaRecord, SaState, SaTotals, Spi,
    SpiReserved, TxnId,
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::*;
use crate::document::load;

/// What a data plane would keep and answer.
#[derive(Debug, Default)]
struct Plane {
    epoch: u64,
    next_spi: u32,
    sas: BTreeMap<u32, SaRecord>,
    journal: BTreeMap<u64, Zeroizing<Vec<u8>>>,
    staged: BTreeMap<TxnId, (bool, Vec<Change>)>,
    /// Changes of each full transaction.
    configurations: Vec<Vec<Change>>,
    /// SPIs in the order in which they were deleted.
    deleted: Vec<u32>,
    ports: Vec<&'static str>,
    reject: Option<RejectCode>,
}

impl Plane {
    fn new(first_spi: u32) -> Self {
        Self { next_spi: first_spi, ports: vec!["p0", "p1"], ..Self::default() }
    }

    fn entries(&self) -> Vec<JournalEntry> {
        self.journal.iter().map(|(&id, data)| JournalEntry { id, data: data.clone() }).collect()
    }

    fn installed(&self) -> Vec<u32> {
        self.sas.values().filter(|sa| sa.state == SaState::Installed).map(|sa| sa.spi.value()).collect()
    }

    fn answer(&mut self, command: Command) -> Vec<Completion> {
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
                self.next_spi += 1;
                let spi = Spi::new(self.next_spi).expect("an SPI");
                let record = SaRecord {
                    spi,
                    state: SaState::Reserved,
                    owner: reserve.owner,
                    tunnel: reserve.owner.tunnel,
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
                    other => panic!("{other:?}"),
                };
                answers.push(ListEnd { request, next: 0 }.into());
                answers
            }
            Command::Abort(_) | Command::Ping(_) => Vec::new(),
        }
    }

    fn apply(&mut self, change: &Change) {
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
            _ => {}
        }
    }
}

fn port(id: u16, name: &str) -> PortRecord {
    PortRecord {
        id: PortId(id),
        name: Label::new(name),
        driver: Label::new("net_null"),
        mac: [2, 0, 0, 0, 0, 1],
        link_up: true,
        speed_mbit: 0,
        queues: 1,
        mtu: 1500,
        socket: 0,
    }
}

/// A gateway: the engine of its control plane and its data plane.
struct Gateway {
    engine: Engine,
    plane: Plane,
    connected: bool,
    folder: tempfile::TempDir,
    seed: u8,
}

fn text(side: u8, immediately: bool) -> String {
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
    fn new(side: u8, immediately: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write(&folder, &text(side, immediately));
        let document = loaded(&folder, &InterfaceIds::default());
        let engine = Engine::new(document, [side; 32], Time::from_secs(1));
        let plane = Plane::new(u32::from(side) << 16);
        Self { engine, plane, connected: false, folder, seed: side }
    }

    fn connect(&mut self, now: Time) {
        self.plane.epoch += 1;
        self.connected = true;
        self.engine.connected(Epoch(self.plane.epoch), &self.plane.entries(), now);
    }

    /// `kill -9` of the control plane, and a new one.
    fn restart_control(&mut self, now: Time) {
        let document = loaded(&self.folder, &InterfaceIds::default());
        self.seed += 100;
        self.engine = Engine::new(document, [self.seed; 32], now);
        self.connect(now);
    }

    /// `kill -9` of the data plane, and a new one.
    fn restart_dataplane(&mut self, now: Time) {
        self.engine.disconnected("gone", now);
        self.plane = Plane { epoch: self.plane.epoch, ..Plane::new(self.plane.next_spi + 0x100) };
        self.connect(now);
    }

    fn reload(&mut self, text: &str, now: Time) -> api::ConfigReport {
        write(&self.folder, text);
        let document = loaded(&self.folder, self.engine.interface_ids());
        self.engine.reload(document, now)
    }

    /// Carries commands and answers until both sides are quiet; gives the packets that left.
    fn run(&mut self, now: Time) -> Vec<Vec<u8>> {
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

    fn act(&mut self, name: &str, action: Action, target: Target, now: Time) -> Answer {
        let (reply, answer) = oneshot::channel();
        let request = ActionRequest { target, tunnel: None, wait_secs: 30 };
        let call = Call::Act { connection: name.to_owned(), action, request, reply };
        self.engine.handle_call(call, None, now);
        answer
    }
}

type Answer = oneshot::Receiver<Result<ActionReply, api::Problem>>;

fn write(folder: &tempfile::TempDir, text: &str) {
    let file = folder.path().join("gw.toml");
    std::fs::write(&file, text).expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).expect("mode set");
}

fn loaded(folder: &tempfile::TempDir, ids: &InterfaceIds) -> Loaded {
    load(&folder.path().join("gw.toml"), ids).unwrap_or_else(|error| panic!("{error}"))
}

use gateway::plan::InterfaceIds;

/// Two gateways and the time.
struct World {
    gateways: [Gateway; 2],
    now: Time,
}

impl World {
    /// Side 1 negotiates at once, side 2 waits.
    fn new() -> Self {
        let mut world =
            Self { gateways: [Gateway::new(1, true), Gateway::new(2, false)], now: Time::from_secs(1) };
        let now = world.now;
        world.gateways.iter_mut().for_each(|gateway| gateway.connect(now));
        world
    }

    /// Lets `secs` seconds pass, in steps of 100 ms.
    fn pass(&mut self, secs: u64) {
        for _ in 0..secs * 10 {
            self.settle();
            self.now = self.now + std::time::Duration::from_millis(100);
            for gateway in &mut self.gateways {
                if gateway.engine.poll_timeout().is_some_and(|at| at <= self.now) {
                    gateway.engine.handle_timeout(self.now);
                }
            }
        }
        self.settle();
    }

    /// Delivers packets until none is on the wire.
    fn settle(&mut self) {
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
    fn up() -> (Self, [u32; 2]) {
        let mut world = Self::new();
        world.pass(2);
        let spis = world.spis();
        (world, spis)
    }

    /// The only installed SA of each side.
    #[track_caller]
    fn spis(&self) -> [u32; 2] {
        let one = |gateway: &Gateway| match gateway.plane.installed()[..] {
            [spi] => spi,
            ref other => panic!("one SA expected: {other:x?}"),
        };
        [one(&self.gateways[0]), one(&self.gateways[1])]
    }

    /// The data planes see traffic: the responder of a rekey may switch.
    fn traffic(&mut self) {
        for gateway in &mut self.gateways {
            for spi in gateway.plane.installed() {
                let event = Event::FirstUse(FirstUse { spi: Spi::new(spi).expect("an SPI") });
                gateway.engine.handle_event(event, self.now);
            }
        }
    }
}

fn done(mut answer: Answer) -> ActionReply {
    match answer.try_recv() {
        Ok(Ok(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

fn acquire(engine: &Engine) -> Event {
    Event::Acquire(Acquire {
        tunnel: shm::message::TunnelId(engine.document().plan.tunnels[0].id),
        vrf: VrfId(0),
        src: "10.2.0.2".parse().expect("ip"),
        dst: "10.1.0.2".parse().expect("ip"),
        protocol: 1,
        src_port: 0,
        dst_port: 0,
    })
}

#[test]
fn a_session_begins_with_the_configuration_and_a_tunnel_comes_up() {
    let (world, _) = World::up();
    for gateway in &world.gateways {
        assert_eq!(gateway.engine.state(), State::Ready);
        assert_eq!(gateway.plane.configurations.len(), 1);
        assert!(matches!(gateway.plane.configurations[0][0], Change::PutInterface(_)));
        assert_eq!(gateway.plane.journal.len(), 1);
        let outbound = gateway.plane.sas.values().next().and_then(|sa| sa.outbound);
        assert!(outbound.is_some_and(|outbound| outbound.active));
    }
}

#[test]
fn a_restarted_control_plane_finds_its_sas_again() {
    let (mut world, before) = World::up();
    let now = world.now;
    world.gateways[0].restart_control(now);
    world.pass(5);
    assert_eq!(world.spis(), before);
    assert!(world.gateways[0].plane.deleted.is_empty());
    let answer = world.gateways[0].act("site", Action::Rekey, Target::Child, now);
    world.pass(1);
    world.traffic();
    world.pass(15);
    assert!(done(answer).done);
    assert_ne!(world.spis()[0], before[0]);
}

#[test]
fn a_restarted_data_plane_gets_every_child_anew() {
    let (mut world, before) = World::up();
    let now = world.now;
    world.gateways[0].restart_dataplane(now);
    world.pass(1);
    world.traffic();
    world.pass(30);
    let after = world.spis();
    assert_ne!(after[0], before[0]);
    assert_eq!(world.gateways[0].plane.journal.len(), 1, "the new journal holds the IKE SA");
}

#[test]
fn without_a_journal_the_old_sa_stays_until_the_new_one_is_up() {
    let (mut world, before) = World::up();
    world.gateways[0].plane.journal.clear();
    let now = world.now;
    world.gateways[0].restart_control(now);
    world.gateways[0].run(now);
    assert!(world.gateways[0].plane.installed().contains(&before[0]), "make before break");
    world.pass(20);
    assert_eq!(world.gateways[0].plane.deleted, [before[0]]);
    assert_ne!(world.spis()[0], before[0]);
}

#[test]
fn a_reload_that_changes_nothing_keeps_the_spis() {
    let (mut world, before) = World::up();
    let now = world.now;
    let report = world.gateways[0].reload(&text(1, true).replace("192.0.2.1/24", "192.0.2.1/25"), now);
    assert_eq!((report.unchanged.as_slice(), report.changed.len()), (&["site".to_owned()][..], 0));
    world.pass(2);
    assert_eq!(world.spis(), before);
    assert_eq!(world.gateways[0].plane.configurations.len(), 2);
}

#[test]
fn a_reload_renegotiates_what_changed_and_deletes_what_went() {
    let (mut world, before) = World::up();
    let now = world.now;
    let psk = |side, immediately| text(side, immediately).replace("sesame", "open-sesame");
    world.gateways[1].reload(&psk(2, false), now);
    let report = world.gateways[0].reload(&psk(1, true), now);
    assert_eq!(report.changed, ["site"]);
    world.pass(10);
    assert_ne!(world.spis(), before);
    let without = text(1, true);
    let without = &without[..without.find("[[connection]]").expect("a connection")];
    world.gateways[0].reload(without, world.now);
    world.pass(20);
    assert!(world.gateways.iter().all(|gateway| gateway.plane.installed().is_empty()));
}

#[test]
fn terminated_stays_down_until_initiated() {
    let (mut world, _) = World::up();
    let now = world.now;
    let answer = world.gateways[1].act("site", Action::Terminate, Target::Ike, now);
    // The other side would start again at once.
    let other = world.gateways[0].act("site", Action::Terminate, Target::Ike, now);
    world.pass(2);
    assert!(done(answer).done && done(other).done);
    for gateway in &mut world.gateways {
        let event = acquire(&gateway.engine);
        gateway.engine.handle_event(event, world.now);
    }
    world.pass(20);
    assert!(world.gateways.iter().all(|gateway| gateway.plane.installed().is_empty()));
    let now = world.now;
    let answer = world.gateways[1].act("site", Action::Initiate, Target::Child, now);
    world.pass(3);
    assert!(done(answer).done);
    world.spis();
}

#[test]
fn traffic_brings_a_waiting_connection_up() {
    let mut world = World::new();
    world.gateways[0].connected = false;
    world.gateways[0] = Gateway::new(1, false);
    let now = world.now;
    world.gateways[0].connect(now);
    world.pass(2);
    assert!(world.gateways[1].plane.installed().is_empty());
    let event = acquire(&world.gateways[1].engine);
    world.gateways[1].engine.handle_event(event, world.now);
    world.pass(2);
    world.spis();
}

#[test]
fn a_wrong_psk_is_diagnosed_to_the_one_who_waits() {
    let mut world = World::new();
    let now = world.now;
    world.gateways[1].reload(&text(2, false).replace("sesame", "wrong"), now);
    let answer = world.gateways[0].act("site", Action::Initiate, Target::Child, now);
    assert_eq!(error(answer).map(|p| p.code), Some("DataplaneAway".into()), "not ready yet");
    world.settle();
    let now = world.now;
    let answer = world.gateways[0].act("site", Action::Initiate, Target::Child, now);
    world.pass(5);
    let reply = done(answer);
    assert!(!reply.done && reply.diagnosis.is_some_and(|d| d.connection == "site"));
    assert!(world.gateways.iter().all(|gateway| gateway.plane.installed().is_empty()));
    let failures = world.gateways[0].engine.view_connections();
    assert!(failures[0].tunnels[0].failure.is_some());
}

fn error(mut answer: Answer) -> Option<api::Problem> {
    answer.try_recv().ok()?.err()
}

#[test]
fn a_port_that_is_not_there_is_named_and_tried_again() {
    let mut gateway = Gateway::new(1, true);
    gateway.plane.ports = vec!["p0"];
    gateway.connect(Time::from_secs(1));
    gateway.run(Time::from_secs(1));
    assert_eq!(gateway.engine.state(), State::Syncing);
    let why = gateway.engine.last_error.clone().unwrap_or_default();
    assert_eq!(why, "interface lan: the data plane has no port p1 (it has p0)");
    assert_eq!(gateway.engine.poll_timeout(), Some(Time::from_secs(6)));
}

#[test]
fn a_refused_configuration_names_the_object_and_is_tried_again() {
    let mut gateway = Gateway::new(1, true);
    gateway.plane.reject = Some(RejectCode::NoCapacity);
    gateway.connect(Time::from_secs(1));
    gateway.run(Time::from_secs(1));
    let why = gateway.engine.last_error.clone().unwrap_or_default();
    assert!(why.contains("PutInterface") && why.contains("NoCapacity"), "{why}");
    gateway.engine.handle_timeout(Time::from_secs(6));
    gateway.run(Time::from_secs(6));
    assert_eq!((gateway.engine.state(), gateway.engine.last_error.clone()), (State::Ready, None));
}

#[test]
fn unknown_connections_and_a_missing_data_plane_are_problems() {
    let mut gateway = Gateway::new(1, true);
    let now = Time::from_secs(1);
    let nobody = gateway.act("nobody", Action::Initiate, Target::Child, now);
    assert_eq!(error(nobody).map(|p| p.status), Some(404));
    let away = gateway.act("site", Action::Initiate, Target::Child, now);
    assert_eq!(error(away).map(|p| p.status), Some(503));
}

#[test]
fn leaving_deletes_every_sa_when_asked_to() {
    let (mut world, _) = World::up();
    let now = world.now;
    world.gateways[0].engine.leave(true, now);
    assert!(!world.gateways[0].engine.has_left(now));
    world.pass(1);
    assert!(world.gateways[0].engine.has_left(world.now));
    assert!(world.gateways.iter().all(|gateway| gateway.plane.installed().is_empty()));
}
