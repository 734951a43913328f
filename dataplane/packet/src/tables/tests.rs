use super::*;
use crate::esp::{DscpPolicy, Encap, OuterEndpoints};
use crate::ids::MacAddr;
use crate::neighbour::{Neighbour, NeighbourState};
use crate::policy::PolicyRoute;
use crate::sad::{SaState, SpiLookup};
use crate::selectors::SelectorPair;
use crate::spd::{Action, MAX_ENTRIES};
use crate::testing::*;

const SPI: u32 = 0x1_0001;

fn refuse(tables: &Tables<u32>, change: Change<u32>) -> ChangeError {
    tables.clone().apply(change).expect_err("must be refused")
}

#[test]
fn a_clone_changes_alone_and_versions_rise() {
    let before = gateway();
    let mut after = before.clone();
    apply(&mut after, [Change::DeleteRoute { vrf: INNER, prefix: prefix("10.2.0.0/24") }]);
    assert!(before.vrf(INNER).expect("there").route(ip("10.2.0.1")).is_some());
    assert!(after.vrf(INNER).expect("there").route(ip("10.2.0.1")).is_none());
    assert_eq!(after.version(), before.version() + 1);
}

#[test]
fn interfaces_are_found_by_port_and_tag() {
    let mut tables = gateway();
    let vlan = VlanId::new(100);
    let put = |id, vlan, mtu| Change::PutInterface {
        id: InterfaceId(id),
        port: PortId(0),
        vlan,
        role: Role::Inside,
        vrf: VrfId(5),
        mtu,
    };
    apply(&mut tables, [put(2, vlan, 9000)]);
    assert_eq!(tables.interface_on(PortId(0), None).map(|i| i.id), Some(OUTSIDE));
    assert_eq!(tables.interface_on(PortId(0), vlan).map(|i| i.id.0), Some(2));
    assert!(tables.interface_on(PortId(0), VlanId::new(101)).is_none());
    assert!(matches!(
        refuse(&tables, put(9, vlan, 1500)),
        ChangeError::VlanTaken { vlan: 100, other: InterfaceId(2), .. }
    ));
    assert!(matches!(
        refuse(&tables, put(9, None, 575)),
        ChangeError::OutOfRange { field: "interface mtu", .. }
    ));
    apply(&mut tables, [Change::DeleteInterface(InterfaceId(2))]);
    assert!(tables.interface_on(PortId(0), vlan).is_none());
}

#[test]
fn an_interface_takes_its_addresses_to_another_vrf() {
    let mut tables = gateway();
    apply(&mut tables, [interface(INSIDE, Role::Inside, VrfId(8))]);
    assert!(tables.is_local(VrfId(8), ip("10.1.0.1")) && !tables.is_local(INNER, ip("10.1.0.1")));
    assert!(tables.egress(VrfId(8), ip("10.1.0.77")).is_ok());
}

#[test]
fn addresses_are_checked() {
    let tables = gateway();
    let refused = |interface, a, len| refuse(&tables, address(interface, a, len));
    assert!(matches!(refused(INSIDE, "10.1.0.0", 24), ChangeError::NotAHost { .. }));
    assert!(matches!(refused(INSIDE, "10.1.0.255", 24), ChangeError::NotAHost { .. }));
    assert!(matches!(refused(INSIDE, "224.0.0.1", 24), ChangeError::NotAHost { .. }));
    assert!(matches!(refused(INSIDE, "10.1.0.1", 33), ChangeError::OutOfRange { field: "prefix_len", .. }));
    assert!(matches!(
        refused(InterfaceId(9), "10.9.0.1", 24),
        ChangeError::Missing { object: "interface", id: 9 }
    ));
    let mut tables = tables;
    apply(
        &mut tables,
        [Change::PutInterface {
            id: InterfaceId(2),
            port: PortId(2),
            vlan: None,
            role: Role::Inside,
            vrf: INNER,
            mtu: 1500,
        }],
    );
    let refused = |a, len| refuse(&tables, address(InterfaceId(2), a, len));
    assert!(matches!(refused("10.1.0.1", 32), ChangeError::AddressTaken { other: INSIDE, .. }));
    assert!(matches!(refused("10.1.0.9", 16), ChangeError::SubnetOverlap { other: INSIDE, .. }));
    apply(&mut tables, [address(InterfaceId(2), "10.1.0.9", 32), address(InterfaceId(2), "10.7.0.1", 31)]);
}

#[test]
fn an_address_shadows_a_route_of_its_prefix_until_it_goes() {
    let mut tables = gateway();
    let subnet = prefix("10.2.0.0/24");
    apply(&mut tables, [address(INSIDE, "10.2.0.1", 24), address(INSIDE, "10.2.0.2", 24)]);
    let target =
        |tables: &Tables<u32>| *tables.vrf(INNER).expect("there").route(ip("10.2.0.9")).expect("routed");
    assert_eq!(target(&tables), RouteTarget::Connected(INSIDE));
    apply(&mut tables, [Change::DeleteAddress { interface: INSIDE, address: ip("10.2.0.1") }]);
    assert_eq!(target(&tables), RouteTarget::Connected(INSIDE), "the other address has the subnet too");
    let mut listed = Vec::new();
    tables.vrf(INNER).expect("there").for_each_route(|prefix, _| listed.push(prefix));
    assert_eq!(listed, [subnet]);
    apply(&mut tables, [Change::DeleteAddress { interface: INSIDE, address: ip("10.2.0.2") }]);
    assert_eq!(target(&tables), RouteTarget::NextHop(GROUP));
    // Deleting a shadowed route removes it for good.
    apply(&mut tables, [address(INSIDE, "10.2.0.1", 24), Change::DeleteRoute { vrf: INNER, prefix: subnet }]);
    apply(&mut tables, [Change::DeleteAddress { interface: INSIDE, address: ip("10.2.0.1") }]);
    assert!(tables.vrf(INNER).expect("there").route(ip("10.2.0.9")).is_none());
}

#[test]
fn what_is_named_cannot_go() {
    let tables = gateway();
    assert!(matches!(
        refuse(&tables, Change::DeleteNextHop(GROUP)),
        ChangeError::InUse { object: "next hop", .. }
    ));
    assert!(matches!(
        refuse(&tables, Change::DeleteTunnel(TUNNEL)),
        ChangeError::InUse { by: "next hop", .. }
    ));
    let mut tables = tables;
    apply(
        &mut tables,
        [Change::DeleteRoute { vrf: INNER, prefix: prefix("10.2.0.0/24") }, Change::DeleteNextHop(GROUP)],
    );
    assert!(matches!(refuse(&tables, Change::DeleteTunnel(TUNNEL)), ChangeError::InUse { by: "SPI", .. }));
    apply(
        &mut tables,
        [Change::DeleteInbound(spi(SPI)), Change::DeleteTunnel(TUNNEL), Change::FreeSpi(spi(SPI))],
    );
    assert!(tables.sad().is_empty() && tables.children(TUNNEL).is_empty());
    let out =
        NextHop { id: NextHopId(1), kind: NextHopKind::Interface { interface: OUTSIDE, gateway: None } };
    apply(&mut tables, [Change::PutNextHop(out)]);
    assert!(matches!(
        refuse(&tables, Change::DeleteInterface(OUTSIDE)),
        ChangeError::InUse { object: "interface", .. }
    ));
}

#[test]
fn uses_of_a_next_hop_are_counted_through_changes() {
    let mut tables = gateway();
    let other = NextHopId(4);
    let route = |next_hop| Change::PutRoute { vrf: INNER, prefix: prefix("10.2.0.0/24"), next_hop };
    apply(
        &mut tables,
        [Change::PutNextHop(NextHop { id: other, kind: NextHopKind::Discard }), route(GROUP), route(other)],
    );
    assert!(matches!(refuse(&tables, Change::DeleteNextHop(other)), ChangeError::InUse { by_id: 1, .. }));
    apply(&mut tables, [Change::DeleteNextHop(GROUP)]);
}

#[test]
fn values_out_of_range_are_named() {
    let tables = gateway();
    let field = |change| match refuse(&tables, change) {
        ChangeError::OutOfRange { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(Change::PutTunnel(Tunnel { mtu: 100, ..tunnel(TUNNEL) })), "tunnel mtu");
    assert_eq!(field(Change::PutTunnel(Tunnel { mss: 1, ..tunnel(TUNNEL) })), "tunnel mss");
    assert_eq!(
        field(Change::PutTunnel(Tunnel { dscp: DscpPolicy::Fixed(64), ..tunnel(TUNNEL) })),
        "tunnel dscp"
    );
    assert_eq!(field(Change::PutTunnel(tunnel(TunnelId(MAX_ID)))), "tunnel id");
    let next_hop = |kind| Change::PutNextHop(NextHop { id: NextHopId(9), kind });
    assert_eq!(field(next_hop(group(&[], 0))), "tunnels of a next hop");
    assert_eq!(field(next_hop(group(&[TUNNEL], 2))), "active bitmap");
    let missing = refuse(&tables, next_hop(group(&[TunnelId(99)], 1)));
    assert_eq!(missing.to_string(), "tunnel 99 does not exist");
}

#[test]
fn an_sa_lives_from_reserved_to_free() {
    let mut tables = gateway();
    let new = spi(0x1_0002);
    assert!(matches!(tables.sad().lookup_inbound(new.value()), SpiLookup::Unknown));
    apply(&mut tables, [reserve(new)]);
    assert!(matches!(tables.sad().lookup_inbound(new.value()), SpiLookup::Reserved(_)));
    assert!(matches!(
        refuse(&tables, reserve(spi(0x2_0002 & !0xc000 | 0x4000_0000))),
        ChangeError::SlotTaken { .. }
    ));
    let mut changes = install(new, TUNNEL, false);
    apply(&mut tables, changes.drain(1..));
    assert!(matches!(tables.sad().lookup_inbound(new.value()), SpiLookup::Sa(..)));
    assert_eq!(tables.children(TUNNEL), [new, spi(SPI)]);
    assert!(tables.child(new).is_none(), "not active yet");
    apply(&mut tables, [Change::ActivateOutbound(new)]);
    assert!(tables.child(new).is_some());
    apply(&mut tables, [Change::DeleteInbound(new)]);
    let entry = tables.sad().entry(new).expect("lingers");
    assert_eq!((entry.state, entry.outbound.is_none()), (SaState::Lingering, true));
    assert!(matches!(tables.sad().lookup_inbound(new.value()), SpiLookup::Sa(..)));
    assert!(matches!(
        refuse(&tables, Change::DeleteInbound(new)),
        ChangeError::SpiState { found: "lingering", .. }
    ));
    apply(&mut tables, [Change::FreeSpi(new)]);
    assert!(matches!(tables.sad().lookup_inbound(new.value()), SpiLookup::Unknown));
    assert_eq!(tables.children(TUNNEL), [spi(SPI)]);
}

#[test]
fn installation_is_checked() {
    let mut tables = gateway();
    let new = spi(0x1_0002);
    apply(&mut tables, [reserve(new)]);
    let inbound =
        |sa, replay_window| Change::InstallInbound(InstallInbound { sa, replay_window, follow_nat: false });
    let sa = || parameters(new, TUNNEL, GCM);
    let text = |change| refuse(&tables, change).to_string();
    assert_eq!(text(inbound(sa(), 31)), "replay_window 31 is out of range 32..=32768");
    assert_eq!(text(inbound(SaParameters { tunnel: TunnelId(1), ..sa() }, 64)), "tunnel 1 does not exist");
    let v6 = OuterEndpoints { remote: ip("2001:db8::1"), ..native("192.0.2.2") };
    assert_eq!(text(inbound(SaParameters { outer: v6, ..sa() }, 64)), "outer mixes IPv4 and IPv6");
    let vrf = OuterEndpoints { vrf: VrfId(3), ..native("192.0.2.2") };
    assert_eq!(text(inbound(SaParameters { outer: vrf, ..sa() }, 64)), "outer vrf 3 is out of range 0..=0");
    let outbound =
        |sa, peer_spi| Change::InstallOutbound(InstallOutbound { sa, peer_spi, active: true, tfc: 0 });
    assert_eq!(text(outbound(sa(), 300)), "SPI 00010002 is reserved, but installed is needed");
    apply(&mut tables, [inbound(sa(), 64)]);
    let text = |change| refuse(&tables, change).to_string();
    assert_eq!(text(outbound(sa(), 255)), "peer_spi 255 is out of range 256..=4294967295");
    assert_eq!(
        text(outbound(SaParameters { esn: true, ..sa() }, 300)),
        "SPI 00010002: esn differs between the two halves"
    );
    assert_eq!(
        text(outbound(parameters(new, TUNNEL, CBC_SHA1), 300)),
        "SPI 00010002: suite differs between the two halves"
    );
    let mixed = SelectorPair::between(prefix("10.0.0.0/8"), prefix("::/0"));
    assert_eq!(text(Change::AddSelector { spi: new, selector: mixed }), "selector mixes IPv4 and IPv6");
}

#[test]
fn mtu_and_mss_follow_path_and_tunnel() {
    let mut tables = gateway();
    let sizes = |tables: &Tables<u32>| {
        let entry = tables.sad().entry(spi(SPI)).expect("installed");
        (entry.inner_mtu, entry.mss)
    };
    assert_eq!(sizes(&tables), (1446, 1406));
    let mtu = |mtu| Change::PutInterface {
        id: OUTSIDE,
        port: PortId(0),
        vlan: None,
        role: Role::Outside,
        vrf: OUTER,
        mtu,
    };
    let runtime = |tables: &Tables<u32>| {
        tables.sad().entry(spi(SPI)).expect("installed").outbound.clone().expect("there")
    };
    let before = runtime(&tables);
    apply(&mut tables, [mtu(1400)]);
    assert_eq!(sizes(&tables), (1346, 1306));
    apply(&mut tables, [Change::PutTunnel(Tunnel { mtu: 1300, ..tunnel(TUNNEL) })]);
    assert_eq!(sizes(&tables), (1300, 1260));
    let (vrf, remote) = (OUTER, ip("192.0.2.2"));
    let path = |outbound, inbound| PathMtu { outbound, inbound };
    apply(&mut tables, [Change::PutPathMtu { vrf, remote, mtu: path(1280, u16::MAX) }]);
    assert_eq!(sizes(&tables), (1226, 1186));
    apply(&mut tables, [Change::PutPathMtu { vrf, remote: ip("192.0.2.3"), mtu: path(576, 576) }]);
    assert_eq!(sizes(&tables), (1226, 1186), "another peer's path");
    apply(&mut tables, [Change::PutPathMtu { vrf, remote, mtu: path(1280, 1200) }]);
    assert_eq!(sizes(&tables), (1226, 1106), "segments fit both ways");
    apply(&mut tables, [Change::DeletePathMtu { vrf, remote }]);
    assert_eq!(sizes(&tables), (1300, 1260));
    apply(&mut tables, [Change::PutTunnel(Tunnel { mss: 900, ..tunnel(TUNNEL) }), mtu(9000)]);
    assert_eq!(sizes(&tables), (8946, 900));
    assert!(Arc::ptr_eq(&before, &runtime(&tables)), "counters and sequence numbers stay");
}

#[test]
fn a_peer_that_moved_keeps_its_sa() {
    let mut tables = gateway();
    assert!(tables.is_peer(OUTER, ip("192.0.2.2")) && !tables.is_peer(INNER, ip("192.0.2.2")));
    let outer = OuterEndpoints {
        encap: Encap::Udp { local_port: 4500, remote_port: 6000 },
        ..native("198.51.100.7")
    };
    apply(&mut tables, [Change::UpdateOuter { spi: spi(SPI), outer }]);
    let child = tables.child(spi(SPI)).expect("active");
    assert_eq!((child.template.endpoints, child.template.layout.outer_len), (outer, 28));
    assert_eq!(child.entry.inner_mtu, 1438);
    assert!(tables.is_peer(OUTER, ip("198.51.100.7")) && !tables.is_peer(OUTER, ip("192.0.2.2")));
    apply(&mut tables, [Change::FreeSpi(spi(SPI))]);
    assert!(!tables.is_peer(OUTER, ip("198.51.100.7")));
}

#[test]
fn policy_entries_have_a_place_and_one_family() {
    let tables = gateway();
    let entry = spd_entry(Action::Discard, "10.1.0.0/24", "203.0.113.0/24");
    let put = |order, entry| Change::PutSpdEntry { vrf: INNER, order, entry };
    assert!(tables.clone().apply(put(MAX_ENTRIES - 1, entry)).is_ok());
    assert!(matches!(refuse(&tables, put(MAX_ENTRIES, entry)), ChangeError::OutOfRange { .. }));
    let mut mixed = entry;
    mixed.selectors.remote.addresses = prefix("2001:db8::/32").into();
    assert!(matches!(refuse(&tables, put(1, mixed)), ChangeError::FamilyMismatch { .. }));
    let delete = Change::DeleteSpdEntry { vrf: INNER, order: 1 };
    assert!(matches!(refuse(&tables, delete), ChangeError::Missing { .. }));
}

#[test]
fn what_control_puts_is_bounded() {
    let too_many =
        |tables: &Tables<u32>, change| matches!(refuse(tables, change), ChangeError::TooMany { .. });
    let mut tables = gateway();
    let hop = |id| Change::PutNextHop(NextHop { id: NextHopId(id), kind: NextHopKind::Discard });
    let most = u32::try_from(MAX_NEXT_HOPS).expect("fits");
    let there = u32::try_from(tables.next_hops().count()).expect("fits");
    apply(&mut tables, (100..100 + most - there).map(hop));
    assert!(too_many(&tables, hop(99)));
    apply(&mut tables, [hop(100), Change::DeleteNextHop(NextHopId(101)), hop(99)]);

    let route = |a| Change::PutRoute { vrf: VrfId(77), prefix: prefix(a), next_hop: NextHopId(100) };
    let policy = |priority| {
        let (src, dst) = (prefix("10.1.0.0/24"), prefix("10.9.0.0/24"));
        let route = PolicyRoute { priority, src, dst, next_hop: NextHopId(100) };
        Change::PutPolicyRoute { vrf: VrfId(77), route }
    };
    (tables.routes, tables.policy_routes) = (MAX_ROUTES - 2, MAX_POLICY_ROUTES - 2);
    apply(&mut tables, [route("10.8.0.0/16"), route("10.9.0.0/16"), policy(1), policy(2)]);
    assert!(too_many(&tables, route("10.10.0.0/16")) && too_many(&tables, policy(3)));
    let (vrf, src, dst) = (VrfId(77), prefix("10.1.0.0/24"), prefix("10.9.0.0/24"));
    apply(
        &mut tables,
        [
            route("10.9.0.0/16"),
            policy(2),
            Change::DeleteRoute { vrf, prefix: prefix("10.8.0.0/16") },
            Change::DeletePolicyRoute { vrf, priority: 1, src, dst },
            route("10.10.0.0/16"),
            policy(3),
        ],
    );
    assert!(too_many(&tables, route("10.11.0.0/16")) && too_many(&tables, policy(4)));
    let mut swept = tables.begin_full();
    apply(&mut swept, configuration());
    apply(&mut swept, [hop(100), route("10.11.0.0/16"), policy(4)]);

    let one = InterfaceAddress { address: ip("10.77.0.1"), prefix_len: 32 };
    let mut interface = Interface::clone(tables.interface(INSIDE).expect("there"));
    let others: usize = tables.interfaces().filter(|i| i.id != INSIDE).map(|i| i.addresses.len()).sum();
    interface.addresses = std::iter::repeat_n(one, MAX_ADDRESSES - others).collect();
    tables.interfaces.insert(INSIDE.index(), Arc::new(interface));
    assert!(too_many(&tables, address(INSIDE, "10.78.0.1", 32)));
    apply(&mut tables, [address(INSIDE, "10.77.0.1", 32)]);
}

#[test]
fn a_full_transaction_sweeps_objects_but_no_sa() {
    let mut old = gateway();
    let entry = spd_entry(Action::Bypass, "10.1.0.0/24", "203.0.113.0/24");
    let neighbour = Neighbour { state: NeighbourState::Reachable, mac: MacAddr([2; 6]) };
    let put = |interface, a| Change::PutNeighbour { interface, address: ip(a), neighbour };
    apply(
        &mut old,
        [
            Change::PutSpdEntry { vrf: INNER, order: 7, entry },
            Change::PutInterface {
                id: InterfaceId(5),
                port: PortId(5),
                vlan: None,
                role: Role::Inside,
                vrf: INNER,
                mtu: 1500,
            },
            put(OUTSIDE, "192.0.2.2"),
            put(InterfaceId(5), "10.5.0.2"),
        ],
    );
    let mut new = old.begin_full();
    apply(&mut new, configuration());
    assert!(new.version() > old.version());
    assert!(
        new.interface(InterfaceId(5)).is_none() && new.vrf(INNER).expect("there").spd.entries().is_empty()
    );
    assert_eq!(new.neighbours.lookup(OUTSIDE, ip("192.0.2.2")), Some(&neighbour));
    assert_eq!(new.neighbours.lookup(InterfaceId(5), ip("10.5.0.2")), None);
    let (before, after) = (old.child(spi(SPI)).expect("active"), new.child(spi(SPI)).expect("still active"));
    assert!(std::ptr::eq(before.sa, after.sa) && std::ptr::eq(before.template, after.template));
    assert_eq!(after.entry.inner_mtu, 1446);
    // A tunnel that is not put again leaves its SA without one: it is not touched, and can be freed.
    let mut empty = old.begin_full();
    empty.commit();
    assert!(empty.child(spi(SPI)).is_some());
    apply(&mut empty, [Change::DeleteInbound(spi(SPI)), Change::FreeSpi(spi(SPI))]);
}

#[test]
fn egress_follows_gateways_and_refuses_tunnels() {
    let mut tables = gateway();
    let gateway = NextHopKind::Interface { interface: OUTSIDE, gateway: Some(ip("192.0.2.254")) };
    apply(
        &mut tables,
        [
            Change::PutNextHop(NextHop { id: NextHopId(1), kind: gateway }),
            Change::PutRoute { vrf: OUTER, prefix: prefix("0.0.0.0/0"), next_hop: NextHopId(1) },
        ],
    );
    let egress = |a| tables.egress(OUTER, ip(a)).map(|e| (e.interface.id, e.neighbour));
    assert_eq!(egress("192.0.2.2"), Ok((OUTSIDE, ip("192.0.2.2"))));
    assert_eq!(egress("198.51.100.1"), Ok((OUTSIDE, ip("192.0.2.254"))));
    assert_eq!(tables.egress(INNER, ip("10.2.0.1")).err(), Some(DropReason::NoRoute));
    assert_eq!(tables.egress(VrfId(77), ip("10.2.0.1")).err(), Some(DropReason::VrfMissing));
    assert_eq!(
        tables.interface(OUTSIDE).expect("there").source_for(ip("198.51.100.1")),
        Some(ip("192.0.2.1"))
    );
}

#[test]
fn a_thousand_vrfs_change_one_at_a_time() {
    let mut tables = gateway();
    for vrf in 10..1010 {
        apply(
            &mut tables,
            [Change::PutRoute { vrf: VrfId(vrf), prefix: prefix("10.2.0.0/24"), next_hop: GROUP }],
        );
    }
    let before = tables.clone();
    apply(&mut tables, [Change::DeleteRoute { vrf: VrfId(500), prefix: prefix("10.2.0.0/24") }]);
    assert!(tables.vrf(VrfId(500)).is_none(), "an empty VRF is gone");
    assert!(std::ptr::eq(before.vrf(VrfId(501)).expect("there"), tables.vrf(VrfId(501)).expect("there")));
}
