//! Questions and records, as JSON.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::runtime::Runtime;

/// What an inspector asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Question {
    /// What would become of this packet, and why? Answered with [`Record::Explained`].
    Explain(Explain),
    /// What becomes of the packets that come from now on? Answered with [`Record::Watching`], then a
    /// [`Record::Journey`] for each until the inspector asks something else or goes.
    Trace(Filter),
    /// What do they look like? As [`Question::Trace`], with [`Record::Packet`].
    Capture(Capture),
    /// How is this worker doing? Answered with [`Record::Runtime`].
    Runtime {
        /// Which one, from 0.
        worker: u16,
    },
}

/// Which packets: those that meet every condition. Addresses, protocol and ports are those of one header that the
/// packet has somewhere on its way, inner or outer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Either SPI of a pair, as in an ESP header.
    pub spi: Option<u32>,
    /// Source address.
    pub src: Option<Network>,
    /// Destination address.
    pub dst: Option<Network>,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// The name of a drop reason, as counters have it.
    pub drop_reason: Option<String>,
}

/// All addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// One of them.
    pub address: IpAddr,
    /// How many bits count: 0..=32 or 0..=128.
    pub len: u8,
}

/// Which packets to capture, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Where.
    pub point: Point,
    /// Bytes of each packet at most.
    pub snap_len: u16,
    /// Which packets.
    pub filter: Filter,
}

/// Where a capture looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// Ethernet frames of outside interfaces.
    Outside,
    /// Ethernet frames of inside interfaces.
    Inside,
    /// IP packets in clear: before encryption, and after decryption.
    PreCrypto,
    /// IP packets that carry ESP: after encryption, and before decryption.
    PostCrypto,
}

/// A packet, as far as the decision looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Where it comes in.
    pub arrival: Arrival,
    /// The routing domain; `None`: that of the interface that fits best.
    pub vrf: Option<u16>,
    /// Source address.
    pub src: IpAddr,
    /// Destination address; of the same family.
    pub dst: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source and destination port, for protocols that have them.
    pub ports: (u16, u16),
    /// Length of the IP packet, bytes: 40..=9216. A shorter one is made as long as its headers.
    pub len: u16,
    /// IPv4 only: it must not be fragmented.
    pub dont_fragment: bool,
}

/// Where a packet comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// On an inside interface, in clear.
    Inside,
    /// On an outside interface.
    Outside,
}

/// What the data plane tells an inspector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// The answer to [`Question::Explain`].
    Explained(Explained),
    /// What was asked for is watched from now on.
    Watching,
    /// A packet's way through the data plane.
    Journey(Journey),
    /// A packet as it was at the point of capture.
    Packet(Packet),
    /// The answer to [`Question::Runtime`].
    Runtime(Box<Runtime>),
    /// Journeys or packets that found no room somewhere since this was last said.
    Lost {
        /// How many, at least.
        records: u64,
    },
    /// The question makes no sense, or there are too many inspectors.
    Refused {
        /// Why, for people.
        message: String,
    },
}

/// A decision with its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// Version of the tables that decided.
    pub tables: u64,
    /// The routing domain it was decided in.
    pub vrf: u16,
    /// The interfaces that the texts name by number.
    pub interfaces: Vec<InterfaceName>,
    /// In the order they were taken.
    pub steps: Vec<Step>,
    /// What becomes of the packet.
    pub verdict: Verdict,
}

/// What a number of an interface stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceName {
    /// Its number.
    pub id: u16,
    /// The port's name, with the VLAN behind a dot.
    pub name: String,
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// One word.
    pub stage: String,
    /// What was chosen or found.
    pub found: String,
    /// What lost, each with the reason.
    pub passed_over: PassedOver,
}

/// The candidates that lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// The first ones.
    pub candidates: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In a sentence.
    pub text: String,
    /// The name of the drop reason, as counters have it, if it is dropped.
    pub drop_reason: Option<String>,
    /// What the reason means, and the remedy.
    pub help: Option<String>,
}

/// One packet's way, from where it came in to where it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journey {
    /// Names the packet; pieces of one that was cut share its number.
    pub id: u64,
    /// Which piece, from 1; 0 for a whole packet.
    pub piece: u16,
    /// What the stages did, in order.
    pub stages: Vec<Stage>,
    /// Stages that are left out before the last one.
    pub left_out: u16,
    /// The SPIs of the ESP packets it came in and left in.
    pub spis: Vec<u32>,
    /// The name of the drop reason, if it was dropped.
    pub drop_reason: Option<String>,
    /// What the reason means, and the remedy.
    pub help: Option<String>,
}

/// What one stage did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// When the burst began in which it did, nanoseconds since 1970.
    pub at: u64,
    /// Which worker.
    pub worker: u16,
    /// One word.
    pub stage: String,
    /// What was found or decided.
    pub found: String,
}

/// A packet as it was at one point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Its journey.
    pub id: u64,
    /// When the burst began, nanoseconds since 1970.
    pub at: u64,
    /// True for what was received or came out of a tunnel, false for what was sent or went into one.
    pub inbound: bool,
    /// The interface of the frame, or that the packet came in by or leaves by; empty for a packet of ours.
    pub interface: String,
    /// Of the whole packet, bytes.
    pub len: u32,
    /// Its first bytes: a frame outside and inside, else an IP packet.
    #[serde(with = "super::hex")]
    pub bytes: Vec<u8>,
    /// The SPIs of the ESP packets it came in and left in.
    pub spis: Vec<u32>,
    /// The name of the drop reason, if it was dropped later.
    pub drop_reason: Option<String>,
}
