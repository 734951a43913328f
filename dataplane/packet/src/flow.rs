//! What the forwarding decision sees of an IP packet.

use crate::drop_reason::DropReason;
use crate::headers::{ipv4::Ipv4View, ipv6, protocol};
use std::net::IpAddr;

/// Source and destination port; for ICMP, `type << 8 | code` in both (RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Ports {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
}

/// The fields of one checked IP packet that routing, policy, selectors and ECN need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Source address.
    pub src: IpAddr,
    /// Destination address; of the same family as `src`.
    pub dst: IpAddr,
    /// Upper-layer protocol; for IPv6 after the extension headers we walk.
    pub protocol: u8,
    /// `None` for later fragments and for protocols without ports.
    pub ports: Option<Ports>,
    /// TOS or traffic class: DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// True for a fragment, first or later.
    pub fragment: bool,
    /// Length of the largest fragment of a packet that was put together here, bytes; 0 if it came as it is.
    pub largest_fragment: u16,
    /// True if no router may fragment the packet: IPv4 with DF, and IPv6.
    pub dont_fragment: bool,
    /// Offset of the upper-layer header, bytes.
    pub header_len: u16,
    /// Total length of the IP packet, bytes; what follows in the buffer is link padding.
    pub len: u16,
}

impl Flow {
    /// Reads and checks the headers of the packet that starts `bytes`.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, DropReason> {
        Self::parse_received(bytes, None)
    }

    /// As [`Flow::parse`], where a device may have found already whether the checksum of an IPv4 header is right.
    #[inline]
    pub fn parse_received(bytes: &[u8], ipv4_checksum: Option<bool>) -> Result<Self, DropReason> {
        match bytes.first().map(|b| b >> 4) {
            Some(4) => Self::parse_v4(bytes, ipv4_checksum),
            Some(6) => Self::parse_v6(bytes),
            Some(_) => Err(DropReason::Ipv4HeaderInvalid),
            None => Err(DropReason::FrameTruncated),
        }
    }

    #[inline]
    fn parse_v4(bytes: &[u8], checksum: Option<bool>) -> Result<Self, DropReason> {
        let ip = Ipv4View::parse(bytes)?;
        match checksum {
            Some(true) => {}
            Some(false) => return Err(DropReason::Ipv4Checksum),
            None => ip.verify_checksum()?,
        }
        if ip.has_options() {
            ip.check_options()?;
        }
        let ports = if ip.fragment_offset() == 0 { ports(ip.protocol(), ip.payload()) } else { None };
        Ok(Self {
            src: IpAddr::V4(ip.src()),
            dst: IpAddr::V4(ip.dst()),
            protocol: ip.protocol(),
            ports,
            traffic_class: ip.tos(),
            hop_limit: ip.ttl(),
            fragment: ip.is_fragment(),
            largest_fragment: 0,
            dont_fragment: ip.dont_fragment(),
            header_len: ip.header_len(),
            len: ip.total_len(),
        })
    }

    fn parse_v6(bytes: &[u8]) -> Result<Self, DropReason> {
        let ip = ipv6::Ipv6View::parse(bytes)?;
        let upper = ip.upper_layer()?;
        let ports = if upper.later_fragment { None } else { ports(upper.protocol, ip.after(upper.offset)) };
        Ok(Self {
            src: IpAddr::V6(ip.src()),
            dst: IpAddr::V6(ip.dst()),
            protocol: upper.protocol,
            ports,
            traffic_class: ip.traffic_class(),
            hop_limit: ip.hop_limit(),
            fragment: upper.fragment,
            largest_fragment: 0,
            dont_fragment: true,
            header_len: upper.offset,
            len: ip.total_len(),
        })
    }

    /// Source and destination port as selectors see them.
    #[inline]
    #[must_use]
    pub fn selector_ports(&self) -> (Option<u16>, Option<u16>) {
        (self.ports.map(|p| p.src), self.ports.map(|p| p.dst))
    }

    /// A hash that keeps the packets of one flow on one path. Fragments hash without ports, so that
    /// all pieces of a packet agree.
    #[inline]
    #[must_use]
    pub fn hash(&self) -> u32 {
        let addresses = match (self.src, self.dst) {
            (IpAddr::V4(s), IpAddr::V4(d)) => u64::from(s.to_bits()) << 32 | u64::from(d.to_bits()),
            (s, d) => fold128(s).rotate_left(32) ^ fold128(d),
        };
        let ports = match self.ports {
            Some(p) if !self.fragment => u64::from(p.src) << 16 | u64::from(p.dst),
            _ => 0,
        };
        let [a, b, c, d, ..] = mix(addresses ^ mix(ports << 8 | u64::from(self.protocol))).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// The ports of an upper-layer header; `None` if it has none or is cut off.
#[inline]
pub(crate) fn ports(protocol: u8, payload: &[u8]) -> Option<Ports> {
    let word = port_word(protocol, payload)?;
    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
    Some(Ports { src: (word >> 16) as u16, dst: word as u16 })
}

/// As [`ports`], the source port above the destination port.
#[inline(always)]
pub(crate) fn port_word(protocol: u8, payload: &[u8]) -> Option<u32> {
    if matches!(protocol, protocol::TCP | protocol::UDP) {
        return payload.first_chunk().map(|ports| u32::from_be_bytes(*ports));
    }
    match protocol {
        protocol::SCTP | protocol::UDP_LITE | protocol::DCCP => {
            payload.first_chunk().map(|ports| u32::from_be_bytes(*ports))
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let type_code = u16::from_be_bytes(*payload.first_chunk()?);
            Some(u32::from(type_code) << 16 | u32::from(type_code))
        }
        _ => None,
    }
}

fn fold128(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    };
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bits.to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
        ^ u64::from_be_bytes([i, j, k, l, m, n, o, p]).rotate_left(17)
}

/// Spreads every input bit over the result: two rounds of multiply and fold.
#[inline]
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
