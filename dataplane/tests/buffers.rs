//! Packet buffers of DPDK that are not as one would like them: in pieces, too short, too long, or all gone.
//!
//! DPDK starts once in a process: one test, its cases in sequence.

mod common;
#[path = "common/rig.rs"]
mod rig;

use arrayvec::ArrayVec;
use common::SLOTS;
use common::frames::{FORTH, HOST_MAC, Ip, PEER_MAC, ethernet, forwarded, ip_of};
use common::setup::{ChildSa, SECOND, tables};
use crypto::Suite;
use dpdk::{Mbuf, RingPeer};
use packet::DropReason;
use rig::{Rig, World, collect, inject};

#[test]
fn buffers_in_every_shape() {
    let world = World::start("shapes", 1023);
    let mut pair = Pair::new(&world);
    chains_pass_wherever_they_are_split(&mut pair);
    a_chain_that_fits_no_buffer_is_dropped_by_name(&mut pair);
    short_frames_are_dropped_by_name(&mut pair);
    without_buffers_what_needs_one_is_dropped_by_name(&mut pair);
    drop(pair);
    assert_eq!(world.pool.in_use(), 0, "a leak");
}

/// Two gateways that face each other.
struct Pair {
    first: Rig,
    second: Rig,
}

impl Pair {
    fn new(world: &World) -> Self {
        let engine = crypto::select(crypto::Preference::Auto).expect("an engine").backend;
        let sa = ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite"));
        let rig = |name, side, sa: &ChildSa| {
            let mut tables = tables(side, |_| {});
            sa.install(&mut tables, &*engine);
            Rig::new(world, name, 1, tables, &*engine)
        };
        Self { first: rig("shapea", sa.side, &sa), second: rig("shapeb", SECOND, &sa.mirrored()) }
    }

    fn seal(&mut self, frame: Mbuf) -> Vec<Vec<u8>> {
        pass(&mut self.first, 1, frame)
    }

    fn open(&mut self, frame: Mbuf) -> Vec<Vec<u8>> {
        pass(&mut self.second, 0, frame)
    }
}

/// One frame in at a port (0 outside, 1 inside); what leaves at the other one.
fn pass(rig: &mut Rig, port: usize, frame: Mbuf) -> Vec<Vec<u8>> {
    let (from, to) = if port == 0 { (&mut rig.wan, &mut rig.lan) } else { (&mut rig.lan, &mut rig.wan) };
    put(&mut from[0], frame);
    while rig.workers[0].turn() > 0 {}
    collect(&mut to[0])
}

fn put(peer: &mut RingPeer, frame: Mbuf) {
    let mut burst: ArrayVec<Mbuf, 1> = ArrayVec::from([frame]);
    assert_eq!(peer.inject(&mut burst), 1, "the ring has room");
}

/// A chain of a segment for each part.
fn chained(rig: &Rig, parts: &[&[u8]]) -> Mbuf {
    let segment = |part: &[u8]| {
        let mut mbuf = rig.pool.alloc().expect("a buffer");
        mbuf.extend_from_slice(part).expect("it fits");
        mbuf
    };
    let mut segments = parts.iter().map(|part| segment(part));
    let mut first = segments.next().expect("a first part");
    for next in segments {
        first.chain(next).expect("few segments");
    }
    first
}

fn drops(rig: &Rig, reason: DropReason) -> u64 {
    (0..SLOTS).map(|slot| rig.reader.interface_totals(slot).drops[reason.index()]).sum()
}

/// Two segments, split at every byte of all headers and a few beyond, and three of a few bytes; both ways.
fn chains_pass_wherever_they_are_split(pair: &mut Pair) {
    let inner = FORTH.udp(1000, 2000, 40);
    let plain = ethernet(pair.first.mac(1), HOST_MAC, &inner);
    for split in 1..plain.len() {
        let (head, tail) = plain.split_at(split);
        let middle = tail.len().min(3);
        let parts = [&[head, tail][..], &[head, &tail[..middle], &tail[middle..]]];
        let (sealing, opening) = (parts[split % 2], split % 2 == 0);
        let frame = chained(&pair.first, sealing);
        let sealed = pair.seal(frame);
        assert_eq!(sealed.len(), 1, "split at {split}");
        let outer = ethernet(pair.second.mac(0), PEER_MAC, ip_of(&sealed[0]));
        let (head, tail) = outer.split_at(split);
        let parts = if opening { vec![head, tail] } else { vec![head, &tail[..1], &tail[1..]] };
        let frame = chained(&pair.second, &parts);
        let opened = pair.open(frame);
        assert_eq!(opened.len(), 1, "split at {split}");
        assert_eq!(ip_of(&opened[0]), forwarded(&forwarded(&inner)), "split at {split}");
    }
    pair.first.assert_balanced();
    pair.second.assert_balanced();
}

fn a_chain_that_fits_no_buffer_is_dropped_by_name(pair: &mut Pair) {
    let inner = FORTH.udp(1000, 2000, 3000);
    let frame = ethernet(pair.first.mac(1), HOST_MAC, &inner);
    let (head, tail) = frame.split_at(1500);
    let chain = chained(&pair.first, &[head, tail]);
    assert_eq!(pair.seal(chain), Vec::<Vec<u8>>::new());
    let outer = ethernet(pair.second.mac(0), PEER_MAC, &FORTH.packet(50, &[0xab; 3000]));
    let (head, tail) = outer.split_at(1000);
    let chain = chained(&pair.second, &[head, tail]);
    assert_eq!(pair.open(chain), Vec::<Vec<u8>>::new());
    for rig in [&pair.first, &pair.second] {
        assert_eq!(drops(rig, DropReason::FrameChained), 1);
        rig.assert_balanced();
    }
}

/// Every length from nothing up to the whole frame, both ways: one drop each, and the next good packet passes.
fn short_frames_are_dropped_by_name(pair: &mut Pair) {
    let dropped = |rig: &Rig| DropReason::ALL.iter().map(|reason| drops(rig, *reason)).sum::<u64>();
    let inner = FORTH.udp(1000, 2000, 20);
    let plain = ethernet(pair.first.mac(1), HOST_MAC, &inner);
    let frame = chained(&pair.first, &[&plain]);
    let sealed = pair.seal(frame);
    let outer = ethernet(pair.second.mac(0), PEER_MAC, ip_of(&sealed[0]));
    for (port, whole) in [(1, &plain), (0, &outer)] {
        let rig = if port == 1 { &mut pair.first } else { &mut pair.second };
        for len in 0..whole.len() {
            let before = (dropped(rig), drops(rig, DropReason::FrameTruncated));
            let frame = chained(rig, &[&whole[..len]]);
            assert_eq!(pass(rig, port, frame), Vec::<Vec<u8>>::new(), "{len} bytes");
            let after = (dropped(rig), drops(rig, DropReason::FrameTruncated));
            assert_eq!(after, (before.0 + 1, before.1 + 1), "{len} bytes");
        }
        let frame = chained(rig, &[whole]);
        assert_eq!(pass(rig, port, frame).len(), 1);
        rig.assert_balanced();
    }
}

/// Fragmentation needs buffers; what comes next does not.
fn without_buffers_what_needs_one_is_dropped_by_name(pair: &mut Pair) {
    let large = Ip { dont_fragment: false, ..FORTH }.udp(1000, 2000, 1460);
    let frames = [large, FORTH.udp(1000, 2000, 100)].map(|p| ethernet(pair.first.mac(1), HOST_MAC, &p));
    let pool = pair.first.pool;
    inject(&mut pair.first.lan[0], &pool, &frames);
    let hoard: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc().ok()).collect();
    pair.first.settle();
    assert_eq!(drops(&pair.first, DropReason::BufferExhausted), 1);
    assert_eq!(collect(&mut pair.first.wan[0]).len(), 1, "the packet that needs no buffer");
    drop(hoard);
    inject(&mut pair.first.lan[0], &pool, &frames);
    pair.first.settle();
    assert_eq!(drops(&pair.first, DropReason::BufferExhausted), 1);
    assert_eq!(collect(&mut pair.first.wan[0]).len(), 3, "two fragments and a packet");
    pair.first.assert_balanced();
}
