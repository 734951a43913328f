//! Host addresses: the programs of this machine behind the one decision.

use super::*;

const HOST: Ipv4Addr = Ipv4Addr::new(169, 254, 10, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 9);
const DEFAULT: VrfId = VrfId(0);

fn host() -> HostAddress {
    HostAddress { vrf: contract::VrfId(0), ip: HOST.into(), prefix_len: 30 }
}

fn with_host() -> (Bench, ControlEnd) {
    let (mut bench, mut control) = Bench::configured();
    assert_eq!(bench.transact(&mut control, false, vec![host().into()]), Ok(()));
    (bench, control)
}

fn local() -> ExceptionKind {
    ExceptionKind::Local { ingress: packet::decide::Ingress::Inside }
}

#[test]
fn what_a_program_sends_takes_the_one_decision() {
    let (mut bench, _control) = with_host();
    let packet = ping(HOST, FAR);
    bench.agent.environment.programs.sent.push_back((DEFAULT, packet.clone()));
    bench.advance(Duration::from_micros(10));
    assert_eq!(bench.sent(), Some((packet, AgentWork::Forward { vrf: DEFAULT })));
    assert_eq!(bench.figure(AgentFigure::HostReceived), 1);
}

#[test]
fn a_program_cannot_send_from_another_address() {
    let (mut bench, _control) = with_host();
    let sent = &mut bench.agent.environment.programs.sent;
    sent.push_back((DEFAULT, ping(OURS, FAR)));
    sent.push_back((VrfId(1), ping(HOST, FAR)));
    sent.push_back((DEFAULT, b"junk".to_vec()));
    bench.advance(Duration::from_micros(10));
    assert_eq!(bench.sent(), None);
    assert_eq!(bench.figure(AgentFigure::HostRefused), 3);
}

#[test]
fn the_kernel_answers_for_a_host_address() {
    let (mut bench, _control) = with_host();
    let request = ping(FAR, HOST);
    bench.except(&request, local());
    assert_eq!(bench.agent.environment.programs.received, [(DEFAULT, request.clone())]);
    assert_eq!(bench.figure(AgentFigure::HostDelivered), 1);
    assert_eq!(bench.sent(), None, "the agent does not answer as well");
    bench.agent.environment.programs.addresses.clear();
    bench.except(&request, local());
    assert_eq!(bench.drops(DropReason::HostUnserved), 1, "no device");
}

#[test]
fn addresses_stay_until_a_transaction_says_otherwise() {
    let (mut bench, control) = with_host();
    drop(control);
    bench.advance(Duration::from_secs(5));
    assert!(bench.agent.environment.programs.addresses.contains_key(&DEFAULT));
    let mut control = bench.connect();
    bench.txn = 0;
    assert_eq!(bench.transact(&mut control, true, configuration()), Ok(()));
    assert!(bench.agent.environment.programs.addresses.is_empty(), "not put again");
}

#[test]
fn an_error_about_a_packet_of_a_tunnel_goes_back_through_it() {
    let (mut bench, mut control) = Bench::configured();
    bench.install(&mut control, native());
    let ours = HostAddress { vrf: contract::VrfId(0), ip: [10, 1, 0, 1].into(), prefix_len: 32 };
    assert_eq!(bench.transact(&mut control, false, vec![ours.into()]), Ok(()));
    while bench.sent().is_some() {}
    let ingress = packet::decide::Ingress::Tunnel(packet::TunnelId(1));
    bench.except(&ping(FAR, Ipv4Addr::new(10, 1, 0, 7)), ExceptionKind::TimeExceeded { ingress });
    let (error, work) = bench.sent().unwrap();
    let flow = packet::flow::Flow::parse(&error).unwrap();
    assert_eq!((flow.src, flow.dst), (ours.ip, FAR.into()), "an address that the selectors cover");
    assert_eq!(work, AgentWork::Forward { vrf: DEFAULT });
}

#[test]
fn a_program_learns_of_its_packets_in_a_vrf_without_interfaces() {
    let (mut bench, mut control) = Bench::configured();
    let vrf = VrfId(7);
    let v6: std::net::Ipv6Addr = "2001:db8:7::1".parse().unwrap();
    let of = |ip, prefix_len| HostAddress { vrf: contract::VrfId(vrf.0), ip, prefix_len };
    let hosts = vec![of(HOST.into(), 30).into(), of(v6.into(), 127).into()];
    assert_eq!(bench.transact(&mut control, false, hosts), Ok(()));
    let probe = packet::headers::ipv6::Ipv6Repr {
        traffic_class: 0,
        next_header: 17,
        hop_limit: 64,
        src: v6,
        dst: "2001:db8:2::9".parse().unwrap(),
        payload_len: 8,
    };
    let probe = [&probe.emit()[..], &[0; 8]].concat();
    let kind = ExceptionKind::TooBig { mtu: 1300, ingress: packet::decide::Ingress::Own };
    let nobody = Ipv4Addr::new(192, 0, 0, 8);
    for (sent, from) in [(ping(HOST, FAR), nobody.into()), (probe, IpAddr::from(v6))] {
        let to = packet::flow::Flow::parse(&sent).unwrap().src;
        let exception = Exception { packet: HeapBuffer::new(&sent), interface: None, vrf, kind };
        bench.shared.mailboxes[0].exceptions.push(exception).unwrap();
        bench.advance(Duration::from_micros(10));
        let (error, work) = bench.sent().expect("told");
        let flow = packet::flow::Flow::parse(&error).unwrap();
        assert_eq!((flow.src, flow.dst, work), (from, to, AgentWork::Forward { vrf }));
    }
}
