//! Encryption algorithms of ESP: those of IKE messages, and some that only the data plane has.

use serde::{Deserialize, Serialize};

use super::encr::{AesBits, Encr};
use crate::wire::iana::EncrId;

/// An encryption algorithm of ESP: IKE negotiates it and derives its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EspEncr {
    /// One that protects IKE messages too.
    Common(Encr),
    /// AES in counter mode (RFC 3686).
    AesCtr(AesBits),
    /// AES-GCM with an 8-byte tag (RFC 4106).
    AesGcm8(AesBits),
    /// AES-GCM with a 12-byte tag (RFC 4106).
    AesGcm12(AesBits),
    /// AES-GMAC, which encrypts nothing (RFC 4543).
    AesGmac(AesBits),
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
}

/// Bytes at the end of the key that start each packet's nonce.
const SALT_LEN: usize = 4;

impl EspEncr {
    /// The algorithm of a transform, if we have it. The Key Length attribute is required for AES and forbidden
    /// where there is one length (RFC 7296 section 3.3.5, RFC 7634 section 4).
    pub fn from_transform(id: EncrId, key_bits: Option<u16>) -> Option<Self> {
        let aes = || AesBits::from_bits(key_bits);
        match id {
            EncrId::AES_CTR => aes().map(Self::AesCtr),
            EncrId::AES_GCM_8 => aes().map(Self::AesGcm8),
            EncrId::AES_GCM_12 => aes().map(Self::AesGcm12),
            EncrId::NULL_AUTH_AES_GMAC => aes().map(Self::AesGmac),
            EncrId::CHACHA20_POLY1305 => key_bits.is_none().then_some(Self::ChaCha20Poly1305),
            _ => Encr::from_transform(id, key_bits).map(Self::Common),
        }
    }

    /// Whether it authenticates too, so that no integrity algorithm goes with it.
    pub fn is_aead(self) -> bool {
        match self {
            Self::Common(encr) => encr.is_aead(),
            Self::AesCtr(_) => false,
            Self::AesGcm8(_) | Self::AesGcm12(_) | Self::AesGmac(_) | Self::ChaCha20Poly1305 => true,
        }
    }

    /// Bytes it takes from KEYMAT: the cipher key, and the salt of an AEAD or the nonce of counter mode after it
    /// (RFC 3686 section 5.1, RFC 4543 section 5.1, RFC 7634 section 2).
    pub fn key_len(self) -> usize {
        match self {
            Self::Common(encr) => encr.key_len(),
            Self::AesCtr(aes) | Self::AesGcm8(aes) | Self::AesGcm12(aes) | Self::AesGmac(aes) => {
                usize::from(aes.bits() / 8) + SALT_LEN
            }
            Self::ChaCha20Poly1305 => 32 + SALT_LEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_material_has_the_salt() {
        let len = |id, bits| EspEncr::from_transform(id, bits).map(EspEncr::key_len);
        assert_eq!(len(EncrId::CHACHA20_POLY1305, None), Some(36));
        assert_eq!(len(EncrId::AES_CTR, Some(192)), Some(28));
        assert_eq!(len(EncrId::NULL_AUTH_AES_GMAC, Some(256)), Some(36));
        assert_eq!(len(EncrId::AES_GCM_8, Some(128)), Some(20));
        assert_eq!(len(EncrId::AES_GCM_16, Some(128)), Some(20));
        assert_eq!(len(EncrId::AES_CBC, Some(128)), Some(16));
    }

    #[test]
    fn key_length_attributes_are_checked() {
        assert_eq!(EspEncr::from_transform(EncrId::CHACHA20_POLY1305, Some(256)), None);
        assert_eq!(EspEncr::from_transform(EncrId::AES_CTR, None), None);
        assert_eq!(EspEncr::from_transform(EncrId::AES_GCM_12, Some(64)), None);
        assert_eq!(EspEncr::from_transform(EncrId::NULL, None), None);
    }

    #[test]
    fn counter_mode_needs_integrity_and_the_others_have_it() {
        let aead = |id, bits| EspEncr::from_transform(id, bits).map(EspEncr::is_aead);
        assert_eq!(aead(EncrId::AES_CTR, Some(128)), Some(false));
        assert_eq!(aead(EncrId::NULL_AUTH_AES_GMAC, Some(128)), Some(true));
        assert_eq!(aead(EncrId::CHACHA20_POLY1305, None), Some(true));
    }
}
