//! The contract's words and the tables' words for the same things.

use packet::esp::{DfPolicy, DscpPolicy, Encap, OuterEndpoints, TransformIds};
use packet::policer::PolicerRates;
use packet::policy::PolicyRoute;
use packet::sad::Lifetime;
use packet::selectors::{AddressRange, PortRange, SelectorPair, TrafficSelector};
use packet::spd::{Action, Heading, SpdEntry};
use packet::tables::{
    Change, ChangeError, Fragmentation, Interface, InterfaceAddress, NextHop, NextHopKind, Role, Tunnel,
    TunnelGroup,
};
use packet::{InterfaceId, NextHopId, OwnerTag, PortId, Prefix, Spi, TunnelId, VlanId, VrfId};
use shm::message as contract;
use shm::message::{RejectCode, offload, rule};

use crate::shared::Offloads;
use crate::steering::plan::Obstacle;
use crate::steering::{Path, Steering};

/// A change of the configured objects. SAs need keys expanded: see [`super::sas`]; policers the workers' clock.
pub(super) fn object(change: &contract::Change) -> Result<Option<Change<crypto::Key>>, RejectCode> {
    use contract::Change as From;
    Ok(Some(match change {
        From::PutInterface(i) => Change::PutInterface {
            id: interface_id(i.id),
            port: PortId(i.port.0),
            vlan: i.vlan.and_then(|vlan| VlanId::new(vlan.value())),
            role: role(i.role),
            vrf: vrf(i.vrf),
            mtu: i.mtu,
        },
        From::DeleteInterface(d) => Change::DeleteInterface(interface_id(d.id)),
        From::PutAddress(a) => {
            let address = InterfaceAddress { address: a.ip, prefix_len: a.prefix_len };
            Change::PutAddress { interface: interface_id(a.interface), address }
        }
        From::DeleteAddress(d) => {
            Change::DeleteAddress { interface: interface_id(d.address.interface), address: d.address.ip }
        }
        From::PutHostAddress(h) => {
            let address = InterfaceAddress { address: h.ip, prefix_len: h.prefix_len };
            Change::PutHostAddress { vrf: vrf(h.vrf), address }
        }
        From::DeleteHostAddress(d) => Change::DeleteHostAddress { vrf: vrf(d.host.vrf), address: d.host.ip },
        From::PutNextHop(n) => Change::PutNextHop(next_hop(n)),
        From::DeleteNextHop(d) => Change::DeleteNextHop(NextHopId(d.id.0)),
        From::PutRoute(r) => Change::PutRoute {
            vrf: vrf(r.key.vrf),
            prefix: prefix(r.key.prefix)?,
            next_hop: NextHopId(r.next_hop.0),
        },
        From::DeleteRoute(d) => Change::DeleteRoute { vrf: vrf(d.key.vrf), prefix: prefix(d.key.prefix)? },
        From::PutPolicyRoute(r) => Change::PutPolicyRoute { vrf: vrf(r.key.vrf), route: policy_route(r)? },
        From::DeletePolicyRoute(d) => Change::DeletePolicyRoute {
            vrf: vrf(d.key.vrf),
            priority: d.key.priority,
            src: prefix(d.key.src)?,
            dst: prefix(d.key.dst)?,
        },
        From::PutPolicy(p) => {
            Change::PutSpdEntry { vrf: vrf(p.key.vrf), order: p.key.order, entry: spd_entry(p)? }
        }
        From::DeletePolicy(d) => Change::DeleteSpdEntry { vrf: vrf(d.key.vrf), order: d.key.order },
        From::PutTunnel(t) => Change::PutTunnel(tunnel(t)),
        From::DeleteTunnel(d) => Change::DeleteTunnel(TunnelId(d.id.0)),
        From::AddSelector(s) => Change::AddSelector { spi: spi(s.spi), selector: selectors(s)? },
        From::ActivateOutbound(a) => Change::ActivateOutbound(spi(a.spi)),
        From::DeleteOutbound(d) => Change::DeleteOutbound(spi(d.spi)),
        From::DeleteInbound(d) => Change::DeleteInbound(spi(d.spi)),
        From::UpdateOuter(u) => Change::UpdateOuter { spi: spi(u.spi), outer: outer(&u.outer) },
        From::DeletePolicer(d) => Change::DeletePolicer { connection: d.connection.0 },
        From::PutPolicer(_) | From::InstallInbound(_) | From::InstallOutbound(_) => return Ok(None),
    }))
}

/// The contract's SPIs were checked when they were decoded; both types refuse the same values.
pub(super) fn spi(spi: contract::Spi) -> Spi {
    match Spi::new(spi.value()) {
        Some(spi) => spi,
        None => unreachable!("both crates reserve the SPIs below 256"),
    }
}

/// The inverse of [`spi`].
pub(super) fn contract_spi(spi: Spi) -> contract::Spi {
    match contract::Spi::new(spi.value()) {
        Some(spi) => spi,
        None => unreachable!("both crates reserve the SPIs below 256"),
    }
}

pub(super) fn vrf(id: contract::VrfId) -> VrfId {
    VrfId(id.0)
}

pub(super) fn interface_id(id: contract::InterfaceId) -> InterfaceId {
    InterfaceId(id.0)
}

fn role(role: contract::Role) -> Role {
    match role {
        contract::Role::Outside => Role::Outside,
        contract::Role::Inside => Role::Inside,
    }
}

fn prefix(prefix: contract::Prefix) -> Result<Prefix, RejectCode> {
    Prefix::new(prefix.addr(), prefix.len()).map_err(|_| RejectCode::Invalid)
}

pub(super) fn contract_prefix(prefix: Prefix) -> Option<contract::Prefix> {
    contract::Prefix::new(prefix.address(), prefix.len())
}

fn next_hop(from: &contract::NextHop) -> NextHop {
    let kind = match &from.kind {
        contract::NextHopKind::Tunnels { tunnels, active } => NextHopKind::Tunnels(TunnelGroup {
            tunnels: tunnels.iter().map(|id| TunnelId(id.0)).collect(),
            active: *active,
        }),
        contract::NextHopKind::Interface { interface, gateway } => {
            NextHopKind::Interface { interface: interface_id(*interface), gateway: *gateway }
        }
        contract::NextHopKind::Local => NextHopKind::Local,
        contract::NextHopKind::Discard => NextHopKind::Discard,
    };
    NextHop { id: NextHopId(from.id.0), kind }
}

fn policy_route(from: &contract::PolicyRoute) -> Result<PolicyRoute, RejectCode> {
    Ok(PolicyRoute {
        priority: from.key.priority,
        src: prefix(from.key.src)?,
        dst: prefix(from.key.dst)?,
        next_hop: NextHopId(from.next_hop.0),
    })
}

fn spd_entry(from: &contract::Policy) -> Result<SpdEntry, RejectCode> {
    let side = |network, range| {
        let addresses = AddressRange::from(prefix(network)?);
        Ok(TrafficSelector { protocol: from.protocol, ports: ports(range)?, addresses })
    };
    let action = match from.action {
        contract::PolicyAction::Bypass => Action::Bypass,
        contract::PolicyAction::Discard => Action::Discard,
    };
    let heading = match from.heading {
        contract::PolicyHeading::Both => Heading::Both,
        contract::PolicyHeading::Out => Heading::Out,
        contract::PolicyHeading::In => Heading::In,
    };
    let (local, remote) = (side(from.src, from.src_ports)?, side(from.dst, from.dst_ports)?);
    Ok(SpdEntry { action, heading, selectors: SelectorPair { local, remote } })
}

fn ports(from: contract::PortRange) -> Result<PortRange, RejectCode> {
    PortRange::new(from.first(), from.last()).ok_or(RejectCode::Invalid)
}

fn tunnel(from: &contract::Tunnel) -> Tunnel {
    Tunnel {
        id: TunnelId(from.id.0),
        connection: from.connection.0,
        inner_vrf: vrf(from.inner_vrf),
        outer_vrf: vrf(from.outer_vrf),
        mtu: from.mtu,
        mss: from.mss,
        df: match from.df {
            contract::DfPolicy::Copy => DfPolicy::Copy,
            contract::DfPolicy::Set => DfPolicy::Set,
            contract::DfPolicy::Clear => DfPolicy::Clear,
        },
        dscp: match from.dscp {
            contract::DscpPolicy::Copy => DscpPolicy::Copy,
            contract::DscpPolicy::Value(value) => DscpPolicy::Fixed(value),
        },
        acquire: from.acquire,
        probe: from.probe,
        fragmentation: match from.fragmentation {
            contract::Fragmentation::Before => Fragmentation::Before,
            contract::Fragmentation::After => Fragmentation::After,
        },
    }
}

pub(super) fn policer_rates(from: &contract::Policer) -> PolicerRates {
    PolicerRates {
        bits_per_second: from.bits_per_second,
        packets_per_second: from.packets_per_second,
        burst_ms: from.burst_ms,
    }
}

fn selectors(from: &contract::AddSelector) -> Result<SelectorPair, RejectCode> {
    Ok(SelectorPair { local: selector(&from.local)?, remote: selector(&from.remote)? })
}

fn selector(from: &contract::TrafficSelector) -> Result<TrafficSelector, RejectCode> {
    let addresses = AddressRange::new(from.first, from.last).ok_or(RejectCode::Invalid)?;
    Ok(TrafficSelector { protocol: from.protocol, ports: ports(from.ports)?, addresses })
}

pub(super) fn outer(from: &contract::Outer) -> OuterEndpoints {
    OuterEndpoints {
        vrf: vrf(from.vrf),
        local: from.local,
        remote: from.remote,
        encap: match from.encap {
            contract::Encap::Native => Encap::Native,
            contract::Encap::Udp { local_port, remote_port } => Encap::Udp { local_port, remote_port },
        },
        keepalive_secs: from.keepalive_secs,
    }
}

pub(super) fn contract_outer(from: &OuterEndpoints) -> contract::Outer {
    contract::Outer {
        vrf: contract::VrfId(from.vrf.0),
        local: from.local,
        remote: from.remote,
        encap: match from.encap {
            Encap::Native => contract::Encap::Native,
            Encap::Udp { local_port, remote_port } => contract::Encap::Udp { local_port, remote_port },
        },
        keepalive_secs: from.keepalive_secs,
    }
}

pub(super) fn owner(from: contract::OwnerTag) -> OwnerTag {
    OwnerTag {
        connection: from.connection.0,
        tunnel: from.tunnel.0,
        ike_sa: from.ike_sa,
        generation: from.generation,
    }
}

pub(super) fn contract_owner(from: OwnerTag) -> contract::OwnerTag {
    contract::OwnerTag {
        connection: contract::ConnectionId(from.connection),
        tunnel: contract::TunnelId(from.tunnel),
        ike_sa: from.ike_sa,
        generation: from.generation,
    }
}

pub(super) fn suite(from: contract::Suite) -> TransformIds {
    TransformIds { encryption: from.encryption, key_bits: from.key_bits, integrity: from.integrity }
}

/// The contract writes "no limit" as 0.
pub(super) fn lifetime(from: contract::Limits) -> Lifetime {
    let limit = |value: u64| if value == 0 { u64::MAX } else { value };
    Lifetime {
        soft_bytes: limit(from.soft_bytes),
        soft_packets: limit(from.soft_packets),
        hard_bytes: limit(from.hard_bytes),
        hard_packets: limit(from.hard_packets),
    }
}

/// What a port's device does for us, or we for it.
pub(super) fn contract_offloads(offloads: Offloads) -> u8 {
    let Offloads { rss, ipv4_checksum, completes_checksums } = offloads;
    let bits = [
        (rss, offload::RSS),
        (ipv4_checksum, offload::IPV4_CHECKSUM),
        (completes_checksums, offload::COMPLETES_CHECKSUMS),
    ];
    bits.into_iter().filter(|(used, _)| *used).fold(0, |bits, (_, bit)| bits | bit)
}

/// How a port's packets come to the workers.
pub(super) fn contract_steering(from: &Steering) -> contract::Steering {
    let refused = from.obstacles.iter().filter(|(_, why)| matches!(why, Obstacle::Refused(_)));
    let rules = [
        (from.rules.native[0], rule::ESP_V4),
        (from.rules.native[1], rule::ESP_V6),
        (from.rules.in_udp[0], rule::UDP_V4),
        (from.rules.in_udp[1], rule::UDP_V6),
    ];
    contract::Steering {
        path: contract_path(from.path),
        rules: rules.into_iter().filter(|(form, _)| form.is_some()).fold(0, |bits, (_, bit)| bits | bit),
        refused: refused.fold(0, |bits, (path, _)| bits | 1 << contract_path(*path) as u8),
    }
}

fn contract_path(from: Path) -> contract::SteeringPath {
    match from {
        Path::OneWorker => contract::SteeringPath::OneWorker,
        Path::HandOver => contract::SteeringPath::HandOver,
        Path::Elsewhere => contract::SteeringPath::Elsewhere,
        Path::AddressHash => contract::SteeringPath::AddressHash,
        Path::InnerHash => contract::SteeringPath::InnerHash,
        Path::SpiHash => contract::SteeringPath::SpiHash,
        Path::SpiRules => contract::SteeringPath::SpiRules,
    }
}

pub(super) fn contract_interface(from: &Interface) -> contract::Interface {
    contract::Interface {
        id: contract::InterfaceId(from.id.0),
        port: contract::PortId(from.port.0),
        vlan: from.vlan.and_then(|vlan| contract::VlanId::new(vlan.value())),
        role: match from.role {
            Role::Outside => contract::Role::Outside,
            Role::Inside => contract::Role::Inside,
        },
        vrf: contract::VrfId(from.vrf.0),
        mtu: from.mtu,
    }
}

pub(super) fn contract_tunnel(from: &Tunnel) -> contract::Tunnel {
    contract::Tunnel {
        id: contract::TunnelId(from.id.0),
        connection: contract::ConnectionId(from.connection),
        inner_vrf: contract::VrfId(from.inner_vrf.0),
        outer_vrf: contract::VrfId(from.outer_vrf.0),
        mtu: from.mtu,
        mss: from.mss,
        df: match from.df {
            DfPolicy::Copy => contract::DfPolicy::Copy,
            DfPolicy::Set => contract::DfPolicy::Set,
            DfPolicy::Clear => contract::DfPolicy::Clear,
        },
        dscp: match from.dscp {
            DscpPolicy::Copy => contract::DscpPolicy::Copy,
            DscpPolicy::Fixed(value) => contract::DscpPolicy::Value(value),
        },
        acquire: from.acquire,
        probe: from.probe,
        fragmentation: match from.fragmentation {
            Fragmentation::Before => contract::Fragmentation::Before,
            Fragmentation::After => contract::Fragmentation::After,
        },
    }
}

/// The contract's code for a change that the tables refuse.
pub(super) fn reject_code(error: &ChangeError) -> RejectCode {
    match error {
        ChangeError::Missing { object: "interface", .. } => RejectCode::UnknownInterface,
        ChangeError::Missing { object: "tunnel", .. } => RejectCode::UnknownTunnel,
        ChangeError::Missing { object: "next hop", .. } => RejectCode::UnknownNextHop,
        ChangeError::Missing { object: "SPI", .. } => RejectCode::UnknownSpi,
        ChangeError::Missing { .. }
        | ChangeError::RouteMissing { .. }
        | ChangeError::HostAddressMissing { .. }
        | ChangeError::AddressMissing { .. } => RejectCode::UnknownEntry,
        ChangeError::InUse { .. } => RejectCode::InUse,
        ChangeError::VlanTaken { .. }
        | ChangeError::AddressTaken { .. }
        | ChangeError::HostAddressTaken { .. }
        | ChangeError::SubnetOverlap { .. } => RejectCode::Duplicate,
        ChangeError::SpiState { found: "lingering", .. } => RejectCode::UnknownSpi,
        ChangeError::SpiState { needed: "reserved" | "inbound only", .. } => RejectCode::AlreadyInstalled,
        ChangeError::SpiState { .. } => RejectCode::Invalid,
        ChangeError::SlotTaken { .. } | ChangeError::TooMany { .. } => RejectCode::NoCapacity,
        ChangeError::Suite(_) => RejectCode::UnsupportedSuite,
        ChangeError::OutOfRange { .. }
        | ChangeError::NotAHost { .. }
        | ChangeError::FamilyMismatch { .. }
        | ChangeError::HalvesDiffer { .. } => RejectCode::Invalid,
    }
}
