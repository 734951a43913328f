//! The daemon, the connections, and what can be asked of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Version of the control plane, and of the data plane where it is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    pub version: String,
    /// Version of the shared-memory contract.
    pub contract: u32,
    /// As the data plane tells it: its version and that of DPDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataplane: Option<String>,
}

/// Whether the data plane is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NegotiationStatus {
    IkeSaNotEstablished,
    IkeSaEstablished,
    IpsecSaNotEstablished,
    IpsecSaEstablished,
}

impl NegotiationStatus {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IkeSaNotEstablished => "ike_sa_not_established",
            Self::IkeSaEstablished => "ike_sa_established",
            Self::IpsecSaNotEstablished => "ipsec_sa_not_established",
            Self::IpsecSaEstablished => "ipsec_sa_established",
        }
    }
}

/// A configured connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    pub name: String,
    pub routing_mode: String,
    pub local_networks: Vec<String>,
    pub remote_networks: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    pub tunnels: Vec<Tunnel>,
}

/// Which connections are listed; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConnectionFilter {
    /// `KEY`, or `KEY=VALUE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group: Option<String>,
}

impl ConnectionFilter {
    /// Whether it lists a connection.
    #[must_use]
    pub fn takes(&self, connection: &Connection) -> bool {
        let tag = |key: &str| connection.tags.get(key).map(String::as_str);
        self.takes_labels(connection.resource_group.as_deref(), tag)
    }

    /// Whether it lists what is of a resource group and has these tags.
    pub fn takes_labels<'a>(&self, group: Option<&str>, tag: impl Fn(&str) -> Option<&'a str>) -> bool {
        let tagged = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => tag(key) == Some(value),
            None => tag(wanted).is_some(),
        };
        self.tag.as_ref().is_none_or(tagged)
            && self.resource_group.as_deref().is_none_or(|wanted| group == Some(wanted))
    }
}

/// State of a tunnel's configuration (RM-09).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TunnelState {
    /// The data plane has it as the document says.
    Active,
    /// On its way to the data plane.
    Updating,
    /// On its way out of the document.
    Deleting,
}

impl TunnelState {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Updating => "updating",
            Self::Deleting => "deleting",
        }
    }
}

/// What a tunnel has carried over all its SAs, so that rekeys do not show, and what its SAs dropped.
///
/// Counted since the control plane started; what an SA carried is forgotten if the data plane dies with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TunnelTraffic {
    pub in_packets: u64,
    /// Of inner packets.
    pub in_bytes: u64,
    pub out_packets: u64,
    /// Of inner packets.
    pub out_bytes: u64,
    /// Packets above the limits of the connection.
    pub in_policed: u64,
    pub out_policed: u64,
    pub auth_failures: u64,
    pub replays: u64,
    /// Authentic packets outside the traffic selectors.
    pub selector_failures: u64,
    /// Packets that its SAs dropped for any other reason.
    pub other_drops: u64,
}

impl TunnelTraffic {
    /// All that was dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let Self { in_policed, out_policed, auth_failures, replays, selector_failures, other_drops, .. } =
            self;
        in_policed + out_policed + auth_failures + replays + selector_failures + other_drops
    }
}

/// One tunnel of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tunnel {
    /// Its number, as the data plane's traces have it.
    pub id: u32,
    /// `CONNECTION/INDEX`.
    pub name: String,
    /// From 1.
    pub index: u8,
    /// `Primary` or `Secondary`.
    pub role: String,
    #[schema(value_type = String)]
    pub gateway_ip: IpAddr,
    pub customer_gateway: String,
    #[schema(value_type = String)]
    pub customer_gateway_ip: IpAddr,
    pub state: TunnelState,
    pub status: NegotiationStatus,
    /// Seconds since it carries traffic; absent while it carries none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_secs: Option<u64>,
    /// Code of the last failure, until the tunnel is up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Absent while the data plane is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<TunnelTraffic>,
}

/// What can be asked of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Initiate,
    Rekey,
    Terminate,
    /// Delete every SA and negotiate anew at once.
    Reset,
}

impl Action {
    /// Last segment of its path.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initiate => "initiate",
            Self::Rekey => "rekey",
            Self::Terminate => "terminate",
            Self::Reset => "reset",
        }
    }

    /// The action of a path segment.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Initiate, Self::Rekey, Self::Terminate, Self::Reset].into_iter().find(|a| a.name() == name)
    }
}

/// On which SAs an action works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The CHILD_SAs only.
    #[default]
    Child,
    /// The IKE SA (with its children, when terminated).
    Ike,
}

/// Body of an action; all fields have defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ActionRequest {
    pub target: Target,
    /// One tunnel, from 1; all of them when absent.
    #[schema(maximum = 255)]
    pub tunnel: Option<u8>,
    /// How long to wait for the outcome, seconds; 0 answers at once.
    pub wait_secs: u64,
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionReply {
    /// The wish came true within the wait; false when it was only started.
    pub done: bool,
    pub message: String,
    /// Why it failed, where it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<crate::Diagnosis>,
}

/// Body of a recording; all fields have defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecordRequest {
    /// The tunnel, from 1; may be absent where the connection has one.
    #[schema(maximum = 255)]
    pub tunnel: Option<u8>,
    /// How long to wait for a result, seconds; what was recorded until then is the answer.
    pub wait_secs: u64,
    /// Begin nothing: the peer does.
    pub passive: bool,
}

/// A negotiation as it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recorded {
    /// It came to a result within the wait.
    pub done: bool,
    pub message: String,
    /// Why it failed, where it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<crate::Diagnosis>,
    /// The recording for `esplanade diagnose --replay`, as JSON; no secret is in it.
    pub recording: String,
}

/// Body of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownRequest {
    /// Delete every SA at both ends first; otherwise the data plane keeps forwarding.
    pub down: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_filtered_by_tag_and_group() {
        let tags = [("site", "osaka"), ("pilot", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let connection = Connection {
            name: "hq".into(),
            routing_mode: "destination".into(),
            local_networks: Vec::new(),
            remote_networks: Vec::new(),
            resource_group: Some("prod".into()),
            tags: tags.into(),
            tunnels: Vec::new(),
        };
        let takes = |tag: Option<&str>, group: Option<&str>| {
            let filter =
                ConnectionFilter { tag: tag.map(str::to_owned), resource_group: group.map(str::to_owned) };
            filter.takes(&connection)
        };
        assert!(takes(None, None) && takes(Some("site"), None) && takes(Some("site=osaka"), Some("prod")));
        assert!(takes(Some("pilot="), None) && !takes(Some("pilot=x"), None));
        assert!(
            !takes(Some("site=tokyo"), None) && !takes(Some("other"), None) && !takes(None, Some("test"))
        );
    }
}
