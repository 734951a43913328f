//! The limits of a connection, held by workers that own different SAs of it.

mod common;

use std::sync::Arc;

use common::frames::{FORTH, ip_of, to_port};
use common::setup::{ChildSa, FIRST, SECOND, tables};
use common::{Gateway, LAN, TICKS_PER_SECOND, WAN};
use crypto::Suite;
use packet::DropReason;
use packet::policer::{Policer, PolicerRates};
use packet::sad::SadEntry;
use packet::tables::Change;

/// Offered in each direction: three times what any of the limits below lets through of 1,000 bytes.
const OFFERED_PER_STEP: u64 = 3;
const STEPS_PER_SECOND: u64 = 100;
const SECONDS: u64 = 4;
/// 100 packets a second of 1,000 bytes.
const BANDWIDTH: PolicerRates =
    PolicerRates { bits_per_second: 800_000, packets_per_second: 0, burst_ms: 100 };
const PACKETS: PolicerRates = PolicerRates { bits_per_second: 0, packets_per_second: 100, burst_ms: 100 };

/// A gateway, what it receives with, and a peer that sends to it.
struct Scene {
    gateway: Gateway,
    receiving: ChildSa,
    sending: ChildSa,
    peer: Gateway,
}

impl Scene {
    /// With two workers, one receives and the other sends.
    fn new(workers: u16) -> Self {
        let suite = Suite::from_transforms(20, 128, 0).expect("a suite");
        let receiving = ChildSa { worker: workers - 1, ..ChildSa::new(suite) };
        let sending = ChildSa { ours: 0x1000_0101, theirs: 0x2000_0201, worker: 0, ..ChildSa::new(suite) };
        let mut gateway = Gateway::new(workers.into(), tables(FIRST, |_| {}));
        gateway.now = TICKS_PER_SECOND;
        receiving.install(&mut gateway.tables, &*gateway.engine);
        sending.install(&mut gateway.tables, &*gateway.engine);
        let mut peer = Gateway::new(1, tables(SECOND, |_| {}));
        let mirrored = ChildSa { worker: 0, ..receiving.mirrored() };
        mirrored.install(&mut peer.tables, &*peer.engine);
        Self { gateway, receiving, sending, peer }
    }

    fn limit(&mut self, rates: PolicerRates) {
        let policer = Policer::new(rates, self.gateway.pipelines.len(), TICKS_PER_SECOND);
        let put = Change::PutPolicer { connection: 1, policer: Arc::new(policer) };
        self.gateway.tables.apply(put).expect("valid");
        self.gateway.tables.commit();
    }

    /// Packets of 1,000 bytes, sealed by the peer.
    fn sealed(&mut self, count: u64) -> Vec<Vec<u8>> {
        let inner = to_port(LAN, &FORTH.back().udp(2000, 1000, 1000 - 28));
        let frames = vec![inner; usize::try_from(count).expect("few")];
        self.peer.feed(0, LAN, &frames).iter().map(|(_, frame)| to_port(WAN, ip_of(frame))).collect()
    }

    /// One step: as many packets in either direction. Returns how many passed inwards and outwards.
    fn exchange(&mut self, inbound: u64, outbound: u64) -> [u64; 2] {
        let sealed = self.sealed(inbound);
        let outward = to_port(LAN, &FORTH.udp(1000, 2000, 1000 - 28));
        let outward = vec![outward; usize::try_from(outbound).expect("few")];
        let receiver = usize::from(self.receiving.worker);
        let count = |frames: Vec<_>| u64::try_from(frames.len()).expect("few");
        let passed =
            [count(self.gateway.feed(receiver, WAN, &sealed)), count(self.gateway.feed(0, LAN, &outward))];
        self.gateway.now += TICKS_PER_SECOND / STEPS_PER_SECOND;
        passed
    }

    fn run(&mut self) -> [u64; 2] {
        let all = (0..SECONDS * STEPS_PER_SECOND).map(|_| self.exchange(OFFERED_PER_STEP, OFFERED_PER_STEP));
        all.fold([0, 0], |[a, b], [c, d]| [a + c, b + d])
    }

    fn entry(&self, sa: &ChildSa) -> &SadEntry<crypto::Key> {
        self.gateway.tables.sad().entry(sa.spi()).expect("installed")
    }
}

/// Within two parts in a hundred of a rate of 100 packets a second and a burst of 10.
fn assert_at_rate(passed: u64) {
    let expected = SECONDS * 100 + 10;
    assert!(passed.abs_diff(expected) * 50 <= expected, "{passed} passed, {expected} expected");
}

#[test]
fn bandwidth_is_each_directions_own() {
    for workers in [1, 2] {
        let mut scene = Scene::new(workers);
        scene.limit(BANDWIDTH);
        let passed = scene.run();
        passed.into_iter().for_each(assert_at_rate);
        let dropped = 2 * OFFERED_PER_STEP * STEPS_PER_SECOND * SECONDS - passed[0] - passed[1];
        assert_eq!(scene.gateway.all_drops(), [(DropReason::PolicerBandwidth, dropped)]);
        let inbound = scene.entry(&scene.receiving).inbound.as_ref().expect("installed");
        let outbound = scene.entry(&scene.sending).outbound.as_ref().expect("installed");
        assert_eq!(inbound.policed() + outbound.policed(), dropped);
        assert_eq!(
            [inbound.usage.packets(), outbound.usage.packets()],
            passed,
            "only what passes is charged"
        );
        assert_eq!(outbound.sequence.used().0, passed[1], "and numbered");
        scene.gateway.assert_balanced();
    }
}

#[test]
fn packets_are_counted_in_both_directions_together() {
    for workers in [1, 2] {
        let mut scene = Scene::new(workers);
        scene.limit(PACKETS);
        let passed = scene.run();
        assert_at_rate(passed[0] + passed[1]);
        let dropped = 2 * OFFERED_PER_STEP * STEPS_PER_SECOND * SECONDS - passed[0] - passed[1];
        assert_eq!(scene.gateway.drops(DropReason::PolicerPackets), dropped);
        scene.gateway.assert_balanced();
    }
}

#[test]
fn without_a_limit_and_below_it_nothing_is_lost() {
    let mut scene = Scene::new(2);
    assert_eq!(scene.exchange(50, 50), [50, 50]);
    scene.limit(BANDWIDTH);
    for _ in 0..100 {
        assert_eq!(scene.exchange(1, 1), [1, 1]);
    }
    assert_eq!(scene.gateway.all_drops(), []);
}

#[test]
fn forged_and_replayed_packets_use_nothing_up() {
    let mut scene = Scene::new(1);
    scene.limit(PACKETS);
    let genuine = scene.sealed(10);
    let forged: Vec<_> = genuine
        .iter()
        .map(|frame| {
            let mut frame = frame.clone();
            *frame.last_mut().expect("a tag") ^= 1;
            frame
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(scene.gateway.feed(0, WAN, &forged), []);
    }
    assert_eq!(scene.gateway.feed(0, WAN, &genuine[..9]).len(), 9);
    for _ in 0..10 {
        assert_eq!(scene.gateway.feed(0, WAN, &genuine[..9]), []);
    }
    assert_eq!(scene.gateway.feed(0, WAN, &genuine[9..]).len(), 1, "the tenth token was still there");
    assert_eq!(scene.gateway.drops(DropReason::PolicerPackets), 0);
}

#[test]
fn a_change_of_the_limits_leaves_the_sas_alone() {
    let mut scene = Scene::new(1);
    scene.limit(PolicerRates { packets_per_second: 10, ..PACKETS });
    let before = scene.entry(&scene.sending).outbound.clone().expect("installed");
    assert_eq!(scene.exchange(0, 10), [0, 1]);
    scene.limit(PACKETS);
    assert_eq!(scene.exchange(0, 20), [0, 10]);
    scene.gateway.tables.apply(Change::DeletePolicer { connection: 1 }).expect("it is there");
    assert_eq!(scene.exchange(0, 20), [0, 20]);
    let after = scene.entry(&scene.sending).outbound.as_ref().expect("installed");
    assert!(Arc::ptr_eq(&before, after));
    assert_eq!(after.sequence.used().0, 31);
}
