//! What a device says of the checksums of a packet that it received.

mod common;

use common::frames::{FORTH, ip_of, to_port};
use common::setup::{ChildSa, FIRST, SECOND, tables};
use common::{Gateway, LAN, WAN};
use crypto::Suite;
use esplanade_dataplane::worker::HeapBuffer;
use packet::DropReason;
use packet::headers::checksum;

/// Offset of the UDP checksum in a packet without IP options, bytes.
const UDP_CHECKSUM: usize = 26;

/// Both gateways of a pair, with an SA.
fn pair() -> (Gateway, Gateway) {
    let sa = ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite"));
    let (mut first, mut second) =
        (Gateway::new(1, tables(FIRST, |_| {})), Gateway::new(1, tables(SECOND, |_| {})));
    sa.install(&mut first.tables, &*first.engine);
    sa.mirrored().install(&mut second.tables, &*second.engine);
    (first, second)
}

#[test]
fn a_header_that_the_device_checked_is_not_checked_again() {
    let (mut gateway, _) = pair();
    let right = to_port(LAN, &FORTH.ping(56));
    let mut wrong = right.clone();
    wrong[24] ^= 1;
    let verdicts = [(&right, None, true), (&right, Some(true), true), (&right, Some(false), false)];
    for (frame, ipv4_checksum, passes) in verdicts.into_iter().chain([(&wrong, None, false)]) {
        let mut frame = HeapBuffer::new(frame);
        frame.ipv4_checksum = ipv4_checksum;
        assert_eq!(gateway.feed_received(LAN, frame).len(), usize::from(passes), "{ipv4_checksum:?}");
    }
    assert_eq!(gateway.drops(DropReason::Ipv4Checksum), 2);
    gateway.assert_balanced();
}

#[test]
fn an_unfinished_checksum_is_complete_when_it_leaves_the_tunnel() {
    let (mut first, mut second) = pair();
    let mut packet = FORTH.udp(1000, 2000, 301);
    let len = u16::try_from(packet.len() - 20).expect("short");
    let pseudo = checksum::pseudo_header(FORTH.src.into(), FORTH.dst.into(), 17, len);
    packet[UDP_CHECKSUM..UDP_CHECKSUM + 2].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
    let mut received = HeapBuffer::new(&to_port(LAN, &packet));
    received.checksum_unfinished = true;
    let sealed = first.feed_received(LAN, received);
    let opened = second.feed(0, WAN, &[to_port(WAN, ip_of(&sealed[0].1))]);
    let out = ip_of(&opened[0].1);
    assert_eq!(checksum::fold(pseudo + checksum::sum(&out[20..])), 0xffff, "complete");
    assert_ne!(out[UDP_CHECKSUM..UDP_CHECKSUM + 2], packet[UDP_CHECKSUM..UDP_CHECKSUM + 2]);
}
