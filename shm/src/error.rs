//! What ends a session, and what only delays a message.

use crate::layout::RingName;
use crate::memory::MemoryError;
use crate::message::DecodeError;
use crate::ring::IndexError;

/// Why a session is over. Both sides drop their end and go on without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Another control process, or a restarted one, connected.
    #[error("a newer control session took over")]
    Replaced,
    #[error("the data plane closed the session")]
    Closed,
    #[error("the peer process is gone")]
    PeerGone,
    #[error("peer misbehaved on ring {ring}: {source}")]
    Index { ring: RingName, source: IndexError },
    #[error("peer sent a bad message on ring {ring}: {source}")]
    Message { ring: RingName, source: DecodeError },
    #[error("doorbell failed: {0}")]
    Doorbell(#[source] std::io::Error),
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Backpressure: the peer has not read yet. Try again later, or count it and drop the message.
    #[error("ring is full")]
    Full,
    #[error("a packet of {0} bytes cannot cross the contract")]
    PacketLength(usize),
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Why control has no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    #[error("data plane is not running ({path}): {source}")]
    NotRunning { path: String, source: std::io::Error },
    #[error("data plane did not answer on its socket: {0}")]
    Socket(#[source] std::io::Error),
    #[error(
        "contract version is {ours} here and {theirs} in the data plane: install the same release of both"
    )]
    Version { ours: u32, theirs: u32 },
    #[error(
        "user {uid} may not open a session with the data plane: run as its user or list it in `allowed_uids`"
    )]
    NotAllowed { uid: u32 },
    #[error("answer of the data plane is malformed: {what}")]
    Malformed { what: &'static str },
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Counters(#[from] crate::counters::CountersError),
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
}
