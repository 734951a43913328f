//! Fragmenting an IPv4 packet before it enters a tunnel (RFC 4301 section 8.2 leaves it to us), or a link.

use packet::DropReason;
use packet::decide::{FragmentTo, Ingress};
use packet::flow::Flow;

use super::buffer::Buffer;
use super::burst::{Inner, Onward, Sending, Way};
use super::counters::Figure;
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::shared::Tables;

impl<B: Buffer> Pipeline<B> {
    /// Sends a packet in pieces of at most `mtu` bytes. Rare: it copies.
    #[cold]
    pub(super) fn fragment<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        inner: Inner<B>,
        mtu: u16,
        to: FragmentTo<'t, crypto::Key>,
        tx: &mut impl Transmit<B>,
    ) {
        let Some(plan) = Plan::new(inner.packet.data(), &inner.flow, mtu) else {
            return self.drop(inner.packet, inner.from, DropReason::FragmentUnsupported);
        };
        // All buffers first: half a packet helps nobody.
        let mut pieces = arrayvec::ArrayVec::<B, MAX_PIECES>::new();
        for piece in plan.pieces() {
            let Some(buffer) = self.piece(&inner, &plan, piece) else {
                return self.drop(inner.packet, inner.from, DropReason::BufferExhausted);
            };
            pieces.push(buffer);
        }
        // One packet came in and `pieces` go on.
        self.counters.add(Figure::Fragments, pieces.len() as u64 - 1);
        let Inner { from, vrf, ingress, .. } = inner;
        for mut packet in pieces {
            let Ok(flow) = Flow::parse(packet.data()) else {
                self.drop(packet, from, DropReason::Ipv4HeaderInvalid);
                continue;
            };
            match &to {
                FragmentTo::Encapsulate(child) => {
                    let piece = Inner { packet, from, vrf, ingress, flow };
                    self.encapsulate(tables, onward, piece, *child, tx);
                }
                FragmentTo::Forward(egress) => {
                    if ingress != Ingress::Own {
                        packet::headers::decrement_hop_limit(packet.data_mut());
                    }
                    let sending = Sending { packet, from, way: Way::Via(*egress) };
                    self.push_sending(tables, onward, sending, tx);
                }
            }
        }
    }

    /// A buffer whose packet is `len` bytes of whatever was there.
    pub(super) fn spare(&self, len: usize) -> Option<B> {
        let mut buffer = (self.spare)(&self.shared, len)?;
        let start = buffer.span().start;
        buffer.set_span(start..start + len).ok()?;
        Some(buffer)
    }

    fn piece(&self, inner: &Inner<B>, plan: &Plan, piece: Piece) -> Option<B> {
        let mut buffer = self.spare(plan.header + piece.len)?;
        plan.write(inner.packet.data(), piece, buffer.data_mut());
        Some(buffer)
    }
}

/// The most pieces of one packet: 9,216 bytes over the smallest MTU we allow, and some.
const MAX_PIECES: usize = 32;

/// How a packet is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Header of the packet and of every piece, bytes.
    header: usize,
    payload: usize,
    /// Payload of a piece but the last: a multiple of 8.
    step: usize,
    /// Offset of the packet's own payload, if it is a fragment itself, in units of 8 bytes.
    base: u16,
    /// The packet has fragments after it.
    more: bool,
}

/// One piece: a range of the packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    offset: usize,
    len: usize,
}

impl Plan {
    /// `None` for IPv6 and for what cannot be cut small enough.
    fn new(packet: &[u8], flow: &Flow, mtu: u16) -> Option<Self> {
        if !flow.dst.is_ipv4() || flow.dont_fragment {
            return None;
        }
        let header = usize::from(packet.first()? & 15) * 4;
        let payload = usize::from(flow.len).checked_sub(header)?;
        let step = usize::from(mtu).checked_sub(header)? & !7;
        let field = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]);
        let plan = Self { header, payload, step, base: field & 0x1fff, more: field & 0x2000 != 0 };
        (step > 0 && payload.div_ceil(step) <= MAX_PIECES).then_some(plan)
    }

    fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        let Self { payload, step, .. } = *self;
        (0..payload).step_by(step).map(move |offset| Piece { offset, len: step.min(payload - offset) })
    }

    /// Writes header and payload of a piece to `out`, which is exactly that long.
    fn write(&self, packet: &[u8], piece: Piece, out: &mut [u8]) {
        let (header, payload) = out.split_at_mut(self.header);
        header.copy_from_slice(&packet[..self.header]);
        let from = self.header + piece.offset;
        payload.copy_from_slice(&packet[from..from + piece.len]);
        let total = u16::try_from(self.header + piece.len).unwrap_or(u16::MAX);
        header[2..4].copy_from_slice(&total.to_be_bytes());
        let last = piece.offset + piece.len == self.payload;
        let more = if self.more || !last { 0x2000 } else { 0 };
        let offset = u16::try_from(piece.offset / 8).unwrap_or(u16::MAX).saturating_add(self.base);
        header[6..8].copy_from_slice(&(offset & 0x1fff | more).to_be_bytes());
        if piece.offset != 0 {
            blank_uncopied_options(&mut header[20..]);
        }
        header[10..12].fill(0);
        let sum = packet::headers::checksum::checksum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
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
