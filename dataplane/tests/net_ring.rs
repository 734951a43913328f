//! The whole worker over net_ring ports: packets in, packets out, byte for byte, one and two workers.
//!
//! DPDK starts once in a process: one test, its cases in sequence. The workers are driven by this thread,
//! one round each in turn, so that every run is the same.

mod common;
#[path = "common/rig.rs"]
mod rig;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::SLOTS;
use common::frames::{FORTH, HOST_MAC, PEER_MAC, ethernet, forwarded, ip_of};
use common::golden::{Golden, bytes, load};
use common::setup::{ChildSa, SECOND, tables};
use esplanade_dataplane::journey::{Lens, Photo, Point, Step};
use esplanade_dataplane::worker::Balance;
use esplanade_dataplane::worker::counters::{Figure, Row};
use rig::{Rig, World, collect, inject};
use shm::counters::CountersReader;

#[test]
fn packets_in_packets_out() {
    let world = World::start("ring_test", 4095);
    for (name, workers, owner) in [("one", 1, 0), ("two", 2, 0), ("other", 2, 1)] {
        seals_what_scapy_seals(&world, name, workers, owner);
        opens_what_scapy_sealed(&world, name, workers, owner);
    }
    many_packets_from_both_queues(&world);
    threads_start_forward_and_stop(&world);
    assert_eq!(world.pool.in_use(), 0, "a leak");
}

/// Whatever a worker says of its time is about the same turns and packets as its other counters.
fn assert_times_add_up(reader: &CountersReader, workers: usize) {
    for worker in 0..workers {
        let figure = |figure: Figure| reader.worker_figure(worker, figure as usize);
        let sum = |row: Row| {
            (0..row.places()).map(|place| reader.worker_figure(worker, row.index(place))).sum::<u64>()
        };
        let received: u64 = (0..SLOTS).map(|slot| reader.interface_by_worker(worker, slot).rx_packets).sum();
        let came = received + figure(Figure::FromAgent) + figure(Figure::TakenOver);
        assert_eq!(figure(Figure::Packets), came);
        assert_eq!(sum(Row::BurstSizes), figure(Figure::Bursts));
        assert!(figure(Figure::TimedPackets) <= came);
        assert!(sum(Row::StageTicks) <= figure(Figure::BusyTicks), "stages are parts of busy turns");
        // Between two turns lies a gap or a sleep; the last sleep may have no turn behind it.
        let between = figure(Figure::Bursts) + figure(Figure::EmptyPolls) - 1;
        let gaps_and_sleeps = sum(Row::Gaps) + figure(Figure::Sleeps);
        assert!((between..=between + 1).contains(&gaps_and_sleeps), "{between} {gaps_and_sleeps}");
    }
}

fn gcm(golden: &&Golden) -> bool {
    golden.suite == (20, 128, 0) || golden.suite == (12, 256, 12)
}

fn seals_what_scapy_seals(world: &World, name: &str, workers: usize, owner: u16) {
    let engine = crypto::select(crypto::Preference::Auto).expect("an engine").backend;
    for (i, golden) in load("sealed.json").iter().filter(gcm).enumerate() {
        let sa = ChildSa {
            esn: golden.esn.is_some(),
            udp: golden.natt,
            theirs: golden.spi,
            outbound_keys: (bytes(&golden.enc_key), bytes(&golden.auth_key)),
            worker: owner,
            ..ChildSa::new(golden.suite())
        };
        let mut tables = tables(sa.side, |_| {});
        sa.install(&mut tables, &*engine);
        let outbound = tables.sad().entry(sa.spi()).and_then(|e| e.outbound.clone()).expect("installed");
        let before = u64::from(golden.esn.unwrap_or(0)) << 32 | u64::from(golden.seq - 1);
        outbound.sequence.resume_after(packet::esp::SeqNo(before));
        let mut rig = Rig::new(world, &format!("s{i}{name}"), workers, tables, &*engine);
        let mut inner = bytes(&golden.inner);
        inner[8] += 1;
        inner[10..12].fill(0);
        let sum = packet::headers::checksum::checksum(&inner[..20]);
        inner[10..12].copy_from_slice(&sum.to_be_bytes());
        let frame = ethernet(rig.mac(1), HOST_MAC, &inner);
        inject(&mut rig.lan[0], &world.pool, &[frame]);
        rig.settle();
        let expected = ethernet(PEER_MAC, rig.mac(0), &bytes(&golden.wire));
        // The owner transmits, on its own queue.
        assert_eq!(collect(&mut rig.wan[usize::from(owner)]), [expected], "{name}: {golden:?}");
        rig.assert_balanced();
    }
}

fn opens_what_scapy_sealed(world: &World, name: &str, workers: usize, owner: u16) {
    let engine = crypto::select(crypto::Preference::Auto).expect("an engine").backend;
    for (i, golden) in load("golden.json").iter().filter(gcm).filter(|g| g.esn != Some(1)).enumerate() {
        let sa = ChildSa {
            side: SECOND,
            esn: golden.esn.is_some(),
            udp: golden.natt,
            ours: golden.spi,
            inbound_keys: (bytes(&golden.enc_key), bytes(&golden.auth_key)),
            worker: owner,
            ..ChildSa::new(golden.suite())
        };
        let mut tables = tables(SECOND, |_| {});
        sa.install(&mut tables, &*engine);
        let mut rig = Rig::new(world, &format!("o{i}{name}"), workers, tables, &*engine);
        let frame = ethernet(rig.mac(0), PEER_MAC, &bytes(&golden.wire));
        inject(&mut rig.wan[0], &world.pool, &[frame.clone(), frame]);
        rig.settle();
        let expected = ethernet(HOST_MAC, rig.mac(1), &forwarded(&bytes(&golden.inner)));
        assert_eq!(collect(&mut rig.lan[usize::from(owner)]), [expected], "{name}: once, and no replay");
        rig.assert_balanced();
    }
}

/// Two workers, packets on both queues, one owner: everything arrives, in order per queue.
fn many_packets_from_both_queues(world: &World) {
    let engine = crypto::select(crypto::Preference::Auto).expect("an engine").backend;
    let sa =
        ChildSa { worker: 1, ..ChildSa::new(crypto::Suite::from_transforms(20, 256, 0).expect("a suite")) };
    let rig = |name, sa: &ChildSa| {
        let mut tables = tables(sa.side, |_| {});
        sa.install(&mut tables, &*engine);
        Rig::new(world, name, 2, tables, &*engine)
    };
    let (mut first, mut second) = (rig("manya", &sa), rig("manyb", &sa.mirrored()));
    let packets: Vec<_> = (0..300).map(|i| FORTH.udp(1000 + i % 2, i, 100 + usize::from(i))).collect();
    for (queue, port) in [(0, 1000), (1, 1001)] {
        let of_queue = |p: &&Vec<u8>| p[20..22] == u16::to_be_bytes(port);
        let frames: Vec<_> =
            packets.iter().filter(of_queue).map(|p| ethernet(first.mac(1), HOST_MAC, p)).collect();
        inject(&mut first.lan[queue], &first.pool, &frames);
    }
    first.settle();
    assert!(collect(&mut first.wan[0]).is_empty());
    let sealed = collect(&mut first.wan[1]);
    assert_eq!(sealed.len(), 300);
    let frames: Vec<_> = sealed.iter().map(|f| ethernet(second.mac(0), PEER_MAC, ip_of(f))).collect();
    let (even, odd) = frames.split_at(150);
    inject(&mut second.wan[0], &second.pool, even);
    inject(&mut second.wan[1], &second.pool, odd);
    second.settle();
    let mut opened: Vec<_> = collect(&mut second.lan[1]).iter().map(|f| ip_of(f).to_vec()).collect();
    let mut expected: Vec<_> = packets.iter().map(|p| forwarded(&forwarded(p))).collect();
    opened.sort();
    expected.sort();
    assert_eq!(opened, expected);
    assert_eq!(second.reader.worker_figure(0, Figure::HandedOver as usize), 150);
    for gateway in [&first, &second] {
        gateway.assert_balanced();
        assert_times_add_up(&gateway.reader, 2);
    }
}

/// The real thing: lcores that run, sleep, are handed packets, are watched, and stop.
fn threads_start_forward_and_stop(world: &World) {
    let engine = crypto::select(crypto::Preference::Auto).expect("an engine").backend;
    let sa =
        ChildSa { worker: 1, ..ChildSa::new(crypto::Suite::from_transforms(20, 128, 0).expect("a suite")) };
    let mut tables = tables(sa.side, |_| {});
    sa.install(&mut tables, &*engine);
    let mut rig = Rig::new(world, "threads", 2, tables, &*engine);
    let workers: Vec<_> = rig.workers.drain(..).zip(world.eal.take_workers()).collect();
    let handles: Vec<_> =
        workers.into_iter().map(|(worker, lcore)| lcore.spawn(move || worker.run())).collect();
    let packets: Vec<_> = (0..500).map(|i| FORTH.udp(1000, 2000, i)).collect();
    let frames: Vec<_> = packets.iter().map(|p| ethernet(rig.mac(1), HOST_MAC, p)).collect();
    let (stock, mut journeys) = (Arc::clone(&rig.shared.stock), Vec::new());
    watch(&rig);
    let mut sealed = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    for burst in frames.chunks(32) {
        inject(&mut rig.lan[0], &rig.pool, burst);
        let wanted = sealed.len() + burst.len();
        while sealed.len() < wanted && Instant::now() < deadline {
            sealed.extend(collect(&mut rig.wan[1]));
            journeys.extend(std::iter::from_fn(|| stock.next_finished()));
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    rig.shared.request_stop();
    for handle in handles {
        let (_, ended) = handle.join();
        ended.expect("no panic").expect("rings are polled");
    }
    assert_eq!(sealed.len(), 500);
    let seqs = sealed.iter().map(|f| u32::from_be_bytes([f[38], f[39], f[40], f[41]]));
    assert!(seqs.eq(1..=500), "one owner: one order");
    let balance = Balance::read(&rig.reader, 2);
    assert_eq!((balance.missing(), balance.sent), (0, 500), "{balance:?}");
    assert_times_add_up(&rig.reader, 2);
    let seats = rig.shared.mailboxes.iter().map(|mailbox| mailbox.seat.get().and_then(|seat| seat.lcore));
    assert!(seats.eq([Some(1), Some(2)]), "each worker says which lcore it is");
    journeys.extend(std::iter::from_fn(|| stock.next_finished()));
    assert_eq!((journeys.len(), stock.lost()), (500, 0));
    for journey in journeys {
        let workers: Vec<_> = journey.steps.iter().map(|noted| noted.worker).collect();
        assert!(workers.is_sorted() && workers.contains(&0), "from the first to the owner: {workers:?}");
        assert!(matches!(journey.steps.last().map(|noted| noted.step), Some(Step::Sent { .. })));
        assert_eq!(journey.shots.len(), 1, "the ESP packet");
        stock.give_back(journey);
    }
    stock.empty();
    assert!(stock.is_empty(), "a worker kept something");
}

/// As the agent does for a capture of everything.
fn watch(rig: &Rig) {
    rig.shared.stock.fill(true);
    let photo = Some(Photo { point: Point::PostCrypto, snap_len: 9000 });
    for mailbox in &rig.shared.mailboxes {
        mailbox.lenses.force_push([Lens { photo, ..Lens::default() }].into_iter().collect());
    }
}
