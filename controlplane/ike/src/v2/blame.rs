//! The record of a failed exchange that people read: parameter, both values, section, fix.

use super::fault::{Fault, Stage};
use super::{narrow, offer};
use crate::config::{Connection, ConnectionKey, LocalAuth};
use crate::diagnosis::{Code, Diagnosis, Side};
use crate::wire::NotifyPayload;
use crate::wire::iana::{KeId, NotifyType};

mod certificate;

/// What a kind of failure always says.
struct Meaning {
    code: Code,
    parameter: &'static str,
    rfc: &'static str,
    fix: &'static str,
}

const fn meaning(code: Code, parameter: &'static str, rfc: &'static str, fix: &'static str) -> Meaning {
    Meaning { code, parameter, rfc, fix }
}

const GROUP: Meaning = meaning(
    Code::DhGroupMismatch,
    "dh group",
    "RFC 7296 section 1.3",
    "set the same Diffie-Hellman group on both sides",
);
const SELECTORS: Meaning = meaning(
    Code::TrafficSelectorMismatch,
    "local and remote networks",
    "RFC 7296 section 2.9",
    "the peer's networks must mirror ours: its local is our remote",
);
const PSK: Meaning = meaning(
    Code::PskMismatch,
    "pre-shared key",
    "RFC 7296 section 2.15",
    "set the same pre-shared key on both sides; look for spaces and line ends",
);
const METHOD: Meaning = meaning(
    Code::AuthenticationMethodMismatch,
    "authentication method",
    "RFC 7296 section 2.15",
    "set the peer to prove itself as this tunnel asks, or the tunnel's remote authentication to what the \
     peer does",
);
const MALFORMED: Meaning = meaning(
    Code::MalformedMessage,
    "message",
    "RFC 7296 section 2.21",
    "the peer breaks the protocol: look at its version and log",
);
const DATA_PLANE: Meaning =
    meaning(Code::DataPlaneFailed, "data plane", "", "look at the data plane's state and log");
const PASSING: Meaning =
    meaning(Code::NegotiationFailed, "exchange", "RFC 7296 section 2.25", "it is tried again by itself");
const REFUSED_IKE: Meaning = meaning(
    Code::ProposalMismatch,
    "ike proposal",
    "RFC 7296 section 2.7",
    "set one of our IKE proposals at the peer; its log names the algorithm it misses",
);
const REFUSED_ESP: Meaning = meaning(
    Code::ProposalMismatch,
    "ipsec proposal",
    "RFC 7296 section 2.7",
    "set one of our IPsec proposals at the peer, with the same PFS group",
);
const REFUSED_PROOF: Meaning = meaning(
    Code::AuthenticationFailed,
    "pre-shared key or identities",
    "RFC 7296 section 2.21.2",
    "the peer refused our proof: compare the pre-shared keys, then our local identity with the peer's \
     remote identity, then the reverse",
);
const REFUSED_CERTIFICATE: Meaning = meaning(
    Code::AuthenticationFailed,
    "certificate or identities",
    "RFC 7296 section 2.21.2",
    "the peer refused our proof: check that it trusts the CA of our certificate, that its remote identity is \
     our local identity, and that its clock is right; its log says which",
);
const VERSION: Meaning =
    meaning(Code::IkeVersionMismatch, "ike version", "RFC 7296 section 2.5", "set the peer to IKEv2");
const REFUSED: Meaning = meaning(
    Code::NegotiationFailed,
    "exchange",
    "RFC 7296 section 3.10.1",
    "the peer's log says why it refused",
);
const NO_RESPONSE: Meaning = meaning(
    Code::NoResponse,
    "IKE_SA_INIT",
    "RFC 7296 section 2.4",
    "check the peer's address, that it runs, and that UDP 500 passes both ways",
);
const NO_PROOF: Meaning = meaning(
    Code::Phase1NegotiationTimeout,
    "IKE_AUTH",
    "RFC 7296 section 2.4",
    "check that UDP 4500 passes both ways, then the peer's log: some drop what they cannot authenticate",
);
const NO_CHILD: Meaning = meaning(
    Code::Phase2NegotiationTimeout,
    "CREATE_CHILD_SA",
    "RFC 7296 section 2.4",
    "check the path to the peer, then its log",
);

impl Meaning {
    fn by(self, side: Side, key: Option<ConnectionKey>, ours: String, theirs: String) -> Diagnosis {
        Diagnosis {
            code: self.code,
            side,
            connection: key,
            parameter: self.parameter.to_owned(),
            ours,
            theirs,
            rfc: self.rfc.to_owned(),
            fix: self.fix.to_owned(),
        }
    }
}

impl Fault {
    /// The record for people. `connection` gives our side's values where the fault does not hold them.
    pub(crate) fn diagnosis(
        &self,
        stage: Stage,
        key: Option<ConnectionKey>,
        connection: Option<&Connection>,
    ) -> Diagnosis {
        let here = |meaning: Meaning, ours, theirs| meaning.by(Side::Local, key, ours, theirs);
        match self {
            Self::Refused(notify) => refused(notify, stage, key, connection),
            Self::Mismatch(m) => {
                let fix = "set the same algorithm on both sides";
                let meaning = meaning(m.code, m.parameter, "RFC 7296 section 2.7", fix);
                here(meaning, m.ours.clone(), m.theirs.clone())
            }
            Self::WrongGroup(group) => {
                GROUP.by(Side::Remote, key, group_names(connection, stage), group.to_string())
            }
            Self::Selectors { ours, theirs } => here(SELECTORS, ours.clone(), theirs.clone()),
            Self::Identity { parameter, ours, theirs } => {
                let fix = "set the identity here to what the peer sends, or the peer's identity to ours";
                let meaning = meaning(Code::PeerIdMismatch, parameter, "RFC 7296 section 2.15", fix);
                here(meaning, ours.clone(), theirs.clone())
            }
            Self::Psk => here(PSK, "(secret)".to_owned(), "(another secret)".to_owned()),
            Self::Method { ours, theirs } => here(METHOD, (*ours).to_owned(), theirs.to_string()),
            Self::Certificate(refusal) => certificate::refused(refusal, key),
            Self::Signature(error) => certificate::signature(error, key),
            Self::Syntax(_) | Self::Decode(_) | Self::Crypto(_) => {
                here(MALFORMED, String::new(), self.to_string())
            }
            Self::DataPlane(_) => here(DATA_PLANE, self.to_string(), String::new()),
            Self::Timeout => timeout(stage, key, connection),
            Self::ChildNotFound(_) | Self::DeletedAlready | Self::Busy | Self::Internal(_) => {
                here(PASSING, self.to_string(), String::new())
            }
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
    let (meaning, ours) = match (notify.notify_type, stage) {
        (NotifyType::NO_PROPOSAL_CHOSEN, Stage::Init | Stage::RekeyIke | Stage::Auth) => {
            (REFUSED_IKE, ike_names(connection))
        }
        (NotifyType::NO_PROPOSAL_CHOSEN, Stage::Child) => (REFUSED_ESP, esp_names(connection)),
        (NotifyType::INVALID_KE_PAYLOAD, _) => (GROUP, group_names(connection, stage)),
        (NotifyType::AUTHENTICATION_FAILED, _) => {
            let certificate = |c: &Connection| matches!(c.local_auth, LocalAuth::Certificate(_));
            let by_certificate = connection.is_some_and(certificate);
            (if by_certificate { REFUSED_CERTIFICATE } else { REFUSED_PROOF }, identities(connection))
        }
        (NotifyType::TS_UNACCEPTABLE | NotifyType::SINGLE_PAIR_REQUIRED, _) => {
            (SELECTORS, selector_names(connection))
        }
        (NotifyType::INVALID_MAJOR_VERSION, _) => (VERSION, "2".to_owned()),
        _ => (REFUSED, String::new()),
    };
    let theirs = match <[u8; 2]>::try_from(&notify.data[..]) {
        Ok(group) if notify.notify_type == NotifyType::INVALID_KE_PAYLOAD => {
            KeId(u16::from_be_bytes(group)).to_string()
        }
        _ => notify.notify_type.to_string(),
    };
    meaning.by(Side::Remote, key, ours, theirs)
}

fn timeout(stage: Stage, key: Option<ConnectionKey>, connection: Option<&Connection>) -> Diagnosis {
    let meaning = match stage {
        Stage::Init => NO_RESPONSE,
        Stage::Auth => NO_PROOF,
        Stage::Child | Stage::RekeyIke => NO_CHILD,
    };
    let sent = connection.and_then(|c| c.remote).map(|addr| format!("sent to {addr}"));
    meaning.by(Side::Remote, key, sent.unwrap_or_default(), "no answer".to_owned())
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
    let ike = |c: &Connection| c.ike_proposals.iter().map(|p| p.group).collect::<Vec<_>>();
    let esp = |c: &Connection| c.child.proposals.iter().filter_map(|p| p.group).collect::<Vec<_>>();
    let groups = connection.map(|c| if stage == Stage::Child { esp(c) } else { ike(c) }).unwrap_or_default();
    groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
