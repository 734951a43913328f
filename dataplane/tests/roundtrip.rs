//! From the host behind one gateway to the host behind the other, through both gateways' workers.

mod common;

use common::frames::{FORTH, HOST_MAC, Ip, PEER_MAC, ethernet, forwarded, ip_of, protocol, to_port};
use common::setup::{ChildSa, FIRST, SECOND, tables};
use common::{Gateway, LAN, WAN, port_mac};
use crypto::Suite;
use esplanade_dataplane::shared::{Direction, ExceptionKind, Limit, Notice};
use esplanade_dataplane::worker::counters::Figure;
use packet::DropReason;
use packet::headers::checksum;
use packet::sad::{Lifetime, LimitKind};

/// Both gateways, with `sa` and its mirror installed.
fn pair(sa: &ChildSa, workers: usize) -> (Gateway, Gateway) {
    let side = |sa: &ChildSa| {
        let mut gateway = Gateway::new(workers, tables(sa.side, |_| {}));
        sa.install(&mut gateway.tables, &*gateway.engine);
        gateway
    };
    (side(sa), side(&sa.mirrored()))
}

fn aes_gcm() -> Suite {
    Suite::from_transforms(20, 128, 0).expect("a suite")
}

/// Sends packets through both gateways and compares what comes out byte for byte.
fn through(first: &mut Gateway, second: &mut Gateway, packets: &[Vec<u8>], udp: bool) {
    let into: Vec<_> = packets.iter().map(|packet| to_port(LAN, packet)).collect();
    let sealed = first.feed(0, LAN, &into);
    assert_eq!(sealed.len(), packets.len(), "{:?}", first.all_drops());
    for (port, frame) in &sealed {
        assert_eq!((*port, &frame[..6], &frame[6..12]), (WAN, &PEER_MAC.0[..], &port_mac(WAN).0[..]));
        assert_eq!(protocol(ip_of(frame)), if udp { 17 } else { 50 });
    }
    // The same address on both sides' ports: the frame needs no rewriting.
    let into: Vec<_> = sealed.iter().map(|(_, frame)| to_port(WAN, ip_of(frame))).collect();
    let opened = second.feed(0, WAN, &into);
    assert_eq!(opened.len(), packets.len(), "{:?}", second.all_drops());
    for ((port, frame), packet) in opened.iter().zip(packets) {
        let expected = ethernet(HOST_MAC, port_mac(LAN), &forwarded(&forwarded(packet)));
        assert_eq!((*port, frame), (LAN, &expected));
    }
    first.assert_balanced();
    second.assert_balanced();
}

fn packets() -> Vec<Vec<u8>> {
    let mut packets: Vec<_> = [0, 1, 2, 3, 15, 16, 17, 56, 200, 1000, 1300].map(|len| FORTH.ping(len)).into();
    packets.push(FORTH.udp(1000, 2000, 777));
    packets
}

#[test]
fn every_suite_native_and_in_udp_with_and_without_esn() {
    for suite in Suite::all() {
        for (udp, esn) in [(false, false), (false, true), (true, false), (true, true)] {
            let sa = ChildSa { udp, esn, ..ChildSa::new(suite) };
            let (mut first, mut second) = pair(&sa, 1);
            through(&mut first, &mut second, &packets(), udp);
        }
    }
}

#[test]
fn an_sa_of_another_worker_is_handed_over_in_both_directions() {
    let sa = ChildSa { worker: 1, ..ChildSa::new(aes_gcm()) };
    let (mut first, mut second) = pair(&sa, 2);
    let many: Vec<_> = (0..200).map(|i| FORTH.udp(1000, 2000, i * 6)).collect();
    through(&mut first, &mut second, &many, false);
    for gateway in [&first, &second] {
        let handed = |worker| gateway.reader.worker_figure(worker, Figure::HandedOver as usize);
        assert_eq!((handed(0), handed(1)), (200, 0));
    }
}

#[test]
fn what_comes_out_does_not_depend_on_the_number_of_workers() {
    let send = |workers: usize, owner: u16| {
        let sa = ChildSa { worker: owner, ..ChildSa::new(aes_gcm()) };
        let (mut first, _) = pair(&sa, workers);
        let into: Vec<_> = packets().iter().map(|packet| to_port(LAN, packet)).collect();
        first.feed(0, LAN, &into)
    };
    let one = send(1, 0);
    assert_eq!(one, send(2, 0));
    assert_eq!(one, send(2, 1));
}

#[test]
fn hundreds_of_packets_keep_their_order_and_numbers() {
    let sa = ChildSa::new(aes_gcm());
    let (mut first, mut second) = pair(&sa, 1);
    let many: Vec<_> = (0..500).map(|i| FORTH.udp(1000, 2000, i % 1300)).collect();
    through(&mut first, &mut second, &many, false);
    let entry = first.tables.sad().entry(sa.spi()).expect("installed");
    let outbound = entry.outbound.as_ref().expect("installed");
    assert_eq!(outbound.sequence.used().0, 500);
    assert_eq!(outbound.usage.packets(), 500);
    let mirrored = sa.mirrored();
    let inbound =
        second.tables.sad().entry(mirrored.spi()).and_then(|e| e.inbound.as_ref()).expect("installed");
    assert_eq!((inbound.replay.top().0, inbound.usage.packets()), (500, 500));
}

#[test]
fn large_packets_are_fragmented_or_answered() {
    let sa = ChildSa::new(aes_gcm());
    let (mut first, mut second) = pair(&sa, 1);
    let mtu = first.tables.sad().entry(sa.spi()).expect("installed").inner_mtu;
    let large = FORTH.udp(1000, 2000, usize::from(mtu) - 28 + 1);
    assert!(first.feed(0, LAN, &[to_port(LAN, &large)]).is_empty());
    assert_eq!(first.drops(DropReason::NeedsFragmentation), 1);
    let lent = first.exceptions();
    assert!(matches!(lent[0].kind, ExceptionKind::TooBig { mtu: told, .. } if told == mtu), "{lent:?}");

    let may = Ip { dont_fragment: false, ..FORTH }.udp(1000, 2000, 2900);
    let sealed = first.feed(0, LAN, &[to_port(LAN, &may)]);
    assert_eq!(sealed.len(), 3, "{:?}", first.all_drops());
    let into: Vec<_> = sealed.iter().map(|(_, frame)| to_port(WAN, ip_of(frame))).collect();
    assert!(into.iter().all(|frame| frame.len() <= 1514));
    let opened = second.feed(0, WAN, &into);
    let payload: Vec<u8> = opened.iter().flat_map(|(_, frame)| ip_of(frame)[20..].to_vec()).collect();
    assert_eq!(payload, may[20..], "the pieces in order make the whole");
    first.assert_balanced();
    second.assert_balanced();
}

#[test]
fn early_packets_wait_for_their_keys() {
    let sa = ChildSa::new(aes_gcm());
    let mirrored = sa.mirrored();
    let (mut first, _) = pair(&sa, 1);
    let mut second = Gateway::new(1, tables(SECOND, |_| {}));
    mirrored.reserve(&mut second.tables);
    let sealed = first.feed(0, LAN, &[to_port(LAN, &FORTH.ping(56)), to_port(LAN, &FORTH.ping(57))]);
    let into: Vec<_> = sealed.iter().map(|(_, frame)| to_port(WAN, ip_of(frame))).collect();
    assert!(second.feed(0, WAN, &into).is_empty());
    assert_eq!(second.pipelines[0].held(), 2);
    second.assert_balanced();
    // The keys arrive: the next round lets both through, in order.
    let engine = second.engine.clone();
    mirrored.install_reserved(&mut second.tables, &*engine);
    let opened = second.feed(0, WAN, &[]);
    second.settle();
    let opened: Vec<_> = opened.into_iter().chain(std::mem::take(&mut second.wire.frames)).collect();
    assert_eq!(opened.len(), 2, "{:?}", second.all_drops());
    assert_eq!(ip_of(&opened[0].1), forwarded(&forwarded(&FORTH.ping(56))));
    assert_eq!(second.notices(), [Notice::FirstUse { spi: mirrored.spi() }]);
    second.assert_balanced();
}

#[test]
fn early_packets_do_not_wait_for_ever() {
    let sa = ChildSa::new(aes_gcm());
    let (mut first, _) = pair(&sa, 1);
    let mut second = Gateway::new(1, tables(SECOND, |_| {}));
    sa.mirrored().reserve(&mut second.tables);
    let sealed = first.feed(0, LAN, &[to_port(LAN, &FORTH.ping(56))]);
    second.feed(0, WAN, &[to_port(WAN, ip_of(&sealed[0].1))]);
    second.now += 999;
    second.settle();
    assert_eq!(second.pipelines[0].held(), 1);
    second.now += 1;
    second.settle();
    assert_eq!((second.pipelines[0].held(), second.drops(DropReason::SpiReserved)), (0, 1));
    second.assert_balanced();
}

#[test]
fn limits_and_moves_are_told_once() {
    let lifetime = Lifetime { soft_packets: 3, hard_packets: 5, ..Lifetime::UNLIMITED };
    let sa = ChildSa { lifetime, udp: true, ..ChildSa::new(aes_gcm()) };
    let (mut first, mut second) = pair(&sa, 1);
    let into: Vec<_> = (0..7).map(|i| to_port(LAN, &FORTH.ping(i))).collect();
    let sealed = first.feed(0, LAN, &into);
    assert_eq!((sealed.len(), first.drops(DropReason::LifetimeExceeded)), (5, 2));
    let spi = sa.spi();
    let (direction, limit) = (Direction::Outbound, Limit::Volume(LimitKind::Packets));
    assert_eq!(
        first.notices(),
        [Notice::SoftLimit { spi, direction, limit }, Notice::HardLimit { spi, direction, limit }]
    );
    // The peer's NAT gave it another port: the UDP source port of what arrives has changed.
    let moved: Vec<_> = sealed
        .iter()
        .map(|(_, frame)| {
            let mut ip = ip_of(frame).to_vec();
            ip[20..22].copy_from_slice(&61_000u16.to_be_bytes());
            to_port(WAN, &ip)
        })
        .collect();
    assert_eq!(second.feed(0, WAN, &moved).len(), 5);
    let spi = sa.mirrored().spi();
    let (remote, port) = (common::setup::address(FIRST.outside), 61_000);
    let notices = second.notices();
    assert_eq!(
        notices.iter().filter(|n| **n == Notice::PeerMoved { spi, remote, port }).count(),
        1,
        "{notices:?}"
    );
    first.assert_balanced();
    second.assert_balanced();
}

/// A SYN that offers an MSS of 1460.
fn syn(ip: Ip) -> Vec<u8> {
    let mut segment = vec![0x10, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0];
    segment.extend([2, 4, 0x05, 0xb4]);
    let sum = tcp_sum(&ip, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ip.packet(6, &segment)
}

fn tcp_sum(ip: &Ip, segment: &[u8]) -> u16 {
    let len = u16::try_from(segment.len()).expect("short");
    let (src, dst) = (ip.src.into(), ip.dst.into());
    !checksum::fold(checksum::pseudo_header(src, dst, 6, len) + checksum::sum(segment))
}

#[test]
fn a_syn_is_clamped_to_what_fits_the_tunnel() {
    let sa = ChildSa::new(aes_gcm());
    let (mut first, mut second) = pair(&sa, 1);
    let mss = first.tables.sad().entry(sa.spi()).expect("installed").mss;
    assert!(mss > 1000 && mss < 1460, "{mss}");
    let sealed = first.feed(0, LAN, &[to_port(LAN, &syn(FORTH))]);
    let opened = second.feed(0, WAN, &[to_port(WAN, ip_of(&sealed[0].1))]);
    let segment = &ip_of(&opened[0].1)[20..];
    assert_eq!(segment[20..24], [&[2, 4], &mss.to_be_bytes()[..]].concat());
    assert_eq!(tcp_sum(&FORTH, segment), 0, "the checksum still holds");
}

#[test]
fn a_tunnel_of_ones_own_mtu_is_respected() {
    let sa = ChildSa::new(aes_gcm());
    let mut gateway = Gateway::new(1, tables(sa.side, |tunnel| (tunnel.mtu, tunnel.mss) = (1000, 800)));
    sa.install(&mut gateway.tables, &*gateway.engine);
    let entry = gateway.tables.sad().entry(sa.spi()).expect("installed");
    assert_eq!((entry.inner_mtu, entry.mss), (1000, 800));
    assert!(gateway.feed(0, LAN, &[to_port(LAN, &FORTH.udp(1, 2, 973))]).is_empty());
    assert_eq!(gateway.feed(0, LAN, &[to_port(LAN, &FORTH.udp(1, 2, 972))]).len(), 1);
    gateway.assert_balanced();
}

#[test]
fn marks_are_copied_out_and_congestion_comes_back_in() {
    let sa = ChildSa::new(aes_gcm());
    let (mut first, mut second) = pair(&sa, 1);
    // DSCP EF, ECN-capable.
    let marked = Ip { tos: 0xb8 | 2, ..FORTH };
    let sealed = first.feed(0, LAN, &[to_port(LAN, &marked.ping(30))]);
    let mut outer = ip_of(&sealed[0].1).to_vec();
    assert_eq!((outer[1], outer[6]), (0xb8 | 2, 0x40), "DSCP, ECN and DF");
    outer[1] |= 3;
    outer[10..12].fill(0);
    let sum = checksum::checksum(&outer[..20]);
    outer[10..12].copy_from_slice(&sum.to_be_bytes());
    let opened = second.feed(0, WAN, &[to_port(WAN, &outer)]);
    let congested = Ip { tos: 0xb8 | 3, ..FORTH };
    assert_eq!(ip_of(&opened[0].1), forwarded(&forwarded(&congested.ping(30))));
}

/// The pieces of a packet as its sender cuts it.
fn cut(packet: &[u8], at: usize) -> [Vec<u8>; 2] {
    let piece = |payload: &[u8], field: u16| {
        let mut piece = packet[..20].to_vec();
        let len = u16::try_from(20 + payload.len()).expect("fits");
        piece[2..4].copy_from_slice(&len.to_be_bytes());
        piece[6..8].copy_from_slice(&field.to_be_bytes());
        piece[10..12].fill(0);
        let sum = checksum::checksum(&piece);
        piece[10..12].copy_from_slice(&sum.to_be_bytes());
        [&piece[..], payload].concat()
    };
    let offset = u16::try_from(at / 8).expect("fits");
    [piece(&packet[20..20 + at], 0x2000), piece(&packet[20 + at..], offset)]
}

#[test]
fn fragments_of_a_host_are_cut_further_and_all_arrive() {
    let sa = ChildSa::new(Suite::from_transforms(12, 128, 2).expect("a suite"));
    let (mut first, mut second) = pair(&sa, 1);
    for len in [1473, 2000, 2900] {
        let whole = Ip { dont_fragment: false, ..FORTH }.ping(len);
        let frames = cut(&whole, 1480).map(|piece| to_port(LAN, &piece));
        let sealed = first.feed(0, LAN, &frames);
        let into: Vec<_> = sealed.iter().map(|(_, frame)| to_port(WAN, ip_of(frame))).collect();
        let mut payload = vec![0; whole.len() - 20];
        for (_, frame) in second.feed(0, WAN, &into) {
            let ip = ip_of(&frame);
            let offset = usize::from(u16::from_be_bytes([ip[6], ip[7]]) & 0x1fff) * 8;
            payload[offset..offset + ip.len() - 20].copy_from_slice(&ip[20..]);
        }
        assert_eq!(payload, whole[20..], "{len}: {:?} {:?}", first.all_drops(), second.all_drops());
    }
    first.assert_balanced();
    second.assert_balanced();
}

#[test]
fn ip_options_cross_untouched_and_stay_inside() {
    let (mut first, mut second) = pair(&ChildSa::new(aes_gcm()), 1);
    let with = |options: &[u8]| {
        let mut packet = FORTH.ping(40);
        packet.splice(20..20, options.iter().copied());
        let len = u16::try_from(packet.len()).expect("short");
        packet[0] = 0x40 | u8::try_from(5 + options.len() / 4).expect("at most 40 bytes");
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[10..12].fill(0);
        let sum = checksum::checksum(&packet[..20 + options.len()]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
    let timestamp = [68, 8, 5, 0, 0, 0, 0, 0];
    let router_alert = [148, 4, 0, 0];
    let unknown = [94 | 0x80, 4, 1, 2];
    let passing = [&record_route[..], &timestamp, &router_alert, &unknown].map(with);
    through(&mut first, &mut second, &passing, false);
    let sealed = first.feed(0, LAN, &[to_port(LAN, &passing[0])]);
    assert_eq!(ip_of(&sealed[0].1)[0], 0x45, "the outer header has none");
    for (options, reason) in [
        ([131, 7, 4, 10, 2, 0, 9, 0], DropReason::Ipv4SourceRoute),
        ([137, 7, 4, 10, 2, 0, 9, 0], DropReason::Ipv4SourceRoute),
        ([7, 40, 4, 0, 0, 0, 0, 0], DropReason::Ipv4HeaderInvalid),
    ] {
        assert_eq!(first.feed(0, LAN, &[to_port(LAN, &with(&options))]), []);
        assert!(first.drops(reason) > 0, "{options:?}: {:?}", first.all_drops());
    }
    first.assert_balanced();
}

#[test]
fn padded_packets_are_of_one_length_outside_and_as_they_were_inside() {
    for (tfc, lens, udp) in [
        (u16::MAX, [1340, 1341, 1400, 1410], false),
        (120, [0, 1, 40, 92], false),
        (120, [0, 1, 40, 92], true),
    ] {
        let sa = ChildSa { tfc, udp, ..ChildSa::new(aes_gcm()) };
        let (mut first, mut second) = pair(&sa, 1);
        let packets = lens.map(|len| FORTH.ping(len));
        through(&mut first, &mut second, &packets, udp);
        through(&mut second, &mut first, &[FORTH.back().ping(1350)], udp);
        let frames: Vec<_> = packets.iter().map(|packet| to_port(LAN, packet)).collect();
        let sealed = first.feed(0, LAN, &frames);
        let lengths: Vec<_> = sealed.iter().map(|(_, frame)| ip_of(frame).len()).collect();
        assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "{lengths:?}");
        assert!(lengths[0] <= 1500 && lengths[0] > 120, "{lengths:?}");
        let larger = first.feed(0, LAN, &[to_port(LAN, &FORTH.ping(1410))]);
        assert!(ip_of(&larger[0].1).len() >= lengths[0] && ip_of(&larger[0].1).len() <= 1500);
    }
}
