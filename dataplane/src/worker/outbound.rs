//! Outbound ESP (RFC 4303 section 3.3): number, lay out, encrypt, route the outer packet.

use arrayvec::ArrayVec;
use crypto::{Job, Key, Status};
use packet::decide::Ingress;
use packet::esp::encap::{self, Inner as EncapInner};
use packet::esp::{EspSpans, SeqNo};
use packet::flow::Flow;
use packet::headers::{self, protocol, tcp};
use packet::neighbour::NeighbourState;
use packet::sad::{CachedEgress, Charge, Child};
use packet::{DropReason, InterfaceId};

use super::buffer::Buffer;
use super::burst::{BURST, Onward, Pieces, Sealing, Sending, Way};
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::journey::{Heading, Point, Step};
use crate::shared::{Direction, Limit, Notice, Tables};

impl<B: Buffer> Pipeline<B> {
    /// Encrypts the burst's inner packets and queues them for transmission.
    pub(super) fn seal<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        tx: &mut impl Transmit<B>,
    ) {
        if onward.sealing.is_empty() {
            return;
        }
        let Onward { sealing, sending } = onward;
        // 1. All headers first: a nonce read right after it was written stalls.
        for sealing in &mut *sealing {
            sealing.laid_out = self.lay_out(tables, sealing);
        }
        // 2. The burst's cryptography in one call.
        let ready = sealing.iter_mut().filter(|sealing| sealing.laid_out.is_ok());
        let mut jobs: ArrayVec<Job<'_>, BURST> = ready.map(Sealing::job).collect();
        self.crypto.seal(&mut jobs);
        let statuses: ArrayVec<Status, BURST> = jobs.iter().map(Job::status).collect();
        drop(jobs);
        // 3. The way of the outer packets. A packet that is not sealed never leaves.
        let mut statuses = statuses.into_iter();
        for sealed in sealing.drain(..) {
            let Sealing { mut packet, from, child, seq, pieces, laid_out, .. } = sealed;
            if let Err(reason) = laid_out {
                self.drop(packet, from, reason);
                continue;
            }
            child.template.finish(packet.data_mut());
            let way = match statuses.next() {
                Some(Status::Ok) => outer_way(tables, child),
                _ => Err(DropReason::CryptoFailed),
            };
            self.note_sealed(&packet, child, seq, &way);
            match way {
                Ok(way) if pieces == Pieces::Many => {
                    let mtu = largest_sealed(child);
                    self.send_in_pieces(tables, sending, Sending { packet, from, way }, mtu, tx);
                }
                Ok(way) => self.push_sending(tables, sending, Sending { packet, from, way }, tx),
                Err(reason) => self.drop(packet, from, reason),
            }
        }
    }

    /// Writes down what was sealed for whom, and where it leaves.
    #[inline]
    fn note_sealed(
        &mut self,
        packet: &B,
        child: Child<'_, Key>,
        seq: SeqNo,
        way: &Result<Way<'_>, DropReason>,
    ) {
        if matches!(way, Err(DropReason::CryptoFailed)) {
            return;
        }
        let (spi, peer_spi) = (child.entry.spi, child.sa.config.peer_spi);
        self.scribe.note(packet, || Step::Sealed { spi, peer_spi, seq, len: packet.len() });
        self.scribe.note_header(packet);
        let interface = way.as_ref().ok().map(Way::interface);
        self.scribe.shoot(packet, Point::PostCrypto, Heading::Out, interface);
    }

    /// Charges connection and SA, takes a sequence number, and writes everything but the ciphertext.
    #[inline]
    fn lay_out(&mut self, tables: &Tables, sealing: &mut Sealing<'_, B>) -> Result<(), DropReason> {
        let Sealing { packet, from, ingress, flow, child, .. } = sealing;
        let Child { entry, sa, template } = *child;
        // 1. The hop limit, and the MSS that will fit the tunnel.
        if *ingress != Ingress::Own {
            headers::decrement_hop_limit(packet.data_mut());
        }
        clamp_mss(packet, flow, entry.mss);
        self.scribe.shoot(packet, Point::PreCrypto, Heading::Out, *from);
        // 2. The limits of the connection, volume and sequence number.
        if sealing.pieces != Pieces::One {
            self.police(tables, entry.tunnel, Direction::Outbound, flow.len)
                .inspect_err(|_| sa.count_policed())?;
        }
        self.charge(child, flow.len)?;
        let seq = self.issue(child)?;
        // 3. Outer header, ESP header, IV, trailer.
        let layout = &template.layout;
        let mut inner = EncapInner::from(&*flow);
        // A probe is as long as it is.
        if sealing.pieces != Pieces::One {
            inner.padded = flow.len.max(sa.config.tfc.min(entry.inner_mtu));
        }
        let padded = usize::from(inner.padded);
        let behind = padded - usize::from(flow.len) + layout.tailroom(padded);
        packet.grow(layout.headroom(), behind).map_err(|_| DropReason::NoRoom)?;
        sealing.spans = encap::encap(packet.data_mut(), template, sa.config.peer_spi, seq, inner)?;
        match sealing.pieces {
            Pieces::Policy => {}
            Pieces::One => template.set_dont_fragment(packet.data_mut(), true),
            Pieces::Many => template.set_dont_fragment(packet.data_mut(), false),
        }
        sealing.seq = seq;
        Ok(())
    }

    #[inline]
    fn charge(&mut self, child: &Child<'_, Key>, len: u16) -> Result<(), DropReason> {
        let (spi, direction) = (child.entry.spi, Direction::Outbound);
        match child.sa.usage.charge(len, self.now) {
            Charge::Within => Ok(()),
            Charge::SoftLimit(kind) => {
                self.tell(Notice::SoftLimit { spi, direction, limit: Limit::Volume(kind) });
                Ok(())
            }
            Charge::HardLimit { kind, first } => {
                if first {
                    self.tell(Notice::HardLimit { spi, direction, limit: Limit::Volume(kind) });
                }
                Err(DropReason::LifetimeExceeded)
            }
        }
    }

    #[inline]
    fn issue(&mut self, child: &Child<'_, Key>) -> Result<SeqNo, DropReason> {
        let (spi, direction, limit) = (child.entry.spi, Direction::Outbound, Limit::Sequence);
        match child.sa.sequence.issue() {
            Ok(issued) => {
                if issued.soft_limit {
                    self.tell(Notice::SoftLimit { spi, direction, limit });
                }
                Ok(issued.seq)
            }
            Err(reason) => {
                let key = 4 << 40 | u64::from(spi.value());
                self.tell_once(key, Notice::HardLimit { spi, direction, limit });
                Err(reason)
            }
        }
    }
}

/// Lowers the MSS that a TCP SYN offers to what fits the tunnel. `over_v4` is that of a packet over IPv4, 0 if
/// unknown; the option says nothing of the IP header, and that of IPv6 is 20 bytes longer.
#[inline]
pub(super) fn clamp_mss<B: Buffer>(packet: &mut B, flow: &Flow, over_v4: u16) {
    if flow.protocol != protocol::TCP || flow.fragment || over_v4 == 0 {
        return;
    }
    let mss = if flow.dst.is_ipv4() { over_v4 } else { over_v4.saturating_sub(20) };
    if let Some(segment) = packet.data_mut().get_mut(usize::from(flow.header_len)..) {
        tcp::clamp_mss(segment, mss);
    }
}

/// The largest packet of the SA that its path takes, bytes.
#[cold]
fn largest_sealed(child: Child<'_, Key>) -> u16 {
    let len = child.template.layout.sealed_len(child.entry.inner_mtu.into());
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Where the SA's packets leave: remembered for as long as the snapshot is the same.
#[inline]
fn outer_way<'t>(tables: &'t Tables, child: Child<'t, Key>) -> Result<Way<'t>, DropReason> {
    if let Some(CachedEgress { interface, mac }) = child.sa.cached_egress(tables.version())
        && let Some(interface) = tables.interface(interface)
    {
        return Ok(Way::To(interface, mac));
    }
    let endpoints = &child.template.endpoints;
    let egress = tables.egress(endpoints.vrf, endpoints.remote)?;
    let neighbour = tables.neighbours.lookup(egress.interface.id, egress.neighbour);
    match neighbour {
        Some(known) if known.state == NeighbourState::Reachable => {
            let cached = CachedEgress { interface: egress.interface.id, mac: known.mac };
            child.sa.cache_egress(tables.version(), cached);
            Ok(Way::To(egress.interface, known.mac))
        }
        _ => Ok(Way::Via(egress, None)),
    }
}

impl<'t, B: Buffer> Sealing<'t, B> {
    pub(super) fn new(
        packet: B,
        from: Option<InterfaceId>,
        ingress: Ingress,
        flow: Flow,
        child: Child<'t, Key>,
    ) -> Self {
        let pieces = if flow.len > child.entry.inner_mtu { Pieces::Many } else { Pieces::Policy };
        let (seq, spans) = (SeqNo(0), EspSpans::default());
        Self { packet, from, ingress, flow, child, pieces, seq, spans, laid_out: Ok(()) }
    }

    #[inline]
    fn job(&mut self) -> Job<'_> {
        let esp = usize::from(self.spans.esp)..usize::from(self.spans.end);
        let config = &self.child.sa.config;
        let esn_high = config.esn.then(|| self.seq.high());
        Job::encap(&config.key, &mut self.packet.data_mut()[esp], esn_high)
    }
}
