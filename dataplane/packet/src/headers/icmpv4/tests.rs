use super::*;
use crate::testing::{flow, ipv4, udp, v4};
use proptest::prelude::*;

fn error(original: &[u8]) -> Option<Vec<u8>> {
    let mut out = [0; MAX_ERROR_LEN];
    let len = build_error(IcmpError::FragmentationNeeded { mtu: 1446 }, original, v4("10.1.0.1"), &mut out)?;
    Some(out[..len].to_vec())
}

#[test]
fn quotes_the_original_up_to_576_bytes() {
    for size in [0, 100, 547, 548, 1400] {
        let original = udp("10.1.0.9", "10.2.0.9", (1, 2), &vec![7; size]);
        let packet = error(&original).expect("allowed");
        let ip = Ipv4View::parse(&packet).expect("valid");
        assert_eq!(packet.len(), (28 + original.len()).min(576));
        assert_eq!((ip.src(), ip.dst(), ip.verify_checksum()), (v4("10.1.0.1"), v4("10.1.0.9"), Ok(())));
        assert_eq!(checksum::checksum(ip.payload()), 0);
        assert_eq!(ip.payload()[..8], [3, 4, ip.payload()[2], ip.payload()[3], 0, 0, 5, 0xa6]);
        assert_eq!(ip.payload()[8..], original[..packet.len() - 28]);
        assert_eq!(flow(&packet).protocol, protocol::ICMP);
    }
}

#[test]
fn keeps_silent_where_the_rfc_asks() {
    assert!(error(&ipv4("10.1.0.9", "10.2.0.9", protocol::ICMP, &[8, 0, 0, 0, 0, 0, 0, 0])).is_some());
    assert!(
        error(&ipv4("10.1.0.9", "10.2.0.9", protocol::ICMP, &[3, 4, 0, 0, 0, 0, 0, 0])).is_none(),
        "an error"
    );
    assert!(error(&ipv4("10.1.0.9", "10.2.0.9", protocol::ICMP, &[])).is_none(), "may be an error");
    assert!(error(&udp("10.1.0.9", "224.0.0.5", (1, 2), b"")).is_none(), "to many");
    assert!(error(&udp("10.1.0.9", "255.255.255.255", (1, 2), b"")).is_none(), "to all");
    for source in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
        assert!(error(&udp(source, "10.2.0.9", (1, 2), b"")).is_none(), "from {source}");
    }
    let mut later = udp("10.1.0.9", "10.2.0.9", (1, 2), b"12345678");
    later[7] = 1;
    assert!(error(&later).is_none(), "a later fragment");
    assert!(error(b"junk").is_none());
}

#[test]
fn a_small_buffer_still_quotes_eight_bytes_or_nothing_is_sent() {
    let original = udp("10.1.0.9", "10.2.0.9", (1, 2), &[7; 100]);
    let build = |room| build_error(IcmpError::TimeExceeded, &original, v4("10.1.0.1"), &mut vec![0; room]);
    assert_eq!(build(56), Some(56));
    assert_eq!(build(55), None);
    assert_eq!(build(27), None);
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..120), room in 0usize..600) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() { *first = 0x45 }
        let _ = build_error(IcmpError::TimeExceeded, &bytes, Ipv4Addr::LOCALHOST, &mut vec![0; room]);
    }
}
