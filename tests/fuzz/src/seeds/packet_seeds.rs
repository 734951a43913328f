//! Frames of every kind a worker knows, and decrypted ESP packets.

use super::{Seed, named};

pub(super) fn all() -> Vec<Seed> {
    let ipv4_udp = ipv4(17, &udp(b"payload"));
    let ipv4_tcp = ipv4(6, &TCP_SYN);
    let ipv6 = ipv6_with_hop_by_hop(&udp(b"payload"));
    let frames = [
        ("ipv4-udp", frame(&[], 0x0800, &ipv4_udp)),
        ("ipv4-tcp-syn", frame(&[], 0x0800, &ipv4_tcp)),
        ("vlan-ipv4", frame(&[0x81, 0, 0, 100], 0x0800, &ipv4_udp)),
        ("ipv6-options", frame(&[], 0x86dd, &ipv6)),
        ("arp", frame(&[], 0x0806, &ARP)),
    ];
    let decapsulated = [
        ("ipv4", decapsulated(4, &ipv4_udp)),
        ("ipv6", decapsulated(41, &ipv6)),
        ("dummy", decapsulated(59, &[0; 30])),
    ];
    let of = |target, seeds: Vec<(&str, Vec<u8>)>| -> Vec<Seed> {
        seeds.into_iter().map(|(name, bytes)| named(target, name, bytes)).collect()
    };
    [of("packet_frame", frames.to_vec()), of("packet_decapsulated", decapsulated.to_vec())].concat()
}

/// A SYN with MSS 1460.
const TCP_SYN: [u8; 24] =
    [0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4];

/// Who has 192.0.2.1?
const ARP: [u8; 28] =
    [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1];

fn frame(tag: &[u8], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let addresses = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    [&addresses[..], tag, &ethertype.to_be_bytes(), packet].concat()
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("a short payload");
    [&[0x11, 0x94, 0x11, 0x94][..], &len.to_be_bytes(), &[0, 0], payload].concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).expect("a short payload");
    let [high, low] = len.to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
    let checksum = packet::headers::checksum::checksum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn ipv6_with_hop_by_hop(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("a short payload");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&len.to_be_bytes());
    packet.extend_from_slice(&[0, 64]);
    packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend_from_slice(&[17, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}

/// ESP header and IV of 16 bytes, the inner packet, padding 1, 2, 3.., trailer, a tag of 12.
fn decapsulated(next_header: u8, inner: &[u8]) -> Vec<u8> {
    let pad_len = u8::try_from((inner.len() + 2).next_multiple_of(16) - inner.len() - 2).expect("below 16");
    let padding: Vec<u8> = (1..=pad_len).collect();
    [&[0; 16][..], inner, &padding, &[pad_len, next_header], &[0; 12]].concat()
}
