//! Both families behind one interface.

use super::Trie;
use crate::prefix::Prefix;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

/// Prefixes of both families with a value each.
#[derive(Clone, Debug)]
pub struct PrefixMap<V> {
    v4: Trie<u32, V>,
    v6: Trie<u128, V>,
}

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self { v4: Trie::default(), v6: Trie::default() }
    }
}

impl<V> PrefixMap<V> {
    /// The number of prefixes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// True if there is no prefix.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the longest prefix that contains `address`.
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Option<&V> {
        match address {
            IpAddr::V4(a) => self.v4.lookup(a.to_bits()),
            IpAddr::V6(a) => self.v6.lookup(a.to_bits()),
        }
    }

    /// The value of exactly this prefix.
    #[must_use]
    pub fn exact(&self, prefix: Prefix) -> Option<&V> {
        match prefix.address() {
            IpAddr::V4(a) => self.v4.exact(a.to_bits(), prefix.len()),
            IpAddr::V6(a) => self.v6.exact(a.to_bits(), prefix.len()),
        }
    }

    /// Visits every prefix, IPv4 first, shorter before longer ones that they contain, until `visit` breaks.
    pub fn try_for_each<B>(&self, mut visit: impl FnMut(Prefix, &V) -> ControlFlow<B>) -> ControlFlow<B> {
        self.v4.try_for_each(|bits, len, v| each(&mut visit, Ipv4Addr::from_bits(bits).into(), len, v))?;
        self.v6.try_for_each(|bits, len, v| each(&mut visit, Ipv6Addr::from_bits(bits).into(), len, v))
    }

    /// Visits every prefix inside `network`, itself among them, until `visit` breaks.
    pub fn try_for_each_within<B>(
        &self,
        network: Prefix,
        mut visit: impl FnMut(Prefix, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let v4 = |bits, len, v: &V| each(&mut visit, Ipv4Addr::from_bits(bits).into(), len, v);
        match network.address() {
            IpAddr::V4(a) => self.v4.try_for_each_within(a.to_bits(), network.len(), v4),
            IpAddr::V6(a) => self.v6.try_for_each_within(a.to_bits(), network.len(), |bits, len, v| {
                each(&mut visit, Ipv6Addr::from_bits(bits).into(), len, v)
            }),
        }
    }

    /// Visits every prefix that [`PrefixMap::try_for_each`] visits after `last`, until `visit` breaks.
    pub fn try_for_each_after<B>(
        &self,
        last: Prefix,
        mut visit: impl FnMut(Prefix, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut v4 = |bits, len, value: &V| each(&mut visit, Ipv4Addr::from_bits(bits).into(), len, value);
        match last.address() {
            IpAddr::V4(a) => self.v4.try_for_each_after(a.to_bits(), last.len(), &mut v4)?,
            IpAddr::V6(_) => {}
        }
        let v6 = |bits, len, value: &V| each(&mut visit, Ipv6Addr::from_bits(bits).into(), len, value);
        match last.address() {
            IpAddr::V4(_) => self.v6.try_for_each(v6),
            IpAddr::V6(a) => self.v6.try_for_each_after(a.to_bits(), last.len(), v6),
        }
    }

    /// Visits every prefix.
    pub fn for_each(&self, mut visit: impl FnMut(Prefix, &V)) {
        let _: ControlFlow<()> = self.try_for_each(|prefix, value| {
            visit(prefix, value);
            ControlFlow::Continue(())
        });
    }
}

impl<V: Clone> PrefixMap<V> {
    /// Puts a value for a prefix; returns the one it replaces.
    pub fn insert(&mut self, prefix: Prefix, value: V) -> Option<V> {
        match prefix.address() {
            IpAddr::V4(a) => self.v4.insert(a.to_bits(), prefix.len(), value),
            IpAddr::V6(a) => self.v6.insert(a.to_bits(), prefix.len(), value),
        }
    }

    /// Removes a prefix; returns its value.
    pub fn remove(&mut self, prefix: Prefix) -> Option<V> {
        match prefix.address() {
            IpAddr::V4(a) => self.v4.remove(a.to_bits(), prefix.len()),
            IpAddr::V6(a) => self.v6.remove(a.to_bits(), prefix.len()),
        }
    }
}

fn each<V, B>(
    visit: &mut impl FnMut(Prefix, &V) -> ControlFlow<B>,
    address: IpAddr,
    len: u8,
    value: &V,
) -> ControlFlow<B> {
    Prefix::containing(address, len).map_or(ControlFlow::Continue(()), |prefix| visit(prefix, value))
}
