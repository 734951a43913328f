//! Traffic selectors (RFC 7296 section 3.13.1) of a CHILD_SA.
//!
//! Selectors choose among a tunnel's CHILD_SAs on the way out and check packets on the way in; they
//! never choose the tunnel. A pair is written from our side: outbound, the source is matched with the
//! local and the destination with the remote selector; inbound the other way round.

use crate::flow::Flow;
use crate::prefix::Prefix;
use std::net::IpAddr;

/// An inclusive range of ports; for ICMP, of `type << 8 | code`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct PortRange {
    start: u16,
    end: u16,
}

impl PortRange {
    /// Every port, and packets whose ports cannot be seen.
    pub const ANY: Self = Self { start: 0, end: u16::MAX };

    /// `None` if `start` is above `end`.
    #[must_use]
    pub fn new(start: u16, end: u16) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// The first port.
    #[must_use]
    pub fn start(&self) -> u16 {
        self.start
    }

    /// The last port.
    #[must_use]
    pub fn end(&self) -> u16 {
        self.end
    }

    /// True if `port` is inside; `None` (a later fragment, a protocol without ports) only in [`PortRange::ANY`].
    #[inline]
    #[must_use]
    pub fn contains(&self, port: Option<u16>) -> bool {
        match port {
            Some(port) => self.start <= port && port <= self.end,
            None => *self == Self::ANY,
        }
    }
}

/// An inclusive range of addresses of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct AddressRange {
    start: IpAddr,
    end: IpAddr,
}

impl AddressRange {
    /// `None` if the families differ or `start` is above `end`.
    #[must_use]
    pub fn new(start: IpAddr, end: IpAddr) -> Option<Self> {
        (start.is_ipv4() == end.is_ipv4() && start <= end).then_some(Self { start, end })
    }

    /// The first address.
    #[must_use]
    pub fn start(&self) -> IpAddr {
        self.start
    }

    /// The last address.
    #[must_use]
    pub fn end(&self) -> IpAddr {
        self.end
    }

    /// True if `address` is of this family and inside.
    #[inline]
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.start, self.end, address) {
            (IpAddr::V4(s), IpAddr::V4(e), IpAddr::V4(a)) => {
                s.to_bits() <= a.to_bits() && a.to_bits() <= e.to_bits()
            }
            (IpAddr::V6(s), IpAddr::V6(e), IpAddr::V6(a)) => {
                s.to_bits() <= a.to_bits() && a.to_bits() <= e.to_bits()
            }
            _ => false,
        }
    }
}

impl From<Prefix> for AddressRange {
    fn from(prefix: Prefix) -> Self {
        Self { start: prefix.address(), end: prefix.last() }
    }
}

/// One side of a selector pair: protocol (0 = any), ports, addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct TrafficSelector {
    /// IP protocol number; 0 matches every protocol.
    pub protocol: u8,
    /// Ports, or ICMP type and code.
    pub ports: PortRange,
    /// Addresses.
    pub addresses: AddressRange,
}

impl TrafficSelector {
    /// Everything from or to `prefix`.
    #[must_use]
    pub fn from_prefix(prefix: Prefix) -> Self {
        Self { protocol: 0, ports: PortRange::ANY, addresses: prefix.into() }
    }

    /// The first thing that keeps the selector from matching; `None` if it matches.
    fn mismatch(&self, address: IpAddr, protocol: u8, port: Option<u16>) -> Option<Field> {
        if !self.addresses.contains(address) {
            Some(Field::Address)
        } else if self.protocol != 0 && self.protocol != protocol {
            Some(Field::Protocol)
        } else {
            (!self.ports.contains(port)).then_some(Field::Port)
        }
    }

    /// As [`TrafficSelector::matches`] of the whole packet, for a fragment of it: all of them get the same answer.
    fn fit_of_fragment(&self, address: IpAddr, flow: &Flow) -> Fit {
        if !self.addresses.contains(address) {
            return Fit::Differs;
        }
        let protocol = match self.protocol {
            0 => Fit::Matches,
            // Only the first fragment counts (RFC 8200 section 4.5); what the others say may be anything.
            _ if flow.dst.is_ipv6() => Fit::NeedsWhole,
            protocol if protocol == flow.protocol => Fit::Matches,
            _ => Fit::Differs,
        };
        // The first fragment shows its ports, but must not part from the others.
        protocol.and(if self.ports == PortRange::ANY { Fit::Matches } else { Fit::NeedsWhole })
    }

    #[inline]
    fn matches(&self, address: IpAddr, protocol: u8, port: Option<u16>) -> bool {
        self.addresses.contains(address)
            && (self.protocol == 0 || self.protocol == protocol)
            && self.ports.contains(port)
    }
}

/// Whether selectors match a packet of which only a part may be there (RFC 4301 section 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// They match it.
    Matches,
    /// They may match it: they name ports, or over IPv6 a protocol, that no single fragment decides about.
    NeedsWhole,
    /// They do not match it.
    Differs,
}

impl Fit {
    /// What both allow.
    #[must_use]
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Differs, _) | (_, Self::Differs) => Self::Differs,
            (Self::NeedsWhole, _) | (_, Self::NeedsWhole) => Self::NeedsWhole,
            (Self::Matches, Self::Matches) => Self::Matches,
        }
    }

    /// What either allows.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Matches, _) | (_, Self::Matches) => Self::Matches,
            (Self::NeedsWhole, _) | (_, Self::NeedsWhole) => Self::NeedsWhole,
            (Self::Differs, Self::Differs) => Self::Differs,
        }
    }
}

/// Whether an SA with these selectors may carry the packet to the peer.
#[inline]
#[must_use]
pub fn fit_outbound(selectors: &[SelectorPair], flow: &Flow) -> Fit {
    if flow.fragment {
        return fit_of_fragments(selectors, flow);
    }
    let matches = selectors.iter().any(|pair| pair.matches_outbound(flow));
    if matches { Fit::Matches } else { Fit::Differs }
}

/// Whether an SA with these selectors may carry the packet to the peer in fragments. One that names ports may not: we
/// do not negotiate `NON_FIRST_FRAGMENTS_ALSO` (RFC 4301 section 7.3, RFC 7296 section 3.10.1).
#[cold]
#[must_use]
pub fn fit_of_fragments(selectors: &[SelectorPair], flow: &Flow) -> Fit {
    fit_of_fragment(selectors, flow, flow.src, flow.dst)
}

/// Whether the peer may have sent the packet on an SA with these selectors.
#[inline]
#[must_use]
pub fn fit_inbound(selectors: &[SelectorPair], flow: &Flow) -> Fit {
    if flow.fragment {
        return fit_of_fragment(selectors, flow, flow.dst, flow.src);
    }
    let matches = selectors.iter().any(|pair| pair.matches_inbound(flow));
    if matches { Fit::Matches } else { Fit::Differs }
}

#[cold]
fn fit_of_fragment(selectors: &[SelectorPair], flow: &Flow, local: IpAddr, remote: IpAddr) -> Fit {
    let fit = |pair: &SelectorPair| {
        pair.local.fit_of_fragment(local, flow).and(pair.remote.fit_of_fragment(remote, flow))
    };
    selectors.iter().map(fit).fold(Fit::Differs, Fit::or)
}

/// A field of a selector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// The address range.
    Address,
    /// The protocol.
    Protocol,
    /// The port range, or ICMP type and code.
    Port,
}

/// Which side of a selector pair refuses a packet, and by which field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// Our side: outbound, the packet's source.
    Local(Field),
    /// The peer's side: outbound, the packet's destination.
    Remote(Field),
}

/// What a CHILD_SA carries, seen from our side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct SelectorPair {
    /// Our networks.
    pub local: TrafficSelector,
    /// The peer's networks.
    pub remote: TrafficSelector,
}

impl SelectorPair {
    /// Everything between two prefixes.
    #[must_use]
    pub fn between(local: Prefix, remote: Prefix) -> Self {
        Self { local: TrafficSelector::from_prefix(local), remote: TrafficSelector::from_prefix(remote) }
    }

    /// True if the SA may carry this packet to the peer.
    #[inline]
    #[must_use]
    pub fn matches_outbound(&self, flow: &Flow) -> bool {
        let (src, dst) = flow.selector_ports();
        self.local.matches(flow.src, flow.protocol, src) && self.remote.matches(flow.dst, flow.protocol, dst)
    }

    /// What keeps the SA from carrying this packet to the peer: `None` exactly if it may.
    #[must_use]
    pub fn mismatch_outbound(&self, flow: &Flow) -> Option<Mismatch> {
        let (src, dst) = flow.selector_ports();
        let local = self.local.mismatch(flow.src, flow.protocol, src).map(Mismatch::Local);
        local.or_else(|| self.remote.mismatch(flow.dst, flow.protocol, dst).map(Mismatch::Remote))
    }

    /// True if the peer may have sent this packet on the SA.
    #[inline]
    #[must_use]
    pub fn matches_inbound(&self, flow: &Flow) -> bool {
        let (src, dst) = flow.selector_ports();
        self.remote.matches(flow.src, flow.protocol, src) && self.local.matches(flow.dst, flow.protocol, dst)
    }
}

#[cfg(test)]
mod tests;
