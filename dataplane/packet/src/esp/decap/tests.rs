use super::*;
use crate::esp::TransformIds;
use crate::headers::set_traffic_class;
use crate::testing::{flow, ipv6, prefix, udp};
use proptest::prelude::*;

/// Everything after decryption.
fn finish(
    packet: &mut [u8],
    spans: &EspSpans,
    outer_class: u8,
    selectors: &[SelectorPair],
) -> Result<Opened, DropReason> {
    let payload = strip(packet, spans)?;
    inspect(packet, payload, outer_class, selectors)
}

const INNER_AT: usize = 8; // NULL encryption: no IV

/// A decrypted ESP packet: header, payload, padding of `pad`, next header, 12 bytes of tag.
fn esp(payload: &[u8], pad: &[u8], pad_len: u8, next_header: u8) -> (Vec<u8>, EspSpans) {
    let bytes = [&[0, 0, 1, 1, 0, 0, 0, 1][..], payload, pad, &[pad_len, next_header], &[0xaa; 12]].concat();
    let end = u16::try_from(bytes.len()).expect("short");
    let spans = EspSpans { esp: 0, iv: 8, cipher: 8, cipher_len: end - 20, tag: end - 12, end };
    (bytes, spans)
}

fn selectors() -> [SelectorPair; 1] {
    [SelectorPair::between(prefix("10.1.0.0/24"), prefix("10.2.0.0/24"))]
}

fn open(payload: &[u8], pad: &[u8], pad_len: u8, next_header: u8) -> Result<Opened, DropReason> {
    let (mut bytes, spans) = esp(payload, pad, pad_len, next_header);
    finish(&mut bytes, &spans, 0, &selectors())
}

fn inner() -> Vec<u8> {
    udp("10.2.0.9", "10.1.0.9", (1, 2), b"abcd")
}

#[test]
fn finds_the_parts_of_a_packet() {
    let null_sha1 =
        EspGeometry::new(TransformIds { encryption: 11, key_bits: 0, integrity: 2 }).expect("a suite");
    let (bytes, spans) = esp(&inner(), &[1, 2], 2, 4);
    let len = u16::try_from(bytes.len()).expect("short");
    let packet = EspPacket::parse(&bytes, 0, len).expect("long enough");
    assert_eq!((packet.spi, packet.sequence_low), (0x101, 1));
    assert_eq!(packet.plan(&null_sha1), Ok(spans));
    assert_eq!(EspPacket::parse(&bytes, 0, 7), Err(DropReason::EspTruncated));
    assert_eq!(EspPacket::parse(&bytes, 1, len + 1), Err(DropReason::EspTruncated));
    assert_eq!(EspPacket { end: len - 1, ..packet }.plan(&null_sha1), Err(DropReason::EspLength));
    assert_eq!(EspPacket { end: 20, ..packet }.plan(&null_sha1), Err(DropReason::EspTruncated));
    assert_eq!(EspPacket { end: 11, ..packet }.plan(&null_sha1), Err(DropReason::EspTruncated));
    assert_eq!(
        EspPacket { esp: 65_530, end: 65_535, ..packet }.plan(&null_sha1),
        Err(DropReason::EspTruncated)
    );
}

#[test]
fn checks_the_trailer() {
    let opened = open(&inner(), &[1, 2], 2, 4).expect("valid");
    assert_eq!((usize::from(opened.offset), opened.flow), (INNER_AT, flow(&inner())));
    assert_eq!(open(&inner(), &[1, 3], 2, 4), Err(DropReason::EspPadding));
    assert_eq!(open(&inner(), &[], 255, 4), Err(DropReason::EspPadding));
    assert_eq!(open(&[], &[], 1, 4), Err(DropReason::EspPadding));
    assert_eq!(open(&inner(), &[1, 2], 2, 50), Err(DropReason::EspNextHeader));
    assert_eq!(open(&inner(), &[1, 2], 2, 59), Err(DropReason::EspDummy));
    assert_eq!(open(&[], &[], 0, 59), Err(DropReason::EspDummy));
}

#[test]
fn checks_the_inner_header() {
    assert_eq!(open(&inner(), &[1, 2], 2, 41), Err(DropReason::InnerInvalid), "IPv4 announced as IPv6");
    assert_eq!(open(&[], &[], 0, 4), Err(DropReason::InnerInvalid));
    assert_eq!(open(&inner()[..20], &[], 0, 4), Err(DropReason::InnerInvalid), "cut off");
    let mut broken = inner();
    broken[10] ^= 1;
    assert_eq!(open(&broken, &[], 0, 4), Err(DropReason::InnerInvalid), "checksum");
    let outside = udp("10.3.0.9", "10.1.0.9", (1, 2), b"abcd");
    assert_eq!(open(&outside, &[], 0, 4), Err(DropReason::InnerSelector));
    let v6 = ipv6("2001:db8::1", "2001:db8::2", 17, &[0; 8]);
    assert_eq!(open(&v6, &[], 0, 41), Err(DropReason::InnerSelector));
}

#[test]
fn traffic_flow_padding_is_cut_off() {
    let padded = [&inner()[..], &[0; 100]].concat();
    assert_eq!(open(&padded, &[1], 1, 4).map(|o| usize::from(o.flow.len)), Ok(inner().len()));
}

#[test]
fn congestion_is_handed_on() {
    let mut ect = inner();
    set_traffic_class(&mut ect, 0xb8 | ecn::ECT_0);
    let (mut bytes, spans) = esp(&ect, &[], 0, 4);
    let opened = finish(&mut bytes, &spans, ecn::CE, &selectors()).expect("valid");
    assert_eq!(opened.flow.traffic_class, 0xb8 | ecn::CE);
    assert_eq!(flow(&bytes[INNER_AT..]).traffic_class, 0xb8 | ecn::CE);
    let (mut bytes, spans) = esp(&inner(), &[], 0, 4);
    assert_eq!(finish(&mut bytes, &spans, ecn::CE, &selectors()), Err(DropReason::EcnNotCapable));
}

proptest! {
    #[test]
    fn never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        esp: u16, end in 0u16..300, class: u8,
        suite in prop::sample::select(vec![(20, 128, 0), (12, 128, 2), (11, 0, 1)]),
    ) {
        let geometry = EspGeometry::new(TransformIds { encryption: suite.0, key_bits: suite.1, integrity: suite.2 });
        if let Ok(packet) = EspPacket::parse(&bytes, esp % 64, end)
            && let Ok(spans) = packet.plan(&geometry.expect("a suite"))
        {
            let _ = finish(&mut bytes, &spans, class, &selectors());
        }
    }
}
