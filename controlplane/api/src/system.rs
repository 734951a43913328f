//! The daemon, the connections, and what can be asked of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Version of the control plane, and of the data plane where it is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    /// Version of the shared-memory contract.
    pub contract: u32,
    /// As the data plane tells it: its version and that of DPDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataplane: Option<String>,
}

/// Whether the data plane is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataplaneState {
    /// Being looked for.
    Away,
    /// Connected; configuration and SAs are being reconciled.
    Syncing,
    /// Connected and as the document says.
    Ready,
}

/// The data plane as control sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataplaneStatus {
    pub state: DataplaneState,
    /// Path of its socket.
    pub socket: String,
    /// Number of the present session; 0 without one.
    pub epoch: u64,
    /// Why the last session ended or the last transaction was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The state of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub uptime_secs: u64,
    pub pid: u32,
    /// The document in force.
    pub config_file: String,
    pub dataplane: DataplaneStatus,
    pub ike_sas: usize,
    pub child_sas: usize,
    /// SAs taken over from a control process before this one.
    pub adopted_sas: usize,
    /// IKE SAs restored from the journal.
    pub restored_ike_sas: usize,
}

/// A certificate that tunnels use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Distinguished name, as `openssl x509 -subject` writes it.
    pub subject: String,
    pub holder: CertificateHolder,
    /// Its last second, in UTC.
    pub until: String,
    /// Seconds until then; negative once it has passed.
    pub valid_secs: i64,
    /// The tunnels that use it, as `CONNECTION/INDEX`.
    pub tunnels: Vec<String>,
}

/// Whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateHolder {
    /// Ours, or an intermediate that we send.
    Us,
    /// A CA that we trust.
    Authority,
    /// The one with which the peer last proved itself.
    Peer,
}

/// Negotiation status of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NegotiationStatus {
    IkeSaNotEstablished,
    IkeSaEstablished,
    IpsecSaNotEstablished,
    IpsecSaEstablished,
}

/// A configured connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub name: String,
    pub routing_mode: String,
    pub local_networks: Vec<String>,
    pub remote_networks: Vec<String>,
    pub tunnels: Vec<Tunnel>,
}

/// One tunnel of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// From 1.
    pub index: u8,
    /// `Primary` or `Secondary`.
    pub role: String,
    pub gateway_ip: IpAddr,
    pub customer_gateway: String,
    pub customer_gateway_ip: IpAddr,
    pub status: NegotiationStatus,
    /// Code of the last failure, until the tunnel is up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What can be asked of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Initiate,
    Rekey,
    Terminate,
}

impl Action {
    /// Last segment of its path.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initiate => "initiate",
            Self::Rekey => "rekey",
            Self::Terminate => "terminate",
        }
    }

    /// The action of a path segment.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Initiate, Self::Rekey, Self::Terminate].into_iter().find(|a| a.name() == name)
    }
}

/// On which SAs an action works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The CHILD_SAs only.
    #[default]
    Child,
    /// The IKE SA (with its children, when terminated).
    Ike,
}

/// Body of an action; all fields have defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionRequest {
    pub target: Target,
    /// One tunnel, from 1; all of them when absent.
    pub tunnel: Option<u8>,
    /// How long to wait for the outcome, seconds; 0 answers at once.
    pub wait_secs: u64,
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReply {
    /// The wish came true within the wait; false when it was only started.
    pub done: bool,
    pub message: String,
    /// Why it failed, where it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<crate::Diagnosis>,
}

/// Body of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownRequest {
    /// Delete every SA at both ends first; otherwise the data plane keeps forwarding.
    pub down: bool,
}
