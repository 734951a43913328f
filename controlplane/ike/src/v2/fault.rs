//! Why an exchange failed, what the peer is told, and what people are told.

use crate::config::{Connection, ConnectionKey, EspProposal, IkeProposal};
use crate::crypto::CryptoError;
use crate::diagnosis::{Code, Diagnosis, Side};
use crate::manager::command::Spi;
use crate::wire::iana::{AuthMethod, KeId, NotifyType};
use crate::wire::{DecodeError, NotifyPayload};

use super::narrow;
use super::offer::{self, Mismatch};

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
    /// Incompatible: no common traffic selector.
    #[error("no common traffic selector")]
    Selectors { ours: String, theirs: String },
    /// Incompatible: the peer is somebody else.
    #[error("the peer is {theirs}, not {ours}")]
    Identity { parameter: &'static str, ours: String, theirs: String },
    /// Incompatible: the peer's proof is not of our secret.
    #[error("the shared secrets differ")]
    Psk,
    /// Incompatible: the peer proves itself in another way.
    #[error("authentication by {0}")]
    Method(AuthMethod),
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
    /// Two exchanges collide: later.
    #[error("busy with another exchange")]
    Busy,
    /// The data plane refused (its code), or did not answer (none).
    #[error("the data plane failed: {0:?}")]
    DataPlane(Option<u32>),
    /// The peer did not answer.
    #[error("no answer")]
    Timeout,
    /// A bug of ours.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl Fault {
    /// The notification that tells the peer.
    pub(crate) fn notification(&self) -> NotifyPayload {
        match self {
            Self::Mismatch(_) => NotifyPayload::new(NotifyType::NO_PROPOSAL_CHOSEN, []),
            Self::WrongGroup(group) => {
                NotifyPayload::new(NotifyType::INVALID_KE_PAYLOAD, group.0.to_be_bytes())
            }
            Self::Selectors { .. } => NotifyPayload::new(NotifyType::TS_UNACCEPTABLE, []),
            Self::Identity { .. } | Self::Psk | Self::Method(_) => {
                NotifyPayload::new(NotifyType::AUTHENTICATION_FAILED, [])
            }
            Self::Decode(error) => {
                let (kind, data) = error.notification();
                NotifyPayload::new(kind, data)
            }
            Self::Syntax(_) | Self::Crypto(_) => NotifyPayload::new(NotifyType::INVALID_SYNTAX, []),
            Self::ChildNotFound(spi) => NotifyPayload::for_esp(NotifyType::CHILD_SA_NOT_FOUND, *spi),
            Self::DataPlane(_) => NotifyPayload::new(NotifyType::NO_ADDITIONAL_SAS, []),
            Self::Busy | Self::Refused(_) | Self::Timeout | Self::Internal(_) => {
                NotifyPayload::new(NotifyType::TEMPORARY_FAILURE, [])
            }
        }
    }

    /// Whether it is no failure of the configuration, and will pass.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Refused(n) => {
                matches!(n.notify_type, NotifyType::TEMPORARY_FAILURE | NotifyType::CHILD_SA_NOT_FOUND)
            }
            Self::Busy | Self::ChildNotFound(_) => true,
            _ => false,
        }
    }

    /// The record for people.
    pub(crate) fn diagnosis(
        &self,
        stage: Stage,
        key: Option<ConnectionKey>,
        connection: Option<&Connection>,
    ) -> Diagnosis {
        let record =
            |code, side, parameter: &str, ours: String, theirs: String, rfc: &str, fix: &str| Diagnosis {
                code,
                side,
                connection: key,
                parameter: parameter.to_owned(),
                ours,
                theirs,
                rfc: rfc.to_owned(),
                fix: fix.to_owned(),
            };
        let none = String::new;
        match self {
            Self::Refused(notify) => refused(notify, stage, key, connection),
            Self::Mismatch(m) => record(
                m.code,
                Side::Local,
                m.parameter,
                m.ours.clone(),
                m.theirs.clone(),
                "RFC 7296 section 2.7",
                "set the same algorithm on both sides",
            ),
            Self::WrongGroup(group) => record(
                Code::DhGroupMismatch,
                Side::Remote,
                "dh group",
                group_names(connection, stage),
                group.to_string(),
                "RFC 7296 section 1.3",
                "set the same Diffie-Hellman group on both sides",
            ),
            Self::Selectors { ours, theirs } => record(
                Code::TrafficSelectorMismatch,
                Side::Local,
                "local and remote networks",
                ours.clone(),
                theirs.clone(),
                "RFC 7296 section 2.9",
                "the peer's networks must mirror ours: its local is our remote",
            ),
            Self::Identity { parameter, ours, theirs } => record(
                Code::PeerIdMismatch,
                Side::Local,
                parameter,
                ours.clone(),
                theirs.clone(),
                "RFC 7296 section 2.15",
                "set the identity here to what the peer sends, or the peer's identity to ours",
            ),
            Self::Psk => record(
                Code::PskMismatch,
                Side::Local,
                "pre-shared key",
                "(secret)".to_owned(),
                "(another secret)".to_owned(),
                "RFC 7296 section 2.15",
                "set the same pre-shared key on both sides; look for spaces and line ends",
            ),
            Self::Method(method) => record(
                Code::AuthenticationMethodMismatch,
                Side::Local,
                "authentication method",
                AuthMethod::SHARED_KEY.to_string(),
                method.to_string(),
                "RFC 7296 section 2.15",
                "set the peer to authenticate by pre-shared key",
            ),
            Self::Syntax(_) | Self::Decode(_) | Self::Crypto(_) => record(
                Code::MalformedMessage,
                Side::Local,
                "message",
                none(),
                self.to_string(),
                "RFC 7296 section 2.21",
                "the peer breaks the protocol: look at its version and log",
            ),
            Self::DataPlane(_) => record(
                Code::DataPlaneFailed,
                Side::Local,
                "data plane",
                self.to_string(),
                none(),
                "",
                "look at the data plane's state and log",
            ),
            Self::Timeout => timeout(stage, key, connection),
            Self::ChildNotFound(_) | Self::Busy | Self::Internal(_) => record(
                Code::NegotiationFailed,
                Side::Local,
                "exchange",
                self.to_string(),
                none(),
                "RFC 7296 section 2.25",
                "it is tried again by itself",
            ),
        }
    }
}

/// The peer sent an error notification: what it most likely means, with the values it refused.
fn refused(
    notify: &NotifyPayload,
    stage: Stage,
    key: Option<ConnectionKey>,
    connection: Option<&Connection>,
) -> Diagnosis {
    let (code, parameter, ours, rfc, fix) = match (notify.notify_type, stage) {
        (NotifyType::NO_PROPOSAL_CHOSEN, Stage::Init | Stage::RekeyIke | Stage::Auth) => (
            Code::ProposalMismatch,
            "ike proposal",
            ike_names(connection),
            "RFC 7296 section 2.7",
            "set one of our IKE proposals at the peer; its log names the algorithm it misses",
        ),
        (NotifyType::NO_PROPOSAL_CHOSEN, Stage::Child) => (
            Code::ProposalMismatch,
            "ipsec proposal",
            esp_names(connection),
            "RFC 7296 section 2.7",
            "set one of our IPsec proposals at the peer, with the same PFS group",
        ),
        (NotifyType::INVALID_KE_PAYLOAD, _) => (
            Code::DhGroupMismatch,
            "dh group",
            group_names(connection, stage),
            "RFC 7296 section 1.3",
            "set the same Diffie-Hellman group on both sides",
        ),
        (NotifyType::AUTHENTICATION_FAILED, _) => (
            Code::AuthenticationFailed,
            "pre-shared key or identities",
            identities(connection),
            "RFC 7296 section 2.21.2",
            "the peer refused our proof: compare the pre-shared keys, then our local identity with the \
             peer's remote identity, then the reverse",
        ),
        (NotifyType::TS_UNACCEPTABLE | NotifyType::SINGLE_PAIR_REQUIRED, _) => (
            Code::TrafficSelectorMismatch,
            "local and remote networks",
            selector_names(connection),
            "RFC 7296 section 2.9",
            "the peer's networks must mirror ours: its local is our remote",
        ),
        (NotifyType::INVALID_MAJOR_VERSION, _) => (
            Code::IkeVersionMismatch,
            "ike version",
            "2".to_owned(),
            "RFC 7296 section 2.5",
            "set the peer to IKEv2",
        ),
        _ => (
            Code::NegotiationFailed,
            "exchange",
            String::new(),
            "RFC 7296 section 3.10.1",
            "the peer's log says why it refused",
        ),
    };
    let theirs = match <[u8; 2]>::try_from(&notify.data[..]) {
        Ok(group) if notify.notify_type == NotifyType::INVALID_KE_PAYLOAD => {
            KeId(u16::from_be_bytes(group)).to_string()
        }
        _ => notify.notify_type.to_string(),
    };
    let (parameter, rfc, fix) = (parameter.to_owned(), rfc.to_owned(), fix.to_owned());
    Diagnosis { code, side: Side::Remote, connection: key, parameter, ours, theirs, rfc, fix }
}

fn timeout(stage: Stage, key: Option<ConnectionKey>, connection: Option<&Connection>) -> Diagnosis {
    let (code, exchange, fix) = match stage {
        Stage::Init => (
            Code::NoResponse,
            "IKE_SA_INIT",
            "check the peer's address, that it runs, and that UDP 500 passes both ways",
        ),
        Stage::Auth => (
            Code::Phase1NegotiationTimeout,
            "IKE_AUTH",
            "check that UDP 4500 passes both ways, then the peer's log: some drop what they cannot \
             authenticate",
        ),
        Stage::Child | Stage::RekeyIke => {
            (Code::Phase2NegotiationTimeout, "CREATE_CHILD_SA", "check the path to the peer, then its log")
        }
    };
    Diagnosis {
        code,
        side: Side::Remote,
        connection: key,
        parameter: exchange.to_owned(),
        ours: connection.and_then(|c| c.remote).map(|addr| format!("sent to {addr}")).unwrap_or_default(),
        theirs: "no answer".to_owned(),
        rfc: "RFC 7296 section 2.4".to_owned(),
        fix: fix.to_owned(),
    }
}

fn ike_names(connection: Option<&Connection>) -> String {
    connection.map(|c| offer::describe(&offer::ike_offer(&c.ike_proposals, &[]))).unwrap_or_default()
}

fn esp_names(connection: Option<&Connection>) -> String {
    connection.map(|c| offer::describe(&offer::esp_offer(&c.child.proposals, 0, true))).unwrap_or_default()
}

fn identities(connection: Option<&Connection>) -> String {
    connection.map(|c| format!("local {}, remote {}", c.local_id, c.remote_id)).unwrap_or_default()
}

fn selector_names(connection: Option<&Connection>) -> String {
    let text = |c: &Connection| {
        format!(
            "local {}, remote {}",
            narrow::describe(&c.child.local_ts),
            narrow::describe(&c.child.remote_ts)
        )
    };
    connection.map(text).unwrap_or_default()
}

fn group_names(connection: Option<&Connection>, stage: Stage) -> String {
    let ike = |c: &Connection| c.ike_proposals.iter().map(|p: &IkeProposal| p.group).collect::<Vec<_>>();
    let esp =
        |c: &Connection| c.child.proposals.iter().filter_map(|p: &EspProposal| p.group).collect::<Vec<_>>();
    let groups = connection.map(|c| if stage == Stage::Child { esp(c) } else { ike(c) }).unwrap_or_default();
    groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
