//! Sessions, transactions, the life of SAs, lists.

use super::*;

#[test]
fn a_commit_is_acknowledged_when_every_worker_sees_it() {
    let mut bench = Bench::new();
    let mut control = bench.connect();
    bench.stage(&mut control, true, configuration());
    control.send_command(&Commit { txn: contract::TxnId(1) }.into()).unwrap();
    bench.advance(Duration::from_micros(10));
    bench.advance(Duration::from_micros(10));
    assert_eq!(control.receive_completion().unwrap(), None, "the worker has not reported");
    assert!(bench.shared.tables.load(&bench.worker).interface(OUTSIDE).is_some());
    bench.worker.quiescent();
    bench.advance(Duration::from_micros(10));
    assert!(matches!(control.receive_completion().unwrap(), Some(Completion::Committed(_))));
    let (frame, work) = bench.sent().unwrap();
    assert_eq!(work, AgentWork::Frame { interface: OUTSIDE });
    let announced = arp::parse(&frame).unwrap();
    assert_eq!((announced.sender, announced.target, announced.sender_mac), (OURS, OURS, MAC));
    assert_eq!(bench.page.interface(2).unwrap().name.as_str(), "wan");
}

#[test]
fn a_rejected_transaction_changes_nothing() {
    let (mut bench, mut control) = Bench::configured();
    let version = bench.agent.tables.version();
    let route = |next_hop| {
        let key = RouteKey { vrf: contract::VrfId(5), prefix: remote_prefix() };
        Put::from(Route { key, next_hop: contract::NextHopId(next_hop) })
    };
    let rejected = bench.transact(&mut control, false, vec![route(1), route(99)]);
    assert_eq!(rejected, Err((1, RejectCode::UnknownNextHop)));
    assert!(bench.agent.tables.vrf(VrfId(5)).is_none());
    assert_eq!(bench.agent.tables.version(), version);

    let in_use = DeleteTunnel { id: contract::TunnelId(1) };
    assert_eq!(bench.transact(&mut control, false, vec![in_use.into()]), Err((0, RejectCode::InUse)));
    let bad_port = Interface {
        id: contract::InterfaceId(3),
        port: contract::PortId(9),
        vlan: VlanId::new(5),
        role: Role::Inside,
        vrf: contract::VrfId(1),
        mtu: 1500,
    };
    assert_eq!(bench.transact(&mut control, false, vec![bad_port.into()]), Err((0, RejectCode::UnknownPort)));
    let spi = contract::Spi::new(0x12345).unwrap();
    assert_eq!(
        bench.transact(&mut control, false, child(spi, native())),
        Err((0, RejectCode::SpiNotReserved))
    );
}

#[test]
fn a_child_lives_from_reservation_to_its_final_counters() {
    let (mut bench, mut control) = Bench::configured();
    let spi = bench.install(&mut control, native());
    {
        let tables = bench.shared.tables.load(&bench.worker);
        let entry = tables.sad().entry(convert::spi(spi)).unwrap();
        let inbound = entry.inbound.as_ref().unwrap();
        inbound.usage.charge(100, 5);
        let sender = tables.child(convert::spi(spi)).unwrap();
        sender.sa.usage.charge(70, 6);
        sender.sa.sequence.issue().unwrap();
    }
    let list = List { request: contract::RequestId(3), kind: ListKind::Sas, cursor: 0 };
    control.send_command(&list.into()).unwrap();
    bench.round();
    let Some(Completion::Sa(listed)) = control.receive_completion().unwrap() else { panic!() };
    assert_eq!((listed.sa.spi, listed.sa.state, listed.sa.esn), (spi, contract::SaState::Installed, true));
    assert_eq!((listed.sa.totals.in_bytes, listed.sa.totals.out_bytes), (100, 70));
    assert!(matches!(control.receive_completion().unwrap(), Some(Completion::ListEnd(end)) if end.next == 0));
    bench.advance(Duration::from_secs(1));
    assert_eq!(
        bench.page.sas().map(|(spi, totals)| (spi, totals.in_packets)).collect::<Vec<_>>(),
        [(spi, 1)]
    );

    let delete = DeleteInbound { spi, linger_ms: 5000 };
    assert_eq!(bench.transact(&mut control, false, vec![delete.into()]), Ok(()));
    assert!(bench.agent.tables.sad().entry(convert::spi(spi)).is_some(), "it lingers");
    bench.advance(Duration::from_secs(6));
    bench.round();
    let Some(Completion::SaDeleted(deleted)) = control.receive_completion().unwrap() else { panic!() };
    let totals = deleted.totals;
    assert_eq!((deleted.spi, deleted.owner), (spi, owner()));
    assert_eq!((totals.in_packets, totals.out_packets, totals.out_bytes, totals.out_seq), (1, 1, 70, 1));
    assert_eq!(bench.page.sas().count(), 0);
    assert_eq!(bench.shared.domain.pending(), 0, "old snapshots are freed");
}

#[test]
fn a_full_transaction_keeps_the_sas() {
    let (mut bench, mut control) = Bench::configured();
    let spi = bench.install(&mut control, native());
    let without_route = configuration().into_iter().take(4).collect();
    assert_eq!(bench.transact(&mut control, true, without_route), Ok(()));
    let tables = &bench.agent.tables;
    assert!(tables.child(convert::spi(spi)).is_some());
    let prefix = packet::Prefix::new(remote_prefix().addr(), 24).unwrap();
    assert!(tables.vrf(VrfId(0)).unwrap().target(prefix).is_none(), "the route is gone");
}

#[test]
fn a_new_session_drops_the_open_transaction() {
    let (mut bench, mut control) = Bench::configured();
    bench.stage(&mut control, true, vec![]);
    bench.round();
    let mut second = bench.connect();
    second.send_command(&Commit { txn: contract::TxnId(bench.txn) }.into()).unwrap();
    bench.round();
    let Some(Completion::Rejected(rejected)) = second.receive_completion().unwrap() else { panic!() };
    assert_eq!(rejected.code, RejectCode::UnknownTransaction);
    assert!(bench.agent.tables.interface(OUTSIDE).is_some());
    assert!(control.receive_completion().is_err());
}

#[test]
fn reservations_are_given_back_and_run_out() {
    let (mut bench, mut control) = Bench::configured();
    let spi = bench.reserve(&mut control);
    control.send_command(&contract::ReleaseSpi { spi }.into()).unwrap();
    bench.round();
    assert!(bench.agent.tables.sad().is_empty());
    assert_eq!(control.receive_completion().unwrap(), None, "it was never an SA");
    for _ in 0..256 {
        bench.reserve(&mut control);
    }
    let request = contract::RequestId(5);
    let reserve = ReserveSpi { request, owner: owner(), outer_vrf: contract::VrfId(0) };
    control.send_command(&reserve.into()).unwrap();
    bench.round();
    let Some(Completion::Refused(refused)) = control.receive_completion().unwrap() else { panic!() };
    assert_eq!((refused.request, refused.code), (request, RejectCode::NoCapacity));
    bench.advance(Duration::from_secs(301));
    bench.round();
    assert!(bench.agent.tables.sad().is_empty());
}

#[test]
fn a_peer_that_moved_is_followed_and_kept_open() {
    let (mut bench, mut control) = Bench::configured();
    let encap = Encap::Udp { local_port: 4500, remote_port: 4500 };
    let spi = bench.install(&mut control, Outer { encap, keepalive_secs: 20, ..native() });
    let moved: IpAddr = [192, 0, 2, 9].into();
    bench.notice(Notice::PeerMoved { spi: convert::spi(spi), remote: moved, port: 61_000 });
    let mut events = std::iter::from_fn(|| control.receive_event().unwrap());
    let event = events.find(|event| matches!(event, Event::PeerMoved(_)));
    assert!(
        matches!(event, Some(Event::PeerMoved(e)) if e.followed && e.remote == moved && e.port == 61_000)
    );
    while bench.sent().is_some() {}
    bench.advance(Duration::from_secs(25));
    let (keepalive, work) = std::iter::from_fn(|| bench.sent()).find(|(bytes, _)| bytes.len() == 29).unwrap();
    assert_eq!(work, AgentWork::Own { vrf: VrfId(0) });
    assert_eq!(keepalive[16..20], [192, 0, 2, 9]);
    assert_eq!(keepalive[22..24], 61_000u16.to_be_bytes());
}

#[test]
fn lists_come_in_pages() {
    let (mut bench, mut control) = Bench::configured();
    let route = |n: u8| {
        let prefix = Prefix::new([10, 9, n, 0].into(), 24).unwrap();
        let key = RouteKey { vrf: contract::VrfId(u16::from(n % 3)), prefix };
        Put::from(Route { key, next_hop: contract::NextHopId(1) })
    };
    let half = |range: std::ops::RangeInclusive<u8>| range.map(route).collect::<Vec<_>>();
    assert_eq!(bench.transact(&mut control, false, half(0..=255)), Ok(()));
    let (mut cursor, mut found) = (0, std::collections::BTreeSet::new());
    loop {
        let list = List { request: contract::RequestId(1), kind: ListKind::Routes, cursor };
        control.send_command(&Command::from(list)).unwrap();
        bench.round();
        while let Some(Completion::Route(listed)) =
            control.receive_completion().unwrap().filter(|completion| {
                if let Completion::ListEnd(end) = completion {
                    cursor = end.next;
                }
                true
            })
        {
            assert!(found.insert(format!("{:?}", listed.route.key)), "listed twice");
        }
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(found.len(), 257);
    for kind in [ListKind::Ports, ListKind::Interfaces, ListKind::Tunnels, ListKind::Neighbours] {
        control.send_command(&List { request: contract::RequestId(1), kind, cursor: 0 }.into()).unwrap();
    }
    bench.round();
    bench.round();
    let answers: Vec<_> = std::iter::from_fn(|| control.receive_completion().unwrap()).collect();
    assert!(matches!(
        answers[..],
        [
            Completion::Port(_),
            Completion::ListEnd(_),
            Completion::Interface(_),
            Completion::ListEnd(_),
            Completion::Tunnel(_),
            Completion::ListEnd(_),
            Completion::ListEnd(_),
        ]
    ));
}

#[test]
fn a_policer_is_put_and_told_of_until_it_is_deleted() {
    let (mut bench, mut control) = Bench::configured();
    let spi = bench.install(&mut control, native());
    let connection = contract::ConnectionId(1);
    let put = contract::Policer { connection, bits_per_second: 0, packets_per_second: 10, burst_ms: 100 };
    bench.transact(&mut control, false, vec![put.into()]).unwrap();
    {
        let tables = bench.shared.tables.load(&bench.worker);
        let policer = tables.policer(packet::TunnelId(1)).unwrap();
        let asked = [(); 2].map(|()| policer.admit(packet::sad::Direction::Outbound, 100, 0, 1 << 40));
        assert_eq!(asked, [Ok(()), Err(DropReason::PolicerPackets)]);
        tables.child(convert::spi(spi)).unwrap().sa.count_policed();
    }
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.page.sas().map(|(_, totals)| totals.out_policed).collect::<Vec<_>>(), [1]);
    let worthless = contract::Policer { burst_ms: 0, ..put };
    assert_eq!(bench.transact(&mut control, false, vec![worthless.into()]), Err((0, RejectCode::Invalid)));
    let delete = || vec![contract::DeletePolicer { connection }.into()];
    bench.transact(&mut control, false, delete()).unwrap();
    assert!(bench.agent.tables.policer(packet::TunnelId(1)).is_none());
    assert_eq!(bench.transact(&mut control, false, delete()), Err((0, RejectCode::UnknownEntry)));
}
