use proptest::prelude::*;

use super::*;
use crate::flow::Flow;
use crate::headers::checksum::checksum;
use crate::headers::ipv6::Ipv6Repr;
use crate::headers::protocol;

type Hold = Reassembly<u16, Vec<u8>>;

const LIMITS: Limits = Limits { datagrams: 16, per_source: 4, patience: 100 };

/// An IPv4 packet of UDP with counting bytes as payload: part `range` of it, as a fragment.
fn v4(src: u8, id: u16, payload: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
    let more = range.end < payload.len();
    let total = u16::try_from(20 + range.len()).expect("fits");
    let field = u16::try_from(range.start / 8).expect("fits") | if more { 0x2000 } else { 0 };
    let mut packet =
        vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol::UDP, 0, 0, 192, 0, 2, src, 198, 51, 100, 1];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&payload[range]);
    packet
}

/// The same over IPv6, behind destination options.
fn v6(id: u32, payload: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
    let more = u16::from(range.end < payload.len());
    let repr = Ipv6Repr {
        traffic_class: 0,
        next_header: 60,
        hop_limit: 64,
        src: "2001:db8::1".parse().expect("address"),
        dst: "2001:db8::2".parse().expect("address"),
        payload_len: u16::try_from(16 + range.len()).expect("fits"),
    };
    let field = u16::try_from(range.start).expect("fits") | more;
    let mut packet = repr.emit().to_vec();
    packet.extend_from_slice(&[44, 0, 1, 4, 0, 0, 0, 0, protocol::UDP, 0]);
    packet.extend_from_slice(&field.to_be_bytes());
    packet.extend_from_slice(&id.to_be_bytes());
    packet.extend_from_slice(&payload[range]);
    packet
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i * 7 % 251).expect("small")).collect()
}

fn parse(packet: &[u8]) -> Result<Fragment<u16>, DropReason> {
    Fragment::parse(0, packet, &Flow::parse(packet).expect("sound headers"))
}

/// Feeds a fragment; returns the packet it completes and what was refused.
fn feed(hold: &mut Hold, packet: &[u8], known: bool, now: u64) -> (Option<Vec<u8>>, Vec<DropReason>) {
    let mut refused = Vec::new();
    let fragment = parse(packet).expect("a fragment");
    let complete = hold.insert(fragment, known, packet.to_vec(), now, &mut |_, reason| refused.push(reason));
    let whole = complete.map(|complete| {
        let mut out = vec![0xee; complete.packet_len()];
        complete.write(|buffer| buffer.as_slice(), &mut out).expect("sound");
        out
    });
    (whole, refused)
}

#[test]
fn both_families_in_any_order() {
    let body = payload(2999);
    let cuts = [0..1000, 1000..2000, 2000..2999];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let mut hold = Hold::new(LIMITS);
        for (family, cut) in [(4, 0), (6, 1)] {
            let mut last = None;
            for i in order {
                let range = cuts[i].clone();
                let packet = if family == 4 { v4(1, 9, &body, range) } else { v6(9, &body, range) };
                last = feed(&mut hold, &packet, false, cut).0;
            }
            let whole = last.expect("complete");
            let flow = Flow::parse(&whole).expect("sound");
            assert!(!flow.fragment && flow.protocol == protocol::UDP, "{flow:?}");
            assert_eq!(whole[usize::from(flow.header_len)..], body);
            assert_eq!(hold.held(), 0);
        }
    }
}

#[test]
fn an_overlap_refuses_the_whole_and_what_comes_later() {
    let body = payload(300);
    let mut hold = Hold::new(LIMITS);
    feed(&mut hold, &v4(1, 9, &body, 0..104), false, 0);
    feed(&mut hold, &v4(1, 9, &body, 200..300), false, 0);
    let overlap = [DropReason::FragmentOverlap; 3];
    assert_eq!(feed(&mut hold, &v4(1, 9, &body, 96..200), false, 0), (None, overlap.to_vec()));
    assert_eq!(feed(&mut hold, &v4(1, 9, &body, 104..200), false, 0).1, overlap[..1]);
    assert_eq!(hold.held(), 0);
    // Another packet is not concerned, and after the patience not even this one.
    feed(&mut hold, &v4(1, 10, &body, 0..104), false, 0);
    assert!(feed(&mut hold, &v4(1, 10, &body, 104..300), false, 0).0.is_some());
    hold.expire(100, &mut |_, _| panic!("nothing is held"));
    assert_eq!(feed(&mut hold, &v4(1, 9, &body, 0..104), false, 101).1, []);
}

#[test]
fn two_ends_or_something_behind_the_end_are_overlaps() {
    let body = payload(300);
    for second in [v4(1, 9, &body[..200], 104..200), v4(1, 9, &payload(500), 304..400)] {
        let mut hold = Hold::new(LIMITS);
        feed(&mut hold, &v4(1, 9, &body, 200..300), false, 0);
        assert_eq!(feed(&mut hold, &second, false, 0).1, [DropReason::FragmentOverlap; 2]);
    }
}

#[test]
fn a_copy_is_dropped_alone() {
    let body = payload(300);
    let mut hold = Hold::new(LIMITS);
    feed(&mut hold, &v4(1, 9, &body, 0..104), false, 0);
    assert_eq!(feed(&mut hold, &v4(1, 9, &body, 0..104), false, 0).1, [DropReason::FragmentDuplicate]);
    assert!(feed(&mut hold, &v4(1, 9, &body, 104..300), false, 0).0.is_some());
}

#[test]
fn malformed_and_tiny_fragments_are_refused() {
    let body = payload(9400);
    let invalid = Err(DropReason::FragmentInvalid);
    let cuts = [0..100, 64..64, 9304..9400];
    for range in cuts {
        assert_eq!(parse(&v4(1, 1, &body, range.clone())), invalid, "{range:?}");
    }
    assert!(parse(&v4(1, 1, &body[..9196], 9000..9196)).is_ok(), "exactly as long as allowed");
    assert_eq!(parse(&v4(1, 1, &body[..9197], 9000..9197)), invalid);
    assert_eq!(parse(&v6(1, &body, 9168..9176)), invalid, "with its headers too long");
    let tcp = |range| {
        let mut packet = v4(1, 1, &body, range);
        packet[9] = protocol::TCP;
        packet[10..12].fill(0);
        let sum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        parse(&packet)
    };
    assert_eq!((tcp(0..8), tcp(8..16)), (invalid, invalid), "RFC 1858");
    assert!(tcp(0..16).is_ok() && tcp(16..24).is_ok());
}

#[test]
fn one_source_loses_only_its_own() {
    let body = payload(300);
    let mut hold = Hold::new(LIMITS);
    feed(&mut hold, &v4(200, 1, &body, 0..104), false, 0);
    for id in 0..100 {
        let (_, refused) = feed(&mut hold, &v4(1, id, &body, 0..104), false, 1 + u64::from(id) % 50);
        assert_eq!(refused.len(), usize::from(id >= 4), "its oldest goes for its newest");
    }
    assert_eq!(hold.held(), 5);
    assert!(feed(&mut hold, &v4(200, 1, &body, 104..300), false, 60).0.is_some());
}

#[test]
fn strangers_leave_room_for_peers_and_share_the_rest() {
    let body = payload(300);
    let mut hold = Hold::new(LIMITS);
    for source in 1..=100 {
        feed(&mut hold, &v4(source, 1, &body, 0..104), false, 0);
    }
    assert_eq!(hold.held(), 8, "half of the places");
    assert_eq!(feed(&mut hold, &v4(101, 1, &body, 0..104), false, 0).1, [DropReason::ReassemblyFull]);
    for source in 201..=216 {
        feed(&mut hold, &v4(source, 1, &body, 0..104), true, 0);
    }
    for source in 201..=216 {
        assert!(feed(&mut hold, &v4(source, 1, &body, 104..300), true, 0).0.is_some(), "{source}");
    }
    assert_eq!(hold.held(), 0);
    // Two who fill their share give way to a third.
    for id in 0..4 {
        feed(&mut hold, &v4(1, id, &body, 0..104), false, 0);
        feed(&mut hold, &v4(2, id, &body, 0..104), false, 0);
    }
    assert_eq!(feed(&mut hold, &v4(3, 1, &body, 0..104), false, 0).1, [DropReason::ReassemblyFull]);
    assert!(feed(&mut hold, &v4(3, 1, &body, 104..300), false, 0).0.is_some());
}

#[test]
fn patience_ends_and_everything_held_is_given_back() {
    let body = payload(300);
    let mut hold = Hold::new(LIMITS);
    feed(&mut hold, &v4(1, 1, &body, 0..104), false, 5);
    feed(&mut hold, &v4(1, 1, &body, 104..200), false, 50);
    let mut given_up = Vec::new();
    hold.expire(104, &mut |_, reason| given_up.push(reason));
    assert_eq!(given_up, []);
    hold.expire(105, &mut |_, reason| given_up.push(reason));
    assert_eq!(given_up, [DropReason::ReassemblyTimeout; 2]);
}

#[test]
fn congestion_of_a_part_is_that_of_the_whole() {
    let body = payload(300);
    let marked = |range, tos| {
        let mut packet = v4(1, 1, &body, range);
        packet[1] = tos;
        packet[10..12].fill(0);
        let sum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    for (first, second, expected) in
        [(2, 3, Ok(3)), (2, 2, Ok(2)), (0, 0, Ok(0)), (0, 3, Err(DropReason::EcnNotCapable))]
    {
        let mut hold = Hold::new(LIMITS);
        let mut complete = None;
        for packet in [marked(0..104, first), marked(104..300, second)] {
            let fragment = parse(&packet).expect("a fragment");
            complete = hold.insert(fragment, false, packet, 0, &mut |_, _| panic!("refused"));
        }
        let complete = complete.expect("all are here");
        let mut out = vec![0; complete.packet_len()];
        let written = complete.write(|buffer| buffer.as_slice(), &mut out);
        assert_eq!(written.map(|()| out[1]), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Datagrams cut at random, their fragments shuffled, some lost, some twice, some damaged to overlap: what
    /// comes out is one of those sent, byte for byte, and every fragment ends exactly once.
    #[test]
    fn what_comes_out_was_sent(
        datagrams in prop::collection::vec((1usize..1000, 1usize..12), 1..6),
        shuffle in any::<u64>(),
        faults in prop::collection::vec(0u8..10, 64),
    ) {
        let mut fragments = Vec::new();
        for (id, (len, units)) in (0u16..).zip(&datagrams) {
            let body = payload(len + 8 * units);
            for start in (0..body.len()).step_by(8 * units) {
                let end = (start + 8 * units).min(body.len());
                fragments.push((v4(1, id, &body, start..end), v6(id.into(), &body, start..end)));
            }
        }
        let mut fed = Vec::new();
        for (i, (four, six)) in fragments.iter().enumerate() {
            match faults[i % faults.len()] {
                0 => {}
                1 => fed.extend([four.clone(), six.clone(), four.clone(), six.clone()]),
                _ => fed.extend([four.clone(), six.clone()]),
            }
        }
        let mut state = shuffle | 1;
        for i in (1..fed.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            fed.swap(i, usize::try_from(state >> 33).expect("31 bits") % (i + 1));
        }
        let mut hold = Hold::new(LIMITS);
        let mut ended = 0;
        for packet in &fed {
            let fragment = parse(packet).expect("a fragment");
            let complete = hold.insert(fragment, false, packet.clone(), 0, &mut |_, _| ended += 1);
            let Some(complete) = complete else { continue };
            ended += complete.fragments();
            let mut out = vec![0; complete.packet_len()];
            complete.write(|buffer| buffer.as_slice(), &mut out).expect("sound");
            let flow = Flow::parse(&out).expect("sound");
            let body = &out[usize::from(flow.header_len)..];
            prop_assert!(datagrams.iter().any(|(len, units)| payload(len + 8 * units) == body));
        }
        prop_assert_eq!(ended + hold.held(), fed.len());
        hold.expire(u64::MAX, &mut |_, _| ended += 1);
        prop_assert_eq!(ended, fed.len());
    }
}
