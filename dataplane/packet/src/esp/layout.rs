//! Sizes: what ESP adds to a packet, computed once per SA.

use super::{ESP_HEADER_LEN, ESP_TRAILER_LEN};

/// The transforms of a CHILD_SA by their IANA IKEv2 numbers, as they cross the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct TransformIds {
    /// Encryption algorithm (transform type 1).
    pub encryption: u16,
    /// Its key length in bits; 0 where the algorithm has one length.
    pub key_bits: u16,
    /// Integrity algorithm (transform type 3); 0 with a combined-mode cipher.
    pub integrity: u16,
}

/// How confidentiality and integrity are combined.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CipherKind {
    /// A combined-mode cipher with an 8-byte counter as explicit IV: AES-GCM (RFC 4106), AES-GMAC (RFC 4543),
    /// ChaCha20-Poly1305 (RFC 7634).
    Aead,
    /// Counter mode with an 8-byte counter as explicit IV (RFC 3686), then a MAC over everything.
    CounterThenMac,
    /// CBC with an unpredictable IV, or NULL, then a MAC over everything.
    EncryptThenMac,
}

/// Sizes of a suite, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct EspGeometry {
    /// How the explicit IV is made and what is authenticated.
    pub kind: CipherKind,
    /// Explicit IV.
    pub iv_len: u8,
    /// What the encrypted part is a multiple of: the cipher's block, at least 4 (RFC 4303 section 2.4).
    pub align: u8,
    /// Integrity check value.
    pub icv_len: u8,
}

/// Why transforms are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    #[error("encryption transform {id} with {key_bits} key bits is not supported")]
    Encryption { id: u16, key_bits: u16 },
    #[error("integrity transform {id} is not supported with encryption transform {encryption}")]
    Integrity { id: u16, encryption: u16 },
}

impl EspGeometry {
    /// The sizes of a suite we support; key bits 0 stand for the only length of DES, 3DES, NULL and ChaCha20.
    pub fn new(ids: TransformIds) -> Result<Self, SuiteError> {
        let TransformIds { encryption, key_bits, integrity } = ids;
        let unsupported = SuiteError::Encryption { id: encryption, key_bits };
        let (kind, iv_len, align) = match (encryption, key_bits) {
            (18..=21, 128 | 192 | 256) | (28, 0 | 256) => (CipherKind::Aead, 8, 4),
            (13, 128 | 192 | 256) => (CipherKind::CounterThenMac, 8, 4),
            (12, 128 | 192 | 256) => (CipherKind::EncryptThenMac, 16, 16),
            (3, 0 | 192) | (2, 0 | 64) => (CipherKind::EncryptThenMac, 8, 8),
            (11, 0) => (CipherKind::EncryptThenMac, 0, 4),
            _ => return Err(unsupported),
        };
        let icv_len = match (kind == CipherKind::Aead, integrity) {
            (true, 0) if encryption == 18 => 8,  // AES-GCM-8
            (true, 0) if encryption == 19 => 12, // AES-GCM-12
            (true, 0) => 16,
            (false, 1 | 2) => 12, // HMAC-MD5-96, HMAC-SHA1-96
            (false, 12) => 16,    // HMAC-SHA2-256-128
            (false, 13) => 24,    // HMAC-SHA2-384-192
            (false, 14) => 32,    // HMAC-SHA2-512-256
            _ => return Err(SuiteError::Integrity { id: integrity, encryption }),
        };
        Ok(Self { kind, iv_len, align, icv_len })
    }
}

/// Sizes of an SA: a suite behind an outer header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct EspLayout {
    /// Outer IP header and UDP header, bytes: 20, 28, 40 or 48.
    pub outer_len: u8,
    /// The suite.
    pub geometry: EspGeometry,
}

impl EspLayout {
    /// Bytes in front of the inner packet.
    #[inline]
    #[must_use]
    pub fn headroom(&self) -> usize {
        usize::from(self.outer_len) + ESP_HEADER_LEN + usize::from(self.geometry.iv_len)
    }

    /// Padding bytes of an inner packet of `inner_len` bytes.
    #[inline]
    #[must_use]
    pub fn pad_len(&self, inner_len: usize) -> usize {
        (inner_len + ESP_TRAILER_LEN).wrapping_neg() & (usize::from(self.geometry.align) - 1)
    }

    /// Bytes behind an inner packet of `inner_len` bytes: padding, trailer, tag.
    #[inline]
    #[must_use]
    pub fn tailroom(&self, inner_len: usize) -> usize {
        self.pad_len(inner_len) + ESP_TRAILER_LEN + usize::from(self.geometry.icv_len)
    }

    /// The length of the whole outer packet.
    #[inline]
    #[must_use]
    pub fn sealed_len(&self, inner_len: usize) -> usize {
        self.headroom() + inner_len + self.tailroom(inner_len)
    }

    /// The largest inner packet whose outer packet fits `mtu`; 0 if none does.
    #[must_use]
    pub fn inner_mtu(&self, mtu: u16) -> u16 {
        let fixed = self.headroom() + usize::from(self.geometry.icv_len);
        let align = usize::from(self.geometry.align);
        let cipher = usize::from(mtu).saturating_sub(fixed) / align * align;
        u16::try_from(cipher.saturating_sub(ESP_TRAILER_LEN)).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(encryption: u16, key_bits: u16, integrity: u16, outer_len: u8) -> EspLayout {
        let ids = TransformIds { encryption, key_bits, integrity };
        EspLayout { outer_len, geometry: EspGeometry::new(ids).expect("a suite") }
    }

    #[test]
    fn gcm_overhead_is_that_of_rfc_4106() {
        let gcm = layout(20, 128, 0, 20);
        assert_eq!((gcm.headroom(), gcm.pad_len(20), gcm.tailroom(20)), (36, 2, 20));
        assert_eq!(gcm.sealed_len(1400), 1400 + 36 + 2 + 2 + 16 - 2 + 2);
        assert_eq!(gcm.inner_mtu(1500), 1446);
    }

    #[test]
    fn the_inner_mtu_is_exact() {
        let suites = [(20, 256, 0), (12, 128, 2), (12, 256, 14), (3, 0, 1), (2, 0, 1), (11, 0, 13)]
            .into_iter()
            .chain([(18, 128, 0), (19, 192, 0), (21, 256, 0), (28, 0, 0), (13, 128, 12)]);
        for (encryption, key_bits, integrity) in suites {
            for outer in [20, 28, 40, 48] {
                let layout = layout(encryption, key_bits, integrity, outer);
                for mtu in 576..1600u16 {
                    let inner = usize::from(layout.inner_mtu(mtu));
                    assert!(layout.sealed_len(inner) <= usize::from(mtu));
                    assert!(layout.sealed_len(inner + 1) > usize::from(mtu));
                }
                assert_eq!(layout.inner_mtu(30), 0);
            }
        }
    }

    #[test]
    fn refuses_what_it_cannot_size() {
        let new = |encryption, key_bits, integrity| {
            EspGeometry::new(TransformIds { encryption, key_bits, integrity })
        };
        assert!(matches!(new(12, 0, 2), Err(SuiteError::Encryption { .. })));
        assert!(matches!(new(20, 128, 2), Err(SuiteError::Integrity { .. })));
        assert!(matches!(new(12, 128, 0), Err(SuiteError::Integrity { .. })));
        assert!(matches!(new(13, 128, 0), Err(SuiteError::Integrity { .. })));
        assert!(matches!(new(28, 128, 0), Err(SuiteError::Encryption { .. })));
    }
}
