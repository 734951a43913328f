//! Frames to feed, and what is looked at in those that come out.

use std::net::{IpAddr, Ipv4Addr};

use packet::headers::checksum::checksum;
use packet::headers::ipv6::Ipv6Repr;
use packet::headers::udp;
use packet::{MacAddr, PortId};

use super::port_mac;

/// The neighbour on each side: a router outside, a host inside.
pub const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x20]);
pub const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x21]);

/// An Ethernet frame around an IP packet, to our port.
pub fn to_port(port: PortId, ip: &[u8]) -> Vec<u8> {
    ethernet(port_mac(port), PEER_MAC, ip)
}

pub fn ethernet(dst: MacAddr, src: MacAddr, ip: &[u8]) -> Vec<u8> {
    let ethertype: [u8; 2] = if ip.first().is_some_and(|b| b >> 4 == 6) { [0x86, 0xdd] } else { [8, 0] };
    [&dst.0[..], &src.0, &ethertype, ip].concat()
}

/// What an IPv4 packet is made of.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub ttl: u8,
    pub tos: u8,
    pub dont_fragment: bool,
    pub id: u16,
}

/// From a host behind the first gateway to one behind the second.
pub const FORTH: Ip = Ip {
    src: Ipv4Addr::new(10, 1, 0, 1),
    dst: Ipv4Addr::new(10, 2, 0, 1),
    ttl: 64,
    tos: 0,
    dont_fragment: true,
    id: 1,
};

impl Ip {
    pub fn back(self) -> Self {
        Self { src: self.dst, dst: self.src, ..self }
    }

    /// The packet with this upper-layer protocol and payload.
    pub fn packet(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let total = u16::try_from(20 + payload.len()).expect("fits");
        let mut packet = vec![0; 20];
        packet[0] = 0x45;
        packet[1] = self.tos;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[4..6].copy_from_slice(&self.id.to_be_bytes());
        packet[6] = if self.dont_fragment { 0x40 } else { 0 };
        packet[8] = self.ttl;
        packet[9] = protocol;
        packet[12..16].copy_from_slice(&self.src.octets());
        packet[16..20].copy_from_slice(&self.dst.octets());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend_from_slice(payload);
        packet
    }

    /// A UDP datagram of `len` counting bytes.
    pub fn udp(self, src_port: u16, dst_port: u16, len: usize) -> Vec<u8> {
        let mut datagram = vec![0; 8];
        datagram.extend((0..len).map(|i| u8::try_from(i % 256).expect("a byte")));
        let done = udp::emit(&mut datagram, IpAddr::V4(self.src), IpAddr::V4(self.dst), src_port, dst_port);
        assert!(done, "the datagram fits");
        self.packet(17, &datagram)
    }

    /// An echo request of `len` bytes.
    pub fn ping(self, len: usize) -> Vec<u8> {
        let mut message = vec![8, 0, 0, 0, 0, 1, 0, 1];
        message.extend((0..len).map(|i| u8::try_from(i % 256).expect("a byte")));
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        self.packet(1, &message)
    }
}

/// An IPv6 packet.
pub fn ipv6(src: &str, dst: &str, hop_limit: u8, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let repr = Ipv6Repr {
        traffic_class: 0xb8,
        next_header,
        hop_limit,
        src: src.parse().expect("an address"),
        dst: dst.parse().expect("an address"),
        payload_len: u16::try_from(payload.len()).expect("fits"),
    };
    [&repr.emit()[..], payload].concat()
}

/// The packet as it looks after one router: hop limit less one.
pub fn forwarded(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet::headers::decrement_hop_limit(&mut packet);
    packet
}

/// The IP packet of a frame.
pub fn ip_of(frame: &[u8]) -> &[u8] {
    &frame[14..]
}

/// The protocol of an IPv4 packet.
pub fn protocol(ip: &[u8]) -> u8 {
    ip[9]
}

/// A small generator of numbers that are the same in every run (xorshift64*).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % limit
    }

    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.next() >> 56).expect("8 bits")
    }
}
