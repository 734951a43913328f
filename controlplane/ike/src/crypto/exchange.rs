//! One side of a Diffie-Hellman exchange.

use serde::{Deserialize, Serialize};

use super::{CryptoError, Group, Secret, curve, modp};
use crate::wire::KePayload;

/// Our half of an exchange: plain data, so that a snapshot of an IKE SA in flight can finish it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyExchange {
    group: Group,
    private: Secret,
    public: Vec<u8>,
}

impl KeyExchange {
    /// Makes a private key from `random` and its public value.
    ///
    /// # Errors
    /// When `random` is not [`Group::random_len`] bytes.
    pub fn new(group: Group, random: &[u8]) -> Result<Self, CryptoError> {
        CryptoError::size("random bytes for a private key", group.random_len(), random)?;
        let private = match group {
            Group::Modp768
            | Group::Modp1024
            | Group::Modp1536
            | Group::Modp2048
            | Group::Modp3072
            | Group::Modp4096 => modp::private(random),
            Group::Ecp256 | Group::Ecp384 | Group::Ecp521 | Group::Curve25519 => {
                curve::private(group, random)?
            }
        };
        Self::from_private(group, private)
    }

    /// The exchange with a private key in its own form.
    pub(super) fn from_private(group: Group, private: Secret) -> Result<Self, CryptoError> {
        let public = match modp::Modulus::of(group) {
            Some(modulus) => modulus.public(&private),
            None => curve::public(group, &private)?,
        };
        Ok(Self { group, private, public })
    }

    /// The group.
    pub fn group(&self) -> Group {
        self.group
    }

    /// Our public value, as it goes into the KE payload.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The KE payload that carries our public value.
    pub fn payload(&self) -> KePayload {
        KePayload { group: self.group.id(), data: self.public.clone() }
    }

    /// The shared secret g^ir, as the key schedule takes it (RFC 7296 section 2.14, RFC 5903 section 7).
    ///
    /// # Errors
    /// [`CryptoError::PublicValue`] when the peer's value has the wrong length, is 0, 1, p-1 or above
    /// (RFC 6989 section 2.1), is not on the curve (section 2.3), or gives the all-zero secret
    /// (RFC 7748 section 6.1).
    pub fn agree(&self, peer_public: &[u8]) -> Result<Secret, CryptoError> {
        if peer_public.len() != self.group.public_len() {
            return Err(CryptoError::PublicValue(self.group.id()));
        }
        let shared = match modp::Modulus::of(self.group) {
            Some(modulus) => modulus.agree(&self.private, peer_public),
            None => curve::agree(self.group, &self.private, peer_public),
        };
        shared.ok_or(CryptoError::PublicValue(self.group.id()))
    }
}
