//! The steps of a decision.

use crate::decide::inner::{Ingress, expires};
use crate::drop_reason::DropReason;
use crate::esp::OuterEndpoints;
use crate::flow::Flow;
use crate::ids::{InterfaceId, Spi, TunnelId, VrfId};
use crate::neighbour::NeighbourState;
use crate::policy::PolicyRoute;
use crate::prefix::Prefix;
use crate::selectors::{Fit, Mismatch, SelectorPair, fit_outbound};
use crate::spd::SpdEntry;
use crate::tables::{Egress, NextHop, Role, RouteTarget, Tables, TunnelGroup, Vrf};
use std::net::IpAddr;

/// The most losing candidates that one step lists.
const MAX_CANDIDATES: usize = 64;

/// One step of a decision: what was chosen, and what was passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// It came in on an outside interface.
    Arrival {
        /// The interface.
        interface: InterfaceId,
        /// Its VRF.
        vrf: VrfId,
        /// The destination is an address of ours.
        for_us: bool,
    },
    /// The entries of the security policy, in their order; not there if there are none.
    Spd {
        /// Those before the first that is about the packet; at most 64.
        skipped: Vec<(u16, SpdEntry)>,
        /// The first that is.
        matched: Option<(u16, SpdEntry)>,
        /// It names ports, which only the whole packet shows.
        needs_whole: bool,
    },
    /// The policy routes, in their order.
    Policy {
        /// Those before the first that matches; at most 64.
        skipped: Vec<PolicyRoute>,
        /// The first that matches.
        matched: Option<PolicyRoute>,
        /// The destination is ours: no policy route hides it.
        ours: bool,
    },
    /// The destination routes.
    Routes {
        /// What was looked up.
        destination: IpAddr,
        /// The prefixes that contain it, longest first: the first is taken.
        covering: Vec<(Prefix, RouteTarget)>,
    },
    /// The next hop of the chosen route.
    NextHop(NextHop),
    /// One tunnel of a next hop's group.
    Group {
        /// Hash of the flow.
        hash: u32,
        /// Each member, and whether it is active.
        members: Vec<(TunnelId, bool)>,
        /// The one that the hash chooses among the active ones.
        chosen: Option<TunnelId>,
    },
    /// The tunnel's CHILD_SAs, newest first; at most 64.
    Children {
        /// The tunnel.
        tunnel: TunnelId,
        /// What became of each.
        tried: Vec<Tried>,
    },
    /// An interface to leave in clear on.
    Egress {
        /// The interface.
        interface: InterfaceId,
        /// Its role.
        role: Role,
        /// Whose Ethernet address is needed.
        neighbour: IpAddr,
        /// An outside interface is crossed, so that only a bypass entry lets it pass: whether one does.
        bypass: Option<bool>,
    },
    /// Hop limit and size.
    Limits {
        /// As it came in.
        hop_limit: u8,
        /// It must not be forwarded once more.
        expires: bool,
        /// Length of the packet, bytes.
        len: u16,
        /// The most that passes, bytes.
        mtu: u16,
    },
    /// Where ESP packets of the SA leave.
    Outer {
        /// Its outer addresses.
        endpoints: OuterEndpoints,
        /// The way, or why there is none.
        way: Result<Way, DropReason>,
    },
    /// The neighbour that a packet in clear is sent to.
    Neighbour(Way),
}

/// Where a packet leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// The interface.
    pub interface: InterfaceId,
    /// Whose Ethernet address is needed.
    pub neighbour: IpAddr,
    /// What is known of it; `None`: it must be asked for.
    pub state: Option<NeighbourState>,
}

/// A CHILD_SA that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// Our inbound SPI.
    pub spi: Spi,
    /// What became of it.
    pub because: TriedBecause,
}

/// What became of a CHILD_SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TriedBecause {
    /// It may not send: reserved, not activated yet, or lingering.
    NoSender,
    /// Every pair of its selectors refused the packet.
    Selectors(Vec<(SelectorPair, Mismatch)>),
    /// It is taken.
    Chosen,
    /// Whether it matches shows only when the fragments are put together.
    NeedsWhole,
    /// A newer one was taken before; the packet would have matched it or not.
    Older,
}

impl Step {
    pub(in crate::decide) fn spd(vrf: &Vrf, flow: &Flow) -> Self {
        let entries = vrf.spd.entries();
        let matches = |(_, entry): &&(u16, SpdEntry)| entry.fit(flow) != Fit::Differs;
        let matched = entries.iter().find(matches).copied();
        let skipped = entries.iter().take_while(|entry| !matches(entry)).take(MAX_CANDIDATES).copied();
        let needs_whole = matched.is_some_and(|(_, entry)| entry.fit(flow) == Fit::NeedsWhole);
        Self::Spd { skipped: skipped.collect(), matched, needs_whole }
    }

    pub(in crate::decide) fn policy(vrf: &Vrf, flow: &Flow) -> Self {
        let matches = |route: &&PolicyRoute| route.dst.contains(flow.dst) && route.src.contains(flow.src);
        let routes = vrf.policy.routes();
        let matched = routes.iter().find(matches).copied();
        let skipped = routes.iter().take_while(|route| !matches(route)).take(MAX_CANDIDATES).copied();
        Self::Policy { skipped: skipped.collect(), matched, ours: vrf.is_local(flow.dst) }
    }

    pub(in crate::decide) fn routes(vrf: &Vrf, destination: IpAddr) -> Self {
        Self::Routes { destination, covering: vrf.covering(destination).collect() }
    }

    pub(in crate::decide) fn group(group: &TunnelGroup, flow: &Flow) -> Self {
        let member = |(index, id): (usize, &TunnelId)| (*id, group.active >> index & 1 == 1);
        Self::Group {
            hash: flow.hash(),
            members: group.tunnels.iter().enumerate().map(member).collect(),
            chosen: group.choose(flow),
        }
    }

    pub(in crate::decide) fn children<K>(tables: &Tables<K>, tunnel: TunnelId, flow: &Flow) -> Self {
        let mut taken = false;
        let look = |spi: &Spi| {
            let because = match tables.child(*spi) {
                _ if taken => TriedBecause::Older,
                None => TriedBecause::NoSender,
                Some(child) => refusals(&child.entry.selectors, flow),
            };
            taken |= matches!(because, TriedBecause::Chosen | TriedBecause::NeedsWhole);
            Tried { spi: *spi, because }
        };
        let tried = tables.children(tunnel).iter().map(look).take(MAX_CANDIDATES).collect();
        Self::Children { tunnel, tried }
    }

    pub(in crate::decide) fn egress(egress: Egress<'_>, bypass: Option<bool>) -> Self {
        Self::Egress {
            interface: egress.interface.id,
            role: egress.interface.role,
            neighbour: egress.neighbour,
            bypass,
        }
    }

    pub(in crate::decide) fn limits(flow: &Flow, ingress: Ingress, mtu: u16) -> Self {
        Self::Limits { hop_limit: flow.hop_limit, expires: expires(flow, ingress), len: flow.len, mtu }
    }
}

/// What becomes of an SA with these selectors.
fn refusals(selectors: &[SelectorPair], flow: &Flow) -> TriedBecause {
    match fit_outbound(selectors, flow) {
        Fit::Matches => TriedBecause::Chosen,
        Fit::NeedsWhole => TriedBecause::NeedsWhole,
        Fit::Differs => {
            let refusal = |pair: &SelectorPair| Some((*pair, pair.mismatch_outbound(flow)?));
            TriedBecause::Selectors(selectors.iter().filter_map(refusal).take(MAX_CANDIDATES).collect())
        }
    }
}

pub(super) fn way<K>(tables: &Tables<K>, egress: Egress<'_>) -> Way {
    let Egress { interface, neighbour } = egress;
    let state = tables.neighbours.lookup(interface.id, neighbour).map(|known| known.state);
    Way { interface: interface.id, neighbour, state }
}
