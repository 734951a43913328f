//! Random traffic over random tables: every packet is accounted for exactly once, and gets what `explain` says.

#[path = "common/changes.rs"]
mod changes;
mod common;

use changes::change_something;
use common::frames::{FORTH, Ip, Random, ethernet, ip_of, ipv6, protocol, to_port};
use common::setup::{
    ChildSa, FIRST, INNER, INTO_TUNNEL, LAN_IF, OUTER, SECOND, WAN_IF, address, prefix, spd_entry, tables,
};
use common::{Gateway, LAN, WAN, port_mac};
use crypto::{Key, Suite};
use esplanade_dataplane::journey::Lens;
use esplanade_dataplane::shared::{ExceptionKind, Tables};
use packet::decide::{Ingress, Verdict, explain_inner};
use packet::flow::Flow;
use packet::headers::checksum::checksum;
use packet::neighbour::{Neighbour, NeighbourState};
use packet::policy::PolicyRoute;
use packet::selectors::{PortRange, SelectorPair};
use packet::spd::{Action, Heading};
use packet::tables::{Change, NextHop, NextHopKind};
use packet::{DropReason, InterfaceId, MacAddr, NextHopId, PortId, VrfId};
use std::net::Ipv4Addr;

fn pick<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len())]
}

/// A gateway's tables with more routes, policy routes and policy entries; any of them may be refused.
fn random_tables(random: &mut Random) -> Tables {
    let acquire = random.below(2) == 0;
    let mut tables = tables(FIRST, |tunnel| tunnel.acquire = acquire);
    let out = |interface, gateway: Option<&str>| NextHopKind::Interface {
        interface,
        gateway: gateway.map(address),
    };
    let kinds = [
        out(WAN_IF, Some("192.0.2.2")),
        out(WAN_IF, None),
        out(LAN_IF, Some("10.1.0.1")),
        NextHopKind::Local,
        NextHopKind::Discard,
    ];
    let mut changes: Vec<Change<Key>> = Vec::new();
    let mut hops = vec![INTO_TUNNEL];
    for (id, kind) in (10..).map(NextHopId).zip(kinds) {
        hops.push(id);
        changes.push(Change::PutNextHop(NextHop { id, kind }));
    }
    for priority in 0..8 {
        let networks =
            ["10.2.0.0/24", "10.2.0.0/28", "10.3.0.0/16", "10.0.0.0/8", "203.0.113.0/24", "0.0.0.0/0"];
        let (src, dst) = (prefix(pick(random, &networks)), prefix(pick(random, &networks)));
        let (vrf, next_hop) = (pick::<VrfId>(random, &[INNER, INNER, OUTER]), pick(random, &hops));
        changes.push(match random.below(6) {
            0 => {
                let route = PolicyRoute { priority, src: prefix("10.1.0.0/30"), dst, next_hop };
                Change::PutPolicyRoute { vrf, route }
            }
            1 => {
                let order = u16::try_from(random.below(20)).expect("small");
                let action = pick(random, &[Action::Bypass, Action::Bypass, Action::Discard]);
                let ports = PortRange::new(0, 40_000).expect("a range");
                let mut entry = spd_entry(action, src, dst);
                entry.heading = pick(random, &[Heading::Both, Heading::Out, Heading::In]);
                entry.selectors.remote.ports = pick(random, &[PortRange::ANY, PortRange::ANY, ports]);
                Change::PutSpdEntry { vrf, order, entry }
            }
            _ => Change::PutRoute { vrf, prefix: dst, next_hop },
        });
    }
    for change in changes {
        tables.apply(change).expect("the tables are valid");
    }
    tables.commit();
    tables
}

fn random_address(random: &mut Random) -> Ipv4Addr {
    let [a, b, c] = pick(
        random,
        &[[10, 1, 0], [10, 2, 0], [10, 3, 7], [203, 0, 113], [192, 0, 2], [224, 0, 0], [127, 0, 0]],
    );
    Ipv4Addr::new(a, b, c, pick(random, &[0, 1, 2, 9, 77, 254, 255]))
}

fn random_inner(random: &mut Random) -> Vec<u8> {
    let strange = random_address(random);
    let ip = Ip {
        src: pick(random, &[FORTH.src, Ipv4Addr::new(10, 1, 0, 77), strange]),
        dst: random_address(random),
        ttl: pick(random, &[1, 2, 64, 64, 64]),
        dont_fragment: random.below(2) == 0,
        ..FORTH
    };
    let len = pick(random, &[0, 20, 700, 1400, 1460, 1472]);
    if random.below(2) == 0 { ip.ping(len) } else { ip.udp(1000, pick(random, &[53, 500, 4500]), len) }
}

fn gateway(tables: Tables, workers: usize, sa: &ChildSa) -> Gateway {
    let mut gateway = Gateway::new(workers, tables);
    sa.install(&mut gateway.tables, &*gateway.engine);
    gateway
}

fn suite() -> Suite {
    Suite::from_transforms(20, 128, 0).expect("a suite")
}

/// What one packet from the inside caused: frames by port, exceptions, drops.
fn observed(
    gateway: &mut Gateway,
    packet: &[u8],
) -> (Vec<PortId>, Vec<ExceptionKind>, Vec<(DropReason, u64)>) {
    let before = gateway.all_drops();
    let frames = gateway.feed(0, LAN, &[to_port(LAN, packet)]);
    let was = |reason| before.iter().find(|(r, _)| *r == reason).map_or(0, |(_, count)| *count);
    let drops = gateway.all_drops().into_iter().map(|(reason, count)| (reason, count - was(reason)));
    let drops = drops.filter(|(_, count)| *count > 0).collect();
    let exceptions = gateway.exceptions().into_iter().map(|exception| exception.kind).collect();
    gateway.notices();
    (frames.into_iter().map(|(port, _)| port).collect(), exceptions, drops)
}

#[test]
fn a_real_packet_gets_what_explain_says() {
    let mut random = Random(5);
    let mut sent = 0;
    for _ in 0..25 {
        let sa = ChildSa { active: random.below(4) != 0, ..ChildSa::new(suite()) };
        let mut gateway = gateway(random_tables(&mut random), 1, &sa);
        for _ in 0..80 {
            let packet = random_inner(&mut random);
            let flow = Flow::parse(&packet).expect("valid");
            let verdict = explain_inner(&gateway.tables, INNER, &flow, Ingress::Inside).verdict;
            let (frames, exceptions, drops) = observed(&mut gateway, &packet);
            let saw = format!("{verdict:?}: {frames:?} {exceptions:?} {drops:?}");
            let dropped = |reason| frames.is_empty() && drops == [(reason, 1)];
            let port = |interface: InterfaceId| if interface == WAN_IF { WAN } else { LAN };
            let ok = match verdict {
                Verdict::Encapsulate { .. } => frames == [WAN] && drops.is_empty(),
                Verdict::Forward { interface, .. } => {
                    // Sent, or held until its neighbour is known.
                    (frames == [port(interface)]) != (frames.is_empty() && exceptions.len() == 1)
                        && drops.is_empty()
                }
                Verdict::FragmentIntoTunnel { .. } | Verdict::FragmentSealed { .. } => {
                    frames.len() > 1 && frames.iter().all(|port| *port == WAN)
                }
                Verdict::FragmentForward { interface, .. } => {
                    frames.iter().all(|p| *p == port(interface)) && frames.len() + exceptions.len() > 1
                }
                Verdict::Local => matches!(exceptions[..], [ExceptionKind::Local { .. }]),
                Verdict::Acquire(_) => dropped(DropReason::AwaitingSa),
                Verdict::TimeExceeded => dropped(DropReason::TtlExpired),
                Verdict::TooBig { .. } => dropped(DropReason::NeedsFragmentation),
                Verdict::Drop(reason) => dropped(reason),
                Verdict::Esp { .. } | Verdict::Ike { .. } | Verdict::Icmp | Verdict::Fragment => false,
            };
            assert!(ok, "{saw}");
            sent += frames.len();
            gateway.assert_balanced();
        }
    }
    assert!(sent > 100, "{sent}");
}

/// A frame of any kind; `sealed` are ESP packets of the peer.
fn random_frame(random: &mut Random, sealed: &[Vec<u8>]) -> (PortId, Vec<u8>) {
    let port = pick(random, &[WAN, LAN]);
    let outer = Ip { src: Ipv4Addr::new(192, 0, 2, 2), dst: Ipv4Addr::new(192, 0, 2, 1), ..FORTH };
    let mut esp = sealed[random.below(sealed.len())].clone();
    let frame = match random.below(11) {
        0..3 => to_port(port, &random_inner(random)),
        // Genuine, sooner or later a replay.
        3..5 => to_port(WAN, &esp),
        // Forged.
        5 => {
            let at = random.below(esp.len());
            esp[at] ^= 1 << random.below(8);
            to_port(WAN, &esp)
        }
        // Fragments and truncations, inner or outer.
        6 => {
            let mut packet = if random.below(2) == 0 { esp } else { random_inner(random) };
            packet[6] = pick(random, &[0x20, 0x00, 0x21]);
            packet[7] = pick(random, &[0, 0, 9]);
            packet[10..12].fill(0);
            let sum = packet::headers::checksum::checksum(&packet[..20]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            to_port(port, &packet)
        }
        7 => {
            esp.truncate(random.below(esp.len()));
            to_port(WAN, &esp)
        }
        // IKE, NAT keepalives, UDP to nobody.
        8 => to_port(WAN, &outer.udp(500, pick(random, &[500, 4500, 53]), random.below(60))),
        9 => to_port(port, &ipv6("2001:db8::1", "2001:db8::2", 64, 17, &[0; 40])),
        // Garbage, for us or for others.
        _ => {
            let bytes: Vec<u8> = (0..random.below(90)).map(|_| random.byte()).collect();
            let to = pick(random, &[port_mac(port), MacAddr([0xff; 6]), MacAddr([2, 9, 9, 9, 9, 9])]);
            let mut frame = ethernet(to, port_mac(PortId(0)), &bytes);
            if random.below(3) == 0 {
                frame.truncate(random.below(frame.len()));
            }
            frame
        }
    };
    (port, frame)
}

#[test]
fn the_counters_balance_under_random_traffic() {
    let mut random = Random(99);
    for round in 0..12 {
        let workers = 1 + round % 2;
        let owner = u16::try_from(random.below(workers)).expect("few");
        let sa = ChildSa { worker: owner, ..ChildSa::new(suite()) };
        let mut peer = gateway(tables(SECOND, |_| {}), 1, &ChildSa { worker: 0, ..sa.mirrored() });
        let replies: Vec<_> = (0..40).map(|len| to_port(LAN, &FORTH.back().ping(len * 20))).collect();
        let sealed: Vec<_> =
            peer.feed(0, LAN, &replies).into_iter().map(|(_, frame)| ip_of(&frame).to_vec()).collect();
        assert_eq!(sealed.len(), replies.len());

        let mut gateway = gateway(random_tables(&mut random), workers, &sa);
        let mut watched = [0; DropReason::COUNT];
        let watches = round % 3 != 0;
        if watches {
            gateway.watch(&[Lens::default()]);
        }
        for _ in 0..60 {
            gateway.now += 1;
            gateway.wire.stuck = if random.below(8) == 0 { vec![WAN] } else { Vec::new() };
            let mut of = [Vec::new(), Vec::new()];
            for _ in 0..random.below(33) {
                let (port, frame) = random_frame(&mut random, &sealed);
                of[usize::from(port == LAN)].push(frame);
            }
            let worker = random.below(workers);
            gateway.feed(worker, WAN, &of[0]);
            gateway.feed(worker, LAN, &of[1]);
            gateway.assert_balanced();
            for journey in gateway.journeys() {
                if let Some(reason) = journey.drop_reason() {
                    watched[reason.index()] += 1;
                }
            }
            // The agent is slow at times.
            if random.below(4) == 0 {
                gateway.exceptions();
                gateway.notices();
            }
        }
        let balance = gateway.balance();
        assert!(balance.sent > 0 && balance.to_agent > 0 && balance.dropped > 0, "{balance:?}");
        assert!(gateway.all_drops().len() > 8, "{:?}", gateway.all_drops());
        let seen = DropReason::ALL.iter().copied().zip(watched).filter(|(_, count)| *count > 0);
        let seen: Vec<_> = seen.collect();
        assert_eq!(
            seen,
            if watches { gateway.all_drops() } else { Vec::new() },
            "each drop ends one journey"
        );
    }
}

/// What a gateway and its peer made of packets from inside.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// What left the former in clear, for whom it sealed, and what came out of the latter, burst by burst and in no
    /// order.
    bursts: Vec<Vec<Vec<u8>>>,
    dropped_near: Vec<(DropReason, u64)>,
    dropped_far: Vec<(DropReason, u64)>,
}

/// Which gateways are watched: while somebody watches, no packet takes the express lane.
#[derive(Clone, Copy)]
struct Watched {
    near: bool,
    far: bool,
}

/// Sends `frames` through both, whose tables change meanwhile; what is sealed arrives distorted where that is asked
/// for.
fn through_both(seed: u64, frames: &[Vec<u8>], watched: Watched, distort: bool) -> Outcome {
    let sa = ChildSa::new(suite());
    let (mut random, mut changing) = (Random(seed), Random(seed | 1));
    let mut near = gateway(random_tables(&mut random), 1, &sa);
    let mut far = gateway(tables(SECOND, |_| {}), 1, &sa.mirrored());
    for (gateway, watched) in [(&near, watched.near), (&far, watched.far)] {
        if watched {
            gateway.watch(&[Lens::default()]);
        }
    }
    let mut bursts = Vec::new();
    for burst in frames.chunks(32) {
        for _ in 0..changing.below(3) {
            change_something(&mut changing, &mut near, &mut far, suite());
        }
        let sent = near.feed(0, LAN, burst);
        let (sealed, mut clear): (Vec<_>, Vec<_>) =
            sent.into_iter().map(|(_, frame)| frame).partition(|frame| protocol(ip_of(frame)) == 50);
        let arrive = |frame: &Vec<u8>| {
            let frame = to_port(WAN, ip_of(frame));
            if distort { distorted(&mut random, frame) } else { frame }
        };
        let arriving: Vec<_> = sealed.iter().map(arrive).collect();
        clear.extend(sealed.iter().map(|frame| sealed_for(frame)));
        clear.extend(far.feed(0, WAN, &arriving).into_iter().map(|(_, frame)| frame));
        clear.sort();
        bursts.push(clear);
        for gateway in [&near, &far] {
            gateway.exceptions();
            gateway.notices();
            gateway.journeys();
            gateway.assert_balanced();
        }
    }
    Outcome { bursts, dropped_near: near.all_drops(), dropped_far: far.all_drops() }
}

/// Ethernet header, outer addresses and SPI of an ESP packet.
fn sealed_for(frame: &[u8]) -> Vec<u8> {
    [&frame[..14], &frame[26..38]].concat()
}

/// A frame with IPv4 as links, routers and attackers may leave it.
fn distorted(random: &mut Random, mut frame: Vec<u8>) -> Vec<u8> {
    let (at, bit) = (14 + random.below(20), 1 << random.below(8));
    match random.below(16) {
        0 => frame.extend([0xa5; 20]),
        1 => drop(frame.splice(12..12, [0x81, 0, 0xe0, 0])),
        2 => drop(frame.splice(12..12, [0x81, 0, 0xe0, 5])),
        3 => frame[..6].fill(0xff),
        4 => frame[12..14].copy_from_slice(&pick(random, &[[0x08, 0x06], [0x86, 0xdd]])),
        5 => frame.truncate(at),
        6 => frame[at] ^= bit,
        7 => frame[15] |= 3,
        8 => frame[22] = 1,
        9 => {
            frame[at] ^= bit;
            frame[24..26].fill(0);
            let checksum = checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        }
        _ => {}
    }
    frame
}

fn syn(random: &mut Random) -> Vec<u8> {
    let flags = pick(random, &[0x02, 0x12, 0x10]);
    let mut segment =
        vec![3, 232, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, flags, 255, 255, 0, 0, 0, 0, 2, 4, 5, 180];
    segment.extend(vec![7; random.below(50)]);
    FORTH.packet(6, &segment)
}

#[test]
fn the_express_lane_changes_nothing_but_the_cost() {
    let mut random = Random(17);
    for _ in 0..12 {
        let flow = |n| if n % 4 == 0 { syn(&mut random) } else { random_inner(&mut random) };
        let flows: Vec<_> = (0..40).map(flow).collect();
        let mut frame = || {
            let flow = &flows[random.below(flows.len())];
            distorted(&mut random, to_port(LAN, flow))
        };
        let frames: Vec<_> = (0..480).map(|_| frame()).collect();
        let seed = random.next();
        for distort in [false, true] {
            let express = through_both(seed, &frames, Watched { near: false, far: false }, distort);
            // Out of the near gateway comes the same, but not in the same order: not to be distorted, then.
            let watched = Watched { near: !distort, far: true };
            assert_eq!(express, through_both(seed, &frames, watched, distort));
        }
    }
}

#[test]
fn a_flow_out_of_an_sa_follows_its_neighbour_and_ends_with_the_sa() {
    let sa = ChildSa::new(suite());
    let mut near = gateway(tables(FIRST, |_| {}), 1, &sa);
    let mut far = gateway(tables(SECOND, |_| {}), 1, &sa.mirrored());
    let mut through = |far: &mut Gateway| {
        let sealed = near.feed(0, LAN, &[to_port(LAN, &FORTH.udp(1000, 53, 20))]);
        let arriving: Vec<_> = sealed.iter().map(|(_, frame)| to_port(WAN, ip_of(frame))).collect();
        far.feed(0, WAN, &arriving)
    };
    assert_eq!([through(&mut far).len(), through(&mut far).len()], [1, 1]);

    let neighbour = Neighbour { state: NeighbourState::Reachable, mac: MacAddr([2, 0, 0, 0, 0, 0x77]) };
    let moved = Change::PutNeighbour { interface: LAN_IF, address: address(SECOND.host), neighbour };
    far.tables.apply(moved).expect("a neighbour");
    far.tables.commit();
    assert_eq!(through(&mut far)[0].1[..6], neighbour.mac.0);

    // Another SA under the same SPI, which does not carry the flow.
    let other = SelectorPair::between(prefix("10.2.0.8/29"), prefix(FIRST.network));
    let other = ChildSa { selector: Some(other), ..sa.mirrored() };
    far.tables.apply(Change::FreeSpi(other.spi())).expect("it is there");
    other.install(&mut far.tables, &*far.engine);
    assert!(through(&mut far).is_empty());
    assert_eq!(far.drops(DropReason::InnerSelector), 1);
}
