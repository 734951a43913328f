//! Owners of SAs, and the rules that lead packets to them.

use dpdk::FlowMatch;

use super::*;

/// Another worker beside the one that the test plays from the start.
fn with_two_workers() -> (Bench, ControlEnd) {
    let (bench, control) = Bench::configured_with(2);
    bench.devices.room.set(100);
    (bench, control)
}

fn owner_of(bench: &Bench, spi: contract::Spi) -> (u16, u16) {
    let entry = bench.agent.tables.sad().entry(convert::spi(spi)).unwrap();
    (entry.inbound.as_ref().unwrap().owner(), entry.outbound.as_ref().unwrap().owner())
}

fn rules(bench: &Bench) -> Vec<(FlowMatch, u16)> {
    bench.devices.live.borrow().iter().map(|((_, what), queue)| (*what, *queue)).collect()
}

fn in_udp(remote_port: u16) -> Outer {
    Outer { encap: Encap::Udp { local_port: 4500, remote_port }, ..native() }
}

#[test]
fn both_halves_belong_to_the_worker_with_fewest_sas_and_a_rule_leads_there() {
    let (mut bench, mut control) = with_two_workers();
    let spis: Vec<_> = (0..4).map(|_| bench.install(&mut control, native())).collect();
    let owners: Vec<_> = spis.iter().map(|spi| owner_of(&bench, *spi)).collect();
    assert_eq!(owners, [(0, 0), (1, 1), (0, 0), (1, 1)]);
    let led = |spi: contract::Spi| FlowMatch::Esp { spi: spi.value(), ipv6: false };
    let mut expected: Vec<_> = spis.iter().map(|spi| (led(*spi), owner_of(&bench, *spi).0)).collect();
    expected.sort();
    assert_eq!(rules(&bench), expected);
    bench.advance(Duration::from_secs(2));
    assert_eq!(bench.figure(AgentFigure::NicRules), 4);
}

#[test]
fn the_rule_goes_with_the_spi() {
    let (mut bench, mut control) = with_two_workers();
    let spi = bench.install(&mut control, native());
    assert_eq!(rules(&bench).len(), 1);
    let delete = DeleteInbound { spi, linger_ms: 0 };
    assert_eq!(bench.transact(&mut control, false, vec![delete.into()]), Ok(()));
    bench.round();
    bench.round();
    assert_eq!(rules(&bench), []);
    assert!(matches!(control.receive_completion(), Ok(Some(Completion::SaDeleted(_)))));
    assert_eq!(owner_of_next(&mut bench, &mut control), 0, "the worker has none again");
}

fn owner_of_next(bench: &mut Bench, control: &mut ControlEnd) -> u16 {
    let spi = bench.install(control, native());
    owner_of(bench, spi).0
}

#[test]
fn sas_of_a_peer_behind_a_nat_stay_together_and_follow_it() {
    let (mut bench, mut control) = with_two_workers();
    let first = bench.install(&mut control, in_udp(4500));
    let second = bench.install(&mut control, in_udp(4500));
    assert_eq!((owner_of(&bench, first).0, owner_of(&bench, second).0), (0, 0));
    assert_eq!(rules(&bench).len(), 1);
    bench.notice(Notice::PeerMoved { spi: convert::spi(first), remote: PEER.into(), port: 1024 });
    bench.round();
    let ports: Vec<_> = rules(&bench)
        .into_iter()
        .map(|(what, queue)| match what {
            FlowMatch::Udp { remote, .. } => (remote.port(), queue),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ports, [(1024, 0), (4500, 0)]);
}

#[test]
fn what_a_device_refuses_is_counted_and_no_more() {
    let (mut bench, mut control) = with_two_workers();
    bench.devices.room.set(1);
    for _ in 0..3 {
        bench.install(&mut control, native());
    }
    bench.advance(Duration::from_secs(2));
    let figures = [AgentFigure::NicRules, AgentFigure::NicRulesRefused].map(|figure| bench.figure(figure));
    assert_eq!(figures, [1, 2]);
}

#[test]
fn a_refused_transaction_changes_no_load() {
    let (mut bench, mut control) = with_two_workers();
    let spi = bench.reserve(&mut control);
    let mut changes = child(spi, native());
    changes.push(changes[0].clone());
    assert!(bench.transact(&mut control, false, changes).is_err());
    assert_eq!(bench.transact(&mut control, false, child(spi, native())), Ok(()));
    assert_eq!(owner_of(&bench, spi), (0, 0));
    assert_eq!(rules(&bench).len(), 1);
}
