//! Counters, ports and neighbours.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The data plane's counters, summed over its workers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Counters {
    /// Packets received, and what became of them: the first is the sum of the other three.
    pub received: u64,
    pub forwarded: u64,
    pub delivered: u64,
    pub dropped: u64,
    pub interfaces: Vec<InterfaceCounters>,
    pub sas: Vec<SaCounters>,
    pub drops: Vec<DropCounter>,
}

/// Packets and bytes of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct InterfaceCounters {
    pub id: u16,
    /// Empty where the document has no such interface any more.
    pub name: String,
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub dropped: u64,
}

/// Packets and bytes of an SA pair.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct SaCounters {
    /// Our inbound SPI, 8 hexadecimal digits.
    pub spi: String,
    /// Name of its connection, as far as it is known.
    pub connection: String,
    pub in_packets: u64,
    pub in_bytes: u64,
    pub out_packets: u64,
    pub out_bytes: u64,
    pub auth_failures: u64,
    /// Packets dropped because the connection was above its limits.
    #[serde(default)]
    pub in_policed: u64,
    #[serde(default)]
    pub out_policed: u64,
    pub replays: u64,
}

/// One drop reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DropCounter {
    /// Stable name, e.g. `esp-replay`.
    pub name: String,
    pub count: u64,
    /// What it means and what to do.
    pub help: String,
    /// Where they came in, those without a packet left out.
    #[serde(default)]
    pub interfaces: Vec<InterfaceDrops>,
}

/// The packets of an interface that were dropped for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceDrops {
    /// Empty for packets that belong to no interface, or to none of the document.
    pub interface: String,
    pub count: u64,
}

/// A port of the data plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Port {
    pub id: u16,
    /// Name from `[dataplane]`.
    pub name: String,
    pub driver: String,
    /// Ethernet address, `aa:bb:cc:dd:ee:ff`.
    pub mac: String,
    pub up: bool,
    /// 0 where the driver does not say.
    pub speed_mbit: u32,
    pub mtu: u16,
    pub queues: u16,
    /// What of the work on packets is not where it usually is.
    pub offloads: Vec<Offload>,
    /// How packets find the worker that owns their SA.
    pub steering: SteeringPath,
    /// The rules that are made for SAs, and why the way is no better one.
    pub steering_notes: Vec<String>,
}

/// How packets find the worker that owns their SA, from the worst to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SteeringPath {
    /// There is one worker.
    OneWorker,
    /// The device does not spread packets: workers hand them over.
    HandOver,
    /// The kernel or the other end of a virtual device spreads them.
    Elsewhere,
    /// The device hashes the addresses.
    AddressHash,
    /// The device hashes the innermost addresses.
    InnerHash,
    /// The device hashes the SPI.
    SpiHash,
    /// A rule in the device leads each SA to its worker.
    SpiRules,
}

impl SteeringPath {
    /// As people and the API call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OneWorker => "one-worker",
            Self::HandOver => "hand-over",
            Self::Elsewhere => "elsewhere",
            Self::AddressHash => "address-hash",
            Self::InnerHash => "inner-hash",
            Self::SpiHash => "spi-hash",
            Self::SpiRules => "spi-rules",
        }
    }
}

/// Work on packets that the device does for us, or we do for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Offload {
    /// The device spreads packets over the queues by their headers.
    Rss,
    /// The device checks the checksum of IPv4 headers.
    Ipv4Checksum,
    /// The data plane completes TCP and UDP checksums that come unfinished.
    CompletesChecksums,
}

impl Offload {
    /// As people and the API call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rss => "rss",
            Self::Ipv4Checksum => "ipv4-checksum",
            Self::CompletesChecksums => "completes-checksums",
        }
    }
}

/// State of a neighbour (RFC 4861 section 7.3.2, for ARP as well).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NeighbourState {
    Incomplete,
    Reachable,
    Stale,
    Delay,
    Probe,
    Failed,
    Permanent,
}

/// A host on a link of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Neighbour {
    pub vrf: u16,
    pub interface: String,
    #[schema(value_type = String)]
    pub ip: IpAddr,
    /// Absent until it answered.
    pub mac: Option<String>,
    pub state: NeighbourState,
    /// Seconds since it was last confirmed.
    pub age_secs: u64,
}
