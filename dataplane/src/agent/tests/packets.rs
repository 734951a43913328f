//! Packets: neighbours, punts, our own ICMP, injection.

use packet::decide::IkeStanding;

use super::*;

#[test]
fn arp_for_our_address_is_answered_and_the_asker_known() {
    let (mut bench, _control) = Bench::configured();
    bench.except(&arp_frame(ArpOperation::Request, OURS), ExceptionKind::Arp);
    let (frame, work) = bench.sent().unwrap();
    let reply = arp::parse(&frame).unwrap();
    assert_eq!(work, AgentWork::Frame { interface: OUTSIDE });
    assert_eq!((reply.operation, reply.sender, reply.sender_mac), (ArpOperation::Reply, OURS, MAC));
    let known = bench.agent.tables.neighbours.lookup(OUTSIDE, PEER.into()).unwrap();
    assert_eq!((known.state, known.mac), (NeighbourState::Reachable, PEER_MAC));

    bench.except(&arp_frame(ArpOperation::Request, Ipv4Addr::new(192, 0, 2, 77)), ExceptionKind::Arp);
    assert!(bench.sent().is_none(), "not ours");
    assert_eq!(bench.figure(AgentFigure::Consumed), 2);
}

#[test]
fn packets_wait_for_their_neighbour() {
    let (mut bench, _control) = Bench::configured();
    let kind = ExceptionKind::Neighbour { egress: OUTSIDE, neighbour: PEER.into(), ingress: None };
    bench.except(b"first", kind);
    bench.except(b"second", kind);
    let asked = arp::parse(&bench.sent().unwrap().0).unwrap();
    assert_eq!((asked.operation, asked.sender, asked.target), (ArpOperation::Request, OURS, PEER));
    assert!(bench.sent().is_none());
    bench.except(&arp_frame(ArpOperation::Reply, OURS), ExceptionKind::Arp);
    let work = AgentWork::Neighbour { interface: OUTSIDE, neighbour: PEER.into() };
    assert_eq!(bench.sent(), Some((b"first".to_vec(), work)));
    assert_eq!(bench.sent(), Some((b"second".to_vec(), work)));
    let tables = bench.shared.tables.load(&bench.worker);
    assert_eq!(tables.neighbours.lookup(OUTSIDE, PEER.into()).unwrap().mac, PEER_MAC);
}

#[test]
fn a_silent_neighbour_costs_its_packets() {
    let (mut bench, _control) = Bench::configured();
    let kind = ExceptionKind::Neighbour { egress: OUTSIDE, neighbour: PEER.into(), ingress: None };
    bench.except(b"lost", kind);
    for _ in 0..4 {
        bench.advance(Duration::from_secs(1));
    }
    assert_eq!(bench.drops(DropReason::NeighbourFailed), 1);
    let known = bench.agent.tables.neighbours.lookup(OUTSIDE, PEER.into()).unwrap();
    assert_eq!(known.state, NeighbourState::Failed);
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    bench.except(b"v6", ExceptionKind::Neighbour { egress: OUTSIDE, neighbour: v6, ingress: None });
    assert_eq!(bench.drops(DropReason::NeighbourFailed), 2);
}

#[test]
fn who_sent_to_a_silent_neighbour_is_told() {
    use packet::decide::Ingress;
    let (mut bench, _control) = Bench::configured();
    let (sender, silent) = (Ipv4Addr::new(10, 9, 0, 1), PEER);
    let held = |ingress| ExceptionKind::Neighbour { egress: OUTSIDE, neighbour: silent.into(), ingress };
    bench.except(&ping(sender, silent), held(Some(Ingress::Inside)));
    bench.except(&ping(sender, silent), held(Some(Ingress::Outside)));
    bench.except(&ping(OURS, silent), held(None));
    let mut told = Vec::new();
    for _ in 0..4 {
        bench.advance(Duration::from_secs(1));
        told.extend(
            std::iter::from_fn(|| bench.sent()).filter(|(_, work)| !matches!(work, AgentWork::Frame { .. })),
        );
    }
    assert_eq!(bench.drops(DropReason::NeighbourFailed), 3);
    let [(error, work)] = &told[..] else {
        panic!("one of the three, beyond no outside interface: {told:?}")
    };
    let flow = packet::flow::Flow::parse(error).unwrap();
    assert_eq!((flow.src, flow.dst, &error[20..22]), (OURS.into(), sender.into(), &[3, 1][..]));
    assert_eq!(*work, AgentWork::Forward { vrf: VrfId(0) });
    bench.except(&ping(sender, silent), held(Some(Ingress::Inside)));
    assert_eq!(bench.sent().unwrap().0[20..22], [3, 1], "at once while it counts as failed");
}

#[test]
fn ike_goes_to_control_or_is_counted() {
    let mut bench = Bench::new();
    bench.except(&[0x45; 40], ExceptionKind::Ike { standing: IkeStanding::Peer });
    assert_eq!(bench.drops(DropReason::PuntFull), 1, "nobody is there");
    let mut control = bench.connect();
    bench.except(&[0x46; 40], ExceptionKind::Ike { standing: IkeStanding::New });
    bench.except(&[0x47; 9300], ExceptionKind::Ike { standing: IkeStanding::Peer });
    let mut packet = [0; MAX_PACKET_LEN];
    let (punt, len) = control.receive_punt(PuntClass::IkeNew, &mut packet).unwrap().unwrap();
    assert_eq!((punt.interface.0, len, packet[0]), (OUTSIDE.0, 40, 0x46));
    assert_eq!(bench.drops(DropReason::PuntOversize), 1);
    assert_eq!(bench.figure(AgentFigure::PuntedIkeNew), 1);
}

#[test]
fn pings_are_answered_here_and_other_icmp_is_punted() {
    let (mut bench, mut control) = Bench::configured();
    bench.except(&ping(PEER, OURS), ExceptionKind::Icmp);
    let (reply, work) = bench.sent().unwrap();
    assert_eq!(work, AgentWork::Own { vrf: VrfId(0) });
    assert_eq!(reply[20], 0);
    let ingress = packet::decide::Ingress::Tunnel(packet::TunnelId(1));
    bench.except(&ping(PEER, OURS), ExceptionKind::Local { ingress });
    assert_eq!(bench.sent().unwrap().1, AgentWork::Forward { vrf: VrfId(0) });
    let mut unreachable = ping(PEER, OURS);
    unreachable[20] = 3;
    bench.except(&unreachable, ExceptionKind::Icmp);
    let mut packet = [0; MAX_PACKET_LEN];
    assert!(control.receive_punt(PuntClass::Icmp, &mut packet).unwrap().is_some());
}

#[test]
fn a_packet_without_a_way_is_reported_to_its_sender() {
    let (mut bench, _control) = Bench::configured();
    let ingress = packet::decide::Ingress::Inside;
    let told = [
        (DropReason::NoRoute, 0),
        (DropReason::TunnelDown, 1),
        (DropReason::NeighbourFailed, 1),
        (DropReason::NoMatchingSelector, 13),
    ];
    for (reason, code) in told {
        let probe = ping(PEER, Ipv4Addr::new(10, 9, 0, 1));
        bench.except(&probe, ExceptionKind::Unreachable { reason, ingress });
        assert_eq!(bench.sent().unwrap().0[20..22], [3, code], "{reason}");
        assert_eq!(bench.drops(reason), 0, "the worker counted it");
    }
}

#[test]
fn a_sender_is_told_that_the_rest_of_its_fragments_did_not_come() {
    let (mut bench, _control) = Bench::configured();
    let first = ping(PEER, Ipv4Addr::new(10, 9, 0, 1));
    let ingress = packet::decide::Ingress::Inside;
    bench.except(&first, ExceptionKind::ReassemblyTimeExceeded { ingress });
    assert_eq!(bench.sent().unwrap().0[20..22], [11, 1]);
}

/// A router's word that a packet of the SA to the peer, of 1,500 bytes and with this SPI and sequence number,
/// exceeds 1,400.
fn too_big(spi: u32, seq: u32) -> Vec<u8> {
    let mut outer = ping(OURS, PEER)[..20].to_vec();
    outer[2..4].copy_from_slice(&1500u16.to_be_bytes());
    outer[9] = 50;
    let quoted = [&outer[..], &spi.to_be_bytes(), &seq.to_be_bytes()].concat();
    let mut message = [&[3, 4, 0, 0, 0, 0, 0x05, 0x78][..], &quoted].concat();
    let sum = packet::headers::checksum::checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = ping(Ipv4Addr::new(192, 0, 2, 254), OURS)[..20].to_vec();
    packet[2..4].copy_from_slice(&56u16.to_be_bytes());
    packet[10..12].fill(0);
    let sum = packet::headers::checksum::checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(message);
    packet
}

#[test]
fn a_path_mtu_is_believed_from_who_saw_our_packet_and_forgotten_later() {
    let (mut bench, mut control) = Bench::configured();
    let spi = bench.install(&mut control, native());
    let spi = convert::spi(spi);
    let inner_mtu = |bench: &Bench| bench.agent.tables.sad().entry(spi).unwrap().inner_mtu;
    let entry = bench.agent.tables.sad().entry(spi).unwrap();
    entry.outbound.as_ref().unwrap().sequence.resume_after(packet::esp::SeqNo(5_000_000));
    assert_eq!(inner_mtu(&bench), 1446);
    let lies = [(0xabce, 4_999_999), (0xabcd, 5_000_001), (0xabcd, 1000)];
    for (peer_spi, seq) in lies {
        bench.except(&too_big(peer_spi, seq), ExceptionKind::Icmp);
        assert_eq!(inner_mtu(&bench), 1446, "SPI {peer_spi:x} sequence {seq}");
    }
    bench.except(&too_big(0xabcd, 4_999_999), ExceptionKind::Icmp);
    assert_eq!((inner_mtu(&bench), bench.figure(AgentFigure::PathMtuMessages)), (1346, 1));
    bench.except(&too_big(0xabcd, 4_999_999), ExceptionKind::Icmp);
    assert_eq!(bench.figure(AgentFigure::PathMtuMessages), 1, "it is known");
    bench.advance(Duration::from_secs(601));
    assert_eq!(inner_mtu(&bench), 1446);
}

#[test]
fn nothing_but_icmp_is_served_at_an_inside_address_and_the_sender_is_told() {
    let (mut bench, _control) = Bench::configured();
    let ingress = packet::decide::Ingress::Inside;
    for (protocol, code) in [(17, 3), (6, 3), (132, 2)] {
        let mut probe = ping(PEER, OURS);
        probe[9] = protocol;
        probe[10..12].fill(0);
        let sum = packet::headers::checksum::checksum(&probe[..20]);
        probe[10..12].copy_from_slice(&sum.to_be_bytes());
        bench.except(&probe, ExceptionKind::Local { ingress });
        let (message, work) = bench.sent().unwrap();
        assert_eq!((work, &message[20..22]), (AgentWork::Forward { vrf: VrfId(0) }, &[3, code][..]));
        assert_eq!(&message[28..48], &probe[..20], "it quotes the probe");
    }
    assert_eq!(bench.drops(DropReason::LocalUnserved), 3);
}

#[test]
fn a_packet_that_is_too_big_is_reported_to_its_sender() {
    let (mut bench, _control) = Bench::configured();
    let ingress = packet::decide::Ingress::Inside;
    bench.except(&ping(PEER, Ipv4Addr::new(10, 2, 0, 1)), ExceptionKind::TooBig { mtu: 1438, ingress });
    let (message, work) = bench.sent().unwrap();
    assert_eq!(work, AgentWork::Forward { vrf: VrfId(0) });
    assert_eq!(message[20..22], [3, 4]);
    assert_eq!(message[26..28], 1438u16.to_be_bytes());
    assert_eq!(message[12..16], OURS.octets());
    assert!(message.len() <= icmpv4::MAX_ERROR_LEN);
    let mut error = ping(PEER, Ipv4Addr::new(10, 2, 0, 1));
    error[20] = 11;
    bench.except(&error, ExceptionKind::TimeExceeded { ingress });
    assert!(bench.sent().is_none(), "never about an error");
}

#[test]
fn control_sends_only_from_our_addresses() {
    let (mut bench, mut control) = Bench::configured();
    let vrf = contract::VrfId(0);
    control.send_inject(&Inject { vrf }, &ping(OURS, PEER)).unwrap();
    control.send_inject(&Inject { vrf }, &ping(PEER, OURS)).unwrap();
    control.send_inject(&Inject { vrf: contract::VrfId(1) }, &ping(OURS, PEER)).unwrap();
    control.send_inject(&Inject { vrf }, &[0xff; 60]).unwrap();
    bench.round();
    assert_eq!(bench.sent(), Some((ping(OURS, PEER), AgentWork::Own { vrf: VrfId(0) })));
    assert!(bench.sent().is_none());
    assert_eq!((bench.figure(AgentFigure::Injected), bench.figure(AgentFigure::InjectRefused)), (1, 3));
}
