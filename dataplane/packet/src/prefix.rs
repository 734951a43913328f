//! IP prefixes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network: an address whose host bits are zero, and its length (0..=32 or 0..=128).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

/// Why something is not a [`Prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    #[error("prefix length {len} exceeds {max}")]
    Length { len: u8, max: u8 },
    #[error("{address}/{len} has host bits set; the network is {network}/{len}")]
    HostBits { address: IpAddr, len: u8, network: IpAddr },
    #[error("not an address/length")]
    Syntax,
}

impl Prefix {
    /// 0.0.0.0/0.
    pub const ANY_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 };
    /// ::/0.
    pub const ANY_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), len: 0 };

    /// The prefix `address/len`; refuses a length beyond the family's and set host bits.
    pub fn new(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let prefix = Self::containing(address, len)?;
        if prefix.address != address {
            return Err(PrefixError::HostBits { address, len, network: prefix.address });
        }
        Ok(prefix)
    }

    /// The prefix of length `len` that contains `address`.
    pub fn containing(address: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let max = family_bits(address);
        if len > max {
            return Err(PrefixError::Length { len, max });
        }
        let network = match address {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask4(len))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask6(len))),
        };
        Ok(Self { address: network, len })
    }

    /// The /32 or /128 of one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self { address, len: family_bits(address) }
    }

    /// The network address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The length in bits.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "the RFCs' word for a prefix's length; a prefix is never empty"
    )]
    pub fn len(&self) -> u8 {
        self.len
    }

    /// True if `address` is of this family and inside.
    #[inline]
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(n), IpAddr::V4(a)) => (n.to_bits() ^ a.to_bits()) & mask4(self.len) == 0,
            (IpAddr::V6(n), IpAddr::V6(a)) => (n.to_bits() ^ a.to_bits()) & mask6(self.len) == 0,
            _ => false,
        }
    }

    /// True if every address of `other` is inside.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.len <= other.len && self.contains(other.address)
    }

    /// True if some address is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The last address: the broadcast address of an IPv4 subnet.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(n) => IpAddr::V4(Ipv4Addr::from_bits(n.to_bits() | !mask4(self.len))),
            IpAddr::V6(n) => IpAddr::V6(Ipv6Addr::from_bits(n.to_bits() | !mask6(self.len))),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(s: &str) -> Result<Self, PrefixError> {
        let (address, len) = s.split_once('/').ok_or(PrefixError::Syntax)?;
        let address = address.parse().map_err(|_| PrefixError::Syntax)?;
        Self::new(address, len.parse().map_err(|_| PrefixError::Syntax)?)
    }
}

/// Bits of an address of this family.
fn family_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[inline]
fn mask4(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

#[inline]
fn mask6(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> Prefix {
        s.parse().expect("a prefix")
    }

    #[test]
    fn refuses_what_is_no_network() {
        assert_eq!("10.0.0.0/33".parse::<Prefix>(), Err(PrefixError::Length { len: 33, max: 32 }));
        assert!(matches!("10.0.0.1/24".parse::<Prefix>(), Err(PrefixError::HostBits { .. })));
        assert_eq!("10.0.0.0".parse::<Prefix>(), Err(PrefixError::Syntax));
    }

    #[test]
    fn contains_and_covers() {
        assert!(p("0.0.0.0/0").contains("203.0.113.9".parse().expect("address")));
        assert!(!p("0.0.0.0/0").contains("::1".parse().expect("address")));
        assert!(p("10.0.0.0/8").covers(&p("10.2.0.0/16")) && !p("10.2.0.0/16").covers(&p("10.0.0.0/8")));
        assert!(p("2001:db8::/32").overlaps(&p("2001:db8:1::/48")));
        assert_eq!(p("10.1.2.0/24").last().to_string(), "10.1.2.255");
        assert_eq!(p("::/0").last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    }
}
