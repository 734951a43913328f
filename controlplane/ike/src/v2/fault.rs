//! Why an exchange failed, and what the peer is told. What people are told is in `blame`.

use std::net::IpAddr;
use std::time::Duration;

use crate::crypto::{CryptoError, SignatureError};
use crate::manager::command::Spi;
use crate::pki::Refusal;
use crate::wire::iana::{AuthMethod, KeId, NotifyType};
use crate::wire::{DecodeError, NotifyPayload, Version};

use super::offer::Mismatch;

/// The exchange that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// IKE_SA_INIT.
    Init,
    /// IKE_AUTH.
    Auth,
    /// A CHILD_SA, in IKE_AUTH or CREATE_CHILD_SA.
    Child,
    /// The replacement of an IKE SA.
    RekeyIke,
}

/// A failed exchange. Each variant says whose doing it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The peer answered with an error.
    #[error("the peer refused: {}", .0.notify_type)]
    Refused(NotifyPayload),
    /// Incompatible: no common proposal.
    #[error("no common proposal: {}", .0.parameter)]
    Mismatch(Mismatch),
    /// Incompatible for the moment: the key exchange must use this group.
    #[error("the key exchange must use {0}")]
    WrongGroup(KeId),
    /// Incompatible: no common traffic selector. `transport`: the peer asked for transport mode, which has the
    /// outer addresses as selectors.
    #[error("no common traffic selector")]
    Selectors { ours: String, theirs: String, transport: bool },
    /// Incompatible: no connection is for this address.
    #[error("no connection is for {theirs}")]
    Stranger { local: IpAddr, theirs: IpAddr },
    /// Incompatible: the peer speaks an older major version.
    #[error("the peer speaks version {}", .0.major)]
    OldVersion(Version),
    /// Incompatible: the peer is somebody else.
    #[error("the peer is {theirs}, not {ours}")]
    Identity { parameter: &'static str, ours: String, theirs: String },
    /// Incompatible: the peer's proof is not of our secret.
    #[error("the shared secrets differ")]
    Psk,
    /// Incompatible: the peer proves itself in another way.
    #[error("authentication by {theirs}, not {ours}")]
    Method { ours: &'static str, theirs: AuthMethod },
    /// Incompatible: the peer's certificate is not one that we accept.
    #[error(transparent)]
    Certificate(Refusal),
    /// Incompatible: the signature is not the proof it should be, or we cannot make one.
    #[error(transparent)]
    Signature(SignatureError),
    /// The peer misbehaves: a payload is missing or out of place.
    #[error("{0}")]
    Syntax(&'static str),
    /// Malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The peer's public value, or our misuse of a cipher.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The CHILD_SA to be replaced does not exist.
    #[error("no CHILD_SA with SPI {0:08x}")]
    ChildNotFound(Spi),
    /// The IKE SA has as many CHILD_SAs as it may have.
    #[error("the IKE SA has {0} CHILD_SAs already")]
    ChildrenEnough(usize),
    /// The peer deleted the CHILD_SA before its response reached us.
    #[error("the peer deleted it already")]
    DeletedAlready,
    /// Two exchanges collide: later.
    #[error("busy with another exchange")]
    Busy,
    /// The data plane refused (its code), or did not answer (none).
    #[error("the data plane failed: {0:?}")]
    DataPlane(Option<u32>),
    /// The peer did not answer.
    #[error("no answer")]
    Timeout,
    /// The peer began, and did not go on.
    #[error("the peer did not go on")]
    Silence,
    /// The peer deleted what it could have kept: the only IKE SA or the only CHILD_SA, this after so long.
    #[error("the peer deleted the {what}")]
    Deleted { what: &'static str, after: Option<Duration> },
    /// NAT traversal is off here, and the peer's hashes say that an address is another one on the way.
    #[error("NAT, and NAT traversal is off")]
    NatIgnored { of_peer: bool },
    /// A bug of ours.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl Fault {
    /// The notification that tells the peer.
    pub(crate) fn notification(&self) -> NotifyPayload {
        match self {
            Self::Mismatch(_) | Self::Stranger { .. } => {
                NotifyPayload::new(NotifyType::NO_PROPOSAL_CHOSEN, [])
            }
            Self::WrongGroup(group) => {
                NotifyPayload::new(NotifyType::INVALID_KE_PAYLOAD, group.0.to_be_bytes())
            }
            Self::Selectors { .. } => NotifyPayload::new(NotifyType::TS_UNACCEPTABLE, []),
            Self::Identity { .. }
            | Self::Psk
            | Self::Method { .. }
            | Self::Certificate(_)
            | Self::Signature(_) => NotifyPayload::new(NotifyType::AUTHENTICATION_FAILED, []),
            Self::Decode(error) => {
                let (kind, data) = error.notification();
                NotifyPayload::new(kind, data)
            }
            Self::Syntax(_) | Self::Crypto(_) => NotifyPayload::new(NotifyType::INVALID_SYNTAX, []),
            Self::ChildNotFound(spi) => NotifyPayload::for_esp(NotifyType::CHILD_SA_NOT_FOUND, *spi),
            Self::DataPlane(_) | Self::ChildrenEnough(_) => {
                NotifyPayload::new(NotifyType::NO_ADDITIONAL_SAS, [])
            }
            Self::OldVersion(_) => NotifyPayload::new(NotifyType::INVALID_MAJOR_VERSION, []),
            Self::Busy
            | Self::DeletedAlready
            | Self::Refused(_)
            | Self::Timeout
            | Self::Silence
            | Self::Deleted { .. }
            | Self::NatIgnored { .. }
            | Self::Internal(_) => NotifyPayload::new(NotifyType::TEMPORARY_FAILURE, []),
        }
    }

    /// Whether the peer is not who it should be, or does not prove it.
    pub(crate) fn is_authentication(&self) -> bool {
        matches!(
            self,
            Self::Identity { .. }
                | Self::Psk
                | Self::Method { .. }
                | Self::Certificate(_)
                | Self::Signature(_)
        )
    }

    /// Whether it is no failure of the configuration, and will pass.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Refused(n) => {
                matches!(n.notify_type, NotifyType::TEMPORARY_FAILURE | NotifyType::CHILD_SA_NOT_FOUND)
            }
            Self::Busy | Self::DeletedAlready | Self::ChildNotFound(_) => true,
            _ => false,
        }
    }
}
