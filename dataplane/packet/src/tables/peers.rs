//! The SAs of each peer: what is learned of a path or a route changes looks only at those it is about.

use crate::ids::{Spi, VrfId};
use crate::persist::PersistentArray;
use crate::prefix::Prefix;
use crate::route::{PrefixMap, Trie};
use std::net::IpAddr;
use std::ops::ControlFlow;

/// SPIs in no order that means anything. A peer may have all SAs of the gateway: a change copies a path.
#[derive(Clone, Debug, Default)]
struct SpiSet {
    /// By the reversed bits: those of the slot come first, and tell two apart within a few levels.
    spis: Trie<u32, ()>,
}

impl SpiSet {
    fn insert(&mut self, spi: Spi) {
        self.spis.insert(spi.value().reverse_bits(), 32, ());
    }

    fn remove(&mut self, spi: Spi) {
        self.spis.remove(spi.value().reverse_bits(), 32);
    }

    fn try_for_each<B>(&self, mut visit: impl FnMut(Spi) -> ControlFlow<B>) -> ControlFlow<B> {
        let visit = |bits: u32, _, (): &()| {
            Spi::new(bits.reverse_bits()).map_or(ControlFlow::Continue(()), &mut visit)
        };
        self.spis.try_for_each(visit)
    }
}

/// SPIs by outer VRF and remote address.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    vrfs: PersistentArray<PrefixMap<SpiSet>>,
}

impl Peers {
    pub(super) fn insert(&mut self, vrf: VrfId, remote: IpAddr, spi: Spi) {
        let peers = self.vrfs.entry_or_insert_with(vrf.index(), PrefixMap::default);
        let host = Prefix::host(remote);
        let mut spis = peers.exact(host).cloned().unwrap_or_default();
        spis.insert(spi);
        peers.insert(host, spis);
    }

    pub(super) fn remove(&mut self, vrf: VrfId, remote: IpAddr, spi: Spi) {
        let Some(peers) = self.vrfs.lookup_mut(vrf.index()) else { return };
        let host = Prefix::host(remote);
        let Some(mut spis) = peers.exact(host).cloned() else { return };
        spis.remove(spi);
        if !spis.spis.is_empty() {
            peers.insert(host, spis);
            return;
        }
        peers.remove(host);
        if peers.is_empty() {
            self.vrfs.remove(vrf.index());
        }
    }

    /// True if some SA has this peer.
    pub(super) fn contains(&self, vrf: VrfId, remote: IpAddr) -> bool {
        self.vrfs.lookup(vrf.index()).is_some_and(|peers| peers.lookup(remote).is_some())
    }

    /// True if some SA has its peer in this outer VRF.
    pub(super) fn has_any(&self, vrf: VrfId) -> bool {
        self.vrfs.lookup(vrf.index()).is_some()
    }

    /// Visits the SAs of the peers in a network, until `visit` breaks.
    pub(super) fn try_for_each_within<B>(
        &self,
        vrf: VrfId,
        network: Prefix,
        mut visit: impl FnMut(Spi) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(peers) = self.vrfs.lookup(vrf.index()) else { return ControlFlow::Continue(()) };
        peers.try_for_each_within(network, |_, spis| spis.try_for_each(&mut visit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Few peers and SPIs, so that sets fill and empty.
    fn sa() -> impl Strategy<Value = (VrfId, IpAddr, Spi)> {
        let remote = prop_oneof![
            (0u8..2, 0u8..4).prop_map(|(net, host)| IpAddr::from([192, 0, net, host])),
            (0u16..3).prop_map(|host| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host])),
        ];
        let spi = (0u32..70, 1u32..3)
            .prop_map(|(slot, generation)| Spi::new(generation << 14 | slot).expect("an SPI"));
        (0u16..2, remote, spi).prop_map(|(vrf, remote, spi)| (VrfId(vrf), remote, spi))
    }

    fn within(peers: &Peers, vrf: VrfId, network: Prefix) -> Vec<Spi> {
        let mut found = Vec::new();
        let _: ControlFlow<()> = peers.try_for_each_within(vrf, network, |spi| {
            found.push(spi);
            ControlFlow::Continue(())
        });
        found.sort_unstable();
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn finds_the_sas_of_every_network(ops in prop::collection::vec((sa(), any::<bool>()), 0..120), len in 0u8..=32) {
            let (mut peers, mut model) = (Peers::default(), BTreeSet::new());
            for ((vrf, remote, spi), put) in ops {
                if put {
                    peers.insert(vrf, remote, spi);
                    model.insert((vrf, remote, spi));
                } else {
                    peers.remove(vrf, remote, spi);
                    model.remove(&(vrf, remote, spi));
                }
            }
            let nets = ["192.0.0.2", "192.0.1.1", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
            for (vrf, ip) in nets.into_iter().flat_map(|ip| [(VrfId(0), ip), (VrfId(1), ip)]) {
                let len = if ip.is_ipv4() { len } else { len * 4 };
                for network in [Prefix::containing(ip, len).expect("a length"), Prefix::host(ip)] {
                    let there = model.iter().filter(|(v, remote, _)| *v == vrf && network.contains(*remote));
                    let mut there: Vec<_> = there.map(|(_, _, spi)| *spi).collect();
                    there.sort_unstable();
                    prop_assert_eq!(within(&peers, vrf, network), there);
                }
                prop_assert_eq!(peers.contains(vrf, ip), model.iter().any(|(v, r, _)| (*v, *r) == (vrf, ip)));
                prop_assert_eq!(peers.has_any(vrf), model.iter().any(|(v, _, _)| *v == vrf));
            }
        }
    }
}
