//! The routing information base of all VRFs.

use std::collections::BTreeMap;

use ipnet::IpNet;

/// Where a route comes from, the preferred first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The network of an own address.
    System,
    /// Configured.
    Static,
    /// Learnt.
    Dynamic,
}

/// A forwarding entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<N> {
    pub vrf: u16,
    pub prefix: IpNet,
    pub next_hop: N,
}

/// What became of the forwarding entry of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<N> {
    /// It stays as it is.
    None,
    /// It is new or leads elsewhere.
    Put(Entry<N>),
    /// No route is left.
    Delete { vrf: u16, prefix: IpNet },
}

/// Candidates by VRF and prefix; at most one of each source. `N` names a next hop.
///
/// Changes are reported one by one, so that a table of any size follows at the cost of what changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rib<N> {
    candidates: BTreeMap<(u16, IpNet), BTreeMap<Source, N>>,
}

impl<N> Default for Rib<N> {
    fn default() -> Self {
        Self { candidates: BTreeMap::new() }
    }
}

impl<N: Copy + PartialEq> Rib<N> {
    /// Adds the route of `source` to `prefix`, or moves it to another next hop. Host bits are ignored.
    pub fn insert(&mut self, vrf: u16, prefix: IpNet, source: Source, next_hop: N) -> Change<N> {
        self.update(vrf, prefix.trunc(), |routes| {
            routes.insert(source, next_hop);
        })
    }

    /// Withdraws the route of `source` to `prefix`.
    pub fn withdraw(&mut self, vrf: u16, prefix: IpNet, source: Source) -> Change<N> {
        self.update(vrf, prefix.trunc(), |routes| {
            routes.remove(&source);
        })
    }

    /// The preferred route of each prefix.
    pub fn forwarding(&self) -> impl Iterator<Item = Entry<N>> + '_ {
        self.candidates.iter().filter_map(|(&(vrf, prefix), routes)| {
            let next_hop = best(routes)?;
            Some(Entry { vrf, prefix, next_hop })
        })
    }

    fn update(&mut self, vrf: u16, prefix: IpNet, edit: impl FnOnce(&mut BTreeMap<Source, N>)) -> Change<N> {
        let routes = self.candidates.entry((vrf, prefix)).or_default();
        let before = best(routes);
        edit(routes);
        let after = best(routes);
        if routes.is_empty() {
            self.candidates.remove(&(vrf, prefix));
        }
        match after {
            _ if after == before => Change::None,
            Some(next_hop) => Change::Put(Entry { vrf, prefix, next_hop }),
            None => Change::Delete { vrf, prefix },
        }
    }
}

fn best<N: Copy>(routes: &BTreeMap<Source, N>) -> Option<N> {
    routes.first_key_value().map(|(_, next_hop)| *next_hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    #[test]
    fn system_wins_over_static_over_dynamic() {
        let mut rib = Rib::default();
        let prefix = net("10.1.0.0/16");
        let put = |next_hop| Change::Put(Entry { vrf: 1, prefix, next_hop });
        assert_eq!(rib.insert(1, prefix, Source::Dynamic, 'd'), put('d'));
        assert_eq!(rib.insert(1, prefix, Source::Static, 's'), put('s'));
        assert_eq!(rib.insert(1, prefix, Source::System, 'y'), put('y'));
        assert_eq!(rib.withdraw(1, prefix, Source::Static), Change::None);
        assert_eq!(rib.withdraw(1, prefix, Source::System), put('d'));
        assert_eq!(rib.withdraw(1, prefix, Source::Dynamic), Change::Delete { vrf: 1, prefix });
        assert_eq!(rib, Rib::default());
    }

    #[test]
    fn prefixes_and_vrfs_do_not_mix() {
        let mut rib = Rib::default();
        rib.insert(1, net("10.0.0.0/8"), Source::System, 'a');
        rib.insert(1, net("10.1.0.0/16"), Source::Dynamic, 'b');
        rib.insert(2, net("10.0.0.0/8"), Source::Static, 'c');
        let hops: String = rib.forwarding().map(|entry| entry.next_hop).collect();
        assert_eq!(hops, "abc");
    }

    #[test]
    fn host_bits_are_ignored_and_a_repetition_changes_nothing() {
        let mut rib = Rib::default();
        rib.insert(0, net("10.1.2.3/8"), Source::Static, 1);
        assert_eq!(rib.insert(0, net("10.0.0.0/8"), Source::Static, 1), Change::None);
        assert_eq!(rib.withdraw(0, net("11.0.0.0/8"), Source::Static), Change::None);
        assert_eq!(rib.forwarding().count(), 1);
    }
}
