use super::*;
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
    let sum = packet::headers::checksum::checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn cut(packet: &[u8], mtu: u16) -> Option<Vec<Vec<u8>>> {
    let flow = Flow::parse(packet).expect("valid");
    let plan = Plan::new(packet, &flow, mtu)?;
    let write = |piece: Piece| {
        let mut out = vec![0; plan.header + piece.len];
        plan.write(packet, piece, &mut out);
        out
    };
    Some(plan.pieces().map(write).collect())
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
