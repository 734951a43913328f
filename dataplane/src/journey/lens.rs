//! Which journeys somebody wants to see.

use arrayvec::ArrayVec;
use packet::decide::Verdict;
use packet::flow::Flow;
use packet::{DropReason, Prefix};
use shm::inspect::MAX_INSPECTORS;

use super::{Journey, Point, Step};

/// All that workers look through: one lens for each inspector at most.
pub type Lenses = ArrayVec<Lens, MAX_INSPECTORS>;

/// What one inspector wants to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lens {
    /// Which packets.
    pub filter: Filter,
    /// The packets' bytes, too.
    pub photo: Option<Photo>,
}

/// Which bytes a capture keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Where.
    pub point: Point,
    /// How many of a packet at most.
    pub snap_len: usize,
}

/// Which packets: those that meet every condition. The addresses, protocol and ports are those of one header
/// on the way, inner or outer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Either SPI of the pair.
    pub spi: Option<u32>,
    /// Source address.
    pub src: Option<Prefix>,
    /// Destination address.
    pub dst: Option<Prefix>,
    /// Upper-layer protocol.
    pub protocol: Option<u8>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// Dropped for this reason.
    pub reason: Option<DropReason>,
}

impl Lens {
    /// True if the journey, which has ended, is to be told, or has a shot that is.
    #[must_use]
    pub fn shows(&self, journey: &Journey) -> bool {
        let wanted = self.photo.is_none_or(|photo| journey.shots.iter().any(|s| s.point == photo.point));
        wanted && self.filter.matches(journey)
    }
}

impl Filter {
    /// True if the journey, which has ended, meets every condition.
    #[must_use]
    pub fn matches(&self, journey: &Journey) -> bool {
        let mut steps = journey.steps.iter().map(|noted| &noted.step);
        self.reason.is_none_or(|reason| journey.drop_reason() == Some(reason))
            && self.spi.is_none_or(|spi| steps.clone().any(|step| names(step, spi)))
            && (self.takes_any_header()
                || steps.any(|step| matches!(step, Step::Header(flow) if self.takes(flow))))
    }

    fn takes_any_header(&self) -> bool {
        let Self { spi: _, src, dst, protocol, src_port, dst_port, reason: _ } = self;
        src.is_none() && dst.is_none() && protocol.is_none() && src_port.is_none() && dst_port.is_none()
    }

    fn takes(&self, flow: &Flow) -> bool {
        let (src_port, dst_port) = flow.selector_ports();
        self.src.is_none_or(|prefix| prefix.contains(flow.src))
            && self.dst.is_none_or(|prefix| prefix.contains(flow.dst))
            && self.protocol.is_none_or(|protocol| protocol == flow.protocol)
            && self.src_port.is_none_or(|port| src_port == Some(port))
            && self.dst_port.is_none_or(|port| dst_port == Some(port))
    }
}

/// True if the step is about an SA with this SPI on either side.
fn names(step: &Step, wanted: u32) -> bool {
    match *step {
        Step::Outside(Verdict::Esp { spi }) | Step::Waits { spi } => spi == wanted,
        Step::Sa { spi, .. } | Step::Opened { spi } => spi.value() == wanted,
        Step::Sealed { spi, peer_spi, .. } => spi.value() == wanted || peer_spi == wanted,
        Step::Decided {
            verdict: Verdict::Encapsulate { spi, .. } | Verdict::FragmentIntoTunnel { spi, .. },
            ..
        } => spi.value() == wanted,
        _ => false,
    }
}
