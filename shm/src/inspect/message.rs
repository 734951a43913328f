//! Questions and records, as JSON.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What an inspector asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Question {
    /// What would become of this packet, and why? Answered with [`Record::Explained`].
    Explain(Explain),
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
