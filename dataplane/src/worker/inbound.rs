//! Inbound ESP (RFC 4303 section 3.4): find the SA, check replay, decrypt, check again, decide.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr;

use arrayvec::ArrayVec;
use crypto::{Job, Status};
use packet::decide::Ingress;
use packet::esp::decap::{self, Opened, Payload};
use packet::esp::{EspSpans, SeqNo, Verdict};
use packet::flow::Flow;
use packet::plain::{Origin, Plain};
use packet::sad::{Charge, InboundSa, SadEntry, SpiLookup, Usage};
use packet::{DropReason, Spi, TunnelId};

use super::buffer::Buffer;
use super::burst::{BURST, Incoming, Inner, Onward, Opening, Openings};
use super::early::EarlyPacket;
use super::express::Ready;
use super::flows::{Memory, Place};
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
        opening: &mut Openings<'t, B>,
        incoming: Incoming<'t, B>,
    ) {
        let found = tables.sad().lookup_inbound(incoming.esp.spi);
        self.lead(found, opening, incoming);
    }

    /// As [`Pipeline::find_sa`], where it was found already.
    #[inline(always)]
    pub(super) fn lead<'t>(
        &mut self,
        found: SpiLookup<'t, crypto::Key>,
        opening: &mut Openings<'t, B>,
        incoming: Incoming<'t, B>,
    ) {
        let from = Some(incoming.interface.id);
        match found {
            SpiLookup::Sa(_, sa) if sa.owner() != self.index => {
                let work = HandoffWork::Open { largest: incoming.past.largest };
                self.hand_over(sa.owner(), incoming.packet, from, work);
            }
            SpiLookup::Sa(entry, sa) => {
                if opening.cards.last().is_none_or(|before| !ptr::eq(before.sa, sa)) {
                    sa.config.key.prefetch_to_open();
                }
                self.scribe.shoot(&incoming.packet, Point::PostCrypto, Heading::In, from);
                match check(&incoming, entry, sa) {
                    Ok((spans, seq)) => {
                        let Incoming { packet, interface, outer, udp_port, past, .. } = incoming;
                        self.scribe.note(&packet, || Step::Sa { spi: entry.spi, seq });
                        dpdk::prefetch(sa.replay.word(seq));
                        let largest = past.largest;
                        opening.packets.push(packet);
                        opening.cards.push(Opening {
                            interface,
                            outer,
                            udp_port,
                            largest,
                            entry,
                            sa,
                            seq,
                            spans,
                        });
                    }
                    Err(reason) => {
                        if matches!(reason, DropReason::ReplayOld | DropReason::ReplayDuplicate) {
                            sa.count_replay();
                        }
                        self.drop(incoming.packet, from, reason);
                    }
                }
            }
            SpiLookup::Reserved(_) => self.hold(incoming),
            SpiLookup::Unknown => self.refuse_spi(incoming),
        }
    }

    /// Drops a packet for an SA that we do not have, and tells of it now and then.
    #[cold]
    fn refuse_spi(&mut self, incoming: Incoming<'_, B>) {
        let Incoming { packet, interface, esp, .. } = incoming;
        let from = Some(interface.id);
        self.scribe.shoot(&packet, Point::PostCrypto, Heading::In, from);
        if let Ok(Flow { src, dst, .. }) = Flow::parse_received(packet.data(), Some(true)) {
            let notice = Notice::InvalidSpi { vrf: interface.vrf, src, dst, spi: esp.spi };
            // Few keys for all the SPIs that a stranger can invent: they must not crowd out other notices.
            self.tell_once(2 << 40 | u64::from(esp.spi & 7), notice);
        }
        self.drop(packet, from, DropReason::SpiInvalid);
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
    #[inline(never)]
    pub(super) fn open<'t>(
        &mut self,
        tables: &'t Tables,
        opening: &mut Openings<'t, B>,
        onward: &mut Onward<'t, B>,
        tx: &mut impl Transmit<B>,
    ) {
        let Openings { packets, cards } = opening;
        if packets.is_empty() {
            return;
        }
        // 1. The burst's cryptography in one call.
        let mut jobs = ArrayVec::<Job<'_>, BURST>::new();
        jobs.extend(packets.iter_mut().zip(&*cards).map(|(packet, opened)| opened.job(packet)));
        self.crypto.open(&mut jobs);
        let mut statuses = ArrayVec::<Status, BURST>::new();
        statuses.extend(jobs.iter().map(Job::status));
        drop(jobs);
        // 2. Whether they are the peer's, and what they carry.
        let mut carried = ArrayVec::<_, BURST>::new();
        for ((packet, opened), status) in packets.iter().zip(&*cards).zip(&statuses) {
            let payload = self.authenticate(packet.data(), opened, *status);
            carried.push(self.look_inside(packet.data(), opened, payload));
        }
        // 3. What is remembered about that: asked for the whole burst before any of it is decided about, so that
        //    the packets of a flow take the same lane, in their order.
        for (carried, opened) in carried.iter_mut().zip(&*cards) {
            let Carried { plain, place, remembered, .. } = carried;
            let since = opened.entry.since.max(tables.since());
            *remembered = plain.and_then(|plain| self.flows.lookup(*place, &plain.key, since));
        }
        // 4. Where it goes.
        for ((packet, opened), carried) in packets.drain(..).zip(&*cards).zip(&carried) {
            match carried.refused {
                None => self.admit_opened(tables, onward, packet, opened, carried, tx),
                Some(reason) => self.drop_opened(packet, opened, reason),
            }
        }
        cards.clear();
    }

    /// Everything after decryption that concerns the SA and not what it carries: the tag, replay once more,
    /// the padding.
    #[inline]
    fn authenticate(
        &mut self,
        packet: &[u8],
        opened: &Opening<'_>,
        status: Status,
    ) -> Result<Payload, DropReason> {
        // 1. The tag. The buffer of a failed job holds no plaintext.
        if status != Status::Ok {
            return Err(unopened(status));
        }
        // 2. Replay, again: two copies may have been in one batch. From here on the packet is the peer's.
        let verdict = opened.sa.replay.mark(opened.seq)?;
        if opened.sa.usage.first_use() {
            self.tell(Notice::FirstUse { spi: opened.entry.spi });
        }
        if verdict == Verdict::Advanced {
            self.note_peer(packet, opened);
        }
        // 3. Padding and next header.
        decap::strip(packet, &opened.spans)
    }

    /// Reads the inner headers, if they are plain, and asks the cache for what was decided about such packets.
    #[inline]
    fn look_inside(
        &self,
        packet: &[u8],
        opened: &Opening<'_>,
        payload: Result<Payload, DropReason>,
    ) -> Carried {
        let nothing = Payload { start: 0, end: 0 };
        let (payload, refused) = match payload {
            Ok(payload) => (payload, None),
            Err(reason) => (nothing, Some(reason)),
        };
        let inner = &packet[usize::from(payload.start)..usize::from(payload.end)];
        let plain = Plain::read(inner, None, Origin::sa(opened.entry.spi));
        let place = plain.map_or(Place::default(), |plain| self.flows.place(&plain.key));
        Carried { payload, refused, place, plain, remembered: None }
    }

    /// Follows what is remembered about an authenticated packet, or decides about it.
    #[inline]
    fn admit_opened<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        mut packet: B,
        opened: &Opening<'t>,
        carried: &Carried,
        tx: &mut impl Transmit<B>,
    ) {
        let Carried { payload, plain, remembered, .. } = carried;
        if let Some(plain) = plain
            && let Some(station) = self.station_for(tables, onward, *remembered, plain)
        {
            match self.check_carried(tables, &mut packet, opened, *payload, plain) {
                Ok(()) => {
                    let start = usize::from(payload.start);
                    let part = start..start + usize::from(plain.facts.len());
                    let (from, mss) = (opened.interface.id, opened.entry.mss);
                    self.forward_plain(tables, onward, Ready { packet, part, from, mss, station, plain }, tx);
                }
                Err(reason) => self.drop_opened(packet, opened, reason),
            }
            return;
        }
        let Opening { outer, entry, .. } = opened;
        let inner = decap::inspect(packet.data_mut(), *payload, outer.traffic_class, &entry.selectors);
        match inner.and_then(|inner| self.charge_opened(tables, opened, inner.flow.len).map(|()| inner)) {
            Ok(inner) => self.decide_opened(tables, onward, packet, opened, &inner, tx),
            Err(reason) => self.drop_opened(packet, opened, reason),
        }
    }

    /// What selectors and the decision leave to be checked of each packet of a remembered flow.
    #[inline]
    fn check_carried(
        &mut self,
        tables: &Tables,
        packet: &mut B,
        opened: &Opening<'_>,
        payload: Payload,
        plain: &Plain,
    ) -> Result<(), DropReason> {
        let inner = &mut packet.data_mut()[usize::from(payload.start)..usize::from(payload.end)];
        decap::carry_congestion(inner, plain.facts.traffic_class(), opened.outer.traffic_class)?;
        self.charge_opened(tables, opened, plain.facts.len())
    }

    #[cold]
    fn drop_opened(&mut self, packet: B, opened: &Opening<'_>, reason: DropReason) {
        opened.count(reason);
        self.drop(packet, Some(opened.interface.id), reason);
    }

    /// Charges the connection and the SA for an authentic packet: not before, or a forger could use them up.
    #[inline(always)]
    fn charge_opened(&mut self, tables: &Tables, opened: &Opening<'_>, len: u16) -> Result<(), DropReason> {
        let Opening { entry, sa, .. } = opened;
        self.police(tables, entry.tunnel, Direction::Inbound, len)?;
        self.charge(&sa.usage, entry.spi, Direction::Inbound, len)
    }

    /// Charges one half of an SA for a packet of `len` bytes, and tells when a limit is reached.
    #[inline]
    pub(super) fn charge(
        &mut self,
        usage: &Usage,
        spi: Spi,
        direction: Direction,
        len: u16,
    ) -> Result<(), DropReason> {
        match usage.charge(len, self.now) {
            Charge::Within => Ok(()),
            reached => self.tell_limit(reached, spi, direction),
        }
    }

    #[cold]
    fn tell_limit(&mut self, reached: Charge, spi: Spi, direction: Direction) -> Result<(), DropReason> {
        match reached {
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
    fn note_peer(&mut self, packet: &[u8], opened: &Opening<'_>) {
        let Some(template) = &opened.entry.template else { return };
        if !template.is_from_peer(packet, opened.udp_port) {
            self.tell_moved(packet, opened);
        }
    }

    #[cold]
    fn tell_moved(&mut self, packet: &[u8], opened: &Opening<'_>) {
        let Ok(Flow { src: remote, .. }) = Flow::parse_received(packet, Some(true)) else {
            return;
        };
        let (spi, port) = (opened.entry.spi, opened.udp_port.unwrap_or(0));
        let mut hasher = DefaultHasher::new();
        (spi, remote, port).hash(&mut hasher);
        self.tell_once(hasher.finish(), Notice::PeerMoved { spi, remote, port });
    }

    /// The one decision about a decapsulated packet.
    #[inline]
    fn decide_opened<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        mut packet: B,
        opened: &Opening<'t>,
        inner: &Opened,
        tx: &mut impl Transmit<B>,
    ) {
        let Opening { interface, entry, outer, largest, .. } = opened;
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
        // Each packet of the probe's target is looked at: none of its flows is remembered.
        let is_probed = tunnel.probe == Some(flow.src);
        if is_probed {
            self.note_answer(tunnel.id, packet.data(), &flow, outer.len, *largest);
        }
        // What the peer's side may send must also fit our way back to it.
        clamp_mss(packet.data_mut(), &flow, entry.mss);
        let ingress = Ingress::Tunnel(entry.tunnel);
        let decapsulated = Inner { packet, from, vrf: tunnel.inner_vrf, ingress, flow };
        if inner.needs_whole {
            return self.reassemble_opened(tables, onward, decapsulated, entry, tx);
        }
        let origin = Origin::sa(entry.spi);
        self.decide(tables, onward, decapsulated, (!is_probed).then_some(origin), tx);
    }
}

/// What became of an ESP packet: its payload, or why it is dropped.
struct Carried {
    payload: Payload,
    refused: Option<DropReason>,
    /// Where the flow may be remembered, of a plain packet.
    place: Place,
    /// Its headers if they are plain.
    plain: Option<Plain>,
    remembered: Option<Memory>,
}

/// Why a packet is dropped whose job did not end well.
#[cold]
fn unopened(status: Status) -> DropReason {
    match status {
        Status::AuthFailed => DropReason::AuthenticationFailed,
        Status::BadLength => DropReason::EspLength,
        Status::Ok | Status::Pending | Status::WrongBackend => DropReason::CryptoFailed,
    }
}

/// All checks of an ESP packet that cost no cryptography.
#[inline(always)]
fn check<B: Buffer>(
    incoming: &Incoming<'_, B>,
    entry: &SadEntry<crypto::Key>,
    sa: &InboundSa<crypto::Key>,
) -> Result<(EspSpans, SeqNo), DropReason> {
    let Incoming { packet, interface, esp, .. } = incoming;
    let ours = entry
        .template
        .as_deref()
        .is_some_and(|template| template.endpoints.vrf == interface.vrf && template.is_for_us(packet.data()));
    if !ours {
        return Err(DropReason::OuterMismatch);
    }
    let spans = esp.plan(&sa.config.geometry)?;
    let seq = sa.replay.infer(esp.sequence_low, sa.config.esn)?;
    sa.replay.check(seq)?;
    Ok((spans, seq))
}

impl Opening<'_> {
    #[inline]
    fn job<'a, B: Buffer>(&'a self, packet: &'a mut B) -> Job<'a> {
        let esp = usize::from(self.spans.esp)..usize::from(self.spans.end);
        let esn_high = self.sa.config.esn.then(|| self.seq.high());
        Job::decap(&self.sa.config.key, &mut packet.data_mut()[esp], esn_high)
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
