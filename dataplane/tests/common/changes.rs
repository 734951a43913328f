//! Changes of the tables of two gateways that face each other, of every kind.

use crypto::{Key, Suite};
use esplanade_dataplane::shared::Tables;
use packet::esp::{DfPolicy, Encap, OuterEndpoints};
use packet::neighbour::{Neighbour, NeighbourState};
use packet::policy::PolicyRoute;
use packet::selectors::SelectorPair;
use packet::spd::Action;
use packet::tables::{Change, InterfaceAddress, NextHop, NextHopKind, PathMtu, Role, Tunnel, TunnelGroup};
use packet::{InterfaceId, MacAddr, NextHopId, Prefix};

use crate::common::Gateway;
use crate::common::frames::Random;
use crate::common::setup::{
    ChildSa, FIRST, INNER, INTO_TUNNEL, LAN_IF, OUTER, SECOND, TUNNEL, WAN_IF, address, port_of, prefix,
    spd_entry,
};

/// SAs that come and go, the first of which was there from the start.
const SAS: usize = 3;

fn pick<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len())]
}

fn sa(suite: Suite, n: usize) -> ChildSa {
    let n = u32::try_from(n).expect("few");
    let first = ChildSa::new(suite);
    ChildSa { ours: first.ours + n, theirs: first.theirs + n, ..first }
}

/// Changes something at the near gateway, at both where they must agree. What is refused changes nothing.
pub(crate) fn change_something(random: &mut Random, near: &mut Gateway, far: &mut Gateway, suite: Suite) {
    // Changes of ways end all that is remembered: they are rare enough for those of SAs to matter.
    match random.below(12) {
        0..5 => install(random, near, far, suite),
        5..9 => {
            let change = change_of_sa(random, suite);
            apply(&mut near.tables, [change]);
        }
        9 => {
            let change = change_of_a_way(random);
            apply(&mut near.tables, [change]);
        }
        10 => {
            let change = change_of_an_interface(random);
            apply(&mut near.tables, [change]);
        }
        _ => {
            let change = change_behind(random);
            apply(&mut far.tables, [change]);
        }
    }
}

fn apply(tables: &mut Tables, changes: impl IntoIterator<Item = Change<Key>>) {
    let mut next = tables.clone();
    if changes.into_iter().all(|change| next.apply(change).is_ok()) {
        next.commit();
        *tables = next;
    }
}

/// An SA comes, where another may have been under the same SPI, with other selectors.
fn install(random: &mut Random, near: &mut Gateway, far: &mut Gateway, suite: Suite) {
    let remote = pick(random, &["10.2.0.0/24", "10.2.0.0/29", "10.2.0.8/29", "10.0.0.0/8"]);
    let selector =
        SelectorPair::between(prefix(pick(random, &["10.1.0.0/24", "10.1.0.0/29"])), prefix(remote));
    let active = random.below(2) == 0;
    let sa = ChildSa { active, selector: Some(selector), ..sa(suite, random.below(SAS)) };
    let ends = [(near, sa.clone()), (far, ChildSa { active: true, ..sa.mirrored() })];
    // The far end alone may let less pass.
    for (gateway, sa) in ends.into_iter().skip(random.below(2)) {
        let mut next = gateway.tables.clone();
        if next.sad().entry(sa.spi()).is_some() {
            next.apply(Change::FreeSpi(sa.spi())).expect("it is there");
        }
        sa.install(&mut next, &*gateway.engine);
        gateway.tables = next;
    }
}

fn change_of_sa(random: &mut Random, suite: Suite) -> Change<Key> {
    let spi = sa(suite, random.below(SAS)).spi();
    match random.below(10) {
        0..4 => Change::ActivateOutbound(spi),
        4 => Change::DeleteOutbound(spi),
        5 => Change::DeleteInbound(spi),
        6 => Change::FreeSpi(spi),
        7 | 8 => {
            let selector = SelectorPair::between(prefix("10.1.0.0/24"), prefix("10.0.0.0/8"));
            Change::AddSelector { spi, selector }
        }
        _ => {
            let (local, remote) = (FIRST.outside, pick(random, &[FIRST.peer, FIRST.peer, "192.0.2.3"]));
            let encap = Encap::Native;
            let (local, remote) = (address(local), address(remote));
            Change::UpdateOuter {
                spi,
                outer: OuterEndpoints { vrf: OUTER, local, remote, encap, keepalive_secs: 0 },
            }
        }
    }
}

fn change_of_a_way(random: &mut Random) -> Change<Key> {
    let networks = ["10.2.0.0/24", "10.2.0.0/30", "10.3.0.0/16", "203.0.113.0/24"];
    let dst: Prefix = prefix(pick(random, &networks));
    let next_hop = pick(random, &[INTO_TUNNEL, INTO_TUNNEL, NextHopId(10), NextHopId(12), NextHopId(14)]);
    let (vrf, priority, src) = (INNER, 3, prefix("10.1.0.0/30"));
    let order = u16::try_from(random.below(4)).expect("small");
    match random.below(9) {
        0 => Change::PutRoute { vrf, prefix: dst, next_hop },
        1 => Change::DeleteRoute { vrf, prefix: dst },
        2 => Change::PutPolicyRoute { vrf, route: PolicyRoute { priority, src, dst, next_hop } },
        3 => Change::DeletePolicyRoute { vrf, priority, src, dst },
        4 => {
            let action = pick(random, &[Action::Bypass, Action::Discard]);
            Change::PutSpdEntry { vrf, order, entry: spd_entry(action, prefix("10.1.0.0/24"), dst) }
        }
        5 | 6 => Change::DeleteSpdEntry { vrf, order },
        7 => {
            let group = TunnelGroup { tunnels: [TUNNEL].into_iter().collect(), active: 1 };
            let gateway = Some(address("10.1.0.1"));
            let kind = match random.below(3) {
                0 => NextHopKind::Interface { interface: LAN_IF, gateway },
                _ => NextHopKind::Tunnels(group),
            };
            Change::PutNextHop(NextHop { id: INTO_TUNNEL, kind })
        }
        _ => Change::PutTunnel(Tunnel {
            mtu: pick(random, &[0, 600, 1400]),
            df: pick(random, &[DfPolicy::Copy, DfPolicy::Clear]),
            ..tunnel()
        }),
    }
}

fn tunnel() -> Tunnel {
    let tables = crate::common::setup::tables(FIRST, |_| {});
    *tables.tunnel(TUNNEL).expect("it has one")
}

/// At the far gateway: of what becomes of packets that were opened.
fn change_behind(random: &mut Random) -> Change<Key> {
    let (vrf, order) = (INNER, 0);
    match random.below(4) {
        0 => {
            let dst = prefix(pick(random, &["10.2.0.0/24", "10.2.0.0/30"]));
            let entry = spd_entry(Action::Discard, prefix("10.1.0.0/24"), dst);
            Change::PutSpdEntry { vrf, order, entry }
        }
        1 => Change::DeleteSpdEntry { vrf, order },
        _ => change_of_a_neighbour(random, &[(LAN_IF, SECOND.host), (LAN_IF, "10.2.0.9")]),
    }
}

fn change_of_a_neighbour(random: &mut Random, whose: &[(InterfaceId, &str)]) -> Change<Key> {
    let (interface, host) = pick(random, whose);
    let address = address(host);
    if random.below(5) == 0 {
        return Change::DeleteNeighbour { interface, address };
    }
    let states = [NeighbourState::Reachable, NeighbourState::Reachable, NeighbourState::Failed];
    let (state, mac) = (pick(random, &states), MacAddr([2, 0, 0, 0, 0, pick(random, &[0x40, 0x41])]));
    Change::PutNeighbour { interface, address, neighbour: Neighbour { state, mac } }
}

/// Of an interface, or of what is behind it.
fn change_of_an_interface(random: &mut Random) -> Change<Key> {
    let id: InterfaceId = pick(random, &[WAN_IF, LAN_IF]);
    let ours = [(WAN_IF, "192.0.2.9"), (LAN_IF, "10.1.0.9"), (LAN_IF, "10.2.0.9")];
    let (interface, own) = pick(random, &ours);
    match random.below(9) {
        0 => {
            let (role, vrf) = if id == WAN_IF { (Role::Outside, OUTER) } else { (Role::Inside, INNER) };
            let mtu = pick(random, &[1200, 1500, 1500]);
            Change::PutInterface { id, port: port_of(id), vlan: None, role, vrf, mtu }
        }
        1 => {
            let address = InterfaceAddress { address: address(own), prefix_len: 32 };
            Change::PutAddress { interface, address }
        }
        2 => Change::DeleteAddress { interface, address: address(own) },
        3 => {
            let mtu = PathMtu { outbound: pick(random, &[800, 1400]), inbound: u16::MAX };
            Change::PutPathMtu { vrf: OUTER, remote: address(FIRST.peer), mtu }
        }
        4 => Change::DeletePathMtu { vrf: OUTER, remote: address(FIRST.peer) },
        _ => {
            let peers = [(WAN_IF, FIRST.peer), (WAN_IF, "192.0.2.3")];
            let hosts = [(LAN_IF, FIRST.host), (LAN_IF, "10.1.0.77")];
            change_of_a_neighbour(random, &[peers, hosts].concat())
        }
    }
}
