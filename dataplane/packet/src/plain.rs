//! Plain packets: no options, no extension headers, no fragments, and nothing of neighbour discovery.
//!
//! Nearly all traffic is plain. What there is to know of it lies at fixed places, is read in a few loads, and
//! packets with the same [`FlowKey`] meet the same decision for as long as the tables are the same: whoever
//! remembers it need not ask again. Whatever is not plain has [`Flow`](crate::flow::Flow).

use crate::flow::{Flow, port_word};
use crate::headers::{checksum, ipv4, ipv6, protocol};
use crate::ids::{Spi, VrfId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;

/// Where a packet came in, as far as the decision depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin(u64);

impl Origin {
    /// From an inside interface of this VRF.
    #[inline]
    #[must_use]
    pub fn inside(vrf: VrfId) -> Self {
        Self(u64::from(vrf.0) << 32)
    }

    /// Out of this SA, whose tunnel has one VRF within.
    #[inline]
    #[must_use]
    pub fn sa(spi: Spi) -> Self {
        Self(spi.value().into())
    }
}

/// What plain packets have in common about which selectors, policy and routes decide alike: addresses, protocol,
/// ports and origin.
#[derive(Clone, Copy, Eq, Debug)]
pub struct FlowKey([u64; 6]);

impl PartialEq for FlowKey {
    /// Without a call or a branch.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |different, (a, b)| different | (a ^ b)) == 0
    }
}

const IS_V4: u64 = 1 << 40;
const HAS_PORTS: u64 = 1 << 41;

impl FlowKey {
    /// The key of no packet.
    pub const NONE: Self = Self([0; 6]);

    /// The key of a packet; `None` if it is not plain.
    #[must_use]
    pub fn of(flow: &Flow, origin: Origin) -> Option<Self> {
        let plain_len = if flow.dst.is_ipv4() { ipv4::MIN_HEADER_LEN } else { ipv6::HEADER_LEN };
        let pieces = flow.fragment || flow.largest_fragment != 0;
        if usize::from(flow.header_len) != plain_len || pieces {
            return None;
        }
        let ports = flow.ports.map(|ports| u32::from(ports.src) << 16 | u32::from(ports.dst));
        match (flow.src, flow.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let (src, dst) = (u32::from_le_bytes(src.octets()), u32::from_le_bytes(dst.octets()));
                Some(Self::v4(u64::from(dst) << 32 | u64::from(src), flow.protocol, ports, origin))
            }
            (IpAddr::V6(_), IpAddr::V6(_)) if !is_plain_v6(flow.protocol) => None,
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                Some(Self::v6(halves(src.octets()), halves(dst.octets()), flow.protocol, ports, origin))
            }
            _ => None,
        }
    }

    /// `addresses` as they lie in memory.
    #[inline(always)]
    fn v4(addresses: u64, protocol: u8, ports: Option<u32>, origin: Origin) -> Self {
        Self([addresses, 0, 0, 0, IS_V4 | transport(protocol, ports), origin.0])
    }

    #[inline(always)]
    fn v6(src: [u64; 2], dst: [u64; 2], protocol: u8, ports: Option<u32>, origin: Origin) -> Self {
        Self([src[0], src[1], dst[0], dst[1], transport(protocol, ports), origin.0])
    }

    /// The key of the packet that starts `bytes`, which `facts` was read from.
    #[inline(always)]
    fn read(bytes: &[u8], facts: Facts, origin: Origin) -> Option<Self> {
        let (header, payload) =
            bytes.get(..facts.len().into())?.split_at_checked(facts.header_len().into())?;
        let ports = port_word(facts.protocol(), payload);
        if facts.is_v4() {
            let addresses = u64::from_le_bytes(*header.last_chunk()?);
            return Some(Self::v4(addresses, facts.protocol(), ports, origin));
        }
        let (src, dst) = header.last_chunk::<32>()?.split_first_chunk::<16>()?;
        Some(Self::v6(halves(*src), halves(*dst.first_chunk()?), facts.protocol(), ports, origin))
    }

    /// Where to look for a flow; `seed` keeps outsiders from choosing flows that get in each other's way.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, seed: u64) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        let source = fold(a ^ seed, b ^ 0x9e37_79b9_7f4a_7c15);
        let addresses = fold(c ^ source, d ^ seed.rotate_left(23) ^ 0x94d0_49bb_1331_11eb);
        fold(e ^ addresses, f.rotate_left(11) ^ seed ^ 0xbf58_476d_1ce4_e5b9)
    }
}

/// Multiplies to 128 bits and adds the halves: every input bit reaches the result.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64).rotate_left(32) ^ a.rotate_left(17)
}

#[inline(always)]
fn transport(protocol: u8, ports: Option<u32>) -> u64 {
    ports.map_or(0, |ports| HAS_PORTS | u64::from(ports)) | u64::from(protocol) << 32
}

#[inline]
fn halves(octets: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
    [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])]
}

/// True if an IPv6 packet with this next header is plain.
#[inline]
fn is_plain_v6(next_header: u8) -> bool {
    next_header != protocol::ICMPV6 && !ipv6::is_extension(next_header)
}

/// The fixed part of the IP header of a plain packet, in one word, so that a copy never waits for the parts of what was
/// just written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts(NonZeroU64);

impl Facts {
    /// Flags and fragment offset of a fragment, in the first eight bytes of a header as they lie in memory.
    const FRAGMENT_V4: u64 = (ipv4::FRAGMENT_MASK.swap_bytes() as u64) << 48;

    /// Reads the packet that starts `bytes`; `None` if it is not plain or not sound: [`Flow`] tells more.
    ///
    /// `ipv4_checksum` is what a device found of the checksum of an IPv4 header.
    #[inline(always)]
    #[must_use]
    pub fn read(bytes: &[u8], ipv4_checksum: Option<bool>) -> Option<Self> {
        match bytes.first()? {
            0x45 => Self::read_v4(bytes, ipv4_checksum),
            first if first >> 4 == 6 => Self::read_v6(bytes),
            _ => None,
        }
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "fields of 16 bits")]
    fn read_v4(bytes: &[u8], checksum: Option<bool>) -> Option<Self> {
        // Two words as they lie in memory: version to fragment offset, then TTL to source.
        let header = bytes.first_chunk::<{ ipv4::MIN_HEADER_LEN }>()?;
        let [low, high] =
            [header.first_chunk()?, header[8..].first_chunk()?].map(|word| u64::from_le_bytes(*word));
        let len = ((low >> 16) as u16).swap_bytes();
        let sound = (ipv4::MIN_HEADER_LEN..=bytes.len()).contains(&usize::from(len));
        if !sound || low & Self::FRAGMENT_V4 != 0 || !checksum.unwrap_or_else(|| checksum::is_right(header)) {
            return None;
        }
        let upper = u64::from(high as u16) | low >> 38 & 1 << 16;
        NonZeroU64::new(upper << 32 | (low & 0xff00) << 16 | 20 << 16 | u64::from(len)).map(Self)
    }

    #[inline]
    fn read_v6(bytes: &[u8]) -> Option<Self> {
        let [b0, b1, _, _, l0, l1, next_header, hop_limit, ..] =
            *bytes.first_chunk::<{ ipv6::HEADER_LEN }>()?;
        let len = u16::from_be_bytes([l0, l1]).checked_add(40)?;
        if usize::from(len) > bytes.len() || !is_plain_v6(next_header) {
            return None;
        }
        let upper = u64::from(u32::from_le_bytes([hop_limit, next_header, 1, 0]));
        let class = u64::from(b0 << 4 | b1 >> 4);
        NonZeroU64::new(upper << 32 | class << 24 | 40 << 16 | u64::from(len)).map(Self)
    }

    /// Source and destination of the packet that starts `bytes`, which this was read from.
    #[inline]
    #[must_use]
    pub fn addresses(&self, bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
        if self.is_v4() {
            let [.., a, b, c, d, e, f, g, h] = *bytes.first_chunk::<20>()?;
            return Some((Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into()));
        }
        let (src, dst) = bytes.get(8..40)?.split_first_chunk::<16>()?;
        Some((Ipv6Addr::from(*src).into(), Ipv6Addr::from(*dst.first_chunk()?).into()))
    }

    /// Total length of the IP packet, bytes.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits")]
    #[expect(clippy::len_without_is_empty, reason = "at least a header")]
    pub fn len(&self) -> u16 {
        self.0.get() as u16
    }

    /// Length of the IP header, bytes: 20 or 40.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> u16 {
        self.byte(2).into()
    }

    /// TOS or traffic class.
    #[inline]
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        self.byte(3)
    }

    /// TTL or hop limit.
    #[inline]
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        self.byte(4)
    }

    /// The upper-layer protocol.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.byte(5)
    }

    /// True for IPv4 with DF, and for IPv6.
    #[inline]
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.byte(6) != 0
    }

    /// True for IPv4.
    #[inline]
    #[must_use]
    pub fn is_v4(&self) -> bool {
        self.header_len() == 20
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "one byte")]
    fn byte(&self, at: u32) -> u8 {
        (self.0.get() >> (8 * at)) as u8
    }
}

/// The headers of a plain packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plain {
    /// What the decision depends on.
    pub key: FlowKey,
    /// What else there is to know.
    pub facts: Facts,
}

impl Plain {
    /// Reads the packet that starts `bytes`, as [`Facts::read`] does.
    #[inline(always)]
    #[must_use]
    pub fn read(bytes: &[u8], ipv4_checksum: Option<bool>, origin: Origin) -> Option<Self> {
        let facts = Facts::read(bytes, ipv4_checksum)?;
        let key = FlowKey::read(bytes, facts, origin)?;
        Some(Self { key, facts })
    }
}

#[cfg(test)]
mod tests;
