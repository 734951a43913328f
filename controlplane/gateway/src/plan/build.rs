//! Building the plan, object by object.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    AddressPlan, DataplanePlan, DataplaneTunnel, InterfaceIds, InterfacePlan, NextHopKind, NextHopPlan, Plan,
    PolicerPlan, PolicyRoutePlan, RoutePlan, RouteSource, TunnelPlan, id,
};
use crate::model::{Connection, Desired, HostAddress, Role, Route, RoutingMode, Via, Vrf};

/// Priority of a policy route between two /0; one less for each bit of both prefixes, so that the more specific
/// of two overlapping flows is tried first.
const FLOW_PRIORITY: u32 = 1_000;

/// The connections of a document.
type ByName<'a> = BTreeMap<&'a str, &'a Connection>;

pub(super) fn build(desired: &Desired, previous: &InterfaceIds) -> Plan {
    let names = Names::new(desired, previous);
    let connections = desired.connections.iter().map(|c| (c.name.as_str(), c)).collect();
    let tunnels: Vec<TunnelPlan> =
        desired.connections.iter().flat_map(|c| tunnels(desired, c, &names)).collect();
    let dataplane = DataplanePlan {
        interfaces: interfaces(desired, &names),
        addresses: addresses(desired, &names),
        host_addresses: host_addresses(desired),
        tunnels: tunnels.iter().filter_map(|t| dataplane_tunnel(&connections, t)).collect(),
        policers: policers(desired, &names),
        next_hops: next_hops(&connections, &names),
        routes: routes(desired, &names),
        policy_routes: desired.connections.iter().flat_map(|c| policy_routes(c, &names)).collect(),
        policies: desired.policies.clone(),
    };
    let by_id = tunnels.iter().enumerate().map(|(place, tunnel)| (tunnel.id, place)).collect();
    Plan { dataplane, tunnels, by_id, interface_ids: names.interfaces }
}

/// Where a next hop leads, as the key of its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Hop<'a> {
    Connection(&'a str),
    /// One tunnel of a connection, by its index from 1.
    Tunnel(&'a str, usize),
    Link(&'a str),
    Router(&'a str, IpAddr),
    Discard,
}

impl<'a> Hop<'a> {
    fn of(route: &'a Route) -> Self {
        match &route.via {
            Via::Gateway { interface, address } => Self::Router(interface, *address),
            Via::Interface(name) => Self::Link(name),
            Via::Connection(name) => Self::Connection(name),
            Via::Discard => Self::Discard,
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Connection(name) => format!("connection {name}"),
            Self::Tunnel(name, index) => format!("tunnel {name}/{index}"),
            Self::Link(name) => format!("link {name}"),
            Self::Router(name, address) => format!("router {name} {address}"),
            Self::Discard => "discard".to_owned(),
        }
    }
}

/// The numbers of everything in the document.
#[derive(Debug)]
struct Names<'a> {
    interfaces: InterfaceIds,
    /// Connections by name, tunnels by `name/index`.
    connections: BTreeMap<String, u32>,
    hops: BTreeMap<Hop<'a>, u32>,
}

impl<'a> Names<'a> {
    fn new(desired: &'a Desired, previous: &InterfaceIds) -> Self {
        let interfaces = previous.renew(desired.interfaces.iter().map(|i| i.name.as_str()));
        let keys: Vec<String> = desired
            .connections
            .iter()
            .flat_map(|c| {
                let tunnels = (1..=c.tunnels.len()).map(|index| format!("{}/{index}", c.name));
                tunnels.chain([c.name.clone()])
            })
            .collect();
        let connections = id::assign(keys.iter().map(String::as_str));
        let hops: BTreeSet<Hop<'a>> = desired
            .routes
            .iter()
            .map(Hop::of)
            .chain(desired.connections.iter().map(|c| Hop::Connection(&c.name)))
            .chain(inner_peers(desired).map(|peer| peer.hop))
            .collect();
        let keys: Vec<String> = hops.iter().map(Hop::key).collect();
        let numbers = id::assign(keys.iter().map(String::as_str));
        let hops = hops.into_iter().map(|hop| (numbers[&hop.key()], hop)).map(|(n, hop)| (hop, n)).collect();
        Self { interfaces, connections, hops }
    }

    fn interface(&self, name: &str) -> u16 {
        self.interfaces.of(name).unwrap_or_default()
    }

    fn connection(&self, name: &str) -> u32 {
        self.connections.get(name).copied().unwrap_or_default()
    }

    fn tunnel(&self, connection: &str, index: usize) -> u32 {
        self.connection(&format!("{connection}/{index}"))
    }

    fn hop(&self, hop: &Hop<'_>) -> u32 {
        self.hops.get(hop).copied().unwrap_or_default()
    }
}

fn interfaces(desired: &Desired, names: &Names<'_>) -> Vec<InterfacePlan> {
    let plan = |i: &crate::model::Interface| InterfacePlan {
        id: names.interface(&i.name),
        name: i.name.clone(),
        port: i.port.clone(),
        vlan: i.vlan,
        role: i.role,
        vrf: i.vrf,
        mtu: i.mtu,
    };
    desired.interfaces.iter().map(plan).collect()
}

fn addresses(desired: &Desired, names: &Names<'_>) -> Vec<AddressPlan> {
    let of = |i: &'_ crate::model::Interface| {
        let interface = names.interface(&i.name);
        i.addresses.iter().map(move |&address| AddressPlan { interface, address }).collect::<Vec<_>>()
    };
    desired.interfaces.iter().flat_map(of).collect()
}

/// The networks of own addresses, each once. A host prefix is no network.
fn connected(desired: &Desired) -> BTreeSet<(Vrf, IpNet)> {
    let all = desired.interfaces.iter().flat_map(|i| i.addresses.iter().map(move |net| (i.vrf, net.trunc())));
    all.filter(|(_, net)| net.prefix_len() < net.max_prefix_len()).collect()
}

fn next_hops(connections: &ByName<'_>, names: &Names<'_>) -> Vec<NextHopPlan> {
    let tunnels = |name: &str| {
        (1..=connections.get(name).map_or(0, |c| c.tunnels.len()))
            .map(|index| names.tunnel(name, index))
            .collect()
    };
    let kind = |hop: &Hop<'_>| match *hop {
        Hop::Connection(name) => NextHopKind::Tunnels(tunnels(name)),
        Hop::Tunnel(name, index) => NextHopKind::Tunnels(vec![names.tunnel(name, index)]),
        Hop::Link(name) => NextHopKind::Interface { interface: names.interface(name), gateway: None },
        Hop::Router(name, address) => {
            NextHopKind::Interface { interface: names.interface(name), gateway: Some(address) }
        }
        Hop::Discard => NextHopKind::Discard,
    };
    names.hops.iter().map(|(hop, &id)| NextHopPlan { id, kind: kind(hop) }).collect()
}

fn routes(desired: &Desired, names: &Names<'_>) -> Vec<RoutePlan> {
    let system = connected(desired).into_iter().map(|(vrf, prefix)| RoutePlan {
        vrf,
        prefix,
        source: RouteSource::System,
        next_hop: None,
    });
    let fixed = desired.routes.iter().map(|route| RoutePlan {
        vrf: route.vrf,
        prefix: route.prefix,
        source: RouteSource::Static,
        next_hop: Some(names.hop(&Hop::of(route))),
    });
    let peers = inner_peers(desired).map(|peer| RoutePlan {
        vrf: peer.vrf,
        prefix: IpNet::from(peer.address),
        source: RouteSource::System,
        next_hop: Some(names.hop(&peer.hop)),
    });
    system.chain(peers).chain(fixed).collect()
}

/// A peer's address inside its tunnel.
struct InnerPeer<'a> {
    vrf: Vrf,
    address: IpAddr,
    hop: Hop<'a>,
}

fn inner_peers(desired: &Desired) -> impl Iterator<Item = InnerPeer<'_>> {
    desired.connections.iter().flat_map(|connection| {
        (1..).zip(&connection.tunnels).filter_map(|(index, tunnel)| {
            let hop = Hop::Tunnel(&connection.name, index);
            Some(InnerPeer { vrf: connection.vrf, address: tunnel.inner_peer()?, hop })
        })
    })
}

/// Those of the document, and our ends inside the tunnels.
fn host_addresses(desired: &Desired) -> Vec<HostAddress> {
    let inner = desired.connections.iter().flat_map(|connection| {
        let addresses = connection.tunnels.iter().filter_map(|tunnel| tunnel.inner_address);
        addresses.map(|address| HostAddress { vrf: connection.vrf, address })
    });
    desired.host_addresses.iter().copied().chain(inner).collect()
}

fn policy_routes(connection: &Connection, names: &Names<'_>) -> Vec<PolicyRoutePlan> {
    if connection.routing_mode != RoutingMode::ProtectedDataFlows {
        return Vec::new();
    }
    let next_hop = names.hop(&Hop::Connection(&connection.name));
    let plan = |(src, dst): (IpNet, IpNet)| PolicyRoutePlan {
        vrf: connection.vrf,
        priority: FLOW_PRIORITY - u32::from(src.prefix_len()) - u32::from(dst.prefix_len()),
        src,
        dst,
        next_hop,
    };
    connection.flows().map(plan).collect()
}

fn dataplane_tunnel(connections: &ByName<'_>, tunnel: &TunnelPlan) -> Option<DataplaneTunnel> {
    let connection = connections.get(tunnel.connection.as_str())?;
    let position = usize::from(tunnel.index.checked_sub(1)?);
    Some(DataplaneTunnel {
        id: tunnel.id,
        connection: tunnel.connection_id,
        inner_vrf: tunnel.inner_vrf,
        outer_vrf: tunnel.outer_vrf,
        encapsulation: connection.encapsulation,
        probe: connection.tunnels.get(position)?.probe_target(),
    })
}

fn policers(desired: &Desired, names: &Names<'_>) -> Vec<PolicerPlan> {
    let plan =
        |c: &Connection| Some(PolicerPlan { connection: names.connection(&c.name), policer: c.policer? });
    desired.connections.iter().filter_map(plan).collect()
}

fn tunnels(desired: &Desired, connection: &Connection, names: &Names<'_>) -> Vec<TunnelPlan> {
    let gateway = desired.vpn_gateways.iter().find(|g| g.name == connection.vpn_gateway);
    let plan = |(position, tunnel): (usize, &crate::model::Tunnel)| {
        let local = *gateway?.addresses.get(position)?;
        let customer = desired.customer_gateways.get(&tunnel.customer_gateway)?;
        Some(TunnelPlan {
            id: names.tunnel(&connection.name, position + 1),
            connection_id: names.connection(&connection.name),
            connection: connection.name.clone(),
            index: u8::try_from(position + 1).ok()?,
            outer_vrf: outer_vrf(desired, local),
            inner_vrf: connection.vrf,
            local,
            remote: customer.ip,
            local_id: tunnel.local_id.clone(),
            remote_id: tunnel.remote_id.clone(),
            auth: tunnel.auth.clone(),
            ike: tunnel.ike,
            ipsec: tunnel.ipsec,
            local_networks: connection.local_networks.clone(),
            remote_networks: connection.remote_networks.clone(),
            dpd: tunnel.dpd,
            nat_traversal: tunnel.nat_traversal,
            fragments: tunnel.fragments,
            initiate: connection.effective_immediately,
        })
    };
    connection.tunnels.iter().enumerate().filter_map(plan).collect()
}

/// The VRF of the outside interface that has `local`.
fn outer_vrf(desired: &Desired, local: IpAddr) -> Vrf {
    let has = |i: &&crate::model::Interface| {
        i.role == Role::Outside && i.addresses.iter().any(|net| net.addr() == local)
    };
    desired.interfaces.iter().find(has).map_or(0, |i| i.vrf)
}
