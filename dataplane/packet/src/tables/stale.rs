//! Which SAs a transaction leaves with an outer header and an MTU of yesterday.

use super::Tables;
use super::objects::{NextHopKind, Tunnel};
use crate::ids::{Spi, TunnelId, VrfId};
use crate::prefix::Prefix;
use std::ops::ControlFlow;

/// With more reasons than these, looking at every SA once is the shorter way.
const MAX_MARKS: usize = 256;

/// Collected by the changes of a transaction, done by its commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Stale {
    every: bool,
    marks: Vec<Mark>,
}

/// A reason to look at some SAs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    /// The tunnel of the SA is another.
    Tunnel(TunnelId),
    /// The way to a peer in this network may be another.
    Peers(VrfId, Prefix),
}

impl Stale {
    /// Every SA is to be looked at.
    pub(super) fn every() -> Self {
        Self { every: true, marks: Vec::new() }
    }

    fn mark(&mut self, mark: Mark) {
        if self.every || self.marks.last() == Some(&mark) {
            return;
        }
        if self.marks.len() < MAX_MARKS {
            self.marks.push(mark);
        } else {
            *self = Self::every();
        }
    }
}

impl<K> Tables<K> {
    /// A tunnel was put: its SAs follow what it says of headers and sizes.
    pub(super) fn note_tunnel(&mut self, old: Option<Tunnel>, new: &Tunnel) {
        let shape = |tunnel: &Tunnel| (tunnel.mtu, tunnel.mss, tunnel.df, tunnel.dscp);
        if old.map(|old| shape(&old)) != Some(shape(new)) && !self.children(new.id).is_empty() {
            self.stale.mark(Mark::Tunnel(new.id));
        }
    }

    /// A route changed, an address, or what is known of a path: SAs care where some of them has its peer.
    pub(super) fn note_way(&mut self, vrf: VrfId, network: Prefix) {
        if self.peers.has_any(vrf) {
            self.stale.mark(Mark::Peers(vrf, network));
        }
    }

    /// The link behind an interface, or behind a next hop that routes name, takes other sizes: any SA may use it.
    pub(super) fn note_link(&mut self) {
        self.stale = Stale::every();
    }

    /// What packets by a next hop are bounded by, bytes.
    pub(super) fn link_of(&self, kind: &NextHopKind) -> Option<u16> {
        match kind {
            NextHopKind::Interface { interface, .. } => {
                self.interface(*interface).map(|interface| interface.mtu)
            }
            NextHopKind::Tunnels(_) | NextHopKind::Local | NextHopKind::Discard => None,
        }
    }

    /// Looks at the marked SAs again; those that come out the same stay shared.
    pub(super) fn refresh_stale(&mut self) {
        let Stale { every, marks } = std::mem::take(&mut self.stale);
        if every {
            self.refresh_every();
            return;
        }
        let mut spis = Vec::new();
        for mark in marks {
            self.collect(mark, &mut spis);
        }
        spis.sort_unstable();
        spis.dedup();
        spis.into_iter().for_each(|spi| self.refresh_sa(spi));
    }

    fn refresh_every(&mut self) {
        let spis: Vec<Spi> = self.sad.iter().map(|entry| entry.spi).collect();
        spis.into_iter().for_each(|spi| self.refresh_sa(spi));
        let interfaces = &self.interfaces;
        self.neighbours.retain_interfaces(|id| interfaces.lookup(id.index()).is_some());
    }

    fn collect(&self, mark: Mark, spis: &mut Vec<Spi>) {
        match mark {
            Mark::Tunnel(id) => spis.extend_from_slice(self.children(id)),
            Mark::Peers(vrf, network) => {
                let _: ControlFlow<()> = self.peers.try_for_each_within(vrf, network, |spi| {
                    spis.push(spi);
                    ControlFlow::Continue(())
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::esp::{DfPolicy, OuterEndpoints};
    use crate::ids::{InterfaceId, NextHopId, PortId};
    use crate::tables::{Change, InterfaceAddress, NextHop, NextHopKind, PathMtu, Role};
    use crate::testing::*;
    use proptest::prelude::*;

    const SECOND: InterfaceId = InterfaceId(2);
    const PEERS: [&str; 3] = ["192.0.2.2", "198.51.100.1", "203.0.113.1"];

    fn outside() -> impl Strategy<Value = InterfaceId> {
        prop::sample::select(vec![OUTSIDE, SECOND])
    }

    fn network() -> impl Strategy<Value = Prefix> {
        let all = ["0.0.0.0/0", "192.0.2.2/32", "198.51.100.0/24", "198.51.100.1/32", "203.0.112.0/23"];
        prop::sample::select(all.to_vec()).prop_map(prefix)
    }

    fn own() -> impl Strategy<Value = (InterfaceId, InterfaceAddress)> {
        let all = vec![("198.51.100.9", 24), ("203.0.113.9", 30), ("203.0.113.1", 32), ("10.9.0.1", 24)];
        let address = prop::sample::select(all);
        (outside(), address)
            .prop_map(|(id, (a, prefix_len))| (id, InterfaceAddress { address: ip(a), prefix_len }))
    }

    fn remote() -> impl Strategy<Value = &'static str> {
        prop::sample::select(PEERS.to_vec())
    }

    /// Everything that outer headers and sizes follow from.
    fn change() -> impl Strategy<Value = Change<u32>> {
        let next_hop = || (0u32..2).prop_map(NextHopId);
        let mtu = || prop::sample::select(vec![1300u16, 1400, 1500]);
        prop_oneof![
            (outside(), mtu(), 0u16..2).prop_map(|(id, mtu, vrf)| {
                let (port, vrf) = (PortId(id.0), VrfId(vrf * 9));
                Change::PutInterface { id, port, vlan: None, role: Role::Outside, vrf, mtu }
            }),
            own().prop_map(|(interface, address)| Change::PutAddress { interface, address }),
            own().prop_map(|(interface, a)| Change::DeleteAddress { interface, address: a.address }),
            own().prop_map(|(_, address)| Change::PutHostAddress { vrf: OUTER, address }),
            own().prop_map(|(_, a)| Change::DeleteHostAddress { vrf: OUTER, address: a.address }),
            (next_hop(), outside()).prop_map(|(id, interface)| {
                Change::PutNextHop(NextHop { id, kind: NextHopKind::Interface { interface, gateway: None } })
            }),
            next_hop().prop_map(|id| Change::PutNextHop(NextHop { id, kind: NextHopKind::Discard })),
            next_hop().prop_map(Change::DeleteNextHop),
            (network(), next_hop()).prop_map(|(prefix, next_hop)| Change::PutRoute {
                vrf: OUTER,
                prefix,
                next_hop
            }),
            network().prop_map(|prefix| Change::DeleteRoute { vrf: OUTER, prefix }),
            (0u16..2, any::<bool>()).prop_map(|(mtu, set)| {
                let df = if set { DfPolicy::Set } else { DfPolicy::Copy };
                Change::PutTunnel(Tunnel { mtu: mtu * 1280, df, ..tunnel(TUNNEL) })
            }),
            (remote(), mtu()).prop_map(|(remote, outbound)| {
                let mtu = PathMtu { outbound: outbound - 100, inbound: u16::MAX };
                Change::PutPathMtu { vrf: OUTER, remote: ip(remote), mtu }
            }),
            remote().prop_map(|remote| Change::DeletePathMtu { vrf: OUTER, remote: ip(remote) }),
            (0u32..3, remote()).prop_map(|(sa, remote)| Change::UpdateOuter {
                spi: spi(0x1_0001 + sa),
                outer: native(remote)
            }),
        ]
    }

    fn three_peers() -> Tables<u32> {
        let mut tables = gateway();
        let second = Change::PutInterface {
            id: SECOND,
            port: PortId(2),
            vlan: None,
            role: Role::Outside,
            vrf: OUTER,
            mtu: 1400,
        };
        let hop = NextHopId(0);
        let way_out = NextHopKind::Interface { interface: OUTSIDE, gateway: Some(ip("192.0.2.254")) };
        let ways = [
            second,
            address(SECOND, "198.51.100.9", 24),
            Change::PutNextHop(NextHop { id: hop, kind: way_out }),
            Change::PutRoute { vrf: OUTER, prefix: Prefix::ANY_V4, next_hop: hop },
        ];
        let sas = [0x1_0002, 0x1_0003].into_iter().flat_map(|n| install(spi(n), TUNNEL, true));
        apply(&mut tables, ways.into_iter().chain(sas));
        let move_to = |n, remote| Change::UpdateOuter { spi: spi(n), outer: native(remote) };
        apply(&mut tables, [move_to(0x1_0002, PEERS[1]), move_to(0x1_0003, PEERS[2])]);
        tables
    }

    /// Headers and sizes of every SA.
    fn derived(tables: &Tables<u32>) -> Vec<(Spi, u16, u16, OuterEndpoints, crate::esp::OuterTemplate)> {
        let of = |entry: &crate::sad::SadEntry<u32>| {
            let template = entry.template.as_deref().expect("installed");
            (entry.spi, entry.inner_mtu, entry.mss, template.endpoints, template.clone())
        };
        tables.sad().iter().map(of).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn looking_at_the_marked_sas_is_as_good_as_looking_at_all(
            transactions in prop::collection::vec(prop::collection::vec(change(), 1..4), 1..20),
        ) {
            let mut tables = three_peers();
            for transaction in transactions {
                let mut next = tables.clone();
                if transaction.into_iter().any(|change| next.apply(change).is_err()) {
                    continue;
                }
                next.commit();
                tables = next.clone();
                next.stale = Stale::every();
                next.commit();
                prop_assert_eq!(derived(&tables), derived(&next));
            }
        }
    }

    #[test]
    fn a_path_is_about_the_sas_of_its_peer_and_many_reasons_are_about_all() {
        let mut tables = three_peers();
        let mtu = PathMtu { outbound: 1280, inbound: u16::MAX };
        tables.apply(Change::PutPathMtu { vrf: OUTER, remote: ip(PEERS[0]), mtu }).expect("taken");
        let mut spis = Vec::new();
        tables.stale.marks.iter().for_each(|mark| tables.collect(*mark, &mut spis));
        assert_eq!((tables.stale.every, spis), (false, vec![spi(0x1_0001)]));
        tables.commit();
        tables.apply(Change::PutPathMtu { vrf: OUTER, remote: ip(PEERS[0]), mtu }).expect("taken");
        assert!(tables.stale.marks.is_empty(), "nothing is new");
        for host in 0..=u8::MAX {
            tables.note_way(OUTER, Prefix::host([203, 0, 112, host].into()));
        }
        assert!(!tables.stale.every && tables.stale.marks.len() == MAX_MARKS);
        tables.note_way(OUTER, Prefix::ANY_V4);
        assert!(tables.stale.every && tables.stale.marks.is_empty());
    }
}
