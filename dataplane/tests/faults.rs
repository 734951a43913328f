//! What runs out: queues and sequence numbers. Each costs the packets at hand, under a reason of its own, and nothing
//! after it.

mod common;

use common::frames::{FORTH, Ip, to_port};
use common::setup::{ChildSa, SECOND, tables};
use common::{Gateway, LAN, WAN, limits};
use crypto::Suite;
use esplanade_dataplane::shared::{Direction, Limit, Notice};
use packet::DropReason;
use packet::esp::SeqNo;
use std::net::Ipv4Addr;

fn gcm() -> ChildSa {
    ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite"))
}

fn gateway(workers: usize, sa: &ChildSa) -> Gateway {
    let mut gateway = Gateway::new(workers, tables(sa.side, |_| {}));
    sa.install(&mut gateway.tables, &*gateway.engine);
    gateway
}

/// So many pings from behind us into the tunnel, a burst at a time.
fn pings(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| to_port(LAN, &FORTH.ping(40 + i % 64))).collect()
}

#[test]
fn a_full_handoff_queue_drops_by_name_and_recovers() {
    let sa = ChildSa { worker: 1, ..gcm() };
    let mut gateway = gateway(2, &sa);
    let room = limits().handoff;
    gateway.feed_without_others(0, LAN, &pings(room + 40));
    assert_eq!(gateway.all_drops(), [(DropReason::HandoffFull, 40)]);
    gateway.settle();
    assert_eq!(std::mem::take(&mut gateway.wire.frames).len(), room, "those that found room are sealed");
    assert_eq!(gateway.feed(0, LAN, &pings(10)).len(), 10);
    gateway.assert_balanced();
}

#[test]
fn a_full_exception_queue_drops_by_name_and_recovers() {
    let mut gateway = gateway(1, &gcm());
    let to_us = Ip { dst: Ipv4Addr::new(10, 1, 0, 254), ..FORTH };
    // A quarter is kept for IKE and neighbour discovery.
    let room = limits().exceptions * 3 / 4;
    let frames = vec![to_port(LAN, &to_us.ping(56)); room + 25];
    assert_eq!(gateway.feed(0, LAN, &frames), []);
    assert_eq!(gateway.all_drops(), [(DropReason::ExceptionFull, 25)]);
    assert_eq!(gateway.exceptions().len(), room);
    gateway.feed(0, LAN, &frames[..10]);
    assert_eq!((gateway.exceptions().len(), gateway.drops(DropReason::ExceptionFull)), (10, 25));
    gateway.assert_balanced();
}

#[test]
fn a_full_transmit_queue_drops_by_name_and_recovers() {
    let mut gateway = gateway(1, &gcm());
    gateway.wire.stuck.push(WAN);
    assert_eq!(gateway.feed(0, LAN, &pings(70)), []);
    assert_eq!(gateway.all_drops(), [(DropReason::TxFull, 70)]);
    gateway.wire.stuck.clear();
    assert_eq!(gateway.feed(0, LAN, &pings(70)).len(), 70);
    gateway.assert_balanced();
}

/// The sequence notices among all.
fn sequence_limits(gateway: &Gateway) -> Vec<&'static str> {
    let limit = |notice| match notice {
        Notice::SoftLimit { direction: Direction::Outbound, limit: Limit::Sequence, .. } => Some("soft"),
        Notice::HardLimit { direction: Direction::Outbound, limit: Limit::Sequence, .. } => Some("hard"),
        _ => None,
    };
    gateway.notices().into_iter().filter_map(limit).collect()
}

#[test]
fn an_sa_ends_before_its_sequence_numbers_wrap_and_control_hears_of_it_in_time() {
    for esn in [false, true] {
        let sa = ChildSa { esn, ..gcm() };
        let mut gateway = gateway(1, &sa);
        let mut peer = Gateway::new(1, tables(SECOND, |_| {}));
        let mirrored = sa.mirrored();
        mirrored.install(&mut peer.tables, &*peer.engine);
        let outbound = gateway.tables.sad().entry(sa.spi()).and_then(|e| e.outbound.clone()).expect("there");
        let inbound = peer.tables.sad().entry(mirrored.spi()).and_then(|e| e.inbound.clone()).expect("there");
        let last = if esn { u64::MAX } else { u64::from(u32::MAX) };
        // The soft limit, an eighth of the space before the end.
        let soft = last - last / 8;
        outbound.sequence.resume_after(SeqNo(soft - 3));
        assert_eq!(gateway.feed(0, LAN, &pings(5)).len(), 5);
        assert_eq!(sequence_limits(&gateway), ["soft"]);
        // The very end: the peer takes the last packet, and nothing follows it.
        let near = SeqNo(last - 3);
        outbound.sequence.resume_after(near);
        inbound.replay.mark(near).expect("fresh");
        let sealed = gateway.feed(0, LAN, &pings(40));
        assert_eq!(sealed.len(), 3);
        assert_eq!(gateway.all_drops(), [(DropReason::SequenceExhausted, 37)]);
        assert_eq!(sequence_limits(&gateway), ["hard"], "once in a while");
        let ip = |frame: &[u8]| to_port(WAN, common::frames::ip_of(frame));
        let sealed: Vec<_> = sealed.iter().map(|(_, frame)| ip(frame)).collect();
        assert_eq!(peer.feed(0, WAN, &sealed).len(), 3, "{:?}", peer.all_drops());
        assert_eq!(inbound.replay.top(), SeqNo(last));
        assert_eq!(peer.feed(0, WAN, &sealed), [], "and none of them twice");
        gateway.assert_balanced();
        peer.assert_balanced();
    }
}

#[test]
fn a_lost_word_of_the_soft_limit_is_said_again() {
    let sa = gcm();
    let mut gateway = gateway(1, &sa);
    let outbound = gateway.tables.sad().entry(sa.spi()).and_then(|e| e.outbound.clone()).expect("there");
    let last = u64::from(u32::MAX);
    let soft = last - last / 8;
    // The queue of notices is full when the limit is reached.
    let crowd = Notice::FirstUse { spi: sa.spi() };
    while gateway.shared.mailboxes[0].notices.push(crowd).is_ok() {}
    outbound.sequence.resume_after(SeqNo(soft - 1));
    assert_eq!(gateway.feed(0, LAN, &pings(1)).len(), 1);
    assert_eq!(sequence_limits(&gateway), Vec::<&str>::new());
    outbound.sequence.resume_after(SeqNo(soft - 1 + (1 << 20)));
    assert_eq!(gateway.feed(0, LAN, &pings(1)).len(), 1);
    assert_eq!(sequence_limits(&gateway), ["soft"]);
}
