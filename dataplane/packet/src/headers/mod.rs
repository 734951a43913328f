//! Header views and builders: checked on construction, so that accessors cannot fail.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmpv4;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
pub mod tcp;
pub mod too_big;
pub mod udp;

/// IP protocol numbers this crate knows.
pub mod protocol {
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// IPv4 in IP (RFC 2003); the ESP next header of an inner IPv4 packet.
    pub const IPV4: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// DCCP.
    pub const DCCP: u8 = 33;
    /// IPv6 in IP; the ESP next header of an inner IPv6 packet.
    pub const IPV6: u8 = 41;
    /// ESP (RFC 4303).
    pub const ESP: u8 = 50;
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// No next header: an ESP dummy packet (RFC 4303 section 2.6).
    pub const NO_NEXT_HEADER: u8 = 59;
    /// SCTP.
    pub const SCTP: u8 = 132;
    /// UDP-Lite.
    pub const UDP_LITE: u8 = 136;
}

use ipv4::MIN_HEADER_LEN;

/// Takes one from TTL or hop limit of an IP packet that [`crate::flow::Flow::parse`] accepted.
#[inline]
pub fn decrement_hop_limit(packet: &mut [u8]) {
    match packet.first().map(|b| b >> 4) {
        Some(4) => {
            if let Some(header) = packet.first_chunk_mut::<MIN_HEADER_LEN>() {
                ipv4::decrement_ttl(header);
            }
        }
        Some(6) => {
            if let Some(hop_limit) = packet.get_mut(7) {
                *hop_limit = hop_limit.saturating_sub(1);
            }
        }
        _ => {}
    }
}

/// Replaces TOS or traffic class of an IP packet that [`crate::flow::Flow::parse`] accepted.
pub fn set_traffic_class(packet: &mut [u8], class: u8) {
    match packet.first().map(|b| b >> 4) {
        Some(4) => {
            if let Some(header) = packet.first_chunk_mut::<MIN_HEADER_LEN>() {
                let version = header[0];
                ipv4::rewrite(header, 0, [version, class]);
            }
        }
        Some(6) => {
            if let Some([first, second]) = packet.first_chunk_mut::<2>() {
                *first = *first & 0xf0 | class >> 4;
                *second = *second & 0x0f | class << 4;
            }
        }
        _ => {}
    }
}
