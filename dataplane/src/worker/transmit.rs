//! The last stage: Ethernet headers, and one transmit call per port and burst.

use arrayvec::ArrayVec;
use packet::decide::Ingress;
use packet::flow::Flow;
use packet::headers::ethernet::{EtherType, Ethernet};
use packet::neighbour::NeighbourState;
use packet::tables::Interface;
use packet::{DropReason, InterfaceId, MacAddr, PortId, VrfId};

use super::buffer::Buffer;
use super::burst::{BURST, Inner, Sending, Way};
use super::counters::WorkerCounters;
use super::pipeline::Pipeline;
use super::scribe::Scribe;
use crate::journey::{Heading, Step};
use crate::shared::{ExceptionKind, Tables};

/// The devices' side of transmission.
pub trait Transmit<B> {
    /// Sends `frames` in order; what the device does not take stays in it.
    fn transmit(&mut self, port: PortId, frames: &mut ArrayVec<B, BURST>);
}

/// Frames that wait for the end of the burst, by port.
#[derive(Debug)]
pub(super) struct Outbox<B> {
    ports: Vec<PortOutbox<B>>,
}

#[derive(Debug)]
struct PortOutbox<B> {
    frames: ArrayVec<B, BURST>,
    notes: ArrayVec<Note, BURST>,
}

/// For the counters and the scribe, beside each frame.
#[derive(Debug, Clone, Copy)]
struct Note {
    from: Option<InterfaceId>,
    egress: InterfaceId,
    len: u32,
    mark: u32,
}

const _: () = assert!(size_of::<Note>() == 16, "as many as packets are written");

impl<B: Buffer> Outbox<B> {
    pub(super) fn new(ports: usize) -> Self {
        let empty = |_| PortOutbox { frames: ArrayVec::new(), notes: ArrayVec::new() };
        Self { ports: (0..ports).map(empty).collect() }
    }

    /// Transmits everything, and counts it as sent or dropped.
    pub(super) fn flush(
        &mut self,
        counters: &mut WorkerCounters,
        scribe: &mut Scribe,
        tx: &mut impl Transmit<B>,
    ) {
        for (id, port) in (0u16..).zip(&mut self.ports) {
            port.flush(PortId(id), counters, scribe, tx);
        }
    }
}

impl<B: Buffer> PortOutbox<B> {
    fn flush(
        &mut self,
        id: PortId,
        counters: &mut WorkerCounters,
        scribe: &mut Scribe,
        tx: &mut impl Transmit<B>,
    ) {
        if self.frames.is_empty() {
            return;
        }
        tx.transmit(id, &mut self.frames);
        let sent = self.notes.len() - self.frames.len();
        let (sent, refused) = self.notes.split_at(sent);
        for run in sent.chunk_by(|a, b| a.egress == b.egress) {
            let bytes = run.iter().map(|note| u64::from(note.len)).sum();
            counters.tx(run.first().map(|note| note.egress), run.len() as u64, bytes);
        }
        for note in refused {
            counters.drop(note.from, DropReason::TxFull);
        }
        if scribe.is_awake() {
            for Note { egress: interface, len, mark, .. } in sent.iter().copied() {
                scribe.end_departed(mark, || Step::Sent { interface, len: len as usize });
            }
            for note in refused {
                scribe.end_departed(note.mark, || Step::Dropped(DropReason::TxFull));
            }
        }
        self.notes.clear();
        self.frames.clear();
    }
}

impl<B: Buffer> Pipeline<B> {
    /// Gives each packet its Ethernet header and queues it at its port.
    pub(super) fn send<'t>(
        &mut self,
        tables: &'t Tables,
        sending: &mut ArrayVec<Sending<'t, B>, BURST>,
        tx: &mut impl Transmit<B>,
    ) {
        for Sending { packet, from, way } in sending.drain(..) {
            match way {
                Way::Frame(interface) => self.enqueue(packet, from, interface, tx),
                Way::Via(egress, ingress) => {
                    let (interface, neighbour) = (egress.interface, egress.neighbour);
                    match tables.neighbours.lookup(interface.id, neighbour) {
                        Some(known) if known.state == NeighbourState::Reachable => {
                            self.frame(packet, from, interface, known.mac, tx);
                        }
                        Some(known) if known.state == NeighbourState::Failed => {
                            self.refuse_unreachable(packet, from, interface.vrf, ingress);
                        }
                        _ => {
                            let kind = ExceptionKind::Neighbour { egress: interface.id, neighbour, ingress };
                            self.leave(packet, from, interface.vrf, kind);
                        }
                    }
                }
            }
        }
    }

    /// Drops a packet whose neighbour does not answer; the sender is told, unless it is one of ours.
    #[cold]
    fn refuse_unreachable(
        &mut self,
        packet: B,
        from: Option<InterfaceId>,
        vrf: VrfId,
        ingress: Option<Ingress>,
    ) {
        match (ingress, Flow::parse(packet.data())) {
            (Some(ingress), Ok(flow)) => {
                self.refuse(Inner { packet, from, vrf, ingress, flow }, DropReason::NeighbourFailed);
            }
            _ => self.drop(packet, from, DropReason::NeighbourFailed),
        }
    }

    /// The Ethernet header towards a station on an interface, unless its port is gone.
    #[inline]
    pub(super) fn ethernet(&self, interface: &Interface, dst: MacAddr, is_v4: bool) -> Option<Ethernet> {
        let src = self.shared.port(interface.port)?.mac;
        Some(Ethernet { dst, src, vlan: interface.vlan, ethertype: EtherType::of_ip(is_v4) })
    }

    #[inline]
    pub(super) fn frame(
        &mut self,
        mut packet: B,
        from: Option<InterfaceId>,
        interface: &Interface,
        dst: MacAddr,
        tx: &mut impl Transmit<B>,
    ) {
        let is_v4 = packet.data().first().is_some_and(|b| b >> 4 == 4);
        let Some(header) = self.ethernet(interface, dst, is_v4) else {
            return self.drop(packet, from, DropReason::PortDown);
        };
        if packet.grow(header.header_len(), 0).is_err() {
            return self.drop(packet, from, DropReason::NoRoom);
        }
        header.emit(packet.data_mut());
        self.enqueue(packet, from, interface, tx);
    }

    #[inline(always)]
    pub(super) fn enqueue(
        &mut self,
        mut frame: B,
        from: Option<InterfaceId>,
        interface: &Interface,
        tx: &mut impl Transmit<B>,
    ) {
        self.scribe.shoot_frame(&frame, Heading::Out, interface);
        let Some(port) = self.outbox.ports.get_mut(interface.port.index()) else {
            return self.drop(frame, from, DropReason::PortDown);
        };
        if port.frames.is_full() {
            port.flush(interface.port, &mut self.counters, &mut self.scribe, tx);
        }
        let mark = self.scribe.depart(&mut frame);
        #[expect(clippy::cast_possible_truncation, reason = "a frame's length")]
        let len = frame.len() as u32;
        port.notes.push(Note { from, egress: interface.id, len, mark });
        port.frames.push(frame);
    }
}
