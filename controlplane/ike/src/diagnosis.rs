//! Why a negotiation failed: which parameter, both values, and what would mend it on either side.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::config::ConnectionKey;

/// What went wrong. Codes of requirements.md section 15 where one applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Code {
    /// No connection fits the peer's addresses and identities.
    PeerMismatch,
    /// No common proposal; the transform types all fit somewhere, but not together.
    ProposalMismatch,
    /// No common encryption algorithm.
    EncryptionAlgorithmMismatch,
    /// No common integrity algorithm or pseudorandom function.
    AuthenticationAlgorithmMismatch,
    /// No common Diffie-Hellman group for the IKE SA.
    DhGroupMismatch,
    /// No common Diffie-Hellman group for the CHILD_SA, or one side wants none.
    PfsMismatch,
    /// Extended sequence numbers: one side insists, the other refuses.
    EsnMismatch,
    /// The shared secrets differ.
    PskMismatch,
    /// An identity is not the one expected.
    PeerIdMismatch,
    /// The peer rejected our authentication without saying why.
    AuthenticationFailed,
    /// The peer proves itself by a method we do not accept.
    AuthenticationMethodMismatch,
    /// The peer sent no certificate, or one that cannot be read.
    CertificateInvalid,
    /// A certificate of the peer is past its end, or not valid yet.
    CertificateExpired,
    /// No path leads from the peer's certificate to a CA that we trust.
    CertificateUnknownCa,
    /// A certificate of the peer was revoked, or nobody can tell.
    CertificateRevoked,
    /// The peer's certificate is for another identity.
    CertificateNameMismatch,
    /// The peer's certificate is not for authentication by IKE.
    CertificateUsage,
    /// The signature is not of the key in the peer's certificate.
    SignatureInvalid,
    /// No signature or hash algorithm that both sides have.
    SignatureAlgorithmMismatch,
    /// No packet would fit both sides' traffic selectors.
    TrafficSelectorMismatch,
    /// The peer speaks another major version.
    IkeVersionMismatch,
    /// There is a NAT, or the peer says so, and one side does not care for it.
    NatTMismatch,
    /// The peer asked for transport mode only.
    EncapsulationModeMismatch,
    /// The peer asked for AH.
    SecurityProtocolMismatch,
    /// No answer to IKE_SA_INIT.
    NoResponse,
    /// No answer to IKE_AUTH.
    Phase1NegotiationTimeout,
    /// No answer to CREATE_CHILD_SA.
    Phase2NegotiationTimeout,
    /// A peer that was there no longer answers.
    DpdTimeout,
    /// The peer deleted the SA.
    ReceiveDeleteNotify,
    /// The peer's message breaks the protocol.
    MalformedMessage,
    /// The data plane refused or did not answer.
    DataPlaneFailed,
    /// Any other error notification.
    NegotiationFailed,
}

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// We did, because of what the peer sent.
    Local,
    /// The peer did, because of what we sent.
    Remote,
}

impl Code {
    /// Whether the tunnel comes up in spite of it.
    pub fn is_half_failure(self) -> bool {
        matches!(self, Self::NatTMismatch)
    }
}

/// How sure it is that the parameter is the cause. What is said before IKE_AUTH is not authenticated: there it
/// is how sure it would be if the message came from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Confidence {
    /// What was seen has several causes; the parameter names those to look at first.
    Possible,
    /// The peer named the parameter or its proof shows it, but its value is not on the wire, or in rare cases
    /// another cause looks the same.
    Likely,
    /// Both values were seen, and no negotiation can succeed with them.
    Certain,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        })
    }
}

/// Most bytes of a text in a record: what a peer sends may be long.
pub(crate) const MAX_TEXT: usize = 480;

/// One failed negotiation. No text is longer than 480 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What went wrong.
    pub code: Code,
    /// Who found it.
    pub side: Side,
    /// The tunnel, where one is known.
    pub connection: Option<ConnectionKey>,
    /// How sure it is.
    pub confidence: Confidence,
    /// The parameter, in the configuration's words.
    pub parameter: String,
    /// Our value.
    pub ours: String,
    /// The peer's value as it stood on the wire; where it did not, `not told`, and what the peer said instead.
    pub theirs: String,
    /// Where the rule stands.
    pub rfc: String,
    /// The change here that would mend it, in the configuration's words.
    pub fix_here: String,
    /// The change at the peer that would mend it.
    pub fix_there: String,
}

impl Diagnosis {
    /// No text longer than [`MAX_TEXT`].
    pub(crate) fn bounded(mut self) -> Self {
        let Self { parameter, ours, theirs, rfc, fix_here, fix_there, .. } = &mut self;
        for text in [parameter, ours, theirs, rfc, fix_here, fix_there] {
            if text.len() > MAX_TEXT {
                text.truncate(text.floor_char_boundary(MAX_TEXT - 3));
                text.push_str("...");
            }
        }
        self
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, confidence, parameter, ours, theirs, rfc, fix_here, fix_there, .. } = self;
        write!(f, "{code:?} ({confidence}): {parameter}: ours {ours}, peer's {theirs} ({rfc}); ")?;
        write!(f, "here: {fix_here}; at the peer: {fix_there}")
    }
}
