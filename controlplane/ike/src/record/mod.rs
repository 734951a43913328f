//! Recordings of negotiations: what came in, what the answer depended on, and what became of it, without a secret.
//!
//! A recording replays offline: the same code decides again, and comes to the same result. What a negotiation
//! owes to secrets is written down as its outcome: the text of a message that was opened, whether a proof was
//! right. Keys, pre-shared keys and private keys are never in it; identities, networks and certificates are.

mod player;
mod public;
pub(crate) mod tape;
mod timeline;

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::config::{Config, Connection, ConnectionKey};
use crate::diagnosis::Diagnosis;
use crate::manager::command::{Datagram, Flow, Spi};

pub use player::{ReplayError, replay};
pub(crate) use public::{credential, trust};

/// Changes whenever the meaning of a recording does.
pub const VERSION: u32 = 1;
/// Most connections of a recording: of very many for peers at any address, the others are left out.
pub const MAX_CONNECTIONS: usize = 256;
/// Most entries of a recording.
pub const MAX_ENTRIES: usize = 4096;
/// Bytes of datagrams and texts in a recording at most.
pub const MAX_BYTES: usize = 4 << 20;

/// One negotiation of one tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// The tunnel.
    pub key: ConnectionKey,
    /// The wall clock at the beginning, since the Unix epoch: certificates are valid by it.
    pub wall_clock: Duration,
    /// Limits and timers of the gateway.
    pub config: Config,
    /// The connections that a peer at that address may use, the tunnel's own among them, without their secrets.
    pub connections: Vec<Connection>,
    /// In the order in which it happened.
    pub entries: Vec<Entry>,
    /// What followed is missing: it was too long, or the configuration changed.
    pub cut: bool,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Since the beginning.
    pub at: Duration,
    /// What it was.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// We began an IKE SA.
    Begun {
        /// Of this tunnel.
        key: ConnectionKey,
        /// The packet that wanted it.
        flow: Option<Flow>,
    },
    /// An IKE SA was to have a CHILD_SA.
    Wanted {
        /// Of this tunnel.
        key: ConnectionKey,
        /// The packet that wanted it.
        flow: Option<Flow>,
    },
    /// Somebody wanted this tunnel taken down.
    Down(ConnectionKey),
    /// A datagram came.
    Received(Datagram),
    /// It, or the fragments it ended, held these payloads.
    Opened(Sealed),
    /// We made a message of these payloads.
    Made(Sealed),
    /// A datagram went.
    Sent(Datagram),
    /// How long we waited for an answer before we asked again.
    Pause(Duration),
    /// We chose this SPI for an IKE SA.
    Spi(u64),
    /// The peer's AUTH payload was checked: whether it was made with the right key.
    Proof(bool),
    /// The data plane answered.
    Answer {
        /// What was asked for this tunnel.
        key: ConnectionKey,
        /// What it said.
        answer: Answer,
    },
    /// The negotiation failed, wholly or in half.
    Failed(Diagnosis),
    /// A CHILD_SA is up.
    Up,
}

/// The payloads of a protected message, in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Type of the first payload.
    pub first: u8,
    /// All of them.
    #[serde(with = "hex::serde")]
    pub text: Vec<u8>,
}

/// An answer of the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// An SPI is reserved.
    Reserved(Spi),
    /// A CHILD_SA is installed.
    Installed,
    /// Neither, for the data plane's reason.
    Failed(u32),
}

impl What {
    /// What came of the negotiation.
    fn is_result(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Up)
    }

    /// Bytes that it holds, roughly.
    fn len(&self) -> usize {
        match self {
            Self::Received(datagram) | Self::Sent(datagram) => datagram.payload.len(),
            Self::Opened(sealed) | Self::Made(sealed) => sealed.text.len(),
            Self::Begun { .. }
            | Self::Wanted { .. }
            | Self::Down(_)
            | Self::Pause(_)
            | Self::Spi(_)
            | Self::Proof(_)
            | Self::Answer { .. }
            | Self::Failed(_)
            | Self::Up => 0,
        }
    }
}

impl Recording {
    /// What came of it: failures, and whether the tunnel came up.
    pub fn results(&self) -> impl Iterator<Item = &What> {
        self.entries.iter().map(|entry| &entry.what).filter(|what| what.is_result())
    }
}
