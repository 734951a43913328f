//! The resources, as they are once a document has been validated.
//!
//! Values are typed and defaults are filled in: a reader of these types never asks whether something was given.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::algorithm::{Authentication, DhGroup, Encryption};

mod proof;

pub use proof::{Authority, Identity, LocalAuth, OwnCertificate, Proofs, PskSource, RemoteAuth, RsaPadding};

/// Everything the document asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Desired {
    pub control: Control,
    pub interfaces: Vec<Interface>,
    pub routes: Vec<Route>,
    pub policies: Vec<Policy>,
    pub host_addresses: Vec<HostAddress>,
    pub vpn_gateways: Vec<VpnGateway>,
    pub customer_gateways: BTreeMap<String, CustomerGateway>,
    pub connections: Vec<Connection>,
}

/// `[control]`, and the one value of `[dataplane]` that control needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Control {
    /// The API's Unix socket.
    pub socket: PathBuf,
    /// The data plane's Unix socket: `[dataplane] socket`, so that it is written once.
    pub dataplane_socket: PathBuf,
    /// Default filter of the log, in `tracing`'s syntax; the environment overrides it.
    pub log: String,
    /// Keep IKE SAs in the data plane's journal memory, so that they survive this process.
    pub journal: bool,
    pub api: Api,
}

/// Who may use the API, beside root and the daemon's own user, who may everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Api {
    /// Where tokens and the audit log are kept.
    pub state: Option<PathBuf>,
    /// Groups of this machine whose members have the role.
    pub viewers: Vec<String>,
    pub operators: Vec<String>,
    pub admins: Vec<String>,
    /// Where it is served over TLS, beside the Unix socket.
    pub listen: Vec<SocketAddr>,
    /// What it shows there; by default certificates of a CA of its own.
    #[serde(flatten)]
    pub certificate: Option<ApiCertificate>,
}

/// Files of a certificate chain and its private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApiCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A VRF number; 0 is the default VRF.
pub type Vrf = u16;

/// Which side of the gateway an interface is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Emits only ESP, IKE, neighbour discovery, our own ICMP and what a bypass entry names.
    Outside,
    /// Carries protected traffic in clear.
    Inside,
}

/// `[[interface]]`: a VLAN of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interface {
    pub name: String,
    /// Name of a port of `[dataplane]`.
    pub port: String,
    /// 0 is untagged, else 1 to 4094.
    pub vlan: u16,
    pub role: Role,
    pub vrf: Vrf,
    /// Own addresses, each with the prefix of its network.
    pub addresses: Vec<IpNet>,
    /// Bytes of the largest L3 packet, 576 to 9,216.
    pub mtu: u16,
}

/// `[[route]]`: a static route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Route {
    pub vrf: Vrf,
    pub prefix: IpNet,
    pub via: Via,
}

/// Where a static route leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// A router on the network of `interface`.
    Gateway { interface: String, address: IpAddr },
    /// Hosts on the link itself.
    Interface(String),
    /// Into the tunnels of a connection.
    Connection(String),
    /// Nowhere.
    Discard,
}

/// `[[policy]]`: traffic that is discarded, or may leave an outside interface unprotected (RFC 4301 section 4.4.1).
/// The first of a VRF that matches decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    pub vrf: Vrf,
    pub action: PolicyAction,
    pub direction: PolicyDirection,
    /// Our side.
    pub src: IpNet,
    /// The other side.
    pub dst: IpNet,
    /// IP protocol number; 0 is any.
    pub protocol: u8,
    /// Ports of `src`, inclusive; (0, 65535) is any.
    pub src_ports: (u16, u16),
    /// Ports of `dst`.
    pub dst_ports: (u16, u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyAction {
    Bypass,
    Discard,
}

/// Which way the packets of a policy go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyDirection {
    Both,
    /// From `src` to `dst`.
    Out,
    /// From `dst` to `src`.
    In,
}

/// `[[host-address]]`: an address of the programs of this machine, on the TUN device of its VRF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostAddress {
    pub vrf: Vrf,
    /// With the prefix that the kernel routes to the device; only the address itself is ours.
    pub address: IpNet,
}

/// What people file a resource under; it changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Labels {
    pub resource_group: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// `[vpn-gateway]`: our side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct VpnGateway {
    pub name: String,
    /// Mbit/s, the figure that utilisation refers to.
    pub bandwidth: u32,
    /// Gateway IP 1 and, for dual tunnels, gateway IP 2.
    pub addresses: Vec<IpAddr>,
    pub labels: Labels,
}

/// `[[customer-gateway]]`: a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CustomerGateway {
    pub name: String,
    pub ip: IpAddr,
    pub asn: Option<u32>,
    pub labels: Labels,
}

/// How traffic finds its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutingMode {
    /// By routes to it.
    Destination,
    /// By policy routes made from its networks.
    ProtectedDataFlows,
}

/// `[[connection]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Connection {
    pub name: String,
    pub vpn_gateway: String,
    pub routing_mode: RoutingMode,
    /// Phase 2 selectors; never empty: "any" is written out.
    pub local_networks: Vec<IpNet>,
    pub remote_networks: Vec<IpNet>,
    /// Negotiate at once; else with the first packet.
    pub effective_immediately: bool,
    /// VRF of the protected traffic.
    pub vrf: Vrf,
    pub encapsulation: Encapsulation,
    /// What all its tunnels may carry together.
    pub policer: Option<Policer>,
    pub labels: Labels,
    /// One or two; the first is the primary.
    pub tunnels: Vec<Tunnel>,
}

impl Connection {
    /// What it carries: each local network with every remote one of its family.
    pub fn flows(&self) -> impl Iterator<Item = (IpNet, IpNet)> + '_ {
        let pairs =
            self.local_networks.iter().flat_map(|l| self.remote_networks.iter().map(move |r| (*l, *r)));
        pairs.filter(|(local, remote)| same_family(local, remote))
    }
}

/// Whether both networks are IPv4, or both IPv6.
#[must_use]
pub fn same_family(a: &IpNet, b: &IpNet) -> bool {
    a.addr().is_ipv4() == b.addr().is_ipv4()
}

/// How inner packets are dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Encapsulation {
    /// Bytes of the largest inner packet; 0 follows the outside interface.
    pub mtu: u16,
    /// TCP maximum segment size that passes; 0 follows the MTU.
    pub mss: u16,
    pub df: Df,
    pub fragmentation: Fragmentation,
    /// `None` copies the inner DSCP.
    pub dscp: Option<u8>,
}

/// The limits of a connection (RM-19); at least one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policer {
    /// Mbit/s of inner packets in each direction.
    pub bandwidth: Option<u32>,
    /// Packets per second in both directions together.
    pub pps: Option<u32>,
    /// The traffic of so many milliseconds may come at once.
    pub burst: u32,
}

/// Where packets that do not fit are fragmented, if they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fragmentation {
    /// Before encryption.
    Before,
    /// After encryption: the peer puts the ESP packet together.
    After,
}

/// The outer "don't fragment" bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Df {
    Copy,
    Set,
    Clear,
}

/// `[[connection.tunnel]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tunnel {
    pub customer_gateway: String,
    pub auth: Proofs,
    pub local_id: Identity,
    pub remote_id: Identity,
    pub ike: Ike,
    pub ipsec: Ipsec,
    pub dpd: Option<Dpd>,
    pub nat_traversal: bool,
    /// IKE messages that make longer IP packets go in fragments, bytes; `None`: they are not cut.
    pub fragments: Option<u16>,
    /// Our host address inside the tunnel; with the peer's it makes up the prefix of two hosts.
    pub inner_address: Option<IpNet>,
    pub probe: PathProbe,
}

/// Whom the probes of a tunnel's path MTU ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathProbe {
    /// There are none.
    Off,
    /// The peer's address inside the tunnel, where there is one.
    InnerPeer,
    /// This address behind the peer.
    Target(IpAddr),
}

impl Tunnel {
    /// The address that probes of the path MTU ask.
    #[must_use]
    pub fn probe_target(&self) -> Option<IpAddr> {
        match self.probe {
            PathProbe::Off => None,
            PathProbe::InnerPeer => self.inner_peer(),
            PathProbe::Target(target) => Some(target),
        }
    }

    /// The peer's address beside [`Tunnel::inner_address`]: the other host of its prefix.
    #[must_use]
    pub fn inner_peer(&self) -> Option<IpAddr> {
        let net = self.inner_address?;
        let mut hosts = net.hosts();
        let pair = (hosts.next()?, hosts.next()?);
        match pair {
            _ if hosts.next().is_some() => None,
            (ours, peer) | (peer, ours) if ours == net.addr() => Some(peer),
            _ => None,
        }
    }
}

/// Which IKE a tunnel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IkeVersion {
    /// RFC 2409; refused for now.
    V1,
    /// RFC 7296.
    V2,
}

/// Phase 1: the IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ike {
    pub version: IkeVersion,
    pub encryption: Encryption,
    pub authentication: Authentication,
    pub dh_group: DhGroup,
    /// Zero: no rekey by time.
    #[serde(serialize_with = "seconds")]
    pub lifetime: Duration,
    /// Within this both sides prove again who they are; zero: never.
    #[serde(serialize_with = "seconds")]
    pub reauth: Duration,
    /// Begin without a CHILD_SA (RFC 6023).
    pub childless: bool,
}

/// Phase 2: the CHILD_SAs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ipsec {
    pub encryption: Encryption,
    /// Ignored with an AEAD cipher.
    pub authentication: Authentication,
    /// `None`: no new key exchange at a rekey.
    pub pfs: Option<DhGroup>,
    /// Zero: no rekey by time.
    #[serde(serialize_with = "seconds")]
    pub lifetime: Duration,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Packets, 32 to 32,768.
    pub replay_window: u16,
    /// Length to which packets are padded where the peer takes it, bytes; 0: none, 65,535: the MTU.
    pub tfc: u16,
}

/// Dead peer detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Dpd {
    /// A peer that is silent this long is dead.
    #[serde(serialize_with = "seconds")]
    pub timeout: Duration,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}
