//! Outbound ESP (RFC 4303 section 3.3): number, lay out, encrypt, route the outer packet.

use std::ptr;

use arrayvec::ArrayVec;
use crypto::{Job, Key, Status};
use packet::esp::SeqNo;
use packet::esp::encap::{self, Fit, Inner as EncapInner};
use packet::flow::Flow;
use packet::headers::{protocol, tcp};
use packet::sad::Child;
use packet::tables::{Egress, Interface};
use packet::{DropReason, InterfaceId, Station};

use super::buffer::Buffer;
use super::burst::{BURST, Onward, Pieces, Sealing, Sending, Way};
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::journey::{Heading, Point, Step};
use crate::shared::{Direction, Limit, Notice, Tables};

impl<B: Buffer> Pipeline<B> {
    /// Encrypts what was laid out and queues it for transmission.
    pub(super) fn seal<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        tx: &mut impl Transmit<B>,
    ) {
        if onward.sealing.is_empty() {
            return;
        }
        let Onward { sealing, sending, .. } = onward;
        // 1. The burst's cryptography in one call.
        let mut jobs = ArrayVec::<Job<'_>, BURST>::new();
        jobs.extend(sealing.iter_mut().map(Sealing::job));
        self.crypto.seal(&mut jobs);
        let mut statuses = ArrayVec::<Status, BURST>::new();
        statuses.extend(jobs.iter().map(Job::status));
        drop(jobs);
        // 2. The way of the outer packets. A packet that is not sealed never leaves.
        for (sealed, status) in sealing.drain(..).zip(statuses.drain(..)) {
            let Sealing { mut packet, child, egress, from, pieces, seq, outer, .. } = sealed;
            if status != Status::Ok {
                self.drop(packet, from, DropReason::CryptoFailed);
                continue;
            }
            child.template.finish(&mut packet.data_mut()[usize::from(outer)..]);
            if let Some(interface) = egress {
                if sending.is_empty() {
                    self.enqueue(packet, from, interface, tx);
                } else {
                    // Not ahead of a packet of its SA that waits there in pieces.
                    let way = Way::Frame(interface);
                    self.push_sending(tables, sending, Sending { packet, from, way }, tx);
                }
                continue;
            }
            let way = outer_egress(tables, child).map(|egress| Way::Via(egress, None));
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
        let (spi, peer_spi) = (child.entry.spi, child.sa.config.peer_spi);
        self.scribe.note(packet, || Step::Sealed { spi, peer_spi, seq, len: packet.len() });
        self.scribe.note_header(packet);
        let interface = way.as_ref().ok().map(Way::interface);
        self.scribe.shoot(packet, Point::PostCrypto, Heading::Out, interface);
    }

    /// Lays a packet out for its SA, which this worker owns: the encryption of the burst finds headers that were
    /// written long enough ago to be read without a stall.
    #[inline(always)]
    pub(super) fn lay_out<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        laying: Laying<'t, B>,
        tx: &mut impl Transmit<B>,
    ) {
        if onward.sealing.is_full() {
            self.seal(tables, onward, tx);
        }
        let Laying { mut packet, at, from, child, inner, pieces } = laying;
        if onward.sealing.last().is_none_or(|before| !ptr::eq(before.child.sa, child.sa)) {
            child.sa.config.key.prefetch_to_seal();
        }
        self.scribe.shoot(&packet, Point::PreCrypto, Heading::Out, from);
        match self.write_headers(tables, onward, &mut packet, at, child, inner, pieces) {
            Ok(Written { seq, egress, outer, esp }) => {
                onward.sealing.push(Sealing { packet, child, egress, from, pieces, seq, outer, esp });
            }
            Err(reason) => self.drop(packet, from, reason),
        }
    }

    /// Charges connection and SA, takes a sequence number, and writes everything but the ciphertext.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the parts of what is laid out")]
    fn write_headers<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        packet: &mut B,
        at: u16,
        child: Child<'t, Key>,
        mut inner: EncapInner,
        pieces: Pieces,
    ) -> Result<Written<'t>, DropReason> {
        let Child { entry, sa, template } = child;
        // 1. The limits of the connection, volume and sequence number. A probe is as long as it is.
        if pieces != Pieces::One {
            self.police(tables, entry.tunnel, Direction::Outbound, inner.len)
                .inspect_err(|_| sa.count_policed())?;
            inner.padded = inner.len.max(sa.config.tfc.min(entry.inner_mtu));
        }
        self.charge(&sa.usage, entry.spi, Direction::Outbound, inner.len)?;
        let seq = self.issue(&child)?;
        // 2. Where it leaves, if that is known: one Ethernet header less to be put in front later.
        let departure = if pieces == Pieces::Many || self.scribe.is_awake() {
            None
        } else {
            let station = station_of(tables, child);
            station
                .and_then(|station| onward.departure(tables, &self.shared.ports, station, template.is_v4()))
        };
        let outer = departure.map_or(0, |departure| departure.header.header_len());
        // 3. Room for all of it, then outer header, ESP header, IV, trailer.
        let fit = Fit::around(&inner, &template.layout)?;
        let part = usize::from(at)..usize::from(at) + usize::from(inner.len);
        packet.frame(part, outer + fit.before(), fit.behind(inner.len)).map_err(|_| DropReason::NoRoom)?;
        let frame = packet.data_mut();
        if departure.is_some_and(|departure| !departure.header.emit(frame)) {
            return Err(DropReason::NoRoom);
        }
        let esp_packet = &mut frame[outer..];
        encap::encap(esp_packet, template, sa.config.peer_spi, seq, inner, &fit)?;
        match pieces {
            Pieces::Policy => {}
            Pieces::One => template.set_dont_fragment(esp_packet, true),
            Pieces::Many => template.set_dont_fragment(esp_packet, false),
        }
        #[expect(clippy::cast_possible_truncation, reason = "an Ethernet header")]
        let outer = outer as u16;
        let egress = departure.map(|departure| departure.interface);
        Ok(Written { seq, egress, outer, esp: outer + fit.spans.esp })
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
pub(super) fn clamp_mss(packet: &mut [u8], flow: &Flow, over_v4: u16) {
    if flow.protocol == protocol::TCP && !flow.fragment {
        clamp_segment(packet, flow.header_len, flow.dst.is_ipv4(), over_v4);
    }
}

/// As [`clamp_mss`], for a packet that is known to hold the start of a TCP segment at `header_len`.
#[inline]
pub(super) fn clamp_segment(packet: &mut [u8], header_len: u16, is_v4: bool, over_v4: u16) {
    if over_v4 == 0 {
        return;
    }
    let mss = if is_v4 { over_v4 } else { over_v4.saturating_sub(20) };
    if let Some(segment) = packet.get_mut(usize::from(header_len)..) {
        tcp::clamp_mss(segment, mss);
    }
}

/// The largest packet of the SA that its path takes, bytes.
#[cold]
fn largest_sealed(child: Child<'_, Key>) -> u16 {
    let len = child.template.layout.sealed_len(child.entry.inner_mtu.into());
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Whom the SA's packets are sent to, if the neighbour is known: remembered for as long as that cannot have changed.
#[inline]
fn station_of(tables: &Tables, child: Child<'_, Key>) -> Option<Station> {
    let since = child.entry.since.max(tables.since());
    child.sa.remembered_station(since).or_else(|| find_station(tables, child))
}

#[cold]
fn find_station(tables: &Tables, child: Child<'_, Key>) -> Option<Station> {
    let Egress { interface, neighbour } = outer_egress(tables, child).ok()?;
    let station = Station::new(interface.id, tables.neighbours.reachable(interface.id, neighbour)?);
    child.sa.remember_station(tables.version(), station);
    Some(station)
}

fn outer_egress<'t>(tables: &'t Tables, child: Child<'t, Key>) -> Result<Egress<'t>, DropReason> {
    let endpoints = &child.template.endpoints;
    tables.egress(endpoints.vrf, endpoints.remote)
}

/// A packet that is to be laid out for an SA.
#[derive(Debug)]
pub(super) struct Laying<'t, B> {
    pub(super) packet: B,
    /// Offset of its IP header.
    pub(super) at: u16,
    pub(super) from: Option<InterfaceId>,
    pub(super) child: Child<'t, Key>,
    pub(super) inner: EncapInner,
    pub(super) pieces: Pieces,
}

/// What was written around an inner packet.
struct Written<'t> {
    seq: SeqNo,
    egress: Option<&'t Interface>,
    outer: u16,
    esp: u16,
}

impl<B: Buffer> Sealing<'_, B> {
    #[inline]
    fn job(&mut self) -> Job<'_> {
        let config = &self.child.sa.config;
        let esn_high = config.esn.then(|| self.seq.high());
        Job::encap(&config.key, &mut self.packet.data_mut()[usize::from(self.esp)..], esn_high)
    }
}
