//! Cutting a packet into fragments: on the way (RFC 791 section 3.2, IPv4 only), and at its source (RFC 8200
//! section 4.5).
//!
//! A [`Plan`] says where the cuts are and writes each [`Piece`] into a buffer of the caller.

use crate::flow::Flow;
use crate::headers::checksum;
use crate::headers::ipv6::{self, Ipv6View};

/// The most pieces of one packet: 9,216 bytes over the smallest MTU we allow, and some.
pub const MAX_PIECES: usize = 32;

/// Flags and offset of IPv4 (RFC 791 section 3.1).
const MORE: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
/// Of the fragment header of IPv6, and its length, bytes (RFC 8200 section 4.5).
const MORE_V6: u16 = 1;
const FRAGMENT_HEADER_LEN: usize = 8;

/// How a packet is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Headers that every piece repeats, bytes; of IPv6 without the fragment header.
    header: usize,
    payload: usize,
    /// Payload of a piece but the last: a multiple of 8.
    step: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    V4 {
        /// Offset of the packet's own payload, if it is a fragment itself, in units of 8 bytes.
        base: u16,
        /// The packet has fragments after it.
        more: bool,
        /// `None` if the packet keeps its own.
        identification: Option<u16>,
    },
    V6 {
        identification: u32,
        /// Where the headers of a piece name the fragment header instead of what follows here.
        next_header_at: usize,
    },
}

/// One piece: a range of the packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    offset: usize,
    len: usize,
}

impl Plan {
    /// How a router cuts `packet` for `mtu`; `None` if it must not (DF, IPv6), or cannot small enough.
    #[must_use]
    pub fn on_the_way(packet: &[u8], flow: &Flow, mtu: u16) -> Option<Self> {
        Self::v4(packet, flow, mtu, None)
    }

    /// How the source of `packet` cuts it for `mtu`; `None` if DF is set, if it is a fragment, or if it cannot be
    /// cut small enough. `identification` must be one that is not in use between these addresses (RFC 6864
    /// section 4.3), and that nobody foresees (RFC 7739); IPv4 takes its lower half.
    #[must_use]
    pub fn at_source(packet: &[u8], flow: &Flow, mtu: u16, identification: u32) -> Option<Self> {
        if flow.fragment {
            return None;
        }
        if flow.dst.is_ipv4() {
            #[expect(clippy::cast_possible_truncation, reason = "the field has 16 bits")]
            return Self::v4(packet, flow, mtu, Some(identification as u16));
        }
        let ip = Ipv6View::parse(packet).ok()?;
        if ip.upper_layer().ok()?.fragment_header.is_some() {
            return None;
        }
        let repeated = ip.per_fragment_headers().ok()?;
        let header = usize::from(repeated.len);
        let kind = Kind::V6 { identification, next_header_at: usize::from(repeated.next_header_at) };
        let room = usize::from(mtu).checked_sub(header + FRAGMENT_HEADER_LEN)?;
        Self::new(header, usize::from(flow.len), room, kind)
    }

    fn v4(packet: &[u8], flow: &Flow, mtu: u16, identification: Option<u16>) -> Option<Self> {
        if !flow.dst.is_ipv4() || flow.dont_fragment {
            return None;
        }
        let header = usize::from(packet.first()? & 15) * 4;
        let field = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]);
        let kind = Kind::V4 { base: field & OFFSET, more: field & MORE != 0, identification };
        Self::new(header, usize::from(flow.len), usize::from(mtu).checked_sub(header)?, kind)
    }

    fn new(header: usize, len: usize, room: usize, kind: Kind) -> Option<Self> {
        let (payload, step) = (len.checked_sub(header)?, room & !7);
        (step > 0 && payload.div_ceil(step) <= MAX_PIECES).then_some(Self { header, payload, step, kind })
    }

    /// The pieces in order; at most [`MAX_PIECES`].
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        let Self { payload, step, .. } = *self;
        (0..payload).step_by(step).map(move |offset| Piece { offset, len: step.min(payload - offset) })
    }

    /// Length of the packet that a piece becomes, bytes.
    #[must_use]
    pub fn packet_len(&self, piece: Piece) -> usize {
        let extra = match self.kind {
            Kind::V4 { .. } => 0,
            Kind::V6 { .. } => FRAGMENT_HEADER_LEN,
        };
        self.header + extra + piece.len
    }

    /// Writes a piece of `packet`, headers and payload, to `out`, which is [`Plan::packet_len`] bytes long.
    pub fn write(&self, packet: &[u8], piece: Piece, out: &mut [u8]) {
        let (header, payload) = out.split_at_mut(self.packet_len(piece) - piece.len);
        header[..self.header].copy_from_slice(&packet[..self.header]);
        let from = self.header + piece.offset;
        payload.copy_from_slice(&packet[from..from + piece.len]);
        let more = piece.offset + piece.len != self.payload;
        match self.kind {
            Kind::V4 { base, more: others, identification } => {
                let offset = units(piece.offset).saturating_add(base) & OFFSET;
                let field = if more || others { offset | MORE } else { offset };
                if piece.offset != 0 {
                    blank_uncopied_options(&mut header[20..]);
                }
                mend_ipv4(header, piece.len, field, identification);
            }
            Kind::V6 { identification, next_header_at } => {
                let field = units(piece.offset) << 3 | if more { MORE_V6 } else { 0 };
                let (repeated, fragment) = header.split_at_mut(self.header);
                let next_header = std::mem::replace(&mut repeated[next_header_at], ipv6::FRAGMENT);
                fragment[..2].copy_from_slice(&[next_header, 0]);
                fragment[2..4].copy_from_slice(&field.to_be_bytes());
                fragment[4..].copy_from_slice(&identification.to_be_bytes());
                let len = saturated(self.packet_len(piece) - ipv6::HEADER_LEN);
                repeated[4..6].copy_from_slice(&len.to_be_bytes());
            }
        }
    }
}

/// Length, place, identification and checksum of a piece.
fn mend_ipv4(header: &mut [u8], payload: usize, field: u16, identification: Option<u16>) {
    let total = saturated(header.len() + payload);
    header[2..4].copy_from_slice(&total.to_be_bytes());
    if let Some(identification) = identification {
        header[4..6].copy_from_slice(&identification.to_be_bytes());
    }
    header[6..8].copy_from_slice(&field.to_be_bytes());
    header[10..12].fill(0);
    let sum = checksum::checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// An offset as headers have it: in units of 8 bytes.
fn units(offset: usize) -> u16 {
    saturated(offset / 8)
}

fn saturated(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Replaces options without the copied flag by "no operation" (RFC 791 section 3.2).
fn blank_uncopied_options(options: &mut [u8]) {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        let len = match kind {
            END => return,
            NOP => 1,
            _ => options.get(at + 1).map_or(1, |&len| usize::from(len).max(2)),
        };
        if kind & COPIED == 0 && kind != NOP {
            let end = (at + len).min(options.len());
            options[at..end].fill(NOP);
        }
        at += len;
    }
}

#[cfg(test)]
mod tests;
