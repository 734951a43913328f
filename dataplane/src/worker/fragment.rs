//! Fragmenting: an IPv4 packet before it enters a tunnel (RFC 4301 section 8.2 leaves it to us) or a link, and
//! packets of our own of either version where they leave.

use arrayvec::ArrayVec;
use packet::DropReason;
use packet::decide::{FragmentTo, Ingress};
use packet::flow::Flow;
use packet::fragmentation::{MAX_PIECES, Piece, Plan};

use super::buffer::Buffer;
use super::burst::{BURST, Inner, Onward, Sending, Way};
use super::counters::Figure;
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::journey::Step;
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
        let Inner { mut packet, from, vrf, ingress, flow } = inner;
        let plan = self.plan(packet.data(), &flow, ingress, mtu);
        let pieces = match self.cut(&mut packet, plan) {
            Ok(pieces) => pieces,
            Err(reason) => return self.drop(packet, from, reason),
        };
        for mut packet in pieces {
            let Ok(flow) = Flow::parse(packet.data()) else {
                self.drop(packet, from, DropReason::Ipv4HeaderInvalid);
                continue;
            };
            match &to {
                FragmentTo::Encapsulate(child) | FragmentTo::Sealed(child) => {
                    let piece = Inner { packet, from, vrf, ingress, flow };
                    self.encapsulate(tables, onward, piece, *child, tx);
                }
                FragmentTo::Forward(egress) => {
                    if ingress != Ingress::Own {
                        packet::headers::decrement_hop_limit(packet.data_mut());
                    }
                    let sending = Sending { packet, from, way: Way::Via(*egress, Some(ingress)) };
                    self.push_sending(tables, &mut onward.sending, sending, tx);
                }
            }
        }
    }

    /// Sends a packet of which we are the source in pieces of at most `mtu` bytes.
    #[cold]
    pub(super) fn send_in_pieces<'t>(
        &mut self,
        tables: &'t Tables,
        queue: &mut ArrayVec<Sending<'t, B>, BURST>,
        sending: Sending<'t, B>,
        mtu: u16,
        tx: &mut impl Transmit<B>,
    ) {
        let Sending { mut packet, from, way } = sending;
        let plan = match Flow::parse(packet.data()) {
            Ok(flow) => self.plan(packet.data(), &flow, Ingress::Own, mtu),
            Err(reason) => return self.drop(packet, from, reason),
        };
        match self.cut(&mut packet, plan) {
            Ok(pieces) => {
                for packet in pieces {
                    self.push_sending(tables, queue, Sending { packet, from, way }, tx);
                }
            }
            Err(reason) => self.drop(packet, from, reason),
        }
    }

    /// A buffer whose packet is `len` bytes of whatever was there.
    pub(super) fn spare(&self, len: usize) -> Option<B> {
        let mut buffer = (self.spare)(&self.shared, len)?;
        let start = buffer.span().start;
        buffer.set_span(start..start + len).ok()?;
        Some(buffer)
    }

    fn plan(&mut self, packet: &[u8], flow: &Flow, ingress: Ingress, mtu: u16) -> Option<Plan> {
        // A program behind the TUN device may have cut it before.
        let is_source = ingress == Ingress::Own && !flow.fragment;
        // Of IPv6 only what was put together here: the identification its source gave it went with the fragments.
        if is_source || flow.dst.is_ipv6() {
            Plan::at_source(packet, flow, mtu, self.identifications.next())
        } else {
            Plan::on_the_way(packet, flow, mtu)
        }
    }

    /// All pieces of a packet or none: half of it helps nobody.
    fn cut(&mut self, packet: &mut B, plan: Option<Plan>) -> Result<ArrayVec<B, MAX_PIECES>, DropReason> {
        let plan = plan.ok_or(DropReason::FragmentUnsupported)?;
        let write = |piece: Piece| {
            let mut buffer = self.spare(plan.packet_len(piece))?;
            plan.write(packet.data(), piece, buffer.data_mut());
            Some(buffer)
        };
        let pieces: Option<ArrayVec<B, MAX_PIECES>> = plan.pieces().map(write).collect();
        let mut pieces = pieces.ok_or(DropReason::BufferExhausted)?;
        // One packet came in and `pieces` go on.
        self.counters.add(Figure::Fragments, pieces.len() as u64 - 1);
        for (number, piece) in (1..).zip(&mut pieces) {
            self.scribe.fork(packet, piece, number);
        }
        self.scribe.end(packet, || Step::Split { pieces: pieces.len() });
        Ok(pieces)
    }
}
