//! Fragments that must become whole before their packet is looked at: those for us, and inner ones of which the
//! selectors of an SA want to see the ports (RFC 4301 section 7). The packet then starts anew.
//!
//! Those of an outer packet may come in by any outside interface of the VRF; those of an inner one belong
//! together only if they came in the same way, so that no tunnel can complete the packet of another.

use packet::decide::Ingress;
use packet::flow::Flow;
use packet::reassembly::{Complete, Fragment, Limits, Reassembly};
use packet::sad::SadEntry;
use packet::selectors::{Fit, fit_inbound};
use packet::tables::Interface;
use packet::{DropReason, InterfaceId, Spi, VrfId};

use super::buffer::Buffer;
use super::burst::{Burst, Inner, Onward, Past};
use super::counters::{Figure, WorkerCounters};
use super::pipeline::{Pipeline, from_behind_us};
use super::scribe::Scribe;
use super::transmit::Transmit;
use crate::journey::Step;
use crate::shared::{Exception, ExceptionKind, Mailbox, Tables};

/// The fragments that one worker holds. Two holds, so that strangers outside and hosts inside cannot take each
/// other's places.
#[derive(Debug)]
pub(super) struct Incomplete<B> {
    outer: Reassembly<Scope, Held<B>>,
    inner: Reassembly<Scope, Held<B>>,
}

/// Within which fragments belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The VRF.
    Outer(VrfId),
    /// And how they came in.
    Inner(VrfId, Ingress),
    /// The SA by which they came in: its selectors are still to check the whole.
    Sa(Spi),
}

/// How long the fragments of a packet may take, milliseconds. They leave their sender at once; 60 seconds, as
/// RFC 8200 has it, would only serve a flood.
const PATIENCE_MS: u64 = 5000;

/// A held fragment, with where it came in: a drop is counted there.
#[derive(Debug)]
pub(super) struct Held<B> {
    packet: B,
    from: Option<InterfaceId>,
    /// Whose sender is told if the others do not come (RFC 1122 section 3.3.2, RFC 8200 section 4.5): that of a
    /// first fragment from behind us or from a tunnel. Who sends to us from outside may be anybody.
    answerable: Option<(VrfId, Ingress)>,
}

impl<B> Incomplete<B> {
    /// Room for the fragments of `datagrams` packets, half of it for inner ones; one source may have a quarter.
    pub(super) fn new(datagrams: usize, ticks_per_ms: u64) -> Self {
        let limits = Limits {
            datagrams: datagrams.div_ceil(2),
            per_source: datagrams.div_ceil(4),
            patience: PATIENCE_MS * ticks_per_ms,
        };
        Self { outer: Reassembly::new(limits), inner: Reassembly::new(limits) }
    }

    /// How many fragments are held.
    pub(super) fn held(&self) -> usize {
        self.outer.held() + self.inner.held()
    }
}

impl<B: Buffer> Pipeline<B> {
    /// Takes a fragment that came to an address of ours on an outside interface.
    #[cold]
    pub(super) fn reassemble_outer<'t>(
        &mut self,
        tables: &'t Tables,
        burst: &mut Burst<'t, B>,
        packet: B,
        interface: &'t Interface,
        flow: Flow,
        tx: &mut impl Transmit<B>,
    ) {
        let (from, vrf) = (interface.id, interface.vrf);
        let known = tables.is_peer(vrf, flow.src);
        let held = Held { packet, from: Some(from), answerable: None };
        if let Some((whole, largest)) = self.reassemble(held, Scope::Outer(vrf), &flow, known) {
            let past = Past { deadline: self.early.deadline(self.now), largest };
            self.admit_outer(tables, burst, whole, from, past, tx);
        }
    }

    /// Takes a fragment of an inner packet for an address of ours, or for an SA whose selectors name ports.
    #[cold]
    pub(super) fn reassemble_inner<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        inner: Inner<B>,
        tx: &mut impl Transmit<B>,
    ) {
        let scope = Scope::Inner(inner.vrf, inner.ingress);
        if let Some(whole) = self.whole_inner(inner, scope) {
            self.decide(tables, onward, whole, None, tx);
        }
    }

    /// Takes a decapsulated fragment; the selectors of its SA check the whole.
    #[cold]
    pub(super) fn reassemble_opened<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        inner: Inner<B>,
        entry: &SadEntry<crypto::Key>,
        tx: &mut impl Transmit<B>,
    ) {
        let Some(whole) = self.whole_inner(inner, Scope::Sa(entry.spi)) else { return };
        if fit_inbound(&entry.selectors, &whole.flow) == Fit::Matches {
            return self.decide(tables, onward, whole, None, tx);
        }
        if let Some(sa) = &entry.inbound {
            sa.count_selector_failure();
        }
        self.drop(whole.packet, whole.from, DropReason::InnerSelector);
    }

    /// Holds a fragment of an inner packet; returns the packet that it completes.
    fn whole_inner(&mut self, inner: Inner<B>, scope: Scope) -> Option<Inner<B>> {
        let Inner { packet, from, vrf, ingress, flow } = inner;
        // Out of a tunnel comes what a peer has authenticated.
        let known = matches!(ingress, Ingress::Tunnel(_));
        let answerable = from_behind_us(ingress).then_some((vrf, ingress));
        let held = Held { packet, from, answerable };
        let (packet, largest_fragment) = self.reassemble(held, scope, &flow, known)?;
        let reason = match Flow::parse(packet.data()) {
            Ok(flow) if !flow.fragment => {
                return Some(Inner { packet, from, vrf, ingress, flow: Flow { largest_fragment, ..flow } });
            }
            Ok(_) => DropReason::FragmentInvalid,
            Err(reason) => reason,
        };
        self.drop(packet, from, reason);
        None
    }

    /// Holds a fragment; returns the packet that it completes, and the length of its largest fragment.
    fn reassemble(
        &mut self,
        mut fragment: Held<B>,
        scope: Scope,
        flow: &Flow,
        known: bool,
    ) -> Option<(B, u16)> {
        let parsed = match Fragment::parse(scope, fragment.packet.data(), flow) {
            Ok(parsed) => parsed,
            Err(reason) => {
                self.drop(fragment.packet, fragment.from, reason);
                return None;
            }
        };
        fragment.answerable = fragment.answerable.filter(|_| parsed.is_first());
        self.scribe.note(&fragment.packet, || Step::Collected);
        let Self { incomplete, counters, scribe, now, .. } = self;
        let hold = match scope {
            Scope::Outer(_) | Scope::Inner(_, Ingress::Outside) => &mut incomplete.outer,
            Scope::Inner(..) | Scope::Sa(_) => &mut incomplete.inner,
        };
        let complete = hold.insert(parsed, known, fragment, *now, &mut refusal(counters, scribe));
        self.counters.set(Figure::FragmentsHeld, self.incomplete.held() as u64);
        let complete = complete?;
        let largest = complete.largest_fragment();
        Some((self.merge(complete)?, largest))
    }

    /// Makes one packet of the fragments.
    fn merge(&mut self, complete: Complete<Held<B>>) -> Option<B> {
        let merged = match self.spare(complete.packet_len()) {
            Some(mut whole) => complete.write(|held| held.packet.data(), whole.data_mut()).map(|()| whole),
            None => Err(DropReason::BufferExhausted),
        };
        match merged {
            Ok(mut whole) => {
                let fragments = complete.fragments();
                self.counters.add(Figure::Merged, fragments as u64 - 1);
                if self.scribe.is_awake() {
                    self.scribe.begin(&mut whole, || Step::Whole { fragments });
                    self.scribe.note_header(&whole);
                    complete
                        .into_buffers()
                        .for_each(|mut held| self.scribe.end(&mut held.packet, || Step::Merged));
                }
                Some(whole)
            }
            Err(reason) => {
                complete.into_buffers().for_each(|held| self.drop(held.packet, held.from, reason));
                None
            }
        }
    }

    /// Gives up what did not become whole in time.
    #[inline]
    pub(super) fn expire_fragments(&mut self, now: u64) {
        let Self { incomplete, counters, scribe, shared, index, .. } = self;
        let before = incomplete.held();
        incomplete.outer.expire(now, &mut refusal(counters, scribe));
        let mailbox = &shared.mailboxes[usize::from(*index)];
        incomplete.inner.expire(now, &mut |mut held: Held<B>, reason| {
            counters.drop(held.from, reason);
            scribe.end(&mut held.packet, || Step::Dropped(reason));
            lend_for_answer(held, mailbox);
        });
        if incomplete.held() != before {
            counters.set(Figure::FragmentsHeld, incomplete.held() as u64);
        }
    }
}

/// Leaves the first fragment of what did not become whole to the agent; without room there is no answer.
fn lend_for_answer<B>(held: Held<B>, mailbox: &Mailbox<B>) {
    if let Some((vrf, ingress)) = held.answerable.filter(|_| mailbox.is_quiet()) {
        let kind = ExceptionKind::ReassemblyTimeExceeded { ingress };
        let exception = Exception { packet: held.packet, interface: held.from, vrf, kind };
        drop(mailbox.exceptions.push(exception));
    }
}

/// Counts the fragments that end without a packet.
fn refusal<B: Buffer>(counters: &mut WorkerCounters, scribe: &mut Scribe) -> impl FnMut(Held<B>, DropReason) {
    |mut held, reason| {
        counters.drop(held.from, reason);
        scribe.end(&mut held.packet, || Step::Dropped(reason));
    }
}
