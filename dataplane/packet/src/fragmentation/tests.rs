use super::*;
use crate::headers::ipv4::Ipv4View;
use crate::headers::protocol::UDP;
use crate::reassembly::{Fragment, Limits, Reassembly};
use crate::testing::ipv6;
use std::net::Ipv4Addr;

/// An IPv4 packet with `options` and `payload` bytes of payload, as far as `field` (flags and offset) says.
fn packet(options: &[u8], payload: usize, field: u16) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0; header + payload];
    packet[0] = 0x40 | u8::try_from(header / 4).expect("short");
    let total = u16::try_from(header + payload).expect("short");
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[4..6].copy_from_slice(&[0x12, 0x34]);
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    packet[8..10].copy_from_slice(&[64, 17]);
    packet[12..16].copy_from_slice(&Ipv4Addr::new(10, 1, 0, 1).octets());
    packet[16..20].copy_from_slice(&Ipv4Addr::new(10, 2, 0, 1).octets());
    packet[20..header].copy_from_slice(options);
    for (i, byte) in packet[header..].iter_mut().enumerate() {
        *byte = u8::try_from(i % 251).expect("small");
    }
    let sum = checksum::checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn cut(packet: &[u8], mtu: u16) -> Option<Vec<Vec<u8>>> {
    let flow = Flow::parse(packet).expect("valid");
    Some(pieces(packet, &Plan::on_the_way(packet, &flow, mtu)?))
}

fn cut_at_source(packet: &[u8], mtu: u16, identification: u32) -> Option<Vec<Vec<u8>>> {
    let flow = Flow::parse(packet).expect("valid");
    Some(pieces(packet, &Plan::at_source(packet, &flow, mtu, identification)?))
}

fn pieces(packet: &[u8], plan: &Plan) -> Vec<Vec<u8>> {
    let write = |piece: Piece| {
        let mut out = vec![0; plan.packet_len(piece)];
        plan.write(packet, piece, &mut out);
        out
    };
    plan.pieces().map(write).collect()
}

/// What a receiver makes of the pieces, the last one first.
fn reassembled(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut reassembly = Reassembly::new(Limits { datagrams: 4, per_source: 4, patience: 1 });
    let mut refuse = |_: &Vec<u8>, reason| panic!("{reason}");
    let whole = pieces.iter().rev().find_map(|piece| {
        let flow = Flow::parse(piece).expect("a valid packet");
        let fragment = Fragment::parse((), piece, &flow).expect("a valid fragment");
        reassembly.insert(fragment, false, piece, 0, &mut refuse)
    });
    let whole = whole.expect("complete");
    let mut out = vec![0; whole.packet_len()];
    whole.write(|piece| piece, &mut out).expect("written");
    out
}

fn offset_and_more(packet: &[u8]) -> (usize, bool) {
    let field = u16::from_be_bytes([packet[6], packet[7]]);
    (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0)
}

#[test]
fn pieces_are_valid_fit_and_make_the_whole() {
    let whole = packet(&[], 3000, 0);
    let pieces = cut(&whole, 1400).expect("cut");
    assert_eq!(pieces.len(), 3);
    let mut payload = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        assert!(piece.len() <= 1400);
        assert!(Flow::parse(piece).is_ok_and(|flow| flow.fragment));
        assert_eq!(piece[4..6], whole[4..6], "one identification");
        assert_eq!(offset_and_more(piece), (payload.len(), i < 2));
        payload.extend_from_slice(&piece[20..]);
    }
    assert_eq!(payload, whole[20..]);
}

#[test]
fn a_fragment_is_cut_further() {
    let pieces = cut(&packet(&[], 1480, 0x2000 | 185), 800).expect("cut");
    let places: Vec<_> = pieces.iter().map(|p| offset_and_more(p)).collect();
    assert_eq!(places, [(1480, true), (1480 + 776, true)]);
}

#[test]
fn only_copied_options_are_repeated() {
    // Record route (not copied), router alert (copied), padding.
    let options = [7, 3, 4, 148, 4, 0, 0, 0];
    let pieces = cut(&packet(&options, 2000, 0), 1400).expect("cut");
    assert_eq!(pieces[0][20..28], options);
    assert_eq!(pieces[1][20..28], [1, 1, 1, 148, 4, 0, 0, 0]);
    assert!(pieces.iter().all(|piece| Flow::parse(piece).is_ok()));
}

#[test]
fn what_must_not_or_cannot_be_cut_is_refused() {
    assert_eq!(cut(&packet(&[], 3000, 0x4000), 1400), None, "DF");
    assert_eq!(cut(&packet(&[], 3000, 0), 27), None, "no room for a payload");
    assert_eq!(cut(&packet(&[], 9000, 0), 100), None, "too many pieces");
}

#[test]
fn a_source_gives_its_packet_a_new_identification() {
    let mut whole = packet(&[], 3000, 0);
    let pieces = cut_at_source(&whole, 1400, 0xdead_beef).expect("cut");
    assert!(pieces.iter().all(|piece| Ipv4View::parse(piece).is_ok_and(|ip| ip.identification() == 0xbeef)));
    assert_eq!(reassembled(&pieces)[20..], whole[20..]);
    whole[6] = 0x40;
    let sum = {
        whole[10..12].fill(0);
        checksum::checksum(&whole[..20])
    };
    whole[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(cut_at_source(&whole, 1400, 1), None, "DF");
    assert_eq!(cut_at_source(&packet(&[], 1480, 0x2000), 1400, 1), None, "a fragment");
}

#[test]
fn a_source_cuts_ipv6_so_that_the_whole_comes_back() {
    let data: Vec<u8> = (0..4000u32).map(|i| i.to_be_bytes()[3]).collect();
    let (src, dst) = ("2001:db8::1", "2001:db8::2");
    let hop_by_hop = [&[UDP, 0, 1, 4, 0, 0, 0, 0], &data[..]].concat();
    let routed =
        [&[60, 0, 1, 4, 0, 0, 0, 0, 43, 0, 1, 4, 0, 0, 0, 0, UDP, 0, 0, 0, 0, 0, 0, 0], &data[..]].concat();
    let destination = [&[UDP, 0, 1, 4, 0, 0, 0, 0], &data[..]].concat();
    for (next_header, body, repeated) in
        [(UDP, &data, 40), (0, &hop_by_hop, 48), (0, &routed, 64), (60, &destination, 40)]
    {
        let whole = ipv6(src, dst, next_header, body);
        for mtu in [1280, 1281, 1287, 1500, 3000] {
            let pieces = cut_at_source(&whole, mtu, 0x1234_5678).expect("cut");
            assert!(pieces.iter().all(|piece| piece.len() <= usize::from(mtu)));
            assert!(pieces.iter().all(|piece| piece[repeated + 4..repeated + 8] == [0x12, 0x34, 0x56, 0x78]));
            assert!(
                pieces.iter().rev().skip(1).all(|piece| piece.len() + 8 > usize::from(mtu)),
                "no smaller than need be"
            );
            assert_eq!(reassembled(&pieces), whole, "next header {next_header}, MTU {mtu}");
        }
    }
}

#[test]
fn ipv6_that_is_a_fragment_or_has_no_room_is_not_cut() {
    let whole = ipv6("2001:db8::1", "2001:db8::2", UDP, &[7; 3000]);
    for piece in cut_at_source(&whole, 1500, 1).expect("cut") {
        assert_eq!(cut_at_source(&piece, 1280, 1), None);
        assert_eq!(cut(&piece, 1280), None, "no router cuts it");
    }
    let atomic = [&[UDP, 0, 0, 0, 0, 0, 0, 1], &[7; 3000][..]].concat();
    assert_eq!(cut_at_source(&ipv6("2001:db8::1", "2001:db8::2", 44, &atomic), 1500, 1), None);
    assert_eq!(cut_at_source(&whole, 55, 1), None, "no room for a payload");
    assert_eq!(cut_at_source(&whole, 100, 1), None, "too many pieces");
}
