//! strongSwan's words for algorithms, identities, times and secrets.

use std::net::IpAddr;

use crate::algorithm::{Authentication, DhGroup, Encryption};
use crate::document::read_identity;

/// The first algorithm of each kind in a proposal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) encryption: Option<Encryption>,
    pub(super) hash: Option<Authentication>,
    pub(super) prf: Option<Authentication>,
    pub(super) group: Option<DhGroup>,
    pub(super) esn: bool,
    /// There were several of a kind.
    pub(super) cut: bool,
}

impl Proposal {
    /// Reads `aes128-sha256-modp2048`; `None` where a word is unknown.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut proposal = Self::default();
        for word in text.split('-').map(str::trim).filter(|word| !word.is_empty()) {
            proposal.add(&word.to_ascii_lowercase())?;
        }
        Some(proposal)
    }

    fn add(&mut self, word: &str) -> Option<()> {
        fn first<T>(slot: &mut Option<T>, value: T, cut: &mut bool) {
            if slot.is_none() { *slot = Some(value) } else { *cut = true }
        }
        if let Some(encryption) = encryption(word) {
            first(&mut self.encryption, encryption, &mut self.cut);
        } else if let Some(prf) = word.strip_prefix("prf") {
            first(&mut self.prf, hash(prf)?, &mut self.cut);
        } else if let Some(hash) = hash(word) {
            first(&mut self.hash, hash, &mut self.cut);
        } else if let Some(group) = DhGroup::from_name(word) {
            first(&mut self.group, group, &mut self.cut);
        } else {
            match word {
                "esn" => self.esn = true,
                "noesn" => self.cut |= self.esn,
                _ => return None,
            }
        }
        Some(())
    }
}

fn encryption(word: &str) -> Option<Encryption> {
    let (family, tag) = match word.split_once("gcm") {
        Some((family, tag)) => (
            family,
            match tag {
                "" | "16" | "128" => "gcm16",
                "12" | "96" => "gcm12",
                "8" | "64" => "gcm8",
                _ => return None,
            },
        ),
        None if word == "aes" => ("aes128", ""),
        None => (word, ""),
    };
    Encryption::from_name(&format!("{family}{tag}"))
}

fn hash(word: &str) -> Option<Authentication> {
    match word {
        "sha" => Some(Authentication::Sha1),
        "sha2_256" => Some(Authentication::Sha256),
        "sha2_384" => Some(Authentication::Sha384),
        "sha2_512" => Some(Authentication::Sha512),
        other => Authentication::from_name(other),
    }
}

/// An identity in our words; `None`: any, or one that we do not have.
pub(super) fn identity(text: &str) -> Option<String> {
    let (kind, rest) = match text.split_once(':') {
        Some((kind, rest)) if kind.chars().all(|c| c.is_ascii_alphanumeric()) => (kind, rest),
        _ => ("", text),
    };
    let hex = |text: &str| text.strip_prefix('#').map(|hex| format!("keyid:0x{hex}"));
    let id = match kind {
        _ if text.parse::<IpAddr>().is_ok() => Some(text.to_owned()),
        "fqdn" | "ipv4" | "ipv6" | "dns" => Some(rest.to_owned()),
        "email" | "userfqdn" | "rfc822" => Some(rest.to_owned()),
        "dn" | "asn1dn" => Some(rest.to_owned()),
        "keyid" => Some(hex(rest).unwrap_or_else(|| format!("keyid:{rest}"))),
        "" if text.contains('%') || text.contains('*') || text.is_empty() => None,
        "" => match text.strip_prefix('@') {
            Some(keyid) if keyid.starts_with('#') => hex(keyid),
            Some(email) if email.starts_with('@') => Some(email[1..].to_owned()),
            Some(name) => Some(name.to_owned()),
            None => Some(text.to_owned()),
        },
        _ if text.contains('=') => Some(text.to_owned()),
        _ => None,
    };
    // strongSwan takes some that no document can have, such as an empty one.
    id.filter(|id| read_identity(id).is_ok())
}

/// Seconds of `4h`, `30m`, `3600s` or `3600`.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix(|c: char| c.is_ascii_alphabetic()) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// The text of a secret: as it is, in hexadecimal (`0x`) or in base 64 (`0s`); `None` where it is no text.
pub(super) fn secret(text: &str) -> Option<String> {
    let bytes = if let Some(hex) = text.strip_prefix("0x") {
        hex.as_bytes().chunks(2).map(byte).collect::<Option<Vec<_>>>()?
    } else if let Some(base64) = text.strip_prefix("0s") {
        decode(base64)?
    } else {
        return Some(text.to_owned());
    };
    String::from_utf8(bytes).ok()
}

fn byte(pair: &[u8]) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// Base 64 (RFC 4648 section 4), with padding or without.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = ((bits << 6 | u32::from(value)) & 0x3fff, held + 6);
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(out)
}
