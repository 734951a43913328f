//! Probes of the path MTU, answered by a peer that the test plays.

use super::*;

use packet::flow::Flow;
use packet::path_mtu::{self, Arrived, Pieces};
use packet::sad::SadEntry;
use shm::message::{PathFound, PathLimit, PathState};

const HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const TARGET: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// An agent with an SA whose tunnel is probed.
fn probed() -> (Bench, ControlEnd, Spi) {
    let (mut bench, mut control) = Bench::configured();
    let host = HostAddress { vrf: contract::VrfId(0), ip: HOST.into(), prefix_len: 32 };
    let tunnel = configuration().into_iter().find_map(|change| match change {
        Put::PutTunnel(tunnel) => Some(Tunnel { probe: Some(TARGET.into()), ..tunnel }),
        _ => None,
    });
    let changes = vec![host.into(), tunnel.unwrap().into()];
    assert_eq!(bench.transact(&mut control, false, changes), Ok(()));
    let spi = bench.install(&mut control, native());
    (bench, control, convert::spi(spi))
}

/// A peer on a path of these MTUs.
struct Path {
    outbound: usize,
    inbound: usize,
    /// The first fragment of a request.
    first: Option<Vec<u8>>,
}

impl Path {
    fn new(outbound: usize, inbound: usize) -> Self {
        Self { outbound, inbound, first: None }
    }

    /// Takes a probe; returns what the agent hears of its answer.
    fn answer(&mut self, packet: &[u8]) -> Option<Notice> {
        let flow = Flow::parse(packet).unwrap();
        assert_eq!((flow.src, flow.dst), (HOST.into(), TARGET.into()));
        if sealed(packet.len()) > self.outbound {
            return None;
        }
        let field = u16::from_be_bytes([packet[6], packet[7]]);
        let (at, more) = (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0);
        if at == 0 {
            self.first = Some(packet.to_vec());
        }
        if more || sealed(at + usize::from(flow.len)) > self.inbound {
            return None;
        }
        let mut reply = self.first.take()?;
        reply[12..20].rotate_left(4);
        reply[20] = 0;
        let answer = path_mtu::answer(&reply, &Flow::parse(&reply).unwrap()).unwrap();
        let arrived = Arrived { largest: 100, pieces: Pieces::Whole };
        Some(Notice::EchoAnswer { tunnel: packet::TunnelId(1), answer, arrived })
    }

    fn run(&mut self, bench: &mut Bench, time: Duration) {
        let end = bench.now.get() + time;
        while bench.now.get() < end {
            bench.advance(Duration::from_millis(100));
            bench.worker.quiescent();
            while let Some((packet, work)) = bench.sent() {
                let AgentWork::Probe { .. } = work else { continue };
                if let Some(notice) = self.answer(&packet) {
                    bench.notice(notice);
                }
            }
        }
    }
}

/// The length of the ESP packet: AES-GCM in IPv4.
fn sealed(inner: usize) -> usize {
    36 + (inner + 2).next_multiple_of(4) + 16
}

fn entry(bench: &Bench, spi: Spi) -> &SadEntry<Key> {
    bench.agent.tables.sad().entry(spi).unwrap()
}

/// The last word of the agent about the tunnel's path.
fn told(control: &mut ControlEnd) -> contract::PathRecord {
    let events = std::iter::from_fn(|| control.receive_event().unwrap());
    let found = events.filter_map(|event| match event {
        Event::PathFound(PathFound { path, .. }) => Some(path),
        _ => None,
    });
    found.last().unwrap()
}

#[test]
fn what_probes_find_bounds_the_sa_in_both_directions() {
    let (mut bench, mut control, spi) = probed();
    Path::new(1400, 1300).run(&mut bench, Duration::from_secs(30));
    let path = told(&mut control);
    let hole = |size| contract::Reach { size, limit: PathLimit::BlackHole };
    assert_eq!((path.state, path.outbound, path.inbound), (PathState::Complete, hole(1400), hole(1300)));
    let (inner, inbound) = (1346, 1246);
    assert_eq!((entry(&bench, spi).inner_mtu, entry(&bench, spi).mss), (inner, inbound - 40));
    assert_eq!(bench.figure(AgentFigure::PathMtus), 1);
    assert!(bench.figure(AgentFigure::PathProbes) < 200);

    // The path is a better one after a while, and then the tunnel is no longer probed.
    bench.advance(Duration::from_secs(600));
    Path::new(1500, 1500).run(&mut bench, Duration::from_secs(20));
    assert_eq!((entry(&bench, spi).inner_mtu, told(&mut control).outbound.limit), (1446, PathLimit::Link));
    Path::new(1400, 1500).run(&mut bench, Duration::from_secs(60));
    assert_eq!(entry(&bench, spi).inner_mtu, 1346);
    assert_eq!(bench.transact(&mut control, false, configuration()), Ok(()));
    bench.advance(Duration::from_secs(2));
    bench.advance(Duration::from_secs(2));
    assert_eq!((entry(&bench, spi).inner_mtu, told(&mut control).state), (1446, PathState::Off));
}

#[test]
fn a_target_that_does_not_answer_changes_nothing() {
    let (mut bench, mut control, spi) = probed();
    Path::new(0, 0).run(&mut bench, Duration::from_secs(60));
    assert_eq!((entry(&bench, spi).inner_mtu, told(&mut control).state), (1446, PathState::Silent));
    assert!(bench.figure(AgentFigure::PathProbes) < 40);
}

#[test]
fn answers_to_probes_are_no_programs() {
    let (mut bench, _control, _) = probed();
    bench.advance(Duration::from_secs(2));
    bench.advance(Duration::from_secs(2));
    let (mut answer, _) = std::iter::from_fn(|| bench.sent()).last().unwrap();
    answer[12..20].rotate_left(4);
    answer[20] = 0;
    let kind = ExceptionKind::Local { ingress: packet::decide::Ingress::Tunnel(packet::TunnelId(1)) };
    bench.except(&answer, kind);
    assert_eq!(bench.agent.environment.programs.received, []);
    answer[30] ^= 1;
    bench.except(&answer, kind);
    assert_eq!(bench.agent.environment.programs.received.len(), 1, "another nonce");
}
