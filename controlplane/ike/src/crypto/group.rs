//! The key exchange methods we offer (transform type 4).

use serde::{Deserialize, Serialize};

use crate::wire::Transform;
use crate::wire::iana::KeId;

/// A Diffie-Hellman group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Group {
    Modp768,
    Modp1024,
    Modp1536,
    Modp2048,
    Modp3072,
    Modp4096,
    Ecp256,
    Ecp384,
    Ecp521,
    Curve25519,
}

impl Group {
    /// All of them, in the registry's order.
    pub const ALL: &'static [Self] = &[
        Self::Modp768,
        Self::Modp1024,
        Self::Modp1536,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::Ecp256,
        Self::Ecp384,
        Self::Ecp521,
        Self::Curve25519,
    ];

    /// The group of a transform ID, if we have it.
    pub fn from_id(id: KeId) -> Option<Self> {
        Self::ALL.iter().copied().find(|group| group.id() == id)
    }

    /// Its transform ID, also the number in the KE payload.
    pub fn id(self) -> KeId {
        match self {
            Self::Modp768 => KeId::MODP_768,
            Self::Modp1024 => KeId::MODP_1024,
            Self::Modp1536 => KeId::MODP_1536,
            Self::Modp2048 => KeId::MODP_2048,
            Self::Modp3072 => KeId::MODP_3072,
            Self::Modp4096 => KeId::MODP_4096,
            Self::Ecp256 => KeId::ECP_256,
            Self::Ecp384 => KeId::ECP_384,
            Self::Ecp521 => KeId::ECP_521,
            Self::Curve25519 => KeId::CURVE25519,
        }
    }

    /// As it is proposed.
    pub fn transform(self) -> Transform {
        Transform::ke(self.id())
    }

    /// Length of a public value on the wire, in bytes.
    ///
    /// MODP: the length of the prime (RFC 7296 section 3.4). ECP: x and y without a prefix byte
    /// (RFC 5903 section 7). Curve25519: 32 (RFC 8031 section 2).
    pub fn public_len(self) -> usize {
        match self {
            Self::Modp768 => 96,
            Self::Modp1024 => 128,
            Self::Modp1536 => 192,
            Self::Modp2048 => 256,
            Self::Modp3072 => 384,
            Self::Modp4096 => 512,
            Self::Ecp256 => 64,
            Self::Ecp384 => 96,
            Self::Ecp521 => 132,
            Self::Curve25519 => 32,
        }
    }

    /// Random bytes [`super::KeyExchange::new`] takes for a private key.
    ///
    /// MODP: the exponent, twice the upper strength estimate of RFC 3526 section 8 and at least 256 bits.
    /// ECP: 64 bits more than the order, so that reducing leaves no bias (FIPS 186-5 appendix A.2.1).
    pub fn random_len(self) -> usize {
        match self {
            Self::Modp768 | Self::Modp1024 | Self::Modp1536 | Self::Curve25519 => 32,
            Self::Modp2048 => 40,
            Self::Modp3072 => 53,
            Self::Modp4096 => 60,
            Self::Ecp256 => 40,
            Self::Ecp384 => 56,
            Self::Ecp521 => 74,
        }
    }
}
