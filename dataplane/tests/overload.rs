//! A worker to which ten times more comes than it handles: what it drops, and what it must not.

mod common;

use arrayvec::ArrayVec;
use common::frames::{FORTH, Ip, Random, ethernet, ip_of, to_port};
use common::setup::{ChildSa, FIRST, SECOND, Side, TUNNEL, tables};
use common::{Gateway, LAN, WAN, port_mac};
use crypto::Suite;
use esplanade_dataplane::shared::ExceptionKind;
use esplanade_dataplane::worker::counters::Figure;
use esplanade_dataplane::worker::{BURST, HOLD, HeapBuffer};
use packet::decide::IkeStanding;
use packet::tables::Change;
use packet::{DropReason, MacAddr, PortId, TunnelId};

/// The tunnel that a flood is sent through, or pretends to be.
const FLOODED: TunnelId = TunnelId(2);
const FLOODER: Side = Side { peer: "192.0.2.3", ..FIRST };
const US: [u8; 4] = [192, 0, 2, 1];
/// Rounds of a test, and what they bring: ten bursts.
const ROUNDS: usize = 120;
const OFFERED: usize = 10 * BURST;
/// Of those, honest in each direction.
const HONEST: usize = 3;

fn suite() -> Suite {
    Suite::from_transforms(20, 128, 0).expect("a suite")
}

/// A gateway with an honest tunnel and another one, and packets of each, sealed by its peer.
struct Scene {
    gateway: Gateway,
    honest: Vec<Vec<u8>>,
    flooder: Vec<Vec<u8>>,
    /// What the agent took.
    left: Vec<ExceptionKind>,
    random: Random,
}

impl Scene {
    fn new() -> Self {
        let mut gateway = Gateway::new(1, tables(FIRST, |_| {}));
        let honest = ChildSa { replay_window: 32_768, ..ChildSa::new(suite()) };
        let other = ChildSa {
            side: FLOODER,
            ours: 0x1000_0103,
            theirs: 0x2000_0203,
            tunnel: FLOODED,
            ..honest.clone()
        };
        let tunnel = *gateway.tables.tunnel(TUNNEL).expect("it is there");
        let put = Change::PutTunnel(packet::tables::Tunnel { id: FLOODED, connection: 2, ..tunnel });
        gateway.tables.apply(put).expect("valid");
        honest.install(&mut gateway.tables, &*gateway.engine);
        other.install(&mut gateway.tables, &*gateway.engine);
        let sealed = |sa: &ChildSa, source: [u8; 4], count| {
            let mirrored = ChildSa { side: FIRST, tunnel: TUNNEL, ..sa.clone() }.mirrored();
            let mut peer = Gateway::new(1, tables(SECOND, |_| {}));
            mirrored.install(&mut peer.tables, &*peer.engine);
            let inner = vec![to_port(LAN, &FORTH.back().udp(2000, 1000, 100)); count];
            let outer = peer.feed(0, LAN, &inner);
            outer.iter().map(|(_, frame)| from(source, ip_of(frame))).collect()
        };
        Self {
            honest: sealed(&honest, [192, 0, 2, 2], HONEST * ROUNDS),
            flooder: sealed(&other, [192, 0, 2, 3], 2000),
            gateway,
            left: Vec::new(),
            random: Random(11),
        }
    }

    /// Runs the rounds with a flood made by `flood` and returns what came out: decrypted, and sealed.
    fn run(&mut self, mut flood: impl FnMut(&mut Random, &[Vec<u8>]) -> (PortId, Vec<u8>)) -> [usize; 2] {
        (0..16).for_each(|_| self.gateway.pipelines[0].note_load(true));
        assert!(self.gateway.pipelines[0].is_behind());
        let outward = to_port(LAN, &FORTH.udp(1000, 2000, 100));
        for round in 0..ROUNDS {
            let mut batch: Vec<_> =
                (0..OFFERED - 2 * HONEST).map(|_| flood(&mut self.random, &self.flooder)).collect();
            let inward = self.honest[round * HONEST..][..HONEST].iter().map(|frame| (WAN, frame.clone()));
            for honest in inward.chain((0..HONEST).map(|_| (LAN, outward.clone()))) {
                let at = self.random.below(batch.len() + 1);
                batch.insert(at, honest);
            }
            self.round(batch);
        }
        while !self.round(Vec::new()) {}
        let frames = std::mem::take(&mut self.gateway.wire.frames);
        [LAN, WAN].map(|to| frames.iter().filter(|(port, _)| *port == to).count())
    }

    /// One round of the worker, a millisecond; true if there was nothing to do.
    fn round(&mut self, batch: Vec<(PortId, Vec<u8>)>) -> bool {
        let Gateway { pipelines, tables, wire, now, .. } = &mut self.gateway;
        let pipeline = &mut pipelines[0];
        let mut arrivals = ArrayVec::new();
        pipeline.gather(tables, &mut arrivals, *now);
        let full = batch.len() > BURST;
        for (port, frame) in batch {
            pipeline.stage(port, std::iter::once(HeapBuffer::new(&frame)));
        }
        pipeline.choose(tables, &mut arrivals, full, *now);
        let idle = arrivals.is_empty();
        pipeline.process(tables, &mut arrivals, wire, *now);
        *now += 1;
        self.left.extend(self.gateway.exceptions().into_iter().map(|exception| exception.kind));
        idle
    }

    /// Everything honest came through, the flood was shed, and each packet was counted once.
    fn assert_fair(&self, [inward, outward]: [usize; 2]) {
        assert_eq!([inward, outward], [HONEST * ROUNDS; 2], "{:?}", self.gateway.all_drops());
        let shed = self.gateway.drops(DropReason::OverloadFairShare);
        let offered = OFFERED * ROUNDS;
        let handled = BURST * ROUNDS + HOLD;
        assert_eq!(shed, u64::try_from(offered - handled).expect("more"), "no capacity is left over");
        assert!(self.gateway.reader.worker_figure(0, Figure::Overloaded as usize) > 0);
        self.gateway.assert_balanced();
    }
}

/// The packet with another source address, in a frame to our outside port.
fn from(source: [u8; 4], packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[12..16].copy_from_slice(&source);
    packet[10..12].fill(0);
    let sum = packet::headers::checksum::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    to_port(WAN, &packet)
}

fn outside(source: [u8; 4]) -> Ip {
    Ip { src: source.into(), dst: US.into(), ..FORTH }
}

fn anybody(random: &mut Random) -> [u8; 4] {
    [203, random.byte(), random.byte(), random.byte().max(1)]
}

/// Makes a packet of a kind.
type Maker<'a> = &'a dyn Fn(&mut Random) -> Vec<u8>;

/// An IKE message without a responder's SPI, in UDP without a checksum.
fn first_contact(ip: Ip) -> Vec<u8> {
    ip.packet(17, &[&[1, 0xf4, 1, 0xf4, 0, 208, 0, 0][..], &[0; 200]].concat())
}

#[test]
fn a_tunnel_that_sends_too_much_takes_nothing_from_another() {
    let mut scene = Scene::new();
    let mut next = 0;
    // Valid at first, then the same again and again.
    let [inward, outward] = scene.run(|_, sealed| {
        next += 1;
        (WAN, sealed[next % sealed.len()].clone())
    });
    let valid = inward - HONEST * ROUNDS;
    assert!(valid >= 1000, "{valid}: it has its share as well");
    scene.assert_fair([inward - valid, outward]);
}

#[test]
fn a_forger_does_not_touch_the_tunnel_whose_spi_it_knows() {
    let mut scene = Scene::new();
    let forged = ip_of(&scene.honest[0].clone()).to_vec();
    let passed = scene.run(|random, _| (WAN, from(anybody(random), &forged)));
    scene.assert_fair(passed);
}

#[test]
fn strangers_of_every_kind_have_small_shares() {
    let esp = |random: &mut Random| {
        let spi = [0x55, random.byte(), random.byte(), random.byte()];
        outside(anybody(random)).packet(50, &[&spi[..], &[0; 60]].concat())
    };
    let fragment = |random: &mut Random| {
        let mut packet = outside(anybody(random)).packet(50, &[9; 64]);
        packet[6] = 0x20;
        packet
    };
    let first_contact = |random: &mut Random| first_contact(outside(anybody(random)));
    let kinds: [Maker<'_>; 3] = [&esp, &fragment, &first_contact];
    for kind in kinds {
        let mut scene = Scene::new();
        let passed = scene.run(|random, _| (WAN, to_port(WAN, &kind(random))));
        scene.assert_fair(passed);
    }
    let mut scene = Scene::new();
    let passed = scene.run(|random, sealed| {
        let kind = random.below(kinds.len() + 2);
        let packet = match kinds.get(kind) {
            Some(kind) => to_port(WAN, &kind(random)),
            None if kind == kinds.len() => sealed[random.below(sealed.len())].clone(),
            None => {
                let bytes: Vec<u8> = (0..64).map(|_| random.byte()).collect();
                ethernet(port_mac(WAN), MacAddr([2; 6]), &bytes)
            }
        };
        (WAN, packet)
    });
    let [inward, outward] = passed;
    assert!(inward >= HONEST * ROUNDS && outward == HONEST * ROUNDS, "{passed:?}");
}

#[test]
fn known_peers_and_neighbours_are_heard_in_a_flood() {
    let mut scene = Scene::new();
    let ike = to_port(WAN, &first_contact(outside([192, 0, 2, 2])));
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 0x20, 8, 6], &[0; 46]].concat();
    let mut count = 0;
    let passed = scene.run(|random, _| {
        count += 1;
        match count % 500 {
            0 => (WAN, ike.clone()),
            1 => (WAN, arp.clone()),
            _ => (WAN, to_port(WAN, &first_contact(outside(anybody(random))))),
        }
    });
    assert_eq!(passed, [HONEST * ROUNDS; 2]);
    let kinds = |wanted: ExceptionKind| scene.left.iter().filter(|kind| **kind == wanted).count();
    let each = count / 500;
    assert_eq!(kinds(ExceptionKind::Ike { standing: IkeStanding::Peer }), each);
    assert_eq!(kinds(ExceptionKind::Arp), each + 1);
}

#[test]
fn a_burst_that_the_hold_takes_is_no_overload() {
    let mut scene = Scene::new();
    (0..8).for_each(|_| scene.gateway.pipelines[0].note_load(true));
    let outward = to_port(LAN, &FORTH.udp(1000, 2000, 100));
    scene.round(vec![(LAN, outward.clone()); HOLD]);
    while !scene.round(Vec::new()) {}
    assert_eq!(scene.gateway.wire.frames.len(), HOLD);
    assert_eq!(scene.gateway.all_drops(), []);
    // It has caught up after some quiet rounds, and not before.
    assert!(scene.gateway.pipelines[0].is_behind());
    assert!((0..32).all(|_| scene.round(Vec::new())));
    assert!(!scene.gateway.pipelines[0].is_behind());
}

#[test]
fn full_rounds_must_follow_one_another() {
    let mut scene = Scene::new();
    let pipeline = &mut scene.gateway.pipelines[0];
    for _ in 0..10 {
        (0..7).for_each(|_| pipeline.note_load(true));
        pipeline.note_load(false);
    }
    assert!(!pipeline.is_behind());
}
