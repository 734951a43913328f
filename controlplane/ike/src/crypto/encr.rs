//! Encryption algorithms (RFC 7296 section 3.3.2, transform type 1).

use aws_lc_rs::aead;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use serde::{Deserialize, Serialize};

use super::CryptoError;
use crate::wire::Transform;
use crate::wire::iana::EncrId;

/// Length of an AES key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum AesBits {
    Bits128,
    Bits192,
    Bits256,
}

impl AesBits {
    /// All of them, ascending.
    pub const ALL: [Self; 3] = [Self::Bits128, Self::Bits192, Self::Bits256];

    /// Of a Key Length attribute.
    pub(super) fn from_bits(key_bits: Option<u16>) -> Option<Self> {
        Self::ALL.into_iter().find(|aes| Some(aes.bits()) == key_bits)
    }

    /// In bits.
    pub fn bits(self) -> u16 {
        match self {
            Self::Bits128 => 128,
            Self::Bits192 => 192,
            Self::Bits256 => 256,
        }
    }
}

/// An encryption algorithm of IKE messages; ESP has more ([`EspEncr`](super::EspEncr)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Encr {
    /// DES in CBC mode (RFC 2405): broken, kept for old peers.
    Des,
    /// Triple DES in CBC mode (RFC 2451): weak, kept for old peers.
    TripleDes,
    /// AES in CBC mode (RFC 3602).
    AesCbc(AesBits),
    /// AES-GCM with a 16-byte tag (RFC 4106, RFC 5282).
    AesGcm16(AesBits),
}

impl Encr {
    /// The algorithm of a transform, if we have it.
    ///
    /// The Key Length attribute is required for AES and forbidden for DES and 3DES
    /// (RFC 7296 section 3.3.5).
    pub fn from_transform(id: EncrId, key_bits: Option<u16>) -> Option<Self> {
        let aes = || AesBits::from_bits(key_bits);
        match id {
            EncrId::DES => key_bits.is_none().then_some(Self::Des),
            EncrId::TRIPLE_DES => key_bits.is_none().then_some(Self::TripleDes),
            EncrId::AES_CBC => aes().map(Self::AesCbc),
            EncrId::AES_GCM_16 => aes().map(Self::AesGcm16),
            _ => None,
        }
    }

    /// Its transform ID.
    pub fn id(self) -> EncrId {
        match self {
            Self::Des => EncrId::DES,
            Self::TripleDes => EncrId::TRIPLE_DES,
            Self::AesCbc(_) => EncrId::AES_CBC,
            Self::AesGcm16(_) => EncrId::AES_GCM_16,
        }
    }

    /// Its Key Length attribute, in bits.
    pub fn key_bits(self) -> Option<u16> {
        match self {
            Self::Des | Self::TripleDes => None,
            Self::AesCbc(aes) | Self::AesGcm16(aes) => Some(aes.bits()),
        }
    }

    /// As it is proposed.
    pub fn transform(self) -> Transform {
        Transform::encr(self.id(), self.key_bits())
    }

    /// Whether it authenticates too, so that no integrity algorithm goes with it.
    pub fn is_aead(self) -> bool {
        matches!(self, Self::AesGcm16(_))
    }

    /// Bytes it takes from the key material: the cipher key and, for GCM, the salt after it.
    pub fn key_len(self) -> usize {
        match self {
            Self::Des => 8,
            Self::TripleDes => 24,
            Self::AesCbc(aes) => usize::from(aes.bits() / 8),
            Self::AesGcm16(aes) => usize::from(aes.bits() / 8) + GCM_SALT_LEN,
        }
    }

    /// Length of the IV on the wire, in bytes.
    pub fn iv_len(self) -> usize {
        match self {
            Self::Des | Self::TripleDes | Self::AesGcm16(_) => 8,
            Self::AesCbc(_) => 16,
        }
    }

    /// The plaintext must be a multiple of this, in bytes.
    pub fn block_len(self) -> usize {
        match self {
            Self::Des | Self::TripleDes => 8,
            Self::AesCbc(_) => 16,
            Self::AesGcm16(_) => 1,
        }
    }

    /// Length of the tag an AEAD appends, in bytes; zero for the others.
    pub fn tag_len(self) -> usize {
        if self.is_aead() { GCM_TAG_LEN } else { 0 }
    }

    /// Encrypts `text` in place; an AEAD appends its tag.
    pub(super) fn encrypt(
        self,
        key: &[u8],
        iv: &[u8],
        aad: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), CryptoError> {
        self.check(key, iv)?;
        match self {
            Self::Des => cbc_encrypt::<cbc::Encryptor<des::Des>>(key, iv, text),
            Self::TripleDes => cbc_encrypt::<cbc::Encryptor<des::TdesEde3>>(key, iv, text),
            Self::AesCbc(AesBits::Bits128) => cbc_encrypt::<cbc::Encryptor<aes::Aes128>>(key, iv, text),
            Self::AesCbc(AesBits::Bits192) => cbc_encrypt::<cbc::Encryptor<aes::Aes192>>(key, iv, text),
            Self::AesCbc(AesBits::Bits256) => cbc_encrypt::<cbc::Encryptor<aes::Aes256>>(key, iv, text),
            Self::AesGcm16(aes) => {
                let (key, nonce) = gcm(aes, key, iv)?;
                key.seal_in_place_append_tag(nonce, aead::Aad::from(aad), text)
                    .map_err(|_| CryptoError::Library("AES-GCM"))
            }
        }
    }

    /// Decrypts `text` in place. `Ok(None)` when it is not authentic (AEAD) or not whole blocks.
    pub(super) fn decrypt(
        self,
        key: &[u8],
        iv: &[u8],
        aad: &[u8],
        text: &mut [u8],
    ) -> Result<Option<usize>, CryptoError> {
        self.check(key, iv)?;
        Ok(match self {
            Self::Des => cbc_decrypt::<cbc::Decryptor<des::Des>>(key, iv, text),
            Self::TripleDes => cbc_decrypt::<cbc::Decryptor<des::TdesEde3>>(key, iv, text),
            Self::AesCbc(AesBits::Bits128) => cbc_decrypt::<cbc::Decryptor<aes::Aes128>>(key, iv, text),
            Self::AesCbc(AesBits::Bits192) => cbc_decrypt::<cbc::Decryptor<aes::Aes192>>(key, iv, text),
            Self::AesCbc(AesBits::Bits256) => cbc_decrypt::<cbc::Decryptor<aes::Aes256>>(key, iv, text),
            Self::AesGcm16(aes) => {
                let (key, nonce) = gcm(aes, key, iv)?;
                key.open_in_place(nonce, aead::Aad::from(aad), text).ok().map(|plain| plain.len())
            }
        })
    }

    fn check(self, key: &[u8], iv: &[u8]) -> Result<(), CryptoError> {
        CryptoError::size("encryption key", self.key_len(), key)?;
        CryptoError::size("IV", self.iv_len(), iv)
    }
}

const GCM_SALT_LEN: usize = 4;
const GCM_TAG_LEN: usize = 16;

/// The GCM key and nonce: the last four bytes of the key material are the salt, before the IV
/// (RFC 5282 section 4).
fn gcm(aes: AesBits, key: &[u8], iv: &[u8]) -> Result<(aead::LessSafeKey, aead::Nonce), CryptoError> {
    let failed = || CryptoError::Library("AES-GCM key");
    let algorithm = match aes {
        AesBits::Bits128 => &aead::AES_128_GCM,
        AesBits::Bits192 => &aead::AES_192_GCM,
        AesBits::Bits256 => &aead::AES_256_GCM,
    };
    let (key, salt) = key.split_last_chunk::<GCM_SALT_LEN>().ok_or_else(failed)?;
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[..GCM_SALT_LEN].copy_from_slice(salt);
    nonce[GCM_SALT_LEN..].copy_from_slice(iv);
    let key = aead::UnboundKey::new(algorithm, key).map_err(|_| failed())?;
    Ok((aead::LessSafeKey::new(key), aead::Nonce::assume_unique_for_key(nonce)))
}

fn cbc_encrypt<C: BlockModeEncrypt + KeyIvInit>(
    key: &[u8],
    iv: &[u8],
    text: &mut [u8],
) -> Result<(), CryptoError> {
    let len = text.len();
    let cipher = C::new_from_slices(key, iv).map_err(|_| CryptoError::Library("CBC key"))?;
    cipher.encrypt_padded::<NoPadding>(text, len).map_err(|_| CryptoError::Library("CBC"))?;
    Ok(())
}

fn cbc_decrypt<C: BlockModeDecrypt + KeyIvInit>(key: &[u8], iv: &[u8], text: &mut [u8]) -> Option<usize> {
    let cipher = C::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded::<NoPadding>(text).ok().map(|plain| plain.len())
}
