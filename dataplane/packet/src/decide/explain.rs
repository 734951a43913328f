//! Why a packet goes where it goes: the very decision of the workers, with a watcher that writes down every
//! step and the candidates that lost at it.
//!
//! The decision functions are generic over their watcher. That of the workers is blind: its steps are never
//! made, and what remains after compilation is the bare decision. So an explanation cannot differ from what a
//! packet gets. Explaining allocates: it is for the agent.

mod step;
mod text;

pub use step::{Step, Tried, TriedBecause, Way};

use super::inner::{FragmentTo, Ingress, Outcome, decide_watched};
use super::outside::{IkeStanding, Outside, classify_watched};
use crate::drop_reason::DropReason;
use crate::flow::Flow;
use crate::ids::{InterfaceId, Spi, TunnelId, VrfId};
use crate::sad::Child;
use crate::tables::{Egress, Interface, Tables};
use std::net::IpAddr;

/// Sees a decision being made.
pub(super) trait Watcher {
    /// Takes the next step; whoever does not look does not make it.
    fn see(&mut self, step: impl FnOnce() -> Step);
}

/// The watcher of the workers.
pub(super) struct Blind;

impl Watcher for Blind {
    #[inline(always)]
    fn see(&mut self, _: impl FnOnce() -> Step) {}
}

impl Watcher for Vec<Step> {
    fn see(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

/// What becomes of a packet: an [`Outcome`] or [`Outside`] that outlives its tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Through this SA.
    Encapsulate {
        /// Our inbound SPI: the name of the pair.
        spi: Spi,
        /// Its tunnel.
        tunnel: TunnelId,
    },
    /// In clear, out of an interface.
    Forward {
        /// The interface.
        interface: InterfaceId,
        /// Whose Ethernet address is needed.
        neighbour: IpAddr,
    },
    /// To ourselves.
    Local,
    /// Dropped, and control is told that the tunnel needs an SA.
    Acquire(TunnelId),
    /// Answered with ICMP time exceeded.
    TimeExceeded,
    /// Answered with ICMP too big.
    TooBig {
        /// The largest packet that would pass, bytes.
        mtu: u16,
    },
    /// In fragments, through this SA.
    FragmentIntoTunnel {
        /// The largest fragment, bytes.
        mtu: u16,
        /// Our inbound SPI.
        spi: Spi,
    },
    /// Whole through this SA; the ESP packet leaves in fragments.
    FragmentSealed {
        /// The largest fragment, bytes.
        mtu: u16,
        /// Our inbound SPI.
        spi: Spi,
    },
    /// In fragments, out of this interface.
    FragmentForward {
        /// The largest fragment, bytes.
        mtu: u16,
        /// The interface.
        interface: InterfaceId,
    },
    /// ESP for us: opened with the SA of this SPI, if there is one.
    Esp {
        /// As the packet names it.
        spi: u32,
    },
    /// IKE for us.
    Ike {
        /// From a peer with an SA, or answering one of our SPIs.
        known: bool,
    },
    /// ICMP for us.
    Icmp,
    /// A fragment for us, or for a CHILD_SA that depends on ports: held until its packet is whole.
    Fragment,
    /// Dropped.
    Drop(DropReason),
}

impl<K> From<&Outcome<'_, K>> for Verdict {
    fn from(outcome: &Outcome<'_, K>) -> Self {
        match *outcome {
            Outcome::Encapsulate(Child { entry, .. }) => {
                Self::Encapsulate { spi: entry.spi, tunnel: entry.tunnel }
            }
            Outcome::Forward(Egress { interface, neighbour }) => {
                Self::Forward { interface: interface.id, neighbour }
            }
            Outcome::Reassemble => Self::Fragment,
            Outcome::Local => Self::Local,
            Outcome::Acquire(tunnel) => Self::Acquire(tunnel),
            Outcome::TimeExceeded => Self::TimeExceeded,
            Outcome::TooBig { mtu } => Self::TooBig { mtu },
            Outcome::Fragment { mtu, to: FragmentTo::Encapsulate(child) } => {
                Self::FragmentIntoTunnel { mtu, spi: child.entry.spi }
            }
            Outcome::Fragment { mtu, to: FragmentTo::Sealed(child) } => {
                Self::FragmentSealed { mtu, spi: child.entry.spi }
            }
            Outcome::Fragment { mtu, to: FragmentTo::Forward(egress) } => {
                Self::FragmentForward { mtu, interface: egress.interface.id }
            }
            Outcome::Drop(reason) => Self::Drop(reason),
        }
    }
}

impl<K> From<&Outside<'_, K>> for Verdict {
    fn from(outside: &Outside<'_, K>) -> Self {
        match outside {
            Outside::Esp { packet, .. } => Self::Esp { spi: packet.spi },
            Outside::Ike { standing } => Self::Ike { known: *standing != IkeStanding::New },
            Outside::Icmp => Self::Icmp,
            Outside::Fragment => Self::Fragment,
            Outside::Bypass(outcome) => outcome.into(),
            Outside::Drop(reason) => Self::Drop(*reason),
        }
    }
}

/// The steps of a decision, in the order they were taken, and where they led.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// What was looked at and what lost.
    pub steps: Vec<Step>,
    /// What becomes of the packet.
    pub verdict: Verdict,
}

/// Explains [`decide_inner`](super::decide_inner).
#[must_use]
pub fn explain_inner<K>(tables: &Tables<K>, vrf: VrfId, flow: &Flow, ingress: Ingress) -> Explanation {
    let mut steps = Vec::new();
    let outcome = decide_watched(tables, vrf, flow, ingress, &mut steps);
    steps.extend(last_step(tables, &outcome));
    Explanation { steps, verdict: (&outcome).into() }
}

/// Explains [`classify_outside`](super::classify_outside).
#[must_use]
pub fn explain_outside<K>(
    tables: &Tables<K>,
    interface: &Interface,
    packet: &[u8],
    flow: &Flow,
) -> Explanation {
    let mut steps = Vec::new();
    let outside = classify_watched(tables, interface, packet, flow, &mut steps);
    if let Outside::Bypass(outcome) = &outside {
        steps.extend(last_step(tables, outcome));
    }
    Explanation { steps, verdict: (&outside).into() }
}

/// How the packet, or the ESP packet around it, leaves: it is looked up where it is sent.
fn last_step<K>(tables: &Tables<K>, outcome: &Outcome<'_, K>) -> Option<Step> {
    match *outcome {
        Outcome::Encapsulate(child) | Outcome::Fragment { to: FragmentTo::Encapsulate(child), .. } => {
            let endpoints = child.template.endpoints;
            let way = tables.egress(endpoints.vrf, endpoints.remote).map(|egress| step::way(tables, egress));
            Some(Step::Outer { endpoints, way })
        }
        Outcome::Forward(egress) | Outcome::Fragment { to: FragmentTo::Forward(egress), .. } => {
            Some(Step::Neighbour(step::way(tables, egress)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
