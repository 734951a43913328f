//! What comes out of the manager for people and for the rest of the control plane.

use std::net::SocketAddr;
use std::time::Duration;

use super::command::{EspSuite, IkeSaId, Spi};
use crate::config::{ConnectionKey, IkeProposal};
use crate::diagnosis::Diagnosis;
use crate::pki::Certificate;
use crate::time::Time;
use crate::wire::{IkeSpi, TrafficSelector};

/// Why an SA is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// We were told to delete it.
    Command,
    /// The peer deleted it.
    Peer,
    /// Its lifetime ended.
    Expired,
    /// The peer no longer answers.
    PeerDead,
    /// Another one took its place.
    Replaced,
    /// The peer lost its state (INITIAL_CONTACT).
    PeerRestarted,
    /// The negotiation failed; a [`Event::Failed`] says why.
    Failed,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Both sides are authenticated.
    IkeEstablished {
        /// The tunnel.
        key: ConnectionKey,
        /// The SA.
        ike_sa: IkeSaId,
        /// Whether we initiated it.
        initiator: bool,
    },
    /// The IKE SA was replaced; its children moved.
    IkeRekeyed {
        /// The tunnel.
        key: ConnectionKey,
        /// The old SA.
        old: IkeSaId,
        /// The new SA.
        new: IkeSaId,
    },
    /// The IKE SA and its children are gone.
    IkeDeleted {
        /// The tunnel; `None` if the peer was not authenticated yet.
        key: Option<ConnectionKey>,
        /// The SA.
        ike_sa: IkeSaId,
        /// Why.
        why: Gone,
    },
    /// Traffic can flow.
    ChildEstablished {
        /// The tunnel.
        key: ConnectionKey,
        /// Its IKE SA.
        ike_sa: IkeSaId,
        /// Our inbound SPI.
        spi: Spi,
        /// The CHILD_SA this one replaces.
        replaces: Option<Spi>,
    },
    /// A CHILD_SA is gone.
    ChildDeleted {
        /// The tunnel.
        key: ConnectionKey,
        /// Our inbound SPI.
        spi: Spi,
        /// Why.
        why: Gone,
    },
    /// The peer proved itself with this certificate.
    PeerCertificate {
        /// The tunnel.
        key: ConnectionKey,
        /// Whose it is.
        subject: String,
        /// Its last moment, since the Unix epoch.
        not_after: Duration,
    },
    /// A negotiation failed.
    Failed(Diagnosis),
    /// The peer's outer address changed.
    PeerMoved {
        /// The tunnel.
        key: ConnectionKey,
        /// Where the peer is now.
        remote: SocketAddr,
    },
}

impl Event {
    pub(crate) fn peer_certificate(key: ConnectionKey, certificate: &Certificate) -> Self {
        let subject = certificate.subject().to_string();
        Self::PeerCertificate { key, subject, not_after: certificate.not_after() }
    }
}

/// A snapshot to keep where it survives this process. It must be kept before any datagram or SA command
/// that was queued after it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalRecord {
    /// Replace what is kept for this IKE SA.
    Put {
        /// The SA.
        ike_sa: IkeSaId,
        /// Opaque, secret, zeroized on drop.
        snapshot: zeroize::Zeroizing<Vec<u8>>,
    },
    /// Forget this IKE SA.
    Remove {
        /// The SA.
        ike_sa: IkeSaId,
    },
}

/// Phase of an IKE SA, in swanctl's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IkeState {
    /// IKE_SA_INIT or IKE_AUTH in progress.
    Connecting,
    /// In use.
    Established,
    /// Replaced, waiting for its deletion.
    Rekeyed,
    /// Being deleted.
    Deleting,
}

/// Phase of a CHILD_SA, in swanctl's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildState {
    /// Negotiated, the data plane is installing it.
    Installing,
    /// In use.
    Installed,
    /// A replacement is being negotiated.
    Rekeying,
    /// Replaced, waiting for its deletion.
    Rekeyed,
    /// Being deleted.
    Deleting,
}

/// One IKE SA as `list-sas` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IkeSaStatus {
    /// Our name for it.
    pub id: IkeSaId,
    /// The tunnel; `None` while the peer is not authenticated.
    pub key: Option<ConnectionKey>,
    /// Phase.
    pub state: IkeState,
    /// Whether we initiated it.
    pub initiator: bool,
    /// Initiator's SPI.
    pub initiator_spi: IkeSpi,
    /// Responder's SPI; zero while unknown.
    pub responder_spi: IkeSpi,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The identity we sent.
    pub local_id: String,
    /// The identity the peer proved.
    pub remote_id: String,
    /// Whether we are behind a NAT, and whether the peer is.
    pub nat: (bool, bool),
    /// Algorithms, once negotiated.
    pub suite: Option<IkeProposal>,
    /// When it was established.
    pub established: Option<Time>,
    /// When it will be rekeyed.
    pub rekey_at: Option<Time>,
    /// When a new one with all proofs will take its place.
    pub reauth_at: Option<Time>,
    /// When it ends.
    pub expires_at: Option<Time>,
    /// Its CHILD_SAs.
    pub children: Vec<ChildSaStatus>,
}

/// One CHILD_SA as `list-sas` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildSaStatus {
    /// Our inbound SPI.
    pub spi: Spi,
    /// The peer's inbound SPI.
    pub peer_spi: Spi,
    /// Phase.
    pub state: ChildState,
    /// Whether we send on it.
    pub active: bool,
    /// Algorithms.
    pub suite: EspSuite,
    /// Whether sequence numbers are extended.
    pub esn: bool,
    /// Carried in UDP.
    pub udp_encap: bool,
    /// Our side's selectors.
    pub local_ts: Vec<TrafficSelector>,
    /// The peer's side's selectors.
    pub remote_ts: Vec<TrafficSelector>,
    /// When it was installed.
    pub installed: Time,
    /// When it will be rekeyed.
    pub rekey_at: Option<Time>,
    /// When it ends.
    pub expires_at: Option<Time>,
}

/// How much the manager holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// IKE SAs, half-open ones included.
    pub ike_sas: usize,
    /// IKE SAs whose peer is not authenticated, as responder.
    pub half_open: usize,
    /// CHILD_SAs.
    pub children: usize,
    /// Exchanges that run or wait for their turn.
    pub queued: usize,
    /// Deadlines: one of each IKE SA, and one of each connection that is to be tried again.
    pub timers: usize,
}

/// Datagrams that led to nothing, by reason, since the manager was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// All datagrams handed in.
    pub received: u64,
    /// Datagrams handed out, repetitions included.
    pub sent: u64,
    /// Requests sent again.
    pub retransmitted: u64,
    /// Duplicate requests answered from the cache.
    pub duplicates: u64,
    /// IKEv1, refused.
    pub ikev1: u64,
    /// Another unsupported major version.
    pub unsupported_version: u64,
    /// Not an IKE message.
    pub malformed: u64,
    /// For an IKE SA that we do not have.
    pub unknown_spi: u64,
    /// Claims without proof that the peer lost an SA, for which it was asked at once.
    pub doubts: u64,
    /// Integrity check failed.
    pub unauthentic: u64,
    /// Message ID outside the window, or an exchange the state does not allow.
    pub unexpected: u64,
    /// IKE_SA_INIT beyond the half-open limit, of all peers or of one address.
    pub half_open_limit: u64,
    /// IKE_SA_INIT answered with a cookie to be brought back.
    pub cookies: u64,
    /// IKE_SA_INIT from an address no connection is configured for.
    pub unknown_peer: u64,
}
