//! The cryptography of IKEv2: algorithms, key exchange, key schedule, message protection.
//!
//! All of it is pure: random bytes (nonces, private keys, IVs) are arguments, so that the same seed replays
//! the same run. Everything secret is a [`Secret`], which is wiped when dropped and prints only its length.

mod auth;
mod curve;
mod encr;
mod esp_encr;
mod exchange;
mod fragment;
mod group;
mod integ;
mod modp;
mod prf;
mod protect;
mod schedule;
mod secret;
mod signature;

pub use auth::{nat_detection_hash, psk_auth, signed_octets, verify_psk_auth};
pub use encr::{AesBits, Encr};
pub use esp_encr::EspEncr;
pub use exchange::KeyExchange;
pub(crate) use fragment::Assembly;
pub use fragment::MAX_FRAGMENTS;
pub use group::Group;
pub use integ::Integ;
pub use prf::Prf;
pub(crate) use protect::Plain;
pub use protect::{OpenError, SkCipher};
pub use schedule::{ChildKeys, EspSuite, IkeKeys, IkeSpis, IkeSuite, Nonces};
pub use secret::Secret;
pub use signature::{ACCEPTED_HASHES, KeyKind, RsaPadding, SignatureError};
pub(crate) use signature::{PublicKey, SigningKey, decode_hashes, encode_hashes};

/// What can go wrong in a cryptographic operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// Too few or too many bytes of randomness, key or IV: our misuse.
    #[error("{what}: {have} bytes, {need} needed")]
    Size {
        /// What was passed.
        what: &'static str,
        /// Bytes needed.
        need: usize,
        /// Bytes passed.
        have: usize,
    },
    /// The peer's public value has the wrong length or is not an acceptable element of the group.
    #[error("public value of {0} is not acceptable")]
    PublicValue(crate::wire::iana::KeId),
    /// An encryption algorithm without its own integrity was paired with none, or the reverse.
    #[error("{0} with the wrong kind of integrity algorithm")]
    Suite(crate::wire::iana::EncrId),
    /// The payloads do not fit a message: our misuse.
    #[error(transparent)]
    Encode(#[from] crate::wire::EncodeError),
    /// The library refused what it must accept.
    #[error("{0} failed inside the library")]
    Library(&'static str),
}

impl CryptoError {
    fn size(what: &'static str, need: usize, bytes: &[u8]) -> Result<(), Self> {
        if bytes.len() == need {
            return Ok(());
        }
        Err(Self::Size { what, need, have: bytes.len() })
    }
}

#[cfg(test)]
mod tests;
