//! The stages in order, over whatever buffers and devices there are.

use std::sync::Arc;

use arrayvec::ArrayVec;
use packet::decide::{FragmentTo, IkeStanding, Ingress, Outcome, decide_inner};
use packet::flow::Flow;
use packet::plain::Origin;
use packet::{DropReason, InterfaceId, VrfId};

use super::buffer::Buffer;
use super::burst::{Arrival, BURST, Burst, Inner, Onward, Pieces, Sending, Way};
use super::counters::{Figure, WorkerCounters};
use super::early::EarlyPackets;
use super::flows::FlowCache;
use super::identification::Identifications;
use super::outbound::{Laying, clamp_mss};
use super::overload::{HANDOFF_BATCH, Overload};
use super::reassemble::Incomplete;
use super::recent::Recent;
use super::scribe::Scribe;
use super::stopwatch::{Stage, Stopwatch};
use super::transmit::{Outbox, Transmit};
use crate::journey::Step;
use crate::shared::{Exception, ExceptionKind, Handoff, HandoffWork, Notice, Shared, Tables};

/// What each source but the receive queues may take of a burst: together half of it.
const HANDOFF_SHARE: usize = 20;
const AGENT_SHARE: usize = 8;
const EARLY_SHARE: usize = 4;
/// How long an early packet waits for its keys, milliseconds.
const PATIENCE_MS: u64 = 1000;
/// How long equal notices are told once only, milliseconds.
const NOTICE_MS: u64 = 500;

/// One worker's stages and what they write. Everything is allocated here, nothing per packet.
#[derive(Debug)]
pub struct Pipeline<B> {
    /// This worker.
    pub(super) index: u16,
    pub(super) shared: Arc<Shared<B>>,
    pub(super) crypto: Box<dyn crypto::Context>,
    pub(super) counters: WorkerCounters,
    pub(super) early: EarlyPackets<B>,
    pub(super) incomplete: Incomplete<B>,
    pub(super) identifications: Identifications,
    pub(super) outbox: Outbox<B>,
    pub(super) flows: FlowCache,
    pub(super) scribe: Scribe,
    pub(super) overload: Overload<B>,
    pub(super) spare: fn(&Shared<B>, usize) -> Option<B>,
    /// Time of the burst at hand, ticks.
    pub(super) now: u64,
    /// Workers that were given packets in this burst, a bit each.
    handed: u64,
    recent: Recent,
    stopwatch: Stopwatch,
}

/// What a pipeline is made of.
#[derive(Debug)]
pub struct PipelineParts<B> {
    /// Which worker it is: its place among the mailboxes.
    pub index: u16,
    /// Tables and queues.
    pub shared: Arc<Shared<B>>,
    /// The engine.
    pub crypto: Box<dyn crypto::Context>,
    /// This worker's lines of the counters page.
    pub counters: WorkerCounters,
    /// Early packets to hold at most.
    pub early_packets: usize,
    /// Incomplete packets to hold fragments of at most.
    pub reassembly_datagrams: usize,
    /// Gives an empty buffer with room for so many bytes, for fragments and for what is made of them.
    pub spare: fn(&Shared<B>, usize) -> Option<B>,
}

impl<B: Buffer> Pipeline<B> {
    /// A pipeline that has seen nothing yet.
    #[must_use]
    pub fn new(parts: PipelineParts<B>) -> Self {
        let PipelineParts { index, shared, crypto, counters, early_packets, reassembly_datagrams, spare } =
            parts;
        let per_ms = shared.ticks_per_second.div_ceil(1000);
        Self {
            index,
            early: EarlyPackets::new(early_packets, PATIENCE_MS * per_ms),
            incomplete: Incomplete::new(reassembly_datagrams, per_ms),
            identifications: Identifications::new(),
            outbox: Outbox::new(shared.ports.len()),
            flows: FlowCache::new(),
            scribe: Scribe::new(index, Arc::clone(&shared.stock)),
            overload: Overload::new(per_ms),
            recent: Recent::new(NOTICE_MS * per_ms),
            crypto,
            counters,
            shared,
            spare,
            now: 0,
            handed: 0,
            stopwatch: Stopwatch::default(),
        }
    }

    /// Adds what waits in this worker's mailbox and hold, as far as there is room. True if other workers gave it
    /// more than that.
    pub fn gather(&mut self, tables: &Tables, arrivals: &mut ArrayVec<Arrival<B>, BURST>, now: u64) -> bool {
        let mailbox = &self.shared.mailboxes[usize::from(self.index)];
        let share = if self.overload.is_behind() { HANDOFF_BATCH } else { HANDOFF_SHARE };
        let handoffs = std::iter::from_fn(|| mailbox.handoff.pop()).take(share).map(Arrival::Handoff);
        let taken = if self.overload.is_behind() {
            self.overload.stage(handoffs)
        } else {
            arrivals.extend(handoffs);
            arrivals.len()
        };
        let from_agent = std::iter::from_fn(|| mailbox.from_agent.pop()).take(AGENT_SHARE);
        arrivals.extend(from_agent.map(Arrival::Agent).take(arrivals.remaining_capacity()));
        self.scribe.begin_burst(now);
        self.expire_fragments(now);
        if self.early.is_empty() {
            return taken == share;
        }
        let version = tables.version();
        let early = std::iter::from_fn(|| self.early.due(version)).take(EARLY_SHARE);
        arrivals.extend(early.map(Arrival::Early).take(arrivals.remaining_capacity()));
        while let Some(early) = self.early.expired(now) {
            self.drop(early.packet, Some(early.interface), DropReason::SpiReserved);
        }
        self.counters.set(Figure::Held, self.early.len() as u64);
        taken == share
    }

    /// Takes a burst through all stages; `now` is in ticks. When it returns every packet is sent, handed
    /// over, left to the agent, held or dropped, and counted so; nothing refers to `tables` any more.
    pub fn process(
        &mut self,
        tables: &Tables,
        arrivals: &mut ArrayVec<Arrival<B>, BURST>,
        tx: &mut impl Transmit<B>,
        now: u64,
    ) {
        self.now = now;
        self.stopwatch.start(now, arrivals.len());
        self.follow_watchers();
        let mut burst = Burst::new();
        self.stopwatch.lap(Stage::Receive);
        // 1. Read headers and decide: what is ESP for us, what goes into a tunnel, what goes on as it is. Most
        //    packets are plain, and those before them tell where they go.
        self.express(tables, &mut burst, arrivals, tx);
        self.admit_all(tables, &mut burst, arrivals, tx);
        self.stopwatch.lap(Stage::Admit);
        // 2. Decrypt, check, and decide about what came out.
        self.open(tables, &mut burst.opening, &mut burst.onward, tx);
        self.stopwatch.lap(Stage::Open);
        // 3. Encrypt.
        self.seal(tables, &mut burst.onward, tx);
        self.stopwatch.lap(Stage::Seal);
        // 4. Find the neighbours, and transmit.
        self.send(tables, &mut burst.onward.sending, tx);
        self.outbox.flush(&mut self.counters, &mut self.scribe, tx);
        self.counters.flush();
        self.stopwatch.lap(Stage::Transmit);
        self.stopwatch.stop(&mut self.counters);
        self.wake_others();
    }

    /// Learns once per burst what is watched.
    #[inline]
    fn follow_watchers(&mut self) {
        let newer = &self.shared.mailboxes[usize::from(self.index)].lenses;
        if !newer.is_empty()
            && let Some(lenses) = newer.pop()
        {
            self.scribe.look_through(lenses);
        }
        self.scribe.begin_burst(self.now);
    }

    /// Ends the sleep of workers that were given packets. Only one in interrupt mode sleeps so that it must
    /// be woken, and only then is there a system call.
    fn wake_others(&mut self) {
        let mut handed = std::mem::take(&mut self.handed);
        while handed != 0 {
            if let Some(mailbox) = self.shared.mailboxes.get(handed.trailing_zeros() as usize) {
                mailbox.wake();
            }
            handed &= handed - 1;
        }
    }

    /// Follows what was decided about an inner packet.
    pub(super) fn follow<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        mut inner: Inner<B>,
        outcome: Outcome<'t, crypto::Key>,
        tx: &mut impl Transmit<B>,
    ) {
        match outcome {
            Outcome::Encapsulate(child) => self.encapsulate(tables, onward, inner, child, tx),
            Outcome::Forward(egress) => {
                if inner.ingress != Ingress::Own {
                    packet::headers::decrement_hop_limit(inner.packet.data_mut());
                }
                let way = Way::Via(egress, Some(inner.ingress));
                let sending = Sending { packet: inner.packet, from: inner.from, way };
                self.push_sending(tables, &mut onward.sending, sending, tx);
            }
            Outcome::Reassemble => self.reassemble_inner(tables, onward, inner, tx),
            Outcome::Local if inner.flow.fragment => self.reassemble_inner(tables, onward, inner, tx),
            Outcome::Local => {
                let kind = ExceptionKind::Local { ingress: inner.ingress };
                self.leave(inner.packet, inner.from, inner.vrf, kind);
            }
            Outcome::Acquire(tunnel) => {
                self.tell_acquire(tunnel, inner.vrf, &inner.flow);
                self.drop(inner.packet, inner.from, DropReason::AwaitingSa);
            }
            Outcome::TimeExceeded => {
                let kind = ExceptionKind::TimeExceeded { ingress: inner.ingress };
                self.drop_with_answer(inner, kind, DropReason::TtlExpired);
            }
            Outcome::TooBig { mtu } => {
                let kind = ExceptionKind::TooBig { mtu, ingress: inner.ingress };
                self.drop_with_answer(inner, kind, DropReason::NeedsFragmentation);
            }
            Outcome::Fragment { to: FragmentTo::Sealed(child), .. } => {
                self.encapsulate(tables, onward, inner, child, tx);
            }
            Outcome::Fragment { mtu, to } => self.fragment(tables, onward, inner, mtu, to, tx),
            Outcome::Drop(reason) => self.refuse(inner, reason),
        }
    }

    /// Drops a packet for which there is no way; now and then its sender is told.
    pub(super) fn refuse(&mut self, inner: Inner<B>, reason: DropReason) {
        let Inner { ingress, flow, .. } = inner;
        let kind = ExceptionKind::Unreachable { reason, ingress };
        if from_behind_us(ingress)
            && self.mailbox().is_quiet()
            && has_answer(reason)
            && self.recent.is_news(5 << 40 ^ u64::from(flow.hash()), self.now)
        {
            self.drop_with_answer(inner, kind, reason);
        } else {
            self.drop(inner.packet, inner.from, reason);
        }
    }

    /// Decides about an inner packet and follows that; remembers it for the flow of a packet with an origin.
    pub(super) fn decide<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        inner: Inner<B>,
        origin: Option<Origin>,
        tx: &mut impl Transmit<B>,
    ) {
        let outcome = decide_inner(tables, inner.vrf, &inner.flow, inner.ingress);
        if let Some(origin) = origin {
            self.remember(tables, &inner.flow, origin, &outcome);
        }
        self.scribe.note(&inner.packet, || Step::Decided {
            vrf: inner.vrf,
            ingress: inner.ingress,
            verdict: (&outcome).into(),
        });
        self.follow(tables, onward, inner, outcome, tx);
    }

    /// Queues an inner packet for its SA, here or at the SA's owner.
    pub(super) fn encapsulate<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        inner: Inner<B>,
        child: packet::sad::Child<'t, crypto::Key>,
        tx: &mut impl Transmit<B>,
    ) {
        let Inner { mut packet, from, vrf, ingress, flow } = inner;
        let owner = child.sa.owner();
        if owner != self.index {
            let work = HandoffWork::Seal { spi: child.entry.spi, vrf, ingress };
            return self.hand_over(owner, packet, from, work);
        }
        if ingress != Ingress::Own {
            packet::headers::decrement_hop_limit(packet.data_mut());
        }
        clamp_mss(packet.data_mut(), &flow, child.entry.mss);
        let pieces = if flow.len > child.entry.inner_mtu { Pieces::Many } else { Pieces::Policy };
        let laying = Laying { packet, at: 0, from, child, inner: (&flow).into(), pieces };
        self.lay_out(tables, onward, laying, tx);
    }

    /// Queues a packet for transmission; the array is full only when fragments made a burst longer.
    pub(super) fn push_sending<'t>(
        &mut self,
        tables: &'t Tables,
        queue: &mut ArrayVec<Sending<'t, B>, BURST>,
        sending: Sending<'t, B>,
        tx: &mut impl Transmit<B>,
    ) {
        if queue.is_full() {
            self.send(tables, queue, tx);
        }
        queue.push(sending);
    }

    /// Gives a packet to the worker that owns its SA.
    pub(super) fn hand_over(
        &mut self,
        owner: u16,
        mut packet: B,
        interface: Option<InterfaceId>,
        work: HandoffWork,
    ) {
        let journey = self.scribe.detach(&mut packet, owner);
        let handoff = Handoff { packet, interface, work, journey };
        let pushed = match self.shared.mailboxes.get(usize::from(owner)) {
            Some(mailbox) => mailbox.handoff.push(handoff),
            None => Err(handoff),
        };
        match pushed {
            Ok(()) => {
                self.counters.add(Figure::HandedOver, 1);
                self.handed |= 1 << owner;
            }
            Err(Handoff { mut packet, journey, .. }) => {
                self.scribe.attach(&mut packet, journey);
                self.drop(packet, interface, DropReason::HandoffFull);
            }
        }
    }

    /// Leaves a packet to the agent, which accounts for it from there.
    pub(super) fn leave(
        &mut self,
        mut packet: B,
        interface: Option<InterfaceId>,
        vrf: VrfId,
        kind: ExceptionKind,
    ) {
        if !self.has_room_for(kind) {
            return self.drop(packet, interface, DropReason::ExceptionFull);
        }
        let mark = self.scribe.depart(&mut packet);
        let exception = Exception { packet, interface, vrf, kind };
        let end = match self.mailbox().exceptions.push(exception) {
            Ok(()) => {
                self.counters.add(Figure::ToAgent, 1);
                Step::Left(kind)
            }
            Err(_) => {
                self.counters.drop(interface, DropReason::ExceptionFull);
                Step::Dropped(DropReason::ExceptionFull)
            }
        };
        self.scribe.end_departed(mark, || end);
    }

    /// A flood of one kind leaves room for what must not be starved by it: the last quarter of the queue is for IKE
    /// that goes on and neighbour discovery, half of that for the latter and for peers, and half of that for peers.
    fn has_room_for(&self, kind: ExceptionKind) -> bool {
        let sixteenths = match kind {
            ExceptionKind::Ike { standing: IkeStanding::Peer } => 16,
            ExceptionKind::Arp | ExceptionKind::Ndp => 15,
            ExceptionKind::Ike { standing: IkeStanding::Claimed } => 14,
            _ => 12,
        };
        let queue = &self.mailbox().exceptions;
        queue.len() < queue.capacity() * sixteenths / 16
    }

    /// Counts a packet as dropped and lends it to the agent for an ICMP answer; without room there is none.
    fn drop_with_answer(&mut self, mut inner: Inner<B>, kind: ExceptionKind, reason: DropReason) {
        self.counters.drop(inner.from, reason);
        self.scribe.end(&mut inner.packet, || Step::Dropped(reason));
        if !self.has_room_for(kind) {
            return;
        }
        let exception = Exception { packet: inner.packet, interface: inner.from, vrf: inner.vrf, kind };
        drop(self.mailbox().exceptions.push(exception));
    }

    /// The end of a packet's journey that is no delivery: exactly one reason.
    #[inline]
    pub(super) fn drop(&mut self, mut packet: B, from: Option<InterfaceId>, reason: DropReason) {
        self.counters.drop(from, reason);
        self.scribe.end(&mut packet, || Step::Dropped(reason));
        drop(packet);
    }

    /// Tells the agent something; a hint that finds the queue full is counted and lost.
    #[cold]
    pub(super) fn tell(&mut self, notice: Notice) {
        if self.mailbox().notices.push(notice).is_err() {
            self.counters.add(Figure::NoticesLost, 1);
        }
    }

    /// Tells something once in a while; `key` says what counts as the same.
    #[cold]
    pub(super) fn tell_once(&mut self, key: u64, notice: Notice) {
        if self.recent.is_news(key, self.now) {
            self.tell(notice);
        }
    }

    fn tell_acquire(&mut self, tunnel: packet::TunnelId, vrf: VrfId, flow: &Flow) {
        let (src_port, dst_port) = flow.ports.map_or((0, 0), |ports| (ports.src, ports.dst));
        let (src, dst, protocol) = (flow.src, flow.dst, flow.protocol);
        let notice = Notice::Acquire { tunnel, vrf, src, dst, protocol, src_port, dst_port };
        self.tell_once(1 << 40 | u64::from(tunnel.0), notice);
    }

    fn mailbox(&self) -> &crate::shared::Mailbox<B> {
        &self.shared.mailboxes[usize::from(self.index)]
    }

    /// Packets that this pipeline holds; with what lies in queues, what a balance is short of.
    #[must_use]
    pub fn held(&self) -> usize {
        self.early.len() + self.incomplete.held()
    }
}

/// True if the sender of a packet may be told what became of it: outside, it may be anybody.
pub(super) fn from_behind_us(ingress: Ingress) -> bool {
    matches!(ingress, Ingress::Inside | Ingress::Tunnel(_))
}

/// True for the reasons that an ICMP error can tell (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
fn has_answer(reason: DropReason) -> bool {
    use DropReason::{
        CleartextRefused, NeighbourFailed, NoActiveTunnel, NoMatchingSelector, NoRoute, TunnelDown,
    };
    matches!(
        reason,
        NoRoute | TunnelDown | NoActiveTunnel | NoMatchingSelector | CleartextRefused | NeighbourFailed
    )
}
