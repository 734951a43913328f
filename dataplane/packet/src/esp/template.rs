//! The outer header of an SA, made once and stamped on every packet.

use super::ecn;
use super::layout::{EspGeometry, EspLayout};
use crate::headers::{checksum, ipv4, protocol, udp};
use crate::ids::VrfId;
use std::mem::offset_of;
use std::net::IpAddr;

/// TTL and hop limit of outer packets.
pub const OUTER_HOP_LIMIT: u8 = 64;
const OUTER_MAX: usize = 48;
/// In the first byte of flags and fragment offset.
const DONT_FRAGMENT: u8 = 0x40;
/// IPv4 and UDP, bytes.
const OUTER_V4_UDP: u8 = 28;
/// IPv6 and UDP, bytes.
const OUTER_V6_UDP: u8 = 48;

/// How ESP travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Encap {
    /// IP protocol 50.
    Native,
    /// In UDP (RFC 3948).
    Udp {
        /// Our port, usually 4500.
        local_port: u16,
        /// The peer's port as its NAT shows it.
        remote_port: u16,
    },
}

/// Where an SA's packets come from and go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(C)]
pub struct OuterEndpoints {
    /// The outer routing domain.
    pub vrf: VrfId,
    /// Our address.
    pub local: IpAddr,
    /// The peer's address; of the same family.
    pub remote: IpAddr,
    /// Native or in UDP.
    pub encap: Encap,
    /// Interval of NAT keepalives, seconds; 0 = none.
    pub keepalive_secs: u16,
}

/// The outer DF bit (RFC 4301 section 8.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum DfPolicy {
    /// As the inner packet has it; set for inner IPv6.
    #[default]
    Copy,
    /// Always set.
    Set,
    /// Never set.
    Clear,
}

/// The outer DSCP (RFC 4301 section 5.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum DscpPolicy {
    /// As the inner packet has it.
    #[default]
    Copy,
    /// This code point, 0..=63.
    Fixed(u8),
}

/// What the inner packet contributes to the outer header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InnerMarks {
    /// TOS or traffic class.
    pub traffic_class: u8,
    /// The inner DF bit; true for IPv6.
    pub dont_fragment: bool,
}

/// The constant part of an SA's outer header, and the SA's sizes. Immutable: a new address is a new template.
///
/// What a packet of the SA needs lies in the first cache line.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C, align(64))]
pub struct OuterTemplate {
    header: [u8; OUTER_MAX],
    /// Ones' complement sum of the constant part of the outer IPv4 header.
    sum: u32,
    df: DfPolicy,
    dscp: DscpPolicy,
    /// What ESP adds.
    pub layout: EspLayout,
    /// Addresses and ports.
    pub endpoints: OuterEndpoints,
}

const _: () = assert!(offset_of!(OuterTemplate, endpoints.local) <= 64);

impl OuterTemplate {
    /// The template of an SA. `None` if the addresses are of two families.
    #[must_use]
    pub fn new(
        endpoints: OuterEndpoints,
        geometry: EspGeometry,
        df: DfPolicy,
        dscp: DscpPolicy,
    ) -> Option<Self> {
        let mut header = [0; OUTER_MAX];
        let (upper, udp_len) = match endpoints.encap {
            Encap::Native => (protocol::ESP, 0),
            Encap::Udp { .. } => (protocol::UDP, 8u8),
        };
        let ip_len = match (endpoints.local, endpoints.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                header[0] = 0x45;
                header[8] = OUTER_HOP_LIMIT;
                header[9] = upper;
                header[12..16].copy_from_slice(&local.octets());
                header[16..20].copy_from_slice(&remote.octets());
                20u8
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                header[0] = 0x60;
                header[6] = upper;
                header[7] = OUTER_HOP_LIMIT;
                header[8..24].copy_from_slice(&local.octets());
                header[24..40].copy_from_slice(&remote.octets());
                40
            }
            _ => return None,
        };
        if let Encap::Udp { local_port, remote_port } = endpoints.encap {
            let at = usize::from(ip_len);
            header[at..at + 2].copy_from_slice(&local_port.to_be_bytes());
            header[at + 2..at + 4].copy_from_slice(&remote_port.to_be_bytes());
        }
        let sum = checksum::sum(&header[..20]);
        let layout = EspLayout { outer_len: ip_len + udp_len, geometry };
        Some(Self { header, sum, df, dscp, layout, endpoints })
    }

    /// The same SA with other addresses, after the peer moved.
    #[must_use]
    pub fn with_endpoints(&self, endpoints: OuterEndpoints) -> Option<Self> {
        Self::new(endpoints, self.layout.geometry, self.df, self.dscp)
    }

    /// True if the outer packet is to where ours come from; `outer` is checked and of any family.
    #[inline]
    #[must_use]
    pub fn is_for_us(&self, outer: &[u8]) -> bool {
        if self.is_v4() {
            outer.first_chunk::<20>().is_some_and(|ip| ip[0] >> 4 == 4 && same::<4>(ip, 16, &self.header, 12))
        } else {
            outer.first_chunk::<40>().is_some_and(|ip| ip[0] >> 4 == 6 && same::<16>(ip, 24, &self.header, 8))
        }
    }

    /// True if the outer packet, which is for us, comes from where ours go; `port` is its UDP source port.
    #[inline]
    #[must_use]
    pub fn is_from_peer(&self, outer: &[u8], port: Option<u16>) -> bool {
        let expected = match self.layout.outer_len {
            OUTER_V4_UDP => Some(u16::from_be_bytes([self.header[22], self.header[23]])),
            OUTER_V6_UDP => Some(u16::from_be_bytes([self.header[42], self.header[43]])),
            _ => None,
        };
        let same_address = if self.is_v4() {
            outer.first_chunk::<20>().is_some_and(|ip| same::<4>(ip, 12, &self.header, 16))
        } else {
            outer.first_chunk::<40>().is_some_and(|ip| same::<16>(ip, 8, &self.header, 24))
        };
        same_address && port == expected
    }

    /// True if the outer header is IPv4.
    #[inline]
    #[must_use]
    pub fn is_v4(&self) -> bool {
        self.layout.outer_len < 40
    }

    /// Writes the outer IP header and UDP header of a packet of `total_len` bytes to the start of `out`.
    ///
    /// `out` holds at least `layout.outer_len` bytes; `identification` should not repeat soon. The UDP
    /// checksum is 0 (RFC 3948 section 2.1); for IPv6 [`OuterTemplate::finish`] fills it in.
    #[inline]
    pub fn write(&self, out: &mut [u8], total_len: u16, identification: u16, inner: InnerMarks) {
        match self.layout.outer_len {
            20 => self.write_v4::<20>(out, total_len, identification, inner),
            28 => self.write_v4::<28>(out, total_len, identification, inner),
            40 => self.write_v6::<40>(out, total_len, inner),
            _ => self.write_v6::<48>(out, total_len, inner),
        }
    }

    /// Fills in the UDP checksum of an encrypted packet over IPv6: without one most hosts drop it (RFC 8200
    /// section 8.1), and the exception of RFC 6935 section 5 holds only where the receiver agreed to it.
    #[inline]
    pub fn finish(&self, packet: &mut [u8]) {
        if self.layout.outer_len == OUTER_V6_UDP {
            self.fill_checksum(packet);
        }
    }

    /// Sets or clears DF of a packet over IPv4, whatever the policy.
    #[cold]
    pub fn set_dont_fragment(&self, packet: &mut [u8], set: bool) {
        if let (IpAddr::V4(_), Some(header)) = (self.endpoints.local, packet.first_chunk_mut()) {
            let flags = if set { DONT_FRAGMENT } else { 0 };
            ipv4::rewrite(header, 6, [flags, 0]);
        }
    }

    #[cold]
    fn fill_checksum(&self, packet: &mut [u8]) {
        let Encap::Udp { local_port, remote_port } = self.endpoints.encap else { return };
        let Some(datagram) = packet.get_mut(40..) else { return };
        // False only where there is no room for a header, and then nothing was laid out.
        let _ = udp::emit(datagram, self.endpoints.local, self.endpoints.remote, local_port, remote_port);
    }

    #[inline]
    fn write_v4<const N: usize>(
        &self,
        out: &mut [u8],
        total_len: u16,
        identification: u16,
        inner: InnerMarks,
    ) {
        let Some(header) = self.start::<N>(out) else { return };
        let tos = self.traffic_class(inner);
        let flags: u16 = if self.dont_fragment(inner) { 0x4000 } else { 0 };
        let sum =
            self.sum + u32::from(tos) + u32::from(total_len) + u32::from(identification) + u32::from(flags);
        // The words up to the flags, stored at once.
        let words = 0x4500_u64 << 48
            | u64::from(tos) << 48
            | u64::from(total_len) << 32
            | u64::from(identification) << 16
            | u64::from(flags);
        header[..8].copy_from_slice(&words.to_be_bytes());
        header[10..12].copy_from_slice(&(!checksum::fold(sum)).to_be_bytes());
        if N > 20 {
            header[24..26].copy_from_slice(&(total_len - 20).to_be_bytes());
        }
    }

    #[inline]
    fn write_v6<const N: usize>(&self, out: &mut [u8], total_len: u16, inner: InnerMarks) {
        let Some(header) = self.start::<N>(out) else { return };
        let class = self.traffic_class(inner);
        header[0] = 0x60 | class >> 4;
        header[1] = class << 4;
        header[4..6].copy_from_slice(&(total_len - 40).to_be_bytes());
        if N > 40 {
            header[44..46].copy_from_slice(&(total_len - 40).to_be_bytes());
        }
    }

    #[inline]
    fn start<'a, const N: usize>(&self, out: &'a mut [u8]) -> Option<&'a mut [u8; N]> {
        let header = out.first_chunk_mut::<N>()?;
        header.copy_from_slice(self.header.first_chunk::<N>()?);
        Some(header)
    }

    #[inline]
    fn traffic_class(&self, inner: InnerMarks) -> u8 {
        let dscp = match self.dscp {
            DscpPolicy::Copy => inner.traffic_class & !ecn::ECN_MASK,
            DscpPolicy::Fixed(dscp) => dscp << 2,
        };
        dscp | ecn::encapsulate(inner.traffic_class)
    }

    /// True if the policy forbids routers to fragment the outer packet; then we do not, either.
    #[inline]
    #[must_use]
    pub fn dont_fragment(&self, inner: InnerMarks) -> bool {
        match self.df {
            DfPolicy::Copy => inner.dont_fragment,
            DfPolicy::Set => true,
            DfPolicy::Clear => false,
        }
    }
}

/// True if `N` bytes of `a` and `b` are the same; of a size that is known, they are compared in registers.
#[inline(always)]
fn same<const N: usize>(a: &[u8], at_a: usize, b: &[u8], at_b: usize) -> bool {
    a[at_a..].first_chunk::<N>() == b[at_b..].first_chunk::<N>()
}
