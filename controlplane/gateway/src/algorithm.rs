//! Algorithms by the names of the resource document, with their IANA IKEv2 transform IDs.
//!
//! Both vocabularies are accepted: the classic one (`aes`, `sha1`, `group2`) and the modern one
//! (`aes256gcm16`, `group31`). [`name`](Encryption::name) prints one spelling.

use serde::{Serialize, Serializer};

/// Serializes as the one spelling that is printed.
macro_rules! serialize_by_name {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    )*};
}

serialize_by_name!(Encryption, Authentication, DhGroup);

/// Strength by today's practice: what a lint says about a value that still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// Nothing to say.
    Sound,
    /// Works, is linted.
    Weak,
}

/// A cipher, for IKE messages or for ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encryption {
    Aes128Cbc,
    Aes192Cbc,
    Aes256Cbc,
    Des,
    TripleDes,
    Aes128Gcm16,
    Aes192Gcm16,
    Aes256Gcm16,
    Aes128Ctr,
    Aes192Ctr,
    Aes256Ctr,
    Aes128Gcm8,
    Aes192Gcm8,
    Aes256Gcm8,
    Aes128Gcm12,
    Aes192Gcm12,
    Aes256Gcm12,
    Aes128Gmac,
    Aes192Gmac,
    Aes256Gmac,
    ChaCha20Poly1305,
}

impl Encryption {
    /// In the order in which errors list them.
    pub const ALL: [Self; 21] = [
        Self::Aes128Cbc,
        Self::Aes192Cbc,
        Self::Aes256Cbc,
        Self::Des,
        Self::TripleDes,
        Self::Aes128Gcm16,
        Self::Aes192Gcm16,
        Self::Aes256Gcm16,
        Self::Aes128Ctr,
        Self::Aes192Ctr,
        Self::Aes256Ctr,
        Self::Aes128Gcm8,
        Self::Aes192Gcm8,
        Self::Aes256Gcm8,
        Self::Aes128Gcm12,
        Self::Aes192Gcm12,
        Self::Aes256Gcm12,
        Self::Aes128Gmac,
        Self::Aes192Gmac,
        Self::Aes256Gmac,
        Self::ChaCha20Poly1305,
    ];

    /// The one spelling that is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Cbc => "aes",
            Self::Aes192Cbc => "aes192",
            Self::Aes256Cbc => "aes256",
            Self::Des => "des",
            Self::TripleDes => "3des",
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes192Gcm16 => "aes192gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
            Self::Aes128Ctr => "aes128ctr",
            Self::Aes192Ctr => "aes192ctr",
            Self::Aes256Ctr => "aes256ctr",
            Self::Aes128Gcm8 => "aes128gcm8",
            Self::Aes192Gcm8 => "aes192gcm8",
            Self::Aes256Gcm8 => "aes256gcm8",
            Self::Aes128Gcm12 => "aes128gcm12",
            Self::Aes192Gcm12 => "aes192gcm12",
            Self::Aes256Gcm12 => "aes256gcm12",
            Self::Aes128Gmac => "aes128gmac",
            Self::Aes192Gmac => "aes192gmac",
            Self::Aes256Gmac => "aes256gmac",
            Self::ChaCha20Poly1305 => "chacha20poly1305",
        }
    }

    /// The name or an alias, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Some(match name.as_str() {
            "aes" | "aes128" | "aes-128" => Self::Aes128Cbc,
            "aes192" | "aes-192" => Self::Aes192Cbc,
            "aes256" | "aes-256" => Self::Aes256Cbc,
            "des" => Self::Des,
            "3des" => Self::TripleDes,
            "aes128gcm16" | "aes128gcm" => Self::Aes128Gcm16,
            "aes192gcm16" | "aes192gcm" => Self::Aes192Gcm16,
            "aes256gcm16" | "aes256gcm" => Self::Aes256Gcm16,
            other => return Self::ALL.into_iter().find(|e| e.name() == other),
        })
    }

    /// IANA "Transform Type 1" ID and the Key Length attribute in bits; 0 where the cipher has one length.
    #[must_use]
    pub const fn transform(self) -> (u16, u16) {
        match self {
            Self::Des => (2, 0),
            Self::TripleDes => (3, 0),
            Self::Aes128Cbc => (12, 128),
            Self::Aes192Cbc => (12, 192),
            Self::Aes256Cbc => (12, 256),
            Self::Aes128Gcm16 => (20, 128),
            Self::Aes192Gcm16 => (20, 192),
            Self::Aes256Gcm16 => (20, 256),
            Self::Aes128Ctr => (13, 128),
            Self::Aes192Ctr => (13, 192),
            Self::Aes256Ctr => (13, 256),
            Self::Aes128Gcm8 => (18, 128),
            Self::Aes192Gcm8 => (18, 192),
            Self::Aes256Gcm8 => (18, 256),
            Self::Aes128Gcm12 => (19, 128),
            Self::Aes192Gcm12 => (19, 192),
            Self::Aes256Gcm12 => (19, 256),
            Self::Aes128Gmac => (21, 128),
            Self::Aes192Gmac => (21, 192),
            Self::Aes256Gmac => (21, 256),
            Self::ChaCha20Poly1305 => (28, 0),
        }
    }

    /// True when the cipher authenticates by itself (RFC 5282, RFC 4106, RFC 4543, RFC 7634).
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(self.transform().0, 18..=21 | 28)
    }

    /// True when it protects IKE messages too; the others protect ESP only.
    #[must_use]
    pub const fn is_for_ike(self) -> bool {
        matches!(self.transform().0, 2 | 3 | 12 | 20)
    }

    /// True when the packets can be read by anyone: AES-GMAC authenticates and does not encrypt.
    #[must_use]
    pub const fn leaves_clear(self) -> bool {
        matches!(self, Self::Aes128Gmac | Self::Aes192Gmac | Self::Aes256Gmac)
    }

    /// 56-bit keys, 64-bit blocks and 64-bit tags are weak.
    #[must_use]
    pub const fn strength(self) -> Strength {
        match self {
            Self::Des | Self::TripleDes | Self::Aes128Gcm8 | Self::Aes192Gcm8 | Self::Aes256Gcm8 => {
                Strength::Weak
            }
            _ => Strength::Sound,
        }
    }
}

/// The hash behind an integrity algorithm and, in IKE, behind the PRF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Authentication {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Authentication {
    /// In the order in which errors list them.
    pub const ALL: [Self; 5] = [Self::Sha1, Self::Md5, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The one spelling that is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The name or an alias, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace('-', "");
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    /// IANA "Transform Type 3" ID: the HMAC truncated as ESP and IKE use it.
    #[must_use]
    pub const fn integrity(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha1 => 2,
            Self::Sha256 => 12,
            Self::Sha384 => 13,
            Self::Sha512 => 14,
        }
    }

    /// IANA "Transform Type 2" ID: the PRF follows the authentication algorithm.
    #[must_use]
    pub const fn prf(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha1 => 2,
            Self::Sha256 => 5,
            Self::Sha384 => 6,
            Self::Sha512 => 7,
        }
    }

    /// MD5 is weak; SHA-1 in HMAC is the requirements' default and is linted too.
    #[must_use]
    pub const fn strength(self) -> Strength {
        match self {
            Self::Md5 | Self::Sha1 => Strength::Weak,
            _ => Strength::Sound,
        }
    }
}

/// A key exchange group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DhGroup {
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

impl DhGroup {
    /// In the order in which errors list them.
    pub const ALL: [Self; 10] = [
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

    /// The one spelling that is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modp768 => "group1",
            Self::Modp1024 => "group2",
            Self::Modp1536 => "group5",
            Self::Modp2048 => "group14",
            Self::Modp3072 => "group15",
            Self::Modp4096 => "group16",
            Self::Ecp256 => "group19",
            Self::Ecp384 => "group20",
            Self::Ecp521 => "group21",
            Self::Curve25519 => "group31",
        }
    }

    /// `groupN`, or the name of the group as peers' configurations write it, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Some(match name.as_str() {
            "modp768" => Self::Modp768,
            "modp1024" => Self::Modp1024,
            "modp1536" => Self::Modp1536,
            "modp2048" => Self::Modp2048,
            "modp3072" => Self::Modp3072,
            "modp4096" => Self::Modp4096,
            "ecp256" => Self::Ecp256,
            "ecp384" => Self::Ecp384,
            "ecp521" => Self::Ecp521,
            "curve25519" | "x25519" => Self::Curve25519,
            other => return Self::ALL.into_iter().find(|g| g.name() == other),
        })
    }

    /// IANA "Transform Type 4" ID.
    #[must_use]
    pub const fn transform(self) -> u16 {
        match self {
            Self::Modp768 => 1,
            Self::Modp1024 => 2,
            Self::Modp1536 => 5,
            Self::Modp2048 => 14,
            Self::Modp3072 => 15,
            Self::Modp4096 => 16,
            Self::Ecp256 => 19,
            Self::Ecp384 => 20,
            Self::Ecp521 => 21,
            Self::Curve25519 => 31,
        }
    }

    /// Prime fields under 2048 bits are weak.
    #[must_use]
    pub const fn strength(self) -> Strength {
        match self {
            Self::Modp768 | Self::Modp1024 | Self::Modp1536 => Strength::Weak,
            _ => Strength::Sound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for e in Encryption::ALL {
            assert_eq!(Encryption::from_name(e.name()), Some(e));
        }
        for a in Authentication::ALL {
            assert_eq!(Authentication::from_name(a.name()), Some(a));
        }
        for g in DhGroup::ALL {
            assert_eq!(DhGroup::from_name(g.name()), Some(g));
            assert_eq!(g.name(), format!("group{}", g.transform()));
        }
    }

    #[test]
    fn aliases_are_understood_in_any_case() {
        assert_eq!(Encryption::from_name("AES128"), Some(Encryption::Aes128Cbc));
        assert_eq!(Authentication::from_name("SHA-256"), Some(Authentication::Sha256));
        assert_eq!(DhGroup::from_name("X25519"), Some(DhGroup::Curve25519));
        assert_eq!(DhGroup::from_name("group3"), None);
    }
}
