//! What workers write down about packets while somebody watches.

mod common;

use common::frames::{FORTH, Ip, ethernet, forwarded, ip_of, to_port};
use common::setup::{ChildSa, FIRST, INNER, LAN_IF, SECOND, TUNNEL, WAN_IF, tables};
use common::{Gateway, LAN, WAN, port_mac};
use crypto::Suite;
use esplanade_dataplane::journey::{Filter, Heading, Journey, Lens, MAX_JOURNEYS, Photo, Point, Step};
use esplanade_dataplane::shared::ExceptionKind;
use packet::decide::{Ingress, Verdict};
use packet::{DropReason, PortId};
use std::net::Ipv4Addr;

fn only(filter: Filter) -> Lens {
    Lens { filter, photo: None }
}

fn capture(point: Point, snap_len: usize) -> Lens {
    Lens { photo: Some(Photo { point, snap_len }), ..Lens::default() }
}

fn child(worker: u16) -> ChildSa {
    ChildSa { worker, ..ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite")) }
}

/// Our gateway with `workers`, and the peer's; the SA belongs to our worker `owner`.
fn pair(workers: usize, owner: u16) -> (Gateway, Gateway, ChildSa) {
    let sa = child(owner);
    let mut ours = Gateway::new(workers, tables(FIRST, |_| {}));
    let mut theirs = Gateway::new(1, tables(SECOND, |_| {}));
    sa.install(&mut ours.tables, &*ours.engine);
    ChildSa { worker: 0, ..sa.mirrored() }.install(&mut theirs.tables, &*theirs.engine);
    (ours, theirs, sa)
}

/// The frame on our outside interface in which the peer sends a packet.
fn sealed(theirs: &mut Gateway, packet: &[u8]) -> Vec<u8> {
    let frames = theirs.feed(0, LAN, &[to_port(LAN, packet)]);
    let [(_, frame)] = &frames[..] else { panic!("one frame") };
    ethernet(port_mac(WAN), port_mac(LAN), ip_of(frame))
}

fn one(gateway: &Gateway) -> Journey {
    let mut journeys = gateway.journeys();
    assert_eq!(journeys.len(), 1, "{journeys:#?}");
    journeys.pop().expect("one")
}

fn steps(journey: &Journey) -> Vec<Step> {
    journey.steps.iter().map(|noted| noted.step).collect()
}

#[test]
fn into_the_tunnel() {
    let (mut ours, _, sa) = pair(1, 0);
    ours.watch(&[Lens::default()]);
    let packet = FORTH.ping(56);
    let frames = ours.feed(0, LAN, &[to_port(LAN, &packet)]);
    let journey = one(&ours);
    let [
        Step::Received { interface: Some(LAN_IF), len: 98 },
        Step::Header(inner),
        Step::Decided { vrf: INNER, ingress: Ingress::Inside, verdict },
        Step::Sealed { spi, peer_spi, len, .. },
        Step::Header(outer),
        Step::Sent { interface: WAN_IF, len: sent },
    ] = steps(&journey)[..]
    else {
        panic!("{journey:#?}")
    };
    assert_eq!((inner.src, inner.dst), (FORTH.src.into(), FORTH.dst.into()));
    assert_eq!(verdict, Verdict::Encapsulate { spi: sa.spi(), tunnel: TUNNEL });
    assert_eq!((spi, peer_spi, outer.protocol), (sa.spi(), sa.theirs, 50));
    assert_eq!((len + 14, sent), (frames[0].1.len(), frames[0].1.len()));
    assert_eq!(journey.wire_spis().collect::<Vec<_>>(), [sa.theirs]);
    ours.assert_balanced();
}

#[test]
fn out_of_the_tunnel_and_again_as_a_replay() {
    let (mut ours, mut theirs, sa) = pair(1, 0);
    ours.watch(&[Lens::default()]);
    let frame = sealed(&mut theirs, &FORTH.back().ping(56));
    ours.feed(0, WAN, &[frame.clone(), frame.clone()]);
    ours.feed(0, WAN, &[frame]);
    let journeys = ours.journeys();
    assert_eq!(journeys.len(), 3);
    // The copy in the same burst is found after decryption, the later one before; both end before the first,
    // which is transmitted last of all.
    let genuine = journeys.iter().find(|j| j.drop_reason().is_none()).expect("one is forwarded");
    let words = steps(genuine);
    assert!(matches!(
        words[..],
        [
            Step::Received { interface: Some(WAN_IF), .. },
            Step::Header(_),
            Step::Outside(Verdict::Esp { .. }),
            Step::Sa { .. },
            Step::Opened { .. },
            Step::Header(_),
            Step::Decided { ingress: Ingress::Tunnel(TUNNEL), verdict: Verdict::Forward { .. }, .. },
            Step::Sent { interface: LAN_IF, .. },
        ]
    ));
    assert_eq!(genuine.wire_spis().collect::<Vec<_>>(), [sa.ours]);
    let replayed = journeys.iter().filter(|j| j.drop_reason() == Some(DropReason::ReplayDuplicate));
    assert_eq!(replayed.map(|j| j.steps.len()).collect::<Vec<_>>(), [5, 4]);
}

#[test]
fn a_packet_that_is_handed_over_has_one_journey() {
    let (mut ours, mut theirs, _) = pair(2, 1);
    ours.watch(&[Lens::default()]);
    ours.feed(0, LAN, &[to_port(LAN, &FORTH.ping(56))]);
    let out = one(&ours);
    let handed = |journey: &Journey| {
        let at = |step| journey.steps.iter().find(|noted| noted.step == step).map(|noted| noted.worker);
        (at(Step::HandedOver { to: 1 }), at(Step::TakenOver), journey.steps.last().map(|n| n.worker))
    };
    assert_eq!(handed(&out), (Some(0), Some(1), Some(1)));
    let frame = sealed(&mut theirs, &FORTH.back().ping(56));
    ours.feed(0, WAN, &[frame]);
    assert_eq!(handed(&one(&ours)), (Some(0), Some(1), Some(1)));
}

#[test]
fn pieces_share_the_number_of_their_packet() {
    let (mut ours, _, _) = pair(1, 0);
    ours.watch(&[Lens::default()]);
    let packet = Ip { dont_fragment: false, ..FORTH }.ping(1472);
    ours.feed(0, LAN, &[to_port(LAN, &packet)]);
    let journeys = ours.journeys();
    assert_eq!(journeys.iter().map(|j| j.piece).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(journeys.iter().all(|j| j.id == journeys[0].id));
    assert!(matches!(journeys[0].steps.last().expect("an end").step, Step::Split { pieces: 2 }));
    for piece in &journeys[1..] {
        assert!(matches!(steps(piece)[0], Step::Received { .. }), "a piece begins with the packet's steps");
        assert!(matches!(piece.steps.last().expect("an end").step, Step::Sent { .. }));
    }
}

#[test]
fn fragments_end_where_their_packet_begins() {
    let (mut ours, mut theirs, _) = pair(1, 0);
    let frame = sealed(&mut theirs, &FORTH.back().ping(1000));
    let (header, body) = ip_of(&frame).split_at(20);
    let cut = |range: std::ops::Range<usize>, more: u8| {
        let mut packet = [header, &body[range.clone()]].concat();
        let len = u16::try_from(packet.len()).expect("short");
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[6..8].copy_from_slice(&[more, u8::try_from(range.start / 8).expect("near")]);
        packet[10..12].fill(0);
        let sum = packet::headers::checksum::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        to_port(WAN, &packet)
    };
    ours.watch(&[Lens::default()]);
    ours.feed(0, WAN, &[cut(0..512, 0x20), cut(512..body.len(), 0)]);
    let journeys = ours.journeys();
    let ends: Vec<_> = journeys.iter().map(|j| j.steps.last().expect("an end").step).collect();
    assert!(matches!(ends[..], [Step::Merged, Step::Merged, Step::Sent { .. }]), "{ends:?}");
    assert!(matches!(steps(&journeys[2])[0], Step::Whole { fragments: 2 }));
    // One that stays alone is dropped when its time is up.
    ours.feed(0, WAN, &[cut(0..512, 0x20)]);
    ours.now += 60_000;
    ours.settle();
    assert_eq!(one(&ours).drop_reason(), Some(DropReason::ReassemblyTimeout));
    ours.assert_balanced();
}

#[test]
fn a_packet_that_waits_for_keys_goes_on_with_its_journey() {
    let sa = child(0);
    let (_, mut theirs, _) = pair(1, 0);
    let mut ours = Gateway::new(1, tables(FIRST, |_| {}));
    sa.reserve(&mut ours.tables);
    ours.watch(&[only(Filter { spi: Some(sa.ours), ..Filter::default() })]);
    let frame = sealed(&mut theirs, &FORTH.back().ping(56));
    ours.feed(0, WAN, &[frame]);
    assert!(ours.journeys().is_empty(), "it has not ended");
    sa.install_reserved(&mut ours.tables, &*ours.engine);
    ours.settle();
    let words = steps(&one(&ours));
    assert_eq!(words[3..5], [Step::Waits { spi: sa.ours }, Step::Again]);
    assert!(matches!(words.last(), Some(Step::Sent { .. })));
}

#[test]
fn exceptions_and_full_queues_end_a_journey() {
    let (mut ours, _, _) = pair(1, 0);
    ours.watch(&[Lens::default()]);
    let to_us = Ip { dst: Ipv4Addr::new(10, 1, 0, 254), ..FORTH };
    ours.feed(0, LAN, &[to_port(LAN, &to_us.ping(56))]);
    assert!(matches!(
        steps(&one(&ours)).last(),
        Some(Step::Left(ExceptionKind::Local { .. }) | Step::Dropped(_))
    ));
    ours.wire.stuck = vec![WAN];
    ours.feed(0, LAN, &[to_port(LAN, &FORTH.ping(56))]);
    assert_eq!(one(&ours).drop_reason(), Some(DropReason::TxFull));
}

#[test]
fn lenses_show_what_they_ask_for() {
    let (mut ours, mut theirs, sa) = pair(1, 0);
    let reason = |reason| only(Filter { reason: Some(reason), ..Filter::default() });
    let frame = sealed(&mut theirs, &FORTH.back().udp(4000, 53, 20));
    let mut forged = frame.clone();
    *forged.last_mut().expect("bytes") ^= 1;
    let expired = to_port(LAN, &Ip { ttl: 1, ..FORTH }.ping(20));
    let cases = [
        (reason(DropReason::AuthenticationFailed), 1),
        (reason(DropReason::TtlExpired), 1),
        (reason(DropReason::NoRoute), 0),
        (only(Filter { spi: Some(sa.ours), ..Filter::default() }), 2),
        (only(Filter { spi: Some(sa.theirs), ..Filter::default() }), 0),
        (only(Filter { src: Some("10.2.0.0/16".parse().expect("a prefix")), ..Filter::default() }), 1),
        (only(Filter { protocol: Some(50), ..Filter::default() }), 2),
        (only(Filter { src_port: Some(4000), dst_port: Some(53), ..Filter::default() }), 1),
        (only(Filter { src_port: Some(53), ..Filter::default() }), 0),
    ];
    for (number, (lens, count)) in cases.into_iter().enumerate() {
        let (mut ours, _, _) = pair(1, 0);
        ours.watch(&[lens]);
        ours.feed(0, WAN, &[forged.clone(), frame.clone()]);
        ours.feed(0, LAN, std::slice::from_ref(&expired));
        assert_eq!(ours.journeys().len(), count, "case {number}");
    }
    ours.feed(0, WAN, &[frame]);
    assert!(ours.journeys().is_empty(), "nobody watches");
}

#[test]
fn shots_show_the_packet_at_each_point() {
    let (mut ours, mut theirs, _) = pair(1, 0);
    let points = [Point::Outside, Point::Inside, Point::PreCrypto, Point::PostCrypto];
    ours.watch(&points.map(|point| capture(point, 9000)));
    let packet = FORTH.ping(56);
    let sent = ours.feed(0, LAN, &[to_port(LAN, &packet)]);
    let shots = |journey: &Journey| -> Vec<_> {
        let shot = |s: &Box<_>| {
            let esplanade_dataplane::journey::Shot { point, heading, interface, bytes, .. } = &**s;
            (*point, *heading, *interface, bytes.clone())
        };
        journey.shots.iter().map(shot).collect()
    };
    let esp = ip_of(&sent[0].1).to_vec();
    assert_eq!(
        shots(&one(&ours)),
        [
            (Point::Inside, Heading::In, Some(LAN_IF), to_port(LAN, &packet)),
            (Point::PreCrypto, Heading::Out, Some(LAN_IF), forwarded(&packet)),
            (Point::PostCrypto, Heading::Out, Some(WAN_IF), esp),
            (Point::Outside, Heading::Out, Some(WAN_IF), sent[0].1.clone()),
        ]
    );
    let reply = FORTH.back().ping(56);
    let frame = sealed(&mut theirs, &reply);
    let sent = ours.feed(0, WAN, std::slice::from_ref(&frame));
    let at_peer = forwarded(&reply);
    assert_eq!(
        shots(&one(&ours)),
        [
            (Point::Outside, Heading::In, Some(WAN_IF), frame.clone()),
            (Point::PostCrypto, Heading::In, Some(WAN_IF), ip_of(&frame).to_vec()),
            (Point::PreCrypto, Heading::In, Some(WAN_IF), at_peer),
            (Point::Inside, Heading::Out, Some(LAN_IF), sent[0].1.clone()),
        ]
    );
    // A capture elsewhere keeps no bytes, and what passes no such point is not told.
    ours.watch(&[capture(Point::PreCrypto, 20)]);
    ours.feed(0, WAN, &[frame]);
    assert!(ours.journeys().is_empty(), "a replay has no plaintext");
    ours.feed(0, LAN, &[to_port(LAN, &packet)]);
    let journey = one(&ours);
    assert_eq!((journey.shots.len(), journey.shots[0].bytes.len(), journey.shots[0].len), (1, 20, 84));
}

#[test]
fn what_finds_no_room_is_counted_and_the_packets_go_on() {
    let (mut ours, _, _) = pair(1, 0);
    ours.watch(&[Lens::default()]);
    let packets = MAX_JOURNEYS + 40;
    let frames = vec![to_port(LAN, &FORTH.ping(56)); packets];
    let sent: Vec<(PortId, Vec<u8>)> = ours.feed(0, LAN, &frames);
    assert_eq!(sent.len(), packets);
    assert_eq!((ours.journeys().len(), ours.shared.stock.lost()), (MAX_JOURNEYS, 40));
    ours.feed(0, LAN, &frames[..1]);
    one(&ours);
    // Nobody watches any more: everything comes back.
    ours.watch(&[]);
    ours.feed(0, LAN, &frames[..1]);
    assert!(ours.journeys().is_empty());
    ours.shared.stock.empty();
    assert!(ours.shared.stock.is_empty());
}
