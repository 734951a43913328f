//! What an SA is protected with, by IANA's "IKEv2 Transform" numbers.

use std::fmt;

/// Encryption (transform type 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// DES in CBC mode (RFC 2405): for old peers only.
    Des,
    /// Triple DES in CBC mode, three keys (RFC 2451).
    TripleDes,
    /// No encryption (RFC 2410).
    Null,
    /// AES-128 in CBC mode (RFC 3602).
    AesCbc128,
    /// AES-192 in CBC mode.
    AesCbc192,
    /// AES-256 in CBC mode.
    AesCbc256,
    /// AES-128 in Galois/counter mode with a 16-byte tag (RFC 4106).
    AesGcm128,
    /// AES-192 in Galois/counter mode.
    AesGcm192,
    /// AES-256 in Galois/counter mode.
    AesGcm256,
    /// AES-128 in counter mode (RFC 3686).
    AesCtr128,
    /// AES-192 in counter mode.
    AesCtr192,
    /// AES-256 in counter mode.
    AesCtr256,
    /// AES-128 in Galois/counter mode with an 8-byte tag (RFC 4106).
    AesGcm8Of128,
    /// AES-192 in Galois/counter mode with an 8-byte tag.
    AesGcm8Of192,
    /// AES-256 in Galois/counter mode with an 8-byte tag.
    AesGcm8Of256,
    /// AES-128 in Galois/counter mode with a 12-byte tag.
    AesGcm12Of128,
    /// AES-192 in Galois/counter mode with a 12-byte tag.
    AesGcm12Of192,
    /// AES-256 in Galois/counter mode with a 12-byte tag.
    AesGcm12Of256,
    /// AES-128 GMAC: authenticates and does not encrypt (RFC 4543).
    AesGmac128,
    /// AES-192 GMAC.
    AesGmac192,
    /// AES-256 GMAC.
    AesGmac256,
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
}

/// How a cipher works, whatever its key length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// No encryption.
    Null,
    /// Cipher block chaining.
    Cbc,
    /// Counter mode: a stream, with a nonce, an explicit IV and a block counter.
    Ctr,
    /// Encrypts and authenticates, with SPI and sequence number beside.
    Aead,
    /// Authenticates as an AEAD does, and encrypts nothing.
    Gmac,
}

/// Integrity of a suite without an AEAD (transform type 3): an HMAC, truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// HMAC-MD5-96 (RFC 2403).
    HmacMd5,
    /// HMAC-SHA1-96 (RFC 2404).
    HmacSha1,
    /// HMAC-SHA2-256-128 (RFC 4868).
    HmacSha256,
    /// HMAC-SHA2-384-192.
    HmacSha384,
    /// HMAC-SHA2-512-256.
    HmacSha512,
}

/// A valid pair: an AEAD alone, or a cipher with an integrity algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Suite {
    cipher: Cipher,
    integrity: Option<Integrity>,
}

/// The transforms do not make a suite that we have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no ESP suite for encryption {encryption} with {key_bits} key bits and integrity {integrity}")]
pub struct UnsupportedSuite {
    /// Encryption algorithm.
    pub encryption: u16,
    /// Key length attribute, bits; 0 where absent.
    pub key_bits: u16,
    /// Integrity algorithm; 0 for none.
    pub integrity: u16,
}

/// Bytes of the part of a nonce that belongs to the key (RFC 4106 section 4, RFC 3686 section 4).
const SALT: usize = 4;

impl Cipher {
    /// Every cipher.
    pub const ALL: [Cipher; 22] = [
        Cipher::Des,
        Cipher::TripleDes,
        Cipher::Null,
        Cipher::AesCbc128,
        Cipher::AesCbc192,
        Cipher::AesCbc256,
        Cipher::AesGcm128,
        Cipher::AesGcm192,
        Cipher::AesGcm256,
        Cipher::AesCtr128,
        Cipher::AesCtr192,
        Cipher::AesCtr256,
        Cipher::AesGcm8Of128,
        Cipher::AesGcm8Of192,
        Cipher::AesGcm8Of256,
        Cipher::AesGcm12Of128,
        Cipher::AesGcm12Of192,
        Cipher::AesGcm12Of256,
        Cipher::AesGmac128,
        Cipher::AesGmac192,
        Cipher::AesGmac256,
        Cipher::ChaCha20Poly1305,
    ];

    /// By transform ID and key length attribute; a cipher of one length may leave it 0.
    #[must_use]
    pub const fn from_transform(id: u16, key_bits: u16) -> Option<Cipher> {
        Some(match (id, key_bits) {
            (2, 0 | 64) => Cipher::Des,
            (3, 0 | 192) => Cipher::TripleDes,
            (11, 0) => Cipher::Null,
            (12, 128) => Cipher::AesCbc128,
            (12, 192) => Cipher::AesCbc192,
            (12, 256) => Cipher::AesCbc256,
            (20, 128) => Cipher::AesGcm128,
            (20, 192) => Cipher::AesGcm192,
            (20, 256) => Cipher::AesGcm256,
            (13, 128) => Cipher::AesCtr128,
            (13, 192) => Cipher::AesCtr192,
            (13, 256) => Cipher::AesCtr256,
            (18, 128) => Cipher::AesGcm8Of128,
            (18, 192) => Cipher::AesGcm8Of192,
            (18, 256) => Cipher::AesGcm8Of256,
            (19, 128) => Cipher::AesGcm12Of128,
            (19, 192) => Cipher::AesGcm12Of192,
            (19, 256) => Cipher::AesGcm12Of256,
            (21, 128) => Cipher::AesGmac128,
            (21, 192) => Cipher::AesGmac192,
            (21, 256) => Cipher::AesGmac256,
            (28, 0 | 256) => Cipher::ChaCha20Poly1305,
            _ => return None,
        })
    }

    /// Transform ID and key length attribute, 0 where the cipher has one length.
    #[must_use]
    pub const fn transform(self) -> (u16, u16) {
        match self {
            Cipher::Des => (2, 0),
            Cipher::TripleDes => (3, 0),
            Cipher::Null => (11, 0),
            Cipher::AesCbc128 => (12, 128),
            Cipher::AesCbc192 => (12, 192),
            Cipher::AesCbc256 => (12, 256),
            Cipher::AesGcm128 => (20, 128),
            Cipher::AesGcm192 => (20, 192),
            Cipher::AesGcm256 => (20, 256),
            Cipher::AesCtr128 => (13, 128),
            Cipher::AesCtr192 => (13, 192),
            Cipher::AesCtr256 => (13, 256),
            Cipher::AesGcm8Of128 => (18, 128),
            Cipher::AesGcm8Of192 => (18, 192),
            Cipher::AesGcm8Of256 => (18, 256),
            Cipher::AesGcm12Of128 => (19, 128),
            Cipher::AesGcm12Of192 => (19, 192),
            Cipher::AesGcm12Of256 => (19, 256),
            Cipher::AesGmac128 => (21, 128),
            Cipher::AesGmac192 => (21, 192),
            Cipher::AesGmac256 => (21, 256),
            Cipher::ChaCha20Poly1305 => (28, 0),
        }
    }

    pub(crate) const fn mode(self) -> Mode {
        match self {
            Cipher::Null => Mode::Null,
            Cipher::Des | Cipher::TripleDes | Cipher::AesCbc128 | Cipher::AesCbc192 | Cipher::AesCbc256 => {
                Mode::Cbc
            }
            Cipher::AesCtr128 | Cipher::AesCtr192 | Cipher::AesCtr256 => Mode::Ctr,
            Cipher::AesGmac128 | Cipher::AesGmac192 | Cipher::AesGmac256 => Mode::Gmac,
            Cipher::AesGcm128
            | Cipher::AesGcm192
            | Cipher::AesGcm256
            | Cipher::AesGcm8Of128
            | Cipher::AesGcm8Of192
            | Cipher::AesGcm8Of256
            | Cipher::AesGcm12Of128
            | Cipher::AesGcm12Of192
            | Cipher::AesGcm12Of256
            | Cipher::ChaCha20Poly1305 => Mode::Aead,
        }
    }

    /// Whether the cipher authenticates by itself.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(self.mode(), Mode::Aead | Mode::Gmac)
    }

    /// Bytes of the key proper, without a salt.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match (self, self.transform()) {
            (Cipher::Null, _) => 0,
            (Cipher::Des, _) => 8,
            (Cipher::TripleDes, _) => 24,
            (Cipher::ChaCha20Poly1305, _) => 32,
            (_, (_, key_bits)) => key_bits as usize / 8,
        }
    }

    /// Bytes of salt that follow the key in the key material.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self.mode() {
            Mode::Ctr | Mode::Aead | Mode::Gmac => SALT,
            Mode::Null | Mode::Cbc => 0,
        }
    }

    /// Bytes of explicit IV in each packet.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self.mode() {
            Mode::Null => 0,
            Mode::Cbc => self.block_len(),
            Mode::Ctr | Mode::Aead | Mode::Gmac => 8,
        }
    }

    /// What the encrypted part is a multiple of, bytes; 1 for a stream.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Cipher::Des | Cipher::TripleDes => 8,
            Cipher::AesCbc128 | Cipher::AesCbc192 | Cipher::AesCbc256 => 16,
            _ => 1,
        }
    }

    /// Bytes of the tag of an AEAD; 0 for a cipher that needs a MAC beside it.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self.transform() {
            (18, _) => 8,
            (19, _) => 12,
            _ if self.is_aead() => 16,
            _ => 0,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Cipher::Des => "DES-CBC",
            Cipher::TripleDes => "3DES-CBC",
            Cipher::Null => "NULL",
            Cipher::AesCbc128 => "AES-CBC-128",
            Cipher::AesCbc192 => "AES-CBC-192",
            Cipher::AesCbc256 => "AES-CBC-256",
            Cipher::AesGcm128 => "AES-GCM-16-128",
            Cipher::AesGcm192 => "AES-GCM-16-192",
            Cipher::AesGcm256 => "AES-GCM-16-256",
            Cipher::AesCtr128 => "AES-CTR-128",
            Cipher::AesCtr192 => "AES-CTR-192",
            Cipher::AesCtr256 => "AES-CTR-256",
            Cipher::AesGcm8Of128 => "AES-GCM-8-128",
            Cipher::AesGcm8Of192 => "AES-GCM-8-192",
            Cipher::AesGcm8Of256 => "AES-GCM-8-256",
            Cipher::AesGcm12Of128 => "AES-GCM-12-128",
            Cipher::AesGcm12Of192 => "AES-GCM-12-192",
            Cipher::AesGcm12Of256 => "AES-GCM-12-256",
            Cipher::AesGmac128 => "AES-GMAC-128",
            Cipher::AesGmac192 => "AES-GMAC-192",
            Cipher::AesGmac256 => "AES-GMAC-256",
            Cipher::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        }
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Integrity {
    /// Every integrity algorithm.
    pub const ALL: [Integrity; 5] = [
        Integrity::HmacMd5,
        Integrity::HmacSha1,
        Integrity::HmacSha256,
        Integrity::HmacSha384,
        Integrity::HmacSha512,
    ];

    /// By transform ID.
    #[must_use]
    pub const fn from_transform(id: u16) -> Option<Integrity> {
        Some(match id {
            1 => Integrity::HmacMd5,
            2 => Integrity::HmacSha1,
            12 => Integrity::HmacSha256,
            13 => Integrity::HmacSha384,
            14 => Integrity::HmacSha512,
            _ => return None,
        })
    }

    /// Transform ID.
    #[must_use]
    pub const fn transform(self) -> u16 {
        match self {
            Integrity::HmacMd5 => 1,
            Integrity::HmacSha1 => 2,
            Integrity::HmacSha256 => 12,
            Integrity::HmacSha384 => 13,
            Integrity::HmacSha512 => 14,
        }
    }

    /// Bytes of key: the length of the hash.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Integrity::HmacMd5 => 16,
            Integrity::HmacSha1 => 20,
            Integrity::HmacSha256 => 32,
            Integrity::HmacSha384 => 48,
            Integrity::HmacSha512 => 64,
        }
    }

    /// Bytes of the truncated tag.
    #[must_use]
    pub const fn icv_len(self) -> usize {
        match self {
            Integrity::HmacMd5 | Integrity::HmacSha1 => 12,
            Integrity::HmacSha256 => 16,
            Integrity::HmacSha384 => 24,
            Integrity::HmacSha512 => 32,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Integrity::HmacMd5 => "HMAC-MD5-96",
            Integrity::HmacSha1 => "HMAC-SHA1-96",
            Integrity::HmacSha256 => "HMAC-SHA2-256-128",
            Integrity::HmacSha384 => "HMAC-SHA2-384-192",
            Integrity::HmacSha512 => "HMAC-SHA2-512-256",
        }
    }
}

impl Suite {
    /// An AEAD needs `None`, every other cipher an integrity algorithm (RFC 4303 section 3.2:
    /// encryption alone is not offered).
    #[must_use]
    pub const fn new(cipher: Cipher, integrity: Option<Integrity>) -> Option<Suite> {
        if cipher.is_aead() == integrity.is_none() { Some(Suite { cipher, integrity }) } else { None }
    }

    /// The suite of these transforms; `integrity` is 0 with an AEAD.
    ///
    /// # Errors
    ///
    /// [`UnsupportedSuite`] for an unknown transform or a pair that does not go together.
    pub fn from_transforms(
        encryption: u16,
        key_bits: u16,
        integrity: u16,
    ) -> Result<Suite, UnsupportedSuite> {
        let unsupported = UnsupportedSuite { encryption, key_bits, integrity };
        let cipher = Cipher::from_transform(encryption, key_bits).ok_or(unsupported)?;
        let mac = match integrity {
            0 => None,
            id => Some(Integrity::from_transform(id).ok_or(unsupported)?),
        };
        Suite::new(cipher, mac).ok_or(unsupported)
    }

    /// Every suite there is.
    pub fn all() -> impl Iterator<Item = Suite> {
        Cipher::ALL.into_iter().flat_map(|cipher| {
            let macs = Integrity::ALL.into_iter().map(Some).chain([None]);
            macs.filter_map(move |mac| Suite::new(cipher, mac))
        })
    }

    /// The cipher.
    #[must_use]
    pub const fn cipher(self) -> Cipher {
        self.cipher
    }

    /// The integrity algorithm; none with an AEAD.
    #[must_use]
    pub const fn integrity(self) -> Option<Integrity> {
        self.integrity
    }

    /// Whether cipher and authentication are one algorithm.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        self.cipher.is_aead()
    }

    /// Bytes of explicit IV in each packet.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        self.cipher.iv_len()
    }

    /// What the encrypted part is a multiple of, bytes (ESP itself asks for 4 besides).
    #[must_use]
    pub const fn block_len(self) -> usize {
        self.cipher.block_len()
    }

    /// Bytes of integrity check value.
    #[must_use]
    pub const fn icv_len(self) -> usize {
        match self.integrity {
            Some(mac) => mac.icv_len(),
            None => self.cipher.tag_len(),
        }
    }

    /// Bytes of encryption key material, with the salt of an AEAD or of counter mode at the end.
    #[must_use]
    pub const fn encryption_key_len(self) -> usize {
        self.cipher.key_len() + self.cipher.salt_len()
    }

    /// Bytes of authentication key material.
    #[must_use]
    pub const fn authentication_key_len(self) -> usize {
        match self.integrity {
            Some(mac) => mac.key_len(),
            None => 0,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.integrity {
            Some(mac) => write!(f, "{}/{}", self.cipher.name(), mac.name()),
            None => f.write_str(self.cipher.name()),
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Suite({self})")
    }
}

#[cfg(test)]
mod tests;
