//! What the other side of a connection must be configured with, in its own words (requirement RM-14).
//!
//! Everything here is told from the peer's side: its local address is our remote one, and its networks are those behind
//! it. A file is complete: it is loaded as it is, unless its notes say what only the peer's owner can know.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::model::{Connection, Desired, LocalAuth, RemoteAuth, Role, Via};
use crate::plan::TunnelPlan;

/// Adds a line; writing to a `String` cannot fail.
macro_rules! line {
    ($text:expr, $($arguments:tt)*) => {{
        let _ = writeln!($text, $($arguments)*);
    }};
}

mod cisco;
mod frr;
mod generic;
mod interfaces;
mod libreswan;
mod linux;
mod strongswan;
#[cfg(test)]
mod tests;

/// Bytes of the largest packet in a tunnel: with ESP in UDP over IPv6 it still is one of 1,500.
const MTU: u16 = 1400;

/// What the peer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    StrongSwan,
    Libreswan,
    /// The kernel's interfaces and routes, with strongSwan for the keys.
    Linux,
    /// Routes of FRR into the interfaces of that script.
    Frr,
    /// IOS XE.
    CiscoIos,
    /// A table of every parameter, for whatever has a form to fill in.
    Generic,
    /// The same for programs.
    Json,
}

impl Vendor {
    /// In the order in which they are listed.
    pub const ALL: [Self; 7] = [
        Self::StrongSwan,
        Self::Libreswan,
        Self::Linux,
        Self::Frr,
        Self::CiscoIos,
        Self::Generic,
        Self::Json,
    ];

    /// As it is written in commands and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StrongSwan => "strongswan",
            Self::Libreswan => "libreswan",
            Self::Linux => "linux",
            Self::Frr => "frr",
            Self::CiscoIos => "cisco-ios",
            Self::Generic => "generic",
            Self::Json => "json",
        }
    }

    /// The vendor of a name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vendor| vendor.name().eq_ignore_ascii_case(name))
    }
}

/// One tunnel, and the secret that both its ends know.
#[derive(Clone)]
pub struct PeerTunnel<'a> {
    plan: &'a TunnelPlan,
    /// The peer's address inside the tunnel with the prefix length, and ours.
    inner: Option<(IpAddr, u8, IpAddr)>,
    /// Networks behind us that it is for.
    behind: Vec<IpNet>,
    secret: Option<&'a str>,
}

impl fmt::Debug for PeerTunnel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTunnel").field("plan", &self.plan.name()).finish_non_exhaustive()
    }
}

impl<'a> PeerTunnel<'a> {
    /// The tunnels of a connection; `secret` gives the pre-shared key of one.
    #[must_use]
    pub fn of(
        desired: &Desired,
        tunnels: &'a [TunnelPlan],
        connection: &str,
        secret: impl Fn(&TunnelPlan) -> Option<&'a str>,
    ) -> Vec<Self> {
        let known: Option<&Connection> = desired.connections.iter().find(|c| c.name == connection);
        let of_connection = tunnels.iter().filter(|plan| plan.connection == connection);
        let inner = |plan: &TunnelPlan| {
            let tunnel = known?.tunnels.get(usize::from(plan.index).checked_sub(1)?)?;
            let ours = tunnel.inner_address?;
            Some((tunnel.inner_peer()?, ours.prefix_len(), ours.addr()))
        };
        let tunnel =
            |plan| Self { plan, inner: inner(plan), behind: behind(desired, plan), secret: secret(plan) };
        of_connection.map(tunnel).collect()
    }

    /// The name of its connection as every configuration language takes it.
    fn connection(&self) -> String {
        let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        self.plan.connection.chars().map(safe).collect()
    }

    /// Its own name, likewise.
    fn name(&self) -> String {
        format!("{}-{}", self.connection(), self.plan.index)
    }

    /// Its XFRM interface on Linux; the tunnel's number is the interface's too.
    fn device(&self) -> String {
        format!("esp{:x}", self.plan.id)
    }

    /// Packets of the peer's replay window, which Linux takes up to 4,096 long.
    fn replay_window(&self) -> u16 {
        self.plan.ipsec.replay_window.min(4096)
    }

    /// A value of this tunnel that the peer's software does not have; `field` is a key of `[[connection.tunnel]]` or
    /// of the connection.
    fn unsupported(
        &self,
        vendor: Vendor,
        field: &'static str,
        value: impl Into<String>,
        fix: &'static str,
    ) -> Unsupported {
        Unsupported { tunnel: self.plan.name(), vendor, field, value: value.into(), fix }
    }

    /// Whether the peer proves itself with a certificate.
    fn peer_has_certificate(&self) -> bool {
        matches!(self.plan.auth.remote, RemoteAuth::Certificate(_))
    }

    /// Whether we prove ourselves with a certificate.
    fn we_have_certificate(&self) -> bool {
        matches!(self.plan.auth.local, LocalAuth::Certificate(_))
    }

    /// Routes choose what goes into the tunnel: a policy of the peer's would take all its traffic.
    fn is_routed(&self) -> bool {
        let everything = |networks: &[IpNet]| networks.iter().any(|net| net.prefix_len() == 0);
        everything(&self.plan.local_networks) && everything(&self.plan.remote_networks)
    }
}

/// What a routed tunnel leads to on our side: the networks of inside interfaces in the connection's VRF, and those that
/// routes find behind them.
fn behind(desired: &Desired, plan: &TunnelPlan) -> Vec<IpNet> {
    let vrf = desired.connections.iter().find(|c| c.name == plan.connection).map_or(0, |c| c.vrf);
    let inside: Vec<_> =
        desired.interfaces.iter().filter(|i| i.role == Role::Inside && i.vrf == vrf).collect();
    let leads_inside = |via: &Via| match via {
        Via::Gateway { interface, .. } | Via::Interface(interface) => {
            inside.iter().any(|i| i.name == *interface)
        }
        _ => false,
    };
    let links = inside.iter().flat_map(|interface| &interface.addresses).map(IpNet::trunc);
    let routed = desired.routes.iter().filter(|route| route.vrf == vrf && leads_inside(&route.via));
    let all: BTreeSet<IpNet> = links.chain(routed.map(|route| route.prefix)).collect();
    let wanted = |net: &IpNet| plan.local_networks.iter().any(|local| local.contains(net));
    all.into_iter().filter(|net| net.prefix_len() > 0 && wanted(net)).collect()
}

/// The document asks for something that the peer's software cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tunnel}: {} has no {field} = {value}", .vendor.name())]
pub struct Unsupported {
    pub tunnel: String,
    pub vendor: Vendor,
    /// As it is called in the document.
    pub field: &'static str,
    pub value: String,
    /// What to change in the document.
    pub fix: &'static str,
}

/// A file for the peer.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerFile {
    /// Where it belongs.
    pub path: String,
    /// With the secret in it, if there is one.
    pub text: Zeroizing<String>,
}

impl fmt::Debug for PeerFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Everything for the peer of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    pub files: Vec<PeerFile>,
    /// What is left for the peer's owner to do.
    pub notes: Vec<String>,
}

/// The configuration of the peer of these tunnels, all of one connection.
///
/// # Errors
/// The first value that the peer's software does not have.
pub fn render(vendor: Vendor, tunnels: &[PeerTunnel<'_>]) -> Result<PeerConfig, Unsupported> {
    Ok(match vendor {
        Vendor::StrongSwan => strongswan::render(tunnels),
        Vendor::Libreswan => libreswan::render(tunnels)?,
        Vendor::Linux => linux::render(tunnels),
        Vendor::Frr => frr::render(tunnels)?,
        Vendor::CiscoIos => cisco::render(tunnels)?,
        Vendor::Generic => generic::table(tunnels),
        Vendor::Json => generic::json(tunnels),
    })
}

/// Networks in a list.
fn list(networks: &[IpNet], separator: &str) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}
