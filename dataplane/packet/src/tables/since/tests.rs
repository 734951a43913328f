use super::*;
use crate::decide::{Ingress, Outcome, decide_inner};
use crate::flow::Flow;
use crate::ids::{MacAddr, NextHopId, PortId, VrfId};
use crate::neighbour::NeighbourState;
use crate::policy::PolicyRoute;
use crate::prefix::Prefix;
use crate::sad::SadEntry;
use crate::selectors::{Fit, SelectorPair, fit_inbound};
use crate::spd::Action;
use crate::tables::{InterfaceAddress, NextHop, NextHopKind, PathMtu, Role, Tunnel};
use crate::testing::*;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::HashMap;

const OTHER: TunnelId = TunnelId(8);
const SPIS: [u32; 4] = [0x1_0001, 0x1_0002, 0x1_0003, 0x1_0004];
const NEAR: [&str; 3] = ["10.1.0.9", "10.1.0.10", "10.1.0.200"];
const FAR: [&str; 3] = ["10.2.0.9", "10.2.0.200", "10.3.0.9"];
const PEERS: [&str; 2] = ["192.0.2.2", "198.51.100.1"];

/// Where packets go, as a worker remembers it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Way {
    Seal(Spi),
    Forward(InterfaceId, MacAddr),
}

/// What a worker remembers something about.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// A flow from inside.
    Inside(Flow),
    /// A flow out of an SA.
    Inbound(Spi, Flow),
    /// The ESP packets of an SA.
    Outer(Spi),
}

impl Subject {
    fn all() -> Vec<Self> {
        let flows = |from: &[&str], to: &[&str]| -> Vec<Flow> {
            let pairs = from.iter().flat_map(|src| to.iter().map(move |dst| (*src, *dst)));
            pairs.map(|(src, dst)| flow(&udp(src, dst, (1000, 53), b""))).collect()
        };
        let inside = flows(&NEAR, &[&FAR[..], &NEAR[..], &["203.0.113.7"]].concat());
        let back = flows(&FAR, &NEAR);
        let spis = || SPIS.map(spi).into_iter();
        let inbound = spis().flat_map(|spi| back.iter().map(move |flow| Self::Inbound(spi, *flow)));
        inside.into_iter().map(Self::Inside).chain(inbound).chain(spis().map(Self::Outer)).collect()
    }

    /// What is to be remembered, if anything.
    fn ask(self, tables: &Tables<u32>) -> Option<Way> {
        match self {
            Self::Inside(flow) => decided(tables, INNER, &flow, Ingress::Inside),
            Self::Inbound(spi, flow) => {
                let entry = tables.sad().entry(spi).filter(|entry| entry.inbound.is_some())?;
                let tunnel = tables.tunnel(entry.tunnel)?;
                let carried = fit_inbound(&entry.selectors, &flow) == Fit::Matches;
                let is_asked = carried && tunnel.probe != Some(flow.src);
                let way = decided(tables, tunnel.inner_vrf, &flow, Ingress::Tunnel(tunnel.id));
                way.filter(|way| is_asked && matches!(way, Way::Forward(..)))
            }
            Self::Outer(spi) => {
                let endpoints = tables.child(spi)?.template.endpoints;
                forward(tables, tables.egress(endpoints.vrf, endpoints.remote).ok()?)
            }
        }
    }

    /// True if a worker may still believe what version `version` said.
    fn holds(self, way: Way, version: u64, tables: &Tables<u32>) -> bool {
        let since = |entry: Option<&SadEntry<u32>>| entry.map(|entry| entry.since);
        let sender = |spi| since(tables.child(spi).map(|child| child.entry));
        let of_sa = match (self, way) {
            (Self::Inside(_), Way::Seal(spi)) | (Self::Outer(spi), _) => sender(spi),
            (Self::Inside(_), Way::Forward(..)) => Some(0),
            (Self::Inbound(spi, _), _) => {
                since(tables.sad().entry(spi).filter(|entry| entry.inbound.is_some()))
            }
        };
        of_sa.is_some_and(|since| version >= since.max(tables.since()))
    }
}

fn decided(tables: &Tables<u32>, vrf: VrfId, flow: &Flow, ingress: Ingress) -> Option<Way> {
    match decide_inner(tables, vrf, flow, ingress) {
        Outcome::Encapsulate(child) => Some(Way::Seal(child.entry.spi)),
        Outcome::Forward(egress) => forward(tables, egress),
        _ => None,
    }
}

fn forward(tables: &Tables<u32>, egress: crate::tables::Egress<'_>) -> Option<Way> {
    let id = egress.interface.id;
    tables.neighbours.reachable(id, egress.neighbour).map(|mac| Way::Forward(id, mac))
}

/// Changes that are made together.
type Changes = Vec<Change<u32>>;

fn network() -> impl Strategy<Value = Prefix> {
    select(vec!["10.2.0.0/24", "10.2.0.0/25", "10.3.0.0/16", "10.1.0.0/28", "203.0.113.0/24", "0.0.0.0/0"])
        .prop_map(prefix)
}

fn next_hop() -> impl Strategy<Value = NextHopId> {
    (0u32..3).prop_map(|n| NextHopId(GROUP.0 + n))
}

fn next_hop_kind() -> impl Strategy<Value = NextHopKind> {
    let out = |interface, gateway| NextHopKind::Interface { interface, gateway: Some(ip(gateway)) };
    prop_oneof![
        (1u16..4).prop_map(|active| group(&[TUNNEL, OTHER], active)),
        Just(out(OUTSIDE, PEERS[0])),
        Just(out(INSIDE, NEAR[0])),
        Just(NextHopKind::Local),
        Just(NextHopKind::Discard),
    ]
}

/// Everything but SAs and neighbours.
fn way() -> impl Strategy<Value = Change<u32>> {
    let vrf = || select(vec![INNER, OUTER]);
    let own = || {
        let all = vec![(INSIDE, "10.1.0.1", 24), (INSIDE, "10.1.0.10", 32), (OUTSIDE, "198.51.100.9", 24)];
        select(all)
            .prop_map(|(id, address, prefix_len)| (id, InterfaceAddress { address: ip(address), prefix_len }))
    };
    prop_oneof![
        (select(vec![OUTSIDE, INSIDE]), any::<bool>(), select(vec![1300u16, 1500])).prop_map(
            |(id, outside, mtu)| {
                let role = if outside { Role::Outside } else { Role::Inside };
                let vrf = if id == OUTSIDE { OUTER } else { INNER };
                Change::PutInterface { id, port: PortId(id.0), vlan: None, role, vrf, mtu }
            }
        ),
        select(vec![OUTSIDE, INSIDE]).prop_map(Change::DeleteInterface),
        own().prop_map(|(interface, address)| Change::PutAddress { interface, address }),
        own().prop_map(|(interface, a)| Change::DeleteAddress { interface, address: a.address }),
        own().prop_map(|(_, address)| Change::PutHostAddress { vrf: INNER, address }),
        own().prop_map(|(_, a)| Change::DeleteHostAddress { vrf: INNER, address: a.address }),
        (next_hop(), next_hop_kind()).prop_map(|(id, kind)| Change::PutNextHop(NextHop { id, kind })),
        next_hop().prop_map(Change::DeleteNextHop),
        (vrf(), network(), next_hop()).prop_map(|(vrf, prefix, next_hop)| Change::PutRoute {
            vrf,
            prefix,
            next_hop
        }),
        (vrf(), network()).prop_map(|(vrf, prefix)| Change::DeleteRoute { vrf, prefix }),
        (network(), next_hop()).prop_map(|(dst, next_hop)| {
            let route = PolicyRoute { priority: 1, src: prefix("10.1.0.8/29"), dst, next_hop };
            Change::PutPolicyRoute { vrf: INNER, route }
        }),
        network().prop_map(|dst| {
            Change::DeletePolicyRoute { vrf: INNER, priority: 1, src: prefix("10.1.0.8/29"), dst }
        }),
        (0u16..3, any::<bool>(), select(vec!["10.2.0.0/24", "203.0.113.0/24"])).prop_map(
            |(order, bypass, dst)| {
                let action = if bypass { Action::Bypass } else { Action::Discard };
                Change::PutSpdEntry { vrf: INNER, order, entry: spd_entry(action, "10.1.0.0/24", dst) }
            }
        ),
        (0u16..3).prop_map(|order| Change::DeleteSpdEntry { vrf: INNER, order }),
        (select(vec![TUNNEL, OTHER]), prop::option::of(select(FAR.to_vec())))
            .prop_map(|(id, probe)| { Change::PutTunnel(Tunnel { probe: probe.map(ip), ..tunnel(id) }) }),
        select(vec![TUNNEL, OTHER]).prop_map(Change::DeleteTunnel),
    ]
}

fn neighbour() -> impl Strategy<Value = Change<u32>> {
    let whose = || {
        let near = NEAR.iter().map(|address| (INSIDE, *address));
        let peers = PEERS.iter().map(|address| (OUTSIDE, *address));
        select(near.chain(peers).collect::<Vec<_>>()).prop_map(|(id, address)| (id, ip(address)))
    };
    let state = select(vec![NeighbourState::Reachable, NeighbourState::Reachable, NeighbourState::Failed]);
    prop_oneof![
        4 => (whose(), state, 1u8..3).prop_map(|((interface, address), state, mac)| Change::PutNeighbour {
            interface,
            address,
            neighbour: Neighbour { state, mac: MacAddr([2, 0, 0, 0, 0, mac]) }
        }),
        1 => whose().prop_map(|(interface, address)| Change::DeleteNeighbour { interface, address }),
    ]
}

fn sa() -> impl Strategy<Value = Changes> {
    let spi = || select(SPIS.to_vec()).prop_map(spi);
    let selector = (select(vec!["10.1.0.0/24", "10.1.0.0/28"]), network())
        .prop_map(|(near, far)| SelectorPair::between(prefix(near), far));
    let path = (select(PEERS.to_vec()), select(vec![1280u16, 1400])).prop_map(|(remote, outbound)| {
        let mtu = PathMtu { outbound, inbound: u16::MAX };
        Change::PutPathMtu { vrf: OUTER, remote: ip(remote), mtu }
    });
    let again = (spi(), select(vec![TUNNEL, OTHER]), any::<bool>(), any::<bool>());
    prop_oneof![
        3 => again.prop_map(|(spi, tunnel, active, replaces)| {
            let gone = replaces.then_some(Change::FreeSpi(spi));
            gone.into_iter().chain(install(spi, tunnel, active)).collect()
        }),
        2 => (spi(), selector).prop_map(|(spi, selector)| vec![Change::AddSelector { spi, selector }]),
        3 => spi().prop_map(|spi| vec![Change::ActivateOutbound(spi)]),
        1 => spi().prop_map(|spi| vec![Change::DeleteOutbound(spi)]),
        1 => spi().prop_map(|spi| vec![Change::DeleteInbound(spi)]),
        2 => spi().prop_map(|spi| vec![Change::FreeSpi(spi)]),
        1 => (spi(), select(PEERS.to_vec())).prop_map(|(spi, remote)| {
            vec![Change::UpdateOuter { spi, outer: native(remote) }]
        }),
        1 => path.prop_map(|change| vec![change]),
    ]
}

fn changes() -> impl Strategy<Value = Changes> {
    prop_oneof![
        3 => sa(),
        1 => neighbour().prop_map(|change| vec![change]),
        3 => way().prop_map(|change| vec![change]),
    ]
}

fn two_tunnels() -> Tables<u32> {
    let mut tables = gateway();
    let near = NEAR.iter().map(|address| (INSIDE, *address));
    let neighbours = near.chain([(OUTSIDE, PEERS[0])]).map(|(interface, address)| {
        let neighbour = Neighbour { state: NeighbourState::Reachable, mac: MacAddr([2, 0, 0, 0, 0, 1]) };
        Change::PutNeighbour { interface, address: ip(address), neighbour }
    });
    let [out, within] = [1, 2].map(|n| NextHopId(GROUP.0 + n));
    let by = |interface, gateway| NextHopKind::Interface { interface, gateway: Some(ip(gateway)) };
    let put = |id, kind| Change::PutNextHop(NextHop { id, kind });
    let route = |to, next_hop| Change::PutRoute { vrf: INNER, prefix: prefix(to), next_hop };
    let policy =
        PolicyRoute { priority: 1, src: prefix("10.1.0.8/29"), dst: prefix("10.2.0.0/25"), next_hop: within };
    let bypass = spd_entry(Action::Bypass, "10.1.0.0/24", "203.0.113.0/24");
    let ways = [
        Change::PutTunnel(tunnel(OTHER)),
        put(GROUP, group(&[TUNNEL, OTHER], 3)),
        put(out, by(OUTSIDE, PEERS[0])),
        put(within, by(INSIDE, NEAR[0])),
        route("10.3.0.0/16", GROUP),
        route("203.0.113.0/24", out),
        Change::PutPolicyRoute { vrf: INNER, route: policy },
        Change::PutSpdEntry { vrf: INNER, order: 0, entry: bypass },
    ];
    apply(&mut tables, neighbours.chain(ways));
    tables
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_is_remembered_is_what_would_be_decided(
        transactions in prop::collection::vec(prop::collection::vec(changes(), 1..3), 1..40),
    ) {
        let (mut tables, subjects) = (two_tunnels(), Subject::all());
        // By subject and what was said of it: the version that said so last, which is believed for the longest time.
        let mut memories = HashMap::new();
        for transaction in transactions {
            for (index, subject) in subjects.iter().enumerate() {
                if let Some(way) = subject.ask(&tables) {
                    memories.insert((index, way), tables.version());
                }
            }
            let mut next = tables.clone();
            if transaction.into_iter().flatten().any(|change| next.apply(change).is_err()) {
                continue;
            }
            next.commit();
            tables = next;
            for ((index, way), version) in &memories {
                let subject = subjects[*index];
                if subject.holds(*way, *version, &tables) {
                    prop_assert_eq!(subject.ask(&tables), Some(*way), "{:?} of version {}", subject, version);
                }
            }
        }
    }
}

/// How much of what is remembered of two tunnels and of neighbours outlives the changes.
fn kept(changes: Changes) -> usize {
    let mut tables = two_tunnels();
    apply(&mut tables, install(spi(SPIS[1]), OTHER, true));
    let asked: Vec<_> =
        Subject::all().into_iter().filter_map(|subject| Some((subject, subject.ask(&tables)?))).collect();
    let version = tables.version();
    apply(&mut tables, changes);
    asked.iter().filter(|(subject, way)| subject.holds(*way, version, &tables)).count()
}

#[test]
fn a_change_of_sas_ends_what_is_remembered_of_their_tunnel_only() {
    let all = kept(Vec::new());
    let third = || spi(SPIS[2]);
    let mut rekey = install(third(), TUNNEL, false);
    assert_eq!(kept(rekey), all, "it does not send yet");
    rekey = install(third(), TUNNEL, true);
    let after_rekey = kept(rekey);
    assert!((all / 3..all).contains(&after_rekey), "{after_rekey} of {all}");
    assert_eq!(kept(vec![reserve(third()), Change::FreeSpi(third())]), all);
    let many: Changes = (0..64).flat_map(|n| install(spi(0x1_0100 + n), TUNNEL, true)).collect();
    assert_eq!(kept(many), 0, "more than are worth to be looked at");
}

#[test]
fn news_of_neighbours_and_paths_end_nothing_but_a_change_does() {
    let all = kept(Vec::new());
    let put = |address, state, mac| {
        let neighbour = Neighbour { state, mac: MacAddr([2, 0, 0, 0, 0, mac]) };
        vec![Change::PutNeighbour { interface: INSIDE, address: ip(address), neighbour }]
    };
    let mtu = PathMtu { outbound: 1280, inbound: 1280 };
    assert_eq!(kept(vec![Change::PutPathMtu { vrf: OUTER, remote: ip(PEERS[0]), mtu }]), all);
    assert_eq!(kept(put("10.1.0.77", NeighbourState::Reachable, 7)), all);
    assert_eq!(kept(put(NEAR[0], NeighbourState::Reachable, 1)), all);
    assert_eq!(kept(put(NEAR[0], NeighbourState::Reachable, 2)), 0);
    assert_eq!(kept(put(NEAR[0], NeighbourState::Failed, 1)), 0);
    assert_eq!(kept(vec![Change::DeleteNeighbour { interface: INSIDE, address: ip(NEAR[0]) }]), 0);
}
