//! IPv4 (RFC 791).

use super::checksum;
use crate::drop_reason::DropReason;
use std::net::Ipv4Addr;

/// Length of a header without options, bytes.
pub const MIN_HEADER_LEN: usize = 20;

/// Don't fragment, in the word of flags and fragment offset.
pub(crate) const DF: u16 = 0x4000;
const MF: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;
/// Not 0 in the word of flags and fragment offset of fragments.
pub(crate) const FRAGMENT_MASK: u16 = MF | OFFSET_MASK;

/// A header whose version and lengths were checked: 20 <= header length <= total length <= buffer.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4View<'a> {
    /// The fixed part.
    header: &'a [u8; MIN_HEADER_LEN],
    /// The whole packet, without link padding.
    packet: &'a [u8],
}

impl<'a> Ipv4View<'a> {
    /// Checks version and lengths of the packet that starts `bytes`. Options and checksum are separate.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let header = bytes.first_chunk::<MIN_HEADER_LEN>().ok_or(DropReason::FrameTruncated)?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_len < MIN_HEADER_LEN || total_len < header_len {
            return Err(DropReason::Ipv4HeaderInvalid);
        }
        let packet = bytes.get(..total_len).ok_or(DropReason::FrameTruncated)?;
        Ok(Self { header, packet })
    }

    /// Verifies the header checksum.
    #[inline]
    pub fn verify_checksum(&self) -> Result<(), DropReason> {
        let right = if self.has_options() {
            checksum::checksum(self.options_and_header()) == 0
        } else {
            checksum::is_right(self.header)
        };
        if right { Ok(()) } else { Err(DropReason::Ipv4Checksum) }
    }

    /// True if the header is longer than 20 bytes.
    #[inline]
    #[must_use]
    pub fn has_options(&self) -> bool {
        self.header[0] != 0x45
    }

    /// Walks the options: refuses malformed lengths and source routes (RFC 7126 section 4.3 and 4.4).
    pub fn check_options(&self) -> Result<(), DropReason> {
        let mut options = &self.options_and_header()[MIN_HEADER_LEN..];
        while let Some((&kind, rest)) = options.split_first() {
            match kind {
                0 => break,          // end of list
                1 => options = rest, // no operation
                131 | 137 => return Err(DropReason::Ipv4SourceRoute),
                _ => {
                    let len = usize::from(*rest.first().ok_or(DropReason::Ipv4HeaderInvalid)?);
                    if len < 2 {
                        return Err(DropReason::Ipv4HeaderInvalid);
                    }
                    options = options.get(len..).ok_or(DropReason::Ipv4HeaderInvalid)?;
                }
            }
        }
        Ok(())
    }

    fn options_and_header(&self) -> &'a [u8] {
        &self.packet[..usize::from(self.header_len())]
    }

    /// Header with options, bytes.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> u16 {
        u16::from(self.header[0] & 0x0f) * 4
    }

    /// The whole packet, bytes.
    #[inline]
    #[must_use]
    pub fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// DSCP and ECN.
    #[inline]
    #[must_use]
    pub fn tos(&self) -> u8 {
        self.header[1]
    }

    /// Identifies the fragments of one packet.
    #[must_use]
    pub fn identification(&self) -> u16 {
        u16::from_be_bytes([self.header[4], self.header[5]])
    }

    #[inline]
    fn flags_and_offset(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }

    /// No router may fragment the packet.
    #[inline]
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        self.flags_and_offset() & DF != 0
    }

    /// True for a first, middle or last fragment.
    #[inline]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.flags_and_offset() & FRAGMENT_MASK != 0
    }

    /// It is a fragment, and not the last.
    #[inline]
    #[must_use]
    pub fn more_fragments(&self) -> bool {
        self.flags_and_offset() & MF != 0
    }

    /// Where this fragment belongs, in units of 8 bytes.
    #[inline]
    #[must_use]
    pub fn fragment_offset(&self) -> u16 {
        self.flags_and_offset() & OFFSET_MASK
    }

    /// Time to live.
    #[inline]
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// The upper-layer protocol.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.header[9]
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub fn src(&self) -> Ipv4Addr {
        let [.., a, b, c, d, _, _, _, _] = *self.header;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> Ipv4Addr {
        let [.., a, b, c, d] = *self.header;
        Ipv4Addr::new(a, b, c, d)
    }

    /// What follows the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.packet.get(usize::from(self.header_len())..).unwrap_or(&[])
    }
}

/// A header without options, for packets we build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv4Repr {
    /// DSCP and ECN.
    pub tos: u8,
    /// Identification.
    pub identification: u16,
    /// The DF bit.
    pub dont_fragment: bool,
    /// Time to live.
    pub ttl: u8,
    /// The upper-layer protocol.
    pub protocol: u8,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Bytes after the header.
    pub payload_len: u16,
}

impl Ipv4Repr {
    /// The header's bytes, checksum included.
    #[must_use]
    pub fn emit(&self) -> [u8; MIN_HEADER_LEN] {
        let mut out = [0; MIN_HEADER_LEN];
        let flags: u16 = if self.dont_fragment { DF } else { 0 };
        out[0] = 0x45;
        out[1] = self.tos;
        out[2..4].copy_from_slice(&self.payload_len.saturating_add(20).to_be_bytes());
        out[4..6].copy_from_slice(&self.identification.to_be_bytes());
        out[6..8].copy_from_slice(&flags.to_be_bytes());
        out[8] = self.ttl;
        out[9] = self.protocol;
        out[12..16].copy_from_slice(&self.src.octets());
        out[16..].copy_from_slice(&self.dst.octets());
        let checksum = checksum::checksum(&out);
        out[10..12].copy_from_slice(&checksum.to_be_bytes());
        out
    }
}

/// Takes one from a TTL that is not 0, and its weight from the checksum (RFC 1624). The bytes of a word may be in any
/// order for that, so they are added as they lie in memory.
#[inline]
pub(crate) fn decrement_ttl(header: &mut [u8; MIN_HEADER_LEN]) {
    let [.., ttl, _, c0, c1, _, _, _, _, _, _, _, _] = header;
    if *ttl != 0 {
        *ttl -= 1;
        let sum = u32::from(u16::from_le_bytes([*c0, *c1])) + 1;
        #[expect(clippy::cast_possible_truncation, reason = "the carry is added at the other end")]
        let sum = (sum + u32::from(sum >= 0xffff)) as u16;
        [*c0, *c1] = sum.to_le_bytes();
    }
}

/// Changes the word at `at` (even) of an IPv4 header and its checksum with it (RFC 1624).
#[inline]
pub(crate) fn rewrite(header: &mut [u8; MIN_HEADER_LEN], at: usize, new: [u8; 2]) {
    let old = u16::from_be_bytes([header[at], header[at + 1]]);
    let sum = u16::from_be_bytes([header[10], header[11]]);
    header[at..at + 2].copy_from_slice(&new);
    header[10..12].copy_from_slice(&checksum::update(sum, old, u16::from_be_bytes(new)).to_be_bytes());
}

#[cfg(test)]
mod tests;
