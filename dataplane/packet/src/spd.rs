//! The ordered security policy of a VRF (RFC 4301 section 4.4.1): what is discarded, and what may cross an
//! outside interface in clear. The first entry that matches decides.
//!
//! The third action, protect, has no entries here: routes choose the tunnels (rule 2 of the design). A discarded
//! packet meets no route; a bypass never keeps a packet out of the tunnel that its route leads into.

use crate::flow::Flow;
use crate::selectors::{Fit, SelectorPair, fit_inbound, fit_outbound};
use std::sync::Arc;

/// The most entries of a VRF; their order is below it. Lookups are linear.
pub const MAX_ENTRIES: u16 = 1024;

/// What becomes of the packets of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// They may cross an outside interface in clear, if their route leads there.
    Bypass,
    /// They are dropped, wherever they would go.
    Discard,
}

/// Which packets between its two sides an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heading {
    /// Either way.
    Both,
    /// From our side to the other.
    Out,
    /// From the other side to ours.
    In,
}

/// An entry; the selectors are written from the protected side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpdEntry {
    /// What becomes of the packets.
    pub action: Action,
    /// Which way they go.
    pub heading: Heading,
    /// Between whom.
    pub selectors: SelectorPair,
}

impl SpdEntry {
    /// Whether the entry is about this packet.
    #[inline]
    #[must_use]
    pub fn fit(&self, flow: &Flow) -> Fit {
        let pair = std::slice::from_ref(&self.selectors);
        match self.heading {
            Heading::Out => fit_outbound(pair, flow),
            Heading::In => fit_inbound(pair, flow),
            Heading::Both => fit_outbound(pair, flow).or(fit_inbound(pair, flow)),
        }
    }
}

/// What the policy says of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// An entry has this action.
    Is(Action),
    /// It is a fragment, and an entry names ports: put the packet together and ask again.
    NeedsWhole,
    /// No entry is about it: its route may lead into a tunnel or inside, but not across an outside interface.
    Unnamed,
}

/// The entries of a VRF in their order.
#[derive(Clone, Debug, Default)]
pub struct Spd {
    entries: Arc<[(u16, SpdEntry)]>,
}

impl Spd {
    /// What the first entry that matches says.
    #[inline]
    #[must_use]
    pub fn lookup(&self, flow: &Flow) -> Policy {
        let fits = self.entries.iter().map(|(_, entry)| (entry, entry.fit(flow)));
        match fits.into_iter().find(|(_, fit)| *fit != Fit::Differs) {
            Some((entry, Fit::Matches)) => Policy::Is(entry.action),
            Some(_) => Policy::NeedsWhole,
            None => Policy::Unnamed,
        }
    }

    /// The entries with their places in the order.
    #[must_use]
    pub fn entries(&self) -> &[(u16, SpdEntry)] {
        &self.entries
    }

    /// Puts an entry into its place, where another may have been.
    pub(crate) fn put(&mut self, order: u16, entry: SpdEntry) {
        let at = self.entries.partition_point(|(other, _)| *other < order);
        let after = self.entries.partition_point(|(other, _)| *other <= order);
        let (before, rest) = (&self.entries[..at], &self.entries[after..]);
        self.entries = before.iter().copied().chain([(order, entry)]).chain(rest.iter().copied()).collect();
    }

    /// Removes the entry at a place; false if there is none.
    pub(crate) fn remove(&mut self, order: u16) -> bool {
        let there = self.entries.iter().any(|(other, _)| *other == order);
        if there {
            self.entries = self.entries.iter().filter(|(other, _)| *other != order).copied().collect();
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::protocol;
    use crate::selectors::PortRange;
    use crate::testing::{flow, prefix, udp};

    fn entry(action: Action, heading: Heading, dst: &str, port: Option<u16>) -> SpdEntry {
        let mut selectors = SelectorPair::between(prefix("10.1.0.0/16"), prefix(dst));
        if let Some(port) = port {
            (selectors.local.protocol, selectors.remote.protocol) = (protocol::UDP, protocol::UDP);
            selectors.remote.ports = PortRange::new(port, port).expect("a range");
        }
        SpdEntry { action, heading, selectors }
    }

    fn forth(dst: &str, port: u16) -> Flow {
        flow(&udp("10.1.0.9", dst, (1000, port), b""))
    }

    #[test]
    fn the_first_entry_in_order_decides() {
        let mut spd = Spd::default();
        spd.put(5, entry(Action::Bypass, Heading::Both, "203.0.113.0/24", None));
        spd.put(3, entry(Action::Discard, Heading::Both, "203.0.113.0/24", Some(53)));
        spd.put(1, entry(Action::Bypass, Heading::Both, "203.0.113.7/32", Some(53)));
        let said = |spd: &Spd, dst, port| spd.lookup(&forth(dst, port));
        assert_eq!(said(&spd, "203.0.113.7", 53), Policy::Is(Action::Bypass));
        assert_eq!(said(&spd, "203.0.113.8", 53), Policy::Is(Action::Discard));
        assert_eq!(said(&spd, "203.0.113.8", 54), Policy::Is(Action::Bypass));
        assert_eq!(said(&spd, "198.51.100.1", 53), Policy::Unnamed);
        spd.put(3, entry(Action::Bypass, Heading::Both, "198.51.100.0/24", None));
        assert_eq!(said(&spd, "203.0.113.8", 53), Policy::Is(Action::Bypass), "it is another entry now");
        assert!(spd.remove(1) && !spd.remove(1) && !spd.remove(4));
        assert_eq!(spd.entries().iter().map(|(order, _)| *order).collect::<Vec<_>>(), [3, 5]);
    }

    #[test]
    fn an_entry_may_be_about_one_way_only() {
        let back = flow(&udp("203.0.113.7", "10.1.0.9", (53, 1000), b""));
        for (heading, out, into) in [
            (Heading::Both, Fit::Matches, Fit::Matches),
            (Heading::Out, Fit::Matches, Fit::Differs),
            (Heading::In, Fit::Differs, Fit::Matches),
        ] {
            let entry = entry(Action::Bypass, heading, "203.0.113.0/24", Some(53));
            assert_eq!((entry.fit(&forth("203.0.113.7", 53)), entry.fit(&back)), (out, into));
        }
    }

    #[test]
    fn no_fragment_slips_past_an_entry_that_names_ports() {
        let mut spd = Spd::default();
        spd.put(0, entry(Action::Discard, Heading::Both, "203.0.113.0/24", Some(53)));
        spd.put(1, entry(Action::Bypass, Heading::Both, "203.0.113.0/24", None));
        let later = Flow { fragment: true, ports: None, ..forth("203.0.113.7", 0) };
        assert_eq!(spd.lookup(&later), Policy::NeedsWhole);
        assert_eq!(spd.lookup(&Flow { protocol: protocol::TCP, ..later }), Policy::Is(Action::Bypass));
    }
}
