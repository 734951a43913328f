//! Why a peer's certificate is not the proof it should be.

use crate::wire::iana::CertEncoding;

/// What is wrong with the certificates a peer sent. `subject` is the certificate's it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no CERT payload with an X.509 certificate.
    #[error("no certificate")]
    Missing,
    /// The certificate is to be fetched, or in a form we do not read.
    #[error("a certificate as {0}")]
    Encoding(CertEncoding),
    /// It cannot be read, or its path breaks a rule that has no name of its own here.
    #[error("{subject}: {why}")]
    Invalid {
        /// Whose.
        subject: String,
        /// Which rule.
        why: String,
    },
    /// No path leads to a CA that is trusted.
    #[error("issued by {issuer}, which leads to no trusted CA")]
    UnknownCa {
        /// The CAs that are trusted.
        trusted: String,
        /// Who issued the last certificate that the peer sent.
        issuer: String,
    },
    /// A certificate of the path is past its end.
    #[error("expired at {until}")]
    Expired {
        /// Our clock.
        now: String,
        /// The end.
        until: String,
    },
    /// A certificate of the path is not valid yet.
    #[error("not valid before {from}")]
    NotYetValid {
        /// Our clock.
        now: String,
        /// The beginning.
        from: String,
    },
    /// A revocation list names a certificate of the path.
    #[error("{subject} is revoked")]
    Revoked {
        /// Whose.
        subject: String,
    },
    /// Strict checks, and no current revocation list of an issuer.
    #[error("no current revocation list for {subject}")]
    RevocationUnknown {
        /// Whose.
        subject: String,
    },
    /// It is not for authentication by IKE.
    #[error("{subject} is for {usage}")]
    Usage {
        /// Whose.
        subject: String,
        /// What it is for.
        usage: String,
    },
    /// It is for somebody else than who the peer says it is.
    #[error("the certificate is for {names}, not {id}")]
    Name {
        /// The identity.
        id: String,
        /// The identities of the certificate.
        names: String,
    },
}
