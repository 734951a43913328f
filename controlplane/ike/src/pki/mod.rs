//! Certificates as proof of identity: names, chains, revocation (RFC 5280, RFC 4945).
//!
//! Paths are built and checked by webpki; what IKE asks beyond that (which names a certificate must hold, its
//! key usage, which extended key usages do) is here. Everything a peer sends is hostile: sizes and counts are
//! bounded before anything is parsed, and the search for a path has a budget of its own.

mod certificate;
mod credential;
mod name;
mod refusal;
mod trust;

pub use certificate::{Certificate, date};
pub use credential::Credential;
pub use name::{DistinguishedName, NameError};
pub use refusal::Refusal;
pub use trust::Trust;
pub(crate) use trust::{Shown, certificate_request};

/// Longest certificate that is read, bytes.
pub const MAX_CERTIFICATE_LEN: usize = 16 << 10;
/// Most certificates of a peer that are looked at: its own and intermediates.
pub const MAX_CERTIFICATES: usize = 10;

/// Why configured certificates, keys or revocation lists cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PkiError {
    /// Not a certificate, or one of a kind that we do not have.
    #[error("certificate {index}: {why}")]
    Certificate {
        /// Which one of the list, from 1.
        index: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The list is empty.
    #[error("there is no certificate")]
    Empty,
    /// The private key cannot be read, or is of another kind than the certificate's.
    #[error("not an unencrypted PKCS#8 key of the certificate's kind ({0})")]
    Key(crate::crypto::KeyKind),
    /// The private key is that of another certificate.
    #[error("the private key is not that of the certificate {0}")]
    KeyMismatch(String),
    /// A certificate that shall be trusted is not one of a CA.
    #[error("{0} is not the certificate of a CA")]
    NotCa(String),
    /// Not a revocation list, or one of a kind that we do not have.
    #[error("revocation list {index}: {why}")]
    RevocationList {
        /// Which one of the list, from 1.
        index: usize,
        /// What is wrong with it.
        why: String,
    },
}

#[cfg(test)]
mod tests;
