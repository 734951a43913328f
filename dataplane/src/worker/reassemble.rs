//! Fragments for us: held until their packet is whole, which then starts anew.
//!
//! Those of an outer packet may come in by any outside interface of the VRF; those of an inner one belong
//! together only if they came in the same way, so that no tunnel can complete the packet of another.

use packet::decide::Ingress;
use packet::flow::Flow;
use packet::reassembly::{Complete, Fragment, Limits, Reassembly};
use packet::tables::Interface;
use packet::{DropReason, InterfaceId, VrfId};

use super::buffer::Buffer;
use super::burst::{Burst, Inner, Onward};
use super::counters::Figure;
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::shared::Tables;

/// Within which fragments belong together: the VRF, and how inner ones came in.
pub(super) type Scope = (VrfId, Option<Ingress>);

/// The fragments that one worker holds.
pub(super) type Incomplete<B> = Reassembly<Scope, Held<B>>;

/// How long the fragments of a packet may take, milliseconds. They leave their sender at once; 60 seconds, as
/// RFC 8200 has it, would only serve a flood.
const PATIENCE_MS: u64 = 5000;

/// A held fragment, with where it came in: a drop is counted there.
#[derive(Debug)]
pub(super) struct Held<B> {
    packet: B,
    from: Option<InterfaceId>,
}

/// Room for the fragments of `datagrams` packets; one source may have a quarter of it.
pub(super) fn incomplete<B>(datagrams: usize, ticks_per_ms: u64) -> Incomplete<B> {
    let patience = PATIENCE_MS * ticks_per_ms;
    Reassembly::new(Limits { datagrams, per_source: datagrams.div_ceil(4), patience })
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
        if let Some(whole) = self.reassemble(packet, Some(from), (vrf, None), &flow, known) {
            let deadline = self.early.deadline(self.now);
            self.admit_outer(tables, burst, whole, from, deadline, tx);
        }
    }

    /// Takes a fragment of an inner packet for an address of ours.
    #[cold]
    pub(super) fn reassemble_inner<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        inner: Inner<B>,
        tx: &mut impl Transmit<B>,
    ) {
        let Inner { packet, from, vrf, ingress, flow } = inner;
        // Out of a tunnel comes what a peer has authenticated.
        let known = matches!(ingress, Ingress::Tunnel(_));
        let Some(packet) = self.reassemble(packet, from, (vrf, Some(ingress)), &flow, known) else { return };
        match Flow::parse(packet.data()) {
            Ok(flow) if !flow.fragment => {
                self.decide(tables, onward, Inner { packet, from, vrf, ingress, flow }, tx);
            }
            Ok(_) => self.drop(packet, from, DropReason::FragmentInvalid),
            Err(reason) => self.drop(packet, from, reason),
        }
    }

    /// Holds a fragment; returns the packet that it completes.
    fn reassemble(
        &mut self,
        packet: B,
        from: Option<InterfaceId>,
        scope: Scope,
        flow: &Flow,
        known: bool,
    ) -> Option<B> {
        let fragment = match Fragment::parse(scope, packet.data(), flow) {
            Ok(fragment) => fragment,
            Err(reason) => {
                self.drop(packet, from, reason);
                return None;
            }
        };
        let Self { incomplete, counters, now, .. } = self;
        let held = Held { packet, from };
        let complete = incomplete.insert(fragment, known, held, *now, &mut |held: Held<B>, reason| {
            counters.drop(held.from, reason);
        });
        self.counters.set(Figure::FragmentsHeld, self.incomplete.held() as u64);
        self.merge(complete?)
    }

    /// Makes one packet of the fragments.
    fn merge(&mut self, complete: Complete<Held<B>>) -> Option<B> {
        let merged = match self.spare(complete.packet_len()) {
            Some(mut whole) => complete.write(|held| held.packet.data(), whole.data_mut()).map(|()| whole),
            None => Err(DropReason::BufferExhausted),
        };
        match merged {
            Ok(whole) => {
                self.counters.add(Figure::Merged, complete.fragments() as u64 - 1);
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
        let Self { incomplete, counters, .. } = self;
        let before = incomplete.held();
        incomplete.expire(now, &mut |held: Held<B>, reason| counters.drop(held.from, reason));
        if incomplete.held() != before {
            counters.set(Figure::FragmentsHeld, incomplete.held() as u64);
        }
    }
}
