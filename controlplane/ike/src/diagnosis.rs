//! Why a negotiation failed: which parameter, both values, and what would mend it.

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

/// One failed negotiation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What went wrong.
    pub code: Code,
    /// Who found it.
    pub side: Side,
    /// The tunnel, where one is known.
    pub connection: Option<ConnectionKey>,
    /// The parameter, in the configuration's words.
    pub parameter: String,
    /// Our value.
    pub ours: String,
    /// The peer's value as it stood on the wire; empty where the peer did not say.
    pub theirs: String,
    /// Where the rule stands.
    pub rfc: String,
    /// What would mend it, here and at the peer.
    pub fix: String,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}: ours {}, peer's {}", self.code, self.parameter, self.ours, self.theirs)?;
        write!(f, " ({}); {}", self.rfc, self.fix)
    }
}
