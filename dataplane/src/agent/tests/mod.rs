//! The agent against a real session, with packets on the heap and a worker that the test plays.

mod control;
mod discovery;
mod exhaustion;
mod hosts;
mod inspect;
mod packets;
mod probing;
mod steering;
mod stuck;
mod watch;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;
use std::thread;

use packet::headers::arp::ArpOperation;
use packet::headers::icmpv4;
use packet::ids::SlotBits;
use packet::neighbour::NeighbourState;
use packet::{DropReason, MacAddr, PortId, VrfId};
use rcu::Worker;
use shm::counters::CountersReader;
use shm::message as contract;
use shm::message::{
    AddSelector, Address, Begin, Change as Put, Command, Commit, Completion, DeleteInbound, DeleteTunnel,
    Encap, Event, HostAddress, Inject, InstallInbound, InstallOutbound, Interface, Limits, List, ListKind,
    NextHop, NextHopKind, Outer, OwnerTag, Prefix, PuntClass, RejectCode, ReserveSpi, Role, Route, RouteKey,
    SaKeys, Secret, Staged, Suite, TrafficSelector, Tunnel, VlanId,
};
use shm::session::{ControlEnd, ListenerConfig};
use tempfile::TempDir;

use super::*;
use crate::shared::{Exception, ExceptionKind, Notice, Offloads, PortFacts};
use crate::steering::testing::{FakeDevices, both_kinds};
use crate::steering::{Rules, Steer, Steering};
use crate::worker::buffer::{Buffer, HeapBuffer};
use crate::worker::counters;

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const OUTSIDE: InterfaceId = InterfaceId(1);

struct World {
    now: Rc<Cell<Duration>>,
    random: u32,
    /// No buffer is left.
    exhausted: bool,
    programs: Machine,
    steering: Rules<FakeDevices>,
}

/// Programs that the test plays.
#[derive(Default)]
struct Machine {
    addresses: HostAddresses,
    sent: VecDeque<(VrfId, Vec<u8>)>,
    received: Vec<(VrfId, Vec<u8>)>,
}

impl Programs for Machine {
    fn set(&mut self, wanted: &HostAddresses) -> usize {
        self.addresses = wanted.clone();
        0
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<(VrfId, usize)> {
        let (vrf, packet) = self.sent.pop_front()?;
        buffer[..packet.len()].copy_from_slice(&packet);
        Some((vrf, packet.len()))
    }

    fn send(&mut self, vrf: VrfId, packet: &[u8]) -> bool {
        self.received.push((vrf, packet.to_vec()));
        self.addresses.contains_key(&vrf)
    }
}

impl Environment for World {
    type Packet = HeapBuffer;
    type Programs = Machine;

    fn now(&self) -> Duration {
        self.now.get()
    }

    fn unix_time(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.now.get()
    }

    fn ticks(&self) -> u64 {
        u64::try_from(self.now.get().as_nanos()).unwrap()
    }

    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.random
    }

    fn packet(&mut self, bytes: &[u8]) -> Option<HeapBuffer> {
        (!self.exhausted).then(|| HeapBuffer::new(bytes))
    }

    fn thread(&self, _: i32) -> Option<ThreadState> {
        None
    }

    fn link(&mut self, _: PortId) -> Link {
        Link { up: true, speed_mbit: 10_000 }
    }

    fn steering(&mut self) -> &mut dyn Steer {
        &mut self.steering
    }

    fn programs(&mut self) -> &mut Machine {
        &mut self.programs
    }

    fn programs_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

struct Bench {
    agent: Agent<World>,
    shared: Arc<Shared<HeapBuffer>>,
    page: CountersReader,
    now: Rc<Cell<Duration>>,
    worker: Worker,
    path: std::path::PathBuf,
    txn: u64,
    devices: FakeDevices,
    _directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with_workers(1)
    }

    fn with_workers(workers: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dataplane.sock");
        let text = "[[dataplane.port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";
        let config = Config::parse(Path::new("test.toml"), text).unwrap();
        let facts = PortFacts {
            name: "wan".into(),
            driver: "net_null".into(),
            mac: MAC,
            mtu: 1500,
            queues: 1,
            promiscuous: false,
            offloads: Offloads::default(),
            steering: Steering::default(),
        };
        let bits = SlotBits::new(8).unwrap();
        let tables = Tables::new(bits);
        let shared =
            Arc::new(Shared::new(vec![facts], workers, &config.limits, tables.clone(), 1_000_000_000));
        let spec = counters::spec(workers, 8, bits.slots(), figure_texts());
        let page = Arc::new(CountersWriter::create(&spec).unwrap());
        let listener = Listener::bind(ListenerConfig {
            path: path.clone(),
            allowed_uids: vec![],
            counters: page.fd().unwrap(),
            journal: shm::journal::create(4, 1024).unwrap(),
        })
        .unwrap();
        let now = Rc::new(Cell::new(Duration::from_secs(1000)));
        let devices = FakeDevices::default();
        let parts = AgentParts {
            environment: World {
                now: Rc::clone(&now),
                random: 1,
                exhausted: false,
                programs: Machine::default(),
                steering: Rules::new(devices.clone(), [(both_kinds(), None)]),
            },
            shared: Arc::clone(&shared),
            tables,
            backend: crypto::select(crypto::Preference::Portable).unwrap().backend,
            key_memory: crypto::heap(),
            page: Arc::clone(&page),
            interface_slots: 8,
            sa_slots: bits.slots(),
            listener,
        };
        let agent = Agent::new(parts, &config);
        let worker = shared.domain.register().unwrap();
        let page = CountersReader::map(&page.fd().unwrap()).unwrap();
        Self { agent, shared, page, now, worker, path, txn: 0, devices, _directory: directory }
    }

    /// An agent with a session, an outside interface with our address, and the peer's tunnel.
    fn configured() -> (Self, ControlEnd) {
        Self::configured_with(1)
    }

    fn configured_with(workers: usize) -> (Self, ControlEnd) {
        let mut bench = Self::with_workers(workers);
        let mut control = bench.connect();
        assert_eq!(bench.transact(&mut control, true, configuration()), Ok(()));
        while bench.sent().is_some() {}
        (bench, control)
    }

    fn connect(&mut self) -> ControlEnd {
        let path = self.path.clone();
        let connecting = thread::spawn(move || ControlEnd::connect(&path).unwrap());
        self.serve(connecting)
    }

    /// Takes turns until a caller has what it came for, however slowly its thread runs.
    fn serve<T>(&mut self, caller: thread::JoinHandle<T>) -> T {
        while !caller.is_finished() {
            self.advance(Duration::from_millis(2));
            self.worker.quiescent();
            thread::yield_now();
        }
        caller.join().unwrap()
    }

    fn advance(&mut self, by: Duration) {
        self.now.set(self.now.get() + by);
        self.agent.turn().unwrap();
    }

    /// A turn, the worker's report, and a turn that sees it.
    fn round(&mut self) {
        self.advance(Duration::from_micros(10));
        self.worker.quiescent();
        self.advance(Duration::from_micros(10));
    }

    fn transact(
        &mut self,
        control: &mut ControlEnd,
        full: bool,
        changes: Vec<Put>,
    ) -> Result<(), (u32, RejectCode)> {
        self.stage(control, full, changes);
        control.send_command(&Commit { txn: contract::TxnId(self.txn) }.into()).unwrap();
        self.round();
        loop {
            match control.receive_completion().unwrap() {
                Some(Completion::Committed(committed)) => {
                    assert_eq!(committed.txn.0, self.txn);
                    return Ok(());
                }
                Some(Completion::Rejected(rejected)) => return Err((rejected.index, rejected.code)),
                Some(Completion::SaDeleted(_)) => {}
                None => self.round(),
                other => panic!("{other:?}"),
            }
        }
    }

    fn stage(&mut self, control: &mut ControlEnd, full: bool, changes: Vec<Put>) {
        self.txn += 1;
        let txn = contract::TxnId(self.txn);
        control.send_command(&Begin { txn, full }.into()).unwrap();
        for change in changes {
            control.send_command(&Staged { txn, change }.into()).unwrap();
        }
    }

    fn reserve(&mut self, control: &mut ControlEnd) -> contract::Spi {
        let request = contract::RequestId(77);
        let reserve = ReserveSpi { request, owner: owner(), outer_vrf: contract::VrfId(0) };
        control.send_command(&reserve.into()).unwrap();
        self.round();
        match control.receive_completion().unwrap() {
            Some(Completion::SpiReserved(reserved)) => reserved.spi,
            other => panic!("{other:?}"),
        }
    }

    /// Reserves an SPI and installs both halves.
    fn install(&mut self, control: &mut ControlEnd, outer: Outer) -> contract::Spi {
        let spi = self.reserve(control);
        assert_eq!(self.transact(control, false, child(spi, outer)), Ok(()));
        spi
    }

    fn except(&mut self, bytes: &[u8], kind: ExceptionKind) {
        let interface = Some(OUTSIDE);
        let exception = Exception { packet: HeapBuffer::new(bytes), interface, vrf: VrfId(0), kind };
        self.shared.mailboxes[0].exceptions.push(exception).unwrap();
        self.advance(Duration::from_micros(10));
    }

    fn notice(&mut self, notice: Notice) {
        self.shared.mailboxes[0].notices.push(notice).unwrap();
        self.advance(Duration::from_micros(10));
    }

    fn sent(&mut self) -> Option<(Vec<u8>, AgentWork)> {
        let from_agent = self.shared.mailboxes[0].from_agent.pop()?;
        Some((from_agent.packet.data().to_vec(), from_agent.work))
    }

    fn figure(&self, figure: AgentFigure) -> u64 {
        self.page.figure(figure as usize)
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.page.interface_totals(2).drops[reason.index()]
    }
}

fn owner() -> OwnerTag {
    OwnerTag {
        connection: contract::ConnectionId(1),
        tunnel: contract::TunnelId(1),
        ike_sa: 9,
        generation: 1,
    }
}

fn configuration() -> Vec<Put> {
    let interface = contract::InterfaceId(OUTSIDE.0);
    let (vrf, tunnel) = (contract::VrfId(0), contract::TunnelId(1));
    vec![
        Interface {
            id: interface,
            port: contract::PortId(0),
            vlan: None,
            role: Role::Outside,
            vrf,
            mtu: 1500,
        }
        .into(),
        Address { interface, ip: OURS.into(), prefix_len: 24 }.into(),
        Tunnel {
            id: tunnel,
            connection: contract::ConnectionId(1),
            inner_vrf: vrf,
            outer_vrf: vrf,
            mtu: 0,
            mss: 0,
            df: contract::DfPolicy::Copy,
            dscp: contract::DscpPolicy::Copy,
            acquire: false,
            probe: None,
            fragmentation: contract::Fragmentation::Before,
        }
        .into(),
        NextHop {
            id: contract::NextHopId(1),
            kind: NextHopKind::Tunnels { tunnels: [tunnel].into_iter().collect(), active: 1 },
        }
        .into(),
        Route { key: RouteKey { vrf, prefix: remote_prefix() }, next_hop: contract::NextHopId(1) }.into(),
    ]
}

fn remote_prefix() -> Prefix {
    Prefix::new([10, 2, 0, 0].into(), 24).unwrap()
}

fn native() -> Outer {
    Outer {
        vrf: contract::VrfId(0),
        local: OURS.into(),
        remote: PEER.into(),
        encap: Encap::Native,
        keepalive_secs: 0,
    }
}

fn child(spi: contract::Spi, outer: Outer) -> Vec<Put> {
    let suite = Suite { encryption: 20, key_bits: 128, integrity: 0 };
    let keys = SaKeys { encryption: Secret::new(&[7; 20]).unwrap(), integrity: Secret::new(&[]).unwrap() };
    let selector = |first: [u8; 4], last: [u8; 4]| TrafficSelector {
        protocol: 0,
        ports: contract::PortRange::ANY,
        first: first.into(),
        last: last.into(),
    };
    vec![
        InstallInbound {
            spi,
            owner: owner(),
            tunnel: contract::TunnelId(1),
            suite,
            esn: true,
            replay_window: 1024,
            keys: keys.clone(),
            outer,
            follow_nat: true,
            limits: Limits::default(),
        }
        .into(),
        InstallOutbound {
            spi,
            peer_spi: contract::Spi::new(0xabcd).unwrap(),
            owner: owner(),
            tunnel: contract::TunnelId(1),
            suite,
            esn: true,
            keys,
            outer,
            limits: Limits::default(),
            tfc: 0,
            active: true,
        }
        .into(),
        AddSelector {
            spi,
            local: selector([10, 1, 0, 0], [10, 1, 0, 255]),
            remote: selector([10, 2, 0, 0], [10, 2, 0, 255]),
        }
        .into(),
    ]
}

fn arp_frame(operation: ArpOperation, target: Ipv4Addr) -> Vec<u8> {
    let interface = packet::tables::Interface {
        id: OUTSIDE,
        port: PortId(0),
        vlan: None,
        role: packet::tables::Role::Outside,
        vrf: VrfId(0),
        mtu: 1500,
        addresses: Arc::from([]),
    };
    match operation {
        ArpOperation::Request => arp::request(&interface, PEER_MAC, PEER, target, None),
        ArpOperation::Reply => {
            let asked = arp::parse(&arp::request(&interface, MAC, OURS, PEER, None)).unwrap();
            arp::reply(&interface, PEER_MAC, &asked)
        }
    }
}

fn ping(src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
    let repr = packet::headers::ipv4::Ipv4Repr {
        tos: 0,
        identification: 1,
        dont_fragment: true,
        ttl: 64,
        protocol: 1,
        src,
        dst,
        payload_len: 8,
    };
    let mut packet = repr.emit().to_vec();
    packet.extend([8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    packet
}
