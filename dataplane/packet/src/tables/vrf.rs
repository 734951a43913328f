//! The routing tables of one VRF.

use super::objects::{InterfaceAddress, RouteTarget};
use crate::ids::NextHopId;
use crate::policy::PolicyTable;
use crate::prefix::Prefix;
use crate::route::PrefixMap;
use crate::spd::Spd;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Policy routes, destination routes and the security policy of a VRF.
///
/// Interface addresses contribute a local host route and a connected route; host addresses only the former,
/// for the rest of their prefix may be beyond a tunnel. They win over a configured route of the same prefix,
/// which is kept aside and comes back when the address goes.
#[derive(Clone, Debug, Default)]
pub struct Vrf {
    routes: PrefixMap<RouteTarget>,
    /// Configured routes whose prefix an interface address occupies.
    shadowed: Arc<[(Prefix, NextHopId)]>,
    /// Addresses of this machine's programs.
    hosts: Arc<[InterfaceAddress]>,
    /// Routes by source and destination; tried first.
    pub policy: PolicyTable,
    /// What is discarded, and what may cross an outside interface in clear.
    pub spd: Spd,
}

impl Vrf {
    /// Where the longest prefix that contains `destination` leads.
    #[inline]
    #[must_use]
    pub fn route(&self, destination: IpAddr) -> Option<&RouteTarget> {
        self.routes.lookup(destination)
    }

    /// True if `address` is an interface's: one that we may answer from in clear.
    #[inline]
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        matches!(self.routes.lookup(address), Some(RouteTarget::Local(_)))
    }

    /// True if `address` is a host address: what it sends goes where the one decision lets it go.
    #[inline]
    #[must_use]
    pub fn is_host(&self, address: IpAddr) -> bool {
        matches!(self.routes.lookup(address), Some(RouteTarget::Host))
    }

    /// True if `address` is an interface's or a host address.
    #[inline]
    #[must_use]
    pub fn is_ours(&self, address: IpAddr) -> bool {
        matches!(self.routes.lookup(address), Some(RouteTarget::Local(_) | RouteTarget::Host))
    }

    /// The host addresses, in the order in which they were put.
    #[must_use]
    pub fn hosts(&self) -> &[InterfaceAddress] {
        &self.hosts
    }

    /// Where exactly this prefix leads.
    #[must_use]
    pub fn target(&self, prefix: Prefix) -> Option<&RouteTarget> {
        self.routes.exact(prefix)
    }

    /// Every prefix that contains `destination`, longest first, with where it leads: one lookup per length, for
    /// explanations.
    pub fn covering(&self, destination: IpAddr) -> impl Iterator<Item = (Prefix, RouteTarget)> {
        let longest = Prefix::host(destination).len();
        (0..=longest).rev().filter_map(move |len| {
            let prefix = Prefix::containing(destination, len).ok()?;
            Some((prefix, *self.target(prefix)?))
        })
    }

    /// Visits the configured routes, those kept aside among them.
    pub fn for_each_route(&self, mut visit: impl FnMut(Prefix, NextHopId)) {
        self.routes.for_each(|prefix, target| {
            if let RouteTarget::NextHop(id) = target {
                visit(prefix, *id);
            }
        });
        self.shadowed.iter().for_each(|(prefix, id)| visit(*prefix, *id));
    }

    /// Visits every prefix in the order of the trie, with where it leads.
    pub fn for_each_target(&self, visit: impl FnMut(Prefix, &RouteTarget)) {
        self.routes.for_each(visit);
    }

    /// Visits prefixes in the order of the trie with where they lead, those after `last` if there is one, until
    /// `visit` breaks.
    pub fn try_for_each_target_after<B>(
        &self,
        last: Option<Prefix>,
        visit: impl FnMut(Prefix, &RouteTarget) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        match last {
            Some(last) => self.routes.try_for_each_after(last, visit),
            None => self.routes.try_for_each(visit),
        }
    }

    /// True if nothing is configured here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
            && self.shadowed.is_empty()
            && self.hosts.is_empty()
            && self.policy.routes().is_empty()
            && self.spd.entries().is_empty()
    }

    /// Puts a configured route; returns the next hop it replaces.
    pub(super) fn put_route(&mut self, prefix: Prefix, next_hop: NextHopId) -> Option<NextHopId> {
        match self.routes.exact(prefix) {
            Some(RouteTarget::Connected(_) | RouteTarget::Local(_) | RouteTarget::Host) => {
                let old = self.unshadow(prefix);
                self.shadow(prefix, next_hop);
                old
            }
            _ => match self.routes.insert(prefix, RouteTarget::NextHop(next_hop)) {
                Some(RouteTarget::NextHop(old)) => Some(old),
                _ => None,
            },
        }
    }

    /// Removes a configured route; returns its next hop.
    pub(super) fn delete_route(&mut self, prefix: Prefix) -> Option<NextHopId> {
        match self.routes.exact(prefix) {
            Some(RouteTarget::NextHop(id)) => {
                let id = *id;
                self.routes.remove(prefix);
                Some(id)
            }
            _ => self.unshadow(prefix),
        }
    }

    /// Gives a prefix to an interface address.
    pub(super) fn occupy(&mut self, prefix: Prefix, target: RouteTarget) {
        if let Some(RouteTarget::NextHop(id)) = self.routes.insert(prefix, target) {
            self.shadow(prefix, id);
        }
    }

    /// Takes a prefix from an interface address and gives it back to the configured route, if any.
    pub(super) fn vacate(&mut self, prefix: Prefix) {
        match self.unshadow(prefix) {
            Some(id) => self.routes.insert(prefix, RouteTarget::NextHop(id)),
            None => self.routes.remove(prefix),
        };
    }

    /// Adds a host address.
    pub(super) fn put_host(&mut self, address: InterfaceAddress) {
        self.hosts = self.hosts.iter().copied().chain([address]).collect();
        self.occupy(Prefix::host(address.address), RouteTarget::Host);
    }

    /// Removes a host address; false if it is none.
    pub(super) fn delete_host(&mut self, address: IpAddr) -> bool {
        if !self.hosts.iter().any(|host| host.address == address) {
            return false;
        }
        self.hosts = self.hosts.iter().filter(|host| host.address != address).copied().collect();
        self.vacate(Prefix::host(address));
        true
    }

    fn shadow(&mut self, prefix: Prefix, id: NextHopId) {
        self.shadowed = self.shadowed.iter().copied().chain([(prefix, id)]).collect();
    }

    fn unshadow(&mut self, prefix: Prefix) -> Option<NextHopId> {
        let id = self.shadowed.iter().find(|(p, _)| *p == prefix)?.1;
        self.shadowed = self.shadowed.iter().filter(|(p, _)| *p != prefix).copied().collect();
        Some(id)
    }
}
