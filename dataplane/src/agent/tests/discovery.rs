//! IPv6 neighbours.

use std::net::Ipv6Addr;

use packet::headers::checksum;
use packet::headers::ethernet::{EtherType, Ethernet};
use packet::headers::ndp::{ALL_NODES, Ndp, NdpKind, group_mac, link_local, solicited_node};

use super::*;

const OURS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const TO_OUTSIDE: AgentWork = AgentWork::Frame { interface: OUTSIDE };

/// A bench whose outside interface has an IPv6 address too, and what it told its neighbours.
fn dual_stack() -> (Bench, ControlEnd, Ndp) {
    let (mut bench, mut control) = Bench::configured();
    while bench.sent().is_some() {}
    let interface = contract::InterfaceId(OUTSIDE.0);
    let address = Address { interface, ip: OURS6.into(), prefix_len: 64 };
    assert_eq!(bench.transact(&mut control, false, vec![address.into()]), Ok(()));
    let told = sent(&mut bench).expect("announced");
    (bench, control, told)
}

fn sent(bench: &mut Bench) -> Option<Ndp> {
    let (frame, work) = bench.sent()?;
    assert_eq!(work, TO_OUTSIDE);
    Some(ndp::parse(&frame).expect("neighbour discovery").ndp)
}

fn from_peer(ndp: &Ndp) -> Vec<u8> {
    let ethernet = Ethernet { dst: MAC, src: PEER_MAC, vlan: None, ethertype: EtherType::Ipv6 };
    let mut frame = vec![0; 14];
    ethernet.emit(&mut frame);
    frame.extend(ndp.emit());
    frame
}

fn asks(src: Ipv6Addr, target: Ipv6Addr) -> Ndp {
    let link_layer = (!src.is_unspecified()).then_some(PEER_MAC);
    Ndp { src, dst: solicited_node(target), kind: NdpKind::Solicitation, target, link_layer }
}

fn answers(link_layer: Option<MacAddr>, overrides: bool) -> Ndp {
    let kind = NdpKind::Advertisement { router: false, solicited: true, overrides };
    Ndp { src: PEER6, dst: OURS6, kind, target: PEER6, link_layer }
}

fn known(bench: &Bench) -> Option<MacAddr> {
    bench.agent.tables.neighbours.lookup(OUTSIDE, PEER6.into()).map(|known| known.mac)
}

#[test]
fn a_new_address_is_announced_and_solicitations_are_answered() {
    let (mut bench, _control, told) = dual_stack();
    assert_eq!((told.dst, told.target, told.link_layer), (ALL_NODES, OURS6, Some(MAC)));
    for target in [OURS6, link_local(MAC)] {
        bench.except(&from_peer(&asks(PEER6, target)), ExceptionKind::Ndp);
        let answer = sent(&mut bench).expect("answered");
        let kind = NdpKind::Advertisement { router: true, solicited: true, overrides: true };
        assert_eq!((answer.src, answer.dst, answer.kind, answer.target), (target, PEER6, kind, target));
    }
    assert_eq!(known(&bench), Some(PEER_MAC), "who asks is known");
    bench.except(&from_peer(&asks(PEER6, PEER6)), ExceptionKind::Ndp);
    assert_eq!(sent(&mut bench), None, "not ours");
}

#[test]
fn a_probe_for_our_address_is_answered_to_everybody() {
    let (mut bench, ..) = dual_stack();
    bench.except(&from_peer(&asks(Ipv6Addr::UNSPECIFIED, OURS6)), ExceptionKind::Ndp);
    let (frame, _) = bench.sent().expect("answered");
    assert_eq!(frame[..6], group_mac(ALL_NODES).0);
    let answer = ndp::parse(&frame).expect("valid").ndp;
    let kind = NdpKind::Advertisement { router: true, solicited: false, overrides: true };
    assert_eq!((answer.dst, answer.kind), (ALL_NODES, kind));
    assert_eq!(bench.agent.neighbours.len(), 0);
}

#[test]
fn packets_wait_for_their_ipv6_neighbour() {
    let (mut bench, ..) = dual_stack();
    bench.except(
        b"first",
        ExceptionKind::Neighbour { egress: OUTSIDE, neighbour: PEER6.into(), ingress: None },
    );
    let asked = sent(&mut bench).expect("asked");
    assert_eq!((asked.src, asked.dst, asked.target), (OURS6, solicited_node(PEER6), PEER6));
    bench.except(&from_peer(&answers(Some(PEER_MAC), true)), ExceptionKind::Ndp);
    let work = AgentWork::Neighbour { interface: OUTSIDE, neighbour: PEER6.into() };
    assert_eq!(bench.sent(), Some((b"first".to_vec(), work)));
    assert_eq!(known(&bench), Some(PEER_MAC));
    // The answer to a unicast probe may leave the option out; one that does not insist replaces nobody.
    bench.except(&from_peer(&answers(None, false)), ExceptionKind::Ndp);
    bench.except(&from_peer(&answers(Some(MacAddr([2; 6])), false)), ExceptionKind::Ndp);
    assert_eq!(known(&bench), Some(PEER_MAC));
    bench.except(&from_peer(&answers(Some(MacAddr([2; 6])), true)), ExceptionKind::Ndp);
    assert_eq!(known(&bench), Some(MacAddr([2; 6])));
}

#[test]
fn what_came_over_a_router_is_not_believed() {
    let (mut bench, ..) = dual_stack();
    let mut far = from_peer(&asks(PEER6, OURS6));
    far[14 + 7] = 64;
    bench.except(&far, ExceptionKind::Ndp);
    let off_link = asks("2001:db8:9::2".parse().unwrap(), OURS6);
    bench.except(&from_peer(&off_link), ExceptionKind::Ndp);
    assert!(sent(&mut bench).is_some(), "answered, yet no neighbour");
    assert_eq!((sent(&mut bench), bench.agent.neighbours.len()), (None, 0));
}

#[test]
fn errors_about_ipv6_are_icmpv6() {
    let (mut bench, ..) = dual_stack();
    let packet = [&[0x60, 0, 0, 0, 0, 8, 17, 1][..], &PEER6.octets(), &PEER6.octets(), &[0; 8]].concat();
    let ingress = packet::decide::Ingress::Inside;
    bench.except(&packet, ExceptionKind::TooBig { mtu: 1400, ingress });
    let (message, work) = bench.sent().expect("reported");
    assert_eq!(work, AgentWork::Forward { vrf: VrfId(0) });
    assert_eq!((&message[8..24], &message[40..42]), (&OURS6.octets()[..], &[2, 0][..]));
    bench.except(&packet, ExceptionKind::TimeExceeded { ingress });
    assert_eq!(bench.sent().expect("reported").0[40..42], [3, 0]);
}

#[test]
fn an_echo_request_to_our_link_local_address_is_answered_on_the_link() {
    let (mut bench, ..) = dual_stack();
    let request = |src: Ipv6Addr, dst: Ipv6Addr| {
        let mut frame = vec![0; 14];
        Ethernet { dst: MAC, src: PEER_MAC, vlan: None, ethertype: EtherType::Ipv6 }.emit(&mut frame);
        let repr = packet::headers::ipv6::Ipv6Repr {
            traffic_class: 0,
            next_header: 58,
            hop_limit: 64,
            src,
            dst,
            payload_len: 8,
        };
        let mut message = [128, 0, 0, 0, 0, 7, 0, 1];
        let pseudo = checksum::pseudo_header(src.into(), dst.into(), 58, 8);
        let sum = !checksum::fold(pseudo + checksum::sum(&message));
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        frame.extend(repr.emit());
        frame.extend(message);
        frame
    };
    let (ours, theirs) = (link_local(MAC), link_local(PEER_MAC));
    bench.except(&request(theirs, ours), ExceptionKind::LinkLocalEcho);
    let (reply, work) = bench.sent().expect("answered");
    assert_eq!((work, &reply[..6], &reply[6..12]), (TO_OUTSIDE, &PEER_MAC.0[..], &MAC.0[..]));
    assert_eq!((&reply[22..38], &reply[38..54], reply[54]), (&ours.octets()[..], &theirs.octets()[..], 129));
    bench.except(&request("2001:db8:99::1".parse().unwrap(), ours), ExceptionKind::LinkLocalEcho);
    assert_eq!(bench.sent(), None, "not of this link");
}
