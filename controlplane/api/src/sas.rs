//! IKE SAs and their CHILD_SAs, in the order in which people know the fields.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// State of an IKE SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IkeState {
    Connecting,
    Established,
    Rekeying,
    Deleting,
}

/// State of a CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChildState {
    Installing,
    Installed,
    Rekeying,
    Deleting,
}

/// Encapsulation mode; ESP in tunnel mode is the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChildMode {
    Tunnel,
}

/// One end of an IKE SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Party {
    /// Identity; empty until it is known.
    pub id: String,
    #[schema(value_type = String)]
    pub host: IpAddr,
    pub port: u16,
    /// IKE SPI, 16 hexadecimal digits.
    pub spi: String,
}

/// Algorithms in use, by their IANA names; empty where a kind is not used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    pub encryption: String,
    pub key_bits: u16,
    pub integrity: String,
    pub prf: String,
    pub dh_group: String,
    #[serde(default)]
    pub esn: bool,
}

impl std::fmt::Display for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.encryption)?;
        if self.key_bits > 0 {
            write!(f, "-{}", self.key_bits)?;
        }
        for part in [&self.integrity, &self.prf, &self.dh_group] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        if self.esn { f.write_str("/ESN") } else { Ok(()) }
    }
}

/// An IKE SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IkeSa {
    /// Name of the connection.
    pub name: String,
    /// Which of its tunnels, from 1.
    pub tunnel: u8,
    /// Number of this SA within the daemon.
    pub unique_id: u64,
    /// 1 or 2.
    pub version: u8,
    pub state: IkeState,
    /// We started the exchange.
    pub initiator: bool,
    pub local: Party,
    pub remote: Party,
    /// Absent until negotiated.
    pub proposal: Option<Proposal>,
    /// NAT found in front of us, of the peer.
    pub nat_local: bool,
    pub nat_remote: bool,
    /// Seconds since it was established.
    pub established_secs: Option<u64>,
    /// Seconds until we rekey it; absent without a lifetime.
    pub rekey_secs: Option<u64>,
    /// Seconds until both ends prove anew who they are; absent where that is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reauth_secs: Option<u64>,
    /// Seconds until it is deleted unless rekeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_secs: Option<u64>,
    pub children: Vec<ChildSa>,
    /// What probes found of the tunnel's path; absent while the data plane is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
}

/// What probes found of a tunnel's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Path {
    pub state: PathState,
    /// From us to the peer; absent until it is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Reach>,
    /// From the peer to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbound: Option<Reach>,
}

/// How far the probing of a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PathState {
    /// The tunnel has no probe target.
    Off,
    /// No SA carries a probe.
    Waiting,
    /// The target does not answer.
    Silent,
    Searching,
    Complete,
    /// The target answers, but not even the smallest size passes.
    Stuck,
}

/// What passes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reach {
    /// The largest ESP packet that passed, its IP header included, bytes.
    pub mtu: u16,
    /// Why larger ones do not.
    pub limit: PathLimit,
}

/// Why larger packets do not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PathLimit {
    /// The link takes no larger ones.
    Link,
    /// A router on the way said so.
    Router,
    /// They vanish, and nobody says so.
    BlackHole,
    /// They arrive in fragments.
    Fragmented,
    /// The peer, or the host behind it, sends no larger ones.
    Sender,
}

/// A CHILD_SA: an inbound and an outbound ESP SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChildSa {
    /// Name: that of its connection.
    pub name: String,
    /// Number of this child within the daemon.
    pub unique_id: u64,
    pub state: ChildState,
    pub mode: ChildMode,
    /// `ESP`.
    pub protocol: String,
    /// In UDP (RFC 3948).
    pub encap: bool,
    /// Our inbound SPI, 8 hexadecimal digits.
    pub spi_in: String,
    /// The peer's SPI.
    pub spi_out: String,
    pub proposal: Proposal,
    /// Seconds since it was installed.
    pub installed_secs: u64,
    /// Seconds until we rekey it; absent without a lifetime.
    pub rekey_secs: Option<u64>,
    /// Seconds until it is deleted unless rekeyed.
    pub expires_secs: Option<u64>,
    pub inbound: Traffic,
    pub outbound: Traffic,
    /// Traffic selectors such as `10.1.0.0/24` or `10.1.0.0/24[tcp/80]`.
    pub local_ts: Vec<String>,
    pub remote_ts: Vec<String>,
}

/// What one direction has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
    /// Packets dropped because the connection was above its limits.
    #[serde(default)]
    pub policed: u64,
    /// Seconds since the last packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_secs: Option<u64>,
}

/// Why a negotiation failed: what we had, what the peer had, and the fix for either end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// Number within the daemon: the higher, the later it happened last.
    #[serde(default)]
    pub id: u64,
    pub connection: String,
    pub tunnel: u8,
    #[schema(value_type = String)]
    pub remote: IpAddr,
    /// Seconds ago.
    pub age_secs: u64,
    /// How many times in a row.
    pub count: u64,
    /// Stable name, e.g. `PskMismatch`.
    pub code: String,
    /// `local`: we refused what the peer sent; `remote`: the peer refused what we sent.
    #[serde(default)]
    pub side: String,
    /// `certain`, `likely` or `possible`.
    #[serde(default)]
    pub confidence: String,
    /// Where the rule stands, e.g. `RFC 7296 section 2.15`.
    #[serde(default)]
    pub rfc: String,
    pub message: String,
    /// The parameter at fault, its value here and as it stood on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theirs: Option<String>,
    /// What to change here, in the configuration's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_here: Option<String>,
    /// What to change at the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix_there: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_reads_as_people_know_it() {
        let mut proposal = Proposal {
            encryption: "AES_CBC".into(),
            key_bits: 128,
            integrity: "HMAC_SHA1_96".into(),
            prf: "PRF_HMAC_SHA1".into(),
            dh_group: "MODP_1024".into(),
            esn: false,
        };
        assert_eq!(proposal.to_string(), "AES_CBC-128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024");
        proposal.prf.clear();
        proposal.esn = true;
        assert_eq!(proposal.to_string(), "AES_CBC-128/HMAC_SHA1_96/MODP_1024/ESN");
    }
}
