//! IPv6 (RFC 8200).

use crate::drop_reason::DropReason;
use std::net::Ipv6Addr;

/// Length of the fixed header, bytes.
pub const HEADER_LEN: usize = 40;
/// The least MTU of a link, bytes (RFC 8200 section 5).
pub const MIN_MTU: u16 = 1280;
/// The most extension headers we walk.
const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
/// The fragment header, as a next header.
pub const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// True for the extension headers that are walked.
#[inline]
pub(crate) fn is_extension(next_header: u8) -> bool {
    matches!(next_header, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
}

/// A header whose version and length were checked.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6View<'a> {
    header: &'a [u8; HEADER_LEN],
    /// The whole packet, without link padding.
    packet: &'a [u8],
}

/// What follows the extension headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpperLayer {
    /// Its protocol.
    pub protocol: u8,
    /// Its offset from the start of the packet, bytes.
    pub offset: u16,
    /// True for a fragment.
    pub fragment: bool,
    /// True for a fragment other than the first: there is no upper-layer header.
    pub later_fragment: bool,
    /// Offset of the first fragment header, bytes; a packet that is whole may have one too (RFC 6946).
    pub fragment_header: Option<u16>,
}

/// What every fragment of a packet repeats (RFC 8200 section 4.5): the headers that routers on the way read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PerFragmentHeaders {
    /// Bytes, the fixed header included.
    pub len: u16,
    /// Offset of the byte that names the header after them.
    pub next_header_at: u16,
}

impl<'a> Ipv6View<'a> {
    /// Checks version and length of the packet that starts `bytes`. Jumbograms are refused.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(DropReason::FrameTruncated)?;
        let payload_len = u16::from_be_bytes([header[4], header[5]]);
        let total = u16::checked_add(payload_len, 40).ok_or(DropReason::Ipv6HeaderInvalid)?;
        if header[0] >> 4 != 6 {
            return Err(DropReason::Ipv6HeaderInvalid);
        }
        let packet = bytes.get(..usize::from(total)).ok_or(DropReason::FrameTruncated)?;
        Ok(Self { header, packet })
    }

    /// Walks the extension headers, a bounded number of them; refuses source routes.
    pub fn upper_layer(&self) -> Result<UpperLayer, DropReason> {
        let mut upper = UpperLayer {
            protocol: self.header[6],
            offset: 40,
            fragment: false,
            later_fragment: false,
            fragment_header: None,
        };
        for _ in 0..MAX_EXTENSIONS {
            let at = usize::from(upper.offset);
            let len = match upper.protocol {
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {
                    (u16::from(*self.packet.get(at + 1).ok_or(DropReason::Ipv6HeaderInvalid)?) + 1) * 8
                }
                FRAGMENT => 8,
                _ => return Ok(upper),
            };
            let extension =
                self.packet.get(at..at + usize::from(len)).ok_or(DropReason::Ipv6HeaderInvalid)?;
            // Type 0 with segments left (RFC 5095).
            if upper.protocol == ROUTING && extension[2] == 0 && extension[3] != 0 {
                return Err(DropReason::Ipv6SourceRoute);
            }
            if upper.protocol == FRAGMENT {
                upper.fragment_header.get_or_insert(upper.offset);
                let offset_and_more = u16::from_be_bytes([extension[2], extension[3]]);
                upper.fragment = offset_and_more & 0xfff9 != 0;
                upper.later_fragment = offset_and_more >> 3 != 0;
            }
            upper.protocol = extension[0];
            upper.offset += len;
            if upper.later_fragment {
                return Ok(upper);
            }
        }
        Err(DropReason::Ipv6HeaderInvalid)
    }

    /// The headers up to the last hop-by-hop or routing header; of most packets only the fixed one.
    pub fn per_fragment_headers(&self) -> Result<PerFragmentHeaders, DropReason> {
        let mut found = PerFragmentHeaders { len: 40, next_header_at: 6 };
        let (mut protocol, mut offset) = (self.header[6], found.len);
        for _ in 0..MAX_EXTENSIONS {
            if !matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS) {
                return Ok(found);
            }
            let (at, named) = (offset, protocol);
            let extension = self.packet.get(usize::from(at)..).and_then(<[u8]>::first_chunk::<2>);
            let [next, units] = *extension.ok_or(DropReason::Ipv6HeaderInvalid)?;
            (protocol, offset) = (next, at + (u16::from(units) + 1) * 8);
            if named != DESTINATION_OPTIONS {
                found = PerFragmentHeaders { len: offset, next_header_at: at };
            }
        }
        Err(DropReason::Ipv6HeaderInvalid)
    }

    /// The packet from `offset` on.
    #[must_use]
    pub fn after(&self, offset: u16) -> &'a [u8] {
        self.packet.get(usize::from(offset)..).unwrap_or(&[])
    }

    /// The whole packet, bytes.
    #[must_use]
    pub fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]]).saturating_add(40)
    }

    /// DSCP and ECN.
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        self.header[0] << 4 | self.header[1] >> 4
    }

    /// Hop limit.
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        self.header[7]
    }

    /// Source address.
    #[must_use]
    pub fn src(&self) -> Ipv6Addr {
        self.address(8)
    }

    /// Destination address.
    #[must_use]
    pub fn dst(&self) -> Ipv6Addr {
        self.address(24)
    }

    fn address(&self, at: usize) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.header[at..at + 16]);
        Ipv6Addr::from_octets(octets)
    }
}

/// A fixed header, for packets we build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv6Repr {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// The upper-layer protocol.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Bytes after the header.
    pub payload_len: u16,
}

impl Ipv6Repr {
    /// The header's bytes; the flow label is 0.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = 0x60 | self.traffic_class >> 4;
        out[1] = self.traffic_class << 4;
        out[4..6].copy_from_slice(&self.payload_len.to_be_bytes());
        out[6] = self.next_header;
        out[7] = self.hop_limit;
        out[8..24].copy_from_slice(&self.src.octets());
        out[24..].copy_from_slice(&self.dst.octets());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::protocol;

    fn packet(next_header: u8, body: &[u8]) -> Vec<u8> {
        let repr = Ipv6Repr {
            traffic_class: 0xb9,
            next_header,
            hop_limit: 7,
            src: "2001:db8::1".parse().expect("address"),
            dst: "2001:db8::2".parse().expect("address"),
            payload_len: u16::try_from(body.len()).expect("short"),
        };
        [&repr.emit()[..], body].concat()
    }

    #[test]
    fn reads_what_was_emitted() {
        let bytes = packet(protocol::UDP, &[0; 8]);
        let view = Ipv6View::parse(&bytes).expect("valid");
        assert_eq!((view.traffic_class(), view.hop_limit(), view.total_len()), (0xb9, 7, 48));
        assert_eq!(
            (view.src().to_string(), view.dst().to_string()),
            ("2001:db8::1".into(), "2001:db8::2".into())
        );
        assert!(matches!(Ipv6View::parse(&bytes[..47]), Err(DropReason::FrameTruncated)));
    }

    #[test]
    fn walks_a_bounded_number_of_extensions() {
        let bytes = packet(
            HOP_BY_HOP,
            &[&[DESTINATION_OPTIONS, 0][..], &[0; 6], &[protocol::UDP, 1], &[0; 14], &[9; 8]].concat(),
        );
        let upper = Ipv6View::parse(&bytes).expect("valid").upper_layer().expect("walkable");
        assert_eq!(
            upper,
            UpperLayer {
                protocol: protocol::UDP,
                offset: 64,
                fragment: false,
                later_fragment: false,
                fragment_header: None
            }
        );
        let endless = packet(HOP_BY_HOP, &[0; 80]);
        assert_eq!(
            Ipv6View::parse(&endless).expect("valid").upper_layer(),
            Err(DropReason::Ipv6HeaderInvalid)
        );
        let cut = packet(HOP_BY_HOP, &[0, 9, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Ipv6View::parse(&cut).expect("valid").upper_layer(), Err(DropReason::Ipv6HeaderInvalid));
    }

    #[test]
    fn source_routes_are_refused_until_they_have_been_followed() {
        let route = |kind, left| packet(ROUTING, &[&[protocol::UDP, 2, kind, left][..], &[0; 28]].concat());
        let upper = |bytes: Vec<u8>| Ipv6View::parse(&bytes).expect("valid").upper_layer().map(|u| u.offset);
        assert_eq!(upper(route(0, 1)), Err(DropReason::Ipv6SourceRoute));
        assert_eq!((upper(route(0, 0)), upper(route(4, 1))), (Ok(64), Ok(64)));
    }

    #[test]
    fn later_fragments_have_no_upper_layer() {
        let bytes = packet(FRAGMENT, &[protocol::TCP, 0, 0x01, 0x00, 0, 0, 0, 1, 1, 2, 3]);
        let upper = Ipv6View::parse(&bytes).expect("valid").upper_layer().expect("walkable");
        assert!(upper.fragment && upper.later_fragment);
    }
}
