use super::*;
use crate::testing::ipv6;
use proptest::prelude::*;

const US: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x12, 0x3456);
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn solicitation() -> Ndp {
    let (kind, dst) = (NdpKind::Solicitation, solicited_node(US));
    Ndp { src: PEER, dst, kind, target: US, link_layer: Some(MAC) }
}

fn advertisement() -> Ndp {
    let kind = NdpKind::Advertisement { router: true, solicited: true, overrides: false };
    Ndp { src: US, dst: PEER, kind, target: US, link_layer: Some(MAC) }
}

/// The packet with other bytes from `at` of the message on, and a right checksum.
fn altered(ndp: &Ndp, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut packet = ndp.emit().to_vec();
    packet[40 + at..40 + at + bytes.len()].copy_from_slice(bytes);
    seal(&mut packet[40..], ndp.src, ndp.dst).expect("short");
    packet
}

#[test]
fn round_trips() {
    for ndp in [
        solicitation(),
        advertisement(),
        Ndp { link_layer: None, ..advertisement() },
        Ndp { src: Ipv6Addr::UNSPECIFIED, link_layer: None, ..solicitation() },
    ] {
        assert_eq!(Ndp::parse(&ndp.emit()), Some(ndp));
    }
}

#[test]
fn addresses_are_derived_as_the_rfcs_say() {
    assert_eq!(solicited_node(US).to_string(), "ff02::1:ff12:3456");
    assert_eq!(group_mac(solicited_node(US)), MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
    assert_eq!(link_local(MAC).to_string(), "fe80::ff:fe00:1");
}

#[test]
fn what_the_rfc_forbids_is_refused() {
    let mut far = solicitation().emit();
    far[7] = 254;
    assert_eq!(Ndp::parse(&far), None, "from beyond a router");
    let mut broken = solicitation().emit();
    broken[60] ^= 1;
    assert_eq!(Ndp::parse(&broken), None, "checksum");
    assert_eq!(Ndp::parse(&altered(&solicitation(), 1, &[1])), None, "code");
    assert_eq!(Ndp::parse(&altered(&solicitation(), 8, &[0xff])), None, "target is a group");
    assert_eq!(Ndp::parse(&altered(&solicitation(), 25, &[0])), None, "an option without length");
    assert_eq!(Ndp::parse(&altered(&solicitation(), 25, &[2])), None, "an option beyond the end");
    assert_eq!(Ndp::parse(&altered(&solicitation(), 0, &[137])), None, "a redirect");
    let probe = Ndp { src: Ipv6Addr::UNSPECIFIED, ..solicitation() };
    assert_eq!(Ndp::parse(&probe.emit()), None, "a probe names no link-layer address");
    let probe = Ndp { dst: ALL_NODES, link_layer: None, ..probe };
    assert_eq!(Ndp::parse(&probe.emit()), None, "a probe goes to the solicited node");
    assert_eq!(Ndp::parse(&Ndp { dst: ALL_NODES, ..advertisement() }.emit()), None, "solicited by nobody");
    let short = ipv6("fe80::1", "ff02::1", protocol::ICMPV6, &[SOLICITATION; 23]);
    assert_eq!(Ndp::parse(&short), None);
}

#[test]
fn unknown_options_are_skipped() {
    // A nonce option (RFC 3971), then nothing of ours.
    assert_eq!(Ndp::parse(&altered(&solicitation(), 24, &[14, 1])).map(|ndp| ndp.link_layer), Some(None));
}

proptest! {
    #[test]
    fn never_panics(body in prop::collection::vec(any::<u8>(), 0..80), next in prop::sample::select(vec![58u8, 0, 44, 60])) {
        let mut packet = ipv6("fe80::1", "ff02::1", next, &body);
        packet[7] = HOP_LIMIT;
        let _ = Ndp::parse(&packet);
        let _ = link_layer(&body, SOURCE_LINK_LAYER);
    }
}
