//! Inbound ESP (RFC 4303 section 3.4): find the SA, check replay, decrypt, check again, decide.

use arrayvec::ArrayVec;
use crypto::{Job, Status};
use packet::decide::Ingress;
use packet::esp::decap::{self, Opened};
use packet::esp::{Encap, Verdict};
use packet::sad::{Charge, SpiLookup};
use packet::{DropReason, TunnelId};

use super::buffer::Buffer;
use super::burst::{BURST, Incoming, Inner, Onward, Opening};
use super::early::EarlyPacket;
use super::outbound::clamp_mss;
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::journey::{Heading, Point, Step};
use crate::shared::{Direction, HandoffWork, Limit, Notice, Tables};

impl<B: Buffer> Pipeline<B> {
    /// Leads an ESP packet to its SA, or to whoever owns it.
    pub(super) fn find_sa<'t>(
        &mut self,
        tables: &'t Tables,
        opening: &mut ArrayVec<Opening<'t, B>, BURST>,
        incoming: Incoming<'t, B>,
    ) {
        let from = Some(incoming.interface.id);
        match tables.sad().lookup_inbound(incoming.esp.spi) {
            SpiLookup::Sa(_, sa) if sa.owner() != self.index => {
                let work = HandoffWork::Open { largest: incoming.past.largest };
                self.hand_over(sa.owner(), incoming.packet, from, work);
            }
            SpiLookup::Sa(entry, sa) => {
                sa.config.key.prefetch();
                self.scribe.shoot(&incoming.packet, Point::PostCrypto, Heading::In, from);
                match Opening::new(incoming, entry, sa) {
                    Ok(opened) => {
                        self.scribe.note(&opened.packet, || Step::Sa { spi: entry.spi, seq: opened.seq });
                        opening.push(opened);
                    }
                    Err((packet, reason)) => {
                        if matches!(reason, DropReason::ReplayOld | DropReason::ReplayDuplicate) {
                            sa.count_replay();
                        }
                        self.drop(packet, from, reason);
                    }
                }
            }
            SpiLookup::Reserved(_) => self.hold(incoming),
            SpiLookup::Unknown => {
                let Incoming { packet, interface, outer, esp, .. } = incoming;
                self.scribe.shoot(&packet, Point::PostCrypto, Heading::In, from);
                let notice =
                    Notice::InvalidSpi { vrf: interface.vrf, src: outer.src, dst: outer.dst, spi: esp.spi };
                // Few keys for all the SPIs that a stranger can invent: they must not crowd out other notices.
                self.tell_once(2 << 40 | u64::from(esp.spi & 7), notice);
                self.drop(packet, from, DropReason::SpiInvalid);
            }
        }
    }

    /// Keeps a packet that came before its keys.
    #[cold]
    fn hold(&mut self, incoming: Incoming<'_, B>) {
        let Incoming { packet, interface, esp, past, .. } = incoming;
        self.scribe.note(&packet, || Step::Waits { spi: esp.spi });
        let early = EarlyPacket { packet, interface: interface.id, spi: esp.spi, deadline: past.deadline };
        if let Err(early) = self.early.hold(early) {
            self.drop(early.packet, Some(early.interface), DropReason::SpiReserved);
        }
    }

    /// Decrypts the burst's ESP packets and follows what is decided about the inner ones.
    pub(super) fn open<'t>(
        &mut self,
        tables: &'t Tables,
        opening: &mut ArrayVec<Opening<'t, B>, BURST>,
        onward: &mut Onward<'t, B>,
        tx: &mut impl Transmit<B>,
    ) {
        if opening.is_empty() {
            return;
        }
        let mut jobs: ArrayVec<Job<'_>, BURST> = opening.iter_mut().map(Opening::job).collect();
        self.crypto.open(&mut jobs);
        let statuses: ArrayVec<Status, BURST> = jobs.iter().map(Job::status).collect();
        drop(jobs);
        for (mut opened, status) in opening.drain(..).zip(statuses) {
            let from = Some(opened.interface.id);
            match self.accept(tables, &mut opened, status) {
                Ok(inner) => self.decide_opened(tables, onward, opened, &inner, tx),
                Err(reason) => {
                    opened.count(reason);
                    self.drop(opened.packet, from, reason);
                }
            }
        }
    }

    /// Everything after decryption: the tag, replay once more, the inner packet, the limits.
    #[inline]
    fn accept(
        &mut self,
        tables: &Tables,
        opened: &mut Opening<'_, B>,
        status: Status,
    ) -> Result<Opened, DropReason> {
        // 1. The tag. The buffer of a failed job holds no plaintext.
        match status {
            Status::Ok => {}
            Status::AuthFailed => return Err(DropReason::AuthenticationFailed),
            Status::BadLength => return Err(DropReason::EspLength),
            Status::Pending | Status::WrongBackend => return Err(DropReason::CryptoFailed),
        }
        // 2. Replay, again: two copies may have been in one batch. From here on the packet is the peer's.
        let verdict = opened.sa.replay.mark(opened.seq)?;
        let spi = opened.entry.spi;
        if opened.sa.usage.first_use() {
            self.tell(Notice::FirstUse { spi });
        }
        if verdict == Verdict::Advanced {
            self.note_peer(opened);
        }
        // 3. Padding, next header, inner header, selectors, ECN.
        let Opening { packet, spans, outer, entry, sa, .. } = opened;
        let inner = decap::finish(packet.data_mut(), spans, outer.traffic_class, &entry.selectors)?;
        // 4. The limits of its connection: not before, or a forger could use them up.
        self.police(tables, entry.tunnel, Direction::Inbound, inner.flow.len)?;
        // 5. Volume.
        match sa.usage.charge(inner.flow.len, self.now) {
            Charge::Within => {}
            Charge::SoftLimit(kind) => {
                let (direction, limit) = (Direction::Inbound, Limit::Volume(kind));
                self.tell(Notice::SoftLimit { spi, direction, limit });
            }
            Charge::HardLimit { kind, first } => {
                if first {
                    let (direction, limit) = (Direction::Inbound, Limit::Volume(kind));
                    self.tell(Notice::HardLimit { spi, direction, limit });
                }
                return Err(DropReason::LifetimeExceeded);
            }
        }
        Ok(inner)
    }

    /// Asks the limits of a tunnel's connection for one inner packet.
    #[inline]
    pub(super) fn police(
        &self,
        tables: &Tables,
        tunnel: TunnelId,
        direction: Direction,
        len: u16,
    ) -> Result<(), DropReason> {
        match tables.policer(tunnel) {
            None => Ok(()),
            Some(policer) => policer.admit(direction, len, self.index, self.now),
        }
    }

    /// Tells when the newest authentic packet came from another address (RFC 7296 section 2.23).
    #[inline]
    fn note_peer(&mut self, opened: &Opening<'_, B>) {
        let Some(template) = &opened.entry.template else { return };
        let known = &template.endpoints;
        let port = opened.udp_port.unwrap_or(0);
        let same_port = match known.encap {
            Encap::Udp { remote_port, .. } => remote_port == port,
            Encap::Native => opened.udp_port.is_none(),
        };
        if known.remote == opened.outer.src && same_port {
            return;
        }
        let spi = opened.entry.spi;
        let notice = Notice::PeerMoved { spi, remote: opened.outer.src, port };
        self.tell_once(3 << 40 ^ u64::from(spi.value()) << 8 ^ u64::from(opened.outer.hash()) << 16, notice);
    }

    /// The one decision about a decapsulated packet.
    #[inline]
    fn decide_opened<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        opened: Opening<'t, B>,
        inner: &Opened,
        tx: &mut impl Transmit<B>,
    ) {
        let Opening { mut packet, interface, entry, outer, largest, .. } = opened;
        let from = Some(interface.id);
        let start = usize::from(inner.offset);
        if packet.keep(start..start + usize::from(inner.flow.len)).is_err() {
            return self.drop(packet, from, DropReason::InnerInvalid);
        }
        let Some(tunnel) = tables.tunnel(entry.tunnel) else {
            return self.drop(packet, from, DropReason::TunnelMissing);
        };
        let flow = inner.flow;
        self.scribe.note(&packet, || Step::Opened { spi: entry.spi });
        self.scribe.note(&packet, || Step::Header(flow));
        self.scribe.shoot(&packet, Point::PreCrypto, Heading::In, from);
        if tunnel.probe == Some(flow.src) {
            self.note_answer(tunnel.id, packet.data(), &flow, outer.len, largest);
        }
        // What the peer's side may send must also fit our way back to it.
        clamp_mss(&mut packet, &flow, entry.mss);
        let ingress = Ingress::Tunnel(entry.tunnel);
        let decapsulated = Inner { packet, from, vrf: tunnel.inner_vrf, ingress, flow };
        if inner.needs_whole {
            return self.reassemble_opened(tables, onward, decapsulated, entry, tx);
        }
        self.decide(tables, onward, decapsulated, tx);
    }
}

impl<'t, B: Buffer> Opening<'t, B> {
    /// All checks that cost no cryptography.
    #[inline]
    fn new(
        incoming: Incoming<'t, B>,
        entry: &'t packet::sad::SadEntry<crypto::Key>,
        sa: &'t packet::sad::InboundSa<crypto::Key>,
    ) -> Result<Self, (B, DropReason)> {
        let Incoming { packet, interface, outer, udp_port, esp, past } = incoming;
        let largest = past.largest;
        let ours = entry.template.as_ref().is_some_and(|template| {
            template.endpoints.vrf == interface.vrf && template.endpoints.local == outer.dst
        });
        let checked = if ours { Ok(()) } else { Err(DropReason::OuterMismatch) }
            .and_then(|()| esp.plan(&sa.config.geometry))
            .and_then(|spans| {
                let seq = sa.replay.infer(esp.sequence_low, sa.config.esn)?;
                sa.replay.check(seq)?;
                Ok((spans, seq))
            });
        match checked {
            Ok((spans, seq)) => {
                Ok(Self { packet, interface, outer, udp_port, largest, entry, sa, seq, spans })
            }
            Err(reason) => Err((packet, reason)),
        }
    }

    #[inline]
    fn job(&mut self) -> Job<'_> {
        let esp = usize::from(self.spans.esp)..usize::from(self.spans.end);
        let esn_high = self.sa.config.esn.then(|| self.seq.high());
        Job::decap(&self.sa.config.key, &mut self.packet.data_mut()[esp], esn_high)
    }

    /// Counts a drop after decryption beside its SA.
    #[cold]
    fn count(&self, reason: DropReason) {
        match reason {
            DropReason::AuthenticationFailed => self.sa.count_authentication_failure(),
            DropReason::ReplayOld | DropReason::ReplayDuplicate => self.sa.count_replay(),
            DropReason::InnerSelector => self.sa.count_selector_failure(),
            DropReason::PolicerBandwidth | DropReason::PolicerPackets => self.sa.count_policed(),
            _ => {}
        }
    }
}
