//! IPv6 through the workers: inner, outer and both, and neighbour discovery.

mod common;

use common::frames::{FORTH, HOST_MAC, PEER_MAC, ethernet, forwarded, ip_of, ipv6, to_port};
use common::setup::{ChildSa, FIRST, INNER, OUTER, Side, V4_OVER_V6, V6_OVER_V4, V6_OVER_V6, tables};
use common::{Gateway, LAN, WAN, port_mac};
use crypto::Suite;
use esplanade_dataplane::shared::{AgentWork, ExceptionKind, FromAgent};
use esplanade_dataplane::worker::{Buffer, HeapBuffer};
use packet::headers::checksum;
use packet::headers::ndp::{ALL_NODES, Ndp, NdpKind, group_mac, link_local, solicited_node};
use packet::{DropReason, MacAddr};

const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Both gateways of a pair, with an SA and its mirror installed.
fn pair((side, _): (Side, Side), udp: bool) -> (Gateway, Gateway, ChildSa) {
    let suite = Suite::from_transforms(20, 128, 0).expect("a suite");
    let sa = ChildSa { side, udp, ..ChildSa::new(suite) };
    let gateway = |sa: &ChildSa| {
        let mut gateway = Gateway::new(1, tables(sa.side, |_| {}));
        sa.install(&mut gateway.tables, &*gateway.engine);
        gateway
    };
    (gateway(&sa), gateway(&sa.mirrored()), sa)
}

/// From the host behind one side to the host behind the other.
fn datagram(from: Side, to: Side, len: usize) -> Vec<u8> {
    ipv6(from.host, to.host, 64, UDP, &vec![7; len])
}

/// Sends a packet through both gateways: what comes out is what went in, two hops later.
fn cross(from: &mut Gateway, to: &mut Gateway, packet: &[u8], outer_version: u8) {
    let sealed = from.feed(0, LAN, &[to_port(LAN, packet)]);
    assert_eq!(sealed.len(), 1, "{:?}", from.all_drops());
    let outer = ip_of(&sealed[0].1);
    assert_eq!((sealed[0].0, outer[0] >> 4), (WAN, outer_version));
    if outer_version == 6 && outer[6] == UDP {
        let (src, dst) = (&outer[8..24], &outer[24..40]);
        let pseudo = checksum::sum(src)
            + checksum::sum(dst)
            + u32::from(UDP)
            + u32::try_from(outer.len() - 40).expect("short");
        assert_eq!(checksum::fold(pseudo + checksum::sum(&outer[40..])), 0xffff, "no host takes it else");
    }
    let opened = to.feed(0, WAN, &[to_port(WAN, outer)]);
    assert_eq!(opened.len(), 1, "{:?}", to.all_drops());
    let expected = ethernet(HOST_MAC, port_mac(LAN), &forwarded(&forwarded(packet)));
    assert_eq!(opened[0], (LAN, expected));
}

#[test]
fn packets_cross_both_ways_whatever_is_inside_and_outside() {
    for (sides, outer) in [(V6_OVER_V4, 4), (V4_OVER_V6, 6), (V6_OVER_V6, 6)] {
        for udp in [false, true] {
            let (mut first, mut second, _) = pair(sides, udp);
            for len in [8, 9, 100, 1300] {
                let (forth, back) = if sides == V4_OVER_V6 {
                    (FORTH.udp(1000, 2000, len), FORTH.back().udp(2000, 1000, len))
                } else {
                    (datagram(sides.0, sides.1, len), datagram(sides.1, sides.0, len))
                };
                cross(&mut first, &mut second, &forth, outer);
                cross(&mut second, &mut first, &back, outer);
            }
            first.assert_balanced();
            second.assert_balanced();
        }
    }
}

#[test]
fn ipv6_that_is_too_large_is_answered_whatever_the_size() {
    let (mut first, _, sa) = pair(V6_OVER_V6, false);
    let mtu = first.tables.sad().entry(sa.spi()).expect("installed").inner_mtu;
    let fits = datagram(V6_OVER_V6.0, V6_OVER_V6.1, usize::from(mtu) - 40);
    assert_eq!(first.feed(0, LAN, &[to_port(LAN, &fits)]).len(), 1);
    let large = datagram(V6_OVER_V6.0, V6_OVER_V6.1, usize::from(mtu) - 39);
    assert!(first.feed(0, LAN, &[to_port(LAN, &large)]).is_empty());
    assert_eq!(first.drops(DropReason::NeedsFragmentation), 1);
    let lent = first.exceptions();
    assert!(matches!(lent[0].kind, ExceptionKind::TooBig { mtu: told, .. } if told == mtu), "{lent:?}");
    first.assert_balanced();
}

#[test]
fn extension_headers_cross_and_link_local_stays() {
    let (mut first, mut second, _) = pair(V6_OVER_V4, false);
    let (from, to) = (V6_OVER_V4.0.host, V6_OVER_V4.1.host);
    let options = [&[UDP, 0, 1, 4, 0, 0, 0, 0][..], &[7; 20]].concat();
    cross(&mut first, &mut second, &ipv6(from, to, 64, 60, &options), 4);
    for (src, dst, reason) in [
        ("fe80::1", to, DropReason::LinkLocal),
        ("::ffff:10.1.0.1", to, DropReason::MartianSource),
        (from, "ff0e::1", DropReason::MulticastDestination),
        ("2001:db8:9::1", to, DropReason::NoMatchingSelector),
    ] {
        let packet = ipv6(src, dst, 64, UDP, &[0; 8]);
        assert!(first.feed(0, LAN, &[to_port(LAN, &packet)]).is_empty());
        assert_eq!(first.drops(reason), 1, "{src} to {dst}: {:?}", first.all_drops());
    }
    first.assert_balanced();
}

#[test]
fn neighbour_discovery_for_us_reaches_the_agent_from_both_sides() {
    let (mut gateway, ..) = pair(V6_OVER_V6, false);
    for (port, ours) in [(WAN, V6_OVER_V6.0.outside), (LAN, V6_OVER_V6.0.inside)] {
        let (ours, mac) = (ours.parse().expect("an address"), port_mac(port));
        let others = "2001:db8::77".parse().expect("an address");
        let kind = NdpKind::Solicitation;
        let ask =
            |target, dst| Ndp { src: link_local(PEER_MAC), dst, kind, target, link_layer: Some(PEER_MAC) };
        let mut feed = |to: MacAddr, ndp: &Ndp| {
            let sent = gateway.feed(0, port, &[ethernet(to, PEER_MAC, &ndp.emit())]);
            assert!(sent.is_empty());
            gateway.exceptions().iter().map(|exception| exception.kind).collect::<Vec<_>>()
        };
        let group = solicited_node(ours);
        assert_eq!(feed(group_mac(group), &ask(ours, group)), [ExceptionKind::Ndp]);
        assert_eq!(feed(mac, &ask(ours, ours)), [ExceptionKind::Ndp], "a probe of what is known");
        let implied = link_local(mac);
        let group = solicited_node(implied);
        assert_eq!(feed(group_mac(group), &ask(implied, group)), [ExceptionKind::Ndp]);
        assert_eq!(feed(group_mac(ALL_NODES), &ask(ours, ALL_NODES)), [ExceptionKind::Ndp]);
        let group = solicited_node(others);
        assert_eq!(feed(group_mac(group), &ask(others, group)), [], "for somebody else");
    }
    assert_eq!(gateway.drops(DropReason::MulticastDestination), 2);
    gateway.assert_balanced();
}

#[test]
fn an_echo_request_to_our_link_local_address_reaches_the_agent_from_both_sides() {
    let (mut gateway, ..) = pair(V6_OVER_V6, false);
    for port in [WAN, LAN] {
        let (ours, theirs) = (link_local(port_mac(port)).to_string(), link_local(PEER_MAC).to_string());
        let request = ipv6(&theirs, &ours, 64, ICMPV6, &[128, 0, 0, 0, 0, 0, 0, 1]);
        assert!(gateway.feed(0, port, &[to_port(port, &request)]).is_empty());
        let kinds: Vec<_> = gateway.exceptions().iter().map(|exception| exception.kind).collect();
        assert_eq!(kinds, [ExceptionKind::LinkLocalEcho]);
        let udp = ipv6(&theirs, &ours, 64, UDP, &[0; 8]);
        assert!(gateway.feed(0, port, &[to_port(port, &udp)]).is_empty());
        assert!(gateway.exceptions().is_empty());
    }
    gateway.assert_balanced();
}

#[test]
fn without_an_ipv6_address_nobody_listens() {
    let mut gateway = Gateway::new(1, tables(FIRST, |_| {}));
    let target = link_local(port_mac(LAN));
    let dst = solicited_node(target);
    let kind = NdpKind::Solicitation;
    let ndp = Ndp { src: link_local(HOST_MAC), dst, kind, target, link_layer: Some(HOST_MAC) };
    gateway.feed(0, LAN, &[ethernet(group_mac(dst), HOST_MAC, &ndp.emit())]);
    assert!(gateway.exceptions().is_empty());
    assert_eq!(gateway.drops(DropReason::MulticastDestination), 1);
}

/// An ICMPv6 echo reply of `len` bytes.
fn echo_reply(src: &str, dst: &str, len: usize) -> Vec<u8> {
    let message = [&[129, 0, 0, 0, 0, 7, 0, 1][..], &vec![9; len - 48]].concat();
    ipv6(src, dst, 64, 58, &message)
}

#[test]
fn our_own_large_packets_leave_in_fragments_that_make_the_whole() {
    let (mut first, mut second, _) = pair(V6_OVER_V6, false);
    let (us, peer) = (V6_OVER_V6.0.outside, V6_OVER_V6.1.outside);
    for (from, to) in [(us, peer), (peer, us)] {
        let whole = echo_reply(from, to, 4000);
        let (sender, receiver) =
            if from == us { (&mut first, &mut second) } else { (&mut second, &mut first) };
        let own = FromAgent { packet: HeapBuffer::new(&whole), work: AgentWork::Own { vrf: OUTER } };
        let sent = sender.send_by_agent(own);
        assert_eq!(sent.len(), 3, "{:?}", sender.all_drops());
        let arriving: Vec<_> = sent.iter().rev().map(|(_, frame)| to_port(WAN, ip_of(frame))).collect();
        assert!(receiver.feed(0, WAN, &arriving).is_empty());
        let delivered = receiver.exceptions();
        assert_eq!(delivered.len(), 1, "{:?}", receiver.all_drops());
        assert_eq!((delivered[0].kind, delivered[0].packet.data()), (ExceptionKind::Icmp, &whole[..]));
    }
    first.assert_balanced();
    second.assert_balanced();
}

#[test]
fn an_echo_reply_of_ours_enters_the_tunnel_in_fragments_and_a_programs_packet_is_answered() {
    let (mut first, mut second, _) = pair(V6_OVER_V4, false);
    let forward = |packet: &[u8]| FromAgent {
        packet: HeapBuffer::new(packet),
        work: AgentWork::Forward { vrf: INNER },
    };
    let (ours, host) = (V6_OVER_V4.0.inside, V6_OVER_V4.1.host);
    let sealed = first.send_by_agent(forward(&echo_reply(ours, host, 2000)));
    assert_eq!(sealed.len(), 2, "{:?}", first.all_drops());
    let arriving: Vec<_> = sealed.iter().map(|(_, frame)| to_port(WAN, ip_of(frame))).collect();
    let opened = second.feed(0, WAN, &arriving);
    assert!(opened.len() == 2 && opened.iter().all(|(port, _)| *port == LAN), "{:?}", second.all_drops());
    assert!(first.send_by_agent(forward(&ipv6(ours, host, 64, UDP, &[7; 1960]))).is_empty());
    assert_eq!(first.drops(DropReason::NeedsFragmentation), 1);
    first.assert_balanced();
    second.assert_balanced();
}
