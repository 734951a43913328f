//! Ethernet II with at most one IEEE 802.1Q tag.

use crate::drop_reason::DropReason;
use crate::ids::{MacAddr, VlanId};

/// Header without a tag, bytes.
pub const HEADER_LEN: usize = 14;
/// Header with a tag, bytes.
pub const TAGGED_HEADER_LEN: usize = 18;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EtherType {
    /// An IPv4 packet.
    Ipv4,
    /// An ARP packet.
    Arp,
    /// An IPv6 packet.
    Ipv6,
}

impl EtherType {
    /// That of IP packets of one version.
    #[inline]
    #[must_use]
    pub fn of_ip(is_v4: bool) -> Self {
        if is_v4 { Self::Ipv4 } else { Self::Ipv6 }
    }

    fn from_wire(value: u16) -> Option<Self> {
        match value {
            IPV4 => Some(Self::Ipv4),
            ARP => Some(Self::Arp),
            IPV6 => Some(Self::Ipv6),
            _ => None,
        }
    }

    fn to_wire(self) -> u16 {
        match self {
            Self::Ipv4 => IPV4,
            Self::Arp => ARP,
            Self::Ipv6 => IPV6,
        }
    }
}

/// An Ethernet header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ethernet {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// The VLAN; `None` untagged or only priority-tagged.
    pub vlan: Option<VlanId>,
    /// What follows.
    pub ethertype: EtherType,
}

impl Ethernet {
    /// Reads the header of a frame; also returns where the payload starts.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(Self, usize), DropReason> {
        let header = frame.first_chunk::<HEADER_LEN>().ok_or(DropReason::FrameTruncated)?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        let mut ethertype = u16::from_be_bytes([t0, t1]);
        let (mut vlan, mut len) = (None, HEADER_LEN);
        if ethertype == VLAN {
            let [.., v0, v1, t0, t1] =
                *frame.first_chunk::<TAGGED_HEADER_LEN>().ok_or(DropReason::FrameTruncated)?;
            let id = u16::from_be_bytes([v0, v1]) & 0x0fff;
            if id == 4095 {
                return Err(DropReason::VlanUnknown);
            }
            vlan = VlanId::new(id);
            ethertype = u16::from_be_bytes([t0, t1]);
            len = TAGGED_HEADER_LEN;
        }
        let ethertype = EtherType::from_wire(ethertype).ok_or(DropReason::EtherTypeUnsupported)?;
        let (dst, src) = (MacAddr([d0, d1, d2, d3, d4, d5]), MacAddr([s0, s1, s2, s3, s4, s5]));
        Ok((Self { dst, src, vlan, ethertype }, len))
    }

    /// The header's length, bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        if self.vlan.is_some() { TAGGED_HEADER_LEN } else { HEADER_LEN }
    }

    /// Writes the header to the start of `out`, which must hold [`Ethernet::header_len`] bytes.
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        let out = &mut out[..self.header_len()];
        let ethertype = self.ethertype.to_wire().to_be_bytes();
        out[..6].copy_from_slice(&self.dst.0);
        out[6..12].copy_from_slice(&self.src.0);
        match self.vlan {
            None => out[12..14].copy_from_slice(&ethertype),
            Some(vlan) => {
                out[12..14].copy_from_slice(&VLAN.to_be_bytes());
                out[14..16].copy_from_slice(&vlan.value().to_be_bytes());
                out[16..18].copy_from_slice(&ethertype);
            }
        }
    }
}

impl From<Ethernet> for Stamp {
    fn from(header: Ethernet) -> Self {
        let mut bytes = [0; TAGGED_HEADER_LEN];
        header.emit(&mut bytes);
        Self { bytes, is_tagged: header.vlan.is_some() }
    }
}

/// An Ethernet header as it is written, made once for many frames.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    bytes: [u8; TAGGED_HEADER_LEN],
    is_tagged: bool,
}

impl Stamp {
    /// The header's length, bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        if self.is_tagged { TAGGED_HEADER_LEN } else { HEADER_LEN }
    }

    /// Writes the header to the start of `frame`; false if that is too short.
    #[inline]
    #[must_use]
    pub fn emit(&self, frame: &mut [u8]) -> bool {
        if self.is_tagged {
            frame.first_chunk_mut().map(|header| *header = self.bytes).is_some()
        } else {
            let [short @ .., _, _, _, _] = self.bytes;
            frame.first_chunk_mut::<HEADER_LEN>().map(|header| *header = short).is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_short_and_unknown_frames() {
        assert_eq!(Ethernet::parse(&[0; 13]), Err(DropReason::FrameTruncated));
        assert_eq!(Ethernet::parse(&[0; 14]), Err(DropReason::EtherTypeUnsupported));
        let mut tagged = [0; 17];
        tagged[12..14].copy_from_slice(&VLAN.to_be_bytes());
        assert_eq!(Ethernet::parse(&tagged), Err(DropReason::FrameTruncated));
    }

    #[test]
    fn a_priority_tag_is_no_vlan() {
        let mut frame = [0; 18];
        frame[12..].copy_from_slice(&[0x81, 0x00, 0xe0, 0x00, 0x08, 0x00]);
        let (header, len) = Ethernet::parse(&frame).expect("valid");
        assert_eq!((header.vlan, header.ethertype, len), (None, EtherType::Ipv4, 18));
        frame[14..16].copy_from_slice(&[0x0f, 0xff]);
        assert_eq!(Ethernet::parse(&frame), Err(DropReason::VlanUnknown));
    }

    proptest! {
        #[test]
        fn round_trips(dst: [u8; 6], src: [u8; 6], vlan in 0u16..=4094, kind in 0usize..3) {
            let ethertype = [EtherType::Ipv4, EtherType::Arp, EtherType::Ipv6][kind];
            let header = Ethernet { dst: MacAddr(dst), src: MacAddr(src), vlan: VlanId::new(vlan), ethertype };
            let mut frame = [0; TAGGED_HEADER_LEN];
            header.emit(&mut frame);
            prop_assert_eq!(Ethernet::parse(&frame), Ok((header, header.header_len())));
            // Made once, it is the same, and changes nothing behind it.
            let (stamp, mut stamped) = (Stamp::from(header), [0xee; TAGGED_HEADER_LEN + 1]);
            prop_assert!(stamp.emit(&mut stamped));
            let (written, rest) = stamped.split_at(stamp.header_len());
            prop_assert_eq!(written, &frame[..header.header_len()]);
            prop_assert!(rest.iter().all(|byte| *byte == 0xee));
            prop_assert!(!stamp.emit(&mut stamped[..stamp.header_len() - 1]));
        }
    }
}
