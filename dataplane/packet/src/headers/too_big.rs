//! "Too big" as routers tell it to us: ICMPv4 fragmentation needed (RFC 1191), ICMPv6 packet too big (RFC 4443
//! section 3.2).

use super::icmpv6::{self, ICMP_HEADER_LEN};
use super::ipv4::Ipv4View;
use super::ipv6::{Ipv6View, MIN_MTU};
use super::{checksum, protocol};

/// Destination unreachable, fragmentation needed and DF set.
const FRAGMENTATION_NEEDED: [u8; 2] = [3, 4];
/// Packet too big.
const PACKET_TOO_BIG: [u8; 2] = [2, 0];
/// The least MTU that is believed over IPv4: what every host takes (RFC 791). A smaller claim comes from a
/// broken router, or from somebody who wants our packets small.
const MIN_MTU_V4: u16 = 576;
/// The MTUs that links had when routers did not tell theirs (RFC 1191 section 7.1).
const PLATEAUS: [u16; 8] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, MIN_MTU_V4];

/// What a router says of a packet that it could not forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooBig<'a> {
    /// The MTU of the link behind it, bytes; 0 from a router older than RFC 1191.
    pub mtu: u16,
    /// The start of the packet.
    pub quoted: &'a [u8],
}

impl<'a> TooBig<'a> {
    /// Reads an IP packet; `None` if it is anything else, or its checksum is wrong.
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::parse_v4(packet),
            6 => Self::parse_v6(packet),
            _ => None,
        }
    }

    fn parse_v4(packet: &'a [u8]) -> Option<Self> {
        let ip = Ipv4View::parse(packet).ok()?;
        let message = ip.payload();
        let ours = ip.protocol() == protocol::ICMP && !ip.is_fragment() && checksum::checksum(message) == 0;
        let (header, quoted) = message.split_first_chunk::<ICMP_HEADER_LEN>()?;
        let [kind, code, .., high, low] = *header;
        (ours && [kind, code] == FRAGMENTATION_NEEDED)
            .then_some(Self { mtu: u16::from_be_bytes([high, low]), quoted })
    }

    fn parse_v6(packet: &'a [u8]) -> Option<Self> {
        let ip = Ipv6View::parse(packet).ok()?;
        let upper = ip.upper_layer().ok()?;
        let message = ip.after(upper.offset);
        let ours = upper.protocol == protocol::ICMPV6
            && !upper.fragment
            && icmpv6::is_intact(message, ip.src(), ip.dst());
        let (header, quoted) = message.split_first_chunk::<ICMP_HEADER_LEN>()?;
        let [kind, code, _, _, mtu @ ..] = *header;
        let mtu = u16::try_from(u32::from_be_bytes(mtu)).unwrap_or(u16::MAX);
        (ours && [kind, code] == PACKET_TOO_BIG).then_some(Self { mtu: mtu.max(1), quoted })
    }

    /// The path MTU that follows for a packet of `len` bytes; `None` if the claim makes no sense: the packet
    /// would have passed, or the MTU is less than any link's.
    #[must_use]
    pub fn believable_mtu(&self, len: u16) -> Option<u16> {
        let is_v4 = self.quoted.first()? >> 4 == 4;
        let mtu = match (is_v4, self.mtu) {
            (true, 0) => *PLATEAUS.iter().find(|plateau| **plateau < len)?,
            (true, mtu) => Some(mtu).filter(|mtu| *mtu >= MIN_MTU_V4)?,
            // No IPv6 link has less; who says so wants fragments (RFC 8201 section 4).
            (false, mtu) => mtu.max(MIN_MTU),
        };
        (mtu < len).then_some(mtu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ipv4, ipv6};

    fn icmpv4(mtu: u16, quoted: &[u8]) -> Vec<u8> {
        let [high, low] = mtu.to_be_bytes();
        let mut message = [&[3, 4, 0, 0, 0, 0, high, low], quoted].concat();
        let sum = checksum::checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        ipv4("192.0.2.254", "192.0.2.1", protocol::ICMP, &message)
    }

    #[test]
    fn reads_what_a_router_says() {
        let quoted = ipv4("192.0.2.1", "198.51.100.2", protocol::ESP, &[9; 40]);
        let packet = icmpv4(1400, &quoted);
        assert_eq!(TooBig::parse(&packet), Some(TooBig { mtu: 1400, quoted: &quoted }));
        for (at, what) in [(20, "another type"), (21, "another code"), (40, "a quotation that was altered")] {
            let mut other = packet.clone();
            other[at] ^= 1;
            assert_eq!(TooBig::parse(&other), None, "{what}");
        }
        (0..28).for_each(|len| assert_eq!(TooBig::parse(&packet[..len]), None));

        let quoted = ipv6("2001:db8::1", "2001:db8::2", protocol::ESP, &[9; 40]);
        let mut message = [&[2, 0, 0, 0, 0, 0, 0x05, 0x14][..], &quoted].concat();
        let (router, us) = ("2001:db8::fe".parse().expect("v6"), "2001:db8::1".parse().expect("v6"));
        icmpv6::seal(&mut message, router, us).expect("fits");
        let packet = ipv6("2001:db8::fe", "2001:db8::1", protocol::ICMPV6, &message);
        assert_eq!(TooBig::parse(&packet), Some(TooBig { mtu: 1300, quoted: &quoted }));
    }

    #[test]
    fn believes_only_what_can_be() {
        let believed = |version: u8, mtu, len| TooBig { mtu, quoted: &[version << 4] }.believable_mtu(len);
        assert_eq!(believed(4, 1400, 1500), Some(1400));
        assert_eq!(believed(4, 1400, 1400), None, "it would have passed");
        assert_eq!((believed(4, 575, 1500), believed(4, 576, 1500)), (None, Some(576)));
        assert_eq!((believed(4, 0, 1500), believed(4, 0, 1492)), (Some(1492), Some(1006)));
        assert_eq!((believed(6, 68, 1500), believed(6, 1300, 1500)), (Some(1280), Some(1300)));
        assert_eq!(believed(6, 68, 1280), None);
    }
}
