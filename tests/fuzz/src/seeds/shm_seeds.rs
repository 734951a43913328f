//! A message of each shape that crosses the contract.

use std::net::{IpAddr, Ipv4Addr};

use shm::message::*;

use super::{Seed, named};

pub(super) fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, command) in commands() {
        seeds.push(message(name, &command));
    }
    for (name, change) in changes() {
        seeds.push(message(name, &change));
        let staged = Command::Change(Staged { txn: TxnId(7), change });
        seeds.push(message(&format!("staged-{name}"), &staged));
    }
    for (name, event) in events() {
        seeds.push(message(name, &event));
    }
    for (name, text) in INSPECTION {
        seeds.push(named("shm_messages", name, text.as_bytes().to_vec()));
    }
    seeds.push(named("shm_handshake", "punt", packet_slot(&[3, 0, 1, 0, 1])));
    seeds.push(named("shm_handshake", "inject", packet_slot(&[3, 0])));
    let opening = [b"ESPLCTRT", &shm::CONTRACT_VERSION.to_le_bytes()[..], &[1]].concat();
    seeds.push(named("shm_handshake", "welcome", [&opening[..], &[7, 0, 0, 0, 0, 0, 0, 0]].concat()));
    seeds.push(named("shm_handshake", "hello", opening));
    seeds
}

/// What inspectors ask, and are told.
const INSPECTION: &[(&str, &str)] = &[
    (
        "explain",
        r#"{"explain":{"arrival":"inside","vrf":7,"src":"10.1.0.9","dst":"10.2.0.9","protocol":17,"ports":[1000,53],"len":100,"dont_fragment":true}}"#,
    ),
    (
        "trace",
        r#"{"trace":{"spi":4096,"src":{"address":"10.1.0.0","len":16},"dst":{"address":"2001:db8::1","len":128},"protocol":6,"src_port":40000,"dst_port":443,"drop_reason":"replay_old"}}"#,
    ),
    ("capture", r#"{"capture":{"point":"pre-crypto","snap_len":96,"filter":{"spi":4096}}}"#),
    (
        "journey",
        r#"{"journey":{"id":17,"piece":1,"stages":[{"at":1700000000000000000,"worker":0,"stage":"drop","found":"replay_old"}],"left_out":0,"spis":[4096],"drop_reason":"replay_old","help":"Look"}}"#,
    ),
    (
        "packet",
        r#"{"packet":{"id":17,"at":1700000000000000000,"inbound":true,"interface":"wan","len":84,"bytes":"45000054","spis":[4096],"drop_reason":null}}"#,
    ),
    ("runtime", r#"{"runtime":{"worker":3}}"#),
    ("lost", r#"{"lost":{"records":3}}"#),
    ("refused", r#"{"refused":{"message":"no"}}"#),
];

fn message<M: Message>(name: &str, message: &M) -> Seed {
    let mut slot = vec![0; M::SLOT_LEN];
    let len = message.encode(&mut slot);
    slot.truncate(len);
    named("shm_messages", name, slot)
}

/// The header of a packet slot: packet length and descriptor.
fn packet_slot(descriptor: &[u8]) -> Vec<u8> {
    let mut slot = vec![60, 0];
    slot.extend_from_slice(descriptor);
    slot.resize(16, 0);
    slot
}

fn addr(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn spi() -> Spi {
    Spi::new(0xc001_0203).expect("above 255")
}

fn commands() -> Vec<(&'static str, Command)> {
    let request = RequestId(5);
    let owner = OwnerTag { connection: ConnectionId(1), tunnel: TunnelId(2), ike_sa: 3, generation: 4 };
    vec![
        ("begin", Command::Begin(Begin { txn: TxnId(7), full: true })),
        ("commit", Command::Commit(Commit { txn: TxnId(7) })),
        ("reserve-spi", Command::ReserveSpi(ReserveSpi { request, owner, outer_vrf: VrfId(1) })),
        ("list", Command::List(List { request, kind: ListKind::Sas, cursor: 9 })),
        ("ping", Command::Ping(Ping { request })),
    ]
}

fn changes() -> Vec<(&'static str, Change)> {
    let prefix = Prefix::new(Ipv4Addr::new(10, 1, 0, 0).into(), 16).expect("no host bits");
    let interface = Interface {
        id: InterfaceId(1),
        port: PortId(0),
        vlan: VlanId::new(100),
        role: Role::Outside,
        vrf: VrfId(3),
        mtu: 1500,
    };
    let key = RouteKey { vrf: VrfId(3), prefix };
    let selector = TrafficSelector { protocol: 6, ports: PortRange::ANY, first: addr(0), last: addr(255) };
    vec![
        ("put-interface", Change::PutInterface(interface)),
        ("put-route", Change::PutRoute(Route { key, next_hop: NextHopId(8) })),
        ("install-inbound", Change::InstallInbound(install_inbound())),
        ("add-selector", Change::AddSelector(AddSelector { spi: spi(), local: selector, remote: selector })),
        ("activate-outbound", Change::ActivateOutbound(ActivateOutbound { spi: spi() })),
    ]
}

fn install_inbound() -> InstallInbound {
    let key = |len| Secret::new(&vec![0x42; len]).expect("a key that fits");
    InstallInbound {
        spi: spi(),
        owner: OwnerTag::default(),
        tunnel: TunnelId(2),
        suite: Suite { encryption: 12, key_bits: 128, integrity: 2 },
        esn: true,
        replay_window: 1024,
        keys: SaKeys { encryption: key(16), integrity: key(20) },
        outer: Outer {
            vrf: VrfId(3),
            local: addr(1),
            remote: addr(2),
            encap: Encap::Udp { local_port: 4500, remote_port: 4500 },
            keepalive_secs: 20,
        },
        follow_nat: true,
        limits: Limits::default(),
    }
}

fn events() -> Vec<(&'static str, Event)> {
    let moved = PeerMoved { spi: spi(), remote: addr(9), port: 4501, followed: false };
    let acquire = Acquire {
        tunnel: TunnelId(2),
        vrf: VrfId(3),
        src: addr(1),
        dst: addr(2),
        protocol: 17,
        src_port: 1000,
        dst_port: 53,
    };
    let reach = |limit| Reach { size: 1400, limit };
    let path = PathRecord {
        state: PathState::Complete,
        outbound: reach(PathLimit::BlackHole),
        inbound: reach(PathLimit::Fragmented),
    };
    vec![
        ("first-use", Event::FirstUse(FirstUse { spi: spi() })),
        ("peer-moved", Event::PeerMoved(moved)),
        ("acquire", Event::Acquire(acquire)),
        ("path-found", Event::PathFound(PathFound { tunnel: TunnelId(2), path })),
    ]
}
