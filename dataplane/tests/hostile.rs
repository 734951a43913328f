//! ESP that is truncated, mutated, replayed or garbage: counted under the right reason, never forwarded.

mod common;

use common::frames::{FORTH, Ip, Random, forwarded, ip_of, to_port};
use common::setup::{ChildSa, SECOND, tables};
use common::{Gateway, LAN, WAN};
use crypto::{Job, Suite};
use esplanade_dataplane::shared::Notice;
use esplanade_dataplane::worker::Buffer;
use packet::DropReason;
use packet::headers::checksum::checksum;

const OUTER_IP: usize = 20;
const ESP: usize = OUTER_IP;

/// A receiving gateway, and outer packets that the peer sealed for it.
fn receiver(sa: &ChildSa, packets: usize) -> (Gateway, Vec<Vec<u8>>) {
    let mut sender = Gateway::new(1, tables(sa.side, |_| {}));
    sa.install(&mut sender.tables, &*sender.engine);
    let into: Vec<_> = (0..packets).map(|i| to_port(LAN, &FORTH.ping(40 + i % 64))).collect();
    let sealed = sender.feed(0, LAN, &into);
    assert_eq!(sealed.len(), packets);
    let mut receiver = Gateway::new(1, tables(SECOND, |_| {}));
    sa.mirrored().install(&mut receiver.tables, &*receiver.engine);
    (receiver, sealed.into_iter().map(|(_, frame)| ip_of(&frame).to_vec()).collect())
}

fn suites() -> [Suite; 3] {
    [(20, 256, 0), (12, 128, 2), (3, 0, 1)].map(|(e, k, i)| Suite::from_transforms(e, k, i).expect("a suite"))
}

/// Writes length and checksum of the outer header anew.
fn mend(mut packet: Vec<u8>) -> Vec<u8> {
    let len = u16::try_from(packet.len()).expect("fits");
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[10..12].fill(0);
    let sum = checksum(&packet[..OUTER_IP]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn refuses(gateway: &mut Gateway, packet: &[u8], reason: DropReason) {
    let before = gateway.drops(reason);
    let out = gateway.feed(0, WAN, &[to_port(WAN, packet)]);
    assert_eq!(out, [], "{reason}");
    assert_eq!(gateway.drops(reason), before + 1, "{reason}: {:?}", gateway.all_drops());
    gateway.assert_balanced();
}

fn accepts(gateway: &mut Gateway, packet: &[u8]) {
    assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, packet)]).len(), 1, "{:?}", gateway.all_drops());
}

#[test]
fn a_flipped_bit_anywhere_is_refused_and_harms_nothing() {
    for suite in suites() {
        let (mut gateway, sealed) = receiver(&ChildSa::new(suite), 2);
        let genuine = &sealed[0];
        for at in ESP..genuine.len() {
            let mut bad = genuine.clone();
            bad[at] ^= 1 << (at % 8);
            let reason = match at - ESP {
                0..4 => DropReason::SpiInvalid,
                _ => DropReason::AuthenticationFailed,
            };
            refuses(&mut gateway, &bad, reason);
        }
        // No forgery moved the window: both originals still pass.
        accepts(&mut gateway, genuine);
        accepts(&mut gateway, &sealed[1]);
        let failures = u64::try_from(genuine.len() - ESP - 4).expect("fits");
        let entry = gateway.tables.sad().iter().next().expect("one SA");
        assert_eq!(entry.inbound.as_ref().expect("installed").authentication_failures(), failures);
        let invalid = gateway.notices().iter().filter(|n| matches!(n, Notice::InvalidSpi { .. })).count();
        assert!(
            (1..=4).contains(&invalid),
            "{invalid}: SPIs share a few keys, so that inventing them is no flood"
        );
    }
}

#[test]
fn every_truncation_is_refused() {
    for suite in suites() {
        let (mut gateway, sealed) = receiver(&ChildSa::new(suite), 1);
        let genuine = &sealed[0];
        for len in OUTER_IP..genuine.len() {
            let cut = mend(genuine[..len].to_vec());
            assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, &cut)]), []);
        }
        // The frame is shorter than its IP header says.
        refuses(&mut gateway, &genuine[..genuine.len() - 1], DropReason::FrameTruncated);
        let longer = mend([&genuine[..], &[0]].concat());
        assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, &longer)]), []);
        let reasons: Vec<_> = gateway.all_drops().into_iter().map(|(reason, _)| reason).collect();
        let allowed = [
            DropReason::EspTruncated,
            DropReason::EspLength,
            DropReason::AuthenticationFailed,
            DropReason::FrameTruncated,
        ];
        assert!(reasons.iter().all(|reason| allowed.contains(reason)), "{reasons:?}");
        accepts(&mut gateway, genuine);
        gateway.assert_balanced();
    }
}

#[test]
fn replays_are_refused_in_and_out_of_the_window() {
    for suite in suites() {
        let sa = ChildSa { replay_window: 64, ..ChildSa::new(suite) };
        let (mut gateway, sealed) = receiver(&sa, 100);
        // Out of order within the window.
        accepts(&mut gateway, &sealed[10]);
        accepts(&mut gateway, &sealed[3]);
        refuses(&mut gateway, &sealed[10], DropReason::ReplayDuplicate);
        refuses(&mut gateway, &sealed[3], DropReason::ReplayDuplicate);
        // A jump leaves the first ones behind.
        accepts(&mut gateway, &sealed[99]);
        refuses(&mut gateway, &sealed[4], DropReason::ReplayOld);
        accepts(&mut gateway, &sealed[36]);
        let entry = gateway.tables.sad().iter().next().expect("one SA");
        assert_eq!(entry.inbound.as_ref().expect("installed").replays(), 3);
    }
}

#[test]
fn two_copies_in_one_burst_pass_once() {
    let sa = ChildSa::new(suites()[0]);
    let (mut gateway, sealed) = receiver(&sa, 1);
    let copy = to_port(WAN, &sealed[0]);
    assert_eq!(gateway.feed(0, WAN, &[copy.clone(), copy.clone(), copy]).len(), 1);
    assert_eq!(gateway.drops(DropReason::ReplayDuplicate), 2);
    gateway.assert_balanced();
}

/// A dummy packet of the peer (RFC 4303 section 2.6) in place of one that it sealed: noise and next header 59.
fn dummy(gateway: &Gateway, sealed: &[u8], esn_high: Option<u32>) -> Vec<u8> {
    let entry = gateway.tables.sad().iter().next().expect("one SA");
    let config = &entry.inbound.as_ref().expect("installed").config;
    let mut crypto = gateway.engine.context().expect("a context");
    let mut packet = sealed.to_vec();
    let esp = &mut packet[ESP..];
    crypto.open(&mut [Job::decap(&config.key, esp, esn_high)]);
    let (start, end) =
        (8 + usize::from(config.geometry.iv_len), esp.len() - usize::from(config.geometry.icv_len));
    let padding = usize::from(esp[end - 2]);
    let mut random = Random(7);
    esp[start..end - 2 - padding].fill_with(|| random.byte());
    esp[end - 1] = 59;
    crypto.seal(&mut [Job::encap(&config.key, esp, esn_high)]);
    packet
}

#[test]
fn dummy_packets_are_authentic_count_for_replay_and_go_nowhere() {
    for suite in Suite::all() {
        for esn in [false, true] {
            let (mut gateway, sealed) = receiver(&ChildSa { esn, ..ChildSa::new(suite) }, 3);
            let dummies: Vec<_> =
                sealed[..2].iter().map(|packet| dummy(&gateway, packet, esn.then_some(0))).collect();
            let mut forged = dummies[1].clone();
            *forged.last_mut().expect("an ICV") ^= 1;
            refuses(&mut gateway, &forged, DropReason::AuthenticationFailed);
            refuses(&mut gateway, &dummies[1], DropReason::EspDummy);
            refuses(&mut gateway, &dummies[1], DropReason::ReplayDuplicate);
            refuses(&mut gateway, &sealed[1], DropReason::ReplayDuplicate);
            refuses(&mut gateway, &dummies[0], DropReason::EspDummy);
            accepts(&mut gateway, &sealed[2]);
            assert!(gateway.exceptions().is_empty());
            let entry = gateway.tables.sad().iter().next().expect("one SA");
            assert_eq!(
                entry.inbound.as_ref().expect("installed").usage.packets(),
                1,
                "only what was delivered"
            );
        }
    }
}

#[test]
fn esn_survives_the_wrap_and_refuses_what_lies_before() {
    let sa = ChildSa { esn: true, ..ChildSa::new(suites()[0]) };
    let mut sender = Gateway::new(1, tables(sa.side, |_| {}));
    sa.install(&mut sender.tables, &*sender.engine);
    let mut receiver = Gateway::new(1, tables(SECOND, |_| {}));
    let mirrored = sa.mirrored();
    mirrored.install(&mut receiver.tables, &*receiver.engine);
    let near = packet::esp::SeqNo((1 << 32) - 4);
    let outbound = sender.tables.sad().entry(sa.spi()).and_then(|e| e.outbound.clone()).expect("installed");
    let inbound =
        receiver.tables.sad().entry(mirrored.spi()).and_then(|e| e.inbound.clone()).expect("installed");
    outbound.sequence.resume_after(near);
    inbound.replay.mark(near).expect("fresh");
    let into: Vec<_> = (0..8).map(|i| to_port(LAN, &FORTH.ping(i))).collect();
    let sealed: Vec<_> = sender.feed(0, LAN, &into).iter().map(|(_, f)| to_port(WAN, ip_of(f))).collect();
    assert_eq!(receiver.feed(0, WAN, &sealed).len(), 8, "{:?}", receiver.all_drops());
    assert_eq!(inbound.replay.top().0, (1 << 32) + 4);
    assert_eq!(receiver.feed(0, WAN, &sealed), []);
    assert_eq!(receiver.drops(DropReason::ReplayDuplicate), 8);
    receiver.assert_balanced();
}

#[test]
fn the_last_sequence_number_is_the_last() {
    let sa = ChildSa::new(suites()[0]);
    let mut gateway = Gateway::new(1, tables(sa.side, |_| {}));
    sa.install(&mut gateway.tables, &*gateway.engine);
    let outbound = gateway.tables.sad().entry(sa.spi()).and_then(|e| e.outbound.clone()).expect("installed");
    outbound.sequence.resume_after(packet::esp::SeqNo(u64::from(u32::MAX) - 2));
    let into: Vec<_> = (0..5).map(|i| to_port(LAN, &FORTH.ping(i))).collect();
    assert_eq!(gateway.feed(0, LAN, &into).len(), 2);
    assert_eq!(gateway.drops(DropReason::SequenceExhausted), 3);
    gateway.assert_balanced();
}

#[test]
fn an_sa_answers_only_to_its_own_address() {
    let sa = ChildSa::new(suites()[0]);
    let (mut gateway, sealed) = receiver(&sa, 1);
    let other =
        packet::tables::InterfaceAddress { address: common::setup::address("192.0.2.77"), prefix_len: 32 };
    let put = packet::tables::Change::PutAddress { interface: common::setup::WAN_IF, address: other };
    gateway.tables.apply(put).expect("valid");
    gateway.tables.commit();
    let mut elsewhere = sealed[0].clone();
    elsewhere[16..20].copy_from_slice(&[192, 0, 2, 77]);
    refuses(&mut gateway, &mend(elsewhere), DropReason::OuterMismatch);
    // Another source is no reason: the peer may have moved. Only the tag decides.
    let mut moved = sealed[0].clone();
    moved[12..16].copy_from_slice(&[203, 0, 113, 5]);
    let out = gateway.feed(0, WAN, &[to_port(WAN, &mend(moved))]);
    assert_eq!(ip_of(&out[0].1), forwarded(&forwarded(&FORTH.ping(40))));
}

/// The packet in fragments of `step` bytes of payload.
fn cut(whole: &[u8], step: usize) -> Vec<Vec<u8>> {
    let (header, payload) = whole.split_at(OUTER_IP);
    let pieces = payload.chunks(step).enumerate().map(|(i, chunk)| {
        let more = if (i + 1) * step < payload.len() { 0x2000 } else { 0 };
        let mut piece = [header, chunk].concat();
        let field = u16::try_from(i * step / 8).expect("near") | more;
        piece[6..8].copy_from_slice(&field.to_be_bytes());
        mend(piece)
    });
    pieces.collect()
}

#[test]
fn outer_fragments_in_any_order_make_the_packet_and_are_balanced() {
    for udp in [false, true] {
        let sa = ChildSa { udp, worker: 1, ..ChildSa::new(suites()[0]) };
        let mut sender = Gateway::new(2, tables(sa.side, |_| {}));
        sa.install(&mut sender.tables, &*sender.engine);
        let inner = FORTH.ping(1300);
        let (_, sealed) = sender.feed(0, LAN, &[to_port(LAN, &inner)]).remove(0);
        let mut receiver = Gateway::new(2, tables(SECOND, |_| {}));
        sa.mirrored().install(&mut receiver.tables, &*receiver.engine);
        let mut pieces = cut(ip_of(&sealed), 256);
        pieces.reverse();
        pieces.insert(1, pieces[0].clone());
        for piece in &pieces[..pieces.len() - 1] {
            assert_eq!(receiver.feed(0, WAN, &[to_port(WAN, piece)]), []);
            receiver.assert_balanced();
        }
        assert_eq!(receiver.drops(DropReason::FragmentDuplicate), 1);
        let out = receiver.feed(0, WAN, &[to_port(WAN, &pieces[pieces.len() - 1])]);
        assert_eq!(ip_of(&out[0].1), forwarded(&forwarded(&inner)));
        receiver.assert_balanced();
    }
}

#[test]
fn outer_fragments_that_overlap_or_never_end_are_named() {
    let (mut gateway, sealed) = receiver(&ChildSa::new(suites()[0]), 1);
    let pieces = cut(&sealed[0], 32);
    let feed = |gateway: &mut Gateway, piece: &[u8]| {
        assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, piece)]), []);
        gateway.assert_balanced();
    };
    feed(&mut gateway, &pieces[0]);
    let mut longer = pieces[0].clone();
    longer.extend_from_slice(&[0; 8]);
    feed(&mut gateway, &mend(longer));
    assert_eq!(gateway.drops(DropReason::FragmentOverlap), 2);
    feed(&mut gateway, &pieces[1]);
    assert_eq!(gateway.drops(DropReason::FragmentOverlap), 3, "nothing of it is taken any more");
    let mut another = pieces[0].clone();
    another[4] ^= 1;
    feed(&mut gateway, &mend(another));
    gateway.now += 5 * common::TICKS_PER_SECOND;
    gateway.settle();
    assert_eq!(gateway.drops(DropReason::ReassemblyTimeout), 1);
    gateway.assert_balanced();
}

#[test]
fn a_flood_of_fragments_is_bounded_and_does_not_reach_the_peer() {
    let (mut gateway, sealed) = receiver(&ChildSa::new(suites()[0]), 1);
    let genuine = cut(&sealed[0], 32);
    assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, &genuine[0])]), []);
    let mut random = Random(7);
    for _ in 0..5000 {
        let mut piece = genuine[random.below(genuine.len())].clone();
        piece[12..16].copy_from_slice(&[203, 0, 113, random.byte() & 127]);
        piece[4] = random.byte();
        piece[7] = random.byte() & 15;
        assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, &mend(piece))]), []);
    }
    gateway.assert_balanced();
    let held: usize = gateway.pipelines.iter().map(esplanade_dataplane::worker::Pipeline::held).sum();
    assert!(held <= 32 * 32 + 1, "{held}");
    let out: Vec<_> =
        genuine[1..].iter().flat_map(|piece| gateway.feed(0, WAN, &[to_port(WAN, piece)])).collect();
    assert_eq!(out.len(), 1, "{:?}", gateway.all_drops());
    gateway.assert_balanced();
}

#[test]
fn fragments_for_our_inside_address_are_delivered_whole() {
    let mut gateway = Gateway::new(1, tables(SECOND, |_| {}));
    let whole =
        Ip { dst: "10.2.0.254".parse().expect("ours"), dont_fragment: false, ..FORTH.back() }.ping(9000);
    let frames: Vec<_> = cut(&whole, 1480).iter().map(|piece| to_port(LAN, piece)).collect();
    assert_eq!(gateway.feed(0, LAN, &frames), []);
    let delivered = gateway.exceptions();
    assert!(matches!(&delivered[..], [one] if one.packet.data() == whole), "{delivered:?}");
    gateway.assert_balanced();
}

#[test]
fn keepalives_are_named() {
    let sa = ChildSa { udp: true, ..ChildSa::new(suites()[0]) };
    let (mut gateway, sealed) = receiver(&sa, 1);
    let mut keepalive = sealed[0][..29].to_vec();
    keepalive[24..26].copy_from_slice(&9u16.to_be_bytes());
    keepalive[28] = 0xff;
    refuses(&mut gateway, &mend(keepalive), DropReason::NatKeepalive);
    accepts(&mut gateway, &sealed[0]);
}

#[test]
fn garbage_frames_are_balanced_and_go_nowhere() {
    let sa = ChildSa { worker: 1, ..ChildSa::new(suites()[0]) };
    let mut gateway = Gateway::new(2, tables(SECOND, |_| {}));
    sa.mirrored().install(&mut gateway.tables, &*gateway.engine);
    let (_, sealed) = receiver(&ChildSa { worker: 0, ..sa.clone() }, 1);
    // The genuine one first: what differs from it outside the authenticated part is a replay.
    assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, &sealed[0])]).len(), 1);
    let mut random = Random(99);
    for round in 0..2000 {
        let port = if random.below(4) == 0 { LAN } else { WAN };
        let mut frame = to_port(port, &sealed[0]);
        for _ in 0..=random.below(4) {
            let at = random.below(frame.len());
            frame[at] = random.byte();
        }
        if round % 3 == 0 {
            frame.truncate(random.below(frame.len() + 1));
        }
        let out = gateway.feed(random.below(2), port, &[frame]);
        assert!(out.is_empty(), "{out:02x?}");
        gateway.exceptions();
        gateway.notices();
    }
    gateway.assert_balanced();
}
