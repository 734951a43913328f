//! Distinguished names: as people write them, and as they stand in certificates.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::SetOfVec;
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

/// Longest encoding that is read, bytes.
const MAX_LEN: usize = 4096;

/// Why a text is no distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is a part that is not `TYPE=value`.
    #[error("{0:?} is not TYPE=value, with a type such as C, ST, L, O, OU, CN or an object identifier")]
    Part(String),
    /// It is no distinguished name in DER.
    #[error("not a distinguished name")]
    Encoding,
}

/// A distinguished name in DER. It is written in the order of the certificate, as `openssl x509 -subject`
/// prints it: `C=DE, O=Example, CN=gw-a`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DistinguishedName(Vec<u8>);

impl DistinguishedName {
    /// Takes a name as it stands in a certificate or an ID payload.
    pub fn from_der(der: &[u8]) -> Result<Self, NameError> {
        let bounded = (der.len() <= MAX_LEN).then_some(der).ok_or(NameError::Encoding)?;
        RdnSequence::from_der(bounded).map_err(|_| NameError::Encoding)?;
        Ok(Self(der.to_vec()))
    }

    /// Its encoding.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// Whether both name the same: string types, case and outer spaces do not count (RFC 5280 section 7.1).
    pub fn matches(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }

    fn parts(&self) -> Vec<Vec<String>> {
        let Ok(sequence) = RdnSequence::from_der(&self.0) else { return Vec::new() };
        let comparable = |part: &AttributeTypeAndValue| part.to_string().trim().to_ascii_lowercase();
        sequence.iter().map(|rdn| rdn.iter().map(comparable).collect()).collect()
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sequence = RdnSequence::from_der(&self.0).map_err(|_| fmt::Error)?;
        for (index, rdn) in sequence.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{rdn}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinguishedName({self})")
    }
}

impl FromStr for DistinguishedName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut sequence = RdnSequence::default();
        for part in split(text) {
            sequence.push(rdn(part).ok_or_else(|| NameError::Part(part.trim().to_owned()))?);
        }
        sequence.to_der().map(Self).map_err(|_| NameError::Encoding)
    }
}

/// Between commas that no backslash precedes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            ',' if !escaped => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn rdn(text: &str) -> Option<RelativeDistinguishedName> {
    let (kind, value) = text.split_once('=')?;
    let mut part = AttributeTypeAndValue::from_str(&format!("{}={}", kind.trim(), value.trim())).ok()?;
    // PrintableString where it can be: other implementations write it so.
    if part.value.tag() == Tag::Utf8String && printable(part.value.value()) {
        part.value = x509_cert::der::Any::new(Tag::PrintableString, part.value.value()).ok()?;
    }
    let set = SetOfVec::try_from(vec![part]).ok()?;
    Some(RelativeDistinguishedName::from(set))
}

fn printable(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_the_certificate_has_it() {
        let name: DistinguishedName = "C = DE, O=Example\\, Inc., CN=gw-a".parse().expect("a name");
        assert_eq!(name.to_string(), "C=DE, O=Example\\, Inc., CN=gw-a");
        assert_eq!(DistinguishedName::from_der(name.as_der()), Ok(name));
    }

    #[test]
    fn case_and_string_types_do_not_count_but_order_does() {
        let name: DistinguishedName = "O=Example, CN=GW-A".parse().expect("a name");
        assert!(name.matches(&"O=example,CN=gw-a".parse().expect("a name")));
        assert!(!name.matches(&"CN=GW-A, O=Example".parse().expect("a name")));
        assert!(!name.matches(&"O=Example, CN=gw-b".parse().expect("a name")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!("gw-a".parse::<DistinguishedName>(), Err(NameError::Part("gw-a".to_owned())));
        assert!("C=DE, =x".parse::<DistinguishedName>().is_err());
        assert_eq!(DistinguishedName::from_der(&[0x30, 0x05, 1]), Err(NameError::Encoding));
        assert_eq!(DistinguishedName::from_der(&vec![0x30; MAX_LEN + 1]), Err(NameError::Encoding));
    }
}
