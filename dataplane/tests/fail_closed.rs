//! Rule 2: nothing protected leaves in clear, whatever is missing, withdrawn or down.

mod common;

use std::net::Ipv4Addr;

use common::frames::{FORTH, HOST_MAC, Ip, PEER_MAC, ethernet, ip_of, protocol, to_port};
use common::setup::{
    ChildSa, FIRST, INNER, INTO_TUNNEL, LAN_IF, OUTER, TUNNEL, WAN_IF, address, prefix, spd_entry, tables,
};
use common::{Gateway, LAN, WAN, port_mac};
use crypto::{Key, Suite};
use esplanade_dataplane::shared::{AgentWork, ExceptionKind, FromAgent, Notice};
use esplanade_dataplane::worker::{Buffer, HeapBuffer};
use packet::DropReason;
use packet::decide::{IkeStanding, Ingress};
use packet::flow::Flow;
use packet::fragmentation::Plan;
use packet::neighbour::{Neighbour, NeighbourState};
use packet::selectors::PortRange;
use packet::spd::Action;
use packet::tables::{Change, NextHop, NextHopKind, TunnelGroup};

fn gateway(acquire: bool) -> Gateway {
    Gateway::new(1, tables(FIRST, |tunnel| tunnel.acquire = acquire))
}

fn with_sa() -> (Gateway, ChildSa) {
    let sa = ChildSa::new(Suite::from_transforms(20, 128, 0).expect("a suite"));
    let mut gateway = gateway(false);
    sa.install(&mut gateway.tables, &*gateway.engine);
    (gateway, sa)
}

fn change(gateway: &mut Gateway, change: Change<Key>) {
    gateway.tables.apply(change).expect("a valid change");
    gateway.tables.commit();
}

/// Feeds inner packets at the inside port; nothing may come out anywhere.
fn refuses(gateway: &mut Gateway, packet: &[u8], reason: DropReason) {
    let before = gateway.drops(reason);
    let out = gateway.feed(0, LAN, &[to_port(LAN, packet)]);
    assert_eq!(out, [], "{reason}: {:?}", gateway.all_drops());
    assert_eq!(gateway.drops(reason), before + 1, "{reason}: {:?}", gateway.all_drops());
    gateway.assert_balanced();
}

/// The fragments of a packet as its source makes them.
fn cut(packet: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    let plan = Plan::on_the_way(packet, &Flow::parse(packet).expect("valid"), mtu).expect("cut");
    let write = |piece| {
        let mut out = vec![0; plan.packet_len(piece)];
        plan.write(packet, piece, &mut out);
        out
    };
    plan.pieces().map(write).collect()
}

#[test]
fn without_an_sa_a_packet_asks_for_one_and_is_dropped() {
    let mut gateway = gateway(true);
    for _ in 0..3 {
        refuses(&mut gateway, &FORTH.udp(1000, 2000, 30), DropReason::AwaitingSa);
    }
    let (src, dst) = (address("10.1.0.1"), address("10.2.0.1"));
    let asked = Notice::Acquire {
        tunnel: TUNNEL,
        vrf: INNER,
        src,
        dst,
        protocol: 17,
        src_port: 1000,
        dst_port: 2000,
    };
    assert_eq!(gateway.notices(), [asked], "once for a burst of packets");
    gateway.now += 1000;
    refuses(&mut gateway, &FORTH.ping(1), DropReason::AwaitingSa);
    assert_eq!(gateway.notices().len(), 1, "and again after a while");
}

#[test]
fn a_tunnel_that_is_down_inactive_or_gone_passes_nothing() {
    refuses(&mut gateway(false), &FORTH.ping(56), DropReason::TunnelDown);

    let (mut gateway, sa) = with_sa();
    assert_eq!(gateway.feed(0, LAN, &[to_port(LAN, &FORTH.ping(56))]).len(), 1);
    change(&mut gateway, Change::DeleteOutbound(sa.spi()));
    refuses(&mut gateway, &FORTH.ping(56), DropReason::TunnelDown);

    let (mut gateway, _) = with_sa();
    let group = TunnelGroup { tunnels: [TUNNEL].into_iter().collect(), active: 0 };
    change(&mut gateway, Change::PutNextHop(NextHop { id: INTO_TUNNEL, kind: NextHopKind::Tunnels(group) }));
    refuses(&mut gateway, &FORTH.ping(56), DropReason::NoActiveTunnel);

    let (mut gateway, _) = with_sa();
    change(&mut gateway, Change::DeleteRoute { vrf: INNER, prefix: prefix(FIRST.peer_network) });
    refuses(&mut gateway, &FORTH.ping(56), DropReason::NoRoute);

    let (mut gateway, _) = with_sa();
    change(&mut gateway, Change::PutNextHop(NextHop { id: INTO_TUNNEL, kind: NextHopKind::Discard }));
    refuses(&mut gateway, &FORTH.ping(56), DropReason::RouteDiscard);
}

#[test]
fn a_sender_is_told_now_and_then_that_there_is_no_way() {
    let (mut gateway, _) = with_sa();
    change(&mut gateway, Change::DeleteRoute { vrf: INNER, prefix: prefix(FIRST.peer_network) });
    let frames = vec![to_port(LAN, &FORTH.ping(56)); 32];
    assert_eq!(gateway.feed(0, LAN, &frames), []);
    assert_eq!(gateway.drops(DropReason::NoRoute), 32);
    let told = gateway.exceptions();
    let (reason, ingress) = (DropReason::NoRoute, Ingress::Inside);
    assert_eq!(told.len(), 1, "once for a burst of packets");
    assert_eq!(told[0].kind, ExceptionKind::Unreachable { reason, ingress });
    gateway.assert_balanced();
}

#[test]
fn a_sender_is_told_that_a_host_beside_us_does_not_answer() {
    let (mut gateway, _) = with_sa();
    let silent = Ipv4Addr::new(10, 1, 0, 99);
    let frame = to_port(LAN, &Ip { dst: silent, ..FORTH }.ping(56));
    assert_eq!(gateway.feed(0, LAN, std::slice::from_ref(&frame)), []);
    let (neighbour, ingress) = (silent.into(), Ingress::Inside);
    let asked = ExceptionKind::Neighbour { egress: LAN_IF, neighbour, ingress: Some(ingress) };
    assert_eq!(gateway.exceptions()[0].kind, asked);
    let failed = Neighbour { state: NeighbourState::Failed, mac: PEER_MAC };
    change(&mut gateway, Change::PutNeighbour { interface: LAN_IF, address: neighbour, neighbour: failed });
    assert_eq!(gateway.feed(0, LAN, &vec![frame; 32]), []);
    let reason = DropReason::NeighbourFailed;
    assert_eq!(gateway.drops(reason), 32);
    let told: Vec<_> = gateway.exceptions().iter().map(|exception| exception.kind).collect();
    assert_eq!(told, [ExceptionKind::Unreachable { reason, ingress }], "once for a burst of packets");
    gateway.assert_balanced();
}

#[test]
fn a_route_out_of_an_outside_interface_needs_a_bypass() {
    let (mut gateway, _) = with_sa();
    // The inside lives in a VRF of its own; put an outside interface's network beside it by a next hop.
    let gateway_hop = NextHopKind::Interface { interface: WAN_IF, gateway: Some(address(FIRST.peer)) };
    change(&mut gateway, Change::PutNextHop(NextHop { id: INTO_TUNNEL, kind: gateway_hop }));
    refuses(&mut gateway, &FORTH.udp(1000, 2000, 30), DropReason::CleartextRefused);

    let mut entry = spd_entry(Action::Bypass, prefix(FIRST.network), prefix(FIRST.peer_network));
    entry.selectors.remote.protocol = 17;
    entry.selectors.remote.ports = PortRange::new(53, 53).expect("ordered");
    change(&mut gateway, Change::PutSpdEntry { vrf: INNER, order: 1, entry });
    refuses(&mut gateway, &FORTH.udp(1000, 2000, 30), DropReason::CleartextRefused);
    let out = gateway.feed(0, LAN, &[to_port(LAN, &FORTH.udp(1000, 53, 30))]);
    assert_eq!(out.len(), 1, "{:?}", gateway.all_drops());
    assert_eq!(out[0].0, WAN);
    // In fragments, too, as soon as the port shows.
    let large = Ip { dont_fragment: false, ..FORTH }.udp(1000, 53, 2000);
    let other = Ip { dont_fragment: false, id: 2, ..FORTH }.udp(1000, 54, 2000);
    let halves =
        |packet: &[u8]| cut(packet, 1200).iter().map(|piece| to_port(LAN, piece)).collect::<Vec<_>>();
    assert_eq!(gateway.feed(0, LAN, &halves(&large)).len(), 2, "{:?}", gateway.all_drops());
    let refused = gateway.drops(DropReason::CleartextRefused);
    assert_eq!(gateway.feed(0, LAN, &halves(&other)), []);
    assert_eq!(gateway.drops(DropReason::CleartextRefused), refused + 1);
    // A discard before it wins, a discard after it does not.
    let discard = spd_entry(Action::Discard, prefix(FIRST.network), prefix(FIRST.peer_network));
    change(&mut gateway, Change::PutSpdEntry { vrf: INNER, order: 2, entry: discard });
    assert_eq!(gateway.feed(0, LAN, &[to_port(LAN, &FORTH.udp(1000, 53, 30))]).len(), 1);
    refuses(&mut gateway, &FORTH.udp(1000, 2000, 30), DropReason::PolicyDiscard);
    change(&mut gateway, Change::PutSpdEntry { vrf: INNER, order: 0, entry: discard });
    refuses(&mut gateway, &FORTH.udp(1000, 53, 30), DropReason::PolicyDiscard);
    gateway.assert_balanced();
}

#[test]
fn what_no_selector_covers_is_dropped_in_both_directions() {
    let (mut gateway, _) = with_sa();
    change(
        &mut gateway,
        Change::PutRoute { vrf: INNER, prefix: prefix("10.3.0.0/24"), next_hop: INTO_TUNNEL },
    );
    let elsewhere = Ip { dst: Ipv4Addr::new(10, 3, 0, 1), ..FORTH };
    refuses(&mut gateway, &elsewhere.ping(56), DropReason::NoMatchingSelector);
    let stranger = Ip { src: Ipv4Addr::new(10, 9, 0, 1), ..FORTH };
    refuses(&mut gateway, &stranger.ping(56), DropReason::NoMatchingSelector);
}

#[test]
fn cleartext_from_outside_goes_nowhere() {
    let (mut gateway, _) = with_sa();
    let outside_vrf_packet = FORTH.back().ping(56);
    for packet in [
        outside_vrf_packet,
        Ip { src: Ipv4Addr::new(203, 0, 113, 9), dst: Ipv4Addr::new(198, 51, 100, 1), ..FORTH }.ping(56),
    ] {
        assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, &packet)]), []);
    }
    let to_us = Ip { src: Ipv4Addr::new(203, 0, 113, 9), dst: Ipv4Addr::new(192, 0, 2, 1), ..FORTH };
    assert_eq!(gateway.feed(0, WAN, &[to_port(WAN, &to_us.udp(1, 80, 10))]), []);
    assert_eq!(gateway.drops(DropReason::LocalUnserved), 1);
    assert_eq!(gateway.exceptions().len(), 0);
    gateway.assert_balanced();
}

#[test]
fn what_is_for_us_is_left_to_the_agent() {
    let (mut gateway, _) = with_sa();
    let to_us = Ip { src: Ipv4Addr::new(192, 0, 2, 2), dst: Ipv4Addr::new(192, 0, 2, 1), ..FORTH };
    let broadcast_arp = [&[0xff; 6][..], &PEER_MAC.0, &[8, 6], &[0; 46]].concat();
    let mut from_outside: Vec<_> =
        [to_us.udp(500, 500, 30), to_us.ping(8)].iter().map(|packet| to_port(WAN, packet)).collect();
    from_outside.push(broadcast_arp);
    assert_eq!(gateway.feed(0, WAN, &from_outside), []);
    let to_inside = Ip { dst: Ipv4Addr::new(10, 1, 0, 254), ..FORTH };
    assert_eq!(gateway.feed(0, LAN, &[to_port(LAN, &to_inside.ping(8))]), []);
    let kinds: Vec<_> = gateway.exceptions().into_iter().map(|e| (e.vrf, e.interface, e.kind)).collect();
    assert_eq!(
        kinds,
        [
            // The peer has an SA with us.
            (OUTER, Some(WAN_IF), ExceptionKind::Ike { standing: IkeStanding::Peer }),
            (OUTER, Some(WAN_IF), ExceptionKind::Icmp),
            (OUTER, Some(WAN_IF), ExceptionKind::Arp),
            (INNER, Some(LAN_IF), ExceptionKind::Local { ingress: Ingress::Inside }),
        ]
    );
    gateway.assert_balanced();
}

#[test]
fn an_unknown_neighbour_is_resolved_and_a_failed_one_is_a_reason() {
    let (mut gateway, _) = with_sa();
    let peer = address(FIRST.peer);
    change(&mut gateway, Change::DeleteNeighbour { interface: WAN_IF, address: peer });
    assert_eq!(gateway.feed(0, LAN, &[to_port(LAN, &FORTH.ping(56))]), []);
    let mut exceptions = gateway.exceptions();
    let held = exceptions.pop().expect("one packet");
    assert_eq!(held.kind, ExceptionKind::Neighbour { egress: WAN_IF, neighbour: peer, ingress: None });
    assert_eq!(protocol(held.packet.data()), 50, "sealed before it waits");

    // The agent has resolved it and gives the packet back.
    let neighbour = Neighbour { state: NeighbourState::Reachable, mac: PEER_MAC };
    change(&mut gateway, Change::PutNeighbour { interface: WAN_IF, address: peer, neighbour });
    let work = AgentWork::Neighbour { interface: WAN_IF, neighbour: peer };
    let expected = ethernet(PEER_MAC, port_mac(WAN), held.packet.data());
    assert_eq!(gateway.send_by_agent(FromAgent { packet: held.packet, work }), [(WAN, expected)]);

    let neighbour = Neighbour { state: NeighbourState::Failed, mac: PEER_MAC };
    change(&mut gateway, Change::PutNeighbour { interface: WAN_IF, address: peer, neighbour });
    refuses(&mut gateway, &FORTH.ping(56), DropReason::NeighbourFailed);
}

#[test]
fn the_agent_sends_frames_own_packets_and_inner_ones() {
    let (mut gateway, _) = with_sa();
    let arp = ethernet(PEER_MAC, port_mac(WAN), &[0x45; 46]);
    let frame = FromAgent { packet: HeapBuffer::new(&arp), work: AgentWork::Frame { interface: WAN_IF } };
    assert_eq!(gateway.send_by_agent(frame), [(WAN, arp)]);

    let ike =
        Ip { src: Ipv4Addr::new(192, 0, 2, 1), dst: Ipv4Addr::new(192, 0, 2, 2), ..FORTH }.udp(500, 500, 100);
    let own =
        |packet: &[u8]| FromAgent { packet: HeapBuffer::new(packet), work: AgentWork::Own { vrf: OUTER } };
    assert_eq!(gateway.send_by_agent(own(&ike)), [(WAN, ethernet(PEER_MAC, port_mac(WAN), &ike))]);
    // More than the link takes goes in fragments, unless it says DF.
    let large = |dont_fragment| {
        let ip = Ip { src: Ipv4Addr::new(192, 0, 2, 1), dst: Ipv4Addr::new(192, 0, 2, 2), ..FORTH };
        Ip { dont_fragment, ..ip }.udp(500, 500, 3000)
    };
    let pieces = gateway.send_by_agent(own(&large(false)));
    assert_eq!(pieces.len(), 3);
    assert!(pieces.iter().all(|(port, frame)| *port == WAN && ip_of(frame).len() <= 1500));
    let payload: Vec<u8> = pieces.iter().flat_map(|(_, frame)| ip_of(frame)[20..].to_vec()).collect();
    assert_eq!(payload, large(false)[20..]);
    assert_eq!(gateway.send_by_agent(own(&large(true))), []);
    assert_eq!(gateway.drops(DropReason::NeedsFragmentation), 1);
    // Not even the agent may send what is not ours.
    assert_eq!(gateway.send_by_agent(own(&FORTH.ping(8))), []);
    assert_eq!(gateway.drops(DropReason::MartianSource), 1);

    let answer = Ip { src: Ipv4Addr::new(10, 1, 0, 254), ..FORTH }.ping(20);
    let forward = FromAgent { packet: HeapBuffer::new(&answer), work: AgentWork::Forward { vrf: INNER } };
    let out = gateway.send_by_agent(forward);
    assert_eq!((out.len(), out[0].0, protocol(ip_of(&out[0].1))), (1, WAN, 50));

    let back =
        Ip { src: Ipv4Addr::new(10, 1, 0, 254), dst: Ipv4Addr::new(10, 1, 0, 1), ttl: 1, ..FORTH }.ping(20);
    let forward = FromAgent { packet: HeapBuffer::new(&back), work: AgentWork::Forward { vrf: INNER } };
    let whole = ethernet(HOST_MAC, port_mac(LAN), &back);
    assert_eq!(gateway.send_by_agent(forward), [(LAN, whole)], "our own packets keep their hop limit");
    gateway.assert_balanced();
}

#[test]
fn random_inner_packets_never_leave_in_clear() {
    let (mut gateway, _) = with_sa();
    let mut random = common::frames::Random(7);
    for _ in 0..400 {
        let addresses =
            [[10, 1, 0, 1], [10, 2, 0, 1], [192, 0, 2, 2], [192, 0, 2, 1], [10, 1, 0, 254], [224, 0, 0, 5]];
        let mut pick = || Ipv4Addr::from(addresses[random.below(addresses.len())]);
        let ip = Ip { src: pick(), dst: pick(), ..FORTH };
        let len = random.below(1400);
        let ip = Ip { ttl: random.byte(), tos: random.byte(), dont_fragment: len.is_multiple_of(2), ..ip };
        let packet = if len.is_multiple_of(3) { ip.ping(len) } else { ip.udp(500, 4500, len) };
        for (port, frame) in gateway.feed(0, LAN, &[to_port(LAN, &packet)]) {
            let ip = ip_of(&frame);
            assert!(port == LAN || protocol(ip) == 50, "{ip:02x?}");
        }
    }
    gateway.exceptions();
    gateway.assert_balanced();
}

#[test]
fn a_stuck_link_is_counted() {
    let (mut gateway, _) = with_sa();
    gateway.wire.stuck.push(WAN);
    refuses(&mut gateway, &FORTH.ping(56), DropReason::TxFull);
}
