use super::*;
use crate::esp::{Aad, DfPolicy, DscpPolicy, Encap, EspGeometry, OuterEndpoints, TransformIds, decap};
use crate::headers::{ipv4::Ipv4View, ipv6::Ipv6View, udp::UdpView};
use crate::selectors::SelectorPair;
use crate::testing::{CBC_SHA1, GCM, flow, ip, ipv6, native, prefix, udp};
use proptest::prelude::*;

fn template(suite: TransformIds, endpoints: OuterEndpoints) -> OuterTemplate {
    let geometry = EspGeometry::new(suite).expect("a suite");
    OuterTemplate::new(endpoints, geometry, DfPolicy::Copy, DscpPolicy::Copy).expect("one family")
}

fn nat_t() -> OuterEndpoints {
    OuterEndpoints { encap: Encap::Udp { local_port: 4500, remote_port: 61000 }, ..native("192.0.2.2") }
}

fn over_v6() -> OuterEndpoints {
    OuterEndpoints { local: ip("2001:db8::1"), remote: ip("2001:db8::2"), ..native("192.0.2.2") }
}

/// Lays `packet` out; nothing is encrypted, so that the result can be read.
fn seal(template: &OuterTemplate, packet: &[u8], seq: u64) -> (Vec<u8>, EspSpans) {
    let mut frame = vec![0xee; template.layout.sealed_len(packet.len())];
    frame[template.layout.headroom()..][..packet.len()].copy_from_slice(packet);
    let fit = lay_out(&mut frame, template, seq, Inner::from(&flow(packet))).expect("it fits");
    (frame, fit.spans)
}

fn lay_out(frame: &mut [u8], template: &OuterTemplate, seq: u64, inner: Inner) -> Result<Fit, DropReason> {
    let fit = Fit::around(&inner, &template.layout)?;
    encap(frame, template, 0xc0de_0001, SeqNo(seq), inner, &fit).map(|()| fit)
}

/// Takes it apart again as the peer would, selectors mirrored.
fn open(template: &OuterTemplate, frame: &mut [u8]) -> Result<decap::Opened, DropReason> {
    let outer = flow(frame);
    let udp_len = if matches!(template.endpoints.encap, Encap::Native) { 0 } else { 8 };
    let packet = decap::EspPacket::parse(frame, outer.header_len + udp_len, outer.len)?;
    let spans = packet.plan(&template.layout.geometry)?;
    let any = [
        SelectorPair::between(prefix("0.0.0.0/0"), prefix("0.0.0.0/0")),
        SelectorPair::between(prefix("::/0"), prefix("::/0")),
    ];
    decap::inspect(frame, decap::strip(frame, &spans)?, outer.traffic_class, &any)
}

#[test]
fn lays_out_gcm_over_ipv4_byte_for_byte() {
    let inner = udp("10.1.0.9", "10.2.0.9", (7, 8), b"abc");
    let (frame, spans) = seal(&template(GCM, native("192.0.2.2")), &inner, 0x1_0000_0005);
    // 31 bytes of inner packet, 3 of padding, 2 of trailer.
    assert_eq!(spans, EspSpans { esp: 20, iv: 28, cipher: 36, cipher_len: 36, tag: 72, end: 88 });
    let ip = Ipv4View::parse(&frame).expect("valid");
    assert_eq!((ip.verify_checksum(), ip.total_len(), ip.protocol(), ip.ttl()), (Ok(()), 88, 50, 64));
    assert_eq!((ip.identification(), ip.dont_fragment()), (5, true));
    assert_eq!(hex::encode(&frame[20..36]), "c0de0001000000050000000100000005");
    assert_eq!(frame[36..67], inner);
    assert_eq!(frame[67..72], [1, 2, 3, 3, 4]);
}

#[test]
fn lays_out_cbc_in_udp() {
    let inner = udp("10.1.0.9", "10.2.0.9", (7, 8), b"abc");
    let (frame, spans) = seal(&template(CBC_SHA1, nat_t()), &inner, 1);
    assert_eq!(spans, EspSpans { esp: 28, iv: 36, cipher: 52, cipher_len: 48, tag: 100, end: 112 });
    let udp = UdpView::parse(&frame[20..]).expect("valid");
    assert_eq!((udp.src_port(), udp.dst_port(), udp.len()), (4500, 61000, 92));
    assert_eq!(frame[26..28], [0, 0], "no UDP checksum");
    assert_eq!(frame[36..52], [0xee; 16], "the IV is the caller's");
    assert_eq!(frame[83..100], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15, 4]);
}

#[test]
fn carries_both_families_in_both() {
    let v4 = udp("10.1.0.9", "10.2.0.9", (7, 8), b"abc");
    let v6 = ipv6("2001:db8:1::9", "2001:db8:2::9", 17, &[0; 8]);
    for endpoints in [native("192.0.2.2"), nat_t(), over_v6()] {
        for inner in [&v4, &v6] {
            let template = template(GCM, endpoints);
            let (mut frame, _) = seal(&template, inner, 9);
            let opened = open(&template, &mut frame).expect("ours");
            let at = usize::from(opened.offset);
            assert_eq!(frame[at..at + usize::from(opened.flow.len)], inner[..]);
        }
    }
    let template = template(GCM, over_v6());
    let (frame, _) = seal(&template, &v6, 9);
    let ip = Ipv6View::parse(&frame).expect("valid");
    assert_eq!((usize::from(ip.total_len()), ip.hop_limit()), (frame.len(), 64));
    assert_eq!(ip.upper_layer().map(|u| (u.protocol, u.offset)), Ok((50, 40)));
}

#[test]
fn outer_fields_follow_the_policies() {
    let mut inner = udp("10.1.0.9", "10.2.0.9", (7, 8), b"abc");
    crate::headers::set_traffic_class(&mut inner, 0xb8 | 0b10);
    inner[6] = 0;
    inner[10..12].fill(0);
    let sum = crate::headers::checksum::checksum(&inner[..20]);
    inner[10..12].copy_from_slice(&sum.to_be_bytes());
    let geometry = EspGeometry::new(GCM).expect("a suite");
    let outer = |df, dscp| {
        let template = OuterTemplate::new(native("192.0.2.2"), geometry, df, dscp).expect("one family");
        let (frame, _) = seal(&template, &inner, 1);
        let ip = Ipv4View::parse(&frame).expect("valid");
        assert_eq!(ip.verify_checksum(), Ok(()));
        (ip.dont_fragment(), ip.tos())
    };
    assert_eq!(outer(DfPolicy::Copy, DscpPolicy::Copy), (false, 0xba));
    assert_eq!(outer(DfPolicy::Set, DscpPolicy::Fixed(10)), (true, 10 << 2 | 0b10));
    assert_eq!(outer(DfPolicy::Clear, DscpPolicy::Fixed(0)), (false, 0b10));
}

#[test]
fn a_frame_of_another_size_is_refused() {
    let template = template(GCM, native("192.0.2.2"));
    let inner = Inner::from(&flow(&udp("10.1.0.9", "10.2.0.9", (7, 8), b"abc")));
    for len in [0, 20, 87, 89] {
        assert_eq!(lay_out(&mut vec![0; len], &template, 1, inner), Err(DropReason::NoRoom));
    }
    let huge = Inner { padded: u16::MAX, ..inner };
    assert_eq!(Fit::around(&huge, &template.layout), Err(DropReason::NoRoom));
    let cut = Inner { padded: inner.len - 1, ..inner };
    assert_eq!(Fit::around(&cut, &template.layout), Err(DropReason::NoRoom));
}

#[test]
fn aad_has_the_high_half_in_the_middle() {
    let seq = SeqNo(0x0000_0001_0000_0002);
    assert_eq!(
        Aad::new(0xaabb_ccdd, seq, true).as_slice(),
        hex::decode("aabbccdd0000000100000002").expect("hex")
    );
    assert_eq!(Aad::new(0xaabb_ccdd, seq, false).as_slice(), hex::decode("aabbccdd00000002").expect("hex"));
}

#[test]
fn a_peer_that_moved_is_noticed() {
    let (nat, v4, v6) =
        (template(GCM, nat_t()), template(GCM, native("192.0.2.2")), template(GCM, over_v6()));
    let from = |src: &str, dst: &str| udp(src, dst, (61000, 4500), b"x");
    let peer = from("192.0.2.2", "192.0.2.1");
    assert!(nat.is_for_us(&peer) && nat.is_from_peer(&peer, Some(61000)));
    assert!(!nat.is_from_peer(&peer, Some(61001)) && !nat.is_from_peer(&peer, None));
    assert!(v4.is_from_peer(&peer, None) && !v4.is_from_peer(&peer, Some(61000)));
    let moved = from("192.0.2.3", "192.0.2.1");
    assert!(nat.is_for_us(&moved) && !nat.is_from_peer(&moved, Some(61000)));
    assert!(!nat.is_for_us(&from("192.0.2.2", "192.0.2.3")), "for another address of ours");
    let peer = ipv6("2001:db8::2", "2001:db8::1", 50, b"x");
    assert!(v6.is_for_us(&peer) && v6.is_from_peer(&peer, None));
    assert!(!v4.is_for_us(&peer), "of the other family");
    let moved = ipv6("2001:db8::3", "2001:db8::1", 50, b"x");
    assert!(v6.is_for_us(&moved) && !v6.is_from_peer(&moved, None));
    assert!(!v6.is_for_us(&ipv6("2001:db8::2", "2001:db8::3", 50, b"x")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn what_is_laid_out_is_found_again(
        body in prop::collection::vec(any::<u8>(), 0..300),
        suite in prop::sample::select(vec![(20, 256, 0), (12, 192, 12), (3, 0, 1), (2, 64, 2), (11, 0, 14), (13, 256, 12), (18, 128, 0), (19, 128, 0), (21, 192, 0), (28, 0, 0)]),
        encap in 0usize..3,
        class: u8,
    ) {
        let suite = TransformIds { encryption: suite.0, key_bits: suite.1, integrity: suite.2 };
        let template = template(suite, [native("192.0.2.2"), nat_t(), over_v6()][encap]);
        let mut inner = udp("10.1.0.9", "10.2.0.9", (7, 8), &body);
        crate::headers::set_traffic_class(&mut inner, class);
        let (mut frame, spans) = seal(&template, &inner, 77);
        prop_assert_eq!(usize::from(spans.end), frame.len());
        prop_assert_eq!(spans.cipher_len % u16::from(template.layout.geometry.align), 0);
        let opened = open(&template, &mut frame).expect("ours");
        prop_assert_eq!(opened.flow, flow(&inner));
        let at = usize::from(opened.offset);
        prop_assert_eq!(&frame[at..at + inner.len()], &inner[..]);
    }
}

#[test]
fn traffic_flow_padding_is_zero_and_the_peer_strips_it() {
    for (suite, inner) in [
        (GCM, udp("10.1.0.9", "10.2.0.9", (7, 8), b"abc")),
        (CBC_SHA1, ipv6("2001:db8::1", "2001:db8::2", 17, &[9; 20])),
    ] {
        let template = template(suite, native("192.0.2.2"));
        let headroom = template.layout.headroom();
        for padded in [inner.len(), inner.len() + 1, 500, 1400] {
            let mut frame = vec![0xee; template.layout.sealed_len(padded)];
            frame[headroom..][..inner.len()].copy_from_slice(&inner);
            let padded = u16::try_from(padded).expect("short");
            let what = Inner { padded, ..Inner::from(&flow(&inner)) };
            let fit = lay_out(&mut frame, &template, 1, what).expect("it fits");
            assert_eq!(
                (fit.before(), fit.before() + usize::from(what.len) + fit.behind(what.len)),
                (headroom, frame.len())
            );
            assert!(
                frame[headroom + inner.len()..headroom + usize::from(padded)].iter().all(|byte| *byte == 0)
            );
            let opened = open(&template, &mut frame).expect("valid");
            let start = usize::from(opened.offset);
            assert_eq!(frame[start..start + usize::from(opened.flow.len)], inner);
        }
    }
}
