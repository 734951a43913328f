//! Policy routes of a VRF.

use crate::ids::NextHopId;
use crate::prefix::Prefix;
use std::net::IpAddr;
use std::sync::Arc;

/// A route by source and destination; tried before the destination routes, in the order of priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicyRoute {
    /// Smaller is tried first; among equals the longer destination, then the longer source.
    pub priority: u32,
    /// Source prefix.
    pub src: Prefix,
    /// Destination prefix; of the same family.
    pub dst: Prefix,
    /// Where matching packets go.
    pub next_hop: NextHopId,
}

impl PolicyRoute {
    fn key(&self) -> (u32, u8, u8, Prefix, Prefix) {
        (self.priority, 128 - self.dst.len(), 128 - self.src.len(), self.dst, self.src)
    }
}

/// The policy routes of a VRF, in the order they are tried.
#[derive(Clone, Debug, Default)]
pub struct PolicyTable {
    routes: Arc<[PolicyRoute]>,
}

impl PolicyTable {
    /// The first route that matches. Linear: policy tables are short.
    #[inline]
    #[must_use]
    pub fn lookup(&self, src: IpAddr, dst: IpAddr) -> Option<NextHopId> {
        let route = self.routes.iter().find(|route| route.dst.contains(dst) && route.src.contains(src))?;
        Some(route.next_hop)
    }

    /// The routes in order.
    #[must_use]
    pub fn routes(&self) -> &[PolicyRoute] {
        &self.routes
    }

    /// Adds a route or changes its next hop; (priority, source, destination) identifies it.
    pub fn insert(&mut self, route: PolicyRoute) -> Option<PolicyRoute> {
        match self.routes.binary_search_by_key(&route.key(), PolicyRoute::key) {
            Ok(at) => Some(std::mem::replace(&mut Arc::make_mut(&mut self.routes)[at], route)),
            Err(at) => {
                let (before, after) = self.routes.split_at(at);
                self.routes = before.iter().chain(std::iter::once(&route)).chain(after).copied().collect();
                None
            }
        }
    }

    /// Removes a route.
    pub fn remove(&mut self, priority: u32, src: Prefix, dst: Prefix) -> Option<PolicyRoute> {
        let sought = PolicyRoute { priority, src, dst, next_hop: NextHopId(0) };
        let at = self.routes.binary_search_by_key(&sought.key(), PolicyRoute::key).ok()?;
        let old = self.routes[at];
        let (before, after) = self.routes.split_at(at);
        self.routes = before.iter().chain(&after[1..]).copied().collect();
        Some(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(priority: u32, src: &str, dst: &str, next_hop: u32) -> PolicyRoute {
        let p = |s: &str| s.parse().expect("a prefix");
        PolicyRoute { priority, src: p(src), dst: p(dst), next_hop: NextHopId(next_hop) }
    }

    #[test]
    fn priority_decides_then_the_longer_destination() {
        let mut table = PolicyTable::default();
        table.insert(route(20, "10.0.0.0/8", "10.9.0.0/16", 1));
        table.insert(route(10, "10.1.0.0/16", "0.0.0.0/0", 2));
        table.insert(route(20, "10.0.0.0/8", "10.9.9.0/24", 3));
        let lookup = |src: &str, dst: &str| {
            table.lookup(src.parse().expect("address"), dst.parse().expect("address")).map(|n| n.0)
        };
        assert_eq!(lookup("10.1.0.1", "10.9.9.1"), Some(2));
        assert_eq!(lookup("10.2.0.1", "10.9.9.1"), Some(3));
        assert_eq!(lookup("10.2.0.1", "10.9.8.1"), Some(1));
        assert_eq!(lookup("192.0.2.1", "10.9.8.1"), None);
        let mut table = table.clone();
        assert!(table.remove(20, Prefix::ANY_V4, Prefix::ANY_V4).is_none());
        assert_eq!(
            table.remove(10, "10.1.0.0/16".parse().expect("p"), Prefix::ANY_V4).map(|r| r.next_hop.0),
            Some(2)
        );
    }
}
