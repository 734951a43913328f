//! What can be wrong with a message.

use super::iana::{NotifyType, PayloadType};

/// Why bytes are not an IKEv2 message. All of these are the peer's fault (or a stranger's).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the structure needs.
    #[error("{what}: {have} bytes, at least {need} needed")]
    Truncated {
        /// The structure being read.
        what: &'static str,
        /// Bytes it needs.
        need: usize,
        /// Bytes there were.
        have: usize,
    },
    /// A length field disagrees with the bytes around it.
    #[error("{what}: length field says {claimed}, {actual} bytes are there")]
    Length {
        /// The structure whose length field it is.
        what: &'static str,
        /// The value of the field.
        claimed: usize,
        /// What the surroundings allow.
        actual: usize,
    },
    /// Bytes follow where the structure ends.
    #[error("{what}: {extra} bytes too many")]
    Trailing {
        /// The structure that ended.
        what: &'static str,
        /// Bytes after its end.
        extra: usize,
    },
    /// A field has a value the RFC forbids.
    #[error("{what}: {value} is not allowed")]
    Value {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// More elements than we are willing to read.
    #[error("{what}: more than {limit}")]
    TooMany {
        /// The elements.
        what: &'static str,
        /// Our limit.
        limit: usize,
    },
    /// The message is not of major version 2 (RFC 7296 section 2.5).
    #[error("IKE version {major}.{minor}")]
    UnsupportedVersion {
        /// Major version on the wire.
        major: u8,
        /// Minor version on the wire.
        minor: u8,
    },
    /// An unknown payload carries the critical bit (RFC 7296 section 2.5).
    #[error("critical payload of unknown type {}", .0.0)]
    UnsupportedCriticalPayload(PayloadType),
    /// A payload that may stand only once in a message was repeated.
    #[error("payload {0} is repeated")]
    DuplicatePayload(PayloadType),
    /// A payload stands where it must not, such as an encrypted one inside an encrypted one.
    #[error("payload {0} is out of place")]
    MisplacedPayload(PayloadType),
}

impl DecodeError {
    /// The error notification that answers this, with its data (RFC 7296 section 3.10.1).
    ///
    /// Whether it may be sent at all (protected, or at most rate limited) is the caller's decision
    /// (RFC 7296 section 2.21).
    pub fn notification(&self) -> (NotifyType, Vec<u8>) {
        match self {
            Self::UnsupportedCriticalPayload(kind) => {
                (NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, vec![kind.0])
            }
            Self::UnsupportedVersion { .. } => (NotifyType::INVALID_MAJOR_VERSION, Vec::new()),
            Self::Truncated { .. }
            | Self::Length { .. }
            | Self::Trailing { .. }
            | Self::Value { .. }
            | Self::TooMany { .. }
            | Self::DuplicatePayload(_)
            | Self::MisplacedPayload(_) => (NotifyType::INVALID_SYNTAX, Vec::new()),
        }
    }
}

/// Why a message cannot be written. Always our own misuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A part does not fit its length or count field.
    #[error("{what}: {size} does not fit, at most {limit}")]
    TooLong {
        /// The part.
        what: &'static str,
        /// Its size in bytes, or its number of elements.
        size: usize,
        /// What its field can hold.
        limit: usize,
    },
}
