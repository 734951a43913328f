//! The plan as changes of a transaction.

use std::collections::BTreeMap;

use arrayvec::ArrayVec;
use gateway::model::{Df, Fragmentation, Policy, PolicyAction, PolicyDirection, Role};
use gateway::plan::{DataplanePlan, InterfacePlan, NextHopKind, RouteSource};
use ipnet::IpNet;
use shm::message::{
    self as wire, Address, Change, ConnectionId, DfPolicy, DscpPolicy, HostAddress, InterfaceId, NextHop,
    NextHopId, Policer, PolicyHeading, PolicyKey, PolicyRoute, PolicyRouteKey, PortId, PortRange, Prefix,
    Route, RouteKey, Tunnel, TunnelId, VlanId, VrfId,
};

/// Tunnels that may carry traffic: those with a CHILD_SA.
pub type ActiveTunnels = std::collections::BTreeSet<u32>;

/// An interface names a port that the data plane does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("interface {interface}: the data plane has no port {port} (it has {known})")]
pub struct UnknownPort {
    pub interface: String,
    pub port: String,
    pub known: String,
}

/// Everything of a full transaction, each object after those it refers to.
///
/// # Errors
/// A port that is not in `ports`.
pub fn configuration(
    plan: &DataplanePlan,
    ports: &BTreeMap<String, PortId>,
    up: &ActiveTunnels,
) -> Result<Vec<Change>, UnknownPort> {
    let mut changes = Vec::new();
    for planned in &plan.interfaces {
        changes.push(interface(planned, ports)?.into());
    }
    changes.extend(plan.addresses.iter().map(|planned| {
        Change::from(Address {
            interface: InterfaceId(planned.interface),
            ip: planned.address.addr(),
            prefix_len: planned.address.prefix_len(),
        })
    }));
    changes.extend(plan.host_addresses.iter().map(|planned| {
        Change::from(HostAddress {
            vrf: VrfId(planned.vrf),
            ip: planned.address.addr(),
            prefix_len: planned.address.prefix_len(),
        })
    }));
    changes.extend(plan.tunnels.iter().map(|planned| Change::from(tunnel(planned))));
    changes.extend(plan.policers.iter().map(|planned| Change::from(policer(planned))));
    changes.extend(plan.next_hops.iter().map(|planned| Change::from(next_hop(planned, up))));
    changes.extend(routes(plan).into_iter().map(Change::from));
    changes.extend(plan.policy_routes.iter().filter_map(|planned| {
        let key = PolicyRouteKey {
            vrf: VrfId(planned.vrf),
            priority: planned.priority,
            src: prefix(planned.src)?,
            dst: prefix(planned.dst)?,
        };
        Some(Change::from(PolicyRoute { key, next_hop: NextHopId(planned.next_hop) }))
    }));
    changes.extend(
        (0..).zip(&plan.policies).filter_map(|(order, planned)| policy(order, planned).map(Change::from)),
    );
    Ok(changes)
}

fn policy(order: u16, planned: &Policy) -> Option<wire::Policy> {
    Some(wire::Policy {
        key: PolicyKey { vrf: VrfId(planned.vrf), order },
        action: match planned.action {
            PolicyAction::Bypass => wire::PolicyAction::Bypass,
            PolicyAction::Discard => wire::PolicyAction::Discard,
        },
        heading: match planned.direction {
            PolicyDirection::Both => PolicyHeading::Both,
            PolicyDirection::Out => PolicyHeading::Out,
            PolicyDirection::In => PolicyHeading::In,
        },
        src: prefix(planned.src)?,
        dst: prefix(planned.dst)?,
        protocol: planned.protocol,
        src_ports: PortRange::new(planned.src_ports.0, planned.src_ports.1)?,
        dst_ports: PortRange::new(planned.dst_ports.0, planned.dst_ports.1)?,
    })
}

fn interface(
    planned: &InterfacePlan,
    ports: &BTreeMap<String, PortId>,
) -> Result<wire::Interface, UnknownPort> {
    let Some(&port) = ports.get(&planned.port) else {
        let known: Vec<&str> = ports.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(UnknownPort { interface: planned.name.clone(), port: planned.port.clone(), known });
    };
    Ok(wire::Interface {
        id: InterfaceId(planned.id),
        port,
        vlan: VlanId::new(planned.vlan),
        role: match planned.role {
            Role::Outside => wire::Role::Outside,
            Role::Inside => wire::Role::Inside,
        },
        vrf: VrfId(planned.vrf),
        mtu: planned.mtu,
    })
}

fn tunnel(planned: &gateway::plan::DataplaneTunnel) -> Tunnel {
    let encapsulation = planned.encapsulation;
    Tunnel {
        id: TunnelId(planned.id),
        connection: ConnectionId(planned.connection),
        inner_vrf: VrfId(planned.inner_vrf),
        outer_vrf: VrfId(planned.outer_vrf),
        mtu: encapsulation.mtu,
        mss: encapsulation.mss,
        df: match encapsulation.df {
            Df::Copy => DfPolicy::Copy,
            Df::Set => DfPolicy::Set,
            Df::Clear => DfPolicy::Clear,
        },
        fragmentation: match encapsulation.fragmentation {
            Fragmentation::Before => wire::Fragmentation::Before,
            Fragmentation::After => wire::Fragmentation::After,
        },
        dscp: encapsulation.dscp.map_or(DscpPolicy::Copy, DscpPolicy::Value),
        acquire: true,
        probe: planned.probe,
    }
}

fn policer(planned: &gateway::plan::PolicerPlan) -> Policer {
    let gateway::model::Policer { bandwidth, pps, burst } = planned.policer;
    Policer {
        connection: ConnectionId(planned.connection),
        bits_per_second: u64::from(bandwidth.unwrap_or(0)) * 1_000_000,
        packets_per_second: pps.unwrap_or(0),
        burst_ms: burst,
    }
}

/// A next hop; of a tunnel group the first tunnel that is up carries the traffic, and the primary is the one to
/// ask for when none is.
#[must_use]
pub fn next_hop(planned: &gateway::plan::NextHopPlan, up: &ActiveTunnels) -> NextHop {
    let kind = match &planned.kind {
        NextHopKind::Tunnels(tunnels) => {
            let first_up = tunnels.iter().position(|id| up.contains(id)).unwrap_or(0);
            let tunnels: ArrayVec<TunnelId, { wire::MAX_NEXT_HOP_TUNNELS }> =
                tunnels.iter().take(wire::MAX_NEXT_HOP_TUNNELS).map(|&id| TunnelId(id)).collect();
            wire::NextHopKind::Tunnels { tunnels, active: 1 << first_up.min(15) }
        }
        NextHopKind::Interface { interface, gateway } => {
            wire::NextHopKind::Interface { interface: InterfaceId(*interface), gateway: *gateway }
        }
        NextHopKind::Discard => wire::NextHopKind::Discard,
    };
    NextHop { id: NextHopId(planned.id), kind }
}

/// The next hops that are groups of tunnels.
pub fn tunnel_groups(plan: &DataplanePlan) -> impl Iterator<Item = &gateway::plan::NextHopPlan> {
    plan.next_hops.iter().filter(|planned| matches!(planned.kind, NextHopKind::Tunnels(_)))
}

/// The preferred route of each prefix. Where that is a system route, the data plane has it already.
fn routes(plan: &DataplanePlan) -> Vec<Route> {
    let mut rib = routing::Rib::default();
    for planned in &plan.routes {
        let source = match planned.source {
            RouteSource::System => routing::Source::System,
            RouteSource::Static => routing::Source::Static,
        };
        rib.insert(planned.vrf, planned.prefix, source, planned.next_hop);
    }
    let route = |entry: routing::Entry<Option<u32>>| {
        let key = RouteKey { vrf: VrfId(entry.vrf), prefix: prefix(entry.prefix)? };
        Some(Route { key, next_hop: NextHopId(entry.next_hop?) })
    };
    rib.forwarding().filter_map(route).collect()
}

/// `None` cannot happen: networks of the plan have no host bits.
fn prefix(net: IpNet) -> Option<Prefix> {
    Prefix::new(net.network(), net.prefix_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[interface]]
        name = "wan"
        port = "p0"
        vlan = 7
        role = "outside"
        addresses = ["192.0.2.1/24", "192.0.2.3/24"]
        [vpn-gateway]
        name = "gw"
        addresses = ["192.0.2.1", "192.0.2.3"]
        [[customer-gateway]]
        name = "peer"
        ip = "198.51.100.1"
        [[route]]
        prefix = "0.0.0.0/0"
        via = "192.0.2.254"
        [[route]]
        prefix = "192.0.2.0/24"
        discard = true
        [[connection]]
        name = "c"
        routing-mode = "flows"
        local-networks = ["10.1.0.0/24"]
        remote-networks = ["10.2.0.0/24"]
        policer = { bandwidth = 200, burst = 50 }
        [[connection.tunnel]]
        customer-gateway = "peer"
        psk = "x"
        [[connection.tunnel]]
        customer-gateway = "peer"
        psk = "x"
    "#;

    fn plan() -> DataplanePlan {
        let report = gateway::check(TEXT, "test");
        let desired = report.desired.as_ref().unwrap_or_else(|| panic!("{report}"));
        gateway::plan(desired, &gateway::plan::InterfaceIds::default()).dataplane
    }

    #[test]
    fn objects_come_in_an_order_in_which_each_finds_what_it_names() {
        let ports = BTreeMap::from([("p0".to_owned(), PortId(3))]);
        let changes = configuration(&plan(), &ports, &ActiveTunnels::new()).expect("the port exists");
        let kinds: Vec<&str> = changes
            .iter()
            .map(|change| match change {
                Change::PutInterface(i) => {
                    assert_eq!((i.port, i.vlan), (PortId(3), VlanId::new(7)));
                    "interface"
                }
                Change::PutAddress(_) => "address",
                Change::PutTunnel(_) => "tunnel",
                Change::PutPolicer(policer) => {
                    let limits = (policer.bits_per_second, policer.packets_per_second, policer.burst_ms);
                    assert_eq!(limits, (200_000_000, 0, 50));
                    "policer"
                }
                Change::PutNextHop(_) => "next hop",
                Change::PutRoute(route) => {
                    assert_eq!(
                        route.key.prefix.to_string(),
                        "0.0.0.0/0",
                        "a system route wins over a static one"
                    );
                    "route"
                }
                Change::PutPolicyRoute(route) => {
                    assert_eq!(route.key.priority, 1000 - 48);
                    "policy route"
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = ["interface", "address", "address", "tunnel", "tunnel", "policer"];
        assert_eq!(kinds[..6], expected);
        assert_eq!(kinds[6..], ["next hop", "next hop", "next hop", "route", "policy route"]);
    }

    #[test]
    fn an_unknown_port_is_named() {
        let error = configuration(&plan(), &BTreeMap::new(), &ActiveTunnels::new()).expect_err("no ports");
        assert_eq!(error.to_string(), "interface wan: the data plane has no port p0 (it has none)");
    }

    #[test]
    fn the_first_tunnel_that_is_up_carries() {
        let plan = plan();
        let group = tunnel_groups(&plan).next().expect("a group");
        let NextHopKind::Tunnels(tunnels) = &group.kind else { panic!("{group:?}") };
        let active = |up: &[u32]| match next_hop(group, &up.iter().copied().collect()).kind {
            wire::NextHopKind::Tunnels { active, .. } => active,
            other => panic!("{other:?}"),
        };
        assert_eq!(active(&[]), 0b01);
        assert_eq!(active(&[tunnels[1]]), 0b10);
        assert_eq!(active(tunnels), 0b01);
    }
}
