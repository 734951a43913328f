use super::*;
use crate::ids::NextHopId;
use crate::policy::PolicyRoute;
use crate::selectors::SelectorPair;
use crate::spd::Action;
use crate::tables::{Change, NextHop, Tunnel};
use crate::testing::*;

fn packet(dst: &str) -> Flow {
    flow(&udp("10.1.0.9", dst, (1000, 53), &[0; 100]))
}

fn decide(tables: &Tables<u32>, flow: &Flow, ingress: Ingress) -> String {
    match decide_inner(tables, INNER, flow, ingress) {
        Outcome::Encapsulate(child) => format!("sa {}", child.entry.spi),
        Outcome::Forward(egress) => format!("forward {} to {}", egress.interface.id, egress.neighbour),
        Outcome::Reassemble => "reassemble".into(),
        Outcome::Local => "local".into(),
        Outcome::Acquire(tunnel) => format!("acquire {tunnel}"),
        Outcome::TimeExceeded => "time exceeded".into(),
        Outcome::TooBig { mtu } => format!("too big {mtu}"),
        Outcome::Fragment { mtu, .. } => format!("fragment {mtu}"),
        Outcome::Drop(reason) => reason.name().into(),
    }
}

fn inside(tables: &Tables<u32>, dst: &str) -> String {
    decide(tables, &packet(dst), Ingress::Inside)
}

#[test]
fn routes_choose_the_tunnel_and_selectors_the_child() {
    let mut tables = gateway();
    assert_eq!(inside(&tables, "10.2.0.9"), "sa 00010001");
    assert_eq!(inside(&tables, "10.1.0.77"), "forward 1 to 10.1.0.77");
    assert_eq!(inside(&tables, "10.1.0.1"), "local");
    assert_eq!(inside(&tables, "10.3.0.9"), "no_route");
    // Routed into the tunnel but not negotiated.
    apply(&mut tables, [Change::PutRoute { vrf: INNER, prefix: prefix("10.3.0.0/24"), next_hop: GROUP }]);
    assert_eq!(inside(&tables, "10.3.0.9"), "no_matching_selector");
    // A second SA with the wider selectors is newer, but both match what they match.
    let wide = SelectorPair::between(prefix("10.1.0.0/24"), prefix("10.3.0.0/24"));
    let mut second = install(spi(0x1_0002), TUNNEL, true);
    second.pop();
    apply(
        &mut tables,
        second.into_iter().chain([Change::AddSelector { spi: spi(0x1_0002), selector: wide }]),
    );
    assert_eq!(inside(&tables, "10.3.0.9"), "sa 00010002");
    assert_eq!(inside(&tables, "10.2.0.9"), "sa 00010001");
}

#[test]
fn a_rekey_switches_when_the_new_sa_is_activated() {
    let mut tables = gateway();
    apply(&mut tables, install(spi(0x1_0002), TUNNEL, false));
    assert_eq!(inside(&tables, "10.2.0.9"), "sa 00010001");
    apply(&mut tables, [Change::ActivateOutbound(spi(0x1_0002))]);
    assert_eq!(inside(&tables, "10.2.0.9"), "sa 00010002");
    apply(&mut tables, [Change::DeleteInbound(spi(0x1_0001))]);
    assert_eq!(inside(&tables, "10.2.0.9"), "sa 00010002");
}

#[test]
fn nothing_leaves_in_clear_whatever_goes_down() {
    let mut tables = gateway();
    let out = NextHopKind::Interface { interface: OUTSIDE, gateway: Some(ip("192.0.2.254")) };
    apply(
        &mut tables,
        [
            Change::PutNextHop(NextHop { id: NextHopId(1), kind: out }),
            Change::PutRoute { vrf: INNER, prefix: prefix("0.0.0.0/0"), next_hop: NextHopId(1) },
        ],
    );
    apply(&mut tables, [Change::DeleteInbound(spi(0x1_0001))]);
    assert_eq!(inside(&tables, "10.2.0.9"), "tunnel_down");
    apply(&mut tables, [Change::PutNextHop(NextHop { id: GROUP, kind: group(&[TUNNEL], 0) })]);
    assert_eq!(inside(&tables, "10.2.0.9"), "no_active_tunnel");
    apply(&mut tables, [Change::DeleteRoute { vrf: INNER, prefix: prefix("10.2.0.0/24") }]);
    assert_eq!(inside(&tables, "10.2.0.9"), "cleartext_refused");
    let entry = spd_entry(Action::Bypass, "10.1.0.0/24", "203.0.113.0/24");
    apply(&mut tables, [Change::PutSpdEntry { vrf: INNER, order: 7, entry }]);
    assert_eq!(inside(&tables, "203.0.113.9"), "forward 0 to 192.0.2.254");
    assert_eq!(inside(&tables, "10.2.0.9"), "cleartext_refused");
}

#[test]
fn the_policy_is_asked_before_the_routes_and_no_bypass_keeps_a_packet_out_of_its_tunnel() {
    let mut tables = gateway();
    let put = |tables: &mut Tables<u32>, order, action, dst| {
        let entry = spd_entry(action, "10.1.0.0/24", dst);
        apply(tables, [Change::PutSpdEntry { vrf: INNER, order, entry }]);
    };
    put(&mut tables, 9, Action::Bypass, "10.2.0.0/24");
    assert_eq!(inside(&tables, "10.2.0.9"), "sa 00010001");
    put(&mut tables, 8, Action::Discard, "10.2.0.8/31");
    for ingress in [Ingress::Inside, Ingress::Own, Ingress::Tunnel(TUNNEL)] {
        assert_eq!(decide(&tables, &packet("10.2.0.9"), ingress), "policy_discard");
    }
    assert_eq!(inside(&tables, "10.2.0.10"), "sa 00010001");
    put(&mut tables, 7, Action::Bypass, "10.2.0.9/32");
    assert_eq!(inside(&tables, "10.2.0.9"), "sa 00010001", "the first entry decides");
    put(&mut tables, 6, Action::Discard, "10.1.0.1/32");
    assert_eq!(inside(&tables, "10.1.0.1"), "policy_discard", "our own address, too");
    apply(&mut tables, [Change::DeleteSpdEntry { vrf: INNER, order: 6 }]);
    assert_eq!(inside(&tables, "10.1.0.1"), "local");
}

#[test]
fn traffic_wakes_a_tunnel_that_may_be_negotiated_on_demand() {
    let mut tables = gateway();
    apply(
        &mut tables,
        [Change::FreeSpi(spi(0x1_0001)), Change::PutTunnel(Tunnel { acquire: true, ..tunnel(TUNNEL) })],
    );
    assert_eq!(inside(&tables, "10.2.0.9"), "acquire 7");
    apply(&mut tables, [Change::PutNextHop(NextHop { id: GROUP, kind: group(&[TUNNEL], 0) })]);
    assert_eq!(inside(&tables, "10.2.0.9"), "acquire 7");
}

#[test]
fn policy_routes_come_first_but_not_before_our_own_addresses() {
    let mut tables = gateway();
    let route = PolicyRoute {
        priority: 10,
        src: prefix("10.1.0.0/24"),
        dst: prefix("0.0.0.0/0"),
        next_hop: NextHopId(2),
    };
    apply(
        &mut tables,
        [
            Change::PutNextHop(NextHop { id: NextHopId(2), kind: NextHopKind::Discard }),
            Change::PutPolicyRoute { vrf: INNER, route },
        ],
    );
    assert_eq!(inside(&tables, "10.2.0.9"), "route_discard");
    assert_eq!(inside(&tables, "10.1.0.1"), "local");
    apply(
        &mut tables,
        [Change::DeletePolicyRoute { vrf: INNER, priority: 10, src: route.src, dst: route.dst }],
    );
    assert_eq!(inside(&tables, "10.2.0.9"), "sa 00010001");
}

#[test]
fn the_hop_limit_ends_at_one_but_not_for_our_own_packets() {
    let tables = gateway();
    for dst in ["10.2.0.9", "10.1.0.77"] {
        let last = Flow { hop_limit: 1, ..packet(dst) };
        assert_eq!(decide(&tables, &last, Ingress::Inside), "time exceeded");
        assert_eq!(decide(&tables, &last, Ingress::Tunnel(TUNNEL)), "time exceeded");
        assert_ne!(decide(&tables, &last, Ingress::Own), "time exceeded");
    }
    assert_eq!(decide(&tables, &Flow { hop_limit: 1, ..packet("10.1.0.1") }, Ingress::Inside), "local");
}

#[test]
fn size_is_judged_by_the_inner_mtu() {
    let tables = gateway();
    let sized = |len, dont_fragment| {
        decide(&tables, &Flow { len, dont_fragment, ..packet("10.2.0.9") }, Ingress::Inside)
    };
    assert_eq!(sized(1446, true), "sa 00010001");
    assert_eq!(sized(1447, true), "too big 1446");
    assert_eq!(sized(1447, false), "fragment 1446");
    let clear = Flow { len: 1501, ..packet("10.1.0.77") };
    assert_eq!(decide(&tables, &clear, Ingress::Tunnel(TUNNEL)), "too big 1500");
}

#[test]
fn martians_are_named() {
    let tables = gateway();
    for (dst, reason) in [
        ("127.0.0.1", "martian_destination"),
        ("0.0.0.0", "martian_destination"),
        ("255.255.255.255", "martian_destination"),
        ("10.1.0.255", "martian_destination"),
        ("10.1.0.0", "martian_destination"),
        ("239.1.1.1", "multicast_destination"),
    ] {
        assert_eq!(inside(&tables, dst), reason, "{dst}");
    }
    for src in ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"] {
        let flow = flow(&udp(src, "10.2.0.9", (1, 2), b""));
        assert_eq!(decide(&tables, &flow, Ingress::Inside), "martian_source");
    }
    let land = flow(&udp("10.1.0.1", "10.1.0.1", (1, 2), b""));
    assert_eq!(decide(&tables, &land, Ingress::Inside), "martian_source");
    assert_eq!(decide(&tables, &land, Ingress::Tunnel(TUNNEL)), "martian_source");
    assert_eq!(decide(&tables, &land, Ingress::Own), "local");
}

/// [`gateway`] with an IPv6 network on each side of the tunnel.
fn dual_stack() -> Tables<u32> {
    let mut tables = gateway();
    let selector = SelectorPair::between(prefix("2001:db8:1::/64"), prefix("2001:db8:2::/64"));
    apply(
        &mut tables,
        [
            address(INSIDE, "2001:db8:1::1", 64),
            Change::PutRoute { vrf: INNER, prefix: prefix("2001:db8:2::/64"), next_hop: GROUP },
            Change::AddSelector { spi: spi(0x1_0001), selector },
        ],
    );
    tables
}

#[test]
fn ipv6_follows_the_same_decision() {
    let tables = dual_stack();
    let v6 = |dst: &str| flow(&ipv6("2001:db8:1::9", dst, 17, &[0; 8]));
    let inside = |dst: &str| decide(&tables, &v6(dst), Ingress::Inside);
    assert_eq!(inside("2001:db8:2::9"), "sa 00010001");
    assert_eq!(inside("2001:db8:1::77"), "forward 1 to 2001:db8:1::77");
    assert_eq!(inside("2001:db8:1::1"), "local");
    assert_eq!(inside("2001:db8:3::9"), "no_route");
    let large = Flow { len: 1447, ..v6("2001:db8:2::9") };
    assert_eq!(decide(&tables, &large, Ingress::Inside), "too big 1446", "no router fragments IPv6");
    let last = Flow { hop_limit: 1, ..v6("2001:db8:2::9") };
    assert_eq!(decide(&tables, &last, Ingress::Inside), "time exceeded");
}

#[test]
fn ipv6_martians_are_named() {
    let tables = dual_stack();
    let verdict = |src, dst| decide(&tables, &flow(&ipv6(src, dst, 17, &[0; 8])), Ingress::Inside);
    let (src, dst) = ("2001:db8:1::9", "2001:db8:2::9");
    for (dst, reason) in [
        ("::", "martian_destination"),
        ("::1", "martian_destination"),
        ("::ffff:10.2.0.9", "martian_destination"),
        ("ff02::1", "multicast_destination"),
        ("ff0e::1", "multicast_destination"),
        ("fe80::1", "link_local"),
    ] {
        assert_eq!(verdict(src, dst), reason, "{dst}");
    }
    for src in ["::", "::1", "::ffff:10.1.0.9", "ff02::1"] {
        assert_eq!(verdict(src, dst), "martian_source", "{src}");
    }
    assert_eq!(verdict("fe80::9", dst), "link_local");
}

#[test]
fn flows_spread_over_the_active_tunnels_and_stay() {
    let mut tables = gateway();
    let ids: Vec<_> = (20..24).map(TunnelId).collect();
    for (i, id) in ids.iter().enumerate() {
        let name = spi(0x2_0010 + u32::try_from(i).expect("small"));
        apply(&mut tables, std::iter::once(Change::PutTunnel(tunnel(*id))).chain(install(name, *id, true)));
    }
    let mut shares = |active: u16| {
        apply(&mut tables, [Change::PutNextHop(NextHop { id: GROUP, kind: group(&ids, active) })]);
        let mut shares = [0; 4];
        for port in 0..400 {
            let flow = flow(&udp("10.1.0.9", "10.2.0.9", (1000 + port, 53), b""));
            let Outcome::Encapsulate(child) = decide_inner(&tables, INNER, &flow, Ingress::Inside) else {
                panic!("no tunnel")
            };
            shares[child.entry.tunnel.index() - 20] += 1;
        }
        shares
    };
    assert!(shares(0b1111).iter().all(|share| *share > 60));
    let two = shares(0b1010);
    assert!(two[0] == 0 && two[2] == 0 && two[1] > 140 && two[3] > 140, "{two:?}");
    assert_eq!(shares(0b0100), [0, 0, 400, 0]);
}
