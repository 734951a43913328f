//! Inner packets: from an inside interface, out of a tunnel, or a bypass of an outside interface.

use super::explain::{Blind, Step, Watcher};
use crate::drop_reason::DropReason;
use crate::esp::template::InnerMarks;
use crate::flow::Flow;
use crate::headers::{icmpv6::ECHO_REPLY, ipv6, protocol};
use crate::ids::{TunnelId, VrfId};
use crate::reassembly;
use crate::sad::Child;
use crate::selectors::{Fit, fit_of_fragments, fit_outbound};
use crate::spd::{Action, Policy};
use crate::tables::{Egress, Fragmentation, NextHopKind, Role, RouteTarget, Tables, TunnelGroup};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How an inner packet came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ingress {
    /// From an inside interface.
    Inside,
    /// From an outside interface: only what a bypass entry names goes on.
    Outside,
    /// Decapsulated from this tunnel, selectors checked.
    Tunnel(TunnelId),
    /// Made here: our own ICMP, packets from the TUN device. The hop limit is not decremented.
    Own,
}

/// What becomes of an inner packet.
///
/// For `Encapsulate` and `Forward` the caller decrements the hop limit (except of [`Ingress::Own`]) with
/// [`crate::headers::decrement_hop_limit`]; for `Encapsulate` it also clamps the MSS of a TCP SYN.
#[derive(Debug)]
pub enum Outcome<'t, K> {
    /// Seal it with this SA; hand it over first if the SA's owner is another worker.
    Encapsulate(Child<'t, K>),
    /// Send it in clear on this interface.
    Forward(Egress<'t>),
    /// A fragment, and the CHILD_SA depends on what only the whole packet shows: reassemble it, then decide.
    Reassemble,
    /// It is for an address of ours in this VRF.
    Local,
    /// Tell control that the tunnel needs an SA; the packet itself is dropped ([`DropReason::AwaitingSa`]).
    Acquire(TunnelId),
    /// The hop limit ran out: answer with ICMP time exceeded ([`DropReason::TtlExpired`]).
    TimeExceeded,
    /// Too big, may not be fragmented: answer with ICMP and this MTU ([`DropReason::NeedsFragmentation`]).
    TooBig {
        /// The largest packet that would pass, bytes.
        mtu: u16,
    },
    /// Too big but may be fragmented to this MTU, of [`Ingress::Own`] at its source; drop as [`DropReason::FragmentUnsupported`] if not done.
    Fragment {
        /// The largest fragment that would pass, bytes.
        mtu: u16,
        /// Where the fragments go.
        to: FragmentTo<'t, K>,
    },
    /// Drop it.
    Drop(DropReason),
}

/// Where fragments go: as in [`Outcome`].
#[derive(Debug)]
pub enum FragmentTo<'t, K> {
    /// Through this SA.
    Encapsulate(Child<'t, K>),
    /// The whole packet through this SA; the ESP packet is what is fragmented.
    Sealed(Child<'t, K>),
    /// Out of this interface.
    Forward(Egress<'t>),
}

/// Decides about an inner packet in its VRF.
#[must_use]
pub fn decide_inner<'t, K>(
    tables: &'t Tables<K>,
    vrf: VrfId,
    flow: &Flow,
    ingress: Ingress,
) -> Outcome<'t, K> {
    decide_watched(tables, vrf, flow, ingress, &mut Blind)
}

/// As [`decide_inner`], step by step before the eyes of a watcher.
#[inline]
pub(super) fn decide_watched<'t, K>(
    tables: &'t Tables<K>,
    vrf: VrfId,
    flow: &Flow,
    ingress: Ingress,
    watcher: &mut impl Watcher,
) -> Outcome<'t, K> {
    match decide(tables, vrf, flow, ingress, watcher) {
        Ok(outcome) => outcome,
        Err(reason) => Outcome::Drop(reason),
    }
}

#[inline]
fn decide<'t, K>(
    tables: &'t Tables<K>,
    vrf: VrfId,
    flow: &Flow,
    ingress: Ingress,
    watcher: &mut impl Watcher,
) -> Result<Outcome<'t, K>, DropReason> {
    check_addresses(flow)?;
    let vrf = tables.vrf(vrf).ok_or(DropReason::VrfMissing)?;
    if !vrf.spd.entries().is_empty() {
        watcher.see(|| Step::spd(vrf, flow));
    }
    let may_bypass = match vrf.spd.lookup(flow) {
        Policy::Is(Action::Discard) => return Err(DropReason::PolicyDiscard),
        Policy::NeedsWhole => return Ok(Outcome::Reassemble),
        Policy::Is(Action::Bypass) => true,
        Policy::Unnamed => false,
    };
    watcher.see(|| Step::policy(vrf, flow));
    let target = match vrf.policy.lookup(flow.src, flow.dst) {
        // A policy route does not hide our own addresses.
        Some(next_hop) if !vrf.is_ours(flow.dst) => RouteTarget::NextHop(next_hop),
        _ => {
            watcher.see(|| Step::routes(vrf, flow.dst));
            *vrf.route(flow.dst).ok_or(DropReason::NoRoute)?
        }
    };
    let next_hop = match target {
        // We talk to ourselves in here, not over a link (the land attack).
        RouteTarget::Local(_) | RouteTarget::Host if ingress != Ingress::Own && vrf.is_ours(flow.src) => {
            return Err(DropReason::MartianSource);
        }
        RouteTarget::Local(_) => return Ok(Outcome::Local),
        // Its traffic is protected: an outside interface gives it only what a bypass names.
        RouteTarget::Host if ingress == Ingress::Outside && !may_bypass => {
            return Err(DropReason::CleartextProtected);
        }
        RouteTarget::Host => return Ok(Outcome::Local),
        RouteTarget::Connected(interface) => {
            return forward(may_bypass, flow, ingress, tables.egress_on(interface, flow.dst)?, watcher);
        }
        RouteTarget::NextHop(id) => tables.next_hop(id).ok_or(DropReason::NextHopMissing)?,
    };
    watcher.see(|| Step::NextHop(next_hop.clone()));
    match &next_hop.kind {
        NextHopKind::Tunnels(_) if ingress == Ingress::Outside => Err(DropReason::CleartextProtected),
        NextHopKind::Tunnels(group) => encapsulate(tables, flow, ingress, group, watcher),
        NextHopKind::Interface { interface, gateway } => {
            let egress = tables.egress_on(*interface, gateway.unwrap_or(flow.dst))?;
            forward(may_bypass, flow, ingress, egress, watcher)
        }
        NextHopKind::Local => Ok(Outcome::Local),
        NextHopKind::Discard => Err(DropReason::RouteDiscard),
    }
}

/// Refuses addresses that are never forwarded (RFC 1122 section 3.2.1.3, RFC 1812 section 5.3.7, RFC 4291
/// section 2.5).
#[inline]
fn check_addresses(flow: &Flow) -> Result<(), DropReason> {
    match (flow.src, flow.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => check_v4(src, dst),
        (IpAddr::V6(src), IpAddr::V6(dst)) => check_v6(src, dst),
        // No packet has addresses of two families.
        _ => Err(DropReason::MartianSource),
    }
}

#[inline]
fn check_v4(src: Ipv4Addr, dst: Ipv4Addr) -> Result<(), DropReason> {
    let [d, ..] = dst.octets();
    if never_sends_v4(src) {
        return Err(DropReason::MartianSource);
    }
    match d {
        0 | 127 | 240.. => Err(DropReason::MartianDestination),
        224..240 => Err(DropReason::MulticastDestination),
        _ => Ok(()),
    }
}

#[inline]
fn check_v6(src: Ipv6Addr, dst: Ipv6Addr) -> Result<(), DropReason> {
    if never_sends_v6(src) {
        return Err(DropReason::MartianSource);
    }
    if nobody(dst) {
        return Err(DropReason::MartianDestination);
    }
    if dst.is_multicast() {
        return Err(DropReason::MulticastDestination);
    }
    if src.is_unicast_link_local() || dst.is_unicast_link_local() {
        return Err(DropReason::LinkLocal);
    }
    Ok(())
}

/// True for addresses that no packet on a wire comes from.
#[inline]
#[must_use]
pub fn never_sends(src: IpAddr) -> bool {
    match src {
        IpAddr::V4(src) => never_sends_v4(src),
        IpAddr::V6(src) => never_sends_v6(src),
    }
}

#[inline]
fn never_sends_v4(src: Ipv4Addr) -> bool {
    let [first, ..] = src.octets();
    matches!(first, 0 | 127 | 224..)
}

#[inline]
fn never_sends_v6(src: Ipv6Addr) -> bool {
    nobody(src) || src.is_multicast()
}

/// On the wire an IPv4 address in an IPv6 header is an attempt to get around a filter (RFC 4942 section 2.2).
#[inline]
fn nobody(address: Ipv6Addr) -> bool {
    address.is_unspecified() || address.is_loopback() || address.to_ipv4_mapped().is_some()
}

/// In clear, out of an interface.
fn forward<'t, K>(
    may_bypass: bool,
    flow: &Flow,
    ingress: Ingress,
    egress: Egress<'t>,
    watcher: &mut impl Watcher,
) -> Result<Outcome<'t, K>, DropReason> {
    let crosses_outside = egress.interface.role == Role::Outside || ingress == Ingress::Outside;
    watcher.see(|| Step::egress(egress, crosses_outside.then_some(may_bypass)));
    if crosses_outside && !may_bypass {
        return Err(match (ingress, egress.interface.role) {
            (Ingress::Outside, Role::Inside) => DropReason::CleartextProtected,
            (Ingress::Outside, Role::Outside) => DropReason::NotForUs,
            (Ingress::Inside | Ingress::Tunnel(_) | Ingress::Own, _) => DropReason::CleartextRefused,
        });
    }
    if is_broadcast(&egress, flow.dst) {
        return Err(DropReason::MartianDestination);
    }
    watcher.see(|| Step::limits(flow, ingress, egress.interface.mtu));
    if expires(flow, ingress) {
        return Ok(Outcome::TimeExceeded);
    }
    Ok(match size(flow, ingress, egress.interface.mtu) {
        Size::Fits => Outcome::Forward(egress),
        Size::TooBig { mtu } => Outcome::TooBig { mtu },
        Size::Cut { mtu } => Outcome::Fragment { mtu, to: FragmentTo::Forward(egress) },
    })
}

/// Through a CHILD_SA of the group's tunnel.
#[inline]
fn encapsulate<'t, K>(
    tables: &'t Tables<K>,
    flow: &Flow,
    ingress: Ingress,
    group: &TunnelGroup,
    watcher: &mut impl Watcher,
) -> Result<Outcome<'t, K>, DropReason> {
    watcher.see(|| Step::group(group, flow));
    let Some(id) = group.choose(flow) else { return wake(tables, group) };
    watcher.see(|| Step::children(tables, id, flow));
    let children = tables.children(id);
    let found = children.iter().find_map(|spi| {
        let child = tables.child(*spi)?;
        match fit_outbound(&child.entry.selectors, flow) {
            Fit::Differs => None,
            fit => Some((child, fit)),
        }
    });
    let Some((child, fit)) = found else { return no_child(tables, id) };
    if fit == Fit::NeedsWhole {
        return Ok(Outcome::Reassemble);
    }
    watcher.see(|| Step::limits(flow, ingress, child.entry.inner_mtu));
    if expires(flow, ingress) {
        return Ok(Outcome::TimeExceeded);
    }
    let mtu = child.entry.inner_mtu;
    if flow.len <= mtu && flow.largest_fragment == 0 {
        return Ok(Outcome::Encapsulate(child));
    }
    Ok(encapsulate_large(tables, flow, ingress, child))
}

/// A packet that exceeds the SA's MTU: fragmented before or after encryption, or its sender is told. After encryption
/// only where the policy of the outer DF bit does not forbid it (RFC 4301 section 8.1), except for IPv6 packets up to
/// the least MTU of IPv6, which every tunnel carries (RFC 2473 section 7.1), and for what an SA must not carry in
/// fragments (RFC 4301 section 7). IPv6 that its source fragmented stays so: no router may do it again for the peer.
#[cold]
fn encapsulate_large<'t, K>(
    tables: &Tables<K>,
    flow: &Flow,
    ingress: Ingress,
    child: Child<'t, K>,
) -> Outcome<'t, K> {
    let Child { entry, template, .. } = child;
    let sealed = |len: u16| template.layout.sealed_len(len.into());
    let whole = Outcome::Fragment {
        mtu: u16::try_from(sealed(entry.inner_mtu)).unwrap_or(u16::MAX),
        to: FragmentTo::Sealed(child),
    };
    let marks = InnerMarks { traffic_class: flow.traffic_class, dont_fragment: flow.dont_fragment };
    let after = tables.tunnel(entry.tunnel).is_some_and(|t| t.fragmentation == Fragmentation::After);
    let can_be_whole = sealed(flow.len) <= usize::from(reassembly::MAX_BYTES);
    if after && can_be_whole && flow.len > entry.inner_mtu && !template.dont_fragment(marks) {
        return whole;
    }
    let least = if flow.dst.is_ipv6() { ipv6::MIN_MTU } else { 0 };
    match size(flow, ingress, entry.inner_mtu.max(least)) {
        Size::Fits => whole,
        Size::TooBig { mtu } => Outcome::TooBig { mtu },
        Size::Cut { mtu } if flow.largest_fragment != 0 && flow.dst.is_ipv6() => {
            Outcome::Fragment { mtu, to: FragmentTo::Encapsulate(child) }
        }
        Size::Cut { mtu } => match fit_of_fragments(&entry.selectors, flow) {
            Fit::Matches => Outcome::Fragment { mtu, to: FragmentTo::Encapsulate(child) },
            Fit::NeedsWhole | Fit::Differs if can_be_whole => whole,
            Fit::NeedsWhole | Fit::Differs => Outcome::TooBig { mtu },
        },
    }
}

/// No tunnel of the group is active: wake one that may be negotiated on demand.
#[cold]
fn wake<'t, K>(tables: &Tables<K>, group: &TunnelGroup) -> Result<Outcome<'t, K>, DropReason> {
    let on_demand = |id: &&TunnelId| tables.tunnel(**id).is_some_and(|tunnel| tunnel.acquire);
    group.tunnels.iter().find(on_demand).map(|id| Outcome::Acquire(*id)).ok_or(DropReason::NoActiveTunnel)
}

/// The tunnel has no CHILD_SA for the packet.
#[cold]
fn no_child<'t, K>(tables: &Tables<K>, id: TunnelId) -> Result<Outcome<'t, K>, DropReason> {
    let tunnel = tables.tunnel(id).ok_or(DropReason::TunnelMissing)?;
    let senders = tables.children(id).iter().any(|spi| tables.child(*spi).is_some());
    match (tunnel.acquire, senders) {
        (true, _) => Ok(Outcome::Acquire(id)),
        (false, true) => Err(DropReason::NoMatchingSelector),
        (false, false) => Err(DropReason::TunnelDown),
    }
}

/// True if forwarding would bring the hop limit to 0 (RFC 1812 section 5.3.1).
#[inline]
pub(super) fn expires(flow: &Flow, ingress: Ingress) -> bool {
    flow.hop_limit <= 1 && ingress != Ingress::Own
}

/// What follows from the size of a packet.
enum Size {
    Fits,
    /// The sender is told this MTU.
    TooBig {
        mtu: u16,
    },
    /// Into fragments of this size.
    Cut {
        mtu: u16,
    },
}

/// An IPv6 packet that was put together here goes on in fragments like those its sender chose: a later link
/// would call the whole too big, which the sender could do nothing about.
#[inline]
fn size(flow: &Flow, ingress: Ingress, mtu: u16) -> Size {
    if flow.largest_fragment != 0 && flow.dst.is_ipv6() {
        let largest = flow.largest_fragment;
        if largest > mtu { Size::TooBig { mtu } } else { Size::Cut { mtu: largest } }
    } else if flow.len <= mtu {
        Size::Fits
    } else if must_stay_whole(flow, ingress) {
        Size::TooBig { mtu }
    } else {
        Size::Cut { mtu }
    }
}

/// True if the sender must be told to send less. Nobody stands behind an echo reply of ours, whose size the request
/// chose: it is fragmented here, at its source.
#[inline]
fn must_stay_whole(flow: &Flow, ingress: Ingress) -> bool {
    let our_reply = ingress == Ingress::Own
        && flow.src.is_ipv6()
        && flow.protocol == protocol::ICMPV6
        && flow.ports.is_some_and(|type_code| type_code.src == u16::from(ECHO_REPLY) << 8);
    flow.dont_fragment && (flow.fragment || !our_reply)
}

/// True for the directed broadcast address of a subnet on the egress (RFC 2644: not forwarded). IPv6 has none.
fn is_broadcast(egress: &Egress<'_>, destination: IpAddr) -> bool {
    destination.is_ipv4()
        && egress.interface.addresses.iter().any(|a| {
            let subnet = a.subnet();
            subnet.len() < 31
                && subnet.contains(destination)
                && (destination == subnet.last() || destination == subnet.address())
        })
}

#[cfg(test)]
mod tests;
