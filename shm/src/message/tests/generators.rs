//! Any value of each message.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::message::*;

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn spi() -> impl Strategy<Value = Spi> {
    (Spi::MIN..).prop_map(|value| Spi::new(value).unwrap())
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (ip(), 0..=128u8).prop_filter_map("a length the family has", |(addr, len)| match addr {
        IpAddr::V4(v4) if len <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            Prefix::new(IpAddr::from((v4.to_bits() & mask).to_be_bytes()), len)
        }
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            Prefix::new(IpAddr::from((v6.to_bits() & mask).to_be_bytes()), len)
        }
    })
}

fn ports() -> impl Strategy<Value = PortRange> {
    any::<[u16; 2]>().prop_map(|[a, b]| PortRange::new(a.min(b), a.max(b)).unwrap())
}

fn owner() -> impl Strategy<Value = OwnerTag> {
    any::<(u32, u32, u64, u32)>().prop_map(|(connection, tunnel, ike_sa, generation)| OwnerTag {
        connection: ConnectionId(connection),
        tunnel: TunnelId(tunnel),
        ike_sa,
        generation,
    })
}

fn encap() -> impl Strategy<Value = Encap> {
    let udp = (1..=u16::MAX, 1..=u16::MAX)
        .prop_map(|(local_port, remote_port)| Encap::Udp { local_port, remote_port });
    prop_oneof![Just(Encap::Native), udp]
}

fn outer() -> impl Strategy<Value = Outer> {
    (any::<u16>(), ip(), ip(), encap(), any::<u16>()).prop_map(
        |(vrf, local, remote, encap, keepalive_secs)| Outer {
            vrf: VrfId(vrf),
            local,
            remote,
            encap,
            keepalive_secs,
        },
    )
}

fn secret() -> impl Strategy<Value = Secret> {
    vec(any::<u8>(), 0..=MAX_KEY_LEN).prop_map(|key| Secret::new(&key).unwrap())
}

fn keys() -> impl Strategy<Value = SaKeys> {
    (secret(), secret()).prop_map(|(encryption, integrity)| SaKeys { encryption, integrity })
}

fn suite() -> impl Strategy<Value = Suite> {
    any::<(u16, u16, u16)>().prop_map(|(encryption, key_bits, integrity)| Suite {
        encryption,
        key_bits,
        integrity,
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    any::<[u64; 4]>().prop_map(|[soft_bytes, hard_bytes, soft_packets, hard_packets]| Limits {
        soft_bytes,
        hard_bytes,
        soft_packets,
        hard_packets,
    })
}

fn inbound() -> impl Strategy<Value = InstallInbound> {
    let parts = (spi(), owner(), any::<(u32, bool, u16, bool)>(), suite(), keys(), outer(), limits());
    parts.prop_map(|(spi, owner, (tunnel, esn, replay_window, follow_nat), suite, keys, outer, limits)| {
        let tunnel = TunnelId(tunnel);
        InstallInbound { spi, owner, tunnel, suite, esn, replay_window, keys, outer, follow_nat, limits }
    })
}

fn outbound() -> impl Strategy<Value = InstallOutbound> {
    let parts = (spi(), spi(), owner(), any::<(u32, bool, bool, u16)>(), suite(), keys(), outer(), limits());
    parts.prop_map(|(spi, peer_spi, owner, (tunnel, esn, active, tfc), suite, keys, outer, limits)| {
        let tunnel = TunnelId(tunnel);
        InstallOutbound { spi, peer_spi, owner, tunnel, suite, esn, keys, outer, limits, active, tfc }
    })
}

fn selector() -> impl Strategy<Value = TrafficSelector> {
    (any::<u8>(), ports(), ip(), ip()).prop_map(|(protocol, ports, first, last)| TrafficSelector {
        protocol,
        ports,
        first,
        last,
    })
}

fn next_hop_kind() -> impl Strategy<Value = NextHopKind> {
    let tunnels = (vec(any::<u32>(), 0..=MAX_NEXT_HOP_TUNNELS), any::<u16>()).prop_map(|(ids, active)| {
        NextHopKind::Tunnels { tunnels: ids.into_iter().map(TunnelId).collect::<ArrayVec<_, 16>>(), active }
    });
    let interface = (any::<u16>(), proptest::option::of(ip()))
        .prop_map(|(id, gateway)| NextHopKind::Interface { interface: InterfaceId(id), gateway });
    prop_oneof![tunnels, interface, Just(NextHopKind::Local), Just(NextHopKind::Discard)]
}

fn interface() -> impl Strategy<Value = Interface> {
    (any::<[u16; 4]>(), 0..=4094u16, any::<bool>()).prop_map(|([id, port, vrf, mtu], vlan, outside)| {
        Interface {
            id: InterfaceId(id),
            port: PortId(port),
            vlan: VlanId::new(vlan),
            role: if outside { Role::Outside } else { Role::Inside },
            vrf: VrfId(vrf),
            mtu,
        }
    })
}

fn address() -> impl Strategy<Value = Address> {
    (any::<u16>(), ip(), any::<u8>()).prop_map(|(interface, ip, prefix_len)| Address {
        interface: InterfaceId(interface),
        ip,
        prefix_len,
    })
}

fn host() -> impl Strategy<Value = HostAddress> {
    (any::<u16>(), ip(), any::<u8>()).prop_map(|(vrf, ip, prefix_len)| HostAddress {
        vrf: VrfId(vrf),
        ip,
        prefix_len,
    })
}

fn route() -> impl Strategy<Value = Route> {
    (any::<u16>(), prefix(), any::<u32>()).prop_map(|(vrf, prefix, next_hop)| Route {
        key: RouteKey { vrf: VrfId(vrf), prefix },
        next_hop: NextHopId(next_hop),
    })
}

fn policy_route() -> impl Strategy<Value = PolicyRoute> {
    (any::<(u16, u32, u32)>(), prefix(), prefix()).prop_map(|((vrf, priority, next_hop), src, dst)| {
        PolicyRoute {
            key: PolicyRouteKey { vrf: VrfId(vrf), priority, src, dst },
            next_hop: NextHopId(next_hop),
        }
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let action = prop_oneof![Just(PolicyAction::Bypass), Just(PolicyAction::Discard)];
    let heading = prop_oneof![Just(PolicyHeading::Both), Just(PolicyHeading::Out), Just(PolicyHeading::In)];
    let ranges = (ports(), ports());
    (any::<(u16, u16, u8)>(), action, heading, prefix(), prefix(), ranges).prop_map(
        |((vrf, order, protocol), action, heading, src, dst, (src_ports, dst_ports))| {
            let key = PolicyKey { vrf: VrfId(vrf), order };
            Policy { key, action, heading, src, dst, protocol, src_ports, dst_ports }
        },
    )
}

fn tunnel() -> BoxedStrategy<Tunnel> {
    let df = proptest::sample::select(DfPolicy::ALL);
    let dscp = prop_oneof![Just(DscpPolicy::Copy), (0..64u8).prop_map(DscpPolicy::Value)];
    let probe = (proptest::option::of(ip()), proptest::sample::select(Fragmentation::ALL));
    (any::<(u32, u32, u16, u16, u16, u16, bool)>(), df, dscp, probe)
        .prop_map(|(n, df, dscp, (probe, fragmentation))| Tunnel {
            id: TunnelId(n.0),
            connection: ConnectionId(n.1),
            inner_vrf: VrfId(n.2),
            outer_vrf: VrfId(n.3),
            mtu: n.4,
            mss: n.5,
            df,
            dscp,
            acquire: n.6,
            probe,
            fragmentation,
        })
        .boxed()
}

fn policer() -> impl Strategy<Value = Policer> {
    any::<(u32, u64, u32, u32)>().prop_map(|n| Policer {
        connection: ConnectionId(n.0),
        bits_per_second: n.1,
        packets_per_second: n.2,
        burst_ms: n.3,
    })
}

fn change() -> BoxedStrategy<Change> {
    let objects = prop_oneof![
        interface().prop_map(Change::from),
        any::<u16>().prop_map(|id| DeleteInterface { id: InterfaceId(id) }.into()),
        address().prop_map(Change::from),
        address().prop_map(|address| DeleteAddress { address }.into()),
        (any::<u32>(), next_hop_kind()).prop_map(|(id, kind)| NextHop { id: NextHopId(id), kind }.into()),
        any::<u32>().prop_map(|id| DeleteNextHop { id: NextHopId(id) }.into()),
        route().prop_map(Change::from),
        route().prop_map(|route| DeleteRoute { key: route.key }.into()),
        policy_route().prop_map(Change::from),
        policy_route().prop_map(|route| DeletePolicyRoute { key: route.key }.into()),
    ];
    let more_objects = prop_oneof![
        policy().prop_map(Change::from),
        policy().prop_map(|policy| DeletePolicy { key: policy.key }.into()),
        tunnel().prop_map(Change::from),
        any::<u32>().prop_map(|id| DeleteTunnel { id: TunnelId(id) }.into()),
        policer().prop_map(Change::from),
        any::<u32>().prop_map(|id| DeletePolicer { connection: ConnectionId(id) }.into()),
        host().prop_map(Change::from),
        host().prop_map(|host| DeleteHostAddress { host }.into()),
    ];
    let sas = prop_oneof![
        inbound().prop_map(Change::from),
        outbound().prop_map(Change::from),
        (spi(), selector(), selector())
            .prop_map(|(spi, local, remote)| AddSelector { spi, local, remote }.into()),
        spi().prop_map(|spi| ActivateOutbound { spi }.into()),
        spi().prop_map(|spi| DeleteOutbound { spi }.into()),
        (spi(), any::<u32>()).prop_map(|(spi, linger_ms)| DeleteInbound { spi, linger_ms }.into()),
        (spi(), outer()).prop_map(|(spi, outer)| UpdateOuter { spi, outer }.into()),
    ];
    // Boxed: the tree of all of them is too large for a test's stack.
    prop_oneof![objects.boxed(), more_objects.boxed(), sas.boxed()].boxed()
}

pub(super) fn command() -> impl Strategy<Value = Command> {
    let request = any::<u64>().prop_map(RequestId);
    let list_kind = proptest::sample::select(ListKind::ALL);
    prop_oneof![
        any::<(u64, bool)>().prop_map(|(txn, full)| Begin { txn: TxnId(txn), full }.into()),
        any::<u64>().prop_map(|txn| Commit { txn: TxnId(txn) }.into()),
        any::<u64>().prop_map(|txn| Abort { txn: TxnId(txn) }.into()),
        (any::<u64>(), change().boxed()).prop_map(|(txn, change)| Staged { txn: TxnId(txn), change }.into()),
        (request.clone(), owner(), any::<u16>()).prop_map(|(request, owner, vrf)| ReserveSpi {
            request,
            owner,
            outer_vrf: VrfId(vrf)
        }
        .into()),
        spi().prop_map(|spi| ReleaseSpi { spi }.into()),
        (request.clone(), list_kind, any::<u64>()).prop_map(|(request, kind, cursor)| List {
            request,
            kind,
            cursor
        }
        .into()),
        request.prop_map(|request| Ping { request }.into()),
    ]
}

fn totals() -> impl Strategy<Value = SaTotals> {
    any::<[u64; 13]>().prop_map(|n| SaTotals {
        in_packets: n[0],
        in_bytes: n[1],
        out_packets: n[2],
        out_bytes: n[3],
        auth_failures: n[4],
        replays: n[5],
        selector_failures: n[6],
        other_drops: n[7],
        out_seq: n[8],
        in_seq: n[9],
        idle_ms: n[10],
        in_policed: n[11],
        out_policed: n[12],
    })
}

fn sa_record() -> impl Strategy<Value = SaRecord> {
    let half = (spi(), outer(), any::<bool>()).prop_map(|(peer_spi, outer, active)| OutboundRecord {
        peer_spi,
        outer,
        active,
    });
    let state = proptest::sample::select(SaState::ALL);
    let halves = (proptest::option::of(outer()), proptest::option::of(half));
    (spi(), state, owner(), any::<(u32, bool, u16, u16, u64)>(), suite(), halves, totals()).prop_map(
        |(spi, state, owner, n, suite, (outer, outbound), totals)| SaRecord {
            spi,
            state,
            owner,
            tunnel: TunnelId(n.0),
            suite,
            esn: n.1,
            replay_window: n.2,
            worker: n.3,
            age_ms: n.4,
            outer,
            outbound,
            totals,
        },
    )
}

fn path() -> impl Strategy<Value = PathRecord> {
    let reach = || {
        let limit = proptest::sample::select(PathLimit::ALL);
        (any::<u16>(), limit).prop_map(|(size, limit)| Reach { size, limit })
    };
    let state = proptest::sample::select(PathState::ALL);
    (state, reach(), reach()).prop_map(|(state, outbound, inbound)| PathRecord { state, outbound, inbound })
}

fn neighbour() -> impl Strategy<Value = NeighbourRecord> {
    let state = proptest::sample::select(NeighbourState::ALL);
    (any::<(u16, [u8; 6], u16, u32)>(), ip(), state).prop_map(
        |((interface, mac, held, age_ms), ip, state)| NeighbourRecord {
            interface: InterfaceId(interface),
            ip,
            mac,
            state,
            held,
            age_ms,
        },
    )
}

fn port() -> impl Strategy<Value = PortRecord> {
    let words = any::<(u16, [u8; 6], bool, u32, u16, u16, u8)>();
    let steering = (proptest::sample::select(SteeringPath::ALL), any::<(u8, u8)>())
        .prop_map(|(path, (rules, refused))| Steering { path, rules, refused });
    ("[a-zé0-9_]{0,31}", "[a-z_]{0,12}", words, steering).prop_map(|(name, driver, n, steering)| PortRecord {
        id: PortId(n.0),
        name: Label::new(&name),
        driver: Label::new(&driver),
        mac: n.1,
        link_up: n.2,
        speed_mbit: n.3,
        queues: n.4,
        mtu: n.5,
        offloads: n.6,
        steering,
    })
}

pub(super) fn completion() -> impl Strategy<Value = Completion> {
    let request = any::<u64>().prop_map(RequestId);
    let txn = any::<u64>().prop_map(TxnId);
    let code = proptest::sample::select(RejectCode::ALL);
    let answers = prop_oneof![
        txn.clone().prop_map(|txn| Committed { txn }.into()),
        (txn.clone(), any::<u32>(), code.clone()).prop_map(|(txn, index, code)| Rejected {
            txn,
            index,
            code
        }
        .into()),
        txn.prop_map(|txn| Aborted { txn }.into()),
        (request.clone(), spi()).prop_map(|(request, spi)| SpiReserved { request, spi }.into()),
        (request.clone(), code).prop_map(|(request, code)| Refused { request, code }.into()),
        (spi(), owner(), totals()).prop_map(|(spi, owner, totals)| SaDeleted { spi, owner, totals }.into()),
        (request.clone(), any::<u64>()).prop_map(|(request, next)| ListEnd { request, next }.into()),
        request.clone().prop_map(|request| Pong { request }.into()),
    ];
    let records = prop_oneof![
        (request.clone(), sa_record()).prop_map(|(request, sa)| ListSa { request, sa }.into()),
        (request.clone(), neighbour())
            .prop_map(|(request, neighbour)| ListNeighbour { request, neighbour }.into()),
        (request.clone(), port()).prop_map(|(request, port)| ListPort { request, port }.into()),
        (request.clone(), interface())
            .prop_map(|(request, interface)| ListInterface { request, interface }.into()),
        (request.clone(), route()).prop_map(|(request, route)| ListRoute { request, route }.into()),
        (request, tunnel(), any::<u32>(), path()).prop_map(|(request, tunnel, active_children, path)| {
            ListTunnel { request, tunnel, active_children, path }.into()
        }),
    ];
    prop_oneof![answers, records]
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let limit =
        || (spi(), proptest::sample::select(Direction::ALL), proptest::sample::select(LimitKind::ALL));
    prop_oneof![
        spi().prop_map(|spi| FirstUse { spi }.into()),
        limit().prop_map(|(spi, direction, kind)| SoftLimit { spi, direction, kind }.into()),
        limit().prop_map(|(spi, direction, kind)| HardLimit { spi, direction, kind }.into()),
        (spi(), ip(), any::<(u16, bool)>()).prop_map(|(spi, remote, (port, followed))| PeerMoved {
            spi,
            remote,
            port,
            followed
        }
        .into()),
        (any::<(u32, u16, u8, u16, u16)>(), ip(), ip()).prop_map(|(n, src, dst)| {
            let (tunnel, vrf) = (TunnelId(n.0), VrfId(n.1));
            Acquire { tunnel, vrf, src, dst, protocol: n.2, src_port: n.3, dst_port: n.4 }.into()
        }),
        any::<(u16, bool)>().prop_map(|(port, up)| PortLink { port: PortId(port), up }.into()),
        (any::<(u16, u32)>(), ip(), ip()).prop_map(|((vrf, spi), src, dst)| InvalidSpi {
            vrf: VrfId(vrf),
            src,
            dst,
            spi
        }
        .into()),
        any::<(u16, bool)>().prop_map(|(worker, silent)| WorkerSilent { worker, silent }.into()),
        (any::<u32>(), path()).prop_map(|(id, path)| PathFound { tunnel: TunnelId(id), path }.into()),
    ]
}
