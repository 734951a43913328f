//! The record of a failed exchange that people read: parameter, both values, section, and the change that would
//! mend it on either side.

use std::time::Duration;

use super::child_responder::MAX_CHILDREN;
use super::fault::{Fault, Stage};
use super::narrow;
use super::offer::Mismatch;
use crate::config::{Connection, ConnectionKey};
use crate::diagnosis::{Code, Confidence, Diagnosis, Side};
use Confidence::{Certain, Likely, Possible};

mod certificate;
mod refusal;
mod words;

/// What a kind of failure always says.
struct Meaning {
    code: Code,
    confidence: Confidence,
    parameter: &'static str,
    rfc: &'static str,
    fix_here: &'static str,
    fix_there: &'static str,
}

/// `fixes`: here, and at the peer.
const fn meaning(
    code: Code,
    confidence: Confidence,
    parameter: &'static str,
    rfc: &'static str,
    fixes: [&'static str; 2],
) -> Meaning {
    Meaning { code, confidence, parameter, rfc, fix_here: fixes[0], fix_there: fixes[1] }
}

/// The mend is at the other side.
const NOTHING: &str = "nothing";

const SELECTORS: Meaning = meaning(
    Code::TrafficSelectorMismatch,
    Certain,
    "local-networks, remote-networks",
    "RFC 7296 section 2.9",
    [
        "set local-networks to the peer's remote networks, remote-networks to its local ones",
        "set its local networks to our remote-networks, its remote networks to our local-networks",
    ],
);
const TRANSPORT: Meaning = meaning(
    Code::EncapsulationModeMismatch,
    Likely,
    "encapsulation mode",
    "RFC 7296 section 1.3.1",
    ["nothing: only tunnel mode is offered", "set tunnel mode instead of transport mode"],
);
const PSK: Meaning = meaning(
    Code::PskMismatch,
    Likely,
    "psk",
    "RFC 7296 section 2.15",
    [
        "set psk (or the content of psk-file) to the peer's pre-shared key",
        "set its pre-shared key for our identity to ours; look for spaces, line ends and a 0x in front",
    ],
);
const METHOD: Meaning = meaning(
    Code::AuthenticationMethodMismatch,
    Certain,
    "psk or ca",
    "RFC 7296 section 2.15",
    [
        "give psk for a peer with a pre-shared key, ca for one with a certificate",
        "set its own authentication to what this tunnel asks for",
    ],
);
const MALFORMED: Meaning = meaning(
    Code::MalformedMessage,
    Certain,
    "message",
    "RFC 7296 section 2.21",
    ["nothing; `esplanade capture` shows the message", "look at its log, and for a newer version of it"],
);
const DATA_PLANE: Meaning = meaning(
    Code::DataPlaneFailed,
    Certain,
    "data plane",
    "",
    ["look at the data plane's state (`esplanade show status`) and log", NOTHING],
);
const CHILDREN: Meaning = meaning(
    Code::NegotiationFailed,
    Certain,
    "number of CHILD_SAs",
    "RFC 7296 section 1.3.1",
    [NOTHING, "put more networks into each CHILD_SA, and look why it does not delete those it replaces"],
);
const PASSING: Meaning = meaning(
    Code::NegotiationFailed,
    Possible,
    "exchange",
    "RFC 7296 section 2.25",
    ["nothing: it is tried again by itself", NOTHING],
);
const VERSION: Meaning = meaning(
    Code::IkeVersionMismatch,
    Certain,
    "ike.version",
    "RFC 7296 section 2.5",
    ["nothing: ikev2 is the only one", "set it to IKEv2"],
);
const STRANGER: Meaning = meaning(
    Code::PeerMismatch,
    Certain,
    "customer-gateway.ip",
    "RFC 7296 section 2.9",
    [
        "add a tunnel whose customer-gateway has the peer's address, or correct its ip",
        "have it send from the address of our customer-gateway; a NAT in between changes it",
    ],
);
const NO_RESPONSE: Meaning = meaning(
    Code::NoResponse,
    Possible,
    "customer-gateway.ip",
    "RFC 7296 section 2.4",
    [
        "check the ip of the customer-gateway, and that UDP 500 to and from it passes",
        "check that it runs, has a connection for our address, and lets UDP 500 pass",
    ],
);
const NO_PROOF: Meaning = meaning(
    Code::Phase1NegotiationTimeout,
    Possible,
    "IKE_AUTH",
    "RFC 7296 section 2.4",
    [
        "check that UDP 4500 passes both ways; with certificates, lower ike-fragments",
        "check that UDP 4500 passes both ways, then its log: some drop what they cannot authenticate",
    ],
);
const NO_CHILD: Meaning = meaning(
    Code::Phase2NegotiationTimeout,
    Possible,
    "CREATE_CHILD_SA",
    "RFC 7296 section 2.4",
    ["check the path to the peer", "look at its log"],
);
const SILENCE: Meaning = meaning(
    Code::Phase1NegotiationTimeout,
    Possible,
    "IKE_AUTH",
    "RFC 7296 section 2.4",
    [
        "check that our answers from UDP 500 reach the peer, and that UDP 4500 passes both ways",
        "look at its log: it got no answer of ours, or did not like it",
    ],
);
const DELETED: Meaning = meaning(
    Code::ReceiveDeleteNotify,
    Possible,
    "ipsec.lifetime, ike.lifetime",
    "RFC 7296 section 1.4.1",
    [
        "where it always happens after the same time, set the lifetime below that, so that we rekey before",
        "have it rekey before its lifetime ends; else its log says why it deleted",
    ],
);
const NAT: Meaning = meaning(
    Code::NatTMismatch,
    Likely,
    "nat-traversal",
    "RFC 7296 section 2.23",
    [
        "set nat-traversal = true: ESP without UDP does not pass most NATs",
        "where there is no NAT, do not force UDP encapsulation",
    ],
);

impl Meaning {
    fn by(self, side: Side, key: Option<ConnectionKey>, ours: String, theirs: String) -> Diagnosis {
        let Self { code, confidence, parameter, rfc, fix_here, fix_there } = self;
        let [parameter, rfc, fix_here, fix_there] = [parameter, rfc, fix_here, fix_there].map(str::to_owned);
        Diagnosis {
            code,
            side,
            connection: key,
            confidence,
            parameter,
            ours,
            theirs,
            rfc,
            fix_here,
            fix_there,
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
        let here = |meaning: Meaning, ours: &str, theirs: &str| {
            meaning.by(Side::Local, key, ours.to_owned(), theirs.to_owned())
        };
        let record = match self {
            Self::Refused(notify) => refusal::refused(notify, stage, key, connection),
            Self::Mismatch(m) => mismatch(m, key),
            Self::WrongGroup(group) => refusal::other_group(*group, stage, key, connection),
            Self::Selectors { ours, theirs, transport } => {
                here(if *transport { TRANSPORT } else { SELECTORS }, ours, theirs)
            }
            Self::Identity { parameter, ours, theirs } => identity(parameter, ours, theirs, key),
            Self::Stranger { local, theirs } => {
                here(STRANGER, &format!("no tunnel from {local} to this peer"), &theirs.to_string())
            }
            Self::OldVersion(version) => {
                here(VERSION, "2.0", &format!("{}.{}", version.major, version.minor))
            }
            Self::Psk => here(PSK, "(secret)", "not told (its proof is of another secret)"),
            Self::Method { ours, theirs } => here(METHOD, ours, &theirs.to_string()),
            Self::Certificate(refusal) => certificate::refused(refusal, key),
            Self::Signature(error) => certificate::signature(error, key),
            Self::Syntax(_) | Self::Decode(_) | Self::Crypto(_) => here(MALFORMED, "", &self.to_string()),
            Self::DataPlane(_) => here(DATA_PLANE, &self.to_string(), ""),
            Self::Timeout => timeout(stage, key, connection),
            Self::ChildrenEnough(_) => here(CHILDREN, &MAX_CHILDREN.to_string(), &self.to_string()),
            Self::Silence => {
                SILENCE.by(Side::Remote, key, "IKE_SA_INIT answered".into(), "no IKE_AUTH came".into())
            }
            Self::Deleted { what, after } => deleted(what, *after, key, connection),
            Self::NatIgnored { of_peer } => here(NAT, "false", nat_seen(*of_peer)),
            Self::ChildNotFound(_) | Self::DeletedAlready | Self::Busy | Self::Internal(_) => {
                here(PASSING, &self.to_string(), "")
            }
        };
        record.bounded()
    }
}

/// Nothing the peer offered is acceptable: what either side would have to offer.
fn mismatch(m: &Mismatch, key: Option<ConnectionKey>) -> Diagnosis {
    let [fix_here, fix_there] = words::proposal_fixes(m);
    Diagnosis {
        code: m.code,
        side: Side::Local,
        connection: key,
        confidence: Certain,
        parameter: m.parameter.to_owned(),
        ours: m.ours.clone(),
        theirs: m.theirs.clone(),
        rfc: "RFC 7296 section 2.7".to_owned(),
        fix_here,
        fix_there,
    }
}

/// `parameter` is `remote-id` or `local-id`.
fn identity(parameter: &str, ours: &str, theirs: &str, key: Option<ConnectionKey>) -> Diagnosis {
    let at_peer = if parameter == "local-id" { "remote" } else { "local" };
    Diagnosis {
        code: Code::PeerIdMismatch,
        side: Side::Local,
        connection: key,
        confidence: Certain,
        parameter: parameter.to_owned(),
        ours: ours.to_owned(),
        theirs: theirs.to_owned(),
        rfc: "RFC 7296 section 2.15".to_owned(),
        fix_here: format!("set {parameter} = \"{theirs}\""),
        fix_there: format!("set its {at_peer} identity to {ours}"),
    }
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

fn deleted(
    what: &str,
    after: Option<Duration>,
    key: Option<ConnectionKey>,
    connection: Option<&Connection>,
) -> Diagnosis {
    let life = |of: fn(&Connection) -> Option<Duration>| {
        connection.and_then(of).map_or("none".to_owned(), |lifetime| format!("{} s", lifetime.as_secs()))
    };
    let ours = format!("{} and {}", life(|c| c.child.lifetime), life(|c| c.ike_lifetime));
    let after = after.map(|after| format!(" after {} s", after.as_secs())).unwrap_or_default();
    DELETED.by(Side::Remote, key, ours, format!("not told (Delete of the {what}{after})"))
}

fn nat_seen(of_peer: bool) -> &'static str {
    if of_peer {
        "NAT_DETECTION_SOURCE_IP is not of the address that its message came from"
    } else {
        "NAT_DETECTION_DESTINATION_IP is not of our address"
    }
}

fn identities(connection: Option<&Connection>) -> String {
    connection.map(|c| format!("local-id {}, remote-id {}", c.local_id, c.remote_id)).unwrap_or_default()
}

fn selector_names(connection: Option<&Connection>) -> String {
    let text = |c: &Connection| {
        format!("{} === {}", narrow::describe(&c.child.local_ts), narrow::describe(&c.child.remote_ts))
    };
    connection.map(text).unwrap_or_default()
}
