//! Probes of the path MTU: sealed by a given SA whatever their length, and their answers, which the agent is told of.

use packet::esp::encap;
use packet::flow::Flow;
use packet::path_mtu::{self, Arrived, Pieces};
use packet::{DropReason, Spi, TunnelId};

use super::buffer::Buffer;
use super::burst::{self, Onward};
use super::outbound::Laying;
use super::pipeline::Pipeline;
use super::transmit::Transmit;
use crate::shared::{HandoffWork, Notice, Tables};

impl<B: Buffer> Pipeline<B> {
    /// Queues a probe of the agent for its SA, here or at the SA's owner. All of the buffer is sealed: what
    /// follows the inner packet is traffic flow confidentiality padding (RFC 4303 section 2.7).
    #[cold]
    pub(super) fn admit_probe<'t>(
        &mut self,
        tables: &'t Tables,
        onward: &mut Onward<'t, B>,
        packet: B,
        spi: Spi,
        tx: &mut impl Transmit<B>,
    ) {
        let (child, flow) = match (tables.child(spi), Flow::parse(packet.data())) {
            (Some(child), Ok(flow)) => (child, flow),
            (None, _) => return self.drop(packet, None, DropReason::TunnelDown),
            (_, Err(reason)) => return self.drop(packet, None, reason),
        };
        let owner = child.sa.owner();
        if owner != self.index {
            let work = HandoffWork::Probe { spi };
            return self.hand_over(owner, packet, None, work);
        }
        let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        let inner = encap::Inner { len, padded: len, ..(&flow).into() };
        self.lay_out(
            tables,
            onward,
            Laying { packet, at: 0, from: None, child, inner, pieces: burst::Pieces::One },
            tx,
        );
    }

    /// Tells the agent how an echo reply of a probe's target came: in an outer packet of `outer` bytes, made of
    /// fragments of at most `largest` bytes unless that is 0.
    #[cold]
    pub(super) fn note_answer(
        &mut self,
        tunnel: TunnelId,
        packet: &[u8],
        flow: &Flow,
        outer: u16,
        largest: u16,
    ) {
        let Some(answer) = path_mtu::answer(packet, flow) else { return };
        let arrived = match (largest, flow.fragment) {
            (0, false) => Arrived { largest: outer, pieces: Pieces::Whole },
            (0, true) => Arrived { largest: outer, pieces: Pieces::Inner },
            (largest, _) => Arrived { largest, pieces: Pieces::Outer },
        };
        self.tell(Notice::EchoAnswer { tunnel, answer, arrived });
    }
}
