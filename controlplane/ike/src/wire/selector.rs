//! The Traffic Selector payloads (RFC 7296 section 3.13) and the set operations narrowing needs.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::codec::{Reader, field, patch_length};
use super::error::{DecodeError, EncodeError};
use super::iana::TsType;

/// Why two bounds are not a traffic selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The first address is above the last, or of the other family.
    #[error("address range {0}-{1}")]
    Addresses(IpAddr, IpAddr),
    /// The first port is above the last.
    #[error("port range {0}-{1}")]
    Ports(u16, u16),
    /// The prefix is longer than the address.
    #[error("prefix length {0}")]
    PrefixLength(u8),
}

/// Ports (or ICMP type and code, RFC 7296 section 3.13.1) from first to last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// All ports, and packets without any.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };
    /// Only packets whose ports cannot be seen, such as later fragments.
    pub const OPAQUE: Self = Self { first: u16::MAX, last: 0 };

    /// Ports `first..=last`, or [`PortRange::OPAQUE`].
    pub fn new(first: u16, last: u16) -> Result<Self, SelectorError> {
        let range = Self { first, last };
        if first > last && range != Self::OPAQUE {
            return Err(SelectorError::Ports(first, last));
        }
        Ok(range)
    }

    /// The first port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether a packet with this port is meant.
    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    fn intersection(self, other: Self) -> Option<Self> {
        if self == Self::OPAQUE || other == Self::OPAQUE {
            let other_allows = self == other || self == Self::ANY || other == Self::ANY;
            return other_allows.then_some(Self::OPAQUE);
        }
        let range = Self { first: self.first.max(other.first), last: self.last.min(other.last) };
        (range.first <= range.last).then_some(range)
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ANY => f.write_str("any"),
            Self::OPAQUE => f.write_str("opaque"),
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// Packets a CHILD_SA carries, seen from one end: addresses, protocol and ports.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |   TS Type     |IP Protocol ID |       Selector Length         |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |           Start Port          |           End Port            |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                         Starting Address                      ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                         Ending Address                        ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrafficSelector {
    protocol: u8,
    ports: PortRange,
    first: IpAddr,
    last: IpAddr,
}

impl TrafficSelector {
    /// Addresses `first..=last`, of one family; protocol 0 means any.
    pub fn new(protocol: u8, ports: PortRange, first: IpAddr, last: IpAddr) -> Result<Self, SelectorError> {
        if first.is_ipv4() != last.is_ipv4() || first > last {
            return Err(SelectorError::Addresses(first, last));
        }
        Ok(Self { protocol, ports, first, last })
    }

    /// Any protocol and port of a network; host bits of `addr` are ignored.
    pub fn from_network(addr: IpAddr, prefix_len: u8) -> Result<Self, SelectorError> {
        let bits: u8 = if addr.is_ipv4() { 32 } else { 128 };
        if prefix_len > bits {
            return Err(SelectorError::PrefixLength(prefix_len));
        }
        let (first, last): (IpAddr, IpAddr) = match addr {
            IpAddr::V4(v4) => {
                let hosts = u32::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
                (
                    Ipv4Addr::from_bits(v4.to_bits() & !hosts).into(),
                    Ipv4Addr::from_bits(v4.to_bits() | hosts).into(),
                )
            }
            IpAddr::V6(v6) => {
                let hosts = u128::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
                (
                    Ipv6Addr::from_bits(v6.to_bits() & !hosts).into(),
                    Ipv6Addr::from_bits(v6.to_bits() | hosts).into(),
                )
            }
        };
        Self::new(0, PortRange::ANY, first, last)
    }

    /// Upper-layer protocol, 0 for any.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Ports.
    pub fn ports(&self) -> PortRange {
        self.ports
    }

    /// First address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// Last address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Whether the address lies in the range.
    pub fn contains_addr(&self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&addr)
    }

    /// Whether every packet of `other` is one of ours.
    pub fn contains(&self, other: &Self) -> bool {
        self.intersection(other).as_ref() == Some(other)
    }

    /// The packets both describe, if any: what narrowing leaves (RFC 7296 section 2.9).
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.first.is_ipv4() != other.first.is_ipv4() {
            return None;
        }
        let protocol = match (self.protocol, other.protocol) {
            (0, p) | (p, 0) => p,
            (a, b) => (a == b).then_some(a)?,
        };
        let ports = self.ports.intersection(other.ports)?;
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { protocol, ports, first, last })
    }

    /// The network this is, if its range is exactly one.
    pub fn network(&self) -> Option<(IpAddr, u8)> {
        let (difference, bits) = match (self.first, self.last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let prefix_len = u8::try_from(bits - (128 - difference.leading_zeros())).ok()?;
        let network = Self::from_network(self.first, prefix_len).ok()?;
        (network.first == self.first && network.last == self.last).then_some((self.first, prefix_len))
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network() {
            Some((addr, prefix_len)) => write!(f, "{addr}/{prefix_len}")?,
            None => write!(f, "{}-{}", self.first, self.last)?,
        }
        match (self.protocol, self.ports) {
            (0, PortRange::ANY) => Ok(()),
            (0, ports) => write!(f, "[any:{ports:?}]"),
            (protocol, PortRange::ANY) => write!(f, "[{protocol}]"),
            (protocol, ports) => write!(f, "[{protocol}:{ports:?}]"),
        }
    }
}

impl fmt::Debug for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A selector of a type we cannot match packets with; it is not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownSelector {
    /// Its type.
    pub ts_type: TsType,
    /// The byte that would be the protocol.
    pub protocol: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// The selectors of one end.
///
/// ```text
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// | Number of TSs |                 RESERVED                      |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ~                       <Traffic Selectors>                     ~
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TsPayload {
    /// In the sender's order: the first may be the packet that triggered the negotiation.
    pub selectors: Vec<TrafficSelector>,
    /// Those of other types.
    pub unknown: Vec<UnknownSelector>,
}

impl TsPayload {
    /// A payload of address selectors.
    pub fn new(selectors: Vec<TrafficSelector>) -> Self {
        Self { selectors, unknown: Vec::new() }
    }

    /// Reads the payload body.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(body, "TS payload");
        let count = r.u8()?;
        r.take(3)?;
        if count == 0 {
            return Err(DecodeError::Value { what: "number of traffic selectors", value: 0 });
        }
        let mut payload = Self::default();
        for _ in 0..count {
            payload.decode_one(&mut r)?;
        }
        r.finish()?;
        Ok(payload)
    }

    fn decode_one(&mut self, r: &mut Reader<'_>) -> Result<(), DecodeError> {
        let ts_type = TsType(r.u8()?);
        let protocol = r.u8()?;
        let length = r.u16()?;
        let mut body = r.sub(length, 4, "traffic selector")?;
        match ts_type {
            TsType::IPV4_ADDR_RANGE => self.selectors.push(decode_range::<4>(protocol, &mut body)?),
            TsType::IPV6_ADDR_RANGE => self.selectors.push(decode_range::<16>(protocol, &mut body)?),
            _ => self.unknown.push(UnknownSelector { ts_type, protocol, body: body.rest().to_vec() }),
        }
        Ok(())
    }

    /// Appends the payload body.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let count = self.selectors.len() + self.unknown.len();
        out.push(field(count, usize::from(u8::MAX), "traffic selectors")?);
        out.extend_from_slice(&[0, 0, 0]);
        self.selectors.iter().for_each(|selector| encode_range(selector, out));
        for selector in &self.unknown {
            let start = out.len();
            out.extend_from_slice(&[selector.ts_type.0, selector.protocol, 0, 0]);
            out.extend_from_slice(&selector.body);
            patch_length(out, start, start + 2, "traffic selector")?;
        }
        Ok(())
    }
}

fn decode_range<const N: usize>(protocol: u8, body: &mut Reader<'_>) -> Result<TrafficSelector, DecodeError>
where
    IpAddr: From<[u8; N]>,
{
    let (first_port, last_port) = (body.u16()?, body.u16()?);
    let (first, last) = (IpAddr::from(body.array::<N>()?), IpAddr::from(body.array::<N>()?));
    body.finish()?;
    let ports = PortRange::new(first_port, last_port).map_err(|_| DecodeError::Value {
        what: "first port of a traffic selector",
        value: first_port.into(),
    })?;
    TrafficSelector::new(protocol, ports, first, last).map_err(|_| DecodeError::Value {
        what: "address range of a traffic selector, of address bytes",
        value: N as u64,
    })
}

fn encode_range(selector: &TrafficSelector, out: &mut Vec<u8>) {
    let (ts_type, length): (_, u16) = match selector.first {
        IpAddr::V4(_) => (TsType::IPV4_ADDR_RANGE, 16),
        IpAddr::V6(_) => (TsType::IPV6_ADDR_RANGE, 40),
    };
    out.extend_from_slice(&[ts_type.0, selector.protocol]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&selector.ports.first.to_be_bytes());
    out.extend_from_slice(&selector.ports.last.to_be_bytes());
    for addr in [selector.first, selector.last] {
        match addr {
            IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
        }
    }
}
