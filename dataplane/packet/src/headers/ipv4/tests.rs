use super::*;
use crate::headers::{decrement_hop_limit, set_traffic_class};
use crate::testing::{ipv4, udp};
use proptest::prelude::*;

fn with_options(options: &[u8]) -> Vec<u8> {
    let mut packet = ipv4("10.1.0.1", "10.2.0.1", 17, &[options, &[0; 8]].concat());
    packet[0] = 0x40 | u8::try_from(5 + options.len() / 4).expect("short");
    packet
}

#[test]
fn reads_what_was_emitted() {
    let packet = udp("10.1.0.1", "10.2.0.1", (1, 2), b"hello");
    let view = Ipv4View::parse(&packet).expect("valid");
    assert_eq!(view.verify_checksum(), Ok(()));
    assert_eq!((view.header_len(), view.total_len(), view.ttl(), view.protocol()), (20, 33, 64, 17));
    assert_eq!((view.src().to_string(), view.dst().to_string()), ("10.1.0.1".into(), "10.2.0.1".into()));
    assert!(view.dont_fragment() && !view.is_fragment() && !view.has_options());
    assert_eq!(view.payload().len(), 13);
}

#[test]
fn link_padding_is_not_payload() {
    let packet = [&udp("10.1.0.1", "10.2.0.1", (1, 2), b"hi")[..], &[0; 16]].concat();
    assert_eq!(Ipv4View::parse(&packet).expect("valid").payload().len(), 10);
}

#[test]
fn refuses_wrong_lengths() {
    let packet = udp("10.1.0.1", "10.2.0.1", (1, 2), b"hello");
    assert_eq!(Ipv4View::parse(&packet[..19]).err(), Some(DropReason::FrameTruncated));
    assert_eq!(Ipv4View::parse(&packet[..32]).err(), Some(DropReason::FrameTruncated));
    for (at, value) in [(0, 0x65), (0, 0x44), (3, 19)] {
        let mut broken = packet.clone();
        broken[at] = value;
        assert_eq!(Ipv4View::parse(&broken).err(), Some(DropReason::Ipv4HeaderInvalid));
    }
    let mut broken = packet;
    broken[12] ^= 1;
    assert_eq!(
        Ipv4View::parse(&broken).expect("lengths hold").verify_checksum(),
        Err(DropReason::Ipv4Checksum)
    );
}

#[test]
fn options_are_walked_and_source_routes_refused() {
    let check =
        |options: &[u8]| Ipv4View::parse(&with_options(options)).expect("lengths hold").check_options();
    assert_eq!(check(&[148, 4, 0, 0]), Ok(())); // router alert
    assert_eq!(check(&[1, 1, 1, 0]), Ok(()));
    assert_eq!(check(&[131, 4, 4, 0]), Err(DropReason::Ipv4SourceRoute));
    assert_eq!(check(&[1, 137, 3, 4]), Err(DropReason::Ipv4SourceRoute));
    assert_eq!(check(&[7, 1, 0, 0]), Err(DropReason::Ipv4HeaderInvalid));
    assert_eq!(check(&[7, 5, 0, 0]), Err(DropReason::Ipv4HeaderInvalid));
    assert_eq!(check(&[1, 1, 1, 7]), Err(DropReason::Ipv4HeaderInvalid));
}

#[test]
fn a_lower_ttl_changes_the_checksum_as_a_new_sum_does() {
    let repr = |identification, ttl| Ipv4Repr {
        tos: 0,
        identification,
        dont_fragment: true,
        ttl,
        protocol: 17,
        src: Ipv4Addr::new(10, 1, 0, 1),
        dst: Ipv4Addr::new(10, 2, 0, 1),
        payload_len: 0,
    };
    for identification in 0..=u16::MAX {
        let mut packet = repr(identification, 64).emit();
        decrement_hop_limit(&mut packet);
        assert_eq!(packet, repr(identification, 63).emit());
    }
    let mut expired = repr(1, 0).emit();
    decrement_hop_limit(&mut expired);
    assert_eq!(expired, repr(1, 0).emit());
}

proptest! {
    #[test]
    fn rewriting_keeps_the_checksum(tos: u8, class: u8, ttl in 1u8.., id: u16, src: u32, dst: u32) {
        let repr = Ipv4Repr {
            tos, identification: id, dont_fragment: false, ttl, protocol: 6,
            src: Ipv4Addr::from_bits(src), dst: Ipv4Addr::from_bits(dst), payload_len: 0,
        };
        let mut packet = repr.emit();
        decrement_hop_limit(&mut packet);
        set_traffic_class(&mut packet, class);
        let view = Ipv4View::parse(&packet).expect("valid");
        prop_assert_eq!(view.verify_checksum(), Ok(()));
        prop_assert_eq!((view.ttl(), view.tos(), view.identification()), (ttl - 1, class, id));
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = crate::flow::Flow::parse(&bytes);
        if let Ok(view) = Ipv4View::parse(&bytes) {
            let _ = (view.check_options(), view.verify_checksum(), view.payload().len());
        }
    }
}
