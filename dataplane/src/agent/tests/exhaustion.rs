//! What runs out: buffers, the queue to the worker, the rings to control. Each costs the packets at hand, under a name
//! of its own, and nothing after it.

use packet::decide::IkeStanding;

use super::*;

fn inject(control: &mut ControlEnd, packet: &[u8]) {
    control.send_inject(&Inject { vrf: contract::VrfId(0) }, packet).unwrap();
}

#[test]
fn without_buffers_what_the_agent_makes_is_lost_by_name_until_there_are_some() {
    let (mut bench, mut control) = Bench::configured();
    let to_neighbour = ExceptionKind::Neighbour { egress: OUTSIDE, neighbour: PEER.into(), ingress: None };

    bench.agent.environment.exhausted = true;
    // A request for the neighbour, and what control gives. A ping is answered in its own buffer.
    bench.except(b"held", to_neighbour);
    inject(&mut control, &ping(OURS, PEER));
    bench.except(&ping(PEER, OURS), ExceptionKind::Icmp);
    assert_eq!(bench.sent().unwrap().0[20], 0);
    bench.advance(Duration::from_millis(1));
    assert_eq!((bench.sent(), bench.figure(AgentFigure::Injected)), (None, 0));
    assert_eq!(bench.figure(AgentFigure::FramesLost), 2);

    bench.agent.environment.exhausted = false;
    bench.advance(Duration::from_secs(1));
    let (asked, _) = bench.sent().expect("asked again");
    assert_eq!(arp::parse(&asked).unwrap().target, PEER);
    bench.except(&arp_frame(ArpOperation::Reply, OURS), ExceptionKind::Arp);
    assert_eq!(bench.sent().unwrap().0, b"held", "it waited");
    inject(&mut control, &ping(OURS, PEER));
    bench.advance(Duration::from_micros(10));
    assert_eq!(bench.sent().unwrap().0[20], 8);
    assert_eq!(bench.figure(AgentFigure::FramesLost), 2);
}

#[test]
fn a_full_queue_to_the_worker_loses_packets_by_name_and_recovers() {
    let (mut bench, _control) = Bench::configured();
    let room = bench.shared.mailboxes[0].from_agent.capacity();
    let request = arp_frame(ArpOperation::Request, OURS);
    for _ in 0..room + 5 {
        bench.except(&request, ExceptionKind::Arp);
    }
    assert_eq!(bench.figure(AgentFigure::FramesLost), 5);
    assert_eq!(std::iter::from_fn(|| bench.sent()).count(), room);
    bench.except(&request, ExceptionKind::Arp);
    assert!(bench.sent().is_some());
    assert_eq!(bench.figure(AgentFigure::FramesLost), 5);
}

#[test]
fn a_control_process_that_reads_nothing_loses_packets_by_name_and_recovers() {
    let (mut bench, mut control) = Bench::configured();
    let kind = ExceptionKind::Ike { standing: IkeStanding::Peer };
    let mut taken = 0;
    while bench.drops(DropReason::PuntFull) == 0 {
        bench.except(&[0x45; 40], kind);
        taken += 1;
    }
    assert_eq!(bench.figure(AgentFigure::PuntedIkeKnown), taken - 1);
    let mut packet = [0; MAX_PACKET_LEN];
    let mut read = || control.receive_punt(PuntClass::IkeKnown, &mut packet).unwrap().is_some();
    assert_eq!((0..).take_while(|_| read()).count() as u64, taken - 1);
    bench.except(&[0x45; 40], kind);
    assert!(read());
    assert_eq!(bench.drops(DropReason::PuntFull), 1);
}
