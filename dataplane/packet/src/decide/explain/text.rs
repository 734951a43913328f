//! Steps and verdicts in words.

use super::Verdict;
use super::step::{Step, Tried, TriedBecause, Way};
use crate::esp::Encap;
use crate::neighbour::NeighbourState;
use crate::policy::PolicyRoute;
use crate::selectors::{Field, Mismatch, PortRange, SelectorPair, TrafficSelector};
use crate::spd::{Action, Heading, SpdEntry};
use crate::tables::{NextHopKind, Role, RouteTarget};
use std::fmt;

impl Step {
    /// One word for the stage.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Arrival { .. } => "arrival",
            Self::Spd { .. } => "spd",
            Self::Policy { .. } => "policy",
            Self::Routes { .. } => "route",
            Self::NextHop(_) => "next-hop",
            Self::Group { .. } => "group",
            Self::Children { .. } => "child-sa",
            Self::Egress { .. } => "egress",
            Self::Limits { .. } => "limits",
            Self::Outer { .. } => "outer",
            Self::Neighbour(_) => "neighbour",
        }
    }

    /// The candidates that lost, each with the reason.
    #[must_use]
    pub fn losers(&self) -> Vec<String> {
        match self {
            Self::Spd { skipped, .. } => skipped
                .iter()
                .map(|(order, entry)| format!("entry {order}, {entry}: does not match"))
                .collect(),
            Self::Policy { skipped, matched, ours } => {
                let hidden = matched.filter(|_| *ours);
                let hidden = hidden.map(|route| format!("{}: the destination is ours", policy(&route)));
                let other = |route: &PolicyRoute| format!("{}: does not match", policy(route));
                skipped.iter().map(other).chain(hidden).collect()
            }
            Self::Routes { covering, .. } => {
                let shorter = |(prefix, to): &(_, RouteTarget)| format!("{prefix} to {to}: less specific");
                covering.iter().skip(1).map(shorter).collect()
            }
            Self::Group { members, chosen, .. } => {
                let lost = members.iter().filter(|(id, _)| Some(*id) != *chosen);
                lost.map(|(id, active)| {
                    let why = if *active { "the hash chose another" } else { "not active" };
                    format!("tunnel {id}: {why}")
                })
                .collect()
            }
            Self::Children { tried, .. } => {
                let won = [TriedBecause::Chosen, TriedBecause::NeedsWhole];
                let lost = tried.iter().filter(|tried| !won.contains(&tried.because));
                lost.map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What was chosen.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arrival { interface, vrf, for_us } => {
                let whom = if *for_us { "for an address of ours" } else { "not for us" };
                write!(f, "on outside interface {interface} in VRF {vrf}: {whom}")
            }
            Self::Spd { matched: None, .. } => {
                f.write_str("no entry is about it: protected by its route, or refused")
            }
            Self::Spd { matched: Some((order, entry)), needs_whole, .. } => {
                let hidden = if *needs_whole { ", whose ports only the whole packet shows" } else { "" };
                write!(f, "entry {order}, {entry}{hidden}")
            }
            Self::Policy { matched: Some(route), ours: false, .. } => f.write_str(&policy(route)),
            Self::Policy { .. } => f.write_str("no policy route applies"),
            Self::Routes { destination, covering } => match covering.first() {
                Some((prefix, target)) => write!(f, "{prefix} to {target}"),
                None => write!(f, "no prefix contains {destination}"),
            },
            Self::NextHop(next_hop) => {
                write!(f, "{} is ", next_hop.id)?;
                match &next_hop.kind {
                    NextHopKind::Tunnels(group) => write!(f, "a group of {} tunnels", group.tunnels.len()),
                    NextHopKind::Interface { interface, gateway: Some(gateway) } => {
                        write!(f, "router {gateway} on interface {interface}")
                    }
                    NextHopKind::Interface { interface, gateway: None } => {
                        write!(f, "interface {interface}, destinations connected")
                    }
                    NextHopKind::Local => f.write_str("ourselves"),
                    NextHopKind::Discard => f.write_str("discard"),
                }
            }
            Self::Group { chosen: Some(id), hash, .. } => write!(f, "tunnel {id} by flow hash {hash:08x}"),
            Self::Group { chosen: None, .. } => f.write_str("no tunnel of the group is active"),
            Self::Children { tunnel, tried } => {
                let won = |because: &TriedBecause| {
                    matches!(because, TriedBecause::Chosen | TriedBecause::NeedsWhole)
                };
                match tried.iter().find(|tried| won(&tried.because)) {
                    Some(Tried { spi, because: TriedBecause::NeedsWhole }) => {
                        write!(
                            f,
                            "SA {spi} of tunnel {tunnel} names ports, which only the whole packet shows"
                        )
                    }
                    Some(Tried { spi, .. }) => write!(f, "SA {spi} of tunnel {tunnel}"),
                    None => write!(f, "no SA of tunnel {tunnel} may carry it"),
                }
            }
            Self::Egress { interface, role, neighbour, bypass } => {
                let role = if *role == Role::Outside { "outside" } else { "inside" };
                write!(f, "{role} interface {interface} to {neighbour}")?;
                match bypass {
                    None => Ok(()),
                    Some(true) => f.write_str(", allowed by a bypass entry"),
                    Some(false) => f.write_str(", allowed by no bypass entry"),
                }
            }
            Self::Limits { hop_limit, expires, len, mtu } => {
                let hops = if *expires { "has run out" } else { "suffices" };
                let size = if len > mtu { "exceed" } else { "fit" };
                write!(f, "hop limit {hop_limit} {hops}; {len} bytes {size} {mtu}")
            }
            Self::Outer { endpoints, way } => {
                write!(f, "{} to {} in VRF {}", endpoints.local, endpoints.remote, endpoints.vrf)?;
                if let Encap::Udp { local_port, remote_port } = endpoints.encap {
                    write!(f, ", UDP {local_port} to {remote_port}")?;
                }
                match way {
                    Ok(way) => write!(f, ", {way}"),
                    Err(reason) => write!(f, ", no way: {reason}"),
                }
            }
            Self::Neighbour(way) => way.fmt(f),
        }
    }
}

fn policy(route: &PolicyRoute) -> String {
    format!("priority {}, {} to {}, next hop {}", route.priority, route.src, route.dst, route.next_hop)
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NextHop(id) => write!(f, "next hop {id}"),
            Self::Connected(interface) => write!(f, "connected on interface {interface}"),
            Self::Local(interface) => write!(f, "ourselves, interface {interface}"),
            Self::Host => f.write_str("a host address of this machine"),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            Some(NeighbourState::Reachable) => "reachable",
            Some(NeighbourState::Incomplete) => "being asked for",
            Some(NeighbourState::Failed) => "does not answer",
            None => "unknown yet, will be asked for",
        };
        write!(f, "interface {}, neighbour {} ({state})", self.interface, self.neighbour)
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SA {}: ", self.spi)?;
        match &self.because {
            TriedBecause::NoSender => f.write_str("may not send (reserved, not active yet, or replaced)"),
            TriedBecause::Chosen => f.write_str("chosen"),
            TriedBecause::NeedsWhole => f.write_str("names ports, which only the whole packet shows"),
            TriedBecause::Older => f.write_str("an SA before it was chosen"),
            TriedBecause::Selectors(refused) if refused.is_empty() => f.write_str("has no selectors"),
            TriedBecause::Selectors(refused) => {
                refused.iter().enumerate().try_for_each(|(i, (pair, mismatch))| {
                    let separator = if i == 0 { "" } else { "; " };
                    write!(f, "{separator}{mismatch} not in {pair}")
                })
            }
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local(Field::Address) => "source address",
            Self::Local(Field::Port) => "source port",
            Self::Remote(Field::Address) => "destination address",
            Self::Remote(Field::Port) => "destination port",
            Self::Local(Field::Protocol) | Self::Remote(Field::Protocol) => "protocol",
        })
    }
}

impl fmt::Display for SelectorPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} === {}", self.local, self.remote)
    }
}

impl fmt::Display for SpdEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Bypass => "bypass",
            Action::Discard => "discard",
        };
        let heading = match self.heading {
            Heading::Both => "",
            Heading::Out => " out",
            Heading::In => " in",
        };
        write!(f, "{action}{heading} {}", self.selectors)
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.addresses.start(), self.addresses.end())?;
        match (self.protocol, self.ports) {
            (0, PortRange::ANY) => Ok(()),
            (protocol, PortRange::ANY) => write!(f, "[protocol {protocol}]"),
            (protocol, ports) => write!(f, "[protocol {protocol}, ports {}-{}]", ports.start(), ports.end()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encapsulate { spi, tunnel } => write!(f, "encrypted with SA {spi} of tunnel {tunnel}"),
            Self::Forward { interface, neighbour } => {
                write!(f, "sent in clear on interface {interface} to {neighbour}")
            }
            Self::Local => f.write_str("delivered to ourselves"),
            Self::Acquire(tunnel) => {
                write!(f, "dropped; tunnel {tunnel} is negotiated for those that follow")
            }
            Self::TimeExceeded => f.write_str("dropped, answered with ICMP time exceeded"),
            Self::TooBig { mtu } => write!(f, "dropped, answered with ICMP too big for {mtu} bytes"),
            Self::FragmentIntoTunnel { mtu, spi } => {
                write!(f, "split into fragments of {mtu} bytes, encrypted with SA {spi}")
            }
            Self::FragmentSealed { mtu, spi } => {
                write!(f, "encrypted with SA {spi}, then split into fragments of {mtu} bytes")
            }
            Self::FragmentForward { mtu, interface } => {
                write!(f, "split into fragments of {mtu} bytes, sent in clear on interface {interface}")
            }
            Self::Esp { spi } => write!(f, "ESP for us: opened with the SA of SPI {spi:08x}"),
            Self::Ike { known: true } => f.write_str("IKE for us, of a peer that is known"),
            Self::Ike { known: false } => f.write_str("IKE for us, of a peer that is new"),
            Self::Icmp => f.write_str("ICMP for us"),
            Self::Fragment => f.write_str("held until the fragments make a whole packet"),
            Self::Drop(reason) => write!(f, "dropped: {reason}"),
        }
    }
}
