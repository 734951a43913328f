//! The peer said no: what its notification most likely means, with the values it refused.

use super::{Meaning, SELECTORS, VERSION, identities, meaning, selector_names};
use crate::config::{Connection, ConnectionKey, LocalAuth};
use crate::diagnosis::Confidence::{Certain, Likely, Possible};
use crate::diagnosis::{Code, Diagnosis, Side};
use crate::v2::fault::Stage;
use crate::v2::offer;
use crate::wire::NotifyPayload;
use crate::wire::iana::{KeId, NotifyType};

const IKE: Meaning = meaning(
    Code::ProposalMismatch,
    Likely,
    "ike proposal",
    "RFC 7296 section 2.7",
    [
        "set ike = { .. } to a proposal of the peer; its log names the algorithm it misses",
        "add our proposal for IKE; some say the same where they have no IKEv2 connection for our address",
    ],
);
const ESP: Meaning = meaning(
    Code::ProposalMismatch,
    Likely,
    "ipsec proposal",
    "RFC 7296 section 2.7",
    [
        "set ipsec = { .. } to a proposal of the peer; its log names the algorithm it misses",
        "add our proposal for ESP, with the same group for PFS",
    ],
);
const GROUP: Meaning = meaning(
    Code::DhGroupMismatch,
    Certain,
    "ike.dh-group",
    "RFC 7296 section 1.3",
    ["set ike.dh-group to the group that the peer names", "add our Diffie-Hellman group for IKE"],
);
const PFS: Meaning = meaning(
    Code::PfsMismatch,
    Certain,
    "ipsec.pfs",
    "RFC 7296 section 1.3",
    ["set ipsec.pfs to the group that the peer names", "add our Diffie-Hellman group for PFS"],
);
const PROOF: Meaning = meaning(
    Code::AuthenticationFailed,
    Possible,
    "psk, local-id, remote-id",
    "RFC 7296 section 2.21.2",
    [
        "compare psk with the peer's pre-shared key, then local-id with its remote identity, then remote-id",
        "its log says which it is: pre-shared key, its remote identity (ours), or its local identity",
    ],
);
const CERTIFICATE: Meaning = meaning(
    Code::AuthenticationFailed,
    Possible,
    "certificate, local-id, remote-id",
    "RFC 7296 section 2.21.2",
    [
        "check that local-id is the peer's remote identity, and certificate neither expired nor revoked",
        "check that it trusts the CA of our certificate, and its clock; its log says which it is",
    ],
);
const OTHER: Meaning = meaning(
    Code::NegotiationFailed,
    Possible,
    "exchange",
    "RFC 7296 section 3.10.1",
    ["see what the notification stands for", "its log says why it refused"],
);

/// The peer sent an error notification. It names what it refuses, but not what it would have had instead; only
/// with INVALID_KE_PAYLOAD it does.
pub(super) fn refused(
    notify: &NotifyPayload,
    stage: Stage,
    key: Option<ConnectionKey>,
    connection: Option<&Connection>,
) -> Diagnosis {
    if notify.notify_type == NotifyType::INVALID_KE_PAYLOAD
        && let Ok(group) = <[u8; 2]>::try_from(&notify.data[..])
    {
        return other_group(KeId(u16::from_be_bytes(group)), stage, key, connection);
    }
    let (meaning, ours) = match (notify.notify_type, stage) {
        (NotifyType::NO_PROPOSAL_CHOSEN, Stage::Init | Stage::RekeyIke) => (IKE, ike_names(connection)),
        // The IKE SA's algorithms are agreed: it is about the first CHILD_SA's.
        (NotifyType::NO_PROPOSAL_CHOSEN, Stage::Auth | Stage::Child) => (ESP, esp_names(connection)),
        (NotifyType::AUTHENTICATION_FAILED, _) => {
            let certificate = |c: &Connection| matches!(c.local_auth, LocalAuth::Certificate(_));
            let by_certificate = connection.is_some_and(certificate);
            (if by_certificate { CERTIFICATE } else { PROOF }, identities(connection))
        }
        (NotifyType::TS_UNACCEPTABLE | NotifyType::SINGLE_PAIR_REQUIRED, _) => {
            (Meaning { confidence: Likely, ..SELECTORS }, selector_names(connection))
        }
        (NotifyType::INVALID_MAJOR_VERSION, _) => {
            (Meaning { confidence: Likely, ..VERSION }, "2.0".to_owned())
        }
        _ => (OTHER, String::new()),
    };
    meaning.by(Side::Remote, key, ours, format!("not told ({})", notify.notify_type))
}

/// The peer wants this group, which we have not, or not any more.
pub(super) fn other_group(
    group: KeId,
    stage: Stage,
    key: Option<ConnectionKey>,
    connection: Option<&Connection>,
) -> Diagnosis {
    let ike = |c: &Connection| c.ike_proposals.iter().map(|p| p.group).collect::<Vec<_>>();
    let esp = |c: &Connection| c.child.proposals.iter().filter_map(|p| p.group).collect::<Vec<_>>();
    let (meaning, ours) = match stage {
        Stage::Child => (PFS, connection.map(esp)),
        Stage::Init | Stage::Auth | Stage::RekeyIke => (GROUP, connection.map(ike)),
    };
    let ours = ours.unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    meaning.by(Side::Remote, key, ours, group.to_string())
}

fn ike_names(connection: Option<&Connection>) -> String {
    connection.map(|c| offer::describe(&offer::ike_offer(&c.ike_proposals, &[]))).unwrap_or_default()
}

fn esp_names(connection: Option<&Connection>) -> String {
    connection.map(|c| offer::describe(&offer::esp_offer(&c.child.proposals, 0, true))).unwrap_or_default()
}
